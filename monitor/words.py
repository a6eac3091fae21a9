"""Numbers, moments and lengths of time as people read them, in pages, messages and commands. Everything is UTC."""

from __future__ import annotations

import itertools
import math
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

#: Words of a table that are longer than this are broken if there is no room: a time has 20 characters.
LONGEST = 20
#: Texts of a table are not wrapped into less than this, and the last text of a row not into less than that.
NARROW, LAST = 10, 24

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

#: Every drift statistic that a rule may name, and what people call it; `monitor.drift.statistics` works them out.
STATISTIC_NAMES = {
    "ks": "K-S",
    "kl": "KL",
    "psi": "PSI",
    "js": "JS",
    "wasserstein": "Wasserstein",
    "chi2": "chi-square",
    "missing": "missing share",
    "other": "unseen or out of range",
}


def program() -> str:
    """How Telltale's commands are called: `telltale`; in a clone, where modules are run, `python -m monitor`."""
    modules = Path(sys.argv[0]).parent.name in ("monitor", "server", "train")
    return "python -m monitor" if modules else "telltale"


def count(value: int) -> str:
    """Write a whole number.

    >>> count(4210)
    '4,210'
    """
    return f"{value:,}"


def counted(value: int, thing: str) -> str:
    """Count things, in the plural unless there is one.

    >>> counted(1, "column"), counted(4210, "row")
    ('1 column', '4,210 rows')
    """
    return f"{value:,} {thing}" + ("" if value == 1 else "s")


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for people, with that many significant digits, and all digits of a whole number below a billion.

    >>> [number(x) for x in (42.0, 0.01234, 68150.4, -1.5e308, 3.30001, 0, 1.5e-7, None)], number(3.3001, 5)
    (['42', '0.0123', '68,150', '-1.5e+308', '3.3', '0', '1.5e-07', '–'], '3.3001')
    """
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-4:
        return f"{value:.{digits}g}"
    places = max(digits - 1 - (math.floor(math.log10(size)) if size else 0), 0)
    text = f"{value:,.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def percent(share: float, digits: int = 2) -> str:
    """Write a share for people, with that many significant digits; whole percents from 10 % on.

    >>> percent(0.0), percent(0.0004), percent(0.0512), percent(0.5), percent(0.04921, 3), percent(0.5012, 3)
    ('0 %', '0.04 %', '5.1 %', '50 %', '4.92 %', '50.1 %')
    """
    size = abs(100 * share)
    if not size:
        return "0 %"
    places = max(digits - 1 - math.floor(math.log10(size)), digits - 2, 0)
    text = f"{100 * share:.{min(places, 17)}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def apart(
    before: float,
    after: float,
    write: Callable[[float, int], str] = number,
    digits: int = 3,
    say: str = "was {}, now {}",
) -> str:
    """Write two numbers, by default a change, with enough digits to tell them apart.

    >>> apart(42.0, 379.0), apart(0.0492, 0.0487, percent, 2), apart(1.7e9, 1.7e9 + 60, say="{} to {}")
    ('was 42, now 379', 'was 4.92 %, now 4.87 %', '1.7e+09 to 1.7000001e+09')
    """
    for more in range(digits, 18):
        texts = write(before, more), write(after, more)
        if texts[0] != texts[1]:
            break
    return say.format(*texts)


def statistic(value: float | None) -> str:
    """Write a statistic or its threshold: three places, so that a column of them lines up.

    >>> [statistic(x) for x in (0.4312, 0.05, 0.0002, 27.125, None)]
    ['0.431', '0.050', '0.0002', '27.1', '–']
    """
    if value is not None and (value == 0 or 0.001 <= value < 10):
        return f"{value:.3f}"
    return number(value, 1 if value and value < 0.001 else 3)


def p_value(value: float | None) -> str:
    """Write a probability, or the bound that it is below.

    >>> p_value(0.031), p_value(1e-30), p_value(None)
    ('0.031', '< 1e-12', '–')
    """
    return "< 1e-12" if value is not None and value < 1e-12 else number(value, 2)


def duration(seconds: float) -> str:
    """Write a length of time in its largest unit, or in two if one would be coarse.

    >>> [duration(s) for s in (0.2, 45, 60, 1800, 5400, 90000, 86400 * 40)]
    ['less than a second', '45 seconds', '1 minute', '30 minutes', '1 h 30 min', '1 day 1 h', '40 days']
    """
    whole = round(seconds)
    if whole < 1:
        return "less than a second"
    if whole < 60:
        return counted(whole, "second")
    minutes = whole // 60
    if minutes < 60:
        return counted(minutes, "minute")
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else counted(hours, "hour")
    days, hours = divmod(hours, 24)
    return f"{counted(days, 'day')} {hours} h" if hours and days < 7 else counted(days, "day")


def size(bytes_: float) -> str:
    """Write a number of bytes.

    >>> size(512), size(25_300_000)
    ('512 B', '25.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if bytes_ < 1000:
            return f"{number(bytes_)} {unit}"
        bytes_ /= 1000
    return f"{number(bytes_)} TB"


def date_time(epoch: float, now: float | None = None) -> str:
    """Write a moment with its full date, without the year if that is the one of `now`.

    >>> date_time(7800.0), date_time(7800.0, 9000.0)
    ('1 Jan 1970, 02:10 UTC', '1 Jan, 02:10 UTC')
    """
    moment = datetime.fromtimestamp(epoch, UTC)
    year = "" if now is not None and moment.year == datetime.fromtimestamp(now, UTC).year else f" {moment.year}"
    return f"{moment.day} {MONTHS[moment.month - 1]}{year}, {moment.hour:02}:{moment.minute:02} UTC"


def stretch(begin: float, end: float, now: float | None = None) -> str:
    """Write a period with its full dates, without the year if that is the one of `now`.

    >>> stretch(7800.0, 9000.0), stretch(7800.0, 94200.0)
    ('1 Jan 1970, 02:10 to 02:30 UTC', '1 Jan 1970, 02:10 to 2 Jan 1970, 02:10 UTC')
    """
    first, last = date_time(begin, now), date_time(end, now)
    day, _, clock = last.rpartition(", ")
    return f"{first.removesuffix(' UTC')} to {clock if first.startswith(day) else last}"


def clock_time(epoch: float, now: float) -> str:
    """Write a moment, with its date if that is not the date of `now`.

    >>> clock_time(7800.0, 9000.0), clock_time(7800.0, 180000.0), clock_time(7800.0, 86400.0 * 400)
    ('02:10 UTC', '1 Jan, 02:10 UTC', '1 Jan 1970, 02:10 UTC')
    """
    day, _, time = date_time(epoch, now).partition(", ")
    return time if epoch // 86_400 == now // 86_400 else f"{day}, {time}"


def cell(value: object) -> str:
    """Write a value in a table: a dash for nothing, four digits of a number.

    >>> cell(None), cell(0.123456), cell(32122.4), cell(1200), cell("a")
    ('-', '0.1235', '32,122', '1,200', 'a')
    """
    if value is None or value == "":
        return "-"
    return number(value, 4) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def line_width() -> int:
    """Return how many characters a line may have: those of the terminal, or as many as it takes."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def fit(line: str, width: int) -> list[str]:
    """Wrap a line between words, as far as it is longer than `width`; what follows is indented.

    >>> fit("a: mean was 1.5, now 2", 12)
    ['a: mean was', '  1.5, now 2']
    """
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Collection[int] = (),
    width: int | None = None,
    optional: Collection[str] = (),
) -> list[str]:
    """Lines of a table that fit into `width` characters, by default those of the terminal; `right`: columns of numbers.

    Texts are wrapped within their columns, numbers never. If that is not enough, the last text is beneath its row, or
    each row is a block of lines. `optional`: columns that are left out if they say the same in every row.

    >>> table(("column", "n"), [("a", 42), ("b", 1042)], right=[1])
    ['column      n', 'a          42', 'b       1,042']
    >>> table(("what", "n"), [("mean was 1, now 2", 42)], [1], width=16)
    ['what           n', 'mean was 1,   42', 'now 2']
    >>> table(("column", "n", "what"), [("a", 42, "mean was 1, now 2")], [1], width=22)
    ['column   n', 'a       42', '    mean was 1, now 2']
    >>> table(("column", "n", "what"), [("a", 42, "mean was 1, now 2")], [1], width=9)
    ['column  a', 'n       42', 'what    mean was', '        1, now 2']
    """
    width = line_width() if width is None else width
    columns = list(zip(head, *([cell(value) for value in row] for row in rows), strict=True))
    kept = [i for i, column in enumerate(columns) if column[0] not in optional or len({*column[1:]}) > 1]
    right, columns = {k for k, i in enumerate(kept) if i in right}, [columns[i] for i in kept]
    least = [_least(column, i in right, i == len(kept) - 1) for i, column in enumerate(columns)]
    inner, beneath = columns, list[str]()
    if sum(least) + 2 * len(least) - 2 > width and len(columns) > 1 and len(columns) - 1 not in right:
        inner, beneath = columns[:-1], list(columns[-1][1:])
    room = width - 2 * len(inner) + 2
    if sum(least[: len(inner)]) > room:
        return _blocks(columns, width)
    first, *groups = _rows(inner, least, room, right)
    for group, text in itertools.zip_longest(groups, beneath, fillvalue="-"):
        first += [*group, *(fact("", text, 2, width) if text != "-" else [])]
    return first


def _blocks(columns: Sequence[Sequence[str]], width: int) -> list[str]:
    """Each row of a table as a block of lines, one for each column that has something."""
    names, *rows = zip(*columns, strict=True)
    longest, lines = max(map(len, names)), list[str]()
    for row in rows:
        lines += [""] * bool(lines)
        for name, text in zip(names, row, strict=True):
            lines += fact(name, text, longest, width) if text != "-" else []
    return lines


def _rows(
    columns: Sequence[Sequence[str]], least: Sequence[int], room: int, right: Collection[int]
) -> Iterator[list[str]]:
    """The lines of each row of a table, of as wide columns as there is room for, but at least as wide as `least`."""
    widths = [max(map(len, column)) for column in columns]
    while sum(widths) > room:
        widths[max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))] -= 1
    for row in zip(*columns, strict=True):
        parts = [_wrap(text, width) for text, width in zip(row, widths, strict=True)]
        yield [
            "  ".join(f"{text:{'>' if i in right else '<'}{widths[i]}}" for i, text in enumerate(cells)).rstrip()
            for cells in itertools.zip_longest(*parts, fillvalue="")
        ]


def _least(column: Sequence[str], number: bool, last: bool) -> int:
    """Fewest characters of a column: a number is never cut, a text is wrapped, the last one not into little."""
    if number:
        return max(map(len, column))
    wide = LAST if last else max(NARROW, min(LONGEST, max(len(word) for text in column for word in text.split(" "))))
    return min(max(map(len, column)), wide)


def fact(title: str, text: str, titles: int, width: int | None = None) -> list[str]:
    """Lines that say one thing: its title in `titles` characters, and its text, wrapped.

    >>> fact("gaps", "2, and more", 6, 14)
    ['gaps    2, and', '        more']
    """
    lines = _wrap(text, max((line_width() if width is None else width) - titles - 2, 8))
    return [f"{'' if i else title:<{titles}}  {line}" for i, line in enumerate(lines)]


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) if len(text) > width else [text]
