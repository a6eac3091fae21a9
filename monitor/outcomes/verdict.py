"""Whether performance is worse than it was on held-out rows: one-sided tests, with a floor below which none matters.

Shares are judged by Fisher's exact test, means by Welch's t-test with the live rows' own variance, areas and averages
by their standard errors, and calibration by two Z. The error probability `alpha` is shared over the metrics
by Holm (1979). Hours are clusters: their dispersion makes the live rows count for less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from monitor.drift.contingency import share_critical, share_p_value
from monitor.drift.evaluate import holm_level
from monitor.outcomes.performance import Measure, calibration_z, dispersion, f1_of, measure
from monitor.outcomes.sums import Sums, Target

#: Fewest outcomes that are judged, and fewest of the rarer class of a binary model.
MIN_OUTCOMES, MIN_RARER = 100, 10

#: Smallest changes that matter: of shares, of areas under curves; of losses, as a part of the reference's.
SHARE_FLOOR, AREA_FLOOR, CALIBRATION_FLOOR, LOSS_FLOOR = 0.03, 0.02, 0.03, 0.1

#: A change beyond its critical value by less than this is rounding: both are differences of the same two shares.
ROUNDING = 1e-12

#: Power at which the smallest detectable change is stated.
POWER = 0.9

#: Metrics that `auto` judges.
AUTO: dict[str, tuple[str, ...]] = {
    "regression": ("mae",),
    "binary": ("accuracy", "f1", "roc_auc", "brier"),
    "multiclass": ("accuracy", "macro_f1", "brier"),
    "score": ("score",),
}

PerformanceState = Literal["ok", "worse", "insufficient data"]


@dataclass(frozen=True)
class Asked:
    """What a rule asks of performance.

    `alpha`: probability that any of the metrics is called worse although none is.
    `floors`: those that the rule sets, by metric. `least`: fewest outcomes. `dispersions`: of the window's hours, by
    metric. `drift`: whether the drift of what came true is asked for as well.
    """

    metrics: tuple[str, ...]
    alpha: float
    floors: Mapping[str, float] = field(default_factory=dict)
    least: int = MIN_OUTCOMES
    dispersions: Mapping[str, float] = field(default_factory=dict)
    drift: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one metric.

    `change`: how much worse the live metric is than the reference, in its own unit; negative if it is better.
    `change > critical` and `change > floor` make it `worse`. `detectable`: the smallest change that would have been
    seen with a probability of 0.9.
    """

    metric: str
    state: PerformanceState
    live: Measure | None
    reference: Measure
    change: float | None = None
    critical: float | None = None
    floor: float = 0.0
    p_value: float | None = None
    detectable: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Test:
    change: float
    p_value: float
    critical: Callable[[float], float]


def floor_of(reference: Measure) -> float:
    """Return the smallest change of a metric that matters by default.

    >>> floor_of(Measure("accuracy", 0.9, 0.01, 0.88, 0.92, 900, "higher"))
    0.03
    """
    if reference.metric == "ece":
        return CALIBRATION_FLOOR
    if reference.metric in ("roc_auc", "average_precision"):
        return AREA_FLOOR
    if reference.better == "lower" or reference.metric in ("value", "score"):
        return LOSS_FLOOR * abs(reference.value)
    return SHARE_FLOOR


def _share_test(live: Measure, reference: Measure, phi: float) -> _Test:
    """Fisher's exact test, one-sided, on misses; of F1 on those of J = TP / (TP + FP + FN)."""
    trials, before = (live.trials or 0.0) / phi, np.array(reference.trials or 0.0)
    n = np.array(float(max(round(trials), 1)))
    misses = np.array(float(round(trials - (live.hits or 0.0) / phi)))
    missed = before - (reference.hits or 0.0)
    p_value = float(share_p_value(missed, misses, n, before)) / 2 if misses * before > missed * n else 1.0
    was = (reference.hits or 0.0) / float(before)

    def critical(alpha: float) -> float:
        gap = float(share_critical(missed[None], True, n[None], before[None], 2 * alpha)[0])
        return gap if reference.value == was else reference.value - f1_of(max(was - gap, 0.0))

    return _Test(reference.value - live.value, p_value, critical)


