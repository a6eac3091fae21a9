"""Outcomes of a table's rows: late, corrected, taken back, joined from another table, and killed in between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from monitor.__main__ import main
from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.errors import ConfigError, InputError, SourceError
from monitor.judging.performance import settle_time
from monitor.outcomes.join import by_hour
from monitor.outcomes.sums import Sums
from monitor.runtime import Runtime
from monitor.store.records.outcomes import read_delays, read_sums, roll_up_sums
from server.outcomes import taken
from tests.judging.test_performance import START, made, reference
from tests.source.test_table import KILLS

HOUR, DAY = 3600, 86_400
SETTINGS = """
[model]
reference = "{0}/histogram.prom"
version = "v1"
[source]
kind = "table"
url_env = "LAKE"
table = "predictions"
time = "served_at"
outcome = "came"
[outcomes]
within = "2d"
[data]
path = "{0}/data"
[[rule]]
name = "performance"
statistic = "performance"
window = "1d"
"""
JOINED = 'outcome = "came"\noutcomes = "truth"\nid = "request"'


class Lake:
    """Predictions and outcomes in a file of DuckDB."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self.rng = folder, folder / "lake.duckdb", np.random.default_rng(1)
        self.run("CREATE TABLE predictions (request INTEGER, served_at TIMESTAMP, x DOUBLE, answer TEXT, "
                 "proba_yes DOUBLE, came TEXT)")  # fmt: skip
        reference().save(folder / "histogram.prom")
        self.settings(SETTINGS.format(folder))

    def settings(self, text: str) -> None:
        (self.folder / "config.toml").write_text(text)

    def run(self, sql: str, rows: Any = None) -> list[tuple[Any, ...]]:
        with closing(duckdb.connect(str(self.path))) as connection:
            if rows is not None:
                connection.register("given", rows)
            return connection.execute(sql).fetchall()

    def add(self, begin: float, rows: int, every: float, wrong: float = 0.0) -> None:
        """Add rows with outcomes; `wrong`: share of them that are turned round."""
        x, label, score, outcome = made(self.rng, rows, wrong)
        names = {"answer": np.where(label, "yes", "no"), "came": np.where(outcome, "yes", "no")}
        times = [datetime.fromtimestamp(begin + i * every, UTC).replace(tzinfo=None) for i in range(rows)]
        (first,), *_ = self.run("SELECT count(*) FROM predictions")
        given = {"request": np.arange(rows) + first, "served_at": times, "x": x, "proba_yes": score, **names}
        self.run("INSERT INTO predictions BY NAME SELECT * FROM given", pa.table(given))

    def open(self, clock: ManualClock) -> Runtime:
        return Runtime.of_one(Config.load(self.folder / "config.toml"), reference(), "v1", clock)

    def expected(self, runtime: Runtime, end: float = np.inf) -> dict[int, Sums]:
        """As `contribute` sums up the rows that are there."""
        rows = self.run("SELECT epoch(served_at), answer = 'yes', proba_yes, came = 'yes' FROM predictions")
        given = np.array(rows, float)
        given = given[given[:, 0] < end]
        target = runtime.only.reference.target
        none = np.full(len(given), np.nan)
        times = (given[:, 0] * 1e9).astype(np.int64)
        return {hour: sums for hour, sums in by_hour(target, times, given[:, 1:3], none, given[:, 3]) if sums.n}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    found = Lake(tmp_path)
    monkeypatch.setenv("LAKE", f"duckdb://{found.path}")
    return found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def opened(lake: Lake, clock: ManualClock) -> Iterator[Runtime]:
    runtime = lake.open(clock)
    pull(runtime)
    yield runtime
    runtime.close()


def pull(runtime: Runtime) -> None:
    assert runtime.only.pulled is not None
    runtime.only.pulled.pull(runtime.fold)


def stored(runtime: Runtime) -> dict[tuple[int, int], Sums]:
    series = runtime.only.series
    return runtime.writer.call(lambda connection: read_sums(connection, series, 0, 1e12))


def assert_same(runtime: Runtime, ours: dict[int, Sums]) -> None:
    theirs = {start: sums for (start, _), sums in stored(runtime).items() if sums.n}
    assert theirs.keys() == ours.keys()
    for hour, sums in ours.items():
        np.testing.assert_array_equal(theirs[hour].counts, sums.counts)
        np.testing.assert_allclose(theirs[hour].moments, sums.moments, rtol=1e-9, atol=1e-9)


