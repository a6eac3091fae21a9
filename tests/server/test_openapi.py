"""`/openapi.json` says what a running server does: its routes, and what each of them answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from openapi_spec_validator import validate

from bench.fuzz import Request, opened, send
from monitor.models.model import Model
from monitor.runtime import Runtime
from server.guard import Guard
from server.openapi import document
from server.routes import create_application
from tests.server.test_routes import DOCUMENTED, served

JSON = {"CONTENT_TYPE": "application/json"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, Model]]:
    with opened(tmp_path_factory.mktemp("openapi")) as found:
        yield found


@pytest.fixture(scope="module")
def app(parts: tuple[Runtime, Model]) -> Any:
    runtime, model = parts
    application = create_application(runtime, {runtime.only.name: model}, Guard(clock=runtime.clock))
    for step in range(80):
        row = {"features": [9e6 + step, 3, "east"], "prediction": 1}
        assert send(application, Request("POST", "/observe", "", JSON, json.dumps(row).encode()))[0] == 200
    runtime.fold()
    runtime.evaluate(early=True)
    return application


@pytest.fixture(scope="module")
def said(app: Any) -> dict[str, Any]:
    status, body = send(app, Request("GET", "/openapi.json", "", {}, b""))
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


def check(said: dict[str, Any], value: object, schema: dict[str, Any]) -> None:
    """Raises ValidationError."""
    Draft202012Validator({**schema, "components": said["components"]}).validate(value)


def test_it_is_openapi_and_has_the_routes_of_the_server(said: dict[str, Any], parts: tuple[Runtime, Model]) -> None:
    validate(said)
    found = {f"{method.upper()} {path}" for path, methods in said["paths"].items() for method in methods}
    assert {re.sub("[{}]", "", route) for route in found} == served(*parts) == DOCUMENTED


def test_every_get_answers_what_it_says(said: dict[str, Any], app: Any) -> None:
    shown = 0
    for path, methods in said["paths"].items():
        if "get" not in methods or path in (
            "/column/outcome",
            "/column/derived",
            "/accept",
        ):  # this model has none, and too few rows
            continue
        ((kind, content),) = methods["get"]["responses"]["200"]["content"].items()
        role = path.removeprefix("/column/")
        address = (
            path.replace("/models/{NAME}", "/models/model").replace("{VERSION}", "v1").replace("{NAME}", "page.css")
        )
        query = f"name={'age' if role == 'feature' else 'prediction'}" if role != path else ""
        status, body = send(app, Request("GET", address, query, {}, b""))
        assert status == 200, path
        if kind == "application/json":
            answer = json.loads(body)
            check(said, answer, content["schema"])
            shown += bool(answer)
            if isinstance(answer, dict) and (needed := content["schema"].get("required")):
                with pytest.raises(ValidationError):
                    check(said, {key: value for key, value in answer.items() if key != needed[0]}, content["schema"])
        else:
            assert body.startswith(b"<!doctype html>") == (kind == "text/html"), path
    assert shown > 12, "alerts and verdicts among them"


def test_bodies_are_those_that_the_model_takes(said: dict[str, Any], app: Any) -> None:
    good: dict[str, list[Any]] = {
        "/predict": [
            [1.0, 2, "north"],
            {"age": 1, "dose": 2, "site": "10"},
            [[1, 2, "south"]],
            [{"age": 1, "dose": 2, "site": "x"}],
        ],
        "/observe": [
            {"features": [None, 2, None], "prediction": 1},
            [{"features": {"age": 1, "dose": 2, "site": "a"}, "prediction": [1]}],
        ],
        "/outcomes": [{"id": "a", "outcome": 1}, [{"id": "b", "outcome": None}]],
    }
    bad: dict[str, list[Any]] = {
        "/predict": [[1.0, 2], ["a", 2, "north"], {"age": 1}, [1.0, None, "north"], [1, 2, "a", 4]],
        "/observe": [{"features": [1, 2, "a"]}, {"features": {"age": 1}, "prediction": 1}],
        "/outcomes": [{"id": "a"}],
    }
    for path in good:
        operation = said["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for body in good[path]:
            check(said, body, schema)
            status, answer = send(app, Request("POST", path, "", JSON, json.dumps(body).encode()))
            assert status == 200, (body, answer)
            check(said, json.loads(answer), operation["responses"]["200"]["content"]["application/json"]["schema"])
        for body in bad[path]:
            with pytest.raises(ValidationError):
                check(said, body, schema)
            status, answer = send(app, Request("POST", path, "", JSON, json.dumps(body).encode()))
            assert status >= 400, body
            check(said, json.loads(answer), operation["responses"]["default"]["content"]["application/json"]["schema"])


def test_a_server_has_what_its_models_have(parts: tuple[Runtime, Model]) -> None:
    runtime = parts[0]
    observed = document(runtime, {"model": ("/observe", "/outcomes", "/predict")})
    validate(observed)
    assert "/observe" in observed["paths"]
    assert not {"/v2", "/invocations", "/ping"} & observed["paths"].keys()
    several = document(runtime, {"model": ("/observe", "/v2"), "failed": ("/observe",)})
    validate(several)
    assert {"/models/model/observe", "/v2/health/live", "/api/drift"} <= several["paths"].keys()
    assert "requestBody" not in several["paths"]["/observe"]["post"], "the path does not say which model"
    assert not {"/models/model/", "/models/failed/observe"} & several["paths"].keys()
