"""Commands that change what the store holds: `silence`, `erase`, `prune`. A running server is asked to do it."""

from __future__ import annotations

import argparse
import getpass
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitor import questions, words
from monitor.capture.names import Name
from monitor.cli.command import (
    BY,
    COLUMNS,
    DRY_RUN,
    Answer,
    ahead,
    command,
    length_option,
    option,
    reading,
    when_option,
)
from monitor.cli.show import silence_table
from monitor.clock import Clock, SystemClock, iso
from monitor.columns.column import Column
from monitor.config.load import Config
from monitor.errors import ConfigError, InputError, LockedError, StoreError, TelltaleError
from monitor.outcomes.results import names_of
from monitor.rules.cover import closeness
from monitor.rules.silence import new_silence
from monitor.store.file.database import open_database
from monitor.store.file.folder import DataFolder, refuse_second
from monitor.store.file.writer import Writer
from monitor.store.records import changes
from monitor.store.records.alerts import list_silences
from monitor.store.records.erase import Wanted, columns_of_category, find, moved_aside
from monitor.store.windows.retention import Maintenance
from monitor.store.windows.rows import load_version

#: Seconds that a command waits for the server; `erase` has the whole database rewritten.
PATIENCE, PATIENCE_LONG = 40.0, 600.0


@command(
    "silence",
    "Mute alerts for a while; without matchers, list the silences.",
    option("matchers", nargs="*", metavar="LABEL=GLOB", help="rule=..., column=..., role=..., severity=..."),
    length_option("--for", dest="length", default="4h", help='for how long (default "4h")'),
    when_option("--until", read=ahead, help="until when: ISO 8601, UTC, or in how long; wins over --for"),
    option("--expire", metavar="ID", help="end a silence now"),
    *BY,
)
def silence(options: argparse.Namespace, config: Config) -> Answer:
    clock = SystemClock()
    if options.expire:
        request(config, {"kind": "expire", "id": options.expire}, clock)
        return Answer([f"silence {options.expire} has ended"], {"ended": options.expire})
    if not options.matchers:
        with reading(config) as connection:
            silences = list_silences(connection, clock.time())
        return Answer(silence_table(silences) if silences else ["no silence is in force"], {"silences": silences})
    now = clock.time()
    end = options.until(now) if options.until else now + options.length
    matchers = dict(map(matcher, options.matchers))
    made = new_silence(matchers, now, end, **by(options), rules=config.rules, columns=columns_of(config))
    request(config, {"kind": "silence", "silence": {**asdict(made), "matchers": dict(made.matchers)}}, clock)
    to_end_it = f"end it with: {words.program()} silence --expire {made.id}"
    return Answer([f"silence {made.id} for {made.text} until {iso(made.end // 1)}", to_end_it], {"silence": made})


@command("prune", "Roll up and drop what [data] says, now rather than minute by minute.")
def prune(_options: argparse.Namespace, config: Config) -> Answer:
    request(config, {"kind": "prune"}, SystemClock())
    return Answer(["rolled up and deleted old data as [data] says"], {"pruned": True})


@command("reload", "Have the server read the settings again: new versions of models, new models, rules.")
def reload(_options: argparse.Namespace, config: Config) -> Answer:
    """`reload`: waits until it is done. Raises TelltaleError if it was refused: everything stays as it was."""
    data = Path(config.data.path)
    try:
        refuse_second(data)
    except LockedError:
        what = ask(data, "reload", PATIENCE_LONG)
        return Answer([f"reloaded: {what}"], {"reloaded": what})
    raise StoreError(f"{data}: no server runs on this folder; a start reads the settings")


