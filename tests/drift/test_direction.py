import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.drift.direction import binned_median, direction, shifts
from tests.drift.build import categorical, fill, numeric

rng = np.random.default_rng(21)
BEFORE = rng.normal(10, 2, 2_000)
X = numeric("x", BEFORE)


def moved(after, deviation=2.0, column=X, before=BEFORE):
    counts = fill(column, before).tolist(), fill(column, after).tolist()
    return direction(column, *counts, float(np.sum(before)), float(np.sum(after)), deviation)


@pytest.mark.parametrize(
    ("after", "text"),
    [
        (BEFORE + 2, "up by 1.0 standard deviations"),
        (BEFORE - 0.5, "down by 0.25 standard deviations"),
        (BEFORE, "mean and median unchanged"),
        (10 + (BEFORE - BEFORE.mean()) * 1.5, "mean and median unchanged"),
    ],
)
def test_moves_are_told_in_words(after, text):
    assert moved(after).text == text


def test_mean_and_median_that_part_are_both_told():
    after = np.concatenate((BEFORE[:1_800] - 0.6, BEFORE[1_800:] + 14))
    found = moved(after)
    assert found.mean > 0 > found.median
    assert found.text.startswith("mean up by 0.")
    assert ", median down by 0." in found.text


def test_without_a_deviation_the_columns_own_units_are_used():
    found = moved(BEFORE + 2, deviation=0.0)
    assert (found.mean_deviations, found.median_deviations) == (None, None)
    assert found.text == "up by 2"


def test_no_values_nothing_to_say():
    found = direction(X, fill(X, BEFORE).tolist(), [0] * X.size, 1.0, 0.0, 2.0)
    assert (found.text, found.mean, found.median) == ("no values to compare", None, None)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=100))
def test_binned_median_lies_within_the_bin_of_the_true_one(values):
    column = numeric("x", values)
    found = binned_median(column, fill(column, values).tolist())
    ordered = sorted(values)
    low, high = ordered[(len(values) - 1) // 2], ordered[len(values) // 2]
    edges = np.array([-np.inf, *column.edges, np.inf])
    assert edges[np.searchsorted(edges, low) - 1] <= found <= edges[np.searchsorted(edges, high)]


def test_shifts_are_the_largest_first_and_only_those_that_moved():
    column = categorical("c", "a", "b", "d")
    found = shifts(column.labels, [50, 30, 20, 0, 0], [59, 10, 20, 11, 0])
    assert [(shift.label, shift.reference, shift.test) for shift in found] == [
        ("b", 0.3, 0.1),
        ("__other__", 0.0, 0.11),
        ("a", 0.5, 0.59),
    ]
