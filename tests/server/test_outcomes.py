"""`POST /outcomes` over real HTTP: forms, answers, refusals; Seldon's feedback; and outcomes from Python."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from bench.running import Client
from monitor import Monitor
from monitor.clock import ManualClock
from monitor.columns.column import Floats
from monitor.errors import InputError, StoreError
from monitor.outcomes.baseline import baseline_of
from monitor.outcomes.sums import Target
from monitor.reference.file import Reference
from monitor.source.outcomes import read_outcome
from tests.server.hosted import served

CONFIG = '[model]\npath = ""\n[window]\nfold = "50ms"\n[outcomes]\n'
LINES = "application/x-ndjson"


def reference(classes: bool = False) -> Reference:
    rows = {"age": np.linspace(1, 99, 300)}
    return Reference.from_data(rows, ["yes", "no"] * 150 if classes else np.linspace(0, 9, 300))


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("numbers")
    reference().save(home / "histogram.prom")
    with served(home, CONFIG) as client:
        yield client


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("classes")
    reference(classes=True).save(home / "histogram.prom")
    with served(home, CONFIG) as client:
        yield client


def observe(client: Client, prediction: Any, own: str | None = None) -> str:
    row = {"features": [41], "prediction": prediction, **({"id": own} if own else {})}
    prediction_id: str = client.post(row, "/observe")[1]["prediction_id"]
    return prediction_id


def told(client: Client, rows: Any) -> dict[str, int]:
    """What became of some outcomes, without what is 0."""
    status, answer = client.post(rows, "/outcomes?wait=true")
    assert status == 200, answer
    return {name: count for name, count in answer.items() if count}


def test_one_and_many(numbers: Client) -> None:
    ours, _ = observe(numbers, 3.5), observe(numbers, 4.5, "own/1")
    assert numbers.post({"id": ours, "outcome": 3.0}, "/outcomes") == (200, {"accepted": 1})
    rows = [{"id": ours, "outcome": 3.0}, {"id": "own/1", "outcome": 5, "time": "2026-03-01T12:00:00Z"}]
    assert told(numbers, rows) == {"accepted": 2, "repeated": 1, "joined": 1}
    rows = [{"id": ours, "outcome": None}, {"id": "own/1", "outcome": 6}, {"id": "own/1", "outcome": 6}]
    assert told(numbers, rows) == {"accepted": 3, "corrected": 2, "repeated": 1}
    rows = [{"id": "nobody's", "outcome": 1}, {"id": "0123456789ab-1", "outcome": 1}]
    assert told(numbers, rows) == {"accepted": 2, "waiting": 1, "other_replica": 1}
    whole = {"prediction": 3.5, "outcome": 3, "time": "2026-03-01T12:00:00Z"}
    assert told(numbers, whole) == {"accepted": 1, "joined": 1}
    metrics = numbers.get("/metrics")[2].decode()
    assert "telltale_outcomes_total{" in metrics
    assert "telltale_outcome_delay_seconds_bucket{" in metrics


def test_lines_up_to_the_wrong_one(numbers: Client) -> None:
    ids = [observe(numbers, float(n)) for n in range(3)]
    body = b"".join(json.dumps({"id": one, "outcome": 1}).encode() + b"\n\n" for one in ids)
    status, _, reply = numbers.request("POST", "/outcomes?wait=true", body, **{"Content-Type": LINES})
    assert (status, json.loads(reply)["joined"]) == (200, 3)
    many = b'{"id": "x", "outcome": 1}\n' * 60_000
    status, _, reply = numbers.request("POST", "/outcomes", many + b'{"id": 1}\n', **{"Content-Type": LINES})
    answer = json.loads(reply)
    assert (status, answer["error"]["where"]) == (422, "line 60001")
    assert 0 < answer["accepted"] <= 60_000


@pytest.mark.parametrize(
    ("row", "code", "where"),
    [
        (5, "not_an_object", "row 1"),
        ({"id": "a"}, "missing_key", "row 1"),
        ({"outcome": 1}, "missing_key", "row 1"),
        ({"id": "a", "prediction": 1, "outcome": 1}, "missing_key", "row 1"),
        ({"id": "a", "outcome": 1, "label": 2}, "unknown_key", "row 1"),
        ({"id": None, "outcome": 1}, "bad_id", "row 1"),
        ({"id": [1], "outcome": 1}, "bad_id", "row 1"),
        ({"id": "a", "outcome": "seven"}, "not_an_outcome", "row 1, key outcome"),
        ({"id": "a", "outcome": [1]}, "not_an_outcome", "row 1, key outcome"),
        ({"id": "a", "outcome": float("inf")}, "not_an_outcome", "row 1, key outcome"),
        ({"id": "a", "outcome": 1, "time": "tomorrow"}, "bad_time", "row 1"),
        ({"id": "a", "outcome": 1, "time": "2199-01-01T00:00:00Z"}, "bad_time", "row 1"),
        ({"prediction": 1, "outcome": None}, "not_an_outcome", "row 1"),
        ({"prediction": "x", "outcome": 1}, "not_a_number", "row 1, column prediction"),
    ],
)
def test_refused_whole(numbers: Client, row: Any, code: str, where: str) -> None:
    ours = observe(numbers, 3.5)
    status, answer = numbers.post([{"id": ours, "outcome": 1}, row], "/outcomes")
    assert (status in (400, 422), answer["error"]["code"], answer["error"]["where"]) == (True, code, where)
    assert told(numbers, {"id": ours, "outcome": 1}) == {"accepted": 1, "joined": 1}, "nothing of it was taken"


def test_classes_and_feedback(classes: Client) -> None:
    first, second = observe(classes, "yes"), observe(classes, "no")
    assert told(classes, [{"id": first, "outcome": "perhaps"}]) == {"accepted": 1, "joined": 1}
    feedback = {"response": {"meta": {"puid": second}}, "truth": {"data": {"ndarray": [["yes"]]}}, "reward": 1.0}
    assert classes.post(feedback, "/api/v1.0/feedback") == (200, {"meta": {}})
    assert told(classes, {"id": second, "outcome": "yes"}) == {"accepted": 1, "repeated": 1}
    for wrong, where in [({**feedback, "response": {}}, "response.meta.puid"), ({**feedback, "truth": None}, "reward")]:
        status, answer = classes.post(wrong, "/api/v1.0/feedback")
        assert (status, answer["error"]["where"]) == (422, where)


@pytest.mark.parametrize(
    ("classes", "given", "code"),
    [
        (("0", "1"), True, 1),
        (("0", "1"), np.False_, 0),
        (("0", "1"), "1.0", 1),
        (("0", "1"), np.float32(1), 1),
        (("1", "2"), "true", 0),
        (("1", "2"), "2.0", 1),
        (("false", "true"), 1, 1),
        (("false", "true"), "False", 0),
        (("false", "true"), 2, 2),
        (("1", "1.0"), 1.0, 0),
        (("01067", "1067"), "1067.0", 1),
        (("no", "yes"), "1", 2),
    ],
)
def test_a_class_that_came_true_is_known_by_any_spelling(classes: tuple[str, ...], given: object, code: int) -> None:
    assert read_outcome(Target("binary", classes), given) == code


@pytest.mark.parametrize("given", [math.nan, "nan", "NA", pd.NA, np.array([1]), pd.Series([1]), (1,)])
def test_what_is_no_class_is_no_outcome(given: object) -> None:
    with pytest.raises(InputError, match="expected"):
        read_outcome(Target("binary", ("0", "1")), given)


def test_a_reward_is_an_outcome_of_a_number(numbers: Client) -> None:
    ours = observe(numbers, 3.5)
    body = {"response": {"meta": {"puid": ours}}, "reward": 3.0}
    assert numbers.post(body, "/api/v1.0/feedback")[0] == 200
    assert told(numbers, {"id": ours, "outcome": 3}) == {"accepted": 1, "repeated": 1}


def test_without_the_section_they_are_refused(tmp_path: Path) -> None:
    reference().save(tmp_path / "histogram.prom")
    with served(tmp_path, CONFIG.replace("[outcomes]", "")) as client:
        status, answer = client.post({"id": "a", "outcome": 1}, "/outcomes")
        assert (status, answer["error"]["code"]) == (409, "no_outcomes")
        assert "telltale_outcomes_total" not in client.get("/metrics")[2].decode()


def test_what_cannot_be_joined_now_is_accepted(tmp_path: Path) -> None:
    reference().save(tmp_path / "histogram.prom")
    with served(tmp_path, CONFIG) as client:
        ours = observe(client, 3.5)
        told(client, {"id": ours, "outcome": 1})
        database = tmp_path / "data" / "telltale.db"
        database.rename(tmp_path / "data" / "aside")
        assert client.post({"id": ours, "outcome": 2}, "/outcomes?wait=true") == (202, {"accepted": 1})
        (tmp_path / "data" / "aside").rename(database)
        assert told(client, {"id": ours, "outcome": 2}) == {"accepted": 1, "repeated": 1}


def test_from_python(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'[data]\npath = "{tmp_path / "data"}"\n[outcomes]\nwithin = "1d"\n')
    clock = ManualClock(1_750_000_000.0)
    with Monitor.open(tmp_path / "config.toml", reference=reference(), clock=clock) as monitor:
        ours = monitor.observe([41], 3.5)
        monitor.observe([42], 4.5, id="mine")
        monitor.observe_many([[43], [44]], [1.0, 2.0], ids=["a", None])
        with pytest.raises(InputError, match="NaN"):
            monitor.outcome_many([ours, "mine"], [1.0, np.nan])
        found = monitor.outcome_many(np.array([ours, "mine", "a"]), np.array([1.0, 2.0, 3.0]), wait=True)
        assert (found["accepted"], found["joined"]) == (3, 3)
        monitor.outcome("a", None)
        assert monitor.outcome_many(["a"], [None], wait=True)["repeated"] == 1
    (tmp_path / "config.toml").write_text(f'[data]\npath = "{tmp_path / "data"}"\n')
    with (
        Monitor.open(tmp_path / "config.toml", reference=reference(), clock=clock) as monitor,
        pytest.raises(StoreError, match="outcomes"),
    ):
        monitor.outcome(ours, 1.0)


def test_outcomes_of_flagged_predictions_only_do_not_deceive(tmp_path: Path) -> None:
    """Outcomes come for what was flagged, and for 5 % of the rest: recall looks like 0.9 where it is 0.4."""
    rng = np.random.default_rng(5)

    def answered(rows: int) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        x = rng.normal(size=rows)
        score = 1 / (1 + np.exp(2.6 - 2 * x))
        return x, score, rng.random(rows) < score

    x, score, came = answered(4000)
    flags = np.where(score > 0.5, "yes", "no").tolist()
    made = Reference.from_data({"x": x}, {"flag": flags, "proba_yes": score})
    values = np.column_stack([x, score > 0.5, score])
    replace(made, baseline=baseline_of(made.schema, made.target, values, came * 1.0, "holdout")).save(
        tmp_path / "histogram.prom"
    )
    x, score, came = answered(8000)
    flagged = score > 0.5
    names = np.where(flagged, "yes", "no").tolist()
    lines = [
        {"id": f"p{n}", "features": [float(x[n])], "prediction": [names[n], float(score[n])]} for n in range(len(x))
    ]
    known = np.flatnonzero(flagged | (rng.random(len(x)) < 0.05)).tolist()
    with served(tmp_path, CONFIG) as client:
        for rows, path in (
            (lines, "/observe"),
            ([{"id": f"p{n}", "outcome": yes(came[n])} for n in known], "/outcomes"),
        ):
            body = "".join(json.dumps(row) + "\n" for row in rows).encode()
            status, _, reply = client.request("POST", f"{path}?wait=true", body, **{"Content-Type": LINES})
            assert status == 200, reply
        found = client.json("/api/performance")
    assert (found["predictions"], found["outcomes"]) == (len(x), len(known))
    recall = {one["metric"]: one for one in found["metrics"]}["recall"]
    truth = float((flagged & came).sum() / came.sum())
    assert 0.35 < truth < 0.45
    assert recall["value"] > 0.85
    assert abs(recall["weighted_value"] - truth) < 0.1
    assert recall["weighted_low"] < truth < recall["weighted_high"]
    assert abs(recall["estimated_value"] - truth) < 0.06
    assert found["selected"]["state"] == "drift"
    assert found["spoken_for"] > 0.95


def yes(came: object) -> str:
    return "yes" if came else "no"
