"""A small server for `/metrics` and `/healthz`, for programs that have none: standard library, loopback only."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from monitor.errors import ConfigError

if TYPE_CHECKING:
    from monitor.joined import Joined
    from monitor.runtime import Runtime


class ScrapeServer:
    """Listens on loopback from the moment it is made; answers from `start` to `stop`."""

    def __init__(self, runtime: Runtime | Joined, port: int) -> None:
        """Bind. Raises ConfigError if the port is taken."""

        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0  # seconds that a scraper may take to say what it wants
            server_version, sys_version = "telltale", ""

            def do_GET(self) -> None:
                status, path = 200, self.path.partition("?")[0]
                headers = {"Content-Type": "application/json"}
                if path == "/metrics":
                    accepted = (self.headers.get(name, "") for name in ("Accept", "Accept-Encoding"))
                    body, headers = runtime.metrics(*accepted)
                elif path == "/healthz":
                    health = runtime.health()
                    status, body = 503 if health["status"] == "failing" else 200, json.dumps(health).encode()
                else:
                    error = {"code": "not_found", "message": "only /metrics and /healthz are here", "where": None}
                    status, body = 404, json.dumps({"error": error}).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                """Say nothing: a line for each scrape would be all that a program logs."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"metrics_port {port}: cannot listen on 127.0.0.1: {reason}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="telltale-metrics", args=[0.1], daemon=True
        )
        #: Where `/metrics` is.
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/metrics"

    def start(self) -> None:
        """Answer, on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Close."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def abandon(self) -> None:
        """In the child of a fork: close the copy of the socket, or the port would outlive the parent."""
        self._server.socket.close()
