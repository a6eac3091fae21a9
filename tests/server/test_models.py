"""Several models behind one server: each by its path, by `model` in query or body, and by the protocols' own ways."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from bench.running import Client
from monitor import Reference
from monitor.config.load import Config
from monitor.errors import TelltaleError
from server.run import opened
from tests.server.hosted import running
from tests.server.models import Moody, Steady

LINES = "application/x-ndjson"


def settings(folder: Path) -> str:
    """Files and settings of four models: two are served, one is only observed, and one cannot be loaded."""
    random = np.random.default_rng(3)
    wide = Reference.from_data(dict(zip("xy", random.normal(0, 1, (2, 300)), strict=True)), random.normal(0, 2, 300))
    one = Reference.from_data({"z": random.normal(0, 1, 300)}, random.choice([1.0, 2.0], 300))
    for name, reference, model in (("wide", wide, Moody()), ("one", one, Steady())):
        (folder / f"{name}.prom").write_text(reference.to_text())
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(model))
    (folder / "bad.pkl").write_bytes(b"no model")
    model = '[models.{}]\npath = "{}"\nreference = "{}"\n'.format
    return (
        f'[server]\nport = 0\n[window]\nfold = "50ms"\n[data]\npath = "{folder / "data"}"\n[outcomes]\n'
        + model("wide", folder / "wide.pkl", folder / "wide.prom")
        + model("one", folder / "one.pkl", folder / "one.prom")
        + model("seen", "", folder / "wide.prom")
        + model("bad", folder / "bad.pkl", folder / "wide.prom")
    )


@contextmanager
def served(text: str) -> Iterator[Client]:
    with opened(Config.from_text(text)) as (server, _), running(server):
        yield Client(int(server.effective_port))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with served(settings(tmp_path_factory.mktemp("models"))) as found:
        yield found


def post(client: Client, path: str, body: Any, kind: str = "application/json") -> tuple[int, Any]:
    status, _, answer = client.request("POST", path, body, **{"Content-Type": kind})
    return status, json.loads(answer)


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/models/wide/predict", [1.5, 0], {"result": 3.0}),
        ("/models/one/predict", [[1.0], [-1.0]], {"results": [1.0, 2.0]}),
        ("/predict?model=wide", [1.5, 0], {"result": 3.0}),
        ("/predict", {"model": "wide", "x": 2, "y": 0}, {"result": 4.0}),
        ("/", [{"model": "one", "z": 1}, {"model": "one", "z": -1}], {"results": [1.0, 2.0]}),
        ("/models/one/invocations", {"inputs": [[1.0]]}, {"predictions": [1.0]}),
        ("/models/seen/observe", {"features": [1, 2], "prediction": 3}, {"observed": 1}),
        ("/observe", [{"model": "seen", "features": [1, 2], "prediction": 3}] * 2, {"observed": 2}),
        ("/observe?model=seen", [{"features": [1, 2], "prediction": 3}], {"observed": 1}),
        ("/outcomes", {"model": "one", "prediction": 1.0, "outcome": 2.0}, {"accepted": 1}),
        ("/models/wide/outcomes?wait=true", {"id": "nobody's", "outcome": 2.0}, {"accepted": 1, "waiting": 1}),
    ],
)
def test_a_model_is_found(client: Client, path: str, body: Any, answer: dict[str, Any]) -> None:
    status, said = post(client, path, body)
    assert (status, {key: said[key] for key in answer}) == (200, answer), said


@pytest.mark.parametrize(
    ("path", "body", "status", "parts"),
    [
        ("/models/wife/predict", [1, 2], 404, ["unknown_model", "did you mean 'wide'", "wide, one, seen, bad"]),
        ("/models/wide/predikt", [1, 2], 404, ["not_found", "/predikt"]),
        ("/predict", [1, 2], 404, ["which_model", "say which: wide, one, seen, bad"]),
        ("/predict?model=on", [1], 404, ["unknown_model", "did you mean 'one'"]),
        ("/predict", {"model": 3, "x": 1}, 404, ["unknown_model", "'3'"]),
        ("/predict", {"model": "one", "x": 1}, 422, ["z"]),
        ("/predict", [{"model": "one", "z": 1}, {"model": "wide", "x": 1, "y": 2}], 422, ["which_model", "one, wide"]),
        ("/models/seen/predict", [1, 2], 404, ["no_model"]),
        ("/models/bad/predict", [1, 2], 503, ["not_loaded", "bad.pkl"]),
        ("/observe", {"model": "bad", "features": [1, 2], "prediction": 1}, 503, ["not_loaded", "bad.pkl"]),
        ("/invocations", {"inputs": [[1.0]]}, 404, ["which_model"]),
        ("/v2/models/wife/infer", {}, 404, ["did you mean 'wide'"]),
        ("/v2/models/bad/infer", {}, 503, ["bad.pkl"]),
        ("/v2/models/seen/infer", {}, 404, ["/observe"]),
    ],
)
def test_what_is_wrong_is_said(client: Client, path: str, body: Any, status: int, parts: list[str]) -> None:
    found, said = post(client, path, body)
    assert found == status, said
    assert [part for part in parts if part not in json.dumps(said)] == [], said


def test_lines_are_for_one_model(client: Client) -> None:
    line = json.dumps({"features": [1, 2], "prediction": 3}).encode()
    assert post(client, "/models/seen/observe", line + b"\n" + line, LINES) == (200, {"observed": 2})
    assert post(client, "/observe?model=seen", line, LINES) == (200, {"observed": 1})
    assert post(client, "/observe", line, LINES)[0] == 404


def test_the_inference_protocol_lists_and_asks_by_name(client: Client) -> None:
    assert client.json("/v2/health/ready") == {"ready": True}
    about = client.json("/v2/models/one")
    assert (about["name"], [one["name"] for one in about["inputs"]]) == ("one", ["z"])
    tensor = {"name": "z", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}
    status, said = post(client, "/v2/models/one/infer", {"inputs": [tensor]})
    assert (status, said["model_name"], said["outputs"][0]["data"]) == (200, "one", [1.0])


def test_pages_say_which_model(client: Client) -> None:
    status, _, first = client.get("/")
    assert status == 200
    rows = re.findall(r"<th scope=\"row\"><a href=./models/(\w+)/.>", first.decode())
    assert rows == ["wide", "one", "seen"], "alike, so in the order of the settings"
    for path in ("/", "/performance", "/alerts", "/monitor", "/column/feature?name=z", "/api/status"):
        status, _, body = client.get(f"/models/one{path}")
        assert (status, b"one" in body) == (200, True), path
    page = client.get("/?model=one")[2].decode()
    assert "Model <b>one " in page
    assert "/models/one/performance" in page
    assert set(re.findall(r"""href="(/[a-z]+)""", page)) <= {"/models", "/assets", "/metrics", "/what", "/help"}
    assert {one["model"] for one in client.json("/api/status")["models"]} == {"wide", "one", "seen"}
    assert client.json("/api/status?model=one")["model"] == "one"
    assert client.json("/api/windows?model=one")["columns"][0]["column"] == "z"
    for path, wanted in (("/api/windows", 404), ("/models/bad/", 503), ("/models/two/", 404), ("/?model=two", 404)):
        assert client.get(path)[0] == wanted, path


