"""Boxkite's metric names, for people who have its dashboard: `[metrics] boxkite = true`.

Features are numbered in the model's order, the prediction (the first one only) is called inference, the reference is
the baseline. As there, the last bucket also holds what is missing or infinite, and a column of one or two different
values is counted value by value. Boxkite has no bins for what is missing or unseen: here they are on both sides from
the moment that something falls into them, so until then its queries give the number that they give with Boxkite.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from monitor.columns.column import MISSING, OTHER, Floats, Schema
from monitor.exposition.distributions import FEW_EDGES, LiveValues, bounds, has_sum
from monitor.exposition.families import Family
from monitor.exposition.template import Form
from monitor.reference.file import Reference

INFO = Family("baseline_metrics_info", "info", (), "Names and types of the baseline metrics.")


def category_text(text: str) -> str:
    """Boxkite's text of a category.

    >>> category_text("2"), category_text("setosa"), category_text("nan")
    ('2.0', 'setosa', 'nan')
    """
    try:
        number = float(text)
    except ValueError:
        return text
    return str(number) if math.isfinite(number) else text


def discrete(reference: Reference, i: int) -> bool:
    """Whether Boxkite would count a column value by value: categories, and numbers of fewer than three values."""
    column = reference.schema.columns[i]
    counts = reference.schema.split(reference.counts)[i][: column.value_bins]
    # With a bin for each value the outer ones are empty.
    return not column.numeric or (len(column.edges) <= FEW_EDGES and counts[0] == counts[-1] == 0)


def late_bins(reference: Reference) -> npt.NDArray[np.bool_]:
    """Bins that have no name in Boxkite until something falls into them, shape (schema.size,)."""
    schema = reference.schema
    late = np.zeros(schema.size, dtype=np.bool_)
    for i in names(schema):
        column, bins = schema.columns[i], late[schema.offsets[i] : schema.offsets[i + 1]]
        if discrete(reference, i):
            bins[column.value_bins - 1 :] = True
            bins[0] = column.numeric
    late[reference.counts > 0] = False
    return late


def write_boxkite(
    live: Form,
    baseline: Form,
    values: LiveValues,
    reference: Reference,
    kept: Collection[int],
    sums: Floats,
    shown: npt.NDArray[np.bool_],
) -> None:
    """Write live counts, and the baseline with `baseline_metrics_info` into a form that knows the reference's values.

    `sums` are the live ones; they only decide whether sums are written. `shown`: which bins are.
    """
    facts: list[dict[str, str]] = []
    for i, prefix in names(reference.schema).items():
        if i not in kept:
            continue
        column, counted = reference.schema.columns[i], discrete(reference, i)
        for form, stem, side, total in (
            (live, f"{prefix}_value", "Real time", sums[i]),
            (baseline, f"{prefix}_value_baseline", "Baseline", reference.sums[i]),
        ):
            title = f"{side} values for: {column.name}"
            if counted:
                _counter(form, values, i, stem, title, shown)
            else:
                _histogram(form, values, i, stem, title, has_sum(column, float(total), form.openmetrics))
        kind = "counter" if counted else "histogram"
        facts.append({"feature_name": column.name, "metric_name": f"{prefix}_value_baseline", "metric_type": kind})
    baseline.family(INFO, [(labels, 1.0) for labels in facts])


def names(schema: Schema) -> dict[int, str]:
    """Prefix of each column that Boxkite has a name for, by position."""
    features = len(schema.features)
    out = {i: f"feature_{i}" for i in range(features)}
    return out | ({features: "inference"} if schema.predictions else {})


def _counter(form: Form, values: LiveValues, i: int, stem: str, title: str, shown: npt.NDArray[np.bool_]) -> None:
    """Write a column value by value: those of its bins that are `shown`."""
    column, start = values.schema.columns[i], int(values.schema.offsets[i])
    if column.numeric:
        texts = list(column.labels)
    else:
        texts = [category_text(category) for category in column.categories]
        if len(set(texts)) < len(texts):  # `2` and `2.0` are two categories here: leave them apart.
            texts = list(column.categories)
        texts += [OTHER, MISSING]
    form.family(Family(f"{stem}_total", "counter", (), title))
    for place, text in enumerate(texts):
        if shown[start + place]:
            form.open({"bin": text}, values.count_position(i, place) if column.numeric else start + place)


def _histogram(form: Form, values: LiveValues, i: int, stem: str, title: str, summed: bool) -> None:
    """Write a column as a histogram.

    Where the format allows a histogram no sum (`summed` is false), its parts are families of their own, of no known
    type: Boxkite's panels divide the one by the other.
    """
    column, start, rows = values.schema.columns[i], int(values.schema.offsets[i]), values.rows_position(i)
    buckets = [({"le": bound}, start + place) for place, bound in enumerate(bounds(column)[:-1])]
    parts: dict[str, list[tuple[dict[str, str], int]]] = {
        "_bucket": [*buckets, ({"le": "+Inf"}, rows)],
        "_count": [({}, rows)],
        "_sum": [({}, values.sum_position(i))],
    }
    if summed:
        form.family(Family(stem, "histogram", (), title))
    for suffix, samples in parts.items():
        if not summed:
            form.family(Family(stem + suffix, "unknown", (), title))
        for labels, position in samples:
            form.open(labels, position, suffix if summed else "", whole=suffix != "_sum")
