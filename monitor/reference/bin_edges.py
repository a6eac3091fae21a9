"""Where the bins of a numeric column lie: chosen once, from the reference, then frozen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Floats

#: Value bins between underflow and overflow. Each holds about 5 % of the reference, so that the binned K-S statistic
#: lies within 0.05 of the exact one, while a few hundred rows still give the divergences enough rows a bin.
BINS = 20

#: A value, and the next larger one in the data: None after the largest.
Gap = tuple[float, float | None]

_LARGEST = float(np.finfo(np.float64).max)


def choose_edges(values: Floats, bins: int = BINS) -> tuple[float, ...]:
    """Choose bin edges for a sample of a numeric column.

    A column with at most `bins` distinct values gets a bin for each, with edges half-way between neighbours: a value
    that was rounded on its way still falls into its own bin. Any other column gets quantile bins. The first edge lies
    below the smallest value and the last above the largest, so that underflow and overflow are empty in the
    reference.

    Not-finite values are ignored; a column without a finite value gets no edges (one value bin).

    >>> choose_edges(np.array([0.0, 1.0, 1.0, 2.0]))
    (-0.5, 0.5, 1.5, 2.5)
    >>> choose_edges(np.array([math.nan]))
    ()
    """
    values = np.asarray(values, dtype=np.float64)
    ordered = np.sort(values[np.isfinite(values)])
    distinct = np.unique(ordered)
    if not distinct.size:
        return ()
    return discrete_edges(distinct) if distinct.size <= bins else quantile_edges(ordered, bins)


def discrete_edges(distinct: Floats) -> tuple[float, ...]:
    """Edges half-way between the sorted distinct values, and as far outside the first and the last.

    >>> discrete_edges(np.array([7.0]))
    (6.5, 7.5)
    """
    distinct = np.asarray(distinct, dtype=np.float64)
    if distinct.size == 1:
        only = float(distinct[0])
        half = 0.5 if only.is_integer() and abs(only) < 2**52 else max(abs(only) * 0.01, 1e-300)
        return _unique([between(only - 1.2 * half, only - 0.8 * half), between(only + 0.8 * half, only + 1.2 * half)])
    # A quarter of the gap to either side is still far from both values, and leaves room for a short number.
    inner = [
        between(0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high)
        for low, high in zip(distinct[:-1].tolist(), distinct[1:].tolist(), strict=True)
    ]
    below = float(distinct[1] / 2 - distinct[0] / 2)
    above = float(distinct[-1] / 2 - distinct[-2] / 2)
    return _unique([_below(float(distinct[0]), below), *inner, _above(float(distinct[-1]), above)])


def wanted_ranks(rows: int, bins: int) -> npt.NDArray[np.int64]:
    """Ranks of the last value of each quantile bin but the last, counted from 1.

    >>> wanted_ranks(10, 4).tolist()
    [3, 5, 8]
    """
    ranks: npt.NDArray[np.int64] = -(-np.arange(1, bins) * rows // bins)  # rounded up, without an error of division
    return ranks


def quantile_edges(ordered: Floats, bins: int = BINS) -> tuple[float, ...]:
    """Edges at the quantiles of sorted values, with one edge outside each end.

    >>> quantile_edges(np.arange(1.0, 101.0), bins=4)
    (0.0, 25.5, 50.5, 75.5, 101.0)
    """
    values = np.unique(ordered[wanted_ranks(ordered.size, bins) - 1])
    following = np.searchsorted(ordered, values, side="right")
    above = [float(ordered[position]) if position < ordered.size else None for position in following.tolist()]
    return edges_in(list(zip(values.tolist(), above, strict=True)), float(ordered[0]), float(ordered[-1]))


def edges_in(gaps: Sequence[Gap], low: float, high: float) -> tuple[float, ...]:
    """Edges in the gaps between neighbouring values, and one outside each of the smallest and the largest value.

    An edge lies between two neighbouring values and not on one, at the number with the fewest digits there: values
    that are rounded or computed a little differently in production do not change their bin.
    """
    inner = [between(value, above) for value, above in gaps if above is not None]
    margin = max(high / 100 - low / 100, abs(low) * 1e-9, abs(high) * 1e-9, 1e-300)
    return _unique([_below(low, margin), *inner, _above(high, margin)])


def between(low: float, high: float) -> float:
    """Return a number strictly between two, near the middle, in few decimal digits; `low` where there is no room.

    >>> between(25, 26), between(0.0123, 0.0127), between(130.0, 190.0), between(1.0, math.nextafter(1.0, 2.0))
    (25.5, 0.0125, 160.0, 1.0)
    """
    middle = low / 2 + high / 2
    width = high - low
    if 0 < width < math.inf:
        # One digit less than the width has, then more until it fits; two more are enough, the loop allows for rounding.
        first = -math.floor(math.log10(width)) - 1
        for digits in range(first, first + 5):
            if abs(digits) > 300:
                break
            try:
                rounded = round(middle, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
            except OverflowError:  # up, beyond the largest float
                break
            if low < rounded < high:
                return rounded
    return middle if low < middle < high else low


def _below(value: float, margin: float) -> float:
    """Return a number about `margin` below a value."""
    edge = between(value - 1.5 * margin, value - 0.5 * margin)
    return edge if edge < value else math.nextafter(value, -math.inf)


def _above(value: float, margin: float) -> float:
    """Return a number about `margin` above a value."""
    edge = between(value + 0.5 * margin, value + 1.5 * margin)
    return edge if edge > value else math.nextafter(value, math.inf)


def _unique(edges: list[float]) -> tuple[float, ...]:
    """Finite and strictly increasing, as a column wants them."""
    return tuple(float(edge) for edge in np.unique(np.clip(edges, -_LARGEST, _LARGEST)))
