"""Frames of the real pandas and polars, tables of the real pyarrow: all in the dev extra, none a dependency."""

import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow
import pytest
from pyarrow import parquet

from monitor.errors import DataError
from monitor.reference.build import as_table, build_reference
from monitor.reference.file import Reference
from monitor.tables.parse import BadRows
from monitor.tables.read import open_reader

NAN = math.nan
DAY = datetime(2024, 1, 2)  # noqa: DTZ001  # frames of old hold such times
MIDNIGHT = "2024-01-02"
BERLIN = "2024-01-01T23:00:00"

PANDAS = {
    "categories": (pandas.Categorical(["b", "a", None]), ["b", "a", None]),
    "categories of numbers": (pandas.Categorical([10, 2, None]), ["10", "2", None]),
    "nullable whole numbers": (pandas.array([1, None, 3], dtype="Int64"), [1.0, NAN, 3.0]),
    "nullable fractions": (pandas.array([1.5, None, 3], dtype="Float64"), [1.5, NAN, 3.0]),
    "nullable booleans": (pandas.array([True, None, False], dtype="boolean"), ["true", None, "false"]),
    "booleans": ([True, False, True], ["true", "false", "true"]),
    "texts": (pandas.array(["x", None, "y"], dtype="string"), ["x", None, "y"]),
    "texts of today's pandas": (["x", None, "y"], ["x", None, "y"]),
    "objects with None and NaN": (pandas.Series(["x", None, NAN], dtype=object), ["x", None, None]),
    "numbers with None and NA": (pandas.Series([1, None, pandas.NA], dtype=object), [1.0, NAN, NAN]),
    "numbers among texts": (pandas.Series(["x", 2.0, 3], dtype=object), ["x", "2", "3"]),
    "times": (pandas.to_datetime([DAY, None, DAY]), [MIDNIGHT, None, MIDNIGHT]),
    "times with a zone": (pandas.to_datetime([DAY, None, DAY]).tz_localize("Europe/Berlin"), [BERLIN, None, BERLIN]),
    "durations": (pandas.to_timedelta([1, None, 2], unit="h"), [3_600.0, NAN, 7_200.0]),
    "months": (pandas.period_range("2024-01", periods=3, freq="M"), ["2024-01", "2024-02", "2024-03"]),
    "decimals": ([Decimal("1.5"), None, Decimal("NaN")], [1.5, NAN, NAN]),
    "sparse": (pandas.arrays.SparseArray([0, 0, 2]), [0.0, 0.0, 2.0]),
    "Arrow's numbers": (pandas.array([1, None, 3], dtype="int64[pyarrow]"), [1.0, NAN, 3.0]),
    "Arrow's texts": (pandas.array(["x", None, "y"], dtype="string[pyarrow]"), ["x", None, "y"]),
    "bytes": ([b"x", None, b"\xff"], ["x", None, "\ufffd"]),
    "huge whole numbers": ([2**70, 1, 2], [float(2**70), 1.0, 2.0]),
}

POLARS = {
    "whole numbers": (polars.Series([1, None, 3]), [1.0, NAN, 3.0]),
    "small whole numbers": (polars.Series([1, 2, 3], dtype=polars.UInt8), [1.0, 2.0, 3.0]),
    "null and NaN": (polars.Series([1.5, None, NAN]), [1.5, NAN, NAN]),
    "texts": (polars.Series(["x", None, "y"]), ["x", None, "y"]),
    "categories": (polars.Series(["x", None, "y"], dtype=polars.Categorical), ["x", None, "y"]),
    "an enumeration": (polars.Series(["x", None, "y"], dtype=polars.Enum(["x", "y"])), ["x", None, "y"]),
    "booleans": (polars.Series([True, None, False]), ["true", None, "false"]),
    "decimals": (polars.Series([Decimal("1.5"), None, Decimal("2")]), [1.5, NAN, 2.0]),
    "dates": (polars.Series([date(2024, 1, 2), None, date(2024, 1, 2)]), ["2024-01-02", None, "2024-01-02"]),
    "times": (polars.Series([DAY, None, DAY]), [MIDNIGHT, None, MIDNIGHT]),
    "durations": (polars.Series([timedelta(1), None, timedelta(2)]), [86_400.0, NAN, 172_800.0]),
    "nothing but nulls": (polars.Series([None, None, None]), [NAN, NAN, NAN]),
}


def check(frame: object, expected: list[object]) -> None:
    table = as_table(frame)
    assert table.names == ("column",)
    (block,) = table.columns
    same(block, expected)


def same(block: object, expected: list[object]) -> None:
    if isinstance(expected[0], float):
        assert isinstance(block, np.ndarray)
        np.testing.assert_array_equal(block, np.array(expected))
    else:
        assert block == expected


