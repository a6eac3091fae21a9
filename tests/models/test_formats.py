"""Model files of other formats, rows by name, frames, several outputs and probabilities."""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC

from bench.running import Client
from monitor.config.load import Config
from monitor.errors import InputError, ModelError
from monitor.models import facts
from monitor.models.asking import example_rows, match_inputs
from monitor.models.form import Array, Frame
from monitor.models.load import Loaded, load_estimator
from monitor.models.model import Model, check_proba, join, open_model
from monitor.models.onnx import OnnxModel
from monitor.reference.file import Reference
from server.payload import Payload
from tests.server.conftest import FAST, Host
from tests.support.models import with_arrays

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it says while it is loaded is not ours
    from skl2onnx import convert_sklearn, to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

X = np.random.default_rng(1).normal(size=(200, 2))
MIXED = Reference.from_data({"age": X[:, 0], "sex": ["f", "m"] * 100}, X[:, 1])


def test_joblib(tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump(LinearRegression().fit(X, X.sum(axis=1)), path)
    reference = Reference.from_data(X, X.sum(axis=1))
    model = open_model(Config.from_text(f'[model]\npath = "{path}"').model, reference)
    assert model.predict([[1.0, 2.0]]) == pytest.approx([3.0])


@pytest.mark.parametrize(("suffix", "library"), [(".skops", "skops"), (".onnx", "onnxruntime")])
def test_a_library_that_is_not_installed_is_named(suffix: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.io", None)
    with pytest.raises(ModelError, match=library):
        load_estimator(Path(f"model{suffix}"), b"x")


def test_skops(tmp_path: Path) -> None:
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit([["a"], ["b"]] * 9, ["no", "yes"] * 9)
    (tmp_path / "model.skops").write_bytes(skops.io.dumps(model))
    reference = Reference.from_data({"x": ["a", "b"] * 9}, ["no", "yes"] * 9)
    loaded = open_model(Config.from_text(f'[model]\npath = "{tmp_path}/model.skops"').model, reference)
    assert loaded.predict([["b"], ["a"]]) == ["yes", "no"]


def test_untrusted_types_are_listed() -> None:
    data = skops.io.dumps(Odd())
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


def opened(estimator: Any, reference: Reference = MIXED) -> Model:
    """A model as a start would join it to its reference, without a file."""
    loaded, features = Loaded(Path("m.pkl"), estimator, "0" * 64), reference.schema.features
    fit = match_inputs(loaded, features, "histogram.prom")
    return join(loaded, features, fit, example_rows(reference, fit.known), True, "histogram.prom")[0]


def day_of_year(frame: Any) -> Any:
    return pd.DataFrame({"day": frame["day"].dt.day_of_year, "x": frame["x"]})


class WantsFrame:
    """Takes columns by name only, as a ColumnTransformer does."""

    feature_names_in_ = np.array(["age", "sex"], dtype=object)

    def predict(self, rows: Any) -> Any:
        return np.asarray(rows["age"], dtype=float)


@pytest.mark.parametrize(
    ("model", "alike"),
    [
        (make_pipeline(StandardScaler(), LinearRegression()), True),
        (make_pipeline(FunctionTransformer(np.abs), LinearRegression()), False),  # as any function of a user
        (make_pipeline(StandardScaler(), WantsFrame()), False),
        (GridSearchCV(LinearRegression(), {"fit_intercept": [True]}, cv=2).fit(X, X[:, 0]), False),
    ],
)
def test_frames_are_tried_unless_all_of_a_model_takes_them_for_arrays(model: Any, alike: bool) -> None:
    assert facts.takes_frames_as_arrays(model) == alike


def test_a_model_gets_the_frame_that_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened(WantsFrame())
    assert isinstance(model.form, Frame)
    frame = model.form([[1.5, "f"], [None, None]])
    assert frame["age"].dtype == np.float64
    assert frame["age"].isna().tolist() == frame["sex"].isna().tolist() == [False, True]
    assert frame["sex"][0] == "f"
    assert model.predict([[2.5, "m"]]) == [2.5]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModelError, match="pip install pandas"):
        opened(WantsFrame())


def test_columns_in_another_order_are_brought_into_the_models_own() -> None:
    class Swapped(WantsFrame):
        feature_names_in_ = np.array(["sex", "age"], dtype=object)

        def predict(self, rows: Any) -> Any:
            assert list(rows.columns) == ["sex", "age"]
            return super().predict(rows)

    assert opened(Swapped()).predict([[2.5, "m"]]) == [2.5]

    class Other(WantsFrame):
        feature_names_in_ = np.array(["sex", "weight"], dtype=object)

    with pytest.raises(ModelError, match=r"needs the column 'weight', which histogram.prom does not have"):
        opened(Other())


def test_an_array_is_enough_for_numbers() -> None:
    numbers = Reference.from_data(X, X[:, 0])
    assert isinstance(opened(LinearRegression().fit(X, X[:, 0]), numbers).form, Array)
    assert isinstance(opened(LinearRegression().fit(NUMBERS, X[:, 0]), numbers).form, Array)


def people(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, rows),
            "income": np.where(rng.random(rows) < 0.1, np.nan, rng.lognormal(10, 1, rows)),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "member": rng.choice([True, False], rows),
            "rooms": rng.integers(1, 6, rows),
        }
    )


