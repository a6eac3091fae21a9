"""Boxkite's metric names, for people who have its dashboard: `[metrics] boxkite = true`.

Features are numbered in the model's order, predictions are called inference, the reference is the baseline. As there,
the last bucket of a histogram also holds what is missing or infinite, and a category that is a number is written as a
float. Only the first prediction of a model has a name in Boxkite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from monitor.exposition.distributions import LiveValues, bounds, has_sum
from monitor.exposition.families import Family
from monitor.exposition.form import Form, Labels
from monitor.window.columns import MISSING, OTHER, Column, Floats, Schema
from monitor.window.reference import Reference

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


def boxkite_series(column: Column) -> int:
    """Series that Boxkite's names add for a column."""
    return 2 * (column.value_bins + (2 if column.numeric else 1)) + 1


def boxkite_form(reference: Reference, kept: Sequence[int], sums: Floats, always: Labels, openmetrics: bool) -> Form:
    """Live counts left open, the baseline written out, and `baseline_metrics_info` over both.

    `sums` are the live ones; they only decide whether sums are written.
    """
    schema, form = reference.schema, Form()
    values, chosen = LiveValues(schema), set(kept)
    baseline = [*values.whole(reference.counts).tolist(), *reference.sums.tolist()]
    facts: list[dict[str, str]] = []
    for i, prefix in names(schema).items():
        column = schema.columns[i]
        if i not in chosen:
            continue
        for live in (True, False):
            stem = f"{prefix}_value" if live else f"{prefix}_value_baseline"
            title = "Real time values" if live else "Baseline values"
            name, kind = (stem, "histogram") if column.numeric else (f"{stem}_total", "counter")
            form.begin(Family(name, kind, (), f"{title} for: {column.name}"), openmetrics)  # type: ignore[arg-type]
            for suffix, labels, position in _samples(
                values, i, float((sums if live else reference.sums)[i]), openmetrics
            ):
                labels = {**always, **labels}
                if live:
                    form.open(stem + suffix, labels, position, whole=suffix != "_sum")
                else:
                    form.fixed(stem + suffix, labels, baseline[position])
        kind = "histogram" if column.numeric else "counter"
        facts.append({"feature_name": column.name, "metric_name": f"{prefix}_value_baseline", "metric_type": kind})
    form.begin(INFO, openmetrics)
    for labels in facts:
        form.fixed(INFO.name, {**always, **labels}, 1.0)
    return form.freeze()


def names(schema: Schema) -> dict[int, str]:
    """Prefix of each column that Boxkite has a name for, by position."""
    features = len(schema.features)
    out = {i: f"feature_{i}" for i in range(features)}
    return out | ({features: "inference"} if schema.predictions else {})


def _samples(values: LiveValues, i: int, total: float, openmetrics: bool) -> list[tuple[str, dict[str, str], int]]:
    """(suffix, labels, position) of each sample of a column."""
    column, start = values.schema.columns[i], int(values.schema.offsets[i])
    if column.numeric:
        last = len(column.edges)
        out = [("_bucket", {"le": bound}, start + place) for place, bound in enumerate(bounds(column)[:last])]
        out.append(("_bucket", {"le": "+Inf"}, values.rows_position(i)))
        if has_sum(column, total, openmetrics):
            out += [("_count", {}, values.rows_position(i)), ("_sum", {}, values.sum_position(i))]
        return out
    texts = [category_text(category) for category in column.categories]
    if len(set(texts)) < len(texts):  # `2` and `2.0` are two categories here: leave them apart.
        texts = list(column.categories)
    return [("_total", {"bin": text}, start + place) for place, text in enumerate([*texts, OTHER, MISSING])]
