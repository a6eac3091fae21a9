"""Rendering /metrics: 1,000 columns of 30 bins, live and reference, against the floor and prometheus-client.

python -m bench.render            prints the table of docs/bench-render.md
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from itertools import cycle

import numpy as np
import numpy.typing as npt
from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitor.columns.column import Column, Schema, go_number
from monitor.exposition.render import Renderer
from monitor.exposition.snapshot import Snapshot
from monitor.reference.file import Reference

BINS = 30


class _Families:
    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        yield from self.families


def model(columns: int) -> tuple[Schema, Reference]:
    rng = np.random.default_rng(7)
    edges = np.sort(rng.normal(size=(columns, BINS - 1)), axis=1)
    schema = Schema(
        tuple(Column(f"x{i}", "feature", "numeric", edges=tuple(row)) for i, row in enumerate(edges.tolist()))
    )
    counts = rng.integers(0, 5_000, schema.size)
    return schema, Reference(schema, counts, rng.normal(size=columns), np.ones(columns))


def templates(schema: Schema) -> bytes:
    """The floor: both histograms of every column as one ready template, a `%d` for each number."""
    lines = []
    for name in ("telltale_value", "telltale_value_reference"):
        for column in schema.columns:
            labels = f'column="{column.name}",model_version="v1",role="feature"'
            for edge in (*column.edges, float("inf")):
                lines.append(f'{name}_bucket{{le="{go_number(edge)}",{labels}}} %d')
            lines += [f"{name}_count{{{labels}}} %d", f"{name}_sum{{{labels}}} %d"]
    return "\n".join(lines).encode()


def fill(template: bytes, numbers: npt.NDArray[np.int64]) -> bytes:
    return template % tuple(numbers.tolist())


def render_next(renderer: Renderer, snapshots: Iterator[Snapshot]) -> bytes:
    return renderer.render(next(snapshots), openmetrics=False)


def interleaved(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each job; the jobs take turns, so that noise hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            begun = time.perf_counter()
            job()
            times[name].append((time.perf_counter() - begun) * 1e3)
    return times


def main(rounds: int = 15) -> None:
    print(f"Python {sys.version.split()[0]}, prometheus-client {version('prometheus-client')}, numpy {np.__version__};")
    print(f"{rounds} interleaved rounds, {BINS} bins, live and reference.\n")
    print("| columns | counts | what | median ms | fastest | slowest | / floor |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for columns, most in ((10, 10_000), (100, 10_000), (1_000, 10_000), (1_000, 50_000_000)):
        schema, reference = model(columns)
        renderer = Renderer(reference, "v1", max_series=10_000_000)
        rng = np.random.default_rng(11)
        snapshots = [Snapshot(rng.integers(0, most, schema.size), rng.normal(size=columns)) for _ in range(rounds)]
        body = renderer.render(snapshots[0], openmetrics=False)
        # The same families, as the client holds them: the histograms only, which it must render from scratch.
        parsed = list(text_string_to_metric_families(body.decode()))
        families = _Families([f for f in parsed if f.name in ("telltale_value", "telltale_value_reference")])
        template, numbers = templates(schema), rng.integers(0, most, 2 * columns * (BINS + 2))
        jobs: dict[str, Callable[[], object]] = {
            "filling ready byte templates (floor)": partial(fill, template, numbers),
            "Telltale, everything on /metrics": partial(render_next, renderer, cycle(snapshots)),
            "prometheus-client `generate_latest`, the two histograms": partial(generate_latest, families),
        }
        times = interleaved(jobs, rounds)
        floor = statistics.median(times["filling ready byte templates (floor)"])
        for name, ms in times.items():
            median = statistics.median(ms)
            cells = f"{median:.2f} | {min(ms):.2f} | {max(ms):.2f} | {median / floor:.2f}"
            print(f"| {columns:,} | < {most:,} | {name} | {cells} |")


if __name__ == "__main__":
    main()
