"""The routes of a served model are those that docs/api.md lists, and each of them answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.fuzz import Request, opened, send
from monitor.models.model import Model
from monitor.runtime import Runtime
from server.guard import Guard
from server.predict import HOT_PATHS
from server.protocols.inference import OpenInference
from server.routes import create_application, program_routes
from server.web.app import create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

API = Path(__file__).resolve().parents[2] / "docs" / "api.md"

#: Routes that the tables of docs/api.md list.
DOCUMENTED = set(re.findall(r"`((?:GET|POST) /[^`? ]*)`", API.read_text("utf-8")))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, Model]]:
    with opened(tmp_path_factory.mktemp("routes")) as found:
        yield found


def served(runtime: Runtime, model: Model) -> set[str]:
    """Every method and path that a server with a model answers; names in them in capitals."""
    found = {"GET /openapi.json", *(f"POST {path}" for path in HOT_PATHS)}
    for path, endpoint in program_routes(runtime, runtime.only, model).items():
        if isinstance(endpoint.respond, OpenInference):
            for place, about in endpoint.respond.places.items():
                versioned = place.replace("NAME", "NAME/versions/VERSION")
                found |= {f"{'GET' if about else 'POST'} /v2{one}" for one in (place, versioned)}
        else:
            found |= {f"{method} {path}" for method in endpoint.methods}
    for rule in create_app(runtime).url_map.iter_rules():
        choices = re.search(r"<any\(([^)]*)\):\w+>", rule.rule)
        for choice in choices[1].split(", ") if choices else [""]:
            path = re.sub(r"<path:\w+>", "NAME", re.sub(r"<any[^>]*>", choice, rule.rule))
            found |= {f"{method} {path}" for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return found


def test_the_documented_routes_are_those_of_a_server(parts: tuple[Runtime, Model]) -> None:
    found = served(*parts)
    assert "GET /v2/models/NAME/ready" in found
    assert found == DOCUMENTED


def test_every_documented_route_answers(parts: tuple[Runtime, Model]) -> None:
    runtime, model = parts
    application = create_application(runtime, {runtime.only.name: model}, Guard(clock=runtime.clock))
    for route in sorted(DOCUMENTED):
        method, _, path = route.partition(" ")
        path = path.replace("/models/NAME", "/models/model").replace("VERSION", "v1").replace("NAME", "page.css")
        query = "name=age" if path == "/column/feature" else "name=prediction&column=prediction&role=prediction"
        status, body = send(application, Request(method, path, query, {}, b""))
        role = path.removeprefix("/column/")
        if role == "outcome":  # what came true is on the page of the model's performance
            assert (status, b"/performance" in body) == (302, True)
            continue
        if role == "derived":  # the example model has no such columns
            assert (status, f"no column of that name with the role {role}".encode() in body) == (404, True), body
            continue
        if route == "GET /accept":  # there are no predictions yet that could be accepted
            assert b"holds 0 predictions" in body, body
        assert status not in (404, 405), (route, body)
        assert status < 500, (route, body)
        assert status == 200 or method == "POST", (route, body)


def view(address: str) -> str:
    """Return the address without what a column is compared with, which others only keep for their links to columns."""
    if address.startswith("/column/"):
        return address
    return re.sub(r"against=\w+(&amp;)?", "", address).removesuffix("&amp;").removesuffix("?")


def walked(application: WSGIApplication) -> set[str]:
    """Follow the links of all pages from the first one: the addresses of all views."""
    seen, waiting = set(), ["/"]
    while waiting:
        address = waiting.pop()
        seen.add(address)
        path, _, query = address.partition("?")
        status, body = send(application, Request("GET", path, query.replace("&amp;", "&"), {"HTTP_ACCEPT": "*/*"}, b""))
        assert status == 200, address
        if path.startswith(("/assets/", "/metrics", "/api/")) or "format=" in query:
            continue
        assert body.startswith(b"<!doctype html>"), (address, body[:80])
        for link in map(view, re.findall(r'(?:href|src)="(/[^"#]*)', body.decode())):
            if link not in seen and link not in waiting:
                waiting.append(link)
    return seen


def test_pages_of_a_served_model_link_to_pages_only(parts: tuple[Runtime, Model]) -> None:
    seen = walked(create_application(parts[0], {parts[0].only.name: parts[1]}, Guard(clock=parts[0].clock)))
    assert {"/alerts", "/monitor", "/column/feature?name=age"} <= seen


def test_numbers_near_the_largest_float_break_no_fold_and_no_page(tmp_path: Path) -> None:
    with opened(tmp_path) as (runtime, model):
        application = create_application(runtime, {runtime.only.name: model}, Guard(clock=runtime.clock))
        features = [column.name for column in runtime.only.reference.schema.features]
        now = runtime.clock.time()
        for number in (1.5e308, -1.7e308, 5e-324, 1.5e308):
            for ago in (0, 30, 90, 600, 7200, 90_000):
                row = {"features": dict.fromkeys(features, number), "prediction": number, "time": now - ago}
                body = json.dumps([row] * 60).encode()
                status, answer = send(
                    application, Request("POST", "/observe", "", {"CONTENT_TYPE": "application/json"}, body)
                )
                assert status == 200, answer
        runtime.fold()
        runtime.evaluate(early=True)
        assert len(walked(application)) > 5
