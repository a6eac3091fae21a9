"""Acknowledged = stored + lost: what a killed process or a database that fell back lost is in `gaps`, once."""

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
    monitored.runtime.fold()
    gaps = monitored.runtime.writer.call(lambda c: [tuple(row) for row in c.execute("SELECT kind, lost FROM gaps")])
    stored = monitored.runtime.only.totals.n
    monitored.close()
    return stored, gaps


@pytest.fixture
def monitored(tmp_path):
    made = Monitored(tmp_path / "data", 'segment = "64KiB"')
    made.record(100)
    made.runtime.fold()
    made.record(3000)
    yield made
    made.close()


def test_without_damage_nothing_is_lost(monitored):
    assert reopened(killed(monitored, "copy")) == (3100, [])


@pytest.mark.parametrize("damage", [os.unlink, lambda path: os.truncate(path, 0)], ids=["deleted", "cut to nothing"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_segment_that_is_gone_is_a_gap_of_known_size(monitored, damage, which):
    copy = killed(monitored, "copy")
    damage(sorted((copy / "journal").glob("*.journal"))[which])
    stored, gaps = reopened(copy)
    ((kind, lost),) = gaps
    assert (kind, stored + lost) == ("damaged", 3100)
    assert stored < 3100
    assert reopened(copy) == (stored, gaps)


def test_a_journal_that_is_gone_is_a_gap_of_unknown_size(monitored):
    copy = killed(monitored, "copy")
    for path in (copy / "journal").glob("*.journal"):
        path.unlink()
    assert reopened(copy) == (100, [("damaged", None)])
    assert reopened(copy) == (100, [("damaged", None)])


def put_back(copy: Path, database: Path | None) -> None:
    """Put an older copy of the database back, or none."""
    for path in copy.glob("telltale.db*"):
        path.unlink()
    if database is not None:
        shutil.copy(database / "telltale.db", copy)


@pytest.fixture(params=["killed", "stopped"])
def fallen_back(request, monitored) -> tuple[Path, Path]:
    """A folder in which 5,000 predictions were acknowledged, and one as it was after 100, cleanly copied."""
    older = monitored.folder.with_name("older")
    monitored.runtime.writer.call(lambda connection: None)
    monitored.runtime.fold()
    monitored.runtime.writer.checkpoint()
    shutil.copytree(monitored.folder, older)
    monitored.record(1900)
    monitored.runtime.fold()
    if request.param == "stopped":
        monitored.close()
        return monitored.folder, older
    monitored.record(1)
    return killed(monitored, "copy"), older


def test_a_database_that_was_put_back_is_a_gap_of_known_size(fallen_back, caplog):
    folder, older = fallen_back
    put_back(folder, older)
    again = Monitored(folder, 'segment = "64KiB"', start=MIDNIGHT + 60)
    assert again.runtime.condition.checks()[0].condition == "degraded"
    again.close()
    stored, gaps = reopened(folder)
    ((kind, lost),) = gaps
    total = 5001 if folder.name == "copy" else 5000
    assert (kind, stored + lost) == ("damaged", total)
    assert lost > 0
    assert f"lost: {lost:,} predictions" in caplog.text
    assert reopened(folder) == (stored, gaps)


def test_a_database_that_is_gone_is_a_gap_of_known_size(fallen_back):
    folder, _ = fallen_back
    put_back(folder, None)
    stored, gaps = reopened(folder)
    ((kind, lost),) = gaps
    assert (kind, stored + lost) == ("damaged", 5001 if folder.name == "copy" else 5000)
    assert reopened(folder) == (stored, gaps)


@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_bit_in_the_wal_loses_nothing_uncounted(monitored, seed):
    """SQLite ends at the first frame that does not check, and says nothing."""
    for _ in range(40):
        monitored.record(300)
        monitored.runtime.fold()
    copy = killed(monitored, "copy")
    wal = copy / "telltale.db-wal"
    position = int(wal.stat().st_size * (0.1 + 0.18 * seed))
    with wal.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0] ^ 4
        file.seek(position)
        file.write(bytes([byte]))
    stored, gaps = reopened(copy)
    assert stored + sum(lost for _, lost in gaps) == 15_100
    assert reopened(copy) == (stored, gaps)


def test_a_kill_between_two_steps_of_recovery_notes_nothing_twice(monitored, monkeypatch):
    copy = killed(monitored, "copy")
    segments = sorted((copy / "journal").glob("*.journal"))
    os.truncate(segments[0], 0)
    expected = reopened(shutil.copytree(copy, copy.with_name("straight")))
    monitored_again = Monitored(copy, 'segment = "64KiB"')
    steps = 0

    def interrupt(name):
        nonlocal steps
        if name in ("recover.delete", "store.commit", "fold.committed"):
            steps += 1
            shutil.copytree(copy, copy.with_name(f"step{steps}"))

    monkeypatch.setattr("monitor.failpoint.reach", interrupt)
    monitored_again.runtime.fold()
    monkeypatch.undo()
    monitored_again.close()
    assert steps > 4
    for step in range(1, steps + 1):
        assert reopened(copy.with_name(f"step{step}")) == expected, f"step {step}"


def test_drops_outlive_a_kill_and_are_noted_once(monitored, full_disk):
    full_disk["full"] = True
    monitored.record(3000)
    dropped = monitored.runtime.journals.dropped
    assert dropped > 0
    copy = killed(monitored, "copy")
    full_disk["full"] = False
    stored, gaps = reopened(copy)
    assert gaps == [("dropped", dropped)]
    assert stored + dropped == 6100
    assert reopened(copy) == (stored, gaps)
    monitored.clock.advance(10.0)
    monitored.runtime.fold()
    assert reopened(killed(monitored, "later")) == (stored, gaps)


def test_drops_that_still_go_on_at_the_end_are_noted_by_the_next_start(monitored, full_disk):
    full_disk["full"] = True
    monitored.record(3000)
    dropped = monitored.runtime.journals.dropped
    monitored.close()
    full_disk["full"] = False
    assert reopened(monitored.folder) == (6100 - dropped, [("dropped", dropped)])


def test_recovered_drops_are_counted_by_metrics_too(monitored, full_disk):
    full_disk["full"] = True
    monitored.record(3000)
    dropped = monitored.runtime.journals.dropped
    copy = killed(monitored, "copy")
    full_disk["full"] = False
    again = Monitored(copy, start=MIDNIGHT + 60)
    again.runtime.fold()
    assert again.runtime.journals.dropped == dropped
    again.close()
