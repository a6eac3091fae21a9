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

from monitor.clock import DAY, HOUR
from monitor.errors import StoreError
from monitor.store.audit import seals
from monitor.store.windows.counts import add_up, write
from monitor.words import program

log = logging.getLogger(__name__)

#: Length of the shortest windows that an hour or day is summed up from.
PARTS = {HOUR: 0, DAY: HOUR}
#: Seconds after the end of an hour or day before it is rolled up, so that what is a little late still gets in.
GRACE = {HOUR: 120, DAY: 600}

#: Seconds that what is late waits for more of its kind, before it becomes another row of its hour or day.
LATE = DAY
#: Histograms that one call sums up at most, or one group if that has more: a quarter of a second's work.
WORK = 100_000
#: Windows from the future, written under a clock that was wrong, do not wait: they would not age for as long.
_DUE = """
    SELECT series_id, start - start % :long AS began FROM windows
    WHERE parent_id IS NULL AND seconds >= :short AND seconds < :long AND (start < :until OR start > :future)
    GROUP BY series_id, began HAVING CASE WHEN began > :future THEN max(sealed) ELSE min(sealed)
        AND (began < :late OR NOT EXISTS (
            SELECT 1 FROM windows AS made WHERE made.series_id = windows.series_id AND made.seconds = :long
            AND made.start = windows.start - windows.start % :long))
        AND NOT EXISTS (
            SELECT 1 FROM windows AS part WHERE part.parent_id IS NULL AND part.seconds < :short
            AND part.series_id = windows.series_id AND part.start - part.start % :long = began) END
    ORDER BY began"""


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
                work -= _merge(connection, group)
                made.append(group)
            except StoreError as error:
                connection.execute("ROLLBACK TO roll_up")
                damaged.add(group)
                log.error("%s; that stretch is not rolled up: run `%s verify`", error, program())
            connection.execute("RELEASE roll_up")
    return made


def due_groups(connection: sqlite3.Connection, seconds: int, now: float) -> list[Group]:
    """Hours or days that can be made at `now`, the earliest first. A day waits for all its hours."""
    times = {
        "until": math.floor((now - GRACE[seconds]) / seconds) * seconds,
        "late": math.floor((now - LATE) / seconds) * seconds,
        "future": now + DAY,
    }
    rows = connection.execute(_DUE, {"long": seconds, "short": PARTS[seconds], **times})
    return [Group(row[0], row[1], seconds) for row in rows.fetchall()]


def _merge(connection: sqlite3.Connection, group: Group) -> int:
    """Sum a group's windows up in a new one; how many histograms were read.

    Raises StoreError for a window that does not have the model's columns and bins.
    """
    children = connection.execute(
        "SELECT id, n FROM windows WHERE parent_id IS NULL AND seconds >= ? AND seconds < ? "
        "AND series_id = ? AND start >= ? AND start < ? AND sealed ORDER BY start, id",
        (PARTS[group.seconds], group.seconds, group.series_id, group.start, group.start + group.seconds),
    ).fetchall()
    cursor = connection.execute(
        "INSERT INTO windows (series_id, seconds, start, n, sealed, finest, children) VALUES (?, ?, ?, ?, 1, 0, ?)",
        (group.series_id, group.seconds, group.start, sum(row[1] for row in children), len(children)),
    )
    parent = int(cursor.lastrowid or 0)
    seals.add(connection, "windows", "id = ?", parent)
    columns = connection.execute(
        "SELECT json_array_length(bins), kind FROM columns WHERE series_id = ? ORDER BY position", (group.series_id,)
    ).fetchall()
    sizes = [row[0] for row in columns]
    counts, sums = add_up(connection, [row[0] for row in children], range(len(sizes)), sizes)
    totals = [total if kind == "numeric" else None for total, (_, kind) in zip(sums.tolist(), columns, strict=True)]
    write(connection, parent, counts, sizes, totals, sealed=True)
    connection.executemany("UPDATE windows SET parent_id = ? WHERE id = ?", [(parent, row[0]) for row in children])
    return len(columns) * len(children)
