"""Slack: an incoming webhook, or a bot's `chat.postMessage`; Block Kit with a plain-text fallback.

Limits (Slack's reference of blocks): header 150 characters, section text 3,000, 50 blocks, top-level text cut at
40,000 and recommended below 4,000. In mrkdwn only `&`, `<` and `>` are escaped; names go into code spans, where nothing
else is read, with their back-ticks replaced.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import urlencode

from monitor.notify.message import Message, title
from monitor.notify.text import Block, Piece, cut, lay_out, plain_text

HEADER, SECTION, FALLBACK = 150, 3000, 3500
POST_MESSAGE = "https://slack.com/api/chat.postMessage"

_NO_ANGLES = str.maketrans({"<": "‹", ">": "›", "&": "＆"})


def upload_request(png: bytes) -> bytes:
    """Form of `files.getUploadURLExternal`."""
    return urlencode({"filename": "drift.png", "length": str(len(png))}).encode()


def upload_done(file_id: object, caption: str, channel: str) -> bytes:
    """Form of `files.completeUploadExternal`, which shows a file in a channel."""
    files = json.dumps([{"id": file_id, "title": caption.translate(_NO_ANGLES)}])
    return urlencode({"files": files, "channel_id": channel}).encode()


def render(message: Message, *, blocks: bool = True) -> dict[str, Any]:
    """Write a message as JSON; without blocks only its text, in which Slack reads no markup."""
    headline = cut(title(message), HEADER).translate(_NO_ANGLES)
    text = _escape(plain_text(message, headline, FALLBACK))
    body: dict[str, Any] = {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    if blocks:
        laid = lay_out(message)
        sections = (laid.head, *laid.columns, laid.others(len(laid.columns)), laid.foot)
        header = {"type": "header", "text": {"type": "plain_text", "text": headline, "emoji": False}}
        body["blocks"] = [header, *(_section(block) for block in sections if block)]
    return body


def _section(block: Block) -> dict[str, Any]:
    """One section; the lines that do not fit are left out whole, so that no markup is cut."""
    text = ""
    for line in block:
        longer = text + "\n" * bool(text) + "".join(map(_piece, line))
        if len(longer) > SECTION:
            text += "…"[: SECTION - len(text)]
            break
        text = longer
    return {"type": "section", "text": {"type": "mrkdwn", "text": text or " ", "verbatim": True}}


def _piece(piece: Piece) -> str:
    text = piece.text
    match piece.style:
        case "code":
            return f"`{_escape(text).replace('`', 'ˋ')}`" if text.strip() else text
        case "bold":
            # Slack wants markup to touch its words.
            return text.replace(text.strip(), f"*{_plain(text.strip())}*")
        case "link":
            return f"<{_escape(text).replace('|', '%7C').replace(' ', '%20')}>"
        case _:
            return _plain(text)


def _plain(text: str) -> str:
    """Escape our own words. An invisible word joiner keeps a character from starting markup."""
    return re.sub(r"([*_~])", "\u2060\\1\u2060", _escape(text).replace("`", "ˋ"))


def _escape(text: str) -> str:
    return html.escape(text, quote=False)
