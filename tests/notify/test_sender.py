"""Delivery: order, rates, waits, outages, crashes."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.running import PATIENCE
from monitor.clock import ManualClock, SystemClock
from monitor.notify.http import Decision, Failure, Reply, decide
from monitor.notify.message import Message
from monitor.notify.plan import Policy
from monitor.notify.receiver import TRAITS, Limiter, Receiver
from monitor.rules.alert import Alert
from monitor.sender import MOVES, Sender, Senders
from monitor.store.records.notifications import head
from tests.notify.world import World, Writer, firing


class Crash(BaseException):
    """The process dies here."""


class Provider:
    """A receiver of a kind, in process: answers by `answer(time, message)`, and keeps what arrived and when."""

    def __init__(
        self, clock: ManualClock, kind: str, answer: Callable[[float, Message], tuple[Reply | Failure, bool]]
    ) -> None:
        self.clock, self.kind, self._answer = clock, kind, answer
        self.calls: list[float] = []
        self.arrived: list[Message] = []
        self.plain: list[bool] = []
        self.chat_id = "-1"

    def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:
        self.calls.append(self.clock.monotonic())
        self.plain.append(plain)
        answer, kept = self._answer(self.clock.monotonic(), message)
        if kept:
            self.arrived.append(message)
        return decide(TRAITS[self.kind], answer, plain=plain, now=now)


GOOD = {"slack": Reply(200, {}, b"ok"), "telegram": Reply(200, {}, b'{"ok": true}')}
LIMITS: dict[str, Callable[[], Limiter]] = {
    "slack": lambda: Limiter(gap=1.0),
    "telegram": lambda: Limiter(gap=1.0, burst=20, per=60.0),
}


def world_of(
    kind: str, answer: Callable[[float, Message], tuple[Reply | Failure, bool]], path: Path | str = ":memory:"
) -> tuple[World, Provider]:
    world = World('[receivers.log]\nkind = "log"\n', path)
    provider = Provider(world.clock, kind, answer)
    world.receivers = (Receiver("x", provider, LIMITS[kind]()),)
    return world, provider


def good(kind: str) -> Callable[[float, Message], tuple[Reply | Failure, bool]]:
    return lambda at, message: (GOOD[kind], True)


@pytest.mark.parametrize(
    ("headers", "body", "least", "most"),
    [
        ({"Retry-After": "30"}, b"", 30, 31),
        ({"Retry-After": "2.5"}, b"", 2.5, 3.5),
        ({"Retry-After": "Tue, 14 Nov 2023 22:20:20 GMT"}, b"", 420, 421),
        ({"Retry-After": "1000000000"}, b"", 3600, 3601),
        ({}, b'{"ok": false, "parameters": {"retry_after": 77}}', 77, 78),
        ({}, b'{"retry_after": 33}', 33, 34),
        ({}, b"", 1, 60),
        ({"Retry-After": "-5"}, b"", 1, 60),
    ],
)
def test_no_call_inside_the_wait(headers: dict[str, str], body: bytes, least: float, most: float) -> None:
    """Not for this message and not for a later one; and a restart does not shorten it."""
    answers = iter([(Reply(429, headers, body), False)])
    world, provider = world_of("telegram", lambda at, message: next(answers, (GOOD["telegram"], True)))
    world.evaluate([firing("a", at=world.clock.time())])
    sender = world.sender("x")
    assert sender.step() == 0
    assert least <= sender.step() <= most
    world.evaluate([firing("b", rule="other", at=world.clock.time())])
    world.clock.advance(least / 2)
    world.receivers = (replace(world.receivers[0], limiter=LIMITS["telegram"]()),)
    sender = world.sender("x")  # as after a restart: nothing in memory
    for _ in range(50):
        wait = sender.step()
        if len(provider.calls) > 1:
            break
        assert wait > 0
        world.clock.advance(min(wait, 0.9 * least / 10) if wait > 0.05 else wait)
    world.deliver(sender)
    first, second = provider.calls[:2]
    assert least <= second - first <= most + 0.2
    assert [message.group for message in provider.arrived] == ["drift", "other"]


@pytest.mark.parametrize(("kind", "gap", "per_minute"), [("slack", 1.0, 60), ("telegram", 1.0, 20)])
def test_provider_limits(kind: str, gap: float, per_minute: int) -> None:
    world, provider = world_of(kind, good(kind))
    for number in range(100):
        world.evaluate([firing(rule=f"rule {number}", at=world.clock.time())])
    sender = world.sender("x")
    for _ in range(60):
        world.deliver(sender, until=world.clock.monotonic() + 7)
        world.receivers = (replace(world.receivers[0], limiter=LIMITS[kind]()),)
        sender = world.sender("x")  # restarts do not reset the rate
    assert len(provider.arrived) >= 100
    calls = provider.calls
    assert all(later - earlier >= gap - 0.002 for earlier, later in pairwise(calls))
    assert all(calls[i + per_minute] - calls[i] >= 60 - 0.002 for i in range(len(calls) - per_minute))


def test_the_rate_counts_from_when_a_call_ended() -> None:
    """A slow call and a quick one after it reach the provider closer together than they began."""

    def answer(at: float, message: Message) -> tuple[Reply | Failure, bool]:
        world.clock.advance(0.7 if len(provider.calls) % 2 else 0.0)
        arrived.append(world.clock.monotonic())
        return GOOD["slack"], True

    arrived: list[float] = []
    world, provider = world_of("slack", answer)
    for number in range(6):
        world.evaluate([firing(rule=f"rule {number}", at=world.clock.time())])
    world.deliver(world.sender("x"))
    assert all(later - earlier >= 1 for earlier, later in pairwise(arrived))


def test_a_clock_set_years_ahead_kills_no_message() -> None:
    world, provider = world_of("slack", lambda at, message: (Reply(503), False) if at < 60 else (GOOD["slack"], True))
    world.evaluate([firing(at=world.clock.time())])
    world.clock.jump_to(world.clock.time() + 10 * 365 * 86_400)
    world.deliver(world.sender("x"))
    assert len(provider.arrived) == 1


def test_two_receivers_of_one_destination_share_its_rate() -> None:
    limiter = Limiter(gap=1.0)
    assert limiter.take(0.0) == 0
    assert limiter.take(0.0) == 1.0
    limiter.hold(30.0)
    assert limiter.take(10.0) == 20.0


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_hour_of_errors_then_delivered_once(status: int) -> None:
    world, provider = world_of(
        "slack", lambda at, message: (Reply(status), False) if at < 3600 else (GOOD["slack"], True)
    )
    world.evaluate([firing(at=world.clock.time())])
    world.deliver(world.sender("x"))
    assert len(provider.arrived) == 1
    assert provider.calls[-1] <= 3660
    gaps = [later - earlier for earlier, later in pairwise(provider.calls)]
    assert max(gaps) <= 60
    assert min(gaps) >= 1
    assert len(set(gaps[10:])) > 10
    assert provider.arrived[0].delayed >= 3600


def test_nothing_is_given_up_within_a_day() -> None:
    refused = Failure("connection refused")
    world, provider = world_of("slack", lambda at, message: (refused, False) if at < 86_400 else (GOOD["slack"], True))
    world.evaluate([firing(at=world.clock.time())])
    world.deliver(world.sender("x"))
    assert len(provider.arrived) == 1


def test_a_message_that_waited_says_how_long() -> None:
    world, provider = world_of("slack", lambda at, message: (Reply(503), False) if at < 120 else (GOOD["slack"], True))
    world.evaluate([firing(at=world.clock.time())])
    world.deliver(world.sender("x"))
    assert 120 <= provider.arrived[0].delayed <= 180


def test_plain_text_once_then_a_dead_letter() -> None:
    world, provider = world_of("slack", lambda at, message: (Reply(400, {}, b"invalid_blocks"), False))
    world.evaluate([firing(at=world.clock.time())])
    world.deliver(world.sender("x"))
    assert provider.plain == [False, True]
    (row,) = world.rows()
    assert (row["state"], row["answer"]) == ("dead", "refused as plain text too: HTTP 400: invalid_blocks")


def test_a_moved_group_is_followed_and_remembered() -> None:
    moved = Reply(400, {}, b'{"ok": false, "parameters": {"migrate_to_chat_id": -1009}}')
    chats: list[str] = []

    def answer(at: float, message: Message) -> tuple[Reply | Failure, bool]:
        chats.append(provider.chat_id)
        return (moved, False) if provider.chat_id == "-1" else (GOOD["telegram"], True)

    world, provider = world_of("telegram", answer)
    world.evaluate([firing(at=world.clock.time())])
    world.deliver(world.sender("x"))
    provider.chat_id = "-1"  # a new process reads the old id from its configuration
    world.clock.advance(600)
    world.evaluate([])
    world.deliver(world.sender("x"))
    assert chats == ["-1", "-1009", "-1009"]


def test_a_group_that_moves_in_circles_does_not_loop() -> None:
    moved = Reply(400, {}, b'{"ok": false, "parameters": {"migrate_to_chat_id": -1}}')
    world, provider = world_of("telegram", lambda at, message: (moved, False))
    world.evaluate([firing(at=world.clock.time())])
    world.deliver(world.sender("x"))
    assert len(provider.calls) <= 3
    assert world.rows()[0]["state"] == "dead"


@pytest.mark.parametrize("chats", [2, 1000])
def test_chats_that_move_to_one_another_or_for_ever_are_given_up(chats: int) -> None:
    def answer(at: float, message: Message) -> tuple[Reply | Failure, bool]:
        following = (int(provider.chat_id) + 1) % chats
        return Reply(400, {}, b'{"ok": false, "parameters": {"migrate_to_chat_id": %d}}' % following), False

    world, provider = world_of("telegram", answer)
    provider.chat_id = "0"
    sender = world.sender("x")
    for number in range(1, 11):
        world.evaluate([firing(f"c{number}", rule=f"r{number}", at=world.clock.time())])
        world.deliver(sender)
        world.clock.advance(60)
    assert {row["state"] for row in world.rows()} <= {"dead", "skipped"}
    assert len(provider.calls) <= 10 + MOVES


def test_a_lost_reply_is_repeated_once_and_says_so() -> None:
    answers = iter([(Failure("the connection broke", doubt=True), True)])
    world, provider = world_of("slack", lambda at, message: next(answers, (GOOD["slack"], True)))
    world.evaluate([firing(at=world.clock.time())])
    world.deliver(world.sender("x"))
    assert [message.repeated for message in provider.arrived] == [False, True]
    assert len({message.event_id for message in provider.arrived}) == 1


def test_an_end_whose_beginning_died_is_skipped() -> None:
    answers = iter([(Reply(403, {}, b"invalid_token"), False)])
    world, provider = world_of("slack", lambda at, message: next(answers, (GOOD["slack"], True)))
    world.evaluate([firing(at=world.clock.time())])
    sender = world.sender("x")
    world.deliver(sender)
    world.clock.advance(3600)
    world.evaluate([])
    world.deliver(sender)
    assert [row["state"] for row in world.rows()] == ["dead", "skipped"]
    assert provider.arrived == []


def test_a_store_that_fails_after_delivery_makes_no_repeat() -> None:
    world, provider = world_of("slack", good("slack"))
    world.evaluate([firing(at=world.clock.time())])

    def break_store() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    def failpoint(name: str) -> None:
        if name == "notify.posted":
            world.writer.fail = break_store

    sender = world.sender("x", failpoint)
    for _ in range(5):
        with pytest.raises(sqlite3.OperationalError):
            sender.step()
    world.writer.fail = lambda: None
    world.deliver(sender)
    assert len(provider.arrived) == 1
    assert world.rows()[0]["state"] == "sent"


def test_a_dead_slack_does_not_delay_telegram() -> None:
    world = World('[receivers.log]\nkind = "log"\n')
    slack = Provider(world.clock, "slack", lambda at, message: (Failure("no answer"), False))
    telegram = Provider(world.clock, "telegram", good("telegram"))
    world.receivers = (Receiver("slack", slack, Limiter()), Receiver("telegram", telegram, Limiter()))
    world.evaluate([firing(at=world.clock.time())])
    world.deliver(world.sender("slack"), until=100)
    world.deliver(world.sender("telegram"))
    assert (len(slack.arrived), len(telegram.arrived)) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("slack", Failure("no answer in time", doubt=True)),
        ("telegram", Reply(503)),
        ("slack", Reply(429, {"Retry-After": "1e9"})),
    ],
)
def test_a_day_of_outage_with_a_thousand_transitions(kind: str, failure: Reply | Failure) -> None:
    """At most 20 messages afterwards, with the last state of each rule, in order and within the provider's rate."""
    day = 86_400
    world, provider = world_of(kind, lambda at, message: (failure, False) if at < day else (GOOD[kind], True))
    world.policy = Policy(spacing=60)
    rng = random.Random(1)
    on: dict[str, Alert] = {}
    sender = world.sender("x")
    for number in range(1000):
        rule = f"rule {rng.randrange(12)}"
        if rule in on:
            del on[rule]
        else:
            on[rule] = firing(rule=rule, at=world.clock.time(), event=f"e{number}")
        world.evaluate(list(on.values()))
        world.deliver(sender, until=world.clock.monotonic() + day / 1000)
    assert world.rows("SELECT count(*) FROM notifications")[0][0] >= 1000
    assert world.clock.monotonic() >= day - 1
    world.deliver(sender)
    assert 2 <= len(provider.arrived) <= 20
    if not isinstance(failure, Reply) or failure.status != 429:
        assert provider.calls[-len(provider.arrived)] - day <= 60
    assert [m.kind for m in provider.arrived].count("digest") == 1
    newest = {m.group: m for m in provider.arrived}
    digest = next(m for m in provider.arrived if m.kind == "digest")
    for rule in on:
        said = next((said for about, said in digest.lines if f"rule {rule}:" in about), "")
        assert (
            "1 still firing" in said
            or (rule in newest and newest[rule].kind != "resolved")
            or "more rules" in digest.lines[-1][1]
        )
    check_order(provider.arrived)
    times = provider.calls[-len(provider.arrived) :]
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))
    world.clock.advance(600)
    world.evaluate([])
    world.deliver(sender)
    assert head(world.writer.connection, "x") is None


