"""What a fitted model says of itself: its inputs, the values that it knows, what it drops, what it answers.

Nothing here imports a library of models: each is known by the attributes that its models have.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

from monitor.columns.column import Kind
from monitor.errors import ModelError
from monitor.models.onnx import OnnxModel

#: Attributes that hold a model to which another one hands its rows as they are.
_INNER = ("best_estimator_", "estimator_", "regressor_", "classifier_", "estimator", "_preprocessor")

#: The same for several models, each of which gets the same rows; the first one says enough.
_INNER_LISTS = ("calibrated_classifiers_", "estimators_")

#: Libraries whose models hold others in the attributes above only.
_LIBRARIES = frozenset({"sklearn", "lightgbm", "xgboost", "catboost", "numpy"})

_MADE_UP = re.compile(r"Column_\d+|\d+")

#: numpy types of the categories in an XGBoost model, by the number that its JSON gives each.
_XGBOOST_TYPES = dict(enumerate(("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"), start=9))


@dataclass(frozen=True)
class Known:
    """The values of one input that a model was fitted with.

    `category`: the model wants them as a categorical column of pandas. `whole`: it wants numbers as whole ones, and no
    floats. `dtype`: the type of the categories, if that matters. `sure`: as far as can be
    found out, no step changes the values before they reach the part of the model that knows them.
    """

    values: tuple[Any, ...] = ()
    category: bool = False
    whole: bool = False
    dtype: str = ""
    sure: bool = True


def attribute(thing: Any, name: str) -> Any:
    """Return an attribute, or None: those of models are properties that raise whatever they like."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - the property of a model that is not fitted, or of a library
        return None


def _library(thing: Any) -> str:
    return type(thing).__module__.partition(".")[0]


def title(estimator: Any) -> str:
    """Name a model in a word: `GradientBoostingRegressor`, or the last step of a pipeline."""
    steps = attribute(estimator, "steps")
    return type(steps[-1][1]).__name__ if steps else type(estimator).__name__


def inputs(estimator: Any) -> tuple[str, ...] | None:
    """Return the names of the columns that a model was fitted with; None if it was fitted without names."""
    kept = [attribute(estimator, "feature_names_in_"), attribute(estimator, "feature_names_")]
    if _is_booster(estimator):
        kept.append(estimator.feature_name())
    own: Any = next((names for names in kept if names is not None and not isinstance(names, str)), ())
    names = tuple(map(str, own))
    # CatBoost and LightGBM number the columns of an array.
    return None if all(map(_MADE_UP.fullmatch, names)) else names


def width(estimator: Any) -> int | None:
    """Return the number of columns that a model was fitted with; None if it does not say."""
    # A CatBoost model says 0 once it was pickled, and lists its names all the same.
    return attribute(estimator, "n_features_in_") or len(attribute(estimator, "feature_names_") or ()) or None


def labels(estimator: Any) -> tuple[object, ...]:
    """Return what a classifier can answer; empty for all else, and for several outputs."""
    classes = attribute(estimator, "classes_")
    return tuple(classes) if isinstance(classes, np.ndarray) and classes.ndim == 1 else ()


def several_outputs(estimator: Any) -> bool:
    """Tell whether a classifier has several outputs, each with classes of its own."""
    return isinstance(attribute(estimator, "classes_"), list)


def has_proba(estimator: Any) -> bool:
    """Tell whether a model has probabilities of classes."""
    return callable(attribute(estimator, "predict_proba"))


def takes_frames_as_arrays(estimator: Any) -> bool:
    """Tell whether a model is scikit-learn's own in all its parts, which take a frame of numbers for an array."""
    try:
        parts = [estimator, *estimator.get_params().values()]
    except Exception:  # noqa: BLE001 - a model of another library
        return False
    own = (_library(part) in ("builtins", "numpy", "sklearn") for part in parts)
    return all(own) and not any(callable(part) or attribute(part, "best_estimator_") for part in parts)


def prediction_kind(estimator: Any) -> Kind | None:
    """Return categorical for a classifier, numeric for a regressor, None if it cannot be known."""
    if attribute(estimator, "classes_") is not None:
        return "categorical"
    try:
        return "numeric" if "sklearn" in sys.modules and import_module("sklearn.base").is_regressor(estimator) else None
    except Exception:  # noqa: BLE001 - not an estimator of scikit-learn's making
        return None


def dropped(estimator: Any) -> frozenset[int]:
    """Return the positions of the columns that a model is given and does not use: `remainder="drop"`."""
    transformer = _entry(estimator)
    if transformer is None:
        return frozenset()
    used: set[int] = set()
    for name, step, _ in transformer.transformers_:
        if not (isinstance(step, str) and step == "drop"):
            used |= set(transformer._transformer_to_input_indices.get(name, ()))
    return frozenset(range(transformer.n_features_in_)) - used


def _entry(estimator: Any) -> Any:
    """Return the ColumnTransformer that a model's rows come to first, or None."""
    for _ in range(8):
        if estimator is None or _is_column_transformer(estimator):
            return estimator
        steps = attribute(estimator, "steps")
        estimator = steps[0][1] if steps else next(_inner(estimator), None)
    return None


def _inner(estimator: Any) -> Iterator[Any]:
    """Models to which this one hands its rows as they are."""
    for name in _INNER:
        inner = attribute(estimator, name)
        if inner is not None and (hasattr(inner, "predict") or hasattr(inner, "transform")):
            yield inner
    for name in _INNER_LISTS:
        models = attribute(estimator, name)
        if isinstance(models, list) and models:
            yield models[0]


def _is_column_transformer(thing: Any) -> bool:
    return all(attribute(thing, name) is not None for name in ("transformers_", "_transformer_to_input_indices"))


