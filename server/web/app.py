"""The Flask side: everything but the hot route. Knows no statistics: it shows what the runtime has published."""

from __future__ import annotations

import sqlite3

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from monitor.errors import InputError, StoreError
from monitor.runtime import Runtime
from server.guard import Guard, Viewer, access_of
from server.payload import error_body, short
from server.web.actions import actions, login_page
from server.web.api import api
from server.web.pages import pages

#: Headers that keep a page from being framed, sniffed, or made to run what it does not hold itself.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app(runtime: Runtime, guard: Guard | None = None) -> Flask:
    """Build the application around a runtime. Without a guard it is one that has no token."""
    app = Flask(__name__, static_folder=None)
    app.config["RUNTIME"] = runtime
    app.extensions["telltale_guard"] = guard or Guard(None, runtime.config.server, runtime.clock)
    app.json.ensure_ascii = True  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    for blueprint in (api, pages, actions):
        app.register_blueprint(blueprint)

    # Answered before Flask sees it (`server.predict`); known here so that other methods get a 405.
    app.add_url_rule("/predict", "predict", methods=["POST"])

    @app.before_request
    def check() -> Response | None:
        """Have every request that reaches Flask checked before anything else is done with it."""
        g.viewer = Viewer()
        try:
            _admit(app.extensions["telltale_guard"])
        except InputError as error:
            by_browser = "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/api/")
            if error.status == 401 and by_browser:
                here = request.full_path.rstrip("?") if request.method == "GET" else "/alerts"
                return login_page(here, "", 401)
            return _refusal(error)
        return None

    app.register_error_handler(InputError, _refusal)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        code = (error.name or "error").lower().replace(" ", "_")
        allow = (("Allow", ", ".join(getattr(error, "valid_methods", None) or [])),) if error.code == 405 else ()
        return _failure(code, error.description or error.name, error.code or 500, allow)

    @app.errorhandler(OSError)
    @app.errorhandler(sqlite3.Error)
    @app.errorhandler(StoreError)
    def unavailable(error: Exception) -> Response:
        """The data folder cannot be read: what needs it has to wait, and predictions go on."""
        app.logger.warning("%s %s: the data folder cannot be read: %s", request.method, request.path, error)
        message = f"the data folder cannot be read ({type(error).__name__}); the log has more"
        return _failure("unavailable", message, 503, (("Retry-After", "10"),))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        app.logger.exception("%s %s failed", request.method, request.path)
        return _failure("failed", f"{type(error).__name__} while answering; the log has more", 500)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return app


def _admit(guard: Guard) -> None:
    """Check the request's host, origin, token or session. Raises InputError."""
    access = access_of(request.method, request.url_rule.rule if request.url_rule else None)
    if access in ("read", "change") or request.path == "/login":
        guard.check_host(request.headers.get("Host", ""))
    origin = request.headers.get("Origin")
    # A form of our own says "null", since our pages tell browsers to send no referrer; it has a CSRF token.
    if request.method not in ("GET", "HEAD", "OPTIONS") and (access == "service" or origin != "null"):
        guard.check_origin(origin, request.headers.get("Host"))
    if access != "open":
        token, cookie = request.headers.get("Authorization"), request.cookies.get(guard.cookie)
        g.viewer = guard.viewer(token, cookie, "" if access == "service" else request.remote_addr or "")
        guard.admit(access, g.viewer, lambda: request.form.get("csrf", ""))


def _refusal(error: InputError) -> Response:
    body = error_body(error.code, str(error), error.where)
    return Response(body, error.status, dict(error.headers), content_type="application/json")


def _failure(code: str, message: str, status: int, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return _refusal(InputError(code, message, short(request.path, 200), status, headers))
