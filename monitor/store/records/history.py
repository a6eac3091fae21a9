"""What the views read from the store: verdicts and windows over a period, cut into even cells.

Functions of a read-only connection. What each reads is bounded by the number of cells, not by the length of the range:
of each cell the last evaluation is read.
"""

from __future__ import annotations

import math
import sqlite3
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from monitor.clock import from_iso, iso
from monitor.columns.column import Floats, Role
from monitor.drift.result import Subject
from monitor.series import Series as Counted
from monitor.store.records.rows import Row, read
from monitor.store.windows.counts import unpack
from monitor.store.windows.ranges import first_start

#: Cells of a heat map, about; and their lengths in seconds.
CELLS = 60
LENGTHS = (1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600)

#: Points of a time line.
POINTS = 120

#: Rows that a cell of a column over time has, if it can, and the fewest cells of a range.
ENOUGH, FEWEST = 20, 12

#: Levels of a heat map, as SQL ranks them; each is a class of page.css. The last two are drifts, the stronger beyond
#: twice its threshold.
LEVELS = ("", "h-none", "h-ok", "h-warning", "h-drift", "h-strong")

_LEVELS = """
    SELECT role, "column", max(CASE state
        WHEN 'drift' THEN CASE WHEN value > 2 * max(critical, floor) THEN 5 ELSE 4 END
        WHEN 'warning' THEN 3 WHEN 'ok' THEN 2 ELSE 1 END) AS level
    FROM drift WHERE at = ? AND model = ? GROUP BY role, "column"
"""

#: A verdict of the last evaluation in [?1, ?2), and which one of that evaluation's it is.
_VERDICT = """
    SELECT d.id - first.id AS place, d.at, d.value, d.critical, d.floor, d.n, d.state
    FROM (SELECT at, id FROM drift
          WHERE at = (SELECT max(at) FROM drift WHERE at >= ?1 AND at < ?2 AND model = ?3) AND model = ?3
          ORDER BY id LIMIT 1) first
    JOIN drift d ON d.at = first.at
    WHERE d."column" = ?4 AND d.role = ?5 AND d.rule = ?6 AND d.statistic = ?7 AND d.model = ?3
"""

Cell = dict[tuple[str, str], int]


def begins(connection: sqlite3.Connection, model: str) -> float:
    """When what is stored of a model begins, in seconds since 1970 UTC; infinite if there is nothing."""
    judged = connection.execute("SELECT at FROM drift WHERE model = ? ORDER BY at LIMIT 1", (model,)).fetchone()
    series = connection.execute("SELECT id FROM series WHERE model = ?", (model,)).fetchall()
    counted = min((first_start(connection, row["id"]) for row in series), default=math.inf)
    return min(counted, from_iso(judged["at"])) if judged else counted


def newest(connection: sqlite3.Connection) -> float:
    """Up to when there is a history, in seconds since 1970 UTC; 0 if there is none."""
    counted = connection.execute("SELECT max(start + seconds) FROM windows").fetchone()[0]
    judged = connection.execute("SELECT max(at) FROM drift").fetchone()[0]
    return max(counted or 0.0, from_iso(judged) if judged else 0.0)


def cell_length(seconds: float, every: float) -> int:
    """Seconds of one cell: so many that there are at most `CELLS`, and that there is an evaluation in each.

    They are round, so that the cells of a period that grows stay the same for a while.

    >>> cell_length(3600, 5.0), cell_length(3600, 600.0), cell_length(86400, 60.0)
    (60, 600, 1800)
    """
    least = max(seconds / CELLS, every)
    return next((length for length in LENGTHS if length >= least), math.ceil(least))


class HeatMap:
    """Levels of all columns over time. Cells that are over never change, so each is read once."""

    def __init__(self) -> None:
        self._cells: OrderedDict[tuple[int, int], Cell] = OrderedDict()

    def read(self, connection: sqlite3.Connection, of: Subject, start: float, end: float, length: int) -> list[Cell]:
        """Levels of a model, of any version, in each cell of `length` seconds from `start` to `end`, oldest first.

        Each is an index into `LEVELS` by (role, column). One map is for one model.
        """
        out = []
        for index in range(math.floor(start / length), math.floor(end / length) + 1):
            key = (length, index)
            cell = self._cells.get(key)
            if cell is None:
                at = _last(connection, of, iso(index * length), iso((index + 1) * length))
                rows = connection.execute(_LEVELS, (at, of.model))
                cell = {(row["role"], row["column"]): row["level"] for row in rows}
                # An evaluation is stamped before it is committed: wait a while before a cell counts as over.
                if (index + 1) * length < end - 120:
                    self._cells[key] = cell
            out.append(cell)
        while len(self._cells) > 6 * CELLS:
            self._cells.popitem(last=False)
        return out


class Point(NamedTuple):
    """A stored verdict on a time line; times in seconds since 1970 UTC."""

    at: float
    value: float | None
    critical: float | None
    floor: float | None
    n: int
    state: str


def verdicts(
    connection: sqlite3.Connection,
    of: Subject,
    role: Role,
    column: str,
    rule: str,
    statistic: str,
    start: float,
    end: float,
) -> list[Point]:
    """Verdicts on a column by one statistic of a rule, of all versions of a model, oldest first, thinned.

    Of each of `POINTS` even cells of the range the last evaluation is read.
    """
    bounds = [iso(moment) for moment in np.linspace(start, end, POINTS + 1).tolist()]
    bounds[-1] = iso(end + 1)
    names, place, out = (of.model, column, role, rule, statistic), 0, []
    for cell in pairwise(bounds):
        # An evaluation has thousands of verdicts, mostly in the order of the one before: this one is looked for there.
        row = connection.execute(f"{_VERDICT} AND d.id = first.id + ?8", (*cell, *names, place)).fetchone()
        if row := row or connection.execute(_VERDICT, (*cell, *names)).fetchone():
            place, at, *rest = row
            out.append(Point(from_iso(at), *rest))
    return out


