"""`POST /observe` on a server without a model, over real HTTP: forms, refusals, repeats, restarts, long streams."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import random
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas
import pytest

from bench.running import Client, Server, wait_for
from monitor.capture.encode import Encoder
from monitor.capture.names import UnseenNames
from monitor.clock import ManualClock
from monitor.columns.binning import Binner
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from server.observe import Observer, Reader, blocks
from server.payload import BLOCK, body_parts
from server.routes import program_routes
from tests.server.hosted import served
from tests.server.wire import connect, exchange, post

CONFIG = '[model]\npath = ""\n[window]\nfold = "50ms"\n[server]\nmax_body = "64KiB"\nmax_bulk = "8MB"\n'
LINES = "application/x-ndjson"


def reference(mixed: bool) -> Reference:
    rows: dict[str, Any] = {"age": np.linspace(1, 99, 300), "dose": np.linspace(0, 1, 300)}
    if mixed:
        rows["sex"] = ["f", "m", "m"] * 100
    return Reference.from_data(rows, ["yes", "no"] * 150 if mixed else np.linspace(0, 9, 300))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Client]]:
    """Serve in this process: `host(mixed)`."""
    with ExitStack() as stack:

        def begin(mixed: bool = False) -> Client:
            home = tmp_path_factory.mktemp("observe")
            reference(mixed).save(home / "histogram.prom")
            return stack.enter_context(served(home, CONFIG))

        yield begin


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a process that the test may kill, in a folder that the next one finds again."""
    running: list[Server] = []

    def start(crash_at: str = "") -> Server:
        reference(mixed=False).save(tmp_path / "histogram.prom")
        running.append(Server(tmp_path, CONFIG + '[data]\nsegment = "64KiB"\n', crash_at=crash_at, warm=True))
        return running[-1].ready()

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def plain(host: Callable[..., Client]) -> Client:
    return host()


@pytest.fixture(scope="module")
def mixed(host: Callable[..., Client]) -> Client:
    return host(mixed=True)


def send(server: Client, rows: list[Any] | bytes) -> tuple[int, Any]:
    body = rows if isinstance(rows, bytes) else b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    status, _, reply = server.request("POST", "/observe", body, **{"Content-Type": LINES})
    return status, json.loads(reply)


def test_one_and_many(plain: Client) -> None:
    before = plain.predictions()
    status, answer = plain.post({"features": [41, 0.5], "prediction": 3.5}, "/observe")
    assert status == 200
    assert answer["observed"] == 1
    assert answer["prediction_id"]
    named = {"features": {"dose": 0.5, "age": None}, "prediction": {"prediction": 1}, "time": "2026-03-01T12:00:00Z"}
    status, answer = plain.post([named, {"features": [1, 2], "prediction": 3, "time": 1_772_366_400}], "/observe")
    assert (status, answer["observed"], len(answer["prediction_ids"])) == (200, 2, 2)
    assert send(plain, [named] * 5) == (200, {"observed": 5})
    assert plain.predictions() == before + 8


def test_true_and_durations_are_counted_as_the_library_counts_them(tmp_path: Path) -> None:
    wait = pandas.to_timedelta(np.arange(40), unit="min")
    frame = pandas.DataFrame({"wait": wait, "new": [True, False] * 20, "flag": [0, 1] * 20, "on": [1] * 40})
    made = Reference.from_data(frame, np.arange(40.0))
    rows = [
        {"features": [one.isoformat(), new, bool(flag), True], "prediction": float(n)}
        for n, (one, new, flag) in enumerate(zip(frame.wait, frame.new, frame.flag, strict=True))
    ]
    encoder = Encoder(made.schema, UnseenNames(tmp_path / "unseen.jsonl", made.schema, 100))
    batch = Reader(encoder).read(json.loads(json.dumps(rows)), 0)
    counts, _ = Binner(made.schema).fill(batch.values)
    np.testing.assert_array_equal(counts[0], made.counts)


ROW: dict[str, Any] = {"features": [41, 0.5], "prediction": 3.5}

