"""How the monitor itself is doing: one check for each part, with a state, since when, and what it means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from monitor.clock import iso

Condition = Literal["ok", "degraded", "failing"]


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the monitor. `failing`: it does not do its work; `degraded`: it does some of it, or late."""

    part: str
    condition: Condition
    detail: str
    since: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        since = None if self.since is None else iso(self.since)
        return {"part": self.part, "condition": self.condition, "detail": self.detail, "since": since}


def worst(checks: Iterable[Check]) -> Condition:
    """Condition of the whole.

    >>> worst([Check("capture", "ok", ""), Check("store", "degraded", "")])
    'degraded'
    """
    conditions = {check.condition for check in checks}
    return "failing" if "failing" in conditions else "degraded" if "degraded" in conditions else "ok"


def capture_check(
    dropping_since: float | None, reason: str, dropped: int, trouble: str, damage: str, damaged_at: float | None
) -> Check:
    """Whether predictions are recorded.

    `trouble`: with the folder; `damage`: what was lost of the record within the last day, and when.
    """
    if trouble:
        return Check("capture", "failing", trouble)
    if dropping_since is not None:
        detail = f"predictions are answered but not recorded: {reason}; {dropped} dropped so far"
        return Check("capture", "failing", detail, dropping_since)
    if damage:
        return Check("capture", "degraded", f"recording; part of the record is lost: {damage}", damaged_at)
    return Check("capture", "ok", f"recording; {dropped} dropped since the first start" if dropped else "recording")


def fold_check(alive: bool, failing_since: float | None, why: str, lag: float) -> Check:
    """Whether what is recorded reaches the store; `why` it does not; `lag`: seconds since the last fold that worked."""
    if not alive:
        return Check("store", "failing", "the writer's thread has ended; restart the server")
    if failing_since is not None:
        detail = f"the database refuses writes, and the journal keeps what comes in: {why}"
        return Check("store", "failing", detail, failing_since)
    if lag > 60:
        return Check("store", "degraded", f"the last fold was {lag:.0f} seconds ago")
    return Check("store", "ok", "predictions reach the database")


def evaluation_check(
    failing_since: float | None, failing_rules: Mapping[str, float], overdue: float, every: float
) -> Check:
    """Whether drift is worked out on time; `failing_rules`: rules that cannot be evaluated, with since when."""
    if failing_since is not None:
        return Check("evaluation", "failing", "drift cannot be worked out; the log says why", failing_since)
    if failing_rules:
        names = ", ".join(sorted(failing_rules))
        detail = f"cannot be evaluated: {names}; the log says why"
        return Check("evaluation", "degraded", detail, min(failing_rules.values()))
    if overdue > max(5.0, every):
        return Check("evaluation", "degraded", f"the next evaluation is {overdue:.0f} seconds late")
    return Check("evaluation", "ok", "on time")


def delivery_check(waiting: int, dead: int, oldest: float | None, now: float) -> Check:
    """Whether alerts reach people."""
    if dead:
        return Check("delivery", "degraded", f"{dead} notifications could not be delivered; see the alerts page")
    if oldest is not None and now - oldest > 300:
        return Check("delivery", "degraded", f"{waiting} notifications wait to be delivered", oldest)
    return Check("delivery", "ok", f"{waiting} notifications on their way" if waiting else "nothing waits")
