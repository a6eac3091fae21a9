"""How soon is a change seen, by us and by others, each tuned to the same rate of false alarms.

    PATH_TO_PYTHON -m bench.detection_delay

PATH_TO_PYTHON is an interpreter of an environment that has evidently, nannyml, river, frouros and prometheus-client:
all run in one process on the same streams. Prints Markdown; docs/bench-drift.md holds a run.

A stream is one column, a row at a time, after a reference of 1,000 rows. Detectors that compare windows look at their
last rows every 25 rows; the others see every row. Each is tuned on quiet streams so that 5 % of them raise any alarm
within 1,500 rows. Then such streams with a change at row 500: how many rows until the first alarm after it. Streams
in which a detector had already raised an alarm before the change are left out for it.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from monitor.columns.column import Column, Schema
from monitor.drift.layout import Layout
from monitor.drift.statistics import STATISTICS
from tests.support.edges import choose_edges

REFERENCE, ROWS, CHANGE, EVERY, WINDOW = 1_000, 1_500, 500, 25, 200
FALSE = 0.05

#: A detector of windows answers, for each moment it looks at, a score that grows with drift.
Scores = Callable[[Any, Any], Any]


def looks(rows: int) -> range:
    return range(WINDOW, rows + 1, EVERY)


def ours(windows: tuple[int, ...], names: tuple[str, ...]) -> Scores:
    """Our p-values over one or more windows, the smallest counts; as -log."""

    def scores(reference: Any, stream: Any) -> Any:
        column = Column("x", "feature", "numeric", edges=choose_edges(reference))
        layout = Layout(Schema((column,)))

        def fill(values: Any) -> Any:
            return np.append(np.bincount(np.searchsorted(column.edges, values), minlength=column.value_bins), [0, 0])

        before = fill(reference)
        each = np.zeros((len(stream) + 1, column.size), dtype=np.int64)
        each[np.arange(1, len(stream) + 1), np.searchsorted(column.edges, stream)] = 1
        total = np.cumsum(each, axis=0)
        ends = np.array(looks(len(stream)))
        out = []
        for window in windows:
            counts = total[ends] - total[np.maximum(ends - window, 0)]
            pair = layout.pair(before, counts, np.array([reference.std()]), np.array([0]))
            for name in names:
                out.append(-np.log(np.maximum(STATISTICS[name].measure(pair).p_value[:, 0], 1e-300)))
        return np.max(out, axis=0)

    return scores


def windowed(fit: Callable[[Any], Callable[[Any], float]]) -> Scores:
    def scores(reference: Any, stream: Any) -> Any:
        score = fit(reference)
        return np.array([score(stream[end - WINDOW : end]) for end in looks(len(stream))])

    return scores


def evidently(test: Any, sign: float) -> Scores:
    import pandas as pd
    from evidently.legacy.core import ColumnType

    def fit(reference: Any) -> Callable[[Any], float]:
        before = pd.Series(reference)
        return lambda rows: sign * float(test.func(before, pd.Series(rows), ColumnType.Numerical, 0.1)[0])

    return windowed(fit)


def nannyml(key: str) -> Scores:
    import pandas as pd
    from nannyml.chunk import SizeBasedChunker
    from nannyml.drift.univariate.methods import FeatureType, MethodFactory
    from nannyml.thresholds import StandardDeviationThreshold

    def fit(reference: Any) -> Callable[[Any], float]:
        method = MethodFactory.create(
            key=key,
            feature_type=FeatureType.CONTINUOUS,
            chunker=SizeBasedChunker(WINDOW),
            threshold=StandardDeviationThreshold(),
            computation_params={},
        )
        method.fit(pd.Series(reference, name="x"))
        return lambda rows: float(method.calculate(pd.Series(rows, name="x")))

    return windowed(fit)


def frouros() -> Scores:
    from frouros.detectors.data_drift import PSI

    def fit(reference: Any) -> Callable[[Any], float]:
        detector = PSI()
        detector.fit(X=reference)
        return lambda rows: float(detector.compare(X=rows)[0].distance)

    return windowed(fit)


def streaming(make: Callable[[float], Any]) -> Callable[[float, Any, Any], list[int]]:
    """A detector that sees every row and answers when it has drifted; first it sees the reference."""

    def alarms(setting: float, reference: Any, stream: Any) -> list[int]:
        detector = make(setting)
        for value in reference:
            detector.update(float(value))
        out = []
        for at, value in enumerate(stream):
            detector.update(float(value))
            if detector.drift_detected:
                out.append(at + 1)
        return out

    return alarms


CHANGES: dict[str, Callable[[Any, int], Any]] = {
    "mean + 0.5 sd": lambda rng, size: rng.normal(0.5, 1, size),
    "mean + 1 sd": lambda rng, size: rng.normal(1, 1, size),
    "mean + 0.3 sd": lambda rng, size: rng.normal(0.3, 1, size),
    "sd x 1.5": lambda rng, size: rng.normal(0, 1.5, size),
    "two humps, same mean and sd": lambda rng, size: rng.choice([-0.9, 0.9], size) + rng.normal(0, 0.436, size),
    "5 % outliers at 6 sd": lambda rng, size: np.where(rng.random(size) < 0.05, 6, rng.normal(size=size)),
}


def streams(seed: int, count: int, change: Callable[[Any, int], Any] | None) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        reference, stream = rng.normal(size=REFERENCE), rng.normal(size=ROWS)
        if change is not None:
            stream[CHANGE:] = change(rng, ROWS - CHANGE)
        out.append((reference, stream))
    return out


def first_after(alarms: list[int]) -> float | None:
    """Rows from the change to the first alarm; None where one came before; infinite where none came."""
    if any(at <= CHANGE for at in alarms):
        return None
    return min((at - CHANGE for at in alarms), default=float("inf"))


def tuned_windows(scores: Scores, quiet: list[tuple[Any, Any]]) -> Callable[[Any, Any], list[int]]:
    limit = float(np.quantile([scores(*each).max() for each in quiet], 1 - FALSE))

    def alarms(reference: Any, stream: Any) -> list[int]:
        found = scores(reference, stream) > limit
        return [end for end, hit in zip(looks(len(stream)), found, strict=True) if hit]

    return alarms


def tuned_stream(
    run: Callable[[float, Any, Any], list[int]], settings: tuple[float, ...], quiet: list[tuple[Any, Any]]
) -> Callable[[Any, Any], list[int]]:
    """The most sensitive setting (they come strictest first) that keeps to the rate; else the strictest."""
    chosen = settings[0]
    for setting in settings:
        if sum(bool(run(setting, *each)) for each in quiet) / len(quiet) > FALSE:
            break
        chosen = setting
    return lambda reference, stream: run(chosen, reference, stream)


def detectors(quiet: list[tuple[Any, Any]]) -> dict[str, Callable[[Any, Any], list[int]]]:
    from evidently.legacy.calculations.stattests import ks_stat_test, wasserstein_stat_test
    from river import drift

    adwin = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 1e-2, 3e-2)
    return {
        "ours, ks, window 200": tuned_windows(ours((200,), ("ks",)), quiet),
        "ours, `auto` (ks and wasserstein), window 200": tuned_windows(ours((200,), ("ks", "wasserstein")), quiet),
        "ours, wasserstein and kl, windows 30, 120 and 200": tuned_windows(
            ours((30, 120, 200), ("wasserstein", "kl")), quiet
        ),
        "ours, wasserstein, kl and js, windows 30, 120 and 200": tuned_windows(
            ours((30, 120, 200), ("wasserstein", "kl", "js")), quiet
        ),
        "evidently, Wasserstein (default)": tuned_windows(evidently(wasserstein_stat_test, 1.0), quiet),
        "evidently, K-S": tuned_windows(evidently(ks_stat_test, -1.0), quiet),
        "nannyml, JS (default)": tuned_windows(nannyml("jensen_shannon"), quiet),
        "nannyml, K-S": tuned_windows(nannyml("kolmogorov_smirnov"), quiet),
        "frouros, PSI": tuned_windows(frouros(), quiet),
        "river, ADWIN": tuned_stream(streaming(lambda x: drift.ADWIN(delta=x)), adwin, quiet),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiet", type=int, default=300, help="quiet streams to tune with")
    parser.add_argument("--changed", type=int, default=100, help="streams for each change")
    parser.add_argument("--seed", type=int, default=101, help="of the first streams")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    known = detectors(streams(arguments.seed, arguments.quiet, None))
    fresh = streams(arguments.seed + 1, arguments.changed, None)
    print("\nRows until the alarm: median (share of streams in which there was one within 1,000 rows)\n")
    print("| detector | quiet streams with an alarm | " + " | ".join(CHANGES) + " |")
    print("| --- | --- |" + " --- |" * len(CHANGES))
    for name, run in known.items():
        false = sum(bool(run(*each)) for each in fresh) / len(fresh)
        line = []
        for seed, change in enumerate(CHANGES.values(), arguments.seed + 2):
            found = [first_after(run(*each)) for each in streams(seed, arguments.changed, change)]
            delays = [delay for delay in found if delay is not None]
            middle = statistics.median(delays)
            seen = sum(delay != float("inf") for delay in delays) / len(delays)
            line.append(f"{'never' if middle == float('inf') else f'{middle:.0f}'} ({100 * seen:.0f} %)")
        print(f"| {name} | {100 * false:.0f} % | " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    main()
