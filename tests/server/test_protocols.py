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
import pandas as pd
import pytest

from bench.running import Client, wait_for
from monitor import __version__
from monitor.columns.column import Column
from monitor.models.values import values_of
from monitor.tables.rows import Names
from server.protocols.mlflow import read_csv
from server.protocols.tensors import read_request, write_response
from tests.server.conftest import FAST, Host

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its dependencies say while they are loaded is not ours
    import ml_dtypes
    import tritonclient.http as tritonclient
    from tritonclient.utils import InferenceServerException

RECORDED: dict[str, str] = json.loads((Path(__file__).parent / "recorded" / "requests.json").read_text())["requests"]
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
FRAME = pd.DataFrame(ROWS, columns=NAMES)


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
    status, headers, body = iris.request(
        "POST", "/v2/models/model/infer", RECORDED[name].encode(), **{"Content-Type": ""}
    )
    length = int(headers.get("Inference-Header-Content-Length", len(body)))
    answer = json.loads(body[:length])
    (output,) = answer["outputs"]
    assert status == 200
    assert (output["name"], output["shape"], output["datatype"]) == ("prediction", [2, 1], "BYTES")
    if name == "tritonclient no outputs":  # asks for binary data
        assert headers["Content-Type"] == "application/octet-stream"
        assert output["parameters"] == {"binary_data_size": 23}
        assert body[length:] == b"\6\0\0\0setosa\11\0\0\0virginica"
    else:
        assert output["data"] == ["setosa", "virginica"]
    assert answer["model_name"] == "model"
    assert answer.get("id") == ("7" if name == "tritonclient one tensor" else None)


@pytest.fixture(scope="module")
def client(iris: Client) -> Iterator[Any]:
    with tritonclient.InferenceServerClient(f"127.0.0.1:{iris.port}") as client:
        yield client


def tensor_of(values: Any, kind: str, name: str = "x", **more: Any) -> Any:
    one = tritonclient.InferInput(name, list(values.shape), kind)
    one.set_data_from_numpy(values, **more)
    return one


def labels(result: Any) -> list[str]:
    return [one.decode() if isinstance(one, bytes) else one for one in result.as_numpy("prediction").ravel()]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("FP64", "f8"), ("FP32", "f4"), ("FP16", "f2"), ("BF16", ml_dtypes.bfloat16)]
    + [
        (f"{sign}INT{8 * size}", f"{letter}{size}") for size in (1, 2, 4, 8) for sign, letter in (("", "i"), ("U", "u"))
    ],
)
def test_binary_tensors_of_a_real_client(client: Any, kind: str, dtype: Any) -> None:
    assert labels(client.infer("model", [tensor_of(np.array(ROWS).astype(dtype), kind)])) == ["setosa", "virginica"]


def test_a_real_client(client: Any, iris: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    (version,) = client.get_model_metadata("model")["versions"]
    assert client.is_model_ready("model", version)
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("model", "9")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    before = iris.predictions()
    rows = np.array(ROWS)
    columns = [
        tensor_of(rows[:, [k]].astype("f4"), "FP32", name, binary_data=k % 2 == 0) for k, name in enumerate(NAMES)
    ]
    whole = [tensor_of(rows, "FP64")]
    for inputs, more in [
        (columns, {}),
        (columns[::-1], {"outputs": [tritonclient.InferRequestedOutput("prediction", binary_data=False)]}),
        (whole, {"outputs": [tritonclient.InferRequestedOutput("prediction")]}),
        (whole, {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}),
        (whole, {"request_compression_algorithm": "deflate", "model_version": version}),
        ([tensor_of(rows, "FP64", binary_data=False)], {}),
    ]:
        assert labels(client.infer("model", inputs, **more)) == ["setosa", "virginica"]
    assert client.infer("model", whole, request_id="7").get_response()["id"] == "7"
    many = client.infer("model", [tensor_of(np.tile(rows, (3000, 1)), "FP64")])
    assert many.as_numpy("prediction").shape == (6000, 1)
    assert iris.predictions() == before + 6 * 2 + 2 + 6000


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
        (whole, {"outputs": [output("prediction", class_count=2)]}, "output prediction: classification"),
        ([tensor_of(np.array([["a", "b", "c", "d"]], object), "BYTES")], {}, "row 0, column sepal_length: .*text 'a'"),
        ([tensor_of(rows > 3, "BOOL")], {}, "column sepal_length: expected a number, got true"),
        ([tensor_of(rows[:, :3], "FP64")], {}, "tensor x: expected 4 feature values .*, got 3"),
        ([tensor_of(rows * np.nan, "FP64")], {}, "row 0, column sepal_length: NaN is refused"),
        ([tensor_of(rows * np.inf, "FP64")], {}, "finite"),
        ([tensor_of(rows.astype(int) + 2**60, "INT64")], {}, "tensor x: .*2\\*\\*53"),
        ([tensor_of(rows[:0], "FP64")], {}, "no rows"),
        ([tensor_of(rows[:, [0]], "FP64", NAMES[0])], {}, "no value for 'sepal_width'"),
        ([shared], {}, "shared memory"),
    ]:
        with pytest.raises(InferenceServerException, match=words):
            client.infer("model", inputs, **more)
    assert iris.predictions() == before


