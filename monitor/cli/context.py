"""What all commands share: the settings, the database, and how a table is printed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from monitor.clock import from_iso
from monitor.config.load import Config
from monitor.config.settings import duration
from monitor.errors import ConfigError, StoreError
from monitor.store.file.database import connect_read_only
from monitor.store.file.folder import DATABASE


class Commands(Protocol):
    """What `argparse` calls its subparsers."""

    def add_parser(self, name: str, *, help: str, **options: Any) -> argparse.ArgumentParser:  # noqa: A002 - argparse's word
        """Add a command."""


def add_command(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    """Add a command with the options that all have."""
    parser = commands.add_parser(name, help=text, description=text)
    add_common(parser)
    return parser


def add_common(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add the options that all commands have."""
    help_text = "settings (default: config.toml, where there is one)"
    parser.add_argument("--config", metavar="FILE", default=default, help=help_text)
    parser.add_argument("--data", metavar="DIR", default=default, help="data folder; wins over the file")


def load_config(options: argparse.Namespace) -> Config:
    """Settings, with `--data` on top. Raises ConfigError."""
    config = Config.load(options.config)
    path = config.data.path if options.data is None else options.data
    return dataclasses.replace(config, data=dataclasses.replace(config.data, path=path))


@contextmanager
def reading(config: Config, file: Path | None = None, any_version: bool = False) -> Iterator[sqlite3.Connection]:
    """A read-only connection to the data folder's database, or to a snapshot of it. Raises StoreError."""
    path = file or Path(config.data.path) / DATABASE
    connection = connect_read_only(path, any_version)
    try:
        yield connection
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path}: cannot be read: {error}; `python -m monitor verify` names what is damaged"
        ) from error
    finally:
        connection.close()


def print_json(data: object) -> None:
    """Print for a program to read."""
    json.dump(data, sys.stdout, indent=1, ensure_ascii=False, default=str)
    print()


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()) -> None:
    """Print columns side by side; `right`: which of them hold numbers. Long lines are left whole for pipes."""
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *texts]) for i in range(len(head))]
    width = shutil.get_terminal_size((200, 24)).columns if sys.stdout.isatty() else 10_000
    for row in [list(head), *texts]:
        line = "  ".join(text.rjust(widths[i]) if i in right else text.ljust(widths[i]) for i, text in enumerate(row))
        print(line.rstrip()[:width])


def cell(value: object) -> str:
    """Write a value in a table: a dash for nothing, four digits of a number.

    >>> cell(None), cell(0.123456), cell(12), cell("a")
    ('-', '0.1235', '12', 'a')
    """
    if value is None or value == "":
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def moment(text: str, now: float, option: str, ahead: bool = False) -> float:
    """Read a moment: ISO 8601, or how long before `now` it is; after `now` if it lies ahead. Raises ConfigError.

    >>> moment("1h", 7200.0, "--from"), moment("1970-01-01T00:00:30Z", 7200.0, "--from")
    (3600.0, 30.0)
    """
    try:
        return now + duration(text) if ahead else now - duration(text)
    except ValueError:
        pass
    try:
        return from_iso(text)
    except ValueError:
        raise ConfigError(
            f"{option}: expected a time such as 2026-03-01T00:00Z, or a length of time such as 10m or 7d, got {text!r}"
        ) from None