@pytest.mark.parametrize("what", PANDAS)
def test_a_pandas_column_is_read_as_what_it_is(what: str) -> None:
    values, expected = PANDAS[what]
    check(pandas.DataFrame({"column": values}), expected)


@pytest.mark.parametrize("what", POLARS)
def test_a_polars_column_is_read_as_what_it_is(what: str) -> None:
    values, expected = POLARS[what]
    check(polars.DataFrame({"column": values}), expected)
    check(polars.LazyFrame({"column": values}), expected)


def test_a_table_of_arrow_is_read_too() -> None:
    check(pyarrow.table({"column": [1, None, 3]}), [1.0, NAN, 3.0])
    check(pyarrow.table({"column": pyarrow.array(["x", None, "x"]).dictionary_encode()}), ["x", None, "x"])


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame({"column": [[1, 2], [3]]}),
        polars.DataFrame({"column": [[1, 2], [3]]}),
        polars.DataFrame({"column": [{"a": 1}, {"a": 2}]}),
        pyarrow.table({"column": [[1, 2], [3]]}),
        [{"column": {"a": 1}}, {"column": 2}],
    ],
    ids=["pandas", "polars", "polars struct", "pyarrow", "dictionaries"],
)
def test_nested_values_are_refused_in_words(frame: object) -> None:
    with pytest.raises(DataError, match=r"column 'column' holds a \w+ in row 0; make each value a column"):
        as_table(frame)


def test_categories_that_are_numbers_stay_categories_unless_overruled() -> None:
    frame = pandas.DataFrame({"code": pandas.Categorical([1, 2, 3] * 40), "size": np.tile([1.0, 2.0, 3.0], 40)})
    answers = pandas.Series(["yes", "no"] * 60, dtype="category", name="anything")
    code, size, prediction = build_reference(frame, answers).schema.columns
    assert (code.kind, size.kind, prediction.kind) == ("categorical", "numeric", "categorical")
    assert code.categories == ("1", "2", "3")
    assert build_reference(frame, answers, kinds={"code": "numeric"}).schema.columns[0].numeric


def test_one_table_in_every_shape_gives_one_reference() -> None:
    dice = np.random.default_rng(0)
    rows = [
        {
            "x": None if i % 10 == 0 else float(x),
            "n": int(x * 100),
            "town": ["Rome", "Oslo", None][i % 3],
            "ok": bool(x > 0),
        }
        for i, x in enumerate(dice.normal(size=300))
    ]
    answers = dice.normal(size=300)
    expected = Reference.from_data(rows, answers).identity
    for frame in (
        pandas.DataFrame(rows),
        pandas.DataFrame(rows).convert_dtypes(),
        pandas.DataFrame(rows).astype({"town": "category"}),
        polars.DataFrame(rows),
        pyarrow.Table.from_pylist(rows),
        {name: [row[name] for row in rows] for name in rows[0]},
    ):
        assert Reference.from_data(frame, answers).identity == expected


def test_frames_as_predictions_keep_their_names() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 2))
    for frame in (pandas.DataFrame(rows, columns=["low", "high"]), polars.DataFrame(rows, schema=["low", "high"])):
        columns = build_reference(rows, frame).schema.predictions
        assert [column.name for column in columns] == ["low", "high"]


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="two feature columns are called 'a'"):
        as_table(pandas.DataFrame(np.zeros((2, 2)), columns=["a", "a"]))


def test_parquet_is_read_in_batches(tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {
            "x": [1.5, None, 3.0],
            "n": pandas.array([1, None, 3], dtype="Int64"),
            "town": pandas.Categorical(["Rome", None, "Oslo"]),
            "ok": pandas.array([True, None, False], dtype="boolean"),
            "at": pandas.to_datetime([DAY, None, DAY]),
            "cost": [Decimal("1.5"), None, Decimal("2.5")],
        }
    )
    path = tmp_path / "data.parquet"
    frame.to_parquet(path)
    reader = open_reader(path, BadRows(str(path), skip=False))
    (chunk,) = reader.chunks(reader.names, {})
    assert reader.names == tuple(frame.columns)
    expected = [
        [1.5, NAN, 3],
        [1.0, NAN, 3],
        ["Rome", None, "Oslo"],
        ["true", None, "false"],
        [MIDNIGHT, None, MIDNIGHT],
    ]
    for block, values in zip(chunk, [*expected, [1.5, NAN, 2.5]], strict=True):
        same(block, values)


def test_parquet_with_lists_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.table({"a": [[1], [2, 3]]}), path)
    reader = open_reader(path, BadRows(str(path), skip=False))
    with pytest.raises(DataError, match=r"data.parquet, rows from 1: column 'a' holds a ndarray in row 0"):
        list(reader.chunks(reader.names, {}))
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="not a Parquet file"):
        open_reader(path, BadRows(str(path), skip=False))
