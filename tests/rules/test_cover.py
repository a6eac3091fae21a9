"""Which rule has which column, and what a rule says of itself."""

import pytest

from monitor.columns.column import Column, Schema
from monitor.drift.evaluate import Question, statistics_for
from monitor.drift.statistics import STATISTICS
from monitor.errors import ConfigError
from monitor.rules.cover import cover, explain
from monitor.rules.rule import Rule

NUMBERS = ("age", "bmi", "s1", "s12", "s5", "f[0]")
SCHEMA = Schema(
    (
        *(Column(name, "feature", "numeric", edges=(0.0,)) for name in NUMBERS),
        Column("sex", "feature", "categorical", categories=("f", "m")),
        Column("bmi", "prediction", "numeric", edges=(0.0,)),
    )
)


def names(*rules: Rule) -> dict[str, str]:
    """Columns of each rule as text; a prediction with a `'`."""
    spelled = [column.name + ("'" if column.role == "prediction" else "") for column in SCHEMA.columns]
    return {name: " ".join(spelled[i] for i in indices) for name, indices in cover(rules, SCHEMA).items()}


@pytest.mark.parametrize(
    ("words", "columns", "covered"),
    [
        ("no columns are all columns", (), "age bmi s1 s12 s5 f[0] sex bmi'"),
        ("a name is that column, in either role", ("bmi",), "bmi bmi'"),
        ("a glob", ("s?",), "s1 s5"),
        ("a glob with a set", ("s[15]",), "s1 s5"),
        ("a name with a bracket in it is a name", ("f[0]",), "f[0]"),
        ("a role", ("role:prediction",), "bmi'"),
        ("several patterns add up, in the order of the schema", ("s5", "age"), "age s5"),
        ("a glob that matches nothing covers nothing", ("x*",), ""),
        ("globs heed upper and lower case", ("S*",), ""),
    ],
)
def test_patterns(words: str, columns: tuple[str, ...], covered: str) -> None:
    assert names(Rule("r", columns)) == {"r": covered}, words


def test_a_statistic_leaves_out_columns_that_it_cannot_measure() -> None:
    assert names(Rule("numbers", statistic="ks"), Rule("texts", statistic="chi2")) == {
        "numbers": "age bmi s1 s12 s5 f[0] bmi'",
        "texts": "sex",
    }


def test_the_more_specific_rule_owns_the_column() -> None:
    """Exact name, then the longer glob, then the role, then all; the order of the rules does not matter."""
    patterns: dict[str, tuple[str, ...]] = {
        "all": (),
        "features": ("role:feature",),
        "s": ("s*",),
        "s1": ("s1*",),
        "s5": ("s5",),
    }
    rules = [Rule(name, columns) for name, columns in patterns.items()]
    expected = {"all": "bmi'", "features": "age bmi f[0]", "s": "sex", "s1": "s1 s12", "s5": "s5"}
    assert names(*rules) == expected
    assert names(*reversed(rules)) == expected


def test_of_two_globs_the_one_with_more_letters_is_the_more_specific() -> None:
    assert names(Rule("signs", ("[s]?[0-9]*",)), Rule("letters", ("s1*",)))["letters"] == "s1 s12"
    assert names(Rule("signs", ("???*",)), Rule("letters", ("s1*",))) == {
        "signs": "age bmi f[0] sex bmi'",
        "letters": "s1 s12",
    }


def test_the_closest_of_a_rules_patterns_counts() -> None:
    assert names(Rule("both", ("role:feature", "s5")), Rule("glob", ("s*",))) == {
        "both": "age bmi s5 f[0]",
        "glob": "s1 s12 sex",
    }


@pytest.mark.parametrize(
    ("words", "other"),
    [
        ("another window is another question", Rule("bmi", ("bmi",), window=86_400)),
        ("another reference is another question", Rule("bmi", ("bmi",), reference="2026-01-01/2026-01-08")),
        ("another statistic is another question", Rule("bmi", ("bmi",), statistic="psi")),
        (
            "`ks` does not answer `auto`, which asks for `missing` too",
            Rule("bmi", ("bmi",), statistic="ks"),
        ),
    ],
)
def test_a_rule_gives_up_only_what_the_other_answers(words: str, other: Rule) -> None:
    assert names(Rule("all"), other) == {"all": "age bmi s1 s12 s5 f[0] sex bmi'", "bmi": "bmi bmi'"}, words


