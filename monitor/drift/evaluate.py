"""From two count vectors to verdicts: one `DriftResult` per column and statistic that a rule asks for.

Pure: no clock, no store, no state. The probability that one evaluation of a rule names ANY column although nothing
drifted is at most `alpha`: it is shared out by Holm's procedure over all tests of the evaluation
(docs/decisions/0002-alpha-over-columns.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.drift.direction import direction, share_direction, shifts
from monitor.drift.layout import Layout, Mask, Rows
from monitor.drift.result import Direction, DriftResult, Shift, Span, State
from monitor.drift.share_alpha import holm_level
from monitor.drift.statistics import AUTO, STATISTICS, Measured
from monitor.window.columns import Counts, Floats

#: A significant value above this part of its floor is a `warning`; below it the change is real but too small to tell.
WARNING_PART = 0.5


@dataclass(frozen=True, slots=True)
class Question:
    """What one rule asks of an evaluation.

    `columns`: indices into the schema. `statistic`: a name from `STATISTICS`, "auto", or "all". A statistic that does
    not fit a column's kind is left out for it. `floor`: None means each statistic's own.
    """

    name: str
    columns: tuple[int, ...]
    statistic: str = "auto"
    alpha: float = 0.00015
    floor: float | None = None
    min_samples: int = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """Counts and sums of one stretch of data, as a reference or as a test window.

    `counts`: shape (schema.size,). `sums`: shape (columns,), over finite values. `deviations`: shape (columns,),
    standard deviations; only the reference's are read.
    """

    counts: Counts
    sums: Floats
    deviations: Floats | None = None


@dataclass(frozen=True, slots=True)
class _Test:
    """One statistic over the columns it was measured for, before alpha is shared out."""

    statistic: str
    rows: Rows
    measured: Measured
    states: list[State | None]
    reasons: list[str]

    @property
    def open(self) -> Floats:
        """The p-values that alpha is shared out over: of columns without a state yet that can be tested at all."""
        chosen = [i for i, state in enumerate(self.states) if state is None and self.measured.testable[i]]
        out: Floats = self.measured.p_value[chosen]
        return out


def statistics_for(question: Question, kind: str) -> tuple[str, ...]:
    """Names of the statistics that a question measures for a column of this kind.

    >>> statistics_for(Question("r", (0,)), "numeric"), statistics_for(Question("r", (0,), "ks"), "categorical")
    (('ks', 'missing'), ())
    """
    if question.statistic == "auto":
        return AUTO["numeric" if kind == "numeric" else "categorical"]
    names = STATISTICS if question.statistic == "all" else (question.statistic,)
    return tuple(name for name in names if kind in STATISTICS[name].kinds)


def evaluate(
    question: Question,
    layout: Layout,
    reference: Sample,
    test: Sample,
    window: Span,
    reference_name: str = "training",
    model_version: str = "",
) -> tuple[DriftResult, ...]:
    """Answer one question: a result per column and statistic, in the order of the question's columns.

    Raises KeyError for a statistic that does not exist and ValueError for vectors that are not of the schema's size.
    Bad numbers in one column make that column an `error` and touch no other.
    """
    if question.statistic not in ("auto", "all", *STATISTICS):
        raise KeyError(question.statistic)
    size, width = layout.schema.size, len(layout.schema.columns)
    if reference.counts.shape != (size,) or test.counts.shape != (size,):
        raise ValueError(f"counts have shapes {reference.counts.shape} and {test.counts.shape}, not ({size},)")
    deviations = reference.deviations if reference.deviations is not None else np.full(width, np.nan)
    tests = _measure(question, layout, reference.counts, test.counts, deviations)
    open_tests = np.concatenate([one.open for one in tests]) if tests else np.zeros(0)
    level = holm_level(open_tests, question.alpha) if open_tests.size else question.alpha
    describe = _Describer(layout, reference, test, deviations)
    results: dict[tuple[int, str], DriftResult] = {}
    for one in tests:
        floor = STATISTICS[one.statistic].floor if question.floor is None else question.floor
        critical = one.measured.critical(level).tolist()
        floors = (floor * np.broadcast_to(one.measured.floor_unit, one.rows.shape)).tolist()
        values, p_values = one.measured.value.tolist(), one.measured.p_value.tolist()
        n, m = one.measured.n.tolist(), one.measured.m.tolist()
        for i, row in enumerate(one.rows.tolist()):
            column = layout.schema.columns[row]
            state, reason = one.states[i], one.reasons[i]
            known = state is None
            if state is None:
                state, reason = verdict(abs(values[i]), critical[i], floors[i])
            moved, named = describe(row, one, i) if known else (None, ())
            results[row, one.statistic] = DriftResult(
                question.name,
                column.name,
                column.role,
                column.kind,
                one.statistic,
                state,
                window,
                reference_name,
                model_version,
                int(n[i]),
                int(m[i]),
                abs(values[i]) if known else None,
                critical[i] if known else None,
                floors[i],
                p_values[i] if known else None,
                moved,
                named,
                reason,
            )
    return tuple(
        results[row, name]
        for row in question.columns
        for name in statistics_for(question, layout.schema.columns[row].kind)
    )


def verdict(value: float, critical: float, floor: float) -> tuple[State, str]:
    """State of a column that could be tested, and the reason where it is not plain from the numbers.

    >>> verdict(0.3, 0.1, 0.1)[0], verdict(0.08, 0.05, 0.1)[0], verdict(0.02, 0.01, 0.1)[0], verdict(0.3, 0.4, 0.1)[0]
    ('drift', 'warning', 'ok', 'ok')
    """
    if value <= critical:
        return "ok", ""
    if value > floor:
        return "drift", ""
    if value > WARNING_PART * floor:
        return "warning", "more than chance, but below the effect floor"
    return "ok", "more than chance, but far below the effect floor"


def _measure(question: Question, layout: Layout, reference: Counts, test: Counts, deviations: Floats) -> list[_Test]:
    broken = _broken(layout, reference) | _broken(layout, test)
    tests = []
    for numeric in (True, False):
        rows = layout.rows(question.columns, numeric=numeric)
        if not rows.size:
            continue
        pair = layout.pair(reference, test, deviations, rows)
        if broken[rows].any():
            sound = ~broken[rows, None]
            pair.reference[:] = np.where(sound, pair.reference, 0.0)
            pair.test[:] = np.where(sound, pair.test, 0.0)
        all_n, all_m = pair.test.sum(axis=-1), pair.reference.sum(axis=-1)
        for name in statistics_for(question, "numeric" if numeric else "categorical"):
            measured = STATISTICS[name].measure(pair)
            states, reasons = _states(measured, all_n, all_m, question.min_samples, broken[rows])
            tests.append(_Test(name, rows, measured, states, reasons))
    return tests


def _broken(layout: Layout, counts: Counts) -> Mask:
    """Which columns hold a count that cannot be one."""
    bad = ~(np.isfinite(counts) & (counts >= 0))
    if not bad.any():
        return np.zeros(len(layout.schema.columns), dtype=np.bool_)
    return np.array([bool(part.any()) for part in layout.schema.split(bad)])


def _states(
    measured: Measured, all_n: Floats, all_m: Floats, min_samples: int, broken: Mask
) -> tuple[list[State | None], list[str]]:
    """States of columns for which there is no verdict, each with its reason; None for the others."""
    blank = (measured.n < max(min_samples, 1)) | (measured.m < 1) | broken | ~np.isfinite(measured.value)
    states: list[State | None] = [None] * len(blank)
    reasons = [""] * len(blank)
    for i in np.flatnonzero(blank).tolist():
        n, m, rows, reference_rows = (int(x[i]) for x in (measured.n, measured.m, all_n, all_m))
        if broken[i] or not np.isfinite(measured.value[i]):
            states[i], reasons[i] = "error", "the stored counts of this column are damaged"
        elif not m:
            states[i] = "no reference"
            reasons[i] = (
                f"none of {reference_rows} reference rows has a value" if reference_rows else "no reference rows"
            )
        elif not rows:
            states[i], reasons[i] = "no traffic", "no rows in this window"
        else:
            states[i] = "insufficient data"
            reasons[i] = f"{n} values of {rows} rows" if n != rows else f"{n} rows"
            reasons[i] += f" in this window, {min_samples} needed"
    return states, reasons


class _Describer:
    """Direction and contributions of a column, worked out once for all its statistics."""

    def __init__(self, layout: Layout, reference: Sample, test: Sample, deviations: Floats) -> None:
        self._layout = layout
        self._bounds = layout.schema.offsets.tolist()
        # Plain lists: for the few bins of one column they are several times faster than arrays.
        self._counts = reference.counts.tolist(), test.counts.tolist()
        self._sums = reference.sums.tolist(), test.sums.tolist()
        self._deviations = deviations.tolist()
        self._seen: dict[int, tuple[Direction, tuple[Shift, ...]]] = {}

    def __call__(self, row: int, test: _Test, position: int) -> tuple[Direction, tuple[Shift, ...]]:
        """Describe column `row`, which stands at `position` in `test`."""
        if test.measured.shares is not None:
            before, after = (float(share[position]) for share in test.measured.shares)
            return share_direction(test.statistic, before, after), (Shift(f"__{test.statistic}__", before, after),)
        if row not in self._seen:
            bins = slice(self._bounds[row], self._bounds[row + 1])
            reference, window = self._counts[0][bins], self._counts[1][bins]
            sums = self._sums[0][row], self._sums[1][row]
            column = self._layout.schema.columns[row]
            moved = direction(column, reference, window, *sums, self._deviations[row])
            self._seen[row] = moved, shifts(self._layout.labels[row], reference, window)
        return self._seen[row]
