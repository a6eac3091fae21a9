"""The past judged anew gives what was judged at the time, as far as the windows still say it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.backtest.events import play
from monitor.backtest.rejudge import judge
from monitor.clock import from_iso
from monitor.columns.batch import Batch
from monitor.config.load import Config
from monitor.drift.result import Span, Subject
from monitor.store.records.references import accept, reset
from monitor.store.windows.ledger import Windows
from monitor.store.windows.retention import drop_parts
from monitor.store.windows.rows import load_series, register_series
from monitor.store.windows.tiers import roll_up
from tests.backtest.recorded import backtest
from tests.store.world import DAY, HOUR, MIDNIGHT, MINUTE, Monitored, memory, reference, stored_evaluations

SETTINGS = """
[drift]
min_samples = 60
[[rule]]
name = "short"
window = "5m"
for = "2m"
[[rule]]
name = "shape"
statistic = "psi"
window = "30m"
[[rule]]
name = "low"
window = "4m"
max_age = "20m"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """A day apart: some minutes of each kind."""
    world = Monitored(tmp_path_factory.mktemp("past") / "data", SETTINGS)
    world.minutes(20, rows=20)
    world.clock.advance(DAY - 20 * MINUTE)
    world.minutes(20, rows=8)
    world.minutes(8, rows=0)
    world.minutes(15, rows=30, shift=1.0)
    world.minutes(15, rows=20, colour="red")
    world.minutes(12, rows=20)
    yield world
    world.close()


def test_every_verdict_of_the_past_comes_out_again(world: Monitored) -> None:
    start, end = MIDNIGHT, world.clock.time()
    with world.read() as connection:
        model = load_series(connection, 1)
        stored = dict(stored_evaluations(connection))
        again = {moment.at: moment for moment in judge(connection, model, world.config, start, end)}
        assert len(stored) == 90
        assert set(stored) <= set(again)
        for at, results in stored.items():
            found = again[at].results()
            assert len(found) == len(results) == again[at].size
            for one, other in zip(found, results, strict=True):
                assert (one.rule, one.column, one.statistic, one.state) == (
                    other.rule,
                    other.column,
                    other.statistic,
                    other.state,
                ), at
                assert (one.n, one.m, one.window, one.reference) == (other.n, other.m, other.window, other.reference)
                for name in ("value", "critical", "floor", "p_value"):
                    stored_number, number = getattr(other, name), getattr(one, name)
                    assert number is stored_number is None or number == pytest.approx(stored_number, rel=1e-9)
        assert {result.state for results in stored.values() for result in results} >= {"ok", "drift", "no traffic"}


def test_stepping_over_quiet_moments_changes_no_event(world: Monitored) -> None:
    start, end = MIDNIGHT + DAY, world.clock.time()
    with world.read() as connection:
        model = load_series(connection, 1)
        quick = play(judge(connection, model, world.config, start, end), world.config.rules, 60)
        slow = backtest(
            ((moment.at, moment.results()) for moment in judge(connection, model, world.config, start, end)),
            world.config.rules,
            60,
        )
        at_the_time = connection.execute(
            "SELECT at, rule, \"column\" FROM alert_events WHERE after = 'firing' AND before <> 'resolved' ORDER BY id"
        ).fetchall()
    assert quick.events
    told = [(event.fired, event.rule, event.column, event.resolved, event.strength) for event in quick.events]
    assert told == [(event.fired, event.rule, event.column, event.resolved, event.strength) for event in slow.events]
    assert {(from_iso(row[0]), row[1], row[2]) for row in at_the_time} == {event[:3] for event in told}
    assert (quick.evaluations, quick.results, quick.judged) == (slow.evaluations, slow.results, slow.judged)
    assert all(event.direction for event in quick.events)


