"""Ages, the cap, and what pruning must not do to the record."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from monitor.config.load import Config
from monitor.store.audit import seals
from monitor.store.audit.verify import verify
from monitor.store.records import usual
from monitor.store.windows.ranges import sum_range
from monitor.store.windows.retention import (
    PACE,
    Ages,
    Maintenance,
    database_bytes,
    drop_by_age,
    thin,
    trusted_time,
    wal_room,
)
from monitor.store.windows.rows import add_gap
from monitor.store.windows.tiers import roll_up
from tests.store.world import DAY, HOUR, MIDNIGHT, Filled, Monitored

AGES = Ages(2 * HOUR, 2 * DAY, 5 * DAY)


def let_pass(filled: Filled, start: float, end: float, step: float = HOUR) -> None:
    """Maintenance by age once a step."""
    now = start
    while now <= end:
        filled.windows.seal(filled.connection, now)
        while roll_up(filled.connection, now):
            pass
        drop_by_age(filled.connection, AGES, now, now)
        now += step


def tiers(filled: Filled) -> dict[int, int]:
    return dict(filled.rows("SELECT seconds, sum(n) FROM windows WHERE finest GROUP BY seconds ORDER BY seconds"))


def test_each_age_drops_what_a_longer_window_has():
    filled = Filled(900)
    for quarter in range(4 * 24 * 8):
        filled.add(MIDNIGHT + 900 * quarter, 1)
    end = MIDNIGHT + 8 * DAY
    let_pass(filled, end, end)
    for _ in range(20):  # each call does a part
        let_pass(filled, end, end)
    found = tiers(filled)
    assert found[900] == 4 * 2
    # Whole days of hours: a day keeps its hours until the day is over by that age.
    assert found[HOUR] == 96 * 2 - 8
    assert found[DAY] == 96 * 3
    assert not verify(filled.connection).problems
    whole = sum_range(filled.connection, filled.model, MIDNIGHT, end)
    assert whole.n == 96 * 5
    assert filled.rows("SELECT pruned FROM series") == [(96 * 3,)]


def test_ages_never_drop_a_shorter_window_after_a_longer_one():
    data = Config.from_text('[data]\nkeep_minutes = "9d"\nkeep_hours = "3d"\nkeep = "2d"').data
    assert Ages.of(data) == Ages(2 * DAY, 2 * DAY, 2 * DAY)


def test_a_clock_that_jumps_ten_years_for_an_hour_loses_nothing(tmp_path):
    filled = Filled(900)
    for quarter in range(8):
        filled.add(MIDNIGHT + 900 * quarter, 1)
    now = MIDNIGHT + 3 * HOUR
    trusted_time(filled.connection, now)
    for minute in range(60):
        ahead = now + 3650 * DAY + 60 * minute
        trusted = trusted_time(filled.connection, ahead)
        drop_by_age(filled.connection, Ages(7 * DAY, 90 * DAY, 1000 * DAY), trusted, ahead)
    assert tiers(filled) == {900: 8}
    assert trusted - now == 60 * PACE
    # And back: time does not stand still until it has caught up.
    assert trusted_time(filled.connection, now + HOUR) == now + HOUR


def test_windows_of_a_wrong_clock_do_not_stay_for_ten_years():
    filled = Filled(900)
    filled.add(MIDNIGHT, 3)
    filled.add(MIDNIGHT + 3650 * DAY, 5)
    filled.add(MIDNIGHT + 900, 7)

    roll_up(filled.connection, MIDNIGHT + HOUR)
    drop_by_age(filled.connection, AGES, MIDNIGHT + HOUR, MIDNIGHT + HOUR)
    assert tiers(filled) == {900: 10, DAY: 5}
    assert not verify(filled.connection).problems


def test_verdicts_are_thinned_to_the_strongest_and_what_alerts_rest_on(tmp_path):
    monitored = Monitored(tmp_path / "data", 'segment = "4MiB"')
    monitored.minutes(32)
    monitored.minutes(28, shift=1.2, colour="mauve")
    monitored.minutes(10, shift=1.2)
    with monitored.read() as connection:
        before = connection.execute("SELECT * FROM drift WHERE at < '2023-11-15T01:00:00Z'").fetchall()
        events = connection.execute("SELECT * FROM alert_events").fetchall()
        messages = connection.execute('SELECT at, "group" AS rule FROM notifications').fetchall()
    assert events
    assert messages
    assert monitored.runtime.writer.transaction(lambda c: thin(c, HOUR))
    with monitored.read() as connection:
        assert not verify(connection).problems
        after = connection.execute("SELECT * FROM drift WHERE at < '2023-11-15T01:00:00Z' ORDER BY id").fetchall()
    monitored.close()
    ids = {row[0] for row in after}
    assert len(after) < len(before) / 4
    for event in events:
        rests_on = [
            r for r in before if (r["at"], r["rule"], r["column"]) == (event["at"], event["rule"], event["column"])
        ]
        assert {r["id"] for r in rests_on} <= ids
    for message in messages:
        assert {r["id"] for r in before if r["at"] == message["at"] and r["state"] == "drift"} <= ids
    for column in ("x0", "x1", "colour", "prediction"):
        values = [r["value"] or 0 for r in before if r["column"] == column and r["statistic"] in ("ks", "kl")]
        assert max(values) in [
            r["value"] or 0 for r in after if r["column"] == column and r["statistic"] in ("ks", "kl")
        ]


def test_a_tampered_verdict_stops_no_thinning(tmp_path):
    monitored = Monitored(tmp_path / "data")
    monitored.minutes(64)
    writer = monitored.runtime.writer
    writer.transaction(lambda c: c.execute("DELETE FROM drift WHERE id = 1"))
    for _ in range(3):
        writer.transaction(lambda c: thin(c, HOUR))
    with monitored.read() as connection:
        assert connection.execute("SELECT count(*) FROM drift WHERE at < '2023-11-15T01:00:00Z'").fetchone()[0] < 20
        assert [problem.where.split()[0] for problem in verify(connection).problems] == ["drift"]
    monitored.close()


def test_events_messages_and_gaps_go_at_the_last_age():
    filled = Filled(900)
    connection = filled.connection
    for day in range(7):
        at = f"2023-11-{15 + day}T12:00:00Z"
        add_gap(connection, "dropped", at, at, day, "no room")
        connection.execute(
            'INSERT INTO notifications (at, receiver, "group", sequence, kind, severity, event_id, model_version, '
            "message, state, attempts, settled) "
            "VALUES (?, 'team', 'drift', ?, 'firing', 'warning', 'e', 'v1', '{}', ?, 1, ?)",
            (at, day, "sent" if day else "dead", at),
        )
        seals.add(connection, "notifications", "sequence = ?", day)
        usual.save(connection, 1, [usual.LearnedRow(0, 6, MIDNIGHT + day * DAY, 0, np.zeros(1))], [])
        filled.add(MIDNIGHT + day * DAY, 1)
        drop_by_age(connection, AGES, MIDNIGHT + 8 * DAY, MIDNIGHT + 8 * DAY)
    assert filled.rows("SELECT lost FROM gaps") == [(3,), (4,), (5,), (6,)]
    assert filled.rows("SELECT sequence FROM notifications") == [(3,), (4,), (5,), (6,)]
    assert filled.rows("SELECT min(day), count(*) FROM usual_learned") == [("2023-11-18T00:00:00Z", 4)]
    assert not verify(connection).problems
    drop_by_age(connection, AGES, MIDNIGHT + 99 * DAY, MIDNIGHT + 99 * DAY)
    assert filled.rows("SELECT lost FROM gaps") == filled.rows("SELECT sequence FROM notifications") == []
    assert not verify(connection).problems


CAP = 10_000_000


class Lives:
    """One data folder through many runs of the server; `largest` is the most that it ever took."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.largest, self.now, self.recorded = folder, 0, MIDNIGHT, 0

    def live(self, days: int, version: str) -> None:
        """Traffic, verdicts, a drifting day a week and late predictions, for some days."""
        settings = f'max_size = "{CAP}B"\nsegment = "64KiB"\nkeep_minutes = "60d"\nkeep_hours = "70d"\nkeep = "80d"'
        settings += '\n[window]\nbase = "10m"\n[drift]\nevery = "30m"\nwindow = "1h"'
        monitored = Monitored(self.folder, settings, self.now, columns=14, version=version)
        writer, maintenance = monitored.runtime.writer, monitored.runtime.maintenance
        checkpoint = writer.checkpoint
        writer.checkpoint = lambda: (self.measure(), checkpoint(), self.measure())
        for half_hour in range(days * 48):
            monitored.record(6, shift=1.5 * (half_hour // 48 % 7 == 3))
            if half_hour % 100 == 50:
                monitored.record(2, at=monitored.clock.time() - 5 * HOUR)
            monitored.clock.advance(1800)
            if half_hour % 24 == 23:
                monitored.runtime.evaluate()
                for _ in range(5):  # as often as an hour's age may pass
                    maintenance.work_off(writer, monitored.clock.time())
        monitored.runtime.evaluate()
        self.now, self.recorded = monitored.clock.time(), self.recorded + monitored.recorded
        monitored.close()

    def measure(self) -> None:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        self.largest = max(self.largest, sum(path.stat().st_blocks * 512 for path in files))

    @property
    def aside(self) -> list[Path]:
        return list(self.folder.glob("*.damaged-*"))


def test_ninety_days_under_a_hard_cap(tmp_path):
    """Four models, and a database that is damaged on the way; nothing that the folder holds exceeds the cap."""
    lives = Lives(tmp_path / "data")
    lives.live(15, "v1")
    lives.live(15, "v2")
    with (lives.folder / "telltale.db").open("r+b") as file:
        file.write(bytes(100))
    lives.recorded = 0
    lives.live(15, "v3")
    assert [path.stat().st_size > CAP / 4 for path in lives.aside] == [True]
    lives.live(45, "v4")
    assert lives.aside == []
    assert CAP * 3 / 4 < lives.largest <= CAP
    with closing(sqlite3.connect(lives.folder / "telltale.db")) as connection:
        assert not verify(connection).problems
        rows = dict(connection.execute("SELECT seconds, count(*) FROM windows GROUP BY seconds").fetchall())
        assert set(rows) == {600, HOUR, DAY}
        (counted,) = connection.execute("SELECT sum(n) FROM windows WHERE finest").fetchone()
        (pruned,) = connection.execute("SELECT sum(pruned) FROM series").fetchone()
        assert counted + pruned == lives.recorded
        (oldest,) = connection.execute("SELECT min(start) FROM windows WHERE seconds = 600").fetchone()
        assert oldest > MIDNIGHT + 31 * DAY  # the cap was nearer than the age
        first, last = connection.execute("SELECT min(at), max(at) FROM drift").fetchone()
        assert first < "2024-01-01"
        assert last > "2024-02-12"


def test_a_model_goes_when_nothing_in_the_record_is_of_it(tmp_path):
    """A new version each day, for years to come: what the first ones were goes with what they predicted."""
    settings = 'keep_minutes = "1d"\nkeep_hours = "2d"\nkeep = "3d"'
    now, alive = MIDNIGHT, []
    for day in range(8):
        monitored = Monitored(tmp_path / "data", settings, now, version=f"v{day}")
        monitored.minutes(3, colour="mauve")
        while monitored.clock.time() < MIDNIGHT + (day + 1) * DAY:
            monitored.clock.advance(HOUR)
            monitored.runtime.evaluate()
        now = monitored.clock.time()
        monitored.close()
        with closing(sqlite3.connect(monitored.path)) as connection:
            assert verify(connection).problems == []
            alive.append([row[0] for row in connection.execute("SELECT version FROM series ORDER BY id")])
            models = "SELECT DISTINCT series_id FROM"
            for table in ("columns", "questions"):
                assert len(connection.execute(f"{models} {table}").fetchall()) == len(alive[-1])
            columns = "(SELECT id FROM columns)"
            for table in ("totals", "unseen_values"):
                sql = f"SELECT count(*) FROM {table} WHERE column_id NOT IN {columns}"
                assert connection.execute(sql).fetchone() == (0,)
    assert alive[2] == ["v0", "v1", "v2"]
    assert alive[7][-1] == "v7"
    assert 3 <= len(alive[7]) <= 5
    monitored = Monitored(tmp_path / "data", settings, now, version="v0")  # an old one, served again
    monitored.minutes(2)
    with monitored.read() as connection:
        assert connection.execute("SELECT predictions FROM series WHERE version = 'v0'").fetchall()[0][0] == 40
    monitored.close()


def test_the_model_that_is_served_stays_however_long_nobody_asks_it(tmp_path):
    settings = 'keep_minutes = "1d"\nkeep_hours = "2d"\nkeep = "3d"'
    for version in ("v1", "v2"):
        Monitored(tmp_path / "data", settings, version=version).close()
    monitored = Monitored(tmp_path / "data", settings, version="v1")
    for _ in range(5 * 24):
        monitored.clock.advance(HOUR)
        monitored.runtime.maintenance.run(monitored.runtime.writer._connection, monitored.clock.time())
    monitored.minutes(2)
    with monitored.read() as connection:
        assert connection.execute("SELECT version, predictions FROM series").fetchall()[0]["predictions"] == 40
        assert verify(connection).problems == []
    monitored.close()


def test_a_small_cap_sheds_the_oldest_first_and_the_file_shrinks(tmp_path):
    monitored = Monitored(tmp_path / "data", 'segment = "64KiB"', columns=40)
    for _ in range(8):
        monitored.minutes(15, rows=5)
        monitored.clock.advance(45 * 60)
    writer = monitored.runtime.writer
    with monitored.read() as connection:
        before = database_bytes(connection)
    cap = (monitored.runtime.folder.bytes_beside_database() + before * 6 // 10) * 8 // 7
    data = dataclasses.replace(monitored.config.data, max_size=cap)
    maintenance = Maintenance(data, monitored.runtime.folder)
    for _ in range(5):
        maintenance.work_off(writer, monitored.clock.time())
    with monitored.read() as connection:
        assert monitored.path.stat().st_size <= maintenance.room() < before
        assert not verify(connection).problems
        kept = connection.execute("SELECT min(start), max(start) FROM windows WHERE seconds = 60").fetchone()
        assert kept[0] > MIDNIGHT
        assert kept[1] >= MIDNIGHT + 7 * HOUR
        (counted,) = connection.execute("SELECT sum(n) FROM windows WHERE finest").fetchone()
        assert counted == monitored.recorded
    monitored.close()


def test_a_cap_that_is_too_small_is_said_once(tmp_path, caplog):
    monitored = Monitored(tmp_path / "data", columns=1)
    monitored.minutes(3)
    maintenance = Maintenance(dataclasses.replace(monitored.config.data, max_size=1), monitored.runtime.folder)
    for _ in range(3):
        monitored.runtime.writer.transaction(lambda c: maintenance.run(c, monitored.clock.time()))
    monitored.close()
    assert sum("max_size is too small" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(("cap", "expected"), [(16_000_000, 2_000_000), (2_000_000_000, 64 << 20)])
def test_room_for_the_wal(cap, expected):
    assert wal_room(cap) == expected
