"""From count vectors to verdicts: one `DriftResult` per window, column and statistic that a rule asks for.

Pure: no clock, no store, no state. The probability that one evaluation of a rule names ANY column although nothing
drifted is at most `alpha`: it is shared out by Holm's procedure over all tests of the evaluation
(docs/decisions/0002-alpha-over-columns.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np

from monitor.columns.column import Column, Counts, Floats, Mask
from monitor.drift.direction import Sides, direction, share_cells, shifts
from monitor.drift.layout import Layout, Measured, Named
from monitor.drift.result import Direction, DriftResult, Explanation, Harm, Shift, Span, State, Subject
from monitor.drift.statistics import AUTO, STATISTICS

#: A significant value above this part of its floor is a `warning`; below it the change is real but too small to tell.
WARNING_PART = 0.5

#: Windows that are measured at once, so that all that is computed on the way fits into the processor's cache.
CHUNK = 512

#: Windows for which results are made at once: who needs one mostly needs the next.
AHEAD = 32


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
    """Counts and sums of one stretch of data, as a reference or as a test window; or of many, in a leading axis.

    `counts`: shape (schema.size,). `sums`: shape (columns,), over finite values. `deviations`: shape (columns,),
    standard deviations; only the reference's are read.
    """

    counts: Counts
    sums: Floats
    deviations: Floats | None = None

    def __getitem__(self, window: int | slice) -> Sample:
        """One or some of many; itself if it is the only one."""
        if self.counts.ndim == 1:
            return self
        return Sample(self.counts[window], self.sums[window], self.deviations)


def statistics_for(question: Question, kind: str) -> tuple[str, ...]:
    """Names of the statistics that a question measures for a column of this kind.

    >>> statistics_for(Question("r", (0,)), "categorical"), statistics_for(Question("r", (0,), "ks"), "categorical")
    (('kl', 'missing', 'other'), ())
    """
    if question.statistic == "auto":
        return question.auto[kind != "numeric"]
    names = STATISTICS if question.statistic == "all" else (question.statistic,)
    return tuple(name for name in names if kind in STATISTICS[name].kinds)


def floor_of(statistic: str, floor: float | None, asked: str = "") -> float:
    """The effect floor of a statistic, if a rule that asks for `asked` has set `floor`.

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


def floors_of(question: Question, statistic: str, measured: Measured) -> Floats | float:
    """The effect floor of each value, in its units."""
    return floor_of(statistic, question.floor, question.statistic) * measured.floor_unit


def holm_level(p_values: Floats, alpha: float) -> Floats:
    """Return the one level that every p-value is compared with (p <= level: significant).

    `p_values`: shape (..., tests); infinity takes no part. Holm's step-down procedure (1979) compares the k-th smallest
    of T p-values with alpha / (T - k + 1) and stops at the first that is larger. If R are significant by that, the
    level alpha / (T - R) (alpha, where all are) divides them from the others just so. The probability of any false
    alarm is alpha at most, however the tests depend on each other.

    >>> holm_level(np.array([0.9, 0.2, 0.4, 0.6, np.inf]), 0.1).item()
    0.025
    >>> holm_level(np.array([0.001, 0.03, 0.4, 0.6]), 0.1).round(4).item()  # 0.001 <= 0.1/4, 0.03 <= 0.1/3, 0.4 > 0.1/2
    0.05
    """
    ordered = np.sort(p_values, axis=-1)
    total = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    passed = ordered <= alpha / np.maximum(total - np.arange(ordered.shape[-1]), 1)
    rejected = np.logical_and.accumulate(passed, axis=-1).sum(axis=-1)
    out: Floats = alpha / np.maximum(total[..., 0] - rejected, 1)
    return out


#: States that a verdict can have, from far below to above the floor, and the reason if it is not plain.
_STATES = np.array(("ok", "ok", "warning", "drift"), dtype=object)
_REASONS = np.array(
    (
        "",
        "more than chance, but far below the effect floor",
        "more than chance, but below the effect floor",
        "",
    ),
    dtype=object,
)


def verdicts(values: Floats, critical: Floats, floors: Floats) -> tuple[list[Any], list[Any]]:
    """States of columns that could be tested, and the reasons, in lists as deep as the arrays.

    >>> states, reasons = verdicts(np.array([0.3, 0.08, 0.02, 0.3]), np.array([0.1, 0.05, 0.01, 0.4]), np.full(4, 0.1))
    >>> states, reasons[1]
    (['drift', 'warning', 'ok', 'ok'], 'more than chance, but below the effect floor')
    """
    real = values > critical
    which = real * (1 + (values > WARNING_PART * floors) + (values > floors))
    return _STATES[which].tolist(), _REASONS[which].tolist()


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
    partial: str = "",
) -> tuple[DriftResult, ...]:
    """Answer one question about one window: see `Answers`, whose arguments of many windows are those of one here."""
    tests, rhos = Sample(test.counts[None], test.sums[None]), None if rho is None else rho[None]
    answers = Answers(question, layout, reference, tests, [window], [references], subject, [partial], rhos, unseen)
    return answers.results(0)


