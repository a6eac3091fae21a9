"""The two data sets that come with scikit-learn, so that a newcomer needs no download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_diabetes, load_iris

from monitor.columns.column import Floats

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
    if task == "regression":
        data = load_diabetes()
        return Dataset("diabetes", tuple(data.feature_names), data.data, data.target)
    data = load_iris()
    names = tuple(name.removesuffix(" (cm)").replace(" ", "_") for name in data.feature_names)
    return Dataset("iris", names, data.data, data.target_names[data.target].astype(str))
