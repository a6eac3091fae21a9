"""Statistics of numeric columns that follow the cumulative distribution: `ks` and `wasserstein`.

Both see finite values only: missing and infinite ones are the business of `missing`. In all functions the last axis
holds the value bins of a column, in order; axes in front of it broadcast. n and m are the numbers of finite values in
the test window and in the reference, h = 1/n + 1/m.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincc, gammainccinv

from monitor.columns.column import Floats


def shares(counts: Floats) -> Floats:
    """Proportions along the last axis; zeros where there is nothing.

    >>> shares(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [0.0, 0.0]]
    """
    total = counts.sum(axis=-1, keepdims=True)
    out: Floats = counts / np.maximum(total, 1.0)
    return out


def gaps(reference: Floats, test: Floats) -> Floats:
    """Cumulative share of the test window minus that of the reference, at the upper edge of each bin.

    >>> gaps(np.array([5.0, 5.0, 0.0]), np.array([1.0, 1.0, 2.0])).tolist()
    [-0.25, -0.5, 0.0]
    """
    out: Floats = np.cumsum(shares(test) - shares(reference), axis=-1)
    return out


def ks(reference: Floats, test: Floats) -> Floats:
    """Binned Kolmogorov-Smirnov statistic: the largest gap between the two cumulative distributions at a bin edge.

    A share, 0 to 1, without smoothing and the same in both directions. It is a lower bound of D on the raw values
    (`scipy.stats.ks_2samp`), which lies at most the largest bin share above it.

    >>> float(ks(np.array([5.0, 5.0, 0.0]), np.array([1.0, 1.0, 2.0])))
    0.5
    """
    return largest(gaps(reference, test))


def largest(gap: Floats) -> Floats:
    """The largest of the gaps, whichever way it is open."""
    out: Floats = np.maximum(gap.max(axis=-1, initial=0.0), -gap.min(axis=-1, initial=0.0))
    return np.clip(out, 0.0, 1.0)


def ks_p_value(value: Floats, n: Floats, m: Floats) -> Floats:
    """Upper bound of the probability of such a gap without drift: 2 exp(-2 D^2 / h).

    The first term of Kolmogorov's series, which bounds the series (Smirnov 1948). Ties and bins only make the true
    probability smaller.

    >>> round(float(ks_p_value(np.array(0.5), np.array(20.0), np.array(20.0))), 4)
    0.0135
    """
    out: Floats = np.minimum(1.0, 2.0 * np.exp(-2.0 * value**2 / (1.0 / n + 1.0 / m)))
    return out


def ks_critical(n: Floats, m: Floats, alpha: float) -> Floats:
    """Value that `ks` exceeds with probability `alpha` at most: sqrt(-ln(alpha/2)/2 * h).

    >>> round(float(ks_critical(np.array(200.0), np.array(5000.0), 0.001)), 4)
    0.1406
    """
    out: Floats = np.sqrt(-np.log(alpha / 2.0) / 2.0 * (1.0 / n + 1.0 / m))
    return out


def wasserstein(reference: Floats, test: Floats, places: Floats, scale: Floats) -> Floats:
    """First Wasserstein distance (earth mover's) between the binned distributions, in units of `scale`.

    The area between the two cumulative distributions. Each bin stands at its place, which never fall along the last
    axis: the mean of the reference's rows in it. `scale` is the reference standard deviation and larger than 0. The
    same in both directions, without smoothing; equals `scipy.stats.wasserstein_distance` on the places.

    >>> float(wasserstein(np.array([4.0, 0.0]), np.array([1.0, 1.0]), np.array([0.0, 3.0]), np.array(1.0)))
    1.5
    """
    return area(gaps(reference, test), places) / scale


def area(height: Floats, places: Floats) -> Floats:
    """Area under a curve of steps, without its sign: `height` holds from each place to the next."""
    out: Floats = np.einsum("...k,...k->...", np.abs(height[..., :-1]), np.diff(places, axis=-1))
    return out


def transport(reference: Floats, at_reference: Floats, test: Floats, at_test: Floats) -> Floats:
    """First Wasserstein distance between two distributions whose bins stand at places of their own, shape (...).

    Equals `scipy.stats.wasserstein_distance(at_reference, at_test, reference, test)`. All have shape (..., K).

    >>> both = np.array([1.0, 3.0])
    >>> float(transport(both, np.array([0.0, 1.0]), both, np.array([0.0, 3.0])))
    1.5
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
    outer bin on that side takes the excess if it has rows. But if that would lay them farther out than all edges span,
    and also if it has none, all rows move by the same part of their way to the edge of their bin, if that is enough.

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


class WassersteinNull:
    """Distribution of `wasserstein` without drift, from the pooled counts.

    For large samples the gap between the distributions is sqrt(h) B(F), B a Brownian bridge, so W = sqrt(h) times the
    area under |B(F)|. Let s^2 be the variance of the pooled distribution and S the area under sqrt(F(1-F)).
    The squared area has the tail of s^2 times a squared normal variable (Borell 1975: s^2 is the largest variance of
    any function with slope at most 1), and a mean of at most (2/pi) S^2 + (1 - 2/pi) s^2, because the correlations of
    a bridge are positive and E|XY| <= 2/pi + (1 - 2/pi) r for standard normal X, Y with correlation r >= 0. So
    W^2 / (h s^2) is taken as chi-square with (2/pi) (S/s)^2 + 1 - 2/pi degrees of freedom: exact for two bins.

    Small windows of a skewed column have a longer tail: the quantile is moved by the Cornish-Fisher term
    |skewness of the mean difference| (t^2 - 1) / 6. Checked by simulation: docs/bench-drift.md.
    """

    def __init__(self, reference: Floats, test: Floats, places: Floats, scale: Floats) -> None:
        n, m = test.sum(axis=-1), reference.sum(axis=-1)
        pooled = shares(reference + test)
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
        self._unit = np.sqrt(h * variance) / scale
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
