import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.reference import build as build_module
from monitor.reference.bin_edges import frequent, gaps_of, gaps_of_rows, wanted_ranks
from monitor.reference.build import build_reference
from tests.support.edges import choose_edges


def by_sorting(values: np.ndarray, bins: int) -> list[tuple[float, float | None]]:
    distinct, rows = np.unique(values, return_counts=True)
    own, left = frequent(rows, values.size, bins)
    rest, known = np.sort(values[~np.isin(values, distinct[own])]), distinct.tolist()
    low = {*rest[wanted_ranks(rest.size, left) - 1].tolist(), *distinct[own].tolist()}
    low |= {known[at - 1] for at in own.tolist() if at}
    return [(value, dict(zip(known, [*known[1:], None], strict=True))[value]) for value in sorted(low)]


DICE = np.random.default_rng(7)
SHAPES = {
    "normal": DICE.normal(size=100_000),
    "skewed": DICE.lognormal(sigma=4, size=100_000),
    "rising": np.sort(DICE.normal(size=100_000)),
    "falling": np.sort(DICE.normal(size=100_000))[::-1],
    "mostly zero": np.where(DICE.random(100_000) < 0.8, 0.0, DICE.normal(size=100_000)),
    "one far away": np.append(DICE.normal(size=100_000), 1e300),
    "huge": DICE.normal(size=100_000) * 1e307,
}


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60),
    st.integers(2, 9),
)
def test_gaps_are_those_of_the_sorted_rows(values: list[float], bins: int) -> None:
    array = np.array(values)
    assert gaps_of(*np.unique(array, return_counts=True), bins) == by_sorting(array, bins)
    assert gaps_of_rows(array.copy(), bins) == by_sorting(array, bins)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_reference_of_many_rows_has_the_edges_that_sorting_gives(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = SHAPES[shape]
    dirty = np.insert(values, np.arange(0, 3_000, 3), [np.nan, np.inf, -np.inf, np.nan] * 250)
    reference = build_reference(dirty[:, None], values[:10])
    assert reference.schema.features[0].edges == choose_edges(values)
    monkeypatch.setattr(build_module, "CHUNK", 1_000)
    again = build_reference(dirty[:, None], values[:10])
    assert again.schema.features[0].edges == choose_edges(values)
    assert (again.counts == reference.counts).all()


@pytest.mark.parametrize("shape", ["normal", "skewed", "falling"])
def test_a_sample_keeps_ranks_and_all_values_within_the_edges(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = SHAPES[shape]
    monkeypatch.setattr(build_module, "SAMPLED", 20_000)
    reference = build_reference(values[:, None], values[:10])
    assert build_reference(values[:, None], values[:10]).identity == reference.identity
    (column, _), (counts, _) = reference.schema.columns, reference.schema.split(reference.counts)
    assert counts.sum() == values.size
    assert counts[0] == counts[column.value_bins - 1] == 0, "no row is out of range"
    ordered = np.sort(values)
    shares, exact = (np.searchsorted(ordered, edges) / values.size for edges in (column.edges, choose_edges(values)))
    assert len(shares) == len(exact)
    assert np.abs(shares - exact).max() < 0.02, "six standard errors of 20,000 rows"
