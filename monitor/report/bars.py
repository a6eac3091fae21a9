"""A histogram as bars on a plane: the place of each bar and the heights of both sides. Pure functions of counts.

Areas are proportional to shares everywhere: bins have unequal widths (most hold 5 % of the reference), so by height
alone any reference would look flat. Outer bins, missing and unseen values have no width of their own; they are set
apart in slots of a fixed width.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import numpy.typing as npt

from monitor.columns.column import MISSING, NONFINITE, OTHER, Column
from monitor.columns.moments import fraction
from monitor.words import number

#: `below` and `above` are beyond all that the reference saw; `low` and `high` are tails that the drawing leaves out.
Where = Literal["inside", "below", "low", "high", "above", "category", "other", "missing", "infinite"]

#: A bar higher than this many times the height of the middle row of the reference is cut off.
HIGHEST = 3.0

#: A bar is taken to be at least this wide, so that its height is a number.
NARROWEST = 1e-9

#: No more categories than this get bars of their own; the rest share one.
MOST_CATEGORIES = 24

SPECIAL: dict[str, Where] = {MISSING: "missing", NONFINITE: "infinite", OTHER: "other"}


class Bar(NamedTuple):
    """One bar: [left, right) in units of the plane's width, shares in [0, 1], heights in units of its height.

    `label`: empty for an inner bar of a numeric column, which has an axis.
    `cut`: whether a side is higher than the plane, so that its height does not show its share.
    """

    where: Where
    label: str
    left: float
    right: float
    reference: float
    test: float
    reference_height: float = 0.0
    test_height: float = 0.0
    cut: bool = False


class Part(NamedTuple):
    """Bins that share a bar."""

    where: Where
    label: str
    bins: Sequence[int]


#: The bins of a bar, and its left and right end.
Place = tuple[Part, float, float]


@dataclass(frozen=True, slots=True)
class Plane:
    """All bars of a column, left to right. `low`, `high`: the values at the ends of the inner bars, None without any.

    `origin`, `width`: where the axis begins and how long it is; 0 if there is none.
    """

    bars: tuple[Bar, ...]
    low: float | None = None
    high: float | None = None
    origin: float = 0.0
    width: float = 0.0

    def at(self, value: float) -> float:
        """Place of a value, cut to the axis."""
        low, high = self.low or 0.0, self.high or 0.0
        return self.origin + fraction(min(max(value, low), high), low, high) * self.width

    def value(self, place: float) -> float:
        """Return the value at a place on the axis."""
        share = (place - self.origin) / (self.width or 1.0)
        return (self.low or 0.0) * (1 - share) + (self.high or 0.0) * share


def shares(counts: npt.NDArray[Any]) -> list[float]:
    """Share of each bin; zeros if there are no rows.

    >>> from numpy import array; shares(array([1, 3]))
    [0.25, 0.75]
    """
    out: list[float] = (counts / max(float(counts.sum()), 1.0)).tolist()
    return out


def lay_out(
    column: Column, reference: npt.NDArray[Any], test: npt.NDArray[Any], slot: float = 0.05, finest: float = 0.0
) -> Plane:
    """Lay the bars of a column out on a plane of width and height 1.

    `reference`, `test`: counts, shape (column.size,). `slot`: width of what is set apart, after a gap of half of it.
    `finest`: neighbouring bins narrower than this share one bar, since alone they show only noise.
    """
    before, after = shares(reference), shares(test)
    if column.numeric and len(column.edges) > 1:
        axis, places = _on_axis(column, before, after, slot, finest)
    else:
        axis, places = Plane(()), [*_slots(column, before, after, slot / 2)]
    bars = [
        Bar(part.where, part.label, left, right, sum(before[i] for i in part.bins), sum(after[i] for i in part.bins))
        for part, left, right in places
    ]
    return replace(axis, bars=_raised(bars))


def _on_axis(
    column: Column, before: Sequence[float], after: Sequence[float], slot: float, finest: float
) -> tuple[Plane, list[Place]]:
    """The axis of a numeric column without its bars, and their places: what is set apart is left and right of it."""
    edges, step = column.edges, slot * 1.5
    first, last = _visible(edges, before, after)
    left, right = _tails(column, before, after, first, last)
    origin, end = len(left) * step, 1.0 - len(right) * step
    axis = Plane((), edges[first], edges[last], origin, end - origin)
    places = [(part, i * step, i * step + slot) for i, part in enumerate(left)]
    relative = [fraction(edge, edges[first], edges[last]) for edge in edges]
    for low, high in _merged(relative, first, last, finest / axis.width):
        # Bin i is between edges i - 1 and i.
        places.append((Part("inside", "", range(low + 1, high + 1)), axis.at(edges[low]), axis.at(edges[high])))
    places += [(part, end + slot / 2 + i * step, end + (i + 1) * step) for i, part in enumerate(right)]
    return axis, places


def _tails(
    column: Column, before: Sequence[float], after: Sequence[float], first: int, last: int
) -> tuple[list[Part], list[Part]]:
    """What is set apart on the left and on the right of the axis, as far as it has rows."""
    edges, values = column.edges, column.value_bins
    # An outer bin in which the reference has rows belongs to a tail: it is not beyond the reference.
    low, high = 0 if before[0] else 1, values if before[values - 1] else values - 1
    lowest, shown_low, shown_high, highest = (number(edges[i], 4) for i in (0, first, last, -1))
    left = [
        Part("below", f"≤ {lowest}", range(low)),
        Part("low", f"{lowest} to {shown_low}" if low else f"≤ {shown_low}", range(low, first + 1)),
    ]
    right = [
        Part("high", f"{shown_high} to {highest}" if high < values else f"> {shown_high}", range(last + 1, high)),
        Part("above", f"> {highest}", range(high, values)),
        Part("missing", "missing", [values]),
        Part("infinite", "infinite", [values + 1]),
    ]
    left, right = ([part for part in side if any(before[i] or after[i] for i in part.bins)] for side in (left, right))
    return left, right


def _merged(places: Sequence[float], first: int, last: int, narrowest: float) -> list[tuple[int, int]]:
    """Pairs of edges to draw bars between, each at least `narrowest` apart. `places`: of the edges.

    >>> _merged((0.0, 0.5, 0.55, 0.6, 0.95, 1.0), 0, 5, 0.25)
    [(0, 1), (1, 4), (4, 5)]
    """
    out: list[tuple[int, int]] = []
    low = first
    for high in range(first + 1, last + 1):
        if places[high] - places[low] >= narrowest or high == last:
            out.append((low, high))
            low = high
    return out


def _visible(edges: Sequence[float], before: Sequence[float], after: Sequence[float]) -> tuple[int, int]:
    """First and last edge that are drawn: a long tail that would squeeze everything else becomes one bar.

    >>> _visible((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 500.0), [0.0] + [0.1] * 6 + [0.0], [0.0] * 8)
    (0, 5)
    """
    first, last = 0, len(edges) - 1
    while last - first > 4:
        low = fraction(edges[first + 1], edges[first], edges[last])
        high = 1.0 - fraction(edges[last - 1], edges[first], edges[last])
        at_low = low > high
        thin = max(before[first + 1], after[first + 1]) if at_low else max(before[last], after[last])
        if max(low, high) < 0.5 or thin > 0.25:
            break
        first, last = (first + 1, last) if at_low else (first, last - 1)
    return first, last


def _slots(column: Column, before: Sequence[float], after: Sequence[float], gap: float) -> Iterator[Place]:
    """Places of bars of one width: categories, or the two bins of a column with a single edge."""
    labels = column.labels
    known = range(column.value_bins if column.numeric else len(column.categories))
    shown = list(known)
    if len(shown) > MOST_CATEGORIES:
        shown = sorted(sorted(known, key=lambda i: -max(before[i], after[i]))[: MOST_CATEGORIES - 1])
    parts = [Part("category", labels[i], [i]) for i in shown]
    if rest := sorted(set(known) - set(shown)):
        parts.append(Part("category", f"{len(rest)} other known categories", rest))
    special = [i for i in range(len(known), len(labels)) if before[i] or after[i]]
    for where, i in ((SPECIAL[labels[i]], i) for i in special):
        parts.append(Part(where, "unseen values" if where == "other" else where, [i]))
    step, x = (1.0 - gap * len(special)) / max(len(parts), 1), 0.0
    for part in parts:
        x += gap if part.where != "category" else 0.0
        yield part, x + 0.1 * step, x + 0.9 * step
        x += step


def _raised(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """Give bars their heights: share over width, in units of the highest that is drawn in full."""
    heights = [
        (bar.reference / width, bar.test / width) for bar in bars for width in [max(bar.right - bar.left, NARROWEST)]
    ]
    top = max(map(max, heights), default=0.0)
    if top <= 0:
        return tuple(bars)
    if bars[0].where != "category":
        # Half of the reference's rows are in bars that are lower than the middle one.
        order = sorted(zip(heights, bars, strict=True), key=lambda pair: pair[0][0])
        seen = list(accumulate(bar.reference for _, bar in order))
        middle = order[bisect_left(seen, seen[-1] / 2)][0][0]
        top = min(top, HIGHEST * middle or top)
    return tuple(
        Bar(*bar[:6], min(was / top, 1.0), min(now / top, 1.0), max(was, now) > top * 1.001)
        for bar, (was, now) in zip(bars, heights, strict=True)
    )
