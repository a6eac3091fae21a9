"""Bars: areas tell shares, whatever the bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.columns.column import Column
from monitor.report.bars import HIGHEST, MOST_CATEGORIES, NARROWEST, Plane, lay_out

numbers = st.floats(-1e12, 1e12, allow_nan=False).map(lambda x: round(x, 3))

#: Counts of four bins, missing and infinite values: none, and some in a bin narrower than any bar is drawn.
NONE, ENDS = np.zeros(6, dtype=np.int64), np.array([0, 1, 0, 0, 0, 1])


@st.composite
def histograms(draw: st.DrawFn) -> tuple[Column, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    if draw(st.booleans()):
        edges = sorted(draw(st.sets(numbers, max_size=25)))
        column = Column("x", "feature", "numeric", edges=tuple(edges))
    else:
        column = Column("x", "feature", "categorical", categories=tuple(map(str, range(draw(st.integers(0, 60))))))
    counts = st.lists(st.integers(0, 1000), min_size=column.size, max_size=column.size).map(np.array)
    return column, draw(counts), draw(counts)


@given(histograms(), st.sampled_from([0.0, 0.025]))
def test_bars_hold_every_row_and_stay_on_the_plane(
    given_: tuple[Column, np.ndarray, np.ndarray],  # type: ignore[type-arg]
    finest: float,
) -> None:
    column, before, after = given_
    plane = lay_out(column, before, after, finest=finest)
    for side, counts in (("reference", before), ("test", after)):
        total = sum(getattr(bar, side) for bar in plane.bars)
        assert total == pytest.approx(1.0 if counts.sum() else 0.0)
    ends = [end for bar in plane.bars for end in (bar.left, bar.right)]
    assert ends == sorted(ends), "left to right, without overlap"
    assert not ends or (ends[0] >= 0 and ends[-1] <= 1 + 1e-9)
    for bar in plane.bars:
        assert 0 <= bar.reference_height <= 1
        assert 0 <= bar.test_height <= 1
        assert (bar.reference_height > 0) == (bar.reference > 0)


@given(histograms())
@example((Column("x", "feature", "numeric", edges=(0.0, 1.0, 934_250_000.0)), NONE, ENDS))
def test_area_is_proportional_to_share_wherever_a_bar_is_not_cut(
    given_: tuple[Column, np.ndarray, np.ndarray],  # type: ignore[type-arg]
) -> None:
    plane = lay_out(*given_)
    areas = [
        max(bar.right - bar.left, NARROWEST) * height / share
        for bar in plane.bars
        if not bar.cut
        for share, height in ((bar.reference, bar.reference_height), (bar.test, bar.test_height))
        if share > 0
    ]
    assert not areas or max(areas) == pytest.approx(min(areas), rel=2e-3)


def test_quantile_bins_show_the_shape_and_not_a_flat_line() -> None:
    values = np.sort(np.random.default_rng(0).normal(size=4000))
    edges = tuple(np.quantile(values, np.linspace(0, 1, 21)).tolist())
    column = Column("x", "feature", "numeric", edges=edges)
    counts = np.bincount(np.searchsorted(edges, values), minlength=column.size)
    plane = lay_out(column, counts, counts)
    heights = [bar.reference_height for bar in plane.bars if bar.where == "inside"]
    assert max(heights[8:12]) > 5 * max(heights[0], heights[-1])


def test_a_long_tail_does_not_squeeze_the_rest() -> None:
    column = Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5000.0))
    counts = np.array([0, 5, 5, 5, 5, 5, 1, 0, 0, 0])
    plane = lay_out(column, counts, counts)
    assert (plane.low, plane.high) == (0.0, 5.0)
    (tail,) = [bar for bar in plane.bars if bar.where != "inside"]
    assert (tail.where, tail.label) == ("high", "5 to 5,000"), "the reference saw it: it is only beyond the plot"
    assert tail.reference == pytest.approx(1 / 26)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_only_what_is_beyond_the_reference_is_called_so(sign: float) -> None:
    edges = sorted(sign * edge for edge in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5000.0))
    column = Column("x", "feature", "numeric", edges=tuple(edges))
    before, after = [0, 5, 5, 5, 5, 5, 1, 0], [0, 5, 5, 5, 5, 5, 2, 3]
    order = slice(None) if sign > 0 else slice(None, None, -1)
    sides = [np.array([*side[order], 0, 0]) for side in (before, after)]
    found = {bar.where: bar for bar in lay_out(column, *sides).bars if bar.where != "inside"}
    tail, beyond = ("high", "above") if sign > 0 else ("low", "below")
    assert set(found) == {tail, beyond}
    assert (found[tail].reference, found[tail].test) == pytest.approx((1 / 26, 2 / 30))
    assert (found[beyond].reference, found[beyond].test) == pytest.approx((0.0, 0.1))
    assert found[beyond].label == ("> 5,000" if sign > 0 else "≤ -5,000")


def test_an_outer_bin_in_which_the_reference_has_rows_is_a_tail() -> None:
    column = Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0))
    plane = lay_out(column, np.array([2, 4, 4, 0, 0, 0]), np.array([3, 4, 2, 1, 0, 0]))
    labels = {bar.where: bar.label for bar in plane.bars if bar.where != "inside"}
    assert labels == {"low": "≤ 0", "above": "> 2"}


def test_a_spike_is_cut_and_says_so() -> None:
    column = Column("x", "feature", "numeric", edges=(0.0, 1.0, 1.001, 2.0, 3.0))
    counts = np.array([0, 100, 90, 100, 100, 0, 0, 0])
    bars = lay_out(column, counts, counts).bars
    assert [bar.cut for bar in bars] == [False, True, False, False]
    assert bars[0].reference_height > 0.9 / HIGHEST


def test_missing_and_unseen_stand_apart() -> None:
    column = Column("x", "feature", "categorical", categories=("a", "b"))
    bars = lay_out(column, np.array([5, 5, 0, 0]), np.array([4, 4, 1, 1])).bars
    assert [bar.where for bar in bars] == ["category", "category", "other", "missing"]
    assert bars[2].left - bars[1].right > bars[1].left - bars[0].right + 0.01


def test_many_categories_are_drawn_with_the_rest_together() -> None:
    column = Column("x", "feature", "categorical", categories=tuple(map(str, range(60))))
    counts = np.arange(column.size)
    bars = lay_out(column, counts, counts).bars
    assert len([bar for bar in bars if bar.where == "category"]) == MOST_CATEGORIES
    assert bars[MOST_CATEGORIES - 1].label == "37 other known categories"


def test_values_lie_where_the_axis_says() -> None:
    plane = Plane((), low=10.0, high=20.0, origin=0.1, width=0.8)
    assert [plane.at(value) for value in (10.0, 15.0, 20.0, 99.0)] == pytest.approx([0.1, 0.5, 0.9, 0.9])
