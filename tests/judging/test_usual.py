"""What is usual, live, over the real store: weeks of hours pass under a hand-moved clock."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import monitor.judging.usual
from monitor.backtest.suggest import describe, suggest
from monitor.clock import iso
from monitor.drift.result import DriftResult, Span
from monitor.judging.usual import Past
from monitor.normal.expected import Grid
from monitor.normal.usual import Learner, Replayed
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify
from monitor.store.windows.rows import load_version
from tests.store.world import DAY, HOUR, MIDNIGHT, Monitored

RULE = """
[drift]
every = "1h"
windows = ["6h", "1d"]
{more}
[window]
base = "1h"
[[rule]]
name = "unusual"
reference = "usual"
"""


class Weeks(Monitored):
    """Hours with a daily rhythm; evaluated at each of the last ones."""

    def pass_hours(self, hours: int, rows: int = 40, shift: float = 0.0, judge: bool = True, every: int = 1) -> None:
        for _ in range(hours):
            now = self.clock.time()
            rhythm = np.sin((now % DAY) / DAY * 2 * np.pi)
            self.record(rows, shift + rhythm)
            self.clock.advance(HOUR)
            hour = round(self.clock.time() // HOUR)
            if judge and hour % every == 0:
                self.runtime.evaluate()
            elif hour % 24 == 0:
                self.runtime.fold()

    def results(self, column: str = "x0") -> list[DriftResult]:
        return [r for r in self.runtime.only.latest.results if r.rule == "unusual" and r.column == column]

    def messages(self) -> list[dict[str, Any]]:
        with self.read() as connection:
            rows = connection.execute("SELECT message FROM notifications WHERE receiver = 'log' ORDER BY id")
            return [json.loads(row[0]) for row in rows]


WEEK = 7 * DAY


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[Path, np.random.Generator]]:
    """A data folder with some weeks that were recorded and never judged, and what draws the rows that follow."""

    @cache
    def past(weeks: int) -> tuple[Path, np.random.Generator]:
        folder = tmp_path_factory.mktemp("weeks") / "data"
        with closing(Weeks(folder, RULE.format(more=""))) as world:
            world.pass_hours(weeks * 7 * 24, judge=False)
        return folder, world.random

    return past


@pytest.fixture
def make(tmp_path: Path, past: Callable[[int], tuple[Path, np.random.Generator]]) -> Iterator[Any]:
    worlds: list[Weeks] = []

    def make(more: str = "", weeks: int = 0, **options: Any) -> Weeks:
        """Open a world, if asked for after some weeks that were recorded only."""
        settings = options.pop("settings", RULE.format(more=more))
        folder = options.pop("folder", tmp_path / "data")
        if weeks:
            recorded, random = past(weeks)
            shutil.copytree(recorded, folder)
            options["start"] = MIDNIGHT + weeks * WEEK
        worlds.append(Weeks(folder, settings, **options))
        if weeks:
            worlds[-1].random = copy.deepcopy(random)
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def test_a_lasting_shift_is_told_once_and_explained(make: Any) -> None:
    world = make(weeks=6)
    world.pass_hours(12, every=6)
    assert not world.messages()
    assert world.runtime.only.latest.learning == ""  # the hours that were stored before count
    world.pass_hours(7 * 24, shift=1.0, every=6)
    (message,) = world.messages()
    assert message["kind"] == "firing"
    assert {entry["column"] for entry in message["entries"]} <= {"x0", "x1", "colour", "prediction"}
    assert "x0" in {entry["column"] for entry in message["entries"]}
    results = world.results()
    assert [r.statistic for r in results] == ["usual 6h", "usual 1d"]
    for result in results:  # what /metrics exports: value and limit in units of the scatter
        assert result.value is not None
        assert result.critical is not None
        assert result.scatter is not None
        assert result.value > result.critical >= 3.5 * result.scatter > 0
    assert all(" usual " in r.reason and ", and the largest in 6 weeks was" in r.reason for r in results)
    with world.read() as connection:
        report = verify(connection)
        assert not report.problems
        stored = connection.execute("SELECT count(*) FROM drift WHERE rule = 'unusual'").fetchone()[0]
        assert stored
        assert connection.execute("SELECT count(*) FROM usual_learned").fetchone()[0] >= 8
        done = recompute(connection, past=Past(connection))
        assert (done.problems, done.skipped, done.verdicts) == ([], 0, stored)
        (scatter,) = connection.execute("SELECT scatter FROM drift WHERE id = (SELECT max(id) FROM drift)").fetchone()
        assert scatter in {result.to_json()["scatter"] for result in world.runtime.only.latest.results}
        connection.execute("UPDATE drift SET scatter = 2 * scatter WHERE id = (SELECT max(id) FROM drift)")
        (problem,) = recompute(connection, past=Past(connection)).problems
        assert problem.what.startswith("scatter is stored as")
        connection.execute("UPDATE usual_weeks SET worst = replace(worst, '[', '[9')")
        assert recompute(connection, past=Past(connection)).problems


def test_what_comes_late_is_counted_and_makes_no_false_difference(make: Any) -> None:
    world = make(settings='keep_minutes = "1d"' + RULE.format(more="").replace('base = "1h"', 'base = "30m"'))

    def again() -> tuple[int, int]:
        with world.read() as connection:
            done = recompute(connection, past=Past(connection))
        assert not done.problems
        return done.verdicts, done.skipped

    def maintain() -> None:
        for _ in range(100):
            world.runtime.maintenance.work_off(world.runtime.writer, world.clock.time())

    world.pass_hours(5 * 7 * 24, judge=False)
    maintain()
    world.pass_hours(12)
    before, _ = again()
    assert again() == (before, 0)
    late = world.clock.time() - 10 * HOUR
    world.record(7, shift=2.0, at=late)  # its hour was rolled up and read
    world.record(7, shift=2.0, at=world.clock.time() - 60)  # in the window that was judged just now
    world.pass_hours(12)
    judged, skipped = again()
    assert before / 2 < skipped < before  # those that were judged by what had not come yet
    assert judged > 50
    world.record(3, at=late - 2 * DAY)  # is rolled up at once
    for _ in range(3):
        world.pass_hours(24, every=6)
        world.record(2, at=world.clock.time() - 60)  # is rolled up with its hour
        maintain()
    with world.read() as connection:
        rows = connection.execute("SELECT seconds, n FROM windows WHERE start = ? AND finest ORDER BY id", (late,))
        assert [tuple(row) for row in rows] == [(HOUR, 40), (HOUR, 7)]
    judged, skipped = again()
    assert skipped > 2 * before
    assert judged > 40


def test_a_long_history_is_replayed_over_several_evaluations(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor.judging.usual, "REPLAYED", 1)
    world = make(weeks=5)
    judged = []
    for _ in range(12):  # four columns, two lengths: one of the eight at a time
        world.pass_hours(1)
        judged.append(len(world.runtime.only.latest.results))
    assert judged == sorted(judged)
    assert judged[0] == 1
    assert judged[-1] == 8
    assert not world.messages()


def test_a_history_that_says_too_little_is_replayed_once_a_day_and_when_it_changes(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed: list[int] = []
    run = Learner.run

    def counted(self: Learner, grid: Grid, start: int, end: int, weeks: float) -> Replayed:
        replayed.append(end + grid.first)
        return run(self, grid, start, end, weeks)

    monkeypatch.setattr(Learner, "run", counted)
    world = make()
    world.pass_hours(4 * 24, rows=2, every=6)  # too few for any window
    days = [hour // 24 for hour in replayed]
    assert {days.count(day) for day in set(days)} == {8}  # four columns, two lengths
    assert not world.results()
    replayed.clear()
    world.pass_hours(1, rows=2)  # of a day that was looked at
    world.pass_hours(1, rows=2)
    assert not replayed
    for hours in range(4 * 24):  # and now the predictions of all those days
        world.record(40, at=world.clock.time() - HOUR * (hours + 3))
    world.pass_hours(1, rows=2)
    assert len(replayed) == 8
    assert world.results()[0].n


def test_a_restart_goes_on_where_the_last_process_was(make: Any, tmp_path: Path) -> None:
    world = make(weeks=5)
    world.pass_hours(30, every=6)
    before = {(r.column, r.statistic): (r.value, r.critical) for r in world.runtime.only.latest.results}
    assert before
    now = world.clock.time()
    world.close()
    again = make(folder=tmp_path / "data", start=now)
    again.runtime.evaluate()
    after = {(r.column, r.statistic): (r.value, r.critical) for r in again.runtime.only.latest.results}
    assert after.keys() == before.keys()
    for key, pair in before.items():
        assert after[key] == pytest.approx(pair)
    assert not again.messages()


def test_each_column_is_drawn_over_what_it_was_compared_with(make: Any, tmp_path: Path) -> None:
    world = make(weeks=5)
    world.pass_hours(1)
    now = world.clock.time()
    world.close()
    with closing(sqlite3.connect(tmp_path / "data" / "telltale.db")) as connection, connection:
        connection.execute("UPDATE usual_learned SET predictor = position % 2")
    again = make(folder=tmp_path / "data", start=now)
    again.runtime.evaluate()
    for judged in again.runtime.only.latest.judged:
        rows = [int(counts.sum()) for counts in again.reference.schema.split(judged.reference.counts)]
        assert rows == [result.m for result in judged.results]
        assert {result.reference for result in judged.results} == {"usual level", "usual at this hour"}
        assert max(rows) > 3 * min(rows)


def test_no_history_is_learning_and_says_nothing(make: Any) -> None:
    world = make()
    world.pass_hours(24, shift=3.0)
    assert world.runtime.only.latest.learning == "learning what is usual, day 2 of 28"
    assert not world.runtime.only.latest.results
    assert not world.messages()


def test_clocks_that_are_set_back_or_far_ahead(make: Any) -> None:
    world = make(weeks=4)
    world.pass_hours(6)
    world.clock.advance(-48 * HOUR)
    world.runtime.evaluate()
    assert all(r.state in ("ok", "warning", "insufficient data") for r in world.results())
    world.clock.advance(40 * DAY)
    world.runtime.evaluate()
    assert {r.state for r in world.results()} <= {"no traffic"}
    assert not world.messages()


Features = list[Any]


class Odd(Weeks):
    """Another mean of x1, and what befalls the features from some hour on."""

    befalls: Callable[[Features], object] = staticmethod(lambda _features: None)

    def record(self, rows: int = 20, shift: float = 0.0, colour: str = "", at: float | None = None) -> None:
        when = None if at is None else np.full(rows, round(at * 1e9), dtype=np.int64)
        features: Features = [self.random.normal(mean + shift, 1.0, rows) for mean in (0.0, 1.5)]
        features.append(self.random.choice(["red", "green", "blue"], rows).tolist())
        self.befalls(features)
        self.runtime.only.recorder.record_many(features, [self.random.normal(size=rows)], when)


def constant(value: float) -> Callable[[Features], None]:
    return lambda features: features[0].fill(value)


def swapped(features: Features) -> None:
    features[0], features[1] = features[1], features[0]


def missing(features: Features) -> None:
    features[0] = [None] * len(features[0])


@pytest.mark.parametrize(
    ("before", "befalls", "moved", "words"),
    [
        (constant(0.5), constant(0.7), {"x0"}, "of its values are other than usual"),
        (None, missing, {"x0"}, "missing share"),
        (None, swapped, {"x0", "x1"}, " usual in the last weeks"),
    ],
    ids=["a constant that moves", "all rows missing", "two columns exchanged"],
)
def test_bad_input_is_said_in_words_and_the_other_columns_go_on(
    tmp_path: Path, before: Any, befalls: Callable[[Features], None], moved: set[str], words: str
) -> None:
    world = Odd(tmp_path / "data", RULE.format(more=""))
    world.befalls = before or world.befalls
    world.pass_hours(5 * 7 * 24, judge=False)
    world.pass_hours(6, every=6)
    world.befalls = befalls
    world.pass_hours(24, every=6)
    results = [result for result in world.runtime.only.latest.results if result.rule == "unusual"]
    (message,) = world.messages()
    world.close()
    assert {entry["column"] for entry in message["entries"]} == moved
    assert {result.column for result in results if result.state == "drift"} == moved
    assert all(words in result.reason for result in results if result.state == "drift")
    assert {result.column for result in results if result.state in ("ok", "warning")} | moved == {
        *("x0", "x1", "colour", "prediction")
    }
    assert len(results) == 8


@pytest.mark.parametrize(
    ("rows", "hole", "ahead"),
    [(80, 0, 0), (40, 30, 0), (40, 0, 40)],
    ids=["traffic doubles", "a month without rows", "rows from the future"],
)
def test_traffic_alone_is_told_in_no_message(make: Any, rows: int, hole: int, ahead: int) -> None:
    world = make(weeks=9)
    world.pass_hours(6, every=6)
    if ahead:
        world.record(500, shift=9.0, at=world.clock.time() + ahead * DAY)
    world.clock.advance(hole * DAY)
    world.runtime.evaluate()
    if hole:
        assert {(r.state, r.reason) for r in world.results()} == {("no traffic", "no rows in this window")}
    world.pass_hours(8 * 24, rows=rows, every=6)
    assert {r.state for r in world.runtime.only.latest.results} <= {"ok", "warning"}
    assert len(world.runtime.only.latest.results) == 8
    assert not world.messages()


def test_a_partial_window_is_judged_by_its_hours_live_and_in_the_audit(make: Any) -> None:
    world = make(weeks=5)
    world.pass_hours(6, every=6)
    world.clock.advance(12 * HOUR)
    world.runtime.evaluate()
    short, day = world.results()
    assert (short.state, day.state, day.n) == ("no traffic", "ok", 480)
    assert day.reference == "usual at this hour"
    world.pass_hours(6, shift=2.0, every=6)
    day = world.results()[1]
    assert (day.state, day.n) == ("drift", 480)
    assert "in the hours that it has; so large a difference comes " in day.reason
    with world.read() as connection:
        done = recompute(connection, past=Past(connection))
        assert (done.problems, done.skipped) == ([], 0)


def test_a_frozen_sensor_is_told_though_a_normal_day_is_within_one_bin(make: Any) -> None:
    world = make()

    def pass_hours(hours: int, noise: float, judge: bool = True) -> None:
        for _ in range(hours):
            level = np.sin(world.clock.time() // (2 * DAY))  # the air pressure of two days
            columns = [level + noise * world.random.random(10), world.random.normal(size=10)]
            features: list[object] = [*(one.tolist() for one in columns), ["red", "green"] * 5]
            world.runtime.only.recorder.record_many(features, [world.random.normal(size=10)])
            world.clock.advance(HOUR)
            if judge:
                world.runtime.evaluate()
            elif world.clock.time() % DAY == 0:
                world.runtime.fold()

    pass_hours(6 * 7 * 24, 0.01, judge=False)
    pass_hours(12, 0.01)
    assert not world.messages()
    pass_hours(12, 0.0)
    (message,) = world.messages()
    (entry,) = message["entries"]
    assert entry["column"] == "x0"
    assert entry["explained"].startswith("one value was repeated for the last 4 hours that had any; the longest such ")
    with world.read() as connection:
        done = recompute(connection, past=Past(connection))
        assert (done.problems, done.skipped) == ([], 0)
    pass_hours(24 + 12, 0.01)
    assert {r.state for r in world.results()} == {"ok"}


def test_a_week_of_history_says_which_day_it_is(make: Any) -> None:
    world = make()
    world.pass_hours(7 * 24, judge=False)
    world.pass_hours(6, every=6)
    assert world.runtime.only.latest.learning == "learning what is usual, day 8 of 28"
    assert not world.messages()


def test_a_model_served_with_the_reference_of_another_differs_from_training(make: Any) -> None:
    world = make('[[rule]]\nname = "drift"\nwindow = "1d"')
    world.pass_hours(24, shift=6.0, every=6)
    found = {r.column: r for r in world.runtime.only.latest.results if (r.rule, r.state) == ("drift", "drift")}
    assert found.keys() == {"x0", "x1"}
    assert all("out of range" in str(r.direction) or "mean" in str(r.direction) for r in found.values())
    assert len(world.messages()) == 1
    world.pass_hours(5 * 7 * 24, shift=6.0, judge=False)
    world.pass_hours(6, shift=6.0, every=6)
    assert {r.state for r in world.results()} <= {"ok", "warning"}, "usual is what it has been"


def test_a_slow_ramp_is_caught_by_the_state(make: Any) -> None:
    world = make('[[rule]]\nname = "drift"\nwindow = "1d"')
    day = -28
    while not world.messages() and day < 8 * 7:
        for _ in range(2):
            world.record(480, max(day, 0) / (8 * 7))
            world.clock.advance(12 * HOUR)
            world.runtime.evaluate()
        day += 1
    (message,) = world.messages()
    assert (message["kind"], message["group"]) == ("firing", "drift")
    assert {entry["column"] for entry in message["entries"]} <= {"x0", "x1"}
    assert 0 < day < 4 * 7


def test_quiet_days_are_not_judged(make: Any) -> None:
    begin = MIDNIGHT + 5 * 7 * DAY
    world = make(f'quiet = ["{iso(begin)[:10]}/{iso(begin)[:10]}"]', weeks=5)
    world.pass_hours(24, shift=3.0, every=6)
    world.pass_hours(30, every=6)
    assert not world.messages()


def test_a_suggestion_says_what_would_be_told_and_what_is_not_missed(make: Any) -> None:
    world = make(weeks=9)
    world.pass_hours(48, shift=2.0, judge=False)
    world.runtime.fold()
    with world.read() as connection:
        series = load_version(connection)
        span = Span(MIDNIGHT, world.clock.time())
        done = suggest(connection, series, world.config.drift, 1.0, span)
        strict = suggest(connection, series, world.config.drift, 0.01, span)
    assert done
    assert strict
    assert done.lengths == (6, 24)
    x0 = next(one for one in done.found if one.column == "x0")
    assert x0.told[-1] - (MIDNIGHT + 9 * 7 * DAY) <= 12 * HOUR
    assert x0.smallest is not None
    assert 0.1 < x0.smallest < 1.5
    assert sum(strict.found[0].limits.values()) > sum(done.found[0].limits.values())
    assert "a budget of 1 a month" in describe(done)[0]
