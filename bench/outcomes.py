"""Kill a process that takes predictions and outcomes at random moments, and compare its sums with a brute-force join.

    python -m bench.outcomes --count 3000

One client sends predictions with ids of its own, three send outcomes for them: first ones, corrections, repeats, and
some that are taken back, by the client's id or by ours, a few before their prediction. What was not answered is sent
again after the restart. Then the predictions counted and the sums in the store must be those of a plain dictionary.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from bench.running import Client, Server
from monitor.outcomes.sums import Sums, contribute, target_of
from monitor.reference.file import Reference
from monitor.store.file.database import connect_read_only
from monitor.store.records.outcomes import read_sums, read_tallies
from monitor.store.windows.rows import load_version

#: Small segments and quick folds, so that a kill meets every step of the path.
CONFIG = """
[model]
path = ""
[data]
segment = "64KiB"
[window]
fold = "25ms"
[outcomes]
within = "1d"
"""

SENDERS = 3
BATCH = 40


@dataclass
class Truth:
    """What the clients were told: predictions by the client's id, the ids that we gave, outcomes."""

    rng: random.Random
    made: int = 0
    predictions: dict[str, float] = field(default_factory=dict)
    ours: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, float | None] = field(default_factory=dict)
    shares: list[list[str]] = field(default_factory=lambda: [[] for _ in range(SENDERS)])
    sent: int = 0


class Difference(NamedTuple):
    """How far the store is from the truth: predictions, outcomes, and the largest relative error of a moment."""

    predictions: int
    outcomes: int
    error: float


#: The client's ids of predictions, and the rows of a request that are about them.
Batch = list[tuple[str, dict[str, Any]]]


class Sender:
    """Sends batches one after another; one that was not answered is sent again before the next."""

    def __init__(self, path: str, make: Callable[[], Batch], done: Callable[[Batch, Any], None]) -> None:
        self._path, self._make, self._done = path, make, done
        self._batch: Batch = []

    def send(self, client: Client) -> bool:
        """Send a batch. Returns False if there was no answer."""
        self._batch = self._batch or self._make()
        if not self._batch:
            time.sleep(0.002)
            return True
        try:
            status, answer = client.post([row for _, row in self._batch], self._path)
        except (OSError, http.client.HTTPException, ValueError):
            return False
        assert status == 200, answer
        self._done(self._batch, answer)
        self._batch = []
        return True

    def finish(self, client: Client) -> None:
        """Send what was not answered again."""
        assert not self._batch or self.send(client)


def senders(truth: Truth) -> list[Sender]:
    """Make the clients."""
    rng = truth.rng

    def predictions() -> Batch:
        names = [f"p{truth.made + at}" for at in range(BATCH)]
        truth.made += BATCH
        return [(name, {"id": name, "features": [0.5], "prediction": rng.randint(0, 9)}) for name in names]

    def predicted(batch: Batch, answer: dict[str, Any]) -> None:
        for (name, row), ours in zip(batch, answer["prediction_ids"], strict=True):
            truth.predictions.setdefault(name, row["prediction"])  # unless it was sent for an early outcome
            truth.ours[name] = ours
            truth.shares[int(name[1:]) % SENDERS].append(name)

    def outcomes(share: int) -> Batch:
        known = truth.shares[share]
        if not known:
            return []
        late = rng.choices(known[-2000:], k=BATCH)
        early = [f"p{n}" for n in range(truth.made, truth.made + SENDERS) if n % SENDERS == share]
        names = [
            *((name, truth.ours[name] if rng.random() < 0.5 else name) for name in late),
            *zip(early, early, strict=True),
        ]
        return [(name, {"id": given, "outcome": rng.choice([0, 1, 2, 3, None])}) for name, given in names]

    def told(batch: Batch, _: Any) -> None:
        truth.outcomes |= {name: row["outcome"] for name, row in batch}
        truth.sent += len(batch)

    made = [Sender("/observe", predictions, predicted)]
    for share in range(SENDERS):
        made.append(Sender("/outcomes", partial(outcomes, share), told))
    return made


def compare(folder: Path, truth: Truth) -> Difference:
    """Compare the store with the truth."""
    with closing(connect_read_only(folder / "data" / "telltale.db")) as connection:
        connection.row_factory = sqlite3.Row
        series = load_version(connection)
        assert series is not None
        found = sum(read_sums(connection, series, 0, 1e12).values(), Sums.zero(target_of(series.schema)))
        counted = connection.execute("SELECT predictions FROM series").fetchone()[0]
    rows = [(truth.predictions[name], value) for name, value in truth.outcomes.items() if value is not None]
    pairs = np.array(rows, float).reshape(-1, 2)
    wanted = contribute(found.target, pairs[:, :1], pairs[:, 1])
    error = np.abs(found.moments - wanted.moments) / np.maximum(1.0, np.abs(wanted.moments))
    wrong = int(np.abs(found.counts - wanted.counts).sum())
    return Difference(counted - len(truth.predictions), wrong, float(error.max(initial=0.0)))


def run(folder: Path, count: int, seed: int, longest: float = 0.5) -> tuple[Truth, list[Difference]]:
    """Kill `count` times; returns what was true, and how far the store was from it after each restart."""
    truth = Truth(random.Random(seed))
    Reference.from_data(np.linspace(0, 1, 200).reshape(-1, 1), np.linspace(0, 9, 200)).save(folder / "histogram.prom")
    clients, found = senders(truth), list[Difference]()
    server = Server(folder, CONFIG, warm=True).ready()
    for _ in tqdm(range(count), desc="kills", unit="kill", leave=False):

        def work(sender: Sender, server: Server = server) -> None:
            while sender.send(server):
                pass

        threads = [threading.Thread(target=work, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(truth.rng.uniform(0.02, longest))
        server.kill()
        for thread in threads:
            thread.join()
        server = Server(folder, CONFIG, warm=True).ready()
        for client in clients:
            client.finish(server)
        for name in set(truth.outcomes) - set(truth.predictions):
            row = {"id": name, "features": [0.5], "prediction": 1}
            server.post([row], "/observe")
            truth.predictions[name] = 1
        for _ in range(2):  # what waited for its prediction is joined by the second fold
            status, answer = server.post({"id": "p0", "outcome": truth.outcomes.get("p0")}, "/outcomes?wait=true")
            assert status == 200, (answer, server.log[-4000:])
            truth.outcomes.setdefault("p0", None)
        found.append(compare(folder, truth))
    server.stop()
    return truth, found


def main() -> None:
    """Run and print lines for the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as name:
        truth, found = run(Path(name), options.count, options.seed)
        with closing(connect_read_only(Path(name) / "data" / "telltale.db")) as connection:
            tallies = {result: count for (source, result), count in read_tallies(connection).items()}
    wrong = sum(one != (0, 0, one.error) for one in found)
    print(f"{options.count} kills, {len(truth.predictions)} predictions, {truth.sent} outcomes acknowledged")
    print(f"{wrong} comparisons differ; largest relative error of a moment {max(one.error for one in found):.1e}")
    print(json.dumps(tallies))


if __name__ == "__main__":
    main()
