"""MLflow's and the Open Inference Protocol, asked by tritonclient itself and with requests that MLflow's client made.

`recorded/requests.json` has what `mlflow.utils.proto_json_utils.dump_input_data`, which MLflow's client sends as it is,
returns for `ROWS` in each of its forms, and bodies of tritonclient. MLflow itself, with its sixty dependencies, is too
large to install for a test.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.running import Client, wait_for
from monitor import __version__
from monitor.columns.column import Column
from server.protocols.inference import output
from tests.server.conftest import FAST, Host

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its dependencies say while they are loaded is not ours
    import tritonclient.http as tritonclient
    from tritonclient.utils import InferenceServerException

RECORDED: dict[str, str] = json.loads((Path(__file__).parent / "recorded" / "requests.json").read_text())["requests"]
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.fixture(scope="module")
def iris(host: Host) -> Client:
    return host(FAST, "classification")


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("mlflow")])
def test_mlflow(iris: Client, name: str) -> None:
    status, answer = iris.post(RECORDED[name].encode(), "/invocations")
    assert (status, answer) == (200, {"predictions": ["setosa", "virginica"]})


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("tritonclient")])
def test_open_inference(iris: Client, name: str) -> None:
    # The client declares no Content-Type.
    status, _, body = iris.request("POST", "/v2/models/model/infer", RECORDED[name].encode(), **{"Content-Type": ""})
    answer = json.loads(body)
    (output,) = answer["outputs"]
    assert status == 200
    assert (output["name"], output["shape"], output["datatype"]) == ("prediction", [2, 1], "BYTES")
    assert output["data"] == [
        "setosa",
        "virginica",
    ]  # also if it asks for binary data
    assert answer["model_name"] == "model"
    assert answer.get("id") == ("7" if name == "tritonclient one tensor" else None)


@pytest.fixture(scope="module")
def client(iris: Client) -> Iterator[Any]:
    with tritonclient.InferenceServerClient(f"127.0.0.1:{iris.port}") as client:
        yield client


def tensor_of(values: Any, kind: str, name: str = "x", **more: Any) -> Any:
    one = tritonclient.InferInput(name, list(values.shape), kind)
    one.set_data_from_numpy(values, **{"binary_data": False, **more})
    return one


def labels(result: Any) -> list[str]:
    return [one.decode() if isinstance(one, bytes) else one for one in result.as_numpy("prediction").ravel()]


@pytest.mark.parametrize(
    ("kind", "dtype"), [("FP64", "f8"), ("FP32", "f4"), *((f"INT{8 * size}", f"i{size}") for size in (1, 2, 4, 8))]
)
def test_data_types_of_a_real_client(client: Any, kind: str, dtype: Any) -> None:
    assert labels(client.infer("model", [tensor_of(np.array(ROWS).astype(dtype), kind)])) == ["setosa", "virginica"]


def test_a_real_client(client: Any, iris: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    (version,) = client.get_model_metadata("model")["versions"]
    assert client.is_model_ready("model", version)
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("model", "9")
    assert client.get_server_metadata()["extensions"] == []
    before = iris.predictions()
    rows = np.array(ROWS)
    columns = [tensor_of(rows[:, [k]].astype("f4"), "FP32", name) for k, name in enumerate(NAMES)]
    whole = [tensor_of(rows, "FP64")]
    for inputs, more in [
        (columns, {}),
        (columns[::-1], {"outputs": [tritonclient.InferRequestedOutput("prediction", binary_data=False)]}),
        (whole, {"outputs": [tritonclient.InferRequestedOutput("prediction")]}),
        (whole, {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}),
        (whole, {"request_compression_algorithm": "deflate", "model_version": version}),
    ]:
        assert labels(client.infer("model", inputs, **more)) == ["setosa", "virginica"]
    assert client.infer("model", whole, request_id="7").get_response()["id"] == "7"
    many = client.infer("model", [tensor_of(np.tile(rows, (3000, 1)), "FP64")])
    assert many.as_numpy("prediction").shape == (6000, 1)
    assert iris.predictions() == before + 5 * 2 + 2 + 6000


def test_what_a_real_client_is_refused(client: Any, iris: Client) -> None:
    before = iris.predictions()
    rows = np.array(ROWS)
    whole = [tensor_of(rows, "FP64")]
    shared = tritonclient.InferInput("x", [2, 4], "FP64")
    shared.set_shared_memory("region", 64)
    output = tritonclient.InferRequestedOutput
    for inputs, more, words in [
        (whole, {"model_version": "9"}, r"\[404\] version"),
        (whole, {"outputs": [output("y")]}, "no output called 'y'; there are prediction"),
        ([tensor_of(rows, "FP64", binary_data=True)], {}, "send them as JSON \\(tritonclient: binary_data=False\\)"),
        ([tensor_of(np.array([["a", "b", "c", "d"]], object), "BYTES")], {}, "row 0, column sepal_length: .*text 'a'"),
        ([tensor_of(rows > 3, "BOOL")], {}, "column sepal_length: expected a number, got true"),
        ([tensor_of(rows[:, :3], "FP64")], {}, "tensor x: expected 4 feature values .*, got 3"),
        ([tensor_of(rows * np.nan, "FP64")], {}, "row 0, column sepal_length: NaN is refused"),
        ([tensor_of(rows * np.inf, "FP64")], {}, "finite"),
        ([tensor_of(rows.astype(int) + 2**60, "INT64")], {}, "2\\*\\*53"),
        ([tensor_of(rows[:0], "FP64")], {}, "no rows"),
        ([tensor_of(rows[:, [0]], "FP64", NAMES[0])], {}, "no value for 'sepal_width'"),
        ([shared], {}, "tensor x: expected data, a list"),
    ]:
        with pytest.raises(InferenceServerException, match=words):
            client.infer("model", inputs, **more)
    assert iris.predictions() == before


def test_labels_that_are_whole_numbers_are_int64() -> None:
    column = Column("class", "prediction", "categorical", categories=("1", "2"))
    assert output(column, [1, 2]) == {"name": "class", "shape": [2, 1], "datatype": "INT64", "data": [1, 2]}


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
def test_other_forms_of_mlflow(iris: Client, body: Any) -> None:
    assert iris.post(body, "/invocations") == (200, {"predictions": ["setosa", "virginica"]})


def test_ping_health_and_metadata(iris: Client) -> None:
    for path in ("/ping", "/v2/health/live", "/v2/health/ready", "/v2/models/model/ready"):
        assert iris.get(path)[0] == 200
    assert iris.json("/v2")["version"] == __version__
    assert iris.json("/v2")["name"] == "telltale"
    found = iris.json("/v2/models/model")
    assert [one["name"] for one in found["inputs"]] == NAMES
    assert {one["datatype"] for one in found["inputs"]} == {"FP64"}
    assert found["outputs"] == [{"name": "prediction", "datatype": "BYTES", "shape": [-1, 1]}]
    assert iris.json(f"/v2/models/model/versions/{found['versions'][0]}") == found


def test_what_was_asked_is_recorded(host: Host) -> None:
    server = host(FAST, "classification")
    for name, body in RECORDED.items():
        path = "/invocations" if name.startswith("mlflow") else "/v2/models/model/infer"
        assert server.request("POST", path, body.encode())[0] == 200
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
        ("/invocations", {"inputs": []}, 422, "no rows"),
        ("/invocations", {"dataframe_records": [{**dict(zip(NAMES, ROWS[0], strict=True)), "x": 1}]}, 422, "'x'"),
        ("/invocations", {"dataframe_split": {"columns": NAMES, "data": [[1]]}}, 422, "each row"),
        ("/v2/models/model/infer", {}, 422, "inputs"),
        ("/v2/models/model/infer", tensor(shape=[2, 3], data=[1, 2, 3, 4, 5, 6]), 422, "got 3"),
        ("/v2/models/model/infer", tensor(data=ROWS[0]), 422, "4 values for shape [2, 4]"),
        ("/v2/models/model/infer", tensor(datatype="TEXT"), 422, "datatype"),
        ("/invocations", {"dataframe_split": {"columns": [*NAMES, NAMES[0]], "data": [[1] * 5]}}, 422, "named twice"),
        ("/v2/models/model/infer", tensor(data=None), 422, "a list"),
        ("/v2/models/model/infer", {**tensor(), "outputs": [{"name": "y"}]}, 422, "'y'"),
        ("/v2/models/other/infer", tensor(), 404, "'model'"),
        ("/v2/models/model/versions/9/infer", tensor(), 404, "version"),
        ("/v2/models/model", tensor(), 405, "takes GET"),
        ("/v2/nothing", tensor(), 404, "/v2/nothing"),
    ],
)
def test_refused(iris: Client, path: str, body: Any, status: int, words: str) -> None:
    got, answer = iris.post(body, path)
    said = answer["error"] if path.startswith("/v2") else json.dumps(answer["error"])
    assert isinstance(said, str)
    assert (got, words in said) == (status, True), answer


def test_other_content_types(iris: Client) -> None:
    for content_type in ("application/vnd.apache.parquet", "text/csv", ""):
        status, _, reply = iris.request("POST", "/invocations", b"1,2,3,4", **{"Content-Type": content_type})
        assert (status, json.loads(reply)["error"]["code"]) == (415, "wrong_type")


def test_params_are_ignored_as_mlflow_ignores_them(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    server = host(FAST, "classification")
    for _ in range(2):
        assert server.post({"inputs": ROWS, "params": {"a": 1}}, "/invocations")[0] == 200
    assert caplog.text.count("params are ignored") == 1
