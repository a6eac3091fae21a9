"""The server from its settings to its end: everything opened, joined, served, and closed in reverse order."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from monitor import __version__
from monitor.announcer import works_here_only
from monitor.config.load import Config
from monitor.errors import InputError, TelltaleError
from monitor.library import version_of
from monitor.models.model import Model, open_model
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from server.endpoint import Answer, Endpoint
from server.guard import Guard, is_loopback
from server.observe import Observer
from server.outcomes import OutcomeRoute
from server.predict import HOT_PATHS, Predictor
from server.protocols import inference, mlflow
from server.protocols.inference import OpenInference
from server.protocols.mlflow import Mlflow
from server.serve import Server, serve
from server.web.app import create_app

log = logging.getLogger("server")


def run(config: Config) -> None:
    """Open everything, serve until told to stop, and close it. Raises TelltaleError if it cannot start."""
    with opened(config) as server:
        serve(server)


@contextmanager
def opened(config: Config) -> Iterator[Server]:
    """Open everything, up to a server that has its port, and close it in reverse order. Raises TelltaleError."""
    guard = Guard.of(config.server)
    reference = Reference.load(config.model.reference)
    model = open_model(config.model, reference) if config.model.path else None
    runtime = Runtime.of_one(config, reference, version_of(config, reference) if model is None else model.version)
    try:
        application = create_application(runtime, model, guard)
        try:
            server = Server(application, config.server, runtime.instruments.rejected)
        except OSError as error:
            message = f"cannot listen on {config.server.host}:{config.server.port}: {error.strerror or error}"
            raise TelltaleError(f"{message}; stop what uses it, or choose another port with --port") from error
        runtime.listens_on(int(server.effective_port))
        runtime.start()
        say_hello(config, runtime, server.effective_port)
        yield server
    finally:
        runtime.close()
    if trouble := runtime.folder.trouble:
        log.error("stopped; part of the record may lie elsewhere than in %s: %s", config.data.path, trouble)
    elif runtime.unfolded:
        log.warning("stopped; part of the record lies in %s, and is counted by the next start", runtime.folder.journal)
    else:
        log.info("stopped; everything recorded is in %s", runtime.folder.database)


def create_application(runtime: Runtime, model: Model | None, guard: Guard) -> WSGIApplication:
    """Join all routes: the hot one first, then those that programs call, then Flask's."""
    flask = create_app(runtime, guard).wsgi_app
    predictor = None if model is None else Predictor(model, runtime)
    hot = guard.service(predictor) if predictor else flask
    table = {path: guard.service(route) for path, route in program_routes(runtime, predictor).items()}

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in table:
            route = table[path]
        elif path in HOT_PATHS and environ["REQUEST_METHOD"] == "POST":
            route = hot
        else:
            route = table.get("/v2", flask) if path.startswith("/v2/") else flask
        return route(environ, start_response)

    return application


def program_routes(runtime: Runtime, predictor: Predictor | None) -> dict[str, Endpoint]:
    """Routes that programs call, by path, beside the hot one; `/v2` answers all paths below it, too."""
    if runtime.only.pulled is not None:
        refused = Endpoint(runtime.only.pulled.refuse, runtime)
        return dict.fromkeys(("/predict", "/observe", "/outcomes", "/api/v1.0/feedback"), refused)
    limit = runtime.config.server.max_body
    outcomes = OutcomeRoute(runtime, limit)
    table = {
        "/observe": Endpoint(Observer(runtime, limit), runtime),
        "/outcomes": Endpoint(outcomes, runtime),
        "/api/v1.0/feedback": Endpoint(outcomes.feedback, runtime),
    }
    if predictor is None:
        return {**table, "/predict": Endpoint(no_model, runtime)}
    healthy = Endpoint(lambda _: Answer(b"\n"), runtime, ("GET",))
    return {
        **table,
        "/invocations": Endpoint(Mlflow(predictor), runtime, error=mlflow.error_body),
        "/ping": healthy,
        "/health": healthy,
        "/version": Endpoint(lambda _: Answer(__version__.encode()), runtime, ("GET",)),
        "/v2": Endpoint(OpenInference(predictor), runtime, ("GET", "POST"), inference.error_body),
    }


def no_model(_environ: WSGIEnvironment) -> Answer:
    """Answer a prediction request where there is nothing to predict with. Raises InputError."""
    message = "this server has no model ([model] path is empty); send what was predicted to POST /observe"
    raise InputError("no_model", message, None, 404)


def say_hello(config: Config, runtime: Runtime, port: int | str) -> None:
    """Tell the terminal what runs and what to open."""
    host = f"[{config.server.host}]" if ":" in config.server.host else config.server.host
    receivers = ", ".join(receiver.name for receiver in config.receivers) or "the log only"
    served = config.model.path or "not served here; POST /observe takes what was predicted elsewhere"
    if runtime.only.pulled is not None:
        served = f"not served here; its counts come from {runtime.only.pulled.where}"
    log.info("model %s (%s): %d features", runtime.only.version, served, len(runtime.only.reference.schema.features))
    if config.server.trust_network and not is_loopback(config.server.host):
        log.warning("everybody who can reach %s may look at the pages (trust_network)", config.server.host)
    if config.receivers and works_here_only(runtime.announcer.link):
        link = runtime.announcer.link
        log.warning("links in messages lead to %s, so they work on this machine only; set [server] url", link)
    log.info("data in %s; alerts go to %s", Path(config.data.path), receivers)
    log.info("serving on http://%s:%s  (open it in a browser; Ctrl-C stops)", host, port)
