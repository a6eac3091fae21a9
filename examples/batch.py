"""A batch job: the months of a year, one after the other, each judged against the reference.

python -m examples.batch
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from monitor import Monitor, Reference


def month_of_data(month: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """What your job would read from a file: columns, predictions, times. From July on, flats are larger."""
    random = np.random.default_rng(month)
    columns = {"rooms": random.normal(3, 1, 500), "area": random.normal(90 if month >= 7 else 70, 15, 500)}
    start = datetime(2025, month, 1, tzinfo=UTC).timestamp()
    return columns, 3 * columns["rooms"] + 0.1 * columns["area"], start + np.linspace(0, 27 * 86400, 500)


def run(folder: Path) -> dict[int, list[str]]:
    """Columns that drifted, for each month."""
    columns, predictions, _ = month_of_data(1)
    reference = Reference.from_data(columns, predictions)
    drifted = {}
    with Monitor.open(reference=reference, data=folder / "data") as monitor:
        for month in range(2, 13):
            columns, predictions, times = month_of_data(month)
            monitor.observe_many(columns, predictions, times)
            verdicts = monitor.judge(datetime(2025, month, 1, tzinfo=UTC), datetime(2025, month, 28, tzinfo=UTC))
            drifted[month] = sorted({verdict.column for verdict in verdicts if verdict.state == "drift"})
    return drifted


if __name__ == "__main__":
    for number, names in run(Path()).items():
        sys.stdout.write(f"2025-{number:02}: {', '.join(names) or 'no drift'}\n")
