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
from monitor.columns.canonical import Block
from monitor.columns.column import Floats, Kind, Schema
from monitor.errors import DataError
from monitor.outcomes.baseline import Baseline, baseline_of, losses
from monitor.outcomes.sums import Target, target_of
from monitor.reference.file import Reference
from monitor.tables.parse import BadRows
from monitor.tables.read import open_reader

#: Rows that importances are measured on, and shuffles of each column: a share of importance moves by a few hundredths.
IMPORTANCE_ROWS, SHUFFLES = 5_000, 3

#: Answers a sequence for each prediction column, given the blocks of the features.
Predict = Callable[[Sequence[Any]], Sequence[Any]]

#: Passes columns on while it shows progress to a person.
Shown = Callable[[Sequence[int]], Iterator[int]]


def encoder_of(schema: Schema) -> Encoder:
    """Return an encoder that keeps no names of unseen values."""
    return Encoder(schema, UnseenNames(Path(os.devnull), schema, 0))


def target_for(schema: Schema, answered: Floats, came: Floats, positive: str | None) -> Target:
    """Return the target of a model, with scale and bins from what it answered and what came true, each of shape (n,).

    Raises DataError.
    """
    first = schema.predictions[0]
    if positive is not None and positive not in first.categories:
        known = ", ".join(first.categories) or "numbers"
        raise DataError(f"--positive {positive}: the model answers no such class; it answers {known}")
    target = target_of(schema, positive)
    if target.kind != "regression":
        return target
    usable = np.isfinite(came) & np.isfinite(answered)
    came, error = came[usable], (answered - came)[usable]
    if not len(came):
        return target
    target = replace(target, centre=float(came.mean()), scale=float(came.std()) or 1.0)
    return replace(target, outcome_edges=quantile_edges(came), error_edges=quantile_edges(error))


def quantile_edges(values: Floats, bins: int = 20) -> tuple[float, ...]:
    """Upper bounds of bins with about as many values each; the outer ones hold what is beyond all values."""
    found = np.unique(np.quantile(values, np.linspace(0, 1, bins - 1), method="inverted_cdf"))
    return (float(np.nextafter(found[0], -np.inf)), *map(float, found))


def baseline_from_rows(
    schema: Schema,
    features: Sequence[Block],
    outcomes: Any,
    predict: Predict,
    *,
    source: str,
    positive: str | None = None,
    shown: Shown = iter,
) -> Baseline:
    """Work out the baseline of a model from rows that it was not trained on.

    `features`: a block for each feature, of shape (n,). `outcomes`: shape (n,), what came true. Raises DataError if no
    row can be compared.
    """
    encoder, width = encoder_of(schema), len(schema.features)
    values = np.empty((len(features[0]), len(schema.captured)))
    for position, block in enumerate([*features, *predict(features)]):
        values[:, position] = encoder.column(position, block)
    came = encoder.column(width, outcomes)
    target = target_for(schema, values[:, width], came, positive)
    baseline = baseline_of(schema, target, values, came, source)
    if not baseline.sums.n:
        raise DataError(f"{source}: has no row with both an outcome and a prediction")
    return replace(baseline, importance=_importance(encoder, features, came, predict, target, shown))


def _importance(
    encoder: Encoder, features: Sequence[Block], came: Floats, predict: Predict, target: Target, shown: Shown
) -> dict[str, float]:
    """Permutation importance (Breiman 2001): rise of the mean loss if a column is shuffled, as shares of their sum."""
    schema, rng = encoder.schema, np.random.default_rng(0)
    width = len(schema.features)
    rows = rng.permutation(len(came))[:IMPORTANCE_ROWS]
    kept = [_pick(block, rows) for block in features]

    def loss(blocks: Sequence[Block]) -> float:
        answers = [encoder.column(width + at, block) for at, block in enumerate(predict(blocks))]
        return float(np.nanmean(losses(target, np.stack(answers, axis=1), came[rows])))

    before = loss(kept)
    rises = {}
    for position in shown(range(width)):
        shuffled = [
            loss([*kept[:position], _pick(kept[position], rng.permutation(len(rows))), *kept[position + 1 :]])
            for _ in range(SHUFFLES)
        ]
        rises[schema.features[position].name] = max(float(np.mean(shuffled)) - before, 0.0)
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
    positive: str | None = None,
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
    chunks = list(reader.chunks(list(dict.fromkeys(wanted)), kinds))
    if not chunks:
        raise DataError(f"{path}: holds no row that can be used")
    joined = [_join(parts) for parts in zip(*chunks, strict=True)]
    blocks = dict(zip(dict.fromkeys(wanted), joined, strict=True))
    given = [blocks[name] for name in predictions] if predict is None else []
    return baseline_from_rows(
        schema,
        [blocks[name] for name in names],
        blocks[target],
        predict or (lambda _: given),
        source=path.name,
        positive=positive,
        shown=shown if predict else lambda _: iter(()),
    )


def _join(parts: Sequence[Block]) -> Block:
    numbers = [part for part in parts if isinstance(part, np.ndarray)]
    return np.concatenate(numbers) if len(numbers) == len(parts) else [one for part in parts for one in part]
