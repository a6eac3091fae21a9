"""Metrics, health and the JSON API: what the runtime has published, for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify, request

from monitor.clock import from_iso
from monitor.columns.column import clean_text
from monitor.config.settings import duration
from monitor.errors import InputError
from monitor.runtime import Runtime
from monitor.watched import Watched

api = Blueprint("api", __name__)

#: 2200-01-01, seconds since 1970 UTC.
FAR = 7_258_118_400

#: What each of these answers with, as JSON.
PUBLISHED: dict[str, Callable[[Runtime], Any]] = {
    "/readyz": lambda run: {"status": "ready", **versions(run)},
    "/api/status": lambda run: run.status(asked()),
    "/api/drift": lambda run: [result.to_json() for one in shown(run) for result in one.latest.results],
    "/api/alerts": lambda run: run.alerts(asked()),
}


def asked() -> str | None:
    """The name of the model that a request is about, from its path or its query; None if it names none."""
    return request.environ.get("telltale.model") or request.args.get("model") or None


def shown(run: Runtime) -> list[Watched]:
    """The model that a request is about, or all that are watched. Raises InputError for an unknown one."""
    name = asked()
    return list(run.models.values()) if name is None else [run.find(name)]


def versions(run: Runtime) -> dict[str, Any]:
    """The version of the model, or the versions of several by name."""
    found = {name: one.version for name, one in run.models.items()}
    return {"models": found} if run.config.models else {"model_version": next(iter(found.values()))}


def runtime() -> Runtime:
    """The runtime that this application shows."""
    return cast(Runtime, current_app.config["RUNTIME"])


for address, published in PUBLISHED.items():
    api.add_url_rule(address, address.rpartition("/")[2], lambda said=published: jsonify(said(runtime())))


@api.get("/metrics")
def metrics() -> Response:
    """Prometheus text format, or OpenMetrics if the scraper asks for it."""
    accept, encoding = request.headers.get("Accept", ""), request.headers.get("Accept-Encoding", "")
    body, headers = runtime().metrics(accept, encoding)
    return Response(body, headers=headers)


@api.get("/healthz")
def healthz() -> tuple[dict[str, Any], int]:
    """How each part does; 503 if one of them does not do its work."""
    health = runtime().health()
    return health, 200 if health["status"] != "failing" else 503


@api.get("/api/windows")
def windows() -> dict[str, Any]:
    """Counts over any period: `from`, `to`, `step`, `column` (repeatable), `model_version`."""
    now, given = runtime().clock.time(), request.args
    start, end = period(now, 86_400)
    try:
        step = duration(given["step"]) if "step" in given else None
    except ValueError as error:
        raise InputError("duration", clean_text(str(error)), "step") from None
    return runtime().windows(start, end, step, given.getlist("column"), given.get("model_version"), asked())


@api.get("/api/performance")
def performance() -> dict[str, Any]:
    """Performance over a period: `from`, `to`, `model_version`."""
    start, end = period(runtime().clock.time(), 7 * 86_400)
    return runtime().performance(start, end, request.args.get("model_version"), asked()).to_json()


def period(now: float, seconds: float) -> tuple[float, float]:
    """Read `from` and `to` from the query; without them the last `seconds`. Raises InputError."""
    end = _moment("to", now)
    return _moment("from", end - seconds), end


def _moment(name: str, default: float) -> float:
    """Read a time from the query. Raises InputError."""
    text = request.args.get(name)
    try:
        moment = default if text is None else from_iso(text)
    except (ValueError, OverflowError):
        message = f"expected a time in ISO 8601, such as 2026-11-24T08:00Z, got {clean_text(text or '')!r}"
        raise InputError("time", message, name) from None
    if not 0 <= moment < FAR:
        raise InputError("time", "a time lies between 1970 and 2200", name)
    return moment
