"""From two count vectors to verdicts: one `DriftResult` per column and statistic that a rule asks for.

Pure: no clock, no store, no state. The probability that one evaluation of a rule names ANY column although nothing
drifted is at most `alpha`: it is shared out by Holm's procedure over all tests of the evaluation
(docs/decisions/0002-alpha-over-columns.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np

from monitor.columns.column import Column, Counts, Floats, Mask
from monitor.drift.direction import direction, shifts
from monitor.drift.layout import Layout
from monitor.drift.result import Direction, DriftResult, Explanation, Shift, Span, State, Subject
from monitor.drift.share_alpha import holm_level
from monitor.drift.statistics import AUTO, CORRELATION, STATISTICS, Measured

#: A significant value above this part of its floor is a `warning`; below it the change is real but too small to tell.
WARNING_PART = 0.5


class Terms(NamedTuple):
    """On what terms a window is unusual: messages a month, window lengths in hours, time zone, quiet spans."""

    alerts: float
    lengths: tuple[int, ...]
    timezone: str = "UTC"
    quiet: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What one rule asks of an evaluation.

    `columns`: indices into the schema. `statistic`: a name from `STATISTICS`, "auto", or "all". A statistic that does
    not fit a column's kind is left out for it. `floor`: None means each statistic's own. `auto`: what "auto" stands
    for, for numeric and for categorical columns. `usual`: of a rule that compares with what is usual; it asks nothing
    else then. `independent`: the rows of a window count as independent draws, whatever is known of them.
    """

    name: str
    columns: tuple[int, ...]
    statistic: str = "auto"
    alpha: float = 0.00015
    floor: float | None = None
    min_samples: int = 50
    auto: tuple[tuple[str, ...], tuple[str, ...]] = (AUTO["numeric"], AUTO["categorical"])
    usual: Terms | None = None
    independent: bool = False


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
    """One statistic over the columns it was measured for, before alpha is shared out.

    `blank`: columns for which there is no verdict, with their state and the reason.
    """

    statistic: str
    measured: Measured
    numeric: bool
    blank: dict[int, tuple[State, str]]

    @property
    def open(self) -> Floats:
        """The p-values that alpha is shared out over: of columns with a verdict that can be tested at all."""
        chosen = self.measured.testable.copy()
        chosen[list(self.blank)] = False
        out: Floats = self.measured.p_value[chosen]
        return out


def statistics_for(question: Question, kind: str) -> tuple[str, ...]:
    """Names of the statistics that a question measures for a column of this kind.

    >>> statistics_for(Question("r", (0,)), "categorical"), statistics_for(Question("r", (0,), "ks"), "categorical")
    (('kl', 'missing', 'other'), ())
    """
    if question.statistic == "auto":
        return question.auto[kind != "numeric"]
    names = STATISTICS if question.statistic == "all" else (question.statistic,)
    return tuple(name for name in names if kind in STATISTICS[name].kinds)


def evaluate(
    question: Question,
    layout: Layout,
    reference: Sample,
    test: Sample,
    window: Span,
    references: Sequence[str] = (),
    subject: Subject = Subject(),  # noqa: B008 - a constant
    unseen: Callable[[Column], Sequence[str]] = lambda _column: (),
    rho: Floats | None = None,
) -> tuple[DriftResult, ...]:
    """Answer one question: a result per column and statistic, in the order of the question's columns.

    `references` names what each column of the schema is compared with; without it that is "training". `unseen` names
    the unseen values of a column in the test window; it is asked only when a result's words are read. `rho`: how alike
    the rows of a window are, shape (columns, 3), see `CORRELATION`; without it they are independent draws. Raises
    KeyError for a statistic that does not exist and ValueError for vectors that are not of the schema's size. Bad
    numbers in one column make that column an `error` and touch no other.
    """
    if question.statistic not in ("auto", "all", *STATISTICS):
        raise KeyError(question.statistic)
    size, width = layout.schema.size, len(layout.schema.columns)
    if reference.counts.shape != (size,) or test.counts.shape != (size,):
        raise ValueError(f"counts have shapes {reference.counts.shape} and {test.counts.shape}, not ({size},)")
    deviations = reference.deviations if reference.deviations is not None else np.full(width, np.nan)
    tests = _measure(question, layout, reference, test, deviations, None if question.independent else rho)
    open_tests = np.concatenate([one.open for one in tests]) if tests else np.zeros(0)
    level = holm_level(open_tests, question.alpha) if open_tests.size else question.alpha
    explanation = _Explanation(layout, reference, test, deviations, unseen)
    groups: dict[int, tuple[DriftResult, ...]] = {}
    for numeric in (True, False):
        rows = layout.rows(question.columns, numeric=numeric).tolist()
        columns = [layout.schema.columns[row] for row in rows]
        names = ([one.name for one in columns], [one.role for one in columns], [one.kind for one in columns])
        compared = [references[row] for row in rows] if references else repeat("training")
        told = (repeat(window), compared, repeat(subject.version))
        known = (explanation, subject.model, subject.series)
        parts = [_results(question, one, level, names, told, known) for one in tests if one.numeric == numeric]
        groups.update(zip(rows, zip(*parts, strict=True), strict=False))
    return tuple(chain.from_iterable(groups.get(row, ()) for row in question.columns))


