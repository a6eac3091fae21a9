"""What an earlier process left in the journal: read, checked record by record, cut at the first damage.

Sequence numbers have no holes: a process goes on behind the last number that was used, and the last segment of a folder
stays, if only as an empty one. So the numbers tell exactly what is lost, as long as one segment is left: a number below
a segment's first that is neither in the store nor in another segment is a prediction that was answered and is gone.
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

from monitor.capture.segment import HEADER, MARK, RECORDS_AT, Notes, SegmentHead, checksums, record_dtype
from monitor.errors import StoreError

log = logging.getLogger(__name__)

SUFFIX = ".journal"


@dataclass(frozen=True, slots=True)
class Damage:
    """Predictions that were answered and are in no record any more.

    `lost`: how many, None if it cannot be known. `began`, `ended`: ns since 1970 UTC between which they were answered,
    as far as their neighbours tell. `upto`: the last number that is accounted for with it. `kind`: as in `gaps`.
    """

    lost: int | None
    began: int
    ended: int
    detail: str
    upto: int
    kind: str = "damaged"


@dataclass(frozen=True, slots=True)
class Scan:
    """A segment as it was found: its good records beyond `applied`, in order, and what is lost.

    `upto`: the last number that is accounted for once records and losses are.
    """

    path: Path
    head: SegmentHead | None
    records: npt.NDArray[Any]
    damages: tuple[Damage, ...]
    upto: int


@dataclass(frozen=True, slots=True)
class Leftover:
    """A segment of an earlier process. `head` is None if the header is damaged; `first` then comes from the name."""

    path: Path
    head: SegmentHead | None
    notes: Notes
    first: int

    @property
    def opened(self) -> bool:
        """Whether it was taken into use, so that all numbers below its first were used; not if allocated ahead."""
        return self.head is not None and self.notes.opened


def left_behind(folder: Path) -> tuple[Leftover, ...]:
    """Segments in a folder in the order of their numbers, whatever their names say; a segment before its copies."""
    paths = [path for path in folder.glob(f"*{SUFFIX}") if path.is_file() and not path.is_symlink()]
    found = [_leftover(path) for path in paths]
    return tuple(sorted(found, key=lambda one: (one.first, one.first != _named(one.path), one.path.name)))


def first_number(left: Sequence[Leftover]) -> int | None:
    """Lowest number in what is left: all below were used by earlier processes. None if no segment tells."""
    return min((one.first for one in left if one.opened), default=None)


def next_number(left: Sequence[Leftover], applied: int) -> int:
    """First sequence number that nothing left behind has used, and beyond what is folded."""
    number = applied + 1
    for leftover in reversed(left):
        if leftover.head is None:  # its header does not tell; no segment has more records than bytes
            number = max(number, leftover.first + _length(leftover.path))
            continue
        number = max(number, leftover.notes.last + 1, leftover.first if leftover.notes.opened else 0)
        _, slots = _slots(leftover)
        used = np.flatnonzero(slots["seq"] | slots["crc"])
        if len(used):
            return max(number, leftover.first + int(used[-1]) + 1)
    return number


def scan_all(left: Sequence[Leftover], applied: int, now: int) -> Iterator[Scan]:
    """Read all leftovers in order; no record is handed out twice, whatever copies are in the folder.

    `applied`: the last number that is accounted for. `now`: in ns since 1970 UTC.
    """
    for index, one in enumerate(left):
        following = first_number([other for other in left[index + 1 :] if other.first > one.first])
        damages: list[Damage] = []
        if one.opened and one.first > applied + 1:
            detail = f"records {applied + 1} to {one.first - 1} are in no file: a segment of the journal was deleted"
            damages.append(Damage(one.first - applied - 1, _modified(one.path), now, detail, one.first - 1))
            applied = one.first - 1
        found = scan(one, applied, following)
        applied = max(applied, found.upto)
        damages += found.damages
        if (last := one.notes.last) > applied:
            damages.append(Damage(last - applied, one.notes.began, one.notes.ended, one.notes.reason, last, "dropped"))
            applied = last
        yield Scan(one.path, found.head, found.records, tuple(damages), applied)


def scan(left: Leftover, applied: int, following: int | None = None) -> Scan:
    """Read one segment. `following`: first number of the next segment, below which all numbers were used."""
    path = left.path
    try:
        head, slots = _slots(left)
    except (OSError, StoreError) as error:
        if _never_begun(path):
            return Scan(path, None, _nothing(), (), applied)
        ended, upto = _modified(path), applied if following is None else max(applied, following - 1)
        damage = Damage(None if following is None else upto - applied, ended, ended, f"{path.name} {error}", upto)
        return Scan(path, None, _nothing(), (damage,), upto)
    present = len(slots)
    begin = min(max(applied + 1 - head.first, 0), present)
    slots = slots[begin:]
    numbers = np.arange(head.first + begin, head.first + present, dtype=np.uint64)
    # The checksum is seeded with the number that belongs here. If it holds and only the sequence number is still zero,
    # the process died between writing the two: the record is whole, was never acknowledged, and is counted.
    good = ((slots["seq"] == numbers) | (slots["seq"] == 0)) & (slots["mark"] == MARK)
    good[good] = checksums(slots[good], numbers[good]) == slots["crc"][good]
    empty = ~good & ((slots["seq"] == 0) | ((slots["crc"] == 0) & (slots["mark"] == 0)))
    damaged = ~(empty | good)
    cut = int(np.argmax(damaged)) if damaged.any() else len(slots)
    kept = slots[:cut][good[:cut]]
    kept["seq"] = numbers[:cut][good[:cut]]
    filled = np.flatnonzero(~empty)
    upto = max(applied, int(numbers[filled[-1]]) if len(filled) else 0)
    lost: int | None = upto - int(numbers[cut]) + 1 if cut < len(slots) else 0
    why = f"record {int(numbers[cut])} does not match its checksum" if lost else ""
    if present < head.capacity and (following is not None or not len(empty) or not empty[-1]):
        # The end is missing, and the last slot before it was in use: only the next segment tells how many followed.
        why = why or "the end of the file is missing"
        last = None if following is None else min(following, head.first + head.capacity) - 1
        lost = None if last is None else max(0, last - upto) + (lost or 0)
        upto = max(upto, last or 0)
    if not why or lost == 0:
        return Scan(path, head, kept, (), upto)
    detail = f"{path.name}: {why}; the segment was cut there"
    return Scan(path, head, kept, (Damage(lost, *_dated(path, slots, good, cut), detail, upto),), upto)


def _dated(path: Path, slots: npt.NDArray[Any], good: npt.NDArray[np.bool_], cut: int) -> tuple[int, int]:
    """The earliest and the latest moment at which the records behind a cut may have been made, by their neighbours."""
    times = slots["time"][good].tolist()
    before = slots["time"][:cut][good[:cut]].tolist()
    modified = _modified(path)
    began = (before[-1:] or times[:1] or [modified])[0]
    ended = times[-1] if good[cut:].any() else modified
    return min(began, ended), max(began, ended)


def _never_begun(path: Path) -> bool:
    """Whether it is an unfinished copy: the header is written last. A file that was cut to nothing is not one."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER.size)
            return bool(head) and not any(head)
    except OSError:
        return False


