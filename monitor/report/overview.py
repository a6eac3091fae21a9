"""The overview: one line in plain words, then every column, worst first. Pure functions of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from markupsafe import Markup

from monitor import words
from monitor.clock import iso
from monitor.columns.column import MISSING, NONFINITE, OTHER, Column, Counts, Role, column_path
from monitor.drift.result import STATES, DriftResult
from monitor.evaluation import Evaluation
from monitor.notify.message import against
from monitor.reference.file import Reference
from monitor.report import figure
from monitor.report.bars import lay_out
from monitor.rules.alert import Alert
from monitor.store.records.history import LEVELS, Cell
from monitor.usual import Judged

#: A column that no rule covers, or that was not judged yet, is in neither of an evaluation's states.
NOT_WATCHED = "not watched"
NOT_JUDGED = "not judged yet"

ORDER: tuple[str, ...] = (*STATES[:-1], NOT_JUDGED, NOT_WATCHED, "ok")

#: Beyond so many columns, rows come without a histogram: the page stays below 300 KB, and the worst come first.
MOST_FIGURES = 220

Tone = Literal["drift", "warning", "ok", "unknown"]


@dataclass(frozen=True)
class Row:
    """One column as the overview lists it. `result`: its worst; `others`: all that was measured beside it."""

    column: Column
    state: str
    position: int
    result: DriftResult | None = None
    judged: Judged | None = None
    others: tuple[DriftResult, ...] = ()
    alert: Alert | None = None

    @property
    def path(self) -> str:
        """Address of the column's own page."""
        return column_path(self.column.role, self.column.name)

    @property
    def since(self) -> float | None:
        """When the state began that made it an alert; None where there is none."""
        if self.alert is None or self.state not in ("drift", "warning"):
            return None
        return self.alert.active_since if self.alert.active_since is not None else self.alert.since

    @property
    def threshold(self) -> float | None:
        """What the value has to exceed: critical value or effect floor, the larger one."""
        return self.result.threshold if self.result else None

    @property
    def moved(self) -> str:
        """Which way the column moved, or why there is no verdict."""
        if self.result is None:
            return "no rule covers this column" if self.state == NOT_WATCHED else ""
        if self.result.direction is None:
            return self.result.reason
        if self.state == "ok":
            return ""
        return self.result.direction.text

    @property
    def also(self) -> tuple[str, ...]:
        """What else has moved, beside the result that leads."""
        moved = (result.direction for result in self.others if result.state in ("drift", "warning"))
        texts = dict.fromkeys(direction.text for direction in moved if direction is not None)
        return tuple(text for text in texts if text != self.moved)


def rows(evaluation: Evaluation, reference: Reference) -> list[Row]:
    """Every column of the model, the worst first; within a state by strength, then in the model's order."""
    found: dict[tuple[Role, str], list[tuple[DriftResult, Judged]]] = {}
    for judged in evaluation.judged:
        for result in judged.results:
            found.setdefault((result.role, result.column), []).append((result, judged))
    alerts = alerts_by_column(evaluation.alerts.values())
    out = []
    for position, column in enumerate(reference.schema.columns):
        key = (column.role, column.name)
        results = sorted(found.get(key, ()), key=lambda pair: rank(pair[0]))
        if results:
            (result, judged), others = results[0], tuple(pair[0] for pair in results[1:])
            alert = _alert_for(result, alerts.get(key, ()))
            out.append(Row(column, result.state, position, result, judged, others, alert))
        else:
            out.append(Row(column, NOT_WATCHED if evaluation.judged else NOT_JUDGED, position))
    out.sort(key=lambda row: (ORDER.index(row.state), -(row.result.strength if row.result else 0.0), row.position))
    return out


def rank(result: DriftResult) -> tuple[int, float]:
    """Sort key that puts the worst result first."""
    return ORDER.index(result.state), -result.strength