def usual_verdicts(
    connection: sqlite3.Connection, of: Subject, role: Role, column: str, rule: str, statistic: str, start: float
) -> list[Point]:
    """Every verdict since `start` on a column by what is usual, oldest first; `at` is when its window ended."""
    rows = connection.execute(
        "SELECT window_end, value, critical, floor, n, state FROM drift WHERE substr(statistic, 1, 6) = 'usual ' "
        'AND "column" = ? AND role = ? AND statistic = ? AND at >= ? '
        "AND rule = ? AND model = ? ORDER BY at",
        (column, role, statistic, iso(start), rule, of.model),
    )
    return [Point(from_iso(row[0]), *row[1:]) for row in rows]


def _last(connection: sqlite3.Connection, of: Subject, start: str, end: str) -> str | None:
    """The last evaluation of a model in [start, end)."""
    sql = "SELECT max(at) AS at FROM drift WHERE at >= ? AND at < ? AND model = ?"
    at: str | None = connection.execute(sql, (start, end, of.model)).fetchone()["at"]
    return at


def cell_width(begins: Floats, n: Floats, width: float, longest: float, most: float) -> float:
    """Seconds of a cell: `width`, or as much more as rolled up windows or sparse traffic ask for, up to `most`.

    `begins`, `n`: of the windows, by time. `longest`: seconds of the longest window. Most pauses between windows fit
    into a cell, and a cell in the middle has `ENOUGH` rows, since fewer show their own chance only.

    >>> minutes = np.arange(0.0, 6000.0, 60.0)
    >>> cell_width(minutes, np.full(100, 30.0), 180, 60, 6000), cell_width(minutes[::20], np.ones(5), 60, 60, 6000)
    (180, 6000)
    """
    pauses = np.diff(np.unique(begins))
    pause = float(np.quantile(pauses, 0.9)) if len(pauses) else 0.0
    if pause > width:
        width = min(2 * pause, most)
    _, inverse = np.unique(np.floor(begins / width), return_inverse=True)
    rows = float(np.median(np.bincount(inverse, weights=n)))
    wider = math.ceil(width * max(ENOUGH / max(rows, 1.0), 1.0))
    return max(longest, min(wider, most)) if wider > width else max(longest, width)


@dataclass(frozen=True)
class Series:
    """Counts of one column over time. `starts`: (T,), seconds since 1970 UTC; `counts`: (T, size); `sums`: (T,)."""

    starts: Floats
    counts: Floats
    sums: Floats
    width: float


def windows(
    connection: sqlite3.Connection, of: Counted, position: int, start: float, end: float, width: float
) -> Series:
    """Sum one column's windows into cells of `width` seconds, or of more (`cell_width`); empty cells are left out.

    Of all versions of the model that have this reference; `position`: the column's place in it.
    """
    column = of.schema.columns[position]
    rows = connection.execute(
        "SELECT w.start, w.seconds, h.counts, h.sum FROM windows w JOIN series m ON m.id = w.series_id "
        "JOIN columns c ON c.series_id = m.id AND c.position = ? "
        "JOIN window_counts h ON h.window_id = w.id AND h.column_id = c.id "
        "WHERE (m.model, m.reference_sha256) = (?, ?) AND w.finest AND w.start >= ? AND w.start < ? ORDER BY w.start",
        (position, of.model, of.reference.identity, math.floor(start), math.ceil(end)),
    ).fetchall()
    if not rows:
        return Series(np.zeros(0), np.zeros((0, column.size)), np.zeros(0), width)
    texts, sizes = [row["counts"] for row in rows], [column.size] * len(rows)
    counts = unpack(texts, sizes).reshape(len(rows), column.size).astype(np.float64)
    begins = np.array([row["start"] for row in rows], dtype=np.float64)
    longest = max(row["seconds"] for row in rows)
    width = cell_width(begins, counts.sum(axis=1), width, longest, (end - start) / FEWEST)
    cells, first = np.unique(np.floor(begins / width), return_index=True)
    sums = np.array([row["sum"] or 0.0 for row in rows])
    return Series(cells * width, np.add.reduceat(counts, first, axis=0), np.add.reduceat(sums, first), width)


def version_changes(
    connection: sqlite3.Connection, of: Counted, start: float, end: float, most: int = 12
) -> list[tuple[float, str]]:
    """Windows of [start, end) from which another version of the model answered, the first ones, and that version."""
    rows = connection.execute(
        "SELECT start, version FROM (SELECT w.start, m.version, lag(m.version) OVER (ORDER BY w.start, w.id) AS before "
        "FROM windows w JOIN series m ON m.id = w.series_id WHERE (m.model, m.name) = (?, ?) AND w.finest "
        "AND w.start >= ? AND w.start < ?) WHERE version <> before ORDER BY start LIMIT ?",
        (of.model, of.subject.series, math.floor(start), math.ceil(end), most),
    )
    return [(float(row[0]), str(row[1])) for row in rows]


def unseen_values(connection: sqlite3.Connection, of: Counted, position: int, most: int = 20) -> list[Row]:
    """Values that the reference does not have, the most frequent first: value, count, first_seen, last_seen."""
    return read(
        connection,
        "SELECT u.value, u.count, u.first_seen, u.last_seen FROM unseen_values u "
        "JOIN columns c ON c.id = u.column_id JOIN series m ON m.id = c.series_id "
        "WHERE (m.model, m.reference_sha256) = (?, ?) AND c.position = ? ORDER BY u.count DESC, u.value LIMIT ?",
        (of.model, of.reference.identity, position, most),
    )
