"""What is usual is learnt from counts of hours: rhythm, incidents, gaps, traffic and daylight saving do not alarm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from monitor.columns.column import Column, Counts, Floats
from monitor.normal.cells import Cells, cells_of
from monitor.normal.expected import Grid, windows_of
from monitor.normal.usual import Learner, Replayed, horizon, judge_together
from tests.support.grids import make_grid

NUMERIC = Column("x", "feature", "numeric", edges=tuple(np.linspace(-3, 3, 21).tolist()))
WEEK_HOURS = 168
YEAR = 52 * WEEK_HOURS


def stream(hours: int, level: Callable[[np.ndarray], np.ndarray], rows: float | Floats = 60.0, seed: int = 1) -> Counts:
    """Counts of hours of a normal column whose mean follows `level`."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(np.broadcast_to(rows, hours))
    hour = np.repeat(np.arange(hours), n)
    values = rng.normal(size=len(hour)) + level(np.arange(hours))[hour]
    bins = np.searchsorted(NUMERIC.edges, values)
    return np.bincount(hour * NUMERIC.size + bins, minlength=hours * NUMERIC.size).reshape(hours, NUMERIC.size)


def flat(hour: np.ndarray) -> np.ndarray:
    return 0.0 * hour


def daily(hour: np.ndarray) -> np.ndarray:
    return np.sin(hour / 24 * 2 * np.pi)


def told(replayed: Replayed, since: int = 0) -> list[int]:
    """Ends of unusual windows that begin an event: the column was not unusual for a week."""
    on = replayed.ends[(replayed.excess > 1) & (replayed.ends >= since)].tolist()
    return [at for before, at in zip([-YEAR, *on], on, strict=False) if at - before > WEEK_HOURS]


WEEKS = horizon(2 * cells_of(NUMERIC).limits, 1.0)


def learner_of(column: Column, length: int) -> Learner:
    return Learner(cells_of(column), length)


def learner(length: int = 24) -> Learner:
    return learner_of(NUMERIC, length)


@pytest.mark.parametrize("level", [flat, daily], ids=["independent", "daily"])
@pytest.mark.parametrize("length", [6, 24])
def test_a_quiet_year_keeps_to_the_budget(level: Callable[[np.ndarray], np.ndarray], length: int) -> None:
    counts = stream(YEAR, level)
    found = learner(length).run(make_grid(counts), 0, YEAR, WEEKS)
    assert len(told(found)) <= 2
    assert np.isfinite(found.distances[-1]).all()


def test_the_hour_of_the_week_is_learnt_where_there_is_a_rhythm() -> None:
    rhythm, none = learner(6), learner(6)
    rhythm.run(make_grid(stream(12 * WEEK_HOURS, daily)), 0, 12 * WEEK_HOURS, WEEKS)
    none.run(make_grid(stream(12 * WEEK_HOURS, flat)), 0, 12 * WEEK_HOURS, WEEKS)
    assert rhythm.learned
    assert none.learned
    assert (rhythm.learned.predictor, none.learned.predictor) == (1, 0)


def test_a_lasting_shift_is_told_once_and_becomes_usual() -> None:
    change = 20 * WEEK_HOURS + 5
    counts = stream(32 * WEEK_HOURS, lambda hour: daily(hour) + 0.5 * (hour >= change))
    found = learner().run(make_grid(counts), 0, 32 * WEEK_HOURS, WEEKS)
    events = told(found, change - WEEK_HOURS)
    assert len(events) == 1
    assert change < events[0] <= change + 24
    assert not (found.excess[found.ends > change + 10 * WEEK_HOURS] > 1).any()


def test_an_incident_neither_blinds_nor_alarms_later() -> None:
    incident, change = 20 * WEEK_HOURS, 23 * WEEK_HOURS
    counts = stream(24 * WEEK_HOURS, lambda h: 4.0 * ((h >= incident) & (h < incident + 24)) + 0.7 * (h >= change))
    events = told(learner().run(make_grid(counts), 0, 24 * WEEK_HOURS, WEEKS))
    assert len(events) == 2
    assert incident < events[0] <= incident + 24
    assert change < events[1] <= change + 30


def test_missing_rows_and_frozen_values_have_cells_of_their_own() -> None:
    change = 16 * WEEK_HOURS
    for where in (NUMERIC.missing_bin, 10):
        counts = stream(17 * WEEK_HOURS, flat)
        part = 0.05 if where == NUMERIC.missing_bin else 1.0
        moved = np.random.default_rng(2).binomial(counts[change:], part)
        counts[change:] -= moved
        counts[change:, where] += moved.sum(axis=1)
        found = learner().run(make_grid(counts), 0, 17 * WEEK_HOURS, WEEKS)
        assert len(told(found)) == 1
        assert change < told(found)[0] <= change + 24


