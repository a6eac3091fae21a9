"""One thread per receiver: takes the oldest message from the outbox, delivers it, and stores the outcome.

A message is claimed in the store before it is posted and settled after. If the process dies in between, the message is
sent again with the same event id and says that it may be a repeat: no provider has an idempotency key.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from monitor import failpoint
from monitor.clock import Clock
from monitor.notify.backlog import OUTAGE, Item, collapse
from monitor.notify.http import LONGEST_WAIT, UNCLEAR_TRIES, UNCLEAR_WAIT, Decision, backoff
from monitor.notify.receiver import Receiver
from monitor.store.file.writer import Writer
from monitor.store.records import notifications as outbox
from monitor.store.windows.rows import read_meta, write_meta

P = ParamSpec("P")
T = TypeVar("T")

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
        writer: Writer,
        clock: Clock,
        rng: random.Random | None = None,
        reach: Callable[[str], None] = failpoint.reach,
    ) -> None:
        self.receiver = receiver
        self._writer, self._clock = writer, clock
        self._rng, self._reach = rng or random.Random(), reach
        self._wake, self._stop = threading.Event(), False
        self._thread: threading.Thread | None = None
        self._restored, self._failures = False, 0
        #: What became of an attempt that the store has yet to take.
        self._unsaved: tuple[Item, Decision] | None = None
        #: Telegram chats that have moved away.
        self._left: set[str] = set()
        self._chat_key = f"telegram chat of {receiver.name}, configured as {receiver.target}"

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
                level = logging.ERROR if self._failures == 1 else logging.DEBUG
                _log.log(level, "receiver %s: the outbox fails, trying again: %r", self.receiver.name, error)
            if delay > 0 and not self._stop:
                self._clock.wait(self._wake, delay)

    def _store(self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        """Run a function of the store in a transaction of its own."""
        return self._writer.call(lambda connection: function(connection, *args, **named))

    def step(self) -> float:
        """Do the next thing that is due; return the seconds until the next step, 0 for at once."""
        if self._unsaved is not None:
            # The answer is known and must be stored before anything else happens.
            self._save(*self._unsaved)
        if not self._restored:
            self._restore()
        item = self._store(outbox.head, self.receiver.name)
        if item is None:
            return IDLE
        wait = self.receiver.limiter.wait(self._clock.monotonic())
        if wait <= 0 and not item.attempts and self._tidy(item):
            return 0.0
        wait = wait or self.receiver.limiter.take(self._clock.monotonic())
        if wait <= 0:
            self._attempt(item)
        return wait

    def _restore(self) -> None:
        """Continue where an earlier process stopped: its calls count for the rate, its waits go on."""
        now, monotonic = self._clock.time(), self._clock.monotonic()
        limiter, name = self.receiver.limiter, self.receiver.name
        for moment in self._store(outbox.recent, name, now - 60):
            limiter.record(monotonic - max(0.0, now - moment))
        head = self._store(outbox.head, name)
        if head is not None and head.next_try is not None:
            limiter.hold(monotonic + min(max(0.0, head.next_try - now), LONGEST_WAIT))
        if moved := self._store(read_meta, self._chat_key, ""):
            self._move(moved)
        self._restored = True

    def _tidy(self, item: Item) -> bool:
        """Collapse a backlog, or drop a message that came too late. Returns True if something changed."""
        now, name, kind, late = self._clock.time(), self.receiver.name, item.message.kind, ""
        old = now - item.created >= OUTAGE
        delivered = self._store(outbox.delivered_events, name) if old or kind == "resolved" else frozenset()
        if old and (collapsed := collapse(self._store(outbox.backlog, name), delivered, now)):
            self._store(outbox.collapse, name, collapsed, now)
            return True
        if old and kind == "picture":
            late = "too late for a picture"
        if kind == "resolved" and item.message.event_id not in delivered:
            late = "the message that it ends was never delivered"
        if late:
            self._store(outbox.settle, item.id, "skipped", late, now)
        return bool(late)

    def _attempt(self, item: Item) -> None:
        now = self._clock.time()
        self._store(outbox.claim, item.id, now)
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
            pause = backoff(item.attempts, self._rng)
            if decision.after is not None:
                # A little later than asked, since a provider's clock may round.
                pause = decision.after + self._rng.uniform(0.05, 1.0)
            elif decision.unclear and item.attempts > UNCLEAR_TRIES:
                pause = UNCLEAR_WAIT
            self.receiver.limiter.hold(self._clock.monotonic() + pause)
        self._save(item, decision)
        self._reach("notify.settled")

    def _save(self, item: Item, decision: Decision) -> None:
        now, name, picture = self._clock.time(), self.receiver.name, item.message.kind == "picture"
        action, why, doubt = decision.action, decision.reason, item.doubt or decision.doubt
        chat = getattr(self.receiver.notifier, "chat_id", "")
        moves = action == "migrate" and decision.chat not in (chat, *self._left) and len(self._left) < MOVES
        patient = now - item.created < GIVE_UP or item.attempts < LEAST_ATTEMPTS
        if moves:
            self._left.add(chat)
            self._store(write_meta, self._chat_key, decision.chat)
            self._move(decision.chat)
        if moves or (action == "plain" and not picture):
            self._store(outbox.retry, item.id, why, now, plain=item.plain or action == "plain", doubt=doubt)
        elif action == "sent" or picture:
            self._store(outbox.settle, item.id, "sent" if action == "sent" else "skipped", why, now)
        elif action == "retry" and patient:
            next_try = now + self.receiver.limiter.wait(self._clock.monotonic())
            self._store(outbox.retry, item.id, why, next_try, plain=item.plain, doubt=doubt)
            _log.info("receiver %s: %s; next try in %.0f s", name, why, next_try - now)
        else:
            self._store(outbox.settle, item.id, "dead", why, now)
            _log.error("receiver %s: a message cannot be delivered: %s", name, why)
        self._unsaved = None

    def _move(self, chat: str) -> None:
        notifier: Any = self.receiver.notifier
        notifier.chat_id = chat


class Senders:
    """All senders of a process."""

    def __init__(self, receivers: Iterable[Receiver], writer: Writer, clock: Clock) -> None:
        self.senders = tuple(Sender(receiver, writer, clock) for receiver in receivers)

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
        deadline = time.monotonic() + timeout
        for sender in self.senders:
            sender.stop(0)
        for sender in self.senders:
            sender.stop(max(0.0, deadline - time.monotonic()))

    def restart_dead(self) -> list[str]:
        """Start the threads that have died again; return the names of their receivers."""
        dead = [sender for sender in self.senders if not sender.alive and not sender._stop]
        for sender in dead:
            sender.start()
        return [sender.receiver.name for sender in dead]
