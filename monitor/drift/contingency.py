"""Tests of contingency tables: `chi2` over all bins, and `missing` and `other`, which compare one share.

n and m are all rows of the test window and of the reference, N = n + m, h = 1/n + 1/m. Nothing is smoothed.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincc, gammainccinv, gammaln, ndtri

from monitor.columns.column import Floats, Mask
from monitor.drift.direction import RARE
from monitor.drift.layout import SHARES, Measured, Pair

#: Cochran's rule: with every expected count at least this, X^2 follows the chi-square distribution well enough.
EXPECTED = 5.0

#: Terms of the hypergeometric tail that are added up one by one; the rest is bounded by a geometric series.
TERMS = 12

#: Numbers of hits that are tried first: these beyond the guess.
AROUND = np.array([-1.0, 0.0, 1.0, 2.0])

#: Shares up to which it takes longer to find out which are alike than to search for each.
FEW = 64

#: The floor of `other`: this difference, and this many times the reference's share more than that.
OTHER_FLOOR, TIMES = 0.01, 3.0


def chi2(pair: Pair) -> Measured:
    """Two-sample chi-square statistic X^2 with pooled expected counts, over all bins of a column.

    Bins that are empty on both sides are left out. 0 and up, the same in both directions; it grows with n, so its floor
    is put on X^2 * h, which is close to `psi`. Equals `scipy.stats.chi2_contingency(..., correction=False)`. Without
    drift it is `stretch` times chi-square with `freedom` degrees of freedom: see `chi2_null`.
    """
    n, m = pair.sizes
    reference, test = pair.reference, pair.test
    gap = test * m[..., None] - reference * n[..., None]
    value: Floats = (gap**2 / np.maximum(reference + test, 1.0)).sum(axis=-1) / np.maximum(n * m, 1.0)
    freedom, stretch = chi2_null(reference, pair.effective.test, pair.once(overlooked_other))
    h, effective_h = (1 / np.maximum(rows, 1.0) + 1 / np.maximum(m, 1.0) for rows in (n, pair.effective.sizes[0]))
    design_effect = effective_h / h  # X^2 grows with n: that of the effective rows is this many times smaller
    p_value = gammaincc(freedom / 2, value / design_effect / stretch / 2)

    def critical(alpha: float) -> Floats:
        return chi_square_critical(freedom, alpha) * stretch * design_effect

    return Measured(value, p_value, n, m, critical, pair.testable, floor_unit=1 / h)


def missing(pair: Pair) -> Measured:
    """Share of rows without a usable value (None, NaN; for numbers also the infinities), test minus reference."""
    return pair.once(_shares)["missing"]


def other(pair: Pair) -> Measured:
    """Share of rows outside of what the reference knows well, test minus reference.

    A number below or above every edge; an unseen value, or a rare one. The edges are the smallest and the largest of
    the reference's rows, so other rows of the same source fall beyond each as often as if the reference had one row
    more there: the test adds that row (negative hypergeometric distribution). Its floor is also `TIMES` times the
    reference's share, so that a ratio counts.
    """
    return pair.once(_shares)["other"]


def _shares(pair: Pair) -> dict[str, Measured]:
    """Measure those of `SHARES` that are asked for, in a leading axis: a call costs more than its numbers do."""
    (n, m), names = pair.sizes, [name for name in SHARES if name in pair.asked]
    counted = [_missing(pair) if name == "missing" else _outside(pair) for name in names]
    hits_reference, hits_test, spare = (np.array(one) for one in zip(*counted, strict=True))
    share, share_reference = hits_test / np.maximum(n, 1.0), hits_reference / np.maximum(m, 1.0)
    gap, hits = share - share_reference, hits_reference + hits_test
    rows, effective_hits = n, hits_test
    if pair.weights is not None:
        # Whole hits beyond the critical number, as `share_critical` counts them.
        rows = np.rint(n * np.moveaxis(pair.weights[..., [1 + SHARES.index(name) for name in names]], -1, 0))
        part = share * rows
        effective_hits = np.where(gap >= 0, np.ceil(part - 1e-9), np.floor(part + 1e-9))
    testable = (hits > 0) & (hits < n + m)
    p_value = np.ones(gap.shape)  # most columns have no missing value at all
    p_value[testable] = share_p_value(*_stacked(hits_reference, effective_hits, rows, m, spare)[:, testable])

    @cache
    def critical(alpha: float) -> Floats:
        return share_critical(hits_reference, gap >= 0, rows, m, alpha, spare)

    def measured(at: int, name: str) -> Measured:
        unit = np.maximum(TIMES * share_reference[at] / OTHER_FLOOR, 1.0) if name == "other" else 1.0
        return Measured(gap[at], p_value[at], n, m, lambda alpha: critical(alpha)[at], testable[at], floor_unit=unit)

    return {name: measured(at, name) for at, name in enumerate(names)}


def _missing(pair: Pair) -> tuple[Floats, Floats, Floats]:
    """Rows without a usable value in the reference and in the test window, and how many the reference is spared."""
    bins = pair.frame.places.shape[-1]
    before, after = (side[..., bins:].sum(axis=-1) for side in (pair.reference, pair.test))
    return before, after, np.zeros(before.shape)


def _outside(pair: Pair) -> tuple[Floats, Floats, Floats]:
    """The same of rows outside of what the reference knows well: see `other`."""
    frame, reference, outside = pair.frame, pair.reference, pair.frame.outside
    limit: Floats | float = 0.0
    if frame.known.any():
        # Known categories that less than RARE of the reference's rows have; none if most are like that.
        few = RARE * reference.sum(axis=-1, keepdims=True)
        rare = frame.known & (reference < few)
        rare &= np.vecdot(reference, rare)[..., None] <= 10 * few
        outside, limit = outside | rare, np.where(rare.any(axis=-1), few[..., 0], 0.0)
    spare = overlooked(reference, frame.known, frame.outside, limit) + frame.outside[..., 0]
    return np.vecdot(reference, outside), np.vecdot(pair.test, outside), spare


def overlooked_other(pair: Pair) -> Floats:
    """Rows that may be missing from the reference's `__other__`, (R,)."""
    return overlooked(pair.reference, pair.frame.known, pair.frame.outside)


