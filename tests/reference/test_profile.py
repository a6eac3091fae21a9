import math

import numpy as np
import pytest

from monitor.columns.binning import ColumnCounter
from monitor.columns.canonical import Block
from monitor.columns.column import MISSING, OTHER, Column, Kind
from monitor.reference import profile as profile_module
from monitor.reference.profile import ColumnProfile, Decision, Limits, decide, with_labels

NAN = math.nan


def decided(*blocks: Block, name: str = "x", declared: Kind | None = None, limits: Limits | None = None) -> Decision:
    facts = ColumnProfile(name)
    for block in blocks:
        facts.add(block)
    return decide(facts, "feature", declared, limits or Limits())


@pytest.mark.parametrize(
    ("what", "block", "kind", "bins"),
    [
        ("measurements", np.linspace(0, 1, 500), "numeric", 22),
        ("few whole numbers", np.tile([0.0, 1.0, 2.0], 50), "numeric", 5),
        ("a flag", np.tile([0.0, 1.0], 50), "categorical", 3),
        ("a flag that is sometimes missing", np.tile([0.0, 1.0, NAN], 50), "categorical", 3),
        ("two fractions", np.tile([0.5, 1.0], 50), "numeric", 4),
        ("a constant", np.full(60, 7.0), "numeric", 3),
        ("nothing at all", np.full(60, NAN), "numeric", 1),
        ("row numbers", np.arange(100.0), "numeric", 1),
        ("whole numbers in no order", np.arange(100.0)[::-1], "numeric", 22),
        ("rising but with gaps", np.cumsum(np.arange(1.0, 101.0)), "numeric", 22),
        ("texts", ["a", "b", None] * 20, "categorical", 3),
        ("one text", ["a"] * 60, "categorical", 2),
        ("dates", ["2024-01-01", "2024-01-02T10:00:00", None] * 20, "categorical", 1),
        ("German dates", ["01.02.2024", "3.4.2024"] * 20, "categorical", 1),
        ("months", [f"2024-{i % 12 + 1:02}" for i in range(60)], "categorical", 1),
        ("dates in words", ["1 Jan 2024", "March 3, 2024", "Mon, 05 Feb 2024 10:00:00 GMT"] * 20, "categorical", 1),
        ("no dates", ["12-3", "May be", "1 mars bar"] * 20, "categorical", 4),
        ("unlike texts", [f"user-{i}" for i in range(60)], "categorical", 1),
        ("few unlike texts", ["ann", "bob", "eve"], "categorical", 4),
    ],
)
def test_kinds_follow_the_rule(what: str, block: Block, kind: Kind, bins: int) -> None:
    column = decided(block).column
    assert (column.kind, column.value_bins) == (kind, bins), what


@pytest.mark.parametrize("written", ["{} %", "${},000", "0x{:x}", "{} kg"])
def test_numbers_in_dress_are_told_from_identifiers(written: str) -> None:
    reason = decided([written.format(i) for i in range(60)]).reason
    assert reason.startswith(f"numbers written like {written.format(0)!r}")
    assert reason.endswith("write plain numbers")


def test_a_rising_column_that_is_called_id_is_an_identifier() -> None:
    gaps = np.cumsum(np.arange(1.0, 101.0))
    assert decided(gaps, name="customer_id").column.edges == ()
    assert decided(gaps, name="humid").column.edges != ()
    assert "identifier" in decided(gaps, name="customer_id").reason


@pytest.mark.parametrize("block", [np.tile([0.0, 1.0], 50), np.arange(100.0), np.linspace(0, 1, 500)])
def test_a_declared_kind_overrules_the_rule(block: Block) -> None:
    assert decided(block, declared="numeric").column.edges
    texts = [f"{value:g}" for value in block]
    assert decided(texts, declared="categorical").column.categories


