"""The HTTP server: waitress, with requests answered on the thread of its event loop, and a bound on everything.

waitress hands each request to a worker thread. For a prediction of some hundred microseconds that costs as much as the
answer, so here the loop's own thread answers. If an answer takes longer than `STUCK`, another thread takes over the
loop, and the slow one goes on as a worker: a model that hangs takes a thread, never the server.

From waitress come the sockets, the parser, the WSGI environment, the answer's head and the pool of threads. This module
decides when a request is answered and by which thread, which requests are refused, and which connections are closed.
docs/security.md lists every bound.
"""

from __future__ import annotations

import copy
import gc
import logging
import re
import resource
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from types import FrameType
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import Error

from monitor.config.settings import ServerConfig
from server.observe import is_lines
from server.payload import error_body
from server.predict import HOT_PATHS

log = logging.getLogger(__name__)

# How much there may be at once. What is beyond it is answered 503.
CONNECTIONS = 1000  # each with a file for a long body or answer; fewer if the process may open few files
WAITING = 256  # requests that wait for a thread
SLOW_PAGES = 8  # slow requests for pages and metrics, each on a thread of its own, beside `[server] threads`
BODIES = 4  # bodies under way, in bodies of the largest size allowed
SHORT_BODY = 1 << 16  # bytes of a body that does not count in `BODIES`, and that tells how long a prediction takes
UNREAD = 1 << 27  # bytes of answers that clients have yet to read; beyond that only short requests are answered

# Seconds.
SHORT = 0.002  # predictions that usually take longer are handed to worker threads
STUCK = 0.02  # an answer that takes longer on the loop's thread loses the loop
DEADLINE = 10.0  # for a client to send one request, and to read one answer, however many bytes trickle in between
IDLE = 60.0  # that a kept-alive connection may be idle
LINGER = 2.0  # that the server reads on from a refused client, so that the client gets to read the refusal
LOOK = 1.0  # between two looks at which connections have used up their time
CHANCE = 0.1  # that a new connection has to send a request before it may be closed for another one
RECENT = 1.0  # after an answer in which its connection is not closed for another one
GRACE = 5.0  # that a stop waits for requests that are under way

#: Bytes a second that a body of lines must arrive with, after `DEADLINE`.
BULK_RATE = 1 << 16

