"""Model files of other formats, rows by name, frames, several outputs and probabilities."""

from __future__ import annotations

import pickle
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from bench.running import Server
from monitor.config import Config
from monitor.errors import InputError, ModelError
from monitor.window.reference import Reference
from server.formats import Frames, as_array, example, load_estimator, preparation
from server.model import Model, load_model
from server.payload import Payload
from server.wide import check_outputs
from tests.server.conftest import FAST, Start

X = np.random.default_rng(1).normal(size=(200, 2))
MIXED = Reference.from_data({"age": X[:, 0], "sex": ["f", "m"] * 100}, X[:, 1])


def test_joblib(tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump(LinearRegression().fit(X, X.sum(axis=1)), path)
    reference = Reference.from_data(X, X.sum(axis=1))
    model = load_model(Config.from_text(f'[model]\npath = "{path}"').model, reference)
    assert model.predict([[1.0, 2.0]]) == pytest.approx([3.0])


@pytest.mark.parametrize(("suffix", "library"), [(".skops", "skops"), (".onnx", "onnxruntime")])
def test_a_library_that_is_not_installed_is_named(suffix: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.io", None)
    with pytest.raises(ModelError, match=library):
        load_estimator(Path(f"model{suffix}"), b"x")


def test_untrusted_types_are_listed() -> None:
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    data = skops.dumps(Odd())
    with pytest.raises(ModelError, match="Odd"):
        load_estimator(Path("model.skops"), data)


class Odd:
    def predict(self, rows: Any) -> Any:
        return rows


@pytest.mark.parametrize("suffix", [".pkl", ".joblib"])
def test_broken_files(suffix: str) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_estimator(Path(f"m{suffix}"), b"nonsense")
    buffer = BytesIO()
    joblib.dump({"a": 1}, buffer)
    with pytest.raises(ModelError, match="holds a dict"):
        load_estimator(Path("m.joblib"), buffer.getvalue())


class WantsFrame:
    """Takes columns by name only, as a ColumnTransformer does."""

    feature_names_in_ = np.array(["age", "sex"], dtype=object)

    def predict(self, rows: Any) -> Any:
        return np.asarray(rows["age"], dtype=float)


class FakePandas:
    @staticmethod
    def DataFrame(columns: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as pandas calls it
        return columns


def test_a_model_gets_the_frame_that_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModelError, match="pip install pandas"):
        preparation(WantsFrame(), MIXED, "m.pkl")
    monkeypatch.setitem(sys.modules, "pandas", FakePandas)
    prepare = preparation(WantsFrame(), MIXED, "m.pkl")
    assert isinstance(prepare, Frames)
    frame = prepare([[1.5, "f"], [None, None]])
    assert frame["age"].dtype == np.float64
    assert frame["sex"][0] == "f"
    assert np.isnan(frame["age"][1])
    assert isinstance(frame["sex"][1], float)
    assert Model(WantsFrame(), "0" * 64, "", prepare).predict([[2.5, "m"]]) == [2.5]


def test_columns_in_another_order_are_refused() -> None:
    class Swapped(WantsFrame):
        feature_names_in_ = np.array(["sex", "age"], dtype=object)

    with pytest.raises(ModelError, match="another order"):
        preparation(Swapped(), MIXED, "m.pkl")


def test_an_array_is_enough_for_most() -> None:
    assert preparation(LinearRegression().fit(X, X[:, 0]), MIXED, "m.pkl") is as_array
    assert example(MIXED)[1] == "f"


def test_rows_by_name() -> None:
    payload = Payload(MIXED.schema, allow_missing=True)
    assert payload.parse(b'{"sex": "m", "age": 2}') == ([[2, "m"]], False)
    assert payload.parse(b'[{"sex": "m", "age": 2}, {"age": 3, "sex": null}]') == ([[2, "m"], [3, None]], True)
    for body, code, where in [
        (b'{"sex": "m"}', "missing_column", None),
        (b'{"sex": "m", "age": 2, "x": 1}', "unknown_column", None),
        (b'[{"sex": "m", "age": 2}, {"sex": "m", "agee": 2}]', "missing_column", "row 1"),
        (b'[{"sex": "m", "age": 2}, [2, "m"]]', "not_an_object", "row 1"),
        (b'[{"sex": "m", "age": "2"}]', "not_a_number", "row 0, column age"),
    ]:
        with pytest.raises(InputError) as caught:
            payload.parse(body)
        assert (caught.value.code, caught.value.where) == (code, where), body


def serve(start: Start, folder: Path, model: Any, reference: Reference, text: str = "") -> Server:
    reference.save(folder / "histogram.prom")
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    return start(text + FAST, "regression", folder)


def test_probabilities_are_columns(start: Start, tmp_path: Path) -> None:
    labels = np.where(X[:, 0] > 0, "up", "down")
    model = LogisticRegression().fit(X, labels)
    shares = model.predict_proba(X)
    answers = {"prediction": model.predict(X).tolist(), "proba_down": shares[:, 0], "proba_up": shares[:, 1]}
    server = serve(start, tmp_path, model, Reference.from_data(X, answers, names=["a", "b"]), "[model]\nproba = true\n")
    status, answer = server.post({"a": 2.0, "b": 0.0})
    assert (status, answer["result"]) == (200, "up")
    assert sum(answer["proba"].values()) == pytest.approx(1)
    assert answer["proba"]["up"] > 0.5
    status, answer = server.post([[2.0, 0.0], [-2.0, 0.0]], "/predict")
    assert answer["results"] == ["up", "down"]
    assert len(answer["probas"]) == len(answer["prediction_ids"]) == 2
    outputs = server.json("/v2/models/model")["outputs"]
    assert [one["name"] for one in outputs] == ["prediction", "proba_down", "proba_up"]
    status, answer = server.post({"inputs": [[2.0, 0.0]]}, "/invocations")
    assert answer["predictions"][0][0] == "up"


def test_probabilities_that_the_reference_does_not_have() -> None:
    model = Model(LogisticRegression().fit(X, X[:, 0] > 0), "0" * 64, "")
    with pytest.raises(ModelError, match="proba_false, proba_true; they are none"):
        check_outputs(model, Reference.from_data(X, X[:, 0] > 0).schema, proba=True)
    with pytest.raises(ModelError, match="no predict_proba"):
        check_outputs(Model(LinearRegression().fit(X, X), "0" * 64, ""), MIXED.schema, proba=True)


def test_a_vector_is_a_column_each(start: Start, tmp_path: Path) -> None:
    model = LinearRegression().fit(X, X * [2, 3])
    server = serve(start, tmp_path, model, Reference.from_data(X, model.predict(X)))
    status, answer = server.post([1.0, 1.0])
    assert (status, answer["result"]) == (200, pytest.approx([2.0, 3.0]))
    status, answer = server.post([[1.0, 1.0], [0.0, 0.0]])
    assert [len(result) for result in answer["results"]] == [2, 2]
