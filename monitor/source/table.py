"""A table of predictions as a source: the engine that holds it counts its rows into bins, and only counts come back.

The cursor is a moment: rows up to it are counted. Rows are asked for once they are `lag` old. What comes later than
that is found a day later, when the day's rows are counted again, and becomes a gap of kind `late`.

Outcomes may come, change and go at any time: all rows that may still get one are summed up again each hour, and what
differs from the sums in the store is handed over. So a process that is killed counts none twice.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from monitor.capture.encode import Encoder, other_code
from monitor.capture.names import UnseenNames
from monitor.clock import DAY, HOUR, iso
from monitor.columns.batch import Batch
from monitor.columns.column import Floats
from monitor.errors import ConfigError, SourceError
from monitor.outcomes.join import DELAYS
from monitor.outcomes.sums import Sums
from monitor.series import Series
from monitor.source.protocol import Gap, Handover
from monitor.source.pulled import Pulled
from monitor.warehouse import counting
from monitor.warehouse.counting import BATCH, Counting, Expr
from monitor.warehouse.engine import connected, explained, readable, rows_of, url_of
from monitor.warehouse.outcomes import sums_by_hour, with_outcomes
from monitor.words import counted

log = logging.getLogger(__name__)

#: Counts, windows times bins, that one step holds in memory at most: 32 MB.
CELLS = 2**22


CHANGED = "rows older than `lag` changed while they were counted; they will be counted again"

#: Answers an expression with a table of Arrow.
Run = Callable[[Expr], Any]


class TableCounter:
    """Counts rows of a table as `Binner` and `Encoder` count those of a journal. `names`: of unseen values."""

    def __init__(self, counting: Counting, names: UnseenNames, base: int) -> None:
        self.counting, self.schema = counting, counting.schema
        self._names, self._encoder, self._base = names, Encoder(counting.schema, names), base

    def queries(self, rows: Expr) -> Iterator[Expr]:
        """Return what is asked first: totals, then the bins of some columns at a time."""
        yield self.counting.totals(rows)
        for part in _parts(range(len(self.schema.columns))):
            yield self.counting.bins(rows, part)

    def count(self, run: Run, rows: Expr) -> tuple[dict[int, Batch], dict[tuple[int, str], int]]:
        """Return the batch of each base window, by start, and rows of each unseen value, by (column position, name).

        Raises SourceError if the rows change meanwhile: the queries must add up to the same rows.
        """
        first, *others = self.queries(rows)
        total = run(first)
        windows, at, n = self._windows(total, None)
        counts = np.zeros((len(windows), self.schema.size), dtype=np.int64)
        rows_of_window = np.zeros(len(windows), dtype=np.int64)
        np.add.at(rows_of_window, at, n)
        sums: Floats = np.zeros((len(windows), len(self.schema.columns)))
        for position, column in enumerate(self.schema.columns):
            if column.numeric:
                np.add.at(sums[:, position], at, np.nan_to_num(total[f"s{position}"].to_numpy()))
        for query in others:
            answer = run(query)
            _, at, n = self._windows(answer, windows)
            np.add.at(counts, (at, answer["bin"].to_numpy()), n)
        unseen = self._name(run, rows, windows, counts)
        by_column = np.add.reduceat(counts, self.schema.offsets[:-1], axis=1)
        if (by_column != rows_of_window[:, None]).any() or (counts < 0).any():
            raise SourceError(CHANGED)
        batches = {start: Batch(int(rows_of_window[i]), counts[i], sums[i]) for i, start in enumerate(windows.tolist())}
        return batches, unseen

    def _windows(self, answer: Any, known: Any) -> tuple[Any, Any, Any]:
        """Starts of the windows, which of them each line of an answer belongs to, and the line's rows."""
        times, n = counting.counted(answer)
        starts = times // self._base * self._base
        windows = np.unique(starts) if known is None else known
        at = np.searchsorted(windows, starts)
        if not np.isin(starts, windows).all():
            raise SourceError(CHANGED)
        return windows, at, n

    def _name(self, run: Run, rows: Expr, windows: Any, counts: Any) -> dict[tuple[int, str], int]:
        """Move values that are spelled in another way from `__other__` to their bins, and name unseen ones."""
        unseen: dict[tuple[int, str], int] = {}
        columns, offsets = self.schema.columns, self.schema.offsets
        # A column without categories, such as an identifier, keeps no value.
        others = {at: offsets[at] + other_code(column) for at, column in enumerate(columns) if column.categories}
        for positions in _parts([at for at, place in others.items() if counts[:, place].any()]):
            leftovers, bin_of = run(self.counting.leftovers(rows, positions)), dict[str, int]()
            for tagged, times in zip(leftovers["value"].to_pylist(), leftovers["n"].to_pylist(), strict=True):
                position, text = _untagged(tagged)
                value = counting.value_of(text, rows[self.counting.names[position]].type())
                code, other = self._encoder.category(position, value), other_code(columns[position])
                if code > other:
                    name = self._names.names[position][int(code) - other - 1]
                    if name:  # or it was erased
                        unseen[position, name] = unseen.get((position, name), 0) + times
                elif code != other:
                    bin_of[tagged] = columns[position].missing_bin if math.isnan(code) else int(code)
            for values in _parts(list(bin_of)):
                by_time = run(self.counting.leftovers(rows, positions, values))
                _, at, n = self._windows(by_time, windows)
                for window, tagged, times in zip(at.tolist(), by_time["value"].to_pylist(), n.tolist(), strict=True):
                    position, _ = _untagged(tagged)
                    bins = counts[window, offsets[position] :]
                    bins[other_code(columns[position])] -= times
                    bins[bin_of[tagged]] += times
        return unseen


