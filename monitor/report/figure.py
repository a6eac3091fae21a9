"""The figures: histograms, cumulative curves, heat map rows and time lines, as SVG.

Colours are classes of page.css, for dark mode, print and a strict content policy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from monitor.columns.moments import fraction
from monitor.report.bars import Bar, Plane
from monitor.report.svg import Chart, dots, element, line, path, ticks, time_ticks
from monitor.words import number, percent

#: The largest number: no axis goes beyond it.
LARGEST = sys.float_info.max

#: Size of the histogram in a row of the overview, in units of its view box.
SMALL = (240, 56)

#: The bars that are set apart: the sign under each, and its meaning for the legend.
SIGNS = {
    "below": ("‹", "below what the reference saw"),
    "low": ("«", "beyond the plot"),
    "high": ("»", "beyond the plot"),
    "above": ("›", "above what the reference saw"),
    "missing": ("∅", "missing"),
    "infinite": ("∞", "infinite"),
    "other": ("?", "unseen values"),
}


def small_histogram(plane: Plane, label: str, live: bool = True) -> Markup:
    """Both sides of a column, one over the other, as an image with a label. `live`: whether there is a live side."""
    width, height = SMALL
    shapes = [path("ref", outline(plane.bars, "reference", width, height))]
    if live:
        shapes.append(path("live", outline(plane.bars, "test", width, height)))
    shapes.append(path("base", f"M0 {height}H{width}"))
    box = f"0 -2 {width} {height + 4}"
    return element("svg", *shapes, class_="hist", viewBox=box, role="img", aria_label=label)


def outline(bars: Sequence[Bar], side: str, width: int, height: int) -> str:
    """One side's bars as the `d` of a path: neighbours share their border, bars that are set apart do not.

    >>> bars = (Bar("inside", "", 0, 0.5, 0, 0, 0.5, 0.0), Bar("inside", "", 0.5, 1, 0, 0, 1.0, 0.0))
    >>> outline(bars, "reference", 100, 40)
    'M0 40V20H50V0H100V40'
    """
    parts = []
    end: float | None = None
    for bar in bars:
        left, right = round(bar.left * width), round(bar.right * width)
        tall = bar.reference_height if side == "reference" else bar.test_height
        # A share above zero is at least one unit high.
        top = height - (max(round(tall * height), 1) if tall > 0 else 0)
        if end is None or bar.where != "inside" or abs(bar.left - end) > 1e-9:
            parts.append(f"{f'V{height}' if end is not None else ''}M{left} {height}")
        parts.append(f"V{top}H{right}")
        end = bar.right
    return "".join(parts) + (f"V{height}" if parts else "")


def strip(levels: Sequence[str], label: str, height: int = 10) -> Markup:
    """A row of a heat map: one cell for each level, a class name; the empty text is a cell without a verdict."""
    cells: dict[str, list[str]] = {}
    at = 0
    for level, run in groupby(levels):
        length = len(list(run))
        if level:
            cells.setdefault(level, []).append(f"M{at} 0h{length}v{height}h-{length}z")
        at += length
    shapes = [path(level, "".join(d)) for level, d in cells.items()]
    box = f"0 0 {len(levels)} {height}"
    return element(
        "svg", *shapes, class_="strip", viewBox=box, preserveAspectRatio="none", role="img", aria_label=label
    )


def pair(reference: float, test: float, top: float, live: bool) -> Markup:
    """Draw the two shares of a category as bars, one over the other; `top`: the share that fills the width."""
    width, height = 240, 18
    shapes = [path("ref", f"M0 1H{round(width * reference / top)}V{height - 1}H0z")] if reference else []
    if live and test:
        shapes.append(path("live", f"M0 4H{round(width * test / top)}V{height - 4}H0z"))
    return element("svg", *shapes, class_="pair", viewBox=f"0 0 {width} {height}", aria_hidden="true")


def histogram(plane: Plane, label: str, live: bool, mark: float | None = None) -> Markup:
    """The histogram of a column's own page. `mark`: the value at which the cumulative curves are furthest apart."""
    chart = Chart(label)
    if mark is not None:
        chart.upright(plane.at(mark), "gap")
    chart.shape("ref", outline(plane.bars, "reference", 1000, 1000))
    if live:
        chart.shape("live", outline(plane.bars, "test", 1000, 1000))
    chart.level(0, "base")
    _axis(chart, plane)
    for bar in plane.bars:
        middle = (bar.left + bar.right) / 2
        if bar.where in SIGNS:
            chart.tick(middle, SIGNS[bar.where][0], "tick sign")
        if bar.cut:
            chart.note(middle, 1.0, f"↑ {percent(max(bar.reference, bar.test if live else 0.0))}", "note cut")
    return chart.markup()


