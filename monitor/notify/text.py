"""A message as blocks of styled pieces, which every renderer shares.

Everything from data or configuration (names, categories, labels, versions) is a `code` piece: once escaped, both
providers take it literally, so a column called `<!channel>` stays a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from monitor.clock import HOUR, MINUTE
from monitor.columns.column import clean_text
from monitor.drift.result import ESTIMATE
from monitor.notify.guide import first_step
from monitor.notify.message import (
    FEW,
    INTERVAL,
    NAMED,
    SHOWN,
    Entry,
    Message,
    against,
    commands,
    is_usual,
    label,
    lasted,
    quoted,
)
from monitor.words import clock_time, date_time, duration, percent, stretch

#: A `name` is code; without markup, it is quoted.
Style = Literal["plain", "bold", "code", "name", "link"]

#: Longest name, category or label within a message.
LONGEST = 60

#: How sentences name a category or a class of the data.
UNUSUAL_SHARE, MOVED_SHARE = r"share of ['\"](.+)['\"] is [\d.]", r"share of (.+) [+-][\d.,]+ points"

#: Most labels of a rule that are shown, each on its own line, since it may be the address of a runbook.
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
    """A message laid out: `head`, `foot`, `todo` are always shown, `columns` as many as fit; `rest` names the others.

    `beyond`: number of columns without a line. `resolved`: for each reason a text, and the columns with a text each.
    """

    head: Block
    columns: Block
    rest: tuple[str, ...]
    beyond: int
    resolved: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    foot: Block
    todo: Block

    def blocks(self, shown: int, named: int = NAMED) -> tuple[Block, ...]:
        """All blocks with the first `shown` columns; the others are counted and named, and so are the resolved ones."""
        hidden = self.beyond + len(self.columns) - shown
        rest = [(f"and {hidden} more", [(name, "") for name in self.rest[shown:]], hidden)] if hidden > 0 else []
        resolved = [(what, items, len(items)) for what, items in self.resolved]
        others = tuple(_listed(*group, named) for group in (*rest, *resolved))
        return self.head, self.columns[:shown], others, self.foot, self.todo


def _listed(what: str, items: Sequence[tuple[str, str]], count: int, named: int) -> Line:
    """Say how many there are, name some, and count the others."""
    pieces = [Piece(what)]
    for position, (name, more) in enumerate(items[:named]):
        pieces += [Piece(", " if position else ": "), Piece(name, "name"), Piece(more)]
    left = count - len(items[:named])
    pieces += [Piece(f" and {left} others")] if items[:named] and left else []
    return tuple(piece for piece in pieces if piece.text)


def cut(text: str, limit: int = LONGEST) -> str:
    """Clean a text from outside, put it on one line, and cut it between characters as people see them.

    >>> cut("a" * 10, 4), cut("  "), cut("x" + chr(0x202E) + "y")
    ('aaa…', '(blank)', 'x<U+202E>y')
    """
    text = clean_text(text)
    text = "".join(c for c in text if c == "\u200d" or unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn")).strip()
    if not text.strip("\u200d\ufe0f \u3164\u2800"):
        return "(blank)"
    if len(text) <= limit:
        return text
    ends = (end for end in range(limit - 1, 0, -1) if not _joined(text[end - 1], text[end]))
    return text[: next(ends, limit - 1)] + "…"


def _joined(before: str, after: str) -> bool:
    """Whether two neighbouring characters look like one: accents, emoji sequences, flags."""
    flags = all("\U0001f1e6" <= character <= "\U0001f1ff" for character in (before, after))
    modifies = after in "\u200d\ufe0e\ufe0f" or "\U0001f3fb" <= after <= "\U0001f3ff"
    return bool(unicodedata.combining(after)) or modifies or flags or before == "\u200d"


def units(text: str) -> int:
    """Length as Telegram counts it: UTF-16 units.

    >>> units("a"), units(chr(0x1F600))
    (1, 2)
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def lay_out(message: Message) -> Text:
    """Lay a message out."""
    longest = (5 if message.kind == "report" else 2) * LONGEST
    lines = tuple(
        (*((Piece(cut(name, longest), "code"), Piece(" " * bool(text))) if name else ()), Piece(text))
        for name, text in message.lines
    )
    if message.kind in ("digest", "report", "test"):
        return Text(_head(message), lines, (), 0, (), (), _todo(message))
    firing = message.firing
    rest = tuple(_name(item, message) for item in firing[: SHOWN + NAMED])
    shown = tuple(_column(item, message) for item in firing[:SHOWN])
    foot = lines if message.kind == "resolved" else _foot(message)
    return Text(_head(message), shown, rest, len(firing) - len(shown), _resolved(message), foot, _todo(message))


