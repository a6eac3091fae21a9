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
    gap = pair.once(gaps)
    value = np.clip(np.maximum(gap.max(axis=-1, initial=0.0), -gap.min(axis=-1, initial=0.0)), 0.0, 1.0)
    n, m = (np.maximum(rows, 1.0) for rows in pair.effective.finite_sizes)
    h = 1.0 / n + 1.0 / m
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
    places = pair.frame.places
    value = area(pair.once(gaps), places)
    which, before, after = _settled(pair)
    if which.any():
        counts = [np.broadcast_to(side, (*which.shape, side.shape[-1]))[which] for side in pair.finite]
        value[which] = transport(counts[0], before, counts[1], after)
        places = np.array(np.broadcast_to(places, (*which.shape, places.shape[-1])))
        rows = np.maximum(counts[0] + counts[1], 1.0)
        places[which] += (counts[0] * (before - places[which]) + counts[1] * (after - places[which])) / rows
    value = value / pair.scale
    null = WassersteinNull(pair.effective, places)
    testable = pair.finite_testable & (pair.frame.places[..., -1] > 0)
    return Measured(value, null.p_value(value), *pair.finite_sizes, null.critical, testable)


def shares(counts: Floats) -> Floats:
    """Proportions along the last axis; zeros if there are no counts."""
    total = counts.sum(axis=-1, keepdims=True)
    out: Floats = counts / np.maximum(total, 1.0)
    return out


def gaps(pair: Pair) -> Floats:
    """Cumulative share of finite values up to each bin's upper edge, test window minus reference."""
    reference, test = pair.finite
    n, m = (np.maximum(rows, 1.0)[..., None] for rows in pair.finite_sizes)
    out: Floats = np.cumsum(test / n - reference / m, axis=-1)
    return out


def area(height: Floats, places: Floats) -> Floats:
    """Area under a curve of steps, without its sign: `height` holds from each place to the next."""
    out: Floats = np.einsum("...k,...k->...", np.abs(height[..., :-1]), np.diff(places, axis=-1))
    return out


def transport(reference: Floats, at_reference: Floats, test: Floats, at_test: Floats) -> Floats:
    """First Wasserstein distance between two distributions, each with its own places of the bins, shape (...).

    Equals `scipy.stats.wasserstein_distance(at_reference, at_test, reference, test)`. All have shape (..., K).
    """
    places = np.concatenate((at_reference, at_test), axis=-1)
    order = np.argsort(places, axis=-1)
    steps = np.concatenate((-shares(reference), shares(test)), axis=-1)
    height = np.cumsum(np.take_along_axis(steps, order, axis=-1), axis=-1)
    return area(height, np.take_along_axis(places, order, axis=-1))


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
    places, sides, sizes = pair.frame.places, pair.finite, pair.finite_sizes[::-1]
    means = [np.where(np.abs(mean) < FARTHEST, mean, np.nan) for mean in pair.means]
    excess = [mean * size - (side * places).sum(axis=-1) for side, size, mean in zip(sides, sizes, means, strict=True)]
    off = [np.abs(one) > SETTLED * pair.scale * np.maximum(size, 1.0) for one, size in zip(excess, sizes, strict=True)]
    which: Mask = (off[0] | off[1]) & np.isfinite(excess[0]) & np.isfinite(excess[1])
    if not which.any():
        return which, np.empty((0, 0)), np.empty((0, 0))

    def chosen(array: Floats, inner: int) -> Floats:
        out: Floats = np.broadcast_to(array, (*which.shape, *array.shape[array.ndim - inner :]))[which]
        return out

    at, bounds = chosen(places, 1), chosen(pair.frame.bounds, 2)
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

    def __init__(self, pair: Pair, places: Floats) -> None:
        (reference, test), (n, m) = pair.finite, pair.finite_sizes
        pooled = (reference + test) / np.maximum(n + m, 1.0)[..., None]
        below = np.cumsum(pooled, axis=-1)
        spread = area(np.sqrt(np.maximum(below * (1.0 - below), 0.0)), places)
        away = places - np.einsum("...k,...k->...", pooled, places)[..., None]
        square = pooled * away * away
        variance = square.sum(axis=-1)
        third = np.einsum("...k,...k->...", square, away)
        # No spread at all: no distance is surprising, and none can occur.
        self._flat = variance <= 1e-30
        variance = np.where(self._flat, 1.0, variance)
        h = 1.0 / np.maximum(n, 1.0) + 1.0 / np.maximum(m, 1.0)
        self._unit = np.sqrt(h * variance) / pair.scale
        self._freedom = (2 / np.pi) * spread**2 / variance + 1 - 2 / np.pi
        lean = np.abs(third) / variance**1.5 * np.abs(1 / np.maximum(n, 1.0) ** 2 - 1 / np.maximum(m, 1.0) ** 2)
        self._lean = lean / h**1.5 / 6.0

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
