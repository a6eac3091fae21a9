"""The whole path as a user walks it: train, serve, load, verdicts, alerts on Slack and Telegram, SQL, restart."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.running import ROW, Server, environment, wait_for
from monitor.__main__ import telltale
from monitor.clock import Clock
from tests.server.conftest import copy_model
from tests.support.clocks import FastClock
from tests.support.fake_providers import FakeProvider, fake_provider
from train.load import main as send

#: The demonstration: five evaluations a second, so that a test need not wait a minute for one.
DEMO = """
[drift]
every = "200ms"
[window]
fold = "50ms"
"""

#: The prediction follows the feature that is moved, and may be named with it.
DRIFTED = re.compile(r'bmi\\?" (has|and 1 more have) drifted')


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(folder: Path, name: str) -> str:
    """What a command says, without a process for it."""
    with chdir(folder), redirect_stdout(io.StringIO()) as said:
        assert telltale([name]) == 0
    return said.getvalue()


def load(server: Server, *arguments: str, clock: Clock | None = None) -> None:
    with chdir(server.folder):
        assert send(["--url", f"http://127.0.0.1:{server.port}", *arguments], clock) == 0


def judged(server: Server, rows: int) -> dict[str, dict[str, Any]]:
    """The strongest result of each column once an evaluation has seen so many predictions; drift before all."""

    def seen() -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = server.json("/api/drift")
        return results if results and max(result["n"] for result in results) >= rows else []

    results = wait_for(seen, f"an evaluation over {rows} predictions")
    order = ("drift", "warning", "error", "no reference", "insufficient data", "no traffic", "ok")
    return {r["column"]: r for r in sorted(results, key=lambda r: order.index(r["state"]), reverse=True)}


def drifted(results: dict[str, dict[str, Any]]) -> set[str]:
    return {column for column, result in results.items() if result["state"] == "drift"}


def counters(server: Server) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(server.get("/metrics")[2].decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        if family.type in ("counter", "histogram")
        for sample in family.samples
        if not sample.name.endswith("_sum")  # of negative values a sum may fall
    }


@pytest.fixture
def folder(trained: Callable[[str], Path], tmp_path: Path) -> Path:
    return copy_model(trained("regression"), tmp_path)


@pytest.fixture
def people() -> Iterator[FakeProvider]:
    with fake_provider() as provider:
        yield provider


def test_from_training_to_a_message(tmp_path: Path, people: FakeProvider) -> None:
    folder = tmp_path
    command(folder, "train")
    receivers = f"""
    [receivers.team]
    kind = "slack"
    url = "{people.url}/services/T0/B0/secret"
    [receivers.phone]
    kind = "telegram"
    token_env = "TOKEN"
    chat_id = "42"
    api_url = "{people.url}"
    """
    server = Server(folder, DEMO + receivers, TOKEN="123:abc").ready()
    try:
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "/sklearn/" in maps
        assert "/pandas/" not in maps, "65 MB that no model here needs"
        status, answer = server.post(ROW)
        assert status == 200
        assert set(answer) == {"result", "prediction_id"}

        load(server, "--rate", "0", "--count", "1000", "--seed", "1")
        assert drifted(judged(server, 1001)) == set()
        assert server.json("/api/alerts") == []
        assert people.delivered == []

        load(server, "--rate", "0", "--count", "3000", "--batch", "100", "--shift", "bmi=1", "--seed", "2")
        results = judged(server, 4001)
        assert "bmi" in drifted(results) <= {"bmi", "prediction"}
        assert results["bmi"]["value"] > max(results["bmi"]["critical"], results["bmi"]["floor"])
        assert results["bmi"]["direction"].startswith("mean ")

        assert people.wait_for(lambda fake: len(fake.delivered) >= 2), "no message arrived"
        slack = next(m for m in people.delivered if "blocks" in m)
        telegram = next(m for m in people.delivered if m.get("chat_id") == "42")
        assert DRIFTED.search(json.dumps(slack))
        assert DRIFTED.search(telegram["text"])
        assert people.refusals == []
        wait_for(lambda: DRIFTED.search(server.log), "the alert in the log")

        page = server.get("/", Accept="text/html")[2].decode()
        assert "bmi" in page
        assert "drifted" in page
        assert "bmi" in run(folder, "monitor", "status").splitlines()[0]
        assert " sd)" in command(folder, "drift")
        assert "firing" in command(folder, "alerts")

        connection = sqlite3.connect(f"file:{folder / 'data/telltale.db'}?mode=ro", uri=True)
        (total,) = connection.execute("SELECT sum(count) FROM histogram_bins WHERE \"column\" = 'bmi'").fetchone()
        assert total == 4001
        told = connection.execute(
            "SELECT receiver FROM notifications WHERE state = 'sent' AND kind = 'firing'"
        ).fetchall()
        assert {row[0] for row in told} >= {"team", "phone"}
        connection.close()
    finally:
        server.stop()


def test_a_restart_changes_nothing_but_the_process(folder: Path) -> None:
    server = Server(folder, DEMO, warm=True).ready()
    load(server, "--rate", "0", "--count", "2000", "--batch", "50", "--shift", "bmi=2")
    judged(server, 2000)
    firing = wait_for(lambda: [a for a in server.json("/api/alerts") if a["state"] == "firing"], "a firing alert")
    before = counters(server)
    assert server.stop() == 0

    server = Server(folder, DEMO, warm=True).ready()
    try:
        after = counters(server)
        assert {key: value for key, value in before.items() if after.get(key, -1) < value} == {}
        judged(server, 2000)
        same = {a["column"]: (a["state"], a["since"], a["event_id"]) for a in server.json("/api/alerts")}
        assert {a["column"]: (a["state"], a["since"], a["event_id"]) for a in firing}.items() <= same.items()
        server.post(ROW)
        name = "telltale_predictions_total"
        wait_for(
            lambda: max(v for (n, _), v in counters(server).items() if n == name) == 2001, "the 2,001st prediction"
        )
    finally:
        server.stop()


def test_the_classifier_needs_nothing_else(trained: Callable[[str], Path], tmp_path: Path) -> None:
    server = Server(copy_model(trained("classification"), tmp_path), DEMO, warm=True).ready()
    try:
        status, answer = server.post([6.1, 2.8, 4.7, 1.2])
        assert status == 200
        assert answer["result"] in ("setosa", "versicolor", "virginica")
        load(server, "--rate", "0", "-c", "--count", "600", "--batch", "20")
        results = judged(server, 601)
        assert drifted(results) == set()
        assert results["prediction"]["kind"] == "categorical"
    finally:
        server.stop()


def test_outcomes_like_those_held_out_make_no_model_worse(folder: Path) -> None:
    """With outcomes that are turned round it is worse: tests/docs/test_blocks.py, in the first hour."""
    server = Server(folder, f"{DEMO}[outcomes]\n", warm=True).ready()
    try:
        load(server, "--rate", "0", "--count", "1000", "--batch", "50", "--seed", "1", "--outcomes", "--delay", "200ms")

        def seen() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = server.json("/api/drift")
            return [one for one in found if one["statistic"] == "mae" and one["n"] == 1000]

        (mae,) = wait_for(seen, "a verdict on 1,000 outcomes")
        assert mae["state"] == "ok"
        report = server.json("/api/performance")
        assert (report["outcomes"], report["predictions"]) == (1000, 1000)
        (said,) = (one for one in report["metrics"] if one["metric"] == "mae")
        assert said["value"] - said["reference"] == pytest.approx(mae["value"])
        assert "MAE" in command(folder, "performance")
    finally:
        server.stop()


def test_the_tutorials_load_is_enough_for_a_verdict(folder: Path) -> None:
    """Sixty predictions with all but one feature held still: the still ones have drifted, the moving one has not."""
    server = Server(folder, DEMO, warm=True).ready()
    try:
        load(server, clock=FastClock())
        results = judged(server, 60)
        still = {"sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"}
        assert still <= drifted(results)
        assert "age" not in drifted(results)
    finally:
        server.stop()
