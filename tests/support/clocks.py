"""Clocks for tests."""

from __future__ import annotations

import threading

from monitor.clock import ManualClock


class FastClock(ManualClock):
    """Waiting takes no time, but is counted."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.advance(seconds)
        return event.is_set()
