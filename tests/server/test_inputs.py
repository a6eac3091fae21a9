"""Inputs that once were taken for something else, through the routes of a server with a model, in this process."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from wsgiref.types import WSGIApplication

import pytest

from bench.fuzz import ROW, Request, opened, send
from monitor.runtime import Runtime
from server.guard import Guard
from server.routes import create_application
from server.web.pages import to_csv

LINES = {"CONTENT_TYPE": "application/x-ndjson"}
JSON = {"CONTENT_TYPE": "application/json"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, WSGIApplication]]:
    with opened(tmp_path_factory.mktemp("inputs")) as (runtime, model):
        yield runtime, create_application(runtime, {runtime.only.name: model}, Guard(clock=runtime.clock))


def post(
    application: WSGIApplication, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, object]]:
    status, answer = send(application, Request("POST", path, "", headers, body))
    return status, json.loads(answer)


@pytest.mark.parametrize(
    "lines",
    [
        ['{"features":[1', '2,"north"],"prediction":1},{"features":[1,2,"north"]', '"prediction":1}'],
        ['{"features":[1,2,"north"],"prediction":1', '"id":"a"},{"features":[1,2,"north"],"prediction":1}'],
        ['{"features":[1,2,"north"],"prediction":1,"id":"}', '{","time":1},{"features":[1,2,"north"],"prediction":1}'],
        ['{"features":[1,2,{"a":1}', '{"a":2}],"prediction":1},{"features":[1,2,"north"],"prediction":1}'],
        [" [", "]"],
        ["1", "2,3"],
    ],
)
def test_broken_lines_that_are_json_together_are_refused(
    parts: tuple[Runtime, WSGIApplication], lines: list[str]
) -> None:
    status, answer = post(parts[1], "/observe", "\n".join(lines).encode(), LINES)
    assert (status, answer["observed"]) == (400, 0)
    assert answer["error"]["where"] == "line 1"  # type: ignore[index]


def test_gzip_members_are_few(parts: tuple[Runtime, WSGIApplication]) -> None:
    line = json.dumps({"features": ROW, "prediction": 1}).encode() + b"\n"
    packed = {**LINES, "HTTP_CONTENT_ENCODING": "gzip"}
    assert post(parts[1], "/observe", gzip.compress(line) * 1000, packed) == (200, {"observed": 1000})
    status, answer = post(parts[1], "/observe", gzip.compress(line[:1]) * 1001, packed)
    assert (status, answer["error"]["code"]) == (400, "bad_encoding")  # type: ignore[index]


@pytest.mark.parametrize("time", ["9" * 400, "-" + "9" * 400, "1e308", "7258118400", '"9999-12-31T23:59:59"', '"x"'])
def test_times_that_no_clock_has(parts: tuple[Runtime, WSGIApplication], time: str) -> None:
    body = f'{{"features": {json.dumps(ROW)}, "prediction": 1, "time": {time}}}'
    for text, headers in ((body, JSON), (f"[{body}]", JSON), (body, LINES)):
        status, answer = post(parts[1], "/observe", text.encode(), headers)
        assert (status, answer["error"]["code"]) == (422, "bad_time")  # type: ignore[index]


@pytest.mark.parametrize("depth", [33, 495, 970, 5000])
@pytest.mark.parametrize("place", ["%s", '{"inputs": %s}', '{"inputs": [{"data": %s}]}', '{"id": %s, "inputs": []}'])
def test_nesting_is_refused_on_every_route(parts: tuple[Runtime, WSGIApplication], depth: int, place: str) -> None:
    body = (place % ("[" * depth + "]" * depth)).encode()
    for path in ("/", "/observe", "/invocations", "/v2/models/model/infer"):
        status, answer = post(parts[1], path, body, JSON)
        assert status == 400, (path, answer)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
def test_types_that_a_foreign_page_may_send_are_refused(parts: tuple[Runtime, WSGIApplication], kind: str) -> None:
    for path in ("/", "/predict", "/observe", "/invocations", "/v2/models/model/infer"):
        assert post(parts[1], path, b"{}", {"CONTENT_TYPE": kind})[0] == 415
    page = {"CONTENT_TYPE": "", "HTTP_ORIGIN": "http://localhost:5000"}
    assert post(parts[1], "/v2/models/model/infer", b"{}", page)[0] == 415


@pytest.mark.parametrize("query", ["from=0001-01-01&to=9999-12-31T23:59:59", "from=1969-12-31", "to=2200-01-02"])
def test_periods_that_no_clock_has(parts: tuple[Runtime, WSGIApplication], query: str) -> None:
    assert send(parts[1], Request("GET", "/api/windows", query, {}, b""))[0] == 400


def test_pages_wait_for_a_data_folder_that_cannot_be_read(parts: tuple[Runtime, WSGIApplication]) -> None:
    runtime, application = parts
    database = runtime.folder.database
    away = database.with_name("away.db")
    database.rename(away)
    try:
        for path in ("/", "/alerts", "/monitor", "/api/windows"):
            status, body = send(application, Request("GET", path, "", {}, b""))
            assert (status, json.loads(body)["error"]["code"]) == (503, "unavailable"), path
        assert post(application, "/", json.dumps(ROW).encode(), JSON)[0] == 200
    finally:
        away.rename(database)
    assert send(application, Request("GET", "/", "", {}, b""))[0] == 200


@pytest.mark.parametrize(
    "text", ["=1+1", "' =1+1", " =1+1", '"=1', "\t=1", "\uff1d1", "\u00a0@x", "-1+1", "+1", "\n=1"]
)
def test_no_cell_of_an_export_is_a_formula(text: str) -> None:
    assert to_csv([{"a": text, "b": {"x": text, "y": 1}}]).split("\r\n", 1)[1].lstrip('"').startswith("'")
    assert to_csv([{text: 1}]).lstrip('"').startswith("'")
