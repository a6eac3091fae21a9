"""`compare`: what the monitor says of the same counts, from tables alone; and what its report shows."""

from __future__ import annotations

import builtins
import json
import threading
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor import Monitor, Reference, compare, tally
from monitor.columns.column import FUNCTIONS, Column, Derivation, Schema
from monitor.config.load import Config
from monitor.errors import DataError, InputError
from monitor.report.file import FIELDS, MOST_LISTED
from tests.library.conftest import Open, open_monitor, reference
from tests.report.test_file import Outside

__all__ = ["open_monitor", "reference"]


def flats(rows: int, area: float, towns: str = "abc", seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    columns = {"rooms": random.normal(3, 1, rows), "area": random.normal(area, 15, rows)}
    return pd.DataFrame({**columns, "town": random.choice(list(towns), rows)})


def price(table: pd.DataFrame) -> Any:
    return 3 * table.rooms + 0.1 * table.area


TRAINING, LIVE = flats(2000, 70), flats(1500, 90, "abx", 1)


def test_it_says_what_the_monitor_says_of_the_same_counts(tmp_path: Path) -> None:
    of = Reference.from_data(TRAINING, price(TRAINING))
    with Monitor.open(Config.from_text(""), reference=of, data=tmp_path) as monitor:
        wanted = monitor.judge_counts(tally(LIVE, price(LIVE), of))
    found = compare(of, LIVE, price(LIVE))
    assert found.drifted == ["prediction", "town", "area"]
    facts = ("column", "statistic", "state", "value", "critical", "floor", "p_value", "n", "m", "reference")
    for mine, theirs in zip(found.evaluation.results, wanted, strict=True):
        assert [getattr(mine, name) for name in facts] == [getattr(theirs, name) for name in facts]
    of.save(tmp_path / "histogram.prom")
    table, with_answers = LIVE.to_dict("list"), LIVE.assign(prediction=price(LIVE))
    for same in (
        compare(tmp_path / "histogram.prom", table, price(LIVE).tolist()),
        compare(of, with_answers),
        compare(of, iter(with_answers.to_dict("records"))),
        compare(of, tally(LIVE, price(LIVE), of)),
        compare(TRAINING, LIVE, price(LIVE), predictions_before=price(TRAINING)),
    ):
        assert [one.value for one in same.evaluation.results] == [one.value for one in wanted]


def test_without_predictions_features_are_compared_and_nothing_is_said_of_the_rest() -> None:
    of = Reference.from_data(TRAINING, price(TRAINING))
    for found in (compare(of, LIVE), compare(TRAINING, LIVE)):
        assert [row.column.name for row in found.rows] == ["town", "area", "rooms"]
        assert "rediction" not in repr(found)
    alike = compare(TRAINING, LIVE), compare(of, LIVE)
    assert alike[0].evaluation.judged[0].test.counts.sum() == 3 * 1500
    assert [row.result.value for row in alike[0].rows if row.result] == [
        row.result.value for row in alike[1].rows if row.result
    ]


def test_a_column_that_is_derived_of_a_prediction_is_left_out_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FUNCTIONS, "double", lambda captured, _: 2 * captured[0])
    of = Reference.from_data(TRAINING, price(TRAINING))
    twice = [Column(f"of {at}", "derived", "numeric", (0.0,), derivation=Derivation("double", (at,))) for at in (1, 3)]
    counts = np.concatenate([of.counts, *([0, 2000, 0, 0] for _ in twice)])
    more = np.concatenate([of.sums, [1.0, 1.0]]), np.concatenate([of.deviations, [1.0, 1.0]])
    of = Reference(Schema((*of.schema.columns, *twice)), counts, *more)
    names = [row.column.name for row in compare(of, LIVE).rows]
    assert sorted(names) == ["area", "of 1", "rooms", "town"]


