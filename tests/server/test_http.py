"""The server over real HTTP: what it answers, what it refuses, and that counts add up exactly."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import Any

import pytest

from bench.running import ROW, Client, wait_for
from tests.server.conftest import FAST, Host
from tests.server.wire import JSON, connect, exchange, post, read_to_end


def scrape(server: Client) -> dict[str, float]:
    """`/metrics` as series and values; fails where the text is not in the format."""
    status, headers, body = server.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    series = {}
    for line in body.decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            series[name] = float(value)
    return series


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_one_row(server: Client) -> None:
    status, answer = server.post(ROW)
    assert status == 200
    assert set(answer) == {"result", "prediction_id"}
    assert math.isfinite(answer["result"])
    assert answer["prediction_id"]


def test_a_batch_answers_as_its_rows_do(server: Client) -> None:
    rows = [[value + step / 100 for value in ROW] for step in range(7)]
    status, answer = server.post(rows, "/predict")
    assert status == 200
    assert set(answer) == {"results", "prediction_ids"}
    assert len(set(answer["prediction_ids"])) == 7
    assert answer["results"] == pytest.approx([server.post(row)[1]["result"] for row in rows])
    one = server.post(rows[:1])[1]
    assert (len(one["results"]), len(one["prediction_ids"])) == (1, 1)


def test_packed_bodies(server: Client) -> None:
    expected = server.post(ROW)[1]["result"]
    for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        status, _, body = server.request("POST", "/predict", pack(text(ROW)), **{"Content-Encoding": encoding})
        assert (status, json.loads(body)["result"]) == (200, expected)
    for body, encoding, status, code in [
        (text(ROW), "br", 415, "wrong_encoding"),
        (text(ROW), "gzip", 400, "bad_encoding"),
        (gzip.compress(text(ROW))[:-9], "gzip", 400, "bad_encoding"),
        (gzip.compress(b" " * 64_000_000), "gzip", 413, "too_large"),
    ]:
        got, _, answer = server.request("POST", "/", body, **{"Content-Encoding": encoding})
        assert (got, json.loads(answer)["error"]["code"]) == (status, code)


def with_value(value: str) -> bytes:
    return b"[%s%s]" % (value.encode(), b", 0.1" * 9)


#: Name, body, status, code, and a word of where or what that the answer must name.
REFUSED = [
    ("empty body", b"", 400, "empty", "empty"),
    ("broken", b"[0.1, 0.2", 400, "not_json", "line 1"),
    ("two documents", b"[1] [2]", 400, "not_json", "character 5"),
    ("other names", b'{"a": 1}', 422, "missing_column", "called 'a'"),
    ("a number", b"1", 400, "not_a_list", "the number 1"),
    ("true", b"true", 400, "not_a_list", "true"),
    ("null", b"null", 400, "not_a_list", "null"),
    ("a text", b'"x"', 400, "not_a_list", "text"),
    ("empty list", b"[]", 400, "empty", "empty list"),
    ("empty row", b"[[]]", 422, "wrong_length", "row 0"),
    ("too short", text(ROW[:9]), 422, "wrong_length", "got 9"),
    ("too long", text([*ROW, 1]), 422, "wrong_length", "got 11"),
    ("a short row in a batch", text([ROW, ROW[:3]]), 422, "wrong_length", "row 1"),
    ("row and number mixed", text([ROW, 1]), 400, "not_a_list", "row 1"),
    ("number and row mixed", text([1.0, ROW]), 422, "wrong_length", "got 2"),
    ("text value", with_value('"0.1"'), 422, "not_a_number", "column age"),
    ("true value", with_value("true"), 422, "not_a_number", "column age"),
    ("object value", with_value("{}"), 422, "nested", "column age"),
    ("duplicate keys", with_value('{"a": 1, "a": 2}'), 422, "nested", "column age"),
    ("nested value", with_value("[0.1]"), 422, "wrong_length", "row 0"),
    ("nested in a batch", b"[" + with_value("0") + b"," + with_value("[1]") + b"]", 422, "nested", "row 1, column age"),
    ("null value", with_value("null"), 422, "missing", "column age"),
    ("NaN", with_value("NaN"), 422, "missing", "column age"),
    ("Infinity", with_value("-Infinity"), 422, "out_of_range", "column age"),
    ("1e400", with_value("1e400"), 422, "out_of_range", "column age"),
    ("2**63", with_value(str(2**63)), 422, "out_of_range", "column age"),
    ("400 digits", with_value("1" + "0" * 400), 422, "out_of_range", "column age"),
    ("4,000 digits", with_value("1" * 4000), 422, "out_of_range", "column age"),
    ("5,000 digits", with_value("1" * 5000), 422, "out_of_range", "2**53"),
    ("deep nesting", b"[" * 100_000, 400, "too_deep", "deep"),
    ("deep and closed", b"[" * 100_000 + b"]" * 100_000, 400, "too_deep", "deep"),
    ("deep objects", b'{"a":' * 50_000, 400, "too_deep", "deep"),
    ("lone surrogate", with_value('"\\ud800"'), 422, "not_a_number", "column age"),
    ("surrogate bytes", with_value('"') + b'\xed\xa0\x80"]', 400, "not_utf8", "byte"),
    ("UTF-16", text(ROW).decode().encode("utf-16"), 400, "not_utf8", "byte 0"),
    ("UTF-16 without mark", text(ROW).decode().encode("utf-16-le"), 400, "not_json", "line 1"),
    ("byte order mark", b"\xef\xbb\xbf" + text(ROW), 400, "not_json", "line 1"),
    ("NUL", b"\0" * 20, 400, "not_json", "line 1"),
    ("2 MB", b"[" + b"0.1," * 500_000 + b"0]", 413, "too_large", "max_body"),
]


@pytest.mark.parametrize(("body", "status", "code", "named"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused_with_what_and_where(server: Client, body: bytes, status: int, code: str, named: str) -> None:
    (answer,) = exchange(server, post(body, JSON))
    assert (answer.status, answer.error["code"]) == (status, code)
    assert named in json.dumps(answer.error, ensure_ascii=False)
    assert "content-type: application/json" in answer.head
    assert scrape(server)


def test_a_huge_chunked_body_is_refused(server: Client) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    request = post(b"", JSON, "Transfer-Encoding: chunked", length=False) + chunk * 40 + b"0\r\n\r\n"
    (answer,) = exchange(server, request)
    assert (answer.status, answer.error["code"]) == (413, "too_large")


def test_a_chunked_body_is_answered(server: Client) -> None:
    body = text(ROW)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    (answer,) = exchange(server, post(b"", JSON, "Transfer-Encoding: chunked", length=False) + chunks + b"0\r\n\r\n")
    assert answer.status == 200


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "\xff"])
def test_another_content_type_is_refused(server: Client, kind: str) -> None:
    (answer,) = exchange(server, post(text(ROW), *([f"Content-Type: {kind}"] if kind else [])))
    assert (answer.status, answer.error["code"], answer.error["where"]) == (415, "wrong_type", "header Content-Type")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"])
def test_json_under_its_names_is_accepted(server: Client, kind: str) -> None:
    (answer,) = exchange(server, post(text(ROW), f"Content-Type: {kind}"))
    assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/", 405), ("GET", "/predict", 405), ("POST", "/metrics", 405)],
)
def test_unknown_routes_are_json_too(server: Client, method: str, path: str, status: int) -> None:
    got, headers, body = server.request(method, path)
    assert got == status
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["error"]["where"] == path
    assert ("Allow" in headers) == (status == 405)


def test_every_answer_of_flask_carries_the_protecting_headers(server: Client) -> None:
    for path in ("/", "/healthz", "/readyz", "/api/status", "/api/drift", "/api/alerts", "/nowhere"):
        headers = server.get(path)[1]
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe-inline" not in headers["Content-Security-Policy"], path
        assert headers["Referrer-Policy"] == "no-referrer", path


def test_counts_add_up_exactly(host: Host) -> None:
    server = host(FAST)
    for _, body, _, _, _ in REFUSED:
        exchange(server, post(body, JSON))
    for _ in range(5):
        assert server.post(ROW)[0] == 200
    assert server.post([ROW] * 20)[0] == 200
    wait_for(lambda: server.predictions() >= 25, "25 predictions")
    assert server.predictions() == 25

    def refused() -> bool:
        series = scrape(server)
        return len(REFUSED) == sum(value for name, value in series.items() if "rejected" in name)

    wait_for(refused, "every refusal to be counted")
    assert [value for name, value in scrape(server).items() if name.startswith("telltale_predictions_total")] == [25]


def test_labels_that_are_texts(host: Host) -> None:
    server = host(FAST, "classification")
    assert server.post([5.1, 3.5, 1.4, 0.2])[1]["result"] == "setosa"
    status, answer = server.post([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]])
    assert (status, answer["results"]) == (200, ["setosa", "virginica"])


def test_pipelined_requests_are_answered_in_order(server: Client) -> None:
    def keep(value: float) -> bytes:
        return post(text([value, *ROW[1:]]), JSON).replace(b"Connection: close\r\n", b"")

    values = [step / 50 for step in range(10)]
    replies = exchange(server, b"".join(map(keep, values)) + post(b"x", JSON))
    assert [reply.status for reply in replies] == [200] * 10 + [400]
    assert [json.loads(reply.body)["result"] for reply in replies[:10]] == pytest.approx(
        [server.post([value, *ROW[1:]])[1]["result"] for value in values]
    )


def test_a_kept_connection_serves_many_requests(server: Client) -> None:
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(post(text(ROW), JSON).replace(b"Connection: close\r\n", b""))
            data = b""
            while not data.endswith(b"}\n"):
                data += connection.recv(65536)
            assert data.startswith(b"HTTP/1.1 200 OK\r\n")


RAW = [
    ("length and chunks", post(b"5\r\n[0.1]\r\n0\r\n\r\n", JSON, "Transfer-Encoding: chunked")),
    ("chunked twice", post(b"0\r\n\r\n", "Transfer-Encoding: chunked, chunked", length=False)),
    ("chunked in two headers", post(b"0\r\n\r\n", *["Transfer-Encoding: chunked"] * 2, length=False)),
    ("obscured chunked", post(b"0\r\n\r\n", "Transfer-Encoding: \x0bchunked", length=False)),
    ("identity", post(b"[]", "Transfer-Encoding: identity", length=False)),
    ("gzip", post(b"0\r\n\r\n", "Transfer-Encoding: gzip, chunked", length=False)),
    ("HTTP/1.0 with chunks", post(b"0\r\n\r\n", "Transfer-Encoding: chunked", length=False).replace(b"1.1", b"1.0")),
    ("two lengths", post(b"[]", "Content-Length: 3")),
    ("negative length", post(b"", "Content-Length: -1", length=False)),
    ("signed length", post(b"[]", "Content-Length: +2", length=False)),
    ("hexadecimal length", post(b"[]", "Content-Length: 0x2", length=False)),
    ("length of 5,000 digits", post(b"[]", "Content-Length: " + "9" * 5000, length=False)),
    ("bad chunk size", post(b"zz\r\n[]\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False)),
    ("chunk longer than said", post(b"2\r\n[0.1]\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False)),
    ("bare line feed", b"GET / HTTP/1.1\nHost: x\n\n\r\n\r\n"),
    ("space before colon", post(b"[]", "Content-Length : 2", length=False)),
    ("header without colon", post(b"[]", "nonsense")),
    ("folded first header", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    ("NUL in a header", post(b"[]", "X: a\0b")),
    ("lower-case method", b"get / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("nonsense", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ("endless header", b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000),
]  # fmt: skip


@pytest.mark.parametrize("request_bytes", [raw for _, raw in RAW], ids=[name for name, _ in RAW])
def test_ambiguous_or_malformed_requests_are_refused_and_nothing_follows(server: Client, request_bytes: bytes) -> None:
    before = server.predictions()
    # What follows on the same connection must not be taken for a request of its own.
    replies = exchange(server, request_bytes + post(text(ROW), JSON))
    assert [400 <= reply.status < 502 and reply.status != 500 for reply in replies] == [True]
    assert replies[0].error["message"]
    assert server.predictions() == before


def test_half_a_request_is_not_answered(server: Client) -> None:
    before = server.predictions()
    whole = post(text(ROW), JSON)
    for cut in (1, 10, len(whole) // 2, len(whole) - 1):
        assert exchange(server, whole[:cut]) == []
    assert server.predictions() == before


def test_a_client_that_is_gone_does_no_harm(server: Client, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(20):
        with connect(server) as connection:
            connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: closing resets the connection
            connection.sendall(post(text(ROW), JSON))
    assert server.post(ROW)[0] == 200
    assert "Traceback" not in caplog.text


def test_expect_continue_is_not_given_to_a_request_that_is_refused(server: Client) -> None:
    with connect(server) as connection:
        head = f"POST / HTTP/1.1\r\nHost: x\r\n{JSON}\r\nExpect: 100-continue\r\nContent-Length: 3000000\r\n\r\n"
        connection.sendall(head.encode())
        connection.shutdown(1)
        assert read_to_end(connection).startswith(b"HTTP/1.1 413 ")
