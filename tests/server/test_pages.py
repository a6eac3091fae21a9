"""The pages over the app, without a browser: every format, every state, every name."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from monitor.cli.show import gather
from monitor.clock import from_iso
from monitor.columns.column import column_path
from monitor.report import overview
from monitor.report.glossary import anchor
from monitor.runtime import Runtime
from monitor.store.file.database import one_moment
from monitor.store.records import usual
from monitor.store.records.usual import LearnedRow
from server.web.app import create_app
from server.web.pages import to_csv
from tests.report.test_glossary import MARKED
from tests.server.scenes import HOSTILE, SCENES, opened

VIEWS = ("/", "/performance", "/alerts", "/monitor")


class Opened:
    """Scenes, each set once."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._scenes: dict[str, tuple[FlaskClient, Runtime]] = {}

    def __call__(self, name: str) -> tuple[FlaskClient, Runtime]:
        if name not in self._scenes:
            runtime = self._stack.enter_context(opened(name, self._folder / name))
            self._scenes[name] = create_app(runtime).test_client(), runtime
        return self._scenes[name]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with ExitStack() as stack:
        yield Opened(stack, tmp_path_factory.mktemp("scenes"))


@pytest.mark.parametrize("name", SCENES)
def test_every_view_of_every_scene_in_every_format(scene: Opened, name: str) -> None:
    client, runtime = scene(name)
    columns = [column_path(column.role, column.name) for column in runtime.only.reference.schema.columns[:14]]
    for path in (*VIEWS, *columns):
        answer = client.get(path)
        assert answer.status_code == 200, path
        text = answer.get_data(as_text=True)
        # What a strict content policy forbids, or would have to be loosened for.
        assert not re.search(r"<style|\sstyle=|<script(?! src=\"/assets/page.js\" defer></script>)|\son[a-z]+=\"", text)
        assert "nan" not in re.findall(r"[\w.]+", text.lower().replace("gnp", ""))
        join = "&" if "?" in path else "?"
        records = json.loads(client.get(f"{path}{join}format=json").data)
        table = list(csv.DictReader(io.StringIO(client.get(f"{path}{join}format=csv").get_data(as_text=True))))
        assert isinstance(records, list)
        assert len(records) == len(table)


def test_every_word_of_help_is_one_that_a_page_links_to(scene: Opened) -> None:
    linked = {anchor(word) for word in MARKED}
    for name, path in (("drifting", "/column/feature?name=bmi"), ("drifting", "/alerts"), ("worse", "/performance")):
        linked |= set(re.findall(r'href="/help#([^"]+)"', scene(name)[0].get(path).get_data(as_text=True)))
    client, _ = scene("drifting")
    said = client.get("/help").get_data(as_text=True)
    assert set(re.findall(r'<div id="([^"]+)"><dt>', said)) == linked
    assert all('<a href="/help">Help</a>' in client.get(path).get_data(as_text=True) for path in ("/", "/help"))


def test_page_is_protected_and_fetches_nothing_from_elsewhere(scene: Opened) -> None:
    client, _ = scene("drifting")
    answer = client.get("/")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.get_data(as_text=True)
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    for asset in re.findall(r"(?:src|href)=\"(/assets/[^\"]+)", text):
        with client.get(asset) as answer:
            assert answer.status_code == 200


def test_overview_lists_every_column_worst_first(scene: Opened) -> None:
    client, runtime = scene("drifting")
    records = client.get("/?format=json").get_json()
    assert len(records) == len(runtime.only.reference.schema.columns)
    states = [record["state"] for record in records]
    assert states == ["drift"] * 4 + ["ok"] * 3
    assert records[0]["role"] == "prediction"
    strengths = [record["value"] / max(record["critical"], record["floor"]) for record in records]
    assert strengths[1:4] == sorted(strengths[1:4], reverse=True)
    assert all(record["since"] for record in records[:4])
    assert not any(record["since"] for record in records[4:])


