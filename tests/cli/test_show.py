"""`status`, `drift`, `alerts` and `silence` over a database that the real runtime filled."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from monitor.__main__ import main
from monitor.announcer import page_address
from monitor.clock import from_iso, iso
from monitor.config.load import Config
from monitor.drift.result import predictions_moved
from tests.store.world import MINUTE, Monitored

RULES = """
[[rule]]
name = "fast"
window = "5m"
severity = "warning"
[[rule]]
name = "slow"
window = "10m"
severity = "critical"
"""


class Shown:
    """A data folder, the settings that made it, and what commands say about it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.config = folder / "config.toml"
        self.config.write_text(f'[data]\npath = "{folder / "data"}"\n{RULES}')

    def world(self, version: str = "v1", **options: Any) -> Monitored:
        return Monitored(self.folder / "data", RULES, version=version, **options)

    def __call__(self, *command: str, code: int = 0) -> str:
        self._capsys.readouterr()
        assert main([command[0], "--config", str(self.config), *command[1:]]) == code
        said = self._capsys.readouterr()
        return said.err if code else said.out


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shown:
    return Shown(tmp_path, capsys)


def lines_under(text: str, title: str) -> list[list[str]]:
    """Cells of the table under a heading, without its own head."""
    block = text.split(f"\n{title}\n", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in block.splitlines()[1:]]


def test_columns_are_counted_once_whatever_the_number_of_rules(shown: Shown) -> None:
    world = shown.world()
    world.minutes(12, rows=40, shift=2.0)
    world.close()
    text = shown("drift")
    head, count, _, titles, *rows = text.splitlines()
    assert head.startswith("Model v1, evaluated ")
    assert count == "Predictions have not moved. 2 of 4 columns have drifted: x0, x1"
    assert titles.split()[:2] == ["rule", "column"]
    assert {tuple(row.split()[:2]) for row in rows} == {
        (rule, column) for rule in ("fast", "slow") for column in ("x0", "x1", "colour", "prediction")
    }
    facts = json.loads(shown("status", "--json"))
    assert (facts["columns"], sorted(facts["drifted"])) == (4, ["x0", "x1"])


def test_commands_say_of_the_predictions_what_the_page_says(shown: Shown) -> None:
    """A move that is none by its threshold is not stored in words; it is said from the counts."""
    world = shown.world()
    for _ in range(12):
        colours = world.random.choice(["red", "green", "blue"], 40).tolist()
        values: list[object] = [*(world.random.normal(size=40) for _ in range(world.columns)), colours]
        world.runtime.only.recorder.record_many(values, [world.random.normal(0.15, 1.0, 40)])
        world.clock.advance(MINUTE)
        world.runtime.evaluate()
    said = predictions_moved(world.runtime.only.latest.results)
    world.close()
    assert said.startswith("predictions may have moved: mean ")
    for command in ("status", "drift", "alerts"):
        assert f"{said[:1].upper()}{said[1:]}. " in shown(command)
    assert json.loads(shown("status", "--json"))["predictions_moved"] == said


def test_a_silence_that_fits_nothing_is_refused_with_what_was_meant(shown: Shown) -> None:
    world = shown.world()
    world.minutes(1)
    world.close()
    for given, meant in (
        ("column=coluor", "no column matches 'coluor'; did you mean 'colour'?"),
        ("column=x[7-9]", "no column matches 'x[7-9]'; known are: x0, x1, colour, prediction"),
        ("rule=fsat", "no rule matches 'fsat'; did you mean 'fast'?"),
        ("role=features", "did you mean 'feature'?"),
        ("severity=high", "no severity matches 'high'; known are: critical, warning, info"),
        ("colum=x0", "no alert has a label 'colum'; did you mean 'column'?"),
    ):
        assert meant in shown("silence", given, code=1)
    assert "no silence is in force" in shown("silence")


def test_a_silenced_alert_is_not_counted_as_firing_and_comes_last(shown: Shown) -> None:
    world = shown.world()
    world.minutes(12, rows=40, shift=2.0)
    world.close()
    facts = json.loads(shown("status", "--json"))
    assert (facts["silenced_alerts"], facts["inhibited_alerts"]) == (0, 2), "the less severe twins"
    shown("silence", "rule=slow", "column=x0", "--for", "4h", "--reason", "known", "--author", "ann")
    facts = json.loads(shown("status", "--json"))
    assert (facts["silenced_alerts"], facts["inhibited_alerts"]) == (1, 2)
    assert facts["firing_alerts"].count("slow") == 1
    text = shown("alerts")
    alerts = lines_under(text, "Alerts")
    assert [row[:3] for row in alerts] == [
        ["firing", "critical", "x1"],
        ["silenced", "critical", "x0"],
        ["inhibited", "warning", "x0"],
        ["inhibited", "warning", "x1"],
    ]
    assert "by ann" in alerts[1][-1]
    data = json.loads(shown("alerts", "--json"))
    assert [(one["state"], one["column"], one["since"][:4]) for one in data["alerts"][:2]] == [
        *(("firing", "x1", "2023"), ("firing", "x0", "2023"))
    ]
    (muted,) = data["silences"]
    assert (muted["matchers"], muted["author"]) == ({"rule": "slow", "column": "x0"}, "ann")
    assert from_iso(muted["end"]) - from_iso(muted["start"]) == 4 * 3600
    assert lines_under(text, "Silences")[0][1] == "column=x0 rule=slow"
    assert "{" not in text + shown("silence")


