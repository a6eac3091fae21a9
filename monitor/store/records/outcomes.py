"""Sums of predictions with their outcomes by hour, delays of outcomes, what became of records, and tokens of ids."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

import numpy as np

from monitor.clock import DAY, HOUR
from monitor.columns.column import Counts
from monitor.errors import InputError
from monitor.outcomes.join import DELAYS
from monitor.outcomes.performance import measure
from monitor.outcomes.sums import Sums
from monitor.outcomes.waiting import JOURNAL_BITS
from monitor.series import Series
from monitor.source.outcomes import Tokens
from monitor.store.audit import seals
from monitor.store.records.rows import append
from monitor.store.windows.rows import load_series


def add_token(connection: sqlite3.Connection, token: str, source: str, first: int, now: str) -> None:
    """Note that ids of this token belong to a source, from a sequence number on; the same again changes nothing.

    Raises InputError if they belong to another source.
    """
    known = connection.execute("SELECT source FROM id_tokens WHERE token = ?", (token,)).fetchone()
    if known is not None and known[0] != source:
        raise InputError("used_token", "ids with this token belong to another journal", None, 409)
    if known is None:
        append(connection, "id_tokens", [{"token": token, "source": source, "first": first, "at": now}])


def read_tokens(connection: sqlite3.Connection, source: str) -> dict[int, Tokens]:
    """Tokens of ids, of a source and of the journals beside it (`source@...`).

    The number of a journal is the row of its first token; 0 for the source's own.
    """
    tokens: dict[int, Tokens] = {}
    newest: dict[str, int] = {}  # of each journal
    rows = connection.execute("SELECT id, token, source, first FROM id_tokens ORDER BY id")
    for number, token, name, first in rows:
        if name.partition("@")[0] != source:
            continue
        journal = 0 if name == source else number
        if name in newest:
            before = tokens[newest[name]]
            journal, tokens[newest[name]] = before.journal, before._replace(end=first)
        newest[name] = int(token, 16)
        tokens[newest[name]] = Tokens(journal, first, 1 << JOURNAL_BITS)
    return tokens


def newest_token(connection: sqlite3.Connection) -> int:
    """Row of the newest token; 0 if there is none."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM id_tokens").fetchone()[0])


def add_tallies(connection: sqlite3.Connection, source: str, tallies: Mapping[str, int]) -> None:
    """Count what became of records of a source, with those of all journals beside it."""
    source = source.partition("@")[0]
    for result, count in tallies.items():
        with seals.changing(connection, "tallies", "source = ? AND result = ?", source, result):
            connection.execute(
                "INSERT INTO tallies (source, result, count) VALUES (?1, ?2, ?3) "
                "ON CONFLICT DO UPDATE SET count = count + ?3",
                (source, result, count),
            )


def read_tallies(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """What became of records, by source and result, since the first start."""
    return {(row[0], row[1]): row[2] for row in connection.execute("SELECT source, result, count FROM tallies")}


def add_sums(connection: sqlite3.Connection, series: Series, hour: int, sums: Sums) -> None:
    """Add to the sums of an hour, or of its day if the hour was rolled up. `hour`: seconds since 1970 UTC."""
    row = connection.execute(
        "SELECT id, sums FROM performance_sums WHERE series_id = ? AND (seconds, start) IN (VALUES (?, ?), (?, ?)) "
        "ORDER BY seconds LIMIT 1",
        (series.id, HOUR, hour, DAY, hour - hour % DAY),
    ).fetchone()
    if row is None:
        _append(connection, series.id, hour, HOUR, sums)
        return
    whole = Sums.from_json(sums.target, row[1]) + sums
    if not whole.counts.any():
        whole = Sums.zero(sums.target)  # all taken back: without what rounding has left
    with seals.changing(connection, "performance_sums", "id = ?", row[0]):
        connection.execute("UPDATE performance_sums SET sums = ? WHERE id = ?", (_text(whole), row[0]))


def _append(connection: sqlite3.Connection, series_id: int, start: int, seconds: int, sums: Sums) -> None:
    row = {"series_id": series_id, "seconds": seconds, "start": start, "sums": _text(sums)}
    append(connection, "performance_sums", [row])


def _text(sums: Sums) -> str:
    """Return sums as they are stored: with their metrics, which the view `performance` shows."""
    metrics = {name: (metric.value, metric.low, metric.high, metric.n) for name, metric in measure(sums).items()}
    return sums.to_json(measures={name: numbers for name, numbers in metrics.items() if np.isfinite(numbers).all()})


def read_sums(connection: sqlite3.Connection, series: Series, start: float, end: float) -> dict[tuple[int, int], Sums]:
    """Sums of the hours and days that begin in [start, end), by start and length in seconds."""
    rows = connection.execute(
        "SELECT start, seconds, sums FROM performance_sums WHERE series_id = ? AND start >= ? AND start < ? "
        "ORDER BY start, seconds",
        (series.id, start, end),
    )
    return {(row[0], row[1]): Sums.from_json(series.target, row[2]) for row in rows}


def roll_up_sums(connection: sqlite3.Connection, before: float) -> None:
    """Add the hours of days that ended by `before` to their days."""
    rows = connection.execute(
        "SELECT DISTINCT series_id, start - start % 86400 FROM performance_sums "
        "WHERE seconds = 3600 AND start - start % 86400 + 86400 <= ? LIMIT 50",
        (before,),
    ).fetchall()
    for series_id, day in rows:
        series, end = load_series(connection, series_id), day + DAY
        whole = sum(read_sums(connection, series, day, end).values(), Sums.zero(series.target))
        which = "series_id = ? AND start >= ? AND start < ?"
        seals.delete(connection, "performance_sums", which, series_id, day, end)
        _append(connection, series_id, day, DAY, whole)


def add_delays(connection: sqlite3.Connection, series: Series, counts: Counts, seconds: float) -> None:
    """Count the delays of outcomes: shape (len(DELAYS) + 1,), and their sum."""
    before, total = read_delays(connection, series)
    with seals.changing(connection, "outcome_delays", "series_id = ?", series.id):
        connection.execute(
            "INSERT OR REPLACE INTO outcome_delays (series_id, counts, sum) VALUES (?, ?, ?)",
            (series.id, json.dumps((before + counts).tolist()), total + seconds),
        )


def read_delays(connection: sqlite3.Connection, series: Series) -> tuple[Counts, float]:
    """Outcomes by their delay, shape (len(DELAYS) + 1,), and the sum of the delays in seconds."""
    row = connection.execute("SELECT counts, sum FROM outcome_delays WHERE series_id = ?", (series.id,)).fetchone()
    if row is None:
        return np.zeros(len(DELAYS) + 1, np.int64), 0.0
    return np.array(json.loads(row[0]), np.int64), row[1]
