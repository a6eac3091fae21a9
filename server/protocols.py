"""The protocols that serving clients speak, beside our own: MLflow's scoring server and the Open Inference Protocol.

MLflow: `POST /invocations` with `dataframe_split`, `dataframe_records`, `instances` or `inputs`; `GET /ping`.
Open Inference Protocol, version 2: `/v2`, `/v2/health/live`, `/v2/health/ready`, `/v2/models/NAME`, `.../ready` and
`POST .../infer`, with tensors written as JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from monitor.capture.rows import Names
from monitor.errors import InputError
from monitor.pipeline import Pipeline
from monitor.window.columns import Column, canonical
from server.body import read_body, read_json
from server.endpoint import Answer, Endpoint
from server.payload import Payload, load
from server.predict import Predictor

#: Data types of numeric tensors; BYTES are texts.
NUMBERS = frozenset(
    "FP16 FP32 FP64 BF16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64".split()  # noqa: SIM905 - reads as a list
)


class Scoring:
    """Checks rows, asks the model, records, and gives the answers column by column."""

    def __init__(self, predictor: Predictor, pipeline: Pipeline, max_body: int) -> None:
        schema = pipeline.reference.schema
        self.features, self.outputs = schema.features, schema.predictions
        self.names = Names(schema.features)
        self.max_body = max_body
        self.name = Path(pipeline.config.model.path).stem
        self.version = pipeline.version
        self._predictor, self._pipeline = predictor, pipeline
        self._payload = Payload(schema, pipeline.config.model.missing == "allow")

    def ask(self, rows: Sequence[Any]) -> list[Sequence[Any]]:
        """Predict rows, lists or objects by name; a sequence for each prediction column. Raises InputError."""
        if not rows:
            raise InputError("empty", "there are no rows", None, 422)
        checked = self._payload.check(rows)
        answers = self._predictor.ask(checked)
        self._pipeline.recorder.record_many(list(zip(*checked, strict=True)), answers)
        return answers


def create_protocols(predictor: Predictor, pipeline: Pipeline, max_body: int) -> dict[str, WSGIApplication]:
    """The routes of both protocols."""
    scoring = Scoring(predictor, pipeline, max_body)
    ready = Endpoint(lambda _: Answer(b"\n"), pipeline, ("GET",))
    inference = Endpoint(OpenInference(scoring), pipeline, ("GET", "POST"), error=_inference_error)
    return {
        "/invocations": Endpoint(Mlflow(scoring), pipeline),
        "/ping": ready,
        "/v2": inference,
        "/v2/": inference,
    }


class Mlflow:
    """`POST /invocations`."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._forms: dict[str, Callable[[Any], list[Any]]] = {
            "dataframe_split": self._split,
            "dataframe_records": self._records,
            "instances": self._instances,
            "inputs": self._instances,
        }

    def __call__(self, environ: WSGIEnvironment) -> Answer:
        """Answer one request. Raises InputError."""
        data = load(read_json(environ, self._scoring.max_body))
        forms = [name for name in self._forms if isinstance(data, dict) and name in data]
        if len(forms) != 1:
            raise InputError(
                "unknown_key", f"expected an object with exactly one of {', '.join(self._forms)}", None, 422
            )
        if data.get("params"):
            raise InputError("unknown_key", "params are not supported: the model takes its columns and nothing else")
        answers = self._scoring.ask(self._forms[forms[0]](data[forms[0]]))
        rows = list(answers[0]) if len(answers) == 1 else [list(vector) for vector in zip(*answers, strict=True)]
        return Answer(json.dumps({"predictions": rows}).encode() + b"\n")

    def _split(self, data: Any) -> list[Any]:
        rows = data.get("data") if isinstance(data, dict) else None
        if not isinstance(rows, list):
            raise InputError("not_a_list", "expected an object with columns and data", "dataframe_split", 422)
        names = data.get("columns")
        if names is None or names == list(range(len(self._scoring.features))):
            return rows
        if not isinstance(names, list) or not all(isinstance(row, list) and len(row) == len(names) for row in rows):
            raise InputError(
                "wrong_length", "each row of data needs a value for each of columns", "dataframe_split", 422
            )
        return [dict(zip(map(str, names), row, strict=True)) for row in rows]

    def _records(self, data: Any) -> list[Any]:
        if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
            raise InputError("not_a_list", "expected a list of objects", "dataframe_records", 422)
        return data

    def _instances(self, data: Any) -> list[Any]:
        if isinstance(data, dict):
            columns = self._scoring.names.arrange(data)
            return _rows([_flat(column, name) for column, name in zip(columns, self._scoring.names.names, strict=True)])
        if not isinstance(data, list):
            raise InputError("not_a_list", "expected a list of rows, or an object of columns", None, 422)
        return [[row] for row in data] if data and not isinstance(data[0], (list, dict)) else data


