"""A webhook: the whole message as signed JSON. The schema is in docs/alerts.md; VERSION counts its changes."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from monitor.clock import iso
from monitor.notify.message import Entry, Message, silence_command, title
from monitor.notify.secret import Secret
from monitor.notify.text import plain_text

VERSION = 1
SIGNATURE, TIMESTAMP = "X-Telltale-Signature", "X-Telltale-Timestamp"


def headers(event_id: str, key: Secret | None, timestamp: str, body: bytes) -> dict[str, str]:
    """Headers of a body, signed if there is a key."""
    out = {"Content-Type": "application/json", "X-Telltale-Event": event_id.encode("ascii", "replace").decode()}
    return out | {TIMESTAMP: timestamp, SIGNATURE: sign(key, timestamp, body)} if key else out


def sign(key: Secret, timestamp: str, body: bytes) -> str:
    """Sign a body: `sha256=` and the hex HMAC-SHA256 of `TIMESTAMP.BODY`.

    >>> sign(Secret("a-shared-key"), "0", b"{}")[:20]
    'sha256=89b948452f659'
    """
    digest = hmac.new(key.reveal().encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def render(message: Message) -> dict[str, Any]:
    """Write a message as a JSON document."""
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
        "silence": silence_command(message) if message.firing else None,
        "lines": [f"{name}: {said}" if name else said for name, said in message.lines],
        "alerts": [_alert(item) for item in message.entries],
    }


def _alert(item: Entry) -> dict[str, Any]:
    same = ("column", "role", "severity", "event_id", "labels", "value", "threshold", "n", "m", "before", "after")
    texts = ("statistic", "direction", "change", "reason", "reference")
    return {
        **{name: getattr(item, name) for name in same},
        **{name: getattr(item, name) or None for name in texts},
        "state": "resolved" if item.status == "resolved" else "firing",
        "new": item.status == "new",
        "since": iso(item.since),
        "until": iso(item.until) if item.until is not None else None,
        "names": list(item.names),
        "window": {"start": iso(item.window[0]), "end": iso(item.window[1])} if item.window else None,
    }
