import hashlib
import pickle
import re
import warnings
from pathlib import Path

import pytest

from monitor.clock import ManualClock
from monitor.reference.file import Reference
from train import fit as fit_module
from train.__main__ import main
from train.fit import Task, fit, library_versions, load_dataset, write_pair

TASKS: list[Task] = ["regression", "classification"]


@pytest.mark.parametrize(("task", "features", "rows"), [("regression", 10, 331), ("classification", 4, 112)])
def test_writes_a_model_and_its_reference(task: Task, features: int, rows: int, tmp_path: Path) -> None:
    data = load_dataset(task)
    fitted = fit(task, data)
    write_pair(fitted, tmp_path, ManualClock(0))
    content = (tmp_path / "model.pkl").read_bytes()
    reference = Reference.load(tmp_path / "histogram.prom")
    assert reference.info.model_sha256 == hashlib.sha256(content).hexdigest()
    assert reference.info.created == "1970-01-01T00:00:00Z"
    assert reference.info.versions == library_versions()
    assert {"python", "numpy", "scikit_learn"} <= reference.info.versions.keys()
    assert [column.name for column in reference.schema.features] == list(data.names)
    per_column = [int(counts.sum()) for counts in reference.schema.split(reference.counts)]
    assert per_column == [rows] * features + [len(data.rows) - rows]
    answers = pickle.loads(content).predict(data.rows[:3].tolist())
    assert isinstance(answers.tolist()[0], str if task == "classification" else float)


@pytest.mark.parametrize("task", TASKS)
def test_training_is_the_same_each_time(task: Task, tmp_path: Path) -> None:
    contents = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        write_pair(fit(task, load_dataset(task)), folder, ManualClock(0))
        contents.append([(folder / file).read_bytes() for file in ("model.pkl", "histogram.prom")])
    assert contents[0] == contents[1]


def test_iris_converges_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit("classification", load_dataset("classification"))
    assert set(fitted.predictions) <= {"setosa", "versicolor", "virginica"}
    assert fitted.score > 0.9


def test_the_classifier_is_categorical_with_all_its_labels(tmp_path: Path) -> None:
    fitted = fit("classification", load_dataset("classification"))
    column = write_pair(fitted, tmp_path).schema.predictions[0]
    assert column.categories == ("setosa", "versicolor", "virginica")


def test_a_crash_between_the_files_leaves_a_pair_that_does_not_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pair(fit("regression", load_dataset("regression")), tmp_path)

    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(fit_module, "write_atomically", crash)
    with pytest.raises(Crash):
        write_pair(fit("classification", load_dataset("classification")), tmp_path)
    model = hashlib.sha256((tmp_path / "model.pkl").read_bytes()).hexdigest()
    assert Reference.load(tmp_path / "histogram.prom").info.model_sha256 != model
    assert sorted(path.name for path in tmp_path.iterdir()) == ["histogram.prom", "model.pkl"]


@pytest.mark.parametrize(
    ("arguments", "says"), [([], r"R2 .*: 0\.\d{3}"), (["classification"], r"weighted F1 .*: \d\.\d")]
)
def test_the_command_says_what_it_did(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert re.search(says, output)
    for part in ("model.pkl", "histogram.prom", "telltale serve", "telltale load"):
        assert part in output


def test_a_folder_that_cannot_be_written_to_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "histogram.prom").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main([]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot write" in error
    assert not (tmp_path / "model.pkl").exists()
