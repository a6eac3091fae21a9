"""A serving process is broken under load; what its clients were told is stored, or counted as lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.faults import FAULTS, run
from bench.running import train


@pytest.mark.parametrize(
    "name", ["segments-cut", "segment-deleted", "segments-deleted", "sql-lock-term", "folder-moved"]
)
def test_every_acknowledged_prediction_is_accounted_for(tmp_path: Path, name: str) -> None:
    train(tmp_path)
    found = run(tmp_path, FAULTS[name])
    assert found.tally.acknowledged > 100
    assert found.accounted, found