def _resolved(message: Message) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """The resolved columns by reason; for a single one the title says all but the reason."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for item in message.resolved:
        took = f" after {duration(lasted(item, message))}"
        groups.setdefault(cut(item.reason, 200) if item.reason else "", []).append((_name(item, message), took))
    unsure = "; this does not say that the drift is over"
    because = {reason: f"because {reason}{unsure}" if reason else "" for reason in groups}
    if message.kind == "resolved" and len(message.entries) == 1:
        return tuple((text, ()) for text in because.values() if text)
    last = max((item.until or message.at for item in message.resolved), default=0.0)
    by = f"by {clock_time(last, message.now)}"
    return tuple((f"{len(items)} resolved {because[why] or by}", tuple(items)) for why, items in groups.items())


def _head(message: Message) -> Block:
    """What holds for all columns of a message, and for the message itself."""
    firing = message.drifted
    harm = [_harm(firing)] if any(item.harm for item in firing) else []
    since = [(Piece(began),)] if (began := _began(message)) else []
    notes = {
        f"changed {message.changes} times since the last message": message.changes > max(2, len(message.entries)),
        f"delayed by {duration(message.delayed)}: written {clock_time(message.at, message.now)}": message.delayed,
        "may be a repeat: no answer came to an earlier attempt": message.repeated,
        **{cut(item.reason, 200): item.reason for item in firing},
    }
    written = [(Piece(note),) for note, holds in notes.items() if holds]
    return (*harm, *_predictions(message), *_importance(firing), *since, *_labels(message), *written)


def _predictions(message: Message) -> Block:
    """The numbers of predictions that have moved, unless a prediction that fires has them in a line of its own."""
    firing, (_, colon, numbers) = message.drifted, cut(message.answers, 300).partition(": ")
    if not firing or not colon or any(item.role == "prediction" for item in firing):
        return ()
    plainer = _plainer(Piece(numbers), len(firing) > FEW).text
    return ((Piece("predictions: "), Piece(plainer, "code")),)  # it may name classes


def _importance(firing: Sequence[Entry]) -> Block:
    """How important all columns together are, for each model."""
    shares: dict[str, float] = {}
    for item in firing:
        if item.importance is not None:
            shares[item.model] = shares.get(item.model, 0.0) + item.importance
    rounded = [(cut(model), percent(round(share, 2))) for model, share in shares.items()]
    if len(rounded) > 1:
        each = ", ".join(f"{model} {share}" for model, share in rounded)
        return ((Piece("importance for each model: "), Piece(each, "code")),)
    return tuple((Piece(f"importance for the model: {share} (all columns: 100 %)"),) for _, share in rounded)


def _labels(message: Message) -> Block:
    labels = sorted(message.entries[0].labels.items()) if message.entries else []
    return tuple((Piece(cut(f"{name}={value}", 2 * LONGEST), "code"),) for name, value in labels[:LABELS])


def _harm(firing: Sequence[Entry]) -> Line:
    """The verdict on harm, which every message has first: in full if it is the same of all alerts, else by how many."""
    if len({item.harm for item in firing}) == 1:
        return _sentence(firing[0].harm, re.findall(MOVED_SHARE, firing[0].harm))
    effects = [item.effect for item in firing]
    words = {"harmful": "harmful", "unknown": "harm unknown", "harmless": "harmless"}
    counts = ", ".join(f"{word}: {effects.count(effect)}" for effect, word in words.items() if effect in effects)
    each = any(ESTIMATE in item.harm for item in firing)
    return (Piece(counts + ESTIMATE.replace("estimated from this column", "each estimated") * each),)


def _began(message: Message) -> str:
    """Since when several columns have moved if that is one minute, or one hour for many: the head then says it."""
    since = sorted(item.since for item in message.firing)
    if len(since) < 2 or since[-1] - since[0] >= (HOUR if len(since) > FEW else MINUTE):
        return ""
    first, last = date_time(since[0], message.now), clock_time(since[-1], since[0])
    return f"alerts since {first}" if first.endswith(last) else f"began between {first.removesuffix(' UTC')} and {last}"


def _column(item: Entry, message: Message) -> Line:
    """A column in one line: what changed, since when, what it does to the model."""
    name = _heading(item, message)
    if item.back:
        return (*name, Piece(": within its threshold now; resolves if that lasts"))
    many = len(message.firing) > FEW
    parts = [(", ", change) for change in _changes(item, message, many)]
    if not _began(message):
        parts.append((", ", (Piece(f"alert since {date_time(item.since, message.now)}"),)))
    if item.explained:
        parts.append(("; ", _sentence(item.explained, re.findall(UNUSUAL_SHARE, item.explained))))
    # The head has the harm if it is the same of all, and what all such estimates rest on.
    harm = item.brief if many else item.harm.replace(ESTIMATE, "")
    if harm and len({drifted.harm for drifted in message.drifted}) > 1:
        parts.append(("; ", _sentence(harm, re.findall(MOVED_SHARE, harm))))
    pieces = list(name)
    for place, (separator, part) in enumerate(parts):
        pieces += [Piece(separator if place else ": "), *part]
    return tuple(pieces)


def _heading(item: Entry, message: Message) -> Line:
    """A column's name, and in an update what is new about it."""
    news = {"new": " (new)", "more severe": f" (now {item.severity})", "harmful": " (now harmful)"}
    new = [Piece(news[item.status], "bold")] if message.kind == "update" and item.status in news else []
    if item.role != "prediction":
        return (Piece(_name(item, message), "code" if item.role == "outcome" else "name"), *new)
    model = [Piece(cut(item.model), "code"), Piece(": ")] if _several(message) else []
    named = [] if item.column == "prediction" else [Piece(": "), Piece(cut(item.column), "code")]
    return (*model, Piece("predictions"), *named, *new)


