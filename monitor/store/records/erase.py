"""Erases unseen values that are kept by name: in the table, in verdicts and messages, and in the journal.

`find` only reads, for a preview; `erase` is for the writer's thread. What is erased is neither in free pages nor in the
WAL afterwards. The numbers stay, and a row of `erasures` says who erased what and when; the values are not in it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.capture.names import UNKNOWN, Name, erase_names, kept_names
from monitor.clock import iso
from monitor.columns.column import Schema
from monitor.drift.direction import without_names
from monitor.store.audit import seals
from monitor.store.file import damaged_files
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import Writer
from monitor.store.records.rows import append
from monitor.store.windows.rows import load_series


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be erased: the unseen values of some columns, or of all; with `value` only that one."""

    columns: frozenset[Name] | None = None
    value: str | None = None

    def __contains__(self, value: tuple[Name, str]) -> bool:
        return self.of(value[0]) and self.value in (None, value[1])

    def of(self, column: Name) -> bool:
        """Whether values of a column are to be erased."""
        return self.columns is None or column in self.columns or column == UNKNOWN

    def without(self, column: Name, text: str) -> str:
        """Take the names of values of a column out of a sentence."""
        return without_names(text, self.value) if self.of(column) else text


@dataclass(slots=True)
class Found:
    """What is to be erased. `kept`: values by column. `verdicts`, `messages`: new texts by id."""

    kept: dict[Name, set[str]] = field(default_factory=dict)
    verdicts: dict[int, str] = field(default_factory=dict)
    messages: dict[int, tuple[str, str | None]] = field(default_factory=dict)

    @property
    def values(self) -> int:
        """How many values are kept."""
        return sum(map(len, self.kept.values()))


def columns_of_category(connection: sqlite3.Connection) -> list[Name]:
    """The columns of all model versions that can have unseen values."""
    rows = connection.execute("SELECT DISTINCT role, name FROM columns WHERE kind = 'categorical' ORDER BY 1, 2")
    return [tuple(row) for row in rows]


def find(connection: sqlite3.Connection, data: Path, wanted: Wanted) -> Found:
    """Find what is to be erased in the database and in the journals of a data folder. Raises OSError."""
    matches = Found()

    def keep(column: Name, value: str) -> None:
        if (column, value) in wanted:
            matches.kept.setdefault(column, set()).add(value)

    with seals.reading_damage(connection):
        for role, name, value in connection.execute(
            "SELECT c.role, c.name, u.value FROM unseen_values u JOIN columns c ON c.id = u.column_id"
        ):
            keep((role, name), value)
        for number, role, name, text in connection.execute(
            "SELECT id, role, \"column\", direction FROM drift WHERE direction LIKE '%unseen value%'"
        ):
            if (after := wanted.without((role, name), text)) != text:
                matches.verdicts[number] = after
        for number, text, answer in connection.execute(
            "SELECT id, message, answer FROM notifications WHERE message LIKE '%unseen value%'"
        ):
            if (changed := _without(text, answer, wanted)) is not None:
                matches.messages[number] = changed
    for column, value in kept_names(data, _schemas(connection)):
        keep(column, value)
    return matches


def moved_aside(folder: DataFolder) -> list[damaged_files.Evidence]:
    """Databases that were moved aside as damaged: names in them cannot be erased, so they are deleted."""
    return [file for file in damaged_files.find(folder) if file.database]


def erase(writer: Writer, folder: DataFolder, request: Mapping[str, Any], now: float) -> None:
    """Do what a request asks, on the writer's thread.

    Raises KeyError or TypeError for a request that is malformed, and StoreError if the file cannot be rewritten: the
    values are then erased, and may still be in its free pages or in the WAL.
    """
    columns = request["columns"]
    chosen = None if columns is None else frozenset((str(role), str(name)) for role, name in columns)
    wanted = Wanted(chosen, None if request["value"] is None else str(request["value"]))

    def run(connection: sqlite3.Connection) -> None:
        matches = find(connection, folder.path, wanted)
        erase_names(folder.path, _schemas(connection), lambda column, value: (column, value) in wanted)
        _erase_from_database(connection, wanted, matches)
        row = {
            "at": iso(now),
            "columns": json.dumps(sorted(matches.kept.keys() - {UNKNOWN}) if chosen is None else sorted(chosen)),
            "erased": matches.values,
            "verdicts": len(matches.verdicts),
            "messages": len(matches.messages),
            "author": str(request["author"]),
            "reason": str(request["reason"]),
        }
        append(connection, "erasures", [row])

    writer.transaction(run)
    damaged_files.drop(moved_aside(folder), "since nothing can be erased in it")
    writer.rewrite()


def _erase_from_database(connection: sqlite3.Connection, wanted: Wanted, matches: Found) -> None:
    rows = connection.execute(
        "SELECT c.id, c.role, c.name FROM columns c WHERE EXISTS (SELECT 1 FROM unseen_values WHERE column_id = c.id)"
    ).fetchall()
    for column_id, role, name in rows:
        if wanted.of((role, name)):
            which = "column_id = ? AND (? IS NULL OR value = ?)"
            seals.delete(connection, "unseen_values", which, column_id, wanted.value, wanted.value)
    for table, change, texts in (
        ("drift", "direction = ?", {number: (text,) for number, text in matches.verdicts.items()}),
        ("notifications", "message = ?, answer = ?", matches.messages),
    ):
        with seals.changing(connection, table, "id IN (SELECT value FROM json_each(?))", json.dumps(list(texts))):
            connection.executemany(
                f"UPDATE {table} SET {change} WHERE id = ?",  # noqa: S608 - constants
                [(*new, number) for number, new in texts.items()],
            )


def _schemas(connection: sqlite3.Connection) -> list[Schema]:
    rows = connection.execute("SELECT id FROM series ORDER BY id").fetchall()
    return [load_series(connection, number).schema for (number,) in rows]


def _without(text: str, answer: str | None, wanted: Wanted) -> tuple[str, str | None] | None:
    """Write a stored message and the provider's answer without the names. Returns None if the message has none."""
    message = json.loads(text)
    changed: list[str] = []
    for entry in message["entries"]:
        after = wanted.without((entry["role"], entry["column"]), entry["direction"])
        if after != entry["direction"]:
            changed += [entry["direction"], *entry["names"]]
            entry["direction"], entry["names"] = after, []
    answers = message.get("answers", "")
    predicted = wanted.columns is None or any(role == "prediction" for role, _ in wanted.columns)
    if predicted and (after := without_names(answers, wanted.value)) != answers:
        changed.append(answers)
        message["answers"] = after
    if not changed:
        return None
    if answer and any(echoed in answer for echoed in changed):
        answer = "(erased: it repeated an unseen value)"
    return json.dumps(message, allow_nan=False, separators=(",", ":")), answer
