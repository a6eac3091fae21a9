"""PromQL and the process answer the same numbers from the same counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from monitor.columns.column import Column, Counts, Schema
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import DriftResult, Span
from monitor.drift.statistics import AUTO
from monitor.exposition.render import Renderer
from monitor.exposition.snapshot import Snapshot
from monitor.reference.file import Reference
from tests.compose.promtool import LONG_AGO, absent, near, needs_promtool, run, series

SCHEMA = Schema(
    (
        Column("bmi", "feature", "numeric", edges=(-0.1, -0.02, 0.0, 0.03, 0.1)),
        Column("income", "feature", "numeric", edges=(-3_226_414.69, 0.0, 50_000.0, 3_226_414.69)),
        Column('c"o\\l', "feature", "categorical", categories=("2", "a b", "")),
        Column("rare", "feature", "categorical", categories=tuple(f"k{i}" for i in range(30))),
        Column("y", "prediction", "categorical", categories=("no", "yes")),
    )
)


def counts(rng: np.random.Generator, rows: int, shift: float) -> Counts:
    """Counts of `rows` rows for every column, moved to later bins the larger `shift` is."""
    out = []
    for column in SCHEMA.columns:
        weights = rng.dirichlet(np.ones(column.size)) + shift * np.linspace(0, 1, column.size) ** 4
        out.append(rng.multinomial(rows, weights / weights.sum()))
    return np.concatenate(out)


def results(reference: Counts, test: Counts, alpha: float) -> list[DriftResult]:
    """The process's own answers for what PromQL works out, with alpha as it is given."""
    sums, out = np.zeros(len(SCHEMA.columns)), []
    for statistic in ("ks", "kl", "psi", "missing"):
        # One column a question and statistic, so that nothing is shared out.
        for i in range(len(SCHEMA.columns)):
            question = Question("r", (i,), statistic, alpha=alpha)
            out += evaluate(question, Layout(SCHEMA), Sample(reference, sums), Sample(test, sums), Span(0, 1800))
    return out


@needs_promtool
@pytest.mark.parametrize(("seed", "shift", "rows"), [(1, 0.0, 400), (2, 0.5, 2_000), (3, 3.0, 60)])
def test_three_replicas_give_what_the_process_says_of_the_pooled_counts(
    tmp_path: Path, seed: int, shift: float, rows: int
) -> None:
    rng = np.random.default_rng(seed)
    expected_rows = counts(rng, 5_000, 0.0)
    reference = Reference(SCHEMA, expected_rows, np.zeros(5), np.ones(5))
    renderers = [Renderer(reference, "v1", alpha=0.01, replica=f"r{i}") for i in range(3)]
    share = 0.01 / sum(len(AUTO[column.kind]) for column in SCHEMA.columns)
    parts = [counts(rng, rows // 3, shift) for _ in range(3)]
    inputs = []
    for i, (part, renderer) in enumerate(zip(parts, renderers, strict=True)):
        before = rng.integers(0, 10_000, SCHEMA.size)  # what each had counted earlier does not matter
        moments = [Snapshot(before + part * k // 4, np.zeros(5), since=LONG_AGO) for k in range(5)]
        scrapes = [renderer.render(moment, i % 2 == 0) for moment in moments]
        # The second one restarts in the middle and is not there for one scrape.
        inputs += series(
            [*scrapes[:2], None if i == 1 else scrapes[2], *scrapes[3:]], job="telltale", instance=f"{i}:1"
        )
    expectations = []
    found = results(expected_rows, sum(parts), share)
    for result in found:
        name = result.column.replace("\\", r"\\").replace('"', r"\"")
        which = f'{{job="telltale",column="{name}",role="{result.role}",statistic="{result.statistic}"}}'
        if result.value is None:
            expectations.append(absent(f"telltale:drift:30m{which}"))
            continue
        assert result.critical is not None
        expectations.append(near(f"telltale:drift:30m{which}", result.value))
        if result.statistic == "ks":
            expectations.append(near(f"telltale:drift_critical:30m{which}", result.critical))
        elif result.statistic in ("kl", "psi"):
            k = SCHEMA.columns[SCHEMA.index(result.column, result.role)].size
            scale = 0.5 if result.statistic == "kl" else 1.0
            textbook = float(chi2.isf(share, k - 1)) * (1 / result.n + 1 / result.m) * scale
            # Exactly the textbook's where that is right, and an approximation where the process corrects it.
            tolerance = 1e-6 if result.critical <= textbook * (1 + 1e-9) else 0.12 * result.critical
            expectations.append(near(f"telltale:drift_critical:30m{which}", result.critical, tolerance))
    assert {result.statistic for result in found} == {"ks", "kl", "psi", "missing"}
    run(
        tmp_path,
        [
            {
                "interval": "1m",
                "input_series": inputs,
                "promql_expr_test": [{**e, "eval_time": "4m"} for e in expectations],
            }
        ],
    )