def _mean_test(live: Measure, reference: Measure, phi: float) -> _Test:
    """Welch's t-test, one-sided; a rising and skewed loss brings its own variance along.

    The reference's rows count with the larger of both variances: a skewed sample with a low mean has a low variance.
    """
    change = live.value - reference.value if live.better == "lower" else reference.value - live.value
    now = phi * live.error**2
    before = max(reference.error**2, live.error**2 * live.n / max(reference.n, 1))
    error = math.sqrt(now + before)
    if not error:
        return _Test(change, 1.0 if change <= 0 else 0.0, lambda _: 0.0)
    freedom = error**4 / (now**2 / max(live.n / phi - 1, 1) + before**2 / max(reference.n - 1, 1))
    return _Test(change, float(stdtr(freedom, -change / error)), lambda a: -float(stdtrit(freedom, a)) * error)


def _calibration_test(live: Measure, reference: Measure, phi: float, total: Sums) -> _Test:
    """The larger of two Z, each two-sided at half of alpha, in units of the change of the calibration error."""
    change = live.value - reference.value
    size = max(map(abs, calibration_z(total))) / math.sqrt(phi)
    unit = abs(change) / size if size else math.inf
    return _Test(change, min(4 * float(ndtr(-size)), 1.0), lambda alpha: -float(ndtri(alpha / 4)) * unit)


def _enough(sums: Sums, least: int) -> str:
    """Return why the outcomes do not suffice, or an empty text."""
    if sums.n < least:
        return f"{sums.n} outcomes, {least} are needed"
    if sums.target.kind == "binary":
        by_class = sums.confusion.sum(axis=(0, 2))
        rarer = int(by_class[:2].argmin())
        if by_class[rarer] < MIN_RARER:
            return f"{by_class[rarer]} outcomes of {sums.target.classes[rarer]!r}, {MIN_RARER} are needed"
    return ""


def auto_metrics(target: Target) -> tuple[str, ...]:
    """Return the metrics that are judged unless a rule names one."""
    scored = ("roc_auc", "brier")
    return tuple(name for name in AUTO[target.kind] if target.scores or name not in scored)


def dispersions(hours: Sequence[Sums], metrics: Sequence[str]) -> dict[str, float]:
    """Dispersion of each metric over the hours of a window: see `performance.dispersion`."""
    if not hours:
        return {}
    now = measure(sum(hours[1:], hours[0]))
    return {name: dispersion(hours, name, now[name]) for name in metrics if name in now}


def judge(total: Sums, reference: Sums, asked: Asked) -> list[Verdict]:
    """Judge the sums of a window against the performance on held-out rows. One verdict for each metric known there."""
    before = measure(reference)
    known = [name for name in asked.metrics if name in before]
    reason = _enough(total, asked.least)
    now = measure(total)
    floor = {name: asked.floors.get(name, floor_of(before[name])) for name in known}
    tests: dict[str, _Test] = {}
    for name in known:
        if not reason and name in now:
            live, phi = now[name], asked.dispersions.get(name, 1.0)
            if name == "ece":
                tests[name] = _calibration_test(live, before[name], phi, total)
            else:
                tests[name] = (_mean_test if live.trials is None else _share_test)(live, before[name], phi)
    level = float(holm_level(np.array([test.p_value for test in tests.values()]), asked.alpha))
    out = []
    for name in known:
        if name not in tests:
            why = reason or "no rows that this metric needs"
            out.append(Verdict(name, "insufficient data", now.get(name), before[name], floor=floor[name], reason=why))
            continue
        live, test, phi = now[name], tests[name], asked.dispersions.get(name, 1.0)
        seen = float(ndtri(POWER) - ndtri(level)) * math.sqrt(phi * live.error**2 + before[name].error ** 2)
        figures = test.change, test.critical(level), floor[name], test.p_value
        out.append(compared(name, live, before[name], *figures, seen))
    return out


def compared(
    metric: str,
    live: Measure,
    reference: Measure,
    change: float,
    critical: float,
    floor: float,
    p_value: float,
    seen: float,
) -> Verdict:
    """The verdict on a metric that could be tested. `seen`: the smallest change that the test would have seen."""
    worse = change > critical + ROUNDING and change > floor + ROUNDING
    figures = change, critical, floor, p_value, max(seen, floor)
    return Verdict(metric, "worse" if worse else "ok", live, reference, *figures)
