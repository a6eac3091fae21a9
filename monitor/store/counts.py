"""Where the counts of a window lie: a row for each column, under `id = window * SLOTS + position of the column`.

Two tables of one shape. While a window is open its rows are in `open_counts`, which is small and written anew with
every fold; once it is sealed they move, for good, to the end of `sealed_counts`. Rows that only ever come at the end
fill their pages whole; rows that grow there, or that an index has in order, leave an eighth to a fifth of them empty.

Functions of a connection; the caller owns the transaction. Plain SQL reads both as one, by the view `histograms`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np

from monitor.errors import StoreError
from monitor.store.bulk import write_rows
from monitor.store.packing import pack, unpack
from monitor.window.columns import Counts, Floats

#: Room for a model's columns in the numbers of one window. It is part of the schema, and never changes.
SLOTS = 100_000

#: Up to so many columns are looked up one by one; for more, all of a window's are read.
FEW_COLUMNS = 32


def read(
    connection: sqlite3.Connection, window_id: int, positions: Sequence[int], sizes: Sequence[int]
) -> tuple[Counts, Floats]:
    """Counts of some columns of a window, one after the other, and their sums (0 where not numeric).

    `sizes`: how many counts each of the columns has. Raises StoreError for a window that has not just these.
    """
    rows = _rows(connection, "sealed_counts", window_id, positions)
    if not rows:
        rows = _rows(connection, "open_counts", window_id, positions)
    try:
        counts = unpack([str(row[0], "utf-8") for row in rows], sizes)
    except (TypeError, ValueError):
        raise StoreError(
            f"window {window_id} is damaged: its histograms do not have the bins of the model's columns"
        ) from None
    return counts, np.array([row[1] or 0.0 for row in rows])


def _rows(
    connection: sqlite3.Connection, table: str, window_id: int, positions: Sequence[int]
) -> list[tuple[bytes, float | None]]:
    """Text in UTF-8, if it is not damaged, and sum of the columns that are there, in the order of `positions`."""
    cursor, first = connection.cursor(), window_id * SLOTS
    cursor.row_factory = None  # a quarter of the time goes into sqlite3.Row otherwise
    if len(positions) <= FEW_COLUMNS:
        sql = f"SELECT CAST(counts AS BLOB), sum FROM {table} WHERE id = ?"  # noqa: S608 - one of two names
        found = [cursor.execute(sql, (first + position,)).fetchone() for position in positions]
        return [row for row in found if row is not None]
    sql = f"SELECT id, CAST(counts AS BLOB), sum FROM {table} WHERE id >= ? AND id < ?"  # noqa: S608 - one of two names
    known = {row[0] - first: row[1:] for row in cursor.execute(sql, (first, first + SLOTS))}
    return [known[position] for position in positions if position in known]


def write_open(
    connection: sqlite3.Connection, window_id: int, counts: Counts, sizes: Sequence[int], sums: Sequence[float | None]
) -> None:
    """Set the counts of an open window: of all its columns, as `read` gives them. `sums`: None for one without."""
    rows = _rows_of(window_id, counts, sizes, sums)
    write_rows(connection, "INSERT OR REPLACE INTO open_counts (id, counts, sum)", rows)


def write_sealed(
    connection: sqlite3.Connection, window_id: int, counts: Counts, sizes: Sequence[int], sums: Sequence[float | None]
) -> None:
    """Enter the counts of a window that is made whole."""
    rows = _rows_of(window_id, counts, sizes, sums)
    connection.executemany("INSERT INTO sealed_counts (id, counts, sum) VALUES (?, ?, ?)", rows)


def _rows_of(
    window_id: int, counts: Counts, sizes: Sequence[int], sums: Sequence[float | None]
) -> Iterable[tuple[int, str, float | None]]:
    first = window_id * SLOTS
    return zip(range(first, first + len(sizes)), pack(counts, sizes), sums, strict=True)


def move_sealed(connection: sqlite3.Connection, window_ids: Iterable[int]) -> None:
    """Move the counts of windows that have just been sealed to where they stay."""
    for window_id in window_ids:
        bounds = (window_id * SLOTS, (window_id + 1) * SLOTS)
        connection.execute(
            "INSERT INTO sealed_counts SELECT * FROM open_counts WHERE id >= ? AND id < ? ORDER BY id", bounds
        )
        connection.execute("DELETE FROM open_counts WHERE id >= ? AND id < ?", bounds)


def drop(connection: sqlite3.Connection, window_ids: Iterable[int]) -> None:
    """Drop the counts of sealed windows."""
    connection.executemany(
        "DELETE FROM sealed_counts WHERE id >= ? AND id < ?",
        ((window_id * SLOTS, (window_id + 1) * SLOTS) for window_id in window_ids),
    )
