"""Learn what is usual for a column, once a day, and say how far a window is from it.

`learn` chooses the predictor and measures the scatter of windows about it; `judge` divides a window's distance by the
scatter. `Watch` puts both together over the days of a grid: live, of one day; in a backtest, of a year.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Floats, Mask
from monitor.normal.cells import Cells
from monitor.normal.expected import FEWEST_ROWS, LEARNT, WEEK, Grid, Ints, Windows, windows_of
from monitor.normal.limit import limit

DAY = 24
#: Hours between two windows that are judged: a quarter of their length, but no more than this.
MOST_STEP = 6
#: Windows of the past that must exist before anything is judged.
FEWEST_WINDOWS = 10
#: The median of the chi-square distribution with one degree of freedom.
CHI2_MEDIAN = 0.455
#: Another predictor must be better than the level by this much: the level has the least noise of its own.
LEVEL_HEAD_START = 0.96
#: Hours between two windows that are learnt from: more of them overlap, and their medians are the same.
LEARN_STEP = 3


@dataclass(frozen=True)
class Learned:
    """What the last weeks say of one column and window length. `scatter`: variance of each share between windows."""

    predictor: int
    scatter: Floats


@dataclass(frozen=True)
class Distances:
    """How far W windows are from what was expected. `change`: shape (W, cells), share minus expected share.

    `scale`: (W, cells), what the change is measured in: one scale for all bulk cells, one for each tail cell.
    `known`: (W, cells), whether the window is whole and has enough rows. `worst`: (W, limits), the distance in units of
    its scale: the largest of the bulk cells, and that of each tail cell; NaN if there is none.
    """

    change: Floats
    scale: Floats
    known: Mask
    worst: Floats


def learn(cells: Cells, windows: Windows, rows: npt.NDArray[np.intp]) -> Learned | None:
    """Learn from some windows of the last weeks; None if they are too few. `rows`: positions of the windows."""
    usable = rows[windows.judged[rows] & np.isfinite(windows.expected[0, rows, -1])]
    if len(usable) < FEWEST_WINDOWS:
        return None
    # Cells first: a median runs over consecutive numbers.
    shares = np.ascontiguousarray(windows.shares[usable].T)
    expected = np.ascontiguousarray(windows.expected[:, usable].swapaxes(1, 2))
    seasonal = np.isfinite(expected[1, -1])
    # Without any value there is no shape to be wrong about; the cell of what is missing tells it.
    squares = np.nan_to_num((shares - expected) ** 2)
    choice = 0
    if seasonal.sum() >= max(FEWEST_WINDOWS, len(usable) / 2):
        losses = np.median(squares[:, :, seasonal], axis=2).sum(axis=1)
        losses[0] *= LEVEL_HEAD_START
        choice = int(np.argmin(losses))
    kept = seasonal if choice else slice(None)
    q = np.nan_to_num(expected[choice][:, kept])
    rows_of = np.maximum(cells.spread(windows.n[usable]).T[:, kept], 1.0)
    noise = np.median(q * (1 - q) / rows_of, axis=1)
    scatter = np.maximum(np.median(squares[choice][:, kept], axis=1) / CHI2_MEDIAN - noise, 0.0)
    return Learned(choice, scatter)


def judge(cells: Cells, windows: Windows, rows: npt.NDArray[np.intp], learned: Learned) -> Distances:
    """Distances of some windows from what was expected. The level stands in if the predictor has no history yet."""
    q = windows.expected[learned.predictor, rows]
    q = np.where(np.isfinite(q), q, windows.expected[0, rows])
    n = cells.spread(np.maximum(windows.n[rows], 1.0))
    variance = np.nan_to_num(q * (1 - q)) / n + learned.scatter
    if cells.bulk:
        variance[:, : cells.bulk] = variance[:, : cells.bulk].max(axis=1, keepdims=True)
    scale = np.sqrt(variance + 1.0 / n**2)
    change = windows.shares[rows] - q
    enough = windows.judged[rows, None] & (cells.spread(windows.n[rows]) >= FEWEST_ROWS) & np.isfinite(change)
    filled = np.where(enough, np.abs(change) / scale, -1.0)
    bulk = filled[:, : cells.bulk].max(axis=1, initial=-1.0)
    worst = np.concatenate((bulk[:, None], filled[:, cells.bulk :]), axis=1)
    return Distances(change, scale, enough, np.where(worst < 0, np.nan, worst))


def excess(cells: Cells, distances: Distances, limits: Floats) -> Floats:
    """Divide each window by its limit: the worst of the cells beyond their floors, shape (W,); 0 if there is none.

    More than 1 is unusual. `limits`: shape (limits,), of the bulk and of each tail cell.
    """
    size = np.abs(distances.change)
    scale = distances.scale * limits[cells.limit_of]
    with np.errstate(invalid="ignore"):
        out: Floats = np.where((size >= cells.floors) & distances.known, size / scale, 0.0).max(axis=1)
    return out


class Watch:
    """One column at one window length, day after day.

    `step`: hours between the ends of windows. `weeks`: what the limits are for, see `limit.horizon`. `maxima`: the
    largest bulk and tail distance of each week, by the week's number; the limits come from finished weeks.
    """

    def __init__(self, cells: Cells, length: int, weeks: float, first: int = 0) -> None:
        self.cells, self.length, self.weeks, self.first = cells, length, weeks, first
        self.step = min(max(length // 4, 1), MOST_STEP)
        self.maxima: dict[int, Floats] = {}
        self.learned: Learned | None = None
        self.limits: Floats = limits_of([], cells, weeks)
        self._week: int | None = None  # the limits are of the weeks before this one

    def copy(self) -> Watch:
        """Return a watch that goes on from here by itself."""
        other = Watch(self.cells, self.length, self.weeks, self.first)
        other.maxima, other.learned, other.limits = dict(self.maxima), self.learned, self.limits
        other._week = self._week
        return other

    def run(self, grid: Grid, start: int, end: int) -> Replayed:
        """Judge the windows that end within [start, end), learning at the beginning of each day."""
        before = max(start - LEARNT, 0)
        ends = np.arange(before - (before + self.first) % self.step, end, self.step, dtype=np.int64)
        ends = ends[ends >= 0]
        windows = windows_of(self.cells, grid, ends, self.length)
        count = int((ends >= start).sum())
        size = (count, len(self.limits))
        out = Replayed(ends[len(ends) - count :], np.zeros(count), np.full(size, np.nan), np.full(size, np.nan))
        done = 0
        for day in range(start - (start + self.first) % DAY, end, DAY):
            begin, stop = np.searchsorted(ends, (max(day, start), min(day + DAY, end)))
            rows = np.arange(begin, stop)
            self._relearn(windows, ends, day)
            if self.learned is not None and len(rows):
                found = judge(self.cells, windows, rows, self.learned)
                place = slice(done, done + len(rows))
                out.distances[place], out.limits[place] = found.worst, self.limits
                out.excess[place] = excess(self.cells, found, self.limits)
                self._note((day + self.first) // WEEK, found.worst)
            done += len(rows)
        return out

    def _relearn(self, windows: Windows, ends: Ints, day: int) -> None:
        first, last = np.searchsorted(ends, (day - LEARNT, day), side="right")
        rows = np.arange(first, last)
        rows = rows[(ends[first:last] + self.first) % LEARN_STEP == 0]
        self.learned = learn(self.cells, windows, rows) or self.learned
        week = (day + self.first) // WEEK
        if week != self._week:
            self._week = week
            self.limits = limits_of(
                [self.maxima[one] for one in sorted(self.maxima) if one < week], self.cells, self.weeks
            )

    def _note(self, week: int, worst: Floats) -> None:
        largest = np.where(np.isfinite(worst), worst, -1.0).max(axis=0)
        if largest.max() >= 0:
            self.maxima[week] = np.maximum(self.maxima.get(week, largest), largest)


def limits_of(maxima: list[Floats], cells: Cells, weeks: float) -> Floats:
    """Limits from the finished weeks, shape (limits,). `maxima`: of each week, -1 where nothing was judged."""
    table = np.array(maxima, dtype=np.float64).reshape(-1, cells.limits)
    return np.array([limit(column[column >= 0], weeks) for column in table.T])


@dataclass
class Replayed:
    """Judged windows: `ends`, shape (W,); `excess`, (W,); `distances` and `limits`, (W, limits)."""

    ends: Ints
    excess: Floats
    distances: Floats
    limits: Floats
