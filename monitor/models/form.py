"""Rows in the form that a model wants: an array, texts, or a frame of pandas with names and dtypes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.models.values import Values


@dataclass(frozen=True)
class Input:
    """One input of a model. `source`: position of its feature; None for one that is dropped and not watched."""

    name: str
    source: int | None
    values: Values


class Form(ABC):
    """Makes what a model is asked with: of rows, an array of shape (n, features) or lists, or of columns."""

    title = ""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = tuple(inputs)

    def __call__(self, rows: Any) -> Any:
        """Return rows in this form."""
        return self.of_columns(list(rows.T) if isinstance(rows, np.ndarray) else list(zip(*rows, strict=True)))

    @abstractmethod
    def of_columns(self, columns: Sequence[Any]) -> Any:
        """Return columns, each of shape (n,), in this form."""


class Array(Form):
    """An array of shape (n, inputs): of floats if all values are numbers, otherwise of objects."""

    title = "an array"

    def __init__(self, inputs: Sequence[Input]) -> None:
        super().__init__(inputs)
        in_order = [read.source for read in inputs] == list(range(len(inputs)))
        self._same = in_order and all(read.values.plain for read in inputs)

    def __call__(self, rows: Any) -> Any:
        """Return rows as an array."""
        if not self._same:
            return super().__call__(rows)
        return rows if isinstance(rows, np.ndarray) else np.array([_no_none(row) for row in rows], dtype=np.float64)

    def of_columns(self, columns: Sequence[Any]) -> Any:
        """Return columns as an array. A text such as `1` is no number to an array."""
        cast = [_values(read, columns) for read in self.inputs]
        listed = (value for values in cast if not isinstance(values, np.ndarray) for value in values)
        texts = any(read.values.kind == "text" for read in self.inputs)  # also if all of them are missing
        if not texts and not any(isinstance(value, str) or value is None for value in listed):
            with suppress(ValueError, TypeError):
                return np.column_stack([np.asarray(values, dtype=np.float64) for values in cast])
        return np.column_stack([_objects(values) for values in cast])


class Texts(Form):
    """A flat array of the texts of a single column, shape (n,), which is what a vectoriser takes."""

    title = "an array of texts"

    def of_columns(self, columns: Sequence[Any]) -> Any:
        """Return the only column as an array."""
        return _objects(_values(self.inputs[0], columns))


class Frame(Form):
    """A frame of pandas with the names and dtypes that a model was fitted with.

    `as_category`: texts become a categorical column, for a library that wants it and does not say so. `as_dates`: so do
    columns of which no value is known become dates.
    """

    title = "a frame of pandas"

    def __init__(self, inputs: Sequence[Input], as_category: bool = False, as_dates: bool = False) -> None:
        super().__init__(inputs)
        self._pandas, self._as_category, self._as_dates = import_module("pandas"), as_category, as_dates

    def of_columns(self, columns: Sequence[Any]) -> Any:
        """Return columns as a frame."""
        return self._pandas.DataFrame({read.name: self._series(read, columns) for read in self.inputs})

    def _series(self, read: Input, columns: Sequence[Any]) -> Any:
        cast, values = _values(read, columns), read.values
        if isinstance(cast, np.ndarray):
            return cast
        if values.category or (self._as_category and values.kind == "text"):
            return self._categorical(values, cast)
        if self._as_dates and values.kind == "any":
            with suppress(ValueError, TypeError):  # it holds identifiers
                return self._pandas.to_datetime(cast, format="ISO8601")
        types = set(map(type, cast))
        if types in ({bool}, {int}):
            return np.array(cast)
        # A column of texts stays one if all of its values are missing.
        if types & {int, float} and types <= {int, float, type(None)} and values.kind != "text":
            return np.array(_no_none(cast), dtype=np.float64)
        return _objects(cast)

    def _categorical(self, values: Values, cast: list[Any]) -> Any:
        """A categorical column; values that the model does not know are categories too: the model decides on them."""
        # In the order of `astype("category")`, which a library may take the codes from.
        known = list(dict.fromkeys(values.known.values()))  # a value may be known by several spellings
        known = known if values.category else sorted(known)
        seen = {None, *known}
        further = [value for value in dict.fromkeys(cast) if value not in seen and value == value]
        categories = self._pandas.Index(known + further)
        if values.dtype and not further:
            categories = categories.astype(values.dtype)
        return self._pandas.Categorical([None if value != value else value for value in cast], categories=categories)


def _values(read: Input, columns: Sequence[Any]) -> Any:
    """The values of one input: an array of floats, or a list."""
    if read.source is None:
        return np.full(len(columns[0]), math.nan)
    column = columns[read.source]
    if read.values.plain:
        floats = isinstance(column, np.ndarray) and column.dtype.kind == "f"
        return column if floats else np.array(_no_none(column), dtype=np.float64)
    if read.values.whole and read.values.numeric:
        listed = _no_none(column.tolist() if isinstance(column, np.ndarray) else column)
        return [int(value) if isinstance(value, float) and value.is_integer() else value for value in listed]
    return read.values.cast_all(column)


def _no_none(values: Sequence[Any]) -> list[Any]:
    return [math.nan if value is None else value for value in values]


def _objects(values: Any) -> npt.NDArray[Any]:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def floats_fit(array: npt.NDArray[Any]) -> bool:
    """Tell whether all numbers of an array are finite as single precision too, which trees calculate with."""
    return bool((np.abs(array) <= np.finfo(np.float32).max).all())