@pytest.mark.parametrize(
    ("name", "says"), [("quiet", "Predictions have not moved."), ("drifting", "Predictions have ")]
)
def test_whether_the_predictions_have_moved_is_said_first(scene: Opened, name: str, says: str) -> None:
    """Before the columns, and also if none has drifted."""
    client, _ = scene(name)
    page = client.get("/").get_data(as_text=True)
    assert 0 < page.index(f'<p class="lead">{says}') < page.index("<h1>")


def test_overview_and_status_say_what_the_budget_has_been(scene: Opened) -> None:
    client, runtime = scene("drifting")
    now = runtime.clock.time()
    assert "messages a month" not in client.get("/").get_data(as_text=True)
    learned = LearnedRow(0, 6, now - 56 * 86_400, 0, np.zeros(3))
    runtime.writer.transaction(lambda connection: usual.save(connection, runtime.only.series.id, [learned], []))
    said = "0.0 messages a month over the last 8 weeks"
    assert f"Unusual: {said}." in client.get("/").get_data(as_text=True)
    with one_moment(runtime.folder.database) as connection:
        assert gather(connection, runtime.config, now)["unusual"] == said
        # Asked long after the last evaluation, as of replayed data: the weeks that were not judged do not count.
        assert gather(connection, runtime.config, now + 30 * 86_400)["unusual"] == said


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("state=drift&role=feature", {"region", "bmi", "glucose"}),
        ("q=GLU", {"glucose"}),
        ("q=nothing", set()),
        ("role=prediction", {"prediction"}),
        ("state=%3Cscript%3E", set()),
    ],
)
def test_filter_works_without_scripts(scene: Opened, query: str, left: set[str]) -> None:
    client, _ = scene("drifting")
    assert {record["column"] for record in client.get(f"/?{query}&format=json").get_json()} == left
    text = client.get(f"/?{query}").get_data(as_text=True)
    assert text.count('scope="row"') == len(left)
    assert ("No column matches" in text) == (not left)
    assert "<script>" not in text


@pytest.mark.parametrize(
    ("query", "current", "hours"),
    [
        ("", "24 h", ("12:00", "15:01")),
        ("from=24h", "24 h", ("12:00", "15:01")),
        ("from=30d&to=", "30 days", ("12:00", "15:01")),
        ("from=all", "all", ("12:00", "15:01")),
        ("from=2h", "", ("13:01", "15:01")),
        ("from=2h&to=30m", "", ("13:01", "14:31")),
        ("from=2026-03-14T13:00&to=2026-03-14T14:00Z", "", ("13:00", "14:00")),
    ],
)
def test_any_period_is_shown_and_a_young_history_fills_it(
    scene: Opened, query: str, current: str, hours: tuple[str, str]
) -> None:
    client, _ = scene("drifting")
    for path in (f"/?{query}", f"/column/feature?name=bmi&{query}"):
        text = client.get(path).get_data(as_text=True)
        choices = text[text.index('aria-label="Choices"') :].partition("</form>")[0]
        assert re.findall(r'aria-current="true">([^<]+)<', choices) == [current] * bool(current)
        ends = [f'<time datetime="2026-03-14T{hour}:00Z">{hour} UTC</time>' for hour in hours]
        assert " to ".join(ends) in text


def test_heat_map_shows_when_it_began(scene: Opened) -> None:
    client, _ = scene("drifting")
    text = client.get("/?q=bmi&from=7d").get_data(as_text=True)
    strong = re.search(r'class="h-strong" d="M(\d+) 0h(\d+)', text)
    ok = re.search(r'class="h-ok" d="M(\d+) 0h(\d+)', text)
    assert strong
    assert ok
    assert int(ok[1]) + int(ok[2]) <= int(strong[1]), "first well, then not"
    assert f'viewBox="0 0 {int(strong[1]) + int(strong[2])} 10"' in text, "up to now"
    assert int(ok[1]) == 1, "from the first evaluation on, which came five minutes after the first prediction"


