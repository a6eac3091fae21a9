"""The hours of one series in memory: read from the store once, added up over any period."""

from __future__ import annotations

import sqlite3
from zoneinfo import ZoneInfo

import numpy as np

from monitor.clock import HOUR, utc_offset
from monitor.columns.batch import Batch
from monitor.columns.column import Counts, Floats
from monitor.config.settings import DriftConfig
from monitor.normal.expected import DAY_HOURS, LEARNT, WEEK_HOURS, Grid, Ints
from monitor.series import Series
from monitor.store.windows.ranges import late_windows, newest_window, read_timeline, sum_tiles

#: Hours that are kept in memory: those that are learnt from, and the weeks that their expectations come from.
KEPT = 2 * LEARNT + WEEK_HOURS + DAY_HOURS
#: Most counts that are kept in memory: 160 MB. A wider model keeps fewer hours.
MOST_COUNTS = 20_000_000


class Hours:
    """Prefix sums of the counts and sums of consecutive hours of a series. `first`: the first hour since 1970.

    `kept`: hours that are kept in memory. The arrays have room for more, so that a new hour copies none of the others.
    """

    def __init__(self, series: Series, drift: DriftConfig, kept: int | None = None) -> None:
        self._series, self._zone, self._quiet = series, ZoneInfo(drift.timezone), drift.quiet
        self.kept = kept or max(min(KEPT, MOST_COUNTS // series.schema.size), 2 * WEEK_HOURS)
        #: The highest id of a window when it read last.
        self._seen = 0
        self._clear(0)

    def _clear(self, first: int) -> None:
        self.first = self.end = first
        self._counts: Counts = np.zeros((1, self._series.schema.size), dtype=np.int64)
        self._sums: Floats = np.zeros((1, len(self._series.schema.columns)))
        self._rows, self._known, self._shift = (np.zeros(1, dtype=np.int64) for _ in range(3))

    def _reserve(self, rows: int) -> None:
        """Have room for `rows` rows, and for more; a short history takes little memory, however many models."""
        if rows > len(self._rows):
            room = max(min(2 * rows, self.kept + WEEK_HOURS + DAY_HOURS + 1), rows)
            for name in ("_counts", "_sums", "_rows", "_known", "_shift"):
                old = getattr(self, name)
                new = np.zeros((room, *old.shape[1:]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)

    def read(self, connection: sqlite3.Connection, end: int) -> bool:
        """Read on up to an hour, and what came late; all again if that is long after, or before, what is known.

        Returns whether hours that had been read have changed.
        """
        changed = not 0 <= end - self.end <= WEEK_HOURS
        if changed:
            self._clear(end - self.kept)
        changed |= self._add_late(connection)
        if end > self.end:
            self._append(connection, end)
        return changed

    def _add_late(self, connection: sqlite3.Connection) -> bool:
        """Add rows that came after their hours had been read, but for those of quiet days; whether there are any."""
        added = False
        for tile in late_windows(connection, self._series.id, self._seen, self.first * HOUR, self.end * HOUR):
            if not any(begin <= tile.start // HOUR * HOUR < until for begin, until in self._quiet):
                added = True
                batch = sum_tiles(connection, self._series, [tile])
                after = slice(tile.start // HOUR - self.first + 1, self.end - self.first + 1)
                self._counts[after] += batch.counts
                self._sums[after] += np.nan_to_num(batch.sums)
                self._rows[after] += batch.n
        self._seen = newest_window(connection)
        return added

    def _append(self, connection: sqlite3.Connection, end: int) -> None:
        """Read the hours up to `end` that have not been read, and forget the oldest if more than `kept` are known."""
        stored = read_timeline(connection, self._series, self.end * HOUR, end * HOUR, longest=HOUR)
        if self.first == self.end:  # hours before the first row say nothing
            self.first = self.end = max(self.end, int(stored.starts[0]) // HOUR) if len(stored.starts) else end
            self._shift[0] = utc_offset(self.first, self._zone)
        self._reserve(end - self.first + 1)
        stamps = np.arange(self.end, end) * HOUR
        loud = np.ones(len(stamps), dtype=np.bool_)
        for begin, until in self._quiet:
            loud &= (stamps < begin) | (stamps >= until)
        hour_of = stored.starts // HOUR - self.end
        usable = loud[hour_of]
        last, new = self.end - self.first, slice(self.end - self.first + 1, end - self.first + 1)
        windows = (self._counts, stored.counts), (self._sums, np.nan_to_num(stored.sums)), (self._rows, stored.n)
        for prefix_sums, values in windows:
            np.add.at(prefix_sums[new], hour_of[usable], values[usable])
            prefix_sums[new] = prefix_sums[last] + np.cumsum(prefix_sums[new], axis=0)
        self._known[new] = self._known[last] + np.cumsum(loud)
        self._shift[new] = [utc_offset(hour, self._zone) for hour in range(self.end + 1, end + 1)]
        self.end = end
        if (over := end - self.first - self.kept) >= DAY_HOURS:
            self.first += over
            for array in (self._counts, self._sums, self._rows, self._known, self._shift):
                array[: self.kept + 1] = array[over : over + self.kept + 1]
                array[self.kept + 1 :] = 0

    def grid(self, since: int = 0) -> Grid:
        """Counts of all columns, as `monitor.normal` takes them. `since`: hours before it are forgotten."""
        skip = min(max(since - self.first, 0), self.end - self.first)
        kept = slice(skip, self.end - self.first + 1)
        return Grid(self._counts[kept], self._shift[kept], self._known[kept], self._rows[kept], self.first + skip)

    def between(self, start: int, end: int) -> Batch:
        """Sum of the hours of [start, end)."""
        a, b = (min(max(hour, self.first), self.end) - self.first for hour in (start, end))
        rows = int(self._rows[b] - self._rows[a])
        return Batch(rows, self._counts[b] - self._counts[a], self._sums[b] - self._sums[a])

    def of_column(self, position: int, start: int, end: int) -> tuple[Counts, Floats]:
        """Counts by bin of the values of a column in each hour of [start, end), and their sums."""
        offset, bins = self._series.schema.offsets[position], self._series.schema.columns[position].value_bins
        hours = slice(max(start - self.first, 0), min(end, self.end) - self.first + 1)
        counts: Counts = np.diff(self._counts[hours, offset : offset + bins], axis=0)
        return counts, np.diff(self._sums[hours, position])

    @property
    def hourly(self) -> Ints:
        """Rows of each hour."""
        out: Ints = np.diff(self._rows[: self.end - self.first + 1])
        return out
