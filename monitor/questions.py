"""Remote calls of `Runtime`, from other processes to the one that holds the data folder, over a socket in the folder.

Only the user who runs the monitor may connect: a call is pickled, so a process that may send one may run code here.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingMixIn, UnixStreamServer
from typing import Any

from monitor.store.file.folder import WORKERS

log = logging.getLogger(__name__)

SOCKET = "owner.sock"

#: What may be asked.
CALLS = frozenset(
    ("join", "step_down", "change", "reload", "fold", "outcome_results", "add", "evaluate", "judge", "drift")
    + ("status", "alerts", "metrics", "health")
)

#: Seconds that an answer may take.
PATIENCE = 40.0


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, *_: Any) -> None:
        log.debug("a process that asked did not wait for the answer", exc_info=True)


class Answers:
    """Answers the questions of other processes, on threads of its own."""

    def __init__(self, data: Path, runtime: object) -> None:
        """Listen. Raises OSError."""

        class Handler(StreamRequestHandler):
            timeout = PATIENCE

            def handle(self) -> None:
                name, given, named = pickle.load(self.rfile)  # noqa: S301 - of the same user: see above
                try:
                    answer = True, getattr(runtime, name)(*given, **named) if name in CALLS else None
                except Exception as error:  # noqa: BLE001 - it belongs to who asks
                    answer = False, error
                self.wfile.write(pickle.dumps(answer))

        self._folder = data / WORKERS
        self._folder.mkdir(exist_ok=True)
        with _short(self._folder) as path:
            Path(path).unlink(missing_ok=True)
            self._server = _Server(path, Handler, bind_and_activate=False)
            before = os.umask(0o177)
            try:
                self._server.server_bind()
            finally:
                os.umask(before)
            self._server.server_activate()
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="telltale-answers", args=[None], daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close, while the folder is still held, and leave no socket in it: a folder with one cannot be copied."""
        self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        (self._folder / SOCKET).unlink(missing_ok=True)

    def abandon(self) -> None:
        """In the child of a fork: close the copy of the socket, or calls would wait in it without an answer."""
        self._server.socket.close()


def ask(data: Path, name: str, arguments: Sequence[Any], named: Mapping[str, Any], patience: float = PATIENCE) -> Any:
    """Ask the process that holds the folder. Raises what it raises, and OSError or EOFError if there is no answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        with _short(data / WORKERS) as path:
            connection.connect(path)
        connection.sendall(pickle.dumps((name, arguments, named)))
        with connection.makefile("rb") as file:
            good, answer = pickle.load(file)  # noqa: S301 - of the process that holds the folder
    if not good:
        raise answer
    return answer


def make_way(data: Path) -> bool:
    """Ask the process that holds the folder to let a server have it: one that only took it over does.

    Returns whether it may be free soon: also if there is no answer, since then that process is starting or ending.
    """
    try:
        return bool(ask(data, "step_down", (), {}, patience=2.0))
    except (OSError, EOFError):
        return True


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Name the socket of a folder by a path that is short enough: 107 bytes are allowed."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET}"
    finally:
        os.close(handle)
