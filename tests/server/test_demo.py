"""`telltale demo`: what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest

from bench.running import PATIENCE, environment
from monitor.capture.encode import Encoder
from monitor.clock import HOUR
from server.demo import STORIES, main, prepare, record
from server.reload import load_all
from train.holdout import encoder_of

NOW = 1_767_960_000.0
PROGRAM = "import sys; from monitor.__main__ import telltale; sys.exit(telltale())"

Begin = Callable[..., tuple["subprocess.Popen[str]", Path]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a demo whose temporary folder is in a folder of the test."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], Path]:
        env = environment() | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
        command = [sys.executable, "-c", PROGRAM, "demo", *arguments]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path))
        return running[-1], tmp_path

    yield start
    for process in running:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def test_every_page_has_something_to_show_and_nothing_is_left(begin: Begin) -> None:
    process, folder = begin()
    said = "".join(read_until(process, "Ctrl-C"))
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

    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert list(folder.iterdir()) == []


def test_a_signal_while_the_history_is_made_leaves_nothing(begin: Begin) -> None:
    process, folder = begin()
    read_until(process, "Making")
    assert len(list(folder.iterdir())) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 143
    assert list(folder.iterdir()) == []


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
