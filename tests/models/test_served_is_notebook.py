"""Served is what the notebook answers: libraries x kinds of columns x forms of a request, row by row."""

from __future__ import annotations

import io
import json
import math
import pickle
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeRegressor

from bench.fuzz import Request, send
from bench.running import Client
from monitor.__main__ import main as monitor
from monitor.columns.canonical import canonical
from monitor.config.load import Config
from monitor.models.model import open_model
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from server.guard import Guard
from server.routes import create_application
from tests.server.hosted import hosted
from train.__main__ import main as train

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it says while it is loaded is not ours
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

ROWS = 120
RANDOM = np.random.default_rng(11)
X, Y = np.round(RANDOM.normal(size=ROWS), 3), np.round(RANDOM.normal(size=ROWS), 3)
SHOP = np.array([101, 205, 309, 411])[np.arange(ROWS) % 4]
CITY = np.array(["Rome", "Oslo", "Lima"])[RANDOM.integers(0, 3, ROWS)]
MEMBER = RANDOM.random(ROWS) < 0.4
MONTH = RANDOM.integers(1, 13, ROWS)
WORTH = X + SHOP / 100 + (CITY == "Rome") * 2 + MEMBER * 3 + MONTH / 10
GROUP = np.where(np.median(WORTH) < WORTH, "yes", "no")

NUMBERS = pd.DataFrame({"x": X, "y": Y})
TEXTS = pd.DataFrame({"x": X, "city": CITY})
SHOPS = pd.DataFrame({"shop": SHOP, "x": X})
MONTHS = pd.DataFrame({"month": MONTH, "x": X})
ALL = pd.DataFrame({"x": X, "shop": SHOP, "city": CITY, "member": MEMBER, "month": MONTH})