PEOPLE = people()
WORTH = PEOPLE["age"] * 2 + PEOPLE["rooms"] * 3
GROUP = np.where(WORTH.median() < WORTH, "high", "low")
TEXTS = pd.DataFrame({"review": np.random.default_rng(4).choice(["good", "bad", "fine and good", "so bad"], 200)})
BAD = TEXTS["review"].str.contains("bad")
NUMBERS = pd.DataFrame(X, columns=["a", "b"])


def mixed(last: Any) -> Any:
    numeric = make_pipeline(SimpleImputer(), StandardScaler())
    columns = [("n", numeric, ["age", "income", "rooms"]), ("c", OneHotEncoder(), ["city", "member"])]
    return make_pipeline(ColumnTransformer(columns), last)


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(city=frame["city"].astype("category"))


class WantsCategories:
    """Refuses texts that are not pandas' categories, as LightGBM and XGBoost do, and knows them by their codes."""

    def fit(self, frame: pd.DataFrame, _: Any) -> Any:
        self.feature_names_in_ = np.array(frame.columns, dtype=object)
        self.n_features_in_ = len(frame.columns)
        return self

    def predict(self, frame: Any) -> Any:
        if frame["city"].dtype != "category":
            raise ValueError("DataFrame.dtypes must be int, float, bool or category")
        return frame["city"].cat.codes.to_numpy() * 10.0 + frame["rooms"].to_numpy()


#: What a model is fitted with, and it.
ZOO: dict[str, tuple[Any, Any, Any]] = {
    "boosting, mixed frame": (PEOPLE, WORTH, mixed(HistGradientBoostingRegressor(max_iter=5))),
    "labels, mixed frame": (PEOPLE, GROUP, mixed(LogisticRegression(max_iter=1000))),
    "categories of pandas": (as_categories(PEOPLE), WORTH, WantsCategories()),
    "boosting, categories": (
        as_categories(PEOPLE).assign(member=PEOPLE["member"].astype(int)),
        GROUP,
        HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype"),
    ),
    "ordinal": (PEOPLE[["city", "member"]], WORTH, make_pipeline(OrdinalEncoder(), Ridge())),
    "texts": (
        TEXTS["review"],
        BAD.astype(int),
        make_pipeline(TfidfVectorizer(), LogisticRegression()),
    ),
    "a column of texts": (
        TEXTS.assign(length=TEXTS["review"].str.len()),
        BAD,
        make_pipeline(ColumnTransformer([("t", TfidfVectorizer(), "review")]), LogisticRegression()),
    ),
    "forest, frame of numbers": (NUMBERS, X[:, 0], RandomForestRegressor(5)),
    "SVC without probabilities": (X, np.where(X[:, 0] > 0, "up", "down"), SVC()),
    "KMeans": (X, None, KMeans(3, n_init=1)),
    "isolation forest": (X, None, IsolationForest(n_estimators=5)),
    "several outputs": (X, X * [2, 3], MultiOutputRegressor(Ridge())),
    "several labels": (X, (X > 0).astype(int), MultiOutputClassifier(LogisticRegression())),
    "network": (X, np.arange(200) % 3, MLPClassifier((4,), max_iter=3)),
    "one output in two dimensions": (X, X[:, :1], LinearRegression()),
    "labels that are booleans": (X, X[:, 0] > 0, GaussianNB()),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ZOO)
