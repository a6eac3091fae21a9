"""Divergences between two distributions over bins: `kl`, `psi` and `js`.

The last axis holds the bins of a column, ALL of them: outer bins, `__other__`, missing and nonfinite included; `real`
tells bins from padding. P is the reference, Q the test window. 0.5 is added to every bin on both sides, over the same K
bins, so that an empty bin costs something finite. n and m are all rows of the test window and of the reference,
h = 1/n + 1/m.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammaincc

from monitor.columns.column import Floats, Mask
from monitor.drift.contingency import chi_square_critical

#: Added to each bin on both sides: Jeffreys' prior.
SMOOTHING = 0.5


def smoothed(counts: Floats, real: Mask) -> Floats:
    """Proportions after adding 0.5 to each real bin; 1 in the padding of both sides, which so adds nothing.

    >>> smoothed(np.array([1.5, 0.5, 0.0]), np.array([True, True, False])).round(3).tolist()
    [0.667, 0.333, 1.0]
    """
    filled = (counts + SMOOTHING) * real
    shares = filled / np.maximum(filled.sum(axis=-1, keepdims=True), SMOOTHING)
    out: Floats = shares + ~real
    return out


@dataclass(frozen=True)
class Shares:
    """Smoothed proportions of both sides, with the logarithm that all divergences share."""

    p: Floats
    q: Floats

    @classmethod
    def of(cls, reference: Floats, test: Floats, real: Mask) -> Shares:
        """Smooth both sides."""
        return cls(smoothed(reference, real), smoothed(test, real))

    @cached_property
    def log_ratio(self) -> Floats:
        """ln(Q/P), bin by bin."""
        out: Floats = np.log(self.q / self.p)
        return out


#: The sum of one divergence over the bins, in nats.
Divergence = Callable[[Shares], Floats]


def kl_sum(shares: Shares) -> Floats:
    """Return sum Q ln(Q/P)."""
    out: Floats = np.maximum(np.einsum("...k,...k->...", shares.q, shares.log_ratio), 0.0)
    return out


def psi_sum(shares: Shares) -> Floats:
    """Return sum (Q-P) ln(Q/P); no term is negative."""
    out: Floats = np.einsum("...k,...k->...", shares.q - shares.p, shares.log_ratio)
    return out


def js_sum(shares: Shares) -> Floats:
    """Jensen-Shannon divergence: half the sum of P ln(P/M) + Q ln(Q/M), M the middle of both.

    Written with d = ln(Q/P) as q d - (p + q) ln((1 + e^d) / 2), which needs one more logarithm and not two.
    """
    grown = np.log1p((shares.q / shares.p - 1) / 2)
    total = np.einsum("...k,...k->...", shares.q, shares.log_ratio)
    out: Floats = np.maximum(total - np.einsum("...k,...k->...", shares.p + shares.q, grown), 0.0) / 2
    return out


def kl(reference: Floats, test: Floats, real: Mask) -> Floats:
    """Kullback-Leibler divergence of the test window FROM the reference: sum Q ln(Q/P), in nats.

    Surprise per row for someone who expects the reference. 0 and up; the two directions differ.

    >>> both = np.array([True, True])
    >>> round(float(kl(np.array([49.5, 49.5]), np.array([99.5, 99.5]), both)), 12)
    0.0
    >>> round(float(kl(np.array([89.5, 9.5]), np.array([49.5, 49.5]), both)), 3)
    0.511
    """
    return kl_sum(Shares.of(reference, test, real))


def psi(reference: Floats, test: Floats, real: Mask) -> Floats:
    """Population stability index: sum (Q-P) ln(Q/P), in nats; KL in both directions added up (Jeffreys' J).

    0 and up, the same in both directions. Boxkite calls this one KL.

    >>> round(float(psi(np.array([89.5, 9.5]), np.array([49.5, 49.5]), np.array([True, True]))), 3)
    0.879
    """
    return psi_sum(Shares.of(reference, test, real))


def js(reference: Floats, test: Floats, real: Mask) -> Floats:
    """Jensen-Shannon distance, base 2: the square root of the divergence of both from their average.

    0 to 1, the same in both directions, a metric. Equals `scipy.spatial.distance.jensenshannon(P, Q, base=2)`.

    >>> round(float(js(np.array([89.5, 9.5]), np.array([49.5, 49.5]), np.array([True, True]))), 3)
    0.383
    """
    return js_distance(js_sum(Shares.of(reference, test, real)))


def js_distance(nats: Floats) -> Floats:
    """The distance, base 2, of a divergence in nats."""
    out: Floats = np.sqrt(np.clip(nats / math.log(2), 0.0, 1.0))
    return out


@dataclass(frozen=True)
class Compared:
    """What the divergences of one reference and test window have in common; shapes as in `layout.Pair`.

    `shares`: what was counted. `expected`: the smoothed proportions that both sides have on average where nothing
    drifted; they differ, because smoothing pulls a small sample further towards the uniform distribution than a large
    one, and because categories are those that the reference happened to hold: `__other__` is empty there by
    construction, and a test window must be allowed the share of rows that the reference overlooked, `unseen`
    (`table.overlooked`). `bins`: K. `seen`: bins that are filled on either side. `h`: 1/n + 1/m.
    """

    shares: Shares
    expected: Shares
    bins: Floats
    seen: Floats
    h: Floats

    @classmethod
    def of(cls, reference: Floats, test: Floats, real: Mask, unseen: Floats, outside: Mask) -> Compared:
        """Work it out from the counts."""
        n = np.maximum(test.sum(axis=-1), 1.0)
        m = np.maximum(reference.sum(axis=-1), 1.0)
        pool = reference + test
        common = pool / (n + m)[..., None]
        moved = common
        if unseen.any():
            share = unseen[..., None]
            common = np.where(share > 0, reference / m[..., None], common)
            moved = common * (1 - share) + outside * share
        expected = Shares.of(common * m[..., None], moved * n[..., None], real)
        bins = np.broadcast_to(real.sum(axis=-1).astype(np.float64), n.shape)
        seen = (pool > 0).sum(axis=-1).astype(np.float64)
        return cls(Shares.of(reference, test, real), expected, bins, seen, 1.0 / n + 1.0 / m)


@dataclass(frozen=True, slots=True)
class DivergenceNull:
    """Distribution of a divergence without drift: `scale` * h times chi-square.

    `freedom` is K - 1, the textbook's, wherever that is right. The divergence B between the two *expected* smoothed
    distributions is there without any drift; bins that are empty on both sides have no noise but take part in B. So
    freedom is the larger of K - 1 and (bins seen) - 1 + B / (scale h): without that, 50 rows of one category against
    5,000 of the same, in a column with 49 others, would be a drift.
    """

    freedom: Floats
    unit: Floats

    @classmethod
    def of(cls, divergence: Divergence, scale: float, compared: Compared) -> DivergenceNull:
        """Work it out for one divergence."""
        unit = scale * compared.h
        freedom = compared.seen - 1.0 + divergence(compared.expected) / unit
        return cls(np.maximum(np.maximum(compared.bins - 1.0, freedom), 1.0), unit)

    def p_value(self, divergence: Floats) -> Floats:
        """Probability of such a divergence (in nats) without drift."""
        out: Floats = gammaincc(self.freedom / 2, np.maximum(divergence, 0.0) / self.unit / 2)
        return out

    def critical(self, alpha: float) -> Floats:
        """Divergence (in nats) that is exceeded with probability `alpha` without drift."""
        return chi_square_critical(self.freedom, alpha) * self.unit


#: The quadratic expansion of each divergence around P = Q is sum (Q-P)^2 / P times this; that sum is h times a
#: chi-square variable (PSI: Yurdakul 2018; KL: the G-test of Wilks 1938).
KL_SCALE, PSI_SCALE, JS_SCALE = 0.5, 1.0, 0.125
