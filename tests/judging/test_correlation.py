"""How alike the rows of a window are: simulated streams whose correlation is known."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.columns.column import Column
from monitor.judging.correlated import correlations
from monitor.normal.cells import cells_of

CATEGORY = cells_of(Column("plan", "feature", "categorical", categories=("a", "b")))
NUMBER = cells_of(Column("x", "feature", "numeric", edges=tuple(np.linspace(-2, 2, 9).tolist())))


def numbers(levels: np.ndarray, rows: int, seed: int = 1) -> np.ndarray:
    """Counts of windows of normal rows about a level each."""
    random = np.random.default_rng(seed)
    edges = [-np.inf, *NUMBER.columns[0].edges, np.inf]
    counts = np.array([np.histogram(random.normal(level, 1.0, rows), edges)[0] for level in levels])
    return np.pad(counts, ((0, 0), (0, NUMBER.columns[0].size - counts.shape[1])))


@pytest.mark.parametrize("rho", [0.01, 0.1, 0.4])
def test_a_known_correlation_is_found(rho: float) -> None:
    random = np.random.default_rng(3)
    size = (1 - rho) / rho
    share = random.beta(0.3 * size, 0.7 * size, 2000)  # beta-binomial: correlation 1 / (a + b + 1)
    hits = random.binomial(200, share)
    counts = np.zeros((2000, CATEGORY.columns[0].size), dtype=np.int64)
    counts[:, 0], counts[:, 1] = hits, 200 - hits
    found = correlations(CATEGORY, counts)
    assert found[0] == pytest.approx(rho, rel=0.1)
    assert found[1:].tolist() == [0, 0]


@pytest.mark.parametrize("windows", [10, 28, 672])
def test_independent_rows_count_in_full(windows: int) -> None:
    found = [correlations(NUMBER, numbers(np.zeros(windows), 100, seed))[0] for seed in range(40)]
    assert np.mean([rho > 0 for rho in found]) <= 0.1
    assert max(found) < 0.05


def test_a_rhythm_makes_rows_alike_and_a_steady_ramp_does_not() -> None:
    hours = np.arange(672)
    assert correlations(NUMBER, numbers(np.sin(hours / 24 * 2 * np.pi), 100))[0] > 0.1
    assert correlations(NUMBER, numbers(hours / 672, 1000))[0] < 0.001


def test_missing_rows_in_bursts_do_not_make_the_shape_alike() -> None:
    counts = numbers(np.zeros(200), 100)
    counts[::10, NUMBER.columns[0].value_bins] = 100
    shape, missing, other = correlations(NUMBER, counts)
    assert shape == 0
    assert other < 0.01  # rows without a value thin it
    assert missing > 0.2


def test_rows_just_out_of_range_come_together_as_those_within_do() -> None:
    """The first weather that is warmer than any in training is one event, however many rows it has."""
    levels = np.array([-1.0, 0.0, 1.0] * 20)
    inside = numbers(levels, 100)
    inside[:, [1, NUMBER.columns[0].value_bins - 2]] += inside[:, [0, NUMBER.columns[0].value_bins - 1]]
    inside[:, [0, NUMBER.columns[0].value_bins - 1]] = 0
    shape, missing, other = correlations(NUMBER, inside)
    assert shape > 0.1
    assert (missing, other) == (0, shape)
    # Once they are known, their own counts say it.
    inside[:, [0, NUMBER.columns[0].value_bins - 1]] = np.random.default_rng(2).binomial(100, 0.02, (60, 2))
    assert correlations(NUMBER, inside)[2] < 0.02


def test_too_few_windows_say_nothing() -> None:
    levels = np.sin(np.arange(9))
    assert not correlations(NUMBER, numbers(levels, 500)).any()
    assert not correlations(NUMBER, numbers(np.sin(np.arange(40)), 15)).any()
    assert not correlations(NUMBER, np.zeros((40, NUMBER.columns[0].size), dtype=np.int64)).any()
