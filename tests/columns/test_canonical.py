"""Values as they are counted: one by one and in columns."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.columns.canonical import floats, number

PLAIN = st.floats() | st.integers() | st.booleans() | st.none()
OTHER = st.sampled_from(["0.5", "old", "", Decimal("1.5"), np.float32(0.1), np.int64(2), float("inf")])


@given(st.lists(PLAIN) | st.lists(PLAIN | OTHER))
@example([10**400, 1.0])
@example([None, -(2**1024), True])
@example([2**53 + 1, -0.0])
def test_a_column_has_the_numbers_of_its_values(values: list[Any]) -> None:
    """Whether numpy reads them in one go or not."""
    expected = np.array([number(value) for value in values], np.float64)
    for column in (values, tuple(values), np.array(values, dtype=object)):
        found = floats(column)
        np.testing.assert_array_equal(found, expected)
        assert (np.signbit(found) == np.signbit(expected)).all()
