"""What is known of a model's performance, for the page, the API and the command: outcomes, estimates, who has outcomes.

All of it is worked out from stored sums and windows; nothing is kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitor import words
from monitor.clock import DAY, HOUR, iso
from monitor.columns.batch import Batch
from monitor.columns.column import Counts, Schema
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import DriftResult, Span
from monitor.errors import InputError
from monitor.judging.performance import SOON, ripe_until, settle_time, whole_hours
from monitor.outcomes.baseline import Baseline
from monitor.outcomes.estimates import bins_by_prediction, bins_of, coarse, concept_shift, estimate
from monitor.outcomes.join import DELAYS
from monitor.outcomes.performance import Measure, measure, metric_name, weighted
from monitor.outcomes.results import CONCEPT_Z
from monitor.outcomes.sums import Sums, Target
from monitor.outcomes.verdict import auto_metrics
from monitor.series import Series
from monitor.store.records import outcomes as outcome_store
from monitor.store.windows.ranges import first_start, sum_range
from monitor.words import number

#: Outcomes that hours need on average to be shown one by one, instead of days.
LEAST = 10


@dataclass(frozen=True)
class Period:
    """Outcomes and predictions of a period. `settled`: whether its outcomes have come, as far as they come.

    `no_estimate`: why there are no estimates, if too few held-out rows are like its predictions.
    """

    start: float
    end: float
    sums: Sums
    predictions: int
    measures: Mapping[str, Measure]
    estimates: Mapping[str, Measure] = field(default_factory=dict)
    settled: bool = True
    no_estimate: str = ""


@dataclass(frozen=True)
class MetricRow:
    """One metric: of the predictions with an outcome, of the held-out rows, of all predictions, and estimated."""

    metric: str
    live: Measure | None
    reference: Measure | None
    weighted: Measure | None
    estimated: Measure | None


@dataclass(frozen=True)
class PerformanceReport:
    """Performance of one series in a period, as a whole and by hours or days.

    `weighted`: metrics of all predictions, from those whose outcome is known (see `performance.weighted`), and `spoken`
    the share of predictions that they speak for. `selected`: how the predictions with an outcome differ from all; None
    if that cannot be told. `concept`: by metric, realised minus estimated value, and its Z. `delays`: outcomes by their
    delay, in the bins of `DELAYS`.
    """

    target: Target
    baseline: Baseline | None
    whole: Period
    parts: tuple[Period, ...]
    weighted: Mapping[str, Measure]
    spoken: float
    selected: DriftResult | None
    concept: Mapping[str, tuple[float, float]]
    delays: Counts
    settle: float

    def __repr__(self) -> str:
        main = self.whole.measures.get(self.main)
        text = f"{metric_name(self.main)} {number(main.value)}" if main else "no outcomes judged"
        return f"<PerformanceReport {Span(self.whole.start, self.whole.end)!r}: {text}; {self.coverage[0]}>"

    @property
    def main(self) -> str:
        """The metric that speaks for the others: accuracy, or MAE."""
        return auto_metrics(self.target)[0]

    @property
    def rows(self) -> list[MetricRow]:
        """Every metric that is known by outcomes or estimated."""
        before = measure(self.baseline.sums) if self.baseline else {}
        live, estimates = self.whole.measures, self.whole.estimates
        return [
            MetricRow(name, live.get(name), before.get(name), self.weighted.get(name), estimates.get(name))
            for name in dict.fromkeys([*live, *estimates])
        ]

    @property
    def coverage(self) -> list[str]:
        """How many predictions have an outcome, whether these are like all, and when outcomes come; a sentence each."""
        whole = self.whole
        share = f" ({words.percent(whole.sums.n / whole.predictions)})" if whole.predictions else ""
        lines = [f"{whole.sums.n:,} outcomes of {words.counted(whole.predictions, 'prediction')}{share}"]
        if self.settle:
            young = "; younger hours are not judged" if self.settle > SOON else ""
            lines.append(f"95 % of outcomes come within {words.duration(self.settle)}{young}")
        if self.selected is not None and self.selected.state == "drift" and self.selected.direction:
            lines.append(f"predictions with an outcome are not like all: {self.selected.direction.text}")
        if self.spoken < 1 and self.weighted:
            lines.append(f"the weighted metrics speak for {words.percent(self.spoken)} of the predictions")
        if whole.no_estimate:
            lines.append(whole.no_estimate)
        return lines

    @property
    def unexplained(self) -> list[str]:
        """Metrics that are not what the inputs let expect, a sentence each."""
        return [
            f"{metric_name(name)} is {number(abs(gap))} {'below' if gap < 0 else 'above'} what the inputs explain"
            for name, (gap, z) in self.concept.items()
            if abs(z) > CONCEPT_Z
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain data, times in ISO 8601."""
        metrics = [
            {
                "metric": row.metric,
                "name": metric_name(row.metric),
                **_plain("", row.live),
                "reference": row.reference.value if row.reference else None,
                **_plain("weighted_", row.weighted),
                **_plain("estimated_", row.estimated),
            }
            for row in self.rows
        ]
        parts = [
            {
                "start": iso(part.start),
                "end": iso(part.end),
                "outcomes": part.sums.n,
                "predictions": part.predictions,
                "settled": part.settled,
                "no_estimate": part.no_estimate or None,
                **_plain("", part.measures.get(self.main)),
                **_plain("estimated_", part.estimates.get(self.main)),
            }
            for part in self.parts
        ]
        return {
            "kind": self.target.kind,
            "classes": list(self.target.classes),
            "window": Span(self.whole.start, self.whole.end).to_json(),
            "outcomes": self.whole.sums.n,
            "unusable": self.whole.sums.unusable,
            "predictions": self.whole.predictions,
            "settle_seconds": self.settle,
            "metrics": metrics,
            "spoken_for": self.spoken,
            "no_estimate": self.whole.no_estimate or None,
            "selected": self.selected.to_json() if self.selected else None,
            "concept": {name: {"gap": gap, "z": z} for name, (gap, z) in self.concept.items()},
            "confusion": self.whole.sums.confusion.sum(axis=0).tolist() if self.target.classified else None,
            "main": self.main,
            "parts": parts,
            "delays": {"upper_seconds": list(DELAYS), "outcomes": self.delays.tolist()},
        }


