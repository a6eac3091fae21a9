"""waitress, set up for this server: short requests answered on the loop, bounds on everything, a clean stop.

waitress hands every request to a thread. For a prediction of some hundred microseconds the handing over costs as much
as the answer, and four threads contending for the interpreter cost more again. So short requests are answered where
they were read: on the loop's own thread. Should one of them take longer after all, the loop passes to another thread,
and the slow one goes on as if it had been handed to a thread at the start: a model that hangs takes a thread, never the
server.
"""

from __future__ import annotations

import gc
import logging
import resource
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any
from wsgiref.types import WSGIApplication

from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer

from monitor.config.load import ServerConfig
from server.channel import Busy, Channel
from server.payload import error_body
from server.predict import HOT_PATHS
from server.watch import Watch

log = logging.getLogger(__name__)

#: Connections at once; further ones are answered 503. Half of it must be left for files where descriptors are scarce.
CONNECTIONS = 1000

#: Requests that may wait; further ones are answered 503.
WAITING = 256

#: Bodies up to this size tell how long a prediction takes, bytes; larger ones are batches.
SHORT_BODY = 1 << 16

#: Predictions that usually take longer than this are handed to threads, seconds.
SHORT = 0.002

#: An answer that takes longer than this on the loop's thread loses the loop, seconds.
STUCK = 0.02

#: How long a stop waits for requests that are under way, seconds.
GRACE = 5.0


