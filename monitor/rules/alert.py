"""An alert: a rule's instance for one column, and how it moves from state to state, as docs/rules.md explains.

    inactive -> pending -> firing -> resolved -> inactive

What counts towards a duration is time that was watched: Telltale ran, and a verdict could be given.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from monitor.clock import iso
from monitor.columns.column import Role
from monitor.config.settings import duration_text
from monitor.drift.result import ALL, MODEL, AlertKey, DriftResult, Span
from monitor.rules.rule import SEVERITIES, Rule, is_performance

AlertState = Literal["inactive", "pending", "firing", "resolved"]

#: States in which an event has ended.
ENDED = ("resolved", "inactive")

#: Default of `Rule.reopen`: seconds after a resolve within which a firing continues the event. An event that has come
#: back must be gone for this long before it resolves again, so that flapping makes three transitions and not many.
REOPEN = 900.0


@dataclass(frozen=True, slots=True)
class Alert:
    """The state of one rule on one column. Times are seconds since 1970 UTC, whole milliseconds.

    `since`: when it entered its state. `active_since`: when its condition began to hold without a break. `clear_since`:
    when the condition went, while it fires on or has resolved. `held`: watched seconds that count towards its next
    move: for which the condition has held (pending) or has been gone (firing), or since the resolve (resolved; inactive
    while an event is remembered). `evaluated`: the last evaluation it saw. `event_id`: names one event everywhere, from
    its firing until `Rule.reopen` after its last resolve; empty otherwise. `reopened`: how often the event has come
    back. `statistic`: the one by which the condition held last.
    """

    rule: str
    column: str
    role: Role
    state: AlertState = "inactive"
    since: float = 0.0
    active_since: float | None = None
    held: float = 0.0
    clear_since: float | None = None
    evaluated: float | None = None
    event_id: str = ""
    severity: str = "warning"
    value: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    statistic: str = ""
    reopened: int = 0
    model: str = MODEL
    series: str = ALL

    @property
    def key(self) -> AlertKey:
        """What identifies the alert."""
        return AlertKey(self.rule, self.model, self.series, self.role, self.column)

    @property
    def began(self) -> float:
        """When its condition began to hold, or else when it entered its state."""
        return self.since if self.active_since is None else self.active_since

    def to_json(self) -> dict[str, Any]:
        """Return the object that `/api/alerts` lists."""
        names = ("state", "severity", "value", "event_id")
        return {**self.key._asdict(), **{name: getattr(self, name) for name in names}, "since": iso(self.since)}


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert that changed state at one evaluation, for `alert_events` and for messages.

    `result`: the verdict that caused it; None if the rule or the column is gone. `reason`: why, in words.
    """

    alert: Alert
    before: AlertState
    at: float
    result: DriftResult | None
    reason: str = ""
    model_version: str = ""


def urgency(alert: Alert, result: DriftResult | None = None) -> tuple[float, ...]:
    """Order alerts: the firing first, then those that do harm, the most severe, the most harm, importance, the oldest.

    `result`: the verdict that speaks for the alert. A model that is worse is harm.
    """
    loss, share, _ = result.weight if result else (0.0, 0.0, 0.0)
    harm = loss > 0 or (alert.state == "firing" and is_performance(alert.statistic))
    return (alert.state != "firing", not harm, SEVERITIES.index(alert.severity), -loss, -share, alert.began)


def condition(result: DriftResult) -> bool | None:
    """Whether a rule's condition holds; a `warning` is no drift. Returns None if there is no verdict."""
    if result.state == "drift":
        return True
    return False if result.state in ("ok", "warning") else None


def event_id(key: AlertKey, fired_at: float, model_version: str) -> str:
    """Name an event: short, and the same whenever the same history is played again.

    >>> event_id(AlertKey("drift", "model", "all", "feature", "bmi"), 1_700_000_000.0, "1")
    'tpfvitgxcn'
    """
    text = "\0".join((*key, iso(fired_at), model_version))
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:10]


