"""Two versions side by side: what each saw and answered on its own traffic. No model is asked, and nothing is stored.

Their counts are compared bin by bin, like those of a window with a reference; so a column is compared if both versions
count it in the same bins, as they do if the reference was kept. Of other columns the means are told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from monitor import words
from monitor.columns.batch import Batch
from monitor.columns.column import Column, Schema
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import DriftResult, Span
from monitor.outcomes.performance import Measure
from monitor.outcomes.results import metric_name, number
from monitor.performance_report import report_performance
from monitor.series import Series
from monitor.store.windows.ranges import sum_range

#: A column by what is told of it: its name and role, and the bins that it is counted in.
Bins = tuple[str, str, tuple[float, ...], tuple[str, ...]]


class Side(NamedTuple):
    """One version: its traffic in the period, and its performance by metric if outcomes are known."""

    series: Series
    batch: Batch
    measures: Mapping[str, Measure]

    def shares(self, column: Column) -> list[float]:
        """Shares of the bins of one of its columns."""
        counts = self.series.schema.split(self.batch.counts)[self.series.schema.columns.index(column)]
        return [float(count) / max(int(counts.sum()), 1) for count in counts]

    def mean(self, name: str, role: str) -> float | None:
        """Mean of a column; None if it is categorical or had no value."""
        for at, column in enumerate(self.series.schema.columns):
            if (column.name, column.role) == (name, role) and column.numeric:
                values = int(self.series.schema.split(self.batch.counts)[at][: column.value_bins].sum())
                return float(self.batch.sums[at]) / values if values else None
        return None


class Comparison(NamedTuple):
    """Two versions in a period.

    `results`: how the second differs from the first, of columns with the same bins, the most different first; `apart`:
    names and roles of the other columns.
    """

    span: Span
    sides: tuple[Side, Side]
    results: tuple[DriftResult, ...]
    apart: tuple[tuple[str, str], ...]

    @property
    def differing(self) -> list[DriftResult]:
        """What differs by more than chance and the floor."""
        return [result for result in self.results if result.state == "drift"]

    @property
    def answers(self) -> list[tuple[Column, list[tuple[str, float, float]]]]:
        """Prediction columns with the same bins: label and share of each bin that has any."""
        first, second = self.sides
        found = []
        for column in first.series.schema.predictions:
            twin = next((one for one in second.series.schema.predictions if bins_of(one) == bins_of(column)), None)
            if twin is not None:
                rows = zip(column.labels, first.shares(column), second.shares(twin), strict=True)
                found.append((column, [row for row in rows if row[1] or row[2]]))
        return found

    @property
    def metrics(self) -> list[tuple[str, Measure | None, Measure | None]]:
        """Metrics that are known of one of them."""
        first, second = (side.measures for side in self.sides)
        return [(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]

    def lines(self) -> list[str]:
        """Say it in words."""
        names = [side.series.subject.title for side in self.sides]
        texts = [
            f"{name}: {words.counted(side.batch.n, 'prediction')}" for name, side in zip(names, self.sides, strict=True)
        ]
        for column, rows in self.answers:
            texts += ["", f"what they answered: {column.name}"]
            shown = [(label, words.percent(a), words.percent(b)) for label, a, b in rows]
            texts += words.table(("bin", *names), shown, (1, 2))
        compared = len({(result.column, result.role) for result in self.results})
        moved = list(dict.fromkeys((result.column, result.role) for result in self.differing))
        texts += ["", f"{len(moved)} of {words.counted(compared, 'column')} with the same bins differ"]
        texts += [
            f"  {result.column} ({result.role}): {result.direction.text if result.direction else ''}; "
            f"{result.statistic} {number(result.value or 0.0)}, threshold {number(result.threshold or 0.0)}"
            for result in self.differing
        ]
        for name, role in self.apart:
            means = [side.mean(name, role) for side in self.sides]
            said = " and ".join("none" if mean is None else number(mean) for mean in means)
            texts.append(f"  {name} ({role}): counted in other bins; means {said}")
        texts += [""] if self.metrics else ["", "no outcomes are known of either"]
        return [*texts, *(f"{metric_name(name)}: {told(a)} and {told(b)}" for name, a, b in self.metrics)]

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
        answers = {
            column.name: [{"bin": label, "first": a, "second": b} for label, a, b in rows]
            for column, rows in self.answers
        }
        apart = [
            {"column": name, "role": role, "means": [side.mean(name, role) for side in self.sides]}
            for name, role in self.apart
        ]
        results = [result.to_json() for result in self.results]
        return {**self.span.to_json(), "versions": sides, "answers": answers, "results": results, "other_bins": apart}


def told(one: Measure | None) -> str:
    """Write a metric with its interval."""
    return "not known" if one is None else f"{number(one.value)} ({number(one.low)} to {number(one.high)}; {one.n:,})"


def bins_of(column: Column) -> Bins:
    """What a column is counted in."""
    return column.name, column.role, column.edges, column.categories


def compare(
    connection: sqlite3.Connection, first: Series, second: Series, span: Span, now: float, alpha: float, least: int
) -> Comparison:
    """Compare two versions in a period; `alpha` and `least` rows as of a rule. Raises InputError for a bad period."""
    sides = tuple(
        Side(
            one,
            sum_range(connection, one, span.start, span.end),
            report_performance(connection, one, span.start, span.end, now).whole.measures,
        )
        for one in (first, second)
    )
    a, b = sides
    places = {bins_of(column): at for at, column in enumerate(second.schema.columns)}
    pairs = [(at, places[bins_of(c)]) for at, c in enumerate(first.schema.columns) if bins_of(c) in places]
    same = {(first.schema.columns[at].name, first.schema.columns[at].role) for at, _ in pairs}
    every = dict.fromkeys((c.name, c.role) for one in (first, second) for c in one.schema.columns)
    samples = []
    for side, positions in ((a, [at for at, _ in pairs]), (b, [at for _, at in pairs])):
        parts = side.series.schema.split(side.batch.counts)
        counts = np.concatenate([parts[at] for at in positions]) if positions else np.zeros(0, np.int64)
        samples.append(Sample(counts, side.batch.sums[positions], side.series.reference.deviations[positions]))
    results: tuple[DriftResult, ...] = ()
    if pairs:
        layout = Layout(Schema(tuple(first.schema.columns[at] for at, _ in pairs)))
        question = Question("compare", tuple(range(len(pairs))), alpha=alpha, min_samples=least)
        names = [f"model {first.version}"] * len(pairs)
        results = evaluate(question, layout, samples[0], samples[1], span, names, second.subject)
    ranked = sorted(results, key=lambda result: (result.state == "drift", result.strength), reverse=True)
    return Comparison(span, (a, b), tuple(ranked), tuple(key for key in every if key not in same))
