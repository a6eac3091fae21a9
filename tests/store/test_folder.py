"""Who may use the data folder: real processes, real locks."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.errors import LockedError, StoreError
from monitor.store.file.folder import BALLAST_BYTES, DataFolder, refuse_second

HOLD = """
import sys
from pathlib import Path
from monitor.store.file.folder import DataFolder
DataFolder(Path(sys.argv[1])).open()
print("held", flush=True)
sys.stdin.read()
"""

TRY = """
import sys
from pathlib import Path
from monitor.errors import TelltaleError
from monitor.store.file.folder import DataFolder
try:
    DataFolder(Path(sys.argv[1])).open()
except TelltaleError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def attempt(path: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", TRY, str(path)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_second_process_is_refused_by_the_first_ones_number(tmp_path, holder):
    code, said = attempt(tmp_path)
    assert code == 4
    assert str(holder.pid) in said
    assert said.count("\n") == 1


def test_refusing_does_not_wait(tmp_path, holder):
    for _ in range(100):
        with pytest.raises(LockedError, match=str(holder.pid)):
            DataFolder(tmp_path).open()


def test_the_lock_of_a_process_that_was_killed_never_blocks(tmp_path, holder):
    for _ in range(3):
        holder.kill()
        holder.wait()
        assert (tmp_path / "lock").read_text().strip().isdigit()
        assert attempt(tmp_path) == (0, "")


def test_closing_gives_the_folder_free_and_leaves_the_file(tmp_path):
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.open()
    inode = (tmp_path / "lock").stat().st_ino
    first.close()
    first.close()
    second.open()
    assert (tmp_path / "lock").stat().st_ino == inode
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    second.close()


def test_opening_and_closing_the_lock_file_does_not_lose_the_lock(tmp_path):
    """As it would with fcntl locks."""
    folder = DataFolder(tmp_path)
    folder.open()
    (tmp_path / "lock").read_text()
    with (tmp_path / "lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    folder.close()


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/data: the data folder cannot be used"):
        DataFolder(tmp_path / "file" / "data").open()


def test_a_folder_put_back_from_a_backup_is_noticed(tmp_path):
    folder = DataFolder(tmp_path / "data")
    folder.open()
    assert not folder.trouble
    (tmp_path / "data").rename(tmp_path / "moved")
    assert "moved, deleted or replaced" in folder.trouble
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lock").write_text("")
    assert "moved, deleted or replaced" in folder.trouble
    assert not folder.database_trouble, "what is open goes on in the folder that was moved"
    folder.close()


def test_a_database_put_back_from_a_backup_is_noticed(tmp_path):
    folder = DataFolder(tmp_path)
    folder.open()
    folder.database.write_text("1")
    folder.watch_database()
    assert not folder.trouble
    (tmp_path / "backup").write_text("2")
    (tmp_path / "backup").replace(folder.database)
    assert "the database was deleted or replaced" in folder.trouble
    folder.database.unlink()
    assert folder.trouble == folder.database_trouble
    folder.close()


def test_permissions_that_change_are_not_taken_for_another_folder(tmp_path, monkeypatch):
    folder = DataFolder(tmp_path)
    folder.open()
    folder.database.write_text("1")
    folder.watch_database()
    denied = PermissionError(errno.EACCES, "Permission denied")
    with monkeypatch.context() as patch:
        patch.setattr("monitor.store.file.folder.os.access", lambda *_: False)
        patch.setattr(Path, "stat", lambda *_, **__: (_ for _ in ()).throw(denied))
        assert "permissions have changed" in folder.trouble
        assert folder.database_trouble == ""
    assert folder.trouble == ""
    folder.close()


def test_a_lock_that_may_only_be_read_blocks_nobody(tmp_path, monkeypatch, caplog):
    (tmp_path / "lock").write_text("1")
    real = os.open

    def no_writing(path, flags, *mode):
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, flags, *mode)

    monkeypatch.setattr("monitor.store.file.folder.os.open", no_writing)
    folder = DataFolder(tmp_path)
    folder.open()
    assert "cannot write the process number" in caplog.text
    with pytest.raises(LockedError):
        DataFolder(tmp_path).open()
    folder.close()


def test_deleting_the_lock_lets_nobody_in(tmp_path, holder):
    for change in (lambda path: path.write_text(""), lambda path: path.unlink(), lambda path: path.write_text("")):
        change(tmp_path / "lock")
        code, said = attempt(tmp_path)
        assert code == 4
        assert f"in use by process {holder.pid};" in said
        with pytest.raises(LockedError, match=str(holder.pid)):
            refuse_second(tmp_path)


def test_ballast_takes_its_room_and_gives_it_back(tmp_path):
    folder = DataFolder(tmp_path)
    folder.open()
    assert folder.keep_ballast()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= BALLAST_BYTES
    assert folder.drop_ballast()
    assert not folder.drop_ballast()
    assert not (tmp_path / "ballast").exists()
    folder.close()


def test_no_half_ballast_on_a_full_disk(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    folder = DataFolder(tmp_path)
    folder.open()
    assert not folder.keep_ballast()
    assert not (tmp_path / "ballast").exists()
    folder.close()


def test_counts_bytes_with_and_without_the_database(tmp_path):
    folder = DataFolder(tmp_path)
    folder.open()
    folder.journal.mkdir()
    (tmp_path / "telltale.db").write_bytes(b"x" * 50_000)
    (tmp_path / "telltale.db.damaged-2023").write_bytes(b"x" * 50_000)
    (folder.journal / "0001.seg").write_bytes(b"x" * 20_000)
    beside = folder.bytes_beside_database()
    assert 70_000 <= beside < 100_000
    folder.close()


def test_a_look_from_outside_names_the_owner_and_leaves_nothing(tmp_path):
    refuse_second(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    folder = DataFolder(tmp_path)
    folder.open()
    with pytest.raises(LockedError, match="open in this process already"):
        refuse_second(tmp_path)
    with pytest.raises(LockedError, match="open in this process already"):
        DataFolder(tmp_path).open()
    assert f"in use by process {os.getpid()};" in attempt(tmp_path)[1]
    folder.close()
    refuse_second(tmp_path)


def test_an_owner_is_not_turned_away_by_somebody_who_only_looks(tmp_path, monkeypatch):
    (tmp_path / "lock").touch()
    looking = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr("monitor.store.file.folder.sleep", lambda _: os.close(looking))
    folder = DataFolder(tmp_path)
    folder.open()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert attempt(tmp_path)[0] == 4
    folder.close()


def test_the_server_looks_before_it_loads_its_libraries():
    code = "import server.__main__, sys; print(sorted({'flask', 'sklearn', 'scipy', 'apscheduler'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
