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
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monitor.clock import Clock, SystemClock, iso
from monitor.config import Config
from monitor.errors import StoreError
from monitor.evaluation import Evaluation, Evaluator
from monitor.instruments import Instruments, Readings
from monitor.recorder import Recorder
from monitor.rules.alert import Transition
from monitor.schedule import Schedule
from monitor.store.database import open_database
from monitor.store.folder import DataFolder
from monitor.store.windows import add_gap, read_meta, register_model, write_meta
from monitor.store.writer import Writer
from monitor.window.reference import Reference

log = logging.getLogger(__name__)

INSTRUMENTS = "instruments"
EVALUATIONS = "evaluations"


class Pipeline:
    """Everything that watches one model. Open it, record into it, close it."""

    def __init__(self, config: Config, reference: Reference, version: str, clock: Clock | None = None) -> None:
        """Open the data folder and take up where the last process stopped. Raises StoreError or LockedError."""
        self.config, self.reference, self.version = config, reference, version
        self.clock = clock or SystemClock()
        self._pid = os.getpid()
        self.folder = DataFolder(Path(config.data.path))
        self.folder.open()
        try:
            connection, self._aside = open_database(self.folder, self.clock)
            self.writer = Writer(connection, self._tick, config.window.fold)
            self._open()
        except BaseException:
            self.folder.close()
            raise

    def _open(self) -> None:
        def prepare(connection: sqlite3.Connection) -> None:
            now = iso(self.clock.time())
            model = register_model(connection, self.version, self.reference, now)
            self.recorder = Recorder(connection, model, self.folder.journal, self.config, self.clock)
            self.evaluator = Evaluator(model, self.config, self.clock, self._announce)
            self.evaluator.restore(connection)
            self.instruments = Instruments(Readings.from_json(json.loads(read_meta(connection, INSTRUMENTS, "{}"))))
            if self._aside is not None:
                add_gap(
                    connection, "damaged", now, now, None, f"the database was damaged; it lies in {self._aside.name}"
                )

        self.writer.transaction(prepare)
        self.schedule = Schedule(self.evaluate, self.config.drift.every, self.clock)
        self._readings = self.instruments.read()
        self._synced = self.clock.monotonic()
        self._fold_failing_since: float | None = None
        self._started = self.clock.time()

    def start(self) -> None:
        """Start the threads: writer, scheduler, senders."""
        self.writer.start()
        self.schedule.start()

    def close(self) -> None:
        """Stop the threads in reverse order, fold what is left, and let go of the folder."""
        self.schedule.stop()
        try:
            self.writer.call(lambda _: None)
        except StoreError as error:
            log.warning("closing without the store: %s", error)
        self.writer.stop(self._last_fold)
        self.folder.close()

    def _last_fold(self) -> None:
        try:
            self._fold()
        finally:
            self.recorder.close()

    # Recording: any thread.

    def record(self, features: Sequence[object], predictions: Sequence[object], time_ns: int | None = None) -> str:
        """Record one prediction and return its id; see `Recorder.record`."""
        return self.recorder.record(features, predictions, time_ns)

    # Folding: the writer's thread.

    def _tick(self) -> None:
        """Fold, bring the journal to the disk now and then, and watch over the schedule."""
        self.schedule.check()
        try:
            self._fold()
            self._fold_failing_since = None
        except Exception:
            self._fold_failing_since = self._fold_failing_since or self.clock.time()
            raise
        if self.config.data.sync and self.clock.monotonic() - self._synced >= self.config.data.sync:
            self._synced = self.clock.monotonic()
            self.recorder.sync()

    def _fold(self) -> None:
        self.recorder.fold(self.writer.transaction)
        readings = self.instruments.read()
        if readings != self._readings:
            text = json.dumps(readings.to_json())
            self.writer.transaction(lambda connection: write_meta(connection, INSTRUMENTS, text))
            self._readings = readings

    # Judging.

    def evaluate(self) -> Evaluation:
        """Fold what there is and evaluate every rule, now. Called by the schedule; tests and tools may call it too."""
        return self.writer.run(self._evaluate)

    def _evaluate(self) -> Evaluation:
        self._fold()

        def run(connection: sqlite3.Connection) -> Evaluation:
            evaluation = self.evaluator.run(connection, self.recorder.seal)
            count = int(read_meta(connection, EVALUATIONS, "0")) + 1
            write_meta(connection, EVALUATIONS, str(count))
            return evaluation

        evaluation = self.writer.transaction(run)
        self.evaluator.publish(evaluation)
        return evaluation

    def _announce(
        self, connection: sqlite3.Connection, evaluation: Evaluation, transitions: Sequence[Transition], now: float
    ) -> None:
        """Turn transitions into notifications, in the transaction that stores them."""
        for transition in transitions:
            log.info("%s", transition)
        del connection, evaluation, now

    # Showing: any thread.

    @property
    def latest(self) -> Evaluation:
        """The last committed evaluation."""
        return self.evaluator.latest

    def status(self) -> dict[str, Any]:
        """How things stand, as `/api/status` and `python -m monitor status` tell it."""
        return {}

    def check_fork(self) -> None:
        """Refuse to work in a forked child: it would share the journal and the database with its parent."""
        if os.getpid() != self._pid:
            raise StoreError("the monitor was opened before a fork; open it in the process that records")


def thread_names() -> list[str]:
    """Names of the running threads, for health pages and tests."""
    return sorted(thread.name for thread in threading.enumerate())
