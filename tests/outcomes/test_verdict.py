"""Verdicts on performance: their error probability, their power, and what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from monitor.outcomes.sums import Sums, Target, contribute
from monitor.outcomes.verdict import Asked, Verdict, auto_metrics, dispersions, judge

BINARY = Target("binary", ("no", "yes"))
NUMBER = Target("regression")


def right(n: int, share: float, rng: np.random.Generator) -> Sums:
    """Rows of a binary model that are right with a probability, half of them positive, as `contribute` counts them."""
    positive = int(rng.binomial(n, 0.5))
    true_negative, true_positive = rng.binomial((n - positive, positive), share).tolist()
    sums = Sums.zero(BINARY)
    # By outcome, then by prediction.
    sums.confusion[0, :2] = [[true_negative, n - positive - true_negative], [positive - true_positive, true_positive]]
    return sums


def hours_of(n: int, accuracy: float, rng: np.random.Generator, parts: int = 10) -> list[Sums]:
    return [right(n // parts, accuracy, rng) for _ in range(parts)]


def errors(n: int, rng: np.random.Generator, sigma: float, times: float = 1.0) -> Sums:
    """Rows of a regressor with lognormal errors."""
    e = rng.lognormal(0, sigma, n) * rng.choice([-1, 1], n) * times
    return contribute(NUMBER, e[:, None], np.zeros(n))


def one(hours: list[Sums], reference: Sums, metric: str, alpha: float, floor: float | None = 0.0) -> Verdict:
    total = sum(hours, Sums.zero(reference.target))
    floors = {} if floor is None else {metric: floor}
    asked = Asked((metric,), alpha, floors, dispersions=dispersions(hours, [metric]))
    (found,) = judge(total, reference, asked)
    return found


def test_rows_that_are_drawn_as_a_table_are_those_that_are_contributed() -> None:
    drawn = right(500, 0.7, np.random.default_rng(1))
    cells = [(outcome, said) for outcome, said in np.ndindex(2, 2) for _ in range(drawn.confusion[0, outcome, said])]
    outcomes, predictions = np.array(cells, float).T
    found = contribute(BINARY, predictions[:, None], outcomes)
    assert found.n == 500
    assert found.counts.tolist() == drawn.counts.tolist()
    assert found.moments.tolist() == drawn.moments.tolist()


@pytest.mark.parametrize("accuracy", [0.6, 0.85, 0.99])
@pytest.mark.parametrize("n", [100, 1000, 10_000])
def test_false_alarms_of_accuracy(n: int, accuracy: float) -> None:
    """At most alpha without any floor, over windows and references drawn anew; three standard errors are allowed."""
    rng, alpha, times = np.random.default_rng(n), 0.03, 300
    alarms = 0
    for _ in range(times):
        reference = right(2000, accuracy, rng)
        alarms += one(hours_of(n, accuracy, rng), reference, "accuracy", alpha).state == "worse"
    assert alarms <= alpha * times + 3 * np.sqrt(alpha * times)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("n", [100, 1000])
def test_false_alarms_of_heavy_tailed_errors(n: int, sigma: float) -> None:
    rng, alpha, times = np.random.default_rng(n), 0.03, 300
    alarms = 0
    for _ in range(times):
        hours = [errors(n // 10, rng, sigma) for _ in range(10)]
        alarms += one(hours, errors(2000, rng, sigma), "mae", alpha).state == "worse"
    assert alarms <= alpha * times + 3 * np.sqrt(alpha * times)


def test_power_where_the_rules_of_peers_are_blind() -> None:
    """0.85 -> 0.80 with 2,000 outcomes: a fixed share of 20 % never sees it, Fisher's test does in most windows."""
    rng = np.random.default_rng(1)
    found = [one(hours_of(2000, 0.80, rng), right(2000, 0.85, rng), "accuracy", 0.001, None).state for _ in range(100)]
    assert found.count("worse") >= 70


def test_the_p_value_is_fishers() -> None:
    reference, live = (
        right(500, 0.9, np.random.default_rng(2)),
        right(200, 0.8, np.random.default_rng(3)),
    )
    found = one([live], reference, "accuracy", 0.01)
    table = [[int(np.trace(side.confusion[0][:2])), side.n] for side in (live, reference)]
    expected = fisher_exact([[table[0][0], 200 - table[0][0]], [table[1][0], 500 - table[1][0]]], alternative="less")
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert (found.p_value < 0.01) == (found.state == "worse")


@pytest.mark.parametrize("metric", ["accuracy", "f1", "precision", "recall", "balanced_accuracy"])
def test_value_and_critical_say_the_same_as_the_p_value(metric: str) -> None:
    rng = np.random.default_rng(4)
    states = set()
    for accuracy in np.linspace(0.7, 0.9, 60):
        reference = right(800, 0.85, rng)
        found = one([right(400, accuracy, rng)], reference, metric, 0.01)
        assert found.p_value is not None
        assert (found.p_value <= 0.01) == (found.state == "worse"), (found, accuracy)
        states.add(found.state)
    assert states == {"ok", "worse"}


