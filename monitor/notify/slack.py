"""Slack: an incoming webhook, or a bot's `chat.postMessage`; Block Kit with a plain-text fallback.

Limits (Slack's reference of blocks): header 150 characters, section text 3,000, 50 blocks, top-level text cut at
40,000 and recommended below 4,000. In mrkdwn only `&`, `<` and `>` are escaped; names go into code spans, where nothing
else is read, with their back-ticks replaced.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from monitor.errors import ConfigError
from monitor.notify.http import Failure, Http, Reply, check_url
from monitor.notify.message import Message, title
from monitor.notify.picture import caption, draw
from monitor.notify.retry import Decision, decide
from monitor.notify.secret import Secret
from monitor.notify.text import Block, Line, Piece, cut, lay_out, plain, plain_line

HEADER, SECTION, FALLBACK = 150, 3000, 3500
POST_MESSAGE = "https://slack.com/api/chat.postMessage"

_NO_ANGLES = str.maketrans({"<": "‹", ">": "›", "&": "＆"})


class Slack:
    """Sends to one webhook, or with `token` to one channel."""

    def __init__(self, http: Http, url: Secret, token: Secret | None = None, channel: str = "") -> None:
        self.kind = "slack-bot" if token else "slack"
        self._http, self._url, self._token, self._channel = http, url, token, channel

    def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:
        """Post the message, with blocks unless `plain`."""
        if message.kind == "picture":
            return self._upload(message, now)
        body = render(message, blocks=not plain)
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if self._token:
            body["channel"] = self._channel
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        answer = self._http.post(self._url, json.dumps(body).encode(), headers)
        return decide(self.kind, answer, plain=plain, now=now)

    def _upload(self, message: Message, now: float) -> Decision:
        """Send a picture: ask where to put it, put it there, and have it shown in the channel."""
        try:
            png = draw(message)
        except Exception as error:  # noqa: BLE001 - drawing is another library's, and only an extra
            return Decision("dead", f"the picture could not be drawn ({type(error).__name__})")
        asked = self._call("files.getUploadURLExternal", {"filename": "drift.png", "length": str(len(png))})
        decision = decide(self.kind, asked, plain=True, now=now)
        if decision.action != "sent" or not isinstance(asked, Reply):
            return decision
        answer = json.loads(asked.body)
        try:
            place = Secret(check_url(str(answer["upload_url"]), "the address that Slack gave"))
        except (KeyError, ConfigError):
            return Decision("dead", "Slack gave no address to upload to")
        put = decide("webhook", self._http.post(place, png, {"Content-Type": "application/octet-stream"}), now=now)
        if put.action != "sent":
            return put
        files = json.dumps([{"id": answer.get("file_id"), "title": caption(message).translate(_NO_ANGLES)}])
        shown = self._call("files.completeUploadExternal", {"files": files, "channel_id": self._channel})
        return decide(self.kind, shown, plain=True, now=now)

    def _call(self, method: str, fields: dict[str, str]) -> Reply | Failure:
        """Call a method of the Web API beside chat.postMessage."""
        url = Secret(f"{self._url.reveal().rpartition('/')[0]}/{method}")
        token = self._token.reveal() if self._token else ""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Bearer {token}"}
        return self._http.post(url, urlencode(fields).encode(), headers)


def render(message: Message, *, blocks: bool = True) -> dict[str, Any]:
    """The JSON of a message; without blocks only its text, of which Slack reads nothing as markup."""
    headline = cut(title(message), HEADER).translate(_NO_ANGLES)
    text = _escape(plain(message, headline, FALLBACK))
    body: dict[str, Any] = {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    if blocks:
        body["blocks"] = _blocks(message, headline)
    return body


def _blocks(message: Message, headline: str) -> list[dict[str, Any]]:
    laid = lay_out(message)
    out: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": headline, "emoji": False}},
    ]
    out += [_section(laid.head)] if laid.head else []
    out += [_section(block) for block in laid.columns]
    others = laid.others(len(laid.columns))
    out += [_section(others)] if others else []
    out += [_section(laid.foot)] if laid.foot else []
    return out


def _section(block: Block) -> dict[str, Any]:
    """One section; a line that does not fit any more is left out whole, so that no markup is cut."""
    text = ""
    for line in block:
        longer = text + "\n" * bool(text) + _line(line)
        if len(longer) > SECTION:
            text += "…"[: SECTION - len(text)]
            break
        text = longer
    return {"type": "section", "text": {"type": "mrkdwn", "text": text or " ", "verbatim": True}}


def _line(line: Line) -> str:
    return "".join(map(_piece, line))


def _piece(piece: Piece) -> str:
    match piece.style:
        case "code":
            return f"`{_escape(piece.text).replace('`', 'ˋ')}`" if piece.text.strip() else plain_line((piece,))
        case "bold":
            return f"*{_plain(piece.text.strip())}*".join(_around(piece.text))
        case "link":
            return f"<{_escape(piece.text).replace('|', '%7C').replace(' ', '%20')}>"
        case _:
            return _plain(piece.text)


def _plain(text: str) -> str:
    """Escape our own words. A character that could start markup is kept from it by an invisible word joiner."""
    return re.sub(r"([*_~])", "\u2060\\1\u2060", _escape(text).replace("`", "ˋ"))


def _around(text: str) -> tuple[str, str]:
    """The blanks before and after a text: Slack wants markup to touch its words."""
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
