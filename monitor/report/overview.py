"""The overview: one line in plain words, then every column, worst first. Pure functions of an evaluation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from markupsafe import Markup

from monitor import words
from monitor.clock import iso
from monitor.columns.column import Column, Counts, Role
from monitor.drift.result import STATES, DriftResult, Harm, at_a_glance, of_importance, predictions_moved
from monitor.judging.evaluation import Evaluation
from monitor.judging.usual import Judged
from monitor.notify.message import against, guide_section
from monitor.reference.file import Reference
from monitor.report import figure
from monitor.report.bars import lay_out
from monitor.rules.alert import Alert
from monitor.store.records.history import LEVELS, Cell

#: States of a column that no rule covers or that was not judged yet, beside those of an evaluation.
NOT_WATCHED = "not watched"
NOT_JUDGED = "not judged yet"

ORDER: tuple[str, ...] = (*STATES[:-1], NOT_JUDGED, NOT_WATCHED, "ok")

#: Most rows with a histogram, the worst first: the page stays below 300 KB.
MOST_FIGURES = 220

#: Columns that are as they were are listed without a fold if there are at most this many.
FEW = 12

#: Headings of the overview, the worst first. The last part is the fold, whose summary counts its columns.
WRONG, DIFFERS, NO_VERDICT, AS_BEFORE = range(4)
SAME = ("ok", NOT_WATCHED)
HEADINGS = ("What is wrong", "What differs, without harm that is known", "Without a verdict")

Tone = Literal["drift", "warning", "ok", "unknown"]
TONES: dict[str, Tone] = {"drift": "drift", "warning": "warning", "error": "warning", "ok": "ok"}


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
        if self.state == "ok":  # its direction is not worked out, since that is most of a page's time
            return ""
        return self.result.direction.text if self.result.direction else self.result.reason

    @property
    def guide(self) -> str:
        """Section of the page /what-to-do that fits; empty if the column is fine."""
        if self.state in ("no traffic", "insufficient data"):
            return "no-traffic"
        if self.state not in ("drift", "warning") or self.result is None or self.result.direction is None:
            return "no-reference" if self.state == "no reference" else ""
        return guide_section(self.column.role, self.result.direction.change)

    @property
    def part(self) -> int:
        """Which part of the overview lists it: wrong are predictions that have drifted, and columns that do harm."""
        if self.state in SAME:
            return AS_BEFORE
        if self.state not in ("drift", "warning"):
            return NO_VERDICT
        harmful = self.harm is not None and self.harm.effect == "harmful"
        return WRONG if self.state == "drift" and (harmful or self.column.role != "feature") else DIFFERS

    @property
    def harm(self) -> Harm | None:
        """What it does to the model that the column moved; None if it has not, or if that is not known."""
        return self.result.harm if self.result else None

    @property
    def also(self) -> tuple[str, ...]:
        """What else has moved, beside the result that leads."""
        moved = (result.direction for result in self.others if result.state in ("drift", "warning"))
        texts = dict.fromkeys(direction.text for direction in moved if direction is not None)
        return tuple(text for text in texts if text != self.moved)


def rows(evaluation: Evaluation, reference: Reference, given: Collection[int] | None = None) -> list[Row]:
    """Columns of the model, the worst first: by part of the overview, state, harm, importance and strength.

    `given`: positions of the columns that are wanted; None: all.
    """
    columns = [(at, column) for at, column in enumerate(reference.schema.columns) if given is None or at in given]
    by_column: dict[tuple[Role, str], list[tuple[DriftResult, Judged]]]
    by_column = {(column.role, column.name): [] for _, column in columns}
    for judged in evaluation.judged:
        for result in judged.results:
            if (found := by_column.get((result.role, result.column))) is not None:
                found.append((result, judged))
    open_alerts: dict[tuple[Role, str], list[Alert]] = defaultdict(list)
    for alert in evaluation.alerts.values():
        if alert.state in ("pending", "firing"):
            open_alerts[alert.role, alert.column].append(alert)
    out = []
    for position, column in columns:
        key = (column.role, column.name)
        results = sorted(by_column[key], key=lambda pair: _worst_first(pair[0].state, pair[0]))
        if not results:
            out.append(Row(column, NOT_WATCHED if evaluation.judged else NOT_JUDGED, position))
            continue
        (result, judged), *others = results
        # The alert of the result's own rule, else the oldest one of the column.
        alerts = [alert for alert in open_alerts[key] if alert.rule == result.rule] or open_alerts[key]
        oldest = min(alerts, key=lambda alert: alert.began, default=None)
        out.append(Row(column, result.state, position, result, judged, tuple(pair[0] for pair in others), oldest))
    out.sort(key=lambda row: (row.part, *_worst_first(row.state, row.result), row.position))
    return out


class Part(NamedTuple):
    """Rows of the overview under one heading. `folded`: None if it is no fold, else whether the fold is closed."""

    heading: str
    rows: Sequence[Row]
    folded: bool | None = None


def parts(listed: Sequence[Row], opened: bool = False, most: int | None = None) -> list[Part]:
    """Rows as the overview lists them: what is wrong, what differs, what has no verdict, and a fold with the rest.

    `listed`: in the order of `rows`. `opened`: the fold is open, however many columns it has; it is open as well if
    they are few. `most`: rows that are listed at most; the fold counts all of its own.
    """
    shown: list[list[Row]] = [[], [], [], []]
    for row in listed[:most]:
        shown[row.part].append(row)
    out = [Part(heading, some) for heading, some in zip(HEADINGS, shown, strict=False) if some]
    rest = [row for row in listed if row.state in SAME]
    if not rest:
        return out
    same, other = sum(row.state == "ok" for row in rest), sum(row.state != "ok" for row in rest)
    counts = [f"{words.counted(same, 'column')} {'is as it was' if same == 1 else 'are as they were'}"] if same else []
    counts += [f"{words.counted(other, 'column')} {'is' if other == 1 else 'are'} not watched"] if other else []
    return [*out, Part("; ".join(counts), shown[AS_BEFORE], len(rest) > FEW and not opened)]


def _worst_first(state: str, result: DriftResult | None) -> tuple[float, ...]:
    harm, importance, strength = result.weight if result else (0.0, 0.0, 0.0)
    return ORDER.index(state), -harm, -importance, -strength


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
    return f"{row.column.name}, reference and live: {row.moved or row.state}"


def strip(row: Row, cells: Sequence[Cell], lost: Sequence[int] = ()) -> Markup:
    """A row's states over time. `lost`: cells in which predictions were lost."""
    key = (row.column.role, row.column.name)
    levels = tuple(LEVELS[cell.get(key, 0)] for cell in cells)
    bad = levels.count("h-drift") + levels.count("h-strong")
    return figure.strip(levels, f"drift in {bad} of {len(levels)} cells" if any(levels) else "no verdicts", tuple(lost))


