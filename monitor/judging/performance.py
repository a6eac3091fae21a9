"""Performance of one model, live: outcomes of ripe hours, or estimates without, against the held-out rows.

An hour is ripe once outcomes of its age have come, by the delays that were seen. `Performance.judge` runs on the
writer's thread in the transaction of an evaluation; what a verdict rests on is stored beside it, because the sums of an
hour go on changing.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from monitor.clock import DAY, HOUR, iso
from monitor.columns.column import Counts
from monitor.drift.result import AlertKey, DriftResult, Span
from monitor.outcomes.estimates import bins_by_prediction, bins_of, coarse, estimate, inflation
from monitor.outcomes.join import DELAYS
from monitor.outcomes.performance import ESTIMATED, Measure, measure, metric_name
from monitor.outcomes.results import COLUMN, holdout_name, judge_estimated, judge_outcomes, layout_of
from monitor.outcomes.sums import Sums
from monitor.outcomes.verdict import Asked, auto_metrics, dispersions
from monitor.rules.rule import PERFORMANCE, Rule
from monitor.series import Series
from monitor.store.records import outcomes as outcome_store
from monitor.store.records.performance import judge_again, read_judged, save_judged
from monitor.store.windows.ranges import Tile, find_tiles, sum_tiles

#: Part of the outcomes that must have come before an hour is judged, and a delay so short that the open hour is, too.
SETTLED, SOON = 0.95, 300.0

#: Seconds between two verdicts on performance that are stored, unless a state changes.
STORE_EVERY = HOUR

NO_BASELINE = (
    "the reference has no performance on held-out rows; `telltale init --target COLUMN --holdout FILE` adds it"
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
        return (now // HOUR + 1) * HOUR
    return (now - settle) // HOUR * HOUR


def judged_until(rule: Rule, now: float, settle: float) -> float:
    """End of the hours that a rule judges at `now`: an estimate waits for no outcomes, but for the end of the hour."""
    return now // HOUR * HOUR if rule.estimated else ripe_until(now, settle)


def whole_hours(span: Span) -> Span:
    """Widen a period to whole hours, of which the sums are.

    >>> whole_hours(Span(3601.0, 7200.0))
    <Span 1970-01-01T01:00:00Z to 1970-01-01T02:00:00Z>
    """
    return Span(span.start // HOUR * HOUR, -(-span.end // HOUR) * HOUR)


@dataclass(frozen=True)
class JudgedPerformance:
    """One rule's verdict on performance. `total`: the sums of its window, which has `predictions` predictions.

    `settle`: see `settle_time`. `rests`: what it rests on, as it is stored.
    `fresh`: it is stored; in between, only what is shown is renewed. `estimates`: of a rule on an estimate, by name.
    """

    rule: Rule
    window: Span
    total: Sums
    results: tuple[DriftResult, ...]
    predictions: int
    settle: float = 0.0
    fresh: bool = True
    rests: str = ""
    estimates: Mapping[str, Measure] = field(default_factory=dict)

    @cached_property
    def measures(self) -> Mapping[str, Measure]:
        """Every metric that is known of the window: by outcomes, or estimated."""
        return self.estimates if self.rule.estimated else measure(self.total)

    @property
    def coverage(self) -> float | None:
        """Outcomes over predictions; None without predictions, and of an estimate, which needs no outcomes."""
        return None if self.rule.estimated or not self.predictions else self.total.n / self.predictions


class Performance:
    """Judges the outcomes of one series, or what is estimated of it, by the rules for performance."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._target = series.reference.target
        self._layout = layout_of(self._target)
        self._name = holdout_name(series.reference.identity)
        #: By rule: when its verdict was stored last, and with which states.
        self._stored: dict[str, tuple[float, tuple[str, ...]]] = {}
        #: By rule on an estimate: its last windows, each with its predictions by bin of the answer.
        self._tiles: dict[str, dict[Tile, Counts | None]] = {}

    def keys(self, rule: Rule) -> list[AlertKey]:
        """Alerts that a rule can have: on performance, and on what came true if there is a baseline."""
        drifting = rule.statistic == PERFORMANCE and self._series.reference.baseline
        names = [COLUMN, *(column.name for column in (self._target.columns if drifting else ()))]
        return [self._series.subject.alert(rule.name, "outcome", name) for name in names]

    def judge(self, connection: sqlite3.Connection, rule: Rule, now: float) -> list[JudgedPerformance]:
        """Judge the last ripe hours, as many as the rule's window has: one verdict, in a list as of any rule."""
        settle = settle_time(outcome_store.read_delays(connection, self._series)[0])
        end = judged_until(rule, now, settle)
        window = Span(end - math.ceil(rule.window / HOUR) * HOUR, end)
        judged, asked = self.judge_window(connection, rule, window, settle)
        if asked is None:
            return [judged]
        states = tuple(result.state for result in judged.results)
        at, before = self._stored.get(rule.name, (-math.inf, ()))
        fresh = states != before or now - at >= STORE_EVERY
        if fresh:
            save_judged(connection, now, self._series, rule.name, judged.window, asked, judged.rests)
            self._stored[rule.name] = now, states
        return [replace(judged, fresh=fresh)]

    def judge_window(
        self, connection: sqlite3.Connection, rule: Rule, window: Span, settle: float = 0.0
    ) -> tuple[JudgedPerformance, Asked | None]:
        """Judge a window, and keep nothing; with what was asked, None if there is nothing to compare with."""
        series, baseline = self._series, self._series.reference.baseline
        predictions = sum(tile.n for tile in find_tiles(connection, series.id, window.start, window.end))
        total, hours = Sums.zero(self._target), []
        if not rule.estimated:
            hours = [*outcome_store.read_sums(connection, series, window.start, window.end).values()]
            total = sum(hours, total)
        judged = JudgedPerformance(rule, window, total, (), predictions, settle, fresh=False)
        if baseline is None:
            return replace(judged, results=(self._unknown(rule, window, total.n, NO_BASELINE),)), None
        metric, held_out = rule.statistic.removeprefix(ESTIMATED), coarse(series.schema, baseline.target, baseline.sums)
        known = metric == PERFORMANCE or metric in measure(held_out)
        if not known or (rule.estimated and metric not in estimate(held_out, bins_of(held_out))[0]):
            why = f"the held-out rows have no {metric_name(rule.statistic)}"
            return replace(judged, results=(self._unknown(rule, window, total.n, why),)), None
        about = rule.name, window, series.subject
        if rule.estimated:
            by_hour = self._by_hour(connection, rule, window, len(bins_of(held_out)))
            rows, phi = by_hour.sum(axis=0), {rule.statistic: inflation(held_out, by_hour, metric)}
            asked = replace(self.asked(rule, ()), dispersions=phi)
            results = judge_estimated(baseline, self._name, series.schema, asked, rows, *about)
            estimates = {ESTIMATED + name: measure for name, measure in estimate(held_out, rows)[0].items()}
            return replace(judged, results=results, rests=json.dumps(rows.tolist()), estimates=estimates), asked
        asked = self.asked(rule, hours)
        results = judge_outcomes(baseline, self._name, self._layout, asked, total, *about)
        return replace(judged, results=results, rests=total.to_json()), asked

    def rejudge(self, connection: sqlite3.Connection, rule: Rule, start: float, end: float) -> list[JudgedPerformance]:
        """Judge again the last verdict from `start` to `end`, or the one that still held, from what it rests on."""
        since = min(start, end - 2 * STORE_EVERY)
        stored = read_judged(connection, self._series.model, rule.name, iso(end), iso(since))
        if stored is None or stored[0] != self._series.id:
            return []
        _, window, asked, rests = stored
        judged, _ = self.judge_window(connection, rule, window)
        judged = replace(judged, results=judge_again(self._series, rule.name, window, asked, rests))
        return [judged if rule.estimated else replace(judged, total=Sums.from_json(self._target, rests))]

    def _by_hour(self, connection: sqlite3.Connection, rule: Rule, window: Span, bins: int) -> Counts:
        """Predictions of a window by hour and bin of the answer, shape (hours, bins)."""
        known, kept, series = self._tiles.get(rule.name, {}), {}, self._series
        # Of a whole day there would be one row.
        halves = np.arange(window.start, window.end, DAY / 2).tolist()
        spans = [(begin, min(begin + DAY / 2, window.end)) for begin in halves]
        tiles = [tile for span in spans for tile in find_tiles(connection, series.id, *span)]
        for tile in tiles:
            rows = known.get(tile)
            if rows is None:
                rows = bins_by_prediction(series.schema, self._target, sum_tiles(connection, series, [tile]).counts)
            kept[tile] = rows
        self._tiles[rule.name] = kept
        begins = np.flatnonzero(np.diff([tile.start // HOUR for tile in tiles], prepend=-1))
        every = np.array([*kept.values()], np.int64).reshape(-1, bins)
        return np.add.reduceat(every, begins) if tiles else every

    def asked(self, rule: Rule, hours: Sequence[Sums]) -> Asked:
        """What a rule asks, with what is known of the hours."""
        auto = rule.statistic == PERFORMANCE
        metrics = auto_metrics(self._target) if auto else (rule.statistic,)
        floors = {} if rule.floor is None or auto else {rule.statistic: rule.floor}
        return Asked(metrics, rule.alpha, floors, rule.min_samples, dispersions(hours, metrics), auto)

    def _unknown(self, rule: Rule, window: Span, n: int, reason: str) -> DriftResult:
        subject = self._series.subject
        return DriftResult(
            *(rule.name, COLUMN, "outcome", "numeric", rule.statistic, "no reference", window, ""),
            subject.version,
            n=n,
            reason=reason,
            model=subject.model,
            series=subject.series,
        )
