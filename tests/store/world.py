"""A database filled by the real recorder and evaluator, minute by minute, under a hand-moved clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np

from monitor.clock import ManualClock
from monitor.columns.batch import Batch
from monitor.columns.column import Column, Schema
from monitor.config.load import Config
from monitor.drift.result import DriftResult, Subject
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.series import Series
from monitor.source.outcomes import WHOLE
from monitor.store.records.verdicts import verdict_of
from monitor.store.windows.ledger import Windows
from monitor.store.windows.rows import register_series
from tests.support.databases import closed_after_test, migrate_copy

#: Midnight of a Wednesday, UTC.
MIDNIGHT = 1_700_006_400.0

MINUTE, HOUR, DAY = 60, 3600, 86400


@cache
def reference(columns: int = 2, bins: int = 10, rows: int = 2000) -> Reference:
    """Numeric columns x0, x1, ..., a categorical one, and a prediction."""
    random = np.random.default_rng(7)
    names = [f"x{i}" for i in range(columns)]
    features: dict[str, object] = {name: random.normal(size=rows) for name in names}
    features["colour"] = random.choice(["red", "green", "blue"], rows)
    return Reference.from_data(features, random.normal(size=rows))


def stored_evaluations(connection: sqlite3.Connection) -> list[tuple[float, list[DriftResult]]]:
    """All verdicts in the order in which they were stored, one entry per evaluation."""
    verdicts = map(verdict_of, connection.execute("SELECT * FROM drift ORDER BY id"))
    return [(at, [verdict.result for verdict in group]) for at, group in groupby(verdicts, key=lambda one: one.at)]


class Monitored:
    """A runtime that is never started: every call runs here and now."""

    def __init__(
        self, folder: Path, settings: str = "", start: float = MIDNIGHT, columns: int = 2, version: str = "v1"
    ) -> None:
        self.folder = folder
        self.clock = ManualClock(start)
        self.config = Config.from_text(f'[data]\npath = "{folder}"\n{settings}')
        self.reference = reference(columns)
        self.random = np.random.default_rng(1)
        self.columns = columns
        self.runtime = Runtime.of_one(self.config, self.reference, version, self.clock)
        self.recorded = 0

    def record(self, rows: int = 20, shift: float = 0.0, colour: str = "", at: float | None = None) -> None:
        """Record predictions, now or at a moment."""
        when = None if at is None else np.full(rows, round(at * 1e9), dtype=np.int64)
        features: list[object] = [self.random.normal(shift, 1.0, rows) for _ in range(self.columns)]
        features.append([colour] * rows if colour else self.random.choice(["red", "green", "blue"], rows).tolist())
        self.runtime.only.recorder.record_many(features, [self.random.normal(size=rows)], when)
        self.recorded += rows

    def record_outcomes(self, above: float, rows: int, at: float) -> None:
        """Record outcomes that bring their predictions along, and lie so far above them."""
        answers, source = np.arange(rows) / rows, self.runtime.only.outcomes
        assert source is not None
        records = np.column_stack([np.zeros(rows), np.full(rows, WHOLE), np.full(rows, at), answers + above, answers])
        source.recorder.append(records, np.zeros(rows, np.uint64))

    def minutes(self, count: int, rows: int = 20, shift: float = 0.0, colour: str = "") -> None:
        """Let minutes pass, each with its predictions and an evaluation."""
        for _ in range(count):
            self.record(rows, shift, colour)
            self.clock.advance(60)
            self.runtime.evaluate()

    @property
    def path(self) -> Path:
        return self.folder / "telltale.db"

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection

    def close(self) -> None:
        self.runtime.close()


def memory() -> sqlite3.Connection:
    """An empty database of the newest schema."""
    connection = closed_after_test(sqlite3.connect(":memory:", isolation_level=None))
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = 1")
    migrate_copy(connection)
    return connection


SCHEMA = Schema(
    (
        Column("x", "feature", "numeric", edges=(0.0, 1.0)),
        Column("kind", "feature", "categorical", categories=("a", "b")),
        Column("y", "prediction", "numeric", edges=(0.0,)),
    )
)


def small_model(connection: sqlite3.Connection, version: str = "v1") -> Series:
    """A model with three columns of few bins."""
    width = len(SCHEMA.columns)
    found = Reference(SCHEMA, SCHEMA.zeros() + 5, np.zeros(width), np.ones(width))
    return register_series(connection, Subject(version=version), found, "2023-11-15T00:00:00Z")


def batch(rows: int, seed: int = 0) -> Batch:
    """Counts of some predictions in SCHEMA; each column has all of them."""
    random = np.random.default_rng(seed)
    counts = [random.multinomial(rows, np.full(column.size, 1 / column.size)) for column in SCHEMA.columns]
    sums = np.array([random.normal() if column.numeric else 0.0 for column in SCHEMA.columns])
    return Batch(rows, np.concatenate(counts), sums)


class Filled:
    """A database into which windows are put directly."""

    def __init__(self, seconds: int = 60) -> None:
        self.connection = memory()
        self.model = small_model(self.connection)
        self.windows = Windows(self.connection, self.model, seconds)
        self.totals = Batch(0, SCHEMA.zeros(), np.zeros(len(SCHEMA.columns)))
        self.seed = 0

    def add(self, start: float, rows: int = 5, sealed: bool = True) -> Batch:
        self.seed += 1
        new = batch(rows, self.seed)
        self.totals = self.totals + new
        self.windows.add(self.connection, {int(start): new})
        if sealed:
            self.windows.seal(self.connection, start + self.windows.seconds)
        return new

    def rows(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.connection.execute(sql, values)]
