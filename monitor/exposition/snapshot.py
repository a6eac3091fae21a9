"""What `/metrics` is rendered from: one immutable object, published by the runtime after each fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from monitor.columns.column import Counts, Floats
from monitor.drift.result import AlertKey, DriftResult
from monitor.exposition.families import Family
from monitor.outcomes.performance import Measure
from monitor.rules.alert import Alert


@dataclass(frozen=True, slots=True)
class Latency:
    """A histogram of durations in seconds.

    `counts`: observations in (bounds[i-1], bounds[i]], not cumulative; one more, above every bound.
    """

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)
    sum: float = 0.0


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """What became of outcomes, by result, their delays, and how many predictions wait; one in `one_in` is kept."""

    results: Mapping[str, int]
    delays: Latency
    waiting: int
    one_in: int


@dataclass(frozen=True, slots=True)
class Health:
    """How the process and a model are doing. Counters are totals that continue over a restart.

    `process` and `model`: numbers of families without labels of their own. `rejected`: requests refused, by error code.
    `notifications`: attempts by (receiver, outcome), at zero from the start, so that the first failure is an increase.
    """

    process: Mapping[Family, Any] = field(default_factory=dict)
    model: Mapping[Family, Any] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    notifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    latency: Latency = field(default_factory=Latency)
    outcomes: OutcomeCounts | None = None


class ShownPerformance(NamedTuple):
    """What a rule judged of performance: the metrics of its window, its verdicts, and outcomes over predictions.

    `coverage` is None for a rule on an estimate, and without predictions.
    """

    rule: str
    measures: Mapping[str, Measure]
    coverage: float | None
    results: tuple[DriftResult, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the monitor, consistent in itself and immutable.

    `totals`: counts since the first start, shape (schema.size,), int64, never falling. `sums`: of finite values, shape
    (columns,); anything for categorical columns. `since`: when counting began, seconds since 1970 UTC. `results`: of
    the last evaluation of each rule; `performance` has more of rules on performance. What is rendered from results and
    alerts is kept while they are the same objects.
    """

    totals: Counts
    sums: Floats
    predictions: int = 0
    since: float = 0.0
    results: tuple[DriftResult, ...] = ()
    alerts: Mapping[AlertKey, Alert] = field(default_factory=dict)
    health: Health = field(default_factory=Health)
    performance: tuple[ShownPerformance, ...] = ()