def categories(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    return frame.assign(**{name: frame[name].astype("category") for name in names})


def encoded(last: Any, *names: str, **options: Any) -> Any:
    encoder = OneHotEncoder(**options)
    return make_pipeline(ColumnTransformer([("c", encoder, list(names))], remainder="passthrough"), last)


def gbm(**options: Any) -> Any:
    return lightgbm.LGBMRegressor(n_estimators=8, min_child_samples=3, verbose=-1, n_jobs=1, **options)


def gbm_labels() -> Any:
    return lightgbm.LGBMClassifier(n_estimators=8, min_child_samples=3, verbose=-1, n_jobs=1)


def xgb(**options: Any) -> Any:
    return xgboost.XGBRegressor(n_estimators=8, max_depth=3, n_jobs=1, **options)


def cat(*names: str) -> Any:
    options = {"iterations": 8, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    return catboost.CatBoostRegressor(**options, cat_features=list(names))


def onnx(model: Any, data: Any, target: Any, zipped: bool = True, named: bool = False, proba: bool = False) -> Case:
    """A case of the ONNX format. `zipped`: its probabilities are named. `named`: it has an input for each column."""
    types: list[tuple[str, Any]] = [("rows", FloatTensorType([None, len(data.columns)]))]
    if named:
        kinds = [FloatTensorType if data[one].dtype.kind in "if" else StringTensorType for one in data.columns]
        types = [(one, kind([None, 1])) for one, kind in zip(data.columns, kinds, strict=True)]

    def dump(fitted: Any) -> bytes:
        options = {} if zipped else {"options": {id(fitted): {"zipmap": False}}}
        return bytes(convert_sklearn(fitted, initial_types=types, **options).SerializeToString())

    exact = not proba and target.dtype.kind != "f"
    tolerance = 1e-6 if exact else 1e-4
    data = data if named else data.to_numpy()
    return Case(model, data, target, suffix=".onnx", dump=dump, proba=proba, tolerance=tolerance)


def hashed(frame: Any) -> Any:
    """A transformer of the user's own, which wants texts."""
    return pd.DataFrame({"length": frame["city"].str.len(), "x": frame["x"]})


def as_written(frame: Any) -> Any:
    """A transformer for which 5 and 5.0 are two things."""
    return pd.DataFrame({"month": frame["month"].astype(str)})


def cleaned(frame: Any) -> Any:
    """A transformer that writes texts otherwise than they come."""
    return frame.assign(city=frame["city"].str.strip().str.lower())


def halves(frame: Any) -> Any:
    """A transformer that makes texts of numbers, and wants whole ones: floats are no positions."""
    return pd.DataFrame({"half": np.array(["first", "second"])[frame["month"] // 7], "x": frame["x"]})


class Own:
    """An estimator of nobody's library, without names and without a number of columns."""

    def fit(self, frame: Any, target: Any) -> Own:
        self.mean_ = float(np.mean(target))
        return self

    def predict(self, frame: Any) -> Any:
        return pd.Series(self.mean_ + frame["x"].to_numpy() * (frame["city"] == "Rome").to_numpy(), name="answer")


@dataclass
class Case:
    """A model, what it is fitted with, and what of it must not be tried."""

    model: Any
    data: Any
    target: Any
    categorical: tuple[str, ...] = ()
    suffix: str = ".pkl"
    dump: Callable[[Any], bytes] = pickle.dumps
    proba: bool = False
    kinds: dict[str, Any] = field(default_factory=dict)
    #: How far a number that is calculated in single precision may be from the notebook's.
    tolerance: float = 1e-6


def compressed(model: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=3)
    return buffer.getvalue()


def by_joblib(model: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    return buffer.getvalue()


NAMED = {
    "numbers": (NUMBERS, ()),
    "texts": (categories(TEXTS, "city"), ()),
    "whole numbers": (categories(SHOPS, "shop"), ("shop",)),
    "both": (categories(ALL, "shop", "city"), ("shop",)),
}

CASES: dict[str, Case] = {
    "linear, array": Case(LinearRegression(), NUMBERS.to_numpy(), WORTH),
    "linear, frame": Case(LinearRegression(), NUMBERS, WORTH),
    "labels of text": Case(LogisticRegression(), NUMBERS, GROUP, proba=True),
    "labels of whole numbers": Case(LogisticRegression(), NUMBERS, (GROUP == "yes") + 1, proba=True),
    "labels of booleans": Case(LogisticRegression(), NUMBERS, GROUP == "yes", proba=True),
    "tree at its thresholds": Case(DecisionTreeRegressor(), NUMBERS, WORTH),
    "encoder by name over whole numbers": Case(encoded(LinearRegression(), "month"), MONTHS, MONTH + X),
    "encoder by name over texts": Case(encoded(LinearRegression(), "city"), TEXTS, WORTH),
    "encoder by name over both": Case(encoded(LogisticRegression(max_iter=999), "shop", "city", "member"), ALL, GROUP),
    "encoder by index": Case(
        make_pipeline(ColumnTransformer([("c", OneHotEncoder(), [0])], remainder="passthrough"), LinearRegression()),
        MONTHS.to_numpy(),
        WORTH,
    ),
    "encoder by index over texts": Case(
        make_pipeline(ColumnTransformer([("c", OneHotEncoder(), [1])], remainder="passthrough"), LinearRegression()),
        TEXTS.to_numpy(),
        WORTH,
    ),
    "encoder by selector": Case(
        make_pipeline(
            ColumnTransformer(
                [
                    ("c", OneHotEncoder(), make_column_selector(dtype_exclude="number")),
                    ("n", StandardScaler(), make_column_selector(dtype_include="number")),
                ]
            ),
            Ridge(),
        ),
        ALL,
        WORTH,
    ),
    "ordinal with unknown": Case(
        make_pipeline(
            ColumnTransformer(
                [("o", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["city"])],
                remainder="passthrough",
            ),
            DecisionTreeRegressor(max_depth=4),
        ),
        TEXTS,
        WORTH,
    ),
    "target encoder": Case(make_pipeline(TargetEncoder(), Ridge()), categories(SHOPS, "shop")[["shop"]], WORTH),
    "frames within": Case(
        make_pipeline(
            ColumnTransformer(
                [("c", OneHotEncoder(sparse_output=False), ["city"])], remainder="passthrough"
            ).set_output(transform="pandas"),
            KNeighborsClassifier(3),
        ),
        TEXTS,
        GROUP,
    ),
    "whole numbers written as texts": Case(
        make_pipeline(FunctionTransformer(as_written), OneHotEncoder(handle_unknown="ignore"), Ridge()),
        MONTHS,
        MONTH / 2,
    ),
    "texts of more than 200 characters": Case(
        make_pipeline(ColumnTransformer([("t", TfidfVectorizer(), "review")]), Ridge()),
        pd.DataFrame({"review": [f"{'so ' * 80} {word}" for word in CITY], "x": X}),
        WORTH,
    ),
    "texts that a function cleans": Case(
        make_pipeline(FunctionTransformer(cleaned), encoded(LinearRegression(), "city")),
        TEXTS.assign(city=np.array(["Rome", " OSLO", "lima "])[RANDOM.integers(0, 3, ROWS)]),
        WORTH,
    ),
    "positions in a frame": Case(
        make_pipeline(FunctionTransformer(halves), encoded(LinearRegression(), "half")), MONTHS, MONTH / 2
    ),
    "booleans that may be missing": Case(
        encoded(LinearRegression(), "member"), ALL[["x", "member"]].astype({"member": "boolean"}), WORTH
    ),
    "histogram boosting, booleans": Case(
        HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3), categories(ALL[["x", "member"]], "member"), WORTH
    ),
    "function of a frame": Case(make_pipeline(FunctionTransformer(hashed), LinearRegression()), TEXTS, WORTH),
    "digits as texts, encoder": Case(
        encoded(LinearRegression(), "shop", handle_unknown="ignore"),
        SHOPS.assign(shop=SHOPS["shop"].astype(str)),
        WORTH,
    ),
    "dropped columns": Case(
        make_pipeline(ColumnTransformer([("n", StandardScaler(), ["x"])], remainder="drop"), Ridge()), ALL, WORTH
    ),
    "target transformed": Case(
        TransformedTargetRegressor(encoded(Ridge(), "city"), transformer=StandardScaler()), TEXTS, WORTH
    ),
    "grid search": Case(
        GridSearchCV(encoded(Ridge(), "city", handle_unknown="ignore"), {"ridge__alpha": [0.1, 1.0]}, cv=2),
        TEXTS,
        WORTH,
    ),
    "calibrated": Case(
        CalibratedClassifierCV(encoded(LogisticRegression(), "city", handle_unknown="ignore"), cv=2),
        TEXTS,
        GROUP,
        proba=True,
    ),
    "several outputs": Case(MultiOutputRegressor(Ridge()), NUMBERS, np.column_stack([WORTH, X])),
    "several outputs of a frame": Case(encoded(Ridge(), "city"), TEXTS, pd.DataFrame({"a": WORTH, "b": X})),
    "vectoriser": Case(
        make_pipeline(TfidfVectorizer(), LogisticRegression()),
        pd.Series(np.where(GROUP == "yes", "good and cheap", "bad and dear"), name="review"),
        GROUP,
    ),
    "of nobody's library": Case(Own(), TEXTS, WORTH),
    "histogram boosting, numbers": Case(HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3), NUMBERS, WORTH),
    "histogram boosting, texts": Case(
        HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3), categories(TEXTS, "city"), WORTH
    ),
    "histogram boosting, whole numbers": Case(
        HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=3),
        categories(SHOPS, "shop"),
        GROUP,
        ("shop",),
        proba=True,
    ),
    "histogram boosting, both": Case(
        HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3), categories(ALL, "shop", "city"), WORTH, ("shop",)
    ),
    **{f"LightGBM, {kind}": Case(gbm(), data, WORTH, given) for kind, (data, given) in NAMED.items()},
    "LightGBM, labels": Case(gbm_labels(), categories(ALL, "shop", "city"), GROUP, ("shop",), proba=True),
    "LightGBM, whole numbers undeclared": Case(gbm(), categories(SHOPS, "shop"), SHOP / 10.0),
    "LightGBM in a pipeline": Case(make_pipeline(FunctionTransformer(), gbm()), categories(ALL, "shop", "city"), WORTH),
    "LightGBM's Booster": Case(
        lightgbm.train(
            {"verbose": -1, "min_data_in_leaf": 3, "num_threads": 1},
            lightgbm.Dataset(categories(TEXTS, "city"), WORTH),
            num_boost_round=8,
        ),
        categories(TEXTS, "city"),
        None,
    ),
    **{
        f"XGBoost, {kind}": Case(xgb(enable_categorical=True), data, WORTH, given)
        for kind, (data, given) in NAMED.items()
    },
    "XGBoost, labels": Case(
        xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1), NUMBERS, (GROUP == "yes").astype(int), proba=True
    ),
    "XGBoost, short whole numbers": Case(
        xgb(enable_categorical=True), categories(SHOPS.assign(shop=SHOPS["shop"].astype("int16")), "shop"), SHOP / 10.0
    ),
    "CatBoost, numbers": Case(cat(), NUMBERS, WORTH),
    "CatBoost, texts": Case(cat("city"), TEXTS, WORTH),
    "CatBoost, whole numbers": Case(cat("shop"), SHOPS, WORTH, ("shop",)),
    "CatBoost, both": Case(cat("shop", "city"), ALL, WORTH, ("shop",)),
    "CatBoost, whole numbers undeclared": Case(cat("month"), MONTHS, WORTH),
    "CatBoost, labels": Case(
        catboost.CatBoostClassifier(iterations=5, depth=3, verbose=0, allow_writing_files=False, thread_count=1),
        NUMBERS,
        np.array(["a", "b", "c"])[np.arange(ROWS) % 3],
        proba=True,
    ),
    "skops": Case(encoded(Ridge(), "city"), TEXTS, WORTH, suffix=".skops", dump=skops.io.dumps),
    "joblib, its own suffix": Case(Ridge(), NUMBERS, WORTH, suffix=".joblib", dump=by_joblib),
    "joblib, the suffix of a pickle": Case(encoded(Ridge(), "city"), TEXTS, WORTH, dump=by_joblib),
    "joblib compressed": Case(
        RandomForestClassifier(3), NUMBERS, GROUP, suffix=".joblib.gz", dump=compressed, proba=True
    ),
    "joblib, no known suffix": Case(Ridge(), NUMBERS, WORTH, suffix=".sav", dump=compressed),
    "ONNX, linear": onnx(LinearRegression(), NUMBERS, WORTH),
    "ONNX, forest": onnx(RandomForestRegressor(5), NUMBERS, WORTH),
    "ONNX, labels 1 and 2": onnx(RandomForestClassifier(5), NUMBERS, (GROUP == "yes") + 1, proba=True),
    "ONNX, labels 1 and 2 that are not named": onnx(
        RandomForestClassifier(5), NUMBERS, (GROUP == "yes") + 1, zipped=False, proba=True
    ),
    "ONNX, labels no and yes": onnx(LogisticRegression(), NUMBERS, GROUP, proba=True),
    "ONNX, labels no and yes that are not named": onnx(LogisticRegression(), NUMBERS, GROUP, zipped=False, proba=True),
    "ONNX, labels only": onnx(RandomForestClassifier(5), NUMBERS, GROUP, zipped=False),
    "ONNX, an input for each column": onnx(
        encoded(LogisticRegression(), "city", handle_unknown="ignore"), TEXTS, GROUP, named=True, proba=True
    ),
}


