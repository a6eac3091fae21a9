import numpy as np
import pytest

from monitor.window.sketch import QuantileSketch


def filled(values: np.ndarray, capacity: int, piece: int) -> QuantileSketch:
    sketch = QuantileSketch(capacity)
    for start in range(0, values.size, piece):
        sketch.add(values[start : start + piece])
    return sketch


def test_keeps_every_value_up_to_its_capacity() -> None:
    values = np.random.default_rng(0).normal(size=1_000)
    sketch = filled(values, 1_000, 64)
    kept, weights = sketch.sample()
    assert sketch.exact
    assert sketch.rank_error == 0
    assert kept.tolist() == np.sort(values).tolist()
    assert weights is None


@pytest.mark.parametrize("order", ["random", "rising", "falling", "few distinct"])
@pytest.mark.parametrize("piece", [97, 5_000, 200_000])
def test_ranks_stay_within_the_stated_error(order: str, piece: int) -> None:
    values = np.random.default_rng(7).normal(size=200_000)
    if order in ("rising", "falling"):
        values = np.sort(values)[:: 1 if order == "rising" else -1]
    elif order == "few distinct":
        values = np.round(values)
    sketch = filled(values, 4_096, piece)
    kept, weights = sketch.sample()
    assert not sketch.exact
    assert 0 < sketch.rank_error < 0.05
    assert weights is not None
    assert weights.sum() == sketch.count == values.size
    assert kept.size <= 4_096 + piece
    ordered = np.sort(values)
    for probe in np.quantile(values, np.linspace(0, 1, 101)):
        exact = np.searchsorted(ordered, probe, side="right") / values.size
        estimated = weights[: np.searchsorted(kept, probe, side="right")].sum() / values.size
        assert abs(estimated - exact) <= sketch.rank_error


def test_the_same_values_give_the_same_sample() -> None:
    values = np.random.default_rng(1).normal(size=50_000)
    one, other = filled(values, 1_024, 500).sample(), filled(values, 1_024, 500).sample()
    assert one[0].tolist() == other[0].tolist()


def test_memory_stays_bounded() -> None:
    sketch = filled(np.random.default_rng(1).normal(size=1_000_000), 4_096, 10_000)
    assert sketch.sample()[0].size < 4_096
