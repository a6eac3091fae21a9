"""`/replicate` over real HTTP: whatever is sent, the answer is 4xx with words, and the store goes on."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zlib import crc32

import numpy as np
import pytest

from bench.running import Client as Asked
from bench.running import wait_for
from monitor import Monitor
from monitor.capture.segment import HEADER, MAGIC, NOTES_AT, RECORDS_AT, Notes, checksums, record_dtype
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.source.recorder import Recorder
from server import replicate
from tests.server.hosted import served

CONFIG = '[model]\npath = ""\n[window]\nfold = "50ms"\n[outcomes]\n[server]\nmax_body = "1MB"\n'
TOKEN = "00c0ffee0000"
BYTES = "application/octet-stream"

Query = dict[str, object]


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Asked, list[tuple[bytes, Query]]]]:
    """A server, and what a client sends it: names, predictions and outcomes."""
    random = np.random.default_rng(1)
    rows = {"age": random.normal(50, 10, 99), "sex": random.choice(["f", "m"], 99).tolist()}
    Reference.from_data(rows, random.normal(0, 1, 99)).save(tmp_path / "histogram.prom")
    with served(tmp_path, CONFIG) as server:
        client = Monitor.connect(f"http://127.0.0.1:{server.port}", spool=tmp_path / "spool")
        found, ask = list[tuple[bytes, Query]](), client._link.ask

        def ask_noting(body: bytes | None, **query: object) -> bytes:
            found.append((body or b"", query))
            return ask(body, **query)

        client._stop.set()
        client._thread.join()
        ids = client.observe_many([{"age": 1, "sex": "x"}] * 20, np.zeros(20))
        client.outcome_many(ids[:5], np.ones(5))
        monkeypatch.setattr(client._link, "ask", ask_noting)
        client.flush()
        yield server, found
        client.close()


def post(server: Asked, body: bytes, query: Query, **headers: str) -> tuple[int, bytes]:
    status, _, reply = server.request(
        "POST", f"/replicate?{urlencode(query)}", body, **{"Content-Type": BYTES, **headers}
    )
    return status, reply


def changed(body: bytes, at: int, form: str, *values: object) -> bytes:
    """A body with other values at a place, and whatever checksums it has made good."""
    data = bytearray(body)
    struct.pack_into(form, data, at, *values)
    _, *fields, _ = HEADER.unpack(bytes(data[: HEADER.size]))
    data[: HEADER.size] = HEADER.pack(MAGIC, *fields, crc32(HEADER.pack(MAGIC, *fields, 0)))
    size = fields[1]
    records = np.frombuffer(data, record_dtype((size - 32) // 8), offset=RECORDS_AT) if size in (56, 72) else None
    if records is not None:
        records["crc"] = checksums(records, records["seq"])
    return bytes(data)


def test_every_part_that_is_no_part_is_refused(sent: tuple[Asked, list[tuple[bytes, Query]]]) -> None:
    server, parts = sent
    (names, of_names), (rows, of_rows), (outcomes, of_outcomes) = parts
    lines = (b"x\n", b'[0, "a"]', b"[9, 1]\n", b'[9, "a"]\n', b'[1, "\\u0000"]\n', b"[" * 9000 + b"\n")
    dropped = ((3, 0, 0, 1), (1 << 60, 0, 0, 1), (1 << 40, -5, 0, 1), (1 << 40, 5, 1, 1), (1 << 40, 0, 1, 1 << 20))
    notes = [Notes(True, *some).pack() for some in dropped]
    files = ("/etc/passwd", "journal/../x", "journal/1.journal", of_names["file"])
    wrong: list[tuple[bytes, Query]] = [
        *((rows, {**of_rows, "client": one}) for one in ("", "x", "0" * 13, "../../aaaaaaa", "ABCDEF000000")),
        *((rows, {**of_rows, "file": one}) for one in files),
        *((rows, {**of_rows, "at": one}) for one in ("", "-1", "1", "129", 1 << 40, "9" * 13)),
        *((rows, {**of_rows, "client": TOKEN, key: "x"}) for key in ("model", "version", "reference")),
        *((body, of_rows) for body in (b"", b"x", rows[:-1], rows[: RECORDS_AT + 9], rows[:20], outcomes, b"{}" * 900)),
        (rows, {**of_rows, "file": "journal/00000000000000000002.journal"}),
        (rows[:-3] + b"xyz", of_rows),
        (changed(rows, 8, "<Q", 1 << 50), {**of_rows, "file": f"journal/{1 << 50:020}.journal"}),
        (changed(rows, 20, "<I", 1 << 31), of_rows),
        (changed(rows, 16, "<I", 32), of_rows),
        *((rows[:NOTES_AT] + one + rows[NOTES_AT + len(one) :], of_rows) for one in notes),
        *((changed(rows, RECORDS_AT + 16, "<q", time), of_rows) for time in (-1, (1 << 63) - 1)),
        *((changed(rows, RECORDS_AT + 32, "<d", code), of_rows) for code in (-1, 0.5, 1e300, np.inf)),
        *((changed(outcomes, RECORDS_AT + 24, "<d", number), of_outcomes) for number in (np.nan, -1, 0.5, 1e300)),
        *((changed(outcomes, RECORDS_AT + 32, "<d", token), of_outcomes) for token in (np.nan, -1, 1e300)),
        *((changed(outcomes, RECORDS_AT + 40, "<d", known), of_outcomes) for known in (-1, np.inf, 1e300)),
        *((changed(outcomes, RECORDS_AT + 48, "<d", value), of_outcomes) for value in (np.inf, 1e300)),
        *((body, of_names) for body in lines),
        (names, {**of_names, "at": replicate.NAMES}),
        (names, {**of_names, "file": f"journal/unseen-{'0' * 16}.jsonl"}),
    ]
    before = server.predictions()
    for number, (body, query) in enumerate(wrong):
        status, reply = post(server, body, query)
        assert status in (409, 415, 422), (number, query, status, reply)
        assert len(reply) > 60
    assert post(server, rows, of_rows, **{"Content-Type": "text/plain"})[0] == 415
    assert post(server, b"x" * 1_000_001, of_rows)[0] == 413
    assert server.request("PUT", "/replicate", b"")[0] == 405
    assert server.predictions() == before == 20
    server.healthy()


def test_bytes_that_are_damaged_on_the_way_do_no_harm(sent: tuple[Asked, list[tuple[bytes, Query]]]) -> None:
    server, parts = sent
    rng = random.Random(20261130)
    for _ in range(80):
        body, query = rng.choice(parts)
        data = bytearray(body)
        for _ in range(rng.choice([1, 1, 9])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        cut = rng.choice([len(data), rng.randrange(len(data))])
        status, _ = post(server, bytes(data[:cut]), {**query, "client": f"{rng.randrange(4):012}"})
        assert status < 500
    assert server.predictions() >= 20
    wait_for(lambda: server.json("/healthz")["checks"][1]["condition"] == "ok", "the check to be good")


def test_the_token_of_another_journal_is_refused(sent: tuple[Asked, list[tuple[bytes, Query]]]) -> None:
    server, parts = sent
    body, query = parts[1]
    row = {"features": {"age": 1, "sex": "f"}, "prediction": 1.0}
    own = server.post(row, "/observe")[1]["prediction_id"].partition("-")[0]
    status, reply = post(server, body, {**query, "client": own})
    assert status == 409
    assert b"belong to another journal" in reply


def test_clients_are_limited(sent: tuple[Asked, list[tuple[bytes, Query]]], monkeypatch: pytest.MonkeyPatch) -> None:
    server, parts = sent
    monkeypatch.setattr(replicate, "CLIENTS", 2)
    body, query = parts[1]
    found = [post(server, body, {**query, "client": f"{number:012}"})[0] for number in range(3)]
    assert found == [200, 429, 429]
    assert post(server, body, query)[0] == 200


def test_routes_that_replace_others_take_up_their_clients(tmp_path: Path) -> None:
    reference = Reference.from_data(np.arange(99.0).reshape(99, 1), np.arange(99.0))
    config = Config.from_text(f'[data]\npath = "{tmp_path / "data"}"\nsegment = "64KiB"\n')
    runtime = Runtime.of_one(config, reference, "v1")
    recorder = Recorder(tmp_path / "journal", reference.schema, config, runtime.clock, token=TOKEN)
    recorder.record([1.0], [2.0])
    body = next((tmp_path / "journal").glob("*.journal")).read_bytes()
    about = {"client": TOKEN, "model": "model", "version": "v1", "reference": reference.identity}
    of_file = urlencode({**about, "file": f"journal/{1:020}.journal", "at": RECORDS_AT})
    before, after = (replicate.Replication(runtime, 1 << 20, runtime.only) for _ in range(2))

    def ask(routes: replicate.Replication, query: str, body: bytes) -> Any:
        given = {"REQUEST_METHOD": "POST", "QUERY_STRING": query, "CONTENT_TYPE": BYTES}
        environ = {**given, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        return json.loads(routes(environ).body)

    for routes in (before, after, before, replicate.Replication(runtime, 1 << 20, runtime.only)):
        assert ask(routes, of_file, body)["at"] == len(body)
        runtime.fold()
    for routes in (after, before):
        assert ask(routes, urlencode(about), b"") == {"done": True}
    runtime.fold()
    runtime.writer.start()
    runtime.close()
    assert runtime.only.totals.n == 1
