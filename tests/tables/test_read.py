import csv
import gzip
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.columns.canonical import cell_number
from monitor.columns.column import Kind
from monitor.errors import DataError
from monitor.tables import read as read_module
from monitor.tables.parse import BadRows, CellCount
from monitor.tables.read import Reader, open_reader


def read(
    path: Path, kinds: dict[str, Kind] | None = None, *, skip: bool = False, block: int = 2**20
) -> tuple[dict[str, list[object]], BadRows]:
    """All columns of a file, NaN as None, and what was wrong with it."""
    bad = BadRows(path.name, skip)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_module, "BLOCK", block)
        reader = open_reader(path, bad)
        columns = all_columns(reader, kinds or {})
        if not skip and reader.torn():
            reader.written = reader.torn()
            columns = all_columns(reader, kinds or {})
    return columns, bad


def all_columns(reader: Reader, kinds: dict[str, Kind]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {name: [] for name in reader.names}
    for chunk in reader.chunks(reader.names, kinds):
        for name, part in zip(reader.names, chunk, strict=True):
            values = part.tolist() if isinstance(part, np.ndarray) else part
            columns[name] += [None if isinstance(v, float) and math.isnan(v) else v for v in values]
    return columns


def write(tmp_path: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n1,2\n3,4\n", {"a": [1, 3], "b": [2, 4]}),
        ("a,b\n1,2\n3,4", {"a": [1, 3], "b": [2, 4]}),
        ("a,b\r\n1,2\r\n3,4\r\n", {"a": [1, 3], "b": [2, 4]}),
        ("\ufeffa,b\n1,2\n", {"a": [1], "b": [2]}),
        ("a;b\n1;2\n", {"a": [1], "b": [2]}),
        ("a\tb\n1\t2\n", {"a": [1], "b": [2]}),
        ("a|b\n1|x,y\n", {"a": [1], "b": ["x,y"]}),
        ("a;b\n1,5;x\n-2;y, z\n", {"a": [1.5, -2], "b": ["x", "y, z"]}),
        ("a;b\n1,5;2\n;,5\n", {"a": [1.5, None], "b": [2, 0.5]}),
        ("a;b\n1,5;2.5\n3,4;3\n", {"a": ["1,5", "3,4"], "b": [2.5, 3]}),
        ("a,b\n[1,2\n3],4\n", {"a": ["[1", "3]"], "b": [2, 4]}),
        ("a,b\n7,1.\n+5,.5\n", {"a": [7, 5], "b": [1, 0.5]}),
        ("a,b\n007,0.5\n005,-0.5\n", {"a": ["007", "005"], "b": [0.5, -0.5]}),
        ("a;b\n007;0,5\n010;00,5\n", {"a": ["007", "010"], "b": ["0,5", "00,5"]}),
        ('a,b\n"",1\n,"2"\nNA,""\nx,\n', {"a": ["", None, "NA", "x"], "b": [1, 2, None, None]}),
        ('a,b\n"p,"",q",1\n5" pipe,""\n', {"a": ['p,",q', '5" pipe'], "b": [1, None]}),
        ("a,b\n1 days 00:00:02.5,12:30:00\n,12:30:01\n", {"a": [86402.5, None], "b": ["12:30:00", "12:30:01"]}),
        ("a,b\n123456789012345678901234567890,1e5\n", {"a": [123456789012345678901234567890.0], "b": [1e5]}),
        ("a,b\n\n1,2\n\n3,4\n\n", {"a": [1, 3], "b": [2, 4]}),
        ("a\n1\n2\n", {"a": [1, 2]}),
        ("a,b\n1,\n,2\n,\n", {"a": [1, None, None], "b": [None, 2, None]}),
        ("a,b,c\n,,\n,,3\n1,,\n", {"a": [None, None, 1], "b": [None] * 3, "c": [None, 3, None]}),
        ("a,b\nNA,1\nnull,2\nNaN,3\n", {"a": [None] * 3, "b": [1, 2, 3]}),
        ("a,b\n inf,1e400\n-Infinity, 2\n", {"a": [math.inf, -math.inf], "b": [math.inf, 2]}),
        ('a,b\n"1","x, y"\n2,"said ""hi"""\n', {"a": [1, 2], "b": ["x, y", 'said "hi"']}),
        ('a,b\n1,"two\nlines"\n2,x\n', {"a": [1, 2], "b": ["two␊lines", "x"]}),
        ('a,b\n1,5" pipe\n2,x\n', {"a": [1, 2], "b": ['5" pipe', "x"]}),
        ("a,b\n1,p\u2028q\n2,r\x0bs\n", {"a": [1, 2], "b": ["p<U+2028>q", "r␋s"]}),
        ("a,b\nTrue,1_000\nfalse,2_0\n", {"a": ["true", "false"], "b": ["1_000", "2_0"]}),
        ('"a b","c"\n1,2\n', {"a b": [1], "c": [2]}),
        (",x\n0,5\n1,6\n", {"unnamed: 0": [0, 1], "x": [5, 6]}),
        ("a,b\n", {"a": [], "b": []}),
    ],
)
@pytest.mark.parametrize("library", ["pyarrow", "csv"])
def test_csv_is_read_as_it_is_meant(
    content: str, expected: dict[str, list[object]], library: str, tmp_path: Path, monkeypatch: Any
) -> None:
    if library == "csv":
        monkeypatch.setattr(read_module, "_arrow", lambda: None)
    for block in (1, 7, 2**20):
        assert read(write(tmp_path, content), block=block)[0] == expected, block


