import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import DataError
from monitor.reference.build import build_reference
from tests.support.clocks import FastClock
from train.fit import load_dataset
from train.load import main, read_shifts, resampled_rows, tutorial_rows


class FakeServer(ThreadingHTTPServer):
    """Answers as Telltale does, and keeps what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[list[object]] = []
        self.status = 200
        self.answer: object = None
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer
    server: FakeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        batch = isinstance(body, list) and isinstance(body[0], (list, dict))
        good = {"results": [1.5] * len(body), "prediction_ids": []} if batch else {"result": 1.5, "prediction_id": "x"}
        content = json.dumps(good if self.server.answer is None else self.server.answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        thread = threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        fake.shutdown()
        thread.join()


def test_the_tutorial_sends_sixty_single_rows_at_ten_a_second(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = FastClock()
    assert main(["--url", server.url], clock) == 0
    assert len(server.bodies) == 60
    assert clock.monotonic() == pytest.approx(5.9)
    rows = np.array(server.bodies, dtype=float)
    assert rows.shape == (60, 10)
    assert (rows[:, 1:] == rows[0, 1:]).all()
    assert 0.02 < rows[:, 0].std() < 0.1
    captured = capsys.readouterr()
    assert "-> 1.5" in captured.out
    assert "Sent 60 rows" in captured.out
    assert "none failed" in captured.out
    assert "60/60" in captured.err


def test_the_tutorial_for_the_classifier(server: FakeServer) -> None:
    assert main(["-c", "--url", server.url], FastClock()) == 0
    rows = np.array(server.bodies, dtype=float)
    assert rows[0, 1:].tolist() == [2.8, 4.7, 1.2]
    assert 1 < rows[:, 0].std() < 3


@pytest.mark.parametrize(
    ("options", "requests", "seconds"),
    [
        (["--count", "20"], [1] * 20, 0.19),
        (["--count", "25", "--batch", "10"], [10, 10, 5], 0.2),
        (["--count", "25", "--batch", "10", "--rate", "5"], [10, 10, 5], 4.0),
        (["--count", "7", "--rate", "0"], [1] * 7, 0.0),
        (["--count", "10", "--batch", "10", "--rate", "0"], [10], 0.0),
    ],
)
def test_count_batch_and_rate(server: FakeServer, options: list[str], requests: list[int], seconds: float) -> None:
    clock = FastClock()
    assert main(["--url", server.url, *options], clock) == 0
    assert [len(body) if isinstance(body[0], list) else 1 for body in server.bodies] == requests
    assert clock.monotonic() == pytest.approx(seconds)


def test_resampled_rows_are_rows_of_the_data_set() -> None:
    data = load_dataset("regression")
    known = {tuple(row) for row in data.rows.tolist()}
    assert {tuple(row) for row, _ in islice(resampled_rows(data, {}, 1), 500)} <= known


def test_exactly_the_named_features_move() -> None:
    data = load_dataset("regression")
    still, before = zip(*islice(resampled_rows(data, {}, 1), 1_000), strict=True)
    moved, after = zip(*islice(resampled_rows(data, {"bmi": 1.0, "s5": -2.0}, 1), 1_000), strict=True)
    assert before == after
    deviations = (np.array(moved) - np.array(still)) / data.rows.std(axis=0)
    assert np.allclose(deviations, [0, 0, 1, 0, 0, 0, 0, 0, -2, 0])


def test_outcomes_are_those_of_the_data_set_but_for_a_share_that_is_turned_round() -> None:
    data = load_dataset("regression")
    true = {tuple(row): target for row, target in zip(data.rows.tolist(), data.target.tolist(), strict=True)}
    right = [true[tuple(row)] == came for row, came in islice(resampled_rows(data, {}, 1, 0.3), 5_000)]  # type: ignore[arg-type]
    assert 0.67 < np.mean(right) < 0.73
    flowers = load_dataset("classification")
    classes = {tuple(row): name for row, name in zip(flowers.rows.tolist(), flowers.target.tolist(), strict=True)}
    turned = [(classes[tuple(row)], came) for row, came in islice(resampled_rows(flowers, {}, 1, 1.0), 1_000)]  # type: ignore[arg-type]
    assert all(name != came for name, came in turned)
    assert {came for _, came in turned} == set(classes.values())


def test_a_seed_sends_the_same_rows() -> None:
    assert list(islice(tutorial_rows(False, 3), 5)) == list(islice(tutorial_rows(False, 3), 5))
    assert list(islice(tutorial_rows(False, None), 5)) != list(islice(tutorial_rows(False, None), 5))


@pytest.mark.parametrize("text", ["bmi", "bmi=", "=1", "bmi=x", "bmi=nan", "bmi=inf"])
def test_a_shift_that_cannot_be_read_shows_the_form(text: str) -> None:
    with pytest.raises(DataError, match=r"age=1|no feature ''"):
        read_shifts([text], ["age", "bmi"])


def test_an_unknown_feature_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--shift", "bmj=1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean 'bmi'?" in error
    assert "age, sex, bmi, bp, s1" in error


def test_no_server_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer() as gone:
        url = gone.url
    assert main(["--url", url], FastClock()) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"telltale load: no server answers at {url}: connection refused; `telltale serve` starts one"


@pytest.mark.parametrize("options", [["--rate", "-1"], ["--rate", "nan"], ["--count", "0"], ["--batch", "x"]])
def test_options_out_of_range_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(options)
    assert stop.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_a_server_that_refuses_the_first_row_stops_the_load(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status, server.answer = 400, {"error": {"code": "length", "message": "4 values wanted", "where": "row 0"}}
    assert main(["--url", server.url], FastClock()) == 1
    assert len(server.bodies) == 1
    error = capsys.readouterr().err
    assert "4 values wanted (row 0)" in error
    assert "-c sends iris rows" in error


def test_failures_are_counted_and_the_first_is_shown(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.status, server.answer = 500, {"error": {"code": "model", "message": "the model raised", "where": None}}
    assert main(["--url", server.url, "--count", "5", "--rate", "0"], FastClock()) == 1
    captured = capsys.readouterr()
    assert "Sent 5 rows" in captured.out
    assert "5 failed" in captured.out
    assert "First failure: HTTP 500: the model raised" in captured.err


def test_something_else_that_answers_is_named(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer = {"hello": "world"}
    assert main(["--url", server.url], FastClock()) == 1
    assert "not as Telltale does" in capsys.readouterr().err


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """A file of somebody's own, its reference, and the options that name both."""
    lines = [f"{i},{i / 8},{'Rome' if i % 2 else ''},{i % 3},{'true' if i % 2 else 'False'}" for i in range(100)]
    (tmp_path / "own.csv").write_text("\n".join(["id,size,town,code,ok", *lines]))
    rows = [{"town": "Rome" if i % 2 else None, "size": i / 8, "code": i % 3, "ok": bool(i % 2)} for i in range(100)]
    build_reference(rows, [0.5, 1.5]).save(tmp_path / "own.prom")
    return ["--data", str(tmp_path / "own.csv"), "--reference", str(tmp_path / "own.prom"), "--rate", "0"]


