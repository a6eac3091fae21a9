"""The journal: a prediction is acknowledged once its record is here.

Any thread may append. A slot is taken by drawing a number from an atomic counter, so that appending needs no lock; the
number says in which segment, and where in it, the record goes. Only the change from one segment to the next takes a
lock. If the disk has no room for a further segment, the record is dropped and counted, and the caller goes on.
"""

from __future__ import annotations

import itertools
import logging
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from monitor import failpoint
from monitor.capture.reader import Reader
from monitor.capture.segment import (
    HEAD,
    MARK,
    RECORDS_AT,
    Drops,
    Notes,
    Segment,
    SegmentHead,
    body_checksums,
    free_name,
    note_in,
    write_end,
)
from monitor.clock import Clock, SystemClock
from monitor.columns.column import Floats

log = logging.getLogger(__name__)

#: How long to wait before asking a full disk for room again; a prediction must not pay for the question each time.
RETRY_SECONDS = 1.0

#: Slots that are looked at in one go for records beyond the last one that was noted.
LOOKED_AT = 1024

#: Turns the two parts of a row that are no plain numbers into floats.
Encode = Callable[[Sequence[Any], Sequence[Any]], Sequence[float]]


class Appended(NamedTuple):
    """What became of a batch: its first sequence number, and how many of its rows, from the first on, found room."""

    first: int
    rows: int


