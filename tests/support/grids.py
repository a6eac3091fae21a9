"""Grids of hours for tests and benchmarks of what is usual."""

from __future__ import annotations

import numpy as np

from monitor.columns.column import Counts, Mask
from monitor.normal.expected import Grid, Ints


def make_grid(counts: Counts, shift: Ints | None = None, quiet: Mask | None = None, first: int = 0) -> Grid:
    """Make a grid of counts of consecutive hours, shape (hours, bins). `quiet` hours are neither judged nor learnt."""
    zero = np.zeros((1, counts.shape[1]), dtype=np.int64)
    shift = np.zeros(len(counts) + 1, dtype=np.int64) if shift is None else shift
    quiet = np.zeros(len(counts), dtype=np.bool_) if quiet is None else quiet
    kept = np.where(quiet[:, None], 0, counts)
    return Grid(
        np.concatenate((zero, np.cumsum(kept, axis=0, dtype=np.int64))),
        shift,
        np.concatenate(([0], np.cumsum(~quiet, dtype=np.int64))),
        np.concatenate(([0], np.cumsum(kept.sum(axis=1), dtype=np.int64))),
        first,
    )
