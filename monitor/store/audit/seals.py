"""Seals: what the rows of each table must add up to, so that no row can be changed, added or deleted unnoticed.

A seal belongs to a block of a table's rows, by their numbers, and has their count and the sum of their SHA-256. Code
that writes rows adds their digests; code that changes or deletes rows first takes away the digests that they then have.
So a row that anything but Telltale has changed leaves a difference that no later change, roll-up or pruning removes.

A table is covered by one line in `SEALED`, and by `add`, `appended`, `changing` or `delete` around what writes to it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

SUM_BYTES = 16
MODULUS = 1 << 8 * SUM_BYTES
#: What each row that was ever added to a block leaves in its sum: so `added` cannot be changed either.
ADDED = int.from_bytes(hashlib.sha256(b"added").digest()[:SUM_BYTES])
#: Made once: `json.dumps` would make one for each row.
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=repr).encode


class Sealed(NamedTuple):
    """How a table is covered. `size`: numbers in a block; 0: the table is one block, and its rows may change.

    `columns`: those that never change; `where`: which rows are final; `day`: SQL for the day that a row is of.
    """

    size: int = 0
    columns: str = "*"
    where: str = "1"
    day: str = "''"


SEALED = {
    "series": Sealed(64, "id, model, version, name, model_sha256, reference_sha256, reference, first_served"),
    "columns": Sealed(1024),
    "windows": Sealed(1024, "id, series_id, seconds, start, n, children", "sealed", "date(start, 'unixepoch')"),
    "sealed_counts": Sealed(  # those of 256 windows
        25_600_000, day="(SELECT date(start, 'unixepoch') FROM windows w WHERE w.id = sealed_counts.id / 100000)"
    ),
    "questions": Sealed(64),
    "drift": Sealed(4096, day="substr(at, 1, 10)"),
    "alert_events": Sealed(1024, day="substr(at, 1, 10)"),
    "gaps": Sealed(64, day='substr("start", 1, 10)'),
    "reference_changes": Sealed(64, day="substr(at, 1, 10)"),
    "erasures": Sealed(64, day="substr(at, 1, 10)"),
    "notifications": Sealed(day="substr(at, 1, 10)"),
    "notification_groups": Sealed(),
    "notification_totals": Sealed(),
    "alerts": Sealed(),
    "silences": Sealed(),
    "unseen_values": Sealed(),
    "usual_learned": Sealed(1024, day="substr(day, 1, 10)"),
    "usual_weeks": Sealed(),
    "window_correlation": Sealed(1024, day="substr(at, 1, 10)"),
    "meta": Sealed(),
    "sources": Sealed(),
    "id_tokens": Sealed(1024),
    "tallies": Sealed(),
    "performance_sums": Sealed(columns="id, series_id, seconds, start, sums", day="date(start, 'unixepoch')"),
    "outcome_delays": Sealed(),
    "performance_judged": Sealed(1024, day="substr(at, 1, 10)"),
}

#: Number of rows and sum of digests by block.
Sums = dict[int, tuple[int, int]]


class Seal(NamedTuple):
    """What a block must add up to, and how many rows were added to it in all: the difference was pruned."""

    rows: int = 0
    sum: int = 0
    added: int = 0


@contextmanager
def reading_damage(connection: sqlite3.Connection) -> Iterator[None]:
    """Let a connection read texts in which a flipped bit has left what is no UTF-8."""
    factory = connection.text_factory
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        connection.text_factory = factory


def sums(connection: sqlite3.Connection, table: str, where: str, *values: object) -> Sums:
    """Add up some rows of a table as they are now.

    A digest is of the row as JSON, in which each number has one spelling: 1 is not 1.0, and 0.1 is exact.
    """
    try:
        return _sums(connection, table, where, values)
    except sqlite3.OperationalError:  # as for a text that is no UTF-8; reading each by a function is slow
        with reading_damage(connection):
            return _sums(connection, table, where, values)


def _sums(connection: sqlite3.Connection, table: str, where: str, values: tuple[object, ...]) -> Sums:
    sealed, by_block = SEALED[table], Sums()
    block = f"id / {sealed.size}" if sealed.size else "0"
    cursor = connection.cursor()
    cursor.row_factory = None
    rows = cursor.execute(f"SELECT {block}, {sealed.columns} FROM {table} WHERE {where}", values)  # noqa: S608
    for row in rows:
        number, digest = row[0], hashlib.sha256(_ENCODE(row[1:]).encode("utf-8", "surrogateescape")).digest()
        count, total = by_block.get(number, (0, 0))
        by_block[number] = count + 1, (total + int.from_bytes(digest[:SUM_BYTES])) % MODULUS
    return by_block


def add(connection: sqlite3.Connection, table: str, where: str = "1", *values: object) -> None:
    """Seal rows that have just been written, or have become final."""
    _write(connection, table, {}, sums(connection, table, where, *values))


def delete(connection: sqlite3.Connection, table: str, where: str, *values: object) -> int:
    """Delete sealed rows; how many that were."""
    _write(connection, table, sums(connection, table, where, *values), {})
    return connection.execute(f"DELETE FROM {table} WHERE {where}", values).rowcount  # noqa: S608 - the caller's own SQL


@contextmanager
def appended(connection: sqlite3.Connection, table: str) -> Iterator[None]:
    """Seal the rows that are appended within."""
    (last,) = connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()  # noqa: S608 - a constant
    yield
    add(connection, table, "id > ?", last)


@contextmanager
def changing(connection: sqlite3.Connection, table: str, where: str = "1", *values: object) -> Iterator[None]:
    """Seal again the rows that are changed within; `where` must find them before and after."""
    before = sums(connection, table, where, *values)
    yield
    _write(connection, table, before, sums(connection, table, where, *values))


def _write(connection: sqlite3.Connection, table: str, before: Sums, after: Sums) -> None:
    grows = bool(SEALED[table].size)
    for block in before.keys() | after.keys():
        less, more = before.get(block, (0, 0)), after.get(block, (0, 0))
        seal = read_seals(connection, table, block).get(block, Seal())
        grown = more[0] * grows
        total = (seal.sum + more[1] - less[1] + grown * ADDED) % MODULUS
        connection.execute(
            'INSERT OR REPLACE INTO seals ("table", block, rows, sum, added) VALUES (?, ?, ?, ?, ?)',
            (table, block, seal.rows + more[0] - less[0], total.to_bytes(SUM_BYTES), seal.added + grown),
        )


def read_seals(connection: sqlite3.Connection, table: str, block: int | None = None) -> dict[int, Seal]:
    """Seals of a table, or one of them, by block."""
    rows = connection.execute(
        'SELECT block, rows, sum, added FROM seals WHERE "table" = ?1 AND (?2 IS NULL OR block = ?2) ORDER BY block',
        (table, block),
    )
    return {row[0]: Seal(row[1], int.from_bytes(row[2]), row[3]) for row in rows}