def test_a_new_model_version_ends_the_alerts_of_the_old_one_which_are_found_by_their_period(shown: Shown) -> None:
    world = shown.world()
    world.minutes(12, rows=40, shift=2.0)
    assert {alert.state for alert in world.runtime.only.latest.alerts.values() if alert.column == "x0"} == {"firing"}
    now = world.clock.time()
    world.close()
    again = shown.world("v2", start=now + MINUTE)
    assert not again.runtime.only.latest.alerts, "nothing is shown of the old one before the first evaluation either"
    again.minutes(1, rows=60)
    with again.read() as connection:
        ended = connection.execute(
            "SELECT DISTINCT before, after, model_version, reason FROM alert_events WHERE at > ?",
            ("2023-11-15T00:12:30Z",),
        )
        assert [tuple(row) for row in ended] == [("firing", "resolved", "v1", "model version v1 was replaced by v2")]
    assert not [alert for alert in again.runtime.only.latest.alerts.values() if alert.state != "inactive"]
    again.close()

    facts = json.loads(shown("status", "--json"))
    assert (facts["model_version"], facts["columns"], facts["drifted"], facts["firing_alerts"]) == ("v2", 4, [], "none")
    assert "v1" not in shown("alerts").split("\nNotifications")[0]
    day, early = ("--from", "2023-11-15", "--to", "2023-11-16"), ("--from", "2023-11-14", "--to", "2023-11-15T00:02Z")
    text, found = shown("alerts", *day), json.loads(shown("alerts", *day, "--json"))
    assert not text.startswith("\nAlerts"), "the period is over"
    listed = lines_under(text, "Fired, 15 Nov 2023, 00:00 to 16 Nov 2023, 00:00 UTC")
    fired = {(one["rule"], one["column"]): one for one in found["fired"]}
    assert {(row[5], row[4]) for row in listed} == set(fired)
    assert len(fired) == 4
    one = fired["fast", "x0"]
    assert [one["began"][:16], "12 minutes", "ended", "warning"] in [row[:4] for row in listed]
    assert (one["state"], one["ended_because"]) == ("resolved", "model version v1 was replaced by v2")
    assert one["direction"].startswith("mean was ")
    assert json.loads(shown("alerts", "--around", one["event_id"], "--json"))["fired"] == found["fired"]
    assert found["fired"] == json.loads(shown("alerts", *day, "--model-version", "v1", "--json"))["fired"]
    assert not json.loads(shown("alerts", *day, "--model-version", "v2", "--json"))["fired"]
    before = json.loads(shown("alerts", *early, "--json"))
    assert (before["fired"], before["events"], before["start"]) == ([], [], "2023-11-14T00:00:00Z")
    assert "no alert has the event id 'none'" in shown("alerts", "--around", "none", code=3)
    assert "Model v1" in shown("drift", "--model-version", "v1")
    assert "the last ones are: v2, v1" in shown("status", "--model-version", "v3", code=1)


def test_going_back_to_a_former_version_shows_that_one(shown: Shown) -> None:
    now = 0.0
    for version in ("v1", "v2", "v1"):
        world = shown.world(version, **({"start": now + MINUTE} if now else {}))
        world.minutes(6, rows=40, shift=2.0 if version == "v1" else 0.0)
        now = world.clock.time()
        world.close()
    facts = json.loads(shown("status", "--json"))
    assert (facts["model_version"], facts["drifted"]) == ("v1", ["x0", "x1"])


