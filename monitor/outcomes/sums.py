"""Sums of predictions and their outcomes, from which every performance metric is worked out.

Sums add up exactly over hours, replicas and roll-ups, and a corrected outcome is one subtraction and one addition. They
are integer counts of cells (what was predicted, and what came true) and float moments (errors, squared errors, ...).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add, and_, mul
from typing import Any, Literal

import numpy as np

from monitor.columns.canonical import Codes
from monitor.columns.column import Column, Counts, Floats, Schema

#: `regression` and `score`: the outcome is a number. `score` outcomes are rewards, and are not compared with anything.
TargetKind = Literal["regression", "binary", "multiclass", "score"]

#: Bins of a probability beside the reference's own edges: even ones, and denser tails for average precision.
PROBABILITY_EDGES = (*(0.001, 0.002, 0.005), *(k / 100 for k in range(1, 100)), *(0.995, 0.998, 0.999))

#: Bins of a class's probability in a multiclass model, and the largest number of classes that get such bins.
CLASS_EDGES, MAX_SCORED = tuple(k / 50 for k in range(1, 50)), 20

#: Larger numbers are not compared: the fourth power of one would make a sum infinite, which no correction takes back.
LARGEST = 1e30

#: Beyond this a number is infinite.
LARGEST_FLOAT = sys.float_info.max

#: A probability is kept this far from 0 and 1 in the log loss, as scikit-learn does for float64.
CLIP = float(np.finfo(np.float64).eps)

#: Rows that are worked out at a time: what is made of them on the way then stays in the processor's cache.
ROWS = 4096

#: Moments of one row by kind. e = prediction - outcome; e and the outcome y are in units of the target's `scale`.
#: Sums are stored by position, these first: a new moment goes to the end of `BINNED`.
TOTALS: dict[TargetKind, tuple[str, ...]] = {
    "regression": (
        *("abs_e_e", "ape", "ape2", "ape_rows", "inside", "y", "y2", "y3", "y4", "y_e2", "y2_e2"),
        *("outside_above", "interval_rows"),
    ),
    "binary": ("brier", "brier2", "log", "log2", "gap_tilt", "tilt2_var"),
    "multiclass": ("brier", "brier2", "log", "log2"),
    "score": ("y", "y2"),
}
#: Moments that are kept for each bin of the prediction (regression) or of the score.
BINNED: dict[TargetKind, tuple[str, ...]] = {
    "regression": ("rows", "e", "abs_e", "e2", "e4"),
    "binary": ("p",),
    "multiclass": ("p", "right", "rows"),
    "score": (),
}


@dataclass(frozen=True)
class Target:
    """What the outcomes of a model are, and how they are compared with its predictions.

    `classes`: canonical texts, in the order of the codes of the prediction column. `positive`: code of the class that
    precision, recall and the score speak of. The predicted value or class is the first of the prediction columns.
    `scores`: positions of the probabilities: one of the positive class, or one for each class of a multiclass model; ()
    if there are none. `edges`: upper bounds of the bins of the prediction (regression) or of the score.
    `outcome_edges`, `error_edges`: those of a number that came true, and of prediction minus outcome. `centre`,
    `scale`: mean and standard deviation of the training target, by which moments are scaled so that none cancels.
    `interval`: positions of the lower and upper prediction. `quantile`: which one a number is a prediction of, for the
    pinball loss. `costs`: business value of each outcome class (row) and predicted class (column).
    """

    kind: TargetKind
    classes: tuple[str, ...] = ()
    positive: int = 1
    scores: tuple[int, ...] = ()
    edges: tuple[float, ...] = ()
    outcome_edges: tuple[float, ...] = ()
    error_edges: tuple[float, ...] = ()
    centre: float = 0.0
    scale: float = 1.0
    interval: tuple[int, int] | None = None
    quantile: float | None = None
    costs: tuple[tuple[float, ...], ...] = ()

    @property
    def classified(self) -> bool:
        """Whether outcomes are classes."""
        return self.kind in ("binary", "multiclass")

    @cached_property
    def _codes(self) -> Codes:
        return Codes(self.classes)

    def code(self, text: str) -> float:
        """Return the code of a class that came true, spelled as a prediction may be: `true` and `1.0` are the class 1.

        One that the model does not know has the code after the last; NaN is no outcome.
        """
        code = self._codes.find(text)
        return float(len(self.classes)) if code is None else code

    @property
    def bins(self) -> int:
        """Number of bins of the prediction or score; the last one is for rows without a usable one."""
        return len(self.edges) + 2

    @cached_property
    def confusion_shape(self) -> tuple[int, ...]:
        """Score bin (binary only), outcome class (the last is any that the model does not know), predicted class."""
        width = len(self.classes)
        return {"binary": (self.bins, width + 1, width), "multiclass": (1, width + 1, width)}.get(self.kind, (1, 1, 1))

    @property
    def ranks_shape(self) -> tuple[int, int, int]:
        """Class, whether it came true, bin of its probability: of multiclass models with probabilities."""
        ranked = self.kind == "multiclass" and bool(self.scores) and len(self.classes) <= MAX_SCORED
        return (len(self.classes) if ranked else 0, 2, len(CLASS_EDGES) + 1)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What came true, and the error of a number, as columns with bins: they drift as any column does."""
        if self.classified:
            return (Column("outcome", "outcome", "categorical", categories=self.classes),)
        outcome = Column("outcome", "outcome", "numeric", edges=self.outcome_edges)
        error = Column("error", "outcome", "numeric", edges=self.error_edges)
        return (outcome, error) if self.kind == "regression" else (outcome,)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Number of counts, and of moments. The first count is of rows that could not be compared."""
        counts = 1 + int(np.prod(self.confusion_shape)) + int(np.prod(self.ranks_shape))
        counts += 0 if self.classified else sum(column.value_bins for column in self.columns)
        bins = self.bins if self.scores or self.kind == "regression" else 0
        return counts, len(TOTALS[self.kind]) + len(BINNED[self.kind]) * bins


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of the rows of one target. `counts`: shape (target.size[0],); `moments`: shape (target.size[1],)."""

    target: Target
    counts: Counts
    moments: Floats

    @classmethod
    def zero(cls, target: Target) -> Sums:
        """Return the sums of no rows."""
        counts, moments = target.size
        return cls(target, np.zeros(counts, np.int64), np.zeros(moments))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.target, self.counts + other.counts, self.moments + other.moments)

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.target, self.counts - other.counts, self.moments - other.moments)

    @property
    def n(self) -> int:
        """Rows that were compared."""
        return int(self.confusion.sum())

    @property
    def unusable(self) -> int:
        """Rows whose prediction is missing or infinite, which nothing can be compared with."""
        return int(self.counts[0])

    @property
    def confusion(self) -> Counts:
        """Rows by score bin, outcome class and predicted class, shape `target.confusion_shape`."""
        shape = self.target.confusion_shape
        return self.counts[1 : 1 + math.prod(shape)].reshape(shape)

    @property
    def ranks(self) -> Counts:
        """Rows by class, whether it came true, and bin of its probability, shape `target.ranks_shape`."""
        shape = self.target.ranks_shape
        first = 1 + int(np.prod(self.target.confusion_shape))
        return self.counts[first : first + int(np.prod(shape))].reshape(shape)

    def column_counts(self) -> Counts:
        """Rows by bin of each of `target.columns`, shape (bins of all of them,)."""
        if self.target.classified:
            return np.append(self.confusion.sum(axis=(0, 2)), 0)
        parts = np.split(self.counts[2:], [self.target.columns[0].value_bins])
        return np.concatenate([np.append(part, (0, 0)) for part in parts if len(part)])

    def column_moments(self) -> tuple[Floats, Floats]:
        """Sums and standard deviations of `target.columns`, both shape (columns,); NaN for classes, or no rows."""
        target, moments = self.target, []
        outcome, error = ("y", "y2", target.centre), ("e", "e2", 0.0)  # names of the sums, and what was subtracted
        for name, squares, centre in {"regression": (outcome, error), "score": (outcome,)}.get(target.kind, ()):
            mean, square = self.total(name) / max(self.n, 1), self.total(squares) / max(self.n, 1)
            deviation = target.scale * math.sqrt(max(square - mean**2, 0.0)) if self.n else math.nan
            moments.append((self.total(name) * target.scale + self.n * centre, deviation))
        sums, deviations = np.array(moments or [(math.nan, math.nan)]).T
        return sums, deviations

    def coarse(self, edges: Sequence[float]) -> Sums:
        """Return the same sums by wider bins: those of the prediction column, whose edges are among the target's."""
        target = replace(self.target, edges=tuple(edges))
        fine = np.array([*self.target.edges, np.inf])
        places = np.append(np.searchsorted(edges, fine), target.bins - 1)
        out = Sums.zero(target)
        first, binned = len(TOTALS[target.kind]), BINNED[target.kind]
        out.moments[:first] = self.moments[:first]
        for name in binned if len(out.moments) > first else ():
            out.binned(name)[:] = np.bincount(places, self.binned(name), target.bins)
        if target.kind != "binary":
            out.counts[:] = self.counts
            return out
        out.counts[0] = self.counts[0]
        np.add.at(out.confusion, places, self.confusion)
        return out

    def total(self, name: str) -> float:
        """Sum of a moment over all rows."""
        names = TOTALS[self.target.kind]
        return float(self.moments[names.index(name)]) if name in names else float(self.binned(name).sum())

    def binned(self, name: str) -> Floats:
        """Sum of a moment by bin of the prediction or score, shape (bins,)."""
        first, names = len(TOTALS[self.target.kind]), BINNED[self.target.kind]
        sums: Floats = self.moments[first:].reshape(len(names), -1)[names.index(name)]
        return sums

    def to_json(self, **more: object) -> str:
        """Return all sums that are not zero, by position, as JSON; `more` is written beside them.

        >>> Sums.zero(Target("score")).to_json()
        '{"counts":{},"moments":{}}'
        """
        parts = {"counts": self.counts.tolist(), "moments": self.moments.tolist()}
        sparse = {name: {str(at): sum_ for at, sum_ in enumerate(values) if sum_} for name, values in parts.items()}
        return json.dumps({**sparse, **more}, separators=(",", ":"))

    @classmethod
    def from_json(cls, target: Target, text: str) -> Sums:
        """Read what `to_json` wrote for the same target. Raises ValueError or IndexError if it does not fit."""
        out, parts = cls.zero(target), json.loads(text)
        for values, name in ((out.counts, "counts"), (out.moments, "moments")):
            sparse: Mapping[str, float] = parts[name]
            values[[int(at) for at in sparse]] = [*sparse.values()]
        return out


