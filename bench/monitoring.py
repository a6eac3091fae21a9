"""What monitoring costs a request in processor time, within one process: switched on and off in turn while `wrk` asks.

    python -m bench.monitoring

Two processes of the same code differ by more than monitoring costs; neighbouring blocks of 64 requests of one process
meet the same noise. Folding runs on the writer's thread: its processor time is divided by the requests of a server that
records all. If half of them were recorded, what it does each second would count twice.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from bench.running import Server, train
from bench.serving import CONNECTIONS, Figures, Stack, load
from bench.switched import BLOCK

#: Blocks of a fresh server that do not count.
WARM_UP = 50


class Cost(NamedTuple):
    """Microseconds of processor time a request."""

    blocks: int
    off: float  # without monitoring, on the thread that answers
    record: float  # more with monitoring, on that thread
    error: float  # standard error of `record`
    fold: float  # on the writer's thread

    @property
    def share(self) -> float:
        """Cost of monitoring as a share of a request without it, percent."""
        return (self.record + self.fold) / self.off * 100


def measure(connections: int, seconds: int, folder: Path) -> Cost:
    """Ask a fresh server, and compare its blocks; another one tells what folding takes."""
    train(folder)
    found: dict[str, Any] = {}
    for name, more in (("blocks", ""), ("folding", "yes")):
        written = folder / f"{name}.json"
        server = Server(folder, "", module="bench.switched", BLOCKS=str(written), ALWAYS=more).ready()
        try:
            load(Stack("Telltale", server.process, server.port), connections, seconds, folder, Figures())
        finally:
            server.stop()
        found[name] = json.loads(written.read_text())[name]
    return cost(found["blocks"], found["folding"])


def cost(blocks: list[tuple[bool, float]], fold: float) -> Cost:
    """Compare each block with its neighbour: means without the most extreme twentieth at either end.

    >>> found = cost([(bool(n % 2), 0.064 + n % 2 * 0.00064) for n in range(1000)], 1e-6)
    >>> round(found.off), round(found.record), round(found.fold)
    (1000, 10, 1)
    """
    counted = blocks[WARM_UP:]
    pairs = [(a, b) if a[0] else (b, a) for a, b in pairwise(counted) if a[0] != b[0]]
    differences = sorted(on[1] - off[1] for on, off in pairs)
    cut = len(differences) // 20
    kept = differences[cut : len(differences) - cut]
    scale = 1e6 / BLOCK
    # Neighbouring pairs share a block, so half of them count.
    error = statistics.stdev(kept) / (len(kept) / 2) ** 0.5
    off = statistics.median(used for on, used in counted if not on)
    return Cost(len(counted), off * scale, statistics.mean(kept) * scale, error * scale, fold * 1e6)


def main() -> None:
    """Measure, and print the table of docs/bench-serving.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="load for each number of connections")
    options = parser.parse_args()
    print("| connections | blocks | off, us | recording, us (error) | folding, us | monitoring, % (error) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for connections in CONNECTIONS:
        with tempfile.TemporaryDirectory() as name:
            found = measure(connections, options.seconds, Path(name))
        print(
            f"| {connections} | {found.blocks:,} | {found.off:.1f} | {found.record:.1f} ({found.error:.2f})"
            f" | {found.fold:.1f} | {found.share:.1f} ({found.error / found.off * 100:.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
