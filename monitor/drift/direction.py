"""Say what changed in one column, in a sentence that fits what the statistic saw. Pure functions of counts and sums.

`direction` looks at the counts of both sides and chooses the kind of change (`Change`), the numbers and the names. Its
text gives the column's own unit first, then reference standard deviations, and never writes a change as two equal
numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate

from monitor.columns.column import MISSING, OTHER, Column
from monitor.columns.moments import binned_median, binned_spread, exact_mean
from monitor.drift.result import Change, Direction, Shift
from monitor.words import apart, number, percent

#: How many bins a verdict lists, and how many categories its words name.
LISTED = 6
NAMED = 3

#: What comes before the names of unseen values in a sentence.
_UNSEEN = "unseen value"

#: Moves of a mean, a median or a spread by less than this many reference standard deviations are not worth words.
STILL = 0.05

#: One value took over if it has at least this share of the rows, and had less by at least the second number.
MOST_ROWS, GROWN = 0.5, 0.25

#: A category that less than this part of the reference's rows have is rare.
RARE = 0.01

#: A category is named if its share moved by at least this many standard errors: fewer are chance.
NOTICED = 3.0

#: Unseen or missing values are named alone if they make up this part of the difference.
ALONE = 0.75

Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class Sides:
    """Two histograms of one column: counts of its bins, length `column.size`.

    `sums`: of both, over finite values, in the column's unit. `deviation`: of the reference, NaN or 0 if unknown.
    """

    column: Column
    reference: Sequence[float]
    test: Sequence[float]
    sums: tuple[float, float] = (math.nan, math.nan)
    deviation: float = math.nan

    @cached_property
    def shares(self) -> tuple[list[float], list[float]]:
        """Shares of all rows, of the reference and of the test window."""
        return _shares(self.reference), _shares(self.test)

    @cached_property
    def sizes(self) -> tuple[float, float]:
        """Rows of the reference and of the test window, at least 1."""
        return max(sum(self.reference), 1), max(sum(self.test), 1)

    def of(self, cells: Sequence[int]) -> tuple[float, float]:
        """Share of the rows in some bins, on both sides."""
        before, after = self.shares
        return sum(before[i] for i in cells), sum(after[i] for i in cells)


def direction(sides: Sides, statistic: str = "", unseen: Sequence[str] = ()) -> Direction:
    """Say what changed in one column between two histograms.

    `statistic`: which one asks; `missing` and `other` ask for one share, every other one for the whole distribution.
    `unseen`: names of unseen values in the test window, if the caller knows them, the most frequent first.
    """
    column = sides.column
    if statistic == "missing":
        return _share(sides, "missing", "missing values", share_cells(column, statistic))
    if statistic == "other":
        return _outside(sides) if column.numeric else _rare(sides, unseen)
    return _numeric(sides) if column.numeric else _categories(sides, unseen)


def share_cells(column: Column, statistic: str) -> Sequence[int]:
    """Bins whose rows `missing` or `other` counts; rare categories, which `other` counts too, are not among them."""
    if statistic == "missing":
        return range(column.missing_bin, column.size)
    if not column.numeric:
        return [column.value_bins - 1]
    return [0, len(column.edges)] if column.edges else []


def shifts(labels: Sequence[str], reference: Sequence[float], test: Sequence[float]) -> tuple[Shift, ...]:
    """The bins whose share moved most, the largest move first; at most `LISTED`.

    >>> [shift.label for shift in shifts(("a", "b", "c"), [5, 5, 0], [5, 3, 2])]
    ['b', 'c']
    """
    m, n = max(sum(reference), 1), max(sum(test), 1)
    moves = [after / n - before / m for before, after in zip(reference, test, strict=True)]
    largest = sorted(range(len(moves)), key=[-abs(move) for move in moves].__getitem__)[:LISTED]
    return tuple(Shift(labels[i], reference[i] / m, test[i] / n) for i in largest if moves[i])


@dataclass(frozen=True)
class _Values:
    """How the values of a numeric column moved. `before`, `after`: their shares by bin.

    `deviation`: of the reference, None if it is zero or unknown; moves in it end in `_sd`. The rest is of both sides.
    """

    column: Column
    before: list[float]
    after: list[float]
    deviation: float | None
    widest_bin: float
    means: Pair
    sds: Pair
    medians: Pair

    @classmethod
    def of(cls, sides: Sides) -> _Values:
        column, reference, test = sides.column, sides.reference, sides.test
        # Rounding gives a constant a tiny deviation: it counts as zero.
        rounding = 1e-12 * abs(exact_mean(column, reference, sides.sums[0]) or 0.0)
        deviation = sides.deviation if rounding < sides.deviation < math.inf else None
        widest_bin = math.inf if deviation is None else deviation / 2
        trained = _reference_moments(column, tuple(reference), sides.sums[0], widest_bin)
        pairs = zip(trained, _moments(column, test, sides.sums[1], widest_bin), strict=True)
        before, after = (_shares(side[: column.value_bins]) for side in (reference, test))
        return cls(column, before, after, deviation, widest_bin, *pairs)

    @cached_property
    def mean_sd(self) -> float | None:
        return _ratio(_difference(self.means), self.deviation)

    @cached_property
    def median_sd(self) -> float | None:
        return _ratio(_difference(self.medians), self.deviation)

    @cached_property
    def spread_sd(self) -> float:
        """Change of the standard deviation; in parts of itself if the reference's is unknown."""
        return _ratio(_difference(self.sds), self.sds[0] if self.deviation is None else self.deviation) or 0.0

    @property
    def reach(self) -> float:
        """The larger move of mean and median, in deviations."""
        return max(abs(self.mean_sd or 0.0), abs(self.median_sd or 0.0))

    @property
    def mean_moved(self) -> bool:
        return _moved(_difference(self.means), self.mean_sd)

    @property
    def median_moved(self) -> bool:
        return _moved(_difference(self.medians), self.median_sd)

    @property
    def comparable(self) -> bool:
        """Whether a move of mean or median would explain other changes: there is a deviation, or neither moved."""
        return self.deviation is not None or not (self.mean_moved or self.median_moved)

    @cached_property
    def gap(self) -> tuple[int, float, float]:
        """The edge at which the cumulative shares differ most, as the K-S distance does, and both shares there."""
        gaps = list(zip(accumulate(self.before), accumulate(self.after), strict=True))
        edge = max(range(len(gaps)), key=[abs(now - was) for was, now in gaps].__getitem__)
        return edge, *gaps[edge]

    def moves(self) -> list[str]:
        """The mean if it moved, and the median if it moved and the mean did not go the same way."""
        mean, median = _difference(self.means) or 0.0, _difference(self.medians) or 0.0
        moves = [f"mean {_in_units(self.means, self.mean_sd)}"] if self.mean_moved else []
        if self.median_moved and (not moves or mean * median <= 0):
            moves.append(f"median {_in_units(self.medians, self.median_sd)}")
        return moves

    @property
    def wider(self) -> str:
        return f"spread (sd) {apart(self.sds[0] or 0.0, self.sds[1] or 0.0)}"


