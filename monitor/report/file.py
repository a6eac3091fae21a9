"""The report: one period of the history, judged as a whole, in one file that needs no server and no network.

A comparison of two tables (`frames`) is a report without a period.
"""

from __future__ import annotations

import math
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from monitor import __version__, words
from monitor.clock import iso
from monitor.columns.column import Schema
from monitor.config.load import Config
from monitor.drift.result import DriftResult, Span
from monitor.errors import DataError
from monitor.judging.evaluation import Evaluation, References, judge_fixed
from monitor.judging.performance import Performance, judged_until, whole_hours
from monitor.judging.performance_report import PerformanceReport, report_performance
from monitor.judging.usual import Judged
from monitor.reference.file import write_atomically
from monitor.report import column as column_page
from monitor.report import fired, overview
from monitor.report import performance as performance_page
from monitor.report.overview import Headline, Row
from monitor.report.render import STATIC, render
from monitor.rules.cover import cover, explain
from monitor.rules.rule import Rule
from monitor.series import Series
from monitor.store.records import history
from monitor.store.records.history import HeatMap
from monitor.store.records.rows import Row as Record
from monitor.store.windows.ranges import list_windows, sum_range
from monitor.store.windows.rows import list_gaps, load_version, predictions_of_others

#: Columns that get a section of their own at most, the worst first; a report should still open in a mail program.
MOST_SECTIONS = 60


#: What `to_frame` has of each column; `moved`: which way, in words, `harm`: what that does to the model.
FIELDS = ("column", "role", "kind", "state", "statistic", "value", "critical", "floor", "p_value", "n", "m")

#: Columns that the text of a report lists at most.
MOST_LISTED = 20


