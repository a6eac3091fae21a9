"""Keeps what sources hand over: windows, totals, unseen values, gaps and the source's cursor, in one transaction."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass

from monitor.columns.batch import Batch
from monitor.series import Series
from monitor.source.protocol import Handover
from monitor.store.audit import seals
from monitor.store.windows.rows import Windows, add_gap, add_unseen, load_totals


@dataclass
class _Book:
    """Windows of one series, with its totals as committed, and as they are once the transaction is."""

    windows: Windows
    totals: Batch
    next: Batch


class Ledger:
    """The counts of all series of one store. All but `totals` is called on the writer's thread.

    After the transaction of `keep`, `commit` must be called; after one that was rolled back, `forget`.
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._books: dict[int, _Book] = {}

    def open(self, connection: sqlite3.Connection, series: Series) -> Windows:
        """Take up a series where the store has it."""
        if series.id not in self._books:
            totals = load_totals(connection, series)
            self._books[series.id] = _Book(Windows(series, self._seconds), totals, totals)
        return self._books[series.id].windows

    def totals(self, series: Series) -> Batch:
        """What was committed of a series since it was first served; never changed, only replaced."""
        return self._books[series.id].totals

    def keep(self, connection: sqlite3.Connection, source: str, handover: Handover, now: str) -> None:
        """Enter a handover of a source, in the caller's transaction."""
        batches: defaultdict[Series, dict[int, Batch]] = defaultdict(dict)
        for (series, start), batch in handover.counts.items():
            batches[series][start] = batch
        for series, parts in batches.items():
            windows, book = self.open(connection, series), self._books[series.id]
            for batch in parts.values():
                book.next = book.next.plus(batch)
            windows.add(connection, parts, book.next)
        if handover.unseen:
            seen = {(one.column_ids[position], value): n for (one, position, value), n in handover.unseen.items()}
            add_unseen(connection, seen, now)
        for gap in handover.gaps:
            add_gap(connection, gap.kind, gap.start, gap.end, gap.lost, gap.detail)
        with seals.changing(connection, "sources", "name = ?", source):
            connection.execute("INSERT OR REPLACE INTO sources (name, cursor) VALUES (?, ?)", (source, handover.cursor))

    def commit(self) -> None:
        """What was kept is committed."""
        for book in self._books.values():
            book.totals = book.next

    def forget(self) -> None:
        """What was kept was rolled back."""
        for book in self._books.values():
            book.next = book.totals
            book.windows.forget()

    def seal(self, connection: sqlite3.Connection, series: Series, before: float) -> None:
        """Close the windows of a series that ended by `before`."""
        self._books[series.id].windows.seal(connection, before)


def read_cursor(connection: sqlite3.Connection, source: str) -> str:
    """How far a source came; empty if it has handed nothing over yet."""
    row = connection.execute("SELECT cursor FROM sources WHERE name = ?", (source,)).fetchone()
    return "" if row is None else str(row["cursor"])
