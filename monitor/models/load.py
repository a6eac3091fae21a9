"""Read model files: pickle, joblib with or without compression, skops and ONNX.

`.skops` is the format to prefer: a pickle, and so a joblib file, can run any code when it is loaded.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import stat
import sys
import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from monitor.errors import ModelError
from monitor.models.onnx import OnnxModel
from monitor.words import program

log = logging.getLogger(__name__)

#: Names of model files that a hint looks for beside the one that is missing.
SUFFIXES = (".pkl", ".pickle", ".joblib", ".skops", ".onnx", ".sav")


@dataclass(frozen=True)
class Loaded:
    """A model as it came out of its file."""

    path: Path
    estimator: Any
    sha256: str


def load(path: Path, expected: str = "", source: str = "") -> Loaded:
    """Load a model file. A pickle runs code that it holds: load only what you trust.

    `expected`: the SHA-256 of the model that the reference file `source` was made for; another file is refused before
    anything of it runs. Raises ModelError with a way out.
    """
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such model file; {way_out(path)}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    if mode & stat.S_IWOTH:
        raise ModelError(f"{path}: everybody may write to it, and loading a model can run its code: chmod o-w {path}")
    sha256 = hashlib.sha256(data).hexdigest()
    if expected and expected != sha256:
        what = f"its SHA-256 is {sha256[:12]}…, but {source} was made for {expected[:12]}…"
        raise ModelError(f"{path}: {what}; train again, or put the matching pair here")
    return Loaded(path, load_estimator(path, data), sha256)


def way_out(path: Path) -> str:
    """Say what to do when a model file is missing: name the model files that are there, or train an example."""
    folder = path.parent
    names = sorted(file.name for file in folder.glob("*") if file.suffix in SUFFIXES)
    if names:
        return f"there is {', '.join(names[:5])}: name it in config.toml, [model] path = {str(folder / names[0])!r}"
    return f"`{program()} train` trains an example model"


def load_estimator(path: Path, data: bytes) -> Any:
    """Read the content of a model file: ONNX by suffix, skops by content too, all else as joblib does.

    Raises ModelError.
    """
    suffix = path.suffix.lower()
    read: Any = OnnxModel if suffix == ".onnx" else _skops if suffix == ".skops" or _is_skops(data) else _joblib
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator = read(data)
    except Exception as error:
        raise ModelError(f"{path}: {_what_is_wrong(error)}") from error
    for text in dict.fromkeys(_warning_line(warning.message) for warning in caught):
        log.warning("%s: %s", path, text)
    if not callable(getattr(estimator, "predict", None)):
        raise ModelError(f"{path}: holds a {type(estimator).__name__}, which has no predict(){_within(estimator)}")
    if type(estimator).__module__.startswith("xgboost") and type(estimator).__name__ == "Booster":
        raise ModelError(
            f"{path}: holds an XGBoost Booster, whose predict() takes a DMatrix; "
            "save an XGBRegressor or XGBClassifier (its load_model() reads the Booster's file)"
        )
    return estimator


def _within(thing: Any) -> str:
    """Name what has a predict() within a dictionary or a list that was saved in place of a model."""
    items = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, (list, tuple)) else ()
    models = [repr(key) for key, value in items if callable(getattr(value, "predict", None))]
    return f"; save what is under {models[0]} by itself" if models else ""


def _what_is_wrong(error: Exception) -> str:
    """Say in one line why a file cannot be loaded."""
    text = first_line(error)
    if isinstance(error, ModelError):
        return text
    if isinstance(error, ModuleNotFoundError) and error.name:
        library = error.name.partition(".")[0]
        if library in sys.modules or find_spec(library) is not None:
            return f"the model needs {error.name}, which the {library} installed here does not have"
        return f"the model needs the library {error.name!r}, which is not installed"
    if isinstance(error, AttributeError) and "__main__" in text:
        return f"{text}: the script that saved the model defined it; put it into a module that can be imported here"
    return f"cannot be loaded: {type(error).__name__}: {text}"


def _warning_line(warning: Warning | str) -> str:
    """Return a warning in one line: the same one for each part of a model that another scikit-learn saved."""
    was, now = (getattr(warning, name, "") for name in ("original_sklearn_version", "current_sklearn_version"))
    if was:
        return f"saved with scikit-learn {was} and loaded with {now}: what it answers may differ"
    return first_line(warning)


def first_line(message: object) -> str:
    """Return the first line of an error or warning."""
    return str(message).strip().partition("\n")[0]


def _joblib(data: bytes) -> Any:
    # joblib reads plain pickles too, and finds compression by the content. The hash ties the file to the reference.
    if find_spec("joblib") is None:
        return pickle.loads(data)  # noqa: S301
    try:
        return import_module("joblib").load(BytesIO(data))
    except KeyError as error:  # an instruction that pickle does not have
        raise ModelError("cannot be loaded: it is neither a pickle, nor of joblib, nor of skops") from error


def _is_skops(data: bytes) -> bool:
    try:
        with ZipFile(BytesIO(data)) as archive:
            return data.startswith(b"PK\x03\x04") and "schema.json" in archive.namelist()
    except BadZipFile:
        return False


def _skops(data: bytes) -> Any:
    skops = import_module("skops.io")
    unknown = skops.get_untrusted_types(data=data)
    if unknown:
        raise ModelError(
            f"it holds types that skops does not trust: {', '.join(unknown)}; "
            "if you trust them, save the model as .joblib (which runs whatever is in it)"
        )
    return skops.loads(data)
