"""What has to be known of a process that was killed, and lies in none of its segments.

One page of mapped memory, in a file beside the segments, for each process that used the folder:

    number     highest sequence number that was written; every append stores it
    applied    up to where the store had everything, and when that was found, in ns since 1970 UTC
    end        first number behind the newest segment in use
    drops      runs of records that found no room, until a gap in the store stands for them

A segment that is cut to nothing or deleted takes its records along; how many there were is known from here. Where this
file is lost too, that number is unknown, as it should be.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

log = logging.getLogger(__name__)

SUFFIX = ".mark"
SPARE = "spare"
PAGE = 4096

MAGIC = b"TELLMARK"
HEADER = struct.Struct("<8sQI")
NUMBER_AT, WORDS = 32, struct.Struct("<QQqQ")
DROPS_AT, DROPS = 64, struct.Struct("<QQqq8s40sI")
MAX_DROPS = (PAGE - DROPS_AT) // DROPS.size

#: A process that got further ahead of the store than this had years of predictions unfolded: the number is damaged.
BELIEVED = 1 << 32


@dataclass(frozen=True, slots=True)
class Drops:
    """Records that are lost: sequence numbers [first, last], the time of the first and of the last, in ns.

    `kind`: as in `gaps`; `dropped` where there was no room for them, `damaged` where they were taken away again.
    """

    first: int
    last: int
    began: int
    ended: int
    reason: str
    kind: str = "dropped"

    @property
    def count(self) -> int:
        """How many."""
        return self.last - self.first + 1

    def pack(self) -> bytes:
        """Return its bytes, checksum included."""
        kind, reason = self.kind.encode(), self.reason.encode("utf-8", "replace")[:40]
        body = DROPS.pack(self.first, self.last, self.began, self.ended, kind, reason, 0)[:-4]
        return body + crc32(body).to_bytes(4, "little")

    @classmethod
    def unpack(cls, data: bytes) -> Drops | None:
        """Read one; None where there is none, or it is damaged."""
        first, last, began, ended, kind, reason, crc = DROPS.unpack(data)
        if not first or crc != crc32(data[:-4]):
            return None
        return cls(first, last, began, ended, _text(reason), _text(kind))


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


class Mark:
    """The page of this process, whose first number is `start`. Never raises for what a disk does."""

    def __init__(self, folder: Path, start: int) -> None:
        self._folder, self.path, self._spare = folder, folder / f"{start:020d}{SUFFIX}", folder / f"{SPARE}{SUFFIX}"
        try:
            self.memory = self._map()
        except OSError as error:
            log.warning(
                "%s cannot be made (%s): what a kill or a damaged journal loses could not be counted",
                self.path,
                error.strerror,
            )
            self.memory = mmap.mmap(-1, PAGE)
        self.memory[:] = bytes(PAGE)
        fields = (MAGIC, start)
        self.memory[: HEADER.size] = HEADER.pack(*fields, crc32(HEADER.pack(*fields, 0)))
        #: One word, the number; for whoever appends.
        self.number = memoryview(self.memory)[NUMBER_AT : NUMBER_AT + 8].cast("Q")
        self._rest = memoryview(self.memory)[NUMBER_AT + 8 : DROPS_AT].cast("Q")

    def _map(self) -> mmap.mmap:
        try:
            self._spare.rename(self.path)  # takes no room, on a disk that has none
        except FileNotFoundError:
            pass
        handle = _allocated(self.path)
        try:
            return mmap.mmap(handle, PAGE)
        finally:
            os.close(handle)

    def keep_spare(self) -> bool:
        """Have a page ready for the next process, which may find the disk full; False where there is no room for it."""
        try:
            os.close(_allocated(self._spare))
        except OSError:
            return False
        return True

    def applied(self, number: int, as_of: int) -> None:
        """The store has everything up to `number`, and all that was recorded before `as_of`, in ns."""
        self._rest[0], self._rest[1] = number, as_of

    @property
    def as_of(self) -> int:
        """When the store last had everything, in ns; 0 before the first time."""
        return self._rest[1]

    def ends(self, number: int) -> None:
        """The segment that is written from now on ends before `number`."""
        self._rest[2] = number

    def keep(self, drops: Sequence[Drops]) -> None:
        """These runs are in no gap of the store yet; of too many, the first and the last are kept."""
        if len(drops) > MAX_DROPS:
            drops = [*drops[: MAX_DROPS - 1], drops[-1]]
        packed = b"".join(run.pack() for run in drops)
        self.memory[DROPS_AT:] = packed + bytes(PAGE - DROPS_AT - len(packed))

    def discard(self) -> None:
        """There is nothing that the next process would have to know."""
        recycle(self._folder, self._spare)


def _allocated(path: Path) -> int:
    """Open a file of one page, made where there is none. Raises OSError, and leaves none behind, for want of room."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        found = os.fstat(handle)
        if found.st_size != PAGE or found.st_blocks * 512 < PAGE:
            os.ftruncate(handle, 0)
            os.posix_fallocate(handle, 0, PAGE)
    except OSError:
        os.close(handle)
        path.unlink(missing_ok=True)
        raise
    return handle


