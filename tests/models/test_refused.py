"""What is refused: by `check` before the first request, by a request's values, and by files that are there."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from monitor.__main__ import main as monitor
from monitor.columns.column import Column
from monitor.models.facts import Known
from monitor.models.values import Values, WrongTypeError, values_of
from monitor.reference.file import Reference
from train.__main__ import main as train

FRAME = pd.DataFrame({"city": ["Rome", "Oslo"] * 40, "x": np.arange(80.0), "id": [f"c{i}" for i in range(80)]})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    columns = ColumnTransformer([("c", OneHotEncoder(), ["city"]), ("x", "passthrough", ["x"])], remainder="drop")
    model = make_pipeline(columns, Ridge()).fit(FRAME, FRAME["x"])
    (tmp_path / "mine.sav").write_bytes(pickle.dumps(model))
    FRAME.to_csv(tmp_path / "data.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


REFERENCE = ["reference", "--data", "data.csv", "--model", "mine.sav"]


def test_a_reference_says_which_settings_it_needs_and_overwrites_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*REFERENCE, "--ignore", "id"]) == 0
    needed = 'config.toml needs, under [model]: path = "mine.sav"; telltale init writes it'
    assert needed in capsys.readouterr().out
    assert not (folder / "config.toml").exists()
    assert [one.name for one in Reference.load("histogram.prom").schema.features] == ["city", "x"]
    before = (folder / "histogram.prom").read_text()
    capsys.readouterr()
    assert train(REFERENCE) == 2
    assert "histogram.prom: exists; --force overwrites it" in capsys.readouterr().err
    assert train([]) == 1
    assert "--force" in capsys.readouterr().err
    assert (folder / "histogram.prom").read_text() == before
    assert train([*REFERENCE, "--force"]) == 0
    assert (folder / "histogram.prom").read_text() != before


def test_check_loads_the_model_and_says_what_will_be_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["init", *REFERENCE[1:], "--ignore", "id"]) == 0
    capsys.readouterr()
    assert monitor(["check"]) == 0
    said = capsys.readouterr().out
    assert "mine.sav: good; asked with a frame of pandas" in said
    assert "a null or NaN in a feature gets 422" in said
    assert "refuses a category that it was not fitted with (422) in: city" in said
    (folder / "mine.sav").write_bytes(pickle.dumps(LinearRegression().fit(np.zeros((3, 5)), np.zeros(3))))
    assert monitor(["check"]) == 2
    assert "mine.sav" in capsys.readouterr().err


def test_a_model_file_that_is_missing_is_no_reason_to_overwrite_another(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*REFERENCE, "--ignore", "id"]) == 0
    (folder / "config.toml").write_text("")
    capsys.readouterr()
    assert monitor(["check"]) == 0
    said = capsys.readouterr().out
    assert "model.pkl: there is no such file, so a server would not start; there is mine.sav" in said
    assert "telltale train`" not in said


def values(*categories: str, known: tuple[object, ...] = ()) -> Values:
    return values_of(Column("c", "feature", "categorical", categories=categories), Known(known), False)


@pytest.mark.parametrize(
    ("column", "value", "read"),
    [
        (values("0", "1"), True, 1),
        (values("0", "1"), "1", 1),
        (values("false", "true"), 1, True),
        (values("false", "true"), "True", True),
        (values("01067", "10115"), "01067", "01067"),
        (values("101", "205"), 101.0, 101),
        (values("false", "true", known=(0.0, 1.0)), True, 1.0),
        (values("false", "true", known=("False", "True")), "true", "True"),
        (values("101", "205"), "999", 999),
    ],
)
def test_one_value_in_several_spellings_reaches_the_model_alike(column: Values, value: object, read: object) -> None:
    found = column.read(value)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (values("01067", "10115"), 1067, "a text"),
        (values("Rome", "Oslo"), 7, "a text"),
        (values("Rome", "Oslo"), True, "a text"),
        (values("false", "true"), "yes", "true or false"),
        (values("false", "true"), 2, "true or false"),
        (values("101", "205"), "shop", "a number"),
        (values("101", "205"), True, "a number"),
    ],
)
def test_a_wrong_type_of_value_is_refused(column: Values, value: object, words: str) -> None:
    with pytest.raises(WrongTypeError, match=f"expected {words}"):
        column.read(value)
