"""What is left of a backlog after an outage: the last state of each group, and one digest of the rest. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitor.notify.message import Message
from monitor.notify.plan import worst
from monitor.rules.rule import SEVERITIES
from monitor.words import clock_time, counted, duration


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits in the outbox, as the collapse after an outage sees it."""

    id: int
    group: str
    created: float
    attempts: int
    message: Message


#: Messages that nobody tried to send for this long waited for something that was broken.
OUTAGE = 300.0

#: Most groups whose last state is sent as a message of its own after an outage; the digest tells of the others.
LAST_STATES = 10


@dataclass(frozen=True, slots=True)
class Collapse:
    """What becomes of a backlog: these rows are folded into the digest, the others are sent as they are."""

    folded: tuple[int, ...]
    digest: Message


def collapse(backlog: Sequence[Waiting], told_before: frozenset[str], now: float) -> Collapse | None:
    """Fold what piled up during an outage to the last state of each group and one digest; None if nothing did.

    `told_before`: event ids of which the receiver has heard. A group that came and went unheard is only in the digest:
    nobody wants to hear the end of something that they never heard begin.
    """
    untried = [item for item in backlog if not item.attempts and item.message.kind not in ("digest", "picture")]
    groups: dict[str, list[Waiting]] = {}
    for item in untried:
        groups.setdefault(item.group, []).append(item)
    piled = len(groups) > LAST_STATES or any(len(items) > 1 for items in groups.values())
    if not piled or now - untried[0].created < OUTAGE:
        return None
    # Of each group only the last is worth sending, and that only where it is news to the reader.
    last = [items[-1] for items in groups.values()]
    kept = [i for i in last if i.message.kind != "resolved" or i.message.event_id in told_before]
    kept.sort(key=lambda item: (SEVERITIES.index(item.message.severity), -item.created))
    keep = {item.id for item in kept[:LAST_STATES]}
    folded = tuple(item.id for item in untried if item.id not in keep)
    begun = untried[0].created
    lines = [
        ("", f"From {clock_time(begun, now)} until now ({duration(now - begun)}) this receiver could not be reached."),
        ("", f"{len(untried)} messages have piled up. In short:"),
    ]
    for name, items in list(groups.items())[:LAST_STATES]:
        lines.append((name, _history(items)))
    if len(groups) > LAST_STATES:
        lines.append(("", f"and {len(groups) - LAST_STATES} more rules; the page has them all"))
    newest = untried[-1].message
    digest: dict[str, Any] = {"lines": tuple(lines), "model": newest.model, "link": newest.link}
    severity = worst([item.message.severity for item in last])
    return Collapse(folded, Message("digest", "", severity, "", now, **digest))


def _history(items: Sequence[Waiting]) -> str:
    fired = sum(item.message.kind == "firing" for item in items)
    ended = sum(item.message.kind == "resolved" for item in items)
    latest = items[-1].message
    state = "now resolved" if latest.kind == "resolved" else f"now {counted(len(latest.firing), 'column')} drifting"
    return f"{state}; fired {counted(fired, 'time')}, resolved {counted(ended, 'time')} meanwhile"
