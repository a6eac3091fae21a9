"""Sums of predictions with their outcomes, hour by hour, as expressions of Ibis: those that `contribute` adds up.

A missing value, NaN too, is NULL in all of them, as engines compare NaN in ways of their own.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, and_
from typing import Any

import numpy as np

from monitor.columns.canonical import Codes, canonical
from monitor.config.settings import SourceConfig
from monitor.errors import SourceError
from monitor.outcomes.sums import BINNED, CLASS_EDGES, CLIP, LARGEST, TOTALS, Sums, Target
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
from monitor.warehouse.engine import rows_of

#: Answers an expression with a table of Arrow.
Run = Callable[[Expr], Any]

#: What an answer is grouped by: in some time zones, which a connection may have, hours begin elsewhere than in UTC, but
#: quarters of an hour do in none.
QUARTERS = ("time", "quarter")


def with_outcomes(run: Run, connection: Any, rows: Expr, settings: SourceConfig, target: Target) -> tuple[Expr, Expr]:
    """Return the rows and their column of outcomes, joined from another table if it is there. Raises SourceError."""
    key, name, where = settings.id, settings.outcome, settings.outcomes
    truth = rows_of(connection, where) if where else rows
    kind = truth[name].type()
    if not (numeric(kind) or (target.classified and texts(kind))):
        wanted = "classes" if target.classified else "numbers"
        raise SourceError(f"column {name!r} has type {kind}, and outcomes are {wanted}")
    if where:
        known = truth.filter(truth[name].notnull())
        rows = rows.join(known.select(key, telltale_outcome=known[name]), key)
        found = run(rows.aggregate(n=rows.count(), ids=rows[key].nunique()))
        if found["n"].to_pylist() != found["ids"].to_pylist():
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
    columns |= {f"p{at}": (x, target.classified and at == target.value) for at, x in enumerate(predictions)}
    values = {
        name: _coded(run, rows, x, target.classes) if coded else _number(x) for name, (x, coded) in columns.items()
    }
    quarter = (when.minute() / 15).floor().cast("int32")
    table = rows.select(time=when.truncate("h"), quarter=quarter, **values)
    asked, found = _Asked(target, engine), defaultdict[int, Sums](lambda: Sums.zero(target))
    table = table.filter(table["y"].notnull())
    table = table.mutate(usable=asked.usable(table), scored=asked.scored(table))
    cells = table.select(*QUARTERS, at=ibis().array([*asked.cells(table)]).unnest())
    cells = run(cells.filter(cells["at"].notnull()).group_by(*QUARTERS, "at").agg(n=lambda t: t.count()))
    for hour, at, n in zip(_hours(cells), cells["at"].to_pylist(), cells["n"].to_pylist(), strict=True):
        found[hour].counts[at] += n
    if target.classified and not target.scores:
        return found
    known = table["usable"] & (table["scored"] & (table["y"] < len(target.classes)) if target.classified else True)
    table = table.filter(known)
    place, moments = asked.moments(table)
    table = table.select(*QUARTERS, bin=place, **moments)
    summed = run(table.group_by(*QUARTERS, "bin").agg(**{name: table[name].sum() for name in moments}))
    names, binned = TOTALS[target.kind], BINNED[target.kind]
    lines = np.array([np.nan_to_num(summed[name].to_numpy().astype(float)) for name in (*names, *binned)]).T
    for hour, at, line in zip(_hours(summed), summed["bin"].to_pylist(), lines, strict=True):
        found[hour].moments[: len(names)] += line[: len(names)]
        for name, moment in zip(binned, line[len(names) :], strict=True):
            found[hour].binned(name)[at] += moment
    return found


def _number(x: Expr) -> Expr:
    return ibis().ifelse(missing(x), ibis().null("float64"), as_number(x))


def _coded(run: Run, rows: Expr, x: Expr, classes: Sequence[str]) -> Expr:
    """Codes of a column of classes: NULL if missing, `len(classes)` for any other."""
    one, codes, kind, cases = ibis(), Codes(classes), x.type(), [(missing(x), ibis().null("float64"))]
    found = rows.filter(~missing(x)).select(value=as_text(x)).group_by("value").agg(n=lambda t: t.count())
    for text in run(found.order_by(one.desc("n"), "value").limit(LEFTOVERS))["value"].to_pylist():
        code = codes.find(canonical(text == "true" if kind.is_boolean() else value_of(text, kind)))
        if code is not None:
            cases.append((as_text(x) == text, one.null("float64") if math.isnan(code) else one.literal(code)))
    return one.cases(*cases, else_=one.literal(float(len(classes)))).cast("float64")


def _hours(found: Any) -> list[int]:
    seconds = found["time"].to_numpy().astype("datetime64[s]").astype(np.int64) + 900 * found["quarter"].to_numpy()
    hours: list[int] = (seconds // 3600 * 3600).tolist()
    return hours


def _up_to(x: Expr, limit: float) -> Expr:
    return (x.abs() <= ibis().literal(limit)).fill_null(False)


@dataclass(frozen=True)
class _Asked:
    """What is asked of a table of `y` and the predictions `p0`, `p1`..., classes as codes."""

    target: Target
    engine: str

    def real(self, number: float) -> Expr:
        """Return a double; engines take some literals for decimals."""
        number = float(number)
        return ibis().literal(number if self.engine == "clickhouse" else repr(number)).cast("float64")

    def one_if(self, condition: Expr) -> Expr:
        return ibis().ifelse(condition, self.real(1), self.real(0))

    def place(self, x: Expr, edges: Sequence[float]) -> Expr:
        """Bin of a number."""
        return below(x, edges, [ibis().literal(at, "int32") for at in range(len(edges) + 1)], self.engine)

    def usable(self, table: Expr) -> Expr:
        """Whether the prediction and the outcome can be compared."""
        target, found = self.target, _up_to(table["y"], LARGEST)
        if target.kind == "score":
            return found
        if target.value is None:
            return found & _up_to(table[f"p{target.scores[0]}"], sys.float_info.max)
        found &= _up_to(table[f"p{target.value}"], LARGEST)
        return (
            found & (table[f"p{target.value}"] < len(target.classes)).fill_null(False) if target.classified else found
        )

    def scored(self, table: Expr) -> Expr:
        """Whether all probabilities are there."""
        finite = [_up_to(table[f"p{at}"], sys.float_info.max) for at in self.target.scores]
        return reduce(and_, finite) if finite else ibis().literal(False)

    def cells(self, table: Expr) -> Iterator[Expr]:
        """Positions among the counts that each row adds to; NULL for none."""
        one, target, y, width = ibis(), self.target, table["y"], len(self.target.classes)
        usable, scored, none = table["usable"], table["scored"], one.null("int32")
        p, cell = [table[f"p{at}"] for at in target.scores], one.literal(1)
        if target.classified:
            place, predicted = one.literal(0), None if target.value is None else table[f"p{target.value}"].cast("int32")
            if predicted is None:
                predicted = one.ifelse(p[0] > self.real(target.threshold), target.positive, 1 - target.positive)
            if target.kind == "binary" and p:
                place = one.ifelse(scored, self.place(p[0], target.edges), target.bins - 1)
            cell = (place * (width + 1) + y.cast("int32")) * width + predicted + 1
        yield one.ifelse(usable, cell, 0).cast("int32")
        if not target.classified:
            yield one.ifelse(usable, self.place(y, target.outcome_edges) + 2, none).cast("int32")
        if target.kind == "regression":
            error, first = table[f"p{target.value or 0}"] - y, 3 + len(target.outcome_edges)
            yield one.ifelse(usable, self.place(error, target.error_edges) + first, none).cast("int32")
        first, (ranked, _, bins) = 1 + math.prod(target.confusion_shape), target.ranks_shape
        for code in range(ranked):
            rank = self.place(p[code], CLASS_EDGES) + one.ifelse(y == code, bins, 0) + (first + 2 * bins * code)
            yield one.ifelse(usable & scored & (y < width), rank, none).cast("int32")

    def moments(self, table: Expr) -> tuple[Expr, Mapping[str, Expr]]:
        """Bin of each row, and each of its moments by name."""
        one, target, y = ibis(), self.target, table["y"]
        if target.classified:
            return self._of_classes(table)
        scaled = (y - self.real(target.centre)) / self.real(target.scale)
        found = {"y": scaled, "y2": scaled * scaled}
        if target.kind == "score":
            return one.literal(0), found
        predicted, y2 = table[f"p{target.value or 0}"], found["y2"]
        e, ape = (predicted - y) / self.real(target.scale), (predicted - y).abs() / y.abs().nullif(self.real(0))
        e2, inside, above, whole = e * e, *[one.literal(False)] * 3
        if target.interval is not None:
            low, high = (table[f"p{at}"] for at in target.interval)
            whole = _up_to(low, sys.float_info.max) & _up_to(high, sys.float_info.max)
            inside, above = (low <= y) & (y <= high), y > high
        found |= {"abs_e_e": e.abs() * e, "ape": ape, "ape2": ape * ape, "ape_rows": self.one_if(y != self.real(0))}
        found |= {
            "inside": self.one_if(inside),
            "outside_above": self.one_if(above),
            "interval_rows": self.one_if(whole),
        }
        found |= {"y3": y2 * scaled, "y4": y2 * y2, "y_e2": scaled * e2, "y2_e2": y2 * e2}
        found |= {"rows": self.real(1), "e": e, "abs_e": e.abs(), "e2": e2, "e4": e2 * e2}
        return self.place(predicted, target.edges), found

    def _of_classes(self, table: Expr) -> tuple[Expr, Mapping[str, Expr]]:
        one, target, y = ibis(), self.target, table["y"]
        p, codes = [table[f"p{at}"] for at in target.scores], [*range(len(target.classes))]
        if target.kind == "binary":
            p, codes = [p[0], 1 - p[0]], [target.positive, 1 - target.positive]
        hits = [self.one_if(y == code) for code in codes]
        errors = [(x - hit) * (x - hit) for x, hit in zip(p, hits, strict=True)]
        came, low, high = (
            reduce(add, (x * hit for x, hit in zip(p, hits, strict=True))),
            self.real(CLIP),
            self.real(1 - CLIP),
        )
        log = -one.ifelse(came < low, low, one.ifelse(came > high, high, came)).ln()
        if target.kind == "binary":
            brier, top, tilt = errors[0], p[0], 1 - 2 * p[0]
            found = {"gap_tilt": (hits[0] - p[0]) * tilt, "tilt2_var": tilt * tilt * p[0] * (1 - p[0])}
        else:
            brier, top = reduce(add, errors), one.greatest(*p)
            found = {"right": self.one_if(y == table[f"p{target.value}"]), "rows": self.real(1)}
        found |= {"brier": brier, "brier2": brier * brier, "log": log, "log2": log * log, "p": top}
        return self.place(top, target.edges), found