def cumulative(
    plane: Plane,
    edges: Sequence[float],
    reference: npt.NDArray[np.float64],
    test: npt.NDArray[np.float64],
    label: str,
) -> Markup:
    """Both cumulative curves with the gap that K-S measures.

    `reference`, `test`: share of the rows at or below each edge, shape (edges,).
    """
    chart = Chart(label, plot=150)
    inside = [i for i, edge in enumerate(edges) if (plane.low or 0) <= edge <= (plane.high or 0)]
    for level in (0.0, 0.5, 1.0):
        chart.level(level, "grid" if level else "base")
    for shares, class_ in ((reference, "line-ref"), (test, "line-live")):
        chart.shape(class_, line((plane.at(edges[i]), float(shares[i])) for i in inside))
    worst = int(np.argmax(np.abs(reference - test)))
    x, low, high = plane.at(edges[worst]), *sorted((float(reference[worst]), float(test[worst])))
    chart.shape("gap", line([(x, low), (x, high)]))
    right = x < 0.8
    chart.note(
        x + 0.01 if right else x - 0.01,
        (low + high) / 2,
        f"gap {percent(high - low)}",
        "note gap-text",
        "start" if right else "end",
    )
    _axis(chart, plane)
    chart.note(0, 1.0, "100 %", "note")
    return chart.markup()


def _axis(chart: Chart, plane: Plane) -> None:
    if plane.low is None or plane.high is None:
        return
    for i, tick in enumerate(ticks(plane.low, plane.high)):
        chart.tick(plane.at(tick), number(tick, 4), "tick odd" if i % 2 else "tick")


def time_line(
    label: str,
    start: float,
    end: float,
    lines: Sequence[tuple[str, Sequence[tuple[float, float | None]]]],
    *,
    band: tuple[Sequence[float], Sequence[float], Sequence[float]] | None = None,
    levels: Sequence[tuple[str, float, str]] = (),
    zero: bool = False,
    since: float | None = None,
    longest: float = float("inf"),
) -> Markup:
    """Values over time.

    `lines`: a class and its (moment, value) points; a value of None breaks the line, as does a pause of more than
    `longest` seconds. `band`: moments, lower and upper values. `levels`: class, value and text of lines across.
    `zero`: begin at 0. `since`: a moment to mark.
    """
    values = [value for _, points in lines for _, value in points if value is not None]
    values += [value for _, value, _ in levels]
    values += [*band[1], *band[2]] if band else []
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = min(low, 0.0) if zero else low
    margin = high * 0.06 - low * 0.06 or abs(high) * 0.1 or 1.0
    low, high = (low if zero else max(low - margin, -LARGEST)), min(high + margin, LARGEST)
    span = max(end - start, 1.0)

    def place(moment: float, value: float) -> tuple[float, float]:
        return (moment - start) / span, fraction(value, low, high)

    chart = Chart(label, plot=150)
    for tick in ticks(low, high, 4):
        height = fraction(tick, low, high)
        chart.level(height, "grid")
        chart.note(0, height, number(tick))
    for i, (moment, text) in enumerate(time_ticks(start, end)):
        chart.tick((moment - start) / span, text, "tick odd" if i % 2 else "tick")
    if band is not None:
        for run in _runs(band[0], longest):
            moments, low_edge, high_edge = (side[run] for side in band)
            back = list(map(place, moments, low_edge))[::-1]
            chart.shape("band", line([*map(place, moments, high_edge), *back]) + "z")
    for class_, level, text in levels:
        chart.level(fraction(level, low, high), class_)
        chart.note(1, fraction(level, low, high), text)
    if since is not None and start <= since <= end:
        chart.upright((since - start) / span, "since-line")
        chart.note((since - start) / span, 1.0, "alert", "note gap-text")
    for class_, points in lines:
        drawn: list[tuple[float, float] | None] = []
        for run in _runs([moment for moment, _ in points], longest):
            drawn += [None, *(None if value is None else place(moment, value) for moment, value in points[run])]
        chart.shape(class_, line(drawn))
        if alone := dots(drawn):
            chart.shape(f"{class_} dots", alone)
    return chart.markup("chart time")


def _runs(moments: Sequence[float], longest: float) -> list[slice]:
    """Stretches of moments without a pause of more than `longest`.

    >>> _runs([0.0, 1.0, 5.0], 2.0)
    [slice(0, 2, None), slice(2, 3, None)]
    """
    starts = [i for i in range(len(moments)) if not i or moments[i] - moments[i - 1] > longest]
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(moments)], strict=True)]
