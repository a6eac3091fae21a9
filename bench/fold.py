"""Folding: a million records from the journal into windows, against bare vectorised passes; restart; memory.

    python -m bench.fold [--peers PYTHON]

`PYTHON`: an interpreter that has boost-histogram, popmon, whylogs and Boxkite, to bin the same rows in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.running import environment
from monitor.columns.column import Column, Counts, Floats, Schema
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from tests.support.edges import choose_edges

ROWS, COLUMNS, BINS = 1_000_000, 11, 28
ROUNDS = 5


def make_rows() -> Floats:
    """Log-normal columns: bins of very different widths."""
    return np.random.default_rng(7).lognormal(size=(ROWS, COLUMNS))


def make_reference(rows: Floats) -> Reference:
    """30 value bins for each column."""
    names = [f"x{i}" for i in range(COLUMNS - 1)]
    columns = [Column(n, "feature", "numeric", choose_edges(rows[:100_000, i], BINS)) for i, n in enumerate(names)]
    columns.append(Column("y", "prediction", "numeric", choose_edges(rows[:100_000, -1], BINS)))
    schema = Schema(tuple(columns))
    return Reference(schema, np.full(schema.size, 10), np.zeros(COLUMNS), np.ones(COLUMNS))


def opened(folder: Path, reference: Reference) -> Runtime:
    """A runtime whose threads are not started."""
    text = f'[data]\npath = "{folder}"\nsegment = "16MiB"\n'
    return Runtime.of_one(Config.from_text(text), reference, "bench")


def searchsorted(rows: Floats, schema: Schema) -> Counts:
    """The plain way in numpy."""
    counts = schema.zeros()
    for part, column, x in zip(schema.split(counts), schema.columns, rows.T, strict=True):
        part[: column.value_bins] += np.bincount(
            np.searchsorted(np.array(column.edges), x), minlength=column.value_bins
        )
    return counts


def compare(rows: Floats, schema: Schema) -> Counts:
    """Compare with each edge and count: the fastest bare pass of numpy for few bins."""
    counts = schema.zeros()
    for part, column, x in zip(schema.split(counts), schema.columns, rows.T, strict=True):
        x = np.ascontiguousarray(x)
        below = [np.count_nonzero(x <= edge) for edge in column.edges]
        part[: column.value_bins] += np.diff([0, *below, len(x)])
    return counts


def timed(run: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def spread(seconds: list[float]) -> str:
    """Median with minimum and maximum."""
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"


def fold_once(rows: Floats, reference: Reference) -> tuple[float, float, Counts]:
    """Seconds to fold all rows out of the journal with commit, and to start with them unfolded and fold."""
    with tempfile.TemporaryDirectory() as name:
        runtime = opened(Path(name), reference)
        for begin in range(0, ROWS, 10_000):
            runtime.only.recorder.record_encoded(rows[begin : begin + 10_000])
        live = timed(lambda: runtime.writer.run(runtime.folding.fold))
        counts = runtime.only.totals.counts
        assert runtime.only.totals.n == ROWS
        for begin in range(0, ROWS, 10_000):
            runtime.only.recorder.record_encoded(rows[begin : begin + 10_000])
        # As a killed process leaves it: let go of the lock, and fold nothing.
        runtime.only.source.journal.sync()
        runtime.writer._connection.close()
        runtime.folder.close()
        again = opened(Path(name), reference)
        recovered = timed(lambda: again.writer.run(again.folding.fold))
        assert again.only.totals.n == 2 * ROWS
        again.close()
    return live, recovered, counts


PEER = """
import sys, time, numpy as np
rows = np.load(sys.argv[1]); edges = np.load(sys.argv[2], allow_pickle=True)
def boost():
    import boost_histogram as bh
    for x, e in zip(rows.T, edges):
        bh.Histogram(bh.axis.Variable(e)).fill(np.ascontiguousarray(x))
def boxkite():
    from boxkite.utils.histogram import fast_histogram
    for x, e in zip(rows.T, edges):
        fast_histogram(x, discrete=False, bins=list(e))
def popmon():
    import pandas as pd, popmon
    from popmon.hist.hist_utils import get_bin_centers
    frame = pd.DataFrame(rows, columns=[f"x{i}" for i in range(rows.shape[1])])
    specs = {c: {"binWidth": 0.5, "origin": 0.0} for c in frame.columns}
    frame.pm_make_histograms(features=list(frame.columns), bin_specs=specs)
def whylogs():
    import pandas as pd, whylogs as why
    why.log(pd.DataFrame(rows, columns=[f"x{i}" for i in range(rows.shape[1])]))
run = {"boost-histogram": boost, "Boxkite": boxkite, "popmon": popmon, "whylogs": whylogs}[sys.argv[3]]
keep = rows
rows = keep[:1000]; run(); rows = keep
began = time.perf_counter(); run(); print(time.perf_counter() - began)
"""


def peers(python: str, rows: Floats, schema: Schema, name: str) -> float | None:
    """Seconds that a peer takes for the same rows; None where it does not run."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "rows.npy", rows)
        edges = np.empty(COLUMNS, dtype=object)
        for i, column in enumerate(schema.columns):
            edges[i] = np.array(column.edges)
        np.save(Path(folder) / "edges.npy", edges, allow_pickle=True)
        command = [python, "-W", "ignore", "-c", PEER, f"{folder}/rows.npy", f"{folder}/edges.npy", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(PYTHONPATH=""))
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return float(done.stdout.split()[-1])


def rss() -> float:
    """Resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def memory(reference: Reference) -> tuple[float, float]:
    """MB after a warm-up of 100,000 predictions, and after a million more, one by one."""
    with tempfile.TemporaryDirectory() as name:
        runtime = opened(Path(name), reference)
        runtime.start()
        features, prediction = [1.0] * (COLUMNS - 1), [2.0]

        def record(count: int) -> None:
            for _ in range(count):
                runtime.only.record(features, prediction)
            runtime.evaluate()

        record(100_000)
        warm = rss()
        record(1_000_000)
        after = rss()
        runtime.close()
    return warm, after


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON")
    options = parser.parse_args()
    rows = make_rows()
    reference = make_reference(rows)
    warm, after = memory(reference)
    names = ["boost-histogram", "Boxkite", "popmon", "whylogs"] if options.peers else []
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        live, recovered, counts = fold_once(rows, reference)
        found = {"Telltale, from the journal into the store": live, "Telltale, at the start after a kill": recovered}
        found["numpy, searchsorted and bincount"] = timed(lambda: searchsorted(rows, reference.schema))
        found["numpy, compare with each edge"] = timed(lambda: compare(rows, reference.schema))
        assert (counts == compare(rows, reference.schema)).all()
        for name in names:
            taken = peers(options.peers, rows, reference.schema, name)
            if taken is not None:
                found[name] = taken
        for name, taken in found.items():
            seconds.setdefault(name, []).append(taken)
    print(f"| {ROWS:,} rows x {COLUMNS} columns, 30 bins, n = {ROUNDS} | seconds: median (range) | to Telltale |")
    print("| --- | --- | --- |")
    ours = statistics.median(seconds["Telltale, from the journal into the store"])
    for name, times in seconds.items():
        print(f"| {name} | {spread(times)} | {statistics.median(times) / ours:.2f} |")
    print(f"\nMemory: {warm:.1f} MB after 100,000 predictions, {after:.1f} MB after 1,000,000 more.")


if __name__ == "__main__":
    main()
