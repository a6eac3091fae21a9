"""An engine counts rows into the same bins as we do."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ibis
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans

from monitor.capture.names import UnseenNames
from monitor.columns.column import Column, Schema
from monitor.errors import SourceError
from monitor.source.table import TableCounter
from monitor.warehouse.counting import Counting
from monitor.warehouse.engine import readable, rows_of
from tests.warehouse.postgres import postgres
from tests.warehouse.world import COLUMNS, HARD_ROWS, ROWS, SCHEMA, arrow, assert_same, engine_counts, own_counts


@pytest.fixture(scope="module")
def duck() -> Any:
    connection = ibis.duckdb.connect()
    yield connection
    connection.disconnect()


@settings(max_examples=5)
@given(rows=ROWS, apart=booleans())
def test_duckdb_counts_as_we_do(duck, rows, apart):
    duck.con.register("predictions", arrow(rows))
    with tempfile.TemporaryDirectory() as folder:
        ours, named = own_counts(Path(folder), rows, 1000)
        theirs, found = engine_counts(Path(folder), duck, "predictions", 1000, apart)
    assert_same(theirs, ours)
    assert found == named


#: With what a person may leave at its end.
QUERY = "WITH p AS (SELECT * FROM predictions) SELECT * FROM p -- all\n;"


@pytest.mark.parametrize(
    ("keep", "apart", "query"),
    [(0, False, ""), (3, False, ""), (1000, False, ""), (1000, True, ""), (1000, False, QUERY)],
)
def test_hard_values_in_duckdb(duck, tmp_path, keep, apart, query):
    duck.con.register("predictions", arrow(HARD_ROWS))
    ours, named = own_counts(tmp_path, HARD_ROWS, keep)
    theirs, found = engine_counts(tmp_path, duck, "predictions", keep, apart, query)
    assert_same(theirs, ours)
    assert len(found) == len(named)
    if keep != 3:  # which ones are named, if not all are, depends on the order of the rows
        assert found == named


def test_hard_values_in_postgres(tmp_path):
    kinds = ", ".join(f'"{name}" {kind}' for name, (_, kind, _) in COLUMNS.items())
    with postgres() as url:
        connection = ibis.connect(url)
        with connection.con.cursor() as cursor:
            cursor.execute(f"CREATE TABLE predictions (served_at timestamptz, {kinds})")
            signs = ", ".join(["%s"] * (len(COLUMNS) + 1))
            cursor.executemany(f"INSERT INTO predictions VALUES ({signs})", HARD_ROWS)
            connection.con.commit()
        ours, named = own_counts(tmp_path, HARD_ROWS, 1000)
        for query in ("", QUERY):
            theirs, found = engine_counts(tmp_path, connection, "predictions", 1000, query=query)
            assert_same(theirs, ours)
            assert found == named
        assert_types_of_its_own_are_read(connection)
        assert_decimals_beyond_doubles_are_infinite(connection)
        connection.disconnect()


def assert_types_of_its_own_are_read(connection: Any) -> None:
    with connection.con.cursor() as cursor:
        cursor.execute("CREATE TYPE mood AS ENUM ('happy', 'sad')")
        cursor.execute("CREATE DOMAIN cents AS numeric(9, 2)")
        cursor.execute("CREATE TABLE moods AS SELECT timestamp '2026-01-02 03:00' AS served_at, x::mood AS mood,"
                       " 0.5::cents AS price, point '(1, 2)' AS place"
                       " FROM unnest(ARRAY['happy', 'happy', 'sad', NULL]) AS x")  # fmt: skip
        connection.con.commit()
    mood = Column("mood", "feature", "categorical", categories=("happy", "angry"))
    schema = Schema((mood, Column("price", "feature", "numeric", (0.5,))))
    counter = TableCounter(
        Counting(schema, ["mood", "price"], "served_at", "postgres"), UnseenNames(None, schema, 10), 60
    )
    for rows in (rows_of(connection, "moods"), rows_of(connection, "", "SELECT * FROM moods")):
        rows = readable(connection, rows, ("served_at", "mood", "price"))
        counter.counting.check(rows.schema())
        windows, named = counter.count(connection.to_pyarrow, rows)
        assert [batch.counts.tolist() for batch in windows.values()] == [[2, 0, 1, 1, 4, 0, 0, 0]]
        assert named == {(0, "sad"): 1}


def assert_decimals_beyond_doubles_are_infinite(connection: Any) -> None:
    with connection.con.cursor() as cursor:
        cursor.execute("CREATE TABLE decimals AS SELECT timestamp '2026-01-02 03:00' AS served_at, x::numeric AS price"
                       " FROM unnest(ARRAY['1e400', '-1e400', '0.5', '2', 'NaN', 'Infinity', NULL]) AS x")  # fmt: skip
        connection.con.commit()
    schema = Schema((Column("price", "feature", "numeric", (0.5,)),))
    counter = TableCounter(Counting(schema, ["price"], "served_at", "postgres"), UnseenNames(None, schema, 10), 60)
    windows, _ = counter.count(
        connection.to_pyarrow, readable(connection, rows_of(connection, "decimals"), ("served_at", "price"))
    )
    (batch,) = windows.values()
    assert (batch.counts.tolist(), batch.sums.tolist()) == ([1, 1, 2, 3], [2.5])


def test_a_query_that_is_not_one(duck):
    for query in ("SELECT 1; SELECT 2", "VALUES (1)"):
        with pytest.raises(SourceError, match="`query` is not one SELECT"):
            rows_of(duck, "", query)


def test_another_spelling_is_found_in_however_many_minutes_it_is(duck, monkeypatch):
    """Decimals are no literals of a category: all of them come back to be named."""
    monkeypatch.setattr("monitor.warehouse.counting.LEFTOVERS", 3)
    schema = Schema((Column("price", "feature", "categorical", categories=("1.5", "2")),))
    duck.raw_sql("""CREATE OR REPLACE TABLE minutes AS SELECT TIMESTAMP '2026-01-02 03:00:00' + INTERVAL 1 MINUTE * i
        AS served_at, (1.5 + i % 3 / 2)::DECIMAL(9, 3) AS price FROM range(12) AS t(i)""")
    counter = TableCounter(Counting(schema, ["price"], "served_at", "duckdb"), UnseenNames(None, schema, 10), 60)
    windows, named = counter.count(duck.to_pyarrow, duck.table("minutes"))
    assert [batch.counts.tolist() for batch in windows.values()] == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]] * 4
    assert named == {(0, "2.5"): 4}


def test_columns_may_have_the_names_that_queries_give(duck):
    names = ("telltale_time", "time", "n", "bin", "s0")
    duck.raw_sql("CREATE OR REPLACE TABLE named AS SELECT TIMESTAMP '2026-01-02 03:00:00' AS served_at, "
                 + ", ".join(f'{at}.5 AS "{name}"' for at, name in enumerate(names)))  # fmt: skip
    schema = Schema(tuple(Column(name, "feature", "numeric", (2.0,)) for name in names))
    counter = TableCounter(Counting(schema, names, "served_at", "duckdb"), UnseenNames(None, schema, 10), 60)
    windows, _ = counter.count(duck.to_pyarrow, duck.table("named"))
    (batch,) = windows.values()
    assert batch.sums.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert [part.tolist()[:2] for part in schema.split(batch.counts)] == [[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]


@pytest.mark.parametrize("answered", [1, 2])
def test_rows_that_change_while_they_are_counted_are_not_taken(duck, tmp_path, answered):
    counting = Counting(SCHEMA, list(COLUMNS), "served_at", "duckdb")
    counter, asked = TableCounter(counting, UnseenNames(tmp_path / "names", SCHEMA, 10), 60), []
    duck.con.register("predictions", arrow(HARD_ROWS))

    def run(query):
        asked.append(query)
        if len(asked) > answered:
            duck.con.register("predictions", arrow([*HARD_ROWS, *HARD_ROWS]))
        return duck.to_pyarrow(query)

    with pytest.raises(SourceError, match="changed while they were counted"):
        counter.count(run, duck.table("predictions"))
