"""The tutorial's rules, through the real statistics."""

import numpy as np
import pytest

from monitor.columns.column import Column, Schema
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import Span
from monitor.rules.alert import advance
from monitor.rules.cover import cover
from monitor.rules.rule import boxkite
from tests.rules.series import EVERY, ticks

SCHEMA = Schema(
    (
        Column("bmi", "feature", "numeric", edges=(0.0,)),
        Column("price", "prediction", "numeric", edges=(0.0, 1.0, 2.0)),
    )
)
REFERENCE = [50, 50, 0, 0, 25, 25, 25, 25, 0, 0]


def events(price: list[int], minutes: int = 10) -> list[tuple[str, str, float]]:
    """Rule, state and minute of each transition while the test window holds these counts of the prediction."""
    layout, rules, covered = Layout(SCHEMA), boxkite(), cover(boxkite(), SCHEMA)
    alerts, out = {}, []
    reference = Sample(np.array(REFERENCE), np.zeros(2), np.ones(2))
    test = Sample(np.array([0, 100, 0, 0, *price]), np.zeros(2))
    for k, at in enumerate(ticks(minutes)):
        window = Span(at - 1800, at)
        results = [
            result
            for rule in rules
            for result in evaluate(
                Question(rule.name, covered[rule.name], rule.statistic, rule.alpha, rule.floor, rule.min_samples),
                layout,
                reference,
                test,
                window,
            )
        ]
        alerts, moved = advance(alerts, results, rules, at, EVERY, "1")
        out += [(one.alert.rule, one.alert.state, k) for one in moved]
    return out


def test_they_watch_the_predictions_over_thirty_minutes_for_five() -> None:
    assert [(rule.name, rule.statistic, rule.floor, rule.columns) for rule in boxkite()] == [
        ("boxkite-ks", "ks", 0.5, ("role:prediction",)),
        ("boxkite-kl", "psi", 1.0, ("role:prediction",)),
    ]
    assert {(rule.window, rule.hold) for rule in boxkite()} == {(1800.0, 300.0)}


@pytest.mark.parametrize(
    ("words", "price", "fires"),
    [
        ("as the reference", [25, 25, 25, 25, 0, 0], set()),
        ("D = 0.4 and a symmetric KL of 0.7: neither", [65, 15, 10, 10, 0, 0], set()),
        ("half of the bins empty: D is 0.5 and not above it, KL is", [50, 50, 0, 0, 0, 0], {"boxkite-kl"}),
        ("everything in the last bin", [0, 0, 0, 100, 0, 0], {"boxkite-ks", "boxkite-kl"}),
        ("no traffic, where the tutorial's KL rule fires", [0, 0, 0, 0, 0, 0], set()),
        ("five requests", [0, 0, 0, 5, 0, 0], set()),
    ],
)
def test_when_they_fire(words: str, price: list[int], fires: set[str]) -> None:
    fired = {(rule, minute) for rule, state, minute in events(price) if state == "firing"}
    assert fired == {(rule, 5) for rule in fires}, words
