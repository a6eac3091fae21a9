"""The server's loop among many connections: none is forgotten."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from bench.running import PATIENCE, wait_for
from tests.server.hosted import hosted
from tests.server.wire import answers, read_to_end

SLOW = threading.Event()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    if body == b"slow":
        SLOW.wait(PATIENCE)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


class Crowd:
    """A server in this process, and many connections to it."""

    def __init__(self, stack: ExitStack, connections: int) -> None:
        self.server, _ = stack.enter_context(hosted(application, threads=4))
        stack.callback(SLOW.clear)
        stack.callback(SLOW.set)
        self._stack = stack
        self.connections = [self.connect() for _ in range(connections)]
        wait_for(lambda: len(self.server.active_channels) == connections, "all connections")

    def connect(self) -> socket.socket:
        address = ("127.0.0.1", int(self.server.effective_port))
        return self._stack.enter_context(socket.create_connection(address, timeout=PATIENCE))


def send(connection: socket.socket, body: bytes, more: bytes = b"") -> None:
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), more, body))


def receive(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data.partition(b"\r\n\r\n")[2]) < length:
        part = connection.recv(65536)
        assert part, "the server closed the connection"
        data += part
    return answers(data)[0].body


def ask(connection: socket.socket, body: bytes) -> bytes:
    send(connection, body)
    return receive(connection, len(body))


def test_every_connection_is_heard_however_long_it_was_idle() -> None:
    order = random.Random(4)
    with ExitStack() as stack:
        crowd = Crowd(stack, 100)
        for turn in range(400):
            index = order.randrange(len(crowd.connections))
            if turn % 5 == 4:
                # Its descriptor is given out again at once, in the middle of other traffic.
                crowd.connections[index].close()
                crowd.connections[index] = crowd.connect()
            assert ask(crowd.connections[index], b"%d" % turn) == b"%d" % turn
        for connection in crowd.connections:
            assert ask(connection, b"the last") == b"the last"


def test_answers_of_other_threads_are_sent_while_the_loop_goes_on() -> None:
    with ExitStack() as stack:
        crowd = Crowd(stack, 20)
        slow, quick = crowd.connections[:3], crowd.connections[3:]
        for connection in slow:
            send(connection, b"slow")
        for connection in quick:
            assert ask(connection, b"quick") == b"quick"
        SLOW.set()
        assert [receive(connection, 4) for connection in slow] == [b"slow"] * 3
        for connection in slow:
            assert ask(connection, b"and again") == b"and again"


def test_a_client_that_goes_away_during_its_answer_is_let_go() -> None:
    with ExitStack() as stack:
        crowd = Crowd(stack, 3)
        send(crowd.connections[0], b"slow")
        assert ask(crowd.connections[1], b"quick") == b"quick"
        crowd.connections[0].close()
        SLOW.set()
        wait_for(lambda: len(crowd.server.active_channels) == 2, "the connection to be let go")
        send(crowd.connections[2], b"bye", b"Connection: close\r\n")
        assert answers(read_to_end(crowd.connections[2]))[0].body == b"bye"
        wait_for(lambda: len(crowd.server.active_channels) == 1, "the closed one to be let go")
