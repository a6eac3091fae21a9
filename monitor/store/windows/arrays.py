"""Stored windows one after the other, as arrays: what the past is judged from anew.

Functions of a connection that only read. They see the shortest windows there are of each stretch (`finest`): minutes
for a week, then hours, then days, by default.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Counts, Floats
from monitor.series import Series
from monitor.store.windows.counts import read
from monitor.store.windows.window_cover import lengths


@dataclass(frozen=True)
class Timeline:
    """W windows by time. `starts`, `seconds`, `n`: shape (W,); `counts`: (W, bins); `sums`: (W, columns)."""

    starts: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.int64]
    n: npt.NDArray[np.int64]
    counts: Counts
    sums: Floats


def list_windows(connection: sqlite3.Connection, series_id: int, start: float, end: float) -> list[tuple[int, ...]]:
    """(start, id, seconds, n) of the shortest windows that begin in [start, end), in order."""
    found: list[tuple[int, ...]] = []
    for seconds in lengths(connection, series_id):
        rows = connection.execute(
            "SELECT start, id, seconds, n FROM windows "
            "WHERE series_id = ? AND seconds = ? AND start >= ? AND start < ? AND finest",
            (series_id, seconds, math.ceil(start), math.ceil(end)),
        )
        found.extend(tuple(row) for row in rows)
    return sorted(found)


def list_sizes(connection: sqlite3.Connection, series_id: int, start: float, end: float) -> list[tuple[int, int]]:
    """Start and number of predictions of the windows that begin in [start, end), in order."""
    return [(row[0], row[3]) for row in list_windows(connection, series_id, start, end)]


def first_start(connection: sqlite3.Connection, series_id: int) -> float:
    """Start of the oldest window; infinite if there is none."""
    starts = [
        connection.execute(
            "SELECT min(start) FROM windows WHERE series_id = ? AND seconds = ?", (series_id, seconds)
        ).fetchone()[0]
        for seconds in lengths(connection, series_id)
    ]
    return min((float(start) for start in starts if start is not None), default=math.inf)


def read_timeline(
    connection: sqlite3.Connection,
    series: Series,
    start: float,
    end: float,
    columns: Sequence[int] = (),
    longest: float = math.inf,
) -> Timeline:
    """Read the windows that begin in [start, end). `columns`: positions in the schema, all where there are none.

    Windows of more than `longest` seconds are left out.

    Raises StoreError for a window that does not have the model's columns and bins.
    """
    chosen = list(columns) or list(range(len(series.column_ids)))
    sizes = [series.sizes[position] for position in chosen]
    windows = [window for window in list_windows(connection, series.id, start, end) if window[2] <= longest]
    counts, sums = np.zeros((len(windows), sum(sizes)), dtype=np.int64), np.zeros((len(windows), len(sizes)))
    done = 0
    for some_counts, some_sums in read(connection, [window[1] for window in windows], chosen, sizes):
        some = slice(done, done + len(some_counts))
        counts[some], sums[some] = some_counts, some_sums
        done = some.stop
    table = np.array(windows, dtype=np.int64).reshape(-1, 4)
    return Timeline(table[:, 0], table[:, 2], table[:, 3], counts, sums)


def bounds(connection: sqlite3.Connection, series_id: int) -> tuple[float, float] | None:
    """Beginning of a model's first window and end of its last one; None where it has none."""
    row = connection.execute("SELECT min(start), max(start + seconds) FROM windows WHERE series_id = ?", (series_id,))
    first, last = row.fetchone()
    return None if first is None else (float(first), float(last))
