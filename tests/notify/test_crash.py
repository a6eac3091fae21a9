"""A real process that dies at each step of a delivery, and one that goes on where it stopped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.running import python
from monitor.failpoint import DELIVERY_NAMES
from tests.notify.world import Writer
from tests.support.fake_providers import fake_provider

ROOT = Path(__file__).resolve().parent.parent.parent

LIFE = """
import sys
from tests.notify.world import World, firing, slack_and_telegram
world = World(slack_and_telegram(sys.argv[2]), sys.argv[1])
world.evaluate([firing(at=1_700_000_000.0)])
world.deliver(world.sender("team"))
"""


def live(path: Path, url: str, crash_at: str = "") -> int:
    command = [*python(crash_at), "-c", LIFE, str(path), url]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    assert done.returncode in (0, 9), done.stderr.decode()
    return done.returncode


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
