"""Every metric equals scikit-learn's on the same rows, and sums add up."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as judge

from monitor.columns.column import Column, Floats, Schema
from monitor.outcomes.performance import Measure, dispersion, measure, pinball, ratios, weighted
from monitor.outcomes.sums import Sums, Target, TargetKind, contribute, target_of


def metric_names(target: Target) -> tuple[str, ...]:
    """Return all metrics that rows of this target may have."""
    if target.kind == "score":
        return ("score",)
    if target.kind == "regression":
        more = (*(("pinball",) if target.quantile is not None else ()), *(("coverage",) if target.interval else ()))
        return ("bias", "mae", "mse", "rmse", "r2", "mape", *more)
    averages = ("balanced_accuracy",) if target.kind == "binary" else ("macro_precision", "macro_recall", "macro_f1")
    precision = ("average_precision",) if target.kind == "binary" else ()
    scored = ("roc_auc", *precision, "ece", "brier", "log_loss") if target.scores else ()
    return (*ratios(target), *averages, *scored)


def regression(rows: int, seed: int = 0) -> tuple[Target, Floats, Floats]:
    rng = np.random.default_rng(seed)
    outcomes = rng.normal(1e6, 40.0, rows)
    predictions = outcomes + rng.lognormal(0, 1, rows) * rng.choice([-1, 1], rows) * 10
    return (
        Target("regression", edges=(1e6 - 20, 1e6, 1e6 + 20), centre=1e6, scale=40.0),
        predictions[:, None],
        outcomes,
    )


def binary(rows: int, seed: int = 0) -> tuple[Target, Floats, Floats]:
    """A calibrated score on a grid of 200 values, none of them on an edge but all in bins of their own."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 200, rows) / 200 + 0.0025
    outcomes = (rng.random(rows) < score).astype(float)
    edges = tuple(k / 200 for k in range(1, 200))
    target = Target("binary", ("no", "yes"), scores=(1,), edges=edges)
    return target, np.stack([(score > 0.5).astype(float), score], axis=1), outcomes


def multiclass(rows: int, seed: int = 0) -> tuple[Target, Floats, Floats]:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet([1.0, 1.0, 1.0], rows)
    outcomes = np.array([rng.choice(3, p=one) for one in scores]).astype(float)
    edges = tuple(k / 50 for k in range(1, 50))
    target = Target("multiclass", ("a", "b", "c"), scores=(1, 2, 3), edges=edges)
    return target, np.column_stack([scores.argmax(axis=1), scores]), outcomes


def test_regression_equals_scikit_learn() -> None:
    target, predictions, outcomes = regression(3000)
    found = measure(contribute(target, predictions, outcomes))
    predicted = predictions[:, 0]
    expected = {
        "bias": float((predicted - outcomes).mean()),
        "mae": judge.mean_absolute_error(outcomes, predicted),
        "mse": judge.mean_squared_error(outcomes, predicted),
        "rmse": judge.root_mean_squared_error(outcomes, predicted),
        "r2": judge.r2_score(outcomes, predicted),
        "mape": judge.mean_absolute_percentage_error(outcomes, predicted),
    }
    assert found.keys() == expected.keys() == set(metric_names(target))
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-9), name
    for tau in (0.1, 0.5, 0.9):
        loss = pinball(contribute(target, predictions, outcomes), tau)
        assert loss is not None
        assert loss.value == pytest.approx(judge.mean_pinball_loss(outcomes, predicted, alpha=tau), rel=1e-9)


@pytest.mark.parametrize("metric", ["bias", "mae", "mse", "rmse", "r2", "mape"])
def test_standard_errors_are_those_of_repeated_samples(metric: str) -> None:
    """The mean of the stated errors is within a sixth of the spread over 400 samples."""
    samples = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        outcomes = rng.normal(50.0, 5.0, 500)
        predictions = (outcomes + rng.normal(0, 2.0, 500))[:, None]
        sums = contribute(Target("regression", centre=50.0, scale=5.0), predictions, outcomes)
        samples.append(measure(sums)[metric])
    spread = float(np.std([one.value for one in samples]))
    assert np.mean([one.error for one in samples]) == pytest.approx(spread, rel=1 / 6)


