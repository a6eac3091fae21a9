"""Settings: good files are read, and every bad one is refused with file, line, key, what was expected, nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.load import Config
from monitor.config.settings import RECEIVER_SETTINGS, RULE_SETTINGS, SETTINGS, duration, duration_text
from monitor.errors import ConfigError


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.from_text(text)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('[drfit]\nevery = "1m"', ["config.toml: ", "[drfit]", "did you mean 'drift'"]),
        ('[drift]\nevry = "1m"', ["config.toml: ", "drift", "'evry'", "did you mean 'every'"]),
        (
            '[drift]\nzzz = "1m"',
            ["'zzz'", "known are: every, window, alpha, alerts, windows, timezone, quiet, benign, min_samples"],
        ),
        (
            '[window]\nbase = "1m"\n\n[drift]\nwindow = "30 minutes"',
            ["config.toml: ", "drift.window", "30 minutes", "5m"],
        ),
        ("[drift]\nevery = 60", ["drift.every", "expected a duration", "60"]),
        ('[drift]\nevery = "0s"', ["drift.every", "more than zero"]),
        ("[drift]\nalpha = 1", ["drift.alpha", "between 0 and 1", "1.0"]),
        ("[drift]\nalpha = true", ["drift.alpha", "True"]),
        ("[server]\nport = 70000", ["server.port", "0 to 65535", "70000"]),
        ('[server]\nport = "5000"', ["server.port", "'5000'"]),
        ('[window]\nbase = "7s"', ["window.base", "divides an hour"]),
        ('[data]\nmax_size = "1TB"', ["data.max_size", "not a size", "1TB"]),
        ('[model]\nmissing = "allowed"', ["model.missing", '"refuse", "allow"', "did you mean 'allow'"]),
        ("model = 3", ["model", "expected a table", "3"]),
        ("[models.a]\n[model]", ["both [model] and [models]"]),
        ("[models.a]\n[source]", ["config.toml: ", "both [source] and [models]"]),
        ("[models.a]\n[models.b.source]\nevery = 3", ["config.toml: ", "models.b.source.every", "duration"]),
        ("[models.a.source]\nkind = 'scrape'", ["config.toml: ", "source.targets"]),
        ("[models.a]\n[models.a]", ["not valid TOML", "twice", "line 2"]),
        ("models = 3", ["config.toml: ", "tables [models.NAME]"]),
        ("[models]", ["tables [models.NAME]"]),
        ('[models."a/b"]', ["'a/b'", "addresses"]),
        ("[models.a]\npath = ''\n[models.b]\npth = ''", ["config.toml: ", "models.b", "did you mean 'path'"]),
        ("[models.a]\n[models.b]\npath = 3", ["config.toml: ", "models.b.path", "expected a text"]),
        ("[models.a]\nname = 'b'", ["config.toml: ", "models.a", "unknown key 'name'"]),
        ("[models.cat]\n[[rule]]\nname = 'x'\nmodels = ['cats']", ["config.toml: ", "did you mean 'cat'"]),
        (
            "[models.a]\n[models.b]\n[[rule]]\nname = 'x'\n[[rule]]\nname = 'x'\nmodels = ['a']",
            ["two rules are called 'x'"],
        ),
        ("[outcomes]\n[models.a]\noutcomes = false\n[[rule]]\nname = 'x'\nstatistic = 'mae'", ["[outcomes]"]),
        ("[models.a]\n[models.b]\n[metrics]\nboxkite = true", ["config.toml: ", "metrics.boxkite"]),
        ('[[rule]]\nstatistic = "ks"', ["rule.name", "each [[rule]] needs a name"]),
        ('[[rule]]\nname = "a"\n[[rule]]\nname = "a"', ["two rules are called 'a'"]),
        ('[[rule]]\nname = "a"\nstatistic = "kss"', ["config.toml: ", "did you mean 'ks'"]),
        ('[[rule]]\nname = "a"\nreference = "yesterday"', ["config.toml: ", '"usual"', "yesterday"]),
        ('[[rule]]\nname = "a"\nreference = "usual"\nalpha = 0.01', ["config.toml: ", "rule.alpha", "`alerts`"]),
        ('[[rule]]\nname = "a"\nreference = "usual"\nstatistic = "ks"', ["rule.statistic", "leave it out"]),
        ('[[rule]]\nname = "a"\nreference = "usual"\nwindow = "90m"', ["rule.window", "whole hours"]),
        ('[[rule]]\nname = "a"\nalerts = 2', ["rule.alerts", "alpha"]),
        ("[drift]\nalerts = 0", ["drift.alerts", "above 0"]),
        ('[drift]\nwindows = ["30m"]', ["drift.windows", "whole hours"]),
        ('[drift]\ntimezone = "Europe/Berln"', ["drift.timezone", "did you mean 'Europe/Berlin'"]),
        ('[drift]\nquiet = ["2026-12-26/2026-12-24"]', ["drift.quiet", "ends before"]),
        ('[drift]\nquiet = ["Christmas"]', ["drift.quiet", "2026-12-24/2026-12-26"]),
        ('[[rule]]\nname = "a"\nlabels = { "a b" = "c" }', ["rule.labels", "'a b'"]),
        ('[[rule]]\nname = "a"\nreceivers = ["team"]', ["there is no receiver 'team'"]),
        (  # also if a rule of another model has that name
            '[models.x]\n[models.y]\n[[rule]]\nname = "a"\nmodels = ["x"]\nreceivers = ["team"]\n'
            '[[rule]]\nname = "a"\nmodels = ["y"]',
            ["rule a: there is no receiver 'team'"],
        ),
        ('[rule]\nname = "a"', ["[[rule]]"]),
        ('[receivers.team]\nurl_env = "X"', ["receivers.team.kind", "slack"]),
        ('[receivers.team]\nkind = "slak"', ["receivers.team.kind", "did you mean 'slack'"]),
        ('[receivers.team]\nkind = "slack"\nurlenv = "X"', ["'urlenv'", "did you mean 'url_env'"]),
        ('[alerts]\nreceivers = ["nobody"]', ["there is no receiver 'nobody'"]),
        ("[drift\n", ["not valid TOML", "line 1"]),
    ],
)
def test_what_is_wrong_is_named(text: str, parts: list[str]) -> None:
    message = refused(text)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_rules_inherit_what_they_do_not_say() -> None:
    config = Config.from_text(
        '[drift]\nwindow = "1h"\nalpha = 0.01\nmin_samples = 7\n'
        '[[rule]]\nname = "a"\nfor = "5m"\n[[rule]]\nname = "b"\nalpha = 0.5'
    )
    a, b = config.rules
    assert (a.window, a.alpha, a.min_samples, a.hold, a.keep_firing) == (3600.0, 0.01, 7, 300.0, 300.0)
    assert (b.window, b.alpha) == (3600.0, 0.5)


def test_a_start_without_a_file_uses_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config.load()
    assert config.file == "defaults"
    assert [rule.name for rule in config.rules] == ["drift", "unusual", "traffic"]
    with pytest.raises(ConfigError, match="other"):
        Config.load("other.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        Config.load(path)


KEYS = {
    **{section: [row.key for row in rows] for section, rows in SETTINGS.items()},
    "[rule]": [row.key for row in RULE_SETTINGS],
    "receivers.x": [row.key for row in RECEIVER_SETTINGS],
}


@given(
    st.sampled_from([(section, key) for section, keys in KEYS.items() for key in keys]),
    st.integers(0, 30),
    st.sampled_from("abcdefghijklmnopqrstuvwxyz"),
)
def test_a_mistyped_key_is_never_accepted_silently(place: tuple[str, str], position: int, letter: str) -> None:
    """One letter more in any key: always an error that names the key."""
    section, key = place
    position = min(position, len(key))
    wrong = key[:position] + letter + key[position:]
    if wrong in KEYS[section]:
        return
    message = refused(f"[{section}]\n{wrong} = 1\n")
    assert repr(wrong) in message
    assert message.startswith("config.toml: ")


@given(st.integers(0, 10**9))
def test_durations_survive_writing_and_reading(seconds: int) -> None:
    assert duration(duration_text(seconds)) == seconds


def test_labels_of_all_alerts_and_of_one_rule() -> None:
    config = Config.from_text(
        '[alerts]\nlabels = { env = "production", team = "data" }\n[drift]\nbenign = "quiet"\n'
        '[[rule]]\nname = "a"\nlabels = { team = "credit" }\n[[rule]]\nname = "b"\n'
    )
    assert [rule.labels for rule in config.rules] == [
        {"env": "production", "team": "credit"},
        {"env": "production", "team": "data"},
    ]
    assert {rule.benign for rule in config.rules} == {"quiet"}


def test_each_model_has_its_rules_and_outcomes() -> None:
    config = Config.from_text(
        """
        [models.a]
        [models.b]
        outcomes = false
        [models.c]
        [outcomes]
        [[rule]]
        name = "tight"
        models = ["a", "b"]
        [[rule]]
        name = "tight"
        models = ["c"]
        floor = 0.5
        [[rule]]
        name = "answers"
        models = ["c"]
        columns = ["role:prediction"]
        """
    )
    found = {name: [rule.name for rule in config.of(name).rules] for name in config.names}
    assert found == {"a": ["tight", "performance"], "b": ["tight"], "c": ["tight", "answers", "performance"]}
    assert [config.of(name).outcomes is not None for name in config.names] == [True, False, True]
    assert [config.of(name).rules[0].floor for name in config.names] == [None, None, 0.5]
    with pytest.raises(ConfigError, match="say which; known are: a, b, c"):
        config.of()
    with pytest.raises(ConfigError, match="there is no model 'd'"):
        config.of("d")


def test_a_model_that_no_rule_judges_has_the_default_rules() -> None:
    config = Config.from_text("[models.a]\n[models.b]\n[[rule]]\nname = 'own'\nmodels = ['a']")
    assert [[rule.name for rule in config.of(name).rules] for name in "ab"] == [
        ["own"],
        ["drift", "unusual", "traffic"],
    ]
    assert Config.from_text("[model]\nname = 'x'").of().model.name == "x"
