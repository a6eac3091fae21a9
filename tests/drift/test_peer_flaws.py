"""The ways in which drift monitors are known to go wrong, with the numbers at which they did, and our verdicts.

Each test works out what the flawed formula says as well, so that it shows that the trap was really set.
"""

import math

import numpy as np
import pytest
from scipy import stats

from monitor.columns.canonical import canonical
from monitor.columns.column import Column
from monitor.drift.statistics import STATISTICS
from tests.drift.build import ask, categorical, fill, numeric

rng = np.random.default_rng(11)


def add_one_j(baseline, live):
    """Add-one-smoothed J over the bins that both sides have, each side with its own number of bins."""
    matched = [name for name in baseline if name in live]
    n, m = sum(baseline.values()), sum(live.values())
    p = [(baseline[name] + 1) / (n + len(baseline)) for name in matched]
    q = [(live[name] + 1) / (m + len(live)) for name in matched]
    return sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_smooth_shift_of_half_a_deviation_is_seen_where_a_fixed_half_never_fires():
    before, after = rng.normal(size=5_000), rng.normal(size=200) + 0.5
    found = ask([numeric("x", before)], [before], [after], "ks")["x", "ks"]
    assert found.value < 0.5
    assert found.state == "drift"


def test_class_balance_need_not_reach_92_to_8():
    before, after = ["a", "b"] * 500, ["a"] * 140 + ["b"] * 60
    assert add_one_j({"a": 500, "b": 500}, {"a": 140, "b": 60}) < 1
    assert ask([categorical("y", "a", "b")], [before], [after], "kl")["y", "kl"].state == "drift"


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_unseen_category_counts_instead_of_falling_out(share):
    column = categorical("y", "a", "b", "c")
    before = ["a"] * 400 + ["b"] * 350 + ["c"] * 250
    unseen = int(1_000 * share)
    rest = before[:: round(1 / (1 - share))]
    after = rest + ["new"] * unseen
    live = {name: after.count(name) for name in ("a", "b", "c", "new")}
    assert add_one_j({"a": 400, "b": 350, "c": 250}, live) < 1
    found = ask([column], [before], [after], "auto")["y", "kl"]
    assert found.state == "drift"
    assert found.contributions[0].label == "__other__"
    assert ask([column], [before], [after], "other")["y", "other"].state == "drift"


def test_both_sides_are_smoothed_over_the_same_bins():
    # 990 and 10 against the same shares: bins seen by one side only must not tilt the other.
    column = categorical("y", "a", "b", *"cdefghij")
    before, after = ["a"] * 990 + ["b"] * 10, ["a"] * 198 + ["b"] * 2
    found = ask([column], [before], [after], "kl")["y", "kl"]
    assert found.state == "ok"
    p, q = (fill(column, values) + 0.5 for values in (before, after))
    assert found.value == pytest.approx(stats.entropy(q / q.sum(), p / p.sum()), abs=1e-9)


@pytest.mark.parametrize("rows", [0, 5])
def test_no_traffic_is_a_state_and_not_a_number(rows):
    assert add_one_j({"a": 990, "b": 10}, {"a": 0, "b": 0}) > 1
    found = ask([categorical("y", "a", "b")], [["a"] * 990 + ["b"] * 10], [["a"] * rows], "kl")["y", "kl"]
    assert found.state == ("insufficient data" if rows else "no traffic")
    assert found.value is None


def test_integer_labels_are_the_same_category_on_both_sides():
    column = categorical("y", *(canonical(float(k)) for k in range(3)))
    before = [0.0, 1.0, 2.0] * 100
    after = [np.int64(k) for k in (0, 1, 2)] * 50 + ["0", "1", "2"] * 10
    found = ask([column], [before], [after], "auto")
    assert found["y", "kl"].state == "ok"
    assert found["y", "kl"].value == pytest.approx(0, abs=1e-3)


def test_edges_beyond_a_million_keep_their_digits():
    before = 3e6 + 1e5 * rng.normal(size=2_000)
    after = before[:300] + 1e6
    column = numeric("x", before)
    assert any(f"{edge:.6e}" != f"{edge:.16e}" for edge in column.edges)
    assert ask([column], [before], [after], "ks")["x", "ks"].value > 0.9


def test_minus_infinity_is_no_gap_between_the_values():
    before = np.append(rng.normal(size=900), [-np.inf] * 100)
    after = np.append(rng.normal(size=270), [-np.inf] * 30)
    found = ask([numeric("x", before)], [before], [after], "auto")
    assert found["x", "ks"].state == "ok"
    assert found["x", "ks"].n == 270
    assert found["x", "missing"].value == pytest.approx(0, abs=1e-12)


def test_nan_is_missing_and_not_a_move_upwards():
    before, after = rng.normal(size=1_000), np.append(rng.normal(size=180), [np.nan] * 120)
    found = ask([numeric("x", before)], [before], [after], "auto")
    assert found["x", "ks"].state == "ok"
    assert found["x", "missing"].state == "drift"
    assert found["x", "missing"].value == pytest.approx(0.4)
    assert found["x", "missing"].direction.text == "missing values: was 0 %, now 40 %"


def test_one_column_has_one_result_whichever_edge_wins():
    column = Column("x", "feature", "numeric", edges=(0.0, 1.0, 2.0))
    before = [0.5] * 100 + [1.5] * 100
    found = [ask([column], [before], [after], "ks") for after in ([0.5] * 90 + [1.5] * 10, [1.5] * 90 + [2.5] * 10)]
    assert all(list(each) == [("x", "ks")] for each in found)


