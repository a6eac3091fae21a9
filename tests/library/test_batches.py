"""Rows counted elsewhere: `tally` counts as `observe_many` does, and what it counted is added exactly once."""

from __future__ import annotations

import math
import operator
import pickle
import sqlite3
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import closing
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.running import environment
from monitor import Batch, Monitor, Reference, tally
from monitor.clock import ManualClock
from monitor.columns.batch import FORMAT, MAGIC, MAX_HEAD, MAX_NAMED
from monitor.counting import fitting
from monitor.errors import InputError
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify
from monitor.store.windows.retention import Ages, drop_by_age
from tests.library.conftest import Open

COLUMNS = {"age": [41.0, 52.0, 33.0], "dose": [1.5, None, 0.5], "sex": ["f", "x", None]}
NAMES = ("age", "dose", "sex")

#: Made once for all examples: what `tally` is compared with.
REFERENCE = Reference.from_data(
    {"age": np.arange(20.0, 80.0), "dose": np.linspace(-1, 1, 60), "sex": ["f", "m", "2"] * 20}, np.linspace(0, 1, 60)
)
EDGES = [*REFERENCE.schema.columns[0].edges, *REFERENCE.schema.columns[1].edges]
numbers = st.one_of(
    st.sampled_from([*EDGES, *(math.nextafter(x, way) for x in EDGES[:5] for way in (-math.inf, math.inf))]),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e300, None]),
    st.floats(-2, 90, width=32),
)
texts = st.one_of(st.sampled_from(["f", "m", "2", "2.0", None, "", "é" * 300, "a\nb"]), st.text(max_size=3))
odd = st.one_of(
    numbers, texts, st.sampled_from([2, True, 10**400, Decimal("0.5"), date(2026, 1, 2), np.float32(0.1), 2**53 + 1])
)
FORMS = {
    "columns": dict,
    "pandas": pd.DataFrame,
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "arrow": pa.RecordBatch.from_pydict,
    "table": pa.table,
    "rows": lambda columns: list(zip(*columns.values(), strict=True)),
    "numpy": lambda columns: np.array(list(zip(*columns.values(), strict=True)), dtype=object),
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Monitor.open(reference=REFERENCE, data=tmp_path_factory.mktemp("watched")) as monitor:
        yield monitor


def observed(monitor: Monitor, rows: Any, predictions: Any) -> tuple[int, Any, Any]:
    """What observing some rows adds to the counts."""
    before = monitor._runtime.only.totals
    monitor.observe_many(rows, predictions)
    monitor.flush()
    after = monitor._runtime.only.totals
    return after.n - before.n, after.counts - before.counts, after.sums - before.sums


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_it_counts_what_observing_the_same_rows_counts(watched: Monitor, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(sorted(FORMS)))
    kinds = (odd, odd, odd, odd) if form in ("columns", "rows", "numpy") else (numbers, numbers, texts, numbers)
    rows = data.draw(st.lists(st.tuples(*kinds), min_size=1, max_size=30))
    *features, predictions = map(list, zip(*rows, strict=True))
    table = FORMS[form](dict(zip(NAMES, features, strict=True)))
    batch = tally(table, predictions, REFERENCE)
    n, counts, _ = observed(watched, table, predictions)
    assert (batch.n, batch.counts.tolist()) == (n, counts.tolist())
    assert fitting(batch, REFERENCE) is batch


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, texts, numbers), min_size=1, max_size=40), st.integers(1, 40))
def test_parts_add_up_to_the_whole_over_every_way_of_sending(rows: list[Any], size: int) -> None:
    def part(begin: int, end: int) -> Batch:
        return tally([row[:3] for row in rows[begin:end]], [row[3] for row in rows[begin:end]], REFERENCE)

    sent = [Batch.from_bytes(part(begin, begin + size).to_bytes()) for begin in range(0, len(rows), size)]
    total, whole = reduce(operator.add, map(pickle.loads, map(pickle.dumps, sent))), part(0, len(rows))
    assert (total.n, total.counts.tolist(), total.reference) == (len(rows), whole.counts.tolist(), REFERENCE.identity)
    assert total.sums == pytest.approx(whole.sums, rel=1e-12, abs=1e-9)
    assert total.unseen == whole.unseen
    assert Batch.from_bytes(bytearray(whole.to_bytes())).sums.tolist() == whole.sums.tolist()


def test_sums_are_those_of_observing(open_monitor: Open) -> None:
    rows, predictions = np.random.default_rng(3).integers(0, 50, (70_000, 3)), np.linspace(0, 1, 70_000)
    batch = tally(rows, predictions, REFERENCE)
    n, counts, sums = observed(open_monitor(reference=REFERENCE), rows, predictions)
    assert (batch.n, batch.counts.tolist()) == (n, counts.tolist())
    assert batch.sums == pytest.approx(sums, rel=1e-12)