def target_of(schema: Schema, positive: str | None = None) -> Target:
    """Derive the target from the prediction columns of a model: the first is the value, `proba_*` are probabilities.

    `positive`: canonical text of the positive class; None for the last class.
    """
    columns = schema.predictions
    first = columns[0]
    prefixed = [(at, column.name) for at, column in enumerate(columns) if column.name.startswith("proba_")]
    probabilities = {name.removeprefix("proba_"): at for at, name in prefixed}
    if first.numeric:
        return Target("regression", edges=first.edges)
    classes = first.categories
    if len(classes) != 2:
        scores = tuple(probabilities[name] for name in classes if name in probabilities)
        whole = len(scores) == len(classes) > 0
        return Target("multiclass", classes, scores=scores if whole else (), edges=CLASS_EDGES if whole else ())
    code = classes.index(positive) if positive in classes else 1
    at = probabilities.get(classes[code])
    if at is None:
        return Target("binary", classes, positive=code)
    edges = tuple(sorted({*columns[at].edges, *PROBABILITY_EDGES}))
    return Target("binary", classes, positive=code, scores=(at,), edges=edges)


class Engine:
    """Works out the formulas of `Terms`, on arrays; a missing number is NaN. A subclass does in a database."""

    def number(self, value: float) -> Any:
        """Return a double."""
        return float(value)

    def where(self, condition: Any, then: Any, other: Any) -> Any:
        """Take one of two values for each row."""
        return np.where(condition, then, other)

    def within(self, x: Any, limit: float) -> Any:
        """Whether a number is there, and no larger than the limit."""
        return np.abs(x) <= limit

    def size(self, x: Any) -> Any:
        """Absolute value."""
        return np.abs(x)

    def place(self, x: Any, edges: Sequence[float]) -> Any:
        """Bin of each number."""
        return np.searchsorted(edges, x)

    def whole(self, x: Any) -> Any:
        """Codes as integers."""
        return x.astype(np.intp)

    def log(self, x: Any) -> Any:
        """Natural logarithm."""
        return np.log(x)

    def largest(self, *values: Any) -> Any:
        """The largest of some values of each row."""
        return np.maximum.reduce(values)


