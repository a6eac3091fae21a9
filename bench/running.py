"""A real server in a process of its own, for benches and tests: started, waited for, killed."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from bench.warm import WarmProcess

ROOT = Path(__file__).resolve().parent.parent

#: The diabetes row of the tutorial.
ROW = [0.03, 0.05, -0.002, -0.01, 0.04, 0.01, 0.08, -0.04, 0.005, -0.1]

#: Seconds that a wait for an event lasts at most. It ends with the event, so that a machine on which the event comes
#: late may be many times slower than usual.
PATIENCE = 120.0

#: Threads that import scikit-learn at the same time may find half of it.
_training = threading.Lock()

T = TypeVar("T")


def wait_for(question: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Ask until the answer is true. Raises AssertionError that says what never came."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} seconds for {what}; the last answer was {answer!r}")
        time.sleep(0.02)


def train(folder: Path, kind: Literal["regression", "classification"] = "regression") -> None:
    """Write model and reference into a folder, as `telltale train` does."""
    with _training:
        from train.fit import fit, load_dataset, write_pair

        write_pair(fit(kind, load_dataset(kind)), folder)


def environment(**more: str) -> dict[str, str]:
    """Environment in which the project's modules are found from any folder."""
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def python(crash_at: str = "") -> list[str]:
    """Return the command of this Python, with a failpoint armed if one is named."""
    return [sys.executable, *(["-X", f"failpoint={crash_at}"] if crash_at else [])]


class Client:
    """Asks the server on a port of this machine."""

    def __init__(self, port: int = 0) -> None:
        self.port = port

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            given = {"Content-Type": "application/json"} if data is not None else {}
            connection.request(method, path, data, {**given, **headers})
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """GET."""
        return self.request("GET", path, **headers)

    def json(self, path: str) -> Any:
        """GET, as JSON."""
        return json.loads(self.get(path)[2])

    def post(self, body: Any, path: str = "/") -> tuple[int, Any]:
        """POST JSON; status and JSON."""
        status, _, reply = self.request("POST", path, body)
        return status, json.loads(reply)

    def healthy(self) -> None:
        """Wait until all is well: on a busy machine a part may be late for a while."""
        wait_for(lambda: self.json("/healthz")["status"] == "ok", "the server's health")

    def predictions(self) -> int:
        """Predictions in the store, once all that was recorded is folded."""
        lag = rb"telltale_fold_lag_seconds{[^}]*} 0.0\n"
        wait_for(lambda: re.search(lag, self.get("/metrics")[2]), "the fold")
        return int(self.json("/api/status")["predictions"])


class Server(Client):
    """`python -m server` in `folder`, on a free port."""

    def __init__(
        self,
        folder: Path,
        config: str = "",
        *arguments: str,
        module: str = "server",
        program: Sequence[str] = (),
        crash_at: str = "",
        warm: bool = False,
        **env: str,
    ) -> None:
        """Start `program`, or this Python with `module`; `crash_at` is a failpoint of `monitor.failpoint`.

        `warm`: fork it from a process that has imported everything, for those who start many.
        """
        super().__init__()
        self.folder = folder
        self._program = [*program] or [*python(crash_at), "-m", module]
        (folder / "config.toml").write_text(config)
        self._lines: list[str] = []
        self._arguments, self._env, self._crash_at = arguments, env, crash_at
        self.process = self._spawn(warm)

    def _spawn(self, warm: bool) -> subprocess.Popen[str] | WarmProcess:
        arguments, env = ["--port", "0", *self._arguments], environment(**self._env)
        process = (
            WarmProcess(arguments, self.folder, env, crash_at=self._crash_at)
            if warm
            else subprocess.Popen(
                [*self._program, *arguments],
                cwd=self.folder,
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._reader.start()
        return process

    def _read(self, stderr: IO[str]) -> None:
        with stderr:
            for line in stderr:
                self._lines.append(line)

    @property
    def log(self) -> str:
        """What the process has written so far."""
        return "".join(self._lines)

    def ready(self) -> Server:
        """Wait until it serves; raises AssertionError with its log where it does not."""

        def port() -> int:
            found = re.search(r"serving on http://[^ ]*:(\d+)", self.log)
            if found is None and self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log}")
            return int(found[1]) if found else 0

        self.port = wait_for(port, "the server's port")
        wait_for(lambda: self.get("/readyz")[0] == 200, "/readyz")
        return self

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join()
        return code
