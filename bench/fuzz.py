"""Requests that no client should send, to every route: none may be answered with 5xx, or repeated at length.

    python -m bench.fuzz --count 100000 --seed 1

Each request begins as a good one and is changed at random: values, nesting, names, types, bytes, headers, query. It
goes through the application as `python -m server` joins it, without sockets.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from wsgiref.types import WSGIApplication

import numpy as np

from monitor.config.load import Config
from monitor.models.model import Model
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from server.guard import Guard
from server.routes import create_application
from tests.support.models import with_arrays

#: Error codes that may come with 5xx, since docs/api.md says when they do. None is the doing of a client here.
DOCUMENTED: frozenset[str] = frozenset()

#: Characters of what a client sent that an answer may repeat in one piece.
ECHO = 200

ROW = {"age": 41.5, "dose": 2, "site": "north"}


class Sign:
    """A model that takes every row: 1 if the first feature is positive, 2 otherwise."""

    def predict(self, rows: Any) -> Any:
        """Answer rows of lists, shape (n, 3)."""
        return np.array([1.0 if isinstance(row[0], (int, float)) and row[0] > 0 else 2.0 for row in rows])


class Request(NamedTuple):
    """What is sent."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


def nested(depth: int) -> Any:
    """Return lists or objects within one another."""
    data: Any = 1
    for _ in range(depth):
        data = [data] if depth % 2 else {"a": data}
    return data


#: Makes a value that does not belong where it is put.
ODD: list[Callable[[random.Random], Any]] = [
    lambda _: None,
    lambda _: True,
    lambda _: "",
    lambda _: [],
    lambda _: {},
    lambda _: [[]],
    lambda _: -1,
    lambda _: 1e308,
    lambda _: -1.5e308,
    lambda _: float("nan"),
    lambda _: float("inf"),
    lambda _: 5e-324,
    lambda r: 10 ** r.choice([15, 18, 19, 25, 40, 308, 309, 400]),
    lambda r: -(2 ** r.choice([53, 63, 64, 1023, 1024])),
    lambda _: "\ud800",
    lambda _: "\x00\u202e=1+1",
    lambda _: "north",
    lambda r: "Q" * r.choice([199, 201, 5000]),
    lambda r: nested(r.choice([2, 9, 31, 33, 200])),
    lambda r: [9] * r.choice([1, 9, 3000]),
    lambda r: r.choice(["2026-03-01", "0001-01-01", "9999-12-31T23:59:59", "2026-13-01", "1e400", "-0"]),
    lambda r: {"features": ROW, "prediction": r.random()},
]

TYPES = [
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/octet-stream",
    "text/plain",
    "",
    ";;",
    "*/*",
]


def good(r: random.Random) -> Request:
    """A request that the server takes."""
    tensors = [{"name": name, "shape": [1, 1], "datatype": "BYTES" if name == "site" else "FP64", "data": [value]}
               for name, value in ROW.items()]  # fmt: skip
    seen = {"features": ROW, "prediction": 2.0, "time": r.choice([1e9, "2026-03-01T12:00:00Z"]), "id": r.random().hex()}
    forms: list[tuple[str, Any]] = [
        ("/", list(ROW.values())),
        ("/predict", ROW),
        ("/predict", [list(ROW.values())] * 2),
        ("/observe", seen),
        ("/observe", [seen, seen]),
        ("/outcomes", {"id": seen["id"], "outcome": 2.5}),
        ("/outcomes", [{"id": "a", "outcome": None}, {"prediction": 2.0, "outcome": 2.5, "time": seen["time"]}]),
        ("/api/v1.0/feedback", {"response": {"meta": {"puid": "a"}}, "truth": {"data": {"ndarray": [[2.5]]}}}),
        ("/invocations", {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}}),
        ("/invocations", {"dataframe_records": [ROW]}),
        ("/invocations", {"inputs": {name: [value] for name, value in ROW.items()}}),
        ("/invocations", {"instances": [list(ROW.values())], "params": {"a": 1}}),
        ("/v2/models/model/infer", {"id": "a", "inputs": tensors, "outputs": [{"name": "prediction"}]}),
    ]
    path, data = r.choice(forms)
    return Request("POST", path, "", {"CONTENT_TYPE": "application/json"}, json.dumps(data).encode())


