"""Secrets stay out of everything."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
from pathlib import Path

import pytest

from monitor.config.load import Config
from monitor.errors import ConfigError
from monitor.notify.receivers import build_receivers, try_receiver
from monitor.notify.secret import Secret, guard_logs, read_secret, redact
from tests.notify.world import World, firing, slack_and_telegram
from tests.support.fake_providers import Scripted, fake_provider

TOKEN = "987654:canary-token-of-a-bot"


def test_a_secret_prints_nothing_of_itself() -> None:
    secret = Secret(TOKEN)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret:>40}", "%s" % secret, repr([secret])]  # noqa: UP031
    assert all("canary" not in text for text in shown)
    for leak in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            leak(secret)  # type: ignore[operator]


def test_sources(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o644)
    assert read_secret("x", file=str(file)) == Secret(TOKEN)
    assert "can be read by others" in caplog.text
    caplog.clear()
    file.chmod(0o600)
    assert read_secret("x", file=str(file)) == Secret(TOKEN)
    assert caplog.text == ""
    assert read_secret("x", env="T", environ={"T": f" {TOKEN} "}) == Secret(TOKEN)
    assert read_secret("x") is None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"env": "NOT_SET"}, "NOT_SET"),
        ({"file": "/nonexistent/token"}, "/nonexistent/token"),
        ({"env": "A", "file": "b"}, "twice"),
        ({"literal": TOKEN, "env": "A"}, "twice"),
        ({"literal": f"{TOKEN}\nX-Injected: 1"}, "line breaks"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        read_secret("receivers.x: token", **given, environ={})  # type: ignore[arg-type]
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("script", [None, "reset", "hang", "echo"])
def test_the_canary_is_in_no_output_at_debug(script: str | None, tmp_path: Path) -> None:
    """Whole path, everything logged, a provider that even sends the secrets back: nothing keeps them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(pathname)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    database = tmp_path / "telltale.db"
    try:
        with fake_provider() as provider:
            text = slack_and_telegram(provider.url)
            if script == "echo":
                echo = b"no such token 987654:canary-token-of-a-bot at /services/T000/B000/canary-of-a-webhook"
                provider.default = Scripted(403, echo)
            elif script:
                provider.default = Scripted(special=script)
            world = World(text, database, deadline=0.3, environ={"TOKEN": TOKEN})
            world.evaluate([firing(at=world.clock.time())])
            for name in ("team", "night"):
                world.deliver(world.sender(name), until=3.0)
                logging.getLogger("x").warning("what is %r", try_receiver(world.receiver(name), world.clock))
                logging.getLogger("y").debug("the receiver is %s %s", world.receiver(name), vars(world.sender(name)))
            assert len(provider.calls) >= 4
            world.writer.connection.close()
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert "urllib3.connectionpool" in stream.getvalue()
    for output in (stream.getvalue(), stored.decode("latin-1")):
        assert "canary-token" not in output
        assert "canary-of-a-webhook" not in output
        assert "T000/B000" not in output


def test_tracebacks_are_cleaned_too() -> None:
    Secret(TOKEN)
    guard_logs()
    stream = io.StringIO()
    logger = logging.getLogger("tests.notify.trace")
    logger.addHandler(logging.StreamHandler(stream))
    try:
        raise RuntimeError(f"POST /bot{TOKEN}/sendMessage")
    except RuntimeError:
        logger.exception("failed")
    assert "RuntimeError" in stream.getvalue()
    assert "canary-token" not in stream.getvalue()


def test_a_bare_host_is_no_secret() -> None:
    Secret("http://127.0.0.1:9093")
    assert redact("serving on http://127.0.0.1:9093") == "serving on http://127.0.0.1:9093"


def test_redaction_finds_the_quoted_form() -> None:
    Secret("abc def:ghi/jkl")
    assert redact("x abc%20def%3Aghi%2Fjkl y") == "x [secret] y"


def test_configuration_errors_name_receiver_and_key() -> None:
    cases = {
        'kind = "telegram"\nchat_id = "1"': "receivers.x: a receiver of kind telegram needs token_env or token_file",
        'kind = "telegram"\ntoken_env = "TOKEN"': "receivers.x: a receiver of kind telegram needs chat_id",
        'kind = "slack"': "receivers.x: a receiver of kind slack needs url, url_env or url_file",
        'kind = "slack-bot"\ntoken_env = "TOKEN"': "receivers.x: a receiver of kind slack-bot needs channel",
        'kind = "slack"\nurl = "http://hooks.slack.com/services/canary-x"': "plain http is for this machine only",
        'kind = "apprise"\nurl = "json://localhost"': "pip install 'telltale\\[apprise\\]'",
    }
    for text, expected in cases.items():
        with pytest.raises(ConfigError, match=expected) as caught:
            build_receivers(Config.from_text(f"[receivers.x]\n{text}"), environ={"TOKEN": TOKEN})
        assert "canary" not in str(caught.value)
