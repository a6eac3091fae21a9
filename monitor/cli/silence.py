"""Commands that change what the store holds: `silence`. A running server is asked to; else they do it themselves."""

from __future__ import annotations

import argparse
import getpass
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitor.cli.context import Commands, add_command, load_config, moment, print_table, reading
from monitor.clock import Clock, SystemClock, iso
from monitor.config.load import Config
from monitor.config.settings import duration
from monitor.errors import InputError, LockedError, StoreError, TelltaleError
from monitor.rules.silence import Silence, new_silence
from monitor.store.file.database import open_database
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import Writer
from monitor.store.records import command_inbox as inbox
from monitor.store.records.alerts import list_silences
from monitor.store.records.references import served_model
from monitor.store.windows.retention import Maintenance

#: How long a command waits for the server to take its request, in seconds.
PATIENCE = 10.0


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(commands, "silence", "Mute alerts for a while; without matchers, list the silences.")
    parser.add_argument(
        "matchers", nargs="*", metavar="LABEL=GLOB", help="rule=..., column=..., role=..., severity=..."
    )
    parser.add_argument("--for", dest="length", metavar="DURATION", default="4h", help='for how long (default "4h")')
    parser.add_argument("--until", metavar="WHEN", help="until when: ISO 8601, UTC, or in how long; wins over --for")
    parser.add_argument("--reason", default="", help="why; kept with who did it and when")
    parser.add_argument("--author", default="", help="who (default: the user's name)")
    parser.add_argument("--expire", metavar="ID", help="end a silence now")
    parser.set_defaults(run=silence)


def silence(options: argparse.Namespace) -> int:
    """`python -m monitor silence`."""
    config, clock = load_config(options), SystemClock()
    if options.expire:
        refuse_unknown(config, options.expire, clock)
        request(config, {"kind": "expire", "id": options.expire}, clock)
        print(f"silence {options.expire} has ended")
        return 0
    if not options.matchers:
        return show(config, clock)
    made = new_silence(
        dict(matcher(text) for text in options.matchers),
        clock.time(),
        until(options, clock),
        options.author or getpass.getuser(),
        options.reason or "no reason given",
        config.rules,
        columns_of(config),
    )
    request(config, {"kind": "silence", "silence": {**asdict(made), "matchers": dict(made.matchers)}}, clock)
    print(f"silence {made.id} for {made.text} until {iso(made.end)}")
    print(f"end it with: python -m monitor silence --expire {made.id}")
    return 0


def refuse_unknown(config: Config, silence_id: str, clock: Clock) -> None:
    """Refuse to end a silence that is not in force. Raises InputError."""
    with reading(config) as connection:
        known = [one.id for one in list_silences(connection, clock.time())]
    if silence_id not in known:
        raise InputError("silence", f"no silence {silence_id!r} is in force; in force: {', '.join(known) or 'none'}")


def show(config: Config, clock: Clock) -> int:
    """List the silences that have not ended."""
    with reading(config) as connection:
        silences = list_silences(connection, clock.time())
    if not silences:
        print("no silence is in force")
        return 0
    print_silences(silences)
    return 0


def print_silences(silences: Sequence[Silence]) -> None:
    """List silences, the one that ends first at the top."""
    rows = ((one.id, one.text, iso(one.end), one.author, one.reason) for one in sorted(silences, key=lambda s: s.end))
    print_table(("id", "silences", "until", "author", "reason"), rows)


def columns_of(config: Config) -> list[str]:
    """Names of the columns of the model that was served last; empty if there is no database or no model yet."""
    try:
        with reading(config) as connection:
            return [column.name for column in served_model(connection).schema.columns]
    except (StoreError, ValueError):
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


def until(options: argparse.Namespace, clock: Clock) -> float:
    """When the silence ends. Raises InputError."""
    if options.until:
        return moment(options.until, clock.time(), "--until", ahead=True)
    try:
        return clock.time() + duration(options.length)
    except ValueError as error:
        raise InputError("time", str(error)) from None


def request(config: Config, what: Mapping[str, Any], clock: Clock, patience: float = PATIENCE) -> None:
    """Have a change made: by the server that runs on the data folder, or here if none does. Raises TelltaleError.

    `patience`: how long to wait for the server, in seconds.
    """
    folder = DataFolder(Path(config.data.path))
    try:
        folder.open()
    except LockedError:
        ask(folder.path, what, clock, patience)
        return
    try:
        connection, _ = open_database(folder, clock)
        writer = Writer(connection, lambda: None, interval=1.0)
        try:
            maintenance = Maintenance(config.data, folder)
            inbox.carry_out(writer, folder, what, clock.time(), maintenance)
        finally:
            writer.stop()
    finally:
        folder.close()


def ask(data: Path, what: Mapping[str, Any], clock: Clock, patience: float) -> None:
    """Leave a note for the server, and wait until it is taken."""
    try:
        note = inbox.put(data, what)
    except OSError as error:
        raise TelltaleError(f"{data / inbox.INBOX}: cannot be written to: {error.strerror or error}") from error
    deadline = clock.monotonic() + patience
    never = threading.Event()
    while note.exists():
        if clock.monotonic() > deadline:
            raise TelltaleError(f"the server has not taken the request within {patience:g} seconds; its file is {note}")
        clock.wait(never, 0.05)
    if note.with_suffix(".rejected").exists():
        raise TelltaleError("the server has refused the request; its log says why")
