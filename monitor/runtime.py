"""The data path, joined: sources into series into the store, drift to rules to messages, with exposition beside.

record    a prediction goes into the journal                        any thread     Watched.record
fold      sources hand over counts and a cursor; one transaction    writer         Folding, Journals, Workers
evaluate  windows to verdicts to alerts to messages                 writer         Evaluator.run, Announcer.announce
send      messages go to people                                     one a receiver sender
keep      old windows are rolled up and dropped                     writer         Maintenance
show      what the last commit left, as immutable objects           any thread     Watched.snapshot, Condition
"""

from __future__ import annotations

import gzip
import logging
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from monitor import failpoint
from monitor.announcer import PAGE, Announcer, page_address
from monitor.clock import Clock, SystemClock
from monitor.columns.batch import Batch
from monitor.config.load import Config
from monitor.drift.result import DriftResult
from monitor.errors import InputError, StoreError
from monitor.exposition.families import REPLICA
from monitor.exposition.negotiate import accepts_gzip, negotiate
from monitor.exposition.render import whole
from monitor.exposition.snapshot import Health
from monitor.folding import Folding, read_instruments
from monitor.health import Condition
from monitor.journals import Journals
from monitor.judging.performance_report import PerformanceReport, report_performance
from monitor.questions import Answers
from monitor.recording import Watch, Worker, which
from monitor.reference.file import Reference
from monitor.schedule import Schedule
from monitor.store.file.database import connect_read_only, explained, open_database
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import Writer
from monitor.store.records import changes
from monitor.store.records.notifications import retire
from monitor.store.windows.ledger import Ledger
from monitor.store.windows.ranges import read_range
from monitor.store.windows.retention import PACE, Maintenance, wal_room
from monitor.store.windows.rows import TROUBLE, load_version, lost_predictions, read_meta, write_meta
from monitor.watched import Watched
from monitor.workers import Workers

log = logging.getLogger(__name__)

EVALUATIONS = "evaluations"

#: Seconds between looks at what costs a walk through the folder or a query: sizes and deliveries.
SLOW_FACTS = 5.0

#: Seconds for which a version of a model that was replaced may go on recording what it was answering then.
RETIRE = 60.0

#: Seconds between rounds of rolling up and dropping.
MAINTAIN = 60.0

#: Seconds that a change may take: `erase` has the whole database rewritten.
CHANGE_TIMEOUT = 600.0

#: Bytes of journals that may always wait to be folded; and a quarter of `[data] max_size`, if that is more.
BACKLOG = 64 << 20


def no_reload() -> str:
    """Refuse to read the settings again. Raises StoreError."""
    raise StoreError("this process serves no models; start it again to change its settings")


