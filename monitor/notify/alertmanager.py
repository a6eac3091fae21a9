"""Alertmanager: all alerts to `POST /api/v2/alerts`, repeatedly, as it expects of its clients.

It is level-triggered: a firing alert has an end in the near future and is sent again before that; a resolved one has
its end in the past. The labels are the identity of an alert, so replicas of one model become one alert. Alertmanager
itself groups, repeats and silences.
"""

from __future__ import annotations

from typing import Any

from monitor.clock import iso
from monitor.notify.message import Entry, Message, against, column_address, label
from monitor.notify.secret import Secret
from monitor.words import statistic


def address(url: Secret) -> Secret:
    """Address of the API, from that of Alertmanager."""
    base = url.reveal().rstrip("/")
    return url if base.endswith("/api/v2/alerts") else Secret(f"{base}/api/v2/alerts")


def render(message: Message) -> list[dict[str, Any]]:
    """List the alerts in the form of the API."""
    if message.kind == "test":
        labels = {"alertname": "TelltaleTest", "severity": "info"}
        said = {"summary": "A test from Telltale: nothing has drifted."}
        return [{"labels": labels, "annotations": said, "startsAt": iso(message.at), "endsAt": iso(message.at + 60)}]
    return [_alert(item, message) for item in message.entries]


def _alert(item: Entry, message: Message) -> dict[str, Any]:
    own = {"column": item.column, "role": item.role, "severity": item.severity}
    labels = {"alertname": "drift", **item.labels, **own, "model_version": message.model}
    ends = item.until if item.until is not None else message.ends
    out = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": _annotations(item),
        "startsAt": iso(item.since),
        "endsAt": ends and iso(ends),
        "generatorURL": column_address(message.link, item.role, item.column),
    }
    return {name: value for name, value in out.items() if value}


def _annotations(item: Entry) -> dict[str, str]:
    out = {"summary": f"{label(item)} has drifted", "event_id": item.event_id, "reason": item.reason}
    if item.value is not None and item.statistic:
        threshold = f", threshold {statistic(item.threshold)}" if item.threshold is not None else ""
        rows = f"{item.n:,} predictions against {item.m:,} rows of {against(item.reference)}"
        out["description"] = f"{item.statistic} {statistic(item.value)}{threshold}; {rows}"
    out["direction"] = item.direction
    return {name: value for name, value in out.items() if value}
