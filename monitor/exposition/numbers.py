"""Whole numbers to text, many at once, exactly as prometheus-client writes them."""

from __future__ import annotations

import numpy as np

from monitor.window.columns import Counts, go_number

#: From here on the client switches to exponents: 1000000 is `1e+06`.
EXPONENT_FROM = 1_000_000
#: Above this a count is not a float64 any more; the client, which goes through float, rounds it.
EXACT_BELOW = 2**53


def whole_numbers(counts: Counts) -> list[bytes]:
    """Write non-negative whole numbers, shape (n,), as floats: `12.0`, `1.234567e+06`.

    Digit by digit over the whole vector: some 20 times as fast as formatting one number after the other.

    >>> whole_numbers(np.array([0, 12, 999_999, 1_000_000, 1_234_567]))
    [b'0.0', b'12.0', b'999999.0', b'1e+06', b'1.234567e+06']
    """
    out = np.zeros(counts.shape, dtype="S24")
    width = np.ones(counts.shape, dtype=np.intp)
    power = 10
    most = int(counts.max(initial=0))
    while power <= most and power < EXACT_BELOW:
        width += counts >= power
        power *= 10
    # One group per number of digits: within a group every character has its fixed place.
    slow = (counts < 0) | (counts >= EXACT_BELOW)
    for digits in np.unique(width[~slow]).tolist():
        where = np.flatnonzero((width == digits) & ~slow)
        out[where] = _plain(counts[where], digits) if digits <= 6 else _with_exponent(counts[where], digits)
        if digits > 6:
            # The client drops zeros at the end of the mantissa; one number in ten has any.
            slow[where[counts[where] % 10 == 0]] = True
    for i in np.flatnonzero(slow).tolist():
        out[i] = go_number(float(counts[i])).encode()
    texts: list[bytes] = out.tolist()
    return texts


def _digits(counts: Counts, digits: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    out = np.empty((counts.size, digits), dtype=np.uint8)
    rest = counts
    for place in range(digits - 1, -1, -1):
        rest, out[:, place] = np.divmod(rest, 10)
    return out + np.uint8(ord("0"))


def _plain(counts: Counts, digits: int) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    text = np.zeros((counts.size, 24), dtype=np.uint8)
    text[:, :digits] = _digits(counts, digits)
    text[:, digits : digits + 2] = list(b".0")
    return text.reshape(-1).view("S24")


def _with_exponent(counts: Counts, digits: int) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    text = np.zeros((counts.size, 24), dtype=np.uint8)
    found = _digits(counts, digits)
    text[:, 0], text[:, 1], text[:, 2 : digits + 1] = found[:, 0], ord("."), found[:, 1:]
    text[:, digits + 1 : digits + 5] = list(b"e+%02d" % (digits - 1))
    return text.reshape(-1).view("S24")
