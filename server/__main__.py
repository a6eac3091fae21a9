"""`python -m server`: load the model, open the pipeline, serve until told to stop."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from wsgiref.types import WSGIApplication, WSGIEnvironment

from monitor.config import Config
from monitor.errors import InputError, TelltaleError
from monitor.library import version_of
from monitor.pipeline import Pipeline
from monitor.window.reference import Reference
from server.app import create_app
from server.endpoint import Answer, Endpoint, routes
from server.guard import Guard, is_loopback
from server.model import Model, load_model
from server.observe import Observer
from server.predict import hot_first
from server.protocols import create_protocols
from server.serve import create_server, serve
from server.wide import create_predictor

log = logging.getLogger("server")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m server", description="Serve a model's predictions and watch them.")
    parser.add_argument("--config", metavar="FILE", help="settings (default: config.toml, where there is one)")
    parser.add_argument("--host", help="address to listen on; wins over the file")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any free one; wins over the file")
    parser.add_argument("--data", metavar="DIR", help="data folder; wins over the file")
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token-file", metavar="FILE", help="file of the token for pages and API; wins over the file")
    token.add_argument("--token-env", metavar="NAME", help="environment variable of that token; wins over the file")
    parser.add_argument("--trust-network", action="store_true", help="listen beyond loopback without a token")
    parser.add_argument("--debug", action="store_true", help="log more")
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> Config:
    """Settings from the file, with the command line's on top. Raises ConfigError."""
    config = Config.load(options.config)
    server = dataclasses.replace(
        config.server,
        host=config.server.host if options.host is None else options.host,
        port=config.server.port if options.port is None else options.port,
        trust_network=config.server.trust_network or options.trust_network,
    )
    if options.token_file or options.token_env:
        server = dataclasses.replace(server, token_file=options.token_file or "", token_env=options.token_env or "")
    data = dataclasses.replace(config.data, path=config.data.path if options.data is None else options.data)
    return dataclasses.replace(config, server=server, data=data)


def run(options: argparse.Namespace) -> None:
    """Open everything, serve, and close it in reverse order. Raises TelltaleError where it cannot start."""
    config = configure(options)
    guard = Guard.of(config.server)
    reference = Reference.load(config.model.reference)
    model = load_model(config.model, reference) if config.model.path else None
    pipeline = Pipeline(config, reference, version_of(config, reference) if model is None else model.version)
    try:
        application = create_application(pipeline, model, guard)
        try:
            server = create_server(application, config.server, pipeline.instruments.rejected)
        except OSError as error:
            raise TelltaleError(
                f"cannot listen on {config.server.host}:{config.server.port}: {error.strerror or error}; "
                "stop what uses it, or choose another port with --port"
            ) from error
        pipeline.start()
        say_hello(config, pipeline, server.effective_port)
        serve(server)
    finally:
        pipeline.close()
    log.info("stopped; everything recorded is in %s", Path(config.data.path) / "telltale.db")


def create_application(pipeline: Pipeline, model: Model | None, guard: Guard) -> WSGIApplication:
    """Join all routes: the hot one first, then those that programs call, then Flask's."""
    limit = pipeline.config.server.max_body
    table: dict[str, WSGIApplication] = {"/observe": Endpoint(Observer(pipeline, limit), pipeline)}
    flask = create_app(pipeline, guard).wsgi_app
    predictor = None if model is None else create_predictor(model, pipeline, limit)
    table |= (
        {"/predict": Endpoint(no_model, pipeline)}
        if predictor is None
        else create_protocols(predictor, pipeline, limit)
    )
    rest = routes({path: guard.service(route) for path, route in table.items()}, flask)
    return rest if predictor is None else hot_first(guard.service(predictor), rest)


def no_model(_environ: WSGIEnvironment) -> Answer:
    """Answer a prediction request where there is nothing to predict with. Raises InputError."""
    message = "this server has no model ([model] path is empty); send what was predicted to POST /observe"
    raise InputError("no_model", message, None, 404)


def say_hello(config: Config, pipeline: Pipeline, port: int | str) -> None:
    """Tell the terminal what runs and what to open."""
    schema = pipeline.reference.schema
    host = f"[{config.server.host}]" if ":" in config.server.host else config.server.host
    receivers = ", ".join(receiver.name for receiver in config.receivers) or "the log only"
    served = config.model.path or "not served here; POST /observe takes what was predicted elsewhere"
    log.info("model %s (%s): %d features", pipeline.version, served, len(schema.features))
    if config.server.trust_network and not is_loopback(config.server.host):
        log.warning("everybody who can reach %s may look at the pages (trust_network)", config.server.host)
    log.info("data in %s; alerts go to %s", Path(config.data.path), receivers)
    log.info("serving on http://%s:%s  (open it in a browser; Ctrl-C stops)", host, port)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the process's exit code."""
    options = parse(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.debug else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    try:
        run(options)
    except TelltaleError as error:
        print(f"python -m server: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
