"""Collapse a backlog after an outage into the last state of each group and one digest of the rest. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from monitor.notify.message import Message
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

#: Most groups whose last state is sent as a message of its own after an outage; the digest has the others.
LAST_STATES = 10


class Collapse(NamedTuple):
    """What becomes of a backlog: `replaced` are ids of messages that the digest replaces; the others are sent."""

    replaced: tuple[int, ...]
    digest: Message


def collapse(backlog: Sequence[Item], told_before: frozenset[str], now: float) -> Collapse | None:
    """Collapse what piled up during an outage. Returns None if nothing did.

    `told_before`: event ids that the receiver was told. An event that began and ended in the outage is in the digest
    only: its end would be news of something whose beginning was never told.
    """
    untried = [item for item in backlog if not item.attempts and item.message.kind not in ("digest", "picture")]
    groups: dict[str, list[Item]] = {}
    for item in untried:
        groups.setdefault(item.group, []).append(item)
    piled = len(groups) > LAST_STATES or any(len(items) > 1 for items in groups.values())
    if not piled or now - untried[0].created < OUTAGE:
        return None
    last = [items[-1] for items in groups.values()]
    kept = [i for i in last if i.message.kind != "resolved" or i.message.event_id in told_before]
    kept.sort(key=lambda item: (SEVERITIES.index(item.message.severity), -item.created))
    keep = {item.id for item in kept[:LAST_STATES]}
    begun, newest = untried[0].created, untried[-1].message
    lines: list[tuple[str, str]] = [
        ("", f"From {clock_time(begun, now)} until now ({duration(now - begun)}) this receiver could not be reached."),
        ("", f"{len(untried)} messages have piled up. In short:"),
    ]
    for name, items in list(groups.items())[:LAST_STATES]:
        kinds, latest = [item.message.kind for item in items], items[-1].message
        state = f"{counted(len(latest.firing), 'column')} drifting" if latest.kind != "resolved" else "resolved"
        fired, ended = (counted(kinds.count(kind), "time") for kind in ("firing", "resolved"))
        lines.append((name, f"now {state}; fired {fired}, resolved {ended} meanwhile"))
    if len(groups) > LAST_STATES:
        lines.append(("", f"and {len(groups) - LAST_STATES} more rules; the page has them all"))
    severity = worst(item.message.severity for item in last)
    digest = Message("digest", "", severity, "", now, newest.model, lines=tuple(lines), link=newest.link)
    return Collapse(tuple(item.id for item in untried if item.id not in keep), digest)
