"""`train reference --holdout`: the baseline in the reference file, and what is refused."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_pinball_loss, recall_score, roc_auc_score

from monitor.outcomes.baseline import Baseline
from monitor.outcomes.performance import measure
from monitor.reference.file import Reference
from train.__main__ import main

RNG = np.random.default_rng(0)
ROWS = np.round(RNG.normal(size=(900, 3)), 4)
NUMBER = ROWS @ [3.0, 1.0, 0.0] + RNG.normal(size=900)
LABEL = np.where(NUMBER > 0, "good", "bad")


def write(path: Path, rows: slice, target: np.ndarray, more: dict[str, object] | None = None) -> None:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["a", "b", "noise", "y", *(more or {})])
        for row, y in zip(ROWS[rows], target[rows], strict=True):
            out.writerow([*row, y, *(more or {}).values()])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*more: str) -> int:
    return main(["reference", "--data", "data.csv", "--model", "model.pkl", "--target", "y", "--force", *more])


def regressor(folder: Path) -> LinearRegression:
    model = LinearRegression().fit(ROWS[:600], NUMBER[:600])
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    write(folder / "data.csv", slice(600), NUMBER)
    write(folder / "test.csv", slice(600, 900), NUMBER)
    return model


def classifier(folder: Path) -> LogisticRegression:
    model = LogisticRegression().fit(ROWS[:600], LABEL[:600])
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    write(folder / "data.csv", slice(600), LABEL)
    write(folder / "test.csv", slice(600, 900), LABEL)
    return model


def test_a_regressor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = regressor(folder)
    assert run("--holdout", "test.csv") == 0
    baseline = Reference.load("histogram.prom").baseline
    assert baseline is not None
    error = mean_absolute_error(NUMBER[600:], model.predict(ROWS[600:]))
    assert measure(baseline.sums)["mae"].value == pytest.approx(error, rel=1e-9)
    assert baseline.mean_loss == pytest.approx(error, rel=1e-9)
    assert sum(baseline.importance.values()) == pytest.approx(1.0)
    assert baseline.importance["a"] > 0.6 > baseline.importance["b"] > 0.1 > baseline.importance["noise"]
    assert baseline.columns["feature", "a"].rows.sum() == 300
    said = capsys.readouterr().out
    assert "On 300 rows of test.csv: mean error (MAE)" in said
    assert "Most important: a " in said


def test_a_classifier_with_probabilities(folder: Path) -> None:
    model = classifier(folder)
    assert run("--holdout", "test.csv", "--proba", "--positive", "bad") == 0
    baseline = Reference.load("histogram.prom").baseline
    assert baseline is not None
    assert baseline.target.classes == ("bad", "good")
    predicted, score = model.predict(ROWS[600:]), model.predict_proba(ROWS[600:])[:, 0]
    found = measure(baseline.sums)
    assert found["accuracy"].value == pytest.approx(accuracy_score(LABEL[600:], predicted), abs=1e-12)
    assert found["recall"].value == pytest.approx(recall_score(LABEL[600:], predicted, pos_label="bad"), abs=1e-12)
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(LABEL[600:] == "bad", score), abs=0.002)


def test_predictions_from_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.holdout.IMPORTANCE_ROWS", 100)  # fewer than the file has
    model = regressor(folder)
    for name in ("data", "test"):
        with (folder / f"{name}.csv").open(newline="") as file:
            names, *rows = csv.reader(file)
        answers = model.predict(np.array([row[:3] for row in rows], float))
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([[*names, "answer"], *([*r, a] for r, a in zip(rows, answers, strict=True))])
    arguments = ["--data", "data.csv", "--prediction", "answer", "--target", "y", "--holdout", "test.csv"]
    assert main(["reference", *arguments]) == 0
    baseline = Reference.load("histogram.prom").baseline
    assert baseline is not None
    error = mean_absolute_error(NUMBER[600:], model.predict(ROWS[600:]))
    assert measure(baseline.sums)["mae"].value == pytest.approx(error, rel=1e-9)
    assert baseline.importance == {}


def test_without_a_holdout_it_says_how_to_get_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    regressor(folder)
    assert run() == 0
    assert Reference.load("histogram.prom").baseline is None
    assert "--holdout FILE takes rows that the model was not" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--holdout", "data.csv"], "has the same rows as --data"),
        (["--holdout", "copy.csv"], "has the same rows as --data"),
        (["--holdout", "gone.csv"], "gone.csv"),
        (["--holdout", "other.csv"], "has no column noise"),
        (["--positive", "bad"], "need --holdout"),
        (["--holdout", "test.csv", "--value", "good=3"], "expected CAME:ANSWERED=NUMBER"),
        (["--holdout", "test.csv", "--value", "good:ugly=3"], "the model answers no 'ugly'"),
        (["--holdout", "test.csv", "--interval", "a,b"], "expected two of the predictions"),
        (["--holdout", "test.csv", "--quantile", "0.9"], "this one answers classes"),
        (["--holdout", "test.csv", "--positive", "ugly"], "answers no such class; it answers bad, good"),
        (["--holdout", "empty.csv"], "empty.csv"),
        (["--holdout", "blank.csv"], "no row with both an outcome and a prediction"),
    ],
)
def test_what_is_refused(folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    classifier(folder)
    (folder / "copy.csv").write_bytes((folder / "data.csv").read_bytes())
    (folder / "other.csv").write_text("a,b,y\n1,2,good\n")
    (folder / "empty.csv").write_text("a,b,noise,y\n")
    (folder / "blank.csv").write_text("a,b,noise,y\n1,2,3,\n")
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "histogram.prom").exists()


def test_intervals_quantiles_values_and_scores(folder: Path) -> None:
    """How outcomes are judged is said once, with the reference."""
    regressor(folder)
    assert run("--holdout", "test.csv", "--quantile", "0.9") == 0
    found = baseline().sums
    predicted = LinearRegression().fit(ROWS[:600], NUMBER[:600]).predict(ROWS[600:])
    loss = mean_pinball_loss(NUMBER[600:], predicted, alpha=0.9)
    assert measure(found)["pinball"].value == pytest.approx(loss, rel=1e-9)
    assert run("--holdout", "test.csv", "--score") == 0
    assert measure(baseline().sums)["score"].value == pytest.approx(NUMBER[600:].mean(), rel=1e-9)
    classifier(folder)
    assert run("--holdout", "test.csv", "--value", "good:bad=-5,bad:good=-100,good:good=10.5") == 0
    answered = LogisticRegression().fit(ROWS[:600], LABEL[:600]).predict(ROWS[600:])
    worth = {("good", "bad"): -5, ("bad", "good"): -100, ("good", "good"): 10.5, ("bad", "bad"): 0}
    value = np.mean([worth[pair] for pair in zip(LABEL[600:], answered, strict=True)])
    assert measure(baseline().sums)["value"].value == pytest.approx(value, rel=1e-9)


def test_an_interval_is_two_of_the_predictions(folder: Path) -> None:
    rows = [[x, y, x - 1, x + 1, x + noise] for x, y, noise in zip(ROWS[:, 0], ROWS[:, 0], ROWS[:, 1], strict=True)]
    for name, part in (("data", rows[:600]), ("test", rows[600:])):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["a", "mid", "low", "high", "y"], *part])
    arguments = ["--data", "data.csv", "--prediction", "mid,low,high", "--target", "y", "--holdout", "test.csv"]
    assert main(["reference", *arguments, "--interval", "low,high"]) == 0
    inside = float((np.abs(ROWS[600:, 1]) <= 1).mean())
    assert measure(baseline().sums)["coverage"].value == pytest.approx(inside, abs=1e-9)


def baseline() -> Baseline:
    found = Reference.load("histogram.prom").baseline
    assert found is not None
    return found


def test_target_is_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    regressor(folder)
    assert main(["reference", "--data", "data.csv", "--model", "model.pkl", "--holdout", "test.csv"]) == 2
    assert "--target COLUMN names the column with what came true" in capsys.readouterr().err


def test_the_examples_have_a_baseline_of_their_test_rows(folder: Path) -> None:
    assert main(["classification"]) == 0
    baseline = Reference.load("histogram.prom").baseline
    assert baseline is not None
    assert (baseline.source, baseline.sums.n) == ("the test rows", 38)
    assert set(baseline.importance) == {"sepal_length", "sepal_width", "petal_length", "petal_width"}
