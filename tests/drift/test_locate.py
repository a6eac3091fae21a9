import numpy as np
import pytest

from bench.quiet import NORMAL, probabilities, shifted
from monitor.columns.column import Column
from monitor.drift.locate import credible, locate, split_posterior

X = Column("x", "feature", "numeric", edges=tuple(np.round(np.linspace(-2, 2, 19), 2)))
QUIET = probabilities(X, NORMAL)
MINUTE = 60.0


def stream(rng, *stretches):
    """Windows of the given (number, rows, probabilities) and when they start."""
    counts = np.concatenate([rng.multinomial(rng.poisson(rows, number), p) for number, rows, p in stretches])
    return counts, np.arange(len(counts)) * MINUTE


def test_a_change_is_found_where_it_is_and_described():
    rng = np.random.default_rng(1)
    counts, starts = stream(rng, (120, 20, QUIET), (60, 20, probabilities(X, shifted(1.0))))
    sums = counts.sum(axis=1) * np.where(np.arange(180) < 120, 0.0, 1.0)
    (found,) = locate(X, counts, starts, MINUTE, sums, deviation=1.0)
    assert found.earliest <= 120 * MINUTE <= found.latest
    assert abs(found.start - 120 * MINUTE) <= MINUTE
    assert found.latest - found.earliest <= 5 * MINUTE
    assert found.probability > 0.999
    assert found.n_before + found.n_after == counts.sum()
    assert found.direction.text == "mean was 0, now 1 (1.0 sd)"
    assert found.contributions[0].label == "(2, +inf)"


def test_a_smaller_change_has_a_wider_interval():
    rng = np.random.default_rng(2)
    widths = []
    for shift in (1.0, 0.3):
        counts, starts = stream(rng, (200, 20, QUIET), (200, 20, probabilities(X, shifted(shift))))
        (found,) = locate(X, counts, starts, MINUTE)
        widths.append(found.latest - found.earliest)
    assert widths[0] < widths[1]


def test_the_interval_holds_the_moment_as_often_as_it_says():
    rng = np.random.default_rng(3)
    after = probabilities(X, shifted(0.4))
    held = found = 0
    for _ in range(120):
        cut, part = int(rng.integers(20, 130)), rng.random()
        rows = rng.poisson(15, 150)
        old = np.where(np.arange(150) < cut, rows, np.where(np.arange(150) == cut, rng.binomial(rows, part), 0))
        counts = rng.multinomial(old, QUIET) + rng.multinomial(rows - old, after)
        onsets = locate(X, counts, np.arange(150) * MINUTE, MINUTE, level=0.8)
        if onsets:
            found += 1
            held += onsets[-1].earliest <= (cut + part) * MINUTE <= onsets[-1].latest
    assert found > 100
    assert held / found > 0.8


def test_quiet_streams_have_no_change():
    rng = np.random.default_rng(4)
    assert sum(bool(locate(X, *stream(rng, (150, 15, QUIET)), MINUTE)) for _ in range(200)) <= 3


def test_dispersion_beyond_dice_is_not_taken_for_changes():
    # Every window leans its own way, as batches of customers do; nothing ever changes for good.
    rng = np.random.default_rng(5)
    false = 0
    for _ in range(40):
        counts = np.stack([rng.multinomial(60, rng.dirichlet(QUIET * 40 + 1e-3)) for _ in range(100)])
        false += bool(locate(X, counts, np.arange(100) * MINUTE, MINUTE))
    assert false <= 2


def test_a_change_and_its_end_are_two():
    rng = np.random.default_rng(6)
    up = probabilities(X, shifted(0.8))
    counts, starts = stream(rng, (80, 20, QUIET), (50, 20, up), (70, 20, QUIET))
    begin, end = locate(X, counts, starts, MINUTE)
    assert begin.earliest <= 80 * MINUTE <= begin.latest < end.earliest <= 130 * MINUTE <= end.latest
    assert begin.n_after == end.n_before


