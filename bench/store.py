"""What the store costs: bytes, sums over long stretches, verification, a long reader.

`python -m bench.store` prints the table of docs/bench-store.md.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import norm

from monitor.clock import iso
from monitor.columns.batch import Batch
from monitor.columns.column import Column, Schema
from monitor.drift.result import Subject
from monitor.reference.file import Reference
from monitor.series import Series
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify
from monitor.store.file.database import connect
from monitor.store.file.snapshot import write_snapshot
from monitor.store.windows.ledger import Windows
from monitor.store.windows.ranges import read_range, sum_range
from monitor.store.windows.rows import register_series
from monitor.store.windows.tiers import roll_up
from tests.store.world import DAY, HOUR, MIDNIGHT, MINUTE, Monitored

#: Edges that make 30 value bins; with missing and nonfinite a column has 32 counts.
EDGES = tuple(np.linspace(-3.0, 3.0, 29).tolist())


def schema(columns: int) -> Schema:
    features = tuple(Column(f"x{i}", "feature", "numeric", edges=EDGES) for i in range(columns - 1))
    return Schema((*features, Column("prediction", "prediction", "numeric", edges=EDGES)))


class Filler:
    """Fills a database minute by minute, as the recorder does, without recorder and journal."""

    def __init__(self, path: Path, columns: int, rows: int) -> None:
        self.connection = connect(path)
        self.schema = schema(columns)
        zeros = np.zeros(columns)
        reference = Reference(self.schema, self.schema.zeros() + 100, zeros, zeros + 1)
        self.connection.execute("BEGIN")
        self.model: Series = register_series(self.connection, Subject(version="v1"), reference, iso(MIDNIGHT))
        self.connection.execute("COMMIT")
        self.windows = Windows(self.connection, self.model, MINUTE)
        self.random = np.random.default_rng(0)
        self.rows = rows
        cuts = np.concatenate(([-np.inf], np.array(EDGES), [np.inf]))
        shares = np.diff(norm.cdf(cuts))
        self.shares = np.concatenate((shares * 0.99, [0.01, 0.0]))

    def batch(self) -> Batch:
        """Counts of a minute's predictions, normally distributed over the bins."""
        columns = len(self.schema.columns)
        counts = self.random.multinomial(self.rows, self.shares, size=columns).ravel().astype(np.int64)
        return Batch(self.rows, counts, self.random.normal(size=columns) * self.rows)

    def minutes(self, start: float, count: int, each: int = 1) -> None:
        """Put minutes in, with `each` commits a minute."""
        for index in range(count):
            begin = int(start) + MINUTE * index
            for fold in range(each):
                self.connection.execute("BEGIN")
                self._fold(begin, seal=fold == each - 1)
                self.connection.execute("COMMIT")

    def days(self, start: float, count: int) -> None:
        """Put days in, rolled up each hour; a commit an hour, which changes no byte of what is stored."""
        for hour in range(24 * count):
            self.connection.execute("BEGIN")
            for minute in range(60):
                self._fold(int(start) + HOUR * hour + MINUTE * minute, seal=True)
            roll_up(self.connection, start + HOUR * (hour + 1))
            self.connection.execute("COMMIT")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _fold(self, begin: int, *, seal: bool) -> None:
        self.windows.add(self.connection, {begin: self.batch()})
        if seal:
            self.windows.seal(self.connection, begin + MINUTE)


def timed(function: Callable[[], object], repeat: int = 15) -> tuple[float, float]:
    """Median and worst of some runs, in milliseconds."""
    took = []
    for _ in range(repeat):
        began = time.perf_counter()
        function()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), max(took)


#: How the parts of the file are told apart: by the beginning of the table's or index's name.
PARTS = ("sealed_counts", "windows")


