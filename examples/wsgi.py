"""A plain WSGI application that is watched from within; `Monitor` needs no framework.

waitress-serve --port 8000 --call examples.wsgi:create_app    or    gunicorn --workers 4 "examples.wsgi:create_app()"
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from monitor import Monitor


def create_app(monitor: Monitor | None = None) -> Any:
    """Build the application. Several processes that serve it share one monitor: docs/library.md."""
    watched = monitor or Monitor.open("config.toml", on_error="log")

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            body, content_type = watched.metrics(environ.get("HTTP_ACCEPT", ""))
            start_response("200 OK", [("Content-Type", content_type)])
            return [body]
        given = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        row = {name: float(given[name]) for name in ("rooms", "area")}
        price = 3.0 * row["rooms"] + 0.1 * row["area"]  # your model
        watched.observe(row, price)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"price": price}).encode()]

    return application
