"""Draw how values are spread over the bins of a column, one line of block characters for each period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor import words
from monitor.columns.column import Column, Counts

BLOCKS = "·▁▂▃▄▅▆▇█"
#: Most characters of a line of bins: with a time, a count and a mean it fits into 80.
MOST = 30


def bar(shares: npt.NDArray[np.float64], top: float) -> str:
    """Draw shares as heights, in eighths of `top`; a dot is a bin without rows.

    >>> bar(np.array([0.0, 0.01, 0.5, 1.0]), 1.0)
    '·▁▄█'
    """
    return "".join(BLOCKS[level] for level in np.ceil(shares / (top or 1.0) * 8).astype(int))


def grouped(column: Column, reference: Counts) -> list[list[int]]:
    """Bins that share a character: neighbours of a numeric column, and the rarest categories of the reference."""
    if column.numeric:
        return [part.tolist() for part in np.array_split(range(column.value_bins), min(column.value_bins, MOST))]
    known = len(column.categories)
    often = sorted(sorted(range(known), key=lambda i: -reference[i])[: MOST - 2])
    rest = [i for i in range(known) if i not in often]
    return [*([i] for i in often), *([rest] if rest else []), [known]]


def draw(
    column: Column, reference: Counts, counts: Counts, starts: Sequence[str], means: Sequence[float | None]
) -> Iterator[str]:
    """Lines for one column: its reference first, then each period with rows. Readable at 80 characters.

    `counts`: shape (periods, column.size); `means`: of the reference, then of each period.
    """
    groups, values = grouped(column, reference), column.value_bins
    both = np.vstack([reference, counts]).astype(float)
    shares = np.stack([both[:, part].sum(axis=1) for part in groups], axis=1)
    shares /= np.maximum(both[:, :values].sum(axis=1, keepdims=True), 1.0)
    top, wide = float(shares.max()), 1 if column.numeric else max(1, min(MOST // len(groups), 5))
    rows: list[tuple[Any, ...]] = []
    for label, own, share, mean in zip(["reference", *starts], both, shares, means, strict=True):
        if n := int(own.sum()):
            gone = words.percent(own[column.missing_bin] / n)
            rows.append(
                (label, n, bar(np.repeat(share, wide), top), words.number(mean) if column.numeric else None, gone)
            )
    yield f"{column.name} ({column.role}, {column.kind})"
    head = ("from (UTC)", "rows", f"{len(groups)} bins", "mean", "missing")
    yield from words.table(head, rows, right=range(1, 5), optional=() if column.numeric else ("mean",))
    labels = [column.labels[part[0]] if len(part) == 1 else f"{len(part)} rare ones" for part in groups[:-1]]
    ends = f"{column.labels[0]} to {column.labels[values - 1]}" if column.numeric else ", ".join([*labels, "unseen"])
    yield from words.fact("bins", f"{ends}; a full block is {words.percent(top)} of the rows with a value", 4)
