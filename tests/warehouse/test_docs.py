"""The example of docs/warehouse.md does what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from monitor.__main__ import telltale

PAGE = Path(__file__).parent.parent.parent / "docs" / "warehouse.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text("utf-8").partition("## Settings")[0]
    blocks = dict(re.findall(r"```(python|toml|bash)\n(.*?)```", page, re.DOTALL))
    exec(blocks["python"], {})
    Path("config.toml").write_text(blocks["toml"])
    told = []
    for line in blocks["bash"].splitlines():
        program, *rest = shlex.split(line)
        if program == "export":
            monkeypatch.setenv(*rest[0].split("=", 1))
        else:
            assert telltale(rest) == 0
            told.append(capsys.readouterr().out)
    assert Path("histogram.prom").exists()
    assert "UNNEST" in told[1]
    assert "table predictions is counted up to 2026-03-05T00:00:00Z\nmodel: 576 rows" in told[2]
    assert "2026-03-03" in told[3]
