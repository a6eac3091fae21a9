"""What an earlier process left in the journal: read, checked record by record, cut at the first damage.

A folder may hold whole segments, one that was being written when the process died, and anything that a disk, a restore
or a person has done to them. What is good and not yet folded is handed on; what is lost is counted and dated, with the
help of the mark that the process left.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.capture.mark import LeftMark, left_marks
from monitor.capture.segment import (
    HEADER,
    HIGH_WATER,
    HIGH_WATER_AT,
    MARK,
    RECORDS_AT,
    SegmentHead,
    checksums,
    record_dtype,
)
from monitor.errors import StoreError

log = logging.getLogger(__name__)

SUFFIX = ".journal"


@dataclass(frozen=True, slots=True)
class Damage:
    """Records of a segment that cannot be trusted.

    `lost`: how many acknowledged predictions no window has, None where it cannot be known. `began`, `ended`: ns since
    1970 UTC between which they were recorded, as far as their neighbours tell.
    """

    lost: int | None
    began: int
    ended: int
    detail: str


@dataclass(frozen=True, slots=True)
class Scan:
    """A segment as it was found: its good records beyond `applied`, in order, and what is wrong with the rest.

    `path`: None for a segment that must have been there, and is not. `upto`: the last number that is accounted for once
    records and damage are.
    """

    path: Path | None
    head: SegmentHead | None
    records: npt.NDArray[Any]
    damage: Damage | None
    upto: int


@dataclass(frozen=True, slots=True)
class Left:
    """What earlier processes left in a folder: segments in the order of their numbers, and what is known of them.

    `found`: when that was, in ns since 1970 UTC.
    """

    segments: tuple[Path, ...]
    marks: tuple[LeftMark, ...]
    found: int

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.segments or self.marks)


def leftovers(folder: Path) -> list[Path]:
    """Segments in a folder, oldest first, whatever their names say; before a copy of it the one that is called so."""
    paths = [path for path in folder.glob(f"*{SUFFIX}") if path.is_file() and not path.is_symlink()]

    def order(path: Path) -> tuple[int, bool, str]:
        first = _first(path)
        return first, first != _named(path), path.name

    return sorted(paths, key=order)


def left_behind(folder: Path, now: int) -> Left:
    """Everything that earlier processes left; `now` in ns since 1970 UTC."""
    return Left(tuple(leftovers(folder)), tuple(left_marks(folder)), now)


def next_number(left: Left, applied: int) -> int:
    """First sequence number that nothing left behind can have used, and beyond what is folded."""
    number = max([applied, *(mark.last for mark in left.marks)]) + 1
    for path in left.segments:
        head = _head(path)
        if head is not None:
            number = max(number, head.first + head.capacity)
        else:
            # Its header does not tell; no segment has more records than bytes.
            number = max(number, _named(path) + _length(path))
    return number


def scan_all(left: Left, applied: int) -> Iterator[Scan]:
    """Read all leftovers in order; no record is handed out twice, whatever copies lie in the folder."""
    firsts = [_first(path) for path in left.segments]
    for index, (first, path) in enumerate(zip(firsts, left.segments, strict=True)):
        if first and (hole := _hole(left, applied, first - 1)):
            yield hole
            applied = max(applied, hole.upto)
        following = next((other for other in firsts[index + 1 :] if other > first), None)
        found = scan(path, applied, left.marks, following)
        yield found
        applied = max(applied, found.upto)
    if hole := _hole(left, applied, max((mark.number for mark in left.marks), default=0)):
        yield hole


def scan(path: Path, applied: int, marks: Sequence[LeftMark] = (), following: int | None = None) -> Scan:
    """Read one segment; `applied` is the last number that is accounted for, `following` the first of the next file."""
    try:
        data = np.fromfile(path, dtype=np.uint8)
        head = SegmentHead.unpack(data[: HEADER.size].tobytes())
    except (OSError, StoreError) as error:
        return _unreadable(path, error, applied, marks, following)
    dtype = record_dtype(head.width)
    present = min(head.capacity, max(0, len(data) - RECORDS_AT) // head.record_size)
    slots = data[RECORDS_AT : RECORDS_AT + present * head.record_size].view(dtype)
    begin = min(max(applied + 1 - head.first, 0), present)
    slots = slots[begin:]
    numbers = np.arange(head.first + begin, head.first + present, dtype=np.uint64)
    # The checksum is seeded with the number that belongs here. Where it holds and only the sequence number is still
    # zero, the process died between the two: whole, if never acknowledged, and counted.
    good = ((slots["seq"] == numbers) | (slots["seq"] == 0)) & (slots["mark"] == MARK)
    good[good] = checksums(slots[good], numbers[good]) == slots["crc"][good]
    empty = ~good & ((slots["seq"] == 0) | ((slots["crc"] == 0) & (slots["mark"] == 0)))
    bad = ~(empty | good)
    cut = int(np.argmax(bad)) if bad.any() else len(slots)
    kept = slots[:cut][good[:cut]]
    kept["seq"] = numbers[:cut][good[:cut]]
    high_water = _high_water(data, head, marks)
    damage = _damage(path, slots, empty, good, cut, numbers, high_water, max(applied, head.first + begin - 1))
    if high_water is None and present < head.capacity and applied < head.first + head.capacity - 1:
        ended = _modified(path)
        began = int(kept["time"][-1]) if len(kept) else ended
        damage = Damage(None, min(began, ended), ended, f"{path.name}: the end of the file is missing")
    return Scan(path, head, kept, damage, max(applied, head.first + head.capacity - 1))


def _unreadable(path: Path, error: Exception, applied: int, marks: Sequence[LeftMark], following: int | None) -> Scan:
    """A segment whose header is gone: how many records it had is known from the mark of its process, if at all."""
    first, ended = _named(path), _modified(path)
    mark = next((mark for mark in marks if first and mark.covers(first)), None)
    lost, began, upto = None, ended, applied
    if mark is not None:
        upto = max(applied, min(mark.number, (following or mark.number + 1) - 1))
        lost = mark.unaccounted(max(applied, first - 1), upto)
        began = min(mark.as_of or ended, ended)
    nothing = np.empty(0, record_dtype(1))
    return Scan(path, None, nothing, Damage(lost, began, ended, f"{path.name} {error}"), upto)


def _hole(left: Left, after: int, until: int) -> Scan | None:
    """Records behind `after`, up to `until`, that were written, and that no file has any more."""
    short = [mark for mark in left.marks if mark.unaccounted(after, until)]
    if not short:
        return None
    lost = sum(mark.unaccounted(after, until) for mark in short)
    first, last = max(after + 1, short[0].start, short[0].applied + 1), min(until, short[-1].number)
    detail = f"records {first} to {last} are in no file: a segment of the journal was deleted"
    damage = Damage(lost, short[0].as_of or short[0].touched, left.found, detail)
    return Scan(None, None, np.empty(0, record_dtype(1)), damage, max(after, until))


def move_aside(path: Path) -> Path:
    """Keep a damaged segment under another name, for whoever wants to look, and overwrite nothing. Raises OSError."""
    aside = path.with_suffix(".damaged")
    for number in count(2):
        if not aside.exists():
            break
        aside = path.with_name(f"{path.stem}-{number}.damaged")
    return path.rename(aside)


def _damage(
    path: Path,
    slots: npt.NDArray[Any],
    empty: npt.NDArray[np.bool_],
    good: npt.NDArray[np.bool_],
    cut: int,
    numbers: npt.NDArray[np.uint64],
    high_water: int | None,
    before: int,
) -> Damage | None:
    """Count what is lost from the first bad slot on, and behind the last slot that the file still has."""
    filled = np.flatnonzero(~empty)
    last = int(numbers[filled[-1]]) if len(filled) else before
    # Behind a cut a slot without a record may be one that was wiped out: what damaged its neighbour is not choosy.
    lost = max(high_water or 0, last) - (int(numbers[cut]) - 1 if cut < len(slots) else last)
    if not lost:
        return None
    times = slots["time"][good]
    began = (
        int(slots["time"][:cut][good[:cut]][-1])
        if good[:cut].any()
        else int(times[0])
        if len(times)
        else _modified(path)
    )
    ended = int(times[-1]) if good[cut:].any() else _modified(path)
    what = (
        f"record {int(numbers[cut])} does not match its checksum"
        if cut < len(slots)
        else "the end of the file is missing"
    )
    return Damage(lost, min(began, ended), max(began, ended), f"{path.name}: {what}; the segment was cut there")


def _high_water(data: npt.NDArray[np.uint8], head: SegmentHead, marks: Sequence[LeftMark]) -> int | None:
    """Highest number of a segment that is known to have been written, or less than its first; None where none is."""
    end = head.first + head.capacity
    for mark in marks:
        if mark.covers(head.first):
            return min(mark.number, end - 1)
    if len(data) < HIGH_WATER_AT + HIGH_WATER.size:
        return None
    # Before there were marks, the header had it.
    number: int = HIGH_WATER.unpack(data[HIGH_WATER_AT : HIGH_WATER_AT + HIGH_WATER.size].tobytes())[0]
    return number if head.first <= number < end else None


def _head(path: Path) -> SegmentHead | None:
    try:
        with path.open("rb") as file:
            return SegmentHead.unpack(file.read(HEADER.size))
    except (StoreError, OSError):
        return None


def _first(path: Path) -> int:
    """First sequence number of a segment; by its name where its header does not tell."""
    head = _head(path)
    return _named(path) if head is None else head.first


def _named(path: Path) -> int:
    """First sequence number by the file's name; 0 for a name that is none of ours."""
    return int(path.stem) if path.stem.isdecimal() and path.stem.isascii() else 0


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
