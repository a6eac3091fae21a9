"""The pages: what the runtime has published and the store holds, as HTML, and with `?format=json` or `csv` as data.

Nothing in here touches a lock that a prediction could wait for: evaluations are published whole, and the store is read
over a connection of the reader's own.
"""

from __future__ import annotations

import csv
import io
import json
import mimetypes
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, current_app, g, redirect, request
from markupsafe import Markup

from monitor import words
from monitor.columns.column import ROLES, Role, column_path
from monitor.comparison import compare as compare_versions
from monitor.comparison import told
from monitor.drift.result import Span, Subject
from monitor.evaluation import Evaluation
from monitor.notify import guide
from monitor.report import alerts as alerts_page
from monitor.report import column as column_page
from monitor.report import figure, overview
from monitor.report import models as model_lines
from monitor.report import performance as performance_page
from monitor.report.overview import Row
from monitor.report.render import STATIC, environment, render
from monitor.rules.silence import mutes
from monitor.runtime import Runtime
from monitor.store.file.database import one_moment
from monitor.store.records import history
from monitor.store.records.alerts import list_events, list_silences
from monitor.store.records.history import RANGES, HeatMap
from monitor.store.records.notifications import listing
from monitor.store.records.usual import spent
from monitor.store.windows.rows import list_versions, newest_series
from monitor.usual import Judged
from server.web.api import asked, period, runtime, shown

pages = Blueprint("pages", __name__)

Records = Sequence[Mapping[str, Any]]

#: What the pages load, by name: in memory, so that a slow client holds no open file.
ASSETS = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file()}

#: A page with scripts asks for itself again this often, in seconds: at least and at most.
REFRESH = (5.0, 60.0)

#: Characters of a field of the query that the page's links repeat.
LONGEST_FIELD = 200

#: Templates that do not refresh themselves, because people fill them in.
FORMS = ("login.html", "silence.html")

#: A link of a page to another one that may be about one model. Text is escaped, so nothing else looks like it; links in
#: single quotes are about all models.
OWN_LINK = re.compile(r'(href|action)="/(?!assets/|metrics|what-to-do|login|logout)')

#: Fields of the overview's filter.
FILTER = ("q", "state", "role")

#: Spreadsheets run a cell that begins with one of these as a formula; some skip spaces and quotes before it, and some
#: read the wide forms of East Asian keyboards alike.
FORMULA = re.compile(r"[\s'\"`\u2018-\u201f\ufeff\u200b]*[=+\-@|%\t\r\uff1d\uff0b\uff0d\uff20]")


class Memory:
    """What is not worked out twice: past cells of the heat map, and the last evaluation's figures."""

    def __init__(self) -> None:
        self.heat_maps: defaultdict[Subject, HeatMap] = defaultdict(HeatMap)
        self._figures: dict[str, tuple[Evaluation, dict[int, Markup]]] = {}

    def figures(self, evaluation: Evaluation, model: str) -> dict[int, Markup]:
        """Figures of a model's evaluation that have been drawn, by position."""
        held = self._figures.get(model)
        if held is None or held[0] is not evaluation:
            held = self._figures[model] = (evaluation, {})
        return held[1]


