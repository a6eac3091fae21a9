"""Commands that look back over stored windows: `locate` and `backtest`. They only read, with the server up or down."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sqlite3
from typing import Any

import numpy as np

from monitor import words
from monitor.backtest.events import play
from monitor.backtest.rejudge import judge
from monitor.backtest.suggest import describe, suggest
from monitor.cli.command import Answer, bar, command, option, period, reading, span_of
from monitor.clock import SystemClock, iso
from monitor.columns.column import ROLES, Column
from monitor.config.load import Config
from monitor.config.settings import duration_text
from monitor.drift.locate import Onset, Onsets, locate
from monitor.drift.result import Span
from monitor.errors import ConfigError, StoreError
from monitor.series import Series
from monitor.store.windows.ranges import Timeline, bounds, read_timeline
from monitor.store.windows.rows import load_version

#: Windows that `locate` looks at, at most: beyond that, neighbours are taken together. It takes some seconds then.
MOST_WINDOWS = 3000

#: Fewest windows with traffic in which a beginning can be told from chance.
LEAST_WINDOWS = 4


def open_stretch(connection: sqlite3.Connection, options: argparse.Namespace) -> tuple[Series, Span]:
    """The model that predicted last, and the period that was asked for, within what is stored of it.

    Raises StoreError if nothing is stored, ConfigError for a period that ends before it begins.
    """
    model = load_version(connection, model=options.model)
    stored = bounds(connection, model.id)
    if stored is None:
        raise StoreError(f"no predictions of model {model.version} have been recorded yet")
    now = SystemClock().time()
    start = stored[0] if options.start is None else options.start(now)
    end = stored[1] if options.end is None else options.end(now)
    if options.start is not None and options.end is not None:
        span_of(options, now)
    span = Span(max(start, stored[0]), min(end, stored[1]))
    if span.end <= span.start:
        raise StoreError(f"nothing is stored of that period; there is {iso(stored[0])} to {iso(stored[1])}")
    return model, span


# locate


@command(
    "locate",
    "When did a column change, and what changed?",
    option("column", metavar="COLUMN"),
    option("--role", choices=ROLES, help="where both have a column of that name"),
    *period(None),
    one=True,
)
def find(options: argparse.Namespace, config: Config) -> Answer:
    with reading(config) as connection:
        model, span = open_stretch(connection, options)
        position = choose(model, options.column, options.role)
        windows = read_timeline(connection, model, span.start, span.end, [position])
    column = model.schema.columns[position]
    cells = coarsen(windows, MOST_WINDOWS)
    busy = int((cells.counts.sum(axis=1) > 0).sum())
    deviation = float(model.reference.deviations[position])
    onsets = locate(column, cells.counts, cells.starts, cells.seconds, cells.sums[:, 0], deviation)
    data = {
        "column": column.name,
        "role": column.role,
        "model_version": model.version,
        **span.to_json(),
        "windows": busy,
        "predictions": int(windows.n.sum()),
        "changes": [to_json(onset) for onset in onsets],
    }
    return Answer(tell(column, span, cells, busy, onsets), data)


def choose(model: Series, name: str, role: str | None) -> int:
    """Position of a column. Raises ConfigError if the name is unknown, or names two."""
    columns = model.schema.columns
    positions = [i for i, column in enumerate(columns) if column.name == name and role in (None, column.role)]
    if len(positions) == 1:
        return positions[0]
    if positions:
        raise ConfigError(f"{name!r} is a feature and a prediction; say which: --role feature")
    known = ", ".join(column.name for column in columns)
    raise ConfigError(f"the model has no {role or 'column'} {name!r}; it has: {known}")


def coarsen(windows: Timeline, most: int) -> Timeline:
    """Neighbouring windows together, so that there are about `most`; those that begin at one moment in any case.

    A cell begins with its first window and ends with the one that ends last, so that no interval is too narrow.
    """
    starts, seconds = windows.starts, windows.seconds
    if not len(starts):
        return windows
    shortest = int(seconds.min())
    step = max(math.ceil(int((starts + seconds).max() - starts[0]) / most / shortest), 1) * shortest
    _, index = np.unique(starts // step, return_index=True)
    ends = np.maximum.reduceat(starts + seconds, index)
    n, counts, sums = (np.add.reduceat(rows, index, axis=0) for rows in (windows.n, windows.counts, windows.sums))
    return Timeline(starts[index], ends - starts[index], n, counts, sums)


def tell(column: Column, span: Span, cells: Timeline, busy: int, onsets: Onsets) -> list[str]:
    """What was found, in words; the change that began the present state first."""
    where = f"{column.name} ({column.role}), {iso(span.start)} to {iso(span.end)}"
    looked = f"{words.counted(int(cells.n.sum()), 'prediction')} in {words.counted(busy, 'window')}"
    if busy < LEAST_WINDOWS:
        return [f"{where}: {looked}: too few to tell a beginning from chance; take a longer period, or wait."]
    lengths = sorted(set(map(int, cells.seconds)))
    looked += f" of {duration_text(lengths[0])}" + (f" to {duration_text(lengths[-1])}" if lengths[1:] else "")
    if not onsets:
        return [f"{where}: no change was found in {looked}."]
    more = " These are the surest and the newest; there are more." if onsets.more else ""
    lines = [f"{where}: {words.counted(len(onsets), 'change')} in {looked}.{more}"]
    for onset in reversed(onsets):
        interval = f"{onset.level:.0%} sure that between {iso(onset.earliest)} and {iso(onset.latest)}"
        rows = f"({onset.n_before:,} predictions before, {onset.n_after:,} after)"
        lines += ["", f"began {iso(onset.start)}, {interval}", f"  what changed: {onset.direction.text} {rows}"]
        moved = [f"{shift.label} {shift.reference:.1%} to {shift.test:.1%}" for shift in onset.contributions[:4]]
        lines += [f"  bins that moved most: {', '.join(moved)}"] if moved else []
    return lines


def to_json(onset: Onset) -> dict[str, Any]:
    """Return a plain dictionary, times in ISO 8601."""
    plain = dataclasses.asdict(onset)
    bins = plain.pop("contributions")
    times = {name: iso(plain[name]) for name in ("start", "earliest", "latest")}
    return {**plain, **times, "direction": onset.direction.text, "bins": bins}


# backtest


@command(
    "backtest",
    "Which alerts would these rules have made over the stored windows?",
    option("--rules", metavar="FILE", help="a config.toml with the rules to try (default: those in force)"),
    option("--suggest", action="store_true", help="what would be told as unusual"),
    option("--alerts", type=float, metavar="N", help="with --suggest: messages a month"),
    *period(None),
    one=True,
)
def try_rules(options: argparse.Namespace, config: Config) -> Answer:
    if options.suggest:
        return propose(options, config)
    if options.rules is not None:
        tried = Config.load(options.rules)
        tried = tried.of(options.model) if tried.models else tried
        config = dataclasses.replace(config, rules=tried.rules, drift=tried.drift)
    with reading(config) as connection:
        model, span = open_stretch(connection, options)
        every = max(config.drift.every, config.window.base)
        total = math.floor(span.end / every) - math.floor(span.start / every)
        with bar(options, "Judging", total, " evaluations") as progress:
            moments = judge(connection, model, config, span.start, span.end, progress.update)
            done = play(moments, [rule for rule in config.rules if rule.fixed or rule.performance], every)
    nothing = [f"there is nothing to judge from {iso(span.start)} to {iso(span.end)}"]
    return Answer(done.lines() if done.evaluations else nothing, {"model_version": model.version, **done.to_json()})


def propose(options: argparse.Namespace, config: Config) -> Answer:
    """`backtest --suggest`. Raises TelltaleError."""
    alerts = config.drift.alerts if options.alerts is None else options.alerts
    if not 0 < alerts < math.inf:
        raise ConfigError(f"--alerts: expected a number above 0, got {alerts:g}")
    with reading(config) as connection:
        series, span = open_stretch(connection, options)
        done = suggest(connection, series, config.drift, alerts, span)
    if done is None:
        return Answer(["less than a week of predictions is stored: too little to say what is usual"])
    return Answer(describe(done), {"model_version": series.version, **done.to_json()})