def alerts_by_column(alerts: Iterable[Alert]) -> dict[tuple[Role, str], list[Alert]]:
    """Alerts that are pending or firing, by role and column."""
    out: dict[tuple[Role, str], list[Alert]] = {}
    for alert in alerts:
        if alert.state in ("pending", "firing"):
            out.setdefault((alert.role, alert.column), []).append(alert)
    return out


def _alert_for(result: DriftResult, alerts: Sequence[Alert]) -> Alert | None:
    """The alert of the result's own rule, else the oldest one of the column."""
    own = [alert for alert in alerts if alert.rule == result.rule]
    return min(own or alerts, key=lambda alert: alert.active_since or alert.since, default=None)


def counts(row: Row, reference: Reference) -> tuple[Counts, Counts]:
    """Reference and test counts of a row's column; the test's are zero where nothing was judged."""
    low, high = reference.schema.offsets[row.position : row.position + 2]
    if row.judged is None:
        before = reference.counts[low:high]
        return before, np.zeros_like(before)
    return row.judged.reference.counts[low:high], row.judged.test.counts[low:high]


def draw(row: Row, reference: Reference) -> Markup:
    """Reference and live histogram of a row, one over the other."""
    before, after = counts(row, reference)
    live = bool(after.any())
    plane = lay_out(row.column, before, after, finest=0.025)
    return figure.small_histogram(plane, figure_label(row, live), live)


def figure_label(row: Row, live: bool) -> str:
    """What a screen reader says of a row's histogram."""
    if not live:
        return f"{row.column.name}: reference only, no live data"
    moved = row.result.direction.text if row.result and row.result.direction else row.state
    return f"{row.column.name}, reference and live: {moved}"


def strip(row: Row, cells: Sequence[Cell]) -> Markup:
    """A row's states over time."""
    key = (row.column.role, row.column.name)
    levels = [LEVELS[cell.get(key, 0)] for cell in cells]
    bad = sum(level in ("h-drift", "h-strong") for level in levels)
    return figure.strip(levels, f"drift in {bad} of {len(levels)} stretches" if any(levels) else "no verdicts")


def record(row: Row) -> dict[str, Any]:
    """A row for programs: the leading verdict, with its since."""
    since = None if row.since is None else iso(row.since)
    if row.result is None:
        return {"column": row.column.name, "role": row.column.role, "kind": row.column.kind, "state": row.state}
    return {**row.result.to_json(), "since": since, "alert": row.alert.state if row.alert else None}


def tone(state: str) -> Tone:
    """In which tone a state is said."""
    tones: dict[str, Tone] = {"drift": "drift", "warning": "warning", "error": "warning", "ok": "ok"}
    return tones.get(state, "unknown")


@dataclass(frozen=True)
class Headline:
    """The line on top: what is the matter, and in which tone it is said. `since`: the moment that it names."""

    tone: Tone
    text: str
    since: float | None = None


