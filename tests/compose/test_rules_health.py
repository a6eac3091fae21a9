"""Rules on Telltale itself: each fires when it should, and none does on a healthy process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from monitor.columns.column import Column, Schema
from monitor.exposition import families as f
from monitor.exposition.families import Family
from monitor.exposition.render import Renderer
from monitor.exposition.snapshot import Health, Snapshot
from monitor.reference.file import Reference
from tests.compose.promtool import needs_promtool, run, series

pytestmark = needs_promtool

ALERTS = (
    "TelltaleDown",
    "TelltaleAbsent",
    "TelltaleReplicaTwice",
    "TelltaleCaptureDropping",
    "TelltaleFoldLagging",
    "TelltaleEvaluationsLate",
    "TelltaleDeliveriesDead",
    "TelltaleDeliveriesWaiting",
    "TelltaleModelErrors",
    "TelltaleSeriesDropped",
)
MINUTES = 20

#: Numbers of a process that is well.
WELL = dict.fromkeys((f.CAPTURE_DROPPED, f.FOLD_LAG, f.EVALUATION_LATE, f.WAITING, f.DEAD_LETTERS, f.MODEL_ERRORS), 0.0)
WELL[f.EVALUATION_EVERY] = 60.0


def after(healths: list[Health], up: str | None = "1", max_series: int = 10_000) -> list[dict[str, str]]:
    """What is scraped, given how the process is minute by minute."""
    schema = Schema((Column("x", "feature", "numeric", edges=(0.0,)),))
    renderer = Renderer(Reference(schema, schema.zeros(), np.zeros(1), np.ones(1)), "v1", max_series=max_series)
    bodies = [
        renderer.render(Snapshot(schema.zeros(), np.zeros(1), health=health), openmetrics=True) for health in healths
    ]
    found = [] if up is None else [{"series": 'up{job="telltale",instance="a:1"}', "values": f"{up}x{MINUTES}"}]
    return found + (series(bodies, job="telltale", instance="a:1") if up == "1" else [])


def at(evaluated: float, facts: Mapping[Family, float] = MappingProxyType({})) -> Health:
    """A process that evaluated last at a moment and is otherwise as `facts` say, or well."""
    process = {**WELL, f.EVALUATION_TIME: evaluated, f.EVALUATIONS: evaluated // 60, **facts}
    failed = process.pop(f.MODEL_ERRORS)
    return Health(process, {f.MODEL_ERRORS: failed})


def steady(facts: Mapping[Family, float] = MappingProxyType({})) -> list[Health]:
    """A process that evaluates every minute and is otherwise as `facts` say."""
    return [at(minute * 60.0, facts) for minute in range(MINUTES + 1)]


def stuck() -> list[Health]:
    return [at(300.0)] * (MINUTES + 1)


def counting(family: Family) -> list[Health]:
    return [at(minute * 60.0, {family: minute}) for minute in range(MINUTES + 1)]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (after(steady()), set()),
        (after([], up="0"), {"TelltaleDown"}),
        (after([], up=None), {"TelltaleAbsent"}),
        (after(counting(f.CAPTURE_DROPPED)), {"TelltaleCaptureDropping"}),
        (after(counting(f.MODEL_ERRORS)), {"TelltaleModelErrors"}),
        (after(steady({f.FOLD_LAG: 120.0})), {"TelltaleFoldLagging"}),
        (after(stuck()), {"TelltaleEvaluationsLate"}),
        (after(steady({f.EVALUATION_LATE: 200.0})), {"TelltaleEvaluationsLate"}),
        (after(steady({f.DEAD_LETTERS: 2})), {"TelltaleDeliveriesDead"}),
        (after(steady({f.WAITING: 1})), {"TelltaleDeliveriesWaiting"}),
        (after(steady(), max_series=210), {"TelltaleSeriesDropped"}),
    ],
)
def test_what_fires(tmp_path: Path, inputs: list[dict[str, str]], expected: set[str]) -> None:
    expectation = {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": f"{MINUTES}m",
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(expected)],
    }
    assert expected <= set(ALERTS)
    run(tmp_path, [{"interval": "1m", "input_series": inputs, "promql_expr_test": [expectation]}])


def mended(bad: list[Health], minutes: int) -> list[dict[str, str]]:
    """What is scraped of a process in trouble for so many minutes, and healthy until forty have passed."""
    last = bad[minutes - 1]
    kept = {f.CAPTURE_DROPPED: last.process[f.CAPTURE_DROPPED], **last.model}
    good = [at(minute * 60.0, kept) for minute in range(minutes, 41)]
    up, *others = after(bad[:minutes] + good)
    return [{**up, "values": "1x40"}, *others]


@pytest.mark.parametrize(
    ("inputs", "minutes", "alert"),
    [
        (mended(counting(f.CAPTURE_DROPPED), 10), 10, "TelltaleCaptureDropping"),
        (mended(counting(f.MODEL_ERRORS), 10), 10, "TelltaleModelErrors"),
        (mended(steady({f.FOLD_LAG: 120.0}), 10), 10, "TelltaleFoldLagging"),
        (mended([at(30.0)] * 10, 10), 10, "TelltaleEvaluationsLate"),
        (mended(steady({f.EVALUATION_LATE: 200.0}), 10), 10, "TelltaleEvaluationsLate"),
        (mended(steady({f.DEAD_LETTERS: 2}), 10), 10, "TelltaleDeliveriesDead"),
        (mended(steady({f.WAITING: 1}), 20), 20, "TelltaleDeliveriesWaiting"),
        ([{"series": 'up{job="telltale",instance="a:1"}', "values": "0x9 1x30"}], 10, "TelltaleDown"),
    ],
)
def test_it_fires_in_trouble_and_resolves_after_it(
    tmp_path: Path, inputs: list[dict[str, str]], minutes: int, alert: str
) -> None:
    firing = f'sum(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    expectations = [
        {"expr": firing, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": count}]}
        for minute, count in ((minutes - 1, 1), (40, 0))
    ]
    run(tmp_path, [{"interval": "1m", "input_series": inputs, "promql_expr_test": expectations}])
