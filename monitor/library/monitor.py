"""The monitor inside another program: no server, no Flask. All of it works in the program's own process."""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, cast

import numpy as np

from monitor.clock import Clock, SystemClock, iso
from monitor.columns.batch import Batch
from monitor.columns.column import Schema
from monitor.config.load import Config
from monitor.counting import fitting
from monitor.drift.result import DriftResult, Span
from monitor.errors import ConfigError, InputError, LockedError, StoreError, TelltaleError
from monitor.joined import LOADING, Joined, load_runtime
from monitor.library.observing import FLUSH_EVERY, Observing, Time, check_on_error, record_outcomes, refuse_closed
from monitor.library.scrape import ScrapeServer
from monitor.outcomes.waiting import key_of
from monitor.recording import Recording, Watch
from monitor.reference.file import Reference
from monitor.source.recorder import Recorder
from monitor.store.file.database import one_moment
from monitor.store.file.folder import database_is_open, held_here, refuse_second
from monitor.tables.rows import time_ns

if TYPE_CHECKING:
    from monitor.library.client import Client
    from monitor.report.file import Report
    from monitor.runtime import Runtime
    from monitor.watched import Watched

log = logging.getLogger(__name__)


class Monitor(Observing):
    """Watches a model from within the program that runs it, or several. All methods may be called from any thread.

    `observe` takes no lock and does not wait for the disk: a few microseconds, also within an asyncio loop. Everything
    that was observed survives the death of the process, also by SIGKILL. Where another process has the folder open, and
    in the child of a fork, it joins: it records in a journal of its own, which that process folds.

    `error`: why it records nothing; None if it works. `models`: a monitor for each `[models.NAME]`, by name, that does
    what is about one model; of a single model it is this one.
    """

    _scrape: ScrapeServer | None = None
    _port: int | None = None

    def __init__(self, runtime: Runtime | Joined, metrics_port: int | None = None) -> None:
        """Take over a runtime that is not started yet, and start it; `open` is the usual way."""
        self._runtime, self._root, self._port = runtime, self, metrics_port
        self._pid = os.getpid()
        if metrics_port is not None and not isinstance(runtime, Joined):
            self._scrape = ScrapeServer(runtime, metrics_port)
        self._open, self._name = True, ""
        self.models: dict[str, Monitor] = {}
        for name, watched in runtime.models.items():
            self.models[name] = monitor = self if len(runtime.models) == 1 else copy(self)
            monitor._watch(watched)
        if len(runtime.models) != 1:
            for name in ("observe", "observe_many", "add", "outcome", "outcome_many"):
                setattr(self, name, self._refuse_nameless)
        self._start()

    def _start(self) -> None:
        if isinstance(self._runtime, Joined):
            self._runtime.took_over, self._runtime.stepped_down = self._serve_metrics, self._stop_metrics
        self._runtime.start()
        if self._scrape is not None:
            self._scrape.start()
        _opened.add(self)

    def _serve_metrics(self) -> None:
        """Take over the port of the process that had it. Raises ConfigError if another program has taken it."""
        if self._port is not None:
            self._scrape = ScrapeServer(self._runtime, self._port)
            self._scrape.start()

    def _stop_metrics(self) -> None:
        scrape, self._scrape = self._scrape, None
        if scrape is not None:
            scrape.stop()

    def _rejoin(self) -> None:
        """In the child of a fork: join, with what the parent has opened."""
        root, old = self._root, self._root._runtime
        with _rejoining:
            if root._pid == os.getpid():
                return
            root._runtime = runtime = Joined(old.config, old.watches, old.clock, heir=not _unfit)
            root._scrape, root._pid = None, os.getpid()
            for monitor in (root, *root.models.values()):
                monitor._runtime, monitor._pid = runtime, root._pid
                if monitor._name:
                    monitor._watch(runtime.find(monitor._name))
            _parents.append(old)
            root._start()

    def _rejoin_and_record(self, *row: Any) -> int:
        self._rejoin()
        return self._record(*row)

    def _watch(self, watched: Watched | Recording) -> None:
        """Be about one model."""
        self._name, prefix = watched.name, watched.recorder.prefix if watched.pulled is None else ""
        self._watch_columns(watched.reference.schema, watched.record, prefix)

    @property
    def _model(self) -> Watched | Recording:
        """The model that this is about. Raises InputError if it is about several."""
        return self._runtime.find(self._name or None)

    def _refuse_nameless(self, *_: Any, **__: Any) -> NoReturn:
        such = f"models[{next(iter(self.models))!r}].observe"
        raise InputError("which_model", f"there are several models; say which, as in {such}", None, 422)

    @classmethod
    def open(
        cls,
        config: str | os.PathLike[str] | Config | None = None,
        *,
        reference: Reference | str | os.PathLike[str] | None = None,
        data: str | os.PathLike[str] | None = None,
        version: str | None = None,
        metrics_port: int | None = None,
        on_error: Literal["raise", "log"] = "raise",
        clock: Clock | None = None,
    ) -> Self:
        """Open the data folder and start watching, or join the process that has it open.

        `config`: a settings file, settings, or None for `config.toml` if there is one. `reference`, `data` and
        `version` win over what the settings say. `metrics_port` serves `/metrics` and `/healthz` on loopback (0 takes
        any free port: see `metrics_address`); of several processes, the one that holds the folder does.

        Raises ConfigError, ReferenceFileError, StoreError, or LockedError if the folder is open in this process. With
        `on_error="log"` neither this nor any method raises: a method that fails logs the error when its kind is first
        met and returns nothing of its kind (an empty id, no verdicts). If the monitor cannot start, it records nothing;
        the log and `error` say why.
        """
        check_on_error(on_error)
        try:
            settings = config if isinstance(config, Config) else Config.load(config)
            if data is not None:
                settings = settings.at(str(data))
            if settings.models and not (reference is None and version is None):
                raise ConfigError("reference, version: with [models.NAME] the settings say them, for each model")
            if not (isinstance(reference, Reference) or settings.models):
                reference = Reference.load(settings.model.reference if reference is None else reference)
            if isinstance(reference, Reference):
                name, version = settings.model.name, version or version_of(settings, reference)
                watches = [Watch(reference, version, name)]
            else:
                watches = [observed(settings.of(name)) for name in settings.names]
            runtime = hold_or_join(settings, watches, clock)
            try:
                monitor = cls(runtime, metrics_port)
            except BaseException:
                runtime.close()
                raise
        except Exception as error:
            if on_error == "raise":
                raise
            monitor = cls._failed(error)
        if on_error == "log":
            monitor._never_raise()
        return monitor

    @staticmethod
    def connect(
        url: str,
        *,
        spool: str | os.PathLike[str],
        model: str | None = None,
        token: str | None = None,
        spool_size: str = "1GB",
        on_error: Literal["raise", "log"] = "raise",
        clock: Clock | None = None,
    ) -> Client:
        """Record for a server elsewhere: a monitor that only observes, and judges nothing.

        What is observed waits in the folder `spool` until the server has it, at most `spool_size` of it; worker
        processes may share the folder. `model`: which one, if the server watches several. `token`: that of the server.

        Raises ConfigError, StoreError, and UnsentError if neither server nor spool says what the columns are. With
        `on_error="log"` nothing is raised, as by `open`; without a server it begins once there is one.
        """
        from monitor.library.client import Client  # it loads an HTTP client

        return Client.connect(url, Path(spool), spool_size, model, token, on_error, clock or SystemClock())

    @classmethod
    def _failed(cls, error: Exception) -> Self:
        """Return a monitor that could not start, and log why."""
        monitor = cls.__new__(cls)
        monitor.models = defaultdict(lambda: monitor)
        monitor.error = str(error) if isinstance(error, TelltaleError) else f"{type(error).__name__}: {error}"
        what = "the monitor did not start; predictions go on and are not recorded"
        log.error("%s: %s; fix that and start the service again", what, monitor.error)
        return monitor

    def _never_raise(self) -> None:
        super()._never_raise()
        for monitor in self.models.values():
            if not monitor._quiet:
                monitor._never_raise()

    @property
    def _recorder(self) -> Recorder:
        return self._model.recorder

    def _flush(self) -> None:
        self._runtime.fold()

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Monitor that records nothing: {self.error}>"
        state = "open" if self._open else "closed"
        what = ", ".join(model.version for model in self._runtime.models.values() if self._name in ("", model.name))
        return f"<Monitor of model {what} in {self._runtime.folder.path}, {state}>"

    def close(self) -> None:
        """Fold what is left, stop the threads, let go of the folder. Again, or in a forked child, it does nothing.

        A program that ends by itself does it too.
        """
        if not self._open or os.getpid() != self._pid or (self not in _opened):
            return
        _opened.discard(self)
        for monitor in (self, *self.models.values()):
            monitor._open, monitor._record = False, refuse_closed
        self._stop_metrics()
        try:
            if not isinstance(self._runtime, Joined):
                self._runtime.fold()
        except Exception:
            log.exception("what was observed last could not be folded; the next start does it")
        self._runtime.close()

    # Recording.

    def add(self, batch: Batch, time: Time | None = None, id: str | int | None = None) -> bool:  # noqa: A002
        """Count what `tally` counted elsewhere, in the base window of `time`, now by default.

        It is in the store when this returns. `id`: of the batch, such as the day and the job that it is of; one that
        comes again with the same id, also after a crash, is not counted. Returns whether it was counted.

        Raises InputError for a batch of another reference, or one that was changed; StoreError if the store takes none.
        """
        runtime, at = self._usable(), None if time is None else time_ns(time) / 1e9
        key = 0 if id is None else key_of(str(id))
        return runtime.add(self._name or None, fitting(batch, self.reference), at, key)

    def outcome_many(self, ids: Any, values: Any, times: Any = None, *, wait: bool = False) -> dict[str, int]:
        """Record what came true for predictions, in the order in which it came.

        `ids`: what `observe` returned, or the program's own. `values`: numbers or classes, shape (n,); None takes an
        outcome back. `times`: when they became known, now by default. With `wait` the outcomes are folded now.

        Returns how many were `accepted`, and with `wait` what became of them (`monitor.outcomes.join.RESULTS`). Raises
        InputError for what is no outcome of this model, StoreError without `[outcomes]` in the settings.
        """
        runtime = self._usable()
        if self._model.pulled is not None:
            self._model.pulled.refuse()
        recorder = self._model.outcome_recorder
        if recorder is None:
            raise StoreError("outcomes are not kept: add the section [outcomes] to the settings")
        results: Counter[str] = Counter(accepted=0)
        for first, rows in record_outcomes(recorder, ids, values, times):
            results["accepted"] += rows
            if wait or results["accepted"] > FLUSH_EVERY:
                joined = runtime.outcome_results(self._name, first, rows)
                results.update(joined if wait else {})
        return dict(results)

    # Judging and showing.

    def flush(self) -> None:
        """Bring what was observed into the store, now; otherwise that happens once a second."""
        self._usable().fold()

    def evaluate(self, *, now: bool = False) -> tuple[DriftResult, ...]:
        """Judge by every rule, with all that follows (verdicts kept, alerts moved on, messages sent).

        The schedule does so each minute ([drift] every) by itself. Only windows that have ended are judged; `now` ends
        the open one first, so that all that was observed up to now counts.
        """
        self._usable().evaluate(early=now)
        return self.drift()

    def judge(self, start: Time, end: Time) -> tuple[DriftResult, ...]:
        """Judge what was observed from `start` to before `end` by every rule: the answer of a batch job.

        It stores nothing and sends no message. Both are taken to whole base windows, outwards.
        """
        runtime = self._usable()
        span = _span(start, end)
        runtime.fold()
        return runtime.judge(span.start, span.end, name=self._name or None)

    def judge_counts(self, batch: Batch) -> tuple[DriftResult, ...]:
        """Judge what `tally` counted by every rule, as one window. It stores nothing and sends no message.

        Raises InputError for a batch of another reference, or one that was changed.
        """
        runtime = self._usable()
        now = runtime.clock.time()
        return runtime.judge(now, math.nextafter(now, math.inf), fitting(batch, self.reference), self._name or None)

    def report(self, start: Time | None = None, end: Time | None = None) -> Report:
        """Judge what was observed from `start` to before `end` as a whole, for a notebook or a file.

        Without them: the last day, up to now. All that was observed up to now counts, also in the window that has not
        ended; the report says how much that is. It stores nothing and sends no message.
        """
        from monitor.report import file  # templates and figures, which a service does not need

        runtime, config = self._usable(), self._runtime.config.of(self._name or None)
        now = runtime.clock.time()
        until = now if end is None else end
        span = _span(time_ns(until) / 1e9 - 86_400 if start is None else start, until)
        runtime.fold()
        with one_moment(runtime.folder.database) as connection:
            report = file.gather(connection, config, span, now, config.model.name)
            return replace(report, page=file.to_html(connection, report, config))

    def status(self) -> dict[str, Any]:
        """How things stand: predictions, drifted columns, alerts, receivers, health; as `/api/status` tells it."""
        return self._usable().status(self._name or None)

    def drift(self) -> tuple[DriftResult, ...]:
        """The verdicts of the last evaluation, one for each rule, column and statistic.

        Those without enough rows say if rows wait in a window that has not ended.
        """
        if not self._name:
            return tuple(result for monitor in self.models.values() for result in monitor.drift())
        return self._usable().drift(self._name)

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are pending, firing or just resolved; as `/api/alerts` lists them."""
        return self._usable().alerts(self._name or None)

    def metrics(self, accept: str = "") -> tuple[bytes, str]:
        """Body and content type of `/metrics`, for a route of your own; `accept` is the request's header."""
        body, headers = self._usable().metrics(accept)
        return body, headers["Content-Type"]

    @property
    def metrics_address(self) -> str | None:
        """Where `/metrics` is served, such as `http://127.0.0.1:9100/metrics`; None without `metrics_port`."""
        if self._scrape is None and self._port:
            return f"http://127.0.0.1:{self._port}/metrics"
        return None if self._scrape is None else self._scrape.address

    @property
    def reference(self) -> Reference:
        """What the model is compared with; one without columns if the monitor could not start."""
        if self.error is None:
            return self._model.reference
        return Reference(Schema(()), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))

    @property
    def version(self) -> str:
        """Name of the model version; "" if the monitor could not start."""
        return self._model.version if self.error is None else ""

    def _usable(self) -> Runtime:
        """The runtime, or what asks it. Joins in the child of a fork. Raises StoreError after `close`."""
        if not self._open:
            refuse_closed()
        if os.getpid() != self._pid:
            self._rejoin()
        return cast("Runtime", self._runtime)


