"""Secrets: where they are read, how they are held, and how they are kept out of every text.

A webhook address or a bot token is held in a `Secret`, which does not print. Every log record and every stored answer
of a provider is cleaned of all secrets too, because urllib3 logs the path of a request at DEBUG, and the path to a
Slack webhook or a Telegram bot is the secret.
"""

from __future__ import annotations

import html
import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from monitor.errors import ConfigError

HIDDEN = "[secret]"

#: Shorter texts are not looked for in logs: that would hide words such as "ok".
SHORTEST = 8

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_known: tuple[str, ...] = ()

#: Parts of secrets, by their length, to find one that was cut: 12 for addresses, which begin with ordinary words, and
#: SHORTEST for tokens.
_parts: dict[int, frozenset[str]] = {12: frozenset(), SHORTEST: frozenset()}

_JSON_ESCAPE = re.compile(r"\\(?:u00([0-7][0-9a-fA-F])|([/&]))")


@dataclass(frozen=True, repr=False, slots=True)
class Secret:
    """A text that does not print.

    >>> token = Secret("123456:not-a-real-token")
    >>> f"{token} {token!r}", token.reveal()[:6], redact("POST /bot123456:not-a-real-token/x")
    ('[secret] [secret]', '123456', 'POST /bot[secret]/x')
    """

    _value: str

    def __post_init__(self) -> None:
        _remember(self._value)

    def reveal(self) -> str:
        """Return the text itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not written anywhere")


def redact(text: str) -> str:
    """Return the text with every known secret replaced, also one that is escaped, and one of which a part is left.

    >>> key = Secret("https://hooks.example/run?sig=q8-ZkP0_31xT&sv=1")
    >>> redact("at /run?sig=q8-ZkP0_31xT&amp;sv=1"), redact("sig%3Dq8-ZkP0_3"), redact("50 % done")
    ('at [secret]', '[secret]', '50 % done')
    """
    if not _known:
        return text
    plain = clean = _unescaped(text)
    for secret in _known:
        clean = clean.replace(secret, HIDDEN)
    for length, parts in _parts.items():
        found = [at for at in range(len(clean) - length + 1) if clean[at : at + length] in parts]
        for start, end in reversed(_joined(found, length)):
            clean = clean[:start] + HIDDEN + clean[end:]
    return clean if clean != plain else text


def _joined(starts: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Stretches of a text that parts of this length cover, from where the parts begin."""
    out: list[tuple[int, int]] = []
    for start in starts:
        first = out.pop()[0] if out and start <= out[-1][1] else start
        out.append((first, start + length))
    return out


def _unescaped(text: str) -> str:
    """Undo the ways in which an address is escaped in HTML, JSON and addresses, up to three times over."""
    for _ in range(3):
        plain = _JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)
        text, before = unquote(html.unescape(plain)), text
        if text == before:
            break
    return text


def read_secret(
    what: str, *, literal: str = "", env: str = "", file: str = "", environ: Mapping[str, str] | None = None
) -> Secret | None:
    """Read a secret from where the configuration says. Returns None if it names no place.

    `what` names the secret in errors, such as `receivers.night: url`. Raises ConfigError with the name of the variable
    or the file, never with its content.
    """
    given = [name for name, value in (("itself", literal), ("_env", env), ("_file", file)) if value]
    if len(given) > 1:
        raise ConfigError(f"{what} is given twice ({' and '.join(given)}); keep one of them")
    value = literal.strip()
    if env:
        value = (os.environ if environ is None else environ).get(env, "").strip()
        if not value:
            raise ConfigError(f"{what}: the environment variable {env} is not set or empty")
    elif file:
        value = _from_file(what, Path(file))
    if not value.isprintable():
        raise ConfigError(f"{what}: holds line breaks or control characters; put nothing else beside the secret")
    return Secret(value) if value else None


def _from_file(what: str, path: Path) -> str:
    try:
        value = path.read_text("utf-8").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError(f"{what}: {path} cannot be read: {reason}") from None
    if not value:
        raise ConfigError(f"{what}: {path} is empty")
    if mode & 0o077:
        _log.warning("%s: %s can be read by others (mode %o); chmod 600 it", what, path, mode & 0o777)
    return value


def guard_logs() -> None:
    """Clean every log record of this process from now on. Idempotent.

    The record factory sees everything: a filter on a logger misses its children's records, and one on a handler misses
    handlers that are added later.
    """
    factory = logging.getLogRecordFactory()
    if getattr(factory, "telltale_guard", False):
        return

    def guarded(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        if _known:
            try:
                text = record.getMessage()
            except Exception:  # noqa: BLE001 - a broken log call stays logging's to report
                return record
            if (clean := redact(text)) != text:
                record.msg, record.args = clean, None
            if record.exc_info and record.exc_info[1] is not None:
                trace = logging.Formatter().formatException(record.exc_info)
                if (clean := redact(trace)) != trace:
                    record.exc_info, record.exc_text = None, clean
        return record

    guarded.telltale_guard = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(guarded)


def _remember(value: str) -> None:
    """Remember a secret in the forms in which a client prints it, the longest first."""
    global _known, _parts
    parts = urlsplit(value) if "://" in value else None
    if parts and not (parts.path.strip("/") or parts.query or parts.username):
        return  # a bare host is no secret
    forms, long, short = {value}, [], [value]
    if parts:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        if target == "/api/v2/alerts":
            return
        short = [*(part.partition("=")[2] for part in parts.query.split("&")), parts.password or ""]
        forms |= {target, parts.query, *short}
        forms |= {piece for piece in parts.path.split("/") if len(piece) >= 16}
        long = [target]
    with _lock:
        wanted = {form for text in forms for form in (text, _unescaped(text)) if len(form) >= SHORTEST}
        _known = tuple(sorted({*_known, *wanted}, key=len, reverse=True))
        _parts = {
            length: known
            | {text[at : at + length] for text in map(_unescaped, texts) for at in range(len(text) - length + 1)}
            for (length, known), texts in zip(_parts.items(), (long, short), strict=True)
        }
