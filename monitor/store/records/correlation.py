"""How alike the rows of one window are, by series and window length: what n is worth in a comparison with training.

`window_correlation` is only ever added to, so that a verdict can be worked out again by what was known at that time.
Functions of a connection; the caller owns the transaction.
"""

from __future__ import annotations

import json
import sqlite3

import numpy as np

from monitor.clock import from_iso, iso
from monitor.columns.column import Floats
from monitor.store.records.rows import append


def save(connection: sqlite3.Connection, series_id: int, hours: int, at: float, rho: Floats, *, settled: bool) -> None:
    """Store what holds from `at` on. `rho`: shape (columns, 3). `settled`: nothing more will be learnt."""
    row = {"series_id": series_id, "hours": hours, "at": iso(at), "settled": settled, "rho": json.dumps(rho.tolist())}
    append(connection, "window_correlation", [row])


def newest(connection: sqlite3.Connection, series_id: int, hours: int, at: float) -> tuple[float, bool] | None:
    """When it was last learnt for a window length up to `at`, and whether that was settled; None if never."""
    row = connection.execute(
        "SELECT at, settled FROM window_correlation WHERE series_id = ? AND hours = ? AND at <= ? "
        "ORDER BY at DESC, id DESC LIMIT 1",
        (series_id, hours, iso(at)),
    ).fetchone()
    return None if row is None else (from_iso(row[0]), bool(row[1]))


def in_force(connection: sqlite3.Connection, series_id: int, seconds: float, at: float) -> Floats | None:
    """Correlation for a window of so many seconds that is judged at `at`, shape (columns, 3); None: nothing is known.

    That of the longest windows that are no longer, or else of the shortest: rows of shorter windows are more alike.
    """
    row = connection.execute(
        "SELECT rho FROM window_correlation WHERE series_id = ? AND at <= ? "
        "ORDER BY hours * 3600 - 3599 > ?, abs(hours * 3600 - ?), at DESC, id DESC LIMIT 1",
        (series_id, iso(at), seconds, seconds),
    ).fetchone()
    return None if row is None else np.array(json.loads(row[0]), dtype=np.float64).reshape(-1, 3)


def changes(connection: sqlite3.Connection, series_id: int) -> list[float]:
    """When something was learnt, in order."""
    rows = connection.execute("SELECT at FROM window_correlation WHERE series_id = ?", (series_id,))
    return sorted(from_iso(row[0]) for row in rows)