#: Name, what is wrong with the row, status, code, words of the answer.
REFUSED: list[tuple[str, Any, int, str, str]] = [
    ("a number", 5, 400, "not_an_object", "object"),
    ("a list", [1], 400, "not_an_object", "object"),
    ("no prediction", {"features": [1, 2]}, 422, "missing_key", "'prediction'"),
    ("no features", {"prediction": 2}, 422, "missing_key", "'features'"),
    ("unknown key", {**ROW, "feature": 1}, 422, "unknown_key", "'feature'"),
    ("text features", {**ROW, "features": "1,2"}, 400, "not_a_list", "list of 2"),
    ("short", {**ROW, "features": [1]}, 422, "wrong_length", "age, dose"),
    ("long", {**ROW, "features": [1, 2, 3]}, 422, "wrong_length", "got 3"),
    ("unknown name", {**ROW, "features": {"age": 1, "dosis": 2}}, 422, "missing_column", "did you mean 'dose'"),
    ("further name", {**ROW, "features": {"age": 1, "dose": 2, "x": 1}}, 422, "unknown_column", "'x'"),
    ("text", {**ROW, "features": ["1", 2]}, 422, "not_a_number", "column age"),
    ("nested", {**ROW, "features": [1, [2]]}, 422, "nested", "column dose"),
    ("huge", {**ROW, "features": [1, 2**60]}, 422, "out_of_range", "2**53"),
    ("infinite", {**ROW, "features": [1, float("inf")]}, 422, "out_of_range", "finite"),
    ("text prediction", {**ROW, "prediction": "yes"}, 422, "not_a_number", "column prediction"),
    ("two predictions", {**ROW, "prediction": [1, 2]}, 422, "wrong_length", "got 2"),
    ("bad time", {**ROW, "time": "noon"}, 422, "bad_time", "noon"),
    ("milliseconds", {**ROW, "time": 1_772_366_400_000}, 422, "bad_time", "in seconds"),
    ("future", {**ROW, "time": "2199-01-01"}, 422, "bad_time", "future"),
    ("bad id", {**ROW, "id": ["a"]}, 422, "bad_id", "id"),
    ("long id", {**ROW, "id": "a" * 201}, 422, "bad_id", "200"),
]


def test_refused(plain: Client) -> None:
    before = plain.predictions()
    for name, row, status, code, words in REFUSED:
        got, answer = plain.post([ROW, row], "/observe")
        assert (got, answer["error"]["code"]) == (status, code), name
        assert answer["error"]["where"].startswith("row 1"), name
        assert words in json.dumps(answer["error"]), name
        got, answer = send(plain, [row])
        assert (got, answer["error"]["code"], answer["observed"]) == (status, code, 0), name
        assert answer["error"]["where"].startswith("line 1"), name
        assert words in json.dumps(answer["error"]), name
    assert plain.predictions() == before, "JSON is taken whole or not at all"


def test_bodies_that_are_nothing(plain: Client) -> None:
    for body, content_type, status, code in [
        (b"", "application/json", 400, "empty"),
        (b"[]", "application/json", 400, "empty"),
        (b"{", "application/json", 400, "not_json"),
        (b"3", "application/json", 400, "not_a_list"),
        (b"{}", "text/plain", 415, "wrong_type"),
        (b"[" + b"1," * 40000 + b"1]", "application/json", 413, "too_large"),
        (b'{"features": [1, 2', LINES, 400, "not_json"),
        (b'{"features": [1, 2], "prediction": \xff}', LINES, 400, "not_utf8"),
        (b"[" * 100_000, LINES, 400, "too_deep"),
        (b"x" * (BLOCK + 2), LINES, 413, "too_large"),
        (b"\n" * 9_000_000, LINES, 413, "too_large"),
    ]:
        (answer,) = exchange(plain, post(body, f"Content-Type: {content_type}", path="/observe"))
        assert (answer.status, answer.error["code"]) == (status, code), body[:40]
    assert send(plain, b"") == (200, {"observed": 0})
    assert send(plain, b"\n \r\n\n") == (200, {"observed": 0})


def test_other_methods_and_no_model(plain: Client) -> None:
    status, headers, body = plain.get("/observe")
    assert (status, headers["Allow"], json.loads(body)["error"]["code"]) == (405, "POST", "method_not_allowed")
    status, answer = plain.post([1, 2], "/predict")
    assert (status, answer["error"]["code"]) == (404, "no_model")
    assert plain.get("/")[0] == 200
    assert plain.get("/readyz")[0] == 200


def test_lines_up_to_the_wrong_one(plain: Client) -> None:
    before = plain.predictions()
    status, answer = send(plain, [ROW] * 60_000 + [{**ROW, "features": [1]}] + [ROW] * 10)
    assert (status, answer["error"]["where"]) == (422, "line 60001")
    assert 0 < answer["observed"] < 60_000
    assert plain.predictions() == before + answer["observed"]
    # A line that two neighbours would complete to valid JSON is still wrong.
    status, answer = send(plain, b'{"features": [1\n2], "prediction": 3}\n')
    assert (status, answer["error"]["where"]) == (400, "line 1")