def test_a_model_answers_as_it_did_where_it_was_fitted(tmp_path: Path, name: str) -> None:
    data, target, model = ZOO[name]
    model.fit(data, target)
    answers = np.asarray(model.predict(data))
    table = data.to_frame() if isinstance(data, pd.Series) else data
    reference = Reference.from_data(table, answers)
    write(tmp_path, model, reference)
    loaded = open_model(Config.from_text(f'[model]\npath = "{tmp_path}/model.pkl"').model, reference)
    records = json.loads(pd.DataFrame(table).to_json(orient="values", double_precision=15))[:40]
    rows = Payload(reference.schema, True, loaded).parse(json.dumps(records).encode())[0]
    found = loaded.estimator.predict(loaded.form(rows))
    assert np.asarray(found).ravel().tolist() == (
        pytest.approx(answers[:40].ravel().tolist()) if answers.dtype.kind == "f" else answers[:40].ravel().tolist()
    )


def test_a_pipeline_of_frames_is_served(host: Host, tmp_path: Path) -> None:
    model = mixed(HistGradientBoostingRegressor(max_iter=5)).fit(PEOPLE, WORTH)
    reference = Reference.from_data(PEOPLE, model.predict(PEOPLE))
    server = serve(host, tmp_path, model, reference, '[model]\nmissing = "allow"\n')
    expected = model.predict(PEOPLE.iloc[:3])
    records = json.loads(PEOPLE.iloc[:3].to_json(orient="records", double_precision=15))
    assert server.post(records[0])[1]["result"] == pytest.approx(expected[0])
    shuffled = [dict(reversed(record.items())) for record in records]
    assert server.post(shuffled, "/predict")[1]["results"] == pytest.approx(expected)
    assert server.post([list(record.values()) for record in records])[1]["results"] == pytest.approx(expected)
    assert server.post({**records[0], "income": None})[0] == 200
    for body, words in [
        ({**records[0], "rooms": None, "x": 1}, "there is no feature called 'x'"),
        ({key: value for key, value in records[0].items() if key != "city"}, "no value for 'city'"),
        ({**records[0], "age": "forty"}, "column age"),
    ]:
        status, answer = server.post(body)
        assert status == 422
        assert words in json.dumps(answer["error"], ensure_ascii=False)
    status, answer = server.post({**records[0], "city": "Paris"})
    assert (status, answer["error"]["code"], answer["error"]["where"]) == (422, "refused_value", "column city")
    assert "'Paris'" in answer["error"]["message"]
    assert server.predictions() == 1 + 3 + 3 + 1


def test_onnx(host: Host, tmp_path: Path) -> None:
    numbers = X.astype(np.float32)
    labels = np.where(X[:, 0] > 0, "up", "down")
    model = LogisticRegression().fit(numbers, labels)
    shares = model.predict_proba(numbers)
    answers = {"prediction": labels, "proba_down": shares[:, 0], "proba_up": shares[:, 1]}
    Reference.from_data(X, answers, names=["a", "b"]).save(tmp_path / "histogram.prom")
    (tmp_path / "model.onnx").write_bytes(to_onnx(model, numbers[:1]).SerializeToString())
    server = host('[model]\npath = "model.onnx"\nproba = true\n' + FAST, "regression", tmp_path)
    status, answer = server.post([[2.0, 0.0], [-2.0, 0.0]])
    assert (status, answer["results"]) == (200, ["up", "down"])
    expected = model.predict_proba(np.array([[2.0, 0.0]], np.float32))[0]
    assert list(answer["probas"][0].values()) == pytest.approx(expected, abs=1e-5)


