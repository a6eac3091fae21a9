"""Every bound that a client can push, pushed past its end while another client asks for predictions.

docs/security.md lists the bounds. The good client must get every answer, each within its own patience.
"""

from __future__ import annotations

import gzip
import json
import resource
import socket
import statistics
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import server.serve
from bench.fuzz import ROW, served
from bench.running import PATIENCE, wait_for
from monitor.config.settings import ServerConfig
from server.serve import Server, connection_limit
from tests.server.hosted import hosted
from tests.server.wire import JSON, Answer, answers, post, read_to_end

#: Seconds that the good client waits for one answer: less than until the server closes a bad one. How many it asks for.
PATIENT, ASKED = 0.9 * server.serve.DEADLINE, 20

#: Connections that the server under test holds.
CONNECTIONS = 40


class Town:
    """A server with all its routes in this process, a good client, and the connections of bad ones."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self.server, self._stack = server, stack

    def connect(self) -> socket.socket:
        address = ("127.0.0.1", int(self.server.effective_port))
        return self._stack.enter_context(socket.create_connection(address, timeout=PATIENT))

    def ask(self, data: bytes) -> Answer:
        """Send one request on a connection of its own."""
        with socket.create_connection(("127.0.0.1", int(self.server.effective_port)), timeout=PATIENT) as connection:
            connection.sendall(data)
            return answers(read_to_end(connection))[0]

    def predictions(self) -> list[float]:
        """Ask for predictions as a good client: seconds that each took. A 503 is asked again, as its head says."""
        times = []
        for _ in range(ASKED):
            began = time.monotonic()
            while (answer := self.ask(post(json.dumps(ROW).encode(), JSON))).status == 503:
                assert time.monotonic() - began < PATIENT
            assert answer.status == 200, answer
            times.append(time.monotonic() - began)
        return times


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bounds")
    with served(folder) as application, hosted(application, max_body=1 << 20) as (server, _):
        server.adj.connection_limit = CONNECTIONS
        yield server


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def push(connection: socket.socket, data: bytes) -> int:
    """Send as much as the server takes, and read nothing: bytes sent."""
    connection.settimeout(0.2)
    sent = 0
    try:
        while sent < len(data):
            sent += connection.send(data[sent:])
    except OSError:
        pass
    return sent


def pipelined(path: str, count: int) -> Callable[[Town], None]:
    def attack(town: Town) -> None:
        for _ in range(3):
            push(town.connect(), get(path) * count)

    return attack


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def half_sent(data: bytes) -> Callable[[Town], None]:
    def attack(town: Town) -> None:
        for _ in range(CONNECTIONS + 10):
            push(town.connect(), data)

    return attack


def without_answer(*requests: bytes) -> Callable[[Town], None]:
    def attack(town: Town) -> None:
        for data in requests:
            push(town.connect(), data)

    return attack


def infer(**tensor: object) -> bytes:
    body = json.dumps({"inputs": [{"name": "age", "datatype": "FP64", "shape": [1, 1], "data": [1], **tensor}]})
    return post(body.encode(), JSON, path="/v2/models/model/infer")


def bomb() -> bytes:
    """Half a megabyte that unpacks to 500 MB of spaces: one packed block again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(b" " * 5_000_000) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(7) + block * 100


LINES = "Content-Type: application/x-ndjson"
MEMBERS = post(gzip.compress(b"\n") * 40_000, LINES, "Content-Encoding: gzip", path="/observe")

