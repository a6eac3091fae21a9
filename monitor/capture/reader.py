"""The reading side of a journal, of this process or of another one, for one thread.

Another process's journal is read while it is written: a record counts once its number and its checksum are there. Who
reads it deletes what is folded, and the process that writes lets go of it (`Journal.let_go`).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor import failpoint
from monitor.capture.recover import left_behind
from monitor.capture.segment import RECORDS_AT, Drops, Segment, checksums, record_dtype
from monitor.clock import Clock, SystemClock

#: A slot that was taken and not filled for this long, while later ones were, belongs to a thread that died in between.
ABANDONED_SECONDS = 5.0


class Reader(ABC):
    """Reads the records of a folder's segments in order. `width`: values in a record; `start`: first number to read."""

    def __init__(self, folder: Path, width: int, start: int = 1, clock: Clock | None = None) -> None:
        self.folder = folder
        self._dtype = record_dtype(width)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._segments: list[Segment] = []
        self._dropped: list[Drops] = []
        self.dropped_total = 0
        self._read = start
        self._stuck: tuple[int, float] | None = None

    @property
    @abstractmethod
    def written(self) -> int:
        """Highest sequence number known to be written; 0 before the first."""

    @property
    @abstractmethod
    def dropping(self) -> Drops | None:
        """The run of drops that goes on now, or None if capture works."""

    @abstractmethod
    def maintain(self) -> None:
        """Do what is due between two folds."""

    @abstractmethod
    def sync(self) -> None:
        """Bring what was appended by this process to the disk, against loss of power. Raises OSError."""

    @abstractmethod
    def close(self, applied: int) -> None:
        """Let go of the segments; `applied`: number up to which all is folded and committed."""

    def _ready(self, records: npt.NDArray[Any], expected: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which slots are filled, shape (n,)."""
        ready: npt.NDArray[np.bool_] = records["seq"] == expected
        return ready

    def read(self, limit: int = 1 << 18) -> npt.NDArray[Any]:
        """Records that have not been read yet, in order, at most `limit`, shape (n,), dtype `record_dtype`.

        A view of the journal's own memory. Returns fewer at the end of a segment; an empty array if there are none.
        """
        while True:
            segment = self._reading()
            if segment is None:
                return np.empty(0, self._dtype)
            begin = self._read - segment.first
            window = segment.records[begin : begin + limit]
            expected = np.arange(self._read, self._read + len(window), dtype=np.uint64)
            ready = self._ready(window, expected)
            rows = len(window) if ready.all() else int(np.argmin(ready))
            if rows:
                self._stuck = None
                self._read += rows
                return window[:rows]
            if len(window) and not self._abandoned(ready):
                return window[:0]

    def _reading(self) -> Segment | None:
        """Segment with the next number to read; numbers that were dropped are skipped."""
        with self._lock:
            for segment in self._segments:
                if self._read < segment.end:
                    self._read = max(self._read, segment.first)
                    return segment
        return None

    def _abandoned(self, ready: npt.NDArray[np.bool_]) -> bool:
        """Skip the next slot if a thread that died took it and never filled it; whether it was skipped."""
        if not ready.any():
            self._stuck = None
            return False
        now = self._clock.monotonic()
        if self._stuck is None or self._stuck[0] != self._read:
            self._stuck = (self._read, now)
        if now - self._stuck[1] < ABANDONED_SECONDS:
            return False
        with self._lock:
            stamp = self._clock.time_ns()
            self._dropped.append(Drops(self._read, self._read, stamp, stamp, "a thread ended while it was recording"))
            self.dropped_total += 1
        self._read += 1
        return True

    def waiting(self, applied: int) -> bool:
        """Whether the journal has records behind `applied`."""
        return self.written > applied

    def rewind(self, applied: int) -> None:
        """Read again from behind `applied`: what was read since could not be committed."""
        self._read = applied + 1

    @property
    def between_segments(self) -> bool:
        """Whether the last read ended at the end of a segment, which may be the only reason that it was short."""
        with self._lock:
            return any(self._read in (segment.first, segment.end) for segment in self._segments)

    @property
    def read_upto(self) -> int:
        """Last sequence number that `read` has handed out or stepped over."""
        return self._read - 1

    def drops(self) -> list[Drops]:
        """Runs of dropped records before the next one to read that are not in the store yet; for its `gaps`."""
        with self._lock:
            return [run for run in self._dropped if run.last < self._read]

    def noted(self, drops: list[Drops]) -> None:
        """Forget these runs: they are in the store now."""
        with self._lock:
            self._dropped = [run for run in self._dropped if run not in drops]

    def forget(self, applied: int, before: Callable[[], None] = lambda: None) -> None:
        """Delete segments whose records, and what was dropped behind them, are committed; the newest one stays.

        `before` is called if there is something to delete; if it raises, nothing is.
        """
        with self._lock:
            done = [one for one, following in pairwise(self._segments) if following.first - 1 <= applied]
        if not done:
            return
        before()
        with self._lock:
            self._segments = [segment for segment in self._segments if segment not in done]
        for segment in done:
            failpoint.reach("journal.delete")
            segment.delete()

    @property
    def started(self) -> bool:
        """Whether this process has a segment of its own: until then the newest of earlier ones must stay."""
        return bool(self._segments)

    @property
    def bytes(self) -> int:
        """Size of the segments on disk."""
        with self._lock:
            return sum(RECORDS_AT + segment.records.nbytes for segment in self._segments)


class Tail(Reader):
    """Follows the journal of another process, or of another part of this one, while it is written."""

    #: First number of a segment that is not the next one, as the last `maintain` found it.
    _beyond = 0
    _closed = False

    @property
    def written(self) -> int:
        """Highest sequence number in the segments found by the last `maintain`; 0 before the first."""
        newest = next(reversed(self._segments), None)
        return 0 if newest is None else int(newest.records["seq"].max(initial=newest.first - 1))

    @property
    def dropping(self) -> Drops | None:
        """The run of drops that goes on now, as the process has noted it, or None if capture works."""
        newest = next(reversed(self._segments), None)
        notes = None if newest is None else newest.notes
        if newest is None or notes is None or not notes.last:
            return None
        return Drops(newest.end, notes.last, notes.began, notes.ended, notes.reason, notes.cause)

    def maintain(self) -> None:
        """Find the segments that were begun since the last time."""
        for one in () if self._closed else left_behind(self.folder):
            newest = next(reversed(self._segments), None)
            end, last = (self._read, 0) if newest is None else (newest.end, newest.notes.last)
            if one.head is None or not one.opened or (newest and one.first + one.head.capacity <= end):
                continue
            if one.first > max(end, last + 1) and one.first != self._beyond:
                self._beyond = one.first  # a listing may miss a file that is made meanwhile: ask the next one too
                return
            try:
                segment = Segment.view(one.path, one.head)
            except OSError:
                return  # found again by the next call
            with self._lock:
                self._segments.append(segment)

    def _ready(self, records: npt.NDArray[Any], expected: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which slots are filled, shape (n,). By checksum too: memory may be seen in another order than written."""
        ready = super()._ready(records, expected)
        rows = len(ready) if ready.all() else int(np.argmin(ready))
        ready[:rows] = checksums(records[:rows], expected[:rows]) == records["crc"][:rows]
        return ready

    def _reading(self) -> Segment | None:
        """Segment that the next number to read is in. Numbers that are in none were dropped, or their segment was."""
        at, segment = self._read, super()._reading()
        if segment is not None and self._read > at and all(run.first != at for run in self._dropped):
            before = [one.notes for one in self._segments if one.end <= at]
            now, last = self._clock.time_ns(), segment.first - 1
            drops = Drops(at, last, now, now, f"records {at} to {last} are in no segment of {self.folder}")
            if before and before[-1].last:
                drops = Drops(at, last, before[-1].began, before[-1].ended, before[-1].reason)
            with self._lock:
                self._dropped.append(drops)
            self.dropped_total += drops.rows
        return segment

    def sync(self) -> None:
        """Do nothing: the process that writes does it."""

    def close(self, applied: int) -> None:  # noqa: ARG002
        """Let go of the segments, and leave them where they are."""
        with self._lock:
            self._closed, self._segments = True, []
