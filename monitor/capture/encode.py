"""One prediction as floats: what the journal stores for each column.

A numeric value is itself; missing is NaN. A category is its index in the column; a category that the reference does not
have is the index of `__other__`, or, for the first distinct ones of a column, a number after it that is given to its
name. The names are in a small file beside the journal, written before the first record that uses them. A column that is
not watched by category (an identifier, a free text) keeps no names, so that none of its values is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.capture.names import UnseenNames
from monitor.columns.canonical import Codes, canonical, distinct, floats, number
from monitor.columns.column import Column, Floats, Schema


class Encoder:
    """Turns features and predictions into the floats of one record, in the schema's order. Safe from any thread."""

    def __init__(self, schema: Schema, names: UnseenNames) -> None:
        self.schema = schema
        self._names = names
        columns = schema.captured
        self._codes = [Codes(column.categories) for column in columns]
        self.all_numeric = all(column.numeric for column in columns)
        self._categorical = [(i, self._codes[i].exact) for i, column in enumerate(columns) if not column.numeric]

    def row(self, features: Sequence[object], predictions: Sequence[object]) -> list[float]:
        """Encode one row: a value for each column. Never raises for a value, whatever it is."""
        values: list[Any] = [*features, *predictions]
        for position, exact in self._categorical:
            value = values[position]
            code = exact.get(value) if type(value) is str else None
            values[position] = self.category(position, value) if code is None else code
        return [value if type(value) is float else number(value) for value in values]

    def column(self, position: int, values: Any) -> Floats:
        """Encode the values of one column, shape (n,): of any library, or a list. Never raises for a value."""
        if self.schema.columns[position].numeric:
            return floats(values)
        texts, rows = distinct(values)
        return np.array([self.category(position, text) for text in texts], np.float64)[rows]

    def table(self, columns: Sequence[Any], first: int = 0) -> Floats:
        """Encode columns of one length, the first of them at position `first`: shape (n, columns)."""
        values = np.empty((len(columns[0]), len(columns)))
        for at, column in enumerate(columns):
            values[:, at] = self.column(first + at, column)
        return values

    def category(self, position: int, value: object) -> float:
        """Code of a category: its index, NaN for missing, beyond the known ones for an unseen one."""
        text = canonical(value)
        code = self._codes[position].find(text)
        if code is not None:
            return code
        column = self.schema.columns[position]
        named = self._names.code(position, text)
        return float(other_code(column) if named is None else other_code(column) + 1 + named)


def other_code(column: Column) -> int:
    """Code of `__other__` without a name; the code of the j-th named unseen value is one more, plus j."""
    return len(column.categories)