class Terms:
    """What each row adds to its `Sums`, as formulas: the same on arrays and in the language of a database.

    `predictions`: by column, classes as codes. `y`: what came true, a number or a code.
    """

    def __init__(self, target: Target, engine: Engine, predictions: Any, y: Any) -> None:
        self._target, self._engine, self._predictions, self._y = target, engine, predictions, y
        self._scores = [predictions[at] for at in target.scores]

    def _one_if(self, condition: Any) -> Any:
        return self._engine.where(condition, self._engine.number(1), self._engine.number(0))

    @property
    def usable(self) -> Any:
        """Which rows can be compared. All that follows is of these only."""
        target, within = self._target, self._engine.within
        usable = within(self._y, LARGEST)
        if target.kind == "score":
            return usable
        value = self._predictions[0]
        usable = usable & within(value, LARGEST)
        return usable & (value < len(target.classes)) if target.classified else usable

    @property
    def scored(self) -> Any:
        """Which rows have all probabilities."""
        return reduce(and_, (self._engine.within(p, LARGEST_FLOAT) for p in self._scores))

    @property
    def known(self) -> Any:
        """Which rows have moments: of classes, those with probabilities whose class the model knows."""
        return self.scored & (self._y < len(self._target.classes)) if self._target.classified else self.usable

    def cells(self) -> Iterator[tuple[Any, Any]]:
        """Positions among the counts that each row adds one to, with which rows do; True: all."""
        target, engine, y, width = self._target, self._engine, self._y, len(self._target.classes)
        if not target.classified:
            yield True, 1
            yield True, engine.place(y, target.outcome_edges) + 2
            if target.kind == "regression":
                error = self._predictions[0] - y
                yield True, engine.place(error, target.error_edges) + 3 + len(target.outcome_edges)
            return
        cell = engine.whole(y) * width + engine.whole(self._predictions[0]) + 1
        if target.kind == "binary" and target.scores:
            place = engine.where(self.scored, engine.place(self._scores[0], target.edges), target.bins - 1)
            cell = cell + place * (width * (width + 1))
        yield True, cell
        first, (ranked, _, bins) = 1 + math.prod(target.confusion_shape), target.ranks_shape
        for code in range(ranked):
            came = engine.where(y == code, bins, 0)
            yield self.known, engine.place(self._scores[code], CLASS_EDGES) + came + (first + 2 * bins * code)

    def moments(self) -> tuple[Any, Mapping[str, Any]]:
        """Bin of each row that is `known`, and its moments by name."""
        target, engine, y, size = self._target, self._engine, self._y, self._engine.size
        if target.classified:
            return self._moments_of_classes()
        scaled = (y - engine.number(target.centre)) / engine.number(target.scale)
        y2 = scaled * scaled
        if target.kind == "score":
            return 0, {"y": scaled, "y2": y2}
        predicted, none = self._predictions[0], y == engine.number(0)
        away = predicted - y
        e, ape = away / engine.number(target.scale), size(away) / engine.where(none, engine.number(1), size(y))
        ape, e2, ones = engine.where(none, engine.number(0), ape), e * e, self._one_if(self.usable)
        inside, above, whole = (ones * 0,) * 3
        if target.interval is not None:
            low, high = (self._predictions[at] for at in target.interval)
            whole = self._one_if(engine.within(low, LARGEST_FLOAT) & engine.within(high, LARGEST_FLOAT))
            inside, above = self._one_if((low <= y) & (y <= high)), self._one_if(y > high)
        moments = {"abs_e_e": size(e) * e, "ape": ape, "ape2": ape * ape, "ape_rows": ones - self._one_if(none)}
        moments |= {"inside": inside, "outside_above": above, "interval_rows": whole}
        moments |= {"y": scaled, "y2": y2, "y3": y2 * scaled, "y4": y2 * y2, "y_e2": scaled * e2, "y2_e2": y2 * e2}
        moments |= {"rows": ones, "e": e, "abs_e": size(e), "e2": e2, "e4": e2 * e2}
        return engine.place(predicted, target.edges), moments

    def _moments_of_classes(self) -> tuple[Any, Mapping[str, Any]]:
        target, engine, y = self._target, self._engine, self._y
        p, codes = self._scores, [*range(len(target.classes))]
        if target.kind == "binary":
            p, codes = [p[0], 1 - p[0]], [target.positive, 1 - target.positive]
        hits = [self._one_if(y == code) for code in codes]
        came, low, high = reduce(add, map(mul, p, hits)), engine.number(CLIP), engine.number(1 - CLIP)
        log = -engine.log(engine.where(came < low, low, engine.where(came > high, high, came)))
        errors = [(x - hit) * (x - hit) for x, hit in zip(p, hits, strict=True)]
        if target.kind == "binary":
            brier, top, tilt = errors[0], p[0], 1 - 2 * p[0]
            moments = {"gap_tilt": (hits[0] - p[0]) * tilt, "tilt2_var": tilt * tilt * p[0] * (1 - p[0])}
        else:
            brier, top = reduce(add, errors), engine.largest(*p)
            right = self._one_if(y == self._predictions[0])
            moments = {"right": right, "rows": reduce(add, hits)}
        moments |= {"brier": brier, "brier2": brier * brier, "log": log, "log2": log * log, "p": top}
        return engine.place(top, target.edges), moments


