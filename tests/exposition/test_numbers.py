"""Whole numbers as prometheus-client writes them."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.exposition.numbers import whole_numbers
from monitor.window.columns import go_number

_EDGES = [0, 9, 10, 999_999, 1_000_000, 1_000_001, 1_100_000, 123_456_789_012, 2**53 - 1, 2**53, 2**63 - 1]


@given(st.lists(st.one_of(st.integers(0, 2_000_000), st.integers(0, 2**63 - 1)), max_size=50))
@example(_EDGES)
def test_same_text_as_the_client(counts: list[int]) -> None:
    texts = whole_numbers(np.array(counts, dtype=np.int64))
    assert [text.decode() for text in texts] == [go_number(count) for count in counts]
