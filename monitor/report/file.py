"""The report: one period of the history, judged as a whole, in one file that needs no server and no network."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from monitor import words
from monitor.clock import iso
from monitor.config.load import Config
from monitor.drift.evaluate import Sample, evaluate
from monitor.drift.result import Span
from monitor.evaluation import Evaluation, References, question_of
from monitor.performance import Performance, judged_until, whole_hours
from monitor.performance_report import PerformanceReport, report_performance
from monitor.report import column as column_page
from monitor.report import overview
from monitor.report import performance as performance_page
from monitor.report.overview import Row
from monitor.report.render import STATIC, render
from monitor.rules.cover import cover
from monitor.series import Series
from monitor.store.records import history
from monitor.store.records.alerts import list_events
from monitor.store.records.history import HeatMap
from monitor.store.records.references import served_model
from monitor.store.records.rows import Row as Record
from monitor.store.windows.ranges import sum_range
from monitor.store.windows.rows import unseen_since
from monitor.usual import Judged

#: So many columns get a section of their own, the worst first; a report should still open in a mail program.
MOST_SECTIONS = 60


@dataclass(frozen=True)
class Report:
    """What was found. `rows`: every column, the worst first."""

    series: Series
    span: Span
    made: float
    evaluation: Evaluation
    rows: tuple[Row, ...]
    events: list[Record]
    gaps: list[Record]
    #: None if no rule judges performance.
    performance: PerformanceReport | None = None

    @property
    def predictions(self) -> int:
        """Predictions in the period."""
        return max((judged.test.n for judged in self.evaluation.judged), default=0)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return {
            "made": iso(self.made),
            **self.span.to_json(),
            "model_version": self.series.version,
            "reference": self.series.reference.identity,
            "predictions": self.predictions,
            "columns": [overview.record(row) for row in self.rows],
            "results": [result.to_json() for result in self.evaluation.results],
            "alert_events": self.events,
            "gaps": self.gaps,
            "performance": self.performance.to_json() if self.performance else None,
        }


def gather(connection: sqlite3.Connection, config: Config, span: Span, now: float, model: str | None = None) -> Report:
    """Judge a period of the history by every rule, against what the rule compares with. Raises StoreError.

    Of `model`, or what was served last.
    """
    series = served_model(connection, model)
    rules, judge = [rule for rule in config.rules if rule.performance], Performance(series)
    found = report_performance(connection, series, span.start, span.end, now) if rules else None
    settle = found.settle if found else 0.0
    ends = [max(span.start, min(span.end, judged_until(rule, now, settle))) for rule in rules]
    ripe = [whole_hours(Span(span.start, end)) for end in ends]
    performance = tuple(judge.look(connection, *one, settle)[0] for one in zip(rules, ripe, strict=True))
    evaluation = Evaluation(now, tuple(_judge(connection, series, config, span)), performance=performance)
    start, end = iso(span.start), iso(span.end)
    events = [event for event in list_events(connection, series.subject, most=1000) if start <= event["at"] <= end]
    gaps = [gap for gap in history.gaps(connection, 1000) if gap["start"] <= end and gap["end"] >= start]
    return Report(
        series, span, now, evaluation, tuple(overview.rows(evaluation, series.reference)), events, gaps, found
    )


def _judge(connection: sqlite3.Connection, series: Series, config: Config, span: Span) -> Iterator[Judged]:
    layout, covers, references = series.layout, cover(config.rules, series.schema), References(series)
    test, unseen = sum_range(connection, series, span.start, span.end), unseen_since(connection, series, span.start)
    for rule in (rule for rule in config.rules if rule.fixed):
        sample, names = references.find(connection, rule)
        question = question_of(rule, covers[rule.name])
        live = Sample(test.counts, test.sums)
        results = evaluate(question, layout, sample, live, span, names, series.subject, unseen)
        yield Judged(rule, span, test, sample, results)


def to_html(connection: sqlite3.Connection, report: Report, config: Config) -> str:
    """Write the report as one self-contained page."""
    span, reference = report.span, report.series.reference
    seconds = max(int(span.end - span.start), 1)
    length = history.cell_length(seconds, config.drift.every)
    cells = HeatMap().read(connection, report.series.subject, span.end, seconds, length)
    found, said = report.performance, performance_page.said(report.evaluation)
    when = f"from {words.date_time(span.start)} to {words.date_time(span.end)}"

    def listed(place: int, row: Row) -> tuple[Row, str, Markup, str]:
        figure = overview.draw(row, reference) if place < overview.MOST_FIGURES else ""
        return row, figure, overview.strip(row, cells), f"#c{row.position}" if place < MOST_SECTIONS else ""

    def section(row: Row) -> dict[str, Any]:
        facts = column_page.over_time(connection, row, report.series, config, span.start, span.end)
        return {"row": row, "shown": column_page.histograms(row, reference), **facts}

    return render(
        "report.html",
        css=Markup((STATIC / "page.css").read_text("utf-8")),  # noqa: S704 - a file of ours
        report=report,
        now=None,  # the file is read on another day
        when=when,
        headline=overview.headline(report.rows, report.evaluation, config.drift.every, when),
        performance=said,
        p=found and performance_page.shown(found, *((said.metric, said.floor) if said else ())),
        reference=reference,
        rows=[listed(place, row) for place, row in enumerate(report.rows)],
        sections=[section(row) for row in report.rows[:MOST_SECTIONS]],
        left_out=max(0, len(report.rows) - MOST_SECTIONS),
        cell=length,
        rules=config.rules,
    )
