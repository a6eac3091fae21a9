"""What a killed process lost is in `gaps`, once, with its number: the journal's mark, read by the next start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.store.world import MIDNIGHT, Monitored


def killed(monitored: Monitored, name: str) -> Path:
    """The folder as a kill at this moment leaves it."""
    copy = monitored.folder.with_name(name)
    shutil.copytree(monitored.folder, copy)
    return copy


def reopened(folder: Path) -> tuple[int, list[tuple]]:
    """Predictions and gaps after the next start."""
    monitored = Monitored(folder, 'segment = "64KiB"', start=MIDNIGHT + 60)
    monitored.pipeline.fold()
    gaps = monitored.pipeline.writer.call(lambda c: [tuple(row) for row in c.execute("SELECT kind, lost FROM gaps")])
    stored = monitored.pipeline.recorder.totals.batch.n
    monitored.close()
    return stored, gaps


@pytest.fixture
def monitored(tmp_path):
    made = Monitored(tmp_path / "data", 'segment = "64KiB"')
    made.record(100)
    made.pipeline.fold()
    made.record(3000)
    yield made
    made.close()


def test_without_damage_nothing_is_lost(monitored):
    assert reopened(killed(monitored, "copy")) == (3100, [])


@pytest.mark.parametrize("damage", [os.unlink, lambda path: os.truncate(path, 0)], ids=["deleted", "cut to nothing"])
@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_segment_that_is_gone_is_a_gap_of_known_size(monitored, damage, which):
    copy = killed(monitored, "copy")
    damage(sorted((copy / "journal").glob("*.journal"))[which])
    stored, gaps = reopened(copy)
    ((kind, lost),) = gaps
    assert (kind, stored + lost) == ("damaged", 3100)
    assert stored < 3100
    assert reopened(copy) == (stored, gaps)


def test_a_kill_between_two_steps_of_recovery_notes_nothing_twice(monitored, monkeypatch):
    copy = killed(monitored, "copy")
    segments = sorted((copy / "journal").glob("*.journal"))
    os.truncate(segments[0], 0)
    segments[1].unlink()
    expected = reopened(shutil.copytree(copy, copy.with_name("straight")))
    monitored_again = Monitored(copy, 'segment = "64KiB"')
    steps = 0

    def interrupt(name):
        nonlocal steps
        if name in ("recover.delete", "store.commit", "fold.committed"):
            steps += 1
            shutil.copytree(copy, copy.with_name(f"step{steps}"))

    monkeypatch.setattr("monitor.failpoint.reach", interrupt)
    monitored_again.pipeline.fold()
    monkeypatch.undo()
    monitored_again.close()
    assert steps > 4
    for step in range(1, steps + 1):
        assert reopened(copy.with_name(f"step{step}")) == expected, f"step {step}"


def test_drops_outlive_a_kill_and_are_noted_once(monitored, full_disk):
    full_disk["full"] = True
    monitored.record(3000)
    dropped = monitored.pipeline.dropped
    assert dropped > 0
    copy = killed(monitored, "copy")
    full_disk["full"] = False
    stored, gaps = reopened(copy)
    assert gaps == [("dropped", dropped)]
    assert stored + dropped == 6100
    assert reopened(copy) == (stored, gaps)
    monitored.clock.advance(10.0)
    monitored.pipeline.fold()
    assert reopened(killed(monitored, "later")) == (stored, gaps)


def test_drops_that_still_go_on_at_the_end_are_noted_by_the_next_start(monitored, full_disk):
    full_disk["full"] = True
    monitored.record(3000)
    dropped = monitored.pipeline.dropped
    monitored.close()
    full_disk["full"] = False
    assert reopened(monitored.folder) == (6100 - dropped, [("dropped", dropped)])


def test_recovered_drops_are_counted_by_metrics_too(monitored, full_disk):
    full_disk["full"] = True
    monitored.record(3000)
    dropped = monitored.pipeline.dropped
    copy = killed(monitored, "copy")
    full_disk["full"] = False
    again = Monitored(copy, start=MIDNIGHT + 60)
    again.pipeline.fold()
    assert again.pipeline.dropped == dropped
    again.close()
