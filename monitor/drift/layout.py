"""From flat count vectors to matrices with one column of the model per row, which the statistics work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Column, Counts, Floats, Mask, Schema
from monitor.drift.contingency import overlooked
from monitor.drift.cumulative import gaps
from monitor.drift.divergence import Compared

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Pair:
    """Reference and test window of the same columns, side by side.

    Shapes: R rows (one per column of the model), K bins (those of the widest column; narrower ones are padded with
    zeros at the end). Leading axes in front of R are allowed in `test`: many windows against one reference.

    `reference`, `test`: counts, (R, K). `real`: which cells are bins and not padding. `values`: which are value bins;
    `missing`: which are not, but missing or nonfinite. `outside`: which hold what the reference has no bin for:
    `__other__`, or underflow and overflow. `known`: which hold a known category; none of a numeric column. `places`:
    where on the span of the edges a numeric value bin stands, 0 to 1. `scale`: (R,), reference standard deviation as a
    part of that span; 1 where it is zero or unknown.
    """

    reference: Floats
    test: Floats
    real: Mask
    values: Mask
    missing: Mask
    outside: Mask
    known: Mask
    places: Floats
    scale: Floats

    # What several statistics work with is worked out once.

    @cached_property
    def sizes(self) -> tuple[Floats, Floats]:
        """Return n and m: all rows of the test window and of the reference, (R,)."""
        return self.test.sum(axis=-1), self.reference.sum(axis=-1)

    @cached_property
    def finite(self) -> tuple[Floats, Floats]:
        """`reference` and `test` with nothing but the value bins."""
        return self.reference * self.values, self.test * self.values

    @cached_property
    def finite_sizes(self) -> tuple[Floats, Floats]:
        """Return n and m of `finite`."""
        reference, test = self.finite
        return test.sum(axis=-1), reference.sum(axis=-1)

    @cached_property
    def gaps(self) -> Floats:
        """Gaps between the cumulative distributions of the finite values, (R, K): see `cumulative.gaps`."""
        return gaps(*self.finite)

    @cached_property
    def testable(self) -> Mask:
        """Where more than one bin is filled on either side: elsewhere nothing could come out significant."""
        out: Mask = ((self.reference + self.test) > 0).sum(axis=-1) > 1
        return out

    @cached_property
    def finite_testable(self) -> Mask:
        """The same for `finite`."""
        reference, test = self.finite
        out: Mask = ((reference + test) > 0).sum(axis=-1) > 1
        return out

    @cached_property
    def overlooked(self) -> Floats:
        """Rows that may be missing from the reference's `__other__`, (R,): see `table.overlooked`."""
        return overlooked(self.reference, self.known, self.outside)

    @cached_property
    def compared(self) -> Compared:
        """What the divergences have in common."""
        unseen = self.overlooked / np.maximum(self.sizes[1], 1.0)
        return Compared.of(self.reference, self.test, self.real, unseen, self.outside)


@dataclass(frozen=True)
class _Frame:
    """What does not change from one window to the next."""

    index: Rows
    real: Mask
    values: Mask
    missing: Mask
    outside: Mask
    known: Mask
    places: Floats
    halves: Floats


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
        self._frames: dict[bytes, _Frame] = {}
        self._cells: dict[tuple[str, int], list[int]] = {}

    @cached_property
    def _places(self) -> tuple[Floats, Floats]:
        """`places` of all columns, shape (columns, widest), and half the span of each, shape (columns,)."""
        places, halves = np.zeros(self._index.shape), np.zeros(len(self.schema.columns))
        for row, column in enumerate(self.schema.columns):
            places[row, : column.value_bins], halves[row] = bin_places(column)
            places[row, column.value_bins :] = places[row, column.value_bins - 1]
        return places, halves

    @cached_property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """A text for each bin of each column."""
        return tuple(column.labels for column in self.schema.columns)

    def rows(self, columns: Sequence[int], *, numeric: bool | None = None) -> Rows:
        """The given columns as an index array, only those of one kind where `numeric` is given."""
        chosen = np.array(columns, dtype=np.intp)
        return chosen if numeric is None else chosen[self.numeric[chosen] == numeric]

    def matrix(self, flat: npt.NDArray[np.generic], rows: Rows) -> Floats:
        """Counts of the given columns, shape (..., R, K), from flat vectors of shape (..., schema.size)."""
        return self._spread(flat, self._frame(rows).index)

    def cells(self, statistic: str, row: int) -> list[int] | None:
        """Bins of a column that `missing` or `other` counts the rows of; None for any other statistic."""
        if statistic not in ("missing", "other"):
            return None
        if (statistic, row) not in self._cells:
            frame = self._frame(np.array([row], dtype=np.intp))
            mask = frame.missing if statistic == "missing" else frame.outside
            self._cells[statistic, row] = np.flatnonzero(mask[0]).tolist()
        return self._cells[statistic, row]

    def _spread(self, flat: npt.NDArray[np.generic], index: Rows) -> Floats:
        padded = np.zeros((*flat.shape[:-1], flat.shape[-1] + 1))
        padded[..., :-1] = flat
        return padded.take(index, axis=-1)

    def _frame(self, rows: Rows) -> _Frame:
        """The frame of some columns; rules ask for the same ones again and again."""
        key = rows.tobytes()
        if key not in self._frames:
            width = int(self.sizes[rows].max(initial=0))
            place = np.arange(width)
            value_bins, numeric = self.value_bins[rows, None], self.numeric[rows, None]
            values, last = place < value_bins, place == value_bins - 1
            places, halves = self._places
            self._frames[key] = _Frame(
                self._index[rows, :width],
                real=place < self.sizes[rows, None],
                values=values,
                missing=(place < self.sizes[rows, None]) & ~values,
                outside=(last | (numeric & (place == 0))) & (~numeric | (value_bins > 1)),
                known=values & ~numeric & ~last,
                places=places[rows, :width],
                halves=halves[rows],
            )
        return self._frames[key]

    def pair(self, reference: Counts, test: Counts, deviations: Floats, rows: Rows) -> Pair:
        """Lay reference and test window of the given columns side by side."""
        frame = self._frame(rows)
        half = frame.halves
        # Quotients of extreme numbers may overflow or vanish; what is not a useful scale counts as unknown.
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            scale = np.where(half > 0, deviations[rows] / np.where(half > 0, half, 1.0) / 2, 0.0)
        return Pair(
            self._spread(reference, frame.index),
            self._spread(test, frame.index),
            frame.real,
            frame.values,
            frame.missing,
            frame.outside,
            frame.known,
            frame.places,
            scale=np.where((scale > 1e-9) & (scale < 1e9), scale, 1.0),
        )


def bin_places(column: Column) -> tuple[Floats, float]:
    """Where each value bin of a numeric column stands, 0 at the first edge and 1 at the last; and half that span.

    A bin stands at its middle, an outer one at its edge. Half, because the span may be beyond the largest number.

    >>> places, half = bin_places(Column("x", "feature", "numeric", edges=(0.0, 2.0, 4.0)))
    >>> places.tolist(), half
    ([0.0, 0.25, 0.75, 1.0], 2.0)
    """
    edges = np.array(column.edges)
    if not column.numeric or edges.size < 2:
        return np.zeros(column.value_bins), 0.0
    half = float(edges[-1] / 2 - edges[0] / 2)
    inside = (edges / 2 - edges[0] / 2) / half
    return np.concatenate(([0.0], (inside[:-1] + inside[1:]) / 2, [1.0])), half
