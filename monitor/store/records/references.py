"""Accepted references: periods of production that an operator has made the new normal of columns of a model.

A row is about one column and is never changed, so who accepted what, when and why stays on record. The newest row of a
column holds: an accepted period, or, after a reset, the training data. The counts are kept in the row, since its
windows are rolled up and pruned one day. Functions of a connection; the caller owns the transaction.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from monitor import words
from monitor.clock import from_iso, iso
from monitor.columns.batch import Batch
from monitor.columns.column import Counts
from monitor.drift.result import Span, Subject
from monitor.errors import StoreError
from monitor.series import Series
from monitor.store.records.history import newest
from monitor.store.records.rows import Row, append, read
from monitor.store.windows.ranges import sum_range
from monitor.store.windows.rows import load_version, read_meta

ACCEPT, RESET = "accept", "reset"

#: Until when the history was replayed at its own times, in seconds since 1970 UTC: a key of `meta`.
REPLAYED = "replayed"

#: Which row each column is compared with, by the column's position; columns that are not in it with training.
Standing = Mapping[int, int]


@dataclass(frozen=True)
class Accepted:
    """A period that is one column's reference now. `counts`: shape (bins of the column,)."""

    id: int
    start: str
    end: str
    n: int
    counts: Counts
    sum: float

    @property
    def name(self) -> str:
        """How verdicts name it."""
        return f"accepted {self.start}/{self.end} #{self.id}"


def accepted_id(name: str) -> int | None:
    """Row that a verdict's reference names; None for any other kind of reference.

    >>> accepted_id("accepted 2026-03-01T00:00:00Z/2026-03-08T00:00:00Z #3"), accepted_id("training 0123456789ab")
    (3, None)
    """
    kind, _, rest = name.partition(" ")
    return int(rest.rpartition("#")[2]) if kind == "accepted" else None


def weigh(connection: sqlite3.Connection, series: Series, span: Span, least: int) -> Batch:
    """Sum a stretch up that is to be accepted. Raises StoreError if it holds fewer than `least` predictions."""
    batch = sum_range(connection, series, span.start, span.end)
    if batch.n < max(least, 1):
        held = f"{iso(span.start)} to {iso(span.end)} holds {words.counted(batch.n, 'prediction')}"
        needed = f"a reference needs {max(least, 1)} (the largest min_samples of the rules): wait, or begin earlier"
        raise StoreError(f"{held} of model {series.version}; {needed}")
    return batch


def accept(
    connection: sqlite3.Connection,
    span: Span,
    author: str,
    reason: str,
    now: float,
    least: int = 1,
    columns: Sequence[int] = (),
    model: str | None = None,
) -> None:
    """Make a period the reference of some columns of the model that is served, of all without `columns`.

    `columns`: positions in the schema. `model`: its name; None for the one that was served last. In a history that was
    replayed at its own times it holds from the end of the period, as if it had been accepted then. Raises StoreError if
    the period holds fewer than `least` predictions.
    """
    series = load_version(connection, model=model)
    batch = weigh(connection, series, span, least)
    since = min(span.end, newest(connection)) if _replayed(connection) else now
    parts, by = series.schema.split(batch.counts), {"author": author, "reason": reason}
    kept = {"action": ACCEPT, "since": iso(since), **span.to_json(), "n": batch.n}
    for position in columns or range(len(parts)):
        total = float(batch.sums[position]) if series.schema.columns[position].numeric else None
        counts = json.dumps(parts[position].tolist(), separators=(",", ":"))
        _enter(connection, series, position, now, {**kept, "counts": counts, "sum": total, **by})


def reset(
    connection: sqlite3.Connection,
    author: str,
    reason: str,
    now: float,
    columns: Sequence[int] = (),
    model: str | None = None,
) -> None:
    """Compare columns with the training data again, all without `columns`. Raises StoreError if they are already."""
    series = load_version(connection, model=model)
    standing, replayed = current(connection, series), _replayed(connection)
    chosen = [position for position in columns or standing if position in standing]
    if not chosen:
        raise StoreError(f"model {series.version} is compared with its training data already")
    for position in chosen:
        rows = connection.execute("SELECT since FROM reference_changes WHERE id = ?", (standing[position],))
        (since,) = rows.fetchone() if replayed else (iso(now),)
        _enter(connection, series, position, now, {"action": RESET, "since": since, "author": author, "reason": reason})


