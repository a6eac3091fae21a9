"""A histogram as bars on a plane: where each bar lies and how high both sides stand. Pure functions of counts.

Areas are proportional to shares, everywhere: bins have unequal widths (most hold 5 % of the reference), and drawn by
height alone any reference would look flat. Outer bins, missing and unseen values have no width of their own; they stand
apart in slots of a fixed width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

from monitor.columns.column import MISSING, NONFINITE, OTHER, Column
from monitor.words import number

#: `below` and `above` are beyond all that the reference saw; `low` and `high` are tails that the drawing leaves out.
Where = Literal["inside", "below", "low", "high", "above", "category", "other", "missing", "infinite"]

#: What stands apart: where, label, share of the reference, share of the test window.
Apart = tuple[Where, str, float, float]

#: A bar may stand this many times higher than the middle row of the reference does; beyond that it is cut off.
HIGHEST = 3.0

#: No more categories than this get bars of their own; the rest stand together.
MOST_CATEGORIES = 24

SPECIAL: dict[str, Where] = {MISSING: "missing", NONFINITE: "infinite", OTHER: "other"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: [left, right) in units of the plane's width, shares in [0, 1], heights in units of its height.

    `label`: empty inside of a numeric column, where the axis says it.
    `cut`: whether a side stands higher than the plane, so that its height does not tell its share.
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


@dataclass(frozen=True, slots=True)
class Plane:
    """All bars of a column, left to right. `low`, `high`: the values at the ends of the inner bars, None without any.

    `origin`, `scale`: a value v lies at origin + v * scale; `scale` is 0 where there is no axis.
    """

    bars: tuple[Bar, ...]
    low: float | None = None
    high: float | None = None
    origin: float = 0.0
    scale: float = 0.0

    def at(self, value: float) -> float:
        """Where a value lies, cut to the axis."""
        low, high = self.low or 0.0, self.high or 0.0
        return self.origin + (min(max(value, low), high) - low) * self.scale


def shares(counts: npt.NDArray[Any]) -> list[float]:
    """Share of each bin; zeros where there are no rows.

    >>> import numpy as np
    >>> shares(np.array([1, 3]))
    [0.25, 0.75]
    """
    total = float(counts.sum())
    out: list[float] = (counts / total).tolist() if total > 0 else [0.0] * len(counts)
    return out


def lay_out(
    column: Column,
    reference: npt.NDArray[Any],
    test: npt.NDArray[Any],
    slot: float = 0.05,
    gap: float = 0.025,
    finest: float = 0.0,
) -> Plane:
    """Lay the bars of a column out on a plane of width and height 1.

    `reference`, `test`: counts, shape (column.size,). `slot`: width of what stands apart; `gap`: the space before it.
    `finest`: neighbouring bins narrower than this share one bar; by themselves they show nothing but noise.
    """
    before, after = shares(reference), shares(test)
    if column.numeric and len(column.edges) > 1:
        plane = _numeric(column, before, after, slot, gap, finest)
    else:
        plane = _slots(column, before, after, gap)
    return Plane(_raise(plane.bars), plane.low, plane.high, plane.origin, plane.scale)


def _numeric(
    column: Column, before: Sequence[float], after: Sequence[float], slot: float, gap: float, finest: float
) -> Plane:
    edges = column.edges
    first, last = _visible(edges, before, after)
    values = column.value_bins
    # Bins 0 and `values - 1` are outer bins: what the reference has in them is a tail, whatever the edges say.
    inner = 0 if before[0] else 1
    below: Apart = ("below", f"≤ {number(edges[0], 4)}", 0.0, after[0] if inner else 0.0)
    span_low = f"{number(edges[0], 4)} to {number(edges[first], 4)}" if inner else f"≤ {number(edges[first], 4)}"
    low_tail: Apart = ("low", span_low, sum(before[inner : first + 1]), sum(after[inner : first + 1]))
    outer = values if before[values - 1] else values - 1
    above: Apart = ("above", f"> {number(edges[-1], 4)}", 0.0, after[values - 1] if outer < values else 0.0)
    span_high = (
        f"{number(edges[last], 4)} to {number(edges[-1], 4)}" if outer < values else f"> {number(edges[last], 4)}"
    )
    high_tail: Apart = ("high", span_high, sum(before[last + 1 : outer]), sum(after[last + 1 : outer]))
    missing: Apart = ("missing", "missing", before[column.missing_bin], after[column.missing_bin])
    infinite: Apart = ("infinite", "infinite", before[-1], after[-1])
    left = [one for one in (below, low_tail) if one[2] or one[3]]
    right = [one for one in (high_tail, above, missing, infinite) if one[2] or one[3]]
    origin = len(left) * (slot + gap)
    span = 1.0 - origin - len(right) * (slot + gap)
    scale = span / (edges[last] - edges[first])
    bars = [_bar(*one, at=place * (slot + gap), width=slot) for place, one in enumerate(left)]
    for low, high in _merged(edges, first, last, finest / scale if scale else 0.0):
        # Bin i lies between edges i - 1 and i.
        x0, x1 = (origin + (edges[j] - edges[first]) * scale for j in (low, high))
        was, now = sum(before[low + 1 : high + 1]), sum(after[low + 1 : high + 1])
        bars.append(Bar("inside", "", x0, x1, was, now))
    at = origin + span
    for one in right:
        bars.append(_bar(*one, at=at + gap, width=slot))
        at += gap + slot
    return Plane(tuple(bars), edges[first], edges[last], origin, scale)


def _merged(edges: Sequence[float], first: int, last: int, narrowest: float) -> list[tuple[int, int]]:
    """Pairs of edges to draw bars between, each at least `narrowest` apart.

    >>> _merged((0.0, 1.0, 1.1, 1.2, 2.0, 2.1), 0, 5, 0.5)
    [(0, 1), (1, 4), (4, 5)]
    """
    out: list[tuple[int, int]] = []
    low = first
    for high in range(first + 1, last + 1):
        if edges[high] - edges[low] >= narrowest or high == last:
            out.append((low, high))
            low = high
    return out


def _bar(where: Where, label: str, before: float, after: float, *, at: float, width: float) -> Bar:
    return Bar(where, label, at, at + width, before, after)


def _visible(edges: Sequence[float], before: Sequence[float], after: Sequence[float]) -> tuple[int, int]:
    """First and last edge that are drawn: a long tail that would squeeze everything else is folded into its end.

    >>> _visible((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 500.0), [0.0] + [0.1] * 6 + [0.0], [0.0] * 8)
    (0, 5)
    """
    first, last = 0, len(edges) - 1
    while last - first > 4:
        span = edges[last] - edges[first]
        low, high = edges[first + 1] - edges[first], edges[last] - edges[last - 1]
        at_low = low > high
        thin = max(before[first + 1], after[first + 1]) if at_low else max(before[last], after[last])
        if max(low, high) < span / 2 or thin > 0.25:
            break
        first, last = (first + 1, last) if at_low else (first, last - 1)
    return first, last


def _slots(column: Column, before: Sequence[float], after: Sequence[float], gap: float) -> Plane:
    """Bars of one width: categories, or the two bins of a column with a single edge."""
    labels = column.labels
    known = range(column.value_bins if column.numeric else len(column.categories))
    shown = list(known)
    if len(shown) > MOST_CATEGORIES:
        heavy = sorted(known, key=lambda i: -max(before[i], after[i]))[: MOST_CATEGORIES - 1]
        shown = sorted(heavy)
    parts: list[Apart] = [("category", labels[i], before[i], after[i]) for i in shown]
    if len(shown) < len(known):
        rest = sorted(set(known) - set(shown))
        label = f"{len(rest)} other known categories"
        parts.append(("category", label, sum(before[i] for i in rest), sum(after[i] for i in rest)))
    for i in range(len(known), len(labels)):
        if before[i] or after[i]:
            where = SPECIAL[labels[i]]
            parts.append((where, "unseen values" if where == "other" else where, before[i], after[i]))
    apart = [i for i, part in enumerate(parts) if part[0] != "category"]
    step = (1.0 - gap * len(apart)) / max(len(parts), 1)
    bars, x = [], 0.0
    for where, label, was, now in parts:
        x += gap if where != "category" else 0.0
        bars.append(Bar(where, label, x + 0.1 * step, x + 0.9 * step, was, now))
        x += step
    return Plane(tuple(bars))


def _raise(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """Give bars their heights: share over width, in units of the highest that is drawn in full."""
    before = [bar.reference / (bar.right - bar.left) for bar in bars]
    after = [bar.test / (bar.right - bar.left) for bar in bars]
    top = max([*before, *after], default=0.0)
    if top <= 0:
        return tuple(bars)
    if bars[0].where != "category":
        top = min(top, HIGHEST * _middle(before, [bar.reference for bar in bars]) or top)
    return tuple(
        Bar(
            bar.where,
            bar.label,
            bar.left,
            bar.right,
            bar.reference,
            bar.test,
            min(was / top, 1.0),
            min(now / top, 1.0),
            max(was, now) > top * 1.001,
        )
        for bar, was, now in zip(bars, before, after, strict=True)
    )


def _middle(heights: Sequence[float], shares: Sequence[float]) -> float:
    """The height above and below which half of the rows stand; 0 where there are none.

    >>> _middle([5.0, 1.0, 2.0], [0.2, 0.2, 0.6])
    2.0
    """
    seen, half = 0.0, sum(shares) / 2
    for height, share in sorted(zip(heights, shares, strict=True)):
        seen += share
        if seen >= half:
            return height
    return 0.0
