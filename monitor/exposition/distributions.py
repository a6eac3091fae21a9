"""Live and reference histograms of every column as ready text.

Nothing but the live counts changes from scrape to scrape: the reference, the edges and all labels are written once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from monitor.columns.column import OTHER, Column, Counts, Floats, Schema, go_number
from monitor.exposition import families as f
from monitor.exposition.snapshot import Snapshot
from monitor.exposition.template import Form, Labels
from monitor.reference.file import Reference

#: A numeric column with no more edges than these has its counts uncumulated as well (Boxkite's names want them).
FEW_EDGES = 3


class LiveValues:
    """Turns a snapshot into the values that forms are filled with.

    Positions: 0 to schema.size - 1 are the counts, those of numeric value bins cumulated within their column; then all
    rows of each column, missing ones included; then the counts of columns of few edges, as they are; then the sum of
    each column.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        starts, place = schema.offsets[:-1], np.arange(schema.size)
        sizes = np.diff(schema.offsets)
        bins = np.array([column.value_bins if column.numeric else 0 for column in schema.columns], dtype=np.intp)
        self._start = np.repeat(starts, sizes)
        self._cumulated: npt.NDArray[np.bool_] = place < np.repeat(starts + bins, sizes)
        few = [column.numeric and len(column.edges) <= FEW_EDGES for column in schema.columns]
        self._few = np.flatnonzero(np.repeat(few, sizes))

    def whole(self, counts: Counts) -> Counts:
        """All whole numbers in the order of their positions, from a flat vector of counts."""
        total = np.concatenate(([0], np.cumsum(counts)))
        cumulated = np.where(self._cumulated, total[1:] - total[self._start], counts)
        return np.concatenate((cumulated, np.diff(total[self.schema.offsets]), counts[self._few]))

    def values(self, snapshot: Snapshot) -> list[int | bytes]:
        """What forms are filled with, in the order of the positions."""
        sums = [
            b"%a" % total if math.isfinite(total) else go_number(total).encode() for total in snapshot.sums.tolist()
        ]
        return [*self.whole(snapshot.totals).tolist(), *sums]

    def rows_position(self, column: int) -> int:
        """Where the number of all rows of a column stands."""
        return self.schema.size + column

    def count_position(self, column: int, place: int) -> int:
        """Where the count of one bin of a column of few edges stands."""
        flat = int(self.schema.offsets[column]) + place
        return self.schema.size + len(self.schema.columns) + int(np.searchsorted(self._few, flat))

    def sum_position(self, column: int) -> int:
        """Where the sum of a column stands."""
        return self.schema.size + len(self.schema.columns) + len(self._few) + column


def bounds(column: Column) -> list[str]:
    """The `le` of each value bin."""
    return [*map(go_number, column.edges), "+Inf"]


def normalised(text: str) -> str:
    """The spelling of an edge that Prometheus 3 makes of it in `le`.

    It differs from the client's only for large negative edges, which the client writes without an exponent.

    >>> normalised("-3226414.69"), normalised("0.5"), normalised("3.22641469e+06")
    ('-3.22641469e+06', '0.5', '3.22641469e+06')
    """
    return "-" + go_number(-float(text)) if text.startswith("-") and text != "-Inf" else text


def bin_edges(column: Column) -> list[tuple[int, str, str]]:
    """(position, lower, upper) of each value bin; in both spellings where there are two, so that a query finds either.

    >>> bin_edges(Column("x", "feature", "numeric", edges=(0.0, 1.5)))
    [(0, '-Inf', '0.0'), (1, '0.0', '1.5'), (2, '1.5', '+Inf')]
    """
    pairs = list(pairwise(["-Inf", *bounds(column)]))
    ours = [(i, low, high) for i, (low, high) in enumerate(pairs)]
    theirs = [(i, normalised(low), normalised(high)) for i, (low, high) in enumerate(pairs)]
    return list(dict.fromkeys([*ours, *theirs]))


def has_sum(column: Column, total: float, openmetrics: bool) -> bool:
    """Whether a histogram's `_sum` and `_count` are written, given the sum.

    In OpenMetrics a sum must not fall: none is written where a bound or the sum is negative, and no count without it.
    """
    return not openmetrics or not (total < 0 or (column.edges and column.edges[0] < 0))


@dataclass(frozen=True, slots=True)
class _Side:
    """The four families of one side, live or reference."""

    value: f.Family
    category: f.Family
    missing: f.Family
    nonfinite: f.Family


