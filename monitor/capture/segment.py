"""One file of the journal: a header, then fixed-size records, in memory that the kernel owns: it outlives the process.

    header   magic, first sequence number, record size, capacity, schema fingerprint, CRC-32;
             from byte 64 on, notes that change: whether the segment is in use, and what was dropped behind its end
    record   sequence number, CRC-32, mark | time in ns since 1970 UTC, a float64 for each column, key (64 bits)

A record's sequence number is written last, and the CRC of its body (behind the bar) is seeded with it: a slot without a
number was never finished, and so never acknowledged; any other slot that does not check was damaged.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from monitor.errors import StoreError

HEADER = struct.Struct("<8sQII32sI")
HEAD = struct.Struct("<QII")
NOTES = struct.Struct("<QQqqI")

MAGIC = b"TELLTAL2"
MARK = 0x6C65_7461
RECORDS_AT = 128
NOTES_AT = 64

#: Records that are copied out at a time to be checked.
COPIED = 512

_STEP = 1 << 16
_MADV_POPULATE_WRITE = 23  # not among mmap's names


def record_dtype(width: int) -> np.dtype[Any]:
    """Layout of a record with `width` values, as numpy reads it. `key`: hash of the caller's own id, 0 for none."""
    head = [("seq", "<u8"), ("crc", "<u4"), ("mark", "<u4")]
    return np.dtype([*head, ("time", "<i8"), ("values", "<f8", (width,)), ("key", "<u8")])


class SegmentHead(NamedTuple):
    """What the header of a segment says."""

    first: int
    record_size: int
    capacity: int
    fingerprint: bytes

    @property
    def width(self) -> int:
        """Number of values in a record."""
        return (self.record_size - HEAD.size - 16) // 8

    def pack(self) -> bytes:
        """Return the header's bytes, checksum included."""
        return HEADER.pack(MAGIC, *self, crc32(HEADER.pack(MAGIC, *self, 0)))

    @classmethod
    def unpack(cls, data: bytes) -> SegmentHead:
        """Read a header. Raises StoreError if it is not one, or is damaged."""
        if len(data) < HEADER.size:
            raise StoreError("is shorter than a journal header")
        magic, *fields, _ = HEADER.unpack(data[: HEADER.size])
        if magic != MAGIC:
            raise StoreError("is not a journal segment")
        head = cls(*fields)
        if head.pack() != data[: HEADER.size]:
            raise StoreError("has a damaged header")
        return head


class Notes(NamedTuple):
    """Facts behind a segment's header that change while it is in use; they survive the death of the process.

    `last`: highest number behind the segment's end that was dropped because there was no room, 0 if none was; `began`,
    `ended`: when the first and the last were dropped, in ns since 1970 UTC; `cause`: number of the disk's error.
    """

    opened: bool = False
    last: int = 0
    began: int = 0
    ended: int = 0
    cause: int = 0

    @property
    def reason(self) -> str:
        """The disk's error in words."""
        return os.strerror(self.cause)

    def pack(self) -> bytes:
        """Return the bytes, checksum included."""
        body = NOTES.pack(*self)
        return body + crc32(body).to_bytes(4, "little")

    @classmethod
    def unpack(cls, data: bytes) -> Notes:
        """Read the notes out of a header; damaged ones as those of a segment in use, without drops."""
        opened, *rest = NOTES.unpack_from(data.ljust(RECORDS_AT, b"\0"), NOTES_AT)
        notes = cls(bool(opened), *rest)
        return notes if data[NOTES_AT:].startswith(notes.pack()) else cls(opened=True)


class Drops(NamedTuple):
    """Predictions that found no room: sequence numbers [first, last], the time of the first and of the last, in ns."""

    first: int
    last: int
    began: int
    ended: int
    reason: str
    cause: int = 0

    @property
    def rows(self) -> int:
        """How many."""
        return self.last - self.first + 1


