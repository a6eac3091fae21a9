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
from monitor.columns.column import column_path
from monitor.runtime import Runtime
from monitor.store.file.database import one_moment
from monitor.store.records import usual
from monitor.store.records.usual import LearnedRow
from server.web.app import create_app
from server.web.pages import to_csv
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
    strengths = [record["value"] / max(record["critical"], record["floor"]) for record in records]
    assert strengths[:4] == sorted(strengths[:4], reverse=True)
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


@pytest.mark.parametrize("chosen", ["1h", "6h", "24h", "7d", "30d", "1y", "nonsense", ""])
def test_every_range_is_shown(scene: Opened, chosen: str) -> None:
    client, _ = scene("drifting")
    for path in (f"/?range={chosen}", f"/column/feature?name=bmi&range={chosen}"):
        text = client.get(path).get_data(as_text=True)
        shown = re.search(r'aria-current="true">(\w+)<', text)
        assert shown
        assert shown[1] == (chosen if chosen not in ("nonsense", "") else "6h")


def test_heat_map_shows_when_it_began(scene: Opened) -> None:
    client, _ = scene("drifting")
    text = client.get("/?q=bmi&range=6h").get_data(as_text=True)
    strong = re.search(r'class="h-strong" d="M(\d+) 0h(\d+)', text)
    ok = re.search(r'class="h-ok" d="M(\d+) 0h(\d+)', text)
    assert strong
    assert ok
    assert int(ok[1]) + int(ok[2]) <= int(strong[1]), "first well, then not"
    assert int(strong[1]) + int(strong[2]) == 60, "and up to now"
    assert int(ok[1]) == 29, "what came before the first evaluation is left empty"


def test_column_page_tells_what_moved(scene: Opened) -> None:
    client, _ = scene("drifting")
    text = client.get("/column/feature?name=bmi").get_data(as_text=True)
    assert "(1.2 sd)" in text
    assert "The statistic over time" in text
    assert "Mean, median and the middle 90 % of bmi over time" in text
    assert "Changes found in these windows" in text
    text = client.get("/column/feature?name=region").get_data(as_text=True)
    assert re.search(r"overseas</bdi></th><td class=\"num\">20<", text), "unseen values, by name"
    assert "most rows are now east: was 20 %, now 51 %" in text


def test_alerts_page_names_dead_letters_and_health_page_gaps(scene: Opened) -> None:
    client, _ = scene("drifting")
    text = client.get("/alerts").get_data(as_text=True)
    assert "1 notification could not be delivered" in text
    assert "404: no_service, the webhook was revoked" in text
    text = client.get("/monitor").get_data(as_text=True)
    assert "the disk was full" in text
    assert ">17<" in text


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


def test_csv_holds_no_formula(scene: Opened) -> None:
    client, _ = scene("hostile")
    table = list(csv.DictReader(io.StringIO(client.get("/?format=csv").get_data(as_text=True))))
    assert len(table) == len(HOSTILE) + 1
    assert not [cell for row in table for cell in row.values() if cell and cell[0] in "=+-@\t\r"]
    assert to_csv([]) == "\r\n"
