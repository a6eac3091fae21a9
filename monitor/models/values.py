"""The values of one input: from what a request or a table holds to what the model was fitted with.

`101`, `101.0` and `"101"` are one category, and a model knows it as a whole number or as a text. The model decides; if
it does not say, the reference's categories do, as pandas would read them from a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from monitor.columns.canonical import BOOLEANS, Codes, canonical, cell_number
from monitor.columns.column import MISSING, Column
from monitor.models.facts import Known

#: What the values of a column are: `mixed` for texts among numbers, `any` if nothing is known.
Kind = Literal["number", "boolean", "text", "mixed", "any"]

_EXPECTED = {"number": "a number", "boolean": "true or false", "text": "a text"}

_BOOLEANS = {**BOOLEANS, "1": True, "0": False}


class WrongTypeError(ValueError):
    """A value that cannot be one of this column; its text says what was expected."""


@dataclass(frozen=True)
class Values:
    """How the values of one feature reach the model.

    `numeric`: floats as they are. Otherwise `known` has the model's value for each canonical text, and `kind` says what
    other values become. `own`: whether `known` comes from the model, not from the reference, whose texts may be cut and
    cleaned. `missing`: what the model gets for a missing value. `category`, `whole`, `dtype`: see `Known`.
    """

    kind: Kind
    numeric: bool = False
    known: dict[str, Any] = field(default_factory=dict)
    missing: Any = math.nan
    category: bool = False
    whole: bool = False
    dtype: str = ""
    own: bool = False

    @property
    def plain(self) -> bool:
        """Whether floats reach the model as they are."""
        return self.numeric and not self.category and not self.whole

    def read(self, value: Any) -> Any:
        """Return a value from a request as the model knows it; true and false as 1 and 0 of a flag.

        Raises WrongTypeError.
        """
        flag = BOOLEANS.get(value) if isinstance(value, str) else value
        if isinstance(flag, bool) and {"0", "1"} & self.known.keys() and self.known.keys() <= _BOOLEANS.keys():
            return self.known.get(canonical(int(flag)), int(flag))
        if isinstance(value, str):
            read = self._read_text(value)
            if read is not None:
                return read
        elif self.kind in ("mixed", "any") or (self.kind == "number" and not isinstance(value, bool)):
            return self.known.get(canonical(value), value)
        elif self.kind == "boolean" and value in (0, 1):
            return bool(value)
        raise WrongTypeError(f"expected {_EXPECTED[self.kind]}")

    def _read_text(self, text: str) -> Any:
        """Return a text as the model knows it, or as it is if the model does not; None if it cannot be a value."""
        known = self.known.get(canonical(text))
        if known is not None and (self.own or self.kind != "text"):
            return known
        if self.kind == "boolean":
            return _BOOLEANS.get(text)
        value = as_number(text) if self.kind == "number" else text
        return None if self.kind == "number" and isinstance(value, str) else value

    def cast(self, value: Any) -> Any:
        """Return a value from a table or a checked request as the model knows it."""
        if type(value) is str and (value in self.known or (self.kind == "text" and not self.own)):
            return self.known.get(value, value)
        text = canonical(value)
        if self.kind == "number" and text in BOOLEANS:
            text = canonical(BOOLEANS[text])
        if text == MISSING:
            return self.missing
        if text in self.known:
            return self.known[text]
        if self.kind == "number":
            number = as_number(text)
            return value if isinstance(number, str) else number
        if self.kind == "boolean":
            return _BOOLEANS.get(text, value)
        return text if self.kind == "text" and type(value) is not str else value

    def cast_all(self, values: Iterable[Any]) -> list[Any]:
        """`cast` for the values of a column, each distinct one once."""
        listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if len(listed) == 1:
            return [self.cast(listed[0])]
        # By type too: True is 1 for a dictionary. NaN is never itself, and is cast each time.
        cast = {key: self.cast(key[1]) for key in {(type(value), value) for value in listed}}
        return [cast[type(value), value] for value in listed]


def values_of(column: Column, known: Known | None, as_text: bool) -> Values:
    """Work out the values of one feature. `as_text`: take numbers among its categories for texts, if no model says."""
    known = known or Known()
    own = {canonical(value): value for value in known.values}
    missing = own.pop(MISSING, math.nan)
    codes = Codes(column.categories)
    for text, value in [*own.items()]:  # the reference may spell them otherwise: `true` for the 1 of pandas' booleans
        code = codes.find(text)
        if code is not None and not math.isnan(code):
            own.setdefault(column.categories[int(code)], value)
    numbers = column.numeric and not any(isinstance(value, str) for value in own.values())
    onnx = known.dtype == "onnx"
    if numbers and (onnx or not known.category):
        return Values("number", numeric=True, whole=known.whole)
    if onnx:
        kind = _kind(own.values())
        return Values(kind, known=_typed(column.categories, kind), missing=None)
    if own:
        kind = _kind(own.values())
        return Values(kind, numbers, own, missing, known.category, known.whole, known.dtype, own=True)
    kind = "number" if column.numeric else _kind_of_texts(column.categories, as_text) if column.categories else "any"
    return Values(kind, known=_typed(column.categories, kind), whole=known.whole)


def _kind(values: Iterable[Any]) -> Kind:
    """What typed values are."""
    kinds = {"text" if isinstance(v, str) else "boolean" if isinstance(v, bool) else "number" for v in values}
    return kinds.pop() if len(kinds) == 1 else "mixed"  # type: ignore[return-value]


def _kind_of_texts(categories: Sequence[str], as_text: bool) -> Kind:
    """What the categories of a reference are, as pandas would read them: `007` is no number, and stays a text."""
    if set(categories) <= {"true", "false"}:
        return "boolean"
    numbers = [as_number(text) for text in categories]
    if as_text or any(isinstance(number, str) for number in numbers) or set(map(canonical, numbers)) != set(categories):
        return "text"
    return "number"


def _typed(categories: Sequence[str], kind: Kind) -> dict[str, Any]:
    if kind == "boolean":
        return {text: _BOOLEANS.get(text, text) for text in categories}
    return {text: as_number(text) if kind == "number" else text for text in categories}


def as_number(text: str) -> Any:
    """Return a text that is a number as one, a whole one as int ("101" as 101); any other text as it is."""
    value = cell_number(text)
    if value is None or not math.isfinite(value):
        return text
    return int(value) if value.is_integer() else value
