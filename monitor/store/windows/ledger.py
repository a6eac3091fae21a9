"""Keeps what sources hand over: windows, totals, unseen values, gaps and the source's cursor, in one transaction."""

from __future__ import annotations

import logging
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager

from monitor.clock import iso
from monitor.columns.batch import Batch, empty_batch
from monitor.errors import StoreError
from monitor.series import Series
from monitor.source.protocol import Handover
from monitor.store.audit import seals
from monitor.store.records.outcomes import add_delays, add_sums, add_tallies
from monitor.store.windows.counts import UNREADABLE, json_text, move_sealed, unpack, write, write_rows
from monitor.store.windows.ranges import Tile, sum_tiles
from monitor.store.windows.rows import NEWEST, add_gap, read_meta, write_meta
from monitor.words import program

log = logging.getLogger(__name__)


class Ledger:
    """The counts of all series of one store. All but `totals` is called on the writer's thread.

    After the transaction of `keep`, `commit` must be called; after one that was rolled back, `forget`.
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._windows: dict[int, Windows] = {}

    def open(self, connection: sqlite3.Connection, series: Series) -> Windows:
        """Load a series as the store has it, at the first call."""
        if series.id not in self._windows:
            self._windows[series.id] = Windows(connection, series, self._seconds)
        return self._windows[series.id]

    @contextmanager
    def opening(self) -> Iterator[None]:
        """If opening fails, forget the series opened meanwhile: after the rollback their ids are given to others."""
        before = dict(self._windows)
        try:
            yield
        except BaseException:
            self._windows = before
            raise

    def totals(self, series: Series) -> Batch:
        """What was committed of a series since it was first served; never changed, only replaced."""
        return self._windows[series.id].totals

    def keep(self, connection: sqlite3.Connection, source: str, handover: Handover, now: str) -> None:
        """Enter a handover of a source, in the caller's transaction."""
        batches: defaultdict[Series, dict[int, Batch]] = defaultdict(dict)
        for (series, start), batch in handover.counts.items():
            batches[series][start] = batch
        for series, parts in batches.items():
            self.open(connection, series).add(connection, parts)
            newest = iso(handover.newest) if handover.newest else min(iso(max(parts) + self._seconds), now)
            key = f"{NEWEST}{series.id}"
            write_meta(connection, key, max(newest, read_meta(connection, key, "")))
        for (series, position, value), count in handover.unseen.items():
            column_id = series.column_ids[position]
            with seals.changing(connection, "unseen_values", "column_id = ? AND value = ?", column_id, value):
                connection.execute(
                    "INSERT INTO unseen_values (column_id, value, count, first_seen, last_seen) "
                    "VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO UPDATE SET count = count + ?3, last_seen = ?4",
                    (column_id, value, count, now),
                )
        for gap in handover.gaps:
            add_gap(connection, gap.kind, gap.start, gap.end, gap.lost, gap.detail)
        add_tallies(connection, source, handover.tallies)
        for (series, hour), sums in handover.performance.items():
            add_sums(connection, series, hour, sums)
        for series, (delays, seconds) in handover.delays.items():
            add_delays(connection, series, delays, seconds)
        with seals.changing(connection, "sources", "name = ?", source):
            connection.execute("INSERT OR REPLACE INTO sources (name, cursor) VALUES (?, ?)", (source, handover.cursor))

    def commit(self) -> None:
        """Publish the new totals: the transaction is committed."""
        for windows in self._windows.values():
            windows.commit()

    def forget(self) -> None:
        """Drop what `keep` added: the transaction was rolled back."""
        for windows in self._windows.values():
            windows.forget()

    def seal(self, connection: sqlite3.Connection, series: Series, before: float) -> None:
        """Close the windows of a series that ended by `before`."""
        self._windows[series.id].seal(connection, before)


