"""Where the bins of a numeric column lie: chosen once, from the reference, then frozen."""

from __future__ import annotations

import math

import numpy as np

from monitor.window.columns import Floats

#: Value bins between underflow and overflow. Each holds about 5 % of the reference, so that the binned K-S statistic
#: lies within 0.05 of the exact one, while a few hundred rows still give the divergences enough rows a bin.
BINS = 20


def choose_edges(values: Floats, bins: int = BINS) -> tuple[float, ...]:
    """Choose bin edges for a sample of a numeric column.

    A column with at most `bins` distinct values gets a bin for each, with edges half-way between neighbours: a value
    that was rounded on its way still falls into its own bin. Any other column gets quantile bins. The first edge lies
    below the smallest value and the last above the largest, so that underflow and overflow are empty in the
    reference. Edges are rounded to the fewest digits that tell them apart well.

    Not-finite values are ignored; a column without a finite value gets no edges (one value bin).

    >>> choose_edges(np.array([0.0, 1.0, 1.0, 2.0]))
    (-0.5, 0.5, 1.5, 2.5)
    >>> choose_edges(np.array([math.nan]))
    ()
    """
    values = np.asarray(values, dtype=np.float64)
    distinct = np.unique(values[np.isfinite(values)])
    if not distinct.size:
        return ()
    if distinct.size <= bins:
        return discrete_edges(distinct)
    finite = np.sort(values[np.isfinite(values)])
    return quantile_edges(finite, bins)


def discrete_edges(distinct: Floats) -> tuple[float, ...]:
    """Edges half-way between the sorted distinct values, and as far outside the first and the last.

    >>> discrete_edges(np.array([7.0]))
    (6.5, 7.5)
    """
    if distinct.size == 1:
        only = float(distinct[0])
        half = 0.5 if only.is_integer() and abs(only) < 2**52 else max(abs(only) * 0.01, 1e-300)
        inner, first, last = np.empty(0), half, half
    else:
        inner = distinct[:-1] + np.diff(distinct) / 2
        first, last = float(distinct[1] - distinct[0]) / 2, float(distinct[-1] - distinct[-2]) / 2
    edges = np.concatenate(([distinct[0] - first], inner, [distinct[-1] + last]))
    return _tidy(edges, distinct)


def quantile_edges(ordered: Floats, bins: int = BINS) -> tuple[float, ...]:
    """Edges at the quantiles of a sorted sample, with one edge outside each end.

    >>> quantile_edges(np.arange(1.0, 101.0), bins=4)
    (0.0, 25.0, 50.0, 75.0, 101.0)
    """
    positions = np.ceil(np.arange(1, bins) / bins * ordered.size).astype(np.intp) - 1
    inner = np.unique(ordered[positions])
    low, high = float(ordered[0]), float(ordered[-1])
    margin = max((high / 100 - low / 100), abs(low) * 1e-9, abs(high) * 1e-9, 1e-300)
    inner = inner[(inner >= low) & (inner < high)]
    return _tidy(np.concatenate(([low - margin], inner, [high + margin])), ordered)


def _tidy(edges: Floats, values: Floats) -> tuple[float, ...]:
    """Round to few digits, as long as edges stay apart and the outer ones stay outside of all values."""
    edges = np.clip(edges, -np.finfo(float).max, np.finfo(float).max)
    gaps = np.diff(edges)
    smallest = float(np.min(gaps[gaps > 0], initial=math.inf))
    if 0 < smallest < math.inf:
        digits = math.ceil(-math.log10(smallest)) + 1
        if -300 < digits < 300:
            rounded = np.array([round(float(e), digits) for e in edges]) + 0.0
            if np.all(np.diff(rounded) > 0) and rounded[0] < values[0] and rounded[-1] > values[-1]:
                edges = rounded
    unique = np.unique(edges)
    return tuple(float(e) for e in unique)
