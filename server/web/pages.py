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
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, current_app, g, redirect, request
from markupsafe import Markup, escape

from monitor import words
from monitor.clock import DAY, WEEK, iso
from monitor.columns.column import MAX_TEXT, ROLES, Role, column_path
from monitor.drift.result import Span, Subject
from monitor.errors import InputError
from monitor.exposition import families
from monitor.judging.evaluation import Evaluation
from monitor.judging.usual import Judged
from monitor.notify import guide
from monitor.outcomes.results import COLUMN
from monitor.report import alerts as alerts_page
from monitor.report import column as column_page
from monitor.report import figure, overview
from monitor.report import models as model_lines
from monitor.report import performance as performance_page
from monitor.report.file import gather, to_html
from monitor.report.glossary import TEXTS
from monitor.report.overview import Row
from monitor.report.past import look_back
from monitor.report.render import STATIC, environment, render
from monitor.report.versions import compare as compare_versions
from monitor.rules.silence import mutes
from monitor.runtime import Runtime
from monitor.series import Series
from monitor.store.file.database import one_moment
from monitor.store.records import history
from monitor.store.records.alerts import list_events, list_silences, moves_of
from monitor.store.records.history import HeatMap
from monitor.store.records.notifications import listing
from monitor.store.records.usual import spent
from monitor.store.windows.rows import list_gaps, list_versions, load_version
from monitor.watched import Watched
from server.web.api import asked, fired, named, runtime, shown
from server.web.api import period as asked_period
from server.web.period import CHOICES, NAMES, Period, chosen

pages = Blueprint("pages", __name__)

#: Rows of a view as data; they may be worked out only if they are asked for.
Records = Iterable[Mapping[str, Any]]

#: What the pages load, by name: in memory, so that a slow client holds no open file.
ASSETS = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file()}

#: A page with scripts asks for itself again this often, in seconds: at least and at most.
REFRESH = (5.0, 60.0)

#: Characters of a field of the query that the page's links repeat: the longest name of a column has as many.
LONGEST_FIELD = MAX_TEXT

#: Most alerts of a period on the page of alerts, the newest first.
MOST_FIRED = 100

#: Templates that do not refresh themselves, because people fill them in.
FORMS = ("login.html", "silence.html", "accept.html")

#: A link of a page to another one that may be about one model. Text is escaped, so nothing else looks like it; links in
#: single quotes are about all models. It begins with plain text, which is found in a third of the time.
OWN_LINK = re.compile(r'="(?:(?<=href=")|(?<=(action)="))(/(?!assets/|metrics|what-to-do|help|login|logout)[^"#]*)')

#: An address that names a period.
NAMED = re.compile(rf"[?;]({'|'.join(NAMES)})=")

#: Fields of the overview's filter.
FILTER = ("q", "state", "role")

#: Spreadsheets run a cell that begins with one of these as a formula; some skip spaces and quotes before it, and some
#: read the wide forms of East Asian keyboards alike.
FORMULA = re.compile(r"[\s'\"`\u2018-\u201f\ufeff\u200b]*[=+\-@|%\t\r\uff1d\uff0b\uff0d\uff20]")


