"""kill -9 under load: every acknowledged outcome is counted exactly once, corrections and repeats included."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.outcomes import run


def test_fifty_kills_leave_the_sums_of_a_brute_force_join(tmp_path: Path) -> None:
    # Two servers side by side, each killed 25 times: most of the time goes into starting them.
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda folder, seed: run(folder, 25, seed, longest=0.2), folders, (20261129, 20261130)))
    for truth, found in results:
        assert truth.sent > 500
        assert len(found) == 25
        assert [one for one in found if one.predictions or one.outcomes] == []
        assert max(one.error for one in found) < 1e-9
