"""From `[receivers.NAME]` to receivers that can be written to, and the test message that tries one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from monitor.clock import Clock, SystemClock
from monitor.config.load import Config, ReceiverConfig
from monitor.errors import ConfigError
from monitor.notify.alertmanager import Alertmanager
from monitor.notify.apprise import Apprise
from monitor.notify.http import Http, check_url
from monitor.notify.log import Log
from monitor.notify.message import Message
from monitor.notify.picture import available
from monitor.notify.plan import Policy
from monitor.notify.receiver import Limiter, Notifier, Receiver
from monitor.notify.retry import Decision
from monitor.notify.secret import Secret, guard_logs, read_secret
from monitor.notify.slack import POST_MESSAGE, Slack
from monitor.notify.telegram import Telegram
from monitor.notify.webhook import Webhook


def build_receivers(
    config: Config, http: Http | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Receiver, ...]:
    """Build all receivers; a log is always among them, so that the terminal tells what the others are told.

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
    """When messages are due. Changes of a group are gathered over five evaluations, at most five minutes."""
    every = config.drift.every
    return Policy(config.alerts.repeat, config.alerts.group_wait, min(300.0, 5 * every), max(60.0, every))


def test_alert(receiver: Receiver, link: str = "", clock: Clock | None = None) -> Decision:  # noqa: PT028 - no test
    """Send a marked test message through the receiver itself, at once, and return what the provider answered.

    It goes past the outbox: the outbox belongs to the process that serves.
    """
    now = (clock or SystemClock()).time()
    lines = (("", "Someone ran python -m monitor test-alert. Nothing has drifted."),)
    message = Message("test", "", "info", "", now, lines=lines, link=link)
    decision = receiver.notifier.send(message, now=now)
    if decision.action == "plain":
        decision = receiver.notifier.send(message, plain=True, now=now)
    if decision.action == "migrate":
        moved = f"{decision.reason}; the chat is now {decision.chat}: put that into config.toml"
        decision = replace(decision, action="dead", reason=moved)
    return decision


test_alert.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest thinks of its name


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads what one receiver needs, and says what is missing."""

    item: ReceiverConfig
    environ: Mapping[str, str] | None

    @property
    def where(self) -> str:
        return f"receivers.{self.item.name}"

    def url(self, *, web: bool = True) -> Secret:
        item = self.item
        given = read_secret(
            f"{self.where}: url", literal=item.url, env=item.url_env, file=item.url_file, environ=self.environ
        )
        if given is None:
            raise self.needs("url, url_env or url_file")
        if web:
            check_url(given.reveal(), f"{self.where}: url")
        return given

    def token(self) -> Secret:
        found = self.optional_token()
        if found is None:
            raise self.needs("token_env or token_file")
        return found

    def optional_token(self) -> Secret | None:
        item = self.item
        return read_secret(f"{self.where}: token", env=item.token_env, file=item.token_file, environ=self.environ)

    def text(self, key: str) -> str:
        value = str(getattr(self.item, key))
        if not value:
            raise self.needs(key)
        return value

    def needs(self, keys: str) -> ConfigError:
        return ConfigError(f"{self.where}: a receiver of kind {self.item.kind} needs {keys}")


#: What a kind is made into: its notifier, how fast it may be called, and what names its destination.
_Made = tuple[Notifier, Limiter, str]


def _slack(read: _Reader, http: Http) -> _Made:
    url = read.url()
    return Slack(http, url), Limiter(gap=1.0), url.reveal()


def _slack_bot(read: _Reader, http: Http) -> _Made:
    token, channel, item = read.token(), read.text("channel"), read.item
    url = read.url() if item.url or item.url_env or item.url_file else Secret(POST_MESSAGE)
    return Slack(http, url, token, channel), Limiter(gap=1.0), token.reveal() + channel


def _telegram(read: _Reader, http: Http) -> _Made:
    token, chat = read.token(), read.text("chat_id")
    api = check_url(read.item.api_url, f"{read.where}: api_url")
    return Telegram(http, token, chat, api), Limiter(gap=1.0, burst=20, per=60.0), api + chat


def _webhook(read: _Reader, http: Http) -> _Made:
    url = read.url()
    return Webhook(http, url, read.optional_token()), Limiter(), url.reveal()


def _alertmanager(read: _Reader, http: Http) -> _Made:
    url = read.url()
    return Alertmanager(http, url), Limiter(), url.reveal()


def _apprise(read: _Reader, http: Http) -> _Made:  # noqa: ARG001 - Apprise calls by itself
    url = read.url(web=False)
    return Apprise(url), Limiter(gap=1.0), url.reveal()


def _log(read: _Reader, http: Http) -> _Made:  # noqa: ARG001 - nothing is called
    return Log(), Limiter(), read.item.name


_KINDS: dict[str, Callable[[_Reader, Http], _Made]] = {
    "slack": _slack,
    "slack-bot": _slack_bot,
    "telegram": _telegram,
    "webhook": _webhook,
    "alertmanager": _alertmanager,
    "apprise": _apprise,
    "log": _log,
}


def _build(
    item: ReceiverConfig, http: Http, limiters: dict[tuple[str, str], Limiter], environ: Mapping[str, str] | None
) -> Receiver:
    notifier, limiter, destination = _KINDS[item.kind](_Reader(item, environ), http)
    shared = limiters.setdefault((item.kind, destination), limiter)
    match, target = tuple(sorted(item.match.items())), item.chat_id or item.channel
    pictures = item.kind in ("telegram", "slack-bot") and available()
    return Receiver(
        item.name, notifier, shared, item.severities, match, item.resolved, target=target, pictures=pictures
    )
