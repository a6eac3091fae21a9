import sqlite3
import sys

import pytest

from monitor.errors import StoreError
from monitor.store.audit.seals import SEALED
from monitor.store.file import migrations
from monitor.store.file.migrations import migrate
from tests.store.world import memory
from tests.support.databases import closed_after_test


def schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return [tuple(row) for row in connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")]


def test_a_second_time_changes_nothing_and_loads_no_library(monkeypatch):
    connection = memory()
    before = schema(connection)
    monkeypatch.setitem(sys.modules, "sqlite_utils", None)
    migrate(connection)
    assert schema(connection) == before


def test_every_table_is_strict():
    connection = memory()
    tables = connection.execute(
        "SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND schema = 'main' "
        "AND name NOT LIKE '%sqlite_%'"
    ).fetchall()
    assert len(tables) > 15
    assert [row["name"] for row in tables if not row["strict"]] == []
    names = {row["name"] for row in tables}
    assert names - set(SEALED) == {"open_counts", "totals", "seals"}, "what is in no seal has to add up instead"
    assert set(SEALED) <= names


def test_a_change_that_fails_leaves_nothing_of_itself(monkeypatch):
    half = "CREATE TABLE begun (id INTEGER) STRICT;\nCREATE TABLE begun (id INTEGER) STRICT;\n"
    monkeypatch.setattr(migrations, "CHANGES", {"half": half})
    connection = closed_after_test(sqlite3.connect(":memory:", isolation_level=None))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection)
    assert [name for _, name, _ in schema(connection) if name == "begun"] == []
    assert not connection.in_transaction


def test_a_later_version_is_refused_in_one_line():
    connection = memory()
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
        "VALUES ('telltale', 'from_the_future', '2040-01-01')"
    )
    with pytest.raises(StoreError) as caught:
        migrate(connection)
    assert "later Telltale" in str(caught.value)
    assert "from_the_future" in str(caught.value)
    assert "\n" not in str(caught.value)
