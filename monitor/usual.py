"""What is usual for the columns of one series, live: hours are read from the store, days learnt, windows judged.

Windows end at whole hours, so that each is judged once and can be worked out again from the hours that the store keeps.
`Usual.judge` runs on the writer's thread in the transaction of an evaluation; `keep` when that is committed.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from monitor.clock import from_iso
from monitor.columns.batch import Batch
from monitor.columns.column import Counts, Floats
from monitor.config.settings import DriftConfig, duration, duration_text
from monitor.drift.evaluate import Explained, Question, Sample, Terms, verdicts
from monitor.drift.layout import Layout
from monitor.drift.result import PARTIAL, DriftResult, Explanation, Span, State
from monitor.normal.cells import Cells, cells_of
from monitor.normal.expected import FEWEST_ROWS, LEARNT, PREDICTORS, SAME_HOURS, WEEK, Grid, Ints, Windows
from monitor.normal.limit import FEWEST_WEEKS, WEEKS, horizon, weeks_between
from monitor.normal.usual import DAY, Distances, Learned, Watch, propose_lengths, step_of
from monitor.rules.reference import USUAL
from monitor.rules.rule import Rule
from monitor.series import Series
from monitor.store.records import usual as usual_store
from monitor.store.records.references import Standing, current, history, load_accepted, standing_at
from monitor.store.records.usual import LEARNING, WINDOWS
from monitor.store.windows.ranges import read_timeline
from monitor.store.windows.rows import read_meta, write_meta

HOUR = 3600
#: Hours that are kept in memory: those that are learnt from, and the weeks that their expectations come from.
KEPT = 2 * LEARNT + WEEK + DAY
#: Most counts that are kept in memory: 160 MB. A wider model keeps fewer hours.
MOST_COUNTS = 20_000_000
#: Days of traffic from which windows are proposed, and after which the limits are a column's own.
PROPOSED, ARMED = 7, 28


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


class Hours:
    """Counts and sums of consecutive hours of a series, as running sums. `first`: the first hour since 1970."""

    def __init__(self, series: Series, drift: DriftConfig) -> None:
        self._series, self._zone, self._quiet = series, ZoneInfo(drift.timezone), drift.quiet
        self.kept = max(min(KEPT, MOST_COUNTS // series.schema.size), 2 * WEEK)
        self.first = self.end = 0
        self._clear()

    def _clear(self) -> None:
        width = len(self._series.schema.columns)
        self._counts: Counts = np.zeros((1, self._series.schema.size), dtype=np.int64)
        self._sums: Floats = np.zeros((1, width))
        self._rows: Ints = np.zeros(1, dtype=np.int64)
        self._known, self._shift = self._rows, self._rows

    def read(self, connection: sqlite3.Connection, end: int) -> None:
        """Read on up to an hour; all of them anew if that is long after, or before, what is known."""
        if not 0 <= end - self.end <= WEEK:
            self.first = self.end = end - self.kept
            self._clear()
        if end == self.end:
            return
        found = read_timeline(connection, self._series, self.end * HOUR, end * HOUR, longest=HOUR)
        if len(found.starts) and len(self._rows) == 1:  # hours before the first row say nothing
            self.first = self.end = max(self.end, int(found.starts[0]) // HOUR)
        elif len(self._rows) == 1:
            self.first = self.end = end
        hours = end - self.end
        place = found.starts // HOUR - self.end
        counts = np.zeros((hours, found.counts.shape[1]), dtype=np.int64)
        sums, rows = np.zeros((hours, found.sums.shape[1])), np.zeros(hours, dtype=np.int64)
        np.add.at(counts, place, found.counts)
        np.add.at(sums, place, np.nan_to_num(found.sums))
        np.add.at(rows, place, found.n)
        self.add(counts, sums, rows)

    def add(self, counts: Counts, sums: Floats, rows: Ints) -> None:
        """Append hours: shapes (hours, bins), (hours, columns), (hours,)."""
        stamps = np.arange(self.end, self.end + len(rows)) * HOUR
        keep = np.ones(len(rows), dtype=np.bool_)
        for begin, until in self._quiet:
            keep &= (stamps < begin) | (stamps >= until)
        self._counts = _extended(self._counts, counts * keep[:, None])
        self._sums = _extended(self._sums, sums * keep[:, None])
        self._rows, self._known = _extended(self._rows, rows * keep), _extended(self._known, keep.astype(np.int64))
        self.end += len(rows)
        shift = [self._offset(hour) for hour in range(self.end - len(rows) + 1, self.end + 1)]
        start = self._shift if len(self._shift) > 1 else np.array([self._offset(self.first)])
        self._shift = np.concatenate((start, np.array(shift, dtype=np.int64)))
        if (over := len(self._rows) - 1 - self.kept) >= DAY:
            self.first += over
            self._counts, self._sums = self._counts[over:], self._sums[over:]
            self._rows, self._known, self._shift = self._rows[over:], self._known[over:], self._shift[over:]

    def _offset(self, hour: int) -> int:
        offset = datetime.fromtimestamp(hour * HOUR, UTC).astimezone(self._zone).utcoffset()
        return round(offset.total_seconds() / HOUR) if offset else 0

    def grid(self, columns: slice, since: int) -> Grid:
        """Counts of one column, as `monitor.normal` takes them. `since`: hours before it are forgotten."""
        skip = min(max(since - self.first, 0), len(self._rows) - 1)
        prefix = self._counts[skip:, columns]
        return Grid(prefix, self._shift[skip:], self._known[skip:], self._rows[skip:], self.first + skip)

    def between(self, start: int, end: int) -> Batch:
        """Sum of the hours of [start, end)."""
        a, b = (min(max(hour - self.first, 0), len(self._rows) - 1) for hour in (start, end))
        return Batch(
            int(self._rows[b] - self._rows[a]), self._counts[b] - self._counts[a], self._sums[b] - self._sums[a]
        )

    @property
    def hourly(self) -> Ints:
        """Rows of each hour."""
        out: Ints = np.diff(self._rows)
        return out

    def week_before(self, hour: int, weeks: int) -> int:
        """The same local time so many weeks earlier."""
        before = hour - weeks * WEEK
        return before + self._offset(hour) - self._offset(before)


def _extended(sums: Any, more: Any) -> Any:
    return np.concatenate((sums, sums[-1] + np.cumsum(more, axis=0)))


class Usual:
    """Judges the windows of one series by what is usual."""

    def __init__(self, series: Series, drift: DriftConfig, covers: Mapping[str, tuple[int, ...]]) -> None:
        self._series, self._drift, self._covers = series, drift, covers
        self._layout = Layout(series.schema)
        self._cells = [cells_of(column) for column in series.schema.columns]
        self.hours = Hours(series, drift)
        self._watches: dict[tuple[int, int], Watch] = {}
        self._judged: dict[tuple[str, int], Judged] = {}
        self._limits: dict[tuple[int, int, float, int], Floats] = {}
        self._standing: Standing = {}
        self._since: dict[int, int] = {}
        self._saved: dict[tuple[int, int], int] = {}
        self._restored = self._open = False
        self._said: str | None = None
        self.lengths: tuple[int, ...] = drift.windows

    def begin(self) -> None:
        """Begin an evaluation: from the store again if the one before was not committed."""
        if self._open:
            self._watches.clear()
            self._judged.clear()
            self._saved.clear()
            self._restored, self._said = False, None
        self._open = True

    def keep(self) -> None:
        """The evaluation was committed."""
        self._open = False

    def judge(self, connection: sqlite3.Connection, rule: Rule, end: float) -> list[Judged]:
        """Judge the latest windows of a rule, of each length, that end at or before `end`; none while it learns."""
        hour = math.floor(end / HOUR)
        self._restore(connection)
        if hour != self.hours.end:
            self.hours.read(connection, hour)
        self._accept(connection)
        out = []
        for length in self._lengths(rule):
            last = hour // step_of(length) * step_of(length)
            known = self._judged.get((rule.name, length))
            if known is None or known.window.end != last * HOUR:
                known = self._judge(rule, length, last)
                if known is None:
                    continue
                self._judged[rule.name, length] = known
                out.append(known)
            else:
                out.append(replace(known, fresh=False))
        return out

    def _lengths(self, rule: Rule) -> tuple[int, ...]:
        if rule.lengths:
            return rule.lengths
        if not self.lengths and len(self.hours.hourly) >= PROPOSED * DAY:
            hourly = self.hours.hourly
            days = hourly[len(hourly) % DAY :].reshape(-1, DAY)
            self.lengths = propose_lengths(days[days.any(axis=1)].ravel()[-4 * WEEK :])  # gaps say nothing
        return self.lengths

    def terms(self, rule: Rule) -> Terms:
        """What a rule's verdicts rest on, besides counts."""
        return Terms(rule.alerts, self._lengths(rule), self._drift.timezone, self._drift.quiet)

    def again(self, connection: sqlite3.Connection, rule: Rule, length: int, hour: int, at: float) -> Judged | None:
        """Judge a window of the past as it was then: by what had been learnt by that day, and accepted by `at`."""
        self._watches.clear()
        self._limits.clear()
        day = hour // DAY * DAY
        for row in usual_store.load_learned(connection, self._series.id, day * HOUR):
            if row.hours == length:
                watch = self._watch(row.position, length)
                watch.learned, watch.day = Learned(row.predictor, row.scatter), day
        for week in usual_store.load_weeks(connection, self._series.id):
            self._watch(week.position, week.hours).maxima[week.week] = week.worst
        self.hours.read(connection, max(hour, self.hours.end) if hour + WEEK > self.hours.end else hour)
        self._stand(connection, standing_at(history(connection, self._series), at))
        return self._judge(rule, length, hour)

    def state(self) -> str:
        """How far learning is, in words; empty once every limit is a column's own."""
        days = (self.hours.end - self.hours.first) // DAY
        weeks = min((len(watch.maxima) for watch in self._watches.values()), default=0)
        if days >= ARMED and weeks > FEWEST_WEEKS:
            return ""
        return f"learning what is usual, day {min(days + 1, ARMED)} of {ARMED}"

    def _restore(self, connection: sqlite3.Connection) -> None:
        if self._restored:
            return
        self._restored = True
        self.lengths = self._drift.windows or tuple(json.loads(read_meta(connection, WINDOWS, "[]")))
        for row in usual_store.load_learned(connection, self._series.id):
            watch = self._watch(row.position, row.hours)
            watch.learned, watch.day = Learned(row.predictor, row.scatter), int(row.day) // HOUR
            self._saved[row.position, row.hours] = watch.day
        for week in usual_store.load_weeks(connection, self._series.id):
            self._watch(week.position, week.hours).maxima[week.week] = week.worst

    def _accept(self, connection: sqlite3.Connection) -> None:
        """Forget what came before an accepted stretch; the largest distances of the weeks stay."""
        standing = current(connection, self._series)
        if standing != self._standing:
            for (position, _), watch in self._watches.items():
                if standing.get(position) != self._standing.get(position):
                    watch.day = 0  # learns anew
            self._stand(connection, standing)

    def _stand(self, connection: sqlite3.Connection, standing: Standing) -> None:
        starts = {position: load_accepted(connection, row).start for position, row in standing.items()}
        self._standing, self._since = standing, {at: int(from_iso(text)) // HOUR for at, text in starts.items()}

    def _watch(self, position: int, length: int) -> Watch:
        if (position, length) not in self._watches:
            self._watches[position, length] = Watch(self._cells[position], length)
        return self._watches[position, length]

    def _judge(self, rule: Rule, length: int, hour: int) -> Judged | None:
        positions = self._covers[rule.name]
        limits = sum(self._cells[position].limits for position in positions) * len(self._lengths(rule))
        weeks = horizon(limits, rule.alerts)
        offsets = self._series.schema.offsets
        start = hour - length
        span = Span(start * HOUR, hour * HOUR)
        test = self.hours.between(start, hour)
        level = self.hours.between(start - LEARNT, start)
        same = self._same_hours(hour, length)
        accounts: dict[int, Explanation] = {}
        results = []
        for position in positions:
            grid = self.hours.grid(
                slice(int(offsets[position]), int(offsets[position + 1])), self._since.get(position, 0)
            )
            if not 0 <= hour - grid.first <= grid.hours:
                continue
            watch = self._watch(position, length)
            if not watch.maxima and watch.learned is None:
                watch.run(grid, 0, hour - grid.first, weeks)  # the hours that are stored already
            found = watch.judge(grid, hour - grid.first)
            if found is None or watch.learned is None:
                continue
            by_hour = watch.learned.predictor > 0 and same.n > 0
            if by_hour not in accounts:
                past = same if by_hour else level
                sample = Sample(past.counts, past.sums, self._series.reference.deviations)
                accounts[by_hour] = Explained(self._layout, sample, Sample(test.counts, test.sums))
            rows = same.n if by_hour else level.n
            found_limits = self._limit(watch, position, weeks, hour)
            results.append(self._result(rule, position, span, watch, found, found_limits, rows, accounts[by_hour]))
        if not results:
            return None
        by_hour = True in accounts
        past = same if by_hour else level
        sample = Sample(past.counts, past.sums, self._series.reference.deviations)
        return Judged(rule, span, test, sample, tuple(results))

    def _limit(self, watch: Watch, position: int, weeks: float, hour: int) -> Floats:
        key = (position, watch.length, weeks, hour // WEEK)
        if key not in self._limits:
            if len(self._limits) > 4 * len(self._watches) + 100:
                self._limits.clear()
            self._limits[key] = watch.limits(weeks, hour)
        return self._limits[key]

    def _same_hours(self, hour: int, length: int) -> Batch:
        total = self.hours.between(0, 0)
        for week in range(1, SAME_HOURS + 1):
            back = self.hours.week_before(hour, week)
            if back - length >= self.hours.first:
                total = total.plus(self.hours.between(back - length, back))
        return total

    def _result(
        self,
        rule: Rule,
        position: int,
        span: Span,
        watch: Watch,
        found: tuple[Windows, Distances],
        limits: Floats,
        m: int,
        account: Explanation,
    ) -> DriftResult:
        column, (windows, distances) = self._series.schema.columns[position], found
        predictor = watch.learned.predictor if watch.learned else 0
        state, reason, value, critical, floor, n, scatter = verdict_of(watch, windows, distances, limits, span)
        return DriftResult(
            rule.name,
            column.name,
            column.role,
            column.kind,
            f"usual {duration_text(watch.length * HOUR)}",
            state,
            span,
            f"usual {'level' if PREDICTORS[predictor] == 'level' else 'at this hour'}",
            self._series.version,
            n,
            m,
            value,
            critical,
            floor,
            None,
            reason,
            account if value is not None else Explanation(),
            self._series.model,
            self._series.subject.series,
            scatter,
        )

    def save(self, connection: sqlite3.Connection) -> None:
        """Store what was learnt and the weeks that grew, in the caller's transaction."""
        learned, weeks = [], []
        for (position, length), watch in self._watches.items():
            if watch.learned is not None and watch.day > self._saved.get((position, length), -1):
                self._saved[position, length] = watch.day
                day = float(watch.day * HOUR)
                learned.append(
                    usual_store.LearnedRow(position, length, day, watch.learned.predictor, watch.learned.scatter)
                )
            if watch.grown:
                weeks += [
                    usual_store.WeekRow(position, length, week, watch.maxima[week]) for week in sorted(watch.grown)
                ]
                watch.grown.clear()
        usual_store.save(connection, self._series.id, learned, weeks)
        if (state := self.state()) != self._said:
            write_meta(connection, LEARNING, state)
            write_meta(connection, WINDOWS, json.dumps(self.lengths))
            self._said = state


class Past:
    """Judges past windows of any series once more, for whoever checks what is stored."""

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
        found = self._known[series.id, question].again(self._connection, rule, length, round(end) // HOUR, at)
        return found.results if found else ()


def verdict_of(
    watch: Watch, windows: Windows, distances: Distances, limits: Floats, span: Span
) -> tuple[State, str, float | None, float | None, float | None, int, float | None]:
    """State, reason, value, critical value, floor, rows and scatter of one judged window.

    All are of the cell that moved most. Value and critical value are shares: of a numeric column's shape the K-S
    distance.
    """
    cells = watch.cells
    rows, usual = int(windows.n[0, 1]), int(windows.usual[0])
    known = distances.known[0]
    if not known.any():
        if not rows:
            return "no traffic", "no rows in this window", None, None, None, 0, None
        if windows.judged[0]:
            return "insufficient data", "learning what is usual: too few hours are known", None, None, None, rows, None
        least = f"{rows:,} rows, {max(usual, FEWEST_ROWS):,} are usual at this hour"
        if rows >= max(usual, FEWEST_ROWS):
            least = "its rows are in other hours than usual, or in quiet days"
        return "insufficient data", f"{PARTIAL}: {least}", None, None, None, rows, None
    size, critical = np.abs(distances.change[0]), distances.scale[0] * limits[cells.limit_of]
    with np.errstate(invalid="ignore"):
        ratio = np.where(known, np.minimum(size / critical, size / cells.floors), -1.0)
    worst = int(np.argmax(ratio))
    n = int(windows.n[0, 0 if worst < cells.bulk else 1])
    state, why = verdicts(size[[worst]], critical[[worst]], cells.floors[[worst]])
    scale = float(distances.scale[0, worst])
    reason = why[0]
    if state[0] == "drift":
        reason = explain(watch, worst, float(distances.change[0, worst]), scale, int(span.end) // HOUR)
    return state[0], reason, float(size[worst]), float(critical[worst]), float(cells.floors[worst]), n, scale


def explain(watch: Watch, cell: int, change: float, scale: float, hour: int) -> str:
    """Say how far a cell is from what is usual, how far it was in its worst week, and how often such a thing comes."""
    cells, where = watch.cells, int(watch.cells.limit_of[cell])
    at = "at this hour" if watch.learned and watch.learned.predictor else "of the last weeks"
    text = f"{cell_name(cells, cell)} {abs(change):.2g} from its usual {'shape' if cell < cells.bulk else 'share'} {at}"
    past = [(float(watch.maxima[week][where]), week) for week in sorted(watch.maxima) if week < hour // WEEK][-WEEKS:]
    past = [one for one in past if one[0] >= 0]
    if len(past) < FEWEST_WEEKS:
        return f"{text}; too few weeks are known to say how often that comes by itself"
    worst, week = max(past)
    day = datetime.fromtimestamp(week * WEEK * HOUR, UTC)
    rare = weeks_between(np.array([one for one, _ in past]), abs(change) / scale)
    often = f"about once in {rare:,.0f} weeks" if rare < 1000 else "less than once in 20 years"
    return (
        f"{text}; its worst of {len(past)} weeks was {worst * scale:.2g} ({day:%Y-%m-%d}); such a thing comes {often}"
    )


def cell_name(cells: Cells, cell: int) -> str:
    """What a cell is called in a sentence.

    >>> from monitor.columns.column import Column
    >>> cells = cells_of(Column("plan", "feature", "categorical", categories=("free", "paid")))
    >>> [cell_name(cells, cell) for cell in (1, 2, 3)]
    ["share of 'paid'", 'missing share', 'unseen share']
    """
    if cell < cells.bulk:
        return "K-S" if cells.column.numeric else f"share of {cells.column.categories[cell]!r}"
    return TAIL_NAMES[cells.tails[cell - cells.bulk]]


TAIL_NAMES = {
    "missing": "missing share",
    "below": "share below its range",
    "above": "share above its range",
    "nonfinite": "infinite share",
    "other": "unseen share",
    "fullest": "share of the fullest bin",
}
