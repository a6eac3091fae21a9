"""waitress, set up for this server: bounded bodies and connections, JSON errors, a clean stop."""

from __future__ import annotations

import logging
import signal
from types import FrameType
from wsgiref.types import WSGIApplication

import waitress
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask

from monitor.config import ServerConfig
from server.payload import error_body

log = logging.getLogger(__name__)


class JsonErrorTask(ErrorTask):  # type: ignore[misc]
    """Answers what waitress itself refuses (too large, malformed) in the same form as every other error."""

    def execute(self) -> None:
        """Write the answer."""
        error = self.request.error
        code = "too_large" if error.code in (413, 431) else "bad_request"
        body = error_body(code, f"{error.reason}: {error.body}", None)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.response_headers.append(("Content-Length", str(len(body))))
        self.response_headers.append(("Connection", "close"))
        self.close_on_finish = True
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection whose refusals are JSON."""

    error_task_class = JsonErrorTask


def create_server(application: WSGIApplication, config: ServerConfig) -> TcpWSGIServer:
    """Bind, without serving yet. Raises OSError where the address is taken."""
    # waitress writes a line whenever a request waits for a thread; under load that is every request.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    TcpWSGIServer.channel_class = Channel
    return waitress.create_server(
        application,
        host=config.host,
        port=config.port,
        threads=config.threads,
        # One byte more than we accept: a chunked body has no length to check before it is read.
        max_request_body_size=config.max_body + 1,
        max_request_header_size=16384,
        connection_limit=1000,
        channel_timeout=30,
        asyncore_use_poll=True,
        clear_untrusted_proxy_headers=True,
        ident="telltale",
        expose_tracebacks=False,
    )


def serve(server: TcpWSGIServer) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that are being answered are finished first."""

    def stop(signal_number: int, _: FrameType | None) -> None:
        # A second signal means now.
        signal.signal(signal_number, signal.SIG_DFL)
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run()
