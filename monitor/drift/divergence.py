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

import numpy as np
from scipy.special import gammaincc, gammainccinv

from monitor.drift.layout import Mask
from monitor.window.columns import Floats

#: Added to each bin on both sides: Jeffreys' prior.
SMOOTHING = 0.5


def smoothed(counts: Floats, real: Mask) -> Floats:
    """Proportions after adding 0.5 to each real bin; 1 in the padding of both sides, which so adds nothing.

    >>> smoothed(np.array([1.5, 0.5, 0.0]), np.array([True, True, False])).round(3).tolist()
    [0.667, 0.333, 1.0]
    """
    filled = np.where(real, counts + SMOOTHING, 0.0)
    return np.where(real, filled / np.maximum(filled.sum(axis=-1, keepdims=True), SMOOTHING), 1.0)


def kl_terms(p: Floats, q: Floats) -> Floats:
    """Terms of `kl`: q ln(q/p), bin by bin."""
    out: Floats = q * np.log(q / p)
    return out


def psi_terms(p: Floats, q: Floats) -> Floats:
    """Terms of `psi`: (q - p) ln(q/p), bin by bin; none is negative."""
    out: Floats = (q - p) * np.log(q / p)
    return out


def js_terms(p: Floats, q: Floats) -> Floats:
    """Terms of the Jensen-Shannon divergence in nats, bin by bin."""
    middle = (p + q) / 2
    out: Floats = (p * np.log(p / middle) + q * np.log(q / middle)) / 2
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
    total = kl_terms(smoothed(reference, real), smoothed(test, real)).sum(axis=-1)
    out: Floats = np.maximum(total, 0.0)
    return out


def psi(reference: Floats, test: Floats, real: Mask) -> Floats:
    """Population stability index: sum (Q-P) ln(Q/P), in nats; KL in both directions added up (Jeffreys' J).

    0 and up, the same in both directions. Boxkite calls this one KL.

    >>> round(float(psi(np.array([89.5, 9.5]), np.array([49.5, 49.5]), np.array([True, True]))), 3)
    0.879
    """
    out: Floats = psi_terms(smoothed(reference, real), smoothed(test, real)).sum(axis=-1)
    return out


def js(reference: Floats, test: Floats, real: Mask) -> Floats:
    """Jensen-Shannon distance, base 2: the square root of the divergence of both from their average.

    0 to 1, the same in both directions, a metric. Equals `scipy.spatial.distance.jensenshannon(P, Q, base=2)`.

    >>> round(float(js(np.array([89.5, 9.5]), np.array([49.5, 49.5]), np.array([True, True]))), 3)
    0.383
    """
    nats = js_terms(smoothed(reference, real), smoothed(test, real)).sum(axis=-1)
    out: Floats = np.sqrt(np.clip(nats / math.log(2), 0.0, 1.0))
    return out


@dataclass(frozen=True, slots=True)
class DivergenceNull:
    """Distribution of a divergence without drift: `scale` * h times chi-square.

    `freedom` is K - 1, the textbook's, wherever that is right. Smoothing pulls a small sample further towards the
    uniform distribution than a large one; the divergence between the two *expected* smoothed distributions, B, is there
    without any drift. Bins that are empty on both sides have no noise but take part in B. So freedom is the larger of
    K - 1 and (bins seen) - 1 + B / (scale h): without that, 50 rows of one category against 5,000 of the same, in a
    column with 49 others, would be a drift.

    Categories are those that the reference happened to hold, so `__other__` is empty there by construction, and a test
    window must be allowed the share of categories that the reference missed: `unseen` (`table.overlooked`) goes into B
    as well.
    """

    freedom: Floats
    unit: Floats

    @classmethod
    def of(
        cls,
        terms: Callable[[Floats, Floats], Floats],
        scale: float,
        reference: Floats,
        test: Floats,
        real: Mask,
        unseen: Floats,
        outside: Mask,
    ) -> DivergenceNull:
        """Work it out from the counts, for a divergence that is the sum of `terms`."""
        n = np.maximum(test.sum(axis=-1), 1.0)
        m = np.maximum(reference.sum(axis=-1), 1.0)
        pool = reference + test
        share = unseen[..., None]
        common = np.where(share > 0, reference / m[..., None], pool / (n + m)[..., None])
        expected_p = smoothed(common * m[..., None], real)
        expected_q = smoothed((common * (1 - share) + outside * share) * n[..., None], real)
        unit = scale * (1.0 / n + 1.0 / m)
        bias = np.maximum(terms(expected_p, expected_q).sum(axis=-1), 0.0)
        seen = (pool > 0).sum(axis=-1)
        bins = np.broadcast_to(real, pool.shape).sum(axis=-1)
        return cls(np.maximum(np.maximum(bins - 1.0, seen - 1.0 + bias / unit), 1.0), unit)

    def p_value(self, divergence: Floats) -> Floats:
        """Probability of such a divergence (in nats) without drift."""
        out: Floats = gammaincc(self.freedom / 2, np.maximum(divergence, 0.0) / self.unit / 2)
        return out

    def critical(self, alpha: float) -> Floats:
        """Divergence (in nats) that is exceeded with probability `alpha` without drift."""
        out: Floats = 2 * gammainccinv(self.freedom / 2, alpha) * self.unit
        return out


#: The quadratic expansion of each divergence around P = Q is sum (Q-P)^2 / P times this; that sum is h times a
#: chi-square variable (PSI: Yurdakul 2018; KL: the G-test of Wilks 1938).
KL_SCALE, PSI_SCALE, JS_SCALE = 0.5, 1.0, 0.125
