"""Which messages are due: a pure function of the alerts' states and of what each receiver was told.

Alerts are compared with what was told, not with single transitions, so the end of a silence, a new receiver or a
restart need no rule of their own. The alerts of one rule are a group: one evaluation makes one message of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from monitor.drift.result import AlertKey, DriftResult, predictions_moved
from monitor.notify.message import PERFORMANCE, Entry, Message, MessageKind, Status, entry, names, quoted
from monitor.notify.receiver import LEVELS, Receiver
from monitor.rules.alert import REOPEN, Alert, Transition
from monitor.rules.rule import SEVERITIES, Rule
from monitor.rules.silence import labels_of
from monitor.words import clock_time, counted, duration

#: What a message tells first: performance, then what came true, then what the model answers, then the rest.
ORDER = {"traffic": 0, PERFORMANCE: 0, "outcome": 1, "prediction": 2}

#: Columns that a picture shows, at most.
DRAWN = 5

#: Alertmanager is sent a resolved alert for this long, as Prometheus does, in case it was down.
RESOLVED_FOR = 900.0


@dataclass(frozen=True, slots=True)
class Told:
    """An alert whose beginning a receiver was told, and not yet its end.

    `labels`: those of the beginning, which the end must have too: to Alertmanager they are the alert's identity.
    `reason`: why it resolved, if no verdict ended it; kept until the message is due. `harmful`: and that it is.
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
    """What one receiver knows of one group. `told` is by `Alert.key`.

    `sequence` counts its messages; `last` is when the latest was written; `changes` counts transitions since then.
    """

    receiver: str
    group: str
    sequence: int = 0
    event_id: str = ""
    opened: float = 0.0
    last: float = 0.0
    changes: int = 0
    told: dict[AlertKey, Told] = field(default_factory=dict)


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
    notifications: list[Notification] = []
    groups: list[GroupState] = []
    patient = {rule.name for rule in rules if rule.reopen > REOPEN}
    back = {alert.key for alert in situation.alerts if alert.reopened and alert.rule in patient}
    situation = replace(situation, muted=situation.muted | back)  # it was told when it began
    changed = [t.alert for t in situation.transitions if "firing" in (t.before, t.alert.state)]
    for receiver in receivers:
        levels = receiver.kind in LEVELS
        mine = [alert for alert in situation.alerts if routed(alert, receiver, rules, default_receivers)]
        known = [group for name, group in states if name == receiver.name and group]
        for name in [""] if levels else dict.fromkeys([*(alert.rule for alert in mine), *known]):
            state = states.get((receiver.name, name), GroupState(receiver.name, name))
            members = {alert.key: alert for alert in mine if name in ("", alert.rule)}
            moved = sum(alert.rule == name and alert in mine for alert in changed)
            told = _ended(state.told, situation.transitions)
            for alert in situation.alerts:  # what a receiver is not sent any more goes on
                if alert.key in told and alert.key not in members and alert.state == "firing":
                    why = f"it is {alert.severity} now, of which this receiver is not told"
                    told[alert.key] = replace(told[alert.key], reason=why)
            before = replace(state, changes=state.changes + moved, told=told)
            if levels:
                message, after = _levels(before, members, situation, policy)
            else:
                message, after = _due(before, members, replace(situation, alerts=mine), receiver, policy)
            if message is not None:
                drawn = tuple(item for item in message.entries if item.histogram)
                words = tuple(replace(item, histogram=None) for item in message.entries)
                notifications.append(Notification(receiver.name, name, after.sequence, replace(message, entries=words)))
                if drawn and receiver.pictures and message.kind in ("firing", "update"):
                    after = replace(after, sequence=after.sequence + 1)
                    picture = replace(message, kind="picture", entries=drawn)
                    notifications.append(Notification(receiver.name, name, after.sequence, picture))
            if after != state:
                groups.append(after)
    return Plan(tuple(notifications), tuple(groups))


def _ended(told: dict[AlertKey, Told], transitions: Sequence[Transition]) -> dict[AlertKey, Told]:
    """Keep the reason of alerts that no verdict ended, since a later evaluation may send the message."""
    out = dict(told)
    for transition in transitions:
        key = transition.alert.key
        if transition.result is None and transition.alert.state == "resolved" and key in out:
            out[key] = replace(out[key], reason=transition.reason)
    return out


def routed(alert: Alert, receiver: Receiver, rules: Sequence[Rule], default_receivers: Sequence[str]) -> bool:
    """Whether a receiver gets an alert: its rule names the receiver, and severity and labels fit."""
    rule = next((rule for rule in rules if rule.name == alert.rule), None)
    wanted = (rule.receivers if rule else ()) or tuple(default_receivers)
    if wanted and receiver.name not in wanted and not receiver.everything:
        return False
    if receiver.severities and alert.severity not in receiver.severities:
        return False
    labels = labels_of(alert)
    return all(labels.get(name) == value for name, value in receiver.match)


