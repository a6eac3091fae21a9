import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.store.windows.counts import BASE, ONE_MOST, TWO_MOST, pack, unpack
from tests.store.world import memory

EDGES = [
    0,
    1,
    89,
    90,
    91,
    BASE - 1,
    BASE,
    ONE_MOST,
    ONE_MOST + 1,
    BASE**2,
    0xD7FF,
    0xE000,
    TWO_MOST,
    TWO_MOST + 1,
    2**53,
]
COUNT = st.one_of(st.integers(0, 40), st.integers(0, 5000), st.sampled_from(EDGES), st.integers(0, 2**53))
COLUMN = st.lists(COUNT, min_size=1, max_size=40)
COLUMNS = st.lists(COLUMN, min_size=1, max_size=6)


def flat(columns: list[list[int]]) -> list[int]:
    return [count for column in columns for count in column]


def packed(columns: list[list[int]]) -> list[str]:
    return pack(np.array(flat(columns), dtype=np.int64), [len(column) for column in columns])


@given(COLUMNS)
@example([[edge] for edge in EDGES])
@example([[0, 0, 0], [0], [5000, 0, 127], [1, 0]])
def test_what_is_packed_comes_out_again(columns):
    texts = packed(columns)
    assert unpack(texts, [len(column) for column in columns]).tolist() == flat(columns)


@pytest.mark.parametrize(
    ("texts", "sizes"),
    [
        (["1\2\2"], [1]),
        (["1\2\2", "2(0"], [1, 1]),
        (["2(0(0"], [1]),
        (["2(0("], [1]),
        (["[1,2]"], [1]),
        (["1\2"], [1, 1]),
        ([""], [1]),
        (["3\2"], [1]),
        (["1\udc80"], [1]),
    ],
)
def test_texts_that_do_not_fit_are_refused(texts, sizes):
    with pytest.raises(ValueError, match=r"."):
        unpack(texts, sizes)


@given(COLUMNS)
@example([[edge] for edge in EDGES])
@example([[0, 0, 0], [0, 5000, 0, 127, 0], [TWO_MOST + 1, 0]])
def test_sql_reads_what_python_packs(columns):
    """Both views over counts in every form, with zeros for what was left out."""
    connection = memory()
    connection.execute("INSERT INTO series VALUES (1, 'model', 'v1', 'all', '', '', '', '2026', 0, 0)")
    connection.execute("INSERT INTO windows (id, series_id, seconds, start, n, sealed) VALUES (7, 1, 60, 0, 0, 1)")
    for place, (column, text) in enumerate(zip(columns, packed(columns), strict=True)):
        bins = json.dumps([f"b{index}" for index in range(len(column))])
        connection.execute("INSERT INTO columns VALUES (?, 1, ?, 'x', 'feature', 'numeric', ?)", (place, place, bins))
        connection.execute("INSERT INTO sealed_counts VALUES (?, ?, NULL)", (700_000 + place, text))
    arrays = connection.execute("SELECT counts FROM histograms ORDER BY column_id").fetchall()
    assert [row["counts"] for row in arrays] == [json.dumps(column, separators=(",", ":")) for column in columns]
    bins = connection.execute("SELECT bin, label, count FROM histogram_bins").fetchall()
    expected = [(index, f"b{index}", count) for column in columns for index, count in enumerate(column)]
    assert sorted(map(tuple, bins)) == sorted(expected)
    connection.close()
