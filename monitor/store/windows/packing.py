"""Counts as text that takes little room and that plain SQL can take apart: mostly one character for each count.

The first character says how to read the rest:

- `1`: a character for each count, its code point being the count and 1. Up to 2,046; one or two bytes each.
- `2`: two characters for each count, its digits in base 127, the higher one first; again the digit and 1. Up to
  7,022,464.
- `[`: a JSON array, where a count is larger than that.

The largest count decides, so that there is one spelling for a list of counts. The 1 keeps out U+0000, at which SQLite's
functions would end, and the limits the surrogates, which no text can have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import numpy as np
import orjson

from monitor.columns.column import Counts

#: Base of the digits in form `2`: that many characters have one byte, U+0000 aside.
BASE: Final = 127

#: The largest count in form `1`: its character, U+07FF, is the last one of two bytes.
ONE_MOST: Final = 0x7FF - 1

#: The largest count in form `2`: its first character, U+D7FF, is the last one before the surrogates.
TWO_MOST: Final = (0xD7FF - 1) * BASE + BASE - 1

_ZERO = "\1"


def pack(counts: Counts, sizes: Sequence[int]) -> list[str]:
    r"""Texts of some columns, whose counts come one after the other. `sizes`: how many each of them has, at least one.

    Zeros at the end are left out, but for the first number.

    >>> pack(np.array([1, 20, 0, 3, 0, 0, 5000, 0, 0, 9_000_000]), [6, 2, 2])
    ['1\x02\x15\x01\x04', '2(0', '[0,9000000]']
    """
    ends = [*accumulate(sizes)]
    starts = [0, *ends[:-1]]
    one = _characters(np.minimum(counts, ONE_MOST))
    if counts.max() <= ONE_MOST:
        return ["1" + (one[start:end].rstrip(_ZERO) or _ZERO) for start, end in zip(starts, ends, strict=True)]
    two = _characters(np.column_stack(np.divmod(np.minimum(counts, TWO_MOST), BASE)))
    texts = []
    for start, end, most in zip(starts, ends, np.maximum.reduceat(counts, starts).tolist(), strict=True):
        if most <= ONE_MOST:
            texts.append("1" + (one[start:end].rstrip(_ZERO) or _ZERO))
        elif most <= TWO_MOST:
            digits = two[2 * start : 2 * end].rstrip(_ZERO)
            texts.append("2" + digits + _ZERO * (len(digits) % 2))  # the lower digit of the last count may be zero
        else:
            texts.append(json_text(counts[start:end]))
    return texts


def unpack(texts: Sequence[str], sizes: Sequence[int]) -> Counts:
    r"""Counts of some columns, one after the other. `sizes`: how many each of them has, with the zeros left out.

    Raises ValueError for texts of another form, or of more counts than that.

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
    used = np.flatnonzero(counts)
    return orjson.dumps(counts[: used[-1] + 1 if len(used) else 1].tolist()).decode()


def _characters(digits: Counts) -> str:
    return (digits + 1).astype("<u4").tobytes().decode("utf-32-le")


def _digits(texts: Sequence[str], lengths: Iterable[int]) -> Counts:
    """Digits of some texts, each filled up with zeros."""
    whole = "".join([text[1:].ljust(length, _ZERO) for text, length in zip(texts, lengths, strict=True)])
    return np.frombuffer(whole.encode("utf-32-le"), "<u4").astype(np.int64) - 1


def _read_two(texts: Sequence[str], sizes: Sequence[int]) -> Counts:
    digits = _digits(texts, [2 * size for size in sizes]).reshape(-1, 2)
    return digits[:, 0] * BASE + digits[:, 1]


def _read_json(texts: Sequence[str], sizes: Sequence[int]) -> Counts:
    whole = [text[1:-1] + ",0" * (size - 1 - text.count(",")) for text, size in zip(texts, sizes, strict=True)]
    return np.fromstring(",".join(whole), dtype=np.int64, sep=",")


#: How each form is read, all its columns at once.
_READ = {"1": _digits, "2": _read_two, "[": _read_json}
