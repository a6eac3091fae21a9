"""A table of predictions as a source: the engine that holds it counts its rows into bins, and only counts come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from monitor.capture.encode import Encoder, other_code
from monitor.capture.names import UnseenNames
from monitor.columns.batch import Batch
from monitor.columns.column import Floats, Schema
from monitor.errors import SourceError
from monitor.warehouse import counting
from monitor.warehouse.counting import BATCH, Expr

#: Answers an expression with a table of Arrow.
Run = Callable[[Expr], Any]


class Counter:
    """Counts rows of a table as `Binner` and `Encoder` count those of a journal. `names`: of unseen values."""

    def __init__(self, schema: Schema, names: UnseenNames, time: str, base: int, engine: str) -> None:
        self.schema, self._names, self._encoder = schema, names, Encoder(schema, names)
        self._time, self._base, self._engine = time, base, engine
        self._fine = base % 60 > 0

    def queries(self, rows: Expr) -> Iterator[Expr]:
        """Return what is asked first: totals, then the bins of some columns at a time."""
        yield counting.totals(rows, self._time, self.schema.columns, self._fine)
        for part in _parts(range(len(self.schema.columns))):
            yield counting.bins(rows, self._time, self.schema, part, self._engine, self._fine)

    def count(self, run: Run, rows: Expr) -> tuple[dict[int, Batch], dict[tuple[int, str], int]]:
        """Count rows into base windows, by start, and name unseen values, by position of the column and name.

        Raises SourceError if the rows change meanwhile: the queries must add up to the same rows.
        """
        first, *others = self.queries(rows)
        total = run(first)
        windows, at, n = self._windows(total, None)
        counts = np.zeros((len(windows), self.schema.size), dtype=np.int64)
        rows_of = np.zeros(len(windows), dtype=np.int64)
        np.add.at(rows_of, at, n)
        sums: Floats = np.zeros((len(windows), len(self.schema.columns)))
        for position, column in enumerate(self.schema.columns):
            if column.numeric:
                np.add.at(sums[:, position], at, np.nan_to_num(total[f"s{position}"].to_numpy()))
        for query in others:
            found = run(query)
            _, at, n = self._windows(found, windows)
            np.add.at(counts, (at, found["bin"].to_numpy()), n)
        if len(windows) and (np.add.reduceat(counts, self.schema.offsets[:-1], axis=1) != rows_of[:, None]).any():
            raise SourceError("the table changed while its rows were counted; they are counted again")
        unseen = self._name(run, rows, windows, counts)
        batches = {start: Batch(int(rows_of[i]), counts[i], sums[i]) for i, start in enumerate(windows.tolist())}
        return batches, unseen

    def _windows(self, found: Any, known: Any) -> tuple[Any, Any, Any]:
        """Starts of the windows, which of them each line of an answer belongs to, and the line's rows."""
        times, n = counting.counted(found)
        starts = times // self._base * self._base
        windows = np.unique(starts) if known is None else known
        at = np.searchsorted(windows, starts)
        if not np.isin(starts, windows).all():
            raise SourceError("the table changed while its rows were counted; they are counted again")
        return windows, at, n

    def _name(self, run: Run, rows: Expr, windows: Any, counts: Any) -> dict[tuple[int, str], int]:
        """Move values that are spelled in another way from `__other__` to their bins, and name unseen ones."""
        unseen: dict[tuple[int, str], int] = {}
        columns, offsets = self.schema.columns, self.schema.offsets
        # A column without categories, such as an identifier, keeps no value.
        open_ = [
            position
            for position, column in enumerate(columns)
            if column.categories and counts[:, offsets[position] + other_code(column)].any()
        ]
        for part in _parts(open_):
            found = run(counting.leftovers(rows, self._time, self.schema, part, self._engine, self._fine))
            _, at, n = self._windows(found, windows)
            for window, tagged, times in zip(at.tolist(), found["value"].to_pylist(), n.tolist(), strict=True):
                position, _, text = tagged.partition(":")
                column = columns[int(position)]
                value = counting.value_of(text, rows[column.name].type())
                code, other = self._encoder.category(int(position), value), other_code(column)
                if code > other:
                    key = int(position), self._names.names[int(position)][int(code) - other - 1]
                    unseen[key] = unseen.get(key, 0) + times
                elif code != other:
                    bins = counts[window, offsets[int(position)] :]
                    bins[other] -= times
                    bins[column.missing_bin if code != code else int(code)] += times
        return unseen


def _parts(positions: Sequence[int]) -> Iterator[Any]:
    """Columns in parts that one query takes."""
    for begin in range(0, len(positions), BATCH):
        yield positions[begin : begin + BATCH]
