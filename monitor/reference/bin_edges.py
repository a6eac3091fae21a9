"""The bin edges of a numeric column: chosen once, from the reference, then frozen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Floats

#: Value bins between underflow and overflow. Each holds about 5 % of the reference, so that the binned K-S statistic is
#: within 0.05 of the exact one, while a few hundred rows still give the divergences enough rows a bin.
BINS = 20

#: The outermost quantile bins are cut again at these parts of the rows, if such a bin has TAIL_ROWS: what is far out in
#: a long tail carries most of a distance.
TAILS, TAIL_ROWS = (100, 1000), 10

#: Even cells in which wanted ranks are looked for, and values that are put into them at a time.
CELLS, CHUNK = 2**14, 2**16

#: A value, and the next larger one in the data: None after the largest.
Gap = tuple[float, float | None]

_LARGEST = float(np.finfo(np.float64).max)


def edges_of_values(distinct: Floats, rows: npt.NDArray[np.int64], bins: int = BINS) -> tuple[float, ...]:
    """Choose bin edges for a column that has these `distinct` values, sorted, each in `rows` rows.

    A column with at most `bins` distinct values gets a bin for each, with edges half-way between neighbours. In any
    other column a value that has more than a bin's share of the rows gets a bin of its own, and the rest is cut at its
    quantiles, finer in its tails. The first edge is below all values and the last above them, so that underflow and
    overflow are empty in the reference. No value, no edges: one value bin.

    >>> edges_of_values(np.arange(12.0), np.array([1, 1, 1, 90, 1, 1, 1, 1, 1, 1, 1, 1]), bins=4)
    (-0.1, 2.5, 3.5, 4.5, 8.5, 11.1)
    """
    if not distinct.size:
        return ()
    if distinct.size <= bins:
        return discrete_edges(distinct)
    return edges_of_gaps(gaps_of(distinct, rows, bins), float(distinct[0]), float(distinct[-1]))


def gaps_of(distinct: Floats, rows: npt.NDArray[np.int64], bins: int) -> list[Gap]:
    """Find the gaps that hold the edges of a column with these `distinct` values, sorted, each in `rows` rows.

    They are above the values at the wanted ranks, and on both sides of each value with a bin of its own.

    >>> gaps_of(np.array([1.0, 2.0, 4.0, 6.0, 9.0]), np.array([1, 1, 9, 1, 1]), 3)
    [(2.0, 4.0), (4.0, 6.0)]
    """
    own, positions = wanted_values(rows, bins)
    if own.size:
        positions = np.delete(np.arange(distinct.size), own)[positions]
    low = np.unique(np.concatenate((positions, own[own > 0] - 1, own)))
    above = [float(distinct[at + 1]) if at + 1 < distinct.size else None for at in low.tolist()]
    return list(zip(distinct[low].tolist(), above, strict=True))


def gaps_of_rows(values: Floats, bins: int) -> list[Gap]:
    """`gaps_of` for the values of all rows, in any order; they may be sorted in place.

    >>> gaps_of_rows(np.array([9.0, 4.0, 1.0, 2.0]), 2), gaps_of_rows(np.array([5.0, 1.0, 5.0, 5.0, 7.0]), 2)
    ([(2.0, 4.0)], [(1.0, 5.0), (5.0, 7.0)])
    """
    share, ranks = values.size // bins, wanted_ranks(values.size, bins)
    near = _near_ranks(values, ranks, share)
    if near is None:
        values.sort()
        if (values[share:] == values[: values.size - share]).any():  # a value has more than a bin's share of the rows
            first = np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)
            return gaps_of(values[first], np.diff(first, append=values.size), bins)
        near = values, ranks
    values, ranks = near
    low = np.unique(values[ranks - 1])
    above = [float(values[at]) if at < values.size else None for at in np.searchsorted(values, low, side="right")]
    return list(zip(low.tolist(), above, strict=True))


def _near_ranks(values: Floats, ranks: npt.NDArray[np.int64], most: int) -> tuple[Floats, npt.NDArray[np.int64]] | None:
    """Sort only the values around the wanted ranks, which are in a few of many even cells; also return their ranks.

    None if a cell has more than `most` values: one value may have as many, or a few are so far out that cells are wide.
    """
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scale = (CELLS - 1) / np.float64(high - low)
    if not 0 < scale < np.inf:
        return None

    def cells(part: Floats) -> npt.NDArray[np.int32]:
        return ((part - low) * scale).astype(np.int32)  # a larger value is never in a lower cell

    parts = [values[begin : begin + CHUNK] for begin in range(0, values.size, CHUNK)]
    rows = np.zeros(CELLS, np.int64)
    for part in parts:
        rows += np.bincount(cells(part), minlength=CELLS)
    if rows.max() > most:
        return None
    wanted, filled = np.searchsorted(np.cumsum(rows), ranks), np.flatnonzero(rows)
    kept = np.zeros(CELLS, np.bool_)
    kept[wanted] = True
    # The next larger value may be in the next cell that has any.
    kept[filled[np.minimum(np.searchsorted(filled, wanted, side="right"), filled.size - 1)]] = True
    near = np.sort(np.concatenate([part[kept[cells(part)]] for part in parts]))
    return near, ranks - np.cumsum(np.where(kept, 0, rows))[wanted]


def wanted_values(rows: npt.NDArray[np.int64], bins: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Find the values with a bin of their own, and among the others those at the wanted ranks; `rows`: of each."""
    own, left = frequent(rows, int(rows.sum()), bins)
    rest = np.delete(rows, own) if own.size else rows
    return own, np.searchsorted(np.cumsum(rest), wanted_ranks(int(rest.sum()), left))