def test_outcomes_come_late_are_corrected_and_taken_back(lake, clock, opened):
    lake.add(START, 300, 60)
    lake.run("UPDATE predictions SET came = NULL WHERE request % 3 = 0")
    clock.advance(6 * HOUR)
    pull(opened)
    assert_same(opened, lake.expected(opened))
    for sql in ("came = 'no' WHERE request % 2 = 0", "came = NULL WHERE request < 70", "came = 'maybe' WHERE x > 1"):
        lake.run(f"UPDATE predictions SET {sql}")
        clock.advance(HOUR)
        pull(opened)
        if "maybe" not in sql:
            assert_same(opened, lake.expected(opened))
    lake.run("UPDATE predictions SET came = NULL")
    clock.advance(HOUR)
    pull(opened)
    assert not any(sums.counts.any() or sums.moments.any() for sums in stored(opened).values())


def test_the_statements_for_outcomes_are_shown_and_can_be_run(lake, clock, opened):
    lake.add(START, 100, 60)
    clock.advance(3 * HOUR)
    for more in ("", "joined"):
        if more:
            lake.run("CREATE TABLE truth AS SELECT request, came FROM predictions")
            opened.only.pulled.settings = replace(opened.only.pulled.settings, id="request", outcomes="truth")
        *_, asked = opened.only.pulled.statements()
        # Two for the counts; how classes are spelled, twice; cells and moments; if joined, the ids before.
        assert len(asked) == 2 + 4 + bool(more)
        for sql, _ in asked:
            lake.run(sql)


def test_the_same_again_changes_nothing(lake, clock, opened):
    lake.add(START, 100, 60)
    for _ in range(3):
        clock.advance(3 * HOUR)
        before = opened.writer.call(lambda connection: connection.total_changes)
        pull(opened)
        changed = opened.writer.call(lambda connection: connection.total_changes) - before
        sums = opened.writer.call(lambda connection: connection.execute("SELECT * FROM performance_sums").fetchall())
        assert len(sums) == 2
    assert changed < 10
    assert_same(opened, lake.expected(opened))


def test_an_outcome_that_is_later_than_within_is_none(lake, clock, opened):
    lake.add(START, 20, 60)
    lake.run("UPDATE predictions SET came = NULL WHERE request < 10")
    clock.advance(3 * HOUR)
    pull(opened)
    lake.run("UPDATE predictions SET came = 'yes'")
    clock.advance(2 * DAY)
    pull(opened)
    assert sum(sums.n for sums in stored(opened).values()) == 10


def test_rows_from_before_the_start_have_no_outcomes(lake, clock, opened):
    lake.add(START - HOUR, 180, 60)
    clock.advance(3 * HOUR)
    pull(opened)
    assert_same(opened, {hour: sums for hour, sums in lake.expected(opened).items() if hour >= START})


