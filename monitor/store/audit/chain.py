"""The hash chain over what must never change: windows, verdicts, alert events, notifications, gaps and models.

Each kind of row is a stream with a chain of its own. An entry covers one row, or a batch that was written together; its
link is the SHA-256 of the link before it, of which rows it covers, and of those rows. `cover` runs at the end of every
transaction of the writer, so that no commit leaves a row uncovered: what is in the tables and in no entry was not
written by Telltale.

Old rows are pruned, and the chain stays: an entry whose rows are gone keeps their digest, and entries at the beginning
of a stream are replaced by its root in `chain_roots`, which has their number, totals, and the link to go on from.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, groupby
from typing import NamedTuple

from monitor.store.audit.digest import joint_digest, row_digest, window_digest
from monitor.store.windows.window_cover import DAY, HOUR


class Stream(NamedTuple):
    """What one chain covers: rows of a table, of each the digest of these columns, in this order.

    A table that gets more columns later needs another stream for them.
    """

    table: str
    columns: str = ""
    where: str = "1"


_VERDICT = (
    'id, at, rule, model, series, "column", role, kind, statistic, value, critical, floor, p_value, n, m, state, '
    "direction, window_start, window_end, reference, model_version, reason, question_id, seen"
)

#: All chains. Verdicts move from one to the next as they are thinned out. Of a notification, what it says is covered at
#: once, and how it ended when it has; a `resend` to Alertmanager is a copy, and is deleted when the next one comes.
STREAMS = {
    "minutes": Stream("windows"),
    "hours": Stream("windows"),
    "days": Stream("windows"),
    "drift": Stream("drift", _VERDICT),
    "drift hours": Stream("drift", _VERDICT),
    "drift days": Stream("drift", _VERDICT),
    "alert_events": Stream(
        "alert_events",
        'id, at, rule, model, series, "column", role, before, after, statistic, value, critical, n, severity, '
        "event_id, model_version, reason",
    ),
    "messages": Stream(
        "notifications",
        'id, at, receiver, "group", sequence, kind, severity, event_id, model_version, message',
        "kind <> 'resend'",
    ),
    "notifications": Stream("notifications", "id, state, attempts, attempted, next_try, plain, doubt, settled, answer"),
    "gaps": Stream("gaps", 'id, kind, "start", "end", lost, detail'),
    "questions": Stream("questions", "id, series_id, rule, asked"),
    "series": Stream("series", "id, model, version, name, model_sha256, reference_sha256, reference, first_served"),
    "columns": Stream("columns", "id, series_id, position, name, role, kind, bins"),
    "usual_learned": Stream("usual_learned", "id, series_id, position, hours, day, predictor, scatter"),
    "reference_changes": Stream(
        "reference_changes",
        'id, at, since, series_id, column_id, action, "start", "end", n, counts, sum, author, reason',
    ),
}

#: Streams whose rows get rising ids and are covered in that order; drift apart, which has a batch for each evaluation.
_BY_ID = ("alert_events", "messages", "gaps", "questions", "series", "columns", "usual_learned", "reference_changes")

MARK_BYTES = 4


class Entry(NamedTuple):
    """One row of `chain`."""

    id: int
    stream: str
    first: int
    last: int
    rows: int
    marks: bytes
    digest: bytes | None
    link: bytes


class Root(NamedTuple):
    """What was pruned from the beginning of a stream: one row of `chain_roots`."""

    stream: str
    entries: int = 0
    rows: int = 0
    first: int = 0
    last: int = 0
    changed: int = 0
    totals: Mapping[str, int] = {}
    pruned: str = ""
    link: bytes = b""


def tier(seconds: int) -> str:
    """Stream of a window of this length.

    >>> tier(60), tier(3600), tier(86400)
    ('minutes', 'hours', 'days')
    """
    return "minutes" if seconds < HOUR else "hours" if seconds < DAY else "days"


def predictions_of(series_id: int) -> str:
    """Key among a root's totals: how many predictions of a model were dropped for good."""
    return f"predictions of model {series_id}"


def cover(connection: sqlite3.Connection) -> None:
    """Enter what is new into the chain and renew the guards. To be run at the end of every transaction."""
    for stream, batch in uncovered(connection):
        entry = append(connection, stream, batch)
        table = STREAMS[stream].table
        if table == "windows":
            connection.execute("UPDATE windows SET chain_id = ? WHERE id = ?", (entry, batch[0]))
        elif stream == "notifications":
            connection.execute("UPDATE notifications SET chain_id = ? WHERE id = ?", (entry, batch[0]))
    renew_guards(connection)


