"""From flat count vectors to matrices with one column of the model per row, which the statistics work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from monitor.window.columns import Column, Counts, Floats, Schema

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Pair:
    """Reference and test window of the same columns, side by side.

    Shapes: R rows (one per column of the model), K bins (those of the widest column; narrower ones are padded with
    zeros at the end). Leading axes in front of R are allowed in `test`: many windows against one reference.

    `reference`, `test`: counts, (R, K). `real`: which cells are bins and not padding. `values`: which are value bins,
    that is neither missing nor nonfinite. `outside`: which hold what the reference has no bin for: `__other__`, or
    underflow and overflow. `middles`: the position that stands for a numeric value bin. `deviations`: (R,), reference
    standard deviation, 0 where unknown. `known`: which hold a known category; none of a numeric column.
    """

    reference: Floats
    test: Floats
    real: Mask
    values: Mask
    outside: Mask
    middles: Floats
    deviations: Floats
    known: Mask


class Layout:
    """Where the bins of each column of a schema lie, worked out once.

    >>> schema = Schema((Column("x", "feature", "numeric", edges=(0.0, 2.0)),
    ...                  Column("y", "prediction", "categorical", categories=("a",))))
    >>> layout = Layout(schema)
    >>> layout.matrix(np.arange(8), np.array([0, 1])).astype(int).tolist()
    [[0, 1, 2, 3, 4], [5, 6, 7, 0, 0]]
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        columns = schema.columns
        self.sizes = np.array([column.size for column in columns], dtype=np.intp)
        self.value_bins = np.array([column.value_bins for column in columns], dtype=np.intp)
        self.numeric = np.array([column.numeric for column in columns], dtype=np.bool_)
        width = int(self.sizes.max(initial=0))
        place = np.arange(width)
        inside = place < self.sizes[:, None]
        #: Index into the flat vector with one zero behind it, which the padding points at.
        self._index = np.where(inside, schema.offsets[:-1, None] + place, schema.size)

    @cached_property
    def middles(self) -> Floats:
        """Shape (columns, widest): the middle of each numeric value bin; the outer bins stand at their edge.

        Zero in every other cell.
        """
        out = np.zeros(self._index.shape)
        for row, column in enumerate(self.schema.columns):
            out[row, : column.value_bins] = bin_middles(column)
        return out

    def rows(self, columns: Sequence[int], *, numeric: bool | None = None) -> Rows:
        """The given columns as an index array, only those of one kind where `numeric` is given."""
        chosen = np.array(columns, dtype=np.intp)
        return chosen if numeric is None else chosen[self.numeric[chosen] == numeric]

    def matrix(self, flat: npt.NDArray[np.generic], rows: Rows) -> Floats:
        """Counts of the given columns, shape (..., R, K), from flat vectors of shape (..., schema.size)."""
        width = int(self.sizes[rows].max(initial=0))
        padded = np.zeros((*flat.shape[:-1], flat.shape[-1] + 1))
        padded[..., :-1] = flat
        return padded[..., self._index[rows, :width]]

    def pair(self, reference: Counts, test: Counts, deviations: Floats, rows: Rows) -> Pair:
        """Lay reference and test window of the given columns side by side."""
        width = int(self.sizes[rows].max(initial=0))
        place = np.arange(width)
        values = place < self.value_bins[rows, None]
        numeric = self.numeric[rows, None]
        last = place == self.value_bins[rows, None] - 1
        scale = np.nan_to_num(deviations[rows], nan=0.0, posinf=0.0, neginf=0.0)
        return Pair(
            self.matrix(reference, rows),
            self.matrix(test, rows),
            real=place < self.sizes[rows, None],
            values=values,
            outside=(last | (numeric & (place == 0))) & (~numeric | (self.value_bins[rows, None] > 1)),
            middles=self.middles[rows, :width],
            deviations=np.maximum(scale, 0.0),
            known=values & ~numeric & ~last,
        )


def bin_middles(column: Column) -> Floats:
    """Return the position that stands for each value bin of a numeric column; zeros for a categorical one.

    >>> bin_middles(Column("x", "feature", "numeric", edges=(0.0, 2.0, 3.0))).tolist()
    [0.0, 1.0, 2.5, 3.0]
    """
    edges = np.array(column.edges)
    if not column.numeric or not edges.size:
        return np.zeros(column.value_bins)
    return np.concatenate(([edges[0]], edges[:-1] / 2 + edges[1:] / 2, [edges[-1]]))
