"""A process that was killed, played within the process of the tests."""

from __future__ import annotations

from contextlib import closing

from monitor.runtime import Runtime
from monitor.store.file.database import connect_read_only


def kill(runtime: Runtime) -> None:
    """Leave a runtime that was never started as a kill leaves it: nothing is folded, and the WAL stays as it is.

    The kernel closes what a killed process has open; here the connection and the lock of the folder are closed. A
    reader is the last one to close the database, since a writer that is the last would move the WAL into it.
    """
    with closing(connect_read_only(runtime.folder.database)) as reader:
        reader.execute("SELECT count(*) FROM windows").fetchone()
        runtime.writer.abandon()
    runtime.folder.close()
