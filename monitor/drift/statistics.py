"""The table of drift statistics: what each is called, what it is for, and from which value on it matters.

A statistic is measured for many columns at once (`measure`), which gives its value, its p-value and a function from
alpha to the critical value. How each is defined is said where it is computed: `cumulative.py`, `divergence.py` and
`table.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monitor.columns.column import Floats, Kind, Mask
from monitor.drift import contingency as table
from monitor.drift import cumulative, divergence
from monitor.drift.layout import Pair


@dataclass(frozen=True, slots=True)
class Measured:
    """One statistic of R columns; all arrays have shape (R,) behind any leading axes.

    `n`, `m`: its sample sizes, in rows. `critical`: the value not to be exceeded at a given alpha, such that
    `abs(value) > critical(alpha)` says the same as `p_value < alpha`. `testable`: False where both sides together fill
    only one bin, so that the test could not come out significant whatever the split; it then takes no part of alpha.
    `floor_unit`: what a floor is multiplied with to be in the units of `value`; 1 for all but `chi2`.
    """

    value: Floats
    p_value: Floats
    n: Floats
    m: Floats
    critical: Callable[[float], Floats]
    testable: Mask
    floor_unit: Floats | float = 1.0


@dataclass(frozen=True, slots=True)
class Statistic:
    """One line of the table.

    `floor`: the smallest value worth an alert, whatever the sample size; `because` says why that one.
    """

    name: str
    kinds: tuple[Kind, ...]
    floor: float
    measure: Callable[[Pair], Measured]
    because: str


def measure_ks(pair: Pair) -> Measured:
    """`cumulative.ks` over the finite values."""
    n, m = pair.finite_sizes
    value, (most_n, most_m) = cumulative.largest(pair.gaps), (np.maximum(one, 1.0) for one in pair.counted.finite_sizes)
    return Measured(
        value,
        cumulative.ks_p_value(value, most_n, most_m),
        n,
        m,
        lambda alpha: cumulative.ks_critical(most_n, most_m, alpha),
        pair.finite_testable,
    )


def measure_wasserstein(pair: Pair) -> Measured:
    """`cumulative.wasserstein` over the finite values, in reference standard deviations.

    Where that is zero or unknown, in spans of the edges.
    """
    value, places = cumulative.area(pair.gaps, pair.places), pair.places
    which, before, after = pair.settled
    if which.any():
        counts = [np.broadcast_to(side, (*which.shape, side.shape[-1]))[which] for side in pair.finite]
        value[which] = cumulative.transport(counts[0], before, counts[1], after)
        places = np.array(np.broadcast_to(places, (*which.shape, places.shape[-1])))
        rows = np.maximum(counts[0] + counts[1], 1.0)
        places[which] += (counts[0] * (before - places[which]) + counts[1] * (after - places[which])) / rows
    value = value / pair.scale
    null = cumulative.WassersteinNull(*pair.counted.finite, places, pair.scale)
    testable = pair.finite_testable & (pair.places[..., -1] > 0)
    return Measured(value, null.p_value(value), *pair.finite_sizes, null.critical, testable)


def _measure_divergence(
    pair: Pair,
    total: divergence.Divergence,
    scale: float,
    from_nats: Callable[[Floats], Floats] = lambda nats: nats,
) -> Measured:
    null = divergence.DivergenceNull.of(total, scale, pair.counted.compared)
    nats = total(pair.compared.shares)
    return Measured(
        from_nats(nats),
        null.p_value(nats),
        *pair.sizes,
        lambda alpha: from_nats(null.critical(alpha)),
        pair.testable,
    )


def measure_kl(pair: Pair) -> Measured:
    """`divergence.kl` over all bins."""
    return _measure_divergence(pair, divergence.kl_sum, divergence.KL_SCALE)


def measure_psi(pair: Pair) -> Measured:
    """`divergence.psi` over all bins."""
    return _measure_divergence(pair, divergence.psi_sum, divergence.PSI_SCALE)


def measure_js(pair: Pair) -> Measured:
    """`divergence.js` over all bins; its square in nats is what follows the chi-square distribution."""
    return _measure_divergence(pair, divergence.js_sum, divergence.JS_SCALE, lambda nats: np.sqrt(nats / math.log(2)))


def measure_chi2(pair: Pair) -> Measured:
    """`table.chi2` over all bins. Its floor is on X^2 * h, so that it does not grow with n."""
    null = table.Chi2Null.of(pair.reference, pair.counted.test, pair.overlooked)
    value = table.chi2(pair.reference, pair.test)
    n, m = pair.sizes
    h, counted = (1 / np.maximum(rows, 1.0) + 1 / np.maximum(m, 1.0) for rows in (n, pair.counted.sizes[0]))
    grown = counted / h  # X^2 grows with n: that of the rows that count is smaller by this
    p_value = null.p_value(value / grown)
    return Measured(value, p_value, n, m, lambda alpha: null.critical(alpha) * grown, pair.testable, floor_unit=1 / h)


def _measure_share(pair: Pair, cells: Mask, spare: Floats | float = 0.0, times: float = 0.0) -> Measured:
    """Measure one share. `times`: the floor is also this many times the reference's share, so that a ratio counts."""
    hits_reference, hits_test = (pair.reference * cells).sum(axis=-1), (pair.test * cells).sum(axis=-1)
    n, m = pair.sizes
    gap = table.share_gap(hits_reference, hits_test, n, m)
    hits = hits_reference + hits_test
    rows, counted = n, hits_test
    if pair.weights is not None:
        # Whole hits beyond the critical number, as `share_critical` counts them.
        rows = np.rint(pair.counted.sizes[0])
        part = hits_test / np.maximum(n, 1.0) * rows
        counted = np.where(gap >= 0, np.ceil(part - 1e-9), np.floor(part + 1e-9))
    return Measured(
        gap,
        table.share_p_value(hits_reference, counted, rows, m, spare),
        n,
        m,
        lambda alpha: table.share_critical(hits_reference, gap >= 0, rows, m, alpha, spare),
        (hits > 0) & (hits < n + m),
        floor_unit=np.maximum(times * hits_reference / np.maximum(m, 1.0) / OTHER_FLOOR, 1.0),
    )


