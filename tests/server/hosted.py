"""The real server, around an application or with everything that `python -m server` opens, in the test's process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from wsgiref.types import WSGIApplication

from bench.running import PATIENCE, Client
from monitor.config.load import Config
from monitor.config.settings import ServerConfig
from server.run import opened
from server.serve import Server


@contextmanager
def hosted(
    application: WSGIApplication,
    threads: int = 2,
    max_body: int = 10_000,
    refused: Callable[[str], None] | None = None,
    config: ServerConfig | None = None,
) -> Iterator[tuple[Server, threading.Thread]]:
    """Serve on a free port: the server and its thread. It is stopped at the end, and must end.

    `config` replaces `threads` and `max_body`.
    """
    config = config or ServerConfig(host="127.0.0.1", port=0, threads=threads, url="", max_body=max_body)
    server = Server(application, config, refused or (lambda _: None))
    with running(server) as thread:
        yield server, thread


@contextmanager
def running(server: Server) -> Iterator[threading.Thread]:
    """Run a server on a thread, which must end with the stop."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield thread
    finally:
        server.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@contextmanager
def served(folder: Path, text: str) -> Iterator[Client]:
    """Serve what a folder holds with the settings of `text`, whose paths are relative to it."""
    config = Config.from_text(text)
    model, data = config.model, config.data
    config = replace(
        config,
        model=replace(model, path=model.path and str(folder / model.path), reference=str(folder / model.reference)),
        data=replace(data, path=str(folder / data.path)),
        server=replace(config.server, port=0),
    )
    with opened(config) as (server, _), running(server):
        yield Client(int(server.effective_port))
