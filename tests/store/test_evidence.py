"""What happens to files that were moved aside as damaged."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.clock import ManualClock
from monitor.store.file.damaged_files import GRACE, Evidence, drop, excess, find
from monitor.store.file.database import open_database
from monitor.store.file.folder import DataFolder
from tests.store.world import DAY, MIDNIGHT

CAP = 100


def database(name: str, size: int, age: float = 0.0) -> Evidence:
    return Evidence((Path(name),), size, MIDNIGHT - age, True)


def segment(name: str, size: int, age: float = 0.0) -> Evidence:
    return Evidence((Path(name),), size, MIDNIGHT - age, False)


def dropped(*found: Evidence) -> list[str]:
    return [str(one.paths[0]) for one in excess(found, CAP, MIDNIGHT)]


def test_the_newest_stay_within_a_quarter_of_the_cap():
    assert dropped(database("a", 10), database("b", 10, DAY), database("c", 10, 2 * DAY)) == ["c"]
    assert dropped(segment("a", 20), segment("b", 6), segment("c", 5)) == ["b"]
    assert dropped() == []


def test_the_newest_database_is_spared_for_a_month_and_others_make_room_for_it():
    assert dropped(segment("a", 5), database("b", 80), segment("c", 5), database("d", 1)) == ["c", "d"]
    assert dropped(database("a", 80, GRACE - 1)) == []
    assert dropped(database("a", 80, GRACE)) == ["a"]
    assert dropped(database("a", 25, 10 * GRACE)) == []


def test_the_cap_is_harder_than_the_month():
    assert dropped(database("a", 91)) == ["a"]


def test_finds_databases_with_their_wal_and_segments_the_newest_first(tmp_path, caplog):
    folder = DataFolder(tmp_path)
    folder.open()
    folder.journal.mkdir()
    names = {
        "telltale.db.damaged-2023-11-14T000000Z": 5000,
        "telltale.db.damaged-2023-11-14T000000Z-wal": 5000,
        "telltale.db.damaged-2023-11-14T000000Z-2": 5000,
        "telltale.db.damaged-2023-11-13T000000.500Z": 5000,
        "journal/00000001.damaged": 5000,
        "journal/00000002.seg": 5000,
        "telltale.db": 5000,
    }
    for name, size in names.items():
        (tmp_path / name).write_bytes(bytes(size))
    os.utime(tmp_path / "journal/00000001.damaged", (MIDNIGHT, MIDNIGHT))
    found = find(folder)
    assert found[0].paths == (tmp_path / "journal/00000001.damaged",)
    assert {len(one.paths) for one in found[1:3]} == {1, 2}
    assert found[3].moved == MIDNIGHT - 2 * DAY + 0.5
    assert [one.database for one in found] == [False, True, True, True]
    lock = (tmp_path / "lock").stat().st_blocks * 512
    assert sum(one.bytes for one in found) + 8192 == folder.bytes_beside_database() - lock
    drop(found)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "00000002.seg",
        "lock",
        "telltale.db",
    ]
    assert sum("is dropped to make room" in record.message for record in caplog.records) == 4
    folder.close()


def test_two_damaged_files_of_one_second_are_both_kept(tmp_path):
    folder = DataFolder(tmp_path)
    folder.open()
    for text in (b"first" * 1000, b"second" * 1000):
        folder.database.write_bytes(text)
        connection, aside = open_database(folder, ManualClock(MIDNIGHT))
        connection.close()
        assert aside is not None
        assert aside.read_bytes() == text
    assert len(find(folder)) == 2
    folder.close()
