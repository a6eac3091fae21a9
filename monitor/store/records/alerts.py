"""Alerts in the database: the state of each, its transitions, and silences.

Functions of a connection; the caller owns the transaction. Times are stored to the millisecond, which is all that
`rules.alert.advance` keeps, so that what is loaded equals what was saved.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import replace

from monitor.clock import from_iso, iso
from monitor.drift.result import AlertKey, Span, Subject
from monitor.rules.alert import Alert, AlertState, Transition
from monitor.rules.silence import Silence
from monitor.store.audit import seals
from monitor.store.records.rows import Row, append, ends_of, fields_of, insert, read

_TIMES = ("since", "active_since", "clear_since", "evaluated")


def save_alerts(connection: sqlite3.Connection, model: str, alerts: Iterable[Alert]) -> None:
    """Make these the alerts of a model that are stored: others of it are deleted."""
    rows = {alert.key: _row(alert) for alert in alerts}
    stored = connection.execute('SELECT rule, model, series, role, "column" FROM alerts WHERE model = ?', (model,))
    gone = [key for key in map(tuple, stored) if key not in rows]
    with seals.changing(connection, "alerts"):
        connection.executemany('DELETE FROM alerts WHERE (rule, model, series, role, "column") = (?, ?, ?, ?, ?)', gone)
        insert(connection, "alerts", list(rows.values()), "INSERT OR REPLACE")


def load_alerts(connection: sqlite3.Connection, model: str | None = None) -> dict[AlertKey, Alert]:
    """Read the alerts of a model back, or of all, by their keys."""
    alerts = {}
    for row in read(connection, "SELECT * FROM alerts WHERE ?1 IS NULL OR model = ?1", (model,)):
        times = {name: from_iso(row[name]) for name in _TIMES if row[name] is not None}
        alert = Alert(**{**row, **times, "labels": json.loads(row["labels"])})
        alerts[alert.key] = alert
    return alerts


def _row(alert: Alert) -> Row:
    row = fields_of(alert)
    times = {name: iso(row[name]) for name in _TIMES if row[name] is not None}
    return {**row, **times, "labels": json.dumps(alert.labels, ensure_ascii=False)}


def event_of(transition: Transition) -> Row:
    """Describe a transition as its row of `alert_events`, without a verdict's figures if no verdict caused it."""
    alert, result = transition.alert, transition.result
    figures: Row = {"statistic": "", "value": None, "critical": None, "n": 0}
    if result:
        figures = {name: getattr(result, name) for name in figures}
    return {
        "at": iso(transition.at),
        **alert.key._asdict(),
        "before": transition.before,
        "after": alert.state,
        **figures,
        "severity": alert.severity,
        "event_id": alert.event_id,
        "model_version": transition.model_version,
        "reason": transition.reason,
    }


def append_events(connection: sqlite3.Connection, transitions: Iterable[Transition]) -> None:
    """Record what changed."""
    append(connection, "alert_events", [event_of(transition) for transition in transitions])


def list_events(
    connection: sqlite3.Connection,
    of: Subject | None = None,
    role: str | None = None,
    column: str | None = None,
    most: int = 100,
    span: Span | None = None,
) -> list[Row]:
    """Rows of `alert_events`, of one model, version or column or all, the newest first.

    An empty version means all versions. `span`: only those of a period.
    """
    return read(
        connection,
        "SELECT * FROM alert_events WHERE (?1 IS NULL OR model = ?1) AND (coalesce(?2, '') = '' OR model_version = ?2) "
        'AND (?3 IS NULL OR role = ?3) AND (?4 IS NULL OR "column" = ?4) AND (?6 IS NULL OR at >= ?6 AND at < ?7) '
        "ORDER BY id DESC LIMIT ?5",
        (*(of[:2] if of else (None, None)), role, column, most, *ends_of(span)),
    )


def list_fired(connection: sqlite3.Connection, of: Subject, start: float, end: float) -> dict[str, list[Row]]:
    """Events of each alert that was still up in the period, by event id, in their order.

    An empty version means all versions. `direction`: what changed, of an event that a verdict caused. None of
    the events is later than the period.
    """
    rows = read(
        connection,
        "WITH e AS MATERIALIZED (SELECT * FROM alert_events WHERE at < ?4 AND event_id IN (SELECT event_id FROM"
        "  (SELECT event_id, at, after, max(id) FROM alert_events"
        "   WHERE model = ?1 AND ?2 IN ('', model_version) AND at < ?4 AND event_id <> '' GROUP BY event_id)"
        "  WHERE at >= ?3 OR after = 'firing')),"
        # Many events are of one evaluation, and its verdicts are gone through once.
        ' d AS MATERIALIZED (SELECT at, rule, model, series, role, "column", statistic, direction, min(id) FROM drift'
        '  WHERE at IN (SELECT at FROM e) AND "column" IN (SELECT "column" FROM e)'
        '  GROUP BY at, rule, model, series, role, "column", statistic)'
        ' SELECT e.*, d.direction FROM e LEFT JOIN d USING (at, rule, model, series, role, "column", statistic)'
        " ORDER BY e.id",
        (*of[:2], iso(start), iso(end)),
    )
    events: dict[str, list[Row]] = {}
    for row in rows:
        events.setdefault(row["event_id"], []).append(row)
    return events


