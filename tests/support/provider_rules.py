"""What Slack and Telegram would refuse, or read as more than text: the judges behind the fake providers."""

from __future__ import annotations

import html.parser
import re
from typing import Any

_ENTITY = re.compile(r"&(?!(?:amp|lt|gt);)")
_CONTROL = re.compile(r"<(?!(?:https?://|mailto:)[^\s<>|]*(?:\|[^<>]*)?>)")


def slack_problem(data: Any) -> str:
    """What Slack would refuse in a payload, or would read as a mention or markup that we never write; empty if none."""
    if not isinstance(data, dict) or not isinstance(data.get("text"), str) or not data["text"].strip():
        return "no_text"
    if len(data["text"]) > 40_000:
        return "msg_too_long"
    found = [_mrkdwn_problem(data["text"], formatted=data.get("mrkdwn") is not False)]
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


def _mrkdwn_problem(text: str, formatted: bool = True) -> str:
    if _ENTITY.search(text):
        return "a bare &"
    if control := _CONTROL.search(text):
        return f"a control sequence: {text[control.start() : control.start() + 20]}"
    if re.search(r"<(?!http)", text):
        return "a mention"
    for line in text.split("\n"):
        if formatted and line.count("`") % 2:
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
