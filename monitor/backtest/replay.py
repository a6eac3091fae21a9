"""Replay: recorded data through the real path, with its own timestamps, as if it had been served.

The file is read and checked as a whole first, and sorted by time; so a bad row is named before anything is recorded.
Then a clock that is moved by hand goes from evaluation to evaluation, with the rows of each recorded, folded, judged
and alerted on by the code that runs in service. Stretches without a row that any rule could see are stepped over:
nothing fires or resolves there, and no time counts.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from monitor import words
from monitor.capture.encode import Encoder
from monitor.clock import DAY, HOUR, ManualClock, SystemClock, iso
from monitor.columns.canonical import Block, canonical, cell_number
from monitor.columns.column import Floats, Kind, Schema
from monitor.config.load import Config
from monitor.errors import DataError
from monitor.judging.evaluation import Evaluation
from monitor.outcomes.sums import Target
from monitor.runtime import Runtime
from monitor.sender import Senders
from monitor.source.outcomes import OutcomeSource, read_outcome
from monitor.store.records.notifications import waiting
from monitor.store.records.references import REPLAYED
from monitor.store.windows.rows import write_meta
from monitor.tables.parse import BadRows
from monitor.tables.read import Reader

#: Answers a sequence for each prediction column, given the blocks of the features.
Predict = Callable[[Sequence[Block]], Sequence[Sequence[Any]]]

#: Rows that are recorded before the next fold, so that the journal stays small.
RECORD_ROWS = 1 << 16

#: Evaluations between two checkpoints: 128 of a small model are a few MB of WAL.
CHECKPOINT_EVERY = 128

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

#: Numbers that count seconds, milliseconds, microseconds or nanoseconds since 1970 are told apart by their size: each
#: unit is taken for the years 1973 to 5138 in its own terms.
_UNITS = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (math.inf, 1))

_DATE = re.compile(r"(19|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")

#: Moments beyond these years cannot be folded into windows: the journal counts nanoseconds in 64 bits.
_YEARS = (1678, 2261)


@dataclass
class Recording:
    """Encoded rows in time order. `times`: (n,), nanoseconds since 1970; row i is at `order[i]` of `rows`.

    `with_outcome`: rows whose outcome is in the file, in the order in which the outcomes came; `known_at`: when each
    came, in nanoseconds since 1970; `outcomes`: what came true, as the journal has it. `recorded`, `outcomes_recorded`:
    how many are in the journal so far; `ids`: shape (n, 2), sequence number and token of each recorded row.
    """

    times: npt.NDArray[np.int64]
    order: npt.NDArray[np.intp]
    rows: Floats
    with_outcome: npt.NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    known_at: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    outcomes: Floats = field(default_factory=lambda: np.zeros(0))
    recorded: int = 0
    outcomes_recorded: int = 0
    ids: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    def add_outcomes(self, outcomes: Floats, known_at: npt.NDArray[np.int64]) -> None:
        """Add what came true for each row, NaN for nothing, and when it was known; never before its row."""
        known_at = np.maximum(known_at, self.times)
        order = np.argsort(known_at, kind="stable")
        self.with_outcome = order[~np.isnan(outcomes[order])]
        self.known_at, self.outcomes = known_at[self.with_outcome], outcomes[self.with_outcome]
        self.ids = np.zeros((len(self.times), 2))

    def batch(self, begin: int, end: int) -> Floats:
        """Rows from `begin` to before `end` in time order, shape (end - begin, columns)."""
        out: Floats = np.asarray(self.rows[self.order[begin:end]])
        return out


class OutcomeColumn(NamedTuple):
    """The column of a file with outcomes, each known `delay` seconds after its row, or at the time in column `time`."""

    column: str
    target: Target
    delay: float = 0.0
    time: str = ""


@dataclass
class Outcome:
    """What became of a replay.

    `skipped`: evaluations that were stepped over. `verdicts`: results that had one, of all evaluations. `events`: ids
    of the alert events that fired.
    """

    rows: int
    start: float
    end: float
    evaluations: int = 0
    skipped: int = 0
    verdicts: int = 0
    events: set[str] = field(default_factory=set)
    drifted: set[str] = field(default_factory=set)

    def note(self, latest: Sequence[Evaluation], step: Step) -> None:
        """Count one evaluation of some models."""
        self.evaluations, self.skipped = self.evaluations + 1, self.skipped + step.skipped
        for evaluation in latest:
            self.verdicts += sum(result.value is not None for result in evaluation.results)
            self.drifted |= {result.column for result in evaluation.results if result.state == "drift"}
            self.events |= {alert.event_id for alert in evaluation.alerts.values() if alert.state == "firing"}

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary, times in ISO 8601."""
        plain = {**asdict(self), "start": iso(self.start), "end": iso(self.end)}
        return {**plain, "events": sorted(self.events), "drifted": sorted(self.drifted)}

    def lines(self) -> list[str]:
        """Write it for a terminal."""
        drifted = ", ".join(sorted(self.drifted)) or "none"
        skipped = f" ({self.skipped:,} without traffic were stepped over)" if self.skipped else ""
        if not self.verdicts:
            drifted += " (no test window held min_samples predictions: a longer [drift] window suits these data)"
        return [
            f"{self.rows:,} rows from {iso(self.start)} to {iso(self.end)}: "
            f"{words.counted(self.evaluations, 'evaluation')}{skipped}, "
            f"{words.counted(len(self.events), 'alert event')}",
            f"columns that drifted at any time: {drifted}",
        ]


