"""Journals of other processes that use the data folder: found, followed, and removed once their process has ended.

For the writer's thread of the process that holds the folder.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Callable, Set
from functools import partial
from pathlib import Path
from typing import Any

from monitor.clock import Clock, iso
from monitor.drift.result import Subject
from monitor.errors import StoreError, TelltaleError
from monitor.journals import Journals
from monitor.recording import NAMED, REFERENCE, Worker
from monitor.reference.file import Reference
from monitor.store.file.folder import DESCRIPTION, DONE, WORKERS, DataFolder, has_ended, workers
from monitor.store.windows.ledger import drop_cursors, strays
from monitor.store.windows.rows import add_gap, register_series
from monitor.watched import Watched

log = logging.getLogger(__name__)


class Workers:
    """The workers of a data folder. `transaction` runs a function of the connection."""

    def __init__(
        self,
        folder: DataFolder,
        clock: Clock,
        transaction: Callable[[Callable[[sqlite3.Connection], Any]], Any],
        journals: Journals,
    ) -> None:
        self._folder, self._clock, self._transaction, self._journals = folder, clock, transaction, journals
        #: Models of each worker that are followed, by its key.
        self._followed: dict[str, set[str]] = {}
        #: Keys of workers: all of whose models are followed, whose process has ended, that were refused.
        self._complete: set[str] = set()
        self._ended: set[str] = set()
        self._refused: set[str] = set()
        self._looked = False
        #: Where this process records versions that took over, by model, and those that were replaced, until when.
        self._own: dict[str, Worker] = {}
        self._replaced: list[tuple[float, Worker]] = []

    def discover(self) -> None:
        """Follow workers that have come, and note which have ended. Call it between outcomes and predictions."""
        paths = workers(self._folder.path)
        if not self._looked:
            self._transaction(partial(self._note_lost, {NAMED + path.stem for path in paths}))
            self._looked = True
        for path in paths:
            if path.name in self._complete | self._refused:
                continue
            if path.suffix == DONE or (has_ended(path) and not (path / DESCRIPTION).exists()):
                self._discard(path)
            elif (path / DESCRIPTION).exists():
                try:
                    self.join(path.name)
                except TelltaleError as error:
                    self._refused.add(path.name)
                    log.error("%s is left as it is: %s", path, error)
        for key in self._followed.keys() - self._ended:
            path = self._folder.path / WORKERS / key
            if not path.exists() or has_ended(path):
                self._ended.add(key)
                for model in self._followed[key]:
                    self._journals.retire(model, NAMED + key, partial(self._remove, key, model))

    def _note_lost(self, there: Set[str], connection: sqlite3.Connection) -> None:
        """Note a gap for workers that have a cursor and no folder: the database is older than their folders were."""
        for key in strays(connection, NAMED, there):
            now, detail = iso(self._clock.time()), "the database fell back behind the journal of a worker"
            log.error("%s, %s; lost: an unknown number of predictions", detail, key)
            add_gap(connection, "damaged", now, now, None, f"{detail}, {key}")
            drop_cursors(connection, key)

    def take_over(self, model: Watched, worker: Worker, until: float) -> None:
        """Record another version of a model in journals of this process's own from now on.

        `until`: on the monotonic clock, when nothing is recorded any more of the version before.
        """
        if model.name in self._own:
            self._replaced.append((until, self._own[model.name]))
        self._own[model.name], self._followed[worker.key] = worker, {model.name}
        self._complete.add(worker.key)
        assert model.own is not None
        self._journals.take_up(model, NAMED + worker.key, model.own)

    def look_after_own(self, sync: float) -> None:
        """Do what is due for this process's own; see `Worker.look_after`."""
        now = self._clock.monotonic()
        for until, worker in self._replaced:
            if until <= now:
                worker.close()
        self._replaced = [(until, worker) for until, worker in self._replaced if until > now]
        for worker in self._all_own():
            worker.look_after(sync)

    def close_own(self) -> None:
        """Record nothing more."""
        for worker in self._all_own():
            worker.close()

    def _all_own(self) -> list[Worker]:
        return [*self._own.values(), *(worker for _, worker in self._replaced)]

    def join(self, key: str) -> None:
        """Follow the journals of a worker. Raises StoreError for one that records for a model that is not here."""
        if key in self._complete:
            return
        path = self._folder.path / WORKERS / key
        try:
            worker: dict[str, Any] = json.loads((path / DESCRIPTION).read_text("utf-8"))
            recorded = {name: (str(of["token"]), str(of["version"])) for name, of in worker["models"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise StoreError(f"what it says of itself cannot be read: {error!r}") from error
        models = self._journals.models
        if unknown := sorted(recorded.keys() - models.keys()):
            what = f"process {worker.get('pid')} records for {', '.join(unknown)}"
            raise StoreError(f"{what}, and the process that holds {self._folder.path} watches {', '.join(models)}")
        for name, (token, version) in recorded.items():
            served, reference = models[name], Reference.load(path / name / REFERENCE)
            series = None
            if (version, reference.identity) != (served.version, served.reference.identity):
                subject, now = Subject(name, version), iso(self._clock.time())
                register = partial(register_series, subject=subject, reference=reference, now=now, served=False)
                series = self._transaction(register)
                log.warning(
                    "process %s records for version %s of model %s, with reference %s: it is counted for that, and "
                    "judged once a process of that version holds the folder; this one judges %s",
                    *(worker.get("pid"), version, name, reference.identity[:12], served.version),
                )
            if name not in self._followed.setdefault(key, set()):
                self._journals.add(name, NAMED + key, token, 1, path / name, series)
                self._followed[key].add(name)
        self._complete.add(key)

    def _remove(self, key: str, model: str) -> None:
        """Remove the folder of a worker that has ended once everything of its last model is committed."""
        self._followed[key].discard(model)
        if not self._followed[key]:
            self._ended.discard(key)
            self._complete.discard(key)
            del self._followed[key]
            path = self._folder.path / WORKERS / key
            self._discard(path.rename(path.with_suffix(DONE)) if path.exists() else path)

    def _discard(self, path: Path) -> None:
        """Forget a worker of which everything is in the database; what was damaged is kept beside the journal."""
        self._transaction(lambda connection: drop_cursors(connection, NAMED + path.stem))
        for damaged in path.rglob("*.damaged"):
            damaged.rename(self._folder.journal / f"{path.stem}-{damaged.name}")
        shutil.rmtree(path, ignore_errors=True)
