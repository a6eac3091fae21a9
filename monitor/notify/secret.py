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
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from monitor.errors import ConfigError

HIDDEN = "[secret]"

#: Length of the parts by which a secret is found, also one that was cut: those of an address begin with ordinary words.
#: Shorter secrets than a token's part are not looked for: that would hide words such as "ok".
ADDRESS_PART, TOKEN_PART = 12, 8

_log = logging.getLogger(__name__)
_lock = threading.Lock()

#: All parts of all secrets, by their length.
_parts: dict[int, frozenset[str]] = {}

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
    """Return the text with every secret replaced, also one that is escaped, and one of which a part is left.

    >>> key = Secret("https://hooks.example/run?sig=q8-ZkP0_31xT&sv=1")
    >>> redact("at /run?sig=q8-ZkP0_31xT&amp;sv=1"), redact("sig%3Dq8-ZkP0_3"), redact("50 % done")
    ('at [secret]', '[secret]', '50 % done')
    """
    clean = _unescaped(text)
    covered = bytearray(len(clean))
    for length, parts in _parts.items():
        for at in range(len(clean) - length + 1):
            if clean[at : at + length] in parts:
                covered[at : at + length] = b"\1" * length
    if not any(covered):
        return text
    stretches = groupby(zip(covered, clean, strict=True), key=itemgetter(0))
    return "".join(HIDDEN if hidden else "".join(c for _, c in stretch) for hidden, stretch in stretches)


def _unescaped(text: str) -> str:
    """Undo the ways in which an address is escaped in HTML, JSON and addresses, up to three times over."""
    for _ in range(3):
        plain = _JSON_ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else escape[2], text)
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
    ways = [name for name, value in (("itself", literal), ("_env", env), ("_file", file)) if value]
    if len(ways) > 1:
        raise ConfigError(f"{what} is given twice ({' and '.join(ways)}); keep one of them")
    value = literal.strip()
    if env:
        value = (os.environ if environ is None else environ).get(env, "").strip()
        if not value:
            raise ConfigError(f"{what}: the environment variable {env} is not set or empty")
    elif file:
        try:
            value, mode = Path(file).read_text("utf-8").strip(), Path(file).stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
            raise ConfigError(f"{what}: {file} cannot be read: {reason}") from None
        if not value:
            raise ConfigError(f"{what}: {file} is empty")
        if mode & 0o077:
            _log.warning("%s: %s can be read by others (mode %o); chmod 600 it", what, file, mode & 0o777)
    if not value.isprintable():
        raise ConfigError(f"{what}: holds line breaks or control characters; put nothing else beside the secret")
    return Secret(value) if value else None


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
        if _parts:
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
    """Remember a secret, or what is secret of an address: path and query, the values in the query, the password."""
    global _parts
    secrets = [(value, TOKEN_PART)]
    if "://" in value:
        address = urlsplit(value)
        target = address.path + (f"?{address.query}" if address.query else "")
        if target in ("", "/", "/api/v2/alerts") and not address.password:
            return
        values = [address.password or "", *(pair.partition("=")[2] for pair in address.query.split("&"))]
        secrets = [(target, ADDRESS_PART), *((text, TOKEN_PART) for text in values)]
    with _lock:
        for text, length in ((_unescaped(text), length) for text, length in secrets if len(text) >= TOKEN_PART):
            length = min(length, len(text))
            parts = {text[at : at + length] for at in range(len(text) - length + 1)}
            _parts = {**_parts, length: _parts.get(length, frozenset()) | parts}
