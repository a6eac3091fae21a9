"""Reads stored windows: sums over any stretch of time, one window after the other, and range queries as plain data.

A window is rolled up into an hour, and the hour into a day (`parent_id`): both rows have the same predictions, and an
answer takes one of them: the longer one if all of it is in the stretch (`find_tiles`), or the shortest
(`list_windows`). What has no shorter windows any more (`finest`) is taken where it begins. Functions of a connection
that only read.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.clock import DAY, HOUR, iso
from monitor.columns.batch import Batch, empty_batch
from monitor.columns.column import Counts, Floats
from monitor.drift.result import Subject
from monitor.errors import InputError
from monitor.series import Series
from monitor.store.windows.counts import add_up, read
from monitor.store.windows.rows import list_gaps

#: Steps that one answer has at most: Prometheus stops at as many.
MAX_STEPS = 11_000


class Tile(NamedTuple):
    """One row that takes part in an answer: the predictions of [start, start + seconds)."""

    id: int
    start: int
    seconds: int
    n: int


@dataclass(frozen=True)
class Timeline:
    """W windows by time. `starts`, `seconds`, `n`: shape (W,); `counts`: (W, bins); `sums`: (W, columns)."""

    starts: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.int64]
    n: npt.NDArray[np.int64]
    counts: Counts
    sums: Floats


def lengths(connection: sqlite3.Connection, series_id: int) -> list[int]:
    """Lengths of the windows that a model has, shortest first."""
    out = [0]
    while True:
        (shortest,) = connection.execute(
            "SELECT min(seconds) FROM windows WHERE series_id = ? AND seconds > ?", (series_id, out[-1])
        ).fetchone()
        if shortest is None:
            return out[1:]
        out.append(shortest)


def find_tiles(connection: sqlite3.Connection, series_id: int, start: float, end: float) -> list[Tile]:
    """Rows that hold the predictions of the windows that begin in [start, end), the fewest there are, by start."""
    begin, stop = math.ceil(start), math.ceil(end)
    found: list[Tile] = []
    for seconds in lengths(connection, series_id):
        pieces = [(begin, stop, "")]
        parent = HOUR if seconds < HOUR else DAY
        inner, outer = -(-begin // parent) * parent, stop // parent * parent
        if seconds < DAY and inner < outer:  # whole parents have what was rolled up
            pieces = [(begin, inner, ""), (inner, outer, "parent_id IS NULL AND"), (outer, stop, "")]
        for first, last, orphans in pieces:
            # SQLite does not choose the index over windows without a parent by itself.
            table = "windows INDEXED BY windows_not_rolled" if orphans else "windows"
            rows = connection.execute(
                f"SELECT id, start, seconds, n FROM {table} WHERE {orphans} series_id = ? AND seconds = ? "  # noqa: S608
                "AND start >= ? AND start < ? AND (finest OR start + seconds <= ?)",
                (series_id, seconds, first, last, stop),
            )
            found.extend(Tile(*row) for row in rows)
    return sorted(found, key=lambda tile: (tile.start, tile.id))


def list_windows(connection: sqlite3.Connection, series_id: int, start: float, end: float) -> list[Tile]:
    """The shortest windows that begin in [start, end), by start."""
    which = "series_id = ? AND seconds = ? AND start >= ? AND start < ? AND finest"
    sql = f"SELECT id, start, seconds, n FROM windows WHERE {which}"  # noqa: S608 - a constant
    found: list[Tile] = []
    for seconds in lengths(connection, series_id):
        values = (series_id, seconds, math.ceil(start), math.ceil(end))
        found.extend(Tile(*row) for row in connection.execute(sql, values))
    return sorted(found, key=lambda tile: (tile.start, tile.id))


def windows_of_model(connection: sqlite3.Connection, of: Subject, start: float, end: float) -> list[Tile]:
    """The shortest windows that begin in [start, end) of all versions of a model, by start."""
    ids = connection.execute("SELECT id FROM series WHERE (model, name) = (?, ?)", of[::2]).fetchall()
    return sorted(
        (one for (series_id,) in ids for one in list_windows(connection, series_id, start, end)),
        key=lambda tile: (tile.start, tile.id),
    )


def newest_window(connection: sqlite3.Connection) -> int:
    """The highest id of all windows, 0 if there is none: what comes later is in one beyond it."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM windows").fetchone()[0])


