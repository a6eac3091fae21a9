"""The state machine of one alert, as tables: what each evaluation said, and where the alert then stood."""

from dataclasses import replace

import pytest

from monitor.drift.result import Explanation, Harm
from monitor.rules.alert import REOPEN, Alert, event_id, step
from monitor.rules.rule import Rule
from tests.rules.series import EVERY, START, key, moves, play, ticks, verdict

AT_ONCE = Rule("drift", hold=0, keep_firing=0)
FOR_5M = Rule("drift", hold=300, keep_firing=0)
KEEP_5M = Rule("drift", hold=0, keep_firing=300)


@pytest.mark.parametrize(
    ("words", "rule", "letters", "states"),
    [
        ("no `for`: fires at the first drift, resolves at the first ok", AT_ONCE, ".D.", "iFr"),
        ("`for` 5m: six evaluations a minute apart span five minutes", FOR_5M, "DDDDDDD", "pppppFF"),
        ("`for` 5m: a gap starts it again", FOR_5M, "DDDDD.DDDDDD", "pppppipppppF"),
        ("a warning is no drift: it does not fire", AT_ONCE, "www", "iii"),
        ("a warning is no drift: it breaks a pending alert", FOR_5M, "DDwDDDDDD", "ppipppppF"),
        ("a warning is no drift: it lets an alert resolve", AT_ONCE, "Dw", "Fr"),
        ("`keep_firing_for` 5m: gone for five watched minutes", KEEP_5M, "D......", "FFFFFFr"),
        ("`keep_firing_for` 5m: a drift within starts it again", KEEP_5M, "D....D......", "FFFFFFFFFFFr"),
        ("too few rows never fire", AT_ONCE, "???", "iii"),
        ("too few rows never resolve", AT_ONCE, "D????", "FFFFF"),
        ("no traffic neither fires nor resolves", AT_ONCE, "0D0000.", "iFFFFFr"),
        ("no traffic adds nothing to `for`", FOR_5M, "DDD00000DDD", "ppppppppppF"),
        ("no traffic adds nothing to `keep_firing_for`", KEEP_5M, "D...0000...", "FFFFFFFFFFr"),
        ("no reference and errors are no verdict either", FOR_5M, "DRERERE", "ppppppp"),
        ("an evaluation that answered nothing counts as not seen", FOR_5M, "DDD   DDD", "ppppppppF"),
        ("a resolved alert is inactive after fifteen quiet minutes", AT_ONCE, "D" + "." * 16, "F" + "r" * 15 + "i"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_rules_in_words(words: str, rule: Rule, letters: str, states: str) -> None:
    assert play(letters, rule)[0] == states, words


def test_for_may_be_shorter_than_the_time_between_evaluations() -> None:
    assert play("DD", Rule("drift", hold=10))[0] == "pF"


def test_time_adds_up_to_whole_milliseconds() -> None:
    """Ten times 0.1 s is a second, though floats say 0.9999999999999999."""
    alert, rule = Alert("drift", "bmi", "feature"), Rule("drift", hold=1.0)
    for k in range(11):
        assert alert.state == ("pending" if k else "inactive")
        alert = step(alert, verdict("D"), rule, START + k / 10, 0.1)
    assert alert.state == "firing"


def test_an_event_keeps_when_its_condition_began() -> None:
    _, transitions, _ = play(".DDDDDD", FOR_5M)
    fired = transitions[-1]
    assert (fired.alert.active_since, fired.alert.since) == (START + EVERY, START + 6 * EVERY)
    assert fired.reason == "held for 5m"


def test_an_alert_takes_severity_and_labels_of_its_rule_as_it_is_now() -> None:
    firing = step(Alert("drift", "bmi", "feature"), verdict("D"), AT_ONCE, START, 0)
    louder = Rule("drift", severity="critical", labels={"team": "credit"})
    after = step(firing, verdict("?"), louder, START + 60, 60)
    assert (after.state, after.severity, after.labels) == ("firing", "critical", {"team": "credit"})


def test_no_verdict_keeps_the_last_value() -> None:
    _, _, alerts = play("D?", AT_ONCE)
    (alert,) = alerts.values()
    assert alert.value == 0.4


def test_event_id_names_one_event_and_only_that() -> None:
    one = event_id(key("bmi"), START, "1")
    assert one == event_id(key("bmi"), START, "1")
    others = [
        event_id(key("bmi", rule="drift2"), START, "1"),
        event_id(key("bmi", role="prediction"), START, "1"),
        event_id(key("bmi")._replace(model="model2"), START, "1"),
        event_id(key("bmi")._replace(model="mode", series="lall"), START, "1"),
        event_id(key("bmi"), START + 0.001, "1"),
        event_id(key("bmi"), START, "2"),
    ]
    assert len({one, *others}) == 7


def test_a_firing_within_fifteen_minutes_of_the_resolve_continues_the_event() -> None:
    spelled, transitions, _ = play("D.....D", AT_ONCE)
    assert spelled == "FrrrrrF"
    assert len({one.alert.event_id for one in transitions}) == 1
    assert transitions[-1].alert.reopened == 1
    assert transitions[-1].reason == "came back within 15m of its end"


def test_a_firing_later_than_that_is_another_event() -> None:
    _, transitions, _ = play("D" + "." * 16 + "D", AT_ONCE)
    first, *_, last = transitions
    assert first.alert.event_id != last.alert.event_id
    assert last.alert.reopened == 0


def test_an_event_that_came_back_must_be_gone_for_fifteen_minutes() -> None:
    spelled, _, _ = play("D.D" + "." * 16, AT_ONCE)
    assert spelled == "FrF" + "F" * 15 + "r"


def test_it_must_be_gone_for_longer_where_its_rule_says_so() -> None:
    spelled, _, _ = play("D" + "." * 21 + "D" + "." * 21, Rule("drift", keep_firing=1200))
    assert spelled == "F" + "F" * 20 + "r" + "F" + "F" * 20 + "r"


def test_an_event_may_come_back_more_than_once() -> None:
    _, transitions, _ = play("D.D" + "." * 16 + "D", AT_ONCE)
    assert [one.alert.reopened for one in transitions] == [0, 0, 1, 1, 2]
    assert len({one.alert.event_id for one in transitions}) == 1


def test_a_firing_alert_counts_only_how_long_its_condition_has_been_gone() -> None:
    held = []
    for letters in ("D", "DD", "DD.", "DD..", "DD..D"):
        (alert,) = play(letters, KEEP_5M)[2].values()
        held.append((alert.held, alert.clear_since))
    assert held == [(0, None), (0, None), (0, START + 120), (60, START + 120), (0, None)]
    (alert,) = play("DDDDDD", FOR_5M)[2].values()
    assert (alert.state, alert.held) == ("firing", 0)


def test_an_event_comes_back_only_after_for() -> None:
    """A single drifting evaluation after the resolve is not enough where the rule wants five minutes."""
    spelled, transitions, _ = play("DDDDDD.D.DDDDDD", FOR_5M)
    assert spelled == "pppppFrpipppppF"
    fired = [one.alert for one in transitions if one.alert.state == "firing"]
    assert fired[0].event_id == fired[1].event_id
    assert fired[1].reopened == 1


@pytest.mark.parametrize("rule", [AT_ONCE, Rule("drift", hold=0, keep_firing=30)])
def test_flapping_at_every_evaluation_for_an_hour_makes_three_transitions(rule: Rule) -> None:
    _, transitions, alerts = play("D." * 30, rule)
    assert moves(transitions)[:3] == ["i>F", "F>r", "r>F"][: len(transitions)]
    assert len(transitions) <= 3
    assert len({one.alert.event_id for one in transitions}) == 1
    (alert,) = alerts.values()
    assert alert.state == "firing"


def test_flapping_in_default_rules_is_one_firing() -> None:
    _, transitions, _ = play("D." * 30, Rule("drift"))
    assert moves(transitions) == ["i>F"]


def test_slow_flapping_is_one_event() -> None:
    """Three minutes on, seven minutes off, for two hours: past `keep_firing_for`, so that it resolves in between."""
    _, transitions, _ = play(("DDD" + "." * 7) * 12, KEEP_5M)
    assert moves(transitions) == ["i>F", "F>r", "r>F"]
    assert len({one.alert.event_id for one in transitions}) == 1


def test_flapping_with_for_never_fires() -> None:
    spelled, _, _ = play("D." * 30, FOR_5M)
    assert set(spelled) == {"p", "i"}


def test_an_event_is_forgotten_when_pending_blips_are_over() -> None:
    """After the last blip the condition must be gone for `REOPEN` before the next firing is an event of its own."""
    minutes = int(REOPEN / EVERY)
    _, transitions, alerts = play("DDDDDD.DDDD" + "." * minutes, FOR_5M)
    (alert,) = alerts.values()
    assert (alert.state, alert.event_id) == ("inactive", transitions[1].alert.event_id)
    _, transitions, alerts = play("DDDDDD.DDDD" + "." * (minutes + 1), FOR_5M)
    (alert,) = alerts.values()
    assert (alert.state, alert.event_id, alert.reopened) == ("inactive", "", 0)
    assert alert.since == transitions[-1].at == START + 11 * EVERY


def test_times_of_evaluations_may_wander() -> None:
    """Jitter of a few seconds neither loses nor gains more than one evaluation."""
    jitter = [0, 3, -4, 5, -2, 1, 4]
    times = [at + extra for at, extra in zip(ticks(7), jitter, strict=True)]
    assert play("DDDDDDD", FOR_5M, times)[0] == "pppppFF"


HARM = {
    "harmful": Harm(6.7, 1.0, 0.0, 0.0, 0.0, 41.2, 0.0, "MAE"),
    "harmless": Harm(0.1, 1.0, 0.0, 0.0, 0.0, 41.2, 0.0, "MAE"),
    "harmless if right": Harm(0.1, 1.0, 30.0, 1.0, 0.0, 41.2, 7.0, "MAE"),
    "unknown": Harm(0.1, 1.0, 0.0, 0.0, 0.5, 41.2, 0.0, "MAE"),
}


@pytest.mark.parametrize(
    ("benign", "effects", "severities"),
    [
        ("tell", ("harmful", "harmless"), ("warning", "warning")),
        ("quiet", ("harmful", "harmless"), ("critical", "critical")),
        ("quiet", ("harmless if right", "harmless"), ("warning", "warning")),
        ("quiet", ("harmless", "harmful", "harmless"), ("info", "critical", "critical")),
        ("quiet", ("unknown", "harmful"), ("warning", "critical")),
    ],
)
def test_the_severity_of_a_drift_by_its_harm(
    benign: str, effects: tuple[str, ...], severities: tuple[str, ...]
) -> None:
    """An event becomes more severe and never less: whoever was told of it hears of its end when it ends."""
    rule, alert, seen = replace(AT_ONCE, benign=benign), Alert("drift", "bmi", "feature"), []
    for k, effect in enumerate(effects):
        result = verdict("D")._replace(explanation=Explanation(given_harm=HARM[effect]))
        alert = step(alert, result, rule, START + EVERY * k, EVERY)
        seen.append(alert.severity)
    assert tuple(seen) == severities
    assert step(alert, verdict("."), rule, START + EVERY * 9, EVERY).severity == severities[-1]
