"""Rows in the form that a model wants: an array, texts, or a frame of pandas with names and dtypes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.models.values import Values


@dataclass(frozen=True)
class Input:
    """One input of a model.

    `source`: position among the reference's features; None for an input that the model drops and the reference does
    not watch.
    """

    name: str
    source: int | None
    values: Values


class Array:
    """Make an array: of floats if all values are numbers, otherwise of objects."""

    title = "an array"

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = tuple(inputs)
        sources = [one.source for one in inputs]
        self._same = sources == list(range(len(sources))) and all(one.values.plain for one in inputs)

    def __call__(self, rows: Any) -> Any:
        """Rows, an array of shape (n, features) or lists, as an array of shape (n, inputs)."""
        if self._same:
            if isinstance(rows, np.ndarray):
                return rows
            return np.array([[math.nan if v is None else v for v in row] for row in rows], dtype=np.float64)
        return self.of_columns(list(rows.T) if isinstance(rows, np.ndarray) else list(zip(*rows, strict=True)))

    def of_columns(self, columns: Sequence[Any]) -> Any:
        """Columns, each of shape (n,), as an array of shape (n, inputs)."""
        count = len(columns[0])
        cast = [_values(one, columns, count) for one in self._inputs]
        try:
            return np.column_stack([np.asarray(one, dtype=np.float64) for one in cast if not _has_text(one)])
        except (ValueError, TypeError):
            pass
        out = np.empty((count, len(cast)), dtype=object)
        for position, values in enumerate(cast):
            out[:, position] = values
        return out


class Texts:
    """Make a flat array of the texts of a single column, which is what a vectoriser takes."""

    title = "an array of texts"

    def __init__(self, inputs: Sequence[Input]) -> None:
        (self._input,) = inputs

    def __call__(self, rows: Any) -> Any:
        """Rows of one value each as an array of shape (n,)."""
        return self.of_columns([[row[0] for row in rows]])

    def of_columns(self, columns: Sequence[Any]) -> Any:
        """One column as an array of shape (n,)."""
        out = np.empty(len(columns[0]), dtype=object)
        out[:] = _values(self._input, columns, len(columns[0]))
        return out


class Frame:
    """Make a frame of pandas with the names and dtypes that a model was fitted with.

    `as_category`: texts become a categorical column, for a library that wants it and does not say so.
    """

    title = "a frame of pandas"

    def __init__(self, pandas: Any, inputs: Sequence[Input], as_category: bool = False) -> None:
        self._pandas, self._inputs, self._as_category = pandas, tuple(inputs), as_category

    def __call__(self, rows: Any) -> Any:
        """Rows, an array of shape (n, features) or lists, as a frame."""
        return self.of_columns(list(rows.T) if isinstance(rows, np.ndarray) else list(zip(*rows, strict=True)))

    def of_columns(self, columns: Sequence[Any]) -> Any:
        """Columns, each of shape (n,), as a frame."""
        count = len(columns[0])
        return self._pandas.DataFrame({one.name: self._series(one, columns, count) for one in self._inputs})

    def _series(self, one: Input, columns: Sequence[Any], count: int) -> Any:
        cast, values = _values(one, columns, count), one.values
        if isinstance(cast, np.ndarray):
            return cast
        if values.category or (self._as_category and values.kind == "text"):
            return self._categorical(values, cast)
        types = set(map(type, cast))
        if types in ({bool}, {int}):
            return np.array(cast)
        if types & {int, float} and types <= {int, float, type(None)}:
            return np.array([math.nan if value is None else value for value in cast], dtype=np.float64)
        out = np.empty(count, dtype=object)
        out[:] = cast
        return out

    def _categorical(self, values: Values, cast: list[Any]) -> Any:
        """A categorical column; values that the model does not know are categories too: the model decides on them."""
        # In the order of `astype("category")`, which a library may take the codes from.
        known = list(values.known.values()) if values.category else sorted(values.known.values())
        seen = set(known)
        further = [one for one in dict.fromkeys(cast) if one not in seen and one is not None and one == one]
        categories = self._pandas.Index(known + further)
        if values.dtype and not further:
            categories = categories.astype(values.dtype)
        return self._pandas.Categorical([None if one != one else one for one in cast], categories=categories)


Form = Array | Texts | Frame


def _values(one: Input, columns: Sequence[Any], count: int) -> Any:
    """The values of one input: an array of floats, or a list."""
    if one.source is None:
        return np.full(count, math.nan)
    column = columns[one.source]
    if one.values.plain:
        if isinstance(column, np.ndarray) and column.dtype.kind == "f":
            return column
        return np.array([math.nan if value is None else value for value in column], dtype=np.float64)
    if one.values.whole and one.values.numeric:
        return [_whole(value) for value in (column.tolist() if isinstance(column, np.ndarray) else column)]
    return one.values.cast_all(column)


def _whole(value: Any) -> Any:
    """A number as a whole one, if it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else math.nan if value is None else value


def _has_text(values: Any) -> bool:
    """Tell whether a column cannot be floats. Raises TypeError if so: a text such as `1` is no number to an array."""
    if not isinstance(values, np.ndarray) and any(isinstance(value, str) or value is None for value in values):
        raise TypeError("texts")
    return False


def floats_fit(array: npt.NDArray[Any]) -> bool:
    """Tell whether all numbers of an array are finite as single precision too, which trees calculate with."""
    return bool((np.abs(array) <= np.finfo(np.float32).max).all())
