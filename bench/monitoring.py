"""What monitoring costs a request, within one process: switched on and off in turn while `wrk` asks.

    python -m bench.monitoring

Two processes of the same code differ by more than monitoring costs; neighbouring phases of one meet the same noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path

from bench.running import Server, train
from bench.serving import CONNECTIONS, Figures, Stack, load


def measure(connections: int, seconds: int, folder: Path) -> list[tuple[bool, int, float, float]]:
    """Phases of a fresh server under load: on or off, requests, seconds, processor seconds."""
    train(folder)
    written = folder / "phases.json"
    server = Server(folder, "", module="bench.switched", PHASES=str(written)).ready()
    try:
        load(Stack("Telltale", server.process, server.port), connections, seconds, folder, Figures())
    finally:
        server.stop()
    phases: list[tuple[bool, int, float, float]] = json.loads(written.read_text())
    # The first one warms up, and in the last the load may have ended.
    return phases[1:-1]


def row(connections: int, phases: list[tuple[bool, int, float, float]]) -> str:
    """A line of the table in docs/bench-serving.md."""
    rates = [(on, asked / seconds, used / asked * 1e6) for on, asked, seconds, used in phases if asked]
    pairs = [(a, b) if a[0] else (b, a) for a, b in pairwise(rates)]
    ratios = [on[1] / off[1] for on, off in pairs]
    costs = [on[2] - off[2] for on, off in pairs]
    # Of a median of values that are nearly normal; neighbouring pairs share a phase, so half of them count.
    error = 1.25 * statistics.stdev(ratios) / (len(ratios) / 2) ** 0.5
    on, off = (statistics.median(rate for state, rate, _ in rates if state is wanted) for wanted in (True, False))
    return (
        f"| {connections} | {len(rates)} | {on:,.0f} | {off:,.0f} | {statistics.median(ratios):.3f} ({error:.3f})"
        f" | {statistics.median(costs):.1f} |"
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120, help="load for each number of connections")
    options = parser.parse_args()
    print("| connections | phases | rows/s on | rows/s off | on / off (standard error) | CPU, us a row, difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for connections in CONNECTIONS:
        with tempfile.TemporaryDirectory() as name:
            print(row(connections, measure(connections, options.seconds, Path(name))), flush=True)


if __name__ == "__main__":
    main()
