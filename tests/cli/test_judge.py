"""`judge` over a database that the real runtime filled: its exit code, and JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.running import environment
from monitor.__main__ import main
from monitor.cli import judge
from tests.store.world import DAY, MIDNIGHT, Monitored


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of three hours ago; other ones two hours ago; too few an hour ago."""
    path = tmp_path_factory.mktemp("judge")
    world = Monitored(path / "data", start=time.time() - 3 * 3600)
    for rows, shift in ((300, 0.0), (300, 3.0), (3, 3.0)):
        world.record(rows, shift)
        world.clock.advance(3600)
        world.runtime.fold()
    world.close()
    return path


def run(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Any, str]:
    code = main(["judge", "--data", str(folder / "data"), *options])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_it_ends_with_the_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(folder, capsys, "--from", "190m", "--to", "130m")
    assert (code, said["verdict"], said["drifted"], said["rows"]) == (0, "no drift", [], 300)
    assert (said["reason"], said["model_version"]) == ("no drift in 4 columns", "v1")
    assert "results" not in said
    code, said, _ = run(folder, capsys, "--from", "130m", "--to", "70m", "--json")
    assert (code, said["verdict"], said["drifted"]) == (1, "drift", ["x0", "x1"])
    assert said["reason"] == "2 of 4 columns drifted: x0, x1"
    assert any(one["state"] == "drift" and one["column"] == "x0" for one in said["results"])
    code, said, _ = run(folder, capsys, "--from", "70m", "--json")
    assert (code, said["verdict"], said["rows"]) == (2, "no verdict", 3)
    assert said["reason"] == said["results"][0]["reason"] != ""


def test_a_time_may_be_written_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(folder, capsys, "--from", "2001-02-03T04:05Z", "--to", "2001-02-03T04:06Z")
    assert (code, said["window"]) == (2, {"start": "2001-02-03T04:05:00Z", "end": "2001-02-03T04:06:00Z"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from", "1h", "--to", "2h"], "--to must be after --from"),
        (["--model-version", "v9"], "no model version 'v9' was served"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_an_error_is_no_verdict(folder: Path, capsys: Any, options: list[str], words: str) -> None:
    code, said, _ = run(folder, capsys, *options)
    assert (code, said["verdict"]) == (2, "no verdict")
    assert words in said["reason"]


def test_an_error_of_its_own_does_not_say_drift(folder: Path, capsys: Any, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(judge, "Evaluator", lambda *_: 1 / 0)
    code, said, _ = run(folder, capsys)
    assert (code, said) == (2, {"verdict": "no verdict", "reason": "division by zero"})
    assert "Traceback" in caplog.text


def test_settings_that_are_wrong_are_no_verdict(folder: Path) -> None:
    (folder / "wrong.toml").write_text("[model]\nnothing = 1\n")
    assert main(["judge", "--config", str(folder / "wrong.toml")]) == 2
    assert main(["judge", "--form", "2h"]) == main(["judge", "--from", "soon"]) == 2


@pytest.mark.slow
def test_a_reader_that_closes_the_pipe_does_not_change_the_verdict(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "monitor",
        "judge",
        "--data",
        str(folder / "data"),
        "--from",
        "130m",
        "--to",
        "70m",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 1


def test_a_store_without_rows_is_no_verdict(tmp_path: Path, capsys: Any) -> None:
    Monitored(tmp_path / "data", start=MIDNIGHT - DAY).close()
    code, said, _ = run(tmp_path, capsys)
    assert (code, said["verdict"]) == (2, "no verdict")