def test_binary_equals_scikit_learn() -> None:
    target, predictions, outcomes = binary(4000)
    found = measure(contribute(target, predictions, outcomes))
    predicted, score = predictions.T
    expected = {
        "accuracy": judge.accuracy_score(outcomes, predicted),
        "precision": judge.precision_score(outcomes, predicted),
        "recall": judge.recall_score(outcomes, predicted),
        "specificity": judge.recall_score(outcomes, predicted, pos_label=0),
        "f1": judge.f1_score(outcomes, predicted),
        "balanced_accuracy": judge.balanced_accuracy_score(outcomes, predicted),
        "roc_auc": judge.roc_auc_score(outcomes, score),
        "brier": judge.brier_score_loss(outcomes, score),
        "log_loss": judge.log_loss(outcomes, score),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-9), name
        assert found[name].low <= value <= found[name].high, name
    precision = judge.average_precision_score(outcomes, score)
    assert found["average_precision"].value == pytest.approx(precision, abs=0.002)
    assert found.keys() == set(metric_names(target))


def test_binned_area_is_within_its_bound() -> None:
    rng = np.random.default_rng(5)
    outcomes = (rng.random(5000) < 0.2).astype(float)
    score = 1 / (1 + np.exp(-(rng.normal(0, 1, 5000) + 1.5 * outcomes - 1)))
    target = Target("binary", ("no", "yes"), scores=(1,), edges=tuple(k / 20 for k in range(1, 20)))
    sums = contribute(target, np.stack([(score > 0.5) * 1.0, score], axis=1), outcomes)
    negatives, positives = sums.confusion[:-1].sum(axis=2)[:, :2].T
    bound = (negatives * positives).sum() / (2 * negatives.sum() * positives.sum())
    exact = judge.roc_auc_score(outcomes, score)
    assert 0 < abs(measure(sums)["roc_auc"].value - exact) <= bound


def test_multiclass_equals_scikit_learn() -> None:
    target, predictions, outcomes = multiclass(3000)
    found = measure(contribute(target, predictions, outcomes))
    predicted, scores = predictions[:, 0], predictions[:, 1:]
    expected = {
        "accuracy": judge.accuracy_score(outcomes, predicted),
        "macro_precision": judge.precision_score(outcomes, predicted, average="macro"),
        "macro_recall": judge.recall_score(outcomes, predicted, average="macro"),
        "macro_f1": judge.f1_score(outcomes, predicted, average="macro"),
        "recall[b]": judge.recall_score(outcomes, predicted, average=None)[1],
        "f1[c]": judge.f1_score(outcomes, predicted, average=None)[2],
        "log_loss": judge.log_loss(outcomes, scores),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-9), name
    exact = judge.roc_auc_score(outcomes, scores, multi_class="ovr")
    assert found["roc_auc"].value == pytest.approx(exact, abs=0.002)
    one_hot = np.eye(3)[outcomes.astype(int)]
    assert found["brier"].value == pytest.approx(float(((scores - one_hot) ** 2).sum(axis=1).mean()), rel=1e-9)
    assert found.keys() == set(metric_names(target))


def test_interval_and_value() -> None:
    rng = np.random.default_rng(1)
    outcomes = rng.normal(0, 1, 1000)
    predictions = np.stack([np.zeros(1000), np.full(1000, -1.0), np.full(1000, 1.0)], axis=1)
    found = measure(contribute(Target("regression", interval=(1, 2)), predictions, outcomes))
    assert found["coverage"].value == pytest.approx(float((np.abs(outcomes) <= 1).mean()), abs=1e-12)
    costs = ((0.0, -5.0), (-100.0, 50.0))
    target = Target("binary", ("no", "yes"), costs=costs)
    actual, predicted = rng.integers(0, 2, 500), rng.integers(0, 2, 500)
    value = measure(contribute(target, predicted[:, None].astype(float), actual.astype(float)))["value"]
    assert value.value == pytest.approx(float(np.mean([costs[a][p] for a, p in zip(actual, predicted, strict=True)])))


