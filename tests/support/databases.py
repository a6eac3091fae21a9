"""Databases that a test opens by a helper and does not close itself."""

from __future__ import annotations

import sqlite3

_left_open: list[sqlite3.Connection] = []


def closed_after_test(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Have a connection closed once the running test is over; from Python 3.13 on one left open is a warning."""
    _left_open.append(connection)
    return connection


def close_databases() -> None:
    """Close what the test that is over has left open."""
    while _left_open:
        _left_open.pop().close()