def late_windows(
    connection: sqlite3.Connection, series_id: int, seen: int, start: float, end: float, *, rolled: bool = False
) -> list[Tile]:
    """Windows of [start, end) that were filled from predictions after `seen` was the highest id.

    `rolled`: if they are gone, the second row of their hour that they were rolled up in.
    """
    rows = connection.execute(
        "SELECT id, start, seconds, n FROM windows AS late "
        "WHERE id > ? AND +series_id = ? AND start >= ? AND start < ? "  # by id: few are later
        "AND (NOT children OR (? AND finest AND seconds = 3600 AND EXISTS (SELECT 1 FROM windows AS made WHERE "
        "made.series_id = late.series_id AND made.seconds = 3600 AND made.start = late.start AND made.id < late.id)))",
        (seen, series_id, math.ceil(start), math.ceil(end), rolled),
    )
    return [Tile(*row) for row in rows]


def first_start(connection: sqlite3.Connection, series_id: int) -> float:
    """Start of the oldest window; infinite if there is none."""
    sql = "SELECT min(start) FROM windows WHERE series_id = ? AND seconds = ?"
    starts = [connection.execute(sql, (series_id, one)).fetchone()[0] for one in lengths(connection, series_id)]
    return min(map(float, starts), default=math.inf)


def bounds(connection: sqlite3.Connection, series_id: int) -> tuple[float, float] | None:
    """Beginning of a model's first window and end of its last one; None if it has none."""
    row = connection.execute("SELECT min(start), max(start + seconds) FROM windows WHERE series_id = ?", (series_id,))
    first, last = row.fetchone()
    return None if first is None else (float(first), float(last))


def sum_tiles(connection: sqlite3.Connection, series: Series, tiles: Sequence[Tile]) -> Batch:
    """Sum of some windows, all columns. Raises StoreError for one that does not have the model's columns and bins."""
    counts, sums = add_up(connection, [tile.id for tile in tiles], range(len(series.sizes)), series.sizes)
    return Batch(sum(tile.n for tile in tiles), counts, sums)


def sum_range(connection: sqlite3.Connection, series: Series, start: float, end: float) -> Batch:
    """Sum of the windows that begin in [start, end), each prediction once, from the fewest rows that have them."""
    return sum_tiles(connection, series, find_tiles(connection, series.id, start, end))


