"""What rules would have done over recorded evaluations."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from monitor.clock import WEEK, iso
from monitor.drift.result import DriftResult
from monitor.rules.alert import advance
from monitor.rules.rule import Rule
from tests.backtest.recorded import backtest
from tests.rules.series import EVERY, START, ticks, verdict

AT_ONCE = Rule("drift", keep_firing=0)


def recorded(**columns: str) -> list[tuple[float, Sequence[DriftResult]]]:
    """One series of letters for each column."""
    count = len(next(iter(columns.values())))
    return [
        (at, [verdict(letters[k], column=column) for column, letters in columns.items()])
        for k, at in enumerate(ticks(count))
    ]


def test_events_with_their_times_and_their_strongest_verdict() -> None:
    series = recorded(bmi=".DDD..", s5="......")
    series[2] = (series[2][0], [verdict("D", value=0.9), *series[2][1][1:]])
    done = backtest(series, [Rule("drift", hold=60, keep_firing=60)], EVERY)
    (event,) = done.events
    assert (event.active, event.fired, event.resolved) == (START + 60, START + 120, START + 300)
    assert (event.column, event.statistic, event.value, event.strength) == ("bmi", "ks", 0.9, 9.0)


def test_an_event_that_goes_on_has_no_end() -> None:
    assert backtest(recorded(bmi="..D"), [AT_ONCE], EVERY).events[0].resolved is None


def test_an_event_that_came_back_is_one_event() -> None:
    done = backtest(recorded(bmi="D.D." + "." * 20), [AT_ONCE], EVERY)
    (event,) = done.events
    assert event.reopened == 1
    assert event.resolved == START + (3 + 15) * EVERY


def test_an_event_that_came_back_and_goes_on_has_no_end() -> None:
    (event,) = backtest(recorded(bmi="D.D"), [AT_ONCE], EVERY).events
    assert (event.reopened, event.resolved) == (1, None)


def test_the_strongest_verdict_is_one_while_it_fired() -> None:
    """What came after the resolve, and never fired, is not part of the event."""
    series = recorded(bmi="DDD..D.")
    series[5] = (series[5][0], [verdict("D", value=0.9)])
    (event,) = backtest(series, [Rule("drift", hold=120, keep_firing=0)], EVERY).events
    assert (event.value, event.resolved) == (0.4, START + 180)


def test_two_events_on_one_column_are_two() -> None:
    done = backtest(recorded(bmi="D." + "." * 20 + "D."), [AT_ONCE], EVERY)
    assert [event.fired for event in done.events] == [START, START + 22 * EVERY]


def test_it_is_what_the_engine_would_have_done() -> None:
    series = recorded(bmi="DD..D0DD.....D", s5="..?DDDD.DD.D..")
    rules = [replace(AT_ONCE, reopen=0), Rule("slow", hold=120, keep_firing=0, reopen=0)]
    alerts, ends = {}, {}
    for at, results in series:
        alerts, moved = advance(alerts, results, rules, at, EVERY, "")
        for one in moved:
            if "firing" in (one.before, one.alert.state):
                ends[one.alert.event_id] = None if one.alert.state == "firing" else one.at
    assert len(ends) > 3
    assert {event.event_id: event.resolved for event in backtest(series, rules, EVERY).events} == ends


def test_rates_per_week() -> None:
    """Ten thousand and eighty evaluations a minute apart are a week."""
    letters = (("D" + "." * 60) * 166)[:10_080]
    series = recorded(bmi=letters, s5="." * len(letters))
    done = backtest(series, [AT_ONCE, Rule("other")], EVERY)
    assert done.end - done.start == WEEK
    assert done.rates() == [
        {"rule": "drift", "events": 166, "per_week": 166.0},
        {"rule": "drift", "column": "bmi", "role": "feature", "events": 166, "per_week": 166.0},
        {"rule": "other", "events": 0, "per_week": 0.0},
    ]


def test_the_table() -> None:
    done = backtest(recorded(bmi=".D...", s5="...DD", age="0000?"), [AT_ONCE, Rule("other")], EVERY)
    assert done.lines() == [
        f"{iso(START - 60)} to {iso(START + 240)}: 5 evaluations, 2 events (67% of 15 results had a verdict)",
        "",
        "fired                 for           rule   severity  column  strongest      direction",
        f"{iso(START + 60)}  1m            drift  warning   bmi     ks 0.4 (4.0x)  -",
        f"{iso(START + 180)}  still firing  drift  warning   s5      ks 0.4 (4.0x)  -",
        "",
        "rule   column  events  a week",
        "drift  all          2       -",
        "drift  bmi          1       -",
        "drift  s5           1       -",
        "other  all          0       -",
        "5 minutes: too short for a rate a week; take a day or more.",
    ]


def test_json_has_all_that_the_table_has() -> None:
    done = backtest(recorded(bmi=".D...", s5="...DD"), [AT_ONCE], EVERY)
    data = json.loads(json.dumps(done.to_json(), allow_nan=False))
    assert (data["from"], data["evaluations"], data["results"], data["judged"]) == (iso(START - 60), 5, 10, 10)
    assert data["rules"] == [{"rule": "drift", "events": 2, "per_week": None}]
    assert data["columns"][0] == {"rule": "drift", "column": "bmi", "role": "feature", "events": 1, "per_week": None}
    ends = {event["column"]: event["resolved"] for event in data["events"]}
    assert ends == {"bmi": iso(START + 120), "s5": None}


@pytest.mark.parametrize("series", [[], [(START, [])]])
def test_nothing_recorded_is_no_event_and_no_error(series: list[tuple[float, Sequence[DriftResult]]]) -> None:
    done = backtest(series, [AT_ONCE], EVERY)
    assert done.events == ()
    assert "none of 0 results had a verdict" in done.lines()[0]
    json.dumps(done.to_json(), allow_nan=False)