def test_links_and_forms_keep_the_period(scene: Opened) -> None:
    client, _ = scene("drifting")
    kept = "from=2026-03-14T13:00Z&amp;to=1h"
    asked = kept.replace("&amp;", "&")
    text = client.get(f"/?q=bmi&state=drift&{asked}").get_data(as_text=True)
    for path in ("/", "/alerts", "/monitor"):
        assert f'href="{path}?{kept}"' in text
        assert ("This page shows the present." in client.get(f"{path}?{asked}").get_data(as_text=True)) == (
            path == "/monitor"
        )
    assert f'href="/column/feature?name=bmi&amp;{kept}"' in text
    assert 'href="/?q=bmi&amp;state=drift&amp;from=7d"' in text, "a choice replaces the period and keeps the filter"
    assert 'href="/what-to-do"' in text
    period, filters = (re.search(rf'<form class="{name}".*?</form>', text, re.S) for name in ("choose", "filter"))
    assert period
    assert filters
    assert re.findall(r'name="(\w+)" value="([^"]*)"', period[0]) == [
        *(("q", "bmi"), ("state", "drift")),
        *(("from", "2026-03-14T13:00Z"), ("to", "1h")),
    ]
    assert '<input type="hidden" name="to" value="1h">' in filters[0]
    assert f'<a href="/?{kept}">Columns</a>' in client.get(f"/column/feature?name=bmi&{asked}").get_data(as_text=True)


@pytest.mark.parametrize(
    ("query", "where", "says"),
    [
        ("from=lately", "from", "expected a time such as 2026-03-01T00:00Z"),
        ("from=%3Cscript%3E", "from", "got &#39;&lt;script&gt;&#39;"),
        ("to=1960-01-01", "to", "between 1970 and 2200"),
        ("from=1h&to=2h", "from", "not before its end, 2026-03-14T13:01:00Z"),
        ("around=nothing", "around", "no alert has the event id &#39;nothing&#39;"),
    ],
)
def test_a_wrong_period_is_named_and_nothing_else_is_lost(scene: Opened, query: str, where: str, says: str) -> None:
    client, _ = scene("drifting")
    usual = {
        path: client.get(path).get_data(as_text=True)
        for path in ("/?q=bmi", "/column/feature?name=bmi", "/alerts?show=")
    }
    for path, well in usual.items():
        answer = client.get(f"{path}&{query}")
        text = answer.get_data(as_text=True)
        assert answer.status_code == 400
        assert says in text
        assert f'<p class="wrong" id="period-wrong" role="alert"><b>{where}</b>: ' in text
        assert text.count("<path") == well.count("<path")
        assert f'href="/monitor?{where}' not in text, "links do not repeat it"
        error = client.get(f"{path}&{query}&format=json")
        assert (error.status_code, error.get_json()["error"]["where"]) == (400, where)
    for path in ("/api/windows", "/api/performance", "/api/alerts"):
        error = client.get(f"{path}?{query}")
        assert (error.status_code, error.get_json()["error"]["where"]) == (400, where)


def test_a_period_around_an_alert(scene: Opened) -> None:
    """It begins before the alert does; one that fires lasts until now."""
    client, runtime = scene("drifting")
    alert = next(alert for alert in runtime.only.latest.alerts.values() if alert.column == "bmi")
    text = client.get(f"/column/feature?name=bmi&around={alert.event_id}").get_data(as_text=True)
    assert f'href="/?around={alert.event_id}"' in text
    alerts = client.get(f"/alerts?around={alert.event_id}").get_data(as_text=True)
    link = f'<a href="/column/feature?name=bmi&amp;around={alert.event_id}"><bdi>bmi</bdi></a>'
    assert link in alerts[: alerts.index('id="events"')]
    assert link in alerts[alerts.index('id="events"') :]
    answer = client.get(f"/api/windows?column=bmi&around={alert.event_id}").get_json()
    assert from_iso(answer["start"]) < alert.since < from_iso(answer["end"]) == runtime.clock.time()


