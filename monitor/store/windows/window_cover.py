"""Which rows of `windows` answer a stretch of time: as few as can be, each prediction in exactly one of them.

A window filled from predictions is rolled up into an hour, and the hour into a day. A row and the longer row that it
was summed up in (`parent_id`) have the same predictions, so an answer takes one of the two: the longer one where all of
it lies in the stretch. What no longer has shorter windows (`finest`) is taken where it begins, as it cannot be cut.
"""

from __future__ import annotations

import math
import sqlite3
from typing import NamedTuple

HOUR = 3600
DAY = 86400

_ALL = """SELECT id, start, seconds, n FROM windows
    WHERE series_id = ? AND seconds = ? AND start >= ? AND start < ? AND (finest OR start + seconds <= ?)"""
# The last line lets SQLite use the index over windows that have not been rolled up yet.
_ORPHANS = """SELECT id, start, seconds, n FROM windows INDEXED BY windows_not_rolled
    WHERE series_id = ? AND seconds = ? AND start >= ? AND start < ? AND (finest OR start + seconds <= ?)
    AND parent_id IS NULL"""


class Tile(NamedTuple):
    """One row that takes part in an answer: the predictions of [start, start + seconds)."""

    id: int
    start: int
    seconds: int
    n: int


def longer(seconds: int) -> int | None:
    """Length of the window that one of `seconds` is rolled up into; None for a day.

    >>> longer(60), longer(3600), longer(86400)
    (3600, 86400, None)
    """
    return HOUR if seconds < HOUR else DAY if seconds < DAY else None


def find_tiles(connection: sqlite3.Connection, series_id: int, start: float, end: float) -> list[Tile]:
    """Rows that hold the predictions of the windows that begin in [start, end), the fewest there are, by start."""
    begin, stop = math.ceil(start), math.ceil(end)
    found: list[Tile] = []
    for seconds in lengths(connection, series_id):
        for first, last, orphans in _stretches(begin, stop, longer(seconds)):
            rows = connection.execute(
                _ORPHANS if orphans else _ALL,
                (series_id, seconds, first, last, stop),
            )
            found.extend(Tile(*row) for row in rows)
    return sorted(found, key=lambda tile: (tile.start, tile.id))


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


def _stretches(begin: int, stop: int, parent: int | None) -> list[tuple[int, int, bool]]:
    """Where rows of one length are taken: (from, to, only those without a longer row).

    >>> _stretches(60, 7260, 3600), _stretches(60, 3660, 3600), _stretches(0, 9, None)
    ([(60, 3600, False), (3600, 7200, True), (7200, 7260, False)], [(60, 3660, False)], [(0, 9, False)])
    """
    if parent is None:
        return [(begin, stop, False)]
    inner, outer = -(-begin // parent) * parent, stop // parent * parent
    if inner >= outer:
        return [(begin, stop, False)]
    pieces = [(begin, inner, False), (inner, outer, True), (outer, stop, False)]
    return [(first, last, orphans) for first, last, orphans in pieces if first < last]
