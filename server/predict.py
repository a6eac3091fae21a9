"""The hot route: one prediction, from bytes to bytes, as a plain WSGI callable.

`POST /` and `POST /predict` are answered here, before Flask sees them: Flask's dispatch costs more than everything else
that a prediction of a linear model needs. All other requests are Flask's.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import numpy as np
import orjson

from monitor.clock import Clock
from monitor.errors import InputError
from monitor.instruments import Instruments
from monitor.models.model import Model
from monitor.runtime import Runtime
from server.body import read_json
from server.payload import Payload, error_body

log = logging.getLogger(__name__)

HOT_PATHS = frozenset({"/", "/predict"})
REASONS = {
    200: "200 OK",
    400: "400 Bad Request",
    413: "413 Content Too Large",
    415: "415 Unsupported Media Type",
    422: "422 Unprocessable Content",
    500: "500 Internal Server Error",
}


class Predictor:
    """Answers prediction requests and has them recorded."""

    def __init__(self, model: Model, runtime: Runtime, max_body: int) -> None:
        self._model, self._runtime, self._max_body = model, runtime, max_body
        schema = runtime.only.reference.schema
        self._payload = Payload(schema, runtime.config.model.missing == "allow", model)
        self._instruments: Instruments = runtime.instruments
        self._record, self._prefix = runtime.only.record, runtime.only.source.prefix
        self._failures = Failures(runtime.clock)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one POST."""
        began = time.perf_counter()
        try:
            body = self.predict(environ)
            status = 200
        except InputError as error:
            self._instruments.rejected(error.code)
            status, body = error.status, error_body(error.code, str(error), error.where)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a model does, the next one must be answered
            status, body = 500, self._failed(error)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(REASONS[status], headers)
        self._instruments.took(time.perf_counter() - began)
        return [body]

    def predict(self, environ: WSGIEnvironment) -> bytes:
        """Read the request, ask the model, record, and return the answer's body. Raises InputError."""
        rows, batch = self._payload.parse(read_json(environ, self._max_body))
        try:
            results = self._model.predict(rows)
        except (Exception, SystemExit) as error:
            raise self._model.explain(rows, error) from error
        if batch:
            ids = self._record_batch(rows, results)
            return orjson.dumps({"results": results, "prediction_ids": ids}, option=orjson.OPT_APPEND_NEWLINE)
        row = rows[0].tolist() if isinstance(rows, np.ndarray) else rows[0]
        prediction_id = f"{self._prefix}{self._record(row, results)}"
        result = repr(results[0]) if type(results[0]) is float else json.dumps(results[0])
        return f'{{"result": {result}, "prediction_id": "{prediction_id}"}}\n'.encode()

    def ask(self, rows: Any) -> list[Sequence[Any]]:
        """Answers of the model: a sequence for each prediction column. Raises InputError, and what the model raises."""
        try:
            return self._model.answer(rows)
        except (Exception, SystemExit) as error:
            raise self._model.explain(rows, error) from error

    def _record_batch(self, rows: Any, results: Sequence[Any]) -> list[str]:
        recorder = self._runtime.only.source
        if not isinstance(rows, np.ndarray):
            return recorder.record_many(list(zip(*rows, strict=True)), [results])
        # Plain numbers are their own encoding.
        count, width = rows.shape
        values = np.empty((count, width + 1))
        values[:, :width] = rows
        answers = np.array(results) if type(results[0]) is float else results
        values[:, width] = recorder.encoder.column(width, answers)
        return recorder.record_encoded(values)

    def _failed(self, error: BaseException) -> bytes:
        self._instruments.model_failed()
        error_id = self._failures.note(error)
        message = f"the model could not answer; the log has more under error id {error_id}"
        return error_body("model_failed", message, None, error_id)


class Failures:
    """Logs failures without a flood: one traceback a second for each kind; those in between share its id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, str]] = {}
        self._unlogged = 0

    def note(self, error: BaseException) -> str:
        """Take note of an error that is being handled; the id under which the log has it, or one just like it."""
        kind, now = type(error).__qualname__, self._clock.monotonic()
        with self._lock:
            at, error_id = self._last.get(kind, (-math.inf, ""))
            if now - at < 1.0:
                self._unlogged += 1
                return error_id
            error_id = secrets.token_hex(6)
            self._last[kind] = now, error_id
            unlogged, self._unlogged = self._unlogged, 0
        more = f" ({unlogged} more since the last such line)" if unlogged else ""
        log.error("prediction failed, error id %s%s", error_id, more, exc_info=error)
        return error_id


def hot_first(predictor: WSGIApplication, rest: WSGIApplication) -> WSGIApplication:
    """Put the hot route in front of another application."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] in HOT_PATHS:
            return predictor(environ, start_response)
        return rest(environ, start_response)

    return application
