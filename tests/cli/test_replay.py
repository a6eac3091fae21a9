"""`replay` with a model that predicts, with people who are told, and for programs."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from monitor.__main__ import main
from monitor.cli.replay import Pace
from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.reference.file import Reference
from tests.support.fake_providers import fake_provider

NAMES = ["a", "b"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained model with its reference, and a day of rows without predictions whose `a` moved up at noon."""
    rng = np.random.default_rng(4)
    training = rng.normal(size=(2000, 2))
    model = LinearRegression().fit(training, training @ [2.0, 1.0])
    data = pickle.dumps(model)
    (tmp_path / "model.pkl").write_bytes(data)
    (tmp_path / "model.pkl").chmod(0o644)
    features = dict(zip(NAMES, training.T, strict=True))
    reference = Reference.from_data(features, model.predict(training))
    (tmp_path / "histogram.prom").write_text(reference.to_text())
    rows = rng.normal(size=(1500, 2))
    rows[750:, 0] += 1
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    times = [begin + timedelta(seconds=57.6 * k) for k in range(1500)]
    lines = [f"{int(t.timestamp() * 1000)},{a!r},{b!r}" for t, (a, b) in zip(times, rows.tolist(), strict=True)]
    (tmp_path / "day.csv").write_text("\n".join(["ms,a,b", *lines]) + "\n")
    (tmp_path / "config.toml").write_text('[drift]\nevery = "15m"\nwindow = "2h"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_works_the_predictions_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "day.csv", "--time", "ms", "--model-file", "model.pkl", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["rows"], done["start"], done["evaluations"]) == (1500, "2026-03-02T00:00:00Z", 96)
    assert done["drifted"] == ["a", "prediction"]
    assert len(done["events"]) >= 2
    assert main(["status", "--json"]) == 0
    assert (
        json.loads(capsys.readouterr().out)["model_version"]
        == sha256((folder / "model.pkl").read_bytes()).hexdigest()[:12]
    )
    assert main(["backtest", "--json"]) == 0
    assert {event["event_id"] != "" for event in json.loads(capsys.readouterr().out)["events"]} == {True}
    assert main(["locate", "a"]) == 0
    assert "began 2026-03-02T1" in capsys.readouterr().out


def test_without_predictions_and_without_a_model_it_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "day.csv", "--time", "ms"]) == 2
    error = capsys.readouterr().err
    assert "name the column by --prediction COLUMN, or have the model work them out: --model model.pkl" in error
    assert not (folder / "data").exists()


def test_people_are_told_only_when_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["replay", "day.csv", "--time", "ms", "--model-file", "model.pkl"]
    with fake_provider() as people:
        settings = f'[receivers.team]\nkind = "slack"\nurl = "{people.url}/services/T0/B0/secret"\n'
        (folder / "config.toml").write_text(f'[drift]\nevery = "15m"\nwindow = "2h"\n{settings}')
        assert main([*arguments, "--data", "quiet"]) == 0
        assert people.delivered == []
        assert main([*arguments, "--data", "loud", "--notify"]) == 0
        assert people.wait_for(lambda fake: len(fake.delivered) >= 1)
        assert "a" in json.dumps(people.delivered)
    assert "still to be delivered" not in capsys.readouterr().out


class Bar:
    """What a progress bar on a terminal is told."""

    def __init__(self, total: int, disable: bool = False) -> None:
        self.total, self.disable, self.said = total, disable, [""]

    def update(self, rows: int) -> None: ...

    def write(self, text: str, file: object) -> None:
        self.said.append(text)


@pytest.mark.parametrize(
    ("evaluations", "disable", "said"),
    [
        (9_000, False, "about 4 h 29 min for 285,000 rows; Ctrl-C stops it, and what is done stays in data"),
        (3, False, ""),
        (9_000, True, ""),
    ],
)
def test_a_long_replay_says_beforehand_how_long_it_takes(evaluations: int, disable: bool, said: str) -> None:
    clock, progress = ManualClock(), Bar(285_000, disable)
    pace = Pace(progress, evaluations, "data", clock)
    for _ in range(3):
        clock.advance(1.8)
        pace.update(10)
    assert progress.said[-1] == said
    assert len(progress.said) <= 2, "once"


def test_ctrl_c_leaves_what_was_replayed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Pace, rows: int) -> None:
        self._done += 1
        if self._done == 40:
            raise KeyboardInterrupt

    monkeypatch.setattr(Pace, "update", interrupted)
    assert main(["replay", "day.csv", "--time", "ms", "--model-file", "model.pkl"]) == 130
    assert capsys.readouterr().err == "telltale replay: stopped at 2026-03-02T10:00:00Z; what came before is in data\n"
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == 625
    assert main(["verify"]) == 0


def test_a_replay_proposes_windows_that_suit_its_traffic(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["replay", "day.csv", "--time", "ms", "--model-file", "model.pkl"]
    assert main([*command, "--every", "6h"]) == 0
    *_, proposed = capsys.readouterr().out.partition("other windows suit; for config.toml:\n\n")
    assert Config.from_text(proposed).drift.window == 6 * 3600
    assert "1,500 rows of 1.0 days in the data, about 63 an hour" in proposed
    (folder / "config.toml").write_text(proposed)
    assert main([*command, "--every", "6h", "--data", "again", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proposal"] == {"window": "6h", "base": "5m", "min_samples": 50}
    assert main([*command, "--every", "6h", "--data", "third"]) == 0
    assert "other windows" not in capsys.readouterr().out
