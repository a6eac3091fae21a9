"""Whole numbers to text, many at once, exactly as prometheus-client writes them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from monitor.window.columns import Counts, go_number

#: With more digits than these the client switches to exponents: 1000000 is `1e+06`.
PLAIN_DIGITS = 6
PLAIN_BELOW = 10**PLAIN_DIGITS
#: Above this a count is not a float64 any more; the client, which goes through float, rounds it.
EXACT_BELOW = 2**53


_Characters = npt.NDArray[np.uint8]


def whole_numbers(counts: Counts) -> list[bytes]:
    """Write whole numbers, shape (n,), as floats: `12.0`, `1.234567e+06`.

    All digits of all numbers are worked out at once and then put in place, one group of equally long numbers after the
    other: many times as fast as formatting number after number.

    >>> whole_numbers(np.array([0, 12, 999_999, 1_000_000, 1_234_567]))
    [b'0.0', b'12.0', b'999999.0', b'1e+06', b'1.234567e+06']
    """
    most = int(counts.max(initial=0))
    if int(counts.min(initial=0)) < 0 or most >= EXACT_BELOW:
        return [go_number(float(count)).encode() for count in counts.tolist()]
    digits, width, zeros = _digits(counts, most)
    out = np.zeros(counts.size, dtype="S24")
    # Behind a plain number nothing is dropped; in a mantissa the client drops the zeros at its end.
    group = width * 32 + np.where(width > PLAIN_DIGITS, zeros, 0)
    for key in np.flatnonzero(np.bincount(group)).tolist():
        rows = np.flatnonzero(group == key)
        out[rows] = _lay_out(digits[rows], length=key // 32, dropped=key % 32).reshape(-1).view("S24")
    texts: list[bytes] = out.tolist()
    return texts


def _lay_out(digits: _Characters, length: int, dropped: int) -> _Characters:
    """Put the last `length` digits in place, without the last `dropped` of them, for numbers that all look alike."""
    found = digits[:, digits.shape[1] - length : digits.shape[1] - dropped]
    text = np.zeros((len(digits), 24), dtype=np.uint8)
    if length <= PLAIN_DIGITS:
        text[:, :length] = found
        text[:, length : length + 2] = list(b".0")
        return text
    kept = length - dropped
    end = kept + 1 if kept > 1 else 1
    text[:, 0] = found[:, 0]
    text[:, 1] = ord(".")
    text[:, 2 : kept + 1] = found[:, 1:]
    text[:, end : end + 4] = list(b"e+%02d" % (length - 1))
    return text


def _digits(counts: Counts, most: int) -> tuple[_Characters, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """ASCII digits, right-aligned, shape (n, digits of `most`); number of digits; number of zeros at the end."""
    rest = counts.astype(np.uint32) if most < 2**32 else counts
    columns = len(str(most))
    out = np.empty((counts.size, columns), dtype=np.uint8)
    width = np.ones(counts.size, dtype=np.intp)
    zeros = np.zeros(counts.size, dtype=np.intp)
    only_zeros = np.ones(counts.size, dtype=np.bool_)
    for place in range(columns - 1, -1, -1):
        higher = rest // 10
        digit = (rest - higher * 10).astype(np.uint8)
        out[:, place] = digit + np.uint8(ord("0"))
        rest = higher
        width += rest > 0
        only_zeros &= digit == 0
        zeros += only_zeros
    return out, width, zeros
