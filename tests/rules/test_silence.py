"""Silences and inhibition: whom an alert is not told to, and why."""

from collections.abc import Mapping

import pytest

from monitor.clock import iso
from monitor.errors import InputError
from monitor.rules.alert import Alert
from monitor.rules.rule import Rule, Severity
from monitor.rules.silence import Silence, inhibited, mutes, new_silence, silenced_by
from tests.rules.series import START, key

HOUR = 3600.0


def firing(rule: str = "drift", column: str = "bmi", severity: Severity = "warning", **labels: str) -> Alert:
    return Alert(rule, column, "feature", "firing", START, event_id="abc", severity=severity, labels=labels)


def silence(matchers: Mapping[str, str], start: float = START, end: float = START + HOUR) -> Silence:
    return Silence("1", matchers, start, end, "ann", "known outage")


@pytest.mark.parametrize(
    ("words", "matchers", "muted"),
    [
        ("by rule", {"rule": "drift"}, True),
        ("by another rule", {"rule": "slow"}, False),
        ("by column", {"column": "bmi"}, True),
        ("by a glob", {"column": "b*"}, True),
        ("a glob matches the whole value", {"column": "m*"}, False),
        ("by role", {"role": "feature"}, True),
        ("by severity", {"severity": "warning"}, True),
        ("by a label of the rule", {"team": "credit"}, True),
        ("by another value of it", {"team": "risk"}, False),
        ("all matchers must match", {"column": "bmi", "team": "risk"}, False),
        ("a label that the alert does not have is the empty text", {"region": "eu"}, False),
        ("... which a star matches", {"region": "*", "rule": "drift"}, True),
        ("... and the empty glob too", {"region": "", "rule": "drift"}, True),
        ("upper and lower case differ", {"column": "BMI"}, False),
    ],
)
def test_matchers(words: str, matchers: dict[str, str], muted: bool) -> None:
    assert (silenced_by(firing(team="credit"), [silence(matchers)], START) is not None) is muted, words


def test_a_rules_label_does_not_pass_for_its_name() -> None:
    assert silenced_by(firing(rule="drift"), [silence({"rule": "other"})], START) is None
    disguised = Alert("drift", "bmi", "feature", labels={"rule": "other"})
    assert silenced_by(disguised, [silence({"rule": "other"})], START) is None


@pytest.mark.parametrize(
    ("after", "state"), [(-0.001, "pending"), (0, "active"), (HOUR - 0.001, "active"), (HOUR, "expired")]
)
def test_a_silence_holds_from_its_start_until_before_its_end(after: float, state: str) -> None:
    one = silence({"rule": "*", "column": "bmi"})
    assert one.state(START + after) == state
    assert (silenced_by(firing(), [one], START + after) is not None) is (state == "active")


def test_the_first_silence_that_matches_is_named() -> None:
    over = silence({"column": "bmi"}, START - HOUR, START)
    other, right = silence({"column": "s5"}), silence({"column": "b*"})
    assert silenced_by(firing(), [over, other, right], START) is right


def make(**changes: object) -> Silence:
    given: dict[str, object] = {
        "matchers": {"column": "bmi"},
        "start": START,
        "end": START + HOUR,
        "author": "ann",
        "reason": "known outage",
    }
    return new_silence(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"matchers": {}}, "no_matcher", "leaves some alerts out"),
        ({"matchers": {"column": "*"}}, "no_matcher", "leaves some alerts out"),
        ({"matchers": {"colum": "bmi"}}, "unknown_label", "did you mean 'column'"),
        ({"matchers": {"zzz": "bmi"}}, "unknown_label", "known are: rule, model, series, column, role, severity"),
        ({"end": START}, "empty_silence", "must be later"),
        ({"end": START - 1}, "empty_silence", iso(START)),
        ({"author": " "}, "missing", "author"),
        ({"reason": ""}, "missing", "reason"),
    ],
)
def test_a_silence_that_cannot_be_meant_is_refused(changes: dict[str, object], code: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        make(**changes)
    assert caught.value.code == code


def test_a_label_that_some_rule_has_is_known() -> None:
    made = make(matchers={"team": "credit"}, rules=[Rule("a"), Rule("b", labels={"team": "credit"})])
    assert made.matchers == {"team": "credit"}


def test_a_silence_that_would_mute_nothing_is_refused_and_the_nearest_name_is_said() -> None:
    with pytest.raises(InputError, match=r"no column matches 'bmj'; .*'bmi'") as caught:
        make(matchers={"column": "bmj"}, rules=[Rule("a")], columns=["bmi", "age"])
    assert (caught.value.code, caught.value.where) == ("matches_nothing", "matchers.column")
    assert make(matchers={"column": "b*"}, rules=[Rule("a")], columns=["bmi", "age"]).matchers == {"column": "b*"}


def test_ids_are_short_and_differ() -> None:
    ids = {make().id, make(matchers={"column": "s5"}).id, make(start=START + 1).id, make(author="bob").id}
    assert len(ids) == 4
    assert {len(one) for one in ids} == {8}


@pytest.mark.parametrize(
    ("words", "other", "muted"),
    [
        ("a more severe twin mutes", firing("high", severity="critical"), True),
        ("an equally severe one does not", firing("high", severity="warning"), False),
        ("a milder one does not", firing("high", severity="info"), False),
        ("another column's does not", firing("high", "s5", "critical"), False),
        ("one that only waits does not", Alert("high", "bmi", "feature", "pending", severity="critical"), False),
        ("one that is over does not", Alert("high", "bmi", "feature", "resolved", severity="critical"), False),
        (
            "a prediction does not",
            Alert("high", "bmi", "prediction", "firing", severity="critical"),
            False,
        ),
    ],
)
def test_inhibition(words: str, other: Alert, muted: bool) -> None:
    assert (inhibited(firing(), [firing(), other]) is other) is muted, words


def test_no_alert_mutes_itself_and_no_two_each_other() -> None:
    levels = [firing("info", severity="info"), firing("warn"), firing("crit", severity="critical")]
    sources = [inhibited(alert, levels) for alert in levels]
    assert [source and source.rule for source in sources] == ["crit", "crit", None]


def test_mutes_says_why_for_each_firing_alert() -> None:
    calm = Alert("drift", "age", "feature")
    alerts = [firing(), firing("high", severity="critical"), firing("drift", "s5"), firing("drift", "s6"), calm]
    silences = [silence({"column": "s5"}), silence({"column": "s6"}, START + 10)]
    assert mutes(alerts, silences, START) == {
        key("bmi"): ("inhibited", "high (critical) fires on the same column"),
        key("s5"): ("silenced", f"silence 1 by ann until {iso(START + HOUR)}: known outage"),
    }


def test_a_silenced_alert_still_mutes_its_twin() -> None:
    """Silencing the loud alert must not make the milder one on the same column speak up."""
    alerts = [firing(), firing("high", severity="critical")]
    assert set(mutes(alerts, [silence({"rule": "high"})], START)) == {alert.key for alert in alerts}
