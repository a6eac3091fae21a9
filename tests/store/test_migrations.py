import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from monitor.errors import StoreError
from monitor.store.audit.chain import cover
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify
from monitor.store.file import migrations
from monitor.store.file.database import connect
from monitor.store.file.migrations import GUARDED, MIGRATIONS, migrate
from tests.store.world import memory

#: Databases of earlier versions, each named by the last change that it has.
OLD = Path(__file__).parent / "old"

NAMES = [migration.name for migration in MIGRATIONS.pending(Database(memory=True))]


def schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return [tuple(row) for row in connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")]


def test_a_second_time_changes_nothing():
    connection = memory()
    before = schema(connection)
    migrate(connection)
    assert schema(connection) == before


@pytest.mark.parametrize("known", range(len(NAMES) + 1))
def test_from_every_earlier_version(known):
    """Each change by itself, with a version of Telltale in between, gives what all at once give."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    MIGRATIONS.apply(
        Database(connection, execute_plugins=False), stop_before=NAMES[known] if known < len(NAMES) else None
    )
    migrate(connection)
    assert schema(connection) == schema(memory())


def test_every_table_is_strict():
    connection = memory()
    tables = connection.execute(
        "SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND schema = 'main' "
        "AND name NOT LIKE '%sqlite_%'"
    ).fetchall()
    assert len(tables) > 15
    assert [row["name"] for row in tables if not row["strict"]] == []
    assert set(GUARDED) - {"_sqlite_migrations"} <= {row["name"] for row in tables}


def test_a_change_that_fails_leaves_nothing_of_itself(monkeypatch):
    broken = Migrations("telltale")

    @broken()
    def half(db: Database) -> None:
        migrations._run(db, "CREATE TABLE begun (id INTEGER) STRICT;\nCREATE TABLE begun (id INTEGER) STRICT;\n")

    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    connection = sqlite3.connect(":memory:", isolation_level=None)
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


def test_rows_from_before_the_chain_are_entered_into_it(tmp_path):
    """A database that has windows and verdicts already, and gets the chain with an update."""

    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        MIGRATIONS.apply(Database(connection, execute_plugins=False), stop_before="tiers_and_chain")
        connection.execute("INSERT INTO models VALUES (1, 'v1', '', '', '', '2023-11-15T00:00:00Z', 0)")
        connection.execute("INSERT INTO windows (model_id, seconds, start, n, sealed) VALUES (1, 60, 0, 0, 1)")
        connection.execute("INSERT INTO gaps VALUES (1, 'dropped', '2023', '2023', 1, 'x')")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection)
        assert not verify(connection).ok
        cover(connection)
        assert verify(connection).ok


def older(name: str, path: Path) -> tuple[list[sqlite3.Row], list[sqlite3.Row]]:
    """Put an earlier version's database at `path`; its histograms, and their bins, as that version showed them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript((OLD / f"{name}.sql").read_text())
        return counts_of(connection)


def counts_of(connection: sqlite3.Connection) -> tuple[list[sqlite3.Row], list[sqlite3.Row]]:
    connection.row_factory = None
    bins = 'start, seconds, model_version, "column", role, bin, label, count, window_id'
    return (
        connection.execute("SELECT window_id, column_id, counts, sum FROM histograms ORDER BY 1, 2").fetchall(),
        connection.execute(f"SELECT {bins} FROM histogram_bins ORDER BY window_id, role, 4, bin").fetchall(),
    )


#: Of each earlier version: how many histograms, verdicts and columns of an open window it has.
HAS = [("reference_changes", 30, 54, 3), ("views_for_auditors", 56, 99, 4)]


@pytest.mark.parametrize(("name", "histograms", "verdicts", "still_open"), HAS)
def test_a_database_of_an_earlier_version_goes_on(name, histograms, verdicts, still_open, tmp_path, caplog):
    """Every count stays, the chain over it holds, every verdict comes out again, and the open window stays open."""
    before = older(name, tmp_path / "old.db")
    assert len(before[0]) == histograms
    caplog.set_level("INFO")
    with closing(connect(tmp_path / "old.db")) as connection:
        (record,) = caplog.records
        assert "brought up to date" in record.message
        assert "packed_counts" in record.message
        assert verify(connection).problems == []
        again = recompute(connection)
        assert (again.verdicts, again.skipped, again.problems) == (verdicts, 0, [])
        assert connection.execute("SELECT count(*) FROM open_counts").fetchone()[0] == still_open
        assert counts_of(connection) == before


def test_counts_of_every_size_are_packed(tmp_path):
    older("views_for_auditors", tmp_path / "old.db")
    with closing(connect(tmp_path / "old.db")) as connection:
        sql = "SELECT substr(counts, 1, 1), count(*) FROM {} GROUP BY 1 ORDER BY 1"
        sealed = connection.execute(sql.format("sealed_counts")).fetchall()
        assert [tuple(row) for row in sealed] == [("1", 40), ("2", 8), ("[", 4)]
        assert [tuple(row) for row in connection.execute(sql.format("open_counts"))] == [("1", 4)]


@pytest.mark.parametrize("change", ["CAST(x'5b312cff5d' AS TEXT)", "'[1, 2]'", "'[0,1'", "'[-1]'", "''", "'[12]'"])
@pytest.mark.parametrize("table", ["sealed_counts", "open_counts"])
def test_what_was_damaged_before_an_update_is_found_after_it(change, table, tmp_path):
    older("views_for_auditors", tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        (row,) = connection.execute(f"SELECT min(id) FROM {table}").fetchone()
        connection.execute(f"UPDATE {table} SET counts = {change} WHERE id = {row}")
    with closing(connect(tmp_path / "old.db")) as connection:
        where = "windows 1" if table == "sealed_counts" else "histograms of window 10, column x0"
        assert [problem.where for problem in verify(connection).problems] == [where]


def test_a_count_of_another_type_does_not_hold_up_an_update(tmp_path):
    """A bit of a row's header makes a text a blob."""
    older("views_for_auditors", tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'STRICT', '') WHERE name = 'sealed_counts'")
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        connection.execute("UPDATE sealed_counts SET counts = CAST(counts AS BLOB), sum = 'x' WHERE id = 200001")
    with closing(connect(tmp_path / "old.db")) as connection:
        assert [problem.where for problem in verify(connection).problems] == ["windows 2"]


def test_a_row_that_took_the_number_of_another_does_not_hold_up_an_update(tmp_path):
    """One bit of a row's number, as SQLite writes it into the file."""
    path = tmp_path / "old.db"
    older("views_for_auditors", path)
    number, other = b"\x8c\x9a\x41", b"\x8c\x9a\x40"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    raw = path.read_bytes()
    assert raw.count(number) == 1
    path.write_bytes(raw.replace(number, other))
    with closing(sqlite3.connect(path)) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM sealed_counts")]
        assert ids[4:8] == [200000, 200000, 200002, 200003]
    with closing(connect(path)) as connection:
        assert "windows 2" in [problem.where for problem in verify(connection).problems]


#: Of each earlier version: a table in the way of what its next change makes late.
LATE = [("reference_changes", "open_counts"), ("views_for_auditors", "window_counts")]


@pytest.mark.parametrize(("name", "late"), LATE)
def test_an_update_that_dies_half_way_leaves_the_earlier_version(name, late, tmp_path):
    before = older(name, tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        connection.execute(f"CREATE TABLE {late} (id INTEGER) STRICT")
        with pytest.raises(sqlite3.OperationalError, match=f"{late} already exists"):
            migrate(connection)
        connection.execute(f"DROP TABLE {late}")
        assert counts_of(connection) == before
        migrate(connection)
        assert counts_of(connection) == before
