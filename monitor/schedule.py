"""Run the evaluation on time: a thread that waits on monotonic time, so that no jump of the wall clock matters."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from monitor.clock import Clock
from monitor.errors import TelltaleError

log = logging.getLogger(__name__)


class Schedule:
    """Calls `run` every `every` seconds, on the whole multiples of it if it divides a day.

    `late`: seconds by which the last run began too late. `failing_since`: since when runs fail.
    """

    late = 0.0
    failing_since: float | None = None

    def __init__(self, run: Callable[[], object], every: float, clock: Clock) -> None:
        self._run, self._every, self._clock = run, every, clock
        self._due, self._stopped = clock.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="telltale-schedule", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._due = self._clock.monotonic() + until_next(self._clock.time(), self._every)
        self._thread.start()

    def stop(self) -> None:
        """Let a run in progress finish, and end the thread."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def overdue(self) -> float:
        """Seconds by which the next run is late; 0 while it is not."""
        return max(0.0, self._clock.monotonic() - self._due) if self._thread.ident is not None else 0.0

    def _loop(self) -> None:
        while not self._clock.wait(self._stopped, max(0.0, self._due - self._clock.monotonic())):
            self.late = self.overdue
            try:
                self._run()
                self.failing_since = None
            except Exception as error:
                self.failing_since = self.failing_since or self._clock.time()
                traceback = None if isinstance(error, TelltaleError) else error
                log.error("the evaluation failed; the next one comes as planned: %s", error, exc_info=traceback)
            self._due = self._clock.monotonic() + until_next(self._clock.time(), self._every)


def until_next(now: float, every: float) -> float:
    """Seconds from `now` to the next whole multiple of `every` if that divides a day; else `every`.

    >>> until_next(125.0, 60.0), until_next(120.0, 60.0), until_next(125.0, 7.0)
    (55.0, 60.0, 7.0)
    """
    return every if 86400 % every else every - now % every
