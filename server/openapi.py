"""`GET /openapi.json`: the HTTP interface as OpenAPI 3.1, from one table of routes and the columns of each model.

A test compares the table with the routes of a running server, and what these answer with the schemas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args
from wsgiref.types import WSGIEnvironment

from monitor import __version__
from monitor.columns.column import ROLES, Column, Kind
from monitor.drift.result import STATES
from monitor.health import CONDITIONS
from monitor.runtime import Runtime
from monitor.watched import Watched
from server.endpoint import Answer
from server.guard import access_of

Schema = dict[str, Any]

ANY: Schema = {}
TEXT, NUMBER, WHOLE = ({"type": name} for name in ("string", "number", "integer"))
HTML, PLAIN, BYTES = "text/html", "text/plain", "application/octet-stream"
#: What a value of a category may be where all of them are counted as text.
SCALAR = ("string", "number", "boolean")


def record(**fields: Schema) -> Schema:
    """An object that has at least these fields."""
    return {"type": "object", "required": list(fields), "properties": fields}


def many(schema: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": schema}


def maybe(schema: Schema) -> Schema:
    """A value or null."""
    return {"type": [schema["type"], "null"]}


def one_of(names: Sequence[str]) -> Schema:
    """One of some texts."""
    return {"type": "string", "enum": list(names)}


SPAN = record(start=TEXT, end=TEXT)
HEALTH = record(
    status=one_of(CONDITIONS),
    checks=many(record(part=TEXT, condition=one_of(CONDITIONS), detail=TEXT, since=maybe(TEXT))),
)
#: A verdict, and an alert, begin with the same names.
NAMED = dict.fromkeys(("rule", "model", "series", "column"), TEXT) | {"role": one_of((*ROLES, "traffic"))}
VERDICT = record(
    **NAMED,
    **dict.fromkeys(("statistic", "reference", "model_version", "reason"), TEXT),
    **{name: maybe(NUMBER) for name in ("value", "critical", "floor", "p_value", "scatter")},
    kind=one_of(get_args(Kind)),
    state=one_of(STATES),
    window=SPAN,
    direction=maybe(TEXT),
    harm=maybe(record()),
    **dict.fromkeys(("n", "m"), WHOLE),
)
ALERT = record(**NAMED, state=TEXT, severity=TEXT, since=TEXT, value=maybe(NUMBER), event_id=maybe(TEXT))
PREDICTED: Schema = {
    "type": "object",
    "properties": {"result": ANY, "results": many(ANY), "prediction_id": TEXT, "prediction_ids": many(TEXT)},
}

#: What is asked of one model, by programs: method, path and query; what it does; the schema or the type of the answer.
#: `model` in the query says which one, if the path does not.
PROGRAM: dict[str, tuple[str, Schema | str]] = {
    "POST /predict?model": ("Predict one row or many", PREDICTED),
    "POST /observe?model": ("Record what another server predicted", record(observed=WHOLE)),
    "POST /outcomes?wait,model": ("Record what came true for predictions", record(accepted=WHOLE)),
    "POST /api/v1.0/feedback?model": ("Record what came true, in Seldon's form", ANY),
    "GET /replicate?model": ("What a client records for", ANY),
    "POST /replicate?client,model,version,reference,file,at,ended": ("Take a part of a client's journal", ANY),
    "POST /invocations?model": ("Predict by MLflow's protocol", record(predictions=many(ANY))),
    "GET /ping": ("Whether the process serves models", PLAIN),
    "GET /v2": ("The server, by the Open Inference Protocol", record(name=TEXT, version=TEXT, extensions=many(TEXT))),
    "GET /v2/health/live": ("Whether the server lives", record(live={"type": "boolean"})),
    "GET /v2/health/ready": ("Whether the server is ready", record(ready={"type": "boolean"})),
}
_ABOUT = record(name=TEXT, versions=many(TEXT), platform=TEXT, inputs=many(record()), outputs=many(record()))
for _path in ("/v2/models/{NAME}", "/v2/models/{NAME}/versions/{VERSION}"):
    PROGRAM[f"GET {_path}"] = "The model's tensors", _ABOUT
    PROGRAM[f"GET {_path}/ready"] = "Whether the model is ready", record(name=TEXT, ready={"type": "boolean"})
    PROGRAM[f"POST {_path}/infer"] = "Predict by the Open Inference Protocol", record(outputs=many(record()))

#: What there is once for all models; `model` in the query says which one is meant.
SHOWN: dict[str, tuple[str, Schema | str]] = {
    "POST /?model": ("Predict, as POST /predict", PREDICTED),
    "GET /?q,state,role,from,to,around,model,format": ("The overview, or its data", HTML),
    "GET /performance?metric,from,to,around,model,format": ("How well the model does, or its data", HTML),
    "GET /alerts?model,format": ("The alerts, or their data", HTML),
    **{
        f"GET /column/{role}?name,against,from,to,around,model,format": ("A column, or its data", HTML)
        for role in ROLES
    },
    "GET /compare?first,second,from,to,around,model,format": ("Two versions side by side", HTML),
    "GET /monitor?format": ("How the monitor does", HTML),
    "GET /what-to-do": ("What to do about each kind of verdict", HTML),
    "GET /help?format": ("What the words of the pages mean", HTML),
    "GET /silence": ("The form of a silence", HTML),
    "POST /silence": ("Make a silence", HTML),
    "POST /silence/expire": ("End a silence", HTML),
    "GET /accept?column,role,from,to,model": ("What accepting a period of a column would change", HTML),
    "POST /accept?model": ("Accept a period as a column's reference", HTML),
    "GET /report?from,to,around,model": ("The report of a period, as a file", HTML),
    "GET /login": ("The form of a session", HTML),
    "POST /login": ("Begin a session", HTML),
    "POST /logout": ("End a session", HTML),
    "GET /assets/{NAME}": ("What pages load", BYTES),
    "GET /metrics": ("Metrics for Prometheus", PLAIN),
    "GET /openapi.json": ("This document", record(openapi=TEXT, paths=record())),
    "GET /healthz": ("How each part does; 503 if one fails", HEALTH),
    "GET /readyz": ("Whether predictions are answered", record(status=TEXT)),
    "GET /api/status?model": (
        "How things stand",
        record(dropped=WHOLE, receivers=many(record()), **HEALTH["properties"]),
    ),
    "GET /api/drift?model": ("The last verdicts", many(VERDICT)),
    "GET /api/alerts?from,to,around,model": ("Alerts that are up or just resolved, or fired in a period", many(ALERT)),
    "GET /api/performance?from,to,around,model_version,model": (
        "How well the model did",
        record(kind=TEXT, window=SPAN, outcomes=WHOLE, predictions=WHOLE, metrics=many(record()), main=TEXT),
    ),
    "GET /api/windows?from,to,around,step,column,model_version,model": (
        "Counts over a period",
        record(start=TEXT, end=TEXT, columns=many(record(bins=many(TEXT))), steps=many(record(n=WHOLE))),
    ),
}


def bodies(watched: Watched) -> dict[str, Schema]:
    """What a model's routes take, by path: names and types of its columns are those of its reference."""
    schema, missing = watched.reference.schema, watched.config.model.missing == "allow"

    def rows(columns: Sequence[Column], text: Sequence[str], null: bool) -> list[Schema]:
        types = [("number",) if column.numeric else text for column in columns]
        values: list[Schema] = [{"type": [*names, *["null"] * null]} for names in types]
        whole = {"type": "array", "prefixItems": values, "items": False, "minItems": len(values)}
        return [whole, record(**{column.name: value for column, value in zip(columns, values, strict=True)})]

    asked = rows(schema.features, ["string"], missing)
    noted, answers = (rows(columns, SCALAR, True) for columns in (schema.features, schema.predictions))
    observed = record(features={"anyOf": noted}, prediction={"anyOf": [{"type": [*SCALAR, "null"]}, *answers]})
    forms_of = {"/predict": asked, "/observe": [observed], "/outcomes": [record(outcome=ANY)]}
    return {path: {"anyOf": [*forms, *map(many, forms)]} for path, forms in forms_of.items()}


