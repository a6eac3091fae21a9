"""From the text of a cell to a number, a text, or a missing value; from raw columns to blocks.

A block of a file column is float64 where every cell is a number or missing, and a list of texts otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.errors import DataError
from monitor.window.columns import Kind, canonical, clean_text
from monitor.window.counter import Block

#: Cells that mean "no value", in any column.
MISSING_CELLS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})

#: A column with at least this share of numbers among its values is a column of numbers with some bad cells.
MOSTLY = 0.9

_BOOLEANS = {"true": "true", "True": "true", "TRUE": "true", "false": "false", "False": "false", "FALSE": "false"}


@dataclass
class BadRows:
    """Rows that cannot be used: the first one ends the command, unless they are to be skipped and counted."""

    path: str
    skip: bool
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, line: int, what: str) -> None:
        """Note one bad row. Raises DataError unless bad rows are skipped."""
        if not self.skip:
            raise DataError(f"{self.path}, line {line}: {what}; --skip-bad-rows leaves such rows out")
        self.count += 1
        if len(self.examples) < 3:
            self.examples.append(f"line {line}: {what}")


@dataclass
class CellCount:
    """How many cells of one column were numbers and how many were texts, over the whole file."""

    numbers: int = 0
    texts: int = 0
    first_text: tuple[int, str] | None = None

    @property
    def mixed(self) -> bool:
        """Whether the column is one of numbers that holds texts here and there."""
        return bool(self.texts) and self.numbers >= MOSTLY * (self.numbers + self.texts)


def number(cell: str) -> float | None:
    """Read a cell as a number; NaN where it is missing, None where it is a text.

    Python would also take `1_000`, which no other reader of CSV does.

    >>> number("1.5"), number(" 2 "), number("1_000"), number("abc"), math.isnan(number("NA"))
    (1.5, 2.0, None, None, True)
    """
    if cell in MISSING_CELLS:
        return math.nan
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return math.nan if cell.strip() in MISSING_CELLS else None


def numbers(cells: Sequence[str]) -> Block | None:
    """Read all cells as numbers; None where one is a text."""
    for attempt in (cells, [cell or "nan" for cell in cells] if "" in cells else None):
        if attempt is None:
            continue
        try:
            values = np.fromiter(map(float, attempt), dtype=np.float64, count=len(cells))
            return None if "_" in "".join(cells) else values
        except ValueError:
            pass
    known: dict[str, float] = {}
    for cell in set(cells):
        value = number(cell)
        if value is None:
            return None
        known[cell] = value
    return np.fromiter(map(known.__getitem__, cells), dtype=np.float64, count=len(cells))


def texts(cells: Sequence[str]) -> Block:
    """Read all cells as texts, where not all are numbers: numbers and booleans in their canonical spelling.

    >>> texts(["a", "2.0", "True", ""])
    ['a', '2', 'true', None]
    """
    known: dict[str, str | None] = {}
    for cell in set(cells):
        value = number(cell)
        if value is None:
            known[cell] = _BOOLEANS.get(cell) or clean_text(cell)
        else:
            known[cell] = None if math.isnan(value) else canonical(value)
    return [known[cell] for cell in cells]


def raw_texts(cells: Sequence[str]) -> Block:
    """Read the cells of a column declared categorical: as they are written, so that `007` stays `007`."""
    known = {cell: None if cell in MISSING_CELLS else _BOOLEANS.get(cell) or clean_text(cell) for cell in set(cells)}
    return [known[cell] for cell in cells]


def read_cells(cells: Sequence[str], declared: Kind | None, lines: Sequence[int], tally: CellCount) -> Block:
    """Turn one column of a chunk into a block, and count what it was made of.

    `lines`: the line of each cell in its file. A column that is declared numeric must hold numbers only: rows in which
    it does not were taken out before.
    """
    if declared == "categorical":
        return raw_texts(cells)
    block = numbers(cells)
    if block is not None:
        tally.numbers += len(cells)
        return block
    are_texts = {cell for cell in set(cells) if number(cell) is None}
    count = sum(map(are_texts.__contains__, cells))
    tally.texts += count
    tally.numbers += sum(cell not in are_texts and cell not in MISSING_CELLS for cell in cells)
    if tally.first_text is None:
        line, cell = next((line, cell) for line, cell in zip(lines, cells, strict=True) if cell in are_texts)
        tally.first_text = (line, cell)
    return texts(cells)
