"""The log: messages as plain text in the terminal, also without any configured receiver."""

from __future__ import annotations

import logging

from monitor.notify.message import Message, title
from monitor.notify.retry import Decision
from monitor.notify.text import plain as plain_text

_log = logging.getLogger("telltale.alerts")


class Log:
    """Writes each message to the log `telltale.alerts`: warnings for what fires, infos for the rest."""

    kind = "log"

    def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:  # noqa: ARG002 - one form only
        """Write the message."""
        level = logging.WARNING if message.kind in ("firing", "update", "repeat") else logging.INFO
        _log.log(level, "%s", plain_text(message, title(message), 8000).replace("\n\n", "\n").replace("\n", "\n    "))
        return Decision("sent", "logged")
