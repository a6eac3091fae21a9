"""`outcomes`: files of every form, into a folder and to a running server; bad rows are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.running import Server
from monitor.__main__ import main
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime

CONFIG = '[model]\npath = ""\n[window]\nfold = "50ms"\n[outcomes]\n'


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch, classes: int = 50) -> list[str]:
    """Record ten predictions in a folder; returns their ids. `classes`: how many different answers there are."""
    monkeypatch.chdir(folder)
    Path("config.toml").write_text(CONFIG)
    reference = Reference.from_data([[step / 10] for step in range(50)], [float(step % classes) for step in range(50)])
    reference.save(Path("histogram.prom"))
    runtime = Runtime.of_one(Config.load(), reference, "v1")
    runtime.writer.start()
    ids = runtime.only.recorder.record_many([[0.5] * 10], [[float(n % classes) for n in range(10)]])
    runtime.close()
    return ids


def joined(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, int]:
    assert main(["outcomes", *arguments, "--id", "id", "--outcome", "came", "--json"]) == 0
    found: dict[str, int] = json.loads(capsys.readouterr().out)
    return {name: count for name, count in found.items() if count}


def test_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ids = prepare(tmp_path, monkeypatch)
    rows = [f"{one},{n if n < 8 else ''},2026-03-0{n + 1 if n < 9 else 1}" for n, one in enumerate(ids)]
    Path("late.csv").write_text("\n".join(["id,came,at", *rows, "else,1,"]) + "\n")
    read = {"outcomes": 9, "empty": 2}
    assert joined(capsys, "late.csv", "--dry-run") == read
    assert joined(capsys, "late.csv", "--time", "at") == {**read, "joined": 8, "waiting": 1}
    assert joined(capsys, "late.csv") == {**read, "repeated": 8, "waiting": 1}
    lines = [json.dumps({"id": ids[0], "came": 5}), json.dumps({"id": ids[9], "came": 5.5})]
    Path("late.jsonl").write_text("\n".join(lines))
    assert joined(capsys, "late.jsonl") == {"outcomes": 2, "corrected": 1, "joined": 1}


def test_a_class_in_a_file_may_be_spelled_as_a_number_or_a_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = prepare(tmp_path, monkeypatch, classes=2)
    came = ["0.0", "1.0", "False", "true", "0", "1", "NA", "1.0", "", "1.0"]
    Path("late.csv").write_text("\n".join(["id,came", *map(",".join, zip(ids, came, strict=True))]) + "\n")
    assert joined(capsys, "late.csv") == {"outcomes": 8, "empty": 2, "joined": 8}
    assert main(["performance", "--json"]) == 0
    found = {one["metric"]: one["value"] for one in json.loads(capsys.readouterr().out)["metrics"]}
    assert found["accuracy"] == 1.0


def test_bad_rows_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = prepare(tmp_path, monkeypatch)
    Path("bad.csv").write_text(f"id,came,at\n{ids[0]},1,soon\n,2,\n{ids[1]},seven,\n{ids[2]},3,2026-03-01\n")
    given = ["bad.csv", "--time", "at", "--id", "id", "--outcome", "came"]
    assert main(["outcomes", *given]) == 2
    assert "bad.csv, line 2: column at holds 'soon'" in capsys.readouterr().err
    assert main(["outcomes", *given, "--skip-bad-rows"]) == 0
    out = capsys.readouterr().out
    assert "3 bad rows were left out" in out
    assert "1 joined" in out
    assert main(["outcomes", "bad.csv", "--id", "id", "--outcome", "truth"]) == 2
    assert "has no column 'truth'; it has: id, came, at" in capsys.readouterr().err
    Path("config.toml").write_text(CONFIG.replace("[outcomes]", ""))
    assert main(["outcomes", *given, "--skip-bad-rows"]) == 2
    assert "add the section [outcomes]" in capsys.readouterr().err


def test_to_a_running_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = prepare(tmp_path, monkeypatch)
    server = Server(tmp_path, CONFIG, warm=True).ready()
    try:
        server.healthy()
        Path("late.csv").write_text("\n".join(["id,came", *(f"{one},1" for one in ids)]) + "\n")
        assert joined(capsys, "late.csv") == {"outcomes": 10, "joined": 10}
    finally:
        server.stop()
