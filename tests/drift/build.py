"""Small schemas, samples and questions for the tests of this folder."""

import numpy as np

from monitor.columns.canonical import canonical
from monitor.columns.column import MISSING, Column, Schema
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import DriftResult, Span, Subject
from tests.support.edges import choose_edges

WINDOW = Span(1_700_000_000.0, 1_700_001_800.0)


def numeric(name, values, role="feature"):
    return Column(name, role, "numeric", edges=choose_edges(np.asarray(values, dtype=float)))


def categorical(name, *categories, role="feature"):
    return Column(name, role, "categorical", categories=categories)


def fill(column, values):
    """Counts of raw values in the bins of one column, one value at a time: slow and plain."""
    counts = np.zeros(column.size, dtype=np.int64)
    for value in values:
        if column.numeric:
            if value is None or np.isnan(value):
                counts[column.missing_bin] += 1
            elif np.isinf(value):
                counts[column.missing_bin + 1] += 1
            else:
                counts[sum(edge < value for edge in column.edges)] += 1
        else:
            text = canonical(value)
            known = column.categories.index(text) if text in column.categories else len(column.categories)
            counts[column.missing_bin if text == MISSING else known] += 1
    return counts


def total(values):
    array = np.array([v for v in values if isinstance(v, (int, float)) and np.isfinite(v)], dtype=float)
    return float(array.sum()) if array.size else 0.0


def spread(values):
    array = np.array([v for v in values if isinstance(v, (int, float)) and np.isfinite(v)], dtype=float)
    return float(array.std()) if array.size else float("nan")


def sample(columns, values):
    """A `Sample` of raw values, one list for each column."""
    return Sample(
        np.concatenate([fill(column, each) for column, each in zip(columns, values, strict=True)]),
        np.array([total(each) for each in values]),
        np.array([spread(each) for each in values]),
    )


def ask(columns, reference, test, statistic="auto", **settings) -> dict[tuple[str, str], DriftResult]:
    """Evaluate raw values and index the results by column and statistic."""
    layout = Layout(Schema(tuple(columns)))
    question = Question("rule", tuple(range(len(columns))), statistic, **settings)
    results = evaluate(
        question, layout, sample(columns, reference), sample(columns, test), WINDOW, subject=Subject(version="v1")
    )
    return {(result.column, result.statistic): result for result in results}


def ask_counts(column, reference, test, statistic="auto", **settings) -> dict[str, DriftResult]:
    """Evaluate two samples of one column and index the results by statistic."""
    question = Question("rule", (0,), statistic, **settings)
    found = evaluate(question, Layout(Schema((column,))), reference, test, WINDOW)
    return {result.statistic: result for result in found}
