"""What becomes of messages that piled up in the outbox: after an outage a digest replaces most of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from monitor.notify.message import Message, names
from monitor.notify.plan import worst
from monitor.rules.rule import SEVERITIES
from monitor.words import clock_time, counted, duration

Outcome = Literal["sent", "dead", "collapsed", "skipped"]


@dataclass(frozen=True, slots=True)
class Item:
    """A message in the outbox that is not settled. `doubt`: an attempt may have arrived.

    `plain`: to be sent without markup. `next_try`: seconds since 1970.
    """

    id: int
    group: str
    created: float
    attempts: int
    message: Message
    plain: bool = False
    doubt: bool = False
    next_try: float | None = None


#: Messages that were not tried for this many seconds waited for a receiver that could not be reached.
OUTAGE = 300.0

#: Kinds of messages that no digest replaces.
APART = ("digest", "picture", "report", "file")

#: Most groups whose last state is sent as a message of its own after an outage; the digest has the others.
LAST_STATES = 10


class Collapse(NamedTuple):
    """What becomes of a backlog: `replaced` are ids of messages that the digest replaces; the others are sent."""

    replaced: tuple[int, ...]
    digest: Message


def collapse(backlog: Sequence[Item], delivered: frozenset[str], now: float) -> Collapse | None:
    """Collapse what piled up during an outage. Returns None if nothing did.

    `delivered`: event ids of which a message was delivered. An event that began and ended in the outage is only in the
    digest: its end would be news of something whose beginning was never sent.
    """
    untried = [item for item in backlog if not item.attempts and item.message.kind not in APART]
    groups: dict[str, list[Item]] = {}
    for item in untried:
        groups.setdefault(item.group, []).append(item)
    piled = len(groups) > LAST_STATES or any(len(items) > 1 for items in groups.values())
    if not piled or now - untried[0].created < OUTAGE:
        return None
    last = [items[-1] for items in groups.values()]
    news = [item for item in last if item.message.kind != "resolved" or item.message.event_id in delivered]
    news.sort(key=lambda item: (SEVERITIES.index(item.message.severity), -item.created))
    kept = {item.id for item in news[:LAST_STATES]}
    severity, newest = worst(item.message.severity for item in last), untried[-1].message
    lines = _digest(groups, untried, now)
    digest = Message("digest", "", severity, "", now, newest.model, lines=lines, link=newest.link)
    return Collapse(tuple(item.id for item in untried if item.id not in kept), digest)


def _digest(groups: Mapping[str, Sequence[Item]], untried: Sequence[Item], now: float) -> tuple[tuple[str, str], ...]:
    """The lines of a digest: since when the receiver could not be reached, and the last state of each group."""
    begun = untried[0].created
    lines = [
        ("", f"From {clock_time(begun, now)} until now ({duration(now - begun)}) this receiver could not be reached."),
        ("", f"{len(untried)} messages were not sent; what still fires follows in full. In short:"),
    ]
    for name, items in list(groups.items())[:LAST_STATES]:
        latest = items[-1].message
        state = f"fires ({latest.severity})" if latest.firing else "is over"
        columns = f"{latest.name}, rule {name}: ".removeprefix(", ") + names(latest.firing or latest.entries)
        lines.append((columns, f"{state}; {counted(len(items), 'message')} of it"))
    if len(groups) > LAST_STATES:
        lines.append(("", f"and {len(groups) - LAST_STATES} more rules; the page has them all"))
    return tuple(lines)
