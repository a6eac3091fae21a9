"""The windows of a column on the grid of whole hours, and what was to be expected in each of them.

All of it comes from counts of hours. A window ends at a whole hour; what it is compared with is older than the window's
own beginning. Times are positions in the grid; its `shift` has the offset of the local time at each of them, by which
`Grid.weeks_before` finds the same local hour although daylight saving began or ended in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Counts, Floats, Mask
from monitor.normal.cells import Cells

Ints = npt.NDArray[np.int64]

DAY_HOURS, WEEK_HOURS = 24, 168
#: Hours of the past from which a level and the scatter are learnt.
LEARNT = 8 * WEEK_HOURS
#: Weeks whose same hour makes the expectation by the hour of the week, and how many of them must exist.
SAME_HOURS, FEWEST_HOURS = 6, 3
#: Fewest rows of a window that is judged or learnt from, and the least part of its usual rows.
FEWEST_ROWS, WHOLE = 20, 0.85
#: A window with less than that is compared with just the hours that it has, if it has this part of its usual rows.
PART = 0.3
#: Fewest rows of a level, in rows of the window that is compared with it.
FEWEST_LEVEL = 2.0
#: A window is looked at in this many parts, and is partial if so large a share of its rows is in other ones than usual.
PARTS, MOVED_ROWS = 4, 0.1
#: Most counts of hours that are added up at once: 8 MB.
MOST_AT_ONCE = 2**20


@dataclass(frozen=True)
class Grid:
    """Counts of a schema's columns in consecutive hours, as running sums. `prefix`: shape (hours + 1, bins).

    `shift`: shape (hours + 1,), the local time's offset from UTC in hours at each edge of the grid.
    `known`: shape (hours + 1,), running number of hours that count (quiet days do not). `rows`: the same of rows.
    `first`: hours since 1970 at which it begins.
    """

    prefix: Counts
    shift: Ints
    known: Ints
    rows: Ints
    first: int = 0

    @property
    def hours(self) -> int:
        """Number of hours in the grid."""
        return len(self.prefix) - 1

    def between(self, start: Ints, end: Ints, bins: slice) -> Counts:
        """Counts of [start, end), shape (..., bins); what is outside the grid is empty."""
        prefix = self.prefix[:, bins]
        out: Counts = prefix[np.clip(end, 0, self.hours)] - prefix[np.clip(start, 0, self.hours)]
        return out

    def parts(self, ends: Ints, length: int) -> Counts:
        """Rows in the parts of windows, shape (..., PARTS)."""
        edges = ends[..., None] - length + np.arange(PARTS + 1) * length // PARTS
        out: Counts = np.diff(self.rows[np.clip(edges, 0, self.hours)], axis=-1)
        return out

    def weeks_before(self, ends: Ints, weeks: Ints) -> Ints:
        """The same local time `weeks` weeks earlier."""
        plain = ends - weeks * WEEK_HOURS
        inside = np.clip(plain, 0, self.hours)
        out: Ints = plain + self.shift[np.clip(ends, 0, self.hours)] - self.shift[inside]
        return out


@dataclass(frozen=True)
class Windows:
    """W windows of one length of K columns with C cells.

    `ends`: shape (W,). `shares`: (W, C). `n`: (W, 2 K), rows with a value and all rows of each column. `expected`:
    (3, W, C), by predictor: the level of the last weeks, the same hour of those weeks, their mean; NaN if there is no
    history for it. `usual`: (W, K), median rows of the same hours, 0 if unknown. `judged`: (W, K), whether the window
    is whole. `by_hours`: (W, C), what was to be expected in the hours that they have, of partial windows and of those
    with few weeks before them; else NaN.
    """

    length: int
    ends: Ints
    shares: Floats
    n: Floats
    expected: Floats
    usual: Floats
    judged: Mask
    by_hours: Floats


def windows_of(cells: Cells, grid: Grid, ends: Ints, length: int, *, partial: bool = True) -> Windows:
    """Work out the windows of `length` hours that end at `ends`, with the expectations for each.

    `partial`: also what is expected of partial windows.
    """
    earlier = grid.weeks_before(ends, np.arange(1, SAME_HOURS + 1)[:, None])
    # Windows a week apart look back at each other: each is worked out once.
    every, index = np.unique(np.concatenate((ends[None], earlier)), return_inverse=True)
    index = index.reshape(SAME_HOURS + 1, -1)
    now, past = index[0], index[1:]
    shares, n = cells.shares(grid.between(every - length, every, cells.bins))
    rows = n[:, 1::2]
    usable = (every >= length)[:, None] & (rows >= FEWEST_ROWS)
    same_hours = _median(np.where(usable[:, cells.column_of], shares, np.nan)[past], FEWEST_HOURS)
    usual = np.nan_to_num(_median(np.where(usable, rows, np.nan)[past], 1))
    usual_parts = (usable[past, :, None] * grid.parts(earlier, length)[:, :, None]).sum(axis=0)
    level, level_n = cells.shares(grid.between(ends - length - LEARNT, ends - length, cells.bins))
    few = level_n[:, 1::2] < FEWEST_LEVEL * rows[now]
    level[few[:, cells.column_of]] = np.nan  # a few rows, as after a long gap, are no level
    loud = grid.known[np.clip(ends, 0, grid.hours)] - grid.known[np.clip(ends - length, 0, grid.hours)] == length
    enough = ((ends >= length) & loud)[:, None] & (rows[now] >= np.maximum(FEWEST_ROWS, PART * usual))
    judged = enough & (rows[now] >= WHOLE * usual) & ~_lopsided(grid.parts(ends, length)[:, None], usual_parts)
    by_hours = np.full_like(level, np.nan)
    needed = enough & (~judged | (usable[past].sum(axis=0) < FEWEST_HOURS))
    at = np.flatnonzero(needed.any(axis=1) & partial)
    by_hours[at] = np.where(needed[at][:, cells.column_of], _by_hours(cells, grid, ends[at], length), np.nan)
    expected = np.stack([level, same_hours, (level + same_hours) / 2])
    return Windows(length, ends, shares[now], n[now], expected, usual, judged, by_hours)


def _by_hours(cells: Cells, grid: Grid, ends: Ints, length: int) -> Floats:
    """Shares expected of the hours that windows have, shape (W, C): those of the weeks before, weighted by their rows.

    NaN if too much of a window is in hours that have no history.
    """
    out = np.full((len(ends), len(cells.names)), np.nan)
    bins = cells.bins.stop - cells.bins.start
    at_once = max(MOST_AT_ONCE // (SAME_HOURS * length * bins), 1)
    for first in range(0, len(ends), at_once):
        part = ends[first : first + at_once, None]
        hours = part + np.arange(1 - length, 1)
        earlier = grid.weeks_before(hours, np.arange(1, SAME_HOURS + 1)[:, None, None])
        earlier = np.where(earlier <= part - length, earlier, 0)  # none of the window's own
        past = np.diff(grid.rows[np.clip(np.stack([earlier - 1, earlier]), 0, grid.hours)], axis=0)[0].sum(axis=0)
        rows = grid.rows[hours] - grid.rows[hours - 1]
        total = rows.sum(axis=1)
        known = (rows * (past == 0)).sum(axis=1) <= MOVED_ROWS * total
        known &= (past * (rows > 0)).sum(axis=1) >= FEWEST_LEVEL * total
        weight = (rows / np.maximum(past, 1))[known, :, None]
        earlier = earlier[:, known]
        counts = (grid.between(earlier - 1, earlier, cells.bins).sum(axis=0) * weight).sum(axis=1)
        shares = cells.shares(np.rint(1000 * counts).astype(np.int64))[0]  # of counts, with three places
        out[first : first + at_once][known] = shares
    return out


def _lopsided(parts: Counts, usual: Counts) -> Mask:
    """Whether the rows of windows are spread over their parts otherwise than usual, by more than chance.

    Such a window has rows of other hours than those that it is compared with. Both: shape (..., PARTS).
    """
    rows, usual_rows = parts.sum(axis=-1, keepdims=True), usual.sum(axis=-1, keepdims=True)
    moved = np.abs(parts / np.maximum(rows, 1) - usual / np.maximum(usual_rows, 1)).sum(axis=-1) / 2
    allowed = MOVED_ROWS + 0.5 * np.sqrt(PARTS / np.maximum(rows[..., 0], 1))
    out: Mask = (usual_rows[..., 0] > 0) & (moved > allowed)
    return out


def _median(values: Floats, fewest: int) -> Floats:
    """Median over the first axis of what is not NaN; NaN if there are fewer than `fewest` values."""
    ordered = np.sort(values, axis=0)
    known, last = np.isfinite(values).sum(axis=0), len(values) - 1
    middle = [np.maximum(known - 1, 0) // 2, np.minimum(known // 2, last)]
    low, high = np.take_along_axis(ordered, np.stack(middle), axis=0)
    out: Floats = np.where(known >= fewest, (low + high) / 2, np.nan)
    return out
