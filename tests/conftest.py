"""What holds for all tests."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, settings

from bench.running import train
from tests.support.databases import close_databases

# The threads of OpenMP spin while they wait for one another: on a busy machine a fit of milliseconds takes a minute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The tests sync thousands of files: in memory that takes no time, and waits for no disk that is shared.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and "TMPDIR" not in os.environ:
    found = os.statvfs(MEMORY)
    if found.f_bavail * found.f_frsize > 4 << 30 and not found.f_flag & os.ST_NOEXEC and os.access(MEMORY, os.W_OK):
        os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = tempfile.tempdir = str(MEMORY)

# A busy machine is no failure: how long an example takes is measured in bench/. CI draws the same examples each time: a
# new one that fails is for the person who runs the tests, not for the next person's change.
settings.register_profile(
    "telltale",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    **({"derandomize": True, "database": None} if os.environ.get("CI") else {}),
)
settings.load_profile("telltale")
settings.register_profile("quick", settings.get_profile("telltale"), max_examples=20)

#: Which tests `make quick` selects.
QUICK = "not slow"

#: Tests that start processes or last, the longest first: they begin early, so that both cores end together.
#: `make quick` leaves them out.
SLOW = (
    "tests/test_kill.py",
    "tests/outcomes/test_kill.py",
    "tests/test_faults.py",
    "tests/server/browser/",
    "tests/server/test_demo.py",
    "tests/docs/",
    "tests/test_end_to_end.py",
    "tests/compose/",
    "tests/capture/test_crash.py",
    "tests/server/",
    "tests/store/test_retention.py",
    "tests/notify/test_hostile.py",
    "tests/notify/test_crash.py",
    "tests/notify/test_sender.py",
    "tests/library/",
    "tests/backtest/",
    "tests/cli/",
    "tests/test_install.py",
    "tests/judging/",
    "tests/source/test_table",
    "tests/source/test_fleet.py",
    "tests/outcomes/test_verdict.py",
    "tests/outcomes/test_baseline.py",
    "tests/drift/test_false_alarms.py",
    "tests/drift/test_locate.py",
    "tests/store/test_writer.py",
    "tests/store/test_verify.py",
    "tests/store/test_alerts.py",
    "tests/store/test_tiers.py",
    "tests/models/test_served_is_notebook.py",
    "tests/normal/test_usual.py",
    "tests/tables/test_warehouse.py",
    "tests/warehouse/",
    "tests/train/",
    "tests/notify/test_retry.py",
    "tests/notify/test_picture.py",
    "tests/report/test_performance.py",
    "tests/report/test_file.py",
    "tests/report/test_extremes.py",
    "tests/report/test_sending.py",
    "tests/outcomes/test_join.py",
    "tests/outcomes/test_estimates.py",
    "tests/drift/test_series.py",
    "tests/store/test_folder.py",
    "tests/store/test_ranges.py",
    "tests/contract/",
    "tests/notify/test_http.py",
    "tests/notify/test_secret.py",
    "tests/tables/test_every_way.py",
    "tests/test_privacy.py",
    "tests/test_losses.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Draw fewer examples for `make quick`."""
    if config.getoption("markexpr") == QUICK:
        settings.load_profile("quick")


def rank(path: str) -> int:
    """Place of a test, or of its file, among the slow ones; their number if it is not slow."""
    return next((place for place, name in enumerate(SLOW) if path.startswith(name)), len(SLOW))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import slow tests for `make quick`: they import every library that makes models."""
    if config.getoption("markexpr") != QUICK or not collection_path.is_relative_to(config.rootpath):
        return None
    return rank(collection_path.relative_to(config.rootpath).as_posix()) < len(SLOW) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and put it first."""
    for item in items:
        if rank(item.nodeid) < len(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI no test may skip itself for want of a program or a library: `.ci/run` and the lock install them all."""
    report = yield
    wanting = report.skipped and isinstance(report.longrepr, tuple) and "not installed" in report.longrepr[2]
    if wanting and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {call.excinfo}: not to be skipped in CI"
    return report


@pytest.fixture(autouse=True)
def _databases() -> Generator[None]:
    yield
    close_databases()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder with model and reference of a kind, trained at the first call; copy from it, do not write into it."""

    @cache
    def folder(kind: Literal["regression", "classification"] = "regression") -> Path:
        made = tmp_path_factory.mktemp(f"trained-{kind}")
        train(made, kind)
        return made

    return folder


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A disk that refuses to allocate while `state["full"]`."""
    state = {"full": False}
    allocate = os.posix_fallocate

    def allocate_or_refuse(handle: int, offset: int, length: int) -> None:
        if state["full"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(handle, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", allocate_or_refuse)
    return state
