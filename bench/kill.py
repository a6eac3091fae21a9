"""Kill a serving process at random moments under load, again and again, and count.

    python -m bench.kill --count 1000

Four clients post rows over HTTP and count what was acknowledged. After each `kill -9` the server is started anew on the
same data, and what the store has gained must be at least what was acknowledged, and at most what was asked.
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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench.running import PATIENCE, ROW, Server, train, wait_for

CLIENTS = 4

#: Small segments and quick folds, so that a kill meets every step of the path.
CONFIG = """
[data]
segment = "128KiB"
[window]
fold = "50ms"
"""


@dataclass
class Tally:
    """What the clients have seen by now: predictions acknowledged, and asked for without an answer."""

    acknowledged: int = 0
    unanswered: int = 0


@contextmanager
def under_load(server: Server) -> Iterator[Tally]:
    """Have clients post to a server until it is gone, or until the end of the block."""
    tally, lock, stop = Tally(), threading.Lock(), threading.Event()
    clients = [
        threading.Thread(target=post, args=(server, batch, stop, tally, lock)) for batch in [1] * (CLIENTS - 1) + [50]
    ]
    for client in clients:
        client.start()
    try:
        yield tally
    finally:
        stop.set()
        for client in clients:
            client.join()


def post(server: Server, batch: int, stop: threading.Event, tally: Tally, lock: threading.Lock) -> None:
    """Post until the server is gone; `batch` rows at a time, or single rows for 1."""
    body = json.dumps(ROW if batch == 1 else [ROW] * batch)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as connection:
        while not stop.is_set():
            unanswered = 0
            try:
                connection.request("POST", "/", body, {"Content-Type": "application/json"})
                unanswered = batch
                reply = connection.getresponse()
                content = json.loads(reply.read())
            except (OSError, http.client.HTTPException, ValueError):
                with lock:
                    tally.unanswered += unanswered
                return
            assert reply.status == 200, content
            with lock:
                tally.acknowledged += batch


def ask(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """What the database of a server in this folder says."""
    with closing(sqlite3.connect(f"file:{folder / 'data' / 'telltale.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def recorded(folder: Path) -> int:
    """Predictions that the store has."""
    return int(ask(folder, "SELECT coalesce(sum(predictions), 0) FROM series")[0][0])


def segments(folder: Path) -> set[Path]:
    """Segments of the journal."""
    return set((folder / "data" / "journal").glob("*.journal"))


def start_and_recover(folder: Path, config: str = CONFIG) -> tuple[Server, int]:
    """Start on what the killed process left; the server, and the predictions in the store once that is folded."""
    left = segments(folder)
    server = Server(folder, config, warm=True).ready()
    wait_for(lambda: not left & segments(folder), "the old segments to be folded")
    return server, recorded(folder)


def run(folder: Path, count: int, seed: int, longest: float = 0.5) -> tuple[int, int, int]:
    """Kill `count` times; returns predictions acknowledged, lost, and counted beyond what was asked."""
    rng = random.Random(seed)
    train(folder)
    total = lost = extra = 0
    server, before = start_and_recover(folder)
    for _ in tqdm(range(count), desc="kills", unit="kill", leave=False):
        with under_load(server) as tally:
            time.sleep(rng.uniform(0.02, longest))
            server.kill()
        server, after = start_and_recover(folder)
        gained = after - before
        total += tally.acknowledged
        lost += max(0, tally.acknowledged - gained)
        extra += max(0, gained - tally.acknowledged - tally.unanswered)
        before = after
    server.stop()
    return total, lost, extra


def main() -> None:
    """Run and print a line for the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as name:
        total, lost, extra = run(Path(name), options.count, options.seed)
    print(f"{options.count} kills, {total} predictions acknowledged, {lost} lost, {extra} counted twice or unasked")


if __name__ == "__main__":
    main()