def binary(data: bytes, size: Any = None, shape: Any = (1, 4), kind: str = "FP32") -> tuple[bytes, bytes]:
    """A JSON part, and the binary part behind it."""
    parameters = {"binary_data_size": len(data) if size is None else size}
    one = {"name": "x", "shape": list(shape), "datatype": kind, "parameters": parameters}
    return json.dumps({"inputs": [one]}).encode(), data


@pytest.mark.parametrize(
    ("request_of", "length", "words"),
    [
        (binary(b"\0" * 16, 17), None, "binary_data_size is 17, and 16 bytes"),
        (binary(b"\0" * 16, -1), None, "binary_data_size is -1"),
        (binary(b"\0" * 16, "16"), None, "binary_data_size is '16'"),
        (binary(b"\0" * 16, 12, (1, 3)), None, "4 bytes behind the last tensor"),
        (binary(b"\0" * 15), None, "15 bytes are no whole number of FP32"),
        (binary(b"\0" * 16, shape=(2, 4)), None, r"4 values for shape [2, 4]"),
        (binary(b"\0" * 16), "0", "1 to "),
        (binary(b"\0" * 16), "9999", "1 to "),
        (binary(b"\0" * 16), "many", "'many'"),
        (binary(b"\0" * 16), "9" * 5000, "1 to "),
        (binary(b"\5\0\0\0ab", shape=(1, 1), kind="BYTES"), None, "text 0 reaches beyond"),
        (binary(b"\5\0", shape=(1, 1), kind="BYTES"), None, "text 0 reaches beyond"),
        (binary(b"\1\0\0\0\xff", shape=(1, 1), kind="BYTES"), None, "text 0 is not UTF-8"),
    ],
)
def test_binary_requests_that_are_wrong(
    iris: Client, request_of: tuple[bytes, bytes], length: str | None, words: str
) -> None:
    head, data = request_of
    headers = {"Inference-Header-Content-Length": length or str(len(head))}
    status, _, body = iris.request("POST", "/v2/models/model/infer", head + data, **headers)
    assert status in (400, 422)
    assert words in json.loads(body)["error"]


def test_texts_in_binary_form() -> None:
    columns = (
        Column("size", "feature", "numeric", edges=(0.0, 1.0)),
        Column("colour", "feature", "categorical", categories=("red", "grün")),
        Column("class", "prediction", "categorical", categories=("1", "2")),
    )
    head, data = binary(b"red".join([b"\3\0\0\0", b"\5\0\0\0"]) + "grün".encode(), None, (2, 1), "BYTES")
    (colour,) = read_request(head + data, str(len(head)))[1]
    assert (colour.values, colour.shape) == (["red", "grün"], (2, 1))
    body, length = write_response({}, {"class": True}, columns[2:], [[1, 2]])
    assert json.loads(body[:length])["outputs"][0]["datatype"] == "INT64"
    assert body[length:] == b"\1" + b"\0" * 7 + b"\2" + b"\0" * 7
    assert write_response({}, {"class": False}, columns[2:], [[1, 2]])[1] is None


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
    for path in ("/ping", "/health", "/v2/health/live", "/v2/health/ready", "/v2/models/model/ready"):
        assert iris.get(path)[0] == 200
    assert iris.get("/version")[2].decode() == __version__
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
        ("/v2/models/model/infer", tensor(data=None), 422, "binary"),
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


