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
        self._scoring = scoring
        self._names = scoring.names
        self._numeric = all(column.numeric for column in scoring.features)
        self._about = {
            (): {"name": "telltale", "version": __version__, "extensions": ["binary_tensor_data"]},
            ("health", "live"): {"live": True},
            ("health", "ready"): {"ready": True},
        }
        self._about_model = {
            (): {
                "name": scoring.name,
                "versions": [scoring.version],
                "platform": "telltale",
                "inputs": _tensors(scoring.features),
                "outputs": _tensors(scoring.outputs),
            },
            ("ready",): {"name": scoring.name, "ready": True},
        }

    def routes(self) -> set[str]:
        """Every method and path that is answered, such as `GET /v2/models/NAME`."""
        model = "/v2/models/NAME"
        here = {"GET " + "/".join(("/v2", *parts)) for parts in self._about}
        of_model = {("POST", ("infer",))} | {("GET", parts) for parts in self._about_model}
        for base in (model, f"{model}/versions/VERSION"):
            here |= {f"{method} {'/'.join((base, *parts))}" for method, parts in of_model}
        return here

    def __call__(self, environ: WSGIEnvironment) -> Answer:
        """Answer one request. Raises InputError."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        parts = tuple(path.strip("/").split("/"))[1:]
        if parts[:1] == ("models",) and len(parts) > 1:
            found = self._of_model(parts[1:])
            infer = found == ("infer",)
            about = self._about_model.get(found)
        else:
            infer, about = False, self._about.get(parts)
        if about is None and not infer:
            raise InputError("not_found", f"there is no {short(path, 200)}", None, 404)
        wanted = "POST" if infer else "GET"
        if method != wanted:
            raise NotAllowedError(path, (wanted,))
        return self._infer(environ) if infer else Answer(json.dumps(about).encode())

    def _of_model(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """What is asked of the model, without its name and version. Raises InputError if either is another's."""
        scoring = self._scoring
        if parts[0] != scoring.name:
            raise InputError("unknown_model", f"the model that is served here is called {scoring.name!r}", None, 404)
        if parts[1:2] == ("versions",) and len(parts) > 2:
            if parts[2] != scoring.version:
                raise InputError("unknown_model", f"version {scoring.version!r} is served here", None, 404)
            return parts[3:]
        return parts[1:]

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
        if request.get("id"):
            head["id"] = check_id(request["id"])
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


def check_id(given: Any) -> str:
    """The request's id, which the answer repeats. Raises InputError."""
    if not isinstance(given, str) or len(given) > LONGEST_ID:
        raise InputError("bad_id", f"an id is a text of at most {LONGEST_ID} characters", "id", 422)
    return given


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
