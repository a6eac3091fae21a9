"""kill -9 under load: every acknowledged prediction is counted exactly once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import workers
from bench.kill import run


def test_fifty_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    # Two servers side by side, each killed 25 times: most of the time goes into starting them.
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda folder, seed: run(folder, 25, seed, longest=0.2), folders, (20261124, 20261127)))
    for acknowledged, lost, extra in results:
        assert acknowledged > 500
        assert (lost, extra) == (0, 0)


def test_ten_kills_of_workers_that_share_a_folder_lose_nothing(tmp_path: Path) -> None:
    found = workers.run(tmp_path / "data", 10, 20261130, longest=0.2)
    assert min(found.acknowledged, found.outcomes) > 100
    assert found[1:3] == found[4:6] == (0, 0)
