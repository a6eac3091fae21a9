"""Reports that are sent by themselves: when, once, to whom, and what a person reads on a phone."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from monitor.__main__ import main
from monitor.clock import from_iso, iso
from monitor.config.load import Config
from monitor.drift.result import Span
from monitor.errors import ConfigError
from monitor.report import file, sending
from monitor.runtime import Runtime
from monitor.store.file.database import connect_read_only
from tests.report.test_file import Outside
from tests.server.scenes import Scene, clinic
from tests.support.fake_providers import FakeProvider, Scripted, fake_provider

SETTINGS = """
[server]
url = "https://box.example/"
[report]
every = "monday"
folder = "{folder}/reports"
[receivers.team]
kind = "slack"
url = "{url}/services/T0/B0/x"
[receivers.phone]
kind = "telegram"
api_url = "{url}"
token_file = "{folder}/token"
chat_id = "-100"
[receivers.bot]
kind = "slack-bot"
url = "{url}/api/chat.postMessage"
token_file = "{folder}/token"
channel = "C0123"
[receivers.night]
kind = "slack"
url = "{url}/services/T0/B0/night"
severities = ["critical"]
[receivers.am]
kind = "alertmanager"
url = "{url}"
"""
MONDAY = from_iso("2026-03-16T08:00:00Z")


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with fake_provider() as fake:
        yield fake


@pytest.fixture
def scene(tmp_path: Path, provider: FakeProvider) -> Iterator[Scene]:
    """A Saturday on which two columns drift; no alert has been delivered."""
    (tmp_path / "token").write_text("123456:test-token-of-nobody")
    text = SETTINGS.format(url=provider.url, folder=tmp_path)
    scene = Scene(tmp_path, clinic(), more=text)
    (tmp_path / "config.toml").write_text(f'[data]\npath = "{tmp_path / "data"}"\n{text}')
    scene.runtime.report()
    scene.minutes(30, 40, lambda minute: 1.2 if minute > 15 else 0.0)
    scene.runtime.writer.transaction(settled)
    yield scene
    scene.runtime.close()


def settled(connection: sqlite3.Connection) -> None:
    """Take the alerts' messages away, so that only reports are delivered."""
    connection.execute("UPDATE notifications SET state = 'skipped'")


def until(scene: Scene, moment: float) -> None:
    scene.clock.advance(moment - scene.clock.time())
    scene.runtime.report()


def queued(scene: Scene) -> list[tuple[str, str]]:
    found = "SELECT receiver, kind FROM notifications WHERE kind IN ('report', 'file') ORDER BY id"
    return scene.runtime.writer.call(lambda connection: [tuple(row) for row in connection.execute(found)])


def deliver(scene: Scene) -> None:
    for sender in scene.runtime.announcer.senders.senders:
        for _ in range(20):
            scene.clock.advance(sender.step() if queued(scene) else 0.0)


def reopen(scene: Scene) -> None:
    """Start the process again, later."""
    scene.runtime.close()
    scene.runtime = Runtime(scene.runtime.config, scene.runtime.watches, scene.clock)


#: What each receiver gets; `night` is for critical alerts only, and Alertmanager for alerts.
EACH = [
    ("team", "report"),
    ("phone", "report"),
    ("phone", "file"),
    ("bot", "report"),
    ("bot", "file"),
    ("log", "report"),
]


def test_a_report_is_sent_once_when_its_week_is_over(scene: Scene, provider: FakeProvider, tmp_path: Path) -> None:
    until(scene, MONDAY - 60)
    assert queued(scene) == []
    until(scene, MONDAY)
    assert queued(scene) == EACH
    for _ in range(2):
        scene.runtime.report()
        reopen(scene)
        until(scene, MONDAY + 3600)
    assert queued(scene) == EACH
    deliver(scene)
    assert provider.refusals == []
    (path,) = (tmp_path / "reports").iterdir()
    assert path.name == "model-2026-03-09-to-2026-03-16.html"
    page = path.read_text("utf-8")
    outside = Outside()
    outside.feed(page)
    assert outside.found == []
    told, telegram, document, bot, upload = provider.delivered
    title = "REPORT: 9 to 15 Mar 2026: 4 alerts began, 0 ended, 4 still fire"
    for message in (told, telegram, bot):
        assert title in message["text"]
        assert "1,200 predictions\n4 alerts began" in message["text"], "no empty line for performance"
        assert "bmi" in message["text"]
    assert str(path) in told["text"]
    assert "look: https://box.example/?from=2026-03-09T00:00:00Z&amp;to=2026-03-16T00:00:00Z" in told["text"]
    assert str(path) not in telegram["text"], "the file follows"
    assert page in document["document"].replace("\r\n", "\n")
    assert title in upload["picture"]["files"]
    until(scene, MONDAY + 7 * 86_400)
    assert queued(scene) == EACH * 2


