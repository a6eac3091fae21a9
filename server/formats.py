"""Model files of several formats, and rows in the form that a model wants.

`.skops` is the one to prefer: a pickle, and a joblib file is one, can run any code when it is loaded. `.onnx` needs the
library `onnxruntime`, `.skops` the library `skops`.
"""

from __future__ import annotations

import logging
import math
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

from monitor.columns.canonical import canonical
from monitor.columns.column import Column, Schema
from monitor.errors import ModelError
from monitor.reference.file import Reference
from monitor.tables.parse import number

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
    except Exception as error:
        raise ModelError(f"{path}: {_what_is_wrong(error)}") from error
    for text in dict.fromkeys(_said(warning.message) for warning in caught):
        log.warning("%s: %s", path, text)
    if not callable(getattr(estimator, "predict", None)):
        raise ModelError(f"{path}: holds a {type(estimator).__name__}, which has no predict()")
    return estimator


def _what_is_wrong(error: Exception) -> str:
    """Why a file cannot be loaded, in one line."""
    said = _line(error)
    if isinstance(error, ModelError):
        return said
    if isinstance(error, ModuleNotFoundError) and error.name:
        library = error.name.partition(".")[0]
        if library in sys.modules or find_spec(library) is not None:
            return f"the model needs {error.name}, which the {library} installed here does not have"
        return f"the model needs the library {error.name!r}, which is not installed"
    if isinstance(error, AttributeError) and "__main__" in said:
        return f"{said}: the script that saved the model defined it; put it into a module that can be imported here"
    return f"cannot be loaded: {type(error).__name__}: {said}"


def _said(warning: Warning | str) -> str:
    """A warning in one line, the same one for each part of a model that was saved with another scikit-learn."""
    if isinstance(warning, InconsistentVersionWarning):
        was, now = warning.original_sklearn_version, warning.current_sklearn_version
        return f"saved with scikit-learn {was} and loaded with {now}: what it answers may differ"
    return _line(warning)


def _line(message: object) -> str:
    return str(message).strip().partition("\n")[0]


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
        #: Rows that it takes at a time, None for any number.
        self._rows = next((one.shape[0] for one in self._inputs if one.shape and isinstance(one.shape[0], int)), None)
        #: Columns of each input, None for any number.
        self._widths = [_width(one.shape) for one in self._inputs]
        if len(self._inputs) > 1:
            self._widths = [width or 1 for width in self._widths]
        if None not in self._widths:
            self.n_features_in_ = sum(width or 0 for width in self._widths)
        if len(self._inputs) > 1 and set(self._widths) == {1}:
            self.feature_names_in_ = np.array([one.name for one in self._inputs], dtype=object)

    def _feed(self, rows: Any) -> dict[str, Any]:
        if len(self._inputs) == 1:
            return {self._inputs[0].name: _tensor(rows, self._inputs[0].type)}
        columns = list(zip(*rows, strict=True)) if not isinstance(rows, np.ndarray) else list(rows.T)
        feed, begin = {}, 0
        for one, width in zip(self._inputs, self._widths, strict=True):
            part = columns[begin : begin + (width or 1)]
            feed[one.name] = _tensor(list(zip(*part, strict=True)), one.type)
            begin += len(part)
        return feed

    def _run(self, output: str, rows: Any) -> Any:
        if self._rows is None or len(rows) == self._rows:
            return self._session.run([output], self._feed(rows))[0]
        if self._rows != 1:
            raise ModelError(f"the ONNX model takes {self._rows} rows at a time, not {len(rows)}")
        parts = [self._session.run([output], self._feed(rows[at : at + 1]))[0] for at in range(len(rows))]
        return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else [one for part in parts for one in part]

    def predict(self, rows: Any) -> Any:
        """The first output."""
        answers = np.asarray(self._run(self._first, rows))
        return answers.ravel() if answers.ndim == 2 and answers.shape[1] == 1 else answers

    def predict_proba(self, rows: Any) -> Any:
        """The second output, shape (n, classes)."""
        if self._second is None:
            raise ModelError("the ONNX model has no second output, and so no probabilities")
        answers = self._run(self._second, rows)
        if isinstance(answers, list):
            return np.array([list(answer.values()) for answer in answers])
        return np.asarray(answers)


def _width(shape: Any) -> int | None:
    return shape[-1] if len(shape) > 1 and isinstance(shape[-1], int) else None


_TENSORS = {"float": np.float32, "double": np.float64, "int64": np.int64, "int32": np.int32, "bool": np.bool_}


