"""Rules on what is usual: the distance over its limit, as each replica exports them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from monitor.columns.column import Column, Schema
from monitor.drift.result import DriftResult, Span, State
from monitor.exposition.render import Renderer
from monitor.exposition.snapshot import Snapshot
from monitor.reference.file import Reference
from tests.compose.promtool import absent, near, needs_promtool, run, series

pytestmark = needs_promtool

SCHEMA = Schema((Column("x", "feature", "numeric", edges=(0.0,)), Column("y", "feature", "numeric", edges=(0.0,))))
DAY = Span(0.0, 86_400.0)


def verdict(column: str, state: State, **numbers: float) -> DriftResult:
    """A verdict on a day; `numbers`: value, critical, floor, scatter."""
    result = DriftResult(
        "unusual", column, "feature", "numeric", "usual 1d", state, DAY, "usual level", "v1", 900, 9000
    )
    return result._replace(**numbers)


def scraped(replica: str, *results: DriftResult) -> list[dict[str, str]]:
    """Input series of a replica with these verdicts, for ten minutes."""
    reference = Reference(SCHEMA, SCHEMA.zeros(), np.zeros(2), np.ones(2))
    snapshot = Snapshot(SCHEMA.zeros(), np.zeros(2), results=results)
    body = Renderer(reference, "v1", replica=replica).render(snapshot, openmetrics=False)
    return series([body] * 10, job="telltale", instance=f"{replica}:5000")


def expected(*expectations: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**one, "eval_time": "9m"} for one in expectations]


def firing(*found: tuple[str, str]) -> dict[str, Any]:
    """An expectation: the alert fires for these (replica, column) and no other."""
    return {
        "expr": 'count by (column, replica) (ALERTS{alertname="TelltaleUnusual", alertstate="firing"})',
        "exp_samples": [{"labels": f'{{column="{column}", replica="{at}"}}', "value": 1} for at, column in found],
    }


def test_the_larger_of_limit_and_floor_is_what_counts(tmp_path: Path) -> None:
    beyond_limit = verdict("x", "drift", value=0.24, critical=0.16, floor=0.08, scatter=0.04)
    below_floor = verdict("y", "warning", value=0.06, critical=0.03, floor=0.08, scatter=0.01)
    quiet = verdict("x", "ok", value=0.02, critical=0.2, floor=0.08)
    inputs = scraped("a", beyond_limit, below_floor) + scraped("b", quiet)
    of = 'telltale:usual_ratio{column="%s", replica="%s", statistic="usual 1d", role="feature"}'
    tests = expected(
        near(of % ("x", "a"), 1.5),
        near(of % ("y", "a"), 0.75),
        near(of % ("x", "b"), 0.1),
        near('telltale:usual_scatters{column="x", replica="a"}', 6.0),
        absent('telltale:usual_scatters{replica="b"}'),
        firing(("a", "x")),
    )
    run(tmp_path, [{"interval": "1m", "input_series": inputs, "promql_expr_test": tests}])


def test_no_verdict_and_other_statistics_say_nothing(tmp_path: Path) -> None:
    learning = verdict("x", "insufficient data")
    training = verdict("y", "drift", value=0.9, critical=0.1, floor=0.1)._replace(rule="drift", statistic="ks")
    tests = expected(absent('telltale:usual_ratio{column="x"}'), absent('telltale:usual_ratio{rule="drift"}'), firing())
    inputs = scraped("a", learning, training)
    run(tmp_path, [{"interval": "1m", "input_series": inputs, "promql_expr_test": tests}])
