"""Which shares of a column are watched: the cells of its histogram.

Bulk cells are the column's shape: the cumulative share at each inner edge (numeric), or the share of each known
category. They are shares of the rows that have a value. Tail cells are what goes wrong at the edges: missing, below and
above the reference's range, infinite, unseen, the fullest bin (a frozen sensor). They are shares of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Column, Counts, Floats

Ints = npt.NDArray[np.intp]

#: Smallest change of a share that a person is told of, by cell. Errors of units move 2 % of the rows out of range.
EDGE_FLOOR, CATEGORY_FLOOR = 0.08, 0.05
TAIL_FLOORS = {"missing": 0.03, "below": 0.01, "above": 0.01, "nonfinite": 0.01, "other": 0.01, "fullest": 0.3}


class Cells:
    """The cells of K columns, C in all, column after column, each with its bulk cells before its tail cells.

    A column has one limit for all of its bulk cells and one for each tail cell: L in all. `bins`: the columns' part
    of the flat vector. Of each cell, shape (C,): `names`, a category or a tail's name, "" for an edge; `is_bulk`;
    `floors`, the smallest change that matters; `column_of` and `limit_of`. Of each column, shape (K,): `parts`, its
    cells, and `limits_of`, its limits.

    `offsets`: where each column begins in the flat vector; all columns between the first and the last may be left out.
    """

    def __init__(self, columns: Sequence[Column], offsets: Sequence[int] = (0,)) -> None:
        self.columns = tuple(columns)
        self.bins = slice(offsets[0], offsets[-1] + columns[-1].size)
        ranges: list[tuple[int, int]] = []
        rows: list[tuple[int, int]] = []
        names: list[str] = []
        bulk: list[int] = []
        tails: list[int] = []
        for column, offset in zip(columns, offsets, strict=True):
            begin = offset - self.bins.start
            end = begin + column.value_bins
            if column.numeric:
                shape = [("", begin, begin + i + 1) for i in range(len(column.edges))]
                tail = [("below", begin, begin + 1), ("above", end - 1, end)] if shape else []
                tail.append(("nonfinite", end + 1, end + 2))
            else:
                shape = [(name, begin + i, begin + i + 1) for i, name in enumerate(column.categories)]
                tail = [("other", end - 1, end)]
            cells = [*shape, ("missing", end, end + 1), *tail, ("fullest", begin, end)]
            names += [name for name, *_ in cells]
            ranges += [(low, high) for _, low, high in cells]
            rows += [(begin, end), (begin, begin + column.size)]
            bulk.append(len(shape))
            tails.append(len(cells) - len(shape))
        self.names = tuple(names)
        sizes = np.array([bulk, tails]).T
        self.is_bulk = np.repeat(np.tile([True, False], len(columns)), sizes.ravel())
        self.column_of: Ints = np.repeat(np.arange(len(columns)), sizes.sum(axis=1))
        self.limit_of: Ints = np.cumsum(~self.is_bulk) + self.column_of
        self.limits = len(columns) + sum(tails)
        self.floors = np.array(
            [
                TAIL_FLOORS[name] if not inside else EDGE_FLOOR if columns[k].numeric else CATEGORY_FLOOR
                for name, inside, k in zip(names, self.is_bulk.tolist(), self.column_of.tolist(), strict=True)
            ]
        )
        ends, limit_ends = np.cumsum(sizes.sum(axis=1)), np.cumsum(sizes[:, 1] + 1)
        self.parts = [slice(end - n, end) for end, n in zip(ends.tolist(), sizes.sum(axis=1).tolist(), strict=True)]
        self.limits_of = [slice(end - n - 1, end) for end, n in zip(limit_ends.tolist(), tails, strict=True)]
        #: Limits that have cells, and the first of them: a column without edges has no bulk cells.
        self._present, self._starts = np.unique(self.limit_of, return_index=True)
        self._low, self._high = np.array(ranges, dtype=np.intp).T
        self._row_low, self._row_high = np.array(rows, dtype=np.intp).T
        self._fullest: Ints = ends - 1
        self._inside = np.array(rows[::2], dtype=np.intp).ravel()
        self._rows_of: Ints = 2 * self.column_of + ~self.is_bulk

    def shares(self, counts: Counts) -> tuple[Floats, Floats]:
        """Shares of windows, shape (..., C), and the rows that they are shares of, shape (..., 2 K).

        `counts`: shape (..., bins). The two numbers of rows of a column are those with a value (bulk) and all rows
        (tail). Shares of no rows are NaN.
        """
        before = np.zeros((*counts.shape[:-1], counts.shape[-1] + 1), dtype=np.int64)
        np.cumsum(counts, axis=-1, out=before[..., 1:])
        hits = before.take(self._high, axis=-1)
        hits -= before.take(self._low, axis=-1)
        hits[..., self._fullest] = np.maximum.reduceat(counts, self._inside, axis=-1)[..., ::2]
        rows = (before.take(self._row_high, axis=-1) - before.take(self._row_low, axis=-1)).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return hits / self.spread(rows), rows

    def spread(self, rows: Floats) -> Floats:
        """The number of rows that each cell is a share of, shape (..., C), of (..., 2 K)."""
        return rows.take(self._rows_of, axis=-1)

    def largest(self, values: Floats) -> Floats:
        """The largest of the cells of each limit, shape (..., L); minus infinity for one without cells."""
        out: Floats = np.full((*values.shape[:-1], self.limits), -np.inf)
        out[..., self._present] = np.maximum.reduceat(values, self._starts, axis=-1)
        return out


def cells_of(column: Column) -> Cells:
    """Say which cells one column has.

    >>> cells = cells_of(Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0)))
    >>> cells.names, cells.limits
    (('', '', '', 'missing', 'below', 'above', 'nonfinite', 'fullest'), 6)
    >>> shares, rows = cells.shares(np.array([0, 3, 5, 0, 2, 0]))
    >>> shares.tolist(), rows.tolist()
    ([0.0, 0.375, 1.0, 0.2, 0.0, 0.0, 0.0, 0.5], [8.0, 10.0])
    >>> cells_of(Column("c", "feature", "categorical", categories=("a", "b"))).names
    ('a', 'b', 'missing', 'other', 'fullest')
    """
    return Cells([column])