@dataclass(frozen=True, repr=False)
class Report:
    """What was found: a notebook shows its page, `print` a short table of what differs.

    `rows`: every column, the worst first. `span`: the period that was judged; None if two tables were compared.
    `waiting`: predictions that count here and are in a window that has not ended. `page`: all of it as HTML.
    """

    series: Series
    evaluation: Evaluation
    rows: tuple[Row, ...]
    headline: Headline
    made: float
    span: Span | None = None
    gaps: list[Record] = field(default_factory=list)
    #: Alerts of the period, see `fired.read_alerts`; what was accepted and reset in it; predictions of other versions.
    alerts: list[dict[str, Any]] = field(default_factory=list)
    changes: list[Record] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    #: What judged, a sentence each.
    settings: tuple[str, ...] = ()
    #: None if no rule judges performance.
    performance: PerformanceReport | None = None
    waiting: int = 0
    page: str = ""

    @property
    def predictions(self) -> int:
        """Predictions in the period, or rows of the second table."""
        return max((judged.test.n for judged in self.evaluation.judged), default=0)

    @property
    def drifted(self) -> list[str]:
        """Names of the columns that drifted, the worst first."""
        return [row.column.name for row in self.rows if row.state == "drift"]

    @property
    def open_window(self) -> str:
        """Say how many predictions are in a window that has not ended; "" if none is."""
        if not self.waiting:
            return ""
        of = words.counted(self.waiting, "prediction")
        return f"{of} {'is' if self.waiting == 1 else 'are'} in a window that has not ended, and counted here"

    def __repr__(self) -> str:
        texts = (self.headline.text, self.headline.more.removesuffix("."), self.open_window)
        lines = [f"{'. '.join(text for text in texts if text)}."]
        results = [row.result for row in self.rows if row.result and row.state in ("drift", "warning", "error")]
        if results:
            head = ("column", "state", "statistic", "value", "critical", "n", "m", "what moved")
            cells = [_cells(result) for result in results[:MOST_LISTED]]
            lines += words.table(head, cells, right=range(3, 7))
        more = len(results) - MOST_LISTED
        return "\n".join([*lines, f"and {more} more"] if more > 0 else lines)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, where its style touches nothing of the notebook, and nothing runs."""
        style = "width: 100%; height: 40em; border: 0; resize: vertical"
        page = self.page.replace("<head>", '<head><base href="about:srcdoc">', 1)  # or its links lead to the notebook
        return f'<iframe title="Report" sandbox style="{style}" srcdoc="{escape(page)}"></iframe>'

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page as a file, which needs nothing else."""
        write_atomically(Path(path), self.page.encode())

    def to_frame(self) -> Any:
        """Return a frame of pandas, a row for each column, the worst first. Raises DataError without pandas."""
        try:
            import pandas as pd
        except ImportError:
            raise DataError("to_frame needs pandas: pip install pandas; to_dict needs nothing") from None
        records = [
            {**overview.record(row), "moved": row.moved, "harm": row.harm.effect if row.harm else None}
            for row in self.rows
        ]
        return pd.DataFrame(records, columns=[*FIELDS, "moved", "harm"])

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, as `telltale report --format json` writes it."""
        period = {**self.span.to_json(), "waiting": self.waiting} if self.span else {}
        return {
            "made": iso(self.made),
            "telltale_version": __version__,
            **period,
            "model": self.series.model,
            "model_version": self.series.version,
            "reference": self.series.reference.identity,
            "predictions": self.predictions,
            "columns": [overview.record(row) for row in self.rows],
            "results": [result.to_json() for result in self.evaluation.results],
            "alerts": self.alerts,
            "reference_changes": self.changes,
            "gaps": self.gaps,
            "other_versions": self.others,
            "settings": self.settings,
            "performance": self.performance.to_json() if self.performance else None,
        }


def _cells(one: DriftResult) -> tuple[str, ...]:
    numbers = words.statistic(one.value), words.statistic(one.critical), words.count(one.n), words.count(one.m)
    return one.column, one.state, one.statistic, *numbers, one.direction.text if one.direction else one.reason


def gather(connection: sqlite3.Connection, config: Config, span: Span, now: float, model: str | None = None) -> Report:
    """Judge a period of the history by every rule, against what the rule compares with. Raises StoreError.

    Of `model`, or what was served last.
    """
    series = load_version(connection, model=model)
    rules, judge = [rule for rule in config.rules if rule.performance], Performance(series)
    report = report_performance(connection, series, span.start, span.end, now) if rules else None
    settle = report.settle if report else 0.0
    ends = [max(span.start, min(span.end, judged_until(rule, now, settle))) for rule in rules]
    ripe = [whole_hours(Span(span.start, end)) for end in ends]
    performance = tuple(judge.judge_window(connection, *one, settle)[0] for one in zip(rules, ripe, strict=True))
    evaluation = Evaluation(now, tuple(_judge(connection, series, config, span, now)), performance=performance)
    start, end = iso(span.start), iso(span.end)
    gaps = list_gaps(connection, span.start, span.end, 1000)
    begun = max(span.start, math.floor(now / config.window.base) * config.window.base)
    waiting = sum(window.n for window in list_windows(connection, series.id, begun, span.end))
    listed = tuple(overview.rows(evaluation, series.reference))
    headline = overview.headline(listed, evaluation, config.drift.every, words_of(span))
    return Report(
        series,
        evaluation,
        listed,
        headline,
        now,
        span,
        gaps,
        alerts=fired.read_alerts(connection, series.subject, config, span),
        changes=[one for one in fired.changes_of(connection, series.subject) if start <= one["at"] <= end],
        others=predictions_of_others(connection, series.subject, span.start, span.end),
        settings=(_judging(config), *explained(config.rules, series.schema)),
        performance=report,
        waiting=waiting,
    )


def _judging(config: Config) -> str:
    """Say how often verdicts were worked out, and on what; the rules say the rest."""
    drift = config.drift
    quiet = ", ".join(f"{iso(start)} to {iso(end)}" for start, end in drift.quiet) or "none"
    return (
        f"Settings of {config.file} when the report was made: judged every {words.duration(drift.every)} on closed "
        f"windows of {words.duration(config.window.base)}; hours of the week in {drift.timezone}; quiet days: {quiet}."
    )


def explained(rules: Sequence[Rule], schema: Schema) -> list[str]:
    """Say what each rule does, with its window, thresholds and columns."""
    return [explain(rule, schema, rules) for rule in rules]


def words_of(span: Span) -> str:
    """Say from when to when a period is."""
    return f"from {words.date_time(span.start)} to {words.date_time(span.end)}"


def _judge(connection: sqlite3.Connection, series: Series, config: Config, span: Span, now: float) -> Iterator[Judged]:
    covers, references = cover(config.rules, series.schema), References(series)
    test = sum_range(connection, series, span.start, span.end)
    for rule in config.rules:
        if rule.fixed:
            yield judge_fixed(connection, references, rule, covers[rule.name], span, test, now)


def to_html(
    connection: sqlite3.Connection, report: Report, config: Config, progress: Callable[[int], object] = bool
) -> str:
    """Write the report of a period as one self-contained page. `progress` is called for each column that is drawn."""
    span, found = report.span, report.performance
    assert span is not None
    start = max(span.start, min(history.begins(connection, report.series.model), span.end - 60.0))
    length = history.cell_length(span.end - start, config.drift.every)
    cells = HeatMap().read(connection, report.series.subject, start, span.end, length)

    def over(row: overview.Row) -> Any:
        progress(1)
        return column_page.over_time(connection, row, report.series, config, start, span.end)

    performance = performance_page.summarise(report.evaluation)
    drawn = (performance.metric, performance.floor) if performance else ()
    facts = f"{words.counted(report.predictions, 'prediction')} {words_of(span)}", report.open_window
    return draw(
        report,
        title=f"Report on {report.series.subject.title}",
        lead=". ".join(text for text in facts if text),
        when=words_of(span),
        last=("Verdicts at the time", lambda row: overview.strip(row, cells)),
        over=over,
        performance=performance,
        p=found and performance_page.draw_report(found, *drawn),
        cell=length,
    )


def draw(
    report: Report,
    *,
    last: tuple[str, Callable[[Row], Markup | str]],
    over: Callable[[Row], Mapping[str, Any]],
    **context: Any,
) -> str:
    """Fill the page of a report. `last`: the last column of its table; `over`: what a column's section has of time."""
    reference = report.series.reference

    def listed(place: int, row: Row) -> tuple[Row, str, Markup | str, str]:
        figure = overview.draw(row, reference) if place < overview.MOST_FIGURES else ""
        return row, figure, last[1](row), f"#c{row.position}" if place < MOST_SECTIONS else ""

    def section(row: Row) -> dict[str, Any]:
        return {"row": row, "shown": column_page.histograms(row, reference), **over(row)}

    page = render(
        "report.html",
        css=Markup((STATIC / "page.css").read_text("utf-8")),  # noqa: S704 - a file of ours
        report=report,
        now=None,  # the file is read on another day
        telltale=__version__,
        against=overview.against_what,
        headline=report.headline,
        reference=reference,
        last=last[0],
        rows=[listed(place, row) for place, row in enumerate(report.rows)],
        sections=[section(row) for row in report.rows[:MOST_SECTIONS]],
        left_out=max(0, len(report.rows) - MOST_SECTIONS),
        **context,
    )
    page = re.sub(r'(?s)<g class="read">.*?</g>', "", page)  # the values at each point would be most of the file
    return page.replace('href="/help#', 'href="#').replace(' tabindex="0"', "")  # the file has the words, too
