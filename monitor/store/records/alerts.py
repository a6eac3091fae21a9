"""Alerts in the database: where each stands, how it came there, and silences.

Functions of a connection; the caller owns the transaction. Times are stored to the millisecond, which is all that
`engine.advance` keeps, so that what is loaded equals what was saved.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from monitor.clock import from_iso, iso
from monitor.drift.result import AlertKey
from monitor.rules.alert import Alert, Transition
from monitor.rules.silence import Silence
from monitor.store.audit import seals


def save_alerts(connection: sqlite3.Connection, model: str, alerts: Iterable[Alert]) -> None:
    """Make these the alerts of a model that are stored: others of it are deleted."""
    rows = {alert.key: _row(alert) for alert in alerts}
    stored = connection.execute(
        'SELECT rule, model, series, role, "column" FROM alerts WHERE model = ?', (model,)
    ).fetchall()
    with seals.changing(connection, "alerts"):
        connection.executemany(
            'DELETE FROM alerts WHERE (rule, model, series, role, "column") = (?, ?, ?, ?, ?)',
            [tuple(row) for row in stored if tuple(row) not in rows],
        )
        connection.executemany(
            'INSERT OR REPLACE INTO alerts (rule, model, series, role, "column", state, since, active_since, held, '
            "clear_since, evaluated, event_id, severity, value, labels, statistic, reopened) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows.values(),
        )


def load_alerts(connection: sqlite3.Connection, model: str | None = None) -> dict[AlertKey, Alert]:
    """Read the alerts of a model back, or of all, by their keys."""
    alerts = (
        Alert(
            rule=row["rule"],
            column=row["column"],
            role=row["role"],
            state=row["state"],
            since=from_iso(row["since"]),
            active_since=_moment(row["active_since"]),
            held=row["held"],
            clear_since=_moment(row["clear_since"]),
            evaluated=_moment(row["evaluated"]),
            event_id=row["event_id"],
            severity=row["severity"],
            value=row["value"],
            labels=json.loads(row["labels"]),
            statistic=row["statistic"],
            reopened=row["reopened"],
            model=row["model"],
            series=row["series"],
        )
        for row in connection.execute("SELECT * FROM alerts WHERE ?1 IS NULL OR model = ?1", (model,))
    )
    return {alert.key: alert for alert in alerts}


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """A row of `alert_events`: one alert changed state. `at`: seconds since 1970 UTC.

    `statistic` is empty, `value` and `critical` None and `n` 0 where no verdict caused it.
    """

    at: float
    rule: str
    model: str
    series: str
    column: str
    role: str
    before: str
    after: str
    statistic: str
    value: float | None
    critical: float | None
    n: int
    severity: str
    event_id: str
    model_version: str
    reason: str


_EVENT = (
    'at, rule, model, series, "column", role, before, after, statistic, value, critical, n, severity, event_id, '
    "model_version, reason"
)


def event_of(transition: Transition) -> AlertEvent:
    """Describe a transition as the row that records it."""
    alert, result = transition.alert, transition.result
    return AlertEvent(
        transition.at,
        alert.rule,
        alert.model,
        alert.series,
        alert.column,
        alert.role,
        transition.before,
        alert.state,
        result.statistic if result else "",
        result.value if result else None,
        result.critical if result else None,
        result.n if result else 0,
        alert.severity,
        alert.event_id,
        transition.model_version,
        transition.reason,
    )


def append_events(connection: sqlite3.Connection, transitions: Iterable[Transition]) -> None:
    """Record what changed."""
    rows = (astuple(event_of(transition)) for transition in transitions)
    with seals.appended(connection, "alert_events"):
        connection.executemany(
            f"INSERT INTO alert_events ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - names of columns
            ((iso(at), *rest) for at, *rest in rows),
        )


def list_events(
    connection: sqlite3.Connection,
    start: float | None = None,
    end: float | None = None,
    event_id: str | None = None,
    limit: int | None = None,
    model_version: str | None = None,
) -> list[AlertEvent]:
    """Read what changed in [start, end), in order, of one model version or all; with `limit` the latest ones only."""
    found = connection.execute(
        f"SELECT {_EVENT} FROM alert_events WHERE (:event IS NULL OR event_id = :event) "  # noqa: S608 - names of columns
        "AND (:version IS NULL OR model_version = :version) "
        # A text with milliseconds sorts before the same second without: compare widely here, exactly below.
        "AND (:start IS NULL OR at >= :start) AND (:end IS NULL OR at <= :end) ORDER BY id DESC",
        {
            "event": event_id,
            "version": model_version,
            "start": None if start is None else iso(start - 1),
            "end": None if end is None else iso(end + 1),
        },
    )
    events: list[AlertEvent] = []
    for row in found:
        at = from_iso(row["at"])
        if (start is None or at >= start) and (end is None or at < end):
            events.append(AlertEvent(at, *tuple(row)[1:]))
            if limit is not None and len(events) >= limit:
                break
    return events[::-1]


def save_silence(connection: sqlite3.Connection, silence: Silence, now: float) -> None:
    """Store a silence; one with the same id is replaced."""
    with seals.changing(connection, "silences"):
        connection.execute(
            'INSERT OR REPLACE INTO silences (id, matchers, "start", "end", author, reason, created) '
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                silence.id,
                json.dumps(silence.matchers, ensure_ascii=False, sort_keys=True),
                iso(silence.start),
                iso(silence.end),
                silence.author,
                silence.reason,
                iso(now),
            ),
        )


def list_silences(connection: sqlite3.Connection, now: float | None = None) -> list[Silence]:
    """Read the silences in order of their start; with `now` only those that have not ended."""
    found = connection.execute('SELECT * FROM silences ORDER BY "start", id')
    silences = [silence for silence in map(_silence, found) if silence is not None]
    return [silence for silence in silences if now is None or silence.end > now]


def _silence(row: sqlite3.Row) -> Silence | None:
    """One silence; None for a row that somebody else wrote and that makes none: it must not hold up the alerts."""
    try:
        matchers, start, end = json.loads(row["matchers"]), from_iso(row["start"]), from_iso(row["end"])
    except ValueError:
        return None
    return (
        Silence(row["id"], matchers, start, end, row["author"], row["reason"]) if isinstance(matchers, dict) else None
    )


def expire_silence(connection: sqlite3.Connection, silence_id: str, now: float) -> bool:
    """End a silence now, or call off one that has not begun. False if there is none, or it has ended already."""
    for silence in list_silences(connection, now):
        if silence.id == silence_id:
            with seals.changing(connection, "silences", "id = ?", silence_id):
                connection.execute(
                    'UPDATE silences SET "start" = ?, "end" = ? WHERE id = ?',
                    (iso(min(silence.start, now)), iso(now), silence_id),
                )
            return True
    return False


def _row(alert: Alert) -> tuple[object, ...]:
    return (
        *alert.key,
        alert.state,
        iso(alert.since),
        _text(alert.active_since),
        alert.held,
        _text(alert.clear_since),
        _text(alert.evaluated),
        alert.event_id,
        alert.severity,
        alert.value,
        json.dumps(alert.labels, ensure_ascii=False),
        alert.statistic,
        alert.reopened,
    )


def _text(epoch: float | None) -> str | None:
    return None if epoch is None else iso(epoch)


def _moment(text: str | None) -> float | None:
    return None if text is None else from_iso(text)
