"""The overview: one line in plain words, then every column, worst first. Pure functions of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from markupsafe import Markup

from monitor import words
from monitor.clock import iso
from monitor.columns.column import MISSING, NONFINITE, OTHER, Column, Counts, Role
from monitor.drift.result import STATES, DriftResult
from monitor.evaluation import Evaluation
from monitor.notify.message import against
from monitor.reference.file import Reference
from monitor.report import figure
from monitor.report.bars import lay_out
from monitor.rules.alert import Alert
from monitor.store.records.history import LEVELS, Cell
from monitor.usual import Judged

#: States of a column that no rule covers or that was not judged yet, beside those of an evaluation.
NOT_WATCHED = "not watched"
NOT_JUDGED = "not judged yet"

ORDER: tuple[str, ...] = (*STATES[:-1], NOT_JUDGED, NOT_WATCHED, "ok")

#: Most rows with a histogram, the worst first: the page stays below 300 KB.
MOST_FIGURES = 220

Tone = Literal["drift", "warning", "ok", "unknown"]


@dataclass(frozen=True)
class Row:
    """One column as the overview lists it. `result`: its worst; `others`: its other results."""

    column: Column
    state: str
    position: int
    result: DriftResult | None = None
    judged: Judged | None = None
    others: tuple[DriftResult, ...] = ()
    alert: Alert | None = None

    @property
    def since(self) -> float | None:
        """When the alert's condition began to hold. Returns None if the row is neither drift nor warning."""
        return self.alert.began if self.alert and self.state in ("drift", "warning") else None

    @property
    def moved(self) -> str:
        """Which way the column moved, or why there is no verdict."""
        if self.result is None:
            return "no rule covers this column" if self.state == NOT_WATCHED else ""
        if self.result.direction is None:
            return self.result.reason
        return "" if self.state == "ok" else self.result.direction.text

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
    alerts: dict[tuple[Role, str], list[Alert]] = {}
    for alert in evaluation.alerts.values():
        if alert.state in ("pending", "firing"):
            alerts.setdefault((alert.role, alert.column), []).append(alert)
    out = []
    for position, column in enumerate(reference.schema.columns):
        key = (column.role, column.name)
        results = sorted(found.get(key, ()), key=lambda pair: (ORDER.index(pair[0].state), -pair[0].strength))
        if results:
            (result, judged), others = results[0], tuple(pair[0] for pair in results[1:])
            out.append(Row(column, result.state, position, result, judged, others, _alert(result, alerts.get(key, ()))))
        else:
            out.append(Row(column, NOT_WATCHED if evaluation.judged else NOT_JUDGED, position))
    out.sort(key=lambda row: (ORDER.index(row.state), -(row.result.strength if row.result else 0.0), row.position))
    return out


def _alert(result: DriftResult, alerts: Sequence[Alert]) -> Alert | None:
    """The alert of the result's own rule, else the oldest one of the column."""
    own = [alert for alert in alerts if alert.rule == result.rule]
    return min(own or alerts, key=lambda alert: alert.began, default=None)


def counts(row: Row, reference: Reference) -> tuple[Counts, Counts]:
    """Reference and test counts of a row's column; the test counts are zero if nothing was judged."""
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
    """Text of a row's histogram for a screen reader."""
    if not live:
        return f"{row.column.name}: reference only, no live data"
    moved = row.result.direction.text if row.result and row.result.direction else row.state
    return f"{row.column.name}, reference and live: {moved}"


def strip(row: Row, cells: Sequence[Cell]) -> Markup:
    """A row's states over time."""
    key = (row.column.role, row.column.name)
    levels = [LEVELS[cell.get(key, 0)] for cell in cells]
    bad = sum(level in ("h-drift", "h-strong") for level in levels)
    return figure.strip(levels, f"drift in {bad} of {len(levels)} cells" if any(levels) else "no verdicts")


def record(row: Row) -> dict[str, Any]:
    """A row for programs: the leading verdict, with its since."""
    if row.result is None:
        return {"column": row.column.name, "role": row.column.role, "kind": row.column.kind, "state": row.state}
    since = None if row.since is None else iso(row.since)
    return {**row.result.to_json(), "since": since, "alert": row.alert.state if row.alert else None}


def tone(state: str) -> Tone:
    """The tone of a state."""
    tones: dict[str, Tone] = {"drift": "drift", "warning": "warning", "error": "warning", "ok": "ok"}
    return tones.get(state, "unknown")


class Headline(NamedTuple):
    """The line on top, its tone, and the moment that it names, if it names one."""

    tone: Tone
    text: str
    since: float | None = None


def headline(listed: Sequence[Row], evaluation: Evaluation, every: float, when: str = "") -> Headline:
    """Say in one line the worst that is true. `when`: the period that was judged, if it is not the last one."""
    if not evaluation.judged:
        return Headline("unknown", f"Nothing judged yet; the first evaluation comes within {words.duration(every)}")
    by_state = {state: [row for row in listed if row.state == state] for state in ORDER}
    watched = sum(row.result is not None for row in listed)
    if by_state["drift"]:
        return _drifted(by_state["drift"], watched)
    if failed := by_state["error"]:
        return Headline("warning", f"{_columns(failed, watched)} could not be judged: {_names(failed)}")
    span = evaluation.judged[0].window
    when = when or f"in the last {words.duration(span.end - span.start)}"
    if all(judged.test.n == 0 for judged in evaluation.judged):
        return Headline("unknown", f"No traffic: no predictions {when}")
    if moved := by_state["warning"]:
        text = f"No drift; {_columns(moved, watched)} {_have(moved)} moved a little: {_names(moved)}"
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
    but = f"; no verdict on {_columns(rest, watched)}: {_names(rest)}" if rest else ""
    return Headline("ok", f"{quiet}{but}")


def _drifted(moved: Sequence[Row], watched: int) -> Headline:
    whats = {against_what(row) for row in moved}
    what = whats.pop() if len(whats) == 1 else "their references"
    text = f"{_columns(moved, watched)} {_have(moved)} drifted from {what}"
    # The alert that began first, and of several a feature's, since a prediction follows its features.
    known = sorted((row for row in moved if row.since is not None), key=lambda row: (row.since or 0.0, row.column.role))
    if len(moved) == 1:
        return Headline("drift", f"{text}: {_names(moved)}", moved[0].since)
    if not known:
        return Headline("drift", f"{text}; {_names(moved[:1])} most of all")
    return Headline("drift", f"{text}; {_names(known[:1])} first", known[0].since)


def alert_line(alerts: Iterable[Alert]) -> str:
    """Count the alerts that are firing or pending; empty if there are none."""
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
    """Mean of what a row's column was compared with; None if it is categorical or has no values."""
    if not row.column.numeric:
        return None
    before, _ = counts(row, reference)
    values = int(before[: row.column.value_bins].sum())
    sums = row.judged.reference.sums if row.judged else reference.sums
    return float(sums[row.position]) / values if values else None


def _columns(some: Sequence[Row], watched: int) -> str:
    return f"{words.count(len(some))} of {words.counted(watched, 'column')}"


def _have(some: Sequence[Row]) -> str:
    return "has" if len(some) == 1 else "have"


def _names(listed: Sequence[Row]) -> str:
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(_short(row.column.name) for row in listed[:3]) + more


def _short(name: str, most: int = 40) -> str:
    """Cut a name for running text.

    >>> _short("a" * 50, 5), _short("")
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
