"""Drift results, alert states and the constants that rules in PromQL need, as lines of text."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy.special import gammainccinv, ndtri

from monitor.columns.column import Column, Counts
from monitor.drift.contingency import overlooked
from monitor.drift.result import STATES, DriftResult
from monitor.drift.statistics import AUTO, STATISTICS
from monitor.exposition import families as f
from monitor.exposition.distributions import kept_columns
from monitor.exposition.snapshot import ShownPerformance
from monitor.exposition.template import Form, Labels
from monitor.outcomes.performance import Measure
from monitor.outcomes.results import COLUMN
from monitor.reference.file import Reference
from monitor.rules.alert import Alert

T = TypeVar("T", DriftResult, Alert)

#: States of a verdict on performance: `worse` is its drift.
PERFORMANCE_STATES = ("ok", "worse", "insufficient data", "no reference")

ALERT_STATES = ("inactive", "pending", "firing", "resolved")

#: Statistics that compose/prometheus/rules works out over all replicas.
IN_PROMQL = ("ks", "kl", "psi", "missing")

#: The numbers of a result, by family.
NUMBERS = {f.DRIFT: "value", f.DRIFT_CRITICAL: "critical", f.DRIFT_FLOOR: "floor"}
NUMBERS |= {f.DRIFT_SCATTER: "scatter", f.DRIFT_SAMPLES: "n"}

SERIES_PER_RESULT = len(NUMBERS) + len(STATES)

#: The numbers of a metric, by family; with its reference, verdict and coverage it takes so many series.
MEASURED = {f.PERFORMANCE: "value", f.PERFORMANCE_LOWER: "low", f.PERFORMANCE_UPPER: "high", f.PERFORMANCE_SAMPLES: "n"}
SERIES_PER_METRIC = len(MEASURED) + 1 + 2 + len(PERFORMANCE_STATES) + 1


def choose(
    results: Iterable[DriftResult], alerts: Iterable[Alert], kept: Collection[tuple[str, str]], budget: int
) -> tuple[list[DriftResult], list[Alert], int]:
    """Which verdicts to write within a budget of series, of the `kept` (column, role) pairs only.

    The last number returned is that of the series left out. A result that is there twice counts once, the later one:
    two samples with the same labels would make Prometheus refuse the whole scrape.
    """
    unique = {(r.column, r.role, r.rule, r.statistic): r for r in results if not _of_performance(r)}.values()
    chosen, budget, left_out = _fitting(unique, SERIES_PER_RESULT, kept, budget)
    states, _, more_left_out = _fitting(alerts, len(ALERT_STATES), kept, budget)
    return chosen, states, left_out + more_left_out


def _fitting(every: Iterable[T], cost: int, kept: Collection[tuple[str, str]], budget: int) -> tuple[list[T], int, int]:
    """Return what fits of the `kept` columns and of outcomes, what is left of the budget, and the series left out."""
    every, of_model = list(every), ("outcome", "traffic")
    chosen = [item for item in every if item.role in of_model or (item.column, item.role) in kept][: budget // cost]
    return chosen, budget - cost * len(chosen), cost * (len(every) - len(chosen))


def write_verdicts(form: Form, results: Iterable[DriftResult], alerts: Iterable[Alert]) -> None:
    """Write the results of the last evaluation and the states of the alerts. Without a verdict there is no value."""
    labelled = [(r, {"column": r.column, "role": r.role, "rule": r.rule, "statistic": r.statistic}) for r in results]
    for family, field in NUMBERS.items():
        form.family(family, [(labels, getattr(result, field)) for result, labels in labelled])
    form.family(f.DRIFT_STATE, _states(STATES, [(result.state, labels) for result, labels in labelled]))
    kept = [(alert.state, {"column": alert.column, "role": alert.role, "rule": alert.rule}) for alert in alerts]
    form.family(f.ALERT_STATE, _states(ALERT_STATES, kept))


def write_performance(
    form: Form, shown: Iterable[ShownPerformance], reference: Mapping[str, Measure], budget: int
) -> int:
    """Write what rules judged of performance within a budget of series; return how many are left out.

    `reference`: the metrics on held-out rows. Every metric that outcomes allow is written, judged or not.
    """
    measures: list[tuple[Labels, Measure]] = []
    verdicts: list[tuple[Labels, DriftResult]] = []
    for judged in shown:
        measures += [({"metric": name, "rule": judged.rule}, measure) for name, measure in judged.measures.items()]
        verdicts += [({"metric": r.statistic, "rule": r.rule}, r) for r in judged.results if _of_performance(r)]
    room = max(budget // SERIES_PER_METRIC, 0)
    left_out = SERIES_PER_METRIC * max(len(measures) - room, 0)
    measures, verdicts = measures[:room], verdicts[:room]
    for family, field in MEASURED.items():
        form.family(family, [(labels, getattr(measure, field)) for labels, measure in measures])
    before = [(labels, reference.get(measure.metric)) for labels, measure in measures]
    form.family(f.PERFORMANCE_REFERENCE, [(labels, measure.value) for labels, measure in before if measure])
    form.family(f.PERFORMANCE_CRITICAL, [(labels, verdict.critical) for labels, verdict in verdicts])
    form.family(f.PERFORMANCE_FLOOR, [(labels, verdict.floor) for labels, verdict in verdicts])
    states = [("worse" if verdict.state == "drift" else verdict.state, labels) for labels, verdict in verdicts]
    form.family(f.PERFORMANCE_STATE, _states(PERFORMANCE_STATES, states))
    shares = [({"rule": judged.rule}, judged.coverage) for judged in shown if judged.coverage is not None]
    form.family(f.COVERAGE, shares if room else [])
    return left_out


def _of_performance(result: DriftResult) -> bool:
    return result.role == "outcome" and result.column == COLUMN


def _states(names: Iterable[str], labelled: Iterable[tuple[str, Labels]]) -> list[tuple[Labels, float]]:
    """A sample of each state that there can be, 1 for the one that is."""
    return [({**labels, "state": name}, float(name == state)) for state, labels in labelled for name in names]


def unseen_share(column: Column, counts: Counts) -> float:
    """`contingency.overlooked` as a share of the reference's rows."""
    if column.numeric:
        return 0.0
    place = np.arange(column.size)
    known, other = place < column.value_bins - 1, place == column.value_bins - 1
    rows = counts.astype(np.float64)
    return float(overlooked(rows, known, other)) / max(float(rows.sum()), 1.0)


