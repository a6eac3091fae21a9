"""What each page shows: the runtime's last evaluation and the store's rows, as the context of a template.

Each view also gives the records that its JSON and CSV consist of. Nothing in here touches a lock that a prediction
could wait for: evaluations are published whole, and the store is read over a connection of the reader's own.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from monitor import words
from monitor.columns.column import Role
from monitor.evaluation import Evaluation
from monitor.reference.file import Reference
from monitor.report import column as column_page
from monitor.report import figure, overview
from monitor.report.overview import Row
from monitor.rules.rule import SEVERITIES
from monitor.rules.silence import mutes
from monitor.runtime import Runtime
from monitor.store.file.database import one_moment
from monitor.store.records import history
from monitor.store.records.alerts import list_silences
from monitor.store.records.history import RANGES, HeatMap
from monitor.store.records.usual import spent
from monitor.usual import Judged

#: Where a view's choices come from: the query of its address.
Query = Mapping[str, str]


@dataclass(frozen=True)
class View:
    """A page: its template and what fills it, and the same as records for programs."""

    template: str
    context: dict[str, Any]
    records: list[dict[str, Any]]
    status: int = 200


class Memory:
    """What need not be worked out twice: cells of the heat map that are over, and the last evaluation's figures."""

    def __init__(self) -> None:
        self.heat_map = HeatMap()
        self._figures: tuple[Evaluation | None, dict[int, Markup]] = (None, {})

    def figure(self, row: Row, evaluation: Evaluation, reference: Reference) -> Markup:
        """A row's histogram."""
        seen, drawn = self._figures
        if seen is not evaluation:
            drawn = {}
            self._figures = (evaluation, drawn)
        if row.position not in drawn:
            drawn[row.position] = overview.draw(row, reference)
        return drawn[row.position]


def columns(runtime: Runtime, memory: Memory, query: Query) -> View:
    """The overview."""
    now, evaluation, reference = runtime.clock.time(), runtime.only.latest, runtime.only.reference
    every = overview.rows(evaluation, reference)
    with one_moment(runtime.folder.database) as connection:
        chosen = _range(connection, query, now)
        length = history.cell_length(RANGES[chosen], runtime.config.drift.every)
        cells = memory.heat_map.read(connection, runtime.only.version, now, RANGES[chosen], length)
        silences = list_silences(connection, now)
        told = spent(connection, runtime.only.version, evaluation.at or now)
    alerts = tuple(evaluation.alerts.values())
    muted = mutes(alerts, silences, now)
    listed = [row for row in every if _matches(row, query)]
    judged = evaluation.judged[0] if evaluation.judged else None
    context = {
        "title": "Columns",
        "learning": evaluation.learning,
        "told": told,
        "headline": overview.headline(every, evaluation, runtime.config.drift.every),
        "some": bool(listed),
        # Drawn while the template asks for them, and not for JSON and CSV.
        "rows": (
            (row, memory.figure(row, evaluation, reference), overview.strip(row, cells))
            if place < overview.MOST_FIGURES
            else (row, "", "")
            for place, row in enumerate(listed)
        ),
        "alerts": overview.alert_line(alert for alert in alerts if alert.key not in muted),
        "health": health_line(runtime),
        "window": judged and _window(judged, every),
        "filter": {key: query.get(key, "") for key in ("q", "state", "role")},
        "states": sorted(Counter(row.state for row in every).items(), key=lambda item: overview.ORDER.index(item[0])),
        "choices": _choices("/", {key: query.get(key, "") for key in ("q", "state", "role")}),
        "chosen": chosen,
        "chosen_text": words.duration(RANGES[chosen]).removeprefix("1 "),
        "cell": length,
        "rules": runtime.config.rules,
    }
    return View("overview.html", context, [overview.record(row) for row in listed])


def column(runtime: Runtime, role: Role, name: str, query: Query) -> View:
    """A column's own page. Raises KeyError if there is no such column."""
    now, evaluation, reference = runtime.clock.time(), runtime.only.latest, runtime.only.reference
    position = reference.schema.index(name, role)
    row = next(row for row in overview.rows(evaluation, reference) if row.position == position)
    with one_moment(runtime.folder.database) as connection:
        chosen = _range(connection, query, now)
        facts = column_page.over_time(connection, row, reference, runtime.config, now - RANGES[chosen], now, row.since)
        events = history.events(connection, runtime.only.version, role, name, 30)
    shown = column_page.histograms(row, reference)
    results = (row.result, *row.others) if row.result else ()
    context = {
        "title": name,
        "row": row,
        "tone": overview.tone(row.state),
        "against": overview.against_what(row),
        "shown": shown,
        "signs": figure.SIGNS,
        **facts,
        "results": results,
        "rules": [rule for rule in runtime.config.rules if rule.name in {result.rule for result in results}],
        "events": events,
        "choices": _choices(f"/column/{role}", {"name": name}),
        "chosen": chosen,
    }
    records = [
        {"label": one.label, "reference": one.reference_rows, "live": one.test_rows, "change": one.change}
        for one in shown.bins
    ]
    return View("column.html", context, records)


