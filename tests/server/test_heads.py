"""A head that came before is not parsed again: what an application gets must not tell the difference."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import server.channel
from server.serve import Server
from tests.server.hosted import hosted
from tests.server.wire import Answer, answers, read_to_end


class Echo:
    """A server in this process that answers with the body it got, and keeps every WSGI environment."""

    server: Server

    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.environs.append(dict(environ))
        body = environ["wsgi.input"].read()
        environ["HTTP_X_MINE"] = "an application may write into its environment"
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", int(self.server.effective_port)), timeout=20)

    def exchange(self, *requests: bytes) -> list[Answer]:
        """Send requests on one connection, all at once; the last one must ask to be closed."""
        with self.connect() as connection:
            connection.sendall(b"".join(requests))
            return answers(read_to_end(connection))

    @property
    def heads(self) -> dict[bytes, Any]:
        kept: dict[bytes, Any] = self.server.adj.heads
        return kept


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    with hosted(echo.application, max_body=200_000) as (echo.server, _):
        yield echo


def request(body: bytes, *more: bytes, method: bytes = b"POST", target: bytes = b"/a%20b?q=1") -> bytes:
    lines = (method + b" " + target + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *more)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


CLOSE = b"Connection: close"

#: What differs from one request to the next however alike they are.
OWN = {"REMOTE_PORT", "wsgi.input", "waitress.client_disconnected"}


@pytest.mark.parametrize(
    "more",
    [
        (),
        (b"X-Twice: a", b"X-Twice: b", b"Accept: */*"),
        (b"Expect: 100-continue",),
        (b"Content-Type: application/json", b"Authorization: Bearer t", b"Cookie: a=b"),
    ],
    ids=["plain", "repeated header", "expect", "credentials"],
)
def test_an_application_gets_the_same_from_a_known_head(echo: Echo, more: tuple[bytes, ...]) -> None:
    for body in (b"first", b"other", b"third"):
        assert [answer.body for answer in echo.exchange(request(body, *more, CLOSE))][-1] == body
    assert len(echo.heads) == 1
    first, second, third = ({k: v for k, v in environ.items() if k not in OWN} for environ in echo.environs)
    assert first == second == third
    assert (first["REQUEST_URI"], first["PATH_INFO"], first["QUERY_STRING"]) == ("/a%20b?q=1", "/a b", "q=1")
    assert first["REMOTE_ADDR"] == "127.0.0.1"
    assert "HTTP_X_MINE" not in first
    assert len({environ["REMOTE_PORT"] for environ in echo.environs}) == 3
    assert all(environ.keys() == echo.environs[0].keys() for environ in echo.environs)


def test_bodies_of_one_length_are_each_their_own_request(echo: Echo) -> None:
    bodies = [b"%04d" % number for number in range(300)]
    # In one piece, pipelined: bodies and heads share segments, and a piece may end anywhere.
    found = echo.exchange(*(request(body) for body in bodies[:-1]), request(bodies[-1], CLOSE))
    assert [answer.body for answer in found] == bodies
    assert len(echo.heads) == 2


def test_a_body_in_pieces_behind_a_known_head(echo: Echo) -> None:
    whole = request(b"0123456789", CLOSE)
    echo.exchange(whole)
    for cut in range(1, len(whole)):
        with echo.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(whole[:cut])
            connection.sendall(whole[cut:])
            assert answers(read_to_end(connection))[0].body == b"0123456789"
    assert len(echo.heads) == 1


@pytest.mark.parametrize(
    "refused",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1,0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200001\r\n\r\n",
    ],
    ids=["length", "smuggling", "no colon", "too large"],
)
def test_what_is_refused_is_refused_again(echo: Echo, refused: bytes) -> None:
    first, second = (echo.exchange(refused)[0].status for _ in range(2))
    assert first == second >= 400
    assert echo.environs == []


def test_long_heads_long_bodies_and_chunks_are_not_kept(echo: Echo) -> None:
    long_body = b"x" * (server.channel.BODY_BYTES + 1)
    chunked = (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    for _ in range(2):
        assert echo.exchange(request(long_body, CLOSE))[0].body == long_body
        assert echo.exchange(request(b"abc", CLOSE, b"X-Long: " + b"y" * server.channel.HEAD_BYTES))[0].body == b"abc"
        assert echo.exchange(chunked)[0].body == b"abc"
    assert not echo.heads


def test_the_heads_that_are_kept_are_few(echo: Echo) -> None:
    few = server.channel.HEADS
    for number in range(few + 10):
        assert echo.exchange(request(b"abc", CLOSE, b"X-Number: %d" % number))[0].body == b"abc"
    assert 0 < len(echo.heads) <= few
