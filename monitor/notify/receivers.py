"""Build receivers from `[receivers.NAME]`: what speaks to each destination, and the test message that tries one."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from urllib3.filepost import encode_multipart_formdata

from monitor.clock import Clock
from monitor.config.load import Config
from monitor.config.settings import ReceiverConfig
from monitor.errors import ConfigError
from monitor.notify import bodies
from monitor.notify.http import Decision, Failure, Http, Reply, check_url, decide
from monitor.notify.message import Message, title
from monitor.notify.picture import picture
from monitor.notify.receiver import TRAITS, Limiter, Notifier, Receiver, Traits
from monitor.notify.secret import Secret, guard_logs, read_secret
from monitor.notify.text import cut, plain_text

T = TypeVar("T")

POST_MESSAGE = "https://slack.com/api/chat.postMessage"
ALERTS_PATH = "/api/v2/alerts"

_log = logging.getLogger("telltale.alerts")


@dataclass
class Poster:
    """Posts messages to one address, in the form of its kind.

    `token`: of a bot, or a webhook's signing key. `chat_id`: of Telegram or a channel of Slack; the sender sets it if a
    Telegram group has moved to a new id.
    """

    kind: str
    http: Http
    url: Secret
    token: Secret | None = None
    chat_id: str = ""

    def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:
        """Post the message, or its picture or file."""
        if message.kind in ("picture", "file"):
            return self._send_file(message, now)
        body: Any = bodies.webhook(message)
        headers = {"Content-Type": "application/json"}
        if self.kind == "alertmanager" and not (body := bodies.alertmanager(message)):
            return Decision("sent", "nothing to send")
        if self.kind in ("slack", "slack-bot"):
            body = bodies.slack(message, blocks=not plain)
        elif self.kind == "telegram":
            body = {"chat_id": self.chat_id, **bodies.telegram(message, markup=not plain)}
        if self.kind == "slack-bot":
            body["channel"] = self.chat_id
            headers = {"Content-Type": "application/json; charset=utf-8", **self._bearer}
        data = json.dumps(body).encode()
        if self.kind == "webhook":
            headers["X-Telltale-Event"] = message.event_id.encode("ascii", "replace").decode()
        if self.kind == "webhook" and self.token:
            stamp = str(int(now))
            headers |= {bodies.TIMESTAMP: stamp, bodies.SIGNATURE: bodies.sign(self.token, stamp, data)}
        return decide(TRAITS[self.kind], self.http.post(self.url, data, headers), plain=plain, now=now)

    @property
    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.reveal() if self.token else ''}"}

    def _send_file(self, message: Message, now: float) -> Decision:
        """Send the picture of a message, or the file of a report."""
        name, content_type, method, field = "drift.png", "image/png", "sendPhoto", "photo"
        if message.kind == "picture":
            drawn = picture(message)
            if isinstance(drawn, Decision):
                return drawn
            data, caption = drawn
        else:
            path, caption = Path(message.files[0]), cut(title(message), 150)
            name, content_type, method, field = path.name, "text/html", "sendDocument", "document"
            try:
                data = path.read_bytes()
            except OSError as error:
                return Decision("dead", f"the file cannot be read: {error.strerror}")
        if self.kind == "telegram":
            fields: dict[str, Any] = {"chat_id": self.chat_id, "caption": caption, field: (name, data, content_type)}
            body, form = encode_multipart_formdata(fields)
            return self._decide(self._call(method, body, {"Content-Type": form}), now)
        # Slack: ask for an address, upload to it, and show the file in the channel.
        asked = self._form("files.getUploadURLExternal", {"filename": name, "length": str(len(data))})
        decision = self._decide(asked, now)
        if decision.action != "sent" or not isinstance(asked, Reply):
            return decision
        answer = json.loads(asked.body)
        try:
            place = Secret(check_url(str(answer["upload_url"]), "the address that Slack gave"))
        except (KeyError, ConfigError):
            return Decision("dead", "Slack gave no address to upload to")
        put = decide(Traits(), self.http.post(place, data, {"Content-Type": "application/octet-stream"}), now=now)
        if put.action != "sent":
            return put
        files = json.dumps([{"id": answer.get("file_id"), "title": caption.translate(bodies.NO_ANGLES)}])
        shown = self._form("files.completeUploadExternal", {"files": files, "channel_id": self.chat_id})
        return self._decide(shown, now)

    def _form(self, method: str, fields: dict[str, str]) -> Reply | Failure:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self._bearer}
        return self._call(method, urlencode(fields).encode(), headers)

    def _call(self, method: str, body: bytes, headers: dict[str, str]) -> Reply | Failure:
        """Call a method beside the one that takes messages."""
        return self.http.post(Secret(f"{self.url.reveal().rpartition('/')[0]}/{method}"), body, headers)

    def _decide(self, answer: Reply | Failure, now: float) -> Decision:
        return decide(TRAITS[self.kind], answer, plain=True, now=now)


class Apprise:
    """Sends through one Apprise address to any of a hundred other services, if the package `apprise` is installed.

    It answers yes or no without a reason, so after a no Telltale tries again with its own backoff.
    """

    kind = "apprise"

    def __init__(self, url: Secret) -> None:
        try:
            module: Any = importlib.import_module("apprise")
        except ImportError:
            what = "a receiver of kind apprise needs the package apprise"
            raise ConfigError(f"{what}: pip install 'telltale[apprise]'") from None
        self._apprise = module.Apprise()
        if not self._apprise.add(url.reveal()):
            raise ConfigError("a receiver of kind apprise: Apprise does not understand its address")

    def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:  # noqa: ARG002 - one form only
        """Send the message as plain text with its files; Apprise fits it to the service."""
        text, files = plain_text(message, "", 3500).strip(), [file for file in message.files if Path(file).exists()]
        more = {"attach": files} if files else {}
        try:
            sent = self._apprise.notify(body=text, title=cut(title(message), 150), body_format="text", **more)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the address
            return Decision("retry", f"Apprise failed ({type(error).__name__})", doubt=True)
        return Decision("sent", "Apprise says sent") if sent else Decision("retry", "Apprise says not sent")


class Log:
    """Writes each message to the log `telltale.alerts`: warnings for what fires, infos for the rest."""

    kind = "log"

    def send(self, message: Message, *, plain: bool = False, now: float = 0.0) -> Decision:  # noqa: ARG002 - one form only
        """Write the message."""
        level = logging.WARNING if message.kind in ("firing", "update", "repeat") else logging.INFO
        _log.log(level, "%s", plain_text(message, title(message), 8000).replace("\n\n", "\n").replace("\n", "\n    "))
        return Decision("sent", "logged")


def build_receivers(
    config: Config, http: Http | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Receiver, ...]:
    """Build all receivers, and a log if none is configured, so that the terminal tells of every alert.

    Reads the secrets. Raises ConfigError that names receiver and key, never a secret.
    """
    guard_logs()
    http = http or Http()
    limiters: dict[tuple[str, str], Limiter] = {}
    built = []
    for item in config.receivers:
        (notifier, destination), traits = _make(item, http, environ), TRAITS[item.kind]
        limiter = limiters.setdefault((item.kind, destination), Limiter(*traits.rate))
        wanted = item.severities, tuple(sorted(item.match.items())), item.resolved
        pictures = traits.uploads and find_spec("matplotlib") is not None
        target = item.chat_id or item.channel
        built.append(Receiver(item.name, notifier, limiter, *wanted, target=target, pictures=pictures))
    if not any(receiver.kind == "log" for receiver in built):
        name = "log" if all(receiver.name != "log" for receiver in built) else "terminal"
        built.append(Receiver(name, Log(), Limiter(), everything=True))
    return tuple(built)


def _make(item: ReceiverConfig, http: Http, environ: Mapping[str, str] | None) -> tuple[Notifier, str]:
    """Make a receiver's notifier, and what names its destination among those of its kind."""
    where, kind = f"receivers.{item.name}", item.kind
    if kind == "log":
        return Log(), item.name

    def needed(value: T | None, keys: str) -> T:
        if not value:
            raise ConfigError(f"{where}: a receiver of kind {kind} needs {keys}")
        return value

    token, chat = None, ""
    if kind in ("slack-bot", "telegram", "webhook"):
        token = read_secret(f"{where}: token", env=item.token_env, file=item.token_file, environ=environ)
    if kind in ("slack-bot", "telegram"):
        token = needed(token, "token_env or token_file")
        chat = needed(item.chat_id, "chat_id") if kind == "telegram" else needed(item.channel, "channel")
    if kind == "telegram" and token:
        api = check_url(item.api_url, f"{where}: api_url")
        url = Secret(f"{api.rstrip('/')}/bot{token.reveal()}/sendMessage")
        return Poster(kind, http, url, None, chat), api + chat
    literal = item.url or (POST_MESSAGE if kind == "slack-bot" and not (item.url_env or item.url_file) else "")
    address = read_secret(f"{where}: url", literal=literal, env=item.url_env, file=item.url_file, environ=environ)
    url = needed(address, "url, url_env or url_file")
    if kind == "apprise":
        return Apprise(url), url.reveal()
    check_url(url.reveal(), f"{where}: url")
    if kind == "alertmanager":
        url = Secret(url.reveal().rstrip("/").removesuffix(ALERTS_PATH) + ALERTS_PATH)
    return Poster(kind, http, url, token, chat), url.reveal() + chat + (token.reveal() if token else "")


def try_receiver(receiver: Receiver, clock: Clock, link: str = "") -> Decision:
    """Send a test message past the outbox, which belongs to the process that serves; return the provider's answer."""
    lines = (("", "This tests the receiver only. It says nothing about your models."),)
    return send_now(receiver, Message("test", "", "info", "", clock.time(), lines=lines, link=link))


def send_now(receiver: Receiver, message: Message) -> Decision:
    """Send a message past the outbox, once, or a second time as plain text; return the provider's answer."""
    now = message.at
    decision = receiver.notifier.send(message, now=now)
    if decision.action == "plain":
        decision = receiver.notifier.send(message, plain=True, now=now)
    if decision.action == "migrate":
        moved = f"{decision.reason}; the chat is now {decision.chat}: put that into config.toml"
        decision = replace(decision, action="dead", reason=moved)
    return decision
