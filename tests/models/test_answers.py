"""Answers of models, whatever shape and type they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.errors import ModelError
from monitor.models.form import Array
from monitor.models.model import Model, plain

ROWS = np.zeros((2, 3))


class Constant:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, rows: Any) -> Any:
        return self.answer


def predict(answer: Any) -> list[Any]:
    return plain(np.asarray(Constant(answer).predict(ROWS)), len(ROWS))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        (np.array([[1.5], [2.5]]), [1.5, 2.5]),
        (np.array([1, 2], dtype=np.uint8), [1, 2]),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array(["a", 2], dtype=object), ["a", 2]),
        (np.array([np.str_("a"), np.float32(0.5)], dtype=object), ["a", 0.5]),
        ([1.5, 2.5], [1.5, 2.5]),
    ],
)
def test_values_are_plain_python(answer: Any, expected: list[Any]) -> None:
    values = predict(answer)
    assert values == expected
    assert [type(value) for value in values] == [type(value) for value in expected]


@pytest.mark.parametrize(
    "answer",
    [
        np.array([1.0]),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        1.0,
        None,
        np.array([1.0, np.nan]),
        np.array([np.inf, 1.0]),
        np.array([1.0, np.nan], dtype=object),
        np.array([1 + 2j, 1]),
        np.array([b"a", b"b"]),
        np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]"),
        np.array([None, "a"], dtype=object),
    ],
)
def test_what_is_no_answer_is_an_error(answer: Any) -> None:
    with pytest.raises(ModelError, match="the model answered"):
        predict(answer)


def test_the_version_is_the_hash_unless_given() -> None:
    assert Model(Constant(0), Array([]), "0123456789abcdef").version == "0123456789ab"
    assert Model(Constant(0), Array([]), "0123456789abcdef", "3.1").version == "3.1"
