"""A real process that dies at each step of a delivery, and one that goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.running import environment
from bench.warm import WarmProcess
from monitor.failpoint import DELIVERY_NAMES
from tests.notify.world import World, Writer, firing, slack_and_telegram
from tests.support.fake_providers import fake_provider


def main(arguments: Sequence[str]) -> None:
    """Evaluate and deliver: with the database `arguments[0]`, to the provider at `arguments[1]`."""
    world = World(slack_and_telegram(arguments[1]), arguments[0])
    world.evaluate([firing(at=1_700_000_000.0)])
    world.deliver(world.sender("team"))


def live(path: Path, url: str, crash_at: str = "") -> int:
    process = WarmProcess([str(path), url], path.parent, environment(), "tests.notify.test_crash", crash_at)
    with process.stderr:
        said = process.stderr.read()
    assert process.wait() in (0, 9), said
    return process.wait()


@pytest.mark.parametrize(("name", "arrived"), list(zip(DELIVERY_NAMES, (1, 2, 1), strict=True)))
def test_a_process_that_dies_while_it_delivers(name: str, arrived: int, tmp_path: Path) -> None:
    """Before the post: delivered by the next. After it, unsettled: repeated once, marked. After that: done."""
    path = tmp_path / "telltale.db"
    with fake_provider() as provider:
        assert live(path, provider.url, name) == 9
        assert live(path, provider.url) == 0
        assert len(provider.delivered) == arrived
        assert ["may be a repeat" in sent["text"] for sent in provider.delivered][1:] == [True] * (arrived - 1)
    rows = Writer(path).connection.execute("SELECT state FROM notifications WHERE receiver = 'team'").fetchall()
    assert [row["state"] for row in rows] == ["sent"]
