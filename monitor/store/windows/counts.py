"""Where the counts of a window lie: a row for each column, under `id = window * SLOTS + position of the column`.

Two tables of one shape. While a window is open its rows are in `open_counts`, which is small and written anew with
every fold; once it is sealed they move, for good, to the end of `sealed_counts`. Rows that only ever come at the end
fill their pages whole; rows that grow there, or that an index has in order, leave an eighth to a fifth of them empty.

Functions of a connection; the caller owns the transaction. Plain SQL reads both as one, by the view `histograms`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from monitor.columns.column import Counts, Floats
from monitor.errors import StoreError
from monitor.store.audit import seals
from monitor.store.file.bulk import write_rows
from monitor.store.windows.packing import pack, unpack

#: Room for a model's columns in the numbers of one window. It is part of the schema, and never changes.
SLOTS = 100_000

#: Texts that are unpacked in one go.
TEXTS = 1000

#: Rows passed over for each column that is wanted, beyond which the columns of a window are looked up one by one.
PASSED = 4


def read(
    connection: sqlite3.Connection, window_ids: Sequence[int], positions: Sequence[int], sizes: Sequence[int]
) -> Iterator[tuple[Counts, Floats]]:
    """Counts of some columns of windows, and their sums (0 where not numeric), some windows at a time.

    Shapes: (windows, counts of one column after the other) and (windows, columns). `sizes`: how many counts each of the
    columns has. Raises StoreError for a window that has not just these.
    """
    step = max(1, TEXTS // len(positions))
    for first in range(0, len(window_ids), step):
        yield _read(connection, window_ids[first : first + step], positions, sizes)


def add_up(
    connection: sqlite3.Connection, window_ids: Sequence[int], positions: Sequence[int], sizes: Sequence[int]
) -> tuple[Counts, Floats]:
    """Sum of some columns of windows: counts and sums. The rest is as in `read`."""
    counts, sums = np.zeros(sum(sizes), dtype=np.int64), np.zeros(len(sizes))
    for some_counts, some_sums in read(connection, window_ids, positions, sizes):
        counts += some_counts.sum(axis=0)
        for row in some_sums:  # numpy would add floats in an order that depends on how many there are
            sums += row
    return counts, sums


def _read(
    connection: sqlite3.Connection, window_ids: Sequence[int], positions: Sequence[int], sizes: Sequence[int]
) -> tuple[Counts, Floats]:
    rows = []
    for window_id in window_ids:
        rows += _rows(connection, "sealed_counts", window_id, positions) or _rows(
            connection, "open_counts", window_id, positions
        )
    try:
        counts = unpack([str(row[0], "utf-8") for row in rows], [*sizes] * len(window_ids))
    except (TypeError, ValueError):
        if len(window_ids) > 1:
            for window_id in window_ids:  # which one it is
                _read(connection, [window_id], positions, sizes)
        raise StoreError(
            f"window {window_ids[0]} is damaged: its histograms do not have the bins of the model's columns"
        ) from None
    sums = np.array([row[1] or 0.0 for row in rows])
    return counts.reshape(len(window_ids), -1), sums.reshape(len(window_ids), -1)


def _rows(
    connection: sqlite3.Connection, table: str, window_id: int, positions: Sequence[int]
) -> list[tuple[bytes, float | None]]:
    """Text in UTF-8, if it is not damaged, and sum of the columns that are there, in the order of `positions`."""
    cursor, first = connection.cursor(), window_id * SLOTS
    cursor.row_factory = None  # a quarter of the time goes into sqlite3.Row otherwise
    low, high = min(positions), max(positions)
    sql = f"SELECT id, CAST(counts AS BLOB), sum FROM {table} WHERE id BETWEEN ? AND ?"  # noqa: S608 - one of two names
    if high - low < PASSED * len(positions):
        found = cursor.execute(sql, (first + low, first + high)).fetchall()
    else:
        each = [cursor.execute(sql, (first + position, first + position)).fetchone() for position in positions]
        found = [row for row in each if row is not None]
    known = {row[0] - first: row[1:] for row in found}
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
    seals.add(connection, "sealed_counts", "id >= ? AND id < ?", *_bounds(window_id))


def _rows_of(
    window_id: int, counts: Counts, sizes: Sequence[int], sums: Sequence[float | None]
) -> Iterable[tuple[int, str, float | None]]:
    first = window_id * SLOTS
    return zip(range(first, first + len(sizes)), pack(counts, sizes), sums, strict=True)


def move_sealed(connection: sqlite3.Connection, window_ids: Iterable[int]) -> None:
    """Move the counts of windows that have just been sealed to where they stay."""
    for window_id in window_ids:
        bounds = _bounds(window_id)
        connection.execute(
            "INSERT INTO sealed_counts SELECT * FROM open_counts WHERE id >= ? AND id < ? ORDER BY id", bounds
        )
        connection.execute("DELETE FROM open_counts WHERE id >= ? AND id < ?", bounds)
        seals.add(connection, "sealed_counts", "id >= ? AND id < ?", *bounds)


def drop(connection: sqlite3.Connection, window_ids: Iterable[int]) -> None:
    """Drop the counts of sealed windows."""
    for window_id in window_ids:
        seals.delete(connection, "sealed_counts", "id >= ? AND id < ?", *_bounds(window_id))


def _bounds(window_id: int) -> tuple[int, int]:
    """First number of a window's counts, and that of the next window's."""
    return window_id * SLOTS, (window_id + 1) * SLOTS
