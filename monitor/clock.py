"""Time, as everything in Telltale reads it: UTC for stamps, a monotonic clock for waiting.

Code takes a `Clock`, so that a test can move time by hand and a replay can run months in minutes.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

#: Seconds of each.
MINUTE, HOUR, DAY, WEEK = 60, 3600, 86_400, 604_800

#: 2200-01-01, seconds since 1970 UTC: no moment is later; what seems to be is milliseconds taken for seconds.
FAR = 7_258_118_400


class Clock(Protocol):
    """What a clock answers."""

    def time_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC. May jump when the machine's clock is set."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for `event`, at most `seconds`; True when it is set."""
        return event.wait(seconds)


class SystemClock(Clock):
    """The machine's own clocks."""

    time_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class ManualClock:
    """A clock that stands still until it is moved.

    >>> clock = ManualClock(1_000.0)
    >>> clock.advance(60)
    >>> clock.time(), clock.monotonic()
    (1060.0, 60.0)
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._ns = round(start * 1e9)
        self._monotonic_ns = 0
        self._moved = threading.Condition()

    def time_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return self._ns

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._ns / 1e9

    def monotonic(self) -> float:
        """Seconds that `advance` has added up."""
        return self._monotonic_ns / 1e9

    def advance(self, seconds: float) -> None:
        """Let time pass: both clocks move."""
        with self._moved:
            self._ns += round(seconds * 1e9)
            self._monotonic_ns += round(seconds * 1e9)
            self._moved.notify_all()

    def jump_to(self, epoch: float) -> None:
        """Set the wall clock, as an operator or NTP would; monotonic time does not move."""
        with self._moved:
            self._ns = round(epoch * 1e9)
            self._moved.notify_all()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until `event` is set or `advance` has added `seconds`."""
        deadline = self.monotonic() + seconds
        with self._moved:
            while not event.is_set() and self.monotonic() < deadline:
                self._moved.wait(0.01)
        return event.is_set()


@lru_cache(maxsize=1024)  # thousands of rows of one evaluation have the same few moments
def iso(epoch: float) -> str:
    """Write a moment as UTC in ISO 8601, to the second, or to the millisecond where it has a fraction.

    >>> iso(0), iso(1.5)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z')
    """
    moment = datetime.fromtimestamp(round(epoch, 3), UTC)
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.removesuffix("+00:00") + "Z"


def from_iso(text: str) -> float:
    """Read a moment written in ISO 8601; a time without a zone is UTC.

    >>> from_iso("1970-01-01T00:01:00Z"), from_iso("1970-01-02"), from_iso("1970-01-01T01:00:00+01:00")
    (60.0, 86400.0, 0.0)
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def utc_offset(hour: int, zone: ZoneInfo) -> int:
    """Hours, rounded, by which the clocks of a time zone were ahead of UTC at a whole hour since 1970.

    >>> utc_offset(0, ZoneInfo("Europe/Berlin"))
    1
    """
    offset = datetime.fromtimestamp(hour * 3600, UTC).astimezone(zone).utcoffset()
    return round(offset.total_seconds() / 3600) if offset else 0
