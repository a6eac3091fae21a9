"""SHA-256 of rows: what the chain and the guards are made of."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from monitor.store.windows.counts import SLOTS
from monitor.store.windows.packing import to_json

#: Made once: `json.dumps` would make one for each row.
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=repr).encode


@contextmanager
def reading_damage(connection: sqlite3.Connection) -> Iterator[None]:
    """Let a connection read texts in which a flipped bit has left what is no UTF-8."""
    factory = connection.text_factory
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        connection.text_factory = factory


def row_digest(values: Sequence[object]) -> bytes:
    """SHA-256 of one row. Numbers are written so that each has one spelling: 1 is not 1.0, and 0.1 is exact."""
    text = _ENCODE(list(values))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def joint_digest(digests: Iterable[bytes]) -> bytes:
    """SHA-256 of several rows, in order."""
    return hashlib.sha256(b"".join(digests)).digest()


def window_digest(connection: sqlite3.Connection, window_id: int) -> bytes | None:
    """SHA-256 of a window with all its histograms; None where there is no such window.

    Counts go in as JSON, however they are stored. What a roll-up or pruning changes later is left out: `finest`,
    `parent_id`, `chain_id`. `verify` checks those by what they must be.
    """
    cursor = connection.cursor()
    cursor.row_factory = None
    head = cursor.execute(
        "SELECT id, series_id, seconds, start, n, children FROM windows WHERE id = ?", (window_id,)
    ).fetchone()
    if head is None:
        return None
    rows = cursor.execute(
        # As bytes, since what a flipped bit has made of a text may be none; and not those of another type.
        "SELECT c.id, CASE typeof(h.counts) WHEN 'text' THEN CAST(h.counts AS BLOB) ELSE quote(h.counts) END, h.sum "
        "FROM sealed_counts h "
        "LEFT JOIN columns c ON c.series_id = ? AND c.position = h.id - ? WHERE h.id >= ? AND h.id < ? ORDER BY h.id",
        (head[1], window_id * SLOTS, window_id * SLOTS, (window_id + 1) * SLOTS),
    )
    lines = [f"{column}:{_spelled(counts)}:{total!r}" for column, counts, total in rows]
    text = "\n".join([repr(tuple(head)), *lines])
    return hashlib.sha256(text.encode()).digest()


def _spelled(stored: bytes | str) -> str:
    """The counts in a stored text, of which only one gives them; anything else as itself, and in quotes."""
    try:
        return to_json(stored.decode()) if isinstance(stored, bytes) else repr(stored)
    except ValueError:
        return repr(stored)
