"""When the rule about usual windows would have alerted over the stored hours, and the smallest shift that it detects.

Replays the rule for each column and window length. To find the shift it moves a stored histogram, not rows.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monitor.clock import HOUR, iso
from monitor.columns.column import Column, Floats
from monitor.config.settings import DriftConfig, duration_text
from monitor.drift.result import Span
from monitor.judging.hours import Hours
from monitor.judging.usual import PROPOSED
from monitor.normal.cells import Cells
from monitor.normal.expected import DAY_HOURS, WEEK_HOURS
from monitor.normal.usual import WEEKS_A_MONTH, Learner, Replayed, horizon, judge_together, propose_lengths
from monitor.series import Series
from monitor.words import counted, number

#: A column alerts again once it was usual for this long, in hours.
REOPEN = WEEK_HOURS
#: Largest shift that is tried, in standard deviations.
LARGEST_SHIFT = 8.0


@dataclass(frozen=True)
class ColumnAlerts:
    """One column.

    `told`: when it would have alerted. `limits`: by window length in hours, the K-S distance, or change of a category's
    share, above which it alerts now. `smallest`: the smallest shift, in reference standard deviations, that any window
    length detects; None for a categorical column, or if no shift that is tried is detected.
    """

    column: str
    role: str
    told: tuple[float, ...]
    limits: dict[int, float]
    smallest: float | None
    proposal: str


@dataclass(frozen=True)
class Suggestion:
    """What a budget of `alerts` a month comes to. `messages`: when each goes out; alerts close together share one."""

    span: Span
    alerts: float
    lengths: tuple[int, ...]
    messages: tuple[float, ...]
    found: tuple[ColumnAlerts, ...]

    @property
    def a_month(self) -> float:
        """Messages a month."""
        return len(self.messages) / max((self.span.end - self.span.start) / HOUR / WEEK_HOURS / WEEKS_A_MONTH, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary, times in ISO 8601."""
        columns = [{**asdict(column), "told": [iso(at) for at in column.told]} for column in self.found]
        return {
            **self.span.to_json(),
            "alerts": self.alerts,
            "windows": [duration_text(length * HOUR) for length in self.lengths],
            "a_month": self.a_month,
            "messages": [iso(at) for at in self.messages],
            "columns": columns,
        }


