"""Two versions side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from monitor import Monitor, Reference
from monitor.__main__ import main

ROWS = np.random.default_rng(5).normal(0, 1, (400, 2))


def observed(folder: Path, version: str, shift: float, reference: Reference) -> None:
    with Monitor.open(folder / "config.toml", reference=reference, version=version) as monitor:
        rows = ROWS + [0.0, shift]
        ids = monitor.observe_many(rows, rows.sum(axis=1))
        monitor.outcome_many(ids[:300], rows.sum(axis=1)[:300] + 0.5, wait=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two versions: the second saw another `y`, and answered accordingly; a third has other bins."""
    (tmp_path / "config.toml").write_text(f"[data]\npath = '{tmp_path / 'data'}'\n[outcomes]\n")
    reference = Reference.from_data(dict(zip("xy", ROWS.T, strict=True)), ROWS.sum(axis=1))
    observed(tmp_path, "v1", 0.0, reference)
    observed(tmp_path, "v2", 1.0, reference)
    wide = Reference.from_data(dict(zip("xy", 3 * ROWS.T, strict=True)), ROWS.sum(axis=1))
    observed(tmp_path, "v3", 0.0, wide)
    return tmp_path


def test_what_differs_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(folder / "config.toml"), "--to", "2100-01-01T00:00Z"]
    assert main(["compare", "v1", "v2", *config, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["predictions"] for one in found["versions"]] == [400, 400]
    differing = {(one["column"], one["role"]) for one in found["results"] if one["state"] == "drift"}
    assert differing == {("y", "feature"), ("prediction", "prediction")}
    assert [one["performance"]["mae"]["value"] for one in found["versions"]] == [pytest.approx(0.5)] * 2
    assert main(["compare", "v1", "v2", *config]) == 0
    text = capsys.readouterr().out
    assert "2 of 3 columns have drifted from version v1; prediction most of all" in text
    assert re.search(r"\ny +drift +\S+ .* mean was ", text)
    assert main(["compare", "v1", "v1", *config]) == 0
    assert "All quiet: 400 predictions of version v1" in capsys.readouterr().out


def test_columns_in_other_bins_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(folder / "config.toml"), "--to", "2100-01-01T00:00Z"]
    assert main(["compare", "v1", "v3", *config]) == 0
    text = capsys.readouterr().out
    assert "x (feature): counted in other bins; means" in text
    assert "All quiet: 400 predictions of version v3" in text
    assert main(["compare", "v1", "v9", *config]) == 1
    assert "no model version 'v9'" in capsys.readouterr().err
