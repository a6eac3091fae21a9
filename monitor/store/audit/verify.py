"""Checks a database against itself: whether every row is still what Telltale wrote.

`verify` reads every row that the chain and the guards cover and compares; `recompute` works verdicts out again from the
stored counts. Both only read, and work beside a running server. Of a damaged file they tell as much as can be read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from monitor.store.audit import chain
from monitor.store.audit import consistency as balance
from monitor.store.audit.digest import joint_digest, reading_damage
from monitor.store.file.migrations import GUARDED, migrate
from monitor.store.windows.counts import SLOTS


class Problem(NamedTuple):
    """One thing that is not as it was written: where (`windows 17`), and what is wrong."""

    where: str
    what: str


class Head(NamedTuple):
    """Where a stream's chain ends: its newest entry, and how many rows it covers and has pruned."""

    stream: str
    entry: int
    link: str
    rows: int
    pruned: int


@dataclass
class Report:
    """What `verify` found. `problems`: the first bad row first; none means that all is as it was written."""

    problems: list[Problem] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    @property
    def anchor(self) -> str:
        """One line that an auditor can write down: a later `verify` can be held against it."""
        heads = [head for head in self.heads if head.entry]
        return " ".join(f"{head.stream.replace(' ', '-')}:{head.entry}:{head.link[:16]}" for head in heads)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "ok": self.ok,
            "problems": [problem._asdict() for problem in self.problems],
            "streams": [head._asdict() for head in self.heads],
            "anchor": self.anchor,
        }


def verify(connection: sqlite3.Connection, anchor: str = "") -> Report:
    """Check everything. `anchor`: what `Report.anchor` said at an earlier time, kept outside of the database."""
    report = Report()
    factory, connection.row_factory = connection.row_factory, None
    connection.execute("PRAGMA cell_size_check = 1")
    checks: list[tuple[str, Callable[[sqlite3.Connection, Report], None]]] = [
        ("schema", _check_schema),
        *((stream, _stream_check(stream)) for stream in chain.STREAMS),
        ("windows", _check_windows),
        ("totals", _check_totals),
        ("unseen_values", _check_unseen),
        ("guards", _check_guards),
        ("gaps", _check_foreign),
        ("keys", _check_keys),
        ("database", _check_file),  # last, since a row that was changed says more than the index that misses it
    ]
    began = not connection.in_transaction
    if began:
        connection.execute("BEGIN")  # one moment, whatever the server writes meanwhile
    try:
        with reading_damage(connection):
            for name, check in checks:
                try:
                    check(connection, report)
                except Exception as error:  # noqa: BLE001 - a flipped bit can show as anything
                    report.problems.append(Problem(name, f"cannot be read: {error}"))
            if anchor:
                report.problems.extend(_check_anchor(connection, anchor))
    finally:
        if began and connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.row_factory = factory
    return report


def _check_file(connection: sqlite3.Connection, report: Report) -> None:
    """SQLite's own check: pages, indexes, types."""
    for (text,) in connection.execute("PRAGMA integrity_check(10)"):
        if text != "ok":
            report.problems.append(Problem("database", text))


def _check_keys(connection: sqlite3.Connection, report: Report) -> None:
    """Rows that name another one must find it."""
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchall()[:10]:
        report.problems.append(Problem(f"{table} {row or ''}".strip(), f"names a row of {parent} that is not there"))


def _check_schema(connection: sqlite3.Connection, report: Report) -> None:
    """Tables, views, indexes and triggers must read as the migrations make them."""
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
                what = "is not there" if name not in found else "is not of Telltale's schema, or was changed"
                report.problems.append(Problem(f"schema of {name}", what))
        names = "SELECT migration_set, name FROM _sqlite_migrations ORDER BY 1, 2"
        if fresh.execute(names).fetchall() != connection.execute(names).fetchall():
            report.problems.append(Problem("_sqlite_migrations", "was changed"))
    finally:
        fresh.close()


def _stream_check(stream: str) -> Callable[[sqlite3.Connection, Report], None]:
    return lambda connection, report: _check_stream(connection, stream, report)


