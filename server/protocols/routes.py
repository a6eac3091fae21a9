"""The protocols that serving clients speak, beside our own: MLflow's scoring server and the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor import __version__
from monitor.errors import InputError
from monitor.models.model import Model
from monitor.runtime import Runtime
from server.endpoint import Answer, Endpoint
from server.predict import Predictor
from server.protocols import inference, mlflow


class Scoring:
    """Checks rows, asks the model, records, and gives the answers column by column."""

    def __init__(self, predictor: Predictor, model: Model, runtime: Runtime, max_body: int) -> None:
        schema = runtime.only.reference.schema
        self.values = model.values
        self.features, self.outputs = schema.features, schema.predictions
        self.max_body = max_body
        self.name = Path(runtime.config.model.path).stem
        self.version = runtime.only.version
        self._predictor, self._runtime = predictor, runtime
        self._payload, self.names = predictor.payload, predictor.payload.names

    def ask(self, rows: Sequence[Any] | np.ndarray[Any, Any]) -> list[Sequence[Any]]:
        """Predict rows, lists or objects by name or an array of numbers; a sequence for each prediction column.

        Raises InputError for rows that are not what the model takes, and what the model raises.
        """
        if not len(rows):
            raise InputError("empty", "there are no rows", None, 422)
        checked = self._payload.check(rows)
        answers = self._predictor.ask(checked)
        columns = checked.T if isinstance(checked, np.ndarray) else list(zip(*checked, strict=True))
        self._runtime.only.source.record_many(columns, answers)
        return answers


def create_protocols(predictor: Predictor, model: Model, runtime: Runtime, max_body: int) -> dict[str, Endpoint]:
    """The routes of both protocols."""
    scoring = Scoring(predictor, model, runtime, max_body)
    healthy = Endpoint(lambda _: Answer(b"\n"), runtime, ("GET",))
    version = Endpoint(lambda _: Answer(__version__.encode()), runtime, ("GET",))
    below = Endpoint(inference.OpenInference(scoring), runtime, ("GET", "POST"), error=inference.error_body)
    return {
        "/invocations": Endpoint(mlflow.Mlflow(scoring), runtime, error=mlflow.error_body),
        "/ping": healthy,
        "/health": healthy,
        "/version": version,
        "/v2": below,
        "/v2/": below,
    }
