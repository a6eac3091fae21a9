"""A serving process is broken under load; what its clients were told is stored, or counted as lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.faults import FAULTS, Outcome, run
from bench.running import train

NAMES = ("sql-lock-term", "segments-cut", "segment-deleted", "segments-deleted", "folder-moved")


def test_every_acknowledged_prediction_is_accounted_for(tmp_path: Path) -> None:
    def broken(name: str) -> Outcome:
        folder = tmp_path / name
        folder.mkdir()
        train(folder)
        return run(folder, FAULTS[name])

    # Two servers side by side: most of the time goes into starting them, and waiting.
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(NAMES, pool.map(broken, NAMES), strict=True))
    assert {name: found for name, found in results.items() if not found.accounted} == {}
    assert all(found.tally.acknowledged > 100 for found in results.values()), results
