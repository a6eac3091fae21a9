"""Rows of the tables of records, written from mappings by the names of their columns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monitor.clock import iso
from monitor.drift.result import Span
from monitor.store.audit import seals
from monitor.store.windows.counts import write_rows

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = dict[str, Any]


def fields_of(value: DataclassInstance) -> Row:
    """Fields of a dataclass by name, as they are: `dataclasses.asdict` would copy each of them."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def ends_of(span: Span | None) -> tuple[str | None, str | None]:
    """Both ends of a period as the store writes moments; None for those of all that is stored."""
    return (iso(span.start), iso(span.end)) if span else (None, None)


def quoted(names: Iterable[str]) -> str:
    """List names of columns for a statement."""
    return ", ".join(f'"{name}"' for name in names)


def insert(
    connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, object]], how: str = "INSERT"
) -> None:
    """Insert rows, all with the columns of the first, without a seal. `how`: such as `INSERT OR REPLACE`."""
    if rows:
        write_rows(connection, f"{how} INTO {table} ({quoted(rows[0])})", [tuple(row.values()) for row in rows])


def append(
    connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, object]], how: str = "INSERT"
) -> None:
    """Insert rows into a table that is only ever added to, and seal them."""
    with seals.appended(connection, table):
        insert(connection, table, rows, how)


def read(connection: sqlite3.Connection, statement: str, values: Sequence[object] = ()) -> list[Row]:
    """Run a query and return its rows by the names of their columns."""
    return [dict(row) for row in connection.execute(statement, values)]
