"""The data path, joined: sources into series into the store, drift to rules to messages, with exposition beside.

record    a prediction goes into the journal                        any thread     JournalSource.record
fold      sources hand over counts and a cursor; one transaction    writer         Source.read, Ledger.keep
evaluate  windows to verdicts to alerts to messages, in one         writer, when   Evaluator.run,
          transaction for all models                                schedule says  Announcer.announce
send      messages go to people                                     one a receiver sender
show      what the last commit left, as immutable objects           any thread     Watched.snapshot

The runtime owns the data folder, the one writer of SQLite, the tick and the senders; each watched model (`watched.py`)
its reference, source, series and rules.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import rmtree
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

from monitor import failpoint
from monitor.announcer import PAGE, Announcer, page_address
from monitor.clock import Clock, SystemClock, from_iso, iso
from monitor.columns.batch import Batch
from monitor.columns.column import clean_text
from monitor.config.load import Config
from monitor.config.settings import did_you_mean
from monitor.drift.result import DriftResult
from monitor.errors import InputError, StoreError
from monitor.exposition.families import REPLICA
from monitor.exposition.negotiate import accepts_gzip, gzip, negotiate
from monitor.exposition.render import whole
from monitor.exposition.snapshot import Health, Latency
from monitor.instruments import SECONDS, Instruments, Readings
from monitor.performance_report import PerformanceReport, report_performance
from monitor.questions import Answers
from monitor.reference.file import Reference
from monitor.schedule import Schedule
from monitor.series import Series
from monitor.source.outcomes import OutcomeSource
from monitor.source.protocol import Handover, Source
from monitor.source.pulled import Pulled
from monitor.store.file.damaged_files import move_aside
from monitor.store.file.database import connect_read_only, damaged, explained, open_database
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import Writer
from monitor.store.records import command_inbox as inbox
from monitor.store.records.notifications import Delivery, deliveries, retire
from monitor.store.records.outcomes import read_tallies
from monitor.store.windows.ledger import Ledger, read_cursor
from monitor.store.windows.ranges import read_range
from monitor.store.windows.retention import PACE, Maintenance, wal_room
from monitor.store.windows.rows import last_damage, lost_predictions, newest_series, read_meta, write_meta
from monitor.watched import Watch, Watched, origin
from monitor.workers import Workers

log = logging.getLogger(__name__)

INSTRUMENTS = "instruments"
EVALUATIONS = "evaluations"

#: Seconds between looks at what costs a walk through the folder or a query: sizes and deliveries.
SLOW_FACTS = 5.0

#: Seconds for which a version of a model that was replaced may go on recording what it was answering then.
RETIRE = 60.0

#: Bytes of a journal segment of one of many models, at least: each is in memory whole.
LEAST_SEGMENT = 1 << 18

#: Seconds between rounds of rolling up and dropping.
MAINTAIN = 60.0

#: Bytes of journals that may always wait to be folded; and a quarter of `[data] max_size`, if that is more.
BACKLOG = 64 << 20

#: Seconds for which damage to the record is shown by health.
DAMAGE_SHOWN = 86400.0


#: How a part of the monitor is doing, best first. `degraded`: it does some of its work, or late; `failing`: none.
CONDITIONS = ("ok", "degraded", "failing")


class Check(NamedTuple):
    """How one part of the monitor is doing, what that means, and since when, seconds since 1970 UTC."""

    part: str
    condition: Literal["ok", "degraded", "failing"]
    detail: str
    since: float | None = None


class Runtime:
    """Everything that watches some models over one data folder. Open it, start it, record into it, close it."""

    def __init__(
        self,
        config: Config,
        watches: Sequence[Watch],
        clock: Clock | None = None,
        failed: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Open the data folder and take up where the last process stopped. `failed`: why models are not watched.

        Raises StoreError or LockedError, and ConfigError for a rule or receiver that cannot be.
        """
        self.config, self.watches, self.clock, self.failed = config, watches, clock or SystemClock(), dict(failed)
        #: Reads the settings again, on a thread of its own, and tells the caller what became of it; a server sets it.
        self.reload: inbox.Reload | None = None
        self._refused_reload: tuple[float, str] | None = None
        self._fold_failing_since: float | None = None
        self._fold_fails_by = ""
        self._started = False
        self._answers: Answers | None = None
        #: Lets go of the folder, for a server, if this process only took it over; says whether it does.
        self.step_down: Callable[[], bool] = lambda: False
        self.folder = DataFolder(Path(config.data.path))
        self.folder.open()
        self._lacking = self.folder.used_before and not self.folder.database.exists()
        try:
            self._open_store()
        except BaseException:
            self.folder.close()
            raise

    def __repr__(self) -> str:
        names = ", ".join([*self.models, *self.failed])
        return f"<Runtime of {names} in {self.folder.path}, {'started' if self._started else 'not started'}>"

    @classmethod
    def of_one(cls, config: Config, reference: Reference, version: str, clock: Clock | None = None) -> Self:
        """Open with the one model that `[model]` configures."""
        return cls(config, [Watch(reference, version, config.model.name)], clock)

    def _open_store(self) -> None:
        """Open the database and take up from it; if reading it shows damage, move it aside and begin a new one."""
        aside = None
        while True:
            connection, found = open_database(self.folder, self.clock)
            self.writer = Writer(connection, self._tick, self.config.window.fold, wal_room(self.config.data.max_size))
            try:
                self.writer.transaction(partial(self._open, aside=aside or found))
                return
            except BaseException as error:
                connection.close()
                if not isinstance(error, sqlite3.DatabaseError):
                    raise
                if aside is not None or not damaged(error):
                    raise StoreError(f"{self.folder.database}: cannot be opened: {error}") from error
                aside = move_aside(self.folder, self.clock, str(error))

    def _open(self, connection: sqlite3.Connection, aside: Path | None) -> None:
        config, clock = self.config, self.clock
        why = "the database was gone; a new one was begun" if self._lacking else ""
        if aside is not None:
            why = f"the database was damaged; it is kept as {aside.name}"
        self.replica = read_meta(connection, REPLICA, "") or secrets.token_hex(4)
        write_meta(connection, REPLICA, self.replica)
        #: Of the process: requests refused; and without names of models, all that is counted of the one.
        self.instruments = Instruments(Readings(**json.loads(read_meta(connection, INSTRUMENTS, "{}"))))
        self.ledger = Ledger(round(config.window.base))
        #: The watched models by name.
        self.models = {watch.name: self._watch(connection, watch, why, config) for watch in self.watches}
        #: Journals of versions that were replaced: from when on they may be let go of, model, key and folder.
        self._retired: list[tuple[float, str, str, Path]] = []
        for watch in self.watches:
            model = self.models[watch.name]
            for key, place, found in model.left(connection, self.folder.journal / watch.journal):
                model.follow(key, found)
                self._retired.append((0.0, watch.name, key, place))
        self.ledger.commit()
        self.sources: list[Source] = [source for model in self.models.values() for source in model.sources]
        for model in self.models.values():
            for followed in model.followed.values():
                self.sources = [followed.source, *self.sources, *([followed.outcomes] if followed.outcomes else [])]
        self.workers = Workers(
            *(self.folder, clock, self.writer.transaction, lambda: self.models),
            *(self.add_journal, self.end_journal, self.drop_journal),
        )
        self.announcer = Announcer(config, self.writer, clock, config.server.url)  # until `listens_on`
        retire(connection, self.announcer.names, clock.time())
        _, self._dropped_before = lost_predictions(connection)
        self.schedule = Schedule(self._run, config.drift.every, clock)
        self._report_after = 0.0  # monotonic seconds: until then none is made, because one failed
        self._readings = self._read_instruments()
        self._evaluations, self._evaluated = int(read_meta(connection, EVALUATIONS, "0")), 0.0
        served = [model.series.id for model in self.models.values()]
        self.maintenance = Maintenance(config.data, self.folder, served)
        self._maintained, self.maintain_every = 0.0, MAINTAIN
        self._synced = self._looked = clock.monotonic()
        self._look(connection)

    def _watch(
        self, connection: sqlite3.Connection, watch: Watch, why: str, config: Config, beside: Watched | None = None
    ) -> Watched:
        """Begin to watch a model, or another version of it beside that which it replaces."""
        own, instruments = config, self.instruments
        if config.models:
            own, share = own.of(watch.name), len(config.models)
            segment = min(own.data.segment, max(LEAST_SEGMENT, own.data.segment // share))
            metrics = replace(own.metrics, max_series=own.metrics.max_series // share)
            own = replace(own, metrics=metrics, data=replace(own.data, segment=segment))
            counted = read_meta(connection, f"{INSTRUMENTS}/{watch.name}", "{}")
            instruments = Instruments(Readings(**json.loads(counted)))
        given = self.folder, self.ledger, own, self.clock, self.replica, why
        return Watched(connection, watch, *given, instruments if beside is None else beside.instruments, beside)

    def exchange(self, config: Config, watches: Sequence[Watch]) -> None:
        """Watch other versions of some models from now on, or more models, by other settings; not the writer's thread.

        The version before goes on recording what was being answered. Nothing changes if it raises.
        """

        def exchange() -> None:
            def open_all(connection: sqlite3.Connection) -> list[Watched]:
                return [self._watch(connection, one, "", config, self.models.get(one.name)) for one in watches]

            with self.ledger.opening():
                found = self.writer.transaction(open_all)
            self.ledger.commit()
            for model in found:
                if model.own is not None:
                    model.follow(model.own[0], model.own[2])
                if (old := self.models.get(model.name)) is not None and old.own is not None:
                    self._retired.append((self.clock.monotonic() + RETIRE, model.name, *old.own[:2]))
            # Predictions first, since outcomes are joined to them.
            journals, outcomes = [model.sources[:1] for model in found], [model.sources[1:] for model in found]
            self.sources = [*chain(*journals), *self.sources, *chain(*outcomes)]
            self.config, self.announcer.config = config, config
            models = self.models | {model.name: model for model in found}
            self.failed = {name: why for name, why in self.failed.items() if name not in models}
            self.models = {name: models[name] for name in config.names if name in models}
            self.maintenance.served = [model.series.id for model in self.models.values()]

        self.writer.run(exchange)

    def reloaded(self, said: str, good: bool) -> None:
        """Take up what became of a reload, for health."""
        self._refused_reload = None if good else (self.clock.time(), said)

    def _retire(self, now: float) -> None:
        """Let go of the journals of versions that were replaced, once nothing is recorded in them any more."""
        for one in [one for one in self._retired if one[0] <= now]:
            _, model, key, place = one
            if not self.models[model].followed[key].source.ended:
                self.end_journal(model, key)
            elif self.drop_journal(model, key):
                self._retired.remove(one)
                rmtree(place, ignore_errors=True)

    def _read_instruments(self) -> dict[str, Readings]:
        """What was counted, by the key of `meta` that keeps it."""
        known = {INSTRUMENTS: self.instruments}
        known |= {f"{INSTRUMENTS}/{name}": one.instruments for name, one in self.models.items() if self.config.models}
        return {key: instruments.read() for key, instruments in known.items()}

    def find(self, name: str | None = None) -> Watched:
        """The model of a name, or the one that there is. Raises InputError for an unknown name, or none of several."""
        known = self.known(name)
        if known not in self.models:
            raise InputError("not_loaded", f"model {known} could not be loaded: {self.failed[known]}", "model", 503)
        return self.models[known]

    def known(self, name: str | None = None) -> str:
        """The name of a model, or of the one that there is, loaded or not. Raises InputError as `find` does."""
        names = [*self.models, *self.failed]
        if name in names:
            return name
        if name is not None:
            hint = did_you_mean(name[:100], names)
            message = f"there is no model {clean_text(name)[:100]!r}{hint}; known are: {', '.join(names)}"
            raise InputError("unknown_model", message, "model", 404)
        if len(names) != 1:
            message = f"there are several models; say which: {', '.join(names)}"
            raise InputError("which_model", message, "model", 404)
        return names[0]

    @property
    def _pulled(self) -> dict[str, Pulled]:
        return {name: model.pulled for name, model in self.models.items() if model.pulled is not None}

    @property
    def only(self) -> Watched:
        """The one model that is watched. Raises InputError if there are several."""
        return self.find()

    def listens_on(self, port: int) -> None:
        """Note on which port the page is served, for links in messages and for commands. Call it before `start`."""
        self.announcer.link = page_address(self.config.server, port)
        self.writer.transaction(lambda connection: write_meta(connection, PAGE, self.announcer.link))

    def start(self) -> None:
        """Start the threads: writer, scheduler, senders, and those of sources that are pulled."""
        self.writer.start()
        for source in self._pulled.values():
            source.start()
        self.announcer.senders.start()
        self.schedule.start()
        try:
            self._answers = Answers(self.folder.path, self)
        except OSError as error:
            log.error("%s: other processes cannot ask this one: %s", self.folder.path, error.strerror or error)
        self._started = True

    def close(self) -> None:
        """Stop the threads, fold what is left, and let go of the folder. Requests must have ended."""
        self._started = False
        if self._answers is not None:
            self._answers.stop()
        self.schedule.stop()
        self.announcer.senders.stop()
        self.writer.stop(last=self._last_fold)
        self.folder.close()

    def abandon(self) -> None:
        """In the child of a fork: close the copies of what is open, but for the database (`Writer.abandon`)."""
        if self._answers is not None:
            self._answers.abandon()

    def _last_fold(self) -> None:
        try:
            self._fold()
        finally:
            for source in self.sources:
                source.close()

    # Folding: the writer's thread.

    def _tick(self) -> bool:
        """Fold, sync the journals now and then, watch the other threads. Returns whether more waits to be folded."""
        if self._started:
            self.schedule.check()
            self.announcer.senders.restart_dead()
        now = self.clock.monotonic()
        try:
            self._fold()
            inbox.apply_all(self.folder, self.writer, self.clock, self.maintenance, self._forget_names, self.reload)
            if now - self._looked >= SLOW_FACTS:
                self._looked = now
                self._retire(now)
                self.writer.transaction(self._look)
            self._fold_failing_since = None
        except Exception as error:
            self._fold_failing_since = self._fold_failing_since or self.clock.time()
            self._fold_fails_by = explained(error)
            raise
        if self.config.data.sync and now - self._synced >= self.config.data.sync:
            self._synced = now
            for source in self.sources:
                source.sync()
        return any(source.behind for source in self.sources)

    def add_journal(
        self, model: str, key: str, token: str, first: int, folder: Path, series: Series | None = None
    ) -> None:
        """Follow one more journal of a model, on the writer's thread; see `Watched.open_journal`. Raises KeyError."""
        watched, given = self.models[model], (key, token, first, folder, series)
        found = self.writer.transaction(lambda connection: watched.open_journal(connection, *given))
        watched.follow(key, found)
        self.sources = [found.source, *self.sources, *([found.outcomes] if found.outcomes else [])]

    def join(self, key: str) -> None:
        """Follow the journals of another process. Raises StoreError for one of a model that is not watched here."""
        self.writer.run(lambda: self.workers.join(key))

    def end_journal(self, model: str, key: str) -> None:
        """Take up, on the writer's thread, that nothing more comes into a journal: the next fold has all of it."""
        for source in self.models[model].followed[key][:2]:
            if source is not None:
                source.end()

    def retire_journal(self, model: str, key: str, place: Path) -> None:
        """End a journal of a model, and delete its folder once all of it is folded and needed no more."""

        def retire() -> None:
            if not self.models[model].followed[key].source.ended:
                self.end_journal(model, key)
                self._retired.append((0.0, model, key, place))

        self.writer.run(retire)

    def drop_journal(self, model: str, key: str) -> bool:
        """Follow a journal that has ended no longer, on the writer's thread. Its cursor stays.

        Returns False if something of it is not folded, or still needed.
        """
        gone = [source for source in self.models[model].followed[key][:2] if source is not None]
        if not all(source.settled for source in gone):
            return False
        self._dropped_before += gone[0].dropped
        self.sources = [source for source in self.sources if source not in gone]
        self.models[model].unfollow(key)
        return True

    def _forget_names(self) -> None:
        """Take up that names of unseen values were erased."""
        for model in self.models.values():
            if model.pulled is None:
                model.source.reread_names()
            else:
                model.pulled.names.load()
            for followed in model.followed.values():
                followed.source.reread_names()
            model.evaluator.forget_names()

    def fold(self) -> None:
        """Fold what has been recorded by now; return when it is committed. Raises what the store raises."""
        self.writer.run(self._fold)

    def told(self, model: str | None, first: int, rows: int, key: str = "") -> dict[str, int]:
        """Fold until outcomes are joined, by their sequence numbers, and say what became of them.

        `key`: of the journal of another process. One that another thread records may be before them.
        """
        watched = self.find(model)
        source = watched.followed[key].outcomes if key else watched.outcomes
        if source is None:
            return {}
        for _ in range(100):
            self.fold()
            if source.applied >= first + rows - 1:
                break
        return source.told(first, rows)

    def _fold(self) -> None:
        """Enter what all sources have. Raises StoreError if the database file was replaced: writes would be lost."""
        self._refuse_replaced()
        readings = self._read_instruments()
        for source in self.sources:
            if isinstance(source, OutcomeSource):
                source.mark()
        self.workers.look()
        for source in self.sources:
            with closing(source.read()) as handovers:
                for handover in handovers:
                    self._keep(source.name, handover, readings)
        if readings != self._readings:
            self._keep("", None, readings)
        self.workers.clear()

    def _refuse_replaced(self) -> None:
        if trouble := self.folder.database_trouble:
            raise StoreError(trouble)

    def add(self, name: str | None, batch: Batch, time: float | None, key: int) -> bool:
        """Commit counts of some predictions of a model, in the base window of a moment, now by default.

        `key`: hash of the caller's own id, 0 for none. A batch with an id is a source that hands over once: it has a
        cursor when it has. Returns False if it had. Raises what the store raises.
        """
        model, now, base = self.find(name), self.clock.time(), round(self.config.window.base)
        series = model.series
        source = f"batch/{series.id}/{key:016x}" if key else "batch"
        start = math.floor((now if time is None else time) / base) * base
        counts = {(series, start): Batch(batch.n, batch.counts, batch.sums)} if batch.n else {}
        handover = Handover(iso(now), counts, model.source.named(batch.unseen), rows=batch.n)

        def commit() -> bool:
            self._refuse_replaced()
            if key and self.writer.transaction(partial(read_cursor, source=source)):
                return False
            self._keep(source, handover, self._read_instruments())
            return True

        return self.writer.run(commit)

    def _keep(self, source: str, handover: Handover | None, readings: dict[str, Readings]) -> None:
        """Commit what was handed over together with what was counted meanwhile: one write to the disk."""

        def keep(connection: sqlite3.Connection) -> None:
            if handover is not None:
                self.ledger.keep(connection, source, handover, iso(self.clock.time()))
            for key, counted in readings.items():
                if counted != self._readings.get(key):
                    write_meta(connection, key, json.dumps(asdict(counted)))

        failpoint.reach("fold.begin")
        try:
            self.writer.transaction(keep)
        except BaseException:
            self.ledger.forget()
            raise
        self.ledger.commit()
        self._readings = readings
        failpoint.reach("fold.committed")

    def _look(self, connection: sqlite3.Connection) -> None:
        """Gather the facts that cost a query or a walk through the folder."""
        self._deliveries: list[Delivery] = deliveries(connection, self.announcer.names)
        self._gaps, _ = lost_predictions(connection)
        self._tallies = read_tallies(connection)
        self._outcomes = {name: model.count_outcomes(connection) for name, model in self.models.items()}
        self._damage = last_damage(connection)
        self._database_bytes = self.folder.database.stat().st_size

    # Judging: the schedule asks for it, the writer's thread does it.

    def _run(self) -> None:
        self.evaluate()
        self.report()

    def report(self) -> None:
        """Queue the report of the last period of `[report]` if it is due; not on the writer's thread.

        One that fails is logged, and tried again in an hour.
        """
        now, monotonic = self.clock.time(), self.clock.monotonic()
        if not self.config.report.every or monotonic < self._report_after:
            return
        from monitor.report.sending import send_due  # templates and figures, which others do not need

        given = self.folder.database, self.writer.call, self.announcer.receivers, self.announcer.link
        try:
            send_due(self.config, *given, now)
        except Exception:
            self._report_after = monotonic + 3600
            log.exception("the report cannot be made; it is tried again in an hour")
        self.announcer.senders.wake()

    def evaluate(self, *, early: bool = False) -> None:
        """Fold what there is and evaluate every rule of every model, now; publish what was committed.

        `early` ends the open windows first, so that all that was recorded is judged.
        """
        try:
            self.writer.run(lambda: self._evaluate(early))
        except sqlite3.OperationalError as error:
            raise StoreError(explained(error)) from error

    def _evaluate(self, early: bool) -> None:
        self._fold()
        now, models = self.clock.time(), list(self.models.values())

        def run(connection: sqlite3.Connection) -> None:
            for model in models:
                model.evaluator.run(connection, now, self.ledger, early=early)
            self.announcer.announce(connection, [model.evaluator for model in models], now)
            write_meta(connection, EVALUATIONS, str(self._evaluations + 1))

        self.writer.transaction(run)
        failpoint.reach("evaluation.committed")
        self._evaluations, self._evaluated = self._evaluations + 1, now
        for model in models:
            model.evaluator.publish()
        self.announcer.senders.wake()
        self._maintain(now)

    def _maintain(self, now: float) -> None:
        """Roll up and drop, now and then; a round that fails is logged, and its work is done by a later one."""
        if 0 <= now - self._maintained < self.maintain_every:
            return
        self._maintained = now
        try:
            self.maintenance.work_off(self.writer, now, pace=max(PACE, self.maintain_every))
        except Exception:
            log.exception("rolling up and dropping old data failed; it is tried again soon")

    def judge(
        self, start: float, end: float, batch: Batch | None = None, name: str | None = None
    ) -> tuple[DriftResult, ...]:
        """Judge the windows of a span of time by every rule, of all models or of one, or a batch of one.

        Nothing is kept, and nobody is told.
        """
        models = [self.find(name)] if name or batch else list(self.models.values())

        def judge(connection: sqlite3.Connection) -> tuple[DriftResult, ...]:
            found = (model.evaluator.judge(connection, start, end, batch) for model in models)
            return tuple(result for results in found for result in results)

        return self.writer.call(judge)

    # Showing: any thread. All that is read here was published whole, after its commit.

    @property
    def lag(self) -> float:
        """Seconds since everything that had come was folded; 0 where nothing waits."""
        return max((source.lag for source in self.sources), default=0.0)

    @property
    def behind(self) -> bool:
        """Whether so much waits to be folded that who can send it later should: else the store would make room."""
        return self.lag > 0 and sum(source.bytes for source in self.sources) > max(
            BACKLOG, self.config.data.max_size / 4
        )

    @property
    def unfolded(self) -> bool:
        """Whether a journal has what the store has not."""
        return any(source.waiting for source in self.sources)

    @property
    def dropped(self) -> int:
        """Predictions that were answered and could not be recorded, since the first start."""
        ours = (source for source in self.sources if not isinstance(source, OutcomeSource))
        return self._dropped_before + sum(source.dropped for source in ours)

    def facts(self, model: Watched | None = None) -> Health:
        """How the process, and the one model or another, is doing, as `/metrics` shows it."""
        model = self.find() if model is None else model
        key = f"{INSTRUMENTS}/{model.name}" if self.config.models else INSTRUMENTS
        readings = self._readings.get(key) or Readings()
        sources = [origin(source.name) for source in model.sources]
        return Health(
            latency=Latency(SECONDS, tuple(readings.seconds), readings.seconds_sum),
            model_errors=readings.model_errors,
            rejected=self._readings[INSTRUMENTS].rejected,
            dropped=self.dropped,
            repeated=sum(self._tallies.get((source, "repeated"), 0) for source in sources),
            outcomes=self._outcomes.get(model.name),
            gaps=self._gaps,
            fold_lag=self.lag,
            journal_bytes=sum(source.bytes for source in self.sources),
            database_bytes=self._database_bytes,
            evaluations=self._evaluations,
            evaluated=self._evaluated or None,
            late=self.schedule.late,
            every=self.config.drift.every,
            notifications={(one.receiver, key): n for one in self._deliveries for key, n in one.totals.items()},
            waiting=sum(one.pending for one in self._deliveries),
            dead_letters=sum(one.dead for one in self._deliveries),
        )

    def metrics(self, accept: str = "", accept_encoding: str = "") -> tuple[bytes, dict[str, str]]:
        """Body and headers of `/metrics`, in the format that the scraper asks for."""
        openmetrics, content_type = negotiate(accept)
        if self.config.models:
            shown = [(model.renderer, model.snapshot(self.facts(model))) for model in self.models.values()]
            body = whole(shown, self.replica, openmetrics)
        else:
            body = self.only.renderer.render(self.only.snapshot(self.facts()), openmetrics)
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if accepts_gzip(accept_encoding):
            return gzip(body), {**headers, "Content-Encoding": "gzip"}
        return body, headers

    def checks(self) -> list[Check]:
        """How each part of the monitor is doing."""
        found = {f"{name}: " * (len(self.models) > 1): source.check() for name, source in self._pulled.items()}
        pulled = [Check("source", condition, of + words, since) for of, (condition, words, since) in found.items()]
        models = [Check("models", "failing", f"{n} is not served: {why}") for n, why in self.failed.items()]
        if self._refused_reload is not None:
            since, why = self._refused_reload
            models.append(Check("reload", "degraded", f"the last one was refused, all stays as it was: {why}", since))
        return [
            *models,
            self._check_capture(),
            *pulled,
            self._check_store(),
            self._check_evaluation(),
            self._check_delivery(),
        ]

    def _check_capture(self) -> Check:
        """Whether predictions are recorded. Damage to the record is shown for a day."""
        if self.folder.trouble:
            return Check("capture", "failing", self.folder.trouble)
        for source in self.sources:
            if source.dropping:
                since, why = source.dropping
                detail = f"predictions are answered but not recorded: {why}; {self.dropped} dropped so far"
                return Check("capture", "failing", detail, since)
        if self._damage is not None and self.clock.time() - from_iso(self._damage[0]) <= DAMAGE_SHOWN:
            at, lost, what = self._damage
            lost_rows = f"{'an unknown number of' if lost is None else lost} predictions, {what}"
            return Check("capture", "degraded", f"recording; part of the record is lost: {lost_rows}", from_iso(at))
        more = f"; {self.dropped} dropped since the first start" if self.dropped else ""
        if len(self._pulled) == len(self.models):
            return Check("capture", "ok", "nothing is recorded here: all counts are pulled")
        return Check("capture", "ok", f"recording{more}")

    def _check_store(self) -> Check:
        """Whether what is recorded reaches the store."""
        if not self.writer.alive:
            return Check("store", "failing", "the writer's thread has ended; restart the server")
        if self._fold_failing_since is not None:
            detail = f"the database refuses writes, and the journal keeps what comes in: {self._fold_fails_by}"
            return Check("store", "failing", detail, self._fold_failing_since)
        if self.lag > 60:
            return Check("store", "degraded", f"the last fold was {self.lag:.0f} seconds ago")
        return Check("store", "ok", "predictions reach the database")

    def _check_evaluation(self) -> Check:
        """Whether drift is worked out on time."""
        schedule = self.schedule
        if schedule.failing_since is not None:
            detail = "drift cannot be worked out; the log says why"
            return Check("evaluation", "failing", detail, schedule.failing_since)
        failing = {rule: since for model in self.models.values() for rule, since in model.evaluator.failing.items()}
        if failing:
            detail = f"cannot be evaluated: {', '.join(sorted(failing))}; the log says why"
            return Check("evaluation", "degraded", detail, min(failing.values()))
        if schedule.overdue > max(5.0, self.config.drift.every):
            return Check("evaluation", "degraded", f"the next evaluation is {schedule.overdue:.0f} seconds late")
        return Check("evaluation", "ok", "on time")

    def _check_delivery(self) -> Check:
        """Whether alerts reach people."""
        waiting, dead = sum(one.pending for one in self._deliveries), sum(one.dead for one in self._deliveries)
        oldest = min((from_iso(one.oldest) for one in self._deliveries if one.oldest), default=None)
        if dead:
            return Check("delivery", "degraded", f"{dead} notifications could not be delivered; see the alerts page")
        if oldest is not None and self.clock.time() - oldest > 300:
            return Check("delivery", "degraded", f"{waiting} notifications wait to be delivered", oldest)
        return Check("delivery", "ok", f"{waiting} notifications on their way" if waiting else "nothing waits")

    def health(self) -> dict[str, Any]:
        """The body of `/healthz`: the worst condition, and every part's own."""
        checks = [check._asdict() for check in self.checks()]
        for check in checks:
            check["since"] = None if check["since"] is None else iso(check["since"])
        worst = max((check["condition"] for check in checks), key=CONDITIONS.index)
        return {"status": worst, "checks": checks}

    def drift(self, name: str) -> tuple[DriftResult, ...]:
        """The verdicts of the last evaluation of a model; if rows wait in an open window, with a word about them."""
        latest = self.find(name).latest
        if not latest.waiting:
            return latest.results
        rows = "1 row is" if latest.waiting == 1 else f"{latest.waiting:,} rows are"
        wait = f"{rows} in a window that has not ended: evaluate(now=True) judges it"
        return tuple(
            result._replace(reason=f"{result.reason}; {wait}")
            if result.state in ("no traffic", "insufficient data")
            else result
            for result in latest.results
        )

    def status(self, name: str | None = None) -> dict[str, Any]:
        """How things stand, as `/api/status` tells it: with the one model or a named one, or with a list of all."""
        models = [self.find(name)] if name or len(self.models) == 1 else list(self.models.values())
        return {
            **(models[0].status() if len(models) == 1 else {"models": [model.status() for model in models]}),
            "dropped": self.dropped,
            "every": self.config.drift.every,
            "receivers": [delivery._asdict() for delivery in self._deliveries],
            **self.health(),
        }

    def alerts(self, name: str | None = None) -> list[dict[str, Any]]:
        """What `/api/alerts` lists: every alert that is not inactive, of all models or of one."""
        return [
            {
                **alert.key._asdict(),
                "state": alert.state,
                "severity": alert.severity,
                "since": iso(alert.since),
                "value": alert.value,
                "event_id": alert.event_id,
            }
            for model in ([self.find(name)] if name else self.models.values())
            for alert in model.latest.alerts.values()
            if alert.state != "inactive"
        ]

    def windows(
        self,
        start: float,
        end: float,
        step: float | None,
        columns: Sequence[str],
        version: str | None,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Counts over any stretch, as `/api/windows` answers them; see `read_range`. Raises InputError."""
        with closing(connect_read_only(self.folder.database)) as connection:
            of = self.find(name).name if name or len(self.models) > 1 else None
            series = newest_series(connection, version, of)
            return read_range(connection, series, start, end, step, columns)

    def performance(
        self, start: float, end: float, version: str | None = None, name: str | None = None
    ) -> PerformanceReport:
        """How well a model version did in a period. Raises InputError for an unknown version."""
        with closing(connect_read_only(self.folder.database)) as connection:
            served = self.find(name).series  # is there already, so that its reference need not be read again
            known = version in (None, served.version)
            series = served if known else newest_series(connection, version, served.model)
            return report_performance(connection, series, start, end, self.clock.time())
