"""Folding: what sources hand over is committed with their cursors, and with what the process counted about itself."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial

from monitor import failpoint
from monitor.clock import Clock, iso
from monitor.columns.batch import Batch
from monitor.errors import StoreError
from monitor.instruments import Instruments, Readings
from monitor.journals import Journals
from monitor.source.outcomes import OutcomeSource
from monitor.source.protocol import Handover
from monitor.store.file.folder import DataFolder
from monitor.store.file.writer import Writer
from monitor.store.windows.ledger import Ledger, read_cursor
from monitor.store.windows.rows import read_meta, write_meta
from monitor.watched import Watched
from monitor.workers import Workers

#: Key of `meta` with what the process counted; with a model's name behind it, what is counted of that one of several.
INSTRUMENTS = "instruments"


def read_instruments(connection: sqlite3.Connection, model: str = "") -> Instruments:
    """Load what was counted before, of the process or of one of several models."""
    key = f"{INSTRUMENTS}/{model}" if model else INSTRUMENTS
    return Instruments(key, Readings(**json.loads(read_meta(connection, key, "{}"))))


class Folding:
    """Enters what all sources have; on the writer's thread, but for `add`. `instruments`: of the process."""

    def __init__(
        self,
        folder: DataFolder,
        clock: Clock,
        writer: Writer,
        ledger: Ledger,
        journals: Journals,
        workers: Workers,
        instruments: Instruments,
    ) -> None:
        self._folder, self._clock, self._writer, self._ledger = folder, clock, writer, ledger
        self._journals, self._workers, self._instruments = journals, workers, instruments
        #: What was counted up to the last commit, by key of `meta`.
        self.readings = self._read()

    def _read(self) -> dict[str, Readings]:
        of_models = {model.instruments for model in self._journals.models.values()}
        return {instruments.key: instruments.read() for instruments in {self._instruments, *of_models}}

    def fold(self) -> None:
        """Enter what has come by now. Raises StoreError if the database file was replaced: writes would be lost."""
        self._refuse_replaced()
        readings, journals = self._read(), self._journals
        for source in journals.sources:
            if isinstance(source, OutcomeSource):
                source.read_ahead()
        self._workers.discover()
        for source in journals.sources:
            with closing(source.read()) as handovers:
                for handover in handovers:
                    self._keep(source.name, handover, readings)
        if readings != self.readings:
            self._keep("", None, readings)
        self._journals.put_away()

    def add(self, model: Watched, batch: Batch, time: float | None, key: int, base: int) -> bool:
        """Commit counts of some predictions of a model, in the base window of a moment, now by default.

        `key`: hash of the caller's own id, 0 for none. A batch with an id counts as a source of its own. Once committed
        it has a cursor, so a second batch with the same id is not counted and False is returned. Raises what the store
        raises.
        """
        series, now = model.series, self._clock.time()
        source = f"batch/{series.id}/{key:016x}" if key else "batch"
        time = now if time is None else time
        window = series, math.floor(time / base) * base
        counts = {window: Batch(batch.n, batch.counts, batch.sums)} if batch.n else {}
        handover = Handover(iso(now), counts, model.source.named(batch.unseen), rows=batch.n, newest=time)

        def commit() -> bool:
            self._refuse_replaced()
            if key and self._writer.transaction(partial(read_cursor, source=source)):
                return False
            self._keep(source, handover, self._read())
            return True

        return self._writer.run(commit)

    def _refuse_replaced(self) -> None:
        if trouble := self._folder.database_trouble:
            raise StoreError(trouble)

    def _keep(self, source: str, handover: Handover | None, readings: Mapping[str, Readings]) -> None:
        """Commit what was handed over together with what was counted meanwhile: one write to the disk."""

        def keep(connection: sqlite3.Connection) -> None:
            if handover is not None:
                self._ledger.keep(connection, source, handover, iso(self._clock.time()))
            for key, counted in readings.items():
                if counted != self.readings.get(key):
                    write_meta(connection, key, json.dumps(asdict(counted)))

        failpoint.reach("fold.begin")
        try:
            self._writer.transaction(keep)
        except BaseException:
            self._ledger.forget()
            raise
        self._ledger.commit()
        self.readings = dict(readings)
        failpoint.reach("fold.committed")
