"""Real processes for tests: a Prometheus that scrapes Telltale servers, and what others run likewise."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from bench.running import PATIENCE
from tests.compose.promtool import RULES

ROOT = Path(__file__).parents[2]
Found = TypeVar("Found")

#: How often servers are scraped.
EVERY = "1s"


def until(ask: Callable[[], Found | None], what: str, seconds: float = PATIENCE) -> Found:
    """Ask again and again until there is an answer that is not None."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer is not None:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


class Process:
    """A child that is stopped at the end; its output goes to a file."""

    def __init__(self, command: Sequence[str], folder: Path, name: str) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
            self.child = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)

    def text(self) -> str:
        assert self.child.poll() is None, self.log.read_text()
        return self.log.read_text()

    def stop(self) -> None:
        self.child.terminate()
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Prometheus(Process):
    """A real Prometheus with the rules of compose/, evaluated as often as it scrapes.

    It looks for targets every five seconds from its start: start it before them.
    """

    def __init__(self, folder: Path) -> None:
        rules = folder / "rules"
        rules.mkdir()
        for path in RULES.glob("*.yml"):
            (rules / path.name).write_text(path.read_text().replace("interval: 1m", f"interval: {EVERY}"))
        config = {
            "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
            "rule_files": ["rules/*.yml"],
            "scrape_configs": [{"job_name": "telltale", "file_sd_configs": [{"files": ["targets.json"]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self.url = f"http://127.0.0.1:{free_ports(1)[0]}"
        listen = f"--web.listen-address={self.url.removeprefix('http://')}"
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", listen]
        super().__init__(command, folder, "prometheus")
        until(self._ready, "Prometheus to be ready")

    def scrape(self, targets: Sequence[str]) -> None:
        """Scrape these from now on."""
        written = self.log.with_name("new.json")
        written.write_text(json.dumps([{"targets": list(targets)}]))
        written.rename(self.log.with_name("targets.json"))

    def _ready(self) -> bool | None:
        self.text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=PATIENCE) as reply:
                return True if reply.status == 200 else None
        except OSError:
            return None

    def ask(self, path: str, **parameters: str) -> Any:
        """One answer of the HTTP API; an error of a query fails the test with its text."""
        body = urllib.parse.urlencode(parameters).encode() if path == "query" else None
        address = f"{self.url}/api/v1/{path}" + (
            "" if body or not parameters else f"?{urllib.parse.urlencode(parameters)}"
        )
        try:
            with urllib.request.urlopen(address, body, timeout=PATIENCE) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expr: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found

    def value(self, expr: str) -> float | None:
        """The value of a query that gives one sample; None where it gives none."""
        found = self.query(expr)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def labels(self, name: str, match: str = "") -> list[str]:
        """Values of a label."""
        found: list[str] = self.ask(f"label/{name}/values", **({"match[]": match} if match else {}))
        return found
