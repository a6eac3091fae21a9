"""Pictures: where they can be drawn they follow their message; where they cannot nothing is missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.notify import picture
from monitor.notify.message import Message
from tests.notify.hostile import CORPUS
from tests.notify.world import World, firing
from tests.support.fake_providers import FakeProvider, Scripted, fake_provider

BOTH = """
[receivers.telegram]
kind = "telegram"
token_env = "TOKEN"
chat_id = "-100"
api_url = "{url}"
[receivers.slack-bot]
kind = "slack-bot"
token_env = "TOKEN"
channel = "C0123"
url = "{url}/api/chat.postMessage"
"""


def world_with_pictures(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which something can draw, be matplotlib installed or not."""
    monkeypatch.setattr(picture, "draw", lambda message: b"\x89PNG\r\n" + message.event_id.encode())
    world = World(BOTH.replace("{url}", provider.url))
    world.receivers = tuple(replace(r, pictures=r.kind in ("telegram", "slack-bot")) for r in world.receivers)
    return world


@pytest.mark.parametrize("name", ["telegram", "slack-bot"])
def test_a_picture_follows_its_message(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_provider() as provider:
        world = world_with_pictures(provider, monkeypatch)
        world.evaluate([firing(at=world.clock.time())])
        world.deliver(world.sender(name))
        world.clock.advance(600)
        world.evaluate([])
        world.deliver(world.sender(name))
        assert ["picture" in item for item in provider.delivered] == [False, True, False]
        assert provider.refusals == []


@pytest.mark.parametrize("name", ["telegram", "slack-bot"])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_picture_has_one_attempt_and_is_no_dead_letter(
    name: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_provider() as provider:
        world = world_with_pictures(provider, monkeypatch)
        world.evaluate([firing(at=world.clock.time())])
        sender = world.sender(name)
        sender.step()
        provider.default = Scripted(status, b'{"ok": false}')
        world.deliver(sender)
        rows = world.rows(f"SELECT kind, state, attempts FROM notifications WHERE receiver = '{name}'")
        assert [tuple(row) for row in rows] == [("firing", "sent", 1), ("picture", "skipped", 1)]


def test_without_a_way_to_draw_there_is_no_picture() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    (notification,) = world.evaluate([firing(at=world.clock.time())])
    assert notification.message.entries[0].histogram is None


def test_an_old_picture_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_provider() as provider:
        world = world_with_pictures(provider, monkeypatch)
        world.evaluate([firing(at=world.clock.time())])
        world.clock.advance(3600)
        world.deliver(world.sender("telegram"))
        assert len(provider.delivered) == 1


def test_drawing_takes_any_name() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    world.receivers = tuple(replace(receiver, pictures=True) for receiver in world.receivers)
    one: Message = world.evaluate([firing(at=world.clock.time())])[-1].message
    assert one.kind == "picture"
    names = ["bmi", "$x", "$\\frac{$", *CORPUS]
    for first in range(0, len(names), 12):  # as the names of columns and of categories
        some = names[first : first + 12]
        shares = [1 / len(some)] * len(some)
        drawn = {"edges": [], "categories": some, "reference": shares, "test": shares}
        entries = [replace(item, column=some[0]) for item in one.entries]
        categories = [replace(item, column=some[-1], histogram=drawn) for item in one.entries]
        assert picture.draw(replace(one, entries=(*entries, *categories))).startswith(b"\x89PNG")
