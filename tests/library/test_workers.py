"""Several processes on one data folder: forks, takeovers, other versions and models, full disks."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.running import Server, environment, wait_for
from monitor import Monitor, Reference
from monitor.config.load import Config
from monitor.errors import LockedError
from monitor.joined import Joined
from monitor.questions import ask
from tests.library.conftest import Open

ROW = [41.0, 1.5, "f"]


def in_child(work: Callable[[], object]) -> str:
    """What a function returns in the child of a fork, in words; the child then ends without closing anything."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = repr(work())
        except BaseException as error:  # noqa: BLE001
            said = repr(error)
        os.write(writing, said.encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def asked(folder: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "data" / "telltale.db")) as connection:
        return connection.execute(sql).fetchall()


def test_the_child_of_a_fork_joins(open_monitor: Open, tmp_path: Path) -> None:
    monitor = open_monitor("[outcomes]", metrics_port=0)
    first = monitor.observe(ROW, 1.0)

    def work() -> object:
        own = monitor.observe(ROW, 1.0)
        told = monitor.outcome_many([first, own], [1.0, 2.0], wait=True)
        assert b"telltale_predictions_total" in monitor.metrics()[0]
        with pytest.raises(Exception, match="known are: model"):
            monitor._usable().status("another")
        drift = monitor.evaluate(now=True)
        monitor.close()
        return own[:13] != first[:13], told["joined"], drift[0].n

    assert in_child(monitor.close) == "None"  # which closes nothing of its parent's
    assert in_child(work) == "(True, 2, 2)"
    monitor.observe(ROW, 1.0)
    monitor.flush()
    assert monitor.status()["predictions"] == 3
    assert not [path for path in (tmp_path / "data/workers").iterdir() if path.is_dir()]


