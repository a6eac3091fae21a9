"""Find when a drift began: change points in the stored windows of one column, each with an honest interval.

Each stretch between changes is a draw of rows from one distribution with a Dirichlet prior, so each possible beginning
has a posterior probability in closed form (Barry and Hartigan 1993); the prior's weight is averaged over
`EXPECTED_ROWS`. Real traffic varies more than chance does: the more windows are dispersed beyond chance, the less
their rows count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaincc, gammaln, logit, logsumexp

from monitor.columns.column import Column, Floats
from monitor.drift.direction import Sides, direction, shifts
from monitor.drift.result import Direction, Shift

Ints = npt.NDArray[np.int64]

#: Weights of the prior, in rows: from large changes to small ones.
EXPECTED_ROWS = np.array([10.0, 30.0, 100.0, 300.0, 1000.0])

#: A change is told of if its log odds are at least those of this probability; even odds before.
SURE_ODDS = float(logit(0.995))

#: A window between two states is a mixture of them unless its rows are less probable than this.
MIXED = 0.001

#: After this many changes, the surest ones, only the newest stretch is looked at: more of them mean gradual drift.
MOST = 8


@dataclass(frozen=True, slots=True)
class Onset:
    """One change, seconds since 1970 UTC.

    `start`: beginning of the first window that differs, the most probable one. `earliest`, `latest`: the interval that
    holds the moment of change with probability `level`; it is never narrower than the windows allow. `probability`:
    that there is a change here at all. `n_before`, `n_after`: rows of the stretches on either side, up to the
    neighbouring changes. `direction`, `contributions`: what changed across it, the stretch before being the reference.
    """

    start: float
    earliest: float
    latest: float
    level: float
    probability: float
    n_before: int
    n_after: int
    direction: Direction
    contributions: tuple[Shift, ...]


class Onsets(tuple[Onset, ...]):
    """Changes, the oldest first; `more`: there are others, less sure than these."""

    more = False


def locate(
    column: Column,
    windows: Floats | Ints,
    starts: Floats | Ints,
    width: float | Ints,
    sums: Floats | None = None,
    deviation: float = float("nan"),
    level: float = 0.95,
) -> Onsets:
    """Find the changes of one column, the oldest first; the last one began the present state. Empty: there is none.

    `windows`: counts, shape (T, column.size), oldest first. `starts`: (T,), strictly increasing; windows without
    traffic may be left out. `width`: seconds of each window. `sums`: (T,), over the finite values; without it nothing
    is said of means. `deviation`: reference standard deviation, for the direction.

    Raises ValueError where the shapes do not fit.
    """
    counts = np.asarray(windows, dtype=np.float64)
    starts = starts.astype(np.float64)
    if counts.ndim != 2 or counts.shape[1] != column.size or starts.shape != counts.shape[:1]:
        raise ValueError(f"windows {counts.shape} and starts {starts.shape} do not fit {column.size} bins")
    busy = counts.sum(axis=1) > 0
    ends = (starts + width)[busy]
    counts, starts = counts[busy], starts[busy]
    totals = np.full(len(starts), np.nan) if sums is None else np.asarray(sums, dtype=np.float64)[busy]
    cuts, more = _segment(counts)
    cuts = _refine(counts, _joined(counts, cuts))
    bounds = [0, *cuts, len(counts)]
    changes = []
    for first, cut, last, (low, high) in zip(bounds, cuts, bounds[2:], _stretches(cuts, len(counts)), strict=False):
        posterior, odds = split_posterior(counts[low:high])
        chosen = credible(posterior, level)
        before, after = counts[first:cut].sum(axis=0), counts[cut:last].sum(axis=0)
        sums_of = float(totals[first:cut].sum()), float(totals[cut:last].sum())
        sides = Sides(column, before.tolist(), after.tolist(), sums_of, deviation)
        changes.append(
            Onset(
                start=float(starts[cut]),
                # A change late in the window before, or early in this one, leaves the same cut as the best.
                earliest=float(starts[low + chosen[0] - 1]),
                latest=float(ends[low + chosen[-1]]),
                level=level,
                probability=float(expit(odds)),
                n_before=int(before.sum()),
                n_after=int(after.sum()),
                direction=direction(sides),
                contributions=shifts(column.labels, sides.reference, sides.test),
            )
        )
    onsets = Onsets(changes)
    onsets.more = more
    return onsets


def split_posterior(counts: Floats) -> tuple[Floats, float]:
    """Probability of each cut of a stretch of windows, given that there is one; and the log odds that there is one.

    `counts`: (T, K). Entry i of the answer, shape (T,), is the cut before window i; entry 0 is no cut and has 0.

    >>> posterior, odds = split_posterior(np.array([[9.0, 1.0], [8.0, 2.0], [1.0, 9.0], [0.0, 10.0]]))
    >>> int(posterior.argmax()), odds > 4.6
    (2, True)
    """
    if len(counts) < 2:
        return np.zeros(len(counts)), -np.inf
    seen = counts[:, counts.sum(axis=0) > 0]
    gain = _gain(seen)
    dispersion = _dispersion(seen, int(gain.argmax()) + 1)
    if dispersion > 1:
        gain = _gain(seen / dispersion)
    whole = logsumexp(gain)
    return np.concatenate(([0.0], np.exp(gain - whole))), float(whole - np.log(len(gain)))


def credible(posterior: Floats, level: float) -> npt.NDArray[np.intp]:
    """Indices of the most probable cuts, in order, whose probabilities add up to `level` at least.

    >>> credible(np.array([0.0, 0.05, 0.7, 0.25]), 0.9).tolist()
    [2, 3]
    """
    order = np.argsort(-posterior, kind="stable")
    enough = int(np.searchsorted(np.cumsum(posterior[order]), level * (1 - 1e-12))) + 1
    return np.sort(order[:enough])


def _gain(counts: Floats) -> Floats:
    """Log-probability of the rows with a change at each cut, minus that without one; shape (T - 1,)."""
    before, whole = np.cumsum(counts, axis=0)[:-1], counts.sum(axis=0)
    gains = []
    for rows in EXPECTED_ROWS:
        prior = rows * whole / whole.sum()
        # The last row of a cumulative sum of fractions may differ from their sum by rounding.
        after = np.maximum(whole - before, 0.0)
        gains.append(_evidence(before, prior) + _evidence(after, prior) - _evidence(whole, prior))
    out: Floats = logsumexp(gains, axis=0) - np.log(len(gains))
    return out


def _evidence(counts: Floats, prior: Floats) -> Floats:
    """Log-probability of rows over bins under a Dirichlet prior, up to terms that every cut shares."""
    out: Floats = (gammaln(counts + prior) - gammaln(prior)).sum(axis=-1)
    out += gammaln(prior.sum()) - gammaln(counts.sum(axis=-1) + prior.sum())
    return out


def _dispersion(counts: Floats, cut: int) -> float:
    """Pearson's chi-square over its degrees of freedom within the two sides of a cut; at least 1."""
    total, freedom = 0.0, 0
    for side in (counts[:cut], counts[cut:]):
        rows, share = side.sum(axis=1, keepdims=True), side.sum(axis=0) / side.sum()
        expected = rows * share
        total += float(((side - expected) ** 2 / np.where(expected > 0, expected, 1.0)).sum())
        freedom += (len(side) - 1) * (int((share > 0).sum()) - 1)
    return max(total / freedom, 1.0) if freedom else 1.0


