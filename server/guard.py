"""Who may do what: every route's class, the token, sessions, and the names under which the server may be asked.

A request is let in by `Authorization: Bearer TOKEN`, or by the session cookie that the login form gives for the token.
A change that came with a cookie needs the form's CSRF token as well, since a browser sends cookies for whoever asks.
Without a token nothing can be changed over HTTP, and `server.__main__` listens on loopback only.

Other sites are kept out by name: a page that a browser loaded from elsewhere can point its own name at 127.0.0.1 (DNS
rebinding), but then its requests carry that name in `Host`. An address is safe: nobody can point it elsewhere.
`Origin` names the page that sends a request: only the server's own pages may, those of the same `Host`, or of a name in
`[server] hosts` or `url`.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from monitor.clock import Clock, SystemClock
from monitor.columns.column import ROLES, clean_text
from monitor.config.settings import ServerConfig
from monitor.errors import ConfigError, InputError
from monitor.notify.secret import Secret, guard_logs, read_secret
from server.payload import error_body

#: open: for everybody. service: what other programs use without a token, unless `[server] protect = "all"`.
#: read: pages and API; the token, where there is one. change: the token, always.
Access = Literal["open", "service", "read", "change"]

#: The class of every route. One that is not in here is `read`, and `change` for every method but GET; a test fails.
ACCESS: Mapping[str, Access] = {
    "POST /": "service",
    "POST /predict": "service",
    "POST /observe": "service",
    "GET /metrics": "service",
    "GET /healthz": "open",
    "GET /readyz": "open",
    "GET /assets/<path:filename>": "open",
    "GET /login": "open",
    "POST /login": "open",
    "POST /logout": "change",
    "GET /": "read",
    f"GET /column/<any({', '.join(ROLES)}):role>": "read",
    "GET /alerts": "read",
    "GET /monitor": "read",
    "GET /silence": "read",
    "POST /silence": "change",
    "POST /silence/expire": "change",
    "GET /api/status": "read",
    "GET /api/drift": "read",
    "GET /api/alerts": "read",
    "GET /api/windows": "read",
}

#: A session ends after this long, in seconds.
SESSION = 12 * 3600

#: A token that is shorter could be guessed.
SHORTEST_TOKEN = 16

#: Wrong tokens that an address may send in a minute before it has to wait, and addresses that are remembered.
WRONG_TOKENS, ADDRESSES = 10, 1000

HOW_TO_MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe())" > token; chmod 600 token'
NOBODY_CHANGES = "changes over HTTP need a token, and none is set"

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::(\d{1,5}))?")

#: Ports that addresses leave out.
_PORTS = {"http": "80", "https": "443"}


def access_of(method: str, rule: str | None) -> Access:
    """The class of a route. `rule`: its pattern; None if no route fits, so that all there is to see is that.

    >>> access_of("HEAD", "/metrics"), access_of("POST", "/silence"), access_of("PUT", "/new"), access_of("PUT", None)
    ('service', 'change', 'change', 'read')
    """
    if rule is None:
        return "read"
    safe = method in ("GET", "HEAD", "OPTIONS")
    return ACCESS.get(f"{'GET' if safe else method} {rule}", "read" if safe else "change")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only.

    >>> [is_loopback(host) for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost", "0.0.0.0", "::", "", "box")]
    [True, True, True, True, False, False, False, False]
    """
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def host_name(header: str) -> str:
    """Read the name out of a `Host` header, without port; empty where the header is none.

    >>> host_name("Box.example.:5000"), host_name("[::1]:5000"), host_name("127.0.0.1"), host_name("a b"), host_name("")
    ('box.example', '::1', '127.0.0.1', '', '')
    """
    match = _HOST.fullmatch(header.lower())
    return match[1].strip("[]").removesuffix(".") if match else ""