def alerts_at(connection: sqlite3.Connection, model: str, moment: float) -> dict[AlertKey, Alert]:
    """Return the alerts of a model as they were at a moment, by their keys, from their events.

    A time for which the condition had to hold counts from the pending alert's event on.
    """
    alerts: dict[AlertKey, Alert] = {}
    names = (*AlertKey._fields, "severity", "event_id", "statistic", "value")
    sql = "SELECT * FROM alert_events WHERE model = ? AND at <= ? ORDER BY id"
    for row in read(connection, sql, (model, iso(moment))):
        alert = Alert(**{name: row[name] for name in names}, state=row["after"], since=from_iso(row["at"]))
        before = alerts.get(alert.key)
        held = alert.state == "firing" and before is not None and before.state == "pending"
        alerts[alert.key] = replace(alert, active_since=before.since) if held and before else alert
    return alerts


def messages_of(connection: sqlite3.Connection, events: Iterable[str]) -> dict[str, Row]:
    """What messages said of alerts when they began, by event id: `harm`, and `told`, the receivers that took one."""
    rows = read(
        connection,
        "SELECT json_extract(x.value, '$.event_id') AS event_id, json_extract(x.value, '$.harm') AS harm,"
        " n.receiver, n.state = 'sent' AS sent FROM notifications n, json_each(n.message, '$.entries') x"
        " WHERE n.kind IN ('firing', 'update') AND json_extract(x.value, '$.status') = 'new'"
        " AND json_extract(x.value, '$.event_id') IN (SELECT value FROM json_each(?)) ORDER BY n.id",
        (json.dumps(list(events)),),
    )
    told: dict[str, Row] = {}
    for row in rows:
        event = told.setdefault(row["event_id"], {"harm": row["harm"], "told": []})
        event["told"] += [row["receiver"]] if row["sent"] else []
    return told


def moves_of(connection: sqlite3.Connection, event_id: str) -> list[tuple[float, AlertState]]:
    """When an event entered which state, the oldest first; empty if none has this id."""
    sql = "SELECT at, after FROM alert_events WHERE event_id = ? AND event_id <> '' ORDER BY id"
    return [(from_iso(row["at"]), row["after"]) for row in connection.execute(sql, (event_id,))]


def alert_spans(
    connection: sqlite3.Connection, of: Subject, role: str, column: str, now: float
) -> list[tuple[float, float]]:
    """When alerts on a column of a model began and ended, of all rules and versions, up to now; by their ends.

    One that is still firing ends at `now`.
    """
    rows = connection.execute(
        'SELECT rule, at, after FROM alert_events WHERE (model, role, "column") = (?, ?, ?) ORDER BY id',
        (of.model, role, column),
    )
    began: dict[str, float] = {}
    spans = []
    for rule, at, after in rows:
        if after == "firing":
            began.setdefault(rule, from_iso(at))
        elif rule in began and after != "pending":
            spans.append((began.pop(rule), from_iso(at)))
    return [*spans, *((at, now) for at in began.values())]


def save_silence(connection: sqlite3.Connection, silence: Silence, now: float) -> None:
    """Store a silence; one with the same id is replaced."""
    row = {
        **fields_of(silence),
        "matchers": json.dumps(silence.matchers, ensure_ascii=False, sort_keys=True),
        "start": iso(silence.start),
        "end": iso(silence.end),
        "created": iso(now),
    }
    with seals.changing(connection, "silences"):
        insert(connection, "silences", [row], "INSERT OR REPLACE")


def list_silences(connection: sqlite3.Connection, now: float | None = None) -> list[Silence]:
    """Read the silences in order of their start; with `now` only those that have not ended.

    A row that another program wrote and that is not a silence is left out: it must not hold up the alerts.
    """
    silences = []
    for row in connection.execute('SELECT * FROM silences ORDER BY "start", id'):
        try:
            matchers, start, end = json.loads(row["matchers"]), from_iso(row["start"]), from_iso(row["end"])
        except ValueError:
            continue
        if isinstance(matchers, dict) and (now is None or end > now):
            silences.append(Silence(row["id"], matchers, start, end, row["author"], row["reason"]))
    return silences


def expire_silence(connection: sqlite3.Connection, silence_id: str, now: float) -> bool:
    """End a silence now, or call off one that has not begun. False if there is none, or it has ended already."""
    silence = next((silence for silence in list_silences(connection, now) if silence.id == silence_id), None)
    if silence is None:
        return False
    span = iso(min(silence.start, now)), iso(now)
    with seals.changing(connection, "silences", "id = ?", silence_id):
        connection.execute('UPDATE silences SET "start" = ?, "end" = ? WHERE id = ?', (*span, silence_id))
    return True