class Server(TcpWSGIServer):  # type: ignore[misc]
    """The server. `refused` is told the code of every request that no application has seen."""

    channel_class = Channel
    rests = False  # whether it accepts is a question of time, too
    accepting: bool
    _map: Watch

    def __init__(self, application: WSGIApplication, refused: Callable[[str], None], adjustments: Adjustments) -> None:
        """Bind and listen. Raises OSError where the address is taken."""
        self.refused = refused
        self.stopping = False
        self._short: deque[Channel] = deque()
        self._usual = 0.0
        self._leading = threading.Lock()
        self._leader: threading.Thread | None = None
        self._answering_since: float | None = None
        self._slow: set[threading.Thread] = set()
        self._done = threading.Event()
        self._stop_until = self._next_look = self._accept_after = self._next_complaint = 0.0
        super().__init__(application, map=Watch(), adj=adjustments)

    # What waits for an answer, and who gives it.

    def add_task(self, channel: Channel) -> None:
        """Have the first request of a channel answered."""
        request = channel.requests[0]
        hot = request.error is None and request.command == "POST" and request.path in HOT_PATHS
        waiting = len(self._short) + len(self.task_dispatcher.queue) if hot else len(self._slow)
        if request.error is None and waiting >= WAITING:
            request.error = Busy("the server has more requests than it can answer; try again in a second")
            hot = False
        channel.hot = hot
        channel.timed = hot and request.body_bytes_received <= SHORT_BODY
        if hot and self._usual >= SHORT:
            self.task_dispatcher.add_task(channel)
        else:
            self._short.append(channel)

    def took(self, seconds: float) -> None:
        """A small prediction was answered after so long; one that hung counts as slow, not as what it was."""
        self._usual += (min(seconds, STUCK) - self._usual) / 16

    def _answer(self, me: threading.Thread) -> bool:
        """Answer what is short; False where somebody else leads by now, because it was not."""
        while self._short:
            channel = self._short.popleft()
            if channel.hot and len(self._slow) >= self.adj.threads:
                self.task_dispatcher.add_task(channel)
                continue
            self._answering_since = time.monotonic()
            try:
                channel.service()
            except (Exception, SystemExit):
                log.exception("a request could not be answered")
                channel.cancel()
            with self._leading:
                if self._leader is not me:
                    self._slow.discard(me)
                    return False
                self._answering_since = None
        return True

    def pull_trigger(self) -> None:
        """Wake the loop; the thread that leads it is awake, and after the end nobody is."""
        if threading.current_thread() is not self._leader and not self._done.is_set():
            super().pull_trigger()

    # The loop, and who leads it.

    def run(self) -> None:
        """Serve until `stop`. Watches over the loop from the calling thread, which is the one that signals reach."""
        self._promote()
        while not self._done.wait(STUCK):
            began = self._answering_since
            if began is not None and time.monotonic() - began > STUCK:
                self._promote()
        self.task_dispatcher.shutdown(timeout=0.1)
        if self._leader is not None:
            self._leader.join(0.1)
        self._map.close()

    def stop(self) -> None:
        """Accept nothing more, finish what is under way, and return from `run`; at once where called again."""
        if self.stopping:
            self._done.set()
            return
        self._stop_until = time.monotonic() + GRACE
        self.stopping = True
        super().pull_trigger()

    def _promote(self) -> None:
        """Give the loop to a fresh thread, unless the one that had it is through at this very moment."""
        with self._leading:
            if self._leader is not None:
                if self._answering_since is None:
                    return
                self._slow.add(self._leader)
                self._answering_since = None
            self._leader = threading.Thread(target=self._lead, name="telltale-loop", daemon=True)
            self._leader.start()

    def _lead(self) -> None:
        me = threading.current_thread()
        while self._leader is me and not self._done.is_set():
            try:
                self._map.turn(0.0 if self._short else 0.05 if self.stopping else 1.0)
                if not self._answer(me):
                    return
                now = time.monotonic()
                if now >= self._next_look:
                    self._look(now)
                if self.stopping:
                    self._wind_up(now)
            except Exception:
                log.exception("the server's loop stumbled, and goes on")
                self._done.wait(0.1)

    def _wind_up(self, now: float) -> None:
        """Close the door, then each connection as it falls idle."""
        if self.accepting:
            self.handle_accept()  # who has connected is in
            self.accepting = False
            self.del_channel()
            self.socket.close()
        for channel in list(self.active_channels.values()):
            if channel.idle and now - channel.idle_since > 0.2 and now - self._stop_until > 0.2 - GRACE:
                channel.handle_close()
        if not self.active_channels or now >= self._stop_until:
            self._done.set()

    # Connections.

    def readable(self) -> bool:
        """Whether to accept."""
        return bool(self.accepting) and time.monotonic() >= self._accept_after

    def _look(self, now: float) -> None:
        """Once a second: close connections that have had their time.

        Between turns of the loop and never within one: a descriptor that is closed and given out again in the same
        turn would be taken for the connection that it was.
        """
        self._next_look = now + 1.0
        for channel in list(self.active_channels.values()):
            if channel.overdue(now):
                if channel.request is not None:
                    self.refused("too_slow")
                channel.handle_close()

    def handle_accept(self) -> None:
        """Accept what knocks, up to the limit; beyond it, the answer is 503."""
        for _ in range(64):
            try:
                pair = self.accept()
            except OSError as error:
                self._out_of_sockets(error)
                return
            if pair is None:
                return
            connection, address = pair
            if len(self.active_channels) >= self.adj.connection_limit and not self._make_room():
                self._turn_away(connection, address)
                continue
            self.set_socket_options(connection)
            self.channel_class(self, connection, address, self.adj, map=self._map)

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, for somebody who has something to say."""
        since = time.monotonic() - 1.0
        idle = [c for c in self.active_channels.values() if c.idle and c.idle_since < since and not c.will_close]
        if idle:
            oldest = min(idle, key=lambda channel: channel.idle_since)
            oldest.will_close = True
            self._map.stir(oldest)
        return bool(idle)

    def _turn_away(self, connection: socket.socket, address: Any) -> None:
        """Say 503 to a connection that there is no room for: gently to some, and bluntly to the rest of a crowd."""
        self.refused("busy")
        limit = self.adj.connection_limit
        if len(self.active_channels) < limit + max(4, limit // 8):
            self.channel_class(self, connection, address, self.adj, map=self._map).refuse(TURNED_AWAY)
            return
        with connection:
            try:
                connection.setblocking(False)
                connection.send(TURNED_AWAY)
            except OSError:
                pass  # gone already

    def _out_of_sockets(self, error: OSError) -> None:
        """Wait a second: the loop would otherwise spin around the connection that cannot be accepted."""
        now = time.monotonic()
        self._accept_after = now + 1.0
        if now >= self._next_complaint:
            self._next_complaint = now + 10.0
            log.warning("no connection can be accepted (%s); trying again each second", error.strerror or error)


def _turned_away() -> bytes:
    body = error_body("busy", f"the server has its {CONNECTIONS} connections; try again in a second", None)
    head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


TURNED_AWAY = _turned_away()


def connection_limit() -> int:
    """Connections to hold at once: half the descriptors at most, since the monitor needs some for its files."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CONNECTIONS if descriptors == resource.RLIM_INFINITY else max(1, min(CONNECTIONS, descriptors // 2))


def create_server(
    application: WSGIApplication, config: ServerConfig, refused: Callable[[str], None] | None = None
) -> Server:
    """Bind, without serving yet. Raises OSError where the address is taken.

    `refused` is called with the error code of every request that is refused before `application` sees it.
    """
    # waitress writes a line whenever a request waits for a thread, and whenever a client vanishes.
    logging.getLogger("waitress").setLevel(logging.ERROR)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
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
    adjustments.max_bulk = config.max_bulk
    adjustments.heads = {}
    return Server(application, refused or (lambda _: None), adjustments)


def serve(server: Server) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that are being answered are finished first. A second signal means now."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.stop()

    def stay(number: int, _frame: FrameType | None) -> None:
        log.info("%s: settings are read at start only; restart to change them", signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, stay)
    # What the libraries made while loading stays until the end: the garbage collector need not go through it each time.
    gc.collect()
    gc.freeze()
    server.run()