ATTACKS = {
    "assets ahead": pipelined("/assets/page.css", 1400),
    "metrics ahead": pipelined("/metrics", 3000),
    "pages ahead": pipelined("/", 300),
    "silent connections": half_sent(b""),
    "half a head": half_sent(b"POST / HTTP/1.1\r\nHost: x\r\nX: "),
    "half a body": half_sent(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b" " * 1000),
    "dimensions": without_answer(infer(shape=[9] * 250_000)),
    "large dimensions": without_answer(infer(shape=[10**200, 10**200])),
    "nesting": without_answer(post(b"[" * 1_000_000, JSON), infer(data=json.loads("[" * 900 + "]" * 900))),
    "digits": without_answer(post(b"[" + b"9" * 1_000_000 + b",1,2]", JSON)),
    "members": without_answer(MEMBERS, MEMBERS),
    "unpacked": without_answer(post(bomb(), JSON, "Content-Encoding: gzip")),
    "names": without_answer(post(json.dumps({"Q" * 500_000: 1}).encode(), JSON)),
    "many names": without_answer(post(json.dumps({f"age{n}": n for n in range(50_000)}).encode(), JSON)),
    "a head too long": without_answer(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_good_client_is_answered_meanwhile(town: Server, name: str) -> None:
    with ExitStack() as stack:
        here = Town(town, stack)
        idle = statistics.median(here.predictions())
        ATTACKS[name](here)
        times = here.predictions()
        assert max(times) < PATIENT
        assert statistics.median(times) < max(1.0, 100 * idle)
        assert len(town.active_channels) <= CONNECTIONS + max(4, CONNECTIONS // 8) + 64
    wait_for(lambda: not town.active_channels, "all connections to be closed")


def test_a_connection_has_one_request_ahead_and_no_open_file(town: Server) -> None:
    with ExitStack() as stack:
        here = Town(town, stack)
        before = descriptors()
        for _ in range(5):
            push(here.connect(), get("/assets/page.css") * 1400)
        here.predictions()
        assert all(len(channel.requests) <= 1 for channel in list(town.active_channels.values()))
        # An answer that waits may have a file, and there is at most one for each connection.
        assert descriptors() - before <= 5 * 3
    wait_for(lambda: not town.active_channels, "all connections to be closed")


def test_bodies_under_way_have_a_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.serve, "BODIES", 2)
    settings = ServerConfig("127.0.0.1", 0, 2, "", max_body=200_000, max_bulk=1_000_000)
    head = b"POST /observe HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 900000\r\n\r\n"
    with served(tmp_path) as application, hosted(application, config=settings) as (one, _), ExitStack() as stack:
        here = Town(one, stack)

        def under_way() -> int:
            return sum(c.request.body_bytes_received for c in list(one.active_channels.values()) if c.request)

        for number in (1, 2):
            here.connect().sendall(head + b" " * 800_000)
            wait_for(lambda least=number * 800_000: under_way() >= least, "the upload")  # type: ignore[misc]
        for _ in range(4):
            third = here.connect()
            push(third, head + b" " * 800_000)
            assert [answer.status for answer in answers(read_to_end(third))] == [503]
            assert under_way() <= 2 * 1_000_000 + server.serve.SHORT_BODY
        here.predictions()


def test_a_thread_that_cannot_be_started_does_not_end_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    release, waiting = threading.Event(), threading.Event()

    def application(environ, start_response):  # type: ignore[no-untyped-def]
        if environ["PATH_INFO"] == "/wait":
            waiting.set()
            release.wait(PATIENCE)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with hosted(application) as (one, thread), ExitStack() as stack:
        here = Town(one, stack)
        assert here.ask(post(b"")).status == 200
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        held = here.connect()
        held.sendall(post(b"", path="/wait"))
        assert waiting.wait(PATIENCE)
        wait_for(lambda: one._next_complaint, "the complaint")
        assert thread.is_alive()
        monkeypatch.undo()
        wait_for(lambda: here.ask(post(b"")).status == 200, "another thread to lead the loop")
        release.set()
        assert answers(read_to_end(held))[0].status == 200


def test_what_a_client_sent_is_repeated_in_parts_only(town: Server) -> None:
    with ExitStack() as stack:
        here, long = Town(town, stack), "Q" * 100_000
        for data in (
            infer(shape=[long]),
            infer(shape=[9] * 100_000),
            infer(datatype=long),
            infer(name=long),
            post(json.dumps({**ROW, long: 1}).encode(), JSON),
            post(json.dumps([1, long, "north"]).encode(), JSON),
            post(json.dumps({"features": ROW, "prediction": 1, "id": long}).encode(), JSON, path="/observe"),
            post(json.dumps({"features": ROW, "prediction": 1, "time": long}).encode(), JSON, path="/observe"),
            post(b"[1]", f"Content-Type: {long[:8000]}"),
            post(b"[1]", JSON, f"Content-Encoding: {long[:8000]}"),
            post(b"[1]", JSON, path=f"/v2/{long[:8000]}"),
        ):
            answer = here.ask(data)
            assert 400 <= answer.status < 500
            assert b"Q" * 201 not in answer.body
            assert len(answer.body) < 1500


def test_an_absolute_address_overrides_the_host(town: Server) -> None:
    with ExitStack() as stack:
        here = Town(town, stack)
        for target, host, status in (
            ("http://evil.example/", "localhost", 421),
            ("http://localhost/", "evil.example", 200),
            ("/", "evil.example", 421),
        ):
            request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            assert here.ask(request.encode()).status == status


def test_connections_are_a_quarter_of_the_descriptors() -> None:
    limit = connection_limit()
    assert 0 < 4 * limit <= max(4, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    assert limit <= server.serve.CONNECTIONS