def _site(text: str, scheme: str) -> tuple[str, str] | None:
    """Name and port of a site, such as `box:5000`."""
    match = _HOST.fullmatch(text)
    return (host_name(text), match[2] or _PORTS.get(scheme, "")) if match else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. `csrf`: what the forms of a session carry; empty for everybody else."""

    by: Literal["nobody", "token", "session"] = "nobody"
    csrf: str = ""


class Guard:
    """Answers whether a request may be served. Pure but for the clock: requests are texts, answers are raised."""

    def __init__(
        self,
        token: Secret | None = None,
        hosts: Iterable[str] = (),
        *,
        url: str = "",
        host: str = "",
        protect: str = "pages",
        clock: Clock | None = None,
    ) -> None:
        """`hosts`, `url`, `host` and `protect` are those of `[server]`; `*` among `hosts` is any name."""
        self._token = token
        self._named = frozenset(host.lower() for host in hosts)
        self._url = urlsplit(url.lower())
        self._hosts = self._named | {"localhost", host.lower(), self._url.hostname or ""} - {""}
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._all = protect == "all"
        self._clock = clock or SystemClock()
        self.secure = self._url.scheme == "https"
        # Cookies know no ports: two servers on one machine would end each other's sessions under one name.
        self.cookie = f"telltale_{self._sign('cookie', '')[:8]}" if token else ""

    @classmethod
    def of(cls, config: ServerConfig, clock: Clock | None = None) -> Guard:
        """Set up a guard as `[server]` says.

        Raises ConfigError if the token cannot be read, or is needed and not given.
        """
        guard_logs()
        token = read_secret("[server] token", env=config.token_env, file=config.token_file)
        if token and len(token.reveal()) < SHORTEST_TOKEN:
            raise ConfigError(
                f"[server] token: shorter than {SHORTEST_TOKEN} characters; make one by: {HOW_TO_MAKE_ONE}"
            )
        if token is None and config.protect == "all":
            raise ConfigError('[server] protect = "all" needs a token; set token_file or token_env')
        if token is None and not is_loopback(config.host) and not config.trust_network:
            raise ConfigError(
                f"[server] host {config.host!r} lets other machines in, and no token is set; make one by: "
                f"{HOW_TO_MAKE_ONE}; then start with --token-file token, or set [server] token_file or token_env "
                "(where everybody who can reach the address is trusted: --trust-network)"
            )
        return cls(token, config.hosts, url=config.url, host=config.host, protect=config.protect, clock=clock)

    @property
    def has_token(self) -> bool:
        """Whether there is a token: without one, everybody may look and nobody may change."""
        return self._token is not None

    # Names.

    def knows(self, name: str) -> bool:
        """Whether the server may be asked under this name."""
        return name in self._hosts or _is_address(name) or name.endswith(".localhost") or "*" in self._hosts

    def check_host(self, header: str) -> None:
        """Raise InputError where a request asks for somebody else."""
        name = host_name(header)
        if not self.knows(name):
            shown = clean_text(name or header[:80])
            message = f"this server is not known as {shown!r}; if it should be, add that to [server] hosts"
            raise InputError("unknown_host", message, "header Host", 421)

    def check_origin(self, origin: str | None, host: str | None) -> None:
        """Raise InputError if a browser says that a page of another site sends this. Programs send no `Origin`.

        `host`: the request's `Host`. A page is our own if its name and port are those of `Host` or of `[server] url`,
        or if its name is one of `[server] hosts` and its port that of `Host` or of the scheme.
        """
        if origin is not None and not self._is_ours(origin.lower(), (host or "").lower()):
            message = "a page of another site may not send this"
            raise InputError("foreign_origin", message, "header Origin", 403)

    def _is_ours(self, origin: str, host: str) -> bool:
        scheme, _, site = origin.partition("://")
        page, usual = _site(site, scheme), _PORTS.get(scheme)
        if page is None or usual is None:
            return False
        own = _site(host, scheme)
        if own is not None and not self.knows(own[0]):
            own = None
        if page == own or (scheme == self._url.scheme and page == _site(self._url.netloc, scheme)):
            return True
        return page[0] in self._named and page[1] in (usual, own and own[1])

    # The token and sessions.

    def is_token(self, given: str) -> bool:
        """Whether a text is the token, in a time that says nothing about it."""
        if self._token is None:
            return False
        mine, theirs = (sha256(text.encode("utf-8", "replace")).digest() for text in (self._token.reveal(), given))
        return hmac.compare_digest(mine, theirs)

    def log_in(self, given: str, address: str) -> bool:
        """Whether a text is the token. Raises InputError, without a look, after too many wrong ones from an address.

        Addresses that sent a wrong one are remembered for a minute, the last `ADDRESSES` of them.
        """
        now = self._clock.monotonic()
        wrong = self._wrong.get(address) or deque(maxlen=WRONG_TOKENS)
        if len(wrong) == WRONG_TOKENS and now - wrong[0] < 60.0:
            message = f"{WRONG_TOKENS} wrong tokens came from {address} within a minute; wait a minute"
            raise InputError("too_many_logins", message, None, 429)
        if self.is_token(given):
            return True
        if self.has_token:
            wrong.append(now)
            self._wrong[address] = wrong
            self._wrong.move_to_end(address)
            while len(self._wrong) > ADDRESSES:
                self._wrong.popitem(last=False)
        return False

    def viewer(self, authorization: str | None, cookie: str | None, address: str = "") -> Viewer:
        """Who asks, from which address. Raises InputError if the token that somebody sends is wrong.

        Without an address there is no brake: one client with an old token must not stop the predictions of others
        behind the same proxy.
        """
        if self._token is None:
            return Viewer()
        if authorization is not None:
            scheme, _, given = authorization.partition(" ")
            # A header is bytes, which WSGI hands over as Latin-1.
            text = given.strip().encode("latin-1", "replace").decode("utf-8", "replace")
            right = self.log_in(text, address) if address else self.is_token(text)
            if scheme.lower() != "bearer" or not right:
                raise InputError("wrong_token", "this is not the token", "header Authorization", 401)
            return Viewer("token")
        if cookie and self._is_session(cookie):
            return Viewer("session", self._sign("csrf", cookie))
        return Viewer()

    def start_session(self) -> str:
        """The value of a new session's cookie. It is signed, so that every replica with the same token knows it."""
        body = f"{int(self._clock.time()) + SESSION}.{secrets.token_urlsafe(16)}"
        return f"{body}.{self._sign('session', body)}"

    def _is_session(self, cookie: str) -> bool:
        body, _, signature = cookie.rpartition(".")
        if not _same(signature, self._sign("session", body)):
            return False
        return self._clock.time() < int(body.partition(".")[0])

    def _sign(self, purpose: str, text: str) -> str:
        key = self._token.reveal().encode() if self._token else b""
        return hmac.new(key, f"{purpose}\0{text}".encode("utf-8", "replace"), sha256).hexdigest()

    # Decisions.

    def admit(self, access: Access, viewer: Viewer, csrf: Callable[[], str]) -> None:
        """Raise InputError where a viewer may not use a route of this class. `csrf` reads the form's token."""
        if access == "change":
            if self._token is None:
                raise InputError("no_token_set", f"{NOBODY_CHANGES}; set [server] token_file", None, 403)
            if viewer.by == "session" and not _same(csrf(), viewer.csrf):
                raise InputError("stale_form", "the form is not of this session; load the page again", "csrf", 403)
        needed = access in ("read", "change") or (access == "service" and self._all)
        if needed and self._token is not None and viewer.by == "nobody":
            raise InputError("no_token", "this needs the token: Authorization: Bearer TOKEN", None, 401)

    def service(self, application: WSGIApplication) -> WSGIApplication:
        """Wrap a WSGI route that bypasses Flask. Access class: `service`."""

        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if self._all or "HTTP_ORIGIN" in environ:
                try:
                    self.check_origin(environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST"))
                    if self._all:
                        self.admit("service", self.viewer(environ.get("HTTP_AUTHORIZATION"), None), str)
                except InputError as error:
                    return refuse(error, start_response)
            return application(environ, start_response)

        return guarded


def refuse(error: InputError, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a refused request as WSGI."""
    body = error_body(error.code, str(error), error.where)
    status = HTTPStatus(error.status)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *challenge(error)]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


def challenge(error: InputError) -> list[tuple[str, str]]:
    """The header that says how to come in, or when."""
    if error.status == 429:
        return [("Retry-After", "60")]
    return [("WWW-Authenticate", 'Bearer realm="telltale"')] if error.status == 401 else []


def local_path(address: str) -> str:
    r"""Where to go after the login: a path of this server, or the start.

    >>> [local_path(text) for text in ("/alerts?a=1", "//evil.example", "https://evil.example", "/\\evil", "/\r\nX: y")]
    ['/alerts?a=1', '/', '/', '/', '/']
    """
    return address if re.fullmatch(r"/(?![/\\])[\x21-\x7e]*", address) else "/"


def _same(given: Any, right: str) -> bool:
    return hmac.compare_digest(str(given).encode("utf-8", "replace"), right.encode())
