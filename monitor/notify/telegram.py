"""Telegram: a bot's `sendMessage`, in HTML, and `sendPhoto`.

A text holds 4,096 UTF-16 units after its entities are read; ours is kept below that before, which is stricter. Only
`&`, `<` and `>` are special. Names go into `<code>`, where Telegram looks for no @mention, #tag or /command.
"""

from __future__ import annotations

import html
import json
from typing import Any

from urllib3.filepost import encode_multipart_formdata

from monitor.notify.http import Http
from monitor.notify.message import Message, title
from monitor.notify.picture import caption, draw
from monitor.notify.retry import Decision, decide
from monitor.notify.secret import Secret
from monitor.notify.text import Block, Piece, cut, fitted, lay_out, units
from monitor.notify.text import plain as plain_text

LIMIT = 4096


class Telegram:
    """Sends to one chat. A group that was moved goes on under its new id, for which `moved` is called."""

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
        try:
            photo = draw(message)
        except Exception as error:  # noqa: BLE001 - drawing is another library's, and only an extra
            return Decision("dead", f"the picture could not be drawn ({type(error).__name__})")
        fields: dict[str, str | tuple[str, bytes, str]] = {
            "chat_id": self.chat_id,
            "caption": caption(message),
            "photo": ("drift.png", photo, "image/png"),
        }
        body, content_type = encode_multipart_formdata(fields)
        return decide(self.kind, self._http.post(self._photos, body, {"Content-Type": content_type}), now=now)


def render(message: Message, *, markup: bool = True) -> dict[str, Any]:
    """The JSON of a message, without the chat."""
    quiet = {"link_preview_options": {"is_disabled": True}}
    if not markup:
        return {"text": plain_text(message, cut(title(message), 200), LIMIT, units), **quiet}
    return {"text": _html(message), "parse_mode": "HTML", **quiet}


def _html(message: Message) -> str:
    headline = f"<b>{html.escape(cut(title(message), 200), quote=False)}</b>"

    def text(blocks: tuple[Block, ...]) -> str:
        head, *others = map(_block, blocks)
        return "\n\n".join(part for part in (f"{headline}\n{head}".strip(), *others) if part)

    return text(fitted(lay_out(message), lambda blocks: units(text(blocks)) <= LIMIT))


def _block(block: Block) -> str:
    return "\n".join("".join(map(_piece, line)) for line in block)


def _piece(piece: Piece) -> str:
    text = html.escape(piece.text, quote=False)
    match piece.style:
        case "code":
            return f"<code>{text}</code>" if piece.text.strip() else piece.text
        case "bold":
            return f"<b>{text}</b>"
        case _:
            return text
