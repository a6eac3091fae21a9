"""Each type of value, fed in every way, is counted in the bins of the reference that a frame of it gives."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest
from scipy import sparse

from monitor import Monitor
from monitor.capture.encode import Encoder
from monitor.capture.names import UnseenNames
from monitor.columns.binning import Binner
from monitor.columns.canonical import Codes, canonical
from monitor.columns.column import Counts
from monitor.errors import DataError, InputError
from monitor.reference.build import build_reference
from monitor.reference.file import Reference
from monitor.tables.parse import BadRows
from monitor.tables.read import open_reader
from monitor.tables.rows import Names, by_name, in_order, table, time_ns, times_ns
from train.reference import make_reference
from train.selection import Request


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2
    HUGE = 7


LONG = "https://example.com/" + "a/" * 150
BERLIN = pandas.date_range("2026-01-01", periods=3, tz="Europe/Berlin")

#: Columns as a frame of pandas holds them. `!`: declared categorical.
TYPES: dict[str, Any] = {
    "whole numbers": [1, 2, 3, 4],
    "fractions": [0.1, 0.25, 7.5],
    "a flag": [0, 1, 1, 0],
    "a flag of fractions": [0.0, 1.0, None],
    "always one": [1, 1, 1],
    "booleans": [True, False, True],
    "always true": [True, True],
    "nullable booleans": pandas.array([True, None, False], dtype="boolean"),
    "booleans as objects": pandas.Series([True, None, False], dtype=object),
    "booleans as texts": ["True", "False", "True"],
    "small whole numbers": np.array([1, 2, 3], np.int8),
    "unsigned": np.array([1, 2, 250], np.uint8),
    "nullable whole numbers": pandas.array([1, None, 3], dtype="Int64"),
    "nullable fractions": pandas.array([1.5, None, 3.25], dtype="Float64"),
    "32 bits": np.array([0.1, 0.2, 0.7, 1e-7], np.float32),
    "16 bits": np.array([0.1, 0.2, 0.7], np.float16),
    "32 bits!": np.array([0.1, 0.2, 0.7], np.float32),
    "huge whole numbers": [2**70, 1, 3],
    "beyond 53 bits!": [2**53 + 1, 2**53, 5],
    "decimals": [Decimal("1.50"), None, Decimal("2")],
    "decimals!": [Decimal("1.50"), None, Decimal("2.00")],
    "fractions of two": [Fraction(1, 2), Fraction(1, 4), Fraction(3, 4)],
    "infinite": [1.0, np.inf, -np.inf, 2.0],
    "whole numbers!": [101, 205, 309],
    "numbers!": [0.5, 1.5, 2.0],
    "categories": pandas.Categorical(["b", "a", None]),
    "categories of numbers": pandas.Categorical([101, 205, None]),
    "categories of booleans": pandas.Categorical([True, False, True]),
    "texts": ["x", "y", None],
    "texts of pandas": pandas.array(["x", None, "y"], dtype="string"),
    "texts of Arrow": pandas.array(["x", None, "y"], dtype="string[pyarrow]"),
    "numbers of Arrow": pandas.array([1, None, 3], dtype="int64[pyarrow]"),
    "codes": ["01067", "01069", "12345"],
    "versions": ["1.1", "1.10", "1.2"],
    "words that mean missing": ["NA", "nan", "null", "None", "x"],
    "spaces": [" x", "x", "x "],
    "other letters": ["Zürich", "Ō", "日本"],
    "quotes and commas": ['a"b', "a,b", "a;b"],
    "two lines": ["a\nb", "c\td", "e"],
    "alike but for control characters": ["a\nb", "a b", "a\tb", "a\r\nb", "a\x1fb", "a\u2028b", "a\u202eb", "a\x85b"],
    "long texts": [LONG + "1", LONG + "2", "short"],
    "bytes": [b"x", b"y", None],
    "an enumeration": [Colour.RED, Colour.BLUE, Colour.RED],
    "an enumeration of numbers": pandas.Series([Size.SMALL, Size.LARGE, Size.HUGE], dtype=object),
    "texts and numbers": pandas.Series(["x", 2, 3.5], dtype=object),
    "durations": pandas.to_timedelta(["1h", None, "90s", "1day"]),
    "durations as objects": pandas.Series([timedelta(1), timedelta(seconds=1.5)], dtype=object),
    "dates!": [date(2026, 1, 2), date(2026, 1, 3), None],
    "times!": [pandas.Timestamp("2026-01-02"), None, pandas.Timestamp("2026-01-03 04:05:06.5")],
    "times with a zone!": BERLIN,
    "times in UTC!": [datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 3, tzinfo=UTC)],
    "dates": [date(2026, 1, 2), date(2026, 1, 3), None],
    "times of day": [time(12, 30), time(1, 2, 3), None],
    "months": pandas.period_range("2024-01", periods=3, freq="M"),
    "intervals": pandas.IntervalIndex.from_breaks([0, 1, 2]),
    "sparse": pandas.arrays.SparseArray([0.0, 0.0, 2.5]),
    "nothing": [None, None],
    "NaN": [np.nan, 1.5, 2.5, 3.5],
    "labels": ["no", "yes", "no"],
    "one text": ["x", "x"],
    "numbers as texts": ["1", "2", "x"],
}


def plain_json(value: Any) -> Any:
    """What a client writes as JSON."""
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or value is pandas.NA or value is pandas.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, (timedelta, np.timedelta64)):
        return pandas.Timedelta(value).isoformat()
    if isinstance(value, np.generic):
        return float(str(value)) if isinstance(value, np.floating) else value.item()
    if isinstance(value, (Decimal, Fraction)):
        return float(value)
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def rows_of(frame: pandas.DataFrame) -> list[Any]:
    return [frame.iloc[row] for row in range(len(frame))]


def masked(frame: pandas.DataFrame) -> Any:
    values = frame["c"].to_numpy(dtype=object)
    missing = pandas.isna(values)
    return np.ma.MaskedArray(np.where(missing, "hidden", values), missing).reshape(-1, 1)


def from_file(way: str, name: str) -> Callable[..., Any]:
    def read(frame: pandas.DataFrame, reference: Reference, folder: Path) -> Any:
        path = folder / name
        WRITERS[way](frame, path)
        reader = open_reader(path, BadRows(name, skip=False))
        column = reference.schema.columns[0]
        blocks = [chunk[0] for chunk in reader.chunks(["c"], {"c": column.kind})]
        return [[value] for block in blocks for value in (block.tolist() if isinstance(block, np.ndarray) else block)]

    return read


def csv_of(frame: pandas.DataFrame, path: Path) -> None:
    if frame.c.dtype == object:
        plain = [v.value if isinstance(v, enum.Enum) else v.decode() if isinstance(v, bytes) else v for v in frame.c]
        frame = frame.assign(c=pandas.Series(plain, dtype=object))
    frame.to_csv(path, index=False)


def json_of(frame: pandas.DataFrame, path: Path) -> None:
    path.write_text("".join(json.dumps({"c": plain_json(value), "other": 1}) + "\n" for value in frame.c))


WRITERS: dict[str, Callable[[pandas.DataFrame, Path], object]] = {
    "CSV": csv_of,
    "JSON lines": json_of,
    "Parquet": lambda frame, path: frame.to_parquet(path),
}

Way = Callable[[pandas.DataFrame, Reference, Path], Any]

#: Ways to feed a frame with the columns `c` and `other`: a table, or rows.
WAYS: dict[str, Way] = {
    "frame": lambda frame, *_: frame[["c"]],
    "dictionaries": lambda frame, *_: [{"c": value} for value in frame.c],
    "rows": lambda frame, *_: [[value] for value in frame.c],
    "tuples": lambda frame, *_: list(frame[["c"]].itertuples(index=False, name=None)),
    "series": lambda frame, *_: rows_of(frame[["c"]]),
    "columns": lambda frame, *_: {"c": list(frame.c)},
    "array": lambda frame, *_: frame[["c"]].to_numpy(),
    "objects": lambda frame, *_: frame[["c"]].to_numpy(dtype=object),
    "masked": lambda frame, *_: masked(frame),
    "JSON": lambda frame, *_: json.loads(json.dumps([{"c": plain_json(value)} for value in frame.c])),
    "JSON in order": lambda frame, *_: json.loads(json.dumps([[plain_json(value)] for value in frame.c])),
    "CSV": from_file("CSV", "data.csv"),
    "JSON lines": from_file("JSON lines", "data.jsonl"),
    "Parquet": from_file("Parquet", "data.parquet"),
    "polars": lambda frame, *_: polars.from_pandas(frame[["c"]]),
    "Arrow": lambda frame, *_: pyarrow.Table.from_pandas(frame[["c"]]),
}

CANNOT_HOLD = (
    *("fractions of two", "an enumeration", "an enumeration of numbers", "texts and numbers", "intervals"),
    *("huge whole numbers", "16 bits", "months", "sparse"),
)

#: Columns that a library cannot hold, or writes as something else than it was given.
CANNOT = {
    **dict.fromkeys(("Parquet", "polars", "Arrow"), CANNOT_HOLD),
    "CSV": ("fractions of two",),
}


def frame_of(kind: str) -> pandas.DataFrame:
    frame = pandas.DataFrame({"c": TYPES[kind]})
    return frame.assign(other=1.0)


def reference_of(kind: str, frame: pandas.DataFrame) -> Reference:
    return build_reference(frame[["c"]], frame.other, kinds={"c": "categorical"} if kind.endswith("!") else {})


def labelled(reference: Reference, counts: Counts) -> dict[str, int]:
    column = reference.schema.columns[0]
    return {label: rows for label, rows in zip(column.labels, counts.tolist(), strict=True) if rows}


def counted(reference: Reference, data: Any, each: bool, folder: Path) -> dict[str, int]:
    """Rows in the feature's bins, fed as a table or row by row."""
    encoder = Encoder(reference.schema, UnseenNames(folder / "unseen.jsonl", reference.schema, 100))
    names = Names(reference.schema.features)
    if each:
        rows = [names.arrange(row) if by_name(row) else in_order(row) for row in data]
        values = np.array([encoder.row(row, [1.0]) for row in rows])
    else:
        (column,) = table(data, names)
        values = np.column_stack([encoder.column(0, column), np.ones(len(column))])
    flat, _ = Binner(reference.schema).fill(values)
    return labelled(reference, reference.schema.split(flat[0])[0])