@dataclass(frozen=True)
class _Part:
    """S statistics over W windows and the R columns of one kind, before alpha is shared out; arrays: (S, W, R).

    `positions`, `named`: of the columns; see `Frame`. `value`: without its sign. `found`: rows of
    the window and of the reference, with a value or not, (W, R). `damaged`: its numbers are impossible. `known`: there
    is a verdict. `tested`: the p-values that alpha is shared out over, infinity for columns without a verdict or that
    could not come out significant. `critical`: of each statistic, see `Measured`.
    """

    statistics: tuple[str, ...]
    positions: list[int]
    named: Named
    value: Floats
    p_value: Floats
    n: Floats
    m: Floats
    floor: Floats
    found: tuple[Floats, Floats]
    damaged: Mask
    known: Mask
    tested: Floats
    critical: list[Callable[[float], Floats]]


class Answers:
    """Answers to one question about T windows.

    `tests`: counts, shape (T, schema.size), and sums, (T, columns). `reference`: one for all windows, or one for each
    in a leading axis, with one set of deviations. `spans`: of each window; `names`: of each, what its columns are
    compared with, by position ("training" if empty); `partial`: why it is not judged, "" if it is. `rho`: how alike the
    rows of each window are, (T, columns, 3), see `Pair.weights`; without it they are independent draws. `unseen` names
    the unseen values of a column in the test window; it is asked only when a result's words are read.

    Raises KeyError for a statistic that does not exist and ValueError for vectors that are not of the schema's size.
    Bad numbers in one column make that column an `error` and touch no other.
    """

    def __init__(
        self,
        question: Question,
        layout: Layout,
        reference: Sample,
        tests: Sample,
        spans: Sequence[Span],
        names: Sequence[Sequence[str]],
        subject: Subject = Subject(),  # noqa: B008 - a constant
        partial: Sequence[str] = (),
        rho: Floats | None = None,
        unseen: Callable[[Column], Sequence[str]] = lambda _column: (),
    ) -> None:
        if question.statistic not in ("auto", "all", *STATISTICS):
            raise KeyError(question.statistic)
        size, width = layout.schema.size, len(layout.schema.columns)
        if reference.counts.shape[-1:] != (size,) or tests.counts.shape[1:] != (size,):
            raise ValueError(f"counts have shapes {reference.counts.shape} and {tests.counts.shape}, not (..., {size})")
        deviations = np.full(width, np.nan) if reference.deviations is None else reference.deviations
        self.question, self._layout, self._subject, self._unseen = question, layout, subject, unseen
        self._reference, self._tests = Sample(reference.counts, reference.sums, deviations), tests
        self._spans, self._names = spans, names
        self._rho = None if question.independent else rho
        self._partial = partial or [""] * len(tests.counts)
        self._made: dict[int, tuple[DriftResult, ...]] = {}

    @property
    def size(self) -> int:
        """Number of results of each window."""
        kinds = (self._layout.schema.columns[row].kind for row in self.question.columns)
        return sum(len(statistics_for(self.question, kind)) for kind in kinds)

    @cached_property
    def overview(self) -> tuple[Mask, Counts]:
        """Whether any column may have drifted in each window, and how many results have a verdict; both (T,).

        Most windows of the past are quiet: all are measured in one pass, and results are made of those asked for.
        """
        count = len(self._tests.counts)
        loud, judged = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.int64)
        for begin in range(0, count, CHUNK):
            chosen = slice(begin, begin + CHUNK)
            parts = self._measure(chosen)
            level = self._levels(parts)[:, None] * (1 + 1e-6)  # the critical value decides, not rounding
            for part in parts:
                judged[chosen] += part.known.sum(axis=(0, 2))
                above = part.known & (part.p_value <= level) & (part.value > part.floor)
                loud[chosen] |= above.any(axis=(0, 2))
        return loud, judged

    def results(self, window: int) -> tuple[DriftResult, ...]:
        """Results for one window, in the order of the question's columns."""
        if window not in self._made:
            last = min(window + AHEAD, len(self._tests.counts))
            self._made = dict(zip(range(window, last), self._make(slice(window, last)), strict=True))
        return self._made[window]

    def _measure(self, chosen: slice) -> list[_Part]:
        question, layout, parts = self.question, self._layout, []
        reference, tests, broken = self._sound(self._reference[chosen], self._tests[chosen])
        whole = np.array([not reason for reason in self._partial[chosen]], dtype=np.bool_)[:, None]
        for numeric in (True, False):
            positions = layout.of_kind(question.columns, numeric=numeric)
            statistics = statistics_for(question, "numeric" if numeric else "categorical")
            if not positions.size or not statistics:
                continue
            assert reference.deviations is not None
            sums = reference.sums, tests.sums
            pair = layout.pair(reference.counts, tests.counts, reference.deviations, positions, sums, statistics)
            if self._rho is not None:
                pair = pair.thin(self._rho[chosen][:, positions])
            measured = [STATISTICS[name].measure(pair) for name in statistics]
            fields = [(one.value, one.p_value, one.n, one.m, one.testable) for one in measured]
            value, p_value, n, m, testable = (np.array(arrays) for arrays in zip(*fields, strict=True))
            floors = np.empty(value.shape)
            for at, (name, one) in enumerate(zip(statistics, measured, strict=True)):
                floors[at] = floors_of(question, name, one)
            damaged = broken[:, positions] | ~np.isfinite(value)
            known = (n >= max(question.min_samples, 1)) & (m >= 1) & ~damaged & whole
            parts.append(
                _Part(
                    statistics,
                    positions.tolist(),
                    pair.frame.named,
                    np.abs(value),
                    p_value,
                    n,
                    m,
                    floors,
                    pair.sizes,
                    damaged,
                    known,
                    np.where(known & testable, p_value, np.inf),
                    [one.critical for one in measured],
                )
            )
        return parts

    def _sound(self, reference: Sample, tests: Sample) -> tuple[Sample, Sample, Mask]:
        """Both sides without the rows of columns that have an impossible count, and which those are, (W, columns)."""
        schema = self._layout.schema
        bad = ~(np.isfinite(tests.counts) & (tests.counts >= 0))
        bad = bad | ~(np.isfinite(reference.counts) & (reference.counts >= 0))
        if not bad.any():
            return reference, tests, np.zeros(tests.sums.shape, dtype=np.bool_)
        broken: Mask = np.logical_or.reduceat(bad, schema.offsets[:-1], axis=-1)
        empty = np.repeat(broken, self._layout.sizes, axis=-1)
        before, after = (np.where(empty, 0, side.counts) for side in (reference, tests))
        sums = np.broadcast_to(reference.sums, tests.sums.shape)
        return Sample(before, sums, reference.deviations), Sample(after, tests.sums), broken

    def _levels(self, parts: Sequence[_Part]) -> Floats:
        """Holm's level of each window, shape (W,)."""
        if not parts:
            return np.zeros(0)
        tested = np.concatenate([one for part in parts for one in part.tested], axis=-1)
        return holm_level(tested, self.question.alpha)

    def _make(self, chosen: slice) -> list[tuple[DriftResult, ...]]:
        """Make the results of a stretch of windows."""
        parts = self._measure(chosen)
        levels = self._levels(parts)
        explanations = [
            LazyExplanation(self._layout, self._reference[window], self._tests[window], self._unseen)
            for window in range(chosen.start, chosen.stop)
        ]
        by_column: list[dict[int, tuple[DriftResult, ...]]] = [{} for _ in explanations]  # of each window
        for part in parts:
            results = self._results(chosen.start, part, levels, explanations)
            for columns, found in zip(by_column, results, strict=True):
                columns.update(zip(part.positions, found, strict=True))
        order = self.question.columns
        return [tuple(chain.from_iterable(map(columns.get, order, repeat(())))) for columns in by_column]

    def _results(
        self, first: int, part: _Part, levels: Floats, explanations: Sequence[Explanation]
    ) -> list[Iterator[tuple[DriftResult, ...]]]:
        """Results in each window from `first` on, of each column; made field by field, as there may be thousands."""
        critical = np.empty(part.value.shape)
        for level in set(levels.tolist()):
            same = levels == level
            critical[:, same] = [of_statistic(level)[same] for of_statistic in part.critical]
        states, reasons = verdicts(part.value, critical, part.floor)
        numbers: list[list[Any]] = [one.tolist() for one in (part.value, critical, part.p_value)]
        for at, k, i in np.argwhere(~part.known).tolist():
            states[at][k][i], reasons[at][k][i] = self._no_verdict(part, (at, k, i), self._partial[first + k])
            for field in numbers:
                field[at][k][i] = None
        n, m = (one.astype(np.int64).tolist() for one in (part.n, part.m))
        floors, out = part.floor.tolist(), list[Iterator[tuple[DriftResult, ...]]]()
        for k, explanation in enumerate(explanations):
            names = self._names[first + k]
            references = [names[position] for position in part.positions] if names else repeat("training")
            by_statistic = [
                DriftResult.rows(
                    repeat(self.question.name),
                    *part.named,
                    repeat(statistic),
                    states[at][k],
                    repeat(self._spans[first + k]),
                    references,
                    repeat(self._subject.version),
                    n[at][k],
                    m[at][k],
                    *(field[at][k] for field in numbers[:2]),
                    floors[at][k],
                    numbers[2][at][k],
                    reasons[at][k],
                    repeat(explanation),
                    repeat(self._subject.model),
                    repeat(self._subject.series),
                    repeat(None),
                )
                for at, statistic in enumerate(part.statistics)
            ]
            out.append(zip(*by_statistic, strict=True))
        return out

    def _no_verdict(self, part: _Part, cell: tuple[int, int, int], partial: str) -> tuple[State, str]:
        """Say why a statistic of a column has no verdict in a window: its state and the reason."""
        n, m, rows, reference_rows = int(part.n[cell]), int(part.m[cell]), *(int(one[cell[1:]]) for one in part.found)
        if part.damaged[cell]:
            return "error", "the stored counts of this column are damaged"
        if not m:
            empty = f"none of {reference_rows:,} reference rows has a value"
            return "no reference", empty if reference_rows else "no reference rows"
        if not rows:
            return "no traffic", "no rows in this window"
        if partial and n >= max(self.question.min_samples, 1):
            return "insufficient data", partial
        found = f"{n} values of {rows} rows" if n != rows else f"{n} rows"
        return "insufficient data", f"{found} in this window, {self.question.min_samples} needed"


