"""Damage and tampering of every kind, done to a database that the real monitor filled."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from bench.flips import try_flips
from monitor.store.audit.recompute import recompute
from monitor.store.audit.seals import SEALED
from monitor.store.audit.verify import Report, verify
from monitor.store.records.notifications import settle
from monitor.store.windows.retention import Maintenance
from monitor.store.windows.rows import add_gap
from tests.store.world import Monitored


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """Two hours and more, a drift in the last, a window open; two hours are rolled up, of one the minutes are gone."""
    folder = tmp_path_factory.mktemp("verify")
    monitored = Monitored(folder / "data", 'keep_minutes = "1h"')
    monitored.minutes(90)
    monitored.minutes(36, shift=1.0, colour="mauve")
    writer = monitored.runtime.writer
    maintenance = Maintenance(monitored.config.data, monitored.runtime.folder)
    writer.transaction(lambda connection: maintenance.run(connection, monitored.clock.time()))
    writer.transaction(lambda c: add_gap(c, "dropped", "2023-11-15T00:05:00Z", "2023-11-15T00:06:00Z", 12, "full"))

    monitored.minutes(4)
    writer.transaction(lambda c: settle(c, 1, "sent", "", monitored.clock.time()))
    monitored.record()
    monitored.close()
    return monitored.path


@pytest.fixture
def database(original, tmp_path) -> Path:
    return Path(shutil.copyfile(original, tmp_path / "copy.db"))


def check(path: Path) -> Report:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return verify(connection)


def change(path: Path, sql: str, *values: object) -> int:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = 0")
        version = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute(sql, values)  # a view's trigger does not count in `rowcount`
        return connection.total_changes + (connection.execute("PRAGMA schema_version").fetchone() != version)


def test_what_telltale_wrote_is_in_order(database):
    report = check(database)
    assert report.problems == []
    heads = {head.table: head for head in report.heads}
    assert list(heads) == list(SEALED)
    with closing(sqlite3.connect(database)) as connection:

        def count(sql: str) -> int:
            return connection.execute(f"SELECT count(*) FROM {sql}").fetchone()[0]

        for table in SEALED:
            assert heads[table].rows == count(f"{table} WHERE {SEALED[table].where}"), table
        assert heads["windows"].pruned == 60
        assert heads["sealed_counts"].pruned == 240
        assert heads["drift"].pruned > 200
        assert (heads["gaps"].rows, heads["series"].rows, heads["columns"].rows) == (1, 1, 4)


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("UPDATE windows SET n = n + 1 WHERE id = 70", "windows 0 to 1023 (2023-11-15)"),
        ("UPDATE sealed_counts SET counts = replace(counts, '1', '2') WHERE id / 100000 = 75", "sealed_counts 0 to"),
        ("UPDATE sealed_counts SET sum = sum + 1e-9 WHERE id = 7500001", "sealed_counts 0 to 255 (2023-11-15): a row"),
        ("DELETE FROM sealed_counts WHERE id = 7500001", "sealed_counts 0 to"),
        ("INSERT INTO sealed_counts VALUES (7500050, '[0]', NULL)", "sealed_counts 0 to"),
        ("INSERT INTO sealed_counts VALUES (99900000, '[0]', NULL)", "sealed_counts 768 to 1023"),
        ("UPDATE sealed_counts SET id = id + 50 WHERE id = 7500001", "sealed_counts 0 to"),
        # Texts from which the same counts are read: a zero more at the end, and JSON where characters would do.
        ("UPDATE sealed_counts SET counts = counts || char(1) WHERE id = 7500001", "sealed_counts 0 to"),
        ("UPDATE sealed_counts SET counts = CAST(x'31ff02' AS TEXT) WHERE id = 7500001", "sealed_counts 0 to"),
        ("UPDATE open_counts SET counts = CAST(x'31ff' AS TEXT) WHERE id = 13300000", "histograms of window 133, col"),
        ("UPDATE open_counts SET counts = replace(counts, '1', '2')", "histograms of window 133, column "),
        ("DELETE FROM open_counts WHERE id % 100000 = 1", "histograms of window 133, column x1: the counts are not"),
        ("INSERT INTO open_counts SELECT * FROM sealed_counts WHERE id = 7500001", "open_counts of window 75, column"),
        ("INSERT INTO open_counts VALUES (13300050, '[0]', NULL)", "open_counts of window 133, column 50: there is"),
        ("DELETE FROM windows WHERE id = 100", "windows 0 to 1023 (2023-11-15)"),
        ("UPDATE windows SET start = start + 60 WHERE id = 101", "windows 0 to 1023 (2023-11-15)"),
        ("UPDATE windows SET sealed = 0 WHERE id = 101", "windows 0 to 1023 (2023-11-15)"),
        ("UPDATE windows SET sealed = 2 WHERE id = 101", "sealed_counts of window 101: there is no such sealed"),
        ("UPDATE windows SET finest = 0 WHERE id = 101", "windows 101: is marked wrongly"),
        ("UPDATE windows SET finest = 1 WHERE seconds = 3600 AND NOT finest", "windows "),
        ("UPDATE windows SET parent_id = NULL WHERE id = 100", "windows "),
        (
            "INSERT INTO windows (series_id, seconds, start, n, sealed) VALUES (1, 60, 1700006400, 0, 1)",
            "windows 0 to 1023 (2023-11-15)",
        ),
        ("UPDATE drift SET value = 0.01 WHERE id = 900", "drift 0 to 4095 (2023-11-15): a row was changed"),
        ("UPDATE drift SET state = 'error' WHERE id = (SELECT max(id) FROM drift)", "drift 0 to 4095"),
        ("DELETE FROM drift WHERE id = 900", "drift 0 to 4095 (2023-11-15): "),
        (
            'INSERT INTO drift SELECT 5000, at, rule, model, series, "column", role, kind, statistic, value, critical, '
            "floor, p_value, scatter, n, m, 'ok', direction, window_start, window_end, reference, model_version, "
            "reason, question_id, seen FROM drift WHERE id = 900",
            "drift 4096 to 8191 (2023-11-15): 0 rows were written and 1 are there",
        ),
        ("UPDATE alert_events SET at = '2023-11-15T00:00:01Z' WHERE id = 1", "alert_events 0 to 1023 (2023-11-15): "),
        ("DELETE FROM alert_events WHERE id = (SELECT max(id) FROM alert_events)", "alert_events 0 to"),
        (
            'INSERT INTO alert_events SELECT id + 100, at, rule, model, series, "column", role, before, after, '
            "statistic, value, critical, n, severity, event_id, model_version, reason FROM alert_events WHERE id = 1",
            "alert_events 0 to 1023 (2023-11-15): ",
        ),
        ("UPDATE notifications SET message = replace(message, 'warning', 'nothing') WHERE id = 1", "notifications: "),
        ("UPDATE notifications SET message = message || ' ' WHERE state = 'pending'", "notifications: "),
        ("UPDATE notifications SET settled = '2023-11-15T02:00:00Z' WHERE id = 1", "notifications: "),
        ("UPDATE notifications SET state = 'dead' WHERE id = 2", "notifications: "),
        ("DELETE FROM notifications WHERE id = 1", "notifications: "),
        ("UPDATE gaps SET lost = 0", "gaps 0 to 63 (2023-11-15): a row was changed"),
        ("DELETE FROM gaps", "gaps 0 to 63: 1 rows were written and 0 are there"),
        ("UPDATE questions SET asked = replace(asked, 'alpha', 'alphb')", "questions 0 to 63: a row was changed"),
        ("UPDATE series SET reference = reference || '#'", "series 0 to 63: a row was changed"),
        ("UPDATE series SET predictions = predictions - 1", "series 1: the series has"),
        ("UPDATE columns SET name = 'x9' WHERE id = 1", "columns 0 to 1023: a row was changed"),
        ("UPDATE totals SET counts = replace(counts, '1', '3') WHERE column_id = 1", "totals of column x0"),
        ("UPDATE unseen_values SET value = 'green'", "unseen_values: a row was changed"),
        ("UPDATE meta SET value = '0' WHERE key = 'replica'", "meta: a row was changed"),
        ("UPDATE sources SET cursor = '0'", "sources: a row was changed"),
        ("UPDATE alerts SET state = 'inactive'", "alerts: a row was changed"),
        ("UPDATE seals SET sum = x'00' WHERE \"table\" = 'drift'", "drift 0 to 4095 (2023-11-15): a row was changed"),
        ("UPDATE seals SET added = added + 1 WHERE \"table\" = 'drift'", "drift 0 to 4095 (2023-11-15): a row was"),
        ("DELETE FROM seals WHERE \"table\" = 'meta'", "meta: 0 rows were written"),
        ("UPDATE seals SET sum = x'00' WHERE \"table\" = 'gaps'", "gaps 0 to 63 (2023-11-15): a row was changed"),
        ("INSERT INTO seals VALUES ('mine', 0, 0, x'00', 0)", "seals mine: was not written by Telltale"),
        ("DROP VIEW histogram_bins", "schema of histogram_bins: is not there"),
        ("CREATE VIEW mine AS SELECT 1", "schema of mine: is not of Telltale's schema"),
        ("DELETE FROM _sqlite_migrations WHERE name = 'schema'", "_sqlite_migrations: was changed"),
    ],
)  # fmt: skip
def test_names_the_first_bad_row(database, sql, first):
    assert change(database, sql) != 0
    problems = [f"{where}: {what}" for where, what in check(database).problems]
    assert problems
    assert problems[0][: len(first)] == first, problems


@pytest.mark.parametrize("seed", range(2))
def test_bit_flips(original, tmp_path, seed):
    """Of single bits that change a row; `python -m bench.flips` tries more of them."""
    tried = list(try_flips(original, tmp_path, 75, seed))
    outcomes = Counter(outcome for _, outcome, _, _ in tried)
    assert [row for _, outcome, _, row in tried if outcome == "missed" and row] == [], "in no sealed table"
    assert outcomes["missed"] <= 1, "such as the last digits of a running sum"
    assert outcomes["found"] > 20
    assert all(any(line.startswith(row) for line in said) for _, outcome, said, row in tried if outcome == "found")


def test_torn_pages_are_told_and_not_raised(database):
    size = database.stat().st_size
    for offset in range(4096, size, 4096 * 7):
        with database.open("r+b") as file:
            file.seek(offset)
            file.write(b"\xff" * 512)
    report = check(database)
    named = {problem.where.split()[0] for problem in report.problems}
    assert "database" in named
    assert named & set(SEALED)


def test_verdicts_come_out_as_they_are_stored(database):
    with closing(sqlite3.connect(database)) as connection:
        done = recompute(connection)
        (verdicts, noted) = connection.execute("SELECT count(*), count(question_id) FROM drift").fetchone()
    assert done.problems == []
    assert verdicts == noted == done.verdicts + done.skipped
    assert done.verdicts > 200
    assert done.skipped > 0  # the windows of the first hour are gone


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE drift SET value = value * 1.0001 WHERE id = CHOSEN", "value is stored as"),
        ("UPDATE drift SET state = 'ok' WHERE id = CHOSEN AND state = 'drift'", "state is stored as 'ok'"),
        ("UPDATE drift SET n = n + 1 WHERE id = CHOSEN", "n is stored as"),
        ("UPDATE drift SET critical = critical / 2 WHERE id = CHOSEN", "critical is stored as"),
        ("UPDATE drift SET statistic = 'psi' WHERE id = CHOSEN", "no such verdict"),
        ("UPDATE drift SET reference = 'training 000000000000' WHERE id = CHOSEN", "which the store does not have"),
    ],
)
def test_a_verdict_that_does_not_come_out_is_named(database, sql, what):
    with closing(sqlite3.connect(database)) as connection:
        last = "SELECT max(id) FROM drift WHERE state = 'drift' AND statistic = 'ks' AND at < '2023-11-15T02:00'"
        (chosen,) = connection.execute(last).fetchone()
    assert change(database, sql.replace("CHOSEN", str(chosen))) == 1
    with closing(sqlite3.connect(database)) as connection:
        (problem,) = recompute(connection).problems
    assert problem.where == f"drift {chosen}"
    assert what in problem.what


def test_a_late_prediction_does_not_change_what_was_judged_before(tmp_path):
    monitored = Monitored(tmp_path / "data")
    monitored.minutes(35)
    monitored.record(50, shift=3.0, at=monitored.clock.time() - 600)
    monitored.minutes(2)
    with monitored.read() as connection:
        seen = [
            row[0] for row in connection.execute("SELECT n FROM drift WHERE statistic = 'ks' GROUP BY at ORDER BY at")
        ]
        assert seen[-3:] == [600, 650, 650]
        assert recompute(connection).problems == []
    monitored.close()
