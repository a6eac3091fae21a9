"""The data folder: who may use it, and what is in it.

data/telltale.db    the database        data/journal/   segments of the journal
data/waiting/       predictions that wait for their outcome, and ids that callers gave
data/outcomes/      segments of the journal of outcomes
data/workers/       journals of other processes that use the folder, a folder each
data/journal/@clients/TOKEN/    copies of the journals of a client elsewhere, until all of them is counted
data/lock           held by the one process that uses the folder
data/ballast        room that is given up to start on a full disk
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import sleep

from monitor.errors import LockedError, StoreError

log = logging.getLogger(__name__)

DATABASE = "telltale.db"
JOURNAL = "journal"
WAITING = "waiting"
OUTCOMES = "outcomes"
WORKERS = "workers"
#: Suffix of the folder of a worker of which everything is in the database.
DONE = ".done"
LOCK = "lock"
BALLAST = "ballast"
#: File in which a worker describes itself, in its folder.
DESCRIPTION = "worker.json"
BALLAST_BYTES = 2 << 20
#: Permissions of the lock, the ballast and the database: for the server's user and group.
MODE = 0o640

#: Folders that this process holds: a process number can be that of another one in another container.
_held: set[tuple[int, int]] = set()
_locks: set[Held] = set()


class Held:
    """Locks that end with this process: the child of a fork closes its copies, or they would live on in it."""

    def __init__(self) -> None:
        self._handles: list[int] = []
        _locks.add(self)

    def _let_go(self) -> None:
        _locks.discard(self)
        while self._handles:
            os.close(self._handles.pop())


class DataFolder(Held):
    """Holds the folder for this process, from `open` to `close`.

    By locks on the folder itself, which cannot be deleted without the database, and on the file `lock`, which names
    the process. `flock`, not `fcntl`: the latter is lost as soon as any code of the process opens and closes the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.database = path / DATABASE
        self.journal = path / JOURNAL
        self._folder_is: tuple[int, int] | None = None
        self._database_is: tuple[int, int] | None = None

    def open(self) -> None:
        """Make the folder if there is none, and take its lock.

        Raises LockedError, with the other process's number, or StoreError.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._handles.append(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            self._handles.append(_open_lock(self.path / LOCK))
        except OSError as error:
            self._let_go()
            raise StoreError(f"{self.path}: the data folder cannot be used: {error.strerror or error}") from error
        if any(_taken(handle, fcntl.LOCK_EX) for handle in self._handles):
            sleep(0.05)  # another start may just be looking, in `refuse_second`
        if any(_taken(handle, fcntl.LOCK_EX) for handle in self._handles):
            self._let_go()
            raise LockedError(_in_use(self.path))
        try:
            os.ftruncate(self._handles[1], 0)
            os.pwrite(self._handles[1], f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            log.warning("%s: cannot write the process number into the lock: %s", self.path, error.strerror)
        self._folder_is = _identity(os.fstat(self._handles[0]))
        _held.add(self._folder_is)

    def close(self) -> None:
        """Let go of the lock. The file stays: deleting it could take it from under the next owner."""
        if self._handles and self._folder_is is not None:
            _held.discard(self._folder_is)
        self._let_go()

    def watch_database(self) -> None:
        """From now on the database is the file that has its name now."""
        self._database_is = _identity(self.database.stat())

    @property
    def trouble(self) -> str:
        """What has happened to the folder or its database since they were opened; empty if they are the same."""
        if _is_another(self.path, self._folder_is):
            return "the data folder was moved, deleted or replaced; restart the server"
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            return "the data folder may not be written to any more: its permissions have changed, or the disk's"
        return self.database_trouble

    @property
    def database_trouble(self) -> str:
        """Why nothing may be written to the database any more: it is not the file that is open. Else empty."""
        if self._database_is is None or _is_another(self.path, self._folder_is):
            return ""
        if _is_another(self.database, self._database_is):
            return "the database was deleted or replaced while it was in use; restart the server"
        return ""

    @property
    def used_before(self) -> bool:
        """Whether predictions were recorded here before: a journal that was used keeps a segment."""
        return any(self.journal.rglob("*.journal"))

    def keep_ballast(self) -> bool:
        """Set room aside; False if the disk is too full."""
        path = self.path / BALLAST
        try:
            with open(path, "ab", opener=partial(os.open, mode=MODE)) as file:
                os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
        except OSError:
            path.unlink(missing_ok=True)
            return False
        return True

    def drop_ballast(self) -> bool:
        """Give the room up, to start on a full disk. False if there was none."""
        try:
            (self.path / BALLAST).unlink()
        except FileNotFoundError:
            return False
        return True

    @property
    def disk_is_full(self) -> bool:
        """Whether there is no room for SQLite's smallest files."""
        try:
            disk = os.statvfs(self.path)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < 1 << 16

    def bytes_beside_database(self) -> int:
        """Size of all files but the database and its WAL, as allocated."""
        live = {self.path / f"{DATABASE}{suffix}" for suffix in ("", "-wal", "-shm")}
        size = 0
        for path in self.path.rglob("*"):
            with suppress(OSError):
                size += path.stat().st_blocks * 512 if path.is_file() and path not in live else 0
        return size


