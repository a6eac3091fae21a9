"""A fitted model from a file, and its answers for chunks of a table."""

from __future__ import annotations

import hashlib
import math
import stat
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import is_regressor

from monitor.columns.canonical import Block, canonical
from monitor.columns.column import Kind
from monitor.errors import DataError, ModelError
from monitor.reference.build import Chunk, as_table
from server.formats import OnnxModel, load_estimator


@dataclass(frozen=True)
class Model:
    """A fitted model.

    `inputs`: names of its columns, where it was fitted with names. `width`: number of its columns, where it says so.
    `labels`: what a classifier can answer.
    """

    path: Path
    predictor: Any
    sha256: str

    @property
    def title(self) -> str:
        """The model in a word: `GradientBoostingRegressor`, or the last step of a pipeline."""
        steps = getattr(self.predictor, "steps", None)
        return type(steps[-1][1]).__name__ if steps else type(self.predictor).__name__

    @property
    def inputs(self) -> tuple[str, ...] | None:
        """Names of the columns that it was fitted with."""
        names = getattr(self.predictor, "feature_names_in_", None)
        return None if names is None else tuple(str(name) for name in names)

    @property
    def width(self) -> int | None:
        """Number of columns that it was fitted with."""
        return getattr(self.predictor, "n_features_in_", None)

    @property
    def prediction_kind(self) -> Kind | None:
        """Categorical for a classifier, numeric for a regressor, None where it cannot be known."""
        if hasattr(self.predictor, "classes_"):
            return "categorical"
        return "numeric" if _is_regressor(self.predictor) else None

    @property
    def labels(self) -> tuple[object, ...]:
        """What a classifier can answer; empty for all else, and where there are several outputs."""
        classes = getattr(self.predictor, "classes_", ())
        return tuple(classes) if isinstance(classes, np.ndarray) and classes.ndim == 1 else ()

    def check_proba(self) -> None:
        """Raises ModelError where the model has no probabilities of classes."""
        if not callable(getattr(self.predictor, "predict_proba", None)):
            raise ModelError(
                f"--proba: {self.path} holds {self.title}, which has no predict_proba(); leave --proba out"
            )
        if isinstance(getattr(self.predictor, "classes_", None), list):
            raise ModelError(
                f"--proba: {self.path} has several outputs, each with classes of its own; leave --proba out"
            )

    def predict(
        self, names: Sequence[str], chunk: Chunk, proba: bool = False, categories: Sequence[Sequence[str]] = ()
    ) -> tuple[tuple[str, ...], Chunk]:
        """Answers for one chunk of a table whose columns are called `names`: names and blocks, one for each output.

        `proba`: with a column `proba_CLASS` for each class after the label, as `[model] proba` wants them.
        `categories`: of each column, for a model that was fitted with pandas' categories.

        Raises ModelError where the model does not take these rows.
        """
        failed: Exception | None = None
        for rows in self._forms(names, chunk, categories):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about names that an array does not have
                    answers = self.predictor.predict(rows)
                    shares = np.asarray(self.predictor.predict_proba(rows), dtype=np.float64) if proba else None
                break
            except Exception as error:  # noqa: BLE001 - a model is anybody's code
                failed = failed or error
        else:
            assert failed is not None
            hint = "; it was fitted with a frame: `pip install pandas`" if self.inputs and not _pandas() else ""
            raise ModelError(
                f"{self.path}: the model cannot predict these rows: {_first_line(failed)}{hint}"
            ) from failed
        try:
            table = as_table(answers, None, "prediction", kind=self.prediction_kind)
        except DataError as error:
            raise ModelError(f"{self.path}: what the model answers is no table: {error}") from error
        if len(table.columns[0]) != len(chunk[0]):
            raise ModelError(f"{self.path}: the model answers {len(table.columns[0])} rows for {len(chunk[0])}")
        if shares is None:
            return table.names, table.columns
        classes = [canonical(label) for label in self.labels] or [str(i) for i in range(shares.shape[-1])]
        if len(table.columns) > 1 or shares.shape != (len(chunk[0]), len(classes)):
            raise ModelError(f"--proba: {self.path} answers probabilities of shape {shares.shape}; leave it out")
        return ("prediction", *(f"proba_{label}" for label in classes)), (*table.columns, *shares.T)

    def _forms(self, names: Sequence[str], chunk: Chunk, categories: Sequence[Sequence[str]]) -> Iterator[Any]:
        """The chunk in the forms that the model may want.

        A frame with names where it was fitted with one, and a frame of pandas' categories; otherwise an array.
        """
        if self.inputs is None or isinstance(self.predictor, OnnxModel) or not (pandas := _pandas()):
            yield _array(chunk)
            return
        frame = pandas.DataFrame({name: _values(block) for name, block in zip(names, chunk, strict=True)})
        yield frame
        known = dict(zip(names, categories, strict=False))
        texts = [name for name in names if frame[name].dtype.kind == "O" and known.get(name)]
        if texts:
            # In the order of `astype("category")`, which some libraries take the codes from.
            yield frame.assign(**{name: pandas.Categorical(frame[name], sorted(known[name])) for name in texts})


def _array(chunk: Chunk) -> Any:
    numbers = [block for block in chunk if isinstance(block, np.ndarray)]
    if len(numbers) == len(chunk):
        return np.column_stack(numbers)
    rows = np.empty((len(chunk[0]), len(chunk)), dtype=object)
    for position, block in enumerate(chunk):
        rows[:, position] = _values(block)
    return rows


def load_model(path: Path) -> Model:
    """Load a model file of any kind that can be served. A pickle runs code that it holds: load only what you trust.

    Raises ModelError with a way out.
    """
    try:
        content = path.read_bytes()
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such model file") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    if mode & stat.S_IWOTH:
        raise ModelError(f"{path}: everybody may write to it, and loading it runs its code: chmod o-w {path}")
    return Model(path, load_estimator(path, content), hashlib.sha256(content).hexdigest())


def _pandas() -> Any:
    """Return the library, which is no dependency, or None."""
    try:
        return import_module("pandas")
    except ImportError:
        return None


def _values(block: Block) -> Any:
    """Values as the model was given them: numbers, texts with NaN where missing, or booleans."""
    if isinstance(block, np.ndarray):
        return block
    found = set(block)
    if found <= {"true", "false"}:
        return np.array([text == "true" for text in block])
    known: dict[str | None, object] = {None: math.nan}
    if found <= {"true", "false", None}:
        known |= {"true": True, "false": False}
    out = np.empty(len(block), dtype=object)
    out[:] = [known.get(text, text) for text in block]
    return out


def as_texts(block: Block) -> Block:
    """Numbers of a column that holds texts elsewhere, as texts."""
    if not isinstance(block, np.ndarray):
        return block
    return [None if math.isnan(value) else canonical(value) for value in block.tolist()]


def _is_regressor(predictor: Any) -> bool:
    try:
        return bool(is_regressor(predictor))
    except Exception:  # noqa: BLE001  # not an estimator of scikit-learn's making
        return False


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