def test_alerts_of_a_period_are_found_after_they_ended(scene: Opened) -> None:
    """Five fired at 19:00, ended at 21:30, when another version took over, and fired again for that one."""
    client, _ = scene("kinds")
    names = {"true_or_false", "grade", "city", "amount", "height"}

    def fired(path: str, period: str) -> list[dict[str, object]]:
        found = client.get(f"{path}{period}").get_json()
        assert {one["column"] for one in found} in (set(), names)
        return sorted((one["began"][11:16], one["ended"] and one["ended"][11:16], one["state"]) for one in found)[::5]

    for path in ("/api/alerts?", "/alerts?format=json&"):
        assert fired(path, "to=2026-03-14T19:00Z") == []
        assert fired(path, "from=2026-03-14T20:00Z&to=2026-03-14T21:00Z") == [("19:00", None, "firing")]
        both = fired(path, "from=2026-03-14T21:15Z")
        assert both == [("19:00", "21:30", "resolved"), ("21:30", None, "firing")]
        assert fired(path, "from=2026-03-14T22:00Z") == both[1:]
    text = client.get("/alerts").get_data(as_text=True)
    now, ended = text.index('id="current"'), text.index('id="fired"')
    assert "5 firing alerts" in text[:now]
    assert text[now:ended].count("badge firing") == 5
    assert text[ended : text.index('id="silences"')].count("badge resolved") == 5
    assert text.count("for 2 h 30 min: model version v7 was replaced by v8") == 5
    assert "mean was 3.5, now 2.75 (0.76 sd); harm unknown" in text[ended:]
    event = client.get("/api/alerts?from=7d").get_json()[-1]["event_id"]
    for period in (f"around={event}", "from=2026-03-14T19:00Z&to=2026-03-14T22:00Z"):
        text = client.get(f"/alerts?{period}").get_data(as_text=True)
        assert "<h1>10 alerts fired</h1>" in text
        assert not re.search('id="(current|silences)"', text)
    text = client.get("/alerts?to=2026-03-14T19:00Z").get_data(as_text=True)
    assert "<h1>No alerts</h1>" in text
    assert text.count("None fired.") == text.count("No alert changed its state in this period.") == 1


def test_a_period_that_is_over_shows_what_was_judged_then(scene: Opened) -> None:
    client, _ = scene("drifting")
    text = client.get("/?from=all&to=80m").get_data(as_text=True)
    assert "<h1>All quiet: 900 predictions in the 30 minutes to 14 Mar 2026, 13:40 UTC</h1>" in text
    assert 'As it was judged at <time datetime="2026-03-14T13:40:00Z">13:40 UTC</time>. <a href="/?from=24h">' in text
    assert {record["state"] for record in client.get("/?from=all&to=80m&format=json").get_json()} == {"ok"}
    text = client.get("/column/feature?name=bmi&from=2h&to=5m").get_data(as_text=True)
    assert "mean was 26, now 30.8 (1.2 sd)" in text
    assert "from=24h" in text
    for path in ("/?", "/column/feature?name=bmi&"):
        text = client.get(f"{path}from=64m&to=62m").get_data(as_text=True)
        assert "Nothing was judged in this period" in text
    assert "As it was judged" not in client.get("/?from=2h").get_data(as_text=True)


@pytest.mark.parametrize(
    ("against", "words", "beside"),
    [
        ("before", "the period before", "1,800 rows from 13:00 UTC to 14:00 UTC"),
        ("week", "the same period last week", "0 rows from 7 Mar, 14:00 UTC to 7 Mar, 15:00 UTC"),
    ],
)
def test_a_column_is_shown_beside_an_earlier_period(scene: Opened, against: str, words: str, beside: str) -> None:
    client, _ = scene("drifting")
    period = "from=2026-03-14T14:00Z&to=2026-03-14T15:00Z"
    for name in ("bmi", "region"):
        page = f"/column/feature?name={name}&{period}"
        text = client.get(f"{page}&against={against}").get_data(as_text=True)
        said = re.sub("<[^>]+>", "", text)
        assert f"1,800 rows from 14:00 UTC to 15:00 UTC, beside {beside}." in said
        assert "This is only a picture: verdicts are given against the training data." in said
        assert f'aria-current="true">{words}</a>' in text
        assert "Cumulative shares" not in text
        kept = period.replace("&", "&amp;")
        assert f'href="/?{kept}&amp;against={against}"' in text
        assert f'href="/column/feature?name={name}&amp;against=reference&amp;{kept}"' in text
        rows = client.get(f"{page}&against={against}&format=json").get_json()
        assert sum(row["live"] for row in rows) == 1800
        usual = client.get(f"{page}&against=reference").get_data(as_text=True)
        assert "only a picture" not in usual
        assert f'href="/?{kept}"' in usual, "what is compared without a choice needs no other address"
        assert "only a picture" not in client.get(page).get_data(as_text=True)
    wrong = client.get("/column/feature?name=bmi&against=last")
    assert wrong.status_code == 400
    assert "<b>against</b>: expected one of reference, before, week." in wrong.get_data(as_text=True)


