"""Performance in words and figures: the line, the chart over time, calibration, mistakes, delays, and the report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.clock import iso
from monitor.drift.result import Span
from monitor.judging.performance_report import PerformanceReport
from monitor.outcomes.join import DELAYS
from monitor.outcomes.sums import Target, contribute
from monitor.report import file, performance
from monitor.report.performance import Summary
from monitor.store.file.database import connect_read_only
from tests.judging.test_performance import START, World
from tests.report.test_file import Outside


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "data")
    yield made
    made.runtime.close()


@pytest.fixture(scope="module")
def fallen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A good day, then one on which four outcomes of ten are turned round."""
    made = World(tmp_path_factory.mktemp("fallen") / "data")
    made.hours(24)
    made.hours(24, wrong=0.4)
    yield made
    made.runtime.close()


def line(world: World) -> Summary:
    said = performance.summarise(world.runtime.only.latest)
    assert said is not None
    return said


def report(world: World) -> PerformanceReport:
    return world.runtime.performance(START, world.clock.time())


def test_the_line_learns_then_is_as_before_then_worse_since(world: World) -> None:
    assert performance.summarise(world.runtime.only.latest) is None
    world.hours(1, rows=44)
    said = line(world)
    assert (said.known, said.line.tone, said.line.text) == (False, "unknown", "Learning: 44 outcomes, 100 are needed")
    world.hours(20)
    said = line(world)
    accuracy = world.results["performance", "accuracy"]
    assert (said.known, said.line.tone, said.metric, said.floor) == (True, "ok", "accuracy", 0.03)
    assert re.fullmatch(
        r"Accuracy 0\.\d+ \(0\.\d+ to 0\.\d+\), as on the held-out rows \(0\.866\); "
        r"a fall of less than 0\.\d+ would not be seen",
        said.line.text,
    )
    assert accuracy.reason == f"with 1,244 outcomes, {said.line.text.rpartition('; ')[2]}"
    world.hours(24, wrong=0.4)
    said = line(world)
    assert re.fullmatch(r"Accuracy 0\.7\d+ \(0\.\d+ to 0\.\d+\), was 0\.866: worse", said.line.text)
    (alert,) = (one for one in world.runtime.only.latest.alerts.values() if one.state == "firing")
    assert (said.line.tone, said.line.since) == ("drift", alert.began)
    assert said.more[0].startswith("Also worse: F1 0.")


def test_a_fall_that_does_not_matter_is_told_and_is_no_alarm(tmp_path: Path) -> None:
    settings = '[[rule]]\nname = "low"\nstatistic = "accuracy"\nfloor = 0.5\n'
    world = World(tmp_path / "data", settings)
    world.hours(24, wrong=0.4)
    said = line(world)
    assert said.line.tone == "ok"
    assert "worse than on the held-out rows (0.866) by less than the 0.5 that matters" in said.line.text
    world.runtime.close()


def test_without_a_baseline_the_line_says_how_to_get_one(tmp_path: Path) -> None:
    world = World(tmp_path / "data", holdout=False)
    world.hours(3)
    said = line(world)
    assert not said.known
    assert "`telltale init --target COLUMN --holdout FILE` adds it" in said.line.text
    shown = performance.draw_report(report(world))
    assert shown["over_time"] is not None
    assert shown["came"] == []
    assert all(row.reference is None for row in shown["rows"])
    world.runtime.close()


def test_outcomes_that_drift_are_told_beside_the_line(world: World) -> None:
    for _ in range(12):
        ids, outcomes = world.predict(300)
        kept = [at for at, one in enumerate(outcomes) if one == "yes" or at % 4 == 0]
        world.tell([ids[at] for at in kept], [outcomes[at] for at in kept])
        world.clock.advance(3600)
        world.runtime.evaluate()
    said = line(world)
    assert said.line.tone == "drift"
    assert any(text.startswith("What came true has drifted: most rows are now yes") for text in said.more), said.more


def test_the_chart_has_a_band_a_reference_and_hatched_hours(fallen: World) -> None:
    found = report(fallen)
    drawn = performance.over_time(found, "accuracy", performance.measure(found.whole.sums)["accuracy"], 0.05)
    assert drawn is not None
    measured = [part for part in found.parts if "accuracy" in part.measures]
    assert drawn.count('class="band"') == len(measured) == 48
    hatched = [part for part in found.parts if not part.settled]
    assert drawn.count('class="hatched"') == len(hatched)
    (solid,) = re.findall(r'<path class="line-live" d="([^"]*)"', drawn)
    heights = [int(y) for y in re.findall(r"[ML]\d+ (\d+)", solid)]
    assert np.mean(heights[:24]) < np.mean(heights[24:]), "lower on the page is worse"
    (dashed,) = re.findall(r'<path class="line-estimated" d="([^"]*)"', drawn)
    assert np.ptp([int(y) for y in re.findall(r"[ML]\d+ (\d+)", dashed)]) < np.ptp(heights)
    assert performance.over_time(found, "mae", None) is None


