"""Model files of several formats, and rows in the form that a model wants.

`.skops` is the one to prefer: a pickle, and a joblib file is one, can run any code when it is loaded. `.onnx` needs the
library `onnxruntime`, `.skops` the library `skops`.
"""

from __future__ import annotations

import logging
import math
import pickle
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from monitor.errors import ModelError
from monitor.window.columns import Column, Schema
from monitor.window.reference import Reference

log = logging.getLogger(__name__)

#: Turns rows, an array or lists of values, into what a model's `predict` takes.
Prepare = Callable[[Any], Any]


def load_estimator(path: Path, data: bytes) -> Any:
    """Read a model file by its suffix; anything but .joblib, .skops and .onnx is a pickle. Raises ModelError."""
    load = {".skops": _skops, ".joblib": _joblib, ".onnx": OnnxModel}.get(path.suffix.lower(), _pickle)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator = load(data)
    except ModuleNotFoundError as error:
        raise ModelError(f"{path}: the model needs the library {error.name!r}, which is not installed") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except Exception as error:
        raise ModelError(f"{path}: cannot be loaded: {type(error).__name__}: {error}") from error
    for warning in caught:
        log.warning("%s: %s", path, str(warning.message).partition("\n")[0])
    if not callable(getattr(estimator, "predict", None)):
        raise ModelError(f"{path}: holds a {type(estimator).__name__}, which has no predict()")
    return estimator


def _pickle(data: bytes) -> Any:
    # Its hash ties the file to the reference that this installation trusts.
    return pickle.loads(data)  # noqa: S301


def _joblib(data: bytes) -> Any:
    return import_module("joblib").load(BytesIO(data))


def _skops(data: bytes) -> Any:
    skops = import_module("skops.io")
    unknown = skops.get_untrusted_types(data=data)
    if unknown:
        raise ModelError(
            f"it holds types that skops does not trust: {', '.join(unknown)}; "
            "where you do, save the model as .joblib (which runs whatever is in it)"
        )
    return skops.loads(data)


class OnnxModel:
    """An ONNX model as an estimator: `predict`, and `predict_proba` where it has a second output."""

    def __init__(self, data: bytes) -> None:
        runtime = import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # one row is no work to share
        self._session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._inputs = self._session.get_inputs()
        outputs = self._session.get_outputs()
        self._first, self._second = outputs[0].name, outputs[1].name if len(outputs) > 1 else None
        if len(self._inputs) > 1:
            self.n_features_in_ = len(self._inputs)
            self.feature_names_in_ = np.array([one.name for one in self._inputs], dtype=object)
        elif isinstance(self._inputs[0].shape[-1], int):
            self.n_features_in_ = self._inputs[0].shape[-1]

    def _feed(self, rows: Any) -> dict[str, Any]:
        if len(self._inputs) == 1:
            return {self._inputs[0].name: _tensor(rows, self._inputs[0].type)}
        columns = zip(*rows, strict=True) if not isinstance(rows, np.ndarray) else rows.T
        return {
            one.name: _tensor(list(column), one.type).reshape(-1, 1)
            for one, column in zip(self._inputs, columns, strict=True)
        }

    def predict(self, rows: Any) -> Any:
        """The first output."""
        answers = np.asarray(self._session.run([self._first], self._feed(rows))[0])
        return answers.ravel() if answers.ndim == 2 and answers.shape[1] == 1 else answers

    def predict_proba(self, rows: Any) -> Any:
        """The second output, shape (n, classes)."""
        if self._second is None:
            raise ModelError("the ONNX model has no second output, and so no probabilities")
        answers = self._session.run([self._second], self._feed(rows))[0]
        if isinstance(answers, list):
            return np.array([list(answer.values()) for answer in answers])
        return np.asarray(answers)


_TENSORS = {"float": np.float32, "double": np.float64, "int64": np.int64, "int32": np.int32, "bool": np.bool_}


def _tensor(values: Any, declared: str) -> Any:
    kind = declared.removeprefix("tensor(").removesuffix(")")
    if kind == "string":
        return np.array(values, dtype=object)
    if kind not in _TENSORS:
        raise ModelError(f"the ONNX model takes a {declared}, which is not supported")
    return np.asarray(values, dtype=_TENSORS[kind])


def preparation(estimator: Any, reference: Reference, path: str) -> Prepare:
    """How rows must look for a model: an array where it takes one, otherwise a frame with names.

    Found out by asking it for one row of the reference. Raises ModelError where it wants a frame and there is no
    pandas, or where it was fitted with other columns than the reference has.
    """
    schema = reference.schema
    if isinstance(estimator, OnnxModel):
        return lambda rows: rows
    names = getattr(estimator, "feature_names_in_", None)
    own = [column.name for column in schema.features]
    if names is None:
        return as_array
    given = [str(name) for name in names]
    if given != own and set(given) & set(own):
        differ = next((f"{a!r} where the reference has {b!r}" for a, b in zip(given, own, strict=False) if a != b), "")
        raise ModelError(f"{path}: the model was fitted with columns in another order or of other names: {differ}")
    row = example(reference)
    if _answers(estimator, as_array([row])):
        return as_array
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise ModelError(
            f"{path}: the model wants a frame with column names, which needs a library: pip install pandas"
        ) from None
    return Frames(pandas, given, schema)


def _answers(estimator: Any, rows: Any) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.predict(rows)
    except Exception:  # noqa: BLE001 - that it does not take an array is what is asked
        return False
    return True


def example(reference: Reference) -> list[Any]:
    """A row that the reference could hold: the mean, or the first category, of each feature."""
    means = reference.means()
    return [
        (means[position] if math.isfinite(means[position]) else 0.0)
        if column.numeric
        else (column.categories[0] if column.categories else "")
        for position, column in enumerate(reference.schema.features)
    ]


class Frames:
    """Makes frames with the names that a model was fitted with."""

    def __init__(self, pandas: Any, names: Sequence[str], schema: Schema) -> None:
        self._pandas, self._names, self._columns = pandas, names, schema.features

    def __call__(self, rows: Any) -> Any:
        """Rows as a frame."""
        columns = rows.T if isinstance(rows, np.ndarray) else zip(*rows, strict=True)
        return self._pandas.DataFrame(
            {
                name: _series(values, column)
                for name, values, column in zip(self._names, columns, self._columns, strict=True)
            }
        )


def _series(values: Any, column: Column) -> Any:
    if column.numeric:
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    if set(map(type, values)) == {bool}:
        return np.array(values)
    out = np.empty(len(values), dtype=object)
    out[:] = [math.nan if value is None else value for value in values]
    return out


def as_array(rows: Any) -> Any:
    """Rows as an array: of floats where all values are numbers, of objects where some are text."""
    if isinstance(rows, np.ndarray):
        return rows
    try:
        return np.array([[math.nan if v is None else v for v in row] for row in rows], dtype=np.float64)
    except (ValueError, TypeError):
        return np.array(rows, dtype=object)
