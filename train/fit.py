"""Fit the example model of a task, and write it beside its reference."""

from __future__ import annotations

import hashlib
import pickle
import platform
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from monitor.clock import Clock, SystemClock, iso
from monitor.columns.column import Floats
from monitor.errors import TelltaleError
from monitor.reference.build import build_reference
from monitor.reference.file import Reference, ReferenceInfo, write_atomically
from train.holdout import baseline_from_rows

Task = Literal["regression", "classification"]


@dataclass(frozen=True)
class Dataset:
    """A table of numbers and what is to be predicted from it.

    `rows`: shape (n, len(names)), float64. `target`: shape (n,), float64 for regression, text for classification.
    """

    title: str
    names: tuple[str, ...]
    rows: Floats
    target: npt.NDArray[Any]

    @property
    def deviations(self) -> Floats:
        """Standard deviation of each feature over all rows, shape (len(names),)."""
        deviations: Floats = np.std(self.rows, axis=0)
        return deviations


def load_dataset(task: Task) -> Dataset:
    """Return the example data of a task.

    >>> load_dataset("regression").rows.shape, load_dataset("classification").names
    ((442, 10), ('sepal_length', 'sepal_width', 'petal_length', 'petal_width'))
    """
    from sklearn.datasets import load_diabetes, load_iris  # over a second, which rows of the user's own do not need

    if task == "regression":
        data = load_diabetes()
        return Dataset("diabetes", tuple(data.feature_names), data.data, data.target)
    data = load_iris()
    names = tuple(name.removesuffix(" (cm)").replace(" ", "_") for name in data.feature_names)
    return Dataset("iris", names, data.data, data.target_names[data.target].astype(str))


MODEL_FILE = "model.pkl"
REFERENCE_FILE = "histogram.prom"

#: What the reference of an example says of itself.
SOURCE = "features of the training rows, predictions on the test rows"

#: Share of the rows that the model never sees: they give the score, and the reference of the predictions.
TEST_SHARE = 0.25
SEED = 42


@dataclass(frozen=True)
class Fitted:
    """A fitted model, and what it was fitted and tried on.

    `training`: shape (n, features). `test`, `test_target`: the m rows that the model was not fitted on, and what is
    true of them. `predictions`: shape (m,), the answers for those.
    """

    model: Any
    data: Dataset
    training: Floats
    test: Floats
    test_target: npt.NDArray[Any]
    predictions: npt.NDArray[Any]
    score_name: str
    score: float


def fit(task: Task, data: Dataset) -> Fitted:
    """Split the rows (always in the same way), fit on one part, score on the other."""
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.metrics import f1_score, r2_score
    from sklearn.model_selection import train_test_split

    regression = task == "regression"
    # 1,000 steps: on iris the solver needs about 110, and warns at its default of 100.
    model: Any = LinearRegression() if regression else LogisticRegression(max_iter=1_000)
    split: dict[str, Any] = {"test_size": TEST_SHARE, "random_state": SEED}
    split["stratify"] = None if regression else data.target
    training, test, training_target, test_target = train_test_split(data.rows, data.target, **split)
    predictions = model.fit(training, training_target).predict(test)
    if regression:
        name, score = "R2", r2_score(test_target, predictions)
    else:
        name, score = "weighted F1", f1_score(test_target, predictions, average="weighted")
    return Fitted(model, data, training, test, test_target, predictions, name, float(score))


def library_versions() -> dict[str, str]:
    """Versions of what a model file and a reference depend on; a library that is not installed as such is left out."""
    versions = {"python": platform.python_version()}
    for library in ("scikit-learn", "numpy", "telltale"):
        with suppress(PackageNotFoundError):  # Telltale itself, when it runs from a checkout
            versions[library.replace("-", "_")] = version(library)
    return versions


def check_free(folder: Path) -> None:
    """Refuse to overwrite anything but an example's pair, or half of one that a crash left. Raises TelltaleError."""
    model, reference = folder / MODEL_FILE, folder / REFERENCE_FILE
    there = [path for path in (model, reference) if path.exists()]
    text = reference.read_text("utf-8", "replace") if reference.is_file() else ""
    own = SOURCE in text and (not model.exists() or hashlib.sha256(model.read_bytes()).hexdigest() in text)
    if any(path.is_file() for path in there) and not own:
        raise TelltaleError(f"{there[0]}: exists, and is no example; --force overwrites it, another folder keeps it")


def write_pair(fitted: Fitted, folder: Path, clock: Clock | None = None) -> Reference:
    """Write `histogram.prom`, then `model.pkl`, and return the reference.

    Each file appears whole or not at all. The reference names the SHA-256 of its model, so that a crash between the
    two leaves a pair that the server refuses, never one that it mixes. The model comes last: if there was none,
    a crash leaves none, and `make run` trains again.

    Raises TelltaleError where the folder cannot be written to.
    """
    model, labels = pickle.dumps(fitted.model, protocol=5), getattr(fitted.model, "classes_", ())
    reference = build_reference(
        fitted.training,
        fitted.predictions,
        names=fitted.data.names,
        prediction_kind="categorical" if len(labels) else "numeric",
        labels=labels,
        info=ReferenceInfo(
            model_sha256=hashlib.sha256(model).hexdigest(),
            created=iso(int((clock or SystemClock()).time())),
            source=f"the {fitted.data.title} data: {SOURCE}",
            versions=library_versions(),
        ),
    )
    baseline = baseline_from_rows(
        reference.schema,
        list(fitted.test.T),
        fitted.test_target,
        lambda columns: [fitted.model.predict(np.stack(columns, axis=1))],
        source="the test rows",
    )
    reference = replace(reference, baseline=baseline)
    try:
        reference.save(folder / REFERENCE_FILE)
        write_atomically(folder / MODEL_FILE, model)
    except OSError as error:
        raise TelltaleError(f"{folder}: cannot write the model here: {error.strerror or error}") from error
    return reference
