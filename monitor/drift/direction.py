"""Which way a column moved, in numbers and in words, and which bins moved most. Pure functions of counts and sums."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from monitor.columns.column import Column
from monitor.drift.result import Direction, Shift

#: How many bins a verdict lists, and how many categories its words name.
LISTED = 6
NAMED = 3

#: Moves of a mean or median by less than this many reference standard deviations are not worth words.
STILL = 0.05


def binned_median(column: Column, counts: Sequence[float]) -> float | None:
    """Median of the finite values, by straight lines within a bin; an outer bin counts as its edge. None: no values.

    >>> binned_median(Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0)), [0, 1, 3, 0])
    1.3333333333333335
    """
    below = list(accumulate(counts[: column.value_bins]))
    half = below[-1] / 2
    if not half or not column.edges:
        return None
    at = bisect_left(below, half)
    if at == 0:
        return column.edges[0]
    if at == len(column.edges):
        return column.edges[-1]
    low, high = column.edges[at - 1], column.edges[at]
    part = (half - below[at - 1]) / counts[at]
    return low * (1 - part) + high * part


def shifts(labels: Sequence[str], reference: Sequence[float], test: Sequence[float]) -> tuple[Shift, ...]:
    """The bins whose share moved most, the largest move first; at most `LISTED`.

    >>> [shift.label for shift in shifts(("a", "b", "c"), [5, 5, 0], [5, 3, 2])]
    ['b', 'c']
    """
    m, n = max(sum(reference), 1), max(sum(test), 1)
    moves = [after / n - before / m for before, after in zip(reference, test, strict=True)]
    largest = sorted(range(len(moves)), key=[-abs(move) for move in moves].__getitem__)[:LISTED]
    return tuple(Shift(labels[i], reference[i] / m, test[i] / n) for i in largest if moves[i])


def direction(
    column: Column,
    reference: Sequence[float],
    test: Sequence[float],
    reference_sum: float,
    test_sum: float,
    deviation: float,
) -> Direction:
    """Say which way one column moved.

    `reference`, `test`: counts of its bins. Sums are over finite values; `deviation` is the reference standard
    deviation, NaN or 0 where unknown. Whatever cannot be said is None.
    """
    if not column.numeric:
        moved = shifts(column.labels, reference, test)
        grew = tuple(shift for shift in moved if shift.test > shift.reference)[:NAMED]
        shrank = tuple(shift for shift in moved if shift.test < shift.reference)[:NAMED]
        return Direction(_categories_text(grew, shrank), grew=grew, shrank=shrank)
    mean = _difference(_mean(column, test, test_sum), _mean(column, reference, reference_sum))
    median = _difference(binned_median(column, test), binned_median(column, reference))
    known = deviation if math.isfinite(deviation) and deviation > 0 else None
    in_deviations = _ratio(mean, known)
    text = _numeric_text(mean, median, in_deviations, _ratio(median, known))
    return Direction(text, mean, median, in_deviations, _ratio(median, known))


def share_direction(what: str, before: float, after: float) -> Direction:
    """Say which way a share moved.

    >>> share_direction("missing", 0.0, 0.05).text
    'missing up from 0 % to 5 %'
    """
    if before == after:
        return Direction(f"{what} unchanged at {percent(after)}")
    return Direction(f"{what} {'up' if after > before else 'down'} from {percent(before)} to {percent(after)}")


def percent(share: float) -> str:
    """Write a share for people.

    >>> percent(0.0), percent(0.0004), percent(0.0512), percent(0.5)
    ('0 %', '0.04 %', '5.1 %', '50 %')
    """
    return f"{100 * share:.2g} %" if share < 0.0995 else f"{100 * share:.0f} %"


def _mean(column: Column, counts: Sequence[float], total: float) -> float | None:
    rows = sum(counts[: column.value_bins])
    return total / rows if rows and math.isfinite(total) else None


def _difference(after: float | None, before: float | None) -> float | None:
    if after is None or before is None:
        return None
    gap = after - before
    return gap if math.isfinite(gap) else None


def _ratio(move: float | None, deviation: float | None) -> float | None:
    if move is None or deviation is None:
        return None
    ratio = move / deviation
    return ratio if math.isfinite(ratio) else None


def _numeric_text(
    mean: float | None, median: float | None, mean_deviations: float | None, median_deviations: float | None
) -> str:
    if mean is None:
        return "no values to compare" if median is None else f"median {_moved(median, median_deviations)}"
    if mean_deviations is None or median is None or median_deviations is None:
        return _moved(mean, mean_deviations)
    if abs(mean_deviations) < STILL and abs(median_deviations) < STILL:
        return "mean and median unchanged"
    if abs(mean_deviations) >= STILL and mean_deviations * median_deviations >= 0:
        return _moved(mean, mean_deviations)
    return f"mean {_moved(mean, mean_deviations)}, median {_moved(median, median_deviations)}"


def _moved(move: float, deviations: float | None) -> str:
    if deviations is None:
        return "unchanged" if move == 0 else f"{'up' if move > 0 else 'down'} by {abs(move):.3g}"
    if abs(deviations) < STILL:
        return "unchanged"
    size = f"{abs(deviations):.1f}" if abs(deviations) >= 0.995 else f"{abs(deviations):.2g}"
    return f"{'up' if deviations > 0 else 'down'} by {size} standard deviations"


def _categories_text(grew: tuple[Shift, ...], shrank: tuple[Shift, ...]) -> str:
    def named(moved: tuple[Shift, ...]) -> str:
        return ", ".join(f"{shift.label} ({percent(shift.reference)} to {percent(shift.test)})" for shift in moved)

    parts = [f"{word}: {named(moved)}" for word, moved in (("grew", grew), ("shrank", shrank)) if moved]
    return "; ".join(parts) or "no share moved"
