"""A process that joins the one that holds the data folder: it records in journals of its own, and asks the other.

When the process that holds the folder ends, one of those that have joined takes it over, and goes on recording as it
did: its journals are followed like those of any other.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from monitor.capture.journal import Journal
from monitor.clock import Clock, SystemClock
from monitor.config.load import Config
from monitor.errors import InputError, LockedError, StoreError
from monitor.questions import CALLS, ask, make_way
from monitor.runtime import Runtime
from monitor.source.outcomes import PREDICTED, OutcomeRecorder
from monitor.source.recorder import Record, Recorder, open_journal
from monitor.store.file.folder import OUTCOMES, DataFolder, WorkerFolder, owner, refuse_second
from monitor.watched import Watch
from monitor.workers import NAMED, REFERENCE

log = logging.getLogger(__name__)

#: Seconds between two looks after the journals, and at whether the folder is held.
EVERY = 0.5

#: Seconds in which a process that joins is answered, or goes on.
GREETING = 0.5

#: Seconds for which a question waits for a process that holds the folder.
TAKEOVER = 10.0


class JoinedModel:
    """A model of which this process records predictions."""

    pulled = None

    def __init__(self, watch: Watch, folder: Path, config: Config, clock: Clock) -> None:
        self.name, self.version, self.reference = watch.name, watch.version, watch.reference
        schema = watch.reference.schema
        folder.mkdir()
        watch.reference.save(folder / REFERENCE)
        self.recorder = Recorder(folder / "journal", schema, config, clock)
        self.record: Record = self.recorder.record
        self.outcome_recorder: OutcomeRecorder | None = None
        if config.outcomes is not None:
            width = PREDICTED + len(schema.predictions)
            journal = open_journal(folder / OUTCOMES, schema, width, config, clock)
            self.outcome_recorder = OutcomeRecorder(journal, watch.reference.target, len(schema.predictions))


class Joined:
    """A process that has joined. Knows what may be asked of `Runtime` (`CALLS`), and has the process answer that can.

    `runtime`: once this process holds the folder itself.
    """

    runtime: Runtime | None = None

    def __init__(self, config: Config, watches: Sequence[Watch], clock: Clock | None = None, heir: bool = True) -> None:
        """Begin journals in a folder of their own. `heir`: whether this process may take the data folder over.

        Raises StoreError, or LockedError if the counts of a model are pulled: that one process does.
        """
        self.config, self.watches, self.clock, self._heir = config, watches, clock or SystemClock(), heir
        self.folder = DataFolder(Path(config.data.path))
        if any(config.of(watch.name).source.kind != "journal" for watch in watches):
            path = self.folder.path
            raise LockedError(f"{path}: process {owner(path)} pulls the counts; another one has nothing to record")
        self._own = WorkerFolder(self.folder.path)
        self.models: dict[str, JoinedModel] = {}
        try:
            for watch in watches:
                place, own = self._own.path / watch.name, config.of(watch.name) if config.models else config
                self.models[watch.name] = JoinedModel(watch, place, own, self.clock)
            models = {one.name: {"token": one.recorder.token, "version": one.version} for one in self.models.values()}
            self._own.say({"pid": os.getpid(), "models": models})
            self._introduce()
        except BaseException:
            self._close_journals()
            self._own.delete()
            raise
        #: Called when this process has taken the folder over, and when it lets go of it again.
        self.took_over: Callable[[], object] = lambda: None
        self.stepped_down: Callable[[], object] = lambda: None
        self._not_before = 0.0
        self._failed = ""
        self._synced = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telltale-joined", daemon=True)

    def start(self) -> None:
        """Start the thread that looks after the journals, and takes the folder over if nobody holds it."""
        self._thread.start()

    def find(self, name: str | None = None) -> JoinedModel:
        """The model of a name, or the one that there is. Raises InputError if there are several."""
        if name is None and len(self.models) != 1:
            message = f"there are several models; say which: {', '.join(self.models)}"
            raise InputError("which_model", message, "model", 404)
        return self.models[name or next(iter(self.models))]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Ask for what `Runtime` has of this name."""
        if name not in CALLS:
            raise AttributeError(name)
        return partial(self.ask, name)

    def told(self, model: str | None, first: int, rows: int) -> dict[str, int]:
        """What became of outcomes that were recorded here; see `Runtime.told`."""
        found: dict[str, int] = self.ask("told", model, first, rows, NAMED + self._own.key)
        return found

    def ask(self, name: str, *given: Any, **named: Any) -> Any:
        """Call a method of the runtime, in whichever process it is. Raises what it raises, and StoreError.

        Waits for a process that takes the folder over. What could be counted twice is not asked twice.
        """
        deadline = time.monotonic() + TAKEOVER
        while True:
            if self.runtime is not None:
                return getattr(self.runtime, name)(*given, **named)
            try:
                return ask(self.folder.path, name, given, named)
            except (OSError, EOFError) as error:
                sent = not isinstance(error, FileNotFoundError | ConnectionRefusedError)
                if time.monotonic() > deadline or (sent and name == "add"):
                    raise StoreError(
                        f"process {owner(self.folder.path)}, which holds {self.folder.path}, cannot be asked "
                        f"({error!r}); what is recorded here is counted by the one that holds it next"
                    ) from error
            time.sleep(EVERY / 10)

    def _introduce(self) -> None:
        """Have the process that holds the folder follow the journals. If it does not answer soon, it will find them.

        Raises StoreError if it does not watch such a model.
        """
        try:
            ask(self.folder.path, "join", (self._own.key,), {}, GREETING)
        except (OSError, EOFError) as error:
            log.info("%s: the process that holds it will find this one: %s", self.folder.path, error)

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self._look_after()
                if self.runtime is None and self._heir and time.monotonic() >= self._not_before:
                    self._take_over()
                self._failed = ""
            except LockedError:
                pass
            except Exception as error:
                if self._failed != repr(error):
                    log.exception("process %d has joined %s, and fails; it goes on", os.getpid(), self.folder.path)
                self._failed = repr(error)

    def _look_after(self) -> None:
        """Do for the journals what is done between folds in the process that holds the folder."""
        for model in self.models.values():
            model.recorder.names.refresh()
        for journal in self._journals:
            journal.maintain()
            journal.let_go()
        now, every = self.clock.monotonic(), self.config.data.sync
        if every and now - self._synced >= every:
            self._synced = now
            for journal in self._journals:
                journal.sync()

    def _take_over(self) -> None:
        """Hold the folder, if nobody does. Raises LockedError if another process does."""
        refuse_second(self.folder.path)
        runtime = Runtime(self.config, self.watches, self.clock)
        runtime.step_down = self._step_down
        runtime.start()
        self.runtime = runtime
        log.warning("process %d has taken over %s: it judges and alerts from now on", os.getpid(), self.folder.path)
        self.took_over()

    def _step_down(self) -> bool:
        """Let a server have the folder, and ask it from then on."""
        runtime, self.runtime = self.runtime, None
        if runtime is None:
            return False
        self._not_before = time.monotonic() + TAKEOVER
        log.warning("process %d lets a server have %s", os.getpid(), self.folder.path)
        self.stepped_down()
        threading.Thread(target=runtime.close, name="telltale-stepping-down").start()  # this answer is given first
        return True

    @property
    def _journals(self) -> list[Journal]:
        models = self.models.values()
        return [one.recorder.journal for one in models] + [
            one.outcome_recorder.journal for one in models if one.outcome_recorder
        ]

    def _close_journals(self) -> None:
        for journal in self._journals:
            journal.close(0)

    def close(self) -> None:
        """Stop, and leave the journals to whoever holds the folder: this process, for the last time, or another."""
        self._stop.set()
        self._thread.join()
        self._close_journals()
        self._own.close()
        if self.runtime is not None:
            self.runtime.close()
            return
        try:
            ask(self.folder.path, "fold", (), {})
        except (OSError, EOFError, StoreError) as error:
            log.debug("what was recorded last is counted by the next process: %s", error)


def hold(data: Path, opening: Callable[[], Runtime]) -> Runtime:
    """Hold the folder for a server: a process that only took it over lets go. Raises LockedError if another has it."""
    deadline = time.monotonic() + TAKEOVER
    while True:
        try:
            return opening()
        except LockedError:
            if time.monotonic() > deadline or not make_way(data):
                raise
        time.sleep(0.02)
