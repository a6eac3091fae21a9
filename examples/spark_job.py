"""A Spark job: each worker counts its own rows, and only the counts come back: `make spark`.

python -m examples.spark_job    (makes the files of an example day where there are none)
"""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from pyspark.sql import DataFrame, SparkSession

from monitor import Batch, Monitor, Reference, tally

FEATURES, PREDICTION = ["rooms", "area", "city"], ["price"]


def count(frame: DataFrame, reference: Reference) -> Batch:
    """Count the rows of a frame, on the workers. They need `monitor` installed, and nothing else of ours."""

    def worker(blocks: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counted = [tally(block.select(FEATURES), block.select(PREDICTION), reference) for block in blocks]
        if counted:
            yield pa.RecordBatch.from_pydict({"counts": [reduce(operator.add, counted).to_bytes()]})

    rows = frame.select(*FEATURES, *PREDICTION).mapInArrow(worker, "counts binary").collect()
    return reduce(operator.add, (Batch.from_bytes(row.counts) for row in rows), tally([], [], reference))


def make_rows(rows: int, seed: int, shift: float = 0.0) -> dict[str, Any]:
    """Make rows of an example; your job has its own. Some are missing, some infinite."""
    random = np.random.default_rng(seed)
    rooms, area = random.integers(1, 7, rows), random.normal(70 + shift, 20, rows)
    area[::1000], area[1::1000] = np.nan, np.inf
    return {"rooms": rooms, "area": area, "city": random.choice(["Bonn", "Jena"], rows), "price": 3 * rooms + area / 9}


def make_files(folder: Path) -> None:
    """Write a day of the example: four files, in which flats are larger and some are in a city that is new."""
    folder.mkdir(parents=True)
    for part in range(4):
        table = make_rows(50_000, seed=part, shift=5.0)
        table["city"][:2500] = "Ulm"
        pyarrow.parquet.write_table(pa.table(table), folder / f"{part}.parquet")


def main(path: Path, data: Path) -> None:
    """Count, judge and keep the counts; and show that they are those of numpy, bin by bin."""
    training = make_rows(5000, seed=9)
    reference = Reference.from_data({name: training[name] for name in FEATURES}, {"price": training["price"]})
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # here the workers are on this machine
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    batch = count(spark.read.parquet(str(path)), reference)
    spark.stop()
    with Monitor.open(reference=reference, data=data) as monitor:
        drifted = sorted({result.column for result in monitor.judge_counts(batch) if result.state == "drift"})
        monitor.add(batch, id=path.name, time=path.name)  # a second run of the job counts nothing twice
    table = pyarrow.parquet.read_table(path)
    by_column = zip(reference.schema.columns, reference.schema.split(batch.counts), strict=True)
    wrong = [column.name for column, counts in by_column if list(counts) != by_numpy(column, table[column.name])]
    sys.stdout.write(f"{batch}\ndrifted: {', '.join(drifted) or 'none'}\n")
    sys.stdout.write(f"bins that differ from numpy's: {', '.join(wrong) or 'none'}\n")
    sys.exit(bool(wrong))


def by_numpy(column: Any, values: Any) -> list[int]:
    """Rows in each bin of a column, counted with numpy alone."""
    if not column.numeric:
        texts = values.to_pylist()
        known = [texts.count(category) for category in column.categories]
        return [*known, len(texts) - sum(known) - texts.count(None), texts.count(None)]
    x = values.to_numpy().astype(float)
    bins = np.bincount(np.searchsorted(column.edges, x[np.isfinite(x)], side="left"), minlength=column.value_bins)
    return [*bins.tolist(), int(np.isnan(x).sum()), int(np.isinf(x).sum())]


if __name__ == "__main__":
    day = Path("build/spark/2026-03-01")
    if not day.exists():
        make_files(day)
    main(day, Path("build/spark/data"))
