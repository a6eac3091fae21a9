"""A table in DuckDB as the source: each row is counted once, whatever is missing, late or killed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from monitor.__main__ import main
from monitor.clock import ManualClock
from monitor.columns.column import FUNCTIONS, Derivation, Schema
from monitor.config.load import Config
from monitor.errors import ConfigError, SourceError
from monitor.runtime import Runtime
from monitor.source.table import TableSource
from tests.store.world import DAY, HOUR, MIDNIGHT, MINUTE, reference

SETTINGS = """
[model]
reference = "{0}/histogram.prom"
version = "v1"
[source]
kind = "table"
url_env = "LAKE"
table = "lake.predictions"
time = "served_at"
prediction = ["score"]
model = "model"
lag = "10m"
[data]
path = "{0}/data"
"""


class Lake:
    """A file of DuckDB that grows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "warehouse.duckdb"
        self.run("CREATE SCHEMA lake")
        self.run("CREATE TABLE lake.predictions (served_at TIMESTAMP, model TEXT, x0 DOUBLE, x1 DOUBLE, colour TEXT, "
                 "score DOUBLE)")  # fmt: skip
        reference().save(folder / "histogram.prom")
        (folder / "config.toml").write_text(SETTINGS.format(folder))

    def run(self, sql: str, rows: Any = None) -> None:
        with closing(duckdb.connect(str(self.path))) as connection:
            if rows is not None:
                connection.register("given", rows)
            connection.execute(sql)

    def add(self, begin: float, rows: int, every: float = 1.0, model: str = "v1", colour: str = "red") -> None:
        times = [datetime.fromtimestamp(begin + i * every, UTC).replace(tzinfo=None) for i in range(rows)]
        columns = {name: np.random.default_rng(1).normal(size=rows) for name in ("x0", "x1", "score")}
        given = {"served_at": times, "model": [model] * rows, "colour": [colour] * rows, **columns}
        self.run("INSERT INTO lake.predictions BY NAME SELECT * FROM given", pa.table(given))

    def open(self, clock: ManualClock) -> Runtime:
        return Runtime.of_one(Config.load(self.folder / "config.toml"), reference(), "v1", clock)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    made = Lake(tmp_path)
    monkeypatch.setenv("LAKE", f"duckdb://{made.path}")
    return made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MIDNIGHT + 10 * MINUTE)


@pytest.fixture
def opened(lake: Lake, clock: ManualClock) -> Iterator[Runtime]:
    runtime = lake.open(clock)
    yield runtime
    runtime.close()


def source_of(runtime: Runtime) -> TableSource:
    source = runtime.only.pulled
    assert isinstance(source, TableSource)
    return source


def pull(runtime: Runtime) -> int:
    """How many rows were counted."""
    before = runtime.only.totals.n
    source_of(runtime).pull(runtime.fold)
    return runtime.only.totals.n - before


def stored(runtime: Runtime, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in runtime.writer.call(lambda connection: connection.execute(sql).fetchall())]


def test_rows_are_counted_once_they_are_older_than_the_lag(lake, clock, opened):
    lake.add(MIDNIGHT - 5 * MINUTE, 600)  # half of them before the start
    assert pull(opened) == 0
    clock.advance(2 * MINUTE + 30)
    assert pull(opened) == 120
    assert pull(opened) == 0
    clock.advance(HOUR)
    assert pull(opened) == 180
    windows = stored(opened, "SELECT n FROM windows ORDER BY start_utc")
    assert windows == [(60,)] * 5


