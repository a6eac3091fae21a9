"""`--holdout`: how well a model does on rows that it was not trained on, as the baseline in the reference file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.capture.encode import Encoder
from monitor.capture.names import UnseenNames
from monitor.columns.canonical import Block, floats
from monitor.columns.column import Floats, Kind, Schema
from monitor.errors import DataError
from monitor.outcomes.baseline import Baseline, baseline_of, losses
from monitor.outcomes.sums import Target, target_of
from monitor.reference.file import Reference
from monitor.tables.parse import BadRows
from monitor.tables.read import open_reader
from train.selection import Aim

#: Rows that importances are measured on, and shuffles of each column: a share of importance moves by a few hundredths.
IMPORTANCE_ROWS, SHUFFLES = 5_000, 3

#: Bins of what came true, and of errors.
QUANTILE_BINS = 20

#: Answers a sequence for each prediction column, given the blocks of the features.
Predict = Callable[[Sequence[Any]], Sequence[Any]]

#: Passes columns on while it shows progress to a person.
Shown = Callable[[Sequence[int]], Iterator[int]]


def encoder_of(schema: Schema) -> Encoder:
    """Return an encoder that keeps no names of unseen values."""
    return Encoder(schema, UnseenNames(Path(os.devnull), schema, 0))


def target_for(schema: Schema, answered: Floats, came: Floats, aim: Aim) -> Target:
    """Return the target of a model, with scale and bins from what it answered and what came true, each of shape (n,).

    Raises DataError for an aim that does not fit the model.
    """
    first, names = schema.predictions[0], [column.name for column in schema.predictions]
    if aim.positive is not None and aim.positive not in first.categories:
        known = ", ".join(first.categories) or "numbers"
        raise DataError(f"--positive {aim.positive}: the model answers no such class; it answers {known}")
    target = Target("score") if aim.score else target_of(schema, aim.positive)
    if aim.costs:
        target = replace(target, costs=_costs(target, aim))
    if aim.interval:
        missing = [name for name in aim.interval if name not in names]
        if missing or len(aim.interval) != 2:
            raise DataError(f"--interval: expected two of the predictions {', '.join(names)}, LOWER,UPPER")
        target = replace(target, interval=(names.index(aim.interval[0]), names.index(aim.interval[1])))
    if aim.quantile is not None and not 0 < aim.quantile < 1:
        raise DataError(f"--quantile {aim.quantile:g}: expected a number between 0 and 1")
    if target.classified and (aim.interval or aim.quantile is not None):
        raise DataError("--interval and --quantile are for a model that answers numbers; this one answers classes")
    target = replace(target, quantile=aim.quantile)
    if target.classified:
        return target
    usable = np.isfinite(came) & (np.isfinite(answered) | aim.score)
    came, error = came[usable], (answered - came)[usable]
    if not len(came):
        return target
    target = replace(target, centre=float(came.mean()), scale=float(came.std()) or 1.0)
    edges = () if aim.score else quantile_edges(error)
    return replace(target, outcome_edges=quantile_edges(came), error_edges=edges)


def _costs(target: Target, aim: Aim) -> tuple[tuple[float, ...], ...]:
    if not target.classified:
        raise DataError("--value is for a model that answers classes; this one answers numbers")
    table = np.zeros((len(target.classes), len(target.classes)))
    for came, answered, worth in aim.costs:
        for name in (came, answered):
            if name not in target.classes:
                raise DataError(f"--value: the model answers no {name!r}; it answers {', '.join(target.classes)}")
        table[target.classes.index(came), target.classes.index(answered)] = worth
    return tuple(map(tuple, table.tolist()))


def quantile_edges(values: Floats) -> tuple[float, ...]:
    """Upper bounds of bins with about as many values each; the outer ones hold what is beyond all values."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, QUANTILE_BINS - 1), method="inverted_cdf"))
    return (float(np.nextafter(edges[0], -np.inf)), *map(float, edges))


