"""The server from its settings to its end: everything opened, joined, served, and closed in reverse order."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from monitor.announcer import works_here_only
from monitor.config.load import Config
from monitor.errors import TelltaleError
from monitor.joined import hold
from monitor.runtime import Runtime
from server.guard import Guard, is_loopback
from server.reload import Reloading, load_all
from server.routes import create_application
from server.serve import Server, serve

log = logging.getLogger("server")


def run(config: Config, read_config: Callable[[], Config] | None = None) -> None:
    """Open everything, serve until told to stop, and close it. Raises TelltaleError if it cannot start.

    `read_config`: reads the settings, for a reload.
    """
    with opened(config, read_config) as (server, _):
        serve(server)


@contextmanager
def opened(config: Config, read_config: Callable[[], Config] | None = None) -> Iterator[tuple[Server, Runtime]]:
    """Open everything, up to a server that has its port, and close it in reverse order. Raises TelltaleError."""
    guard = Guard.of(config.server)
    with without_pandas():
        paths = [Path(config.of(name).model.path) for name in config.names]
        if any(path.suffix not in ("", ".onnx") for path in paths) and find_spec("sklearn"):
            import_module("sklearn")
    loaded, failed = load_all(config)
    watches = [part.watch for part in loaded.values()]
    with without_pandas():
        runtime = hold(Path(config.data.path), lambda: Runtime(config, watches, failed=failed))
    reloading: Reloading | None = None
    try:
        application = create_application(runtime, {name: part.model for name, part in loaded.items()}, guard)
        reloading = Reloading(runtime, application, loaded, read_config or (lambda: config))
        runtime.reload = reloading.wait
        try:
            server = Server(application, config.server, runtime.instruments.rejected)
        except OSError as error:
            message = f"cannot listen on {config.server.host}:{config.server.port}: {error.strerror or error}"
            raise TelltaleError(f"{message}; stop what uses it, or choose another port with --port") from error
        runtime.listens_on(int(server.effective_port))
        server.reload = reloading.start
        runtime.start()
        say_hello(config, runtime, server.effective_port)
        yield server, runtime
    finally:
        if reloading is not None:
            reloading.stop()
        runtime.close()
    if trouble := runtime.folder.trouble:
        log.error("stopped; predictions may be elsewhere than in %s: %s", config.data.path, trouble)
    elif runtime.journals.unfolded:
        log.warning("stopped; predictions wait in %s; the next start counts them", runtime.folder.journal)
    else:
        log.info("stopped; everything recorded is in %s", runtime.folder.database)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Keep scikit-learn, and sqlite-utils for a new database, from loading pandas, 65 MB, for what is not used here.

    For a process that has no other thread yet which could want it. A model that needs pandas loads it later.
    """
    hidden = sys.modules.setdefault("pandas", None) is None  # type: ignore[arg-type]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["pandas"]


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
    link, elsewhere = runtime.announcer.link, [receiver.name for receiver in config.receivers if receiver.kind != "log"]
    if elsewhere and works_here_only(link):
        names = ", ".join(elsewhere)
        log.warning("links in messages to %s lead to %s and work on this machine only; set [server] url", names, link)
    log.info("data in %s; alerts go to %s", Path(config.data.path), receivers)
    log.info("serving on http://%s:%s  (open it in a browser; Ctrl-C stops)", host, port)
