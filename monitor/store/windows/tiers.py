"""Roll-up: base windows into hours, hours into days.

A longer window is made as soon as its time is over and everything in it is sealed, long before the shorter ones are
dropped: sums over long stretches read few rows from the first day on. Each window is summed up in exactly one longer
one (`parent_id`). What comes late, for an hour that has been rolled up, becomes a second row of that hour.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from typing import NamedTuple

from monitor.errors import StoreError
from monitor.store.audit import seals
from monitor.store.windows.rows import sum_up
from monitor.store.windows.window_cover import DAY, HOUR

log = logging.getLogger(__name__)

#: Seconds after the end of an hour or day before it is rolled up, so that what is a little late still gets in.
GRACE = {HOUR: 120, DAY: 600}

#: Seconds that what is late waits for more of its kind, before it becomes another row of its hour or day.
LATE = DAY

#: Histograms that one call sums up at most, or one group if that has more: a quarter of a second's work.
WORK = 100_000


class Group(NamedTuple):
    """Windows that are to become one: those of a model that begin in [start, start + seconds)."""

    series_id: int
    start: int
    seconds: int


def roll_up(
    connection: sqlite3.Connection, now: float, work: int = WORK, damaged: set[Group] | None = None
) -> list[Group]:
    """Make the hours and days that can be made, and return them; call again while there are some.

    A group with a damaged window stays as it is; it is named in the log and added to `damaged`, which is left alone.
    """
    made: list[Group] = []
    damaged = set() if damaged is None else damaged
    for seconds in (HOUR, DAY):
        for group in due_groups(connection, seconds, now):
            if work <= 0:
                return made
            if group in damaged:
                continue
            connection.execute("SAVEPOINT roll_up")
            try:
                work -= merge(connection, group)
                made.append(group)
            except StoreError as error:
                connection.execute("ROLLBACK TO roll_up")
                damaged.add(group)
                log.error("%s; that stretch is not rolled up: run `python -m monitor verify`", error)
            connection.execute("RELEASE roll_up")
    return made


def due_groups(connection: sqlite3.Connection, seconds: int, now: float) -> list[Group]:
    """Hours or days that can be made at `now`, the earliest first."""
    until = math.floor((now - GRACE[seconds]) / seconds) * seconds
    late = math.floor((now - LATE) / seconds) * seconds
    shortest = 0 if seconds == HOUR else HOUR
    rows = connection.execute(
        "SELECT series_id, start - start % :long AS began FROM windows "
        "WHERE parent_id IS NULL AND seconds >= :short AND seconds < :long AND start < :until "
        "GROUP BY series_id, began HAVING min(sealed) AND (began < :late OR NOT EXISTS "
        "(SELECT 1 FROM windows AS made WHERE made.series_id = windows.series_id AND made.seconds = :long "
        "AND made.start = windows.start - windows.start % :long)) ORDER BY began",
        {"long": seconds, "short": shortest, "until": until, "late": late},
    ).fetchall()
    groups = [Group(row[0], row[1], seconds) for row in rows]
    return groups if seconds == HOUR else [group for group in groups if not _waiting(connection, group)]


def _waiting(connection: sqlite3.Connection, day: Group) -> bool:
    """Whether something in a day still has to become an hour."""
    found = connection.execute(
        "SELECT 1 FROM windows WHERE parent_id IS NULL AND seconds < 3600 AND series_id = ? "
        "AND start >= ? AND start < ? LIMIT 1",
        (day.series_id, day.start, day.start + DAY),
    )
    return found.fetchone() is not None


def merge(connection: sqlite3.Connection, group: Group) -> int:
    """Sum a group's windows up in a new one; how many histograms were read."""
    shortest = 0 if group.seconds == HOUR else HOUR
    children = connection.execute(
        "SELECT id, n FROM windows WHERE parent_id IS NULL AND seconds >= ? AND seconds < ? "
        "AND series_id = ? AND start >= ? AND start < ? AND sealed ORDER BY start, id",
        (shortest, group.seconds, group.series_id, group.start, group.start + group.seconds),
    ).fetchall()
    cursor = connection.execute(
        "INSERT INTO windows (series_id, seconds, start, n, sealed, finest, children) VALUES (?, ?, ?, ?, 1, 0, ?)",
        (group.series_id, group.seconds, group.start, sum(row[1] for row in children), len(children)),
    )
    parent = int(cursor.lastrowid or 0)
    seals.add(connection, "windows", "id = ?", parent)
    columns = sum_up(connection, parent, [row[0] for row in children])
    connection.executemany("UPDATE windows SET parent_id = ? WHERE id = ?", [(parent, row[0]) for row in children])
    return columns * len(children)
