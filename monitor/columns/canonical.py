"""The one form of each value, whatever type and whatever way it came: a frame, JSON, CSV, a list, an array.

Scalars: `plain`, `number` (of a numeric column), `canonical` (of a categorical one), `Codes`. Columns: `to_block`,
`floats`, `distinct`. Durations are seconds. Dates and times are ISO 8601 in UTC, without a zone and without zeros at
their end. An enumeration's member is its value.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.columns.column import MAX_TEXT, MISSING, Floats, Kind, clean_text
from monitor.errors import DataError

#: One column of a few thousand rows: numbers (NaN is missing), or canonical texts (None is missing).
Block = Floats | list[str | None]
Array = np.ndarray[Any, np.dtype[Any]]

#: Texts that mean "no value" in a column of numbers. In a column of texts they are texts.
MISSING_CELLS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})

#: How booleans are written.
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

_DURATION = re.compile(  # as pandas and Python write it, and ISO 8601
    r"(?:(-?\d+) days?,? ?)?(?:([+-]?)(\d+):(\d\d):(\d\d(?:\.\d+)?))?"
    r"|(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)


Plain = bool | float | str | None


def plain(value: Any) -> Plain:
    """Return a scalar as None (missing), a boolean, a number or a text.

    >>> plain(timedelta(minutes=1)), plain(np.datetime64("2026-01-02T00:00")), plain(Decimal("2.50")), plain(b"a")
    (60.0, '2026-01-02', 2.5, 'a')
    """
    return _converter(type(value))(value)  # type: ignore[arg-type]  # a type is hashable


@lru_cache(1_000)
def _converter(kind: type) -> Callable[[Any], Plain]:
    if kind.__name__ in ("NoneType", "NAType", "NaTType", "MaskedConstant"):
        return lambda _: None
    return next((convert for kinds, convert in _CONVERTERS if issubclass(kind, kinds)), str)


#: From a type to a plain value; the first line that fits. numpy counts durations among the whole numbers.
_CONVERTERS: tuple[tuple[Any, Callable[[Any], Plain]], ...] = (
    (Enum, lambda member: plain(member.value)),
    ((bool, np.bool_), bool),
    (str, str),
    (np.timedelta64, lambda span: None if np.isnat(span) else float(span / np.timedelta64(1, "s"))),
    ((int, np.integer), int),
    ((float, np.floating), lambda number: None if math.isnan(number) else float(number)),
    (Decimal, lambda number: None if number.is_nan() else float(number)),
    (Fraction, float),
    (timedelta, timedelta.total_seconds),
    (np.datetime64, lambda moment: None if np.isnat(moment) else _short_time(str(moment))),
    (datetime, lambda moment: _short_time(_utc(moment).isoformat())),
    (date, date.isoformat),
    ((bytes, bytearray, memoryview), lambda data: bytes(data).decode("utf-8", "replace")),
    (np.ndarray, lambda array: str(array) if array.ndim else plain(array[()])),
)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _short_time(text: str) -> str:
    """Leave out of an ISO time what is zero at its end.

    >>> _short_time("2026-01-02T03:00:00.500"), _short_time("2026-01-02T00:00:00.000"), _short_time("2026-01-02T03:00")
    ('2026-01-02T03:00:00.5', '2026-01-02', '2026-01-02T03:00:00')
    """
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if len(text) in (13, 16):
        text += ":00:00"[: 19 - len(text)]
    return text.removesuffix("T00:00:00")


def canonical(value: Any) -> str:
    """Return the one text of a category, whatever type it came in.

    `2`, `2.0`, `numpy.int64(2)` and `"2"` are one category; booleans are `true` and `false`; None and NaN are missing.
    A text of more than `MAX_TEXT` characters ends in a digest, so that two that begin alike are still two.

    >>> [canonical(v) for v in (2, 2.0, np.int64(2), "2", True, None, math.nan, 0.5, np.float32(0.1), "setosa")]
    ['2', '2', '2', '2', 'true', '__missing__', '__missing__', '0.5', '0.1', 'setosa']
    """
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    if isinstance(value, (np.float32, np.float16)):
        value = float(str(value))  # its own digits, and not those of the same number in 64 bits
    elif type(value) is Decimal and value.is_finite() and value == value.to_integral_value():
        value = int(value)
    if type(value) is not str:
        value = plain(value)
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    return _bounded(value) if isinstance(value, str) else _number_text(value)


def _number_text(value: float) -> str:
    if isinstance(value, int) and abs(value) > 10**300:
        return "inf" if value > 0 else "-inf"
    whole = isinstance(value, int) or (math.isfinite(value) and value.is_integer() and abs(value) < 1e22)
    return str(int(value)) if whole else repr(value)


def _bounded(text: str) -> str:
    """Make a text safe to show; one that is cut ends in a digest of the whole."""
    shown = clean_text(text)
    if len(shown) < MAX_TEXT or shown == text:
        return shown
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{shown[: MAX_TEXT - 13]}…{digest}"


def column_name(name: Any) -> str:
    r"""Return the one name of a column, however the data spells it: as a text, a number, or a tuple of several levels.

    >>> column_name("Total\nSales"), column_name(np.int64(3)), column_name(("size", np.int64(1)))
    ('Total␊Sales', '3', "('size', 1)")
    """
    if type(name) is str and len(name) <= MAX_TEXT and name.isascii() and name.isprintable():
        return name
    if isinstance(name, tuple):
        name = str(tuple(level.item() if isinstance(level, np.generic) else level for level in name))
    elif isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    return _bounded(str(name))


def cell_number(cell: str, comma: bool = False) -> float | None:
    """Read a cell as a number; NaN if it is missing, None if it is a text, as a code with a leading zero is.

    `comma`: decimals follow a comma, and a point is no part of a number.

    >>> cell_number("1.5"), cell_number(" 2 "), cell_number("01067"), cell_number("12:30:00"), cell_number("1,5", True)
    (1.5, 2.0, None, None, 1.5)
    """
    code = cell[:1] == "0" and cell[1:2].isdigit()
    return None if code or cell in BOOLEANS or ":" in cell[:3] else text_number(cell, comma)


def text_number(text: str, comma: bool = False) -> float | None:
    """Like `cell_number`, for a column that is known to be numeric: leading zeros, booleans, durations are let through.

    >>> text_number("007"), text_number("True"), text_number("PT1M"), text_number("abc")
    (7.0, 1.0, 60.0, None)
    """
    if text in MISSING_CELLS:
        return math.nan
    if comma:
        text = text.replace(".", "_").replace(",", ".")
    try:
        return None if "_" in text else float(text)  # Python would also take `1_000`, which no other reader does
    except ValueError:
        pass
    if text in BOOLEANS:
        return float(BOOLEANS[text])
    return math.nan if text.strip() in MISSING_CELLS else duration(text)


def duration(text: str) -> float | None:
    """Seconds of a duration as pandas, Python or ISO 8601 write it; None if it is none.

    >>> duration("1 days 00:00:02.500000"), duration("0:01:00"), duration("PT1M"), duration("-1 day, 23:59:59")
    (86402.5, 60.0, 60.0, -1.0)
    """
    match = _DURATION.fullmatch(text) if len(text) < 50 and any(map(str.isdigit, text)) else None
    if match is None:
        return None
    days, minus, hours, minutes, seconds, iso_minus, *iso = match.groups()
    if any(iso):
        total = sum(float(part or 0) * unit for part, unit in zip(iso, (86_400, 3_600, 60, 1), strict=True))
        return -total if iso_minus else total
    clock = float(hours or 0) * 3_600 + float(minutes or 0) * 60 + float(seconds or 0)
    return float(days or 0) * 86_400 + (-clock if minus == "-" else clock)


def number(value: Any) -> float:
    """Return a value of a numeric column as a float: NaN for what is no number, infinity for what is too large.

    >>> number(2), number(None), number("0.5"), number(10**400), number(True), number(timedelta(minutes=1))
    (2.0, nan, 0.5, inf, 1.0, 60.0)
    """
    try:
        if type(value) is int or type(value) is float or type(value) is bool:
            return float(value)
        value = plain(value)
        if isinstance(value, str):
            value = text_number(value)
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _meaning(text: str) -> float | str | None:
    """What a text means: a number (1 and 0 for booleans, seconds for a duration), a moment; None for all else.

    Fractions agree in seven digits: one of 32 bits has no more.
    """
    if text in BOOLEANS:
        return float(BOOLEANS[text])
    if text[:1] in "+-.0123456789":
        value = cell_number(text)
        if value is not None and not math.isnan(value):
            return value if value.is_integer() else float(f"{value:.7g}")
        if text[4:5] == "-":
            try:
                return plain(datetime.fromisoformat(text))
            except ValueError:
                return None
    return duration(text)


class Codes:
    """The categories of one column, found by any spelling: `exact`, the code of each canonical text, and `find`.

    `true` finds the 1 of a flag, `True` and 1 find `true`, `2.0` finds 2, and a time finds the same moment, if the
    column has no category that is spelled just so, and only one of that meaning.

    >>> Codes(("0", "1")).find("true"), Codes(("false", "true")).find("1"), Codes(("1.1", "1.10")).find("1.100")
    (1.0, 1.0, None)
    """

    def __init__(self, categories: Iterable[str]) -> None:
        self.exact = {text: float(code) for code, text in enumerate(categories)}
        meanings = {text: _meaning(text) for text in self.exact}
        #: Whether all categories are numbers or booleans, so that `NA` and the like are missing values.
        self.plain = bool(meanings) and all(isinstance(meant, float) for meant in meanings.values())
        if not meanings.keys() <= BOOLEANS.keys():
            meanings = {text: meant for text, meant in meanings.items() if text not in BOOLEANS}
        times = Counter(meanings.values())
        self._meant = {meant: self.exact[text] for text, meant in meanings.items() if times[meant] == 1}
        self._meant.pop(None, None)

    def find(self, text: str) -> float | None:
        """Code of a canonical text: NaN if it is missing, None if the column has no such category."""
        code = self.exact.get(text)
        if code is not None:
            return code
        if text == MISSING or (self.plain and text in MISSING_CELLS):
            return math.nan
        return self._meant.get(_meaning(text)) if self._meant else None


# Whole columns.


def to_array(column: Any) -> Array:
    """Values of one column of any library, shape (n,). What a masked array hides is None or NaN."""
    if hasattr(column, "type") and hasattr(column, "to_pylist"):  # Arrow, whose dictionaries forget what is null
        if str(column.type).startswith("dictionary"):
            column = column.to_pylist()
        else:
            column = column.to_numpy() if hasattr(column, "chunks") else column.to_numpy(zero_copy_only=False)
    values = column
    if isinstance(column, np.ma.MaskedArray):
        hidden, values = np.ma.getmaskarray(column), np.asarray(column.data)
        if hidden.any():
            values = values.astype(np.float64 if values.dtype.kind in "fiu" else object)
            values[hidden] = math.nan if values.dtype.kind == "f" else None
    elif not isinstance(column, np.ndarray) and hasattr(column, "to_numpy"):
        try:
            values = np.asarray(column.to_numpy())
        except (TypeError, ValueError):
            values = np.asarray(column.to_numpy(dtype=object))
    elif hasattr(column, "toarray"):  # a sparse array
        values = np.asarray(column.toarray())
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values
    return np.fromiter(values, object, len(column))


def floats(column: Any) -> Floats:
    """Values of a numeric column, shape (n,). Never raises for a value: what is no number is NaN, and so is a date."""
    if type(column) is list:
        return _numbers(column)
    values = to_array(column)
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    if values.dtype.kind == "m":
        return np.where(np.isnat(values), math.nan, values / np.timedelta64(1, "s"))
    if values.dtype.kind == "M":
        return np.full(len(values), math.nan)
    return _numbers(values.tolist())


def _numbers(values: list[Any]) -> Floats:
    """`number` of each value: by numpy in one go if they are all of Python's own types, which is ten times as fast."""
    if set(map(type, values)) <= {float, int, bool, type(None)}:
        with suppress(OverflowError):  # a whole number of more than 308 digits
            return np.array(values, np.float64)
    return np.fromiter(map(number, values), np.float64, len(values))


