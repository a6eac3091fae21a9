"""The server from its settings to its end: everything opened, joined, served, and closed in reverse order."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.announcer import works_here_only
from monitor.config.load import Config
from monitor.errors import TelltaleError
from monitor.library import version_of
from monitor.models.model import Model, open_model
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.watched import Watch
from server.guard import Guard, is_loopback
from server.routes import create_application
from server.serve import Server, serve

log = logging.getLogger("server")


def run(config: Config) -> None:
    """Open everything, serve until told to stop, and close it. Raises TelltaleError if it cannot start."""
    with opened(config) as server:
        serve(server)


@contextmanager
def opened(config: Config) -> Iterator[Server]:
    """Open everything, up to a server that has its port, and close it in reverse order. Raises TelltaleError."""
    guard = Guard.of(config.server)
    loaded, failed = load_all(config)
    runtime = Runtime(config, [watch for watch, _ in loaded.values()], failed=failed)
    try:
        application = create_application(runtime, {name: model for name, (_, model) in loaded.items()}, guard)
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


def load(config: Config) -> tuple[Watch, Model | None]:
    """Load reference and model; `config`: of one model. Raises TelltaleError."""
    reference = Reference.load(config.model.reference)
    model = open_model(config.model, reference) if config.model.path else None
    version = version_of(config, reference) if model is None else model.version
    return Watch(reference, version, config.model.name, config.model.name * config.named), model


def load_all(config: Config) -> tuple[dict[str, tuple[Watch, Model | None]], dict[str, str]]:
    """Load all models; and why those failed that did. Raises TelltaleError if none can be served."""
    loaded, failed = {}, {}
    for name in config.names:
        try:
            loaded[name] = load(config.of(name))
        except TelltaleError as error:
            failed[name] = str(error)
            if len(failed) == len(config.names):
                raise
            log.error("model %s is not served: %s", name, error)
    return loaded, failed


def say_hello(config: Config, runtime: Runtime, port: int | str) -> None:
    """Tell the terminal what runs and what to open."""
    host = f"[{config.server.host}]" if ":" in config.server.host else config.server.host
    receivers = ", ".join(receiver.name for receiver in config.receivers) or "the log only"
    for watched in runtime.models.values():
        served = watched.config.model.path or "not served here; POST /observe takes what was predicted elsewhere"
        if watched.pulled is not None:
            served = f"not served here; its counts come from {watched.pulled.where}"
        name = f"{watched.name} {watched.version}" if config.models else watched.version
        log.info("model %s (%s): %d features", name, served, len(watched.reference.schema.features))
    if config.server.trust_network and not is_loopback(config.server.host):
        log.warning("everybody who can reach %s may look at the pages (trust_network)", config.server.host)
    link, elsewhere = runtime.announcer.link, [one.name for one in config.receivers if one.kind != "log"]
    if elsewhere and works_here_only(link):
        told = ", ".join(elsewhere)
        log.warning("links in messages to %s lead to %s and work on this machine only; set [server] url", told, link)
    log.info("data in %s; alerts go to %s", Path(config.data.path), receivers)
    log.info("serving on http://%s:%s  (open it in a browser; Ctrl-C stops)", host, port)
