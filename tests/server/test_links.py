"""Links in messages: they lead to the page that is served, or the start says that they do not."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.config.load import Config
from monitor.config.settings import RECEIVER_KINDS, ReceiverConfig
from monitor.notify import bodies
from monitor.notify.message import Entry, Message
from monitor.notify.text import plain_text
from server.run import say_hello
from tests.store.world import Monitored

BMI = Entry("bmi", "feature", "new", "warning", "e1", 0.0)


@pytest.mark.parametrize("kind", RECEIVER_KINDS)
@pytest.mark.parametrize("url", ["", "https://box.example"])
def test_the_start_says_if_links_work_on_this_machine_only(
    tmp_path: Path, kind: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config.from_text(f'[data]\npath = "{tmp_path}"\n[server]\nurl = "{url}"\n')
    world = Monitored(tmp_path / "data", f'[server]\nurl = "{url}"\n')
    world.runtime.listens_on(5084)
    with caplog.at_level(logging.WARNING):
        say_hello(replace(config, receivers=(ReceiverConfig(name="team", kind=kind),)), world.runtime, 5084)
    link = world.runtime.announcer.link
    world.close()
    assert link == (url or "http://127.0.0.1:5084")
    said = f"links in messages to team lead to {link} and work on this machine only; set [server] url"
    # A log is read on the machine that writes it.
    assert [one.getMessage() for one in caplog.records] == ([] if url or kind == "log" else [said])


def test_every_form_of_a_message_has_the_link() -> None:
    message = Message("firing", "drift", "warning", "e1", 60.0, entries=(BMI,), link="https://box.example")
    address = "https://box.example/column/feature?name=bmi&around=e1"
    escaped = address.replace("&", "&amp;")
    assert f"look: <{escaped}>" in bodies.slack(message)["blocks"][-1]["text"]["text"]
    assert f"look: {escaped}\n" in bodies.slack(message, blocks=False)["text"]
    assert f"look: {escaped}\n" in bodies.telegram(message)["text"]
    assert f"look: {address}\n" in plain_text(message, "", 4000), "Apprise and the log"
    assert bodies.webhook(message)["link"] == address
    assert bodies.alertmanager(message)[0]["generatorURL"] == address


def test_what_serves_no_page_links_to_none(tmp_path: Path) -> None:
    world = Monitored(tmp_path / "data", "")
    assert world.runtime.announcer.link == ""
    world.close()
