"""Capturing one prediction of 10 features and 1 output, in process: crash-proof, checksum included.

    python -m bench.capture                             Telltale and the floors
    python -m bench.capture --peers PATH_TO_PYTHON      Boxkite too (bench/requirements.txt)

The floors are given the same row and write the same 12 numbers into a ring in an anonymous mapping with `pack_into`,
and nothing else: no checksum, no sequence number, no file. `locked`: a position advanced under a `threading.Lock`.
`lock-free`: a slot from `itertools.count`. Everything is called in the same way, through a lambda without arguments.

`Runtime.record` is what the server calls. `Monitor.observe` is the library's call: it also checks the width, takes
dictionaries, arrays and times, and returns the id as a text. `observe_many` is given 1,000 rows at a time.
"""

from __future__ import annotations

import argparse
import itertools
import mmap
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.peer_apps import microseconds
from monitor import Monitor
from monitor.reference.file import Reference
from monitor.runtime import Runtime

FEATURES = [0.03, 0.05, -0.002, -0.01, 0.04, 0.01, 0.08, -0.04, 0.005, -0.1]
OUTPUTS = [152.13]
BATCH = 1_000
RECORD = struct.Struct("<12d")
SLOTS = 8192
THREADS = (1, 4)

OURS = "Telltale, `Runtime.record`"

Call = Callable[[], object]


def locked_floor() -> Call:
    memory, lock, pack, position = mmap.mmap(-1, SLOTS * RECORD.size), threading.Lock(), RECORD.pack_into, 0

    def record(features: Sequence[float], outputs: Sequence[float]) -> None:
        nonlocal position
        now = time.time()
        with lock:
            pack(memory, position, now, *features, *outputs)
            position = (position + RECORD.size) % (SLOTS * RECORD.size)

    return lambda: record(FEATURES, OUTPUTS)


def lock_free_floor() -> Call:
    memory, take, pack = mmap.mmap(-1, SLOTS * RECORD.size), itertools.count().__next__, RECORD.pack_into

    def record(features: Sequence[float], outputs: Sequence[float]) -> None:
        pack(memory, take() % SLOTS * RECORD.size, time.time(), *features, *outputs)

    return lambda: record(FEATURES, OUTPUTS)


def opened(folder: Path) -> Monitor:
    """A monitor with all its threads running: folding is part of the price."""
    rng = np.random.default_rng(1)
    reference = Reference.from_data(rng.normal(size=(442, 10)), rng.normal(150, 50, 442))
    (folder / "config.toml").write_text("")  # the defaults
    return Monitor.open(folder / "config.toml", reference=reference, data=folder / "data", version="v1")


class Boxkite:
    """Boxkite on the peers' Python, asked for a round at a time."""

    def __init__(self, python: str) -> None:
        script = str(Path(__file__).with_name("peer_apps.py"))
        self._process = subprocess.Popen(
            [python, script, "log-prediction"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def round(self, threads: int) -> tuple[float, float]:
        """Microseconds of a call: as shipped, and with its exporter off."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(threads, file=self._process.stdin, flush=True)
        shipped, off = map(float, self._process.stdout.readline().split())
        return shipped, off

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def measure(rounds: int, calls: int, python: str | None, folder: Path) -> dict[tuple[str, int], list[float]]:
    """Microseconds of a call by way and threads, a figure for each round."""
    monitor = opened(folder)
    assert isinstance(monitor._runtime, Runtime)
    record, observe, observe_many = monitor._runtime.only.record, monitor.observe, monitor.observe_many
    rows, answers = np.tile(FEATURES, (BATCH, 1)), np.full(BATCH, OUTPUTS[0])
    lists, row = rows.tolist(), np.array(FEATURES)
    named = {column.name: value for column, value in zip(monitor.reference.schema.features, FEATURES, strict=True)}
    ways: dict[str, Call] = {
        OURS: lambda: record(FEATURES, OUTPUTS),
        "floor: `pack_into` under a lock": locked_floor(),
        "floor: `pack_into`, lock-free": lock_free_floor(),
        "`Monitor.observe`, a list": lambda: observe(FEATURES, OUTPUTS[0]),
        "`Monitor.observe`, a numpy row": lambda: observe(row, OUTPUTS[0]),
        "`Monitor.observe`, a dictionary": lambda: observe(named, OUTPUTS[0]),
    }
    batches: dict[str, Call] = {
        "`Monitor.observe_many`, an array, a row": lambda: observe_many(rows, answers),
        "`Monitor.observe_many`, lists, a row": lambda: observe_many(lists, answers),
    }
    boxkite = Boxkite(python) if python else None
    results: dict[tuple[str, int], list[float]] = {}
    try:
        for number in range(rounds + 1):
            for threads in THREADS:
                figures = {name: microseconds(call, calls // threads, threads) for name, call in ways.items()}
                for name, call in batches.items():
                    figures[name] = microseconds(call, calls // threads // BATCH, threads) / BATCH
                monitor.flush()  # each round begins with an empty journal
                if boxkite:
                    figures["Boxkite, as shipped"], figures["Boxkite, exporter off"] = boxkite.round(threads)
                for name, figure in figures.items():
                    if number:  # the first round warms up
                        results.setdefault((name, threads), []).append(figure)
    finally:
        monitor.close()
        if boxkite:
            boxkite.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="a Python with what bench/requirements.txt lists")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=40_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(options.rounds, options.calls, options.peers, Path(folder))
    print(f"Python {sys.version.split()[0]}; {options.rounds} interleaved rounds of {options.calls} calls\n")
    print("| how | threads | us, median | fastest | slowest | it / Telltale |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (name, threads), figures in sorted(results.items(), key=lambda item: item[0][1]):
        ratio = statistics.median(b / a for a, b in zip(results[OURS, threads], figures, strict=True))
        print(
            f"| {name} | {threads} | {statistics.median(figures):.2f} | {min(figures):.2f} | {max(figures):.2f}"
            f" | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()
