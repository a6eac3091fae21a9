"""What every kind of receiver must do, each over a real socket; and a real Alertmanager."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.running import PATIENCE
from monitor.clock import ManualClock, iso
from monitor.config.load import Config
from monitor.errors import ConfigError
from monitor.notify import receivers
from monitor.notify.http import Http
from monitor.notify.message import Message, title
from monitor.notify.plan import Policy
from monitor.notify.receiver import Receiver
from monitor.notify.receivers import build_receivers, try_receiver
from monitor.notify.secret import Secret
from tests.notify.world import World, firing
from tests.support.fake_providers import FakeProvider, Scripted, fake_provider

CANARY = "canary-0815-in-the-address"
KINDS: dict[str, str] = {
    "slack": 'kind = "slack"\nurl = "{url}/services/T0/B0/canary-0815-in-the-address"',
    "slack-bot": 'kind = "slack-bot"\nurl = "{url}/api/chat.postMessage"\ntoken_env = "TOKEN"\nchannel = "C0123"',
    "telegram": 'kind = "telegram"\napi_url = "{url}"\ntoken_env = "TOKEN"\nchat_id = "-100"',
    "webhook": 'kind = "webhook"\nurl = "{url}/hook/canary-0815-in-the-address"\ntoken_env = "TOKEN"',
    "alertmanager": 'kind = "alertmanager"\nurl = "{url}/canary-0815-in-the-address"',
}
SPEAKS = {
    "slack": b"ok",
    "slack-bot": b'{"ok": true}',
    "telegram": b'{"ok": true}',
    "webhook": b"",
    "alertmanager": b"",
}


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with fake_provider() as fake:
        yield fake


def build(kind: str, provider: FakeProvider, deadline: float = 5.0) -> Receiver:
    config = Config.from_text(f"[receivers.x]\n{KINDS[kind].replace('{url}', provider.url)}\n")
    return build_receivers(config, Http(deadline), {"TOKEN": f"xoxb-{CANARY}"})[0]


def message() -> Message:
    world = World('[receivers.x]\nkind = "log"\n')
    return world.evaluate([firing(at=world.clock.time(), labels={"team": "credit"})])[0].message


@pytest.mark.parametrize("kind", KINDS)
def test_delivers(kind: str, provider: FakeProvider) -> None:
    assert build(kind, provider).notifier.send(message()).action == "sent"
    assert provider.refusals == []
    assert "bmi" in json.dumps(provider.delivered)


@pytest.mark.parametrize("kind", KINDS)
def test_a_test_message_goes_the_same_way_and_says_what_it_is(kind: str, provider: FakeProvider) -> None:
    decision = try_receiver(build(kind, provider), ManualClock(), "http://127.0.0.1:5000/")
    assert (decision.action, decision.reason[:8]) == ("sent", "HTTP 200")
    assert "test" in json.dumps(provider.delivered).lower()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 504])
def test_no_refusal_is_taken_for_delivery(kind: str, status: int, provider: FakeProvider) -> None:
    provider.default = Scripted(status, SPEAKS[kind], {"Location": f"{provider.url}/elsewhere", "Retry-After": "7"})
    decision = build(kind, provider).notifier.send(message())
    assert decision.action in ("retry", "dead")
    assert len(provider.calls) == 1
    if status in (429, 503):
        assert (decision.action, decision.after) == ("retry", 7.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("special", ["hang", "trickle", "reset", "lost"])
def test_a_broken_endpoint_is_an_answer_and_not_an_exception(kind: str, special: str, provider: FakeProvider) -> None:
    provider.default = Scripted(special=special)
    begun = time.monotonic()
    decision = build(kind, provider, deadline=0.25).notifier.send(message())
    assert (decision.action, decision.doubt) == ("retry", True)
    assert time.monotonic() - begun < PATIENCE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "scripted", [Scripted(special="reset"), Scripted(403, CANARY.encode()), Scripted(400, f"xoxb-{CANARY}".encode())]
)
def test_nothing_tells_the_secret(
    kind: str, scripted: Scripted, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.default = scripted
    receiver = build(kind, provider)
    decision = receiver.notifier.send(message())
    assert CANARY not in repr(decision)
    assert CANARY not in repr(receiver)
    assert CANARY not in str(vars(receiver.notifier))
    assert CANARY not in caplog.text
    sent = provider.calls[0]
    assert CANARY not in sent.body.decode()


def test_a_webhook_is_signed_and_says_everything(provider: FakeProvider) -> None:
    one = message()
    build("webhook", provider).notifier.send(one, now=1_700_000_000.7)
    call = provider.calls[0]
    stamp = call.headers["X-Telltale-Timestamp"]
    expected = hmac.new(f"xoxb-{CANARY}".encode(), stamp.encode() + b"." + call.body, hashlib.sha256).hexdigest()
    assert stamp == "1700000000"
    assert call.headers["X-Telltale-Signature"] == f"sha256={expected}"
    data = call.json
    assert (data["version"], data["kind"], data["rule"], data["event_id"]) == (1, "firing", "drift", one.event_id)
    (alert,) = data["alerts"]
    assert alert["column"] == "bmi"
    assert alert["labels"] == {"team": "credit"}
    assert (alert["value"], alert["threshold"], alert["n"], alert["m"]) == (0.41, 0.0921, 1024, 442)


def test_the_log_says_it_in_one_record(caplog: pytest.LogCaptureFixture) -> None:
    receiver = build_receivers(Config.from_text(""))[0]
    with caplog.at_level(logging.INFO):
        assert receiver.notifier.send(message()).action == "sent"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("telltale.alerts", "WARNING")
    assert title(message()) in record.getMessage()


def test_apprise_is_asked_only_when_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []

    class Module:
        class Apprise:
            def add(self, url: str) -> bool:
                return url.startswith("json://")

            def notify(self, **what: Any) -> bool:
                sent.append(what)
                return len(sent) > 1

    monkeypatch.setattr(receivers.importlib, "import_module", lambda name: Module)
    with pytest.raises(ConfigError, match="does not understand"):
        receivers.Apprise(Secret("nonsense-address"))
    notifier = receivers.Apprise(Secret("json://localhost/path"))
    assert notifier.send(message()).action == "retry"
    assert notifier.send(message()).action == "sent"
    assert sent[0]["title"] == 'WARNING: "bmi" has drifted'


# A real Alertmanager.

GROUPING = """
route: {receiver: hook, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: "%s/from-alertmanager", send_resolved: true}]}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Poll until something holds and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not come to hold in time")


