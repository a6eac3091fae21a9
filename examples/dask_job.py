"""A Dask job: each worker counts its own rows, and only the counts come back.

python -m examples.dask_job months    (a folder of files as `python -m examples.batch months` makes)
"""

from __future__ import annotations

import operator
import sys
from functools import reduce
from pathlib import Path

import dask
import dask.dataframe
import pandas as pd

from monitor import Batch, Monitor, Reference, tally

FEATURES, PREDICTION = ["rooms", "area"], ["price"]


def count(frame: dask.dataframe.DataFrame, reference: Reference) -> Batch:
    """Count the rows of a frame, on the workers. They need `monitor` installed, and nothing else of ours."""

    @dask.delayed
    def worker(rows: pd.DataFrame) -> Batch:
        return tally(rows[FEATURES], rows[PREDICTION], reference)

    add_up = dask.delayed(lambda batches: reduce(operator.add, batches))
    batch: Batch = add_up([worker(rows) for rows in frame.to_delayed()]).compute()
    return batch


def run(folder: Path, data: Path) -> dict[str, list[str]]:
    """Columns that drifted in each month; the first month is the reference."""
    first, *months = sorted(folder.glob("????-??.csv"))
    table = pd.read_csv(first)
    reference, drifted = Reference.from_data(table[FEATURES], table[PREDICTION]), {}
    with Monitor.open(reference=reference, data=data) as monitor:
        for path in months:
            batch = count(dask.dataframe.read_csv(path, blocksize=8192), reference)
            drifted[path.stem] = sorted({one.column for one in monitor.judge_counts(batch) if one.state == "drift"})
            monitor.add(batch, time=f"{path.stem}-01", id=path.stem)  # a second run counts nothing twice
    return drifted


if __name__ == "__main__":
    for name, columns in run(Path(sys.argv[1]), Path("data")).items():
        sys.stdout.write(f"{name}: {', '.join(columns) or 'no drift'}\n")
