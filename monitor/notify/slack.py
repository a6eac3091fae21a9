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

from monitor.errors import ConfigError
from monitor.notify.http import Failure, Http, Reply, check_url
from monitor.notify.message import Message, title
from monitor.notify.picture import picture
from monitor.notify.retry import Decision, decide
from monitor.notify.secret import Secret
from monitor.notify.text import Block, Piece, cut, lay_out, plain

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
        """Send a picture: ask for an address, upload to it, and show the file in the channel."""
        drawn = picture(message)
        if isinstance(drawn, Decision):
            return drawn
        png, caption = drawn
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
        files = json.dumps([{"id": answer.get("file_id"), "title": caption.translate(_NO_ANGLES)}])
        shown = self._call("files.completeUploadExternal", {"files": files, "channel_id": self._channel})
        return decide(self.kind, shown, plain=True, now=now)

    def _call(self, method: str, fields: dict[str, str]) -> Reply | Failure:
        """Call a method of the Web API beside chat.postMessage."""
        url = Secret(f"{self._url.reveal().rpartition('/')[0]}/{method}")
        token = self._token.reveal() if self._token else ""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Bearer {token}"}
        return self._http.post(url, urlencode(fields).encode(), headers)


def render(message: Message, *, blocks: bool = True) -> dict[str, Any]:
    """Write a message as JSON; without blocks only its text, in which Slack reads no markup."""
    headline = cut(title(message), HEADER).translate(_NO_ANGLES)
    text = _escape(plain(message, headline, FALLBACK))
    body: dict[str, Any] = {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    if blocks:
        body["blocks"] = _blocks(message, headline)
    return body


def _blocks(message: Message, headline: str) -> list[dict[str, Any]]:
    laid = lay_out(message)
    sections = (laid.head, *laid.columns, laid.others(len(laid.columns)), laid.foot)
    header = {"type": "header", "text": {"type": "plain_text", "text": headline, "emoji": False}}
    return [header, *(_section(block) for block in sections if block)]


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
