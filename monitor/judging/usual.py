"""What is usual for the columns of one series, live: hours are read from the store, days learnt, windows judged.

Windows end at whole hours, so that each is judged once and can be worked out again from the hours that the store keeps.
`Usual.judge` runs on the writer's thread in the transaction of an evaluation; if that is rolled back, make a new one.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from monitor.clock import from_iso, utc_offset
from monitor.columns.batch import Batch
from monitor.columns.column import Counts, Floats
from monitor.config.settings import DriftConfig, duration, duration_text
from monitor.drift.evaluate import LazyExplanation, Question, Sample, Terms, verdicts
from monitor.drift.result import PARTIAL, DriftResult, Span, size_of
from monitor.normal.cells import Cells
from monitor.normal.expected import FEWEST_ROWS, LEARNT, SAME_HOURS, WEEK, Grid, Ints, Windows
from monitor.normal.frozen import FEWEST_HOURS, Repeated, repeated
from monitor.normal.usual import (
    DAY,
    FEWEST_WEEKS,
    WEEKS,
    Distances,
    Learned,
    Watch,
    horizon,
    judge_together,
    propose_lengths,
    step_of,
    weeks_between,
)
from monitor.rules.rule import USUAL, Rule
from monitor.series import Series
from monitor.store.records import usual as usual_store
from monitor.store.records.references import Standing, current, history, load_accepted, standing_at
from monitor.store.records.usual import LEARNING, WINDOWS
from monitor.store.windows.ranges import late_windows, newest_window, read_timeline, sum_tiles
from monitor.store.windows.rows import read_meta, write_meta
from monitor.words import counted, date_time, percent

HOUR = 3600
#: Hours that are kept in memory: those that are learnt from, and the weeks that their expectations come from.
KEPT = 2 * LEARNT + WEEK + DAY
#: Most counts that are kept in memory: 160 MB. A wider model keeps fewer hours.
MOST_COUNTS = 20_000_000
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


class Hours:
    """Prefix sums of the counts and sums of consecutive hours of a series. `first`: the first hour since 1970.

    `kept`: hours that are kept in memory. The arrays have room for more, so that a new hour copies none of the others.
    """

    def __init__(self, series: Series, drift: DriftConfig, kept: int | None = None) -> None:
        self._series, self._zone, self._quiet = series, ZoneInfo(drift.timezone), drift.quiet
        self.kept = kept or max(min(KEPT, MOST_COUNTS // series.schema.size), 2 * WEEK)
        #: The highest id of a window when it read last.
        self._seen = 0
        self._clear(0)

    def _clear(self, first: int) -> None:
        self.first = self.end = first
        self._counts: Counts = np.zeros((1, self._series.schema.size), dtype=np.int64)
        self._sums: Floats = np.zeros((1, len(self._series.schema.columns)))
        self._rows, self._known, self._shift = (np.zeros(1, dtype=np.int64) for _ in range(3))

    def _reserve(self, rows: int) -> None:
        """Have room for so many rows, and for more; a short history takes little memory, however many models."""
        if rows > len(self._rows):
            room = max(min(2 * rows, self.kept + WEEK + DAY + 1), rows)
            for name in ("_counts", "_sums", "_rows", "_known", "_shift"):
                old = getattr(self, name)
                new = np.zeros((room, *old.shape[1:]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)

    def read(self, connection: sqlite3.Connection, end: int) -> None:
        """Read on up to an hour, and what came late; all anew if that is long after, or before, what is known."""
        if not 0 <= end - self.end <= WEEK:
            self._clear(end - self.kept)
        self._add_late(connection)
        if end > self.end:
            self._append(connection, end)

    def _add_late(self, connection: sqlite3.Connection) -> None:
        """Add rows that came after their hours had been read, but for those of quiet days."""
        for tile in late_windows(connection, self._series.id, self._seen, self.first * HOUR, self.end * HOUR):
            if not any(begin <= tile.start // HOUR * HOUR < until for begin, until in self._quiet):
                batch = sum_tiles(connection, self._series, [tile])
                after = slice(tile.start // HOUR - self.first + 1, self.end - self.first + 1)
                self._counts[after] += batch.counts
                self._sums[after] += np.nan_to_num(batch.sums)
                self._rows[after] += batch.n
        self._seen = newest_window(connection)

    def _append(self, connection: sqlite3.Connection, end: int) -> None:
        """Read the hours up to `end` that have not been read, and forget the oldest if more than `kept` are known."""
        found = read_timeline(connection, self._series, self.end * HOUR, end * HOUR, longest=HOUR)
        if self.first == self.end:  # hours before the first row say nothing
            self.first = self.end = max(self.end, int(found.starts[0]) // HOUR) if len(found.starts) else end
            self._shift[0] = utc_offset(self.first, self._zone)
        self._reserve(end - self.first + 1)
        stamps = np.arange(self.end, end) * HOUR
        loud = np.ones(len(stamps), dtype=np.bool_)
        for begin, until in self._quiet:
            loud &= (stamps < begin) | (stamps >= until)
        hour_of = found.starts // HOUR - self.end
        usable = loud[hour_of]
        last, new = self.end - self.first, slice(self.end - self.first + 1, end - self.first + 1)
        windows = (self._counts, found.counts), (self._sums, np.nan_to_num(found.sums)), (self._rows, found.n)
        for prefix_sums, values in windows:
            np.add.at(prefix_sums[new], hour_of[usable], values[usable])
            prefix_sums[new] = prefix_sums[last] + np.cumsum(prefix_sums[new], axis=0)
        self._known[new] = self._known[last] + np.cumsum(loud)
        self._shift[new] = [utc_offset(hour, self._zone) for hour in range(self.end + 1, end + 1)]
        self.end = end
        if (over := end - self.first - self.kept) >= DAY:
            self.first += over
            for array in (self._counts, self._sums, self._rows, self._known, self._shift):
                array[: self.kept + 1] = array[over : over + self.kept + 1]
                array[self.kept + 1 :] = 0

    def grid(self, since: int = 0) -> Grid:
        """Counts of all columns, as `monitor.normal` takes them. `since`: hours before it are forgotten."""
        skip = min(max(since - self.first, 0), self.end - self.first)
        kept = slice(skip, self.end - self.first + 1)
        return Grid(self._counts[kept], self._shift[kept], self._known[kept], self._rows[kept], self.first + skip)

    def between(self, start: int, end: int) -> Batch:
        """Sum of the hours of [start, end)."""
        a, b = (min(max(hour, self.first), self.end) - self.first for hour in (start, end))
        rows = int(self._rows[b] - self._rows[a])
        return Batch(rows, self._counts[b] - self._counts[a], self._sums[b] - self._sums[a])

    def of_column(self, position: int, start: int, end: int) -> tuple[Counts, Floats]:
        """Counts by bin of the values of a column in each hour of [start, end), and their sums."""
        offset, bins = self._series.schema.offsets[position], self._series.schema.columns[position].value_bins
        hours = slice(max(start - self.first, 0), min(end, self.end) - self.first + 1)
        counts: Counts = np.diff(self._counts[hours, offset : offset + bins], axis=0)
        return counts, np.diff(self._sums[hours, position])

    @property
    def hourly(self) -> Ints:
        """Rows of each hour."""
        out: Ints = np.diff(self._rows[: self.end - self.first + 1])
        return out


class Usual:
    """Judges the windows of one series by what is usual."""

    def __init__(self, series: Series, drift: DriftConfig, covers: Mapping[str, tuple[int, ...]]) -> None:
        self._series, self._drift, self._covers = series, drift, covers
        self._layout = series.layout
        self.hours = Hours(series, drift)
        self._cells: dict[tuple[int, ...], Cells] = {}
        self._watches: dict[tuple[int, int], Watch] = {}
        self._judged: dict[tuple[str, int], Judged] = {}
        #: Up to which hour the history of a column was replayed, by position and length.
        self._replayed: dict[tuple[int, int], int] = {}
        self._standing: Standing = {}
        self._since: dict[int, int] = {}
        self._saved: dict[tuple[int, int], int] = {}
        self._restored = False
        self._stored_state: str | None = None
        self.lengths: tuple[int, ...] = drift.windows

    def judge(self, connection: sqlite3.Connection, rule: Rule, end: float) -> list[Judged]:
        """Judge the latest windows of a rule, of each length, that end at or before `end`; none while it learns."""
        hour = math.floor(end / HOUR)
        self._restore(connection)
        self.hours.read(connection, hour)
        self._take_up_accepted(connection)
        out, days = [], float(REPLAYED)
        for length in self._lengths(rule):
            last = hour // step_of(length) * step_of(length)
            judged = self._judged.get((rule.name, length))
            fresh = judged is None or judged.window.end != last * HOUR
            days = self._replay(rule, length, last, days)
            if fresh:
                judged = self._judge(rule, length, last)
            if judged is not None:
                self._judged[rule.name, length] = replace(judged, fresh=False)
                out.append(judged)
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

    def rejudge(self, connection: sqlite3.Connection, rule: Rule, length: int, hour: int, at: float) -> Judged | None:
        """Judge a window of the past as it was then: by what had been learnt by that day, and accepted by `at`."""
        self._watches.clear()
        self._replayed.clear()
        day = hour // DAY * DAY
        self._load(connection, day * HOUR)
        for watch in self._watches.values():
            watch.day = day if watch.learned else 0
        self.hours.read(connection, max(hour, self.hours.end) if hour + WEEK > self.hours.end else hour)
        self._compare_with(connection, standing_at(history(connection, self._series), at))
        self._replay(rule, length, hour, math.inf)
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
        self._load(connection)
        self._saved = {key: watch.day for key, watch in self._watches.items() if watch.learned}

    def _load(self, connection: sqlite3.Connection, upto: float | None = None) -> None:
        for row in usual_store.load_learned(connection, self._series.id, upto):
            watch = self._watch(row.position, row.hours)
            watch.learned, watch.day = Learned(row.predictor, row.scatter), int(row.day) // HOUR
        for week in usual_store.load_weeks(connection, self._series.id):
            self._watch(week.position, week.hours).maxima[week.week] = week.worst

    def _take_up_accepted(self, connection: sqlite3.Connection) -> None:
        """Forget what came before a period that was accepted meanwhile; the largest distances of the weeks stay."""
        standing = current(connection, self._series)
        if standing != self._standing:
            for (position, _), watch in self._watches.items():
                if standing.get(position) != self._standing.get(position):
                    watch.day = 0  # learns anew
            self._compare_with(connection, standing)

    def _compare_with(self, connection: sqlite3.Connection, standing: Standing) -> None:
        """Learn from an accepted period on, for each column that has one."""
        starts = {position: load_accepted(connection, row).start for position, row in standing.items()}
        self._standing, self._since = standing, {at: int(from_iso(text)) // HOUR for at, text in starts.items()}

    def _cells_of(self, *positions: int) -> Cells:
        if positions not in self._cells:
            schema = self._series.schema
            columns = [schema.columns[position] for position in positions]
            self._cells[positions] = Cells(columns, schema.offsets[list(positions)].tolist())
        return self._cells[positions]

    def _watch(self, position: int, length: int) -> Watch:
        if (position, length) not in self._watches:
            self._watches[position, length] = Watch(self._cells_of(position), length)
        return self._watches[position, length]

    def _weeks(self, rule: Rule) -> float:
        limits = sum(self._cells_of(position).limits for position in self._covers[rule.name])
        return horizon(limits * len(self._lengths(rule)), rule.alerts)

    def _replay(self, rule: Rule, length: int, hour: int, days: float) -> float:
        """Judge the stored windows that end before `hour`, for each column that has judged none yet.

        Stops after so many `days` of history, but not before one column is done; returns the days that are left. So a
        long history of many columns takes several evaluations, and a column is not judged before its turn.
        """
        for position in self._covers[rule.name]:
            if self._has_past(position, length, hour):
                continue
            grid = self.hours.grid(self._since.get(position, 0))
            end = min(max(hour - grid.first, 0), grid.hours)
            if days <= 0:
                break
            days -= end / DAY
            self._replayed[position, length] = hour
            self._watch(position, length).run(grid, 0, end, self._weeks(rule))
        return days

    def _judge(self, rule: Rule, length: int, hour: int) -> Judged | None:
        span, deviations = Span((hour - length) * HOUR, hour * HOUR), self._series.reference.deviations
        test, level = self.hours.between(hour - length, hour), self.hours.between(hour - length - LEARNT, hour - length)
        same = self._same_hours(hour, length)
        pasts = [Sample(past.counts, past.sums, deviations) for past in (level, same)]
        explanations = [LazyExplanation(self._layout, past, Sample(test.counts, test.sums)) for past in pasts]
        by_since: dict[int, list[int]] = {}  # an accepted period may begin later than the history of other columns
        for position in self._covers[rule.name]:
            by_since.setdefault(self._since.get(position, 0), []).append(position)
        weeks, results, shown = self._weeks(rule), dict[int, DriftResult](), level + self.hours.between(0, 0)
        for since, positions in by_since.items():
            grid = self.hours.grid(since)
            end = hour - grid.first
            ready = [one for one in sorted(positions) if 0 <= end <= grid.hours and self._has_past(one, length, hour)]
            watches = {one: watch for one in ready if (watch := self._watch(one, length)).learn(grid, end)}
            if not watches:
                continue
            cells = self._cells_of(*watches)
            windows, distances = judge_together(list(watches.values()), cells, grid, end)
            for k, (position, watch) in enumerate(watches.items()):
                seasonal = watch.learned is not None and watch.learned.predictor > 0
                seasonal |= not windows.judged[0, k]
                column = self._series.schema.columns[position]
                if by_hour := seasonal and same.n > 0:
                    low, high = self._series.schema.offsets[position : position + 2]
                    shown.counts[low:high], shown.sums[position] = same.counts[low:high], same.sums[position]
                result = DriftResult(
                    rule.name,
                    column.name,
                    column.role,
                    column.kind,
                    f"usual {duration_text(length * HOUR)}",
                    "ok",
                    span,
                    "usual at this hour" if seasonal else "usual level",
                    self._series.version,
                    m=(level, same)[by_hour].n,
                    explanation=explanations[by_hour],
                    model=self._series.model,
                    series=self._series.subject.series,
                )
                verdict = verdict_of(watch, k, cells, windows, distances, watch.limits(weeks, hour), hour)
                if verdict["state"] != "no traffic" and (frozen := self._frozen(position, since, hour)):
                    verdict |= frozen_verdict(frozen)
                results[position] = result._replace(**verdict)
        if not results:
            return None
        in_order = tuple(results[position] for position in self._covers[rule.name] if position in results)
        return Judged(rule, span, test, Sample(shown.counts, shown.sums, deviations), in_order)

    def _frozen(self, position: int, since: int, hour: int) -> Repeated | None:
        """How long a column has repeated one value before an hour, if that is not usual; None while it learns."""
        if hour - max(self.hours.first, since) < ARMED * DAY:
            return None
        deviation = float(np.nan_to_num(self._series.reference.deviations[position]))
        # Mostly the hours of one day tell that the value has changed: a twentieth of the work.
        for hours in (DAY, LEARNT):
            found = repeated(*self.hours.of_column(position, max(hour - hours, since), hour), deviation)
            if found.hours <= FEWEST_HOURS < found.known:
                return None
        return found if found.frozen else None

    def _has_past(self, position: int, length: int, hour: int) -> bool:
        """Whether the history of a column has been replayed, or was by an earlier process."""
        watch = self._watch(position, length)
        return bool(watch.maxima) or watch.learned is not None or self._replayed.get((position, length), -1) >= hour

    def _same_hours(self, hour: int, length: int) -> Batch:
        """Sum of the same hours of the weeks before a window, but for hours in which it has no rows."""
        grid, total, begin = self.hours.grid(), self.hours.between(0, 0), hour - length
        empty = [one for one in range(begin, hour) if not self.hours.between(one, one + 1).n]
        for before, end in pairwise([begin - 1, *empty, hour]):  # the hours between two empty ones
            earlier = grid.weeks_before(np.array(end - grid.first), np.arange(1, SAME_HOURS + 1))
            for stop in (grid.first + earlier[(earlier >= length) & (end > before + 1)]).tolist():
                total = total + self.hours.between(stop - (end - before - 1), stop)
        return total

    def save(self, connection: sqlite3.Connection) -> None:
        """Store what was learnt and the weeks that grew, in the caller's transaction."""
        learned, weeks = [], []
        for key, watch in self._watches.items():
            if watch.learned is not None and watch.day > self._saved.get(key, -1):
                self._saved[key] = watch.day
                day = float(watch.day * HOUR)
                learned.append(usual_store.LearnedRow(*key, day, watch.learned.predictor, watch.learned.scatter))
            weeks += [usual_store.WeekRow(*key, week, watch.maxima[week]) for week in sorted(watch.grown)]
            watch.grown.clear()
        if learned or weeks:
            usual_store.save(connection, self._series.id, learned, weeks)
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
        found = self._known[series.id, question].rejudge(self._connection, rule, length, round(end) // HOUR, at)
        return found.results if found else ()


def verdict_of(
    watch: Watch, k: int, cells: Cells, windows: Windows, distances: Distances, limits: Floats, hour: int
) -> dict[str, Any]:
    """The verdict on column `k` of one judged window, as fields of a result: of the cell that moved most.

    Value and critical value are shares: of a numeric column's shape the K-S distance.
    """
    part, own = cells.parts[k], watch.cells
    rows, usual = int(windows.n[0, 2 * k + 1]), int(windows.usual[0, k])
    known = distances.known[0, part]
    if not known.any():
        if not rows:
            return {"state": "no traffic", "reason": "no rows in this window"}
        reason = "learning what is usual: too few hours are known"
        if not windows.judged[0, k]:
            reason = f"{PARTIAL}: {rows:,} rows, {max(usual, FEWEST_ROWS):,} are usual at this hour"
            if rows >= max(usual, FEWEST_ROWS):
                reason = f"{PARTIAL}: its rows are in other hours than usual, or in quiet days"
        return {"state": "insufficient data", "reason": reason, "n": rows}
    change, scale = distances.change[0, part], distances.scale[0, part]
    size, critical = np.abs(change), scale * limits[own.limit_of]
    with np.errstate(invalid="ignore"):
        ratio = np.where(known, np.minimum(size / critical, size / own.floors), -1.0)
    worst = int(np.argmax(ratio))
    states, reasons = verdicts(size[[worst]], critical[[worst]], own.floors[[worst]])
    reason = reasons[0]
    if states[0] == "drift":
        partial = not windows.judged[0, k]
        reason = explain(watch, worst, float(change[worst]), float(scale[worst]), hour, partial=partial)
    return {
        "state": states[0],
        "reason": reason,
        "n": int(windows.n[0, 2 * k + (not own.is_bulk[worst])]),
        "value": float(size[worst]),
        "critical": float(critical[worst]),
        "floor": float(own.floors[worst]),
        "scatter": float(scale[worst]),
    }


def frozen_verdict(found: Repeated) -> dict[str, Any]:
    """The verdict on a column that repeats one value, as fields of a result: hours, as parts of a week.

    >>> frozen_verdict(Repeated(14, 140, 1, 1344))["reason"]
    'one value was repeated for the last 14 hours that had any; the longest such time in 8 weeks was 1 hour'
    """
    hours = counted(found.hours, "hour")
    reason = f"one value was repeated for the last {hours} that had any; the longest such time in 8 weeks was"
    return {
        "state": "drift",
        "reason": f"{reason} {counted(found.longest, 'hour')}",
        "n": found.rows,
        "value": found.hours / WEEK,
        "critical": found.most / WEEK,
        "floor": FEWEST_HOURS / WEEK,
        "scatter": None,
    }


def explain(watch: Watch, cell: int, change: float, scale: float, hour: int, *, partial: bool = False) -> str:
    """Say how far a cell is from what is usual, how far it was in its worst week, and how often such a thing comes."""
    cells, where = watch.cells, int(watch.cells.limit_of[cell])
    when = "at this hour" if watch.learned and watch.learned.predictor else "in the last weeks"
    when = "in the hours that it has" if partial else when
    ks = cells.is_bulk[cell] and cells.columns[0].numeric
    if ks:
        text = f"{percent(abs(change))} of its values are other than usual {when}"
    else:
        way = "above" if change > 0 else "below"
        text = f"{cell_name(cells, cell)} is {size_of(change, True)} {way} what is usual {when}"
    past = [(float(watch.maxima[week][where]), week) for week in sorted(watch.maxima) if week < hour // WEEK][-WEEKS:]
    past = [one for one in past if one[0] >= 0]
    if len(past) < FEWEST_WEEKS:
        return f"{text}; too few weeks are known to say how often that comes"
    worst, week = max(past)
    day = date_time(week * WEEK * HOUR).partition(", ")[0]
    rare = weeks_between(np.array([one for one, _ in past]), abs(change) / scale)
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
    if cells.is_bulk[cell]:
        return f"share of {cells.names[cell]!r}"
    return TAIL_NAMES[cells.names[cell]]


TAIL_NAMES = {
    "missing": "missing share",
    "below": "share below its range",
    "above": "share above its range",
    "nonfinite": "infinite share",
    "other": "unseen share",
    "fullest": "share of the fullest bin",
}
