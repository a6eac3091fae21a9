import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.reference import build as build_module
from monitor.reference.bin_edges import choose_edges, frequent, gaps_at, wanted_ranks
from monitor.reference.build import build_reference
from monitor.reference.quantiles import Guide, QuantileSearch


def searched(
    values: np.ndarray, bins: int, *, piece: int = 5_000, guide: int = 2_048, room: int = 2**20
) -> QuantileSearch:
    kept = Guide(guide)
    for start in range(0, values.size, piece):
        kept.add(values[start : start + piece])
    search = QuantileSearch(kept.ordered(), values.size, bins, room)
    for start in range(0, values.size, piece):
        search.count(values[start : start + piece])
    search.aim()
    for start in range(0, values.size, piece):
        search.collect(values[start : start + piece])
    return search


def by_sorting(values: np.ndarray, bins: int) -> list[tuple[float, float | None]]:
    distinct, rows = np.unique(values, return_counts=True)
    own, left = frequent(rows, values.size, bins)
    rest = np.sort(values[~np.isin(values, distinct[own])])
    wanted = rest[wanted_ranks(rest.size, left) - 1] if rest.size else rest
    kept = np.unique(rest)
    return gaps_at(kept, np.searchsorted(kept, wanted), distinct[own])


DICE = np.random.default_rng(7)
SHAPES = {
    "normal": DICE.normal(size=100_000),
    "skewed": DICE.lognormal(sigma=4, size=100_000),
    "rising": np.sort(DICE.normal(size=100_000)),
    "falling": np.sort(DICE.normal(size=100_000))[::-1],
    "mostly zero": np.where(DICE.random(100_000) < 0.8, 0.0, DICE.normal(size=100_000)),
    "few distinct": np.round(DICE.normal(size=100_000)),
    "one far away": np.append(DICE.normal(size=100_000), 1e300),
    "in step with the guide": np.tile(np.arange(64.0), 1_600) + np.repeat(np.arange(1_600.0), 64) * 1e-6,
    "huge": DICE.normal(size=100_000) * 1e307,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("piece", [97, 5_000, 200_000])
def test_finds_what_sorting_finds(shape: str, piece: int) -> None:
    values = SHAPES[shape]
    search = searched(values, 20, piece=piece)
    assert search.rank_error == 0
    assert search.gaps() == by_sorting(values, 20)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60),
    st.integers(2, 9),
    st.integers(1, 7),
)
def test_finds_what_sorting_finds_among_any_values(values: list[float], bins: int, piece: int) -> None:
    array = np.array(values)
    assert searched(array, bins, piece=piece, guide=64).gaps() == by_sorting(array, bins)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(2, 9), st.integers(1, 7))
def test_a_guide_that_misses_a_frequent_value_still_gives_gaps_of_the_data(
    values: list[int], bins: int, piece: int
) -> None:
    array = np.array(values, dtype=float)
    following = dict(zip(np.unique(array).tolist(), [*np.unique(array)[1:].tolist(), None], strict=True))
    found = searched(array, bins, piece=piece, guide=4).gaps()
    assert all(following[low] == high for low, high in found)


def test_missing_and_infinite_values_are_passed_over() -> None:
    values = SHAPES["normal"]
    dirty = np.insert(values, np.arange(0, 3_000, 3), [np.nan, np.inf, -np.inf, np.nan] * 250)
    guide = Guide(2_048)
    guide.add(values)
    search = QuantileSearch(guide.ordered(), values.size, 20, 2**20)
    search.count(dirty)
    search.aim()
    search.collect(dirty)
    assert search.gaps() == by_sorting(values, 20)


@pytest.mark.parametrize("shape", ["normal", "skewed", "falling", "mostly zero"])
@pytest.mark.parametrize(("room", "guide"), [(300, 2_048), (5_000, 1)])
def test_with_little_room_ranks_stay_within_the_stated_error(shape: str, room: int, guide: int) -> None:
    values = SHAPES[shape]
    search = searched(values, 20, room=room, guide=guide, piece=400)
    found = [value for value, _ in search.gaps()]
    assert search._values.size <= room
    distinct, rows = np.unique(values, return_counts=True)
    own, left = frequent(rows, values.size, 20)
    values = values[~np.isin(values, distinct[own])]
    slack = search.rank_error * SHAPES[shape].size
    if guide == 1:  # and so no grid at all
        assert 0 < search.rank_error < 0.03
    ordered = np.sort(values)
    below, up_to = np.searchsorted(ordered, found, side="left"), np.searchsorted(ordered, found, side="right")
    for wanted in wanted_ranks(values.size, left).tolist():
        assert ((up_to >= wanted) & (below <= wanted + slack)).any()


def test_a_guide_thins_evenly_and_stays_bounded() -> None:
    guide = Guide(1_000)
    for start in range(0, 100_000, 777):
        guide.add(np.arange(start, min(start + 777, 100_000), dtype=float))
    ordered = guide.ordered()
    assert not guide.whole
    assert ordered.size <= 1_000
    assert set(np.diff(ordered)) == {128.0}


def test_a_reference_of_many_rows_has_the_edges_that_sorting_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.stack([SHAPES["normal"], SHAPES["skewed"]], axis=1)
    reference = build_reference(values, values[:, 0])
    for column, shape in zip(reference.schema.features, ("normal", "skewed"), strict=True):
        assert column.edges == choose_edges(SHAPES[shape])
    monkeypatch.setattr(build_module, "CHUNK", 1_000)
    assert build_reference(values, values[:, 0]).identity == reference.identity