def overlooked(reference: Floats, known: Mask, other: Mask, rare: Floats | float = 0.0) -> Floats:
    """How many reference rows may well be missing from a set of categories that was chosen for being rare in them.

    The set holds `other`, the bin of `__other__`, and the known categories with fewer than `rare` rows. Leaving one row
    out at a time shows how many are missing (Good 1953): with N[x] categories of x rows, edge N[edge], where `edge` is
    the smallest number of rows that keeps a category out of the set; of variance edge N[edge] + edge (edge + 1)
    N[edge + 1]. N[edge + 1] may be 0 by luck, so it is also expected from the rows of all categories, and the larger is
    taken. Four standard errors are added. Zero for a numeric column.

    >>> known, other = np.array([True, True, False, False]), np.array([False, False, True, False])
    >>> overlooked(np.array([[90.0, 1.0, 0.0, 9.0], [90.0, 10.0, 0.0, 9.0]]), known, other).round(1).tolist()
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
    """Value that a chi-square variable with `freedom` degrees of freedom exceeds with probability `alpha`.

    Most columns have as many bins as their neighbours, and each inverse takes a microsecond: it is asked for once.
    """
    distinct, back = np.unique(freedom, return_inverse=True)
    out: Floats = (2 * gammainccinv(distinct / 2, alpha))[back.reshape(freedom.shape)]
    return out


def chi2_null(reference: Floats, test: Floats, extra: Floats) -> tuple[Floats, Floats]:
    """Degrees of freedom and stretch of X^2 without drift, from the two rows of counts.

    With every expected count at least 5: stretch 1, freedom = bins seen - 1. With rarer categories X^2 moves in large
    steps, so its exact mean and variance given the margins (Haldane 1940) are matched by a stretched chi-square, where
    that is wider. Rows that the reference overlooked add to the mean: `extra`.
    """
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
    return (np.where(stretch > 1, mean, bins - 1) + extra) / stretch, stretch


def hypergeometric_tail(x: Floats, hits: Floats, n: Floats, m: Floats) -> Floats:
    """Probability that at least `x` of the `hits` fall among n of n + m rows: the tail of Fisher's exact test.

    Exact to rounding where the tail ends or fades within 12 terms; beyond that the rest is bounded from above by a
    geometric series, because the ratio of neighbouring terms falls. So it is never too small. Only for `x` at the
    expected number or above, where that ratio is below 1; the answer is 1 for any other.
    """
    last = np.minimum(hits, n)

    def log_choose(a: Floats, b: Floats) -> Floats:
        out: Floats = gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)
        return out

    inside = np.minimum(np.maximum(x, np.maximum(hits - m, 0.0)), last)
    in_n, in_m, in_both = log_choose(np.array((n, m, n + m)), np.array((inside, hits - inside, hits)))
    log_first = in_n + in_m - in_both
    # The ratio of each term to the one before it; in place, as these arrays are the largest ones.
    at = inside[..., None] + np.arange(TERMS)
    ratios = hits[..., None] - at
    ratios *= n[..., None] - at
    at += 1
    below = at + (m - hits)[..., None]
    below *= at
    ratios /= below
    np.minimum(np.maximum(ratios, 0.0, out=ratios), 1.0, out=ratios)
    terms = np.multiply.accumulate(ratios, axis=-1, out=below)
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

    For a share that grew, or fell (`grew` False). Found on the whole number of hits in the test window, so that
    `abs(difference) > critical` and `p_value <= alpha` always say the same. The largest difference there can be if no
    number of hits would be significant.

    >>> c = share_critical(np.array([0.0]), True, np.array([200.0]), np.array([5e3]), 0.001)
    >>> float(c[0])  # Two hits of 200 are not enough, three are.
    0.01
    """
    asked = _stacked(hits_reference, grew, n, m, spare)
    columns, back = asked.reshape(5, -1), None
    if columns.shape[1] > FEW:
        # Columns are alike more often than not: most have no missing value at all. As one opaque value each: comparing
        # field by field takes several times as long.
        opaque = np.ascontiguousarray(columns.T).view(np.dtype((np.void, columns.itemsize * 5)))[:, 0]
        _, first, back = np.unique(opaque, return_index=True, return_inverse=True)
        columns = columns[:, first]
    before, up, rows, reference_rows, extra = columns
    spared = np.where(up > 0, np.minimum(before + extra, reference_rows), before)
    hits = _last_insignificant(spared, up > 0, rows, reference_rows, alpha)
    gap: Floats = np.abs(hits / np.maximum(rows, 1.0) - before / np.maximum(reference_rows, 1.0))
    return (gap if back is None else gap[back]).reshape(asked.shape[1:])


