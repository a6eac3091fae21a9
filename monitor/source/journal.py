"""The journal as a source: predictions of this process, and what an earlier one left. Its cursor: the sequence number.

`JournalSource.record` is called by whoever serves predictions, on any thread; `read` on the writer's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from monitor import failpoint
from monitor.capture.encode import Encoder, UnseenNames, names_file
from monitor.capture.journal import Journal
from monitor.capture.recover import Damage, Scan, first_number, left_behind, move_aside, next_number, scan_all
from monitor.clock import Clock, iso
from monitor.columns.batch import fold, unseen
from monitor.columns.binning import Binner
from monitor.columns.column import Floats
from monitor.config.load import Config
from monitor.series import Series
from monitor.source.protocol import Gap, Handover

log = logging.getLogger(__name__)

#: Records that one transaction folds at most: a second of the busiest server, and a fraction of a second's work.
FOLD_ROWS = 1 << 18

#: Finds the series that a journal segment was recorded for, by the fingerprint of its schema.
Find = Callable[[str], Series | None]


class _Counter:
    """Counts records of one series."""

    def __init__(self, series: Series, seconds: int, names: UnseenNames) -> None:
        self.series, self.names, self._seconds = series, names, seconds
        self._binner = Binner(series.schema)

    def count(self, records: npt.NDArray[Any], cursor: int, gaps: Sequence[Gap]) -> Handover:
        series, values = self.series, records["values"]
        batches = fold(self._binner, values, records["time"], self._seconds)
        seen = unseen(values, series.schema, self.names.names)
        return Handover(
            str(cursor),
            {(series, start): batch for start, batch in batches.items()},
            {(series, *key): rows for key, rows in seen.items()},
            tuple(gaps),
            len(records),
        )


class Record(Protocol):
    """Records one prediction, now or at `time_ns`, and returns its sequence number. Never raises for what a value is.

    The record survives the death of the process as soon as this returns. Where there is no room for it, it is counted
    as dropped, and the number is returned all the same. `JournalSource.prefix` and the number are the prediction's id.
    Any thread may call it.
    """

    def __call__(self, features: Sequence[Any], predictions: Sequence[Any], time_ns: int | None = None) -> int:
        """Record."""


class JournalSource:
    """Records the predictions of one series, and hands over their counts."""

    def __init__(
        self,
        name: str,
        folder: Path,
        series: Series,
        cursor: str,
        config: Config,
        clock: Clock,
        find: Find,
        why: str = "",
        newest: str = "",
    ) -> None:
        """Take up at a cursor; empty means at the beginning.

        `why`: what happened to the database, if it is a new one for that. `newest`: up to when the store has windows.
        `opening` is a handover, if what the store has does not fit the journal.
        """
        self.name, self.series = name, series
        self._clock, self._folder, self._find = clock, folder, find
        self._seconds, self._keep_unseen = round(config.window.base), config.data.keep_unseen
        #: Sequence number up to which everything is folded and committed.
        self.applied = int(cursor or 0)
        folder.mkdir(parents=True, exist_ok=True)
        self._left = left_behind(folder)
        self.opening = self._fallback(why, newest)
        self._counter = self._counter_of(series)
        schema = series.schema
        self.encoder = Encoder(schema, self._counter.names)
        self.journal = Journal(
            folder,
            bytes.fromhex(schema.fingerprint),
            len(schema.captured),
            start=next_number(self._left, self.applied),
            segment_bytes=config.data.segment,
            sync_always=config.data.sync == 0,
            clock=clock,
            encode=self.encoder.row,
            before=self._left[-1].path if self._left else None,
        )
        #: What the ids of this process's predictions begin with; the sequence number follows.
        self.prefix = f"{int(clock.time()):x}-"
        self.record = self._make_record()
        self._caught_up = clock.time()

    def _fallback(self, why: str, newest: str) -> Handover | None:
        """A gap if the database has less than the journal's numbers say, as after an older copy was put back."""
        first = first_number(self._left)
        if first is None and not self._left and (why or self.applied):
            lost = None
            detail = why or "the journal was deleted: what it had and the database has not is lost"
        elif first is not None and first - 1 > self.applied:
            lost, detail = first - 1 - self.applied, why or "the database fell back behind the journal"
        else:
            if why:
                log.error("%s; the journal still has the predictions, and they are counted again", why)
            return None
        log.error("%s; lost: %s predictions", detail, "an unknown number of" if lost is None else f"{lost:,}")
        now = iso(self._clock.time())
        self.applied += lost or 0
        gap = Gap("damaged", min(newest or now, now) if lost else now, now, lost, detail)
        return Handover(str(self.applied), gaps=(gap,))

    def _counter_of(self, series: Series) -> _Counter:
        names = UnseenNames(names_file(self._folder, series.schema), series.schema, self._keep_unseen)
        return _Counter(series, self._seconds, names)

    @property
    def behind(self) -> bool:
        """Whether the last `read` stopped at the end of a segment, with more records behind it."""
        return self.journal.between_segments and self.waiting

    @property
    def waiting(self) -> bool:
        """Whether there are records that are not folded."""
        return self.journal.waiting(self.applied)

    @property
    def lag(self) -> float:
        """Seconds since the last `read` that left nothing behind; 0 if nothing waits."""
        return max(0.0, self._clock.time() - self._caught_up) if self._left or self.waiting else 0.0

    @property
    def bytes(self) -> int:
        """Size of the journal on disk."""
        return self.journal.bytes

    @property
    def dropped(self) -> int:
        """Predictions that this process could not record for want of room."""
        return self.journal.dropped_total

    @property
    def dropping(self) -> tuple[float, str] | None:
        """Since when nothing is recorded, seconds since 1970, and why; None if all is."""
        drops = self.journal.dropping
        return None if drops is None else (drops.began / 1e9, drops.reason)

    def _make_record(self) -> Record:
        append, encode = self.journal.append, self.encoder.row
        if self.encoder.all_numeric:
            return append  # which encodes by itself what is no plain number

        def record(features: Sequence[Any], predictions: Sequence[Any], time_ns: int | None = None) -> int:
            return append(encode(features, predictions), (), time_ns)

        return record

    def record_many(
        self,
        features: Sequence[Sequence[object]] | npt.NDArray[Any],
        predictions: Sequence[Sequence[object]] | npt.NDArray[Any],
        times_ns: npt.NDArray[np.int64] | None = None,
    ) -> list[str]:
        """Record a batch, given as columns: a sequence for each feature and for each prediction. Returns their ids."""
        columns = [*features, *predictions]
        values = np.empty((len(columns[0]), len(columns)))
        for position, column in enumerate(columns):
            values[:, position] = self.encoder.column(position, column)
        return self.record_encoded(values, times_ns)

    def record_encoded(self, values: Floats, times_ns: npt.NDArray[np.int64] | None = None) -> list[str]:
        """Record a batch that is encoded already, shape (n, captured columns)."""
        return self.ids(self.journal.append_many(values, times_ns).first, len(values)) if len(values) else []

    def ids(self, first: int, rows: int) -> list[str]:
        """Ids of consecutive predictions, from the sequence number of the first."""
        prefix = self.prefix
        return [f"{prefix}{number}" for number in range(first, first + rows)]

    def holds(self, numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which sequence numbers of earlier processes have a record, shape (n,): folded, or left in the journal."""
        held: npt.NDArray[np.bool_] = numbers <= self.applied
        if not held.all():
            left = [
                found.records["seq"]
                for found in scan_all(left_behind(self._folder), self.applied, self._clock.time_ns())
            ]
            held |= np.isin(numbers, np.concatenate(left)) if left else False
        return held

    # From here on: the writer's thread.

    def read(self) -> Generator[Handover]:
        """Hand over all that was recorded before this call: what comes meanwhile is left to the next one."""
        if self._left:
            yield from self._recover()
        self.journal.maintain()
        until = self.journal.written
        while True:
            records = self.journal.read(FOLD_ROWS)
            applied, drops = self.journal.read_upto, self.journal.drops()
            if not len(records) and not drops and applied <= self.applied:
                break
            gaps = [Gap("dropped", iso(one.began / 1e9), iso(one.ended / 1e9), one.count, one.reason) for one in drops]
            try:
                yield self._counter.count(records, applied, gaps)
            except GeneratorExit:
                self.journal.rewind(self.applied)
                raise
            self.applied = applied
            self.journal.noted(drops)
            if applied >= until:
                break
        self.journal.forget(self.applied)
        self._caught_up = self._clock.time()

    def _recover(self) -> Generator[Handover]:
        """Hand over what an earlier process left, by the schema it was recorded under, with what it lost."""
        moved = 0
        for found in scan_all(self._left, self.applied, self._clock.time_ns()):
            counter, damages = self._counter_for(found), list(found.damages)
            if counter is None and len(found.records):
                damages.append(_of_no_model(found))
            for damage in damages:
                lost = "an unknown number of" if damage.lost is None else damage.lost
                log.error("%s; lost: %s predictions", damage.detail, lost)
            gaps = [
                Gap(one.kind, iso(one.began / 1e9), iso(one.ended / 1e9), one.lost, one.detail)
                for one in damages
                if one.lost != 0
            ]
            upto = max(found.upto, self.applied)
            if upto > self.applied or gaps:
                if counter and len(found.records):
                    yield counter.count(found.records, upto, gaps)
                else:
                    yield Handover(str(upto), gaps=tuple(gaps))
                self.applied = upto
            moved += len(found.records) if counter else 0
            self.journal.dropped_total += sum(damage.lost or 0 for damage in damages if damage.kind == "dropped")
            self._put_away(found, damages)
        if moved:
            log.info("recovered %d predictions that an earlier run had recorded and not folded yet", moved)

    def _put_away(self, found: Scan, damages: Sequence[Damage]) -> None:
        """Delete a segment that is in the store, or keep it under another name if it is damaged."""
        if not self.journal.started and found.path == self._left[-1].path:
            return  # it tells which number comes next, and takes the notes of what is dropped meanwhile
        failpoint.reach("recover.delete")
        if any(damage.kind == "damaged" and found.path.name in damage.detail for damage in damages):
            move_aside(found.path)
        else:
            found.path.unlink(missing_ok=True)
        self._left = tuple(one for one in self._left if one.path != found.path)

    def _counter_for(self, found: Scan) -> _Counter | None:
        """What counts the records of a leftover segment; None where no model has its schema."""
        if found.head is None:
            return None
        fingerprint = found.head.fingerprint.hex()
        if fingerprint == self.series.schema.fingerprint:
            return self._counter
        series = self._find(fingerprint)
        return None if series is None else self._counter_of(series)

    def reread_names(self) -> None:
        """Take up that names of unseen values were erased from their file."""
        self._counter.names.load()

    def sync(self) -> None:
        """Bring the journal to the disk. Raises OSError."""
        self.journal.sync()

    def close(self) -> None:
        """Let go of the journal; call after the last `read`."""
        self.journal.close(self.applied)


def _of_no_model(found: Scan) -> Damage:
    """What is lost with records that no model in the store has the schema of."""
    times = found.records["time"]
    detail = f"{found.path.name} was recorded for a model that the store does not know"
    return Damage(len(times), int(times.min()), int(times.max()), detail, int(found.records["seq"][-1]))
