"""The hot route in this process: models that misbehave, bodies of any kind, labels of every type."""

from __future__ import annotations

import gzip
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from server.endpoint import Failures
from server.predict import Predictor
from tests.server import models
from tests.server.models import Moody, Steady
from tests.support.models import with_arrays


class Served:
    """A model behind the WSGI callable, with a real runtime whose folds are called by hand."""

    def __init__(self, folder: Path, model: Any, predictions: Any, config: str = "", **options: Any) -> None:
        (folder / "config.toml").write_text(f'{config}\n[data]\npath = "{folder / "data"}"\n')
        rows = [[step / 10, step / 20] for step in range(50)]
        reference = Reference.from_data(rows, predictions, names=["a", "b"], **options)
        self.runtime = Runtime.of_one(Config.load(str(folder / "config.toml")), reference, "v1")
        self.application = Predictor(
            with_arrays(model, self.runtime.only.reference.schema), self.runtime, self.runtime.only
        )

    def post(self, body: bytes, kind: str = "application/json", request_id: str = "") -> tuple[int, dict[str, Any]]:
        """Status and JSON, checked for what holds of every answer."""
        answered: list[tuple[str, dict[str, str]]] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "CONTENT_TYPE": kind,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            **({"HTTP_X_REQUEST_ID": request_id} if request_id else {}),
        }
        (data,) = self.application(environ, lambda status, headers: answered.append((status, dict(headers))))  # type: ignore[arg-type]
        ((status, headers),) = answered
        own = {"X-Request-Id": request_id} if request_id and status == "200 OK" else {}
        assert headers == {"Content-Type": "application/json", "Content-Length": str(len(data)), **own}
        content = json.loads(data)
        assert ("error" in content) == (status != "200 OK")
        if "error" in content:
            assert content["error"]["code"]
            assert content["error"]["message"]
        return int(status.split()[0]), content

    def ask(self, value: Any) -> tuple[int, dict[str, Any]]:
        return self.post(json.dumps(value).encode())

    def counts(self, column: str) -> dict[str, int]:
        """Live counts of a column, after a fold; bins that are empty left out."""
        self.runtime.fold()
        schema = self.runtime.only.reference.schema
        counts = schema.split(self.runtime.only.totals.counts)
        position = [c.name for c in schema.columns].index(column)
        labels = schema.columns[position].labels
        return {label: count for label, count in zip(labels, counts[position].tolist(), strict=True) if count}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    opened: list[Served] = []

    def build(model: Any = None, predictions: Any = None, config: str = "", **options: Any) -> Served:
        answers = predictions if predictions is not None else [step / 5 for step in range(50)]
        opened.append(Served(tmp_path, model or Moody(), answers, config, **options))
        return opened[-1]

    yield build
    for served in opened:
        served.runtime.close()


@pytest.mark.parametrize(
    ("mood", "named"),
    [
        (models.RAISE, "bad mood"),
        (models.NAN, "not finite"),
        (models.SHAPE, "shape (1, 2) for 1 rows"),
        (models.LEAVE, "SystemExit: 7"),
        (models.ODD, "neither a number nor a text"),
    ],
)
def test_a_model_that_fails_is_a_500_with_an_id_and_is_counted(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture, mood: float, named: str
) -> None:
    served = serve()
    status, content = served.ask([mood, 1.0])
    error = content["error"]
    assert (status, error["code"]) == (500, "model_failed")
    assert error["id"] in error["message"]
    assert error["id"] in caplog.text
    assert named in caplog.text
    assert named not in json.dumps(content)
    assert served.ask([1.0, 1.0])[0] == 200
    assert served.runtime.instruments.read().model_errors == 1
    assert sum(served.counts("a").values()) == 1
    assert b"telltale_model_errors_total" in served.runtime.metrics()[0]
    packed, headers = served.runtime.metrics("", "gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert b"telltale_model_errors_total" in gzip.decompress(packed)


def test_failures_are_logged_once_a_second_and_kind(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(0.0)
    failures = Failures(clock)
    first = [failures.note(ValueError("x")) for _ in range(50)]
    other = failures.note(KeyError("y"))
    assert len({*first, other}) == 2
    clock.advance(1.5)
    later = failures.note(ValueError("x"))
    assert later not in {*first, other}
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in records] == [
        f"prediction failed, error id {first[0]}",
        f"prediction failed, error id {other} (49 more since the last such line)",
        f"prediction failed, error id {later}",
    ]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(["setosa", "virginica"], "categorical"), ([3, 5], None), ([False, True], "categorical"), ([0.5, 1.5], None)],
)
def test_every_type_of_label_comes_back_as_json(serve: Callable[..., Served], labels: list[Any], kind: Any) -> None:
    served = serve(Moody(labels), labels * 25, prediction_kind=kind)
    status, content = served.ask([1.0, 0.0])
    assert status == 200
    assert content["result"] == labels[1]
    assert type(content["result"]) is type(labels[1])
    assert served.ask([[0.0, 0.0], [1.0, 0.0]])[1]["results"] == labels


def test_missing_is_refused_unless_allowed(serve: Callable[..., Served]) -> None:
    served = serve()
    for body in (b"[null, 1]", b"[NaN, 1]", b"[[1, 2], [null, 1]]"):
        assert served.post(body)[1]["error"]["code"] == "missing"
    assert served.counts("a") == {}


