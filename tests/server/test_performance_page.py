"""`/performance`, and what the overview and `/alerts` say of performance."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from monitor.__main__ import main
from monitor.reference.file import Reference
from monitor.report.performance import summarise
from server.web.app import create_app
from tests.judging.test_performance import World
from tests.server.hosted import served
from tests.server.scenes import opened


@pytest.fixture(scope="module")
def fallen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, FlaskClient]]:
    """A good day, then one on which four outcomes of ten are turned round."""
    world = World(tmp_path_factory.mktemp("fallen") / "data")
    world.hours(24)
    world.hours(24, wrong=0.4)
    yield world, create_app(world.runtime).test_client()
    world.runtime.close()


def page(client: FlaskClient, address: str = "/performance") -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return answer.get_data(as_text=True)


def headline(text: str) -> tuple[str, str]:
    """Tone and first line of a page, as plain text."""
    found = re.search(r'<section id="headline" data-live class="headline (\w+)">.*?<h1>(.*?)</h1>', text, re.S)
    assert found
    return found[1], re.sub(r"<.*?>", "", found[2])


def test_page_and_overview_begin_with_the_line(fallen: tuple[World, FlaskClient]) -> None:
    world, client = fallen
    line = summarise(world.runtime.only.latest)
    assert line is not None
    for address in ("/performance", "/"):
        tone, text = headline(page(client, address))
        assert tone == "drift"
        assert re.fullmatch(r"Accuracy 0\.7\d+ \(.*\), was 0\.866: worse since 7 Jan, \d\d:00 UTC", text), text
    overview = page(client, "/")
    assert '<h1><a href="/performance">' in overview
    assert "No traffic: no predictions in the last 30 minutes." in overview


def test_a_period_that_is_over_begins_with_what_held_then(fallen: tuple[World, FlaskClient]) -> None:
    world, client = fallen
    for address in ("/performance?from=all&to=2026-01-06T20:30Z", "/?from=all&to=2026-01-06T20:30Z"):
        text = page(client, address)
        tone, line = headline(text)
        assert line.startswith("Accuracy 0.8")
        assert ", as on the held-out rows (0.866)" in line
        assert (tone, "As it was judged at" in text) == ("ok" if "performance" in address else "unknown", True)
    event = next(alert for alert in world.runtime.only.latest.alerts.values() if alert.column == "performance")
    tone, line = headline(page(client, f"/performance?around={event.event_id}"))
    assert (tone, line.rpartition(": ")[2]) == ("drift", headline(page(client))[1].rpartition(": ")[2])
    assert headline(page(client, "/performance?from=1975-01-01&to=1975-01-02")) == (
        "unknown",
        "Performance was not judged in this period",
    )


def test_page_shows_every_part(fallen: tuple[World, FlaskClient]) -> None:
    _, client = fallen
    text = page(client)
    assert '<a href="/performance" aria-current="page">Performance</a>' in text
    for title in ("Accuracy over time", "Every metric of this period", "Do probabilities come true?", "Alert history"):
        assert title in text
    assert "2,880 outcomes of 2,880 predictions (100 %)." in text
    assert "Outcomes no longer follow from the predictions as they did on the held-out rows." in text
    assert text.count('<td class="cell">') == 4
    recall = page(client, "/performance?metric=recall&from=24h")
    assert "Recall over time" in recall
    assert '<a href="/performance?metric=f1&amp;from=24h">F1</a>' in recall
    assert "Accuracy over time" in page(client, "/performance?metric=%3Cb%3E")


def test_data_are_the_metrics_of_the_period(fallen: tuple[World, FlaskClient]) -> None:
    _, client = fallen
    period = "from=2026-01-06T00:00Z&to=2026-01-07T00:00Z"
    records = client.get(f"/performance?format=json&{period}").get_json()
    rows = list(csv.DictReader(io.StringIO(page(client, f"/performance?format=csv&{period}"))))
    assert [row["metric"] for row in rows] == [record["metric"] for record in records]
    assert (records[0]["metric"], records[0]["n"]) == ("accuracy", 24 * 60)
    assert records[0]["value"] > 0.84
    ever = page(client, "/performance?from=1971-01-01&to=2199-01-01")
    assert len(ever) < 40_000, "the axis ends with the history"


def test_alerts_lead_to_the_page_and_can_be_silenced(fallen: tuple[World, FlaskClient]) -> None:
    _, client = fallen
    text = page(client, "/alerts")
    assert '<a href="/performance?around=' in text
    for name in ("performance", "outcome", "error"):
        answer = client.get(f"/column/outcome?name={name}")
        assert (answer.status_code, answer.headers["Location"]) == (302, "/performance")


def test_learning_is_said_below_what_the_columns_do(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    client = create_app(world.runtime).test_client()
    assert headline(page(client)) == ("unknown", "Nothing judged yet")
    world.hours(1, rows=44)
    assert headline(page(client)) == ("unknown", "Learning: 44 outcomes, 100 are needed")
    overview = page(client, "/")
    assert headline(overview)[1].startswith("No traffic")
    assert '<a href="/performance">Performance</a>: Learning: 44 outcomes, 100 are needed.' in overview
    world.runtime.close()


def test_without_outcomes_there_is_no_link_and_the_page_says_how(tmp_path: Path) -> None:
    with opened("insufficient", tmp_path) as runtime:
        client = create_app(runtime).test_client()
        assert "/performance" not in page(client, "/")
        tone, text = headline(page(client))
        assert (tone, text) == ("unknown", "Outcomes are not kept: add the section [outcomes] to the settings")


def test_a_real_server_shows_what_came_true(tmp_path: Path) -> None:
    Reference.from_data({"age": np.linspace(1, 99, 300)}, ["yes", "no"] * 150).save(tmp_path / "histogram.prom")
    with served(tmp_path, '[model]\npath = ""\n[outcomes]\n') as client:
        rows = [{"features": [41], "prediction": "yes", "id": f"r{at}"} for at in range(8)]
        assert client.post(rows, "/observe")[0] == 200
        told = [{"id": f"r{at}", "outcome": "no" if at == 0 else "yes"} for at in range(4)]
        assert client.post(told, "/outcomes?wait=true")[1]["joined"] == 4
        status, _, body = client.get("/performance")
        text = body.decode()
        assert status == 200
        assert "4 outcomes of 8 predictions (50 %)." in text
        assert re.search(r">accuracy</a></th>(<td class=\"num\"><span[^>]*>[^<]+</span>(–|0\.75)</td>){2}", text)
        assert 'aria-current="page">Performance</a>' in text
        (accuracy, *_) = json.loads(client.get("/performance?format=json")[2])
        assert (accuracy["metric"], accuracy["value"], accuracy["n"]) == ("accuracy", 0.75, 4)


def test_an_alert_of_performance_can_be_silenced_from_a_terminal(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    world.hours(2)
    world.runtime.close()
    (tmp_path / "config.toml").write_text("[outcomes]\n")
    where = ["--config", str(tmp_path / "config.toml"), "--data", str(tmp_path / "data")]
    because = ["--for", "1h", "--reason", "known", "--author", "me"]
    for name, code in (("performance", 0), ("outcome", 0), ("performanse", 1)):
        assert main(["silence", f"column={name}", *because, *where]) == code, name
