"""What is read from the store for a view: bounded, cut into cells, each cell once."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.clock import ManualClock
from monitor.drift.result import MODEL, DriftResult, Span, State, Subject
from monitor.store.file.database import open_database
from monitor.store.file.folder import DataFolder
from monitor.store.records.history import HeatMap, begins, verdicts
from monitor.store.records.verdicts import save_results

START = 1_700_000_000.0 - 1_700_000_000.0 % 86400

#: The model version of the verdicts.
VERSION = "v"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    folder = DataFolder(tmp_path / "data")
    folder.open()
    connection, _ = open_database(folder, ManualClock(START))
    yield connection
    connection.close()
    folder.close()


def result(state: State, value: float | None, column: str = "x", statistic: str = "ks") -> DriftResult:
    critical = None if value is None else 0.1
    span = Span(START, START + 1800)
    return DriftResult(
        "r", column, "feature", "numeric", statistic, state, span, "training", VERSION, 10, 20, value, critical, 0.05
    )


def test_a_cell_is_the_worst_of_its_last_evaluation(connection: sqlite3.Connection) -> None:
    save_results(connection, START + 10, [result("drift", 0.9)])
    save_results(connection, START + 50, [result("ok", 0.01), result("drift", 0.15, statistic="psi")])
    save_results(connection, START + 70, [result("drift", 0.35)])
    save_results(connection, START + 130, [result("no traffic", None)])
    save_results(connection, START + 190, [result("ok", 0.01)._replace(model_version="another")])
    save_results(connection, START + 195, [result("drift", 0.9)._replace(model="another")])
    cells = HeatMap().read(connection, Subject(version=VERSION), START, START + 239, 60)
    assert cells == [
        {("feature", "x"): 4},
        {("feature", "x"): 5},
        {("feature", "x"): 1},
        {("feature", "x"): 2},
    ]


def test_cells_that_are_over_are_read_once_and_the_others_again(connection: sqlite3.Connection) -> None:
    heat_map, asked = HeatMap(), []
    save_results(connection, START + 10, [result("ok", 0.01)])
    now = START + 3599
    heat_map.read(connection, Subject(version=VERSION), START, now, 60)
    connection.set_trace_callback(asked.append)
    save_results(connection, now, [result("drift", 0.15)])
    asked.clear()
    cells = heat_map.read(connection, Subject(version=VERSION), START, now, 60)
    assert len(asked) < 12, "only the last two minutes may still change"
    assert cells[0] == {("feature", "x"): 2}
    assert cells[-1] == {("feature", "x"): 4}


def test_time_line_is_thinned_but_keeps_its_ends(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    for i in range(1000):
        save_results(connection, START + i, [result("ok", i / 1000)])
    connection.execute("COMMIT")
    points = verdicts(connection, Subject(version=VERSION), "feature", "x", "r", "ks", START, START + 999)
    assert len(points) == 120
    assert points[-1].at == START + 999
    assert [point.at for point in points] == sorted(point.at for point in points)
    assert verdicts(connection, Subject(version=VERSION), "feature", "x'; --", "r", "ks", START, START + 999) == []


def test_a_verdict_is_found_wherever_its_evaluation_has_it(connection: sqlite3.Connection) -> None:
    every = ["xab", "abx", "abx", "ab", "xab", "abcx", "x", "", "bxa"]
    for i, columns in enumerate(every):
        save_results(connection, START + 10 * i, [result("ok", i / 100)._replace(model="another")])
        save_results(connection, START + 10 * i, [result("ok", i / 10, column) for column in columns])
    points = verdicts(connection, Subject(version=VERSION), "feature", "x", "r", "ks", START, START + 100)
    there = [i for i, columns in enumerate(every) if "x" in columns]
    assert [(point.at, point.value) for point in points] == [(START + 10 * i, i / 10) for i in there]


def test_history_begins_with_what_is_stored(connection: sqlite3.Connection) -> None:
    assert begins(connection, MODEL) == math.inf
    save_results(connection, START + 10, [result("ok", 0.01)])
    assert begins(connection, MODEL) == START + 10
    assert begins(connection, "another") == math.inf
