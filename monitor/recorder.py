"""The recording half of the data path: a prediction into the journal, the journal into windows.

`Recorder.record` is called by whoever serves predictions, on any thread. `Recorder.fold` is called on the writer's
thread, and moves what the journal has into the store in one transaction: windows, totals, and how far it came.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from monitor import failpoint
from monitor.capture.encode import Encoder, UnseenNames, names_file
from monitor.capture.journal import Journal
from monitor.capture.recover import Damage, Scan, first_number, left_behind, move_aside, next_number, scan_all
from monitor.capture.segment import Drops
from monitor.clock import Clock, iso
from monitor.columns.batch import Batch, fold, unseen
from monitor.columns.binning import Binner
from monitor.columns.column import Floats, Schema
from monitor.config.load import Config
from monitor.series import Series
from monitor.store.windows import rows as store

log = logging.getLogger(__name__)

APPLIED = "applied_seq"

#: Records that one transaction folds at most: a second of the busiest server, and a fraction of a second's work.
FOLD_ROWS = 1 << 18

Transaction = Callable[[Callable[[sqlite3.Connection], None]], None]


@dataclass(frozen=True, slots=True)
class Totals:
    """What has been folded since the model version was first served; published whole after each commit."""

    batch: Batch
    applied: int


class _Target:
    """All that is needed to fold records of one schema."""

    def __init__(self, series: Series, seconds: int, names: UnseenNames, totals: Batch) -> None:
        self.series = series
        self.binner = Binner(series.schema)
        self.windows = store.Windows(series, seconds)
        self.names = names
        self.totals = totals


class Record(Protocol):
    """Records one prediction, now or at `time_ns`, and returns its sequence number. Never raises for what a value is.

    The record survives the death of the process as soon as this returns. Where there is no room for it, it is counted
    as dropped, and the number is returned all the same. `Recorder.prefix` and the number are the prediction's id.
    Any thread may call it.
    """

    def __call__(self, features: Sequence[Any], predictions: Sequence[Any], time_ns: int | None = None) -> int:
        """Record."""


class Recorder:
    """Records the predictions of one model. `connection` is the store's writing one, used here only while opening."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        series: Series,
        folder: Path,
        config: Config,
        clock: Clock,
        why: str = "",
    ) -> None:
        """Take up where the last process stopped. `why`: what happened to the database, if it is a new one for that."""
        self._clock, self._folder, self._seconds = clock, folder, round(config.window.base)
        self._keep_unseen = config.data.keep_unseen
        self._applied = int(store.read_meta(connection, APPLIED, "0"))
        folder.mkdir(parents=True, exist_ok=True)
        self._left = left_behind(folder)
        self._note_fallback(connection, why)
        self._target = self._target_of(connection, series)
        schema = series.schema
        self.encoder = Encoder(schema, self._target.names)
        self.journal = Journal(
            folder,
            bytes.fromhex(schema.fingerprint),
            len(schema.columns),
            start=next_number(self._left, self._applied),
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
        self.totals = Totals(self._target.totals, self._applied)

    def _note_fallback(self, connection: sqlite3.Connection, why: str) -> None:
        """Note a gap if the database has less than the journal's numbers say, as after an older copy was put back."""
        first = first_number(self._left)
        if first is None and not self._left and (why or self._applied):
            lost = None
            detail = why or "the journal was deleted: what it had and the database has not is lost"
        elif first is not None and first - 1 > self._applied:
            lost, detail = first - 1 - self._applied, why or "the database fell back behind the journal"
        else:
            if why:
                log.error("%s; the journal still has the predictions, and they are counted again", why)
            return
        log.error("%s; lost: %s predictions", detail, "an unknown number of" if lost is None else f"{lost:,}")
        now = iso(self._clock.time())
        began = min(store.newest_moment(connection) or now, now) if lost else now
        store.add_gap(connection, "damaged", began, now, lost, detail)
        if lost:
            self._applied += lost
            store.write_meta(connection, APPLIED, str(self._applied))

    def _target_of(self, connection: sqlite3.Connection, series: Series) -> _Target:
        names = UnseenNames(names_file(self._folder, series.schema), series.schema, self._keep_unseen)
        return _Target(series, self._seconds, names, store.load_totals(connection, series))

    @property
    def schema(self) -> Schema:
        """Columns of the model that is recorded."""
        return self._target.series.schema

    @property
    def series(self) -> Series:
        """The model that is recorded."""
        return self._target.series

    @property
    def applied(self) -> int:
        """Sequence number up to which everything is folded and committed."""
        return self._applied

    @property
    def behind(self) -> bool:
        """Whether the last fold stopped at the end of a segment, with more records behind it."""
        return self.journal.between_segments and self.journal.waiting(self._applied)

    @property
    def lag(self) -> float:
        """Seconds since the last fold that left nothing behind; 0 where nothing waits."""
        waiting = self._left or self.journal.waiting(self._applied)
        return max(0.0, self._clock.time() - self._caught_up) if waiting else 0.0

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
        """Record a batch that is encoded already, shape (n, columns)."""
        return self.ids(self.journal.append_many(values, times_ns).first, len(values)) if len(values) else []

    def ids(self, first: int, rows: int) -> list[str]:
        """Ids of consecutive predictions, from the sequence number of the first."""
        return [self.prefix + number for number in map(str, range(first, first + rows))]

    def holds(self, numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which sequence numbers of earlier processes have a record, shape (n,): folded, or left in the journal."""
        held: npt.NDArray[np.bool_] = numbers <= self._applied
        if not held.all():
            left = [
                found.records["seq"]
                for found in scan_all(left_behind(self._folder), self._applied, self._clock.time_ns())
            ]
            held |= np.isin(numbers, np.concatenate(left)) if left else False
        return held

    # From here on: the writer's thread.

    def fold(self, transaction: Transaction) -> int:
        """Move all that was recorded before this call into the store; how many predictions that were.

        What comes while it runs is left to the next fold, so that it ends under any load. Raises what the store raises.
        """
        moved = self._recover(transaction) if self._left else 0
        self.journal.maintain()
        until = self.journal.written
        while True:
            records = self.journal.read(FOLD_ROWS)
            applied, drops = self.journal.read_upto, self.journal.drops()
            if not len(records) and not drops and applied <= self._applied:
                break
            self._commit(transaction, self._target, records, applied, drops)
            self.journal.noted(drops)
            moved += len(records)
            if applied >= until:
                break
        self.journal.forget(self._applied)
        self._caught_up = self._clock.time()
        return moved

    def _commit(
        self,
        transaction: Transaction,
        target: _Target,
        records: npt.NDArray[Any],
        applied: int,
        drops: Sequence[Drops] = (),
    ) -> None:
        """Windows, totals, unseen values, gaps and `applied_seq`: all of it or nothing."""
        batches = fold(target.binner, records["values"], records["time"], self._seconds)
        totals = target.totals
        for batch in batches.values():
            totals = totals.plus(batch)
        names = unseen(records["values"], target.series.schema, target.names.names)

        def apply(connection: sqlite3.Connection) -> None:
            if batches:
                target.windows.add(connection, batches, totals)
            if names:
                seen = {(target.series.column_ids[position], name): rows for (position, name), rows in names.items()}
                store.add_unseen(connection, seen, iso(self._clock.time()))
            _note_drops(connection, drops)
            store.write_meta(connection, APPLIED, str(applied))

        failpoint.reach("fold.begin")
        try:
            transaction(apply)
        except BaseException:
            target.windows.forget()
            self.journal.rewind(self._applied)
            raise
        failpoint.reach("fold.committed")
        target.totals = totals
        self._applied = applied
        if target is self._target:
            self.totals = Totals(totals, applied)

    def _recover(self, transaction: Transaction) -> int:
        """Fold what an earlier process left, with the schema it was recorded under, and note what it lost."""
        moved = 0
        for found in scan_all(self._left, self._applied, self._clock.time_ns()):
            target = self._target_for(found, transaction)
            damages = list(found.damages)
            first = int(found.records["seq"][0]) if len(found.records) else found.upto + 1
            for damage in (early := [damage for damage in damages if damage.upto < first]):
                self._note_damage(damage, damage.upto, transaction)
            if target is not None and len(found.records):
                self._commit(transaction, target, found.records, int(found.records["seq"][-1]))
                moved += len(found.records)
            elif len(found.records):
                damages.append(_of_no_model(found))
            for damage in damages[len(early) :]:
                self._note_damage(damage, damage.upto, transaction)
            self.journal.dropped_total += sum(damage.lost or 0 for damage in damages if damage.kind == "dropped")
            if found.upto > self._applied:
                self._note_damage(None, found.upto, transaction)
            self._put_away(found, damages)
        if moved:
            log.info("recovered %d predictions that an earlier run had recorded and not folded yet", moved)
        return moved

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

    def _target_for(self, found: Scan, transaction: Transaction) -> _Target | None:
        """Where the records of a leftover segment belong; None where no model has its schema."""
        if found.head is None:
            return None
        fingerprint = found.head.fingerprint.hex()
        if fingerprint == self.schema.fingerprint:
            return self._target
        targets: list[_Target] = []

        def look(connection: sqlite3.Connection) -> None:
            series = store.series_of_schema(connection, fingerprint)
            if series is not None:
                targets.append(self._target_of(connection, series))

        transaction(look)
        return targets[0] if targets else None

    def _note_damage(self, damage: Damage | None, upto: int, transaction: Transaction) -> None:
        """Write a loss into `gaps`; everything up to number `upto` is accounted for then."""
        applied = max(self._applied, upto)

        def note(connection: sqlite3.Connection) -> None:
            if damage is not None and damage.lost != 0:
                began, ended = iso(damage.began / 1e9), iso(damage.ended / 1e9)
                store.add_gap(connection, damage.kind, began, ended, damage.lost, damage.detail)
            store.write_meta(connection, APPLIED, str(applied))

        if damage is not None:
            lost = "an unknown number of" if damage.lost is None else damage.lost
            log.error("%s; lost: %s predictions", damage.detail, lost)
        transaction(note)
        self._applied = applied

    def forget_names(self) -> None:
        """Read the names of unseen values again, after they were erased."""
        self._target.names.load()

    def seal(self, connection: sqlite3.Connection, before: float) -> None:
        """Close the windows that ended by `before`."""
        self._target.windows.seal(connection, before)

    def sync(self) -> None:
        """Bring the journal to the disk. Raises OSError."""
        self.journal.sync()

    def close(self) -> None:
        """Let go of the journal; call after the last fold."""
        self.journal.close(self._applied)


def _note_drops(connection: sqlite3.Connection, drops: Sequence[Drops]) -> None:
    """Write runs of drops into `gaps`."""
    for run in drops:
        began, ended = iso(run.began / 1e9), iso(run.ended / 1e9)
        store.add_gap(connection, "dropped", began, ended, run.count, run.reason)


def _of_no_model(found: Scan) -> Damage:
    """What is lost with records that no model in the store has the schema of."""
    times = found.records["time"]
    detail = f"{found.path.name} was recorded for a model that the store does not know"
    return Damage(len(times), int(times.min()), int(times.max()), detail, int(found.records["seq"][-1]))
