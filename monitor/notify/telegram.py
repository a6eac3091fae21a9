"""Telegram: a bot's `sendMessage`, in HTML, and `sendPhoto`.

A text may have 4,096 UTF-16 units after its entities are parsed; this keeps to it before, which is stricter. Only `&`,
`<` and `>` are special. Names go into `<code>`, in which Telegram looks for no @mention, #tag or /command.
"""

from __future__ import annotations

import html
import json
from typing import Any

from urllib3.filepost import encode_multipart_formdata

from monitor.notify.http import Http
from monitor.notify.message import Message, title
from monitor.notify.picture import picture
from monitor.notify.retry import Decision, decide
from monitor.notify.secret import Secret
from monitor.notify.text import Block, Piece, cut, fitted, joined, lay_out, units
from monitor.notify.text import plain as plain_text

LIMIT = 4096


class Telegram:
    """Sends to one chat. The sender sets `chat_id` if the group has moved to a new id."""

    kind = "telegram"

    def __init__(self, http: Http, token: Secret, chat_id: str, api_url: str = "https://api.telegram.org") -> None:
        self._http = http
        self.chat_id = chat_id
        base = f"{api_url.rstrip('/')}/bot{token.reveal()}"
        self._url, self._photos = Secret(f"{base}/sendMessage"), Secret(f"{base}/sendPhoto")

    def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:
        """Post the message, as HTML unless `plain`."""
        if message.kind == "picture":
            return self._send_photo(message, now)
        body = {"chat_id": self.chat_id, **render(message, markup=not plain)}
        answer = self._http.post(self._url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return decide(self.kind, answer, plain=plain, now=now)

    def _send_photo(self, message: Message, now: float) -> Decision:
        drawn = picture(message)
        if isinstance(drawn, Decision):
            return drawn
        photo = ("drift.png", drawn[0], "image/png")
        fields: dict[str, Any] = {"chat_id": self.chat_id, "caption": drawn[1], "photo": photo}
        body, content_type = encode_multipart_formdata(fields)
        return decide(self.kind, self._http.post(self._photos, body, {"Content-Type": content_type}), now=now)


def render(message: Message, *, markup: bool = True) -> dict[str, Any]:
    """Write a message as JSON, without the chat."""
    quiet = {"link_preview_options": {"is_disabled": True}}
    if not markup:
        return {"text": plain_text(message, cut(title(message), 200), LIMIT, units), **quiet}
    return {"text": _html(message), "parse_mode": "HTML", **quiet}


def _html(message: Message) -> str:
    headline = f"<b>{html.escape(cut(title(message), 200), quote=False)}</b>"

    def text(blocks: tuple[Block, ...]) -> str:
        return joined(headline, blocks, _piece)

    return text(fitted(lay_out(message), lambda blocks: units(text(blocks)) <= LIMIT))


def _piece(piece: Piece) -> str:
    text = html.escape(piece.text, quote=False)
    match piece.style:
        case "code":
            return f"<code>{text}</code>" if piece.text.strip() else piece.text
        case "bold":
            return f"<b>{text}</b>"
        case _:
            return text
