"""What an answer means: delivered, try again in so many seconds, try once as plain text, or never.

Everything here is a pure function of the answer; waiting is the sender's.
"""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from monitor.notify.http import Failure, Reply
from monitor.notify.secret import redact

Action = Literal["sent", "retry", "plain", "dead", "migrate"]

#: A provider that asks for more than this is asked again after it: by then the backlog has become a digest.
LONGEST_WAIT = 3600.0
BACKOFF_FIRST, BACKOFF_CAP = 1.0, 60.0

#: An answer that says 2xx and makes no sense may well have delivered: after so many, only one try in so many seconds.
UNCLEAR_TRIES, UNCLEAR_WAIT = 5, 900.0

_DIGITS = re.compile(r"[0-9]+(\.[0-9]+)?")

#: Slack errors that mean our blocks, not our words, were refused; and those that pass by themselves.
SLACK_FORMAT = (
    "invalid_blocks",
    "invalid_payload",
    "invalid_attachments",
    "no_text",
    "msg_blocks_too_long",
    "msg_too_long",
)
SLACK_PASSING = (
    "ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout",
    "rollup_error", "message_limit_exceeded", "team_added_to_org",
)  # fmt: skip
TELEGRAM_FORMAT = (
    "parse entities",
    "parse message text",
    "message is too long",
    "unsupported start tag",
    "entity",
    "message_too_long",
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do next, and why in words that may be stored and shown.

    `after`: seconds that the provider asked for; None leaves it to the back-off. `doubt`: it may have been delivered.
    `chat`: the new id of a Telegram group that moved. `unclear`: an answer of success that makes no sense.
    """

    action: Action
    reason: str
    after: float | None = None
    doubt: bool = False
    chat: str = ""
    unclear: bool = False


def decide(kind: str, answer: Reply | Failure, *, plain: bool = False, now: float = 0.0) -> Decision:
    """Judge an answer of a receiver of this kind.

    `plain`: the plain-text form was sent already. `now`: seconds since 1970, for a Retry-After that is a date.
    """
    if isinstance(answer, Failure):
        return Decision("retry", answer.reason, doubt=answer.doubt)
    data = _json(answer.body)
    status = answer.status
    words = _words(answer, data)
    if kind in ("slack", "slack-bot", "telegram") and 200 <= status < 300:
        if data.get("ok") is True or data.get("success") is True or (kind == "slack" and answer.body.strip() == b"ok"):
            return Decision("sent", words)
        if data.get("ok") is not False:
            return Decision("retry", f"unclear answer: {words}", doubt=True, unclear=True)
        status = int(_number(data.get("error_code")) or 400)
    elif kind == "alertmanager" and 200 <= status < 300 and answer.body.lstrip()[:1] == b"<":
        return Decision("retry", f"unclear answer: {words}", doubt=True, unclear=True)
    elif 200 <= status < 300:
        return Decision("sent", words)
    return _refused(kind, status, answer, data, words, plain, now)


def _refused(
    kind: str, status: int, answer: Reply, data: dict[str, Any], words: str, plain: bool, now: float
) -> Decision:
    error = str(data.get("error") or data.get("description") or answer.body[:200].decode("utf-8", "replace")).lower()
    if kind == "telegram" and (chat := _migrated(data)):
        return Decision("migrate", words, chat=chat)
    if status == 429 or (kind.startswith("slack") and any(name in error for name in SLACK_PASSING)):
        return Decision("retry", words, after=retry_after(answer, now))
    if status in (408, 409, 425) or status >= 500 or status < 200:
        return Decision("retry", words, after=retry_after(answer, now), doubt=status in (500, 502, 504))
    if status in (302, 303, 307):
        return Decision("retry", f"a redirect was refused: {words}")
    if 300 <= status < 400:
        return Decision("dead", f"a redirect was refused: {words}")
    shape = SLACK_FORMAT if kind.startswith("slack") else TELEGRAM_FORMAT if kind == "telegram" else ()
    if (status == 413 and shape) or (status == 400 and any(name in error for name in shape)):
        return Decision("dead", f"refused as plain text too: {words}") if plain else Decision("plain", words)
    return Decision("dead", words)


def retry_after(answer: Reply, now: float) -> float | None:
    """Seconds that an answer asks to wait, at most an hour; None where it does not say, or says nonsense.

    The header counts in seconds, as a fraction or as a date; the body as `retry_after` or `parameters.retry_after`.
    Where several say it, the longest wait holds.

    >>> retry_after(Reply(429, {"Retry-After": "1.5"}), 0), retry_after(Reply(429, {"Retry-After": "-1"}), 0)
    (1.5, None)
    >>> retry_after(Reply(429, {}, b'{"parameters": {"retry_after": 7}}'), 0)
    7.0
    >>> retry_after(Reply(429, {"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}), 20)
    40.0
    """
    data = _json(answer.body)
    inner = data.get("parameters")
    header = answer.header("retry-after")
    spelled = [header, data.get("retry_after"), inner.get("retry_after") if isinstance(inner, dict) else None]
    waits = [wait for item in spelled if (wait := _number(item)) is not None and wait > 0]
    if header and _number(header) is None and (moment := _date(header)) is not None:
        # The server's own clock, where it tells it: ours may be wrong.
        waits.append(moment - (_date(answer.header("date") or "") or now))
    longest = max(waits, default=0.0)
    return min(longest, LONGEST_WAIT) if longest > 0 else None


def backoff(attempts: int, rng: random.Random) -> float:
    """Seconds to wait after so many failed attempts: doubling to 60 s, with jitter, never less than 1 s.

    >>> [round(backoff(n, random.Random(1)), 1) for n in (1, 2, 3, 10)]
    [1.1, 2.3, 4.5, 34.0]
    """
    top = min(BACKOFF_CAP, BACKOFF_FIRST * 2.0 ** min(attempts, 10))
    return max(BACKOFF_FIRST, rng.uniform(top / 2, top))


def _json(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _number(value: object) -> float | None:
    """A number of at most an hour, from a number or its digits; None for everything else."""
    if isinstance(value, str):
        value = float(value) if _DIGITS.fullmatch(value.strip()) else None
        return None if value is None else min(value, LONGEST_WAIT)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) == math.inf:
        return None
    return float(max(-1, min(value, LONGEST_WAIT)))


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _migrated(data: dict[str, Any]) -> str:
    inner = data.get("parameters")
    chat = inner.get("migrate_to_chat_id") if isinstance(inner, dict) else None
    return str(chat) if isinstance(chat, int) and not isinstance(chat, bool) else ""


def _words(answer: Reply, data: dict[str, Any]) -> str:
    """The answer in one line that may be stored: status, and what the provider said, without secrets."""
    said = data.get("description") or data.get("error") or data.get("message")
    text = said if isinstance(said, str) else answer.body.decode("utf-8", "replace")
    # Cleaned before it is cut: a secret across the cut would not be found after it.
    text = "".join(c if c.isprintable() else " " for c in redact(text)[:160]).strip()
    return f"HTTP {answer.status}: {text}" if text else f"HTTP {answer.status}"
