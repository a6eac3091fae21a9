"""False alarms and power of the verdict on performance, beside the default rules of two peers on the same rows.

    python -m bench.performance                 1,000 draws a cell, about a minute and a half
    python -m bench.performance --draws 100     a quick look

The peers' rules are worked out from what their sources say, because neither keeps a verdict that can be asked for many
times a second: NannyML alarms outside of the mean +- 3 standard deviations of 10 chunks of the reference, whatever the
size of the window; Evidently alarms if a metric is more than 20 % away from the reference's. Prints Markdown;
docs/bench-performance.md holds a run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from monitor.columns.column import Floats
from monitor.outcomes.sums import Sums, Target, contribute
from monitor.outcomes.verdict import Asked, dispersions, judge

ALPHA, REFERENCE_ROWS, CHUNKS, HOURS = 0.001, 2000, 10, 10
BINARY, NUMBER = Target("binary", ("no", "yes")), Target("regression")

#: Draws n losses: 1 for a wrong class, or the absolute error.
Draw = Callable[[np.random.Generator, int], Floats]


def ours(reference: Floats, live: Floats, metric: str) -> bool:
    """Whether the verdict is `worse` with the default floor, the rows spread over 10 hours."""

    def sums(losses: Floats) -> Sums:
        if metric == "mae":
            return contribute(NUMBER, losses[:, None], np.zeros(len(losses)))
        outcomes = np.arange(len(losses)) % 2
        return contribute(BINARY, np.abs(outcomes - losses)[:, None], outcomes.astype(float))

    hours = [sums(part) for part in np.array_split(live, HOURS)]
    total = sum(hours[1:], hours[0])
    asked = Asked((metric,), ALPHA, dispersions=dispersions(hours, [metric]))
    (found,) = judge(total, sums(reference), asked)
    return found.state == "worse"


def nannyml(reference: Floats, live: Floats) -> bool:
    """Whether the mean lies outside of 3 standard deviations of 10 chunks of the reference."""
    chunks = np.array([chunk.mean() for chunk in np.array_split(reference, CHUNKS)])
    return bool(abs(live.mean() - chunks.mean()) > 3 * chunks.std())


def evidently(reference: Floats, live: Floats, metric: str) -> bool:
    """Whether the metric is more than 20 % away from the reference's."""
    now, before = live.mean(), reference.mean()
    if metric == "accuracy":
        now, before = 1 - now, 1 - before
    return bool(abs(now - before) > 0.2 * abs(before))


def row(metric: str, before: Draw, after: Draw, n: int, draws: int) -> str:
    """Return the share of windows that each rule calls worse, as cells of a table."""
    rng = np.random.default_rng(n)
    hits = np.zeros(3)
    for _ in range(draws):
        reference, live = before(rng, REFERENCE_ROWS), after(rng, n)
        hits += ours(reference, live, metric), nannyml(reference, live), evidently(reference, live, metric)
    return " | ".join(f"{100 * share:.1f}" for share in hits / draws)


def wrong(share: float) -> Draw:
    return lambda rng, n: (rng.random(n) < share).astype(float)


def lognormal(sigma: float, times: float = 1.0) -> Draw:
    return lambda rng, n: times * rng.lognormal(0, sigma, n)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--draws", type=int, default=1000)
    draws = options.parse_args().draws
    print("| rows drawn again | outcomes | Telltale | NannyML's rule | Evidently's rule |")
    print("| --- | --- | --- | --- | --- |")
    sizes = (100, 500, 2000, 10_000)
    for accuracy in (0.6, 0.85, 0.99):
        for n in sizes:
            cells = row("accuracy", wrong(1 - accuracy), wrong(1 - accuracy), n, draws)
            print(f"| accuracy {accuracy:g}, unchanged | {n:,} | {cells} |", flush=True)
    for sigma in (0.5, 1.0, 1.5):
        for n in sizes:
            cells = row("mae", lognormal(sigma), lognormal(sigma), n, draws)
            print(f"| MAE, lognormal errors of sigma {sigma:g}, unchanged | {n:,} | {cells} |", flush=True)
    for after in (0.80, 0.75):
        for n in sizes:
            cells = row("accuracy", wrong(0.15), wrong(1 - after), n, draws)
            print(f"| accuracy 0.85 becomes {after:g} | {n:,} | {cells} |", flush=True)
    for n in sizes:
        cells = row("mae", lognormal(1.0), lognormal(1.0, 1.2), n, draws)
        print(f"| MAE up by 20 %, sigma 1 | {n:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