def document(runtime: Runtime, routes: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Describe a server. `routes`: paths of each model's program routes, by its name; `/v2` stands for all below it."""
    paths: dict[str, dict[str, Any]] = {}
    models = [(runtime.models[name], paths_of) for name, paths_of in routes.items() if name in runtime.models]
    several = len(routes) > 1
    tables = [("", SHOWN, None, {}), *((f"/models/{m.name}" * several, PROGRAM, has, bodies(m)) for m, has in models)]
    if several:
        tables.append(("", PROGRAM, {path for has in routes.values() for path in has}, {}))
    for prefix, table, has, takes in tables:
        for route, (summary, answer) in table.items():
            method, _, address = route.partition(" ")
            path, _, query = address.partition("?")
            known = "/v2" if path.startswith("/v2") and not prefix else path  # its own paths name the model
            if has is None or known in has:
                described = operation(method, path, query, summary, answer, takes.get(known))
                paths.setdefault(prefix + path, {})[method.lower()] = described
    error = record(error=record(code=TEXT, message=TEXT, where=maybe(TEXT)))
    token = {"type": "http", "scheme": "bearer", "description": "The token of [server], if there is one"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Telltale", "version": __version__, "summary": "Predictions, and the monitor of a model."},
        "paths": paths,
        "security": [{}, {"token": []}],
        "components": {"schemas": {"Error": error}, "securitySchemes": {"token": token}},
    }


def operation(method: str, path: str, query: str, summary: str, answer: Schema | str, body: Schema | None) -> Schema:
    """Describe one route."""
    kind, schema = (answer, TEXT) if isinstance(answer, str) else ("application/json", answer)
    protocol = path.startswith(("/v2", "/invocations"))  # has errors of its own
    error: Schema = {"description": "What is wrong, and where"}
    if not protocol:
        error["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    in_path = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in re.findall(r"{(\w+)}", path)]
    in_query = [{"name": name, "in": "query", "schema": TEXT} for name in query.split(",") if name]
    good = {"description": "Done", "content": {kind: {"schema": schema}}}
    described: Schema = {
        "summary": summary,
        "parameters": in_path + in_query,
        "responses": {"200": good, "default": error},
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if access_of(method, path) == "change" and not protocol:
        described["security"] = [{"token": []}]
    return described


def respond(runtime: Runtime, routes: Mapping[str, Collection[str]], _environ: WSGIEnvironment) -> Answer:
    """Answer `GET /openapi.json`."""
    return Answer(json.dumps(document(runtime, routes)).encode())
