"""The hot route: one prediction, from bytes to bytes, as a plain WSGI callable.

`POST /` and `POST /predict` are answered here, before Flask sees them: Flask's dispatch costs more than everything else
that a prediction of a linear model needs. All other requests are Flask's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import numpy as np
import orjson

from monitor.models.model import Model
from monitor.runtime import Runtime
from server.endpoint import Answer, Endpoint
from server.payload import Payload, read_json

HOT_PATHS = frozenset({"/", "/predict"})


class Predictor(Endpoint):
    """Answers prediction requests and has them recorded."""

    def __init__(self, model: Model, runtime: Runtime, max_body: int) -> None:
        super().__init__(lambda environ: Answer(self.predict(environ)), runtime)
        self._model, self._runtime, self._max_body = model, runtime, max_body
        self.payload = Payload(runtime.only.reference.schema, runtime.config.model.missing == "allow", model)
        self._record, self._prefix = runtime.only.record, runtime.only.source.prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one POST, and measure how long that takes."""
        began = time.perf_counter()
        try:
            return super().__call__(environ, start_response)
        finally:
            self._instruments.took(time.perf_counter() - began)

    def predict(self, environ: WSGIEnvironment) -> bytes:
        """Read the request, ask the model, record, and return the answer's body. Raises InputError."""
        rows, batch = self.payload.parse(read_json(environ, self._max_body))
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


class WidePredictor(Predictor):
    """Answers with several outputs: a vector, or a label with the probability of each class."""

    def predict(self, environ: WSGIEnvironment) -> bytes:
        """Read the request, ask the model, record, and return the answer's body. Raises InputError."""
        rows, batch = self.payload.parse(read_json(environ, self._max_body))
        columns = self.ask(rows)
        features = rows.T if isinstance(rows, np.ndarray) else list(zip(*rows, strict=True))
        ids = self._runtime.only.source.record_many(features, columns)
        vectors = list(zip(*columns, strict=True))
        answer: dict[str, Any] = {}
        if classes := self._model.classes:
            answer["results"] = list(columns[0])
            answer["probas"] = [dict(zip(classes, vector[1:], strict=True)) for vector in vectors]
        else:
            answer["results"] = [list(vector) for vector in vectors]
        answer["prediction_ids"] = ids
        if not batch:
            answer = {key.removesuffix("s"): values[0] for key, values in answer.items()}
        return json.dumps(answer).encode() + b"\n"


def create_predictor(model: Model, runtime: Runtime, max_body: int) -> Predictor:
    """Create the predictor that fits the number of prediction columns."""
    wide = runtime.config.model.proba or len(runtime.only.reference.schema.predictions) != 1
    return (WidePredictor if wide else Predictor)(model, runtime, max_body)


def hot_first(predictor: WSGIApplication, rest: WSGIApplication) -> WSGIApplication:
    """Put the hot route in front of another application."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] in HOT_PATHS:
            return predictor(environ, start_response)
        return rest(environ, start_response)

    return application
