"""What all commands share: how one is declared, its settings, the database, and how its answer is printed."""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from tqdm import tqdm

from monitor import words
from monitor.clock import SystemClock
from monitor.config.load import Config
from monitor.config.settings import duration, moment
from monitor.drift.result import Span
from monitor.errors import ConfigError, StoreError
from monitor.rules.alert import period_around
from monitor.store.file.database import connect_read_only
from monitor.store.file.folder import DATABASE
from monitor.store.records.alerts import moves_of

#: Names and keywords of an option, as `argparse.ArgumentParser.add_argument` takes them.
Option = tuple[tuple[str, ...], dict[str, Any]]


class Answer(NamedTuple):
    """What a command prints: `lines` for people, or `data` with `--json`; and the exit code of the process."""

    lines: Iterable[str]
    data: Any = None
    code: int = 0


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all errors of commands are."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(f"{message}; --help lists the options")


#: Runs a command with its options and the settings.
Run = Callable[[argparse.Namespace, Config], Answer]


class Command(NamedTuple):
    """One command."""

    run: Run
    text: str
    options: tuple[Option, ...]
    one: bool
    json: bool

    def add_to(self, commands: Any, name: str, default: str | None) -> argparse.ArgumentParser:
        """Add the parser of the command. `default`: of the options that all commands have."""
        parser: argparse.ArgumentParser = commands.add_parser(name, help=self.text, description=self.text)
        options = [
            option("--config", metavar="FILE", default=default, help="settings (default: config.toml, if it exists)"),
            option("--data", metavar="DIR", default=default, help="data folder; wins over the file"),
            option("--model", metavar="NAME", default=default, help="which model; needed only if there are several"),
            *self.options,
        ]
        if self.json:
            options.append(option("--json", action="store_true", default=default or False, help=JSON))
        for names, keywords in options:
            parser.add_argument(*names, **keywords)
        parser.set_defaults(run=self.run, one=self.one)
        return parser


#: The commands of the modules that are loaded, by name. One whose name has two words is an action of the first.
COMMANDS: dict[str, Command] = {}


def command(name: str, text: str, *options: Option, one: bool = False, json: bool = True) -> Callable[[Run], Run]:
    """Declare a function as a command, with the text of its `--help`. It may raise TelltaleError.

    `one`: it is about one model, and gets its settings. `json`: it has `--json`.
    """

    def register(run: Run) -> Run:
        COMMANDS[name] = Command(run, text, options, one, json)
        return run

    return register


def option(*names: str, **keywords: Any) -> Option:
    """Describe an option or an argument of a command."""
    return names, keywords


def _time(text: str, ahead: bool) -> Callable[[float], float]:
    """Check a time of the command line; what it means depends on the moment that it is given."""
    try:
        moment(text, SystemClock().time(), ahead)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return lambda now: moment(text, now, ahead)


#: Read a time of the command line; a length of time is how long ago it was, or how far ahead it is.
when, ahead = partial(_time, ahead=False), partial(_time, ahead=True)


def length(text: str) -> float:
    """Read a length of time of the command line, in seconds."""
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def when_option(*names: str, read: Callable[[str], Callable[[float], float]] = when, **keywords: Any) -> Option:
    """Describe an option that takes a time."""
    return option(*names, type=read, metavar="WHEN", **keywords)


def length_option(*names: str, **keywords: Any) -> Option:
    """Describe an option that takes a length of time."""
    return option(*names, type=length, metavar="DURATION", **keywords)


WHEN = "ISO 8601, UTC, or how long ago, as 7d; yesterday; monday; now; all"

JSON = "print JSON: docs/commands.md has the keys"
VERSION = option("--model-version", metavar="VERSION", help="model version (default: the one served last)")
DRY_RUN = option("--dry-run", action="store_true", help="show what would change, and change nothing")
FORCE = option("--force", action="store_true", help="replace a file that Telltale did not write")
COLUMNS = option("columns", nargs="*", metavar="COLUMN", help="a name, a glob, or role:prediction (default: all)")
#: Who changes something, and why.
BY = (
    option("--reason", default="no reason given", help="why; kept with who did it and when"),
    option("--author", default="", help="who (default: the user's name)"),
)


def period(default: str | None) -> tuple[Option, Option]:
    """Return the options `--from` and `--to`, which begins so long ago by default, or with all that is stored."""
    start, end = (default, "now") if default else ("all", "the last window")
    return (
        when_option("--from", dest="start", default=default, help=f"{WHEN} (default: {start})"),
        when_option("--to", dest="end", default=default and "now", help=f"the same (default: {end})"),
    )


AROUND = option("--around", metavar="EVENT", help="the period around an alert instead, by the id of its event")


def period_of(connection: sqlite3.Connection, options: argparse.Namespace, now: float) -> Span:
    """Return the period from `--from` to `--to`, or `--around` an alert. Raises ConfigError, StoreError."""
    moves = moves_of(connection, options.around or "")
    if options.around and not moves:
        raise StoreError(f"--around: no alert has the event id {options.around!r}; `alerts` lists the last ones")
    return period_around(moves, now) if moves else span_of(options, now)


def bar(options: argparse.Namespace, what: str, total: float | None, unit: str) -> Any:
    """A progress bar on a terminal, after a second; none elsewhere, and none with `--json`."""
    off = getattr(options, "json", False) or None
    return tqdm(total=total, desc=what, unit=unit, unit_scale=True, disable=off, delay=1, leave=False, mininterval=0.3)


def load_config(options: argparse.Namespace) -> Config:
    """Settings, with `--data` on top: of one model if there are several and the command is about one.

    Raises ConfigError.
    """
    config = Config.load(options.config)
    if config.models and (options.one or options.model):
        config = config.of(options.model)
        options.model = config.model.name
    return config if options.data is None else config.at(options.data)


@contextmanager
def reading(config: Config, file: Path | None = None, any_version: bool = False) -> Iterator[sqlite3.Connection]:
    """A read-only connection to the data folder's database, or to a snapshot of it. Raises StoreError."""
    path = file or Path(config.data.path) / DATABASE
    connection = connect_read_only(path, any_version)
    try:
        yield connection
    except sqlite3.DatabaseError as error:
        named = f"`{words.program()} verify` names what is damaged"
        raise StoreError(f"{path}: cannot be read: {error}; {named}") from error
    finally:
        connection.close()


def show(answer: Answer, as_json: bool) -> None:
    """Print an answer."""
    if as_json:
        text = json.dumps(
            answer.data, indent=1, ensure_ascii=False, default=lambda x: getattr(x, "to_json", x.__str__)()
        )
        print(text)
    else:
        width = words.line_width()
        for line in answer.lines:
            for part in line.split("\n"):
                print("\n".join(words.fit(part, width)))


def span_of(options: argparse.Namespace, now: float) -> Span:
    """Return the period from `--from` to `--to`. Raises ConfigError."""
    span = Span(options.start(now), options.end(now))
    if span.end <= span.start:
        raise ConfigError("--to must be after --from")
    return span
