"""The pages: each view as HTML, and with `?format=json` or `?format=csv` as its data."""

from __future__ import annotations

import csv
import io
import json
import mimetypes
import re
from typing import Any, cast
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, current_app, g, request

from monitor.columns.column import ROLES, Role
from monitor.report.render import STATIC, environment, render
from server.web import views
from server.web.api import runtime
from server.web.views import Memory, View

pages = Blueprint("pages", __name__)

#: What the pages load, by name: in memory, so that a slow client holds no open file.
ASSETS = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file()}


#: A page with scripts asks for itself again this often, in seconds: at least and at most.
REFRESH = (5.0, 60.0)

#: Characters of a field of the query that the page's links repeat.
LONGEST_FIELD = 200

#: Templates that do not renew themselves.
FORMS = ("login.html", "silence.html")

#: Spreadsheets run a cell that begins with one of these as a formula; some skip spaces and quotes before it, and some
#: read the wide forms of East Asian keyboards alike.
FORMULA = re.compile(r"[\s'\"`\u2018-\u201f\ufeff\u200b]*[=+\-@|%\t\r\uff1d\uff0b\uff0d\uff20]")


@pages.record_once
def read_templates(_: object) -> None:
    """Read the templates when the server starts, and not when somebody first looks."""
    environment()


@pages.get("/assets/<path:filename>")
def asset(filename: str) -> Response:
    """A style sheet, script or picture of the pages."""
    if filename not in ASSETS:
        abort(404)
    kind = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    response = Response(ASSETS[filename], content_type=kind, headers={"Cache-Control": "no-cache"})
    response.add_etag()
    response.make_conditional(request)
    return response


@pages.get("/")
def columns() -> Response:
    """Every column, the worst first."""
    memory = current_app.extensions.setdefault("telltale_pages", Memory())
    return answer(views.columns(runtime(), memory, request.args))


@pages.get(f"/column/<any({', '.join(ROLES)}):role>")
def column(role: str) -> Response:
    """One column; its name is in the query, where no browser and no proxy rewrites it."""
    name = request.args.get("name", "")
    try:
        return answer(views.column(runtime(), cast(Role, role), name, request.args))
    except KeyError:
        what = f"This model has no column of that name with the role {role}."
        return answer(View("missing.html", {"title": "Not found", "what": what}, [], 404))


@pages.get("/alerts")
def alerts() -> Response:
    """Alerts, their history, silences and notifications."""
    return answer(views.alerts(runtime()))


@pages.get("/monitor")
def health() -> Response:
    """How the monitor itself is doing."""
    return answer(views.health(runtime()))


def answer(view: View) -> Response:
    """Send a view in the format that was asked for."""
    wanted = request.args.get("format")
    if wanted == "json":
        body = json.dumps(view.records, indent=1) + "\n"
        return Response(body, view.status, content_type="application/json")
    if wanted == "csv":
        return Response(to_csv(view.records), view.status, content_type="text/csv; charset=utf-8")
    run = runtime()
    low, high = REFRESH
    body = render(
        view.template,
        here=request.path,
        version=run.only.version,
        now=run.clock.time(),
        # A form is not taken away from under somebody who fills it in.
        refresh=0 if view.template in FORMS else min(max(run.config.drift.every / 2, low), high),
        viewer=_viewer(),
        as_json=_same_with("json"),
        as_csv=_same_with("csv"),
        **view.context,
    )
    return Response(body, view.status, content_type="text/html; charset=utf-8")


def to_csv(records: list[dict[str, Any]]) -> str:
    """Write records as CSV; nothing in it is a formula.

    >>> to_csv([{"column": "=1+1", "n": -3}, {"column": " '=a", "n": None}]).splitlines()
    ['column,n', "'=1+1,-3", "' '=a,"]
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(map(_cell, names))
    writer.writerows([_cell(record.get(name)) for name in names] for record in records)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        value = "/".join(map(str, value.values()))
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def _same_with(format_: str) -> str:
    """This view's address in another format."""
    kept = {key[:LONGEST_FIELD]: value[:LONGEST_FIELD] for key, value in request.args.items()}
    return f"{request.path}?{urlencode({**kept, 'format': format_})}"


def _viewer() -> dict[str, Any]:
    """What the templates ask about who looks: whether they can log in, and what their forms carry."""
    has_token = current_app.extensions["telltale_guard"].has_token
    return {"csrf": g.viewer.csrf, "login": has_token and g.viewer.by == "nobody"}
