"""A small server for `/metrics` and `/healthz`, for programs that have none: standard library, loopback only."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from monitor.errors import ConfigError
from monitor.runtime import Runtime

#: Seconds that a scraper may take to say what it wants.
PATIENCE = 10.0


class ScrapeServer:
    """Listens on loopback from the moment it is made; answers from `start` to `stop`."""

    def __init__(self, runtime: Runtime, port: int) -> None:
        """Bind. Raises ConfigError where the port is taken."""

        class Handler(BaseHTTPRequestHandler):
            timeout = PATIENCE
            server_version = "telltale"
            sys_version = ""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    body, headers = runtime.metrics(
                        self.headers.get("Accept", ""), self.headers.get("Accept-Encoding", "")
                    )
                    self._answer(200, body, headers)
                elif path == "/healthz":
                    health = runtime.health()
                    status = 503 if health["status"] == "failing" else 200
                    self._answer(status, json.dumps(health).encode(), {"Content-Type": "application/json"})
                else:
                    self._answer(404, b"/metrics and /healthz are here\n", {"Content-Type": "text/plain"})

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                """Say nothing: a line for each scrape would be all that a program logs."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"metrics_port {port}: cannot listen on 127.0.0.1: {reason}") from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="telltale-metrics", kwargs={"poll_interval": 0.1}, daemon=True
        )

    @property
    def address(self) -> str:
        """Where `/metrics` is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/metrics"

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
