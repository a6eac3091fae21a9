"""Counting a fleet from Prometheus: what a poll costs it, what it costs us, and how exact it is.

python -m bench.fleet             prints the table of docs/bench-fleet.md
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from bench.render import model
from bench.running import wait_for
from monitor.clock import ManualClock
from monitor.columns.column import Schema
from monitor.config.load import Config
from monitor.notify.http import Reply
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.source.counters import State
from monitor.source.prometheus import LAG, PrometheusSource


def reference_of(columns: int) -> Reference:
    """Columns of 30 bins, the last one the prediction."""
    schema, found = model(columns)
    known = Schema((*schema.columns[:-1], dataclasses.replace(schema.columns[-1], role="prediction")))
    return Reference(known, found.counts, found.sums, found.deviations)


class Replicas:
    """Runtimes that record rows, and one server for the /metrics of all of them."""

    def __init__(self, folder: Path, reference: Reference, count: int) -> None:
        self.sent, self.random = 0, np.random.default_rng(5)
        self.width = len(reference.schema.features)
        self.runtimes = []
        for number in range(count):
            config = Config.from_text(f'[data]\npath = "{folder / str(number)}"\n[metrics]\nmax_series = 1_000_000')
            self.runtimes.append(Runtime.of_one(config, reference, "v1"))
        self.bodies = [b""] * count
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, args=[0.1], daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_address[1]}"

    def record(self, rows: int) -> None:
        """Each of them records rows, and shows them."""
        for number, runtime in enumerate(self.runtimes):
            values = self.random.normal(size=(self.width + 1, rows))
            runtime.only.recorder.record_many(list(values[:-1]), [values[-1]])
            runtime.fold()
            self.bodies[number] = runtime.metrics("application/openmetrics-text")[0]
            self.sent += rows

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
                self.end_headers()
                self.wfile.write(bodies[int(self.path.split("/")[1])])

            def log_message(self, *_: object) -> None: ...

        return Handler


def prometheus(folder: Path, target: str, count: int) -> tuple[subprocess.Popen[bytes], str]:
    jobs = [
        {"job_name": str(n), "metrics_path": f"/{n}/metrics", "static_configs": [{"targets": [target]}]}
        for n in range(count)
    ]
    config = {"global": {"scrape_interval": "5s", "scrape_timeout": "5s"}, "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log), f"http://127.0.0.1:{port}"


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def knows(url: str, rows: int) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?query=sum(telltale_predictions_total)", timeout=10) as reply:
            found = json.load(reply)["data"]["result"]
    except OSError:
        return False
    return bool(found) and float(found[0]["value"][1]) == rows


class Measured:
    """Costs of polls: processor seconds of Prometheus and of ours, and bytes of the answers."""

    def __init__(self, source: PrometheusSource, process: int) -> None:
        self.source, self.process, self.bytes = source, process, 0
        self._ask, source.ask = source.ask, self._counting  # type: ignore[method-assign, assignment]

    def _counting(self, url: str, form: dict[str, str]) -> Reply:
        reply = self._ask(url, form)
        self.bytes += len(reply.body)
        return reply

    def costs(self, poll: Callable[[], object], rounds: int) -> str:
        """Cells of the table for some polls, one after the other."""
        theirs, ours, size = [], [], []
        for _ in range(rounds):
            self.bytes = 0
            begun = processor_seconds(self.process), time.process_time()
            poll()
            theirs.append(processor_seconds(self.process) - begun[0])
            ours.append(time.process_time() - begun[1])
            size.append(self.bytes / 1e6)
        cells = (f"{statistics.median(one):.2f} ({min(one):.2f} to {max(one):.2f})" for one in (theirs, ours))
        return f"{' | '.join(cells)} | {statistics.median(size):.2f}"


def measure(folder: Path, replicas: int, columns: int, rounds: int, stack: ExitStack) -> None:
    reference = reference_of(columns)
    fleet = Replicas(folder, reference, replicas)
    for runtime in fleet.runtimes:
        stack.callback(runtime.close)
    fleet.record(1000)
    server, url = prometheus(folder, fleet.address, replicas)
    stack.callback(server.wait)
    stack.callback(server.kill)
    wait_for(lambda: knows(url, fleet.sent), "the first scrape of all", 120)
    text = f'[source]\nkind = "prometheus"\nurl = "{url}"\nevery = "1s"\n[data]\npath = "{folder / "fleet"}"'
    clock = ManualClock(time.time() + LAG)
    runtime = Runtime.of_one(Config.from_text(text), reference, "v1", clock)
    stack.callback(runtime.close)
    source = runtime.only.pulled
    assert isinstance(source, PrometheusSource)
    measured = Measured(source, server.pid)

    def poll() -> None:
        # A poll asks for the last whole second, before which all must have been scraped.
        scraped = time.time()
        wait_for(lambda: int(time.time()) > scraped, "the next second")
        source.cursor = source.cursor and _at(source.cursor, int(time.time()) - 1)
        clock.jump_to(int(time.time()) + LAG)
        source.pull(runtime.fold)

    poll()
    before = runtime.only.totals.n
    fleet.record(500)
    wait_for(lambda: knows(url, fleet.sent), "the second scrape of all", 120)
    poll()
    first = fleet.sent - replicas * 1000
    print(f"| exact: sent, counted | {first:,}, {runtime.only.totals.n - before:,} | | |")
    fleet.server.shutdown()  # no scrape disturbs what follows: Prometheus answers from the last five minutes
    time.sleep(11)
    idle = processor_seconds(server.pid)
    time.sleep(10)
    print(f"| Prometheus does nothing for 10 s | {processor_seconds(server.pid) - idle:.2f} | | |")
    print(f"| a poll, nothing special | {measured.costs(poll, rounds)} |")
    state = State.from_text(source.cursor)
    assert state is not None
    all_of_them = measured.costs(lambda: source._each(state.seen.keys(), int(time.time())), rounds)
    print(f"| the counters of each replica | {all_of_them} |")
    print(f"| cursor, MB | {len(source.cursor) / 1e6:.3f} | | |")


def _at(cursor: str, moment: float) -> str:
    """A cursor as if its reading were of another moment, at which nothing was different."""
    state = State.from_text(cursor)
    assert state is not None
    seen = {replica: one._replace(at=moment) for replica, one in state.seen.items()}
    return State(state.first, moment, state.sums, seen).to_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    assert shutil.which("prometheus"), "prometheus is not installed"
    print(f"{options.replicas} replicas, {options.columns} columns of 30 bins; n = {options.rounds}\n")
    print("| what | Prometheus: CPU s, median (range) | ours: CPU s | answers, MB |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        measure(Path(name), options.replicas, options.columns, options.rounds, stack)


if __name__ == "__main__":
    main()
