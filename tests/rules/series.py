"""Short ways to write a series of verdicts and to play it: one letter per evaluation.

`D` drift, `.` ok, `w` warning, `?` insufficient data, `0` no traffic, `R` no reference, `E` error; a blank is no
result at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from monitor.columns.column import Role
from monitor.drift.result import ALL, MODEL, AlertKey, DriftResult, Span, State
from monitor.rules.alert import Alert, AlertState, Transition, advance
from monitor.rules.rule import Rule

EVERY = 60.0
START = 1_700_000_000.0

LETTERS: dict[str, State] = {
    "D": "drift",
    ".": "ok",
    "w": "warning",
    "?": "insufficient data",
    "0": "no traffic",
    "R": "no reference",
    "E": "error",
}
STATES: dict[AlertState, str] = {"inactive": "i", "pending": "p", "firing": "F", "resolved": "r"}
VALUES = {"D": 0.4, ".": 0.02, "w": 0.07}


def key(column: str = "bmi", rule: str = "drift", role: Role = "feature") -> AlertKey:
    """Key of an alert of the one model."""
    return AlertKey(rule, MODEL, ALL, role, column)


def verdict(
    letter: str,
    *,
    rule: str = "drift",
    column: str = "bmi",
    role: Role = "feature",
    statistic: str = "ks",
    version: str = "1",
    value: float | None = None,
) -> DriftResult:
    known = letter in VALUES
    return DriftResult(
        rule,
        column,
        role,
        "numeric",
        statistic,
        LETTERS[letter],
        Span(START, START + 1800),
        "training",
        version,
        n=200 if known else 0,
        m=331,
        value=(VALUES[letter] if value is None else value) if known else None,
        critical=0.05 if known else None,
        floor=0.1,
        p_value=0.001 if known else None,
        reason="" if known else "not enough to say",
    )


def ticks(count: int, every: float = EVERY) -> list[float]:
    return [START + i * every for i in range(count)]


def play(
    letters: str,
    rule: Rule,
    times: Sequence[float] | None = None,
    alerts: Mapping[AlertKey, Alert] | None = None,
    every: float = EVERY,
) -> tuple[str, list[Transition], dict[AlertKey, Alert]]:
    """Play one column's series; the first value spells the state after each evaluation."""
    standing = dict(alerts or {})
    spelled, transitions = "", []
    for now, letter in zip(times or ticks(len(letters), every), letters, strict=True):
        results = [] if letter == " " else [verdict(letter, rule=rule.name)]
        standing, moved = advance(standing, results, [rule], now, every, "1")
        transitions += moved
        (alert,) = standing.values()
        spelled += STATES[alert.state]
    return spelled, transitions, standing


def moves(transitions: Iterable[Transition]) -> list[str]:
    return [f"{STATES[one.before]}>{STATES[one.alert.state]}" for one in transitions]