def hold_or_join(config: Config, watches: Sequence[Watch], clock: Clock | None = None) -> Runtime | Joined:
    """Hold the data folder, or join the process that does. Raises LockedError if this one does."""
    path = Path(config.data.path)
    try:
        refuse_second(path)  # before a second's worth of modules that only the process that holds it needs
        return load_runtime()(config, watches, clock)
    except LockedError:
        if held_here(path):
            raise
        return Joined(config, watches, clock, heir=not _unfit)


def _span(start: Time, end: Time) -> Span:
    span = Span(time_ns(start) / 1e9, time_ns(end) / 1e9)
    if span.start >= span.end:
        raise InputError("bad_time", f"the period from {iso(span.start)} to before {iso(span.end)} is empty", None, 422)
    return span


def version_of(config: Config, reference: Reference) -> str:
    """Name of a model version if no model file is at hand: set, or from the reference."""
    return config.model.version or (reference.info.model_sha256 or reference.identity)[:12]


def observed(config: Config) -> Watch:
    """Have a model watched that is not served here; `config`: of this model."""
    reference = Reference.load(config.model.reference)
    return Watch(reference, version_of(config, reference), config.model.name, config.model.name * config.named)


_opened: set[Monitor] = set()


#: What a child of a fork keeps of its parent and never uses, so that nothing of it is closed.
_parents: list[object] = []
_rejoining = threading.Lock()
#: Whether a parent forked in the midst of using the database, or of loading modules: this process can do neither then.
_unfit = False
_forking = threading.local()