@pages.record_once
def read_templates(_: object) -> None:
    """Read the templates when the server starts, not at the first request."""
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
    """Every column of a model, the worst first; of several, if none is named, a line each."""
    run = runtime()
    if several(run) and asked() is None:
        return models()
    memory: Memory = current_app.extensions.setdefault("telltale_pages", Memory())
    model = run.find(asked())
    now, evaluation, reference = run.clock.time(), model.latest, model.reference
    every = overview.rows(evaluation, reference)
    with one_moment(run.folder.database) as connection:
        chosen = _range(connection, now)
        length = history.cell_length(RANGES[chosen], run.config.drift.every)
        of = model.series.subject
        cells = memory.heat_maps[of].read(connection, of, now, RANGES[chosen], length)
        silences = list_silences(connection, now)
        told = spent(connection, of, evaluation.at or now)
    alerts = tuple(evaluation.alerts.values())
    muted = mutes(alerts, silences, now)
    wanted = {key: request.args.get(key, "") for key in FILTER}
    listed = [row for row in every if _matches(row, **wanted)]
    drawn = memory.figures(evaluation, model.name)

    def shown(place: int, row: Row) -> tuple[Row, str, str]:
        if place >= overview.MOST_FIGURES:
            return row, "", ""
        if row.position not in drawn:
            drawn[row.position] = overview.draw(row, reference)
        return row, drawn[row.position], overview.strip(row, cells)

    judged = evaluation.judged[0] if evaluation.judged else None
    return answer(
        "overview.html",
        [overview.record(row) for row in listed],
        learning=evaluation.learning,
        told=told,
        headline=overview.headline(every, evaluation, run.config.drift.every),
        performance=performance_page.said(evaluation),
        some=bool(listed),
        # Drawn while the template asks for them, and not for JSON and CSV.
        rows=(shown(place, row) for place, row in enumerate(listed)),
        alerts=overview.alert_line(alert for alert in alerts if alert.key not in muted),
        health=health_line(run),
        window=judged and _window(judged, every),
        filter=wanted,
        states=sorted(Counter(row.state for row in every).items(), key=lambda item: overview.ORDER.index(item[0])),
        choices=_choices("/", wanted),
        chosen=chosen,
        chosen_text=words.duration(RANGES[chosen]).removeprefix("1 "),
        cell=length,
        rules=model.config.rules,
    )


def several(run: Runtime) -> bool:
    """Whether pages have to say which model they are about."""
    return len(run.models) + len(run.failed) > 1


def models() -> Response:
    """A line for each model, the worst first."""
    run = runtime()
    now = run.clock.time()
    with one_moment(run.folder.database) as connection:
        silences = list_silences(connection, now)
    lines = [model_lines.model_line(one, run.config.drift.every, silences, now) for one in run.models.values()]
    lines += [model_lines.failed_line(name, why) for name, why in run.failed.items()]
    lines.sort(key=lambda line: line.rank)
    return answer(
        "models.html",
        [line.record() for line in lines],
        lines=lines,
        headline=model_lines.whole_headline(lines),
        health=health_line(run),
    )


@pages.get(f"/column/<any({', '.join(ROLES)}):role>")
def column(role: str) -> Response:
    """One column; its name is in the query, where no browser and no proxy rewrites it."""
    run, name = runtime(), request.args.get("name", "")
    model = run.find(asked())
    now, evaluation, reference = run.clock.time(), model.latest, model.reference
    try:
        position = reference.schema.index(name, cast(Role, role))
    except KeyError:
        if role == "outcome":
            return cast(Response, redirect(_prefix(run) + column_path(role, name)))
        return answer("missing.html", what=f"This model has no column of that name with the role {role}.", status=404)
    row = next(row for row in overview.rows(evaluation, reference) if row.position == position)
    with one_moment(run.folder.database) as connection:
        chosen = _range(connection, now)
        facts = column_page.over_time(connection, row, model.series, run.config, now - RANGES[chosen], now, row.since)
        usual = column_page.usual(connection, evaluation, row, model.series, now - RANGES[chosen], now)
        events = list_events(connection, model.series.subject, row.column.role, name, 30)
    shown = column_page.histograms(row, reference)
    results = (row.result, *row.others) if row.result else ()
    return answer(
        "column.html",
        [
            {
                "label": one["label"],
                "reference": one["reference_rows"],
                "live": one["test_rows"],
                "change": one["change"],
            }
            for one in shown["bins"]
        ],
        row=row,
        tone=overview.TONES.get(row.state, "unknown"),
        against=overview.against_what(row),
        shown=shown,
        signs=figure.SIGNS,
        **facts,
        usual=usual,
        learning=evaluation.learning,
        results=results,
        rules=[rule for rule in model.config.rules if rule.name in {result.rule for result in results}],
        events=events,
        choices=_choices(f"/column/{role}", {"name": name}),
        chosen=chosen,
    )