class Memory:
    """Cache of past cells of the heat map, and of the figures of an evaluation."""

    def __init__(self) -> None:
        self.heat_maps: defaultdict[str, HeatMap] = defaultdict(HeatMap)
        self._figures: dict[tuple[str, bool], tuple[Evaluation, dict[int, Markup]]] = {}

    def figures(self, evaluation: Evaluation, model: str, past: bool) -> dict[int, Markup]:
        """Figures drawn so far of an evaluation, by position. It keeps one evaluation of the past besides the last."""
        held = self._figures.get((model, past))
        if held is None or (held[0].at != evaluation.at if past else held[0] is not evaluation):
            held = self._figures[model, past] = (evaluation, {})
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
    now = run.clock.time()
    with one_moment(run.folder.database) as connection:
        period = _period(connection, [model])
        evaluation, series = _judged(connection, model, period)
        length = history.cell_length(period.end - period.start, run.config.drift.every)
        of, reference = series.subject, series.reference
        cells = memory.heat_maps[model.name].read(connection, of, period.start, period.end, length)
        lost = column_page.lost(connection, period.start, period.end)
        silences = list_silences(connection, now)
        sent = "" if period.judged else spent(connection, of, model.latest.at or now)
    every, past = overview.rows(evaluation, reference), evaluation is not model.latest
    alerts = tuple(evaluation.alerts.values())
    muted = () if past else mutes(alerts, silences, now)
    wanted = {key: request.args.get(key, "") for key in FILTER}
    listed = [row for row in every if _matches(row, **wanted)]
    show = request.args.get("show", "")[:LONGEST_FIELD]
    most = None if show == "all" else overview.MOST_FIGURES
    first = int(period.start // length)
    gaps = [range(int(begin // length) - first, int(end // length) - first + 1) for begin, end, _ in lost]
    marked = [cell for cell in range(len(cells)) if any(cell in gap for gap in gaps)]
    pictured = {row.position for row in listed[: overview.MOST_FIGURES]}
    drawn = memory.figures(evaluation, model.name, past)

    def draw(row: Row) -> tuple[str, str]:
        """Figures of a row, while the template asks for them, and not for JSON and CSV."""
        if row.position not in pictured:
            return "", ""
        if row.position not in drawn:
            drawn[row.position] = overview.draw(row, reference)
        return drawn[row.position], overview.strip(row, cells, marked)

    judged = evaluation.judged[0] if evaluation.judged else None
    return answer(
        "overview.html",
        (overview.record(row) for row in listed),
        learning=evaluation.learning,
        sent=sent,
        headline=overview.headline(every, evaluation, run.config.drift.every, past=past),
        evaluated=evaluation.at,
        version=series.version,
        performance=performance_page.summarise(evaluation),
        parts=overview.parts(listed, bool(show or any(wanted.values())), most),
        drawn=draw,
        left_out=len(listed[most:]) if most else 0,
        show=lambda what: f"/?{urlencode({**wanted, 'show': what})}",
        alerts=overview.alert_line(alert for alert in alerts if alert.key not in muted),
        health=health_line(run),
        window=judged and _window(judged, every),
        filter=wanted,
        states=sorted(Counter(row.state for row in every).items(), key=lambda item: overview.ORDER.index(item[0])),
        period=period,
        cell=length,
        first=first,
        lost=lost[::-1],
        rules=model.explained.values(),
    )


def several(run: Runtime) -> bool:
    """Whether pages have to say which model they are about."""
    return len(run.models) + len(run.failed) > 1


def models() -> Response:
    """A line for each model, the worst first."""
    run = runtime()
    now, every = run.clock.time(), run.config.drift.every
    with one_moment(run.folder.database) as connection:
        silences = list_silences(connection, now)
    lines = [model_lines.model_line(model, every, silences, now) for model in run.models.values()]
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
    with one_moment(run.folder.database) as connection:
        period, against = _period(connection, [model]), request.args.get("against", column_page.REFERENCE)
        evaluation, series = _judged(connection, model, period)
        reference, stretch = series.reference, (period.start, period.end)
        try:
            position = reference.schema.index(name, cast(Role, role))
        except KeyError:
            if role == "outcome":
                return cast(Response, redirect(prefix(run) + column_path(role, name)))
            what = f"This model has no column of that name with the role {role}."
            return answer("not-found.html", what=what, status=404)
        if against not in column_page.COMPARISONS:
            wrong = InputError("choice", f"expected one of {', '.join(column_page.COMPARISONS)}", "against")
            period, against = period._replace(wrong=period.wrong or wrong), column_page.REFERENCE
        (row,) = overview.rows(evaluation, reference, (position,))
        facts = column_page.over_time(connection, row, series, run.config, *stretch)
        usual = column_page.usual(connection, model.latest, row, model.series, facts["marks"], *stretch)
        compared = column_page.compared(connection, row, series, Span(*stretch), against)
        events = list_events(connection, Subject(model.name), row.column.role, name, 30)
    shown = column_page.histograms(row, reference, compared and compared.sides)
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
        compared=compared,
        comparisons=column_page.COMPARISONS,
        compared_with=against,
        evaluated=evaluation.at,
        version=series.version,
        signs=figure.SIGNS,
        **facts,
        usual=usual,
        learning=model.latest.learning,
        results=results,
        rules=[text for name, text in model.explained.items() if name in {result.rule for result in results}],
        events=events,
        period=period,
    )


@pages.get("/performance")
def performance() -> Response:
    """How well the model does in a period; `metric` is drawn over time."""
    run, given = runtime(), request.args
    model = run.find(asked())
    with one_moment(run.folder.database) as connection:
        period = _period(connection, [model], WEEK)
        evaluation, series = _judged(connection, model, period)
        marks = column_page.marks(connection, series, "outcome", COLUMN, period.start, period.end)
        events = list_events(connection, Subject(model.name), "outcome", most=30)
    summary = performance_page.summarise(evaluation)
    report = run.performance(period.start, period.end, series.version, model.name)
    metric = given.get("metric") or (summary.metric if summary else "")
    floor = summary.floor if summary and summary.metric == metric else None
    return answer(
        "performance.html",
        report.to_json()["metrics"],
        performance=summary,
        evaluated=evaluation.at,
        version=series.version,
        taken=model.config.outcomes is not None,
        p=performance_page.draw_report(report, metric, floor, marks),
        address=lambda name: f"/performance?{urlencode({'metric': name})}",
        rules=[model.explained[rule.name] for rule in model.config.rules if rule.performance],
        events=events,
        period=period,
    )


@pages.get("/alerts")
def alerts() -> Response:
    """What fires now and what ended in the period, or what fired in one that is over; notifications, silences."""
    run = runtime()
    now = run.clock.time()
    models, name = shown(run), asked()
    with one_moment(run.folder.database) as connection:
        period = _period(connection, models, WEEK)
        span = Span(period.start, period.end)
        silences = [silence for silence in list_silences(connection, now) if not name or silence.may_match(model=name)]
        events = list_events(connection, Subject(models[0].name) if len(models) == 1 else None, span=span)
        notifications = listing(connection, dead_first=True, model=name, span=span)
        fired_alerts = fired(connection, models, span)
    dead = sum(notification["state"] == "dead" for notification in notifications)
    muted = mutes([alert for model in models for alert in model.latest.alerts.values()], silences, now)
    parts = alerts_page.arrange((model.latest for model in models), muted)
    up = [line.alert for line in parts["up"]]
    if period.judged is None:
        listed = [alert for alert in fired_alerts if alert["ended"]]
        summary, firing = overview.alert_line(up), any(alert.state == "firing" for alert in up)
    else:
        listed, firing = fired_alerts, False
        summary = f"{words.counted(len(fired_alerts), 'alert')} fired" if fired_alerts else ""
    return answer(
        "alerts.html",
        fired_alerts if named() else (alert for model in models for alert in model.alerts()),
        summary=summary or "No alerts",
        tone="drift" if firing or dead else "warning" if summary else "ok",
        period=period,
        alerts=listed[:MOST_FIRED],
        left_out=len(listed[MOST_FIRED:]),
        parts=parts,
        muted=muted,
        silences=silences,
        events=events,
        notifications=notifications,
        dead=dead,
    )


@pages.get("/report")
def report() -> Response:
    """The report of a period as a file: the last week if the address names none."""
    run, span = runtime(), asked_period(WEEK)
    model = run.find(asked())
    with one_moment(run.folder.database) as connection:
        page = to_html(connection, gather(connection, model.config, span, run.clock.time(), model.name), model.config)
    name = f"report-{iso(span.start)[:16].replace(':', '')}.html"
    return Response(page, content_type="text/html", headers={"Content-Disposition": f"attachment; filename={name}"})


@pages.get("/compare")
def compare() -> Response:
    """Two versions of a model side by side: `first` and `second`, by default the newest two."""
    run, given = runtime(), request.args
    model, now = run.find(asked()), run.clock.time()
    with one_moment(run.folder.database) as connection:
        versions = list_versions(connection, model.name)
        chosen = [given.get("first") or versions[min(1, len(versions) - 1)], given.get("second") or versions[0]]
        both = [load_version(connection, version, model.name) for version in chosen]
        period = _period(connection, [model], WEEK)
        alpha, least = model.config.drift.alpha, model.config.drift.min_samples
        seen = compare_versions(connection, both[0], both[1], Span(period.start, period.end), now, alpha, least)
    return answer("compare.html", [seen.to_json()], period=period, found=seen, versions=versions, chosen=chosen)


@pages.get("/what-to-do")
def what_to_do() -> Response:
    """What to do about each kind of verdict; messages link to its sections."""
    records = [section._asdict() for section in guide.SECTIONS]
    return answer("what-to-do.html", records, intro=guide.INTRO, sections=guide.SECTIONS)


@pages.get("/help")
def words_of_pages() -> Response:
    """What the words of the pages mean."""
    return answer("help.html", [{"word": word, "means": text} for word, text in TEXTS.items()])


@pages.get("/monitor")
def health() -> Response:
    """How the monitor itself is doing."""
    run = runtime()
    models, checks = shown(run), run.condition.checks()
    of_models = [run.facts(model) for model in models]
    with one_moment(run.folder.database) as connection:
        gaps = list_gaps(connection, most=50)
    own, count = of_models[0].process, words.count
    lag, evaluated = own[families.FOLD_LAG], own.get(families.EVALUATION_TIME)
    last = words.clock_time(evaluated, run.clock.time()) if evaluated else "not yet"
    refused = ", ".join(f"{n:,} {code}" for code, n in sorted(of_models[0].rejected.items()))
    facts = {
        "Predictions recorded": count(sum(model.totals.n for model in models)),
        "Predictions that could not be recorded": count(own[families.CAPTURE_DROPPED]),
        "Recorded but not folded yet, for": words.duration(lag) if lag else "nothing waits",
        "Evaluations": f"{count(own[families.EVALUATIONS])}, the last one {last}",
        "Evaluated every": words.duration(own[families.EVALUATION_EVERY]),
        "Predictions that the model failed": count(sum(facts.model[families.MODEL_ERRORS] for facts in of_models)),
        "Requests refused": refused or "none",
        "Notifications waiting": count(own[families.WAITING]),
        "Notifications not delivered": count(own[families.DEAD_LETTERS]),
        "Database": words.size(own[families.DATABASE_BYTES]),
        "Journal": words.size(own[families.JOURNAL_BYTES]),
    }
    for reference, title in ((model.reference, model.series.subject.title) for model in models):
        columns = words.counted(len(reference.schema.columns), "column")
        rows = words.counted(reference.info.rows, "row")
        facts[f"Model {title}"] = f"{columns}, reference {reference.identity[:12]} of {rows}"
    condition = run.health()
    return answer(
        "health.html",
        condition["checks"],
        summary=health_line(run)["text"].removesuffix("."),
        tone={"ok": "ok", "degraded": "warning", "failing": "drift"}[condition["status"]],
        checks=checks,
        facts=facts,
        gaps=gaps,
    )


def health_line(run: Runtime) -> dict[str, str]:
    """What is wrong with the monitor, or that nothing is."""
    health = run.health()
    condition, checks = health["status"], health["checks"]
    if wrong := [f"{check['part']}: {check['detail']}" for check in checks if check["condition"] != "ok"]:
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


def _judged(connection: sqlite3.Connection, model: Watched, period: Period) -> tuple[Evaluation, Series]:
    """The evaluation that a view shows, and its series: the last one, or the last one in a period that is over."""
    if period.judged is None:
        return model.latest, model.series
    return look_back(connection, model.series, model.config.rules, period.start, period.judged)


def _period(connection: sqlite3.Connection, models: Sequence[Watched], seconds: float = DAY) -> Period:
    """The period of a view about some models: what the address names, or the last `seconds`."""
    first, now = min(history.begins(connection, one.name) for one in models), runtime().clock.time()
    return chosen(request.args, now, seconds, first, partial(moves_of, connection))


def answer(
    template: str, records: Records = (), status: int = 200, period: Period | None = None, **context: Any
) -> Response:
    """Send a view in the format that was asked for: the template filled in, or its records as data.

    `period`: what the view shows; if its address was wrong, the page says so and is as it is without one.
    """
    wanted = request.args.get("format")
    if period and period.wrong:
        status = period.wrong.status
        if wanted in ("json", "csv"):
            raise period.wrong
    if wanted == "json":
        return Response(json.dumps([*records], indent=1) + "\n", status, content_type="application/json")
    if wanted == "csv":
        return Response(to_csv(records), status, content_type="text/csv; charset=utf-8")
    fields = {key[:LONGEST_FIELD]: value[:LONGEST_FIELD] for key, value in request.args.items()}
    named = {name: fields[name] for name in NAMES if fields.get(name) and template not in FORMS}
    kept, (low, high) = period.kept if period else named, REFRESH
    refresh = 0 if template in FORMS or status != 200 else min(max(runtime().config.drift.every / 2, low), high)
    body = render(template, kept=kept, period=period, refresh=refresh, **_around(fields), **context)
    if (beside := fields.get("against", "")) not in ("", column_page.REFERENCE) and status == 200:
        kept = kept | {"against": beside}
    if (before := prefix(runtime())) or kept:
        texts = {key: str(escape(urlencode({key: text}, safe=":"))) for key, text in kept.items()}
        body = OWN_LINK.sub(lambda link: _link_to_same_model(link, before, texts), body)
    return Response(body, status, content_type="text/html; charset=utf-8")


def _around(fields: Mapping[str, str]) -> dict[str, Any]:
    """What every page shows around its view: links, choices of a period, who looks. `fields`: those of the address."""
    run, name, guard = runtime(), asked(), current_app.extensions["telltale_guard"]
    others = {key: value for key, value in fields.items() if key not in (*NAMES, "format")}
    about_one = name is not None or not several(run)

    def here(fields: Mapping[str, str], key: str, value: str) -> str:
        return f"{request.path}?{urlencode({**fields, key: value})}"

    return {
        "here": request.path,
        "performance_page": run.config.outcomes is not None and about_one,
        "several": several(run),
        "model": run.models.get(name or next(iter(run.models))) if about_one else None,
        "now": run.clock.time(),
        "viewer": {"csrf": g.viewer.csrf, "login": guard.has_token and g.viewer.by == "anonymous"},
        "formats": {form.upper(): here(fields, "format", form) for form in ("json", "csv")},
        "choices": [(text, value, here(others, "from", value)) for text, value in CHOICES],
        "others": others,
        "present": here(others, "from", CHOICES[0][1]),
    }


def _link_to_same_model(link: re.Match[str], prefix: str, kept: Mapping[str, str]) -> str:
    """Have a link lead to the same model, and repeat the period and the comparison unless it names one.

    `kept`: fields of an address as links have them, by name.
    """
    action, address = link.groups()
    named = NAMED.search(address)
    more = [text for key, text in kept.items() if not (named if key in NAMES else f"{key}=" in address)]
    if more and not action:
        address += f"{'&amp;' if '?' in address else '?'}{'&amp;'.join(more)}"
    return f'="{prefix}{address}'


def prefix(run: Runtime) -> str:
    """What addresses of pages about one of several models begin with."""
    name = asked()
    return f"/models/{run.known(name)}" if name is not None and several(run) else ""


def to_csv(records: Records) -> str:
    """Write records as CSV; nothing in it is a formula.

    >>> to_csv([{"column": "=1+1", "n": -3}, {"column": " '=a", "n": None}]).splitlines()
    ['column,n', "'=1+1,-3", "' '=a,"]
    """
    records = [*records]
    names = list(dict.fromkeys(name for record in records for name in record))
    out = io.StringIO()
    rows: list[list[Any]] = [names, *([record.get(name) for name in names] for record in records)]
    csv.writer(out).writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        value = "/".join(map(str, value.values()))
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
