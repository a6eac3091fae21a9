"""Drops old rows: windows of which a longer one has the sum, verdicts that a stronger one stands for, old events.

Every function signs off what it drops in the chain (`monitor.store.audit.chain`), works on one block, the oldest, and
returns whether there was one. What to drop when is the business of `monitor.store.windows.retention`.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence

from monitor.clock import from_iso, iso
from monitor.store.audit.chain import STREAMS, Entry, append, collapse, predictions_of, sign_off, tier
from monitor.store.windows import counts
from monitor.store.windows.window_cover import DAY, HOUR

#: Verdicts as they get older: into which stream those of an hour, then of a day, are thinned out.
THINNED = {"drift": ("drift hours", HOUR), "drift hours": ("drift days", DAY)}

#: The moment that a row of each table belongs to.
_MOMENT = {"drift": "at", "alert_events": "at", "notifications": "at", "gaps": '"end"'}

#: Hours with minutes, or days with hours that have no minutes any more.
_WITH_PARTS = """windows AS whole WHERE NOT finest AND seconds = :seconds AND NOT EXISTS (
    SELECT 1 FROM windows AS part WHERE part.parent_id = whole.id AND NOT part.finest)"""


def oldest_parts(connection: sqlite3.Connection, seconds: int, before: float, after: float = math.inf) -> int | None:
    """End of the oldest hour (or day) that still has its minutes (hours), and ended by `before`; or begins `after`.

    A day whose hours still have their minutes is not one of them.
    """
    row = connection.execute(
        f"SELECT min(start) FROM {_WITH_PARTS} AND (start + seconds <= :before OR start > :after)",  # noqa: S608
        {"seconds": seconds, "before": before, "after": after},
    ).fetchone()
    return None if row[0] is None else int(row[0]) + seconds


def drop_parts(connection: sqlite3.Connection, seconds: int, start: int, now: str) -> bool:
    """Drop the minutes of the hours (or the hours of the days) that begin at `start`; their sums stay."""
    wholes = [
        row[0]
        for row in connection.execute(
            f"SELECT id FROM {_WITH_PARTS} AND start = :start",  # noqa: S608
            {"seconds": seconds, "start": start},
        ).fetchall()
    ]
    for whole in wholes:
        parts = connection.execute("SELECT id, seconds, chain_id, n FROM windows WHERE parent_id = ?", (whole,))
        _drop_windows(connection, parts.fetchall(), now)
        connection.execute("UPDATE windows SET finest = 1 WHERE id = ?", (whole,))
    return bool(wholes)


def drop_windows_before(connection: sqlite3.Connection, before: float, now: str) -> bool:
    """Drop the windows that ended by a moment for good, with all that is in them; at most a hundred at a time."""
    rows = connection.execute(
        "SELECT id, seconds, chain_id, n, series_id FROM windows WHERE parent_id IS NULL AND finest AND sealed "
        "AND seconds <= 86400 AND start + seconds <= ? AND id < (SELECT max(id) FROM windows) ORDER BY start LIMIT 100",
        (before,),
    ).fetchall()
    totals: Counter[str] = Counter()
    for row in rows:
        totals[predictions_of(row[4])] += row[3]
    _drop_windows(connection, rows, now)
    if rows:
        sign_off(connection, "days", [], totals, now)
    return bool(rows)


def _drop_windows(connection: sqlite3.Connection, rows: Sequence[sqlite3.Row], now: str) -> None:
    """Drop windows, given as id, seconds, chain_id and n."""
    streams: dict[str, list[sqlite3.Row]] = {}
    for row in rows:
        streams.setdefault(tier(row[1]), []).append(row)
    for stream, chosen in streams.items():
        sign_off(connection, stream, [row[2] for row in chosen], {"predictions": sum(row[3] for row in chosen)}, now)
    counts.drop(connection, [row[0] for row in rows])
    connection.executemany("DELETE FROM windows WHERE id = ?", [(row[0],) for row in rows])
    for stream in streams:
        collapse(connection, stream)


def oldest_entry(connection: sqlite3.Connection, stream: str) -> tuple[Entry, float] | None:
    """The first entry of a stream whose rows are there, with its moment; never the newest: the chain goes on there."""
    row = connection.execute(
        "SELECT id, stream, first, last, rows, marks, digest, link FROM chain WHERE stream = :stream "
        "AND digest IS NULL AND id < (SELECT max(id) FROM chain WHERE stream = :stream) ORDER BY id LIMIT 1",
        {"stream": stream},
    ).fetchone()
    if row is None:
        return None
    entry, table = Entry(*row), STREAMS[stream].table
    sql = f"SELECT {_MOMENT[table]} FROM {table} WHERE id BETWEEN ? AND ? LIMIT 1"  # noqa: S608 - constants
    found = connection.execute(sql, (entry.first, entry.last)).fetchone()
    return entry, from_iso(found[0]) if found is not None else 0.0


def drop_entry(connection: sqlite3.Connection, entry: Entry, now: str) -> None:
    """Drop all rows of an entry of events, gaps, messages or verdicts for good."""
    table, _, where = STREAMS[entry.stream]
    rows = f"{table} WHERE id BETWEEN {entry.first:d} AND {entry.last:d} AND {where}"
    sign_off(connection, entry.stream, [entry.id], {}, now)
    if entry.stream == "messages":
        ends = connection.execute(f"SELECT chain_id FROM {rows} AND chain_id IS NOT NULL")  # noqa: S608 - numbers
        sign_off(connection, "notifications", [row[0] for row in ends.fetchall()], {}, now)
    connection.execute(f"DELETE FROM {rows}")  # noqa: S608 - numbers
    for stream in {entry.stream, "notifications"}:
        collapse(connection, stream)


#: Tables of what a model version is, in the order in which they can be dropped, each with the model's id.
_OF_MODEL = {"reference_changes": "series_id", "questions": "series_id", "columns": "series_id", "series": "id"}


def drop_models(connection: sqlite3.Connection, served: Collection[int], before: float, now: str) -> int:
    """Drop the model versions that nothing in the record is of any more; how many that were.

    What is `served`, or was entered last or after `before`, stays.
    """
    rows = connection.execute(
        "SELECT id FROM series AS m WHERE id NOT IN (SELECT value FROM json_each(?)) "
        "AND id < (SELECT max(id) FROM series) AND first_served < ? "
        "AND NOT EXISTS (SELECT 1 FROM windows WHERE series_id = m.id)",
        (json.dumps(list(served)), iso(before)),
    )
    ids = {row[0] for row in rows.fetchall()}
    if ids:  # a walk through all verdicts, so only where there is something to drop
        judged = "SELECT DISTINCT series_id FROM questions WHERE id IN (SELECT DISTINCT question_id FROM drift)"
        ids -= {row[0] for row in connection.execute(judged).fetchall()}
    return sum(_drop_model(connection, one, now) for one in sorted(ids))


def _drop_model(connection: sqlite3.Connection, series_id: int, now: str) -> bool:
    """Drop one model version; False where an entry of the chain covers rows of it and of another one.

    Neither is the newest row of a table dropped: its number would be given out again.
    """
    entries: dict[str, list[int]] = {}
    for table, key in _OF_MODEL.items():
        count, last, newest = connection.execute(
            f"SELECT count(*), max(id), (SELECT max(id) FROM {table}) FROM {table} WHERE {key} = ?",  # noqa: S608
            (series_id,),
        ).fetchone()
        sql = (
            "SELECT id, rows FROM chain AS c WHERE stream = ? AND digest IS NULL AND EXISTS "  # noqa: S608 - constants
            f"(SELECT 1 FROM {table} WHERE {key} = ? AND id BETWEEN c.first AND c.last) ORDER BY id"
        )
        found = connection.execute(sql, (table, series_id)).fetchall()
        if (count and last == newest) or sum(row[1] for row in found) != count:
            return False
        entries[table] = [row[0] for row in found]
    for table in ("unseen_values", "totals"):
        connection.execute(
            f"DELETE FROM {table} WHERE column_id IN (SELECT id FROM columns WHERE series_id = ?)",  # noqa: S608
            (series_id,),
        )
    for table, key in _OF_MODEL.items():
        sign_off(connection, table, entries[table], {}, now)
        connection.execute(f"DELETE FROM {table} WHERE {key} = ?", (series_id,))  # noqa: S608 - constants
        collapse(connection, table)
    return True


def thin(connection: sqlite3.Connection, stream: str, now: str) -> bool:
    """Thin the oldest hour (or day) of a stream of verdicts out: see `_KEPT`. False where there is none."""
    found = oldest_entry(connection, stream)
    if found is None:
        return False
    target, seconds = THINNED[stream]
    first, moment = found
    block = _block(connection, first, math.floor(moment / seconds) * seconds, seconds)
    begin, end = first.first, block[-1].last
    kept = [row[0] for row in connection.execute(_KEPT, {"first": begin, "last": end}).fetchall()]
    states = connection.execute(
        "SELECT state, count(*) FROM drift WHERE id BETWEEN ? AND ? GROUP BY state", (begin, end)
    ).fetchall()
    sign_off(connection, stream, [entry.id for entry in block], {row[0]: row[1] for row in states}, now)
    connection.execute(
        "DELETE FROM drift WHERE id BETWEEN ? AND ? AND id NOT IN (SELECT value FROM json_each(?))",
        (begin, end, json.dumps(kept)),
    )
    if kept:
        append(connection, target, kept)
    collapse(connection, stream)
    return True


def _block(connection: sqlite3.Connection, first: Entry, start: float, seconds: int) -> list[Entry]:
    """Entries of verdicts from the first one on, as long as they are of [start, start + seconds)."""
    found = connection.execute(
        "SELECT c.id, c.stream, c.first, c.last, c.rows, c.marks, c.digest, c.link, d.at "
        "FROM chain c LEFT JOIN drift d ON d.id = c.first WHERE c.stream = :stream "
        "AND c.id >= :id AND c.id < (SELECT max(id) FROM chain WHERE stream = :stream) ORDER BY c.id",
        {"stream": first.stream, "id": first.id},
    )
    block = [first]
    for *facts, at in found:
        entry = Entry(*facts)
        if entry.id == first.id:
            continue
        if entry.digest is not None or at is None or not start <= from_iso(at) < start + seconds:
            break
        block.append(entry)
    return block


#: What stays of a block of verdicts: of each column, statistic and rule the strongest, and what an alert event or a
#: message rests on.
_KEPT = """
    SELECT id FROM (
        SELECT d.id, d.at, d.rule, d.model, d.series, d.role, d."column", d.state, row_number() OVER (
            PARTITION BY rule, model, series, role, "column", statistic ORDER BY state = 'drift' DESC, value DESC, id
        ) AS place FROM drift d WHERE id BETWEEN :first AND :last
    ) AS v
    WHERE place = 1
    OR EXISTS (SELECT 1 FROM alert_events e WHERE e.at = v.at
               AND (e.rule, e.model, e.series, e.role, e."column") = (v.rule, v.model, v.series, v.role, v."column"))
    OR (state = 'drift' AND EXISTS (SELECT 1 FROM notifications n WHERE n.at = v.at AND n.kind <> 'resend'
               AND n."group" IN (v.rule, '')))
    ORDER BY id"""