LIVE = _Side(f.VALUE, f.CATEGORY, f.MISSING, f.NONFINITE)
REFERENCE = _Side(f.VALUE_REFERENCE, f.CATEGORY_REFERENCE, f.MISSING_REFERENCE, f.NONFINITE_REFERENCE)


class Add(Protocol):
    """Adds a sample, given its name, its labels and the position of its number in `LiveValues`."""

    def __call__(self, name: str, labels: dict[str, str], position: int, whole: bool = True) -> None:
        """`whole`: it is a whole number."""


def live_form(values: LiveValues, kept: Sequence[int], sums: Floats, always: Labels, openmetrics: bool) -> Form:
    """Everything that is counted, with the numbers left open; `sums` only decide whether sums are written."""
    form = Form()
    _counts(form, form.open, LIVE, values, kept, sums, always, openmetrics)
    return form.freeze()


def reference_form(reference: Reference, kept: Sequence[int], always: Labels, openmetrics: bool) -> Form:
    """The reference beside it, edges and facts: all of it fixed."""
    form, schema = Form(), reference.schema
    values = LiveValues(schema)
    numbers = [*values.whole(reference.counts).tolist(), *reference.sums.tolist()]

    def add(name: str, labels: Mapping[str, str], position: int, whole: bool = True) -> None:  # noqa: ARG001
        form.fixed(name, labels, numbers[position])

    _counts(form, add, REFERENCE, values, kept, reference.sums, always, openmetrics)
    columns = [(i, schema.columns[i], _labels(schema.columns[i], always)) for i in kept]
    form.begin(f.BIN_EDGES, openmetrics)
    for _, column, labels in columns:
        for position, lower, upper in bin_edges(column) if column.numeric else ():
            form.fixed(f.BIN_EDGES.name, {**labels, "lower": lower, "upper": upper}, position)
    form.begin(f.DEVIATION_REFERENCE, openmetrics)
    for i, _, labels in columns:
        if math.isfinite(reference.deviations[i]):
            form.fixed(f.DEVIATION_REFERENCE.name, labels, reference.deviations[i])
    form.begin(f.COLUMN_INFO, openmetrics)
    for i, column, labels in columns:
        form.fixed(f.COLUMN_INFO.name, {**labels, "kind": column.kind, "position": str(i)}, 1.0)
    form.begin(f.REFERENCE_INFO, openmetrics)
    form.fixed(f.REFERENCE_INFO.name, _facts(reference, always), 1.0)
    return form.freeze()


def _counts(
    form: Form,
    add: Add,
    side: _Side,
    values: LiveValues,
    kept: Sequence[int],
    sums: Floats,
    always: Labels,
    openmetrics: bool,
) -> None:
    """The four families of one side, column after column."""
    columns = [(i, values.schema.columns[i], int(values.schema.offsets[i])) for i in kept]
    form.begin(side.value, openmetrics)
    for i, column, start in columns:
        if column.numeric:
            labels, name = _labels(column, always), side.value.name
            for place, bound in enumerate(bounds(column)):
                add(f"{name}_bucket", {**labels, "le": bound}, start + place)
            if has_sum(column, float(sums[i]), openmetrics):
                add(f"{name}_count", labels, start + column.value_bins - 1)
                add(f"{name}_sum", labels, values.sum_position(i), False)
    form.begin(side.category, openmetrics)
    for _, column, start in columns:
        for place, category in enumerate(() if column.numeric else (*column.categories, OTHER)):
            add(side.category.name, {**_labels(column, always), "category": category}, start + place)
    form.begin(side.missing, openmetrics)
    for _, column, start in columns:
        add(side.missing.name, _labels(column, always), start + column.missing_bin)
    form.begin(side.nonfinite, openmetrics)
    for _, column, start in columns:
        if column.numeric:
            add(side.nonfinite.name, _labels(column, always), start + column.missing_bin + 1)


def _facts(reference: Reference, always: Labels) -> dict[str, str]:
    info = reference.info
    libraries = {"version_" + re.sub(r"\W", "_", name, flags=re.ASCII): v for name, v in info.versions.items()}
    return {
        **libraries,
        **always,
        "reference": reference.identity[:12],
        "model_sha256": info.model_sha256,
        "created": info.created,
        "rows": str(info.rows),
        "source": info.source,
    }


def _labels(column: Column, always: Labels) -> dict[str, str]:
    return {"column": column.name, "role": column.role, **always}