@pytest.fixture
def alertmanager(provider: FakeProvider, tmp_path: Path) -> Iterator[str]:
    binary = shutil.which("prometheus-alertmanager")
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs the package prometheus-alertmanager")
        pytest.skip("prometheus-alertmanager is not installed")
    (tmp_path / "config.yml").write_text(GROUPING % provider.url)
    port = free_port()
    command = [
        binary, f"--config.file={tmp_path}/config.yml", f"--storage.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=error",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: urllib.request.urlopen(f"{url}/-/ready", timeout=PATIENCE).status == 200)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_a_real_alertmanager_groups_dedupes_and_resolves(provider: FakeProvider, alertmanager: str) -> None:
    """Two replicas of one model see the same drift: one alert a column, one message, one end."""
    text = f'[receivers.am]\nkind = "alertmanager"\nurl = "{alertmanager}"\n'
    replicas = [World(text), World(text)]
    now = time.time()
    for number, world in enumerate(replicas):
        world.clock.jump_to(now)
        world.policy = Policy(resend=60)
        # Alertmanager sends a group at once, with the alerts it has by then, if the first is older than group_wait.
        alerts = [
            firing(f"c{n}", at=now + number / 10, severity="critical", labels={"team": "credit"}) for n in range(4)
        ]
        world.evaluate(alerts)
        world.deliver(world.sender("am"))
        assert [row["state"] for row in world.rows("SELECT * FROM notifications WHERE receiver = 'am'")] == ["sent"]

    def active() -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{alertmanager}/api/v2/alerts", timeout=PATIENCE) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    found = until(lambda: alerts if len(alerts := active()) == 4 else None)
    assert {alert["labels"]["alertname"] for alert in found} == {"drift"}
    assert {alert["labels"]["column"] for alert in found} == {"c0", "c1", "c2", "c3"}
    assert found[0]["labels"]["team"] == "credit"
    page = "http://127.0.0.1:5000/column/feature?name=c"
    assert {alert["generatorURL"].partition("&around=")[0] for alert in found} == {f"{page}{n}" for n in range(4)}
    assert provider.wait_for(lambda fake: any(call.path == "/from-alertmanager" for call in fake.calls))
    first = next(call.json for call in provider.calls if call.path == "/from-alertmanager")
    assert (first["status"], len(first["alerts"])) == ("firing", 4)

    for world in replicas:
        world.clock.jump_to(time.time())
        world.evaluate([])
        world.deliver(world.sender("am"))
    until(lambda: not active())
    assert provider.wait_for(lambda fake: fake.calls[-1].json["status"] == "resolved")
    told = [(call.json["status"], len(call.json["alerts"])) for call in provider.calls]
    assert told == [("firing", 4), ("resolved", 4)]


def test_a_real_alertmanager_takes_hostile_names(provider: FakeProvider, alertmanager: str) -> None:
    from tests.notify.hostile import CORPUS

    world = World(f'[receivers.am]\nkind = "alertmanager"\nurl = "{alertmanager}"\n')
    now = time.time()
    world.clock.jump_to(now)
    names = sorted({name.encode("utf-8", "replace").decode() for name in CORPUS} - {""})
    world.evaluate([firing(name, at=now - 60, labels={"team": name}) for name in names])
    world.deliver(world.sender("am"))
    assert [row["state"] for row in world.rows("SELECT * FROM notifications WHERE receiver = 'am'")] == ["sent"]
    with urllib.request.urlopen(f"{alertmanager}/api/v2/alerts", timeout=PATIENCE) as answer:
        assert len(json.load(answer)) == len(names)
    assert iso(now)


def test_its_own_test_message_is_taken(provider: FakeProvider, alertmanager: str) -> None:
    config = Config.from_text(f'[receivers.am]\nkind = "alertmanager"\nurl = "{alertmanager}"\n')
    clock = ManualClock(time.time())
    assert try_receiver(build_receivers(config)[0], clock).action == "sent"