FITTED: dict[str, tuple[Case, Any]] = {}


def fitted(name: str) -> tuple[Case, Any]:
    """A case whose model is fitted, and what it answers in the notebook; once for all tests."""
    if name not in FITTED:
        case = CASES[name]
        if case.target is not None:
            case.model.fit(case.data, case.target)
        FITTED[name] = case, np.asarray(case.model.predict(case.data))
    return FITTED[name]


def as_frame(data: Any) -> pd.DataFrame:
    if isinstance(data, np.ndarray):
        return pd.DataFrame(data, columns=[f"x_{i}" for i in range(data.shape[1])])
    return pd.DataFrame(data)


def answers_of(case: Case, answers: Any) -> Any:
    if not case.proba:
        return answers
    shares = case.model.predict_proba(case.data)
    named = {f"proba_{canonical(label)}": shares[:, at] for at, label in enumerate(case.model.classes_)}
    return {"prediction": np.ravel(answers), **named}


@contextmanager
def application_of(folder: Path, name: str) -> Iterator[WSGIApplication]:
    """Open a case as a start of the server does."""
    case, answers = fitted(name)
    frame = as_frame(case.data)
    kinds: dict[str, Any] = {**case.kinds, **({"prediction": "categorical"} if case.proba else {})}
    reference = Reference.from_data(frame, answers_of(case, answers), kinds=kinds or None)
    path = folder / f"model{case.suffix}"
    path.write_bytes(case.dump(case.model))
    reference.save(folder / "histogram.prom")
    proba = "true" if case.proba else "false"
    paths = f'path = "{path}"\nreference = "{folder}/histogram.prom"'
    text = f'[model]\n{paths}\nproba = {proba}\n[data]\npath = "{folder}/data"\n'
    config = Config.from_text(text)
    reference = Reference.load(folder / "histogram.prom")
    model = open_model(config.model, reference)
    runtime = Runtime.of_one(config, reference, model.version)
    try:
        yield create_application(runtime, {runtime.only.name: model}, Guard())
    finally:
        runtime.close()


