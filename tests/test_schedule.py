"""The ticker: on time, one run at a time, whatever the wall clock does, and even when its thread dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from bench.running import PATIENCE, wait_for
from monitor.clock import ManualClock, SystemClock
from monitor.schedule import GRACE, Schedule, until_next


@pytest.fixture
def started() -> Iterator[Callable[..., Schedule]]:
    schedules: list[Schedule] = []

    def begin(run: Callable[[], object], every: float, clock: ManualClock | SystemClock) -> Schedule:
        schedule = Schedule(run, every, clock)
        schedules.append(schedule)
        schedule.start()
        return schedule

    yield begin
    for schedule in schedules:
        schedule.stop()


def test_runs_again_and_again(started: Callable[..., Schedule]) -> None:
    ran = threading.Semaphore(0)
    started(ran.release, 0.05, SystemClock())
    assert all(ran.acquire(timeout=PATIENCE) for _ in range(5))


def test_a_run_that_raises_does_not_end_the_schedule(started: Callable[..., Schedule]) -> None:
    outcomes = iter([RuntimeError("no"), RuntimeError("no"), None])
    done = threading.Event()

    def run() -> None:
        error = next(outcomes, None)
        if error is None:
            done.set()
        else:
            raise error

    schedule = started(run, 0.05, SystemClock())
    assert done.wait(PATIENCE)
    wait_for(lambda: schedule.failing_since is None, "health to be restored")


def test_runs_never_overlap(started: Callable[..., Schedule]) -> None:
    clock, running, ran = ManualClock(), threading.Semaphore(1), threading.Semaphore(0)
    overlapped = []

    def run() -> None:
        if not running.acquire(blocking=False):
            overlapped.append(True)
            return
        clock.advance(0.16)  # three intervals long
        running.release()
        ran.release()

    started(run, 0.05, clock)
    assert all(ran.acquire(timeout=PATIENCE) for _ in range(3))
    assert overlapped == []


@pytest.mark.parametrize("jump", [-3600.0, -5.0, 86_400.0, 10 * 365 * 86_400.0])
def test_a_jump_of_the_wall_clock_costs_at_most_one_run(jump: float) -> None:
    """The next run is due on monotonic time; the watch arms it anew, once, without building what was missed."""
    clock = ManualClock(1_795_000_000.0)
    runs: list[float] = []
    schedule = Schedule(lambda: runs.append(clock.time()), 60.0, clock)
    schedule.start()
    try:
        clock.jump_to(clock.time() + jump)
        clock.advance(60 + GRACE + 1)
        assert schedule.overdue > 0
        schedule.check()
        wait_for(lambda: runs and not schedule.overdue, "one run")
        schedule.check()
        assert len(runs) == 1
    finally:
        schedule.stop()


def test_a_dead_thread_is_noticed_and_replaced() -> None:
    clock = ManualClock()
    runs: list[float] = []
    schedule = Schedule(lambda: runs.append(clock.time()), 60.0, clock)
    schedule.start()
    schedule._scheduler.shutdown(wait=True)
    clock.advance(60 + GRACE + 1)
    schedule.check()
    try:
        wait_for(lambda: runs, "a run by the new thread")
    finally:
        schedule.stop()


def test_nothing_runs_after_the_stop() -> None:
    clock = ManualClock()
    runs: list[float] = []
    schedule = Schedule(lambda: runs.append(clock.time()), 60.0, clock)
    schedule.start()
    schedule.stop()
    clock.advance(3600)
    schedule.check()
    assert runs == []


def test_a_stop_and_a_run_that_arms_the_next_one_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    arming, go_on = threading.Event(), threading.Event()
    runs: list[float] = []
    schedule = Schedule(lambda: runs.append(0.0), 0.05, SystemClock())
    arm = schedule._arm

    def slowly(soon: bool = False) -> None:
        if runs:
            arming.set()
            assert go_on.wait(PATIENCE)
        arm(soon)

    monkeypatch.setattr(schedule, "_arm", slowly)
    schedule.start()
    assert arming.wait(PATIENCE)
    stopping = threading.Thread(target=schedule.stop, daemon=True)
    stopping.start()
    stopping.join(0.2)  # it cannot end yet
    go_on.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_runs_lie_on_whole_minutes() -> None:
    assert until_next(90.5, 60.0) == 29.5
    assert until_next(0.0, 60.0) == 60.0
    assert until_next(1.0, 7.0) == 7.0