def test_other_versions_and_unseen_values(lake, clock, opened):
    pull(opened)
    lake.add(MIDNIGHT, 60)
    lake.add(MIDNIGHT, 30, model="v2")
    lake.add(MIDNIGHT, 20, colour="pink")
    clock.advance(HOUR)
    assert pull(opened) == 80
    assert stored(opened, "SELECT value, count FROM unseen_values") == [("pink", 20)]
    assert stored(opened, "SELECT result, count FROM tallies") == [("other_version", 30)]
    source_of(opened).names.names[2][0] = ""  # as after an erasure
    lake.add(MIDNIGHT + HOUR, 5, colour="pink")
    clock.advance(HOUR)
    assert pull(opened) == 5
    assert stored(opened, "SELECT value, count FROM unseen_values") == [("pink", 20)]


def test_rows_that_come_late_become_a_gap(lake, clock, opened):
    pull(opened)
    lake.add(MIDNIGHT + HOUR, 100, MINUTE)
    clock.advance(DAY)
    assert pull(opened) == 100
    lake.add(MIDNIGHT + 2 * HOUR, 7)
    lake.add(MIDNIGHT + 2 * HOUR, 5, model="v2")
    lake.add(MIDNIGHT + DAY, 30)
    clock.advance(DAY)
    assert pull(opened) == 30
    (gap,) = stored(opened, 'SELECT kind, start, "end", lost FROM gaps')
    assert gap == ("late", "2023-11-15T00:00:00Z", "2023-11-16T00:00:00Z", 7)
    clock.advance(DAY)
    pull(opened)
    assert len(stored(opened, "SELECT id FROM gaps")) == 1


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            "ALTER TABLE lake.predictions DROP COLUMN x1",
            "no column 'x1' in it; it has served_at, model, x0, colour, score",
        ),
        (
            "ALTER TABLE lake.predictions ALTER x1 TYPE TEXT",
            "column 'x1' has type string, and the reference has numbers",
        ),
        ("ALTER TABLE lake.predictions ALTER served_at TYPE TEXT", "should hold times"),
        ("DROP TABLE lake.predictions", "predictions"),
    ],
)
def test_health_names_what_is_wrong_and_it_goes_on_by_itself(lake, clock, opened, sql, words):
    pull(opened)
    lake.add(MIDNIGHT, 60)
    clock.advance(HOUR)
    good = lake.path.read_bytes()
    lake.run(sql)
    with pytest.raises(SourceError):
        pull(opened)
    check = next(one for one in opened.condition.checks() if one.part == "source")
    assert check.condition == "degraded"
    assert words in check.detail
    assert check.detail.startswith("table lake.predictions: ")
    lake.path.write_bytes(good)
    assert pull(opened) == 60
    assert next(one for one in opened.condition.checks() if one.part == "source").condition == "ok"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "the environment variable LAKE is not set or empty"),
        ("postgres://me:s3cret-pass@/lake?host=/nowhere", "/nowhere"),
        ("postgres://me:s3cret-pass/more@host/lake", "cannot be read"),
        ("postgres://me:[s3cret-pass@host/lake", "cannot be read"),
        ("oracle9://me:s3cret-pass@host/lake", "oracle9"),
        ("duckdb:///nowhere/s3cret-pass.duckdb?password=s3cret-pass", "nowhere"),
    ],
)
def test_a_database_that_is_away_is_named_without_its_secrets(lake, clock, opened, monkeypatch, caplog, url, words):
    pull(opened)
    clock.advance(HOUR)
    monkeypatch.setenv("LAKE", url)
    with pytest.raises(SourceError, match=words) as error:
        pull(opened)
    assert "s3cret-pass" not in f"{error.value}{caplog.text}{opened.status()}"


def test_settings_that_cannot_be(lake, clock):
    given = (lake.folder / "config.toml").read_text()
    for old, new, words in (
        ('table = "lake.predictions"', "", "a `table` or a `query`"),
        ('time = "served_at"', "", "source.time"),
        ('prediction = ["score"]', 'prediction = ["a", "b"]', "names 2 columns, but the reference has 1: prediction"),
    ):
        (lake.folder / "config.toml").write_text(given.replace(old, new))
        with pytest.raises(ConfigError, match=words):
            lake.open(clock)


