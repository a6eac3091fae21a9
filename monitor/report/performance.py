"""How well the model does, for people: the line in words, and the figures and tables of the page and of a report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from monitor import words
from monitor.columns.column import Counts
from monitor.drift.result import DriftResult
from monitor.judging.evaluation import Evaluation
from monitor.judging.performance import SOON, JudgedPerformance
from monitor.judging.performance_report import LEAST, PerformanceReport, Period
from monitor.notify.message import guide_section
from monitor.outcomes.join import DELAYS
from monitor.outcomes.performance import ESTIMATED, Measure, measure, metric_name, wilson
from monitor.outcomes.results import COLUMN, measured
from monitor.outcomes.sums import Sums
from monitor.outcomes.verdict import floor_of
from monitor.report import figure
from monitor.report.bars import Bar
from monitor.report.column import over
from monitor.report.overview import Headline
from monitor.words import number

#: States of a verdict on performance; of several metrics the first state leads.
ORDER = ("drift", "ok", "insufficient data", "no reference")

#: More classes than this have no confusion matrix but a list of the most frequent mistakes, this many.
MOST_CLASSES, MISTAKES = 8, 12

#: Bins of a reliability diagram.
TENTHS = tuple(k / 10 for k in range(1, 10))

#: Lengths of time that the axis of delays names.
DELAY_TICKS = {1.0: "1 s", 60.0: "1 min", 3600.0: "1 h", 86_400.0: "1 day", 604_800.0: "7 days", 7_776_000.0: "90 d"}


class Summary(NamedTuple):
    """The last verdict on performance in words. `known`: whether there is one. `more`: sentences to follow the line.

    `metric`: the metric of the line; `floor`: the smallest change of it that matters, None if nothing is judged.
    `judged`: the hours and rule of the line; `guide`: the section of /what-to-do that fits.
    """

    line: Headline
    known: bool
    more: tuple[str, ...] = ()
    metric: str = ""
    floor: float | None = None
    judged: JudgedPerformance | None = None
    guide: str = ""


def summarise(evaluation: Evaluation) -> Summary | None:
    """Say in a line how well the model does; None if no rule judges performance, or none has yet."""
    every = [(result, judged) for judged in evaluation.performance for result in judged.results]
    verdicts = [(result, judged) for result, judged in every if result.column == COLUMN]
    if not verdicts:
        return None
    result, judged = min(verdicts, key=lambda pair: (ORDER.index(pair[0].state), pair[1].rule.estimated))
    if result.state not in ("drift", "ok") or result.direction is None:
        return Summary(Headline("unknown", _sentence(_why_unknown(result, judged))), False, judged=judged)
    others = [other for other, _ in every if other.state == "drift" and other is not result and other.direction]
    if result.state == "drift":
        alert = evaluation.alerts.get(result.key)
        since = alert.began if alert and alert.state in ("pending", "firing") else None
        line = Headline("drift", f"{_sentence(result.direction.text)}: worse", since)
        guide = guide_section("", result.direction.change)
    else:
        line = Headline("drift" if others else "ok", _as_before(result, judged.measures.get(result.statistic)))
        guide = ""
    metric = result.statistic.removeprefix(ESTIMATED)
    return Summary(line, True, tuple(_also(others)), metric, result.floor, judged, guide)


def _why_unknown(result: DriftResult, judged: JudgedPerformance) -> str:
    if result.state != "insufficient data":
        return result.reason
    text = result.reason if result.reason.startswith("no estimate") else f"Learning: {result.reason}"
    if judged.settle > SOON:
        text += f"; outcomes of the last {words.duration(judged.settle)} are not judged yet"
    return text


def _also(others: Sequence[DriftResult]) -> Iterator[str]:
    """What else is worse, and which outcomes have drifted."""
    if also := [other.direction.text for other in others if other.column == COLUMN and other.direction]:
        yield f"Also worse: {'; '.join(also)}"
    yield from dict.fromkeys(_drifted(other) for other in others if other.column != COLUMN)  # by several statistics


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _drifted(result: DriftResult) -> str:
    what = "What came true" if result.column == "outcome" else "The error"
    text = f"{what} has drifted: {result.direction.text}" if result.direction else ""
    return f"{text}; {result.harm.text}" if result.harm else text


def _as_before(result: DriftResult, live: Measure | None) -> str:
    """Say that a metric is not worse, how it compares with the held-out rows, and what would not have been seen."""
    text, _, was = (result.direction.text if result.direction else "").rpartition(", was ")
    before = result.direction.before if result.direction else None
    change, critical = result.value or 0.0, result.critical or 0.0
    if live is None or before is None or live.low <= before <= live.high:
        how = f"as on the held-out rows ({was})"
    elif change < 0:
        how = f"better than on the held-out rows ({was})"
    elif change <= critical:
        how = f"worse than on the held-out rows ({was}), which may be chance"
    else:
        how = f"worse than on the held-out rows ({was}) by less than the {number(result.floor or 0.0)} that matters"
    unseen = result.reason.rpartition(", ")[2]  # how many they are is said below the line
    return _sentence("; ".join(one for one in (f"{text}, {how}", unseen) if one))


def draw_report(
    report: PerformanceReport, metric: str = "", floor: float | None = None, marks: figure.Marks = figure.NO_MARKS
) -> dict[str, Any]:
    """Draw and list a report. `metric`: the one that is drawn over time; `floor`: the change of it that matters."""
    rows = {row.metric: row for row in report.rows}
    metric = metric if metric in rows else report.main
    before = measure(report.baseline.sums) if report.baseline else {}
    whole = report.whole
    return {
        "report": report,
        "metric": metric,
        "metric_name": _sentence(metric_name(metric)),
        "rows": [row for name, row in rows.items() if "[" not in name],
        "by_class": [row for name, row in rows.items() if "[" in name],
        "over_time": over_time(report, metric, before.get(metric), floor, marks),
        "marks": marks,
        "left_out": any(part.sums.n >= LEAST for part in report.parts)
        and any(0 < part.sums.n < LEAST for part in report.parts),
        "unsettled": any(not part.settled for part in report.parts),
        "estimated": any(metric in part.estimates for part in report.parts),
        "coverage": [_sentence(line) for line in report.coverage],
        "concept": [_sentence(line) for line in report.unexplained],
        "explained": [metric_name(name) for name in report.concept],
        "confusion": confusion(report),
        "reliability": reliability(whole.sums, report.baseline.sums if report.baseline else None),
        "delays": delays(report.delays, report.settle),
        "came": came_true(report),
    }


def over_time(
    report: PerformanceReport,
    metric: str,
    before: Measure | None,
    floor: float | None = None,
    marks: figure.Marks = figure.NO_MARKS,
) -> Markup | None:
    """Draw a metric of each hour or day with its 95 % interval, what was estimated, and what it is compared with.

    Returns None if there is nothing to draw.
    """
    # A part of few outcomes would widen the axis to all there is; all of them are drawn if no part has more.
    parts = report.parts
    least = LEAST if any(part.sums.n >= LEAST for part in parts) else 1
    if not any(metric in part.measures or metric in part.estimates for part in parts):
        return None
    width = parts[0].end - parts[0].start
    lines: dict[str, list[tuple[float, float | None]]] = {"line-estimated": [], "line-live": []}
    band: list[tuple[float, float | None, float | None]] = []
    for part in parts:
        middle = (part.start + part.end) / 2
        for class_, measures in (("line-estimated", part.estimates), ("line-live", part.measures)):
            known = metric in measures and (part.sums.n >= least or measures is part.estimates)
            lines[class_].append((middle, measures[metric].value if known else None))
        if metric in part.measures and part.sums.n >= least:
            low, high = part.measures[metric].low, part.measures[metric].high
            band += [(part.start, low, high), (part.end, low, high), (part.end, None, None)]
    levels = []
    if before is not None:
        floor = floor_of(before) if floor is None else floor
        worst = before.value - floor if before.better == "higher" else before.value + floor
        levels = [
            ("line-ref-level", before.value, f"held-out rows {number(before.value)}"),
            ("line-floor", worst, f"worse from {number(worst)} on"),
        ]
    name = metric_name(metric)
    return figure.time_line(
        f"{name} over time with its 95 % interval, beside the held-out rows",
        parts[0].start,
        max(report.whole.end, parts[-1].end),
        lines,
        band=band,
        marks=marks._replace(nothing=[(part.start, part.end) for part in parts if not part.settled]),
        levels=levels,
        longest=1.5 * width,
        read=[((part.start + part.end) / 2, _reading(part, metric)) for part in parts],
    )


def _reading(part: Period, metric: str) -> str:
    """Text at a part of the chart over time: the metric by outcomes and estimated, and the number of outcomes."""
    every = ("", part.measures), ("estimated ", part.estimates)
    lines = [f"{name}{measured(found[metric])}" for name, found in every if metric in found]
    n = f"{words.counted(part.sums.n, 'outcome')} of {words.counted(part.predictions, 'prediction')}"
    return "\n".join([words.stretch(part.start, part.end), *lines, n + ", more to come" * (not part.settled)])


def confusion(report: PerformanceReport) -> dict[str, Any] | None:
    """What came true by what was predicted, with shares of what came true; None for numbers and without outcomes.

    `rows`: of a matrix; None if there are too many classes. `mistakes`: the most frequent ones, if there is no matrix.
    """
    target, sums = report.target, report.whole.sums
    if not target.classified or not sums.n:
        return None
    names = [*target.classes, "any other"]
    live, held = sums.confusion.sum(axis=0), report.baseline.sums.confusion.sum(axis=0) if report.baseline else None
    now, was = (
        None if cells is None else cells / np.maximum(cells.sum(axis=1, keepdims=True), 1) for cells in (live, held)
    )
    assert now is not None

    def cell(i: int, j: int, top: float = 1.0) -> dict[str, Any]:
        before, share = None if was is None else float(was[i, j]), float(now[i, j])
        drawn = figure.pair(before or 0.0, share, top, live=True)
        pair = {"name": names[i], "predicted": names[j], "n": int(live[i, j]), "share": share}
        return {**pair, "before": before, "drawn": drawn}

    width = len(target.classes)
    if width <= MOST_CLASSES:
        shown = [i for i in range(width + 1) if i < width or live[i].any()]
        every, before = live.sum(axis=1), None if held is None else (held.sum(axis=1) / held.sum()).tolist()
        rows = [
            {
                "name": names[i],
                "cells": [cell(i, j) for j in range(width)],
                "n": int(every[i]),
                "share": float(every[i] / sums.n),
                "before": before and before[i],
            }
            for i in shown
        ]
        return {"predicted": target.classes, "rows": rows, "mistakes": []}
    wrong = live * (np.arange(width) != np.arange(width + 1)[:, None])
    order = np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES].tolist()
    places = [divmod(at, width) for at in order if wrong.flat[at]]
    top = max((side[place] for side in (now, was) if side is not None for place in places), default=1.0)
    return {"predicted": target.classes, "rows": None, "mistakes": [cell(i, j, top) for i, j in places]}


class Reliable(NamedTuple):
    """Rows of one bin of a reliability diagram: their mean probability, and the share of them that came true."""

    expected: float
    came: float
    low: float
    high: float
    n: int


def reliable(sums: Sums) -> list[Reliable]:
    """Bins of a reliability diagram, tenths of the probability; empty without probabilities.

    Of more than two classes the probability is that of the predicted class.
    """
    target = sums.target
    if not target.scores or not target.classified:
        return []
    coarse = sums.coarse(TENTHS)
    if target.kind == "binary":
        known = coarse.confusion[:-1, :2].sum(axis=2)
        rows, came = known.sum(axis=1), known[:, target.positive]
        expected = coarse.binned("p")[:-1]
    else:
        rows, came, expected = (coarse.binned(name)[:-1] for name in ("rows", "right", "p"))
    return [
        Reliable(p / n, hits / n, *wilson(hits, n), round(n))
        for n, hits, p in zip(rows.tolist(), came.tolist(), expected.tolist(), strict=True)
        if n > 0
    ]


def reliability(live: Sums, held: Sums | None) -> Markup | None:
    """Draw which share of the rows came true at each probability; None without probabilities or outcomes."""
    every = reliable(live)
    bins = [one for one in every if one.n >= LEAST] or every
    if not bins:
        return None
    chart = figure.Chart("How often what was predicted with a probability came true", plot=240)
    for level in (0.0, 0.25, 0.5, 0.75, 1.0):
        chart.draw("grid" if level else "base", (0, level), (1, level))
        chart.note(0, level, words.percent(level) if level else "")
    chart.draw("line-critical", (0, 0), (1, 1))
    edge = [(one.expected, one.low) for one in bins] + [(one.expected, one.high) for one in reversed(bins)]
    chart.draw("band", *edge)
    before = reliable(held) if held is not None else []
    for class_, some in (("line-ref", before), ("line-live", bins)):
        if some:
            chart.draw(class_, *((one.expected, one.came) for one in some))
    chart.draw("line-live dots", d="".join(figure.line([(one.expected, one.came)]) for one in bins))
    chart.axis((level, words.percent(level)) for level in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    return chart.markup()


def delays(counts: Counts, settle: float) -> Markup | None:
    """Draw how long outcomes took, on a logarithmic axis, and by when they have settled; None without any."""
    held = np.flatnonzero(counts)
    if not len(held):
        return None
    first, last = max(int(held[0]) - 1, 0), min(int(held[-1]) + 1, len(counts) - 1)
    width, total, top = 1 / (last - first + 1), int(counts.sum()), int(counts.max())
    bars = []
    for place, n in enumerate(counts[first : last + 1].tolist()):
        bars.append(Bar("inside", "", place * width, (place + 1) * width, 0.0, n / total, 0.0, n / top))

    def at(seconds: float) -> float:
        # Bin k ends at 10^(k / 4) seconds.
        return (4 * math.log10(seconds) + 1 - first) * width

    chart = figure.Chart("Outcomes by the time since their prediction", plot=140)
    chart.draw("live", d=figure.outline(bars, "test", 1000, 1000))
    chart.draw("base", (0, 0), (1, 0))
    if settle and settle < DELAYS[-1]:
        chart.draw("gap", (at(settle), 0), (at(settle), 1))
        chart.note(
            at(settle), 1.0, f"95 % within {words.duration(settle)}", "note gap-text", "end" if at(settle) > 0.6 else ""
        )
    chart.axis((at(seconds), text) for seconds, text in DELAY_TICKS.items() if 0 <= at(seconds) <= 1)
    return chart.markup()


def came_true(report: PerformanceReport) -> list[dict[str, Any]]:
    """What came true, and the errors of numbers, over the held-out rows: a histogram or a table for each."""
    columns, out = report.target.columns, []
    if report.baseline is None or not report.whole.sums.n:
        return []
    ends = np.cumsum([column.size for column in columns])[:-1]
    held, live = (np.split(one.column_counts(), ends) for one in (report.baseline.sums, report.whole.sums))
    for column, before, now in zip(columns, held, live, strict=True):
        what = "what came true" if column.name == "outcome" else "prediction minus outcome"
        drawn = over(column, before, now, f"{what}: live over the held-out rows")
        drawn["bins"] = [one for one in drawn["bins"] if one["reference_rows"] or one["test_rows"]]
        out.append({"column": column, "what": _sentence(what), **drawn})
    return out