def _check_stream(connection: sqlite3.Connection, stream: str, report: Report) -> None:
    """Walk a chain from its root: every entry must follow from the one before and from the rows that it covers."""
    table = chain.STREAMS[stream].table
    root = chain.read_root(connection, stream)
    if root.changed:
        report.problems.append(
            Problem(f"chain_roots {stream}", f"{root.changed} entries had been changed when they were pruned")
        )
    previous, covered, newest, held = root.link, 0, 0, []
    for entry in chain.entries(connection, stream):
        if entry.digest is None:
            rows = chain.row_digests(connection, stream, entry.first, entry.last)
            digest, covered = joint_digest(digest for _, digest in rows), covered + entry.rows
            held.append((entry.first, entry.last))
        else:
            rows, digest = [], entry.digest
        if entry.link != chain.make_link(previous, *entry[1:6], digest):
            report.problems.extend(_explain(table, entry, rows))
        previous, newest = entry.link, entry.id
    report.problems.extend(_uncovered(connection, stream, table, held))
    report.heads.append(Head(stream, newest, previous.hex(), covered, root.rows))


def _explain(table: str, entry: chain.Entry, rows: list[tuple[int, bytes]]) -> Iterator[Problem]:
    """Which row of an entry is not as it was."""
    ids = f"{entry.first}" if entry.first == entry.last else f"{entry.first} to {entry.last}"
    if entry.digest is None and len(rows) != entry.rows:
        known = {row: digest[: chain.MARK_BYTES] for row, digest in rows}
        marks = _marks(entry)
        gone = [row for row in range(entry.first, entry.last + 1) if row not in known]
        if len(rows) < entry.rows and entry.last - entry.first + 1 == entry.rows:
            for row in gone:
                yield Problem(f"{table} {row}", "is not there any more")
        elif len(rows) > entry.rows:
            for row in known:
                if known[row] not in marks:
                    yield Problem(f"{table} {row}", "was not written by Telltale")
        else:
            yield Problem(f"{table} {ids}", f"{entry.rows} rows were written and {len(rows)} are there")
        return
    if entry.rows > 1 and entry.digest is None:
        for (row, digest), mark in zip(rows, _marks(entry), strict=False):
            if digest[: chain.MARK_BYTES] != mark:
                yield Problem(f"{table} {row}", "was changed after it had been written")
                return
        yield Problem(f"chain {entry.id}", f"was changed, or what comes before it (it covers {table} {ids})")
    elif entry.digest is None:
        yield Problem(
            f"{table} {ids}",
            f"was changed after it had been written (or entry {entry.id} of the chain, or the one before, was)",
        )
    else:
        yield Problem(f"chain {entry.id}", f"was changed, or what comes before it (it stands for {table} {ids})")


def _marks(entry: chain.Entry) -> list[bytes]:
    size = chain.MARK_BYTES
    return [entry.marks[i : i + size] for i in range(0, len(entry.marks), size)]


def _uncovered(
    connection: sqlite3.Connection, stream: str, table: str, held: list[tuple[int, int]]
) -> Iterator[Problem]:
    """Rows that no entry covers: somebody else wrote them."""
    if table == "windows":
        return  # by `_check_windows`, for all three streams at once
    if stream == "notifications":
        sql = (
            "SELECT n.id FROM notifications n LEFT JOIN chain c ON c.id = n.chain_id AND c.first = n.id AND "
            "c.stream = 'notifications' AND c.digest IS NULL WHERE c.id IS NULL "
            "AND n.kind <> 'resend' AND n.state NOT IN ('pending', 'sending')"
        )
        for (row,) in connection.execute(sql):
            yield Problem(f"{table} {row}", "was not written by Telltale, or has been changed")
        return
    if table == "drift":
        if stream != "drift days":
            return  # the last of the three looks at all of them
        held = connection.execute(
            "SELECT first, last FROM chain WHERE stream IN ('drift', 'drift hours', 'drift days') AND digest IS NULL"
        ).fetchall()
    sql = f"SELECT id FROM {table} WHERE {chain.STREAMS[stream].where} ORDER BY id"  # noqa: S608 - constants
    ids = np.array([row[0] for row in connection.execute(sql)])
    inside = np.zeros(len(ids), dtype=bool)
    for first, last in held:
        inside[np.searchsorted(ids, first) : np.searchsorted(ids, last, side="right")] = True
    for row in ids[~inside][:10].tolist():
        yield Problem(f"{table} {row}", "was not written by Telltale: no entry of the chain covers it")


