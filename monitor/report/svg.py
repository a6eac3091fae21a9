"""SVG and axes: elements as safe text, round numbers and times to label an axis with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from markupsafe import Markup, escape

#: Steps of a time axis, in seconds, and how a moment is written on an axis of such steps.
STEPS = (1, 5, 15, 60, 300, 600, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 7776000)


def element(name: str, *children: str, **attributes: object) -> Markup:
    """Build an element. Attributes and plain text are escaped; `class_` and `aria_label` lose or change their mark.

    >>> element("text", "<b>", x=1, class_="tick")
    Markup('<text x="1" class="tick">&lt;b&gt;</text>')
    """
    pairs = "".join(f' {key.strip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    inner = "".join(escape(child) for child in children)
    # Everything in it has just been escaped, or is markup that was built here.
    return Markup(f"<{name}{pairs}>{inner}</{name}>" if inner else f"<{name}{pairs}/>")  # noqa: S704


def path(class_: str, d: str) -> Markup:
    """Build a path."""
    return element("path", class_=class_, d=d)


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
    """Moments to label a time axis with, and their texts, UTC.

    >>> [text for _, text in time_ticks(0.0, 21600.0, 4)]
    ['00:00', '03:00', '06:00']
    """
    step = next((step for step in STEPS if (end - start) / step < most), STEPS[-1])
    first = math.ceil(start / step)
    pattern = "%H:%M" if step < 86400 else "%d %b"
    if step < 60:
        pattern = "%H:%M:%S"
    return [
        (i * step, datetime.fromtimestamp(i * step, UTC).strftime(pattern))
        for i in range(first, math.floor(end / step) + 1)
    ]


class Chart:
    """A chart as wide as its place: shapes stretch, texts do not.

    Shapes are given on a plane of 1000 x 1000, texts at a share of the width and a height in pixels.
    """

    def __init__(self, label: str, plot: int = 190, top: int = 18, bottom: int = 24) -> None:
        self._label, self._plot, self._top, self._bottom = label, plot, top, bottom
        self._shapes: list[Markup] = []
        self._texts: list[Markup] = []

    def shape(self, class_: str, d: str) -> None:
        """Draw a path on the plane."""
        self._shapes.append(path(class_, d))

    def level(self, y: float, class_: str) -> None:
        """Draw a line across, `y` in [0, 1] from below."""
        self.shape(class_, f"M0 {round(1000 * (1 - y))}H1000")

    def upright(self, x: float, class_: str) -> None:
        """Draw a line from bottom to top."""
        self.shape(class_, f"M{round(1000 * x)} 1000V0")

    def tick(self, x: float, text: str, class_: str = "tick") -> None:
        """Write below the plane."""
        self._write(x, self._top + self._plot + 17, text, class_)

    def note(self, x: float, y: float, text: str, class_: str = "note", anchor: str = "") -> None:
        """Write on the plane, just above `y` in [0, 1] from below."""
        self._write(x, round(self._top + self._plot * (1 - y)) - 4, text, class_, anchor)

    def _write(self, x: float, y: float, text: str, class_: str, anchor: str = "") -> None:
        anchor = anchor or ("start" if x < 0.04 else "end" if x > 0.96 else "middle")
        self._texts.append(element("text", text, x=f"{100 * x:.2f}%", y=y, text_anchor=anchor, class_=class_))

    def markup(self, class_: str = "chart") -> Markup:
        """Return the whole as SVG."""
        plane = element(
            "svg",
            *self._shapes,
            y=self._top,
            width="100%",
            height=self._plot,
            viewBox="0 0 1000 1000",
            preserveAspectRatio="none",
        )
        return element(
            "svg",
            plane,
            *self._texts,
            class_=class_,
            width="100%",
            height=self._top + self._plot + self._bottom,
            role="img",
            aria_label=self._label,
        )


def line(points: Iterable[tuple[float, float] | None]) -> str:
    """Points on the unit plane as the `d` of a path; None lifts the pen.

    >>> line([(0, 0), (0.5, 1), None, (1, 0.5), (1, 0)])
    'M0 1000L500 0M1000 500L1000 1000'
    """
    parts, down = [], False
    for point in points:
        if point is not None:
            parts.append(f"{'L' if down else 'M'}{round(1000 * point[0])} {round(1000 * (1 - point[1]))}")
        down = point is not None
    return "".join(parts)


def dots(points: Sequence[tuple[float, float] | None]) -> str:
    """Points that have no neighbour to draw a line to, as the `d` of a path of dots.

    >>> dots([(0, 0), (0.5, 1), None, (1, 0.5), None])
    'M1000 500h0'
    """
    around = [None, *points, None]
    alone = (
        point
        for before, point, after in zip(around, points, around[2:], strict=False)
        if point is not None and before is None and after is None
    )
    return "".join(f"M{round(1000 * x)} {round(1000 * (1 - y))}h0" for x, y in alone)
