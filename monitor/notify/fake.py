"""Fake providers: a real HTTP server on loopback that is as strict as Slack and Telegram, and as unreliable as told.

For tests and rehearsals: `FakeProvider` answers what a script says, else what the real one would; it refuses what the
real one would refuse, and keeps what was delivered.
"""

from __future__ import annotations

import html.parser
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

    def wait_for(self, condition: Callable[[FakeProvider], bool], timeout: float = 10.0) -> bool:
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
            self.released.wait(30)
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
        if match := re.fullmatch(r"/bot([^/]+)/sendMessage", call.path):
            del match
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
        """Telegram's sendPhoto and Slack's three steps of an upload."""
        png = b"\x89PNG\r\n"
        if call.path == "/api/files.getUploadURLExternal":
            place = {"ok": True, "upload_url": f"{self.url}/upload/v1/secret-place", "file_id": "F1"}
            return Scripted(200, json.dumps(place).encode())
        if call.path == "/upload/v1/secret-place":
            return Scripted(200, b"OK - 1") if call.body.startswith(png) else Scripted(400, b"not a picture")
        if call.path == "/api/files.completeUploadExternal":
            self.delivered.append({"picture": dict(parse_qsl(call.body.decode()))})
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


_ENTITY = re.compile(r"&(?!(?:amp|lt|gt);)")
_CONTROL = re.compile(r"<(?!(?:https?://|mailto:)[^\s<>|]*(?:\|[^<>]*)?>)")


def slack_problem(data: Any) -> str:
    """What Slack would refuse in a payload, or would read as a mention or markup that we never write; empty if none."""
    if not isinstance(data, dict) or not isinstance(data.get("text"), str) or not data["text"].strip():
        return "no_text"
    if len(data["text"]) > 40_000:
        return "msg_too_long"
    found = [_mrkdwn_problem(data["text"])]
    blocks = data.get("blocks", [])
    if not isinstance(blocks, list) or len(blocks) > 50:
        return "no more than 50 blocks"
    for block in blocks:
        text = block.get("text", {})
        match block.get("type"):
            case "header":
                good = text.get("type") == "plain_text" and 0 < len(text.get("text", "")) <= 150
                found.append("" if good else "header: plain_text of 1 to 150 characters")
                found.append("header with <" if "<" in text.get("text", "") else "")
            case "section":
                good = text.get("type") in ("mrkdwn", "plain_text") and 0 < len(text.get("text", "")) <= 3000
                found.append("" if good else "section: text of 1 to 3000 characters")
                found.append(_mrkdwn_problem(text.get("text", "")))
                found.append("" if text.get("verbatim") else "names are turned into mentions without verbatim")
            case _:
                found.append(f"unknown block {block.get('type')!r}")
    return next((problem for problem in found if problem), "")


def _mrkdwn_problem(text: str) -> str:
    if _ENTITY.search(text):
        return "a bare &"
    if control := _CONTROL.search(text):
        return f"a control sequence: {text[control.start() : control.start() + 20]}"
    if re.search(r"<(?!http)", text):
        return "a mention"
    for line in text.split("\n"):
        if line.count("`") % 2:
            return f"an open code span: {line[:60]}"
    return ""


_TAGS = {"b", "strong", "i", "em", "u", "s", "code", "pre", "a", "tg-spoiler", "blockquote"}


class _Entities(html.parser.HTMLParser):
    """Telegram's HTML: known tags, properly nested; keeps the visible text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.problem = ""
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            self.problem = self.problem or f'can\'t parse entities: Unsupported start tag "{tag}"'
        del attrs
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problem = self.problem or f'can\'t parse entities: Unexpected end tag "{tag}"'

    def handle_data(self, data: str) -> None:
        if "<" in data or "&" in data:
            self.problem = self.problem or "can't parse entities: Unclosed start tag"
        self.text += data

    def handle_entityref(self, name: str) -> None:
        if name not in ("lt", "gt", "amp", "quot"):
            self.problem = self.problem or f"can't parse entities: unknown entity &{name};"
        self.text += "x"

    def handle_charref(self, name: str) -> None:
        del name
        self.text += "x"

    def handle_comment(self, data: str) -> None:
        self.problem = self.problem or f"can't parse entities: comment {data[:20]!r}"

    def handle_decl(self, decl: str) -> None:
        self.problem = self.problem or f"can't parse entities: {decl[:20]!r}"


def telegram_problem(data: Any) -> str:
    """What Telegram would refuse in a `sendMessage`; empty if nothing."""
    if not isinstance(data, dict) or not isinstance(data.get("text"), str) or not data["text"].strip():
        return "message text is empty"
    if not data.get("chat_id"):
        return "chat_id is empty"
    text = data["text"]
    if data.get("parse_mode") == "HTML":
        parser = _Entities()
        parser.feed(text)
        parser.close()
        if parser.problem or parser.open:
            return parser.problem or f"can't parse entities: Can't find end tag corresponding to {parser.open[-1]}"
        text = parser.text
    if len(text.encode("utf-16-le", "surrogatepass")) // 2 > 4096:
        return "message is too long"
    return ""
