"""The routes of programs: the hot one, those of each model, and those that find out which model is meant."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from functools import partial
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from monitor.errors import InputError
from monitor.models.model import Model
from monitor.runtime import Runtime
from monitor.watched import Watched
from server import openapi, payload
from server.endpoint import Answer, Endpoint
from server.guard import SENT, Guard
from server.observe import Observer, is_lines
from server.outcomes import OutcomeRoute
from server.predict import HOT_PATHS, Predictor
from server.protocols import inference, mlflow
from server.protocols.inference import OpenInference
from server.protocols.mlflow import Mlflow
from server.replicate import Replication
from server.web.app import create_app

#: Methods of routes that answer whatever is asked.
METHODS = ("GET", "POST", "PUT", "HEAD")

#: Routes by path, beside those of pages; `/v2` answers all paths below it, too.
Routes = dict[str, Endpoint]


def create_application(runtime: Runtime, models: Mapping[str, Model | None], guard: Guard) -> Application:
    """Join all routes."""
    application = Application(runtime, guard)
    application.mount(models)
    return application


class Application:
    """All routes: those that programs call, the hot one, then Flask's."""

    def __init__(self, runtime: Runtime, guard: Guard) -> None:
        self._runtime, self._guard = runtime, guard
        self._flask = create_app(runtime, guard).wsgi_app
        self._every: dict[str, Routes] = {}
        self._table: dict[str, WSGIApplication] = {}
        self._hot: WSGIApplication = self._flask

    def mount(self, models: Mapping[str, Model | None]) -> None:
        """Answer with these models from now on, beside those that are there; a request is answered by one of both."""
        runtime = self._runtime
        loaded = {name: program_routes(runtime, runtime.find(name), model) for name, model in models.items()}
        every = self._every | loaded | {name: failed_routes(runtime, name) for name in runtime.failed}
        routes = dict(next(iter(every.values()))) if len(every) == 1 else choosing_routes(runtime, every)
        routes |= {f"/models/{name}{path}": route for name, own in every.items() for path, route in own.items()}
        routes["/models"] = Endpoint(partial(unknown_route, runtime), runtime, METHODS)
        routes["/openapi.json"] = Endpoint(partial(openapi.respond, runtime, every), runtime, ("GET",))
        table: dict[str, WSGIApplication] = dict(routes)
        for route in routes.values():
            route.check = self._guard.check_program
        hot = table["/predict"]
        if len(every) == 1 and isinstance(routes["/predict"], Predictor):
            del table["/predict"]  # a page tells browsers what it is for
        self._every, self._table, self._hot = every, table, hot

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path, table = environ["PATH_INFO"], self._table
        if path in table:
            route = table[path]
        elif path in HOT_PATHS and environ["REQUEST_METHOD"] == "POST":
            route = self._hot
        elif path.startswith("/models/"):
            name, _, rest = path.removeprefix("/models/").partition("/")
            known = name in self._every
            route = self._flask if known else table["/models"]
            environ |= {"telltale.model": name, "PATH_INFO": f"/{rest}"} if known else {}
        else:
            route = table.get("/v2", self._flask) if path.startswith("/v2/") else self._flask
        return route(environ, start_response)


def program_routes(runtime: Runtime, watched: Watched, model: Model | None) -> Routes:
    """Routes of a model that programs call."""
    if watched.pulled is not None:
        return dict.fromkeys(SENT, Endpoint(watched.pulled.refuse, runtime))
    limit = runtime.config.server.max_body
    outcomes = OutcomeRoute(runtime, limit, watched)
    table = {
        "/observe": Endpoint(Observer(runtime, limit, watched), runtime),
        "/outcomes": Endpoint(outcomes, runtime),
        "/api/v1.0/feedback": Endpoint(outcomes.feedback, runtime),
        "/replicate": Endpoint(Replication(runtime, limit, watched), runtime, ("GET", "POST")),
    }
    if model is None:
        return {**table, "/predict": Endpoint(no_model, runtime)}
    predictor = Predictor(model, runtime, watched)
    return {
        **table,
        "/predict": predictor,
        "/invocations": Endpoint(Mlflow(predictor), runtime, error=mlflow.error_body, watched=watched),
        "/v2": Endpoint(OpenInference(predictor), runtime, ("GET", "POST"), inference.error_body, watched),
        "/ping": ping(runtime),
    }


