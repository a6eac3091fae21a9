"""A column over time: its shares as stacked bands, or its quantiles, beside the reference's. Pure functions of counts.

Both begin with the reference in a strip of its own on the left, and show where there is no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from monitor.columns.column import Column, Counts, Floats
from monitor.columns.moments import fraction
from monitor.report.figure import Marks, Timeline, line, number_scale
from monitor.store.records.history import Series
from monitor.words import count, counted, number, percent, stretch

#: Known values with a band of their own; the rest of them share one.
MOST_BANDS = 7

#: Quantiles that are drawn: the ends of two bands, and the middle.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

#: Parts of the width: where the reference's strip ends, and where the time begins.
STRIP, BEGIN = 0.045, 0.06


class Part(NamedTuple):
    """Bins that share a band. `class_`: of page.css."""

    label: str
    class_: str
    bins: Sequence[int]


class Trend(NamedTuple):
    """A chart, and what its legend says: classes of page.css and texts, from the top down."""

    drawn: Markup
    legend: Sequence[tuple[str, str]]


def few_values(column: Column, reference: Counts) -> bool:
    """Whether a column is better shown as shares of its values: a category, or one of a few numbers."""
    held = np.flatnonzero(reference[: column.value_bins])
    single = bool(column.spreads) and all(column.spreads[i] == 0 for i in held)
    return not column.numeric or len(column.edges) < 2 or (single and len(held) <= MOST_BANDS)


def parts(column: Column, reference: Counts, live: Counts) -> list[Part]:
    """Bands of a column, from below: the most frequent known values, the others together, and what is no known value.

    `reference`, `live`: counts, shape (column.size,). Numbers keep their order.
    """
    values = column.value_bins
    known = [i for i in range(values if column.numeric else values - 1) if reference[i] or not column.numeric]
    order = sorted(known, key=lambda i: (-reference[i] - live[i], i))
    own = order[: MOST_BANDS if len(order) <= MOST_BANDS else MOST_BANDS - 1]
    if column.numeric:
        own.sort()
    out = [Part(value_label(column, i), f"p{place}", [i]) for place, i in enumerate(own)]
    if rest := sorted(set(known) - set(own)):
        out.append(Part(f"{len(rest)} other known values", "rest", rest))
    return out + strange(column, reference, live)


def value_label(column: Column, index: int) -> str:
    """Name a bin by its category, or by the value that the reference has in it."""
    if not column.numeric:
        return column.categories[index]
    return number(column.bin_means[index], 4) if len(column.edges) > 1 else "any number"


def strange(column: Column, reference: Counts, live: Counts) -> list[Part]:
    """What is no known value, as far as there is any: never seen, missing, infinite."""
    values = column.value_bins
    found = [Part("unseen values", "new", [values - 1])]
    if column.numeric:
        # Inner bins without rows are between values that the reference has.
        outer = [i for i in (0, values - 1) if len(column.edges) > 1 and not reference[i]]
        found = [Part("never seen", "new", outer)]
    found += [Part("missing", "gone", [values])]
    found += [Part("infinite", "gone infinite", [values + 1])] if column.numeric else []
    return [part for part in found if any(reference[i] or live[i] for i in part.bins)]


def shares_of(counts: Floats, some: Sequence[Part]) -> Floats:
    """Share of each part in the rows of each cell. `counts`: shape (T, size); the answer: (T, parts)."""
    totals = np.maximum(counts.sum(axis=1), 1.0)
    sums = [counts[:, list(part.bins)].sum(axis=1) for part in some]
    out: Floats = np.array(sums).reshape(len(some), len(counts)).T / totals[:, None]
    return out


def quantile(column: Column, counts: Floats, q: float | Floats) -> Floats:
    """Quantile of each row of counts, shape (T, size), by straight lines within a bin; outer bins count as their edge.

    The answer has shape (T,), or (Q, T) for several, `q` of shape (Q, 1).

    >>> column = Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0))
    >>> quantile(column, np.array([[0.0, 1.0, 3.0, 0.0, 0.0, 0.0]]), 0.5).tolist()
    [1.3333333333333335]
    """
    edges, values = np.array(column.edges), counts[:, : column.value_bins]
    below, every = np.cumsum(values, axis=1), np.arange(len(values))
    wanted = q * np.maximum(below[:, -1], 1.0)
    at = np.minimum((below < wanted[..., None]).sum(axis=-1), column.value_bins - 1)
    inside = np.clip(at, 1, len(edges) - 1)
    low, high = edges[inside - 1], edges[inside]
    held = np.maximum(values[every, inside], 1e-300)
    part = np.clip((wanted - below[every, inside - 1]) / held, 0.0, 1.0)
    out: Floats = np.where(at == 0, edges[0], np.where(at >= len(edges), edges[-1], low * (1 - part) + high * part))
    return out


def without_data(series: Series, begin: float, end: float) -> list[tuple[float, float]]:
    """Periods from `begin` to `end` without any predictions: empty cells, at the ends more than one.

    >>> series = Series(np.array([60.0, 120.0, 240.0]), np.ones((3, 4)), np.zeros(3), 60.0)
    >>> without_data(series, 0.0, 300.0), without_data(series, 60.0, 600.0)
    ([(180.0, 240.0)], [(180.0, 240.0), (300.0, 600.0)])
    """
    starts = series.starts.tolist()
    known = [(-np.inf, begin), *((at, at + series.width) for at in starts), (end, np.inf)]
    return [
        (max(low, begin), high)
        for (_, low), (high, _) in pairwise(known)
        if high - low > (1.01 if begin in (low, high) or end in (low, high) else 0.5) * series.width
    ]


def _runs(series: Series) -> list[Any]:
    """Indices of cells, split where some are missing."""
    return np.split(np.arange(len(series.starts)), np.flatnonzero(np.diff(series.starts) > 1.5 * series.width) + 1)


def draw_shares(
    what: str,
    some: Sequence[Part],
    series: Series,
    reference: Counts,
    marks: Marks,
    start: float,
    end: float,
    plot: int = 200,
    top: float = 1.0,
) -> Trend:
    """Draw shares of parts over time, stacked. `top`: the share at the upper end."""
    before = shares_of(reference[None].astype(np.float64), some)[0]
    cells = shares_of(series.counts, some)
    last = cells[-1] if len(cells) else before
    changes = ", ".join(
        f"{part.label} {percent(was)} → {percent(now)}" for part, was, now in zip(some, before, last, strict=True)
    )
    chart = Timeline(f"{what}, reference → newest: {changes}", start, end, marks, plot, BEGIN)
    chart.tick(0.0, "ref.", "tick odd")
    lower = np.cumsum(np.column_stack([np.zeros(len(cells)), cells]), axis=1) / top
    edges, base = (
        [(chart.at(at), chart.at(at + series.width)) for at in series.starts.tolist()],
        [0.0, *accumulate(before / top)],
    )
    for k, part in enumerate(some):
        shapes = [_box(0.0, STRIP, base[k], base[k + 1])]
        for run in _runs(series):
            shapes.append(_steps([edges[i] for i in run], lower[run, k], lower[run, k + 1]))
        chart.draw(f"part {part.class_}", d="".join(shapes))
    chart.note(BEGIN, 1.0, percent(top), anchor="start")

    def reading(shares: Floats) -> str:
        listed = reversed(list(zip(some, shares.tolist(), strict=True)))
        return "\n".join(f"{part.label[:24]}: {percent(share, 3)}" for part, share in listed if share) or "none"

    chart.read(0.0, STRIP, f"reference, {counted(int(reference.sum()), 'row')}\n{reading(before)}")
    for at, n, shares in zip(series.starts.tolist(), series.counts.sum(axis=1).tolist(), cells, strict=True):
        chart.read_time(
            at, at + series.width, f"{stretch(at, at + series.width)}, {counted(round(n), 'row')}\n{reading(shares)}"
        )
    for k, part in enumerate(some):
        low, high = lower[-1, k], lower[-1, k + 1]
        if high - low > chart.line:
            chart.note(0.995, (low + high) / 2 - chart.line / 2 + 2 / plot, part.label[:24], "note name", "end")
    legend = [(part.class_, part.label) for part in reversed(some)]
    return Trend(chart.markup(), legend)


def _box(left: float, right: float, low: float, high: float) -> str:
    return _steps([(left, right)], [low], [high])


def _steps(edges: Sequence[tuple[float, float]], lower: Any, upper: Any) -> str:
    """The `d` of what is between two staircases, on a plane of 1000 x 1000.

    >>> _steps([(0.0, 0.5), (0.5, 1.0)], [0.0, 0.0], [0.25, 1.0])
    'M0 1000V750H500V0H1000V1000H500V1000H0z'
    """
    if not len(edges) or float(np.max(np.asarray(upper) - np.asarray(lower))) <= 0:
        return ""
    down, up = ([round(1000 * (1 - float(y))) for y in side] for side in (lower, upper))
    xs = [(round(1000 * left), round(1000 * right)) for left, right in edges]
    there = "".join(f"V{y}H{right}" for y, (_, right) in zip(up, xs, strict=True))
    back = "".join(f"V{y}H{left}" for y, (left, _) in reversed(list(zip(down, xs, strict=True))))
    return f"M{xs[0][0]} {down[0]}{there}{back}z"


def draw_quantiles(
    column: Column, series: Series, reference: Counts, marks: Marks, start: float, end: float
) -> list[Trend]:
    """Draw the middle 90 % and 50 % of a numeric column over time, and its median; nothing without any value."""
    rows = series.counts[:, : column.value_bins].sum(axis=1)
    some = Series(series.starts[rows > 0], series.counts[rows > 0], series.sums[rows > 0], series.width)
    if not len(some.starts):
        return []
    every_q = np.array(QUANTILES)[:, None]
    live, before = (quantile(column, side, every_q) for side in (some.counts, reference[None].astype(np.float64)))
    if not reference[: column.value_bins].any():
        before = live[:, :1]
    low, high, ticks = number_scale(float(min(live.min(), before.min())), float(max(live.max(), before.max())))
    texts = [
        f"{name} {number(was)} → {number(now)}"
        for name, was, now in zip(
            ("5 %", "25 %", "median", "75 %", "95 %"), before[:, 0].tolist(), live[:, -1].tolist(), strict=True
        )
    ]
    label = f"Quantiles of {column.name} over time, reference → newest: {', '.join(texts)}"
    chart = Timeline(label, start, end, marks, 180, BEGIN)
    chart.tick(0.0, "ref.", "tick odd")

    def height(value: float) -> float:
        return fraction(value, low, high)

    for tick in ticks:
        chart.draw("grid", (BEGIN, height(tick)), (1, height(tick)))
        chart.note(BEGIN, height(tick), number(tick), anchor="start")
    was = [height(float(value)) for value in before[:, 0]]
    chart.draw("band ref-band", d=_box(0.0, STRIP, was[0], was[4]))
    chart.draw("band ref-band", d=_box(0.0, STRIP, was[1], was[3]))
    chart.draw("line-ref-level", (0.0, was[2]), (1.0, was[2]))
    for run in _runs(some):
        # A run reaches from the beginning of its first cell to the end of its last one.
        xs = [chart.at(at + some.width / 2) for at in some.starts[run].tolist()]
        xs = [chart.at(float(some.starts[run[0]])), *xs, chart.at(float(some.starts[run[-1]] + some.width))]
        every = [[height(float(values[i])) for i in (run[0], *run, run[-1])] for values in live]
        for one, other in ((0, 4), (1, 3)):
            there, back = zip(xs, every[other], strict=True), zip(reversed(xs), reversed(every[one]), strict=True)
            chart.draw("band", d=line([*there, *back]) + "z")
        chart.draw("line-live", *zip(xs, every[2], strict=True))

    def reading(values: list[float], n: float) -> str:
        low, first, middle, third, high = (number(value, 4) for value in values)
        return f"median {middle}\nmiddle 50 %: {first} to {third}\nmiddle 90 %: {low} to {high}\nn {count(round(n))}"

    if n := int(reference[: column.value_bins].sum()):
        chart.read(0.0, STRIP, f"reference\n{reading(before[:, 0].tolist(), n)}")
    for at, n, values in zip(some.starts.tolist(), rows[rows > 0].tolist(), live.T.tolist(), strict=True):
        chart.read_time(at, at + some.width, f"{stretch(at, at + some.width)}\n{reading(values, n)}")
    return [Trend(chart.markup(), [])]


def draw_column(
    column: Column, series: Series, reference: Counts, marks: Marks, start: float, end: float
) -> list[Trend]:
    """Draw a column over time: shares of its values if these are few, else quantiles, and what these leave out.

    `reference`: counts of its bins. Empty without any data.
    """
    live = series.counts.sum(axis=0)
    if not live.any():
        return []
    if few_values(column, reference):
        every = parts(column, reference, live)
        return [draw_shares(f"Shares of {column.name} over time", every, series, reference, marks, start, end)]
    out, odd = draw_quantiles(column, series, reference, marks, start, end), strange(column, reference, live)
    if not odd:
        return out
    some = Marks(nothing=marks.nothing)
    most = shares_of(np.vstack([series.counts, reference]), odd).sum(axis=1).max()
    what = f"Share of the rows of {column.name} that have no quantile"
    return [*out, draw_shares(what, odd, series, reference, some, start, end, 48, min(1.1 * float(most), 1.0))]