def test_column_page_tells_what_moved(scene: Opened) -> None:
    client, _ = scene("drifting")
    text = client.get("/column/feature?name=bmi").get_data(as_text=True)
    assert "(1.2 sd)" in text
    assert "The statistic over time" in text
    assert re.search(r"Quantiles of bmi over time, reference → newest: .*median 26\S* → ", text)
    assert "Changes found in these windows" in text
    text = client.get("/column/feature?name=region").get_data(as_text=True)
    assert re.search(r"overseas</bdi></th><td class=\"num\"><span class=\"label\">rows </span>20<", text), (
        "unseen values, by name"
    )
    assert "most rows are now east: was 20 %, now 51 %" in text


def test_a_columns_charts_mark_alerts_versions_accepted_periods_and_times_without_data(scene: Opened) -> None:
    client, _ = scene("kinds")
    text = client.get("/column/feature?name=grade").get_data(as_text=True)
    marked = re.findall(r"<li>(.*?)</li>", re.sub(r"</?(time|bdi)[^>]*>", "", text))
    assert marked == [
        "alert from 14 Mar, 19:00 UTC to 14 Mar, 21:30 UTC",
        "alert from 14 Mar, 21:30 UTC to 15 Mar, 00:00 UTC",
        "accepted as normal: 14 Mar, 22:20 UTC to 15 Mar, 00:00 UTC",
        "from 14 Mar, 21:20 UTC model version v8",
        "no data from 14 Mar, 15:20 UTC to 14 Mar, 16:20 UTC",
    ]
    assert text.count("▲</text>") == 2 * text.count("✓</text>") == 4, "in both charts"
    verdicts = text[text.index('id="verdicts"') :].partition("</details>")[0]
    assert "2026-03-14T12:30:00Z" in verdicts, "the version before had verdicts, too"
    past = client.get("/column/feature?name=grade&from=all&to=2026-03-14T20:00Z").get_data(as_text=True)
    assert re.search(r"As it was judged at <time[^>]*>14 Mar, 20:00 UTC</time>, of version <bdi>v7</bdi>", past)
    assert re.search(r"feature, alert <a [^>]*>firing</a> since <time[^>]*>14 Mar, 19:00 UTC", past)
    text = client.get("/column/feature?name=city").get_data(as_text=True)
    assert "23 other known values" in text
    assert "</i><bdi>missing</bdi>" in text
    assert "</i><bdi>unseen values</bdi>" in text


def test_alerts_page_names_dead_letters_and_health_page_gaps(scene: Opened) -> None:
    client, _ = scene("drifting")
    text = client.get("/alerts").get_data(as_text=True)
    assert "1 notification could not be delivered" in text
    assert "404: no_service, the webhook was revoked" in text
    text = client.get("/monitor").get_data(as_text=True)
    assert "the disk was full" in text
    assert ">17<" in text
    text = client.get("/").get_data(as_text=True)
    assert text.count('class="lost"') == 7
    assert '17 predictions lost: the disk was full, <time datetime="2026-03-14T12:41:07Z">' in text
    text = client.get("/column/feature?name=bmi").get_data(as_text=True)
    assert text.count("✕</text>") == 2, "in both charts"
    assert "<li>17 predictions lost: the disk was full, from <time" in text
    for path in ("/?", "/column/feature?name=bmi&"):
        assert "17 predictions" not in client.get(f"{path}from=2h").get_data(as_text=True)