#: Seconds for which a fork waits for the writer.
FORK_PATIENCE = 5.0


def _held() -> list[Runtime]:
    runtimes = (monitor._runtime for monitor in list(_opened))
    held = (runtime.runtime if isinstance(runtime, Joined) else runtime for runtime in runtimes)
    return [runtime for runtime in held if runtime is not None]


def _before_fork() -> None:
    """Have the writers pause: SQLite's own state is copied as well."""
    writers = [runtime.writer for runtime in _held()]
    _forking.paused = [writer for writer in writers if writer.busy.acquire(timeout=FORK_PATIENCE)]


def _after_fork_in_parent() -> None:
    for writer in _forking.paused:
        writer.busy.release()


def _after_fork() -> None:
    """In the child: close copies of what is the parent's, and join when something is to be done."""
    global _unfit, _rejoining
    _rejoining = threading.Lock()
    for runtime in _held():
        runtime.abandon()
        if runtime.writer in _forking.paused:
            runtime.writer.abandon()
    _unfit = database_is_open() or LOADING.locked()
    for root in _opened:
        for monitor in (root, *root.models.values()):
            monitor._record = monitor._rejoin_and_record
        if root._scrape is not None:
            root._scrape.abandon()


def _at_exit() -> None:
    """Close what a program has left open: a job of half a second would otherwise leave the folding to the next one."""
    for monitor in list(_opened):
        monitor.close()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
atexit.register(_at_exit)