@contextmanager
def serving(folder: Path, name: str) -> Iterator[Callable[..., Any]]:
    """Serve a case without HTTP: a function that posts a body to a path, and returns what was answered."""
    with application_of(folder, name) as application:

        def post(path: str, body: Any, kind: str = "application/json") -> Any:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            status, found = send(application, Request("POST", path, "", {"CONTENT_TYPE": kind}, data))
            assert status == 200, (path, body, found)
            return json.loads(found)

        yield post


def hold(found: Any, expected: Any, tolerance: float) -> None:
    """Hold values against the notebook's, row by row."""
    flat, wanted = np.ravel(np.array(found, dtype=object)).tolist(), np.ravel(expected).tolist()
    assert len(flat) == len(wanted)
    for one, other in zip(flat, wanted, strict=True):
        if isinstance(other, float):
            assert math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance / 10), (flat, wanted)
        else:
            assert one == other, (flat, wanted)


@pytest.mark.parametrize("name", CASES)
def test_each_form_of_a_request_is_answered_as_in_the_notebook(tmp_path: Path, name: str) -> None:
    case, answers = fitted(name)
    few = 12
    frame, expected = as_frame(case.data)[:few], answers[:few]
    split = json.loads(frame.to_json(orient="split", double_precision=15))
    rows, names = split["data"], [str(one) for one in split["columns"]]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    same = partial(hold, tolerance=case.tolerance)
    with serving(tmp_path, name) as post:
        listed = post("/predict", rows)
        same(listed["results"], expected)
        if case.proba:
            shares = [list(one.values()) for one in listed["probas"]]
            same(shares, case.model.predict_proba(case.data)[:few])
            assert list(listed["probas"][0]) == [canonical(label) for label in case.model.classes_]
        same(post("/predict", records)["results"], expected)
        same(post("/predict", rows[0])["result"], expected[0])
        same([post("/", record)["result"] for record in records[:4]], expected[:4])

        def invoked(body: Any) -> Any:
            found = post("/invocations", body)["predictions"]
            return [row[0] for row in found] if case.proba else found

        same(invoked({"dataframe_split": {"columns": names, "data": rows}}), expected)
        same(invoked({"dataframe_records": records}), expected)
        same(invoked({"instances": rows if len(names) > 1 else [row[0] for row in rows]}), expected)
        same(invoked({"inputs": {one: [row[at] for row in rows] for at, one in enumerate(names)}}), expected)

        tensors = [
            {
                "name": one,
                "shape": [few, 1],
                "datatype": "BYTES" if isinstance(rows[0][at], str) else "FP64",
                "data": [row[at] for row in rows],
            }
            for at, one in enumerate(names)
        ]
        outputs = post(
            "/v2/models/model/infer" if "." not in case.suffix[1:] else "/v2/models/model.joblib/infer",
            {"inputs": tensors},
        )["outputs"]
        columns = [one["data"] for one in outputs]
        if case.proba:
            columns = columns[:1]
        if outputs[0]["datatype"] == "BYTES":
            expected = np.array([canonical(one) for one in np.ravel(expected).tolist()])
        same(np.column_stack(columns), expected)


