"""Numbers, moments and lengths of time as people say them."""

from __future__ import annotations

from monitor.clock import iso


def count(columns: int) -> str:
    """A number of columns in words.

    >>> count(1), count(40)
    ('1 column', '40 columns')
    """
    return f"{columns} column" + ("" if columns == 1 else "s")


def lasted(seconds: float) -> str:
    """A length of time in at most two parts.

    >>> lasted(42), lasted(3900), lasted(90_061)
    ('42 s', '1 h 5 min', '1 d 1 h')
    """
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    parts = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    first = next(i for i, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)


def clock_time(epoch: float, now: float) -> str:
    """A moment as people say it: the time, with the date unless it is today. UTC.

    >>> clock_time(60, 3600), clock_time(60, 90_000)
    ('00:01 UTC', '1970-01-01 00:01 UTC')
    """
    text = iso(float(int(epoch)))
    day, time = text[:10], text[11:16]
    return f"{time} UTC" if day == iso(float(int(now)))[:10] else f"{day} {time} UTC"


def number(value: float) -> str:
    """A number in three digits that matter.

    >>> number(0.41237), number(1234.5), number(152.13), number(0.0)
    ('0.412', '1,234', '152', '0')
    """
    if value == 0:
        return "0"
    return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:.3g}"
