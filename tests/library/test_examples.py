"""The examples run as they stand."""

from __future__ import annotations

import io
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import batch, wsgi
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
    drifted = batch.run(tmp_path)
    assert {month for month, names in drifted.items() if "area" in names} == set(range(7, 13))
    assert {month for month, names in drifted.items() if "rooms" in names} == set()


def test_notebook() -> None:
    assert runpy.run_path(str(ROOT / "examples/notebook.py"))["status"]["predictions"] == 3


def test_fastapi(tmp_path: Path, flats: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    flats.save(tmp_path / "histogram.prom")
    (tmp_path / "config.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    from examples.fastapi_app import app

    with TestClient(app) as client:
        assert client.post("/predict", json={"rooms": 3, "area": 70}).json()["prediction_id"]
        assert "telltale_predictions_total" in client.get("/metrics").text
    assert (tmp_path / "data" / "telltale.db").exists()
