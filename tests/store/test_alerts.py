"""Alerts, their events and silences, through a real SQLite file."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import from_iso, iso
from monitor.drift.result import MODEL, AlertKey, DriftResult, Subject
from monitor.rules.alert import Alert, Transition, advance
from monitor.rules.rule import Rule
from monitor.rules.silence import Silence, new_silence, silenced_by
from monitor.store.file.database import connect
from monitor.store.records.alerts import (
    append_events,
    event_of,
    expire_silence,
    list_events,
    list_fired,
    list_silences,
    load_alerts,
    save_alerts,
    save_silence,
)
from monitor.store.records.verdicts import save_results
from tests.rules.series import EVERY, START, ticks, verdict

#: Versions of a model.
ONE, TWO = Subject(version="1"), Subject(version="2")

RULES = [Rule("drift", keep_firing=120), Rule("slow", hold=180, keep_firing=0, labels={"team": "crédit"})]
HOUR = 3600.0


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "telltale.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database for a whole property: each example empties its tables instead of making a file."""
    path = tmp_path_factory.mktemp("alerts") / "telltale.db"
    connect(path).close()
    return path


def reopen(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous = OFF")  # what is tested is a new process, not a lost disk
    return connection


Recorded = Sequence[tuple[float, Sequence[DriftResult]]]


def in_memory(recorded: Recorded) -> tuple[list[Transition], dict[AlertKey, Alert]]:
    alerts: dict[AlertKey, Alert] = {}
    transitions: list[Transition] = []
    for now, results in recorded:
        alerts, moved = advance(alerts, results, RULES, now, EVERY, "1")
        transitions += moved
    return transitions, alerts


def with_restarts(
    path: Path, recorded: Recorded, restart: Callable[[int], bool]
) -> tuple[list[Transition], Mapping[AlertKey, Alert]]:
    """Play a series with everything in the store, and forget all else wherever `restart` says so."""
    connection = reopen(path)
    connection.execute("DELETE FROM alerts")
    connection.execute("DELETE FROM alert_events")
    alerts: Mapping[AlertKey, Alert] = {}
    transitions: list[Transition] = []
    for k, (now, results) in enumerate(recorded):
        if restart(k):
            connection.close()
            connection = reopen(path)
            alerts = load_alerts(connection)
        connection.execute("BEGIN IMMEDIATE")
        alerts, moved = advance(alerts, results, RULES, now, EVERY, "1")
        save_alerts(connection, MODEL, alerts.values())
        append_events(connection, moved)
        connection.execute("COMMIT")
        transitions += moved
    stored = load_alerts(connection)
    assert stored == alerts
    events = list_events(connection, most=len(transitions) + 1)[::-1]
    assert [{**event, "id": 0} for event in events] == [{"id": 0, **event_of(one)} for one in transitions]
    connection.close()
    return transitions, stored


def answers(letters: str) -> list[DriftResult]:
    """Two rules, two columns and two statistics from four letters: the first of a letter's results may be blank."""
    ks, missing, other, slow = letters
    results = [
        verdict(ks, value=0.1 + ord(ks) / 997),
        verdict(missing, statistic="missing"),
        verdict(other, column="s5"),
        verdict(slow, rule="slow", column="Größe", role="prediction"),
    ]
    return [result for result, letter in zip(results, letters, strict=True) if letter != "E"]


def test_restarts_at_each_of_300_evaluations_change_nothing(database: Path) -> None:
    """One restart before every evaluation; since each starts from the store alone, so would any single one."""
    letters = ["D...", "DD.D", "DDDD", "?D0D", "wwD.", "....", "D.D?", ".D.D", "DRDD", "...."]
    recorded = [
        (at + (k % 7) * 0.137, answers(letters[(k * k // 11) % len(letters)])) for k, at in enumerate(ticks(300))
    ]
    without, alerts = in_memory(recorded)
    assert {one.alert.state for one in without} == {"inactive", "pending", "firing", "resolved"}
    assert any(one.alert.reopened for one in without)
    assert with_restarts(database, recorded, lambda k: True) == (without, alerts)


@settings(deadline=None)
@given(
    runs=st.lists(st.tuples(st.text("D.w?0RE", min_size=4, max_size=4), st.integers(1, 9)), min_size=1, max_size=8),
    gaps=st.lists(
        st.sampled_from([60.0, 60.0, 60.0, 59.7]) | st.floats(-4000, 90_000, allow_nan=False), min_size=1, max_size=9
    ),
    restarts=st.sets(st.integers(0, 71)),
)
def test_restart_equivalence(
    database: Path, runs: list[tuple[str, int]], gaps: list[float], restarts: set[int]
) -> None:
    """Whatever was seen, whenever it restarts, and wherever the clock goes: the same events as without a restart."""
    spelled = [letters for letters, length in runs for _ in range(length)]
    now, recorded = START, []
    for k, letters in enumerate(spelled):
        now += gaps[k % len(gaps)]
        recorded.append((now, answers(letters)))
    assert with_restarts(database, recorded, restarts.__contains__) == in_memory(recorded)


@given(st.floats(0, 4_102_444_800, allow_nan=False))
def test_a_moment_of_whole_milliseconds_comes_back_as_it_was(epoch: float) -> None:
    moment = round(epoch, 3)
    assert from_iso(iso(moment)) == moment


def test_an_alert_comes_back_with_all_it_had(connection: sqlite3.Connection) -> None:
    full = Alert(
        "drift", 'a"b\n', "prediction", "firing", START + 0.001, START - 60.5, 12.345, START + 7.25, START + 9, "abc",
        "critical", 0.1 + 0.2, {"team": "crédit", "b": ""}, "psi", 3,
    )  # fmt: skip
    bare = Alert("drift", "bmi", "feature", since=START)
    save_alerts(connection, MODEL, [full, bare])
    assert load_alerts(connection) == {full.key: full, bare.key: bare}


def test_what_is_saved_is_all_there_is(connection: sqlite3.Connection) -> None:
    one, two, three = (Alert("drift", column, "feature", since=START) for column in ("a", "b", "c"))
    save_alerts(connection, MODEL, [one, two])
    save_alerts(connection, MODEL, [two, three])
    assert set(load_alerts(connection)) == {two.key, three.key}
    save_alerts(connection, MODEL, [])
    assert load_alerts(connection) == {}


def test_a_transaction_that_is_rolled_back_changes_nothing(
    connection: sqlite3.Connection,
) -> None:
    before, _ = advance({}, [verdict(".")], RULES, START, EVERY, "1")
    save_alerts(connection, MODEL, before.values())
    connection.execute("BEGIN IMMEDIATE")
    after, moved = advance(before, [verdict("D")], RULES, START + 60, EVERY, "1")
    save_alerts(connection, MODEL, after.values())
    append_events(connection, moved)
    connection.execute("ROLLBACK")
    assert (load_alerts(connection), list_events(connection)) == (before, [])


def test_events_say_what_happened_and_why(connection: sqlite3.Connection) -> None:
    alerts, fired = advance({}, [verdict("D")], RULES, START, EVERY, "1")
    append_events(connection, fired)
    _, ended = advance(alerts, [], [], START + 60.25, EVERY, "2")
    append_events(connection, ended)
    last, first = list_events(connection)
    assert (first["at"], first["before"], first["after"], first["statistic"]) == (
        iso(START),
        "inactive",
        "firing",
        "ks",
    )
    assert (first["value"], first["critical"], first["n"], first["model_version"]) == (0.4, 0.05, 200, "1")
    assert (last["at"], last["after"], last["statistic"]) == (iso(START + 60.25), "resolved", "")
    assert (last["value"], last["n"]) == (None, 0)
    assert (last["model_version"], last["reason"]) == ("2", "there is no such rule any more")
    assert first["event_id"] == last["event_id"] != ""


def test_an_event_is_listed_once_even_if_two_evaluations_have_its_moment(connection: sqlite3.Connection) -> None:
    _, fired = advance({}, [verdict("D")], RULES, START, EVERY, "1")
    append_events(connection, fired)
    for _ in range(2):
        save_results(connection, START, [verdict("D")])
    [events] = list_fired(connection, ONE, START, START + HOUR).values()
    assert [event["after"] for event in events] == ["firing"]


def test_events_are_found_by_version_and_column_the_newest_first(connection: sqlite3.Connection) -> None:
    for k in range(4):
        _, moved = advance({}, [verdict("D", column=f"c{k % 2}")], RULES, START + k, EVERY, "1")
        append_events(connection, moved)
    assert [event["at"] for event in list_events(connection, ONE, most=3)] == [iso(START + k) for k in (3, 2, 1)]
    assert [event["at"] for event in list_events(connection, ONE, "feature", "c0")] == [
        iso(START + 2),
        iso(START),
    ]
    assert list_events(connection, TWO) == list_events(connection, ONE, "prediction", "c0") == []


def silence(start: float = START, end: float = START + HOUR, column: str = "bmi") -> Silence:
    return new_silence({"column": column}, start, end, "ann", "known outage")


def test_silences_come_back_in_order_and_only_while_they_last(connection: sqlite3.Connection) -> None:
    late, early, short = silence(START + 60.5), silence(), silence(end=START + 30, column="s*")
    for one in (late, early, short):
        save_silence(connection, one, START)
    assert list_silences(connection) == sorted([late, early, short], key=lambda one: (one.start, one.id))
    assert set(map(str, list_silences(connection, START + 30))) == {str(early), str(late)}


def test_a_silence_is_ended_now_and_stays_on_record(connection: sqlite3.Connection) -> None:
    save_silence(connection, silence(), START)
    assert expire_silence(connection, silence().id, START + 60)
    (ended,) = list_silences(connection)
    assert (ended.start, ended.end, ended.state(START + 60)) == (START, START + 60, "expired")
    assert silenced_by(Alert("drift", "bmi", "feature"), [ended], START + 60) is None
    assert list_silences(connection, START + 60) == []


def test_a_silence_that_has_not_begun_is_called_off(connection: sqlite3.Connection) -> None:
    planned = silence(START + 600, START + HOUR)
    save_silence(connection, planned, START)
    assert expire_silence(connection, planned.id, START)
    (ended,) = list_silences(connection)
    assert {ended.state(START + after) for after in (0, 600, 900)} == {"expired"}


def test_only_a_silence_that_lasts_can_be_ended(connection: sqlite3.Connection) -> None:
    save_silence(connection, silence(), START)
    assert not expire_silence(connection, "unknown", START)
    assert not expire_silence(connection, silence().id, START + 2 * HOUR)
    assert list_silences(connection) == [silence()]
