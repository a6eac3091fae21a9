"""A receiver: a named destination, the notifier that speaks its protocol, and its rate limit."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from monitor.notify.message import Message

if TYPE_CHECKING:
    from monitor.notify.http import Decision  # it loads requests, for which commands that only read need not wait

#: What a kind of receiver may do, besides its body (bodies.py): kinds that take a picture or file after a message, that
#: take files within one, and that get all firing alerts again and again, not only news.
UPLOADS, ATTACHES, LEVELS = ("slack-bot", "telegram"), ("apprise",), ("alertmanager",)

#: Gap and burst of `Limiter`. Slack: one message a second. Telegram: also 20 a minute in a chat.
LIMITS = {"slack": (1.0,), "slack-bot": (1.0,), "apprise": (1.0,), "telegram": (1.0, 20)}


class Notifier(Protocol):
    """Makes one attempt to deliver a message. It raises nothing for what a server does, and never waits."""

    kind: str

    def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:
        """Send a message. `plain`: without markup, because that was refused. `now`: seconds since 1970."""


class Limiter:
    """Keeps a destination's rate: at most `burst` calls in `per` seconds, `gap` seconds apart, none during a hold.

    Receivers with the same destination share its limiter. Times are monotonic seconds.

    >>> limiter = Limiter(gap=1.0)
    >>> limiter.take(10.0), limiter.take(10.25), limiter.take(11.0)
    (0.0, 0.75, 0.0)
    """

    def __init__(self, gap: float = 0.0, burst: float = 0, per: float = 60.0) -> None:
        self.gap, self.burst, self.per = gap, burst, per
        self._calls: deque[float] = deque(maxlen=max(int(burst), 1))
        self._held_until = 0.0
        self._lock = threading.RLock()

    def wait(self, now: float) -> float:
        """Seconds until the next call is allowed; 0 if it is allowed now."""
        with self._lock:
            due = self._held_until
            if self._calls:
                due = max(due, self._calls[-1] + self.gap)
            if self.burst and len(self._calls) == self.burst:
                due = max(due, self._calls[0] + self.per)
            return max(0.0, due - now)

    def take(self, now: float) -> float:
        """Take the right to call now and return 0, or return the seconds to wait for it."""
        with self._lock:
            wait = self.wait(now)
            if wait <= 0:
                self.record(now)
            return wait

    def done(self, now: float) -> None:
        """Count the last call from its end: it reached the provider at some time between `take` and `done`."""
        with self._lock:
            if self._calls:
                self._calls[-1] = max(self._calls[-1], now)

    def record(self, now: float) -> None:
        """Count a call, such as one of an earlier process."""
        with self._lock:
            self._calls.append(now)

    def hold(self, until: float) -> None:
        """Allow no call before a time; a later hold that ends sooner does not shorten it."""
        with self._lock:
            self._held_until = max(self._held_until, until)


@dataclass(frozen=True, slots=True)
class Receiver:
    """One `[receivers.NAME]`, ready to use. `target` names the destination without its secret.

    `everything`: it is told of all alerts, whatever the rules say. `pictures`: it gets pictures too.
    """

    name: str
    notifier: Notifier
    limiter: Limiter
    severities: tuple[str, ...] = ()
    match: tuple[tuple[str, str], ...] = ()
    resolved: bool = True
    everything: bool = False
    target: str = ""
    pictures: bool = False

    @property
    def kind(self) -> str:
        """Which kind of receiver it is, as in config.toml."""
        return self.notifier.kind
