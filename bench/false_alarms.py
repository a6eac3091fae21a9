"""How often the default rules cry wolf, and how often they see what is there.

    python -m bench.false_alarms                  all tables, half an hour
    python -m bench.false_alarms --only month     only the quiet months
    python -m bench.false_alarms --scale 0.1      fewer evaluations

Prints Markdown; docs/bench-drift.md holds a run of it.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np
from scipy.special import bdtri

from bench.quiet import CATEGORICAL, GAPS, KINDS, NORMAL, Source, World, measure, probabilities, shifted, world
from monitor.columns.column import Column, Counts, Floats, Schema
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import Span
from tests.support.edges import choose_edges

WINDOWS = (20, 50, 100, 200, 1_000, 10_000)
REFERENCES = (331, 5_000)
ALPHA = 0.001
#: Minutes without drift after which a column's next one is another event: `keep_firing_for`, then `REOPEN`.
APART = 20
#: Candidates for the default of alpha.
ALPHAS = (1e-3, 3e-4, 1.5e-4, 1e-4, 5e-5)


def question(scene: World, statistic: str = "auto", alpha: float = ALPHA) -> Question:
    columns = range(len(scene.layout.schema.columns))
    return Question("bench", tuple(columns), statistic, alpha, min_samples=1)


def cell(kind: str, m: int, n: int, columns: int, evaluations: int, statistic: str = "auto") -> tuple[int, int]:
    """False alarms among evaluations of quiet windows, over many references."""
    rng = np.random.default_rng([m, n, columns, len(kind)])
    # Windows of one reference share its luck, all the more where they are larger than it: many references tell more.
    per_reference = 20 if n < m else 4
    alarms = done = 0
    while done < evaluations:
        scene = world(rng, list(itertools.islice(itertools.cycle(KINDS[kind]), columns)), m)
        alarms += int(
            measure(question(scene, statistic), scene, scene.windows(rng, n, per_reference)).drifts().any(1).sum()
        )
        done += per_reference
    return alarms, done


def upper(alarms: int, done: int) -> float:
    """Upper end of the exact one-sided 95 % interval of a rate."""
    return 1.0 if alarms >= done else float(bdtri(alarms, done, 0.05))


def false_alarm_table(scale: float) -> None:
    print("| columns | data | reference | " + " | ".join(f"n = {n:,}" for n in WINDOWS) + " |")
    print("| --- | --- | --- |" + " --- |" * len(WINDOWS))
    kinds = [(1, kind) for kind in KINDS if kind != "mixed"] + [(10, "mixed"), (100, "mixed")]
    for (columns, kind), m in itertools.product(kinds, REFERENCES):
        evaluations = int({1: 60_000, 10: 20_000, 100: 3_000}[columns] * scale)
        cells = [cell(kind, m, n, columns, evaluations) for n in WINDOWS]
        rates = " | ".join(f"{1000 * alarms / done:.2f}" for alarms, done in cells)
        print(f"| {columns} | {kind} | {m:,} | {rates} |", flush=True)


def power_table(scale: float) -> None:
    unseen = np.append(CATEGORICAL.shares * 0.9, 0.1) if CATEGORICAL.shares is not None else None
    cases: tuple[tuple[str, Source, Source, int], ...] = (
        ("shift by 0.5 sd", NORMAL, shifted(0.5), 200),
        ("shift by 0.3 sd", NORMAL, shifted(0.3), 1_000),
        ("shift by 1 sd", NORMAL, shifted(1.0), 50),
        ("10 % in an unseen value", CATEGORICAL, Source(shares=unseen), 200),
        ("missing from 0 to 5 %", NORMAL, Source(cdf=NORMAL.cdf, missing=0.05), 500),
        ("missing from 3 to 10 %", GAPS, Source(cdf=NORMAL.cdf, missing=0.1), 500),
    )
    heads = [f"m = {m:,}, alpha {alpha:g}" for m in REFERENCES for alpha in ALPHAS]
    print("| change | n | columns | " + " | ".join(heads) + " |")
    print("| --- | --- | --- |" + " --- |" * len(heads))
    for name, before, after, n in cases:
        for columns in (1, 11):
            settings = itertools.product(REFERENCES, ALPHAS)
            rates = [power(before, after, n, columns, m, int(4_000 * scale), alpha) for m, alpha in settings]
            print(f"| {name} | {n:,} | {columns} | " + " | ".join(f"{100 * r:.1f} %" for r in rates) + " |", flush=True)


def power(before: Source, after: Source, n: int, columns: int, m: int, evaluations: int, alpha: float) -> float:
    """Share of windows in which the first column, the only one that changed, is called drift."""
    rng = np.random.default_rng([n, columns, m])
    hits = done = 0
    while done < evaluations:
        scene = world(rng, [before] + [NORMAL] * (columns - 1), m)
        windows = scene.windows(rng, n, 100)
        size = scene.layout.schema.columns[0].size
        windows[:, :size] = rng.multinomial(n, probabilities(scene.layout.schema.columns[0], after), size=100)
        hits += int(measure(question(scene, alpha=alpha), scene, windows).drifts()[:, 0].sum())
        done += 100
    return hits / done


def month_events(scene: World, rng: np.random.Generator, per_minute: float) -> list[int]:
    """False alert events of 43,200 evaluations: one a minute, of the last 30 minutes.

    For each of `ALPHAS` with `for` = 0, then for each with `for` = 1m. An event is one column in drift (in two
    evaluations running) after at least `keep_firing_for` and the 15 minutes within which an event goes on.
    """
    minutes = 43_200 + 29
    rows = rng.poisson(per_minute, size=minutes)
    parts: list[Counts] = [rng.multinomial(rows, p) for p in scene.probabilities]
    total = np.cumsum(np.concatenate(parts, axis=-1), axis=0)
    total = np.concatenate((np.zeros((1, total.shape[1]), dtype=np.int64), total))
    events = [0] * (2 * len(ALPHAS))
    last: dict[tuple[int, int], int] = {}
    for start in range(0, 43_200, 2_400):
        windows = total[start + 30 : start + 2_430] - total[start : start + 2_400]
        enough = windows[:, : scene.layout.schema.columns[0].size].sum(axis=1) >= 50
        measured = measure(question(scene), scene, windows)
        for i, alpha in enumerate(ALPHAS):
            hit = measured.drifts(alpha) & enough[:, None]
            twice = hit & np.concatenate((hit[:1] & False, hit[:-1]))
            for line, found in ((i, hit), (i + len(ALPHAS), twice)):
                for at, column in zip(*np.nonzero(found), strict=True):
                    if start + at - last.get((line, column), -APART) > APART:
                        events[line] += 1
                    last[line, column] = start + at
    return events


def month_table(months: int) -> None:
    heads = [f"{a:g}{hold}" for hold in ("", ", for 1m") for a in ALPHAS]
    print("| reference | rows a minute | " + " | ".join(heads) + " |")
    print("| --- | --- |" + " --- |" * len(heads))
    for m, per_minute in itertools.product(REFERENCES, (2, 5, 10, 100)):
        rng = np.random.default_rng([m, per_minute])
        counts = []
        for _ in range(months):
            scene = world(rng, list(itertools.islice(itertools.cycle(KINDS["mixed"]), 11)), m)
            counts.append(month_events(scene, rng, per_minute))
        line = [f"{np.mean(each):.2f} ({max(each)})" for each in zip(*counts, strict=True)]
        print(f"| {m:,} | {per_minute} | " + " | ".join(line) + " |", flush=True)


def load_table(splits: int) -> None:
    """The example model under its own load: rows resampled from all data, then with one feature moved by 1 sd."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import train_test_split

    features, target = load_diabetes(return_X_y=True)
    print("| rows | loads | quiet loads with an alarm | shifted feature not named | innocent feature named |")
    print("| --- | --- | --- | --- | --- |")
    for rows in (200, 1_000, 5_000):
        false = missed = innocent = 0
        for split in range(splits):
            train, test, answers, _ = train_test_split(features, target, random_state=split)
            model = LinearRegression().fit(train, answers)
            before = [*train.T, model.predict(test)]
            columns = [Column(f"x{i}", "feature", "numeric", edges=choose_edges(x)) for i, x in enumerate(before)]
            layout = Layout(Schema(tuple(columns)))
            ask = Question("bench", tuple(range(11)), "auto", ALPHA)
            reference = _sample(columns, before)
            rng = np.random.default_rng(split)
            for shift in range(10):
                drawn = features[rng.integers(0, len(features), rows)]
                for moved in (False, True):
                    drawn[:, shift] += moved * train[:, shift].std()
                    window = _sample(columns, [*drawn.T, model.predict(drawn)])
                    results = evaluate(ask, layout, reference, window, Span(0, 1800))
                    named = {result.column for result in results if result.state == "drift"}
                    false += bool(named) and not moved
                    missed += moved and f"x{shift}" not in named
                    innocent += moved and bool(named - {f"x{shift}", "x10"})
        print(f"| {rows:,} | {10 * splits} | {false} | {missed} | {innocent} |", flush=True)


