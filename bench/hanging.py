"""Predictions while a receiver hangs: their times beside those of a server whose receiver answers at once.

python -m bench.hanging
"""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path

from bench.running import ROW, Server, train
from tests.support.fake_providers import FakeProvider, Scripted, fake_provider

ROUNDS, REQUESTS = 9, 2000

CONFIG = """
[drift]
every = "1s"
[receivers.team]
kind = "slack"
url = "{url}/services/T0/B0/x"
"""


def times(server: Server) -> list[float]:
    """Milliseconds of single predictions, one after the other on one connection, sorted."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    body, out = json.dumps(ROW), []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        out.append((time.perf_counter() - began) * 1000)
    connection.close()
    return sorted(out)


def serving(provider: FakeProvider) -> Server:
    """A server whose alert is on its way to this provider."""
    folder = Path(tempfile.mkdtemp())
    train(folder)
    server = Server(folder, CONFIG.format(url=provider.url)).ready()
    times(server)
    assert provider.wait_for(lambda fake: bool(fake.calls), 20), "no alert was sent"
    return server


def main() -> None:
    """Print the table."""
    with fake_provider() as good, fake_provider() as bad:
        bad.default = Scripted(special="hang")
        servers = {"receiver answers": serving(good), "receiver hangs": serving(bad)}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, server in servers.items():
                sample = times(server)
                found[name].append((sample[REQUESTS // 2], sample[int(REQUESTS * 0.99)]))
        for server in servers.values():
            server.stop()
    print(f"{ROUNDS} rounds in turn of {REQUESTS} predictions; milliseconds, medians of the rounds")
    for name, rounds in found.items():
        p50, p99 = (statistics.median(one) for one in zip(*rounds, strict=True))
        print(f"{name}: p50 {p50:.2f}, p99 {p99:.2f}")
    pairs = zip(found["receiver hangs"], found["receiver answers"], strict=True)
    ratios = sorted(hung[1] / answered[1] for hung, answered in pairs)
    print(f"p99, hanging / answering: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
