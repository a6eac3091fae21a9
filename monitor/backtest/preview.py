"""What accepting a period as reference would change: the windows that were judged last, judged against it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from monitor.columns.batch import Batch
from monitor.columns.column import Column, Counts, Role
from monitor.config.load import Config
from monitor.drift.evaluate import Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import STATES, DriftResult, State
from monitor.evaluation import References, question_of
from monitor.rules.cover import cover
from monitor.rules.rule import TRAINING
from monitor.series import Series
from monitor.store.records.references import current
from monitor.store.records.usual import in_force
from monitor.store.records.verdicts import latest_results
from monitor.store.windows.ranges import sum_range


class Effect(NamedTuple):
    """What would change for one column under one rule: its reference's rows and mean, and its last state."""

    column: Column
    rule: str
    rows: int
    mean: float | None
    accepted_rows: int
    accepted_mean: float | None
    state: str
    then: str


def preview(
    connection: sqlite3.Connection, config: Config, series: Series, columns: Sequence[int], batch: Batch
) -> Iterator[Effect]:
    """Go through the columns and the rules that compare with the training data or what was accepted in its place.

    `columns`: positions in the schema. `batch`: what the period holds. A column that was not judged yet has no states.
    """
    schema, layout, covers = series.schema, Layout(series.schema), cover(config.rules, series.schema)
    before, _ = References(series).standing(connection, current(connection, series))
    after = Sample(before.counts.copy(), before.sums.copy(), before.deviations)
    old, new, accepted = (schema.split(counts) for counts in (before.counts, after.counts, batch.counts))
    for position in columns:
        new[position][:], after.sums[position] = accepted[position], batch.sums[position]
    judged = {verdict.result.rule: verdict.result.window for verdict in latest_results(connection, series.version)}
    for rule in config.rules:
        covered = [position for position in columns if position in covers[rule.name]]
        if rule.reference != TRAINING or not covered:
            continue
        sides: Sequence[dict[tuple[Role, str], State]] = ({}, {})
        if span := judged.get(rule.name):
            test = sum_range(connection, series, span.start, span.end)
            asked = question_of(rule, covers[rule.name]), layout
            live = Sample(test.counts, test.sums)
            rho = in_force(connection, series.id, span.end - span.start, span.end)
            sides = [_worst(evaluate(*asked, reference, live, span, rho=rho)) for reference in (before, after)]
        for position in covered:
            column = schema.columns[position]
            was = _rows_and_mean(column, old[position], float(before.sums[position]))
            now = _rows_and_mean(column, new[position], float(after.sums[position]))
            state, then = (side.get((column.role, column.name), "not judged yet") for side in sides)
            yield Effect(column, rule.name, *was, *now, state, then)


def _rows_and_mean(column: Column, counts: Counts, total: float) -> tuple[int, float | None]:
    values = int(counts[: column.value_bins].sum()) if column.numeric else 0
    return int(counts.sum()), total / values if values else None


def _worst(results: Iterable[DriftResult]) -> dict[tuple[Role, str], State]:
    """The worst state of each column."""
    found: dict[tuple[Role, str], State] = {}
    for result in results:
        key = (result.role, result.column)
        found[key] = min(found.get(key, result.state), result.state, key=STATES.index)
    return found
