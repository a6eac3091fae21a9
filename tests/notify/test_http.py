"""The client against endpoints that misbehave on the socket."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest
import requests

from bench.running import PATIENCE
from monitor.errors import ConfigError
from monitor.notify.http import Failure, Http, Reply, check_url
from monitor.notify.secret import Secret
from tests.support.fake_providers import FakeProvider, Scripted, fake_provider

CANARY = "canary-4711-of-the-address"


def post(provider: FakeProvider, scripted: Scripted, deadline: float = 5.0) -> Reply | Failure:
    provider.script.append(scripted)
    return Http(deadline).post(Secret(f"{provider.url}/{CANARY}"), b"{}", {})


@pytest.mark.parametrize("special", ["hang", "trickle"])
def test_the_deadline_holds_for_the_whole_call(special: str) -> None:
    with fake_provider() as provider:
        began = time.monotonic()
        answer = post(provider, Scripted(special=special), deadline=0.3)
        assert time.monotonic() - began < PATIENCE
        assert isinstance(answer, Failure)
        assert answer.doubt
        assert "within 0.3 s" in answer.reason


@pytest.mark.parametrize("connected", [True, False])
def test_a_deadline_that_requests_notices_first_reads_the_same(connected: bool) -> None:
    class Slow(Http):
        def _post(self, url: str, body: bytes | None, headers: dict[str, str], lines: list[socket.socket]) -> Reply:
            if connected:
                lines.append(socket.socket())
                raise requests.exceptions.ReadTimeout
            raise requests.exceptions.ConnectTimeout

    answer = Slow(5).post("http://localhost", b"", {})
    assert answer == Failure(f"no {'answer' if connected else 'connection'} within 5 s", doubt=connected)


def test_a_reply_that_is_lost_is_in_doubt() -> None:
    with fake_provider() as provider:
        answer = post(provider, Scripted(special="lost"))
        assert answer == Failure("the connection broke", doubt=True)
        assert len(provider.delivered) == 1


def test_a_refused_connection_is_not_in_doubt() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{CANARY}"
        assert Http(5).post(Secret(url), b"", {}) == Failure("connection refused")


def test_a_name_that_cannot_be_resolved_is_not_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> object:
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    answer = Http(5).post(Secret(f"https://slack.invalid/{CANARY}"), b"", {})
    assert answer == Failure("the server's name cannot be resolved")


def test_at_most_64_kilobytes_are_read() -> None:
    with fake_provider() as provider:
        answer = post(provider, Scripted(200, b"x" * 10_000_000))
        assert isinstance(answer, Reply)
        assert len(answer.body) == 65536


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with fake_provider() as provider:
        answer = post(provider, Scripted(status, b"", {"Location": f"{provider.url}/elsewhere"}))
        assert isinstance(answer, Reply)
        assert answer.status == status
        assert len(provider.calls) == 1


def test_a_certificate_that_nobody_signed_is_refused() -> None:
    """A TLS server of this machine; its throw-away certificate is made by the test."""
    import subprocess
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key.pem"), Path(folder, "cert.pem")
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
        subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]

        def serve() -> None:
            line, _ = listener.accept()
            with line:
                try:
                    context.wrap_socket(line, server_side=True)
                except (ssl.SSLError, OSError):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        answer = Http(5).post(Secret(f"https://127.0.0.1:{port}/{CANARY}"), b"", {})
        thread.join()
        listener.close()
    assert answer == Failure("the server's certificate is not trusted")


@pytest.mark.parametrize("special", ["hang", "trickle", "reset", "lost"])
def test_no_failure_tells_the_address(special: str) -> None:
    with fake_provider() as provider:
        answer = post(provider, Scripted(special=special), deadline=0.3)
        assert CANARY not in repr(answer)
        assert "127.0.0.1" not in repr(answer)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/services/x", "http://10.0.0.1/", "ftp://127.0.0.1/", "https://169.254.169.254/latest",
        "https://[fe80::1]/", "//hooks.slack.com/", "https://", "https:///path", "", "hooks.slack.com", "http://127.0.0.1:99999/",
        "http://127.0.0.1.evil.example/", "http://localhost.evil.example/", "http://localhost@evil.example/",
        "https://0.0.0.0/", "file:///etc/passwd", "https://[::1", "https://x:port/",
    ],
)  # fmt: skip
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_url(url, "receivers.x: url")
    assert len(url) < 9 or url not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://hooks.slack.com/services/x", "http://127.0.0.1:9093", "http://localhost:1/", "http://[::1]:9093/"]
)
def test_addresses_that_are_taken(url: str) -> None:
    assert check_url(url, "x") == url


ENDLESS = 10**6
RAW: dict[str, tuple[bytes, int]] = {
    "headers that trickle": (b"HTTP/1.1 200 OK\r\nX-A: ", ENDLESS),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000, 0),
    "one endless header": (b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 10_000_000, 0),
    "endless 100 Continue": (b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, ENDLESS),
    "not HTTP": (b"220 mail.example ESMTP\r\n", 0),
    "nothing at all": (b"", 0),
    "a body that is shorter than it says": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok", 0),
    "broken chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok", 0),
    "broken gzip": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", 0),
    "a status that is no number": (b"HTTP/1.1 two hundred\r\n\r\n", 0),
}


@pytest.mark.parametrize("name", RAW)
def test_whatever_a_socket_says_is_a_failure_in_time(name: str) -> None:
    """Each leaves open whether the message was taken, and none raises."""
    said, trickle = RAW[name]
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        line, _ = listener.accept()
        with line:
            try:
                line.recv(65536)
                line.sendall(said)
                for _ in range(trickle):
                    if over.wait(0.01):
                        break
                    line.sendall(b"x" if not said.endswith(b"\n") else said[:25])
            except OSError:
                pass

    server = threading.Thread(target=serve)
    server.start()
    answer = Http(0.5).post(Secret(f"http://127.0.0.1:{listener.getsockname()[1]}/{CANARY}"), b"{}", {})
    over.set()
    server.join(PATIENCE)
    listener.close()
    assert isinstance(answer, Failure)
    assert answer.doubt
    assert CANARY not in answer.reason


def test_a_gzip_bomb_is_cut() -> None:
    import gzip

    with fake_provider() as provider:
        bomb = gzip.compress(b"x" * 50_000_000)
        answer = post(provider, Scripted(200, bomb, {"Content-Encoding": "gzip"}))
        assert isinstance(answer, Reply)
        assert len(answer.body) == 65536
