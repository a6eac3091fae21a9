"""The model that is served: loaded once, checked against its reference, asked through one vectorised call."""

from __future__ import annotations

import hashlib
import logging
import math
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from monitor.config.load import ModelConfig
from monitor.errors import ModelError
from monitor.reference.file import Reference
from server.formats import Prepare, as_array, load_estimator, preparation

log = logging.getLogger(__name__)


class Model:
    """A fitted estimator. `version` names it in metrics, tables and messages."""

    def __init__(self, estimator: Any, sha256: str, version: str, prepare: Prepare = as_array) -> None:
        self.estimator = estimator
        self.prepare = prepare
        self.sha256 = sha256
        self.version = version or sha256[:12]

    def predict(self, rows: Any) -> list[Any]:
        """Predict rows, shape (n, features), in one call; a plain Python value for each. Raises what the model raises.

        Raises ModelError for an answer that is not one value a row, or not a finite number.
        """
        return plain(np.asarray(self.estimator.predict(self.prepare(rows))), len(rows))


def plain(answers: np.ndarray[Any, Any], count: int) -> list[Any]:
    """A plain Python value for each of `count` rows. Raises ModelError for anything but finite numbers and texts."""
    if answers.shape != (count,):
        if answers.shape != (count, 1):
            raise ModelError(f"the model answered shape {answers.shape} for {count} rows")
        answers = answers[:, 0]
    kind, values = answers.dtype.kind, answers.tolist()
    if kind == "O":
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if kind not in "fiubU" and not all(isinstance(value, (str, int, float)) for value in values):
        raise ModelError(f"the model answered {type(values[0]).__name__}, which is neither a number nor a text")
    if kind == "f":
        finite = math.isfinite(values[0]) if count == 1 else bool(np.isfinite(answers).all())
    else:
        finite = kind != "O" or all(math.isfinite(value) for value in values if isinstance(value, float))
    if not finite:
        raise ModelError("the model answered a number that is not finite")
    return values  # type: ignore[no-any-return]


def load_model(config: ModelConfig, reference: Reference) -> Model:
    """Load `[model] path` and hold it against its reference.

    Raises ModelError in one line: no such file, writable by everybody, unreadable, another model's reference, another
    number of features.
    """
    path = Path(config.path)
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file; `python -m train` makes one") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    if mode & stat.S_IWOTH:
        raise ModelError(f"{path}: everybody may write to it, and a pickle can run code: chmod o-w {path}")
    sha256 = hashlib.sha256(data).hexdigest()
    expected = reference.info.model_sha256
    if expected and expected != sha256:
        raise ModelError(
            f"{path}: its SHA-256 is {sha256[:12]}…, but {config.reference} was made for {expected[:12]}…; "
            "train again, or put the matching pair here"
        )
    estimator = load_estimator(path, data)
    wanted, given = getattr(estimator, "n_features_in_", None), len(reference.schema.features)
    if wanted is not None and wanted != given:
        raise ModelError(f"{path}: the model takes {wanted} features, but {config.reference} has {given}")
    # Requests are checked before they come here; scikit-learn's own checks would double the time of a prediction.
    sklearn.set_config(assume_finite=True, skip_parameter_validation=True)
    # A model that was fitted with a frame gets an array where it takes one; the order of columns is compared.
    warnings.filterwarnings("ignore", "X does not have valid feature names")
    return Model(estimator, sha256, config.version, preparation(estimator, reference, config.path))
