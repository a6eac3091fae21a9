"""The journal: a prediction is acknowledged once its record lies here.

Any thread may append. A slot is taken by drawing a number from an atomic counter, so that appending needs no lock; the
number says in which segment, and where in it, the record goes. Only the change from one segment to the next takes a
lock. Where the disk has no room for a further segment, the record is dropped and counted, and the caller goes on.
"""

from __future__ import annotations

import itertools
import logging
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from monitor import failpoint
from monitor.capture.mark import Drops, Mark, recycle
from monitor.capture.recover import move_aside
from monitor.capture.segment import HEAD, MARK, RECORDS_AT, Segment, SegmentHead, checksums, record_dtype
from monitor.clock import Clock, SystemClock
from monitor.columns.column import Floats

log = logging.getLogger(__name__)

#: How long to wait before asking a full disk for room again; a prediction must not pay for the question each time.
RETRY_SECONDS = 1.0

#: A slot that was taken and not filled for this long, while later ones were, belongs to a thread that died in between.
ABANDONED_SECONDS = 5.0


#: Turns the two parts of a row that are no plain numbers into floats.
Encode = Callable[[Sequence[Any], Sequence[Any]], Sequence[float]]


class Appended(NamedTuple):
    """What became of a batch: its first sequence number, and how many of its rows, from the first on, found room."""

    first: int
    rows: int


