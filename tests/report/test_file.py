"""The report: one file, with nothing to fetch and nothing to run, that judges a stretch as a whole."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from monitor import Monitor, __version__
from monitor.__main__ import main
from monitor.clock import ManualClock, from_iso
from monitor.config.load import Config
from monitor.drift.result import Span
from monitor.errors import StoreError
from monitor.judging.evaluation import Evaluator
from monitor.report import file
from monitor.rules.silence import Silence
from monitor.store.file.database import connect_read_only, open_database
from monitor.store.file.folder import DATABASE, DataFolder
from monitor.store.records import references
from monitor.store.records.alerts import save_silence
from monitor.store.records.usual import save_correlation
from monitor.store.windows.rows import load_version
from tests.server.scenes import NOON, opened


class Outside(HTMLParser):
    """Collects whatever a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("script", "link", "img", "iframe", "object", "embed", "base", "form") or "src" in given:
            self.found.append(tag)
        if any(name.startswith("on") for name in given) or not given.get("href", "#").startswith("#"):
            self.found.append(f"{tag} {given}")


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drifting")
    with opened("drifting", folder):
        pass
    return folder


def run(folder: Path, *arguments: str) -> int:
    (folder / "config.toml").write_text('[drift]\nevery = "5m"\n')
    return main(["report", "--config", str(folder / "config.toml"), "--data", str(folder / "data"), *arguments])


