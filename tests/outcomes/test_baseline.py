"""Harm of a shift, performance estimated without outcomes, and the file that both rest on."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.columns.binning import Binner
from monitor.columns.column import Column, Floats, Schema
from monitor.outcomes.baseline import Baseline, baseline_of, harm
from monitor.outcomes.estimates import bins_of, concept_shift
from monitor.outcomes.performance import measure, weighted
from monitor.outcomes.sums import contribute, target_of

EDGES = tuple(np.linspace(-2.5, 2.5, 21))
X, QUIET = (Column(name, "feature", "numeric", edges=EDGES) for name in ("x", "quiet"))
LABEL = Column("y", "prediction", "categorical", categories=("no", "yes"))
SCORE = Column("proba_yes", "prediction", "numeric", edges=tuple(k / 20 for k in range(1, 20)))
CLASSIFIER = Schema((X, QUIET, LABEL, SCORE))
REGRESSOR = Schema((X, QUIET, Column("y", "prediction", "numeric", edges=EDGES)))


def classified(
    rows: int, rng: np.random.Generator, shift: float = 0.0, flip: float = 0.0, quiet: float = 0.0
) -> tuple[Floats, Floats]:
    """A calibrated classifier of x. `flip`: share of outcomes turned round, which no input tells."""
    x = rng.normal(shift, 1, rows)
    score = 1 / (1 + np.exp(-1.5 * x))
    outcomes = (rng.random(rows) < score).astype(float)
    outcomes = np.where(rng.random(rows) < flip, 1 - outcomes, outcomes)
    return np.stack([x, rng.normal(quiet, 1, rows), (score > 0.5) * 1.0, score], axis=1), outcomes


def regressed(rows: int, rng: np.random.Generator, shift: float = 0.0) -> tuple[Floats, Floats]:
    """A regressor whose error grows with x."""
    x = rng.normal(shift, 1, rows)
    outcomes = 2 * x + rng.normal(0, 1, rows) * np.exp(x / 2)
    return np.stack([x, rng.normal(0, 1, rows), 2 * x], axis=1), outcomes


def counts(schema: Schema, values: Floats, name: str) -> np.ndarray:
    flat = Binner(schema).fill(values)[0][0]
    return schema.split(flat)[schema.index(name)]


def classifier_baseline(rng: np.random.Generator, rows: int = 5000) -> tuple[Baseline, Floats]:
    values, outcomes = classified(rows, rng)
    return baseline_of(CLASSIFIER, target_of(CLASSIFIER), values, outcomes, "holdout.csv"), values


def test_harm_is_what_happens() -> None:
    rng = np.random.default_rng(1)
    values, outcomes = regressed(20_000, rng)
    baseline = baseline_of(REGRESSOR, target_of(REGRESSOR), values, outcomes)
    moved, came = regressed(20_000, rng, shift=0.7)
    found = baseline.harm(X, counts(REGRESSOR, values, "x"), counts(REGRESSOR, moved, "x"))
    assert found is not None
    rise = float(np.abs(moved[:, 2] - came).mean() - np.abs(values[:, 2] - outcomes).mean())
    assert found.loss == pytest.approx(rise, rel=0.15)
    assert found.answer == pytest.approx(1.4, rel=0.05)
    assert found.effect == "harmful"
    still = baseline.harm(QUIET, counts(REGRESSOR, values, "quiet"), counts(REGRESSOR, moved, "quiet"))
    assert still is not None
    assert abs(still.loss) < 3 * still.loss_error
    assert still.effect == "harmless"


def test_the_error_of_harm_is_that_of_repeated_windows() -> None:
    rng = np.random.default_rng(2)
    values, outcomes = regressed(50_000, rng)
    by_bin = baseline_of(REGRESSOR, target_of(REGRESSOR), values, outcomes).columns["feature", "x"]
    before = counts(REGRESSOR, values, "x")
    found = [harm(by_bin, before, counts(REGRESSOR, regressed(300, rng)[0], "x")) for _ in range(300)]
    spread = float(np.std([one.loss for one in found if one]))
    assert np.mean([one.loss_error for one in found if one]) == pytest.approx(spread, rel=0.15)


def test_bins_that_no_held_out_row_was_in_are_unknown() -> None:
    rng = np.random.default_rng(3)
    values, outcomes = regressed(500, rng)
    by_bin = baseline_of(REGRESSOR, target_of(REGRESSOR), values, outcomes).columns["feature", "x"]
    far = np.full((100, 3), np.nan)
    far[:75, 0] = 0.0
    found = harm(by_bin, counts(REGRESSOR, values, "x"), counts(REGRESSOR, far, "x"))
    assert found is not None
    assert found.unknown == 0.25
    assert harm(by_bin, counts(REGRESSOR, values, "x"), np.zeros(X.size, np.int64)) is None


def test_estimates_follow_a_shift_of_the_inputs() -> None:
    """As good as with the outcomes, within two standard errors of both; assuming that nothing changed is far off."""
    rng = np.random.default_rng(4)
    baseline, _ = classifier_baseline(rng, 10_000)
    moved, came = classified(20_000, rng, shift=1.0)
    live = contribute(baseline.target, moved[:, 2:], came)
    found, spoken = weighted(baseline.sums, bins_of(live), estimated=True)
    real, before = measure(live), measure(baseline.sums)
    for name in ("accuracy", "f1", "recall", "precision"):
        assert abs(found[name].value - real[name].value) < 3 * found[name].error, name
        assert abs(before[name].value - real[name].value) > 2 * abs(found[name].value - real[name].value), name
    assert spoken > 0.99


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_intervals_of_estimates_cover(shift: float) -> None:
    """95 % intervals, over baselines and windows drawn anew: 95 % within 3 points at 500 draws."""
    rng = np.random.default_rng(5)
    inside = dict.fromkeys(("accuracy", "recall", "roc_auc"), 0)
    for _ in range(500):
        baseline, _values = classifier_baseline(rng, 2000)
        moved, came = classified(1000, rng, shift=shift)
        live = contribute(baseline.target, moved[:, 2:], came)
        found, real = weighted(baseline.sums, bins_of(live), estimated=True)[0], measure(live)
        for name in inside:
            inside[name] += found[name].low <= real[name].value <= found[name].high
    for name, hits in inside.items():
        assert 0.92 <= hits / 500 <= 0.985, (name, hits / 500)


def test_regression_is_estimated_by_the_value_predicted() -> None:
    rng = np.random.default_rng(6)
    values, outcomes = regressed(20_000, rng)
    baseline = baseline_of(REGRESSOR, target_of(REGRESSOR), values, outcomes)
    moved, came = regressed(20_000, rng, shift=0.7)
    live = contribute(baseline.target, moved[:, 2:], came)
    found = weighted(baseline.sums, bins_of(live), estimated=True)[0]["mae"]
    assert found.value == pytest.approx(measure(live)["mae"].value, rel=0.1)


def test_a_changed_relation_is_told_from_changed_inputs() -> None:
    rng = np.random.default_rng(7)
    baseline, _ = classifier_baseline(rng)
    for shift, flip, low, high in (
        (0.0, 0.0, 0.0, 3.5),
        (1.0, 0.0, 0.0, 3.5),
        (0.0, 0.15, 6.0, 99.0),
        (1.0, 0.15, 6.0, 99.0),
    ):
        values, outcomes = classified(4000, rng, shift=shift, flip=flip)
        found = concept_shift(contribute(baseline.target, values[:, 2:], outcomes), baseline.sums, "accuracy")
        assert found is not None
        assert low <= abs(found[1]) <= high, (shift, flip, found)


def test_wider_bins_hold_the_same_rows() -> None:
    rng = np.random.default_rng(8)
    baseline, values = classifier_baseline(rng, 1000)
    wide = baseline.sums.coarse(SCORE.edges)
    live = counts(CLASSIFIER, values, "proba_yes")
    rows = np.append(live[: SCORE.value_bins], live[SCORE.value_bins :].sum())
    assert np.array_equal(bins_of(wide), rows)
    assert measure(wide)["brier"].value == measure(baseline.sums)["brier"].value
    assert measure(wide)["accuracy"].value == measure(baseline.sums)["accuracy"].value


def test_a_baseline_survives_its_file() -> None:
    baseline, _ = classifier_baseline(np.random.default_rng(9), 500)
    again = Baseline.from_json(baseline.to_json())
    assert again.target == baseline.target
    assert again.to_json() == baseline.to_json()
    assert measure(again.sums) == measure(baseline.sums)
    assert again.mean_loss == baseline.mean_loss