def _results(
    question: Question,
    test: _Test,
    level: float,
    names: tuple[Iterable[str], ...],
    told: tuple[Iterable[object], ...],
    known: tuple[Explanation, str, str],
) -> list[DriftResult]:
    """Results of one statistic, field by field for all columns at once: there may be thousands.

    `names`: of each column its name, role and kind. `told`: the window, the names of the references, the model version.
    `known`: the explanation of directions, the model's name, the series.
    """
    measured = test.measured
    value, critical = np.abs(measured.value), measured.critical(level)
    floors = floors_of(question, test.statistic, measured)
    states, reasons = verdicts(value, critical, floors)
    values, criticals, p_values = nullable(value), nullable(critical), nullable(measured.p_value)
    for i, (state, reason) in test.blank.items():
        states[i], reasons[i] = state, reason
        values[i] = criticals[i] = p_values[i] = None
    return DriftResult.rows(
        repeat(question.name),
        *names,
        repeat(test.statistic),
        states,
        *told,
        measured.n.astype(np.int64).tolist(),
        measured.m.astype(np.int64).tolist(),
        values,
        criticals,
        floors.tolist(),
        p_values,
        reasons,
        *map(repeat, known),
        repeat(None),
    )


def floor_of(statistic: str, floor: float | None, asked: str = "") -> float:
    """The effect floor of a statistic, where a rule that asks for `asked` has set `floor`.

    One floor for all that `auto` measures is in the units of `ks`: `wasserstein` takes it in the proportion of their
    own floors, at which a normal column has moved equally far.

    >>> floor_of("ks", None), floor_of("ks", 0.16, "auto"), floor_of("wasserstein", 0.16, "auto")
    (0.08, 0.16, 0.4)
    >>> floor_of("wasserstein", 0.3, "wasserstein")
    0.3
    """
    own = STATISTICS[statistic].floor
    if floor is None:
        return own
    return floor * own / STATISTICS["ks"].floor if (asked, statistic) == ("auto", "wasserstein") else floor


def floors_of(question: Question, statistic: str, measured: Measured) -> Floats:
    """The effect floor of each value, in its units."""
    floor = floor_of(statistic, question.floor, question.statistic)
    out: Floats = floor * np.broadcast_to(measured.floor_unit, measured.value.shape)
    return out


def nullable(numbers: Floats) -> list[float | None]:
    """Plain numbers, some of which are to be made None."""
    out: list[float | None] = numbers.tolist()
    return out


#: States that a verdict can have, from far below to above the floor, and the reason where it is not plain.
_STATES: tuple[State, ...] = ("ok", "ok", "warning", "drift")
_REASONS = (
    "",
    "more than chance, but far below the effect floor",
    "more than chance, but below the effect floor",
    "",
)


def verdicts(values: Floats, critical: Floats, floors: Floats) -> tuple[list[State], list[str]]:
    """States of columns that could be tested, and the reasons.

    >>> states, reasons = verdicts(np.array([0.3, 0.08, 0.02, 0.3]), np.array([0.1, 0.05, 0.01, 0.4]), np.full(4, 0.1))
    >>> states, reasons[1]
    (['drift', 'warning', 'ok', 'ok'], 'more than chance, but below the effect floor')
    """
    real = values > critical
    which = (real * (1 + (values > WARNING_PART * floors) + (values > floors))).tolist()
    return list(map(_STATES.__getitem__, which)), list(map(_REASONS.__getitem__, which))


def _measure(
    question: Question, layout: Layout, reference: Sample, test: Sample, deviations: Floats, rho: Floats | None
) -> list[_Test]:
    broken = _broken(layout, reference.counts) | _broken(layout, test.counts)
    tests = []
    for numeric in (True, False):
        rows = layout.rows(question.columns, numeric=numeric)
        if not rows.size:
            continue
        pair = layout.pair(reference.counts, test.counts, deviations, rows, (reference.sums, test.sums))
        if broken[rows].any():
            sound = ~broken[rows, None]
            pair.reference[:] = np.where(sound, pair.reference, 0.0)
            pair.test[:] = np.where(sound, pair.test, 0.0)
        for name in statistics_for(question, "numeric" if numeric else "categorical"):
            counted = pair if rho is None else pair.thin(rho[rows, CORRELATION[name]])
            measured = STATISTICS[name].measure(counted)
            blank = _blank(measured, *pair.sizes, question.min_samples, broken[rows])
            tests.append(_Test(name, measured, numeric, blank))
    return tests