def measure_missing(pair: Pair) -> Measured:
    """Share of rows without a usable value (None, NaN; for numbers also the infinities), test minus reference."""
    return _measure_share(pair, pair.missing)


def measure_other(pair: Pair) -> Measured:
    """Share of rows outside of what the reference knows well, test minus reference.

    A number below or above every edge; an unseen value, or a rare one. The edges come from the smallest and the
    largest of the reference's rows, beyond which other rows of the same source fall as often as if one of the
    reference's own were there too: that row is spared (negative hypergeometric distribution).
    """
    numeric = pair.outside[..., 0] & pair.values[..., 0]
    return _measure_share(pair, pair.outside | pair.rare, pair.overlooked_rare + numeric, TIMES)


#: The floor of `other`: this difference, and this many times the reference's share more than that.
OTHER_FLOOR, TIMES = 0.01, 3.0

BOTH: tuple[Kind, ...] = ("numeric", "categorical")
NUMERIC: tuple[Kind, ...] = ("numeric",)
CATEGORICAL: tuple[Kind, ...] = ("categorical",)

_LINES = (
    Statistic("ks", NUMERIC, 0.08, measure_ks, "8 rows of 100 lie elsewhere: a normal column moved by 0.2 sd"),
    Statistic("kl", BOTH, 0.05, measure_kl, "half of the 0.1 of psi, which is kl in both directions"),
    Statistic("psi", BOTH, 0.1, measure_psi, "the lower of the usual rules of thumb, 0.1 and 0.25"),
    Statistic("js", BOTH, 0.13, measure_js, "psi = 0.1 in its units: sqrt(0.1 / (8 ln 2)) = 0.134"),
    Statistic("wasserstein", NUMERIC, 0.2, measure_wasserstein, "a shift by 0.2 sd, the same as ks = 0.08"),
    Statistic("chi2", CATEGORICAL, 0.1, measure_chi2, "on X^2 (1/n + 1/m), which for small shifts is psi"),
    Statistic("missing", BOTH, 0.03, measure_missing, "three rows in a hundred: an outage of one source among many"),
    Statistic("other", BOTH, OTHER_FLOOR, measure_other, "one row in a hundred, and four times as many as before"),
)

#: Which correlation of a window's rows counts for a statistic: of shape (0), of `missing` (1), of `other` (2).
CORRELATION = {name: {"missing": 1, "other": 2}.get(name, 0) for name in (line.name for line in _LINES)}

#: All statistics by name.
STATISTICS: dict[str, Statistic] = {line.name: line for line in _LINES}

#: What `auto` measures for each kind of column, and whether values went missing. `ks` sees any change of shape;
#: `wasserstein` sees a column that moves, or grows a tail, with a third of the rows fewer.
AUTO: dict[Kind, tuple[str, ...]] = {
    "numeric": ("ks", "wasserstein", "missing", "other"),
    "categorical": ("kl", "missing", "other"),
}
