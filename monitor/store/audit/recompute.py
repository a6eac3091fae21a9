"""Works stored verdicts out again, from the stored counts, reference and settings: each must be the same number."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from monitor.clock import DAY, HOUR, from_iso
from monitor.columns.batch import Batch
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.result import PARTIAL, DriftResult, Span
from monitor.series import Series
from monitor.store.audit.verify import Problem
from monitor.store.records.performance import judge_again, read_judged
from monitor.store.records.references import accepted_id, load_accepted
from monitor.store.records.usual import in_force
from monitor.store.records.verdicts import read_question
from monitor.store.windows.ranges import KeptSums, first_start, late_windows, list_windows
from monitor.store.windows.rows import load_series

#: Numbers that are kept of windows read a moment ago: verdicts of neighbouring minutes share most of their windows.
CACHE_CELLS = 10_000_000
#: The same number, but for the last digits: another version of a library may add up in another order.
SAME = 1e-12
#: Seconds before a window whose hours say what is usual, and how the statistic of such a verdict begins.
USUAL_REACH, USUAL = 9 * 7 * DAY, "usual "

Row = sqlite3.Row

#: Judges a past window by what was usual then: series, question, statistic, its end, and when it was judged.
Past = Callable[[Series, Question, str, float, float], Sequence[DriftResult]]


@dataclass
class Recomputed:
    """How many verdicts were worked out again, and how many not: their minute windows are gone, or were never noted."""

    verdicts: int = 0
    skipped: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every number came out as stored."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"ok": self.ok, **vars(self), "problems": [problem._asdict() for problem in self.problems]}


def recompute(
    connection: sqlite3.Connection, progress: Callable[[int], object] = bool, past: Past | None = None
) -> Recomputed:
    """Work out again every verdict whose windows still exist. `progress` is told how many verdicts are done.

    `past` judges what was called unusual; without it those verdicts are skipped.
    """
    connection.row_factory = sqlite3.Row
    done, judge = Recomputed(), _Judge(connection, past)
    rows = connection.execute("SELECT * FROM drift ORDER BY id")
    for _, group in groupby(rows, key=_judged_together):
        verdicts = list(group)
        again = judge.again(verdicts)
        if again is None:
            done.skipped += len(verdicts)
        else:
            done.verdicts += len(verdicts)
            done.problems.extend(_differences(verdicts, *again))
        progress(done.verdicts + done.skipped)
    return done


def _judged_together(row: Row) -> tuple[object, ...]:
    window = (row["statistic"], row["window_end"]) if row["statistic"].startswith(USUAL) else ()
    return row["at"], row["question_id"], row["rule"], *window


class _Judge:
    """Judges once more what a rule said of a window. Keeps the series and windows that were read already."""

    def __init__(self, connection: sqlite3.Connection, past: Past | None) -> None:
        self._connection, self._past = connection, past
        self._series: dict[int, tuple[Series, KeptSums]] = {}

    def again(self, rows: Sequence[Row]) -> tuple[Sequence[DriftResult], str] | None:
        """Results for verdicts that were reached together, and the identity of the training data that they must name.

        None if that cannot be worked out any more.
        """
        row = rows[0]
        if row["role"] == "outcome":
            return self._performance(row)
        if row["question_id"] is None:
            return None
        series_id, question = read_question(self._connection, row["question_id"])
        if series_id not in self._series:
            series = load_series(self._connection, series_id)
            self._series[series_id] = series, KeptSums(series, CACHE_CELLS)
        series, _ = self._series[series_id]
        at, span = from_iso(row["at"]), Span(from_iso(row["window_start"]), from_iso(row["window_end"]))
        if row["statistic"].startswith(USUAL):
            reach = Span(span.start - USUAL_REACH, span.end)
            if (
                self._past is None
                or self._pruned(series_id, reach, (DAY,))
                or late_windows(self._connection, series_id, row["seen"], reach.start, reach.end, rolled=True)
            ):
                return None
            results = self._past(series, question, row["statistic"], span.end, at)
            n = {(result.column, result.role): result.n for result in results}
            more = any(n.get((row["column"], row["role"]), 0) > row["n"] for row in rows)
            if more and self._pruned(series_id, span):  # its last hour was rolled up with what was a little late
                return None
            return results, ""
        test, sample = self._sum(series, span, row["seen"]), self._reference(series, rows)
        if test is None or sample is None:
            return None
        rho = in_force(self._connection, series_id, span.end - span.start, at)
        window = Sample(test.counts, test.sums)
        results = evaluate(question, series.layout, sample, window, span, (), series.subject, rho=rho)
        return results, series.reference.identity[:12]

    def _performance(self, row: Row) -> tuple[Sequence[DriftResult], str] | None:
        """Judge once more the sums of outcomes, or the predictions by bin, that were judged then."""
        judged = read_judged(self._connection, row["model"], row["rule"], row["at"])
        if judged is None:
            return None
        series = load_series(self._connection, judged[0])
        return judge_again(series, row["rule"], *judged[1:]), series.reference.identity[:12]

    def _reference(self, series: Series, rows: Sequence[Row]) -> Sample | None:
        """What the verdicts were compared with; None if its windows were pruned."""
        reference = series.reference
        past: Batch | None = Batch(0, reference.counts.copy(), reference.sums.copy())
        accepted = {(row["column"], row["role"]): accepted_id(row["reference"]) for row in rows}
        first, slash, last = rows[0]["reference"].partition("/")
        if slash and not any(accepted.values()):
            past = self._sum(series, Span(from_iso(first), from_iso(last)), rows[0]["seen"])
        if past is None:
            return None
        parts = series.schema.split(past.counts)
        for (column, role), number in accepted.items():
            if number is not None:
                position, period = series.schema.index(column, role), load_accepted(self._connection, number)
                parts[position][:], past.sums[position] = period.counts, period.sum
        return Sample(past.counts, past.sums, reference.deviations)

    def _sum(self, series: Series, span: Span, seen: int) -> Batch | None:
        """Sum of the windows that were there when `seen` was the highest id; None if they were pruned."""
        if self._pruned(series.id, span):
            return None
        windows = list_windows(self._connection, series.id, span.start, span.end)
        return self._series[series.id][1].add_up(self._connection, [window for window in windows if window.id <= seen])

    def _pruned(self, series_id: int, span: Span, tiers: Sequence[int] = (HOUR, DAY)) -> bool:
        """Whether windows of that time have been summed up and dropped."""
        sql = (
            "SELECT 1 FROM windows WHERE series_id = ? AND seconds = ? AND start > ? AND start < ? "
            "AND finest AND children LIMIT 1"
        )
        for seconds in tiers:
            if self._connection.execute(sql, (series_id, seconds, span.start - seconds, span.end)).fetchone():
                return True
        (pruned,) = self._connection.execute("SELECT pruned FROM series WHERE id = ?", (series_id,)).fetchone()
        return bool(pruned) and span.start < first_start(self._connection, series_id)


def _differences(rows: Iterable[Row], results: Iterable[DriftResult], identity: str) -> Iterator[Problem]:
    """What is stored otherwise than it comes out."""
    known = {(result.column, result.role, result.statistic): result for result in results}
    for row in rows:
        where, result = f"drift {row['id']}", known.get((row["column"], row["role"], row["statistic"]))
        if "/" not in row["reference"] and identity not in row["reference"]:
            yield Problem(where, f"was made against {row['reference']}, which the store does not have")
        elif result is None:
            yield Problem(where, "there is no such verdict when it is worked out again")
        else:
            # How much of a window there was when it was judged is not known any more.
            partial = row["reason"].startswith(PARTIAL) and not row["statistic"].startswith(USUAL)
            names = ("n", "m", "floor", *(() if partial else ("state", "value", "critical", "p_value", "scatter")))
            differ = [name for name in names if not _same(row[name], getattr(result, name))]
            if differ:
                stored, again = row[differ[0]], getattr(result, differ[0])
                yield Problem(where, f"{differ[0]} is stored as {stored!r} and comes out as {again!r}")


def _same(stored: object, again: object) -> bool:
    if isinstance(stored, float) and isinstance(again, float):
        return math.isclose(stored, again, rel_tol=SAME, abs_tol=1e-300)
    return stored == again