def test_empty_lines_and_odd_ends(plain: Client) -> None:
    line = json.dumps(ROW).encode()
    assert send(plain, line + b"\r\n\n" + line + b"\n\n" + line) == (200, {"observed": 3})


def repeats(server: Client) -> int:
    lines = server.get("/metrics")[2].decode().splitlines()
    return int(
        float(next(line for line in lines if line.startswith("telltale_predictions_repeated_total{")).split()[-1])
    )


def test_an_id_counts_once(plain: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.runtime.SLOW_FACTS", 0.0)  # repeats are counted by a query, now and then
    before = plain.predictions()
    rows = [{**ROW, "id": f"once-{number}"} for number in range(50)]
    assert plain.post(rows, "/observe")[1]["observed"] == 50
    answer = plain.post([*rows, {**ROW, "id": "another"}, {**ROW, "id": "another"}, ROW], "/observe")[1]
    assert answer["observed"] == 53
    assert len(set(answer["prediction_ids"])) == 53
    assert plain.post({**ROW, "id": "once-7"}, "/observe")[1]["observed"] == 1
    assert send(plain, rows) == (200, {"observed": 50})
    assert plain.predictions() == before + 52
    wait_for(lambda: repeats(plain) == 102, "the repeats to be counted")


def test_ids_survive_a_kill(begin: Callable[..., Server]) -> None:
    first = begin()
    rows = [{**ROW, "id": number} for number in range(3000)]
    assert send(first, rows) == (200, {"observed": 3000})
    first.kill()
    again = begin()
    assert send(again, [*rows, {**ROW, "id": "new"}]) == (200, {"observed": 3001})
    assert again.predictions() == 3001


@pytest.mark.parametrize(
    "step",
    ["batch.claimed:3", "batch.body:3", "batch.checksums:4", "fold.begin:2", "fold.committed:1", "journal.delete:1"],
)
def test_what_is_sent_again_after_a_crash_counts_once(begin: Callable[..., Server], step: str) -> None:
    # Lines are long, and segments small: five parts of a body, each of a thousand rows in two segments.
    count = 5000
    rows = b"".join(json.dumps({**ROW, "id": f"row-{n}"}).encode().ljust(1000) + b"\n" for n in range(count))
    dying = begin(crash_at=step)
    try:
        send(dying, rows)
    except (OSError, http.client.HTTPException):
        pass
    wait_for(lambda: dying.process.poll() == 9, "the crash")
    dying.kill()
    again = begin()
    for _ in range(2):
        assert send(again, rows) == (200, {"observed": count})
        assert again.predictions() == count


def test_what_a_full_disk_refused_may_be_sent_again(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    text = f'[data]\npath = "{tmp_path / "data"}"\nsegment = "64KiB"\n'
    clock = ManualClock(1_750_000_000.0)
    runtime = Runtime.of_one(Config.from_text(text), reference(mixed=False), "v1", clock)
    observer = Observer(runtime, 1 << 20, runtime.only)
    assert observe(observer, [{**ROW, "id": "first"}])["observed"] == 1
    full_disk["full"] = True
    rows = [{**ROW, "id": number} for number in range(3000)]
    refused = observe(observer, rows)
    assert refused["error"]["code"] == "no_room"
    assert refused["observed"] == 0
    full_disk["full"] = False
    clock.advance(2)
    assert observe(observer, rows) == {"observed": 3000}
    assert observe(observer, rows) == {"observed": 3000}
    assert runtime.only.source.journal.dropped_total == 0
    runtime.writer.start()
    runtime.close()
    assert runtime.only.totals.n == 3001


def test_who_can_send_again_waits_while_the_store_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.runtime.BACKLOG", 0)
    text = f'[data]\npath = "{tmp_path / "data"}"\nsegment = "64KiB"\nmax_size = "10MB"\n[outcomes]\n'
    runtime = Runtime.of_one(Config.from_text(text), reference(mixed=False), "v1", ManualClock())
    routes = program_routes(runtime, runtime.only, None)
    answers = []
    for path in ("/observe", "/observe", "/observe", "/observe", "/outcomes"):
        body = json.dumps([ROW] * 20_000 if path == "/observe" else {"id": "1", "outcome": 1}).encode()
        given = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_TYPE": "application/json"}
        environ = {**given, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        routes[path](environ, lambda status, headers: answers.append((status, dict(headers).get("Retry-After"))))
        cast(ManualClock, runtime.clock).advance(1)
    assert answers == [("200 OK", None)] * 3 + [("429 Too Many Requests", "5")] * 2
    runtime.fold()
    assert not runtime.behind
    runtime.close()
    assert runtime.only.totals.n == 60_000


def observe(observer: Observer, rows: list[Any]) -> Any:
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    answer = observer({"CONTENT_TYPE": LINES, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)})
    return json.loads(answer.body)


def test_a_chunked_stream(plain: Client) -> None:
    before = plain.predictions()
    line = json.dumps(ROW).encode() + b"\n"
    with connect(plain) as connection:
        connection.sendall(
            f"POST /observe HTTP/1.1\r\nHost: x\r\nContent-Type: {LINES}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(20):
            part = line * 100
            connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert b'"observed": 2000' in connection.recv(4096)
    assert plain.predictions() == before + 2000


def packed(server: Client, body: bytes, encoding: str, content_type: str = LINES) -> tuple[int, Any]:
    headers = {"Content-Type": content_type, "Content-Encoding": encoding}
    status, _, reply = server.request("POST", "/observe", body, **headers)
    return status, json.loads(reply)


def test_compressed_lines(plain: Client) -> None:
    line = json.dumps(ROW).encode() + b"\n"
    for encoding, body in [
        ("gzip", gzip.compress(line * 1000)),
        ("gzip", gzip.compress(line * 999) + gzip.compress(b"") + gzip.compress(line)),
        ("deflate", zlib.compress(line * 1000)),
        ("identity", line * 1000),
    ]:
        assert packed(plain, body, encoding) == (200, {"observed": 1000}), encoding
    assert packed(plain, gzip.compress(json.dumps([ROW]).encode()), "gzip", "application/json")[1]["observed"] == 1


def test_compressed_bodies_that_are_not(plain: Client) -> None:
    whole = gzip.compress(json.dumps(ROW).encode() + b"\n")
    bomb = gzip.compress(b"\n" * 9_000_000)
    assert len(bomb) < 10_000
    for body, encoding, status, code in [
        (whole[:-9], "gzip", 400, "bad_encoding"),
        (b"", "gzip", 400, "bad_encoding"),
        (b"nonsense", "gzip", 400, "bad_encoding"),
        (whole, "deflate", 400, "bad_encoding"),
        (whole, "br", 415, "wrong_encoding"),
        (whole, "gzip, gzip", 415, "wrong_encoding"),
        (bomb, "gzip", 413, "too_large"),
    ]:
        for content_type in (LINES, "application/json"):
            got, answer = packed(plain, body, encoding, content_type)
            assert (got, answer["error"]["code"]) == (status, code), (body[:20], encoding)


def mixed_row(rng: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {
        "features": [
            rng.choice([rng.uniform(0, 100), rng.randint(0, 99), None]),
            rng.random(),
            rng.choice(["f", "m", "x", None, True, 2]),
        ],
        "prediction": rng.choice(["yes", "no", "perhaps"]),
    }
    if rng.random() < 0.3:
        row["features"] = dict(zip(["age", "dose", "sex"], row["features"], strict=True))
    return row


def list_of(features: Any) -> list[Any]:
    return [features[name] for name in ("age", "dose", "sex")] if isinstance(features, dict) else features


def test_short_and_long_way_count_alike(mixed: Client, host: Callable[..., Client]) -> None:
    rng = random.Random(5)
    rows = [mixed_row(rng) for _ in range(400)]
    listed = [{**row, "features": list_of(row["features"])} for row in rows]
    named = [
        {**row, "features": dict(zip(["sex", "age", "dose"], [sex, age, dose], strict=True))}
        for row in listed
        for age, dose, sex in [row["features"]]
    ]
    other = host(mixed=True)
    for some in (rows, listed, named):
        assert send(mixed, some)[1]["observed"] == 400
        for row in some:
            assert other.post(row, "/observe")[0] == 200

    def series(server: Client) -> list[str]:
        server.predictions()
        lines = server.get("/metrics")[2].decode().splitlines()
        return [
            re.sub('replica="[^"]*"', "", line)
            for line in lines
            if line.startswith(("telltale_value_bucket", "telltale_category", "telltale_miss"))
        ]

    assert series(mixed) == series(other)
    assert len(series(mixed)) > 20


def test_blocks_are_lines() -> None:
    data = b"".join(b"%d\n" % number for number in range(400_000)) + b"end"
    lines = [line for _, block in blocks(body_parts({"wsgi.input": io.BytesIO(data)}, 0)) for line in block]
    assert lines == data.split(b"\n")
