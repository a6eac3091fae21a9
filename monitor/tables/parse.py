"""From the text of a cell to a number, a text, or a missing value; from raw columns to blocks.

A block of a file column is float64 where every cell is a number or missing, and a list of texts otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from monitor.columns.canonical import Block, canonical
from monitor.columns.column import Floats, Kind, clean_text
from monitor.errors import DataError

#: Cells that mean "no value", in any column.
MISSING_CELLS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})

#: A column with at least this share of numbers among its values is a column of numbers with some bad cells.
MOSTLY = 0.9

#: The same for a column of fractions, which are no codes: such a column changed its type half-way.
SOME = 0.1

_BOOLEANS = {"true": "true", "True": "true", "TRUE": "true", "false": "false", "False": "false", "FALSE": "false"}


@dataclass
class BadRows:
    """Rows that cannot be used: the first one ends the command, unless they are to be skipped and counted."""

    path: str
    skip: bool
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, line: int, what: str, lines: int = 1) -> None:
        """Note one bad row, which takes so many lines of the file. Raises DataError unless bad rows are skipped."""
        if not self.skip:
            raise DataError(f"{self.path}, line {line}: {what}; --skip-bad-rows leaves such rows out")
        self.count += lines
        if len(self.examples) < 3:
            self.examples.append(f"line {line}: {what}")


@dataclass
class CellCount:
    """How many cells of one column were numbers and how many were texts, over the whole file.

    `fractions`: how many were numbers but not whole, where numbers and texts came together.
    """

    numbers: int = 0
    texts: int = 0
    fractions: int = 0
    first_text: tuple[int, str] | None = None

    def mixed(self, whole: bool) -> bool:
        """Whether the column is one of numbers that also holds texts; `whole`: its pure numbers were all whole."""
        share = MOSTLY if whole and self.fractions < self.numbers / 2 else SOME
        return bool(self.texts) and self.numbers >= share * (self.numbers + self.texts)


def number(cell: str, comma: bool = False) -> float | None:
    """Read a cell as a number; NaN where it is missing, None where it is a text.

    Python would also take `1_000`, which no other reader of CSV does. `comma`: decimals follow a comma, and a point is
    no part of a number.

    >>> number("1.5"), number(" 2 "), number("1_000"), number("abc"), math.isnan(number("NA")), number("1,5", True)
    (1.5, 2.0, None, None, True, 1.5)
    """
    if cell in MISSING_CELLS:
        return math.nan
    if comma:
        cell = cell.replace(".", "_").replace(",", ".")
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return math.nan if cell.strip() in MISSING_CELLS else None


def json_numbers(text: str) -> Floats | None:
    """Read numbers with commas between that are written as JSON writes them: the fastest way there is.

    `null` is NaN. None where anything else is among them.

    >>> json_numbers("1,2.5,null,4e3"), json_numbers("1,true")
    (array([1.0e+00, 2.5e+00,     nan, 4.0e+03]), None)
    """
    if '"' in text or "{" in text or "[" in text or "t" in text or "f" in text:  # texts, lists, true and false
        return None
    try:
        found = orjson.loads(f"[{text}]")
    except ValueError:
        return None
    try:
        return np.fromiter(found, np.float64, len(found))
    except TypeError:  # null, for which the other way takes twice as long
        return np.array(found, dtype=np.float64)


def numbers(cells: Sequence[str], comma: bool = False) -> Block | None:
    """Read all cells as numbers; None where one is a text."""
    found = _json_cells(cells, comma)
    if found is None and not MISSING_CELLS.isdisjoint(cells):
        found = _json_cells(["null" if cell in MISSING_CELLS else cell for cell in cells], comma)
    if found is not None:
        return found
    known: dict[str, float] = {}
    for cell in set(cells):
        value = number(cell, comma)
        if value is None:
            return None
        known[cell] = value
    return np.fromiter(map(known.__getitem__, cells), dtype=np.float64, count=len(cells))


def _json_cells(cells: Sequence[str], comma: bool) -> Floats | None:
    """Read cells that are numbers as JSON writes them; None for all else."""
    joined = ";".join(cells)
    if comma:
        joined = joined.replace(".", "_").replace(",", ".")
    elif "," in joined:
        return None
    found = json_numbers(joined.replace(";", ","))
    return found if found is not None and len(found) == len(cells) else None


def texts(cells: Sequence[str], comma: bool = False) -> Block:
    """Read all cells as texts, where not all are numbers: numbers and booleans in their canonical spelling.

    >>> texts(["a", "2.0", "True", ""])
    ['a', '2', 'true', None]
    """
    known: dict[str, str | None] = {}
    for cell in set(cells):
        value = number(cell, comma)
        if value is None:
            known[cell] = _BOOLEANS.get(cell) or clean_text(cell)
        else:
            known[cell] = None if math.isnan(value) else canonical(value)
    return [known[cell] for cell in cells]


def raw_texts(cells: Sequence[str]) -> Block:
    """Read the cells of a column declared categorical: as they are written, so that `007` stays `007`."""
    known = {cell: None if cell in MISSING_CELLS else _BOOLEANS.get(cell) or clean_text(cell) for cell in set(cells)}
    return [known[cell] for cell in cells]


def read_cells(
    cells: Sequence[str], declared: Kind | None, lines: Sequence[int], tally: CellCount, comma: bool = False
) -> Block:
    """Turn one column of a chunk into a block, and count what it was made of.

    `lines`: the line of each cell in its file. A column that is declared numeric must hold numbers only: rows in which
    it does not were taken out before.
    """
    if declared == "categorical":
        return raw_texts(cells)
    block = numbers(cells, comma)
    if block is not None:
        tally.numbers += len(cells)
        return block
    read = {cell: number(cell, comma) for cell in set(cells)}
    are_texts = {cell for cell, value in read.items() if value is None}
    fractions = {cell for cell, value in read.items() if value is not None and value % 1}
    tally.fractions += sum(map(fractions.__contains__, cells)) if fractions else 0
    count = sum(map(are_texts.__contains__, cells))
    tally.texts += count
    tally.numbers += sum(cell not in are_texts and cell not in MISSING_CELLS for cell in cells)
    if tally.first_text is None:
        line, cell = next((line, cell) for line, cell in zip(lines, cells, strict=True) if cell in are_texts)
        tally.first_text = (line, cell)
    return texts(cells, comma)