def test_what_does_not_fit_the_reference_is_refused(reference: Reference) -> None:
    with pytest.raises(InputError, match="no value for 'dose'"):
        tally({"age": [1.0], "sex": ["f"]}, [0.5], reference)
    with pytest.raises(InputError, match="2 values for 3 rows"):
        tally(COLUMNS, [0.5, 0.5], reference)
    with pytest.raises(InputError, match="predictions: None"):
        tally(COLUMNS, None, reference)
    assert tally([], [], reference).n == 0


def test_unseen_values_are_named_up_to_a_number(reference: Reference) -> None:
    rows = {**COLUMNS, "sex": ["x", "y", "x"]}
    assert tally(rows, [0.0] * 3, reference).unseen == {(2, "x"): 2, (2, "y"): 1}
    assert tally(rows, [0.0] * 3, reference, keep_unseen=0).unseen == {}
    many = [
        tally([[1.0, 1.0, f"{i}-{j}"] for j in range(1000)], np.zeros(1000), reference, keep_unseen=1000)
        for i in range(4)
    ]
    total = reduce(operator.add, many)
    assert (len(total.unseen), total.n) == (MAX_NAMED, 4000)
    assert len(Batch.from_bytes(total.to_bytes()).unseen) == MAX_NAMED


def test_a_batch_of_another_reference_is_refused_with_words(open_monitor: Open, reference: Reference) -> None:
    one, other = tally(COLUMNS, [0.1] * 3, reference), tally(COLUMNS, [0.1] * 3, REFERENCE)
    words = f"{REFERENCE.identity[:12]}.*{reference.identity[:12]}"
    monitor = open_monitor()
    for use in (lambda: other + one, lambda: monitor.add(other), lambda: monitor.judge_counts(other)):
        with pytest.raises(InputError, match=words):
            use()
    with pytest.raises(InputError, match="no reference"):
        monitor.add(replace(one, reference=""))
    assert monitor.status()["predictions"] == 0


GOOD = tally(COLUMNS, [0.1] * 3, REFERENCE)
HEAD = [GOOD.reference, GOOD.n, len(GOOD.sums), [[2, "x", 1]]]


def forged(head: Any, arrays: bytes = GOOD.counts.tobytes() + GOOD.sums.tobytes()) -> bytes:
    """Bytes with a right checksum."""
    body = MAGIC + FORMAT + (head if isinstance(head, bytes) else orjson.dumps(head)) + b"\n" + arrays
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_what_is_forged_here_is_read_if_it_is_right() -> None:
    assert Batch.from_bytes(forged(HEAD)).counts.tolist() == GOOD.counts.tolist()


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"telltale", b"PAR1" * 20, "text", None, 5 * 10**9, GOOD.to_bytes()[:-1], GOOD.to_bytes() + b"\0"),
        GOOD.to_bytes().replace(MAGIC + FORMAT, MAGIC + b"2\n"),
        *(forged(head) for head in (b"", b"[" * 100_000, b"1", b"{}", b'"abcd"', [], HEAD[:3], b"9" * 400)),
        *(forged([*HEAD[:2], columns, []]) for columns in (-1, -(2**63), 2**63, 10**18, 1.0, True, None, "4")),
        *(forged([*HEAD[:3], unseen]) for unseen in (7, [7], [[1, 2]], [[[], "x", 1]], {"a": 1})),
        forged(b"[" + b"[]," * MAX_HEAD + b"[]]"),
        forged([*HEAD[:1], 3.0, *HEAD[2:]]),
        forged(HEAD, b""),
    ],
    ids=lambda data: repr(data)[:40],
)
def test_hostile_bytes_are_an_error_in_bounded_memory(data: Any) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"not a batch that this version of Telltale reads: .+"):
            Batch.from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20 + 60 * MAX_HEAD
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD.to_bytes()) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_found(at: int, flip: int) -> None:
    data = bytearray(GOOD.to_bytes())
    data[at] ^= flip
    with pytest.raises(InputError):
        Batch.from_bytes(data)


def changed(array: Any, **at: Any) -> Any:
    copy = array.copy()
    copy[0] = at["to"]
    return copy


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 4},
        {"n": -3},
        {"n": 10**15},
        {"counts": -GOOD.counts},
        {"counts": GOOD.counts[:-1]},
        {"counts": changed(GOOD.counts, to=2**62)},
        {"sums": changed(GOOD.sums, to=math.nan)},
        {"sums": changed(GOOD.sums, to=1e299)},
        {"sums": GOOD.sums[:1]},
        *({"unseen": {key: rows}} for key, rows in [((2, "x"), 2), ((2, "x"), 0), ((0, "x"), 1), ((9, "x"), 1)]),
        *({"unseen": {key: 1}} for key in [(2, "a\nb"), (2, "x" * 300), (2, 1), (2.0, "x"), (-2, "x"), ("2", "x")]),
    ],
    ids=str,
)
def test_counts_of_no_rows_are_refused(watched: Monitor, wrong: dict[str, Any]) -> None:
    before = watched.status()["predictions"]
    for use in (watched.add, watched.judge_counts):
        with pytest.raises(InputError, match="not those of any rows"):
            use(replace(GOOD, **wrong))
    assert watched.status()["predictions"] == before


