"""Columns of every type with values that are hard to count, in DuckDB and in Postgres, and our own counts of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from monitor.capture.encode import Encoder
from monitor.capture.names import UnseenNames
from monitor.columns.batch import Batch, count_unseen, into_windows
from monitor.columns.binning import Binner
from monitor.columns.column import Column, Schema
from monitor.source.table import TableCounter
from monitor.warehouse.counting import Counting
from monitor.warehouse.engine import rows_of

EDGES = (-1e300, -1.5, -0.1, 0.0, 5e-324, 0.1, 0.30000000000000004, 1.2459109472530652, 2.0**53, 1e300)
WORDS = ("", "a", "2", "é", "tab␉bed", "true", "NA", "'; --", "{0}")
LONG = "x" * 300

#: Type in DuckDB, type in Postgres, and column of the reference, by name.
COLUMNS: Mapping[str, tuple[pa.DataType, str, Column]] = {
    "double": (pa.float64(), "double precision", Column("double", "feature", "numeric", EDGES)),
    "single": (pa.float32(), "real", Column("single", "feature", "numeric", EDGES)),
    "whole": (pa.int64(), "bigint", Column("whole", "feature", "numeric", (*EDGES[:-1], 2.0**62))),
    "small": (pa.decimal128(12, 3), "numeric(12, 3)", Column("small", "feature", "numeric", EDGES)),
    "exact": (pa.decimal128(38, 17), "numeric(38, 17)", Column("exact", "feature", "numeric", EDGES)),
    "flag": (pa.bool_(), "boolean", Column("flag", "feature", "numeric", (-0.5, 0.5, 1.5))),
    "none": (pa.float64(), "double precision", Column("none", "feature", "numeric")),
    "word": (pa.string(), "text", Column("word", "feature", "categorical", categories=WORDS)),
    "number": (pa.string(), "text", Column("number", "feature", "categorical", categories=("1", "2", "0.1"))),
    "code": (pa.int32(), "integer", Column("code", "feature", "categorical", categories=("0", "1", "2.0", "07"))),
    "share": (pa.float64(), "double precision", Column("share", "feature", "categorical", categories=("0.1", "2"))),
    "part": (pa.float32(), "real", Column("part", "feature", "categorical", categories=("0.1", "2"))),
    "price": (pa.decimal128(12, 3), "numeric(12, 3)", Column("price", "feature", "categorical", categories=("1.5",))),
    "yes": (pa.bool_(), "boolean", Column("yes", "feature", "categorical", categories=("0", "1"))),
    "day": (pa.date32(), "date", Column("day", "feature", "categorical", categories=("2026-01-02",))),
    "at": (pa.timestamp("us"), "timestamp", Column("at", "feature", "categorical", categories=("2026-01-02",))),
    "name": (pa.string(), "text", Column("name", "feature", "categorical")),
    "score": (pa.float64(), "double precision", Column("score", "prediction", "numeric", EDGES)),
}
SCHEMA = Schema(tuple(column for _, _, column in COLUMNS.values()))

BEGIN = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)

_near = [math.nextafter(edge, way) for edge in EDGES for way in (-math.inf, math.inf)]
NUMBERS = [*EDGES, *_near, -0.0, math.nan, math.inf, -math.inf, 1.7e308, -1.7e308, None]
SINGLES = [None if x is None else float(np.float32(x)) for x in NUMBERS if x is None or not 3e38 < abs(x) < math.inf]
TEXTS = [*WORDS, None, "2.0", "02", "tab\tbed", "__missing__", "__other__", LONG, LONG + "y", "A", "a ", "\x7f\u202e"]

#: Values of each column that are hard to count.
HARD: Mapping[str, list[Any]] = {
    "double": NUMBERS,
    "single": SINGLES,
    "whole": [None, 0, 1, -1, 2**53 + 1, 2**62, 2**62 + 1, -(2**63)],
    "small": [None, *map(Decimal, ("0.1", "-0.100", "1.500", "0", "-1.5", "-1.501", "99999999"))],
    "exact": [None, *(Decimal(repr(edge)) for edge in _near if 1e-10 < abs(edge) < 10), Decimal("0.1")],
    "flag": [None, True, False],
    "none": NUMBERS,
    "word": TEXTS,
    "number": [None, "1", "1.0", "01", "true", "NA", "nan", "1e0", "0.10", "2", "x", "-0"],
    "code": [None, *range(-2, 9)],
    "share": [None, 0.1, 2.0, -0.0, math.nan, math.inf, 0.30000000000000004, 1e22],
    "part": [None, float(np.float32(0.1)), 2.0, math.nan, -math.inf, 0.5],
    "price": [None, *map(Decimal, ("1.500", "2.000", "0.125"))],
    "yes": [None, True, False],
    "day": [None, date(2026, 1, 2), date(2026, 1, 3)],
    "at": [None, datetime(2026, 1, 2), datetime(2026, 1, 2, 3, 0, 0, 500000)],  # noqa: DTZ001  # as a table has them
    "name": TEXTS,
    "score": NUMBERS,
}

#: And any others.
_OTHERS: Mapping[str, st.SearchStrategy[Any]] = {
    "double": st.floats(),
    "single": st.floats(width=32),
    "whole": st.integers(-(2**63), 2**63 - 1),
    "small": st.decimals(-(10**8), 10**8, places=3),
    "exact": st.decimals(-(10**15), 10**15, places=17),
    "word": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
    "at": st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 3)),  # noqa: DTZ001
}

TIMES = st.sampled_from([0.0, 59.5, 59.999999, 60.0, 119.6, 3600.0]).map(lambda s: BEGIN + timedelta(seconds=s))

_values = (st.sampled_from(hard) | _OTHERS.get(name, st.nothing()) for name, hard in HARD.items())
ROWS = st.lists(st.tuples(TIMES, *_values), max_size=40)

#: Each hard value, in two minutes.
HARD_ROWS = [
    (BEGIN + timedelta(seconds=7 * i, microseconds=999_999), *(hard[i % len(hard)] for hard in HARD.values()))
    for i in range(2 * max(map(len, HARD.values())))
]

Row = Sequence[Any]


def arrow(rows: Sequence[Row]) -> pa.Table:
    types = [pa.timestamp("us", "UTC"), *(kind for kind, _, _ in COLUMNS.values())]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(types)
    return pa.table(
        [pa.array(values, kind, from_pandas=False) for values, kind in zip(columns, types, strict=True)],
        names=["served_at", *COLUMNS],
    )


def own_counts(folder: Path, rows: Sequence[Row], keep: int) -> tuple[dict[int, Batch], dict[tuple[int, str], int]]:
    """As the rows would be counted if they came one by one."""
    names = UnseenNames(folder / "own.jsonl", SCHEMA, keep)
    encoder, values = Encoder(SCHEMA, names), np.empty((len(rows), len(COLUMNS)))
    for position, (kind, _, _) in enumerate(COLUMNS.values()):
        column = [row[position + 1] for row in rows]
        if kind == pa.float32():
            column = [None if value is None else np.float32(value) for value in column]
        values[:, position] = encoder.column(position, column)
    times = np.array([round(row[0].timestamp() * 1e6) * 1000 for row in rows], np.int64)
    return into_windows(Binner(SCHEMA), values, times, 60) if rows else {}, count_unseen(values, SCHEMA, names.names)


def engine_counts(
    folder: Path, connection: Any, table: str, keep: int, apart: bool = False, query: str = ""
) -> tuple[dict[int, Batch], dict[tuple[int, str], int]]:
    names = UnseenNames(folder / "theirs.jsonl", SCHEMA, keep)
    rows = rows_of(connection, table, query)
    found = Counting(SCHEMA, list(COLUMNS), "served_at", connection.name, apart=apart)
    found.check(rows.schema())
    part = found.between(rows, BEGIN.timestamp() - 60, BEGIN.timestamp() + 86400)
    return TableCounter(found, names, 60).count(connection.to_pyarrow, part)


def assert_same(theirs: dict[int, Batch], ours: dict[int, Batch]) -> None:
    assert theirs.keys() == ours.keys()
    for start, batch in ours.items():
        assert theirs[start].n == batch.n
        wrong = np.flatnonzero(theirs[start].counts != batch.counts)
        columns = {SCHEMA.columns[at].name for at in np.searchsorted(SCHEMA.offsets, wrong, side="right") - 1}
        assert not columns
        np.testing.assert_allclose(theirs[start].sums, batch.sums, rtol=1e-9, atol=1e-9)
