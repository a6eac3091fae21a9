"""What clients send: JSON bodies, checked value by value against the reference's columns.

Whatever is wrong with a body becomes an `InputError` that says what and where; callers may rely on the values
being valid. Bodies that hold nothing but numbers, as nearly all do, take a short way.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from monitor.columns.column import Column, Floats, Schema, clean_text
from monitor.errors import InputError
from monitor.models.form import floats_fit
from monitor.models.model import Model
from monitor.models.values import WrongTypeError
from monitor.tables.rows import Names

#: Whole numbers beyond this have no exact float, and the model would see another number than the client sent.
LARGEST_WHOLE = 2**53

#: Lists and objects within one another in a body.
DEEPEST = 32

#: Digits of a whole number in a body. Longer ones are read as 1 with as many zeros, which is too large for every use.
LONGEST_NUMBER = 250

#: Characters of a message, and of the place it names, in an error's answer.
LONGEST_MESSAGE, LONGEST_PLACE = 1000, 500


class Payload:
    """Reads the bodies of prediction requests for one schema, with values as `model` knows them.

    `allow_missing`: null and NaN are let through.
    """

    def __init__(self, schema: Schema, allow_missing: bool, model: Model) -> None:
        self._columns = schema.features
        self._width = len(schema.features)
        self._allow_missing = allow_missing
        self._optional, self._values = model.optional, model.values
        self.names = Names(schema.features, {schema.features[at].name for at in model.optional}, model.ignored)
        self._all_numeric = all(column.numeric for column in schema.features)

    def parse(self, body: bytes) -> tuple[Sequence[Sequence[Any]] | Floats, bool]:
        """Read a body: its rows, and whether it was a batch. Raises InputError.

        Rows are an array, shape (n, features), where all values are plain numbers, else lists.
        """
        if self._all_numeric and only_numbers(body):
            found = self._numbers(body)
            if found is not None:
                return found
        data = load(body)
        if isinstance(data, dict):
            row = self.names.arrange(data)
            numbers = self._short(row) if self._all_numeric else None
            return ([self._row(row, "")] if numbers is None else numbers), False
        if not isinstance(data, list):
            raise InputError("not_a_list", f"expected a JSON list of {self._width} values, got {_kind(data)}")
        if not data:
            raise InputError(
                "empty", f"expected a list of {self._width} values, or a list of such lists, got an empty list"
            )
        if isinstance(data[0], dict) and all(isinstance(row, (dict, list)) for row in data):
            return [self._named(row, f"row {number}") for number, row in enumerate(data)], True
        if isinstance(data[0], list):
            return [self._row(row, f"row {number}") for number, row in enumerate(data)], True
        return [self._row(data, "")], False

    def _numbers(self, body: bytes) -> tuple[Floats, bool] | None:
        """The short way: None if anything is not as it should be, and the long way must say what."""
        try:
            data = orjson.loads(body)
            if type(data) is not list or not data:
                return None
            if type(data[0]) is not list:
                row = self._short(data)
                return None if row is None else (row, False)
            if set(map(len, data)) != {self._width}:
                return None
            # A third of the time that numpy takes for a list of lists.
            flat = np.fromiter(chain.from_iterable(data), np.float64, len(data) * self._width)
        except (ValueError, TypeError, OverflowError):
            return None
        # False for what is too large, and for infinity too.
        return (flat.reshape(-1, self._width), True) if np.abs(flat).max() < LARGEST_WHOLE else None

    def _short(self, row: Sequence[Any]) -> Floats | None:
        """Return one row of numbers as an array, shape (1, features); None if a value needs the long way."""
        # Python's own comparisons: numpy's take ten times as long for so few.
        if len(row) != self._width or not all(
            type(value) in (float, int) and -LARGEST_WHOLE < value < LARGEST_WHOLE for value in row
        ):
            return None
        return np.array([row], np.float64)

    def check(self, rows: Sequence[Any] | Floats) -> Sequence[Sequence[Any]] | Floats:
        """Check rows, lists or objects or an array of numbers, whatever they came in. Raises InputError."""
        if isinstance(rows, np.ndarray):
            if rows.shape[1] == self._width and floats_fit(rows):
                return rows
            rows = rows.tolist()
        return [
            self._row(self.names.arrange(row, f"row {number}") if isinstance(row, dict) else row, f"row {number}")
            for number, row in enumerate(rows)
        ]

    def _named(self, row: Any, where: str) -> list[Any]:
        if not isinstance(row, dict):
            raise InputError("not_an_object", f"expected an object, as the rows before it, got {_kind(row)}", where)
        return self._row(self.names.arrange(row, where), where)

    def _row(self, row: Any, where: str) -> list[Any]:
        if not isinstance(row, list):
            raise InputError("not_a_list", f"expected a list of {self._width} values, got {_kind(row)}", where or None)
        if len(row) != self._width:
            names = ", ".join(column.name for column in self._columns[:12]) + (", …" if self._width > 12 else "")
            message = f"expected {self._width} values ({names}), got {len(row)}"
            raise InputError("wrong_length", message, where or None, 422)
        prefix = f"{where}, " if where else ""
        return [
            self._value(value, column, position, f"{prefix}column {column.name}")
            for position, (value, column) in enumerate(zip(row, self._columns, strict=True))
        ]

    def _value(self, value: Any, column: Column, position: int, where: str) -> Any:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            if not self._allow_missing and position not in self._optional:
                what = "null" if value is None else "NaN"
                raise InputError("missing", f'{what} is refused; [model] missing = "allow" lets it through', where, 422)
            return math.nan if column.numeric else None
        if isinstance(value, (list, dict)):
            raise InputError("nested", f"expected one value, got {_kind(value)}", where, 422)
        if column.numeric:
            return float(value) if isinstance(value, bool) and column.flag else _number(value, where)
        try:
            return self._values[position].read(value)
        except WrongTypeError as error:
            raise InputError("wrong_value", f"{error}, got {_kind(value)}", where, 422) from None


def _number(value: Any, where: str) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError("not_a_number", f"expected a number, got {_kind(value)}", where, 422)
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise InputError("out_of_range", "a whole number beyond 2**53 cannot be represented exactly", where, 422)
    if not math.isfinite(value):
        raise InputError("out_of_range", "expected a finite number", where, 422)
    return value


def only_numbers(body: bytes) -> bool:
    """Whether valid JSON holds nothing but numbers and lists: no texts, objects, true, false, null, NaN, Infinity.

    Seven plain searches: a regular expression would take as long as reading the JSON.
    """
    return not (
        b'"' in body or b"{" in body or b"t" in body or b"f" in body or b"n" in body or b"N" in body or b"I" in body
    )


def load(body: bytes) -> Any:
    """Read JSON. Raises InputError; never anything else, whatever the bytes."""
    if not body:
        raise InputError("empty", "the body is empty; expected a JSON list of values")
    try:
        data = json.loads(body.decode("utf-8"), parse_int=_whole)
    except UnicodeDecodeError as error:
        raise InputError("not_utf8", f"the body is not UTF-8, at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise InputError(
            "not_json", f"not JSON: {error.msg}", f"line {error.lineno}, character {error.colno}"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    if body.count(b"[") + body.count(b"{") > DEEPEST and is_deeper(data, DEEPEST):
        raise _too_deep()
    return data


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        digits = f"{digits[0] if digits[0] == '-' else ''}1{'0' * LONGEST_NUMBER}"
    return int(digits)


def _too_deep() -> InputError:
    return InputError("too_deep", f"lists and objects are nested more than {DEEPEST} deep")


def is_deeper(data: Any, most: int) -> bool:
    """Whether lists and objects lie in one another more than `most` deep.

    >>> is_deeper([[1], {"a": 2}], 2), is_deeper([[1], {"a": []}], 2), is_deeper(1, 0)
    (False, True, False)
    """
    level = [data]
    for _ in range(most + 1):
        level = [one for one in level if isinstance(one, (list, dict))]
        if not level:
            return False
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
    return True


def check_json_type(content_type: str, expected: str = "application/json") -> None:
    """Refuse a body that is not declared as JSON; `expected` is what the answer says. Raises InputError, status 415."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        got = f"got {clean_text(kind)!r}" if kind else "got none"
        raise InputError("wrong_type", f"expected Content-Type: {expected}, {got}", "header Content-Type", 415)


def error_body(code: str, message: str, where: str | None, error_id: str = "") -> bytes:
    """Return the JSON body of every error answer. What a client sent is repeated in parts only."""
    message, where = short(message, LONGEST_MESSAGE), where and short(where, LONGEST_PLACE)
    error = {"code": code, "message": message, "where": where, **({"id": error_id} if error_id else {})}
    return json.dumps({"error": error}).encode() + b"\n"


def short(text: str, most: int) -> str:
    """Cut a text to `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {clean_text(value[:40])!r}"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else f"the number {value!r}"[:60]
