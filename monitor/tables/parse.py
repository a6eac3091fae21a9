"""Turn the cells of a column in a text file into a block, and count what kinds of cells it had.

A block is float64 if every cell is a number or missing, and a list of texts otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.columns.canonical import BOOLEANS, MISSING_CELLS, Block, canonical, cell_number, text_number
from monitor.columns.column import Floats, Kind
from monitor.errors import DataError

#: A column with at least this share of numbers among its values is a column of numbers with some bad cells.
MOSTLY = 0.9

#: The same for a column of fractions, which are no codes: such a column changed its type half-way.
SOME = 0.1

#: Marks `""`, a quoted empty cell, which is a text; an empty cell without quotes is missing.
QUOTED_EMPTY = "\0"

_NEVER_PLAIN = re.compile(",0[0-9]|_")


@dataclass
class BadRows:
    """Rows that cannot be used: the first one ends the command, unless they are to be skipped and counted."""

    path: str
    skip: bool
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, line: int, what: str, lines: int = 1) -> None:
        """Note one bad row, which takes `lines` lines of the file. Raises DataError unless bad rows are skipped."""
        if not self.skip:
            raise DataError(f"{self.path}, line {line}: {what}; --skip-bad-rows leaves such rows out")
        self.count += lines
        if len(self.examples) < 3:
            self.examples.append(f"line {line}: {what}")

    def told(self) -> list[str]:
        """A line about what was left out, if anything was."""
        more = ", ..." if self.count > len(self.examples) else ""
        return [f"{self.count:,} bad rows were left out: {'; '.join(self.examples)}{more}"] if self.count else []


@dataclass
class CellCount:
    """Number of cells of each kind in one column of the whole file.

    `fractions`: numbers that are not whole, in blocks with numbers and texts. `codes`: whether some had leading zeros.
    `forms`: what its blocks were read as.
    """

    numbers: int = 0
    texts: int = 0
    fractions: int = 0
    codes: bool = False
    first_text: tuple[int, str] | None = None
    forms: set[str] = field(default_factory=set)

    def mixed(self, whole: bool) -> bool:
        """Whether the column is one of numbers that also holds texts; `whole`: its pure numbers were all whole."""
        share = MOSTLY if whole and self.fractions < self.numbers / 2 else SOME
        return bool(self.texts) and not self.codes and self.numbers >= share * (self.numbers + self.texts)


def numbers(cells: Sequence[str], declared: Kind | None = None, comma: bool = False) -> Floats | None:
    """Read all cells as numbers, NaN if missing; None if one is a text."""
    if not comma and not _NEVER_PLAIN.search("," + ",".join(cells)):
        try:
            return np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            pass
    read = text_number if declared == "numeric" else cell_number
    parsed: dict[str, float] = {}
    for cell in set(cells):
        value = read(cell.strip(QUOTED_EMPTY), comma)
        if value is None:
            return None
        parsed[cell] = value
    return np.fromiter(map(parsed.__getitem__, cells), np.float64, len(cells))


def texts(cells: Sequence[str]) -> list[str | None]:
    """Read all cells as texts, as they are written; only an empty one is missing.

    >>> texts(["007", "NA", "True", "", QUOTED_EMPTY])
    ['007', 'NA', 'True', None, '']
    """
    read = {cell: canonical(cell) if cell else None for cell in set(cells)} | {QUOTED_EMPTY: ""}
    return [read[cell] for cell in cells]


def read_cells(
    cells: Floats | Sequence[str], declared: Kind | None, lines: Sequence[int], tally: CellCount, comma: bool = False
) -> Block:
    """Turn one column of a chunk into a block, and count what it was made of.

    `lines`: the line of each cell in its file. A column that is declared numeric must hold numbers only: rows in which
    it does not were taken out before.
    """
    block: Floats | None
    if isinstance(cells, np.ndarray):
        block, cells = cells, ()
    elif declared == "categorical":
        return texts(cells)
    else:
        block = numbers(cells, declared, comma)
    if block is not None:
        tally.numbers += len(block)
        tally.forms.add("numbers")
        return block
    times: Counter[str] = Counter(cells)
    read = {cell: cell_number(cell, comma) for cell in times}
    are_texts = {cell for cell, value in read.items() if value is None}
    tally.texts += sum(times[cell] for cell in are_texts)
    tally.numbers += sum(times[cell] for cell in times.keys() - are_texts - MISSING_CELLS)
    tally.fractions += sum(times[cell] for cell, value in read.items() if value is not None and value % 1)
    tally.codes = tally.codes or any(cell[:1] == "0" and cell[1:].isdigit() for cell in are_texts)
    if tally.first_text is None:
        tally.first_text = next((line, cell) for line, cell in zip(lines, cells, strict=True) if cell in are_texts)
    if are_texts <= BOOLEANS.keys() and times.keys() <= BOOLEANS.keys() | MISSING_CELLS:
        tally.forms.add("booleans")
        return [canonical(BOOLEANS[cell]) if cell in BOOLEANS else None for cell in cells]
    tally.forms.add("texts")
    return texts(cells)
