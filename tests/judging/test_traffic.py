"""Whether predictions come, live, over the real store: weeks are recorded at once, then hours pass by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config.load import Config
from monitor.errors import ConfigError
from monitor.judging.traffic import Traffic
from monitor.normal.traffic import silence
from monitor.report.overview import headline, rows
from monitor.rules.rule import Rule
from monitor.rules.silence import new_silence
from tests.store.world import DAY, HOUR, MIDNIGHT, Monitored

RULE = """
[drift]
every = "1h"
quiet = [{quiet}]
[window]
base = "1h"
[[rule]]
name = "traffic"
statistic = "traffic"
"""
WEEKS = 6


class Office(Monitored):
    """Thirty predictions an hour from 8 to 20 UTC on each day of six weeks; then time stands at midnight."""

    def __init__(self, folder: Path, quiet: str = "") -> None:
        super().__init__(folder, RULE.format(quiet=quiet), MIDNIGHT + WEEKS * 7 * DAY, columns=1)
        hours = np.arange(WEEKS * 7 * 24)
        times = np.repeat(MIDNIGHT + hours[(hours % 24 >= 8) & (hours % 24 < 20)] * HOUR, 30)
        n = len(times)
        when = (times * 1e9).astype(np.int64)
        self.runtime.only.recorder.record_many([np.zeros(n), ["red"] * n], [np.zeros(n)], when)
        self.runtime.fold()

    def pass_hours(self, hours: int, rows: int = 0) -> list[str]:
        """Let hours pass, and return the states of the verdicts."""
        states = []
        for _ in range(hours):
            if rows:
                self.record(rows)
            self.clock.advance(HOUR)
            self.runtime.evaluate()
            states.append(self.runtime.only.latest.traffic[0].state)
        return states

    def titles(self) -> list[str]:
        with self.read() as connection:
            found = connection.execute(
                "SELECT message ->> 'kind' FROM notifications WHERE receiver = 'log' ORDER BY id"
            )
            return [row[0] for row in found]


@pytest.fixture
def office(tmp_path: Path) -> Any:
    world = Office(tmp_path / "data")
    yield world
    world.close()


def test_a_silence_at_hours_of_traffic_is_told_and_ends_with_the_next_prediction(office: Office) -> None:
    assert office.pass_hours(9) == ["no traffic"] * 9, "the night is as usual, and one hour may be chance"
    assert office.pass_hours(2) == ["drift"] * 2
    (alert,) = office.runtime.only.latest.alerts.values()
    assert (alert.rule, alert.role, alert.state) == ("traffic", "traffic", "firing")
    found = office.runtime.only
    top = headline(rows(found.latest, found.reference), found.latest, 3600.0)
    assert top.text.startswith("No traffic: no predictions since 26 Dec, 20:00 UTC; the same hours of each of")
    shown = office.runtime.metrics()[0].decode().split("\n")
    firing = [line for line in shown if line.startswith("telltale_alert_state") and 'state="firing"' in line]
    assert [line.partition("} ")[2] for line in firing if 'role="traffic"' in line] == ["1.0"]
    office.record(1)
    office.runtime.evaluate()
    (alert,) = office.runtime.only.latest.alerts.values()
    assert alert.state == "resolved"
    assert office.titles() == ["firing", "resolved"]
    labels = {"rule": "traffic", "column": "traffic", "role": "traffic"}
    silenced = new_silence(labels, 1.0, 2.0, "ops", "moving", office.config.rules, ["x0", "colour"])
    assert silenced.matches(alert), "the command of the message and the form of the page are taken"


def test_a_process_that_was_down_tells_only_of_hours_that_it_watched(office: Office, tmp_path: Path) -> None:
    office.clock.advance(10 * HOUR)
    office.runtime.evaluate()
    assert office.runtime.only.latest.traffic[0].state == "no traffic"
    assert office.pass_hours(2) == ["no traffic", "drift"]


def test_a_model_that_is_used_goes_on_without_an_alert(office: Office) -> None:
    office.pass_hours(8)
    assert office.pass_hours(4, rows=1) == ["ok"] * 4
    assert office.titles() == []


def test_quiet_days_and_a_source_that_is_not_known_up_to_now_are_not_silent(tmp_path: Path) -> None:
    world = Office(tmp_path / "data", '"2023-12-27"')
    try:
        assert set(world.pass_hours(20)) == {"no traffic"}
        world.pass_hours(13)
        assert world.runtime.only.latest.traffic[0].state == "no traffic", "the day after is watched from its own night"
        assert world.pass_hours(1) == ["drift"]
        judge, rule = Traffic(world.runtime.only.series, world.config.drift), Rule("traffic", statistic="traffic")
        with world.read() as connection:
            (result,) = judge.judge(connection, rule, world.clock.time(), counted_to=0.0)
            assert result.state == "no traffic"
    finally:
        world.close()


def test_a_silence_is_measured_by_what_the_same_hours_had() -> None:
    week = np.tile([0] * 8 + [30] * 12 + [0] * 4, 7)
    usual = np.tile(week, 6)
    assert silence(np.zeros(5000, np.int64)) is None, "it never had traffic"
    assert silence(np.concatenate((np.tile(week, 3), np.zeros(12, np.int64)))) is None, "three weeks are too few"
    assert silence(np.concatenate((usual, week[:9]))) is None
    empty = np.zeros(11, np.int64)
    assert silence(np.concatenate((usual, empty))) == (3, 90, 0)
    once, twice = usual.copy(), usual.copy()
    once[4 * 168 + 34 : 4 * 168 + 42] = 0
    twice[-16:-6], twice[-40:-30] = 0, 0
    assert silence(np.concatenate((once, empty))) == (3, 90, 0), "one outage does not hide the next"
    assert silence(np.concatenate((twice, empty))) == (3, 90, 10)
    assert silence(np.concatenate((usual, empty)), since=len(usual) + 10) == (1, 30, 0), (
        "the hours before were not watched"
    )


def test_a_job_that_is_late_is_no_silence_until_it_was_missed_twice() -> None:
    job = np.zeros(7 * 7 * 24, np.int64)
    job[3::24] = 1000
    job[-21:] = 0
    told = [silence(np.concatenate((job, np.zeros(more, np.int64)))) for more in (0, 2, 5, 28)]
    assert [one and one.hours for one in told] == [1, 1, 2, 3]


def test_a_rule_on_traffic_takes_no_columns() -> None:
    with pytest.raises(ConfigError, match="means nothing for traffic"):
        Config.from_text('[[rule]]\nname = "t"\nstatistic = "traffic"\ncolumns = ["a"]')
    *_, rule = Config.from_text("").rules
    assert (rule.name, rule.traffic, rule.min_samples, rule.keep_firing) == ("traffic", True, 20, 0.0)
