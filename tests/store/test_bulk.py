"""Many rows in one statement: all of them arrive, whatever their number, and few statements do it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from monitor.store.windows.counts import VALUES, write_rows


@pytest.mark.parametrize("count", [0, 1, VALUES // 3, VALUES // 3 + 1, 2000])
def test_all_rows_arrive_in_few_statements(count):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c REAL)")
        statements = []
        connection.set_trace_callback(statements.append)
        rows = [(number, f"'{number}", number / 7 if number % 2 else None) for number in range(count)]
        write_rows(connection, "INSERT INTO t (a, b, c)", iter(rows))
        connection.set_trace_callback(None)
        assert connection.execute("SELECT * FROM t ORDER BY a").fetchall() == rows
        assert sum(text.startswith("INSERT") for text in statements) == -(-count // (VALUES // 3))
