"""Judge the columns of one series by what is usual, live: by hours from the store and what was learnt of them.

Windows end at whole hours, so that each is judged once and can be worked out again from the hours that the store keeps.
`Usual.judge` runs on the writer's thread in the transaction of an evaluation; if that is rolled back, make a new one.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from monitor.clock import HOUR
from monitor.columns.batch import Batch
from monitor.columns.column import Floats
from monitor.config.settings import DriftConfig, duration, duration_text
from monitor.drift.evaluate import LazyExplanation, Question, Sample, Terms, verdicts
from monitor.drift.result import PARTIAL, DriftResult, Span, size_of
from monitor.judging.hours import Hours
from monitor.judging.learnt import Learnt
from monitor.normal.cells import Cells
from monitor.normal.expected import DAY_HOURS, FEWEST_ROWS, LEARNT, SAME_HOURS, WEEK_HOURS, Windows
from monitor.normal.frozen import FEWEST_HOURS, Repeated, repeated
from monitor.normal.usual import (
    FEWEST_WEEKS,
    WEEKS,
    Distances,
    Learner,
    horizon,
    judge_together,
    propose_lengths,
    step_of,
    weeks_between,
)
from monitor.rules.rule import USUAL, Rule
from monitor.series import Series
from monitor.store.records.references import current, history, standing_at
from monitor.store.records.usual import LEARNING, WINDOWS
from monitor.store.windows.rows import read_meta, write_meta
from monitor.words import counted, date_time, percent

#: Days of traffic from which windows are proposed, and after which the limits are a column's own.
PROPOSED, ARMED = 7, 28
#: Days of one column's history that one evaluation replays at most, which takes about a second: the writer waits.
REPLAYED = 1_500


@dataclass(frozen=True)
class Judged:
    """One rule's evaluation of one window, with what it looked at: enough to draw it.

    `test` and `reference` hold counts, shape (schema.size,), and sums; each result names its column's reference.
    `fresh`: it was judged now; what is usual is judged once for each window, and then only shown.
    """

    rule: Rule
    window: Span
    test: Batch
    reference: Sample
    results: tuple[DriftResult, ...]
    fresh: bool = True


class Usual:
    """Judges the windows of one series by what is usual."""

    def __init__(self, series: Series, drift: DriftConfig, covers: Mapping[str, tuple[int, ...]]) -> None:
        self._series, self._drift, self._covers = series, drift, covers
        self.hours = Hours(series, drift)
        self._learnt = Learnt(series)
        self.lengths: tuple[int, ...] = drift.windows
        self._latest: dict[tuple[str, int], Judged] = {}
        self._restored = False
        self._stored_state: str | None = None

    def judge(self, connection: sqlite3.Connection, rule: Rule, end: float) -> list[Judged]:
        """Judge the latest windows of a rule, of each length, that end at or before `end`; none while it learns."""
        hour = math.floor(end / HOUR)
        self._restore(connection)
        if self.hours.read(connection, hour):
            self._learnt.history_changed()
        self._learnt.take_up_accepted(connection, current(connection, self._series))
        out, days = [], float(REPLAYED)
        for length in self._lengths(rule):
            last = hour // step_of(length) * step_of(length)
            judged = self._latest.get((rule.name, length))
            days = self._replay(rule, length, last, days)
            if judged is None or judged.window.end != last * HOUR:
                judged = self._judge(rule, length, last)
            if judged is not None:
                self._latest[rule.name, length] = replace(judged, fresh=False)
                out.append(judged)
        return out

    def _lengths(self, rule: Rule) -> tuple[int, ...]:
        if rule.lengths:
            return rule.lengths
        if not self.lengths and len(self.hours.hourly) >= PROPOSED * DAY_HOURS:
            hourly = self.hours.hourly
            days = hourly[len(hourly) % DAY_HOURS :].reshape(-1, DAY_HOURS)
            self.lengths = propose_lengths(days[days.any(axis=1)].ravel()[-4 * WEEK_HOURS :])  # gaps say nothing
        return self.lengths

    def terms(self, rule: Rule) -> Terms:
        """What a rule's verdicts rest on, besides counts."""
        return Terms(rule.alerts, self._lengths(rule), self._drift.timezone, self._drift.quiet)

    def rejudge(self, connection: sqlite3.Connection, rule: Rule, length: int, hour: int, at: float) -> Judged | None:
        """Judge a window of the past as it was then: by what had been learnt by that day, and accepted by `at`."""
        self._learnt.load_past(connection, hour // DAY_HOURS * DAY_HOURS)
        self.hours.read(connection, max(hour, self.hours.end) if hour + WEEK_HOURS > self.hours.end else hour)
        self._learnt.compare_with(connection, standing_at(history(connection, self._series), at))
        self._replay(rule, length, hour, math.inf)
        return self._judge(rule, length, hour)

    def state(self) -> str:
        """How far learning is, in words; empty once every limit is a column's own."""
        days = (self.hours.end - self.hours.first) // DAY_HOURS
        if days >= ARMED and self._learnt.weeks > FEWEST_WEEKS:
            return ""
        return f"learning what is usual, day {min(days + 1, ARMED)} of {ARMED}"

    def _restore(self, connection: sqlite3.Connection) -> None:
        if not self._restored:
            self._restored = True
            self.lengths = self._drift.windows or tuple(json.loads(read_meta(connection, WINDOWS, "[]")))
            self._learnt.load(connection)

    def _weeks(self, rule: Rule) -> float:
        limits = sum(self._learnt.cells(position).limits for position in self._covers[rule.name])
        return horizon(limits * len(self._lengths(rule)), rule.alerts)

    def _replay(self, rule: Rule, length: int, hour: int, days: float) -> float:
        """Judge the stored windows that end before `hour`, for each column that has judged none yet.

        Stops after `days` days of history, but not before one column is done; returns the days that are left. So a
        long history of many columns takes several evaluations, and a column is not judged before its turn.
        """
        for position in self._covers[rule.name]:
            if self._learnt.has_past(position, length, hour):
                continue
            if days <= 0:
                break
            grid = self.hours.grid(self._learnt.since.get(position, 0))
            days -= self._learnt.replay(position, length, hour, grid, self._weeks(rule)) / DAY_HOURS
        return days

    def _judge(self, rule: Rule, length: int, hour: int) -> Judged | None:
        """Judge one window. Each result names what its column is compared with: the last weeks, or their same hours."""
        test, level = self.hours.between(hour - length, hour), self.hours.between(hour - length - LEARNT, hour - length)
        same = self._same_hours(hour, length)
        series, deviations, schema = self._series, self._series.reference.deviations, self._series.schema
        window, statistic = Span((hour - length) * HOUR, hour * HOUR), f"usual {duration_text(length * HOUR)}"
        pasts = [Sample(past.counts, past.sums, deviations) for past in (level, same)]
        explanations = [LazyExplanation(series.layout, past, Sample(test.counts, test.sums)) for past in pasts]
        shown, results = level + self.hours.between(0, 0), dict[int, DriftResult]()
        for position, seasonal, verdict in self._verdicts(rule, length, hour):
            if by_hour := seasonal and same.n > 0:
                low, high = schema.offsets[position : position + 2]
                shown.counts[low:high], shown.sums[position] = same.counts[low:high], same.sums[position]
            column = schema.columns[position]
            result = DriftResult(
                rule.name,
                column.name,
                column.role,
                column.kind,
                statistic,
                "ok",
                window,
                "usual at this hour" if seasonal else "usual level",
                series.version,
                m=(level, same)[by_hour].n,
                explanation=explanations[by_hour],
                model=series.model,
                series=series.subject.series,
            )
            results[position] = result._replace(**verdict)
        if not results:
            return None
        in_order = tuple(results[position] for position in self._covers[rule.name] if position in results)
        return Judged(rule, window, test, Sample(shown.counts, shown.sums, deviations), in_order)

    def _verdicts(self, rule: Rule, length: int, hour: int) -> Iterator[tuple[int, bool, dict[str, Any]]]:
        """Each column that is ready, whether it is compared with the same hours of past weeks, and its verdict."""
        by_since: dict[int, list[int]] = {}  # an accepted period may begin later than the history of other columns
        for position in self._covers[rule.name]:
            by_since.setdefault(self._learnt.since.get(position, 0), []).append(position)
        weeks = self._weeks(rule)
        for since, positions in by_since.items():
            grid = self.hours.grid(since)
            end = hour - grid.first
            past = [at for at in sorted(positions) if self._learnt.has_past(at, length, hour)]
            ready = {at: self._learnt.learner(at, length) for at in past if 0 <= end <= grid.hours}
            learners = {at: learner for at, learner in ready.items() if learner.learn(grid, end)}
            if not learners:
                continue
            cells = self._learnt.cells(*learners)
            windows, distances = judge_together(list(learners.values()), cells, grid, end)
            for k, (position, learner) in enumerate(learners.items()):
                seasonal = not windows.judged[0, k] or (learner.learned is not None and learner.learned.predictor > 0)
                verdict = verdict_of(learner, k, cells, windows, distances, learner.limits(weeks, hour), hour)
                if verdict["state"] != "no traffic" and (frozen := self._frozen(position, since, hour)):
                    verdict |= frozen_verdict(frozen)
                yield position, seasonal, verdict

    def _frozen(self, position: int, since: int, hour: int) -> Repeated | None:
        """How long a column has repeated one value before an hour, if that is not usual; None while it learns."""
        if hour - max(self.hours.first, since) < ARMED * DAY_HOURS:
            return None
        deviation = float(np.nan_to_num(self._series.reference.deviations[position]))
        # Mostly the hours of one day tell that the value has changed: a twentieth of the work.
        for hours in (DAY_HOURS, LEARNT):
            run = repeated(*self.hours.of_column(position, max(hour - hours, since), hour), deviation)
            if run.hours <= FEWEST_HOURS < run.known:
                return None
        return run if run.frozen else None

    def _same_hours(self, hour: int, length: int) -> Batch:
        """Sum of the same hours of the weeks before a window, but for hours in which it has no rows."""
        grid, total, begin = self.hours.grid(), self.hours.between(0, 0), hour - length
        empty = [at for at in range(begin, hour) if not self.hours.between(at, at + 1).n]
        for before, end in pairwise([begin - 1, *empty, hour]):  # the hours between two empty ones
            earlier = grid.weeks_before(np.array(end - grid.first), np.arange(1, SAME_HOURS + 1))
            for stop in (grid.first + earlier[(earlier >= length) & (end > before + 1)]).tolist():
                total = total + self.hours.between(stop - (end - before - 1), stop)
        return total

    def save(self, connection: sqlite3.Connection) -> None:
        """Store what was learnt, and how far that is, in the caller's transaction."""
        self._learnt.save(connection)
        if (state := self.state()) != self._stored_state:
            write_meta(connection, LEARNING, state)
            write_meta(connection, WINDOWS, json.dumps(self.lengths))
            self._stored_state = state


class Past:
    """Judges past windows of any series once more, to check what is stored."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[int, Question], Usual] = {}

    def __call__(
        self, series: Series, question: Question, statistic: str, end: float, at: float
    ) -> Sequence[DriftResult]:
        """Results of one window, which ended at `end` and was judged at `at`."""
        terms = question.usual or Terms(1.0, ())
        if (series.id, question) not in self._known:
            drift = DriftConfig(alerts=terms.alerts, windows=terms.lengths, timezone=terms.timezone, quiet=terms.quiet)
            self._known[series.id, question] = Usual(series, drift, {question.name: question.columns})
        rule = Rule(question.name, reference=USUAL, alerts=terms.alerts, lengths=terms.lengths)
        length = round(duration(statistic.removeprefix("usual ")) / HOUR)
        judged = self._known[series.id, question].rejudge(self._connection, rule, length, round(end) // HOUR, at)
        return judged.results if judged else ()


def verdict_of(
    learner: Learner, k: int, cells: Cells, windows: Windows, distances: Distances, limits: Floats, hour: int
) -> dict[str, Any]:
    """The verdict on column `k` of one judged window, as fields of a result: of the cell that moved most.

    Value and critical value are shares: of a numeric column's shape the K-S distance.
    """
    column_cells, own = cells.parts[k], learner.cells
    rows, usual = int(windows.n[0, 2 * k + 1]), int(windows.usual[0, k])
    known = distances.known[0, column_cells]
    if not known.any():
        if not rows:
            return {"state": "no traffic", "reason": "no rows in this window"}
        reason = "learning what is usual: too few hours are known"
        if not windows.judged[0, k]:
            reason = f"{PARTIAL}: {rows:,} rows, {max(usual, FEWEST_ROWS):,} are usual at this hour"
            if rows >= max(usual, FEWEST_ROWS):
                reason = f"{PARTIAL}: its rows are in other hours than usual, or in quiet days"
        return {"state": "insufficient data", "reason": reason, "n": rows}
    change, scale = distances.change[0, column_cells], distances.scale[0, column_cells]
    size, critical = np.abs(change), scale * limits[own.limit_of]
    with np.errstate(invalid="ignore"):
        ratio = np.where(known, np.minimum(size / critical, size / own.floors), -1.0)
    worst = int(np.argmax(ratio))
    states, reasons = verdicts(size[[worst]], critical[[worst]], own.floors[[worst]])
    reason = reasons[0]
    if states[0] == "drift":
        partial = not windows.judged[0, k]
        reason = explain(learner, worst, float(change[worst]), float(scale[worst]), hour, partial=partial)
    return {
        "state": states[0],
        "reason": reason,
        "n": int(windows.n[0, 2 * k + (not own.is_bulk[worst])]),
        "value": float(size[worst]),
        "critical": float(critical[worst]),
        "floor": float(own.floors[worst]),
        "scatter": float(scale[worst]),
    }


def frozen_verdict(run: Repeated) -> dict[str, Any]:
    """The verdict on a column that repeats one value, as fields of a result: hours, as parts of a week.

    >>> frozen_verdict(Repeated(14, 140, 1, 1344))["reason"]
    'one value was repeated for the last 14 hours that had any; the longest such time in 8 weeks was 1 hour'
    """
    hours = counted(run.hours, "hour")
    reason = f"one value was repeated for the last {hours} that had any; the longest such time in 8 weeks was"
    return {
        "state": "drift",
        "reason": f"{reason} {counted(run.longest, 'hour')}",
        "n": run.rows,
        "value": run.hours / WEEK_HOURS,
        "critical": run.most / WEEK_HOURS,
        "floor": FEWEST_HOURS / WEEK_HOURS,
        "scatter": None,
    }


def explain(learner: Learner, cell: int, change: float, scale: float, hour: int, *, partial: bool = False) -> str:
    """Say how far a cell is from what is usual, how far it was in its worst week, and how often such a thing comes."""
    cells, where = learner.cells, int(learner.cells.limit_of[cell])
    when = "at this hour" if learner.learned and learner.learned.predictor else "in the last weeks"
    when = "in the hours that it has" if partial else when
    ks = cells.is_bulk[cell] and cells.columns[0].numeric
    if ks:
        text = f"{percent(abs(change))} of its values are other than usual {when}"
    else:
        way = "above" if change > 0 else "below"
        text = f"{cell_name(cells, cell)} is {size_of(change, True)} {way} what is usual {when}"
    weeks = [week for week in sorted(learner.maxima) if week < hour // WEEK_HOURS][-WEEKS:]
    past = [(largest, week) for week in weeks if (largest := float(learner.maxima[week][where])) >= 0]
    if len(past) < FEWEST_WEEKS:
        return f"{text}; too few weeks are known to say how often that comes"
    worst, week = max(past)
    day = date_time(week * WEEK_HOURS * HOUR).partition(", ")[0]
    rare = weeks_between(np.array([largest for largest, _ in past]), abs(change) / scale)
    often = f"once in about {f'{rare:.0f} weeks' if rare < 104 else f'{rare / 52:.0f} years'}"
    often = often if rare < 1000 else "less than once in 20 years"
    most = percent(min(worst * scale, 1.0)) if ks else size_of(min(worst * scale, 1.0), True)
    most = f"the largest in {len(past)} weeks was {most} ({day})" if worst else f"none came in {len(past)} weeks"
    return f"{text}; so large a difference comes {often}, and {most}"


def cell_name(cells: Cells, cell: int) -> str:
    """What the share is called that a cell of one column is.

    >>> from monitor.columns.column import Column
    >>> cells = Cells([Column("plan", "feature", "categorical", categories=("free", "paid"))])
    >>> [cell_name(cells, cell) for cell in (1, 2, 3)]
    ["share of 'paid'", 'missing share', 'unseen share']
    """
    return f"share of {cells.names[cell]!r}" if cells.is_bulk[cell] else TAIL_NAMES[cells.names[cell]]


TAIL_NAMES = {
    "missing": "missing share",
    "below": "share below its range",
    "above": "share above its range",
    "nonfinite": "infinite share",
    "other": "unseen share",
    "fullest": "share of the fullest bin",
}
