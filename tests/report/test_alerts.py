"""The page of alerts: its parts, their order, and the line about each."""

from __future__ import annotations

from dataclasses import replace

from monitor.report.alerts import arrange
from monitor.rules.alert import Alert
from tests.report.test_overview import OK, evaluation
from tests.rules.test_alert import HARM


def test_alerts_come_by_harm_then_severity_then_importance_then_age() -> None:
    states = dict.fromkeys("abcd", ("drift", 0.3))
    given = evaluation(states, a=100.0, b=200.0, c=300.0, d=50.0)  # type: ignore[arg-type]
    harms = {"a": None, "b": HARM["harmful"], "c": None, "d": replace(HARM["harmless"], importance=0.2)}
    (judged,) = given.judged
    explained = [
        one._replace(explanation=replace(one.explanation, given_harm=harms[one.column])) for one in judged.results
    ]  # type: ignore[type-var]
    alerts = {
        key: replace(one, severity="critical" if key.column == "c" else "warning") for key, one in given.alerts.items()
    }
    worse = Alert(
        "performance", "performance", "outcome", "firing", 900.0, 900.0, statistic="accuracy", severity="info"
    )
    given = replace(given, judged=(replace(judged, results=tuple(explained)),), alerts={**alerts, worse.key: worse})
    parts = arrange([given], ())
    assert [told.alert.column for told in parts["up"]] == ["b", "performance", "c", "d", "a"]
    assert [told.text for told in parts["up"]][3:] == [
        "mean was 0, now 2 (1.0 sd); harmless; 20 % of the model's importance",
        "mean was 0, now 2 (1.0 sd)",
    ]


def test_what_is_silenced_is_apart_and_what_ended_is_left_out() -> None:
    given = evaluation({"a": ("drift", 0.3), "b": ("drift", 0.3), "c": OK}, a=100.0, b=200.0, c=300.0)
    first, second, third = given.alerts.values()
    over = replace(third, state="resolved", since=7500.0)
    pending = replace(first, rule="gone", state="pending")
    known = {one.key: one for one in (first, second, over, pending, replace(pending, rule="x", state="inactive"))}
    parts = arrange([replace(given, alerts=known)], {first.key})
    assert {name: [told.alert for told in part] for name, part in parts.items()} == {
        "up": [second, pending],
        "muted": [first],
    }
    assert parts["up"][1].text == "not judged since the start"
