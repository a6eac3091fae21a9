"""One POST, with every way it can go wrong bounded: time, size, redirects, certificates, and what errors say.

`requests` bounds the time between two bytes, not the whole call, and nothing bounds the resolver. So the call runs in
a thread of its own, which is abandoned at the deadline; its socket is shut down then, so that the thread ends too.
"""

from __future__ import annotations

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

#: Calls given up on whose thread is still stuck, nearly always in the resolver; beyond this no new one is begun.
MOST_STUCK = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered; `body` is cut at 64 KB."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return a header by its name in any case."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer. `doubt`: the request may have been received all the same."""

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
    """Posts, each within `deadline` seconds, from many threads."""

    def __init__(self, deadline: float = DEADLINE, most_bytes: int = MOST_BYTES) -> None:
        self.deadline, self.most_bytes = deadline, most_bytes
        self._stuck: list[threading.Thread] = []
        self._lock = threading.Lock()

    def post(self, url: Secret, body: bytes, headers: dict[str, str]) -> Reply | Failure:
        """Send; nothing is raised, and nothing of the address is in what is returned."""
        with self._lock:
            self._stuck = [thread for thread in self._stuck if thread.is_alive()]
            if len(self._stuck) >= MOST_STUCK:
                return Failure(f"{len(self._stuck)} earlier calls still hang, most likely in name resolution")
        call = _Call(url, body, headers, self.deadline, self.most_bytes)
        thread = threading.Thread(target=call.run, name="telltale-post", daemon=True)
        thread.start()
        thread.join(self.deadline)
        if call.result is not None:
            return call.result
        call.abandon()
        with self._lock:
            self._stuck.append(thread)
        stage = "no answer" if call.connected else "no connection"
        return Failure(f"{stage} within {self.deadline:g} s", doubt=call.connected)


class _Call:
    """One request, in its own thread."""

    def __init__(self, url: Secret, body: bytes, headers: dict[str, str], deadline: float, most_bytes: int) -> None:
        self.url, self.body, self.headers = url, body, headers
        self.deadline, self.most_bytes = deadline, most_bytes
        self.result: Reply | Failure | None = None
        self.connected = False
        self._lines: list[socket.socket] = []
        self._given_up = False

    def connection(self, line: socket.socket) -> None:
        """Keep a second handle of the socket: the TLS layer takes the first one away."""
        self.connected = True
        self._lines.append(line.dup())
        if self._given_up:
            self.abandon()

    def abandon(self) -> None:
        """Wake the thread up by shutting its connection down."""
        self._given_up = True
        for line in self._lines:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was faster

    def run(self) -> None:
        try:
            self.result = self._post()
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the address
            self.result = Failure(*_explain(error, self.connected))
        finally:
            for line in self._lines:
                line.close()

    def _post(self) -> Reply:
        url = self.url.reveal()
        with requests.Session() as session:
            session.trust_env = False  # no .netrc, which would send a password that nobody meant to send
            session.mount("http://", _Adapter(self))
            session.mount("https://", _Adapter(self))
            host = urlsplit(url).hostname or ""
            proxies = {} if urllib.request.proxy_bypass(host) or _local(host) else urllib.request.getproxies()
            with session.post(
                url,
                data=self.body,
                headers={"User-Agent": "telltale", **self.headers},
                timeout=self.deadline,
                allow_redirects=False,
                stream=True,
                proxies=proxies,
                verify=os.environ.get("REQUESTS_CA_BUNDLE") or True,
            ) as response:
                body = b""
                for chunk in response.iter_content(4096):
                    body += chunk
                    if len(body) >= self.most_bytes or self._given_up:
                        break
                return Reply(response.status_code, dict(response.headers), body[: self.most_bytes])


class _Adapter(HTTPAdapter):
    """Tells the call which socket it uses."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        self._watch(manager)
        return manager

    def _watch(self, manager: urllib3.PoolManager) -> None:
        call = self._call

        class Plain(urllib3.connection.HTTPConnection):
            def _new_conn(self) -> socket.socket:
                line = super()._new_conn()
                call.connection(line)
                return line

        class Secure(urllib3.connection.HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                line = super()._new_conn()
                call.connection(line)
                return line

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _local(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _explain(error: Exception, connected: bool) -> tuple[str, bool]:
    """Say what went wrong in words of our own, and whether the request may have arrived."""
    causes: list[BaseException] = [error]
    while (deeper := causes[-1].__cause__ or causes[-1].__context__) and len(causes) < 10:
        causes.append(deeper)
    causes += [arg for cause in list(causes) for arg in cause.args if isinstance(arg, BaseException)]
    causes += [reason for cause in list(causes) if isinstance(reason := getattr(cause, "reason", None), BaseException)]

    def any_of(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if any_of(ssl.SSLCertVerificationError):
        return "the server's certificate is not trusted", False
    if any_of(requests.exceptions.SSLError, ssl.SSLError):
        return "no secure connection (TLS)", False
    if any_of(socket.gaierror, urllib3.exceptions.NameResolutionError):
        return "the server's name cannot be resolved", False
    if any_of(requests.exceptions.ProxyError):
        return "the proxy refused or failed", False
    if any_of(ConnectionRefusedError):
        return "connection refused", False
    if any_of(requests.exceptions.ConnectTimeout):
        return "no connection in time", False
    if any_of(requests.exceptions.Timeout, TimeoutError):
        return "no answer in time", connected
    if any_of(requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError, OSError):
        return "the connection broke", connected
    return redact(f"the call failed ({type(error).__name__})"), connected
