"""What differs from training where rows of a window are alike: weeks of hours over the real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.backtest.rejudge import judge
from monitor.drift.result import DriftResult
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify
from tests.store.world import DAY, HOUR, Monitored

RULES = """
[drift]
every = "1h"
[window]
base = "1h"
[[rule]]
name = "state"
window = "{window}"
[[rule]]
name = "independent"
window = "{window}"
independent = true
"""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    worlds: list[Monitored] = []

    def make(window: str) -> Monitored:
        worlds.append(Monitored(tmp_path / "data", RULES.format(window=window)))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def pass_hours(world: Monitored, hours: int, rhythm: float = 0.0, ramp: float = 0.0, every: int = 24) -> dict[Any, Any]:
    """Let hours pass, evaluated at each `every`-th; return results by rule, column and statistic.

    `rhythm`: a day's amplitude in deviations; `ramp`: deviations by which the level moves in an hour.
    """
    found: dict[Any, list[DriftResult]] = {}
    begin = world.clock.time()
    for _ in range(hours):
        now = world.clock.time()
        world.record(60, rhythm * float(np.sin((now % DAY) / DAY * 2 * np.pi)) + ramp * (now - begin) / HOUR)
        world.clock.advance(HOUR)
        if round(world.clock.time() // HOUR) % every == 0:
            world.runtime.evaluate()
            for result in world.runtime.only.latest.results:
                found.setdefault((result.rule, result.column, result.statistic), []).append(result)
    return found


def test_a_daily_rhythm_is_no_drift_once_it_is_known(make: Any) -> None:
    world = make("1h")
    pass_hours(world, 29 * 24, rhythm=2.0)
    found = pass_hours(world, 24, rhythm=2.0, every=1)
    alone = [one.state for one in found["independent", "x0", "ks"]]
    assert alone.count("drift") >= 18  # of 24
    assert {one.state for one in found["state", "x0", "ks"]} == {"ok"}
    assert {one.n for one in found["state", "x0", "ks"]} == {60}  # people read rows
    # What has no rhythm is judged as before.
    for column, statistic in (("prediction", "ks"), ("colour", "kl"), ("x0", "missing")):
        pairs = zip(found["state", column, statistic], found["independent", column, statistic], strict=True)
        assert all(one.p_value == pytest.approx(other.p_value, abs=1e-9) for one, other in pairs)
    with world.read() as connection:
        rows = connection.execute("SELECT hours, settled, rho FROM window_correlation ORDER BY id").fetchall()
        assert (rows[-1]["hours"], rows[-1]["settled"]) == (1, 1)
        assert len(rows) <= 30  # nothing more is learnt after four weeks
        shape = [one[0] for one in json.loads(rows[-1]["rho"])]
        assert shape[0] > 0.1
        assert shape[-1] == 0
        assert not verify(connection).problems
        done = recompute(connection)
        assert (done.problems, done.skipped) == ([], 0)
        now = world.clock.time()
        moments = list(judge(connection, world.runtime.only.series, world.config, now - DAY, now))
        again = [{(r.rule, r.column, r.statistic): r for r in one.results()} for one in moments]
        for key, results in found.items():
            assert [one[key].state for one in again] == [one.state for one in results]
            stored = [one.critical for one in results]
            assert [one[key].critical for one in again] == pytest.approx(stored, rel=1e-6)
        connection.execute("UPDATE window_correlation SET rho = replace(rho, '[0.', '[0.9')")
        assert recompute(connection).problems


def test_a_slow_ramp_is_told_by_the_third_week_even_if_nothing_came_before_it(make: Any) -> None:
    world = make("1d")
    found = pass_hours(world, 21 * 24, ramp=1 / (8 * 7 * 24))
    states = [one.state for one in found["state", "x0", "ks"]]
    assert "drift" in states
    assert states.index("drift") >= 7


def test_independent_rows_keep_their_verdicts(make: Any) -> None:
    world = make("6h")
    found = pass_hours(world, 30 * 24)
    for column, statistic in (("x0", "ks"), ("x1", "wasserstein"), ("colour", "kl"), ("prediction", "other")):
        pairs = list(zip(found["state", column, statistic], found["independent", column, statistic], strict=True))
        assert all(one.state == other.state for one, other in pairs)
        assert pairs[-1][0].critical == pytest.approx(pairs[-1][1].critical, rel=0.05)
