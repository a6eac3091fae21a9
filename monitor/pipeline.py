"""The data path, joined: capture, window, store, drift, rules, notify, with exposition beside.

record    a prediction goes into the journal                       any thread      recorder.record
fold      the journal goes into windows, in one transaction        writer          recorder.fold
evaluate  windows to verdicts to alerts to notifications, in one   writer, when    evaluation.run
          transaction                                              schedule says
send      notifications go to people                               one a receiver  notify.sender
show      the last commit as an immutable snapshot                 any thread      Pipeline.snapshot
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monitor import failpoint
from monitor.announcer import PAGE, Announcer, page_address
from monitor.clock import Clock, SystemClock, from_iso, iso
from monitor.config.load import Config
from monitor.drift.result import DriftResult, Subject
from monitor.errors import StoreError
from monitor.evaluation import Evaluation, Evaluator
from monitor.exposition.negotiate import accepts_gzip, gzip, negotiate
from monitor.exposition.render import Renderer
from monitor.exposition.snapshot import Health, Latency, Snapshot
from monitor.health import Check, capture_check, delivery_check, evaluation_check, fold_check, worst
from monitor.instruments import SECONDS, Instruments, Readings
from monitor.recorder import Recorder
from monitor.reference.file import Reference
from monitor.schedule import Schedule
from monitor.store.file.database import connect_read_only, damaged, explained, move_aside, open_database
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import Writer
from monitor.store.records import command_inbox as inbox
from monitor.store.records.notifications import Delivery, deliveries
from monitor.store.windows.ranges import newest_series, read_range
from monitor.store.windows.retention import Maintenance, wal_room
from monitor.store.windows.rows import last_damage, lost_predictions, read_meta, register_series, write_meta

log = logging.getLogger(__name__)

INSTRUMENTS = "instruments"
EVALUATIONS = "evaluations"
REPLICA = "replica"

#: Seconds between looks at what costs a walk through the folder or a query: sizes and deliveries.
SLOW_FACTS = 5.0

#: Seconds between rounds of rolling up and dropping.
MAINTAIN = 60.0

#: Seconds for which damage to the record is shown by health.
DAMAGE_SHOWN = 86400.0


class Pipeline:
    """Everything that watches one model. Open it, start it, record into it, close it."""

    def __init__(self, config: Config, reference: Reference, version: str, clock: Clock | None = None) -> None:
        """Open the data folder and take up where the last process stopped.

        Raises StoreError or LockedError, and ConfigError for a rule or receiver that cannot be.
        """
        self.config, self.reference, self.version = config, reference, version
        self.clock = clock or SystemClock()
        self._fold_failing_since: float | None = None
        self._fold_fails_by = ""
        self._started = False
        self.folder = DataFolder(Path(config.data.path))
        self.folder.open()
        self._lacking = self.folder.used_before and not self.folder.database.exists()
        try:
            aside = self._open_store(None)
            if aside is not None:
                self._open_store(aside)
        except BaseException:
            self.folder.close()
            raise

    def _open_store(self, aside: Path | None) -> Path | None:
        """Open the database and take up from it; where it has been moved aside once it was read, to which file."""
        connection, found = open_database(self.folder, self.clock)
        self.writer = Writer(connection, self._tick, self.config.window.fold, wal_room(self.config.data.max_size))
        try:
            self.writer.transaction(lambda connection: self._open(connection, aside or found))
        except sqlite3.DatabaseError as error:
            connection.close()
            if aside is None and damaged(error):
                return move_aside(self.folder, self.clock, str(error))
            raise StoreError(f"{self.folder.database}: cannot be opened: {error}") from error
        except BaseException:
            connection.close()
            raise
        return None

    def _open(self, connection: sqlite3.Connection, aside: Path | None) -> None:
        config, clock, now = self.config, self.clock, self.clock.time()
        why = "the database was gone; a new one was begun" if self._lacking else ""
        if aside is not None:
            why = f"the database was damaged; it is kept as {aside.name}"
        series = register_series(connection, Subject(version=self.version), self.reference, iso(now))
        schema, self._since = series.schema, from_iso(series.first_served)
        self.announcer = Announcer(config, schema, self.version, self.writer, clock, page_address(config.server))
        self.announcer.retire(connection, now)
        self.evaluator = Evaluator(series, config, clock, self.announcer.announce)
        self.evaluator.restore(connection)
        self.recorder = Recorder(connection, series, self.folder.journal, config, clock, why)
        self.record = self.recorder.record
        _, self._dropped_before = lost_predictions(connection)
        self.instruments = Instruments(Readings.from_json(json.loads(read_meta(connection, INSTRUMENTS, "{}"))))
        self.schedule = Schedule(self.evaluate, config.drift.every, clock)
        replica = read_meta(connection, REPLICA, "") or secrets.token_hex(4)
        write_meta(connection, REPLICA, replica)
        self._renderer = Renderer(
            schema,
            self.reference,
            self.version,
            boxkite=config.metrics.boxkite,
            max_series=config.metrics.max_series,
            alpha=config.drift.alpha,
            min_samples=config.drift.min_samples,
            replica=replica,
        )
        self._readings = self.instruments.read()
        self._evaluations = int(read_meta(connection, EVALUATIONS, "0"))
        self.maintenance = Maintenance(config.data, self.folder, [series.id])
        self._maintained, self.maintain_every = 0.0, MAINTAIN
        self._synced = self._looked = clock.monotonic()
        self._look(connection)

    def listens_on(self, port: int) -> None:
        """Note on which port the page is served, for links in messages and for commands. Call it before `start`."""
        self.announcer.link = page_address(self.config.server, port)
        self.writer.transaction(lambda connection: write_meta(connection, PAGE, self.announcer.link))

    def start(self) -> None:
        """Start the threads: writer, scheduler, senders."""
        self.writer.start()
        self.announcer.senders.start()
        self.schedule.start()
        self._started = True

    def close(self) -> None:
        """Stop the threads, fold what is left, and let go of the folder. Requests must have ended."""
        self._started = False
        self.schedule.stop()
        self.announcer.senders.stop()
        self.writer.stop(last=self._last_fold)
        self.folder.close()

    def _last_fold(self) -> None:
        try:
            self._fold()
        finally:
            self.recorder.close()

    # Folding: the writer's thread.

    def _tick(self) -> bool:
        """Fold, bring the journal to the disk now and then, and watch over the other threads.

        True where more waits to be folded than one fold takes.
        """
        if self._started:
            self.schedule.check()
            self.announcer.senders.restart_dead()
        now = self.clock.monotonic()
        try:
            self._fold()
            inbox.apply_all(self.folder.path, self.writer, self.clock, self.maintenance)
            if now - self._looked >= SLOW_FACTS:
                self._looked = now
                self.writer.transaction(self._look)
            self._fold_failing_since = None
        except Exception as error:
            self._fold_failing_since = self._fold_failing_since or self.clock.time()
            self._fold_fails_by = explained(error)
            raise
        if self.config.data.sync and now - self._synced >= self.config.data.sync:
            self._synced = now
            self.recorder.sync()
        return self.recorder.behind

    def fold(self) -> None:
        """Fold what has been recorded by now; return when it is committed. Raises what the store raises."""
        goal, before = self.recorder.journal.written, -1
        while before < self.recorder.applied < goal or before < 0:
            before = self.recorder.applied
            self.writer.run(self._fold)

    def _fold(self) -> None:
        """Raises StoreError where what is open is not what lies in the folder: nobody would find it there."""
        if trouble := self.folder.database_trouble:
            raise StoreError(trouble)
        readings = self.instruments.read()

        def transaction(apply: Callable[[sqlite3.Connection], None]) -> None:
            """One commit for what was recorded and for what was counted meanwhile: each costs a write to the disk."""

            def both(connection: sqlite3.Connection) -> None:
                apply(connection)
                if readings != self._readings:
                    write_meta(connection, INSTRUMENTS, json.dumps(readings.to_json()))

            self.writer.transaction(both)
            self._readings = readings

        self.recorder.fold(transaction)
        if readings != self._readings:
            transaction(lambda _: None)

    def _look(self, connection: sqlite3.Connection) -> None:
        """Gather the facts that cost a query or a walk through the folder."""
        self._deliveries: list[Delivery] = deliveries(connection, self.announcer.names)
        self._gaps, _ = lost_predictions(connection)
        self._damage = last_damage(connection)
        self._database_bytes = self.folder.database.stat().st_size

    # Judging: the schedule asks for it, the writer's thread does it.

    def evaluate(self, *, early: bool = False) -> Evaluation:
        """Fold what there is and evaluate every rule, now; publish and return what was committed.

        `early` ends the open window first, so that all that was recorded is judged.
        """
        try:
            return self.writer.run(lambda: self._evaluate(early))
        except sqlite3.OperationalError as error:
            raise StoreError(explained(error)) from error

    def _evaluate(self, early: bool) -> Evaluation:
        self._fold()

        def run(connection: sqlite3.Connection) -> Evaluation:
            evaluation = self.evaluator.run(connection, self.recorder.seal, early=early)
            write_meta(connection, EVALUATIONS, str(self._evaluations + 1))
            return evaluation

        evaluation = self.writer.transaction(run)
        failpoint.reach("evaluation.committed")
        self._evaluations += 1
        self.evaluator.publish(evaluation)
        self.announcer.senders.wake()
        self._maintain(evaluation.at)
        return evaluation

    def _maintain(self, now: float) -> None:
        """Roll up and drop, now and then; a round that fails is logged, and its work is done by a later one."""
        if 0 <= now - self._maintained < self.maintain_every:
            return
        self._maintained = now
        try:
            self.maintenance.work_off(self.writer, now)
        except Exception:
            log.exception("rolling up and dropping old data failed; it is tried again soon")

    def judge(self, start: float, end: float) -> tuple[DriftResult, ...]:
        """Judge the windows of a span of time by every rule; keep nothing and tell nobody."""
        return self.writer.call(lambda connection: self.evaluator.judge(connection, start, end))

    # Showing: any thread. All that is read here was published whole, after its commit.

    @property
    def latest(self) -> Evaluation:
        """The last committed evaluation."""
        return self.evaluator.latest

    @property
    def lag(self) -> float:
        """Seconds since everything that had been recorded was folded; 0 where nothing waits."""
        return self.recorder.lag

    @property
    def unfolded(self) -> bool:
        """Whether the journal has what the store has not."""
        return self.recorder.journal.waiting(self.recorder.applied)

    @property
    def dropped(self) -> int:
        """Predictions that were answered and could not be recorded, since the first start."""
        return self._dropped_before + self.recorder.journal.dropped_total

    def snapshot(self) -> Snapshot:
        """Everything that `/metrics` shows, at one moment."""
        latest, totals, readings = self.latest, self.recorder.totals, self._readings
        notifications = {
            (delivery.receiver, outcome): count
            for delivery in self._deliveries
            for outcome, count in delivery.totals.items()
        }
        health = Health(
            latency=Latency(SECONDS, readings.seconds, readings.seconds_sum),
            model_errors=readings.model_errors,
            rejected=readings.rejected,
            dropped=self.dropped,
            gaps=self._gaps,
            fold_lag=self.lag,
            journal_bytes=self.recorder.journal.bytes,
            database_bytes=self._database_bytes,
            evaluations=self._evaluations,
            evaluated=latest.at or None,
            late=self.schedule.late,
            every=self.config.drift.every,
            notifications=notifications,
            waiting=sum(delivery.pending for delivery in self._deliveries),
            dead_letters=sum(delivery.dead for delivery in self._deliveries),
        )
        batch = totals.batch
        return Snapshot(batch.counts, batch.sums, batch.n, self._since, latest.results, latest.alerts, health)

    def metrics(self, accept: str = "", accept_encoding: str = "") -> tuple[bytes, dict[str, str]]:
        """Body and headers of `/metrics`, in the format that the scraper asks for."""
        openmetrics, content_type = negotiate(accept)
        body = self._renderer.render(self.snapshot(), openmetrics)
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if accepts_gzip(accept_encoding):
            return gzip(body), {**headers, "Content-Encoding": "gzip"}
        return body, headers

    def checks(self) -> list[Check]:
        """How each part of the monitor is doing."""
        dropping = self.recorder.journal.dropping
        waiting = [delivery for delivery in self._deliveries if delivery.oldest]
        oldest = min((from_iso(delivery.oldest) for delivery in waiting if delivery.oldest), default=None)
        return [
            capture_check(
                None if dropping is None else dropping.began / 1e9,
                "" if dropping is None else dropping.reason,
                self.dropped,
                self.folder.trouble,
                *self._fresh_damage(),
            ),
            fold_check(self.writer.alive, self._fold_failing_since, self._fold_fails_by, self.lag),
            evaluation_check(
                self.schedule.failing_since, self.evaluator.failing, self.schedule.overdue, self.config.drift.every
            ),
            delivery_check(
                sum(delivery.pending for delivery in self._deliveries),
                sum(delivery.dead for delivery in self._deliveries),
                oldest,
                self.clock.time(),
            ),
        ]

    def _fresh_damage(self) -> tuple[str, float | None]:
        """What was lost of the record within the last day, and when; nothing where that is all longer ago."""
        if self._damage is None or self.clock.time() - from_iso(self._damage[0]) > DAMAGE_SHOWN:
            return "", None
        at, lost, detail = self._damage
        return f"{'an unknown number of' if lost is None else lost} predictions, {detail}", from_iso(at)

    def health(self) -> dict[str, Any]:
        """The body of `/healthz`: the worst condition, and every part's own."""
        checks = self.checks()
        return {"status": worst(checks), "checks": [check.to_json() for check in checks]}

    def status(self) -> dict[str, Any]:
        """How things stand, as `/api/status` tells it."""
        latest = self.latest
        return {
            "model_version": self.version,
            "reference": self.reference.identity,
            "predictions": self.recorder.totals.batch.n,
            "dropped": self.dropped,
            "columns": len(self.reference.schema.columns),
            "drifted": list(dict.fromkeys(result.column for result in latest.results if result.state == "drift")),
            "evaluated": iso(latest.at) if latest.at else None,
            "every": self.config.drift.every,
            "alerts": {
                state: sum(alert.state == state for alert in latest.alerts.values())
                for state in ("pending", "firing", "resolved")
            },
            "receivers": [delivery.to_json() for delivery in self._deliveries],
            **self.health(),
        }

    def alerts(self) -> list[dict[str, Any]]:
        """What `/api/alerts` lists: every alert that is not inactive."""
        return [
            {
                "rule": alert.rule,
                "column": alert.column,
                "role": alert.role,
                "state": alert.state,
                "severity": alert.severity,
                "since": iso(alert.since),
                "value": alert.value,
                "event_id": alert.event_id,
            }
            for alert in self.latest.alerts.values()
            if alert.state != "inactive"
        ]

    def windows(
        self, start: float, end: float, step: float | None, columns: Sequence[str], version: str | None
    ) -> dict[str, Any]:
        """Counts over any stretch, as `/api/windows` answers them; see `read_range`. Raises InputError."""
        connection = connect_read_only(self.folder.database)
        try:
            return read_range(connection, newest_series(connection, version), start, end, step, columns)
        finally:
            connection.close()
