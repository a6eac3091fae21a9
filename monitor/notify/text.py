"""A message as blocks of styled pieces: what every renderer shares, so that none of them decides what is said.

Everything that came from data or configuration (names, categories, labels, versions) is a `code` piece: both providers
take such a piece literally once it is escaped, so a column called `<!channel>` stays a name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from monitor.notify.message import (
    NAMED,
    SHOWN,
    Entry,
    Message,
    clock_time,
    count,
    label,
    lasted,
    number,
    silence_command,
)
from monitor.window.columns import clean_text

Style = Literal["plain", "bold", "code", "link"]

#: Longest name, category or label within a message.
LONGEST = 60


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text in one style; a link's text is its address."""

    text: str
    style: Style = "plain"


Line = tuple[Piece, ...]
Block = tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A message laid out: `head` and `foot` are always shown, `columns` as many as fit, `rest` names what is left.

    `beyond`: number of columns that have no block of their own.
    """

    head: Block
    columns: tuple[Block, ...]
    rest: tuple[str, ...]
    beyond: int
    foot: Block

    def named_rest(self, shown: int) -> Line | None:
        """The line that stands for the columns that are not shown when only the first `shown` are; None if all are."""
        hidden = self.beyond + len(self.columns) - shown
        if hidden <= 0:
            return None
        names = self.rest[shown : shown + NAMED]
        pieces = [Piece(f"and {hidden} more" + (": " if names else ""))]
        for position, name in enumerate(names):
            pieces += [Piece(", ")] * bool(position) + [Piece(name, "code")]
        if hidden > len(names) > 0:
            pieces.append(Piece(f" and {hidden - len(names)} others"))
        return tuple(pieces)


def cut(text: str, limit: int = LONGEST) -> str:
    """Make a text from outside fit: cleaned, on one line, and cut between characters as people see them.

    >>> cut("a" * 10, 4), cut("  "), cut("x" + chr(0x202E) + "y")
    ('aaa…', '(blank)', 'x y')
    """
    text = clean_text(text)
    text = "".join(c for c in text if c == "\u200d" or unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn")).strip()
    if not text.strip("\u200d\ufe0f \u3164\u2800"):
        return "(blank)"
    if len(text) <= limit:
        return text
    end = limit - 1
    while end > 0 and _joined(text, end):
        end -= 1
    return text[: end or limit - 1] + "…"


def _joined(text: str, at: int) -> bool:
    """Whether the characters on both sides of a position are one to the eye: accents, emoji sequences, flags."""
    after = text[at]
    return (
        bool(unicodedata.combining(after))
        or after in "\u200d\ufe0e\ufe0f"
        or 0x1F3FB <= ord(after) <= 0x1F3FF
        or (0x1F1E6 <= ord(after) <= 0x1F1FF and 0x1F1E6 <= ord(text[at - 1]) <= 0x1F1FF)
        or text[at - 1] == "\u200d"
    )


def units(text: str) -> int:
    """Length as Telegram counts it: UTF-16 units.

    >>> units("a"), units(chr(0x1F600))
    (1, 2)
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def lay_out(message: Message) -> Text:
    """Lay a message out."""
    if message.kind in ("digest", "test"):
        lines = tuple((Piece(cut(line, 300)),) for line in message.lines)
        return Text(_head(message), (lines,) if lines else (), (), 0, _foot(message))
    entries = message.entries
    shown = tuple(_column(item, message) for item in entries[:SHOWN])
    rest = tuple(cut(label(item)) for item in entries[: SHOWN + NAMED])
    return Text(_head(message), shown, rest, max(0, len(entries) - SHOWN), _foot(message))


