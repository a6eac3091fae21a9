"""Whatever lies where the database should be: it is opened, refused in one line, or moved aside; never overwritten."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.clock import ManualClock
from monitor.errors import StoreError
from monitor.store.audit.verify import verify
from monitor.store.file.damaged_files import find
from monitor.store.file.database import connect, connect_read_only, open_database
from monitor.store.file.folder import BALLAST, BALLAST_BYTES, DataFolder
from tests.store.world import MIDNIGHT, Monitored


@pytest.fixture
def folder(tmp_path):
    folder = DataFolder(tmp_path / "data")
    folder.open()
    yield folder
    folder.close()


@pytest.fixture
def filled(tmp_path) -> Path:
    """A database with some minutes in it, closed."""
    monitored = Monitored(tmp_path / "data")
    monitored.minutes(3)
    monitored.close()
    return monitored.path


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def foreign(path: Path) -> None:
    path.write_text("These are the notes of somebody else.\n" * 50)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def beheaded(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


def schema_torn(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


def another_program(path: Path) -> None:
    """A database, and a good one, of somebody else; one of its tables has a name that we use too."""
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE windows (panes INTEGER)")
        connection.execute("INSERT INTO windows VALUES (4)")


@pytest.mark.parametrize("damage", [zeroed, foreign, truncated, beheaded, schema_torn, another_program])
def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(filled, damage, caplog):
    damage(filled)
    before = filled.read_bytes()
    folder = DataFolder(filled.parent)
    folder.open()
    connection, aside = open_database(folder, ManualClock(MIDNIGHT))
    assert aside is not None
    assert aside.name == "telltale.db.damaged-2023-11-15T000000Z"
    assert aside.read_bytes() == before
    assert connection.execute("SELECT count(*) FROM windows").fetchone()[0] == 0
    assert any("cannot be used" in record.message for record in caplog.records)
    connection.close()
    folder.close()


def test_the_loss_is_a_gap_in_the_record(filled):
    zeroed(filled)
    monitored = Monitored(filled.parent)
    with monitored.read() as connection:
        (gap,) = connection.execute("SELECT kind, detail FROM gaps").fetchall()
    assert gap["kind"] == "damaged"
    assert "telltale.db.damaged-" in gap["detail"]
    monitored.close()


@pytest.mark.parametrize("table", ["series", "meta", "alerts"])
def test_what_turns_out_to_be_damaged_when_it_is_read_is_moved_aside_too(filled, table, caplog):
    with closing(sqlite3.connect(filled)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with filled.open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\xff" * 4096)
    monitored = Monitored(filled.parent)
    monitored.minutes(2)
    assert monitored.runtime.only.totals.n == 40
    assert len(find(monitored.runtime.folder)) == 1
    with monitored.read() as connection:
        assert [row["kind"] for row in connection.execute("SELECT kind FROM gaps")] == ["damaged"]
        assert verify(connection).ok
    monitored.close()


def later(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('telltale','v99','')"
        )


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (zeroed, "cannot be read: file is not a database"),
        (emptied, "the file is empty"),
        (a_folder, "cannot be read"),
        (another_program, "the database of another program"),
        (later, "written by a later Telltale (it has v99)"),
    ],
)
def test_commands_say_in_one_line_what_they_cannot_read(filled, change, said, capsys):
    change(filled)
    for command in ("status", "drift", "alerts", "windows", "locate"):
        arguments = [command, "--data", str(filled.parent), *(["x0"] if command == "locate" else [])]
        assert main(arguments) == 3
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    code = main(["verify", "--data", str(filled.parent)])
    assert code == (1 if change is later else 3)


def test_a_wal_goes_aside_with_its_database(filled):
    foreign(filled)
    filled.with_name("telltale.db-wal").write_bytes(b"what had not been moved yet")
    folder = DataFolder(filled.parent)
    folder.open()
    connection, aside = open_database(folder, ManualClock(MIDNIGHT))
    assert aside is not None
    assert aside.with_name(aside.name + "-wal").read_bytes() == b"what had not been moved yet"
    assert not (folder.path / "wal-while-opening").exists()
    connection.close()
    folder.close()


@pytest.mark.parametrize("error", ["database disk image is malformed", "database or disk is full"])
def test_what_its_first_use_finds_is_handled_as_what_opening_finds(filled, error):
    with closing(sqlite3.connect(filled)) as connection:
        before = connection.execute("SELECT sum(n) FROM windows").fetchone()
    filled.with_name("telltale.db-wal").touch()
    folder, tries = DataFolder(filled.parent), []
    folder.open()
    folder.keep_ballast()

    def use(connection, aside):
        tries.append((aside, (folder.path / BALLAST).exists()))
        if len(tries) == 1:
            raise sqlite3.DatabaseError(error)

    connection, aside = open_database(folder, ManualClock(MIDNIGHT), use)
    if error == "database or disk is full":
        assert tries == [(None, True), (None, False)]
    else:
        assert tries == [(None, True), (aside, True)]
        assert aside.with_name(aside.name + "-wal").exists()
        with closing(sqlite3.connect(aside)) as kept:
            assert kept.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert kept.execute("SELECT sum(n) FROM windows").fetchone() == before
    assert (folder.path / BALLAST).exists()
    connection.close()
    folder.close()


def test_an_empty_file_is_a_new_database(folder):
    folder.database.touch()
    connection, aside = open_database(folder, ManualClock())
    assert aside is None
    connection.close()


def test_an_empty_file_where_there_was_a_database_is_moved_aside(folder):
    folder.journal.mkdir()
    (folder.journal / "1.journal").touch()
    folder.database.touch()
    connection, aside = open_database(folder, ManualClock())
    assert aside is not None
    assert aside.exists()
    connection.close()


def test_a_newer_database_is_refused_and_left_alone(filled):
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('telltale','v99','')"
        )
    with closing(sqlite3.connect(filled)) as connection:
        before = list(connection.iterdump())
    folder = DataFolder(filled.parent)
    folder.open()
    with pytest.raises(StoreError, match=r"later Telltale \(it has v99\)"):
        open_database(folder, ManualClock())
    with closing(sqlite3.connect(filled)) as connection:
        assert list(connection.iterdump()) == before
    assert [path.name for path in filled.parent.glob("*damaged*")] == []
    folder.close()


def test_how_the_writing_connection_is_set(folder):
    connection, _ = open_database(folder, ManualClock())
    settings = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "mmap_size", "auto_vacuum", "secure_delete")
    }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": 0,
        "mmap_size": 0,
        "auto_vacuum": 2,
        "secure_delete": 0,
    }
    connection.close()


def test_nobody_but_user_and_group_may_read_what_is_written(tmp_path):
    before = os.umask(0o022)
    try:
        monitored = Monitored(tmp_path / "data")
        monitored.minutes(1, colour="mauve")
        modes = {path.name: path.stat().st_mode & 0o777 for path in monitored.folder.rglob("*") if path.is_file()}
        monitored.close()
    finally:
        os.umask(before)
    assert "telltale.db-wal" in modes
    assert {name for name, mode in modes.items() if mode & 0o007} == set()


def test_readers_cannot_write(filled):
    with closing(connect_read_only(filled)) as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM windows")


def test_a_reader_without_a_database_is_told_so(tmp_path):
    with pytest.raises(StoreError, match="there is no database here yet"):
        connect_read_only(tmp_path / "telltale.db")
    (tmp_path / "other.db").write_text("no database " * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        connect_read_only(tmp_path / "other.db")


def test_a_database_that_cannot_be_opened_for_another_reason_stays(folder, monkeypatch):
    connect(folder.database).close()
    monkeypatch.setattr(
        "monitor.store.file.database.connect",
        lambda path: (_ for _ in ()).throw(sqlite3.OperationalError("database is locked")),
    )
    with pytest.raises(StoreError, match="cannot be opened: database is locked"):
        open_database(folder, ManualClock())
    assert folder.database.exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB, where this may be mounted."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no right to mount a small file system")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=False)


def fill_up(mount: Path) -> None:
    with (mount / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_a_cold_start_on_a_full_disk_lives_on_the_ballast(small_disk, caplog):
    folder = DataFolder(small_disk / "data")
    folder.open()
    connection, _ = open_database(folder, ManualClock())
    assert (folder.path / "ballast").stat().st_size == BALLAST_BYTES
    connection.close()
    folder.close()
    fill_up(small_disk)
    folder.open()
    connection, aside = open_database(folder, ManualClock())
    assert aside is None
    assert connection.execute("SELECT count(*) FROM windows").fetchone()[0] == 0
    assert any("started on the ballast" in record.message for record in caplog.records)
    assert not (folder.path / "ballast").exists()
    connection.close()
    folder.close()


def test_a_first_start_on_a_full_disk_ends_in_one_line(small_disk):
    folder = DataFolder(small_disk / "data")
    folder.open()
    fill_up(small_disk)
    with pytest.raises(StoreError) as caught:
        open_database(folder, ManualClock())
    assert str(caught.value).endswith(f"the disk is full, and the ballast is used up; make room in {folder.path}")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    folder.close()