@pytest.mark.parametrize("kind", TYPES)
def test_a_value_is_counted_alike_whatever_way_it_comes(kind: str, tmp_path: Path) -> None:
    frame = frame_of(kind)
    reference = reference_of(kind, frame)
    expected = labelled(reference, reference.schema.split(reference.counts)[0])
    for way, feed in WAYS.items():
        if kind in CANNOT.get(way, ()):
            continue
        folder = tmp_path / way
        folder.mkdir()
        data = feed(frame, reference, folder)
        assert counted(reference, data, False, folder) == expected, way
        if isinstance(data, (list, np.ndarray)):
            assert counted(reference, data, True, folder) == expected, way


@pytest.mark.parametrize("kind", TYPES)
def test_a_reference_from_a_file_knows_what_the_frame_holds(kind: str, tmp_path: Path) -> None:
    for way, name in (("CSV", "data.csv"), ("JSON lines", "data.jsonl"), ("Parquet", "data.parquet")):
        if kind in CANNOT.get(way, ()) or (way == "CSV" and kind == "texts and numbers"):
            continue  # the latter is refused: it may be a column of numbers with a bad cell
        frame, folder = frame_of(kind), tmp_path / way
        folder.mkdir()
        WRITERS[way](frame, folder / name)
        categorical = ("c",) if kind.endswith("!") else ()
        request = Request(
            folder / name, predictions=("other",), categorical=categorical, output=folder / "histogram.prom"
        )
        reference = make_reference(request).reference
        expected = labelled(reference, reference.schema.split(reference.counts)[0])
        assert counted(reference, frame[["c"]], False, folder) == expected, way
        assert sum(expected.values()) == len(frame), way


