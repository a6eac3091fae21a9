"""Tensors of the Open Inference Protocol, as JSON and in its binary form, which follows the JSON part of a body.

A numeric tensor in binary form is its values, little-endian, row by row; of a text tensor, the length of each text as
four bytes, and the text. Which form an output has is the client's choice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.columns.canonical import canonical
from monitor.columns.column import Column, clean_text
from monitor.errors import InputError
from server.payload import LARGEST_WHOLE, load

#: numpy's name of each numeric data type; BF16, which numpy does not know, is the upper half of an FP32.
_NUMBERS = (
    {"BOOL": "?", "FP16": "<f2", "BF16": "<u2", "FP32": "<f4", "FP64": "<f8"}
    | {f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)}
    | {f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)}
)
_DATATYPES = (*sorted(_NUMBERS), "BYTES")

#: Dimensions of a tensor, and lists within one another in its data.
DIMENSIONS = 8

#: Characters of a request's id, which the answer repeats.
LONGEST_ID = 200


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input: its values flat, a list or an array of numbers."""

    name: str
    shape: tuple[int, ...]
    values: list[Any] | npt.NDArray[Any]

    @property
    def where(self) -> str:
        """How an error names it."""
        return f"tensor {self.name}"


def read_request(body: bytes, header_length: str | None) -> tuple[dict[str, Any], list[Tensor]]:
    """Read a body: its JSON part and its inputs. `header_length`: what the client says the JSON part's length is.

    Raises InputError.
    """
    length = len(body)
    if header_length is not None:
        length = int(header_length) if header_length.isdecimal() and len(header_length) < 16 else -1
        if not 0 < length <= len(body):
            message = f"expected the length of the JSON part, 1 to {len(body)} bytes; got {header_length[:20]!r}"
            raise InputError("bad_request", message, "header Inference-Header-Content-Length")
    data = load(body[:length])
    inputs = data.get("inputs") if isinstance(data, dict) else None
    if not isinstance(inputs, list) or not inputs or not all(isinstance(one, dict) for one in inputs):
        raise InputError("missing_key", "expected an object with inputs, a list of tensors", None, 422)
    rest, tensors = body[length:], []
    for one in inputs:
        tensor, used = _read_tensor(one, rest)
        tensors.append(tensor)
        rest = rest[used:]
    if rest:
        raise InputError("wrong_length", f"{len(rest)} bytes behind the last tensor belong to none", None, 422)
    return data, tensors


def _read_tensor(given: dict[str, Any], rest: bytes) -> tuple[Tensor, int]:
    """One tensor, and how many bytes of binary data were its own."""
    name = clean_text(str(given.get("name")))
    where, shape, kind = f"tensor {name}", given.get("shape"), given.get("datatype")
    if not isinstance(kind, str) or kind not in _DATATYPES:
        raise InputError("wrong_type", f"datatype is none of {', '.join(_DATATYPES)}", where, 422)
    sizes: list[int] = shape if isinstance(shape, list) else [-1]
    if len(sizes) > DIMENSIONS or not all(type(one) is int and 0 <= one <= LARGEST_WHOLE for one in sizes):
        raise InputError("wrong_length", f"shape is a list of at most {DIMENSIONS} whole numbers", where, 422)
    size = _parameters(given, where).get("binary_data_size")
    values: list[Any] | npt.NDArray[Any]
    if size is None:
        values, size = _flatten(given.get("data"), where), 0
    else:
        if type(size) is not int or not 0 <= size <= len(rest):
            message = f"binary_data_size is {size!r:.40}, and {len(rest)} bytes of binary data are left"
            raise InputError("wrong_length", message, where, 422)
        values = _texts(rest[:size], where) if kind == "BYTES" else _numbers(rest[:size], kind, where)
    if math.prod(sizes) != len(values):
        raise InputError("wrong_length", f"{len(values)} values for shape {sizes}", where, 422)
    return Tensor(name, tuple(sizes), values), size