def test_better_is_never_an_alarm() -> None:
    rng = np.random.default_rng(5)
    found = one(hours_of(5000, 0.99, rng), right(2000, 0.7, rng), "accuracy", 0.5)
    assert found.state == "ok"
    assert found.change is not None
    assert found.change < -0.2
    halved = one([errors(500, rng, 1.0, 0.5) for _ in range(10)], errors(2000, rng, 1.0), "mae", 0.5)
    assert halved.state == "ok"


def test_few_outcomes_are_not_judged() -> None:
    rng = np.random.default_rng(6)
    reference = right(2000, 0.9, rng)
    few = one([right(99, 0.1, rng)], reference, "accuracy", 0.01)
    assert (few.state, few.reason) == ("insufficient data", "99 outcomes, 100 are needed")
    assert few.live is not None
    rare = contribute(BINARY, np.ones((200, 1)), np.array([0.0] * 9 + [1.0] * 191))
    assert one([rare], reference, "accuracy", 0.01).reason == "9 outcomes of 'no', 10 are needed"
    nothing = one([], reference, "accuracy", 0.01)
    assert (nothing.state, nothing.live) == ("insufficient data", None)


def test_a_small_change_below_the_floor_is_ok() -> None:
    rng = np.random.default_rng(7)
    reference, hours = right(200_000, 0.9, rng), hours_of(200_000, 0.88, rng)
    assert one(hours, reference, "accuracy", 0.001).state == "worse"
    default = one(hours, reference, "accuracy", 0.001, None)
    assert (default.state, default.floor) == ("ok", 0.03)


def test_the_detectable_change_is_seen_in_nine_of_ten() -> None:
    rng = np.random.default_rng(8)
    reference = right(4000, 0.85, rng)
    quiet = one(hours_of(1000, 0.85, rng), reference, "accuracy", 0.001)
    assert quiet.detectable is not None
    base = quiet.reference.value
    found = [one(hours_of(1000, base - quiet.detectable, rng), reference, "accuracy", 0.001).state for _ in range(200)]
    assert 150 <= found.count("worse") <= 198


def test_calibration_that_broke_is_seen() -> None:
    rng = np.random.default_rng(9)
    target = Target("binary", ("no", "yes"), scores=(1,), edges=tuple(k / 20 for k in range(1, 20)))

    def rows(n: int, push: float) -> Sums:
        score = rng.random(n) * 0.8 + 0.1
        outcomes = (rng.random(n) < score + push).astype(float)
        return contribute(target, np.stack([(score > 0.5) * 1.0, score], axis=1), outcomes)

    reference = rows(4000, 0.0)
    assert one([rows(300, 0.0) for _ in range(10)], reference, "ece", 0.01, None).state == "ok"
    assert one([rows(300, 0.1) for _ in range(10)], reference, "ece", 0.01, None).state == "worse"


def test_alpha_is_shared_over_metrics() -> None:
    rng = np.random.default_rng(10)
    reference, hours = right(2000, 0.85, rng), hours_of(1000, 0.85, rng)
    alone = one(hours, reference, "accuracy", 0.01)
    names = ("accuracy", "f1", "recall", "precision")
    among = judge(sum(hours, Sums.zero(BINARY)), reference, Asked(names, 0.01, dict.fromkeys(names, 0.0)))
    assert alone.critical is not None
    assert among[0].critical is not None
    assert among[0].critical > alone.critical
    assert auto_metrics(BINARY) == ("accuracy", "f1")


def test_a_fall_in_the_last_day_of_a_week_is_seen() -> None:
    """A step within the window does not pass for hours that differ by chance."""
    rng = np.random.default_rng(5)
    seen = 0
    for _ in range(20):
        reference = right(2000, 0.85, rng)
        hours = [right(60, 0.85 if hour < 144 else 0.5, rng) for hour in range(168)]
        seen += one(hours, reference, "accuracy", 0.001, None).state == "worse"
    assert seen >= 18


@pytest.mark.parametrize("hours", [48, 168])
def test_false_alarms_of_hours_that_differ(hours: int) -> None:
    """At most twice alpha where each hour has an accuracy of its own, without any floor."""
    rng, alpha, times = np.random.default_rng(hours), 0.03, 150
    alarms = 0
    for _ in range(times):
        reference = right(2000, 0.8, rng)
        some = [right(40, min(rng.normal(0.8, 0.08), 1.0), rng) for _ in range(hours)]
        alarms += one(some, reference, "accuracy", alpha).state == "worse"
    assert alarms <= 2 * alpha * times + 3 * np.sqrt(2 * alpha * times)


def test_what_the_first_metric_leaves_of_alpha_is_the_second_ones() -> None:
    """Two tests of which one is rejected at half of alpha: the other one is compared with all of it."""
    rng = np.random.default_rng(5)
    reference, live = right(4000, 0.9, rng), right(1000, 0.86, rng)
    metrics = ("accuracy", "recall")
    small, large = sorted(found.p_value or 0.0 for found in judge(live, reference, Asked(metrics, 0.5)))
    assert 0 < small < 0.7 * large < 0.3
    found = judge(live, reference, Asked(metrics, 1.4 * large, dict.fromkeys(metrics, 0.0)))
    assert [one.state for one in found] == ["worse", "worse"]
