"""Histograms drawn with block characters, small enough for a line of a phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.columns.column import Column, Counts, Floats
from monitor.columns.moments import fraction
from monitor.words import number

#: An empty bin is a dot, not a blank: blanks at the ends are lost on the way.
BARS = "·▁▂▃▄▅▆▇█"

#: Characters of one sketch: with a word before it, it fits a line of 40 without being wrapped.
WIDTH = 24


@dataclass(frozen=True, slots=True)
class Histograms:
    """Reference and test window of one column, counted in the same bins; shape (column.size,)."""

    column: Column
    reference: Counts
    test: Counts


def sketch(histograms: Histograms) -> tuple[tuple[str, str], tuple[str, str]]:
    """Draw both as ((reference, test), (value at the left end, value at the right end)), to one vertical scale.

    The bins of a numeric column have about equal shares, so they are spread over steps of equal width between the first
    and the last edge; the first and last character are what is below and above.
    """
    column = histograms.column
    both = [counts[: column.value_bins].astype(np.float64) for counts in (histograms.reference, histograms.test)]
    if column.numeric and len(column.edges) >= 2:
        steps = [_equal_steps(column.edges, counts) for counts in both]
        ends = (number(column.edges[0]), number(column.edges[-1]))
    else:
        steps = [counts[:WIDTH] for counts in both]
        ends = ("", "") if column.numeric else (column.categories[0] if column.categories else "", "")
    shares = [step / step.sum() if step.sum() else step for step in steps]
    top = max((float(share.max()) for share in shares if share.size), default=0.0)
    return (bars(shares[0].tolist(), top), bars(shares[1].tolist(), top)), ends


def bars(heights: Sequence[float], top: float) -> str:
    """One character per height; a height above zero always gets a bar.

    >>> bars([0.0, 0.001, 0.5, 1.0], 1.0)
    '·▁▄█'
    """
    if top <= 0:
        return BARS[0] * len(heights)
    return "".join(BARS[max(1, round(min(height / top, 1.0) * 8))] if height > 0 else BARS[0] for height in heights)


def _equal_steps(edges: Sequence[float], counts: Floats) -> Floats:
    """Spread counts of uneven bins evenly over WIDTH steps; the first and last step are underflow and overflow."""
    places = [fraction(edge, edges[0], edges[-1]) for edge in edges]
    grid = np.linspace(0.0, 1.0, WIDTH - 1)
    cumulative = np.concatenate(([0.0], np.cumsum(counts[1:-1])))
    return np.concatenate(([counts[0]], np.diff(np.interp(grid, places, cumulative)), [counts[-1]]))
