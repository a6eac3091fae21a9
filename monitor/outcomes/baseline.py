"""What is known of a model from rows that it was not trained on: its performance, its loss by bin, its importances.

A baseline is a part of the reference file. The loss and the prediction by bin of each column say what a shift of that
column does to the model, as if only that column had moved and the rest followed as it used to: its harm.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from monitor.columns.binning import NumericBins
from monitor.columns.column import Column, Counts, Floats, Role, Schema
from monitor.drift.result import Harm
from monitor.outcomes.performance import METRICS, bin_variance, measure
from monitor.outcomes.sums import Sums, Target, contribute

#: Smallest rises of the mean answer that are told: in standard deviations of the target, and of a share.
ANSWER_FLOOR, SHARE_FLOOR = 0.1, 0.03

#: Share of the reference from which its outer bins count as seen.
SEEN = 0.001


class ByBin(NamedTuple):
    """Held-out rows of one column by bin, each of shape (column.size,).

    `loss`, `loss2`: sums of the loss and its square; `answer`, `answer2`: of what the model answers.
    """

    rows: Floats
    loss: Floats
    loss2: Floats
    answer: Floats
    answer2: Floats


@dataclass(frozen=True)
class Baseline:
    """Performance on held-out rows, and what each column has to do with it.

    `source`: the rows in words, for people: "holdout.csv". `columns`: by role and name. `importance`: by name, rise of
    the loss when the column is shuffled, as a part of the sum over all columns; empty if it was not measured.
    """

    sums: Sums
    source: str = ""
    columns: Mapping[tuple[Role, str], ByBin] = field(default_factory=dict)
    importance: Mapping[str, float] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """What the outcomes are."""
        return self.sums.target

    @property
    def loss_name(self) -> str:
        """Name of the loss for people."""
        return {"regression": METRICS["mae"], "score": "lost score"}.get(self.target.kind, "error rate")

    @cached_property
    def mean_loss(self) -> float:
        """Mean loss of the held-out rows: MAE in the target's unit, the share of wrong answers, or the score less."""
        metrics = measure(self.sums)
        if self.target.kind == "score":
            return -metrics["score"].value
        return metrics["mae"].value if self.target.kind == "regression" else 1 - metrics["accuracy"].value

    def harm(self, column: Column, reference: Counts, live: Counts) -> Harm | None:
        """What the shift of a column does to the model, for people; None if the held-out rows do not tell."""
        by_bin = self.columns.get((column.role, column.name))
        if by_bin is None:
            return None
        # A few held-out rows out of range, or with an unseen value, do not speak for others that are.
        outer = [0, column.value_bins - 1] if column.numeric else [column.value_bins - 1]
        rows = by_bin.rows.copy()
        rows[[at for at in outer if reference[at] <= SEEN * reference.sum()]] = 0
        shift = harm(by_bin._replace(rows=rows), reference, live)
        if shift is None:
            return None
        target = self.target
        of = f"share of {target.classes[target.positive]}" if target.kind == "binary" else "mean prediction"
        importance = self.importance.get(column.name) if column.role == "feature" else None
        floor = ANSWER_FLOOR * target.scale if target.kind == "regression" else SHARE_FLOOR
        shift = replace(shift, usual=self.mean_loss, answer_floor=floor, name=self.loss_name)
        # What a shift of the predictions does to the predictions is that shift.
        answer = 0.0 if column.role == "prediction" else shift.answer
        return replace(shift, of=of, importance=importance, answer=answer)

    def to_json(self) -> str:
        """Return all of it as JSON."""
        columns = [
            {"role": role, "name": name, **{key: sums.tolist() for key, sums in by_bin._asdict().items()}}
            for (role, name), by_bin in self.columns.items()
        ]
        parts = {
            "target": _not_default(self.target),
            "sums": json.loads(self.sums.to_json()),
            "source": self.source,
            "columns": columns,
            "importance": dict(self.importance),
        }
        return json.dumps(parts, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Baseline:
        """Read what `to_json` wrote. Raises ValueError, KeyError, TypeError or IndexError if it is not that."""
        parts = json.loads(text)
        target = target_from_json(parts["target"])
        columns = {}
        for column in parts["columns"]:
            by_bin = ByBin(*(np.array(column[name], dtype=np.float64) for name in ByBin._fields))
            columns[column["role"], column["name"]] = by_bin
        sums = Sums.from_json(target, json.dumps(parts["sums"]))
        return cls(sums, parts["source"], columns, parts["importance"])


def _not_default(target: Target) -> dict[str, Any]:
    """Return the fields that are not the defaults: a field that a later version adds does not change old references.

    >>> _not_default(Target("regression", scale=2.0))
    {'kind': 'regression', 'scale': 2.0}
    """
    defaults = {field.name: field.default for field in fields(Target)}
    return {name: value for name, value in asdict(target).items() if value != defaults[name]}


def target_from_json(parts: Mapping[str, Any]) -> Target:
    """Read a target from the dictionary of its fields, in which every tuple is a list; the others have defaults."""

    def as_tuple(value: Any) -> Any:
        return tuple(map(as_tuple, value)) if isinstance(value, list) else value

    return Target(**{name: as_tuple(value) for name, value in parts.items()})


def losses(target: Target, predictions: Floats, outcomes: Floats) -> Floats:
    """Loss of each row, shape (n,): the absolute error, 1 for a wrong class, or minus the score; NaN if unknown."""
    if target.kind == "score":
        return -outcomes
    value = predictions[:, 0]
    if target.kind == "regression":
        return np.asarray(np.abs(value - outcomes))
    wrong: Floats = (value != outcomes).astype(np.float64)
    wrong[~np.isfinite(value) | ~np.isfinite(outcomes)] = np.nan
    return wrong


def answers(target: Target, predictions: Floats) -> Floats:
    """Return what the model answers as a number, shape (n,): the value, the score, or whether the class is positive."""
    if target.kind == "multiclass":
        return np.full(len(predictions), np.nan)
    if target.kind == "binary" and not target.scores:
        return np.asarray((predictions[:, 0] == target.positive).astype(np.float64))
    return np.asarray(predictions[:, target.scores[0] if target.scores else 0])


def baseline_of(schema: Schema, target: Target, values: Floats, outcomes: Floats, source: str = "") -> Baseline:
    """Work out the baseline from held-out rows.

    `values`: shape (n, captured columns), encoded as a record is. `outcomes`: shape (n,), numbers or codes of classes.
    """
    predictions = values[:, len(schema.features) :]
    loss, answer = losses(target, predictions, outcomes), answers(target, predictions)
    usable = np.isfinite(loss)
    columns = {}
    for at, column in enumerate(schema.captured):
        columns[column.role, column.name] = _by_bin(column, values[usable, at], loss[usable], answer[usable])
    return Baseline(contribute(target, predictions, outcomes), source, columns)


def _by_bin(column: Column, x: Floats, loss: Floats, answer: Floats) -> ByBin:
    if column.numeric:
        bins = NumericBins(column).find(x, finite=False)
    else:
        codes = np.minimum(x, len(column.categories))
        bins = np.where(np.isfinite(codes), codes, column.missing_bin).astype(np.intp)
    answer = np.where(np.isfinite(answer), answer, 0.0)
    moments = (np.ones(len(x)), loss, loss**2, answer, answer**2)
    return ByBin(*(np.bincount(bins, moment, column.size).astype(np.float64) for moment in moments))


def harm(by_bin: ByBin, reference: Counts, live: Counts) -> Harm | None:
    """Harm of a column whose counts went from `reference` to `live`, both of shape (column.size,); None without rows.

    The dot product of the shift of the shares with the mean loss by bin, over bins that held-out rows were in. Its
    variance is that of the means, and of the live shares.
    """
    n, m, known = float(live.sum()), float(reference.sum()), by_bin.rows > 0
    if not n or not m or not known.any():
        return None
    shares, before = live / n, reference / m
    unknown = float(shares[~known].sum())
    rows = np.maximum(by_bin.rows, 1.0)

    def moved(total: Floats, squares: Floats) -> tuple[float, float]:
        mean = total / rows
        # Bins without held-out rows count as the mean of the others, so that they neither add nor take anything.
        usual = float((before * known * mean).sum()) / max(float(before[known].sum()), 1e-300)
        gap = np.where(known, mean - usual, 0.0)
        spread = bin_variance(mean, squares / rows, by_bin.rows)
        value = float(((shares - before) * gap).sum())
        variance = float(((shares - before) ** 2 * spread / rows).sum())
        variance += (float((shares * gap**2).sum()) - float((shares * gap).sum()) ** 2) / n
        return value, math.sqrt(max(variance, 0.0))

    return Harm(*moved(by_bin.loss, by_bin.loss2), *moved(by_bin.answer, by_bin.answer2), unknown)
