"""`reference`: what production is compared with: list it, make a period of production the new normal, go back."""

from __future__ import annotations

import argparse
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from monitor import words
from monitor.cli.change import by, request
from monitor.cli.command import BY, COLUMNS, DRY_RUN, WHEN, Answer, command, reading, span_of, when_option
from monitor.clock import SystemClock, iso
from monitor.columns.batch import Batch
from monitor.columns.column import Column, Counts, Role
from monitor.config.load import Config
from monitor.drift.evaluate import Sample, evaluate
from monitor.drift.result import STATES, DriftResult, Span, State
from monitor.errors import ConfigError, StoreError
from monitor.judging.evaluation import References, question_of
from monitor.rules.cover import cover, named
from monitor.rules.rule import TRAINING
from monitor.series import Series
from monitor.store.records import references
from monitor.store.records.references import current
from monitor.store.records.usual import in_force
from monitor.store.records.verdicts import latest_results
from monitor.store.windows.ranges import sum_range
from monitor.store.windows.rows import load_version


@command("reference", "List what was accepted as reference, accept a period, or go back.")
@command("reference list", "What was accepted as reference, and taken back.")
def show(_options: argparse.Namespace, config: Config) -> Answer:
    with reading(config) as connection:
        changes = references.changes(connection)
    lines = [] if any(change["in_force"] for change in changes) else ["rules compare with the training data"]
    head = ("id", "at", "action", "from", "to", "n", "author", "reason", "model", "version", "columns", "in force for")
    rows = [
        (*(c["id"], c["at"], c["action"], c["start"], c["end"], c["n"], c["author"], c["reason"]),)
        + (c["model"], c["model_version"], ", ".join(c["columns"]), ", ".join(c["in_force"]))
        for c in changes
    ]
    return Answer([*lines, *(words.table(head, rows, right=(0, 5)) if rows else [])], changes)


@command(
    "reference accept",
    "Make a period of production the reference of columns: all, or those that are named.",
    COLUMNS,
    *BY,
    when_option("--from", dest="start", help=WHEN),
    when_option("--to", dest="end", default="now", help="the same (default: now)"),
    DRY_RUN,
    one=True,
)
def accept(options: argparse.Namespace, config: Config) -> Answer:
    clock = SystemClock()
    span = past_period(options, clock.time())
    least = max((rule.min_samples for rule in config.rules), default=1)
    with reading(config) as connection:
        series, chosen = choose(connection, options.columns, options.model)
        batch = references.weigh(connection, series, span, least)
        effects = list(preview(connection, config, series, chosen, batch))
    if not options.dry_run:
        bounds = {"start": span.start, "end": span.end, "least": least, "model": options.model}
        request(config, {"kind": "accept", **bounds, "columns": chosen, **by(options)}, clock)
    would = "would " if options.dry_run else ""
    of = f"{words.counted(len(chosen), 'column')} of " * bool(options.columns) + f"model {series.version}"
    back = f"{words.program()} {shlex.join(['reference', 'reset', *options.columns])}"
    verb = "would be" if options.dry_run else "is"
    lines = words.table(
        ("column", "role", "rule", "rows", "mean", "accepted rows", "accepted mean", "state", "then"),
        [(e.column.name, e.column.role, e.rule, *e[2:]) for e in effects],
        right=(3, 4, 5, 6),
    )
    ends = [f"{e.column.name} ({e.rule})" for e in effects if e.state == "drift" != e.then]
    begins = [f"{e.column.name} ({e.rule})" for e in effects if e.state != "drift" == e.then]
    return Answer(
        [
            f"{iso(span.start)} to {iso(span.end)} {verb} the reference of {of} from now on: {batch.n:,} predictions\n",
            *lines,
            f"\nalerts that {would}end: {', '.join(ends) or 'none'}",
            f"alerts that {would}begin: {', '.join(begins) or 'none'}",
            f"rules with a reference of their own keep it; to go back: {back}",
        ],
        {
            **span.to_json(),
            "dry_run": options.dry_run,
            "model_version": series.version,
            "n": batch.n,
            "columns": [{**e._asdict(), "column": e.column.name, "role": e.column.role} for e in effects],
            "ends": ends,
            "begins": begins,
        },
    )


@command(
    "reference reset",
    "Compare columns with the training data again: all, or those that are named.",
    COLUMNS,
    *BY,
    one=True,
)
def reset(options: argparse.Namespace, config: Config) -> Answer:
    with reading(config) as connection:
        series, chosen = choose(connection, options.columns, options.model)
        standing = references.current(connection, series)
        chosen = [position for position in chosen if position in standing]
        if not chosen:
            raise StoreError(f"model {series.version} is compared with its training data already")
    request(config, {"kind": "reset", "model": options.model, "columns": chosen, **by(options)}, SystemClock())
    names = [series.schema.columns[position].name for position in chosen]
    line = f"the training data is the reference of model {series.version} from now on, for {', '.join(names)}"
    return Answer([line], {"model_version": series.version, "columns": names})


def choose(connection: sqlite3.Connection, patterns: Sequence[str], model: str | None) -> tuple[Series, list[int]]:
    """The model that is served, and the positions of the columns that are named: all without names."""
    series = load_version(connection, model=model)
    chosen = named(patterns, series.schema) if patterns else list(range(len(series.column_ids)))
    if not chosen:
        raise ConfigError(f"no column of model {series.version} fits {' '.join(patterns)}")
    return series, chosen


def past_period(options: argparse.Namespace, now: float) -> Span:
    """The period that is to be accepted. Raises ConfigError."""
    if options.start is None:
        raise ConfigError("accept needs --from: when the period begins, such as 7d or 2026-03-01T00:00Z")
    span = span_of(options, now)
    if span.end > now:
        raise ConfigError(f"--to: {iso(span.end)} has not come yet")
    return span


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
    schema, covers = series.schema, cover(config.rules, series.schema)
    before, _ = References(series).standing(connection, current(connection, series))
    after = Sample(before.counts.copy(), before.sums.copy(), before.deviations)
    old, new, accepted = (schema.split(counts) for counts in (before.counts, after.counts, batch.counts))
    for position in columns:
        new[position][:], after.sums[position] = accepted[position], batch.sums[position]
    judged = {verdict.result.rule: verdict.result.window for verdict in latest_results(connection, series.subject)}
    for rule in config.rules:
        covered = [position for position in columns if position in covers[rule.name]]
        if rule.reference != TRAINING or not covered:
            continue
        sides: Sequence[dict[tuple[Role, str], State]] = ({}, {})
        if span := judged.get(rule.name):
            test = sum_range(connection, series, span.start, span.end)
            asked = question_of(rule, covers[rule.name]), series.layout
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
    worst: dict[tuple[Role, str], State] = {}
    for result in results:
        key = (result.role, result.column)
        worst[key] = min(worst.get(key, result.state), result.state, key=STATES.index)
    return worst
