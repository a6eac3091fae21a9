"""The table of answers: status x body x kind."""

from __future__ import annotations

import html
import json
import random
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from monitor.config.settings import RECEIVER_KINDS
from monitor.notify.http import LONGEST_WAIT, Failure, Reply, backoff, decide, retry_after
from monitor.notify.receiver import TRAITS
from monitor.notify.secret import Secret

HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
KINDS = ("slack", "slack-bot", "telegram", "webhook", "alertmanager")
GOOD = {
    "slack": b"ok",
    "slack-bot": b'{"ok": true}',
    "telegram": b'{"ok": true, "result": {}}',
    "webhook": b"",
    "alertmanager": b"",
}
PARSE = b'{"ok": false, "error_code": 400, "description": "Bad Request: can\'t parse entities: x"}'
LONG = b'{"ok": false, "error_code": 400, "description": "Bad Request: message is too long"}'


def test_each_kind_of_the_settings_has_traits() -> None:
    assert tuple(TRAITS) == RECEIVER_KINDS


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (301, "dead"), (302, "retry"), (303, "retry"), (304, "dead"), (307, "retry"), (308, "dead"),
        (401, "dead"), (403, "dead"), (404, "dead"), (405, "dead"), (408, "retry"), (410, "dead"), (425, "retry"),
        (429, "retry"), (500, "retry"), (501, "retry"), (502, "retry"), (503, "retry"), (504, "retry"), (599, "retry"),
    ],
)  # fmt: skip
def test_a_status_that_is_no_success_is_never_taken_for_one(status: int, action: str) -> None:
    for kind in KINDS:
        for body in (b"", b"ok", HTML, b'{"ok": true}', b"\xff\xfe", b"[" * 70_000):
            assert decide(TRAITS[kind], Reply(status, {}, body)).action == action, (kind, body[:20])


@pytest.mark.parametrize("kind", KINDS)
def test_success_as_the_provider_says_it(kind: str) -> None:
    assert decide(TRAITS[kind], Reply(200, {}, GOOD[kind])).action == "sent"


@pytest.mark.parametrize("kind", ["slack", "slack-bot", "telegram"])
@pytest.mark.parametrize("body", [b"", HTML, b"{", b"null", b'"ok"', b'{"ok": 1}', b"okay", b"\x00" * 65536])
def test_a_success_that_makes_no_sense_is_in_doubt(kind: str, body: bytes) -> None:
    decision = decide(TRAITS[kind], Reply(200, {}, body))
    assert (decision.action, decision.doubt, decision.unclear) == ("retry", True, True)


CASES: list[tuple[str, int, bytes, bool, str]] = [
    ("slack", 400, b"invalid_blocks", False, "plain"),
    ("slack", 400, b"invalid_blocks", True, "dead"),
    ("slack", 400, b"invalid_payload", False, "plain"),
    ("slack", 400, b"no_text", False, "plain"),
    ("slack", 400, b"user_not_found", False, "dead"),
    ("slack", 403, b"invalid_token", False, "dead"),
    ("slack", 403, b"action_prohibited", False, "dead"),
    ("slack", 404, b"no_service", False, "dead"),
    ("slack", 410, b"channel_is_archived", False, "dead"),
    ("slack", 413, b"too large", False, "plain"),
    ("slack", 429, b"rate_limited", False, "retry"),
    ("slack", 500, b"rollup_error", False, "retry"),
    ("slack-bot", 200, b'{"ok": false, "error": "invalid_blocks"}', False, "plain"),
    ("slack-bot", 200, b'{"ok": false, "error": "invalid_blocks"}', True, "dead"),
    ("slack-bot", 200, b'{"ok": false, "error": "channel_not_found"}', False, "dead"),
    ("slack-bot", 200, b'{"ok": false, "error": "invalid_auth"}', False, "dead"),
    ("slack-bot", 200, b'{"ok": false, "error": "ratelimited"}', False, "retry"),
    ("slack-bot", 200, b'{"ok": false, "error": "internal_error"}', False, "retry"),
    ("slack-bot", 200, b'{"ok": false}', False, "dead"),
    ("telegram", 400, PARSE, False, "plain"),
    ("telegram", 400, PARSE, True, "dead"),
    ("telegram", 400, LONG, False, "plain"),
    ("telegram", 400, b'{"ok": false, "error_code": 400, "description": "Bad Request: chat not found"}', False, "dead"),
    ("telegram", 200, b'{"ok": false, "error_code": 401, "description": "Unauthorized"}', False, "dead"),
    ("telegram", 200, b'{"ok": false, "error_code": 429, "parameters": {"retry_after": 3}}', False, "retry"),
    ("telegram", 401, b'{"ok": false, "error_code": 401, "description": "Unauthorized"}', False, "dead"),
    ("telegram", 403, b'{"ok": false, "description": "Forbidden: bot was blocked by the user"}', False, "dead"),
    ("telegram", 400, b'{"ok": false, "parameters": {"migrate_to_chat_id": -1001234567890}}', False, "migrate"),
    ("telegram", 400, b'{"ok": false, "parameters": {"migrate_to_chat_id": true}}', False, "dead"),
    ("telegram", 400, b'{"ok": false, "parameters": "x"}', False, "dead"),
    ("webhook", 204, b"", False, "sent"),
    ("webhook", 400, b"invalid_blocks", False, "dead"),
    ("alertmanager", 200, HTML, False, "retry"),
    ("alertmanager", 400, b'{"message": "bad labels"}', False, "dead"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "status", "body", "plain", "action"), CASES)