def test_what_came_true_and_the_error_are_columns() -> None:
    target = Target("regression", outcome_edges=(0.0, 1.0), error_edges=(0.0,))
    sums = contribute(target, np.array([[1.0], [3.0], [0.0]]), np.array([0.5, 2.0, np.inf]))
    assert [column.name for column in target.columns] == ["outcome", "error"]
    assert sums.column_counts().tolist() == [0, 1, 1, 0, 0, 0, 2, 0, 0]
    classes = Target("multiclass", ("a", "b", "c"))
    sums = contribute(classes, np.array([[0.0], [1.0], [1.0]]), np.array([0.0, 3.0, 2.0]))
    assert sums.column_counts().tolist() == [1, 0, 1, 1, 0]
    assert Schema(classes.columns).size == 5
    score = Target("score", outcome_edges=(0.0,))
    assert contribute(score, np.zeros((2, 1)), np.array([-1.0, 4.0])).column_counts().tolist() == [1, 1, 0, 0]


def test_a_class_that_the_model_does_not_know_counts_as_wrong() -> None:
    target = Target("binary", ("no", "yes"))
    sums = contribute(target, np.array([[1.0], [1.0]]), np.array([1.0, 2.0]))
    assert measure(sums)["accuracy"].value == 0.5
    assert measure(sums)["recall"].value == 1.0


def test_rows_that_cannot_be_compared_are_counted_apart() -> None:
    target, predictions, outcomes = binary(10)
    predictions[0, 0], outcomes[1] = np.nan, np.inf
    sums = contribute(target, predictions, outcomes)
    assert (sums.unusable, sums.n) == (2, 8)
    predictions[2, 1] = np.nan  # A row without a score still has a class.
    sums = contribute(target, predictions, outcomes)
    assert (sums.unusable, sums.n, int(sums.confusion[-1].sum())) == (2, 8, 1)