def _is_booster(thing: Any) -> bool:
    """Tell whether this is a Booster of LightGBM."""
    return callable(attribute(thing, "feature_name")) and hasattr(thing, "pandas_categorical")


def knowledge(estimator: Any, names: Sequence[str]) -> dict[str, Known]:
    """Return what a model, or an encoder within it, knows of the values of its columns, by their names.

    Raises ModelError if what a model was fitted with cannot be found out.
    """
    first: dict[str, Known] = {}
    for name, known in _search(estimator, names):
        first.setdefault(name, known)
    return first


def _search(thing: Any, columns: Sequence[str], depth: int = 0) -> Iterator[tuple[str, Known]]:
    """What a model and those within it know. `columns`: the outer model's names of the columns that reach it."""
    if depth > 8 or isinstance(thing, str):
        return
    if isinstance(thing, OnnxModel):
        typical: dict[str, tuple[Any, ...]] = {"text": ("",), "boolean": (False, True), "number": (0.5,)}
        for name, kind in zip(columns, thing.kinds, strict=False):
            yield name, Known(typical[kind], dtype="onnx")
        return
    yield from _known_to_itself(thing, columns)
    for inner, its_columns, sure in _parts(thing, columns):
        for name, known in _search(inner, its_columns, depth + 1):
            yield name, known if sure else replace(known, sure=False)


def _parts(thing: Any, columns: Sequence[str]) -> Iterator[tuple[Any, Sequence[str], bool]]:
    """The models within one, each with the names of its columns, and whether it surely gets their values unchanged.

    The names are empty if the columns come to it in another order or number.
    """
    own, sure = _library(thing) not in _LIBRARIES, True
    for _, step in attribute(thing, "steps") or ():
        yield step, columns, sure
        columns = () if _is_column_transformer(step) else columns
        sure = sure and attribute(step, "func") is None and _library(step) in _LIBRARIES
    if _is_column_transformer(thing):
        for name, step, _ in thing.transformers_ if len(columns) == attribute(thing, "n_features_in_") else ():
            yield step, [columns[position] for position in thing._transformer_to_input_indices.get(name, ())], True
        return
    for _, step in attribute(thing, "transformer_list") or ():
        yield step, columns, True
    for inner in _inner(thing):
        yield inner, columns, not own
    if own:
        held = list(getattr(thing, "__dict__", {}).values())
        usable = (it for it in held if callable(attribute(it, "predict")) or callable(attribute(it, "transform")))
        yield from ((inner, columns, False) for inner in usable)


def _known_to_itself(thing: Any, columns: Sequence[str]) -> Iterator[tuple[str, Known]]:
    """What one model knows, leaving aside the models within it."""
    booster = thing if _is_booster(thing) else attribute(thing, "booster_") if hasattr(thing, "predict") else None
    categories = attribute(thing, "categories_")
    if _is_booster(booster):
        yield from _of_lightgbm(booster, columns)
    elif callable(attribute(thing, "get_cat_feature_indices")):
        names = _names_for(attribute(thing, "feature_names_") or (), columns)
        yield from ((names[position], Known(whole=True)) for position in thing.get_cat_feature_indices())
    elif callable(attribute(thing, "get_booster")) and hasattr(thing, "enable_categorical"):
        yield from _of_xgboost(thing, columns)
    elif isinstance(categories, (list, tuple)):
        own = attribute(thing, "feature_names_in_")
        names = list(columns) if own is None else [str(name) for name in own]
        if len(names) == len(categories):
            for name, values in zip(names, categories, strict=True):
                yield name, Known(tuple(np.asarray(values, dtype=object).tolist()))


def _names_for(own: Sequence[str], columns: Sequence[str]) -> Sequence[str]:
    """The outer model's names of an inner model's columns, by position; its own names if their number differs."""
    return columns if len(columns) == len(own) else own


def _of_lightgbm(booster: Any, columns: Sequence[str]) -> Iterator[tuple[str, Known]]:
    categories = booster.pandas_categorical
    if not categories:
        return
    names = _names_for(booster.feature_name(), columns)
    match = re.search(r"^\[categorical_feature: ([\d,]*)\]$", booster.model_to_string(num_iteration=1), re.MULTILINE)
    positions = [int(position) for position in match[1].split(",")] if match and match[1] else []
    if len(positions) != len(categories):
        raise ModelError(
            f"the LightGBM model was fitted with {len(categories)} categorical columns of pandas, and does not say "
            "which they are; fit it with categories without an order, and categorical_feature='auto'"
        )
    for position, values in zip(positions, categories, strict=True):
        yield names[position], Known(tuple(values), category=True)


def _of_xgboost(model: Any, columns: Sequence[str]) -> Iterator[tuple[str, Known]]:
    booster = attribute(model, "_Booster")
    types = attribute(booster, "feature_types") or ()
    if "c" not in types or not attribute(booster, "feature_names"):
        return
    names = _names_for(booster.feature_names, columns)
    saved = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    kept = saved.get("gbtree", saved).get("model", {}).get("cats", {}).get("enc")
    if not kept or len(kept) != len(types):
        raise ModelError(
            "the XGBoost model has categorical columns and does not keep their categories, so that other frames would "
            "get other answers; fit it with XGBoost 3.1 or later"
        )
    for name, kind, categories in zip(names, types, kept, strict=True):
        if kind != "c":
            continue
        values, offsets = categories["values"], categories.get("offsets")
        if offsets is not None:
            data = bytes(value % 256 for value in values)
            values = [data[a:b].decode("utf-8") for a, b in pairwise(offsets)]
        dtype = _XGBOOST_TYPES.get(categories.get("type"), "") if offsets is None else ""
        yield name, Known(tuple(values), category=True, dtype=dtype)
