"""Run the evaluation on time, with APScheduler.

APScheduler reads the wall clock: set back, it would wait as long as the clock was turned; set forward ten years, an
interval job would build every run that it missed. So each run is a job of its own that arms the next, and the writer
calls `check`, which arms again on monotonic time.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from monitor.clock import Clock
from monitor.errors import TelltaleError

log = logging.getLogger(__name__)

#: How late an evaluation may be before `check` starts it again, in seconds.
GRACE = 5.0


class _Ticker(BackgroundScheduler):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(timezone=UTC, job_defaults={"misfire_grace_time": None, "max_instances": 1, "coalesce": True})
        logging.getLogger("apscheduler").setLevel(logging.WARNING)  # a line a minute would bury the alerts

    def _main_loop(self) -> None:
        try:
            super()._main_loop()
        except JobLookupError:  # a stop can empty the list of jobs before the thread has removed its own
            if self.running:
                raise


class Schedule:
    """Calls `run` every `every` seconds, on the whole multiples of it if it divides a day."""

    def __init__(self, run: Callable[[], object], every: float, clock: Clock) -> None:
        self._run, self._every, self._clock = run, every, clock
        self._scheduler = _Ticker()
        self._due, self._armed, self._stopped = math.inf, 0, False
        #: Seconds by which the last run began too late, and since when runs fail.
        self.late = 0.0
        self.failing_since: float | None = None
        # Held while a run is armed. A shutdown waits for the run in progress under APScheduler's own lock, which arming
        # takes too: without this lock they could deadlock.
        self._arming = threading.Lock()

    def start(self) -> None:
        """Start the thread and arm the first run."""
        self._scheduler.start()
        self._arm()

    def stop(self) -> None:
        """Let a run in progress finish, and end the thread."""
        with self._arming:
            self._stopped = True
        if self._scheduler.running:
            self._scheduler.pause()  # a run that fell due during the shutdown would end the thread with an error
            self._scheduler.shutdown(wait=True)

    @property
    def overdue(self) -> float:
        """Seconds by which the next run is late; 0 while it is not."""
        return max(0.0, self._clock.monotonic() - self._due)

    def check(self) -> None:
        """Arm again if a run is overdue: the clock was set back, or the scheduler's thread has died."""
        with self._arming:
            if self._stopped or self.overdue < GRACE:
                return
            thread = getattr(self._scheduler, "_thread", None)
            if thread is None or not thread.is_alive():
                log.error("the scheduler's thread has died; it is started again")
                self._scheduler = _Ticker()
                self._scheduler.start()
            self._arm(soon=True)

    def _arm(self, soon: bool = False) -> None:
        wait = 0.0 if soon else until_next(self._clock.time(), self._every)
        self._due = self._clock.monotonic() + wait
        # A job that has been overtaken stays in the queue and does nothing when its time comes: to remove it could race
        # with the scheduler's own thread.
        self._armed += 1
        when = datetime.now(UTC) + timedelta(seconds=wait)  # APScheduler compares with the machine's clock
        self._scheduler.add_job(self._tick, "date", run_date=when, args=[self._armed])

    def _tick(self, number: int) -> None:
        if number != self._armed:
            return
        self.late = self.overdue
        try:
            self._run()
            self.failing_since = None
        except Exception as error:
            self.failing_since = self.failing_since or self._clock.time()
            traceback = None if isinstance(error, TelltaleError) else error
            log.error("the evaluation failed; the next one comes as planned: %s", error, exc_info=traceback)
        with self._arming:
            if not self._stopped:
                self._arm()


def until_next(now: float, every: float) -> float:
    """Seconds from `now` to the next whole multiple of `every` if that divides a day; else `every`.

    >>> until_next(125.0, 60.0), until_next(120.0, 60.0), until_next(125.0, 7.0)
    (55.0, 60.0, 7.0)
    """
    return every if 86400 % every else every - now % every