class Journal:
    """Append-only journal of one process, in segments of a folder.

    `fingerprint`: 32 bytes that name the schema; `width`: values in a record; `start`: first sequence number.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: bytes,
        width: int,
        start: int = 1,
        segment_bytes: int = 4 << 20,
        sync_always: bool = False,
        clock: Clock | None = None,
        encode: Encode = lambda values, more: [*values, *more],
    ) -> None:
        self.folder = folder
        self._fingerprint = fingerprint
        self._dtype = record_dtype(width)
        self._size = self._dtype.itemsize
        self._capacity = max(64, (segment_bytes - RECORDS_AT) // self._size)
        self._clock = clock or SystemClock()
        self._sync_always = sync_always
        self._refuses_sync = False
        self._numbers = itertools.count(start)
        self._lock = threading.Lock()
        self._segments: list[Segment] = []
        self._spare: Segment | None = None
        self._end = start
        self._retry_at = 0.0
        self._dropping: Drops | None = None
        self._dropped: list[Drops] = []
        self.dropped_total = 0
        self._read = start
        self._stuck: tuple[int, float] | None = None
        #: Numbers whose records were taken away: from the first of a run to the one behind its last.
        self._skip: dict[int, int] = {}
        #: Segments whose files were deleted, with those that stand for them.
        self._deleted: list[tuple[Segment, Segment]] = []
        self._left = start
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True)
        self._mark, self._has_spare_mark = Mark(folder, start), False
        self.append, self._aim = self._make_append(width, encode)
        with self._lock:
            self._roll(start)

    def _make_append(self, width: int, encode: Encode) -> tuple[Callable[..., int], Callable[[Segment | None], None]]:
        """Build `append(values, more=(), time_ns=None)`: one prediction, and the sequence number that it got.

        `values` and `more` are its columns as numbers, in the schema's order; where they are not, `encode` makes them
        so. A closure, since looking attributes up would cost as much as the write itself. Raises struct.error or
        TypeError for what cannot be encoded either, before anything is taken; nothing else. The second function is told
        into which segment it writes from now on.
        """
        pack_body = struct.Struct(f"<q{width}d").pack
        now = time.time_ns if isinstance(self._clock, SystemClock) else self._clock.time_ns
        take, slow, checksum, body_size = self._numbers.__next__, self._append_slow, crc32, self._size - HEAD.size
        mark, record_words, newest = MARK << 32, self._size // 8, self._mark.number
        # What the appending threads see: one tuple, replaced whole, so that no thread ever sees half a change.
        nowhere: tuple[int, int, Any, Any] = (0, 0, None, None)
        target = nowhere

        def append(values: Sequence[float], more: Sequence[float] = (), time_ns: int | None = None) -> int:
            at_ns = now() if time_ns is None else time_ns
            try:
                body = pack_body(at_ns, *values, *more)
            except (TypeError, ValueError, ArithmeticError, struct.error):
                body = pack_body(at_ns, *encode(values, more))
            # In this order: a number that is drawn once a segment is in use never lies before that segment.
            end, base, memory, words = target
            number = take()
            if number >= end:
                return slow(number, body)
            word = number * record_words + base
            at = word * 8 + 16
            memory[at : at + body_size] = body
            # The head, word by word: checksum and mark, and the number last, which makes the record valid.
            words[word + 1] = checksum(body, number) | mark
            words[word] = newest[0] = number
            return number

        careful = self._sync_always or failpoint.armed("append") or sys.byteorder != "little"

        def aim(segment: Segment | None) -> None:
            nonlocal target
            if segment is None or careful:
                target = nowhere
            else:
                base = RECORDS_AT // 8 - segment.first * record_words
                target = (segment.end, base, segment.memory, segment.words)

        return append, aim

    def _append_slow(self, number: int, body: bytes) -> int:
        """Append where the number does not lie in the newest segment, or each record must reach the disk."""
        with self._lock:
            segment = self._segment_of(number)
            if segment is None:
                self._drop(number, number)
                return number
        at = RECORDS_AT + (number - segment.first) * self._size
        segment.memory[at + HEAD.size : at + self._size] = body
        failpoint.reach("append.body")
        segment.memory[at : at + HEAD.size] = HEAD.pack(number, crc32(body, number & 0xFFFFFFFF), MARK)
        self._mark.number[0] = number
        self._sync_each(segment)
        failpoint.reach("append.done")
        return number

    def _sync_each(self, segment: Segment) -> None:
        """Where each record must reach the disk, wait for it; a disk that refuses fails no prediction."""
        if not self._sync_always:
            return
        try:
            segment.sync()
            self._refuses_sync = False
        except OSError as error:
            if not self._refuses_sync:
                log.error("records do not reach the disk, and would not survive a power cut: %s", error.strerror)
            self._refuses_sync = True

    def append_many(
        self,
        values: Floats,
        times_ns: npt.NDArray[np.int64] | int | None = None,
        claimed: Callable[[int], None] | None = None,
    ) -> Appended:
        """Append a batch, shape (n, width), in one copy for each segment it touches.

        The numbers are consecutive: drawing them runs in C, where no other thread can come between. `claimed` is told
        the first of them before anything is written.
        """
        rows = len(values)
        if not rows:
            raise ValueError("a batch needs at least one row")
        numbers = list(itertools.islice(self._numbers, rows))
        records = np.zeros(rows, self._dtype)
        records["seq"] = numbers
        records["mark"] = MARK
        records["time"] = self._clock.time_ns() if times_ns is None else times_ns
        records["values"] = values
        records["crc"] = checksums(records, records["seq"])
        number, last = numbers[0], numbers[-1]
        if claimed is not None:
            claimed(number)
        failpoint.reach("batch.claimed")
        while number <= last:
            with self._lock:
                segment = self._segment_of(number)
                if segment is None:
                    # Asking again for each row would not help: the disk was full a moment ago.
                    self._drop(number, last)
                    break
            until = min(last + 1, segment.end)
            chunk = records[number - numbers[0] : until - numbers[0]]
            slots = segment.records[number - segment.first : until - segment.first]
            # Heads last, as in a single append; numpy may let go of the interpreter's lock within a copy.
            slots["time"], slots["values"] = chunk["time"], chunk["values"]
            failpoint.reach("batch.body")
            slots["crc"], slots["mark"] = chunk["crc"], chunk["mark"]
            failpoint.reach("batch.checksums")
            slots["seq"] = chunk["seq"]
            self._mark.number[0] = until - 1
            self._sync_each(segment)
            number = until
        return Appended(numbers[0], number - numbers[0])

    def _segment_of(self, number: int) -> Segment | None:
        """Segment that a number lies in, made if it is the next one; None where there is no room. Needs the lock."""
        while True:
            for segment in reversed(self._segments):
                if segment.first <= number < segment.end:
                    return segment
            if number < self._end or self._closed or not self._roll(number):
                return None

    def _roll(self, number: int) -> bool:
        """Open the next segment, from the end of the last, or from `number` where records were dropped."""
        first = self._end
        if self._dropping is not None:
            if self._clock.monotonic() < self._retry_at:
                return False
            first = max(number, self._dropping.last + 1)
        spare, self._spare = self._spare, None
        if spare is not None and spare.first != first:
            spare.delete()
            spare = None
        try:
            segment = spare or self._make(first)
        except OSError as error:
            self._refused(error)
            return False
        if self._dropping is not None:
            resumed = self._dropping
            self._dropped.append(Drops(self._end, first - 1, resumed.began, self._clock.time_ns(), resumed.reason))
            self._dropping = None
            self._keep_drops()
            log.warning("capture has resumed; %d predictions were not recorded", first - self._end)
        failpoint.reach("journal.roll")
        self._segments.append(segment)
        self._end = segment.end
        self._mark.ends(segment.end)
        self._aim(segment)
        return True

    def _make(self, first: int) -> Segment:
        head = SegmentHead(first, self._size, self._capacity, self._fingerprint)
        return Segment(self.folder / f"{first:020d}.journal", head)

    def _refused(self, error: OSError) -> None:
        self._retry_at = self._clock.monotonic() + RETRY_SECONDS
        if self._dropping is None:
            now = self._clock.time_ns()
            self._dropping = Drops(self._end, self._end - 1, now, now, error.strerror or str(error))
            log.error("capture has stopped, predictions are answered but not recorded: %s", error.strerror or error)

    def _drop(self, first: int, last: int) -> None:
        self.dropped_total += last - first + 1
        old = self._dropping
        if old is not None:
            now = self._clock.time_ns()
            self._dropping = Drops(old.first, max(old.last, last), old.began, now, old.reason)
            self._keep_drops()

    def _keep_drops(self) -> None:
        """Keep what is in no gap of the store yet where it survives the process."""
        going_on = self._dropping
        self._mark.keep(self._dropped if going_on is None or not going_on.count else [*self._dropped, going_on])

    # The reading side: one thread only.

    def read(self, limit: int = 1 << 18) -> npt.NDArray[Any]:
        """Records that have not been read yet, in order, at most `limit`, shape (n,), dtype `record_dtype`.

        A view of the journal's own memory. Returns fewer where the segment ends; an empty array where there are none.
        """
        while True:
            segment = self._reading()
            if segment is None:
                return np.empty(0, self._dtype)
            begin = self._read - segment.first
            lost = min([first for first in self._skip if first >= self._read], default=segment.end)
            if lost == self._read:
                self._read = self._skip[lost]
                continue
            window = segment.records[begin : min(begin + limit, lost - segment.first)]
            expected = np.arange(self._read, self._read + len(window), dtype=np.uint64)
            ready = window["seq"] == expected
            rows = len(window) if ready.all() else int(np.argmin(ready))
            if rows:
                self._stuck = None
                self._read += rows
                return window[:rows]
            if len(window) and not self._abandoned(ready):
                return window[:0]

    def _reading(self) -> Segment | None:
        """Segment that the next number to read lies in, past whatever was dropped."""
        with self._lock:
            for segment in self._segments:
                if self._read < segment.end:
                    self._read = max(self._read, segment.first)
                    return segment
        return None

    def _abandoned(self, ready: npt.NDArray[np.bool_]) -> bool:
        """Step over a slot that a dying thread took and never filled."""
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

    @property
    def written(self) -> int:
        """Highest sequence number known to be written; 0 before the first."""
        return self._mark.number[0]

    def waiting(self, applied: int) -> bool:
        """Whether the journal has records behind `applied`."""
        return self.written > applied

    def rewind(self, applied: int) -> None:
        """Read again from behind `applied`: what was read since could not be committed."""
        self._read = applied + 1

    @property
    def between_segments(self) -> bool:
        """Whether the last read ended where a segment does: it may have been short for no other reason."""
        with self._lock:
            return any(self._read in (segment.first, segment.end) for segment in self._segments)

    @property
    def read_upto(self) -> int:
        """Last sequence number that `read` has handed out or stepped over."""
        return self._read - 1

    def drops(self) -> list[Drops]:
        """Runs of dropped records that are over and have not been noted yet; for the store's `gaps`."""
        with self._lock:
            return list(self._dropped)

    def noted(self, drops: list[Drops]) -> None:
        """These runs are in the store now."""
        with self._lock:
            if drops:
                self._dropped = [run for run in self._dropped if run not in drops]
                self._keep_drops()

    @property
    def dropping(self) -> Drops | None:
        """The run of drops that goes on now, or None where capture works."""
        return self._dropping

    def maintain(self) -> None:
        """Allocate the next segment ahead of need; try again where the disk was full. Called between folds."""
        with self._lock:
            if self._closed:
                return
            self._look_after()
            if self._dropping is not None:
                if self._dropping.last >= self._dropping.first:
                    self._roll(self._dropping.last + 1)
                else:
                    self._roll(self._end)
                return
            taken = self._segments[-1].records["seq"][self._capacity // 2] if self._segments else 0
            if taken and self._spare is None:
                try:
                    self._spare = self._make(self._end)
                except OSError as error:
                    log.debug("no room yet for the next journal segment: %s", error)
            self._has_spare_mark = self._has_spare_mark or self._mark.keep_spare()

    def _look_after(self) -> None:
        """Undo what somebody has done to the files while they are in use, as far as that can be. Needs the lock."""
        for segment, anew in self._deleted:
            segment.copy_to(anew)  # what threads were writing when it was replaced
            segment.close()
        self._deleted = []
        for position, segment in enumerate([*self._segments, *([self._spare] if self._spare else [])]):
            try:
                harm = segment.harm()
                if harm and segment is self._spare:
                    segment.close()
                    self._spare = None
                    continue
                if harm == "cut":
                    self._mend(segment)
                elif harm:
                    self._replace(position, segment)
            except OSError as error:
                log.debug("%s cannot be mended: %s", segment.path, error)
        # Records that wait to be folded for long need not be in memory.
        for segment in self._segments[1:-2]:
            if segment.first >= self._left:
                segment.leave()
                self._left = segment.end

    def _mend(self, segment: Segment) -> None:
        """A file was cut: what it has lost is counted, and the next record does not end the process."""
        first = max(self._read, segment.first + segment.mend())
        last = min(self.written, segment.end - 1)
        if first > last:
            return
        reason = f"{segment.path.name} was cut"
        lost = Drops(first, last, self._mark.as_of or self._clock.time_ns(), self._clock.time_ns(), reason, "damaged")
        self._dropped.append(lost)
        self._skip[first] = last + 1
        self._keep_drops()
        log.error("%s while it was in use; lost: %d predictions", reason, lost.count)

    def _replace(self, position: int, segment: Segment) -> None:
        """A file was deleted, moved or replaced: another one takes its place, with the same records."""
        if segment.path.exists():
            move_aside(segment.path)
        anew = self._make(segment.first)
        segment.copy_to(anew)
        self._segments[position] = anew
        self._deleted.append((segment, anew))
        if anew.end == self._end and self._dropping is None:
            self._aim(anew)
        log.error("%s was deleted while it was in use; it is written anew, and nothing is lost", segment.path.name)

    def forget_marks(self) -> None:
        """What earlier processes left is in the store: their marks are of no use any more."""
        recycle(self.folder, self._mark.path)

    def sync(self) -> None:
        """Bring what was appended to the disk, against loss of power. Raises OSError."""
        with self._lock:
            segments = list(self._segments)
        for segment in segments:
            segment.sync()

    def forget(self, applied: int, as_of: int) -> None:
        """Delete segments whose records are all folded and committed; the one being written stays.

        `as_of`: when all that had been recorded was read, in ns.
        """
        self._mark.applied(applied, as_of)
        with self._lock:
            done = [segment for segment in self._segments[:-1] if segment.end - 1 <= applied]
            self._segments = [segment for segment in self._segments if segment not in done]
        for segment in done:
            failpoint.reach("journal.delete")
            segment.delete()

    @property
    def bytes(self) -> int:
        """Size of the segments on disk."""
        with self._lock:
            count = len(self._segments) + (self._spare is not None)
        return count * (RECORDS_AT + self._capacity * self._size)

    def close(self, applied: int) -> None:
        """Sync and let go; delete what is folded and committed up to `applied`. Appending afterwards drops."""
        with self._lock:
            self._closed = True
            self._aim(None)
            segments, self._segments = self._segments, []
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.delete()
        for segment in segments:
            try:
                segment.sync()
            except OSError as error:
                log.error("the journal could not be brought to the disk at the end: %s", error.strerror or error)
            if int(segment.records["seq"].max()) <= applied:
                segment.delete()
            else:
                segment.close()
        if self.written <= applied and not self._dropped and self._dropping is None:
            self._mark.discard()