def _due(
    state: GroupState, alerts: Mapping[AlertKey, Alert], situation: Situation, receiver: Receiver, policy: Policy
) -> tuple[Message | None, GroupState]:
    """The message about one group, if one is due, and what the receiver knows afterwards."""
    now, told_before = situation.at, state.told
    firing = {key: alert for key, alert in alerts.items() if alert.state == "firing"}
    audible = firing.keys() - situation.muted
    new = {key for key in audible if key not in told_before or told_before[key].event_id != firing[key].event_id}
    severity_before = {key: told_before[key].severity for key in audible - new}
    severe = {key for key, was in severity_before.items() if worst((firing[key].severity, was)) != was}
    harms = {key: result.harm for key in audible if (result := situation.results.get(key))}
    harmful = {key for key, harm in harms.items() if harm and harm.effect == "harmful"}
    harmful |= {key for key in severity_before if told_before[key].harmful}
    now_harmful = {key for key in harmful - new - severe if not told_before[key].harmful}
    ended, to_tell = told_before.keys() - firing.keys(), new | severe | now_harmful
    if not told_before and not new:
        return None, replace(state, changes=0) if now - state.last >= policy.spacing else state
    kind: MessageKind
    if not to_tell and not ended:
        if not audible & told_before.keys() or not policy.repeat or now - state.last < policy.repeat:
            return None, state
        kind = "repeat"
    elif state.sequence and 0 <= now - state.last < policy.spacing:  # negative: the clock was set back
        return None, state
    else:
        kind = "firing" if not told_before else "resolved" if len(ended) == len(told_before) and not new else "update"
    told_after = {key: value for key, value in told_before.items() if key not in ended}
    told_after |= {key: _as_told(firing[key], key in harmful) for key in to_tell}
    parts: dict[Status, Set[AlertKey]] = {"new": new, "more severe": severe, "harmful": now_harmful}
    parts |= {"firing": told_after.keys() - to_tell, "resolved": ended}
    entries = _entries(parts, told_after, state, alerts, situation)
    first = next((item for item in entries if item.status != "resolved"), entries[0])
    event_id = state.event_id if told_before else first.event_id
    opened = state.opened if told_before else min(value.since for value in told_after.values())
    after = replace(state, event_id=event_id, opened=opened, told=told_after, changes=0)
    if not receiver.resolved:
        if kind == "resolved" or (kind == "update" and not to_tell):
            return None, after
        entries = tuple(item for item in entries if item.status != "resolved")
    # A resolved alert does not make a message more severe, unless it is about such alerts alone.
    severity = worst(item.severity for item in entries if kind == "resolved" or item.status != "resolved")
    columns = [quoted(alert.column) for alert in situation.alerts if alert.state == "firing"]
    more = f", and {len(columns) - 1} more" if len(columns) > 1 else ""
    still = (columns[0], f"still fires{more}") if columns else ("", "Nothing fires any more; there is nothing to do.")
    lines = (still,) if kind == "resolved" else ()
    models = list(dict.fromkeys(item.model for item in entries))
    answers = "" if first.silent else _answers(situation, models, state.group)
    performance = [
        one for one in situation.alerts if (one.role, one.column, one.state) == ("outcome", PERFORMANCE, "firing")
    ]
    if not first.silent and any(one.rule != state.group and one.model in models for one in performance):
        answers = f"performance is worse{', ' * bool(answers)}{answers}"
    facts = (_version(situation, entries), answers, entries, opened, state.changes)
    message = Message(
        kind, state.group, severity, event_id, now, *facts, situation.link, lines, several=situation.several
    )
    return message, replace(after, last=now, sequence=state.sequence + 1)


def _version(situation: Situation, entries: Sequence[Entry]) -> str:
    """The versions of the models that a message is about."""
    return ", ".join(dict.fromkeys(situation.versions.get(item.model, situation.model) for item in entries))


def _answers(situation: Situation, models: Sequence[str], rule: str) -> str:
    """Whether the predictions have moved, by a rule's own verdicts on them if it has some; of several models, whose."""
    moves = {}
    for model in models:
        results = [result for result in situation.results.values() if result.model == model]
        own = [result for result in results if result.rule == rule]
        moves[model] = predictions_moved(own) or predictions_moved(results)
    if len(models) == 1 or not all(moves.values()):
        return moves[models[0]] if len(models) == 1 else ""
    moved = [model for model, text in moves.items() if text.startswith("predictions have moved:")]
    return f"predictions of {', '.join(moved)} have moved" if moved else "predictions have not moved"