def distinct(column: Any) -> tuple[list[str | None], npt.NDArray[np.intp]]:
    """Canonical texts of a column's distinct values, None for missing, and which of them each row has, shape (n,)."""
    values = to_array(column)
    if values.dtype.kind in "iufbmM":
        unique, inverse = np.unique(values, return_inverse=True)
        return [_text(value) for value in unique], inverse.ravel()
    items = values.tolist()
    if not set(map(type, items)) <= {str, type(None)}:
        return [_text(item) for item in items], np.arange(len(items))
    places = {item: place for place, item in enumerate(dict.fromkeys(items))}
    return [_text(item) for item in places], np.fromiter(map(places.__getitem__, items), np.intp, len(items))


def texts(column: Any) -> list[str | None]:
    """Canonical texts of a column's values; None is missing."""
    values, rows = distinct(column)
    return [values[row] for row in rows.tolist()]


def _text(value: Any) -> str | None:
    name = canonical(value)
    return None if name == MISSING else name


def to_block(column: Any, name: str = "column", kind: Kind | None = None) -> Block:
    """Turn one column into float64 numbers, or into canonical texts if it holds anything but numbers.

    Booleans, texts, dates and other objects become texts; durations become seconds. None, NaN, NaT, pandas' NA and what
    a mask hides are missing. Raises DataError for a column of lists, and for one declared numeric that is not.
    """
    values = to_array(column)
    for row, value in enumerate(values if values.dtype.kind == "O" else ()):
        if isinstance(value, (list, dict, tuple, set)) or (isinstance(value, np.ndarray) and value.ndim):
            raise DataError(f"column {name!r} holds a {type(value).__name__} in row {row}; make each value a column")
    if kind == "categorical" or (values.dtype.kind in "MSUb" and kind is None):
        return texts(values)
    if values.dtype.kind in "iufbm":
        return np.ascontiguousarray(floats(values))
    items = [plain(item) for item in values]
    if kind == "numeric":
        for row, item in enumerate(items):
            if isinstance(item, str) and text_number(item) is None:
                raise DataError(f"column {name!r} is declared numeric, but row {row} holds {canonical(item)!r}")
    elif not set(map(type, items)) <= {float, int, type(None)}:
        return texts(values)
    return _numbers(items)


def declares_categories(column: Any) -> bool:
    """Whether a frame or table says of a column that it holds categories, even where these are numbers."""
    declared = type(getattr(column, "dtype", None)).__name__ in ("CategoricalDtype", "Categorical", "Enum")
    return declared or str(getattr(column, "type", "")).startswith("dictionary")


def canonical_items(row: Any) -> list[tuple[str, Any]]:
    """Names and values of a row or of columns that have names, under the columns' canonical names."""
    names = (row.dtype.names or ()) if isinstance(row, np.void) else row.keys()
    pairs = row.items() if hasattr(row, "items") else zip(names, row, strict=True)
    return [(column_name(name), value) for name, value in pairs]
