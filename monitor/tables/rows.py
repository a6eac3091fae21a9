"""Rows and tables as people hold them, brought into the order of the reference's columns.

A row comes as values in order or as names and values; a table as an array, a frame, columns by name, or a list of rows.
What does not fit is refused with the names that are missing or unknown.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.clock import FAR, from_iso
from monitor.columns.canonical import canonical_items, column_name, to_array
from monitor.columns.column import Column, clean_text
from monitor.errors import DataError, InputError
from monitor.reference.build import raw_columns

#: Names that an error lists at most.
LISTED = 12


class Names:
    """The names of some columns, in order; arranges values that come by name.

    `optional`: names whose value may be left out, and is None then. `ignored`: further names whose values are not used.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        optional: AbstractSet[str] = frozenset(),
        ignored: AbstractSet[str] = frozenset(),
    ) -> None:
        self.names = tuple(column.name for column in columns)
        self._known = frozenset(self.names) | ignored
        self._optional, self._ignored = optional, ignored
        self._what = columns[0].role if columns else "column"
        self._get = itemgetter(*self.names) if self.names else lambda _: ()

    def arrange(self, row: Any, where: str | None = None) -> list[Any]:
        """Values of one mapping (a dictionary, a pandas Series), in order. Raises InputError."""
        if len(row) == len(self.names):
            try:
                values = self._get(row)
            except (KeyError, IndexError, ValueError):  # of a dictionary, a row of sqlite3, a record of numpy
                pass
            else:
                return list(values) if len(self.names) != 1 else [values]
        pairs = canonical_items(row)  # the names may be spelled otherwise: as numbers, or with a line's end in them
        values_of = dict(pairs)
        if len(values_of) != len(pairs) or not self.fit(values_of):
            raise self.complaint([name for name, _ in pairs], where)
        return [values_of.get(name) for name in self.names]

    def fit(self, own: Iterable[str]) -> bool:
        """Tell whether these are the names of all columns that are needed, and of no unknown one."""
        listed = list(own)
        names, spare = set(listed), self._optional | self._ignored
        return len(names) == len(listed) and self._known - spare <= names <= self._known

    def arrange_many(self, rows: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        """Values of many mappings, in order; what they have beside the names is not looked at. Raises KeyError."""
        return [(value,) for value in map(self._get, rows)] if len(self.names) == 1 else list(map(self._get, rows))

    def check_width(self, width: int, where: str | None = None) -> None:
        """Refuse a row of another width. Raises InputError."""
        if width != len(self.names):
            listed = ", ".join(self.names[:LISTED]) + (", …" if len(self.names) > LISTED else "")
            message = f"expected {len(self.names)} {self._what} values ({listed}), got {width}"
            raise InputError("wrong_length", message, where, 422)

    def complaint(self, own: Iterable[object], where: str | None = None) -> InputError:
        """Say which names are missing, and which are not known."""
        names = [column_name(name) for name in own]
        missing = [name for name in self.names if name not in {*names, *self._optional}]
        unknown = [name for name in names if name not in self._known]
        parts = [f"no value for {_listed(missing)}"] if missing else []
        if unknown:
            near = difflib.get_close_matches(clean_text(unknown[0]), missing or self.names, 1, 0.6)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            parts.append(f"there is no {self._what} called {_listed(unknown)}{hint}")
        message = "; ".join(parts) or f"a {self._what} is named twice"
        return InputError("missing_column" if missing else "unknown_column", message, where, 422)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(clean_text(name)) for name in names[:LISTED])
    return f"{shown} and {len(names) - LISTED} more" if len(names) > LISTED else shown


def by_name(row: object) -> bool:
    """Whether a row names its values: a dictionary, or anything else that has keys, as a pandas Series does."""
    return isinstance(row, Mapping) or hasattr(row, "keys") or isinstance(row, np.void)


def in_order(row: Any) -> Sequence[Any]:
    """Values of a row that does not name them, of any library. Raises InputError."""
    if hasattr(row, "toarray"):
        row = np.ravel(row.toarray())
    if isinstance(row, np.ndarray):
        return list(row) if row.dtype.kind in "mM" else row.tolist()  # which would make numbers of nanoseconds
    values = row.to_list() if hasattr(row, "to_list") else row.to_pylist() if hasattr(row, "to_pylist") else row
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        kind = type(row).__name__
        raise InputError("not_a_list", f"a row is a list in order, or a dictionary by name; got {kind}", None, 422)
    return values


