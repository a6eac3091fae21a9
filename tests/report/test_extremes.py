"""Whatever finite numbers were recorded, a report comes out, and windows are judged and searched for changes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.backtest.rejudge import judge
from monitor.columns.column import Column
from monitor.drift.result import Span
from monitor.reference.file import Reference
from monitor.report import figure
from monitor.report.bars import lay_out
from monitor.report.figure import ticks
from monitor.report.file import gather, to_html
from monitor.store.windows.rows import load_series
from tests.store.world import HOUR, MIDNIGHT, Monitored

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE, min_size=2, max_size=12, unique=True), st.data())
def test_a_histogram_is_drawn_between_any_edges(edges: list[float], data: st.DataObject) -> None:
    column = Column("x", "feature", "numeric", edges=tuple(sorted(edges)))
    rows = st.lists(st.integers(0, 1_000), min_size=column.size, max_size=column.size)
    before, after = (np.array(data.draw(rows)) for _ in range(2))
    plane = lay_out(column, before, after, finest=0.008)
    for bar in plane.bars:
        numbers = (bar.left, bar.right, bar.reference_height, bar.test_height)
        assert all(-1e-9 <= number <= 1 + 1e-9 for number in numbers)
    assert "nan" not in figure.histogram(plane, "x", 10)


@given(st.lists(FINITE, min_size=1, max_size=8))
def test_any_numbers_are_drawn_over_time(values: list[float]) -> None:
    points = [(60.0 * i, value) for i, value in enumerate(values)]
    drawn = figure.time_line("x", 0.0, 600.0, {"line-live": points}, levels=[("line-ref-level", values[0], "mean")])
    assert "nan" not in drawn
    assert "inf" not in drawn


@given(FINITE, FINITE)
def test_ticks_are_finite(low: float, high: float) -> None:
    assert all(math.isfinite(tick) for tick in ticks(*sorted((low, high))))


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize(
    "values",
    [[1.5e308, -1.5e308], [1.7e308] * 3, [5e-324, -5e-324, 0.0], [1.7e308, 5e-324, -1e300], [-1.7976931348623157e308]],
)
def test_a_report_and_a_backtest_come_out_whatever_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[float], extreme: bool
) -> None:
    if extreme:
        # Edges whose span is beyond the largest number.
        numbers = np.concatenate([np.linspace(-1.7e308, -1e300, 50), np.linspace(1e300, 1.7e308, 50)])
        features = {"x0": numbers, "x1": numbers / 1e300, "colour": ["red", "blue"] * 50}
        monkeypatch.setattr("tests.store.world.reference", lambda _columns: Reference.from_data(features, numbers))
    world = Monitored(tmp_path / "data")
    try:
        for value in values * 3:
            few = np.full(30, value)
            world.runtime.only.recorder.record_many([few, few, ["red"] * 30], [few], None)
            world.clock.advance(60)
            world.runtime.evaluate()
        with world.read() as connection:
            series = load_series(connection, 1)
            now = world.clock.time()
            report = gather(connection, world.config, Span(MIDNIGHT, MIDNIGHT + HOUR), now)
            assert "x0" in to_html(connection, report, world.config)
            moments = list(judge(connection, series, world.config, MIDNIGHT, now))
            assert sum(len(moment.results()) for moment in moments)
    finally:
        world.close()
