"""A small model with every kind of column, and a snapshot of it with everything in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.columns.column import Column, Schema
from monitor.drift.result import DriftResult, Span
from monitor.exposition import families as f
from monitor.exposition.snapshot import Health, Latency, OutcomeCounts, ShownPerformance, Snapshot
from monitor.instruments import SECONDS
from monitor.outcomes.baseline import Baseline
from monitor.outcomes.performance import measure
from monitor.outcomes.sums import Sums, contribute
from monitor.reference.file import Reference, ReferenceInfo
from monitor.rules.alert import Alert

#: Names that have broken a reader of some format before.
HOSTILE = ('a"b\\c', "line\nbreak", "<script>alert(1)</script>", "'; DROP TABLE x", "\x1b[31mred", "__name__", "=cmd()")


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema(
        (
            Column("bmi", "feature", "numeric", edges=(-0.1, 0.0, 0.1)),
            Column("income", "feature", "numeric", edges=(0.0, 50_000.0, 3_226_414.69)),
            Column("debt", "feature", "numeric", edges=(-3_226_414.69, -5.0)),
            Column(HOSTILE[0], "feature", "categorical", categories=("2", "setosa", *HOSTILE)),
            Column("bmi", "prediction", "categorical", categories=("no", "yes")),
        )
    )


@pytest.fixture(scope="session")
def reference(schema: Schema) -> Reference:
    counts = np.arange(schema.size, dtype=np.int64) * 7
    sums = np.array([1.5, 4e9, -1e7, np.nan, np.nan])
    deviations = np.array([0.05, 1e6, 3.0, np.nan, np.nan])
    info = ReferenceInfo("abc", "2026-01-01T00:00:00Z", 309, versions={"scikit-learn": "1.9.0"})
    plain = Reference(schema, counts, sums, deviations, info)
    return replace(plain, baseline=Baseline(outcomes(plain, wrong=10)))


def outcomes(reference: Reference, wrong: int) -> Sums:
    """100 outcomes, so many of them wrong."""
    answers = np.arange(100) % 2.0
    return contribute(reference.target, answers[:, None], np.where(np.arange(100) < wrong, 1 - answers, answers))


@pytest.fixture(scope="session")
def snapshot(schema: Schema, reference: Reference) -> Snapshot:
    totals = (np.arange(schema.size, dtype=np.int64) * 123_457) % 3_000_000
    results = tuple(
        DriftResult(
            rule, "bmi", "feature", "numeric", "ks", "drift", Span(0, 1800), "training", "v1", 900, 309, 0.4, 0.1, 0.1
        )._replace(scatter=0.05)
        for rule in ("default", HOSTILE[0])
    )
    silent = DriftResult("default", "debt", "feature", "numeric", "ks", "no traffic", Span(0, 1), "training", "v1")
    judged = DriftResult(
        *("performance", "performance", "outcome", "numeric", "accuracy", "drift", Span(0, 3600), "holdout", "v1"),
        *(100, 100, 0.2, 0.11, 0.03),
    )
    performance = ShownPerformance("performance", measure(outcomes(reference, wrong=30)), 0.25, (judged,))
    alerts = [
        Alert("default", "bmi", "feature", "firing"),
        Alert("default", "bmi", "prediction"),
        Alert("performance", "performance", "outcome"),
    ]
    numbers = (f.CAPTURE_DROPPED, f.GAPS, f.JOURNAL_BYTES, f.DATABASE_BYTES, f.EVALUATIONS, f.EVALUATION_LATE)
    process = dict.fromkeys((*numbers, f.WAITING, f.DEAD_LETTERS), 0)
    health = Health(
        process={**process, f.FOLD_LAG: 0.25, f.EVALUATION_TIME: 1_700_000_000.5, f.EVALUATION_EVERY: 60.0},
        model={f.MODEL_ERRORS: 0, f.REPEATED: 0},
        latency=Latency(SECONDS, tuple(range(14)), 1.25),
        rejected={"bad_json": 3},
        notifications={("team", "sent"): 2, ("team", "failed"): 0},
        outcomes=OutcomeCounts({"joined": 4}, Latency(SECONDS, tuple(range(14)), 900.0), 12, 2),
    )
    return Snapshot(
        totals,
        np.array([2.5, 1e12, -3e7, np.nan, np.nan]),
        1_234_567,
        1_690_000_000.0,
        (*results, silent, judged),
        {alert.key: alert for alert in alerts},
        health,
        (performance,),
    )
