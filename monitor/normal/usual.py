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
#: Short and long windows in hours, and the median rows that the short one needs: few hours differ more than few days.
LADDER = ((1, 6, 500), (6, 24, 200), (24, 168, 40), (72, 168, 40))
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

    `maxima`: the largest distances of each week, shape (limits,), by the week's number since 1970; -1 for what was not
    judged. `day`: the day, in hours since 1970, for which `learned` was learnt.
    """

    def __init__(self, cells: Cells, length: int) -> None:
        self.cells, self.length, self.step = cells, length, step_of(length)
        self.maxima: dict[int, Floats] = {}
        self.learned: Learned | None = None
        self.day = 0
        #: Weeks whose largest distances have grown since somebody cleared this.
        self.grown: set[int] = set()

    def copy(self) -> Watch:
        """Return a watch that goes on from here by itself."""
        other = Watch(self.cells, self.length)
        other.maxima, other.learned, other.day = dict(self.maxima), self.learned, self.day
        return other

    def limits(self, weeks: float, at: int) -> Floats:
        """Limits that hold at an hour since 1970, shape (limits,), from the weeks finished by then; see `horizon`."""
        finished = [self.maxima[week] for week in sorted(self.maxima) if week < at // WEEK]
        table = np.array(finished, dtype=np.float64).reshape(-1, self.cells.limits)
        return np.array([limit(column[column >= 0], weeks) for column in table.T])

    def finished(self, at: int) -> int:
        """Weeks that were judged and finished by an hour since 1970."""
        return sum(week < at // WEEK for week in self.maxima)

    def judge(self, grid: Grid, end: int) -> tuple[Windows, Distances] | None:
        """Judge the window that ends at a position of the grid; None if too little has been learnt.

        Learns first if the day is a new one, and counts the distances towards the week's largest.
        """
        day = (end + grid.first) // DAY * DAY
        if day > self.day or self.learned is None:
            first = max(day - grid.first - LEARNT, 0)
            ends = np.arange(first, day - grid.first + 1, dtype=np.int64)
            ends = ends[((ends + grid.first) % self.step == 0) & ((ends + grid.first) % LEARN_STEP == 0)]
            self._relearn(windows_of(self.cells, grid, ends, self.length), np.arange(len(ends)), day)
        if self.learned is None:
            return None
        windows = windows_of(self.cells, grid, np.array([end]), self.length)
        found = judge(self.cells, windows, np.array([0]), self.learned)
        self._note((end + grid.first) // WEEK, found.worst)
        return windows, found

    def run(self, grid: Grid, start: int, end: int, weeks: float) -> Replayed:
        """Judge the windows that end within [start, end), as `judge` does one after the other."""
        before = max(start - LEARNT - DAY, 0)
        ends = np.arange(before, end, dtype=np.int64)
        ends = ends[(ends + grid.first) % self.step == 0]
        windows = windows_of(self.cells, grid, ends, self.length)
        count = int((ends >= start).sum())
        size = (count, self.cells.limits)
        out = Replayed(ends[len(ends) - count :], np.zeros(count), np.full(size, np.nan), np.full(size, np.nan))
        done, limits, week = 0, np.zeros(0), -1
        for day in range(start - (start + grid.first) % DAY, end, DAY):
            begin, stop = np.searchsorted(ends, (max(day, start), min(day + DAY, end)))
            learnt = np.arange(*np.searchsorted(ends, (day - LEARNT, day + 1)))
            self._relearn(windows, learnt[(ends[learnt] + grid.first) % LEARN_STEP == 0], day + grid.first)
            rows = np.arange(begin, stop)
            if self.learned is not None and len(rows):
                found = judge(self.cells, windows, rows, self.learned)
                if (day + grid.first) // WEEK != week:
                    week = (day + grid.first) // WEEK
                    limits = self.limits(weeks, day + grid.first)
                place = slice(done, done + len(rows))
                out.distances[place], out.limits[place] = found.worst, limits
                out.excess[place] = excess(self.cells, found, limits)
                self._note(week, found.worst)
            done += len(rows)
        return out

    def _relearn(self, windows: Windows, rows: npt.NDArray[np.intp], day: int) -> None:
        self.learned, self.day = learn(self.cells, windows, rows) or self.learned, day

    def _note(self, week: int, worst: Floats) -> None:
        largest = np.where(np.isfinite(worst), worst, -1.0).max(axis=0)
        if largest.max() >= 0 and (week not in self.maxima or (largest > self.maxima[week]).any()):
            self.maxima[week] = np.maximum(self.maxima.get(week, largest), largest)
            self.grown.add(week)


def step_of(length: int) -> int:
    """Hours between the ends of two windows that are judged.

    >>> [step_of(length) for length in (1, 6, 24, 168)]
    [1, 1, 6, 6]
    """
    return min(max(length // 4, 1), MOST_STEP)


def propose_lengths(hourly: Ints) -> tuple[int, ...]:
    """Propose a short and a long window, in hours, by the traffic. `hourly`: rows of consecutive hours.

    The short one is the shortest that usually has rows enough to see a shift by half a standard deviation.

    >>> propose_lengths(np.full(336, 2)), propose_lengths(np.full(336, 40)), propose_lengths(np.full(336, 10_000))
    ((24, 168), (6, 24), (1, 6))
    """
    for short, long, enough in LADDER:
        sums = hourly[: len(hourly) // short * short].reshape(-1, short).sum(axis=1)
        if len(sums) and np.median(sums) >= enough and np.quantile(sums, 0.2) >= FEWEST_ROWS:
            return (short, long)
    return (168,)


@dataclass
class Replayed:
    """Judged windows: `ends`, shape (W,); `excess`, (W,); `distances` and `limits`, (W, limits)."""

    ends: Ints
    excess: Floats
    distances: Floats
    limits: Floats
