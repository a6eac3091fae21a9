"""Drift results, alert states and the constants that rules in PromQL need, as lines of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
from scipy.special import gammainccinv, ndtri

from monitor.columns.column import Column, Counts
from monitor.drift.contingency import overlooked
from monitor.drift.result import STATES, DriftResult
from monitor.drift.statistics import AUTO, STATISTICS
from monitor.exposition import families as f
from monitor.exposition.template import Form, Labels
from monitor.reference.file import Reference
from monitor.rules.alert import Alert

ALERT_STATES = ("inactive", "pending", "firing", "resolved")

#: Statistics that compose/prometheus/rules works out over all replicas.
IN_PROMQL = ("ks", "kl", "psi", "missing")

SERIES_PER_RESULT = 5 + len(STATES)
#: Window lengths that the rule on what is unusual judges by default.
LENGTHS = 2


def verdict_series(column: Column) -> int:
    """Series of one column under the two default rules, `drift` and `unusual`: their results, and an alert of each.

    >>> verdict_series(Column("c", "feature", "categorical", categories=("a",)))
    68
    """
    return (len(AUTO[column.kind]) + LENGTHS) * SERIES_PER_RESULT + 2 * len(ALERT_STATES)


def choose(
    results: Iterable[DriftResult], alerts: Iterable[Alert], kept: Collection[tuple[str, str]], budget: int
) -> tuple[list[DriftResult], list[Alert], int]:
    """Which verdicts to write within a budget of series, of the `kept` (column, role) pairs only.

    The last number returned is that of the series left out. A result that is there twice counts once, the later one:
    two samples with the same labels would make Prometheus refuse the whole scrape.
    """
    chosen: list[DriftResult] = []
    states: list[Alert] = []
    left_out = 0
    for result in {(r.column, r.role, r.rule, r.statistic): r for r in results}.values():
        if (result.column, result.role) in kept and budget >= SERIES_PER_RESULT:
            chosen.append(result)
            budget -= SERIES_PER_RESULT
        else:
            left_out += SERIES_PER_RESULT
    for alert in alerts:
        if (alert.column, alert.role) in kept and budget >= len(ALERT_STATES):
            states.append(alert)
            budget -= len(ALERT_STATES)
        else:
            left_out += len(ALERT_STATES)
    return chosen, states, left_out


def verdict_form(results: Iterable[DriftResult], alerts: Iterable[Alert], always: Labels, openmetrics: bool) -> Form:
    """Write the results of the last evaluation and where the alerts stand. Where there is no verdict is no number."""
    form = Form()
    labelled = [(r, _labels(r.column, r.role, always, rule=r.rule, statistic=r.statistic)) for r in results]
    numbers: tuple[tuple[f.Family, Callable[[DriftResult], float | None]], ...] = (
        (f.DRIFT, lambda r: r.value),
        (f.DRIFT_CRITICAL, lambda r: r.critical),
        (f.DRIFT_FLOOR, lambda r: r.floor),
        (f.DRIFT_SCATTER, lambda r: r.scatter),
        (f.DRIFT_SAMPLES, lambda r: r.n),
    )
    for family, number in numbers:
        form.begin(family, openmetrics)
        for result, labels in labelled:
            value = number(result)
            if value is not None and math.isfinite(value):
                form.fixed(family.name, labels, value)
    form.begin(f.DRIFT_STATE, openmetrics)
    for result, labels in labelled:
        for state in STATES:
            form.fixed(f.DRIFT_STATE.name, {**labels, "state": state}, float(result.state == state))
    form.begin(f.ALERT_STATE, openmetrics)
    for alert in alerts:
        labels = _labels(alert.column, alert.role, always, rule=alert.rule)
        for name in ALERT_STATES:
            form.fixed(f.ALERT_STATE.name, {**labels, "state": name}, float(alert.state == name))
    return form.freeze()


def unseen_share(column: Column, counts: Counts) -> float:
    """`table.overlooked` as a share of the reference's rows."""
    if column.numeric:
        return 0.0
    place = np.arange(column.size)
    known, other = place < column.value_bins - 1, place == column.value_bins - 1
    rows = counts.astype(np.float64)
    return float(overlooked(rows, known, other)) / max(float(rows.sum()), 1.0)


def _labels(column: str, role: str, always: Labels, **others: str) -> dict[str, str]:
    return {"column": column, "role": role, **always, **others}


def constants_form(
    reference: Reference, kept: Sequence[int], alpha: float, min_samples: int, always: Labels, openmetrics: bool
) -> Form:
    """What a query needs to make a verdict itself.

    Alpha is shared out evenly over all tests of the default rule (Bonferroni), which is what the process's own
    procedure (Holm) comes to when nothing has drifted, and is stricter otherwise.
    """
    schema = reference.schema
    share = alpha / max(1, sum(len(AUTO[column.kind]) for column in schema.columns))
    share_scale = math.sqrt(-math.log(share / 2) / 2)
    form, label = Form(), always
    form.begin(f.DRIFT_SCALE, openmetrics)
    for i in kept:
        column = schema.columns[i]
        quantile = 2 * float(gammainccinv((column.size - 1) / 2, share))
        # One bin's share moves no further than the largest gap of any two distributions, so ks's bound holds for it.
        scales = {"missing": share_scale, "kl": quantile / 2, "psi": quantile}
        if column.numeric:
            scales["ks"] = share_scale
        for statistic, scale in sorted(scales.items()):
            labels = _labels(column.name, column.role, always, statistic=statistic)
            form.fixed(f.DRIFT_SCALE.name, labels, scale)
    form.begin(f.DRIFT_UNSEEN, openmetrics)
    for i in kept:
        column = schema.columns[i]
        labels = _labels(column.name, column.role, always)
        form.fixed(f.DRIFT_UNSEEN.name, labels, unseen_share(column, schema.split(reference.counts)[i]))
    form.begin(f.DRIFT_QUANTILE, openmetrics)
    form.fixed(f.DRIFT_QUANTILE.name, label, -float(ndtri(share)))
    form.begin(f.DRIFT_DEFAULT_FLOOR, openmetrics)
    for statistic in sorted(IN_PROMQL):
        form.fixed(f.DRIFT_DEFAULT_FLOOR.name, {**label, "statistic": statistic}, STATISTICS[statistic].floor)
    form.begin(f.DRIFT_MIN_SAMPLES, openmetrics)
    form.fixed(f.DRIFT_MIN_SAMPLES.name, label, min_samples)
    return form.freeze()
