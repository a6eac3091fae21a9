"""What people read of a verdict on performance."""

from __future__ import annotations

import numpy as np

from monitor.drift.result import Span, Subject
from monitor.outcomes.results import results_of
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
