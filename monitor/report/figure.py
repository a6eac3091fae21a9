"""The figures as SVG: histograms, cumulative curves, heat map rows and time lines.

Colours are classes of page.css, for dark mode, print and a strict content policy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup, escape

from monitor.columns.column import Floats
from monitor.columns.moments import fraction
from monitor.report.bars import Bar, Plane
from monitor.words import apart, counted, number, percent

Point = tuple[float, float]
Period = tuple[float, float]

#: The largest number: no axis goes beyond it.
LARGEST = sys.float_info.max

#: Steps of a time axis, in seconds.
STEPS = (1, 5, 15, 60, 300, 600, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 7776000)

#: The bars that are set apart: the sign under each, and its meaning, a word of the glossary.
SIGNS = {
    "below": ("‹", "never seen"),
    "low": ("«", "beyond the plot"),
    "high": ("»", "beyond the plot"),
    "above": ("›", "never seen"),
    "missing": ("∅", "missing"),
    "infinite": ("∞", "infinite"),
    "other": ("?", "unseen values"),
}


def element(name: str, *children: str, **attributes: object) -> Markup:
    """Build an element. Attributes and plain text are escaped; `class_` and `aria_label` lose or change their mark.

    >>> element("text", "<b>", x=1, class_="tick")
    Markup('<text x="1" class="tick">&lt;b&gt;</text>')
    """
    pairs = "".join([f' {key.strip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()])
    inner = "".join([escape(child) for child in children])
    # Everything in it has just been escaped, or is markup that was built here.
    return Markup(f"<{name}{pairs}>{inner}</{name}>" if inner else f"<{name}{pairs}/>")  # noqa: S704


def image(shapes: Mapping[str, str], class_: str, box: str, label: str = "", **more: object) -> Markup:
    """Build an SVG of paths, by class; without a label it is hidden from screen readers."""
    # Classes and places are written here, and need no escaping, which would take a third of the time.
    paths = Markup("".join(f'<path class="{kind}" d="{d}"/>' for kind, d in shapes.items()))  # noqa: S704
    label_of = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return element("svg", paths, class_=class_, viewBox=box, **more, **label_of)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within [low, high], about evenly spread, at most `most`.

    >>> ticks(0.0, 1.0), ticks(-0.11, 0.17), ticks(3.0, 3.0)
    ([0.0, 0.25, 0.5, 0.75, 1.0], [-0.1, 0.0, 0.1], [3.0])
    """
    span = high - low
    if not math.isfinite(span):
        return [2.0 * tick for tick in ticks(low / 2, high / 2, most)]
    if not span > 0 or not math.isfinite(1 / span):
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    for factor in (1, 2, 2.5, 5, 10, 20, 25, 50):
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            digits = max(0, 2 - math.floor(math.log10(step)))
            return [round(i * step, min(digits, 300)) + 0.0 for i in range(first, last + 1)]
    return [low, high]


def time_ticks(start: float, end: float, most: int = 8) -> list[tuple[float, str]]:
    """Moments to label a time axis with, and their texts, UTC; midnights of several days are dates.

    >>> [text for _, text in time_ticks(0.0, 21600.0, 4)], [text for _, text in time_ticks(0.0, 130_000.0, 4)]
    (['00:00', '03:00', '06:00'], ['01 Jan', '12:00', '02 Jan', '12:00'])
    """
    step = next((step for step in STEPS if (end - start) / step < most), STEPS[-1])
    pattern = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%d %b"
    moments = [i * step for i in range(math.ceil(start / step), math.floor(end / step) + 1)]
    dated = end - start > 86400
    texts = ("%d %b" if dated and moment % 86400 == 0 else pattern for moment in moments)
    return [
        (moment, datetime.fromtimestamp(moment, UTC).strftime(text))
        for moment, text in zip(moments, texts, strict=True)
    ]


def line(points: Iterable[Point]) -> str:
    """Points on the unit plane as the `d` of a path on a plane of 1000 x 1000; a single point is a dot.

    >>> line([(0, 0), (0.5, 1)]), line([(0, 1)])
    ('M0 1000L500 0', 'M0 0h0')
    """
    places = [f"{round(1000 * x)} {round(1000 * (1 - y))}" for x, y in points]
    return f"M{'L'.join(places)}{'h0' if len(places) == 1 else ''}"


