"""All rules over one evaluation: which alerts there are now, and which of them changed state.

Pure: the same alerts and results at the same moment give the same answer, before and after a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from monitor.drift.result import AlertKey, DriftResult
from monitor.rules.alert import Alert, Transition, condition, gone, reason, step
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
    judged = [result for result in results if condition(result) is not None]
    drifting = [result for result in judged if condition(result)]
    waiting = [result for result in results if result.statistic == statistic and condition(result) is None]
    if waiting and not drifting:
        return waiting[0]
    return max(drifting or judged, key=lambda result: result.strength, default=results[0])


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
        before = alerts.get(key) or Alert(**key._asdict(), since=now, severity=rule.severity)
        result = reported(group, before.statistic)
        alert = after[key] = step(before, result, rule, now, watched_seconds(before.evaluated, now, every))
        if alert.state != before.state:
            why = reason(before, alert, rule)
            transitions.append(Transition(alert, before.state, now, result, why, result.model_version))

    for key, before in alerts.items():
        if key in groups:
            continue
        alert = replace(before, evaluated=now)
        left_out = key not in covered if covered is not None else key.rule in answered
        if key.rule in known and not left_out:
            after[key] = alert
            continue
        why = "the rule no longer covers this column" if key.rule in known else "there is no such rule any more"
        alert = gone(alert, now, watched_seconds(before.evaluated, now, every))
        if alert.state != "inactive" or before.state == "pending":  # otherwise it is forgotten
            after[key] = alert
            if alert.state != before.state:
                transitions.append(Transition(alert, before.state, now, None, why, model_version))
    return after, transitions


def end_all(alerts: Mapping[AlertKey, Alert], now: float, why: str, model_version: str) -> list[Transition]:
    """End every alert, because another model version takes over; the caller then forgets them."""
    now = round(now, 3)
    return [
        Transition(gone(replace(alert, evaluated=now), now, 0.0), alert.state, now, None, why, model_version)
        for alert in alerts.values()
        if alert.state in ("pending", "firing")
    ]