@command(
    "erase",
    "Erase unseen values that are kept by name: of all columns, or of some.",
    COLUMNS,
    option("--value", metavar="TEXT", help="only this value"),
    DRY_RUN,
    *BY,
)
def erase(options: argparse.Namespace, config: Config) -> Answer:
    """`erase`: wherever the data folder has the values. Raises TelltaleError."""
    folder = DataFolder(Path(config.data.path))
    with reading(config) as connection:
        columns = choose(columns_of_category(connection), options.columns) if options.columns else None
        wanted = Wanted(None if columns is None else frozenset(columns), options.value)
        matches = find(connection, folder.path, wanted)
    aside = moved_aside(folder)
    if not options.dry_run:
        what = {"kind": "erase", "columns": columns, "value": options.value, **by(options)}
        request(config, what, SystemClock(), PATIENCE_LONG)
    verb = "would be erased" if options.dry_run else "erased"
    kept = [(name, role, len(values)) for (role, name), values in sorted(matches.kept.items())]
    rows = [(name or "of a model that was dropped", *rest) for name, *rest in kept]
    texts = f"{words.counted(len(matches.verdicts), 'verdict')} and {words.counted(len(matches.messages), 'message')}"
    lines = [*words.table(("column", "role", f"values {verb}"), sorted(rows), right=[2]), ""] if matches.kept else []
    values = words.counted(matches.values, "unseen value")
    lines.append(f"{values} {verb}, and named no more in {texts}; counts and numbers stay")
    would = "would be " * options.dry_run
    lines += [f"{files.paths[0]}: {would}deleted; nothing can be erased in a damaged database" for files in aside]
    lines.append(
        "not in reach: snapshots and reports, messages that were delivered, logs; values that come again are kept again"
    )
    data = {
        "dry_run": options.dry_run,
        "values": matches.values,
        "columns": [dict(zip(("column", "role", "values"), row, strict=True)) for row in kept],
        "verdicts": len(matches.verdicts),
        "messages": len(matches.messages),
        "deleted": [str(files.paths[0]) for files in aside],
    }
    return Answer(lines, data)


def by(options: argparse.Namespace) -> dict[str, str]:
    """Who asks for a change, and why."""
    return {"author": options.author or getpass.getuser(), "reason": options.reason}


def choose(columns: list[Name], patterns: list[str]) -> list[Name]:
    """The columns that patterns name. Raises ConfigError for one that fits none."""
    chosen = set()
    for pattern in patterns:
        fits = {key for key in columns if closeness(pattern, Column(key[1], key[0], "categorical")) is not None}  # type: ignore[arg-type]
        if not fits:
            known = ", ".join(sorted({name for _, name in columns})) or "none"
            raise ConfigError(f"no categorical column fits {pattern!r}; there are: {known}")
        chosen |= fits
    return sorted(chosen)


def columns_of(config: Config) -> list[str]:
    """Names of what alerts of the model that was served last may be about; empty without a database or a model."""
    try:
        with reading(config) as connection:
            served = [load_version(connection, model=name) for name in (config.names if config.models else (None,))]
            columns = [column.name for series in served for column in series.schema.columns]
            return [*columns, *(name for series in served for name in names_of(series.reference.target))]
    except StoreError:
        return []


def matcher(text: str) -> tuple[str, str]:
    """Read `column=s*`. Raises InputError.

    >>> matcher("column=s*")
    ('column', 's*')
    """
    label, sign, glob = text.partition("=")
    if not sign or not label:
        raise InputError("matcher", f"expected LABEL=GLOB, such as column=bmi, got {text!r}")
    return label, glob


def request(config: Config, what: Mapping[str, Any], clock: Clock, patience: float = PATIENCE) -> None:
    """Have a change made: by the server that runs on the data folder, or here if none does. Raises TelltaleError.

    `patience`: how long to wait for the server, in seconds.
    """
    folder = DataFolder(Path(config.data.path))
    try:
        folder.open()
    except LockedError:
        ask(folder.path, "change", patience, what)
        return
    try:
        connection, _ = open_database(folder, clock)
        writer = Writer(connection, lambda: None, interval=1.0)
        try:
            maintenance = Maintenance(config.data, folder)
            changes.carry_out(writer, folder, what, clock.time(), maintenance)
        finally:
            writer.stop()
    finally:
        folder.close()


def ask(data: Path, name: str, patience: float, *arguments: Any) -> Any:
    """Ask the process that holds the folder. Raises what it raises, as a TelltaleError."""
    try:
        return questions.ask(data, name, arguments, {}, patience)
    except (OSError, EOFError) as error:
        raise StoreError(f"{data}: the process that holds it cannot be asked ({error!r})") from error
    except (ValueError, KeyError, TypeError, sqlite3.Error) as error:
        raise TelltaleError(f"refused: {error}") from error