def test_windows_without_traffic_do_not_matter():
    rng = np.random.default_rng(7)
    counts, starts = stream(rng, (40, 30, QUIET), (40, 0, QUIET), (40, 30, probabilities(X, shifted(1.0))))
    (found,) = locate(X, counts, starts, MINUTE)
    # Nobody can say when in the silence it changed: the interval covers it.
    assert found.start == 80 * MINUTE
    assert found.earliest <= 39 * MINUTE
    assert found.latest >= 81 * MINUTE


def test_a_categorical_column_names_what_grew():
    rng = np.random.default_rng(8)
    column = Column("c", "prediction", "categorical", categories=("a", "b"))
    counts, starts = stream(rng, (60, 20, [0.7, 0.3, 0, 0]), (60, 20, [0.6, 0.2, 0.2, 0]))
    (found,) = locate(column, counts, starts, MINUTE)
    assert found.direction.text.startswith("unseen values: was 0 %, now ")
    assert found.earliest <= 60 * MINUTE <= found.latest


@pytest.mark.parametrize("windows", [0, 1, 2])
def test_next_to_nothing_has_no_change(windows):
    counts = np.tile(np.append(np.full(X.size - 1, 3), 0), (windows, 1))
    assert locate(X, counts, np.arange(windows) * MINUTE, MINUTE) == ()


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        locate(X, np.zeros((3, 2)), np.arange(3.0), MINUTE)


def test_posterior_adds_up_to_one_and_level_one_takes_all_of_it():
    rng = np.random.default_rng(9)
    counts, _ = stream(rng, (20, 10, QUIET), (20, 10, probabilities(X, shifted(0.5))))
    posterior, _ = split_posterior(counts.astype(float))
    assert posterior.sum() == pytest.approx(1)
    assert posterior[0] == 0
    assert posterior[credible(posterior, 0.9)].sum() >= 0.9


def test_of_many_changes_the_surest_are_kept_and_the_newest_stretch_is_finished():
    rng = np.random.default_rng(2)
    column = Column("c", "feature", "categorical", categories=("a", "b"))
    shares = np.repeat(np.linspace(0.05, 0.95, 14), 20)  # thirteen changes, one way
    windows = np.array([[*rng.multinomial(200, [share, 1 - share]), 0, 0] for share in shares])
    found = locate(column, windows, np.arange(len(windows)) * 60.0, 60.0)
    assert found.more
    assert len(found) >= 8
    assert abs(found[-1].start / 60 - 260) <= 1  # the last change began the present state
    few = locate(column, windows[:60], np.arange(60) * 60.0, 60.0)
    assert (len(few), few.more) == (2, False)


@pytest.mark.parametrize("rows", [20, 200, 1_000, 20_000])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.8])
def test_a_change_in_the_midst_of_a_window_is_one_change(rows, part):
    # Two changes; the windows in which they come hold rows of both states, and are no states of their own.
    rng = np.random.default_rng([rows, int(10 * part)])
    up = probabilities(X, shifted(1.0))
    share_up = np.zeros(60)
    share_up[20:40] = 1.0
    share_up[[19, 40]] = part
    new = rng.binomial(rows, share_up)
    counts = rng.multinomial(new, up) + rng.multinomial(rows - new, QUIET)
    begin, end = locate(X, counts, np.arange(60) * MINUTE, MINUTE)
    assert begin.earliest <= (20 - part) * MINUTE <= begin.latest
    assert end.earliest <= (40 + part) * MINUTE <= end.latest
    assert begin.n_before + begin.n_after + end.n_after == counts.sum()


def test_one_window_that_no_mixture_of_its_neighbours_explains_is_a_state_of_its_own():
    rng = np.random.default_rng(7)
    down, up = probabilities(X, shifted(-1.5)), probabilities(X, shifted(1.0))
    counts, starts = stream(rng, (30, 500, QUIET), (1, 500, down), (30, 500, up))
    assert [found.start for found in locate(X, counts, starts, MINUTE)] == [30 * MINUTE, 31 * MINUTE]