def test_report_is_one_file_that_fetches_and_runs_nothing(drifting: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert run(drifting, "--from", "2026-03-14T12:00Z", "--to", "2026-03-14T15:01Z", "--out", str(out)) == 0
    text = out.read_text("utf-8")
    outside = Outside()
    outside.feed(text)
    assert outside.found == []
    assert "url(" not in text
    assert text.index('<p class="lead">Predictions have ') < text.index("<h1>4 of 7 columns have drifted")
    assert "5,423 predictions" in text
    assert re.search(r'lost </span>17</td><td class="moved">the disk was full</td>', text)
    anchors = set(re.findall(r'href="#(c\d+)"', text))
    assert len(anchors) == 7
    assert anchors <= set(re.findall(r'id="(c\d+)"', text))


def test_a_report_around_an_alert_has_the_period_that_its_page_shows(
    drifting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(connect_read_only(drifting / "data" / DATABASE)) as connection:
        at, event = connection.execute("SELECT at, event_id FROM alert_events ORDER BY id").fetchone()
    assert run(drifting, "--around", event, "--format", "json") == 0
    start = from_iso(json.loads(capsys.readouterr().out)["start"])
    assert 3600 <= from_iso(at) - start <= 86_400
    assert run(drifting, "--around", "none") == 3
    assert "--around: no alert has the event id 'none'; `alerts` lists the last ones" in capsys.readouterr().err


def test_report_tells_what_judged_and_who_decided(drifting: Path, tmp_path: Path) -> None:
    """All that a reader needs in some years, when there is no server, no settings and no memory of that week."""
    start, end, late = (from_iso(f"2026-03-14T{at}Z") for at in ("12:00", "15:01", "15:30"))
    folder = shutil.copytree(drifting, tmp_path / "copy")
    with sqlite3.connect(folder / "data" / DATABASE) as writing:
        writing.row_factory = sqlite3.Row
        silence = Silence("s1", {"column": "bm*"}, end - 600, late, "ada", "the scales are being changed")
        save_silence(writing, silence, end - 600)
        save_silence(writing, replace(silence, id="s2", matchers={"column": "smoker"}), end - 600)
        references.accept(writing, Span(end - 1800, end), "grace", "new laboratory", late, columns=[3])
    writing.close()
    config = Config.from_text('[drift]\nevery = "5m"\nquiet = ["2026-03-20"]\n', "clinic.toml")
    with closing(connect_read_only(folder / "data" / DATABASE)) as connection:
        made = file.gather(connection, config, Span(start, end), late)
        text = file.to_html(connection, made, config)
        before = file.gather(connection, config, Span(start, start + 3600), late)
        after = file.gather(connection, config, Span(end, late), late)
    alerts = {one["column"]: one for one in made.to_dict()["alerts"]}
    assert set(alerts) == {"bmi", "glucose", "region", "prediction"}
    assert alerts["bmi"]["began"] >= "2026-03-14T13:50:00Z"
    assert alerts["bmi"]["ended"] is None
    assert alerts["bmi"]["direction"].startswith("mean was 26")
    assert alerts["bmi"]["told"] == []  # the scene delivers nothing
    assert alerts["bmi"]["harm"].startswith("harm unknown")
    told = "silenced from 14 Mar 2026, 14:51 UTC to 14 Mar 2026, 15:30 UTC by ada: the scales are being changed"
    assert alerts["bmi"]["decisions"] == [told]
    assert alerts["glucose"]["decisions"] == ["accepted on 14 Mar 2026, 15:30 UTC by grace: new laboratory"]
    assert alerts["region"]["decisions"] == []
    assert before.alerts == []
    assert {one["column"] for one in after.alerts} == set(alerts), "it fired since before the period"
    assert [one["columns"] for one in after.changes] == [["glucose"]]
    for said in ("Report on v7", f"by Telltale {__version__}", made.series.reference.identity, "clinic.toml", told,
                 "quiet days: 2026-03-20T00:00:00Z to 2026-03-21T00:00:00Z", "alpha 0.00015", "the last 30m",
                 "at least 50 predictions", "still firing after 1 h 6 min"):  # fmt: skip
        assert said in text


def test_report_names_predictions_of_other_versions(tmp_path: Path) -> None:
    from tests.server.scenes import NAMES, answers, clinic, rows

    (tmp_path / "config.toml").write_text(f"[data]\npath = '{tmp_path / 'data'}'\n")
    for version, n in (("v1", 30), ("v2", 20)):
        with Monitor.open(tmp_path / "config.toml", reference=clinic(), version=version) as monitor:
            given = rows(7, n)
            monitor.observe_many([dict(zip(NAMES, row, strict=True)) for row in given], answers(given))
            made = monitor.report()
    assert made.predictions == 20
    assert made.to_dict()["other_versions"] == {"v1": 30}
    assert "30 predictions of version v1" in made.page


def test_report_judges_the_stretch_that_was_asked_for(drifting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stretches = {"before": ("12:00", "13:45"), "after": ("14:00", "15:00")}
    states = {}
    for name, (start, end) in stretches.items():
        arguments = ["--from", f"2026-03-14T{start}Z", "--to", f"2026-03-14T{end}Z", "--format", "json"]
        assert run(drifting, *arguments) == 0
        found = json.loads(capsys.readouterr().out)
        states[name] = {column["column"]: column["state"] for column in found["columns"]}
        assert found["predictions"] == {"before": 105 * 30, "after": 60 * 30}[name]
    assert set(states["before"].values()) == {"ok"}
    drifted = {name for name, state in states["after"].items() if state == "drift"}
    assert drifted == {"bmi", "glucose", "region", "prediction"}


def test_every_time_in_a_report_has_its_date(tmp_path: Path) -> None:
    """Also if it is made on the day that it tells of: it is read later."""
    with opened("drifting", tmp_path) as runtime:
        connection = connect_read_only(runtime.folder.database)
        now = runtime.clock.time()
        report = file.gather(connection, runtime.config, Span(now - 3600, now), now)
        text = file.to_html(connection, report, runtime.config)
        connection.close()
    times = re.findall(r"<time [^>]*>([^<]*)</time>", text)
    assert len(times) > 5
    assert [said for said in times if not re.fullmatch(r"\d+ [A-Z][a-z]{2} \d{4}, \d\d:\d\d UTC", said)] == []
    assert re.search(r"<title>[^<]*from 14 Mar 2026, \d\d:\d\d UTC to 14 Mar 2026, \d\d:\d\d UTC", text)


def test_report_of_hostile_names_runs_nothing(tmp_path: Path) -> None:
    with opened("hostile", tmp_path) as runtime:
        connection = connect_read_only(runtime.folder.database)
        report = file.gather(connection, runtime.config, Span(NOON, NOON + 60), NOON + 60)
        text = file.to_html(connection, report, runtime.config)
        connection.close()
    outside = Outside()
    outside.feed(text)
    assert outside.found == []
    assert text.count("<script") == 0


def test_empty_stretch_says_that_nothing_is_there(drifting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(drifting, "--from", "2026-03-01", "--to", "2026-03-02") == 0
    assert "No traffic: no predictions from 1 Mar" in capsys.readouterr().out


def test_it_judges_as_the_command_judge_does_also_if_rows_of_a_window_are_alike(drifting: Path, tmp_path: Path) -> None:
    shutil.copytree(drifting / "data", tmp_path / "data")
    folder, config = DataFolder(tmp_path / "data"), Config.from_text("")
    folder.open()
    connection, _ = open_database(folder, ManualClock(NOON))
    series = load_version(connection)
    now, span = NOON + 12_000, Span(NOON, NOON + 10_800)
    criticals = []
    for ago, alike in ((120, 0.0), (60, 0.01)):
        rho = np.full((len(series.schema.columns), 3), alike)
        connection.execute("BEGIN")
        save_correlation(connection, series.id, 1, now - ago, rho, settled=False)
        connection.execute("COMMIT")
        found = file.gather(connection, config, span, now).evaluation.results
        judged = Evaluator(series, config, ManualClock(now)).judge(connection, span.start, span.end)
        told = [(one.column, one.statistic, one.state, one.critical) for one in found]
        assert told == [(one.column, one.statistic, one.state, one.critical) for one in judged]
        criticals.append(next(one.critical for one in found if one.statistic == "ks" and one.critical))
    assert criticals[1] > 2 * criticals[0]
    connection.close()
    folder.close()


def test_store_without_a_model_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.open()
    connection, _ = open_database(folder, ManualClock(NOON))
    with pytest.raises(StoreError, match="no model has been served yet"):
        file.gather(connection, Config.from_text(""), Span(0, 1), from_iso("2026-03-14"))
    connection.close()
    folder.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "soon"), "--from: expected a time"),
        (("--from", "1h", "--to", "2h"), "--to must be after --from"),
        (("--out", "/nowhere/at/all/report.html"), "--out: /nowhere/at/all/report.html cannot be written"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    drifting: Path, arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(drifting, *arguments) == 2
    assert says in capsys.readouterr().err