def frequent(rows: npt.NDArray[np.int64], total: int, bins: int) -> tuple[npt.NDArray[np.intp], int]:
    """Find the values that need a bin of their own; also return how many bins are left for the rest.

    `rows`: of each value; `total`: of all values. The most frequent value is taken while it has more than an equal part
    of the rows that are left, in the bins that are left.
    """
    own, left = [], bins
    for at in np.argsort(-rows, kind="stable")[: bins - 1].tolist():
        if rows[at] * left <= total:
            break
        own.append(at)
        total, left = total - int(rows[at]), left - 1
    return np.array(sorted(own), dtype=np.intp), left


def discrete_edges(distinct: Floats) -> tuple[float, ...]:
    """Edges half-way between the sorted distinct values, and as far outside the first and the last.

    >>> discrete_edges(np.array([7.0])), discrete_edges(np.array([0.0, 1.0, 3.0]))
    ((6.5, 7.5), (-0.5, 0.5, 2.0, 4.0))
    """
    listed = [float(value) for value in distinct]
    if len(listed) == 1:
        only = listed[0]
        half = 0.5 if only.is_integer() and abs(only) < 2**52 else max(abs(only) * 0.01, 1e-300)
        return _unique([between(only - 1.2 * half, only - 0.8 * half), between(only + 0.8 * half, only + 1.2 * half)])
    # A quarter of the gap to either side is still far from both values, and leaves room for a short number.
    pairs = pairwise(listed)
    inner = [between(0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high) for low, high in pairs]
    below, above = listed[1] / 2 - listed[0] / 2, listed[-1] / 2 - listed[-2] / 2
    return _unique([_outside(listed[0], -below), *inner, _outside(listed[-1], above)])


def wanted_ranks(rows: int, bins: int) -> npt.NDArray[np.int64]:
    """Ranks of the last value of each quantile bin but the last, counted from 1; tails of many rows are cut again.

    >>> wanted_ranks(10, 4).tolist(), wanted_ranks(1000, 4).tolist()
    ([3, 5, 8], [10, 250, 500, 750, 990])
    """
    if not rows:
        return np.empty(0, dtype=np.int64)
    ranks = -(-np.arange(1, bins) * rows // bins)  # rounded up, without an error of division
    tails = [rows // part for part in TAILS if rows // part >= TAIL_ROWS]
    out: npt.NDArray[np.int64] = np.unique([*ranks, *tails, *(rows - tail for tail in tails)]).astype(np.int64)
    return out


def edges_of_gaps(gaps: Sequence[Gap], low: float, high: float) -> tuple[float, ...]:
    """Edges in the gaps between neighbouring values, and one outside each of the smallest and the largest value.

    An edge is between two neighbouring values and not on one, at the number with the fewest digits there: values that
    are rounded or computed a little differently in production do not change their bin.
    """
    inner = [between(value, above) for value, above in gaps if above is not None]
    margin = max(high / 100 - low / 100, abs(low) * 1e-9, abs(high) * 1e-9, 1e-300)
    return _unique([_outside(low, -margin), *inner, _outside(high, margin)])


def between(low: float, high: float) -> float:
    """Return a number strictly between two, near the middle, in few decimal digits; `low` if there is no room.

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


def _outside(value: float, margin: float) -> float:
    """Return a number about `margin` above a value, or below it if that is negative."""
    edge = between(*sorted((value + 0.5 * margin, value + 1.5 * margin)))
    return edge if (edge - value) * margin > 0 else math.nextafter(value, math.copysign(math.inf, margin))


def _unique(edges: list[float]) -> tuple[float, ...]:
    """Finite and strictly increasing, as a column wants them."""
    return tuple(float(edge) for edge in np.unique(np.clip(edges, -_LARGEST, _LARGEST)))