def test_first_sightings_count_in_full():
    # A counter first scraped at 5 has an increase of 0; ours are counts.
    found = ask([categorical("y", "a")], [["a"] * 1_000], [["a"] * 95 + ["rare"] * 5], "other")["y", "other"]
    assert found.value == 0.05


def test_a_reference_counted_over_replicas_does_not_change_the_value():
    column = categorical("y", "a", "b", "c")
    before, after = ["a"] * 500 + ["b"] * 300 + ["c"] * 200, ["a"] * 90 + ["b"] * 70 + ["c"] * 40
    once = ask([column], [before], [after], "psi")["y", "psi"]
    thrice = ask([column], [before * 3], [after], "psi")["y", "psi"]
    assert once.state == thrice.state == "ok"
    assert once.value == pytest.approx(thrice.value, abs=0.01)


def test_equal_shares_of_1000_and_2000_rows_are_equal():
    # Bug (a): divergences of counts instead of shares gave 693 here.
    before, after = ["a"] * 500 + ["b"] * 500, ["a"] * 1_000 + ["b"] * 1_000
    assert (2_000 - 1_000) * math.log(2) > 690
    for name in ("kl", "psi", "js", "chi2"):
        found = ask([categorical("y", "a", "b")], [before], [after], name)["y", name]
        assert found.value < 0.01
        assert found.state == "ok"


def test_a_shift_of_eight_deviations_is_drift_and_never_nan():
    # Bug (a) as well: a p-value of NaN above 6.81 turned the shifted days green.
    before, after = rng.normal(size=5_000), rng.normal(size=5_000) + 8
    found = ask([numeric("x", before)], [before], [after], "all")
    assert {result.state for (_, name), result in found.items() if name != "missing"} == {"drift"}
    assert all(0 <= result.p_value <= 1 for result in found.values())


def test_a_rare_reference_category_is_no_drift_in_a_small_window():
    # Bug (b): an expected count of int(0.003 * 200) = 0 made the statistic infinite.
    before = ["a"] * 5_000 + ["b"] * 4_970 + ["rare"] * 30
    after = ["a"] * 100 + ["b"] * 99 + ["rare"]
    found = ask([categorical("y", "a", "b", "rare")], [before], [after], "all")
    assert {result.state for result in found.values()} == {"ok"}


def test_one_unseen_row_in_200_is_no_drift():
    # Bug (c): p = 0 for it.
    before, after = ["a"] * 3_000 + ["b"] * 2_000, ["a"] * 120 + ["b"] * 79 + ["new"]
    found = ask([categorical("y", "a", "b")], [before], [after], "all")
    assert {result.state for result in found.values()} == {"ok"}
    assert found["y", "chi2"].p_value > 0.001
    textbook = stats.chi2_contingency(np.array([[3_000, 2_000, 0], [120, 79, 1]])).pvalue
    assert textbook < 1e-4


def test_the_same_shape_at_a_million_rows_is_no_drift():
    # Bug (d): the error of a sketch is as large as D where n is large; counts over fixed bins have none.
    column = Column("x", "feature", "numeric", edges=tuple(np.linspace(-2, 2, 21)))
    shares = np.diff(np.concatenate(([0], stats.norm.cdf(column.edges), [1])))
    counts = (
        np.append(rng.multinomial(1_000_000, shares), [0, 0]),
        np.append(rng.multinomial(1_000_000, shares), [0, 0]),
    )
    from monitor.columns.column import Schema
    from monitor.drift.layout import Layout

    pair = Layout(Schema((column,))).pair(*counts, np.array([1.0]), np.array([0]))
    found = STATISTICS["ks"].measure(pair)
    assert found.value[0] < found.critical(0.001)[0]
    assert found.p_value[0] > 0.001


def test_categories_that_neither_side_holds_are_quiet():
    # Smoothing alone makes 50 rows differ from 5,000 by more than the textbook's critical value.
    names = [f"c{i}" for i in range(49)]
    found = ask([categorical("y", "common", *names)], [["common"] * 5_000], [["common"] * 50], "kl")["y", "kl"]
    assert found.value > stats.chi2.isf(0.001, 51) * (1 / 50 + 1 / 5_000) / 2
    assert found.state == "ok"


def test_categories_that_the_reference_missed_by_chance_are_no_drift():
    # 331 of 10,000 equally rare names: nearly all of them, and of the next 200, appear once.
    before, after = rng.integers(0, 10_000, 331).tolist(), rng.integers(0, 10_000, 200).tolist()
    column = categorical("id", *sorted({canonical(value) for value in before}))
    found = ask([column], [before], [after], "all")
    assert found["id", "other"].value > 0.9
    assert {result.state for result in found.values()} == {"ok"}


@pytest.mark.parametrize("statistic", ["auto", "kl", "psi", "js", "chi2", "other"])
def test_a_new_category_is_seen_although_the_reference_has_missing_rows(statistic: str) -> None:
    # Missing rows were once taken for rows left over by a cap on categories: a third of all rows could be new then.
    town = categorical("town", "a", "b", "c")
    reference = (["a", "b", "c"] * 10 + [None] * 3) * 50
    test = (["a", "b", "c"] * 10 + [None] * 3 + ["new"] * 15) * 10
    found = ask([town], [reference], [test], statistic)
    assert any(result.state == "drift" for result in found.values())
