"""A message in the form of each provider: Slack, Telegram, a webhook, Alertmanager."""

from __future__ import annotations

import hashlib
import hmac
import html
import re
from typing import Any

from monitor.clock import iso
from monitor.notify.message import Entry, Message, against, around, column_address, commands, happened, title
from monitor.notify.secret import Secret
from monitor.notify.text import Block, Piece, cut, lay_out, plain_text, units, written

#: Characters of a headline; Slack's limits of a header and of a section, and what is recommended for the text.
HEADER, SECTION, FALLBACK = 150, 3000, 3500

#: Telegram's limit of a text, in UTF-16 units after its entities are parsed; this keeps to it before.
LIMIT = 4096

#: Counts the changes of a webhook's schema, which is in docs/alerts.md.
VERSION = 1
SIGNATURE, TIMESTAMP = "X-Telltale-Signature", "X-Telltale-Timestamp"

NO_ANGLES = str.maketrans({"<": "‹", ">": "›", "&": "＆"})


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def slack(message: Message, *, blocks: bool = True) -> dict[str, Any]:
    """Write a message in Block Kit with a plain text, in which Slack reads no markup; without blocks only that.

    In mrkdwn only `&`, `<` and `>` are escaped; names go into code spans, where nothing else is read, with their
    back-ticks replaced.
    """
    headline = cut(title(message), HEADER).translate(NO_ANGLES)
    text = _escape(plain_text(message, headline, FALLBACK, lambda text: len(_escape(text))))
    body: dict[str, Any] = {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    if blocks:
        laid = lay_out(message)
        sections = laid.blocks(len(laid.columns))
        header = {"type": "header", "text": {"type": "plain_text", "text": headline, "emoji": False}}
        body["blocks"] = [header, *(_section(block) for block in sections if block)]
    return body


def _section(block: Block) -> dict[str, Any]:
    """One section; the lines that do not fit are left out whole, so that no markup is cut."""
    text = ""
    for line in block:
        longer = text + "\n" * bool(text) + "".join(map(_mrkdwn, line))
        if len(longer) > SECTION:
            text += "…"[: SECTION - len(text)]
            break
        text = longer
    return {"type": "section", "text": {"type": "mrkdwn", "text": text or " ", "verbatim": True}}


def _mrkdwn(piece: Piece) -> str:
    text = _escape(piece.text)
    if piece.style in ("code", "name"):
        return f"`{text.replace('`', 'ˋ')}`" if text.strip() else text
    if piece.style == "link":
        return f"<{text.replace('|', '%7C').replace(' ', '%20')}>"
    # An invisible word joiner keeps a character of our own words from starting markup.
    text = re.sub(r"([*_~])", "\u2060\\1\u2060", text.replace("`", "ˋ"))
    # Slack wants markup to touch its words.
    return text.replace(text.strip(), f"*{text.strip()}*") if piece.style == "bold" else text


def telegram(message: Message, *, markup: bool = True) -> dict[str, Any]:
    """Write a message in HTML or plain text, without the chat.

    Only `&`, `<` and `>` are special. Names go into `<code>`, in which Telegram looks for no mention, tag or command.
    """
    quiet = {"link_preview_options": {"is_disabled": True}}
    headline = cut(title(message), HEADER)
    if not markup:
        return {"text": plain_text(message, headline, LIMIT, units), **quiet}
    text = written(message, f"<b>{_escape(headline)}</b>", LIMIT, units, _html)
    return {"text": text, "parse_mode": "HTML", **quiet}


def _html(piece: Piece) -> str:
    tag, text = {"bold": "b", "code": "code", "name": "code"}.get(piece.style), _escape(piece.text)
    return f"<{tag}>{text}</{tag}>" if tag and text.strip() else text


def webhook(message: Message) -> dict[str, Any]:
    """Write the whole message; the schema is in docs/alerts.md."""
    return {
        "version": VERSION,
        "kind": message.kind,
        "title": title(message),
        "text": plain_text(message, title(message), 4000),
        "severity": message.severity,
        "rule": message.group,
        "event_id": message.event_id,
        "at": iso(message.at),
        "model_version": message.model,
        "firing_since": iso(message.opened) if message.opened else None,
        "may_be_repeat": message.repeated,
        "delayed_seconds": message.delayed,
        "link": message.address or None,
        "silence": commands(message)[0][1] if message.firing else None,
        "guide": message.guide or None,
        "model": message.name or None,
        "answers": message.answers or None,
        "files": list(message.files),
        "lines": [f"{name}: {text}" if name else text for name, text in message.lines],
        "alerts": [_webhook_alert(item) for item in message.entries],
    }


def _webhook_alert(item: Entry) -> dict[str, Any]:
    same = ("column", "role", "severity", "event_id", "labels", "value", "threshold", "n", "m", "before", "after")
    texts = ("statistic", "direction", "change", "reason", "reference", "harm", "effect", "model")
    return {
        **{name: getattr(item, name) for name in (*same, "importance")},
        **{name: getattr(item, name) or None for name in texts},
        "state": "resolved" if item.status == "resolved" else "firing",
        "new": item.status == "new",
        "more_severe": item.status in ("more severe", "harmful"),
        "since": iso(item.since),
        "until": iso(item.until) if item.until is not None else None,
        "names": list(item.names),
        "window": {"start": iso(item.window[0]), "end": iso(item.window[1])} if item.window else None,
    }


def sign(key: Secret, timestamp: str, body: bytes) -> str:
    """Sign a webhook's body: `sha256=` and the hex HMAC-SHA256 of `TIMESTAMP.BODY`.

    >>> sign(Secret("a-shared-key"), "0", b"{}")[:20]
    'sha256=89b948452f659'
    """
    digest = hmac.new(key.reveal().encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def alertmanager(message: Message) -> list[dict[str, Any]]:
    """List all alerts for `POST /api/v2/alerts`.

    Alertmanager is level-triggered: a firing alert ends in the near future and is sent again before that, a resolved
    one has its end in the past. The labels are the identity of an alert, so replicas of one model become one alert.
    """
    if message.kind == "test":
        labels = {"alertname": "TelltaleTest", "severity": "info"}
        annotations = {"summary": " ".join(text for _, text in message.lines)}
        return [
            {"labels": labels, "annotations": annotations, "startsAt": iso(message.at), "endsAt": iso(message.at + 60)}
        ]
    return [_managed(item, message) for item in message.entries]


def _managed(item: Entry, message: Message) -> dict[str, Any]:
    # The labels are the alert's identity, and those of several models may be of one column.
    model = {"model": item.model} if message.several else {"model_version": message.model}
    own = {"column": item.column, "role": item.role, "severity": item.severity, **model}
    rows = f"{item.n:,} rows against {item.m:,} of {against(item.reference)}" if item.n else ""
    annotations = {
        "summary": happened([item], message.answers),
        "event_id": item.event_id,
        "reason": item.reason,
        "description": "; ".join(filter(None, [item.direction, item.explained, item.harm, rows])),
        "runbook_url": message.guide if message.link else "",
    }
    ends = item.until if item.until is not None else message.ends
    alert = {
        "labels": _filled({"alertname": "drift", **item.labels, **own}),
        "annotations": _filled(annotations),
        "startsAt": iso(item.since),
        "endsAt": ends and iso(ends),
        "generatorURL": around(column_address(message.home(item.model), item.role, item.column), item.event_id),
    }
    return _filled(alert)


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