def write_constants(form: Form, reference: Reference, kept: Sequence[int], alpha: float, min_samples: int) -> None:
    """Write what a query needs to make a verdict itself.

    Alpha is shared out evenly over all tests of the default rule (Bonferroni), which is what the process's own
    procedure (Holm) comes to when nothing has drifted, and is stricter otherwise.
    """
    schema = reference.schema
    share = alpha / max(1, sum(len(AUTO[column.kind]) for column in schema.columns))
    # One bin's share moves no further than the largest gap of any two distributions, so ks's bound holds for missing.
    ks = math.sqrt(-math.log(share / 2) / 2)
    scales: list[tuple[Labels, float]] = []
    unseen: list[tuple[Labels, float]] = []
    for _, column, labels, start in kept_columns(schema, kept):
        quantile = 2 * float(gammainccinv((column.size - 1) / 2, share))
        by_statistic = {"kl": quantile / 2, "ks": ks, "missing": ks, "psi": quantile}
        if not column.numeric:
            del by_statistic["ks"]
        scales += [({**labels, "statistic": statistic}, scale) for statistic, scale in by_statistic.items()]
        unseen.append((labels, unseen_share(column, reference.counts[start : start + column.size])))
    form.family(f.DRIFT_SCALE, scales)
    form.family(f.DRIFT_UNSEEN, unseen)
    form.family(f.DRIFT_QUANTILE, [({}, -float(ndtri(share)))])
    form.family(f.DRIFT_DEFAULT_FLOOR, [({"statistic": name}, STATISTICS[name].floor) for name in sorted(IN_PROMQL)])
    form.family(f.DRIFT_MIN_SAMPLES, [({}, min_samples)])