def test_a_derived_column_cannot_be_counted(lake, clock, monkeypatch):
    monkeypatch.setitem(FUNCTIONS, "gap", lambda x, _: x[0] - x[1])
    base = reference()
    x1 = dataclasses.replace(base.schema.columns[1], role="derived", derivation=Derivation("gap", (0, 2), ()))
    schema = Schema((base.schema.columns[0], *base.schema.columns[2:], x1))
    order = [0, *range(2, len(base.schema.columns)), 1]
    counts = base.schema.split(base.counts)
    derived = dataclasses.replace(
        base,
        schema=schema,
        counts=np.concatenate([counts[at] for at in order]),
        sums=base.sums[order],
        deviations=base.deviations[order],
    )
    with pytest.raises(ConfigError, match=r"column 'x1' is derived, which .*; use a reference without it"):
        Runtime.of_one(Config.load(lake.folder / "config.toml"), derived, "v1", clock)


def test_the_command_prints_what_it_would_ask_then_pulls(lake, capsys):
    lake.add(MIDNIGHT, 90)
    lake.run("UPDATE lake.predictions SET colour = 'mauve' WHERE x0 > 1")
    given = ["pull", "--config", str(lake.folder / "config.toml"), "--from", "2023-11-15T00:00Z", "--to"]
    assert main([*given, "2023-11-15T00:01Z", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "-- table lake.predictions: rows from 2023-11-15T00:00:00Z to 2023-11-15T00:01:00Z, in 2 questions" in told
    assert "UNNEST" in told
    assert "~" in told, "the rows that DuckDB expects"
    assert not (lake.folder / "data").exists()
    assert main([*given, "2023-11-15T00:01Z", "--once"]) == 0
    assert capsys.readouterr().out.startswith("table lake.predictions is counted up to 2023-11-15T00:01")
    assert main([*given, "2023-11-15T00:02Z", "--once"]) == 2
    assert "is counted up to 2023-11-15T00:01:00Z already" in capsys.readouterr().err
    del given[3:5]
    assert main([*given, "2023-11-15T00:02Z", "--once"]) == 0
    assert "model: 30 rows; drift: none" in capsys.readouterr().out


#: Dies at each of these steps, one after the other, in processes of their own that need not import everything again.
KILLS = """
import os, sys
from contextlib import closing
import ibis.backends.duckdb, pyarrow
from monitor import failpoint
from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime

def pull(point, days):
    failpoint._name, failpoint._left = point
    config = Config.load(sys.argv[1])
    with closing(Runtime.of_one(config, Reference.load(config.model.reference), "v1", ManualClock({now}))) as runtime:
        source = runtime.only.pulled
        source.since, source.until = {begin}, {begin} + days * 86400
        source.pull(runtime.fold)

for at, point in enumerate({points}):
    if not (child := os.fork()):
        pull(point, at + 3)  # little more than it takes to die
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_that_is_killed_counts_no_minute_twice(lake, clock):
    lake.add(MIDNIGHT, 6 * DAY // (4 * HOUR), 4 * HOUR)
    points = [("fold.begin", 1), ("store.commit", 2), ("fold.committed", 1), ("fold.begin", 2), ("fold.committed", 1)]
    script = KILLS.format(now=MIDNIGHT + 6 * DAY + HOUR, begin=MIDNIGHT, points=[*points, ("", 0)])
    given = [sys.executable, "-c", script, str(lake.folder / "config.toml")]
    done = subprocess.run(given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["9"] * 5 + ["0"], done.stderr
    with closing(lake.open(ManualClock(MIDNIGHT + 6 * DAY + HOUR))) as runtime:
        days = "SELECT sum(n) FROM windows GROUP BY substr(start_utc, 1, 10)"
        assert stored(runtime, days) == [(6,)] * 6
        assert stored(runtime, "SELECT count(*) FROM gaps") == [(0,)]