def contribute(target: Target, predictions: Floats, outcomes: Floats) -> Sums:
    """Return the sums of some rows.

    `predictions`: shape (n, prediction columns), classes as codes. `outcomes`: shape (n,), numbers or codes; the code
    `len(classes)` is of a class that the model does not know, which counts as wrong. A row whose prediction or outcome
    is not finite, or larger than `LARGEST`, is counted as unusable.
    """
    sums = Sums.zero(target)
    for begin in range(0, len(outcomes), ROWS):
        part = slice(begin, begin + ROWS)
        _contribute(sums, predictions[part], outcomes[part])
    return sums


def _contribute(sums: Sums, predictions: Floats, outcomes: Floats) -> None:
    target = sums.target
    usable = Terms(target, Engine(), predictions.T, outcomes).usable
    sums.counts[0] += (~usable).sum()
    predictions, outcomes = predictions[usable], outcomes[usable]
    terms = Terms(target, Engine(), predictions.T, outcomes)
    for which, place in terms.cells():
        places = np.broadcast_to(place, len(outcomes))
        sums.counts[:] += np.bincount(places if which is True else places[which], minlength=len(sums.counts))
    if target.classified:
        if not target.scores:
            return
        known = terms.known
        terms = Terms(target, Engine(), predictions[known].T, outcomes[known])
    place, moments = terms.moments()
    totals = TOTALS[target.kind]
    sums.moments[: len(totals)] += [moments[name].sum() for name in totals]
    for name in BINNED[target.kind]:
        sums.binned(name)[:] += np.bincount(place, moments[name], target.bins)
