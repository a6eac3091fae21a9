"""Models with several outputs: a vector, or a label with the probability of each class; a column for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

import numpy as np

from monitor.columns.canonical import canonical
from monitor.columns.column import Schema
from monitor.errors import ModelError
from monitor.pipeline import Pipeline
from server.body import read_json
from server.model import Model, plain
from server.predict import Predictor


def proba_names(model: Model) -> list[str]:
    """Names of the columns that hold a classifier's probabilities, in the order of its classes.

    Raises ModelError for a model that has none.
    """
    if not callable(getattr(model.estimator, "predict_proba", None)):
        raise ModelError("[model] proba = true: the model has no predict_proba()")
    classes = getattr(model.estimator, "classes_", None)
    if isinstance(classes, list):
        raise ModelError("[model] proba = true: the model has several outputs, each with classes of its own")
    return [] if classes is None else [f"proba_{canonical(label)}" for label in classes]


class WidePredictor(Predictor):
    """Answers with several outputs. Raises ModelError where reference and model do not agree on them."""

    def __init__(self, model: Model, pipeline: Pipeline, max_body: int) -> None:
        super().__init__(model, pipeline, max_body)
        self._proba = pipeline.config.model.proba
        self._names = check_outputs(model, pipeline.reference.schema, self._proba)
        self._classes = [name.removeprefix("proba_") for name in self._names[1:]]

    def predict(self, environ: WSGIEnvironment) -> bytes:
        """Read the request, ask the model, record, and return the answer's body. Raises InputError."""
        rows, batch = self._payload.parse(read_json(environ, self._max_body))
        columns = self.ask(rows)
        features = rows.T if isinstance(rows, np.ndarray) else list(zip(*rows, strict=True))
        ids = self._pipeline.recorder.record_many(features, columns)
        vectors = list(zip(*columns, strict=True))
        answer: dict[str, Any] = {}
        if self._proba:
            answer["results"] = list(columns[0])
            answer["probas"] = [dict(zip(self._classes, vector[1:], strict=True)) for vector in vectors]
        else:
            answer["results"] = [list(vector) for vector in vectors]
        answer["prediction_ids"] = ids
        if not batch:
            answer = {key.removesuffix("s"): values[0] for key, values in answer.items()}
        return json.dumps(answer).encode() + b"\n"

    def ask(self, rows: Any) -> list[Sequence[Any]]:
        """Answers of the model: a sequence for each prediction column. Raises ModelError."""
        prepared, count = self._model.prepare(rows), len(rows)
        answers = np.asarray(self._model.estimator.predict(prepared))
        if self._proba:
            shares = np.asarray(self._model.estimator.predict_proba(prepared), dtype=np.float64)
            if shares.shape != (count, len(self._names) - 1):
                raise ModelError(f"predict_proba answered shape {shares.shape} for {count} rows")
            return [plain(answers, count), *(plain(column, count) for column in shares.T)]
        if answers.shape != (count, len(self._names)):
            raise ModelError(f"the model answered shape {answers.shape}, not {(count, len(self._names))}")
        return [plain(column, count) for column in answers.T]


def check_outputs(model: Model, schema: Schema, proba: bool) -> list[str]:
    """Names of the prediction columns. Raises ModelError where the reference has none for probabilities."""
    names = [column.name for column in schema.predictions]
    if proba:
        wanted = proba_names(model)
        if (wanted and names[1:] != wanted) or len(names) < 2:
            raise ModelError(
                "[model] proba = true: after the label, the reference's prediction columns must be "
                f"{', '.join(wanted) or 'one for each class'}; they are {', '.join(names[1:]) or 'none'}. "
                "docs/models.md shows how such a reference is made"
            )
    return names


def create_predictor(model: Model, pipeline: Pipeline, max_body: int) -> Predictor:
    """The predictor that fits the number of prediction columns. Raises ModelError."""
    wide = pipeline.config.model.proba or len(pipeline.reference.schema.predictions) != 1
    return (WidePredictor if wide else Predictor)(model, pipeline, max_body)