class OpenInference:
    """Everything below `/v2`."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring

    def __call__(self, environ: WSGIEnvironment) -> Answer:
        """Answer one request. Raises InputError."""
        scoring, parts = self._scoring, environ["PATH_INFO"].strip("/").split("/")[1:]
        if parts[:1] == ["models"] and len(parts) > 1:
            if parts[1] != scoring.name:
                raise InputError(
                    "unknown_model", f"the model that is served here is called {scoring.name!r}", None, 404
                )
            parts = parts[2:]
            if parts[:1] == ["versions"] and len(parts) > 1:
                if parts[1] != scoring.version:
                    raise InputError("unknown_model", f"version {scoring.version!r} is served here", None, 404)
                parts = parts[2:]
            what = {(): self._metadata, ("ready",): _ready, ("infer",): self._infer}.get(tuple(parts))
        else:
            what = {(): _server, ("health", "live"): _ready, ("health", "ready"): _ready}.get(tuple(parts))
        if what is None:
            raise InputError("not_found", f"there is no {environ['PATH_INFO']}", None, 404)
        wanted = "POST" if what == self._infer else "GET"
        if environ["REQUEST_METHOD"] != wanted:
            raise InputError("method_not_allowed", f"{environ['PATH_INFO']} takes {wanted}", None, 405)
        return Answer(json.dumps(what(environ)).encode())

    def _metadata(self, _environ: WSGIEnvironment) -> dict[str, Any]:
        def tensors(columns: Sequence[Column]) -> list[dict[str, Any]]:
            return [{"name": one.name, "datatype": datatype(one), "shape": [-1, 1]} for one in columns]

        return {
            "name": self._scoring.name,
            "versions": [self._scoring.version],
            "platform": "telltale",
            "inputs": tensors(self._scoring.features),
            "outputs": tensors(self._scoring.outputs),
        }

    def _infer(self, environ: WSGIEnvironment) -> dict[str, Any]:
        scoring = self._scoring
        if "HTTP_INFERENCE_HEADER_CONTENT_LENGTH" in environ:
            message = "binary tensors are not supported: send them as JSON (binary_data=False)"
            raise InputError("wrong_type", message, None, 415)
        data = load(read_body(environ, scoring.max_body))
        inputs = data.get("inputs") if isinstance(data, dict) else None
        if not isinstance(inputs, list) or not inputs or not all(isinstance(one, dict) for one in inputs):
            raise InputError("missing_key", "expected an object with inputs, a list of tensors", None, 422)
        if len(inputs) == 1 and (len(scoring.features) > 1 or inputs[0].get("name") not in scoring.names.names):
            rows = _matrix(inputs[0], len(scoring.features), scoring.names)
        else:
            tensors = {str(one.get("name")): one for one in inputs}
            if len(tensors) != len(inputs):
                raise InputError("unknown_column", "two tensors have one name", None, 422)
            rows = _rows([_values(one) for one in scoring.names.arrange(tensors)])
        answers = scoring.ask(rows)
        asked = {str(one.get("name")) for one in data.get("outputs") or [] if isinstance(one, dict)}
        unknown = asked - {column.name for column in scoring.outputs}
        if unknown:
            raise InputError("unknown_column", f"there is no output called {min(unknown)!r}", None, 422)
        outputs = [
            {"name": column.name, "shape": [len(rows), 1], **_output(column, values)}
            for column, values in zip(scoring.outputs, answers, strict=True)
            if not asked or column.name in asked
        ]
        named = {"id": data["id"]} if data.get("id") else {}
        return {"model_name": scoring.name, "model_version": scoring.version, **named, "outputs": outputs}


def datatype(column: Column) -> str:
    """Data type of a column's tensor: labels that are whole numbers are INT64, other categories are texts."""
    if column.numeric:
        return "FP64"
    whole = bool(column.categories) and all(text.removeprefix("-").isdigit() for text in column.categories)
    return "INT64" if whole and column.role == "prediction" else "BYTES"


