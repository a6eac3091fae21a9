"""The hot route: predictions, from bytes to bytes, as a plain WSGI callable.

`POST /` and `POST /predict` are answered here, before Flask sees them: Flask's dispatch costs more than everything else
that a prediction of a linear model needs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

import numpy as np
import orjson

from monitor.models.model import Model
from monitor.outcomes.waiting import Numbers, keys_of
from monitor.runtime import Runtime
from monitor.watched import Watched
from server.endpoint import Answer, Endpoint
from server.payload import Payload, read_json

#: The header with the caller's own id, as WSGI names it.
REQUEST_ID = "HTTP_X_REQUEST_ID"

HOT_PATHS = frozenset({"/", "/predict"})


class Predictor(Endpoint):
    """Checks rows, asks the model, records what it answers. The hot route, and what other protocols call.

    `features`, `outputs`: the columns; `name` and `version` of the model.
    """

    def __init__(self, model: Model, runtime: Runtime, watched: Watched) -> None:
        super().__init__(self._answer, runtime, watched=watched)
        config = watched.config
        self.max_body = config.server.max_body
        self.name = watched.name if runtime.config.models else Path(config.model.path).stem
        self.version = watched.version
        self.features, self.outputs = watched.reference.schema.features, watched.reference.schema.predictions
        self._payload = Payload(watched.reference.schema, config.model.missing == "allow", model)
        self.names = self._payload.names
        self._model, self._recorder = model, watched.recorder
        self._record, self._pack, self._prefix = watched.record, watched.recorder.pack, watched.recorder.prefix
        self._wide = config.model.proba or len(self.outputs) != 1

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        """Answer one POST, and measure how long that takes."""
        began, own = time.perf_counter(), environ.get(REQUEST_ID)
        try:
            return Answer(self.predict(environ), headers=() if own is None else (("X-Request-Id", own),))
        finally:
            self._instruments.took(time.perf_counter() - began)

    def predict(self, environ: WSGIEnvironment) -> bytes:
        """Read the request, ask the model, record, and return the answer's body. Raises InputError."""
        rows, batch, given = self._payload.parse(read_json(environ, self.max_body))
        own = environ.get(REQUEST_ID)
        keys = caller_keys(given, own, len(rows), batch) if given or own else None
        if given or batch or self._wide:
            return self._many(rows, batch, given, keys)
        try:
            results = self._model.predict(rows)
        except (Exception, SystemExit) as error:
            raise self._model.explain(rows, error) from error
        key = 0 if keys is None else int(keys[0])
        if self._pack is not None and isinstance(rows, np.ndarray):
            number = self._record((rows.tobytes(),), results, None, key, self._pack)
        else:
            row = rows[0].tolist() if isinstance(rows, np.ndarray) else rows[0]
            number = self._record(row, results, None, key)
        prediction_id = f"{self._prefix}{number}"
        result = repr(results[0]) if type(results[0]) is float else json.dumps(results[0])
        return f'{{"result": {result}, "prediction_id": "{prediction_id}"}}\n'.encode()

    def _many(self, rows: Any, batch: bool, given: list[Any] | None, keys: Numbers | None) -> bytes:
        """Answer several rows, or with several outputs: a vector, or a label with the probability of each class.

        `given`: the callers' ids in the body, which go back as they are.
        """
        columns, ids = self._ask(rows, keys)
        answer: dict[str, Any] = {"results": columns[0]}
        if classes := self._model.classes:
            shares = zip(*columns[1:], strict=True)
            answer["probas"] = [dict(zip(classes, vector, strict=True)) for vector in shares]
        elif len(columns) > 1:
            answer["results"] = list(zip(*columns, strict=True))
        answer["prediction_ids"] = ids
        if given:
            answer["ids"] = given
        if not batch:
            answer = {key.removesuffix("s"): values[0] for key, values in answer.items()}
        if given:
            return json.dumps(answer).encode() + b"\n"  # an id may be a number of more than 64 bits
        return orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE)

    def score(self, rows: Sequence[Any] | np.ndarray[Any, Any]) -> list[Sequence[Any]]:
        """Predict rows, lists or objects by name or an array of numbers; a sequence for each prediction column.

        Raises InputError for rows that are not what the model takes, and what the model raises.
        """
        return self._ask(self._payload.check(rows))[0]

    def _ask(self, rows: Any, keys: Numbers | None = None) -> tuple[list[Sequence[Any]], list[str]]:
        """Ask the model and record: a sequence for each prediction column, and the ids."""
        try:
            columns = self._model.answer(rows)
        except (Exception, SystemExit) as error:
            raise self._model.explain(rows, error) from error
        if not isinstance(rows, np.ndarray):
            return columns, self._recorder.record_many(list(zip(*rows, strict=True)), columns, None, keys)
        # Plain numbers are their own encoding.
        width = rows.shape[1]
        values = np.empty((len(rows), width + len(columns)))
        values[:, :width] = rows
        for position, column in enumerate(columns, width):
            answers = np.array(column) if type(column[0]) is float else column
            values[:, position] = self._recorder.encoder.column(position, answers)
        return columns, self._recorder.record_encoded(values, None, keys)


def caller_keys(given: list[Any] | None, own: str | None, rows: int, batch: bool) -> Numbers:
    """Hashes of the callers' ids, shape (rows,), 0 for none.

    `given`: from the body; else `own`, from the header: row n of a batch is then called by it, `-` and n.
    """
    if given:
        return keys_of("" if one is None else str(one) for one in given)
    return keys_of([f"{own}-{number}" for number in range(rows)] if batch else [own or ""])