def _plain(prefix: str, metric: Measure | None) -> dict[str, float | None]:
    return {prefix + name: getattr(metric, name) if metric else None for name in ("value", "low", "high", "n")}


def report_performance(
    connection: sqlite3.Connection, series: Series, start: float, end: float, now: float
) -> PerformanceReport:
    """Work out a report of [start, end), taken to whole hours, in parts: hours if they are few and full, else days.

    Nothing is known after `now`. Raises InputError for an end before the start.
    """
    reference, target = series.reference, series.reference.target
    if end <= start:
        raise InputError("bad_range", "the end must be later than the start", "to", 422)
    span = whole_hours(Span(start, max(min(end, now), start)))
    start, end = span.start, span.end
    delays = outcome_store.read_delays(connection, series)[0]
    settle = settle_time(delays)
    ripe = ripe_until(now, settle)
    stored = outcome_store.read_sums(connection, series, start, end)
    baseline = reference.baseline
    parts = []
    # Nothing was before the first window and the first sums, so a period of centuries has no more parts than history.
    first = min(max(start, min([first_start(connection, series.id), *(at for at, _ in stored)])), end)
    total = sum(stored.values(), Sums.zero(target))
    dense = total.n >= LEAST * len(stored)
    width = HOUR if min(end, now) - first <= 4 * DAY and dense else DAY
    for begin in np.arange(first // width * width, min(end, now + HOUR), width).tolist():
        sums = [of_hour for (at, _), of_hour in stored.items() if begin <= at < begin + width]
        batch = sum_range(connection, series, max(begin, start), min(begin + width, end))
        if sums or batch.n:
            of_part = sum(sums, Sums.zero(target))
            parts.append(_period(series, baseline, begin, begin + width, of_part, batch, begin + width <= ripe))
    batch = sum_range(connection, series, start, end)
    whole = _period(series, baseline, start, end, total, batch, end <= ripe)
    rows = bins_by_prediction(series.schema, target, batch.counts)
    now_weighted, spoken = ({}, 0.0) if rows is None else weighted(coarse(series.schema, target, total), rows)
    concept = {}
    for name in auto_metrics(target) if baseline else ():
        shift = concept_shift(total, baseline.sums, name) if baseline and total.n else None
        if shift is not None:
            concept[name] = shift
    known = _selected(series, total, batch), concept, delays, settle
    return PerformanceReport(target, baseline, whole, tuple(parts), now_weighted, spoken, *known)


def _period(
    series: Series, baseline: Baseline | None, start: float, end: float, sums: Sums, batch: Batch, settled: bool
) -> Period:
    facts = start, end, sums, batch.n, measure(sums)
    rows = bins_by_prediction(series.schema, series.reference.target, batch.counts)
    if baseline is None or rows is None or not batch.n:
        return Period(*facts, settled=settled)
    estimates, why = estimate(coarse(series.schema, baseline.target, baseline.sums), rows)
    return Period(*facts, estimates, settled, why)


def _selected(series: Series, total: Sums, batch: Batch) -> DriftResult | None:
    """Compare the predictions that have an outcome with all predictions of the same hours."""
    target, schema = series.reference.target, series.schema
    rows = bins_by_prediction(schema, target, batch.counts)
    if rows is None or not total.n or not batch.n:
        return None
    known = bins_of(coarse(schema, target, total))
    at = target.scores[0] if target.kind == "binary" and target.scores else 0
    column = schema.predictions[at]
    layout = Layout(Schema((column,)))
    pad = np.zeros(column.size - len(known), np.int64)
    unknown = np.full(1, np.nan)
    everyone, labelled = (Sample(np.concatenate([counts, pad]), unknown, unknown) for counts in (rows, known))
    question = Question("selected", (0,), "ks" if column.numeric else "kl", 0.001)
    results = evaluate(question, layout, everyone, labelled, Span(0.0, 1.0), ("all predictions",), series.subject)
    return results[0] if results else None


def lines_of(report: PerformanceReport) -> list[str]:
    """Say a report in a few lines and a table, for a terminal."""
    head = ("metric", "outcomes", "95 %", "n", "held-out rows", "all predictions", "estimated without outcomes")
    rows = [
        (
            metric_name(row.metric),
            *_cells(row.live),
            number(row.reference.value) if row.reference else "-",
            *_cells(row.weighted)[:1],
            "{} ({})".format(*_cells(row.estimated)) if row.estimated else "-",
        )
        for row in report.rows
    ]
    table = ["", *words.table(head, rows, right=(1, 3, 4, 5))] if rows else []
    return [*report.coverage, *table, *report.unexplained]


def _cells(metric: Measure | None) -> tuple[str, str, str]:
    """A metric, its interval and its rows."""
    if metric is None:
        return "-", "-", "-"
    return number(metric.value), f"{number(metric.low)} to {number(metric.high)}", f"{metric.n:,}"
