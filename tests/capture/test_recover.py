"""Recovery: every kind of damage, with the exact number of survivors and of losses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monitor.capture.journal import Journal
from monitor.capture.recover import Damage, Scan, first_number, left_behind, move_aside, next_number, scan_all
from monitor.capture.segment import HEAD, HEADER, NOTES, NOTES_AT, RECORDS_AT, record_dtype
from monitor.clock import ManualClock

WIDTH = 2
SIZE = record_dtype(WIDTH).itemsize
RECORDS = 50
NOW = 2_000 * 10**9


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A segment with 50 records of 64, as a killed process leaves it."""
    clock = ManualClock(1000.0)
    journal = Journal(tmp_path, bytes(32), WIDTH, segment_bytes=1024, clock=clock)
    for i in range(RECORDS):
        clock.advance(1.0)
        journal.append((float(i), 1.0))
    (found,) = left_behind(tmp_path)
    return found.path


def scan(path: Path, applied: int = 0) -> Scan:
    """What is found in the only segment of a folder."""
    (found,) = scan_all(left_behind(path.parent), applied, NOW)
    return found


def loss(found: Scan) -> Damage | None:
    (damage,) = found.damages or (None,)
    return damage


def at(record: int, offset: int = 0) -> int:
    return RECORDS_AT + (record - 1) * SIZE + offset


def flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def truncate(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def overwrite(path: Path, position: int, data: bytes) -> None:
    old = path.read_bytes()
    path.write_bytes(old[:position] + data + old[position + len(data) :])


@pytest.mark.parametrize(
    ("damage", "survivors", "lost"),
    [
        pytest.param(lambda p: None, 50, None, id="none"),
        pytest.param(lambda p: flip(p, at(20, HEAD.size + 9)), 19, 31, id="a bit of a value"),
        pytest.param(lambda p: flip(p, at(20, HEAD.size)), 19, 31, id="a bit of the time"),
        pytest.param(lambda p: flip(p, at(3, 0)), 2, 48, id="a bit of a sequence number"),
        pytest.param(lambda p: overwrite(p, at(20, HEAD.size), bytes(10 * SIZE)), 19, 31, id="a stretch wiped out"),
        pytest.param(lambda p: flip(p, at(1, 0)), 50, None, id="the only bit of a sequence number"),
        pytest.param(lambda p: flip(p, at(50, 8)), 49, 1, id="a bit of the last checksum"),
        pytest.param(lambda p: truncate(p, at(31)), 30, "unknown", id="cut between two records"),
        pytest.param(lambda p: truncate(p, at(31, 10)), 30, "unknown", id="cut within a record"),
        pytest.param(lambda p: truncate(p, RECORDS_AT), 0, "unknown", id="cut behind the header"),
        pytest.param(lambda p: truncate(p, at(52)), 50, None, id="cut behind the last record"),
        pytest.param(lambda p: overwrite(p, at(51), b"\xff" * 40), 50, 1, id="junk behind the last record"),
        pytest.param(lambda p: overwrite(p, at(10), p.read_bytes()[at(9) : at(10)]), 9, 41, id="a record twice"),
    ],
)
def test_damage_is_cut_and_counted(
    left: Path, damage: Callable[[Path], None], survivors: int, lost: int | str | None
) -> None:
    damage(left)
    found = scan(left)
    assert found.records["seq"].tolist() == list(range(1, survivors + 1))
    assert [one.lost for one in found.damages] == ([] if lost is None else [None] if lost == "unknown" else [lost])


@pytest.mark.parametrize("written", [0, 4, 8, 20, 30])
def test_a_slot_that_was_never_finished_is_no_damage(left: Path, written: int) -> None:
    """The number is written last, after the rest of head and body: who was killed before it was never acknowledged."""
    overwrite(left, at(20), bytes(8))
    overwrite(left, at(20, 8 + written), bytes(SIZE - 8 - written))
    found = scan(left)
    assert len(found.records) == 49
    assert not found.damages


@pytest.mark.parametrize("cleared", [slice(0, 8), slice(0, 12), slice(8, 16), slice(0, 16)])
def test_a_batch_that_died_half_way_cuts_nothing_behind_it(left: Path, cleared: slice) -> None:
    """Heads of a batch are written field by field; records of other threads, acknowledged already, lie behind it."""
    for record in range(20, 30):
        overwrite(left, at(record, cleared.start), bytes(cleared.stop - cleared.start))
    found = scan(left)
    assert not found.damages
    assert {*range(1, 20), *range(30, 51)} <= set(found.records["seq"].tolist())


def test_every_bit_of_a_record_is_guarded(left: Path) -> None:
    whole = left.read_bytes()
    for bit in range(SIZE * 8):
        flip(left, at(20) + bit // 8, bit % 8)
        found = scan(left)
        assert found.damages, f"bit {bit}"
        assert len(found.records) == 19, f"bit {bit}"
        left.write_bytes(whole)


def test_every_bit_of_the_header_is_guarded(left: Path) -> None:
    whole = left.read_bytes()
    for bit in range(HEADER.size * 8):
        flip(left, bit // 8, bit % 8)
        found = scan(left)
        assert found.head is None, f"bit {bit}"
        assert found.damages
        left.write_bytes(whole)


def test_damaged_notes_invent_no_losses(left: Path) -> None:
    whole = left.read_bytes()
    for bit in range((NOTES.size + 4) * 8):
        flip(left, NOTES_AT + bit // 8, bit % 8)
        found = scan(left)
        assert (len(found.records), found.damages, found.upto) == (RECORDS, (), RECORDS), f"bit {bit}"
        left.write_bytes(whole)


class Killed:
    """What a process leaves that had appended `records` to segments of 64, and folded up to `applied`."""

    def __init__(self, folder: Path, records: int = 200, applied: int = 10, start: int = 1) -> None:
        self.folder, self.applied = folder, applied
        journal = Journal(folder, bytes(32), WIDTH, start, segment_bytes=1024, clock=ManualClock(1000.0))
        journal.append_many(np.ones((records, WIDTH)))
        journal.forget(applied)
        journal.maintain()
        self.last = start + records - 1

    def segment(self, first: int) -> Path:
        return self.folder / f"{first:020d}.journal"

    def found(self) -> list[Scan]:
        return list(scan_all(left_behind(self.folder), self.applied, NOW))

    def sum(self) -> tuple[int, int]:
        """Records found, and records lost."""
        found = self.found()
        losses = [damage.lost for one in found for damage in one.damages]
        assert None not in losses
        return sum(len(one.records) for one in found), sum(lost for lost in losses if lost)


@pytest.mark.parametrize("first", [1, 65, 129])
@pytest.mark.parametrize("left", [0, 20, HEADER.size, RECORDS_AT, at(5), None], ids=str)
def test_a_segment_that_was_cut_or_deleted_is_counted_exactly(tmp_path: Path, first: int, left: int | None) -> None:
    killed = Killed(tmp_path)
    assert killed.sum() == (190, 0)
    if left is None:
        killed.segment(first).unlink()
    else:
        truncate(killed.segment(first), left)
    kept, lost = killed.sum()
    assert kept + lost == 190
    had = first + 63 - max(first, 11) + 1
    assert lost in ({had} if left in (0, 20, HEADER.size, RECORDS_AT, None) else {had - 4, had})


def test_what_the_newest_segment_had_is_unknown_and_not_wrong(tmp_path: Path) -> None:
    killed = Killed(tmp_path)
    truncate(killed.segment(193), at(5))
    truncate(killed.segment(65), at(5))
    assert [damage.lost for one in killed.found() for damage in one.damages] == [60, None]
    assert sum(len(one.records) for one in killed.found()) == 54 + 4 + 64 + 4


def test_all_segments_but_the_newest_deleted(tmp_path: Path) -> None:
    killed = Killed(tmp_path)
    for first in (1, 65, 129):
        killed.segment(first).unlink()
    assert killed.sum() == (8, 182)
    assert first_number(left_behind(tmp_path)) == 193


def test_losses_of_two_processes_are_told_apart(tmp_path: Path) -> None:
    first = Killed(tmp_path, records=100)
    second = Killed(tmp_path, records=30, start=next_number(left_behind(tmp_path), 10))
    assert second.last == first.last + 30
    first.segment(65).unlink()
    assert first.sum() == (54 + 30, 36)


def test_a_segment_that_was_allocated_ahead_tells_nothing(tmp_path: Path) -> None:
    killed = Killed(tmp_path, records=50)
    assert len(left_behind(tmp_path)) == 2
    killed.segment(1).unlink()
    assert first_number(left_behind(tmp_path)) is None
    assert killed.sum() == (0, 0)


def test_segments_are_read_in_the_order_of_their_numbers_whatever_they_are_called(tmp_path: Path) -> None:
    killed = Killed(tmp_path, records=150)
    killed.segment(129).rename(killed.segment(2))
    assert killed.sum() == (140, 0)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("/nowhere")])
def test_what_is_called_like_a_segment_and_is_no_file_is_left_alone(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / f"{500:020d}.journal")
    assert Killed(tmp_path, records=100).sum() == (90, 0)


def test_a_segment_comes_before_its_copies_and_a_link_to_it_is_none(tmp_path: Path) -> None:
    killed = Killed(tmp_path, records=100)
    for name in ("0", "00000000000000000000", "copy"):
        shutil.copy(killed.segment(1), tmp_path / f"{name}.journal")
    (tmp_path / "link.journal").symlink_to(killed.segment(1))
    assert left_behind(tmp_path)[0].path == killed.segment(1)
    assert "link.journal" not in [one.path.name for one in left_behind(tmp_path)]
    assert killed.sum() == (90, 0)


def test_an_earlier_piece_of_evidence_is_not_overwritten(tmp_path: Path) -> None:
    for text in ("first", "second", "third"):
        path = tmp_path / "7.journal"
        path.write_text(text)
        move_aside(path)
    assert {path.read_text() for path in tmp_path.glob("*.damaged")} == {"first", "second", "third"}


def test_what_is_folded_is_not_handed_out_again(left: Path) -> None:
    flip(left, at(5))
    found = scan(left, applied=30)
    assert found.records["seq"].tolist() == list(range(31, 51))
    assert not found.damages


def test_the_loss_is_dated_by_its_neighbours(left: Path) -> None:
    flip(left, at(20))
    damage = loss(scan(left))
    assert damage is not None
    assert (damage.began / 1e9, damage.ended / 1e9) == (1019.0, 1050.0)


def test_a_copy_of_a_segment_is_not_replayed(left: Path) -> None:
    shutil.copy(left, left.with_name("99999999999999999999.journal"))
    found = [len(one.records) for one in scan_all(left_behind(left.parent), 0, NOW)]
    assert found == [RECORDS, 0]


@pytest.mark.parametrize("junk", [b"", b"x" * 20, np.random.default_rng(1).bytes(4096)])
def test_a_file_that_is_no_segment_is_reported(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / f"{7:020d}.journal"
    path.write_bytes(junk)
    found = scan(path)
    assert found.head is None
    (damage,) = found.damages
    assert damage.lost is None
    assert path.name in damage.detail
    assert next_number(left_behind(tmp_path), 3) >= 7


def test_a_copy_that_a_kill_left_without_a_header_has_lost_nothing(tmp_path: Path) -> None:
    path = tmp_path / f"{7:020d}.journal"
    path.write_bytes(b"\0" * 4096)
    assert scan(path).damages == ()
    assert next_number(left_behind(tmp_path), 3) >= 7


def test_numbers_go_on_without_a_hole(left: Path) -> None:
    assert next_number(left_behind(left.parent), applied=0) == RECORDS + 1
    assert next_number(left_behind(left.parent), applied=100) == 101
