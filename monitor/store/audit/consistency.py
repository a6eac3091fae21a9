"""What must add up and is in no seal: open windows, running totals, and how windows stand to one another.

Each function only reads, and yields what is not as it must be: where (`windows 17`), and what is wrong.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping

from monitor.store.windows.counts import SLOTS
from monitor.store.windows.packing import unpack

Finding = tuple[str, str]


#: What must hold between windows; each finds the ids of those for which it does not.
_WINDOW_RULES: Mapping[str, str] = {
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


def windows(connection: sqlite3.Connection) -> Iterator[Finding]:
    """What a seal leaves out, since it changes later; and counts that belong to no window."""
    for what, sql in _WINDOW_RULES.items():
        for (row,) in connection.execute(sql).fetchmany(10):
            yield f"windows {row}", what
    sql = (
        f"SELECT DISTINCT h.id / {SLOTS} FROM sealed_counts h LEFT JOIN windows w ON w.id = h.id / {SLOTS} "  # noqa: S608
        "WHERE w.sealed IS NOT 1"
    )
    for (row,) in connection.execute(sql).fetchmany(10):
        yield f"sealed_counts of window {row}", "there is no such sealed window"


def open_windows(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Every column of an open window has all its predictions, and nothing else lies with them."""
    sql = (
        f"SELECT DISTINCT h.id / {SLOTS}, h.id % {SLOTS} FROM open_counts h "  # noqa: S608 - a number
        f"LEFT JOIN windows w ON w.id = h.id / {SLOTS} AND NOT w.sealed "
        f"LEFT JOIN columns c ON c.series_id = w.series_id AND c.position = h.id % {SLOTS} WHERE c.id IS NULL"
    )
    for window, position in connection.execute(sql).fetchmany(10):
        yield f"open_counts of window {window}, column {position}", "there is no such open window, or column"
    sql = (
        "SELECT w.id, c.name, w.n, json_array_length(c.bins), h.counts FROM windows w "  # noqa: S608 - a number
        "JOIN columns c ON c.series_id = w.series_id "
        f"LEFT JOIN open_counts h ON h.id = w.id * {SLOTS} + c.position WHERE NOT w.sealed"
    )
    for window, name, n, size, counts in connection.execute(sql).fetchall():
        if counts is None or _total_packed(counts, size) != n:
            what = "are not there" if counts is None else f"do not add up to the window's {n} predictions"
            yield f"histograms of window {window}, column {name}", f"the counts {what}"


def totals(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Each column has all predictions of its model, and so have the windows and what was pruned."""
    for series, predictions, pruned, counted in connection.execute(
        "SELECT m.id, m.predictions, m.pruned, (SELECT sum(n) FROM windows w WHERE w.series_id = m.id AND w.finest) "
        "FROM series m"
    ).fetchall():
        if (counted or 0) + pruned != predictions:
            what = f"the series has {predictions} predictions, and its windows do not add up to that"
            yield f"series {series}", what
    for name, predictions, counts in connection.execute(
        "SELECT c.name, m.predictions, t.counts FROM series m JOIN columns c ON c.series_id = m.id "
        "LEFT JOIN totals t ON t.column_id = c.id"
    ).fetchall():
        if counts is None or _total(counts) != predictions:
            what = f"the counts do not add up to the model's {predictions} predictions"
            yield f"totals of column {name}", what


def _total_packed(counts: str, size: int) -> int | None:
    """Sum of a window's counts; None if they are not as Telltale packs them."""
    try:
        return int(unpack([counts], [size]).sum())
    except (TypeError, ValueError):
        return None


def _total(counts: str) -> int | None:
    """Sum of a row's counts; None where they are no list of whole numbers."""
    try:
        values = json.loads(counts)
    except ValueError:
        return None
    if not isinstance(values, list) or any(type(value) is not int or value < 0 for value in values):
        return None
    return sum(values)
