"""Build a reference from data in a few passes over a table: what its columns hold, their bins, the rows of each bin.

`as_table` makes a table of numpy arrays, pandas and polars frames and lists of dictionaries, without depending on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from monitor.columns.binning import ColumnCounter
from monitor.columns.canonical import Block, column_name, declares_categories, to_array, to_block
from monitor.columns.column import Kind, Role, Schema
from monitor.errors import DataError
from monitor.reference.bin_edges import gaps_of_rows
from monitor.reference.file import Reference, ReferenceInfo
from monitor.reference.profile import ColumnProfile, Decision, Limits, decide, with_labels

#: Values of a column that its quantile edges are found by: all of them, or a random sample of so many, 64 MB. Ranks of
#: a sample are off by 0.04 % at most in nineteen of twenty cases.
SAMPLED = 2**23

#: Rows of one chunk of a table in memory.
CHUNK = 65_536

Chunk = Sequence[Block]


class Table(Protocol):
    """Named columns, read in chunks, as often as asked."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the columns, in order."""

    def chunks(self, positions: Sequence[int] | None = None) -> Iterator[Chunk]:
        """One block per column, or per column at these positions, from the first row to the last."""


@dataclass(frozen=True)
class MemoryTable:
    """Columns that are in memory as a whole. `kinds`: those that the data itself declares, by column."""

    names: tuple[str, ...]
    columns: tuple[Block, ...]
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def chunks(self, positions: Sequence[int] | None = None) -> Iterator[Chunk]:
        """Slices of all columns, or of those at some positions."""
        columns = self.columns if positions is None else [self.columns[position] for position in positions]
        for start in range(0, len(columns[0]) if columns else 0, CHUNK):
            yield [column[start : start + CHUNK] for column in columns]


def build_reference(
    features: Any,
    predictions: Any,
    *,
    names: Sequence[str] | None = None,
    prediction_names: Sequence[str] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    prediction_kind: Kind | None = None,
    labels: Iterable[object] = (),
    limits: Limits | None = None,
    info: ReferenceInfo | None = None,
) -> Reference:
    """Build the reference of a model from what it was trained on and what it answers.

    `features`: a 2-D array, a frame, a dictionary of columns, or a list of rows or of dictionaries; columns in the
    order of the model's input. `predictions`: shape (m,), or (m, outputs), or a frame; m need not be the number of
    feature rows. `names` and `prediction_names` name the columns of an array. `kinds` overrules `profile.decide` by
    column name, and `prediction_kind` does for the predictions: "categorical" for a classifier whose labels are
    numbers. `labels`: what the model can answer, even if it never did here.

    Raises DataError if the data is empty, ragged, or names a column twice.

    >>> rows = [{"age": 31.5, "sex": "f"}, {"age": 47.0, "sex": "m"}, {"age": None, "sex": "f"}]
    >>> reference = build_reference(rows, ["yes", "no", "no"])
    >>> for column, counts in zip(reference.schema.columns, reference.schema.split(reference.counts)):
    ...     print(column.name, dict(zip(column.labels, counts.tolist())))
    age {'(-inf, 20]': 0, '(20, 40]': 1, '(40, 55]': 1, '(55, +inf)': 0, '__missing__': 1, '__nonfinite__': 0}
    sex {'f': 2, 'm': 1, '__other__': 0, '__missing__': 0}
    prediction {'no': 2, 'yes': 1, '__other__': 0, '__missing__': 0}
    """
    kinds = {column_name(name): kind for name, kind in (kinds or {}).items()}
    table = as_table(features, names, "feature", kinds)
    answers = as_table(predictions, prediction_names, "prediction", kinds, prediction_kind)
    if unknown := sorted(set(kinds) - set(table.names) - set(answers.names)):
        raise DataError(f"a kind is declared for {unknown[0]!r}, which is no column of {', '.join(table.names)}")
    limits = limits or Limits()
    answer_kinds = dict.fromkeys(answers.names, prediction_kind) if prediction_kind else kinds
    seen = summarise(table, "feature", {**table.kinds, **kinds}, limits)
    answered = summarise(answers, "prediction", {**answers.kinds, **answer_kinds}, limits, labels)
    return assemble(seen + answered, info or ReferenceInfo())


def summarise(
    table: Table, role: Role, kinds: Mapping[str, Kind | None], limits: Limits, labels: Iterable[object] = ()
) -> tuple[Decision, ...]:
    """Walk through a table: gather facts, look for quantiles, choose the bins of each column, count its rows."""
    profiles = profile(table.names, table.chunks())
    find_quantiles(table, profiles, kinds, limits)
    return tally(table.chunks(), choose(profiles, role, kinds, limits, labels))


def profile(names: Sequence[str], chunks: Iterable[Chunk]) -> list[ColumnProfile]:
    """First pass: gather the facts about each column."""
    profiles = [ColumnProfile(column_name(name)) for name in names]
    _walk(chunks, [facts.add for facts in profiles])
    return profiles


def _walk(chunks: Iterable[Chunk], takers: Sequence[Callable[[Any], object]]) -> None:
    """Hand each block of each chunk to the taker of its column."""
    for chunk in chunks:
        for take, block in zip(takers, chunk, strict=True):
            take(block)


def find_quantiles(
    table: Table, profiles: Sequence[ColumnProfile], kinds: Mapping[str, Kind | None], limits: Limits
) -> None:
    """Read once more, one after the other, the columns of numbers whose profiles do not know all values."""
    for position, facts in enumerate(profiles):
        if facts.distinct is not None or facts.texts or facts.forgotten or kinds.get(facts.name) == "categorical":
            continue
        random, share = np.random.default_rng(0), SAMPLED / facts.rows
        parts = [block for (block,) in table.chunks([position]) if isinstance(block, np.ndarray)]
        values = np.concatenate([part[random.random(len(part)) < share] if share < 1 else part for part in parts])
        finite = np.isfinite(values)
        facts.gaps = gaps_of_rows(values if finite.all() else values[finite], limits.bins)
        facts.sampled = share < 1


