"""A column's own page and its section in a report: what moved, by how much, since when, how sure."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from monitor.clock import DAY, WEEK, from_iso
from monitor.columns.column import Column, Counts, Floats, Role
from monitor.config.load import Config
from monitor.drift.locate import Onsets, locate
from monitor.drift.result import DriftResult, Span
from monitor.judging.evaluation import Evaluation
from monitor.outcomes.performance import value_name
from monitor.reference.file import Reference
from monitor.report import figure, trend
from monitor.report.bars import lay_out, shares
from monitor.report.figure import Marks
from monitor.report.overview import Row, counts, figure_label
from monitor.rules.rule import USUAL
from monitor.series import Series as Counted
from monitor.store.records import history
from monitor.store.records.alerts import alert_spans
from monitor.store.records.history import Point
from monitor.store.records.references import accepted_periods
from monitor.store.windows.rows import list_gaps
from monitor.words import count, counted, date_time, duration, number, statistic

#: What a column's page shows a period beside: key in the address, and words. Rules judge against the first only.
REFERENCE = "reference"
COMPARISONS = {REFERENCE: "the reference", "before": "the period before", "week": "the same period last week"}

HALF_A_YEAR = 182 * DAY


def histograms(row: Row, reference: Reference, sides: tuple[Counts, Counts] | None = None) -> dict[str, Any]:
    """Draw both sides of a column, and list its bins. `sides`: other counts than those that were judged.

    `cumulative` is None without a verdict and for a categorical column; `apart`: bars outside the axis.
    """
    before, after = sides or counts(row, reference)
    column, live = row.column, bool(after.sum())
    label = f"{column.name} in two periods" if sides else figure_label(row, live)
    few = column.numeric and trend.few_values(column, before)
    values = [column.bin_means[i] for i in np.flatnonzero(before[: column.value_bins])] if few else []
    drawn, curves = over(column, before, after, label, 0.04, 0.008, values), None
    if column.numeric and sides is None and row.result and row.result.value is not None and live and not few:
        below, under = (_cumulative(column, side) for side in (before, after))
        gaps = np.abs(below - under)
        text = f"Cumulative shares; the largest gap is {gaps.max():.3f}, at {number(column.edges[gaps.argmax()], 4)}"
        curves = figure.cumulative(drawn["plane"], column.edges, below, under, text)
    return {**drawn, "cumulative": curves}


def _bins(column: Column, before: Counts, after: Counts) -> list[dict[str, Any]]:
    """Every bin of a column; categories with both shares drawn."""
    was, now = shares(before), shares(after)
    top, live = max([*was, *now], default=0.0) or 1.0, bool(after.any())
    return [
        {
            "label": label,
            "reference": was[i],
            "test": now[i],
            "change": now[i] - was[i],
            "reference_rows": int(before[i]),
            "test_rows": int(after[i]),
            "drawn": "" if column.numeric else figure.pair(was[i], now[i], top, live),
        }
        for i, label in enumerate(column.labels)
    ]


def _cumulative(column: Column, counts: Counts) -> Floats:
    """Share of the finite values at or below each edge."""
    values = counts[: column.value_bins].astype(np.float64)
    out: Floats = np.cumsum(values)[:-1] / max(float(values.sum()), 1.0)
    return out


class Compared(NamedTuple):
    """A period beside an earlier one. `sides`: counts of one column, shape (bins,), of the earlier period and of it."""

    earlier: Span
    this: Span
    sides: tuple[Counts, Counts]


def compared(connection: sqlite3.Connection, row: Row, of: Counted, this: Span, against: str) -> Compared | None:
    """Count a column's rows in a period and in the one that it is compared with; None if that is the reference.

    `against`: a key of `COMPARISONS`. Rows are those of all versions of the model that have its reference.
    """
    if against == REFERENCE:
        return None
    ago = WEEK if against == "week" else this.end - this.start
    earlier = Span(this.start - ago, this.end - ago)
    found = [
        history.windows(connection, of, row.position, span.start, span.end, 1.0).counts for span in (earlier, this)
    ]
    before, after = (counts.sum(axis=0).astype(np.int64) for counts in found)
    return Compared(earlier, this, (before, after))


def over_time(
    connection: sqlite3.Connection,
    row: Row,
    of: Counted,
    config: Config,
    start: float,
    end: float,
) -> dict[str, Any]:
    """Read what is stored of a column from `start` to `end`, and draw it: verdicts, values, changes, unseen values."""
    column, position, reference = row.column, row.position, of.reference
    series, onsets = changes(connection, of, position, config.window.base, start, end)
    # There are no data before the model was first served.
    began = max(start, min(from_iso(of.first_served), *series.starts[:1].tolist(), end))
    happened = marks(connection, of, column.role, column.name, start, end)
    happened = happened._replace(nothing=trend.without_data(series, began, end))
    points: list[Point] = []
    # What is usual has a chart of its own, and is judged too seldom to be found at the evaluations drawn here.
    every = [row.result, *row.others] if row.result else []
    result = next((one for one in every if not one.statistic.startswith("usual ")), None)
    if result:
        names = of.subject, column.role, column.name, result.rule, result.statistic
        points = history.verdicts(connection, *names, start, end)
    statistic_chart = None
    if any(point.value is not None for point in points):
        floor = next((point.floor for point in reversed(points) if point.floor is not None), None)
        statistic_chart = figure.time_line(
            "The statistic over time, with its critical value and effect floor",
            start,
            end,
            {
                "line-critical": [(point.at, point.critical) for point in points],
                "line-live": [(point.at, point.value) for point in points],
            },
            levels=[] if floor is None else [("line-floor", floor, f"floor {statistic(floor)}")],
            zero=True,
            marks=happened,
            begin=trend.BEGIN,
            longest=max(2.5 * (end - start) / history.POINTS, 2.5 * config.drift.every),
            read=[(point.at, _reading(result, point)) for point in points if result],
        )
    return {
        "points": points,
        "drawn_statistic": result.statistic if result else "",
        "onsets": onsets,
        "statistic_chart": statistic_chart,
        "marks": happened,
        "trend": trend.draw_column(column, series, counts(row, reference)[0], happened, start, end),
        "unseen": [] if column.numeric else history.unseen_values(connection, of, position),
    }


def changes(
    connection: sqlite3.Connection, of: Counted, position: int, base: float, start: float, end: float
) -> tuple[history.Series, Onsets]:
    """Read a column's windows, which are `base` seconds long, from `start` to `end`, and find its changes in them."""
    width = max(base, int(end - start) // history.POINTS // base * base)
    found = history.windows(connection, of, position, start, end, width)
    column, deviation = of.schema.columns[position], float(of.reference.deviations[position])
    return found, locate(column, found.counts, found.starts, found.width, found.sums, deviation)


def marks(connection: sqlite3.Connection, of: Counted, role: Role, name: str, start: float, end: float) -> Marks:
    """Read what to mark in a column's charts, besides times without data."""
    about = of.subject, role, name
    return Marks(
        alerts=[span for span in alert_spans(connection, *about, end) if span[1] > start and span[0] < end],
        accepted=[span for span in accepted_periods(connection, *about, start) if span[0] < end],
        versions=history.version_changes(connection, of, start, end),
        lost=lost(connection, start, end),
    )


def lost(connection: sqlite3.Connection, start: float, end: float) -> list[tuple[float, float, str]]:
    """Read when predictions were lost, and how many and why, the oldest first."""
    return [
        (
            from_iso(gap["start"]),
            from_iso(gap["end"]),
            f"{'an unknown number of predictions' if gap['lost'] is None else counted(gap['lost'], 'prediction')} "
            f"lost: {gap['detail']}",
        )
        for gap in reversed(list_gaps(connection, start, end, 50))
    ]


def usual(
    connection: sqlite3.Connection,
    evaluation: Evaluation,
    row: Row,
    of: Counted,
    marks: Marks,
    start: float,
    end: float,
) -> list[dict[str, Any]]:
    """Draw how far a column's windows are from what is usual, of each length that was judged last. `marks`: in charts.

    All of it is stored verdicts and the counts that the last evaluation looked at; nothing is judged here.
    """
    column, reference, out, last = row.column, of.reference, [], f"{row.column.name}: the last window over"
    low, high = reference.schema.offsets[row.position : row.position + 2]
    for judged in evaluation.judged:
        if judged.rule.reference != USUAL:
            continue
        found = [result for result in judged.results if (result.role, result.column) == (column.role, column.name)]
        for result in found:
            names = of.subject, column.role, column.name, result.rule, result.statistic
            points = history.usual_verdicts(connection, *names, min(start, end - HALF_A_YEAR))
            sides = [side[low:high] for side in (judged.reference.counts, reference.counts, judged.test.counts)]
            out.append(
                {
                    "result": result,
                    "window": judged.window,
                    "length": duration(judged.window.end - judged.window.start),
                    "worst": worst_weeks(points, end - HALF_A_YEAR),
                    "chart": _usual_chart(result, points, marks, start, end),
                    "expected": over(column, sides[0], sides[2], f"{last} what is usual"),
                    "training": over(column, sides[1], sides[2], f"{last} the training data"),
                }
            )
    return out


def over(
    column: Column,
    before: Counts,
    after: Counts,
    label: str,
    slot: float = 0.06,
    finest: float = 0.015,
    values: Sequence[float] = (),
) -> dict[str, Any]:
    """Draw live counts of a column over others: a histogram of numbers, and all bins. `label`: its text.

    `slot`, `finest`: see `lay_out`; `values`: see `figure.histogram`. `apart`: bars outside the axis.
    """
    plane, n = lay_out(column, before, after, slot, finest), int(after.sum())
    return {
        "plane": plane,
        "drawn": figure.histogram(plane, label, n, values) if column.numeric else "",
        "apart": [bar for bar in plane.bars if bar.where in figure.SIGNS],
        "bins": _bins(column, before, after),
        "live": n > 0,
        "rows": int(before.sum()),
    }


def worst_weeks(points: Sequence[Point], since: float, most: int = 3) -> list[tuple[float, Point]]:
    """The weeks whose worst window came closest to its threshold or furthest beyond it: their Mondays, UTC.

    >>> point = Point(1_772_668_800.0, 0.12, 0.1, 0.08, 50, "drift")
    >>> worst_weeks([point, point._replace(value=0.11)], 0.0) == [(from_iso("2026-03-02T00:00:00Z"), point)]
    True
    """
    worst: dict[float, Point] = {}
    for point in points:
        # The epoch was a Thursday; a window that ends on Monday at midnight is the week's before.
        monday = (point.at - 1 + 3 * DAY) // WEEK * WEEK - 3 * DAY
        if point.value and point.at >= since:
            worst[monday] = max(worst.get(monday, point), point, key=_of_threshold)
    return sorted(worst.items(), key=lambda item: -_of_threshold(item[1]))[:most]


def _of_threshold(point: Point) -> float:
    return (point.value or 0.0) / max(point.critical or 0.0, point.floor or 0.0, 1e-9)


def _usual_chart(
    result: DriftResult,
    points: Sequence[Point],
    marks: Marks,
    start: float,
    end: float,
) -> Markup | None:
    """Draw the distance from what is usual; None without a verdict.

    The chart shows it as a multiple of its limit: the shape and each share have limits of their own, and in one window
    the shape is furthest from usual, in another a share.
    """
    shown = [point for point in points if start <= point.at <= end and point.value is not None]
    if not shown:
        return None
    # Of each cell of the chart the window that came closest to its threshold: the peaks are what matters.
    cell = max((end - start) / (2 * history.POINTS), 1.0)
    cells: dict[int, Point] = {}
    for point in shown:
        at = int((point.at - start) / cell)
        cells[at] = max(cells.get(at, point), point, key=_of_threshold)
    kept = list(cells.values())
    steps = sorted(after.at - before.at for before, after in pairwise(shown))
    step = steps[len(steps) // 2] if steps else 0.0
    return figure.time_line(
        f"How far {result.column} is from what is usual over time, as a multiple of its limit",
        start,
        end,
        {"line-live": [(point.at, _of_threshold(point)) for point in kept]},
        band=[(point.at, 0.0, 1.0) for point in kept],
        levels=[("line-critical", 1.0, "limit")],
        zero=True,
        marks=marks,
        begin=trend.BEGIN,
        longest=2.5 * max(cell, step),
        read=[(point.at, f"{_reading(result, point)}\n{_of_threshold(point):.2f} times the limit") for point in kept],
    )


def _reading(result: DriftResult, point: Point) -> str:
    """Text at a point of a time line. `result`: any verdict of the same statistic."""
    parts = ("critical value", point.critical), ("effect floor", point.floor)
    limits = "".join(f"\n{name} {statistic(value)}" for name, value in parts if value is not None)
    verdict = f"{date_time(point.at)}: {point.state}\n{value_name(result.statistic)} {statistic(point.value)}"
    return f"{verdict}{limits}\nn {count(point.n)}"