def _changes(item: Entry, message: Message, many: bool) -> list[Line]:
    """What changed, as far as the title does not say it."""
    if item.silent and not _several(message):  # the title has since when
        return [(Piece(item.direction.partition("; ")[2]),)]
    if item.worse:  # the title has the other numbers
        return [(Piece(f"95 % interval {interval}"),) for interval in re.findall(INTERVAL, item.direction)]
    if not item.direction:
        return []
    return [tuple(_plainer(piece, many) for piece in _sentence(item.direction, item.names))]


def _several(message: Message) -> bool:
    return len({item.model for item in message.entries}) > 1


def _name(item: Entry, message: Message) -> str:
    """A column's name, with its model's if the message is about several."""
    if _several(message):
        return cut(item.model if item.silent else f"{item.model}: {label(item)}")
    return cut(label(item))


def _plainer(piece: Piece, many: bool) -> Piece:
    """Write standard deviations out, or leave them out of a list of many columns, with an arrow for a change."""
    if piece.style == "code":
        return piece
    text = re.sub(r" \(([\d.,]+) sd\)", "" if many else r" (\1 standard deviations)", piece.text)
    text = re.sub(r"\bwas ([\d.,e+-]+(?: %)?), now ", r"\1 → ", text) if many else text
    return Piece(text.replace("spread (sd)", "spread" if many else "spread (standard deviation)"))


def _sentence(text: str, names: Sequence[str]) -> Line:
    """Split a sentence so that the names in it that come from data are pieces of their own."""
    pieces: list[Piece] = []
    for name in names:
        before, middle, after = text.partition(name) if name else (text, "", "")
        if middle:
            pieces += [Piece(clean_text(before)), Piece(cut(name, 40), "code")]
            text = after
    return (*(piece for piece in pieces if piece.text), Piece(clean_text(text)[:300]))


def _foot(message: Message) -> Block:
    """How many rows were judged, of which period, and against what: of the entry with most rows."""
    most = max((item for item in message.firing if item.window), key=lambda item: item.n, default=None)
    if most is None or most.window is None:
        return ()
    start, end = most.window
    what = "outcomes" if most.role == "outcome" and most.change != "estimate worse" else "predictions"
    rows = f"{most.n:,} {what} of {stretch(start, min(end, message.at), message.now)}"
    of = "" if is_usual(most) else f"{most.m:,} rows of "
    return ((Piece(f"{rows}, compared with {of}{against(cut(most.reference))}"),),)


def _todo(message: Message) -> Block:
    """What to do, as links and commands, and what the message is about."""
    lines: list[Line] = []
    if message.address:
        lines.append((Piece("look: "), Piece(message.address, "link")))
    if message.kind in ("firing", "update", "repeat"):
        step = f"what to do: {'It can wait until the morning. ' * message.harmless}{first_step(message.guide)} "
        lines.append((Piece(step), Piece(message.guide, "link" if message.link else "plain")))
        lines += [(Piece(f"{what}: "), Piece(command, "code")) for what, command in commands(message)]
    named = any(message.model in item.reason for item in message.entries)
    facts = (("model version ", "" if named else message.model), ("rule ", message.group), ("event ", message.event_id))
    known = [(what, cut(text)) for what, text in facts if text]
    about = [(Piece(", " * bool(place) + what), Piece(text, "code")) for place, (what, text) in enumerate(known)]
    if about:
        lines.append(tuple(chain.from_iterable(about)))
    return tuple(lines)


def written(
    message: Message, headline: str, limit: int, length: Callable[[str], int], style: Callable[[Piece], str]
) -> str:
    """Write a message in at most `limit` of what `length` counts; what does not fit is named, then counted."""
    laid = lay_out(message)

    def text(*blocks: Block) -> str:
        head, *others = ("\n".join("".join(map(style, line)) for line in block) for block in blocks)
        return "\n\n".join(part for part in (f"{headline}\n{head}".strip(), *others) if part)

    for shown, named in [*((n, NAMED) for n in range(len(laid.columns), -1, -1)), (0, 0)]:
        whole = text(*laid.blocks(shown, named))
        if length(whole) <= limit:
            return whole
    return text(laid.todo)


def plain_text(message: Message, headline: str, limit: int, length: Callable[[str], int] = len) -> str:
    """Write the whole message as plain text of at most `limit` characters."""
    return written(
        message, headline, limit, length, lambda piece: quoted(piece.text) if piece.style == "name" else piece.text
    )