class LazyExplanation(Explanation):
    """Directions and contributions of one window, each worked out when it is first asked for."""

    __eq__, __hash__ = object.__eq__, object.__hash__  # those of two windows differ

    def __init__(
        self, layout: Layout, reference: Sample, test: Sample, unseen: Callable[[Column], Sequence[str]] = lambda _: ()
    ) -> None:
        self._layout, self._reference, self._test, self._unseen = layout, reference, test, unseen
        self._seen: dict[tuple[int, str], Direction] = {}
        self._harms: dict[int, Harm | None] = {}

    @cached_property
    def _lists(self) -> tuple[Sequence[float], ...]:
        """Counts of reference and window, their sums, deviations, and where the bins of each column begin.

        Plain lists: for the few bins of one column they are several times faster than arrays.
        """
        before, after = self._reference, self._test
        deviations = np.full(len(before.sums), np.nan) if before.deviations is None else before.deviations
        arrays = (before.counts, after.counts, before.sums, after.sums, deviations, self._layout.schema.offsets)
        return tuple(array.tolist() for array in arrays)

    @cached_property
    def _rows(self) -> dict[tuple[str, str], int]:
        return {(column.name, column.role): row for row, column in enumerate(self._layout.schema.columns)}

    def _sides(self, result: DriftResult) -> tuple[int, Sides]:
        """Position of the result's column, and its counts on both sides."""
        row = self._rows[result.column, result.role]
        before, after, before_sums, after_sums, deviations, bounds = self._lists
        column, bins = self._layout.schema.columns[row], slice(int(bounds[row]), int(bounds[row + 1]))
        return row, Sides(column, before[bins], after[bins], (before_sums[row], after_sums[row]), deviations[row])

    def direction(self, result: DriftResult) -> Direction | None:
        """Which way the result's column moved; None if there is no verdict."""
        if result.value is None:
            return None
        row, sides = self._sides(result)
        share = result.statistic if result.statistic in ("missing", "other") else ""
        if (row, share) not in self._seen:
            names = () if sides.column.numeric else self._unseen(sides.column)
            self._seen[row, share] = direction(sides, share, names)
        return self._seen[row, share]

    def harm(self, result: DriftResult) -> Harm | None:
        """What the shift of the result's column does to the model; None without a verdict, or if it is not known."""
        if result.value is None or self._layout.harm is None:
            return None
        row, sides = self._sides(result)
        if row not in self._harms:
            found = self._layout.harm(sides.column, np.array(sides.reference), np.array(sides.test))
            whole = result.reference.startswith("training")
            filled = sides.column.numeric and direction(sides).change == "took over"
            self._harms[row] = replace(found, whole=whole, filled=filled) if found else None
        return self._harms[row]

    def contributions(self, result: DriftResult) -> tuple[Shift, ...]:
        """The bins of the result's column that moved most."""
        if result.value is None:
            return ()
        row, sides = self._sides(result)
        if result.statistic not in ("missing", "other"):
            return shifts(self._layout.labels[row], sides.reference, sides.test)
        cells = share_cells(sides.column, result.statistic)
        before, after = (sum([side[i] for i in cells]) / max(sum(side), 1) for side in (sides.reference, sides.test))
        return (Shift(f"__{result.statistic}__", before, after),)