def prediction_columns(reader: Reader, schema: Schema, named: Sequence[str], time: str, asked: bool) -> tuple[str, ...]:
    """Return the file's columns for the reference's predictions, in its order; none if a model is asked for them.

    `named`: those that a person names. Raises DataError for what the file lacks, `time` and features too.
    """
    names, where = set(reader.names), reader.path
    if time not in names:
        raise DataError(f"{where}: has no column {time!r} for --time; it has: {', '.join(reader.names)}")
    if missing := [column.name for column in schema.features if column.name not in names]:
        what = f"feature{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        raise DataError(f"{where}: lacks the {what}, which the reference has")
    if asked:
        if named:
            raise DataError("--model works the predictions out, and --prediction names a column of them; leave one out")
        return ()
    wanted = tuple(named) or tuple(column.name for column in schema.predictions)
    if len(wanted) != len(schema.predictions):
        raise DataError(f"the reference has {len(schema.predictions)} predictions, --prediction names {len(wanted)}")
    if absent := [name for name in wanted if name not in names]:
        raise DataError(
            f"{where}: has no column {', '.join(absent)} with the predictions; name the column by --prediction COLUMN, "
            "or have the model work them out: --model model.pkl"
        )
    return wanted


def read_recording(
    reader: Reader,
    encoder: Encoder,
    scratch: IO[bytes],
    time: str,
    time_format: str = "",
    predictions: Sequence[str] = (),
    predict: Predict | None = None,
    outcome: OutcomeColumn | None = None,
) -> Recording:
    """Read a whole file; its rows go to `scratch`, only their times are kept in memory. Raises DataError.

    `time`: the column of the timestamps, read by `time_format` (as `strptime`) if there is one. `predictions`: the
    columns for the reference's predictions; without any, `predict` works them out. `outcome`: where outcomes are; an
    empty cell is none. Rows that cannot be used (not a time, a text where a number belongs) are named by line in
    `reader.bad`.
    """
    schema = encoder.schema
    wanted = [time, *(column.name for column in schema.features), *predictions]
    kinds: dict[str, Kind] = {time: "categorical"}
    for column, name in zip(schema.columns, wanted[1:], strict=False):
        kinds[name] = "numeric" if column.numeric else "categorical"
    if outcome is not None:
        kinds.setdefault(outcome.column, "categorical" if outcome.target.classified else "numeric")
        kinds.setdefault(outcome.time or time, "categorical")
    named = list(dict.fromkeys([*wanted, *kinds]))
    times: list[npt.NDArray[np.int64]] = []
    outcomes: list[Floats] = []
    known_at: list[npt.NDArray[np.int64]] = []
    for chunk in reader.chunks(named, kinds):
        blocks = dict(zip(named, chunk, strict=True))
        moments = read_moments(blocks[time], time_format, reader.lines, time, reader.bad)
        good = np.array([moment is not None for moment in moments], dtype=np.bool_)
        if outcome is not None:
            known = moments
            if outcome.time:
                cells = blocks[outcome.time]
                known = read_moments(cells, time_format, reader.lines, outcome.time, reader.bad, empty=True)
                good &= [at is not None or cell is None for at, cell in zip(known, cells, strict=True)]
            came, at = _dated(blocks[outcome.column], known, outcome)
            outcomes.append(came[good])
            known_at.append(at[good])
        times.append(np.array([moment or 0 for moment in moments], dtype=np.int64)[good])
        kept: list[Any] = [_pick(blocks[name], good) for name in wanted[1:]]
        if predict is not None and good.any():
            kept += predict(kept)
        scratch.write(encoder.table(kept).tobytes())
    scratch.flush()
    unsorted = np.concatenate(times) if times else np.zeros(0, dtype=np.int64)
    if not len(unsorted):
        raise DataError(f"{reader.path}: holds no row that could be replayed")
    order = np.argsort(unsorted, kind="stable")
    rows = np.memmap(scratch, dtype=np.float64, mode="r", shape=(len(unsorted), len(schema.captured)))
    recording = Recording(unsorted[order], order, rows)
    if outcomes:
        recording.add_outcomes(np.concatenate(outcomes)[order], np.concatenate(known_at)[order])
    return recording


