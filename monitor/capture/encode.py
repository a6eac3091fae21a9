"""One prediction as floats: what the journal stores for each column.

A numeric value is itself; missing is NaN. A category is its index in the column; a category that the reference does not
have is the index of `__other__`, or, for the first distinct ones of a column, a number behind it that stands for its
name. The names are in a small file beside the journal, written before the first record that uses them. A column that is
not watched by category (an identifier, a free text) keeps no names, so that none of its values is stored.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.columns.canonical import Codes, canonical, distinct, floats, number
from monitor.columns.column import Column, Floats, Schema

log = logging.getLogger(__name__)


class UnseenNames:
    """Names of categories that the reference does not have, by column, in a file that survives a crash.

    `most`: distinct ones that are kept of each column that is watched by category.
    """

    def __init__(self, path: Path, schema: Schema, most: int) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._most = [most if column.categories else 0 for column in schema.captured]
        self.load()

    def load(self) -> None:
        """Read the file, as at the start or after the names in it were erased."""
        with self._lock:
            codes: list[dict[str, int]] = [{} for _ in self._most]
            names: list[list[str]] = [[] for _ in self._most]
            for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
                entry = _read_entry(line)
                if entry is not None and 0 <= entry[0] < len(names):
                    position, name = entry
                    if name:
                        codes[position].setdefault(name, len(names[position]))
                    names[position].append(name)
                    continue
                log.warning("%s: a line is damaged; the value that it named is counted without its name", self._path)
                for some in names:
                    some.append("")
            self._codes, self.names = codes, names

    def code(self, position: int, name: str) -> int | None:
        """Number of a name, given out at its first sight. None if the column keeps no more, or the disk is full."""
        codes = self._codes[position]
        code = codes.get(name)
        if code is not None or len(codes) >= self._most[position]:
            return code
        with self._lock:
            codes = self._codes[position]
            if name not in codes and len(codes) < self._most[position]:
                try:
                    self._append(json.dumps([position, name]) + "\n")
                except OSError as error:
                    log.debug("the name of an unseen value cannot be kept: %s", error)
                    return None
                self.names[position].append(name)
                codes[name] = len(self.names[position]) - 1
            return codes.get(name)

    def _append(self, line: str) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


#: What the files of names are called.
NAMES_FILES = "unseen-*.jsonl"


def names_file(folder: Path, schema: Schema) -> Path:
    """File of a journal's folder that has the names of a schema's unseen values."""
    return folder / NAMES_FILES.replace("*", schema.fingerprint[:16])


def kept_names(path: Path) -> list[tuple[int, str]]:
    """Names of unseen values in a file of names, each with the position of its column. Raises OSError."""
    return [entry for line in path.read_bytes().splitlines() if (entry := _read_entry(line)) is not None and entry[1]]


def erase_names(path: Path, wanted: Callable[[int, str], bool]) -> None:
    """Overwrite names in their place, and damaged lines; each keeps its number, and nothing else. Raises OSError.

    `wanted`: which ones, by position of the column and name. Safe beside a process that appends to the file, which must
    call `UnseenNames.load` afterwards.
    """
    with path.open("r+b") as file:
        while line := file.readline():
            text, entry = line.rstrip(b"\n"), _read_entry(line)
            if entry is None:
                blank = b"-" * len(text)  # counted as damaged still, so that those behind it keep their numbers
            elif entry[1] and wanted(*entry):
                blank = f'[{entry[0]}, ""'.encode()
                blank += b" " * (len(text) - len(blank) - 1) + b"]"
            else:
                continue
            file.seek(-len(line), os.SEEK_CUR)
            file.write(blank + line[len(text) :])
        file.flush()
        os.fsync(file.fileno())


def _read_entry(line: bytes) -> tuple[int, str] | None:
    """Read a line of a file of names: position of the column, and name; empty if it was erased. None if damaged."""
    try:
        position, name = json.loads(line)
    except (ValueError, TypeError):
        return None
    return (position, name) if type(position) is int and isinstance(name, str) else None


class Encoder:
    """Turns features and predictions into the floats of one record, in the schema's order. Safe from any thread."""

    def __init__(self, schema: Schema, names: UnseenNames) -> None:
        self.schema = schema
        self._names = names
        columns = schema.captured
        self._codes = [Codes(column.categories) for column in columns]
        self.all_numeric = all(column.numeric for column in columns)
        self._categorical = [(i, self._codes[i].exact) for i, column in enumerate(columns) if not column.numeric]

    def row(self, features: Sequence[object], predictions: Sequence[object]) -> list[float]:
        """Encode one row: a value for each column. Never raises for a value, whatever it is."""
        values: list[Any] = [*features, *predictions]
        for position, exact in self._categorical:
            value = values[position]
            code = exact.get(value) if type(value) is str else None
            values[position] = self.category(position, value) if code is None else code
        return [value if type(value) is float else number(value) for value in values]

    def column(self, position: int, values: Any) -> Floats:
        """Encode the values of one column, shape (n,): of any library, or a list. Never raises for a value."""
        if self.schema.columns[position].numeric:
            return floats(values)
        texts, rows = distinct(values)
        return np.array([self.category(position, text) for text in texts], np.float64)[rows]

    def category(self, position: int, value: object) -> float:
        """Code of a category: its index, NaN for missing, beyond the known ones for an unseen one."""
        text = canonical(value)
        code = self._codes[position].find(text)
        if code is not None:
            return code
        column = self.schema.columns[position]
        named = self._names.code(position, text)
        return float(other_code(column) if named is None else other_code(column) + 1 + named)


def other_code(column: Column) -> int:
    """Code of `__other__` without a name; the code of the j-th named unseen value is one more, plus j."""
    return len(column.categories)
