"""`telltale init`: from a model and its data to a folder that can be served."""

from __future__ import annotations

import os
import pickle
import pty
import re
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from bench.running import PATIENCE, environment
from monitor.__main__ import main as monitor
from monitor.__main__ import telltale
from monitor.backtest.propose import least_shift, propose
from monitor.config.load import Config
from monitor.reference.file import Reference

ROOT = Path(__file__).resolve().parents[2]
GIVEN = ["init", "--model", "flats.pkl", "--data", "flats.csv"]
FULL = [*GIVEN, "--target", "price", "--time", "sold_at"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of prices by area and district, and 3,000 rows of it, one in thirteen minutes."""
    rng, n = np.random.default_rng(1), 3000
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    frame = pd.DataFrame(
        {
            "sold_at": [(begin + timedelta(minutes=13 * i)).isoformat() for i in range(n)],
            "area": rng.gamma(4, 20, n).round(1),
            "district": rng.choice(["north", "south", "harbour"], n),
        }
    )
    frame["price"] = (frame["area"] * 3 + (frame["district"] == "harbour") * 80 + rng.normal(0, 20, n)).round(1)
    columns = make_column_transformer((OneHotEncoder(), ["district"]), remainder="passthrough")
    model = make_pipeline(columns, LinearRegression()).fit(frame[["area", "district"]], frame["price"])
    (tmp_path / "flats.pkl").write_bytes(pickle.dumps(model))
    frame.to_csv(tmp_path / "flats.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_with_options_alone_it_writes_checks_and_says_what_is_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert telltale(FULL) == 0
    said = capsys.readouterr().out
    config = Config.load()
    assert (config.model.path, config.model.missing) == ("flats.pkl", "refuse")
    assert (config.drift.window, config.drift.min_samples) == (2 * 86_400, 50)
    assert (config.window.base, config.drift.every) == (300, 300)
    text = (folder / "config.toml").read_text()
    assert text in said
    assert "Half of the windows of 2d with rows hold 221 or more" in text
    assert re.search(r"enough to see a shift by 0\.\d+ standard deviations in half", text)
    assert [one.name for one in Reference.load("histogram.prom").schema.features] == ["area", "district"]
    assert "flats.pkl: good" in said
    assert "covers 3 of 3 columns: area, district, prediction" in said
    *_, replay, serve, load = said.rstrip().splitlines()
    assert serve.strip().startswith("telltale serve")
    assert load.strip().startswith("telltale load --data flats.csv")
    assert monitor(shlex.split(replay.replace("1h", "1d"), comments=True)[1:]) == 0
    assert "3,000 rows" in capsys.readouterr().out


def test_a_model_that_is_served_elsewhere_is_observed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert telltale(["init", "--prediction", "price", "--data", "flats.csv", "--ignore", "sold_at"]) == 0
    said = capsys.readouterr().out
    assert "telltale load" not in said
    assert "posts to http://127.0.0.1:5000/observe" in said
    assert Config.load().model.path == ""


def test_nothing_is_overwritten_without_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.toml").write_text("# mine")
    assert telltale(FULL) == 2
    assert "config.toml: exists; --force overwrites it and histogram.prom" in capsys.readouterr().err
    assert (folder / "config.toml").read_text() == "# mine"
    assert not (folder / "histogram.prom").exists()
    (folder / "config.toml").rename(folder / "other.toml")
    (folder / "histogram.prom").write_text("# mine")
    assert telltale(FULL) == 2
    assert "histogram.prom: exists; --force overwrites it" in capsys.readouterr().err
    assert telltale([*GIVEN, "--force"]) == 0
    out = capsys.readouterr().out
    assert "Wrote config.toml" in out
    assert "--time COLUMN proposes others" in out
    assert telltale([*GIVEN, "--force"]) == 0
    assert "Overwrote config.toml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["init"], "--model FILE is missing, and there is no terminal to ask on; in this folder: flats.pkl"),
        (["init", "--model", "flats.pkl"], "--data FILE is missing, and there is no terminal to ask on"),
        (["init", "--model", "flat.pkl"], "--data FILE is missing"),
        (
            ["init", "--model", "flat.pkl", "--data", "flats.csv"],
            "flat.pkl: there is no such file; did you mean 'flats",
        ),
        ([*GIVEN, "--target", "prize"], "--target prize: flats.csv has no such column; did you mean 'price'?"),
        ([*GIVEN, "--time", "soldat"], "--time soldat: flats.csv has no such column; did you mean 'sold_at'?"),
        ([*GIVEN, "--time", "district"], "flats.csv, line 2: column 'district' holds"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert telltale(arguments) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["flats.csv", "flats.pkl"]


@pytest.mark.slow
def test_a_person_is_asked_and_enter_takes_what_is_proposed(folder: Path) -> None:
    ours, theirs = pty.openpty()
    code = "import sys; from monitor.__main__ import telltale; sys.exit(telltale(['init']))"
    env = environment() | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = ""
    deadline = time.monotonic() + PATIENCE

    def answer(question: str, text: str) -> None:
        nonlocal seen
        while question not in seen:
            assert time.monotonic() < deadline, seen
            seen += os.read(ours, 4096).decode()
        seen = seen.rpartition(question)[2]
        os.write(ours, f"{text}\n".encode())

    try:
        answer("File of the model [flats.pkl]: ", "flat.pkl")
        answer("there is no 'flat.pkl'; did you mean 'flats.pkl'?\r\nFile of the model [flats.pkl]: ", "")
        answer("File of the data [flats.csv]: ", "")
        answer("Column with the time of each row (- for none) [sold_at]: ", "")
        answer("Column with the target, what the model learnt to predict (- for none) [price]: ", "")
        answer("Next:", "")
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        os.close(ours)
    assert Config.load().drift.window == 2 * 86_400


def test_the_window_holds_enough_and_the_shift_is_smaller_the_more_rows_it_has(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for hourly in (20, 200, 2000):
        times = rng.integers(0, 28 * 86_400, hourly * 24 * 28)
        found = propose(times, 50)
        assert found.usual >= 200
        assert found.few >= 50
        assert found.window % found.base == 0
    by_day = rng.integers(0, 28, 28 * 500) * 86_400 + rng.integers(9 * 3600, 17 * 3600, 28 * 500)
    assert propose(by_day, 50).window <= 12 * 3600, "nights without a row are no windows with few"
    assert telltale(GIVEN) == 0
    made, drift = Reference.load("histogram.prom"), Config.from_text("").drift
    shifts = [least_shift(made, rows, drift) or 9.0 for rows in (50, 200, 1000)]
    assert shifts == sorted(shifts, reverse=True)
    assert shifts[0] > shifts[2]
