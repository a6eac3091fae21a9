"""The server around an application: slow clients, too many of them, slow answers, no descriptors, stopping."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import server.serve
from bench.running import PATIENCE, wait_for
from monitor.config.settings import ServerConfig
from server.serve import Server
from tests.server.hosted import hosted, running
from tests.server.wire import Answer, answers, closed_within, read_to_end


class World:
    """A server in this process, its application, and what that was asked to do."""

    server: Server
    thread: threading.Thread

    def __init__(self) -> None:
        self.release = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.refused: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server.effective_port)

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        if body == b"wait":
            self.waiting.release()
            self.release.wait(PATIENCE)
        if body == b"leave":
            raise SystemExit(3)
        big = b"x" * (32 << 20 if environ["PATH_INFO"] == "/big" else 2)
        start_response("200 OK", [("Content-Length", str(len(big)))])
        return [big]

    def send(self, body: bytes = b"", path: str = "/", close: bool = True, method: str = "POST") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + (b"Connection: close\r\n" if close else b"") + b"\r\n" + body)
        return connection

    def ask(self, body: bytes = b"", path: str = "/", method: str = "POST") -> Answer:
        with self.send(body, path, method=method) as connection:
            return answers(read_to_end(connection))[0]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with hosted(world.application, refused=world.refused.append) as (world.server, world.thread):
        yield world
        world.release.set()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines, and looks at them, of a fraction of a second."""
    monkeypatch.setattr(server.serve, "LOOK", 0.02)
    for name in ("DEADLINE", "IDLE", "LINGER", "RECENT"):
        monkeypatch.setattr(server.serve, name, 0.2)


def trickle(connection: socket.socket, byte: bytes, stop: threading.Event) -> None:
    try:
        while not stop.wait(0.05):
            connection.sendall(byte)
    except OSError:
        pass


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "start",
    [b"", b"POST / HTTP/1.1\r\nHost: x\r\nX: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"],
    ids=["nothing but silence", "trickling headers", "trickling body"],
)
def test_a_client_that_takes_too_long_to_send_is_closed_however_it_trickles(
    world: World, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, began = threading.Event(), time.monotonic()
    with socket.create_connection(("127.0.0.1", world.port)) as connection:
        connection.sendall(start)
        if start:
            threading.Thread(target=trickle, args=(connection, b"a", stop), daemon=True).start()
        closed_within(connection, PATIENCE)
        assert time.monotonic() - began >= server.serve.DEADLINE
        stop.set()
    monkeypatch.undo()
    assert world.ask().status == 200
    assert world.refused == (["too_slow"] if start else [])


@pytest.mark.usefixtures("hurried")
def test_a_client_that_does_not_read_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.serve, "DEADLINE", PATIENCE)
    with world.send(path="/big") as connection:
        wait_for(lambda: any(c.total_outbufs_len for c in list(world.server.active_channels.values())), "output")
        monkeypatch.setattr(server.serve, "DEADLINE", 0.2)
        wait_for(lambda: not world.server.active_channels, "the connection to be closed")
        assert len(read_to_end(connection)) < 32 << 20


def test_each_answer_has_a_deadline_of_its_own() -> None:
    world, now = World(), time.monotonic()
    world.server = Server(world.application, ServerConfig(host="127.0.0.1", port=0, threads=2, url="", max_body=100))
    with world.send(close=False) as connection:
        world.server.handle_accept()
        (channel,) = world.server.active_channels.values()
        for seconds in (0.0, 6.0, 12.0):  # as if a look came just before each of these answers is sent
            channel.handle_read()
            channel.service()
            assert channel.total_outbufs_len
            assert not channel.overdue(now + seconds)
            channel.handle_write()
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        channel.handle_close()
        world.server.close()


def test_an_answer_that_the_socket_does_not_take_at_once_arrives_whole(world: World) -> None:
    assert world.ask(path="/big").body == b"x" * (32 << 20)


@pytest.mark.usefixtures("hurried")
def test_an_idle_connection_is_closed(world: World) -> None:
    began = time.monotonic()
    with world.send(close=False) as connection:
        closed_within(connection, PATIENCE)
        assert time.monotonic() - began >= server.serve.IDLE


def test_a_client_that_asks_to_be_closed_is_told_that_it_will_be(world: World) -> None:
    assert "\r\nconnection: close" in world.ask().head


