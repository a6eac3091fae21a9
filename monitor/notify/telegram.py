"""Telegram: a bot's `sendMessage`, in HTML, and `sendPhoto`.

A text may have 4,096 UTF-16 units after its entities are parsed; this keeps to it before, which is stricter. Only `&`,
`<` and `>` are special. Names go into `<code>`, in which Telegram looks for no @mention, #tag or /command.
"""

from __future__ import annotations

import html
from typing import Any

from urllib3.filepost import encode_multipart_formdata

from monitor.notify.message import Message, title
from monitor.notify.secret import Secret
from monitor.notify.text import Piece, cut, plain_text, units, written

LIMIT = 4096


def address(api: str, token: Secret) -> Secret:
    """Address of the method that takes messages."""
    return Secret(f"{api.rstrip('/')}/bot{token.reveal()}/sendMessage")


def photo(chat_id: str, png: bytes, caption: str) -> tuple[bytes, str]:
    """Body of `sendPhoto`, and its content type."""
    return encode_multipart_formdata({"chat_id": chat_id, "caption": caption, "photo": ("drift.png", png, "image/png")})


def render(message: Message, *, markup: bool = True) -> dict[str, Any]:
    """Write a message as JSON, without the chat."""
    quiet = {"link_preview_options": {"is_disabled": True}}
    headline = cut(title(message), 200)
    if not markup:
        return {"text": plain_text(message, headline, LIMIT, units), **quiet}
    text = written(message, f"<b>{_escape(headline)}</b>", LIMIT, units, _piece)
    return {"text": text, "parse_mode": "HTML", **quiet}


def _piece(piece: Piece) -> str:
    tag = {"bold": "b", "code": "code"}.get(piece.style)
    text = _escape(piece.text)
    return f"<{tag}>{text}</{tag}>" if tag and text.strip() else text


def _escape(text: str) -> str:
    return html.escape(text, quote=False)
