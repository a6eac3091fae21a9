"""A real Postgres for the tests, on a socket in a folder of its own; nothing listens on a port."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

#: Debian keeps the programs of each version apart, and has them on no path.
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a fresh one. It refuses to run as root, so it runs as `postgres` there, as Debian's does."""
    initdb = shutil.which("initdb") or (f"{PROGRAMS[-1]}/initdb" if PROGRAMS else None)
    if initdb is None:
        pytest.skip("Postgres is not installed")
    # Names of sockets are short: not in `tmp_path`.
    with TemporaryDirectory(prefix="pg") as folder:
        user = {"user": "postgres"} if os.getuid() == 0 else {}
        if user:
            shutil.chown(folder, "postgres")
        data, where = f"{folder}/data", {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, **user}
        subprocess.run([initdb, "-D", data, "-U", "telltale", "-A", "trust", "-E", "UTF8", "--no-sync"], **where)
        control = str(Path(initdb).with_name("pg_ctl"))
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c timezone=Asia/Tokyo"
        subprocess.run([control, "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start"], **where)
        try:
            yield f"postgres://telltale@/postgres?host={folder}"
        finally:
            subprocess.run([control, "-D", data, "-w", "-m", "immediate", "stop"], **where)
