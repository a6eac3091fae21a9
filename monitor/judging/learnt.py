"""What has been learnt of the columns of one series: by position and window length, in memory and in the store."""

from __future__ import annotations

import sqlite3

from monitor.clock import HOUR, from_iso
from monitor.normal.cells import Cells
from monitor.normal.expected import DAY_HOURS, Grid
from monitor.normal.usual import Learned, Learner
from monitor.series import Series
from monitor.store.records import usual as usual_store
from monitor.store.records.references import Standing, load_accepted


class Learnt:
    """A `Learner` for each column and window length, and from when on each column is learnt.

    `since`: by position, the hour since 1970 at which a period begins that was accepted as the column's new normal.
    """

    def __init__(self, series: Series) -> None:
        self._series = series
        self.since: dict[int, int] = {}
        self._standing: Standing = {}
        self._cells: dict[tuple[int, ...], Cells] = {}
        self._learners: dict[tuple[int, int], Learner] = {}
        #: Which history was replayed, see `_history`, and the day whose learning is stored.
        self._replayed: dict[tuple[int, int], tuple[int, int]] = {}
        self._stored: dict[tuple[int, int], int] = {}

    def cells(self, *positions: int) -> Cells:
        """The cells of some columns together."""
        if positions not in self._cells:
            schema = self._series.schema
            columns = [schema.columns[position] for position in positions]
            self._cells[positions] = Cells(columns, schema.offsets[list(positions)].tolist())
        return self._cells[positions]

    def learner(self, position: int, length: int) -> Learner:
        """What is known of one column at one window length."""
        if (position, length) not in self._learners:
            self._learners[position, length] = Learner(self.cells(position), length)
        return self._learners[position, length]

    @property
    def weeks(self) -> int:
        """Weeks whose largest distances are known of every column that is watched."""
        return min((len(learner.maxima) for learner in self._learners.values()), default=0)

    def has_past(self, position: int, length: int, hour: int) -> bool:
        """Whether the history of a column has been replayed, or was by an earlier process."""
        learner = self.learner(position, length)
        known = bool(learner.maxima) or learner.learned is not None
        return known or self._replayed.get((position, length)) == self._history(position, hour)

    def _history(self, position: int, hour: int) -> tuple[int, int]:
        """The day, and the hour from which the column is learnt: what is learnt once a day is from what came before."""
        return hour // DAY_HOURS, self.since.get(position, 0)

    def replay(self, position: int, length: int, hour: int, grid: Grid, weeks: float) -> int:
        """Judge the windows of a column that end before an hour; return how many hours the history has."""
        end = min(max(hour - grid.first, 0), grid.hours)
        self._replayed[position, length] = self._history(position, hour)
        self.learner(position, length).run(grid, 0, end, weeks)
        return end

    def history_changed(self) -> None:
        """Replay again what said too little: hours of the past have changed."""
        self._replayed.clear()

    def load(self, connection: sqlite3.Connection) -> None:
        """Load what earlier processes have learnt."""
        self._load(connection, None)
        self._stored = {key: learner.day for key, learner in self._learners.items() if learner.learned}

    def load_past(self, connection: sqlite3.Connection, day: int) -> None:
        """Know only what had been learnt by a day of the past, in hours since 1970."""
        self._learners.clear()
        self._replayed.clear()
        self._load(connection, float(day * HOUR))
        for learner in self._learners.values():
            learner.day = day if learner.learned else 0

    def _load(self, connection: sqlite3.Connection, upto: float | None) -> None:
        for row in usual_store.load_learned(connection, self._series.id, upto):
            learner = self.learner(row.position, row.hours)
            learner.learned, learner.day = Learned(row.predictor, row.scatter), int(row.day) // HOUR
        for week in usual_store.load_weeks(connection, self._series.id):
            self.learner(week.position, week.hours).maxima[week.week] = week.worst

    def take_up_accepted(self, connection: sqlite3.Connection, standing: Standing) -> None:
        """Forget what came before a period that was accepted meanwhile; the largest distances of the weeks stay."""
        if standing != self._standing:
            for (position, _), learner in self._learners.items():
                if standing.get(position) != self._standing.get(position):
                    learner.day = 0  # it learns again
            self.compare_with(connection, standing)

    def compare_with(self, connection: sqlite3.Connection, standing: Standing) -> None:
        """Learn from an accepted period on, for each column that has one."""
        starts = {position: load_accepted(connection, row).start for position, row in standing.items()}
        self._standing, self.since = standing, {at: int(from_iso(text)) // HOUR for at, text in starts.items()}

    def save(self, connection: sqlite3.Connection) -> None:
        """Store what was learnt and the weeks that grew, in the caller's transaction."""
        learned, weeks = [], []
        for key, learner in self._learners.items():
            if learner.learned is not None and learner.day > self._stored.get(key, -1):
                self._stored[key] = learner.day
                day = float(learner.day * HOUR)
                learned.append(usual_store.LearnedRow(*key, day, learner.learned.predictor, learner.learned.scatter))
            weeks += [usual_store.WeekRow(*key, week, learner.maxima[week]) for week in sorted(learner.grown)]
            learner.grown.clear()
        if learned or weeks:
            usual_store.save(connection, self._series.id, learned, weeks)
