import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.columns.column import Column
from monitor.columns.moments import binned_median
from monitor.drift.direction import Sides, direction, shifts
from tests.drift.build import categorical, fill, numeric

rng = np.random.default_rng(21)
DRAWN = rng.normal(10, 2, 2_000)
BEFORE = 10 + (DRAWN - DRAWN.mean()) / DRAWN.std() * 2
X = numeric("x", BEFORE)
INFLATED = np.where(rng.random(2_000) < 0.3, 0.0, rng.exponential(10, 2_000).round(3))
Z = numeric("z", INFLATED)
CONSTANT = np.full(2_000, 3.3)
K = numeric("k", CONSTANT)
C = categorical("c", "a", "b", "d", "e")


def moved(after, column=X, before=BEFORE, statistic="ks", unseen=(), deviation=None):
    counts = fill(column, before).tolist(), fill(column, after).tolist()
    sums = (0.0, 0.0)
    if column.numeric:
        sums = tuple(float(np.sum(np.array(side)[np.isfinite(side)])) for side in (before, after))
        deviation = float(np.nanstd(before)) if deviation is None else deviation
    return direction(Sides(column, *counts, sums, 0.0 if deviation is None else deviation), statistic, unseen)


def texts(**rows):
    return [name for name, count in rows.items() for _ in range(count)]


SEEN = texts(a=500, b=300, d=190, e=10)
HALF = 10 + (BEFORE - BEFORE.mean()) / 2
OUTLIERS = np.where(np.arange(2_000) % 20 == 0, 30.0, BEFORE)


@pytest.mark.parametrize(
    ("after", "column", "before", "statistic", "unseen", "change", "text"),
    [
        (BEFORE + 2, X, BEFORE, "ks", (), "moved", r"mean was 10, now 12 \(1\.0 sd\)"),
        (BEFORE - 0.5, X, BEFORE, "wasserstein", (), "moved", r"mean was 10, now 9\.5 \(0\.25 sd\)"),
        (BEFORE + 54, X, BEFORE, "ks", (), "moved", r"mean was 10, now 64 \(27 sd\)"),
        (
            HALF,
            X,
            BEFORE,
            "ks",
            (),
            "spread",
            r"spread \(sd\) was (2|1\.9\d|2\.[012]\d?), now (1|0\.9\d\d?|1\.\d\d?); mean and median.*",
        ),
        (10 + (BEFORE - 10) * 2, X, BEFORE, "ks", (), "spread", r"spread \(sd\) was \S+, now [34]\.?\d*; mean and .*"),
        (
            OUTLIERS,
            X,
            BEFORE,
            "wasserstein",
            (),
            "out of range",
            r"above the range seen \(> 1\d\.\d\): was 0 %, now 5 %; mean .*",
        ),
        (
            np.where(BEFORE < 6, -50, BEFORE),
            X,
            BEFORE,
            "other",
            (),
            "out of range",
            r"below the range seen \(< \S+\): .*",
        ),
        (
            np.full(900, 10.2),
            X,
            BEFORE,
            "ks",
            (),
            "took over",
            r"most values are now between 10\.?\d* and 10\.?\d*: was \S+ %, now 100 %",
        ),
        (
            np.where(np.arange(2_000) % 10, 0.0, INFLATED),
            Z,
            INFLATED,
            "ks",
            (),
            "took over",
            r"most values are now .*: was \d\d %, now 9\d %",
        ),
        (CONSTANT + 0.1, K, CONSTANT, "ks", (), "moved", r"mean was 3\.3, now 3\.4"),
        (
            np.where(np.arange(2_000) % 50, BEFORE, np.nan),
            X,
            BEFORE,
            "missing",
            (),
            "missing",
            r"missing values: was 0 %, now 2 %",
        ),
        (
            texts(a=510, b=290, d=180, e=8, chat=12),
            C,
            SEEN,
            "kl",
            ("chat",),
            "new value",
            r"unseen value chat: was 0 %, now 1\.2 %",
        ),
        (
            texts(a=434, b=300, d=190, e=10, z=60, y=6),
            C,
            SEEN,
            "other",
            (),
            "new value",
            r"unseen values: was 0 %, now 6\.6 %",
        ),
        (
            texts(a=434, b=300, d=190, e=10, z=60, y=6),
            C,
            SEEN,
            "kl",
            ("z", "y"),
            "new value",
            r"unseen values z, y: was 0 %, now 6\.6 %",
        ),
        (texts(a=40, b=950, d=10), C, SEEN, "kl", (), "took over", r"most rows are now b: was 30 %, now 95 %"),
        (texts(a=300, b=500, d=200), C, SEEN, "kl", (), "moved", r"more b \(was 30 %, now 50 %\); fewer a .*"),
        ([*SEEN[:900], *[None] * 100], C, SEEN, "kl", (), "missing", r"missing values: was 0 %, now 10 %"),
        (texts(a=500, b=300, d=100, e=100), C, SEEN, "kl", (), "moved", r"more e \(was 1 %, now 10 %\); fewer d .*"),
        (
            texts(Y=500, a=500),
            C,
            SEEN,
            "kl",
            ("Y",),
            "new value",
            r"more unseen value Y \(was 0 %, now 50 %\); fewer b .*",
        ),
        (SEEN, C, [*SEEN[:800], *[None] * 200], "kl", (), "moved", r".*fewer missing values \(was 20 %, now 0 %\)"),
        (SEEN, C, [*SEEN[:800], *[None] * 200], "missing", (), "moved", r"missing values: was 20 %, now 0 %"),
        (SEEN, C, SEEN, "kl", (), "unchanged", "no change"),
        (BEFORE, X, BEFORE, "ks", (), "unchanged", "no change"),
        ([], X, BEFORE, "ks", (), "unchanged", "no values to compare"),
    ],
)
def test_the_sentence_tells_what_the_statistic_saw(after, column, before, statistic, unseen, change, text):
    found = moved(after, column, before, statistic, unseen)
    assert found.change == change, found
    assert re.fullmatch(text, found.text), found.text


