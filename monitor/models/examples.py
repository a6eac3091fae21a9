"""Rows that a reference could hold, made of values that it has seen: what a model is asked at the start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from monitor.columns.canonical import canonical
from monitor.columns.column import Column, Counts
from monitor.models.facts import Known
from monitor.models.values import as_number
from monitor.reference.bin_edges import between
from monitor.reference.file import Reference

#: Rows that a model is asked: enough for each category of most columns, and few enough for any model.
ROWS = 32


def example_rows(reference: Reference, known: Mapping[str, Known], rows: int = ROWS) -> list[list[Any]]:
    """Return rows of values that the reference has seen, shape (rows, features), no two columns in step.

    `known`: what the model knows of its columns, by the reference's names. A column of which no value is known is 0 or
    an empty text throughout.
    """
    random = np.random.default_rng(0)
    columns = []
    features = zip(reference.schema.features, reference.schema.split(reference.counts), strict=False)
    for column, counts in features:
        values = seen_values(column, counts, known.get(column.name))
        if len(values) > rows:
            values = [values[position] for position in np.linspace(0, len(values) - 1, rows).astype(int).tolist()]
        repeated = [values[position % len(values)] for position in range(rows)]
        columns.append([repeated[position] for position in random.permutation(rows).tolist()])
    return [list(row) for row in zip(*columns, strict=True)]


def seen_values(column: Column, counts: Counts, known: Known | None) -> list[Any]:
    """Return values that the reference has seen in a column: a short number of each bin that has rows, or categories.

    A model that was fitted with certain numbers, as an encoder is, knows them better than the bins.

    >>> seen_values(Column("month", "feature", "numeric", edges=(0.5, 1.5, 2.5)), np.array([0, 9, 4, 0, 0, 0]), None)
    [1.0, 2.0]
    >>> seen_values(Column("sex", "feature", "categorical", categories=("f", "m")), np.array([3, 4, 0, 0]), None)
    ['f', 'm']
    """
    if not column.numeric:
        return [text for text, rows in zip(column.categories, counts, strict=False) if rows] or [""]
    bins = [position for position in range(column.value_bins) if counts[position]]
    own = {as_number(canonical(one)) for one in (known.values if known else ())}
    numbers = sorted(float(one) for one in own if isinstance(one, (int, float)) and math.isfinite(one))
    if numbers and known and known.dtype != "onnx":
        inside = [one for one in numbers if int(np.searchsorted(column.edges, one)) in bins]
        if inside:
            return inside
    return [_of_bin(column, position) for position in bins if column.edges] or [0.0]


def _of_bin(column: Column, position: int) -> float:
    """The only value of a bin, or else a number in it with few digits."""
    if column.bin_spreads[position] == 0:
        return column.bin_means[position]
    bounds = (-math.inf, *column.edges, math.inf)
    low, high = bounds[position : position + 2]
    if math.isinf(low) or math.isinf(high):
        return column.bin_means[position]
    middle = float(round(low / 2 + high / 2))
    return middle if low < middle <= high else between(low, high)
