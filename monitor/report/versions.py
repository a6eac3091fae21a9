"""Two versions side by side: what each saw and answered on its own traffic. No model is asked, and nothing is stored.

The counts of the second are compared with those of the first, as a table is with a reference (`frames`); so a column is
compared if both versions count it in the same bins, as they do if the reference was kept. Of others it shows the means.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from monitor import words
from monitor.columns.batch import Batch
from monitor.columns.column import Column, Schema
from monitor.drift.result import Span
from monitor.judging.performance_report import report_performance
from monitor.outcomes.performance import Measure, metric_name
from monitor.reference.file import Reference, ReferenceInfo
from monitor.report import overview
from monitor.report.file import Report
from monitor.report.frames import judge
from monitor.rules.rule import Rule
from monitor.series import Series
from monitor.store.windows.ranges import sum_range
from monitor.words import number


class Side(NamedTuple):
    """One version: its traffic in the period, and its performance by metric if outcomes are known."""

    series: Series
    batch: Batch
    measures: Mapping[str, Measure]

    def mean(self, name: str, role: str) -> float | None:
        """Mean of a column; None if it is categorical or had no value."""
        for at, column in enumerate(self.series.schema.columns):
            if (column.name, column.role) == (name, role) and column.numeric:
                values = int(self.series.schema.split(self.batch.counts)[at][: column.value_bins].sum())
                return float(self.batch.sums[at]) / values if values else None
        return None

    def part(self, positions: list[int]) -> Batch:
        """Its counts of some columns."""
        parts = self.series.schema.split(self.batch.counts)
        counts = np.concatenate([np.zeros(0, np.int64), *(parts[at] for at in positions)])
        return Batch(self.batch.n, counts, self.batch.sums[positions])


class Comparison(NamedTuple):
    """Two versions in a period. `report`: how the second differs from the first, in columns with the same bins.

    `apart`: names and roles of the other columns.
    """

    span: Span
    sides: tuple[Side, Side]
    report: Report
    apart: tuple[tuple[str, str], ...]

    @property
    def metrics(self) -> list[tuple[str, str, str]]:
        """Metrics that are known of one of them, with both values in words."""
        first, second = (side.measures for side in self.sides)
        names = dict.fromkeys([*first, *second])
        return [(metric_name(name), with_interval(first.get(name)), with_interval(second.get(name))) for name in names]

    @property
    def rows(self) -> list[tuple[overview.Row, Markup]]:
        """Columns with the same bins, the most different first, with both histograms."""
        return [(row, overview.draw(row, self.report.series.reference)) for row in self.report.rows]

    def lines(self) -> list[str]:
        """Say it in words."""
        texts = [f"{side.series.subject.title}: {words.counted(side.batch.n, 'prediction')}" for side in self.sides]
        texts += ["", *(repr(self.report).splitlines() if self.report.rows else ["no column has the same bins"])]
        for name, role in self.apart:
            means = [side.mean(name, role) for side in self.sides]
            both = " and ".join("none" if mean is None else number(mean) for mean in means)
            texts.append(f"  {name} ({role}): counted in other bins; means {both}")
        texts += [""] if self.metrics else ["", "no outcomes are known of either"]
        return [*texts, *(f"{name}: {first} and {second}" for name, first, second in self.metrics)]

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        sides = [
            {
                "model": side.series.model,
                "model_version": side.series.version,
                "reference": side.series.reference.identity,
                "predictions": side.batch.n,
                "performance": {
                    name: {"value": one.value, "low": one.low, "high": one.high, "n": one.n}
                    for name, one in side.measures.items()
                },
            }
            for side in self.sides
        ]
        apart = [
            {"column": name, "role": role, "means": [side.mean(name, role) for side in self.sides]}
            for name, role in self.apart
        ]
        found = self.report.to_dict()
        return {**self.span.to_json(), "versions": sides, "results": found["results"], "other_bins": apart}


def with_interval(one: Measure | None) -> str:
    """Write a metric with its interval."""
    return "not known" if one is None else f"{number(one.value)} ({number(one.low)} to {number(one.high)}; {one.n:,})"


def bins_of(column: Column) -> tuple[object, ...]:
    """Return what two versions must have alike for their counts of a column to be compared."""
    return column.name, column.role, column.edges, column.categories


def compare(
    connection: sqlite3.Connection, first: Series, second: Series, span: Span, now: float, alpha: float, least: int
) -> Comparison:
    """Compare two versions in a period; `alpha` and `least` rows as of a rule. Raises InputError for a bad period."""
    a, b = (
        Side(
            one,
            sum_range(connection, one, span.start, span.end),
            report_performance(connection, one, span.start, span.end, now).whole.measures,
        )
        for one in (first, second)
    )
    places = {bins_of(column): at for at, column in enumerate(second.schema.columns)}
    mine = [at for at, column in enumerate(first.schema.columns) if bins_of(column) in places]
    theirs = [places[bins_of(first.schema.columns[at])] for at in mine]
    schema, before = Schema(tuple(first.schema.columns[at] for at in mine)), a.part(mine)
    info = ReferenceInfo(rows=a.batch.n)
    reference = Reference(schema, before.counts, before.sums, first.reference.deviations[mine], info)
    rule = Rule("compare", alpha=alpha, min_samples=least, reference=f"version {first.version}")
    series = Series(0, second.subject, reference, (), "")
    report = judge(series, b.part(theirs), [rule], rule.reference, f"of version {second.version}", "predictions", now)
    same = {(column.name, column.role) for column in schema.columns}
    every = dict.fromkeys((c.name, c.role) for one in (first, second) for c in one.schema.columns)
    return Comparison(span, (a, b), report, tuple(key for key in every if key not in same))