def _tensor(rows: Any, declared: str) -> Any:
    kind = declared.removeprefix("tensor(").removesuffix(")")
    if kind == "string":
        return np.array([["" if _missing(v) else canonical(v) for v in row] for row in rows], dtype=object)
    if kind not in _TENSORS:
        raise ModelError(f"the ONNX model takes a {declared}, which is not supported")
    return np.asarray(rows, dtype=_TENSORS[kind])


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def preparation(estimator: Any, reference: Reference, path: str) -> Prepare:
    """How rows must look for a model: an array, texts, or a frame with names.

    Found out by asking it for one row of the reference. Raises ModelError where it wants a frame and there is no
    pandas, or where it was fitted with other columns than the reference has.
    """
    schema = reference.schema
    if isinstance(estimator, OnnxModel):
        return lambda rows: rows
    names = getattr(estimator, "feature_names_in_", None)
    own = [column.name for column in schema.features]
    given = own if names is None else [str(name) for name in names]
    if given != own and set(given) & set(own):
        differ = next((f"{a!r} where the reference has {b!r}" for a, b in zip(given, own, strict=False) if a != b), "")
        raise ModelError(f"{path}: the model was fitted with columns in another order or of other names: {differ}")
    numeric = all(column.numeric for column in schema.features)
    arrays: list[Prepare] = [as_array] if len(own) > 1 or numeric else [as_array, as_texts]
    # Fitted with a frame of texts, it gets one; where all are numbers, an array does, and is many times faster.
    if names is not None and not numeric:
        ways = chain(_frames(given, schema), arrays)
    else:
        ways = chain(arrays, _frames(given, schema))
    failed: tuple[Prepare, Exception | SystemExit] | None = None
    for way in ways:
        error = _fails(estimator, way, [example(reference)])
        if error is None:
            return way
        failed = failed or (way, error)
    assert failed is not None
    way, error = failed
    if names is not None and sys.modules.get("pandas") is None:
        raise ModelError(
            f"{path}: the model wants a frame with column names, which needs a library: pip install pandas"
        )
    log.warning(
        "%s: the model does not answer a row of the reference: %s: %s", path, type(error).__name__, _line(error)
    )
    return way


def _frames(names: Sequence[str], schema: Schema) -> Iterator[Prepare]:
    """Frames of both kinds; none without pandas, which nothing else here needs."""
    try:
        pandas = import_module("pandas")
    except ImportError:
        return
    yield Frames(pandas, names, schema)
    yield Frames(pandas, names, schema, as_category=True)


def _fails(estimator: Any, way: Prepare, rows: list[list[Any]]) -> Exception | SystemExit | None:
    """What a model raises for rows in some form; None where it answers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.predict(way(rows))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whether it takes this form is what is asked
        return error
    return None


def example(reference: Reference) -> list[Any]:
    """A row that the reference could hold: the mean, or the first category, of each feature."""
    means = reference.means()
    return [
        (means[position] if math.isfinite(means[position]) else 0.0)
        if column.numeric
        else (typed(column)(column.categories[0]) if column.categories else "")
        for position, column in enumerate(reference.schema.features)
    ]


#: The two categories of a column of booleans.
_BOOLEANS = {"true": True, "false": False}


def typed(column: Column) -> Callable[[str], Any]:
    """How the text of a category becomes the value that a model was fitted with.

    That is a number or a boolean where all of the column's categories are; `007` is neither, and stays a text.
    """
    categories = frozenset(column.categories)
    if categories and categories <= _BOOLEANS.keys():
        return lambda text: _BOOLEANS.get(text.lower(), text)
    numbers = [_as_number(one) for one in categories]
    if numbers and not any(isinstance(one, str) for one in numbers) and set(map(canonical, numbers)) == categories:
        return _as_number
    return lambda text: text


def _as_number(text: str) -> Any:
    value = number(text)
    if value is None or not math.isfinite(value):
        return text
    return int(value) if value.is_integer() else value


class Frames:
    """Makes frames with the names that a model was fitted with; `as_category`: texts as pandas' categories."""

    def __init__(self, pandas: Any, names: Sequence[str], schema: Schema, as_category: bool = False) -> None:
        self._pandas, self._names, self._columns = pandas, names, schema.features
        self._as_category = as_category

    def __call__(self, rows: Any) -> Any:
        """Rows as a frame."""
        columns = rows.T if isinstance(rows, np.ndarray) else zip(*rows, strict=True)
        return self._pandas.DataFrame(
            {
                name: self._series(values, column)
                for name, values, column in zip(self._names, columns, self._columns, strict=True)
            }
        )

    def _series(self, values: Any, column: Column) -> Any:
        if column.numeric:
            return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
        types = set(map(type, values))
        if types in ({bool}, {int}):
            return np.array(values)
        if types & {int, float} and types <= {int, float, type(None)}:
            return np.array(values, dtype=np.float64)
        out = np.empty(len(values), dtype=object)
        out[:] = [math.nan if value is None else value for value in values]
        if self._as_category:
            # In the order of `astype("category")`, which older libraries take the codes from.
            return self._pandas.Categorical(out, categories=sorted(map(typed(column), column.categories)))
        return out


def as_array(rows: Any) -> Any:
    """Rows as an array: of floats where all values are numbers, of objects where some are text."""
    if isinstance(rows, np.ndarray):
        return rows
    try:
        return np.array([[math.nan if v is None else v for v in row] for row in rows], dtype=np.float64)
    except (ValueError, TypeError):
        return np.array(rows, dtype=object)


def as_texts(rows: Any) -> Any:
    """Rows of one text each as a flat array, which is what a vectoriser of texts takes."""
    return np.array([row[0] for row in rows], dtype=object)
