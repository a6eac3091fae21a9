"""Counting the rows of a table into bins, as expressions of Ibis: the engine reads the rows, and only counts come back.

No connection is needed to make them. Only what all engines agree on is used: `ifelse`, `cases`, `isnull`, `isnan`,
`isinf`, `array`, `unnest`, `count`, comparisons and casts. NaN is asked for by name, as engines order it differently;
edges are texts that the engine casts, as it would take some literals for decimals. What a category's text is in its
canonical form only Python knows: values that are not listed come back by themselves, see `Counting.leftovers`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.columns.binning import LARGEST
from monitor.columns.canonical import Codes, canonical
from monitor.columns.column import MISSING, Column, Schema
from monitor.errors import SourceError

#: An expression, a table or a type of Ibis, which is an extra and says nothing to mypy.
Expr = Any

#: Columns that one query counts: engines compile a query with thousands of cases slowly, or not at all.
BATCH = 200

#: Values outside of the listed categories that one query returns at most, the most frequent first. The rows of further
#: ones are unseen values without names.
LEFTOVERS = 100_000


def ibis() -> Any:
    """Load Ibis. Raises SourceError if it is not installed."""
    try:
        return import_module("ibis")
    except ImportError:
        raise SourceError("tables need Ibis: `pip install 'telltale[warehouse]'`") from None


def numeric(kind: Expr) -> bool:
    """Whether a type is of numbers."""
    return bool(kind.is_numeric() or kind.is_boolean())


def texts(kind: Expr) -> bool:
    """Whether a type may be of categories although it is not of numbers."""
    return bool(kind.is_string() or kind.is_date() or kind.is_timestamp())


def _whole(kind: Expr) -> bool:
    """Whether every value is a number, as neither NaN nor infinity can be."""
    return bool(kind.is_integer() or kind.is_boolean())


def as_number(x: Expr) -> Expr:
    """Return a column of numbers as doubles; a decimal beyond them is infinite, as in Python, and NaN is NULL."""
    kind, ib = x.type(), ibis()
    if kind.is_float64():
        return x
    if kind.is_decimal() and (kind.precision is None or kind.precision > sys.float_info.max_10_exp):
        # Only Postgres has them, and refuses to cast the largest; there NaN is above all numbers.
        most = ib.literal(repr(sys.float_info.max)).cast(kind)
        known = (x.between(-most, most), x.cast("float64")), (x < -most, -math.inf), (x.cast("string") == "NaN", None)
        return ib.cases(*known, (x > most, math.inf))
    return (x.cast("int32") if kind.is_boolean() else x).cast("float64")  # Postgres knows no other way for booleans


def as_text(x: Expr) -> Expr:
    """Return a column as texts that `value_of` reads."""
    kind = x.type()
    if kind.is_boolean():
        return ibis().ifelse(x, "true", "false")  # each engine has its own texts for them; NULL was asked for before
    return x if kind.is_string() else x.cast("string")


def value_of(text: str, kind: Expr) -> Any:
    """Return the value that an engine wrote as this text, such that its canonical form is that of the value."""
    try:
        if kind.is_floating():
            return float(text)
        if kind.is_decimal():
            return Decimal(text)
        if kind.is_timestamp():
            return datetime.fromisoformat(text)
    except (ValueError, ArithmeticError):
        pass
    return text


def missing(x: Expr) -> Expr:
    """Whether a value is missing: NULL or NaN."""
    return x.isnull() | x.isnan() if x.type().is_floating() else x.isnull()


def bin_of(column: Column, x: Expr, engine: str, first: int = 0) -> Expr:
    """Bin of each row of a column of the table, numbered from `first`: the one that `Binner` finds."""
    ib = ibis()

    def numbered(at: int) -> Expr:
        return ib.literal(first + at, "int32")

    if not column.numeric:
        known = ((x == value, numbered(at)) for value, at in listed(column, x.type()))
        return ib.cases((missing(x), numbered(column.missing_bin)), *known, else_=numbered(column.value_bins - 1))
    whole, x = _whole(x.type()), as_number(x)
    tree = below(x, column.edges, [numbered(at) for at in range(column.value_bins)], engine)
    if whole:
        return ib.ifelse(x.isnull(), numbered(column.missing_bin), tree)
    missed = missing(x), numbered(column.missing_bin)
    return ib.cases(missed, (x.isinf(), numbered(column.missing_bin + 1)), else_=tree)


def below(x: Expr, edges: Sequence[float], leaves: Sequence[Expr], engine: str) -> Expr:
    """Find by halving which of the `leaves`, one more than there are `edges`, belongs to each number.

    An edge is a text that is cast, since engines take some literals for decimals, and compare those in another way;
    ClickHouse has no such literals, and reads texts less exactly.
    """
    if not len(edges):
        return leaves[0]
    middle = len(leaves) // 2
    edge = float(edges[middle - 1])
    literal = ibis().literal(edge if engine == "clickhouse" else repr(edge)).cast("float64")
    lower = below(x, edges[: middle - 1], leaves[:middle], engine)
    return ibis().ifelse(x <= literal, lower, below(x, edges[middle:], leaves[middle:], engine))


def listed(column: Column, kind: Expr) -> Iterator[tuple[Expr, int]]:
    """Values, as literals of a categorical column's type in the table, whose bin the engine finds by itself."""
    codes = Codes(column.categories)
    for value in dict.fromkeys(_candidates(column, kind)):
        code = codes.find(canonical(value))
        if code is not None:
            yield ibis().literal(value, kind), column.missing_bin if math.isnan(code) else int(code)


