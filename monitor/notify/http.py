"""One POST by `requests`, bounded in time and size, without redirects, and without secrets in its errors.

The call runs in the sender's own thread. The time of the system's resolver comes on top of the deadline (`timeout` and
`attempts` in resolv.conf); only that one receiver waits for it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
import threading
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from monitor.errors import ConfigError
from monitor.notify.secret import Secret, redact

DEADLINE = 10.0
MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered; `body` is cut at 64 KB."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return a header by its name in lower case, or nothing."""
        return next((value for key, value in self.headers.items() if key.lower() == name), "")


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

    def post(self, url: Secret, body: bytes, headers: dict[str, str]) -> Reply | Failure:
        """Post, without raising; nothing of the address is in what is returned."""
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
            result: Reply | Failure = self._post(url.reveal(), body, headers, lines)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may have the address
            result = Failure(*_explain(error, bool(lines)))
        finally:
            timer.cancel()
            for line in lines:
                line.close()
        if late.is_set():  # a connection that was shut down can look like a short answer
            stage = "no answer" if lines else "no connection"
            return Failure(f"{stage} within {self.deadline:g} s", doubt=bool(lines))
        return result

    def _post(self, url: str, body: bytes, headers: dict[str, str], lines: list[socket.socket]) -> Reply:
        with requests.Session() as session:
            session.trust_env = False  # no .netrc, which would send a password that was meant for other programs
            session.mount("http://", _Watched(lines))
            session.mount("https://", _Watched(lines))
            host = urlsplit(url).hostname or ""
            local = host in ("localhost", "::1") or host.startswith("127.")
            with session.post(
                url,
                data=body,
                headers={"User-Agent": "telltale", **headers},
                timeout=self.deadline,
                allow_redirects=False,
                stream=True,
                proxies={} if local or urllib.request.proxy_bypass(host) else urllib.request.getproxies(),
                verify=os.environ.get("REQUESTS_CA_BUNDLE") or True,
            ) as response:
                answer = b""
                for chunk in response.iter_content(4096):
                    answer += chunk
                    if len(answer) >= self.most_bytes:
                        break
                return Reply(response.status_code, dict(response.headers), answer[: self.most_bytes])


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


#: Kinds of error and their texts, the most specific first.
_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ssl.SSLCertVerificationError,), "the server's certificate is not trusted"),
    ((requests.exceptions.SSLError, ssl.SSLError), "no secure connection (TLS)"),
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "the server's name cannot be resolved"),
    ((requests.exceptions.ProxyError,), "the proxy refused or failed"),
    ((ConnectionRefusedError,), "connection refused"),
    ((requests.exceptions.ConnectTimeout,), "no connection in time"),
    ((requests.exceptions.Timeout, TimeoutError), "no answer in time"),
    ((requests.exceptions.RequestException, OSError), "the connection broke"),
)


def _explain(error: Exception, connected: bool) -> tuple[str, bool]:
    """Say what went wrong, and whether the request may have arrived."""
    causes: list[BaseException] = [error]
    for cause in causes:
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        causes += [one for one in inner if isinstance(one, BaseException) and one not in causes][: 20 - len(causes)]
    for place, (kinds, reason) in enumerate(_REASONS):
        if any(isinstance(cause, kinds) for cause in causes):
            return reason, connected and place >= 6
    return redact(f"the call failed ({type(error).__name__})"), connected
