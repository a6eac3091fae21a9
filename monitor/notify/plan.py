"""Which messages are due: a pure function of the alerts' states and of what was announced to each receiver.

Alerts are compared with what was announced, not with single transitions, so the end of a silence, a new receiver or a
restart need no rule of their own. The alerts of one rule are a group: one evaluation makes one message of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from monitor.drift.result import AlertKey, DriftResult, predictions_moved
from monitor.notify.message import Entry, Message, MessageKind, Status, entry, quoted
from monitor.notify.receiver import Receiver
from monitor.rules.alert import REOPEN, Alert, Transition
from monitor.rules.rule import PERFORMANCE, SEVERITIES, Rule
from monitor.rules.silence import labels_of

#: What a message shows first: performance, then what came true, then what the model answers, then the rest.
ORDER = {"traffic": 0, PERFORMANCE: 0, "outcome": 1, "prediction": 2}

#: Statuses of alerts, in the order of a message; and those that are news to a receiver.
STATUSES: tuple[Status, ...] = get_args(Status)
NEWS: Set[Status] = frozenset({"new", "more severe", "harmful"})

#: Columns that a picture shows, at most.
DRAWN = 5

#: Alertmanager is sent a resolved alert for this long, as Prometheus does, in case it was down.
RESOLVED_FOR = 900.0


@dataclass(frozen=True, slots=True)
class Announced:
    """An alert whose beginning a receiver was sent, and not yet its end.

    `labels`: those of the beginning, which the end must have too: to Alertmanager they are the alert's identity.
    `resolved`: for Alertmanager, when it ended. `reason`: why it resolved, if no verdict ended it; kept until the
    message is due. `harmful`: whether the receiver was sent that it is.
    """

    event_id: str
    since: float
    severity: str
    resolved: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    harmful: bool = False


@dataclass(frozen=True, slots=True)
class GroupState:
    """What one receiver knows of one group. `announced` is by `Alert.key`.

    `sequence` counts its messages; `last` is when the latest was written; `changes` counts transitions since then.
    """

    receiver: str
    group: str
    sequence: int = 0
    event_id: str = ""
    opened: float = 0.0
    last: float = 0.0
    changes: int = 0
    announced: dict[AlertKey, Announced] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notification:
    """One message for one receiver; (receiver, group, sequence) is its unique key."""

    receiver: str
    group: str
    sequence: int
    message: Message


@dataclass(frozen=True, slots=True)
class Policy:
    """When messages are due, in seconds. `spacing`: changes of a group are gathered for this long after a message."""

    repeat: float = 14_400.0
    spacing: float = 300.0
    resend: float = 60.0


@dataclass(frozen=True, slots=True)
class Situation:
    """The input of a plan.

    `muted`: keys of alerts that are silenced or inhibited. `several`: models are watched. `versions`: by their names.
    `histograms`: what an alert's picture is drawn from, if there is one.
    """

    at: float
    alerts: Sequence[Alert]
    transitions: Sequence[Transition] = ()
    results: Mapping[AlertKey, DriftResult] = field(default_factory=dict)
    muted: frozenset[AlertKey] = frozenset()
    histograms: Callable[[AlertKey], dict[str, list[Any]] | None] = lambda key: None  # noqa: ARG005
    model: str = ""
    link: str = ""
    several: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one evaluation adds: messages to queue, and what the receivers then know, stored in one transaction."""

    notifications: tuple[Notification, ...]
    groups: tuple[GroupState, ...]