def test_rows_of_a_file_go_by_name_as_a_client_would_send_them(server: FakeServer, own: list[str]) -> None:
    assert main(["--url", server.url, *own, "--count", "200", "--batch", "50", "--seed", "1"], FastClock()) == 0
    rows = [row for body in server.bodies for row in body]
    assert len(rows) == 200
    assert all(list(row) == ["town", "size", "code", "ok"] for row in rows)  # the order of the reference, and no id
    assert {row["town"] for row in rows} == {"Rome", None}
    assert {row["code"] for row in rows} == {0, 1, 2}
    assert all(isinstance(row["ok"], bool) and (row["town"] is None) != row["ok"] for row in rows)
    assert len({row["size"] for row in rows}) > 60


def test_rows_of_a_file_can_be_shifted(server: FakeServer, own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", server.url, *own, "--count", "20", "--shift", "size=100"], FastClock()) == 0
    assert all(body["size"] > 100 for body in server.bodies)
    assert "size moved by +100 standard deviations" in capsys.readouterr().out
    assert main(["--url", server.url, *own, "--shift", "town=1"], FastClock()) == 2
    assert "there is no feature 'town'; the features are size, code" in capsys.readouterr().err


def test_a_file_that_does_not_fit_the_reference_is_one_clear_line(
    server: FakeServer, own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.csv").write_text("size,town,code\n1,x,2\n")
    assert main(["--url", server.url, *own], FastClock()) == 2
    assert "has no column 'ok', which the reference watches; it has size, town, code" in capsys.readouterr().err
    assert server.bodies == []
    (tmp_path / "own.csv").write_text("size,town,code,ok\n")
    assert main(["--url", server.url, *own], FastClock()) == 2
    assert "holds no row that can be used" in capsys.readouterr().err
