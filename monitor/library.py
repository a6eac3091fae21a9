"""The monitor inside another program: no server, no Flask.

    from monitor import Monitor

    with Monitor.open("config.toml") as monitor:
        monitor.observe([0.03, 0.05], 151.2)

Journal, windows, rules, alerts and store work in the program's own process, as they do in the server's.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
from collections import Counter, defaultdict
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import numpy as np

from monitor.client import Client
from monitor.clock import Clock, SystemClock, iso
from monitor.columns.batch import Batch
from monitor.columns.column import Schema
from monitor.config.load import Config
from monitor.counting import CHUNK, fitting
from monitor.drift.result import DriftResult
from monitor.errors import ConfigError, InputError, LockedError, StoreError, TelltaleError
from monitor.observing import FLUSH_EVERY, Observing, Time, check_on_error, checked_outcomes
from monitor.outcomes.waiting import key_of
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.scrape import ScrapeServer
from monitor.source.recorder import Recorder
from monitor.tables.rows import time_ns
from monitor.watched import Watch, Watched

log = logging.getLogger(__name__)


class Monitor(Observing):
    """Watches a model from within the program that runs it, or several. All methods may be called from any thread.

    `observe` takes no lock and does not wait for the disk: a few microseconds, also within an asyncio loop. Everything
    that was observed survives the death of the process, also by SIGKILL. After a fork the child is refused: journal and
    database belong to the process that opened them.

    `error`: why it records nothing; None if it works. `models`: a monitor for each `[models.NAME]`, by name, that does
    what is about one model; of a single model it is this one.
    """

    _scrape: ScrapeServer | None = None

    def __init__(self, runtime: Runtime, metrics_port: int | None = None) -> None:
        """Take over a runtime that is not started yet, and start it; `open` is the usual way."""
        self._runtime = runtime
        self._pid = os.getpid()
        if metrics_port is not None:
            self._scrape = ScrapeServer(runtime, metrics_port)
        self._open, self._name = True, ""
        self.models: dict[str, Monitor] = {}
        for name, watched in runtime.models.items():
            self.models[name] = one = self if len(runtime.models) == 1 else copy(self)
            one._watch(watched)
        if len(runtime.models) != 1:
            for name in ("observe", "observe_many", "add", "outcome", "outcome_many"):
                setattr(self, name, self._refuse_nameless)
        runtime.start()
        if self._scrape is not None:
            self._scrape.start()
        _opened.add(self)

    def _watch(self, watched: Watched) -> None:
        """Be about one model."""
        self._name, prefix = watched.name, watched.recorder.prefix if watched.pulled is None else ""
        self._watch_columns(watched.reference.schema, watched.record, prefix)

    @property
    def _model(self) -> Watched:
        """The model that this is about. Raises InputError if it is about several."""
        return self._runtime.find(self._name or None)

    def _refuse_nameless(self, *_: Any, **__: Any) -> NoReturn:
        name = next(iter(self.models))
        raise InputError(
            "which_model", f"there are several models; say which, as in models[{name!r}].observe", None, 422
        )

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
        """Open the data folder and start watching.

        `config`: a settings file, settings, or None for `config.toml` if there is one. `reference`, `data` and
        `version` win over what the settings say. `metrics_port` serves `/metrics` and `/healthz` on loopback (0 takes
        any free port: see `metrics_address`).

        Raises ConfigError, ReferenceFileError, StoreError, or LockedError if another process uses the folder. With
        `on_error="log"` neither this nor any method raises: a method that fails logs the error when its kind is first
        met and returns nothing of its kind (an empty id, no verdicts). If the monitor cannot start, it records nothing;
        the log and `error` say why.
        """
        check_on_error(on_error)
        try:
            settings = config if isinstance(config, Config) else Config.load(config)
            if data is not None:
                settings = replace(settings, data=replace(settings.data, path=str(data)))
            if settings.models and not (reference is None and version is None):
                raise ConfigError("reference, version: with [models.NAME] the settings say them, for each model")
            if not (isinstance(reference, Reference) or settings.models):
                reference = Reference.load(settings.model.reference if reference is None else reference)
            if isinstance(reference, Reference):
                runtime = Runtime.of_one(settings, reference, version or version_of(settings, reference), clock)
            else:
                runtime = Runtime(settings, [observed(settings.of(name)) for name in settings.names], clock)
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
            monitor._silence()
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
        return Client.connect(url, Path(spool), spool_size, model, token, on_error, clock or SystemClock())

    @classmethod
    def _failed(cls, error: Exception) -> Self:
        """Return a monitor that could not start, and log why."""
        monitor = cls.__new__(cls)
        monitor.models = defaultdict(lambda: monitor)
        monitor.error = str(error) if isinstance(error, TelltaleError) else f"{type(error).__name__}: {error}"
        advice = (
            "give each process a folder of its own (monitor.library.folder_for_worker), or use one process with threads"
            if isinstance(error, LockedError)
            else "mend that and start the service again"
        )
        log.error("the monitor did not start; predictions go on and are not recorded: %s; %s", monitor.error, advice)
        return monitor

    def _silence(self) -> None:
        super()._silence()
        for one in self.models.values():
            if not one._quiet:
                one._silence()

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
        for one in (self, *self.models.values()):
            one._open, one._record = False, _refuse_closed
        if self._scrape is not None:
            self._scrape.stop()
        try:
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
        runtime, at, key = (
            self._usable(),
            None if time is None else time_ns(time) / 1e9,
            0 if id is None else key_of(str(id)),
        )
        return runtime.add(self._model, fitting(batch, self.reference), at, key)

    def outcome_many(self, ids: Any, values: Any, times: Any = None, *, wait: bool = False) -> dict[str, int]:
        """Record what came true for predictions, in the order in which it came.

        `ids`: what `observe` returned, or the program's own. `values`: numbers or classes, shape (n,); None takes an
        outcome back. `times`: when they became known, now by default. With `wait` the outcomes are folded now.

        Returns how many were `accepted`, and with `wait` what became of them (`monitor.outcomes.join.RESULTS`). Raises
        InputError for what is no outcome of this model, StoreError without `[outcomes]` in the settings.
        """
        runtime = self._usable()
        source = self._model.outcomes
        if self._model.pulled is not None:
            self._model.pulled.refuse()
        if source is None:
            raise StoreError("outcomes are not kept: add the section [outcomes] to the settings")
        names, given, known = checked_outcomes(source.recorder, ids, values, times)
        results: Counter[str] = Counter(accepted=len(names))
        for start in range(0, len(names), CHUNK):
            part = slice(start, start + CHUNK)
            first = source.recorder.record(names[part], given[part], None if known is None else known[part], start)
            if wait or len(names) > FLUSH_EVERY:
                rows = len(names[part])
                runtime.join(source, first + rows - 1)
                results.update(source.told(first, rows) if wait else {})
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

        Nothing is stored and nobody is alerted. Both are taken to whole base windows, outwards.
        """
        runtime = self._usable()
        begin, until = time_ns(start) / 1e9, time_ns(end) / 1e9
        if begin >= until:
            raise InputError("bad_time", f"nothing lies from {iso(begin)} to before {iso(until)}", None, 422)
        runtime.fold()
        return runtime.judge(begin, until, name=self._name or None)

    def judge_counts(self, batch: Batch) -> tuple[DriftResult, ...]:
        """Judge what `tally` counted by every rule, as one window. Nothing is stored and nobody is alerted.

        Raises InputError for a batch of another reference, or one that was changed.
        """
        runtime = self._usable()
        now = runtime.clock.time()
        return runtime.judge(now, math.nextafter(now, math.inf), fitting(batch, self.reference), self._name or None)

    def status(self) -> dict[str, Any]:
        """How things stand: predictions, drifted columns, alerts, receivers, health; as `/api/status` tells it."""
        return self._usable().status(self._name or None)

    def drift(self) -> tuple[DriftResult, ...]:
        """The verdicts of the last evaluation, one for each rule, column and statistic.

        Those without enough rows say if rows wait in a window that has not ended.
        """
        self._usable()
        if not self._name:
            return tuple(result for one in self.models.values() for result in one.drift())
        latest = self._model.latest
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
        """The runtime. Raises StoreError after `close`, and in the child of a fork."""
        if os.getpid() != self._pid:
            _refuse_forked()
        if not self._open:
            _refuse_closed()
        return self._runtime


