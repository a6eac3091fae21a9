"""Many rows in one statement.

Around every step of a statement `sqlite3` lets go of the interpreter's lock. While a server answers, another thread
takes it each time, and both pay for the hand-over: a statement for each row of a fold would cost the predictions of the
next millisecond more than the rows themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain

#: Values of one statement: SQLite takes 32,766 by default, and 999 in versions that are still about.
VALUES = 990


def write_rows(connection: sqlite3.Connection, into: str, rows: Iterable[Sequence[object]]) -> None:
    """Run `into`, such as `INSERT INTO t (a, b)`, with the values of all rows, in as few statements as can be."""
    waiting = list(rows)
    while waiting:
        width = len(waiting[0])
        part, waiting = waiting[: VALUES // width], waiting[VALUES // width :]
        places = f"({', '.join('?' * width)})"
        values = tuple(chain.from_iterable(part))
        connection.execute(f"{into} VALUES {', '.join([places] * len(part))}", values)