def uncovered(connection: sqlite3.Connection) -> list[tuple[str, list[int]]]:
    """Rows that no entry covers yet, in batches, each with its stream."""
    windows, drift, notified, *others = connection.execute(_HAS_NEW).fetchone()
    batches: list[tuple[str, list[int]]] = []
    if windows:
        for window_id, seconds in connection.execute(
            "SELECT id, seconds FROM windows WHERE sealed AND chain_id IS NULL ORDER BY id"
        ).fetchall():
            batches.append((tier(seconds), [window_id]))
    if drift:
        covered = last_covered(connection, "drift")
        rows = connection.execute("SELECT id, at FROM drift WHERE id > ? ORDER BY id", (covered,)).fetchall()
        batches.extend(("drift", [row[0] for row in batch]) for _, batch in groupby(rows, key=lambda row: row[1]))
    for stream in compress(_BY_ID, others):
        table, _, where = STREAMS[stream]
        sql = f"SELECT id FROM {table} WHERE id > ? AND {where} ORDER BY id"  # noqa: S608 - constants
        ids = [row[0] for row in connection.execute(sql, (last_covered(connection, stream),)).fetchall()]
        if ids:
            batches.append((stream, ids))
    if notified:
        for (item,) in connection.execute(
            "SELECT id FROM notifications WHERE chain_id IS NULL AND kind <> 'resend' "
            "AND state NOT IN ('pending', 'sending') ORDER BY id"
        ).fetchall():
            batches.append(("notifications", [item]))
    return batches


def _is_behind(stream: str) -> str:
    """SQL: whether a stream's table has a row beyond the last one that the stream covers."""
    table = STREAMS[stream].table
    return f"""coalesce((SELECT max(id) FROM {table}), 0) >
        coalesce((SELECT last FROM chain WHERE stream = '{stream}' ORDER BY id DESC LIMIT 1), 0)"""  # noqa: S608


#: Where to look for what is new, asked in one row: most transactions have nothing, and each statement lets another
#: thread take the interpreter from the one that commits.
_HAS_NEW = f"""SELECT
    EXISTS (SELECT 1 FROM windows WHERE sealed AND chain_id IS NULL),
    {_is_behind("drift")},
    EXISTS (SELECT 1 FROM notifications
            WHERE chain_id IS NULL AND kind <> 'resend' AND state NOT IN ('pending', 'sending')),
    {", ".join(map(_is_behind, _BY_ID))}"""  # noqa: S608 - constants


def append(connection: sqlite3.Connection, stream: str, ids: Sequence[int]) -> int:
    """Add an entry that covers these rows, given in order; its id."""
    digests = [digest for _, digest in row_digests(connection, stream, ids[0], ids[-1])]
    marks = b"".join(digest[:MARK_BYTES] for digest in digests) if len(digests) > 1 else b""
    facts = (stream, ids[0], ids[-1], len(digests), marks)
    link = make_link(last_link(connection, stream), *facts, joint_digest(digests))
    cursor = connection.execute(
        "INSERT INTO chain (stream, first, last, rows, marks, link) VALUES (?, ?, ?, ?, ?, ?)", (*facts, link)
    )
    return int(cursor.lastrowid or 0)


def make_link(previous: bytes, stream: str, first: int, last: int, rows: int, marks: bytes, digest: bytes) -> bytes:
    """Link of an entry."""
    facts = f"{stream} {first} {last} {rows} ".encode()
    return hashlib.sha256(previous + facts + marks + digest).digest()


def row_digests(connection: sqlite3.Connection, stream: str, first: int, last: int) -> list[tuple[int, bytes]]:
    """Id and digest of the rows of a stream's table that are there, from one id to another."""
    table, columns, where = STREAMS[stream]
    if table == "windows":
        digest = window_digest(connection, first)
        return [] if digest is None else [(first, digest)]
    cursor = connection.cursor()
    cursor.row_factory = None
    sql = f"SELECT {columns} FROM {table} WHERE id BETWEEN ? AND ? AND {where} ORDER BY id"  # noqa: S608 - constants
    return [(row[0], row_digest(row)) for row in cursor.execute(sql, (first, last))]


def entries(connection: sqlite3.Connection, stream: str) -> Iterable[Entry]:
    """All entries of a stream, in order."""
    cursor = connection.cursor()
    cursor.row_factory = None
    for row in cursor.execute(
        "SELECT id, stream, first, last, rows, marks, digest, link FROM chain WHERE stream = ? ORDER BY id", (stream,)
    ):
        yield Entry(*row)