def disk(folder: Path) -> Iterator[str]:
    """Bytes per column and minute window, before any roll-up: tables, indexes, free room in pages.

    A minute is folded six times, since rows that grow are what tears pages apart. `even`: as many predictions in each
    bin; else they are normally distributed over the bins.
    """
    minutes = 720
    for rows, even in product((60, 600, 6000, 60_000, 180_000), (False, True)):
        path = folder / f"disk-{rows}-{even}.db"
        filler = Filler(path, 11, rows // 6)
        if even:
            filler.shares = np.concatenate((np.full(30, 0.99 / 30), [0.01, 0.0]))
        empty = sizes(filler.connection)
        for hour in range(minutes // 60):
            filler.minutes(MIDNIGHT + HOUR * hour, 60, each=6)
            filler.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        parts = {name: (size - empty[name]) / minutes / 11 for name, size in sizes(filler.connection).items()}
        (text,) = filler.connection.execute("SELECT avg(length(CAST(counts AS BLOB))) FROM sealed_counts").fetchone()
        detail = ", ".join(f"{name} {size:.1f}" for name, size in parts.items())
        how = f"{rows / 60:g} predictions/s{', even bins' if even else ''}"
        yield f"| disk per column and minute window, {how}, bytes | {sum(parts.values()):.0f} ({detail}) |"
        yield f"| of it the text of the counts, {how}, bytes | {text:.0f} |"
        filler.connection.close()


def sizes(connection: sqlite3.Connection) -> dict[str, int]:
    """Bytes of the pages of each part, its indexes included."""
    rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
    return {part: sum(size for name, size in rows if name.startswith(part)) for part in PARTS}


def sums(folder: Path) -> Iterator[str]:
    """Sums over 24 hours that begin at an odd minute: 23 hours and 60 minutes."""
    yield from sums_of(folder / "few.db", 10, 30)
    yield from sums_of(folder / "many.db", 1000, 2)


def sums_of(path: Path, columns: int, days: int) -> Iterator[str]:
    filler = Filler(path, columns, 600)
    filler.days(MIDNIGHT, days)
    connection, model, end = filler.connection, filler.model, MIDNIGHT + days * DAY
    start = end - 2 * DAY + 17 * MINUTE + 5 * HOUR
    median, worst = timed(lambda: sum_range(connection, model, start, start + DAY))
    yield f"| 24 h sum, {columns} columns, out of {days} days, ms | {median:.1f} (worst {worst:.1f}) |"
    median, worst = timed(lambda: read_range(connection, model, start, start + DAY, None, ["x0"]))
    yield f"| 24 h of one of {columns} columns as `/api/windows` gives it, ms | {median:.1f} (worst {worst:.1f}) |"
    if columns == 10:
        median, worst = timed(lambda: read_range(connection, model, MIDNIGHT, end, HOUR), 5)
        yield f"| 30 days by the hour, 10 columns, ms | {median:.0f} (worst {worst:.0f}) |"
        began = time.perf_counter()
        report = verify(connection)
        took, size = time.perf_counter() - began, path.stat().st_size / 1e6
        yield f"| `verify` of {days} days of minutes, 10 columns, {size:.0f} MB, s | {took:.1f}, ok: {report.ok} |"
        median, worst = timed(lambda: write_snapshot(path, path.with_name("copy.db")), 5)
        yield f"| `snapshot` of it, ms | {median:.0f} (worst {worst:.0f}) |"
    connection.close()


def commits(folder: Path) -> Iterator[str]:
    """One commit a second, with and without a window that is sealed."""
    for columns in (11, 1000):
        filler = Filler(folder / f"commit-{columns}.db", columns, 60)
        batch = filler.batch()
        for name, seal in (("fold", 0), ("fold that seals a window", 1)):
            begin = int(MIDNIGHT) + 120 * columns * (1 + seal)
            took = []
            for index in range(30):
                connection = filler.connection
                at = begin + MINUTE * index * seal
                began = time.perf_counter()
                connection.execute("BEGIN IMMEDIATE")
                filler.windows.add(connection, {at: batch})
                if seal:
                    filler.windows.seal(connection, at + MINUTE)
                connection.execute("COMMIT")
                took.append((time.perf_counter() - began) * 1000)
            yield (f"| {name}, {columns} columns, one transaction, ms | {statistics.median(took):.2f} |")
        filler.connection.close()


def reader(folder: Path) -> Iterator[str]:
    """A cursor that stays open while one fold a second goes on: the WAL after ten minutes' worth of folds."""
    for columns in (11, 200):
        path = folder / f"reader-{columns}.db"
        filler = Filler(path, columns, 60)
        filler.minutes(MIDNIGHT, 60)
        wal = path.with_name(path.name + "-wal")
        other = sqlite3.connect(path)
        cursor = other.execute("SELECT * FROM histograms")
        cursor.fetchone()
        for minute in range(10):
            filler.minutes(MIDNIGHT + HOUR + MINUTE * minute, 1, each=60)
            filler.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        size = wal.stat().st_size / 1e6
        yield f"| WAL after 600 folds under an open cursor, {columns} columns, nothing held back, MB | {size:.1f} |"
        cursor.close()
        other.close()
        filler.connection.close()


def monitored(folder: Path) -> Iterator[str]:
    """A day's verdicts, worked out again."""
    world = Monitored(folder / "data", columns=10)
    world.minutes(120)
    with world.read() as connection:
        began = time.perf_counter()
        done = recompute(connection)
        took = time.perf_counter() - began
    yield f"| `verify --recompute`, verdicts/s | {done.verdicts / took:.0f}, ok: {done.ok} |"
    world.close()


def main() -> None:
    print("| what | value |\n| --- | --- |")
    for part in (disk, sums, commits, reader, monitored):
        with tempfile.TemporaryDirectory() as name:
            for line in part(Path(name)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
