"""Performance of one model, live: outcomes of ripe hours against the performance on held-out rows.

An hour is ripe once outcomes of its age have come, by the delays that were seen. `Performance.judge` runs on the
writer's thread in the transaction of an evaluation; what a verdict rests on is stored beside it, because the sums of an
hour go on changing.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.columns.column import Column, Counts
from monitor.drift.result import AlertKey, DriftResult, Span
from monitor.outcomes.join import DELAYS
from monitor.outcomes.results import COLUMN, holdout_name, judge_outcomes, layout_of
from monitor.outcomes.sums import Sums
from monitor.outcomes.verdict import Asked, auto_metrics, dispersions
from monitor.rules.rule import PERFORMANCE, Rule
from monitor.series import Series
from monitor.store.records import outcomes as outcome_store
from monitor.store.records.performance import save_judged
from monitor.store.windows.ranges import find_tiles

HOUR = 3600.0

#: Part of the outcomes that must have come before an hour is judged, and a delay so short that the open hour is, too.
SETTLED, SOON = 0.95, 300.0

#: Seconds between two verdicts on performance that are stored, unless a state changes.
STORE_EVERY = HOUR

NO_BASELINE = (
    "the reference has no performance on held-out rows; `telltale reference --target COLUMN --holdout FILE` adds it"
)


def settle_time(delays: Counts) -> float:
    """Age in seconds by which 95 % of the outcomes had come: the upper bound of that bin of delays; 0 without any.

    >>> settle_time(np.array([0, 90, 4, 6] + [0] * (len(DELAYS) - 3)))
    5.623
    """
    total = delays.sum()
    if not total:
        return 0.0
    place = int(np.searchsorted(np.cumsum(delays), SETTLED * total))
    return float((*DELAYS, DELAYS[-1])[place])


def ripe_until(now: float, settle: float) -> float:
    """End of the hours that are judged at `now`: the whole ones that have settled, or all if outcomes come at once.

    >>> ripe_until(10_000.0, 0.0), ripe_until(10_000.0, 1000.0), ripe_until(10_000.0, 4000.0)
    (10800.0, 7200.0, 3600.0)
    """
    if settle <= SOON:
        return (math.floor(now / HOUR) + 1) * HOUR
    return math.floor((now - settle) / HOUR) * HOUR


def whole_hours(span: Span) -> Span:
    """Widen a period to whole hours, of which the sums are.

    >>> whole_hours(Span(3601.0, 7200.0))
    Span(start=3600.0, end=7200.0)
    """
    return Span(span.start // HOUR * HOUR, -(-span.end // HOUR) * HOUR)


@dataclass(frozen=True)
class JudgedPerformance:
    """One rule's verdict on performance. `total`: the sums of its window, which has so many `predictions`.

    `settle`: see `settle_time`.
    `fresh`: it is stored; in between, only what is shown is renewed.
    """

    rule: Rule
    window: Span
    total: Sums
    results: tuple[DriftResult, ...]
    predictions: int
    settle: float = 0.0
    fresh: bool = True


class Performance:
    """Judges the outcomes of one series by the rules for performance."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._target = series.reference.target
        self._layout = layout_of(self._target)
        self._name = holdout_name(series.reference.identity)
        #: By rule: when its verdict was stored last, and with which states.
        self._stored: dict[str, tuple[float, tuple[str, ...]]] = {}

    def keys(self, rule: Rule) -> list[AlertKey]:
        """Alerts that a rule can have."""
        names = [COLUMN, *(column.name for column in self._drifting(rule))]
        subject = self._series.subject
        return [AlertKey(rule.name, subject.model, subject.series, "outcome", name) for name in names]

    def _drifting(self, rule: Rule) -> Sequence[Column]:
        return self._target.columns if rule.statistic == PERFORMANCE and self._series.reference.baseline else ()

    def judge(self, connection: sqlite3.Connection, rule: Rule, now: float) -> list[JudgedPerformance]:
        """Judge the last ripe hours, as many as the rule's window has: one verdict, in a list as of any rule."""
        settle = settle_time(outcome_store.read_delays(connection, self._series)[0])
        end = ripe_until(now, settle)
        found, asked = self.look(connection, rule, Span(end - math.ceil(rule.window / HOUR) * HOUR, end), settle)
        if asked is None:
            return [found]
        states = tuple(result.state for result in found.results)
        at, before = self._stored.get(rule.name, (-math.inf, ()))
        fresh = states != before or now - at >= STORE_EVERY
        if fresh:
            save_judged(connection, now, self._series, rule.name, found.window, asked, found.total)
            self._stored[rule.name] = now, states
        return [replace(found, fresh=fresh)]

    def look(
        self, connection: sqlite3.Connection, rule: Rule, window: Span, settle: float = 0.0
    ) -> tuple[JudgedPerformance, Asked | None]:
        """Judge the outcomes of a window, and keep nothing; with what was asked, None if there is no baseline."""
        hours = [*outcome_store.read_sums(connection, self._series, window.start, window.end).values()]
        total = sum(hours, Sums.zero(self._target))
        predictions = sum(tile.n for tile in find_tiles(connection, self._series.id, window.start, window.end))
        baseline = self._series.reference.baseline
        if baseline is None:
            results: tuple[DriftResult, ...] = (self._unknown(rule, window, total),)
            return JudgedPerformance(rule, window, total, results, predictions, settle, fresh=False), None
        asked = self.asked(rule, hours)
        results = judge_outcomes(
            baseline, self._name, self._layout, rule.name, asked, total, window, self._series.subject
        )
        return JudgedPerformance(rule, window, total, results, predictions, settle, fresh=False), asked

    def asked(self, rule: Rule, hours: Sequence[Sums]) -> Asked:
        """What a rule asks, with what is known of the hours."""
        auto = rule.statistic == PERFORMANCE
        metrics = auto_metrics(self._target) if auto else (rule.statistic,)
        floors = {} if rule.floor is None or auto else {rule.statistic: rule.floor}
        return Asked(metrics, rule.alpha, floors, rule.min_samples, dispersions(hours, metrics), auto)

    def _unknown(self, rule: Rule, window: Span, total: Sums) -> DriftResult:
        subject = self._series.subject
        return DriftResult(
            *(rule.name, COLUMN, "outcome", "numeric", rule.statistic, "no reference", window, ""),
            subject.version,
            n=total.n,
            reason=NO_BASELINE,
            model=subject.model,
            series=subject.series,
        )