def suggest(
    connection: sqlite3.Connection, series: Series, drift: DriftConfig, alerts: float, span: Span
) -> Suggestion | None:
    """Replay the rule over the stored hours of a period; None if they are fewer than a week."""
    hours = Hours(series, drift, kept=max(round((span.end - span.start) // HOUR), 1))
    hours.read(connection, round(span.end // HOUR))
    if len(hours.hourly) < PROPOSED * DAY_HOURS:
        return None
    lengths = drift.windows or propose_lengths(hours.hourly)
    offsets = series.schema.offsets.tolist()
    cells = [Cells([column], [offset]) for column, offset in zip(series.schema.columns, offsets, strict=False)]
    weeks = horizon(sum(of_column.limits for of_column in cells) * len(lengths), alerts)
    grid, findings = hours.grid(), []
    for position, column in enumerate(series.schema.columns):
        exceeded: list[int] = []
        limits, constant = {}, []
        for length in lengths:
            learner = Learner(cells[position], length)
            replayed = learner.run(grid, 0, grid.hours + 1, weeks)
            exceeded += replayed.ends[replayed.excess > 1].tolist()
            constant.append(_constant_share(replayed))
            if learner.learn(grid, grid.hours):
                _, latest = judge_together([learner], cells[position], grid, grid.hours)
                scale = float(latest.scale[0, 0]) if cells[position].is_bulk[0] else 0.0
                limit = float(learner.limits(weeks, grid.first + grid.hours)[0]) * scale
                limits[length] = max(limit, float(cells[position].floors[0]))
        starts = tuple(float((grid.first + at) * HOUR) for at in _first_of_each(sorted(exceeded)))
        smallest = None
        if column.numeric and limits:
            level, _ = cells[position].shares(hours.between(hours.first, hours.end).counts[cells[position].bins])
            deviation = float(series.reference.deviations[position])
            smallest = smallest_shift(column, cells[position], level, deviation, limits)
        findings.append((column, starts, limits, smallest, min(constant, default=0.0)))
    messages = _merge_close(sorted(at for _, starts, *_ in findings for at in starts), lengths[0] * HOUR)
    most = max(len(messages) / 2, 2)
    rows = [
        ColumnAlerts(column.name, column.role, starts, limits, smallest, _proposal(len(starts), most, constant_share))
        for column, starts, limits, smallest, constant_share in findings
    ]
    period = Span(float(hours.first * HOUR), float(hours.end * HOUR))
    return Suggestion(period, alerts, lengths, messages, tuple(rows))


def smallest_shift(
    column: Column, cells: Cells, level: Floats, deviation: float, limits: dict[int, float]
) -> float | None:
    """The least shift up, in standard deviations, whose K-S distance passes the lowest limit; None if none does.

    `level`: shares of the cells. Rows are taken to be spread evenly between two edges.

    >>> from monitor.normal.cells import cells_of
    >>> column = Column("x", "feature", "numeric", edges=tuple(np.linspace(0, 10, 11).tolist()))
    >>> cells = cells_of(column)
    >>> level, _ = cells.shares(np.array([0] + [10] * 10 + [0, 0, 0]))
    >>> smallest_shift(column, cells, level, 1.0, {24: 0.25})
    2.5
    """
    edges, shares = np.array(column.edges), level[cells.is_bulk]
    if not deviation > 0 or len(edges) < 2:
        return None
    lowest = min(limits.values())
    for shift in np.arange(0.05, LARGEST_SHIFT + 0.01, 0.05):
        moved = np.interp(edges - shift * deviation, edges, shares, left=0.0, right=1.0)
        if float(np.abs(moved - shares).max()) >= lowest:
            return round(float(shift), 2)
    return None


def describe(done: Suggestion) -> list[str]:
    """Write it for people, a line a column."""
    windows = " and ".join(duration_text(length * HOUR) for length in done.lengths)
    lines = [
        f"{iso(done.span.start)} to {iso(done.span.end)}, windows of {windows}, a budget of {done.alerts:g} a month:",
        f"{counted(len(done.messages), 'message')}, {number(done.a_month, 2)} a month",
    ]
    for of in sorted(done.found, key=lambda column: -len(column.told)):
        limits = ", ".join(f"{duration_text(n * HOUR)} {number(x, 2)}" for n, x in of.limits.items()) or "not learnt"
        told = ", ".join(iso(at)[:10] for at in of.told) or "never"
        shift = "" if of.smallest is None else f"; a shift of {of.smallest:g} sd is told"
        lines.append(f"  {of.column} ({of.role}): told {told}; limit {limits}{shift}")
        lines += [f"    {of.proposal}"] if of.proposal else []
    return lines


def _proposal(alerts: int, most: float, constant_share: float) -> str:
    if alerts < most:
        return ""
    if constant_share > 0.8:
        return "uses up the budget; it is constant for weeks, as a calendar is: leave it to the rule about training"
    return "uses up the budget: give it a rule of its own with a longer window"


def _constant_share(replayed: Replayed) -> float:
    """Share of the judged windows that are exactly what was expected."""
    judged = replayed.distances[:, 0][np.isfinite(replayed.distances[:, 0])]
    return float((judged < 1e-9).mean()) if len(judged) else 0.0


def _first_of_each(hours: list[int]) -> list[int]:
    """First hour of each run of hours; a gap of more than `REOPEN` begins a new run."""
    return [hour for before, hour in zip([-REOPEN - 1, *hours], hours, strict=False) if hour - before > REOPEN]


def _merge_close(moments: list[float], apart: float) -> tuple[float, ...]:
    out: list[float] = []
    for at in moments:
        if not out or at - out[-1] > apart:
            out.append(at)
    return tuple(out)