@pytest.mark.parametrize("weeks", [0, 3])
def test_a_process_that_was_down_on_monday_sends_the_last_report_when_it_starts(scene: Scene, weeks: int) -> None:
    until(scene, MONDAY + weeks * 7 * 86_400 + 2 * 86_400 - 1)  # no report is made in between
    reopen(scene)
    for _ in range(3):
        scene.runtime.report()
        reopen(scene)
    assert queued(scene) == EACH
    (path,) = Path(scene.runtime.config.report.folder).iterdir()
    assert path.name.startswith(f"model-{iso(MONDAY + (weeks - 1) * 7 * 86_400)[:10]}")


def test_a_report_that_fails_is_tried_again_and_sent_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if the process dies between the file and the outbox: the file is written over."""

    def fail(call: Callable[..., None]) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(scene.runtime.writer, "call", fail)
        until(scene, MONDAY)
    assert "the report cannot be made; it is tried again in an hour" in caplog.text
    until(scene, MONDAY + 3599)
    assert queued(scene) == []
    until(scene, MONDAY + 3600)
    assert queued(scene) == EACH


def test_a_folder_that_cannot_be_written_to_is_told(scene: Scene, provider: FakeProvider, tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    until(scene, MONDAY)
    deliver(scene)
    assert "reports cannot be written to: File exists" in provider.delivered[0]["text"]
    assert not [one for one in provider.delivered if "document" in one]


def test_a_clock_that_was_years_ahead_does_not_silence_reports(scene: Scene) -> None:
    scene.runtime.writer.transaction(lambda c: sending.write_meta(c, sending.REPORTED, "2036-01-07T00:00:00Z"))
    until(scene, MONDAY)
    until(scene, MONDAY + 7 * 86_400)
    assert queued(scene) == EACH


def test_nothing_happened_is_one_line(tmp_path: Path) -> None:
    scene = Scene(tmp_path, clinic())
    scene.minutes(30, 30)
    now = scene.clock.time()
    connection = connect_read_only(scene.runtime.folder.database)
    made = file.gather(connection, scene.runtime.config, Span(now - 3600, now), now)
    empty = file.gather(connection, scene.runtime.config, Span(now - 7200, now - 3600), now)
    connection.close()
    scene.runtime.close()
    assert sending.sum_up(made) == ("", [("900 predictions, no alert", "")])
    assert sending.sum_up(empty) == ("no predictions", [("", "no predictions")])


def test_weeks_begin_at_midnight_of_the_time_zone() -> None:
    """Also in the week in which clocks go back."""
    berlin = ZoneInfo("Europe/Berlin")
    span = sending.last_period(from_iso("2026-10-26T07:00:00Z"), "monday", 8 * 3600, berlin)
    assert (iso(span.start), iso(span.end)) == ("2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z")
    assert span.end - span.start == 7 * 86_400 + 3600
    before = sending.last_period(from_iso("2026-10-26T06:59:00Z"), "monday", 8 * 3600, berlin)
    assert before.end == span.start
    assert sending.days(span, berlin) == "19 to 25 Oct 2026"


def test_the_command_sends_it_now(scene: Scene, provider: FakeProvider, capsys: pytest.CaptureFixture[str]) -> None:
    """For cron, and to try it; the server may run or not."""
    command = ["report", "--config", str(Path(scene.runtime.folder.path).parent / "config.toml"), "--every"]
    assert main([*command, "month"]) == 0
    said = capsys.readouterr().out
    assert "no predictions" in said  # of the month before the real one
    assert ["phone", "file", "sent"] in [line.split()[:3] for line in said.splitlines()]
    assert [next(iter(one)) for one in provider.delivered][2:4] == ["document", "text"]
    provider.default = Scripted(404, b"no_service")
    assert main([*command, "day"]) == 1
    assert re.search(r"^team +report +dead +HTTP 404: no_service$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("every = 'mondays'", "did you mean 'monday'"),
        ("at = '25:00'", 'report.at: expected a time of day such as "08:00"'),
        ("receivers = ['nobody']", "report: there is no receiver 'nobody'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Config.from_text(f"[report]\n{text}")