def change_data(r: random.Random, data: Any) -> Any:
    """Put something odd into one place of JSON data."""
    if isinstance(data, dict) and data and r.random() < 0.85:
        key = r.choice(list(data))
        kind = r.random()
        if kind < 0.1:
            return {name: value for name, value in data.items() if name != key}
        if kind < 0.2:
            return {**data, r.choice(["", "Q" * 3000, "a\nb", "=1", "\ud800", "id", "parameters"]): r.choice(ODD)(r)}
        return {**data, key: change_data(r, data[key])}
    if isinstance(data, list) and data and r.random() < 0.85:
        at = r.randrange(len(data))
        if r.random() < 0.15:
            return data[:at] + data[at + 1 :] + [r.choice(ODD)(r)] * r.randrange(3)
        return [*data[:at], change_data(r, data[at]), *data[at + 1 :]]
    return r.choice(ODD)(r)


def change_bytes(r: random.Random, body: bytes) -> bytes:
    """Damage bytes."""
    out = bytearray(body)
    for _ in range(r.randrange(1, 4)):
        at, kind = r.randrange(len(out) + 1), r.randrange(4)
        if kind == 0 and at < len(out):
            out[at] = r.randrange(256)
        elif kind == 1:
            out[at:at] = r.choice([b"\x00", b"[", b"]" * 40, b"{", b'"', b"\xff", b"\n", b",", b"1" * 400, b"1e999"])
        elif kind == 2:
            del out[at : at + r.randrange(20)]
        else:
            out = out[:at]
    return bytes(out)


def bad_body(r: random.Random) -> Request:
    """A good request, changed."""
    request = good(r)
    headers, body, data = dict(request.headers), request.body, json.loads(request.body)
    for _ in range(r.choice([1, 1, 1, 2, 5])):
        data = change_data(r, data)
    body = json.dumps(data, ensure_ascii=r.random() < 0.5).encode("utf-8", "surrogatepass")
    if r.random() < 0.1:
        body = r.choice([b"[" * 100_000, b"[" * 600 + b"]" * 600, b'{"a":' * 5000, b"1" * 5000, b"", b"\xef\xbb\xbf[]"])
    if request.path in ("/observe", "/outcomes") and r.random() < 0.5:
        headers["CONTENT_TYPE"] = "application/x-ndjson"
        lines = data if isinstance(data, list) else [data]
        body = b"\n".join(json.dumps(line).encode() for line in lines)
        if r.random() < 0.5:
            body = body.replace(b", ", b"\n", 1)
    if request.path.endswith("infer") and r.random() < 0.3:
        length = r.choice([str(len(body)), "0", "-1", "9" * 400, "1e3", "\u0664", str(len(body) // 2)])
        headers["HTTP_INFERENCE_HEADER_CONTENT_LENGTH"] = length
        body += struct.pack("<Id", r.randrange(1 << 32), r.random())
    if request.path == "/invocations" and r.random() < 0.3:
        headers["CONTENT_TYPE"] = r.choice(["text/csv", "text/csv; charset=latin-1", "text/csv;charset="])
        body = b'age,dose,site\n1,2,"no\nrth"\n' + json.dumps(data).encode()
    if r.random() < 0.3:
        body = change_bytes(r, body)
    if r.random() < 0.1:
        headers["HTTP_CONTENT_ENCODING"] = r.choice(["gzip", "deflate", "br", "gzip, gzip", "Q" * 400])
        body = r.choice([gzip.compress(body), gzip.compress(body)[:-3], body, gzip.compress(b"x") * 1500])
    if r.random() < 0.1:
        headers["CONTENT_TYPE"] = r.choice(TYPES)
    return request._replace(headers=headers, body=body)


PATHS = [
    "/", "/alerts", "/monitor", "/column/feature", "/column/prediction", "/silence", "/login", "/metrics", "/healthz",
    "/readyz", "/api/status", "/api/drift", "/api/alerts", "/api/windows", "/assets/page.css", "/assets/../x", "/ping",
    "/health", "/version", "/v2", "/v2/", "/v2/models", "/v2/models/model", "/v2/models/model/versions/1/ready",
    "/v2/models//infer", "/nowhere", "//", "/silence/expire", "/logout", "/column/x", "/\xff\xfe", "/api/" + "Q" * 3000,
]  # fmt: skip
KEYS = ["name", "range", "q", "state", "role", "format", "from", "to", "step", "column", "model_version", "next", "for"]
TEXTS = [
    "", "age", "prediction", "json", "csv", "1h", "0s", "1d", "99999999999y", "0.000001ms",
    "0001-01-01", "9999-12-31T23:59:59",
    "2026-03-01T12:00:00+14:00", "1970-01-01", "\x00", "\udcff", "=1+1", "Q" * 3000, "-1", "1e400", "..", "//evil",
]  # fmt: skip


def bad_query(r: random.Random) -> Request:
    """A look at a page or the API, or a form, with odd fields."""
    fields = "&".join(
        f"{r.choice(KEYS)}={quote(r.choice(TEXTS), safe='', errors='surrogateescape')}" for _ in range(r.randrange(5))
    )
    headers = {
        "HTTP_ACCEPT": r.choice(["text/html", "*/*", "", "application/openmetrics-text; version=1.0.0", "Q" * 400])
    }
    headers["HTTP_COOKIE"] = r.choice(["", "a=b", "telltale_=\xff", "=;;=" * 50])
    if r.random() < 0.2:
        headers["HTTP_ORIGIN"] = r.choice(["null", "http://localhost", "http://[", "://", "http://box:99", "Q" * 400])
    if r.random() < 0.1:
        headers["HTTP_HOST"] = r.choice(["", "[", "[::1", "a b", "localhost:x", "\xff", "Q" * 400])
    if r.random() < 0.1:
        headers["HTTP_AUTHORIZATION"] = r.choice(["", "Bearer", "Bearer \xff", "Basic x", "Bearer " + "Q" * 400])
    method = r.choice(["GET"] * 8 + ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "Q", ""])
    body = b""
    if method == "POST":
        headers["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
        body = fields.encode()
    return Request(method, r.choice(PATHS), fields, headers, body)


def send(application: WSGIApplication, request: Request) -> tuple[int, bytes]:
    """Have a request answered: its status and body."""
    statuses: list[str] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost:5000",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **request.headers,
    }
    parts = application(environ, lambda status, _headers, _info=None: statuses.append(status))  # type: ignore[arg-type]
    body = b"".join(parts)
    if hasattr(parts, "close"):
        parts.close()
    return int(statuses[-1].split()[0]), body


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Runtime, Model]]:
    """Open a runtime in `folder`, and a model for it."""
    (folder / "config.toml").write_text(
        f'[data]\npath = "{folder / "data"}"\n[model]\npath = "model.pkl"\n[outcomes]\n'
    )
    rows = [[float(step), step % 7, ("north", "south", "10")[step % 3]] for step in range(300)]
    reference = Reference.from_data(rows, [1.0 + step % 2 for step in range(300)], names=list(ROW))
    runtime = Runtime.of_one(Config.load(str(folder / "config.toml")), reference, "v1")
    try:
        runtime.start()
        yield runtime, with_arrays(Sign(), reference.schema)
    finally:
        runtime.close()