class WorkerFolder(Held):
    """A folder of a process that joins the one that holds the data folder; locked until the process ends."""

    def __init__(self, data: Path) -> None:
        """Make and lock the folder. Raises StoreError."""
        super().__init__()
        self.key = secrets.token_hex(6)
        self.path, hidden = data / WORKERS / self.key, data / WORKERS / f".{self.key}"
        try:
            hidden.mkdir(parents=True)
            self._handles.append(os.open(hidden, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            _taken(self._handles[0], fcntl.LOCK_EX)
            hidden.rename(self.path)  # one that others see is locked, or its process has ended
        except OSError as error:
            self._let_go()
            raise StoreError(f"{self.path}: cannot be made: {error.strerror or error}") from error

    def describe(self, worker: object) -> None:
        """Describe the worker, whose journals are followed from then on. Raises OSError."""
        part = self.path / f".{DESCRIPTION}"
        part.write_text(json.dumps(worker))
        part.rename(self.path / DESCRIPTION)

    def close(self) -> None:
        """Let go: the process that holds the data folder takes what is left in it."""
        self._let_go()

    def delete(self) -> None:
        """Let go, and leave nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._let_go()


def workers(data: Path) -> list[Path]:
    """Folders of workers, those of which everything is in the database among them."""
    return sorted(path for path in (data / WORKERS).glob("[!.]*") if path.is_dir())


def has_ended(worker: Path) -> bool:
    """Whether the process of a worker's folder is gone."""
    try:
        handle = os.open(worker, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False  # it lives, or the file system knows no locks
    finally:
        os.close(handle)
    return True


def database_is_open() -> bool:
    """Whether this process has a database open, as the child of a fork may."""
    names = []
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            names.append(handle.readlink().name)
    return DATABASE in names


def held_here(path: Path) -> bool:
    """Whether this process holds a data folder."""
    return path.exists() and _identity(path.stat()) in _held


def _after_fork() -> None:
    for lock in list(_locks):
        lock._let_go()
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)


def refuse_second(path: Path) -> None:
    """Raise LockedError if another process uses the folder; make and keep nothing."""
    for name, flags in (("", os.O_DIRECTORY), (LOCK, 0)):
        try:
            handle = os.open(path / name, os.O_RDONLY | os.O_CLOEXEC | flags)
        except OSError:
            continue  # not in use, or not usable: `DataFolder.open` says what is wrong
        try:
            if _taken(handle, fcntl.LOCK_SH):
                raise LockedError(_in_use(path))
        finally:
            os.close(handle)


def owner(path: Path) -> str:
    """Number of the process that uses a folder: as it has written it, or as the kernel tells."""
    try:
        written = (path / LOCK).read_bytes()[:32].decode("ascii", "replace").strip()
        if written:
            return written
        inode = path.stat().st_ino
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return next((line[4] for line in locks if line[1] == "FLOCK" and line[5].endswith(f":{inode}")), "unknown")
    except (OSError, IndexError):
        return "unknown"


def _in_use(path: Path) -> str:
    if held_here(path):
        return f"{path}: the data folder is open in this process already; close it first"
    return f"{path}: the data folder is in use by process {owner(path)}; one process per folder"


def _open_lock(path: Path) -> int:
    """Open the file that names the process; one that may only be read will do. Raises OSError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _taken(handle: int, kind: int) -> bool:
    """Whether another process has the lock; otherwise this one has it now, or the file system knows no locks."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        log.debug("no lock: %s", error)
    return False


def _identity(file: os.stat_result) -> tuple[int, int]:
    return file.st_dev, file.st_ino


def _is_another(path: Path, known: tuple[int, int] | None) -> bool:
    """Whether a path names another file now, or none; a folder that may not be entered does not tell."""
    try:
        return _identity(path.stat()) != known
    except PermissionError:
        return False
    except OSError:
        return True