def test_days_that_were_rolled_up_stay_as_they_are(lake, clock, opened):
    lake.add(START, 100, 600)
    clock.advance(DAY)
    pull(opened)
    opened.writer.call(lambda connection: roll_up_sums(connection, START + DAY))
    before = stored(opened)
    assert (START // DAY * DAY, DAY) in before
    lake.run("UPDATE predictions SET came = 'no'")
    clock.advance(HOUR)
    pull(opened)
    day = (START // DAY * DAY, DAY)
    assert stored(opened)[day].to_json() == before[day].to_json()


def test_outcomes_in_another_table_are_joined_in_the_engine(lake, clock):
    lake.settings(SETTINGS.format(lake.folder).replace('outcome = "came"', JOINED))
    with closing(lake.open(clock)) as runtime:
        pull(runtime)
        lake.add(START, 200, 60)
        lake.run("CREATE TABLE truth AS SELECT request, came FROM predictions WHERE request % 3 > 0")
        lake.run("UPDATE predictions SET came = NULL WHERE request % 3 = 0")
        ours = lake.expected(runtime)
        lake.run("ALTER TABLE predictions DROP came")
        lake.run("INSERT INTO truth VALUES (1, NULL)")
        clock.advance(4 * HOUR)
        pull(runtime)
        assert_same(runtime, ours)
        lake.run("INSERT INTO truth VALUES (1, 'yes')")
        clock.advance(HOUR)
        with pytest.raises(SourceError, match="several rows have the same 'request', in the table or in truth"):
            pull(runtime)
        lake.run("ALTER TABLE truth DROP came")
        with pytest.raises(SourceError, match="'came'"):
            pull(runtime)
        assert_same(runtime, ours)


def test_a_model_that_gets_worse_is_told_from_a_table(lake, clock, opened):
    states = []
    for step in range(8):
        lake.add(START + step * 6 * HOUR, 180, 120, wrong=0.4 * (step > 3))
        clock.advance(6 * HOUR)
        pull(opened)
        opened.evaluate()
        found = {(one.column, one.statistic): one for one in opened.only.latest.results}
        states.append(found["performance", "accuracy"].state)
    assert (states[3], states[-1]) == ("ok", "drift")
    firing = {key.column for key, alert in opened.only.latest.alerts.items() if alert.state == "firing"}
    assert "performance" in firing


def test_delays_are_those_between_looks(lake, clock, opened):
    lake.add(START, 60, 60)
    lake.run("UPDATE predictions SET came = NULL WHERE request < 40")
    clock.advance(2 * HOUR)
    pull(opened)
    series = opened.only.series
    assert not opened.writer.call(lambda connection: read_delays(connection, series))[0].any(), "nobody knows"
    lake.run("UPDATE predictions SET came = 'yes' WHERE request < 40")
    clock.advance(8 * HOUR)
    pull(opened)
    delays, seconds = opened.writer.call(lambda connection: read_delays(connection, series))
    assert (delays.sum(), seconds) == (40, 40 * 9.5 * HOUR)
    assert 9.5 * HOUR < settle_time(delays) < 20 * HOUR


def test_a_process_that_is_killed_counts_no_outcome_twice(lake, clock):
    lake.add(START, 400, 300)
    # What was counted of an hour or two, then the sums of outcomes: before, after and in the commit of these.
    points = [("fold.begin", 3), ("fold.committed", 1), ("fold.committed", 2), ("store.commit", 4), ("", 0)]
    now = START + 6 * DAY
    script = KILLS.format(now=now, begin=START, points=points).replace("at + 3)", "1.5 + at / 24)")
    given = [sys.executable, "-c", script, str(lake.folder / "config.toml")]
    done = subprocess.run(given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["9"] * 4 + ["0"], done.stderr
    with closing(lake.open(ManualClock(now))) as runtime:
        assert_same(runtime, lake.expected(runtime))


def test_what_cannot_be_is_said(lake, clock, opened, capsys):
    given = SETTINGS.format(lake.folder)
    for old, new, words in (
        ("[outcomes]\nwithin = ", "[drift]\nwindow = ", "outcomes are taken if there is a section"),
        ('outcome = "came"', 'outcome = "came"\noutcomes = "truth"', "`outcomes` and `id` go together"),
        ('outcome = "came"', "", "a table has `outcome`"),
    ):
        rules = given.index("[[rule]]")
        with pytest.raises(ConfigError, match=words):
            Config.from_text(given[:rules].replace(old, new))
    with pytest.raises(InputError, match="counts come from table predictions"):
        taken(opened.only)
    (lake.folder / "came.csv").write_text("request,came\n1,yes\n")
    config = str(lake.folder / "config.toml")
    opened.close()
    given = ["outcomes", "--config", config, str(lake.folder / "came.csv"), "--id", "request", "--outcome", "came"]
    assert main(given) == 1
    assert "counts come from table predictions" in capsys.readouterr().err
    lake.run("ALTER TABLE predictions RENAME came TO went")
    clock.advance(3 * HOUR)
    with closing(lake.open(clock)) as runtime, pytest.raises(SourceError, match="'came'"):
        pull(runtime)


def test_hours_of_a_version_that_was_replaced_stay_its_own(lake, clock):
    lake.add(START, 240, 60)
    with closing(lake.open(clock)) as runtime:
        pull(runtime)
        clock.advance(2 * HOUR)
        pull(runtime)
        ours = {hour: sums for hour, sums in lake.expected(runtime).items() if hour < START + HOUR}
    with closing(Runtime.of_one(runtime.config, reference(), "v2", clock)) as runtime:
        clock.advance(4 * HOUR)
        pull(runtime)
        theirs = lake.expected(runtime)
        assert min(start for start, _ in stored(runtime)) == START + 2 * HOUR
        assert_same(runtime, {hour: sums for hour, sums in theirs.items() if hour >= START + 2 * HOUR})
        rows = runtime.writer.call(
            lambda connection: connection.execute("SELECT DISTINCT series_id, start FROM performance_sums").fetchall()
        )
        assert {start for series, start in rows if series != runtime.only.series.id} >= ours.keys()