@pytest.mark.parametrize("command", [("windows",), ("locate", "x0"), ("backtest",), ("report", "--format", "json")])
def test_every_command_takes_times_as_how_long_ago(shown: Shown, command: tuple[str, ...]) -> None:
    world = shown.world(start=time.time() // 60 * 60 - 600)
    world.minutes(10, rows=20)
    world.close()
    assert shown(*command, "--from", "5m", "--to", "1m")
    assert "a length of time such as 10m" in shown(*command, "--from", "lately", code=2)


def test_a_test_alert_links_to_the_page_that_is_served_and_says_where_that_works(shown: Shown) -> None:
    shown.config.write_text(shown.config.read_text() + '[receivers.here]\nkind = "log"\n')
    world = shown.world()
    world.runtime.listens_on(5084)
    said = shown("test-alert")
    assert "http://127.0.0.1:5084, which works on this machine only; set [server] url" in said
    world.close()
    assert "http://127.0.0.1:5000, which works" in shown("test-alert"), "nothing is served: as configured"
    shown.config.write_text(shown.config.read_text() + '[server]\nurl = "https://box.example"\n')
    assert "leads to https://box.example.\n" in shown("test-alert")


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ("", "http://127.0.0.1:5084"),
        ('host = "0.0.0.0"', "http://127.0.0.1:5084"),
        ('host = "::"', "http://127.0.0.1:5084"),
        ('host = "::1"', "http://[::1]:5084"),
        ('host = "box"', "http://box:5084"),
        ('url = "https://box.example/telltale"', "https://box.example/telltale"),
    ],
)
def test_addresses_of_the_page(settings: str, address: str) -> None:
    assert page_address(Config.from_text(f"[server]\n{settings}").server, 5084) == address


def test_every_table_fits_a_terminal_and_no_number_is_cut(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    world = shown.world()
    world.minutes(12, rows=40, shift=2.0, colour="ultramarine")
    world.close()
    wide = {command: shown(*command.split()) for command in ("status", "drift", "drift --all", "alerts")}
    for width in (80, 60):
        monkeypatch.setattr("monitor.words.line_width", lambda: width)  # noqa: B023
        for command, text in wide.items():
            narrow = shown(*command.split())
            assert max(map(len, narrow.splitlines())) <= width
            numbers = [word for word in text.split() if word.replace(".", "", 1).isdigit()]
            assert not Counter(numbers) - Counter(narrow.split())


def test_status_says_first_what_is_wrong_and_how_old_everything_is(shown: Shown) -> None:
    world = shown.world(start=time.time() // 60 * 60 - 12 * 60)
    world.minutes(11, rows=40, shift=2.0)
    world.clock.advance(20)
    last = world.clock.time()
    world.record(1, at=last - 3000)
    world.record(40, shift=2.0)
    world.clock.advance(40)
    world.runtime.evaluate()
    world.record(1, at=last - 3000)
    world.close()
    first, *rest = shown("status").splitlines()
    assert "2 of 4 columns have drifted: x0, x1" in first
    facts = {line[:17].strip(): line[19:] for line in rest}
    assert re.match(r"(less than a second|\d+ seconds|[12] minutes?) ago, 20", facts["last prediction"])
    assert " ago, 20" in facts["last evaluation"]
    assert facts["last message sent"] == "never"
    data = json.loads(shown("status", "--json"))
    assert data["evaluated"] in facts["last evaluation"]
    assert data["last_prediction"] == iso(last), "neither the end of its window, nor one that came late"


def test_windows_are_lines_of_bars_below_the_reference(shown: Shown) -> None:
    world = shown.world(start=1_700_006_400.0)
    world.minutes(10, rows=60)
    world.minutes(10, rows=60, shift=2.0, colour="mauve")
    world.close()
    period = ("--from", "2023-11-15T00:00Z", "--to", "2023-11-15T00:20Z")
    text = shown("windows", "x0", "colour", *period, "--step", "10m")
    number, category = text.split("\n\n")[:2]
    title, _, reference, before, after, legend = number.splitlines()
    assert title == "x0 (feature, numeric)"
    assert reference.split()[:2] == ["reference", "2,000"]
    assert [line.split()[:3] for line in (before, after)] == [
        ["2023-11-15", "00:00", "600"],
        ["2023-11-15", "00:10", "600"],
    ]
    bars = [line.split()[-4] for line in (reference, before, after)]
    assert len({*map(len, bars)}) == 1
    heights = [["·▁▂▃▄▅▆▇█".index(sign) for sign in line] for line in bars]
    assert sum(abs(a - b) for a, b in zip(*heights[:2], strict=True)) < 8
    assert heights[2][-1] > 3 > sum(heights[2][:4]) < sum(heights[1][:4]), "what moved up is on the right"
    assert [float(line.split()[-3]) > 1 for line in (reference, before, after)] == [False, False, True]
    assert "of the rows with a value" in legend
    assert "bins  blue, green, red, unseen; a full block is 100 % of the rows" in category
    assert max(map(len, text.splitlines())) <= 84, "its legend is wrapped on a terminal"
    steps = json.loads(shown("windows", "x0", *period, "--json"))["steps"]
    assert len(steps) == 20, "a round step of which there are at most 24"
