"""Live and reference histograms of every column as ready text.

Nothing but the live counts changes from scrape to scrape: the reference, the edges and all labels are written once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from monitor.columns.column import OTHER, Column, Counts, Floats, Schema, go_number
from monitor.exposition import families as f
from monitor.exposition.template import Form
from monitor.reference.file import Reference

#: A numeric column with no more edges than these has its counts uncumulated as well (Boxkite's names want them).
FEW_EDGES = 3

#: The families of one side: values, categories, missing, not finite.
Side = tuple[f.Family, f.Family, f.Family, f.Family]
LIVE: Side = (f.VALUE, f.CATEGORY, f.MISSING, f.NONFINITE)
REFERENCE: Side = (f.VALUE_REFERENCE, f.CATEGORY_REFERENCE, f.MISSING_REFERENCE, f.NONFINITE_REFERENCE)


class LiveValues:
    """Puts counts and sums into the order of the positions that forms are filled with.

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

    def whole(self, counts: Counts) -> list[int]:
        """All whole numbers, from a flat vector of counts."""
        total = np.concatenate(([0], np.cumsum(counts)))
        cumulated = np.where(self._cumulated, total[1:] - total[self._start], counts)
        out: list[int] = np.concatenate((cumulated, np.diff(total[self.schema.offsets]), counts[self._few])).tolist()
        return out

    def live(self, totals: Counts, sums: Floats) -> list[int | bytes]:
        """All values, the sums as texts."""
        texts = [b"%a" % total if math.isfinite(total) else go_number(total).encode() for total in sums.tolist()]
        return [*self.whole(totals), *texts]

    def rows_position(self, column: int) -> int:
        """Position of the number of all rows of a column."""
        return self.schema.size + column

    def count_position(self, column: int, place: int) -> int:
        """Position of the count of one bin of a column of few edges."""
        flat = int(self.schema.offsets[column]) + place
        return self.rows_position(len(self.schema.columns)) + int(np.searchsorted(self._few, flat))

    def sum_position(self, column: int) -> int:
        """Position of the sum of a column."""
        return self.rows_position(len(self.schema.columns)) + len(self._few) + column


def bounds(column: Column) -> list[str]:
    """The `le` of each value bin."""
    return [*map(go_number, column.edges), "+Inf"]


def normalised(text: str) -> str:
    """The spelling of an edge that Prometheus 3 makes of it in `le`.

    It differs from the client's only for negative edges with seven or more digits before the point, which the client
    writes without an exponent.

    >>> normalised("-3226414.69"), normalised("0.5"), normalised("3.22641469e+06")
    ('-3.22641469e+06', '0.5', '3.22641469e+06')
    """
    return "-" + go_number(-float(text)) if text.startswith("-") and "." in text[8:] else text


def bin_edges(column: Column) -> list[tuple[int, str, str]]:
    """(position, lower, upper) of each value bin; in both spellings if there are two, so that a query finds either.

    >>> bin_edges(Column("x", "feature", "numeric", edges=(0.0, 1.5)))
    [(0, '-Inf', '0.0'), (1, '0.0', '1.5'), (2, '1.5', '+Inf')]
    """
    ours = [(i, low, high) for i, (low, high) in enumerate(pairwise(["-Inf", *bounds(column)]))]
    return list(dict.fromkeys([*ours, *((i, normalised(low), normalised(high)) for i, low, high in ours)]))


def has_sum(column: Column, total: float, openmetrics: bool) -> bool:
    """Whether a histogram's `_sum` and `_count` are written, given the sum.

    In OpenMetrics a sum must not fall: none is written if a bound or the sum is negative, and no count without it.
    """
    return not openmetrics or not (total < 0 or (column.edges and column.edges[0] < 0))


def kept_columns(schema: Schema, kept: Sequence[int]) -> list[tuple[int, Column, dict[str, str], int]]:
    """(position, column, labels of its samples, position of its first bin) of each column to write."""
    columns = [(i, schema.columns[i]) for i in kept]
    return [(i, c, {"column": c.name, "role": c.role}, int(schema.offsets[i])) for i, c in columns]


def write_counts(form: Form, side: Side, values: LiveValues, kept: Sequence[int], sums: Floats) -> None:
    """Write the families of one side, column after column; `sums` only decide whether sums are written."""
    value, category, missing, nonfinite = side
    columns = kept_columns(values.schema, kept)
    numeric = [entry for entry in columns if entry[1].numeric]
    form.family(value)
    for i, column, labels, start in numeric:
        for place, bound in enumerate(bounds(column)):
            form.open({**labels, "le": bound}, start + place, "_bucket")
        if has_sum(column, float(sums[i]), form.openmetrics):
            form.open(labels, start + column.value_bins - 1, "_count")
            form.open(labels, values.sum_position(i), "_sum", whole=False)
    form.family(category)
    for _, column, labels, start in columns:
        for place, text in enumerate(() if column.numeric else (*column.categories, OTHER)):
            form.open({**labels, "category": text}, start + place)
    form.family(missing)
    for _, column, labels, start in columns:
        form.open(labels, start + column.missing_bin)
    form.family(nonfinite)
    for _, column, labels, start in numeric:
        form.open(labels, start + column.missing_bin + 1)


def write_reference(form: Form, values: LiveValues, reference: Reference, kept: Sequence[int]) -> None:
    """Write the reference beside the live counts, edges and facts. `form`: one that knows the reference's values."""
    write_counts(form, REFERENCE, values, kept, reference.sums)
    columns = kept_columns(reference.schema, kept)
    edges = [(labels, edge) for _, column, labels, _ in columns if column.numeric for edge in bin_edges(column)]
    form.family(f.BIN_EDGES, [({**labels, "lower": low, "upper": up}, place) for labels, (place, low, up) in edges])
    form.family(f.DEVIATION_REFERENCE, [(labels, reference.deviations[i]) for i, _, labels, _ in columns])
    form.family(f.COLUMN_INFO, [({**labels, "kind": c.kind, "position": str(i)}, 1.0) for i, c, labels, _ in columns])
    info = reference.info
    facts = {"version_" + re.sub(r"\W", "_", name, flags=re.ASCII): text for name, text in info.versions.items()} | {
        "reference": reference.identity[:12],
        "model_sha256": info.model_sha256,
        "created": info.created,
        "rows": str(info.rows),
        "source": info.source,
    }
    form.family(f.REFERENCE_INFO, [(facts, 1.0)])