def test_where_minutes_are_gone_there_is_a_verdict_an_hour(tmp_path: Path) -> None:
    world = Monitored(tmp_path / "data")
    world.minutes(61, rows=5)
    now = MIDNIGHT + 2 * HOUR
    world.runtime.writer.transaction(lambda connection: roll_up(connection, now))
    assert world.runtime.writer.transaction(lambda connection: drop_parts(connection, HOUR, int(MIDNIGHT)))
    try:
        with world.read() as connection:
            model = load_series(connection, 1)
            moments = list(judge(connection, model, world.config, MIDNIGHT, MIDNIGHT + HOUR + 2 * MINUTE))
    finally:
        world.close()
    assert [moment.at - MIDNIGHT for moment in moments] == [HOUR, HOUR + MINUTE, HOUR + 2 * MINUTE]
    first, second, _ = (moment.results()[0] for moment in moments)
    # Half an hour cannot be told apart from the whole one any more; the second window has one minute more.
    assert (first.n, first.window) == (300, Span(MIDNIGHT, MIDNIGHT + HOUR))
    assert (second.n, second.window) == (305, Span(MIDNIGHT, MIDNIGHT + HOUR + MINUTE))


def test_five_quiet_days_of_eleven_columns_make_no_alert() -> None:
    """A night of few predictions and a busy noon, judged each minute by the default rule."""
    connection = memory()
    rng = np.random.default_rng(11)
    frozen = reference(columns=9, rows=5000)
    model = register_series(connection, Subject(version="v1"), frozen, "2023-11-15T00:00:00Z")
    windows = Windows(connection, model, 60)
    shares = [part / part.sum() for part in model.schema.split(frozen.counts)]
    minutes = 5 * DAY // MINUTE
    busy = 4 + 3 * np.sin(np.arange(minutes) * 2 * np.pi / 1440)
    quiet: dict[int, Batch] = {}
    for minute, rows in enumerate(rng.poisson(busy).tolist()):
        if rows:
            counts = np.concatenate([rng.multinomial(rows, share) for share in shares])
            quiet[int(MIDNIGHT) + minute * MINUTE] = Batch(rows, counts, np.zeros(len(shares)))
    connection.execute("BEGIN")
    windows.add(connection, quiet)
    windows.seal(connection, MIDNIGHT + 5 * DAY)
    connection.execute("COMMIT")
    config = Config.from_text("")
    done = play(judge(connection, model, config, MIDNIGHT, MIDNIGHT + 5 * DAY), config.rules, 60)
    connection.close()
    assert done.evaluations == minutes
    assert done.judged > 0.7 * done.results  # a quiet hour of the night has too few
    assert done.events == ()


def test_each_evaluation_is_compared_with_what_was_in_force_then(tmp_path: Path) -> None:
    world = Monitored(tmp_path / "data")
    world.minutes(40, rows=20, shift=1.0)
    stretch, writer = Span(MIDNIGHT, world.clock.time()), world.runtime.writer
    writer.transaction(lambda c: accept(c, stretch, "ann", "the new normal", world.clock.time()))
    world.minutes(20, rows=20, shift=1.0)
    writer.transaction(lambda c: reset(c, "ann", "not after all", world.clock.time()))
    world.minutes(10, rows=20, shift=1.0)
    with world.read() as connection:
        model, end = load_series(connection, 1), world.clock.time()
        stored = dict(stored_evaluations(connection))
        again = {moment.at: moment for moment in judge(connection, model, world.config, MIDNIGHT, end)}
    names = []
    for at, results in stored.items():
        found = again[at].results()
        assert [(one.reference, one.m, one.state) for one in found] == [(r.reference, r.m, r.state) for r in results]
        numbers = [(one.value or 0.0, r.value or 0.0) for one, r in zip(found, results, strict=True)]
        assert all(one == pytest.approx(other, rel=1e-9) for one, other in numbers)
        names.append(results[0].reference.split()[0])
    assert names == ["training"] * 40 + ["accepted"] * 20 + ["training"] * 10
    loud = [name for at, name in zip(stored, names, strict=True) if not again[at].quiet]
    assert loud.count("training") > 40
    assert all(again[at].quiet for at, name in zip(stored, names, strict=True) if name == "accepted")
    world.close()
