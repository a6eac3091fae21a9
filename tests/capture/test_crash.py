"""The process dies at every named step; the next start has every acknowledged prediction, exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.running import PATIENCE, environment
from bench.warm import WarmProcess
from monitor.failpoint import NAMES
from tests.capture.driver import ACKNOWLEDGED, BATCH, THREADS, open_pipeline

#: What can have been recorded and not yet been acknowledged: a row for each single thread, and a batch.
IN_FLIGHT = THREADS - 1 + BATCH


def drive(folder: Path, crash_at: str = "") -> tuple[int, int]:
    """Run the driver; its exit code and the number of predictions that it acknowledged."""
    (folder / ACKNOWLEDGED).touch()
    arguments = [str(folder), str(PATIENCE) if crash_at else "1.5"]  # a crash ends it at once
    process = WarmProcess(arguments, folder, environment(), "tests.capture.driver", crash_at)
    with process.stderr:
        said = process.stderr.read()
    assert process.wait() in (0, 9), said
    return process.wait(), (folder / ACKNOWLEDGED).stat().st_size


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
