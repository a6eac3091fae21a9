"""`ks` and `wasserstein`: statistics of numeric columns that follow the cumulative distribution.

Both see finite values only: missing and infinite ones are the business of `missing`. In all functions the last axis
holds the value bins of a column, in order; axes in front of it broadcast. n and m are the numbers of finite values in
the test window and in the reference, h = 1/n + 1/m.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaincc, gammainccinv

from monitor.columns.column import Floats, Mask
from monitor.drift.layout import Measured, Pair

#: Deviations by which an exact mean may differ from that of the places before bins are settled again.
SETTLED = 0.02

#: A mean farther out than this many spans of the edges is nonsense, as of a sum that has overflowed.
FARTHEST = 1e9


def ks(pair: Pair) -> Measured:
    """Binned Kolmogorov-Smirnov statistic: the largest gap between the two cumulative distributions at a bin edge.

    A share, 0 to 1, without smoothing and the same in both directions. It is a lower bound of D on the raw values
    (`scipy.stats.ks_2samp`), which is larger by at most the largest bin share. The p-value 2 exp(-2 D^2 / h) is the
    first term of Kolmogorov's series, which bounds the series (Smirnov 1948); ties and bins only make the true
    probability smaller. Critical value: sqrt(-ln(alpha/2)/2 * h).
    """
    value = np.minimum(pair.once(gaps).max(axis=-1), 1.0)
    h = pair.effective.once(scatter)
    p_value = np.minimum(1.0, 2.0 * np.exp(-2.0 * value**2 / h))

    def critical(alpha: float) -> Floats:
        out: Floats = np.sqrt(-math.log(alpha / 2.0) / 2.0 * h)
        return out

    return Measured(value, p_value, *pair.finite_sizes, critical, pair.finite_testable)


def wasserstein(pair: Pair) -> Measured:
    """First Wasserstein distance (earth mover's) between the binned distributions, in reference standard deviations.

    The area between the two cumulative distributions; in spans of the edges if that deviation is zero or unknown. The
    place of a bin is the mean of the reference's rows in it, unless the exact mean of a side does not fit the places:
    see `settle`. The same in both directions, without smoothing; equals `scipy.stats.wasserstein_distance` on the
    places.
    """
    places, steps = pair.frame.places, pair.frame.steps
    value = np.vecdot(pair.once(gaps), steps)
    which, before, after = _settled(pair)
    if which.any():
        counts = [np.broadcast_to(side, (*which.shape, side.shape[-1]))[which] for side in pair.finite]
        value[which] = transport(counts[0], before, counts[1], after)
        places = np.array(np.broadcast_to(places, (*which.shape, places.shape[-1])))
        rows = np.maximum(counts[0] + counts[1], 1.0)
        places[which] += (counts[0] * (before - places[which]) + counts[1] * (after - places[which])) / rows
        steps = np.diff(places, append=places[..., -1:])
    value = value / pair.scale
    null = WassersteinNull(pair.effective, places, steps)
    testable = pair.finite_testable & (pair.frame.places[..., -1] > 0)
    return Measured(value, null.p_value(value), *pair.finite_sizes, null.critical, testable)


def shares(counts: Floats) -> Floats:
    """Proportions along the last axis; zeros if there are no counts."""
    total = counts.sum(axis=-1, keepdims=True)
    out: Floats = counts / np.maximum(total, 1.0)
    return out


def gaps(pair: Pair) -> Floats:
    """How far the cumulative shares of finite values differ at each bin's upper edge."""
    below, below_now = pair.below
    n, m = (np.maximum(rows, 1.0)[..., None] for rows in pair.finite_sizes)
    return np.abs(below_now / n - below / m)


def scatter(pair: Pair) -> Floats:
    """Return h of the finite values."""
    n, m = (np.maximum(rows, 1.0) for rows in pair.finite_sizes)
    return 1.0 / n + 1.0 / m


def transport(reference: Floats, at_reference: Floats, test: Floats, at_test: Floats) -> Floats:
    """First Wasserstein distance between two distributions, each with its own places of the bins, shape (...).

    Equals `scipy.stats.wasserstein_distance(at_reference, at_test, reference, test)`. All have shape (..., K).
    """
    places = np.concatenate((at_reference, at_test), axis=-1)
    order = np.argsort(places, axis=-1)
    rises = np.concatenate((-shares(reference), shares(test)), axis=-1)
    height = np.cumsum(np.take_along_axis(rises, order, axis=-1), axis=-1)
    steps = np.diff(np.take_along_axis(places, order, axis=-1), axis=-1)
    out: Floats = np.vecdot(np.abs(height[..., :-1]), steps)
    return out


def settle(counts: Floats, places: Floats, bounds: Floats, excess: Floats) -> Floats:
    """Move bins so that they add up to the exact sum of the values: new places, shape (N, K).

    `counts`, `places`: (N, K). `bounds`: (N, 2, K), lower and upper edge of each bin; those of an outer bin are
    its place. `excess`: (N,), the exact sum minus the sum of the places. Values outside all edges may be anywhere: the
    outer bin on that side takes the excess if it has rows. If it has none, or if they would be farther out than all
    edges span, all rows move instead: by the same part of their way to the edge of their bin, if that is enough.

    >>> places, bounds = np.array([[0.0, 0.5, 1.0]]), np.array([[[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]])
    >>> settle(np.array([[0.0, 8.0, 2.0]]), places, bounds, np.array([1.0])).tolist()
    [[0.0, 0.5, 1.5]]
    >>> settle(np.array([[0.0, 8.0, 0.0]]), places, bounds, np.array([-2.0])).tolist()
    [[0.0, 0.25, 1.0]]
    """
    up = (excess > 0)[:, None]
    outer = np.where(up, places >= bounds[:, 1].max(axis=-1, keepdims=True), places <= bounds[:, :1, 0])
    outer &= bounds[:, 0] == bounds[:, 1]
    outside = (counts * outer).sum(axis=-1, keepdims=True)
    way = np.where(up, bounds[:, 1], bounds[:, 0]) - places
    room = np.abs((counts * way).sum(axis=-1, keepdims=True))
    far = np.abs(excess)[:, None]
    to_outer = (outside > 0) & ((far <= outside) | (far > room))
    part = np.where(to_outer, 0.0, np.minimum(far, room) / np.maximum(room, 1e-300))
    out: Floats = places + to_outer * outer * excess[:, None] / np.maximum(outside, 1.0) + part * way
    return out


def _settled(pair: Pair) -> tuple[Mask, Floats, Floats]:
    """Columns whose exact mean does not fit the places, (..., R), and their places on both sides, (N, K) each."""
    frame, places, sides, sizes = pair.frame, pair.frame.places, pair.finite, pair.finite_sizes[::-1]
    with np.errstate(all="ignore"):
        means = [
            (total / rows / 2 - frame.starts / 2) / frame.halves for total, rows in zip(pair.sums, sizes, strict=True)
        ]
        excess = [mean * rows - np.vecdot(side, places) for side, rows, mean in zip(sides, sizes, means, strict=True)]
    near = (np.abs(means[0]) < FARTHEST) & (np.abs(means[1]) < FARTHEST)
    slack = SETTLED * pair.scale
    off = [np.abs(one) > slack * np.maximum(rows, 1.0) for one, rows in zip(excess, sizes, strict=True)]
    which: Mask = (off[0] | off[1]) & near
    if not which.any():
        return which, np.empty((0, 0)), np.empty((0, 0))

    def chosen(array: Floats, inner: int) -> Floats:
        out: Floats = np.broadcast_to(array, (*which.shape, *array.shape[array.ndim - inner :]))[which]
        return out

    at, bounds = chosen(places, 1), chosen(frame.bounds, 2)
    before, after = (
        settle(chosen(side, 1), at, bounds, chosen(one, 0)) for side, one in zip(sides, excess, strict=True)
    )
    return which, before, after


class WassersteinNull:
    """Distribution of `wasserstein` without drift, from the pooled counts.

    With s^2 the variance of the pooled distribution and S the area under sqrt(F(1-F)), W^2 / (h s^2) is taken as
    chi-square with (2/pi) (S/s)^2 + 1 - 2/pi degrees of freedom, and the quantile is moved by the Cornish-Fisher term
    |skewness of the mean difference| (t^2 - 1) / 6: docs/statistics.md says why, docs/bench-drift.md has the check.
    """

    def __init__(self, pair: Pair, places: Floats, steps: Floats) -> None:
        pool, h, (n, m) = np.add(*pair.finite), pair.once(scatter), pair.finite_sizes
        rows = np.maximum(n + m, 1.0)
        below = np.add(*pair.below)
        spread = np.vecdot(np.sqrt(below * (rows[..., None] - below)), steps) / rows
        away = places - (np.vecdot(pool, places) / rows)[..., None]
        weighted = pool * away
        variance = np.vecdot(weighted, away) / rows
        third = np.vecdot(weighted * away, away) / rows
        # No spread at all: no distance is surprising, and none can occur.
        self._flat = variance <= 1e-30
        variance = np.where(self._flat, 1.0, variance)
        error = np.sqrt(h * variance)
        self._unit = error / pair.scale
        self._freedom = (2 / np.pi) * spread**2 / variance + 1 - 2 / np.pi
        unlike = np.abs(1 / np.maximum(n, 1.0) - 1 / np.maximum(m, 1.0)) * h
        self._lean = np.abs(third) * unlike / error**3 / 6.0

    def p_value(self, value: Floats) -> Floats:
        """Probability of such a distance without drift."""
        t = value / self._unit
        lean = np.maximum(self._lean, 1e-12)
        straight = np.where(t > 1, (np.sqrt(1 + 4 * lean * (t + lean)) - 1) / (2 * lean), t)
        out: Floats = gammaincc(self._freedom / 2, straight**2 / 2)
        return np.where(self._flat, 1.0, out)

    def critical(self, alpha: float) -> Floats:
        """Value that is exceeded with probability `alpha` without drift."""
        t = np.sqrt(2 * gammainccinv(self._freedom / 2, alpha))
        bent = np.where(t > 1, t + self._lean * (t**2 - 1), t)
        return np.where(self._flat, 0.0, bent * self._unit)