class Windows:
    """Windows of one series, and its totals as they were committed.

    Keeps the open windows' counts in memory, so that a fold need not parse what it wrote a second ago.
    """

    def __init__(self, connection: sqlite3.Connection, series: Series, seconds: int) -> None:
        self.series = series
        self.seconds = seconds
        self.totals = self._next = load_totals(connection, series)
        self._open: dict[int, tuple[int, Batch]] = {}

    def commit(self) -> None:
        """What was added is committed."""
        self.totals = self._next

    def forget(self) -> None:
        """What was added was rolled back; the next fold reads the open windows again."""
        self._next = self.totals
        self._open.clear()

    def add(self, connection: sqlite3.Connection, batches: Mapping[int, Batch]) -> None:
        """Add a fold: a batch for each window start (seconds since 1970)."""
        for start, batch in sorted(batches.items()):
            window_id, before = self._window(connection, start)
            whole = before + batch
            connection.execute("UPDATE windows SET n = ? WHERE id = ?", (whole.n, window_id))
            write(connection, window_id, whole.counts, self.series.sizes, self._sums(whole))
            self._open[start] = (window_id, whole)
            self._next = self._next + batch
        texts = map(json_text, self.series.schema.split(self._next.counts))
        write_rows(
            connection,
            "INSERT OR REPLACE INTO totals (column_id, counts, sum)",
            zip(self.series.column_ids, texts, self._sums(self._next), strict=True),
        )
        connection.execute("UPDATE series SET predictions = ? WHERE id = ?", (self._next.n, self.series.id))

    def seal(self, connection: sqlite3.Connection, before: float) -> None:
        """Close the windows that ended by `before`: a later record of that time opens another one."""
        seal(connection, "series_id = ? AND start + seconds <= ?", self.series.id, math.floor(before))
        self._open = {start: open_ for start, open_ in self._open.items() if start + self.seconds > before}

    def _window(self, connection: sqlite3.Connection, start: int) -> tuple[int, Batch]:
        """The open window at `start`, begun if there is none.

        One that another program has changed is sealed as it is, and another one is begun.
        """
        if start in self._open:
            return self._open[start]
        key = (self.series.id, self.seconds, start)
        which = "series_id = ? AND seconds = ? AND start = ? AND NOT sealed"
        row = connection.execute(f"SELECT id, start, seconds, n FROM windows WHERE {which}", key).fetchone()  # noqa: S608
        if row is not None:
            try:
                whole = sum_tiles(connection, self.series, [Tile(*row)])
                if all(part.sum() == whole.n for part in self.series.schema.split(whole.counts)):
                    return row["id"], whole
            except StoreError:
                pass
            what = "the counts of open window %d do not add up to its number of rows: run `%s verify`"
            log.error(what, row["id"], program())
            seal(connection, "id = ?", row["id"])
        cursor = connection.execute("INSERT INTO windows (series_id, seconds, start, n) VALUES (?, ?, ?, 0)", key)
        return int(cursor.lastrowid or 0), empty_batch(self.series.schema)

    def _sums(self, batch: Batch) -> list[float | None]:
        """Sums as they are stored: NULL for a column that has none."""
        columns = self.series.schema.columns
        return [total if c.numeric else None for c, total in zip(columns, batch.sums.tolist(), strict=True)]


def seal(connection: sqlite3.Connection, which: str, *values: object) -> None:
    """Close open windows for good. `which`: a condition in SQL, with its values."""
    rows = connection.execute(f"SELECT id FROM windows WHERE NOT sealed AND {which} ORDER BY id", values)  # noqa: S608
    windows = [row[0] for row in rows.fetchall()]
    for window in windows:
        connection.execute("UPDATE windows SET sealed = 1 WHERE id = ?", (window,))
        seals.add(connection, "windows", "id = ?", window)
    move_sealed(connection, windows)


def load_totals(connection: sqlite3.Connection, series: Series) -> Batch:
    """Running totals since the model version was first served. A damaged column begins at 0, and is logged."""
    totals = empty_batch(series.schema)
    parts = series.schema.split(totals.counts)
    for position, column_id in enumerate(series.column_ids):
        sql = "SELECT CAST(counts AS BLOB), sum FROM totals WHERE column_id = ?"
        row = connection.execute(sql, (column_id,)).fetchone()
        try:
            parts[position][:] = unpack([str(row[0], "utf-8")], [len(parts[position])])
            totals.sums[position] = row[1] or 0.0
        except UNREADABLE:
            name = series.schema.columns[position].name
            log.error("the totals of column %s are damaged, and begin at 0: run `%s verify`", name, program())
    n = connection.execute("SELECT predictions FROM series WHERE id = ?", (series.id,)).fetchone()[0]
    return Batch(n, totals.counts, totals.sums)


def drop_cursors(connection: sqlite3.Connection, key: str) -> None:
    """Delete the cursors of the journals under a key, once the journals are gone. The process's own have no key."""
    seals.delete(connection, "sources", "substr(name, instr(name, '@') + 1) = ?", key)


def strays(connection: sqlite3.Connection, prefix: str, there: Set[str]) -> list[str]:
    """Keys with this prefix that have a cursor and no folder `there`; the process's own journals have no key."""
    rows = connection.execute("SELECT DISTINCT substr(name, instr(name, '@') + 1) FROM sources WHERE instr(name, '@')")
    return [key for (key,) in rows.fetchall() if key.startswith(prefix) and key not in there]


def read_cursor(connection: sqlite3.Connection, source: str) -> str:
    """How far a source came; empty if it has handed nothing over yet."""
    row = connection.execute("SELECT cursor FROM sources WHERE name = ?", (source,)).fetchone()
    return "" if row is None else str(row["cursor"])
