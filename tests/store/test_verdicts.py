"""Verdicts through a real SQLite file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitor.drift.result import STATES, Direction, DriftResult, Explanation, Shift, Span, Subject
from monitor.rules.rule import Rule
from monitor.store.file.database import connect
from monitor.store.records.verdicts import Verdict, latest_results, save_results
from tests.backtest.recorded import backtest
from tests.rules.series import EVERY, LETTERS, START, ticks, verdict
from tests.store.world import stored_evaluations

#: Versions of a model.
ONE, TWO = Subject(version="1"), Subject(version="2")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "telltale.db")) as opened:
        yield opened


def test_a_result_comes_back_but_for_what_is_not_kept(connection: sqlite3.Connection) -> None:
    result = DriftResult(
        "drift", 'a"b\n', "prediction", "categorical", "kl", "drift", Span(START, START + 1800.5), "0123456789ab", "2",
        200, 331, 0.1 + 0.2, 1 / 3, 0.05, 1e-300, "because",
        Explanation(Direction("a grew", names=("a",)), (Shift("a", 0.1, 0.9),)), scatter=0.07,
    )  # fmt: skip
    save_results(connection, START + 0.25, [result])
    kept = result._replace(explanation=Explanation(Direction("a grew")))
    assert latest_results(connection, TWO) == [Verdict(START + 0.25, kept)]


@pytest.mark.parametrize("letter", LETTERS)
def test_every_state_is_kept_and_no_verdict_is_null(connection: sqlite3.Connection, letter: str) -> None:
    save_results(connection, START, [verdict(letter)])
    assert latest_results(connection, ONE)[0].result == verdict(letter)
    row = connection.execute("SELECT state, value, typeof(value) AS kind FROM drift").fetchone()
    assert row["state"] in STATES
    assert row["kind"] == ("real" if letter in "D.w" else "null")


def test_the_latest_of_each_rule_column_role_and_statistic(connection: sqlite3.Connection) -> None:
    every = [
        verdict("."),
        verdict(".", statistic="missing"),
        verdict(".", column="s5"),
        verdict(".", role="prediction"),
        verdict(".", rule="slow"),
    ]
    save_results(connection, START, every)
    save_results(connection, START + 60, [verdict("D"), verdict("D", rule="slow")])
    found = {
        (v.result.rule, v.result.role, v.result.column, v.result.statistic): v for v in latest_results(connection, ONE)
    }
    assert len(found) == 5
    assert {key for key, one in found.items() if one.at == START + 60} == {
        ("drift", "feature", "bmi", "ks"),
        ("slow", "feature", "bmi", "ks"),
    }


def test_the_latest_is_what_was_stored_last_though_the_clock_went_back(connection: sqlite3.Connection) -> None:
    save_results(connection, START, [verdict(".")])
    save_results(connection, START - 7200, [verdict("D")])
    assert [one.result.state for one in latest_results(connection, ONE)] == ["drift"]


def test_what_is_not_judged_any_more_is_not_the_latest(connection: sqlite3.Connection) -> None:
    save_results(connection, START, [verdict("D", rule="gone"), verdict(".")])
    save_results(connection, START + 7 * 3600, [verdict(".")])
    assert [one.result.rule for one in latest_results(connection, ONE)] == ["drift"]
    assert len(latest_results(connection, ONE, within=7 * 3600)) == 2


def test_there_is_no_latest_in_an_empty_store(connection: sqlite3.Connection) -> None:
    assert latest_results(connection, ONE) == []


def test_a_backtest_over_the_store_is_that_over_the_results(connection: sqlite3.Connection) -> None:
    recorded = [
        (at, [verdict(a), verdict(b, column="s5")])
        for at, a, b in zip(ticks(12), ".DD.0D......", "....DDDD?..w", strict=True)
    ]
    for at, results in recorded:
        save_results(connection, at, results)
    assert stored_evaluations(connection) == recorded
    rules = [Rule("drift", keep_firing=60)]
    again = backtest(stored_evaluations(connection), rules, EVERY)
    assert again == backtest(recorded, rules, EVERY)
    assert len(again.events) == 2
