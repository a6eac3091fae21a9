"""Hostile names, categories and labels through every renderer, judged by the strict fakes."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.drift.result import Explanation
from monitor.notify import bodies, picture
from monitor.notify.message import Message, entry
from monitor.notify.text import cut, lay_out, units
from tests.notify.hostile import CORPUS, NAMES
from tests.notify.world import World, categorical, firing, slack_and_telegram, verdict
from tests.support.fake_providers import fake_provider
from tests.support.provider_rules import slack_problem, telegram_problem


def message(name: str, columns: int = 1, kind: str = "firing") -> Message:
    """A message in which everything that can come from outside is hostile."""
    alert = firing(name, at=1e9, labels={"team": name, name or "x": name}, role="prediction")
    result = verdict(alert, 1e9, kind="categorical")._replace(reference=name, model_version=name)
    result = result._replace(explanation=Explanation(categorical((name, 0.1, 0.5), (name, 0.5, 0.1))))
    harm = f"harmful: share of {name} +5 points"
    item = replace(entry(alert, "new", result), harm=harm, explained=name, model=name)
    link, lines = "http://127.0.0.1:5000/", ((name, "now over"),) * 12
    entries = tuple(replace(item, since=1e9 - 60 * place) for place in range(columns))
    one = Message(kind, name, "critical", name, 1e9 + 60, name, name, entries, 1e9, 9, link, lines)  # type: ignore[arg-type]
    return replace(one, repeated=True, delayed=90.0)


def check(one: Message) -> None:
    for body in (bodies.slack(one), bodies.slack(one, blocks=False)):
        assert slack_problem(body) == ""
        assert len(body["text"]) <= 3 * bodies.FALLBACK
        json.dumps(body).encode("utf-8")
    for body in (bodies.telegram(one), bodies.telegram(one, markup=False)):
        assert telegram_problem({"chat_id": "1", **body}) == ""
        assert units(body["text"]) <= bodies.LIMIT
        json.dumps(body, ensure_ascii=False).encode("utf-8")
    json.dumps(bodies.webhook(one)).encode("utf-8")
    json.dumps(bodies.alertmanager(one)).encode("utf-8")


@pytest.mark.parametrize("kind", ["firing", "update", "repeat", "resolved", "digest", "test"])
def test_the_corpus_breaks_no_message(kind: str) -> None:
    for name in CORPUS:
        check(message(name, 40 if kind == "update" else 1, kind))


@settings(max_examples=200, deadline=None)
@given(NAMES, st.integers(1, 60), st.sampled_from(["firing", "update", "repeat", "resolved", "digest", "test"]))
def test_no_name_breaks_a_message(name: str, columns: int, kind: str) -> None:
    check(message(name, columns, kind))


def test_two_hundred_hostile_names_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through plan, outbox, sender and a strict provider over HTTP, each with a picture: the first one."""
    draw, drawn = picture.draw, list[bytes]()

    def draw_once(message: Message) -> bytes:  # `test_drawing_takes_any_name` draws the names
        drawn.extend([] if drawn else [draw(message)])
        return drawn[0]

    monkeypatch.setattr(picture, "draw", draw_once)
    rng = random.Random(7)
    names = [
        *CORPUS,
        *("".join(rng.choices([*"<>&`*_~|", "!channel", "b>", "\U0001f600", "x"], k=30)) for _ in range(200)),
    ]
    names = list(dict.fromkeys(name.encode("utf-8", "replace").decode() for name in names))[:200]
    with fake_provider() as provider:
        world = World(slack_and_telegram(provider.url))
        for first in range(0, len(names), 10):
            now = world.clock.time()
            some = enumerate(names[first : first + 10], first)
            world.evaluate(
                [firing(name, rule=f"rule {number}", at=now, labels={"team": name}) for number, name in some]
            )
            for receiver in ("team", "night"):
                world.deliver(world.sender(receiver))
            world.clock.advance(60)
        assert provider.refusals == []
        # Each rule fires once and is over an evaluation later: two messages a rule and receiver, less the last ends.
        assert len(provider.delivered) >= 2 * len(names)
        assert {row["state"] for row in world.rows()} <= {"sent", "pending"}


@given(NAMES, st.integers(2, 80))
def test_cut_keeps_characters_whole(name: str, limit: int) -> None:
    short = cut(name, limit)
    assert 0 < len(short) <= max(limit, len("(blank)"))
    assert short == short.strip() or short.endswith("…")
    assert not re.search(r"[\x00-\x1f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", short)
    assert short == "(blank)" or len(short) <= limit


def test_cut_does_not_split_an_emoji() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert cut("aa" + family, 4) == "aa…"
    assert cut("a\U0001f44d\U0001f3fdbbb", 4) == "a\U0001f44d\U0001f3fd…"
    assert cut("a\U0001f44d\U0001f3fdbbb", 3) == "a…"
    assert cut("ae\u0301bbbb", 3) == "a…"


def test_what_is_left_out_is_counted() -> None:
    """Forty columns with the longest names there can be: Telegram's limit holds and the rest is counted."""
    many = message("&" * 200, 40)
    text = bodies.telegram(many)["text"]
    shown = text.count(": mean ")
    left = re.search(r"and (\d+) more", text.split("\n\n", 1)[1])
    assert left
    assert shown + int(left[1]) == 40
    assert lay_out(many).beyond == 29