def ping(runtime: Runtime) -> Endpoint:
    """The route that tells MLflow's clients that the process serves models."""
    return Endpoint(lambda _: Answer(b"\n"), runtime, ("GET",))


def failed_routes(runtime: Runtime, name: str) -> Routes:
    """Routes of a model that could not be loaded: they say why."""
    why = f"model {name} could not be loaded: {runtime.failed[name]}"
    refused = Endpoint(partial(refuse, "not_loaded", why, 503), runtime, METHODS)
    return dict.fromkeys((*SENT, "/invocations", "/v2"), refused)


def choosing_routes(runtime: Runtime, every: Mapping[str, Routes]) -> Routes:
    """The routes of several models without a name: query or body say which; for `/v2` the path does."""
    paths = dict.fromkeys(path for of_model in every.values() for path in of_model)
    routes = {}
    for path in paths:
        own = {name: of_model[path] for name, of_model in every.items() if path in of_model}
        methods = max((endpoint.methods for endpoint in own.values()), key=len)
        routes[path] = Endpoint(partial(by_request, runtime, own), runtime, methods)
    if "/v2" in paths:
        served = {name: of_model["/v2"] for name, of_model in every.items() if "/v2" in of_model}
        routes["/v2"] = Endpoint(partial(by_path, runtime, served), runtime, ("GET", "POST"), inference.error_body)
        routes["/ping"] = ping(runtime)
    return routes


def by_request(runtime: Runtime, served: Routes, environ: WSGIEnvironment) -> Answer:
    """Answer for the model that `?model=NAME` names, or `"model": NAME` in the request's JSON. Raises InputError."""
    name = parse_qs(environ.get("QUERY_STRING", "")).get("model", [None])[-1]
    if name is None and environ["REQUEST_METHOD"] == "POST" and not is_lines(environ.get("CONTENT_TYPE", "")):
        data = payload.load(payload.read_json(environ, runtime.config.server.max_body))
        rows = [row for row in (data if isinstance(data, list) else [data]) if isinstance(row, dict)]
        names = {str(row.pop("model")) for row in rows if "model" in row}
        if len(names) > 1:
            message = f"the rows are of several models, {', '.join(sorted(names)[:5])}: send those of each apart"
            raise InputError("which_model", message, "key model", 422)
        name, body = next(iter(names), None), json.dumps(data).encode()
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        environ.pop("HTTP_CONTENT_ENCODING", None)
    return served[runtime.known(name)].answer(environ)


def by_path(runtime: Runtime, served: Routes, environ: WSGIEnvironment) -> Answer:
    """Answer for the model that a path of `/v2` names, or for the server. Raises InputError."""
    parts = environ["PATH_INFO"].split("/")
    name = runtime.known(parts[3]) if parts[2:3] == ["models"] and len(parts) > 3 else next(iter(served))
    if name not in served:
        return no_model(environ)
    return served[name].answer(environ)


def unknown_route(runtime: Runtime, environ: WSGIEnvironment) -> Answer:
    """Say what is wrong with a path below `/models`. Raises InputError."""
    path = environ["PATH_INFO"]
    runtime.known(path.split("/")[2] if path.count("/") > 1 else None)
    raise InputError("not_found", f"there is no {payload.short(path, 200)}", None, 404)


def refuse(code: str, message: str, status: int, _environ: WSGIEnvironment) -> Answer:
    """Answer a request that is always refused. Raises InputError."""
    raise InputError(code, message, None, status)


#: Answers a prediction request if models are only observed.
no_model = partial(
    refuse,
    "no_model",
    "this server has no model ([model] path is empty); send what was predicted to POST /observe",
    404,
)
