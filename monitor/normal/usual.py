"""Learn what is usual for a column, once a day; say how far a window is from it, and how far is seldom.

`learn` chooses the predictor and measures the scatter of windows about it; `judge` divides a window's distance by the
scatter. `Learner` puts both together over the days of a grid; `judge_together` judges one window of many columns, live.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Floats, Mask
from monitor.normal.cells import Cells
from monitor.normal.expected import DAY_HOURS, FEWEST_ROWS, LEARNT, WEEK_HOURS, Grid, Ints, Windows, windows_of

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
#: Weeks whose maxima make a limit, how many of them must exist, and the limit until they do.
WEEKS, FEWEST_WEEKS, FIRST_LIMIT = 26, 3, 8.0
#: No limit is lower: windows this close to their expectation are what chance makes of one distribution.
LOWEST = 3.5
#: Prior scale of log maxima, weighed as much as the data: quartiles of a few maxima say little.
PRIOR_SCALE = 0.2
WEEKS_A_MONTH = 4.35


@dataclass(frozen=True)
class Learned:
    """What the last weeks say of one column and window length. `scatter`: variance of each share between windows."""

    predictor: int
    scatter: Floats


@dataclass(frozen=True)
class Distances:
    """How far W windows of K columns with C cells and L limits are from what was expected.

    `change`: shape (W, C), share minus expected share. `scale`: (W, C), what the change is measured in: one scale for
    all bulk cells of a column, one for each tail cell. `known`: (W, C), whether there are enough rows, and something
    was expected. `worst`: (W, L), the distance in units of its scale: the largest of the bulk cells, and that of each
    tail cell; NaN if there is none.
    """

    change: Floats
    scale: Floats
    known: Mask
    worst: Floats


def learn(cells: Cells, windows: Windows, rows: npt.NDArray[np.intp]) -> Learned | None:
    """Learn from some windows of one column in the last weeks; None if they are too few. `rows`: their positions."""
    usable = rows[windows.judged[rows, 0] & np.isfinite(windows.expected[0, rows, -1])]
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
        losses = _median(squares[:, :, seasonal]).sum(axis=1)
        losses[0] *= LEVEL_HEAD_START
        choice = int(np.argmin(losses))
    kept = seasonal if choice else slice(None)
    q = np.nan_to_num(expected[choice][:, kept])
    noise = _median(q * (1 - q) / np.maximum(cells.spread(windows.n[usable]).T[:, kept], 1.0))
    return Learned(choice, np.maximum(_median(squares[choice][:, kept]) / CHI2_MEDIAN - noise, 0.0))


def _median(values: Floats) -> Floats:
    """Median over the last axis; faster than numpy's, which looks for NaN."""
    low, high = (values.shape[-1] - 1) // 2, values.shape[-1] // 2
    parted = np.partition(values, (low, high), axis=-1)
    out: Floats = (parted[..., low] + parted[..., high]) / 2
    return out


def judge(cells: Cells, windows: Windows, rows: npt.NDArray[np.intp], learned: Sequence[Learned]) -> Distances:
    """Distances of some windows from what was expected. `learned`: of each column.

    Where the predictor has no history, and for partial windows, the expectation is that of the hours which they have.
    Partial windows count for the limits as well: bursts make many windows partial, and those have more noise.
    """
    predictors = np.array([of_column.predictor for of_column in learned])[cells.column_of]
    q = windows.expected[predictors, rows[:, None], np.arange(len(predictors))]
    own = windows.judged[rows][:, cells.column_of] & np.isfinite(q)
    q = np.where(own, q, windows.by_hours[rows])
    n = cells.spread(windows.n[rows])
    least = np.maximum(n, 1.0)
    variance = np.nan_to_num(q * (1 - q)) / least + np.concatenate([of_column.scatter for of_column in learned])
    scale = np.sqrt(cells.largest(variance)[:, cells.limit_of] + 1.0 / least**2)
    change = windows.shares[rows] - q
    known = (n >= FEWEST_ROWS) & np.isfinite(change)
    worst = cells.largest(np.where(known, np.abs(change) / scale, -1.0))
    return Distances(change, scale, known, np.where(worst < 0, np.nan, worst))


