"""The database: opened once for writing, by the process that holds the folder's lock.

One connection writes and checkpoints, on one thread: two at once can corrupt a WAL database in SQLite before 3.51.3.
Readers have connections of their own, read-only. No code of this process may `open()` the file itself, since
closing it again would drop SQLite's locks.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from monitor.clock import Clock
from monitor.errors import StoreError
from monitor.store.file.damaged_files import move_aside
from monitor.store.file.folder import MODE, DataFolder
from monitor.store.file.migrations import applied, later_version, migrate

log = logging.getLogger(__name__)

FOREIGN = "it is the database of another program"

#: What an error says if the file itself is at fault.
DAMAGED = ("is not a database", "database disk image is malformed", FOREIGN)


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

    Raises StoreError if there is no database, or one of a later Telltale; with `any_version` only if nothing can be
    said of it: not of a later one, and not of a damaged one.
    """
    if not path.exists():
        raise StoreError(f"{path}: there is no database here yet; start the server, or name the folder with --data")
    with ExitStack() as stack:
        try:
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=5.0)
            stack.callback(connection.close)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA query_only = 1")
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            wrong = _other_version(connection, any_version)
        except sqlite3.Error as error:
            wrong = f"cannot be read: {error}"
        if wrong:
            raise StoreError(f"{path}: {wrong}")
        stack.pop_all()
    return connection


@contextmanager
def one_moment(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection in one transaction, so that all it reads is of one moment. Raises StoreError."""
    with closing(connect_read_only(path)) as connection:
        connection.execute("BEGIN")
        yield connection


def _other_version(connection: sqlite3.Connection, any_version: bool) -> str:
    """Why this version does not read a database; empty if it does."""
    try:
        version = applied(connection)
    except sqlite3.Error:
        if any_version:
            return ""
        raise
    if not version:
        return FOREIGN if version is None else "the file is empty; start the server to fill it"
    return "" if any_version else later_version(version)


def open_database(
    folder: DataFolder,
    clock: Clock,
    use: Callable[[sqlite3.Connection, Path | None], object] = lambda _connection, _aside: None,
) -> tuple[sqlite3.Connection, Path | None]:
    """Open the folder's database, whatever state it is in, and `use` it, which may be the first to find damage.

    On a full disk the ballast is given up. A file that is no database, or a damaged one, is moved aside and named in
    the second value, which `use` is told too; it is never overwritten. Raises StoreError, and what `use` raises.
    """
    aside, ballast = None, True
    if folder.database.is_file() and not folder.database.stat().st_size and folder.used_before:
        aside = move_aside(folder, clock, "it is empty")
    while True:
        wal = _hold_wal(folder)
        connection: sqlite3.Connection | None = None
        try:
            connection = connect(folder.database)
            folder.watch_database()
            use(connection, aside)
            folder.keep_ballast()
            return connection, aside
        except BaseException as error:
            if connection is not None:
                connection.close()
            if not isinstance(error, sqlite3.DatabaseError):
                raise
            text = str(error)
            if "disk" in text and "malformed" not in text and ballast and folder.drop_ballast():
                ballast = False
                log.warning("the disk is full: started on the ballast; make room in %s", folder.path)
            elif damaged(error) and aside is None:
                aside = move_aside(folder, clock, text, wal)
            else:
                if folder.disk_is_full:
                    text = f"the disk is full, and the ballast is used up; make room in {folder.path}"
                raise StoreError(f"{folder.database}: cannot be opened: {text}") from error
        finally:
            wal.unlink(missing_ok=True)


def _hold_wal(folder: DataFolder) -> Path:
    """Give the WAL a second name: where SQLite cannot read a database, it deletes the WAL with the last connection."""
    held = folder.path / "wal-while-opening"
    held.unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or the file system knows no second names
        held.hardlink_to(folder.path / f"{folder.database.name}-wal")
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