def _numeric(sides: Sides) -> Direction:
    """The first of these that explains what the statistic saw."""
    bins = sides.column.value_bins
    if not sum(sides.test[:bins]) or not sum(sides.reference[:bins]):
        return Direction("no values to compare", "unchanged")
    values = _Values.of(sides)
    explained = (explain(values) for explain in (_took_over, _beyond_range, _shape, _spread, _place))
    return next(filter(None, explained), Direction("no change", "unchanged"))


def _took_over(values: _Values) -> Direction | None:
    """Most rows have one value now, as far as the bins tell."""
    column, after = values.column, values.after
    fullest = max(range(len(after)), key=after.__getitem__)
    if not 0 < fullest < len(after) - 1:
        return None
    half_width = column.edges[fullest] / 2 - column.edges[fullest - 1] / 2
    was, now = values.before[fullest], after[fullest]
    narrow = column.bin_spreads[fullest] == 0 or half_width <= values.widest_bin
    if not narrow or now < MOST_ROWS or now - was < GROWN:
        return None
    name = _bin_name(column, fullest)
    return Direction(f"most values are now {name}: {apart(was, now, percent, 2)}", "took over", (name,), was, now)


def _beyond_range(values: _Values) -> Direction | None:
    """Rows out of range make up half of the largest gap, or more."""
    _, below, below_now = values.gap
    outer = _outer_moves(values.column, values.before, values.after)
    if not outer or outer[0][2] >= MOST_ROWS or not outer[0][2] - outer[0][1] >= abs(below_now - below) / 2 > 0:
        return None
    name, was, now = outer[0]
    text = "; ".join([f"{name}: {apart(was, now, percent, 2)}", *values.moves()])
    return Direction(text, "out of range", (name,), was, now)


def _shape(values: _Values) -> Direction | None:
    """The largest gap is three times what moves and spread explain, or more."""
    edge, was, now = values.gap
    # The largest gap that a move, or a change of the spread, opens in a normal column, by its size in deviations.
    explained = 0.4 * values.reach + 0.24 * abs(values.spread_sd)
    if abs(now - was) <= 3 * explained or not values.comparable or edge == len(values.column.edges):
        return None
    name = f"values up to {number(values.column.edges[edge])}"
    return Direction(f"{name}: {apart(was, now, percent, 2)}", "shape", (name,), was, now)