class Journal(Reader):
    """Append-only journal of one process, in segments of a folder.

    `fingerprint`: 32 bytes that name the schema; `width`: values in a record; `start`: first sequence number;
    `before`: the newest segment of earlier processes, which takes the notes of drops until this one has a segment.
    `pack`: packs a record whose first `packed` values are bytes, little-endian float64.
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
        before: Path | None = None,
        packed: int = 0,
    ) -> None:
        super().__init__(folder, width, start, clock)
        self._fingerprint = fingerprint
        self._size = self._dtype.itemsize
        self._capacity = max(64, (segment_bytes - RECORDS_AT) // self._size)
        self._sync_always = sync_always
        self._refuses_sync = False
        self._numbers = itertools.count(start)
        self._spare: Segment | None = None
        self._end = start
        self._retry_at = 0.0
        self._dropping: Drops | None = None
        self._paged_out = start  # first number whose segment is not paged out
        self._closed = False
        #: Told how many bytes a further segment takes; raises OSError if it may not be made.
        self.check_room: Callable[[int], None] = lambda _: None
        self._before = before
        self._newest = [start - 1]
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob("*.new"):
            unfinished.unlink()
        self.pack = struct.Struct(f"<q{8 * packed}s{width - packed}dQ").pack
        self.append, self._aim = self._make_append(width, encode)
        with self._lock:
            self._roll(start)

    def _make_append(self, width: int, encode: Encode) -> tuple[Callable[..., int], Callable[[Segment | None], None]]:
        """Build `append(values, more=(), time_ns=None, key=0, pack=...)`: one record, and the number that it got.

        `values` and `more` are its columns in the schema's order; `encode` makes numbers of those that are not. With
        `pack=self.pack`, `values` has the bytes of the first columns. A closure, since looking attributes up would cost
        as much as the write itself. Raises struct.error or TypeError for what cannot be encoded, before anything is
        taken; nothing else. The second function sets the segment that the first one writes to.
        """
        pack_body = struct.Struct(f"<q{width}dQ").pack
        now = time.time_ns if isinstance(self._clock, SystemClock) else self._clock.time_ns
        take, slow, checksum, size, newest = self._numbers.__next__, self._append_slow, crc32, self._size, self._newest
        write_rest, write_number = struct.Struct(f"<II{size - HEAD.size}s").pack_into, struct.Struct("<Q").pack_into
        # What the appending threads see: one tuple, replaced whole, so that no thread ever sees half a change.
        nowhere: tuple[int, int, Any] = (0, 0, None)
        target = nowhere

        def append(
            values: Sequence[Any],
            more: Sequence[float] = (),
            time_ns: int | None = None,
            key: int = 0,
            pack: Callable[..., bytes] = pack_body,
        ) -> int:
            at_ns = now() if time_ns is None else time_ns
            try:
                body = pack(at_ns, *values, *more, key)
            except (TypeError, ValueError, ArithmeticError, struct.error):
                plain = values if pack is pack_body else np.frombuffer(values[0], "<f8").tolist()
                body = pack_body(at_ns, *encode(plain, more), key)
            # In this order: a number that is drawn once a segment is in use is never before that segment.
            end, base, memory = target
            number = take()
            if number >= end:
                return slow(number, body)
            at = number * size + base
            # The number last: it makes the record valid.
            write_rest(memory, at + 8, checksum(body, number), MARK, body)
            write_number(memory, at, number)
            newest[0] = number
            return number

        careful = self._sync_always or failpoint.armed("append") or sys.byteorder != "little"

        def aim(segment: Segment | None) -> None:
            nonlocal target
            if segment is None or careful:
                target = nowhere
            else:
                target = (segment.end, RECORDS_AT - segment.first * size, segment.memory)

        return append, aim

    def _append_slow(self, number: int, body: bytes) -> int:
        """Append if the number is not in the newest segment, or if each record must reach the disk."""
        with self._lock:
            segment = self._segment_of(number)
            if segment is None:
                self._drop(number, number)
                return number
        at = RECORDS_AT + (number - segment.first) * self._size
        segment.memory[at + HEAD.size : at + self._size] = body
        failpoint.reach("append.body")
        segment.memory[at : at + HEAD.size] = HEAD.pack(number, crc32(body, number & 0xFFFFFFFF), MARK)
        self._newest[0] = number
        self._sync_each(segment)
        failpoint.reach("append.done")
        return number

    def _sync_each(self, segment: Segment) -> None:
        """Wait for the disk if each record must reach it; a disk that refuses fails no prediction."""
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
        keys: npt.NDArray[np.uint64] | None = None,
    ) -> Appended:
        """Append a batch, shape (n, width), in one copy for each segment it touches. `keys`: shape (n,), 0 for none.

        The numbers are consecutive: drawing them runs in C, where no other thread can come between.
        """
        rows = len(values)
        if not rows:
            raise ValueError("a batch needs at least one row")
        numbers = list(itertools.islice(self._numbers, rows))
        bodies = np.empty((rows, 2 + values.shape[1]), "<f8")
        times = bodies.view("<i8")[:, 0]
        times[:] = self._clock.time_ns() if times_ns is None else times_ns
        bodies[:, 1:-1] = values
        keyed = bodies.view("<u8")[:, -1]
        keyed[:] = 0 if keys is None else keys
        checked = body_checksums(bodies, numbers)
        number, last = numbers[0], numbers[-1]
        failpoint.reach("batch.claimed")
        while number <= last:
            with self._lock:
                segment = self._segment_of(number)
                if segment is None:
                    # Asking again for each row would not help: the disk was full a moment ago.
                    self._drop(number, last)
                    break
            until = min(last + 1, segment.end)
            chunk = slice(number - numbers[0], until - numbers[0])
            slots = segment.records[number - segment.first : until - segment.first]
            # Heads last, as in a single append; numpy may let go of the interpreter's lock within a copy.
            slots["time"], slots["values"], slots["key"] = times[chunk], bodies[chunk, 1:-1], keyed[chunk]
            failpoint.reach("batch.body")
            slots["crc"], slots["mark"] = checked[chunk], MARK
            failpoint.reach("batch.checksums")
            slots["seq"] = numbers[chunk]
            self._newest[0] = until - 1
            self._sync_each(segment)
            number = until
        return Appended(numbers[0], number - numbers[0])

    def _segment_of(self, number: int) -> Segment | None:
        """Segment of a number, made if it is the next one; None if there is no room. Needs the lock."""
        while True:
            for segment in reversed(self._segments):
                if segment.first <= number < segment.end:
                    return segment
            if number < self._end or self._closed or not self._roll(number):
                return None

    def _roll(self, number: int) -> bool:
        """Open the next segment, from the end of the last, or from `number` if records were dropped."""
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
            log.warning("capture has resumed; %d predictions were not recorded", first - self._end)
        failpoint.reach("journal.roll")
        segment.note(Notes(opened=True))
        self._segments.append(segment)
        self._end = segment.end
        self._aim(segment)
        return True

    def _make(self, first: int) -> Segment:
        head = SegmentHead(first, self._size, self._capacity, self._fingerprint)
        self.check_room(RECORDS_AT + self._capacity * self._size)
        return Segment(free_name(self.folder, first), head)

    def _refused(self, error: OSError) -> None:
        self._retry_at = self._clock.monotonic() + RETRY_SECONDS
        if self._dropping is None:
            now = self._clock.time_ns()
            self._dropping = Drops(self._end, self._end - 1, now, now, error.strerror or str(error), error.errno or 0)
            log.error("capture has stopped, predictions are answered but not recorded: %s", error.strerror or error)

    def _drop(self, first: int, last: int) -> None:
        self.dropped_total += last - first + 1
        old = self._dropping
        if old is None:
            return
        now = self._clock.time_ns()
        self._dropping = Drops(old.first, max(old.last, last), old.began, now, old.reason, old.cause)
        notes = Notes(True, self._dropping.last, old.began, now, old.cause)
        if self._segments:
            self._segments[-1].note(notes)
        elif self._before is not None:
            note_in(self._before, notes)

    @property
    def written(self) -> int:
        """Highest sequence number known to be written; 0 before the first.

        A thread may note its number after another has noted a later one, so what comes after is looked at too.
        """
        number = self._newest[0]
        with self._lock:
            segments = [segment for segment in self._segments if segment.end > number + 1]
        for segment in segments:
            begin = max(number + 1 - segment.first, 0)
            while (last := int(segment.records["seq"][begin : begin + LOOKED_AT].max(initial=0))) > number:
                number, begin = last, last + 1 - segment.first
        return number

    @property
    def dropping(self) -> Drops | None:
        """The run of drops that goes on now, or None if capture works."""
        return self._dropping

    def has_room(self, rows: int) -> bool:
        """Whether `rows` rows can be appended now without a drop; for a caller that can refuse them.

        Allocates the next segment if the newest one is too short. Rows beyond that segment may still find no room.
        """
        written = self.written
        with self._lock:
            if self._dropping is not None and not self._roll(self._end):
                return False
            if self._end - written <= rows and self._spare is None and not self._closed:
                try:
                    self._spare = self._make(self._end)
                except OSError:
                    return False
            return True

    def maintain(self) -> None:
        """Allocate the next segment ahead of need; try again if the disk was full. Called between folds."""
        with self._lock:
            if self._closed:
                return
            # Records that wait to be folded for long need not be in memory.
            for segment in self._segments[1:-2]:
                if segment.first >= self._paged_out:
                    segment.page_out()
                    self._paged_out = segment.end
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

    def sync(self) -> None:
        """Bring what was appended to the disk, against loss of power. Raises OSError."""
        with self._lock:
            segments = list(self._segments)
        for segment in segments:
            segment.sync()

    def let_go(self) -> None:
        """Let go of segments that the process that reads the journal has folded and deleted."""
        with self._lock:
            gone = [segment for segment in self._segments[:-1] if not segment.path.exists()]
            self._segments = [segment for segment in self._segments if segment not in gone]
        for segment in gone:
            segment.close()

    @property
    def bytes(self) -> int:
        """Size of the segments on disk."""
        return super().bytes + (self._spare is not None) * (RECORDS_AT + self._capacity * self._size)

    def close(self, applied: int) -> None:
        """Sync and let go; delete what is folded and committed up to `applied`. Appending afterwards drops."""
        written = self.written
        with self._lock:
            self._closed = True
            self._aim(None)
            segments, self._segments = self._segments, []
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.delete()
        whole = written <= applied and not self._dropped and self._dropping is None
        for segment in segments:
            try:
                segment.sync()
                if whole and segment is segments[-1]:
                    number = max(applied, written) + 1
                    write_end(self.folder, SegmentHead(number, self._size, 0, self._fingerprint))
            except OSError as error:
                whole = False
                log.error("the journal could not be brought to the disk at the end: %s", error.strerror or error)
        for segment in segments:
            if whole or (segment is not segments[-1] and segment.end - 1 <= applied):
                segment.delete()
            else:
                segment.close()
