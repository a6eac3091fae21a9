"""A copy of the database for an auditor: consistent, read-only, and in one file, while the server goes on writing.

Do not work in the live file: a long read keeps the WAL from being used again, and without the right to write the file
cannot be opened at all while the server is down.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from monitor.errors import StoreError
from monitor.store.file.database import connect_read_only
from monitor.store.file.migrations import applied

#: Read-only; who may read it is for the umask to say, as with any file.
MODE = 0o444


def write_snapshot(database: Path, target: Path) -> int:
    """Copy the database as it is at this moment to `target`, which is replaced. Returns the copy's size in bytes.

    Works from any process, beside a running server. The file appears under its name when all of it is on the disk.
    Raises StoreError.
    """
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            temporary = Path(folder) / target.name
            with (
                closing(connect_read_only(database)) as source,
                closing(sqlite3.connect(temporary, isolation_level=None)) as copy,
            ):
                # In one step: it reads one moment, and does not begin again with every commit of the server.
                source.backup(copy)
                # Readable without a WAL and its companion, so that no reader needs to write beside the file.
                copy.execute("PRAGMA journal_mode = DELETE").fetchone()
            temporary.chmod(temporary.stat().st_mode & MODE)
            _sync(temporary)
            temporary.replace(target)
            _sync(target.parent)
            return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{target}: the snapshot cannot be written: {error}") from error


def is_snapshot(path: Path) -> bool:
    """Whether a file is a snapshot: a database of Telltale's, not in the mode in which a server writes one.

    Do not call it for a database that this process has open: closing the file drops SQLite's locks.
    """
    with path.open("rb") as file:
        head = file.read(20)
    if not head.startswith(b"SQLite format 3\0") or head[18:20] != b"\1\1":
        return False
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            return bool(applied(connection))
        except sqlite3.Error:
            return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
