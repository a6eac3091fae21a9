"""Which shares of a column are watched: the cells of its histogram.

Bulk cells are the column's shape: the cumulative share at each inner edge (numeric), or the share of each known
category. They are shares of the rows that have a value. Tail cells are what goes wrong at the rim: missing, below and
above the reference's range, unseen, the fullest bin (a frozen sensor). They are shares of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Column, Floats, Mask

#: Smallest change of a share that a person is told of, by cell. Errors of units move 2 % of the rows out of range.
EDGE_FLOOR, CATEGORY_FLOOR = 0.08, 0.05
TAIL_FLOORS = {"missing": 0.03, "below": 0.01, "above": 0.01, "nonfinite": 0.01, "other": 0.01, "fullest": 0.3}


@dataclass(frozen=True)
class Cells:
    """The cells of one column. `bulk`: how many bulk cells there are, the first of all.

    `floors`: shape (cells,), smallest change that matters. `tails`: names of the tail cells.
    """

    column: Column
    bulk: int
    floors: Floats
    tails: tuple[str, ...]

    @property
    def limits(self) -> int:
        """How many limits a column has at each window length."""
        return 1 + len(self.tails)

    @property
    def limit_of(self) -> npt.NDArray[np.intp]:
        """Which limit is for each cell: 0 for all bulk cells, then one for each tail cell. Shape (cells,)."""
        return np.array([0] * self.bulk + list(range(1, len(self.tails) + 1)), dtype=np.intp)

    @property
    def is_bulk(self) -> Mask:
        """Which cells are bulk cells, shape (cells,)."""
        out: Mask = np.arange(len(self.floors)) < self.bulk
        return out

    def shares(self, counts: npt.NDArray[np.generic]) -> tuple[Floats, Floats]:
        """Shares of windows, shape (..., cells), and the rows that each is a share of, shape (..., 2).

        `counts`: shape (..., bins). The two numbers of rows are those with a value (bulk) and all rows (tail). Shares
        of no rows are NaN.
        """
        column, counted = self.column, np.asarray(counts, dtype=np.float64)
        values = column.value_bins
        rows, inside = counted.sum(axis=-1), counted[..., :values]
        if column.numeric:
            running = np.cumsum(inside, axis=-1)
            with_value, bulk = running[..., -1], running[..., :-1]
            tail = [counted[..., values], counted[..., 0], inside[..., -1], counted[..., values + 1]]
            tail = tail if len(column.edges) else [tail[0], tail[3]]
        else:
            with_value, bulk = inside.sum(axis=-1), inside[..., :-1]
            tail = [counted[..., values], inside[..., -1]]
        tail.append(inside.max(axis=-1))
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = [bulk / with_value[..., None], np.stack(tail, axis=-1) / rows[..., None]]
        return np.concatenate(parts, axis=-1), np.stack([with_value, rows], axis=-1)

    def spread(self, pair: Floats) -> Floats:
        """One number for bulk and one for tail cells, shape (..., 2), as one for each cell, shape (..., cells)."""
        out: Floats = pair[..., np.where(self.is_bulk, 0, 1)]
        return out


def cells_of(column: Column) -> Cells:
    """Say which cells a column has.

    >>> cells = cells_of(Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0)))
    >>> cells.bulk, cells.tails
    (3, ('missing', 'below', 'above', 'nonfinite', 'fullest'))
    >>> shares, rows = cells.shares(np.array([0, 3, 5, 0, 2, 0]))
    >>> shares.tolist(), rows.tolist()
    ([0.0, 0.375, 1.0, 0.2, 0.0, 0.0, 0.0, 0.5], [8.0, 10.0])
    >>> cells_of(Column("c", "feature", "categorical", categories=("a", "b"))).tails
    ('missing', 'other', 'fullest')
    """
    if column.numeric:
        bulk, floor = len(column.edges), EDGE_FLOOR
        tails = ("missing", "below", "above", "nonfinite", "fullest") if bulk else ("missing", "nonfinite", "fullest")
    else:
        bulk, floor, tails = len(column.categories), CATEGORY_FLOOR, ("missing", "other", "fullest")
    return Cells(column, bulk, np.array([floor] * bulk + [TAIL_FLOORS[name] for name in tails]), tails)
