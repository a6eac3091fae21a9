"""Checks a database against itself: whether every row is still what Telltale wrote.

`verify` adds up every sealed table and compares; what is in no seal must add up to what is. It only reads, and works
beside a running server. Of a damaged file it tells as much as can be read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from monitor.store.audit.seals import ADDED, MODULUS, SEALED, Seal, read_seals, reading_damage, sums
from monitor.store.file.migrations import migrate
from monitor.store.windows.counts import SLOTS, UNREADABLE, json_text, unpack


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
        }

    @contextmanager
    def checking(self, name: str) -> Iterator[None]:
        """Report what a damaged file raises: a flipped bit can show as anything."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - as above
            self.problems.append(Problem(name, f"cannot be read: {error}"))


#: Rows that one rule names at most.
NAMED = 10

#: What must hold and is in no seal: SQL for where it does not, and what is wrong there. `counted(counts, bins)` adds a
#: column's counts up; it is NULL if Telltale did not write them so.
_RULES = {
    "open windows": """
        SELECT DISTINCT printf('open_counts of window %d, column %d', h.id / :slots, h.id % :slots),
               'there is no such open window, or column'
        FROM open_counts h LEFT JOIN windows w ON w.id = h.id / :slots AND NOT w.sealed
        LEFT JOIN columns c ON c.series_id = w.series_id AND c.position = h.id % :slots WHERE c.id IS NULL""",
    "open counts": """
        SELECT printf('histograms of window %d, column %s', w.id, c.name), CASE WHEN h.id IS NULL
               THEN 'the counts are not there'
               ELSE printf('the counts do not add up to the window''s %d predictions', w.n) END
        FROM windows w JOIN columns c ON c.series_id = w.series_id
        LEFT JOIN open_counts h ON h.id = w.id * :slots + c.position
        WHERE NOT w.sealed AND counted(CAST(h.counts AS BLOB), json_array_length(c.bins)) IS NOT w.n""",
    "finest windows": """
        SELECT 'windows ' || w.id,
               'is marked wrongly in `finest`: its shorter windows are not those that it was summed up from'
        FROM windows w WHERE w.finest NOT IN (0, 1) OR (w.children = 0 AND NOT w.finest)
        OR (w.children > 0 AND (SELECT count(*) FROM windows c WHERE c.parent_id = w.id)
            <> CASE w.finest WHEN 0 THEN w.children ELSE 0 END)""",
    "sums of windows": """
        SELECT 'windows ' || w.id, 'has not as many predictions as the shorter windows that it was summed up from'
        FROM windows w JOIN windows c ON c.parent_id = w.id GROUP BY w.id HAVING sum(c.n) <> w.n""",
    "longer windows": """
        SELECT 'windows ' || w.id, 'names a longer window that is not the one of its time'
        FROM windows w JOIN windows p ON p.id = w.parent_id
        WHERE p.series_id <> w.series_id OR p.seconds <> CASE WHEN w.seconds < 3600 THEN 3600 ELSE 86400 END
        OR p.start <> w.start - w.start % p.seconds""",
    "sealed counts": """
        SELECT DISTINCT 'sealed_counts of window ' || (h.id / :slots), 'there is no such sealed window'
        FROM sealed_counts h LEFT JOIN windows w ON w.id = h.id / :slots WHERE w.sealed IS NOT 1""",
    "predictions": """
        SELECT 'series ' || s.id,
               printf('the series has %d predictions, and its windows do not add up to that', s.predictions)
        FROM series s WHERE s.predictions <> s.pruned
             + (SELECT coalesce(sum(n), 0) FROM windows w WHERE w.series_id = s.id AND w.finest)""",
    "totals": """
        SELECT 'totals of column ' || c.name,
               printf('the counts do not add up to the model''s %d predictions', s.predictions)
        FROM series s JOIN columns c ON c.series_id = s.id LEFT JOIN totals t ON t.column_id = c.id
        WHERE counted(CAST(t.counts AS BLOB), json_array_length(c.bins)) IS NOT s.predictions""",
    "keys": """
        SELECT trim("table" || ' ' || coalesce(rowid, '')), 'names a row of ' || parent || ' that is not there'
        FROM pragma_foreign_key_check""",
    # Last, since a row that was changed says more than the index that misses it.
    "database": "SELECT 'database', integrity_check FROM pragma_integrity_check(10) WHERE integrity_check <> 'ok'",
}