def _broken(layout: Layout, counts: Counts) -> Mask:
    """Which columns hold a count that cannot be one."""
    bad = ~(np.isfinite(counts) & (counts >= 0))
    if not bad.any():
        return np.zeros(len(layout.schema.columns), dtype=np.bool_)
    return np.array([bool(part.any()) for part in layout.schema.split(bad)])


def _blank(
    measured: Measured, all_n: Floats, all_m: Floats, min_samples: int, broken: Mask
) -> dict[int, tuple[State, str]]:
    """State and reason of the columns for which there is no verdict, by position."""
    damaged = broken | ~np.isfinite(measured.value)
    out: dict[int, tuple[State, str]] = {}
    for i in np.flatnonzero((measured.n < max(min_samples, 1)) | (measured.m < 1) | damaged).tolist():
        n, m, rows, reference_rows = (int(x[i]) for x in (measured.n, measured.m, all_n, all_m))
        if damaged[i]:
            out[i] = "error", "the stored counts of this column are damaged"
        elif not m:
            some = f"none of {reference_rows} reference rows has a value"
            out[i] = "no reference", some if reference_rows else "no reference rows"
        elif not rows:
            out[i] = "no traffic", "no rows in this window"
        else:
            found = f"{n} values of {rows} rows" if n != rows else f"{n} rows"
            out[i] = "insufficient data", f"{found} in this window, {min_samples} needed"
    return out


def set_aside(results: Iterable[DriftResult], reason: str) -> tuple[DriftResult, ...]:
    """Take the verdicts back, as there is not enough of the window to judge it by; `reason` says so."""
    return tuple(
        result
        if result.value is None
        else result._replace(state="insufficient data", reason=reason, value=None, critical=None, p_value=None)
        for result in results
    )


def explained_by(
    layout: Layout, reference: Sample, test: Sample, unseen: Callable[[Column], Sequence[str]] = lambda _: ()
) -> Explanation:
    """What says which way columns moved from a reference with deviations to a test window."""
    deviations = reference.deviations if reference.deviations is not None else np.full(len(reference.sums), np.nan)
    return _Explanation(layout, reference, test, deviations, unseen)


class _Explanation(Explanation):
    """Directions and contributions of one evaluation, each worked out when it is first asked for."""

    def __init__(
        self,
        layout: Layout,
        reference: Sample,
        test: Sample,
        deviations: Floats,
        unseen: Callable[[Column], Sequence[str]],
    ) -> None:
        self._layout, self._reference, self._test, self._deviations = layout, reference, test, deviations
        self._unseen = unseen
        self._seen: dict[tuple[int, str], Direction] = {}

    @cached_property
    def _lists(self) -> tuple[Sequence[float], ...]:
        """Counts of reference and window, their sums, deviations, and where the bins of each column begin.

        Plain lists: for the few bins of one column they are several times faster than arrays.
        """
        before, after = self._reference, self._test
        arrays = (before.counts, after.counts, before.sums, after.sums, self._deviations, self._layout.schema.offsets)
        return tuple(array.tolist() for array in arrays)

    @cached_property
    def _rows(self) -> dict[tuple[str, str], int]:
        return {(column.name, column.role): row for row, column in enumerate(self._layout.schema.columns)}

    def direction(self, result: DriftResult) -> Direction | None:
        """Which way the result's column moved; None where there is no verdict."""
        if result.value is None:
            return None
        row, before, after = self._column(result)
        share = result.statistic if result.statistic in ("missing", "other") else ""
        if (row, share) not in self._seen:
            _, _, before_sums, after_sums, deviations, _ = self._lists
            column, sums = self._layout.schema.columns[row], (before_sums[row], after_sums[row])
            names = () if column.numeric else self._unseen(column)
            self._seen[row, share] = direction(column, before, after, *sums, deviations[row], share, names)
        return self._seen[row, share]

    def contributions(self, result: DriftResult) -> tuple[Shift, ...]:
        """The bins of the result's column that moved most."""
        if result.value is None:
            return ()
        row, before, after = self._column(result)
        cells = self._layout.cells(result.statistic, row)
        if cells is not None:
            return (Shift(f"__{result.statistic}__", *_shares(cells, before, after)),)
        return shifts(self._layout.labels[row], before, after)

    def _column(self, result: DriftResult) -> tuple[int, Sequence[float], Sequence[float]]:
        """Position of the result's column, its counts in the reference and in the test window."""
        row = self._rows[result.column, result.role]
        before, after, _, _, _, bounds = self._lists
        bins = slice(int(bounds[row]), int(bounds[row + 1]))
        return row, before[bins], after[bins]


def _shares(cells: Sequence[int], before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Share of the rows of some bins in the reference and in the test window."""
    share, now = (sum([side[i] for i in cells]) / max(sum(side), 1) for side in (before, after))
    return share, now
