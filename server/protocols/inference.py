"""The Open Inference Protocol, version 2: `/v2` and everything below it, with tensors as JSON or in binary form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

import numpy as np

from monitor import __version__
from monitor.columns.column import Column
from monitor.errors import InputError
from server.endpoint import Answer, NotAllowedError
from server.payload import check_json_type, read_body, short
from server.predict import Predictor
from server.protocols.tensors import LONGEST_ID, Tensor, datatype, read_request, wanted_outputs, write_response


class OpenInference:
    """Answers every path below `/v2`."""

    def __init__(self, scoring: Predictor) -> None:
        self._scoring, self._names = scoring, scoring.names
        self._numeric = all(column.numeric for column in scoring.features)
        #: What is answered by path below `/v2`; None for what asks the model.
        self.places: dict[str, dict[str, Any] | None] = {
            "": {"name": "telltale", "version": __version__, "extensions": ["binary_tensor_data"]},
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
            raise NotAllowedError(path, (wanted,))
        return Answer(json.dumps(about).encode()) if about else self._infer(environ)

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

    def _infer(self, environ: WSGIEnvironment) -> Answer:
        scoring = self._scoring
        kind = environ.get("CONTENT_TYPE", "")
        # Triton's client names no type. A browser names the origin of the page that sends one without.
        if (kind or "HTTP_ORIGIN" in environ) and kind.partition(";")[0].strip().lower() != "application/octet-stream":
            check_json_type(kind, "application/json or application/octet-stream")
        body = read_body(environ, scoring.max_body)
        request, inputs = read_request(body, environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH"))
        wanted = wanted_outputs(request, scoring.outputs)
        answers = scoring.score(self._rows(inputs))
        head = {"model_name": scoring.name, "model_version": scoring.version}
        if given := request.get("id"):
            if not isinstance(given, str) or len(given) > LONGEST_ID:
                raise InputError("bad_id", f"an id is a text of at most {LONGEST_ID} characters", "id", 422)
            head["id"] = given
        content, length = write_response(head, wanted, scoring.outputs, answers)
        if length is None:
            return Answer(content)
        headers = (("Inference-Header-Content-Length", str(length)),)
        return Answer(content, 200, "application/octet-stream", headers)

    def _rows(self, inputs: Sequence[Tensor]) -> Any:
        """Rows of all inputs: one tensor that holds every feature, or a tensor for each."""
        width = len(self._names.names)
        if len(inputs) == 1 and (inputs[0].name not in self._names.names or inputs[0].shape[1:] == (width,) != (1,)):
            return self._matrix(inputs[0], width)
        named = {one.name: one for one in inputs}
        if len(named) != len(inputs):
            raise InputError("unknown_column", "two tensors have one name", None, 422)
        arranged, count = self._names.arrange(named), len(inputs[0].values)
        columns: list[Any] = [[None] * count if one is None else one.values for one in arranged]
        if len(set(map(len, columns))) != 1:
            raise InputError("wrong_length", "the columns have different lengths", None, 422)
        if self._numeric and all(map(_of_numbers, columns)):
            return np.column_stack(columns).astype(np.float64)
        return [list(row) for row in zip(*map(_listed, columns), strict=True)]

    def _matrix(self, tensor: Tensor, width: int) -> Any:
        if len(tensor.shape) == 2:
            self._names.check_width(tensor.shape[1], tensor.where)
        elif tensor.shape != (width,):
            message = f"expected one tensor of shape [n, {width}], or one for each column"
            raise InputError("wrong_length", message, tensor.where, 422)
        if self._numeric and _of_numbers(tensor.values):
            return np.asarray(tensor.values, np.float64).reshape(-1, width)
        flat = _listed(tensor.values)
        return [flat[start : start + width] for start in range(0, len(flat), width)]


def _tensors(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [{"name": one.name, "datatype": datatype(one), "shape": [-1, 1]} for one in columns]


def _of_numbers(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "iuf"


def _listed(values: Any) -> Any:
    return values.tolist() if isinstance(values, np.ndarray) else values


def error_body(_code: str, message: str, where: str | None, error_id: str = "") -> bytes:
    """The protocol's own form of an error."""
    said = f"{message} (error id {error_id})" if error_id else message
    return json.dumps({"error": f"{where}: {said}" if where else said}).encode()
