"""All rules over one evaluation: what time counts, which result speaks, what becomes of orphans."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.rules.alert import REOPEN, Alert, advance, condition, leading_result, watched_seconds
from monitor.rules.rule import Rule
from tests.rules.series import EVERY, START, STATES, key, moves, play, ticks, verdict

HOUR, DAY, YEAR = 3600.0, 86_400.0, 31_536_000.0
FOR_5M = Rule("drift", hold=300, keep_firing=300)


@pytest.mark.parametrize(
    ("words", "jump"),
    [
        ("down for an hour", HOUR),
        ("suspended for a day", DAY),
        ("clock set forward by ten years", 10 * YEAR),
    ],
)
def test_time_not_watched_does_not_count(words: str, jump: float) -> None:
    """Three evaluations, a gap, then on: at most one interval of the gap counts towards `for`."""
    times = ticks(3) + [at + jump for at in ticks(6)[3:]]
    spelled, transitions, _ = play("DDDDDD", FOR_5M, times)
    assert spelled == "pppppF", words
    assert transitions[-1].alert.active_since == START


def test_time_not_watched_does_not_resolve() -> None:
    times = ticks(2) + [at + DAY for at in ticks(7)[2:]]
    assert play("D......", Rule("drift", keep_firing=300), times)[0] == "FFFFFFr"


@pytest.mark.parametrize("back", [5.0, HOUR, DAY])
def test_clock_set_back_delays_for_by_one_evaluation_at_most(back: float) -> None:
    times = ticks(3) + [at - back for at in ticks(8)[3:]]
    spelled, _, _ = play("DDDDDDDD", FOR_5M, times)
    assert spelled in ("pppppFFF", "ppppppFF")


def test_clock_standing_still_adds_nothing() -> None:
    spelled, _, alerts = play("D" * 20, FOR_5M, [START] * 20)
    assert spelled == "p" * 20
    (alert,) = alerts.values()
    assert alert.held == 0


@given(
    last=st.none() | st.floats(0, 4e9),
    now=st.floats(0, 4e9),
    every=st.floats(0.001, 1e6),
)
def test_watched_seconds_are_between_zero_and_two_intervals(last: float | None, now: float, every: float) -> None:
    assert 0 <= watched_seconds(last, now, every) <= 2 * every


def test_a_late_evaluation_counts_in_full() -> None:
    assert watched_seconds(START, START + 100, 60) == 100


def test_one_alert_per_rule_role_and_column() -> None:
    results = [
        verdict("."),
        verdict("D", statistic="missing"),
        verdict("D", role="prediction"),
        verdict(".", column="s5"),
        verdict("D", rule="slow"),
    ]
    alerts, transitions = advance({}, results, [Rule("drift"), Rule("slow", hold=300)], START, EVERY, "1")
    assert {key: STATES[alert.state] for key, alert in alerts.items()} == {
        key("bmi"): "F",
        key("bmi", role="prediction"): "F",
        key("s5"): "i",
        key("bmi", rule="slow"): "p",
    }
    assert [(one.alert.key, one.result and one.result.statistic) for one in transitions] == [
        (key("bmi"), "missing"),
        (key("bmi", role="prediction"), "ks"),
        (key("bmi", rule="slow"), "ks"),
    ]


@pytest.mark.parametrize(
    ("words", "letters", "standing", "speaks"),
    [
        ("a drift speaks before an ok", {"ks": ".", "missing": "D"}, "", "missing"),
        ("a drift speaks before what has no verdict", {"ks": "?", "missing": "D"}, "ks", "missing"),
        ("of no drift the strongest verdict", {"missing": ".", "ks": "w"}, "", "ks"),
        ("a verdict speaks before none", {"ks": "?", "missing": "."}, "", "missing"),
        ("what the alert stands on cannot be judged: no verdict", {"ks": "?", "missing": "."}, "ks", "ks"),
        ("what the alert stands on is ok again", {"ks": ".", "missing": "?"}, "ks", "ks"),
        ("nothing can be judged", {"ks": "0", "missing": "0"}, "missing", "missing"),
    ],
)
def test_which_result_speaks(words: str, letters: dict[str, str], standing: str, speaks: str) -> None:
    results = [verdict(letter, statistic=name) for name, letter in letters.items()]
    assert leading_result(results, standing).statistic == speaks, words


def test_of_two_drifts_the_one_furthest_beyond_its_threshold_speaks() -> None:
    results = [verdict("D", value=0.3), verdict("D", statistic="missing", value=0.9)]
    assert leading_result(results).statistic == "missing"
    assert leading_result(results[::-1]).statistic == "missing"


def test_an_alert_on_ks_does_not_resolve_because_missing_is_fine() -> None:
    """Traffic falls until `ks` has too few values; `missing` still has its fifty rows and is ok."""
    rules = [Rule("drift", keep_firing=0)]
    alerts, _ = advance({}, [verdict("D"), verdict(".", statistic="missing")], rules, START, EVERY, "1")
    for at in ticks(10)[1:]:
        alerts, moved = advance(alerts, [verdict("?"), verdict(".", statistic="missing")], rules, at, EVERY, "1")
        assert not moved
    _, moved = advance(alerts, [verdict("."), verdict(".", statistic="missing")], rules, START + 600, EVERY, "1")
    assert moves(moved) == ["F>r"]


def _firing_and_pending() -> dict[tuple[str, str, str], Alert]:
    rules = [Rule("drift", hold=0), Rule("slow", hold=300)]
    results = [verdict("D", rule=rule, column=column) for rule in ("drift", "slow") for column in ("bmi", "s5")]
    return advance({}, results, rules, START, EVERY, "1")[0]


def test_a_rule_that_is_gone_resolves_its_alerts_with_the_reason() -> None:
    standing = _firing_and_pending()
    alerts, moved = advance(
        standing, [verdict("D"), verdict("D", column="s5")], [Rule("drift")], START + 60, EVERY, "2"
    )
    assert moves(moved) == ["p>i", "p>i"]
    assert {one.reason for one in moved} == {"there is no such rule any more"}
    assert [one.result for one in moved] == [None, None]
    alerts, moved = advance(alerts, [], [], START + 120, EVERY, "2")
    assert moves(moved) == ["F>r", "F>r"]
    assert {one.model_version for one in moved} == {"2"}
    for at in ticks(30)[3:]:
        alerts, moved = advance(alerts, [], [], at, EVERY, "2")
        assert not moved
    assert alerts == {}


def test_a_column_that_its_rule_no_longer_covers_resolves() -> None:
    rules = [Rule("drift"), Rule("slow", hold=300)]
    left = [verdict("D"), verdict("D", rule="slow")]
    alerts, moved = advance(_firing_and_pending(), left, rules, START + 60, EVERY, "2")
    assert [(one.alert.column, one.reason) for one in moved] == [
        ("s5", "the rule no longer covers this column"),
        ("s5", "the rule no longer covers this column"),
    ]
    assert alerts[key("s5")].state == "resolved"


def test_a_rule_that_answered_nothing_keeps_its_alerts_and_the_others_go_on() -> None:
    """Its evaluation failed: nothing is known of it, so nothing moves, and the time does not count."""
    rules = [Rule("drift", keep_firing=0), Rule("slow", hold=120)]
    standing = _firing_and_pending()
    for at in ticks(6)[1:]:
        standing, moved = advance(standing, [verdict("D"), verdict("D", column="s5")], rules, at, EVERY, "1")
        assert not moved
    alert = standing[key("bmi", rule="slow")]
    assert (alert.state, alert.held, alert.evaluated) == ("pending", 0.0, START + 5 * EVERY)


def test_covered_tells_a_failed_rule_from_one_without_columns() -> None:
    rules = [Rule("drift"), Rule("slow", hold=300)]
    kept = {key for key in _firing_and_pending() if key[0] == "slow"}
    _, moved = advance(_firing_and_pending(), [], rules, START + 60, EVERY, "1", covered=kept)
    assert [(one.alert.rule, one.alert.state) for one in moved] == [("drift", "resolved"), ("drift", "resolved")]


def test_a_column_that_comes_back_soon_continues_its_event() -> None:
    """A rollback of the model within fifteen minutes: the same drift is the same event."""
    rules = [Rule("drift")]
    both, one = [verdict("D"), verdict("D", column="s5")], [verdict("D")]
    alerts, fired = advance({}, both, rules, START, EVERY, "1")
    alerts, _ = advance(alerts, one, rules, START + 60, EVERY, "2")
    alerts, _ = advance(alerts, one, rules, START + 120, EVERY, "2")
    _, moved = advance(alerts, both, rules, START + 180, EVERY, "1")
    assert moves(moved) == ["r>F"]
    assert moved[0].alert.event_id == fired[1].alert.event_id


def test_an_event_whose_column_went_while_it_was_clearing_is_remembered_as_long_as_any() -> None:
    rules = [Rule("drift", keep_firing=1200)]
    alerts, _ = advance({}, [verdict("D"), verdict("D", column="s5")], rules, START, EVERY, "1")
    for at in ticks(18)[1:]:
        alerts, _ = advance(alerts, [verdict("."), verdict(".", column="s5")], rules, at, EVERY, "1")
    for at in ticks(33)[18:]:
        alerts, _ = advance(alerts, [verdict(".")], rules, at, EVERY, "2")
        assert alerts[key("s5")].state == "resolved"
    alerts, _ = advance(alerts, [verdict(".")], rules, START + 33 * EVERY, EVERY, "2")
    assert set(alerts) == {key("bmi")}


def test_results_of_an_unknown_rule_are_left_aside() -> None:
    assert advance({}, [verdict("D", rule="other")], [Rule("drift")], START, EVERY, "1") == ({}, [])


def test_nothing_that_is_given_is_changed() -> None:
    before = _firing_and_pending()
    copy = dict(before)
    advance(before, [verdict(".")], [Rule("drift")], START + 60, EVERY, "1")
    assert before == copy


def _run(letters: str, times: Sequence[float], last: int, first: int) -> float:
    """Watched seconds over the run of like verdicts that ends at `last` and reaches back to `first` at most."""
    says = condition(verdict(letters[last]))
    run: list[int] = []
    for k in range(last, first - 1, -1):
        if condition(verdict(letters[k])) is says:
            run.append(k)
        elif condition(verdict(letters[k])) is not None:
            break
    return round(sum(watched_seconds(times[k - 1], times[k], EVERY) for k in run[:-1]), 3)


def _oracle(letters: str, times: Sequence[float], rule: Rule) -> str:
    """Spell the states by looking back over the whole history at each evaluation, instead of from alert to alert."""
    out, state, entered, event, back = "", "i", 0, False, False
    for k, letter in enumerate(letters):
        holds = condition(verdict(letter))
        was = state
        if holds:
            state = "p" if state in "ir" else state
            entered = k if state != was else entered
            if state == "p" and _run(letters, times, k, entered) >= rule.hold:
                state, event, back = "F", True, event
        elif holds is False:
            gone = _run(letters, times, k, entered)
            needed = max(rule.keep_firing, REOPEN) if back else rule.keep_firing
            if state == "p":
                state = "i"
            elif state == "F" and gone >= needed:
                state = "r"
            elif state in "ir" and gone >= REOPEN:
                state, event, back = "i", False, False
        entered = k if state != was else entered
        out += state
    return out


@given(
    # Runs, not single letters: random single verdicts would hardly ever hold long enough to resolve or be forgotten.
    letters=st.lists(st.tuples(st.sampled_from("DDD...w?0E"), st.integers(1, 18)), min_size=1, max_size=12).map(
        lambda runs: "".join(letter * length for letter, length in runs)
    ),
    gaps=st.lists(st.sampled_from([60.0, 60.0, 60.0, 61.3, 119.9, 3600.0, -30.0, 0.0]), min_size=1, max_size=40),
    hold=st.sampled_from([0.0, 30.0, 120.0, 300.0]),
    keep=st.sampled_from([0.0, 60.0, 300.0, 1200.0]),
)
def test_the_step_by_step_machine_agrees_with_the_whole_history(
    letters: str, gaps: list[float], hold: float, keep: float
) -> None:
    times = [START]
    for k in range(len(letters) - 1):
        times.append(round(times[-1] + gaps[k % len(gaps)], 3))
    rule = Rule("drift", hold=hold, keep_firing=keep)
    spelled, transitions, _ = play(letters, rule, times)
    assert spelled == _oracle(letters, times, rule)
    assert all(one.result is not None and condition(one.result) is not None for one in transitions)
