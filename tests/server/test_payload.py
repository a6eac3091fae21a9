"""Bodies become rows, or an error that says what and where: the short way and the long way agree."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.columns.column import Column, Schema
from monitor.errors import InputError
from server.payload import Payload, check_json_type, load, only_numbers
from tests.support.models import with_arrays

SCHEMA = Schema(
    (
        Column("a", "feature", "numeric", edges=(0.0, 1.0)),
        Column("b", "feature", "numeric", edges=(0.0, 1.0)),
        Column("prediction", "prediction", "numeric", edges=(0.0, 1.0)),
    )
)
MIXED = Schema(
    (Column("a", "feature", "numeric", edges=(0.0,)), Column("c", "feature", "categorical", categories=("x",)))
)

numbers = st.floats(-1e9, 1e9) | st.integers(-(2**53) + 1, 2**53 - 1)
rows = st.lists(numbers, min_size=2, max_size=2)


def parse(value: Any, allow_missing: bool = False) -> tuple[Any, bool]:
    return Payload(SCHEMA, allow_missing, with_arrays(None, SCHEMA)).parse(
        value if isinstance(value, bytes) else json.dumps(value).encode()
    )[:2]


@given(rows | st.lists(rows, min_size=1, max_size=5))
def test_numbers_arrive_as_they_were_sent(value: Any) -> None:
    parsed, batch = parse(value)
    assert isinstance(parsed, np.ndarray)
    assert batch == isinstance(value[0], list)
    assert parsed.tolist() == (value if batch else [value])


@given(st.lists(st.lists(numbers | st.none(), min_size=2, max_size=2), min_size=1, max_size=5))
def test_missing_values_become_nan_where_allowed_and_an_error_that_names_the_cell_otherwise(value: Any) -> None:
    parsed, _ = parse(value, allow_missing=True)
    expected = np.array(value, dtype=float)
    assert np.array_equal(np.array(parsed, dtype=float), expected, equal_nan=True)
    if np.isnan(expected).any():
        with pytest.raises(InputError, match="null is refused") as caught:
            parse(value)
        row, column = np.argwhere(np.isnan(expected))[0]
        assert caught.value.where == f"row {row}, column {'ab'[column]}"


@given(st.lists(st.sampled_from([0.5, 2, True, False, None, "x", {}, math.nan, math.inf, [1], [], 2**60]), max_size=4))
def test_only_numbers_is_true_exactly_for_numbers_and_lists(value: list[Any]) -> None:
    def plain(item: Any) -> bool:
        if isinstance(item, list):
            return all(map(plain, item))
        return type(item) is int or (type(item) is float and math.isfinite(item))

    assert only_numbers(json.dumps(value).encode()) == plain(value)


@pytest.mark.parametrize("value", [{"a": math.nan, "b": 1.5}, {"a": 1.5, "b": math.nan}, {"a": 10**400, "b": math.nan}])
def test_a_row_by_name_is_searched_for_nan(value: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"NaN is refused|2\*\*53"):
        parse(value)


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**63, 10**400])
def test_whole_numbers_that_no_float_holds_are_refused(value: int) -> None:
    with pytest.raises(InputError) as caught:
        parse([[0, 1], [value, 1]])
    assert (caught.value.code, caught.value.status, caught.value.where) == ("out_of_range", 422, "row 1, column a")


def test_texts_reach_the_model_as_they_came_and_only_where_a_category_is_expected() -> None:
    payload = Payload(MIXED, False, with_arrays(None, MIXED))
    assert payload.parse(b'[1, "a\\u0000\\ud800b"]')[0] == [[1, "a\0\ud800b"]]
    with pytest.raises(InputError, match="expected a text, got the number 2"):
        payload.parse(b"[1, 2]")
    with pytest.raises(InputError, match="expected a number, got the text '1'"):
        payload.parse(b'["1", "x"]')


def test_an_error_about_a_long_text_stays_short() -> None:
    with pytest.raises(InputError) as caught:
        parse(["y" * 100_000, 1])
    assert len(str(caught.value)) < 200


@given(st.binary(max_size=200))
def test_load_raises_nothing_but_input_errors(body: bytes) -> None:
    try:
        read = load(body)
    except InputError:
        return
    assert repr(json.loads(body.decode())) == repr(read)  # as texts: NaN is not equal to itself


@pytest.mark.parametrize("kind", ["", "text/json", "json", "application/", "application/json2", "application/xml"])
def test_content_types_that_are_not_json(kind: str) -> None:
    with pytest.raises(InputError) as caught:
        check_json_type(kind)
    assert caught.value.status == 415