def _candidates(column: Column, kind: Expr) -> Iterator[Any]:
    """Values of the column's type in the table that its categories may stand for."""
    if kind.is_boolean():
        yield from (True, False)
    for text in (MISSING, *column.categories):
        try:
            if kind.is_string():
                yield text
            elif kind.is_integer() and kind.bounds.lower <= int(text) <= kind.bounds.upper:
                yield int(text)
            elif kind.is_float64() and math.isfinite(float(text)):
                yield float(text)
        except ValueError:
            pass  # no value of this type


@dataclass(frozen=True)
class Counting:
    """What is counted of which table. `names`: its columns of the schema's, in their order; `time`: of the rows.

    `engine`: what Ibis calls it. `fine`: count by second, else by minute. `apart`: the columns are stored so
    that reading one takes no reading of others, as in Parquet.
    """

    schema: Schema
    names: Sequence[str]
    time: str
    engine: str
    fine: bool = False
    apart: bool = False

    def check(self, types: Mapping[str, Expr], *others: str) -> None:
        """Raise SourceError that names a column which the table lacks, or whose type cannot hold what it should."""
        for name in (self.time, *others, *self.names):
            if name not in types:
                raise SourceError(f"there is no column {name!r} in it; it has {', '.join(types)}")
        if not (types[self.time].is_timestamp() or types[self.time].is_date()):
            raise SourceError(f"column {self.time!r} has type {types[self.time]}, and should hold times")
        for column, name in zip(self.schema.columns, self.names, strict=True):
            if not numeric(types[name]) and (column.numeric or not texts(types[name])):
                wanted = "numbers" if column.numeric else "categories"
                raise SourceError(f"column {name!r} has type {types[name]}, and the reference has {wanted}")

    def between(self, rows: Expr, begin: float, end: float) -> Expr:
        """Take the rows from one moment to another, such that an engine can leave out other partitions."""
        time = rows[self.time]
        return rows.filter(time >= _moment(begin, time.type()), time < _moment(end, time.type()))

    def when(self, rows: Expr) -> Expr:
        """Return the minute or second of each row."""
        time = rows[self.time]
        return time.cast("timestamp") if time.type().is_date() else time.truncate("s" if self.fine else "m")

    def totals(self, rows: Expr) -> Expr:
        """Sum up rows by `time`: `n`, and `s0`, `s1`... of the finite numbers of each numeric column."""
        ib, numbers = ibis(), {}
        for position, column in enumerate(self.schema.columns):
            if column.numeric:
                raw = rows[self.names[position]]
                x = as_number(raw)
                if not _whole(raw.type()):
                    clipped = ib.ifelse(x > LARGEST, LARGEST, ib.ifelse(x < -LARGEST, -LARGEST, x))
                    x = ib.ifelse(missing(x) | x.isinf(), 0.0, clipped)
                numbers[f"s{position}"] = x
        numbered = rows.select(time=self.when(rows), **numbers)
        return numbered.group_by("time").agg(n=numbered.count(), **{name: numbered[name].sum() for name in numbers})

    def bins(self, rows: Expr, part: Sequence[int]) -> Expr:
        """Count rows by `time` and `bin`, an index into the schema's flat vector, as `n`. `part`: which columns.

        Each row becomes as many as there are columns, in one scan, which is what most engines do fastest. For columns
        that are stored `apart`, a scan of each takes two thirds of that.
        """
        columns, offsets, ib = self.schema.columns, self.schema.offsets, ibis()
        bins = [bin_of(columns[at], rows[self.names[at]], self.engine, int(offsets[at])) for at in part]
        scans = bins if self.apart else [ib.array(bins).unnest()]
        spread = [rows.select(time=self.when(rows), bin=scan) for scan in scans]
        return ib.union(*(each.group_by("time", "bin").agg(n=each.count()) for each in spread))

    def leftovers(self, rows: Expr, part: Sequence[int], known: Sequence[str] = ()) -> Expr:
        """Count the values of the columns at positions `part` that are not among their listed categories.

        Returns `value` (position:text) and `n`. `known`: count only these, by `time` too.
        """
        ib, others = ibis(), []
        for at in part:
            column, x = self.schema.columns[at], rows[self.names[at]]
            other = bin_of(column, x, self.engine) == column.value_bins - 1
            others.append(ib.ifelse(other, ib.literal(f"{at}:") + as_text(x), ib.null("string")))
        spread = rows.select(time=self.when(rows), value=ib.array(others).unnest())
        if known:
            spread = spread.filter(spread["value"].isin(known))
            return spread.group_by("time", "value").agg(n=spread.count())
        spread = spread.filter(spread["value"].notnull())
        counted = spread.group_by("value").agg(n=spread.count())
        return counted.order_by(ib.desc("n"), "value").limit(LEFTOVERS)


def _moment(at: float, kind: Expr) -> Expr:
    """Return a moment as a literal that a column of times is compared with."""
    moment = datetime.fromtimestamp(at, UTC)
    if kind.is_date():  # the first one that begins by then
        return ibis().literal((moment + timedelta(days=1, microseconds=-1)).date(), kind)
    return ibis().literal(moment if kind.timezone else moment.replace(tzinfo=None), kind)


def counted(table: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Times, in seconds since 1970 UTC, and rows of a table of Arrow that one of the queries has answered."""
    times = table["time"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return times, table["n"].to_numpy().astype(np.int64)
