"""Checks a database against itself: whether every row is still what Telltale wrote.

`verify` adds up every sealed table and compares; `recompute` works verdicts out again from the stored counts. Both only
read, and work beside a running server. Of a damaged file they tell as much as can be read.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from monitor.store.audit import consistency
from monitor.store.audit.consistency import Finding
from monitor.store.audit.seals import SEALED, Seal, read_seals, reading_damage, sums
from monitor.store.file.migrations import migrate
from monitor.store.windows.counts import SLOTS


class Problem(NamedTuple):
    """One thing that is not as it was written: where (`windows 17 to 64`), and what is wrong."""

    where: str
    what: str


class Head(NamedTuple):
    """What is sealed of a table: rows that are there, and rows that were pruned."""

    table: str
    rows: int
    pruned: int


@dataclass
class Report:
    """What `verify` found. No problems mean that all is as it was written."""

    problems: list[Problem] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    anchor: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "ok": self.ok,
            "problems": [problem._asdict() for problem in self.problems],
            "tables": [head._asdict() for head in self.heads],
            "anchor": self.anchor,
        }


def verify(connection: sqlite3.Connection, anchor: str = "") -> Report:
    """Check everything. `anchor`: what `Report.anchor` said at an earlier time, kept outside of the database."""
    report = Report()
    factory, connection.row_factory = connection.row_factory, None
    connection.execute("PRAGMA cell_size_check = 1")
    checks: dict[str, Callable[[sqlite3.Connection], Iterator[Finding]]] = {
        "schema": _check_schema,
        **{table: _table_check(table, report) for table in SEALED},
        "open windows": consistency.open_windows,
        "window rules": consistency.windows,
        "totals": consistency.totals,
        "seals": _check_seals,
        "keys": _check_keys,
        "database": _check_file,  # last, since a row that was changed says more than the index that misses it
    }
    began = not connection.in_transaction
    if began:
        connection.execute("BEGIN")  # one moment, whatever the server writes meanwhile
    try:
        with reading_damage(connection):
            for name, check in checks.items():
                try:
                    report.problems.extend(Problem(*finding) for finding in check(connection))
                except Exception as error:  # noqa: BLE001 - a flipped bit can show as anything
                    report.problems.append(Problem(name, f"cannot be read: {error}"))
            report.problems.extend(Problem("anchor", what) for what in _compare(connection, anchor))
            report.anchor = " ".join(_anchors(connection))
    except Exception as error:  # noqa: BLE001 - as above
        report.problems.append(Problem("seals", f"cannot be read: {error}"))
    finally:
        if began and connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.row_factory = factory
    return report


def _check_file(connection: sqlite3.Connection) -> Iterator[Finding]:
    """SQLite's own check: pages, indexes, types."""
    for (text,) in connection.execute("PRAGMA integrity_check(10)"):
        if text != "ok":
            yield "database", text


def _check_keys(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Rows that name another one must find it."""
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchall()[:10]:
        yield f"{table} {row or ''}".strip(), f"names a row of {parent} that is not there"


def _check_schema(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Tables, views and indexes must read as the migrations make them."""
    fresh = sqlite3.connect(":memory:")
    try:
        migrate(fresh)
        sql = (
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name"
        )
        expected = {row[1]: row for row in fresh.execute(sql)}
        found = {row[1]: row for row in connection.execute(sql)}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                yield (
                    f"schema of {name}",
                    "is not there" if name not in found else "is not of Telltale's schema, or was changed",
                )
        names = "SELECT id, migration_set, name FROM _sqlite_migrations ORDER BY 1"
        if fresh.execute(names).fetchall() != connection.execute(names).fetchall():
            yield "_sqlite_migrations", "was changed"
    finally:
        fresh.close()


def _check_seals(connection: sqlite3.Connection) -> Iterator[Finding]:
    """There must be no seal of a table that has none."""
    for (table,) in connection.execute('SELECT DISTINCT "table" FROM seals ORDER BY 1').fetchall():
        if table not in SEALED:
            yield f"seals {table}", "was not written by Telltale"


def _table_check(table: str, report: Report) -> Callable[[sqlite3.Connection], Iterator[Finding]]:
    def check(connection: sqlite3.Connection) -> Iterator[Finding]:
        seals, found = read_seals(connection, table), sums(connection, table, SEALED[table].where)
        nothing = Seal(0, 0, 0, 0)
        for block in sorted(seals.keys() | found.keys()):
            seal, (rows, total) = seals.get(block, nothing), found.get(block, (0, 0))
            if rows != seal.rows:
                yield _place(connection, table, block), f"{seal.rows} rows were written and {rows} are there"
            elif total != seal.sum or (SEALED[table].size and rows == seal.added_rows and total != seal.added):
                yield _place(connection, table, block), "a row was changed after it had been written"
        grown = sum(seal.added_rows for seal in seals.values())
        there = sum(seal.rows for seal in seals.values())
        report.heads.append(Head(table, there, max(0, grown - there)))

    return check


def _place(connection: sqlite3.Connection, table: str, block: int) -> str:
    """Which rows of a table a block has, and of which days."""
    sealed = SEALED[table]
    if not sealed.size:
        return table
    first, unit = block * sealed.size, SLOTS if table == "sealed_counts" else 1
    place = f"{table} {first // unit} to {(first + sealed.size - 1) // unit}"
    sql = f"SELECT min({sealed.day}), max({sealed.day}) FROM {table} WHERE id >= ? AND id < ?"  # noqa: S608 - constants
    days = sorted({str(day) for day in connection.execute(sql, (first, first + sealed.size)).fetchone() if day})
    return f"{place} ({' to '.join(days)})" if days else place


def _anchors(connection: sqlite3.Connection) -> Iterator[str]:
    """For each table that only grows: up to which block, how many rows, and a digest of what was added to each block.

    Of all blocks but the last two, to which nothing is added any more; and of all.
    """
    for table, sealed in SEALED.items():
        seals = read_seals(connection, table)
        if sealed.size and seals:
            newest = max(seals)
            yield from (f"{table}:{last}:{_added(seals, last)}" for last in (newest - 2, newest) if last >= min(seals))


def _added(seals: dict[int, Seal], last: int) -> str:
    """Rows added to the blocks up to the last one, and a digest of them."""
    blocks = [(block, seal.added_rows, seal.added) for block, seal in sorted(seals.items()) if block <= last]
    digest = hashlib.sha256(repr(blocks).encode()).hexdigest()[:16]
    return f"{sum(rows for _, rows, _ in blocks)}:{digest}"


def _compare(connection: sqlite3.Connection, anchor: str) -> Iterator[str]:
    """Hold what was added against what it was at an earlier time; the last block may have grown since."""
    for part in anchor.split():
        table, _, rest = part.partition(":")
        last, _, was = rest.partition(":")
        count = was.partition(":")[0]
        if table not in SEALED or not SEALED[table].size or not last.isdigit() or not count.isdigit():
            yield f"{part!r} is not what verify prints"
            continue
        now = _added(read_seals(connection, table), int(last))
        if now != was and int(now.partition(":")[0]) <= int(count):
            yield f"{table} is not what the anchor says; its past was written anew"
