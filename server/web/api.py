"""Metrics, health and the JSON API: what the runtime has published, for programs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify, request

from monitor.clock import DAY, WEEK
from monitor.columns.column import clean_text
from monitor.config.settings import duration
from monitor.drift.result import Span, Subject
from monitor.errors import InputError
from monitor.report.fired import read_alerts
from monitor.rules.alert import AlertState
from monitor.runtime import Runtime
from monitor.store.file.database import one_moment
from monitor.store.records.alerts import moves_of
from monitor.watched import Watched
from server.web.period import NAMES, read

api = Blueprint("api", __name__)

#: What each of these answers with, as JSON.
PUBLISHED: dict[str, Callable[[Runtime], Any]] = {
    "/readyz": lambda run: {"status": "ready", **versions(run)},
    "/api/status": lambda run: run.status(asked()),
    "/api/drift": lambda run: [result.to_json() for model in shown(run) for result in model.latest.results],
    "/api/alerts": lambda run: past_alerts(run) if named() else run.alerts(asked()),
}


def asked() -> str | None:
    """The name of the model that a request is about, from its path or its query; None if it names none."""
    return request.environ.get("telltale.model") or request.args.get("model") or None


def shown(run: Runtime) -> list[Watched]:
    """The model that a request is about, or all that are watched. Raises InputError for an unknown one."""
    name = asked()
    return list(run.models.values()) if name is None else [run.find(name)]


def named() -> bool:
    """Whether the address of a request names a period."""
    return any(request.args.get(name) for name in NAMES)


def past_alerts(run: Runtime) -> list[dict[str, Any]]:
    """The alerts of the period that a request names."""
    with one_moment(run.folder.database) as connection:
        return fired(connection, shown(run), period(WEEK))


def fired(connection: sqlite3.Connection, models: Iterable[Watched], span: Span) -> list[dict[str, Any]]:
    """The alerts of a period, of some models and all of their versions, the newest first."""
    of_models = (read_alerts(connection, Subject(model.name), model.config, span) for model in models)
    return sorted(chain.from_iterable(of_models), key=lambda alert: alert["began"], reverse=True)


def versions(run: Runtime) -> dict[str, Any]:
    """The version of the model, or the versions of several by name."""
    by_name = {name: model.version for name, model in run.models.items()}
    return {"models": by_name} if run.config.models else {"model_version": next(iter(by_name.values()))}


def runtime() -> Runtime:
    """The runtime that this application shows."""
    return cast(Runtime, current_app.config["RUNTIME"])


for address, published in PUBLISHED.items():
    api.add_url_rule(address, address.rpartition("/")[2], lambda answer=published: jsonify(answer(runtime())))


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
    """Counts over any period: `from`, `to`, `around`, `step`, `column` (repeatable), `model_version`."""
    fields, span = request.args, period(DAY)
    try:
        step = duration(fields["step"]) if "step" in fields else None
    except ValueError as error:
        raise InputError("duration", clean_text(str(error)), "step") from None
    return runtime().windows(span.start, span.end, step, fields.getlist("column"), fields.get("model_version"), asked())


@api.get("/api/performance")
def performance() -> dict[str, Any]:
    """Performance over a period: `from`, `to`, `around`, `model_version`."""
    span = period(WEEK)
    return runtime().performance(span.start, span.end, request.args.get("model_version"), asked()).to_json()


def period(seconds: float) -> Span:
    """Read `from`, `to` or `around` from the query; without them the last `seconds`. Raises InputError."""
    run = runtime()

    def moves(event_id: str) -> list[tuple[float, AlertState]]:
        with one_moment(run.folder.database) as connection:
            return moves_of(connection, event_id)

    return read(request.args, run.clock.time(), seconds, moves)
