"""Bins for columns of made-up numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from monitor.reference.bin_edges import BINS, edges_of_values


def choose_edges(values: npt.ArrayLike, bins: int = BINS) -> tuple[float, ...]:
    """The edges that a reference has for numbers, shape (n,); those that are not finite are ignored."""
    numbers = np.asarray(values, dtype=np.float64)
    return edges_of_values(*np.unique(numbers[np.isfinite(numbers)], return_counts=True), bins)
