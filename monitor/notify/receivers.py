"""Build receivers from `[receivers.NAME]`, and send the test message that tries one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import TypeVar

from monitor.clock import Clock, SystemClock
from monitor.config.load import Config
from monitor.config.settings import ReceiverConfig
from monitor.errors import ConfigError
from monitor.notify.alertmanager import Alertmanager
from monitor.notify.apprise import Apprise
from monitor.notify.http import Http, check_url
from monitor.notify.log import Log
from monitor.notify.message import Message
from monitor.notify.plan import Policy
from monitor.notify.receiver import Limiter, Notifier, Receiver
from monitor.notify.retry import Decision
from monitor.notify.secret import Secret, guard_logs, read_secret
from monitor.notify.slack import POST_MESSAGE, Slack
from monitor.notify.telegram import Telegram
from monitor.notify.webhook import Webhook

T = TypeVar("T")


def build_receivers(
    config: Config, http: Http | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Receiver, ...]:
    """Build all receivers, and a log if none is configured, so that the terminal tells of every alert.

    Reads the secrets. Raises ConfigError that names receiver and key, never a secret.
    """
    guard_logs()
    http = http or Http()
    limiters: dict[tuple[str, str], Limiter] = {}
    built = [_build(item, http, limiters, environ) for item in config.receivers]
    if not any(receiver.kind == "log" for receiver in built):
        name = "log" if all(receiver.name != "log" for receiver in built) else "terminal"
        built.append(Receiver(name, Log(), Limiter(), everything=True))
    return tuple(built)


def policy(config: Config) -> Policy:
    """Say when messages are due. Changes of a group are gathered over five evaluations, at most five minutes."""
    every = config.drift.every
    return Policy(config.alerts.repeat, config.alerts.group_wait, min(300.0, 5 * every), max(60.0, every))


def test_alert(receiver: Receiver, link: str = "", clock: Clock | None = None) -> Decision:  # noqa: PT028 - no test
    """Send a test message past the outbox, which belongs to the process that serves; return the provider's answer."""
    now = (clock or SystemClock()).time()
    lines = (("", "A test by python -m monitor test-alert. Nothing has drifted."),)
    message = Message("test", "", "info", "", now, lines=lines, link=link)
    decision = receiver.notifier.send(message, now=now)
    if decision.action == "plain":
        decision = receiver.notifier.send(message, plain=True, now=now)
    if decision.action == "migrate":
        moved = f"{decision.reason}; the chat is now {decision.chat}: put that into config.toml"
        decision = replace(decision, action="dead", reason=moved)
    return decision


test_alert.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest thinks of its name


def _build(
    item: ReceiverConfig, http: Http, limiters: dict[tuple[str, str], Limiter], environ: Mapping[str, str] | None
) -> Receiver:
    notifier, limiter, destination = _make(item, http, environ)
    return Receiver(
        item.name,
        notifier,
        limiters.setdefault((item.kind, destination), limiter),
        item.severities,
        tuple(sorted(item.match.items())),
        item.resolved,
        target=item.chat_id or item.channel,
        pictures=item.kind in ("telegram", "slack-bot") and find_spec("matplotlib") is not None,
    )


def _make(item: ReceiverConfig, http: Http, environ: Mapping[str, str] | None) -> tuple[Notifier, Limiter, str]:
    """Make a receiver's notifier, the limiter of its destination, and what names that destination."""
    where = f"receivers.{item.name}"

    def needed(value: T | None, keys: str) -> T:
        if not value:
            raise ConfigError(f"{where}: a receiver of kind {item.kind} needs {keys}")
        return value

    def url() -> Secret:
        given = read_secret(f"{where}: url", literal=item.url, env=item.url_env, file=item.url_file, environ=environ)
        if given and item.kind != "apprise":
            check_url(given.reveal(), f"{where}: url")
        return needed(given, "url, url_env or url_file")

    def token() -> Secret | None:
        return read_secret(f"{where}: token", env=item.token_env, file=item.token_file, environ=environ)

    match item.kind:
        case "slack":
            address = url()
            return Slack(http, address), Limiter(gap=1.0), address.reveal()
        case "slack-bot":
            bot, channel = needed(token(), "token_env or token_file"), needed(item.channel, "channel")
            address = url() if item.url or item.url_env or item.url_file else Secret(POST_MESSAGE)
            return Slack(http, address, bot, channel), Limiter(gap=1.0), bot.reveal() + channel
        case "telegram":
            bot, chat = needed(token(), "token_env or token_file"), needed(item.chat_id, "chat_id")
            api = check_url(item.api_url, f"{where}: api_url")
            return Telegram(http, bot, chat, api), Limiter(gap=1.0, burst=20, per=60.0), api + chat
        case "webhook":
            address = url()
            return Webhook(http, address, token()), Limiter(), address.reveal()
        case "alertmanager":
            address = url()
            return Alertmanager(http, address), Limiter(), address.reveal()
        case "apprise":
            address = url()
            return Apprise(address), Limiter(gap=1.0), address.reveal()
        case _:
            return Log(), Limiter(), item.name