def headline(listed: Sequence[Row], evaluation: Evaluation, every: float, when: str = "") -> Headline:
    """Say in one line how things stand. `when`: the stretch that was judged, if it is not the last one."""
    if not evaluation.judged:
        return Headline("unknown", f"Nothing judged yet; the first evaluation comes within {words.duration(every)}")
    by_state = {state: [row for row in listed if row.state == state] for state in ORDER}
    watched = sum(row.result is not None for row in listed)
    if by_state["drift"]:
        return _drifted(by_state["drift"], watched)
    if by_state["error"]:
        failed = by_state["error"]
        return Headline("warning", f"{_columns(len(failed), watched)} could not be judged: {_names(failed)}")
    span = evaluation.judged[0].window
    when = when or f"in the last {words.duration(span.end - span.start)}"
    if all(judged.test.n == 0 for judged in evaluation.judged):
        return Headline("unknown", f"No traffic: no predictions {when}")
    if by_state["warning"]:
        moved = by_state["warning"]
        verb = "has" if len(moved) == 1 else "have"
        text = f"No drift; {_columns(len(moved), watched)} {verb} moved a little: {_names(moved)}"
        return Headline("warning", text)
    short = by_state["insufficient data"]
    if short and len(short) == watched:
        judged = next(judged for judged in evaluation.judged if judged.test.n)
        if judged.test.n >= judged.rule.min_samples and short[0].result:
            # Predictions enough, but most of their values are missing.
            return Headline("unknown", f"Not enough values yet: {short[0].result.reason}")
        n, needed = words.count(judged.test.n), words.count(judged.rule.min_samples)
        return Headline("unknown", f"Not enough data yet: {n} of {needed} predictions {when}")
    quiet = f"All quiet: {words.count(max(judged.test.n for judged in evaluation.judged))} predictions {when}"
    rest = [row for state in ("no reference", "insufficient data", "no traffic") for row in by_state[state]]
    but = f"; no verdict on {_columns(len(rest), watched)}: {_names(rest)}" if rest else ""
    return Headline("ok", f"{quiet}{but}")


def _drifted(moved: Sequence[Row], watched: int) -> Headline:
    verb = "has" if len(moved) == 1 else "have"
    whats = {against_what(row) for row in moved}
    what = whats.pop() if len(whats) == 1 else "their references"
    text = f"{_columns(len(moved), watched)} {verb} drifted from {what}"
    known = [row for row in moved if row.since is not None]
    if len(moved) == 1:
        return Headline("drift", f"{text}: {short(moved[0].column.name)}", moved[0].since)
    if not known:
        return Headline("drift", f"{text}; {short(moved[0].column.name)} most of all")
    # Of those that began together a feature is named, since a prediction follows its features.
    first = min(known, key=lambda row: (row.since or 0.0, row.column.role))
    return Headline("drift", f"{text}; {short(first.column.name)} first", first.since)


def alert_line(alerts: Iterable[Alert]) -> str:
    """Count the alerts that are firing or pending; empty where there are none."""
    states = [alert.state for alert in alerts]
    parts = [f"{words.count(states.count(state))} {state}" for state in ("firing", "pending") if state in states]
    total = states.count("firing") + states.count("pending")
    return f"{' and '.join(parts)} alert{'' if total == 1 else 's'}" if parts else ""


def against_what(row: Row) -> str:
    """Name in words what a row's column was compared with."""
    if row.result is None or row.judged is None:
        return "the training data"
    if row.result.reference.startswith("accepted "):
        return against(row.result.reference)
    known = {"training": "the training data", "usual": "what is usual"}
    return known.get(row.judged.rule.reference, row.judged.rule.reference)


def reference_mean(row: Row, reference: Reference) -> float | None:
    """Mean of what a row's column was compared with; None for a categorical one, or one without values."""
    if not row.column.numeric:
        return None
    before, _ = counts(row, reference)
    values = int(before[: row.column.value_bins].sum())
    sums = row.judged.reference.sums if row.judged else reference.sums
    return float(sums[row.position]) / values if values else None


def _columns(some: int, watched: int) -> str:
    return f"{words.count(some)} of {words.count(watched)} column{'' if watched == 1 else 's'}"


def _names(listed: Sequence[Row]) -> str:
    named = ", ".join(short(row.column.name) for row in listed[:3])
    return named + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def short(name: str, most: int = 40) -> str:
    """Cut a name for running text.

    >>> short("a" * 50, 5), short("")
    ('aaaa…', '(no name)')
    """
    name = name if name.strip() else "(no name)"
    return name if len(name) <= most else name[: most - 1] + "…"


def plain(label: str) -> str:
    """Write the reserved bins as people call them.

    >>> plain("__other__"), plain("red")
    ('unseen values', 'red')
    """
    return {OTHER: "unseen values", MISSING: "missing", NONFINITE: "infinite"}.get(label, label)
