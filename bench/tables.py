"""Counting a table in DuckDB through Ibis, against numpy that reads the same Parquet file; wide tables; memory; kills.

    python -m bench.tables [--rows N] [--columns N] [--kills N] [--peak]

Seconds are of the processor, all threads of the process. `--peak` counts once and prints the most memory that it took.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from monitor.capture.names import UnseenNames
from monitor.clock import ManualClock
from monitor.columns.column import Column, Counts, Schema
from monitor.source.table import TableCounter
from monitor.warehouse.counting import Counting
from tests.source.test_table import KILLS, Lake, stored
from tests.store.world import DAY, HOUR, MIDNIGHT
from tests.support.edges import choose_edges

BEGIN, MINUTES, ROUNDS, GROUP = 1_767_225_600, 60, 5, 1_000_000
WORDS = [f"word{i}" for i in range(8)]


def make_schema(columns: int) -> Schema:
    """Four fifths numeric with 22 bins, the rest categorical with 8 categories."""
    sample = np.random.default_rng(1).lognormal(size=100_000)
    numeric = [Column(f"x{i}", "feature", "numeric", choose_edges(sample, 20)) for i in range(columns * 4 // 5)]
    words = [Column(f"c{i}", "feature", "categorical", categories=tuple(WORDS)) for i in range(columns - len(numeric))]
    return Schema((*numeric, *words))


def write(path: Path, schema: Schema, rows: int) -> None:
    """Rows of an hour, in the order of their times."""
    random, writer = np.random.default_rng(2), None
    for begin in range(0, rows, GROUP):
        size = min(GROUP, rows - begin)
        at = BEGIN + np.arange(begin, begin + size) * (60 * MINUTES) / rows
        table: dict[str, Any] = {"served_at": pa.array((at * 1e6).astype(np.int64), pa.timestamp("us"))}
        for column in schema.columns:
            values = random.lognormal(size=size) if column.numeric else random.choice(WORDS, size)
            table[column.name] = pa.array(values)
        writer = writer or pq.ParquetWriter(path, pa.table(table).schema)
        writer.write_table(pa.table(table))
    assert writer is not None
    writer.close()


def by_numpy(path: Path, schema: Schema) -> Counts:
    """Counts by minute, shape (MINUTES, schema.size), row group by row group; and sums, which a pull has too."""
    counts, file = np.zeros(MINUTES * schema.size, np.int64), pq.ParquetFile(path)
    sums = np.zeros((MINUTES, len(schema.columns)))
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        minute = (table["served_at"].to_numpy().astype("datetime64[s]").astype(np.int64) - BEGIN) // 60
        for at, ((begin, end), column) in enumerate(
            zip(pairwise(schema.offsets.tolist()), schema.columns, strict=True)
        ):
            if column.numeric:
                x = table[column.name].to_numpy()
                found = np.searchsorted(np.array(column.edges), x)
                finite = np.isfinite(x)
                found = np.where(finite, found, column.missing_bin + np.isinf(x))
                sums[:, at] += np.bincount(minute, np.where(finite, x, 0.0), MINUTES)
            else:
                known = pc.index_in(table[column.name], pa.array(column.categories))
                found = np.nan_to_num(known.to_numpy(), nan=column.value_bins - 1).astype(np.int64)
            keys = minute * (end - begin) + found
            one = np.bincount(keys, minlength=MINUTES * (end - begin))
            counts.reshape(MINUTES, -1)[:, begin:end] += one.reshape(MINUTES, -1)
    return counts.reshape(MINUTES, -1)


def by_engine(path: Path, schema: Schema, folder: Path) -> Counts:
    """The same by DuckDB, as a pull counts it."""
    connection = ibis.duckdb.connect()
    counting = Counting(schema, [column.name for column in schema.columns], "served_at", "duckdb", apart=True)
    counter = TableCounter(counting, UnseenNames(folder / "names", schema, 100), 60)
    batches, _ = counter.count(connection.to_pyarrow, connection.read_parquet(str(path)))
    connection.disconnect()
    return np.array([batches[start].counts for start in sorted(batches)])


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, and what came out."""
    began = time.process_time()
    out = run()
    return time.process_time() - began, out


def kill(folder: Path, kills: int) -> None:
    """Pull days of rows by processes that die between read and commit, and see whether each row is counted once."""
    lake, random = Lake(folder), np.random.default_rng(3)
    days, steps = kills + 1, [("fold.begin", 2), ("store.commit", 3), ("fold.committed", 1)]
    lake.add(MIDNIGHT, days * DAY // HOUR, HOUR)
    os.environ["LAKE"] = f"duckdb://{lake.path}"
    points = [steps[at] for at in random.integers(0, 3, kills)]
    script = KILLS.format(now=MIDNIGHT + (days + 1) * DAY, begin=MIDNIGHT, points=[*points, ("", 0)])
    command = [sys.executable, "-c", script, str(folder / "config.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    with closing(lake.open(ManualClock(MIDNIGHT + (days + 1) * DAY))) as runtime:
        counted = stored(runtime, "SELECT sum(n) FROM windows GROUP BY substr(start_utc, 1, 10)")
        cut = stored(runtime, "SELECT count(*) FROM gaps")[0][0]
    wrong = sum(rows != (24,) for rows in counted) + days - len(counted)
    print(f"{done.count('9')} kills, {days} days of 24 rows: {wrong} days wrong, {cut} gaps", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--peak", action="store_true")
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, schema = Path(name), make_schema(options.columns)
        path = folder / "rows.parquet"
        if not (writer := os.fork()):  # so that writing is not in this process's memory
            write(path, schema, options.rows)
            os._exit(0)
        os.waitpid(writer, 0)
        print(f"{options.rows:,} rows x {options.columns} columns, {path.stat().st_size / 1e6:.0f} MB of Parquet")
        if options.peak:
            seconds, _ = timed(lambda: by_engine(path, schema, folder))
            print(f"{seconds:.1f} s; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB at most")
            return
        if options.kills:
            kill(folder, options.kills)
            return
        for _ in range(ROUNDS):
            ours, expected = timed(lambda: by_numpy(path, schema))
            theirs, found = timed(lambda: by_engine(path, schema, folder))
            wrong = int((expected != found).sum())
            print(
                f"numpy {ours:.2f} s, engine {theirs:.2f} s, ratio {theirs / ours:.2f}, {wrong} bins differ", flush=True
            )


if __name__ == "__main__":
    main()