def test_an_unseen_value_is_told_alone_though_other_shares_moved_by_chance():
    found = moved(texts(a=520, b=290, d=172, e=10, chat=8), C, SEEN, "kl", ("chat",))
    assert (found.change, found.names) == ("new value", ("chat",))
    assert re.fullmatch(r"unseen value chat: was 0 %, now \S+ %", found.text), found.text


def test_a_change_of_shape_names_the_range_where_the_distributions_differ_most():
    # Same mean and spread, two humps instead of one.
    humps = np.concatenate((rng.normal(8.2, 0.87, 1_000), rng.normal(11.8, 0.87, 1_000)))
    humps = 10 + (humps - humps.mean()) / humps.std() * 2
    found = moved(humps)
    assert found.change == "shape", found
    assert re.fullmatch(r"values up to \S+: was \d+ %, now \d+ %", found.text), found.text


def test_mean_and_median_that_part_are_both_told():
    after = np.concatenate((BEFORE[:1_800] - 0.9, BEFORE[1_800:] + 12))
    found = moved(after)
    told = r".*mean was 10, now 1\d\S* \(.* sd\); median was 10, now 9\S* \(.* sd\).*"
    assert re.fullmatch(told, found.text), found.text


@given(st.integers(0, 3_000), st.integers(0, 3_000), st.integers(1, 3_000), st.sampled_from(["missing", "other", "kl"]))
def test_no_sentence_tells_a_change_as_two_equal_numbers(hits, again, rows, statistic):
    column = Column("c", "feature", "categorical", categories=("a", "b"))
    before, after = [rows, 7, hits, hits], [rows + 13, 5, again, again]
    text = direction(Sides(column, before, after, (0.0, 0.0), 0.0), statistic).text
    for was, now in re.findall(r"was ([\d.]+ %), now ([\d.]+ %)", text):
        assert was != now, text


@pytest.mark.parametrize("edges", [(-1.5e308, 1.5e308), (0.0, 5e-324), (1.0,), (-1.7e308, 0.0, 1.7e308), ()])
def test_extreme_numbers_break_no_sentence(edges):
    column = Column("x", "feature", "numeric", edges=edges)
    bins = column.value_bins
    for at in range(bins):
        after = [0] * column.size
        after[at] = 60
        for total in (0.0, 1.5e308, -1.5e308, float("inf"), float("nan"), 5e-324):
            for deviation in (0.0, 5e-324, 1.5e308, float("inf"), float("nan")):
                found = direction(Sides(column, [50] * column.size, after, (0.0, total), deviation), "ks")
                assert found.text
                assert "nan" not in found.text
                assert "inf" not in found.text


def test_without_a_deviation_the_columns_own_units_are_used():
    found = moved(BEFORE + 2, deviation=0.0)
    assert re.fullmatch(r"mean was 10, now 12", found.text)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=100))
def test_binned_median_lies_within_the_bin_of_the_true_one(values):
    column = numeric("x", values)
    found = binned_median(column, fill(column, values).tolist())
    ordered = sorted(values)
    low, high = ordered[(len(values) - 1) // 2], ordered[len(values) // 2]
    edges = np.array([-np.inf, *column.edges, np.inf])
    assert edges[np.searchsorted(edges, low) - 1] <= found <= edges[np.searchsorted(edges, high)]


def test_shifts_are_the_largest_first_and_only_those_that_moved():
    found = shifts(("a", "b", "d", "__other__", "__missing__"), [50, 30, 20, 0, 0], [59, 10, 20, 11, 0])
    assert [(shift.label, shift.reference, shift.test) for shift in found] == [
        ("b", 0.3, 0.1),
        ("__other__", 0.0, 0.11),
        ("a", 0.5, 0.59),
    ]
