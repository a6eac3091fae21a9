"""ONNX models as estimators: `predict`, and `predict_proba` if there is a second output."""

from __future__ import annotations

from importlib import import_module
from itertools import islice
from typing import Any

import numpy as np

from monitor.columns.canonical import canonical
from monitor.columns.column import MISSING
from monitor.errors import ModelError


class OnnxModel:
    """An ONNX model as an estimator.

    The first output, or the one whose name contains `label`, is the prediction; the other one of a classifier has
    probabilities. `_rows`: rows that it takes at a time; `_widths`: columns of each input; None for any number.
    """

    def __init__(self, data: bytes) -> None:
        runtime = import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # one row is too little work to share
        self._session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._inputs = self._session.get_inputs()
        outputs = [output.name for output in self._session.get_outputs()]
        self._label_output = next((name for name in outputs if "label" in name.lower()), outputs[0])
        self._probability_output = next((name for name in outputs if name != self._label_output), None)
        shapes = [tensor.shape for tensor in self._inputs]
        self._rows = next((shape[0] for shape in shapes if shape and isinstance(shape[0], int)), None)
        self._widths = [shape[-1] if len(shape) > 1 and isinstance(shape[-1], int) else None for shape in shapes]
        if len(self._inputs) > 1:
            # Of several inputs, one of unknown width holds one column.
            self._widths = [width or 1 for width in self._widths]
        if None not in self._widths:
            self.n_features_in_ = sum(width or 0 for width in self._widths)
        if len(self._inputs) > 1 and set(self._widths) == {1}:
            self.feature_names_in_ = np.array([tensor.name for tensor in self._inputs], dtype=object)

    @property
    def kinds(self) -> list[str]:
        """Return the kind of value of each column: `text`, `boolean` or `number`; empty for any number of columns."""
        kinds = {"tensor(string)": "text", "tensor(bool)": "boolean"}
        pairs = zip(self._inputs, self._widths, strict=True)
        return [kinds.get(tensor.type, "number") for tensor, width in pairs for _ in range(width or 0)]

    def _feed(self, rows: Any) -> dict[str, Any]:
        if len(self._inputs) == 1:
            return {self._inputs[0].name: _tensor(rows, self._inputs[0])}
        columns = iter(rows.T if isinstance(rows, np.ndarray) else zip(*rows, strict=True))
        parts = [list(islice(columns, width)) for width in self._widths]
        pairs = zip(self._inputs, parts, strict=True)
        return {tensor.name: _tensor(list(zip(*part, strict=True)), tensor) for tensor, part in pairs}

    def _run(self, output: str, rows: Any) -> Any:
        if self._rows is None or len(rows) == self._rows:
            return self._session.run([output], self._feed(rows))[0]
        if self._rows != 1:
            raise ModelError(f"the ONNX model takes {self._rows} rows at a time, not {len(rows)}")
        parts = [self._session.run([output], self._feed(rows[at : at + 1]))[0] for at in range(len(rows))]
        return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else [row for part in parts for row in part]

    def predict(self, rows: Any) -> Any:
        """Return the predictions, shape (n,) or (n, outputs)."""
        answers = np.asarray(self._run(self._label_output, rows))
        return answers.ravel() if answers.ndim == 2 and answers.shape[1] == 1 else answers

    def predict_proba(self, rows: Any) -> Any:
        """Return the second output, shape (n, classes). The keys of a ZipMap become `classes_`."""
        if self._probability_output is None:
            raise ModelError("the ONNX model has no second output, and so no probabilities")
        answers = self._run(self._probability_output, rows)
        if isinstance(answers, list):
            self.classes_ = np.array(list(answers[0]))
            return np.array([[answer[label] for label in answers[0]] for answer in answers])
        return np.asarray(answers)


_TENSORS = {"float": np.float32, "double": np.float64, "int64": np.int64, "int32": np.int32, "bool": np.bool_}


def _tensor(rows: Any, declared: Any) -> Any:
    kind = declared.type.removeprefix("tensor(").removesuffix(")")
    if kind == "string":
        texts = [[canonical(value) for value in row] for row in rows]
        return np.array([["" if text == MISSING else text for text in row] for row in texts], dtype=object)
    if kind not in _TENSORS:
        raise ModelError(f"the ONNX model takes a {declared.type}, which is not supported")
    if kind not in ("float", "double"):
        numbers = np.asarray(rows, dtype=np.float64)
        # A cast would make NaN and 2.5 another number without a word.
        if not (np.floor(numbers) == numbers).all():
            raise ModelError(f"input {declared.name!r} of the ONNX model takes whole numbers, and none missing")
        return numbers.astype(_TENSORS[kind])
    return np.asarray(rows, dtype=_TENSORS[kind])