def test_a_column_that_was_constant_for_months_and_moves() -> None:
    counts = np.zeros((20 * WEEK_HOURS, NUMERIC.size), dtype=np.int64)
    counts[: 19 * WEEK_HOURS, 10], counts[19 * WEEK_HOURS :, 11] = 50, 50
    assert told(learner().run(make_grid(counts), 0, 20 * WEEK_HOURS, WEEKS)) == [19 * WEEK_HOURS + 6]


def test_a_column_whose_rows_are_all_missing() -> None:
    counts = stream(20 * WEEK_HOURS, flat)
    counts[17 * WEEK_HOURS :, NUMERIC.missing_bin] = counts[17 * WEEK_HOURS :].sum(axis=1)
    counts[17 * WEEK_HOURS :, : NUMERIC.missing_bin] = 0
    assert told(learner().run(make_grid(counts), 0, 20 * WEEK_HOURS, WEEKS)) == [17 * WEEK_HOURS + 6]
    never = np.zeros((20 * WEEK_HOURS, NUMERIC.size), dtype=np.int64)
    never[:, NUMERIC.missing_bin] = 60
    assert told(learner().run(make_grid(never), 0, 20 * WEEK_HOURS, WEEKS)) == []


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (lambda h: np.where((h >= 16 * WEEK_HOURS) & (h < 16 * WEEK_HOURS + 24), 1.2, 60.0), "a day of 2 % traffic"),
        (lambda h: np.where((h >= 16 * WEEK_HOURS) & (h < 16 * WEEK_HOURS + 12), 0.0, 60.0), "half a day missing"),
        (lambda h: np.where((h >= 10 * WEEK_HOURS) & (h < 14 * WEEK_HOURS), 0.0, 60.0), "a hole of a month"),
        (lambda h: np.where(h >= 16 * WEEK_HOURS, 120.0, 60.0), "traffic that doubles"),
    ],
)
def test_traffic_alone_makes_no_message(rows: Callable[[np.ndarray], np.ndarray], note: str) -> None:
    hours = np.arange(20 * WEEK_HOURS)
    counts = stream(20 * WEEK_HOURS, daily, rows(hours))
    assert told(learner().run(make_grid(counts), 0, 20 * WEEK_HOURS, WEEKS)) == [], note


def test_after_a_gap_longer_than_what_is_learnt_from_it_learns_anew() -> None:
    rows = np.full(32 * WEEK_HOURS, 60.0)
    rows[12 * WEEK_HOURS : 24 * WEEK_HOURS] = 0
    found = learner(168).run(make_grid(stream(32 * WEEK_HOURS, daily, rows)), 0, 32 * WEEK_HOURS, WEEKS)
    assert told(found) == []
    back = (found.ends > 25 * WEEK_HOURS) & (found.ends < 25 * WEEK_HOURS + 100)
    assert np.isnan(found.distances[back]).all()
    assert np.isfinite(found.distances[-1]).all()


@pytest.mark.parametrize(("hours", "shift", "unusual"), [(12, 0.0, False), (12, 1.5, True), (20, 1.5, None)])
def test_a_partial_window_is_judged_by_the_hours_that_it_has(hours: int, shift: float, unusual: bool | None) -> None:
    """Half a day of a rhythm is far from the whole day; four hours are too few to say anything."""
    end = 16 * WEEK_HOURS
    counts = stream(end, lambda hour: 2 * daily(hour) + shift * (hour >= end - 24))
    counts[end - hours :] = 0
    found = learner().run(make_grid(counts), 0, end + 1, WEEKS)
    assert np.isnan(found.distances[-1]).all() == (unusual is None), "what is judged counts for the limit"
    grid = make_grid(counts)
    windows = windows_of(cells_of(NUMERIC), grid, np.array([end]), 24)
    assert bool(np.isfinite(windows.by_hours).any()) == (unusual is not None)
    assert (found.excess[-1] > 1) == bool(unusual)
    assert np.abs(windows.shares - windows.expected[1]).max() > 0.2


def test_no_history_gives_no_verdict_and_the_first_limit_is_high() -> None:
    counts = stream(2 * WEEK_HOURS, flat)
    found = learner().run(make_grid(counts), 0, len(counts), WEEKS)
    assert np.isnan(found.distances[found.ends < 72]).all()
    assert set(found.limits[np.isfinite(found.limits)]) == {8.0}


