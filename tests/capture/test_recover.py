"""Recovery: every kind of damage, with the exact number of survivors and of losses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monitor.capture.journal import Journal
from monitor.capture.recover import leftovers, next_number, scan, scan_all
from monitor.capture.segment import HEAD, HEADER, HIGH_WATER, HIGH_WATER_AT, RECORDS_AT, record_dtype
from monitor.clock import ManualClock

WIDTH = 2
SIZE = record_dtype(WIDTH).itemsize
RECORDS = 50


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A segment with 50 records of 64, as a killed process leaves it."""
    clock = ManualClock(1000.0)
    journal = Journal(tmp_path, bytes(32), WIDTH, segment_bytes=1024, clock=clock)
    for i in range(RECORDS):
        clock.advance(1.0)
        journal.append((float(i), 1.0))
    (path,) = leftovers(tmp_path)
    return path


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
        pytest.param(lambda p: truncate(p, at(31)), 30, 20, id="cut between two records"),
        pytest.param(lambda p: truncate(p, at(31, 10)), 30, 20, id="cut within a record"),
        pytest.param(lambda p: truncate(p, RECORDS_AT), 0, 50, id="cut behind the header"),
        pytest.param(lambda p: overwrite(p, at(51), b"\xff" * 40), 50, 1, id="junk behind the last record"),
        pytest.param(
            lambda p: overwrite(p, at(41), bytes(10 * SIZE)), 40, 10, id="the last pages never reached the disk"
        ),
        pytest.param(lambda p: overwrite(p, at(10), p.read_bytes()[at(9) : at(10)]), 9, 41, id="a record twice"),
    ],
)
def test_damage_is_cut_and_counted(
    left: Path, damage: Callable[[Path], None], survivors: int, lost: int | None
) -> None:
    damage(left)
    found = scan(left, applied=0)
    assert found.records["seq"].tolist() == list(range(1, survivors + 1))
    assert (found.damage.lost if found.damage else None) == lost


def test_a_slot_that_was_never_finished_is_no_damage(left: Path) -> None:
    """The head is written last: a thread that was killed in between was never acknowledged."""
    overwrite(left, at(20), bytes(HEAD.size))
    found = scan(left, applied=0)
    assert len(found.records) == 49
    assert found.damage is None


@pytest.mark.parametrize("cleared", [slice(0, 8), slice(0, 12), slice(8, 16), slice(0, 16)])
def test_a_batch_that_died_half_way_cuts_nothing_behind_it(left: Path, cleared: slice) -> None:
    """Heads of a batch are written field by field; records of other threads, acknowledged already, lie behind it."""
    for record in range(20, 30):
        overwrite(left, at(record, cleared.start), bytes(cleared.stop - cleared.start))
    found = scan(left, applied=0)
    assert found.damage is None
    assert {*range(1, 20), *range(30, 51)} <= set(found.records["seq"].tolist())


def test_every_bit_of_a_record_is_guarded(left: Path) -> None:
    whole = left.read_bytes()
    for bit in range(SIZE * 8):
        flip(left, at(20) + bit // 8, bit % 8)
        found = scan(left, applied=0)
        assert found.damage is not None, f"bit {bit}"
        assert len(found.records) == 19, f"bit {bit}"
        left.write_bytes(whole)


def test_every_bit_of_the_header_is_guarded(left: Path) -> None:
    whole = left.read_bytes()
    for bit in range(HEADER.size * 8):
        flip(left, bit // 8, bit % 8)
        found = scan(left, applied=0)
        assert found.head is None, f"bit {bit}"
        assert found.damage is not None
        left.write_bytes(whole)


def test_a_damaged_high_water_mark_invents_no_losses(left: Path) -> None:
    overwrite(left, HIGH_WATER_AT, HIGH_WATER.pack(2**60))
    found = scan(left, applied=0)
    assert len(found.records) == RECORDS
    assert found.damage is None


def test_what_is_folded_is_not_handed_out_again(left: Path) -> None:
    flip(left, at(5))
    found = scan(left, applied=30)
    assert found.records["seq"].tolist() == list(range(31, 51))
    assert found.damage is None


def test_the_loss_is_dated_by_its_neighbours(left: Path) -> None:
    flip(left, at(20))
    damage = scan(left, applied=0).damage
    assert damage is not None
    assert (damage.began / 1e9, damage.ended / 1e9) == (1019.0, 1050.0)


def test_a_copy_of_a_segment_is_not_replayed(left: Path) -> None:
    shutil.copy(left, left.with_name("99999999999999999999.journal"))
    found = [len(one.records) for one in scan_all(left.parent, 0)]
    assert found == [RECORDS, 0]


@pytest.mark.parametrize("junk", [b"", b"x" * 20, b"\0" * 4096, np.random.default_rng(1).bytes(4096)])
def test_a_file_that_is_no_segment_is_reported(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / f"{7:020d}.journal"
    path.write_bytes(junk)
    found = scan(path, applied=0)
    assert found.head is None
    assert found.damage is not None
    assert found.damage.lost is None
    assert path.name in found.damage.detail
    assert next_number(tmp_path, 3) >= 7


def test_the_next_number_lies_beyond_every_segment(left: Path) -> None:
    assert next_number(left.parent, applied=0) == 65
    assert next_number(left.parent, applied=100) == 101
