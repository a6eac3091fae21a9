"""Metrics, health and the JSON API: what the runtime has published, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from flask import Blueprint, Response, current_app, request

from monitor.clock import from_iso
from monitor.columns.column import clean_text
from monitor.config.settings import duration
from monitor.errors import InputError
from monitor.runtime import Runtime

api = Blueprint("api", __name__)

#: 2200-01-01, seconds since 1970 UTC.
FAR = 7_258_118_400


def runtime() -> Runtime:
    """The runtime that this application shows."""
    return cast(Runtime, current_app.config["RUNTIME"])


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


@api.get("/readyz")
def readyz() -> dict[str, Any]:
    """200 as soon as predictions are answered."""
    return {"status": "ready", "model_version": runtime().only.version}


@api.get("/api/status")
def status() -> dict[str, Any]:
    """Model, predictions, drift, alerts, receivers and health."""
    return runtime().status()


@api.get("/api/drift")
def drift() -> list[dict[str, Any]]:
    """The last verdicts."""
    return [result.to_json() for result in runtime().only.latest.results]


@api.get("/api/alerts")
def alerts() -> list[dict[str, Any]]:
    """Alerts that are not inactive."""
    return runtime().alerts()


@api.get("/api/windows")
def windows() -> dict[str, Any]:
    """Counts over any period: `from`, `to`, `step`, `column` (repeatable), `model_version`."""
    now, given = runtime().clock.time(), request.args
    start, end = _moment(given, "from", now - 86_400), _moment(given, "to", now)
    try:
        step = duration(given["step"]) if "step" in given else None
    except ValueError as error:
        raise InputError("duration", clean_text(str(error)), "step") from None
    return runtime().windows(start, end, step, given.getlist("column"), given.get("model_version"))


def _moment(given: Mapping[str, str], name: str, default: float) -> float:
    """Read a time from the query. Raises InputError."""
    try:
        moment = from_iso(given[name]) if name in given else default
    except (ValueError, OverflowError):
        message = f"expected a time in ISO 8601, such as 2026-11-24T08:00Z, got {clean_text(given[name])!r}"
        raise InputError("time", message, name) from None
    if not 0 <= moment < FAR:
        raise InputError("time", "a time lies between 1970 and 2200", name)
    return moment