@pages.get("/performance")
def performance() -> Response:
    """How well the model does: over `range`, or from `from` to `to`; `metric` is drawn over time."""
    run = runtime()
    model = run.find(asked())
    now, given = run.clock.time(), request.args
    named = given.get("range", "7d")
    chosen = "" if "from" in given or "to" in given else named if named in RANGES else "7d"
    with one_moment(run.folder.database) as connection:
        events = list_events(connection, model.series.subject, "outcome", most=30)
    start, end = period(now, RANGES[chosen or "7d"])
    said = performance_page.said(model.latest)
    report = run.performance(start, end, model.version, model.name)
    metric = given.get("metric") or (said.metric if said else "")
    kept = {name: given[name][:LONGEST_FIELD] for name in ("from", "to", "range") if name in given}
    return answer(
        "performance.html",
        performance_page.records(report),
        said=said,
        taken=model.config.outcomes is not None,
        p=performance_page.shown(report, metric, said.floor if said and said.metric == metric else None),
        address=lambda name: f"/performance?{urlencode({**kept, 'metric': name})}",
        rules=[rule for rule in model.config.rules if rule.performance],
        events=events,
        choices=_choices("/performance", {"metric": given.get("metric", "")[:LONGEST_FIELD]}),
        chosen=chosen,
    )


@pages.get("/alerts")
def alerts() -> Response:
    """Alerts, their history, silences and notifications."""
    run = runtime()
    now = run.clock.time()
    every, name = shown(run), asked()
    with one_moment(run.folder.database) as connection:
        silences = [one for one in list_silences(connection, now) if name is None or one.may_match(model=name)]
        events = list_events(connection, every[0].series.subject if len(every) == 1 else None)
        notifications = listing(connection, dead_first=True, model=name)
    dead = sum(notification["state"] == "dead" for notification in notifications)
    muted = mutes([alert for one in every for alert in one.latest.alerts.values()], silences, now)
    parts = alerts_page.arrange((one.latest for one in every), muted)
    line = overview.alert_line(told.alert for told in parts["up"])
    firing = any(told.alert.state == "firing" for told in parts["up"])
    return answer(
        "alerts.html",
        run.alerts(asked()),
        summary=line or "No alerts",
        tone="drift" if firing or dead else "warning" if line else "ok",
        parts=parts,
        muted=muted,
        silences=silences,
        events=events,
        notifications=notifications,
        dead=dead,
    )


@pages.get("/compare")
def compare() -> Response:
    """Two versions of a model side by side: `first` and `second`, by default the newest two."""
    run, given = runtime(), request.args
    model, now = run.find(asked()), run.clock.time()
    with one_moment(run.folder.database) as connection:
        versions = list_versions(connection, model.name)
        chosen = [given.get("first") or versions[min(1, len(versions) - 1)], given.get("second") or versions[0]]
        both = [newest_series(connection, version, model.name) for version in chosen]
        start, end = period(now, 7 * 86400.0)
        alpha, least = model.config.drift.alpha, model.config.drift.min_samples
        found = compare_versions(connection, both[0], both[1], Span(start, end), now, alpha, least)
    return answer("compare.html", [found.to_json()], found=found, versions=versions, chosen=chosen, told=told)


@pages.get("/what-to-do")
def what_to_do() -> Response:
    """What to do about each kind of verdict; messages link to its sections."""
    records = [one._asdict() for one in guide.SECTIONS]
    return answer("what-to-do.html", records, intro=guide.INTRO, sections=guide.SECTIONS)


@pages.get("/monitor")
def health() -> Response:
    """How the monitor itself is doing."""
    run = runtime()
    every, checks = shown(run), run.checks()
    each = [run.facts(one) for one in every]
    with one_moment(run.folder.database) as connection:
        gaps = history.gaps(connection)
    own, count = each[0], words.count
    evaluated = words.clock_time(own.evaluated, run.clock.time()) if own.evaluated else "not yet"
    facts = {
        "Predictions recorded": count(sum(one.totals.n for one in every)),
        "Predictions that could not be recorded": count(own.dropped),
        "Recorded but not folded yet, for": words.duration(own.fold_lag) if own.fold_lag else "nothing waits",
        "Evaluations": f"{count(own.evaluations)}, the last one {evaluated}",
        "Evaluated every": words.duration(own.every),
        "Predictions that the model failed": count(sum(one.model_errors for one in each)),
        "Requests refused": ", ".join(f"{n:,} {code}" for code, n in sorted(own.rejected.items())) or "none",
        "Notifications waiting": count(own.waiting),
        "Notifications not delivered": count(own.dead_letters),
        "Database": words.size(own.database_bytes),
        "Journal": words.size(own.journal_bytes),
    }
    for one in every:
        title = one.series.subject.title
        what = f"{words.counted(len(one.reference.schema.columns), 'column')}, reference {one.reference.identity[:12]}"
        facts[f"Model {title}"] = f"{what} of {words.counted(one.reference.info.rows, 'row')}"
    return answer(
        "health.html",
        run.health()["checks"],
        summary=health_line(run)["text"].removesuffix("."),
        tone={"ok": "ok", "degraded": "warning", "failing": "drift"}[run.health()["status"]],
        checks=checks,
        facts=facts,
        gaps=gaps,
    )