def period_around(moves: Sequence[tuple[float, AlertState]], now: float) -> Span:
    """Return the period that shows an event: from some time before its first move until a little after its end.

    `moves`: when it entered which state, the oldest first. An event that has not ended lasts until `now`.

    >>> period_around([(86_400.0, "firing"), (93_600.0, "resolved")], 1e6)
    <Span 1970-01-01T22:00:00Z to 1970-01-02T02:30:00Z>
    >>> period_around([(86_400.0, "firing")], 87_000.0)
    <Span 1970-01-01T23:00:00Z to 1970-01-02T00:10:00Z>
    """
    (start, _), (last, state) = moves[0], moves[-1]
    end = last if state in ENDED else now
    before = min(max(end - start, 3600.0), 86_400.0)
    return Span(max(start - before, 0.0), min(end + before / 4, now))


def step(alert: Alert, result: DriftResult, rule: Rule, now: float, watched: float) -> Alert:
    """Move an alert on by one evaluation.

    `watched`: seconds since the evaluation before, as far as they count (`watched_seconds`). A result without
    a verdict moves nothing and adds no time.
    """
    holds = condition(result)
    value = alert.value if holds is None else result.value
    severity = alert.severity if alert.event_id and rule.benign == "quiet" else rule.severity
    alert = replace(alert, evaluated=now, severity=severity, labels=rule.labels, value=value)
    if holds is None:
        return alert
    if not holds:
        return step_clear(alert, now, watched, clear_needed(alert, rule), rule.reopen)
    alert = replace(alert, statistic=result.statistic, severity=severity_of(alert, result, rule))
    if alert.state == "firing":
        return replace(alert, clear_since=None, held=0.0)
    if alert.state == "pending":
        alert = replace(alert, held=_sum(alert.held, watched))
    else:
        alert = replace(alert, state="pending", since=now, active_since=now, clear_since=None, held=0.0)
    if alert.held < rule.hold:
        return alert
    alert = replace(alert, state="firing", since=now, held=0.0)
    if alert.event_id:
        return replace(alert, reopened=alert.reopened + 1)
    return replace(alert, event_id=event_id(alert.key, now, result.model_version))


def severity_of(alert: Alert, result: DriftResult, rule: Rule) -> str:
    """Severity of an alert whose condition holds: its rule's, or by harm if the rule says so.

    An event may become more severe and never less, so that no receiver is told of an end while the event goes on.
    """
    harm = result.harm if rule.benign == "quiet" else None
    order = SEVERITIES.index(rule.severity)
    if harm and harm.effect == "harmful":
        order = max(order - 1, 0)
    elif harm and harm.effect == "harmless" and not harm.moves:
        order = len(SEVERITIES) - 1
    before = SEVERITIES.index(alert.severity) if alert.event_id and rule.benign == "quiet" else order
    return SEVERITIES[min(order, before)]


def step_clear(alert: Alert, now: float, watched: float, needed: float = 0.0, reopen: float = REOPEN) -> Alert:
    """Move an alert on whose condition does not hold, by default one whose rule or column is gone.

    `needed`: watched seconds after which it resolves. `reopen`: those after which its event is forgotten.
    """
    if alert.state == "pending":
        return replace(alert, state="inactive", since=now, active_since=None, held=0.0, statistic="")
    held = _sum(alert.held, watched)
    if alert.state == "firing":
        if alert.clear_since is None:
            alert, held = replace(alert, clear_since=now), 0.0
        return replace(alert, state="resolved", since=now, held=0.0) if held >= needed else replace(alert, held=held)
    if not alert.event_id:
        return alert
    if held < reopen:
        return replace(alert, held=held)
    since = now if alert.state == "resolved" else alert.since
    alert = replace(alert, state="inactive", since=since, active_since=None, clear_since=None, held=0.0)
    return replace(alert, event_id="", reopened=0, statistic="")


def _sum(held: float, watched: float) -> float:
    """Add up to whole milliseconds, so that ten times 0.1 s is a second."""
    return round(held + watched, 3)


def reason(before: Alert, after: Alert, rule: Rule) -> str:
    """Say why an alert moved from one state to another."""
    if after.state == "pending":
        return f"must hold for {duration_text(rule.hold)}"
    if after.state == "firing":
        if before.event_id:
            return f"came back within {duration_text(rule.reopen)} of its end"
        return f"held for {duration_text(rule.hold)}" if rule.hold else "the condition holds"
    if after.state == "resolved":
        return f"gone for {duration_text(clear_needed(before, rule))}"
    return "gone before it fired" if before.state == "pending" else f"quiet for {duration_text(rule.reopen)}"


def clear_needed(alert: Alert, rule: Rule) -> float:
    """Watched seconds that a firing alert's condition must be gone before it resolves."""
    return max(rule.keep_firing, rule.reopen) if alert.reopened else rule.keep_firing


