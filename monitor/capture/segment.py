"""One file of the journal: a header, then fixed-size records, in memory that the kernel owns.

The file is allocated whole with `posix_fallocate` before it is mapped: a sparse file on a full disk would kill the
process with SIGBUS at the first write, where the allocation refuses with an error that can be handled. What has been
written to the mapping survives the death of the process, since the pages belong to the kernel.

    header   magic, first sequence number, record size, capacity, schema fingerprint, CRC-32
    record   sequence number, CRC-32, mark | time in ns since 1970 UTC, a float64 for each column

A record's body (behind the bar) is written before its head, and the CRC is seeded with the sequence number: a slot
whose head is zero was never finished, and so never acknowledged; any other slot that does not check was damaged.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zlib import crc32

import numpy as np
import numpy.typing as npt

from monitor.errors import StoreError

HEADER = struct.Struct("<8sQII32sI")
HIGH_WATER = struct.Struct("<Q")  # where segments had it before there were marks
HEAD = struct.Struct("<QII")

MAGIC = b"TELLTALE"
MARK = 0x6C65_7461
HIGH_WATER_AT = 64
RECORDS_AT = 128

_STEP = 1 << 16
_MADV_POPULATE_WRITE = 23  # not among mmap's names


def record_dtype(width: int) -> np.dtype[Any]:
    """Layout of a record with `width` values, as numpy reads it."""
    fields = [("seq", "<u8"), ("crc", "<u4"), ("mark", "<u4"), ("time", "<i8"), ("values", "<f8", (width,))]
    return np.dtype(fields)


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What the header of a segment says."""

    first: int
    record_size: int
    capacity: int
    fingerprint: bytes

    @property
    def width(self) -> int:
        """Number of values in a record."""
        return (self.record_size - HEAD.size - 8) // 8

    def pack(self) -> bytes:
        """Return the header's bytes, checksum included."""
        fields = (MAGIC, self.first, self.record_size, self.capacity, self.fingerprint)
        return HEADER.pack(*fields, crc32(HEADER.pack(*fields, 0)))

    @classmethod
    def unpack(cls, data: bytes) -> SegmentHead:
        """Read a header. Raises StoreError where it is not one, or is damaged."""
        if len(data) < HEADER.size:
            raise StoreError("is shorter than a journal header")
        *fields, crc = HEADER.unpack(data[: HEADER.size])
        if fields[0] != MAGIC:
            raise StoreError("is not a journal segment")
        if crc != crc32(HEADER.pack(*fields, 0)):
            raise StoreError("has a damaged header")
        return cls(*fields[1:])


class Segment:
    """A mapped segment that is being written.

    `memory` is the mapping that records are copied into; `words` is the same memory as 64-bit integers, and `records`
    as a numpy array.
    """

    def __init__(self, path: Path, head: SegmentHead) -> None:
        """Allocate and map the file. Raises OSError, and leaves nothing behind, where the disk refuses."""
        self.path = path
        self.first, self.capacity, self.end = head.first, head.capacity, head.first + head.capacity
        self._head, self._length = head, RECORDS_AT + head.capacity * head.record_size
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(handle, 0, self._length)
            self.memory = mmap.mmap(handle, self._length)
        except BaseException:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise
        self._handle = handle  # kept, since the folder may be renamed under us: `sync` must still reach the file
        _touch(self.memory)
        self.memory[: HEADER.size] = head.pack()
        self.words = memoryview(self.memory).cast("Q")
        self.records: npt.NDArray[Any] = np.ndarray(
            head.capacity, record_dtype(head.width), buffer=self.memory, offset=RECORDS_AT
        )

    def harm(self) -> str:
        """What somebody has done to the file while it is in use: `cut`, `gone`, or nothing. Raises OSError."""
        held = os.fstat(self._handle)
        if held.st_size < self._length:
            return "cut"
        try:
            lies = self.path.stat()
        except FileNotFoundError:
            return "gone"
        return "" if (lies.st_dev, lies.st_ino) == (held.st_dev, held.st_ino) else "gone"

    def mend(self) -> int:
        """Give a file that was cut its length again, before its memory is touched; how many of its slots it still had.

        Raises OSError.
        """
        size = os.fstat(self._handle).st_size
        os.posix_fallocate(self._handle, 0, self._length)
        self.memory[: HEADER.size] = self._head.pack()
        had = max(0, size - RECORDS_AT) // self._head.record_size
        self.records["seq"][had : had + 1] = 0  # it may have lost its second half
        return had

    def copy_to(self, other: Segment) -> None:
        """Write what this one has, and the other one lacks, into that; heads last."""
        lacking = (other.records["seq"] == 0) & (self.records["seq"] != 0)
        for field in ("time", "values", "crc", "mark", "seq"):
            other.records[field][lacking] = self.records[field][lacking]

    def leave(self) -> None:
        """Take no more of the process's memory than must be: it comes back from the file where it is touched."""
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
    size = records.dtype.itemsize
    raw = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), size)
    packed = np.ascontiguousarray(raw[:, HEAD.size :]).view(np.dtype((np.void, size - HEAD.size)))
    bodies = cast(list[bytes], packed.ravel().tolist())
    seeds: list[int] = (numbers & np.uint64(0xFFFFFFFF)).tolist()
    return np.fromiter(map(crc32, bodies, seeds), np.uint32, len(records))