def _output(column: Column, values: Sequence[Any]) -> dict[str, Any]:
    kind = datatype(column)
    if kind == "INT64" and all(isinstance(value, (int, float)) for value in values):
        return {"datatype": kind, "data": [int(value) for value in values]}
    if kind == "FP64":
        return {"datatype": kind, "data": [float(value) for value in values]}
    return {"datatype": "BYTES", "data": [canonical(value) for value in values]}


def _matrix(tensor: dict[str, Any], width: int, names: Names) -> list[list[Any]]:
    """Rows of the one tensor that holds all features, shape [n, width]."""
    shape = tensor.get("shape")
    if isinstance(shape, list) and len(shape) == 2:
        names.check_width(shape[1], f"tensor {tensor.get('name')}")
    elif not (isinstance(shape, list) and shape == [width]):
        raise InputError(
            "wrong_length", f"expected one tensor of shape [n, {width}], or one for each column", None, 422
        )
    flat = _values(tensor)
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _values(tensor: dict[str, Any]) -> list[Any]:
    """The flat values of a tensor. Raises InputError where they are not what it says they are."""
    where = f"tensor {tensor.get('name')}"
    shape, kind, flat = tensor.get("shape"), tensor.get("datatype"), _flatten(tensor.get("data"), where)
    if kind not in NUMBERS | {"BYTES", "BOOL"}:
        raise InputError("wrong_type", "datatype is none of the protocol's", where, 422)
    if not isinstance(shape, list) or not all(type(one) is int and one >= 0 for one in shape):
        raise InputError("wrong_length", "shape is a list of whole numbers", where, 422)
    if math.prod(shape) != len(flat):
        raise InputError("wrong_length", f"{len(flat)} values for shape {shape}", where, 422)
    return flat


def _flatten(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise InputError("not_a_list", "expected data, a list; binary data is not supported", where, 422)
    if not any(isinstance(one, list) for one in data):
        return data
    return [value for one in data for value in (_flatten(one, where) if isinstance(one, list) else [one])]


def _flat(column: Any, name: str) -> list[Any]:
    if not isinstance(column, list):
        raise InputError("not_a_list", "expected a list of values", f"column {name}", 422)
    return [one[0] if isinstance(one, list) and len(one) == 1 else one for one in column]


def _rows(columns: Sequence[list[Any]]) -> list[list[Any]]:
    if len({len(column) for column in columns}) != 1:
        raise InputError("wrong_length", "the columns have different lengths", None, 422)
    return [list(row) for row in zip(*columns, strict=True)]


def _server(_environ: WSGIEnvironment) -> dict[str, Any]:
    return {"name": "telltale", "version": "2", "extensions": []}


def _ready(_environ: WSGIEnvironment) -> dict[str, Any]:
    return {"ready": True}


def _inference_error(_code: str, message: str, where: str | None, error_id: str = "") -> bytes:
    """The protocol's own form of an error."""
    said = f"{message} (error id {error_id})" if error_id else message
    return json.dumps({"error": f"{where}: {said}" if where else said}).encode()
