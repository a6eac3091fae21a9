"""The page: server time and size, over a store that holds a day of verdicts, one evaluation a minute.

python -m bench.page              prints the table of docs/bench-page.md
"""

from __future__ import annotations

import logging
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from flask.testing import FlaskClient

from monitor.clock import ManualClock
from monitor.columns.column import column_path
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.store.records.verdicts import save_results
from server.web.app import create_app

ROUNDS = 15
DAY = 1440
START = 1_700_006_400.0


def filled(folder: Path, columns: int) -> tuple[Runtime, ManualClock]:
    """A runtime of so many numeric columns, some of them drifting, with a day of verdicts in its store."""
    rng = np.random.default_rng(7)
    names = [f"feature_{i:04d}_of_a_wide_table" for i in range(columns - 1)]
    reference = Reference.from_data(rng.normal(0, 1, (1000, columns - 1)), rng.normal(0, 1, 1000), names=names)
    clock = ManualClock(START)
    runtime = Runtime.of_one(Config.from_text(f'[data]\npath = "{folder}"\n'), reference, "v1", clock)
    for _ in range(60):
        values = rng.normal(0, 1, (20, columns - 1))
        values[:, ::17] += 0.9
        runtime.only.recorder.record_many(values.T, [rng.normal(0, 1, 20).tolist()])
        clock.advance(60)
    runtime.evaluate()
    latest = runtime.only.latest
    now = clock.time()
    for minute in range(DAY):
        at = now - DAY * 60 + minute * 60
        results = [result._replace() for result in latest.results]
        runtime.writer.transaction(lambda connection, at=at, rows=results: save_results(connection, at, rows))  # type: ignore[misc]
    return runtime, clock


def milliseconds(action: Callable[[], object], before: Callable[[], object] = lambda: None) -> list[float]:
    """Time of an action, `ROUNDS` times."""
    taken = []
    for _ in range(ROUNDS):
        before()
        began = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def measure(columns: int) -> None:
    """Print the rows of one width."""
    with tempfile.TemporaryDirectory() as name:
        runtime, clock = filled(Path(name) / "data", columns)
        application = create_app(runtime)
        client = application.test_client()

        def forget() -> None:
            application.extensions.pop("telltale_pages", None)

        def evaluate() -> None:
            clock.advance(60)
            runtime.evaluate()

        def get(path: str) -> bytes:
            return fetch(client, path)

        some = runtime.only.reference.schema.columns[0]
        path = f"{column_path(some.role, some.name)}&from=24h"
        overview = "/?from=24h"
        for what, action, before in (
            ("overview, nothing remembered", overview, forget),
            ("overview, after a new evaluation", overview, evaluate),
            ("overview, looked at again", overview, lambda: None),
            ("one column", path, lambda: None),
            ("alerts", "/alerts", lambda: None),
        ):
            get(action)
            taken = milliseconds(lambda action=action: get(action), before)  # type: ignore[misc]
            print(
                f"| {columns:,} | {what} | {statistics.median(taken):.0f} | {min(taken):.0f} | {max(taken):.0f} "
                f"| {len(get(action)) / 1000:.0f} |",
                flush=True,
            )
        runtime.close()


def fetch(client: FlaskClient, path: str) -> bytes:
    """Body of an answer that must be fine."""
    answer = client.get(path)
    assert answer.status_code == 200, path
    return bytes(answer.data)


def main() -> None:
    """Print the table."""
    logging.disable(logging.WARNING)
    print(f"Python {platform.python_version()}, Flask {version('flask')}, Jinja2 {version('jinja2')};")
    print(f"{ROUNDS} rounds, {DAY:,} stored evaluations, the last 24 h.\n")
    print("| columns | what | median ms | fastest | slowest | kB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for columns in (11, 200, 1000):
        measure(columns)


if __name__ == "__main__":
    main()
