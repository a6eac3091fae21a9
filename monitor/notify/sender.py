"""One thread per receiver: takes the oldest message from the outbox, delivers it, and writes down what came of it.

A message is claimed in the store before it is posted and settled after. Whoever dies in between leaves it claimed; it
is sent again then, with the same event id, and says that it may be a repeat. No provider has a key that would avoid it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from monitor import failpoint
from monitor.clock import Clock, SystemClock
from monitor.notify.backlog_digest import OUTAGE, Collapse, Waiting, collapse
from monitor.notify.message import Message
from monitor.notify.receiver import Receiver
from monitor.notify.retry import LONGEST_WAIT, UNCLEAR_TRIES, UNCLEAR_WAIT, Decision, backoff

#: Seconds between looks when nothing is due; a new message wakes the sender up at once.
IDLE = 30.0

#: A message that nobody took for this long, in so many attempts, becomes a dead letter. Both, since a clock that is set
#: years ahead makes everything old.
GIVE_UP, LEAST_ATTEMPTS = 7 * 86_400.0, 100

#: A Telegram chat moves once, to a supergroup. More moves than this, or one back, and its messages are dead letters.
MOVES = 3

Outcome = Literal["sent", "dead", "collapsed", "skipped"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """An outbox row that is not settled. `doubt`: an attempt may have arrived; `next_try`: seconds since 1970."""

    id: int
    group: str
    created: float
    attempts: int
    message: Message
    plain: bool = False
    doubt: bool = False
    next_try: float | None = None


class Outbox(Protocol):
    """Where messages wait. Each call is one transaction; each may raise when the store cannot be used."""

    def head(self, receiver: str) -> Item | None:
        """The message to deliver next: one that was tried already, else a digest, else the oldest."""

    def backlog(self, receiver: str) -> list[Item]:
        """All messages that are not settled, the oldest first."""

    def told(self, receiver: str) -> frozenset[str]:
        """Event ids that the receiver has heard of."""

    def recent(self, receiver: str, since: float) -> list[float]:
        """When attempts were made since a moment, in order."""

    def claim(self, item: int, now: float) -> None:
        """Write down that an attempt begins."""

    def settle(self, item: int, outcome: Outcome, answer: str, now: float) -> None:
        """Write down how it ended."""

    def retry(self, item: int, answer: str, next_try: float, *, plain: bool, doubt: bool) -> None:
        """Write down that it goes on."""

    def fold(self, receiver: str, collapsed: Collapse, now: float) -> None:
        """Settle the folded messages and queue their digest."""

    def remember(self, key: str, value: str) -> None:
        """Keep a small fact over restarts."""

    def recall(self, key: str) -> str | None:
        """Read such a fact."""


class Sender:
    """Delivers the messages of one receiver, in order."""

    def __init__(
        self,
        receiver: Receiver,
        outbox: Outbox,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        reach: Callable[[str], None] = failpoint.reach,
    ) -> None:
        self.receiver = receiver
        self._outbox, self._clock = outbox, clock or SystemClock()
        self._rng = rng or random.Random()
        self._reach = reach
        self._wake, self._stop = threading.Event(), False
        self._thread: threading.Thread | None = None
        self._restored = False
        self._unsaved: tuple[Item, Decision] | None = None
        self._failures = 0
        self._left: set[str] = set()
        self.problem = ""

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"telltale-send-{self.receiver.name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at the outbox now: something was queued."""
        self._wake.set()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop; what is under way gets `timeout` seconds, and is sent again later if it takes longer."""
        self._stop = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop:
            self._wake.clear()
            try:
                delay = self.step()
                self._failures = 0
            except Exception as error:  # noqa: BLE001 - a sender that ends delivers nothing any more
                self._failures += 1
                delay = backoff(self._failures, self._rng)
                self.problem = f"{type(error).__name__}: {error}"
                _log.log(
                    logging.ERROR if self._failures == 1 else logging.DEBUG,
                    "receiver %s: the outbox cannot be used, trying on: %s",
                    self.receiver.name,
                    self.problem,
                )
            if delay > 0 and not self._stop:
                self._clock.wait(self._wake, delay)

    def step(self) -> float:
        """Do the next thing that is due; return how many seconds there is nothing to do, 0 for go on."""
        if self._unsaved is not None:
            # Delivered or not, the answer is known: it must reach the store before anything else happens.
            self._save(*self._unsaved)
        if not self._restored:
            self._restore()
        item = self._outbox.head(self.receiver.name)
        if item is None:
            return IDLE
        wait = self.receiver.limiter.wait(self._clock.monotonic())
        if wait > 0:
            return wait
        if not item.attempts and self._tidy(item):
            return 0.0
        wait = self.receiver.limiter.take(self._clock.monotonic())
        if wait <= 0:
            self._attempt(item)
        return wait

    def _restore(self) -> None:
        """Go on where an earlier process stopped: its calls count for the rate, its waits are waited to their end."""
        now, monotonic = self._clock.time(), self._clock.monotonic()
        limiter = self.receiver.limiter
        for moment in self._outbox.recent(self.receiver.name, now - 60):
            limiter.record(monotonic - max(0.0, now - moment))
        head = self._outbox.head(self.receiver.name)
        if head is not None and head.next_try is not None:
            limiter.hold(monotonic + min(max(0.0, head.next_try - now), LONGEST_WAIT))
        if moved := self._outbox.recall(self._chat_key()):
            self._move(moved)
        self._restored = True

    def _tidy(self, item: Item) -> bool:
        """Fold a backlog, or drop an end whose beginning never arrived; True if something changed."""
        now, name = self._clock.time(), self.receiver.name
        if now - item.created >= OUTAGE:
            told = self._outbox.told(name)
            waiting = [Waiting(i.id, i.group, i.created, i.attempts, i.message) for i in self._outbox.backlog(name)]
            collapsed = collapse(waiting, told, now)
            if collapsed is not None:
                self._outbox.fold(name, collapsed, now)
                return True
        if item.message.kind == "picture" and now - item.created >= OUTAGE:
            self._outbox.settle(item.id, "skipped", "too late for a picture", now)
            return True
        if item.message.kind == "resolved" and item.message.event_id not in self._outbox.told(name):
            self._outbox.settle(item.id, "skipped", "the message that it ends was never delivered", now)
            return True
        return False

    def _attempt(self, item: Item) -> None:
        now = self._clock.time()
        self._outbox.claim(item.id, now)
        self._reach("notify.claimed")
        late = item.attempts > 0 or now - item.created >= OUTAGE
        delayed = max(0.0, now - item.created) if late and now - item.created >= 60 else 0.0
        message = replace(item.message, repeated=item.doubt, delayed=delayed)
        decision = self.receiver.notifier.send(message, plain=item.plain, now=now)
        self.receiver.limiter.done(self._clock.monotonic())
        self._reach("notify.posted")
        item = replace(item, attempts=item.attempts + 1)
        # Set before saving: should the store fail now, the answer is not lost and nothing is sent twice.
        self._unsaved = (item, decision)
        if decision.action == "retry":
            self._hold(item, decision)
        self._save(item, decision)
        self._reach("notify.settled")

    def _hold(self, item: Item, decision: Decision) -> None:
        pause = backoff(item.attempts, self._rng)
        if decision.after is not None:
            # As told, and a little later: a provider's clock may round.
            pause = decision.after + self._rng.uniform(0.05, 1.0)
        elif decision.unclear and item.attempts > UNCLEAR_TRIES:
            pause = UNCLEAR_WAIT
        self.receiver.limiter.hold(self._clock.monotonic() + pause)

    def _save(self, item: Item, decision: Decision) -> None:
        now = self._clock.time()
        again = {"plain": item.plain, "doubt": item.doubt or decision.doubt}
        name = self.receiver.name
        chat = getattr(self.receiver.notifier, "chat_id", "")
        moves = decision.action == "migrate" and decision.chat not in (chat, *self._left) and len(self._left) < MOVES
        if moves:
            self._left.add(chat)
            self._outbox.remember(self._chat_key(), decision.chat)
            self._move(decision.chat)
            self._outbox.retry(item.id, decision.reason, now, **again)
        elif decision.action == "plain" and item.message.kind != "picture":
            self._outbox.retry(item.id, decision.reason, now, plain=True, doubt=again["doubt"])
        elif decision.action == "sent":
            self._outbox.settle(item.id, "sent", decision.reason, now)
        elif item.message.kind == "picture":
            self._outbox.settle(item.id, "skipped", decision.reason, now)
        elif decision.action == "retry" and (now - item.created < GIVE_UP or item.attempts < LEAST_ATTEMPTS):
            next_try = now + self.receiver.limiter.wait(self._clock.monotonic())
            self._outbox.retry(item.id, decision.reason, next_try, **again)
            _log.info("receiver %s: %s; next try in %.0f s", name, decision.reason, next_try - now)
        else:
            self._outbox.settle(item.id, "dead", decision.reason, now)
            _log.error("receiver %s: a message cannot be delivered: %s", name, decision.reason)
        self._unsaved = None
        self.problem = "" if decision.action == "sent" else decision.reason

    def _chat_key(self) -> str:
        return f"telegram chat of {self.receiver.name}, configured as {self.receiver.target}"

    def _move(self, chat: str) -> None:
        notifier: Any = self.receiver.notifier
        notifier.chat_id = chat


class Senders:
    """All senders of a process."""

    def __init__(
        self, receivers: Iterable[Receiver], outbox: Outbox, clock: Clock | None = None, **options: Any
    ) -> None:
        self.senders: Sequence[Sender] = tuple(Sender(receiver, outbox, clock, **options) for receiver in receivers)

    def start(self) -> None:
        """Start a thread for each receiver."""
        for sender in self.senders:
            sender.start()

    def wake(self) -> None:
        """Tell all that the outbox has changed. Call it after the transaction that queued something has committed."""
        for sender in self.senders:
            sender.wake()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop all, side by side, within about `timeout` seconds."""
        for sender in self.senders:
            sender.stop(0)
        deadline = time.monotonic() + timeout
        for sender in self.senders:
            sender.stop(max(0.0, deadline - time.monotonic()))

    def dead_threads(self) -> list[str]:
        """Names of receivers whose thread has ended though nobody stopped it; /healthz is red then."""
        return [sender.receiver.name for sender in self.senders if not sender.alive and not sender._stop]

    def restart_dead(self) -> list[str]:
        """Start those again and return their names."""
        names = self.dead_threads()
        for sender in self.senders:
            if sender.receiver.name in names:
                sender.start()
        return names