def _segment(counts: Floats) -> tuple[list[int], bool]:
    """Cuts by binary segmentation, and whether there are more than `MOST`.

    Of all stretches the one with the surest change is cut next. Once `MOST` are found, only the newest stretch is cut
    further, until nothing in it is sure: the last change began the present state.
    """
    cuts: list[int] = []
    waiting: list[tuple[float, int, int, int]] = []  # log odds, from, cut, to

    def look(low: int, high: int) -> None:
        posterior, odds = split_posterior(counts[low:high])
        if odds >= SURE_ODDS:
            waiting.append((odds, low, low + int(posterior.argmax()), high))

    look(0, len(counts))
    while waiting:
        if len(cuts) < MOST:
            chosen = max(waiting)
        else:
            newest = [one for one in waiting if one[3] == len(counts)]
            if not newest:
                break
            chosen = newest[0]
        waiting.remove(chosen)
        _, low, cut, high = chosen
        cuts.append(cut)
        look(low, cut)
        look(cut, high)
    return sorted(cuts), bool(waiting)


def _joined(counts: Floats, cuts: list[int]) -> list[int]:
    """Leave out the second of two cuts around one window that holds the moment of change.

    Such a window has rows of both states. With many rows it differs from both neighbours, so there is a cut on either
    side of it. It is no state of its own if some mixture of its neighbours explains its rows.
    """
    bounds, kept = [0, *cuts, len(counts)], list[int]()
    for cut, after in zip(cuts, bounds[2:], strict=False):
        if kept and cut == kept[-1] + 1:
            before = kept[-2] if len(kept) > 1 else 0
            if _is_mixture(counts[cut - 1], counts[before : cut - 1], counts[cut:after]):
                continue
        kept.append(cut)
    return kept


def _is_mixture(window: Floats, before: Floats, after: Floats) -> bool:
    """Whether rows of one window, shape (K,), may be a mixture of windows before and windows after it, both (T, K).

    Pearson's chi-square against the mixture that fits best, in which the shares of both sides are known only as well
    as their own rows tell, and rows count less by the dispersion within the sides.
    """
    sides = np.stack([before.sum(axis=0), after.sum(axis=0)])
    seen = (sides.sum(axis=0) + window) > 0
    n, rows = window.sum(), sides.sum(axis=1, keepdims=True)
    first, second = ((sides + 0.5) / (rows + 0.5 * seen.sum()))[:, seen]
    part = np.linspace(0.0, 1.0, 201)[:, None]
    mixed = (1 - part) * first + part * second
    error = mixed / n + (1 - part) ** 2 * first / rows[0] + part**2 * second / rows[1]
    squares = ((window[seen] / n - mixed) ** 2 / error).sum(axis=1).min()
    freedom = max(int(seen.sum()) - 2, 1)
    dispersion = _dispersion(np.concatenate([before, after])[:, seen], len(before))
    return bool(gammaincc(freedom / 2, squares / dispersion / 2) > MIXED)


def _refine(counts: Floats, cuts: list[int]) -> list[int]:
    """Place each cut again between its neighbours, and drop those that are not sure any more."""
    for _ in range(MOST):
        refined = []
        for low, high in _stretches(cuts, len(counts)):
            posterior, odds = split_posterior(counts[low:high])
            if odds >= SURE_ODDS:
                refined.append(low + int(posterior.argmax()))
        refined = sorted(set(refined))
        if refined == cuts:
            break
        cuts = refined
    return cuts


def _stretches(cuts: list[int], length: int) -> list[tuple[int, int]]:
    """The windows that each cut is judged by: up to its neighbours, but not the window beside a neighbouring cut.

    That one may hold the moment of the other change; with many rows a cut behind it would seem sure.
    """
    bounds = [0, *cuts, length]
    return [
        (low + (low > 0 and cut - low > 1), high - (high < length and high - cut > 1))
        for low, cut, high in zip(bounds, cuts, bounds[2:], strict=False)
    ]
