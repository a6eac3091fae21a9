import argparse
import csv
import json
import pickle
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import joblib
import numpy as np
import pandas
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from monitor.__main__ import main as monitor
from monitor.clock import ManualClock
from monitor.config.settings import ModelConfig
from monitor.errors import DataError, ModelError, TelltaleError
from monitor.models.facts import title
from monitor.models.model import open_model
from monitor.reference.file import Reference
from monitor.tables import read as read_module
from train.__main__ import build_parser, main
from train.reference import Spool, make_reference
from train.selection import Request

NUMBERS = np.round(np.random.default_rng(0).normal(size=(300, 2)), 4)
ANSWERS = NUMBERS @ [1.0, 2.0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of two columns, and its data: an id, a date, the features, and the target."""
    save(tmp_path / "model.pkl", LinearRegression().fit(NUMBERS, ANSWERS))
    rows = [[i, f"2024-01-{i % 28 + 1:02}", *row, y] for i, (row, y) in enumerate(zip(NUMBERS, ANSWERS, strict=True))]
    save_csv(tmp_path / "data.csv", ["id", "day", "a", "b", "y"], rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(path: Path, model: object) -> None:
    path.write_bytes(pickle.dumps(model))


def save_csv(path: Path, names: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


ARGUMENTS = ["reference", "--data", "data.csv", "--model", "model.pkl", "--target", "y", "--ignore", "id,d*"]


def test_writes_what_from_data_builds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ARGUMENTS) == 0
    written = Reference.load("histogram.prom")
    built = Reference.from_data(NUMBERS, ANSWERS, names=["a", "b"])
    assert written.schema.columns[:2] == built.schema.columns[:2]
    assert written.counts[: written.schema.offsets[2]].tolist() == built.counts[: built.schema.offsets[2]].tolist()
    assert written.sums == pytest.approx(built.sums)
    assert written.info.rows == 300
    assert len(written.info.model_sha256) == 64
    output = capsys.readouterr().out
    for part in (
        "Read 300 rows",
        "id ",
        "--ignore id",
        "--ignore d*",
        "the target",
        "20 quantile bins",
        "--categorical",
    ):
        assert part in output


@pytest.mark.parametrize("block", [200, 5_000])
def test_chunks_do_not_change_the_answer(folder: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(Path("data.csv"), Path("model.pkl"), target="y", ignore=("id", "day"), force=True)
    whole = make_reference(request, ManualClock(0)).reference
    monkeypatch.setattr(read_module, "BLOCK", block)
    parts = make_reference(request, ManualClock(0)).reference
    assert parts.schema.columns[:2] == whole.schema.columns[:2]
    assert parts.identity == whole.identity


def test_a_pipeline_with_texts_gets_its_texts(folder: Path) -> None:
    towns = np.array(["Rome", "Oslo", "Bonn"])[np.arange(300) % 3]
    rows = np.empty((300, 2), dtype=object)
    rows[:, 0], rows[:, 1] = towns, NUMBERS[:, 0]
    labels = np.where(towns == "Rome", "warm", "cold")
    columns = ColumnTransformer([("town", OneHotEncoder(), [0])], remainder="passthrough")
    save(folder / "pipe.pkl", make_pipeline(columns, LogisticRegression()).fit(rows, labels))
    save_csv(folder / "towns.csv", ["town", "x"], rows.tolist())
    made = make_reference(Request(Path("towns.csv"), Path("pipe.pkl")))
    town, _, prediction = made.reference.schema.columns
    assert town.categories == ("Bonn", "Oslo", "Rome")
    counts = made.reference.schema.split(made.reference.counts)
    assert counts[0].tolist() == [100, 100, 100, 0, 0]
    assert dict(zip(prediction.labels, counts[2].tolist(), strict=True))["warm"] == 100
    assert made.model is not None
    assert title(made.model.estimator) == "LogisticRegression"


def test_a_model_of_frames_gets_frames_categories_and_booleans_with_gaps(folder: Path) -> None:
    towns, ok = np.array(["Rome", "Oslo", None])[np.arange(300) % 3], np.array([True, False, None])[np.arange(300) % 3]
    frame = pandas.DataFrame({"town": towns, "ok": ok, "x": NUMBERS[:, 0]})
    labels = np.where(ok.astype(str) == "True", "warm", "cold")
    frame.to_csv(folder / "frame.csv", index=False)
    frame = pandas.read_csv(folder / "frame.csv")
    gaps = make_pipeline(
        ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), ["town", "ok"])], remainder="passthrough"),
        LogisticRegression(),
    ).fit(frame, labels)
    typed = frame[["town", "x"]].astype({"town": "category"})
    categories = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5).fit(typed, labels)
    for model, given in ((gaps, frame), (categories, typed)):
        save(folder / "frame.pkl", model)
        reference = make_reference(Request(Path("frame.csv"), Path("frame.pkl"), proba=True, force=True)).reference
        shares = model.predict_proba(given)
        assert reference.sums[-2:] == pytest.approx(shares.sum(axis=0))


def test_columns_are_taken_in_the_order_of_the_model_that_knows_their_names(folder: Path) -> None:
    model = LinearRegression().fit(NUMBERS, ANSWERS)
    model.feature_names_in_ = np.array(["b", "a"], dtype=object)
    save(folder / "named.pkl", model)
    made = make_reference(Request(Path("data.csv"), Path("named.pkl")))
    assert [column.name for column in made.reference.schema.features] == ["b", "a"]
    assert dict(made.left_out)["id"] == "not an input of the model"


def test_predictions_may_stand_in_the_data(folder: Path) -> None:
    made = make_reference(Request(Path("data.csv"), predictions=("y",), ignore=("id", "day")))
    assert [(column.name, column.role) for column in made.reference.schema.columns][-1] == ("y", "prediction")
    assert made.reference.info.model_sha256 == ""
    assert (
        made.reference.identity
        == Reference.from_data(NUMBERS, ANSWERS, names=["a", "b"], prediction_names=["y"]).identity
    )


def test_several_columns_of_predictions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS[:3], "--prediction", "y,b", "--ignore", "id,day"]) == 0
    columns = Reference.load("histogram.prom").schema.columns
    assert [(column.name, column.role) for column in columns] == [
        ("a", "feature"),
        ("y", "prediction"),
        ("b", "prediction"),
    ]
    assert "b (prediction)" in capsys.readouterr().out


def test_a_vector_of_answers_is_a_column_each_whose_kind_can_be_overruled(folder: Path) -> None:
    save(folder / "two.pkl", LinearRegression().fit(NUMBERS, np.stack([ANSWERS, np.round(ANSWERS)], axis=1)))
    options = ["--model", "two.pkl", "--target", "y", "--ignore", "id,day", "--categorical", "prediction_1"]
    assert main([*ARGUMENTS[:3], *options]) == 0
    predictions = Reference.load("histogram.prom").schema.predictions
    assert [(column.name, column.kind) for column in predictions] == [
        ("prediction_0", "numeric"),
        ("prediction_1", "categorical"),
    ]


@pytest.mark.parametrize("labels", [["no", "yes"], [0, 1], [False, True]], ids=["texts", "numbers", "booleans"])
def test_probabilities_are_a_column_for_each_class_as_the_server_wants_them(folder: Path, labels: list[object]) -> None:
    model = LogisticRegression().fit(NUMBERS, np.array(labels)[(ANSWERS > 0).astype(int)])
    save(folder / "classifier.pkl", model)
    options = ["--model", "classifier.pkl", "--target", "y", "--ignore", "id,day", "--proba"]
    assert main([*ARGUMENTS[:3], *options]) == 0
    reference = Reference.load("histogram.prom")
    shares = model.predict_proba(NUMBERS)
    assert reference.sums[-2:] == pytest.approx(shares.sum(axis=0))
    assert [column.kind for column in reference.schema.predictions] == ["categorical", "numeric", "numeric"]
    served = open_model(ModelConfig("model", "classifier.pkl", "histogram.prom", "refuse", "", proba=True), reference)
    assert served.classes == tuple(column.name.removeprefix("proba_") for column in reference.schema.predictions[1:])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (
            ["--model", "model.pkl", "--proba"],
            "LinearRegression, has no predict_proba()",
        ),
        (["--prediction", "y", "--proba"], "--proba asks the model, and so needs --model"),
        (["--model", "model.pkl", "--numeric", "proba_9"], "--numeric proba_9: the model answers no such column"),
        (["--prediction", "y,z"], "--prediction z: data.csv has no such column"),
    ],
)
def test_probabilities_that_cannot_be_had_are_one_clear_line(
    folder: Path, options: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = [] if "--prediction" in options else ["--target", "y"]
    assert main([*ARGUMENTS[:3], *options, *target, "--ignore", "id,day"]) == 2
    assert what in capsys.readouterr().err
    assert not (folder / "histogram.prom").exists()


def test_json_lines_and_joblib(folder: Path) -> None:
    lines = (json.dumps({"a": a, "b": b}) for a, b in NUMBERS.tolist())
    (folder / "data.jsonl").write_text("\n".join(lines))
    joblib.dump(LinearRegression().fit(NUMBERS, ANSWERS), folder / "model.joblib")
    made = make_reference(Request(Path("data.jsonl"), Path("model.joblib")))
    assert made.reference.info.rows == 300


def test_kinds_can_be_overruled(folder: Path) -> None:
    rows = [[i % 5, i % 2] for i in range(100)]
    save_csv(folder / "codes.csv", ["code", "flag"], rows)
    request = Request(Path("codes.csv"), Path("model.pkl"), categorical=("code",), numeric=("flag",))
    kinds = [column.kind for column in make_reference(request).reference.schema.features]
    assert kinds == ["categorical", "numeric"]


def test_a_column_that_changes_its_type_is_named_or_its_rows_are_skipped(folder: Path) -> None:
    rows: list[list[object]] = [list(row) for row in NUMBERS.tolist()]
    rows[199][0] = "n.a."
    save_csv(folder / "odd.csv", ["a", "b"], rows)
    request = Request(Path("odd.csv"), Path("model.pkl"))
    with pytest.raises(
        DataError, match=r"odd.csv, line 201: column 'a' holds 'n.a.', but 299 of its 300 values are numbers"
    ):
        make_reference(request)
    made = make_reference(Request(Path("odd.csv"), Path("model.pkl"), skip_bad_rows=True))
    assert made.bad.count == 1
    assert made.reference.info.rows == 299
    assert made.reference.schema.features[0].numeric


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--target", "z"], "--target z: data.csv has no such column; it has id, day, a, b, y"),
        (["--ignore", "zz*"], "--ignore zz*: matches no column"),
        (["--ignore", "id"], "the model takes 2 columns, but data.csv leaves 4: day, a, b, y; leave some out"),
        (["--ignore", "id,day,y,b"], "some are missing"),
        (["--ignore", "*"], "the model takes 2 columns, but data.csv leaves 0"),
        (["--target", "y", "--ignore", "id,day", "--numeric", "q"], "--numeric q: is no column that is watched"),
        (["--target", "y", "--ignore", "id,day", "--numeric", "a", "--categorical", "a"], "both"),
        (["--target", "y", "--ignore", "id,a"], "the model answers no row of values from data.csv: ValueError"),
        (["--bins", "1"], "--bins must be between"),
        (["--target", "y", "--ignore", "id,day", "--output", "."], ".: is a folder; --output takes the name of a file"),
        (["--output", "nowhere/x.prom"], "there is no folder nowhere"),
    ],
)
def test_a_request_that_does_not_fit_is_one_clear_line_and_writes_nothing(
    folder: Path, options: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    assert main([*ARGUMENTS[:5], *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("telltale reference: ")
    assert what in error
    assert sorted(folder.iterdir()) == before


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_is_read(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root, who runs the tests in CI, may write anywhere
    assert main(ARGUMENTS) == 1
    assert "the folder . cannot be written to" in capsys.readouterr().err


def test_a_model_whose_inputs_are_not_in_the_file_names_them(folder: Path) -> None:
    model = LinearRegression().fit(NUMBERS, ANSWERS)
    model.feature_names_in_ = np.array(["a", "c"], dtype=object)
    save(folder / "named.pkl", model)
    with pytest.raises(DataError, match=r"data.csv: the model's input 'c' is not among the columns: id, day, a, b, y"):
        make_reference(Request(Path("data.csv"), Path("named.pkl")))
    with pytest.raises(DataError, match=r"the model's input 'a' and 1 more of its inputs are left out by an option"):
        make_reference(Request(Path("data.csv"), Path("named.pkl"), ignore=("a",)))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"cno_such_library\nThing\n.", "needs the library 'no_such_library', which is not installed"),
        (b"not a pickle", "cannot be loaded: it is neither a pickle"),
        (b"", "cannot be loaded: EOFError"),
        (pickle.dumps({"a": 1}), "holds a dict, which has no predict"),
        (None, "there is no such model file"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_clear_line(folder: Path, content: bytes | None, what: str) -> None:
    if content is not None:
        (folder / "bad.pkl").write_bytes(content)
    with pytest.raises(ModelError, match=what) as caught:
        make_reference(Request(Path("data.csv"), Path("bad.pkl")))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_model_that_everybody_may_write_to_is_refused(folder: Path) -> None:
    (folder / "model.pkl").chmod(0o666)
    with pytest.raises(ModelError, match="everybody may write to it"):
        make_reference(Request(Path("data.csv"), Path("model.pkl")))


def test_rows_with_times_become_the_history_from_which_what_is_usual_is_learnt(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten days of rows, an hour apart and more: the command that is proposed is run as it is."""
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=0.8 * i) for i in range(300)]
    rows = [[day.isoformat(), *row, y] for day, row, y in zip(days, NUMBERS, ANSWERS, strict=True)]
    save_csv(folder / "timed.csv", ["when", "a", "b", "y"], rows)
    made = ["reference", "--data", "timed.csv", "--model", "model.pkl", "--target", "y", "--time", "when"]
    assert main(made) == 0
    said = capsys.readouterr().out
    assert re.search(r"^when +left out +- +the time of each row$", said, re.M)
    command = shlex.split(said.splitlines()[-1])
    assert command[:2] == ["telltale", "replay"]
    assert monitor(command[1:]) == 0
    assert monitor(["status"]) == 0
    assert "learning what is usual, day 11 of 28" in capsys.readouterr().out
    assert main([*made[:-1], "then", "--force"]) == 2
    assert "--time then: timed.csv has no such column" in capsys.readouterr().err