def test_nothing_is_opened_or_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = threading.active_count()
    compare(TRAINING, LIVE)
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_of_itself_and_its_frame_keeps_it_apart(tmp_path: Path) -> None:
    found = compare(TRAINING, LIVE.replace("x", "<script>alert(1)</script>"))
    outside = Outside()
    outside.feed(found.page)
    assert outside.found == []
    assert "1,500 rows. Report made" in found.page
    assert "Alerts in this period" not in found.page
    assert "&lt;/script&gt;</bdi> (" in found.page, "an unseen value with its rows"
    frame = found._repr_html_()
    assert frame.startswith("<iframe")
    assert " sandbox " in frame.partition(">")[0]
    assert "<" not in frame.partition("srcdoc=")[2].removesuffix("></iframe>")
    inner = unescape(frame.partition('srcdoc="')[2].removesuffix('"></iframe>'))
    assert inner.replace('<base href="about:srcdoc">', "") == found.page
    found.save(tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text("utf-8") == found.page


def test_text_frame_and_dictionary_have_the_worst_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(TRAINING, LIVE)
    lines = repr(found).splitlines()
    assert lines[0] == "2 of 3 columns have drifted from the first table; town most of all."
    assert [line.split()[0] for line in lines[1:]] == ["column", "town", "area"]
    frame = found.to_frame()
    assert list(frame.columns) == [*FIELDS, "moved", "harm"]
    assert frame[["column", "state", "n", "m"]].to_numpy().tolist() == [
        ["town", "drift", 1500, 2000],
        ["area", "drift", 1500, 2000],
        ["rooms", "ok", 1500, 2000],
    ]
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [column["column"] for column in data["columns"]] == ["town", "area", "rooms"]
    assert repr(compare(TRAINING, TRAINING)) == "All quiet: 2,000 rows in the second table."
    assert repr(compare(TRAINING, TRAINING[:20])).startswith("Not enough data yet: 20 of 50 rows in")
    assert repr(compare(TRAINING, TRAINING[:0])).startswith("No traffic: no rows in")
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(500, 25)), columns=[f"c{i}" for i in range(25)])
    assert repr(compare(wide, wide + 1)).splitlines()[MOST_LISTED + 2 :] == ["and 5 more"]
    load = builtins.__import__

    def without_pandas(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(DataError, match="to_frame needs pandas: pip install pandas"):
        found.to_frame()


def test_tables_that_do_not_fit_are_refused() -> None:
    of = Reference.from_data(TRAINING, price(TRAINING))
    with pytest.raises(InputError, match="no value for 'area'"):
        compare(TRAINING, LIVE[["rooms", "town"]])
    with pytest.raises(DataError, match="None is no table"):
        compare(None, {"age": [1.0]})
    with pytest.raises(DataError, match="of the first table are missing"):
        compare(TRAINING, LIVE, price(LIVE))
    with pytest.raises(DataError, match="predictions_before are those of a table"):
        compare(of, LIVE, price(LIVE), predictions_before=price(TRAINING))
    with pytest.raises(DataError, match="predictions_before are those of a table"):
        compare(TRAINING, LIVE, predictions_before=price(TRAINING))
    with pytest.raises(InputError, match="count the rows again"):
        compare(of, tally(LIVE, price(LIVE), Reference.from_data(LIVE, price(LIVE))))


def test_rules_of_the_settings_judge() -> None:
    text = '[[rule]]\nname = "mine"\nstatistic = "psi"\ncolumns = ["area"]\nfloor = 99\n'
    found = compare(TRAINING, LIVE, config=Config.from_text(text))
    assert [(row.column.name, row.state) for row in found.rows] == [
        ("rooms", "not watched"),
        ("town", "not watched"),
        ("area", "ok"),
    ]
    assert {result.statistic for result in found.evaluation.results} == {"psi"}


def test_the_report_of_a_period_counts_the_open_window_and_says_so(open_monitor: Open, tmp_path: Path) -> None:
    monitor = open_monitor()
    monitor.observe_many([[41.0, 1.5, "f"]] * 70, [0.5] * 70)
    found = monitor.report()
    assert found.predictions == 70
    assert found.waiting == 70
    assert found.to_dict()["waiting"] == 70
    assert "70 predictions are in a window that has not ended, and counted here" in found.page
    assert "70 predictions are in a window that has not ended" in repr(found).splitlines()[0]
    assert found.drifted
    outside = Outside()
    outside.feed(found.page)
    assert outside.found == []
    earlier = monitor.report("2020-01-01", "2020-01-02")
    assert (earlier.predictions, earlier.waiting) == (0, 0)
    assert repr(earlier) == "No traffic: no predictions from 1 Jan 2020, 00:00 UTC to 2 Jan 2020, 00:00 UTC."
    with pytest.raises(InputError, match="the period from"):
        monitor.report("2020-01-02", "2020-01-01")


def test_objects_say_what_they_are(open_monitor: Open) -> None:
    monitor = open_monitor()
    monitor.observe(["41", 1.5, "f"], 0.5)
    monitor.evaluate(now=True)
    runtime = monitor._runtime
    watched = runtime.only
    assert repr(runtime).startswith("<Runtime of model in ")
    assert repr(watched) == f"<Watched {watched.version}: 1 prediction>"
    assert repr(watched.series).startswith(f"<Series all of {watched.version}: age (numeric, ")
    assert ", 15 insufficient data, 0 alerts>" in repr(watched.latest)
    found = runtime.performance(0.0, 60.0, None)
    assert repr(found).endswith(": no outcomes judged; 0 outcomes of 0 predictions>")
