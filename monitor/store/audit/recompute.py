"""Works stored verdicts out again, from the stored counts, reference and settings: each must be the same number."""

from __future__ import annotations

import math
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from monitor.clock import from_iso
from monitor.columns.batch import Batch, empty_batch
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import PARTIAL, DriftResult, Span
from monitor.series import Series
from monitor.store.audit.verify import Problem
from monitor.store.records.correlation import in_force
from monitor.store.records.references import accepted_id, load_accepted
from monitor.store.records.verdicts import read_question
from monitor.store.windows.ranges import DAY, HOUR, first_start, list_windows, sum_tiles
from monitor.store.windows.rows import load_series

#: Numbers that are kept of windows read a moment ago: verdicts of neighbouring minutes share most of their windows.
CACHE_CELLS = 10_000_000

#: The same number, but for the last digits, where another version of a library adds up in another order.
SAME = 1e-12

Row = sqlite3.Row


@dataclass
class Recomputed:
    """How it went. `verdicts` were worked out again; of `skipped` ones the minute windows are gone, or never noted."""

    verdicts: int = 0
    skipped: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every number came out as stored."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        problems = [problem._asdict() for problem in self.problems]
        return {"ok": self.ok, "verdicts": self.verdicts, "skipped": self.skipped, "problems": problems}


#: Judges a past window by what was usual then: series, question, statistic, its end, and when it was judged.
Past = Callable[[Series, Question, str, float, float], Sequence[DriftResult]]

#: Seconds before a window whose hours say what is usual.
USUAL_REACH = 9 * 7 * DAY


def recompute(
    connection: sqlite3.Connection, progress: Callable[[int], object] = bool, past: Past | None = None
) -> Recomputed:
    """Work out again every verdict whose windows still exist. `progress` is told how many verdicts are done.

    `past` judges what was called unusual; without it those verdicts are skipped.
    """
    connection.row_factory = sqlite3.Row
    done, known = Recomputed(), _AllSeries(connection)
    rows = connection.execute("SELECT * FROM drift ORDER BY id")
    for key, group in groupby(rows, key=lambda row: (row["at"], row["question_id"], row["rule"])):
        verdicts = list(group)
        if verdicts[0]["statistic"].startswith("usual "):
            _usual_again(known, verdicts, past, done)
            continue
        again = None if key[1] is None else _again(known, verdicts)
        if again is None:
            done.skipped += len(verdicts)
        else:
            done.verdicts += len(verdicts)
            done.problems.extend(_differences(verdicts, *again))
        progress(done.verdicts + done.skipped)
    return done


