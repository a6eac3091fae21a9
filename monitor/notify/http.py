"""Post to a provider, with limits on time and size, no redirects and no secrets in errors; and judge its answer.

The call runs in the sender's own thread. The time of the system's resolver comes on top of the deadline (`timeout` and
`attempts` in resolv.conf); only that one receiver waits for it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import math
import os
import random
import re
import socket
import ssl
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from monitor.errors import ConfigError
from monitor.notify.secret import Secret, redact

if TYPE_CHECKING:
    from monitor.notify.receiver import Traits

DEADLINE = 10.0
MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered; `body` ends where the client stops to read. Names of headers may be in any case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer. `doubt`: the request may have been received."""

    reason: str
    doubt: bool = False


def check_url(url: str, what: str) -> str:
    """Return the address if Telltale may post to it. Raises ConfigError that does not repeat the address.

    https only, except on this machine; not to a link-local address, where clouds keep their credentials.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"{what}: not an address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{what}: expected an address that begins with https://")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        loopback = host == "localhost"
    else:
        loopback = address.is_loopback
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            raise ConfigError(f"{what}: a link-local, multicast or unspecified address is refused")
    if parts.scheme == "http" and not loopback:
        raise ConfigError(f"{what}: plain http is for this machine only; use https://")
    return url


class Http:
    """Posts from many threads, each within `deadline` seconds after its name was resolved."""

    def __init__(self, deadline: float = DEADLINE, most_bytes: int = MOST_BYTES) -> None:
        self.deadline, self.most_bytes = deadline, most_bytes

    def post(self, url: Secret | str, body: bytes | None, headers: dict[str, str]) -> Reply | Failure:
        """Post, or get if there is no body, without raising; nothing of the address is in what is returned."""
        lines: list[socket.socket] = []
        late = threading.Event()

        def end() -> None:
            late.set()
            for line in lines:
                with contextlib.suppress(OSError):  # the other side was faster
                    line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self.deadline, end)
        timer.daemon = True
        timer.start()
        try:
            result: Reply | Failure = self._post(url if isinstance(url, str) else url.reveal(), body, headers, lines)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may have the address
            reason = explain(error)
            result = Failure(reason, bool(lines) and reason not in UNSENT)
            if reason == TIMEOUT:  # the same deadline, noticed by `requests` before the timer
                late.set()
        finally:
            timer.cancel()
            for line in lines:
                line.close()
        if late.is_set():  # a connection that was shut down can look like a short answer
            stage = "no answer" if lines else "no connection"
            return Failure(f"{stage} within {self.deadline:g} s", doubt=bool(lines))
        return result

    def _post(self, url: str, body: bytes | None, headers: dict[str, str], lines: list[socket.socket]) -> Reply:
        with requests.Session() as session:
            session.trust_env = False  # no .netrc, which would send a password that was meant for other programs
            session.mount("http://", _Watched(lines))
            session.mount("https://", _Watched(lines))
            host = urlsplit(url).hostname or ""
            local = host in ("localhost", "::1") or host.startswith("127.")
            with session.request(
                "GET" if body is None else "POST",
                url,
                data=body,
                headers={"User-Agent": "telltale", **headers},
                timeout=self.deadline,
                allow_redirects=False,
                stream=True,
                proxies={} if local or urllib.request.proxy_bypass(host) else urllib.request.getproxies(),
                verify=os.environ.get("REQUESTS_CA_BUNDLE") or True,
            ) as response:
                answer = bytearray()
                for chunk in response.iter_content(1 << 16):
                    answer += chunk
                    if len(answer) >= self.most_bytes:
                        break
                return Reply(response.status_code, response.headers, bytes(answer[: self.most_bytes]))


class _Watched(HTTPAdapter):
    """Collects a handle of each socket, for the deadline to shut down: `requests` bounds the time between reads only.

    The handle is a duplicate because the TLS layer takes the first one away.
    """

    def __init__(self, lines: list[socket.socket]) -> None:
        self._lines = lines
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        lines, kind = self._lines, pool.ConnectionCls

        class Connection(kind):  # type: ignore[misc,valid-type]
            def _new_conn(self) -> socket.socket:
                line: socket.socket = super()._new_conn()
                lines.append(line.dup())
                return line

        pool.ConnectionCls = Connection
        return pool


TIMEOUT = "no answer in time"

#: Kinds of error and their texts, the most specific first.
_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ssl.SSLCertVerificationError,), "the server's certificate is not trusted"),
    ((requests.exceptions.SSLError, ssl.SSLError), "no secure connection (TLS)"),
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "the server's name cannot be resolved"),
    ((requests.exceptions.ProxyError,), "the proxy refused or failed"),
    ((ConnectionRefusedError,), "connection refused"),
    ((requests.exceptions.Timeout, TimeoutError), TIMEOUT),
    ((requests.exceptions.RequestException, OSError), "the connection broke"),
)

#: After these the request cannot have arrived.
UNSENT = {reason for _, reason in _REASONS[:5]}


def explain(error: Exception) -> str:
    """Say what went wrong, without the address."""
    causes: list[BaseException] = [error]
    for cause in causes:
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        new = [error for error in inner if isinstance(error, BaseException) and error not in causes]
        causes += new[: 20 - len(causes)]
    for kinds, reason in _REASONS:
        if any(isinstance(cause, kinds) for cause in causes):
            return reason
    return f"the call failed ({type(error).__name__})"


Action = Literal["sent", "retry", "plain", "dead", "migrate"]

#: Longest wait that a provider gets: after it the backlog has become a digest.
LONGEST_WAIT = 3600.0
BACKOFF_FIRST, BACKOFF_CAP = 1.0, 60.0

#: A 2xx with a body that makes no sense may have delivered: after so many attempts, one in so many seconds.
UNCLEAR_TRIES, UNCLEAR_WAIT = 5, 900.0

_DIGITS = re.compile(r"[0-9]+(\.[0-9]+)?")


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


def decide(traits: Traits, answer: Reply | Failure, *, plain: bool = False, now: float = 0.0) -> Decision:
    """Judge an answer of a receiver, by the traits of its kind.

    `plain`: it answers the plain-text form. `now`: seconds since 1970, for a Retry-After that is a date.
    """
    if isinstance(answer, Failure):
        return Decision("retry", answer.reason, doubt=answer.doubt)
    data, status = _json(answer.body), answer.status
    words = _words(answer, data)
    if 200 <= status < 300:
        accepted = traits.taken(answer.body, data)
        if accepted is None:
            return Decision("retry", f"unclear answer: {words}", doubt=True, unclear=True)
        if accepted:
            return Decision("sent", words)
        status = int(_number(data.get("error_code")) or 400)
    error = str(data.get("error") or data.get("description") or answer.body[:200].decode("utf-8", "replace")).lower()
    chat = _object(data.get("parameters")).get("migrate_to_chat_id")
    if traits.moves and type(chat) is int:
        return Decision("migrate", words, chat=str(chat))
    if status == 429 or (traits.passing and re.search(traits.passing, error)):
        return Decision("retry", words, after=retry_after(answer, now))
    if status in (408, 409, 425) or status >= 500 or status < 200:
        return Decision("retry", words, after=retry_after(answer, now), doubt=status in (500, 502, 504))
    if 300 <= status < 400:
        return Decision("retry" if status in (302, 303, 307) else "dead", f"a redirect was refused: {words}")
    if traits.markup and (status == 413 or (status == 400 and re.search(traits.markup, error))):
        return Decision("dead", f"refused as plain text too: {words}") if plain else Decision("plain", words)
    return Decision("dead", words)


def retry_after(answer: Reply, now: float) -> float | None:
    """Seconds that an answer asks to wait, at most an hour. Returns None if it does not say, or says nonsense.

    The header has seconds, also a fraction, or a date; the body `retry_after` or `parameters.retry_after`. The longest
    wait holds.

    >>> retry_after(Reply(429, {"Retry-After": "1.5"}), 0), retry_after(Reply(429, {"Retry-After": "-1"}), 0)
    (1.5, None)
    >>> retry_after(Reply(429, {}, b'{"parameters": {"retry_after": 7}}'), 0)
    7.0
    >>> retry_after(Reply(429, {"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}), 20)
    40.0
    """
    data, header = _json(answer.body), answer.headers.get("Retry-After", "")
    in_body = data.get("retry_after"), _object(data.get("parameters")).get("retry_after")
    waits = [_number(item) or 0.0 for item in (header, *in_body)]
    if _number(header) is None and (moment := _date(header)) is not None:
        # By the server's own clock if it tells it: ours may be wrong.
        waits.append(moment - (_date(answer.headers.get("Date", "")) or now))
    longest = min(max(waits), LONGEST_WAIT)
    return longest if longest > 0 else None


def backoff(attempts: int, rng: random.Random) -> float:
    """Seconds to wait after `attempts` failed attempts: doubling to 60 s, with jitter, never less than 1 s.

    >>> [round(backoff(n, random.Random(1)), 1) for n in (1, 2, 3, 10)]
    [1.1, 2.3, 4.5, 34.0]
    """
    top = min(BACKOFF_CAP, BACKOFF_FIRST * 2.0 ** min(attempts, 10))
    return max(BACKOFF_FIRST, rng.uniform(top / 2, top))


def _json(body: bytes) -> dict[str, Any]:
    try:
        return _object(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    """A number of at most an hour, from a number or its digits. Returns None for everything else."""
    if isinstance(value, str) and _DIGITS.fullmatch(value := value.strip()):
        value = float(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) == math.inf:
        return None
    return float(max(-1, min(value, LONGEST_WAIT)))


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _words(answer: Reply, data: dict[str, Any]) -> str:
    """The answer in one line for the store: status, and the provider's words without secrets."""
    words = data.get("description") or data.get("error") or data.get("message")
    text = words if isinstance(words, str) else answer.body.decode("utf-8", "replace")
    # Cleaned before it is cut, since half a secret is harder to find.
    text = "".join(c if c.isprintable() else " " for c in redact(text)[:160]).strip()
    return f"HTTP {answer.status}: {text}" if text else f"HTTP {answer.status}"