def test_missing_that_is_allowed_is_counted_as_missing(serve: Callable[..., Served]) -> None:
    served = serve(Moody([1.0, 2.0]), config='[model]\nmissing = "allow"')
    for body in (b"[null, 1]", b"[NaN, 1]", b"[[1, 2], [null, 1], [NaN, 2]]"):
        assert served.post(body)[0] == 200
    assert served.counts("a")["__missing__"] == 4
    assert sum(served.counts("a").values()) == 5
    assert "__missing__" not in served.counts("b")


def test_texts_for_a_categorical_feature(serve: Callable[..., Served], tmp_path: Path) -> None:
    class Length:
        def predict(self, rows: Any) -> list[float]:
            return [float(len(row[0])) for row in rows]

    rows = [{"a": "red", "b": 1.0}, {"a": "green", "b": 2.0}] * 25
    served = Served.__new__(Served)
    reference = Reference.from_data(rows, [3.0, 5.0] * 25)
    (tmp_path / "config.toml").write_text(f'[data]\npath = "{tmp_path / "data"}"\n')
    served.runtime = Runtime.of_one(Config.load(str(tmp_path / "config.toml")), reference, "v1")
    served.application = Predictor(
        with_arrays(Length(), served.runtime.only.reference.schema), served.runtime, served.runtime.only
    )
    try:
        assert served.ask(["red", 1.0])[1]["result"] == 3.0
        assert served.post(b'["\\ud800\\u0000<b>", 1]')[1]["result"] == 5.0
        assert served.ask([["green", 1.0], ["blue", 2.0]])[1]["results"] == [5.0, 4.0]
        assert served.counts("a") == {"red": 1, "green": 1, "__other__": 2}
        assert b"\xed\xa0" not in served.runtime.metrics()[0]
    finally:
        served.runtime.close()


numbers = st.floats(-1e6, 1e6) | st.integers(-(2**53), 2**53)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)
bodies = st.one_of(
    st.binary(max_size=40),
    st.text("[]{},:.0123456789eE+-\"' nulltrefasNIiy\\d8", max_size=40).map(str.encode),
    anything.map(lambda value: json.dumps(value).encode()),
    st.lists(anything, max_size=3).map(lambda value: json.dumps(value).encode()),
    st.lists(numbers, min_size=2, max_size=2).map(lambda value: json.dumps(value).encode()),
    st.lists(st.lists(numbers | st.none(), min_size=2, max_size=2), max_size=4).map(lambda v: json.dumps(v).encode()),
)


@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(body=bodies, missing=st.booleans())
def fuzz(served: dict[bool, Served], tally: dict[str, int], body: bytes, missing: bool) -> None:
    status, content = served[missing].post(body)
    assert status in {200, 400, 413, 415, 422}, (status, content, body)
    if status == 200:
        rows = len(content["results"]) if "results" in content else 1
        tally["rows"] += rows
        tally["ids"] += len(content.get("prediction_ids", [0]))
    else:
        tally["refused"] += 1


def test_no_body_is_a_5xx_and_counts_equal_answers(serve: Callable[..., Served], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    labels = [1.0, 2.0]
    allowed = Served(tmp_path / "other", Steady(), labels * 25, '[model]\nmissing = "allow"')
    served = {False: serve(Steady(), labels * 25), True: allowed}
    tally = {"rows": 0, "ids": 0, "refused": 0}
    try:
        fuzz(served, tally)
        assert tally["rows"] == tally["ids"] > 100
        recorded = sum(sum(one.counts("b").values()) for one in served.values())
        refused = sum(sum(one.runtime.instruments.read().rejected.values()) for one in served.values())
        assert (recorded, refused) == (tally["rows"], tally["refused"])
        for one in served.values():
            assert one.runtime.metrics()[0].endswith(b"\n")
    finally:
        allowed.runtime.close()


def test_the_callers_id_comes_back_and_counts_once(serve: Callable[..., Served]) -> None:
    served = serve()
    for _ in range(2):
        assert served.post(b"[1, 2]", request_id="from a header")[1]["result"] == 2.0
        assert served.ask({"a": 1, "b": 2, "id": 17})[1]["id"] == 17
        assert served.ask([{"a": 1, "b": 2, "id": "x"}, {"a": 1, "b": 2}])[1]["ids"] == ["x", None]
        assert len(served.post(b"[[1, 2], [3, 4]]", request_id="batch")[1]["prediction_ids"]) == 2
    assert "id" not in served.ask({"a": 1, "b": 2})[1]
    served.runtime.fold()
    assert served.runtime.only.totals.n == 1 + 1 + 2 + 2 + 1 + 1
    status, answer = served.ask({"a": 1, "b": 2, "id": [1]})
    assert (status, answer["error"]["code"], answer["error"]["where"]) == (422, "bad_id", "key id")


def test_a_feature_that_is_called_id_is_a_feature(tmp_path: Path) -> None:
    reference = Reference.from_data([[step / 10, step / 20] for step in range(50)], [1.0] * 50, names=["id", "b"])
    runtime = Runtime.of_one(Config.from_text(f'[data]\npath = "{tmp_path / "data"}"'), reference, "v1")
    try:
        predictor = Predictor(with_arrays(Steady(), reference.schema), runtime, runtime.only)
        assert predictor._payload.parse(b'{"id": 1, "b": 2}').ids is None
    finally:
        runtime.writer.start()
        runtime.close()
