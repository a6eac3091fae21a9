"""Sums of predictions with their outcomes, hour by hour, as expressions of Ibis: `Terms` has the formulas.

A missing value, NaN too, is NULL in all of them, as engines compare NaN in ways of their own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.columns.canonical import Codes, canonical
from monitor.config.settings import SourceConfig
from monitor.errors import SourceError
from monitor.outcomes.sums import BINNED, TOTALS, Engine, Sums, Target, Terms
from monitor.warehouse.counting import (
    LEFTOVERS,
    Expr,
    as_number,
    as_text,
    below,
    ibis,
    missing,
    numeric,
    texts,
    value_of,
)
from monitor.warehouse.engine import readable, rows_of

#: Answers an expression with a table of Arrow.
Run = Callable[[Expr], Any]

#: What an answer is grouped by: in some time zones, which a connection may have, hours begin elsewhere than in UTC, but
#: quarters of an hour do in none.
QUARTERS = ("time", "quarter")


def with_outcomes(run: Run, connection: Any, rows: Expr, settings: SourceConfig, target: Target) -> tuple[Expr, Expr]:
    """Return the rows and their column of outcomes, joined from another table if it is there. Raises SourceError."""
    key, name, where = settings.id, settings.outcome, settings.outcomes
    truth = readable(connection, rows_of(connection, where), (key, name)) if where else rows
    kind = truth[name].type()
    if not (numeric(kind) or (target.classified and texts(kind))):
        wanted = "classes" if target.classified else "numbers"
        raise SourceError(f"column {name!r} has type {kind}, and outcomes are {wanted}")
    if where:
        known = truth.filter(truth[name].notnull())
        rows = rows.join(known.select(key, telltale_outcome=known[name]), key)
        joined = run(rows.aggregate(n=rows.count(), ids=rows[key].nunique()))
        if joined["n"].to_pylist() != joined["ids"].to_pylist():
            raise SourceError(f"several rows have the same {key!r}, in the table or in {where}; outcomes need one each")
    return rows, rows["telltale_outcome" if where else name]


def sums_by_hour(
    run: Run, rows: Expr, target: Target, when: Expr, outcome: Expr, predictions: Sequence[Expr], engine: str
) -> dict[int, Sums]:
    """Sum up rows that have an outcome, by the start of their hour in seconds since 1970 UTC.

    `when`, `outcome`, `predictions`: columns of the rows: their times, what came true, and the predictions in their
    order. A class is known by any spelling; one that the model does not know counts as wrong.
    """
    columns = {"y": (outcome, target.classified)}
    columns |= {f"p{at}": (x, target.classified and at == 0) for at, x in enumerate(predictions)}
    values = {
        name: _coded(run, rows, x, target.classes) if coded else _number(x) for name, (x, coded) in columns.items()
    }
    quarter = (when.minute() / 15).floor().cast("int32")
    table = rows.select(time=when.truncate("h"), quarter=quarter, **values)
    ib, by_hour = ibis(), defaultdict[int, Sums](lambda: Sums.zero(target))
    table = table.filter(table["y"].notnull())
    table = table.mutate(usable=_terms(target, engine, table).usable)
    cells = [ib.ifelse(table["usable"], ib.null("int32"), 0)]
    for which, place in _terms(target, engine, table).cells():
        cells.append(ib.ifelse(table["usable"] & which, place, ib.null("int32")).cast("int32"))
    cells = table.select(*QUARTERS, at=ib.array(cells).unnest())
    cells = run(cells.filter(cells["at"].notnull()).group_by(*QUARTERS, "at").agg(n=lambda t: t.count()))
    for hour, at, n in zip(_hours(cells), cells["at"].to_pylist(), cells["n"].to_pylist(), strict=True):
        by_hour[hour].counts[at] += n
    if target.classified and not target.scores:
        return by_hour
    table = table.filter(table["usable"] & _terms(target, engine, table).known)
    place, moments = _terms(target, engine, table).moments()
    table = table.select(*QUARTERS, bin=place, **moments)
    summed = run(table.group_by(*QUARTERS, "bin").agg(**{name: table[name].sum() for name in moments}))
    names, binned = TOTALS[target.kind], BINNED[target.kind]
    lines = np.array([np.nan_to_num(summed[name].to_numpy().astype(float)) for name in (*names, *binned)]).T
    for hour, at, line in zip(_hours(summed), summed["bin"].to_pylist(), lines, strict=True):
        by_hour[hour].moments[: len(names)] += line[: len(names)]
        for name, moment in zip(binned, line[len(names) :], strict=True):
            by_hour[hour].binned(name)[at] += moment
    return by_hour


def _number(x: Expr) -> Expr:
    return ibis().ifelse(missing(x), ibis().null("float64"), as_number(x))


def _coded(run: Run, rows: Expr, x: Expr, classes: Sequence[str]) -> Expr:
    """Codes of a column of classes: NULL if missing, `len(classes)` for any other."""
    ib, codes, kind, cases = ibis(), Codes(classes), x.type(), [(missing(x), ibis().null("float64"))]
    by_text = rows.filter(~missing(x)).select(value=as_text(x)).group_by("value").agg(n=lambda t: t.count())
    for text in run(by_text.order_by(ib.desc("n"), "value").limit(LEFTOVERS))["value"].to_pylist():
        code = codes.find(canonical(text == "true" if kind.is_boolean() else value_of(text, kind)))
        if code is not None:
            cases.append((as_text(x) == text, ib.null("float64") if math.isnan(code) else ib.literal(code)))
    return ib.cases(*cases, else_=ib.literal(float(len(classes)))).cast("float64")


def _hours(cells: Any) -> list[int]:
    seconds = cells["time"].to_numpy().astype("datetime64[s]").astype(np.int64) + 900 * cells["quarter"].to_numpy()
    hours: list[int] = (seconds // 3600 * 3600).tolist()
    return hours


def _terms(target: Target, engine: str, table: Expr) -> Terms:
    """Formulas of a table of `y` and the predictions `p0`, `p1`..., classes as codes."""
    predictions = [table[name] for name in table.columns if name[0] == "p"]
    return Terms(target, _Expressions(engine), predictions, table["y"])


@dataclass(frozen=True)
class _Expressions(Engine):
    """Writes formulas as expressions of Ibis; a missing number is NULL."""

    engine: str

    def number(self, value: float) -> Expr:
        """Return a double; engines take some literals for decimals."""
        return ibis().literal(float(value) if self.engine == "clickhouse" else repr(float(value))).cast("float64")

    def where(self, condition: Expr, then: Expr, other: Expr) -> Expr:
        return ibis().ifelse(condition, then, other)

    def within(self, x: Expr, limit: float) -> Expr:
        return (x.abs() <= ibis().literal(limit)).fill_null(False)

    def size(self, x: Expr) -> Expr:
        return x.abs()

    def place(self, x: Expr, edges: Sequence[float]) -> Expr:
        return below(x, edges, [ibis().literal(at, "int32") for at in range(len(edges) + 1)], self.engine)

    def whole(self, x: Expr) -> Expr:
        return x.cast("int32")

    def log(self, x: Expr) -> Expr:
        return x.ln()

    def largest(self, *values: Expr) -> Expr:
        return ibis().greatest(*values)