def csv(server: Client, body: str | bytes, content_type: str = "text/csv") -> tuple[int, Any]:
    data = body.encode() if isinstance(body, str) else body
    status, _, reply = server.request("POST", "/invocations", data, **{"Content-Type": content_type})
    return status, json.loads(reply)


HEAD = ",".join(NAMES)


@pytest.mark.parametrize(
    "body",
    [
        FRAME.to_csv(index=False),
        FRAME.to_csv(),
        FRAME[NAMES[::-1]].to_csv(index=False),
        FRAME.to_csv(index=False, quoting=1, lineterminator="\r\n"),
        "\ufeff" + FRAME.to_csv(index=False) + "\n\n",
    ],
    ids=["plain", "with an index", "another order", "quoted", "byte order mark and empty lines"],
)
def test_csv(iris: Client, body: str) -> None:
    for content_type in ("text/csv", "text/csv; charset=UTF-8"):
        assert csv(iris, body, content_type) == (200, {"predictions": ["setosa", "virginica"]})


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ("", 422, "missing_column", "line 1: no value for"),
        (f"{HEAD}\n", 422, "empty", "no rows"),
        (f"{HEAD},x\n1,2,3,4,5\n", 422, "unknown_column", "line 1: there is no feature called 'x'"),
        (f"{HEAD},{NAMES[0]}\n1,2,3,4,5\n", 422, "unknown_column", "named twice"),
        (f"{HEAD}\n1,2,3,4\n1,2,3\n", 422, "wrong_length", "line 3: 3 cells"),
        (f"{HEAD}\n1,2,3,x\n", 422, "not_a_number", "row 0, column petal_width"),
        (f"{HEAD}\n1,2,3,1_0\n", 422, "not_a_number", "row 0, column petal_width"),
        (f"{HEAD}\n1,2,NA,4\n", 422, "missing", "row 0, column petal_length"),
        (f'{HEAD}\n1,2,3,"4\n', 400, "not_csv", "line 2: not CSV"),
        (f"{HEAD}\n1,2,3,4\xff\n".encode("latin-1"), 400, "not_utf8", "byte"),
    ],
)
def test_csv_that_is_wrong(iris: Client, body: str | bytes, status: int, code: str, words: str) -> None:
    got, answer = csv(iris, body)
    assert (got, answer["error"]["code"]) == (status, code)
    assert words in answer["message"]
    assert answer["error_code"] == "BAD_REQUEST"


def test_other_content_types(iris: Client) -> None:
    for content_type in ("application/vnd.apache.parquet", "text/csv; charset=latin-1", ""):
        status, answer = csv(iris, HEAD, content_type)
        assert (status, answer["error"]["code"]) == (415, "wrong_type")


def test_params_are_ignored_as_mlflow_ignores_them(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    server = host(FAST, "classification")
    for _ in range(2):
        assert server.post({"inputs": ROWS, "params": {"a": 1}}, "/invocations")[0] == 200
    assert caplog.text.count("params are ignored") == 1


def test_cells_become_what_the_model_knows() -> None:
    columns = (
        Column("age", "feature", "numeric", edges=(0.0, 1.0)),
        Column("code", "feature", "categorical", categories=("1", "2")),
        Column("member", "feature", "categorical", categories=("false", "true")),
        Column("colour", "feature", "categorical", categories=("NA", "red")),
        Column("zip", "feature", "categorical", categories=("007", "12")),
    )
    text = "colour,member,code,age,zip\nNA,True,2.0,1.5,12\nnull,FALSE,7,,007\n,no,x,NaN,1\n"
    assert read_csv(text.encode(), columns, [values_of(column, None, False) for column in columns], Names(columns)) == [
        {"colour": "NA", "member": True, "code": 2, "age": 1.5, "zip": "12"},
        {"colour": "null", "member": False, "code": 7, "age": None, "zip": "007"},
        {"colour": None, "member": "no", "code": "x", "age": None, "zip": "1"},
    ]
