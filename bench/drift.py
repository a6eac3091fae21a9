"""How long the drift of one window takes, for us and for others.

    python -m bench.drift                                   ours
    python -m bench.drift --peers PATH_TO_PYTHON            ours and, interleaved, Evidently and NannyML

PATH_TO_PYTHON is an interpreter of an environment that has evidently and nannyml; this file is run by it as
`bench/drift.py --as evidently`, and it then imports nothing of ours. Prints Markdown; docs/bench-drift.md holds a run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

REFERENCE_ROWS, WINDOW_ROWS = 100_000, 10_000


def timed(action: Callable[[], Any], repeats: int) -> list[float]:
    """Milliseconds of each of several runs; one run before them is not counted."""
    action()
    out = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        out.append(1000 * (time.perf_counter() - started))
    return out


def raw(columns: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(REFERENCE_ROWS, columns)), rng.normal(size=(WINDOW_ROWS, columns)) + 0.02


def ours(columns: int, repeats: int) -> dict[str, list[float]]:
    """Ours, over windows that are counts already: that is what the store holds."""
    from monitor.columns.column import Column, Schema
    from monitor.drift.evaluate import Question, Sample, evaluate
    from monitor.drift.layout import Layout
    from monitor.drift.result import Span
    from monitor.drift.statistics import STATISTICS

    rng = np.random.default_rng(1)
    edges = tuple(np.quantile(rng.normal(size=20_000), np.linspace(0.001, 0.999, 27)).tolist())
    kinds = [Column(f"x{i}", "feature", "numeric", edges=edges) for i in range(columns)]
    layout = Layout(Schema(tuple(kinds)))
    assert kinds[0].size == 30
    shares = np.append(rng.dirichlet(np.full(28, 20.0)), [0.0, 0.0])
    middles = np.append(kinds[0].bin_means, (0.0, 0.0))  # of each bin, the missing ones last

    def drawn(rows: int) -> Sample:
        counts = rng.multinomial(rows, shares, size=columns)
        return Sample(counts.ravel(), counts @ middles, np.ones(columns))

    reference, test = drawn(REFERENCE_ROWS), drawn(WINDOW_ROWS)
    every = np.arange(columns)

    def measure(names: list[str]) -> None:
        pair = layout.pair(reference.counts, test.counts, np.ones(columns), every)
        for name in names:
            found = STATISTICS[name].measure(pair)
            found.critical(0.001 / columns)

    def answer(statistic: str) -> None:
        evaluate(Question("bench", tuple(range(columns)), statistic), layout, reference, test, Span(0, 1800))

    return {
        "measure ks, kl, psi": timed(lambda: measure(["ks", "kl", "psi"]), repeats),
        "measure all 8 statistics": timed(lambda: measure(list(STATISTICS)), repeats),
        "evaluate `auto` (verdicts)": timed(lambda: answer("auto"), repeats),
        "evaluate all statistics (verdicts)": timed(lambda: answer("all"), repeats),
    }


def evidently(columns: int, repeats: int) -> dict[str, list[float]]:
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    before, after = (pd.DataFrame(x, columns=[f"x{i}" for i in range(columns)]) for x in raw(columns))
    return {
        "evidently, K-S of each column": timed(
            lambda: Report([DataDriftPreset(num_method="ks")]).run(after, before).dict(), repeats
        ),
        "evidently, its default": timed(lambda: Report([DataDriftPreset()]).run(after, before).dict(), repeats),
    }


def nannyml(columns: int, repeats: int) -> dict[str, list[float]]:
    import nannyml as nml
    import pandas as pd

    names = [f"x{i}" for i in range(columns)]
    before, after = (pd.DataFrame(x, columns=names) for x in raw(columns))
    out = {}
    for label, method in (("K-S", "kolmogorov_smirnov"), ("JS", "jensen_shannon")):
        calculator = nml.UnivariateDriftCalculator(
            column_names=names, continuous_methods=[method], chunk_size=WINDOW_ROWS
        )
        calculator.fit(before)
        out[f"nannyml, {label} (fitted before)"] = timed(partial(calculator.calculate, after), repeats)
    return out


def peer(python: str, name: str, columns: int, repeats: int) -> dict[str, list[float]]:
    command = [
        python,
        str(Path(__file__).resolve()),
        "--as",
        name,
        "--columns",
        str(columns),
        "--repeats",
        str(repeats),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(columns: int, runs: dict[str, list[float]]) -> None:
    base = statistics.median(runs["evaluate `auto` (verdicts)"])
    print(f"\n{columns:,} columns\n\n| what | median ms | fastest to slowest | n | against `auto` |")
    print("| --- | --- | --- | --- | --- |")
    for name, times in runs.items():
        middle = statistics.median(times)
        spread = f"{min(times):.3g} to {max(times):.3g}"
        print(f"| {name} | {middle:.3g} | {spread} | {len(times)} | {middle / base:.3g} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python that has evidently and nannyml")
    parser.add_argument("--as", dest="role", choices=["evidently", "nannyml"])
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.role:
        warnings.simplefilter("ignore")
        found = {"evidently": evidently, "nannyml": nannyml}[arguments.role](arguments.columns, arguments.repeats)
        sys.stdout.write("\n" + json.dumps(found) + "\n")
        return
    for columns in (10, 100, 1_000):
        runs: dict[str, list[float]] = {}
        for _ in range(3):  # Interleaved, so that a busy spell of the machine hits all.
            parts = [ours(columns, 30)]
            if arguments.peers and columns == 10:
                parts += [peer(arguments.peers, name, columns, 3) for name in ("evidently", "nannyml")]
            for part in parts:
                for name, times in part.items():
                    runs.setdefault(name, []).extend(times)
        table(columns, runs)


if __name__ == "__main__":
    main()
