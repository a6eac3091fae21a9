"""The period that an address names: `from` and `to`, or `around` an alert's event; and what its form shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from monitor.clock import DAY, iso
from monitor.columns.column import clean_text
from monitor.config import settings
from monitor.drift.result import Span
from monitor.errors import InputError
from monitor.rules.alert import ENDED, AlertState, period_around

#: Fields of an address that name a period; `around` counts only if the others are empty.
NAMES = ("from", "to", "around")

#: Choices at a click: text, and `from`.
CHOICES = (("24 h", "24h"), ("7 days", "7d"), ("30 days", "30d"), ("all", "all"))


#: Shortest period that is drawn, in seconds.
SHORTEST = 60.0

#: Characters of a field that are repeated in a page.
LONGEST = 80

#: When an event entered which state, by its id: `store.records.alerts.moves_of`.
Moves = Callable[[str], Sequence[tuple[float, AlertState]]]


class Period(NamedTuple):
    """What a page shows, in seconds since 1970 UTC, and what its form says.

    `judged`: when the verdicts of a period that is over were given, at the latest; None for the present ones. `kept`:
    what links repeat, by name. `fields`: texts of the form, by name. `current`: the choice at a click that it is.
    `wrong`: what is wrong with the address; the page shows its usual period then.
    """

    start: float
    end: float
    judged: float | None
    kept: dict[str, str]
    fields: dict[str, str]
    current: str
    wrong: InputError | None


def read(address: Mapping[str, str], now: float, seconds: float, moves: Moves) -> Span:
    """Return the period that an address names, or the last `seconds` if it names none.

    Raises InputError with the name of the field.

    >>> read({"from": "1970-01-01", "to": "1h"}, 9000.0, 60.0, lambda _: [])
    <Span 1970-01-01T00:00:00Z to 1970-01-01T01:30:00Z>
    >>> read({"around": "tpfvitgxcn"}, 9000.0, 60.0, lambda _: [(7200.0, "firing")])
    <Span 1970-01-01T01:00:00Z to 1970-01-01T02:30:00Z>
    """
    texts = {name: address[name].strip() for name in NAMES if address.get(name, "").strip()}
    if list(texts) == ["around"]:
        if entered := moves(texts["around"]):
            return period_around(entered, now)
        raise InputError("no_event", f"no alert has the event id {clean_text(texts['around'][:LONGEST])!r}", "around")
    end = _moment(texts, "to", now, now)
    start = _moment(texts, "from", now, max(end - seconds, 0.0))
    if start >= min(end, now):
        message = f"the period would begin at {iso(start)}, which is not before its end, {iso(min(end, now))}"
        raise InputError("time", message, "from" if "from" in texts else "to")
    return Span(start, end)


def address_of(start: float, end: float) -> dict[str, str]:
    """Return the fields of an address that names a period."""
    return {"from": iso(start), "to": iso(end)}


def chosen(address: Mapping[str, str], now: float, seconds: float, first: float, moves: Moves) -> Period:
    """Return what a page shows: what the address names, as far as there is a history.

    `first`: when the history begins. A young one fills the width.

    >>> chosen({"from": "7d"}, 1e6, DAY, 1e6 - 1800.0, lambda _: [])[:5]
    (998200.0, 1000000.0, None, {'from': '7d'}, {'from': '7d', 'to': ''})
    """
    kept = {name: address[name][:LONGEST] for name in NAMES if address.get(name)}
    fields = {name: kept.get(name, "") for name in ("from", "to")}
    wrong = None
    try:
        span = read(address, now, seconds, moves)
    except InputError as error:
        wrong, kept, span = error, {}, Span(max(now - seconds, 0.0), now)
    end = min(span.end, now)
    judged = end if end < now else None
    if list(kept) == ["around"]:
        fields = address_of(span.start // 60 * 60, span.end)
        entered = moves(kept["around"])
        judged = entered[0][0] if entered[-1][1] in ENDED else None
    start = max(span.start, min(first, end - SHORTEST))
    asked = kept or {"from": "24h" if seconds == DAY else "7d"}
    current = asked["from"] if list(asked) == ["from"] else ""
    return Period(start, end, judged, kept, fields, current, wrong)


def _moment(texts: Mapping[str, str], name: str, now: float, default: float) -> float:
    try:
        return settings.moment(texts[name], now) if name in texts else default
    except ValueError as error:
        raise InputError("time", clean_text(str(error)), name) from None
