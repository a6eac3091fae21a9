"""How fast a reference is made: bins chosen and counted, and a file read.

    python -m bench.reference                                   ours
    python -m bench.reference --peers PATH_TO_PYTHON            ours and, interleaved, Boxkite

PATH_TO_PYTHON is an interpreter of an environment with bench/requirements.txt; this file is run by it as
`bench/reference.py --as boxkite`, and it then imports nothing of ours. Prints Markdown; docs/bench-reference.md holds a
run.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROWS, COLUMNS = 1_000_000, 10
FILE_ROWS, FILE_COLUMNS = 200_000, 20
CHOOSE, COUNT = "choose bins and count", "count into 50 given bins"

Times = dict[str, float]


def seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def data() -> Any:
    return np.asfortranarray(np.random.default_rng(1).normal(size=(ROWS, COLUMNS)))  # each column in one piece


def given_edges(values: Any) -> list[float]:
    return [float(edge) for edge in np.quantile(values[:10_000, 0], np.linspace(0.001, 0.999, 50))]


def boxkite() -> Times:
    from boxkite.utils.histogram import fast_histogram

    values = data()
    edges = given_edges(values)
    columns = [values[:, i] for i in range(COLUMNS)]
    return {
        f"Boxkite, {CHOOSE}": seconds(lambda: [fast_histogram(column, discrete=False) for column in columns]),
        f"Boxkite, {COUNT}": seconds(lambda: [fast_histogram(c, discrete=False, bins=edges) for c in columns]),
    }


def ours() -> Times:
    from monitor.columns.binning import ColumnCounter
    from monitor.columns.column import Column
    from monitor.reference.build import build_reference

    values = data()
    column = Column("x", "feature", "numeric", edges=tuple(given_edges(values)))

    def count() -> None:
        for i in range(COLUMNS):
            ColumnCounter(column).add(values[:, i])

    return {
        f"Telltale, {CHOOSE} (exact quantiles, moments, kinds)": seconds(
            lambda: build_reference(values, values[:100, 0])
        ),
        f"Telltale, {COUNT}": seconds(count),
    }


def files(folder: Path) -> Times:
    """A file of plain numbers, and one with a column of text and some empty cells."""
    from train.reference import make_reference
    from train.selection import Request

    def read_with_csv(path: Path) -> None:
        with path.open(newline="") as file:
            for _ in csv.reader(file):
                pass

    out: Times = {}
    for name in ("numbers", "mixed"):
        path = folder / f"{name}.csv"
        if not path.exists():
            _write(path, mixed=name == "mixed")
        out[f"csv module, {name}: rows read, nothing else"] = seconds(partial(read_with_csv, path))
        request = Request(path, predictions=("y",), output=folder / "histogram.prom", force=True)
        out[f"python -m train reference, {name}: read, chosen, counted, written"] = seconds(
            partial(make_reference, request)
        )
    return out


def _write(path: Path, *, mixed: bool) -> None:
    rng = np.random.default_rng(2)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"x{i}" for i in range(FILE_COLUMNS - 1)), "y"])
        for row in np.round(rng.normal(size=(FILE_ROWS, FILE_COLUMNS)), 6).tolist():
            if mixed:
                row[0] = "north" if row[0] > 0 else "south"
                row[3] = "" if row[3] > 2 else row[3]
            writer.writerow(row)


def peer(python: str) -> Times:
    command = [python, str(Path(__file__).resolve()), "--as", "boxkite"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: Times = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(runs: list[Times], cells: int, unit: str) -> None:
    print(f"\n| what | median s | fastest to slowest | n | million {unit} a second |")
    print("| --- | --- | --- | --- | --- |")
    for name in runs[0]:
        times = [run[name] for run in runs]
        middle = statistics.median(times)
        spread = f"{min(times):.3g} to {max(times):.3g}"
        print(f"| {name} | {middle:.3g} | {spread} | {len(times)} | {cells / middle / 1e6:.3g} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python that has boxkite")
    parser.add_argument("--as", dest="role", choices=["boxkite"])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if options.role:
        boxkite()  # one run that is not counted
        print(json.dumps(boxkite()))
        return
    print(f"Python {platform.python_version()}, numpy {np.__version__}; {options.rounds} interleaved rounds.")
    ours()
    runs = [{**ours(), **(peer(options.peers) if options.peers else {})} for _ in range(options.rounds)]
    print(f"\nIn memory: {ROWS:,} rows of {COLUMNS} columns.")
    table(runs, ROWS * COLUMNS, "values")
    with tempfile.TemporaryDirectory() as name:
        files(Path(name))
        read = [files(Path(name)) for _ in range(options.rounds)]
    print(f"\nFrom a file: {FILE_ROWS:,} rows of {FILE_COLUMNS} columns.")
    table(read, FILE_ROWS * FILE_COLUMNS, "cells")


if __name__ == "__main__":
    main()
