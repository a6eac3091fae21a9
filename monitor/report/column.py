"""A column's own page and its section in a report: what moved, by how much, since when, how sure."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from monitor.backtest.locate import locate
from monitor.columns.column import Column, Counts, Floats
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.report import figure
from monitor.report.bars import Bar, lay_out, shares
from monitor.report.overview import Row, counts, figure_label, reference_mean
from monitor.store.records import history
from monitor.store.records.history import Point, Series
from monitor.words import number, statistic

#: Quantiles drawn over time: the middle, and the band around it.
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class BinRow:
    """One row of a histogram's table. `drawn`: both shares as bars, for a category only."""

    label: str
    reference: float
    test: float
    reference_rows: int
    test_rows: int
    drawn: Markup

    @property
    def change(self) -> float:
        """Share gained or lost."""
        return self.test - self.reference


@dataclass(frozen=True)
class Histograms:
    """The counts of both sides, drawn and as a table. `cumulative`: None for a categorical column."""

    drawn: Markup
    cumulative: Markup | None
    apart: tuple[Bar, ...]
    bins: tuple[BinRow, ...]
    live: bool


def histograms(row: Row, reference: Reference) -> Histograms:
    """Draw both sides of a column, and list them."""
    before, after = counts(row, reference)
    column, live = row.column, bool(after.sum())
    plane = lay_out(column, before, after, slot=0.04, gap=0.02, finest=0.008)
    mark, curves = None, None
    judged = row.result is not None and row.result.value is not None
    if column.numeric and judged and live and len(column.edges) > 1:
        below, under = (_cumulative(column, side) for side in (before, after))
        gaps = np.abs(below - under)
        mark = column.edges[int(np.argmax(gaps))]
        text = f"Cumulative shares; the largest gap is {gaps.max():.3f}, at {number(mark, 4)}"
        curves = figure.cumulative(plane, column.edges, below, under, text)
    drawn = figure.histogram(plane, figure_label(row, live), live, mark)
    apart = tuple(bar for bar in plane.bars if bar.where in figure.SIGNS)
    return Histograms(drawn, curves, apart, _bins(column, before, after), live)


def _bins(column: Column, before: Counts, after: Counts) -> tuple[BinRow, ...]:
    """Every bin of a column; categories with both shares drawn."""
    was, now = shares(before), shares(after)
    top, live = max([*was, *now], default=0.0) or 1.0, bool(after.any())
    drawn = [Markup("") if column.numeric else figure.pair(*pair, top, live) for pair in zip(was, now, strict=True)]
    return tuple(map(BinRow, column.labels, was, now, before.tolist(), after.tolist(), drawn))


def _cumulative(column: Column, counts: Counts) -> Floats:
    """Share of the finite values at or below each edge."""
    values = counts[: column.value_bins].astype(np.float64)
    out: Floats = np.cumsum(values)[:-1] / max(float(values.sum()), 1.0)
    return out


def quantile(column: Column, counts: Floats, q: float) -> Floats:
    """Quantile of each row of counts, shape (T, size), by straight lines within a bin; outer bins count as their edge.

    >>> column = Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0))
    >>> quantile(column, np.array([[0.0, 1.0, 3.0, 0.0, 0.0, 0.0]]), 0.5).tolist()
    [1.3333333333333335]
    """
    edges, values = np.array(column.edges), counts[:, : column.value_bins]
    below, every = np.cumsum(values, axis=1), np.arange(len(values))
    wanted = q * np.maximum(below[:, -1], 1.0)
    at = np.minimum((below < wanted[:, None]).sum(axis=1), column.value_bins - 1)
    inside = np.clip(at, 1, len(edges) - 1)
    low, high = edges[inside - 1], edges[inside]
    held = np.maximum(values[every, inside], 1e-300)
    part = np.clip((wanted - below[every, inside - 1]) / held, 0.0, 1.0)
    out: Floats = np.where(at == 0, edges[0], np.where(at >= len(edges), edges[-1], low * (1 - part) + high * part))
    return out


def over_time(
    connection: sqlite3.Connection,
    row: Row,
    reference: Reference,
    config: Config,
    start: float,
    end: float,
    since: float | None = None,
) -> dict[str, Any]:
    """Read what is stored of a column from `start` to `end`, and draw it: verdicts, values, changes, unseen values.

    `since`: a moment to mark in the charts.
    """
    column, position, identity, base = row.column, row.position, reference.identity, config.window.base
    width = max(base, int(end - start) // 120 // base * base)
    series = history.windows(connection, identity, position, column, start, end, width)
    points: list[Point] = []
    if row.result:
        names = row.result.model_version, column.role, column.name, row.result.rule, row.result.statistic
        points = history.verdicts(connection, *names, start, end)
    longest = max(2.5 * (end - start) / history.POINTS, 2.5 * config.drift.every)
    deviation = float(reference.deviations[position])
    return {
        "points": points,
        "onsets": locate(column, series.counts, series.starts, series.width, series.sums, deviation),
        "statistic_chart": _statistic_chart(points, start, end, longest, since),
        "values_chart": _values_chart(column, series, start, end, reference_mean(row, reference), since),
        "unseen": [] if column.numeric else history.unseen_values(connection, identity, position),
    }


def _statistic_chart(
    points: Sequence[Point], start: float, end: float, longest: float, since: float | None
) -> Markup | None:
    """Draw the statistic with its critical value and floor. Returns None if no verdict is stored."""
    if not any(point.value is not None for point in points):
        return None
    floor = next((point.floor for point in reversed(points) if point.floor is not None), None)
    lines = [
        ("line-critical", [(point.at, point.critical) for point in points]),
        ("line-live", [(point.at, point.value) for point in points]),
    ]
    levels = [("line-floor", floor, f"floor {statistic(floor)}")] if floor is not None else []
    label = "The statistic over time, with its critical value and effect floor"
    return figure.time_line(label, start, end, lines, levels=levels, zero=True, since=since, longest=longest)


def _values_chart(
    column: Column, series: Series, start: float, end: float, mean: float | None, since: float | None
) -> Markup | None:
    """Draw mean, median and the band from the 5th to the 95th percentile. Returns None if there is nothing to draw."""
    if not column.numeric or len(column.edges) < 2:
        return None
    rows = series.counts[:, : column.value_bins].sum(axis=1)
    some = rows > 0
    if not some.any():
        return None
    moments = (series.starts[some] + series.width / 2).tolist()
    low, middle, high = (quantile(column, series.counts[some], q).tolist() for q in QUANTILES)
    means = [mean if math.isfinite(mean) else None for mean in (series.sums[some] / rows[some]).tolist()]
    lines = [
        ("line-median", list(zip(moments, middle, strict=True))),
        ("line-live", list(zip(moments, means, strict=True))),
    ]
    return figure.time_line(
        f"Mean, median and the middle 90 % of {column.name} over time",
        start,
        end,
        lines,
        band=(moments, low, high),
        levels=[] if mean is None or not math.isfinite(mean) else [("line-ref-level", mean, "reference mean")],
        since=since,
        longest=series.width * 1.5,
    )
