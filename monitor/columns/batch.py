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

    `values`: shape (n, captured columns); `times_ns`: shape (n,). Returns a batch for each window start, seconds since
    1970.
    """
    if not len(values):
        return {}
    index = times_ns // (seconds * 1_000_000_000)
    first, last = int(index.min()), int(index.max())
    if first == last:
        counts, sums = binner.fill(values)
        return {first * seconds: Batch(len(values), counts[0], sums[0])}
    starts, groups, rows = np.unique(index, return_inverse=True, return_counts=True)
    counts, sums = binner.fill(values, groups.ravel().astype(np.intp), len(starts))
    return {int(start) * seconds: Batch(int(rows[i]), counts[i], sums[i]) for i, start in enumerate(starts)}


def unseen(values: Floats, schema: Schema, names: Sequence[Sequence[str]]) -> dict[tuple[int, str], int]:
    """Count the named unseen values among records: (column position, name) -> rows.

    `names`: for each column, the names behind the codes that lie beyond `__other__`; empty if erased.
    """
    found: dict[tuple[int, str], int] = {}
    for position, column in enumerate(schema.captured):
        if column.numeric:
            continue
        codes: npt.NDArray[Any] = values[:, position]
        codes = codes[codes > len(column.categories)]
        if len(codes):
            for code, rows in zip(*np.unique(codes, return_counts=True), strict=True):
                name = int(code) - len(column.categories) - 1
                if name < len(names[position]) and names[position][name]:
                    found[position, names[position][name]] = int(rows)
    return found
