"""Counts of windows: packed into text, and a row for each column under `id = window * SLOTS + position of the column`.

Rows of an open window are in `open_counts`, rewritten with every fold; once it is sealed they move to the end of
`sealed_counts` for good, where pages fill whole. The view `histograms` has both. The largest count of a list decides
how it is packed, which the first character says: `1`, a character for each count, its code point being the count and 1;
`2`, two for each, the digits in base 127 and 1; `[`, a JSON array. So plain SQL can take it apart, and there is one
spelling. The 1 keeps out U+0000, the limits the surrogates. Functions of a connection; the caller owns the transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Final

import numpy as np
import orjson

from monitor.columns.column import Counts, Floats
from monitor.errors import StoreError
from monitor.store.audit import seals

#: Base of the digits in form `2`: that many characters have one byte, U+0000 aside.
BASE: Final = 127
#: The largest count in form `1`: its character, U+07FF, is the last one of two bytes.
ONE_MOST: Final = 0x7FF - 1
#: The largest count in form `2`: its first character, U+D7FF, is the last one before the surrogates.
TWO_MOST: Final = (0xD7FF - 1) * BASE + BASE - 1

_ZERO = "\1"
#: What `unpack` raises for a text, or for what is no text, that is not as `pack` writes it.
UNREADABLE = (TypeError, ValueError, OverflowError)
#: Room for a model's columns in the numbers of one window. It is part of the schema, and never changes.
SLOTS = 100_000
#: Texts that are unpacked in one go.
TEXTS = 1000
#: Rows passed over for each column that is wanted, beyond which the columns of a window are looked up one by one.
PASSED = 4
#: Values of one statement: SQLite takes 32,766 by default, and 999 in versions that are still about.
VALUES = 990


def pack(counts: Counts, sizes: Sequence[int]) -> list[str]:
    r"""Texts of some columns, their counts one after the other, without zeros at the end; `sizes`: how many each has.

    >>> pack(np.array([1, 20, 0, 3, 0, 0, 5000, 0, 0, 9_000_000]), [6, 2, 2])
    ['1\x02\x15\x01\x04', '2(0', '[0,9000000]']
    """
    ends = [*accumulate(sizes)]
    starts = [0, *ends[:-1]]
    one = _characters(np.minimum(counts, ONE_MOST))
    texts = ["1" + (one[start:end].rstrip(_ZERO) or _ZERO) for start, end in zip(starts, ends, strict=True)]
    if counts.max() <= ONE_MOST:
        return texts
    two = _characters(np.column_stack(np.divmod(np.minimum(counts, TWO_MOST), BASE)))
    largest = np.maximum.reduceat(counts, starts).tolist()
    for i, (start, end, most) in enumerate(zip(starts, ends, largest, strict=True)):
        if ONE_MOST < most <= TWO_MOST:
            digits = two[2 * start : 2 * end].rstrip(_ZERO)
            texts[i] = "2" + digits + _ZERO * (len(digits) % 2)  # the lower digit of the last count may be zero
        elif most > TWO_MOST:
            texts[i] = json_text(counts[start:end])
    return texts


def unpack(texts: Sequence[str], sizes: Sequence[int]) -> Counts:
    r"""Counts of some columns, one after the other. `sizes`: how many each of them has, with the zeros left out.

    Raises one of `UNREADABLE` for texts of another form, or of more counts than that.

    >>> unpack(["1\x02\x15", "[3]", "2(0"], [4, 2, 1])
    array([   1,   20,    0,    0,    3,    0, 5000])
    """
    forms = [text[:1] for text in texts]
    kinds = set(forms)
    if unknown := kinds - _READ.keys():
        raise ValueError(f"counts that begin with {min(unknown)!r}")
    # All columns of a form in one go: a call of numpy for each would take ten times as long.
    if len(kinds) == 1:
        counts = _READ[forms[0]](texts, sizes)
        if len(counts) != sum(sizes):
            raise ValueError(f"{len(counts)} counts where {sum(sizes)} belong")
        return counts
    counts, form_of_count = np.zeros(sum(sizes), dtype=np.int64), np.repeat(forms, sizes)
    for kind in kinds:
        which = [index for index, form in enumerate(forms) if form == kind]
        counts[form_of_count == kind] = _READ[kind]([texts[i] for i in which], [sizes[i] for i in which])
    return counts


def json_text(counts: Counts) -> str:
    """Counts as a JSON array: zeros at the end are left out, but for the first number.

    >>> json_text(np.array([1, 20, 0, 3, 0, 0])), json_text(np.array([0, 0]))
    ('[1,20,0,3]', '[0]')
    """
    numbers = counts.tolist()
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return orjson.dumps(numbers).decode()


def _characters(digits: Counts) -> str:
    return (digits + 1).astype("<u4").tobytes().decode("utf-32-le")


def _digits(texts: Sequence[str], lengths: Iterable[int]) -> Counts:
    whole = "".join([text[1:].ljust(length, _ZERO) for text, length in zip(texts, lengths, strict=True)])
    return np.frombuffer(whole.encode("utf-32-le"), "<u4").astype(np.int64) - 1


def _read_two(texts: Sequence[str], sizes: Sequence[int]) -> Counts:
    digits = _digits(texts, [2 * size for size in sizes]).reshape(-1, 2)
    return digits[:, 0] * BASE + digits[:, 1]


def _read_json(texts: Sequence[str], sizes: Sequence[int]) -> Counts:
    lists = [orjson.loads(text) for text in texts]
    filled = [counts + [0] * (size - len(counts)) for counts, size in zip(lists, sizes, strict=True)]
    return np.array([*chain.from_iterable(filled)], dtype=np.int64)


#: How each form is read, all its columns at once, filled up with zeros.
_READ = {"1": _digits, "2": _read_two, "[": _read_json}


def read(
    connection: sqlite3.Connection, window_ids: Sequence[int], positions: Sequence[int], sizes: Sequence[int]
) -> Iterator[tuple[Counts, Floats]]:
    """Counts of some columns of windows, and their sums (0 where not numeric), some windows at a time.

    Shapes: (windows, counts of one column after the other) and (windows, columns). `sizes`: how many counts each of the
    columns has. Raises StoreError for a window that has not just these.
    """
    step = max(1, TEXTS // len(positions))
    for first in range(0, len(window_ids), step):
        some = window_ids[first : first + step]
        rows = [row for window_id in some for row in _rows(connection, window_id, positions)]
        try:
            counts = unpack([str(text, "utf-8") for text, _ in rows], [*sizes] * len(some))
        except UNREADABLE:
            if len(some) > 1:
                for window_id in some:  # which one it is
                    list(read(connection, [window_id], positions, sizes))
            raise StoreError(
                f"window {some[0]} is damaged: its histograms do not have the bins of the model's columns"
            ) from None
        sums = np.array([total or 0.0 for _, total in rows])
        yield counts.reshape(len(some), -1), sums.reshape(len(some), -1)


def add_up(
    connection: sqlite3.Connection, window_ids: Sequence[int], positions: Sequence[int], sizes: Sequence[int]
) -> tuple[Counts, Floats]:
    """Sum of some columns of windows: counts and sums. The rest is as in `read`."""
    counts, sums = np.zeros(sum(sizes), dtype=np.int64), np.zeros(len(sizes))
    for some_counts, some_sums in read(connection, window_ids, positions, sizes):
        counts += some_counts.sum(axis=0)
        for row in some_sums:  # numpy would add floats in an order that depends on how many there are
            sums += row
    return counts, sums


def _rows(connection: sqlite3.Connection, window_id: int, positions: Sequence[int]) -> list[tuple[bytes, float | None]]:
    """Text in UTF-8, if it is not damaged, and sum of the columns that are there, in the order of `positions`."""
    cursor, first = connection.cursor(), window_id * SLOTS
    cursor.row_factory = None  # a quarter of the time goes into sqlite3.Row otherwise
    low, high = min(positions), max(positions)
    stretches = [(first + low, first + high)]
    if high - low >= PASSED * len(positions):
        stretches = [(first + position, first + position) for position in positions]
    for table in ("sealed_counts", "open_counts"):
        sql = f"SELECT id, CAST(counts AS BLOB), sum FROM {table} WHERE id BETWEEN ? AND ?"  # noqa: S608 - two names
        rows = chain.from_iterable(cursor.execute(sql, stretch) for stretch in stretches)
        known = {number - first: (text, total) for number, text, total in rows}
        if found := [known[position] for position in positions if position in known]:
            return found
    return []


def write(
    connection: sqlite3.Connection,
    window_id: int,
    counts: Counts,
    sizes: Sequence[int],
    sums: Sequence[float | None],
    sealed: bool = False,
) -> None:
    """Set the counts of an open window, of all its columns, or enter those of one that is made whole.

    Counts and sizes are as `read` gives them. `sums`: None for a column without one.
    """
    numbers = range(window_id * SLOTS, window_id * SLOTS + len(sizes))
    table = "sealed_counts" if sealed else "open_counts"
    rows = zip(numbers, pack(counts, sizes), sums, strict=True)
    write_rows(connection, f"INSERT OR REPLACE INTO {table} (id, counts, sum)", rows)
    if sealed:
        seals.add(connection, table, *_of_window(window_id))


def move_sealed(connection: sqlite3.Connection, window_ids: Iterable[int]) -> None:
    """Move the counts of windows that have just been sealed to where they stay."""
    for window_id in window_ids:
        which, *bounds = _of_window(window_id)
        connection.execute(
            f"INSERT INTO sealed_counts SELECT * FROM open_counts WHERE {which} ORDER BY id",  # noqa: S608 - a constant
            bounds,
        )
        connection.execute(f"DELETE FROM open_counts WHERE {which}", bounds)  # noqa: S608 - a constant
        seals.add(connection, "sealed_counts", which, *bounds)


def drop(connection: sqlite3.Connection, window_ids: Iterable[int]) -> None:
    """Drop the counts of sealed windows."""
    for window_id in window_ids:
        seals.delete(connection, "sealed_counts", *_of_window(window_id))


def _of_window(window_id: int) -> tuple[str, int, int]:
    return "id >= ? AND id < ?", window_id * SLOTS, (window_id + 1) * SLOTS


def write_rows(connection: sqlite3.Connection, into: str, rows: Iterable[Sequence[object]]) -> None:
    """Run `into`, such as `INSERT INTO t (a, b)`, with the values of all rows, in as few statements as can be.

    Around every step of a statement `sqlite3` lets go of the interpreter's lock. While a server answers, another thread
    takes it each time: a statement for each row of a fold would cost the predictions of the next millisecond more than
    the rows themselves.
    """
    waiting = list(rows)
    while waiting:
        width = len(waiting[0])
        part, waiting = waiting[: VALUES // width], waiting[VALUES // width :]
        places = ", ".join([f"({', '.join('?' * width)})"] * len(part))
        connection.execute(f"{into} VALUES {places}", tuple(chain.from_iterable(part)))
