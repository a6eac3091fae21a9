"""The journal: what is appended is read back once, in order, by any number of threads, on a full disk too."""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.capture import segment
from monitor.capture.journal import RETRY_SECONDS, Journal
from monitor.capture.reader import ABANDONED_SECONDS
from monitor.capture.recover import left_behind, next_number, scan_all
from monitor.clock import ManualClock

FINGERPRINT = bytes(range(32))


def make(folder: Path, clock: ManualClock | None = None, start: int = 1, width: int = 2) -> Journal:
    """A journal with the smallest segments: 64 records."""
    return Journal(folder, FINGERPRINT, width, start, segment_bytes=1024, clock=clock or ManualClock())


def read_all(journal: Journal) -> list[tuple[int, list[float]]]:
    out = []
    while len(records := journal.read()):
        out += [(int(r["seq"]), r["values"].tolist()) for r in records]
    return out


def test_a_segment_has_its_name_only_with_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So one without a header was cut, and what it had is lost: a kill while it is made leaves none."""
    (tmp_path / f"{1:020d}.new").write_bytes(b"of a process that was killed")
    headers = []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda one, to: (headers.append(one.read_bytes()[:8]), rename(one, to))[1])
    make(tmp_path).append((1.0, 2.0))
    assert headers
    assert all(any(head) for head in headers)
    assert list(tmp_path.glob("*.new")) == []


def test_reads_back_what_was_appended(tmp_path: Path) -> None:
    journal = make(tmp_path)
    numbers = [journal.append((float(i), float(-i))) for i in range(200)]
    assert numbers == list(range(1, 201))
    assert read_all(journal) == [(i + 1, [float(i), float(-i)]) for i in range(200)]
    assert read_all(journal) == []


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 150), min_size=1, max_size=8))
def test_batches_and_single_records_share_one_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    journal = make(tmp_path_factory.mktemp("journal"))
    expected = []
    for size in sizes:
        if size == 0:
            number = journal.append((0.5, 0.5))
            expected.append((number, [0.5, 0.5]))
        else:
            values = np.arange(2.0 * size).reshape(size, 2)
            first = journal.append_many(values).first
            expected += [(first + i, values[i].tolist()) for i in range(size)]
    assert read_all(journal) == expected


@pytest.mark.parametrize("noted", [0, 3, 20, 39])
def test_a_thread_that_notes_its_number_late_hides_no_record_from_the_last_fold(tmp_path: Path, noted: int) -> None:
    journal = make(tmp_path)
    for row in range(40):  # some segments
        journal.append([row, 0.0])
    journal._newest[0] = noted  # what a thread does that was halted between its record and its note
    assert journal.written == 40
    journal.close(applied=noted)
    assert sum(len(scan.records) for scan in scan_all(left_behind(tmp_path), noted, 0)) == 40 - noted


def test_a_value_that_is_no_number_takes_no_slot(tmp_path: Path) -> None:
    journal = make(tmp_path)
    with pytest.raises(segment.struct.error):
        journal.append(("text", 1.0))
    assert journal.append((1.0, 1.0)) == 1


def test_the_first_values_may_be_packed_already(tmp_path: Path) -> None:
    def encode(values: Sequence[object], more: Sequence[object]) -> list[float]:
        return [*map(float, values), *map(len, more)]  # type: ignore[arg-type]

    journal = Journal(tmp_path, FINGERPRINT, 3, clock=ManualClock(7.0), encode=encode, packed=2)
    packed = (np.array([[0.5, -1.5]]).tobytes(),)
    for more in ([2.5], ["text"]):
        journal.append([0.5, -1.5], more, 5, 9)
        journal.append(packed, more, 5, 9, journal.pack)
        plain, same = journal.read()
        assert plain["values"].tolist() == same["values"].tolist()
        assert (same["time"], same["key"], same["values"][2]) == (5, 9, 2.5 if more == [2.5] else 4.0)
    with pytest.raises(segment.struct.error):
        journal.append(packed, [], pack=journal.pack)
    assert journal.append(packed, [1.0], pack=journal.pack) == 5
    journal.close(0)
    [scan] = scan_all(left_behind(tmp_path), 0, 0)
    assert (scan.damages, scan.records["values"][:, 2].tolist()) == ((), [2.5, 2.5, 4.0, 4.0, 1.0])


def test_threads_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    journal = make(tmp_path)
    seen: list[tuple[int, list[float]]] = []
    done = threading.Event()

    def write(thread: int) -> None:
        for i in range(500):
            if i % 50 == 0:
                journal.append_many(np.full((7, 2), float(thread)))
            else:
                journal.append((float(thread), float(i)))

    def read() -> None:
        while not done.is_set():
            journal.maintain()
            seen.extend(read_all(journal))
        seen.extend(read_all(journal))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert [number for number, _ in seen] == list(range(1, 4 * (490 + 10 * 7) + 1))


def test_a_full_disk_drops_counts_and_resumes(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    clock = ManualClock()
    journal = make(tmp_path, clock)
    for i in range(64):
        journal.append((float(i), 0.0))
    full_disk["full"] = True
    for _ in range(10):
        journal.append((-1.0, -1.0))
    assert journal.dropped_total == 10
    assert journal.dropping is not None
    assert journal.dropping.reason == "No space left on device"
    assert len(read_all(journal)) == 64
    full_disk["full"] = False
    clock.advance(RETRY_SECONDS)
    journal.append((7.0, 7.0))
    assert journal.dropping is None
    assert [values for _, values in read_all(journal)] == [[7.0, 7.0]]
    (run,) = journal.drops()
    assert run.rows == 10
    journal.noted([run])
    assert journal.drops() == []


def test_a_batch_across_the_edge_of_a_full_disk_keeps_what_fits(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    journal = make(tmp_path)
    full_disk["full"] = True
    journal.append_many(np.ones((100, 2)))
    assert len(read_all(journal)) == 64
    assert journal.dropped_total == 36


def lost(folder: Path, applied: int) -> list[tuple[str, int | None, str]]:
    """What the next start finds lost: kind, number and detail."""
    found = scan_all(left_behind(folder), applied, 0)
    return [(one.kind, one.lost, one.detail) for scan in found for one in scan.damages]


def test_drops_are_known_after_a_kill_until_they_are_noted(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    clock = ManualClock()
    journal = make(tmp_path, clock)
    full_disk["full"] = True
    journal.append_many(np.ones((100, 2)))
    clock.advance(0.5)
    journal.append((1.0, 1.0))
    assert lost(tmp_path, 0) == [("dropped", 37, "No space left on device")]
    notes = left_behind(tmp_path)[0].notes
    assert notes.ended - notes.began == 500_000_000
    assert next_number(left_behind(tmp_path), 0) == 102
    full_disk["full"] = False
    clock.advance(RETRY_SECONDS)
    journal.append((1.0, 1.0))
    assert lost(tmp_path, 0) == [("dropped", 37, "No space left on device")]
    assert len(journal.read()) == 64
    assert journal.drops() == [], "what lies behind the drops has not been read"
    journal.forget(64)
    assert len(left_behind(tmp_path)) == 2, "the first segment has the number of the drops"
    assert len(journal.read()) == 1
    assert [run.rows for run in journal.drops()] == [37]
    journal.forget(102)
    assert lost(tmp_path, 102) == []
    assert len(left_behind(tmp_path)) == 1


def test_a_start_on_a_full_disk_keeps_its_number_in_what_is_left(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    """And so does the next one, after a kill of that."""
    make(tmp_path).append((1.0, 1.0))
    full_disk["full"] = True
    for drops in (1, 2, 3):
        left = left_behind(tmp_path)
        journal = Journal(tmp_path, FINGERPRINT, 2, next_number(left, 0), clock=ManualClock(), before=left[-1].path)
        journal.append((1.0, 1.0))
        assert not journal.started
        assert lost(tmp_path, 1) == [("dropped", drops, "No space left on device")]


def test_maintenance_resumes_without_traffic(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    clock = ManualClock()
    journal = make(tmp_path, clock)
    full_disk["full"] = True
    journal.append_many(np.ones((70, 2)))
    full_disk["full"] = False
    clock.advance(RETRY_SECONDS)
    journal.maintain()
    assert len(read_all(journal)) == 64
    assert [run.rows for run in journal.drops()] == [6]
    assert journal.dropping is None


def test_who_asks_for_room_first_drops_nothing_on_a_full_disk(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    clock = ManualClock()
    journal = make(tmp_path, clock)
    journal.append_many(np.ones((60, 2)))
    full_disk["full"] = True
    assert [journal.has_room(rows) for rows in (4, 5)] == [True, False]
    journal.append_many(np.ones((5, 2)))  # one that did not ask
    assert (journal.dropped_total, journal.has_room(1)) == (1, False)
    full_disk["full"] = False
    clock.advance(RETRY_SECONDS)
    assert journal.has_room(64)
    assert journal.append_many(np.ones((64, 2))).rows == 64
    assert (journal.dropped_total, len(read_all(journal))) == (1, 128)


def test_a_thread_that_notes_its_number_late_makes_no_room(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    journal = make(tmp_path)
    journal.append_many(np.ones((60, 2)))
    full_disk["full"] = True
    journal._newest[0] = 50
    assert [journal.has_room(rows) for rows in (4, 5)] == [True, False]


def test_a_slot_that_a_dead_thread_left_is_stepped_over(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = make(tmp_path, clock)
    journal.append((1.0, 1.0))
    next(journal._numbers)  # a thread that took its number and died
    journal.append((3.0, 3.0))
    assert [number for number, _ in read_all(journal)] == [1]
    clock.advance(ABANDONED_SECONDS)
    assert [number for number, _ in read_all(journal)] == [3]
    assert [run.rows for run in journal.drops()] == [1]


def test_folded_segments_are_deleted_and_the_next_one_is_ready_ahead(tmp_path: Path) -> None:
    journal = make(tmp_path)
    journal.append_many(np.ones((50, 2)))
    journal.maintain()
    assert len(list(tmp_path.glob("*.journal"))) == 2
    journal.append_many(np.ones((100, 2)))
    read_all(journal)
    journal.forget(journal.read_upto)
    assert [path.stem for path in tmp_path.glob("*.journal")] == [f"{129:020d}"]
    journal.close(applied=150)
    (end,) = left_behind(tmp_path)
    assert (end.first, end.opened, end.path.stat().st_size) == (151, True, 128)
    assert next_number([end], 150) == 151


def test_closing_keeps_what_is_not_committed(tmp_path: Path) -> None:
    journal = make(tmp_path)
    journal.append_many(np.ones((10, 2)))
    read_all(journal)
    journal.close(applied=9)
    assert len(list(tmp_path.glob("*.journal"))) == 1
    journal.append((1.0, 1.0))
    assert journal.dropped_total == 1


def test_a_renamed_folder_is_synced_and_closed_as_before(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal = make(folder)
    journal.append((1.0, 1.0))
    folder.rename(tmp_path / "elsewhere")
    journal.sync()
    journal.close(applied=0)
    assert len(list((tmp_path / "elsewhere").glob("*.journal"))) == 1


def test_a_disk_that_refuses_to_sync_fails_no_prediction_and_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path, FINGERPRINT, 2, segment_bytes=1024, sync_always=True, clock=ManualClock())

    def refuse(_handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(segment.os, "fdatasync", refuse)
    assert journal.append((1.0, 1.0)) == 1
    assert journal.append_many(np.ones((3, 2))) == (2, 3)
    assert len(read_all(journal)) == 4
    assert [record.message for record in caplog.records] == [
        "records do not reach the disk, and would not survive a power cut: Input/output error"
    ]
    journal.close(applied=4)


@pytest.mark.parametrize("which", [1, 65, 129])
def test_a_segment_that_is_deleted_while_in_use_is_read_all_the_same(tmp_path: Path, which: int) -> None:
    journal = make(tmp_path)
    journal.append_many(np.ones((150, 2)))
    (tmp_path / f"{which:020d}.journal").unlink()
    journal.maintain()
    journal.append((7.0, 7.0))
    assert len(read_all(journal)) == 151
    journal.forget(151)
    journal.close(151)
    assert [one.first for one in left_behind(tmp_path)] == [152]


def test_a_folder_that_may_not_be_entered_does_not_stop_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make(tmp_path)
    journal.append_many(np.ones((40, 2)))
    journal.maintain()

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", denied)
        journal.maintain()
    assert len(read_all(journal)) == 40


def test_records_that_wait_do_not_fill_the_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FINGERPRINT, 2, segment_bytes=1 << 20, clock=ManualClock())
    resident = []
    for _ in range(8):
        journal.append_many(np.ones((60_000, 2)))
        journal.maintain()
        resident.append(int(Path("/proc/self/statm").read_text().split()[2]))
    assert resident[-1] - resident[2] < 1500, "pages of 4 KiB; more than 2,900 were written meanwhile"
    assert sum(len(journal.read()) for _ in range(1000)) == 480_000
