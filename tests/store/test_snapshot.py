import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from monitor.errors import StoreError
from monitor.store.audit.verify import verify
from monitor.store.file.snapshot import write_snapshot
from tests.store.world import Monitored

AS_NOBODY = """
import os, sqlite3, sys
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT sum(n) FROM windows").fetchone()[0])
"""


@pytest.fixture
def monitored(tmp_path):
    monitored = Monitored(tmp_path / "data")
    monitored.minutes(3)
    yield monitored
    monitored.close()


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_a_copy_that_is_whole_and_read_only(monitored, tmp_path, mask):
    """Whoever may read what this user writes may read it: an auditor without any right to the data folder."""
    target, before = tmp_path / "audit.db", os.umask(mask)
    try:
        size = write_snapshot(monitored.path, target)
    finally:
        assert os.umask(before) == mask
    assert size == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o444 & ~mask
    with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True, isolation_level=None)) as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert copy.execute("SELECT sum(n) FROM windows").fetchone() == (60,)
        assert verify(copy).ok
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_one_moment_while_the_writer_goes_on(monitored, tmp_path):
    """Windows and running totals change together; no copy may show one without the other."""
    writer, stop = monitored.runtime.writer, threading.Event()
    writer.start()

    def work() -> None:
        while not stop.is_set():
            monitored.record(5)
            monitored.clock.advance(10)
            monitored.runtime.evaluate()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(5):
            target = tmp_path / f"{number}.db"
            write_snapshot(monitored.path, target)
            with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True, isolation_level=None)) as copy:
                assert verify(copy).problems == []
    finally:
        stop.set()
        thread.join()
        writer.stop()


def test_replaces_an_earlier_copy(monitored, tmp_path):
    target = tmp_path / "audit.db"
    write_snapshot(monitored.path, target)
    monitored.minutes(1)
    write_snapshot(monitored.path, target)
    with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as copy:
        assert copy.execute("SELECT sum(n) FROM windows").fetchone() == (80,)


def test_of_a_server_that_is_stopped(monitored, tmp_path):
    monitored.close()
    write_snapshot(monitored.path, tmp_path / "audit.db")
    with closing(sqlite3.connect(f"file:{tmp_path}/audit.db?mode=ro", uri=True)) as copy:
        assert copy.execute("SELECT sum(n) FROM windows").fetchone() == (60,)


def test_somebody_without_the_right_to_write_can_read_it(monitored, tmp_path):
    target = tmp_path / "audit.db"
    write_snapshot(monitored.path, target)
    target.chmod(0o444)
    for folder in (tmp_path, *(parent for parent in tmp_path.parents if parent.name.startswith(("pytest-", "popen-")))):
        folder.chmod(folder.stat().st_mode | 0o055)
    answer = subprocess.run([sys.executable, "-c", AS_NOBODY, str(target)], capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == "60", answer.stderr


def test_says_what_is_wrong_and_leaves_nothing_behind(monitored, tmp_path):
    with pytest.raises(StoreError, match="cannot be written"):
        write_snapshot(monitored.path, tmp_path / "nowhere" / "audit.db")
    with pytest.raises(StoreError, match="there is no database here yet"):
        write_snapshot(tmp_path / "none.db", tmp_path / "audit.db")
    assert not (tmp_path / "audit.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