def _spread(values: _Values) -> Direction | None:
    """The spread changed more than mean and median moved."""
    spread = abs(values.spread_sd)
    if spread < STILL or 0.8 * spread <= values.reach or not values.comparable:
        return None
    still = not (values.mean_moved or values.median_moved)
    text = "; ".join([values.wider, *(["mean and median as before"] if still else values.moves())])
    return Direction(text, "spread", (), *values.sds)


def _place(values: _Values) -> Direction | None:
    """Mean or median moved; and the spread, if that is worth words."""
    moves = values.moves()
    if not moves:
        return None
    if abs(values.spread_sd) >= max(STILL, values.reach / 2) and values.deviation is not None:
        moves.append(values.wider)
    return Direction("; ".join(moves), "moved", (), *(values.means if values.mean_moved else values.medians))


def _moments(column: Column, counts: Sequence[float], total: float, widest_bin: float) -> tuple[float | None, ...]:
    """Mean, standard deviation and median of one side; no median if it is in a bin that is wider than `widest_bin`."""
    mean = exact_mean(column, counts, total)
    return mean, binned_spread(column, counts, mean), binned_median(column, counts, mean, widest_bin)


#: Those of a reference, which is the same for many windows.
_reference_moments = lru_cache(maxsize=4096)(_moments)


def _outer_moves(column: Column, before: Sequence[float], after: Sequence[float]) -> list[tuple[str, float, float]]:
    """Name, share before and share after of the outer bins that grew, the larger move first."""
    if not column.edges:
        return []
    last = len(column.edges)
    sides = (
        (f"below the range seen (< {number(column.edges[0])})", before[0], after[0]),
        (f"above the range seen (> {number(column.edges[-1])})", before[last], after[last]),
    )
    return sorted((side for side in sides if side[2] > side[1]), key=lambda side: side[1] - side[2])


def _outside(sides: Sides) -> Direction:
    """What `other` sees of a numeric column: rows out of range."""
    ends = share_cells(sides.column, "other")
    moves = _outer_moves(sides.column, *sides.shares)
    if not moves:
        return _share(sides, "out of range", "out of range", ends)
    text = "; ".join(f"{name}: {apart(was, now, percent, 2)}" for name, was, now in moves)
    return Direction(text, "out of range", tuple(name for name, *_ in moves), *sides.of(ends))


def _rare(sides: Sides, unseen: Sequence[str]) -> Direction:
    """What `other` sees of a categorical column: unseen values, or the rare category that grew most."""
    (before, after), other = sides.shares, len(sides.column.categories)
    grown = max(range(other + 1), key=lambda i: after[i] - before[i] if i == other or before[i] < RARE else -1.0)
    if grown == other or after[grown] <= before[grown]:
        return _share(sides, "new value", _unseen_name(unseen), [other], tuple(unseen))
    moved = Shift(sides.column.categories[grown], before[grown], after[grown])
    text = f"rare value {moved.label}: {apart(moved.reference, moved.test, percent, 2)}"
    return Direction(text, "moved", (moved.label,), moved.reference, moved.test)


def _share(sides: Sides, change: Change, what: str, cells: Sequence[int], names: tuple[str, ...] = ()) -> Direction:
    before, after = sides.of(cells)
    if before == after:
        return Direction(f"{what} as before: {percent(after)}", "unchanged", names, before, after)
    text = f"{what}: {apart(before, after, percent, 2)}"
    return Direction(text, change if after > before else "moved", names, before, after)


