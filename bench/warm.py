"""Starts servers from one process that has imported everything: a fork takes milliseconds, imports take a second.

What runs in the child is what `python -m server` runs, with the same arguments, folder, environment and exit code; or
another module with a function `main` that takes arguments.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import IO, Any


class WarmProcess:
    """A server that was forked: as much of `subprocess.Popen` as its owners use."""

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        env: dict[str, str],
        module: str = "server.__main__",
        crash_at: str = "",
    ) -> None:
        """Start it; `crash_at` is a failpoint of `monitor.failpoint`."""
        self.returncode: int | None = None
        read, write = os.pipe()
        wanted = {"arguments": arguments, "folder": str(folder), "env": env, "module": module, "crash_at": crash_at}
        self.pid = int(_parent().ask(wanted, [write]))
        os.close(write)
        self._handle = os.pidfd_open(self.pid)
        self._ended = select.poll()  # which takes handles of any number
        self._ended.register(self._handle, select.POLLIN)
        #: What it says, errors or not.
        self.stderr: IO[str] = os.fdopen(read)

    def poll(self) -> int | None:
        """Exit code, or the negative number of the signal that ended it; None while it runs."""
        if self.returncode is None and self._ended.poll(0):
            self.returncode = int(_parent().ask({"reap": self.pid}))
            os.close(self._handle)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None and not self._ended.poll(None if timeout is None else timeout * 1000):
            raise subprocess.TimeoutExpired("server", timeout or 0.0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class _Parent:
    """The process that forks, seen from here; it ends when this process does."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "bench.warm", str(theirs.fileno())]
        root = str(Path(__file__).resolve().parent.parent)
        self._process = subprocess.Popen(command, cwd=root, pass_fds=[theirs.fileno()])
        theirs.close()
        atexit.register(self._end)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()

    def ask(self, request: dict[str, Any], handles: list[int] | None = None) -> Any:
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], handles or [])
            return json.loads(self._socket.recv(100))


_one_at_a_time = threading.Lock()


def _parent() -> _Parent:
    """The one parent: who forked a process is also the one that can reap it."""
    with _one_at_a_time:
        return _made()


@cache
def _made() -> _Parent:
    return _Parent()


def _serve(asked: socket.socket) -> None:
    import apscheduler.triggers.date  # noqa: F401
    import prometheus_client.parser  # noqa: F401
    import sklearn.linear_model  # noqa: F401

    import monitor.failpoint
    import server.run  # noqa: F401
    from monitor.report.render import TEMPLATES, environment

    for path in TEMPLATES.glob("*.html"):
        environment().get_template(path.name)
    gc.collect()
    gc.freeze()  # a server collects once before it serves: there is nothing left to look at but what it has made itself
    while True:
        data, handles, _, _ = socket.recv_fds(asked, 1 << 20, 1)
        if not data:
            return
        request = json.loads(data)
        if "reap" in request:
            _, status = os.waitpid(request["reap"], 0)
            asked.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())
            continue
        module = importlib.import_module(request["module"])
        pid = os.fork()
        if pid == 0:
            asked.close()
            os.dup2(handles[0], 1)
            os.dup2(handles[0], 2)
            os.close(handles[0])
            tempfile.tempdir = None
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["env"])
            time.tzset()
            monitor.failpoint._name, monitor.failpoint._left = monitor.failpoint._read(request["crash_at"])
            sys.exit(module.main(request["arguments"]))
        os.close(handles[0])
        asked.send(json.dumps(pid).encode())


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
