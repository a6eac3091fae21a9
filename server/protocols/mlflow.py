"""MLflow's scoring protocol: `POST /invocations`, as JSON."""

from __future__ import annotations

import json
import logging
from typing import Any
from wsgiref.types import WSGIEnvironment

from monitor.errors import InputError
from server import payload
from server.endpoint import Answer
from server.predict import Predictor

log = logging.getLogger(__name__)


class Mlflow:
    """`POST /invocations`."""

    def __init__(self, scoring: Predictor) -> None:
        self._scoring, self._names = scoring, scoring.names
        self._warned = False

    def __call__(self, environ: WSGIEnvironment) -> Answer:
        """Answer one request. Raises InputError."""
        rows = self._rows(payload.load(payload.read_json(environ, self._scoring.max_body)))
        answers = self._scoring.score(rows)
        listed = list(answers[0]) if len(answers) == 1 else [list(vector) for vector in zip(*answers, strict=True)]
        return Answer(json.dumps({"predictions": listed}).encode() + b"\n")

    def _rows(self, data: Any) -> list[Any]:
        readers = {"dataframe_split": self._split, "dataframe_records": self._records}
        readers |= dict.fromkeys(("instances", "inputs"), self._instances)
        forms = [name for name in readers if isinstance(data, dict) and name in data]
        if len(forms) != 1:
            message = f"expected an object with exactly one of {', '.join(readers)}"
            raise InputError("unknown_key", message, None, 422)
        if data.get("params") and not self._warned:
            # MLflow's own server does the same for a model whose predict() takes no params.
            self._warned = True
            log.warning("/invocations: params are ignored: the model takes its columns and nothing else")
        return readers[forms[0]](data[forms[0]])

    def _split(self, data: Any) -> list[Any]:
        rows = data.get("data") if isinstance(data, dict) else None
        if not isinstance(rows, list):
            raise InputError("not_a_list", "expected an object with columns and data", "dataframe_split", 422)
        names = data.get("columns")
        if names is None or names == list(range(len(self._names.names))):
            return rows
        if not isinstance(names, list) or not all(isinstance(row, list) and len(row) == len(names) for row in rows):
            message = "each row of data needs a value for each of columns"
            raise InputError("wrong_length", message, "dataframe_split", 422)
        texts = [str(name) for name in names]
        if len(set(texts)) != len(texts):
            raise self._names.complaint(texts, "dataframe_split")
        return [dict(zip(texts, row, strict=True)) for row in rows]

    def _records(self, data: Any) -> list[Any]:
        if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
            raise InputError("not_a_list", "expected a list of objects", "dataframe_records", 422)
        return data

    def _instances(self, data: Any) -> list[Any]:
        if isinstance(data, dict):
            columns = self._names.arrange(data)
            flat = [_flat(column, name) for column, name in zip(columns, self._names.names, strict=True)]
            if len(set(map(len, flat))) != 1:
                raise InputError("wrong_length", "the columns have different lengths", None, 422)
            return [list(row) for row in zip(*flat, strict=True)]
        if not isinstance(data, list):
            raise InputError("not_a_list", "expected a list of rows, or an object of columns", None, 422)
        return [[row] for row in data] if data and not isinstance(data[0], (list, dict)) else data


def _flat(column: Any, name: str) -> list[Any]:
    if not isinstance(column, list):
        raise InputError("not_a_list", "expected a list of values", f"column {name}", 422)
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in column]


def error_body(code: str, message: str, where: str | None, error_id: str = "") -> bytes:
    """An error as our other routes have it, with what MLflow's clients look for beside it."""
    theirs = "INTERNAL_ERROR" if code == "model_failed" else "BAD_REQUEST"
    text = f"{where}: {message}" if where else message
    return payload.error_body(code, message, where, error_id, error_code=theirs, message=text)
