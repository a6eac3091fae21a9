"""The data folder: who may use it, and what is in it.

data/telltale.db    the database        data/journal/   segments of the journal
data/lock           held by the one process that uses the folder
data/ballast        room that is given up to start on a full disk
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from monitor.errors import LockedError, StoreError

log = logging.getLogger(__name__)

DATABASE = "telltale.db"
JOURNAL = "journal"
LOCK = "lock"
BALLAST = "ballast"
BALLAST_BYTES = 2 << 20

#: What stands between a damaged database's name and the moment when it was moved aside.
ASIDE = ".damaged-"


def refuse_second(path: Path) -> None:
    """Raise LockedError where another process uses the folder; make and keep nothing."""
    try:
        handle = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # not in use, or not usable: `DataFolder.open` says what is wrong
    try:
        if not _locks(handle, fcntl.LOCK_SH):
            raise LockedError(in_use(path, handle))
    finally:
        os.close(handle)


#: Locks that this process holds, by device and inode: a process number can be another's in a container of its own.
_held: set[tuple[int, int]] = set()


def in_use(path: Path, handle: int) -> str:
    """The refusal of a second user of a folder, whose lock is open as `handle`."""
    if _identity(handle) in _held:
        return f"{path}: the data folder is open in this process already; close it first"
    return f"{path}: the data folder is in use by process {_owner(handle)}; one process per folder"


def _identity(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


def _locks(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _owner(handle: int) -> str:
    return os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"


class DataFolder:
    """Holds the folder for this process, from `open` to `close`.

    `flock`, not `fcntl`: the latter is lost as soon as any code of the process opens and closes the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / DATABASE
        self.journal = path / JOURNAL
        self._handle = -1
        self._inode = 0

    def open(self) -> None:
        """Make the folder if there is none, and take its lock.

        Raises LockedError, with the other process's number, or StoreError.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise StoreError(f"{self.path}: the data folder cannot be used: {error.strerror or error}") from error
        if not _locks(self._handle, fcntl.LOCK_EX):
            time.sleep(0.05)  # another start may just be looking, in `refuse_second`
        if not _locks(self._handle, fcntl.LOCK_EX):
            refusal = in_use(self.path, self._handle)
            os.close(self._handle)
            self._handle = -1
            raise LockedError(refusal)
        _held.add(_identity(self._handle))
        try:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            log.warning("%s: cannot write the process number into the lock: %s", self.path, error.strerror)
        self._inode = os.fstat(self._handle).st_ino

    def close(self) -> None:
        """Let go of the lock. The file stays: deleting it could take it from under the next owner."""
        if self._handle >= 0:
            _held.discard(_identity(self._handle))
            os.close(self._handle)
            self._handle = -1

    @property
    def intact(self) -> bool:
        """Whether the folder is still the one that was opened: not renamed, deleted or put back from a backup."""
        try:
            return (self.path / LOCK).stat().st_ino == self._inode
        except OSError:
            return False

    def keep_ballast(self) -> bool:
        """Set room aside, if there is any; False where the disk is too full."""
        path = self.path / BALLAST
        try:
            if path.exists() and path.stat().st_size == BALLAST_BYTES:
                return True
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(handle, 0, BALLAST_BYTES)
            finally:
                os.close(handle)
        except OSError:
            path.unlink(missing_ok=True)
            return False
        return True

    def drop_ballast(self) -> bool:
        """Give the room up, to start on a full disk. False where there was none."""
        path = self.path / BALLAST
        existed = path.exists()
        path.unlink(missing_ok=True)
        return existed

    def moved_aside(self) -> list[Path]:
        """Databases and journal segments that were moved aside as damaged; a database's WAL goes with it."""
        databases = [path for path in self.path.glob(f"{DATABASE}{ASIDE}*") if not path.name.endswith(("-wal", "-shm"))]
        return [*databases, *self.journal.glob("*.damaged")]

    def bytes_beside_database(self) -> int:
        """Size of all files but the database and its WAL, as allocated."""
        live = {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"}
        return sum(size for path, size in self._sizes() if path.parent != self.path or path.name not in live)

    def bytes(self) -> int:
        """Size of all files in the folder, as allocated."""
        return sum(size for _, size in self._sizes())

    def _sizes(self) -> Iterator[tuple[Path, int]]:
        for path in self.path.rglob("*"):
            try:
                if path.is_file():
                    yield path, path.stat().st_blocks * 512
            except OSError:
                continue