def test_the_others_are_served_and_health_is_red(client: Client) -> None:
    status, _, body = client.get("/healthz")
    checks = {check["part"]: check for check in json.loads(body)["checks"]}
    assert (status, checks["models"]["condition"], checks["capture"]["condition"]) == (503, "failing", "ok")
    assert "bad is not served" in checks["models"]["detail"]


def test_a_server_that_has_no_model_left_does_not_start(tmp_path: Path) -> None:
    text = settings(tmp_path)
    bad = text[: text.index("[models.wide]")] + text[text.index("[models.bad]") :]
    with pytest.raises(TelltaleError, match=r"bad\.pkl"), served(bad):
        pass


def test_one_named_model_is_served_as_any_other(tmp_path: Path) -> None:
    text = settings(tmp_path)
    with served(text[: text.index("[models.one]")]) as client:
        for path in ("/predict", "/models/wide/predict"):
            assert post(client, path, [1.5, 0])[1]["result"] == 3.0
    assert list((tmp_path / "data" / "journal" / "wide").iterdir())


def test_openapi_says_what_each_model_takes_and_the_server_answers(client: Client) -> None:
    said = client.json("/openapi.json")
    validate(said)
    for name, columns in (("wide", ["x", "y"]), ("one", ["z"])):
        body = said["paths"][f"/models/{name}/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert list(body["anyOf"][1]["properties"]) == columns
    assert not [path for path in said["paths"] if path.startswith("/models/bad/")], "it could not be loaded"
    for path, methods in said["paths"].items():
        if "get" in methods and "{" not in path:
            status, _, answer = client.get(path)
            ((kind, content),) = methods["get"]["responses"]["200"]["content"].items()
            if status == 200 and kind == "application/json":
                Draft202012Validator(content["schema"]).validate(json.loads(answer))
            assert b'"not_found"' not in answer, path
            assert status != 405, path
