"""Accepted references: a stretch of production that somebody has made the new normal of a model.

Rows are only ever added, so who accepted what, when and why stays on record. The newest row of a model holds: an
accepted stretch, or, after a reset, the training data. The counts are kept in the row, since the windows that they were
summed up from are rolled up and pruned one day. Functions of a connection; the caller owns the transaction.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.clock import from_iso, iso
from monitor.columns.batch import Batch
from monitor.drift.result import Span
from monitor.series import Series
from monitor.store.windows.rows import load_series, sum_range

ACCEPT, RESET = "accept", "reset"


@dataclass(frozen=True)
class Accepted:
    """A stretch that stands for a model's reference. `batch`: what was served in it."""

    id: int
    start: str
    end: str
    batch: Batch

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


def served_model(connection: sqlite3.Connection) -> Series:
    """The model that predicted last. Raises ValueError where no model has been served yet."""
    row = (
        connection.execute("SELECT series_id FROM windows ORDER BY id DESC LIMIT 1").fetchone()
        or connection.execute("SELECT max(id) FROM series").fetchone()
    )
    if row[0] is None:
        raise ValueError("no model has been served yet")
    return load_series(connection, row[0])


def weigh(connection: sqlite3.Connection, series: Series, span: Span, least: int) -> Batch:
    """Sum a stretch up that is to be accepted. Raises ValueError where it holds fewer than `least` predictions."""
    batch = sum_range(connection, series, span.start, span.end)
    if batch.n < max(least, 1):
        raise ValueError(
            f"{iso(span.start)} to {iso(span.end)} holds {batch.n} predictions of model {series.version}; "
            f"a reference needs {max(least, 1)} (the largest min_samples of the rules)"
        )
    return batch


def accept(connection: sqlite3.Connection, span: Span, author: str, reason: str, now: float, least: int = 1) -> int:
    """Make a stretch the reference of the model that is served; the id of its row. Raises ValueError."""
    series = served_model(connection)
    batch = weigh(connection, series, span, least)
    bounds = span.to_json()
    counts = json.dumps([part.tolist() for part in series.schema.split(batch.counts)], separators=(",", ":"))
    sums = json.dumps(batch.sums.tolist())
    cursor = connection.execute(
        'INSERT INTO reference_changes (at, series_id, action, "start", "end", n, counts, sums, author, reason) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (iso(now), series.id, ACCEPT, bounds["start"], bounds["end"], batch.n, counts, sums, author, reason),
    )
    return int(cursor.lastrowid or 0)


def reset(connection: sqlite3.Connection, author: str, reason: str, now: float) -> None:
    """Go back to the training data. Raises ValueError where that is the reference already."""
    series = served_model(connection)
    if current(connection, series.id) is None:
        raise ValueError(f"model {series.version} is compared with its training data already")
    connection.execute(
        "INSERT INTO reference_changes (at, series_id, action, author, reason) VALUES (?, ?, ?, ?, ?)",
        (iso(now), series.id, RESET, author, reason),
    )


def current(connection: sqlite3.Connection, series_id: int) -> int | None:
    """Id of the accepted stretch that a model is compared with now; None for its training data."""
    row = connection.execute(
        "SELECT id, action FROM reference_changes WHERE series_id = ? ORDER BY id DESC LIMIT 1", (series_id,)
    ).fetchone()
    return None if row is None or row[1] != ACCEPT else int(row[0])


def in_force(connection: sqlite3.Connection, series_id: int) -> list[tuple[float, int | None]]:
    """Since when a model has been compared with what, the oldest first: ids of accepted stretches, None for a reset."""
    rows = connection.execute(
        "SELECT at, id, action FROM reference_changes WHERE series_id = ? ORDER BY id", (series_id,)
    )
    return [(from_iso(row[0]), int(row[1]) if row[2] == ACCEPT else None) for row in rows]


def load_accepted(connection: sqlite3.Connection, row_id: int) -> Accepted:
    """Read an accepted stretch. Raises KeyError for an id that names none."""
    row = connection.execute(
        'SELECT "start", "end", n, counts, sums FROM reference_changes WHERE id = ? AND action = ?', (row_id, ACCEPT)
    ).fetchone()
    if row is None:
        raise KeyError(row_id)
    counts = np.concatenate([np.array(part, dtype=np.int64) for part in json.loads(row[3])])
    return Accepted(row_id, row[0], row[1], Batch(row[2], counts, np.array(json.loads(row[4]))))


def changes(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """All that was accepted and reset, the newest first; `in_force` marks what a model is compared with now."""
    rows = connection.execute(
        'SELECT c.id, c.at, m.version AS model_version, c.action, c."start", c."end", c.n, c.author, c.reason, '
        "c.action = 'accept' AND c.id = (SELECT max(id) FROM reference_changes AS d WHERE d.series_id = c.series_id) "
        "AS in_force FROM reference_changes AS c JOIN series AS m ON m.id = c.series_id ORDER BY c.id DESC"
    )
    names = ("id", "at", "model_version", "action", "start", "end", "n", "author", "reason", "in_force")
    return [{**dict(zip(names, tuple(row), strict=True)), "in_force": bool(row[9])} for row in rows]
