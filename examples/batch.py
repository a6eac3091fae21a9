"""A batch job: a year of predictions, a file for each month, each month judged against the reference.

python -m examples.batch months    (makes the files of an example year where the folder has none)
"""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from monitor import Monitor, Reference


def read(path: Path) -> tuple[dict[str, list[float]], list[float], list[str]]:
    """Columns, predictions and times of one month."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [float(row[name]) for row in rows] for name in ("rooms", "area")}
    return columns, [float(row["price"]) for row in rows], [row["time"] for row in rows]


def run(folder: Path, data: Path) -> dict[str, list[str]]:
    """Columns that drifted in each month; the first month is the reference."""
    first, *months = sorted(folder.glob("????-??.csv"))
    columns, predictions, _ = read(first)
    drifted = {}
    with Monitor.open(reference=Reference.from_data(columns, predictions), data=data) as monitor:
        for path in months:
            year, month = map(int, path.stem.split("-"))
            start = datetime(year, month, 1, tzinfo=UTC)
            end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
            if not any(verdict.n for verdict in monitor.judge(start, end)):  # a second run observes nothing twice
                monitor.observe_many(*read(path))
            verdicts = monitor.judge(start, end)
            drifted[path.stem] = sorted({verdict.column for verdict in verdicts if verdict.state == "drift"})
    return drifted


def make_year(folder: Path) -> None:
    """Files of an example year; your job has its own. From July on, flats are larger."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    for month in range(1, 13):
        start = datetime(2025, month, 1, tzinfo=UTC).timestamp()
        with (folder / f"2025-{month:02}.csv").open("w", newline="") as file:
            write = csv.writer(file)
            write.writerow(["time", "rooms", "area", "price"])
            for second in np.linspace(0, 27 * 86400, 500):
                rooms, area = random.normal(3, 1), random.normal(90 if month >= 7 else 70, 15)
                time = datetime.fromtimestamp(start + second, UTC).isoformat()
                write.writerow([time, round(rooms, 2), round(area, 1), round(3 * rooms + 0.1 * area, 2)])


if __name__ == "__main__":
    year = Path(sys.argv[1] if len(sys.argv) > 1 else "months")
    if not any(year.glob("????-??.csv")):
        make_year(year)
    for name, columns in run(year, Path("data")).items():
        sys.stdout.write(f"{name}: {', '.join(columns) or 'no drift'}\n")