def record(row: Row) -> dict[str, Any]:
    """A row for programs: the leading verdict, with its since."""
    if row.result is None:
        return {"column": row.column.name, "role": row.column.role, "kind": row.column.kind, "state": row.state}
    since = None if row.since is None else iso(row.since)
    return {**row.result.to_json(), "since": since, "alert": row.alert.state if row.alert else None}


class Headline(NamedTuple):
    """The line on top, its tone, and the moment that it names, if it names one."""

    tone: Tone
    text: str
    since: float | None = None
    more: str = ""


def headline(
    listed: Sequence[Row],
    evaluation: Evaluation,
    every: float,
    when: str = "",
    rows: str = "predictions",
    past: bool = False,
) -> Headline:
    """Say in one line the worst that is true, and whether the predictions have moved.

    `when`: the period that was judged, if it is not the last one. `rows`: what was judged. `past`: it is an evaluation
    of the past.
    """
    if past:
        if not evaluation.judged:
            return Headline("unknown", "Nothing was judged in this period")
        window = evaluation.judged[0].window
        when = f"in the {words.duration(window.end - window.start)} to {words.date_time(window.end)}"
    moved = predictions_moved(evaluation.results)
    more = f"{moved[:1].upper()}{moved[1:]}." if moved else ""
    return next(_headlines(listed, evaluation, every, when, rows))._replace(more=more)