def test_hours_without_settled_outcomes_are_hatched(world: World) -> None:
    late = []
    for _ in range(20):
        late.append(world.predict(60))
        if len(late) > 2:
            world.tell(*late.pop(0))
        world.clock.advance(3600)
        world.runtime.evaluate()
    found = report(world)
    unsettled = [part for part in found.parts if not part.settled]
    assert len(unsettled) >= 2
    drawn = performance.draw_report(found)
    assert drawn["unsettled"]
    assert drawn["over_time"].count('class="hatched"') == len(unsettled)
    assert "95 % within" in drawn["delays"]


def test_a_period_of_centuries_has_no_more_parts_than_the_history(fallen: World) -> None:
    found = fallen.runtime.performance(0.0, 7e9)
    assert len(found.parts) == 48
    assert found.whole.sums.n == 48 * 60
    assert fallen.runtime.performance(START - 9e6, START - 8e6).parts == ()


def test_reliability_is_that_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    target = Target("binary", ("no", "yes"), scores=(1,), edges=tuple(k / 100 for k in range(1, 100)))
    p = rng.random(4000)
    came = rng.random(4000) < p**2
    sums = contribute(target, np.column_stack([p > 0.5, p]).astype(float), came.astype(float))
    bins = performance.reliable(sums)
    assert len(bins) == 10
    for at, one in enumerate(bins):
        inside = (p > at / 10) & (p <= (at + 1) / 10)
        assert one.n == inside.sum()
        assert one.expected == pytest.approx(p[inside].mean())
        assert one.came == pytest.approx(came[inside].mean())
        assert one.low < one.came < one.high
    drawn = performance.reliability(sums, sums)
    assert drawn is not None
    assert drawn.count("h0") == 10
    assert performance.reliability(contribute(Target("regression"), np.ones((3, 1)), np.ones(3)), None) is None


def test_the_matrix_has_shares_of_what_came_true_and_many_classes_a_list_of_mistakes(fallen: World) -> None:
    found = performance.confusion(report(fallen))
    assert found is not None
    for row in found["rows"]:
        assert sum(cell["n"] for cell in row["cells"]) == row["n"]
        assert sum(cell["share"] for cell in row["cells"]) == pytest.approx(1)
        assert sum(cell["before"] for cell in row["cells"]) == pytest.approx(1)
    assert sum(row["share"] for row in found["rows"]) == pytest.approx(1)


def test_of_many_classes_the_most_frequent_mistakes_are_listed(fallen: World) -> None:
    target = Target("multiclass", tuple("abcdefghij"))
    outcomes = np.array([0, 0, 0, 1, 1, 2, 9, 10], float)
    predicted = np.array([[1], [1], [0], [1], [2], [2], [0], [3]], float)
    base = report(fallen)
    whole = replace(base.whole, sums=contribute(target, predicted, outcomes))
    found = performance.confusion(replace(base, target=target, whole=whole, baseline=None))
    assert found is not None
    assert found["rows"] is None
    told = [(one["name"], one["predicted"], one["n"], one["before"]) for one in found["mistakes"]]
    assert told[0] == ("a", "b", 2, None)
    assert set(told[1:]) == {("b", "c", 1, None), ("j", "a", 1, None), ("any other", "d", 1, None)}


def test_delays_are_drawn_where_they_are_and_settle_is_marked() -> None:
    counts = np.zeros(len(DELAYS) + 1, np.int64)
    assert performance.delays(counts, 0.0) is None
    counts[14], counts[15] = 90, 10
    drawn = performance.delays(counts, DELAYS[15])
    assert drawn is not None
    # Four bins are drawn, and the settle time is the end of the third.
    (mark,) = re.findall(r'<path class="gap" d="M(\d+) 1000', drawn)
    assert int(mark) == 750
    assert "95 % within 1 h 33 min" in drawn
    assert ">1 h<" in drawn


def test_the_report_file_has_performance_and_fetches_nothing(fallen: World) -> None:
    fallen.runtime.fold()
    span = Span(START, fallen.clock.time())
    connection = connect_read_only(fallen.folder / "telltale.db")
    try:
        config = fallen.runtime.config
        made = file.gather(connection, config, span, fallen.clock.time())
        text = file.to_html(connection, made, config)
    finally:
        connection.close()
    outside = Outside()
    outside.feed(text)
    assert outside.found == []
    assert "url(" not in text
    (headline,) = re.findall(r"<h1>(.*?)</h1>", text)
    assert re.fullmatch(r"Accuracy 0\.\d+ \(0\.\d+ to 0\.\d+\), was 0\.866: worse", headline)
    assert '<section id="performance"' in text
    assert "2,880 outcomes of 2,880 predictions (100 %)." in text
    found = json.loads(json.dumps(made.to_dict()))
    assert found["performance"]["outcomes"] == 2880
    states = {one["statistic"]: one["state"] for one in found["results"] if one["column"] == "performance"}
    assert states["accuracy"] == "drift"
    assert found["performance"]["window"]["start"] == iso(START)
