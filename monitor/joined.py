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
from typing import TYPE_CHECKING, Any

from monitor.clock import Clock, SystemClock
from monitor.config.load import Config
from monitor.errors import LockedError, StoreError
from monitor.questions import CALLS, ask, make_way
from monitor.recording import NAMED, Recording, Watch, Worker, which
from monitor.store.file.folder import DataFolder, owner, refuse_second

if TYPE_CHECKING:
    from monitor.runtime import Runtime

log = logging.getLogger(__name__)

#: Held while modules are loaded: the child of a fork in the midst of it could never load them.
LOADING = threading.Lock()

#: Seconds between two looks after the journals, and at whether the folder is held.
EVERY = 0.5

#: Seconds in which a process that joins is answered, or goes on.
GREETING = 0.5

#: Seconds for which a question waits for a process that holds the folder; one that takes it over loads modules first.
TAKEOVER = 30.0


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
        self._worker = Worker(self.folder.path, watches, config, self.clock)
        self.models = self._worker.models
        try:
            self._introduce()
        except BaseException:
            self._worker.delete()
            raise
        #: Called when this process has taken the folder over, and when it lets go of it again.
        self.took_over: Callable[[], object] = lambda: None
        self.stepped_down: Callable[[], object] = lambda: None
        self._not_before = 0.0
        self._failed = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telltale-joined", daemon=True)

    def start(self) -> None:
        """Start the thread that looks after the journals, and takes the folder over if no process holds it."""
        self._thread.start()

    def find(self, name: str | None = None) -> Recording:
        """The model of a name, or the one that there is. Raises InputError if there is none, or several."""
        return self.models[which([*self.models], name)]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Ask for what `Runtime` has of this name."""
        if name not in CALLS:
            raise AttributeError(name)
        return partial(self.ask, name)

    def outcome_results(self, model: str | None, first: int, rows: int) -> dict[str, int]:
        """What became of outcomes that were recorded here; see `Runtime.outcome_results`."""
        results: dict[str, int] = self.ask("outcome_results", model, first, rows, NAMED + self._worker.key)
        return results

    def ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the runtime, in whichever process it is. Raises what it raises, and StoreError.

        Waits for a process that takes the folder over. What could be counted twice is not asked twice.
        """
        deadline = time.monotonic() + TAKEOVER
        while True:
            if self.runtime is not None:
                return getattr(self.runtime, name)(*arguments, **named)
            try:
                return ask(self.folder.path, name, arguments, named)
            except (OSError, EOFError) as error:
                sent = not isinstance(error, FileNotFoundError | ConnectionRefusedError)
                if time.monotonic() > deadline or (sent and name == "add"):
                    holder = f"process {owner(self.folder.path)}, which holds {self.folder.path}"
                    later = "what is recorded here is counted by the one that holds it next"
                    raise StoreError(f"{holder}, cannot be asked ({error!r}); {later}") from error
            time.sleep(EVERY / 10)

    def _introduce(self) -> None:
        """Have the process that holds the folder follow the journals. If it does not answer soon, it will find them.

        Raises StoreError if it does not watch such a model.
        """
        try:
            ask(self.folder.path, "join", (self._worker.key,), {}, GREETING)
        except (OSError, EOFError) as error:
            log.info("%s: the process that holds it will find this one: %s", self.folder.path, error)

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self._worker.look_after(self.config.data.sync)
                if self.runtime is None and self._heir and time.monotonic() >= self._not_before:
                    self._take_over()
                self._failed = ""
            except LockedError:
                pass
            except Exception as error:
                if self._failed != repr(error):
                    log.exception("process %d has joined %s, and fails; it goes on", os.getpid(), self.folder.path)
                self._failed = repr(error)

    def _take_over(self) -> None:
        """Hold the folder. Raises LockedError if another process does."""
        refuse_second(self.folder.path)
        runtime = load_runtime()(self.config, self.watches, self.clock)
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

    def close(self) -> None:
        """Stop, and have the rest of the journals counted: by this process if it holds the folder, or by the other."""
        self._stop.set()
        self._thread.join()
        self._worker.close()
        if self.runtime is not None:
            self.runtime.close()
            return
        try:
            ask(self.folder.path, "fold", (), {})
        except (OSError, EOFError, StoreError) as error:
            log.debug("what was recorded last is counted by the next process: %s", error)


def load_runtime() -> type[Runtime]:
    """Load what a process needs that holds the folder, and one that has joined does not."""
    with LOADING:
        from monitor.runtime import Runtime

        return Runtime


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
