"""Drops old rows: windows of which a longer one has the sum, verdicts that a stronger one stands for, old events.

Every function takes what it drops out of the seals (`monitor.store.audit.seals`), works on one block, the oldest, and
returns whether there was one. What to drop when is the business of `monitor.store.windows.retention`.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Collection

from monitor.clock import from_iso, iso
from monitor.store.audit import seals
from monitor.store.windows import counts
from monitor.store.windows.rows import read_meta, write_meta
from monitor.store.windows.window_cover import DAY, HOUR

#: Verdicts as they get older are thinned out to the strongest of an hour, then of a day.
THINNED = (HOUR, DAY)

#: The moment that a row of each table belongs to.
_MOMENT = {"drift": "at", "alert_events": "at", "notifications": "at", "gaps": '"end"'}

#: Rows that one call drops at most.
ROWS = 2000

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


def drop_parts(connection: sqlite3.Connection, seconds: int, start: int) -> bool:
    """Drop the minutes of the hours (or the hours of the days) that begin at `start`; their sums stay."""
    wholes = [
        row[0]
        for row in connection.execute(
            f"SELECT id FROM {_WITH_PARTS} AND start = :start",  # noqa: S608
            {"seconds": seconds, "start": start},
        ).fetchall()
    ]
    for whole in wholes:
        parts = connection.execute("SELECT id FROM windows WHERE parent_id = ?", (whole,)).fetchall()
        _drop_windows(connection, [part[0] for part in parts])
        connection.execute("UPDATE windows SET finest = 1 WHERE id = ?", (whole,))
    return bool(wholes)


def drop_windows_before(connection: sqlite3.Connection, before: float) -> bool:
    """Drop the windows that ended by a moment for good, with all that is in them; at most a hundred at a time."""
    rows = connection.execute(
        "SELECT id, n, series_id FROM windows WHERE parent_id IS NULL AND finest AND sealed "
        "AND seconds <= 86400 AND start + seconds <= ? AND id < (SELECT max(id) FROM windows) ORDER BY start LIMIT 100",
        (before,),
    ).fetchall()
    for _, n, series in rows:
        connection.execute("UPDATE series SET pruned = pruned + ? WHERE id = ?", (n, series))
    _drop_windows(connection, [row[0] for row in rows])
    return bool(rows)


def _drop_windows(connection: sqlite3.Connection, ids: list[int]) -> None:
    counts.drop(connection, ids)
    for window in ids:
        seals.delete(connection, "windows", "id = ?", window)


def oldest(connection: sqlite3.Connection, table: str, thinned: int = 0) -> float | None:
    """Moment of the oldest row of a table; of verdicts, of those that are not thinned out to `thinned` seconds yet."""
    moment, after = _MOMENT[table], _thinned_until(connection, thinned) if thinned else ""
    open_ = "AND state NOT IN ('pending', 'sending')" if table == "notifications" else ""
    sql = f"SELECT min({moment}) FROM {table} WHERE {moment} >= ? {open_}"  # noqa: S608 - constants
    found = connection.execute(sql, (after,)).fetchone()[0]
    return None if found is None else from_iso(found)


def drop_rows(connection: sqlite3.Connection, table: str, before: float, after: float) -> int:
    """Drop some rows of events, gaps, messages or verdicts that are older than one moment or newer than another."""
    moment = _MOMENT[table]
    settled = "AND state NOT IN ('pending', 'sending')" if table == "notifications" else ""
    which = f"({moment} < ? OR {moment} > ?) {settled}"
    sql = f"SELECT max(id) FROM (SELECT id FROM {table} WHERE {which} ORDER BY id LIMIT {ROWS})"  # noqa: S608
    (last,) = connection.execute(sql, (iso(before), iso(after))).fetchone()
    return 0 if last is None else seals.delete(connection, table, f"{which} AND id <= ?", iso(before), iso(after), last)


def _thinned_until(connection: sqlite3.Connection, seconds: int) -> str:
    return read_meta(connection, f"thinned_{seconds}", "")


#: Tables of what a model version is, in the order in which they can be dropped, each with the model's id.
_OF_MODEL = {
    **dict.fromkeys(
        ("usual_learned", "usual_weeks", "window_correlation", "reference_changes", "questions", "columns"), "series_id"
    ),
    "series": "id",
}


def drop_models(connection: sqlite3.Connection, served: Collection[int], before: float) -> int:
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
    for one in sorted(ids):
        _drop_series(connection, one)
    return len(ids)


def _drop_series(connection: sqlite3.Connection, series_id: int) -> None:
    of_it = "column_id IN (SELECT id FROM columns WHERE series_id = ?)"
    seals.delete(connection, "unseen_values", of_it, series_id)
    connection.execute(f"DELETE FROM totals WHERE {of_it}", (series_id,))  # noqa: S608 - a constant
    for table, key in _OF_MODEL.items():
        seals.delete(connection, table, f"{key} = ?", series_id)


def thin(connection: sqlite3.Connection, seconds: int) -> bool:
    """Thin the oldest hour (or day) of verdicts out: see `_KEPT`. False if there is none."""
    moment = oldest(connection, "drift", seconds)
    if moment is None:
        return False
    begin = math.floor(moment / seconds) * seconds
    first, last = connection.execute(
        "SELECT min(id), max(id) FROM drift WHERE at >= ? AND at < ?", (iso(begin - 1), iso(begin + seconds))
    ).fetchone()
    bounds = {"first": first, "last": last, "begin": iso(begin - 1), "end": iso(begin + seconds)}
    kept = {row[0] for row in connection.execute(_KEPT, bounds).fetchall()}
    of_it = "SELECT id FROM drift WHERE id BETWEEN :first AND :last AND at >= :begin AND at < :end"
    gone = [row[0] for row in connection.execute(of_it, bounds).fetchall() if row[0] not in kept]
    seals.delete(connection, "drift", "id IN (SELECT value FROM json_each(?))", json.dumps(gone))
    write_meta(connection, f"thinned_{seconds}", iso(begin + seconds))
    return True


#: What stays of a block of verdicts: of each column, statistic and rule the strongest, and what an alert event or a
#: message rests on.
_KEPT = """
    SELECT id FROM (
        SELECT d.id, d.at, d.rule, d.model, d.series, d.role, d."column", d.state, row_number() OVER (
            PARTITION BY rule, model, series, role, "column", statistic ORDER BY state = 'drift' DESC, value DESC, id
        ) AS place FROM drift d WHERE id BETWEEN :first AND :last AND at >= :begin AND at < :end
    ) AS v
    WHERE place = 1
    OR EXISTS (SELECT 1 FROM alert_events e WHERE e.at = v.at
               AND (e.rule, e.model, e.series, e.role, e."column") = (v.rule, v.model, v.series, v.role, v."column"))
    OR (state = 'drift' AND EXISTS (SELECT 1 FROM notifications n WHERE n.at = v.at AND n.kind <> 'resend'
               AND n."group" IN (v.rule, '')))
    ORDER BY id"""