def test_auto_answers_what_ks_asks() -> None:
    assert names(Rule("all", statistic="ks"), Rule("bmi", ("bmi",)))["all"] == "age s1 s12 s5 f[0]"


def test_equally_specific_rules_both_keep_the_column() -> None:
    """Two levels on the same columns: a warning above 0.1, a critical above 0.3."""
    rules = Rule("low", ("s*",), floor=0.1), Rule("high", ("s*",), floor=0.3, severity="critical")
    assert set(names(*rules).values()) == {"s1 s12 s5 sex"}


def test_no_statistic_of_a_column_is_left_unwatched_by_an_override() -> None:
    """Whatever rules there are: what `all` alone would measure is measured by one of them."""
    kinds = ("auto", "all", *STATISTICS)
    for general in kinds:
        for special in kinds:
            rules = Rule("general", statistic=general), Rule("special", ("s*",), statistic=special)
            covered = cover(rules, SCHEMA)
            for index, column in enumerate(SCHEMA.columns):
                wanted = set(statistics_for(Question("", (), general), column.kind))
                asked = {
                    name
                    for rule in rules
                    if index in covered[rule.name]
                    for name in statistics_for(Question("", (), rule.statistic), column.kind)
                }
                assert wanted <= asked, (general, special, column.name)


@pytest.mark.parametrize(
    ("pattern", "near"), [("bmj", "bmi"), ("AGE", "age"), ("role:features", "role:feature"), ("role:", "role:outcome")]
)
def test_an_unknown_name_is_refused_and_the_nearest_named(pattern: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"rule 'r': columns: the model has no column '{pattern}'") as caught:
        cover([Rule("r", ("s*", pattern))], SCHEMA)
    assert pattern == "AGE" or f"did you mean {near!r}?" in str(caught.value)


def test_explain_the_default_rule() -> None:
    assert explain(Rule("drift"), SCHEMA).splitlines() == [
        "drift: fires (warning) if `ks`, `wasserstein`, `missing` or `other` (numeric columns), "
        "`kl`, `missing` or `other` (categorical columns) over the last 30m differs from the training data by more "
        "than chance (alpha 0.00015 for all its columns together) and by more than 0.08 (ks), 0.2 (wasserstein), "
        "0.03 (missing), 0.01 (other), 0.05 (kl), given at least 50 predictions; resolves once it has been gone for "
        "5m.",
        "  covers 8 of 8 columns: age, bmi (feature), s1, s12, s5, f[0], sex, bmi (prediction)",
    ]


def test_explain_names_what_a_more_specific_rule_has() -> None:
    rules = [
        Rule(
            "week",
            reference="2026-01-01/2026-01-08",
            statistic="psi",
            hold=300,
            keep_firing=0,
            floor=0.25,
            max_age=7200,
        ),
        Rule("s", ("s*",), reference="2026-01-01/2026-01-08", statistic="psi"),
    ]
    assert explain(rules[0], SCHEMA, rules).splitlines() == [
        "week: fires (warning) if `psi` over the last 30m differs from what was served "
        "from 2026-01-01 to 2026-01-08 by more than chance (alpha 0.00015 for all its columns together) and by more "
        "than 0.25, given at least 50 predictions, reaching back up to 2h for them, for 5m without a break; resolves "
        "as soon as it is gone.",
        "  covers 4 of 8 columns: age, bmi (feature), f[0], bmi (prediction)",
        "  leaves to a more specific rule: s1, s12, s5, sex",
    ]


def test_explain_says_when_a_rule_covers_nothing() -> None:
    text = explain(Rule("r", ("x*",), reference="2026-01-01/2026-02-01", statistic="js"), SCHEMA)
    assert "  covers none of this model's 8 columns" in text
    assert "what was served from 2026-01-01 to 2026-02-01" in text