def _dated(
    cells: Iterable[Any], known: Sequence[int | None], outcome: OutcomeColumn
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Outcomes as codes, NaN for those that are never known; and when each became known, in ns."""
    codes = [_outcome_code(value, outcome.target) for value in cells]
    dated = [math.nan if at is None else code for code, at in zip(codes, known, strict=True)]
    return np.array(dated), np.array([at or 0 for at in known], dtype=np.int64) + round(outcome.delay * 1e9)


def _outcome_code(value: Any, target: Target) -> float:
    if value is None or value != value:
        return math.nan
    return target.code(value) if target.classified and isinstance(value, str) else read_outcome(target, value)


def _pick(block: Block, good: npt.NDArray[np.bool_]) -> Any:
    return block[good] if isinstance(block, np.ndarray) else list(itertools.compress(block, good))


def read_moments(
    block: Block, time_format: str, lines: Sequence[int], name: str, bad: BadRows, *, empty: bool = False
) -> list[int | None]:
    """Nanoseconds since 1970 of each row; None, and a bad row, if it has no time. `empty`: a cell may be empty."""
    parsed: dict[str | None, int | None] = {None: None}
    moments = []
    for line, value in zip(lines, block, strict=False):
        cell = value if value is None or isinstance(value, str) else canonical(value)
        if cell is not None and cell not in parsed:
            parsed[cell] = parse_time(cell, time_format)
        if parsed[cell] is None and not (empty and cell is None):
            what = "is empty" if cell is None else f"holds {cell[:40]!r}, which is no time"
            hint = "" if time_format or cell is None else " in ISO 8601 or since 1970 (--time-format reads others)"
            bad.add(line, f"column {name!r} {what}{hint}")
        moments.append(parsed[cell])
    return moments


def parse_time(text: str, time_format: str = "") -> int | None:
    """Nanoseconds since 1970 of a text; None if it is not a time. A time without a zone is UTC.

    Without a format: ISO 8601, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970. Eight
    digits that can be a date (20260302) are one.

    >>> parse_time("1970-01-01 00:01:00"), parse_time("1970-01-01T01:00+01:00"), parse_time("1700000000.5")
    (60000000000, 0, 1700000000500000000)
    >>> parse_time("1700000000500"), parse_time("31/01/1970", "%d/%m/%Y"), parse_time("soon")
    (1700000000500000000, 2592000000000000, None)
    """
    value = None if time_format or _DATE.fullmatch(text) else cell_number(text)
    if value is not None:
        if not math.isfinite(value):
            return None
        unit = next(unit for limit, unit in _UNITS if abs(value) < limit)
        moment = int(text) * unit if text.lstrip("-").isdecimal() else round(value * unit)
        return moment if abs(moment) < 2**63 else None
    try:
        stamp = datetime.strptime(text, time_format) if time_format else datetime.fromisoformat(text.strip())  # noqa: DTZ007
    except ValueError:
        return None
    if not _YEARS[0] <= stamp.year <= _YEARS[1]:
        return None
    stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
    return (stamp - _EPOCH) // _MICROSECOND * 1000


def replay(
    open_runtime: Callable[[float, float], Runtime],
    clock: ManualClock,
    config: Config,
    recordings: Mapping[str, Recording],
    progress: Callable[[int], object] = bool,
    end: float = math.inf,
) -> Outcome:
    """Let recorded rows of some models, by name, pass through the real path, evaluation by evaluation.

    `open_runtime` takes the seconds of a base window and between two rounds of rolling up, and opens the data folder
    without starting a thread. `progress` gets the number of rows since its last call. The log receiver gets its
    messages on the way; those of others wait for `deliver`. Rows from `end` on are left for `feed` or another replay.
    """
    left, done = [recording.times[recording.recorded :] for recording in recordings.values()], 0
    times = np.sort(np.concatenate(left))
    times = times[times < end * 1e9]
    outcome = Outcome(len(times), times[0] / 1e9, times[-1] / 1e9)
    coarse, until = coarse_windows(config, outcome.end)
    for early, part in itertools.groupby(steps(times, config), lambda step: step.at <= until):
        base, rounds = (coarse, DAY) if early else (config.window.base, HOUR)
        with closing(open_runtime(base, rounds)) as runtime, runtime.writer.relaxed():
            for step in part:
                _advance(runtime, clock, recordings, step)
                outcome.note([model.latest for model in runtime.models.values()], step)
                progress(step.rows - done)
                done = step.rows
                if outcome.evaluations % CHECKPOINT_EVERY == 0:
                    runtime.writer.checkpoint()
            runtime.writer.transaction(lambda connection: write_meta(connection, REPLAYED, str(clock.time())))
    return outcome


def coarse_windows(config: Config, end: float) -> tuple[float, float]:
    r"""Length of the base windows that are enough at first, in seconds, and until when they are.

    Base windows are rolled up into hours and dropped at an age of `keep_minutes`. Those that would be dropped before
    the end of a replay need be no finer than its evaluations and test windows.

    >>> config = Config.from_text('[drift]\nevery = "1h"\n[[rule]]\nname = "drift"\nwindow = "90m"')
    >>> coarse_windows(config, 10 * 86_400.0)
    (1800.0, 259200.0)
    """
    rules = [rule for rule in config.rules if rule.fixed]
    lengths = [HOUR, config.drift.every, *(rule.window for rule in rules)]
    coarse = float(math.gcd(*map(round, lengths)))
    fits = all(length == round(length) for length in lengths) and coarse % config.window.base == 0
    if not fits or any(rule.max_age > rule.window for rule in rules):
        return config.window.base, -math.inf
    return coarse, (end - config.data.keep_minutes) // DAY * DAY


def _advance(runtime: Runtime, clock: ManualClock, recordings: Mapping[str, Recording], step: Step) -> None:
    """Move the clock to an evaluation, record the rows that have come by then, and evaluate."""
    clock.advance(step.at - clock.time())
    feed(runtime, recordings, step.at)
    runtime.evaluate()
    if any(alert.state != "inactive" for model in runtime.models.values() for alert in model.latest.alerts.values()):
        serve(runtime.announcer.senders, "log")


def feed(runtime: Runtime, recordings: Mapping[str, Recording], now: float) -> None:
    """Record the rows that have come by now, and then the outcomes that are known."""
    for name, recording in recordings.items():
        model = runtime.models[name]
        until = int(np.searchsorted(recording.times, round(now * 1e3) * 10**6, side="left"))
        for begin in range(recording.recorded, until, RECORD_ROWS):
            end = min(begin + RECORD_ROWS, until)
            ids = model.recorder.record_encoded(recording.batch(begin, end), recording.times[begin:end])
            if len(recording.ids):
                token, _, first = ids[0].rpartition("-")
                recording.ids[begin:end, 0] = int(first) + np.arange(end - begin)
                recording.ids[begin:end, 1] = int(token, 16)
            recording.recorded = end
            if end < until:
                runtime.fold()
        if model.outcomes is not None:
            _record_outcomes(runtime, model.outcomes, recording, now)


def _record_outcomes(runtime: Runtime, source: OutcomeSource, recording: Recording, now: float) -> None:
    """Record the outcomes that are known by now."""
    upto = int(np.searchsorted(recording.known_at, now * 1e9))
    for begin in range(recording.outcomes_recorded, upto, RECORD_ROWS):
        part = slice(begin, min(begin + RECORD_ROWS, upto))
        ids = recording.ids[recording.with_outcome[part]]
        values = np.column_stack([ids, recording.known_at[part] / 1e9, recording.outcomes[part]])
        source.recorder.append(values, np.zeros(len(ids), np.uint64))
        runtime.fold()
    recording.outcomes_recorded = max(recording.outcomes_recorded, upto)


class Step(NamedTuple):
    """One evaluation: when, how many rows have come by then, and how many evaluations before it were stepped over."""

    at: float
    rows: int
    skipped: int


def steps(times: npt.NDArray[np.int64], config: Config) -> Iterator[Step]:
    """When to evaluate, given the times of all rows in order, in nanoseconds.

    An evaluation is at each multiple of `[drift] every`, from the one after the first row to the one after the last. Of
    several in a row that would see no row only the first is kept: it stores that there was no traffic.
    """
    every = round(config.drift.every * 1e9)
    longest = max((max(rule.window, rule.max_age) for rule in config.rules), default=0.0)
    reach = round((longest + config.window.base) * 1e9) + every
    rows, at, skipped = 0, (int(times[0]) // every + 1) * every, 0
    while True:
        rows += int(np.searchsorted(times[rows:], at, side="left"))
        yield Step(at / 1e9, rows, skipped)
        if rows == len(times):
            return
        at, skipped = at + every, 0
        following = (int(times[rows]) // every + 1) * every
        if following > at > int(times[rows - 1]) + reach:
            at, skipped = following, (following - at) // every


def serve(senders: Senders, kind: str) -> None:
    """Deliver what waits for receivers of one kind, as far as it can be delivered now."""
    for sender in senders.senders:
        while sender.receiver.kind == kind and sender.step() <= 0:
            pass


def deliver(runtime: Runtime, patience: float) -> int:
    """Deliver what waits for people, by the machine's own clock; how many messages are left after `patience` seconds.

    What a replay queued is old by then, so each receiver gets the last state of each group and a digest of the rest.
    The runtime's writer is started, and can only be closed afterwards.
    """
    clock, never = SystemClock(), threading.Event()
    runtime.writer.start()
    names = runtime.announcer.names
    senders = Senders(runtime.announcer.receivers, runtime.writer, clock)
    senders.start()
    deadline = clock.monotonic() + patience
    try:
        while (left := runtime.writer.call(lambda connection: waiting(connection, names))) > 0:
            if clock.monotonic() >= deadline:
                break
            clock.wait(never, 0.1)
    finally:
        senders.stop()
    return left