def query(monitor: Monitor, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(monitor._runtime.folder.database)) as connection:
        return connection.execute(sql).fetchall()


def test_it_is_counted_once_into_the_window_of_its_time(open_monitor: Open, reference: Reference) -> None:
    monitor = open_monitor("[data]\nkeep_unseen = 1", clock=ManualClock(1_700_000_000))
    batch = tally({**COLUMNS, "sex": ["x", "x", "y"]}, [0.1] * 3, reference)
    assert monitor.add(batch, time="2023-11-13T08:00:59Z", id="monday")
    assert not monitor.add(batch + batch, time="2023-11-14T08:00Z", id="monday")
    assert monitor.add(batch, time=date(2023, 11, 13), id=13)
    assert monitor.add(batch)
    assert monitor.add(batch)
    assert monitor.add(tally([], [], reference), time=1.0, id="")
    assert not monitor.add(batch, id="")
    monitor.observe_many(COLUMNS, [0.1] * 3)
    monitor.flush()
    windows = query(monitor, "SELECT start_utc, n FROM windows ORDER BY 1")
    assert windows == [("2023-11-13T00:00:00Z", 3), ("2023-11-13T08:00:00Z", 3), ("2023-11-14T22:13:00Z", 9)]
    assert monitor.status()["predictions"] == 15
    assert query(monitor, "SELECT value, count FROM unseen") == [("x", 9)], "the limit holds for batches and rows"
    assert b"telltale_predictions_total" in monitor.metrics()[0]
    monitor.evaluate(now=True)
    with closing(sqlite3.connect(monitor._runtime.folder.database, isolation_level=None)) as connection:
        assert verify(connection).problems == []
        assert recompute(connection).problems == []


def test_a_batch_is_judged_as_the_same_rows_in_the_store_are(open_monitor: Open, reference: Reference) -> None:
    rows = {"age": np.full(300, 95.0), "dose": np.linspace(0, 9, 300), "sex": ["f", "new"] * 150}
    batch = tally(rows, np.zeros(300), reference)
    monitor = open_monitor(clock=ManualClock(1_700_000_000))
    counted = monitor.judge_counts(batch)
    assert monitor.status()["predictions"] == 0
    monitor.observe_many(rows, np.zeros(300))
    stored = monitor.judge(1_700_000_000, 1_700_000_001)
    assert [one.to_json() for one in counted] == [one.to_json() for one in stored]
    assert {one.column for one in counted if one.state == "drift"} >= {"age", "sex"}
    assert any("new" in one.direction.text for one in counted if one.column == "sex" and one.direction)


KILLED = """
import os, signal
from monitor import Batch, Monitor
monitor = Monitor.open()
monitor.add(Batch.from_bytes(open("batch", "rb").read()), time=1.7e9, id="day")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_is_counted_exactly_once(tmp_path: Path, reference: Reference) -> None:
    batch, running = tally(COLUMNS, [0.1] * 3, reference), {}
    for moment in ("fold.begin", "returned"):
        (folder := tmp_path / moment).mkdir()
        (folder / "batch").write_bytes(batch.to_bytes())
        reference.save(folder / "histogram.prom")
        options = ["-X", f"failpoint={moment}"] if "." in moment else []
        running[folder] = subprocess.Popen([sys.executable, *options, "-c", KILLED], cwd=folder, env=environment())
    for folder, process in running.items():
        assert process.wait() in (9, -9)
        counted = folder.name != "fold.begin"
        with Monitor.open(reference=reference, data=folder / "data") as monitor:
            assert monitor.status()["predictions"] == (3 if counted else 0)
            assert monitor.add(batch, time=1.7e9, id="day") != counted
            assert monitor.status()["predictions"] == 3


def test_an_id_is_forgotten_with_the_days(open_monitor: Open, reference: Reference) -> None:
    clock, batch = ManualClock(1_700_000_000), tally(COLUMNS, [0.1] * 3, reference)
    monitor = open_monitor(clock=clock)
    assert monitor.add(batch, id="old")
    clock.advance(86_400)
    assert monitor.add(batch, id="new")
    ages, now = Ages(3600, 3600, 80_000), clock.time()
    monitor._runtime.writer.call(lambda connection: drop_by_age(connection, ages, now, now))
    assert [monitor.add(batch, id=name) for name in ("new", "old")] == [False, True]
    with closing(sqlite3.connect(monitor._runtime.folder.database, isolation_level=None)) as connection:
        assert verify(connection).problems == []
