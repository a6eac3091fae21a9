"""Mean, median and standard deviation of a numeric column from its histogram: pure functions of counts and sums."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from monitor.columns.column import Column


def exact_mean(column: Column, counts: Sequence[float], total: float) -> float | None:
    """Mean of the finite values, `total` / rows; None if there are none, or if the sum has overflowed.

    A mean that is not between the smallest and the largest filled bin comes from a sum that has.
    """
    values = counts[: column.value_bins]
    rows = sum(values)
    if not rows or not math.isfinite(total):
        return None
    mean = total / rows
    filled = [i for i, count in enumerate(values) if count]
    low, high = (-math.inf, *column.edges)[filled[0]], (*column.edges, math.inf)[filled[-1]]
    slack = 1e-9 * max((abs(end) for end in (low, high) if math.isfinite(end)), default=0.0)
    return mean if low - slack <= mean <= high + slack else None


def settled_means(column: Column, counts: Sequence[float], mean: float | None) -> list[float]:
    """Mean of the rows in each value bin, such that they add up to the exact `mean` of all; None if that is unknown.

    Each bin has the mean of the reference's rows. What is left belongs to the outer bin on that side, if it has rows:
    values outside all edges may be anywhere. But if that would put them farther out than all edges span, or if it has
    none, all rows move by the same part of their way to the edge of their bin, if that is enough.

    >>> column = Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0))
    >>> settled_means(column, [0, 4, 0, 1], 2.4), settled_means(column, [0, 4, 0, 0], 0.25)
    ([0.0, 0.5, 1.5, 10.0], [0.0, 0.25, 1.25, 2.0])
    """
    values, places = counts[: column.value_bins], list(column.bin_means)
    rows = sum(values)
    if mean is None or not rows or not column.edges:
        return places
    excess = mean - sum(place * (count / rows) for place, count in zip(places, values, strict=True))
    outer = len(values) - 1 if excess > 0 else 0
    edges = (*column.edges, column.edges[-1]) if excess > 0 else (column.edges[0], *column.edges)
    to_edges = [edge - place for edge, place in zip(edges, places, strict=True)]
    most = sum(way * (count / rows) for way, count in zip(to_edges, values, strict=True))  # all rows at these edges
    if values[outer]:
        way = excess * (rows / values[outer])
        half_span = column.edges[-1] / 2 - column.edges[0] / 2
        if abs(way) / 2 <= half_span or abs(excess) > abs(most):
            places[outer] += way
            return places
    part = min(excess / most, 1.0) if most else 0.0
    return [place + part * way for place, way in zip(places, to_edges, strict=True)] if math.isfinite(part) else places


def binned_median(
    column: Column, counts: Sequence[float], mean: float | None = None, widest: float = math.inf
) -> float | None:
    """Median of the finite values; None if there are none, or if its bin is wider than `widest`.

    A bin that holds one value is that value, and an outer bin is its mean (`mean` of all values tells how far outside);
    values of any other bin are taken to be spread evenly over it.

    >>> binned_median(Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0)), [0, 1, 3, 0])
    1.3333333333333335
    """
    below = list(accumulate(counts[: column.value_bins]))
    half = below[-1] / 2
    if not half or not column.edges:
        return None
    middle = bisect_left(below, half)  # the bin of the median
    if middle in (0, len(column.edges)):
        return settled_means(column, counts, mean)[middle]
    if column.bin_spreads[middle] == 0:
        return column.bin_means[middle]
    low, high = column.edges[middle - 1], column.edges[middle]
    part = (half - below[middle - 1]) / counts[middle]
    return low * (1 - part) + high * part if high / 2 - low / 2 <= widest / 2 else None


def binned_spread(column: Column, counts: Sequence[float], mean: float | None = None) -> float | None:
    """Standard deviation of the finite values, from the mean and the spread of each bin.

    `mean`: the exact mean of all values, if known. None if there is no good answer: no values, or much of the variance
    is from within bins (only the reference's is known there), from the end of a long tail, or from outside the edges.
    """
    values = counts[: column.value_bins]
    rows = sum(values)
    if not rows or not column.edges:
        return None
    places = settled_means(column, counts, mean)
    unit = max(*map(abs, places), 1e-300)  # so that no square overflows or vanishes
    if not math.isfinite(unit):
        return None
    shares = [count / rows for count in values]
    centre = sum(place / unit * share for place, share in zip(places, shares, strict=True))
    within = [(spread / unit) ** 2 * share for spread, share in zip(column.bin_spreads, shares, strict=True)]
    between = ((place / unit - centre) ** 2 * share for place, share in zip(places, shares, strict=True))
    parts = [sum(both) for both in zip(between, within, strict=True)]  # of the variance, by bin
    total, outside = sum(parts), values[0] + values[-1]
    wide = (part for part, spread in zip(parts[1:-1], column.bin_spreads[1:-1], strict=True) if spread > 0)
    reliable = sum(within) <= total / 3 and max(wide, default=0.0) <= total / 2
    reliable = reliable and parts[0] + parts[-1] <= total / 3 and outside <= rows / 2
    out = math.sqrt(total) * unit
    return out if reliable and math.isfinite(out) else None


def fraction(value: float, low: float, high: float) -> float:
    """Where a value is between two others, 0 to 1, even if their difference is beyond the largest number."""
    if not math.isfinite(high - low):
        value, low, high = value / 2, low / 2, high / 2
    return (value - low) / (high - low) if high > low else 0.0