def health_line(run: Runtime) -> dict[str, str]:
    """What is wrong with the monitor, or that nothing is."""
    condition = run.health()["status"]
    if wrong := [f"{check.part}: {check.detail}" for check in run.checks() if check.condition != "ok"]:
        return {"status": condition, "text": f"Monitor {condition}: {'; '.join(wrong)}."}
    evaluated = max(model.latest.at for model in run.models.values())
    ago = words.duration(max(0.0, run.clock.time() - evaluated))
    return {"status": "ok", "text": f"Monitor healthy{f'; last evaluation {ago} ago' if evaluated else ''}."}


def _window(judged: Judged, rows: Sequence[Row]) -> dict[str, Any]:
    rows = [row for row in rows if row.judged is judged]
    whats = {overview.against_what(row) for row in rows} or {"the training data"}
    return {
        "n": judged.test.n,
        "start": judged.window.start,
        "end": judged.window.end,
        "against": "their references" if len(whats) > 1 else whats.pop(),
        "rows": 0 if len(whats) > 1 else max((row.result.m for row in rows if row.result), default=0),
    }


def _matches(row: Row, q: str, state: str, role: str) -> bool:
    return q.casefold() in row.column.name.casefold() and state in ("", row.state) and role in ("", row.column.role)


def _range(connection: sqlite3.Connection, now: float) -> str:
    chosen = request.args.get("range", "")
    return chosen if chosen in RANGES else history.fitting_range(connection, now)


def _choices(path: str, keep: Mapping[str, str]) -> list[tuple[str, str]]:
    """Addresses of the same view over every range."""
    kept = {key: value for key, value in keep.items() if value}
    return [(name, f"{path}?{urlencode({**kept, 'range': name})}") for name in RANGES]


def answer(template: str, records: Records = (), status: int = 200, **context: Any) -> Response:
    """Send a view in the format that was asked for: the template filled in, or its records as data."""
    wanted = request.args.get("format")
    if wanted == "json":
        return Response(json.dumps(records, indent=1) + "\n", status, content_type="application/json")
    if wanted == "csv":
        return Response(to_csv(records), status, content_type="text/csv; charset=utf-8")
    run, guard = runtime(), current_app.extensions["telltale_guard"]
    low, high = REFRESH
    kept = {key[:LONGEST_FIELD]: value[:LONGEST_FIELD] for key, value in request.args.items()}
    name = asked()
    body = render(
        template,
        here=request.path,
        performance_page=run.config.outcomes is not None and not (several(run) and name is None),
        several=several(run),
        model=run.models.get(name or next(iter(run.models))) if name or not several(run) else None,
        now=run.clock.time(),
        refresh=0 if template in FORMS else min(max(run.config.drift.every / 2, low), high),
        viewer={"csrf": g.viewer.csrf, "login": guard.has_token and g.viewer.by == "nobody"},
        formats={name.upper(): f"{request.path}?{urlencode({**kept, 'format': name})}" for name in ("json", "csv")},
        **context,
    )
    if prefix := _prefix(run):
        body = OWN_LINK.sub(rf'\1="{prefix}/', body)
    return Response(body, status, content_type="text/html; charset=utf-8")


def _prefix(run: Runtime) -> str:
    """What addresses of pages about one of several models begin with."""
    name = asked()
    return f"/models/{run.known(name)}" if name is not None and several(run) else ""


def to_csv(records: Records) -> str:
    """Write records as CSV; nothing in it is a formula.

    >>> to_csv([{"column": "=1+1", "n": -3}, {"column": " '=a", "n": None}]).splitlines()
    ['column,n', "'=1+1,-3", "' '=a,"]
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    out = io.StringIO()
    rows: list[list[Any]] = [names, *([record.get(name) for name in names] for record in records)]
    csv.writer(out).writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        value = "/".join(map(str, value.values()))
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