class _AllSeries:
    """Models and windows that were read already."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._known: dict[int, tuple[Series, Layout]] = {}
        self._windows: OrderedDict[int, Batch] = OrderedDict()

    def series(self, series_id: int) -> tuple[Series, Layout]:
        if series_id not in self._known:
            series = load_series(self.connection, series_id)
            self._known[series_id] = series, Layout(series.schema)
        return self._known[series_id]

    def sum(self, series: Series, span: Span, seen: int) -> Batch | None:
        """Sum of the windows that were there when `seen` was the highest id; None if they were pruned."""
        if self.pruned(series.id, span):
            return None
        total = empty_batch(series.schema)
        for window in list_windows(self.connection, series.id, span.start, span.end):
            if window.id > seen:
                continue
            batch = self._windows.get(window.id)
            if batch is None:
                batch = self._windows[window.id] = sum_tiles(self.connection, series, [window])
                if len(self._windows) > max(1, CACHE_CELLS // series.schema.size):
                    self._windows.popitem(last=False)
            total = total.plus(batch)
        return total

    def late(self, series_id: int, span: Span, seen: int) -> bool:
        """Whether predictions of that time came after `seen` was the highest id."""
        found = self.connection.execute(
            "SELECT 1 FROM windows WHERE series_id = ? AND id > ? AND NOT children "
            "AND start >= ? AND start < ? LIMIT 1",
            (series_id, seen, math.ceil(span.start), math.ceil(span.end)),
        )
        return found.fetchone() is not None

    def pruned(self, series_id: int, span: Span, tiers: Sequence[int] = (HOUR, DAY)) -> bool:
        """Whether windows of that time have been summed up and dropped."""
        sql = (
            "SELECT 1 FROM windows WHERE series_id = ? AND seconds = ? AND start > ? AND start < ? "
            "AND finest AND children LIMIT 1"
        )
        for seconds in tiers:
            if self.connection.execute(sql, (series_id, seconds, span.start - seconds, span.end)).fetchone():
                return True
        (pruned,) = self.connection.execute("SELECT pruned FROM series WHERE id = ?", (series_id,)).fetchone()
        return bool(pruned) and span.start < first_start(self.connection, series_id)


def _usual_again(known: _AllSeries, rows: Sequence[Row], past: Past | None, done: Recomputed) -> None:
    """Work out again what was called unusual, or not, at one evaluation."""
    windows: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        windows.setdefault((row["statistic"], row["window_end"]), []).append(row)
    for (statistic, text), verdicts in windows.items():
        end, first = from_iso(text), verdicts[0]
        series_id, question = read_question(known.connection, first["question_id"])
        series, _ = known.series(series_id)
        span = Span(from_iso(first["window_start"]) - USUAL_REACH, end)
        if past is None or known.pruned(series_id, span, (DAY,)) or known.late(series_id, span, first["seen"]):
            done.skipped += len(verdicts)
            continue
        done.verdicts += len(verdicts)
        results = past(series, question, statistic, end, from_iso(first["at"]))
        done.problems.extend(_differences(verdicts, results, ""))


def _again(known: _AllSeries, rows: Sequence[Row]) -> tuple[tuple[DriftResult, ...], str] | None:
    """Answer once more what was answered in an evaluation by one rule, with the identity of its reference.

    None if that cannot be done any more.
    """
    row = rows[0]
    series_id, question = read_question(known.connection, row["question_id"])
    series, layout = known.series(series_id)
    span = Span(from_iso(row["window_start"]), from_iso(row["window_end"]))
    test = known.sum(series, span, row["seen"])
    reference = series.reference
    past: Batch | None = Batch(0, reference.counts.copy(), reference.sums.copy())
    accepted = {(one["column"], one["role"]): accepted_id(one["reference"]) for one in rows}
    first, slash, last = row["reference"].partition("/")
    if slash and not any(accepted.values()):
        past = known.sum(series, Span(from_iso(first), from_iso(last)), row["seen"])
    if test is None or past is None:
        return None
    parts = series.schema.split(past.counts)
    for (column, role), number in accepted.items():
        if number is not None:
            position, period = series.schema.index(column, role), load_accepted(known.connection, number)
            parts[position][:], past.sums[position] = period.counts, period.sum
    sample = Sample(past.counts, past.sums, reference.deviations)
    window = Sample(test.counts, test.sums)
    rho = in_force(known.connection, series_id, span.end - span.start, from_iso(row["at"]))
    return evaluate(question, layout, sample, window, span, (), series.subject, rho=rho), reference.identity


def _differences(rows: Iterable[Row], results: Iterable[DriftResult], identity: str) -> Iterable[Problem]:
    """What is stored otherwise than it comes out."""
    known = {(result.column, result.role, result.statistic): result for result in results}
    for row in rows:
        if identity and "/" not in row["reference"] and identity[:12] not in row["reference"]:
            yield Problem(f"drift {row['id']}", f"was made against {row['reference']}, which the store does not have")
            continue
        result = known.get((row["column"], row["role"], row["statistic"]))
        if result is None:
            yield Problem(f"drift {row['id']}", "there is no such verdict when it is worked out again")
            continue
        # How much of a window there was when it was judged is not known any more.
        partial = row["reason"].startswith(PARTIAL) and not row["statistic"].startswith("usual ")
        for name in ("n", "m", "floor") if partial else ("state", "n", "m", "value", "critical", "floor", "p_value"):
            stored, again = row[name], getattr(result, name)
            if not _same(stored, again):
                yield Problem(f"drift {row['id']}", f"{name} is stored as {stored!r} and comes out as {again!r}")
                break


def _same(stored: object, again: object) -> bool:
    if isinstance(stored, float) and isinstance(again, float):
        return math.isclose(stored, again, rel_tol=SAME, abs_tol=1e-300)
    return stored == again
