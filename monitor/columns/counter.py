"""Counting the rows of one column in each of its bins, block by block."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from monitor.columns.binning import CHUNK, NumericBins
from monitor.columns.canonical import Block, canonical
from monitor.columns.column import MISSING, Column, Counts, Floats

#: A spread within a bin of at most this part of half its width is what rounding leaves of one value.
SAME = 1e-6


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
            for start in range(0, block.size, CHUNK):
                piece = block[start : start + CHUNK]
                with np.errstate(over="ignore", invalid="ignore"):
                    finite = math.isfinite(float(piece.sum()))
                self._add_numbers(piece, self._bins.find(piece, finite))
        else:
            raise TypeError(f"column {self.column.name!r} is numeric and got texts")

    def _add_numbers(self, values: Floats, found: npt.NDArray[np.intp]) -> None:
        self.counts += np.bincount(found, minlength=self.column.size)
        if self.column.edges:
            with np.errstate(invalid="ignore", over="ignore"):
                inside = values - self._middle.take(found)
                if not self._plain:
                    inside *= self._unit.take(found)
                self._within[0] += np.bincount(found, inside, self.column.size)
                inside *= inside
                self._within[1] += np.bincount(found, inside, self.column.size)

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
    """Round each number to a billionth of its unit, and leave it where that is not possible.

    >>> _rounded(np.array([3.3 - 1e-13, -1e-14, 1.5e308]), np.array([0.03, 1.0, 1e308]))
    [3.3, 0.0, 1.5e+308]
    """
    out = []
    for number, unit in zip(numbers.tolist(), units.tolist(), strict=True):
        digits = 9 - math.floor(math.log10(unit)) if unit > 0 else 400
        out.append(round(number, digits) + 0.0 if abs(digits) < 290 else number)
    return out
