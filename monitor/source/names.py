"""Names of unseen values in the journals' folder: read and erased by column, whichever model version they are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from monitor.capture import encode
from monitor.columns.column import Schema

#: Role and name of a column.
Name = tuple[str, str]

#: Stands for the columns of a model version that the store has dropped.
UNKNOWN: Name = ("", "")


def kept_names(journals: Path, schemas: Iterable[Schema]) -> Iterator[tuple[Name, str]]:
    """Read the names that are kept, with the column of each. `schemas`: of all model versions. Raises OSError."""
    for path, columns in _files(journals, schemas):
        for position, value in encode.kept_names(path):
            yield _column(columns, position), value


def erase_names(journals: Path, schemas: Iterable[Schema], wanted: Callable[[Name, str], bool]) -> None:
    """Erase the names that are `wanted`, by column and name. Raises OSError."""
    for path, columns in _files(journals, schemas):
        encode.erase_names(path, lambda at, value, columns=columns: wanted(_column(columns, at), value))  # type: ignore[misc]


def _files(journals: Path, schemas: Iterable[Schema]) -> Iterator[tuple[Path, Sequence[Name]]]:
    known = {encode.names_file(Path(), one).name: [(c.role, c.name) for c in one.columns] for one in schemas}
    for path in sorted(journals.rglob(encode.NAMES_FILES)):
        yield path, known.get(path.name, ())


def _column(columns: Sequence[Name], position: int) -> Name:
    return columns[position] if 0 <= position < len(columns) else UNKNOWN
