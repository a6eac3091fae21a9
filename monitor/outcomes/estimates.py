"""Performance estimated without outcomes, and whether it is worse than it was on held-out rows.

An estimate rests on how many predictions each bin of the score (or of the class or value predicted) has, and on what
came true in that bin on held-out rows. If too many predictions are in bins with hardly any held-out row, there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.special import ndtr, ndtri

from monitor import words
from monitor.columns.column import Counts, Schema
from monitor.outcomes.performance import ESTIMATED, Measure, clustered, measure, parts_by_bin, rows_by_bin, weighted
from monitor.outcomes.sums import Sums, Target
from monitor.outcomes.verdict import POWER, Asked, Verdict, compared, floor_of

#: A bin has too few held-out rows for its predictions below so many, if it has more than so many times the share of
#: the predictions; and the share of the predictions in such bins from which on there is no estimate.
FEW, CROWDED, UNSUPPORTED = 10, 5, 0.05


def coarse(schema: Schema, target: Target, sums: Sums) -> Sums:
    """Sums by the bins of the prediction column that they are looked up by."""
    if target.kind == "binary" and target.scores:
        return sums.coarse(schema.predictions[target.scores[0]].edges)
    return sums


def bins_by_prediction(schema: Schema, target: Target, counts: Counts) -> Counts | None:
    """Rows by the bins that `weighted` takes, from the counts of all columns; None for a score."""
    if target.kind == "score":
        return None
    at = target.scores[0] if target.kind == "binary" and target.scores else 0
    column = schema.predictions[at]
    part = schema.split(counts)[len(schema.features) + at]
    if not column.numeric:
        return part[: len(target.classes)]
    return np.append(part[: column.value_bins], part[column.value_bins :].sum())


def bins_of(sums: Sums) -> Counts:
    """Rows of the sums by bin, as `weighted` takes them."""
    return rows_by_bin(sums)[0].astype(np.int64)


def unsupported(held: Sums, rows: Counts) -> str:
    """Say why there is no estimate for predictions by bin, from the held-out rows of each bin; "" if there is one."""
    known = bins_of(held)
    share, before = rows / max(rows.sum(), 1), known / max(known.sum(), 1)
    thin = (known < FEW) & (share > CROWDED * before)
    lost = float(share[thin].sum())
    if lost <= UNSUPPORTED:
        return ""
    few = "too few" if known[thin].any() else "no"
    return f"no estimate: {words.percent(lost)} of predictions lie where the reference has {few} held-out rows"


def estimate(held: Sums, rows: Counts) -> tuple[Mapping[str, Measure], str]:
    """Metrics of predictions by bin without their outcomes, and why there are none; `held`: see `coarse`."""
    why = unsupported(held, rows)
    return ({} if why or not rows.any() else weighted(held, rows, estimated=True)[0]), why


def inflation(held: Sums, hours: Counts, metric: str) -> float:
    """By how much the variance of an estimate exceeds that of its interval, because of which rows came; at least 1.

    The interval is for the predictions that came. A verdict also allows for others that might have come, now and among
    the held-out rows. `hours`: predictions by hour and bin, shape (hours, bins); hours are clusters (see `clustered`).
    """
    rows, metric = hours.sum(axis=0), {"roc_auc": "accuracy", "rmse": "mse"}.get(metric, metric)
    estimated = estimate(held, rows)[0].get(metric)
    if estimated is None or not estimated.error:
        return 1.0
    above, below = parts_by_bin(held, metric)
    total = float((rows * below).sum())
    ratio = float((rows * above).sum()) / total
    alone = float((rows * (above - ratio * below) ** 2).sum()) / total**2
    parts = hours.astype(float) @ np.stack([above, below], axis=1)
    came = max(alone, clustered(parts)) if len(parts) >= 4 else alone
    unit = {"mse": held.target.scale**2, "f1": 2 / (1 + ratio) ** 2}.get(metric.partition("[")[0], 1.0)
    unit = held.target.scale if metric in ("bias", "mae") else unit
    return 1.0 + (came + alone * float(rows.sum()) / max(held.n, 1)) * (unit / estimated.error) ** 2


def judge_estimate(held: Sums, rows: Counts, asked: Asked) -> Verdict:
    """Judge the estimate of a metric against the held-out rows that it was made from: a one-sided normal test.

    The metric's own uncertainty is that of its interval, which has the sampling of the held-out rows of each bin,
    times `inflation`. Raises KeyError if the held-out rows do not have the metric.
    """
    statistic = asked.metrics[0]
    name, n = statistic.removeprefix(ESTIMATED), int(rows.sum())
    before, (estimates, why) = measure(held)[name], estimate(held, rows)
    floor, live = asked.floors.get(statistic, floor_of(before)), estimates.get(name)
    if live is None or n < asked.least:
        why = f"{n} predictions, {asked.least} are needed" if n < asked.least else why or "no rows that it needs"
        return Verdict(statistic, "insufficient data", None, before, floor=floor, reason=why)
    error, z = live.error * math.sqrt(asked.dispersions.get(statistic, 1.0)), -float(ndtri(asked.alpha))
    change = before.value - live.value if live.better == "higher" else live.value - before.value
    p_value = float(ndtr(-change / error)) if error else float(change <= 0)
    figures = change, z * error, floor, p_value, (float(ndtri(POWER)) + z) * error
    return compared(statistic, replace(live, metric=statistic, n=n), before, *figures)


def concept_shift(live: Sums, held: Sums, metric: str, dispersion: float = 1.0) -> tuple[float, float] | None:
    """Realised minus estimated value of a metric on the same rows, and its Z; None if one of them is not known.

    Estimated from the scores of the rows whose outcome is known. A large Z says that outcomes no longer follow from the
    scores as they did on held-out rows (concept shift); a small one that the inputs explain the change.
    """
    realised, expected = measure(live).get(metric), estimate(held, bins_of(live))[0].get(metric)
    if realised is None or expected is None or not expected.error:
        return None
    gap = realised.value - expected.value
    return gap, gap / (expected.error * math.sqrt(dispersion))
