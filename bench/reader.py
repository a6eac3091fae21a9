"""An auditor who keeps a cursor open for ten minutes beside a server under load: the WAL, and the times of predictions.

`python -m bench.reader --seconds 600` prints the rows of docs/bench-store.md. Two servers get the same predictions in
turn, and the cursor is open in the database of one of them: whatever else the machine does, it does to both.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.running import ROW, Server, train

#: Predictions in a request, and requests a second: a thousand predictions a second to each server.
ROWS, PACE = 20, 50

#: Seconds of load of which the times are one round.
ROUND = 15

#: What the auditor does: one row of an answer, and the rest another day.
READER = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
cursor = connection.execute("SELECT * FROM histograms")
cursor.fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


class Watched:
    """A server under load. `times`: milliseconds of its requests; `wal`: megabytes of its WAL, once a second."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        train(folder)
        self.server = Server(folder).ready()
        self.database = folder / "data" / "telltale.db"
        self.times: list[float] = []
        self.wal: list[float] = []
        self._body = json.dumps([ROW] * ROWS)
        self._connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)

    def ask(self) -> None:
        """One request."""
        began = time.perf_counter()
        self._connection.request("POST", "/", self._body, {"Content-Type": "application/json"})
        reply = self._connection.getresponse()
        reply.read()
        assert reply.status == 200
        self.times.append((time.perf_counter() - began) * 1000)

    def look(self) -> None:
        """Note how large the WAL is."""
        wal = self.database.with_name(self.database.name + "-wal")
        self.wal.append(wal.stat().st_size / 1e6 if wal.exists() else 0.0)

    def percentiles(self, size: int) -> list[tuple[float, float]]:
        """Median and 99th percentile of each round of `size` requests."""
        rounds = [sorted(self.times[at : at + size]) for at in range(0, len(self.times) - size + 1, size)]
        return [(one[size // 2], one[int(size * 0.99)]) for one in rounds]


def load(servers: list[Watched], seconds: float) -> float:
    """Send predictions to all in turn, at an even pace, and watch their WALs; how long it took, in seconds."""
    for one in servers:
        one.times, one.wal = [], []
    start = time.perf_counter()
    for number in range(round(seconds * PACE)):
        time.sleep(max(0.0, start + number / PACE - time.perf_counter()))
        for one in servers if number % 2 else servers[::-1]:
            one.ask()
            if number % PACE == 0:
                one.look()
    return time.perf_counter() - start


@contextmanager
def reader(database: Path) -> Iterator[None]:
    """A process that has a cursor open."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    try:
        yield
        assert process.poll() is None
    finally:
        process.communicate("", timeout=30)


def compare(read: Watched, alone: Watched, seconds: float) -> Iterator[str]:
    """Rows of the table."""
    size = round(min(ROUND, seconds) * PACE)
    for name, one in (("a cursor is open", read), ("no reader", alone)):
        p50, p99 = (statistics.median(values) for values in zip(*one.percentiles(size), strict=True))
        yield f"| {name} | {p50:.2f} | {p99:.2f} | {max(one.wal):.1f} |"
    both = list(zip(read.percentiles(size), alone.percentiles(size), strict=True))
    for place, name in enumerate(("p50", "p99")):
        ratios = sorted(one[place] / other[place] for one, other in both)
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}, {len(ratios)} rounds)"
        yield f"{name} with the cursor / without: {spread}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        read, alone = Watched(Path(name) / "read"), Watched(Path(name) / "alone")
        try:
            load([read, alone], 10)
            with reader(read.database):
                took = load([read, alone], options.seconds)
                print(f"{len(read.times) * ROWS / took:.0f} predictions a second to each server, {took:.0f} s\n")
                print("| server | p50, ms | p99, ms | largest WAL, MB |\n| --- | --- | --- | --- |")
                for line in compare(read, alone, options.seconds):
                    print(line, flush=True)
            load([read, alone], min(60.0, options.seconds))
            small = next((second for second, wal in enumerate(read.wal) if wal <= 4.2), None)
            print(f"WAL at most 4.2 MB {small} s after the cursor was closed")
            for one in (read, alone):
                print(f"{one.server.predictions()} predictions stored, health {one.server.json('/healthz')['status']}")
        finally:
            print(f"exit codes {read.server.stop()}, {alone.server.stop()}")


if __name__ == "__main__":
    main()