_TRANSFER_ENCODING = re.compile(rb"^transfer-encoding[ \t]*:[ \t]*(.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE)


class Busy(Error):  # type: ignore[misc]  # noqa: N818 - waitress' name for a refusal
    """Refusal of a request that the server has no room for."""

    code = 503


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Parses one request. Refuses requests that two servers in a row could read differently."""

    adj: Any
    completed: bool
    bulk = False  # lines of observations, which have a limit of their own
    rest = b""  # what the client sent after this request

    def received(self, data: bytes) -> int:
        """Take in bytes and return how many are used up. What follows a whole request is kept in `rest`."""
        consumed = int(super().received(data))
        if self.body_bytes_received > SHORT_BODY and not self.completed and self.adj.no_room():
            self.error, self.completed = Busy("the server has too many large bodies at once; try again later"), True
        if self.error is not None:
            self.expect_continue = False  # waitress would ask the client of a refused request to go on
        if self.completed and not self.empty:
            self.rest, consumed = data[consumed:], len(data)
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and headers. Raises ParsingError."""
        try:
            super().parse_header(header_plus)
        except ValueError:
            raise ParsingError("Content-Length is invalid") from None  # thousands of digits
        if self.proxy_netloc:
            self.headers["HOST"] = self.proxy_netloc  # RFC 9112, 3.2.2: an absolute address overrides Host
        if self.path.endswith(("/observe", "/outcomes")) and is_lines(self.headers.get("CONTENT_TYPE", "")):
            self.bulk = True
            self.adj = copy.copy(self.adj)
            self.adj.max_request_body_size = self.adj.max_bulk + 1
        if self.chunked:
            if "CONTENT_LENGTH" in self.headers:
                raise ParsingError("both Content-Length and Transfer-Encoding are given")
            if [value.rstrip(b"\r").lower() for value in _TRANSFER_ENCODING.findall(header_plus)] != [b"chunked"]:
                raise ParsingError("Transfer-Encoding is invalid")
        elif "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("Transfer-Encoding needs HTTP/1.1")


class Refuse(ErrorTask):  # type: ignore[misc]
    """Answers a request that no application sees (malformed, too large, too many) with JSON, as every other error."""

    def execute(self) -> None:
        """Write the answer, and close the connection after it."""
        error, server = self.request.error, self.channel.server
        code = {413: "too_large", 431: "too_large", 503: "busy", 500: "failed"}.get(error.code, "bad_request")
        limit = "max_bulk" if self.request.bulk else "max_body"
        message = f"the body is larger than [server] {limit}" if error.code == 413 else error.body
        server.refused(code)
        body = error_body(code, message, None)
        self.status = f"{error.code} {HTTPStatus(error.code).phrase}"
        self.content_length = len(body)
        self.response_headers = [("Content-Type", "application/json")] + [("Retry-After", "1")] * (error.code == 503)
        self.channel.lingers = True
        self.set_close_on_finish()
        self.write(body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection. All methods but `service` run on the thread that leads the loop."""

    error_task_class, parser_class = Refuse, Parser

    rest = b""  # what the client has sent beyond the request that is answered; parsed when that answer has been sent
    lingers = False  # the last answer was a refusal: the client may still be sending
    predicts = False  # the next request asks for few predictions: the time it takes is measured
    _draining = False
    heard = False  # whether it has sent anything
    _receiving_since = _writing_since = 0.0

    def __init__(self, server: Any, sock: socket.socket, addr: Any, adj: Any, map: Any = None) -> None:  # noqa: A002
        super().__init__(server, sock, addr, adj, map)
        self.idle_since = time.monotonic()

    @property
    def answering(self) -> bool:
        """Whether a whole request, or an answer, is under way."""
        return bool(self.requests or self.rest or self.total_outbufs_len or self._draining)

    def quiet(self, now: float) -> float:
        """Seconds since the last answer, or since it connected; 0 if anything is under way."""
        return 0.0 if self.request or self.answering else now - self.idle_since

    def has_unread(self) -> bool:
        """Whether the client has sent what the loop has yet to read: this process may have been held up."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def received(self, data: bytes) -> bool:
        """Take in bytes from the client."""
        if self.request is None:
            self._receiving_since = time.monotonic()
        self.heard = True
        return bool(super().received(data))

    def readable(self) -> bool:
        """Whether the loop should read from this connection."""
        return self._draining or not (self.rest or not super().readable())

    def writable(self) -> bool:
        """Whether the loop should call `handle_write` once the socket takes bytes."""
        return bool(super().writable() or (self.rest and not self.requests))

    def handle_read(self) -> None:
        """Read; what comes after a refusal is thrown away."""
        if self._draining:
            self.recv(self.adj.recv_bytes)  # closes at the end of the stream
        else:
            super().handle_read()

    def handle_write(self) -> None:
        """Send what waits. Then go on with the next request, or close so that the client can read a refusal."""
        if self.lingers and self.close_when_flushed:
            self._finish_refusal()
            return
        super().handle_write()
        if self.rest and self.connected and not (self.requests or self.total_outbufs_len):
            rest, self.rest = self.rest, b""
            self.received(rest)

    def _finish_refusal(self) -> None:
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

    def refuse(self, why: str) -> None:
        """Answer 503, whatever the client asks."""
        request = Parser(self.adj)
        request.error, request.version = Busy(why), "1.1"
        self.requests.append(request)
        self.service()

    def handle_close(self) -> None:
        """Close the connection, and the file that half a body may have."""
        if self.request is not None:
            self.request.close()
        super().handle_close()

    def service(self) -> None:
        """Answer one request, on whatever thread."""
        began, self.rest = time.monotonic(), self.requests[0].rest
        if self.server.stopping:
            self.requests[0].headers["CONNECTION"] = "close"  # the answer tells the client
        super().service()
        if self.close_when_flushed:
            self.rest = b""
        self.idle_since = now = time.monotonic()
        self._writing_since = 0.0  # the time to read this answer begins
        if self.predicts:
            self.server.took(now - began)

    def overdue(self, now: float) -> bool:
        """Whether the client has used up its time; asked every `LOOK` seconds."""
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
        return now - self.idle_since > (IDLE if self.heard else DEADLINE)

    def cost(self, now: float) -> tuple[int, float] | None:
        """Rank for closing this connection to make room, the lowest first; None if a request is being answered.

        (0, bytes a second): the client has sent nothing, or part of a request. (1, time of its last answer): it is
        idle. (2, 0): it has just connected, and should get its chance.
        """
        if self.will_close or self.answering:
            return None
        if self.heard and self.request is None:
            return (1, self.idle_since) if now - self.idle_since > RECENT else None
        request, age = self.request, now - (self._receiving_since or self.idle_since)
        sent = 0 if request is None else request.header_bytes_received + request.body_bytes_received
        return (0, sent / age) if age > CHANCE else (2, 0.0)


class Server(TcpWSGIServer):  # type: ignore[misc]
    """The server. `refused` is called with the code of every request that is refused before `application` sees it."""

    accepting: bool

    def __init__(
        self, application: WSGIApplication, config: ServerConfig, refused: Callable[[str], None] = lambda _: None
    ) -> None:
        """Bind and listen, without serving yet. Raises OSError if the address is taken."""
        self.refused = refused
        #: Called for SIGHUP.
        self.reload: Callable[[], None] = lambda: None
        self.stopping = False
        self._sockets: dict[int, Any] = {}
        self._posts: deque[Channel] = deque()  # requests for the loop's thread: all of these in each turn of the loop,
        self._queued_others: deque[Channel] = deque()  # and one of these
        self._usual_seconds = 0.0  # what a prediction takes, seconds
        self._leading = threading.RLock()
        self._leader: threading.Thread | None = None
        self._answering_since: float | None = None
        self._slow: set[threading.Thread] = set()  # threads that lost the loop, and are still answering
        self._done = threading.Event()
        self._stop_until = self._next_overdue_check = self._accept_after = self._next_complaint = 0.0
        # waitress writes a line whenever a request waits for a thread, and whenever a client vanishes.
        for name in ("waitress", "waitress.queue"):
            logging.getLogger(name).setLevel(logging.ERROR)
        adjustments = Adjustments(
            host=config.host,
            port=config.port,
            ipv6=":" in config.host,
            ipv4=":" not in config.host,
            threads=config.threads,
            # One byte more than we accept: a chunked body has no length to check before it is read.
            max_request_body_size=config.max_body + 1,
            max_request_header_size=16384,
            recv_bytes=65536,
            inbuf_overflow=config.max_body + 1,
            connection_limit=connection_limit(),
            log_socket_errors=False,
            clear_untrusted_proxy_headers=False,  # nothing here reads them
            ident="telltale",
            expose_tracebacks=False,
        )
        adjustments.max_bulk, adjustments.no_room = config.max_bulk, self._no_room
        adjustments.send_bytes = 1 << 16  # a short answer leaves in one piece, when it is complete
        super().__init__(application, map=self._sockets, adj=adjustments)

    # Requests: which are answered, and by which thread.

    def add_task(self, channel: Channel) -> None:
        """Queue the request of a channel, or refuse it if too many wait."""
        request = channel.requests[0]
        post = request.error is None and request.command == "POST"
        short = post and request.body_bytes_received <= SHORT_BODY
        queued = len(self._posts) + len(self.task_dispatcher.queue) if post else len(self._queued_others)
        unread = 0 if short else sum(channel.total_outbufs_len for channel in self.active_channels.values())
        if request.error is None and (queued >= WAITING or unread > UNREAD):
            request.error = Busy("the server has more requests than it can answer; try again in a second")
            post = False
        channel.predicts = short and post and (request.path in HOT_PATHS or request.path.endswith("/predict"))
        if post and self._usual_seconds >= SHORT:
            self.task_dispatcher.add_task(channel)
        else:
            (self._posts if post else self._queued_others).append(channel)

    def _no_room(self) -> bool:
        """Whether the bodies that are under way, of requests in part and of those that wait, are too many."""
        requests = [request for c in self.active_channels.values() for request in (c.request, *c.requests) if request]
        largest = int(max(self.adj.max_bulk, self.adj.max_request_body_size))
        return bool(sum(request.body_bytes_received for request in requests) > BODIES * largest)

    def took(self, seconds: float) -> None:
        """Note how long a small prediction took. One that hung counts as `STUCK`."""
        self._usual_seconds += (min(seconds, STUCK) - self._usual_seconds) / 16

    def _answer_queued(self, me: threading.Thread) -> bool:
        """Answer queued POSTs, and one other request. Returns False if this thread lost the loop while answering."""
        for _ in range(len(self._posts)):
            channel = self._posts.popleft()
            if len(self._slow) >= self.adj.threads:
                self.task_dispatcher.add_task(channel)
            elif not self._answer(channel, me):
                return False
        if self._queued_others and len(self._slow) < self.adj.threads + SLOW_PAGES:
            return self._answer(self._queued_others.popleft(), me)
        return True

    def _answer(self, channel: Channel, me: threading.Thread) -> bool:
        """Answer one request on this thread. Returns False if this thread lost the loop meanwhile."""
        self._answering_since = time.monotonic()
        try:
            channel.service()
        except (Exception, SystemExit):
            log.exception("a request could not be answered")
            channel.cancel()
        with self._leading:
            if self._leader is not me:
                self._slow.discard(me)
                self.pull_trigger()  # the loop may be waiting for this answer
                return False
            self._answering_since = None
        if channel.connected and channel.writable():
            channel.handle_write()
        return True

    def pull_trigger(self) -> None:
        """Wake the loop, unless this thread leads it, or the server has ended."""
        if threading.current_thread() is not self._leader:
            with self._leading:
                if not self._done.is_set():  # else the descriptor may be another file's by now
                    super().pull_trigger()

    # The loop, and the thread that leads it.

    def run(self) -> None:
        """Serve until `stop`. The calling thread, which signals reach, watches over the one that leads the loop."""
        self._promote()
        while not self._done.wait(STUCK):
            began = self._answering_since
            if began is not None and time.monotonic() - began > STUCK:
                self._promote()
        self.task_dispatcher.shutdown(timeout=0.1)
        if self._leader is not None:
            self._leader.join(0.1)
        for channel in list(self.active_channels.values()):
            channel.handle_close()
        with self._leading:  # another thread may be about to wake the loop
            wasyncore.close_all(self._sockets)

    def stop(self) -> None:
        """Accept nothing more, finish what is under way, and return from `run`; at once if called again."""
        if self.stopping:
            self._done.set()
            return
        self._stop_until = time.monotonic() + GRACE
        self.stopping = True
        self.pull_trigger()

    def _promote(self) -> None:
        """Give the loop to a new thread, unless its thread has just finished the slow answer."""
        with self._leading:
            if self._leader is not None and self._answering_since is None:
                return
            stuck, since = self._leader, self._answering_since
            self._leader, self._answering_since = threading.Thread(target=self._lead, daemon=True), None
            try:
                self._leader.start()
            except RuntimeError as error:  # there are too many threads: the loop goes on after this answer
                self._leader, self._answering_since = stuck, since
                if stuck is None:
                    raise
                self._complain("a slow answer holds up all others: %s", error)
                return
            if stuck is not None:
                self._slow.add(stuck)

    def _lead(self) -> None:
        """Run the loop until another thread leads it."""
        me = threading.current_thread()
        while self._leader is me and not self._done.is_set():
            try:
                look_soon = self._queued_others or self.stopping or not self.readable()
                timeout = 0.0 if self._posts else 0.02 if look_soon else LOOK
                wasyncore.loop(timeout, use_poll=True, map=self._sockets, count=1)
                if not self._answer_queued(me):
                    return  # it lost the loop
                now = time.monotonic()
                if now >= self._next_overdue_check:
                    self._close_overdue(now)
                if self.stopping:
                    self._wind_up(now)
            except Exception:
                log.exception("the server's loop failed, and goes on")
                self._done.wait(0.1)

    def _wind_up(self, now: float) -> None:
        """Stop accepting, then close each connection when it is idle."""
        if self.accepting:
            self.handle_accept()  # those that have connected are served
            self.accepting = False
            self.del_channel()
            self.socket.close()
        for channel in list(self.active_channels.values()):
            # One that has just connected and is yet to ask gets a second, so that its first request is answered.
            enough = 0.2 if channel.heard else 1.0
            if min(channel.quiet(now), now - self._stop_until + GRACE) > enough and not channel.has_unread():
                channel.handle_close()
        if not self.active_channels or now >= self._stop_until:
            self._done.set()

    # Connections.

    def readable(self) -> bool:
        """Whether to accept connections."""
        return bool(self.accepting) and time.monotonic() >= self._accept_after

    def _close_overdue(self, now: float) -> None:
        """Close connections whose time is up; called every `LOOK` seconds.

        Between turns of the loop, never within one: if a descriptor is closed and given out again in the same turn, the
        loop takes the new connection for the old one.
        """
        self._next_overdue_check = now + LOOK
        for channel in list(self.active_channels.values()):
            if channel.overdue(now):
                if channel.request is not None:
                    self.refused("too_slow")
                channel.handle_close()

    def handle_accept(self) -> None:
        """Accept connections. Beyond the limit close another one for each, or answer 503 if all others are busy."""
        for _ in range(64):
            over = len(self.active_channels) - self.adj.connection_limit
            room = True if over < 0 else self._make_room()
            if room is None:
                self._accept_after = time.monotonic() + CHANCE / 2
                return
            try:
                pair = self.accept()
            except OSError as error:
                self._accept_after = time.monotonic() + 1.0  # the loop would spin around what cannot be accepted
                self._complain("no connection can be accepted (%s); trying again each second", error.strerror or error)
                return
            if pair is None:
                return
            if not room and over >= max(4, self.adj.connection_limit // 8):
                self.refused("busy")
                pair[0].close()  # enough clients are being told why
                continue
            self.set_socket_options(pair[0])
            channel = Channel(self, pair[0], pair[1], self.adj, map=self._sockets)
            if not room:
                channel.refuse("the server has as many connections as it can hold; try again in a second")
            elif over >= 0:
                return

    def _make_room(self) -> bool | None:
        """Close the connection of the lowest `cost`. Returns False if all are busy, None if the lowest is a new one."""
        now = time.monotonic()
        costs = {c: cost for c in self.active_channels.values() if (cost := c.cost(now)) is not None}
        if not costs:
            return False
        cheapest = min(costs, key=costs.__getitem__)
        if costs[cheapest][0] == 2:
            return None
        cheapest.will_close = True
        return True

    def _complain(self, message: str, *arguments: object) -> None:
        """Log a warning, at most one in ten seconds."""
        now = time.monotonic()
        if now >= self._next_complaint:
            self._next_complaint = now + 10.0
            log.warning(message, *arguments)


def connection_limit() -> int:
    """Let the process open as many files as it may, and return how many connections to hold.

    A quarter of the descriptors: each connection may have a file as well, and half is left for the monitor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS
    wanted = 4 * CONNECTIONS if hard == resource.RLIM_INFINITY else min(4 * CONNECTIONS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, min(CONNECTIONS, max(soft, wanted) // 4))


def serve(server: Server) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that are being answered are finished first. A second signal means now."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.stop()

    def reload(_number: int, _frame: FrameType | None) -> None:
        server.reload()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, reload)
    gc.collect()
    gc.freeze()  # what the libraries made while loading stays until the end, so it need not be looked at again
    server.run()
