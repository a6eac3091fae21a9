"""The writing thread: transactions, ticks that fail, readers that stay long."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from bench.running import PATIENCE
from monitor.clock import iso
from monitor.errors import StoreError
from monitor.store.audit.seals import SEALED
from monitor.store.audit.verify import verify
from monitor.store.file import writer as module
from monitor.store.file.database import connect
from monitor.store.file.writer import WAL_ROOM, Writer
from monitor.store.windows.rows import add_gap, read_meta, write_meta
from tests.store.world import Monitored

#: Another program that holds a lock on the database until its input ends.
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def eventually(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "telltale.db"


@pytest.fixture
def start(path):
    writers = []

    def start(tick=lambda: None, interval=0.01, run=True, wal_room=WAL_ROOM):
        writer = Writer(connect(path), tick, interval, wal_room)
        writers.append(writer)
        if run:
            writer.start()
        return writer

    yield start
    for writer in writers:
        if not writer._stopped:
            writer.stop()


def test_a_call_runs_on_the_writers_thread_and_is_committed(start, path):
    writer = start()
    name = writer.call(lambda connection: (write_meta(connection, "a", "1"), threading.current_thread().name)[1])
    assert name == "telltale-writer"
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT value FROM meta WHERE key = 'a'").fetchone() == ("1",)


def test_what_a_call_raises_is_raised_to_its_caller_and_rolled_back(start):
    writer = start()

    def fail(connection):
        write_meta(connection, "a", "1")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        writer.call(fail)
    assert writer.call(lambda connection: read_meta(connection, "a", "none")) == "none"


def test_a_tick_that_fails_comes_again(start, caplog):
    ticks, done = [], threading.Event()

    def tick():
        ticks.append(1)
        if len(ticks) < 3:
            raise sqlite3.OperationalError("database or disk is full")
        done.set()

    start(tick)
    assert done.wait(PATIENCE)
    assert sum("tried again" in record.message for record in caplog.records) == 1


def test_a_call_waits_for_somebody_elses_write_transaction(start, path):
    writer = start()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        future = []
        thread = threading.Thread(target=lambda: future.append(writer.call(lambda c: write_meta(c, "a", "1"))))
        thread.start()
        thread.join(0.05)
        assert not future
        other.execute("COMMIT")
        thread.join(PATIENCE)
    assert future == [None]


def test_a_stop_gives_up_soon_while_another_program_holds_a_lock(start, path, monkeypatch, caplog):
    monkeypatch.setattr(module, "PATIENCE", int(PATIENCE) * 2000)  # far longer than this test waits for anything
    connection, begun, writers = connect(path), threading.Event(), []
    connection.execute(f"PRAGMA busy_timeout = {module.PATIENCE}")

    def tick():
        begun.set()
        writers[0].transaction(lambda c: write_meta(c, "a", "1"))

    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        writers.append(Writer(connection, tick, 0.01))
        writers[0].start()
        assert begun.wait(PATIENCE)
        stop = threading.Thread(target=writers[0].stop, args=(tick,), daemon=True)
        stop.start()
        stop.join(PATIENCE)
        assert not stop.is_alive()
    finally:
        holder.communicate(timeout=PATIENCE)
    assert "another program holds a lock" in caplog.text
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT value FROM meta WHERE key = 'a'").fetchone() is None


def test_a_transaction_that_could_not_begin_can_be_tried_again(start, path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0)
    writer = start(run=False)
    writer._connection.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            writer.transaction(lambda c: write_meta(c, "a", "1"))
        other.execute("ROLLBACK")
    writer.transaction(lambda c: write_meta(c, "a", "2"))
    assert writer.transaction(lambda c: read_meta(c, "a", "")) == "2"


def test_a_full_database_is_rolled_back_and_goes_on_when_there_is_room(start):
    writer = start(run=False)
    pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
    writer._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        writer.transaction(lambda c: write_meta(c, "big", "x" * 100_000))
    assert not writer._connection.in_transaction
    writer._connection.execute("PRAGMA max_page_count = 100000")
    writer.transaction(lambda c: write_meta(c, "big", "x" * 100_000))


def test_after_the_end_nothing_is_taken_any_more(start):
    writer, last = start(), []
    writer.stop(lambda: last.append(threading.current_thread().name))
    assert last == ["telltale-writer"]
    with pytest.raises(StoreError, match="closed"):
        writer.call(lambda connection: None)


def test_the_end_waits_for_what_was_asked_and_empties_the_wal(start, path):
    writer = start()
    writer.call(lambda connection: write_meta(connection, "a", "1"))
    writer.stop()
    assert not path.with_name("telltale.db-wal").exists()
    assert not writer.alive


def test_a_call_that_is_not_answered_in_time_is_called_off(start, monkeypatch):
    monkeypatch.setattr(module, "CALL_TIMEOUT", 0.05)
    writer, begun, gate = start(), threading.Event(), threading.Event()
    blocker = threading.Thread(target=lambda: _quietly(writer, begun, gate))
    blocker.start()
    assert begun.wait(PATIENCE)
    with pytest.raises(StoreError, match="did not answer"):
        writer.call(lambda connection: write_meta(connection, "late", "1"))
    gate.set()
    blocker.join(PATIENCE)
    monkeypatch.setattr(module, "CALL_TIMEOUT", 30.0)
    assert writer.call(lambda connection: read_meta(connection, "late", "none")) == "none"


def _quietly(writer, begun, gate):
    try:
        writer.run(lambda: (begun.set(), gate.wait(PATIENCE)))
    except StoreError:
        pass


def test_a_long_reader_stops_the_fold_before_the_wal_is_too_large(start, path, monkeypatch, caplog):
    """Ticks write, a cursor stays open: the WAL stops growing; when it closes, ticks go on and the WAL is cut."""
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    wal, ticks, writer = path.with_name("telltale.db-wal"), [], None

    def tick():
        ticks.append(1)
        assert writer is not None
        writer.transaction(lambda c: write_meta(c, "big", chr(97 + len(ticks) % 26) * 40_000))

    writer = start(tick, 0.001, run=False, wal_room=400 * 4096)
    writer.transaction(lambda c: [write_meta(c, f"row {i}", "x" * 2000) for i in range(20)])
    writer.checkpoint()
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        cursor = reader.execute("SELECT key FROM meta")
        cursor.fetchone()
        writer.start()
        eventually(lambda: writer.wal_pages >= 300)
        held = len(ticks)
        size = wal.stat().st_size
        assert size < 400 * 4200
        writer.call(lambda c: write_meta(c, "still", "served"))
        eventually(lambda: writer.wal_pages >= 300)
        assert len(ticks) <= held + 1
        cursor.close()
    eventually(lambda: len(ticks) > held + 5)
    eventually(lambda: wal.stat().st_size < size)
    assert sum("a reader keeps the database busy" in record.message for record in caplog.records) == 1


def test_only_one_connection_writes_and_others_see_whole_transactions(start, path):
    writer = start()
    stop, seen = threading.Event(), set()

    def watch():
        with closing(sqlite3.connect(path)) as other:
            while not stop.is_set():
                seen.add(other.execute("SELECT count(*) FROM gaps").fetchone()[0] % 2)

    thread = threading.Thread(target=watch)
    thread.start()

    def two(connection, number):
        add_gap(connection, "dropped", str(number), str(number), 1, "a")
        add_gap(connection, "dropped", str(number), str(number), 1, "b")

    for number in range(50):
        writer.call(lambda c, number=number: two(c, number))
    stop.set()
    thread.join()
    assert seen == {0}


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("INSERT INTO gaps VALUES (77, 'dropped', '2023', '2023', 5, 'a lie')", "gaps 64 to 127 (2023)"),
        ("UPDATE meta SET value = '0' WHERE key = 'mine'", "meta"),
    ],
)
def test_what_another_program_wrote_is_not_taken_for_ones_own(start, path, caplog, sql, named):
    writer = start(run=False)
    writer.transaction(lambda c: write_meta(c, "mine", "1"))
    writer.transaction(lambda c: add_gap(c, "dropped", "2023", "2023", 1, "true"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(sql)
        assert not verify(other).ok
        for _ in range(3):
            writer.transaction(lambda c: write_meta(c, "mine", "2"))
        assert [problem.where for problem in verify(other).problems] == [named]
    assert sum("another program has written" in record.message for record in caplog.records) == 1


TAMPERED = [
    ("UPDATE open_counts SET counts = '[1]' WHERE id % 100000 = 0", "histograms of window 4, column x0"),
    ("UPDATE open_counts SET counts = CAST(x'31ff' AS TEXT)", "histograms of window 4, column x0"),
    ("DELETE FROM open_counts", "histograms of window 4, column x0"),
    ("INSERT INTO open_counts VALUES (400077, '[1]', 1.0)", "open_counts of window 4, column 77"),
    ("UPDATE totals SET counts = '[1]' WHERE column_id = 1", "totals of column x0"),
    ("UPDATE totals SET counts = 'junk'", "totals of column x0"),
    ("UPDATE totals SET counts = CAST(x'5bff' AS TEXT)", "totals of column x0"),
    ("DELETE FROM totals WHERE column_id = 1", "totals of column x0"),
    ("UPDATE series SET predictions = 1", "the predictions"),
    ("DELETE FROM unseen_values", "unseen_values"),
    ("UPDATE unseen_values SET value = CAST(x'ff' AS TEXT)", "unseen_values"),
    ("INSERT INTO unseen_values VALUES (3, 'pink', 1, '2023', '2023')", "unseen_values"),
    ("INSERT INTO silences VALUES ('x', '{}', 'never', 'ever', 'me', 'why', '2023')", "silences"),
    ("DELETE FROM notification_groups", "notification_groups"),
    ("INSERT INTO gaps VALUES (50, 'dropped', '2023', '2023', 1, 'a lie')", "gaps 0 to 63"),
]


@pytest.mark.parametrize("served", [False, True])
@pytest.mark.parametrize(("sql", "named"), TAMPERED)
def test_what_somebody_else_wrote_stops_nothing_and_stays_on_record(tmp_path, served, sql, named):
    """Beside a server and between two runs: it is named for good, and predictions, verdicts and messages go on."""
    settings = 'keep_minutes = "1h"\n[receivers.note]\nkind = "log"'
    monitored = Monitored(tmp_path / "data", settings)
    monitored.minutes(2, rows=300)
    monitored.minutes(1, rows=900, shift=2.0, colour="mauve")
    monitored.record()
    monitored.runtime.fold()
    if not served:
        monitored.close()
    with closing(sqlite3.connect(monitored.path, isolation_level=None)) as other:
        assert other.execute(sql).rowcount > 0
        assert verify(other).problems
    for _ in range(2):
        if not served:
            monitored = Monitored(tmp_path / "data", settings, monitored.clock.time())
        monitored.record()
        monitored.runtime.fold()
        monitored.minutes(2, rows=900, shift=2.0)
        monitored.clock.advance(7200)  # all of it is old, rolled up and dropped
        monitored.minutes(2, rows=300)
        with monitored.read() as connection:
            problems = [f"{where}: {what}" for where, what in verify(connection).problems]
            (newest,) = connection.execute("SELECT max(at) FROM drift").fetchone()
        if named.split()[0] in SEALED:  # what is only added up is right again, or said to be damaged in the log
            assert any(line.startswith(named) for line in problems), problems
        assert newest == iso(monitored.clock.time())
        if not served:
            monitored.close()
    if served:
        monitored.close()


def test_a_failure_that_goes_on_is_logged_once_until_it_changes(start, caplog):
    errors = [OSError("full"), OSError("full"), OSError("full"), OSError("broken"), None, OSError("broken")]
    writer = start(run=False)

    def tick():
        if (error := errors.pop(0)) is not None:
            raise error

    while errors:
        writer._safely(tick)
    said = [record.message.removeprefix("the writer's tick failed; it is tried again: ") for record in caplog.records]
    assert said == ["OSError('full')", "OSError('broken')", "OSError('broken')"]


def test_what_nobody_expects_is_logged_with_its_traceback(start, caplog):
    start(run=False)._safely(lambda: 1 / 0)
    assert caplog.records[0].exc_info is not None
