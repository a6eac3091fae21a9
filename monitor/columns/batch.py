"""Counts of some predictions: what one window holds, or a sum of windows, or what a job has counted and sends."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import orjson

from monitor.columns.binning import Binner
from monitor.columns.column import Column, Counts, Floats, Schema
from monitor.errors import InputError
from monitor.words import counted

#: How the bytes of a batch begin; the number is the version of what follows.
MAGIC, FORMAT = b"telltale batch ", b"1\n"

#: Most unseen values that a batch names, and most bytes of its head, which names them and grows when it is read.
MAX_NAMED, MAX_HEAD = 2_000, 1 << 21


@dataclass(frozen=True, slots=True)
class Batch:
    """`n` predictions with `counts`, shape (schema.size,), and `sums`, shape (columns,), 0 for a categorical column.

    `reference`: identity of the reference that has the bins; empty in batches that the monitor itself makes. `unseen`:
    rows by position of the column and name of a value that the reference does not have, of the most frequent ones.

    >>> one = Batch(1, np.array([1, 0]), np.array([0.5]), "0123456789abcdef")
    >>> one + one, Batch.from_bytes(one.to_bytes())
    (<Batch of 2 rows, 1 column, for reference 0123456789ab>, <Batch of 1 row, 1 column, for reference 0123456789ab>)
    """

    n: int
    counts: Counts
    sums: Floats
    reference: str = ""
    unseen: Mapping[tuple[int, str], int] = field(default_factory=dict)

    def __repr__(self) -> str:
        of = f", for reference {self.reference[:12]}" if self.reference else ""
        return f"<Batch of {counted(self.n, 'row')}, {counted(len(self.sums), 'column')}{of}>"

    def __add__(self, other: Batch) -> Batch:
        """Both together. Raises InputError if they were counted for different references."""
        if self.reference and other.reference and self.reference != other.reference:
            what = f"one batch was counted for reference {self.reference[:12]}, the other for {other.reference[:12]}"
            raise InputError("wrong_reference", f"{what}: their bins differ", None, 422)
        if self.counts.shape != other.counts.shape or self.sums.shape != other.sums.shape:
            raise InputError("bad_batch", "the batches have different numbers of bins", None, 422)
        named = Counter(self.unseen) + Counter(other.unseen)
        unseen = dict(named.most_common(MAX_NAMED))
        reference = self.reference or other.reference
        return Batch(self.n + other.n, self.counts + other.counts, self.sums + other.sums, reference, unseen)

    def names(self, schema: Schema) -> Callable[[Column], Sequence[str]]:
        """Names of the unseen values of a column, the most frequent first."""
        return lambda column: [name for position, name in self.unseen if schema.columns[position] == column]

    def to_bytes(self) -> bytes:
        """Return the batch in a form that any process or machine reads back: see `from_bytes`."""
        unseen = [[*key, rows] for key, rows in self.unseen.items()]
        head = orjson.dumps([self.reference, self.n, len(self.sums), unseen])
        arrays = self.counts.astype("<i8").tobytes() + self.sums.astype("<f8").tobytes()
        body = MAGIC + FORMAT + head + b"\n" + arrays
        return body + zlib.crc32(body).to_bytes(4, "little")

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Batch:
        """Read what `to_bytes` gave. Raises InputError for anything else.

        Takes a few times the memory of `data` at most. Whether the counts fit a reference is checked where they are
        used, as in `Monitor.add`.
        """
        try:
            return cls._read(bytes(memoryview(data)))
        except (ValueError, TypeError) as error:
            what = "not a batch that this version of Telltale reads"
            raise InputError("bad_batch", f"{what}: {error}", None, 422) from None

    @classmethod
    def _read(cls, data: bytes) -> Batch:
        """Read a batch. Raises ValueError or TypeError."""
        body, begin = data[:-4], len(MAGIC + FORMAT)
        head, _, arrays = body[begin:].partition(b"\n")
        for wrong, what in (
            (not body.startswith(MAGIC), f"it does not begin with {MAGIC.decode()!r}"),
            (not body.startswith(MAGIC + FORMAT), "its version is another one"),
            (zlib.crc32(body).to_bytes(4, "little") != data[-4:], "it is damaged or cut short"),
            (len(head) > MAX_HEAD, f"its head has {len(head):,} bytes"),
        ):
            if wrong:
                raise ValueError(what)
        reference, n, columns, unseen = orjson.loads(head)
        if [*map(type, (reference, n, columns))] != [str, int, int] or not 0 <= columns <= len(arrays) // 8:
            raise ValueError("its head has fields of wrong types")
        counts = np.frombuffer(arrays, "<i8", len(arrays) // 8 - columns).astype(np.int64)
        sums = np.frombuffer(arrays, "<f8", columns, counts.nbytes).astype(np.float64)
        return cls(n, counts, sums, reference, {(position, name): rows for position, name, rows in unseen})


def empty_batch(schema: Schema, reference: str = "") -> Batch:
    """Nothing at all."""
    return Batch(0, schema.zeros(), np.zeros(len(schema.columns)), reference)


def into_windows(binner: Binner, values: Floats, times_ns: npt.NDArray[np.int64], seconds: int) -> dict[int, Batch]:
    """Fill records into base windows of `seconds`, aligned to UTC.

    `values`: shape (n, captured columns); `times_ns`: shape (n,). Returns a batch for each window start, in seconds.
    """
    index = times_ns // (seconds * 1_000_000_000)
    if len(index) and int(index.min()) == int(index.max()):
        counts, sums = binner.fill(values)
        return {int(index[0]) * seconds: Batch(len(values), counts[0], sums[0])}
    starts, groups, rows = np.unique(index, return_inverse=True, return_counts=True)
    counts, sums = binner.fill(values, groups.ravel().astype(np.intp), len(starts))
    return {int(start) * seconds: Batch(int(rows[i]), counts[i], sums[i]) for i, start in enumerate(starts)}


def count_unseen(values: Floats, schema: Schema, names: Sequence[Sequence[str]]) -> dict[tuple[int, str], int]:
    """Count the named unseen values among records: (column position, name) -> rows.

    `names`: for each column, the names behind the codes beyond `__other__`; an erased name is an empty text.
    """
    named: dict[tuple[int, str], int] = {}
    for position, column in enumerate(schema.captured):
        if column.numeric:
            continue
        codes, first = values[:, position], len(column.categories) + 1
        for code, rows in sorted(Counter(codes[codes >= first].tolist()).items()):
            at = int(code) - first
            if at < len(names[position]) and names[position][at]:
                named[position, names[position][at]] = rows
    return named