def check_order(messages: list[Message]) -> None:
    """No end before its beginning, within each group; a digest that names the group as drifting is a beginning."""
    heard: set[tuple[str, str]] = set()
    digested: set[str] = set()
    for message in messages:
        if message.kind == "resolved":
            assert (message.group, message.event_id) in heard or message.group in digested
        heard.add((message.group, message.event_id))
        digested |= {name.split("rule ")[1].split(":")[0] for name, said in message.lines if "still firing" in said}


def run_with_crashes(seed: int, path: Path) -> dict[str, int]:
    """One life of an outbox under random crashes and faults; see bench/delivery.py, which runs a thousand."""
    rng = random.Random(seed)
    lost_replies = 0
    calm = False

    def answer(at: float, message: Message) -> tuple[Reply | Failure, bool]:
        nonlocal lost_replies
        roll = 1.0 if calm else rng.random()
        if roll < 0.1:
            lost_replies += 1
            return Failure("the connection broke", doubt=True), True
        if roll < 0.2:
            return Failure("connection refused"), False
        if roll < 0.3:
            return Reply(rng.choice([500, 502, 503])), False
        if roll < 0.35:
            return Reply(429, {"Retry-After": str(rng.randrange(1, 90))}), False
        return GOOD["slack"], True

    crashes = 0

    def failpoint(name: str) -> None:
        nonlocal crashes
        if not calm and rng.random() < 0.1:
            crashes += 1
            raise Crash(name)

    world, provider = world_of("slack", answer, path)
    sender = world.sender("x", failpoint, seed)
    on: dict[str, Alert] = {}
    for step in range(30):
        rule = f"rule {rng.randrange(3)}"
        if rule in on:
            del on[rule]
        else:
            on[rule] = firing(rule=rule, at=world.clock.time(), event=f"e{step}")
        world.evaluate(list(on.values()))
        until = world.clock.monotonic() + rng.choice([5, 60, 200])
        while True:
            try:
                world.deliver(sender, until=until)
                break
            except Crash:
                world.writer.connection.close()
                world.writer = Writer(path)
                world.receivers = (replace(world.receivers[0], limiter=LIMITS["slack"]()),)
                sender = world.sender("x", failpoint, rng.randrange(10**6))
        world.clock.advance(max(0.0, until - world.clock.monotonic()))
    calm = True
    world.clock.advance(400)
    world.evaluate(list(on.values()))
    world.deliver(world.sender("x"))
    rows = world.rows()
    copies = Counter((m.group, m.kind, m.at) for m in provider.arrived)
    firsts = {(m.group, m.kind, m.at) for m in provider.arrived if not m.repeated}
    unmarked = sum(not m.repeated for m in provider.arrived) - len(firsts)
    check_order(provider.arrived)
    sent = {(row["group"], row["kind"], json.loads(row["message"])["at"]) for row in rows if row["state"] == "sent"}
    return {
        "queued": len(rows),
        "lost": sum(row["state"] in ("pending", "sending", "dead") for row in rows) + len(sent - set(copies)),
        "repeats": sum(copies.values()) - len(copies),
        "unmarked": unmarked,
        "allowed": crashes + lost_replies,
        "crashes": crashes,
        "lost replies": lost_replies,
    }


