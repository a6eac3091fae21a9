"""The Open Inference Protocol, version 2: `/v2` and everything below it, with tensors as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple
from wsgiref.types import WSGIEnvironment

from monitor import __version__
from monitor.columns.canonical import canonical
from monitor.columns.column import Column, clean_text
from monitor.errors import InputError
from server.endpoint import Answer, not_allowed
from server.payload import LARGEST_WHOLE, LONGEST_ID, check_json_type, load, read_body, short
from server.predict import Predictor

_DATATYPES = (
    *("BF16", "BOOL", "BYTES", "FP16", "FP32", "FP64"),
    *("INT16", "INT32", "INT64", "INT8", "UINT16", "UINT32", "UINT64", "UINT8"),
)

#: Dimensions of a tensor, and lists within one another in its data.
DIMENSIONS = 8


class Tensor(NamedTuple):
    """One input, with its values flat."""

    name: str
    shape: tuple[int, ...]
    values: list[Any]

    @property
    def where(self) -> str:
        """How an error names it."""
        return f"tensor {self.name}"


class OpenInference:
    """Answers every path below `/v2`."""

    def __init__(self, scoring: Predictor) -> None:
        self._scoring, self._names = scoring, scoring.names
        #: What is answered by path below `/v2`; None for what asks the model.
        self.places: dict[str, dict[str, Any] | None] = {
            "": {"name": "telltale", "version": __version__, "extensions": []},
            "/health/live": {"live": True},
            "/health/ready": {"ready": True},
            "/models/NAME": {
                "name": scoring.name,
                "versions": [scoring.version],
                "platform": "telltale",
                "inputs": _tensors(scoring.features),
                "outputs": _tensors(scoring.outputs),
            },
            "/models/NAME/ready": {"name": scoring.name, "ready": True},
            "/models/NAME/infer": None,
        }

    def __call__(self, environ: WSGIEnvironment) -> Answer:
        """Answer one request. Raises InputError."""
        path = environ["PATH_INFO"]
        place = self._place(path)
        if place not in self.places:
            raise InputError("not_found", f"there is no {short(path, 200)}", None, 404)
        about = self.places[place]
        wanted = "GET" if about else "POST"
        if environ["REQUEST_METHOD"] != wanted:
            raise not_allowed(path, (wanted,))
        return Answer(json.dumps(about or self._infer(environ)).encode())

    def _place(self, path: str) -> str:
        """The path below `/v2`, with `NAME` for the model. Raises InputError for another model or version."""
        scoring, parts = self._scoring, path.strip("/").split("/")[1:]
        if parts[:1] == ["models"] and len(parts) > 1:
            if parts[1] != scoring.name:
                message = f"the model that is served here is called {scoring.name!r}"
                raise InputError("unknown_model", message, None, 404)
            parts[1] = "NAME"
            if parts[2:3] == ["versions"] and len(parts) > 3:
                if parts[3] != scoring.version:
                    raise InputError("unknown_model", f"version {scoring.version!r} is served here", None, 404)
                del parts[2:4]
        return "".join(f"/{part}" for part in parts)

    def _infer(self, environ: WSGIEnvironment) -> dict[str, Any]:
        scoring, kind = self._scoring, environ.get("CONTENT_TYPE", "")
        if "HTTP_INFERENCE_HEADER_CONTENT_LENGTH" in environ:
            message = "tensors in binary form are not supported; send them as JSON (tritonclient: binary_data=False)"
            raise InputError("wrong_type", message, "header Inference-Header-Content-Length", 415)
        # Triton's client names no type. A browser names the origin of the page that sends one without.
        if kind or "HTTP_ORIGIN" in environ:
            check_json_type(kind)
        request = load(read_body(environ, scoring.max_body))
        inputs = read_inputs(request)
        wanted = wanted_outputs(request, scoring.outputs)
        head = {"model_name": scoring.name, "model_version": scoring.version}
        if request_id := request.get("id"):
            if not isinstance(request_id, str) or len(request_id) > LONGEST_ID:
                raise InputError("bad_id", f"an id is a text of at most {LONGEST_ID} characters", "id", 422)
            head["id"] = request_id
        answers = zip(scoring.outputs, scoring.score(self._rows(inputs)), strict=True)
        return {**head, "outputs": [output(column, values) for column, values in answers if column.name in wanted]}

    def _rows(self, inputs: Sequence[Tensor]) -> Any:
        """Rows of all inputs: one tensor that holds every feature, or a tensor for each."""
        width, first = len(self._names.names), inputs[0]
        if len(inputs) == 1 and (first.name not in self._names.names or first.shape[1:] == (width,) != (1,)):
            if len(first.shape) == 2:
                self._names.check_width(first.shape[1], first.where)
            elif first.shape != (width,):
                message = f"expected one tensor of shape [n, {width}], or one for each column"
                raise InputError("wrong_length", message, first.where, 422)
            return [first.values[start : start + width] for start in range(0, len(first.values), width)]
        named = {tensor.name: tensor for tensor in inputs}
        if len(named) != len(inputs):
            raise InputError("unknown_column", "two tensors have one name", None, 422)
        arranged, count = self._names.arrange(named), len(first.values)
        columns = [[None] * count if tensor is None else tensor.values for tensor in arranged]
        if len(set(map(len, columns))) != 1:
            raise InputError("wrong_length", "the columns have different lengths", None, 422)
        return [list(row) for row in zip(*columns, strict=True)]


def read_inputs(request: Any) -> list[Tensor]:
    """Read the inputs of a request. Raises InputError."""
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, list) or not inputs or not all(isinstance(tensor, dict) for tensor in inputs):
        raise InputError("missing_key", "expected an object with inputs, a list of tensors", None, 422)
    return [_read_tensor(tensor) for tensor in inputs]


def _read_tensor(tensor: dict[str, Any]) -> Tensor:
    name = clean_text(str(tensor.get("name")))
    where, shape, kind = f"tensor {name}", tensor.get("shape"), tensor.get("datatype")
    if not isinstance(kind, str) or kind not in _DATATYPES:
        raise InputError("wrong_type", f"datatype is none of {', '.join(_DATATYPES)}", where, 422)
    sizes: list[int] = shape if isinstance(shape, list) else [-1]
    if len(sizes) > DIMENSIONS or not all(type(size) is int and 0 <= size <= LARGEST_WHOLE for size in sizes):
        raise InputError("wrong_length", f"shape is a list of at most {DIMENSIONS} whole numbers", where, 422)
    values = _flatten(tensor.get("data"), where)
    if math.prod(sizes) != len(values):
        raise InputError("wrong_length", f"{len(values)} values for shape {sizes}", where, 422)
    return Tensor(name, tuple(sizes), values)


def _flatten(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise InputError("not_a_list", "expected data, a list", where, 422)
    for _ in range(DIMENSIONS):
        if not any(isinstance(item, list) for item in data):
            return [*data]
        data = [value for item in data for value in (item if isinstance(item, list) else [item])]
    raise InputError("too_deep", f"data is nested more than {DIMENSIONS} deep", where, 422)


def wanted_outputs(request: dict[str, Any], columns: Sequence[Column]) -> list[str]:
    """Names of the outputs that a request asks for, all by default. Raises InputError."""
    names = [column.name for column in columns]
    asked = request.get("outputs") or [{"name": name} for name in names]
    if not isinstance(asked, list) or not all(isinstance(output, dict) for output in asked):
        raise InputError("not_a_list", "expected a list of objects", "outputs", 422)
    for name in (output.get("name") for output in asked):
        if name not in names:
            message = f"there is no output called {clean_text(str(name))!r}; there are {', '.join(names[:12])}"
            raise InputError("unknown_column", message, None, 422)
    return [output["name"] for output in asked]


def datatype(column: Column) -> str:
    """Data type of a column's tensor: labels that are whole numbers are INT64, other categories are texts."""
    if column.numeric:
        return "FP64"
    if column.role != "prediction" or not column.categories:
        return "BYTES"
    whole = all(text.removeprefix("-").isdecimal() and len(text) < 19 for text in column.categories)
    return "INT64" if whole else "BYTES"


def output(column: Column, values: Sequence[Any]) -> dict[str, Any]:
    """Write one output."""
    kind = datatype(column)
    if kind == "INT64" and not all(isinstance(value, (int, float)) for value in values):
        kind = "BYTES"
    write = {"INT64": int, "FP64": float}.get(kind, canonical)
    return {"name": column.name, "shape": [len(values), 1], "datatype": kind, "data": [*map(write, values)]}


def _tensors(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [{"name": column.name, "datatype": datatype(column), "shape": [-1, 1]} for column in columns]


def error_body(_code: str, message: str, where: str | None, error_id: str = "") -> bytes:
    """The protocol's own form of an error."""
    text = f"{message} (error id {error_id})" if error_id else message
    return json.dumps({"error": f"{where}: {text}" if where else text}).encode()
