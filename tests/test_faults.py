"""A serving process is broken under load; what its clients were told is stored, or counted as lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.faults import FAULTS, PREDICTIONS, Outcome, run

#: An eighth of the predictions of `python -m bench.faults`, in segments of an eighth, folded eight times as often.
CONFIG = '[data]\nsegment = "64KiB"\n[window]\nfold = "125ms"\n'

NAMES = ("sql-lock-term", "segments-cut", "segment-deleted", "segments-deleted", "folder-moved")


def test_every_acknowledged_prediction_is_accounted_for(trained: Callable[[str], Path], tmp_path: Path) -> None:
    model = trained("regression")

    def broken(name: str) -> Outcome:
        return run(Path(shutil.copytree(model, tmp_path / name)), FAULTS[name], PREDICTIONS // 8, CONFIG)

    # Two servers side by side: most of the time goes into starting them, and waiting.
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(NAMES, pool.map(broken, NAMES), strict=True))
    assert {name: found for name, found in results.items() if not found.accounted} == {}
    assert all(found.tally.acknowledged > 100 for found in results.values()), results