def test_body_decides(kind: str, status: int, body: bytes, plain: bool, action: str) -> None:
    assert decide(TRAITS[kind], Reply(status, {}, body), plain=plain).action == action


def test_migration_names_the_new_chat() -> None:
    body = b'{"ok": false, "parameters": {"migrate_to_chat_id": -1001234567890}}'
    assert decide(TRAITS["telegram"], Reply(400, {}, body)).chat == "-1001234567890"


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"Retry-After": "30"}, b"", 30.0),
        ({"retry-after": " 30 "}, b"", 30.0),
        ({"Retry-After": "1.5"}, b"", 1.5),
        ({"Retry-After": "0"}, b"", None),
        ({"Retry-After": "-30"}, b"", None),
        ({"Retry-After": "1000000000"}, b"", LONGEST_WAIT),
        ({"Retry-After": "9" * 5000}, b"", LONGEST_WAIT),
        ({"Retry-After": "inf"}, b"", None),
        ({"Retry-After": "Infinity"}, b"", None),
        ({"Retry-After": "1e999"}, b"", None),
        ({"Retry-After": "-inf"}, b"", None),
        ({"Retry-After": "1_000"}, b"", None),
        ({"Retry-After": "nan"}, b"", None),
        ({"Retry-After": "soon"}, b"", None),
        ({"Retry-After": ""}, b"", None),
        ({}, b"", None),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT"}, b"", 60.0),
        ({"Retry-After": "Tuesday, 14-Nov-23 22:14:20 GMT"}, b"", 60.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:12:20 GMT"}, b"", None),
        ({"Retry-After": "Tue, 14 Nov 2099 22:12:20 GMT"}, b"", LONGEST_WAIT),
        ({"Retry-After": "Tue, 14 Nov 99999 22:12:20 GMT"}, b"", None),
        ({"Retry-After": "Wed, 15 Nov 2023 00:00:30 GMT", "Date": "Wed, 15 Nov 2023 00:00:00 GMT"}, b"", 30.0),
        ({}, b'{"retry_after": 7}', 7.0),
        ({}, b'{"retry_after": 0.25}', 0.25),
        ({}, b'{"retry_after": "7"}', 7.0),
        ({}, b'{"retry_after": true}', None),
        ({}, b'{"retry_after": null}', None),
        ({}, b'{"retry_after": [7]}', None),
        ({}, b'{"retry_after": 1e999}', None),
        ({}, b'{"retry_after": NaN}', None),
        ({}, b'{"retry_after": ' + b"9" * 4000 + b"}", LONGEST_WAIT),
        ({}, b'{"parameters": {"retry_after": 12}}', 12.0),
        ({"Retry-After": "5"}, b'{"parameters": {"retry_after": 12}}', 12.0),
        ({"Retry-After": "20"}, b'{"parameters": {"retry_after": 12}}', 20.0),
    ],
)
def test_retry_after_in_every_spelling(headers: dict[str, str], body: bytes, wait: float | None) -> None:
    now = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
    assert retry_after(Reply(429, CaseInsensitiveDict(headers), body), now) == wait


@given(st.text(max_size=40), st.binary(max_size=80), st.integers(100, 999), st.sampled_from(KINDS))
def test_no_answer_breaks_the_table(header: str, body: bytes, status: int, kind: str) -> None:
    decision = decide(TRAITS[kind], Reply(status, {"Retry-After": header, "Date": header}, body), now=1.7e9)
    assert decision.after is None or 0 < decision.after <= LONGEST_WAIT
    assert "\n" not in decision.reason
    assert len(decision.reason) < 300


@pytest.mark.parametrize("doubt", [True, False])
def test_no_answer_is_tried_again(doubt: bool) -> None:
    decision = decide(TRAITS["slack"], Failure("no answer in time", doubt))
    assert (decision.action, decision.doubt) == ("retry", doubt)


@given(st.integers(1, 10_000), st.integers())
def test_backoff_stays_between_one_second_and_a_minute(attempts: int, seed: int) -> None:
    assert 1 <= backoff(attempts, random.Random(seed)) <= 60


TOKEN = "6012345678:AAH-canary_of_a_bot_Tq3vZ9LmN0pXyW"
HOOK = "https://hooks.example/run/7/go?sv=1&sig=Zq8%2Fcanary%2BkP031xT%3D&sp=%2Fread"


@pytest.mark.parametrize(
    "said",
    [
        "x" * 100 + f" no such bot{TOKEN}",
        "x" * 150 + f" no such bot{TOKEN}",
        f"cut short: bot{TOKEN[:26]}",
        f"cut short: bot...{TOKEN[20:]}",
        HOOK.replace("&", "&amp;"),
        HOOK.replace("&", "&#38;"),
        json.dumps(HOOK).replace("&", "\\u0026"),
        json.dumps(HOOK).replace("/", "\\/"),
        unquote(HOOK),
        quote(HOOK, safe=""),
        quote(quote(HOOK, safe=""), safe=""),
        html.escape(unquote(HOOK)),
        "signature Zq8/canary+kP031xT= is not valid",
        "signature starts with Zq8/canary+",
    ],
)
@pytest.mark.parametrize("key", ["description", "error", ""])
def test_no_secret_is_kept_of_an_answer_that_repeats_it(said: str, key: str) -> None:
    Secret(TOKEN), Secret(HOOK)
    body = json.dumps({key: said}).encode() if key else said.encode()
    decision = decide(TRAITS["webhook"], Reply(403, {}, body))
    assert "canary" not in decision.reason
    assert len(decision.reason) <= 170


def test_backoff_has_jitter() -> None:
    rng = random.Random(0)
    assert len({backoff(10, rng) for _ in range(20)}) == 20