def test_values_at_each_point_of_a_chart_can_be_read_without_scripts(scene: Opened) -> None:
    client, _ = scene("kinds")
    for name, every in {
        "amount": (
            r"14 Mar 2026, 12:00 to 12:20 UTC\nmedian [\d.]+\nmiddle 50 %: \S+ to \S+\nmiddle 90 %: \S+ to \S+\nn 120",
            r"\S+ to \S+: reference 5\S* %, live \S+ % \(\d+ rows?\)",
            r"up to \S+: reference \S+ %, live \S+ %, gap \S+ %",
            r"14 Mar 2026, 12:30 UTC: ok\n[^\n]+ \S+\ncritical value \S+\neffect floor \S+\nn \d+",
        ),
        "grade": (r"reference, 600 rows\n4\.5: 1\S+ %\n3\.5: ",),
    }.items():
        titles = re.findall(
            r"<title>([^<]+)</title>", client.get(f"/column/feature?name={name}").get_data(as_text=True)
        )
        for wanted in every:
            assert any(re.match(wanted, title) for title in titles), (wanted, titles)
    assert "<title>14 Mar" not in client.get("/report").get_data(as_text=True)


def test_states_without_data_are_said_and_not_drawn(scene: Opened) -> None:
    client, _ = scene("silent")
    text = client.get("/").get_data(as_text=True)
    assert 'class="live"' not in text
    assert "no rows in this window" in text
    text = client.get("/column/feature?name=bmi").get_data(as_text=True)
    assert 'class="live"' not in text
    assert "(no live data)" in text
    records = client.get("/?format=json").get_json()
    assert all(record["state"] == "no traffic" and record["value"] is None for record in records)


def test_unknown_column_is_a_page_that_leads_back(scene: Opened) -> None:
    client, _ = scene("quiet")
    for path in ("/column/feature?name=nope", "/column/feature", "/column/prediction?name=bmi"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert 'href="/"' in answer.get_data(as_text=True)
    assert client.get("/column/other?name=bmi").status_code == 404


def test_200_columns_stay_small(scene: Opened) -> None:
    client, _ = scene("wide")
    answer = client.get("/")
    assert answer.get_data(as_text=True).count('class="hist"') == 200
    assert len(answer.data) <= 300_000


def test_columns_that_are_as_they_were_are_in_a_fold_that_is_open_while_one_searches(scene: Opened) -> None:
    client, _ = scene("wide")
    text = client.get("/").get_data(as_text=True)
    assert '<details id="same"><summary>188 columns are as they were</summary>' in text
    for query in ("q=_018_", "state=ok", "show=fold", "show=all"):
        text = client.get(f"/?{query}").get_data(as_text=True)
        assert re.search(r'<details id="same" open><summary>\d+ columns? (is|are) as', text), query
    text = scene("quiet")[0].get("/").get_data(as_text=True)
    assert '<details id="same" open><summary>7 columns are as they were</summary>' in text, "few need no fold"


def test_what_is_not_listed_of_very_many_columns_is_said_and_found(
    scene: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_FIGURES", 30)
    client, _ = scene("wide")
    text = client.get("/").get_data(as_text=True)
    assert text.count('scope="row"') == text.count('class="hist"') == 30
    assert "170 more columns are not listed." in text
    assert '<a href="/?q=&amp;state=&amp;role=&amp;show=all">Show all</a>' in text
    assert "188 columns are as they were" in text
    text = client.get("/?show=all").get_data(as_text=True)
    assert (text.count('scope="row"'), text.count('class="hist"')) == (200, 30)
    assert "not listed" not in text
    assert client.get("/?q=_199_").get_data(as_text=True).count('scope="row"') == 0
    assert client.get("/?q=_198_").get_data(as_text=True).count('class="hist"') == 1
    assert len(client.get("/?format=json").get_json()) == 200


def test_csv_holds_no_formula(scene: Opened) -> None:
    client, _ = scene("hostile")
    table = list(csv.DictReader(io.StringIO(client.get("/?format=csv").get_data(as_text=True))))
    assert len(table) == len(HOSTILE) + 1
    assert not [cell for row in table for cell in row.values() if cell and cell[0] in "=+-@\t\r"]
    assert to_csv([]) == "\r\n"