def _untagged(tagged: str) -> tuple[int, str]:
    """Position of the column and text of a value, as `Counting.leftovers` names it."""
    position, _, text = tagged.partition(":")
    return int(position), text


def _parts(all_: Sequence[Any]) -> Iterator[Any]:
    """Columns, or values, in parts that one query takes."""
    for begin in range(0, len(all_), BATCH):
        yield all_[begin : begin + BATCH]


@dataclass(frozen=True)
class TableCursor:
    """How far a table is counted, as a cursor holds it: up to `to`, in seconds since 1970 UTC.

    `days`: rows that were counted since a moment, to the end of its day. `looked`: up to when rows were asked for
    outcomes last. `since`: first whole hour that is counted for the series `series`; outcomes of earlier rows are not.
    """

    to: int
    days: Mapping[int, int] = field(default_factory=dict)
    looked: int = 0
    since: int = 0
    series: int = 0

    @classmethod
    def of(cls, cursor: str) -> TableCursor:
        """Read one."""
        data = json.loads(cursor)
        return cls(**data | {"days": {int(begin): rows for begin, rows in data["days"].items()}})

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def advanced(self, end: int, rows: int) -> TableCursor:
        """The cursor after `rows` more rows, up to another moment of the same day, or to its end."""
        begin = max((begin for begin in self.days if begin // DAY == self.to // DAY), default=self.to)
        return replace(self, to=end, days={**self.days, begin: self.days.get(begin, 0) + rows})

    def days_to_check(self) -> Iterator[tuple[int, int]]:
        """The days that ended a day ago: since when their rows were counted, and how many were."""
        yield from ((begin, rows) for begin, rows in self.days.items() if self.to >= (begin // DAY + 2) * DAY)


class TableSource(Pulled):
    """Predictions that are in a table.

    `since`: where to begin if nothing was counted yet; now by default. `until`: where to end, at the latest. `within`:
    how long a row may wait for its outcome, in seconds. `load`: finds the sums of a series in the store that begin in a
    period, by start and length; for the writer's thread. `Watched` sets `within` and `load`.
    """

    since: float | None = None
    until = math.inf
    within: float
    load: Callable[[Series, float, float], Mapping[tuple[int, int], Sums]]

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        settings, schema = self.settings, self.series.schema
        self.where = f"table {settings.table}" if settings.table else "the query of [source]"
        derived = next((column for column in schema.columns if column.derivation), None)
        if derived is not None:
            what = f"column {derived.name!r} is derived, which a table source cannot count"
            raise ConfigError(f"{what}; use a reference without it")
        predictions = settings.prediction or [column.name for column in schema.predictions]
        if len(predictions) != len(schema.predictions):
            names = ", ".join(column.name for column in schema.predictions)
            what = f"source.prediction names {counted(len(predictions), 'column')}"
            raise ConfigError(f"{what}, but the reference has {len(schema.predictions)}: {names}")
        self._names = [*(column.name for column in schema.features), *predictions]

    def fetch(self, cursor: str) -> Iterator[Handover]:
        """Count what has come since; a step ends with its day, so that the day's rows can be counted again."""
        progress, until = self._period(cursor)
        if not cursor and progress.to >= until:
            yield Handover(str(progress))
            return
        look = bool(self.settings.outcome) and max(progress.to, until) - progress.looked >= HOUR
        if progress.to >= until and not look:
            return
        with connected(url_of(self.settings.url_env)) as connection:
            rows, counter = self.open(connection)
            while progress.to < until:
                step = max(1, CELLS // self.series.schema.size) * self.base
                end = min(until, progress.to + step, (progress.to // DAY + 1) * DAY)
                progress, handover = self._step(connection.to_pyarrow, rows, counter, progress, end)
                yield handover
            if look:
                hours = self._sums(connection.to_pyarrow, connection, rows, counter, progress)
                sums = {(self.series, hour): of_hour for hour, of_hour in hours.items()}
                yield Handover(str(replace(progress, looked=progress.to)), performance=sums)

    def read(self) -> Generator[Handover]:
        """Hand over what was fetched; of outcomes, what is not in the store yet."""
        for handover in super().read():
            progress = TableCursor.of(handover.cursor)
            yield self._changed(handover, progress) if progress.looked == progress.to else handover

    def _period(self, cursor: str) -> tuple[TableCursor, int]:
        """Where to begin, and where to end."""
        until = self._whole(min(self.clock.time() - self.settings.lag, self.until))
        begin = until if self.since is None else self._whole(self.since)
        progress = TableCursor.of(cursor) if cursor else TableCursor(begin)
        if progress.series != self.series.id:
            progress = replace(progress, looked=0, since=-(-progress.to // HOUR) * HOUR, series=self.series.id)
        return progress, until

    def _whole(self, time: float) -> int:
        return math.floor(time / self.base) * self.base

    def statements(self) -> tuple[int, int, list[tuple[str, list[str]]]]:
        """The period that would be counted, each statement for it, and lines of the engine's plan if it tells one."""
        progress, until = self._period(self.cursor)
        with connected(url_of(self.settings.url_env)) as connection:
            rows, counter = self.open(connection)
            part = counter.counting.between(rows, progress.to, until)
            part = part.filter(self.own(part)) if self.settings.model else part
            asked = [connection.compile(query, pretty=True) for query in counter.queries(part)]

            def note(query: Expr) -> Any:
                asked.append(connection.compile(query, pretty=True))
                return query.schema().to_pyarrow().empty_table()

            if self.settings.outcome:
                self._sums(note, connection, rows, counter, replace(progress, to=until))
            return progress.to, until, [(sql, explained(connection, sql)) for sql in asked]

    def open(self, connection: Any) -> tuple[Expr, TableCounter]:
        """Find the rows, and check that they have what the reference has. Raises SourceError."""
        rows = rows_of(connection, self.settings.table, self.settings.query)
        fine = self.base % 60 > 0
        apart = connection.name == "duckdb" and self.settings.table.endswith(".parquet")
        counting = Counting(self.series.schema, self._names, self.settings.time, connection.name, fine, apart)
        needed = {self.settings.time, self.settings.model, self.settings.id, self.settings.outcome, *self._names}
        known = readable(connection, rows, needed)
        counting.check({**rows.schema(), **known.schema()}, *filter(None, [self.settings.model]))
        return known, TableCounter(counting, self.names, self.base)

    def own(self, rows: Expr) -> Expr:
        """Whether each row is of the model version that is watched."""
        return (rows[self.settings.model].cast("string") == self.series.version).fill_null(False)

    def _step(
        self, run: Run, rows: Expr, counter: TableCounter, progress: TableCursor, end: int
    ) -> tuple[TableCursor, Handover]:
        part, others = counter.counting.between(rows, progress.to, end), 0
        if self.settings.model:
            own = self.own(part)
            others, part = _count(run, part.filter(~own)), part.filter(own)
        batches, unseen = counter.count(run, part)
        n = sum(batch.n for batch in batches.values())
        if others:
            text = "%s: %d rows from %s on are of other versions, and not counted"
            log.info(text, self.where, others, iso(progress.to))
        progress, gaps = progress.advanced(end, n), []
        for begin, rows_then in list(progress.days_to_check()):
            day_end = (begin // DAY + 1) * DAY
            again = counter.counting.between(rows, begin, day_end)
            late = _count(run, again.filter(self.own(again)) if self.settings.model else again) - rows_then
            if late > 0:
                gaps.append(Gap("late", iso(begin), iso(day_end), late, f"rows came to {self.where} after its lag"))
            progress = replace(progress, days={day: rows for day, rows in progress.days.items() if day != begin})
        counts = {(self.series, start): batch for start, batch in batches.items()}
        named = {(self.series, *key): rows for key, rows in unseen.items()}
        tallies = {"other_version": others} if others else {}
        return progress, Handover(str(progress), counts, named, tuple(gaps), n, tallies)

    def _awaited(self, progress: TableCursor) -> int:
        """Start of the hours whose rows may still get an outcome."""
        return max(progress.since, math.floor((progress.to - self.within) / HOUR) * HOUR)

    def _sums(
        self, run: Run, connection: Any, rows: Expr, counter: TableCounter, progress: TableCursor
    ) -> dict[int, Sums]:
        """Sum up, by hour, all rows with an outcome that may have got it, or another one, since the last time."""
        counting, target = counter.counting, self.series.reference.target
        part = counting.between(rows, self._awaited(progress), progress.to)
        part = part.filter(self.own(part)) if self.settings.model else part
        part, outcome = with_outcomes(run, connection, part, self.settings, target)
        predictions = [part[name] for name in self._names[-len(self.series.schema.predictions) :]]
        return sums_by_hour(run, part, target, counting.when(part), outcome, predictions, connection.name)

    def _changed(self, handover: Handover, progress: TableCursor) -> Handover:
        """Take what the store has from the sums. Hours of days that were rolled up stay as they are."""
        begin, series, none = self._awaited(progress), self.series, Sums.zero(self.series.reference.target)
        stored = self.load(series, begin // DAY * DAY, progress.to)
        days = {start for start, seconds in stored if seconds == DAY}
        had = {start: sums for (start, seconds), sums in stored.items() if seconds == HOUR and start >= begin}
        changed: dict[tuple[Series, int], Sums] = {}
        delays, seconds = np.zeros(len(DELAYS) + 1, np.int64), 0.0
        for hour in sorted({*had, *(hour for _, hour in handover.performance)}):
            now, before = handover.performance.get((series, hour), none), had.get(hour, none)
            same = np.allclose(now.moments, before.moments, 1e-9, 1e-12) and (now.counts == before.counts).all()
            if same or hour // DAY * DAY in days:
                continue
            changed[series, hour] = now - before
            age, more = self.clock.time() - hour - HOUR / 2, max(0, now.n - before.n)
            delays[np.searchsorted(DELAYS, age)] += more
            seconds += more * age
        # When the outcomes came that were there at the first look is not known.
        delay_of = {series: (delays, seconds)} if TableCursor.of(self.cursor).looked and delays.any() else {}
        return replace(handover, performance=changed, delays=delay_of)


def _count(run: Run, rows: Expr) -> int:
    return int(run(rows.aggregate(n=rows.count()))["n"][0].as_py())
