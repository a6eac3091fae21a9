"""Counting the rows of one column in each of its bins, block by block."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
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

    For numbers it also sums up where in its bin each value is, from -1 at the lower edge to 1 at the upper one, and
    the squares of that: neither can overflow.
    """

    def __init__(self, column: Column) -> None:
        self.column = column
        self.counts: Counts = np.zeros(column.size, dtype=np.int64)
        self._bins = NumericBins(column) if column.numeric else None
        if column.edges:
            edges = np.array([column.edges[0], *column.edges, column.edges[-1]])
            self._half = edges[1:] / 2 - edges[:-1] / 2
            with np.errstate(divide="ignore", over="ignore"):
                unit = 1 / self._half
            self._unit = np.concatenate((np.where(np.isfinite(unit), unit, 0.0), (0.0, 0.0)))
            self._middle = np.concatenate((column.bin_means, (0.0, 0.0)))
            self._within = np.zeros((2, column.size))
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
            with np.errstate(invalid="ignore"):
                inside = (values - self._middle[found]) * self._unit[found]
                self._within[0] += np.bincount(found, inside, self.column.size)
                self._within[1] += np.bincount(found, inside * inside, self.column.size)

    def placed(self) -> Column:
        """Return the column with the mean and the standard deviation of the counted rows in each bin.

        Both are rounded to a billionth of half the bin's width, so that the order of the rows does not matter.
        """
        bins, edges = self.column.value_bins, self.column.edges
        if not edges:
            return self.column
        mean, square = self._within[:, :bins] / np.maximum(self.counts[:bins], 1)
        spread = np.sqrt(np.maximum(square - mean * mean, 0.0))
        spreads = np.where(spread > SAME, spread, 0.0) * self._half
        rounded = [_rounded(self._middle[:bins] + mean * self._half, self._half), _rounded(spreads, self._half)]
        means = np.clip(rounded[0], (-math.inf, *edges), (*edges, math.inf)).tolist()
        return replace(self.column, means=tuple(means), spreads=tuple(rounded[1]))

    def _add_categories(self, block: Block) -> None:
        other, missing = self.column.value_bins - 1, self.column.missing_bin
        for text, rows in _category_rows(block).items():
            self.counts[missing if text == MISSING else self._position.get(text, other)] += rows


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


def _category_rows(block: Block) -> Mapping[str, int]:
    rows: Counter[str] = Counter()
    if isinstance(block, np.ndarray):
        values, counts = np.unique(block, return_counts=True, equal_nan=True)
        for value, number in zip(values.tolist(), counts.tolist(), strict=True):
            rows[canonical(value)] += number
    else:
        for text, number in Counter(block).items():
            rows[MISSING if text is None else text] += number
    return rows