def table(data: Any, names: Names) -> list[Any]:
    """Columns of a table, in order; what has names is arranged by them. Raises InputError."""
    if isinstance(data, (list, tuple)) and data and by_name(data[0]):
        rows = []
        for index, row in enumerate(data):
            if not by_name(row):
                message = "the rows before it name their values, this one does not"
                raise InputError("wrong_length", message, f"row {index}", 422)
            rows.append(names.arrange(row, f"row {index}"))
        return [to_array(column) for column in zip(*rows, strict=True)]
    try:
        own, columns = raw_columns(data)
    except DataError as error:
        raise InputError("wrong_length", str(error), None, 422) from None
    columns = [to_array(column) for column in columns]
    if own is None:
        names.check_width(len(columns))
        return columns
    if len(own) != len(names.names) or set(own) != set(names.names):
        raise names.complaint(own)
    return names.arrange(dict(zip(own, columns, strict=True)))


def time_ns(moment: object) -> int:
    """Nanoseconds since 1970 UTC of a number of seconds, a datetime, or a text in ISO 8601; without a zone it is UTC.

    Raises InputError.

    >>> time_ns(1.5), time_ns("1970-01-01T00:00:01Z"), time_ns(datetime(1970, 1, 1, 0, 1))
    (1500000000, 1000000000, 60000000000)
    """
    if type(moment).__name__ == "NaTType":  # which is a datetime to Python, and has no timestamp
        raise InputError("bad_time", "a time is missing", None, 422)
    if isinstance(moment, np.datetime64):
        nanoseconds = int(moment.astype("datetime64[ns]").astype(np.int64))
        if 0 <= nanoseconds < FAR * 10**9:
            return nanoseconds
        seconds = nanoseconds / 1e9
    elif isinstance(moment, str):
        try:
            seconds = from_iso(moment)
        except ValueError:
            raise InputError("bad_time", f"not a time in ISO 8601: {clean_text(moment)!r}", None, 422) from None
    elif isinstance(moment, date):
        whole = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001
        seconds = (whole if whole.tzinfo else whole.replace(tzinfo=UTC)).timestamp()
    elif isinstance(moment, (int, float, np.integer, np.floating)) and not isinstance(moment, bool):
        seconds = float(moment)
    else:
        kind = type(moment).__name__
        raise InputError("bad_time", f"a time is seconds since 1970, a datetime or ISO 8601, not {kind}", None, 422)
    if not 0 <= seconds < FAR:
        raise InputError("bad_time", f"a time is between 1970 and 2200, in seconds; got {seconds:g}", None, 422)
    return round(seconds * 1e9)


def times_ns(times: Any, rows: int) -> npt.NDArray[np.int64]:
    """`time_ns` for one moment or many, shape (rows,). Raises InputError."""
    if isinstance(times, (str, int, float, date, np.datetime64)):
        return np.full(rows, time_ns(times), np.int64)
    values = to_array(times) if hasattr(times, "to_numpy") else times
    if len(values) != rows:
        raise InputError("wrong_length", f"{len(values)} times for {rows} rows", None, 422)
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        stamps = values.astype("datetime64[ns]").astype(np.int64)
        wrong = np.isnat(values) | (stamps < 0) | (stamps >= FAR * 10**9)
        if wrong.any():
            what = f"a time is missing, or before 1970 or after 2200: {values[wrong][0]}"
            raise InputError("bad_time", what, f"row {int(wrong.argmax())}", 422)
        return stamps
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        seconds = values.astype(np.float64)
        if not ((seconds >= 0) & (seconds < FAR)).all():
            raise InputError("bad_time", "a time is between 1970 and 2200, in seconds", None, 422)
        return np.round(seconds * 1e9).astype(np.int64)
    out = np.empty(rows, np.int64)
    for index, moment in enumerate(values):
        try:
            out[index] = time_ns(moment)
        except InputError as error:
            raise InputError(error.code, str(error), f"row {index}", 422) from None
    return out