def _headlines(listed: Sequence[Row], evaluation: Evaluation, every: float, when: str, rows: str) -> Iterator[Headline]:
    """What is true of an evaluation, the worst first."""
    for silent in filter(None, (one.direction for one in evaluation.traffic)):
        yield Headline("warning", f"No traffic: {silent.text}")
    if not evaluation.judged:
        yield Headline("unknown", f"Nothing judged yet; the first evaluation comes within {words.duration(every)}")
        return
    by_state = {state: [row for row in listed if row.state == state] for state in ORDER}
    watched = sum(row.result is not None for row in listed)
    if drifted := by_state["drift"]:
        yield _drifted(drifted, watched)
    if failed := by_state["error"]:
        yield Headline("warning", f"{_columns(failed, watched)} could not be judged: {_names(failed)}")
    judged = next((judged for judged in evaluation.judged if judged.test.n), evaluation.judged[0])
    span, needed = evaluation.judged[0].window, judged.rule.min_samples
    when = when or f"in the last {words.duration(span.end - span.start)}"
    if not judged.test.n:
        yield Headline("unknown", f"No traffic: no {rows} {when}")
    if moved := by_state["warning"]:
        yield Headline("warning", f"No drift; {_columns(moved, watched, 'has')} moved a little: {_names(moved)}")
    short = by_state["insufficient data"]
    if short and len(short) == watched and judged.test.n < needed:
        n = words.count(judged.test.n)
        yield Headline("unknown", f"Not enough data yet: {n} of {words.count(needed)} {rows} {when}")
    if short and len(short) == watched:  # most values of these predictions are missing
        yield Headline("unknown", f"Not enough values yet: {short[0].moved}")
    quiet = f"All quiet: {words.count(max(judged.test.n for judged in evaluation.judged))} {rows} {when}"
    rest = [row for state in ("no reference", "insufficient data", "no traffic") for row in by_state[state]]
    yield Headline("ok", quiet + (f"; no verdict on {_columns(rest, watched)}: {_names(rest)}" if rest else ""))


def _drifted(moved: Sequence[Row], watched: int) -> Headline:
    whats = {against_what(row) for row in moved}
    what = whats.pop() if len(whats) == 1 else "their references"
    important = of_importance(at_a_glance([row.result for row in moved if row.result])["importance"])
    text = f"{_columns(moved, watched, 'has')} drifted from {what}{important}"
    # The alert that began first, and of several a feature's, since a prediction follows its features.
    known = sorted((row for row in moved if row.since is not None), key=lambda row: (row.since or 0.0, row.column.role))
    if len(moved) == 1:
        return Headline("drift", f"{text}: {_names(moved)}", moved[0].since)
    if not known:
        return Headline("drift", f"{text}; {_names(moved[:1])} most of all")
    return Headline("drift", f"{text}; the first was {_names(known[:1])}", known[0].since)


def _columns(some: Sequence[Row], watched: int, has: str = "") -> str:
    has = f" {has if len(some) == 1 else 'have'}" if has else ""
    return f"{words.count(len(some))} of {words.counted(watched, 'column')}{has}"


def names(columns: Sequence[str]) -> str:
    """Name the first columns, each cut for running text, and count the others.

    >>> names(["a", " ", "c", "d"])
    'a, (no name), c and 1 more'
    """
    first = [
        name if len(name) <= 40 else f"{name[:39]}…" for name in (name.strip() or "(no name)" for name in columns[:3])
    ]
    return ", ".join(first) + (f" and {len(columns) - 3} more" if len(columns) > 3 else "")


def _names(listed: Sequence[Row]) -> str:
    return names([row.column.name for row in listed])


def alert_line(alerts: Iterable[Alert]) -> str:
    """Count the alerts that are firing or pending; empty if there are none."""
    states = Counter(alert.state for alert in alerts)
    parts = [f"{words.count(states[state])} {state}" for state in ("firing", "pending") if states[state]]
    return f"{' and '.join(parts)} alert{'' if states['firing'] + states['pending'] == 1 else 's'}" if parts else ""


def against_what(row: Row) -> str:
    """Name in words what a row's column was compared with."""
    if row.result is None or row.judged is None:
        return "the training data"
    if row.result.reference.startswith("accepted "):
        return against(row.result.reference)
    known = {"training": "the training data", "usual": "what is usual"}
    return known.get(row.judged.rule.reference, row.judged.rule.reference)