def plan(
    situation: Situation,
    states: Mapping[tuple[str, str], GroupState],
    receivers: Sequence[Receiver],
    rules: Sequence[Rule],
    default_receivers: Sequence[str],
    policy: Policy,
) -> Plan:
    """Plan the messages that are due; `states` is by (receiver, group)."""
    # Of an alert that came back, of a rule with a long `reopen`, receivers were told when it began.
    back = [(alert.key, _rule_of(alert, rules)) for alert in situation.alerts if alert.reopened]
    known = {key for key, rule in back if rule and rule.reopen > REOPEN}
    situation = replace(situation, muted=situation.muted | known)
    notifications: list[Notification] = []
    groups: list[GroupState] = []
    for receiver in receivers:
        levels = receiver.traits.levels
        own = [alert for alert in situation.alerts if routed(alert, receiver, rules, default_receivers)]
        told = [group for name, group in states if name == receiver.name and group]
        for group in [""] if levels else dict.fromkeys([*(alert.rule for alert in own), *told]):
            stored = states.get((receiver.name, group), GroupState(receiver.name, group))
            members = {alert.key: alert for alert in own if group in ("", alert.rule)}
            state = _with_changes(stored, members, situation)
            if levels:
                message, state = _levels(state, members, situation, policy)
            else:
                message, state = _news(state, members, replace(situation, alerts=own), receiver, policy)
            if message is not None:
                queued = [Notification(receiver.name, group, state.sequence + 1, _words(message))]
                if receiver.pictures and message.kind in ("firing", "update") and (picture := _picture(message)):
                    queued.append(Notification(receiver.name, group, state.sequence + 2, picture))
                state = replace(state, sequence=queued[-1].sequence)
                notifications += queued
            if state != stored:
                groups.append(state)
    return Plan(tuple(notifications), tuple(groups))


def _rule_of(alert: Alert, rules: Sequence[Rule]) -> Rule | None:
    """The rule of an alert, None if there is none any more. Rules of several models may share a name."""
    return next((rule for rule in rules if rule.name == alert.rule and rule.judges(alert.model)), None)


def routed(alert: Alert, receiver: Receiver, rules: Sequence[Rule], default_receivers: Sequence[str]) -> bool:
    """Whether a receiver gets an alert: its rule names the receiver, and severity and labels fit."""
    rule = _rule_of(alert, rules)
    wanted = (rule.receivers if rule else ()) or tuple(default_receivers)
    if wanted and receiver.name not in wanted and not receiver.everything:
        return False
    if receiver.severities and alert.severity not in receiver.severities:
        return False
    labels = labels_of(alert)
    return all(labels.get(name) == value for name, value in receiver.match)


def _with_changes(state: GroupState, members: Mapping[AlertKey, Alert], situation: Situation) -> GroupState:
    """Count the group's transitions, and note why alerts end that no verdict ends: the message may be due later."""
    changed = [t.alert for t in situation.transitions if "firing" in (t.before, t.alert.state)]
    moved = sum(alert.rule == state.group and members.get(alert.key) == alert for alert in changed)
    ended = [t for t in situation.transitions if t.result is None and t.alert.state == "resolved"]
    reasons = {transition.alert.key: transition.reason for transition in ended}
    for alert in situation.alerts:
        # It goes on, and this receiver is not sent it any more.
        if alert.state == "firing" and alert.key not in members:
            reasons[alert.key] = f"it is {alert.severity} now, of which this receiver is not told"
    announced = {key: replace(was, reason=reasons.get(key, was.reason)) for key, was in state.announced.items()}
    return replace(state, changes=state.changes + moved, announced=announced)


def _words(message: Message) -> Message:
    """A message without what its picture is drawn from."""
    return replace(message, entries=tuple(replace(item, histogram=None) for item in message.entries))


def _picture(message: Message) -> Message | None:
    """The picture that follows a message, if there is anything to draw."""
    drawn = tuple(item for item in message.entries if item.histogram)
    return replace(message, kind="picture", entries=drawn) if drawn else None


def _news(
    state: GroupState, members: Mapping[AlertKey, Alert], situation: Situation, receiver: Receiver, policy: Policy
) -> tuple[Message | None, GroupState]:
    """The message about one group, if one is due, and what the receiver knows afterwards."""
    now, before = situation.at, state.announced
    harmful = {key for key in members if _is_harmful(members[key], before.get(key), situation.results.get(key))}
    statuses = _statuses(state, members, situation.muted, harmful)
    if not statuses:
        return None, replace(state, changes=0) if now - state.last >= policy.spacing else state
    kind = _kind(state, statuses, situation, policy)
    if kind is None:
        return None, state
    announced = {key: before[key] for key, status in statuses.items() if status == "firing"}
    announced |= {key: _announce(members[key], key in harmful) for key, status in statuses.items() if status in NEWS}
    after = replace(state, announced=announced, changes=0)
    if not receiver.resolved:
        statuses = {key: status for key, status in statuses.items() if status != "resolved"}
        if not statuses or (kind == "update" and NEWS.isdisjoint(statuses.values())):
            return None, after
    entries = _entries(statuses, state, after, members, situation)
    if not before:
        opened = min(alert.since for alert in announced.values())
        after = replace(after, event_id=entries[0].event_id, opened=opened)
    # A resolved alert does not make a message more severe, unless it is about such alerts alone.
    severity = worst(item.severity for item in entries if kind == "resolved" or item.status != "resolved")
    answers = "" if entries[0].silent else _answers(situation, entries, state.group)
    facts = (_version(situation, entries), answers, entries, after.opened, state.changes, situation.link)
    lines = (_still_firing(situation.alerts),) if kind == "resolved" else ()
    several = situation.several
    message = Message(kind, state.group, severity, after.event_id, now, *facts, lines, several=several)
    return message, replace(after, last=now)