def _head(message: Message) -> Block:
    lines: list[Line] = []
    facts = [Piece("model "), Piece(cut(message.model), "code")] if message.model else []
    if message.group:
        facts += [Piece(", rule " if facts else "rule "), Piece(cut(message.group), "code")]
    if facts:
        lines.append(tuple(facts))
    if message.kind == "repeat":
        lines.append((Piece(f"firing since {clock_time(message.opened, message.at)}"),))
    if message.changes > max(2, len(message.entries)):
        lines.append((Piece(f"it changed {message.changes} times since the last message"),))
    if message.delayed:
        written = clock_time(message.at, message.at + message.delayed)
        lines.append((Piece(f"delayed by {lasted(message.delayed)}: written {written}"),))
    if message.repeated:
        lines.append((Piece("may be a repeat: no answer came to an earlier attempt"),))
    return tuple(lines)


def _column(item: Entry, message: Message) -> Block:
    named = (Piece(cut(label(item)), "code"), *_status(item, message))
    lines: list[Line] = [named]
    if item.direction:
        lines.append((Piece(cut(item.direction, 80)),))
    if item.mean:
        lines.append((Piece(f"mean {'+' if item.mean > 0 else '−'}{number(abs(item.mean))} in its own units"),))
    lines += [
        (Piece(cut(category, 30), "code"), Piece(f" {_share(before)} → {_share(after)}"))
        for category, before, after in item.moves
    ]
    if item.status == "resolved":
        return tuple(lines)
    if item.value is not None and item.statistic:
        limit = f", limit {number(item.threshold)}" if item.threshold is not None else ""
        lines.append((Piece(f"{item.statistic} {number(item.value)}{limit}"),))
    if item.sketches:
        lines += [(Piece("ref  "), Piece(item.sketches[0], "code")), (Piece("live "), Piece(item.sketches[1], "code"))]
        if item.scale[1]:
            lines.append((Piece(f"from {item.scale[0]} to {item.scale[1]}"),))
    return tuple(lines)


def _status(item: Entry, message: Message) -> Iterator[Piece]:
    if item.status == "resolved":
        yield Piece(f" is over, after {lasted((item.until or message.at) - item.since)}")
        return
    if item.status == "new" and message.kind == "update":
        yield Piece(" new,", "bold")
    yield Piece(f" since {clock_time(item.since, message.at)}")
    for name, value in sorted(item.labels.items())[:3]:
        yield Piece(", ")
        yield Piece(cut(f"{name}={value}", 40), "code")


def _foot(message: Message) -> Block:
    lines: list[Line] = []
    first = next((item for item in message.firing if item.window), None)
    if first and first.window:
        start, end = (clock_time(moment, message.at) for moment in first.window)
        lines.append((Piece(f"window {start.removesuffix(' UTC')} to {end}, n = {first.n:,}"),))
        lines.append((Piece("against "), Piece(cut(first.reference), "code"), Piece(f", n = {first.m:,}")))
    if message.link:
        lines.append((Piece(message.link, "link"),))
    if message.event_id:
        lines.append((Piece("event "), Piece(cut(message.event_id), "code")))
    if message.kind in ("firing", "update", "repeat"):
        lines.append((Piece("silence: "), Piece(silence_command(message), "code")))
    return tuple(lines)


def _share(share: float) -> str:
    """A share in percent; a small one keeps a digit.

    >>> _share(0.333), _share(0.004), _share(0.0)
    ('33 %', '0.4 %', '0 %')
    """
    return f"{share * 100:.1f} %" if 0 < share < 0.0995 else f"{share * 100:.0f} %"


def plain_line(line: Line) -> str:
    """A line without any style."""
    return "".join(piece.text for piece in line)


def plain(message: Message, headline: str, limit: int, length: object = len) -> str:
    """The whole message as plain text of at most `limit` characters: what is left out is counted."""
    measure = length if callable(length) else len
    laid = lay_out(message)
    for shown in range(len(laid.columns), -1, -1):
        rest = laid.named_rest(shown)
        blocks = [((Piece(headline),), *laid.head), *laid.columns[:shown], *([(rest,)] if rest else []), laid.foot]
        text = "\n\n".join("\n".join(map(plain_line, block)) for block in blocks if block)
        if measure(text) <= limit or not shown:
            return text if measure(text) <= limit else cut(headline, 100) + "\n" + count(len(message.entries))
    raise AssertionError("unreachable")
