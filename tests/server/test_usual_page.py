"""The column's page on what is usual: stored verdicts and the counts of the last evaluation, drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from monitor.drift.result import Span, Subject
from monitor.store.records.references import accept, accepted_periods
from monitor.words import STATISTIC_NAMES
from server.web.app import create_app
from tests.judging.test_usual import RULE, Weeks
from tests.store.world import DAY


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weeks]:
    """Six quiet weeks, two of them judged, then three days with a shift."""
    world = Weeks(tmp_path_factory.mktemp("usual") / "data", RULE.format(more=""))
    world.pass_hours(4 * 7 * 24, judge=False)
    world.pass_hours(2 * 7 * 24, every=6)
    world.pass_hours(3 * 24, shift=1.0, every=6)
    yield world
    world.close()


def section(world: Weeks, column: str, start: str = "30d", role: str = "feature") -> str:
    answer = create_app(world.runtime).test_client().get(f"/column/{role}?name={column}&from={start}")
    found = re.search(r'<section id="usual".*?</section>', answer.get_data(as_text=True), re.S)
    assert found
    return found[0]


def test_a_shift_is_drawn_beyond_its_limit_and_its_week_is_named(shifted: Weeks) -> None:
    text = section(shifted, "x0")
    assert re.findall(r"<h3>(.*?)</h3>", text) == ["Windows of 6 hours", "Windows of 1 day"]
    with shifted.read() as connection:
        rows = connection.execute(
            "SELECT window_end, value, critical, floor FROM drift WHERE statistic = 'usual 1d' AND \"column\" = 'x0' "
            "AND value IS NOT NULL"
        ).fetchall()
        fired = connection.execute(
            "SELECT at FROM alert_events WHERE rule = 'unusual' AND \"column\" = 'x0' AND after = 'firing'"
        ).fetchall()
    end, value, critical, floor = max(rows, key=lambda row: row[1] / max(row[2:]))
    inside = datetime.fromisoformat(end) - timedelta(seconds=1)
    monday = (inside - timedelta(days=inside.weekday())).date()
    _, worst = re.findall(r"Worst weeks? of the last half year: ([^;<]*)", text)
    assert worst.rstrip(".") == f"week of {monday}, {value:.3f} (limit {max(critical, floor):.3f})"
    assert len(fired) == 1
    assert text.count("▲</text>") == 2, "the alert is marked in the chart of each length"
    lines, limits = (re.findall(rf'<path class="line-{of}" d="([^"]*)"', text) for of in ("live", "critical"))
    for drawn, level in zip(lines, limits, strict=True):
        heights, (limit, _) = ([int(y) for y in re.findall(r"[ML]\d+ (\d+)", d)] for d in (drawn, level))
        assert all(y > limit for y in heights[:-12]), "quiet weeks stay below the limit"
        assert min(heights) < limit, "the shift does not"


def test_the_last_window_is_drawn_over_what_is_usual_and_over_training(shifted: Weeks) -> None:
    text = section(shifted, "x0")
    day = next(
        judged for judged in shifted.runtime.only.latest.judged if judged.window.end - judged.window.start == DAY
    )
    low, high = shifted.reference.schema.offsets[:2]
    for what, counts in (("usual", day.reference.counts), ("training", shifted.reference.counts)):
        assert f"</span>{what}, {int(counts[low:high].sum()):,} rows" in text
    assert text.count('aria-label="x0: the last window over what is usual"') == 2
    assert text.count('aria-label="x0: the last window over the training data"') == 2


def test_a_categorical_column_has_its_shares_as_tables(shifted: Weeks) -> None:
    text = section(shifted, "colour")
    assert text.count("<table") == 4
    assert 'class="pair"' in text


def test_an_accepted_period_is_marked(shifted: Weeks) -> None:
    assert "accepted period" not in section(shifted, "x0")
    now = shifted.clock.time()
    span = Span(now - 2 * DAY, now - DAY)
    shifted.runtime.writer.transaction(lambda connection: accept(connection, span, "a", "b", now, columns=[0]))
    text = section(shifted, "x0")
    assert text.count('<path class="accepted"') == 2, "a strip below each chart"
    assert "accepted period" in text
    assert "accepted period" not in section(shifted, "x1")
    with shifted.read() as connection:
        of = [("v1", "feature"), ("v1", "prediction"), ("v2", "feature")]
        periods = [accepted_periods(connection, Subject(version=version), role, "x0", 0.0) for version, role in of]
    assert periods == [[(span.start, span.end)], [], []]


def test_a_period_without_verdicts_has_no_chart(shifted: Weeks) -> None:
    shifted.clock.advance(3 * DAY)
    text = section(shifted, "x0", "24h")
    shifted.clock.advance(-3 * DAY)
    assert '"chart time"' not in text
    assert "Worst weeks of the last half year" in text


def test_a_column_that_is_learning_says_so(tmp_path: Path) -> None:
    world = Weeks(tmp_path / "data", RULE.format(more=""))
    world.pass_hours(24)
    text = section(world, "x0")
    world.close()
    assert "Learning what is usual, day 2 of 28. No window has been judged yet." in text


def test_the_chart_over_time_is_of_a_statistic_that_each_evaluation_has(tmp_path: Path) -> None:
    """An unusual window leads the column, but is judged once an hour: the chart over time is of another statistic."""
    more = '[[rule]]\nname = "drift"\nwindow = "6h"'
    world = Weeks(tmp_path / "data", RULE.format(more="") + more)
    world.pass_hours(5 * 7 * 24, judge=False)
    world.pass_hours(24, every=6)
    world.pass_hours(12, shift=2.0, every=6)
    text = create_app(world.runtime).test_client().get("/column/feature?name=x0&from=7d").get_data(as_text=True)
    leading = [r.statistic for r in world.runtime.only.latest.results if r.column == "x0" and r.state == "drift"]
    world.close()
    assert "usual 6h" in leading
    assert "The statistic over time" in text
    assert "its limits are such that about 1 message a month comes by chance" in text
    over_time = text[text.index('id="time"') : text.index('id="usual"')]
    statistic, _ = re.findall(r"<h3>(.*?)</h3>", over_time)
    assert statistic in STATISTIC_NAMES.values()