def _is_harmful(alert: Alert, known: Announced | None, result: DriftResult | None) -> bool:
    """Whether an alert does harm by its verdict, or did so when this receiver was last sent it."""
    if result and result.harm and result.harm.effect == "harmful":
        return True
    return known is not None and known.event_id == alert.event_id and known.harmful


def _statuses(
    state: GroupState, members: Mapping[AlertKey, Alert], muted: Set[AlertKey], harmful: Set[AlertKey]
) -> dict[AlertKey, Status]:
    """What there is to say of each alert that was announced, or fires unmuted."""
    firing = {key: alert for key, alert in members.items() if alert.state == "firing"}
    audible = firing.keys() - muted
    out: dict[AlertKey, Status] = {}
    for key in state.announced.keys() | audible:
        known = state.announced.get(key)
        if key not in firing:
            out[key] = "resolved"
        elif key not in audible:
            out[key] = "firing"
        elif known is None or known.event_id != firing[key].event_id:
            out[key] = "new"
        elif worst((firing[key].severity, known.severity)) != known.severity:
            out[key] = "more severe"
        else:
            out[key] = "harmful" if key in harmful and not known.harmful else "firing"
    return out


def _kind(
    state: GroupState, statuses: Mapping[AlertKey, Status], situation: Situation, policy: Policy
) -> MessageKind | None:
    """Which message is due about a group, if any."""
    present, since_last = set(statuses.values()), situation.at - state.last
    if present == {"firing"}:
        heard = statuses.keys() - situation.muted
        return "repeat" if heard and policy.repeat and since_last >= policy.repeat else None
    if state.sequence and 0 <= since_last < policy.spacing:  # negative: the clock was set back
        return None
    if not state.announced:
        return "firing"
    return "resolved" if present == {"resolved"} else "update"


def _still_firing(alerts: Sequence[Alert]) -> tuple[str, str]:
    """The line of a message about an end: what a receiver's alerts still are, name and text."""
    columns = [quoted(alert.column) for alert in alerts if alert.state == "firing"]
    more = f", and {len(columns) - 1} more" if len(columns) > 1 else ""
    return (columns[0], f"still fires{more}") if columns else ("", "Nothing fires any more; there is nothing to do.")


def _version(situation: Situation, entries: Sequence[Entry]) -> str:
    """The versions of the models that a message is about."""
    return ", ".join(dict.fromkeys(situation.versions.get(item.model, situation.model) for item in entries))


def _answers(situation: Situation, entries: Sequence[Entry], group: str) -> str:
    """Whether performance is worse by another rule, and whether the predictions have moved."""
    models = {item.model for item in entries}
    others = [alert for alert in situation.alerts if alert.state == "firing" and alert.rule != group]
    worse = any((alert.role, alert.column) == ("outcome", PERFORMANCE) and alert.model in models for alert in others)
    return ", ".join(filter(None, ["performance is worse" * worse, _moved(situation, entries, group)]))


def _moved(situation: Situation, entries: Sequence[Entry], rule: str) -> str:
    """Whether the predictions have moved, by a rule's own verdicts on them if it has some; of several models, whose."""
    models, moves = list(dict.fromkeys(item.model for item in entries)), {}
    for model in models:
        verdicts = [result for result in situation.results.values() if result.model == model]
        own = [result for result in verdicts if result.rule == rule]
        moves[model] = predictions_moved(own) or predictions_moved(verdicts)
    if len(models) == 1 or not all(moves.values()):
        return moves[models[0]] if len(models) == 1 else ""
    moved = [model for model, text in moves.items() if text.startswith("predictions have moved:")]
    return f"predictions of {', '.join(moved)} have moved" if moved else "predictions have not moved"


