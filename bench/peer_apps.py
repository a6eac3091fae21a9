"""The other ways to serve the same model, and Boxkite's own capture; runs on the peers' Python, not on Telltale's.

python bench/peer_apps.py boxkite|fastapi PORT        serve on loopback
python bench/peer_apps.py log-prediction ROUNDS       print microseconds of a call, a line for each way
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def model_and_data() -> tuple[Any, Any, Any]:
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    data = load_diabetes()
    return LinearRegression().fit(data.data, data.target), data.data, data.feature_names


def boxkite_monitor(log_exporter: Any = None) -> Any:
    from boxkite.monitoring.collector import BaselineMetricCollector
    from boxkite.monitoring.service import ModelMonitoringService

    model, rows, names = model_and_data()
    path = str(Path(tempfile.mkdtemp()) / "histogram.prom")
    ModelMonitoringService.export_text(
        features=[(name, rows[:, i].tolist()) for i, name in enumerate(names)],
        inference=list(model.predict(rows)),
        path=path,
    )
    return ModelMonitoringService(log_exporter=log_exporter, baseline_collector=BaselineMetricCollector(path=path))


def serve_boxkite(port: int) -> None:
    """The tutorial's stack: Flask's own server, one row a request, Boxkite as shipped."""
    from flask import Flask, request

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    model, _, _ = model_and_data()
    monitor = boxkite_monitor()
    app = Flask(__name__)

    @app.post("/")
    def predict() -> dict[str, Any]:
        row = request.json
        answer = model.predict([row])[0]
        identity = monitor.log_prediction(request_body=request.data, features=row, output=answer)
        return {"result": answer, "prediction_id": identity}

    app.run(port=port)


def serve_fastapi(port: int) -> None:
    """FastAPI as it is fastest: `async def`, uvloop, httptools, no access log, and no monitoring."""
    import uvicorn
    from fastapi import Body, FastAPI

    model, _, _ = model_and_data()
    app = FastAPI()

    @app.post("/")
    async def predict(row: list[float] = Body()) -> dict[str, Any]:  # noqa: B008 - FastAPI's own way to write it
        return {"result": float(model.predict([row])[0])}

    uvicorn.run(app, port=port, log_level="error", access_log=False, loop="uvloop", http="httptools")


def microseconds(call: Callable[[], object], calls: int, threads: int) -> float:
    """Time from the first call to the last, by call, all threads' calls counted."""

    def work() -> None:
        barrier.wait()
        for _ in range(calls):
            call()

    barrier = threading.Barrier(threads + 1)
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    return (time.perf_counter() - began) / (calls * threads) * 1e6


def log_prediction() -> None:
    """A round for each line of standard input: microseconds as shipped, and with the exporter off."""
    from boxkite.monitoring.exporter.type import LogExporter

    class Off(LogExporter):  # type: ignore[misc]
        def emit(self, prediction: Any) -> None:
            pass

    logging.disable()
    model, rows, _ = model_and_data()
    row, answer = rows[0].tolist(), float(model.predict(rows[:1])[0])
    for line in sys.stdin:
        threads = int(line)
        for monitor in (boxkite_monitor(), boxkite_monitor(Off())):
            call = lambda: monitor.log_prediction(request_body="", features=row, output=answer)  # noqa: E731,B023
            microseconds(call, 200, threads)
            print(microseconds(call, 2_000 // threads, threads), end=" ", flush=True)
        print(flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "log-prediction":
        log_prediction()
    else:
        {"boxkite": serve_boxkite, "fastapi": serve_fastapi}[sys.argv[1]](int(sys.argv[2]))
