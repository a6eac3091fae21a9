"""One thread per receiver: takes the oldest message from the outbox, delivers it, and stores the outcome.

A message is claimed in the store before it is posted and settled after. If the process dies in between, the message is
sent again with the same event id and says that it may be a repeat: no provider has an idempotency key.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from monitor import failpoint
from monitor.clock import Clock, SystemClock
from monitor.notify.backlog_digest import OUTAGE, Item, collapse
from monitor.notify.receiver import Receiver
from monitor.notify.retry import LONGEST_WAIT, UNCLEAR_TRIES, UNCLEAR_WAIT, Decision, backoff
from monitor.store.records.notifications import StoreOutbox

#: Seconds between two looks at an empty outbox; a new message wakes the sender at once.
IDLE = 30.0

#: A message that was refused for so many seconds and attempts becomes a dead letter. Both, because a clock that is set
#: years ahead makes everything old.
GIVE_UP, LEAST_ATTEMPTS = 7 * 86_400.0, 100

#: A Telegram chat moves once, to a supergroup. After more moves than this, or one back, messages are dead letters.
MOVES = 3

_log = logging.getLogger(__name__)


class Sender:
    """Delivers the messages of one receiver, in order."""

    def __init__(
        self,
        receiver: Receiver,
        outbox: StoreOutbox,
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
        """Stop; a call that takes longer than `timeout` seconds is sent again later."""
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
            except Exception as error:  # noqa: BLE001 - the thread must live to deliver the next message
                self._failures += 1
                delay = backoff(self._failures, self._rng)
                self.problem = f"{type(error).__name__}: {error}"
                level = logging.ERROR if self._failures == 1 else logging.DEBUG
                _log.log(level, "receiver %s: the outbox fails, trying again: %s", self.receiver.name, self.problem)
            if delay > 0 and not self._stop:
                self._clock.wait(self._wake, delay)

    def step(self) -> float:
        """Do the next thing that is due; return the seconds until the next step, 0 for at once."""
        if self._unsaved is not None:
            # The answer is known and must be stored before anything else happens.
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
        """Continue where an earlier process stopped: its calls count for the rate, its waits go on."""
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
        """Collapse a backlog, or drop an end whose beginning never arrived. Returns True if something changed."""
        now, name = self._clock.time(), self.receiver.name
        if now - item.created >= OUTAGE:
            told = self._outbox.told(name)
            collapsed = collapse(self._outbox.backlog(name), told, now)
            if collapsed is not None:
                self._outbox.collapse(name, collapsed, now)
                return True
            if item.message.kind == "picture":
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
        age = now - item.created
        delayed = age if age >= OUTAGE or (item.attempts and age >= 60) else 0.0
        message = replace(item.message, repeated=item.doubt, delayed=delayed)
        decision = self.receiver.notifier.send(message, plain=item.plain, now=now)
        self.receiver.limiter.done(self._clock.monotonic())
        self._reach("notify.posted")
        item = replace(item, attempts=item.attempts + 1)
        # Set before saving: if the store fails now, the answer is kept and nothing is sent twice.
        self._unsaved = (item, decision)
        if decision.action == "retry":
            self._hold(item, decision)
        self._save(item, decision)
        self._reach("notify.settled")

    def _hold(self, item: Item, decision: Decision) -> None:
        pause = backoff(item.attempts, self._rng)
        if decision.after is not None:
            # A little later than asked, since a provider's clock may round.
            pause = decision.after + self._rng.uniform(0.05, 1.0)
        elif decision.unclear and item.attempts > UNCLEAR_TRIES:
            pause = UNCLEAR_WAIT
        self.receiver.limiter.hold(self._clock.monotonic() + pause)

    def _save(self, item: Item, decision: Decision) -> None:
        now = self._clock.time()
        again = {"plain": item.plain, "doubt": item.doubt or decision.doubt}
        name, picture = self.receiver.name, item.message.kind == "picture"
        chat = getattr(self.receiver.notifier, "chat_id", "")
        moves = decision.action == "migrate" and decision.chat not in (chat, *self._left) and len(self._left) < MOVES
        if moves:
            self._left.add(chat)
            self._outbox.remember(self._chat_key(), decision.chat)
            self._move(decision.chat)
            self._outbox.retry(item.id, decision.reason, now, **again)
        elif decision.action == "plain" and not picture:
            self._outbox.retry(item.id, decision.reason, now, plain=True, doubt=again["doubt"])
        elif decision.action == "sent":
            self._outbox.settle(item.id, "sent", decision.reason, now)
        elif picture:
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
        self, receivers: Iterable[Receiver], outbox: StoreOutbox, clock: Clock | None = None, **options: Any
    ) -> None:
        self.senders: Sequence[Sender] = tuple(Sender(receiver, outbox, clock, **options) for receiver in receivers)

    def start(self) -> None:
        """Start a thread for each receiver."""
        for sender in self.senders:
            sender.start()

    def wake(self) -> None:
        """Wake all senders; to be called after the transaction that queued a message has committed."""
        for sender in self.senders:
            sender.wake()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop all in parallel, within about `timeout` seconds."""
        for sender in self.senders:
            sender.stop(0)
        deadline = time.monotonic() + timeout
        for sender in self.senders:
            sender.stop(max(0.0, deadline - time.monotonic()))

    def dead_threads(self) -> list[str]:
        """Names of receivers whose thread has died; /healthz is red then."""
        return [sender.receiver.name for sender in self.senders if not sender.alive and not sender._stop]

    def restart_dead(self) -> list[str]:
        """Start the threads that died again and return their names."""
        names = self.dead_threads()
        for sender in self.senders:
            if sender.receiver.name in names:
                sender.start()
        return names