def _entries(
    statuses: Mapping[AlertKey, Status],
    before: GroupState,
    after: GroupState,
    members: Mapping[AlertKey, Alert],
    situation: Situation,
) -> tuple[Entry, ...]:
    """The alerts of a group by status; those of one status by harm, importance and strength."""

    def news_first(key: AlertKey) -> tuple[int, int, list[float], AlertKey]:
        result = situation.results.get(key)
        weight = result.weight if result else (0.0, 0.0, 0.0)
        about = key.column if key.role == "outcome" and key.column in ORDER else key.role
        return STATUSES.index(statuses[key]), ORDER.get(about, 3), [-part for part in weight], key

    out: list[Entry] = []
    for key in sorted(statuses, key=news_first):
        status, known = statuses[key], before.announced.get(key)
        item = _describe(key, status, after.announced.get(key) or before.announced[key], members.get(key), situation)
        if status == "new" and known:  # such as that of another model version, which ended just now
            item = replace(item, reason=known.reason)
        drawn = situation.histograms(key) if status != "resolved" and len(out) < DRAWN else None
        out.append(replace(item, histogram=drawn))
    return tuple(out)


def _describe(key: AlertKey, status: Status, announced: Announced, alert: Alert | None, situation: Situation) -> Entry:
    """One alert as a receiver is sent it: as it was announced, with its latest verdict."""
    until, reason = None, ""
    if status == "resolved":
        ended = alert and alert.event_id == announced.event_id and alert.state != "firing"
        until, reason = alert.since if alert and ended else situation.at, announced.reason
    same = {name: getattr(announced, name) for name in ("event_id", "severity", "labels")}
    known = replace(alert or Alert(**key._asdict()), **same)
    return entry(known, status, situation.results.get(key), since=announced.since, until=until, reason=reason)


def _levels(
    state: GroupState, members: Mapping[AlertKey, Alert], situation: Situation, policy: Policy
) -> tuple[Message | None, GroupState]:
    """For Alertmanager: all that fires, and for RESOLVED_FOR what has resolved; on a change, and at each `resend`."""
    now, before = situation.at, state.announced
    ends = {key: now if was.resolved is None else was.resolved for key, was in before.items()}
    announced = {key: replace(before[key], resolved=end) for key, end in ends.items() if now - end < RESOLVED_FOR}
    firing = [alert for key, alert in members.items() if alert.state == "firing" and key not in situation.muted]
    announced |= {alert.key: _announce(alert) for alert in firing}
    if not announced:
        return None, replace(state, announced={}, changes=0)
    changed = any(before.get(key) != is_now for key, is_now in announced.items())
    if not changed and 0 <= now - state.last < policy.resend:
        return None, replace(state, announced=announced)
    entries = []
    for key, is_now in sorted(announced.items()):
        status: Status = "firing" if is_now.resolved is None else "resolved"
        item = _describe(key, status, is_now, members.get(key), situation)
        entries.append(replace(item, until=is_now.resolved, labels={**is_now.labels, "alertname": key.rule}))
    event_id, opened = (min(getattr(alert, name) for alert in announced.values()) for name in ("event_id", "since"))
    severity = worst(item.severity for item in entries)
    facts = (_version(situation, entries), _moved(situation, entries, ""), tuple(entries), opened)
    kind: MessageKind = "state" if changed else "resend"
    until = now + 4 * max(policy.resend, 60.0)
    several = situation.several
    message = Message(kind, "", severity, event_id, now, *facts, link=situation.link, ends=until, several=several)
    return message, replace(state, announced=announced, last=now, event_id=event_id, changes=0)


def _announce(alert: Alert, harmful: bool = False) -> Announced:
    return Announced(alert.event_id, alert.began, alert.severity, labels=dict(alert.labels), harmful=harmful)


def worst(severities: Iterable[str]) -> str:
    """The most severe of several; `info` if there are none.

    >>> worst(["info", "critical", "warning"]), worst([])
    ('critical', 'info')
    """
    order: Sequence[str] = SEVERITIES
    return min(severities, key=order.index, default="info")
