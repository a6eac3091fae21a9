"""Damage and tampering of every kind, done to a database that the real monitor filled."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from bench.flips import try_flips
from monitor.store.audit.chain import STREAMS, cover
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import Report, verify
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
    writer.transaction(
        lambda c: c.execute("UPDATE notifications SET state = 'sent', settled = '2023-11-15T02:07:00Z' WHERE id = 1")
    )
    monitored.record()
    monitored.close()
    return monitored.path


@pytest.fixture
def database(original, tmp_path) -> Path:
    return Path(shutil.copyfile(original, tmp_path / "copy.db"))


def check(path: Path, anchor: str = "") -> Report:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return verify(connection, anchor)


def change(path: Path, sql: str, *values: object) -> int:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = 0")
        version = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute(sql, values)  # a view's trigger does not count in `rowcount`
        return connection.total_changes + (connection.execute("PRAGMA schema_version").fetchone() != version)


def test_what_telltale_wrote_is_in_order(database):
    report = check(database)
    assert report.problems == []
    heads = {head.stream: head for head in report.heads}
    assert list(heads) == list(STREAMS)
    with closing(sqlite3.connect(database)) as connection:

        def count(sql: str) -> int:
            return connection.execute(f"SELECT count(*) FROM {sql}").fetchone()[0]

        assert heads["minutes"].rows == count("windows WHERE seconds = 60 AND sealed")
        assert heads["minutes"].pruned == 60
        assert heads["hours"].rows == count("windows WHERE seconds = 3600") == 2
        assert sum(heads[name].rows for name in ("drift", "drift hours", "drift days")) == count("drift")
        assert heads["alert_events"].rows == count("alert_events") > 0
        assert heads["messages"].rows == count("notifications") == 3
        assert heads["notifications"].rows == 1
        assert (heads["gaps"].rows, heads["series"].rows, heads["columns"].rows) == (1, 1, 4)


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("UPDATE windows SET n = n + 1 WHERE id = 70", "windows 70: was changed"),
        ("UPDATE sealed_counts SET counts = replace(counts, '1', '2') WHERE id / 100000 = 75", "windows 75"),
        ("UPDATE sealed_counts SET sum = sum + 1e-9 WHERE id = 7500001", "windows 75: was changed"),
        ("DELETE FROM sealed_counts WHERE id = 7500001", "windows 75: was changed"),
        ("INSERT INTO sealed_counts VALUES (7500050, '[0]', NULL)", "windows 75: was changed"),
        ("INSERT INTO sealed_counts VALUES (99900000, '[0]', NULL)", "sealed_counts of window 999: there is no such"),
        ("UPDATE sealed_counts SET id = id + 50 WHERE id = 7500001", "windows 75: was changed"),
        # Texts from which the same counts are read: a zero more at the end, and JSON where characters would do.
        ("UPDATE sealed_counts SET counts = counts || char(1) WHERE id = 7500001", "windows 75: was changed"),
        ("UPDATE sealed_counts SET counts = CAST(x'31ff02' AS TEXT) WHERE id = 7500001", "windows 75: was changed"),
        ("UPDATE open_counts SET counts = CAST(x'31ff' AS TEXT) WHERE id = 13300000", "histograms of window 133, col"),
        ("UPDATE open_counts SET counts = replace(counts, '1', '2')", "histograms of window 133, column "),
        ("DELETE FROM open_counts WHERE id % 100000 = 1", "histograms of window 133, column x1: the counts are not"),
        ("INSERT INTO open_counts SELECT * FROM sealed_counts WHERE id = 7500001", "open_counts of window 75, column"),
        ("INSERT INTO open_counts VALUES (13300050, '[0]', NULL)", "open_counts of window 133, column 50: there is"),
        ("DELETE FROM windows WHERE id = 100", "windows 100: is not there any more"),
        ("UPDATE windows SET start = start + 60 WHERE id = 101", "windows 101: was changed"),
        ("UPDATE windows SET sealed = 0 WHERE id = 101", "windows 101: is not marked as sealed"),
        ("UPDATE windows SET finest = 0 WHERE id = 101", "windows 101: is marked wrongly"),
        ("UPDATE windows SET finest = 1 WHERE seconds = 3600 AND NOT finest", "windows "),
        ("UPDATE windows SET parent_id = NULL WHERE id = 100", "windows "),
        ("UPDATE windows SET chain_id = chain_id + 1 WHERE id = 100", "windows 100: was not written by Telltale"),
        (
            "INSERT INTO windows (series_id, seconds, start, n, sealed) VALUES (1, 60, 1700006400, 0, 1)",
            "windows 134: was not written by Telltale",
        ),
        ("UPDATE drift SET value = 0.01 WHERE id = 900", "drift 900: was changed"),
        ("UPDATE drift SET state = 'error' WHERE id = (SELECT max(id) FROM drift)", "drift 1430: was changed"),
        ("DELETE FROM drift WHERE id = 900", "drift 900: is not there any more"),
        (
            'INSERT INTO drift SELECT 5000, at, rule, model, series, "column", role, kind, statistic, value, critical, '
            "floor, p_value, n, m, 'ok', direction, window_start, window_end, reference, model_version, reason, "
            "question_id, seen FROM drift WHERE id = 900",
            "drift 5000: was not written by Telltale",
        ),
        ("UPDATE alert_events SET at = '2023-11-15T00:00:01Z' WHERE id = 1", "alert_events 1: was changed"),
        ("DELETE FROM alert_events WHERE id = (SELECT max(id) FROM alert_events)", "alert_events "),
        (
            'INSERT INTO alert_events SELECT id + 100, at, rule, model, series, "column", role, before, after, '
            "statistic, value, critical, n, severity, event_id, model_version, reason FROM alert_events WHERE id = 1",
            "alert_events 101: was not written by Telltale",
        ),
        ("UPDATE notifications SET message = replace(message, 'warning', 'nothing') WHERE id = 1", "notifications 1"),
        ("UPDATE notifications SET message = message || ' ' WHERE state = 'pending'", "notifications "),
        ("UPDATE notifications SET settled = '2023-11-15T02:00:00Z' WHERE id = 1", "notifications 1: was changed"),
        ("UPDATE notifications SET state = 'dead' WHERE id = 2", "notifications 2: was not written by Telltale"),
        ("DELETE FROM notifications WHERE id = 1", "notifications 1: is not there any more"),
        ("UPDATE gaps SET lost = 0", "gaps 1: was changed"),
        ("DELETE FROM gaps", "gaps 1: is not there any more"),
        ("UPDATE questions SET asked = replace(asked, 'alpha', 'alphb')", "questions 1: was changed"),
        ("UPDATE series SET reference = reference || '#'", "series 1: was changed"),
        ("UPDATE series SET predictions = predictions - 1", "series 1: the series has"),
        ("UPDATE columns SET name = 'x9' WHERE id = 1", "columns 1: was changed"),
        ("UPDATE totals SET counts = replace(counts, '1', '3') WHERE column_id = 1", "totals of column x0"),
        ("UPDATE unseen_values SET value = 'green'", "unseen_values 3 'green': was changed"),
        ("UPDATE meta SET value = '0' WHERE key = 'applied_seq'", "meta: was changed by somebody else"),
        ("UPDATE alerts SET state = 'inactive'", "alerts: was changed by somebody else"),
        ("UPDATE guards SET changed = 0, digest = x'00' WHERE name = 'alerts'", "alerts: was changed by somebody else"),
        ("DELETE FROM guards WHERE name = 'alerts'", "alerts: was changed by somebody else"),
        ("UPDATE chain SET link = x'00' WHERE stream = 'minutes' AND first = 100", "windows 100: was changed"),
        ("DELETE FROM chain WHERE stream = 'minutes' AND first = 100", "windows 101: was changed"),
        ("UPDATE chain_roots SET rows = rows + 1 WHERE stream = 'minutes'", "chain_roots: was changed by somebody"),
        ("DELETE FROM chain_roots WHERE stream = 'minutes'", "windows "),
        ("DROP VIEW histogram_bins", "schema of histogram_bins: is not there"),
        ("CREATE VIEW mine AS SELECT 1", "schema of mine: is not of Telltale's schema"),
        ("DROP TRIGGER alerts_UPDATE", "schema of alerts_UPDATE: is not there"),
        ("UPDATE _sqlite_migrations SET applied_at = '2023'", "_sqlite_migrations: was changed by somebody else"),
        ("DELETE FROM _sqlite_migrations WHERE name = 'schema'", "_sqlite_migrations: was changed"),
    ],
)  # fmt: skip
def test_names_the_first_bad_row(database, sql, first):
    assert change(database, sql) != 0
    problems = [f"{where}: {what}" for where, what in check(database).problems]
    assert problems
    assert problems[0][: len(first)] == first, problems


def test_an_anchor_kept_outside_notices_a_past_that_was_written_anew(database):
    """Whoever can write can also build a new chain; what was written down before that gives it away."""
    anchor = check(database).anchor
    assert check(database, anchor).ok
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE alert_events SET reason = 'nothing happened'")
        connection.execute("DELETE FROM chain WHERE stream = 'alert_events'")
        cover(connection)
    assert check(database).ok
    problem, *_ = check(database, anchor).problems
    assert "alert_events" in problem.what
    assert not check(database, "gaps:1").ok


def test_a_shortened_chain_is_noticed(database):
    """The newest hours taken away, rows and entries alike."""
    change(database, "DELETE FROM sealed_counts WHERE id / 100000 > 125")
    change(database, "DELETE FROM windows WHERE id > 125")
    change(database, "DELETE FROM chain WHERE stream = 'minutes' AND first > 125")
    assert any(problem.where == "series 1" for problem in check(database).problems)


@pytest.mark.parametrize("seed", range(2))
def test_bit_flips(original, tmp_path, seed):
    """Of single bits that change a row; `python -m bench.flips` tries more of them."""
    outcomes = Counter(outcome for _, outcome, _, _ in try_flips(original, tmp_path, 75, seed))
    assert outcomes["missed"] == 0
    assert outcomes["found"] > 20


def test_torn_pages_are_told_and_not_raised(database):
    size = database.stat().st_size
    for offset in range(4096, size, 4096 * 7):
        with database.open("r+b") as file:
            file.seek(offset)
            file.write(b"\xff" * 512)
    report = check(database)
    assert {"database", "windows"} <= {problem.where.split()[0] for problem in report.problems}


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
        ("UPDATE drift SET value = value * 1.0001 WHERE id = 1030", "value is stored as"),
        ("UPDATE drift SET state = 'ok' WHERE id = 1030 AND state = 'drift'", "state is stored as 'ok'"),
        ("UPDATE drift SET n = n + 1 WHERE id = 1030", "n is stored as"),
        ("UPDATE drift SET critical = critical / 2 WHERE id = 1030", "critical is stored as"),
        ("UPDATE drift SET statistic = 'psi' WHERE id = 1030", "no such verdict"),
        ("UPDATE drift SET reference = 'training 000000000000' WHERE id = 1030", "which the store does not have"),
    ],
)
def test_a_verdict_that_does_not_come_out_is_named(database, sql, what):
    assert change(database, sql) == 1
    with closing(sqlite3.connect(database)) as connection:
        (problem,) = recompute(connection).problems
    assert problem.where == "drift 1030"
    assert what in problem.what


def test_a_late_prediction_does_not_change_what_was_judged_before(tmp_path):
    monitored = Monitored(tmp_path / "data")
    monitored.minutes(35)
    monitored.record(50, shift=3.0, at=monitored.clock.time() - 600)
    monitored.minutes(2)
    with closing(monitored.read()) as connection:
        seen = [
            row[0] for row in connection.execute("SELECT n FROM drift WHERE statistic = 'ks' GROUP BY at ORDER BY at")
        ]
        assert seen[-3:] == [600, 650, 650]
        assert recompute(connection).problems == []
    monitored.close()
