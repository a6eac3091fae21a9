"""The Flask side: everything but the hot route. Knows no statistics: it shows what the runtime has published."""

from __future__ import annotations

import sqlite3

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from monitor.errors import InputError, StoreError
from monitor.runtime import Runtime
from server.guard import Guard
from server.payload import error_body, short
from server.web.actions import actions, protect
from server.web.api import api
from server.web.pages import pages


def create_app(runtime: Runtime, guard: Guard | None = None) -> Flask:
    """Build the application around a runtime. Without a guard it is one that has no token."""
    app = Flask(__name__, static_folder=None)
    app.config["RUNTIME"] = runtime
    app.json.ensure_ascii = True  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]

    app.register_blueprint(api)
    app.register_blueprint(pages)
    app.register_blueprint(actions)
    protect(app, guard or Guard(hosts=runtime.config.server.hosts, clock=runtime.clock))

    @app.errorhandler(InputError)
    def refused(error: InputError) -> Response:
        body = error_body(error.code, str(error), error.where)
        return Response(body, status=error.status, content_type="application/json")

    @app.post("/predict")
    def predict() -> Response:
        """Answered before Flask sees it (`server.predict`); known here so that other methods get a 405."""
        raise RuntimeError("the hot route was not put in front")

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        code = (error.name or "error").lower().replace(" ", "_")
        body = error_body(code, error.description or error.name, short(request.path, 200))
        allow = {"Allow": ", ".join(getattr(error, "valid_methods", None) or [])} if error.code == 405 else {}
        return Response(body, status=error.code, content_type="application/json", headers=allow)

    @app.errorhandler(OSError)
    @app.errorhandler(sqlite3.Error)
    @app.errorhandler(StoreError)
    def unavailable(error: Exception) -> Response:
        """The data folder cannot be read: what needs it has to wait, and predictions go on."""
        app.logger.warning("%s %s: the data folder cannot be read: %s", request.method, request.path, error)
        message = f"the data folder cannot be read ({type(error).__name__}); the log has more"
        body = error_body("unavailable", message, short(request.path, 200))
        return Response(body, status=503, content_type="application/json", headers={"Retry-After": "10"})

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        app.logger.exception("%s %s failed", request.method, request.path)
        body = error_body(
            "failed", f"{type(error).__name__} while answering; the log has more", short(request.path, 200)
        )
        return Response(body, status=500, content_type="application/json")

    @app.after_request
    def add_headers(response: Response) -> Response:
        """Headers that keep a page from being framed, sniffed, or made to run what it does not hold itself."""
        response.headers.setdefault(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
            "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        )
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return app