#: If an evaluation is at most so many intervals after the last, all of the time was watched. After a longer gap one
#: interval counts, since it is not known for how long Telltale ran. The error of a duration is one interval at most.
LATE = 2.0


def watched_seconds(last: float | None, now: float, every: float) -> float:
    """Seconds between two evaluations that count towards a rule's durations; never negative.

    >>> [watched_seconds(1000, now, 60) for now in (1060, 1120, 1121, 999_999, 400)]
    [60, 120, 60, 60, 0.0]
    """
    if last is None or now <= last:
        return 0.0
    return now - last if now - last <= LATE * every else every


def leading_result(results: Sequence[DriftResult], statistic: str = "") -> DriftResult:
    """The one of a column's results that speaks for all of them, under one rule.

    The strongest drift; else, while an alert is up because of `statistic`, that result if it has no verdict, since the
    alert cannot resolve before it has one; else the strongest verdict; else the first.
    """
    judged = [result for result in results if condition(result) is not None]
    drifting = [result for result in judged if condition(result)]
    waiting = [result for result in results if result.statistic == statistic and condition(result) is None]
    if waiting and not drifting:
        return waiting[0]

    def strength(result: DriftResult) -> float:
        # Of metrics the first one leads, which people know best: accuracy, not the one with the most power.
        return 0.0 if is_performance(result.statistic) else result.strength

    return max(drifting or judged, key=strength, default=results[0])


def by_alert(results: Iterable[DriftResult]) -> dict[AlertKey, list[DriftResult]]:
    """Results by the key of the alert that they belong to, in the order they came in."""
    groups: dict[AlertKey, list[DriftResult]] = {}
    for result in results:
        groups.setdefault(result.key, []).append(result)
    return groups


def advance(
    alerts: Mapping[AlertKey, Alert],
    results: Sequence[DriftResult],
    rules: Sequence[Rule],
    now: float,
    every: float,
    model_version: str,
    covered: Collection[AlertKey] | None = None,
) -> tuple[dict[AlertKey, Alert], list[Transition]]:
    """Move all alerts on by one evaluation at `now`, with evaluations every `every` seconds.

    An alert whose rule is gone, or whose column its rule no longer covers, resolves and is then forgotten. A rule that
    gave no result at all (it failed) keeps its alerts as they are. `covered`: keys of all alerts that there can be;
    without it a column counts as removed if its rule had results for other columns only.
    """
    now = round(now, 3)  # as the store keeps it, so that a restart changes nothing
    by_name = {rule.name: rule for rule in rules}
    groups = {key: group for key, group in by_alert(results).items() if key.rule in by_name}
    answered = {key.rule for key in groups}
    after: dict[AlertKey, Alert] = {}
    transitions: list[Transition] = []

    for key, group in groups.items():
        rule = by_name[key.rule]
        before = alerts.get(key) or Alert(**key._asdict(), since=now, severity=rule.severity)
        result = leading_result(group, before.statistic)
        alert = after[key] = step(before, result, rule, now, watched_seconds(before.evaluated, now, every))
        if alert.state != before.state:
            why = reason(before, alert, rule)
            transitions.append(Transition(alert, before.state, now, result, why, result.model_version))

    for key, before in alerts.items():
        if key in groups:
            continue
        alert = replace(before, evaluated=now)
        left_out = key not in covered if covered is not None else key.rule in answered
        if key.rule in by_name and not left_out:
            after[key] = alert
            continue
        why = "the rule no longer covers this column" if key.rule in by_name else "there is no such rule any more"
        alert = step_clear(alert, now, watched_seconds(before.evaluated, now, every))
        if alert.state != "inactive" or before.state == "pending":  # otherwise it is forgotten
            after[key] = alert
            if alert.state != before.state:
                transitions.append(Transition(alert, before.state, now, None, why, model_version))
    return after, transitions


def end_all(alerts: Mapping[AlertKey, Alert], now: float, why: str, model_version: str) -> list[Transition]:
    """End every alert, because another model version takes over; the caller then forgets them."""
    now = round(now, 3)
    return [
        Transition(step_clear(replace(alert, evaluated=now), now, 0.0), alert.state, now, None, why, model_version)
        for alert in alerts.values()
        if alert.state in ("pending", "firing")
    ]
