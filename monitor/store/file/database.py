"""The database: opened once for writing, by the process that holds the folder's lock.

One connection writes and checkpoints, on one thread: two at once can corrupt a WAL database in SQLite before 3.51.3.
Readers have connections of their own, read-only. No code of this process may `open()` the file itself, since
closing it again would drop SQLite's locks.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from monitor.clock import Clock, iso
from monitor.errors import StoreError
from monitor.store.file.folder import ASIDE, DataFolder
from monitor.store.file.migrations import CHANGES, applied, migrate

log = logging.getLogger(__name__)

#: Permissions of the database, as of the journal: for the server's user and group.
MODE = 0o640

FOREIGN = "it is the database of another program"

DAMAGED = (
    "file is not a database",
    "database disk image is malformed",
    "file is encrypted or is not a database",
    FOREIGN,
)


def connect(path: Path) -> sqlite3.Connection:
    """Open the writing connection and bring the schema up to date. Raises sqlite3.Error or StoreError."""
    if not path.exists():
        path.touch(MODE)  # SQLite gives the WAL beside it the same permissions
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.row_factory = sqlite3.Row
    try:
        if applied(connection) is None:
            raise sqlite3.DatabaseError(FOREIGN)  # before anything is written to it
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # pruning gives room back; only a new file takes it
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("PRAGMA secure_delete = 0")  # some builds overwrite what is deleted, at twice the writing
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path, any_version: bool = False) -> sqlite3.Connection:
    """Open a reading connection; one for each thread that reads.

    Raises StoreError where there is no database, or one of a later Telltale; with `any_version` only where
    nothing can be said of it: not of a later one, and not of a damaged one.
    """
    if not path.exists():
        raise StoreError(f"{path}: there is no database here yet; start the server, or name the folder with --data")
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=5.0)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        wrong = _other_version(connection, any_version)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{path}: cannot be read: {error}") from error
    if wrong:
        connection.close()
        raise StoreError(f"{path}: {wrong}")
    return connection


@contextmanager
def one_moment(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection in one transaction, so that all it reads is of one moment. Raises StoreError."""
    connection = connect_read_only(path)
    try:
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


def _other_version(connection: sqlite3.Connection, any_version: bool) -> str:
    """Why a database is none that this version reads; empty for one that it does."""
    try:
        found = applied(connection)
    except sqlite3.Error:
        if any_version:
            return ""
        raise
    if found is None:
        return FOREIGN
    if not found:
        return "the file is empty; start the server to fill it"
    unknown = [name for name in found if name not in CHANGES]
    if unknown:
        return "" if any_version else f"written by a later Telltale (it has {', '.join(unknown)}); update this one"
    return ""


def open_database(folder: DataFolder, clock: Clock) -> tuple[sqlite3.Connection, Path | None]:
    """Open the folder's database, whatever state it is in.

    On a full disk the ballast is given up. A file that is no database, or a damaged one, is moved aside and named in
    the second value; it is never overwritten. Raises StoreError.
    """
    aside = None
    if folder.database.is_file() and not folder.database.stat().st_size and folder.used_before:
        aside = move_aside(folder, clock, "it is empty")
    for attempt in range(3):
        wal = _hold_wal(folder)
        try:
            connection = connect(folder.database)
        except sqlite3.DatabaseError as error:
            text = str(error)
            if "disk" in text and "malformed" not in text and attempt == 0 and folder.drop_ballast():
                log.warning("the disk is full: started on the ballast; make room in %s", folder.path)
                continue
            if damaged(error) and aside is None:
                aside = move_aside(folder, clock, text, wal)
                continue
            if folder.disk_is_full:
                text = f"the disk is full, and the ballast is used up; make room in {folder.path}"
            raise StoreError(f"{folder.database}: cannot be opened: {text}") from error
        finally:
            wal.unlink(missing_ok=True)
        folder.keep_ballast()
        folder.watch_database()
        return connection, aside
    raise StoreError(f"{folder.database}: cannot be opened; the disk is full")


def _hold_wal(folder: DataFolder) -> Path:
    """Give the WAL a second name: where SQLite cannot read a database, it deletes the WAL with the last connection."""
    wal = folder.database.with_name(folder.database.name + "-wal")
    held = folder.path / "wal-while-opening"
    held.unlink(missing_ok=True)
    try:
        held.hardlink_to(wal)
    except OSError:
        pass  # there is none, or the file system knows no second names
    return held


#: What a person can do about what SQLite says.
_EXPLAINED = {
    "locked": "another program holds a lock on the database, such as an open BEGIN IMMEDIATE; it has to commit or end",
    "is full": "there is no room for the database on the disk",
    "disk I/O error": "the disk under the database fails, or was taken away",
    "readonly": "the database may not be written to: its file, folder or disk is read-only",
    "unable to open": "the database cannot be opened: its folder was moved, deleted or closed to this user",
}


def explained(error: BaseException) -> str:
    """Say in one line what keeps the database from being written, and what to do about it.

    >>> explained(sqlite3.OperationalError("attempt to write a readonly database"))
    'the database may not be written to: its file, folder or disk is read-only (attempt to write a readonly database)'
    >>> explained(KeyError("x"))
    "KeyError('x')"
    """
    if isinstance(error, StoreError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or repr(error)
    if not isinstance(error, sqlite3.Error):
        return repr(error)
    words = next((words for sign, words in _EXPLAINED.items() if sign in str(error)), "")
    return f"{words} ({error})" if words else str(error)


def damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that the file itself is at fault."""
    return any(sign in str(error) for sign in DAMAGED)


def move_aside(folder: DataFolder, clock: Clock, why: str, held: Path | None = None) -> Path:
    """Rename the database and its companions, for whoever wants to look at them. `held`: another name of its WAL."""
    stamp = iso(clock.time()).replace(":", "")
    aside = name = folder.database.with_name(f"{folder.database.name}{ASIDE}{stamp}")
    for number in count(2):
        if not aside.exists():
            break
        aside = name.with_name(f"{name.name}-{number}")  # the second one within a second
    for suffix in ("", "-wal", "-shm"):
        part = folder.database.with_name(folder.database.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    if held is not None and held.exists() and not aside.with_name(aside.name + "-wal").exists():
        held.rename(aside.with_name(aside.name + "-wal"))
    log.error("%s cannot be used (%s): moved to %s, a new one was begun", folder.database, why, aside.name)
    return aside
