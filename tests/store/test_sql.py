"""Every recipe of docs/sql.md, run on a snapshot of what the real recorder and evaluator wrote."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from monitor.clock import from_iso
from monitor.drift.evaluate import Question
from monitor.drift.result import DriftResult, Span
from monitor.store.file.snapshot import write_snapshot
from monitor.store.records import usual
from monitor.store.records.erase import erase
from monitor.store.records.notifications import claim, head, settle
from monitor.store.records.verdicts import enter_questions, save_results
from monitor.store.windows.rows import add_gap
from monitor.store.windows.tiers import roll_up
from tests.store.world import Monitored

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
RECIPES = dict(re.findall(r"```sql\n-- (.+?)\n(.+?)```", PAGE.read_text("utf-8"), re.DOTALL))


#: What was learnt of x0: day and predictor; window length, week since 1970 and the largest distance in it.
LEARNED = (("2026-03-13", 0), ("2026-03-14", 1))
WEEKS = ((6, 2930, 2.5), (6, 2931, 7.25), (24, 2931, 3.0))


@pytest.fixture(scope="module")
def march(tmp_path_factory):
    """The 14th of March: five minutes of nothing, then bmi moves, and a colour comes that nobody knows."""
    folder = tmp_path_factory.mktemp("sql")
    monitored = Monitored(folder / "data", "[outcomes]", start=from_iso("2026-03-14"))
    monitored.minutes(60)
    monitored.clock.advance(300)
    monitored.minutes(20)
    for at, rows in (("2026-03-14T00:30", 20), ("2026-03-14T01:20", 40)):
        monitored.record_outcomes(0.5, rows, from_iso(at))
    monitored.minutes(30, shift=1.5, colour="mauve")
    writer = monitored.runtime.writer
    request = {"columns": [["feature", "colour"]], "value": "sepia", "author": "ada", "reason": "asked to"}
    erase(writer, monitored.runtime.folder, request, monitored.clock.time())
    writer.transaction(lambda c: roll_up(c, monitored.clock.time()))
    writer.transaction(lambda c: add_gap(c, "dropped", "2026-03-14T01:00:30Z", "2026-03-14T01:00:40Z", 17, "disk full"))
    learned = [usual.LearnedRow(0, 6, from_iso(day), how, np.array([0.0, 0.0004, 0.0025])) for day, how in LEARNED]
    weeks = [usual.WeekRow(0, hours, week, np.array([worst, -1.0])) for hours, week, worst in WEEKS]
    writer.transaction(lambda c: usual.save(c, 1, learned, weeks))
    span = Span(from_iso("2026-03-13T17:00:00Z"), from_iso("2026-03-13T23:00:00Z"))
    unusual = DriftResult("unusual", "x0", "feature", "numeric", "usual 6h", "drift", span, "usual level", "v1", 99, 99)
    unusual = unusual._replace(value=0.45, critical=0.2, scatter=0.05, floor=0.08)
    writer.transaction(
        lambda c: save_results(c, span.end, [unusual], enter_questions(c, 1, [Question("unusual", (0,))]))
    )

    def deliver(c: sqlite3.Connection) -> None:
        while (item := head(c, "log")) is not None:
            claim(c, item.id, monitored.clock.time())
            settle(c, item.id, "sent", "", monitored.clock.time())

    writer.transaction(deliver)
    write_snapshot(monitored.path, folder / "march.db")
    monitored.close()
    with closing(sqlite3.connect(f"file:{folder}/march.db?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def answer(march: sqlite3.Connection, recipe: str) -> list[sqlite3.Row]:
    """Run a recipe; the model of this test calls its columns otherwise than the page does."""
    return march.execute(RECIPES[recipe].replace("'bmi'", "'x0'")).fetchall()


def test_no_recipe_is_left_untested():
    assert PAGE.read_text("utf-8").count("```sql") == len(RECIPES)
    tested = set(re.findall(r'answer\(march, "(.+?)"\)', Path(__file__).read_text("utf-8")))
    assert tested == set(RECIPES)


def test_histogram_of_a_day(march):
    rows = answer(march, "histogram of a day")
    assert sum(row["predictions"] for row in rows) == 110 * 20
    assert [row["label"] for row in rows[-2:]] == ["__missing__", "__nonfinite__"]
    hours = answer(march, "predictions of each hour of a day")
    assert {row["hour"]: row["predictions"] for row in hours} == {"2026-03-14T00": 1200, "2026-03-14T01": 1000}


def test_counts_as_they_are_stored(march):
    rows = answer(march, "a count out of the stored text")
    bins = march.execute('SELECT "column", count FROM histogram_bins WHERE window_id = 1 AND bin = 3')
    expected = {row["column"]: row["count"] for row in bins}
    assert len(rows) == 4
    assert {row["name"]: row["count"] or 0 for row in rows} == expected
    assert any(expected.values())


def test_where_drift_was(march):
    rows = answer(march, "drift by column")
    assert {row["column"] for row in rows} >= {"x0", "x1", "colour"}
    assert all(row["strongest"] > row["critical"] for row in rows)
    assert all("2026-03-14T00:50" < row["first_window"] < row["last_window"] for row in rows)
    verdicts = answer(march, "verdicts on one column, in order")
    assert len(verdicts) == 15 * 4
    assert "drift" in {row["state"] for row in verdicts}


def test_how_well_the_model_did(march):
    hours = answer(march, "accuracy by hour")
    assert [(row["start"], row["metric"], row["n"]) for row in hours] == [
        ("2026-03-14T00:00:00Z", "mae", 20),
        ("2026-03-14T01:00:00Z", "mae", 40),
    ]
    means = {row["metric"]: row for row in answer(march, "means over a period")}
    assert means.keys() == {"bias", "mae", "mse"}
    assert (means["bias"]["value"], means["mae"]["value"], means["mse"]["outcomes"]) == (-0.5, 0.5, 60)


def test_who_was_told(march):
    rows = answer(march, "alerts and messages")
    firing = [row for row in rows if row["after"] == "firing"]
    assert {row["column"] for row in firing} >= {"x0", "x1", "colour"}
    assert all(row["receiver"] == "log" and row["outcome"] == "sent" and row["told_at"] for row in firing)


def test_unseen_values(march):
    (row,) = answer(march, "unseen values")
    assert (row["column"], row["value"], row["count"]) == ("colour", "mauve", 600)


def test_what_was_erased(march):
    (row,) = answer(march, "what was erased")
    assert tuple(row)[1:6] == ("ada", "asked to", "feature", "colour", 0)


def test_behind_a_verdict(march):
    rows = answer(march, "behind a verdict")
    assert len(rows) == 3
    assert all(row["reference"].endswith(row["reference_sha256"][:12]) for row in rows)
    assert all('"alpha":' in row["asked"] and row["model_version"] == "v1" for row in rows)
    counts = answer(march, "the counts that a verdict was made from")
    (verdict,) = march.execute("SELECT n FROM drift WHERE id = ?", (rows[0]["id"],)).fetchall()
    assert sum(row["count"] for row in counts) == verdict["n"]


def test_gaps(march):
    (row,) = answer(march, "what is missing")
    assert tuple(row)[:4] == ("dropped", "2026-03-14T01:00:30Z", "2026-03-14T01:00:40Z", 17)
    (quiet,) = answer(march, "quiet periods between windows")
    assert tuple(quiet) == ("2026-03-14T01:00:00Z", "2026-03-14T01:05:00Z")


def test_what_was_dropped(march):
    rows = {row["table"]: row for row in answer(march, "dropped by age or size")}
    assert rows["windows"]["written"] == rows["windows"]["there"] == 110 + 1
    assert {row["dropped"] for row in rows.values()} == {0}


def test_what_is_usual(march):
    rows = [tuple(row) for row in answer(march, "what is expected of each column, and since when")]
    assert rows == [("x0", 6, "2026-03-14T00:00:00Z", "hour", 0.05)]


def test_what_an_unusual_window_rests_on(march):
    (row,) = answer(march, "what unusual windows rest on")
    assert tuple(row)[1:] == ("x0", "usual 6h", "drift", 0.45, 0.05, 9.0, 4.0, "2026-03-13T00:00:00Z")


def test_the_worst_weeks(march):
    rows = [tuple(row) for row in answer(march, "the worst weeks of a column")]
    assert rows == [("2026-03-05", 6, 7.25), ("2026-03-05", 24, 3.0), ("2026-02-26", 6, 2.5)]
