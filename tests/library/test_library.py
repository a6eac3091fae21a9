"""`Monitor`: what it takes, what it refuses, and that all of it is counted, from threads, loops and forks."""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bench.running import environment
from monitor import Monitor, Reference
from monitor.clock import ManualClock
from monitor.errors import ConfigError, InputError, LockedError, ReferenceFileError, StoreError
from tests.library.conftest import Open

ROOT = Path(__file__).resolve().parent.parent.parent
ROW = [41.0, 1.5, "f"]


def counts(monitor: Monitor, name: str) -> dict[str, int]:
    """Rows in each bin of a column that has any."""
    monitor.flush()
    schema = monitor.reference.schema
    position = schema.index(name)
    split = schema.split(monitor._runtime.only.totals.counts)
    labels = schema.columns[position].labels
    return {label: int(rows) for label, rows in zip(labels, split[position], strict=True) if rows}


def total(monitor: Monitor) -> int:
    monitor.flush()
    return int(monitor.status()["predictions"])


class Frame:
    """A frame by duck type: columns, and series that turn into numpy arrays."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns, self._data = list(columns), list(columns.values())

    def __len__(self) -> int:
        return len(self._data[0])

    def __getitem__(self, key: tuple[slice, int]) -> Any:
        return np.asarray(self._data[key[1]])


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        tuple(ROW),
        {"age": 41.0, "dose": 1.5, "sex": "f"},
        {"sex": "f", "dose": 1.5, "age": 41},
        np.array(ROW, dtype=object),
        [np.float64(41), np.float32(1.5), np.str_("f")],
    ],
    ids=["list", "tuple", "dict", "dict in another order", "numpy row", "numpy values"],
)
def test_one_row_in_any_form(open_monitor: Open, row: Any) -> None:
    monitor = open_monitor()
    assert monitor.observe(row, np.float64(0.25))
    assert counts(monitor, "sex") == {"f": 1}
    (age,) = counts(monitor, "age")
    low, _, high = age.strip("([)]").partition(", ")
    assert float(low) < 41 <= float(high)


COLUMNS = {"age": [41.0, 52.0, 33.0], "dose": [1.5, 2.5, 0.5], "sex": ["f", "m", "f"]}
RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


@pytest.mark.parametrize(
    "rows",
    [
        [list(record.values()) for record in RECORDS],
        RECORDS,
        [dict(reversed(record.items())) for record in RECORDS],
        COLUMNS,
        Frame(COLUMNS),
        Frame(dict(reversed(COLUMNS.items()))),
        np.array([list(record.values()) for record in RECORDS], dtype=object),
    ],
    ids=["lists", "dicts", "dicts reversed", "columns", "frame", "frame reversed", "array"],
)
def test_a_batch_in_any_form(open_monitor: Open, rows: Any) -> None:
    monitor = open_monitor()
    ids = monitor.observe_many(rows, [0.1, 0.2, 0.3])
    assert len(set(ids)) == 3
    assert counts(monitor, "sex") == {"f": 2, "m": 1}
    assert sum(counts(monitor, "age").values()) == 3


def test_a_batch_counts_as_its_rows_do(open_monitor: Open, tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        [41.0, None, "f"],
        [float("inf"), 2, "x"],
        ["33", "many", None],
        [np.int64(50), True, float("nan")],
        [10**400, -1, 3],
    ]
    one, many = open_monitor(data=tmp_path / "one"), open_monitor(data=tmp_path / "many")
    for row in rows:
        one.observe(row, 0.5)
    many.observe_many(rows, [0.5] * len(rows))
    for name in ("age", "dose", "sex", "prediction"):
        assert counts(one, name) == counts(many, name), name
    assert counts(one, "sex") == {"f": 1, "__other__": 2, "__missing__": 2}


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        ([1.0, 2.0], "wrong_length", ["expected 3", "age, dose, sex", "got 2"]),
        ([1.0, 2.0, "f", 4], "wrong_length", ["got 4"]),
        ({"age": 1, "dose": 2}, "missing_column", ["no value for 'sex'"]),
        ({"age": 1, "dose": 2, "sex": "f", "x": 1}, "unknown_column", ["called 'x'"]),
        ({"age": 1, "doze": 2, "sex": "f"}, "missing_column", ["'dose'", "'doze'", "did you mean 'dose'"]),
    ],
)
def test_refused_rows(open_monitor: Open, row: Any, code: str, words: Sequence[str]) -> None:
    monitor = open_monitor()
    with pytest.raises(InputError) as one:
        monitor.observe(row, 1.0)
    with pytest.raises(InputError) as many:
        monitor.observe_many([row], [1.0])
    for caught in (one, many):
        assert caught.value.code == code
        assert all(word in str(caught.value) for word in words), str(caught.value)
    assert total(monitor) == 0


def test_refused_batches(open_monitor: Open) -> None:
    monitor = open_monitor()
    for rows, predictions, times, word in [
        ([ROW, ROW], [1.0], None, "1 values for 2 rows"),
        ([ROW, ROW[:2]], [1.0, 2.0], None, "row 1"),
        ([RECORDS[0], ROW], [1.0, 2.0], None, "name their values"),
        ([RECORDS[0], {"age": 1}], [1.0, 2.0], None, "no value for"),
        (Frame({"age": [1], "dose": [1]}), [1.0], None, "no value for 'sex'"),
        ([ROW], [1.0], [1, 2], "2 times"),
        ([ROW], [1.0], ["yesterday"], "yesterday"),
        ([ROW], [1.0], np.array(["NaT"], "datetime64[s]"), "missing"),
        ([ROW], [1.0], [1_700_000_000_000], "in seconds"),
    ]:
        with pytest.raises(InputError, match=word):
            monitor.observe_many(rows, predictions, times)
    assert total(monitor) == 0
    assert monitor.observe_many([], []) == []


FRAME = pd.DataFrame(COLUMNS)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (None, "got NoneType"),
        (5, "got int"),
        ("abc", "got str"),
        ({1.0, 2.0, "f"}, "got set"),
        ((value for value in ROW), "got generator"),
        (FRAME.iloc[[0]], "observe_many"),
        (np.array([ROW], dtype=object), "observe_many"),
        ([ROW], "got 1"),
    ],
)
def test_what_is_no_row_is_refused(open_monitor: Open, row: Any, word: str) -> None:
    monitor = open_monitor()
    with pytest.raises(InputError, match=word):
        monitor.observe(row, 1.0)
    assert total(monitor) == 0


def test_none_is_no_table(open_monitor: Open) -> None:
    monitor = open_monitor()
    for rows, predictions, word in [(None, [1.0], "rows"), ([ROW], None, "predictions")]:
        with pytest.raises(InputError, match=f"{word}: None is no table"):
            monitor.observe_many(rows, predictions)
    with pytest.raises(InputError, match="the period from"):
        monitor.judge("2026-03-02", "2026-03-01")


TIMES = pd.date_range("2026-03-01T12:00", periods=3, freq="min", tz="Europe/Oslo")
NULLABLE = FRAME.assign(age=pd.array([41, None, 33], "Int64"), sex=FRAME["sex"].astype("category"))


@pytest.mark.parametrize(
    ("rows", "predictions", "times"),
    [
        (FRAME, pd.Series([0.1, 0.2, 0.3], index=[7, 8, 9]), pd.Series(TIMES)),
        (FRAME[["sex", "age", "dose"]].set_index([TIMES]), [0.1, 0.2, 0.3], TIMES),
        (NULLABLE, pd.DataFrame({"prediction": [0.1, 0.2, 0.3]}), list(TIMES)),
        (pl.DataFrame(COLUMNS), pl.Series([0.1, 0.2, 0.3]), pl.Series(TIMES.tz_convert(None).to_pydatetime())),
        (pl.DataFrame(COLUMNS).select("dose", "sex", "age"), np.array([[0.1], [0.2], [0.3]]), TIMES.tz_convert(None)),
    ],
    ids=["pandas", "pandas, another order", "pandas, nullable and categories", "polars", "polars, another order"],
)
def test_real_frames(open_monitor: Open, rows: Any, predictions: Any, times: Any) -> None:
    monitor = open_monitor()
    assert len(set(monitor.observe_many(rows, predictions, times))) == 3
    assert counts(monitor, "sex") == {"f": 2, "m": 1}
    ages = counts(monitor, "age")
    assert (sum(ages.values()), ages.get("__missing__", 0)) == (3, 1 if rows is NULLABLE else 0)
    found = monitor.judge("2026-03-01T11:00:00Z", "2026-03-01T11:03:00Z")
    assert max(result.n for result in found) == 3


def test_a_row_of_a_real_frame(open_monitor: Open) -> None:
    monitor = open_monitor()
    monitor.observe(FRAME.iloc[0], np.float32(1))
    monitor.observe([pd.NA, 1.5, pd.NA], np.array(1.0))
    assert counts(monitor, "sex") == {"f": 1, "__missing__": 1}


MOMENT = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "moment",
    [
        MOMENT.timestamp(),
        MOMENT,
        MOMENT.replace(tzinfo=None),
        "2026-03-01T13:00:00+01:00",
        np.datetime64("2026-03-01T12"),
    ],
)
def test_times_of_all_kinds(open_monitor: Open, moment: Any) -> None:
    monitor = open_monitor()
    monitor.observe(ROW, 1.0, time=moment)
    monitor.observe_many([ROW, ROW], [1.0, 2.0], times=[moment, moment])
    monitor.observe_many([ROW], [1.0], times=moment)
    found = monitor.judge("2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z")
    assert {result.n for result in found} == {4}


def test_a_batch_job_judges_month_after_month(open_monitor: Open) -> None:
    monitor = open_monitor()
    random = np.random.default_rng(3)

    def month(number: int, shift: float) -> set[str]:
        start = datetime.datetime(2026, number, 1, tzinfo=datetime.UTC).timestamp()
        rows = {"age": random.normal(50 + shift, 10, 400), "dose": random.exponential(2, 400), "sex": ["f", "m"] * 200}
        monitor.observe_many(rows, random.normal(0, 1, 400), times=start + np.arange(400) * 6000.0)
        return {result.column for result in monitor.judge(start, start + 27.9 * 86400) if result.state == "drift"}

    assert month(1, 0) == set()
    assert month(2, 15) == {"age"}
    assert month(3, 0) == set()
    assert monitor.alerts() == []


def test_alerts_come_from_within(open_monitor: Open) -> None:
    clock = ManualClock(1_750_000_020.0)
    monitor = open_monitor(clock=clock)
    monitor.observe_many([[90.0, 1.0, "f"]] * 300, [0.0] * 300)
    clock.advance(60)
    assert "age" in {result.column for result in monitor.evaluate() if result.state == "drift"}
    assert "age" in {alert["column"] for alert in monitor.alerts()}
    assert monitor.drift()


def test_threads_and_loops(open_monitor: Open) -> None:
    monitor = open_monitor()

    def some() -> None:
        for _ in range(500):
            monitor.observe(ROW, 1.0)

    threads = [threading.Thread(target=some) for _ in range(4)]
    for thread in threads:
        thread.start()

    async def handler(number: int) -> str:
        return monitor.observe({"age": number, "dose": 1.0, "sex": "m"}, 2.0)

    async def serve() -> list[str]:
        return await asyncio.gather(*(handler(number) for number in range(500)))

    ids = asyncio.run(serve())
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 500
    assert total(monitor) == 2500


def test_more_than_a_chunk(open_monitor: Open, reference: Reference) -> None:
    monitor = open_monitor('[data]\nsegment = "64KiB"\n')
    rows = {"age": np.linspace(0, 100, 70_000), "dose": np.ones(70_000), "sex": np.array(["f", "m"] * 35_000)}
    ids = monitor.observe_many(rows, np.zeros(70_000))
    assert len(set(ids)) == 70_000
    assert counts(monitor, "sex") == {"f": 35_000, "m": 35_000}


def test_after_close_it_refuses(open_monitor: Open) -> None:
    monitor = open_monitor()
    with monitor:
        monitor.observe(ROW, 1.0)
    monitor.close()
    for attempt in (
        lambda: monitor.observe(ROW, 1.0),
        lambda: monitor.observe_many([ROW], [1.0]),
        monitor.status,
        monitor.__enter__,
    ):
        with pytest.raises(StoreError, match="closed"):
            attempt()


def test_a_closed_folder_can_be_copied(open_monitor: Open, tmp_path: Path) -> None:
    open_monitor().close()
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    assert not list(tmp_path.rglob("*.sock"))


def test_what_was_observed_is_there_the_next_time(open_monitor: Open) -> None:
    with open_monitor() as monitor:
        monitor.observe(ROW, 1.0)
    assert total(open_monitor()) == 1


def test_a_program_that_ends_without_closing_loses_nothing(tmp_path: Path, reference: Reference) -> None:
    reference.save(tmp_path / "histogram.prom")
    code = "from monitor import Monitor; m = Monitor.open(); [m.observe([41, 1.5, 'f'], 1.0) for _ in range(9)]"
    for number in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        with closing(sqlite3.connect(tmp_path / "data" / "telltale.db")) as connection:
            assert connection.execute("SELECT sum(predictions) FROM series").fetchone() == (9 * number,)


def test_one_process_per_folder(open_monitor: Open) -> None:
    open_monitor()
    with pytest.raises(LockedError):
        open_monitor()


def test_metrics_here_and_on_a_port(open_monitor: Open) -> None:
    monitor = open_monitor(metrics_port=0)
    monitor.observe(ROW, 1.0)
    monitor.flush()
    body, content_type = monitor.metrics()
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"telltale_predictions_total" in body
    assert monitor.metrics("application/openmetrics-text")[1].startswith("application/openmetrics-text")
    address = monitor.metrics_address
    assert address is not None
    with urllib.request.urlopen(address) as reply:
        assert reply.headers["Content-Type"] == content_type
        assert b"telltale_predictions_total" in reply.read()
    with urllib.request.urlopen(address.replace("/metrics", "/healthz")) as reply:
        assert reply.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address.replace("/metrics", "/secret"))
    refused.value.close()
    assert refused.value.code == 404
    monitor.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address)


def test_a_start_that_fails_leaves_nothing_open(open_monitor: Open, tmp_path: Path) -> None:
    taken = open_monitor(data=tmp_path / "other", metrics_port=0)
    assert taken.metrics_address is not None
    port = int(taken.metrics_address.split(":")[2].split("/")[0])
    with pytest.raises(ConfigError, match=str(port)):
        open_monitor(metrics_port=port)
    with pytest.raises(ReferenceFileError):
        open_monitor(reference=tmp_path / "none.prom")
    assert total(open_monitor()) == 0


def test_several_outputs(open_monitor: Open) -> None:
    wide = Reference.from_data(
        np.arange(200.0).reshape(100, 2), {"low": np.arange(100.0), "label": ["a", "b"] * 50}, names=["x", "y"]
    )
    monitor = open_monitor(reference=wide)
    monitor.observe([1, 2], [3.5, "a"])
    monitor.observe({"x": 1, "y": 2}, {"label": "b", "low": 1})
    monitor.observe(np.array([1.0, 2.0]), (1.0, "z"))
    monitor.observe_many(np.zeros((2, 2)), [[1.0, "a"], [2.0, "b"]])
    assert counts(monitor, "label") == {"a": 2, "b": 2, "__other__": 1}
    with pytest.raises(InputError, match="expected 2 prediction values"):
        monitor.observe([1, 2], 3.5)


def test_importing_is_cheap() -> None:
    code = "import sys, monitor; print(len({'numpy', 'flask', 'scipy', 'sqlite3'} & set(sys.modules))); monitor.Monitor"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_a_monitor_that_cannot_start_harms_nothing(open_monitor: Open, caplog: pytest.LogCaptureFixture) -> None:
    first = open_monitor()
    second = open_monitor(on_error="log")
    assert "open in this process already" in str(second.error)
    assert first.error is None
    with second:
        assert second.observe([50.0, 1.0, "f"], 0.5) == ""
        assert second.observe({"nonsense": 1}, None) == ""
        assert second.observe_many([[50.0, 1.0, "f"]] * 3, [0.5] * 3) == []
        assert (second.evaluate(), second.evaluate(now=True), second.drift(), second.judge(0, 1)) == ((),) * 4
        assert second.alerts() == []
        assert second.status() == {"status": "failed", "error": second.error}
        assert second.metrics()[0] == b""
        assert (second.version, second.reference.schema.columns, second.metrics_address) == ("", (), None)
        second.flush()
    assert str(second.error) in repr(second)
    assert [record.levelname for record in caplog.records if "did not start" in record.message] == ["ERROR"]


@pytest.mark.parametrize(
    "wrong",
    [{"reference": "no/such.prom"}, {"config": "no/such.toml"}, {"data": "/proc/nowhere"}, {"reference": 7}],
    ids=str,
)
def test_whatever_keeps_it_from_starting_is_said(wrong: dict[str, Any], reference: Reference, tmp_path: Path) -> None:
    given: dict[str, Any] = {"config": None, "reference": reference, "data": tmp_path / "data", **wrong}
    monitor = Monitor.open(given.pop("config"), **given, on_error="log")
    assert monitor.error
    assert monitor.observe([50.0, 1.0, "f"], 0.5) == ""


def test_a_quiet_monitor_logs_each_kind_of_error_once(open_monitor: Open, caplog: pytest.LogCaptureFixture) -> None:
    monitor = open_monitor(on_error="log")
    assert monitor.observe([50.0, 1.0, "f"], 0.5) != ""
    assert [monitor.observe([50.0], 0.5) for _ in range(3)] == [""] * 3
    assert monitor.error is None
    assert sum("the monitor failed" in record.message for record in caplog.records) == 1
    monitor.flush()
    assert monitor.status()["predictions"] == 1


def test_a_forked_child_of_a_quiet_monitor_goes_on(open_monitor: Open) -> None:
    monitor = open_monitor(on_error="log")
    child = os.fork()
    if not child:
        os._exit(0 if monitor.observe([50.0, 1.0, "f"], 0.5) != "" and monitor.drift() == () else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert monitor.observe([50.0, 1.0, "f"], 0.5) != ""


def test_on_error_is_raise_or_log(reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='expected "raise" or "log"'):
        Monitor.open(None, reference=reference, data=tmp_path, on_error="ignore")  # type: ignore[arg-type]


def test_rows_of_this_minute_are_judged_when_asked(open_monitor: Open, reference: Reference) -> None:
    clock = ManualClock(1_750_000_010.0)
    monitor = open_monitor(clock=clock)
    random = np.random.default_rng(3)
    rows = {"age": random.normal(90, 10, 500), "dose": random.exponential(2, 500), "sex": ["f", "m"] * 250}
    monitor.observe_many(rows, random.normal(0, 1, 500))
    monitor.flush()
    assert monitor.drift() == ()
    before = monitor.evaluate()[0]
    assert (before.column, before.state) == ("age", "no traffic")
    assert before.reason == (
        "no rows in this window; 500 rows are in a window that has not ended: evaluate(now=True) judges it"
    )
    assert monitor.drift()[0].reason == before.reason
    after = monitor.evaluate(now=True)[0]
    assert (after.column, after.state, after.n, after.reason) == ("age", "drift", 500, "")
    assert monitor.drift()[0] == after
    clock.advance(60)
    later = monitor.evaluate()[0]
    assert (later.state, later.n) == ("drift", 500), "nothing is counted twice"


def test_every_public_object_says_what_it_is(open_monitor: Open, reference: Reference) -> None:
    monitor = open_monitor(version="v7")
    monitor.observe_many([[90.0, 1.0, "f"]] * 100, [0.5] * 100)
    (result, *_) = monitor.evaluate(now=True)
    assert result.direction is not None
    things = [monitor, reference, reference.schema, *reference.schema.columns, result, result.explanation]
    texts = [repr(thing) for thing in [*things, result.direction, result.window, *result.contributions]]
    assert not [text for text in texts if " at 0x" in text or len(text) > 500]
    assert repr(monitor).startswith("<Monitor of model v7 in ")
    assert "of 500 rows: age (numeric" in repr(reference)
    assert repr(reference.schema.columns[2]) == "<Column sex (categorical: f, m), feature>"
    monitor.close()
    assert repr(monitor).endswith("closed>")
