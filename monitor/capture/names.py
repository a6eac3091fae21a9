"""Names of unseen values, in a file beside the journal: kept when a value is first seen, read and erased by column."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from monitor.columns.column import Schema

log = logging.getLogger(__name__)

#: Role and name of a column.
Name = tuple[str, str]

#: Stands for the columns of a model version that the store has dropped.
UNKNOWN: Name = ("", "")


class UnseenNames:
    """Names of categories that the reference does not have, by column, in a file that survives a crash.

    `most`: distinct ones that are kept of each column that is watched by category. Without a file they are forgotten
    with the object.
    """

    def __init__(self, path: Path | None, schema: Schema, most: int) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._most = [most if column.categories else 0 for column in schema.captured]
        self.load()

    def refresh(self) -> None:
        """Read the file again if it has changed since: another process has added names to it, or erased some."""
        if _state(self._path) != self._loaded:
            self.load()

    def load(self) -> None:
        """Read the file, as at the start or after the names in it were erased."""
        with self._lock:
            self._loaded = _state(self._path)
            codes: list[dict[str, int]] = [{} for _ in self._most]
            names: list[list[str]] = [[] for _ in self._most]
            for line in self._path.read_bytes().splitlines() if self._path and self._path.exists() else ():
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
        if self._path is None:
            return
        with open(self._path, "ab", buffering=0, opener=partial(os.open, mode=0o640)) as file:
            file.write(line.encode())


def _state(path: Path | None) -> tuple[int, int] | None:
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size)


#: What the files of names are called.
NAMES_FILES = "unseen-*.jsonl"


def names_file(folder: Path, schema: Schema) -> Path:
    """File of a journal's folder that has the names of a schema's unseen values."""
    return folder / NAMES_FILES.replace("*", schema.fingerprint[:16])


def kept_names(journals: Path, schemas: Iterable[Schema]) -> Iterator[tuple[Name, str]]:
    """Read the names that are kept, with the column of each. `schemas`: of all model versions. Raises OSError."""
    for path, columns in _files(journals, schemas):
        for line in path.read_bytes().splitlines():
            entry = _read_entry(line)
            if entry is not None and entry[1]:
                yield _column(columns, entry[0]), entry[1]


def erase_names(journals: Path, schemas: Iterable[Schema], wanted: Callable[[Name, str], bool]) -> None:
    """Overwrite names in their place, and damaged lines; each keeps its number, and nothing else. Raises OSError.

    `wanted`: which ones, by column and name. Safe beside a process that appends to a file, which must call
    `UnseenNames.load` afterwards.
    """
    for path, columns in _files(journals, schemas):
        with path.open("r+b") as file:
            while line := file.readline():
                text, entry = line.rstrip(b"\n"), _read_entry(line)
                if entry is None:
                    blank = b"-" * len(text)  # counted as damaged still, so that those behind it keep their numbers
                elif entry[1] and wanted(_column(columns, entry[0]), entry[1]):
                    blank = f'[{entry[0]}, ""'.encode()
                    blank += b" " * (len(text) - len(blank) - 1) + b"]"
                else:
                    continue
                file.seek(-len(line), os.SEEK_CUR)
                file.write(blank + line[len(text) :])
            file.flush()
            os.fsync(file.fileno())


def _files(journals: Path, schemas: Iterable[Schema]) -> Iterator[tuple[Path, Sequence[Name]]]:
    known = {names_file(Path(), one).name: [(c.role, c.name) for c in one.columns] for one in schemas}
    for path in sorted(journals.rglob(NAMES_FILES)):
        yield path, known.get(path.name, ())


def _column(columns: Sequence[Name], position: int) -> Name:
    return columns[position] if 0 <= position < len(columns) else UNKNOWN


def _read_entry(line: bytes) -> tuple[int, str] | None:
    """Read a line of a file of names: position of the column, and name; empty if it was erased. None if damaged."""
    try:
        position, name = json.loads(line)
    except (ValueError, TypeError):
        return None
    return (position, name) if type(position) is int and isinstance(name, str) else None