def move_aside(path: Path) -> Path:
    """Keep a damaged segment under another name, for an operator to look at; overwrite nothing. Raises OSError."""
    aside = path.with_suffix(".damaged")
    for number in count(2):
        if not aside.exists():
            break
        aside = path.with_name(f"{path.stem}-{number}.damaged")
    return path.rename(aside)


def _nothing() -> npt.NDArray[Any]:
    return np.empty(0, record_dtype(1))


def _slots(left: Leftover) -> tuple[SegmentHead, npt.NDArray[Any]]:
    """Header and slots of a segment, as far as the file has them. Raises OSError or StoreError."""
    data = np.fromfile(left.path, dtype=np.uint8)
    head = SegmentHead.unpack(data[: HEADER.size].tobytes())
    present = min(head.capacity, max(0, len(data) - RECORDS_AT) // head.record_size)
    return head, data[RECORDS_AT : RECORDS_AT + present * head.record_size].view(record_dtype(head.width))


def _leftover(path: Path) -> Leftover:
    try:
        with path.open("rb") as file:
            data = file.read(RECORDS_AT)
        head = SegmentHead.unpack(data[: HEADER.size])
    except (StoreError, OSError):
        return Leftover(path, None, Notes(), _named(path))
    return Leftover(path, head, Notes.unpack(data), head.first)


def _named(path: Path) -> int:
    """First sequence number by the file's name; 0 for a file that was not named by `free_name`."""
    number = path.stem.partition("-")[0]
    return int(number) if number.isdecimal() and number.isascii() else 0


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