def alerts(runtime: Runtime) -> View:
    """Alerts, silences and notifications."""
    now, evaluation = runtime.clock.time(), runtime.only.latest
    listed = [alert for alert in evaluation.alerts.values() if alert.state != "inactive"]
    order = {"firing": 0, "pending": 1, "resolved": 2}
    listed.sort(key=lambda one: (order.get(one.state, 3), SEVERITIES.index(one.severity), -one.since, one.column))
    with one_moment(runtime.folder.database) as connection:
        silences = list_silences(connection, now)
        events, notifications = history.events(connection, runtime.only.version), history.notifications(connection)
    dead = sum(notification["state"] == "dead" for notification in notifications)
    muted = mutes(listed, silences, now)
    audible = [alert for alert in listed if alert.key not in muted]
    firing = any(alert.state == "firing" for alert in audible)
    context = {
        "title": "Alerts",
        "summary": overview.alert_line(audible) or "No alerts",
        "tone": "drift" if firing or dead else "warning" if overview.alert_line(audible) else "ok",
        "alerts": listed,
        "muted": muted,
        "silences": silences,
        "events": events,
        "notifications": notifications,
        "dead": dead,
    }
    return View("alerts.html", context, runtime.alerts())


def health(runtime: Runtime) -> View:
    """How the monitor itself is doing."""
    now, status, snapshot = runtime.clock.time(), runtime.status(), runtime.only.snapshot(runtime.facts())
    with one_moment(runtime.folder.database) as connection:
        gaps = history.gaps(connection)
    own = snapshot.health
    evaluated = f"{words.clock_time(own.evaluated, now)}" if own.evaluated else "not yet"
    facts = [
        ("Predictions recorded", words.count(snapshot.predictions)),
        ("Predictions that could not be recorded", words.count(own.dropped)),
        ("Recorded but not folded yet, for", words.duration(own.fold_lag) if own.fold_lag else "nothing waits"),
        ("Evaluations", f"{words.count(own.evaluations)}, the last one {evaluated}"),
        ("Evaluated every", words.duration(own.every)),
        ("Predictions that the model failed", words.count(own.model_errors)),
        ("Requests refused", ", ".join(f"{n:,} {code}" for code, n in sorted(own.rejected.items())) or "none"),
        ("Notifications waiting", words.count(own.waiting)),
        ("Notifications not delivered", words.count(own.dead_letters)),
        ("Database", words.size(own.database_bytes)),
        ("Journal", words.size(own.journal_bytes)),
        ("Model", f"{runtime.only.version}, {words.count(len(runtime.only.reference.schema.columns))} columns"),
        ("Reference", f"{status['reference'][:12]}, {words.count(runtime.only.reference.info.rows)} rows"),
    ]
    tones = {"ok": "ok", "degraded": "warning", "failing": "drift"}
    context = {
        "title": "Health",
        "summary": health_line(runtime)["text"].removesuffix("."),
        "tone": tones[status["status"]],
        "checks": runtime.checks(),
        "facts": facts,
        "gaps": gaps,
    }
    return View("health.html", context, status["checks"])


def health_line(runtime: Runtime) -> dict[str, str]:
    """What is wrong with the monitor, or that nothing is."""
    condition = runtime.health()["status"]
    wrong = [check for check in runtime.checks() if check.condition != "ok"]
    if wrong:
        text = "; ".join(f"{check.part}: {check.detail}" for check in wrong)
        return {"status": condition, "text": f"Monitor {condition}: {text}."}
    evaluated = runtime.only.latest.at
    ago = words.duration(max(0.0, runtime.clock.time() - evaluated))
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


def _matches(row: Row, query: Query) -> bool:
    q, state, role = (query.get(key, "") for key in ("q", "state", "role"))
    return (
        (not q or q.casefold() in row.column.name.casefold())
        and (not state or state == row.state)
        and (not role or role == row.column.role)
    )


def _range(connection: sqlite3.Connection, query: Query, now: float) -> str:
    chosen = query.get("range", "")
    return chosen if chosen in RANGES else history.fitting_range(connection, now)


def _choices(path: str, keep: Query) -> list[tuple[str, str]]:
    """Addresses of the same view over every range."""
    kept = {key: value for key, value in keep.items() if value}
    return [(name, f"{path}?{urlencode({**kept, 'range': name})}") for name in RANGES]
