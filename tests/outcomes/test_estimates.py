"""Verdicts on estimates: false alarms, power, and predictions of which the held-out rows say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.columns.binning import Binner
from monitor.columns.column import Counts, Schema
from monitor.outcomes.estimates import bins_by_prediction, bins_of, coarse, estimate, inflation, judge_estimate
from monitor.outcomes.performance import measure
from monitor.outcomes.sums import Sums, contribute, target_of
from monitor.outcomes.verdict import Asked, Verdict
from monitor.words import percent
from tests.outcomes.test_baseline import CLASSIFIER, LABEL, QUIET, REGRESSOR, SCORE, X, classified, regressed

KINDS = {"binary": (CLASSIFIER, classified), "regression": (REGRESSOR, regressed)}


def held(rng: np.random.Generator, kind: str = "binary", rows: int = 2000) -> Sums:
    schema, draw = KINDS[kind]
    values, outcomes = draw(rows, rng)
    target = target_of(schema)
    return coarse(schema, target, contribute(target, values[:, 2:], outcomes))


def hours(rng: np.random.Generator, kind: str = "binary", shift: float = 0.0, rhythm: float = 0.0) -> Counts:
    """A day of 50 predictions an hour. `rhythm`: standard deviation of the inputs' mean from hour to hour."""
    schema, draw = KINDS[kind]
    drawn = [draw(50, rng, shift=shift + rhythm * rng.normal())[0] for _ in range(24)]
    rows = [bins_by_prediction(schema, target_of(schema), Binner(schema).fill(one)[0][0]) for one in drawn]
    return np.array(rows)


def judged(known: Sums, by_hour: Counts, metric: str, alpha: float, floor: float | None = None) -> Verdict:
    name = f"estimated {metric}"
    floors = {} if floor is None else {name: floor}
    asked = Asked((name,), alpha, floors, dispersions={name: inflation(known, by_hour, metric)})
    return judge_estimate(known, by_hour.sum(axis=0), asked)


@pytest.mark.parametrize(("kind", "metric"), [("binary", "recall"), ("binary", "brier"), ("regression", "rmse")])
def test_nothing_changed_is_seldom_worse_even_with_a_rhythm(kind: str, metric: str) -> None:
    """Held-out rows and days drawn anew, no floor: no more alarms than alpha allows (2 of 40; 7 has p = 0.005)."""
    rng = np.random.default_rng(21)
    days = [judged(held(rng, kind), hours(rng, kind, rhythm=0.2), metric, 0.05, 0.0) for _ in range(40)]
    assert sum(one.state == "worse" for one in days) < 7
    assert {one.state for one in days} <= {"ok", "worse"}


@pytest.mark.parametrize(
    ("kind", "metric", "shift"),
    [("binary", "recall", -0.5), ("binary", "f1", -0.5), ("regression", "mae", 0.6)],
)
def test_a_day_of_harder_rows_is_worse(kind: str, metric: str, shift: float) -> None:
    rng = np.random.default_rng(22)
    schema, draw = KINDS[kind]
    for _ in range(5):
        verdict = judged(held(rng, kind), hours(rng, kind, shift), metric, 0.001)
        assert verdict.state == "worse"
        assert verdict.live is not None
        values, outcomes = draw(5000, rng, shift=shift)
        real = measure(contribute(target_of(schema), values[:, 2:], outcomes))[metric].value
        assert verdict.live.value == pytest.approx(real, abs=4 * verdict.live.error)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_like_those_held_out_have_their_metrics(kind: str) -> None:
    known = held(np.random.default_rng(25), kind)
    before, (found, _) = measure(known), estimate(known, bins_of(known))
    for name in {"binary": ("accuracy", "brier", "log_loss"), "regression": ("mae", "mse", "rmse")}[kind]:
        assert found[name].value == pytest.approx(before[name].value, rel=1e-12)
        assert 1 < found[name].error / before[name].error < 1.5, "of both samples, less what the bins explain"


@pytest.mark.parametrize("bold", [0.5, 1.0, 3.0])
def test_losses_of_probabilities_are_estimated_as_they_come(bold: float) -> None:
    """Scores that are too timid, right, or too bold, against the mean over 40,000 rows of another distribution."""
    rng = np.random.default_rng(26)
    edges = 1 / (1 + np.exp(-bold * np.quantile(rng.normal(0, 1.5, 10_000), np.linspace(0.02, 0.98, 49))))
    schema = Schema((X, QUIET, LABEL, replace(SCORE, edges=tuple(edges.tolist()))))
    target = target_of(schema)

    def drawn(rows: int, shift: float) -> Sums:
        logit = rng.normal(shift, 1.5, rows)
        score, came = 1 / (1 + np.exp(-bold * logit)), rng.random(rows) < 1 / (1 + np.exp(-logit))
        return coarse(schema, target, contribute(target, np.stack([score > 0.5, score], axis=1), came * 1.0))

    known, live = drawn(40_000, 0.0), drawn(40_000, 1.5)
    found, real = estimate(known, bins_of(live))[0], measure(live)
    for name in ("brier", "log_loss"):
        assert abs(measure(known)[name].value - real[name].value) > 8 * real[name].error
        assert found[name].value == pytest.approx(real[name].value, abs=4 * found[name].error)


def test_rows_that_differ_from_hour_to_hour_count_for_less() -> None:
    rng = np.random.default_rng(23)
    known = held(rng)
    steady, changing = (np.mean([inflation(known, hours(rng, rhythm=r), "f1") for _ in range(5)]) for r in (0.0, 1.0))
    assert 1 < steady < 2 < changing


@given(st.integers(0, 400), st.integers(0, 30))
def test_an_estimate_is_a_number_or_a_reason_and_never_both(far: int, there: int) -> None:
    """1,000 predictions of which some lie in one bin, with few held-out rows or none in it."""
    target = target_of(CLASSIFIER)
    values, outcomes = classified(4000, np.random.default_rng(24))
    place = target.edges[-1] < values[:, 3]
    keep = ~place | (np.cumsum(place) <= there)
    known = contribute(target, values[keep, 2:], outcomes[keep])
    rows = bins_of(known) * 0
    rows[10], rows[-2] = 1000 - far, far
    found, why = estimate(known, rows)
    assert bool(found) != bool(why)
    held_there = min(there, int(place.sum()))
    assert bool(why) == (held_there < 10 and far > 50 and far / 1000 > 5 * held_there / int(keep.sum()))
    if why:
        few = "too few" if held_there else "no"
        assert (
            why == f"no estimate: {percent(far / 1000)} of predictions lie where the reference has {few} held-out rows"
        )
