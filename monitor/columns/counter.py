"""Counting the rows of one column in each of its bins, block by block."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from monitor.columns.binning import CHUNK, NumericBins
from monitor.columns.canonical import Block, canonical
from monitor.columns.column import MISSING, Column, Counts


class ColumnCounter:
    """Counts the rows of one column in each of its bins: `counts`, shape (column.size,)."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.counts: Counts = np.zeros(column.size, dtype=np.int64)
        self._bins = NumericBins(column) if column.numeric else None
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
                self.counts += np.bincount(self._bins.find(piece, finite), minlength=self.column.size)
        else:
            raise TypeError(f"column {self.column.name!r} is numeric and got texts")

    def _add_categories(self, block: Block) -> None:
        other, missing = self.column.value_bins - 1, self.column.missing_bin
        for text, rows in _category_rows(block).items():
            self.counts[missing if text == MISSING else self._position.get(text, other)] += rows


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
