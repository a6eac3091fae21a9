import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.reference.bin_edges import between, discrete_edges
from tests.support.edges import choose_edges

finite = st.floats(allow_nan=False, allow_infinity=False)


def bins_of(edges: tuple[float, ...], values: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.array(edges), values, side="left")


@given(st.lists(finite, min_size=1, max_size=200), st.integers(2, 40))
def test_every_value_lies_between_the_outer_edges(values: list[float], bins: int) -> None:
    edges = choose_edges(np.array(values), bins)
    assert all(math.isfinite(edge) for edge in edges)
    assert list(edges) == sorted(set(edges))
    if max(map(abs, values)) < 1e307:  # beyond it there may be no number outside
        found = bins_of(edges, np.array(values))
        assert found.min() >= 1
        assert found.max() <= len(edges) - 1


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=20, unique=True))
def test_few_distinct_values_have_a_bin_each(values: list[int]) -> None:
    edges = choose_edges(np.array(values, dtype=float), bins=20)
    assert len(set(bins_of(edges, np.array(values)).tolist())) == len(values)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=20, unique=True), st.floats(-0.2, 0.2))
def test_a_value_that_was_rounded_stays_in_its_discrete_bin(values: list[int], error: float) -> None:
    exact = np.array(sorted(values), dtype=float) / 10
    edges = discrete_edges(exact)
    assert bins_of(edges, exact + error / 10).tolist() == bins_of(edges, exact).tolist()


@pytest.mark.parametrize("bins", [2, 10, 20, 50])
def test_quantile_bins_hold_equal_shares(bins: int) -> None:
    values = np.sort(np.random.default_rng(3).lognormal(size=10_000))
    edges = choose_edges(values, bins)
    counts = np.bincount(bins_of(edges, values), minlength=len(edges) + 1)
    assert counts[0] == counts[-1] == 0
    tails, middle = (counts[1:4], counts[-4:-1]), counts[4:-4].tolist()
    assert middle == [10_000 // bins] * (bins - 2)
    assert [tail.tolist() for tail in tails] == [[10, 90, 10_000 // bins - 100], [10_000 // bins - 100, 90, 10]]


def test_a_value_that_half_the_rows_share_gets_a_bin_of_its_own_share() -> None:
    values = np.sort(np.concatenate((np.zeros(500), np.linspace(1, 2, 500))))
    edges = choose_edges(values, 10)
    counts = np.bincount(bins_of(edges, values))
    assert counts[1] == 500
    assert 0 < edges[1] < 1
    assert len(edges) == 11
    assert counts[2:-1].max() <= 56  # the other half, in nine parts


def test_a_frequent_value_in_the_middle_has_an_edge_on_either_side() -> None:
    values = np.random.default_rng(4).normal(size=2_000)
    values[::4] = 0.5
    values[1::10] = -1.0
    edges = choose_edges(values)
    counts = np.bincount(bins_of(edges, values))
    for value in (0.5, -1.0):
        alone = bins_of(edges, np.array([value]))[0]
        assert counts[alone] == (values == value).sum()


def test_quantile_edges_do_not_lie_on_values() -> None:
    ages = np.sort(np.random.default_rng(1).integers(18, 90, 5_000)).astype(float)
    assert not set(choose_edges(ages)) & set(ages.tolist())
    assert all(len(repr(edge)) <= 5 for edge in choose_edges(ages))


@given(finite, finite)
def test_between_is_strictly_between_where_there_is_room(one: float, other: float) -> None:
    low, high = sorted((one, other))
    middle = between(low, high)
    if math.nextafter(low, math.inf) < high:
        assert low < middle < high
    else:
        assert middle == low


@pytest.mark.parametrize("values", [[7.0], [0.0], [-3.25], [1e300], [1e-300], [5e-324], [1.7e308], [2.0**60]])
def test_a_constant_has_an_edge_on_either_side(values: list[float]) -> None:
    below, above = choose_edges(np.array(values))
    assert below < values[0] < above


def test_not_finite_values_choose_nothing() -> None:
    assert choose_edges(np.array([math.nan, math.inf, -math.inf])) == ()
    assert choose_edges(np.array([math.nan, 1.0, math.inf, 2.0])) == choose_edges(np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    "values",
    [
        [-1.4968802321510399e293, 1.7976931348623143e308],
        [1.7976931348623143e308] * 2 + [1.7976931348623151e308],
        [-1.7e308, 1.7e308],
    ],
)
def test_edges_of_the_largest_numbers_are_finite(values: list[float]) -> None:
    edges = choose_edges(np.array(values), 20)
    assert all(math.isfinite(edge) for edge in edges)
    assert list(edges) == sorted(set(edges))
