"""Models with several outputs: a vector, or a label with the probability of each class; a column for each."""

from __future__ import annotations

import json
from typing import Any
from wsgiref.types import WSGIEnvironment

import numpy as np

from monitor.models.model import Model
from monitor.runtime import Runtime
from server.body import read_json
from server.predict import Predictor


class WidePredictor(Predictor):
    """Answers with several outputs."""

    def predict(self, environ: WSGIEnvironment) -> bytes:
        """Read the request, ask the model, record, and return the answer's body. Raises InputError."""
        rows, batch = self._payload.parse(read_json(environ, self._max_body))
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