class Learner:
    """One column at one window length, day after day.

    `maxima`: the largest distances of each week, shape (limits,), by the week's number since 1970; -1 for what was not
    judged. `day`: the day, in hours since 1970, for which `learned` was learnt.
    """

    def __init__(self, cells: Cells, length: int) -> None:
        self.cells, self.length, self.step = cells, length, step_of(length)
        self.maxima: dict[int, Floats] = {}
        self.learned: Learned | None = None
        self.day = 0
        #: Weeks whose largest distances have grown since the caller that stores them cleared this.
        self.grown: set[int] = set()
        self._limits: tuple[tuple[float, int], Floats] = ((0.0, -1), np.zeros(0))

    def limits(self, weeks: float, at: int) -> Floats:
        """Limits that hold at an hour since 1970, shape (limits,), from the weeks finished by then; see `horizon`."""
        key = (weeks, at // WEEK_HOURS)
        if self._limits[0] != key:
            finished = [self.maxima[week] for week in sorted(self.maxima) if week < at // WEEK_HOURS]
            table = np.array(finished, dtype=np.float64).reshape(-1, self.cells.limits)
            self._limits = key, np.array([limit(column[column >= 0], weeks) for column in table.T])
        return self._limits[1]

    def learn(self, grid: Grid, end: int) -> bool:
        """Learn again if a day has begun since. Returns whether anything is known of windows that end at `end`."""
        day = (end + grid.first) // DAY_HOURS * DAY_HOURS
        if day > self.day:
            first = max(day - grid.first - LEARNT, 0)
            ends = np.arange(first, day - grid.first + 1, dtype=np.int64)
            ends = ends[((ends + grid.first) % self.step == 0) & ((ends + grid.first) % LEARN_STEP == 0)]
            self._relearn(windows_of(self.cells, grid, ends, self.length, partial=False), np.arange(len(ends)), day)
        return self.learned is not None

    def run(self, grid: Grid, start: int, end: int, weeks: float) -> Replayed:
        """Judge the windows that end within [start, end), as `judge_together` does one after the other."""
        ends = np.arange(max(start - LEARNT - DAY_HOURS, 0), end, dtype=np.int64)
        ends = ends[(ends + grid.first) % self.step == 0]
        windows = windows_of(self.cells, grid, ends, self.length)
        count = int((ends >= start).sum())
        shape = (count, self.cells.limits)
        out = Replayed(ends[len(ends) - count :], np.zeros(count), np.full(shape, np.nan), np.full(shape, np.nan))
        done, limits, week = 0, np.zeros(0), -1
        for day in range(start - (start + grid.first) % DAY_HOURS, end, DAY_HOURS):
            begin, stop = np.searchsorted(ends, (max(day, start), min(day + DAY_HOURS, end)))
            past = np.arange(*np.searchsorted(ends, (day - LEARNT, day + 1)))
            self._relearn(windows, past[(ends[past] + grid.first) % LEARN_STEP == 0], day + grid.first)
            rows = np.arange(begin, stop)
            if self.learned is not None and len(rows):
                distances = judge(self.cells, windows, rows, [self.learned])
                if (day + grid.first) // WEEK_HOURS != week:
                    week = (day + grid.first) // WEEK_HOURS
                    limits = self.limits(weeks, day + grid.first)
                place = slice(done, done + len(rows))
                out.distances[place], out.limits[place] = distances.worst, limits
                change, critical = np.abs(distances.change), distances.scale * limits[self.cells.limit_of]
                with np.errstate(invalid="ignore"):
                    matters = (change >= self.cells.floors) & distances.known
                    out.excess[place] = np.where(matters, change / critical, 0.0).max(axis=1)
                self.note(week, distances.worst)
            done += len(rows)
        return out

    def _relearn(self, windows: Windows, rows: npt.NDArray[np.intp], day: int) -> None:
        self.learned, self.day = learn(self.cells, windows, rows) or self.learned, day

    def note(self, week: int, worst: Floats) -> None:
        """Count distances, shape (W, limits), towards the week's largest."""
        largest = np.where(np.isfinite(worst), worst, -1.0).max(axis=0)
        if largest.max() >= 0 and (week not in self.maxima or (largest > self.maxima[week]).any()):
            self.maxima[week] = np.maximum(self.maxima.get(week, largest), largest)
            self.grown.add(week)


def judge_together(learners: Sequence[Learner], cells: Cells, grid: Grid, end: int) -> tuple[Windows, Distances]:
    """Judge the window of several columns that ends at a position of the grid, by what each has learnt.

    All learners have one length. `cells`: of their columns together. The distances count towards the week's largest.
    """
    windows = windows_of(cells, grid, np.array([end]), learners[0].length)
    learned = [learner.learned for learner in learners if learner.learned is not None]
    distances = judge(cells, windows, np.array([0]), learned)
    for learner, limits in zip(learners, cells.limits_of, strict=True):
        learner.note((end + grid.first) // WEEK_HOURS, distances.worst[:, limits])
    return windows, distances


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
    """Judged windows: `ends`, shape (W,); `distances` and `limits`, (W, limits); `excess`, (W,).

    `excess` is the worst distance of the cells beyond their floors over its limit, 0 if there is none: more than 1 is
    unusual.
    """

    ends: Ints
    excess: Floats
    distances: Floats
    limits: Floats


def horizon(limits: int, alerts: float) -> float:
    """Weeks within which each of the `limits` may be passed once, if `alerts` a month are accepted of all together.

    A column has a limit for its bulk and for each tail cell, at each window length.

    >>> horizon(limits=60, alerts=1.0)
    261.0
    """
    return WEEKS_A_MONTH * limits / alerts


def limit(maxima: Floats, weeks: float) -> float:
    """The level that a column's weekly maximum passes once in `weeks` weeks.

    A Gumbel distribution is fitted to the logarithms of the maxima by quartiles, so that a quarter of bad weeks hardly
    moves the limit. `maxima`: shape (weeks,), in units of the usual scatter, the latest last; only `WEEKS` are used.

    >>> limit(np.array([2.0, 2.5]), 100.0), limit(np.full(26, 1.0), 100.0)
    (8.0, 3.5)
    >>> round(limit(np.array([3.0, 3.2, 3.5, 4.0, 4.4, 3.1, 3.3, 9.0]), 100.0), 2)
    7.32
    """
    recent = maxima[np.isfinite(maxima)][-WEEKS:]
    if len(recent) < FEWEST_WEEKS:
        return FIRST_LIMIT
    place, scale = _fit(recent)
    return max(LOWEST, math.exp(place + scale * math.log(max(weeks, 1.0))))


def weeks_between(maxima: Floats, distance: float) -> float:
    """After how many weeks a distance is reached once, by the same fit.

    >>> maxima = np.array([3.0, 3.2, 3.5, 4.0, 4.4, 3.1, 3.3, 9.0])
    >>> round(weeks_between(maxima, limit(maxima, 100.0)), 6)
    100.0
    """
    place, scale = _fit(maxima[np.isfinite(maxima)][-WEEKS:])
    return math.exp(min((math.log(max(distance, 1.0)) - place) / scale, 700.0))


def _fit(recent: Floats) -> tuple[float, float]:
    """Location and scale of the logarithms of maxima."""
    lower, middle, upper = np.quantile(np.log(np.maximum(recent, 1.0)), (0.25, 0.5, 0.75)).tolist()
    scale = ((upper - lower) / 1.5725 + PRIOR_SCALE) / 2
    return middle - 0.3665 * scale, scale
