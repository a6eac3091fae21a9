"""What `python -m train reference` tells a person: what it decided for each column, why, and how to change it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from monitor.models.facts import title
from train.reference import Made

#: Rows below which a reference is called small: chance alone moves a share by several hundredths then.
FEW = 300

#: Widest a column of the printed table may be, but for the last.
WIDEST = 40


def describe(made: Made, data: Path, output: Path, seconds: float) -> Iterator[str]:
    """Lines to print after a reference was made."""
    answers = f"predictions of {title(made.model.estimator)}" if made.model else "predictions from the data"
    rows = made.reference.info.rows
    yield f"Read {rows:,} row{'' if rows == 1 else 's'} of {data} in {seconds:.1f} s; {answers}."
    if rows < FEW:
        yield f"That is a small reference: only large changes will show. From {FEW} rows on it is a sound one."
    if made.bad.count:
        more = "; ..." if made.bad.count > len(made.bad.examples) else ""
        yield f"Bad rows skipped: {made.bad.count:,} ({'; '.join(made.bad.examples)}{more})"
    yield ""
    yield from aligned([("column", "kind", "missing", "why"), *_rows(made)])
    yield ""
    yield f"Wrote {output}: {made.reference.schema.size:,} bins of {len(made.decisions):,} columns."
    yield "To change a kind: --categorical COLUMN or --numeric COLUMN; to leave a column out: --ignore COLUMN."


def aligned(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Lines of a table whose columns are as wide as their widest cell.

    >>> list(aligned([("a", "b"), ("long", "c")]))
    ['a     b', 'long  c']
    """
    widths = [min(WIDEST, max(map(len, column))) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _rows(made: Made) -> Iterator[tuple[str, str, str, str]]:
    for decision in made.decisions:
        column = decision.column
        plain = column.role == "feature" or column.name == "prediction"
        name = column.name if plain else f"{column.name} (prediction)"
        missing = f"{decision.missing_share:.1%}" if decision.missing_share else "-"
        yield name, column.kind, missing, decision.reason
    for name, reason in made.left_out:
        yield name, "left out", "", reason
