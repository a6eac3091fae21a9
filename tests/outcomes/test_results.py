"""What people read of a verdict on performance."""

from __future__ import annotations

import re

import numpy as np
import pytest

from monitor.drift.result import Span, Subject
from monitor.outcomes.baseline import Baseline
from monitor.outcomes.results import judge_outcomes, layout_of, results_of
from monitor.outcomes.sums import Sums, Target, contribute
from monitor.outcomes.verdict import Asked, judge

BINARY = Target("binary", ("no", "yes"))


def rows(right: int, wrong: int) -> Sums:
    """Half of the right ones and half of the wrong ones come true as `yes`."""
    outcomes = np.array([0, 1] * ((right + wrong) // 2), float)
    predictions = np.concatenate([outcomes[:right], 1 - outcomes[right:]])
    return contribute(BINARY, predictions[:, None], outcomes)


def test_worse_is_a_drift_of_the_performance() -> None:
    found = results_of(
        "performance",
        judge(rows(700, 300), rows(1800, 200), Asked(("accuracy",), 0.001)),
        Span(0, 3600),
        "baseline",
        Subject("m", "v1"),
    )
    (result,) = found
    assert (result.state, result.column, result.role, result.statistic) == (
        "drift",
        "performance",
        "outcome",
        "accuracy",
    )
    assert result.direction is not None
    assert result.direction.text == "accuracy 0.7 (0.671 to 0.728), was 0.9"
    assert (result.direction.before, result.direction.after) == (0.9, 0.7)
    assert result.value is not None
    assert result.threshold is not None
    assert result.value > result.threshold
    assert (result.n, result.m, result.key.model) == (1000, 2000, "m")


def test_ok_says_what_would_not_be_seen() -> None:
    (result,) = results_of(
        "performance",
        judge(rows(180, 20), rows(1800, 200), Asked(("accuracy",), 0.001)),
        Span(0, 3600),
        "baseline",
        Subject(),
    )
    assert result.state == "ok"
    assert result.reason == "with 200 outcomes, a fall of less than 0.0973 would not be seen"


def test_too_few_outcomes_have_no_number() -> None:
    (result,) = results_of(
        "performance",
        judge(rows(40, 4), rows(1800, 200), Asked(("accuracy",), 0.001)),
        Span(0, 3600),
        "baseline",
        Subject(),
    )
    assert (result.state, result.value, result.direction) == ("insufficient data", None, None)
    assert result.reason == "44 outcomes, 100 are needed"


@pytest.mark.parametrize(
    ("bias", "noise", "outcome", "effect", "text"),
    [
        (0.0, 2.0, 0.0, "harmful", r"harmful \(measured\): mean error \(MAE\) was 7\.\d+, now 1\d"),
        (6.0, 1.0, 0.0, "harmful", r"harmful \(measured\): mean error \(MAE\) was 7\.\d+, now \d"),
        (0.0, 0.5, 0.0, "harmless", r"harmless \(measured\): mean error \(MAE\) was 7\.\d+, now [34]\."),
        (0.0, 1.0, 20.0, None, ""),
    ],
)
def test_a_shift_of_the_error_is_harm_and_one_of_the_outcome_has_none(
    bias: float, noise: float, outcome: float, effect: str | None, text: str
) -> None:
    """Errors of sd 9: twice, in one direction, half; and other outcomes, predicted as well as before."""
    rng = np.random.default_rng(3)
    edges = tuple(np.linspace(-40, 40, 33).tolist())
    target = Target("regression", edges=edges, outcome_edges=edges, error_edges=edges, scale=10.0)

    def sums(bias: float, noise: float, outcome: float) -> Sums:
        came = rng.normal(outcome, 10, 2000)
        return contribute(target, (came + bias + rng.normal(0, 9 * noise, 2000))[:, None], came)

    baseline, live = Baseline(sums(0.0, 1.0, 0.0)), sums(bias, noise, outcome)
    asked = Asked(("mae",), 0.001, drift=True)
    about = "performance", Span(0, 3600), Subject()
    found = judge_outcomes(baseline, "holdout", layout_of(target), asked, live, *about)
    drifted = {one.column: one.harm for one in found if one.state == "drift" and one.column != "performance"}
    assert [*drifted] == (["error"] if effect else ["outcome"])
    if effect is None:
        assert drifted["outcome"] is None
        return
    harm = drifted["error"]
    assert harm is not None
    assert harm.effect == effect
    assert re.match(text, harm.text), harm.text
