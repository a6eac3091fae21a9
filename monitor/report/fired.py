"""The alerts of a period, each from its beginning to its end: what it was, what was done about it, by whom, and why."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from monitor import words
from monitor.clock import from_iso
from monitor.config.load import Config
from monitor.drift.result import AlertKey, Span, Subject
from monitor.rules.alert import Alert
from monitor.rules.silence import Silence
from monitor.store.records import references
from monitor.store.records.alerts import list_fired, list_silences, messages_of
from monitor.store.records.rows import Row

#: What an alert is, in the row of the event that began it.
ALERT = (
    *("event_id", *AlertKey._fields, "model_version", "severity"),
    *("statistic", "value", "critical", "n", "direction"),
)


def read_alerts(connection: sqlite3.Connection, of: Subject, config: Config, span: Span) -> list[dict[str, Any]]:
    """Describe the alerts of a model version that fired in a period, in the order in which they began.

    Of all versions if it is empty. `ended`: None of one that still fired at the end of the period; `lasted`: seconds
    for which it fired until then; `state` and `since`: how it was then; `decisions`: who silenced or accepted it, and
    why.
    """
    every = list_fired(connection, of, span.start, span.end)
    fired = {name: [e for e in events if e["after"] != "pending"] for name, events in every.items()}
    fired = {name: events for name, events in fired.items() if any(e["after"] == "firing" for e in events)}
    if not fired:
        return []
    messages = messages_of(connection, fired)
    silences, changes = list_silences(connection), changes_of(connection, of)
    labels = {rule.name: rule.labels for rule in config.rules}
    out = []
    for name, events in fired.items():
        first, last = next(event for event in events if event["after"] == "firing"), events[-1]
        over = last["after"] != "firing"
        end = from_iso(last["at"]) if over else span.end
        facts = {"severity": first["severity"], "labels": labels.get(first["rule"], {}), "state": "firing"}
        alert = Alert(**{key: first[key] for key in AlertKey._fields}, **facts)
        out.append(
            {
                **{key: first[key] for key in ALERT},
                "state": last["after"],
                "since": last["at"],
                "began": first["at"],
                "ended": last["at"] if over else None,
                "lasted": end - from_iso(first["at"]),
                "ended_because": last["reason"] if over else None,
                **messages.get(name, {"harm": None, "told": []}),
                "decisions": [
                    *silenced(alert, silences, from_iso(first["at"]), end),
                    *accepted(alert, changes, first["at"]),
                ],
            }
        )
    return out


def silenced(alert: Alert, silences: Iterable[Silence], start: float, end: float) -> list[str]:
    """Say who silenced an alert while it fired, and why."""
    return [
        f"silenced from {words.date_time(one.start)} to {words.date_time(one.end)} by {one.author}: {one.reason}"
        for one in silences
        if one.start < end and one.end > start and one.matches(alert)
    ]


def accepted(alert: Alert, changes: Iterable[Row], began: str) -> list[str]:
    """Say who accepted, after an alert began, that its column is as it is now, and why."""
    return [
        f"accepted on {words.date_time(from_iso(change['at']))} by {change['author']}: {change['reason']}"
        for change in changes
        if change["action"] == references.ACCEPT and change["at"] >= began and alert.column in change["columns"]
    ]


def changes_of(connection: sqlite3.Connection, of: Subject) -> list[Row]:
    """What was accepted and reset of a model version, or of all if it is empty, the oldest first."""
    found: Sequence[Row] = references.changes(connection)
    return [one for one in reversed(found) if one["model"] == of.model and of.version in ("", one["model_version"])]
