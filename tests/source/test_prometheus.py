"""Answers that are none, and moments that were missed: each in words, and nothing is counted wrongly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

import pytest

from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.errors import ConfigError, SourceError
from monitor.runtime import Runtime
from monitor.source.prometheus import LAG
from tests.store.world import MIDNIGHT, reference

GOOD = {"status": "success", "data": {"resultType": "vector", "result": []}}


class Answers(BaseHTTPRequestHandler):
    """Answers every question with what the test says."""

    said: ClassVar[tuple[int, str, bytes]] = (200, "application/json", b"")
    asked: ClassVar[list[dict[str, str]]] = []
    ahead: ClassVar[float] = 0.0
    drip: ClassVar[threading.Event | None] = None

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.asked.append({key: values[0] for key, values in form.items()} | dict(self.headers))
        status, kind, body = self.said
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string(MIDNIGHT + LAG - self.ahead))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", "http://127.0.0.1:9/login")
        self.end_headers()
        if self.drip is not None:
            self.drip.wait(10)
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    Answers.said, Answers.asked, Answers.ahead, Answers.drip = page(200, GOOD), [], 0.0, None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/prometheus"
    server.shutdown()
    thread.join()
    server.server_close()


def opened(folder: Path, url: str, more: str = "") -> Runtime:
    text = f'[source]\nkind = "prometheus"\nurl = "{url}"\n{more}\n[data]\npath = "{folder}"'
    return Runtime.of_one(Config.from_text(text), reference(), "v1", ManualClock(MIDNIGHT + LAG))


def pull(runtime: Runtime) -> None:
    assert runtime.only.pulled is not None
    runtime.only.pulled.pull(runtime.fold)


def page(status: int, content: Any, kind: str = "application/json") -> tuple[int, str, bytes]:
    return status, kind, content if isinstance(content, bytes) else json.dumps(content).encode()


ERROR = {"status": "error", "errorType": "bad_data", "error": "1:9: parse error: unexpected character"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (page(200, b"<html>", "text/html"), "is not Prometheus: URL/api/v1/query answers 200, text/html"),
        (page(404, b"404 page not found", "text/plain"), "is not Prometheus: URL/api/v1/query answers 404, text/plain"),
        (page(302, b"", "text/html"), "is not Prometheus: URL/api/v1/query answers 302, text/html"),
        (page(200, {"data": None}), "is not Prometheus: URL/api/v1/query answers 200, application/json"),
        (page(200, [1]), "is not Prometheus: URL/api/v1/query answers 200, application/json"),
        (page(400, ERROR), "it answers 400: 1:9: parse error: unexpected character"),
        (page(503, {**ERROR, "error": "query timed out"}), "it answers 503: query timed out"),
        (
            page(200, {**GOOD, "warnings": ["no store for 2 h"]}),
            "its answer may lack a part, so nothing is counted: no store for 2 h",
        ),
        (page(200, {**GOOD, "isPartial": True}), "its answer may lack a part, so nothing is counted"),
    ],
)
def test_what_is_no_answer_is_a_state_with_words(
    tmp_path: Path, url: str, said: tuple[int, str, bytes], words: str
) -> None:
    runtime = opened(tmp_path, url)
    Answers.said = said
    with pytest.raises(SourceError) as error:
        pull(runtime)
    assert str(error.value) == words.replace("URL", url)
    source = runtime.only.pulled
    assert source is not None
    assert (source.cursor, source.check()[0]) == ("", "failing")
    Answers.said = page(200, GOOD)
    pull(runtime)
    assert source.check() == (
        "degraded",
        f"Prometheus at {url}: it knows no replica; does [source] fit?",
        MIDNIGHT + LAG,
    )
    runtime.close()


@pytest.mark.parametrize(("ahead", "word"), [(95, "ahead of"), (-95, "behind")])
def test_clocks_that_differ_count_nothing(tmp_path: Path, url: str, ahead: float, word: str) -> None:
    runtime = opened(tmp_path, url)
    Answers.ahead = ahead
    with pytest.raises(SourceError, match=f"this machine's clock is 95 seconds {word} its clock"):
        pull(runtime)
    runtime.close()


def test_a_server_that_is_away_or_slow(tmp_path: Path, url: str) -> None:
    runtime = opened(tmp_path / "away", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"^cannot be reached: connection refused$"):
        pull(runtime)
    runtime.close()
    runtime = opened(tmp_path / "slow", url, 'timeout = "50ms"')
    Answers.drip = threading.Event()
    with pytest.raises(SourceError, match=r"^cannot be reached: no answer within 0.05 s$"):
        pull(runtime)
    Answers.drip.set()
    runtime.close()


def test_every_moment_that_was_missed_is_asked_for(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_TOKEN", "a-token-of-the-fleet")
    more = 'token_env = "FLEET_TOKEN"\nmatch = \'job="x"\'\nheaders = { X-Scope-OrgID = "credit" }'
    runtime = opened(tmp_path, url, more)
    pull(runtime)
    assert isinstance(runtime.clock, ManualClock)
    runtime.clock.advance(29)
    pull(runtime)
    assert [asked["time"] for asked in Answers.asked] == [str(MIDNIGHT)] * 2
    runtime.close()
    runtime = opened(tmp_path, url, more)
    assert isinstance(runtime.clock, ManualClock)
    Answers.ahead = -239
    runtime.clock.advance(180 + 59)
    pull(runtime)
    assert [float(asked["time"]) - MIDNIGHT for asked in Answers.asked] == [0, 0, 60, 60, 120, 120, 180, 180]
    asked = Answers.asked[-2]
    assert (asked["Authorization"], asked["X-Scope-OrgID"]) == ("Bearer a-token-of-the-fleet", "credit")
    assert (asked["partial_response"], asked["dedup"]) == ("false", "true")
    assert 'replica!~"fleet-.*", job="x"}[5m]' in asked["query"]
    runtime.clock.jump_to(MIDNIGHT + LAG)
    with pytest.raises(SourceError, match="it was asked for 2023-11-15T00:03:00Z already, in the future"):
        pull(runtime)
    runtime.close()


@pytest.mark.parametrize("url", ["prometheus:9090", "http://user:secret@prometheus:9090"])
def test_an_address_that_cannot_be_stops_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="expected an address that begins with") as error:
        opened(tmp_path, url)
    assert "secret" not in str(error.value)


def test_a_token_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[source\] token: the environment variable NO_SUCH is not set"):
        opened(tmp_path, "http://127.0.0.1:9", 'token_env = "NO_SUCH"')
