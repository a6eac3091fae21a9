"""Filling records into bins, exactly, at the speed of memory: all columns of a batch at once, or one column.

The bin of a value is the number of edges below it. A binary search for it costs a branch a step. Instead a fine uniform
grid over the edges tells for each of its cells how many edges are below the cell, and which are in it: one
multiplication, two look-ups and one comparison a value. It is exact, since the cell of a value and the cell of an edge
come from the same monotone arithmetic. Columns with edges too uneven for a grid are searched.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.columns.canonical import Block, canonical
from monitor.columns.column import MISSING, Column, Counts, Floats, Schema

#: Most cells of a column's grid, whose tables must stay in the cache, and most edges in one of its cells.
MAX_CELLS = 4096
MAX_EDGES_IN_CELL = 3

#: Larger numbers count as this in a sum, so that no sum of windows, however many, can overflow.
LARGEST = 1e290

#: Rows that are binned at a time, so that all that is computed on the way stays in the cache; and of a single column.
CHUNK, COLUMN_CHUNK = 8192, 32_768

#: A spread within a bin of at most this part of half its width is what rounding leaves of one value.
SAME = 1e-6


class NumericBins:
    """Bin numbers of one numeric column."""

    def __init__(self, column: Column) -> None:
        self.edges = np.array(column.edges, dtype=np.float64)
        self.missing = column.missing_bin
        self._grid = _grid(self.edges) if len(self.edges) > 1 else None

    def find(self, x: Floats, finite: bool) -> npt.NDArray[np.intp]:
        """Bin of each value, shape (n,). `finite`: the caller knows that all are."""
        if self._grid is None:
            bins = np.searchsorted(self.edges, x, side="left")
        else:
            scale, shift, last, below, inside = self._grid
            position = x * scale
            position -= shift
            np.clip(position, 0.0, last, out=position)
            if not finite:
                np.nan_to_num(position, copy=False)
            cell = position.astype(np.int32).astype(np.intp)  # processors have no fast way from floats to 64 bits
            bins = below.take(cell)
            for edges in inside:
                bins += x > edges.take(cell)
        return bins if finite else np.where(np.isfinite(x), bins, self.missing + np.isinf(x))


Grid = tuple[float, float, float, npt.NDArray[np.intp], list[Floats]]


def _grid(edges: Floats) -> Grid | None:
    """Tables for the smallest grid with the fewest edges in a cell; None if MAX_CELLS are too few for any."""
    sizes = [2**power for power in range(4, MAX_CELLS.bit_length())]
    grids = (_grid_of(edges, cells, most) for most in range(1, MAX_EDGES_IN_CELL + 1) for cells in sizes)
    return next((grid for grid in grids if grid), None)


def _grid_of(edges: Floats, cells: int, most: int) -> Grid | None:
    """Tables for a grid of `cells` cells; None if a cell would hold more than `most` edges."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scale = cells / (edges[-1] - edges[0])
        shift = edges[0] * scale
        position = edges * scale - shift
    if not (np.isfinite(scale) and np.isfinite(shift) and np.isfinite(position).all()):
        return None
    cell = np.clip(position, 0.0, cells - 1.0).astype(np.intp)
    in_cell = np.bincount(cell, minlength=cells)
    if in_cell.max() > most:
        return None
    below = np.searchsorted(cell, np.arange(cells), side="left").astype(np.intp)
    ranks, last = range(int(in_cell.max())), len(edges) - 1
    inside = [np.where(in_cell > rank, edges[np.minimum(below + rank, last)], np.inf) for rank in ranks]
    return float(scale), float(shift), cells - 1.0, below, inside