@contextmanager
def served(folder: Path) -> Iterator[WSGIApplication]:
    """Open the application of a server in `folder`, with a model."""
    with opened(folder) as (runtime, model):
        yield create_application(runtime, {runtime.only.name: model}, Guard(clock=runtime.clock))


def wrong(status: int, body: bytes) -> str:
    """Say what is wrong with an answer; empty if nothing is."""
    if status >= 500:
        code = json.loads(body).get("error", {}) if body[:1] == b"{" else {}
        if not isinstance(code, dict) or code.get("code") not in DOCUMENTED:
            return f"{status} {body[:200]!r}"
    if status >= 400 and b"Q" * (ECHO + 1) in body:
        return f"{status} repeats more than {ECHO} characters: {body[:200]!r}"
    return ""


def run(count: int, seed: int) -> tuple[Counter[int], list[tuple[Request, str]], tuple[float, Request | None]]:
    """Send `count` requests: answers by status, requests answered wrongly, and the slowest one with its CPU time."""
    r = random.Random(seed)
    statuses: Counter[int] = Counter()
    failures: list[tuple[Request, str]] = []
    slowest: tuple[float, Request | None] = (0.0, None)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as application:
        for _ in range(count):
            request = bad_body(r) if r.random() < 0.8 else bad_query(r)
            began = time.thread_time()
            try:
                status, body = send(application, request)
            except Exception as error:  # noqa: BLE001 - the server would answer 500
                status, body = 500, repr(error).encode()
            took = time.thread_time() - began
            slowest = max(slowest, (took, request), key=lambda one: one[0])
            statuses[status] += 1
            if said := wrong(status, body):
                failures.append((request, said))
    return statuses, failures, slowest


def main() -> int:
    """Fuzz, and print what was answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    statuses, failures, (seconds, request) = run(options.count, options.seed)
    print("| status | answers |\n| --- | --- |")
    for status, answers in sorted(statuses.items()):
        print(f"| {status} | {answers:,} |")
    path = request.path if request else ""
    print(f"\nslowest answer: {seconds * 1000:.0f} ms, {path}; answered wrongly: {len(failures)}")
    for failed, said in failures[:20]:
        print(
            f"{failed.method} {failed.path[:80]}?{failed.query[:80]} {failed.headers} {failed.body[:300]!r}\n    {said}"
        )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
