"""What a column is, worked out from all of its rows: numeric or categorical, with which bins, and why.

`ColumnProfile` gathers facts block by block, in bounded memory; `decide` turns them into a `Column` and a reason that a
person can read. Only the search for row numbers looks at the order of the rows.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.columns.canonical import Block, canonical
from monitor.columns.column import MISSING, OTHER, Column, Counts, Floats, Kind, Role, number_text
from monitor.reference.bin_edges import BINS, Gap, edges_of_gaps, edges_of_values

#: Categories that are counted one by one; the rarer ones are counted together as `__other__`.
MAX_CATEGORIES = 100

#: Distinct numbers that are counted one by one while it is open whether they are codes or measurements.
MAX_DISTINCT_NUMBERS = 1_000

#: Distinct texts that are counted one by one. Above it the rare ones are forgotten (Misra and Gries, 1982): a text in
#: more than one of 50,000 rows is never lost. Final counts are exact either way, as they come from a second pass.
MAX_DISTINCT_TEXTS = 100_000

#: Rows from which on a column can be taken for an identifier.
MIN_IDENTIFIER_ROWS = 50

#: Distinct whole numbers up to which predictions are taken for labels.
MAX_LABELS = 20

_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"\d{4}-\d\d?(-\d\d?([T ].*)?)?"
    r"|(\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}|\d{4}[/.]\d\d?[/.]\d\d?)( .*)?"
    rf"|([a-z]{{3,9}},? )?(\d{{1,2}}[ -]{_MONTH}[ -]|{_MONTH} \d{{1,2}}, ?)\d{{2,4}}( .*)?",
    re.IGNORECASE,
)
IDENTIFIER_NAME = re.compile(
    r"(^|.*[_\s])(id|uuid|guid|key|index|rowid|rownum|no|nr|timestamp|epoch)$|^unnamed: \d+$", re.IGNORECASE
)

#: Numbers with units or currency signs, which are not parsed as numbers.
_WITH_UNIT = re.compile(r"[$€£¥]? ?[+-]?\d[\d,. ']*( ?(%|[$€£¥]|[a-z]{1,3}))?|0x[0-9a-f]+", re.IGNORECASE)


@dataclass(frozen=True)
class Decision:
    """What was decided for one column, and why; with the sum and the deviation of its numbers.

    `counts`: its rows in each bin, shape (column.size,), once they are counted.
    """

    column: Column
    reason: str
    missing_share: float
    sum: float = field(default=math.nan, compare=False)
    deviation: float = field(default=math.nan, compare=False)
    counts: Counts = field(default_factory=lambda: np.empty(0, dtype=np.int64), compare=False)


class ColumnProfile:
    """Facts about one column, gathered block by block.

    `gaps`: those that hold the edges, if there are more values than `distinct` keeps; `sampled`: by a part of its rows.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = self.missing = self.numbers = 0
        self.low, self.high = math.inf, -math.inf
        self.mean = self.squares = 0.0
        self.whole = self.consecutive = self.rising = True
        self.distinct: dict[float, int] | None = {}
        self.texts: Counter[str] = Counter()
        self.forgotten = 0
        self.gaps: list[Gap] = []
        self.sampled = False
        self._last = math.nan

    def add(self, block: Block) -> None:
        """Take in the next rows."""
        self.rows += len(block)
        if isinstance(block, np.ndarray):
            self._add_numbers(block)
        else:
            self._add_texts(block)

    @property
    def deviation(self) -> float:
        """Standard deviation of the finite numbers (divisor n); 0 for a constant, NaN if there are none."""
        if not self.numbers:
            return math.nan
        found = math.sqrt(self.squares / self.numbers)
        # What rounding leaves of a constant is no deviation.
        return 0.0 if self.low == self.high or found <= 1e-12 * max(abs(self.low), abs(self.high)) else found

    @property
    def sum(self) -> float:
        """Sum of the finite numbers."""
        return self.mean * self.numbers

    def _add_numbers(self, values: Floats) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(values.sum())
        if not math.isfinite(total):  # or finite values add up to infinity: then none is dropped
            self.missing += int(np.isnan(values).sum())
            values = values[np.isfinite(values)]
            with np.errstate(over="ignore", invalid="ignore"):
                total = float(values.sum())
        if not values.size:
            return
        # The mean and the squares of two parts put together: Chan, Golub and LeVeque (1983). Overflow to infinity is
        # possible near 1e154 and harmless: a deviation that is not finite is not written.
        with np.errstate(over="ignore", invalid="ignore"):
            mean, rows = total / values.size, self.numbers + values.size
            delta = mean - self.mean
            apart = values - mean
            np.square(apart, out=apart)  # not np.dot, which starts threads
            self.squares += float(apart.sum()) + delta * delta * self.numbers * values.size / rows
            self.mean += delta * values.size / rows
        self.numbers = rows
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.whole = self.whole and bool(np.all(values == np.floor(values)))
        self._watch_order(values)
        self._count_distinct(values)

    def _watch_order(self, values: Floats) -> None:
        """Find out whether values rise, and whether they do so by one."""
        if self.rising:
            with np.errstate(over="ignore"):
                steps = np.diff(values, prepend=self._last)[math.isnan(self._last) :]
            self.rising = self.whole and bool(np.all(steps > 0))
            self.consecutive = self.rising and self.consecutive and bool(np.all(steps == 1))
            self._last = float(values[-1])

    def _count_distinct(self, values: Floats) -> None:
        if self.distinct is None:
            return
        part = values[: 2 * MAX_DISTINCT_NUMBERS]
        if values.size > 2 * part.size and np.unique(part).size > MAX_DISTINCT_NUMBERS:
            self.distinct = None  # told from a part: no need to sort the whole block
            return
        for value, rows in zip(*(one.tolist() for one in np.unique(values, return_counts=True)), strict=True):
            self.distinct[value] = self.distinct.get(value, 0) + rows
        if len(self.distinct) > MAX_DISTINCT_NUMBERS:
            self.distinct = None

    def _add_texts(self, block: list[str | None]) -> None:
        counted: Counter[str | None] = Counter(block)
        for absent in (None, MISSING):
            self.missing += counted.pop(absent, 0)
        self.texts.update(counted)  # type: ignore[arg-type]  # None was just taken out
        self.rising = self.consecutive = False
        if len(self.texts) > MAX_DISTINCT_TEXTS:
            kept = Counter(dict(self.texts.most_common(MAX_DISTINCT_TEXTS // 2)))
            floor = min(kept.values())
            self.forgotten += len(self.texts) - len(kept)
            self.texts = Counter({text: rows - floor for text, rows in kept.items() if rows > floor})


@dataclass(frozen=True, slots=True)
class Limits:
    """How finely columns are binned. `bins`: value bins of a numeric column; `categories`: of a categorical one."""

    bins: int = BINS
    categories: int = MAX_CATEGORIES


def decide(profile: ColumnProfile, role: Role, declared: Kind | None, limits: Limits) -> Decision:
    """Choose the kind and the bins of one column.

    The rule, first match wins. Declared columns skip to their kind.

    1. no value at all: numeric with a single bin, so that values which come later show as fewer missing
    2. text: dates and identifiers keep no categories (every new one would be an alarm), all else is categorical
    3. row numbers (whole, rising by one; or rising and named like an identifier): numeric with a single bin
    4. exactly two distinct whole numbers: a flag, categorical; so is a prediction of at most 20 whole numbers: labels
    5. any other numbers: numeric; one bin a value if there are few distinct ones, quantile bins otherwise
    """
    kind: Kind = declared or "numeric"
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    whole = len(profile.distinct or ()) if profile.whole else 0
    if declared:
        categories, edges, reason = _bins(profile, kind, limits)
        reason = f"{'declared' if role == 'feature' else 'as the model answers'}: {reason}"
    elif profile.texts or profile.forgotten:
        kind, reason = "categorical", _dates_or_identifier(profile)
        if not reason:
            categories, edges, reason = _bins(profile, kind, limits)
        reason += "; leading zeros make texts, not numbers" if _are_codes(profile.texts) else ""
    elif not profile.numbers:
        reason = "no value in any row: its kind cannot be known, only missing values are watched"
    elif _row_number(profile):
        reason = "row numbers or an identifier: only missing values are watched"
    elif whole == 2 or (role == "prediction" and 2 < whole <= MAX_LABELS):
        kind = "categorical"
        categories, edges, reason = _bins(profile, kind, limits)
        reason = f"a flag: only {' and '.join(categories)}" if whole == 2 else f"whole numbers as labels: {reason}"
    else:
        categories, edges, reason = _bins(profile, kind, limits)
    facts = (profile.sum, profile.deviation) if kind == "numeric" else (math.nan, math.nan)
    absent = profile.missing / max(1, profile.rows)
    return Decision(Column(profile.name, role, kind, edges, categories), reason, absent, *facts)


def _bins(profile: ColumnProfile, kind: Kind, limits: Limits) -> tuple[tuple[str, ...], tuple[float, ...], str]:
    """Categories or edges, and what they are in words."""
    if kind == "categorical":
        categories, reason = _categories(profile, limits)
        return categories, (), reason
    return (), *_edges(profile, limits)


def _dates_or_identifier(profile: ColumnProfile) -> str:
    rows, kinds = sum(profile.texts.values()), len(profile.texts)
    if all(map(_DATE.fullmatch, profile.texts)):
        return "dates, which always move on: only missing values are watched"
    if profile.forgotten and profile.forgotten > 0.5 * (profile.rows - profile.missing):
        return "an identifier: nearly every text is another; only missing values are watched"
    if profile.forgotten or profile.numbers or rows < MIN_IDENTIFIER_ROWS or kinds <= 0.9 * rows:
        return ""
    if all(map(_WITH_UNIT.fullmatch, profile.texts)) and not _are_codes(profile.texts):
        return f"numbers written like {min(profile.texts)!r}: only missing values are watched; write plain numbers"
    return f"an identifier: {kinds:,} texts in {rows:,} rows; only missing values are watched"


def _are_codes(texts: Iterable[str]) -> bool:
    """Whether all texts are digits, and some begin with zeros."""
    digits = all(text.replace(".", "", 1).isdecimal() for text in texts)
    return digits and any(text[0] == "0" and text[1:2].isdecimal() for text in texts)


def _row_number(profile: ColumnProfile) -> bool:
    if profile.numbers < MIN_IDENTIFIER_ROWS or not profile.whole or not profile.rising:
        return False
    return profile.consecutive or bool(IDENTIFIER_NAME.fullmatch(profile.name))


def _categories(profile: ColumnProfile, limits: Limits) -> tuple[tuple[str, ...], str]:
    counted = Counter(profile.texts)
    for value, rows in (profile.distinct or {}).items():
        counted[canonical(value)] += rows
    counted.pop(OTHER, None)
    frequent = sorted(counted, key=lambda text: (-counted[text], text))[: limits.categories]
    categories = tuple(sorted(frequent, key=_category_order))
    if profile.forgotten or len(counted) > len(categories):
        total = f"more than {MAX_DISTINCT_TEXTS:,}" if profile.forgotten else f"{len(counted):,}"
        reason = f"{total} categories: the {len(categories)} most frequent, the rest as {OTHER}"
    else:
        shown = ", ".join(map(repr, categories))
        listed = f": {shown}" if 0 < len(shown) <= 60 else ""
        reason = f"{len(categories)} categor{'y' if len(categories) == 1 else 'ies'}{listed}"
    if profile.numbers and profile.distinct is None:
        reason += f"; more than {MAX_DISTINCT_NUMBERS:,} distinct numbers, counted as {OTHER}"
    return categories, reason


def _category_order(text: str) -> tuple[bool, float, str]:
    """Numbers by value, then texts by letter."""
    try:
        number = float(text)
    except ValueError:
        return True, 0.0, text
    return False, number if math.isfinite(number) else 0.0, text


def _edges(profile: ColumnProfile, limits: Limits) -> tuple[tuple[float, ...], str]:
    """Edges of a numeric column, and the reason in words. `profile.distinct` is None if there were too many."""
    if not profile.numbers:
        return (), "no number in any row: only missing values are watched"
    if profile.distinct is not None:
        distinct = np.array(sorted(profile.distinct))
        edges = edges_of_values(
            distinct, np.array([profile.distinct[value] for value in distinct.tolist()]), limits.bins
        )
        if distinct.size == 1:
            return edges, f"always {number_text(distinct[0])}: anything above or below it is seen"
        if distinct.size <= limits.bins:
            return edges, f"{distinct.size} distinct numbers, a bin for each"
    else:
        edges = edges_of_gaps(profile.gaps, profile.low, profile.high)
    return (
        edges,
        f"{len(edges) - 1} quantile bins ({'by a sample, ranks within 0.1 %' if profile.sampled else 'exact'})",
    )


def with_labels(decision: Decision, labels: Iterable[object], limits: Limits) -> Decision:
    """Add categories of labels that no row has, if there is room for all of them."""
    column = decision.column
    known = {canonical(label) for label in labels} - {OTHER, MISSING}
    together = known | set(column.categories)
    if column.numeric or known <= set(column.categories) or len(together) > limits.categories:
        return decision
    column = replace(column, categories=tuple(sorted(together, key=_category_order)))
    return replace(decision, column=column, reason=f"{len(together)} labels, some of them unseen here")
