"""Outcomes as a source: a journal of their own, joined to the predictions that wait for them.

When an outcome is folded, the sums of its prediction's hour and version change in the transaction that moves the
cursor. Then it is written beside its prediction, and only then may the journal forget it: what a killed process had not
written, the next start writes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.capture.recover import next_number
from monitor.capture.segment import Drops
from monitor.clock import HOUR, Clock
from monitor.columns.canonical import canonical, number
from monitor.columns.column import MISSING, Counts, Floats, Schema
from monitor.config.load import Config
from monitor.errors import InputError
from monitor.outcomes import join
from monitor.outcomes.join import RESULTS, Codes
from monitor.outcomes.sums import LARGEST, Sums, Target
from monitor.outcomes.waiting import JOURNAL_BITS, SEQ, TIME, Numbers, Places, Waiting, is_kept, key_of
from monitor.series import Series
from monitor.source.journal import Find, JournalSource, Recorded, Records
from monitor.source.protocol import Gap, Handover
from monitor.source.recorder import open_journal

log = logging.getLogger(__name__)

#: Values of a record; the prediction columns follow, of an outcome that came with its prediction.
NUMBER, TOKEN, KNOWN, VALUE, PREDICTED = range(5)

#: In the place of the token of an id: the outcome came with its prediction.
WHOLE = -1.0

#: How long an outcome waits for its prediction, in ns, and how many of them do at most.
PATIENCE_NS, PATIENT = HOUR * 10**9, 10_000

#: Newest outcomes whose results are kept.
RESULTS_KEPT = 1 << 20

_OURS = re.compile(r"([0-9a-f]{12})-([1-9][0-9]{0,15})", re.ASCII)


class Id(NamedTuple):
    """Whose outcome it is: token and number of an id like those given out here, 0 for another; the hash of the text."""

    number: int
    token: int
    key: int


class Cursor(NamedTuple):
    """How far outcomes are folded.

    `applied`: the applied sequence number; `before`: that before the last handover; `known`: what `Predictions.known`
    gave then. `waiting`: sequence numbers of outcomes that wait; `waited`: of those that had, in the last handover.
    """

    applied: int = 0
    before: int = 0
    known: str = "0"
    waiting: Sequence[int] = ()
    waited: Sequence[int] = ()

    @classmethod
    def from_text(cls, text: str) -> Cursor:
        """Read what `to_text` wrote; empty means at the beginning."""
        if not text:
            return cls()
        applied, before, known, *lists = text.split()
        waiting, waited = ([int(number) for number in listed.split(",") if number != "-"] for listed in lists)
        return cls(int(applied), int(before), known, waiting, waited)

    def to_text(self) -> str:
        """Write it as a source's cursor.

        >>> Cursor(7, 5, "9", [6, 7]).to_text(), Cursor.from_text("7 5 9 6,7 -")
        ('7 5 9 6,7 -', Cursor(applied=7, before=5, known='9', waiting=[6, 7], waited=[]))
        """
        lists = (",".join(map(str, numbers)) or "-" for numbers in (self.waiting, self.waited))
        return f"{self.applied} {self.before} {self.known} {' '.join(lists)}"


class Tokens(NamedTuple):
    """Ids of one token: number of their journal, and their sequence numbers [first, end)."""

    journal: int
    first: int
    end: int


class Predictions:
    """The predictions of a model for which outcomes come, in all journals. The writer's thread only."""

    def __init__(self, kept: Waiting, sources: Sequence[JournalSource], tokens: Mapping[int, Tokens]) -> None:
        self.kept, self.sources, self.tokens = kept, sources, tokens

    def numbers(self, tokens: Floats, numbers: Floats, keys: Numbers) -> Numbers:
        """Find the numbers of predictions by ids, shape (n,): by token and number, or by hash; 0 for an unknown one."""
        out = np.zeros(len(tokens), np.uint64)
        for token in np.unique(tokens[tokens > 0]):
            known = self.tokens.get(int(token))
            if known is not None:
                mine = (tokens == token) & (numbers >= known.first) & (numbers < known.end)
                out[mine] = numbers[mine].astype(np.uint64) + np.uint64(known.journal << JOURNAL_BITS)
        other = np.flatnonzero((out == 0) & (keys != 0))
        out[other] = self.kept.by_key(keys[other])
        return out

    def reached(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Last prediction of the journal of each number that is folded, and that is recorded, both shape (n,).

        Of a journal that is not there any more, all are.
        """
        folded, recorded, journals = numbers.copy(), numbers.copy(), numbers >> np.uint64(JOURNAL_BITS)
        for source in self.sources:
            mine = journals == source.base >> JOURNAL_BITS
            folded[mine], recorded[mine] = source.base + source.applied, source.base + source.journal.written
        return folded, recorded

    def known(self) -> str:
        """The last prediction of each journal that is known now, as a text."""
        return ",".join(str(source.base + source.applied) for source in self.sources)


def _were_known(text: str, numbers: Numbers) -> npt.NDArray[np.bool_]:
    """Which predictions were known when `Predictions.known` gave this text, and all of journals that had ended.

    >>> _were_known(f"5,{(9 << JOURNAL_BITS) + 3}", np.array([5, 6, (7 << 44) + 8, (9 << 44) + 4, 10 << 44], np.uint64))
    array([ True, False,  True, False, False])
    """
    last = {number >> JOURNAL_BITS: number for number in map(int, text.split(","))}
    newest, everything = max(last), np.iinfo(np.uint64).max
    journals, which = np.unique(numbers >> np.uint64(JOURNAL_BITS), return_inverse=True)
    limits = [last.get(journal, everything if journal < newest else 0) for journal in journals.tolist()]
    known: npt.NDArray[np.bool_] = numbers <= np.array(limits, np.uint64)[which.ravel()]
    return known


class OutcomeRecorder:
    """Records outcomes of a model's predictions in a journal of this process. Any thread may."""

    def __init__(
        self,
        folder: Path,
        schema: Schema,
        target: Target,
        config: Config,
        clock: Clock,
        start: int = 1,
        before: Path | None = None,
    ) -> None:
        """Begin a journal in a folder. `start`, `before`: see `Journal`."""
        self.target = target
        self._width = PREDICTED + len(schema.predictions)
        self.journal = open_journal(folder, schema, self._width, config, clock, start, before)

    def append(self, rows: Floats, keys: Numbers) -> int:
        """Record outcomes, shape (n, values); returns the first sequence number. Raises InputError on a full disk."""
        if not self.journal.has_room(len(rows)):
            raise InputError("no_room", f"the disk is full: {len(rows)} outcomes were not recorded", None, 503)
        values = np.full((len(rows), self._width), np.nan)
        values[:, : rows.shape[1]] = rows
        return self.journal.append_many(values, None, keys).first

    def record(self, ids: Sequence[object], values: Sequence[object], known: Floats | None, before: int = 0) -> int:
        """Record outcomes by id; returns the first sequence number. `known`: when, in seconds since 1970 UTC.

        Raises InputError that names the row, the first of which is number `before`, and records none of them then.
        """
        rows, keys = np.full((len(ids), PREDICTED), np.nan), np.zeros(len(ids), np.uint64)
        for at, (name, value) in enumerate(zip(ids, values, strict=True)):
            rows[at, NUMBER], rows[at, TOKEN], keys[at] = id_of(str(name))
            rows[at, VALUE] = read_outcome(self.target, value, f"row {before + at}")
        if known is not None:
            rows[:, KNOWN] = known
        return self.append(rows, keys)


class OutcomeSource(Recorded):
    """Hands over what outcomes change. `recorder`: records those of this process."""

    recorder: OutcomeRecorder
    what = "outcomes"
    kinds = ("outcomes dropped", "outcomes damaged")

    def __init__(
        self,
        name: str,
        folder: Path,
        series: Series,
        predictions: Predictions,
        cursor: str,
        config: Config,
        clock: Clock,
        find: Find,
        load: Callable[[int], Series],
        journal: int = 0,
    ) -> None:
        """Resume at a cursor. `load` finds a series by its id. `journal`: as of `JournalSource`."""
        super().__init__(name, folder, series, cursor, clock, find)
        self._taken_up = cursor
        self._predictions, self._load, self.base = predictions, load, journal << JOURNAL_BITS
        self._series = {series.id: series}
        if not journal:
            start, before = next_number(self._left, self.applied), self._left[-1].path if self._left else None
            self.recorder = OutcomeRecorder(folder, series.schema, series.target, config, clock, start, before)
            self.journal = self.recorder.journal
        self._ahead: list[tuple[Records, int, list[Drops]]] = []
        #: Results of the newest outcomes, by sequence number modulo the length.
        self._results: Codes = np.zeros(RESULTS_KEPT, np.uint8)
        #: Outcomes that wait for their predictions, in order, by the series that was served when they came.
        self._pending: dict[Series, Records] = {}
        #: Of the records that were handed over last, those that will wait once that is committed.
        self._unsettled: list[Records] = []
        self._write_last_handover()
        if journal:
            self._follow(PREDICTED + len(series.schema.predictions))

    def results(self, first: int, rows: int) -> dict[str, int]:
        """How many outcomes of each result there are among some that were folded lately, by their sequence numbers."""
        codes = self._results[np.arange(first, first + rows) % RESULTS_KEPT]
        return dict(zip(RESULTS, np.bincount(codes, minlength=len(RESULTS)).tolist(), strict=True))

    # From here on: the writer's thread.

    @property
    def waits(self) -> int:
        """How many outcomes wait for their predictions."""
        return sum(map(len, self._pending.values()))

    def end(self) -> None:
        """Note that the process that wrote the journal has ended; what was read ahead is among what it left."""
        super().end()
        self._ahead = []

    def read_ahead(self) -> None:
        """Read what has come by now, to hand it over next.

        To be called before predictions are read: those of these outcomes are known then.
        """
        self.journal.rewind(self.applied)
        self._ahead = [*super()._parts()]

    def _parts(self) -> Iterator[tuple[Records, int, list[Drops]]]:
        ahead, self._ahead = self._ahead, []
        yield from ahead

    def read(self) -> Generator[Handover]:
        """Hand over outcomes whose prediction has come by now, or has not for too long, then what was recorded."""
        self._unsettled = []
        for series, records in [*self._pending.items()]:
            ready = self._look_up(series, records, PATIENT)[0] != join.WAITS
            if not ready.any():
                continue
            self._pending[series] = records[~ready]
            try:
                yield self._count(series, records[ready], self.applied, ())
            except GeneratorExit:
                self._pending[series] = records
                raise
            self._keep(series, records[ready])
        yield from super().read()

    def _cursor(self, upto: int, before: int | None = None, waited: Sequence[int] = ()) -> str:
        """The cursor of a handover of the records beyond `before` up to `upto`, or of those that had `waited`."""
        waiting = [int(seq) for records in (*self._pending.values(), *self._unsettled) for seq in records["seq"]]
        return Cursor(upto, upto if before is None else before, self._predictions.known(), waiting, waited).to_text()

    def _needed(self) -> int:
        return min((int(waits["seq"][0]) - 1 for waits in self._pending.values() if len(waits)), default=self.applied)

    def _count(self, series: Series, records: Records, upto: int, gaps: Sequence[Gap]) -> Handover:
        codes, places, outcomes = self._look_up(series, records, PATIENT - self.waits)
        performance: dict[tuple[Series, int], Sums] = {}
        delays: dict[Series, tuple[Counts, float]] = {}
        joinable = np.flatnonzero(codes == join.JOINED)
        here, outcomes = places.of(joinable), outcomes[joinable]
        held = here.outcomes()
        changed = join.changes(here.words(SEQ), held, outcomes)
        codes[joinable] = changed.results
        times = here.words(TIME).view(np.int64)
        known = records["values"][:, KNOWN]
        known = np.where(np.isnan(known), records["time"] / 1e9, known)[joinable]
        owners = np.array([places.files[block].series for block in here.blocks], np.int64)
        for owner in map(int, np.unique(owners)):
            whose, mine = self._series_by_id(owner), owners == owner
            last = np.flatnonzero(mine & changed.last)
            predictions = here.of(last).predictions(len(whose.schema.predictions))
            hours = join.by_hour(whose.target, times[last], predictions, held[last], outcomes[last])
            performance |= {(whose, hour): sums for hour, sums in hours}
            joined = mine & (changed.results == join.JOINED)
            if joined.any():
                delays[whose] = join.delays(times[joined], known[joined])
        self._count_whole(series, records, codes, performance)
        self._results[records["seq"] % RESULTS_KEPT] = codes
        self._unsettled = [records[codes == join.WAITS]]
        return Handover(
            self._cursor(upto, self.applied, () if upto > self.applied else records["seq"].tolist()),
            gaps=tuple(gaps),
            rows=len(records),
            tallies={RESULTS[code]: int(count) for code, count in enumerate(np.bincount(codes)) if count},
            performance=performance,
            delays=delays,
        )

    def _count_whole(
        self, series: Series, records: Records, codes: Codes, performance: dict[tuple[Series, int], Sums]
    ) -> None:
        """Count outcomes that came with their predictions."""
        values = records["values"]
        whole = values[:, TOKEN] == WHOLE
        if not whole.any():
            return
        codes[whole] = join.JOINED
        values = values[whole]
        times = np.where(np.isnan(values[:, KNOWN]), records["time"][whole], values[:, KNOWN] * 1e9).astype(np.int64)
        none = np.full(len(values), np.nan)
        for hour, sums in join.by_hour(series.target, times, values[:, PREDICTED:], none, values[:, VALUE]):
            held = performance.get((series, hour))
            performance[series, hour] = sums if held is None else held + sums

    def _look_up(self, series: Series, records: Records, room: int) -> tuple[Codes, Places, Floats]:
        """Find the predictions of outcomes: the result of each, where its prediction is, and its value.

        The result is JOINED if the prediction is found; the value is then as the series of the prediction has it.
        `room`: see `_results_without_prediction`.
        """
        values = records["values"]
        numbers = self._predictions.numbers(values[:, TOKEN], values[:, NUMBER], records["key"])
        places = self._predictions.kept.find(numbers)
        codes = self._results_without_prediction(records, numbers, room)
        outcomes = values[:, VALUE].copy()
        for index in np.unique(places.blocks[places.found]):
            mine = np.flatnonzero(places.blocks == index)
            target = self._series_by_id(places.files[index].series).target
            outcomes[mine], usable = join.recoded(outcomes[mine], series.target, target)
            codes[mine] = np.where(usable, join.JOINED, join.NOT_AN_OUTCOME)
        return codes, places, outcomes

    def _results_without_prediction(self, records: Records, numbers: Numbers, room: int) -> Codes:
        """Results of outcomes if their predictions, of these numbers, are not found: why, or that they wait.

        `room`: how many may wait for a caller's id that is not known yet.
        """
        kept, tokens = self._predictions.kept, records["values"][:, TOKEN]
        folded, recorded = self._predictions.reached(numbers)
        past, nowhere = (numbers > 0) & (numbers <= folded), numbers == 0
        fresh = records["time"] > self._clock.time_ns() - PATIENCE_NS
        codes = np.full(len(records), join.UNKNOWN, np.uint8)
        codes[nowhere & (tokens > 0)] = join.OTHER_REPLICA
        codes[past & (numbers < kept.begins(numbers))] = join.EXPIRED
        codes[past & ~is_kept(numbers, kept.one_in)] = join.NOT_KEPT
        codes[np.flatnonzero(nowhere & (tokens == 0) & fresh)[: max(0, room)]] = join.WAITS
        codes[(numbers > folded) & (numbers <= recorded) & fresh] = join.WAITS
        return codes

    def _keep(self, series: Series, records: Records, known: str | None = None) -> None:
        """Write committed outcomes beside their predictions, but for those that wait.

        `known`: the last predictions that were known when they were joined; None for now.
        """
        unsettled, self._unsettled = [waiting for waiting in self._unsettled if len(waiting)], []
        for waiting in unsettled:
            pending = self._pending.get(series)
            self._pending[series] = waiting.copy() if pending is None else np.concatenate([pending, waiting])
            records = records[~np.isin(records["seq"], waiting["seq"])]
        codes, places, outcomes = self._look_up(series, records, 0)
        there = (codes == join.JOINED) & _were_known(known or self._predictions.known(), places.words(SEQ))
        places.of(there).set_outcomes(outcomes[there], records["seq"][there] + np.uint64(self.base))

    def _write_last_handover(self) -> None:
        """Write the outcomes of the last handover beside their predictions: the process may have died before it did.

        Only of predictions that were known then: those of outcomes that were `unknown` may have come since.
        """
        if lost := self._predictions.kept.take_back(self.base + self.applied):
            log.error("the database has lost %d outcomes; those that the journal still has are counted again", lost)
        cursor = Cursor.from_text(self._taken_up)
        waiting, waited = (np.array(numbers, np.uint64) for numbers in (cursor.waiting, cursor.waited))
        for series, records in self._committed():
            numbers = records["seq"]
            waits = np.isin(numbers, waiting)
            self._unsettled = [records[waits]]
            in_handover = (numbers > cursor.before) | np.isin(numbers, waited)
            self._keep(series, records[waits | in_handover], cursor.known)

    def _sync_kept(self) -> None:
        self._predictions.kept.sync()

    def _series_by_id(self, series: int) -> Series:
        if series not in self._series:
            self._series[series] = self._load(series)
        return self._series[series]


def id_of(text: str) -> Id:
    """Whose outcome it is, by an id given out here (`monitor.boxkite` puts a name before it), or another."""
    match = _OURS.fullmatch(text.rpartition("/")[2])
    return Id(0, 0, key_of(text)) if match is None else Id(int(match[2]), int(match[1], 16), key_of(text))


def read_outcome(target: Target, outcome: object, where: str | None = None) -> float:
    """An outcome as the journal has it: a number or the code of a class; NaN for None, which takes it back.

    Raises InputError for what is no outcome of this model.
    """
    if outcome is None:
        return float("nan")
    if isinstance(outcome, (list, dict, tuple)) or getattr(outcome, "ndim", 0) > 0:
        raise InputError("not_an_outcome", "expected one value, got a list or an object", where, 422)
    text = canonical(outcome)
    code = target.code(text) if target.classified else 0.0
    if text == MISSING or code != code:
        raise InputError("not_an_outcome", "expected a value, got NaN", where, 422)
    if target.classified:
        return code
    value = number(outcome)
    if isinstance(outcome, str) or not abs(value) <= LARGEST:
        raise InputError(
            "not_an_outcome", f"expected a number up to {LARGEST:g}, got {str(outcome)[:40]!r}", where, 422
        )
    return value
