"""All rules over one evaluation: which alerts there are now, and which of them changed state.

Pure: the same alerts and results at the same moment give the same answer, before and after a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from monitor.drift.result import AlertKey, DriftResult
from monitor.rules.alert import REOPEN, Alert, Transition, condition, new_alert, quiet, reason, step
from monitor.rules.rule import Rule

#: If an evaluation is at most this many intervals after the last, all of the time was watched. After a longer gap one
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


def reported(results: Sequence[DriftResult], statistic: str = "") -> DriftResult:
    """The one of a column's results that speaks for all of them, under one rule.

    The strongest drift; else, while an alert is up because of `statistic`, that result if it has no verdict, since the
    alert cannot resolve before it has one; else the strongest verdict; else the first.
    """
    drifting = [result for result in results if result.state == "drift"]
    if drifting:
        return max(drifting, key=lambda result: result.strength)
    for result in results:
        if result.statistic == statistic and condition(result) is None:
            return result
    judged = [result for result in results if condition(result) is not None]
    return max(judged, key=lambda result: result.strength) if judged else results[0]


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
    """Move all alerts on by one evaluation at `now`, with evaluations `every` so many seconds.

    An alert whose rule is gone, or whose column its rule no longer covers, resolves and is then forgotten. A rule that
    gave no result at all (it failed) keeps its alerts as they are. `covered`: keys of all alerts that there can be;
    without it a column counts as removed if its rule had results for other columns only.
    """
    now = round(now, 3)  # as the store keeps it, so that a restart changes nothing
    known = {rule.name: rule for rule in rules}
    groups = {key: group for key, group in by_alert(results).items() if key.rule in known}
    answered = {key.rule for key in groups}
    after: dict[AlertKey, Alert] = {}
    transitions: list[Transition] = []

    for key, group in groups.items():
        rule = known[key.rule]
        before = alerts.get(key) or new_alert(key, since=now, severity=rule.severity)
        result = reported(group, before.statistic)
        alert = step(before, result, rule, now, watched_seconds(before.evaluated, now, every))
        after[key] = alert
        if alert.state != before.state:
            why = reason(before, alert, rule)
            transitions.append(Transition(alert, before.state, now, result, why, result.model_version))

    for key, before in alerts.items():
        if key in groups:
            continue
        gone = key not in covered if covered is not None else key.rule in answered
        if key.rule in known and not gone:
            after[key] = replace(before, evaluated=now)
            continue
        why = "the rule no longer covers this column" if key.rule in known else "there is no such rule any more"
        left = _retire(before, now, watched_seconds(before.evaluated, now, every))
        if left is not None:
            after[key] = left
            if left.state != before.state:
                transitions.append(Transition(left, before.state, now, None, why, model_version))
    return after, transitions


def end_all(alerts: Mapping[AlertKey, Alert], now: float, why: str, model_version: str) -> list[Transition]:
    """End every alert, because another model version takes over; the caller then forgets them."""
    ended = [(before, _retire(before, round(now, 3), REOPEN)) for before in alerts.values()]
    return [
        Transition(after, before.state, after.since, None, why, model_version)
        for before, after in ended
        if after is not None and after.state != before.state
    ]


def _retire(alert: Alert, now: float, watched: float) -> Alert | None:
    """End an alert that gets no more results. Returns None once it can be forgotten."""
    alert = replace(alert, evaluated=now)
    if alert.state == "firing":
        return replace(alert, state="resolved", since=now, clear_since=now, held=0.0)
    if alert.state == "pending":
        return replace(alert, state="inactive", since=now, active_since=None, held=0.0, statistic="")
    if alert.state == "resolved" and alert.held + watched < REOPEN:
        return quiet(alert, now, watched)
    return None