def _sample(columns: list[Column], values: list[Floats]) -> Sample:
    counts = [
        np.append(np.bincount(np.searchsorted(column.edges, each), minlength=column.value_bins), [0, 0])
        for column, each in zip(columns, values, strict=True)
    ]
    return Sample(np.concatenate(counts), np.array([v.sum() for v in values]), np.array([v.std() for v in values]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the evaluations to run")
    parser.add_argument("--months", type=int, default=20, help="quiet months for each cell")
    parser.add_argument("--only", choices=["alarms", "power", "month", "load"], help="one table, not all")
    arguments = parser.parse_args()
    started = time.perf_counter()
    if arguments.only in (None, "alarms"):
        print(f"\nEvaluations per 1,000 with any false drift (alpha = {ALPHA} is 1 per 1,000)\n")
        false_alarm_table(arguments.scale)
    if arguments.only in (None, "power"):
        print("\nPower: share of windows in which the changed column is named\n")
        power_table(arguments.scale)
    if arguments.only in (None, "month"):
        print(f"\nFalse alert events in a quiet month: mean (most) of {arguments.months} months\n")
        month_table(arguments.months)
    if arguments.only in (None, "load"):
        print("\nThe example model (diabetes) under its own load, over many splits into reference and test rows\n")
        load_table(max(1, int(40 * arguments.scale)))
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