@dataclass(frozen=True, slots=True)
class LeftMark:
    """The mark of an earlier process, as it was found. `touched`: when its file was last written, in ns."""

    path: Path
    start: int
    number: int
    applied: int
    as_of: int
    end: int
    drops: tuple[Drops, ...]
    touched: int

    @property
    def last(self) -> int:
        """Highest number that the process can have drawn, as far as is known."""
        return max([self.start, self.end, self.number, *(run.last for run in self.drops)])

    def covers(self, first: int) -> bool:
        """Whether a segment that begins with `first` is one of this process's."""
        return self.start <= first <= self.end

    def unaccounted(self, after: int, until: int) -> int:
        """How many records were written of those numbered behind `after`, up to `until`, that the store has not."""
        begin, end = max(after + 1, self.start, self.applied + 1), min(until, self.number)
        dropped = sum(max(0, min(end, run.last) - max(begin, run.first) + 1) for run in self.drops)
        return max(0, end - begin + 1 - dropped)


def read_mark(path: Path) -> LeftMark | None:
    """Read what an earlier process left; None where it is damaged, since a wrong number is worse than none."""
    try:
        data, touched = path.read_bytes(), path.stat().st_mtime_ns
    except OSError:
        return None
    if len(data) != PAGE:
        return None
    magic, start, crc = HEADER.unpack_from(data)
    if magic != MAGIC or crc != crc32(HEADER.pack(magic, start, 0)):
        return None
    number, applied, as_of, end = WORDS.unpack_from(data, NUMBER_AT)
    if number >= max(start, applied) + BELIEVED:
        return None
    slots = (data[at : at + DROPS.size] for at in range(DROPS_AT, PAGE - DROPS.size + 1, DROPS.size))
    drops = tuple(run for run in map(Drops.unpack, slots) if run is not None)
    return LeftMark(path, start, number, applied, as_of, end, drops, touched)


def left_marks(folder: Path) -> list[LeftMark]:
    """Marks of earlier processes, the oldest first."""
    found = []
    for path in _marks(folder):
        mark = read_mark(path)
        if mark is None:
            log.warning("%s is damaged: how much an earlier run has recorded is not known from it", path)
        else:
            found.append(mark)
    return sorted(found, key=lambda mark: mark.start)


def recycle(folder: Path, using: Path) -> None:
    """Put away all marks but the one in use; one is kept for the next process, which may find the disk full."""
    spare = folder / f"{SPARE}{SUFFIX}"
    for path in _marks(folder):
        try:
            if path != using and spare.exists():
                path.unlink(missing_ok=True)
            elif path != using:
                path.rename(spare)
        except OSError as error:
            log.warning("%s cannot be put away: %s", path, error.strerror or error)


def _marks(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal() and path.is_file()]
