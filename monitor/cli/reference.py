"""`reference`: what production is compared with: list it, make a period of production the new normal, go back."""

from __future__ import annotations

import argparse
import getpass
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from monitor import words
from monitor.backtest.preview import preview
from monitor.cli.context import Commands, add_command, add_common, load_config, moment, print_json, print_table, reading
from monitor.cli.silence import request
from monitor.clock import Clock, SystemClock, iso
from monitor.drift.result import Span
from monitor.errors import ConfigError, StoreError
from monitor.rules.cover import named
from monitor.series import Series
from monitor.store.records import references

LIST = "What was accepted as reference, and taken back."
ACCEPT = "Make a period of production the reference of columns: all, or those that are named."
RESET = "Compare columns with the training data again: all, or those that are named."


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "reference", "List what was accepted as reference, accept a period, or go back.")
    parser.set_defaults(run=show, json=False)
    actions = parser.add_subparsers(metavar="ACTION")
    for name, text, run in (("list", LIST, show), ("accept", ACCEPT, accept), ("reset", RESET, reset)):
        action = actions.add_parser(name, help=text, description=text)
        add_common(action, argparse.SUPPRESS)
        action.set_defaults(run=run)
        if name == "list":
            action.add_argument("--json", action="store_true", help="print JSON")
            continue
        action.add_argument("columns", nargs="*", metavar="COLUMN", help="a name, a glob, or role:prediction")
        action.add_argument("--reason", default="no reason given", help="why; kept with who did it and when")
        action.add_argument("--author", default="", help="who (default: the user's name)")
        if name == "accept":
            action.add_argument("--from", dest="start", metavar="WHEN", help="ISO 8601, UTC, or how long ago, as 7d")
            action.add_argument("--to", dest="end", metavar="WHEN", default="0s", help="the same (default: now)")
            action.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")


def accept(options: argparse.Namespace) -> int:
    """`python -m monitor reference accept`. Raises TelltaleError."""
    config, clock = load_config(options), SystemClock()
    span = period(options, clock)
    least = max((rule.min_samples for rule in config.rules), default=1)
    with reading(config) as connection, store_errors():
        series, chosen = choose(connection, options.columns)
        batch = references.weigh(connection, series, span, least)
        effects = list(preview(connection, config, series, chosen, batch))
    if not options.dry_run:
        bounds = {"start": span.start, "end": span.end, "least": least}
        request(config, {"kind": "accept", **bounds, "columns": chosen, **by(options)}, clock)
    would = "would " if options.dry_run else ""
    of = f"{words.counted(len(chosen), 'column')} of " * bool(options.columns) + f"model {series.version}"
    verb = "would be" if options.dry_run else "is"
    print(f"{iso(span.start)} to {iso(span.end)} {verb} the reference of {of} from now on: {batch.n:,} predictions\n")
    print_table(
        ("column", "role", "rule", "rows", "mean", "accepted rows", "accepted mean", "state", "then"),
        ((e.column.name, e.column.role, e.rule, *e[2:]) for e in effects),
        right=(3, 4, 5, 6),
    )
    ends = [f"{e.column.name} ({e.rule})" for e in effects if e.state == "drift" != e.then]
    begins = [f"{e.column.name} ({e.rule})" for e in effects if e.state != "drift" == e.then]
    print(f"\nalerts that {would}end: {', '.join(ends) or 'none'}")
    print(f"alerts that {would}begin: {', '.join(begins) or 'none'}")
    print("rules with a reference of their own keep it; to go back: python -m monitor reference reset")
    return 0


def reset(options: argparse.Namespace) -> int:
    """`python -m monitor reference reset`. Raises TelltaleError."""
    config = load_config(options)
    with reading(config) as connection, store_errors():
        series, chosen = choose(connection, options.columns)
        standing = references.current(connection, series)
        chosen = [position for position in chosen if position in standing]
        if not chosen:
            raise ValueError(f"model {series.version} is compared with its training data already")
    request(config, {"kind": "reset", "columns": chosen, **by(options)}, SystemClock())
    names = ", ".join(series.schema.columns[position].name for position in chosen)
    print(f"the training data is the reference of model {series.version} from now on, for {names}")
    return 0


@contextmanager
def store_errors() -> Iterator[None]:
    """What the history does not hold, as an error of the store."""
    try:
        yield
    except ValueError as error:
        raise StoreError(str(error)) from None


def choose(connection: sqlite3.Connection, patterns: Sequence[str]) -> tuple[Series, list[int]]:
    """The model that is served, and the positions of the columns that are named: all without names."""
    series = references.served_model(connection)
    chosen = named(patterns, series.schema) if patterns else list(range(len(series.column_ids)))
    if not chosen:
        raise ConfigError(f"no column of model {series.version} fits {' '.join(patterns)}")
    return series, chosen


def by(options: argparse.Namespace) -> dict[str, str]:
    """Who asks for a change, and why."""
    return {"author": options.author or getpass.getuser(), "reason": options.reason}


def period(options: argparse.Namespace, clock: Clock) -> Span:
    """The period that is to be accepted. Raises ConfigError."""
    if options.start is None:
        raise ConfigError("accept needs --from: when the period begins, such as 7d or 2026-03-01T00:00Z")
    now = clock.time()
    span = Span(moment(options.start, now, "--from"), moment(options.end, now, "--to"))
    if span.end > now:
        raise ConfigError(f"--to: {iso(span.end)} has not come yet")
    if span.end <= span.start:
        raise ConfigError("--to must lie after --from")
    return span


def show(options: argparse.Namespace) -> int:
    """`python -m monitor reference list`."""
    with reading(load_config(options)) as connection:
        changes = references.changes(connection)
    if options.json:
        print_json(changes)
        return 0
    if not any(change["in_force"] for change in changes):
        print("rules compare with the training data")
    if changes:
        print_table(
            ("id", "at", "action", "from", "to", "n", "author", "reason", "model", "columns", "in force for"),
            (
                (c["id"], c["at"], c["action"], c["start"], c["end"], c["n"], c["author"], c["reason"])
                + (c["model_version"], ", ".join(c["columns"]), ", ".join(c["in_force"]))
                for c in changes
            ),
            right=(0, 5),
        )
    return 0