def version_of(config: Config, reference: Reference) -> str:
    """Name of a model version where no model file is at hand: set, or from the reference."""
    return config.model.version or (reference.info.model_sha256 or reference.identity)[:12]


def observed(config: Config) -> Watch:
    """Have a model watched that is not served here; `config`: of this model."""
    reference = Reference.load(config.model.reference)
    return Watch(reference, version_of(config, reference), config.model.name, config.model.name * config.named)


def folder_for_worker(path: str | os.PathLike[str], worker: int | str | None = None) -> Path:
    """A data folder of this process's own below `path`: where several processes serve one model, each needs one.

    Give `worker` a name that stays over restarts, or what a dead process left in its journal waits for a process of
    the same number.

    >>> folder_for_worker("data", 3).as_posix()
    'data/worker-3'
    """
    return Path(path) / f"worker-{os.getpid() if worker is None else worker}"


def _refuse_forked(*_: Any) -> NoReturn:
    raise StoreError(
        "the monitor was opened before a fork; open it in the process that records "
        "(gunicorn: in post_fork, with a data folder for each worker)"
    )


def _refuse_closed(*_: Any) -> NoReturn:
    raise StoreError("the monitor is closed")


_opened: set[Monitor] = set()


def _after_fork() -> None:
    """In the child: refuse from now on. Done here once, so that `observe` need not ask each time."""
    for monitor in _opened:
        for one in monitor.models.values():
            one._record = _refuse_forked
        if monitor._scrape is not None:
            monitor._scrape.abandon()


def _at_exit() -> None:
    """Close what a program has left open: a job of half a second would otherwise leave the folding to the next one."""
    for monitor in list(_opened):
        monitor.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
