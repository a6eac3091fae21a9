"""One connection: what waitress reads and writes, with strict framing, JSON refusals, deadlines and a gentle close.

A client that keeps its connection sends the same head with every request: it is parsed once, and an answer that the
socket takes whole goes out without a stop in a buffer.
"""

from __future__ import annotations

import copy
import io
import re
import socket
import time
from http import HTTPStatus
from typing import Any
from wsgiref.types import WSGIEnvironment

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import FixedStreamReceiver
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error, build_http_date

from server.observe import is_lines
from server.payload import error_body

#: Seconds that a client may take to send one request, and to read one answer, however many bytes trickle in between.
DEADLINE = 10.0

#: Seconds that a kept-alive connection may be idle.
IDLE = 60.0

#: Seconds that we go on reading, and discard, what a refused client still sends: so that it gets to read the refusal.
LINGER = 2.0

#: Bytes a second that keep a bulk request from being overdue: it may be long, but not slow.
BULK_RATE = 1 << 16

_TRANSFER_ENCODING = re.compile(rb"^transfer-encoding[ \t]*:[ \t]*(.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE)


#: Heads that are kept, bytes of one, and bytes of its body: enough for the few kinds of client that a model has.
HEADS, HEAD_BYTES, BODY_BYTES = 256, 1024, 1 << 16

#: What a parser finds in a head, besides the headers and what its body is read by.
_FOUND = (
    "first_line",
    "command",
    "request_uri",
    "version",
    "proxy_scheme",
    "proxy_netloc",
    "path",
    "query",
    "fragment",
    "url_scheme",
    "connection_close",
    "expect_continue",
    "content_length",
)

#: What in a WSGI environment belongs to one request or connection, and to no other with the same head.
_OWN = ("REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "wsgi.input", "waitress.client_disconnected")


class Head:
    """A request's head, parsed: for the next request with the very same bytes, which most are on a kept connection."""

    __slots__ = ("environ", "found", "headers")

    def __init__(self, parser: HTTPRequestParser) -> None:
        self.found = {name: getattr(parser, name) for name in _FOUND}
        self.headers = dict(parser.headers)
        self.environ: WSGIEnvironment = {}


class Body(io.BytesIO):
    """The body of one request, where it is short: waitress' own buffer may become a file, which takes as long again."""

    append = io.BytesIO.write

    def __len__(self) -> int:
        """Bytes so far."""
        return self.getbuffer().nbytes

    def getfile(self) -> Body:
        """Return it as a file, from the start."""
        self.seek(0)
        return self


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """waitress' parser, refusing the few requests that two servers in a row might read differently."""

    adj: Any
    bulk = False  # lines of observations, which have a limit of their own
    head: Head | None = None  # where others may share it

    def received(self, data: bytes) -> int:
        """Take in bytes; returns how many belonged to this request."""
        consumed: int = super().received(data)
        if self.error is not None:
            # waitress would still ask the client of a refused request to go on.
            self.expect_continue = False
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and headers. Raises ParsingError."""
        head = self.head = self.adj.heads.get(header_plus)
        if head is None:
            self._parse_new_head(header_plus)
            if len(header_plus) <= HEAD_BYTES and self.content_length <= BODY_BYTES and not (self.chunked or self.bulk):
                if len(self.adj.heads) >= HEADS:
                    self.adj.heads.clear()
                self.head = self.adj.heads[header_plus] = Head(self)
            return
        self.__dict__.update(head.found)
        self.headers = head.headers.copy()
        if self.content_length:
            self.body_rcv = FixedStreamReceiver(self.content_length, Body())

    def _parse_new_head(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:
            raise ParsingError("Content-Length is invalid") from None  # thousands of digits
        self.bulk = self.path == "/observe" and is_lines(self.headers.get("CONTENT_TYPE", ""))
        if self.bulk:
            self.adj = copy.copy(self.adj)
            self.adj.max_request_body_size = self.adj.max_bulk + 1
        if self.chunked:
            if "CONTENT_LENGTH" in self.headers:
                raise ParsingError("both Content-Length and Transfer-Encoding are given")
            if [value.rstrip(b"\r").lower() for value in _TRANSFER_ENCODING.findall(header_plus)] != [b"chunked"]:
                raise ParsingError("Transfer-Encoding is invalid")
        elif "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("Transfer-Encoding needs HTTP/1.1")


class Busy(Error):  # type: ignore[misc]  # noqa: N818 - waitress' name for a refusal
    """The refusal of a request that the server has no room for."""

    code = 503
    reason = "Service Unavailable"


class JsonErrorTask(ErrorTask):  # type: ignore[misc]
    """Answers what is refused before an application sees it (malformed, too large, too many) like every other error."""

    def execute(self) -> None:
        """Write the answer."""
        error, server = self.request.error, self.channel.server
        code = {413: "too_large", 431: "too_large", 503: "busy", 500: "failed"}.get(error.code, "bad_request")
        limit = "max_bulk" if self.request.bulk else "max_body"
        message = f"the body is larger than [server] {limit}" if error.code == 413 else error.body
        server.refused(code)
        body = error_body(code, message, None)
        self.status = f"{error.code} {HTTPStatus(error.code).phrase}"
        self.response_headers.append(("Content-Type", "application/json"))
        if error.code == 503:
            self.response_headers.append(("Retry-After", "1"))
        self.content_length = len(body)
        self.channel.lingers = True
        self.set_close_on_finish()
        self.write(body)


class Task(WSGITask):  # type: ignore[misc]
    """One request for the application. Head and body leave in one segment."""

    _date = (0, "")
    wrote_header: bool

    def execute(self) -> None:
        """Call the application; the last answer before a stop asks the client to go."""
        if self.channel.server.stopping:
            self.set_close_on_finish()
        super().execute()

    def write(self, data: bytes) -> None:
        """Write a part of the answer."""
        if self.wrote_header or self.content_length != len(data) or not self.has_body:
            super().write(data)
            return
        head = (
            self.build_response_header()
        )  # before the next line: waitress adds `Connection: close` to no written head
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(head + data)

    def get_environment(self) -> WSGIEnvironment:
        """Return the WSGI environment: what another request with the same head had, but for what is its own."""
        head = self.request.head
        if head is None:
            return super().get_environment()  # type: ignore[no-any-return]
        if not head.environ:
            environ: WSGIEnvironment = super().get_environment()
            head.environ = {key: value for key, value in environ.items() if key not in _OWN}
            return environ
        environ, channel = head.environ.copy(), self.channel
        environ["REMOTE_ADDR"] = environ["REMOTE_HOST"] = channel.addr[0]
        environ["REMOTE_PORT"] = str(channel.addr[1])
        environ["wsgi.input"] = self.request.get_body_stream()
        environ["waitress.client_disconnected"] = channel.check_client_disconnected
        return environ

    def build_response_header(self) -> bytes:
        """Return the head of the answer: in a few steps for a plain one, in waitress' many for any other."""
        plain = self.version == "1.1" and not self.close_on_finish and "CONNECTION" not in self.request.headers
        given = "".join([f"{name}: {value}\r\n" for name, value in self.response_headers])
        if not plain or not self.has_body or "Content-Length: " not in given:
            return super().build_response_header()  # type: ignore[no-any-return]
        return f"HTTP/1.1 {self.status}\r\n{given}Date: {self._http_date()}\r\nServer: telltale\r\n\r\n".encode(
            "latin-1"
        )

    def _http_date(self) -> str:
        second, text = Task._date
        if second != int(self.start_time):
            text = build_http_date(self.start_time)
            Task._date = (int(self.start_time), text)
        return text


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. All its methods but `service` run on the thread that leads the server's loop."""

    task_class = Task
    error_task_class = JsonErrorTask
    parser_class = Parser

    lingers = False  # the last answer was a refusal: the client may still be sending
    close_when_flushed: bool
    hot = False  # the request that is answered next asks for predictions,
    timed = False  # and few enough of them to tell how long one takes
    _draining = False
    _heard = False
    _receiving_since = 0.0
    _writing_since = 0.0

    def __init__(self, server: Any, sock: socket.socket, addr: Any, adj: Any, map: Any = None) -> None:  # noqa: A002
        super().__init__(server, sock, addr, adj, map)
        self.idle_since = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way: no request, whole or in part, and no answer."""
        return not (self.requests or self.request or self.total_outbufs_len or self._draining)

    @property
    def rests(self) -> bool:
        """Whether only the client can change what this connection waits for: no other thread is at it."""
        return not (self.requests or self.total_outbufs_len or self.will_close or self.close_when_flushed)

    def received(self, data: bytes) -> bool:
        """Take in bytes of the client."""
        if self.request is None:
            self._receiving_since = time.monotonic()
        self._heard = True
        return bool(super().received(data))

    def readable(self) -> bool:
        """Whether the loop should read from this connection."""
        return self._draining or bool(super().readable())

    def handle_read(self) -> None:
        """Read; what comes after a refusal is thrown away."""
        if self._draining:
            self.recv(self.adj.recv_bytes)  # closes at the end of the stream
        else:
            super().handle_read()

    def handle_write(self) -> None:
        """Send what waits; after a refusal, close in a way that lets the client read it."""
        if not (self.lingers and self.close_when_flushed):
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if not self.total_outbufs_len and self.connected:
            self.close_when_flushed, self._draining = False, True
            self._writing_since = time.monotonic()
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.handle_close()
        if self.will_close:
            self.handle_close()

    def refuse(self, answer: bytes) -> None:
        """Send a ready-made answer, whatever the client asks, and close once it can have read it."""
        self.lingers = True
        self.write_soon(answer)
        self.close_when_flushed = True

    def write_soon(self, data: Any) -> int:
        """Send at once where nothing waits before it; what the socket does not take, waitress keeps."""
        sent = 0
        if type(data) is bytes and self.connected and not self.total_outbufs_len:
            with self.outbuf_lock:
                try:
                    sent = self.socket.send(data)
                except OSError:
                    sent = 0  # waitress meets the same error, and knows what to do
        if sent < len(data):
            super().write_soon(data[sent:] if sent else data)
        return len(data)

    def service(self) -> None:
        """Answer one request, on whatever thread."""
        began, timed = time.monotonic(), self.timed
        super().service()
        self.idle_since = now = time.monotonic()
        if timed:
            self.server.took(now - began)

    def overdue(self, now: float) -> bool:
        """Whether the client has had its time; asked once a second."""
        if self._draining:
            return now - self._writing_since > LINGER
        if self.total_outbufs_len and not self.requests:
            self._writing_since = self._writing_since or now
            return now - self._writing_since > DEADLINE
        self._writing_since = 0.0
        if self.requests:
            return False
        if self.request is not None:
            more = self.request.body_bytes_received / BULK_RATE if self.request.bulk else 0.0
            return now - self._receiving_since > DEADLINE + more
        return now - self.idle_since > (IDLE if self._heard else DEADLINE)
