"""Plan, outbox, sender and a strict provider, joined."""

from __future__ import annotations

from tests.notify.world import World, firing, slack_and_telegram
from tests.support.fake_providers import fake_provider


def test_drift_arrives_at_slack_and_telegram_once() -> None:
    with fake_provider() as provider:
        world = World(slack_and_telegram(provider.url))
        alert = firing(at=world.clock.time())
        world.evaluate([alert])
        for name in ("team", "night", "log"):
            world.deliver(world.sender(name))
        world.evaluate([alert])
        for name in ("team", "night", "log"):
            world.deliver(world.sender(name))
        assert provider.refusals == []
        slack, telegram = [item for item in provider.delivered if "picture" not in item]
        assert len(provider.delivered) == 3, "the picture follows on Telegram"
        assert '"bmi" has drifted' in slack["text"]
        assert '<b>WARNING: "bmi" has drifted</b>' in telegram["text"]
        assert alert.event_id in slack["text"]
        assert alert.event_id in telegram["text"]
        assert [row["state"] for row in world.rows()] == ["sent"] * 4


def test_resolved_says_how_long_it_lasted() -> None:
    with fake_provider() as provider:
        world = World(slack_and_telegram(provider.url))
        world.evaluate([firing(at=world.clock.time())])
        sender = world.sender("team")
        world.deliver(sender)
        world.clock.advance(3900)
        world.evaluate([])
        world.deliver(sender)
        assert 'RESOLVED: "bmi" no longer drifts (lasted 1 h 5 min, until 23:18 UTC)' in provider.delivered[-1]["text"]
