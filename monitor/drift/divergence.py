"""Divergences between two distributions over bins: `kl`, `psi` and `js`. docs/statistics.md has their derivations.

The last axis holds ALL bins of a column: outer ones, `__other__`, missing and nonfinite included. P is the reference, Q
the test window, with 0.5 added to every bin on both sides. n and m are all rows of both, h = 1/n + 1/m. Without drift
each is close to `scale` times h times a chi-square variable (PSI: Yurdakul 2018; KL: the G-test of Wilks 1938).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammaincc

from monitor.columns.column import Floats, Mask
from monitor.drift.contingency import chi_square_critical, overlooked_other
from monitor.drift.layout import Measured, Pair

#: Added to each bin on both sides: Jeffreys' prior.
SMOOTHING = 0.5


def kl(pair: Pair) -> Measured:
    """Kullback-Leibler divergence of the test window FROM the reference: sum Q ln(Q/P), in nats.

    Surprise per row for someone who expects the reference. 0 and up; the two directions differ.
    """
    return _measure(pair, lambda shares: np.maximum(_dot(shares.q, shares.log_ratio), 0.0), 0.5)


def psi(pair: Pair) -> Measured:
    """Population stability index: sum (Q-P) ln(Q/P), in nats; KL in both directions added up (Jeffreys' J).

    0 and up, the same in both directions; no term is negative. Boxkite calls this one KL.
    """
    return _measure(pair, lambda shares: _dot(shares.q - shares.p, shares.log_ratio), 1.0)


def js(pair: Pair) -> Measured:
    """Jensen-Shannon distance, base 2: the square root of the divergence of both from their average.

    0 to 1, the same in both directions, a metric. Equals `scipy.spatial.distance.jensenshannon(P, Q, base=2)`. Its
    square in nats is what follows the chi-square distribution.
    """

    def total(shares: Shares) -> Floats:
        # Half the sum of P ln(P/M) + Q ln(Q/M), M the middle of both; written with d = ln(Q/P) as
        # q d - (p + q) ln((1 + e^d) / 2), which needs one more logarithm and not two.
        grown = np.log1p((shares.q / shares.p - 1) / 2)
        whole = _dot(shares.q, shares.log_ratio) - _dot(shares.p + shares.q, grown)
        return np.maximum(whole, 0.0) / 2

    return _measure(pair, total, 0.125, lambda nats: np.sqrt(nats / math.log(2)))


def _measure(
    pair: Pair,
    total: Callable[[Shares], Floats],
    scale: float,
    from_nats: Callable[[Floats], Floats] = lambda nats: nats,
) -> Measured:
    """Measure the divergence that `total` sums up; without drift it is `scale` * h times chi-square.

    The degrees of freedom are the larger of K - 1 and (bins seen) - 1 + B / (scale h), B the divergence between the two
    *expected* smoothed distributions: without that, 50 rows of one category against 5,000 of the same, in a column with
    49 others, would be a drift.
    """
    null = pair.effective.once(_null)
    unit = scale * null.h
    freedom = np.maximum(np.maximum(null.bins - 1.0, null.seen - 1.0 + total(null.expected) / unit), 1.0)
    nats = total(pair.once(_smooth))
    return Measured(
        from_nats(nats),
        gammaincc(freedom / 2, np.maximum(nats, 0.0) / unit / 2),
        *pair.sizes,
        lambda alpha: from_nats(chi_square_critical(freedom, alpha) * unit),
        pair.testable,
    )


def _dot(a: Floats, b: Floats) -> Floats:
    out: Floats = np.einsum("...k,...k->...", a, b)
    return out


def smoothed(counts: Floats, real: Mask) -> Floats:
    """Proportions after adding 0.5 to each real bin; 1 in the padding of both sides, which so adds nothing."""
    filled = (counts + SMOOTHING) * real
    shares = filled / np.maximum(filled.sum(axis=-1, keepdims=True), SMOOTHING)
    out: Floats = shares + ~real
    return out


@dataclass(frozen=True)
class Shares:
    """Smoothed proportions of both sides, with the logarithm that all divergences share."""

    p: Floats
    q: Floats

    @cached_property
    def log_ratio(self) -> Floats:
        """ln(Q/P), bin by bin."""
        out: Floats = np.log(self.q / self.p)
        return out


def _smooth(pair: Pair) -> Shares:
    return Shares(smoothed(pair.reference, pair.frame.real), smoothed(pair.test, pair.frame.real))


@dataclass(frozen=True, slots=True)
class _Null:
    """What all divergences of one pair have without drift. `bins`: K. `seen`: bins that are filled on either side.

    `expected`: the smoothed proportions that both sides have on average. They differ, because smoothing pulls a small
    sample further towards the uniform distribution, and by the share that the reference overlooked in `__other__`.
    """

    expected: Shares
    bins: Floats
    seen: Floats
    h: Floats


def _null(pair: Pair) -> _Null:
    frame, reference = pair.frame, pair.reference
    n, m = (np.maximum(rows, 1.0) for rows in pair.sizes)
    pool = reference + pair.test
    common = pool / (n + m)[..., None]
    moved = common
    unseen = pair.once(overlooked_other) / m
    if unseen.any():
        share = unseen[..., None]
        common = np.where(share > 0, reference / m[..., None], common)
        moved = common * (1 - share) + frame.outside * share
    expected = Shares(smoothed(common * m[..., None], frame.real), smoothed(moved * n[..., None], frame.real))
    bins = np.broadcast_to(frame.real.sum(axis=-1).astype(np.float64), n.shape)
    return _Null(expected, bins, (pool > 0).sum(axis=-1).astype(np.float64), 1.0 / n + 1.0 / m)
