"""An application behind the real server, in the process of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from wsgiref.types import WSGIApplication

from monitor.config.load import ServerConfig
from server.serve import Server, create_server


@contextmanager
def hosted(
    application: WSGIApplication,
    threads: int = 2,
    max_body: int = 10_000,
    refused: Callable[[str], None] | None = None,
    config: ServerConfig | None = None,
) -> Iterator[tuple[Server, threading.Thread]]:
    """Serve on a free port: the server and its thread. It is stopped at the end, and must have ended in seconds.

    `config` replaces `threads` and `max_body`.
    """
    config = config or ServerConfig(host="127.0.0.1", port=0, threads=threads, url="", max_body=max_body)
    server = create_server(application, config, refused)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server, thread
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()