def verify(connection: sqlite3.Connection, progress: Callable[[int], object] = bool) -> Report:
    """Check everything. `progress` is told of each table that is done."""
    report = Report()
    factory, connection.row_factory = connection.row_factory, None
    connection.execute("PRAGMA cell_size_check = 1")
    connection.create_function("counted", 2, _counted, deterministic=True)
    began = not connection.in_transaction
    if began:
        connection.execute("BEGIN")  # one moment, whatever the server writes meanwhile
    try:
        with report.checking("seals"), reading_damage(connection):
            with report.checking("schema"):
                report.problems += _check_schema(connection)
            for table in SEALED:
                with report.checking(table):
                    _check_table(connection, table, report)
                progress(1)
            slots = {"slots": SLOTS}
            for name, sql in _RULES.items():
                with report.checking(name):
                    report.problems += [Problem(*row) for row in connection.execute(sql, slots).fetchmany(NAMED)]
            with report.checking("seals"):
                tables = [name for (name,) in connection.execute('SELECT DISTINCT "table" FROM seals')]
                unknown = sorted(set(tables) - SEALED.keys())
                report.problems += [Problem(f"seals {name}", "was not written by Telltale") for name in unknown]
    finally:
        if began and connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.row_factory = factory
    return report


def _counted(text: bytes | None, bins: int) -> int | None:
    """Sum of a column's counts; None if they are not as Telltale writes them."""
    try:
        counts = unpack([str(text, "utf-8")], [bins])  # type: ignore[arg-type]
    except UNREADABLE:
        return None
    if text[:1] == b"[" and text != json_text(counts).encode():  # type: ignore[index]
        return None
    return None if counts.min() < 0 else int(counts.sum())


def _check_schema(connection: sqlite3.Connection) -> Iterable[Problem]:
    """Tables, views and indexes must read as the migrations make them."""
    schema = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY 1, 2"
    names = "SELECT id, migration_set, name FROM _sqlite_migrations ORDER BY 1"
    with closing(sqlite3.connect(":memory:")) as fresh:
        migrate(fresh)
        expected = {row[1]: row for row in fresh.execute(schema)}
        migrations = fresh.execute(names).fetchall()
    present = {row[1]: row for row in connection.execute(schema)}
    for name in sorted(expected.keys() | present.keys()):
        if name not in present:
            yield Problem(f"schema of {name}", "is not there")
        elif present[name] != expected.get(name):
            yield Problem(f"schema of {name}", "is not of Telltale's schema, or was changed")
    if connection.execute(names).fetchall() != migrations:
        yield Problem("_sqlite_migrations", "was changed")


def _check_table(connection: sqlite3.Connection, table: str, report: Report) -> None:
    seals, present = read_seals(connection, table), sums(connection, table, SEALED[table].where)
    for block in sorted(seals.keys() | present.keys()):
        seal, (rows, total), what = seals.get(block, Seal()), present.get(block, (0, 0)), ""
        if rows != seal.rows:
            what = f"{seal.rows} rows were written and {rows} are there"
        elif (total + seal.added * ADDED) % MODULUS != seal.sum:
            what = "a row was changed after it had been written"
        if what:
            report.problems.append(Problem(_place(connection, table, block), what))
    there = sum(seal.rows for seal in seals.values())
    report.heads.append(Head(table, there, max(0, sum(seal.added for seal in seals.values()) - there)))


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