@pytest.mark.usefixtures("hurried")
def test_a_client_that_goes_on_after_a_refusal_can_read_it_and_is_closed(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\n" + b"x" * 100_000)
        assert answers(read_to_end(connection))[0].status == 413
        wait_for(lambda: not world.server.active_channels, "the connection to be closed")


def test_beyond_the_limit_of_connections_the_answer_is_503_at_once(world: World) -> None:
    world.server.adj.connection_limit = 3
    held = [world.send(b"wait") for _ in range(3)]
    for _ in held:
        assert world.waiting.acquire(timeout=PATIENCE)
    answer = world.ask()
    assert (answer.status, answer.error["code"]) == (503, "busy")
    assert "retry-after: 1" in answer.head
    world.release.set()
    for connection in held:
        assert answers(read_to_end(connection))[0].status == 200
        connection.close()
    wait_for(lambda: world.ask().status == 200, "room")
    assert "busy" in world.refused


@pytest.mark.usefixtures("hurried")
def test_an_idle_connection_makes_room_for_a_new_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.serve, "IDLE", 2 * PATIENCE)
    world.server.adj.connection_limit = 1
    with world.send(close=False) as idle:
        wait_for(lambda: world.ask().status == 200, "room")
        assert read_to_end(idle).startswith(b"HTTP/1.1 200 OK")


def test_more_requests_than_may_wait_are_answered_503(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[socket.socket] = []
    workers = world.server.task_dispatcher
    # One more than `threads` may have led the loop before they hung, so that a worker is left.
    while len(held) < 2 * world.server.adj.threads or workers.active_count < world.server.adj.threads:
        held.append(world.send(b"wait"))
        assert world.waiting.acquire(timeout=PATIENCE)
    monkeypatch.setattr(server.serve, "WAITING", 2)
    queued = [world.send() for _ in range(2)]
    wait_for(lambda: len(world.server.task_dispatcher.queue) == 2, "a full queue")
    assert world.ask().status == 503
    world.release.set()
    for connection in [*held, *queued]:
        with connection:
            assert answers(read_to_end(connection))[0].status == 200


def test_answers_that_hang_take_threads_and_never_the_server(world: World) -> None:
    held = [world.send(b"wait") for _ in range(2 * world.server.adj.threads)]
    for _ in held:
        assert world.waiting.acquire(timeout=PATIENCE)
    # Every thread for predictions hangs; whoever wants to know how things stand is answered all the same.
    assert world.ask(path="/healthz", method="GET").status == 200
    world.release.set()
    for connection in held:
        with connection:
            assert answers(read_to_end(connection))[0].status == 200
    wait_for(lambda: world.ask().status == 200, "predictions again")


def test_an_application_that_leaves_does_not_take_the_server_along(world: World) -> None:
    for _ in range(3):
        with world.send(b"leave") as connection:
            assert read_to_end(connection) == b""
        assert world.ask().status == 200


def test_stopping_finishes_what_is_under_way_and_takes_nothing_new(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.serve, "GRACE", PATIENCE)
    with world.send(b"wait") as held, world.send(close=False) as idle:
        assert world.waiting.acquire(timeout=PATIENCE)
        world.server.stop()
        assert closed_within(idle, PATIENCE) < server.serve.IDLE
        wait_for(lambda: refuses(world.port), "the door to be closed")
        world.release.set()
        assert answers(read_to_end(held))[0].status == 200
    world.thread.join(PATIENCE)
    assert not world.thread.is_alive()


def test_a_request_that_came_while_the_stopping_server_was_held_up_is_answered() -> None:
    world = World()
    world.server = Server(world.application, ServerConfig(host="127.0.0.1", port=0, threads=2, url="", max_body=100))
    with world.send() as connection:
        world.server.handle_accept()
        world.server.stop()
        world.server._wind_up(time.monotonic() + 2.0)
        with running(world.server):
            assert answers(read_to_end(connection))[0].status == 200


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_second_stop_does_not_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.serve, "GRACE", 2 * PATIENCE)
    with world.send(b"wait"):
        assert world.waiting.acquire(timeout=PATIENCE)
        world.server.stop()
        world.server.stop()
        world.thread.join(PATIENCE)
        assert not world.thread.is_alive()


def test_without_descriptors_it_waits_and_says_so_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = socket.socket()
    try:
        with socket.socket() as probe:
            lowest = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        began = time.process_time()
        client.connect(("127.0.0.1", world.port))
        wait_for(lambda: "no connection can be accepted" in caplog.text, "the complaint")
        turns = time.monotonic() + 1.5
        wait_for(lambda: time.monotonic() > turns, "the loop to turn")
        assert time.process_time() - began < 0.7
        assert caplog.text.count("no connection can be accepted") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    client.settimeout(PATIENCE)
    assert answers(read_to_end(client))[0].status == 200
    client.close()
