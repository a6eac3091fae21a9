"""What rules would have done over recorded evaluations: the events, and how often people would have been told.

Pure: the evaluations come from the store or from windows judged again, and pass through `advance` as they would
have in service. Verdicts of the same windows under other thresholds need `drift.evaluate` first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from monitor import words
from monitor.clock import DAY, WEEK, iso
from monitor.config.settings import duration_text
from monitor.drift.result import AlertKey, DriftResult
from monitor.rules.alert import Alert, Transition, advance, by_alert, leading_result
from monitor.rules.rule import Rule

#: Shortest period, in seconds, from which a weekly rate is worked out: a day.
SHORTEST = DAY


@dataclass(frozen=True, slots=True)
class Event:
    """One event: from its first firing to its last resolve. Times are seconds since 1970 UTC.

    `fired`: when people would have been told. `active`: when its condition began to hold. `resolved`: None while it
    goes on at the end. `statistic`, `value`: of the strongest verdict while it fired; `strength`: how many times its
    threshold that was. `reopened`: how often it came back after a resolve.
    """

    event_id: str
    rule: str
    column: str
    role: str
    severity: str
    active: float
    fired: float
    resolved: float | None
    statistic: str
    value: float | None
    strength: float
    direction: str
    reopened: int

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary, times in ISO 8601."""
        resolved = None if self.resolved is None else iso(self.resolved)
        times = {"active": iso(self.active), "fired": iso(self.fired), "resolved": resolved}
        return {**asdict(self), **times, "strength": round(self.strength, 3)}


@dataclass(frozen=True)
class Backtest:
    """The answer: events in the order in which they fired, over `evaluations` from `start` to `end`.

    `judged`: verdicts among all results, so that a quiet backtest can be told from one without data.
    """

    start: float
    end: float
    evaluations: int
    results: int
    judged: int
    rules: tuple[str, ...]
    events: tuple[Event, ...] = ()

    def rates(self) -> list[dict[str, Any]]:
        """How often events began: a row for each rule, and after it one for each of its columns, most frequent first.

        `per_week`: None if the period is too short to say. The row of a rule names no column.
        """
        weeks = (self.end - self.start) / WEEK if self.end - self.start >= SHORTEST else math.inf
        listed = []
        for rule in self.rules:
            columns = Counter((event.column, event.role) for event in self.events if event.rule == rule)
            rows = [({}, columns.total()), *(({"column": c, "role": r}, n) for (c, r), n in columns.most_common())]
            for where, n in rows:
                per_week = None if weeks == math.inf else round(n / weeks, 3)
                listed.append({"rule": rule, **where, "events": n, "per_week": per_week})
        return listed

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary, times in ISO 8601."""
        rates = self.rates()
        return {
            "from": iso(self.start),
            "to": iso(self.end),
            "evaluations": self.evaluations,
            "results": self.results,
            "judged": self.judged,
            "rules": [rate for rate in rates if "column" not in rate],
            "columns": sorted((rate for rate in rates if "column" in rate), key=lambda rate: -rate["events"]),
            "events": [event.to_json() for event in self.events],
        }

    def lines(self) -> list[str]:
        """Write it for a terminal: one line per event, then the rates."""
        share = f"{self.judged / self.results:.0%}" if self.results else "none"
        events = [
            (
                iso(event.fired),
                "still firing" if event.resolved is None else duration_text(event.resolved - event.fired),
                *(event.rule, event.severity, event.column),
                "" if event.value is None else f"{event.statistic} {event.value:.3g} ({event.strength:.1f}x)",
                event.direction,
            )
            for event in self.events
        ]
        head = ("fired", "for", "rule", "severity", "column", "strongest", "direction")
        rates = [
            (*(rate["rule"], rate.get("column", "all"), rate["events"]),)
            + ("-" if rate["per_week"] is None else f"{rate['per_week']:.2f}",)
            for rate in self.rates()
        ]
        short = f"{words.duration(self.end - self.start)}: too short for a rate a week; take a day or more."
        return [
            f"{iso(self.start)} to {iso(self.end)}: "
            f"{words.counted(self.evaluations, 'evaluation')}, {words.counted(len(self.events), 'event')} "
            f"({share} of {self.results} results had a verdict)",
            *(["", *words.table(head, events)] if events else []),
            *["", *words.table(("rule", "column", "events", "a week"), rates, right=(2, 3))],
            *([short] if self.end - self.start < SHORTEST else []),
        ]


@dataclass(frozen=True, slots=True)
class Moment:
    """One evaluation of the past. `quiet`: no result is a drift; `size` and `judged` count its results and verdicts.

    `results` makes the results, which is not asked for where nothing could come of them.
    """

    at: float
    quiet: bool
    size: int
    judged: int
    results: Callable[[], Sequence[DriftResult]]


def play(moments: Iterable[Moment], rules: Sequence[Rule], every: float) -> Backtest:
    """Let the rules run over evaluations of the past, in order of time.

    A quiet moment while no alert is up changes nothing, whatever its results are, so it is only counted.
    """
    alerts: dict[AlertKey, Alert] = {}
    open_events: dict[AlertKey, Event] = {}
    closed: list[Event] = []
    times: list[float] = []
    results_seen = judged = 0
    up = False
    for moment in moments:
        times.append(moment.at)
        results_seen += moment.size
        judged += moment.judged
        if moment.quiet and not up:
            continue
        results = moment.results()
        alerts, moved = advance(alerts, results, rules, moment.at, every, "")
        up = any(alert.state != "inactive" or alert.event_id for alert in alerts.values())
        for transition in moved:
            _note(transition, open_events, closed)
        for key, group in by_alert(results).items():
            if key in open_events and alerts[key].state == "firing":
                open_events[key] = _stronger(open_events[key], leading_result(group))
    start, end = (min(times) - every, max(times)) if times else (0.0, 0.0)
    events = sorted([*closed, *open_events.values()], key=lambda event: (event.fired, event.rule, event.column))
    names = tuple(rule.name for rule in rules)
    return Backtest(start, end, len(times), results_seen, judged, names, tuple(events))


def _note(transition: Transition, open_events: dict[AlertKey, Event], closed: list[Event]) -> None:
    """Open, reopen or close an event."""
    alert, key, at = transition.alert, transition.alert.key, transition.at
    known = open_events.get(key)
    if alert.state == "firing":
        if known is not None and known.event_id == alert.event_id:
            open_events[key] = replace(known, resolved=None, reopened=alert.reopened)
            return
        if known is not None:
            closed.append(known)
        began = at if alert.active_since is None else alert.active_since
        where = alert.rule, alert.column, alert.role, alert.severity
        open_events[key] = Event(alert.event_id, *where, began, at, None, "", None, 0.0, "", alert.reopened)
    elif transition.before == "firing" and known is not None:
        open_events[key] = replace(known, resolved=at)


def _stronger(event: Event, result: DriftResult) -> Event:
    if result.state != "drift" or result.strength <= event.strength:
        return event
    text = result.direction.text if result.direction else ""
    return replace(event, statistic=result.statistic, value=result.value, strength=result.strength, direction=text)
