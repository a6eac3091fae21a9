"""Requests that no client should send: 2,000 of them in this process; `python -m bench.fuzz` sends more."""

from __future__ import annotations

import pytest

from bench.fuzz import run


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_no_request_is_answered_with_5xx_or_repeated_at_length() -> None:
    statuses, failures, (seconds, slowest) = run(2000, seed=7)
    assert failures == []
    assert statuses[200] > 100, "most requests are refused before they reach what they should test"
    assert sum(statuses[status] for status in (400, 415, 422)) > 1000
    assert seconds < 5, slowest
