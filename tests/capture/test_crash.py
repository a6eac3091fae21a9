"""The process dies at every named step; the next start has every acknowledged prediction, exactly once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.running import environment, python
from monitor.failpoint import NAMES
from tests.capture.driver import BATCH, THREADS, open_pipeline

#: What can have been recorded and not yet been acknowledged: a row for each single thread, and a batch.
IN_FLIGHT = THREADS - 1 + BATCH


def drive(folder: Path, crash_at: str = "") -> tuple[int, int]:
    """Run the driver; its exit code and the number of predictions that it acknowledged."""
    done = subprocess.run(
        # Long enough for any failpoint on a busy machine; a crash ends it at once.
        [*python(crash_at), "-m", "tests.capture.driver", str(folder), "20" if crash_at else "1.5"],
        env=environment(),
        capture_output=True,
        check=False,
    )
    return done.returncode, len(done.stdout)


def recorded(folder: Path) -> int:
    """Open what is left, in this process, and fold it."""
    runtime = open_pipeline(folder)
    try:
        runtime.evaluate()
        batch = runtime.only.totals
        assert {int(part.sum()) for part in runtime.only.reference.schema.split(batch.counts)} == {batch.n}
        return batch.n
    finally:
        runtime.close()


def test_without_a_crash_everything_is_counted(tmp_path: Path) -> None:
    code, acknowledged = drive(tmp_path)
    assert (code, recorded(tmp_path)) == (0, acknowledged)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_crash_loses_nothing_and_counts_nothing_twice(tmp_path: Path, name: str, count: int) -> None:
    if name == "recover.delete":
        # Something has to be left to recover first; every start leaves one segment.
        assert drive(tmp_path, "fold.committed:5")[0] == 9
        before, count = drive(tmp_path, f"{name}:1")[0], 1
        assert before == 9
        total = recorded(tmp_path)
        assert recorded(tmp_path) == total
        return
    code, acknowledged = drive(tmp_path, f"{name}:{count}")
    assert code == 9
    total = recorded(tmp_path)
    assert acknowledged <= total <= acknowledged + IN_FLIGHT
    assert recorded(tmp_path) == total
