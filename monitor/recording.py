"""Recording predictions, and their outcomes, in journals that the process which holds a data folder follows.

In a folder of its own: for the server that a client sends to, for the process that one has joined, and for a version of
a model that took over from another one in this process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monitor.capture.journal import Journal
from monitor.clock import Clock
from monitor.columns.column import clean_text
from monitor.config.load import Config
from monitor.config.settings import did_you_mean
from monitor.drift.result import MODEL
from monitor.errors import InputError
from monitor.reference.file import Reference
from monitor.source.outcomes import OutcomeRecorder
from monitor.source.recorder import Record, Recorder
from monitor.store.file.folder import JOURNAL, OUTCOMES, WorkerFolder

#: What the keys of workers' journals begin with in the database.
NAMED = "worker/"

#: Name of a reference in a worker's folder of a model.
REFERENCE = "reference.prom"


class Watch(NamedTuple):
    """What is to be watched. `journal`: name of its folder beside other journals; empty for the only one."""

    reference: Reference
    version: str
    name: str = MODEL
    journal: str = ""


def which(names: Sequence[str], name: str | None = None) -> str:
    """A name among those of models, or the only one. Raises InputError for an unknown name, or none of several."""
    if name is not None:
        if name in names:
            return name
        hint = did_you_mean(name[:100], names)
        message = f"there is no model {clean_text(name)[:100]!r}{hint}; known are: {', '.join(names)}"
        raise InputError("unknown_model", message, "model", 404)
    if len(names) != 1:
        raise InputError("which_model", f"there are several models; say which: {', '.join(names)}", "model", 404)
    return names[0]


class Recording:
    """Records predictions of a model in `folder`/journal, and outcomes, if the model takes them, in `folder`/outcomes.

    `token`: what the ids begin with.
    """

    pulled = None

    def __init__(self, folder: Path, watch: Watch, config: Config, clock: Clock, token: str = "") -> None:
        self.name, self.version, self.reference = watch.name, watch.version, watch.reference
        schema = watch.reference.schema
        self.recorder = Recorder(folder / JOURNAL, schema, config, clock, token=token)
        self.record: Record = self.recorder.record
        self.journals: dict[str, Journal] = {JOURNAL: self.recorder.journal}
        self.outcome_recorder: OutcomeRecorder | None = None
        if config.outcomes is not None:
            self.outcome_recorder = OutcomeRecorder(folder / OUTCOMES, schema, watch.reference.target, config, clock)
            self.journals[OUTCOMES] = self.outcome_recorder.journal


class Worker:
    """Journals of this process beside those of the one that holds the data folder, which follows them (`workers.py`).

    `models`: by name.
    """

    def __init__(self, data: Path, watches: Sequence[Watch], config: Config, clock: Clock) -> None:
        """Begin them, and say what they are. Raises StoreError."""
        self._folder, self._clock, self._synced = WorkerFolder(data), clock, 0.0
        self.path, self.key, self.models = self._folder.path, self._folder.key, dict[str, Recording]()
        try:
            for watch in watches:
                place = self.path / watch.name
                place.mkdir()
                watch.reference.save(place / REFERENCE)
                self.models[watch.name] = Recording(place, watch, config.share(watch.name), clock)
            models = {one.name: {"token": one.recorder.token, "version": one.version} for one in self.models.values()}
            self._folder.describe({"pid": os.getpid(), "models": models})
        except BaseException:
            self.delete()
            raise

    @property
    def _journals(self) -> list[Journal]:
        return [journal for model in self.models.values() for journal in model.journals.values()]

    def look_after(self, sync: float) -> None:
        """Do what is due between two folds. `sync`: seconds between two times when it reaches the disk."""
        for model in self.models.values():
            model.recorder.names.refresh()
        for journal in self._journals:
            journal.maintain()
            journal.let_go()
        now = self._clock.monotonic()
        if sync and now - self._synced >= sync:
            self._synced = now
            for journal in self._journals:
                journal.sync()

    def close(self) -> None:
        """Record nothing more, and leave the journals to the process that holds the data folder."""
        for journal in self._journals:
            journal.close(0)
        self._folder.close()

    def delete(self) -> None:
        """Close and delete the journals: no process follows them yet."""
        for journal in self._journals:
            journal.close(0)
        self._folder.delete()
