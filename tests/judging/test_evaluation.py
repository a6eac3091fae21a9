"""The judging half over the real store: windows of several lengths, references, rules that fail, restarts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.backtest.rejudge import judge
from monitor.clock import from_iso, iso
from monitor.drift.evaluate import Question
from monitor.drift.evaluate import evaluate as drift_evaluate
from monitor.drift.result import DriftResult, Span
from monitor.errors import StoreError
from monitor.judging import evaluation as evaluation_module
from monitor.judging.evaluation import Evaluation, reach_back
from monitor.report.overview import against_what, rows
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify
from monitor.store.records import references
from monitor.store.windows.rows import load_series
from tests.store.world import HOUR, MIDNIGHT, MINUTE, Monitored


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    worlds: list[Monitored] = []

    def make(settings: str = "", **options: Any) -> Monitored:
        worlds.append(Monitored(tmp_path / f"data{len(worlds)}", settings, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def of_rule(evaluation: Evaluation, rule: str, column: str = "x0") -> DriftResult:
    return next(r for r in evaluation.results if (r.rule, r.column, r.statistic) == (rule, column, "ks"))


# Windows.


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), max_size=20, unique_by=lambda one: one[0]),
    st.integers(0, 50),
    st.integers(1, 100),
)
def test_no_window_reaches_further_than_it_must(sizes: list[tuple[int, int]], start: int, least: int) -> None:
    sizes.sort()
    begin = reach_back(sizes, start, least)
    held = sum(n for at, n in sizes if at >= begin)
    later = sum(n for at, n in sizes if at > begin)
    assert begin <= start
    if begin < start:
        assert later < least
    assert held >= least or held == sum(n for _, n in sizes)


def test_low_traffic_reaches_back_until_there_is_enough_and_says_so(make: Any) -> None:
    world = make('[drift]\nmin_samples = 60\n[[rule]]\nname = "low"\nwindow = "5m"\nmax_age = "1h"')
    world.minutes(30, rows=4)
    found = of_rule(world.runtime.only.latest, "low")
    # 60 rows are the last 15 minutes, four a minute.
    assert (found.n, found.state) == (60, "ok")
    assert found.window == Span(MIDNIGHT + 15 * MINUTE, MIDNIGHT + 30 * MINUTE)
    world.minutes(2, rows=100)
    assert of_rule(world.runtime.only.latest, "low").window.start == MIDNIGHT + 27 * MINUTE


def test_a_window_reaches_no_further_than_its_greatest_age(make: Any) -> None:
    world = make('[drift]\nmin_samples = 60\n[[rule]]\nname = "low"\nwindow = "5m"\nmax_age = "10m"')
    world.minutes(30, rows=4)
    found = of_rule(world.runtime.only.latest, "low")
    assert (found.n, found.state) == (40, "insufficient data")
    assert found.window.start == MIDNIGHT + 20 * MINUTE


THREE = """
[[rule]]
name = "short"
window = "5m"
[[rule]]
name = "middle"
window = "30m"
[[rule]]
name = "long"
window = "24h"
"""


def test_a_window_that_is_still_filling_is_partial_live_in_a_backtest_and_in_the_audit(make: Any) -> None:
    world = make('[[rule]]\nname = "wide"\nwindow = "1d"\n[[rule]]\nname = "short"\nwindow = "30m"')
    world.minutes(3, rows=100, shift=1.0)
    wide, short = (of_rule(world.runtime.only.latest, rule) for rule in ("wide", "short"))
    assert (wide.state, wide.n, wide.value, short.state) == ("insufficient data", 300, None, "drift")
    assert wide.reason == "partial window: it holds 3 minutes of 1 day, and is judged from half on"
    world.clock.advance(12 * HOUR)
    world.minutes(1, rows=100, shift=1.0)
    assert of_rule(world.runtime.only.latest, "wide").state == "drift"
    with world.read() as connection:
        model = load_series(connection, 1)
        moments = list(judge(connection, model, world.config, MIDNIGHT, world.clock.time()))
        again = [
            next(one for one in moment.results() if (one.rule, one.column, one.statistic) == ("wide", "x0", "ks"))
            for moment in (moments[2], moments[-1])
        ]
        assert [(one.state, one.reason) for one in again] == [("insufficient data", wide.reason), ("drift", "")]
        assert moments[2].judged < moments[-1].judged
        done = recompute(connection)
        assert (done.problems, done.skipped) == ([], 0)


def test_rules_over_several_windows_at_once(make: Any) -> None:
    world = make(THREE)
    world.minutes(60, rows=12)
    world.minutes(8, rows=12, shift=1.0)
    latest = world.runtime.only.latest
    assert [of_rule(latest, rule).n for rule in ("short", "middle", "long")] == [60, 360, 68 * 12]
    ends = {of_rule(latest, rule).window.end for rule in ("short", "middle", "long")}
    assert ends == {MIDNIGHT + 68 * MINUTE}
    assert of_rule(latest, "short").state == "drift"
    assert of_rule(latest, "long").state != "drift"


# Rules that fail.


def test_a_rule_that_raises_takes_no_other_with_it(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make('[[rule]]\nname = "good"\n[[rule]]\nname = "bad"\nwindow = "10m"')
    world.minutes(40, rows=20, shift=1.0)
    firing = {key: alert for key, alert in world.runtime.only.latest.alerts.items() if alert.state == "firing"}
    assert {key[0] for key in firing} == {"good", "bad"}

    def evaluate(question: Question, *rest: Any) -> Sequence[DriftResult]:
        if question.name == "bad":
            raise ZeroDivisionError("a bug")
        return drift_evaluate(question, *rest)

    monkeypatch.setattr(evaluation_module, "evaluate", evaluate)
    world.minutes(1, rows=20, shift=1.0)
    latest = world.runtime.only.latest
    assert {result.rule for result in latest.results} == {"good"}
    for key, alert in firing.items():
        if key[0] == "bad":
            now = latest.alerts[key]
            assert (now.state, now.since, now.event_id) == ("firing", alert.since, alert.event_id)
    assert list(world.runtime.only.evaluator.failing) == ["bad"]
    assert any("bad" in str(check) for check in world.runtime.condition.checks())
    monkeypatch.undo()
    world.minutes(1, rows=20, shift=1.0)
    assert not world.runtime.only.evaluator.failing


# Restarts.


def events(world: Monitored) -> list[tuple[Any, ...]]:
    with world.read() as connection:
        rows = connection.execute(
            'SELECT at, rule, "column", before, after, statistic, value, event_id FROM alert_events'
        )
        return [tuple(row) for row in rows]


HELD = '[[rule]]\nname = "held"\nwindow = "5m"\nfor = "3m"\nkeep_firing_for = "3m"\n[[rule]]\nname = "at-once"'


def play(world: Monitored, restarts: Sequence[int]) -> list[tuple[Any, ...]]:
    """Twelve quiet minutes, twelve with drift, twelve quiet ones; the process ends before some of them."""
    for minute in range(36):
        if minute in restarts:
            random = world.random
            world.close()
            again = Monitored(world.folder, HELD, start=world.clock.time())
            world.runtime, world.clock, world.random = again.runtime, again.clock, random
        world.minutes(1, rows=20, shift=1.5 if 12 <= minute < 24 else 0.0)
    return events(world)


def test_restarts_change_no_event(make: Any) -> None:
    expected = play(make(HELD), [])
    assert {(row[1], row[4]) for row in expected} >= {("held", "pending"), ("held", "firing"), ("held", "resolved")}
    # While pending, while firing, while the condition is gone but the alert is held, and afterwards.
    assert play(make(HELD), [14, 18, 25, 28, 33]) == expected


# Accepted references.


def apply(world: Monitored, what: dict[str, Any]) -> None:
    world.runtime.change(what)


def accept(world: Monitored, start: float, end: float, least: int = 50, columns: Sequence[int] = ()) -> None:
    who = {"author": "ann", "reason": "a new supplier", "columns": list(columns)}
    apply(world, {"kind": "accept", "start": start, "end": end, "least": least, **who})


def test_an_accepted_stretch_is_the_new_normal_until_it_is_reset(make: Any) -> None:
    world = make()
    world.minutes(60, rows=20, shift=1.0)
    assert of_rule(world.runtime.only.latest, "drift").state == "drift"
    accept(world, MIDNIGHT, MIDNIGHT + HOUR)
    world.minutes(30, rows=20, shift=1.0)
    found = of_rule(world.runtime.only.latest, "drift")
    assert (found.state, found.m) == ("ok", 1200)
    assert found.reference == f"accepted {iso(MIDNIGHT)}/{iso(MIDNIGHT + HOUR)} #1"
    listed = rows(world.runtime.only.latest, world.reference)
    assert {against_what(row) for row in listed} == {"the accepted period 15 Nov 2023, 00:00 to 01:00 UTC"}
    (x0,) = [row for row in listed if row.column.name == "x0"]
    assert x0.judged
    assert x0.judged.reference.sums[x0.position] / 1200 == pytest.approx(1.0, abs=0.1)
    apply(world, {"kind": "reset", "author": "bob", "reason": "by mistake", "columns": []})
    world.minutes(1, rows=20, shift=1.0)
    found = of_rule(world.runtime.only.latest, "drift")
    assert found.state == "drift"
    assert found.reference.startswith("training ")
    with world.read() as connection:
        told = references.changes(connection)
        assert [(c["action"], c["author"], c["reason"], c["in_force"]) for c in told] == [
            ("reset", "bob", "by mistake", []),
            ("accept", "ann", "a new supplier", []),
        ]
        assert told[0]["columns"] == told[1]["columns"] == ["x0", "x1", "colour", "prediction"]
        assert from_iso(told[1]["at"]) == MIDNIGHT + HOUR


def test_columns_are_accepted_and_reset_one_by_one(make: Any) -> None:
    world = make()
    world.minutes(60, rows=20, shift=1.0)
    accept(world, MIDNIGHT, MIDNIGHT + HOUR, columns=[0])
    world.minutes(30, rows=20, shift=1.0)
    found = {result.column: result for result in world.runtime.only.latest.results if result.statistic == "ks"}
    accepted = f"accepted {iso(MIDNIGHT)}/{iso(MIDNIGHT + HOUR)} #1"
    assert (found["x0"].state, found["x0"].m, found["x0"].reference) == ("ok", 1200, accepted)
    assert (found["x1"].state, found["x1"].m) == ("drift", 2000)
    assert found["x1"].reference.startswith("training ")
    (row,) = [row for row in rows(world.runtime.only.latest, world.reference) if row.column.name == "x1"]
    assert against_what(row) == "the training data"
    accept(world, MIDNIGHT, MIDNIGHT + HOUR, columns=[0, 1])
    world.minutes(1, rows=20, shift=1.0)
    assert {r.state for r in world.runtime.only.latest.results if r.column in ("x0", "x1")} == {"ok"}
    apply(world, {"kind": "reset", "author": "bob", "reason": "no", "columns": [0]})
    world.minutes(1, rows=20, shift=1.0)
    states = {(r.column, r.state) for r in world.runtime.only.latest.results if r.statistic == "ks"}
    assert ("x0", "drift") in states
    assert ("x1", "ok") in states
    world.close()
    with world.read() as connection:
        told = [(c["action"], c["columns"], c["in_force"]) for c in references.changes(connection)]
        assert told == [("reset", ["x0"], []), ("accept", ["x0", "x1"], ["x1"]), ("accept", ["x0"], [])]
        assert verify(connection).problems == []
        done = recompute(connection)
        assert (done.problems, done.skipped) == ([], 0)
        assert done.verdicts > 500


def test_what_was_accepted_survives_a_restart_and_the_end_of_its_windows(make: Any) -> None:
    world = make()
    world.minutes(30, rows=20, shift=1.0)
    accept(world, MIDNIGHT, MIDNIGHT + 30 * MINUTE)
    world.close()
    with world.read() as connection:
        connection.execute("DELETE FROM sealed_counts")
        connection.execute("DELETE FROM windows")
    again = Monitored(world.folder, start=world.clock.time())
    world.runtime = again.runtime
    again.random = world.random
    again.minutes(30, rows=20, shift=1.0)
    found = of_rule(again.runtime.only.latest, "drift")
    assert (found.state, found.m) == ("ok", 600)


def test_a_rule_with_a_reference_of_its_own_keeps_it(make: Any) -> None:
    stretch = f"{iso(MIDNIGHT)}/{iso(MIDNIGHT + 20 * MINUTE)}"
    world = make(f'[[rule]]\nname = "own"\nreference = "{stretch}"')
    world.minutes(40, rows=20)
    accept(world, MIDNIGHT, MIDNIGHT + 30 * MINUTE)
    world.minutes(1, rows=20)
    assert of_rule(world.runtime.only.latest, "own").reference == stretch


def test_too_short_a_stretch_is_refused(make: Any) -> None:
    world = make()
    world.minutes(2, rows=20)
    with pytest.raises(StoreError, match=r"holds 40 predictions.*needs 50"):
        accept(world, MIDNIGHT, MIDNIGHT + HOUR)
    with world.read() as connection:
        assert references.changes(connection) == []


def test_verdicts_against_an_accepted_stretch_are_in_the_audit(make: Any) -> None:
    world = make()
    world.minutes(10, rows=20)
    accept(world, MIDNIGHT, MIDNIGHT + 10 * MINUTE)
    world.minutes(5, rows=20)
    with world.read() as connection:
        assert verify(connection).problems == []
        done = recompute(connection)
        assert (done.problems, done.skipped) == ([], 0)
        connection.execute("UPDATE reference_changes SET reason = 'nothing'")
        assert [problem.where for problem in verify(connection).problems] == ["reference_changes 0 to 63 (2023-11-15)"]
        connection.execute("UPDATE reference_changes SET counts = replace(counts, '[', '[9')")
        assert recompute(connection).problems


# The real thing, longer.


def test_the_preset_of_boxkite_waits_five_minutes_and_ignores_quiet(make: Any) -> None:
    world = make('[[rule]]\npreset = "boxkite"')
    random = np.random.default_rng(5)

    def minute(rows: int, answer: float) -> None:
        features: list[object] = [random.normal(size=rows) for _ in range(world.columns)]
        features.append(random.choice(["red", "green"], rows).tolist())
        world.runtime.only.recorder.record_many(features, [random.normal(answer, 1.0, rows)])
        world.clock.advance(60)
        world.runtime.evaluate()

    for _ in range(40):
        minute(10, 0.0)
    assert {result.column for result in world.runtime.only.latest.results} == {"prediction"}
    assert events(world) == []
    for _ in range(30):
        minute(10, 3.0)
    told = [(row[1], row[3], row[4], from_iso(row[0])) for row in events(world)]
    for rule in ("boxkite-ks", "boxkite-kl"):
        (pending,) = [at for name, _, after, at in told if (name, after) == (rule, "pending")]
        (fired,) = [at for name, _, after, at in told if (name, after) == (rule, "firing")]
        assert fired - pending == 5 * MINUTE
    for _ in range(35):
        minute(0, 0.0)
    assert {result.state for result in world.runtime.only.latest.results} == {"no traffic"}
    assert {alert.state for alert in world.runtime.only.latest.alerts.values()} == {"firing"}
    for _ in range(20):
        minute(10, 0.0)
    assert {alert.state for alert in world.runtime.only.latest.alerts.values()} <= {"resolved", "inactive"}