NAMES = {
    "a line's end": ["Total\nSales", "b"],
    "a tab": ["a\tb", "b"],
    "a line's end and a space": ["a\nb", "a b"],
    "line ends of three kinds": ["a\nb", "a\r\nb"],
    "signs of direction": ["a\u202eb", "a\u202db"],
    "long ones that begin alike": ["x" * 224 + "1", "x" * 224 + "2"],
    "whole numbers": [0, 1],
    "numbers of numpy": np.array([3, 7]),
    "fractions": [0.5, 1.5],
    "levels": pandas.MultiIndex.from_tuples([("size", "mean"), ("size", "max")]),
    "levels with numbers": pandas.MultiIndex.from_tuples([("size", np.int64(1)), ("size", np.int64(2))]),
    "other letters": ["größe", "長さ"],
    "nothing": ["", " "],
    "quotes": ['a"b', "a,b"],
    "moments": pandas.to_datetime(["2026-01-01", "2026-01-02"]),
}


@pytest.mark.parametrize("kind", NAMES)
def test_the_frame_that_made_a_reference_can_be_observed_whatever_its_names(kind: str, tmp_path: Path) -> None:
    frame = pandas.DataFrame([[1.0, 30.0], [2.0, 10.0], [3.0, 20.0]], columns=NAMES[kind])
    Reference.from_data(frame, [1.0, 2.0, 3.0]).save(tmp_path / "histogram.prom")
    with Monitor.open(reference=tmp_path / "histogram.prom", data=tmp_path / "data") as monitor:
        names = [column.name for column in monitor.reference.schema.features]
        assert len(set(names)) == 2
        assert all(len(name) <= 200 and "\n" not in name for name in names)
        monitor.observe_many(frame, [1.0, 2.0, 3.0])
        monitor.observe_many(frame[frame.columns[::-1]], [1.0, 2.0, 3.0])
        monitor.observe_many(frame.to_dict("records"), [1.0, 2.0, 3.0])
        for row in range(3):
            monitor.observe(frame.iloc[row], row + 1.0)
            monitor.observe(dict(zip(names, frame.iloc[row], strict=True)), row + 1.0)
        monitor.flush()
        totals = monitor._runtime.only.totals
        assert (totals.n, totals.counts.tolist()) == (15, (5 * monitor.reference.counts).tolist())


