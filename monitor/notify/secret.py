"""Secrets: where they are read, how they are held, and how they are kept out of every text.

A webhook address or a bot token is held in a `Secret`, which shows nothing of itself, and is put on a list that every
log record and every stored answer of a provider is cleaned by. That second net is needed: urllib3 logs the path of a
request at DEBUG, and the path of a Slack webhook or of a Telegram call is the secret.
"""

from __future__ import annotations

import html
import logging
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from monitor.errors import ConfigError

HIDDEN = "[secret]"

#: Shorter texts are not looked for in logs: hiding every "ok" would help nobody.
SHORTEST = 8

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_known: tuple[str, ...] = ()

#: Parts of secrets by which a cut one is found, by their length: of addresses, whose beginnings are ordinary words, and
#: of tokens.
_parts: dict[int, frozenset[str]] = {12: frozenset(), SHORTEST: frozenset()}

_JSON_ESCAPE = re.compile(r"\\(?:u00([0-7][0-9a-fA-F])|([/&]))")


class Secret:
    """A text that does not print.

    >>> token = Secret("123456:not-a-real-token")
    >>> f"{token} {token!r}", token.reveal()[:6], redact("POST /bot123456:not-a-real-token/x")
    ('[secret] Secret([secret])', '123456', 'POST /bot[secret]/x')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        _remember(value)

    def reveal(self) -> str:
        """Return the text itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

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
    plain = _unescaped(text)
    clean = _masked(plain)
    return clean if clean != plain else text


def _unescaped(text: str) -> str:
    """Undo the ways in which an address is escaped in HTML, JSON and addresses, up to three times over."""
    for _ in range(3):
        plain = _JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)
        plain = unquote(html.unescape(plain))
        if plain == text:
            break
        text = plain
    return text


def _masked(text: str) -> str:
    """Replace known secrets, and every stretch of a text that is a part of one."""
    for secret in _known:
        text = text.replace(secret, HIDDEN)
    for length, parts in _parts.items():
        at, out, shown = 0, "", 0
        while at <= len(text) - length:
            if text[at : at + length] not in parts:
                at += 1
                continue
            end = at + length
            while text[end - length + 1 : end + 1] in parts and end < len(text):
                end += 1
            out, shown, at = out + text[shown:at] + HIDDEN, end, end
        text = out + text[shown:]
    return text


def read_secret(
    what: str, *, literal: str = "", env: str = "", file: str = "", environ: Mapping[str, str] | None = None
) -> Secret | None:
    """Read a secret from where the configuration says; None where it says nothing.

    `what` names it in errors, such as `receivers.night: the address`. Raises ConfigError that names the variable or
    the file, never what is in it.
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
    """Clean every log record of this process from now on. Doing it twice does nothing more.

    A filter on a logger does not see what its children log, and one on a handler does not see handlers that are added
    later; the record factory sees everything.
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
    """Put a secret, and the forms in which a client would print it, on the list; the longest are looked for first."""
    global _known, _parts
    parts = urlsplit(value) if "://" in value else None
    if parts and not (parts.path.strip("/") or parts.query or parts.username):
        return  # a bare host is no secret, and logs name hosts for good reasons
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
