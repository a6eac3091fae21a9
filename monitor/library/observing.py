"""Recording predictions within the program that makes them: what the monitors of `library` and `client` share."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from copy import copy
from datetime import datetime
from functools import wraps
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np

from monitor.columns.column import Schema
from monitor.counting import CHUNK, aligned, encoded
from monitor.errors import ConfigError, InputError, StoreError
from monitor.outcomes.waiting import key_of, keys_of
from monitor.source.outcomes import OutcomeRecorder, read_outcome
from monitor.source.recorder import Recorder
from monitor.tables.rows import Names, by_name, in_order, time_ns, times_ns

log = logging.getLogger(__name__)

#: What a time may be: seconds since 1970 UTC, ISO 8601, or a datetime (UTC if it has no zone).
Time = float | str | datetime

#: Rows of a batch after which what was recorded is handed on, so that the journal stays small.
FLUSH_EVERY = 4 * CHUNK

#: What each method returns if it fails and the monitor was opened with `on_error="log"`.
NOTHING: dict[str, Any] = {
    "observe": "",
    "observe_many": [],
    "add": False,
    "outcome": None,
    "outcome_many": {},
    "flush": None,
    "evaluate": (),
    "judge": (),
    "judge_counts": (),
    "report": None,
    "status": {"status": "failed"},
    "drift": (),
    "alerts": [],
    "metrics": (b"", "text/plain; version=0.0.4; charset=utf-8"),
    "close": None,
}


class Observing(ABC):
    """Records the predictions of one model. `error`: why it records nothing; None if it works."""

    error: str | None = None
    _open = False
    _quiet = False

    def _watch_columns(self, schema: Schema, record: Callable[..., int], prefix: str) -> None:
        """Record rows of these columns from now on. `prefix`: of ids; the number that `record` returns follows."""
        self._features, self._predictions = Names(schema.features), Names(schema.predictions)
        self._width, self._single = len(schema.features), len(schema.predictions) == 1
        self._record, self._prefix = record, prefix

    @property
    def _works(self) -> bool:
        return self.error is None

    @property
    @abstractmethod
    def _recorder(self) -> Recorder:
        """What records a batch."""

    @abstractmethod
    def _usable(self) -> object:
        """Raise StoreError after `close`, and in the child of a fork."""

    @abstractmethod
    def _flush(self) -> None:
        """Hand on what was recorded, in the midst of a batch."""

    @abstractmethod
    def outcome_many(self, ids: Any, values: Any, times: Any = None) -> dict[str, int]:
        """Record what came true for predictions."""

    @abstractmethod
    def close(self) -> None:
        """Close the journal, the connections and the threads."""

    def _never_raise(self) -> None:
        """Replace the methods of this monitor by ones that never raise: a call that fails returns `NOTHING`."""
        self._quiet = True
        logged: set[tuple[str, str]] = set()

        def quietly(name: str) -> Callable[..., Any]:
            method, nothing = getattr(self, name), NOTHING[name]

            @wraps(method)
            def call(*arguments: Any, **named: Any) -> Any:
                if self._works:
                    try:
                        return method(*arguments, **named)
                    except Exception as error:
                        kind = (type(error).__name__, getattr(error, "code", ""))
                        if kind not in logged:
                            logged.add(kind)
                            log.exception("the monitor failed, and the service goes on; such errors are logged once")
                return {**nothing, "error": self.error} if name == "status" else copy(nothing)

            return call

        for name in NOTHING:
            if hasattr(self, name):
                setattr(self, name, quietly(name))

    def __enter__(self) -> Self:
        if not self._quiet:
            self._usable()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def observe(
        self,
        row: Any,
        prediction: Any,
        time: Time | None = None,
        id: str | int | None = None,  # noqa: A002
    ) -> str:
        """Record one prediction, and return its id.

        `row`: the features as a list, tuple or numpy row in the order of the reference, or a dictionary by name.
        `prediction`: a value; several in a sequence or by name where the model has several outputs. `time`: when it was
        made, now by default. `id`: the program's own for it; what comes again with the same id is not counted again.

        None and NaN are missing, a text in a numeric column is missing as well, an unseen value is counted as such:
        no value is refused. Raises InputError where the number of values or their names do not fit, StoreError after a
        fork or `close`.
        """
        if type(row) is not list:
            row = self._in_order(row)
        if len(row) != self._width:
            self._features.check_width(len(row))
        if self._single and not isinstance(prediction, (list, tuple, dict, np.ndarray)):
            answers: Any = (prediction,)
        else:
            answers = self._outputs(prediction)
        key = 0 if id is None else key_of(str(id))
        number = self._record(row, answers, None if time is None else time_ns(time), key)
        return f"{self._prefix}{number}"

    def _in_order(self, row: Any) -> Any:
        """The values of a row that is no list. Raises InputError."""
        if getattr(row, "ndim", 1) > 1:
            raise InputError("wrong_length", "expected one row; a table is for observe_many", None, 422)
        if by_name(row):
            return self._features.arrange(row)
        return in_order(row)

    def _outputs(self, prediction: Any) -> Any:
        if by_name(prediction):
            return self._predictions.arrange(prediction)
        answers = in_order(np.ravel(prediction)) if isinstance(prediction, np.ndarray) else prediction
        if not isinstance(answers, (list, tuple)):
            answers = (answers,)
        self._predictions.check_width(len(answers))
        return answers

    def observe_many(self, rows: Any, predictions: Any, times: Any = None, ids: Any = None) -> list[str]:
        """Record a batch, and return the ids of its predictions.

        `rows`: a numpy array, shape (n, features); a pandas or polars frame, whose columns are taken by name; a list of
        rows or of dictionaries. `predictions`: shape (n,), or (n, outputs), or a frame. `times`: one moment for all or
        one for each row. `ids`: the program's own, one for each row. Values are treated as by `observe`.

        A batch of more than a quarter of a million rows waits for the store now and then, so that the journal stays
        small: in an asyncio program, call it with `asyncio.to_thread`. Raises InputError before anything is recorded.
        """
        self._usable()
        recorder, recorded = self._recorder, list[str]()
        columns = aligned(rows, predictions, recorder.encoder.schema)
        if not columns:
            return recorded
        stamps = None if times is None else times_ns(times, len(columns[0]))
        if ids is not None and len(ids) != len(columns[0]):
            raise InputError("wrong_length", f"{len(ids)} ids for {len(columns[0])} rows", "ids", 422)
        keys = None if ids is None else keys_of("" if own is None else str(own) for own in ids)
        for values in encoded(columns, recorder.encoder):
            if recorded and len(recorded) % FLUSH_EVERY == 0:
                self._flush()
            part = slice(len(recorded), len(recorded) + len(values))
            their_times, their_keys = None if stamps is None else stamps[part], None if keys is None else keys[part]
            recorded += recorder.record_encoded(values, their_times, their_keys)
        return recorded

    def outcome(self, id: str | int, value: Any, time: Time | None = None) -> None:  # noqa: A002
        """Record what came true for a prediction: see `outcome_many`."""
        self.outcome_many([id], [value], None if time is None else [time])


def refuse_closed(*_: Any) -> NoReturn:
    """Raise StoreError after `close`."""
    raise StoreError("the monitor is closed")


def check_on_error(choice: str) -> None:
    """Raise ConfigError for what is no choice of `on_error`."""
    if choice not in ("raise", "log"):
        raise ConfigError(f'on_error: expected "raise" or "log", got {choice!r}')


def record_outcomes(recorder: OutcomeRecorder, ids: Any, values: Any, times: Any) -> Iterator[tuple[int, int]]:
    """Record outcomes in parts: yields the first sequence number of each, and its rows.

    Raises InputError, and records none, if one is wrong.
    """
    names, outcomes = list(ids), list(values)
    if len(names) != len(outcomes):
        raise InputError("wrong_length", f"{len(outcomes)} outcomes for {len(names)} ids", None, 422)
    for row, value in enumerate(outcomes):
        read_outcome(recorder.target, value, f"row {row}")
    known = None if times is None else times_ns(times, len(names)) / 1e9
    for start in range(0, len(names), CHUNK):
        part = slice(start, start + CHUNK)
        known_then = None if known is None else known[part]
        yield recorder.record(names[part], outcomes[part], known_then, start), len(names[part])
