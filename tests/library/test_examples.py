"""The examples run as they stand."""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from urllib.request import Request, urlopen

import dask.dataframe
import nbformat
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from nbclient import NotebookClient

from bench.running import PATIENCE, environment, wait_for
from examples import batch, dask_job, wsgi
from monitor import Reference
from tests.library.conftest import Open

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def flats() -> Reference:
    return Reference.from_data({"rooms": np.linspace(1, 6, 100), "area": np.linspace(20, 120, 100)}, np.arange(100.0))


def test_wsgi(open_monitor: Open, flats: Reference) -> None:
    monitor = open_monitor(reference=flats)
    app = wsgi.create_app(monitor)
    said: list[Any] = []
    body = json.dumps({"area": 70, "rooms": 3}).encode()
    environ = {"PATH_INFO": "/", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    (answer,) = app(environ, lambda *head: said.append(head))
    assert json.loads(answer) == {"price": pytest.approx(16.0)}
    monitor.flush()
    (text,) = app({"PATH_INFO": "/metrics"}, lambda *head: said.append(head))
    assert any(line.startswith(b"telltale_predictions_total") and line.endswith(b" 1.0") for line in text.splitlines())


def test_batch_finds_the_month(tmp_path: Path) -> None:
    batch.make_year(tmp_path / "months")
    for _ in range(2):
        drifted = batch.run(tmp_path / "months", tmp_path / "data")
        assert list(drifted) == [f"2025-{month:02}" for month in range(2, 13)]
        assert {month for month, names in drifted.items() if "area" in names} == {f"2025-{m:02}" for m in range(7, 13)}
        assert {month for month, names in drifted.items() if "rooms" in names} == set()
    with closing(sqlite3.connect(tmp_path / "data" / "telltale.db")) as connection:
        assert connection.execute("SELECT sum(predictions) FROM series").fetchone() == (11 * 500,)


def test_dask_counts_what_numpy_counts(tmp_path: Path) -> None:
    batch.make_year(tmp_path / "months")
    files = sorted((tmp_path / "months").glob("*.csv"))
    table = pd.concat(map(pd.read_csv, files))
    reference = Reference.from_data(table[dask_job.FEATURES], table[dask_job.PREDICTION])
    frame = dask.dataframe.read_csv(files, blocksize=8192)
    assert frame.npartitions > len(files)
    counted = dask_job.count(frame, reference)
    for column, counts in zip(reference.schema.columns, reference.schema.split(counted.counts), strict=True):
        bins = np.searchsorted(column.edges, table[column.name], side="left")
        assert counts.tolist() == np.bincount(bins, minlength=column.size).tolist()
    for _ in range(2):
        drifted = dask_job.run(tmp_path / "months", tmp_path / "data")
        assert {month for month, names in drifted.items() if "area" in names} == {f"2025-{m:02}" for m in range(7, 13)}
    with closing(sqlite3.connect(tmp_path / "data" / "telltale.db")) as connection:
        assert connection.execute("SELECT sum(predictions) FROM series").fetchone() == (11 * 500,)


@pytest.mark.slow
def test_the_dag_counts_and_asks(tmp_path: Path, flats: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow is not installed: small stand-ins take what the DAG gives to it, and its function and command are run."""
    tasks: dict[str, MagicMock] = {}

    def operator(**given: Any) -> MagicMock:
        tasks[given["task_id"]] = MagicMock(**given)
        return tasks[given["task_id"]]

    places = {
        "airflow.providers.standard.operators.bash": {"BashOperator": operator},
        "airflow.providers.standard.operators.python": {"PythonOperator": operator},
        "airflow.sdk": {"DAG": MagicMock()},
        "airflow.timetables.interval": {"CronDataIntervalTimetable": MagicMock()},
    }
    for name, content in places.items():
        monkeypatch.setitem(sys.modules, name, MagicMock(**content))
    dag = runpy.run_path(str(ROOT / "examples/airflow_dag.py"))
    flats.save(tmp_path / "histogram.prom")
    (tmp_path / "scored").mkdir()
    for day, shift in (("2026-03-01", 0), ("2026-03-02", 90)):
        columns = {
            "rooms": np.linspace(1, 6, 300),
            "area": np.linspace(20, 120, 300) + shift,
            "price": np.arange(300) / 3,
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "scored" / f"{day}.parquet")
        assert tasks["count"].python_callable(day, str(tmp_path))
        assert not tasks["count"].python_callable(day, str(tmp_path)), "a task that is run again counts nothing twice"
    (tmp_path / "telltale").write_text(f'#!/bin/sh\nexec {sys.executable} -m monitor "$@"\n')
    (tmp_path / "telltale").chmod(0o755)
    path = {**environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command, running = tasks["judge"].bash_command.replace(str(dag["FOLDER"]), str(tmp_path)), []
    for start, end in (("2026-03-01", "2026-03-02"), ("2026-03-02", "2026-03-03"), ("2026-03-03", "2026-03-04")):
        filled = command.replace("{{ data_interval_start | ds }}", start).replace("{{ data_interval_end | ds }}", end)
        assert "{" not in filled
        running.append(subprocess.Popen(["bash", "-c", filled], env=path, stdout=subprocess.PIPE, text=True))
    answers = [json.loads(process.communicate()[0]) for process in running]
    assert [(process.returncode, answer["drifted"]) for process, answer in zip(running, answers, strict=True)] == [
        (0, []),
        (1, ["area"]),
        (tasks["judge"].skip_on_exit_code, []),
    ]


def test_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a kernel of Jupyter, as its reader runs it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(ROOT / "examples/notebook.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not committed"
    NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pages = [output.data["text/html"] for output in shown if "<iframe" in output.get("data", {}).get("text/html", "")]
    assert len(pages) == 2, "of the comparison and of the period"
    assert "drifted from the first table" in pages[0]
    assert re.search(r"501 predictions from .*501 predictions are in a window that has not ended", pages[1])
    printed = next(output.text for output in shown if output.output_type == "stream" and output.name == "stdout")
    assert printed.startswith(
        "2 of 3 columns have drifted from the training data; prediction most of all. Predictions have moved"
    )
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.fixture
def own_folder(tmp_path: Path, flats: Reference, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with settings and a reference, as a service would be started in."""
    flats.save(tmp_path / "histogram.prom")
    (tmp_path / "config.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_fastapi(own_folder: Path) -> None:
    with (own_folder / "log").open("w") as log:
        command = [sys.executable, "-m", "uvicorn", "examples.fastapi_app:app", "--port", "0"]
        process = subprocess.Popen(command, env=environment(), stderr=log)
    try:
        found = wait_for(lambda: re.search(r"running on (http://\S+)", (own_folder / "log").read_text()), "uvicorn")
        body = json.dumps({"rooms": 3, "area": 70}).encode()
        request = Request(f"{found[1]}/predict", body, {"Content-Type": "application/json"})
        with urlopen(request) as reply:
            assert json.loads(reply.read())["prediction_id"]
        with urlopen(f"{found[1]}/metrics") as reply:
            assert b"telltale_predictions_total" in reply.read()
    finally:
        process.terminate()
        process.wait()
    with closing(sqlite3.connect(own_folder / "data" / "telltale.db")) as connection:
        assert connection.execute("SELECT sum(predictions) FROM series").fetchone() == (1,)


def listens(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


@pytest.mark.parametrize(
    "command",
    [
        ("uvicorn", "examples.fastapi_app:app", "--port", "0", "--workers", "2"),
        ("gunicorn", "--bind", "127.0.0.1:0", "--workers", "2", "examples.wsgi:create_app()"),
    ],
    ids=lambda command: command[0],
)
def test_workers_share_one_monitor(own_folder: Path, command: tuple[str, ...]) -> None:
    with (own_folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", *command], env=environment(), stderr=log)
    try:
        found = wait_for(
            lambda: re.search(r"(?:running on|Listening at:) (http://[^ )]+)", (own_folder / "log").read_text()),
            command[0],
        )
        body = json.dumps({"rooms": 3, "area": 70}).encode()
        joined = own_folder / "data" / "workers"
        wait_for(lambda: len([*joined.glob("[!.]*/worker.json")]) == 1, "the second worker")
        wait_for(lambda: listens(found[1]), "a worker that listens: uvicorn says where it runs before that")
        for _ in range(20):
            with urlopen(Request(f"{found[1]}/predict", body, {"Content-Type": "application/json"})) as reply:
                assert json.loads(reply.read())["price"] == pytest.approx(16.0)

        def counted() -> bool:
            with urlopen(f"{found[1]}/metrics") as reply:
                return re.search(rb"^telltale_predictions_total\{.*\} 20.0$", reply.read(), re.MULTILINE) is not None

        for _ in range(4):  # whichever worker answers
            wait_for(counted, "all predictions")
    finally:
        process.terminate()
        process.wait()
    with closing(sqlite3.connect(own_folder / "data" / "telltale.db")) as connection:
        assert connection.execute("SELECT sum(predictions) FROM series").fetchone() == (20,)


def test_django(own_folder: Path) -> None:
    from examples import django_app

    body, said = b'{"rooms": 3, "area": 70}', []
    environ = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), "HTTP_HOST": "localhost"}
    environ |= {"REQUEST_METHOD": "POST", "PATH_INFO": "/predict", "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    with closing(django_app.application(environ, lambda *head: said.append(head))) as answer:
        assert json.loads(b"".join(answer))["price"] == pytest.approx(16.0)
    assert said[0][0] == "200 OK"
    django_app.watched().flush()
    environ |= {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "CONTENT_LENGTH": "0"}
    with closing(django_app.application(environ, lambda *head: said.append(head))) as answer:
        text = b"".join(answer)
    assert re.search(rb"^telltale_predictions_total\{.* 1\.0$", text, re.MULTILINE)
    django_app.watched().close()
    assert (own_folder / "data" / "telltale.db").exists()
