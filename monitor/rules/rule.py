"""A rule: which columns, which statistic, over which window, against what, and when it becomes an alert."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from monitor.clock import from_iso
from monitor.drift.result import Span
from monitor.errors import ConfigError
from monitor.outcomes.performance import ESTIMABLE, ESTIMATED, METRICS

#: The statistic of a rule that judges the model by its usual metrics, and the outcomes as columns.
PERFORMANCE = "performance"

#: The statistic of a rule that judges whether predictions come at all.
TRAFFIC = "traffic"

#: All statistics of rules for performance, but for those of one class.
PERFORMANCE_STATISTICS = (PERFORMANCE, *METRICS, *(ESTIMATED + name for name in ESTIMABLE))

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")

TRAINING = "training"

#: What the last weeks let expect of a column at this hour: its own expected histogram.
USUAL = "usual"


@lru_cache(maxsize=1024)  # asked of each verdict, and there are few statistics
def is_performance(statistic: str) -> bool:
    """Whether a statistic is `performance`, or a metric, maybe of one class, maybe estimated.

    >>> [is_performance(name) for name in ("performance", "mae", "recall[yes]", "ks", "mae[yes")]
    [True, True, True, False, False]
    >>> [is_performance(f"estimated {name}") for name in ("mae", "recall[yes]", "r2", "performance")]
    [True, True, False, False]
    """
    name, bracket, _ = statistic.removeprefix(ESTIMATED).partition("[")
    known = name in (ESTIMABLE if is_estimated(statistic) else METRICS)
    return statistic == PERFORMANCE or (known and bool(bracket) == statistic.endswith("]"))


def is_estimated(statistic: str) -> bool:
    """Whether a statistic is a metric that is estimated without outcomes."""
    return statistic.startswith(ESTIMATED)


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[rule]]` of config.toml, durations in seconds: `RULE_SETTINGS` says what its keys mean.

    `hold` is the key `for`, `keep_firing` is `keep_firing_for`, and `lengths` is `window` of a rule that compares with
    `usual`: the lengths of its windows in hours, () for those that the traffic suggests. Its `alerts` replace
    `alpha`. `benign`: of `[drift]`.
    """

    name: str
    columns: tuple[str, ...] = ()
    statistic: str = "auto"
    window: float = 1800.0
    reference: str = "training"
    alpha: float = 0.00015
    floor: float | None = None
    min_samples: int = 50
    max_age: float = 0.0
    independent: bool = False
    hold: float = 0.0
    keep_firing: float = 300.0
    reopen: float = 900.0
    alerts: float = 1.0
    lengths: tuple[int, ...] = ()
    severity: Severity = "warning"
    benign: str = "tell"
    labels: dict[str, str] = field(default_factory=dict)
    receivers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def judges(self, model: str) -> bool:
        """Whether it is meant for a model."""
        return not self.models or model in self.models

    @property
    def performance(self) -> bool:
        """Whether it judges the model, and no columns: its statistic is `performance` or the name of a metric."""
        return is_performance(self.statistic)

    @property
    def traffic(self) -> bool:
        """Whether it judges if predictions come at all."""
        return self.statistic == TRAFFIC

    @property
    def estimated(self) -> bool:
        """Whether it judges what is estimated of performance, and needs no outcomes."""
        return is_estimated(self.statistic)

    @property
    def by_outcomes(self) -> bool:
        """Whether it judges outcomes, and needs [outcomes]."""
        return self.performance and not self.estimated

    @property
    def fixed(self) -> bool:
        """Whether it compares counts of columns with a fixed reference: training data, or a period."""
        return self.reference != USUAL and not self.performance and not self.traffic


def boxkite(alpha: float = 0.00015, min_samples: int = 50) -> tuple[Rule, ...]:
    """Rules of Boxkite's dashboard: on the predictions, over 30 minutes, `for` 5 minutes, resolved at once.

    The thresholds are its tutorial's: K-S above 0.5, its symmetric KL (here `psi`, in nats) above 1. They are meant to
    be evaluated every minute. Unlike there, an empty or small window is no alert, and both sides are counted over the
    same bins. `ks` applies to a numeric prediction, `psi` to any.
    """
    first = Rule("boxkite-ks", ("role:prediction",), "ks", alpha=alpha, floor=0.5, min_samples=min_samples)
    first = replace(first, independent=True, hold=300.0, keep_firing=0.0)
    return first, replace(first, name="boxkite-kl", statistic="psi", floor=1.0)


def reference_span(reference: str) -> Span | None:
    """Period of past production that a rule's `reference` names; None for `training` and `usual`.

    Raises ConfigError for a text that names no period.

    >>> reference_span("1970-01-01/1970-01-02")
    <Span 1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z>
    """
    if reference in (TRAINING, USUAL):
        return None
    first, _, last = reference.partition("/")
    try:
        span = Span(from_iso(first), from_iso(last))
    except ValueError:
        span = Span(0.0, 0.0)
    if span.end <= span.start:
        raise ConfigError(f'expected "{USUAL}", "{TRAINING}" or "FROM/TO" in ISO 8601, got {reference!r}')
    return span
