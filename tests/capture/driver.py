"""Records in a process of its own until it is killed, and says each prediction that was acknowledged."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monitor.columns.column import Column, Schema
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime

SCHEMA = Schema(
    (
        Column("x", "feature", "numeric", edges=(-1.0, 0.0, 1.0)),
        Column("colour", "feature", "categorical", categories=("red", "green")),
        Column("y", "prediction", "numeric", edges=(0.0, 10.0)),
    )
)
REFERENCE = Reference(SCHEMA, np.full(SCHEMA.size, 10), np.zeros(3), np.array([1.0, np.nan, 3.0]))
THREADS = 3

#: File with a byte for each prediction that was acknowledged.
ACKNOWLEDGED = "acknowledged"
BATCH = 20

#: Records that may wait to be folded: some segments.
BEHIND = 5000

CONFIG = """
[data]
path = "{data}"
segment = "64KiB"
[window]
fold = "20ms"
[drift]
every = "100ms"
"""


def open_pipeline(folder: Path) -> Runtime:
    return Runtime.of_one(Config.from_text(CONFIG.format(data=folder / "data")), REFERENCE, "v1")


def main(arguments: Sequence[str]) -> None:
    """Record for `arguments[1]` seconds, in the folder `arguments[0]`."""
    folder, deadline = Path(arguments[0]), time.monotonic() + float(arguments[1])
    runtime = open_pipeline(folder)
    runtime.start()
    acknowledged = os.open(folder / ACKNOWLEDGED, os.O_WRONLY | os.O_APPEND)

    def acknowledge(rows: int) -> None:
        """An appended write is whole, and survives the death of the writer."""
        os.write(acknowledged, b"." * rows)

    def going_on() -> bool:
        """Wait for a writer that is far behind: an evaluation folds all that came before it, and would never end."""
        while runtime.only.source.journal.written - runtime.only.source.applied > BEHIND:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.001)
        return time.monotonic() < deadline

    def single() -> None:
        while going_on():
            runtime.only.record([0.5, "red"], [3.0])
            acknowledge(1)

    def batches() -> None:
        while going_on():
            runtime.only.recorder.record_many([[0.5] * BATCH, ["blue"] * BATCH], [[3.0] * BATCH])
            acknowledge(BATCH)

    threads = [threading.Thread(target=target) for target in [single] * (THREADS - 1) + [batches]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runtime.close()