@pytest.mark.parametrize(
    "name", ["encoder by name over both", "LightGBM, both", "labels of whole numbers", "ONNX, labels 1 and 2"]
)
def test_real_http_answers_as_the_notebook(tmp_path: Path, name: str) -> None:
    case, answers = fitted(name)
    frame, expected = as_frame(case.data)[:5], answers[:5].tolist()
    records = json.loads(frame.to_json(orient="records", double_precision=15))
    with application_of(tmp_path, name) as application, hosted(application) as (served, _):
        server = Client(int(served.effective_port))
        for row, answer in zip(records, expected, strict=True):
            hold([server.post(form)[1]["result"] for form in (row, list(row.values()))], [answer] * 2, case.tolerance)
        hold(server.post([list(row.values()) for row in records])[1]["results"], expected, case.tolerance)
        _, _, found = server.request("POST", "/invocations", {"dataframe_records": records})
        predictions = json.loads(found)["predictions"]
        hold([one[0] if case.proba else one for one in predictions], expected, case.tolerance)


COUNTED = 'SELECT "column", role, label, sum(count) FROM histogram_bins GROUP BY 1, 2, 3 HAVING sum(count) > 0'

#: Cases that a CSV file can hold, and whose answers are exactly the notebook's.
FROM_A_FILE = [
    name
    for name, case in CASES.items()
    if not isinstance(case.data, pd.Series) and "200 characters" not in name and case.tolerance < 1e-5
]


