"""Kill workers that share one data folder at random moments under load, the one that holds it included, and count.

    python -m bench.workers --count 200

Four processes, forked from this one, open the same folder. Each records predictions with ids of its own, and outcomes
for those of the next one; how many it has asked for and how many were acknowledged is in memory that survives it. After
each `kill -9` another process takes its place. In the end the store must have every acknowledged one exactly once.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from bench.running import PATIENCE
from monitor import Monitor, Reference
from monitor.config.load import Config
from monitor.errors import StoreError
from monitor.store.file.folder import LOCK

WORKERS = 4

#: Small segments and quick folds, so that a kill meets every step of the path.
CONFIG = '[data]\npath = "{}"\nsegment = "64KiB"\n[window]\nfold = "50ms"\n[outcomes]\nmax_size = "4GiB"\n'

#: Numbers that a worker counts up.
ASKED, ACKNOWLEDGED, OUTCOMES_ASKED, OUTCOMES, OPENED, NUMBERS = range(6)


class Found(NamedTuple):
    """Predictions acknowledged, lost, counted beyond what was asked; the same of outcomes; median seconds to open."""

    acknowledged: int
    lost: int
    extra: int
    outcomes: int
    outcomes_lost: int
    outcomes_extra: int
    seconds: float


def reference() -> Reference:
    """Two features and a number that is predicted."""
    random = np.random.default_rng(1)
    features = {"x": random.normal(size=200), "colour": random.choice(["red", "blue"], 200)}
    return Reference.from_data(features, random.normal(size=200))


def work(config: Config, given: Reference, counts: Any, at: int, lives: int) -> None:
    """Record until killed: row `at` of the counts is this process's, which is one in WORKERS of them."""
    began, rng = time.monotonic(), random.Random(at)
    monitor = Monitor.open(config, reference=given)
    counts[at, OPENED] = round(1e3 * (time.monotonic() - began)) + 1
    told = dict.fromkeys(range(lives), 0)
    while True:
        for _ in range(rng.randrange(40)):
            number = counts[at, ASKED] = counts[at, ASKED] + 1
            monitor.observe([0.5, rng.choice(["red", f"new {rng.randrange(9)}"])], 1.0, id=f"{at}-{number}")
            counts[at, ACKNOWLEDGED] += 1
        # The first life beside this one that runs: only this process tells outcomes of its predictions.
        whose = at + 1 if at % WORKERS < WORKERS - 1 else at + 1 - WORKERS
        if whose < lives and told[whose] < min(counts[whose, ACKNOWLEDGED], 10_000):
            told[whose] += 1
            counts[at, OUTCOMES_ASKED] += 1
            monitor.outcome(f"{whose}-{told[whose]}", 1.5)
            counts[at, OUTCOMES] += 1
        time.sleep(0.005)


def run(folder: Path, kills: int, seed: int, longest: float = 0.3) -> Found:
    """Kill so many times; what was acknowledged and what the store has in the end."""
    rng, given = random.Random(seed), reference()
    config, lives = Config.from_text(CONFIG.format(folder)), kills + WORKERS
    shared = mmap.mmap(-1, 8 * lives * NUMBERS)
    counts = np.frombuffer(shared, np.int64).reshape(lives, NUMBERS)
    running: dict[int, int] = {}  # by the row of the counts

    def start(at: int) -> None:
        running[at] = os.fork() or _child(lambda: work(config, given, counts, at, lives))

    for at in range(WORKERS):
        start(at)
    wait(lambda: all(counts[at, ACKNOWLEDGED] for at in running))
    for at in tqdm(range(WORKERS, lives), desc="kills", unit="kill", leave=False):
        time.sleep(rng.uniform(0.0, longest))
        holder = int((folder / LOCK).read_text() or 0)
        held = [one for one, process in running.items() if process == holder]
        kill(running, held[0] if held and rng.random() < 0.5 else rng.choice(list(running)))
        start(at)
    for at in list(running):
        kill(running, at)
    with Monitor.open(config, reference=given) as monitor:
        wait(lambda: flushed(monitor), 600)
    with closing(sqlite3.connect(folder / "telltale.db")) as connection:
        (stored,) = connection.execute("SELECT sum(predictions) FROM series").fetchone()
        (joined,) = connection.execute("SELECT sum(count) FROM tallies WHERE result = 'joined'").fetchone() or (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM gaps").fetchone() == (0,)
    assert [path.name for path in (folder / "workers").iterdir() if path.is_dir()] == []
    asked, acknowledged, outcomes_asked, outcomes, _ = map(int, counts.sum(axis=0))
    joined = joined or 0
    return Found(
        *(acknowledged, max(0, acknowledged - stored), max(0, stored - asked)),
        *(outcomes, max(0, outcomes - joined), max(0, joined - outcomes_asked)),
        float(np.median(counts[:, OPENED][counts[:, OPENED] > 0])) / 1e3,
    )


def _child(function: Callable[[], None]) -> int:
    try:
        function()
    finally:
        os._exit(1)


def kill(running: dict[int, int], at: int) -> None:
    """Kill a worker that runs, and see that it did until then."""
    process = running.pop(at)
    os.kill(process, signal.SIGKILL)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL


def flushed(monitor: Monitor) -> bool:
    """Whether all that was left is folded; after hundreds of kills that may take longer than a call waits."""
    try:
        monitor.flush()
    except StoreError:
        return False
    return True


def wait(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def main() -> None:
    """Run and print a line for the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as name:
        print(f"{options.count} kills", run(Path(name), options.count, options.seed))


if __name__ == "__main__":
    main()
