"""The data path, joined: what a fold costs, and what one prediction is called."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from contextlib import closing

import pytest

from monitor.clock import iso
from monitor.errors import StoreError
from monitor.folding import INSTRUMENTS
from monitor.health import DAMAGE_SHOWN
from monitor.runtime import SLOW_FACTS
from monitor.store.file.writer import Writer
from monitor.store.windows.rows import add_gap, read_meta
from tests.store.world import Monitored


@pytest.fixture
def monitored(tmp_path):
    made = Monitored(tmp_path / "data")
    yield made
    made.close()


def commits(monitored, act):
    statements = []
    connection = monitored.runtime.writer._connection
    connection.set_trace_callback(statements.append)
    act()
    connection.set_trace_callback(None)
    return statements.count("COMMIT"), len(statements)


def test_predictions_and_what_was_counted_meanwhile_are_one_commit(monitored):
    monitored.record(50)
    monitored.runtime.fold()
    monitored.record(50)
    monitored.runtime.instruments.took(0.002)
    assert commits(monitored, monitored.runtime.fold)[0] == 1
    counted = json.loads(monitored.runtime.writer.call(lambda c: read_meta(c, INSTRUMENTS, "")))
    assert sum(counted["seconds"]) == 1
    assert monitored.runtime.only.snapshot(monitored.runtime.facts()).health.latency.counts == tuple(counted["seconds"])


def test_what_was_counted_without_a_prediction_is_kept_too(monitored):
    monitored.runtime.fold()  # the first one asks which workers the database knows
    monitored.runtime.instruments.rejected("not_json")
    assert commits(monitored, monitored.runtime.fold)[0] == 1
    assert monitored.runtime.only.snapshot(monitored.runtime.facts()).health.rejected == {"not_json": 1}
    assert commits(monitored, monitored.runtime.fold) == (0, 0)


def test_a_fold_takes_few_statements_however_many_columns(tmp_path):
    statements = []
    for columns in (2, 100):
        monitored = Monitored(tmp_path / str(columns), columns=columns)
        monitored.record(5)
        monitored.runtime.fold()
        monitored.record(5)
        statements.append(commits(monitored, monitored.runtime.fold)[1])
        monitored.close()
    assert statements[0] == statements[1]


def test_an_id_is_the_prefix_of_this_process_and_the_number_of_the_record(monitored):
    recorder = monitored.runtime.only.recorder
    first = monitored.runtime.only.record([0.5, 0.5, "red"], [1.0])
    (second,) = recorder.record_many([[0.5], [0.5], ["blue"]], [[1.0]])
    assert second == f"{recorder.prefix}{first + 1}"


def test_drops_stay_counted_while_they_become_a_gap(monitored, full_disk):
    journal, runtime = monitored.runtime.only.source.journal, monitored.runtime
    room = journal._capacity
    seen = []
    full_disk["full"] = True
    monitored.record(room + 30)
    seen.append(runtime.journals.dropped)
    full_disk["full"] = False
    monitored.clock.advance(2)
    monitored.record(1)
    seen.append(runtime.journals.dropped)
    runtime.fold()
    seen.append(runtime.journals.dropped)
    assert seen == [30, 30, 30]
    with monitored.read() as connection:
        assert [tuple(row) for row in connection.execute("SELECT kind, lost FROM gaps")] == [("dropped", 30)]


def test_a_lock_of_somebody_elses_is_named_by_health_and_log_in_one_line(monitored, caplog, monkeypatch):
    runtime = monitored.runtime
    monkeypatch.setattr(Writer, "alive", True)
    monkeypatch.setattr("monitor.store.file.writer.PATIENCE", 0)
    runtime.writer._connection.execute("PRAGMA busy_timeout = 0")
    monitored.record(50)
    for kind in ("IMMEDIATE", "EXCLUSIVE"):
        with closing(sqlite3.connect(runtime.folder.database, isolation_level=None)) as auditor:
            auditor.execute(f"BEGIN {kind}")
            monitored.clock.advance(SLOW_FACTS)
            runtime.writer._safely(runtime._tick)
            with pytest.raises(StoreError, match="another program holds a lock"):
                runtime.evaluate()
        store = runtime.health()["checks"][1]
        assert store["condition"] == "failing"
        assert "another program holds a lock on the database" in store["detail"]
        runtime.writer._safely(runtime._tick)
        assert runtime.health()["checks"][1]["condition"] == "ok"
    assert runtime.only.totals.n == 50
    assert [record.exc_info for record in caplog.records] == [None, None]


def test_closing_under_somebody_elses_lock_leaves_the_rest_to_the_next_start(tmp_path):
    monitored = Monitored(tmp_path / "data")
    monitored.runtime.writer._connection.execute("PRAGMA busy_timeout = 0")
    monitored.record(50)
    with closing(sqlite3.connect(monitored.runtime.folder.database, isolation_level=None)) as auditor:
        auditor.execute("BEGIN IMMEDIATE")
        monitored.close()
    assert monitored.runtime.journals.unfolded
    again = Monitored(tmp_path / "data")
    again.runtime.fold()
    assert again.runtime.only.totals.n == 50
    again.close()
    assert not again.runtime.journals.unfolded


def test_a_request_that_the_database_refuses_does_not_keep_it_from_folding(monitored):
    """NaN is a number for JSON as Python reads it, and NULL for SQLite."""
    silence = {"id": "x", "matchers": {}, "start": math.nan, "end": 1.0, "author": "", "reason": ""}
    monitored.record(5)
    with pytest.raises(ValueError, match="NaN"):
        monitored.runtime.change({"kind": "silence", "silence": silence})
    monitored.record(5)
    monitored.runtime._tick()
    assert monitored.runtime.only.totals.n == 10


def test_damage_is_shown_by_health_for_a_day(monitored):
    runtime = monitored.runtime
    now = monitored.clock.time()
    runtime.writer.call(lambda c: add_gap(c, "damaged", iso(now), iso(now), 12, "7.journal is cut"))
    for seconds, expected in ((SLOW_FACTS, "degraded"), (DAMAGE_SHOWN, "ok")):
        monitored.clock.advance(seconds)
        runtime._tick()
        capture = runtime.health()["checks"][0]
        assert capture["condition"] == expected
        assert ("12 predictions, 7.journal is cut" in capture["detail"]) == (expected == "degraded")


def test_what_waits_from_an_earlier_process_is_lag(monitored, tmp_path):
    monitored.record(50)
    copy = shutil.copytree(monitored.folder, tmp_path / "copy")
    again = Monitored(copy)
    again.clock.advance(3.0)
    assert again.runtime.journals.lag == 3.0
    again.runtime.fold()
    assert again.runtime.journals.lag == 0.0
    again.close()


@pytest.mark.parametrize("act", [lambda path: path.unlink(), lambda path: path.replace(path.with_name("elsewhere"))])
def test_nothing_is_folded_into_a_database_that_nobody_will_find(monitored, act, caplog):
    monitored.record(50)
    monitored.runtime.fold()
    act(monitored.runtime.folder.database)
    monitored.record(30)
    with pytest.raises(StoreError, match="the database was deleted or replaced"):
        monitored.runtime.fold()
    assert monitored.runtime.health()["checks"][0]["condition"] == "failing"
    monitored.close()
    again = Monitored(monitored.folder)
    again.runtime.fold()
    assert again.runtime.only.totals.n == 80, "the journal had what was folded, too"
    assert again.runtime.writer.call(lambda c: c.execute("SELECT * FROM gaps").fetchall()) == []
    assert "the database was gone; a new one was begun; the journal still has the predictions" in caplog.text
    again.close()