class Binner:
    """Fills records into the flat count vector of a schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._columns = schema.columns
        self._bins = [NumericBins(column) if column.numeric else None for column in schema.columns]
        self._derivations = [column.derivation for column in schema.columns if column.derivation]

    def fill(
        self, values: Floats, groups: npt.NDArray[np.intp] | None = None, group_count: int = 1
    ) -> tuple[Counts, Floats]:
        """Count records' values, shape (n, captured columns), and what is derived from them, into bins.

        `groups`: shape (n,), to which of `group_count` windows each row belongs. Returns counts, shape (group_count,
        schema.size), and sums of the finite values, shape (group_count, columns), zero for categorical columns.
        """
        counts = np.zeros(group_count * self.schema.size, dtype=np.int64)
        sums = np.zeros((group_count, len(self._columns)))
        for begin in range(0, len(values), CHUNK):
            block = np.ascontiguousarray(values[begin : begin + CHUNK].T, dtype=np.float64)
            if self._derivations:
                with np.errstate(all="ignore"):
                    block = np.vstack((block, *(derivation.values(block) for derivation in self._derivations)))
            group = None if groups is None or group_count == 1 else groups[begin : begin + CHUNK]
            self._fill_block(block, group, counts, sums)
        return counts.reshape(group_count, -1), sums

    def _fill_block(self, block: Floats, group: npt.NDArray[np.intp] | None, counts: Counts, sums: Floats) -> None:
        keys = np.empty(block.shape, dtype=np.intp)
        with np.errstate(invalid="ignore", over="ignore"):
            totals = block.sum(axis=1).tolist()
            for position, (x, total, bins) in enumerate(zip(block, totals, self._bins, strict=True)):
                finite = math.isfinite(total)  # a sum is finite only if every value is
                if bins:
                    places = bins.find(x, finite)
                    _add_sums(x, finite, total, group, sums[:, position])
                else:
                    places = _category_bins(x, finite, self._columns[position])
                np.add(places, self.schema.offsets[position], out=keys[position])
        if group is not None:
            keys += group * self.schema.size
        counts += np.bincount(keys.ravel(), minlength=len(counts))


def _category_bins(codes: Floats, finite: bool, column: Column) -> npt.NDArray[np.intp]:
    """Bin of each code of `monitor.capture.encode`: unseen values of any name share one."""
    known = np.minimum(codes, column.value_bins - 1)
    return (known if finite else np.where(np.isfinite(codes), known, column.missing_bin)).astype(np.intp)


def _add_sums(x: Floats, finite: bool, total: float, group: Any, sums: Floats) -> None:
    if group is None and abs(total) <= LARGEST:
        sums[0] += total
        return
    x = np.clip(x if finite else np.where(np.isfinite(x), x, 0.0), -LARGEST, LARGEST)
    sums += x.sum() if group is None else np.bincount(group, weights=x, minlength=len(sums))


class ColumnCounter:
    """Counts the rows of one column in each of its bins: `counts`, shape (column.size,).

    For numbers it also sums up how far each value is from the middle of its bin, and the squares of that, in a `unit`
    in which neither can overflow or vanish.
    """

    def __init__(self, column: Column) -> None:
        self.column = column
        self.counts: Counts = np.zeros(column.size, dtype=np.int64)
        self._bins = NumericBins(column) if column.numeric else None
        if column.edges:
            edges = np.array([column.edges[0], *column.edges, column.edges[-1]])
            self._half = edges[1:] / 2 - edges[:-1] / 2
            self._middle = np.concatenate((column.bin_means, (0.0, 0.0)))
            self._within = np.zeros((2, column.size))
            # Most columns need no unit but 1; otherwise it is half the width of each bin.
            inner = self._half[1:-1]
            self._plain = bool(inner.size) and inner.min() > 1e-140 and float(np.abs(edges).max()) < 1e140
            with np.errstate(divide="ignore", over="ignore"):
                unit = np.append(1 / self._half, (0.0, 0.0))
            self._unit = np.where(np.isfinite(unit), unit, 0.0)
        self._position = {text: index for index, text in enumerate(column.categories)}

    def add(self, block: Block) -> None:
        """Count the next rows. Raises TypeError for texts in a numeric column."""
        if self._bins is None:
            self._add_categories(block)
        elif isinstance(block, np.ndarray):
            block = np.ascontiguousarray(block)
            with np.errstate(over="ignore", invalid="ignore"):
                for start in range(0, block.size, COLUMN_CHUNK):
                    piece = block[start : start + COLUMN_CHUNK]
                    finite = math.isfinite(float(piece.sum()))
                    self._add_numbers(piece, self._bins.find(piece, finite))
        else:
            raise TypeError(f"column {self.column.name!r} is numeric and got texts")

    def _add_numbers(self, values: Floats, bins: npt.NDArray[np.intp]) -> None:
        np.add.at(self.counts, bins, 1)  # in two thirds of the time of np.bincount
        if self.column.edges:
            # Into a new array: np.add.at is slow if a dtype only equals numpy's own, as that of arrays from Arrow does.
            inside = np.subtract(values, self._middle.take(bins), out=np.empty(len(values)))
            if not self._plain:
                inside *= self._unit.take(bins)
            sums, squares = np.zeros((2, self.column.size))
            np.add.at(sums, bins, inside)
            np.add.at(squares, bins, inside * inside)
            self._within += sums, squares

    def centres(self) -> list[tuple[float, float]]:
        """Middle of each value bin, and the unit of `take`, for an engine that adds up a table itself."""
        if not self.column.edges:
            return []
        unit = np.ones(self._middle.size) if self._plain else self._unit
        return list(zip(self._middle.tolist(), unit.tolist(), strict=True))[: self.column.value_bins]

    def take(self, place: int, rows: int, inside: float = 0.0, squares: float = 0.0) -> None:
        """Add rows of one bin, with the sum of (value - middle) * unit, and of its squares."""
        self.counts[place] += rows
        if self.column.edges:
            self._within[:, place] += inside, squares

    def placed(self) -> Column:
        """Return the column with the mean and the standard deviation of the counted rows in each bin.

        Both are rounded to a billionth of half the bin's width, so that the order of the rows does not matter.
        """
        bins, edges = self.column.value_bins, self.column.edges
        if not edges:
            return self.column
        half, unit = self._half, self._unit[:bins]
        with np.errstate(invalid="ignore"):
            within = self._within[:, :bins] * (np.stack((unit, unit * unit)) if self._plain else 1.0)
        mean, square = np.where(unit > 0, within, 0.0) / np.maximum(self.counts[:bins], 1)
        spread = np.sqrt(np.maximum(square - mean * mean, 0.0))
        means = np.clip(_rounded(self._middle[:bins] + mean * half, half), (-math.inf, *edges), (*edges, math.inf))
        spreads = _rounded(np.where(spread > SAME, spread, 0.0) * half, half)
        return replace(self.column, means=tuple(means.tolist()), spreads=tuple(spreads))

    def _add_categories(self, block: Block) -> None:
        rows: Counter[str | None] = Counter()
        if isinstance(block, np.ndarray):
            for value, number in zip(*np.unique(block, return_counts=True, equal_nan=True), strict=True):
                rows[canonical(value)] += int(number)
        else:
            rows.update(block)
        other, missing = self.column.value_bins - 1, self.column.missing_bin
        for text, number in rows.items():
            self.counts[missing if text in (None, MISSING) else self._position.get(text, other)] += number


def _rounded(numbers: Floats, units: Floats) -> list[float]:
    """Round each number to a billionth of its unit, and leave it as it is if that is not possible.

    >>> _rounded(np.array([3.3 - 1e-13, -1e-14, 1.5e308]), np.array([0.03, 1.0, 1e308]))
    [3.3, 0.0, 1.5e+308]
    """
    out = []
    for number, unit in zip(numbers.tolist(), units.tolist(), strict=True):
        digits = 9 - math.floor(math.log10(unit)) if unit > 0 else 400
        out.append(round(number, digits) + 0.0 if abs(digits) < 290 else number)
    return out
