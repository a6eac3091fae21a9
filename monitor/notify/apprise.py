"""Apprise: a hundred other services, if the package `apprise` is installed.

It answers yes or no without a reason, so after a no Telltale tries again with its own backoff.
"""

from __future__ import annotations

import importlib
from typing import Any

from monitor.errors import ConfigError
from monitor.notify.message import Message, title
from monitor.notify.retry import Decision
from monitor.notify.secret import Secret
from monitor.notify.text import cut
from monitor.notify.text import plain as plain_text


class Apprise:
    """Sends through one Apprise address."""

    kind = "apprise"

    def __init__(self, url: Secret) -> None:
        try:
            module: Any = importlib.import_module("apprise")
        except ImportError:
            raise ConfigError(
                "a receiver of kind apprise needs the package apprise: pip install 'telltale[apprise]'"
            ) from None
        self._apprise = module.Apprise()
        if not self._apprise.add(url.reveal()):
            raise ConfigError("a receiver of kind apprise: Apprise does not understand its address")

    def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:  # noqa: ARG002 - one form only
        """Send the message as plain text; Apprise fits it to the service."""
        headline = cut(title(message), 150)
        try:
            sent = self._apprise.notify(body=plain_text(message, "", 3500).strip(), title=headline, body_format="text")
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the address
            return Decision("retry", f"Apprise failed ({type(error).__name__})", doubt=True)
        return Decision("sent", "Apprise says sent") if sent else Decision("retry", "Apprise says not sent")