class Runtime:
    """Everything that watches some models over one data folder. Open it, start it, record into it, close it."""

    def __init__(
        self,
        config: Config,
        watches: Sequence[Watch],
        clock: Clock | None = None,
        failed: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Open the data folder and resume where the last process stopped. `failed`: why models are not watched.

        Raises StoreError or LockedError, and ConfigError for a rule or receiver that cannot be.
        """
        self.config, self.watches, self.clock, self.failed = config, watches, clock or SystemClock(), dict(failed)
        #: Reads the settings again, and says what has changed, or raises TelltaleError; a server sets it.
        self.reload: Callable[[], str] = no_reload
        self._started = False
        self._answers: Answers | None = None
        #: Lets go of the folder, for a server, if this process only took it over; says whether it does.
        self.step_down: Callable[[], bool] = lambda: False
        self.folder = DataFolder(Path(config.data.path))
        self.folder.open()
        self._lacking = self.folder.used_before and not self.folder.database.exists()
        try:
            open_database(self.folder, self.clock, self._open_store)
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

    def _open_store(self, connection: sqlite3.Connection, aside: Path | None) -> None:
        self.writer = Writer(connection, self._tick, self.config.window.fold, wal_room(self.config.data.max_size))
        self.writer.transaction(partial(self._open, aside=aside))

    def _open(self, connection: sqlite3.Connection, aside: Path | None) -> None:
        config, clock = self.config, self.clock
        why = "the database was gone; a new one was begun" if self._lacking else ""
        if aside is not None:
            why = f"the database was damaged; it is kept as {aside.name}"
        self.replica = read_meta(connection, REPLICA, "") or secrets.token_hex(4)
        write_meta(connection, REPLICA, self.replica)
        #: Of the process: requests refused; and without names of models, all that is counted of the one.
        self.instruments = read_instruments(connection)
        self.ledger = Ledger(round(config.window.base))
        #: The watched models by name.
        self.models = {watch.name: self._watch(connection, watch, why) for watch in self.watches}
        self.ledger.commit()
        self.journals = Journals(self.writer.transaction, self.models)
        _, self.journals.dropped_before = lost_predictions(connection)
        self.workers = Workers(self.folder, clock, self.writer.transaction, self.journals)
        entering = self.ledger, self.journals, self.workers, self.instruments
        self.folding = Folding(self.folder, clock, self.writer, *entering)
        self.announcer = Announcer(config, self.writer, clock, config.server.url)  # until `listens_on`
        retire(connection, self.announcer.names, clock.time())
        self.schedule = Schedule(self._run, config.drift.every, clock)
        self._report_after = 0.0  # monotonic seconds: until then none is made, because one failed
        parts = self.folder, self.writer, self.journals, self.folding, self.schedule, self.announcer.names
        self.condition = Condition(config, clock, *parts)
        self.condition.failed, self.condition.evaluations = self.failed, int(read_meta(connection, EVALUATIONS, "0"))
        served = [model.series.id for model in self.models.values()]
        self.maintenance = Maintenance(config.data, self.folder, served)
        self._maintained, self.maintain_every = 0.0, MAINTAIN
        self._synced = self._looked = clock.monotonic()
        self.condition.look(connection)

    def _watch(
        self, connection: sqlite3.Connection, watch: Watch, why: str = "", worker: Worker | None = None
    ) -> Watched:
        """Begin to watch a model; with a `worker`, another version of it beside that which it replaces."""
        beside, instruments = None if worker is None else self.models[watch.name], self.instruments
        if beside is not None:
            instruments = beside.instruments
        elif self.config.models:
            instruments = read_instruments(connection, watch.name)
        about = self.config.share(watch.name), self.clock, self.replica, why, instruments
        return Watched(connection, watch, self.folder, self.ledger, *about, beside, worker)

    def exchange(self, config: Config, watches: Sequence[Watch]) -> None:
        """Watch other versions of some models from now on, or more models, by other settings; not the writer's thread.

        The version before goes on recording what was being answered. Nothing changes if it raises.
        """

        def exchange() -> None:
            workers, before = dict[str, Worker](), self.config
            self.config = config

            def open_all(connection: sqlite3.Connection) -> list[Watched]:
                return [self._watch(connection, watch, "", workers.get(watch.name)) for watch in watches]

            try:
                for watch in watches:
                    if watch.name in self.models:
                        workers[watch.name] = Worker(self.folder.path, [watch], config, self.clock)
                with self.ledger.opening():
                    opened = self.writer.transaction(open_all)
            except BaseException:
                self.config = before
                for worker in workers.values():
                    worker.delete()
                raise
            self.ledger.commit()
            until, models = self.clock.monotonic() + RETIRE, self.models | {model.name: model for model in opened}
            for model in opened:
                if model.name in workers:
                    self.workers.take_over(model, workers[model.name], until)
                else:
                    self.journals.include(*model.sources)
            self.announcer.config = config
            self.failed = {name: why for name, why in self.failed.items() if name not in models}
            self.condition.failed = self.failed
            self.models = self.journals.models = {name: models[name] for name in config.names if name in models}
            self.maintenance.served = [model.series.id for model in self.models.values()]

        self.writer.run(exchange)

    def reloaded(self, outcome: str, good: bool) -> None:
        """Note what became of a reload, for health."""
        self.condition.refused_reload = None if good else (self.clock.time(), outcome)

    def find(self, name: str | None = None) -> Watched:
        """The model of a name, or the one that there is. Raises InputError for an unknown name, or none of several."""
        known = self.known(name)
        if known not in self.models:
            raise InputError("not_loaded", f"model {known} could not be loaded: {self.failed[known]}", "model", 503)
        return self.models[known]

    def known(self, name: str | None = None) -> str:
        """The name of a model, or of the one that there is, loaded or not. Raises InputError as `find` does."""
        return which([*self.models, *self.failed], name)

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
        for model in self.models.values():
            if model.pulled is not None:
                model.pulled.start()
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
            self._answers = None
        self.schedule.stop()
        self.announcer.senders.stop()
        self.writer.stop(last=self._last_fold)
        self.folder.close()

    def abandon(self) -> None:
        """In the child of a fork: close the copies of what is open, but for the database (`Writer.abandon`)."""
        if self._answers is not None:
            self._answers.abandon()

    def _last_fold(self) -> None:
        self.workers.close_own()
        try:
            self.folding.fold()
        finally:
            for source in self.journals.sources:
                source.close()

    # Folding: the writer's thread.

    def _tick(self) -> bool:
        """Fold, sync the journals now and then, watch the other threads. Returns whether more waits to be folded."""
        if self._started:
            self.announcer.senders.restart_dead()
        now, sync = self.clock.monotonic(), self.config.data.sync
        try:
            self.folding.fold()
            self.workers.look_after_own(sync)
            if now - self._looked >= SLOW_FACTS:
                self._looked = now
                self.writer.transaction(self.condition.look)
            self.condition.failing = None
        except Exception as error:
            before = self.condition.failing
            self.condition.failing = before[0] if before else self.clock.time(), explained(error)
            raise
        if sync and now - self._synced >= sync:
            self._synced = now
            for source in self.journals.sources:
                source.sync()
        return any(source.behind for source in self.journals.sources)

    def join(self, key: str) -> None:
        """Follow the journals of another process. Raises StoreError for one of a model that is not watched here."""
        self.writer.run(lambda: self.workers.join(key))

    def change(self, request: Mapping[str, Any]) -> None:
        """Do what a person asks for; see `store.records.changes`, also for what it raises if that cannot be."""
        self.fold()
        parts = self.writer, self.folder, request, self.clock.time(), self.maintenance
        try:
            self.writer.run(lambda: changes.carry_out(*parts), CHANGE_TIMEOUT)
        finally:
            if request.get("kind") == "erase":
                self.writer.run(self.journals.forget_names)

    def fold(self) -> None:
        """Fold what has been recorded by now; return when it is committed. Raises what the store raises."""
        self.writer.run(self.folding.fold)

    def outcome_results(self, model: str | None, first: int, rows: int, key: str = "") -> dict[str, int]:
        """Fold until outcomes are joined, by their sequence numbers, and say what became of them.

        `key`: of the journal of another process. One that another thread records may be before them.
        """
        watched = self.find(model)
        for _ in range(100):
            self.fold()  # which also follows a process that has just joined
            source = watched.followed[key].outcomes if key else watched.outcomes
            if source is None or source.applied >= first + rows - 1:
                break
        return {} if source is None else source.results(first, rows)

    def add(self, name: str | None, batch: Batch, time: float | None, key: int) -> bool:
        """Commit counts of some predictions of a model; see `Folding.add`."""
        return self.folding.add(self.find(name), batch, time, key, round(self.config.window.base))

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

        to = self.announcer.receivers, self.announcer.link
        try:
            send_due(self.config, self.folder.database, self.writer.call, *to, now)
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
        self.folding.fold()
        now, models = self.clock.time(), list(self.models.values())

        def run(connection: sqlite3.Connection) -> None:
            for model in models:
                model.evaluator.run(connection, now, self.ledger, early=early, counted_to=model.counted_to)
            self.announcer.announce(connection, [model.evaluator for model in models], now)
            write_meta(connection, EVALUATIONS, str(self.condition.evaluations + 1))
            pulled = (check for check in self.condition.checks() if check.part == "source")
            trouble = "; ".join(check.detail for check in pulled if check.condition != "ok")
            if trouble != read_meta(connection, TROUBLE, ""):
                write_meta(connection, TROUBLE, trouble)

        self.writer.transaction(run)
        failpoint.reach("evaluation.committed")
        self.condition.evaluations, self.condition.evaluated = self.condition.evaluations + 1, now
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

        Nothing is kept, and no message is sent.
        """
        models = [self.find(name)] if name or batch else list(self.models.values())

        def judge(connection: sqlite3.Connection) -> tuple[DriftResult, ...]:
            return tuple(result for model in models for result in model.evaluator.judge(connection, start, end, batch))

        return self.writer.call(judge)

    # Showing: any thread. All that is read here was published whole, after its commit.

    @property
    def behind(self) -> bool:
        """Whether so much waits to be folded that who can send it later should: else the store would make room."""
        return self.journals.lag > 0 and self.journals.bytes > max(BACKLOG, self.config.data.max_size / 4)

    def facts(self, model: Watched | None = None) -> Health:
        """How the process, and the one model or another, is doing, as `/metrics` shows it."""
        return self.condition.facts(self.find() if model is None else model)

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
            # Fast rather than small, and the same bytes for the same body.
            return gzip.compress(body, 1, mtime=0), {**headers, "Content-Encoding": "gzip"}
        return body, headers

    def health(self) -> dict[str, Any]:
        """The body of `/healthz`."""
        return self.condition.health()

    def drift(self, name: str) -> tuple[DriftResult, ...]:
        """The verdicts of the last evaluation of a model."""
        return self.find(name).drift()

    def status(self, name: str | None = None) -> dict[str, Any]:
        """How things stand, as `/api/status` tells it: with the one model or a named one, or with a list of all."""
        models = [self.find(name)] if name or len(self.models) == 1 else list(self.models.values())
        return {
            **(models[0].status() if len(models) == 1 else {"models": [model.status() for model in models]}),
            "dropped": self.journals.dropped,
            "every": self.config.drift.every,
            "receivers": [delivery._asdict() for delivery in self.condition.deliveries],
            **self.health(),
        }

    def alerts(self, name: str | None = None) -> list[dict[str, Any]]:
        """What `/api/alerts` lists, of all models or of one."""
        return [alert for model in ([self.find(name)] if name else self.models.values()) for alert in model.alerts()]

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
            series = load_version(connection, version, of)
            return read_range(connection, series, start, end, step, columns)

    def performance(
        self, start: float, end: float, version: str | None = None, name: str | None = None
    ) -> PerformanceReport:
        """How well a model version did in a period. Raises InputError for an unknown version."""
        with closing(connect_read_only(self.folder.database)) as connection:
            served = self.find(name).series  # is there already, so that its reference need not be read again
            known = version in (None, served.version)
            series = served if known else load_version(connection, version, served.model)
            return report_performance(connection, series, start, end, self.clock.time())
