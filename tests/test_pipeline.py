"""The data path, joined: what a fold costs, and what one prediction is called."""

from __future__ import annotations

import errno
import json

import pytest

from monitor.pipeline import INSTRUMENTS
from monitor.store.windows import read_meta
from tests.store.world import Monitored


@pytest.fixture
def monitored(tmp_path):
    made = Monitored(tmp_path / "data")
    yield made
    made.close()


def commits(monitored, act):
    statements = []
    connection = monitored.pipeline.writer._connection
    connection.set_trace_callback(statements.append)
    act()
    connection.set_trace_callback(None)
    return statements.count("COMMIT"), len(statements)


def test_predictions_and_what_was_counted_meanwhile_are_one_commit(monitored):
    monitored.record(50)
    monitored.pipeline.fold()
    monitored.record(50)
    monitored.pipeline.instruments.took(0.002)
    assert commits(monitored, monitored.pipeline.fold)[0] == 1
    counted = json.loads(monitored.pipeline.writer.call(lambda c: read_meta(c, INSTRUMENTS, "")))
    assert sum(counted["seconds"]) == 1
    assert monitored.pipeline.snapshot().health.latency.counts == tuple(counted["seconds"])


def test_what_was_counted_without_a_prediction_is_kept_too(monitored):
    monitored.pipeline.instruments.rejected("not_json")
    assert commits(monitored, monitored.pipeline.fold)[0] == 1
    assert monitored.pipeline.snapshot().health.rejected == {"not_json": 1}
    assert commits(monitored, monitored.pipeline.fold) == (0, 0)


def test_a_fold_takes_few_statements_however_many_columns(tmp_path):
    statements = []
    for columns in (2, 100):
        monitored = Monitored(tmp_path / str(columns), columns=columns)
        monitored.record(5)
        monitored.pipeline.fold()
        monitored.record(5)
        statements.append(commits(monitored, monitored.pipeline.fold)[1])
        monitored.close()
    assert statements[0] == statements[1]


def test_an_id_is_the_prefix_of_this_process_and_the_number_of_the_record(monitored):
    recorder = monitored.pipeline.recorder
    first = monitored.pipeline.record([0.5, 0.5, "red"], [1.0])
    (second,) = recorder.record_many([[0.5], [0.5], ["blue"]], [[1.0]])
    assert second == f"{recorder.prefix}{first + 1}"


def test_drops_stay_counted_while_they_become_a_gap(monitored, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    journal, pipeline = monitored.pipeline.recorder.journal, monitored.pipeline
    room = journal._capacity
    seen = []
    with monkeypatch.context() as patched:
        patched.setattr("monitor.capture.segment.os.posix_fallocate", refuse)
        monitored.record(room + 30)
        seen.append(pipeline.dropped)
    monitored.clock.advance(2)
    monitored.record(1)
    seen.append(pipeline.dropped)
    pipeline.fold()
    seen.append(pipeline.dropped)
    assert seen == [30, 30, 30]
    assert [tuple(row) for row in monitored.read().execute("SELECT kind, lost FROM gaps")] == [("dropped", 30)]
