"""What became of records by source, and the tokens that ids begin with."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from monitor.store.audit import seals


def add_token(connection: sqlite3.Connection, token: str, source: str, first: int, now: str) -> None:
    """Note that ids of this token belong to a source, from a sequence number on."""
    connection.execute(
        "INSERT INTO id_tokens (token, source, first, at) VALUES (?, ?, ?, ?)", (token, source, first, now)
    )
    seals.add(connection, "id_tokens", "token = ?", token)


def add_tallies(connection: sqlite3.Connection, source: str, tallies: Mapping[str, int]) -> None:
    """Count what became of records of a source."""
    for result, count in tallies.items():
        with seals.changing(connection, "tallies", "source = ? AND result = ?", source, result):
            connection.execute(
                "INSERT INTO tallies (source, result, count) VALUES (?1, ?2, ?3) "
                "ON CONFLICT DO UPDATE SET count = count + ?3",
                (source, result, count),
            )


def read_tallies(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """What became of records, by source and result, since the first start."""
    return {(row[0], row[1]): row[2] for row in connection.execute("SELECT source, result, count FROM tallies")}
