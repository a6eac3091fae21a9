"""What an earlier process left in the journal: read, checked record by record, cut at the first damage.

A folder may hold whole segments, one that was being written when the process died, and anything that a disk, a restore
or a person has done to them. What is good and not yet folded is handed on; what is lost is counted and dated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
    """A segment as it was found: its good records beyond `applied`, in order, and what is wrong with the rest."""

    path: Path
    head: SegmentHead | None
    records: npt.NDArray[Any]
    damage: Damage | None


def leftovers(folder: Path) -> list[Path]:
    """Segments in a folder, oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())


def next_number(folder: Path, applied: int) -> int:
    """First sequence number that no segment of the folder can have used, and beyond what is folded."""
    number = applied + 1
    for path in leftovers(folder):
        try:
            with path.open("rb") as file:
                head = SegmentHead.unpack(file.read(HEADER.size))
            number = max(number, head.first + head.capacity)
        except (StoreError, OSError):
            # Its header does not tell; no segment has more records than bytes.
            number = max(number, _named(path) + path.stat().st_size)
    return number


def scan(path: Path, applied: int) -> Scan:
    """Read one segment; `applied` is the last sequence number that is folded already."""
    try:
        data = np.fromfile(path, dtype=np.uint8)
        head = SegmentHead.unpack(data[: HEADER.size].tobytes())
    except (OSError, StoreError) as error:
        when = _modified(path)
        nothing = np.empty(0, record_dtype(1))
        return Scan(path, None, nothing, Damage(None, when, when, f"{path.name} {error}"))
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
    high_water = _high_water(data, head)
    damage = _damage(path, slots, empty, good, cut, numbers, high_water, max(applied, head.first + begin - 1))
    return Scan(path, head, kept, damage)


def scan_all(folder: Path, applied: int) -> Iterator[Scan]:
    """Read all leftover segments in order; no record is handed out twice, whatever copies lie in the folder."""
    for path in leftovers(folder):
        found = scan(path, applied)
        if len(found.records):
            applied = max(applied, int(found.records["seq"][-1]))
        yield found


def _damage(
    path: Path,
    slots: npt.NDArray[Any],
    empty: npt.NDArray[np.bool_],
    good: npt.NDArray[np.bool_],
    cut: int,
    numbers: npt.NDArray[np.uint64],
    high_water: int,
    before: int,
) -> Damage | None:
    """Count what is lost from the first bad slot on, and behind the last slot that the file still has."""
    filled = np.flatnonzero(~empty)
    last = int(numbers[filled[-1]]) if len(filled) else before
    # Behind a cut a slot without a record may be one that was wiped out: what damaged its neighbour is not choosy.
    lost = max(high_water, last) - (int(numbers[cut]) - 1 if cut < len(slots) else last)
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


def _high_water(data: npt.NDArray[np.uint8], head: SegmentHead) -> int:
    """Highest number known to have been written; 0 where the mark itself makes no sense."""
    if len(data) < HIGH_WATER_AT + HIGH_WATER.size:
        return 0
    number: int = HIGH_WATER.unpack(data[HIGH_WATER_AT : HIGH_WATER_AT + HIGH_WATER.size].tobytes())[0]
    return number if head.first <= number < head.first + head.capacity else 0


def _named(path: Path) -> int:
    """First sequence number by the file's name; 0 for a name that is none of ours."""
    return int(path.stem) if path.stem.isdigit() else 0


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