def test_categories_beyond_the_limit_are_counted_together() -> None:
    block = [f"c{i}" for i in range(30) for _ in range(30 - i)]
    column = decided(block, limits=Limits(categories=3)).column
    assert column.categories == ("c0", "c1", "c2")
    counter = ColumnCounter(column)
    counter.add(block)
    assert counter.counts.tolist() == [30, 29, 28, len(block) - 87, 0]


def test_numbers_as_categories_are_in_the_order_of_their_values() -> None:
    assert decided(["10", "9", "b", "a", "-1"] * 20).column.categories == ("-1", "9", "10", "a", "b")


def test_reserved_texts_are_other_and_missing() -> None:
    block: Block = [OTHER, MISSING, None, "a"] * 20
    decision = decided(block)
    assert decision.column.categories == ("a",)
    assert decision.missing_share == 0.5
    counter = ColumnCounter(decision.column)
    counter.add(block)
    assert counter.counts.tolist() == [20, 20, 40]


def test_numbers_and_texts_in_one_column_are_one_set_of_categories() -> None:
    blocks: list[Block] = [np.array([1.0, 2.0, NAN]), ["1", "x", None]]
    decision = decided(*blocks)
    counter = ColumnCounter(decision.column)
    for block in blocks:
        counter.add(block)
    assert dict(zip(decision.column.labels, counter.counts.tolist(), strict=True)) == {
        "1": 2,
        "2": 1,
        "x": 1,
        OTHER: 0,
        MISSING: 2,
    }


def test_the_order_of_rows_does_not_matter() -> None:
    dice = np.random.default_rng(5)
    values = dice.normal(size=5_000)
    first, second = decided(values), decided(*np.array_split(dice.permutation(values), 7))
    assert first == second


def test_moments_are_those_of_all_finite_values_together() -> None:
    values = np.random.default_rng(2).normal(1e6, 1.0, size=10_000)
    facts = ColumnProfile("x")
    for part in np.array_split(values, 13):
        facts.add(np.concatenate((part, [NAN, math.inf])))
    assert facts.deviation == pytest.approx(np.std(values), rel=1e-9)
    assert facts.sum == pytest.approx(np.sum(values), rel=1e-12)
    assert (facts.missing, facts.numbers, facts.rows) == (13, 10_000, 10_026)


def test_values_near_the_largest_float_raise_nothing() -> None:
    decision = decided(np.array([1.7e308, -1.7e308, 1e308, 5e-324] * 20))
    counter = ColumnCounter(decision.column)
    counter.add(np.array([1.7e308, -1.7e308, math.inf, NAN]))
    assert counter.counts.sum() == 4
    assert counter.counts[-2:].tolist() == [1, 1]


def test_many_texts_are_forgotten_but_frequent_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_module, "MAX_DISTINCT_TEXTS", 100)
    facts = ColumnProfile("x")
    for start in range(0, 5_000, 50):
        facts.add([*(f"rare-{i}" for i in range(start, start + 50)), *["often"] * 100])
    decision = decide(facts, "feature", "categorical", Limits(categories=1))
    assert len(facts.texts) <= 150
    assert decision.column.categories == ("often",)


def test_labels_that_were_never_predicted_get_a_category() -> None:
    column = Column("prediction", "prediction", "categorical", categories=("b",))
    decision = Decision(column, "", 0.0)
    assert with_labels(decision, [2, "a", "b"], Limits()).column.categories == ("2", "a", "b")
    assert with_labels(decision, range(200), Limits()) == decision
    assert with_labels(decision, [], Limits()) == decision


def test_predictions_of_few_whole_numbers_are_labels() -> None:
    facts = ColumnProfile("prediction")
    facts.add(np.tile(np.arange(5.0), 20))
    assert decide(facts, "prediction", None, Limits()).column.kind == "categorical"
    assert decide(facts, "feature", None, Limits()).column.kind == "numeric"


def test_a_numeric_column_refuses_texts() -> None:
    counter = ColumnCounter(Column("x", "feature", "numeric", edges=(0.0,)))
    with pytest.raises(TypeError, match="numeric"):
        counter.add(["a"])
