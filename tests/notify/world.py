"""A small world for the tests of notify: alerts on demand, a real outbox, a fake provider, a hand-moved clock."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from monitor import failpoint
from monitor.clock import ManualClock
from monitor.columns.column import Column
from monitor.config.load import Config
from monitor.drift.result import AlertKey, Direction, DriftResult, Explanation, Span
from monitor.notify.http import Http
from monitor.notify.picture import histogram
from monitor.notify.plan import Notification, Policy, Situation, plan
from monitor.notify.receiver import Receiver
from monitor.notify.receivers import build_receivers
from monitor.rules.alert import Alert, Transition
from monitor.rules.rule import Rule
from monitor.sender import Sender
from monitor.store.records.notifications import enqueue, head, load_groups
from monitor.words import percent
from tests.support.databases import closed_after_test, migrate_copy

T = TypeVar("T")

NUMERIC = Column("bmi", "feature", "numeric", edges=tuple(np.linspace(-0.1, 0.2, 21).tolist()))


def firing(column: str = "bmi", *, rule: str = "drift", at: float = 0.0, event: str = "", **more: object) -> Alert:
    """An alert that fires since a moment."""
    facts = {"severity": "warning", "value": 0.41, **more}
    return Alert(
        rule, column, facts.pop("role", "feature"), "firing", at, at, event_id=event or f"{column}-{at:.0f}", **facts
    )  # type: ignore[arg-type]


def verdict(alert: Alert, end: float, value: float = 0.41, **more: object) -> DriftResult:
    """The verdict that an alert stands on."""
    said = more.pop(
        "direction",
        Direction("mean was 0.01, now 0.0571 (1.0 sd)", "moved", (), 0.01, 0.0571),
    )
    facts: dict[str, object] = {"kind": "numeric", "explanation": Explanation(said), **more}
    return DriftResult(
        alert.rule, alert.column, alert.role, statistic="ks", state="drift", window=Span(end - 1800, end),
        reference="training", model_version="3f2a1b", n=1024, m=442, value=value, critical=0.0921, floor=0.05, **facts,
    )  # type: ignore[arg-type]  # fmt: skip


def categorical(grew: tuple[str, float, float], shrank: tuple[str, float, float]) -> Direction:
    """A direction of a categorical column: the name, the share before and after, of what grew and what shrank."""
    said = [f"{name} (was {percent(before)}, now {percent(after)})" for name, before, after in (grew, shrank)]
    return Direction(f"more {said[0]}; fewer {said[1]}", "moved", (grew[0], shrank[0]), *grew[1:])


def bell(centre: float, rows: int = 1000) -> np.ndarray:
    """Counts of a bell curve in the bins of NUMERIC."""
    values = np.random.default_rng(0).normal(centre, 0.03, rows)
    counts = np.bincount(np.searchsorted(NUMERIC.edges, values), minlength=NUMERIC.size)
    return counts.astype(np.int64)


def drawing(_: AlertKey) -> dict[str, list[Any]] | None:
    """Histograms for a picture."""
    return histogram(NUMERIC, bell(0.02), bell(0.09))


class Writer:
    """The store's writer, reduced: one connection, one transaction a call, on whichever thread asks."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self.connection = closed_after_test(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        self.connection.row_factory = sqlite3.Row
        # What dies here is a process, never the power: the disk may take its time.
        self.connection.execute("PRAGMA synchronous = OFF")
        migrate_copy(self.connection)
        self._lock = threading.Lock()
        self.fail: Callable[[], None] = lambda: None

    def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            self.fail()
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                result = function(self.connection)
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")
            return result


class World:
    """Plans and delivers to the receivers of a configuration."""

    def __init__(
        self, text: str, path: Path | str = ":memory:", *, deadline: float = 5.0, environ: dict[str, str] | None = None
    ) -> None:
        self.clock = ManualClock()
        self.config = Config.from_text(text)
        self.writer = Writer(path)
        self.http = Http(deadline)
        self.environ = environ or {"TOKEN": "123456:test-token-of-nobody"}
        self.receivers = build_receivers(self.config, self.http, self.environ)
        self.policy = Policy()

    def evaluate(
        self,
        alerts: Sequence[Alert],
        muted: Iterable[AlertKey] = (),
        results: dict[AlertKey, DriftResult] | None = None,
        rules: Sequence[Rule] = (),
        transitions: Sequence[Transition] = (),
    ) -> tuple[Notification, ...]:
        """One evaluation: plan and queue in one transaction; return what was queued."""
        now = self.clock.time()
        found = results if results is not None else {a.key: verdict(a, now) for a in alerts}
        situation = Situation(
            now, alerts, transitions, found, frozenset(muted), drawing, "3f2a1b", "http://127.0.0.1:5000/"
        )

        def run(connection: sqlite3.Connection) -> tuple[Notification, ...]:
            made = plan(situation, load_groups(connection), self.receivers, rules, (), self.policy)
            enqueue(connection, made)
            return made.notifications

        return self.writer.call(run)

    def receiver(self, name: str) -> Receiver:
        return next(receiver for receiver in self.receivers if receiver.name == name)

    def sender(self, name: str, reach: Callable[[str], None] = failpoint.reach, seed: int = 0) -> Sender:
        return Sender(self.receiver(name), self.writer, self.clock, random.Random(seed), reach)

    def deliver(self, sender: Sender, until: float = 0.0, limit: int = 5000) -> None:
        """Step a sender, moving the clock through its waits, until it is idle or `until` (monotonic) has come."""
        for _ in range(limit):
            wait = sender.step()
            if wait <= 0:
                continue
            if head(self.writer.connection, sender.receiver.name) is None:
                return
            if until and self.clock.monotonic() + wait > until:
                self.clock.advance(max(0.0, until - self.clock.monotonic()))
                return
            self.clock.advance(max(wait, 1e-6))  # a wait below the clock's grain would never pass
        raise AssertionError("the sender does not come to rest")

    def rows(self, sql: str = "SELECT * FROM notifications ORDER BY id") -> list[sqlite3.Row]:
        return self.writer.connection.execute(sql).fetchall()


def slack_and_telegram(url: str) -> str:
    """A configuration with one of each."""
    return f"""
    [receivers.team]
    kind = "slack"
    url = "{url}/services/T000/B000/canary-of-a-webhook"
    [receivers.night]
    kind = "telegram"
    token_env = "TOKEN"
    chat_id = "-100"
    api_url = "{url}"
    """