def _categories(sides: Sides, unseen: Sequence[str]) -> Direction:
    """What most rows are now; or unseen or missing values alone, if they are most of it; or what grew and shrank."""
    column, (before, after) = sides.column, sides.shares
    moved = sorted((i for i in range(column.size) if after[i] != before[i]), key=lambda i: -_weight(sides, i))
    if not moved:
        return Direction("no change", "unchanged")
    noticed = [i for i in moved if _standard_errors(sides, i) >= NOTICED] or moved[:1]
    other, missing = len(column.categories), len(column.categories) + 1
    names = [*column.categories, _unseen_name(unseen), "missing values"]

    def shares(i: int) -> str:
        return apart(before[i], after[i], percent, 2)

    top, first = max(noticed, key=lambda i: after[i]), noticed[0]
    if top != other and after[top] >= MOST_ROWS and after[top] - before[top] >= GROWN:
        text, facts = f"{names[top]}: {shares(top)}", ((names[top],), before[top], after[top])
        if top == missing:
            return Direction(text, "missing", *facts)
        return Direction(f"most rows are now {text}", "took over", *facts)
    kinds: dict[int, Change] = {other: "new value", missing: "missing"}
    kind = kinds.get(first, "moved") if after[first] > before[first] else "moved"
    if kind != "moved" and _weight(sides, first) >= ALONE * sum(_weight(sides, i) for i in noticed):
        named = tuple(unseen) if first == other else ()
        return Direction(f"{names[first]}: {shares(first)}", kind, named, before[first], after[first])
    grew = [i for i in noticed if after[i] > before[i]][:NAMED]
    shrank = [i for i in noticed if after[i] < before[i]][:NAMED]
    lists = [
        (word, ", ".join(f"{names[i]} ({shares(i)})" for i in some))
        for word, some in (("more", grew), ("fewer", shrank))
    ]
    labels = [*column.categories, OTHER, MISSING]
    text = "; ".join(f"{word} {listed}" for word, listed in lists if listed)
    return Direction(text, kind, tuple(labels[i] for i in (*grew, *shrank)), before[first], after[first])


def _standard_errors(sides: Sides, i: int) -> float:
    """By how many standard errors the share of a bin moved."""
    (before, after), (m, n) = sides.shares, sides.sizes
    pooled = (sides.reference[i] + sides.test[i] + 0.5) / (n + m + 1)
    return abs(after[i] - before[i]) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))


def _weight(sides: Sides, i: int) -> float:
    """What a bin adds to `psi`."""
    m, n = sides.sizes
    p, q = (sides.reference[i] + 0.5) / (m + 1), (sides.test[i] + 0.5) / (n + 1)
    return (q - p) * math.log(q / p)


def _unseen_name(unseen: Sequence[str]) -> str:
    """Name unseen values.

    >>> _unseen_name([]), _unseen_name(["chat"]), _unseen_name(["a", "b", "c", "d", "e"])
    ('unseen values', 'unseen value chat', 'unseen values a, b, c and others')
    """
    if len(unseen) == 1:
        return f"{_UNSEEN} {unseen[0]}"
    more = " and others" if len(unseen) > NAMED else ""
    return " ".join((f"{_UNSEEN}s", *([", ".join(unseen[:NAMED])] if unseen else []))) + more


def without_names(text: str, value: str | None = None) -> str:
    """Take the names of unseen values out of a sentence, or leave one as it is that does not name `value`.

    What cannot be told from a name, such as what follows it in a list, goes as well.

    >>> without_names("unseen values a: was 5 %, now 6 %: was 0 %, now 3.1 %")
    'unseen values: was 0 %, now 3.1 %'
    >>> without_names("unseen value a: was 0 %, now 3 %", "b")
    'unseen value a: was 0 %, now 3 %'
    >>> without_names("more red (was 4 %, now 9 %), unseen value a (was 0 %, now 3 %); fewer b (was 9 %, now 2 %)")
    'more red (was 4 %, now 9 %), unseen values (names erased)'
    """
    before, found, rest = text.partition(_UNSEEN)
    if not found or (value is not None and value not in rest):
        return text
    numbers = re.search(r"( as before: |: was [\d.]+ %, now )[\d.]+ %$", rest)
    return f"{before}{_UNSEEN}s{numbers[0] if numbers and not before else ' (names erased)'}"


def _bin_name(column: Column, at: int) -> str:
    if column.bin_spreads[at] == 0:
        return number(column.bin_means[at], 6)
    return apart(column.edges[at - 1], column.edges[at], say="between {} and {}")


def _shares(counts: Sequence[float]) -> list[float]:
    total = max(sum(counts), 1)
    return [count / total for count in counts]


def _difference(pair: Pair) -> float | None:
    before, after = pair
    if after is None or before is None:
        return None
    gap = after - before
    return gap if math.isfinite(gap) else None


def _ratio(move: float | None, unit: float | None) -> float | None:
    if move is None or not unit:
        return None
    ratio = move / unit
    return ratio if math.isfinite(ratio) else None


def _moved(move: float | None, deviations: float | None) -> bool:
    """Whether a move is worth words: `STILL` deviations, or any move of a column without a deviation."""
    return bool(move) if deviations is None else abs(deviations) >= STILL


def _in_units(pair: Pair, deviations: float | None) -> str:
    """Write a move in the column's own unit, then in reference standard deviations."""
    before, after = pair
    text = apart(before or 0.0, after or 0.0)
    if deviations is None:
        return text
    size = abs(deviations)
    return f"{text} ({f'{size:,.0f}' if size >= 9.95 else f'{size:.1f}' if size >= 0.995 else f'{size:.2g}'} sd)"