def _entries(
    parts: Mapping[Status, Set[AlertKey]],
    told: Mapping[AlertKey, Told],
    state: GroupState,
    alerts: Mapping[AlertKey, Alert],
    situation: Situation,
) -> tuple[Entry, ...]:
    """All alerts of the group, part by part; each part by harm, importance and strength."""

    def worst_first(key: AlertKey) -> tuple[int, list[float], AlertKey]:
        result = situation.results.get(key)
        weight = result.weight if result else (0.0, 0.0, 0.0)
        about = key.column if key.role == "outcome" and key.column in ORDER else key.role
        return ORDER.get(about, 3), [-part for part in weight], key

    out: list[Entry] = []
    for status, keys in parts.items():
        for key in sorted(keys, key=worst_first):
            item = _describe(key, status, told.get(key) or state.told[key], alerts.get(key), situation)
            if status == "new" and key in state.told:  # such as that of another model version, which ended just now
                item = replace(item, reason=state.told[key].reason)
            drawn = situation.histograms(key) if status != "resolved" and len(out) < DRAWN else None
            out.append(replace(item, histogram=drawn))
    return tuple(out)


def _describe(key: AlertKey, status: Status, told: Told, alert: Alert | None, situation: Situation) -> Entry:
    until, reason = None, ""
    if status == "resolved":
        ended = alert and alert.event_id == told.event_id and alert.state != "firing"
        until, reason = alert.since if alert and ended else situation.at, told.reason
    known = replace(alert or Alert(**key._asdict()), event_id=told.event_id, severity=told.severity, labels=told.labels)
    return entry(known, status, situation.results.get(key), since=told.since, until=until, reason=reason)


def _levels(
    state: GroupState, alerts: Mapping[AlertKey, Alert], situation: Situation, policy: Policy
) -> tuple[Message | None, GroupState]:
    """For Alertmanager: all that fires, and for RESOLVED_FOR what has resolved; on a change, and at each `resend`."""
    now = situation.at
    ended = {key: now if known.resolved is None else known.resolved for key, known in state.told.items()}
    told = {key: replace(state.told[key], resolved=at) for key, at in ended.items() if now - at < RESOLVED_FOR}
    firing = {key for key, alert in alerts.items() if alert.state == "firing" and key not in situation.muted}
    told |= {key: _as_told(alerts[key]) for key in alerts if key in firing}
    if not told:
        return None, replace(state, told={}, changes=0)
    changed = any(state.told.get(key) != known for key, known in told.items())
    if not changed and 0 <= now - state.last < policy.resend:
        return None, replace(state, told=told)
    entries = []
    for key, known in sorted(told.items()):
        item = _describe(key, "firing" if key in firing else "resolved", known, alerts.get(key), situation)
        entries.append(replace(item, until=known.resolved, labels={**known.labels, "alertname": key.rule}))
    event_id, opened = (min(getattr(known, name) for known in told.values()) for name in ("event_id", "since"))
    severity, ends = worst(item.severity for item in entries), now + 4 * max(policy.resend, 60.0)
    answers = _answers(situation, list(dict.fromkeys(item.model for item in entries)), "")
    facts = (severity, event_id, now, _version(situation, entries), answers, tuple(entries), opened)
    kind: MessageKind = "state" if changed else "resend"
    message = Message(kind, "", *facts, link=situation.link, ends=ends, several=situation.several)
    return message, replace(state, told=told, last=now, sequence=state.sequence + 1, event_id=event_id, changes=0)


def _as_told(alert: Alert, harmful: bool = False) -> Told:
    return Told(alert.event_id, alert.began, alert.severity, labels=dict(alert.labels), harmful=harmful)


def worst(severities: Iterable[str]) -> str:
    """The most severe of several; `info` if there are none.

    >>> worst(["info", "critical", "warning"]), worst([])
    ('critical', 'info')
    """
    order: Sequence[str] = SEVERITIES
    return min(severities, key=order.index, default="info")


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


def collapse(backlog: Sequence[Item], told_before: frozenset[str], now: float) -> Collapse | None:
    """Collapse what piled up during an outage. Returns None if nothing did.

    `told_before`: event ids that the receiver was told. An event that began and ended in the outage is in the digest
    only: its end would be news of something whose beginning was never told.
    """
    untried = [item for item in backlog if not item.attempts and item.message.kind not in APART]
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
        ("", f"{len(untried)} messages were not sent; what still fires follows in full. In short:"),
    ]
    for name, items in list(groups.items())[:LAST_STATES]:
        latest = items[-1].message
        state = f"fires ({latest.severity})" if latest.firing else "is over"
        columns = f"{latest.name}, rule {name}: ".removeprefix(", ") + names(latest.firing or latest.entries)
        lines.append((columns, f"{state}; {counted(len(items), 'message')} of it"))
    if len(groups) > LAST_STATES:
        lines.append(("", f"and {len(groups) - LAST_STATES} more rules; the page has them all"))
    severity = worst(item.message.severity for item in last)
    digest = Message("digest", "", severity, "", now, newest.model, lines=tuple(lines), link=newest.link)
    return Collapse(tuple(item.id for item in untried if item.id not in keep), digest)
