"""kill -9 under load: every acknowledged prediction is counted exactly once."""

from __future__ import annotations

from pathlib import Path

from bench.kill import run


def test_fifty_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    acknowledged, lost, extra = run(tmp_path, count=50, seed=20261124, longest=0.4)
    assert acknowledged > 1000
    assert (lost, extra) == (0, 0)
