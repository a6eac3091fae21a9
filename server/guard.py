"""Who may do what: the class of a route, the token, sessions, and the names under which the server may be asked.

A request is let in by `Authorization: Bearer TOKEN`, or by the session cookie that the login form gives for the token.
A change that came with a cookie needs the form's CSRF token as well, since a browser sends cookies with any request.
Without a token nothing can be changed over HTTP, and the server listens on loopback only.

A page that a browser loaded from elsewhere can point its own name at 127.0.0.1 (DNS rebinding), but then its requests
carry that name in `Host`. `Origin` names the page that sends a request: only the server's own pages may.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from monitor.clock import Clock, SystemClock
from monitor.columns.column import clean_text
from monitor.config.settings import ServerConfig
from monitor.errors import ConfigError, InputError
from monitor.notify.secret import Secret, guard_logs, read_secret

Access = Literal["open", "service", "read", "change"]

#: For everybody.
_OPEN = ("GET /healthz", "GET /readyz", "GET /assets/<path:filename>", "GET /login", "POST /login")
#: Where other programs post for a model: without a token, unless `[server] protect = "all"`.
SENT = ("/predict", "/observe", "/outcomes", "/api/v1.0/feedback", "/replicate")
#: Every other route is `read`, with the token, if there is one; and `change`, with the token always, but for GET.
ACCESS: Mapping[str, Access] = {
    **dict.fromkeys(_OPEN, "open"),
    **dict.fromkeys(("GET /metrics", "POST /", *(f"POST {path}" for path in SENT)), "service"),
}

SESSION = 12 * 3600  # seconds after which a session ends
SHORTEST_TOKEN = 16  # characters; a shorter token could be guessed

#: Wrong tokens that an address may send in a minute before it has to wait, and addresses that are remembered.
WRONG_TOKENS, ADDRESSES = 10, 1000

HOW_TO_MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe())" > token; chmod 600 token'
CHANGES_REFUSED = "changes over HTTP need a token, and none is set"

#: Tells programs how to come in.
CHALLENGE = (("WWW-Authenticate", 'Bearer realm="telltale"'),)

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::(\d{1,5}))?")

#: Ports that addresses leave out.
_PORTS = {"http": "80", "https": "443"}


def access_of(method: str, rule: str | None) -> Access:
    """The class of a route. `rule`: its pattern; None if no route fits, so that nothing can be changed.

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
    """Read the name out of a `Host` header, without port; empty if it is not valid.

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
    """Who asks. `csrf`: the token in the forms of a session; empty without a session."""

    by: Literal["anonymous", "token", "session"] = "anonymous"
    csrf: str = ""


class Guard:
    """Decides whether a request may be served. Requests are texts; refusals are raised."""

    def __init__(
        self, token: Secret | None = None, config: ServerConfig | None = None, clock: Clock | None = None
    ) -> None:
        """Set up with a token that was read; `*` among the hosts of `config` is any name."""
        config = config or ServerConfig()
        self._token = token
        self._named = frozenset(host.lower() for host in config.hosts)
        self._url = urlsplit(config.url.lower())
        self._hosts = self._named | {"localhost", config.host.lower(), self._url.hostname or ""} - {""}
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._all = config.protect == "all"
        self._clock = clock or SystemClock()
        self.has_token, self.secure = token is not None, self._url.scheme == "https"
        # Cookies know no ports: two servers on one machine would end each other's sessions under one name.
        self.cookie = f"telltale_{self._sign('cookie', '')[:8]}" if token else ""

    @classmethod
    def of(cls, config: ServerConfig, clock: Clock | None = None) -> Guard:
        """Set up as `[server]` says. Raises ConfigError if the token cannot be read, or is needed and not given."""
        guard_logs()
        token = read_secret("[server] token", env=config.token_env, file=config.token_file)
        if token and len(token.reveal()) < SHORTEST_TOKEN:
            advice = f"make one by: {HOW_TO_MAKE_ONE}"
            raise ConfigError(f"[server] token: shorter than {SHORTEST_TOKEN} characters; {advice}")
        if token is None and config.protect == "all":
            raise ConfigError('[server] protect = "all" needs a token; set token_file or token_env')
        if token is None and not is_loopback(config.host) and not config.trust_network:
            raise ConfigError(
                f"[server] host {config.host!r} lets other machines in, and no token is set; make one by: "
                f"{HOW_TO_MAKE_ONE}; then start with --token-file token, or set [server] token_file or token_env "
                "(where everybody who can reach the address is trusted: --trust-network)"
            )
        return cls(token, config, clock)

    # Names.

    def knows(self, name: str) -> bool:
        """Whether the server may be asked under this name."""
        return name in self._hosts or _is_address(name) or name.endswith(".localhost") or "*" in self._hosts

    def check_host(self, header: str) -> None:
        """Raise InputError if a request asks for another server."""
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
        if origin is None:
            return
        scheme, _, site = origin.lower().partition("://")
        page, asked = _site(site, scheme), _site((host or "").lower(), scheme)
        own = False
        if page is not None and scheme in _PORTS:
            at_url = scheme == self._url.scheme and page == _site(self._url.netloc, scheme)
            asked = asked if asked is not None and self.knows(asked[0]) else None
            named = page[0] in self._named and page[1] in (_PORTS[scheme], asked and asked[1])
            own = page == asked or at_url or named
        if not own:
            raise InputError("foreign_origin", "a page of another site may not send this", "header Origin", 403)

    # The token and sessions.

    def is_token(self, given: str) -> bool:
        """Whether a text is the token, compared in constant time."""
        if self._token is None:
            return False
        mine, theirs = (sha256(text.encode("utf-8", "replace")).digest() for text in (self._token.reveal(), given))
        return hmac.compare_digest(mine, theirs)

    def log_in(self, text: str, address: str) -> bool:
        """Whether a text is the token. Raises InputError after too many wrong ones from an address."""
        now = self._clock.monotonic()
        wrong = self._wrong.get(address) or deque(maxlen=WRONG_TOKENS)
        if len(wrong) == WRONG_TOKENS and now - wrong[0] < 60.0:
            message = f"{WRONG_TOKENS} wrong tokens came from {address} within a minute; wait a minute"
            raise InputError("too_many_logins", message, None, 429, (("Retry-After", "60"),))
        if self.is_token(text):
            return True
        if self.has_token:
            wrong.append(now)
            self._wrong[address] = wrong
            self._wrong.move_to_end(address)
            while len(self._wrong) > ADDRESSES:
                self._wrong.popitem(last=False)
        return False

    def viewer(self, authorization: str | None, cookie: str | None, address: str = "") -> Viewer:
        """Find out who asks. Raises InputError if the request has a wrong token.

        Without an address wrong tokens are not limited: one client with an old token must not stop the predictions of
        others behind the same proxy.
        """
        if self._token is None:
            return Viewer()
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            # A header is bytes, which WSGI hands over as Latin-1.
            text = token.strip().encode("latin-1", "replace").decode("utf-8", "replace")
            right = self.log_in(text, address) if address else self.is_token(text)
            if scheme.lower() != "bearer" or not right:
                raise InputError("wrong_token", "this is not the token", "header Authorization", 401, CHALLENGE)
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
        right = _same(signature, self._sign("session", body))
        return right and self._clock.time() < int(body.partition(".")[0])

    def _sign(self, purpose: str, text: str) -> str:
        key = self._token.reveal().encode() if self._token else b""
        return hmac.new(key, f"{purpose}\0{text}".encode("utf-8", "replace"), sha256).hexdigest()

    # Decisions.

    def admit(self, access: Access, viewer: Viewer, csrf: Callable[[], str]) -> None:
        """Raise InputError if a viewer may not use a route of this class. `csrf` reads the form's token."""
        if access == "change":
            if self._token is None:
                raise InputError("no_token_set", f"{CHANGES_REFUSED}; set [server] token_file", None, 403)
            if viewer.by == "session" and not _same(csrf(), viewer.csrf):
                raise InputError("stale_form", "the form is not of this session; load the page again", "csrf", 403)
        needed = access in ("read", "change") or (access == "service" and self._all)
        if needed and self._token is not None and viewer.by == "anonymous":
            raise InputError("no_token", "this needs the token: Authorization: Bearer TOKEN", None, 401, CHALLENGE)

    def check_program(self, environ: WSGIEnvironment) -> None:
        """Check a request for a route that bypasses Flask, of class `service`. Raises InputError."""
        if self._all or "HTTP_ORIGIN" in environ:
            self.check_origin(environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST"))
            if self._all:
                self.admit("service", self.viewer(environ.get("HTTP_AUTHORIZATION"), None), str)


def local_path(address: str) -> str:
    r"""Where to go after the login: a path of this server, or the start.

    >>> [local_path(text) for text in ("/alerts?a=1", "//evil.example", "https://evil.example", "/\\evil", "/\r\nX: y")]
    ['/alerts?a=1', '/', '/', '/', '/']
    """
    return address if re.fullmatch(r"/(?![/\\])[\x21-\x7e]*", address) else "/"


def _same(text: Any, right: str) -> bool:
    return hmac.compare_digest(str(text).encode("utf-8", "replace"), right.encode())
