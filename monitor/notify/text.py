"""A message as blocks of styled pieces: what every renderer shares, so that none of them decides what is said.

Everything that came from data or configuration (names, categories, labels, versions) is a `code` piece: both providers
take such a piece literally once it is escaped, so a column called `<!channel>` stays a name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from monitor.columns.column import clean_text
from monitor.notify.message import (
    NAMED,
    Entry,
    Message,
    label,
    shown_of,
    silence_command,
)
from monitor.words import clock_time, duration, number

Style = Literal["plain", "bold", "code", "link"]

#: Longest name, category or label within a message.
LONGEST = 60

#: Most labels of a rule that are shown; each has a line of its own, since it may be the address of a runbook.
LABELS = 4


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

    def named_rest(self, shown: int, named: int = NAMED) -> Line | None:
        """The line that counts the columns beyond the first `shown`, and names some; None if all are shown."""
        hidden = self.beyond + len(self.columns) - shown
        if hidden <= 0:
            return None
        names = self.rest[shown : shown + named]
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


def fitted(laid: Text, fits: Callable[[tuple[Block, ...]], bool]) -> tuple[Block, ...]:
    """The blocks of a message, as many columns in full as fit, then names, then counts; head and foot are always there.

    `fits` is asked with all blocks, in the form that they will be sent in.
    """
    for shown, named in [*((n, NAMED) for n in range(len(laid.columns), -1, -1)), (0, 0)]:
        rest = laid.named_rest(shown, named)
        blocks = (laid.head, *laid.columns[:shown], *(((rest,),) if rest else ()), laid.foot)
        if fits(blocks):
            return blocks
    return (laid.foot,)


def lay_out(message: Message) -> Text:
    """Lay a message out."""
    if message.kind in ("digest", "test"):
        lines = tuple(
            (*((Piece(cut(name), "code"), Piece(": ")) if name else ()), Piece(said)) for name, said in message.lines
        )
        return Text(_head(message), (lines,) if lines else (), (), 0, _foot(message))
    entries = message.entries
    most = shown_of(len(entries))
    shown = tuple(_column(item, message) for item in entries[:most])
    rest = tuple(cut(label(item)) for item in entries[: most + NAMED])
    return Text(_head(message), shown, rest, len(entries) - most, _foot(message))


def _head(message: Message) -> Block:
    lines: list[Line] = []
    facts = [Piece("model "), Piece(cut(message.model), "code")] if message.model else []
    if message.group:
        facts += [Piece(", rule " if facts else "rule "), Piece(cut(message.group), "code")]
    if facts:
        lines.append(tuple(facts))
    labels = message.entries[0].labels if message.entries else {}
    for name, value in sorted(labels.items())[:LABELS]:
        lines.append((Piece(cut(f"{name}={value}", 2 * LONGEST), "code"),))
    if message.kind == "repeat":
        lines.append((Piece(f"firing since {clock_time(message.opened, message.now)}"),))
    if message.changes > max(2, len(message.entries)):
        lines.append((Piece(f"it changed {message.changes} times since the last message"),))
    if message.delayed:
        written = clock_time(message.at, message.now)
        lines.append((Piece(f"delayed by {duration(message.delayed)}: written {written}"),))
    if message.repeated:
        lines.append((Piece("may be a repeat: no answer came to an earlier attempt"),))
    return tuple(lines)


def _column(item: Entry, message: Message) -> Block:
    named = (Piece(cut(label(item)), "code"), *_status(item, message))
    if item.status == "resolved":
        return (named,)
    lines: list[Line] = [named]
    if item.mean is not None:
        lines.append((Piece(_moved("mean", item.mean, item.mean_deviations)),))
        if item.median is not None:
            lines.append((Piece(_moved("median", item.median, item.median_deviations)),))
    elif item.direction:
        lines.append((Piece(cut(item.direction, 80)),))
    lines += [
        (Piece(cut(category, 30), "code"), Piece(f" {_share(before)} → {_share(after)}"))
        for category, before, after in item.moves
    ]
    if item.value is not None and item.statistic:
        limit = f", limit {number(item.threshold)}" if item.threshold is not None else ""
        lines.append((Piece(f"{item.statistic} {number(item.value)}{limit}"),))
    first = message.firing[0]
    if (item.n, item.m, item.window) != (first.n, first.m, first.window) and item.n:
        # The foot tells these of the first column; a prediction's reference is smaller than its features'.
        lines.append((Piece(f"n = {item.n:,} against {item.m:,}"),))
    if item.sketches:
        # The names stand behind the bars: before them, in a proportional font, they would push one row aside.
        for bars, name in zip(item.sketches, ("reference", "live"), strict=True):
            lines.append((Piece(bars, "code"), Piece(f" {name}")))
        if item.scale[1]:
            lines.append((Piece(f"from {item.scale[0]} to {item.scale[1]}"),))
    return tuple(lines)


def _status(item: Entry, message: Message) -> Iterator[Piece]:
    if item.status == "resolved":
        yield Piece(f" is over, after {duration((item.until or message.at) - item.since)}")
        return
    if item.status == "new" and message.kind == "update":
        yield Piece(" new,", "bold")
    yield Piece(f" since {clock_time(item.since, message.now)}")


def _foot(message: Message) -> Block:
    lines: list[Line] = []
    first = next((item for item in message.firing if item.window), None)
    if first and first.window:
        start, end = first.window
        until = clock_time(end, start)
        lines.append(
            (Piece(f"window {clock_time(start, message.now).removesuffix(' UTC')} to {until}, n = {first.n:,}"),)
        )
        lines.append((Piece("against "), Piece(cut(first.reference), "code"), Piece(f", n = {first.m:,}")))
    if message.address:
        lines.append((Piece(message.address, "link"),))
    if message.event_id:
        lines.append((Piece("event "), Piece(cut(message.event_id), "code")))
    if message.kind in ("firing", "update", "repeat"):
        lines.append((Piece("silence: "), Piece(silence_command(message), "code")))
    return tuple(lines)


def _moved(what: str, change: float, deviations: float | None) -> str:
    """How far something moved: in the column's own units, then in reference standard deviations.

    >>> _moved("mean", 0.0471, 1.02), _moved("median", -3.0, None), _moved("mean", 0.0, 0.0)
    ('mean +0.0471 (1.0 std. deviations)', 'median −3', 'mean unchanged')
    """
    if change == 0:
        return f"{what} unchanged"
    size = (
        "" if deviations is None else f"{abs(deviations):.1f}" if abs(deviations) >= 0.1 else f"{abs(deviations):.1g}"
    )
    return f"{what} {'+' if change > 0 else '−'}{number(abs(change))}" + (f" ({size} std. deviations)" if size else "")


def _share(share: float) -> str:
    """A share in percent; a small one keeps a digit.

    >>> _share(0.333), _share(0.004), _share(0.0)
    ('33 %', '0.4 %', '0 %')
    """
    return f"{share * 100:.1f} %" if 0 < share < 0.0995 else f"{share * 100:.0f} %"


def plain_line(line: Line) -> str:
    """A line without any style."""
    return "".join(piece.text for piece in line)


def plain(message: Message, headline: str, limit: int, length: Callable[[str], int] = len) -> str:
    """The whole message as plain text of at most `limit` characters: what is left out is counted."""

    def text(blocks: tuple[Block, ...]) -> str:
        head, *others = ("\n".join(map(plain_line, block)) for block in blocks)
        return "\n\n".join(part for part in (f"{headline}\n{head}".strip(), *others) if part)

    return text(fitted(lay_out(message), lambda blocks: length(text(blocks)) <= limit))