def hatching(left: float, right: float, step: int = 12, slope: int = 60) -> str:
    """Slanted lines from `left` to `right` on a plane of 1000 x 1000; those of neighbours meet.

    >>> hatching(0.0, 0.02)
    'M0 200L12 0M0 400L20 67M0 600L20 267M0 800L20 467M0 1000L20 667M12 1000L20 867'
    """
    low, high = round(1000 * left), round(1000 * right)
    parts = []
    for x in range(-(-(low - slope + 1) // step) * step, high, step):
        begin, end = max(x, low), min(x + slope, high)
        top, bottom = (round(1000 - 1000 * (place - x) / slope) for place in (end, begin))
        parts.append(f"M{begin} {bottom}L{end} {top}")
    return "".join(parts)


class Marks(NamedTuple):
    """What happened meanwhile, to mark in charts over time: beginnings and ends, in seconds since 1970 UTC.

    `nothing`: periods without data, or whose data are still to come. `versions`: since when another one answered.
    `lost`: when predictions were lost, and how many and why.
    """

    alerts: Sequence[Period] = ()
    accepted: Sequence[Period] = ()
    nothing: Sequence[Period] = ()
    versions: Sequence[tuple[float, str]] = ()
    lost: Sequence[tuple[float, float, str]] = ()

    @property
    def lanes(self) -> list[tuple[str, str, Sequence[tuple[Any, ...]]]]:
        """Strips below the plane: class, sign, and periods of each."""
        every = (("alert", "▲", self.alerts), ("accepted", "✓", self.accepted), ("lost", "✕", self.lost))
        return [lane for lane in every if lane[2]]


#: Nothing has happened.
NO_MARKS = Marks()


class Chart:
    """A chart as wide as its place: shapes stretch, texts do not. Places are in [0, 1], from the left and from below.

    `plot`: height of the plane in pixels. `lanes`: strips below it.
    """

    TOP, BOTTOM, TEXT, LANE = 18, 24, 16, 9

    def __init__(self, label: str, plot: int = 150, lanes: int = 0) -> None:
        self._label, self._plot, self._below = label, plot, lanes * self.LANE
        #: Height of a line of text, as a part of the plane's.
        self.line = self.TEXT / plot
        self._shapes: list[Markup] = []
        self._texts: list[Markup] = []
        self._read: list[str] = []

    def read(self, left: float, right: float, text: str) -> None:
        """Say what the values are from `left` to `right`, to a pointer over it; page.js does so to a finger or keys."""
        low, high = round(1000 * left), round(1000 * right)
        d = f"M{low} 0H{max(high, low + 1)}V1000H{low}z"
        self._read.append(f'<path d="{d}"><title>{escape(text)}</title></path>')

    def draw(self, class_: str, *points: Point, d: str = "") -> None:
        """Draw a line through points, or the path `d` on a plane of 1000 x 1000."""
        self._shapes.append(element("path", class_=class_, d=d or line(points)))

    def lane(self, row: int, left: float, right: float, class_: str) -> None:
        """Draw a bar in a strip below the plane."""
        top, bottom = (1000 + 1000 * (self.LANE * row + y) // self._plot for y in (3, 9))
        x0, x1 = round(1000 * left), round(1000 * max(right, left + 0.003))
        self.draw(class_, d=f"M{x0} {top}H{x1}V{bottom}H{x0}z")

    def axis(self, labels: Iterable[tuple[float, str]]) -> None:
        """Write places and texts below the plane. Every second one may be hidden on a narrow screen."""
        for i, (x, text) in enumerate(labels):
            self.tick(x, text, "tick odd" if i % 2 else "tick")

    def tick(self, x: float, text: str, class_: str) -> None:
        """Write below the plane."""
        self._write(x, self.TOP + self._plot + self._below + 17, text, class_)

    def note(self, x: float, y: float, text: str, class_: str = "note", anchor: str = "") -> None:
        """Write on the plane, just above `y`."""
        self._write(x, round(self.TOP + self._plot * (1 - y)) - 4, text, class_, anchor)

    def _write(self, x: float, y: float, text: str, class_: str, anchor: str = "") -> None:
        anchor = anchor or ("start" if x < 0.04 else "end" if x > 0.96 else "middle")
        self._texts.append(element("text", text, x=f"{100 * x:.2f}%", y=y, text_anchor=anchor, class_=class_))

    def markup(self, class_: str = "chart", **more: object) -> Markup:
        """Return the whole as SVG. `more`: attributes."""
        size = {"width": "100%", "height": self._plot, "viewBox": "0 0 1000 1000", "preserveAspectRatio": "none"}
        read = [element("g", Markup("".join(self._read)), class_="read")] if self._read else []  # noqa: S704 - escaped
        plane = element("svg", *self._shapes, *read, y=self.TOP, **size)
        more |= {"tabindex": 0} if read else {}
        whole = {"width": "100%", "height": self.TOP + self._plot + self._below + self.BOTTOM, "role": "img", **more}
        return element("svg", plane, *self._texts, class_=class_, **whole, aria_label=self._label)


class Timeline(Chart):
    """A chart over time. `begin`: the part of the width before `start`; `marks`: what happened, drawn over the rest."""

    def __init__(
        self, label: str, start: float, end: float, marks: Marks = NO_MARKS, plot: int = 150, begin: float = 0.0
    ) -> None:
        super().__init__(label, plot, len(marks.lanes))
        self._start, self._end, self._begin, self._marks = start, end, begin, marks
        self.axis((self.at(moment), text) for moment, text in time_ticks(start, end))

    def at(self, moment: float) -> float:
        """Place of a moment, cut to the period."""
        share = (moment - self._start) / max(self._end - self._start, 1.0)
        return self._begin + (1 - self._begin) * min(max(share, 0.0), 1.0)

    def read_time(self, begin: float, end: float, text: str) -> None:
        """Say what the values are from `begin` to `end`."""
        self.read(self.at(begin), self.at(end), text)

    def markup(self, class_: str = "chart time", **more: object) -> Markup:
        """Mark what happened, and return the whole as SVG, with the times at both ends for page.js."""
        start, end = self._start, self._end
        for begin, stop in self._marks.nothing:
            self.draw("hatched", d=hatching(self.at(begin), self.at(stop)))
        for moment, version in self._marks.versions:
            self.draw("version", (self.at(moment), 0), (self.at(moment), 1))
            self.note(self.at(moment), 1.0, version[:12])
        for row, (name, sign, periods) in enumerate(self._marks.lanes):
            for begin, stop, *_ in periods:
                self.lane(row, self.at(begin), self.at(stop), name)
                if start <= begin <= end:
                    self.draw(f"since-line {name}-text", (self.at(begin), 0), (self.at(begin), 1))
                    self.note(self.at(begin), 1.0, sign, f"note {name}-text", "middle")
        first = start - self._begin / (1 - self._begin) * (end - start)
        return super().markup(class_, data_from=round(first), data_to=round(end), **more)


def small_histogram(plane: Plane, label: str, live: bool = True) -> Markup:
    """Both sides of a column, one over the other, for a row of the overview. `live`: whether there is a live side."""
    width, height = 240, 56
    shapes = {"ref": outline(plane.bars, "reference", width, height)}
    if live:
        shapes |= live_shapes(plane.bars, width, height)
    return image({**shapes, "base": f"M0 {height}H{width}"}, "hist", f"0 -2 {width} {height + 4}", label)


def live_shapes(bars: Sequence[Bar], width: int, height: int) -> dict[str, str]:
    """Live bars by class: those of values that the reference has never seen look different."""
    new = [bar for bar in bars if bar.where in ("below", "above", "other") and bar.test_height]
    shapes = {"live": outline([bar for bar in bars if bar not in new], "test", width, height)}
    return shapes | ({"new": outline(new, "test", width, height)} if new else {})


def outline(bars: Sequence[Bar], side: str, width: int, height: int) -> str:
    """One side's bars as the `d` of a path: neighbours share their border, bars that are set apart do not.

    >>> bars = (Bar("inside", "", 0, 0.5, 0, 0, 0.5, 0.0), Bar("inside", "", 0.5, 1, 0, 0, 1.0, 0.0))
    >>> outline(bars, "reference", 100, 40)
    'M0 40V20H50V0H100V40'
    """
    parts: list[str] = []
    end = -1.0
    for bar in bars:
        tall = bar.reference_height if side == "reference" else bar.test_height
        # A share above zero is at least one unit high.
        top = height - (round(tall * height) or 1 if tall > 0 else 0)
        if bar.where != "inside" or abs(bar.left - end) > 1e-9:
            parts.append(f"{f'V{height}' if parts else ''}M{round(bar.left * width)} {height}")
        parts.append(f"V{top}H{round(bar.right * width)}")
        end = bar.right
    return "".join(parts) + (f"V{height}" if parts else "")


@lru_cache(maxsize=256)
def strip(levels: Sequence[str], label: str, lost: Iterable[int] = (), height: int = 10) -> Markup:
    """A row of a heat map: one cell for each level, a class name; the empty text is a cell without a verdict.

    `lost`: cells in which predictions were lost.
    """
    cells: dict[str, str] = {}
    at = 0
    for level, run in groupby(levels):
        length = len(list(run))
        if level:
            cells[level] = cells.get(level, "") + f"M{at} 0h{length}v{height}h-{length}z"
        at += length
    if marked := "".join(f"M{place} 6h1v4h-1z" for place in lost):
        cells["lost"] = marked
    return image(cells, "strip", f"0 0 {len(levels)} {height}", label, preserveAspectRatio="none")


def pair(reference: float, test: float, top: float, live: bool) -> Markup:
    """Draw the two shares of a category as bars, one over the other; `top`: the share that fills the width."""
    width, height = 240, 18
    shapes = {"ref": f"M0 1H{round(width * reference / top)}V{height - 1}H0z"} if reference else {}
    if live and test:
        shapes["live"] = f"M0 4H{round(width * test / top)}V{height - 4}H0z"
    return image(shapes, "pair", f"0 0 {width} {height}")


def histogram(plane: Plane, label: str, rows: int, values: Sequence[float] = ()) -> Markup:
    """The histogram of a column's own page. `rows`: how many are live. `values`: to write below, not round numbers."""
    chart, live = Chart(label, plot=190), rows > 0
    chart.draw("ref", d=outline(plane.bars, "reference", 1000, 1000))
    for class_, d in live_shapes(plane.bars, 1000, 1000).items() if live else ():
        chart.draw(class_, d=d)
    chart.draw("base", (0, 0), (1, 0))
    chart.axis([(plane.at(value), number(value, 4)) for value in values] or _value_labels(plane))
    for bar in plane.bars:
        middle = (bar.left + bar.right) / 2
        named = bar.label or apart(plane.value(bar.left), plane.value(bar.right), say="{} to {}")
        now = f", live {percent(bar.test, 3)} ({counted(round(bar.test * rows), 'row')})" if live else ""
        chart.read(bar.left, bar.right, f"{named}: reference {percent(bar.reference, 3)}{now}")
        if bar.where in SIGNS:
            chart.tick(middle, SIGNS[bar.where][0], "tick sign")
        if bar.cut:
            chart.note(middle, 1.0, f"↑ {percent(max(bar.reference, bar.test if live else 0.0))}", "note cut")
    return chart.markup()


def cumulative(plane: Plane, edges: Sequence[float], reference: Floats, test: Floats, label: str) -> Markup:
    """Both cumulative curves with the gap that K-S measures.

    `reference`, `test`: share of the rows at or below each edge, shape (edges,).
    """
    chart = Chart(label)
    for level in (0.0, 0.5, 1.0):
        chart.draw("grid" if level else "base", (0, level), (1, level))
    inside = [i for i, edge in enumerate(edges) if (plane.low or 0) <= edge <= (plane.high or 0)]
    for shares, class_ in ((reference, "line-ref"), (test, "line-live")):
        chart.draw(class_, *((plane.at(edges[i]), float(shares[i])) for i in inside))
    for one, other in pairwise(inside):
        was, now = float(reference[other]), float(test[other])
        text = f"up to {number(edges[other], 4)}: reference {percent(was, 3)}, live {percent(now, 3)}"
        chart.read(plane.at(edges[one]), plane.at(edges[other]), f"{text}, gap {percent(abs(was - now), 3)}")
    worst = int(np.argmax(np.abs(reference - test)))
    x, low, high = plane.at(edges[worst]), *sorted((float(reference[worst]), float(test[worst])))
    chart.draw("gap", (x, low), (x, high))
    place, anchor = (x + 0.01, "start") if x < 0.8 else (x - 0.01, "end")
    chart.note(place, (low + high) / 2, f"gap {percent(high - low)}", "note gap-text", anchor)
    chart.axis(_value_labels(plane))
    chart.note(0, 1.0, "100 %")
    return chart.markup()


def _value_labels(plane: Plane) -> list[tuple[float, str]]:
    if plane.low is None or plane.high is None:
        return []
    return [(plane.at(tick), number(tick, 4)) for tick in ticks(plane.low, plane.high)]


def time_line(
    label: str,
    start: float,
    end: float,
    lines: Mapping[str, Sequence[tuple[float, float | None]]],
    *,
    band: Sequence[tuple[float, float | None, float | None]] = (),
    levels: Sequence[tuple[str, float, str]] = (),
    zero: bool = False,
    marks: Marks = NO_MARKS,
    longest: float = LARGEST,
    begin: float = 0.0,
    read: Iterable[tuple[float, str]] = (),
) -> Markup:
    """Values over time.

    `lines`: (moment, value) points by class; a value of None breaks the line, as does a pause of more than `longest`
    seconds. `band`: moments with a lower and an upper value. `levels`: class, value and text of lines across. `zero`:
    begin at 0. `begin`: part of the width before `start`. `read`: moments, and what the values are then.
    """
    values = [value for points in lines.values() for _, value in points if value is not None]
    values += [value for _, value, _ in levels] + [side for _, *sides in band for side in sides if side is not None]
    low, high, scale = number_scale(min(values, default=0.0), max(values, default=1.0), zero)

    chart = Timeline(label, start, end, marks, begin=begin)

    def place(moment: float, value: float) -> Point:
        return chart.at(moment), fraction(value, low, high)

    for tick in scale:
        chart.draw("grid", (0, fraction(tick, low, high)), (1, fraction(tick, low, high)))
        chart.note(0, fraction(tick, low, high), number(tick))
    _level_lines(chart, [(class_, fraction(level, low, high), text) for class_, level, text in levels])
    for some in _runs(band, longest):
        edge = [place(moment, value) for moment, _, value in some]
        edge += [place(moment, value) for moment, value, _ in reversed(some)]
        chart.draw("band", d=line(edge) + "z")
    for class_, points in lines.items():
        runs = [[place(*point) for point in run] for run in _runs(points, longest)]
        if joined := "".join(line(run) for run in runs if len(run) > 1):
            chart.draw(class_, d=joined)
        if alone := "".join(line(run) for run in runs if len(run) == 1):
            chart.draw(f"{class_} dots", d=alone)
    shown = list(read)
    middles = [(one[0] + other[0]) / 2 for one, other in pairwise(shown)]
    for (moment, text), left, right in zip(shown, [start, *middles], [*middles, end], strict=bool(shown)):
        chart.read_time(max(left, moment - longest / 2), min(right, moment + longest / 2), text)
    return chart.markup()


def number_scale(low: float, high: float, zero: bool = False) -> tuple[float, float, list[float]]:
    """Ends of an axis for numbers, a little beyond them, or from 0 on, and its ticks.

    >>> number_scale(0.0, 10.0, zero=True)
    (0.0, 10.6, [0.0, 5.0, 10.0])
    """
    low = min(low, 0.0) if zero else low
    margin = high * 0.06 - low * 0.06 or abs(high) * 0.1 or 1.0
    low, high = (low if zero else max(low - margin, -LARGEST)), min(high + margin, LARGEST)
    return low, high, ticks(low, high, 4)


def _level_lines(chart: Chart, levels: Iterable[tuple[str, float, str]]) -> None:
    """Draw lines across with their texts: of two that are close, one text is above and one is below."""
    above = math.inf
    for class_, height, text in sorted(levels, key=lambda one: -one[1]):
        chart.draw(class_, (0, height), (1, height))
        chart.note(1, height - chart.line if above - height < chart.line else height, text)
        above = height


def _runs(points: Sequence[tuple[Any, ...]], longest: float) -> list[list[Any]]:
    """Split points where a value is None, and at each pause of more than `longest`.

    >>> _runs([(0.0, 1.0), (1.0, 2.0), (5.0, 3.0), (6.0, None)], 2.0)
    [[(0.0, 1.0), (1.0, 2.0)], [(5.0, 3.0)]]
    """
    runs: list[list[Any]] = []
    before = -math.inf
    for moment, *values in points:
        if None in values:
            before = -math.inf
            continue
        if moment - before > longest:
            runs.append([])
        runs[-1].append((moment, *values))
        before = moment
    return runs
