"""Signals, closed outputs, and starts that must be refused: each with a process of its own."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn.linear_model import LinearRegression

from bench.running import PATIENCE, ROW, Server, environment, wait_for
from tests.server.conftest import FAST, Start, copy_model
from tests.server.wire import JSON, answers, connect, post, read_to_end


def recorded(server: Server) -> int:
    """Predictions that the stopped server's store has."""
    connection = sqlite3.connect(server.folder / "data" / "telltale.db")
    try:
        return int(connection.execute("SELECT coalesce(sum(predictions), 0) FROM series").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_under_load_loses_nothing(start: Start, number: signal.Signals) -> None:
    server = start(FAST)
    acknowledged, broken = [0] * 4, []

    def load(position: int) -> None:
        while True:
            try:
                with connect(server) as connection:
                    connection.sendall(post(json.dumps(ROW).encode(), JSON))
                    data = read_to_end(connection)
            except ConnectionError:
                return  # the door is closed; who knocked at that moment is reset by the kernel
            if not data:
                broken.append(position)
                return
            acknowledged[position] += answers(data)[0].status == 200

    clients = [threading.Thread(target=load, args=(position,)) for position in range(4)]
    for client in clients:
        client.start()
    wait_for(lambda: sum(acknowledged) > 100, "some load")
    assert server.stop(number) == 0
    for client in clients:
        client.join()
    assert recorded(server) == sum(acknowledged)
    assert broken == []
    assert "Traceback" not in server.log
    assert "stopped; everything recorded is in" in server.log


def test_a_second_signal_still_ends_well(start: Start) -> None:
    server = start(FAST)
    assert server.post(ROW)[0] == 200
    with connect(server) as half:
        half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[")
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: refused(server.port), "the door to be closed")
        assert server.stop(signal.SIGTERM) == 0
    assert recorded(server) == 1


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_hang_up_and_broken_pipe_are_harmless(start: Start) -> None:
    server = start(FAST)
    for number in (signal.SIGHUP, signal.SIGPIPE) * 3:
        server.process.send_signal(number)
    assert server.post(ROW)[0] == 200
    # Another thread answers than takes the signal.
    wait_for(lambda: "reloaded: nothing has changed" in server.log, "a line about SIGHUP")
    assert server.stop() == 0


def test_closed_outputs_are_harmless(trained: Callable[[str], Path], tmp_path: Path) -> None:
    copy_model(trained("regression"), tmp_path)
    reading, writing = os.pipe()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--port", str(port)],
        cwd=tmp_path,
        env=environment(),
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    os.close(reading)
    wait_for(lambda: not refused(port), "the server")
    server = Server.__new__(Server)
    server.port = port
    assert server.post(ROW)[0] == 200
    assert server.post([1])[0] == 422
    process.terminate()
    assert process.wait(PATIENCE) in (0, 120)  # 120: Python could not flush the closed output


def no_model(folder: Path) -> None:
    (folder / "model.pkl").unlink()


def world_writable(folder: Path) -> None:
    (folder / "model.pkl").chmod(0o666)


def truncated(folder: Path) -> None:
    data = (folder / "model.pkl").read_bytes()
    put(folder, data[: len(data) // 2])


def another_model(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(LinearRegression().fit([[0.0] * 10], [1.0])))


def other_width(folder: Path) -> None:
    put(folder, pickle.dumps(LinearRegression().fit([[0.0, 1.0]], [1.0])))


def missing_library(folder: Path) -> None:
    put(folder, b"cno_such_library\nModel\n.")


def no_predict(folder: Path) -> None:
    put(folder, pickle.dumps({"a": 1}))


def put(folder: Path, data: bytes) -> None:
    """Put a model file in place, and have the reference trust it: what is tested lies behind the hash."""
    import hashlib

    old = hashlib.sha256((folder / "model.pkl").read_bytes()).hexdigest()
    (folder / "model.pkl").write_bytes(data)
    text = (folder / "histogram.prom").read_text()
    assert old in text
    (folder / "histogram.prom").write_text(text.replace(old, hashlib.sha256(data).hexdigest()))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (no_model, "model.pkl: there is no such model file; `telltale train`"),
        (world_writable, "chmod o-w"),
        (truncated, "cannot be loaded"),
        (another_model, "was made for"),
        (other_width, "takes 2 features"),
        (missing_library, "'no_such_library'"),
        (no_predict, "has no predict()"),
        (lambda folder: (folder / "histogram.prom").unlink(), "histogram.prom"),
    ],
    ids=["missing", "world-writable", "truncated", "another", "width", "library", "no predict", "no reference"],
)
def test_a_model_that_cannot_be_served_stops_the_start_with_one_line(
    trained: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
    named: str,
) -> None:
    from server.__main__ import main

    spoil(copy_model(trained("regression"), tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["--port", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("telltale serve: ")
    assert named in line
    assert not (tmp_path / "data").exists()


def test_a_pickle_that_the_reference_does_not_know_never_runs(trained: Callable[[str], Path], tmp_path: Path) -> None:
    copy_model(trained("regression"), tmp_path)
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    server = Server(tmp_path, warm=True)
    assert server.process.wait(PATIENCE) == 2
    assert not (tmp_path / "ran").exists()
