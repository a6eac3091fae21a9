"""MLflow's and the Open Inference Protocol, with requests that their own clients made, recorded beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.running import Server
from tests.server.conftest import FAST, Start

RECORDED: dict[str, str] = json.loads((Path(__file__).parent / "recorded" / "requests.json").read_text())["requests"]
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.fixture(scope="module")
def iris(start: Start) -> Server:
    return start(FAST, "classification")


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("mlflow")])
def test_mlflow(iris: Server, name: str) -> None:
    status, answer = iris.post(RECORDED[name].encode(), "/invocations")
    assert (status, answer) == (200, {"predictions": ["setosa", "virginica"]})


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("tritonclient")])
def test_open_inference(iris: Server, name: str) -> None:
    # The client declares no Content-Type.
    status, _, body = iris.request("POST", "/v2/models/model/infer", RECORDED[name].encode(), **{"Content-Type": ""})
    answer = json.loads(body)
    assert status == 200
    assert answer["outputs"] == [
        {"name": "prediction", "shape": [2, 1], "datatype": "BYTES", "data": ["setosa", "virginica"]}
    ]
    assert answer["model_name"] == "model"
    assert answer.get("id") == ("7" if name == "tritonclient one tensor" else None)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": dict(zip(NAMES, zip(*ROWS, strict=True), strict=True))},
        {"inputs": dict(zip(NAMES, ([[v] for v in column] for column in zip(*ROWS, strict=True)), strict=True))},
        {"dataframe_split": {"data": ROWS}},
        {"dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in ROWS]}},
        {"instances": [dict(zip(NAMES, row, strict=True)) for row in ROWS]},
    ],
    ids=["columns", "columns of one", "no names", "another order", "objects"],
)
def test_other_forms_of_mlflow(iris: Server, body: Any) -> None:
    assert iris.post(body, "/invocations") == (200, {"predictions": ["setosa", "virginica"]})


def test_ping_health_and_metadata(iris: Server) -> None:
    for path in ("/ping", "/v2/health/live", "/v2/health/ready", "/v2/models/model/ready"):
        assert iris.get(path)[0] == 200
    assert iris.json("/v2")["name"] == "telltale"
    found = iris.json("/v2/models/model")
    assert [one["name"] for one in found["inputs"]] == NAMES
    assert {one["datatype"] for one in found["inputs"]} == {"FP64"}
    assert found["outputs"] == [{"name": "prediction", "datatype": "BYTES", "shape": [-1, 1]}]
    assert iris.json(f"/v2/models/model/versions/{found['versions'][0]}") == found


def test_what_was_asked_is_recorded(start: Start) -> None:
    from bench.running import wait_for

    server = start(FAST, "classification")
    for name, body in RECORDED.items():
        path = "/invocations" if name.startswith("mlflow") else "/v2/models/model/infer"
        assert server.post(body.encode(), path)[0] == 200
    wait_for(lambda: server.json("/api/status")["predictions"] == 2 * len(RECORDED), "all rows")


def tensor(**more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP64", "data": ROWS, **more}]}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/invocations", {"rows": ROWS}, 422, "dataframe_split"),
        ("/invocations", {"inputs": ROWS, "instances": ROWS}, 422, "exactly one"),
        ("/invocations", {"inputs": [ROWS[0][:3]]}, 422, "got 3"),
        ("/invocations", {"inputs": {"sepal_length": [1]}}, 422, "no value for"),
        ("/invocations", {"inputs": ROWS, "params": {"a": 1}}, 400, "params"),
        ("/invocations", {"inputs": []}, 422, "no rows"),
        ("/invocations", {"dataframe_records": [{**dict(zip(NAMES, ROWS[0], strict=True)), "x": 1}]}, 422, "'x'"),
        ("/invocations", {"dataframe_split": {"columns": NAMES, "data": [[1]]}}, 422, "each row"),
        ("/v2/models/model/infer", {}, 422, "inputs"),
        ("/v2/models/model/infer", tensor(shape=[2, 3]), 422, "got 3"),
        ("/v2/models/model/infer", tensor(data=ROWS[0]), 422, "4 values for shape [2, 4]"),
        ("/v2/models/model/infer", tensor(datatype="TEXT"), 422, "datatype"),
        ("/v2/models/model/infer", tensor(data=None), 422, "binary"),
        ("/v2/models/model/infer", {**tensor(), "outputs": [{"name": "y"}]}, 422, "'y'"),
        ("/v2/models/other/infer", tensor(), 404, "'model'"),
        ("/v2/models/model/versions/9/infer", tensor(), 404, "version"),
        ("/v2/models/model", tensor(), 405, "takes GET"),
        ("/v2/nothing", tensor(), 404, "/v2/nothing"),
    ],
)
def test_refused(iris: Server, path: str, body: Any, status: int, words: str) -> None:
    got, answer = iris.post(body, path)
    said = answer["error"] if path.startswith("/v2") else json.dumps(answer["error"])
    assert isinstance(said, str)
    assert (got, words in said) == (status, True), answer


def test_binary_tensors_are_refused_in_words(iris: Server) -> None:
    header = {"Inference-Header-Content-Length": "10"}
    status, _, body = iris.request("POST", "/v2/models/model/infer", b"{}        " + b"\0" * 64, **header)
    assert status == 415
    assert "binary_data=False" in json.loads(body)["error"]
