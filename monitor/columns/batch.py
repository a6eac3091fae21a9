"""Counts of some predictions: what one window holds, or a sum of windows. Adding is all that it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.columns.binning import Binner
from monitor.columns.column import Counts, Floats, Schema


@dataclass(frozen=True, slots=True)
class Batch:
    """`n` predictions with `counts`, shape (schema.size,), and `sums`, shape (columns,), zero where not numeric."""

    n: int
    counts: Counts
    sums: Floats

    def plus(self, other: Batch) -> Batch:
        """Both together."""
        return Batch(self.n + other.n, self.counts + other.counts, self.sums + other.sums)


def empty_batch(schema: Schema) -> Batch:
    """Nothing at all."""
    return Batch(0, schema.zeros(), np.zeros(len(schema.columns)))


def fold(binner: Binner, values: Floats, times_ns: npt.NDArray[np.int64], seconds: int) -> dict[int, Batch]:
    """Fill records into base windows of `seconds`, aligned to UTC.

    `values`: shape (n, captured columns); `times_ns`: shape (n,). Returns a batch for each window start, in seconds.
    """
    index = times_ns // (seconds * 1_000_000_000)
    if len(index) and int(index.min()) == int(index.max()):
        counts, sums = binner.fill(values)
        return {int(index[0]) * seconds: Batch(len(values), counts[0], sums[0])}
    starts, groups, rows = np.unique(index, return_inverse=True, return_counts=True)
    counts, sums = binner.fill(values, groups.ravel().astype(np.intp), len(starts))
    return {int(start) * seconds: Batch(int(rows[i]), counts[i], sums[i]) for i, start in enumerate(starts)}


def unseen(values: Floats, schema: Schema, names: Sequence[Sequence[str]]) -> dict[tuple[int, str], int]:
    """Count the named unseen values among records: (column position, name) -> rows.

    `names`: for each column, the names behind the codes beyond `__other__`; empty if erased.
    """
    found: dict[tuple[int, str], int] = {}
    for position, column in enumerate(schema.captured):
        first = len(column.categories) + 1
        codes: npt.NDArray[Any] = np.empty(0) if column.numeric else values[:, position]
        for code, rows in zip(*np.unique(codes[codes >= first], return_counts=True), strict=True):
            at = int(code) - first
            if at < len(names[position]) and names[position][at]:
                found[position, names[position][at]] = int(rows)
    return found
