"""The ticker: an APScheduler job that evaluates, and a watch that it does.

APScheduler reads the wall clock: set back, it would wait as long as the clock was turned; set forward ten years, an
interval job would build every run that it missed. So each run is a job of its own that arms the next, and `check`,
called on monotonic time by the writer, arms anew whatever has not run when it should have.
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

#: How late an evaluation may be before the watch steps in, in seconds.
GRACE = 5.0


class _Ticker(BackgroundScheduler):  # type: ignore[misc]
    """APScheduler's thread, that ends quietly when it is told to."""

    def _main_loop(self) -> None:
        try:
            super()._main_loop()
        except JobLookupError:
            # A stop empties the list of jobs while the thread may be crossing one off that it has just handed out.
            if self.running:
                raise


class Schedule:
    """Calls `run` every `every` seconds, on the whole multiple of it where that divides a day."""

    def __init__(self, run: Callable[[], object], every: float, clock: Clock) -> None:
        self._run, self._every, self._clock = run, every, clock
        self._scheduler = self._fresh()
        self._due = math.inf
        self._armed = 0
        self.late = 0.0
        self.runs = 0
        self.skipped = 0
        self.failing_since: float | None = None
        self._stopped = False
        # Held while a run is armed. A shutdown waits for the run in progress under APScheduler's own lock, which arming
        # takes too: both at once would wait for each other for ever.
        self._arming = threading.Lock()

    @staticmethod
    def _fresh() -> _Ticker:
        # Silent unless something is wrong: a line a minute would bury the alerts.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        defaults = {"misfire_grace_time": None, "max_instances": 1, "coalesce": True}
        return _Ticker(timezone=UTC, job_defaults=defaults)

    def start(self) -> None:
        """Start the thread and arm the first run."""
        self._scheduler.start()
        self._arm()

    def stop(self) -> None:
        """Let a run in progress finish, and end the thread."""
        with self._arming:
            self._stopped = True
        if self._scheduler.running:
            # Paused first: a run that falls due while the workers are being shut down would end the thread in an error.
            self._scheduler.pause()
            self._scheduler.shutdown(wait=True)

    @property
    def overdue(self) -> float:
        """Seconds by which the next run is late; 0 while it is not."""
        return max(0.0, self._clock.monotonic() - self._due)

    def check(self) -> None:
        """Arm again if a run is overdue: the clock was set back, or the scheduler's thread has died."""
        with self._arming:
            if not self._stopped and self.overdue >= GRACE:
                self._revive()

    def _revive(self) -> None:
        thread = getattr(self._scheduler, "_thread", None)
        if thread is None or not thread.is_alive():
            log.error("the scheduler's thread has died; it is started anew")
            self._scheduler = self._fresh()
            self._scheduler.start()
        self._arm(soon=True)

    def _arm(self, soon: bool = False) -> None:
        wait = 0.0 if soon else until_next(self._clock.time(), self._every)
        self._due = self._clock.monotonic() + wait
        # By the machine's clock, which is what APScheduler compares with. Each run is a job of its own: after a run
        # APScheduler removes the job by its name, and would take away a next one of the same name. A job that has been
        # overtaken is left to come, and then does nothing, since removing it can race with the scheduler's own thread.
        self._armed += 1
        when = datetime.now(UTC) + timedelta(seconds=wait)
        self._scheduler.add_job(self._tick, "date", run_date=when, args=[self._armed])

    def _tick(self, number: int) -> None:
        if number != self._armed:
            return
        began = self._clock.monotonic()
        self.late = max(0.0, began - self._due)
        try:
            self._run()
            self.failing_since = None
        except TelltaleError as error:
            self.failing_since = self.failing_since or self._clock.time()
            log.error("the evaluation failed; the next one comes as planned: %s", error)
        except Exception:
            self.failing_since = self.failing_since or self._clock.time()
            log.exception("the evaluation failed; the next one comes as planned")
        self.runs += 1
        self.skipped += int((self._clock.monotonic() - began) // self._every)
        with self._arming:
            if not self._stopped:
                self._arm()


def until_next(now: float, every: float) -> float:
    """Seconds from `now` to the next whole multiple of `every`, where that divides a day; else `every`.

    >>> until_next(125.0, 60.0), until_next(120.0, 60.0), until_next(125.0, 7.0)
    (55.0, 60.0, 7.0)
    """
    if 86400 % every:
        return every
    return every - now % every
