"""Outcomes joined to the predictions that wait for them: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.clock import HOUR
from monitor.columns.column import Counts, Floats
from monitor.outcomes.sums import Sums, Target, contribute

Codes = npt.NDArray[np.uint8]

#: What becomes of an outcome. `corrected`: it replaces another one, or takes it back. `waiting`: its prediction is not
#: known yet; it is counted again as what becomes of it within an hour.
RESULTS = (
    *("joined", "corrected", "repeated", "unknown", "other_replica", "expired", "waiting", "not_kept"),
    "not_an_outcome",
)
(JOINED, CORRECTED, REPEATED, UNKNOWN, OTHER_REPLICA, EXPIRED, WAITS, NOT_KEPT, NOT_AN_OUTCOME) = range(len(RESULTS))

#: Upper bounds of the bins of the delay from a prediction to its outcome, seconds: four to a factor of ten, to a year.
DELAYS = tuple(round(10 ** (k / 4), 3) for k in range(31))

HOUR_NS = HOUR * 10**9


class Changes(NamedTuple):
    """What outcomes change. `results`: of each, shape (n,); `last`: whether it is the last one for its prediction."""

    results: Codes
    last: npt.NDArray[np.bool_]


def changes(predictions: npt.NDArray[np.uint64], held: Floats, outcomes: Floats) -> Changes:
    """Compare outcomes with what their predictions had before, one after another; NaN is none.

    `predictions`: shape (n,), which prediction each is for; `held`: the outcome that it had before all of these.

    >>> found = changes(np.array([7, 7, 8], np.uint64), np.array([np.nan, np.nan, 1.0]), np.array([3.0, 3.0, np.nan]))
    >>> [RESULTS[code] for code in found.results], found.last.tolist()
    (['joined', 'repeated', 'corrected'], [False, True, True])
    """
    order = np.argsort(predictions, kind="stable")
    groups, values = predictions[order], outcomes[order]
    begins = np.ones(len(order), bool)
    begins[1:] = groups[1:] != groups[:-1]
    before = np.where(begins, held[order], np.roll(values, 1))
    same = (before == values) | (np.isnan(before) & np.isnan(values))
    results, last = np.empty(len(order), np.uint8), np.empty(len(order), bool)
    results[order] = np.where(same, REPEATED, np.where(np.isnan(before), JOINED, CORRECTED))
    last[order] = np.roll(begins, -1) if len(order) else begins
    return Changes(results, last)


def by_hour(
    target: Target, times_ns: npt.NDArray[np.int64], predictions: Floats, before: Floats, after: Floats
) -> Iterator[tuple[int, Sums]]:
    """Work out by how much changed outcomes change the sums of their predictions' hours.

    `before`, `after`: outcomes, shape (n,), NaN for none. Yields seconds since 1970 of each hour, and the sums.
    """
    hours = times_ns // HOUR_NS
    for hour in np.unique(hours):
        here = hours == hour
        sums = Sums.zero(target)
        for sign, outcomes in ((1, after[here]), (-1, before[here])):
            real = ~np.isnan(outcomes)
            if real.any():
                part = contribute(target, predictions[here][real], outcomes[real])
                sums = sums + part if sign > 0 else sums - part
        yield int(hour) * HOUR, sums


def delays(predicted_ns: npt.NDArray[np.int64], known: Floats) -> tuple[Counts, float]:
    """Histogram of the delays from predictions to outcomes, shape (len(DELAYS) + 1,), and their sum in seconds.

    `known`: when the outcomes became known, seconds since 1970 UTC; one that is earlier than its prediction has 0.
    """
    seconds = np.maximum(known - predicted_ns / 1e9, 0.0)
    counts = np.bincount(np.searchsorted(DELAYS, seconds), minlength=len(DELAYS) + 1)
    return counts.astype(np.int64), float(seconds.sum())


def recoded(outcomes: Floats, target: Target, wanted: Target) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Outcomes as another target has them, NaN staying none, and which of them it can have, both shape (n,).

    Classes are matched by their texts; one that the other target does not have is its last code, unknown.
    """
    if target.classified != wanted.classified:
        return outcomes, np.isnan(outcomes)
    if not target.classified:
        return outcomes, ~np.isinf(outcomes)
    if target.classes == wanted.classes:
        return outcomes, np.ones(len(outcomes), bool)
    known = {name: code for code, name in enumerate(wanted.classes)}
    codes = np.array([*(known.get(name, len(known)) for name in target.classes), len(known)], float)
    out, real = outcomes.copy(), ~np.isnan(outcomes)
    out[real] = codes[outcomes[real].astype(np.intp)]
    return out, np.ones(len(outcomes), bool)
