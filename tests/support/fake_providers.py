"""Fake providers: a real HTTP server on loopback that is as strict as Slack and Telegram, and as unreliable as told.

For tests and rehearsals: `FakeProvider` answers what a script says, else what the real one would; it refuses what the
real one would refuse, and keeps what was delivered.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from bench.running import PATIENCE
from tests.support.provider_rules import slack_problem, telegram_problem

Special = str  #: "hang", "trickle", "reset", "lost" (takes the message, then resets), "close"


@dataclass(frozen=True)
class Scripted:
    """One answer. `special` misbehaves on the socket instead; `keep` counts the message as delivered all the same."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    special: Special = ""
    keep: bool = False


@dataclass(frozen=True)
class Call:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        """Its body, parsed."""
        return json.loads(self.body)


class FakeProvider:
    """Answers Slack webhooks, `chat.postMessage`, Telegram's `sendMessage` and any other path as a plain webhook.

    `calls`: every request. `delivered`: the payloads that a person would have seen. `script`: answers to give first.
    `default`: when set, the answer to everything after the script. `refusals`: what strictness found wrong.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.calls: list[Call] = []
        self.delivered: list[Any] = []
        self.refusals: list[str] = []
        self.script: deque[Scripted] = deque()
        self.default: Scripted | None = None
        self.changed = threading.Condition()
        self.released = threading.Event()
        self._now = now
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                fake._answer(self)

            def do_GET(self) -> None:
                fake._answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass  # clients that give up are the point

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fake-provider")

    def start(self) -> FakeProvider:
        """Begin to listen."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop, and let hanging answers go."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, condition: Callable[[FakeProvider], bool], timeout: float = PATIENCE) -> bool:
        """Wait until something holds; False if it does not in time."""
        with self.changed:
            return self.changed.wait_for(lambda: condition(self), timeout)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        call = Call(handler.path, dict(handler.headers.items()), body, self._now())
        with self.changed:
            self.calls.append(call)
            scripted = self.script.popleft() if self.script else self.default
            if scripted is None:
                scripted = self._judge(call)
            elif scripted.keep or scripted.special == "lost":
                self.delivered.append(call.json)
            self.changed.notify_all()
        if scripted.special:
            self._misbehave(handler, scripted)
            return
        handler.send_response(scripted.status)
        for name, value in scripted.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(scripted.body)))
        handler.end_headers()
        handler.wfile.write(scripted.body)

    def _misbehave(self, handler: BaseHTTPRequestHandler, scripted: Scripted) -> None:
        handler.close_connection = True
        if scripted.special in ("reset", "lost"):
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        elif scripted.special == "hang":
            self.released.wait(PATIENCE)
        elif scripted.special == "trickle":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not self.released.wait(0.05):
                handler.wfile.write(b"x")

    def _judge(self, call: Call) -> Scripted:
        """Answer as the real service would."""
        if answer := self._picture(call):
            return answer
        try:
            data = call.json
        except ValueError:
            return Scripted(400, b"invalid_payload")
        if call.path.startswith("/services/") or call.path == "/api/chat.postMessage":
            problem = slack_problem(data)
            bot = call.path.startswith("/api")
            if problem:
                self.refusals.append(problem)
                error = json.dumps({"ok": False, "error": "invalid_blocks", "response_metadata": problem}).encode()
                return Scripted(200, error) if bot else Scripted(400, b"invalid_blocks")
            self.delivered.append(data)
            return Scripted(200, b'{"ok": true, "ts": "1.1"}' if bot else b"ok")
        if re.fullmatch(r"/bot[^/]+/sendMessage", call.path):
            problem = telegram_problem(data)
            if problem:
                self.refusals.append(problem)
                refusal = {"ok": False, "error_code": 400, "description": f"Bad Request: {problem}"}
                return Scripted(400, json.dumps(refusal).encode())
            self.delivered.append(data)
            return Scripted(200, b'{"ok": true, "result": {"message_id": 1}}')
        self.delivered.append(data)
        return Scripted(200, b"")

    def _picture(self, call: Call) -> Scripted | None:
        """Telegram's sendPhoto and sendDocument, and Slack's three steps of an upload."""
        png, page = b"\x89PNG\r\n", b"<!doctype html>"
        if call.path == "/api/files.getUploadURLExternal":
            place = {"ok": True, "upload_url": f"{self.url}/upload/v1/secret-place", "file_id": "F1"}
            return Scripted(200, json.dumps(place).encode())
        if call.path == "/upload/v1/secret-place":
            return Scripted(200, b"OK - 1") if call.body.startswith((png, page)) else Scripted(400, b"no file")
        if call.path == "/api/files.completeUploadExternal":
            self.delivered.append({"picture": dict(parse_qsl(call.body.decode()))})
            return Scripted(200, b'{"ok": true}')
        if re.fullmatch(r"/bot[^/]+/sendDocument", call.path):
            if page not in call.body or b'name="document"; filename="' not in call.body:
                return Scripted(400, b'{"ok": false, "error_code": 400, "description": "Bad Request: no document"}')
            self.delivered.append({"document": call.body.decode()})
            return Scripted(200, b'{"ok": true}')
        if re.fullmatch(r"/bot[^/]+/sendPhoto", call.path):
            if png not in call.body or b'name="chat_id"' not in call.body:
                return Scripted(400, b'{"ok": false, "error_code": 400, "description": "Bad Request: no photo"}')
            self.delivered.append({"picture": len(call.body)})
            return Scripted(200, b'{"ok": true}')
        return None


@contextmanager
def fake_provider() -> Iterator[FakeProvider]:
    """Run a fake provider for a while."""
    provider = FakeProvider().start()
    try:
        yield provider
    finally:
        provider.stop()