#: What must hold between windows; each finds the ids of those for which it does not.
_WINDOW_RULES: Mapping[str, str] = {
    "was not written by Telltale: no entry of the chain covers it": """
        SELECT w.id FROM windows w LEFT JOIN chain c ON c.id = w.chain_id AND c.first = w.id AND c.digest IS NULL
        WHERE w.sealed AND c.id IS NULL""",
    "is not marked as sealed, although the chain has it": """
        SELECT id FROM windows WHERE sealed NOT IN (0, 1) OR (NOT sealed AND chain_id IS NOT NULL)""",
    "is marked wrongly in `finest`: its shorter windows are not those that it was summed up from": """
        SELECT w.id FROM windows w WHERE w.finest NOT IN (0, 1)
        OR (w.children = 0 AND NOT w.finest)
        OR (w.children > 0 AND (SELECT count(*) FROM windows c WHERE c.parent_id = w.id)
            <> CASE w.finest WHEN 0 THEN w.children ELSE 0 END)""",
    "has not as many predictions as the shorter windows that it was summed up from": """
        SELECT w.id FROM windows w JOIN windows c ON c.parent_id = w.id GROUP BY w.id HAVING sum(c.n) <> w.n""",
    "names a longer window that is not the one of its time": """
        SELECT w.id FROM windows w JOIN windows p ON p.id = w.parent_id
        WHERE p.series_id <> w.series_id
        OR p.seconds <> CASE WHEN w.seconds < 3600 THEN 3600 ELSE 86400 END
        OR p.start <> w.start - w.start % p.seconds""",
}


def _check_windows(connection: sqlite3.Connection, report: Report) -> None:
    """What the digest of a window leaves out, and the windows that are still open."""
    for what, sql in _WINDOW_RULES.items():
        for (row,) in connection.execute(sql).fetchmany(10):
            report.problems.append(Problem(f"windows {row}", what))
    sql = (
        f"SELECT DISTINCT h.id / {SLOTS} FROM sealed_counts h LEFT JOIN windows w ON w.id = h.id / {SLOTS} "  # noqa: S608
        "WHERE w.sealed IS NOT 1"
    )
    for (row,) in connection.execute(sql).fetchmany(10):
        report.problems.append(Problem(f"sealed_counts of window {row}", "there is no such sealed window"))
    _add(balance.open_windows, connection, report)


def _check_totals(connection: sqlite3.Connection, report: Report) -> None:
    _add(balance.totals, connection, report)


def _check_unseen(connection: sqlite3.Connection, report: Report) -> None:
    _add(balance.unseen_values, connection, report)


def _add(
    check: Callable[[sqlite3.Connection], Iterator[balance.Finding]], connection: sqlite3.Connection, report: Report
) -> None:
    report.problems.extend(Problem(*finding) for finding in check(connection))


def _check_guards(connection: sqlite3.Connection, report: Report) -> None:
    guards = {name: (changed, digest) for name, changed, digest in connection.execute("SELECT * FROM guards")}
    for table in GUARDED:
        changed, digest = guards.pop(table, (1, b""))
        if changed or digest != chain.table_digest(connection, table):
            report.problems.append(Problem(table, "was changed by somebody else than Telltale"))
    for name in guards:
        report.problems.append(Problem(f"guards {name}", "was not written by Telltale"))


def _check_foreign(connection: sqlite3.Connection, report: Report) -> None:
    """What somebody else wrote while Telltale ran, or between two runs: the writer noted it."""
    for row, at, detail in connection.execute("SELECT id, \"start\", detail FROM gaps WHERE kind = 'foreign'"):
        report.problems.append(Problem(f"gaps {row}", f"noticed at {at}: {detail}"))


def _check_anchor(connection: sqlite3.Connection, anchor: str) -> Iterator[Problem]:
    """Hold the chain against what it was at an earlier time."""
    for part in anchor.split():
        name, _, rest = part.partition(":")
        entry, _, link = rest.partition(":")
        stream = name.replace("-", " ")
        if stream not in chain.STREAMS or not entry.isdigit() or not link:
            yield Problem("anchor", f"{part!r} is not what verify prints")
        elif int(entry):
            row = connection.execute(
                "SELECT link FROM chain WHERE stream = ? AND id = ?", (stream, int(entry))
            ).fetchone()
            oldest = connection.execute("SELECT min(id) FROM chain WHERE stream = ?", (stream,)).fetchone()[0] or 0
            if row is None and (oldest < int(entry) or not chain.read_root(connection, stream).entries):
                yield Problem(f"chain {entry}", f"{stream}: the anchor names it, and it is not there")
            elif row is not None and not bytes(row[0]).hex().startswith(link):
                yield Problem(f"chain {entry}", f"{stream}: it is not what the anchor says; the past was written anew")
