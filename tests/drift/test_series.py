"""Many windows at once give the verdicts that `evaluate` gives one by one."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.columns.column import Column, Schema
from monitor.drift.evaluate import AHEAD, Answers, Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import DriftResult, Span, Subject

SCHEMA = Schema(
    (
        Column("x", "feature", "numeric", edges=tuple(float(x) for x in range(-3, 4))),
        Column("flat", "feature", "numeric", edges=(0.0,)),
        Column("kind", "feature", "categorical", categories=("a", "b", "c")),
        Column("y", "prediction", "numeric", edges=(-1.0, 0.0, 1.0)),
    )
)
LAYOUT = Layout(SCHEMA)
DEVIATIONS = np.array([1.0, np.nan, np.nan, 0.5])


def counts(rng: np.random.Generator, rows: int, drift: float) -> tuple[np.ndarray, np.ndarray]:
    """One window, with as much drift as asked for; `flat` fills a single bin, some values are missing."""
    out = []
    for column in SCHEMA.columns:
        shares = np.arange(1.0, column.size + 1)
        if column.name == "flat":
            shares[:] = 0
            shares[0] = 1
        else:
            shares[0] += drift * column.size
        out.append(rng.multinomial(rows, shares / shares.sum()))
    return np.concatenate(out), rng.normal(size=len(SCHEMA.columns)) * rows


def numbers(result: DriftResult) -> tuple[object, ...]:
    return (result.rule, result.column, result.role, result.statistic, result.n, result.m, result.window)


@pytest.mark.parametrize("statistic", ["auto", "all", "psi"])
@pytest.mark.parametrize("moving", [False, True], ids=["one reference", "a reference for each window"])
def test_the_same_as_one_by_one(statistic: str, moving: bool) -> None:
    rng = np.random.default_rng(3)
    windows = [
        counts(rng, rows, drift) for rows in (0, 10, 60, 500) for drift in (0.0, 0.3, 5.0) for _ in range(AHEAD // 8)
    ]
    references = [counts(rng, 400, 0.0) for _ in windows] if moving else [counts(rng, 400, 0.0)]
    question = Question("rule", (3, 0, 1, 2), statistic, alpha=0.01, min_samples=50)
    spans = [Span(60.0 * k, 60.0 * k + 60) for k in range(len(windows))]
    answers = Answers(
        question,
        LAYOUT,
        Sample(*(np.array(part) if moving else part[0] for part in zip(*references, strict=True)), DEVIATIONS),
        Sample(*(np.array(part) for part in zip(*windows, strict=True))),
        spans,
        [("training",) * 4] * len(windows),
        Subject(version="v1"),
    )
    drifts, (loud, judged) = 0, answers.overview
    for k, (test, sums) in enumerate(windows):
        reference = Sample(*references[k if moving else 0], DEVIATIONS)
        expected = evaluate(question, LAYOUT, reference, Sample(test, sums), spans[k], (), Subject(version="v1"))
        found = answers.results(k)
        assert [numbers(one) for one in found] == [numbers(one) for one in expected]
        assert [one.state for one in found] == [one.state for one in expected]
        for one, other in zip(found, expected, strict=True):
            for name in ("value", "critical", "floor", "p_value"):
                a, b = getattr(one, name), getattr(other, name)
                assert (a is None) == (b is None)
                assert a is None or a == pytest.approx(b, rel=1e-12)
            assert one.reason == other.reason
            assert one.direction == other.direction
            assert one.contributions == other.contributions
        drift = any(one.state == "drift" for one in expected)
        assert loud[k] or not drift
        assert judged[k] == sum(one.value is not None for one in expected)
        assert answers.size == len(expected)
        drifts += drift
    assert 0 < drifts < len(windows)
    assert not loud.all()