def baseline_from_rows(
    schema: Schema,
    features: Sequence[Block],
    outcomes: Any,
    predict: Predict,
    *,
    source: str,
    aim: Aim = Aim(),  # noqa: B008 - a constant
    shown: Shown | None = iter,
) -> Baseline:
    """Work out the baseline of a model from rows that it was not trained on.

    `features`: a block for each feature, of shape (n,). `outcomes`: shape (n,), what came true. `shown`: None if
    `predict` asks no model, so that there is no importance to measure. Raises DataError if no row can be compared.
    """
    encoder, width = encoder_of(schema), len(schema.features)
    values = encoder.table([*features, *predict(features)])
    came = floats(outcomes) if aim.score else encoder.column(width, outcomes)
    target = target_for(schema, values[:, width], came, aim)
    baseline = baseline_of(schema, target, values, came, source)
    if not baseline.sums.n:
        raise DataError(f"{source}: has no row with both an outcome and a prediction")
    if aim.score or shown is None:
        return baseline  # shuffling a column changes no reward that was given
    return replace(baseline, importance=_importance(encoder, features, came, predict, target, shown))


def _importance(
    encoder: Encoder, features: Sequence[Block], outcomes: Floats, predict: Predict, target: Target, progress: Shown
) -> dict[str, float]:
    """Permutation importance (Breiman 2001): rise of the mean loss if a column is shuffled, as shares of their sum."""
    schema, rng = encoder.schema, np.random.default_rng(0)
    width = len(schema.features)
    rows = rng.permutation(len(outcomes))[:IMPORTANCE_ROWS]
    kept = [_pick(block, rows) for block in features]

    def loss(blocks: Sequence[Block]) -> float:
        return float(np.nanmean(losses(target, encoder.table(predict(blocks), width), outcomes[rows])))

    before = loss(kept)
    rises = {}
    for position in progress(range(width)):
        shuffled = [_pick(kept[position], rng.permutation(len(rows))) for _ in range(SHUFFLES)]
        losses_then = [loss([*kept[:position], block, *kept[position + 1 :]]) for block in shuffled]
        rises[schema.features[position].name] = max(float(np.mean(losses_then)) - before, 0.0)
    total = sum(rises.values())
    return {name: rise / total if total else 0.0 for name, rise in rises.items()}


def _pick(block: Block, rows: npt.NDArray[np.intp]) -> Block:
    return block[rows] if isinstance(block, np.ndarray) else [block[row] for row in rows]


def baseline_from_file(
    reference: Reference,
    path: Path,
    target: str,
    predictions: Sequence[str],
    predict: Predict | None,
    bad: BadRows,
    *,
    aim: Aim = Aim(),  # noqa: B008 - a constant
    shown: Shown = iter,
) -> Baseline:
    """Read held-out rows, and work out the baseline. Raises DataError that names what is missing.

    `predictions`: columns of the file that hold the model's answers, if no model is asked.
    """
    schema = reference.schema
    names = [column.name for column in schema.features]
    wanted = [*names, *(() if predict else predictions), target]
    reader = open_reader(path, bad)
    missing = [name for name in wanted if name not in reader.names]
    if missing:
        raise DataError(f"{path}: has no column {', '.join(missing)}, which --data has")
    columns = [*schema.features, *(() if predict else schema.predictions), schema.predictions[0]]
    kinds: dict[str, Kind] = {name: column.kind for name, column in zip(wanted, columns, strict=True)}
    kinds |= {target: "numeric"} if aim.score else {}
    chunks = list(reader.chunks(list(dict.fromkeys(wanted)), kinds))
    if not chunks:
        raise DataError(f"{path}: holds no row that can be used")
    joined = [_join(parts) for parts in zip(*chunks, strict=True)]
    blocks = dict(zip(dict.fromkeys(wanted), joined, strict=True))
    answers = [blocks[name] for name in predictions] if predict is None else []
    return baseline_from_rows(
        schema,
        [blocks[name] for name in names],
        blocks[target],
        predict or (lambda _: answers),
        source=path.name,
        aim=aim,
        shown=shown if predict else None,
    )


def _join(parts: Sequence[Block]) -> Block:
    numbers = [part for part in parts if isinstance(part, np.ndarray)]
    return np.concatenate(numbers) if len(numbers) == len(parts) else [value for part in parts for value in part]
