"""One port for all replicas: every request goes to the next one, and those that are down are passed over."""

from __future__ import annotations

import asyncio
import runpy
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.running import PATIENCE

BALANCE = runpy.run_path(str(Path(__file__).parents[2] / "compose/balance.py"))
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


class Replica(BaseHTTPRequestHandler):
    """Answers its own address and the length of what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        body = f"{self.server.server_address[0]!r} {size}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


async def ended(loop: asyncio.AbstractEventLoop) -> None:
    """End what still passes bytes on: the client may have its answer before the balancer has closed the connection."""
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # the connections that they have closed


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the balancer listens; the third replica is down."""
    servers = [ThreadingHTTPServer((ADDRESSES[0], 0), Replica)]
    port = servers[0].server_address[1]
    servers.append(ThreadingHTTPServer((ADDRESSES[1], port), Replica))
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        if host == "nobody":
            raise socket.gaierror("no such host")
        names = ADDRESSES if host == "app" else [host]
        return [found for name in names for found in known(name, *rest, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    loop = asyncio.new_event_loop()
    listening = {name: loop.run_until_complete(BALANCE["listen"](0, name, port)) for name in ("app", "nobody")}
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    app, nobody = (listening[name].sockets[0].getsockname()[1] for name in ("app", "nobody"))
    yield f"http://127.0.0.1:{app} http://127.0.0.1:{nobody}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    for listener in listening.values():
        listener.close()
    loop.run_until_complete(ended(loop))
    loop.close()
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_client_that_keeps_its_connection_reaches_all_replicas_in_turn(address: str) -> None:
    app, nobody = address.split()
    sizes = (0, 10, 3_000_000, 5, 5, 5)
    with requests.Session() as session:
        answers = [session.post(app, data=b"x" * size, timeout=PATIENCE).text.split() for size in sizes]
    assert [int(size) for _, size in answers] == list(sizes)
    assert {where for where, _ in answers} == {"'127.0.0.2'", "'127.0.0.3'"}
    assert requests.post(nobody, data=b"x", timeout=PATIENCE).status_code == 503