class KeptSums:
    """Sums of closed windows of a series, each read from the store once: who judges asks for the same ones again.

    `cells`: counts that are kept in memory.
    """

    def __init__(self, series: Series, cells: int) -> None:
        self._series, self._most = series, max(cells // series.schema.size, 1)
        self._known: dict[Tile, Batch] = {}

    def add_up(self, connection: sqlite3.Connection, tiles: Sequence[Tile]) -> Batch:
        """Sum of some windows, as of `sum_tiles`."""
        total = empty_batch(self._series.schema)
        for tile in tiles:
            if tile not in self._known:
                self._known[tile] = sum_tiles(connection, self._series, [tile])
            total.counts[:] += self._known[tile].counts
            total.sums[:] += self._known[tile].sums
        for tile in list(self._known)[: max(len(self._known) - self._most, 0)]:
            del self._known[tile]
        return Batch(sum(tile.n for tile in tiles), total.counts, total.sums)


def read_timeline(
    connection: sqlite3.Connection,
    series: Series,
    start: float,
    end: float,
    columns: Sequence[int] = (),
    longest: float = math.inf,
) -> Timeline:
    """Read the shortest windows that begin in [start, end), but for those of more than `longest` seconds.

    `columns`: positions in the schema; empty for all. Raises StoreError for a window that does not have the model's
    columns and bins.
    """
    chosen = list(columns) or list(range(len(series.sizes)))
    sizes = [series.sizes[position] for position in chosen]
    windows = [one for one in list_windows(connection, series.id, start, end) if one.seconds <= longest]
    counts, sums = np.zeros((len(windows), sum(sizes)), dtype=np.int64), np.zeros((len(windows), len(sizes)))
    done = 0
    for some_counts, some_sums in read(connection, [one.id for one in windows], chosen, sizes):
        some = slice(done, done + len(some_counts))
        counts[some], sums[some] = some_counts, some_sums
        done = some.stop
    _, starts, seconds, n = np.array(windows, dtype=np.int64).reshape(-1, 4).T
    return Timeline(starts, seconds, n, counts, sums)


def read_range(
    connection: sqlite3.Connection,
    series: Series,
    start: float,
    end: float,
    step: float | None = None,
    columns: Sequence[str] = (),
) -> dict[str, Any]:
    """Counts per step over [start, end), seconds since 1970 UTC; without `step` as one sum.

    `columns`: names; empty for all. A window belongs to the step in which it begins. The answer is plain data. Of a
    step, `windows` is how many rows were read, `resolution` the seconds of the longest one; `exact` is False if old
    windows were rolled up to more than the step, so that they reach over one of its ends. `counts` has a list and
    `sums` a number for each column, None if it is not numeric. Raises InputError for an unknown column, an empty
    stretch or too many steps.
    """
    unknown = [name for name in columns if name not in {column.name for column in series.schema.columns}]
    if unknown:
        raise InputError("unknown_column", f"the model has no column {unknown[0][:200]!r}", "column", 404)
    # A name that is both a feature's and a prediction's stands for both.
    known = [(i, column) for i, column in enumerate(series.schema.columns) if not columns or column.name in columns]
    chosen, sizes, steps = [position for position, _ in known], [column.size for _, column in known], []
    for begin, stop in _steps(start, end, step):
        tiles = find_tiles(connection, series.id, begin, stop)
        counts, sums = add_up(connection, [tile.id for tile in tiles], chosen, sizes)
        steps.append(
            {
                "start": iso(begin),
                "end": iso(stop),
                "n": sum(tile.n for tile in tiles),
                "windows": len(tiles),
                "resolution": max((tile.seconds for tile in tiles), default=0),
                "exact": not _cut(connection, series, tiles, begin, stop),
                "counts": [part.tolist() for part in np.split(counts, np.cumsum(sizes)[:-1])],
                "sums": [float(total) if one.numeric else None for total, (_, one) in zip(sums, known, strict=True)],
            }
        )
    return {
        "start": iso(start),
        "end": iso(end),
        "step": step,
        "model_version": series.version,
        "reference": series.reference.identity,
        "columns": [
            {"column": one.name, "role": one.role, "kind": one.kind, "bins": list(one.labels)} for _, one in known
        ],
        "windows": sum(one["windows"] for one in steps),
        "gaps": list_gaps(connection, start, end)[::-1],
        "steps": steps,
    }


def _steps(start: float, end: float, step: float | None) -> list[tuple[float, float]]:
    """Beginning and end of each step; the last one may be shorter."""
    if not (math.isfinite(start) and math.isfinite(end)) or end <= start:
        raise InputError("bad_range", "the end must be later than the start", "end", 422)
    if step is None:
        return [(start, end)]
    if not step > 0 or (end - start) / step > MAX_STEPS:
        raise InputError("bad_step", f"the step must be positive and give at most {MAX_STEPS} steps", "step", 422)
    count = math.ceil((end - start) / step)
    return [(start + i * step, min(start + (i + 1) * step, end)) for i in range(count)]


def _cut(connection: sqlite3.Connection, series: Series, tiles: Iterable[Tile], begin: float, stop: float) -> bool:
    """Whether a window that cannot be divided any more reaches over one of the ends."""
    sql = "SELECT 1 FROM windows WHERE series_id = ? AND seconds = ? AND start = ? AND finest LIMIT 1"
    before = [(seconds, math.floor(begin / seconds) * seconds) for seconds in lengths(connection, series.id)]
    return any(tile.start + tile.seconds > stop for tile in tiles) or any(
        connection.execute(sql, (series.id, seconds, start)).fetchone() for seconds, start in before if start < begin
    )