@given(st.sampled_from(["regression", "binary", "multiclass", "score"]), st.integers(0, 60), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_sums_add_up_and_subtract(kind: str, cut: int, seed: int) -> None:
    makers = {"regression": regression, "binary": binary, "multiclass": multiclass}
    target, predictions, outcomes = makers.get(kind, regression)(60, seed)
    if kind == "score":
        target = Target("score", centre=1e6, scale=40.0)
    whole = contribute(target, predictions, outcomes)
    first, rest = (contribute(target, predictions[part], outcomes[part]) for part in (slice(cut), slice(cut, None)))
    for one, other in ((first + rest, whole), (whole - rest, first)):
        assert np.array_equal(one.counts, other.counts)
        assert np.allclose(one.moments, other.moments, rtol=1e-9, atol=1e-9)
    again = Sums.from_json(target, whole.to_json())
    assert np.array_equal(again.counts, whole.counts)
    assert np.array_equal(again.moments, whole.moments)


#: Moments in the order in which the database and reference files hold them: those of all rows, then those by bin.
STORED: dict[TargetKind, tuple[str, str]] = {
    "regression": (
        "abs_e_e ape ape2 ape_rows inside y y2 y3 y4 y_e2 y2_e2 outside_above interval_rows",
        "rows e abs_e e2 e4",
    ),
    "binary": ("brier brier2 log log2 gap_tilt tilt2_var", "p"),
    "multiclass": ("brier brier2 log log2", "p right rows"),
}


@pytest.mark.parametrize("kind", STORED)
def test_stored_sums_are_read_by_position_so_moments_keep_theirs(kind: TargetKind) -> None:
    target = Target(kind, *(() if kind == "regression" else (("a", "b"), 1, (1, 2))))
    totals, binned = (names.split() for names in STORED[kind])
    size = len(totals) + len(binned) * target.bins
    sums = Sums.from_json(target, json.dumps({"counts": {}, "moments": {at: float(at) for at in range(size)}}))
    assert [sums.total(name) for name in totals] == [*range(len(totals))]
    assert [sums.binned(name)[0] for name in binned] == [*range(len(totals), size, target.bins)]


@pytest.mark.parametrize("make", [regression, binary, multiclass])
def test_hours_can_be_judged_by_every_metric(make: Callable[[int], tuple[Target, Floats, Floats]]) -> None:
    target, predictions, outcomes = make(400)
    hours = [contribute(target, predictions[part], outcomes[part]) for part in np.split(np.arange(400), 8)]
    for name, measured in measure(sum(hours, Sums.zero(target))).items():
        assert dispersion(hours, name, measured) >= 1.0, name


def test_weighting_undoes_selective_outcomes() -> None:
    """Outcomes only of what was flagged, and of 5 % of the rest: the naive recall is far off, the weighted is not."""
    rng = np.random.default_rng(8)
    rows = 20000
    score = rng.beta(1, 6, rows)
    outcomes = (rng.random(rows) < score).astype(float)
    predictions = np.stack([(score > 0.3).astype(float), score], axis=1)
    target = Target("binary", ("no", "yes"), scores=(1,), edges=tuple(k / 20 for k in range(1, 20)))
    known = (score > 0.3) | (rng.random(rows) < 0.05)
    everyone = contribute(target, predictions, np.zeros(rows)).confusion.sum(axis=(1, 2))
    sums = contribute(target, predictions[known], outcomes[known])
    truth = measure(contribute(target, predictions, outcomes))
    found, spoken = weighted(sums, everyone)
    for name in ("accuracy", "recall", "f1", "precision"):
        assert abs(found[name].value - truth[name].value) < 4 * found[name].error + 1e-12, name
    assert measure(sums)["recall"].value > truth["recall"].value + 0.3
    assert spoken == pytest.approx(1.0, abs=0.01)


def test_weighting_with_every_outcome_known_changes_nothing() -> None:
    for target, predictions, outcomes in (regression(500), binary(500), multiclass(500)):
        sums = contribute(target, predictions, outcomes)
        if target.kind == "regression":
            rows = sums.binned("rows").astype(np.int64)
        elif target.kind == "binary":
            rows = sums.confusion.sum(axis=(1, 2))
        else:
            rows = sums.confusion.sum(axis=(0, 1))
        found, spoken = weighted(sums, rows)
        plain = measure(sums)
        assert spoken == 1.0
        assert found
        for name, one in found.items():
            assert one.value == pytest.approx(plain[name].value, rel=1e-9), name


def test_hours_that_differ_count_for_less() -> None:
    rng = np.random.default_rng(3)
    target = Target("binary", ("no", "yes"))

    def hours(shares: Floats) -> tuple[list[Sums], Measure]:
        parts = [contribute(target, np.ones((50, 1)), (rng.random(50) < share).astype(float)) for share in shares]
        return parts, measure(sum(parts, Sums.zero(target)))["accuracy"]

    steady = [dispersion(*_swap(*hours(np.full(100, 0.8)))) for _ in range(20)]
    rhythm = dispersion(*_swap(*hours(np.where(np.arange(100) % 24 < 12, 0.6, 0.95))))
    assert np.mean(steady) < 1.4
    assert rhythm > 5
    step = np.where(np.arange(168) < 144, 0.9, 0.5)
    assert np.mean([dispersion(*_swap(*hours(step))) for _ in range(20)]) < 1.3, "a step is what is looked for"
    wandering = np.clip(0.8 + 0.12 * rng.normal(size=168), 0, 1)
    assert dispersion(*_swap(*hours(wandering))) > 2


def _swap(hours: list[Sums], measured: Measure) -> tuple[list[Sums], str, Measure]:
    return hours, "accuracy", measured


def test_target_follows_from_the_predictions() -> None:
    x = Column("x", "feature", "numeric", edges=(0.0,))
    value = Column("y", "prediction", "numeric", edges=(1.0, 2.0))
    assert target_of(Schema((x, value))) == Target("regression", edges=(1.0, 2.0))
    label = Column("y", "prediction", "categorical", categories=("no", "yes"))
    score = Column("proba_no", "prediction", "numeric", edges=(0.55,))
    found = target_of(Schema((x, label, score)), "no")
    assert (found.kind, found.positive, found.scores) == ("binary", 0, (1,))
    assert 0.55 in found.edges
    many = Column("y", "prediction", "categorical", categories=("a", "b", "c"))
    assert target_of(Schema((x, many))).scores == ()
    assert math.prod(target_of(Schema((x, many))).confusion_shape) == 12


@pytest.mark.parametrize("positives", [1, 2, 50])
def test_a_score_that_separates_few_rows_has_an_average_precision(positives: int) -> None:
    """A precision of 1 of few positives: its interval is from 0 to 1, and no number overflows."""
    target = Target("binary", ("no", "yes"), scores=(1,), edges=(0.5,))
    outcomes = np.repeat([0.0, 1.0], [5, positives])
    found = measure(contribute(target, np.column_stack([outcomes, 0.2 + 0.6 * outcomes]), outcomes))
    precision = found["average_precision"]
    assert precision.value == pytest.approx(1.0)
    assert 0 <= precision.low <= precision.value + 1e-9
    assert precision.high <= 1
