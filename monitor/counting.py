"""Blocks of rows counted away from the monitor: on a worker of Spark, Dask or Ray, in any process.

    batch = tally(rows, predictions, reference)  # on each worker

The batches add up, and `Monitor.add` or `Monitor.judge_counts` takes the sum, in the one process that has the monitor.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from monitor.capture.encode import Encoder
from monitor.capture.names import UnseenNames
from monitor.columns.batch import MAX_NAMED, Batch, count_unseen, empty_batch
from monitor.columns.binning import LARGEST, Binner
from monitor.columns.canonical import canonical
from monitor.columns.column import Floats, Schema
from monitor.errors import InputError
from monitor.reference.file import Reference
from monitor.tables.rows import Names, table

#: Rows of a block that are encoded and counted, or appended, at a time.
CHUNK = 65_536

#: Most rows of a batch: sums of many such batches do not overflow either.
MAX_ROWS = 10**12

#: Finding the bins of a schema takes longer than filling a small block into them.
_binner = lru_cache(4)(Binner)


def tally(rows: Any, predictions: Any, reference: Reference, *, keep_unseen: int = 100) -> Batch:
    """Count a block of rows, of any size, into the bins of a reference. Needs no monitor and no folder.

    `rows`: a numpy array, shape (n, features); a frame of pandas or polars, a table or a record batch of Arrow, a
    dictionary of columns, all by name; a list of rows. `predictions`: shape (n,), or (n, outputs), or by name. Every
    value is counted as `Monitor.observe_many` counts it. `keep_unseen`: values of a categorical column that the
    reference does not have and that the batch names, at most; all of them are counted.

    Raises InputError if the number of values or their names do not fit the reference.

    >>> reference = Reference.from_data({"age": [40.0, 50.0, 60.0]}, [0.1, 0.2, 0.3])
    >>> tally({"age": [41.0, 52.0]}, [0.1, 0.2], reference) + tally([[43.0]], [0.3], reference)  # doctest: +ELLIPSIS
    <Batch of 3 rows, 2 columns, for reference ...>
    """
    schema, names = reference.schema, UnseenNames(None, reference.schema, keep_unseen)
    total = empty_batch(schema, reference.identity)
    for values in encoded(aligned(rows, predictions, schema), Encoder(schema, names)):
        counts, sums = _binner(schema).fill(values)
        named = count_unseen(values, schema, names.names)
        total += Batch(len(values), counts[0], sums[0], unseen=named)
    return total


def aligned(rows: Any, predictions: Any, schema: Schema) -> list[Any]:
    """Columns of a table and of its predictions in the order of a schema, each shape (n,); none if there are no rows.

    Raises InputError.
    """
    for name, part in (("rows", rows), ("predictions", predictions)):
        if part is None:
            raise InputError("wrong_length", f"{name}: None is no table", None, 422)
    if (rows.shape[0] if hasattr(rows, "shape") else len(rows) if hasattr(rows, "__len__") else 1) == 0:
        return []
    columns = [*table(rows, Names(schema.features)), *table(predictions, Names(schema.predictions))]
    count = len(columns[0]) if columns else 0
    for column, values in zip(schema.captured, columns, strict=True):
        if len(values) != count:
            raise InputError("wrong_length", f"{len(values)} values for {count} rows", f"column {column.name}", 422)
    return columns if count else []


def encoded(columns: list[Any], encoder: Encoder) -> Iterator[Floats]:
    """Columns as records hold them, some rows at a time, shape (at most CHUNK, columns)."""
    for start in range(0, len(columns[0]) if columns else 0, CHUNK):
        yield encoder.table([column[start : start + CHUNK] for column in columns])


def fitting(batch: Batch, reference: Reference) -> Batch:
    """Return a batch that can be counts of this reference. Raises InputError for any other, and says why."""
    schema = reference.schema
    if batch.reference != reference.identity:
        of = f"reference {batch.reference[:12]}" if batch.reference else "no reference"
        what = f"the batch was counted for {of}, and the model is watched with {reference.identity[:12]}"
        raise InputError("wrong_reference", f"{what}: count the rows again with that one", None, 422)
    if not _possible(batch, schema):
        what = "the counts of the batch are not those of any rows: it was changed after it was counted"
        raise InputError("bad_batch", what, None, 422)
    return batch


def _possible(batch: Batch, schema: Schema) -> bool:
    """Whether there are rows that a batch of this schema can be of."""
    n, parts = batch.n, schema.split(batch.counts)
    if batch.counts.shape != (schema.size,) or batch.sums.shape != (len(parts),) or not 0 <= n <= MAX_ROWS:
        return False
    unnumbered = [at for at, column in enumerate(schema.columns) if not column.numeric]
    others = {at: parts[at][schema.columns[at].value_bins - 1] for at in unnumbered}
    return (
        all(part.min() >= 0 and part.max() <= n and part.sum() == n for part in parts)
        and bool((np.abs(batch.sums) <= LARGEST * max(n, 1)).all())
        and len(batch.unseen) <= MAX_NAMED
        and all(
            [*map(type, (*key, rows))] == [int, str, int]
            and 0 < rows <= others.get(key[0], 0)
            and canonical(key[1]) == key[1]
            for key, rows in batch.unseen.items()
        )
    )