def test_names_that_are_one_when_written_are_refused() -> None:
    with pytest.raises(DataError, match="two feature columns are called '0'"):
        build_reference(pandas.DataFrame([[1.0, 2.0]], columns=[0, "0"]), [1.0])


@pytest.mark.parametrize(
    "make", [sparse.csr_matrix, sparse.coo_array, np.ma.asarray, pandas.DataFrame, polars.DataFrame]
)
def test_a_matrix_of_any_kind_is_a_table(make: Callable[[Any], Any], tmp_path: Path) -> None:
    values = np.array([[0.0, 3.0], [1.5, 0.0], [0.0, 4.0]])
    reference = build_reference(make(values), [1.0, 2.0, 3.0])
    columns = table(make(values), Names(reference.schema.features))
    np.testing.assert_array_equal(np.column_stack(columns), values)


def test_what_is_hidden_by_a_mask_is_missing() -> None:
    values = np.arange(8.0).reshape(4, 2)
    reference = build_reference(np.ma.MaskedArray(values, (values == 0) | (values == 7)), [1.0, 2.0, 3.0])
    assert [int(part[-2]) for part in reference.schema.split(reference.counts)] == [1, 1, 0]


@pytest.mark.parametrize("categories", [("0", "1"), ("false", "true"), ("FALSE", "TRUE")])
@pytest.mark.parametrize("value", [True, 1, 1.0, np.True_, np.int8(1), "1", "1.0", "True", "true", "TRUE", Decimal(1)])
def test_a_flag_is_known_by_any_spelling(categories: tuple[str, str], value: object) -> None:
    assert Codes(categories).find(canonical(value)) == 1.0


@pytest.mark.parametrize(
    ("categories", "value", "code"),
    [
        (("1067", "1069"), "01067", None),
        (("01067", "01069"), 1067, None),
        (("1.1", "1.10"), "1.10", 1.0),
        (("1.1", "1.10"), 1.1, 0.0),
        (("1.5", "2.50"), 2.5, 1.0),
        (("2", "7"), "2.0", 0.0),
        (("a", "true"), 1, None),
        (("2026-01-02 03:00:00+01:00", "x"), datetime(2026, 1, 2, 2, tzinfo=UTC), 0.0),
        (("1", "2"), "NA", np.nan),
        (("x", "2"), "NA", None),
        (("x", "NA"), "NA", 1.0),
        ((), "NA", None),
        (("x",), None, np.nan),
        ((canonical(LONG + "1"), "x"), LONG + "1", 0.0),
        ((canonical(LONG + "1"), "x"), LONG + "2", None),
    ],
)
def test_a_category_is_found_by_what_it_means_if_only_one_does(
    categories: tuple[str, ...], value: object, code: float | None
) -> None:
    np.testing.assert_equal(Codes(categories).find(canonical(value)), code)


def test_codes_with_leading_zeros_are_texts_and_the_table_says_so(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("zip,y\n" + "12345,1\n" * 400_000 + "01067,2\n" * 9)
    made = make_reference(Request(path, predictions=("y",), output=tmp_path / "histogram.prom"))
    assert made.decisions[0].column.categories == ("01067", "12345")
    assert made.decisions[0].reason.endswith("leading zeros make texts, not numbers")
    made = make_reference(Request(path, predictions=("y",), numeric=("zip",), output=tmp_path / "other.prom"))
    assert made.decisions[0].column.kind == "numeric"


@pytest.mark.parametrize(
    "moment", [np.datetime64("NaT", "s"), np.datetime64("1969-12-31"), pandas.NaT, "1969-12-31", -1.0]
)
def test_a_moment_that_cannot_be_is_refused_in_every_form(moment: Any) -> None:
    with pytest.raises(InputError):
        time_ns(moment)
    with pytest.raises(InputError):
        times_ns([1.0, moment], 2)
    if isinstance(moment, np.datetime64):
        with pytest.raises(InputError, match=r"NaT|1969"):
            times_ns(np.array([np.datetime64("2026-01-01"), moment], "datetime64[s]"), 2)
