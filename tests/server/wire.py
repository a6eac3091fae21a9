"""Raw HTTP over a socket, for what a well-behaved client library would not send."""

from __future__ import annotations

import json
import re
import socket
import time
from typing import Any, NamedTuple

from bench.running import PATIENCE, Client


class Answer(NamedTuple):
    """Status, head in lower case, and body of one answer; status 0 where the server closed without a word."""

    status: int
    head: str
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error object of the body."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


def connect(server: Client, seconds: float = PATIENCE) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=seconds)


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the server closes. Raises TimeoutError where it does not."""
    parts = []
    try:
        while part := connection.recv(1 << 20):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def answers(data: bytes) -> list[Answer]:
    """Split what came back into answers; each has a Content-Length."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        text = head.decode("latin-1").lower()
        length = re.search(r"content-length: (\d+)", text)
        size = int(length[1]) if length else 0
        found.append(Answer(int(text.split()[1]), text, rest[:size]))
        data = rest[size:]
    return found


def exchange(server: Client, data: bytes) -> list[Answer]:
    """Send bytes, say that no more will come, and return all answers."""
    with connect(server) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before the end: the answer is there all the same
        return answers(read_to_end(connection))


def post(body: bytes, *headers: str, path: str = "/", length: bool = True) -> bytes:
    """The bytes of a POST that asks for the connection to be closed."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


JSON = "Content-Type: application/json"


def closed_within(connection: socket.socket, seconds: float) -> float:
    """Seconds until the server closes the connection. Raises TimeoutError where it takes longer."""
    began = time.monotonic()
    connection.settimeout(seconds)
    read_to_end(connection)
    return time.monotonic() - began
