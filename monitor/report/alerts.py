"""The page of alerts: which come first, and in a line what happened to each. Pure functions of evaluations."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from monitor import words
from monitor.drift.result import AlertKey, DriftResult
from monitor.judging.evaluation import Evaluation
from monitor.notify.message import entry
from monitor.rules.alert import ENDED, Alert, by_alert, leading_result, urgency

Part = Literal["up", "muted"]


class AlertLine(NamedTuple):
    """An alert, and in a line what happened."""

    alert: Alert
    text: str


def line_of(alert: Alert, result: DriftResult | None) -> str:
    """Say in a line what an alert is about. `result`: its leading verdict, None if there is none."""
    item = entry(alert, "firing", result)
    happened = item.direction or (result.reason if result else "not judged since the start")
    harm = item.brief if item.worse or (result and result.harm) else ""
    share = "" if item.importance is None else f"{words.percent(item.importance)} of the model's importance"
    return "; ".join(filter(None, (happened, harm, share)))


def arrange(evaluations: Iterable[Evaluation], muted: Collection[AlertKey]) -> dict[Part, list[AlertLine]]:
    """Alerts that are up, by the part of the page that lists them, each part in the order of `urgency`."""
    parts: dict[Part, list[tuple[tuple[float, ...], AlertLine]]] = {"up": [], "muted": []}
    for evaluation in evaluations:
        up = {key: alert for key, alert in evaluation.alerts.items() if alert.state not in ENDED}
        columns = {key.column for key in up}
        results = (*evaluation.results, *evaluation.traffic)
        groups = by_alert(result for result in results if result.column in columns)
        for key, alert in up.items():
            result = leading_result(groups[key], alert.statistic) if key in groups else None
            part: Part = "muted" if key in muted else "up"
            parts[part].append((urgency(alert, result), AlertLine(alert, line_of(alert, result))))
    return {part: [line for _, line in sorted(listed, key=lambda pair: pair[0])] for part, listed in parts.items()}
