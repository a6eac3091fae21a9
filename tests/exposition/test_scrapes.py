"""Scrapes while predictions come in and are folded: always one moment, never a part of one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitor.columns.column import Column, Schema
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime

ROWS = 6_000
ACCEPT = "application/openmetrics-text;version=1.0.0"


def settings(folder: Path) -> Config:
    path = folder / "config.toml"
    path.write_text(f'[data]\npath = "{folder / "data"}"\n\n[window]\nfold = "10ms"\n\n[drift]\nevery = "1s"\n')
    return Config.load(path)


def model() -> Reference:
    schema = Schema(
        (
            Column("x", "feature", "numeric", edges=(-1.0, 0.0, 1.0)),
            Column("c", "feature", "categorical", categories=("a", "b")),
            Column("y", "prediction", "numeric", edges=(-0.5, 0.5)),
        )
    )
    return Reference(schema, schema.zeros() + 10, np.zeros(3), np.ones(3))


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    opened = Runtime.of_one(settings(tmp_path), model(), "v1")
    opened.start()
    try:
        yield opened
    finally:
        opened.close()


def scrape(runtime: Runtime) -> dict[str, float]:
    body, _ = runtime.metrics(ACCEPT)
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if family.type in ("counter", "histogram") and not sample.name.endswith("_sum")
    }


def one(samples: dict[str, float], name: str, *labels: str) -> float:
    found = [
        value for key, value in samples.items() if key.startswith(name + "[") and all(text in key for text in labels)
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_counters_only_grow_and_agree_with_one_another(runtime: Runtime) -> None:
    def send(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for value in rng.normal(size=ROWS // 2).tolist():
            runtime.only.record([value, "a" if value > 0 else None], [value])

    threads = [threading.Thread(target=send, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    before: dict[str, float] = {}
    scrapes = 0
    while True:
        alive = any(thread.is_alive() for thread in threads)
        now = scrape(runtime)
        assert all(now[name] >= value for name, value in before.items())
        rows = one(now, "telltale_predictions_total")
        assert one(now, "telltale_value_bucket", "'x'", "+Inf") == rows
        assert one(now, "telltale_value_bucket", "'y'", "+Inf") == rows
        category = [value for name, value in now.items() if name.startswith("telltale_category_total")]
        assert sum(category) + one(now, "telltale_missing_total", "'c'") == rows
        scrapes += 1
        before = now
        if not alive and rows == ROWS:
            break
    assert scrapes > 1


def test_counters_go_on_after_a_restart(tmp_path: Path) -> None:
    for expected in (0.0, 100.0, 200.0):
        runtime = Runtime.of_one(settings(tmp_path), model(), "v1")
        try:
            assert one(scrape(runtime), "telltale_predictions_total") == expected
            runtime.start()
            for _ in range(100):
                runtime.only.record([0.5, "b"], [1.5])
        finally:
            runtime.close()
