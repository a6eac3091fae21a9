"""A journal as a source: records of this process or of another one, and what an earlier one left.

Its cursor is the sequence number. Records are made by a `Recorder`, on any thread; `read` is for the writer's.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor import failpoint
from monitor.capture.names import UnseenNames, names_file
from monitor.capture.reader import Reader, Tail
from monitor.capture.recover import Damage, Scan, first_number, left_behind, move_aside, next_number, scan, scan_all
from monitor.capture.segment import Drops
from monitor.clock import Clock, iso
from monitor.columns.batch import count_unseen, into_windows
from monitor.columns.binning import Binner
from monitor.config.load import Config
from monitor.outcomes.waiting import COPIED, JOURNAL_BITS, Fields, Waiting
from monitor.series import Series
from monitor.source.protocol import Gap, Handover
from monitor.source.recorder import Recorder

log = logging.getLogger(__name__)

#: Records that one transaction folds at most: a second of the busiest server, and a fraction of a second's work.
FOLD_ROWS = 1 << 18

#: Finds the series that a journal segment was recorded for, by the fingerprint of its schema.
Find = Callable[[str], Series | None]

Records = npt.NDArray[Any]


class Recorded(ABC):
    """A journal of one series whose records are handed over, those of earlier processes first.

    `what`: the name of its records, for people. `kinds`: what the store calls its gaps.
    """

    what = "predictions"
    kinds = ("dropped", "damaged")

    def __init__(self, name: str, folder: Path, series: Series, cursor: str, clock: Clock, find: Find) -> None:
        self.name, self.series, self.folder = name, series, folder
        self._clock, self._find = clock, find
        #: Sequence number up to which everything is folded and committed.
        self.applied = int((cursor or "0").partition(" ")[0])
        folder.mkdir(parents=True, exist_ok=True)
        self._left = left_behind(folder)
        self.journal: Reader
        #: Whether nothing more comes into it.
        self.ended = False
        self._caught_up = clock.time()

    def _follow(self, width: int) -> None:
        """Read the journal while another process writes it; `width`: values of a record."""
        self.journal, self._left = Tail(self.folder, width, self.applied + 1, self._clock), ()

    def end(self) -> None:
        """Note that the process that wrote the journal has ended: the next `read` hands over what it left."""
        self.journal.close(self.applied)
        self._left, self.ended = left_behind(self.folder), True

    @property
    def settled(self) -> bool:
        """Whether nothing that was read is needed any more."""
        return self._needed() >= self.applied

    @abstractmethod
    def _count(self, series: Series, records: Records, upto: int, gaps: Sequence[Gap]) -> Handover:
        """What the store takes for some records of a series (none of them if there are only gaps)."""

    @abstractmethod
    def _keep(self, series: Series, records: Records) -> None:
        """Records are committed, now or by an earlier process: keep what is needed of them beside the store."""

    @abstractmethod
    def _sync_kept(self) -> None:
        """Bring what `_keep` has kept to the disk: records are about to be deleted. Raises OSError."""

    def _parts(self) -> Iterator[tuple[Records, int, list[Drops]]]:
        """Read what has come by now: records, the number up to which they go, and what was dropped before that."""
        self.journal.maintain()
        until, done, handed = self.journal.written, self.applied, list[Drops]()
        while True:
            records = self.journal.read(min(FOLD_ROWS, max(1, until - self.journal.read_upto)))
            upto, drops = self.journal.read_upto, [run for run in self.journal.drops() if run not in handed]
            if not len(records) and not drops and upto <= done:
                return
            yield records, upto, drops
            if upto >= until:
                return
            done, handed = upto, handed + drops

    def _needed(self) -> int:
        """Sequence number up to which records may be deleted."""
        return self.applied

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
        """Records for which this process had no room."""
        return self.journal.dropped_total

    @property
    def dropping(self) -> tuple[float, str] | None:
        """Since when nothing is recorded, seconds since 1970, and why; None if all is."""
        drops = self.journal.dropping
        return None if drops is None else (drops.began / 1e9, drops.reason)

    # From here on: the writer's thread.

    def read(self) -> Generator[Handover]:
        """Hand over all that was recorded before this call: what comes meanwhile is left to the next one."""
        if self._left:
            yield from self._recover()
        for records, applied, drops in self._parts():
            gaps = [self._gap(0, run.began, run.ended, run.rows, run.reason) for run in drops]
            try:
                yield self._count(self.series, records, applied, gaps)
            except GeneratorExit:
                self.journal.rewind(self.applied)
                raise
            self.applied = applied
            self._keep(self.series, records)
            self.journal.noted(drops)
        self.journal.forget(self._needed(), self._sync_kept)
        self._caught_up = self._clock.time()

    def _gap(self, kind: int, began: int, ended: int, lost: int | None, detail: str) -> Gap:
        return Gap(self.kinds[kind], iso(began / 1e9), iso(ended / 1e9), lost, detail)

    def _recover(self) -> Generator[Handover]:
        """Hand over what an earlier process left, by the schema it was recorded under, with what it lost."""
        moved = 0
        for scanned in scan_all(self._left, self.applied, self._clock.time_ns()):
            series, damages = self._series_of(scanned), list(scanned.damages)
            if series is None and len(scanned.records):
                damages.append(_of_no_model(scanned))
            for damage in damages:
                lost = "an unknown number of" if damage.lost is None else damage.lost
                log.error("%s; lost: %s %s", damage.detail, lost, self.what)
            lossy = [damage for damage in damages if damage.lost != 0]
            gaps = [self._gap(one.kind == "damaged", one.began, one.ended, one.lost, one.detail) for one in lossy]
            upto = max(scanned.upto, self.applied)
            if upto > self.applied or gaps:
                records = scanned.records if series else scanned.records[:0]
                if len(records):
                    yield self._count(series or self.series, records, upto, gaps)
                else:
                    yield Handover(self._cursor(upto), gaps=tuple(gaps))
                self.applied = upto
                if series and len(records):
                    self._keep(series, records)
                moved += len(records)
            self.journal.dropped_total += sum(damage.lost or 0 for damage in damages if damage.kind == "dropped")
            self._put_away(scanned, damages)
        if moved and not self.ended:
            log.info("recovered %d %s that an earlier run had recorded and not folded yet", moved, self.what)

    def _cursor(self, upto: int) -> str:
        return str(upto)

    def _put_away(self, scanned: Scan, damages: Sequence[Damage]) -> None:
        """Delete a segment that is in the store, or keep it under another name if it is damaged."""
        if not self.journal.started and scanned.path == self._left[-1].path:
            return  # it tells which number comes next, and takes the notes of what is dropped meanwhile
        if scanned.upto > self._needed():
            return
        failpoint.reach("recover.delete")
        if any(damage.kind == "damaged" and scanned.path.name in damage.detail for damage in damages):
            move_aside(scanned.path)
        else:
            self._sync_kept()
            scanned.path.unlink(missing_ok=True)
        self._left = tuple(segment for segment in self._left if segment.path != scanned.path)

    def _series_of(self, scanned: Scan) -> Series | None:
        """The series of a leftover segment; None if no model has its schema."""
        if scanned.head is None:
            return None
        fingerprint = scanned.head.fingerprint.hex()
        return self.series if fingerprint == self.series.schema.fingerprint else self._find(fingerprint)

    def _committed(self) -> Iterator[tuple[Series, Records]]:
        """Records that an earlier process has left and that are committed: it may have died before it kept them."""
        for segment in self._left:
            if segment.head is not None and segment.first <= self.applied:
                scanned = scan(segment, segment.first - 1)
                series, records = self._series_of(scanned), scanned.records
                records = records[records["seq"] <= self.applied]
                if series is not None and len(records):
                    yield series, records

    def sync(self) -> None:
        """Bring the journal to the disk, and what is kept beside it. Raises OSError."""
        self.journal.sync()
        self._sync_kept()

    def close(self) -> None:
        """Let go of the journal; call after the last `read`."""
        try:
            self._sync_kept()
        except OSError as error:
            log.error("what waits for outcomes could not be brought to the disk: %s", error.strerror or error)
        self.journal.close(self._needed())


def _fields(records: Records, features: int, kept: Waiting, base: int) -> Fields:
    """Copy fields out of records, all in one pass through the memory: it is what takes the time.

    `base`: added to the sequence numbers of a journal, so that no other one has them.
    """
    rows, values = len(records), records["values"]
    times, keys = np.empty(rows, np.int64), np.empty(rows, np.uint64)
    predictions = np.empty((values.shape[1] - features if kept.keeps else 0, rows))
    for begin in range(0, rows, COPIED):
        part = slice(begin, begin + COPIED)
        times[part], keys[part] = records["time"][part], records["key"][part]
        predictions[:, part] = values[part, features:].T[: len(predictions)]
    first = base + int(records["seq"][0]) if rows else 0
    dense = rows and base + int(records["seq"][-1]) - first == rows - 1
    numbers = np.arange(first, first + rows, dtype=np.uint64) if dense else records["seq"] + np.uint64(base)
    return Fields(numbers, times, predictions.T, keys, kept.firsts(keys, numbers))


class JournalSource(Recorded):
    """Hands over the counts of the predictions of one series. `recorder`: records those of this process."""

    recorder: Recorder

    def __init__(
        self,
        name: str,
        folder: Path,
        series: Series,
        cursor: str,
        config: Config,
        clock: Clock,
        find: Find,
        waiting: Waiting,
        index: int = 0,
        why: str = "",
        newest: str = "",
    ) -> None:
        """Resume at a cursor; empty means at the beginning.

        `index`: number of the journal in the store; 0 is that of this process, another one is followed while it is
        written. `why`: what happened to the database, if it is a new one for that. `newest`: up to when the store has
        windows. `opening` is a handover, if what the store has does not fit the journal.
        """
        super().__init__(name, folder, series, cursor, clock, find)
        self._seconds, self._keep_unseen = round(config.window.base), config.data.keep_unseen
        self.kept, self.base = waiting, index << JOURNAL_BITS
        self.opening: Handover | None = None
        self._looked: tuple[Records, Fields] | None = None
        self._counting: dict[int, tuple[Binner, UnseenNames]] = {}
        if not index:
            self._record_here(config, why, newest)
        for owner, records in self._committed():
            self._keep(owner, records)
        if index:
            self._follow(len(series.schema.captured))

    def _record_here(self, config: Config, why: str, newest: str) -> None:
        self.opening = self._fallback(why, newest)
        start, before = next_number(self._left, self.applied), self._left[-1].path if self._left else None
        self.recorder = Recorder(self.folder, self.series.schema, config, self._clock, start, before)
        self.journal = self.recorder.journal
        self._counting[self.series.id] = Binner(self.series.schema), self.recorder.names
        if why or (self.opening is not None and self.opening.gaps[0].lost) or start <= self.kept.last(0):
            self.kept.clear()  # what the database has lost must not be joined to

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

    def _counting_of(self, series: Series) -> tuple[Binner, UnseenNames]:
        if series.id not in self._counting:
            names = UnseenNames(names_file(self.folder, series.schema), series.schema, self._keep_unseen)
            self._counting[series.id] = Binner(series.schema), names
        return self._counting[series.id]

    def _count(self, series: Series, records: Records, upto: int, gaps: Sequence[Gap]) -> Handover:
        rows = len(records)
        numbers, times, _, _, firsts = self._looked_up(series, records)
        if firsts is not numbers:
            counted = firsts == numbers
            records, times = records[counted], times[counted]
        binner, names = self._counting_of(series)
        if self.base:
            names.refresh()
        batches = into_windows(binner, records["values"], times, self._seconds) if len(records) else {}
        seen = count_unseen(records["values"], series.schema, names.names)
        return Handover(
            self._cursor(upto),
            {(series, start): batch for start, batch in batches.items()},
            {(series, *key): count for key, count in seen.items()},
            tuple(gaps),
            rows,
            {"repeated": rows - len(records)} if rows > len(records) else {},
            newest=float(times.max(initial=0)) / 1e9,
        )

    def _looked_up(self, series: Series, records: Records) -> Fields:
        """Fields of the records that are handed over, which `_count` and `_keep` both need."""
        if self._looked is None or self._looked[0] is not records:
            self._looked = records, _fields(records, len(series.schema.features), self.kept, self.base)
        return self._looked[1]

    def _keep(self, series: Series, records: Records) -> None:
        if len(records):
            self.kept.add(series.id, self._looked_up(series, records), self._clock.time_ns())
        self._looked = None

    def _sync_kept(self) -> None:
        self.kept.sync()

    def named(self, unseen: Mapping[tuple[int, str], int]) -> dict[tuple[Series, int, str], int]:
        """Unseen values of the series that were counted elsewhere, without those beyond what is kept by name."""
        code = self._counting_of(self.series)[1].code
        return {(self.series, *key): rows for key, rows in unseen.items() if code(*key) is not None}

    def reread_names(self) -> None:
        """Read the names of unseen values again: some were erased from their file."""
        for _, names in self._counting.values():
            names.load()


def _of_no_model(scanned: Scan) -> Damage:
    """What is lost with records that no model in the store has the schema of."""
    times = scanned.records["time"]
    detail = f"{scanned.path.name} was recorded for a model that the store does not know"
    return Damage(len(times), int(times.min()), int(times.max()), detail, int(scanned.records["seq"][-1]))
