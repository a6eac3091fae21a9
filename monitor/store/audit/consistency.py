"""What must add up: open windows, running totals and unseen values, which change too often to be in the chain.

Each function only reads, and yields what is not as it must be: where (`windows 17`), and what is wrong.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from monitor.store.audit import chain
from monitor.store.audit.digest import row_digest
from monitor.store.windows.counts import SLOTS
from monitor.store.windows.packing import to_json

Finding = tuple[str, str]


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
        "SELECT w.id, c.name, w.n, h.counts FROM windows w JOIN columns c ON c.series_id = w.series_id "  # noqa: S608
        f"LEFT JOIN open_counts h ON h.id = w.id * {SLOTS} + c.position WHERE NOT w.sealed"
    )
    for window, name, n, counts in connection.execute(sql).fetchall():
        if counts is None or _total_packed(counts) != n:
            what = "are not there" if counts is None else f"do not add up to the window's {n} predictions"
            yield f"histograms of window {window}, column {name}", f"the counts {what}"


def totals(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Each column has all predictions of its model, and so have the windows and what was pruned."""
    pruned = chain.read_root(connection, "days").totals
    for series, predictions, counted in connection.execute(
        "SELECT m.id, m.predictions, (SELECT sum(n) FROM windows w WHERE w.series_id = m.id AND w.finest) FROM series m"
    ).fetchall():
        if (counted or 0) + pruned.get(chain.predictions_of(series), 0) != predictions:
            what = f"the series has {predictions} predictions, and its windows do not add up to that"
            yield f"series {series}", what
    for name, predictions, counts in connection.execute(
        "SELECT c.name, m.predictions, t.counts FROM series m JOIN columns c ON c.series_id = m.id "
        "LEFT JOIN totals t ON t.column_id = c.id"
    ).fetchall():
        if counts is None or _total(counts) != predictions:
            what = f"the counts do not add up to the model's {predictions} predictions"
            yield f"totals of column {name}", what


def unseen_values(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Each has the mark that was made of it."""
    sql = "SELECT column_id, value, count, first_seen, last_seen, mark FROM unseen_values"
    for *row, mark in connection.execute(sql).fetchall():
        if mark != row_digest(row)[:8]:
            yield f"unseen_values {row[0]} {row[1]!r}", "was changed after it had been written"


def _total_packed(counts: str) -> int | None:
    """Sum of a window's counts; None where they are not as Telltale packs them."""
    try:
        return _total(to_json(counts))
    except ValueError:
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
