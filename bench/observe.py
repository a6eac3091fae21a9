"""Rows a second through `POST /observe`, as one stream of lines, beside `POST /predict`.

Run it with `python -m bench.observe`.

One client, one connection, the diabetes schema (10 numbers and a prediction). Each round starts on a fresh data folder;
a run ends when everything is folded and committed.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.running import ROW, Server, train, wait_for

ROWS = 400_000
ROUNDS = 3
CONFIG = '[data]\nmax_size = "4GB"\n[server]\nmax_bulk = "200MB"\n'


def body(rows: int, ids: bool) -> bytes:
    random = np.random.default_rng(1)
    features = np.round(random.normal(0, 0.05, (rows, 10)), 6).tolist()
    lines = []
    for number, row in enumerate(features):
        more = {"id": f"request-{number}"} if ids else {}
        lines.append(json.dumps({"features": row, "prediction": 151.25 + number % 50, **more}))
    return "\n".join(lines).encode() + b"\n"


def stream(server: Server, data: bytes) -> tuple[float, float]:
    """Seconds until answered, and until everything is in the store."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    began = time.perf_counter()
    connection.request("POST", "/observe", data, {"Content-Type": "application/x-ndjson"})
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    answered = time.perf_counter() - began
    assert answer == {"observed": ROWS}, answer
    wait_for(lambda: re.search(rb"fold_lag_seconds{[^}]*} 0.0\n", server.get("/metrics")[2]), "the fold")
    return answered, time.perf_counter() - began


def predict(server: Server, seconds: float = 3.0) -> float:
    """Predictions a second, one row a request, one connection kept alive."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    data, count, began = json.dumps(ROW), 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        connection.request("POST", "/predict", data, {"Content-Type": "application/json"})
        connection.getresponse().read()
        count += 1
    return count / (time.perf_counter() - began)


def main() -> None:
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        trained = Path(name)
        train(trained)
        bodies = {"lines": body(ROWS, ids=False), "lines with ids": body(ROWS, ids=True)}
        for _ in range(ROUNDS):
            for what, data in bodies.items():
                folder = Path(tempfile.mkdtemp(dir=name))
                for file in ("model.pkl", "histogram.prom"):
                    shutil.copy(trained / file, folder)
                server = Server(folder, CONFIG).ready()
                answered, stored = stream(server, data)
                found.setdefault(f"{what}, answered", []).append(ROWS / answered)
                found.setdefault(f"{what}, in the store", []).append(ROWS / stored)
                if what == "lines":
                    found.setdefault("POST /predict, one row", []).append(predict(server))
                server.stop()
    base = statistics.median(found["POST /predict, one row"])
    print("| what | rows a second, median | lowest to highest | times `POST /predict` |\n| --- | ---: | ---: | ---: |")
    for what, rates in found.items():
        middle = statistics.median(rates)
        print(f"| {what} | {middle:,.0f} | {min(rates):,.0f} to {max(rates):,.0f} | {middle / base:.1f} |")


if __name__ == "__main__":
    main()