@pytest.mark.parametrize("seed", range(50))
def test_crashes_and_faults_lose_nothing(seed: int, tmp_path: Path) -> None:
    result = run_with_crashes(seed, tmp_path / "telltale.db")
    assert result["queued"] >= 10
    assert result["lost"] == 0
    assert result["repeats"] <= result["allowed"]
    assert result["unmarked"] == 0


def test_threads_deliver_when_woken_and_stop() -> None:
    world = World('[receivers.log]\nkind = "log"\n')
    arrived = threading.Event()

    class Quick:
        kind = "webhook"

        def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:
            arrived.set()
            return Decision("sent", "")

    world.receivers = (Receiver("x", Quick(), Limiter()),)
    senders = Senders(world.receivers, world.writer, SystemClock())
    senders.start()
    assert senders.restart_dead() == []
    world.evaluate([firing(at=world.clock.time())])
    senders.wake()
    assert arrived.wait(PATIENCE)
    senders.stop()
    assert not any(sender.alive for sender in senders.senders)
    assert world.rows()[0]["state"] == "sent"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_seen_and_started_again() -> None:
    world = World('[receivers.log]\nkind = "log"\n')
    died = threading.Event()

    class Deadly:
        kind = "webhook"

        def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:
            if not died.is_set():
                died.set()
                raise SystemExit  # what ends a thread without a word
            return Decision("sent", "")

    world.receivers = (Receiver("x", Deadly(), Limiter()),)
    world.evaluate([firing(at=world.clock.time())])
    senders = Senders(world.receivers, world.writer, SystemClock())
    senders.start()
    thread: Any = senders.senders[0]._thread
    thread.join(PATIENCE)
    assert senders.restart_dead() == ["x"]
    senders.senders[0].wake()
    assert senders.restart_dead() == []
    senders.stop()


def test_a_sender_needs_no_store_to_stay_alive(caplog: pytest.LogCaptureFixture) -> None:
    world, _ = world_of("slack", good("slack"))
    tried = threading.Semaphore(0)

    def fail() -> None:
        tried.release()
        raise sqlite3.OperationalError("disk I/O error")

    world.writer.fail = fail
    sender = Sender(world.receivers[0], world.writer, world.clock)
    sender.start()
    for _ in range(3):
        for _ in range(1000):
            if tried.acquire(timeout=0.01):
                break
            world.clock.advance(60)
        else:
            raise AssertionError("it does not try again")
    assert sender.alive
    assert "disk I/O error" in caplog.text
    sender.stop()
