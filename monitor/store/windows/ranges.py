"""Range queries: any columns, any stretch of time, any step, as plain data.

`read_range` is what `GET /api/windows` and `python -m monitor windows` show.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.clock import iso
from monitor.columns.column import Column
from monitor.errors import InputError
from monitor.series import Series
from monitor.store.windows.counts import add_up
from monitor.store.windows.rows import load_series
from monitor.store.windows.window_cover import Tile, find_tiles, lengths

#: Steps that one answer has at most: Prometheus stops at as many.
MAX_STEPS = 11_000


def newest_series(connection: sqlite3.Connection, version: str | None = None) -> Series:
    """The model version that was entered last, or the last one of that name. Raises InputError where there is none."""
    row = connection.execute("SELECT max(id) FROM series WHERE ? IS NULL OR version = ?", (version, version)).fetchone()
    if row[0] is None:
        what = (
            "no predictions have been recorded yet"
            if version is None
            else f"there is no model version {version[:200]!r}"
        )
        raise InputError("unknown_model", what, "model_version", 404)
    return load_series(connection, row[0])


def read_range(
    connection: sqlite3.Connection,
    series: Series,
    start: float,
    end: float,
    step: float | None = None,
    columns: Sequence[str] = (),
) -> dict[str, Any]:
    """Counts per step over [start, end), seconds since 1970 UTC; without `step` as one sum.

    `columns`: names, all where there are none. Each step is read from the longest windows that lie in it; a window
    belongs to the step in which it begins. The answer is plain data:

    `columns`: for each, `column`, `role`, `kind` and `bins`, the labels of its counts;
    `steps`: for each, `start`, `end`, `n`, `windows` (rows read), `resolution` (seconds of the longest one), `exact`
    (False where old windows were rolled up to more than the step, so that they reach over one of its ends), `counts`
    (a list for each column) and `sums` (a number for each column, None where it is not numeric);
    `windows`: rows read in all; `gaps`: what is missing from the record in that stretch.
    Raises InputError for a column that the model does not have, and for an empty stretch or too many steps.
    """
    chosen = _choose(series, columns)
    sizes = [series.sizes[position] for position in chosen]
    numeric = [series.schema.columns[position].numeric for position in chosen]
    steps = []
    for begin, stop in _bounds(start, end, step):
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
                "sums": [float(total) if sums_up else None for total, sums_up in zip(sums, numeric, strict=True)],
            }
        )
    return {
        "start": iso(start),
        "end": iso(end),
        "step": step,
        "model_version": series.version,
        "reference": series.reference.identity,
        "columns": [_describe(series.schema.columns[position]) for position in chosen],
        "windows": sum(one["windows"] for one in steps),
        "gaps": read_gaps(connection, start, end),
        "steps": steps,
    }


def read_gaps(connection: sqlite3.Connection, start: float, end: float) -> list[dict[str, Any]]:
    """What is missing from the record in [start, end): plain data, by time."""
    rows = connection.execute(
        'SELECT kind, "start", "end", lost, detail FROM gaps '
        # A text with milliseconds sorts before the same second without: a second more on either side.
        'WHERE "start" < ? AND "end" >= ? ORDER BY "start", id',
        (iso(end + 1), iso(start - 1)),
    ).fetchall()
    return [dict(zip(("kind", "start", "end", "lost", "detail"), tuple(row), strict=True)) for row in rows]


def _choose(series: Series, names: Sequence[str]) -> list[int]:
    """Positions of the columns asked for; a name that is both a feature's and a prediction's stands for both."""
    columns = series.schema.columns
    known = {column.name for column in columns}
    for name in names:
        if name not in known:
            raise InputError("unknown_column", f"the model has no column {name[:200]!r}", "column", 404)
    return [position for position, column in enumerate(columns) if not names or column.name in names]


def _bounds(start: float, end: float, step: float | None) -> list[tuple[float, float]]:
    """Beginning and end of each step; the last one may be shorter."""
    if not (math.isfinite(start) and math.isfinite(end)) or end <= start:
        raise InputError("bad_range", "the end must be later than the start", "end", 422)
    if step is None:
        return [(start, end)]
    if not step > 0 or (end - start) / step > MAX_STEPS:
        raise InputError("bad_step", f"the step must be positive and give at most {MAX_STEPS} steps", "step", 422)
    count = math.ceil((end - start) / step)
    return [(start + i * step, min(start + (i + 1) * step, end)) for i in range(count)]


def _cut(connection: sqlite3.Connection, series: Series, tiles: Sequence[Tile], begin: float, stop: float) -> bool:
    """Whether a window that cannot be divided any more reaches over one of the ends."""
    if any(tile.start + tile.seconds > stop for tile in tiles):
        return True
    for seconds in lengths(connection, series.id):
        before = math.floor(begin / seconds) * seconds
        if before < begin:
            row = connection.execute(
                "SELECT 1 FROM windows WHERE series_id = ? AND seconds = ? AND start = ? AND finest LIMIT 1",
                (series.id, seconds, before),
            ).fetchone()
            if row is not None:
                return True
    return False


def _describe(column: Column) -> dict[str, Any]:
    return {"column": column.name, "role": column.role, "kind": column.kind, "bins": list(column.labels)}
