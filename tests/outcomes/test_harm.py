"""Months with harmful and with harmless drifts, told apart from counts alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from monitor.columns.binning import Binner
from monitor.columns.column import Column, Floats, Schema
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import DriftResult, Span, at_a_glance, of_importance
from monitor.outcomes.baseline import Baseline, ByBin, baseline_of, harm, losses
from monitor.outcomes.sums import target_of

EDGES = tuple(np.linspace(-2.5, 2.5, 21))
HARD, EASY, UNUSED = (Column(name, "feature", "numeric", edges=EDGES) for name in ("hard", "easy", "unused"))
REGION = Column("region", "feature", "categorical", categories=("north", "south"))
WIDE = tuple(np.linspace(-8, 8, 41))
REGRESSOR = Schema((HARD, EASY, UNUSED, REGION, Column("price", "prediction", "numeric", edges=WIDE)))
CLASSIFIER = Schema((HARD, EASY, UNUSED, REGION, Column("y", "prediction", "categorical", categories=("no", "yes"))))

Shift = tuple[str, float]
Draw = Callable[[np.random.Generator, int, Shift], tuple[Floats, Floats]]

#: What moves, by how much, and whether that does harm.
CASES: tuple[tuple[Shift, bool], ...] = (
    *((("hard", move), True) for move in (0.6, 0.8, 1.0)),
    *((("region", share), True) for share in (0.6, 0.7, 0.8)),
    *((("easy", move), False) for move in (-1.0, -0.6, 0.6, 1.0)),
    *((("unused", move), False) for move in (-1.0, 0.8)),
    *((("hard", move), False) for move in (-0.6, -1.0)),
)


def inputs(rng: np.random.Generator, rows: int, shift: Shift) -> Floats:
    name, much = shift
    values = rng.normal(0, 1, (rows, 3))
    if name in ("hard", "easy", "unused"):
        values[:, ("hard", "easy", "unused").index(name)] += much
    south = rng.random(rows) < (much if name == "region" else 0.2)
    return np.column_stack([values, south])


def regressed(rng: np.random.Generator, rows: int, shift: Shift) -> tuple[Floats, Floats]:
    """The error grows with `hard` and is twice as large in the south; `easy` moves the answer only."""
    x = inputs(rng, rows, shift)
    price = x[:, 0] + 2 * x[:, 1]
    noise = rng.normal(0, 1, rows) * np.exp(x[:, 0] / 2) * (1 + 1.5 * x[:, 3])
    return np.column_stack([x, price]), price + noise


def classified(rng: np.random.Generator, rows: int, shift: Shift) -> tuple[Floats, Floats]:
    """A share of wrong answers that grows with `hard` and in the south."""
    x = inputs(rng, rows, shift)
    said = (x[:, 1] + 0.5 * x[:, 0] > 0) * 1.0
    wrong = rng.random(rows) < np.clip(0.12 + 0.09 * x[:, 0] + 0.2 * x[:, 3], 0.02, 0.9)
    return np.column_stack([x, said]), np.where(wrong, 1 - said, said)


def judged(schema: Schema, baseline: Baseline, before: Floats, live: Floats) -> dict[str, DriftResult]:
    counts, sums = flat(schema, before)
    layout = Layout(schema, baseline.harm)
    question = Question("drift", tuple(range(len(schema.columns))))
    after, after_sums = flat(schema, live)
    deviations = np.array([np.nanstd(before[:, at]) for at in range(len(schema.columns))])
    results = evaluate(
        question, layout, Sample(counts, sums, deviations), Sample(after, after_sums), Span(0.0, 2_592_000.0)
    )
    worst: dict[str, DriftResult] = {}
    for result in sorted(results, key=lambda one: (one.state == "drift", one.strength)):
        worst[result.column] = result
    return worst


def flat(schema: Schema, values: Floats) -> tuple[np.ndarray, Floats]:
    counts, sums = Binner(schema).fill(values)[0][0], np.nansum(values, axis=0)
    return counts, sums


@pytest.mark.parametrize(("schema", "draw"), [(REGRESSOR, regressed), (CLASSIFIER, classified)])
def test_harmful_and_harmless_months_are_told_apart(schema: Schema, draw: Draw) -> None:
    """56 months for each model, with the held-out rows drawn anew for each: 95 % are told apart."""
    rng = np.random.default_rng(11)
    right, said = 0, []
    for shift, harmful in CASES * 4:
        values, outcomes = draw(rng, 6000, ("", 0.0))
        baseline = baseline_of(schema, target_of(schema), values[:3000], outcomes[:3000])
        live, came = draw(rng, 3000, shift)
        result = judged(schema, baseline, values[3000:], live)[shift[0]]
        assert result.state == "drift", shift
        assert result.harm is not None
        real = float(losses(baseline.target, live[:, 4:], came).mean()) - baseline.mean_loss
        # The month is what the case says, but for the chance of two samples.
        assert real > 0.05 * baseline.mean_loss if harmful else real < 0.15 * baseline.mean_loss, (shift, real)
        said.append((shift, result.harm.effect))
        right += result.harm.effect == ("harmful" if harmful else "harmless")
    assert right >= 0.95 * len(said), said


def test_rows_out_of_range_are_not_called_harmless() -> None:
    """Held-out rows just beyond the range say nothing of rows far beyond it, which the model may be lost on."""
    rng = np.random.default_rng(13)
    values, outcomes = regressed(rng, 6000, ("", 0.0))
    baseline = baseline_of(REGRESSOR, target_of(REGRESSOR), values[:3000], outcomes[:3000])
    within = values[3000:][np.abs(values[3000:, 1]) < 2.4]
    live = within.copy()
    live[: len(live) // 4, 1] = 40.0
    assert baseline.columns["feature", "easy"].rows[EASY.value_bins - 1] > 0
    found = judged(REGRESSOR, baseline, within, live)["easy"].harm
    assert found is not None
    assert found.effect == "unknown"
    assert found.text.startswith("harm unknown: 25 % of the rows have values that the model was never tested on")


def test_a_bin_with_one_held_out_row_is_not_trusted() -> None:
    one = ByBin(*(np.array(part, dtype=float) for part in ([99, 1], [20, 0], [20, 0], [0, 0], [0, 0])))
    found = harm(one, np.array([990, 10]), np.array([500, 500]))
    assert found is not None
    assert found.loss < 0 < 0.1 < found.loss_error


def test_harm_comes_before_importance_and_strength() -> None:
    rng = np.random.default_rng(12)
    values, outcomes = regressed(rng, 6000, ("", 0.0))
    baseline = baseline_of(REGRESSOR, target_of(REGRESSOR), values[:3000], outcomes[:3000])
    baseline = Baseline(baseline.sums, "", baseline.columns, {"hard": 0.2, "easy": 0.5, "unused": 0.0, "region": 0.3})
    live = regressed(rng, 3000, ("hard", 0.6))[0]
    live[:, 1] += 0.5
    live[:, 2] += 1.5
    found = judged(REGRESSOR, baseline, values[3000:], live)
    ranked = sorted((one for one in found.values() if one.role == "feature"), key=lambda one: one.weight, reverse=True)
    assert [one.column for one in ranked] == ["hard", "easy", "unused", "region"]
    assert of_importance(at_a_glance(ranked)["importance"]) == ", 70 % of the model's importance"
    hard = found["hard"].harm
    assert hard is not None
    assert "alone; others may offset it): mean error (MAE) was " in hard.text
    assert found["hard"].to_json()["harm"]["effect"] == "harmful"
    price = found["price"].harm
    assert price is not None
    assert "mean prediction" not in price.text, "its own line says that already"
    assert found["region"].harm is None, "it has not moved"
