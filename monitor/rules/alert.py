"""An alert: a rule's instance for one column, and how it moves from state to state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from monitor.drift.result import DriftResult
from monitor.window.columns import Role

AlertState = Literal["inactive", "pending", "firing", "resolved"]


@dataclass(frozen=True, slots=True)
class Alert:
    """Where one (rule, column) stands. Times are seconds since 1970 UTC.

    `since`: when it entered its state. `active_since`: when its condition began to hold without a break.
    `held`: seconds the condition has held while Telltale was there to see it (what `for` is compared with).
    `evaluated`: the last evaluation it saw. `event_id`: names one firing, from its firing to its resolution, in every
    message, row and page; empty before the first.
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

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies the alert: rule, role and column."""
        return (self.rule, self.role, self.column)


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert that changed state at one evaluation: what `alert_events` records and messages tell."""

    alert: Alert
    before: AlertState
    at: float
    result: DriftResult
