"""From the start of the process to the first 200 of /readyz, against the bare import of the same libraries; memory.

python -m bench.start
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.running import ROW, Server, environment, train

ROUNDS = 9

#: What the server needs of others, and what the model of the example needs.
LIBRARIES = (
    "apscheduler.schedulers.background",
    "flask",
    "jinja2",
    "numpy",
    "orjson",
    "prometheus_client",
    "prometheus_client.parser",
    "requests",
    "scipy.special",
    "sklearn.linear_model",
    "sqlite_utils",
    "sqlite_utils.migrations",
    "waitress",
)


def imports() -> float:
    """Seconds of a process that imports the libraries and ends."""
    began = time.perf_counter()
    code = "import " + ", ".join(LIBRARIES)
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
    return time.perf_counter() - began


def ready(folder: Path) -> tuple[float, Server]:
    """Seconds until a server on existing data answers, and the server."""
    began = time.perf_counter()
    server = Server(folder, "").ready()
    return time.perf_counter() - began, server


def resident(server: Server) -> float:
    """Resident memory of a server, MB."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096 / 1e6


def main() -> None:
    """Print the table."""
    bare: list[float] = []
    restart: list[float] = []
    idle = loaded = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(folder)
        ready(folder)[1].stop()
        for _ in range(ROUNDS):
            bare.append(imports())
            seconds, server = ready(folder)
            restart.append(seconds)
            idle = resident(server)
            for _ in range(300):
                server.post([ROW] * 100)
            loaded = resident(server)
            server.stop()
    ratios = sorted(after / before for after, before in zip(restart, bare, strict=True))
    print(f"n = {ROUNDS}, seconds: median (range)")
    for what, times in (("bare import", bare), ("ready after a restart", restart)):
        print(f"{what}: {statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})")
    print(f"ratio, pair by pair: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"resident: {idle:.0f} MB idle, {loaded:.0f} MB after 30,000 predictions in batches of 100")


if __name__ == "__main__":
    main()