def test_what_was_decided_is_printed_as_json_with_the_keys_that_are_documented(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_csv(folder / "held.csv", ["a", "b", "y"], [[a + 1, b, a] for a, b in NUMBERS.tolist()])
    assert main([*ARGUMENTS, "--time", "day", "--holdout", "held.csv", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["kind"]) for one in said["columns"]] == [
        *(("a", "numeric"), ("b", "numeric"), ("prediction", "numeric"))
    ]
    assert (said["rows"], said["left_out"]["y"], said["settings"]["path"]) == (300, "the target", "model.pkl")
    assert said["proposal"].keys() == {"window", "base", "min_samples"}
    assert {one["metric"]: one["n"] for one in said["performance"]}["mae"] == 300
    document = (Path(__file__).resolve().parents[2] / "docs/commands.md").read_text("utf-8")
    (documented,) = re.findall(r"^\| `reference --model` \| (.*) \|$", document, re.M)
    assert [key for key in said if f"`{key}`" not in documented] == []


def test_every_option_is_documented() -> None:
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    document = (Path(__file__).resolve().parents[2] / "docs/reference.md").read_text("utf-8")
    for action in commands.choices["reference"]._actions:
        assert f"`{action.option_strings[-1]}" in document or action.dest == "help"


def test_no_usable_row_is_an_error(folder: Path) -> None:
    save_csv(folder / "none.csv", ["a", "b"], [])
    with pytest.raises(TelltaleError, match="no row that can be used"):
        make_reference(Request(Path("none.csv"), Path("model.pkl")))


def test_a_spool_that_outgrows_memory_goes_to_disk_and_leaves_nothing(tmp_path: Path) -> None:
    chunks = [[NUMBERS[:, 0] + i, ["a", None, "b"] * 100] for i in range(5)]
    with Spool(("x", "t"), tmp_path, memory=1_000) as spool:
        for chunk in chunks:
            spool.append(chunk)
        for _ in range(2):
            for found, chunk in zip(spool.chunks(), chunks, strict=True):
                assert isinstance(found[0], np.ndarray)
                assert (found[0].tolist(), found[1]) == (chunk[0].tolist(), chunk[1])
        assert spool.rows == 1_500
        assert list(tmp_path.iterdir()) == []
