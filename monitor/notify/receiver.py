"""A receiver: a named destination, the notifier that speaks its protocol, and its rate limit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from monitor.notify.message import Message

if TYPE_CHECKING:
    from monitor.notify.http import Decision  # it loads requests, for which commands that only read need not wait


def any_body(body: bytes, data: Mapping[str, Any]) -> bool | None:  # noqa: ARG001
    """An answer of 2xx says that the message was taken."""
    return True


def no_page(body: bytes, data: Mapping[str, Any]) -> bool | None:  # noqa: ARG001
    """An answer of 2xx says that the message was taken, unless it is a page, as of a proxy that wants a password."""
    return None if body.lstrip()[:1] == b"<" else True


def ok_in_json(body: bytes, data: Mapping[str, Any]) -> bool | None:  # noqa: ARG001
    """The JSON of an answer says whether the message was taken."""
    if data.get("ok") is True or data.get("success") is True:
        return True
    return False if data.get("ok") is False else None


def ok_in_words(body: bytes, data: Mapping[str, Any]) -> bool | None:
    """The text or the JSON of an answer says whether the message was taken."""
    return True if body.strip() == b"ok" else ok_in_json(body, data)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a kind of receiver may do and what its answers mean; its body is in bodies.py.

    `rate`: gap and burst of `Limiter`. `uploads`: it takes a picture or file after a message; `attaches`: files within
    one. `levels`: it gets all firing alerts again and again, not only news. `taken`: whether an answer of 2xx, its body
    and that as JSON, says that the message was taken; None if it makes no sense. `markup`, `passing`: patterns of
    errors by which it refuses our markup, not our words, and of those that pass by themselves. `moves`: its chat may
    move to another id.
    """

    rate: tuple[float, ...] = ()
    uploads: bool = False
    attaches: bool = False
    levels: bool = False
    taken: Callable[[bytes, Mapping[str, Any]], bool | None] = any_body
    markup: str = ""
    passing: str = ""
    moves: bool = False


_SLACK: dict[str, Any] = {
    "rate": (1.0,),  # a message a second
    "markup": "invalid_blocks|invalid_payload|invalid_attachments|no_text|msg_blocks_too_long|msg_too_long",
    "passing": "ratelimited|rate_limited|internal_error|fatal_error|service_unavailable|request_timeout|rollup_error|"
    "message_limit_exceeded|team_added_to_org",
}

#: By kind, as in config.toml.
TRAITS = {
    "slack": Traits(**_SLACK, taken=ok_in_words),
    "slack-bot": Traits(**_SLACK, taken=ok_in_json, uploads=True),
    "telegram": Traits(
        rate=(1.0, 20),  # a message a second, and 20 a minute in a chat
        uploads=True,
        taken=ok_in_json,
        markup="parse entities|parse message text|entity|unsupported start tag|message is too long|message_too_long",
        moves=True,
    ),
    "webhook": Traits(),
    "alertmanager": Traits(levels=True, taken=no_page),
    "apprise": Traits(rate=(1.0,), attaches=True),
    "log": Traits(),
}


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

    @property
    def traits(self) -> Traits:
        """What its kind may do."""
        return TRAITS[self.kind]
