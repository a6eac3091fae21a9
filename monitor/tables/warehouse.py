"""What a reference needs of the columns of a table, asked of the engine that holds it: exact, and rows stay there.

The values at the ranks of the bins are found in cells: the engine counts rows in some thousands of equal cells between
the smallest and the largest value, and says what is the smallest and the largest in each. A cell that an edge rests on
is cut again, until its values are few enough to be listed. Few scans of a column are enough for any number of rows.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from monitor.columns.binning import ColumnCounter
from monitor.columns.canonical import canonical
from monitor.columns.column import MISSING, Kind
from monitor.errors import DataError
from monitor.reference.bin_edges import TAILS, gaps_of, wanted_values
from monitor.reference.profile import (
    IDENTIFIER_NAME,
    MAX_DISTINCT_NUMBERS,
    MAX_DISTINCT_TEXTS,
    MIN_IDENTIFIER_ROWS,
    ColumnProfile,
    Decision,
)
from monitor.warehouse.counting import Expr, as_number, as_text, below, bin_of, ibis, missing, value_of

#: Cells that one question counts; as many if each has an edge of its own; rows of cells whose values are listed.
CELLS, EDGES, LISTED = 4_096, 128, 100_000

#: Parts with equally many rows, of which edges are chosen if they may be approximate.
PERCENTILES = 400


class Cell(NamedTuple):
    """Rows whose values are between two, both of which some row has."""

    low: float
    high: float
    rows: int


class TableColumns:
    """Columns of a table. `run`: answers an expression with a table of Arrow; `engine`: what Ibis calls it.

    `approximate`: take the engine's own approximate percentiles for edges, in one scan. Counts are exact all the same.
    """

    def __init__(self, run: Callable[[Expr], Any], rows: Expr, engine: str, approximate: bool = False) -> None:
        self._run, self.rows, self._engine, self._approximate = run, rows, engine, approximate

    def _ask(self, rows: Expr, *sums: Expr) -> list[tuple[Any, ...]]:
        """Add up rows, or each group of them."""
        answer = self._run(rows.aggregate(**{f"s{at}": total for at, total in enumerate(sums)}))
        return list(zip(*(answer[name].to_pylist() for name in answer.column_names), strict=True))

    def profile(self, name: str, kind: Kind | None, bins: int) -> ColumnProfile:
        """Gather the facts about a column. Raises DataError for a type that is neither numbers nor categories."""
        x, facts = self.rows[name], ColumnProfile(name)
        numeric = x.type().is_numeric() and kind != "categorical"
        if kind == "numeric" and not (numeric or x.type().is_boolean()):
            raise DataError(f"column {name!r} is declared numeric, and has type {x.type()} in the table")
        if not (x.type().is_numeric() or x.type().is_boolean() or x.type().is_string() or x.type().is_temporal()):
            raise DataError(f"column {name!r} has type {x.type()}: leave it out with --ignore, or cast it in a query")
        if numeric or kind == "numeric":
            self._numbers(x, facts, bins)
        else:
            self._texts(x, facts)
        return facts

    def _texts(self, x: Expr, facts: ColumnProfile) -> None:
        """Count the texts, the most frequent ones if there are very many."""
        ((facts.rows, absent),) = self._ask(self.rows, self.rows.count(), missing(x).sum())
        facts.missing = int(absent or 0)
        known = self.rows.filter(~missing(x))
        texts = known.group_by(key=as_text(known[x.get_name()])).agg(n=known.count())
        answer = self._run(texts.order_by(ibis().desc("n"), "key").limit(MAX_DISTINCT_TEXTS + 1))
        for text, rows in zip(answer["key"].to_pylist(), answer["n"].to_pylist(), strict=True):
            facts.texts[canonical(value_of(text, x.type()))] += rows
        facts.missing += facts.texts.pop(MISSING, 0)
        facts.rising = facts.consecutive = False
        if len(answer) > MAX_DISTINCT_TEXTS:
            facts.forgotten = int(self._ask(self.rows, x.nunique())[0][0]) - len(answer)

    def _numbers(self, x: Expr, facts: ColumnProfile, bins: int) -> None:
        raw, x = x, as_number(x)
        finite = ~(missing(x) | x.isinf())
        only = ibis().ifelse(finite, x, ibis().null("float64"))
        small = ibis().ifelse(only.abs() < 2.0**53, only, 0.0)  # larger ones are whole, and too large for some casts
        whole = (small == small.cast("int64")).all()
        ((facts.rows, absent, facts.numbers, low, high, whole),) = self._ask(
            self.rows, self.rows.count(), missing(x).sum(), only.count(), only.min(), only.max(), whole
        )
        facts.missing = int(absent or 0)
        if not facts.numbers:
            return
        facts.low, facts.high, facts.whole = low + 0.0, high + 0.0, bool(whole)
        # Sums of parts of the largest: a sum or square that overflows or vanishes is an error in Postgres.
        unit = max(abs(low), abs(high)) or 1.0
        near = self._ask(self.rows, (_clear(only, unit * 1e-290) / unit).mean())[0][0] * unit
        span = max(high - near, near - low) or 1.0
        if math.isinf(span):
            span, apart = unit, _clear(only / unit, 1e-150) - near / unit
        else:
            apart = _clear(only - near, span * 1e-150) / span
        ((total, squares),) = self._ask(self.rows, apart.sum(), (apart * apart).sum())
        facts.mean = near + total / facts.numbers * span
        facts.squares = (squares - total * total / facts.numbers) * span * span
        steps = facts.high - facts.low + 1 == facts.numbers
        named = IDENTIFIER_NAME.fullmatch(facts.name) is not None
        numbered = facts.whole and facts.numbers >= MIN_IDENTIFIER_ROWS and (steps or named)
        facts.rising = numbered and self._ask(self.rows, raw.nunique())[0][0] == facts.numbers
        facts.consecutive = facts.rising and steps
        self._quantiles(only, facts, bins)

    def _quantiles(self, x: Expr, facts: ColumnProfile, bins: int) -> None:
        """Find out what the edges rest on: all values if they are few, or the gaps at the wanted ranks."""
        few = False
        if self._approximate and self._ask(self.rows, x.approx_nunique())[0][0] > 2 * MAX_DISTINCT_NUMBERS:
            values, rows = self._percentiles(x, facts.numbers)
        else:
            values, rows = self._values(x, facts, bins)
            few = len(values) <= MAX_DISTINCT_NUMBERS
        facts.distinct = dict(zip(values.tolist(), rows.tolist(), strict=True)) if few else None
        facts.gaps = gaps_of(values, rows, bins)

    def _percentiles(self, x: Expr, numbers: int) -> tuple[Any, Any]:
        """Ask for the engine's approximate percentiles; return them as values with rows. Raises DataError if it cannot.

        A value has the rows since the one before.
        """
        tails = [share for tail in TAILS for share in (1 / tail, 1 - 1 / tail)]
        ranks = np.unique([*(np.arange(PERCENTILES + 1) / PERCENTILES), *tails])
        try:
            percentiles = np.sort(self._ask(self.rows, x.approx_quantile(ranks.tolist()))[0][0]) + 0.0
        except ibis().common.exceptions.OperationNotDefinedError:
            raise DataError(f"--approximate: {self._engine} is not asked for percentiles; leave it out") from None
        values, times = np.unique(percentiles, return_counts=True)
        upto = np.rint(ranks[np.cumsum(times) - 1] * numbers).astype(np.int64)
        return values, np.diff(upto, prepend=0)

    def _values(self, x: Expr, facts: ColumnProfile, bins: int) -> tuple[Any, Any]:
        """Return values and the rows of each, as far as the edges of `bins` bins rest on them."""
        cells, turn = [Cell(facts.low, facts.high, facts.numbers)], 0
        while wanted := unresolved(cells, bins):
            cells = sorted([*(cell for cell in cells if cell not in wanted), *self._cut(x, sorted(wanted), turn % 2)])
            turn += 1
        values, rows, _ = spread(cells)
        return values, rows

    def _cut(self, x: Expr, cells: Sequence[Cell], by_bits: int) -> Iterable[Cell]:
        """List the values of cells, or cut them into smaller ones: of equal width, or every other time in equal bits.

        Equal widths are quick; but where values are spread over hundreds of powers of ten, only bits get anywhere.
        """
        ib, tables, edges = ibis(), self.rows.select(x=x), list[float]()
        listed = sum(cell.rows for cell in cells) <= LISTED
        outside = ib.null("float64" if listed else "int64")
        leaves = [outside]
        for at, cell in enumerate(cells):
            inner = cut_bits(cell, max(2, EDGES // len(cells))) if by_bits and not listed else []
            edges += [math.nextafter(cell.low, -math.inf), *inner, cell.high]
            if listed:
                leaves += [tables["x"], outside]
            elif by_bits:
                leaves += [*(ib.literal(at * EDGES + part, "int64") for part in range(len(inner) + 1)), outside]
            else:
                leaves += [_part(tables["x"], cell, at, max(2, CELLS // len(cells))), outside]
        keyed = tables.select("x", key=below(tables["x"], edges, leaves, self._engine))
        keyed = keyed.filter(keyed["key"].notnull(), keyed["x"].notnull())
        cut = self._ask(keyed.group_by("key"), keyed["x"].min(), keyed["x"].max(), keyed.count())
        return [Cell(low + 0.0, high + 0.0, rows) for _, low, high, rows in cut]

    def count(self, decision: Decision, facts: ColumnProfile) -> Decision:
        """Count the rows of each bin, and find the mean of each."""
        column, counter = decision.column, ColumnCounter(decision.column)
        x = self.rows[column.name]
        if column.numeric:
            number = as_number(x)
            leaves = [(number - middle) * unit for middle, unit in counter.centres()]
            nothing = ibis().literal("0").cast("float64")
            inside = below(number, column.edges, leaves, self._engine) if leaves else nothing
            keyed = self.rows.select(key=bin_of(column, x, self._engine), inside=inside)
            valued = _clear(ibis().ifelse(keyed["key"] < column.value_bins, keyed["inside"], 0.0), 1e-150)
            for answer in self._ask(keyed.group_by("key"), keyed.count(), valued.sum(), (valued * valued).sum()):
                counter.take(*answer)
            return replace(decision, column=counter.placed(), counts=counter.counts)
        texts = facts.texts.copy()
        for value, rows in (facts.distinct or {}).items():
            texts[canonical(value)] += rows
        for text, rows in texts.items():
            if text in column.categories:
                counter.take(column.categories.index(text), rows)
        counter.take(column.missing_bin, facts.missing)
        counter.take(column.value_bins - 1, facts.rows - int(counter.counts.sum()))
        return replace(decision, column=column, counts=counter.counts)


def _clear(x: Expr, least: float) -> Expr:
    """Take smaller numbers for zero: in Postgres it is an error if a product of others is."""
    return ibis().ifelse(x.abs() < least, 0.0, x)


def _part(x: Expr, cell: Cell, at: int, parts: int) -> Expr:
    """Number of the part of a cell, of `parts` equal ones, that each value is in; only its order matters."""
    low, high, width = cell.low, cell.high, cell.high - cell.low
    if math.isinf(width):
        x, low, high, width = x / 2, low / 2, high / 2, high / 2 - low / 2
    scale = min(parts / width, 1e300) if width > 0 else 1e300
    part = ibis().greatest(ibis().least((x - low) * scale, parts - 1.0), 0.0)
    return at * parts + part.cast("int64")


def cut_bits(cell: Cell, parts: int) -> list[float]:
    """Edges that cut a cell into parts with equally many numbers of 64 bits.

    >>> cut_bits(Cell(1.0, 16.0, 9), 4), cut_bits(Cell(0.0, 5e-324, 9), 4)
    ([2.0, 4.0, 8.0], [0.0])
    """
    low, high = (_turned(*struct.unpack("<q", struct.pack("<d", end))) for end in (cell.low, cell.high))
    places = sorted({low + (high - low) * part // parts for part in range(1, parts)})
    return [struct.unpack("<d", struct.pack("<q", _turned(place)))[0] for place in places]


def _turned(bits: int) -> int:
    """Bits of a number such that their order is that of the numbers, and back."""
    return bits if bits >= 0 else bits ^ (2**63 - 1)


def spread(cells: Sequence[Cell]) -> tuple[Any, Any, Any]:
    """Values, rows of each, and which cell each is of whose other values are not known, -1 if they are.

    Of such a cell all rows but one are taken to have its smallest value: no other value of it can have more.
    """
    values, rows, of = list[float](), list[int](), list[int]()
    for at, (low, high, n) in enumerate(cells):
        values += [low] if low == high else [low, high]
        rows += [n] if low == high else [n - 1, 1]
        of += [-1] if low == high else [-1 if n == 2 else at, -1]
    return np.array(values), np.array(rows, dtype=np.int64), np.array(of)


def unresolved(cells: Sequence[Cell], bins: int) -> set[Cell]:
    """Cells that must be cut: those that an edge rests on; all of them while few distinct values are known."""
    values, rows, of = spread(cells)
    if len(values) <= MAX_DISTINCT_NUMBERS:
        return {cells[at] for at in of if at >= 0}
    own, positions = wanted_values(rows, bins)
    chosen = np.append(own, np.delete(np.arange(len(values)), own)[positions])
    return {cells[of[at]] for at in chosen.tolist() if of[at] >= 0}
