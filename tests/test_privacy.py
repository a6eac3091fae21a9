"""What is stored of people's data: no value of a column that is not watched by category, and no more than was asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.clock import ManualClock
from monitor.columns.column import Column, Schema
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from tests.store.world import MIDNIGHT

SCHEMA = Schema(
    (
        Column("customer", "feature", "categorical"),
        Column("colour", "feature", "categorical", categories=("red", "green")),
        Column("y", "prediction", "numeric", edges=(0.0, 10.0)),
    )
)
REFERENCE = Reference(SCHEMA, np.full(SCHEMA.size, 100), np.zeros(3), np.array([np.nan, np.nan, 3.0]))


def record(folder: Path, keep: int) -> list[str]:
    """Two hours of customers and unseen colours through the whole monitor; which canaries lie in the data folder."""
    text = f'[data]\npath = "{folder}"\nkeep_unseen = {keep}\n[[rule]]\nname = "drift"\nstatistic = "kl"\n'
    clock = ManualClock(MIDNIGHT)
    runtime = Runtime.of_one(Config.from_text(text), REFERENCE, "v1", clock)
    for minute in range(40):
        for row in range(20):
            runtime.only.record([f"canary-id-{minute}-{row}", f"canary-colour-{row % 3}"], [3.0])
        clock.advance(60)
        runtime.evaluate()
    found = canaries(folder)
    runtime.close()
    return sorted({*found, *canaries(folder)})


def canaries(folder: Path) -> list[str]:
    data = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return [word for word in ("canary-id", *(f"canary-colour-{i}" for i in range(3))) if word.encode() in data]


@pytest.mark.parametrize("keep", [0, 2, 100])
def test_only_unseen_values_of_watched_columns_are_kept_and_no_more_than_asked(tmp_path: Path, keep: int) -> None:
    assert record(tmp_path / "data", keep) == [f"canary-colour-{i}" for i in range(min(keep, 3))]
