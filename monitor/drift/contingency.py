"""Tests of contingency tables: `chi2` over all bins, and `missing` and `other`, which compare one share.

n and m are all rows of the test window and of the reference, N = n + m, h = 1/n + 1/m. Nothing is smoothed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincc, gammainccinv, gammaln

from monitor.columns.column import Floats, Mask

#: Cochran's rule: with every expected count at least this, X^2 follows the chi-square distribution well enough.
EXPECTED = 5.0

#: Terms of the hypergeometric tail that are added up one by one; the rest is bounded by a geometric series.
TERMS = 12


def chi2(reference: Floats, test: Floats) -> Floats:
    """Two-sample chi-square statistic X^2 with pooled expected counts; the last axis holds all bins of a column.

    Bins that are empty on both sides are left out. 0 and up, the same in both directions; it grows with n, so its floor
    is put on X^2 * h, which is close to `psi`. Equals `scipy.stats.chi2_contingency(..., correction=False)`.

    >>> round(float(chi2(np.array([50.0, 50.0]), np.array([30.0, 10.0]))), 3)
    7.292
    """
    n, m = test.sum(axis=-1), reference.sum(axis=-1)
    pool = reference + test
    gap = test * m[..., None] - reference * n[..., None]
    out: Floats = (gap**2 / np.maximum(pool, 1.0)).sum(axis=-1) / np.maximum(n * m, 1.0)
    return out


def overlooked(reference: Floats, known: Mask, other: Mask, rare: Floats | float = 0.0) -> Floats:
    """How many reference rows may well be missing from a set of categories that was chosen for being rare in them.

    The set holds what falls into `__other__` and the known categories with fewer than `rare` rows. Categories that are
    in it by the reference's luck have fewer rows there than in other rows of the same source. Leaving one row out at a
    time shows how many more rows the set has without that luck (Good 1953): those of the categories with exactly
    `edge` rows, the smallest number that keeps a category out of it. That is 1 for `__other__` alone, or, if there are
    left-over rows because a cap on categories was reached, the number of rows of the rarest known category.

    With N[x] categories of x rows these are edge N[edge] rows. Their variance, for counts that are Poisson variables,
    is edge N[edge] + edge (edge + 1) N[edge + 1]. N[edge + 1] may be 0 by luck, so it is also expected from the rows of
    all categories, and the larger of both is taken. Four standard errors are added. Zero for a numeric column; `other`
    is the bin of what is left over, as missing rows are none.

    >>> known, other = np.array([True, True, False, False]), np.array([False, False, True, False])
    >>> rows = [[90.0, 1.0, 0.0, 9.0], [90.0, 10.0, 0.0, 9.0]]
    >>> [round(float(overlooked(np.array(one), known, other)), 1) for one in rows]
    [5.7, 0.3]
    """
    if not known.any():
        return np.zeros(reference.shape[:-1])
    held = known & (reference > 0)
    rarest = np.where(held, reference, math.inf).min(axis=-1, initial=math.inf)
    left_over = np.where(other, reference, 0.0).sum(axis=-1) > 0
    edge = np.maximum(np.where(left_over & np.isfinite(rarest), rarest, 1.0), np.ceil(rare))[..., None]
    at_edge = (edge * (held & (reference == edge))).sum(axis=-1)
    rows = np.maximum(reference, 1.0)
    chance = np.exp((edge + 1) * np.log(rows) - rows - gammaln(edge + 2))
    beyond = np.maximum((held & (reference == edge + 1)).sum(axis=-1), (held * chance).sum(axis=-1))
    spread = np.sqrt(at_edge + (edge * (edge + 1))[..., 0] * beyond)
    out: Floats = np.where(held.any(axis=-1), np.minimum(at_edge + 4 * spread, reference.sum(axis=-1)), 0.0)
    return out


def chi_square_critical(freedom: Floats, alpha: float) -> Floats:
    """Value that a chi-square variable with so many degrees of freedom exceeds with probability `alpha`.

    Most columns have as many bins as their neighbours, and each inverse takes a microsecond: it is asked for once.

    >>> chi_square_critical(np.array([9.0, 9.0, 1.0]), 0.05).round(2).tolist()
    [16.92, 16.92, 3.84]
    """
    distinct, back = np.unique(freedom, return_inverse=True)
    out: Floats = (2 * gammainccinv(distinct / 2, alpha))[back.reshape(freedom.shape)]
    return out


@dataclass(frozen=True, slots=True)
class Chi2Null:
    """Distribution of X^2 without drift: `stretch` times chi-square with `freedom` degrees of freedom.

    With every expected count at least 5 this is the textbook's: stretch 1, freedom = bins seen - 1. With rarer
    categories X^2 moves in large steps (one unseen row in 200 against 5,000 is worth 25), so the exact mean and
    variance of X^2 given the margins (Haldane 1940) are matched by a stretched chi-square, where that is the wider one.
    Rows that the reference overlooked add to the mean: `extra`.
    """

    freedom: Floats
    stretch: Floats

    @classmethod
    def of(cls, reference: Floats, test: Floats, extra: Floats) -> Chi2Null:
        """Work it out from the two rows of counts."""
        n, m = np.maximum(test.sum(axis=-1), 1.0), np.maximum(reference.sum(axis=-1), 1.0)
        pool = reference + test
        seen = pool > 0
        bins = np.maximum(seen.sum(axis=-1).astype(np.float64), 2.0)
        total = np.maximum(n + m, 4.0)
        smallest = np.where(seen, pool, math.inf).min(axis=-1, initial=math.inf) * np.minimum(n, m) / total
        v1, v2 = (total - 2) / (total - 1), (bins - 1) * (total - bins) / (total - 1)
        w1 = (total * (1 / n + 1 / m) - 4) / (total - 2)
        inverse = np.where(seen, 1.0 / np.maximum(pool, 1.0), 0.0).sum(axis=-1)
        w2 = (total * inverse - bins**2) / (total - 2)
        mean = (bins - 1) * total / (total - 1)
        variance = 2 * total / (total - 3) * (v1 - w1) * (v2 - w2) + total**2 / (total - 1) * w1 * w2
        stretch = np.where(smallest < EXPECTED, np.maximum(variance / (2 * mean), 1.0), 1.0)
        return cls((np.where(stretch > 1, mean, bins - 1) + extra) / stretch, stretch)

    def p_value(self, value: Floats) -> Floats:
        """Probability of such an X^2 without drift."""
        out: Floats = gammaincc(self.freedom / 2, value / self.stretch / 2)
        return out

    def critical(self, alpha: float) -> Floats:
        """X^2 that is exceeded with probability `alpha` without drift."""
        return chi_square_critical(self.freedom, alpha) * self.stretch


def share_gap(hits_reference: Floats, hits_test: Floats, n: Floats, m: Floats) -> Floats:
    """Share in the test window minus share in the reference: -1 to 1, positive where it grew.

    >>> float(share_gap(np.array(10.0), np.array(10.0), np.array(40.0), np.array(100.0)))
    0.15
    """
    out: Floats = hits_test / np.maximum(n, 1.0) - hits_reference / np.maximum(m, 1.0)
    return out


def hypergeometric_tail(x: Floats, hits: Floats, n: Floats, m: Floats) -> Floats:
    """Probability that at least `x` of the `hits` fall among n of n + m rows: the tail of Fisher's exact test.

    Exact to rounding where the tail ends or fades within 12 terms; beyond that the rest is bounded from above by a
    geometric series, because the ratio of neighbouring terms falls. So it is never too small. Only for `x` at the
    expected number or above, where that ratio is below 1; the answer is 1 for any other.

    >>> round(float(hypergeometric_tail(np.array(3.0), np.array(4.0), np.array(10.0), np.array(10.0))), 6)
    0.291022
    """
    last = np.minimum(hits, n)

    def log_choose(a: Floats, b: Floats) -> Floats:
        out: Floats = gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)
        return out

    inside = np.clip(x, np.maximum(hits - m, 0.0), last)
    log_first = log_choose(n, inside) + log_choose(m, hits - inside) - log_choose(n + m, hits)
    at = inside[..., None] + np.arange(TERMS)
    hits_, n_, m_ = hits[..., None], n[..., None], m[..., None]
    ratios = np.maximum((hits_ - at) * (n_ - at), 0.0) / ((at + 1) * np.maximum(m_ - hits_ + at + 1, 1.0))
    ratios = np.minimum(ratios, 1.0)
    terms = np.cumprod(ratios, axis=-1)
    end = np.minimum(ratios[..., -1], 1 - 1e-9)
    total = 1.0 + terms.sum(axis=-1) + terms[..., -1] * end / (1 - end)
    tail = np.exp(np.minimum(log_first + np.log(total), 0.0))
    out: Floats = np.where(x > last, 0.0, np.where(x * (n + m) < hits * n, 1.0, tail))
    return out


def share_p_value(
    hits_reference: Floats, hits_test: Floats, n: Floats, m: Floats, spare: Floats | float = 0.0
) -> Floats:
    """Probability of such a difference of two shares without drift: Fisher's exact test, smaller tail doubled.

    A share that grew is tested against `spare` more hits in the reference (see `overlooked`).

    >>> p = share_p_value(np.array([0.0, 0.0]), np.array([1.0, 20.0]), np.array([200.0, 200.0]), np.array([5e3, 5e3]))
    >>> [f"{x:.1g}" for x in p]
    ['0.08', '4e-29']
    """
    grew = hits_test * m >= hits_reference * n
    before = np.where(grew, np.minimum(hits_reference + spare, m), hits_reference)
    tail = hypergeometric_tail(
        np.where(grew, hits_test, before), before + hits_test, np.where(grew, n, m), np.where(grew, m, n)
    )
    spared = grew & (hits_test * m <= before * n)
    out: Floats = np.where(spared, 1.0, np.minimum(2 * tail, 1.0))
    return out


def share_critical(
    hits_reference: Floats, grew: npt.ArrayLike, n: Floats, m: Floats, alpha: float, spare: Floats | float = 0.0
) -> Floats:
    """Largest difference of shares, without its sign, that is NOT significant at `alpha` given the reference.

    For a share that grew, or fell (`grew` False). Found by bisection on the whole number of hits in the test window,
    so that `abs(difference) > critical` and `p_value <= alpha` always say the same. Where no number of hits would be
    significant it is the largest difference there can be.

    >>> c = share_critical(np.array([0.0]), True, np.array([200.0]), np.array([5e3]), 0.001)
    >>> float(c[0])  # Two hits of 200 are not enough, three are.
    0.01
    """
    # Columns are alike more often than not: most have no missing value at all.
    asked = np.stack(np.broadcast_arrays(hits_reference, grew, n, m, spare), axis=-1)
    # As one opaque value each: comparing field by field takes several times as long.
    opaque = np.ascontiguousarray(asked).view(np.dtype((np.void, asked.itemsize * 5)))[..., 0]
    _, first, back = np.unique(opaque.ravel(), return_index=True, return_inverse=True)
    rows = asked.reshape(-1, 5)[first]
    asked_reference, asked_grew, asked_n, asked_m, asked_spare = (column[:, None] for column in rows.T)
    quiet = _largest_quiet(asked_reference, asked_grew, asked_n, asked_m, asked_spare, alpha)
    gap: Floats = np.abs(quiet / np.maximum(rows[:, 2], 1.0) - rows[:, 0] / np.maximum(rows[:, 3], 1.0))
    return gap[back.reshape(-1)].reshape(asked.shape[:-1])


def _largest_quiet(hits_reference: Floats, grew: Floats, n: Floats, m: Floats, spare: Floats, alpha: float) -> Floats:
    """Number of hits in the test window farthest from the expected one that is not significant; shape (R,) of (R, 1).

    A search that cuts the range into several parts at a time: few rows are asked for at once, and a call costs more
    than its numbers do.
    """
    sign = np.where(grew > 0, 1.0, -1.0)
    before = np.where(grew > 0, np.minimum(hits_reference + spare, m), hits_reference)
    quiet = np.floor(before * n / np.maximum(m, 1.0) * sign)  # Counted away from the expected number.
    loud = np.where(grew > 0, n + 1.0, 1.0)  # Beyond what can be.
    parts = max(4, min(64, 1024 // len(quiet)))
    cuts = np.arange(1, parts) / parts
    # The first cuts lie around where the normal approximation sees the answer, or at the first few numbers of rows.
    share = (before + 1) / np.maximum(m, 1.0)
    sigmas = np.sqrt(2 * math.log(2 / alpha) * n * share * (1 + n / np.maximum(m, 1.0)))
    away = np.maximum(np.floor(sigmas * np.linspace(0.7, 1.3, parts - 1)), np.arange(1, parts))
    tried = np.clip(quiet + away, quiet, np.maximum(loud - 1, quiet))
    while (loud - quiet > 1).any():
        p_value = share_p_value(hits_reference, np.clip(tried * sign, 0.0, n), n, m, spare)
        significant = (p_value <= alpha) & (tried > quiet)
        quiet_part = np.where(significant, quiet, tried).max(axis=-1, keepdims=True)
        loud = np.minimum(np.where(significant, tried, loud).min(axis=-1, keepdims=True), loud)
        quiet = np.maximum(quiet, quiet_part)
        tried = np.floor(quiet + (loud - quiet) * cuts)
    return (quiet * sign)[:, 0]