def test_the_hour_of_the_week_is_local_time() -> None:
    change = 15 * WEEK_HOURS  # clocks go forward: the same local hour is an hour earlier in UTC from here on
    shift = np.where(np.arange(18 * WEEK_HOURS + 1) >= change, 1, 0)
    counts = stream(18 * WEEK_HOURS, lambda hour: 3 * daily(hour + shift[:-1]), 200.0)
    utc = learner(1).run(make_grid(counts), 0, 18 * WEEK_HOURS, WEEKS)
    local = learner(1).run(make_grid(counts, shift), 0, 18 * WEEK_HOURS, WEEKS)
    assert told(utc, change)
    assert not told(local, change - WEEK_HOURS)


def test_quiet_hours_are_neither_judged_nor_learnt() -> None:
    day = slice(16 * WEEK_HOURS, 16 * WEEK_HOURS + 24)
    counts = stream(18 * WEEK_HOURS, lambda hour: 3.0 * ((hour >= day.start) & (hour < day.stop)))
    quiet = np.zeros(len(counts), dtype=np.bool_)
    quiet[day] = True
    assert len(told(learner().run(make_grid(counts), 0, len(counts), WEEKS))) == 1
    found = learner().run(make_grid(counts, quiet=quiet), 0, len(counts), WEEKS)
    assert told(found) == []
    inside = (found.ends > day.start) & (found.ends < day.stop + 24)
    assert np.isnan(found.distances[inside]).all()


def test_watching_day_by_day_is_the_same_as_all_at_once() -> None:
    grid = make_grid(stream(10 * WEEK_HOURS, daily))
    whole, parts = learner(6), learner(6)
    at_once = whole.run(grid, 0, 10 * WEEK_HOURS, WEEKS)
    pieces = [parts.run(grid, begin, begin + 28, WEEKS) for begin in range(0, 10 * WEEK_HOURS, 28)]
    for name in ("ends", "excess", "distances", "limits"):
        np.testing.assert_array_equal(getattr(at_once, name), np.concatenate([getattr(one, name) for one in pieces]))


def test_window_by_window_is_the_same_as_all_at_once() -> None:
    grid = make_grid(stream(6 * WEEK_HOURS, daily), first=5)
    whole, single = learner(6), learner(6)
    at_once = whole.run(grid, 0, 6 * WEEK_HOURS, WEEKS)
    for end, worst in zip(at_once.ends.tolist(), at_once.distances, strict=True):
        found = judge_together([single], single.cells, grid, end)[1].worst[0] if single.learn(grid, end) else np.nan
        np.testing.assert_array_equal(np.broadcast_to(found, 6), worst)
    assert single.maxima.keys() == whole.maxima.keys()
    np.testing.assert_array_equal(single.limits(WEEKS, 10 * WEEK_HOURS), whole.limits(WEEKS, 10 * WEEK_HOURS))


def test_columns_together_are_the_same_as_each_alone() -> None:
    letters = Column("letter", "feature", "categorical", categories=tuple("abc"))
    constant = Column("constant", "feature", "numeric")
    columns, rng = (NUMERIC, letters, constant, letters), np.random.default_rng(4)
    counts = [stream(5 * WEEK_HOURS, daily)]
    counts += [rng.multinomial(counts[0].sum(axis=1), np.full(c.size, 1 / c.size)) for c in columns[1:]]
    grid, offsets = make_grid(np.concatenate(counts, axis=1)), np.cumsum([0, *(c.size for c in columns[:-1])]).tolist()
    for chosen in ([0, 1, 2, 3], [1, 3], [2]):
        cells = Cells([columns[k] for k in chosen], [offsets[k] for k in chosen])
        together = [Learner(Cells([columns[k]], [offsets[k]]), 6) for k in chosen]
        alone = [learner_of(columns[k], 6) for k in chosen]
        for end in range(4 * WEEK_HOURS, 5 * WEEK_HOURS, 6):
            assert all(one.learn(grid, end) for one in together)
            windows, found = judge_together(together, cells, grid, end)
            for k, one, at, limits in zip(chosen, alone, cells.parts, cells.limits_of, strict=True):
                own = Grid(np.cumsum(np.pad(counts[k], ((1, 0), (0, 0))), axis=0), grid.shift, grid.known, grid.rows)
                assert one.learn(own, end)
                own_windows, expected = judge_together([one], one.cells, own, end)
                np.testing.assert_array_equal(found.worst[:, limits], expected.worst)
                for name in ("change", "scale", "known"):
                    np.testing.assert_array_equal(getattr(found, name)[:, at], getattr(expected, name))
                np.testing.assert_array_equal(windows.shares[:, at], own_windows.shares)
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_equal(one.maxima, other.maxima)