def _stacked(*arrays: npt.ArrayLike) -> Floats:
    """Arrays that broadcast to one shape, in a leading axis."""
    out = np.empty((len(arrays), *np.broadcast(*arrays).shape))
    for at, array in enumerate(arrays):
        out[at] = array
    return out


def _last_insignificant(before: Floats, grew: Mask, n: Floats, m: Floats, alpha: float) -> Floats:
    """Number of hits in the test window farthest from the expected one that is not significant; all shapes (R,).

    A secant search within a bracket, from where the likelihood ratio sees the answer: the root of -ln(p) is nearly a
    straight line in the number of hits, so a line through the expected number and the last one tried mostly meets the
    answer within one row. The middle of the bracket is tried as well.
    """
    sign, reference_rows = np.where(grew, 1.0, -1.0), np.maximum(m, 1.0)
    small, large = np.where(grew, n, m), np.where(grew, m, n)
    expected = before * n / reference_rows * sign
    # The bracket, in hits times `sign`, so that larger is always farther from the expected number: `below` is not
    # significant; `above` is, or cannot be.
    below, above = np.floor(expected), np.where(grew, n + 1.0, 1.0)
    left, wanted = np.flatnonzero(above - below > 1), math.sqrt(-math.log(alpha / 2))
    guess = _likely_critical(before[left], sign[left], n[left], reference_rows[left], alpha)
    tried = np.floor(guess)[:, None] + AROUND
    while left.size:
        low, high = below[left, None], above[left, None]
        tried = np.minimum(np.maximum(np.floor(tried), low + 1), high - 1)
        hits, reference_hits = tried * sign[left, None], before[left, None]
        in_larger = np.where(grew[left, None], hits, reference_hits)
        tail = hypergeometric_tail(in_larger, hits + reference_hits, small[left, None], large[left, None])
        significant = 2 * tail <= alpha
        below[left] = np.where(significant, low, tried).max(axis=-1)
        above[left] = np.where(significant, tried, high).min(axis=-1)
        still_open = above[left] - below[left] > 1
        left = left[still_open]
        if left.size:
            tried, tail = tried[still_open], tail[still_open]
            # The line goes through the number tried whose tail is closest to what is wanted.
            root = np.sqrt(np.maximum(-np.log(np.maximum(tail, 1e-300)), 1e-3))
            best = np.abs(root - wanted).argmin(axis=-1)[:, None]
            root, tried = (np.take_along_axis(one, best, axis=-1) for one in (root, tried))
            origin, middle = expected[left, None], (below[left, None] + above[left, None]) / 2
            secant = np.floor(origin + (tried - origin) * wanted / root)
            tried = np.concatenate((secant - 1, secant, secant + 1, middle), axis=-1)
    return below * sign


def _likely_critical(before: Floats, sign: Floats, n: Floats, m: Floats, alpha: float) -> Floats:
    """Guess the critical number of hits, times `sign`, (R,): mostly within a row of the answer.

    At the critical number the signed root of the likelihood ratio, with Yates' half a row, is the normal quantile of
    `alpha`. Newton's method from the normal approximation: the root is nearly a straight line.
    """
    quantile = -float(ndtri(alpha / 2))
    share = (before + 1) / m
    signed_hits = before * n / m * sign + quantile * np.sqrt(n * share * (1 + n / m))
    hits_reference, rest_reference = np.maximum(before + sign / 2, 0.25), np.maximum(m - before - sign / 2, 0.25)
    for _ in range(2):
        hits = np.minimum(np.maximum(signed_hits * sign - sign / 2, 0.25), n - 0.25)
        rest = n - hits
        pooled, pooled_rest = (hits + hits_reference) / (n + m), (rest + rest_reference) / (n + m)
        ratio = hits * np.log(hits / (pooled * n)) + rest * np.log(rest / (pooled_rest * n))
        ratio += hits_reference * np.log(hits_reference / (pooled * m))
        ratio += rest_reference * np.log(rest_reference / (pooled_rest * m))
        root = np.sqrt(2 * np.maximum(ratio, 1e-9))
        slope = np.maximum(np.abs(np.log(hits * pooled_rest / (rest * pooled))), 1e-9)
        signed_hits = (hits + sign / 2) * sign - root * (root - quantile) / slope
    return signed_hits
