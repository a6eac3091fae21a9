"""The period of an address, as pure functions; the pages that show it are in test_pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import DAY
from monitor.config.settings import moment
from monitor.rules.alert import AlertState, period_around
from server.web.period import NAMES, SHORTEST, address_of, chosen, read

NOW = 1_773_500_000.0

#: Moments as the store has them: whole milliseconds.
moments = st.integers(0, int(NOW * 1000)).map(lambda ms: ms / 1000)


def nothing(_: str) -> list[tuple[float, AlertState]]:
    return []


@given(ends=st.tuples(moments, moments).filter(lambda ends: ends[0] < ends[1]))
def test_an_address_has_the_period_that_was_written_into_it(ends: tuple[float, float]) -> None:
    address = urlencode(address_of(*ends), safe=":")
    assert read(dict(parse_qsl(address)), NOW, DAY, nothing) == read(address_of(*ends), NOW, DAY, nothing)
    span = read(dict(parse_qsl(address)), NOW, DAY, nothing)
    assert (span.start, span.end) == ends


@given(at=moments, zone=st.integers(-14 * 60, 14 * 60))
def test_a_moment_is_the_same_in_every_zone(at: float, zone: int) -> None:
    here = datetime.fromtimestamp(at, UTC).astimezone(timezone(timedelta(minutes=zone)))
    assert moment(here.isoformat(), NOW) == pytest.approx(at, abs=1e-5)


@given(texts=st.dictionaries(st.sampled_from(NAMES), st.text() | st.sampled_from(["1h", "all", "now", "2026-03-01"])))
def test_whatever_an_address_says_it_is_a_period_or_an_error_that_names_the_field(texts: dict[str, str]) -> None:
    shown = chosen(texts, NOW, DAY, 0.0, nothing)
    assert 0 <= shown.start < shown.end <= NOW
    if shown.wrong:
        assert (shown.wrong.status, shown.wrong.where in texts) == (400, True)
    else:
        span = read(texts, NOW, DAY, nothing)
        assert span.start < min(span.end, NOW)


@given(
    first=moments | st.just(float("inf")), texts=st.sampled_from([{}, {"from": "7d"}, {"from": "all"}, {"to": "3h"}])
)
def test_a_page_shows_what_there_is(first: float, texts: dict[str, str]) -> None:
    asked, shown = read(texts, NOW, DAY, nothing), chosen(texts, NOW, DAY, first, nothing)
    assert (shown.end, shown.wrong, shown.kept) == (asked.end, None, texts)
    assert asked.start <= shown.start <= asked.end - SHORTEST
    assert shown.start in (asked.start, first, asked.end - SHORTEST)
    assert shown.judged == (shown.end if texts == {"to": "3h"} else None)


def test_a_wrong_address_shows_the_usual_period_and_stays_in_the_form() -> None:
    shown = chosen({"from": "soon", "to": "1h"}, NOW, DAY, 0.0, nothing)
    assert (shown.start, shown.end, shown.kept) == (NOW - DAY, NOW, {})
    assert shown.fields == {"from": "soon", "to": "1h"}
    assert shown.wrong
    assert shown.wrong.where == "from"


@given(moves=st.lists(st.tuples(moments, st.sampled_from(["firing", "resolved", "inactive"])), min_size=1).map(sorted))
def test_the_period_around_an_event_holds_it_and_some_time_before(moves: Sequence[tuple[float, AlertState]]) -> None:
    span = period_around(moves, NOW)
    assert span.start <= max(moves[0][0] - 3600, 0.0)
    assert moves[-1][0] <= span.end <= NOW
    if moves[-1][1] == "firing":
        assert span.end == NOW
