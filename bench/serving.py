"""Predictions over HTTP: Telltale with all monitoring, without, and two other stacks serving the same model.

    python -m bench.serving                             Telltale only
    python -m bench.serving --peers PATH_TO_PYTHON      all; that Python has what bench/requirements.txt lists

The load generator is `wrk`, one thread, on the same machine. Rounds are interleaved, so that noise hits all stacks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from bench.running import ROOT, ROW, Server, train, wait_for
from bench.warm import WarmProcess

BATCH = 1_000
CONNECTIONS = (1, 16)
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Figures:
    """What the rounds of one stack at one number of connections gave."""

    per_second: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


class Stack:
    """A server process and where it listens."""

    def __init__(self, name: str, process: subprocess.Popen[str] | WarmProcess, port: int, rows: int = 1) -> None:
        self.name, self.process, self.port, self.rows = name, process, port, rows

    def cpu_seconds(self) -> float:
        """Processor time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def peer(name: str, python: str, application: str) -> Stack:
    """Start a stack of the peers' virtual environment."""
    port = free_port()
    process = subprocess.Popen(
        [python, str(ROOT / "bench" / "peer_apps.py"), application, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wait_for(lambda: listening(port), f"{name} to listen", 60)
    return Stack(name, process, port)


def unmonitored(folder: Path) -> Server:
    """The same server with recording replaced by nothing, and none of the monitor's threads."""
    return Server(folder, "", module="bench.unmonitored").ready()


def load(stack: Stack, connections: int, seconds: int, folder: Path, figures: Figures) -> None:
    """One round: `wrk` against one stack."""
    body = json.dumps(ROW if stack.rows == 1 else [ROW] * stack.rows)
    script = folder / f"post-{stack.rows}.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{body}'\nwrk.headers['Content-Type'] = 'application/json'\n"
        "done = function(summary, latency)\n"
        "  local errors = summary.errors\n"
        "  local bad = errors.connect + errors.read + errors.write + errors.status + errors.timeout\n"
        "  io.write(string.format('RESULT %d %d %f %d\\n',"
        " summary.requests, summary.duration, latency:percentile(99), bad))\n"
        "end\n"
    )
    before = stack.cpu_seconds()
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-s",
        str(script),
        f"http://127.0.0.1:{stack.port}/",
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = stack.cpu_seconds() - before
    found = re.search(r"RESULT (\d+) (\d+) ([\d.]+) (\d+)", output)
    assert found, output
    requests, duration, p99, bad = int(found[1]), int(found[2]), float(found[3]), int(found[4])
    if bad or not requests:
        raise SystemExit(f"{stack.name}: {bad} of {requests} requests failed\n{output}")
    figures.per_second.append(requests * stack.rows / duration * 1e6)
    figures.p99_ms.append(p99 / 1000)
    figures.cpu_us.append(used / (requests * stack.rows) * 1e6)


def measure(stacks: Sequence[Stack], rounds: int, seconds: int, folder: Path) -> dict[tuple[str, int], Figures]:
    """All rounds. The order turns from round to round, so that nobody always comes after the same one."""
    results = {(stack.name, connections): Figures() for connections in CONNECTIONS for stack in stacks}
    for stack in stacks:
        load(stack, 4, 1, folder, Figures())
    for turn in range(rounds):
        for connections in CONNECTIONS:
            order = list(stacks[turn % len(stacks) :]) + list(stacks[: turn % len(stacks)])
            for stack in order if turn % 2 else reversed(order):
                load(stack, connections, seconds, folder, results[stack.name, connections])
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def table(results: dict[tuple[str, int], Figures], names: Sequence[str]) -> None:
    """Print the table of docs/bench-serving.md."""
    print("| stack | connections | rows/s, median | spread | p99 ms | server CPU, us a row | Telltale / it |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, connections in itertools.product(names, CONNECTIONS):
        figures, ours = results[name, connections], results[names[0], connections]
        # The ratio of a round's neighbours says more than that of two medians: both met the same noise.
        ratio = statistics.median(a / b for a, b in zip(ours.per_second, figures.per_second, strict=True))
        print(
            f"| {name} | {connections} | {statistics.median(figures.per_second):,.0f}"
            f" | {min(figures.per_second):,.0f}-{max(figures.per_second):,.0f}"
            f" | {statistics.median(figures.p99_ms):.1f} | {statistics.median(figures.cpu_us):,.1f} | {ratio:.2f} |"
        )


def main() -> None:
    """Start everything, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="a Python with what bench/requirements.txt lists")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3, help="length of one round of one stack")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("bench.serving needs wrk (apt-get install wrk)")
    names = ("waitress", "flask", "numpy", "scikit-learn")
    print(f"Python {sys.version.split()[0]}; " + ", ".join(f"{name} {version(name)}" for name in names))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        homes = [folder / "on", folder / "off"]
        for home in homes:
            home.mkdir()
            train(home)
        servers = [Server(homes[0]).ready(), unmonitored(homes[1])]
        stacks = [Stack("Telltale", servers[0].process, servers[0].port)]
        stacks.append(Stack("Telltale, monitoring off", servers[1].process, servers[1].port))
        batches = Stack("Telltale, batches of 1,000", servers[0].process, servers[0].port, BATCH)
        others: list[Stack] = []
        try:
            if options.peers:
                others.append(peer("FastAPI + uvicorn, `async def`, no monitoring", options.peers, "fastapi"))
                others.append(peer("Flask's own server + Boxkite (the tutorial)", options.peers, "boxkite"))
            stacks += others
            results = measure(stacks, options.rounds, options.seconds, folder)
            # After the others: half a million rows a second leave the kernel tens of megabytes to write for a while.
            results |= measure([batches], options.rounds, options.seconds, folder)
        finally:
            for other in others:
                other.process.kill()
                other.process.wait()
            for server in servers:
                server.stop()
    print(f"{options.rounds} interleaved rounds of {options.seconds} s each\n")
    table(results, [stack.name for stack in (*stacks, batches)])


if __name__ == "__main__":
    main()