@pytest.mark.parametrize("name", FROM_A_FILE)
def test_a_reference_and_a_replay_count_what_the_notebook_answers(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case, answers = fitted(name)
    monkeypatch.chdir(tmp_path)
    frame = as_frame(case.data)
    times = pd.date_range("2026-03-01", periods=len(frame), freq="1s").astype(str)
    frame.assign(time=times).to_csv("data.csv", index=False)
    path = Path(f"model{case.suffix}")
    path.write_bytes(case.dump(case.model))
    options = ["--categorical", ",".join(case.categorical)] if case.categorical else []
    options += ["--proba"] if case.proba else []
    assert train(["reference", "--data", "data.csv", "--model", str(path), "--ignore", "time", *options]) == 0, (
        capsys.readouterr()
    )
    reference = Reference.load("histogram.prom")
    kinds: dict[str, Any] = {one.name: one.kind for one in reference.schema.predictions}
    direct = Reference.from_data(frame, answers_of(case, answers), kinds=kinds)
    width, at = len(reference.schema.features), reference.schema.offsets
    for position, column in enumerate(reference.schema.predictions, width):
        same_column = direct.schema.columns[position + len(direct.schema.features) - width]
        assert (column.name, column.edges, column.categories) == (
            same_column.name,
            same_column.edges,
            same_column.categories,
        )
    assert (
        reference.counts[at[width] :].tolist()
        == direct.counts[direct.schema.offsets[len(direct.schema.features)] :].tolist()
    )
    assert monitor(["replay", "data.csv", "--time", "time", "--model-file", str(path), "--json"]) == 0, (
        capsys.readouterr()
    )
    capsys.readouterr()
    with closing(sqlite3.connect("data/telltale.db")) as database:
        counted = {tuple(key): count for *key, count in database.execute(COUNTED)}
    expected = {
        (column.name, column.role, label): count
        for column, bins in zip(reference.schema.columns, reference.schema.split(reference.counts), strict=True)
        for label, count in zip(column.labels, bins.tolist(), strict=True)
        if count
    }
    assert counted == expected, "the replay counts the rows of the reference as the reference does"


def agree(found: Any, expected: Any) -> None:
    assert found == pytest.approx(list(expected), rel=1e-9)


FLAG = pd.DataFrame({"flag": MEMBER.astype(int), "x": X})
FLAGS = {
    "a flag": Case(LinearRegression(), FLAG, WORTH),
    "a flag declared numeric": Case(LinearRegression(), FLAG, WORTH, kinds={"flag": "numeric"}),
    "a flag that is always 0": Case(LinearRegression(), FLAG.assign(flag=0), WORTH),
    "a flag in an encoder": Case(encoded(Ridge(), "flag"), FLAG, WORTH),
    "a flag of texts": Case(encoded(Ridge(), "flag"), FLAG.assign(flag=FLAG["flag"].astype(str)), WORTH),
}


@pytest.mark.parametrize("name", FLAGS)
def test_true_and_false_are_the_1_and_0_of_a_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(CASES, name, FLAGS[name])
    rows, records = [[True, 0.5], [False, 0.5]], [{"flag": True, "x": 0.5}, {"x": 0.5, "flag": False}]
    as_model = FLAGS[name].data["flag"].dtype.type
    with serving(tmp_path, name) as post:
        model = FLAGS[name].model
        expected = model.predict(pd.DataFrame({"flag": [as_model(1), as_model(0)], "x": [0.5, 0.5]}))
        agree(post("/predict", rows)["results"], expected)
        agree(post("/predict", records)["results"], expected)
        agree([post("/predict", one)["result"] for one in (*rows, *records)], [*expected, *expected])
        for body in ({"instances": rows}, {"dataframe_split": {"columns": ["flag", "x"], "data": rows}}):
            agree(post("/invocations", body)["predictions"], expected)
        agree(post("/invocations", {"dataframe_records": records})["predictions"], expected)
        agree(post("/invocations", {"inputs": {"flag": [True, False], "x": [0.5, 0.5]}})["predictions"], expected)
        for form in (*rows, *records):
            assert post("/observe", {"features": form, "prediction": 1.0})["observed"] == 1