def test_tabs_and_json_lines_say_the_same(tmp_path: Path) -> None:
    expected = {"a": [1, None, 3], "b": ["x", "y", None], "c": ["true", "false", "true"]}
    tabs = write(tmp_path, "a\tb\tc\n1\tx\tTrue\n\ty\tFALSE\n3\t\ttrue\n", "data.tsv")
    rows = [{"a": 1, "b": "x", "c": True}, {"b": "y", "c": False}, {"a": 3.0, "b": None, "c": True}]
    lines = write(tmp_path, "\n".join(map(json.dumps, rows)), "data.jsonl")
    assert read(tabs)[0] == read(lines)[0] == expected


cells = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["", "NA", "x", "true"]),
    st.text('ab ,"\n;é\u2028', max_size=6),
)

plain_cells = st.one_of(
    st.floats().map(repr),
    st.integers().map(str),
    st.from_regex(r"[ 0]?[0-9]{1,4}([.,]5)?", fullmatch=True).filter(lambda cell: "," not in cell),
    st.sampled_from(["", "NA", " NA", "null", "x", "True", "0x1", "1_0", "1e400", "P1DT2H", "12:30:00", "１２", "+1"]),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=20), block=st.sampled_from([1, 20, 2**20]))
def test_whatever_the_csv_module_wrote_is_read_back(rows: list[tuple[str, str]], block: int, tmp_path: Path) -> None:
    file = io.StringIO()
    csv.writer(file).writerows([("a", "b"), *rows])
    columns, _ = read(write(tmp_path, file.getvalue()), {"a": "categorical", "b": "categorical"}, block=block)
    expected = texts_as_declared([row[0] for row in rows])
    assert columns["a"] == expected
    assert len(columns["b"]) == len(rows)


def texts_as_declared(column: list[str]) -> list[str | None]:
    table = str.maketrans({"\n": "␊", "\u2028": "<U+2028>"})
    return [cell.translate(table) or None for cell in column]


def test_quotes_around_whole_cells_are_read_alike(tmp_path: Path) -> None:
    content = 'a,b,c\n"x, y","1.5",01\n"z",NA,"02"\nw,"2",3\n'
    expected = {"a": ["x, y", "z", "w"], "b": [1.5, None, 2], "c": ["01", "02", "3"]}
    path = write(tmp_path, content)
    assert read(path)[0] == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_module, "_arrow", lambda: None)
        assert read(path)[0] == expected


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=st.lists(st.tuples(plain_cells, plain_cells), min_size=1, max_size=20))
def test_pyarrow_and_the_csv_module_read_the_same(rows: list[tuple[str, str]], tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"{a},{b}\n" for a, b in [("a", "b"), *rows]))
    with_arrow = read(path)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_module, "_arrow", lambda: None)
        assert read(path)[0] == with_arrow