def _enter(connection: sqlite3.Connection, series: Series, position: int, now: float, row: Row) -> None:
    place = {"at": iso(now), "series_id": series.id, "column_id": series.column_ids[position]}
    append(connection, "reference_changes", [{**place, **row}])


def _replayed(connection: sqlite3.Connection) -> bool:
    """Whether all that is recorded was replayed at its own times, so that the clock of today says nothing about it."""
    return newest(connection) <= float(read_meta(connection, REPLAYED, "-1"))


def current(connection: sqlite3.Connection, series: Series) -> Standing:
    """Which rows the columns of a model are compared with now."""
    return standing_at(history(connection, series), math.inf)


def history(connection: sqlite3.Connection, series: Series) -> list[tuple[float, int, int | None]]:
    """All changes of a model in their order: since when, which column, and the row; None for a reset."""
    place = {column_id: position for position, column_id in enumerate(series.column_ids)}
    rows = connection.execute(
        "SELECT since, column_id, id, action FROM reference_changes WHERE series_id = ? ORDER BY id", (series.id,)
    )
    return [(from_iso(row[0]), place[row[1]], int(row[2]) if row[3] == ACCEPT else None) for row in rows]


def standing_at(changes: Sequence[tuple[float, int, int | None]], moment: float) -> Standing:
    """What held before a moment: of each column the last change that holds since before it.

    >>> changes = [(10.0, 0, 1), (10.0, 1, 2), (20.0, 0, None)]
    >>> standing_at(changes, 10.0), standing_at(changes, 15.0), standing_at(changes, 25.0)
    ({}, {0: 1, 1: 2}, {1: 2})
    """
    latest = {position: row for since, position, row in changes if since < moment}
    return {position: row for position, row in latest.items() if row is not None}


def load_accepted(connection: sqlite3.Connection, row_id: int) -> Accepted:
    """Read an accepted period. Raises KeyError for an id that names none."""
    row = connection.execute(
        'SELECT "start", "end", n, counts, sum FROM reference_changes WHERE id = ? AND action = ?', (row_id, ACCEPT)
    ).fetchone()
    if row is None:
        raise KeyError(row_id)
    start, end, n, counts, total = row
    return Accepted(row_id, start, end, n, np.array(json.loads(counts), np.int64), math.nan if total is None else total)


def accepted_periods(
    connection: sqlite3.Connection, of: Subject, role: str, column: str, after: float
) -> list[tuple[float, float]]:
    """Periods that were accepted for one column of a model version and end after a moment; seconds since 1970 UTC."""
    rows = connection.execute(
        'SELECT c."start", c."end" FROM reference_changes c JOIN columns k ON k.id = c.column_id '
        "JOIN series m ON m.id = c.series_id WHERE (c.action, m.model, m.version, k.role, k.name) = (?, ?, ?, ?, ?) "
        'AND c."end" > ? ORDER BY c.id',
        (ACCEPT, *of[:2], role, column, iso(after)),
    )
    return [(from_iso(row[0]), from_iso(row[1])) for row in rows]


#: What all rows of one change have in common.
_CHANGE = ("at", "model", "model_version", "action", "start", "end", "n", "author", "reason")


def changes(connection: sqlite3.Connection) -> list[Row]:
    """All that was accepted and reset, the newest first, columns of one change together.

    `in_force`: those of its `columns` that are compared with the period now.
    """
    rows = read(
        connection,
        'SELECT c.at, m.model, m.version AS model_version, c.action, c."start", c."end", c.n, c.author, c.reason, '
        "k.name, c.id, c.action = 'accept' "
        "AND c.id = (SELECT max(id) FROM reference_changes d WHERE d.column_id = c.column_id) "
        "AS in_force FROM reference_changes c JOIN series m ON m.id = c.series_id JOIN columns k ON k.id = c.column_id "
        "ORDER BY c.id",
    )
    listed = []
    for key, group in groupby(rows, key=itemgetter(*_CHANGE)):
        of = list(group)
        columns = {"columns": [row["name"] for row in of], "in_force": [row["name"] for row in of if row["in_force"]]}
        listed.append({"id": of[0]["id"], **dict(zip(_CHANGE, key, strict=True)), **columns})
    return listed[::-1]