def read_root(connection: sqlite3.Connection, stream: str) -> Root:
    """What was pruned from a stream; an empty root where nothing was."""
    row = connection.execute("SELECT * FROM chain_roots WHERE stream = ?", (stream,)).fetchone()
    if row is None:
        return Root(stream)
    root = Root(*tuple(row))
    return root._replace(totals=json.loads(str(root.totals)))


def last_link(connection: sqlite3.Connection, stream: str) -> bytes:
    """Link of a stream's newest entry, or of its root."""
    row = (
        connection.execute("SELECT link FROM chain WHERE stream = ? ORDER BY id DESC LIMIT 1", (stream,)).fetchone()
        or connection.execute("SELECT link FROM chain_roots WHERE stream = ?", (stream,)).fetchone()
    )
    return b"" if row is None else bytes(row[0])


def last_covered(connection: sqlite3.Connection, stream: str) -> int:
    """Highest id that a stream of rising ids covers. Its newest entry is never pruned."""
    row = connection.execute("SELECT last FROM chain WHERE stream = ? ORDER BY id DESC LIMIT 1", (stream,)).fetchone()
    return 0 if row is None else int(row[0])


# Pruning: the rows go, the chain stays.


def sign_off(
    connection: sqlite3.Connection, stream: str, ids: Sequence[int], totals: Mapping[str, int], now: str
) -> None:
    """Prepare entries, named by their ids, for the deletion of their rows: keep the digest that their link rests on.

    An entry that does not fit its link any more is counted as `changed`, for good: pruning hides no tampering.
    """
    root = read_root(connection, stream)
    changed, rows = root.changed, root.rows
    for entry_id in ids:
        entry = Entry(
            *connection.execute(
                "SELECT id, stream, first, last, rows, marks, digest, link FROM chain WHERE id = ?", (entry_id,)
            ).fetchone()
        )
        previous = connection.execute(
            "SELECT link FROM chain WHERE stream = ? AND id < ? ORDER BY id DESC LIMIT 1", (stream, entry_id)
        ).fetchone()
        found = row_digests(connection, stream, entry.first, entry.last)
        digest = joint_digest(digest for _, digest in found)
        before = root.link if previous is None else bytes(previous[0])
        fits = entry.link == make_link(before, *entry[1:6], digest)
        changed, rows = changed + (not fits), rows + entry.rows
        connection.execute("UPDATE chain SET digest = ? WHERE id = ?", (digest, entry_id))
    summed = Counter(root.totals)
    summed.update(totals)
    write_root(connection, root._replace(changed=changed, rows=rows, totals=dict(summed), pruned=now))


def collapse(connection: sqlite3.Connection, stream: str) -> int:
    """Replace the signed-off entries at the beginning of a stream by its root; never the newest entry."""
    root = read_root(connection, stream)
    newest = connection.execute("SELECT max(id) FROM chain WHERE stream = ?", (stream,)).fetchone()[0]
    gone: list[Entry] = []
    for entry in entries(connection, stream):
        if entry.digest is None or entry.id == newest:
            break
        gone.append(entry)
    if gone:
        firsts = [entry.first for entry in gone] + ([root.first] if root.entries else [])
        last = max(root.last, *(entry.last for entry in gone))
        count = root.entries + len(gone)
        write_root(connection, root._replace(entries=count, first=min(firsts), last=last, link=gone[-1].link))
        connection.execute("DELETE FROM chain WHERE stream = ? AND id <= ?", (stream, gone[-1].id))
    return len(gone)


def write_root(connection: sqlite3.Connection, root: Root) -> None:
    """Store a stream's root."""
    row = root._replace(totals=json.dumps(root.totals, sort_keys=True))  # type: ignore[arg-type]
    connection.execute("INSERT OR REPLACE INTO chain_roots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


# Guards: digests of small tables that change all the time.


def renew_guards(connection: sqlite3.Connection) -> None:
    """Renew the digests of the guarded tables that this transaction has changed."""
    for (name,) in connection.execute("SELECT name FROM guards WHERE changed ORDER BY name").fetchall():
        digest = table_digest(connection, name)
        connection.execute("UPDATE guards SET changed = 0, digest = ? WHERE name = ?", (digest, name))


def table_digest(connection: sqlite3.Connection, table: str) -> bytes:
    """SHA-256 of all rows of a table; of unseen values, which have marks of their own, of how many there are."""
    if table == "unseen_values":
        return row_digest(connection.execute("SELECT count(*) FROM unseen_values").fetchone())
    cursor = connection.cursor()
    cursor.row_factory = None
    rows = cursor.execute(f"SELECT * FROM {table} ORDER BY 1, 2")  # noqa: S608 - a constant
    return joint_digest(sorted(row_digest(row) for row in rows))
