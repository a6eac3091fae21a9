"""`telltale demo`: what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

import numpy as np
import pytest

from bench.running import PATIENCE, environment
from bench.warm import WarmProcess
from monitor.capture.encode import Encoder
from monitor.clock import HOUR
from server.demo import STORIES, main, prepare, record
from server.reload import load_all
from train.holdout import encoder_of

NOW = 1_767_960_000.0
PROGRAM = "import sys; from monitor.__main__ import telltale; sys.exit(telltale())"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Environment whose temporary folder is that of the test."""
    return environment(TMPDIR=str(tmp_path))


def read_until(said: IO[str], text: str) -> list[str]:
    lines = []
    for line in said:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def test_every_page_has_something_to_show_and_nothing_is_left(tmp_path: Path, env: dict[str, str]) -> None:
    process = WarmProcess([], tmp_path, env, "server.demo")
    try:
        check_pages("".join(read_until(process.stderr, "Ctrl-C")))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.stderr.close()
    assert list(tmp_path.iterdir()) == []


def check_pages(said: str) -> None:
    """Look at all pages of a demo."""
    address = re.findall(r"http://127\.0\.0\.1:\d+", said)[0]

    def get(path: str) -> str:
        with urlopen(address + path, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def ask(path: str) -> Any:
        return json.loads(get(path))

    status = {one["model"]: one for one in ask("/api/status")["models"]}
    assert {name: one["predictions"] > 10_000 for name, one in status.items()} == {"delivery": True, "payments": True}
    alerts = {(one["model"], one["column"]): one["state"] for one in ask("/api/alerts")}
    assert alerts["delivery", "distance_km"] == alerts["delivery", "performance"] == "firing"
    assert alerts["payments", "country"] == "resolved"
    harm = {one["column"]: one["harm"]["effect"] for one in ask("/api/drift?model=delivery") if one["harm"]}
    assert (harm["distance_km"], harm["order_value"]) == ("harmful", "harmless")
    quiet = {one["state"] for one in ask("/api/drift?model=payments")}
    assert quiet <= {"ok", "insufficient data"}

    for name in STORIES:
        pages = ["", "performance", "alerts", "monitor", "what-to-do"]
        pages += [f"column/{one['role']}?name={one['column']}" for one in ask(f"/api/drift?model={name}")]
        for page in dict.fromkeys(pages):
            shown = get(f"/models/{name}/{page}")
            assert not re.search("not judged yet|Nothing judged|Nothing is judged|No verdict with", shown), page
    assert get("/models/delivery/performance").count("What came true has drifted") == 1
    assert "How long outcomes take" in get("/models/payments/performance")
    assert "telltale_predictions_total" in get("/metrics")


def test_a_signal_while_the_history_is_made_leaves_nothing(tmp_path: Path, env: dict[str, str]) -> None:
    command = [sys.executable, "-c", PROGRAM, "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            read_until(process.stdout, "Making")
            assert len(list(tmp_path.iterdir())) == 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 143
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["--data", str(tmp_path)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_same_seed_makes_the_same_rows_with_a_rhythm(tmp_path: Path) -> None:
    loaded, failed = load_all(prepare(tmp_path, 0, NOW, 1))
    assert not failed
    for name, (watch, model, _, _) in loaded.items():
        encoder: Encoder = encoder_of(watch.reference.schema)
        given = encoder, watch.reference.target, model
        first, again, other = (record(STORIES[name], np.random.default_rng(seed), NOW, *given) for seed in (1, 1, 2))
        assert np.array_equal(first.rows, again.rows, equal_nan=True)
        assert np.array_equal(first.times, again.times)
        assert not np.array_equal(first.times[:10], other.times[:10])
        hours = np.bincount((first.times // 10**9 % 86_400 // int(HOUR)).astype(int), minlength=24)
        assert hours.max() > 4 * hours.min()
        delays = first.known_at - first.times[first.with_outcome]
        assert STORIES[name].delay / 2 <= delays.min() / 3.6e12 <= delays.max() / 3.6e12 <= STORIES[name].delay * 1.5