def onnx_of(model: Any, types: Any, **more: Any) -> OnnxModel:
    return OnnxModel(convert_sklearn(model, initial_types=types, **more).SerializeToString())


def test_onnx_inputs_of_all_kinds() -> None:
    numbers = X.astype(np.float32)
    line = LinearRegression().fit(numbers, numbers.sum(axis=1))
    one_by_one = onnx_of(line, [("x", FloatTensorType([1, 2]))])
    assert one_by_one.predict([[1, 2], [3, 4], [5, 6]]) == pytest.approx([3, 7, 11], abs=1e-4)
    with pytest.raises(ModelError, match="takes 2 rows at a time, not 1"):
        onnx_of(line, [("x", FloatTensorType([2, 2]))]).predict([[1, 2]])
    with pytest.raises(ModelError, match="no second output"):
        one_by_one.predict_proba([[1, 2]])
    zipped = onnx_of(LogisticRegression().fit(numbers, numbers[:, 0] > 0), [("x", FloatTensorType([None, 2]))])
    assert zipped.predict_proba([[9, 0]]).shape == (1, 2)

    city, rooms = PEOPLE[["city"]], PEOPLE[["rooms", "age"]].astype(np.float32)
    columns = ColumnTransformer([("n", StandardScaler(), ["rooms", "age"]), ("c", OneHotEncoder(), ["city"])])
    model = make_pipeline(columns, LogisticRegression()).fit(rooms.join(city), GROUP)
    named = [(name, FloatTensorType([None, 1])) for name in ("rooms", "age")] + [("city", StringTensorType([None, 1]))]
    by_name = onnx_of(model, named)
    assert list(by_name.feature_names_in_) == ["rooms", "age", "city"]
    parted = ColumnTransformer([("n", StandardScaler(), [0, 1]), ("c", OneHotEncoder(), [2])])
    wide = make_pipeline(parted, LogisticRegression()).fit(rooms.join(city).to_numpy(), GROUP)
    in_parts = onnx_of(wide, [("numbers", FloatTensorType([None, 2])), ("city", StringTensorType([None, 1]))])
    rows = rooms.join(city).iloc[:20].to_numpy().tolist()
    for onnx in (by_name, in_parts):
        assert onnx.n_features_in_ == 3
        assert onnx.predict(rows).tolist() == model.predict(rooms.join(city).iloc[:20]).tolist()


def test_a_broken_onnx_file_is_one_line() -> None:
    for data in (b"", b"nonsense"):
        with pytest.raises(ModelError, match=r"^m.onnx: cannot be loaded: [^\n]*$"):
            load_estimator(Path("m.onnx"), data)


