"""One question over many test windows at once: the verdicts that `evaluate` gives, window by window, but much faster.

Most windows of the past are quiet. So all are measured in one pass, which tells where a drift is possible; results are
made, with their critical values, only for stretches that somebody asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Counts, Floats, Mask
from monitor.drift.evaluate import Question, Sample, evaluate, floors_of, nullable, statistics_for, verdicts
from monitor.drift.layout import Layout, Rows
from monitor.drift.result import NOTHING, DriftResult, Span, Subject
from monitor.drift.statistics import CORRELATION, STATISTICS, Measured

#: Windows that are measured at once, so that all that is computed on the way fits into the processor's cache.
CHUNK = 512

#: Windows for which results are made at once: who needs one mostly needs the next.
AHEAD = 32


@dataclass(frozen=True)
class _Part:
    statistic: str
    rows: Rows
    measured: Measured
    value: Floats
    n: Floats
    m: Floats
    rows_in_window: Floats
    floor: Floats
    known: Mask


class Answers:
    """Answers to one question about T windows.

    `tests`: counts, shape (T, schema.size); `sums`: (T, columns). `references`: counts of one reference, shape
    (schema.size,), or of one for each window, (T, schema.size); `reference_sums` likewise. `spans`: of each window;
    `names`: of each, what its columns are compared with, by position; `partial`: why it is not judged, "" if it is.
    `rho`: how alike the rows of each are, (T, columns, 3).
    Directions and contributions are left out of results: see `describe`.
    """

    def __init__(
        self,
        question: Question,
        layout: Layout,
        references: Counts,
        reference_sums: Floats,
        deviations: Floats,
        tests: Counts,
        sums: Floats,
        spans: list[Span],
        names: Sequence[Sequence[str]],
        subject: Subject,
        partial: Sequence[str] = (),
        rho: Floats | None = None,
    ) -> None:
        self.question, self._layout, self._deviations = question, layout, deviations
        self._references = references, reference_sums
        self._tests, self._sums, self._spans, self._names = tests, sums, spans, names
        self._subject = subject
        self._rho = None if question.independent else rho
        self._partial = list(partial) or [""] * len(tests)
        self._whole = np.array([not reason for reason in self._partial], dtype=np.bool_)
        self._made: dict[int, tuple[DriftResult, ...]] = {}
        #: Number of results of each window, and how many of them have a verdict, shape (T,).
        self.size = sum(len(statistics_for(question, layout.schema.columns[row].kind)) for row in question.columns)
        self.judged = np.zeros(len(tests), dtype=np.int64)
        #: Windows in which any column may have drifted, shape (T,).
        self.loud = np.zeros(len(tests), dtype=np.bool_)
        for begin in range(0, len(tests), CHUNK):
            chosen = slice(begin, begin + CHUNK)
            parts = self._measure(chosen)
            level = _levels(parts, question.alpha)[:, None] * (1 + 1e-6)  # the critical value decides, not rounding
            for part in parts:
                self.judged[chosen] += part.known.sum(axis=-1)
                above = part.known & (part.measured.p_value <= level) & (part.value > part.floor)
                self.loud[chosen] |= above.any(axis=-1)

    def results(self, window: int) -> tuple[DriftResult, ...]:
        """Results for one window, in the order of the question's columns."""
        if window not in self._made:
            self._made.clear()
            self._make(slice(window, min(window + AHEAD, len(self._tests))))
        return self._made[window]

    def describe(self, window: int, result: DriftResult) -> str:
        """Which way a result's column moved, in words."""
        position = self._layout.schema.index(result.column, result.role)
        question = Question("", (position,), result.statistic, min_samples=1)
        counts, sums = self._reference(window)
        reference = Sample(counts, sums, self._deviations)
        test = Sample(self._tests[window], self._sums[window])
        (found,) = evaluate(question, self._layout, reference, test, result.window)
        return found.direction.text if found.direction else ""

    def _reference(self, window: int) -> tuple[Counts, Floats]:
        counts, sums = self._references
        return (counts, sums) if counts.ndim == 1 else (counts[window], sums[window])

    def _measure(self, chosen: slice) -> list[_Part]:
        question, layout, parts = self.question, self._layout, []
        references, sums = self._references
        if references.ndim > 1:
            references, sums = references[chosen], sums[chosen]
        for numeric in (True, False):
            rows = layout.rows(question.columns, numeric=numeric)
            if not rows.size:
                continue
            pair = layout.pair(references, self._tests[chosen], self._deviations, rows, (sums, self._sums[chosen]))
            for name in statistics_for(question, "numeric" if numeric else "categorical"):
                counted = pair
                if self._rho is not None:
                    counted = pair.thin(self._rho[chosen][:, rows, CORRELATION[name]])
                one = STATISTICS[name].measure(counted)
                shape = one.value.shape
                value, n, m = np.abs(one.value), np.broadcast_to(one.n, shape), np.broadcast_to(one.m, shape)
                known = (n >= max(question.min_samples, 1)) & (m >= 1) & np.isfinite(value) & self._whole[chosen, None]
                floors = floors_of(question, name, one)
                parts.append(_Part(name, rows, one, value, n, m, pair.sizes[0], floors, known))
        return parts

    def _make(self, chosen: slice) -> None:
        """Make the results of a stretch of windows."""
        parts = self._measure(chosen)
        levels = _levels(parts, self.question.alpha)
        made: dict[tuple[int, str], list[DriftResult]] = {}
        for part in parts:
            critical = np.zeros(part.value.shape)
            for level in np.unique(levels):
                same = levels == level
                critical[same] = np.broadcast_to(part.measured.critical(float(level)), critical.shape)[same]
            for i, row in enumerate(part.rows.tolist()):
                made[row, part.statistic] = self._column(chosen.start, part, i, row, critical[:, i])
        order = [
            made[row, name]
            for row in self.question.columns
            for name in statistics_for(self.question, self._layout.schema.columns[row].kind)
        ]
        for k in range(len(levels)):
            self._made[chosen.start + k] = tuple(column[k] for column in order)

    def _column(self, first: int, part: _Part, i: int, row: int, critical: Floats) -> list[DriftResult]:
        """Results of one column and statistic over a stretch of windows that begins with window `first`."""
        column, k = self._layout.schema.columns[row], slice(first, first + len(critical))
        value, floors, known = part.value[:, i], part.floor[:, i], part.known[:, i]
        states, reasons = verdicts(value, critical, floors)
        values, criticals = nullable(value), nullable(critical)
        p_values = nullable(np.broadcast_to(part.measured.p_value, part.value.shape)[:, i])
        for at in np.flatnonzero(~known).tolist():
            rows = part.rows_in_window[at, i]
            states[at] = "no reference" if part.m[at, i] < 1 else "insufficient data" if rows else "no traffic"
            reasons[at] = self._partial[first + at] if states[at] == "insufficient data" else ""
            values[at] = criticals[at] = p_values[at] = None
        return DriftResult.rows(
            repeat(self.question.name),
            repeat(column.name),
            repeat(column.role),
            repeat(column.kind),
            repeat(part.statistic),
            states,
            self._spans[k],
            [names[row] for names in self._names[k]],
            repeat(self._subject.version),
            part.n[:, i].astype(np.int64).tolist(),
            part.m[:, i].astype(np.int64).tolist(),
            values,
            criticals,
            floors.tolist(),
            p_values,
            reasons,
            repeat(NOTHING),
            repeat(self._subject.model),
            repeat(self._subject.series),
            repeat(None),
        )


def _levels(parts: list[_Part], alpha: float) -> Floats:
    """Holm's level of each window, shape (T,): `holm_level` of its p-values that can be tested.

    A statistic without a verdict takes no part of alpha, nor does one that could not come out significant.
    """
    if not parts:
        return np.zeros(0)
    p_values = [
        np.where(part.known & np.broadcast_to(part.measured.testable, part.value.shape), part.measured.p_value, np.inf)
        for part in parts
    ]
    ordered = np.sort(np.concatenate(p_values, axis=-1), axis=-1)
    total = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    left: npt.NDArray[np.int64] = total - np.arange(ordered.shape[-1])
    passed = ordered <= alpha / np.maximum(left, 1)
    rejected = np.cumprod(passed, axis=-1).sum(axis=-1)
    out: Floats = alpha / np.maximum(total[:, 0] - rejected, 1)
    return out
