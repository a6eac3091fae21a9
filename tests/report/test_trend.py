"""A column over time: shares and quantiles beside numpy's of the raw rows, bands that add up, and what is left out."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from monitor.columns.column import Column
from monitor.reference.file import Reference
from monitor.report import trend
from monitor.report.figure import NO_MARKS, Marks
from monitor.store.records.history import Series

RNG = np.random.default_rng(5)
HOUR = 3600.0


def over(column: Column, cells: list[list[float]]) -> Series:
    """Counts of the finite numbers of each hour."""
    counts = np.zeros((len(cells), column.size))
    for i, rows in enumerate(cells):
        np.add.at(counts[i], np.searchsorted(column.edges, rows), 1)
    return Series(HOUR * np.arange(len(cells)), counts, np.array([sum(rows) for rows in cells]), HOUR)


@pytest.mark.parametrize(
    "draw", [RNG.standard_normal, lambda n: np.exp(RNG.normal(size=n)), lambda n: np.maximum(RNG.normal(size=n), 0)]
)
def test_quantiles_are_in_the_bins_of_numpys(draw: Callable[[int], npt.NDArray[np.float64]]) -> None:
    samples = [draw(n) for n in (4000, 900, 300)]
    column = Reference.from_data({"x": samples[0]}, samples[0]).schema.columns[0]
    series = over(column, [sample.tolist() for sample in samples])
    for q in trend.QUANTILES:
        for found, rows in zip(trend.quantile(column, series.counts, q), samples, strict=True):
            at = int(np.searchsorted(column.edges, np.quantile(rows, q, method="inverted_cdf")))
            low, high = (column.edges[min(max(i, 0), len(column.edges) - 1)] for i in (at - 1, at))
            assert low - 1e-12 <= found <= high + 1e-12


def test_shares_are_those_of_the_rows_and_add_up() -> None:
    names = [f"c{i}" for i in range(12)]
    rows = RNG.choice([*names, "never", ""], 500, p=[0.2, 0.15, *[0.05] * 10, 0.1, 0.05])
    column = Column("x", "feature", "categorical", categories=tuple(names))
    live = np.array([np.sum(rows == name) for name in [*names, "never", ""]])
    reference = np.array([*range(112, 100, -1), 0, 0])
    parts = trend.parts(column, reference, live)
    assert [part.label for part in parts[-3:]] == ["6 other known values", "unseen values", "missing"]
    shares = dict(
        zip((part.label for part in parts), trend.shares_of(live[None] * 1.0, parts)[0].tolist(), strict=True)
    )
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["missing"] == np.mean(rows == "")
    assert shares["unseen values"] == np.mean(rows == "never")
    assert all(shares[label] == np.mean(rows == label) for label in shares if label.startswith("c"))
    assert len(shares) == trend.MOST_BANDS - 1 + 3


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([5.0] * 60, ["5"]),
        ([None] * 60, ["missing"]),
        ([1.5, 2.5] * 30, ["1.5", "2.5"]),
        ([True, False, False] * 20, ["false", "true"]),
        (np.linspace(0, 1, 60).tolist(), []),
    ],
)
def test_few_values_are_shares_and_other_numbers_quantiles(values: list[object], shown: list[str]) -> None:
    reference = Reference.from_data({"x": values}, np.zeros(60))
    column, counts = reference.schema.columns[0], reference.counts[: reference.schema.columns[0].size]
    series = Series(HOUR * np.arange(3), np.stack([counts] * 3).astype(np.float64), np.zeros(3), HOUR)
    drawn = trend.draw_column(column, series, counts, NO_MARKS, 0.0, 3 * HOUR)
    assert [[text for _, text in one.legend][::-1] for one in drawn] == [shown]


def test_numbers_outside_of_the_reference_are_never_seen_and_those_between_its_values_are_not() -> None:
    column = Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0, 3.0))
    reference, live = np.array([0, 5, 0, 5, 3, 0, 0]), np.array([2, 1, 1, 1, 1, 1, 1])
    (never, missing, infinite) = trend.strange(column, reference, live)
    assert (never.label, never.bins) == ("never seen", [0])
    assert trend.shares_of(live[None] * 1.0, [never, missing, infinite])[0] == pytest.approx([2 / 8, 1 / 8, 1 / 8])


def test_nothing_is_drawn_through_a_time_without_data() -> None:
    column = Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0), spreads=())
    series = Series(HOUR * np.array([0, 1, 4, 5]), np.full((4, 6), 3.0), np.zeros(4), HOUR)
    nothing = trend.without_data(series, 0.0, 6 * HOUR)
    (one, _) = trend.draw_column(column, series, np.array([1, 9, 9, 1, 0, 0]), Marks(nothing=nothing), 0.0, 6 * HOUR)
    assert nothing == [(2 * HOUR, 4 * HOUR)]
    (begin, end) = (round(1000 * (trend.BEGIN + (1 - trend.BEGIN) * part)) for part in (2 / 6, 4 / 6))
    lines = re.findall(r'class="line-live" d="M(\d+)[^"]*L(\d+) \d+"', one.drawn)
    assert [(int(low), int(high)) for low, high in lines] == [(60, begin), (end, 1000)]
    assert 'class="hatched"' in one.drawn


@pytest.mark.parametrize("numeric", [True, False])
def test_without_any_data_there_is_no_chart(numeric: bool) -> None:
    column = Column("x", "feature", "numeric" if numeric else "categorical", edges=(0.0, 1.0) if numeric else ())
    empty = Series(np.zeros(0), np.zeros((0, column.size)), np.zeros(0), HOUR)
    assert trend.draw_column(column, empty, np.ones(column.size, dtype=np.int64), NO_MARKS, 0.0, HOUR) == []