class Segment:
    """A mapped segment that is being written.

    `memory` is the mapping that records are copied into; `records` is the same memory as a numpy array.
    """

    def __init__(self, path: Path, head: SegmentHead) -> None:
        """Allocate and map the file. Raises OSError, and leaves nothing behind, if the disk refuses.

        It gets its name once it has its header, so that a file without one was damaged.
        """
        self.path = path
        self.first, self.capacity, self.end = head.first, head.capacity, head.first + head.capacity
        length = RECORDS_AT + head.capacity * head.record_size
        making = path.with_suffix(".new")
        handle = os.open(making, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(handle, 0, length)
            self.memory = mmap.mmap(handle, length)
        except BaseException:
            os.close(handle)
            making.unlink(missing_ok=True)
            raise
        self._handle = handle  # kept, since the folder may be renamed under us: `sync` must still reach the file
        _touch(self.memory)
        self.memory[: HEADER.size] = head.pack()
        self.note(Notes())
        making.rename(path)
        self.records: npt.NDArray[Any] = np.ndarray(
            head.capacity, record_dtype(head.width), buffer=self.memory, offset=RECORDS_AT
        )

    @classmethod
    def view(cls, path: Path, head: SegmentHead) -> Segment:
        """Map a segment that another process writes, to read it. Raises OSError if it is gone or too short."""
        segment = cls.__new__(cls)
        segment.path, segment._handle = path, -1
        segment.first, segment.capacity, segment.end = head.first, head.capacity, head.first + head.capacity
        with path.open("rb") as file:
            try:
                segment.memory = mmap.mmap(
                    file.fileno(), RECORDS_AT + head.capacity * head.record_size, access=mmap.ACCESS_READ
                )
            except ValueError as error:
                raise OSError(f"{path}: {error}") from error
        segment.records = np.ndarray(head.capacity, record_dtype(head.width), buffer=segment.memory, offset=RECORDS_AT)
        return segment

    @property
    def notes(self) -> Notes:
        """The notes in the header."""
        return Notes.unpack(self.memory[:RECORDS_AT])

    def note(self, notes: Notes) -> None:
        """Write the notes into the header."""
        packed = notes.pack()
        self.memory[NOTES_AT : NOTES_AT + len(packed)] = packed

    def page_out(self) -> None:
        """Give the pages back to the kernel: they are read from the file again when they are touched."""
        if sys.platform == "linux":
            self.memory.madvise(mmap.MADV_DONTNEED)

    def sync(self) -> None:
        """Bring the pages to the disk. Raises OSError.

        Not with `mmap.flush`, which keeps the interpreter's lock while it waits for the disk: every prediction would.
        """
        handle = self._handle
        if handle >= 0:
            os.fdatasync(handle)

    def close(self) -> None:
        """Let go of the file; the memory goes when the last reader lets go of it."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def delete(self) -> None:
        """Let go of the file, and remove it."""
        self.close()
        self.path.unlink(missing_ok=True)


def free_name(folder: Path, first: int) -> Path:
    """Return a path for a segment: named by its first number, and a second one if there is an empty one of that."""
    names = (f"{first:020d}{f'-{again}' if again else ''}.journal" for again in count())
    return next(path for path in map(folder.joinpath, names) if not path.exists())


def note_in(path: Path, notes: Notes) -> None:
    """Write notes into the header of a segment that is not mapped; as much of it as the disk takes."""
    # If it takes nothing, the number of drops does not survive a kill.
    with suppress(OSError), path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), notes.pack(), NOTES_AT)


def write_end(folder: Path, head: SegmentHead) -> None:
    """Leave an empty segment that says which number comes next. Raises OSError, and leaves nothing."""
    path = free_name(folder, head.first)
    try:
        path.write_bytes(head.pack().ljust(NOTES_AT, b"\0") + Notes(opened=True).pack().ljust(64, b"\0"))
        path.chmod(0o640)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _touch(memory: mmap.mmap) -> None:
    """Have the kernel bring in all pages now, in steps: the first write to a page would cost a prediction 5 us."""
    if sys.platform == "linux":
        for start in range(0, len(memory), _STEP):
            try:
                memory.madvise(_MADV_POPULATE_WRITE, start, min(_STEP, len(memory) - start))
            except OSError:
                return  # a kernel before 5.14: they come one by one, as they are needed


def checksums(records: npt.NDArray[Any], numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """CRC-32 of each record's body, seeded with the sequence number that it has or should have, shape (n,)."""
    whole = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), records.dtype.itemsize)
    return body_checksums(np.ascontiguousarray(whole[:, HEAD.size :]), numbers.tolist())


def body_checksums(bodies: npt.NDArray[Any], numbers: Sequence[int]) -> npt.NDArray[np.uint32]:
    """CRC-32 of bodies, one a row, seeded with their sequence numbers (the lower 32 bits), shape (n,)."""
    packed: npt.NDArray[Any] = bodies.view(np.dtype((np.void, bodies.shape[1] * bodies.itemsize))).ravel()
    # In parts, so that what is copied out is still in the cache when it is read.
    parts = (packed[begin : begin + COPIED].tolist() for begin in range(0, len(packed), COPIED))
    return np.fromiter(map(crc32, chain.from_iterable(parts), numbers), np.uint32, len(bodies))