def test_other_versions_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    forest = RandomForestRegressor(9).fit(X, X[:, 0])
    data = pickle.dumps(forest).replace(sklearn.__version__.encode(), b"0" * len(sklearn.__version__))
    load_estimator(Path("m.pkl"), data)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("m.pkl: saved with scikit-learn 000")
    assert sklearn.__version__ in line


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"cnolibrary.models\nThing\n.", "needs the library 'nolibrary', which is not installed"),
        (b"csklearn.old_place\nThing\n.", "needs sklearn.old_place, which the sklearn installed here does not have"),
        (b"c__main__\nMyScaler\n.", "MyScaler.*put it into a module that can be imported"),
    ],
)
def test_what_a_pickle_needs_is_named(data: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load_estimator(Path("m.pkl"), data)


def test_a_model_that_answers_no_row_of_the_reference_is_refused() -> None:
    class Sulks(WantsFrame):
        def predict(self, rows: Any) -> Any:
            raise ValueError("not today\nnor tomorrow")

    with pytest.raises(ModelError, match=r"^m.pkl: the model answers no row [^\n]*: ValueError: not today$"):
        opened(Sulks())


def write(folder: Path, model: Any, reference: Reference) -> None:
    reference.save(folder / "histogram.prom")
    (folder / "model.pkl").write_bytes(pickle.dumps(model))


@pytest.mark.parametrize("column", ["city", 1])
def test_a_missing_text_is_answered_alone_as_in_a_batch(column: str | int) -> None:
    frame = pd.DataFrame({"x": [0.5, 1.5, 2.5, 3.5] * 20, "city": ["Rome", None, "Oslo", None] * 20})
    data = frame if column == "city" else frame.to_numpy()
    encoder = ColumnTransformer([("c", OneHotEncoder(), [column])], remainder="passthrough")
    model = make_pipeline(encoder, LinearRegression()).fit(data, np.arange(80.0) % 7)
    answers = model.predict(data)
    served = opened(model, Reference.from_data(frame, answers))
    for row, answer in zip(frame.to_numpy().tolist(), answers[:4], strict=False):
        assert served.predict([row]) == pytest.approx([answer])


def test_a_model_that_was_fitted_with_dates_gets_dates() -> None:
    days = pd.date_range("2026-01-01", periods=80, freq="D")
    frame = pd.DataFrame({"day": days, "who": [f"customer {n}" for n in range(80)], "x": np.arange(80.0) % 7})
    model = make_pipeline(FunctionTransformer(day_of_year), LinearRegression()).fit(frame, np.arange(80.0))
    served = opened(model, Reference.from_data(frame, model.predict(frame)))
    rows = [["2026-01-31", "new", 2.0], ["2026-02-01T00:00:00", "customer 31", 3.0]]
    assert served.predict(rows) == pytest.approx(model.predict(frame[30:32]))
    assert served.predict(rows[:1]) == pytest.approx(model.predict(frame[30:31]))


def test_rows_by_name() -> None:
    payload = Payload(MIXED.schema, True, with_arrays(None, MIXED.schema))
    assert payload.parse(b'{"sex": "m", "age": 2}')[:2] == ([[2, "m"]], False)
    assert payload.parse(b'[{"sex": "m", "age": 2}, {"age": 3, "sex": null}]')[:2] == ([[2, "m"], [3, None]], True)
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


def serve(host: Host, folder: Path, model: Any, reference: Reference, text: str = "") -> Client:
    write(folder, model, reference)
    return host(text + FAST, "regression", folder)


def test_probabilities_are_columns(host: Host, tmp_path: Path) -> None:
    labels = np.where(X[:, 0] > 0, "up", "down")
    model = LogisticRegression().fit(X, labels)
    shares = model.predict_proba(X)
    answers = {"prediction": model.predict(X).tolist(), "proba_down": shares[:, 0], "proba_up": shares[:, 1]}
    server = serve(host, tmp_path, model, Reference.from_data(X, answers, names=["a", "b"]), "[model]\nproba = true\n")
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


def test_probabilities_that_the_reference_does_not_have(tmp_path: Path) -> None:
    write(tmp_path, LogisticRegression().fit(X, X[:, 0] > 0), reference := Reference.from_data(X, X[:, 0] > 0))
    with pytest.raises(ModelError, match="proba_false, proba_true; they are none"):
        open_model(Config.from_text(f'[model]\npath = "{tmp_path}/model.pkl"\nproba = true').model, reference)
    with pytest.raises(ModelError, match="several outputs"):
        check_proba(MultiOutputClassifier(LogisticRegression()).fit(X, X > 0), "--proba")
    with pytest.raises(ModelError, match="no predict_proba"):
        check_proba(LinearRegression().fit(X, X), "--proba")


def test_a_vector_is_a_column_each(host: Host, tmp_path: Path) -> None:
    model = LinearRegression().fit(X, X * [2, 3])
    server = serve(host, tmp_path, model, Reference.from_data(X, model.predict(X)))
    status, answer = server.post([1.0, 1.0])
    assert (status, answer["result"]) == (200, pytest.approx([2.0, 3.0]))
    status, answer = server.post([[1.0, 1.0], [0.0, 0.0]])
    assert [len(result) for result in answer["results"]] == [2, 2]
