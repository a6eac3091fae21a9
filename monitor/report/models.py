"""The first page if there are several models: a line for each, the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from monitor import words
from monitor.clock import iso
from monitor.report import performance
from monitor.report.overview import Headline, Tone, alert_line, headline, rows
from monitor.rules.silence import Silence, mutes
from monitor.watched import Watched


class ModelLine(NamedTuple):
    """One of several models. `headline`: the worst that is true; `predictions`: None if it could not be loaded."""

    name: str
    version: str
    state: str
    headline: Headline
    alerts: str
    predictions: int | None
    #: How many of its columns have drifted.
    drifted: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        """The worst come first; those that are alike in the order of the settings."""
        return MODEL_STATES.index(self.state), -self.drifted

    def record(self) -> dict[str, Any]:
        """The line for programs."""
        since = None if self.headline.since is None else iso(self.headline.since)
        worst = {"model": self.name, "model_version": self.version, "state": self.state, "said": self.headline.text}
        return {**worst, "since": since, "alerts": self.alerts, "predictions": self.predictions}


#: States of a model, the worst first.
MODEL_STATES = ("not loaded", "worse", "drift", "warning", "unknown", "ok")


def model_line(model: Watched, every: float, silences: Sequence[Silence], now: float) -> ModelLine:
    """Say in a line how a model is."""
    latest = model.latest
    listed = rows(latest, model.reference)
    worst, drifted = headline(listed, latest, every), sum(row.state == "drift" for row in listed)
    outcomes = performance.summarise(latest)
    worse = outcomes is not None and outcomes.line.tone == "drift"
    if outcomes is not None and worse:
        worst = outcomes.line
    alerts = tuple(latest.alerts.values())
    muted = mutes(alerts, silences, now)
    line = alert_line(alert for alert in alerts if alert.key not in muted)
    return ModelLine(model.name, model.version, "worse" if worse else worst.tone, worst, line, model.totals.n, drifted)


def failed_line(name: str, why: str) -> ModelLine:
    """Say in a line that a model could not be loaded."""
    return ModelLine(name, "", "not loaded", Headline("drift", why), "", None)


def whole_headline(lines: Sequence[ModelLine]) -> Headline:
    """Count the models by state, the worst first."""
    states = Counter(line.state for line in lines)
    counts = ", ".join(f"{words.count(states[state])} {state}" for state in MODEL_STATES if states[state])
    worst = lines[0].state
    tone: Tone = "drift" if worst in MODEL_STATES[:3] else "warning" if worst == "warning" else "ok"
    return Headline(tone, f"{words.counted(len(lines), 'model')}: {counts}")