@pytest.mark.parametrize(("cell", "value"), [("0x10", None), ("１２", 12.0), ("1 2", None), ("+5", 5.0), ("--", None)])
def test_numbers_are_what_python_reads(cell: str, value: float | None) -> None:
    assert cell_number(cell) == value


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("a,b\n1,2\n3\n4,5\n", 3, "names 2 columns, here the number is 1"),
        ("a,b\n1,2\n3,4,5\n", 3, "here the number is 3"),
        ('a,b\n1,"x\ny\nz"\n3\n', 5, "here the number is 1"),
        ("a,b\n\n\n1,2\n3\n", 5, "here the number is 1"),
        ("a,b\n1,2\nx,4\n", 3, "column 'a' holds 'x', which is no number"),
    ],
)
def test_a_bad_row_is_named_by_its_line_or_skipped_and_counted(
    content: str, line: int, what: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=f"data.csv, line {line}: .*{what}.*--skip-bad-rows"):
        read(path, {"a": "numeric"})
    columns, bad = read(path, {"a": "numeric"}, skip=True)
    assert bad.count == 1
    assert bad.examples[0].startswith(f"line {line}: ")
    assert columns["a"] in ([1], [1, 4])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"a": 1}\n{"a": \n', "line 2: not valid JSON"),
        ('{"a": 1}\n[1]\n', "line 2: holds list"),
        ('{"a": 1}\n\n{"a": {"b": 1}}\n', "line 3: column 'a' holds a nested value"),
    ],
)
def test_a_bad_line_of_json_is_named(content: str, what: str, tmp_path: Path) -> None:
    path = write(tmp_path, content, "data.jsonl")
    with pytest.raises(DataError, match=what):
        read(path)
    columns, bad = read(path, skip=True)
    assert (columns, bad.count) == ({"a": [1]}, 1)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\na,b\n", "line 1: holds no column names"),
        ("a.csv", b"1,2\n3,4\n", "line 1: holds numbers where column names belong"),
        ("a.csv", b"a,b,a\n1,2,3\n", "columns 1 and 3 are both called 'a'"),
        ("a.csv", b"a,b\n1,2\nx,caf\xe9\n", "line 3: byte 0xe9 is not UTF-8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
        ("a.csv", b'a,b\n1,"' + b"x" * 200_000 + b"\n", "line 2"),
        ("a.csv", b"a,b\r1,2\r", "carriage returns alone"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16-le"), "NUL bytes, so it is no text"),
        ("a.csv", b"PK\x03\x04...", "is a ZIP archive, as Excel files are"),
        ("a.csv", gzip.compress(b"a\n1\n", mtime=0), "is compressed with gzip; let its name end in .gz"),
        ("a.csv.gz", b"a\n1\n", "cannot be read: Not a gzipped file"),
        ("a.csv.gz", gzip.compress(b"a\n" + b"1\n" * 1_000, mtime=0)[:-9], "ended before the end"),
        ("a.json", b"[]", "JSON is read as .jsonl"),
        ("a.jsonl", b'[{"a": 1}]', "a list of objects becomes such lines"),
        ("a.jsonl", b"\n\n", "no line with a JSON object"),
        ("a.xlsx", b"", "cannot tell its format"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(name: str, content: bytes, what: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=what) as caught:
        read(write(tmp_path, content, name))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        open_reader(tmp_path / "none.csv", BadRows("", False))


def test_text_may_be_compressed_and_progress_is_told_in_bytes_of_the_file(tmp_path: Path) -> None:
    content = b"a,b\n" + b"".join(b"%d,x\n" % i for i in range(50_000))
    path = write(tmp_path, gzip.compress(content), "data.csv.gz")
    steps: list[int] = []
    reader = open_reader(path, BadRows("", skip=False))
    reader.progress = steps.append
    assert sum(len(chunk[0]) for chunk in reader.chunks(("a",), {})) == 50_000
    assert sum(steps) == path.stat().st_size


@pytest.mark.parametrize("broken", ["1,2", "1,2,3,4", "1"])
@pytest.mark.parametrize("text", ["", "x"], ids=["numbers", "with a text"])
def test_a_line_of_another_length_is_named_also_where_the_next_makes_up_for_it(
    broken: str, text: str, tmp_path: Path
) -> None:
    good = f"1,2,3{text}"
    makes_up = ",".join("9" * (6 - len(broken.split(","))))
    path = write(tmp_path, "\n".join(["a,b,c", *[good] * 30, broken, makes_up, *[good] * 30]))
    with pytest.raises(
        DataError, match=rf"line 32: the first line names 3 columns, here the number is {len(broken.split(','))}"
    ):
        read(path)
    columns, bad = read(path, skip=True)
    assert (len(columns["a"]), bad.count) == (60, 2)


def test_a_quote_that_is_never_closed_is_named_and_all_its_lines_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, 'a,b\n1,2\n3,"4\n' + "5,6\n" * 9)
    with pytest.raises(DataError, match=r"data.csv, line 3: a quote opens here and never closes"):
        read(path)
    columns, bad = read(path, skip=True)
    assert (columns, bad.count) == ({"a": [1], "b": [2]}, 11)


def test_a_quote_that_closes_too_late_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, 'a,b\n1,2\n3,"4\n5,6\n7,"x"\n')
    with pytest.raises(DataError, match=r"line 3: not CSV: ',' expected after '\"'"):
        read(path)


def test_a_column_of_fractions_that_becomes_text_half_way_is_one_of_numbers() -> None:
    assert CellCount(numbers=50, texts=50, fractions=40).mixed(whole=True)
    assert CellCount(numbers=50, texts=50).mixed(whole=False)
    assert not CellCount(numbers=50, texts=50).mixed(whole=True)  # codes, such as 17 and A3
    assert CellCount(numbers=95, texts=5).mixed(whole=True)
    assert not CellCount(numbers=5, texts=95, fractions=5).mixed(whole=False)
