"""The one thread that writes to the database.

Everything that changes the store is a function of a connection, handed to `Writer.call`, which runs it in one
transaction on this thread. Between such calls the thread runs its tick: the fold.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from monitor import failpoint
from monitor.errors import StoreError
from monitor.store.file.database import explained
from monitor.words import program

log = logging.getLogger(__name__)

T = TypeVar("T")
#: How long a caller waits for its transaction before it is told that the store does not answer, in seconds.
CALL_TIMEOUT = 30.0
#: Seconds between checkpoints while there is something to move.
CHECKPOINT_SECONDS = 5.0
#: Bytes that the WAL may take, unless a reader's open cursor keeps it from being used again for hours.
WAL_ROOM = 64 << 20
#: Part of that room beyond which no more is folded until the cursor is closed. The journal takes what comes meanwhile.
#: Evaluations go on and fold as well.
HOLD = 3 / 4
#: A WAL of more bytes than this, or of a quarter of its room, is cut to nothing once all of it has been moved.
TRUNCATE = 4 << 20

PAGE = 4096
#: How long a transaction waits for another program's lock, and how long one try does, in ms. After a stop nothing is
#: tried again: the next start folds what is left.
PATIENCE, TRY = 5000, 500
#: Seconds between two log entries about the same failure.
COMPLAIN_SECONDS = 60.0


class Writer:
    """Owns the writing connection. `tick` runs on its thread every `interval` seconds, outside of a transaction.

    A tick that answers True has left work behind: the next one comes as soon as no caller waits for the thread.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        tick: Callable[[], bool | None],
        interval: float,
        wal_room: int = WAL_ROOM,
    ) -> None:
        self._connection, self._tick, self._interval = connection, tick, interval
        connection.execute(f"PRAGMA busy_timeout = {TRY}")
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="telltale-writer", daemon=True)
        self._stopped = False
        self._last: Callable[[], None] = lambda: None
        self._commits, self._checkpointed = 0, 0.0
        #: SQLite's counter of commits by other connections, at the last transaction; there should be none.
        self._version = -1
        #: Pages in the WAL that could not be moved, or not be used again, at the last checkpoint.
        self.wal_pages = 0
        self._hold_pages = int(wal_room * HOLD) // PAGE
        self._truncate_pages = min(TRUNCATE, wal_room // 4) // PAGE
        self._holding = False
        #: Held while the thread works: while another thread holds it, the connection is idle.
        self.busy = threading.RLock()
        self._complaints: dict[str, tuple[str, float]] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, last: Callable[[], None] = lambda: None) -> None:
        """Finish what has been asked for, run `last`, end the thread, checkpoint and close."""
        self._stopped, self._last = True, last
        self._jobs.put(None)
        if self._thread.ident is not None:
            self._thread.join()
        else:
            self._safely(last)
        try:
            self._move_wal("TRUNCATE")
        except sqlite3.Error as error:
            log.warning("the last checkpoint failed, the WAL stays beside the database: %s", error)
        self._connection.close()

    def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function(connection)` in one transaction on the writer's thread and return its result.

        Whatever it raises rolls the transaction back and is raised here. Raises StoreError after CALL_TIMEOUT.
        """
        return self.run(lambda: self.transaction(function))

    def run(self, function: Callable[[], T], patience: float = 0.0) -> T:
        """Run `function()` on the writer's thread, outside of a transaction; it makes its own by `transaction`.

        Raises StoreError after `patience` seconds, by default CALL_TIMEOUT.
        """
        if threading.current_thread() is self._thread or self._thread.ident is None:
            return function()
        if self._stopped:
            raise StoreError("the store is closed")
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                future.set_exception(error)

        self._jobs.put(job)
        try:
            return future.result(patience or CALL_TIMEOUT)
        except TimeoutError:
            future.cancel()
            raise StoreError(f"the store did not answer within {patience or CALL_TIMEOUT:g} seconds") from None

    def transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run in one transaction, for code that is on the writer's thread already."""
        connection, deadline = self._connection, time.monotonic() + PATIENCE / 1000
        while True:
            try:
                # A deferred transaction that upgrades fails at once if another program has written meanwhile.
                connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or self._stopped or time.monotonic() >= deadline:
                    raise
        try:
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version and self._version >= 0:
                log.error("another program has written to the database: run `%s verify`", program())
            result = function(connection)
            failpoint.reach("store.commit")
            connection.execute("COMMIT")
            self._commits += 1
            self._version = version
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    @contextmanager
    def relaxed(self) -> Iterator[None]:
        """Do not wait for the disk at each commit; on the writer's thread, for work that can be done again.

        A commit then survives the death of the process, but a loss of power only from the next checkpoint on. One is
        made at the end.
        """
        self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self.checkpoint()
            self._connection.execute("PRAGMA synchronous = FULL")

    def rewrite(self) -> None:
        """Rewrite the whole database and empty the WAL, so that nothing is left of what was deleted.

        On the writer's thread, outside of a transaction. Needs as much room on the disk as the database takes, twice.
        Raises StoreError if there is none, or if a reader keeps the WAL from being emptied.
        """
        try:
            with self._waiting(PATIENCE):
                self._connection.execute("VACUUM")
                busy, _, _ = self._move_wal("TRUNCATE")
        except sqlite3.Error as error:
            raise StoreError(f"the database cannot be rewritten: {explained(error)}") from error
        if busy:
            raise StoreError("the WAL cannot be emptied: another program reads the database; end it and try again")
        self.wal_pages = 0

    def checkpoint(self) -> None:
        """Move the WAL into the database; on the writer's thread.

        Passive, since the other kinds wait for readers; the file is cut only when it has no reader and has grown.
        """
        self._commits, self._checkpointed = 0, time.monotonic()
        _, self.wal_pages, moved = self._move_wal("PASSIVE")
        if self.wal_pages == moved and moved > self._truncate_pages:
            with self._waiting(0):
                busy, _, _ = self._move_wal("TRUNCATE")
            self.wal_pages = self.wal_pages if busy else 0

    @contextmanager
    def _waiting(self, most: int) -> Iterator[None]:
        """Wait for the locks of other programs for so many ms."""
        self._connection.execute(f"PRAGMA busy_timeout = {most}")
        try:
            yield
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {TRY}")

    def _move_wal(self, kind: str) -> tuple[int, int, int]:
        """Whether a reader was in the way, pages in the WAL, and pages of it that were moved."""
        busy, pages, moved = self._connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        return busy, pages, moved

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            try:
                job = self._jobs.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                with self.busy:
                    more = not self._hold_back() and self._safely(self._tick)
                    waiting = self._commits or self.wal_pages > self._truncate_pages
                    if waiting and time.monotonic() - self._checkpointed >= CHECKPOINT_SECONDS:
                        self._safely(self.checkpoint)
                due = time.monotonic() + (0.0 if more else self._interval)
                continue
            if job is None:
                self._safely(self._last)
                return
            with self.busy:
                job()

    def abandon(self) -> None:
        """In the child of a fork that was made while `busy` was held: close the copy of the connection.

        SQLite would take its locks for this process's own, were the database opened here again. The process that was
        forked keeps it open, so nothing is checkpointed or deleted.
        """
        self._connection.close()

    def _hold_back(self) -> bool:
        """Whether the WAL has become too large to write more than must be; said once each time."""
        held, self._holding = self._holding, self.wal_pages >= self._hold_pages
        if self._holding and not held:
            log.warning(
                "a reader keeps the database busy: the WAL has %d MB and cannot be used again. Predictions are "
                "recorded in the journal and folded when that ends, or once a minute",
                self.wal_pages * PAGE >> 20,
            )
        return self._holding

    def _safely(self, function: Callable[[], bool | None]) -> bool | None:
        """Keep the thread alive: a failing tick is logged and comes again; the same failure, once a minute."""
        name = getattr(function, "__name__", "tick").lstrip("_")
        try:
            result = function()
        except Exception as error:
            now, complaint = time.monotonic(), repr(error)
            last, at = self._complaints.get(name, ("", 0.0))
            if complaint != last or now - at >= COMPLAIN_SECONDS:
                self._complaints[name] = (complaint, now)
                known = isinstance(error, sqlite3.OperationalError | OSError | StoreError)
                what = "the writer's %s failed; it is tried again: %s"
                log.error(what, name, explained(error), exc_info=None if known else error)
            return None
        self._complaints.pop(name, None)
        return result
