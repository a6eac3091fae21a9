"""Notices what somebody else has written into the database, before it would be taken for Telltale's own."""

from __future__ import annotations

import sqlite3
from itertools import islice

from monitor.store.audit import consistency as balance
from monitor.store.audit.chain import STREAMS, table_digest, uncovered
from monitor.store.audit.digest import reading_damage

#: Things named of each kind, at most.
MOST = 5


def note_foreign(connection: sqlite3.Connection) -> str:
    """Look for what somebody else wrote; what was found, in words.

    It is entered into the chain with everything else, and a row of `gaps` says so for good. A database from before the
    chain has nothing but such rows: they are taken as they are.
    """
    if connection.execute("SELECT 1 FROM chain LIMIT 1").fetchone() is None:
        return ""
    with reading_damage(connection):
        found = _found(connection)
    text = f"not written by Telltale: {', '.join(found)}" if found else ""
    if text:
        connection.execute(
            'INSERT INTO gaps (kind, "start", "end", lost, detail) VALUES (?, strftime(?, ?), strftime(?, ?), NULL, ?)',
            ("foreign", "%Y-%m-%dT%H:%M:%SZ", "now", "%Y-%m-%dT%H:%M:%SZ", "now", text),
        )
    return text


def _found(connection: sqlite3.Connection) -> list[str]:
    """Where there is what Telltale did not write."""
    found = [
        f"{STREAMS[stream].table} {ids[0]}" + (f" to {ids[-1]}" if len(ids) > 1 else "")
        for stream, ids in uncovered(connection)
    ]
    guards = connection.execute("SELECT name, changed, digest FROM guards ORDER BY name").fetchall()
    found += [name for name, changed, digest in guards if changed or digest != table_digest(connection, name)]
    for check in (balance.open_windows, balance.totals, balance.unseen_values):
        found += [where for where, _ in islice(check(connection), MOST)]
    return found