def choose(
    profiles: Iterable[ColumnProfile],
    role: Role,
    kinds: Mapping[str, Kind | None],
    limits: Limits,
    labels: Iterable[object] = (),
) -> tuple[Decision, ...]:
    """Between the passes: decide on each column; `labels` are categories that are known without being seen."""
    decisions = (decide(facts, role, kinds.get(facts.name), limits) for facts in profiles)
    return tuple(with_labels(decision, labels, limits) for decision in decisions)


def tally(chunks: Iterable[Chunk], decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """Last pass: count exactly, and find the mean of each bin's rows."""
    counters = [ColumnCounter(decision.column) for decision in decisions]
    _walk(chunks, [counter.add for counter in counters])
    pairs = zip(decisions, counters, strict=True)
    return tuple(replace(one, column=counter.placed(), counts=counter.counts) for one, counter in pairs)


def assemble(counted: Sequence[Decision], info: ReferenceInfo) -> Reference:
    """Make a reference of its counted columns, features first."""
    return Reference(
        Schema(tuple(one.column for one in counted)),
        np.concatenate([one.counts for one in counted]),
        np.array([one.sum for one in counted]),
        np.array([one.deviation for one in counted]),
        replace(info, rows=int(counted[0].counts.sum())),
    )


def as_table(
    data: Any,
    names: Sequence[str] | None = None,
    role: Role = "feature",
    kinds: Mapping[str, Kind] | None = None,
    kind: Kind | None = None,
) -> MemoryTable:
    """Make a table of a numpy array, a pandas or polars frame or series, or a list of rows or dictionaries.

    Declared kinds are honoured: a number in a column declared categorical becomes its canonical text. Raises DataError.
    """
    found, columns = raw_columns(data)
    chosen = found if names is None else [column_name(name) for name in names]
    if found is not None and chosen != found:
        raise DataError(f"names are given as {', '.join(chosen or ())} but the data has {', '.join(found)}")
    if chosen is None:
        single = "prediction" if role == "prediction" else "x"
        chosen = [single] if len(columns) == 1 else [f"{single}_{index}" for index in range(len(columns))]
    if len(chosen) != len(columns):
        raise DataError(f"{len(chosen)} names for {len(columns)} {role} columns")
    arrays = [to_array(column) for column in columns]
    if not arrays or not len(arrays[0]):
        raise DataError(f"the {role}s have no rows" if arrays else f"there is no {role} column")
    own: dict[str, Kind] = {}
    for position, (name, column) in enumerate(zip(chosen, arrays, strict=True)):
        if name in chosen[:position]:
            raise DataError(f"two {role} columns are called {name!r}")
        if len(column) != len(arrays[0]):
            raise DataError(f"column {name!r} has {len(column)} rows, column {chosen[0]!r} has {len(arrays[0])}")
        if declares_categories(columns[position]):
            own[name] = "categorical"
    declared = {**own, **(kinds or {})}
    pairs = zip(chosen, arrays, strict=True)
    return MemoryTable(
        tuple(chosen), tuple(to_block(column, name, kind or declared.get(name)) for name, column in pairs), own
    )


def raw_columns(data: Any) -> tuple[list[str] | None, list[Any]]:
    """Names, if the data has them, and its columns, as they are. Raises DataError if rows differ in length."""
    if type(data).__name__ == "LazyFrame":
        data = data.collect()
    if hasattr(data, "toarray"):  # a sparse matrix
        data = data.toarray()
    if isinstance(data, Mapping):
        return [column_name(name) for name in data], [_sized(column) for column in data.values()]
    if hasattr(data, "column_names"):  # a table of Arrow
        return [column_name(name) for name in data.column_names], list(data.columns)
    if hasattr(data, "columns"):  # a frame, by position, as two of its columns may have one name
        by_position = data.iloc if hasattr(data, "iloc") else data
        names = [column_name(name) for name in data.columns]
        return names, [by_position[:, position] for position in range(len(names))]
    if isinstance(data, np.ndarray) and data.dtype.names:
        return [column_name(name) for name in data.dtype.names], [data[name] for name in data.dtype.names]
    if isinstance(data, np.ndarray) and data.ndim != 1:
        if data.ndim != 2:
            raise DataError(f"the data has {data.ndim} dimensions; a table has two")
        return None, list(data.T)
    if hasattr(data, "to_numpy") or isinstance(data, np.ndarray):  # a series, or one column
        return None, [data]
    return _columns_of_rows(_sized(data))


def _columns_of_rows(rows: Any) -> tuple[list[str] | None, list[Any]]:
    first = rows[0] if len(rows) else None
    if hasattr(first, "keys"):  # a dictionary, or a series of pandas
        known = list(dict.fromkeys(name for row in rows for name in row.keys()))  # noqa: SIM118
        return [column_name(name) for name in known], [[row.get(name) for row in rows] for name in known]
    if isinstance(first, (list, tuple, np.ndarray)):
        wrong = next((index for index, row in enumerate(rows) if len(row) != len(first)), None)
        if wrong is not None:
            raise DataError(f"row {wrong} has {len(rows[wrong])} values, the rows before it have {len(first)}")
        return None, [list(column) for column in zip(*rows, strict=True)]
    return None, [rows]


def _sized(data: Any) -> Any:
    if not hasattr(data, "__getitem__") and not isinstance(data, Iterable):
        raise DataError(f"{data!r:.40} is no table")
    return data if hasattr(data, "__len__") and hasattr(data, "__getitem__") else list(data)