def test_outcomes_are_waited_for_although_the_join_was_not_answered(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that holds the folder was busy: it finds the one that has joined by a fold."""
    monkeypatch.setattr(Joined, "_introduce", lambda _: None)
    config = Config.from_text('[outcomes]\n[window]\nfold = "1h"')
    with Monitor.open(config, reference=reference, data=tmp_path / "data", metrics_port=0) as monitor:
        first = monitor.observe(ROW, 1.0)
        assert in_child(lambda: monitor.outcome_many([first], [1.0], wait=True)["joined"]) == "1"


def test_one_that_joins_loads_only_what_it_records_with(open_monitor: Open, tmp_path: Path) -> None:
    monitor = open_monitor()
    monitor.reference.save(tmp_path / "histogram.prom")
    code = """if True:
        import sys
        from monitor import Monitor
        monitor = Monitor.open()
        monitor.observe([41, 1.5, "f"], 1.0)
        print({"scipy", "requests", "apscheduler", "sqlite_utils", "pandas", "monitor.runtime"} & sys.modules.keys())
        monitor.close()
    """
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert run.stdout == "set()\n", run.stderr
    monitor.flush()
    assert monitor.status()["predictions"] == 1


def test_one_that_does_not_wait_for_an_answer_leaves_no_traceback(
    open_monitor: Open, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monitor = open_monitor()
    runtime = monitor._usable()
    caplog.set_level("DEBUG")
    with runtime.writer.busy, pytest.raises(TimeoutError):
        ask(tmp_path / "data", "fold", (), {}, patience=0.1)
    wait_for(lambda: "did not wait for the answer" in caplog.text, "the answer to a process that has gone")
    assert "Traceback" not in capfd.readouterr().err


def test_a_child_goes_on_when_its_parent_is_killed(tmp_path: Path, reference: Reference) -> None:
    reference.save(tmp_path / "histogram.prom")
    code = """if True:
        import os, signal, time
        from monitor import Monitor
        monitor = Monitor.open(metrics_port=0)
        monitor.observe([41, 1.5, "f"], 1.0)
        ready, parent = os.pipe(), os.getpid()
        if os.fork():
            os.read(ready[0], 1)
            os.kill(parent, signal.SIGKILL)
        monitor.observe([41, 1.5, "f"], 1.0)
        os.write(ready[1], b"x")
        while os.getppid() == parent:
            time.sleep(0.01)
        monitor.observe([41, 1.5, "f"], 1.0)
        monitor.flush()
        monitor.evaluate(now=True)
        print(monitor.status()["predictions"], monitor.metrics_address is not None)
    """
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert run.returncode == -signal.SIGKILL
    assert run.stdout == "3 True\n"  # the pipe is open until the child has ended
    assert asked(tmp_path, "SELECT sum(predictions) FROM series") == [(3,)]
    assert asked(tmp_path, "PRAGMA integrity_check") == [("ok",)]


def test_another_version_is_counted_for_itself(open_monitor: Open, tmp_path: Path) -> None:
    monitor = open_monitor(version="v1")
    monitor.observe(ROW, 1.0)

    def work() -> object:
        with open_monitor(version="v2") as other:
            other.observe(ROW, 1.0)
            other.observe(ROW, 1.0)
        return other.version

    assert in_child(work) == "'v2'"
    monitor.flush()
    assert asked(tmp_path, "SELECT version, predictions FROM series ORDER BY id") == [("v1", 1), ("v2", 2)]
    assert monitor.status()["predictions"] == 1
    monitor.close()
    again = open_monitor(version="v2")
    assert again.status()["predictions"] == 2


def test_a_worker_for_a_model_that_is_not_watched_is_refused(open_monitor: Open, tmp_path: Path) -> None:
    open_monitor()
    said = in_child(lambda: open_monitor('[model]\nname = "other"'))
    assert "records for other, and the process that holds" in said
    assert not [path for path in (tmp_path / "data/workers").iterdir() if path.is_dir()]


def test_one_that_pulls_its_counts_is_not_joined(open_monitor: Open, tmp_path: Path) -> None:
    open_monitor()
    pulled = '[source]\nkind = "prometheus"\nurl = "http://127.0.0.1:1"'
    assert "pulls the counts" in in_child(lambda: open_monitor(pulled))
    with pytest.raises(LockedError, match="open in this process already"):
        open_monitor()


@pytest.mark.parametrize("killed", [True, False])
def test_drops_of_a_worker_on_a_full_disk_become_a_gap(open_monitor: Open, tmp_path: Path, killed: bool) -> None:
    monitor = open_monitor()

    def work() -> object:
        worker = open_monitor('[data]\nsegment = "64KiB"')
        allocate = os.posix_fallocate

        def full(*_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        os.posix_fallocate = full
        for _ in range(3000):
            worker.observe(ROW, 1.0)
        if not killed:
            os.posix_fallocate = allocate
            assert isinstance(worker._runtime, Joined)
            wait_for(lambda: worker.observe(ROW, 1.0) and not worker._recorder.journal.dropping, "room")
            worker.flush()
        return worker._recorder.journal.written, worker._recorder.journal.dropped_total

    written, dropped = eval(in_child(work))
    wait_for(lambda: asked(tmp_path, "SELECT sum(lost) FROM gaps") == [(dropped,)], "the gap")
    monitor.flush()
    assert dropped > 500
    assert monitor.status()["predictions"] == (written if killed else written - dropped)
    assert monitor.status()["dropped"] == dropped


def test_an_older_database_tells_that_a_worker_is_lost(open_monitor: Open, tmp_path: Path) -> None:
    monitor, database = open_monitor(), tmp_path / "data" / "telltale.db"
    older = tmp_path / "older"

    def work() -> object:
        with open_monitor() as worker:
            worker.observe(ROW, 1.0)
            worker.flush()
            for suffix in ("", "-wal"):
                shutil.copy(f"{database}{suffix}", f"{older}{suffix}")
        return None

    assert in_child(work) == "None"
    monitor.close()
    for path in database.parent.glob("telltale.db*"):
        path.unlink()
    for suffix in ("", "-wal"):
        shutil.copy(f"{older}{suffix}", f"{database}{suffix}")
    open_monitor().flush()
    assert asked(tmp_path, "SELECT kind, lost FROM gaps WHERE detail LIKE '%of a worker, worker/%'") == [
        ("damaged", None)
    ]
    assert asked(tmp_path, "SELECT name FROM sources WHERE name LIKE '%@%'") == []


def test_a_server_gets_its_folder_back(tmp_path: Path, reference: Reference) -> None:
    reference.save(tmp_path / "histogram.prom")
    settings = '[model]\npath = ""\n[window]\nfold = "100ms"\n'
    server = Server(tmp_path, settings, warm=True).ready()
    data = tmp_path / "data"
    with Monitor.open(tmp_path / "config.toml", reference=reference, data=data) as monitor:
        assert isinstance(monitor._runtime, Joined)
        monitor.observe(ROW, 1.0)
        server.kill()
        monitor.observe(ROW, 1.0)
        monitor.flush()
        assert monitor._runtime.runtime is not None
        server = Server(tmp_path, settings, warm=True).ready()
        assert monitor._runtime.runtime is None
        monitor.observe(ROW, 1.0)
        monitor.flush()
        assert monitor.status()["predictions"] == 3
    server.stop()
    assert asked(tmp_path, "SELECT sum(predictions) FROM series") == [(3,)]