def _parameters(given: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = given.get("parameters")
    if not isinstance(parameters, dict):
        return {}
    if "shared_memory_region" in parameters:
        raise InputError("wrong_type", "shared memory is not supported: send the values", where, 422)
    return parameters


def _flatten(given: Any, where: str) -> list[Any]:
    if not isinstance(given, list):
        raise InputError("not_a_list", "expected data, a list, or binary_data_size among the parameters", where, 422)
    for _ in range(DIMENSIONS):
        if not any(isinstance(one, list) for one in given):
            return list(given)
        given = [value for one in given for value in (one if isinstance(one, list) else [one])]
    raise InputError("too_deep", f"data is nested more than {DIMENSIONS} deep", where, 422)


def _numbers(data: bytes, kind: str, where: str) -> npt.NDArray[Any]:
    dtype = np.dtype(_NUMBERS[kind])
    if len(data) % dtype.itemsize:
        raise InputError("wrong_length", f"{len(data)} bytes are no whole number of {kind}", where, 422)
    values = np.frombuffer(data, dtype)
    if kind == "BF16":
        return (values.astype("<u4") << 16).view("<f4")
    if kind in ("INT64", "UINT64") and len(values) and (values.max() > LARGEST_WHOLE or values.min() < -LARGEST_WHOLE):
        raise InputError("out_of_range", "a whole number beyond 2**53 cannot be represented exactly", where, 422)
    return values


def _texts(data: bytes, where: str) -> list[Any]:
    texts: list[Any] = []
    at = 0
    while at < len(data):
        begin = at + 4
        at = begin + int.from_bytes(data[at:begin], "little")
        if max(begin, at) > len(data):
            raise InputError("wrong_length", f"text {len(texts)} reaches beyond the tensor's bytes", where, 422)
        try:
            texts.append(data[begin:at].decode("utf-8"))
        except UnicodeDecodeError:
            raise InputError("not_utf8", f"text {len(texts)} is not UTF-8", where, 422) from None
    return texts


def datatype(column: Column) -> str:
    """Data type of a column's tensor: labels that are whole numbers are INT64, other categories are texts."""
    if column.numeric:
        return "FP64"
    whole = bool(column.categories) and all(
        text.removeprefix("-").isdecimal() and len(text) < 19 for text in column.categories
    )
    return "INT64" if whole and column.role == "prediction" else "BYTES"


def wanted_outputs(request: dict[str, Any], columns: Sequence[Column]) -> dict[str, bool]:
    """The outputs that a request asks for, all by default, and which of them in binary form. Raises InputError."""
    names = [column.name for column in columns]
    binary = _parameters(request, "").get("binary_data_output") is True
    asked = request.get("outputs") or [{"name": name} for name in names]
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise InputError("not_a_list", "expected a list of objects", "outputs", 422)
    wanted = {}
    for one in asked:
        name = one.get("name")
        if name not in names:
            message = f"there is no output called {clean_text(str(name))!r}; there are {', '.join(names[:12])}"
            raise InputError("unknown_column", message, None, 422)
        parameters = _parameters(one, f"output {name}")
        if parameters.get("classification"):
            raise InputError("wrong_type", "classification is not supported", f"output {name}", 422)
        wanted[name] = bool(parameters.get("binary_data", binary))
    return wanted


def write_response(
    head: dict[str, Any], wanted: dict[str, bool], columns: Sequence[Column], answers: Sequence[Sequence[Any]]
) -> tuple[bytes, int | None]:
    """Write an answer. Returns the body, and the length of its JSON part if binary data follows.

    `wanted`: the outputs, and which of them in binary form.
    """
    outputs, parts = [], []
    for column, values in zip(columns, answers, strict=True):
        kind, plain = _plain(column, values)
        output: dict[str, Any] = {"name": column.name, "shape": [len(values), 1], "datatype": kind}
        if column.name not in wanted:
            continue
        if wanted[column.name]:
            part = _pack(kind, plain)
            output["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
        else:
            output["data"] = plain
        outputs.append(output)
    text = json.dumps({**head, "outputs": outputs}).encode()
    return b"".join([text, *parts]), len(text) if parts else None


def _plain(column: Column, values: Sequence[Any]) -> tuple[str, list[Any]]:
    kind = datatype(column)
    if kind == "INT64" and all(isinstance(value, (int, float)) for value in values):
        return kind, [int(value) for value in values]
    if kind == "FP64":
        return kind, [float(value) for value in values]
    return "BYTES", [canonical(value) for value in values]


def _pack(kind: str, values: list[Any]) -> bytes:
    if kind != "BYTES":
        return np.array(values, _NUMBERS[kind]).tobytes()
    texts = [text.encode("utf-8", "replace") for text in values]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
