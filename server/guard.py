"""Who may do what: every route's class, the token, sessions, and the names under which the server may be asked.

A request is let in by `Authorization: Bearer TOKEN`, or by the session cookie that the login form gives for the token.
A change that came with a cookie needs the form's CSRF token as well, since a browser sends cookies for whoever asks.
Without a token nothing can be changed over HTTP, and `server.__main__` listens on loopback only.

Other sites are kept out by name: a page that a browser loaded from elsewhere can point its own name at 127.0.0.1 (DNS
rebinding), but then its requests carry that name in `Host` and `Origin`. An address in place of a name is safe: nobody
can point it elsewhere.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from monitor.clock import Clock, SystemClock
from monitor.columns.column import clean_text
from monitor.config.load import ServerConfig
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
    "GET /column/<any(feature, prediction):role>": "read",
    "GET /alerts": "read",
    "GET /health": "read",
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

HOW_TO_MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe())" > token; chmod 600 token'
NOBODY_CHANGES = "changes over HTTP need a token, and none is set"

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::\d{1,5})?")


def access_of(method: str, rule: str | None) -> Access:
    """The class of a route. `rule`: its pattern; None where no route fits, so that all there is to see is that.

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
        protect: str = "pages",
        secure: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """`hosts`: names besides localhost and addresses; `*` is any. `secure`: people come over HTTPS."""
        self._token = token
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._all = protect == "all"
        self._clock = clock or SystemClock()
        self.secure = secure
        # Cookies know no ports: two servers on one machine would end each other's sessions under one name.
        self.cookie = f"telltale_{self._sign('cookie', '')[:8]}" if token else ""

    @classmethod
    def of(cls, config: ServerConfig, clock: Clock | None = None) -> Guard:
        """Set up a guard as `[server]` says.

        Raises ConfigError where the token cannot be read, or is needed and not given.
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
        hosts = [*config.hosts, config.host, urlsplit(config.url).hostname or ""]
        secure = config.url.startswith("https://")
        return cls(token, filter(None, hosts), protect=config.protect, secure=secure, clock=clock)

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

    def check_origin(self, origin: str | None) -> None:
        """Raise InputError where a browser says that a page of another site sends this. Programs send no `Origin`."""
        if origin is not None and not self.knows(host_name(origin.partition("://")[2])):
            message = "a page of another site may not send this"
            raise InputError("foreign_origin", message, "header Origin", 403)

    # The token and sessions.

    def is_token(self, given: str) -> bool:
        """Whether a text is the token, in a time that says nothing about it."""
        if self._token is None:
            return False
        mine, theirs = (sha256(text.encode("utf-8", "replace")).digest() for text in (self._token.reveal(), given))
        return hmac.compare_digest(mine, theirs)

    def viewer(self, authorization: str | None, cookie: str | None) -> Viewer:
        """Who asks. Raises InputError where somebody claims to have the token, and has not."""
        if self._token is None:
            return Viewer()
        if authorization is not None:
            scheme, _, given = authorization.partition(" ")
            # A header is bytes, which WSGI hands over as Latin-1.
            text = given.strip().encode("latin-1", "replace").decode("utf-8", "replace")
            if scheme.lower() != "bearer" or not self.is_token(text):
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
        """Put the guard in front of a route that Flask does not see: of class `service`, and of the hottest."""

        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if self._all or "HTTP_ORIGIN" in environ:
                try:
                    self.check_origin(environ.get("HTTP_ORIGIN"))
                    if self._all:
                        self.admit("service", self.viewer(environ.get("HTTP_AUTHORIZATION"), None), str)
                except InputError as error:
                    return refuse(error, start_response)
            return application(environ, start_response)

        return guarded


def refuse(error: InputError, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a refused request as WSGI."""
    body = error_body(error.code, str(error), error.where)
    reason = {401: "401 Unauthorized", 403: "403 Forbidden", 421: "421 Misdirected Request"}[error.status]
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *challenge(error)]
    start_response(reason, headers)
    return [body]


def challenge(error: InputError) -> list[tuple[str, str]]:
    """The header that says how to come in."""
    return [("WWW-Authenticate", 'Bearer realm="telltale"')] if error.status == 401 else []


def local_path(address: str) -> str:
    r"""Where to go after the login: a path of this server, or the start.

    >>> [local_path(text) for text in ("/alerts?a=1", "//evil.example", "https://evil.example", "/\\evil", "/\r\nX: y")]
    ['/alerts?a=1', '/', '/', '/', '/']
    """
    return address if re.fullmatch(r"/(?![/\\])[\x21-\x7e]*", address) else "/"


def _same(given: Any, right: str) -> bool:
    return hmac.compare_digest(str(given).encode("utf-8", "replace"), right.encode())
