import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.spatial.distance import jensenshannon

from monitor.columns.column import Column, Schema
from monitor.drift import contingency as table
from monitor.drift.layout import Layout
from monitor.drift.statistics import AUTO, STATISTICS
from monitor.words import STATISTIC_NAMES
from tests.drift.build import fill
from tests.support.edges import choose_edges

counts = arrays(np.int64, st.shared(st.integers(2, 30), key="bins"), elements=st.integers(0, 500))
some = counts.filter(lambda c: c.sum() > 0)


def assert_close(ours, theirs):
    assert float(ours) == pytest.approx(float(theirs), rel=1e-9, abs=1e-9)


def pair_of(column, reference, test, deviation=1.0):
    layout = Layout(Schema((column,)))
    return layout.pair(reference, test, np.array([deviation]), np.array([0]))


def measured(name, column, reference, test, deviation=1.0):
    return STATISTICS[name].measure(pair_of(column, reference, test, deviation))


def value_of(name, column, reference, test, deviation=1.0):
    (value,) = measured(name, column, reference, test, deviation).value
    return value


def with_missing(counts):
    """Counts of value bins, with those of missing and nonfinite values behind."""
    return np.append(counts, [3, 1])


def numeric_of(counts):
    """A numeric column with so many value bins."""
    return Column("x", "feature", "numeric", edges=tuple(map(float, range(len(counts) - 1))))


@given(some, some)
def test_divergences_equal_scipy(reference, test):
    p, q = (reference + 0.5) / (reference + 0.5).sum(), (test + 0.5) / (test + 0.5).sum()
    column = Column("x", "feature", "categorical", categories=tuple(map(str, range(len(test) - 2))))
    forward, backward = stats.entropy(q, p), stats.entropy(p, q)
    assert_close(value_of("kl", column, reference, test), forward)
    assert_close(value_of("psi", column, reference, test), forward + backward)
    # A square root near zero: compare what is under it.
    assert_close(value_of("js", column, reference, test) ** 2, jensenshannon(p, q, base=2) ** 2)


@given(some, some)
def test_chi2_equals_scipy(reference, test):
    seen = (reference + test) > 0
    found = stats.chi2_contingency(np.stack([reference, test])[:, seen], correction=False)
    column = Column("x", "feature", "categorical", categories=tuple(map(str, range(len(test) - 2))))
    value = value_of("chi2", column, reference, test)
    assert_close(value, found.statistic)
    if seen.sum() > 1 and found.expected_freq.min() >= 5:
        freedom, stretch = table.chi2_null(reference.astype(float), test.astype(float), np.array(0.0))
        assert_close(stats.chi2.sf(value / stretch, freedom), found.pvalue)


@given(some, some, st.data())
def test_wasserstein_equals_scipy(reference, test, data):
    steps = data.draw(st.lists(st.floats(0.01, 10), min_size=len(test), max_size=len(test)))
    places = np.cumsum(steps)
    # The outer bins stand at the first and the last edge, those between at the means of their rows.
    edges = (places[0], *((places[1:-2] + places[2:-1]) / 2), places[-1])[: len(test) - 1]
    means = tuple(places) if len(test) > 2 else (places[0], places[0])
    column = Column("x", "feature", "numeric", tuple(edges), means=means, spreads=(0.0,) * len(test))
    found = value_of("wasserstein", column, with_missing(reference), with_missing(test), 2.0)
    expected = stats.wasserstein_distance(means, means, reference, test) / 2.0
    assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
)
def test_binned_ks_is_a_close_lower_bound_of_the_raw_one(reference, test):
    column = Column("x", "feature", "numeric", edges=choose_edges(np.array(reference)))
    sides = [fill(column, values) for values in (reference, test)]
    binned = float(value_of("ks", column, *sides))
    points = np.sort(np.concatenate((reference, test)))
    raw = max(abs(np.mean(np.array(reference) <= p) - np.mean(np.array(test) <= p)) for p in points)
    largest = max((side / side.sum()).max() for side in sides)
    assert raw - largest - 1e-9 <= binned <= raw + 1e-9


def test_ks_on_counts_equals_scipy_on_the_bins():
    rng = np.random.default_rng(1)
    before, after = rng.integers(0, 30, 12), rng.integers(0, 30, 12)
    raw = stats.ks_2samp(np.repeat(np.arange(12), before), np.repeat(np.arange(12), after), method="asymp")
    assert_close(value_of("ks", numeric_of(before), with_missing(before), with_missing(after)), raw.statistic)


@given(st.integers(1, 400), st.integers(1, 400), st.floats(0, 1), st.floats(0, 1))
def test_share_p_value_is_fishers_and_never_smaller(n, m, part_n, part_m):
    x, y = round(part_n * n), round(part_m * m)
    found = float(table.share_p_value(*(np.array(float(v)) for v in (y, x, n, m))))
    grew = x * m >= y * n
    tail = stats.hypergeom.sf(x - 1, n + m, n, x + y) if grew else stats.hypergeom.sf(y - 1, n + m, m, x + y)
    exact = min(1.0, 2 * tail)
    assert exact * (1 - 1e-7) <= found <= exact * 1.1 + 1e-300


@given(st.integers(1, 400), st.integers(1, 400), st.floats(0, 1), st.floats(0, 1), st.floats(1e-6, 0.1))
def test_share_critical_value_says_the_same_as_the_p_value(n, m, part_n, part_m, alpha):
    x, y, n, m = (np.array(float(v)) for v in (round(part_n * n), round(part_m * m), n, m))
    gap = x / n - y / m
    assert bool(abs(gap) > table.share_critical(y, gap >= 0, n, m, alpha)) == bool(
        table.share_p_value(y, x, n, m) <= alpha
    )


def test_critical_values_have_their_closed_forms():
    alpha, h = 0.001, 1 / 200 + 1 / 5_000
    column = Column("x", "feature", "numeric", edges=tuple(map(float, range(7))))
    sides = np.full(10, 500.0), np.full(10, 20.0)
    (found,) = measured("ks", column, *sides).critical(alpha)
    assert_close(found, math.sqrt(-math.log(alpha / 2) / 2 * (1 / 160 + 1 / 4_000)))  # 20 in a hundred have no value
    for name, scale in (("kl", 0.5), ("psi", 1.0), ("chi2", 1 / h)):
        assert_close(measured(name, column, *sides).critical(alpha)[0], stats.chi2.isf(alpha, 9) * scale * h)
    squared = stats.chi2.isf(alpha, 9) * 0.125 * h / math.log(2)
    assert_close(measured("js", column, *sides).critical(alpha)[0], math.sqrt(squared))


def test_wasserstein_of_a_mirrored_column_has_the_same_critical_value():
    before, after = np.array([0, 10**12, 2, 1, 0]), np.array([0, 0, 3, 0, 0])
    critical = [
        measured("wasserstein", numeric_of(before), *map(with_missing, sides)).critical(0.001)[0]
        for sides in ((before, after), (before[::-1], after[::-1]))
    ]
    assert_close(*critical)


awkward = st.sampled_from([0, 0, 0, 1, 2, 50, 10**6, 10**12])
columns = st.sampled_from(
    [
        Column("x", "feature", "numeric"),
        Column("x", "feature", "numeric", edges=(0.0,)),
        Column("x", "feature", "numeric", edges=(-1e308, 1e308)),
        Column("x", "feature", "numeric", edges=(6.5, 7.5)),
        Column("x", "feature", "numeric", edges=tuple(map(float, range(20)))),
        Column("x", "feature", "categorical"),
        Column("x", "feature", "categorical", categories=("a",)),
        Column("x", "feature", "categorical", categories=tuple("abcdefgh")),
    ]
)


@settings(max_examples=300)
@given(columns, st.data(), st.sampled_from([0.05, 1e-3, 1e-9]))
def test_nothing_is_ever_nan_or_infinite_and_value_agrees_with_p_value(column, data, alpha):
    reference, test = (np.array([data.draw(awkward) for _ in range(column.size)]) for _ in range(2))
    pair = pair_of(column, reference, test)
    for statistic in STATISTICS.values():
        if column.kind not in statistic.kinds:
            continue
        found = statistic.measure(pair)
        critical = found.critical(alpha)
        for number in (found.value, found.p_value, critical):
            assert np.isfinite(number).all(), statistic.name
        assert (found.p_value >= 0).all(), statistic.name
        assert (found.p_value <= 1).all(), statistic.name
        p, value = float(found.p_value[0]), abs(float(found.value[0]))
        if found.testable[0] and abs(p / alpha - 1) > 1e-6:
            assert (value > critical[0]) == (p <= alpha), statistic.name


@given(st.integers(0, 2**32))
def test_columns_do_not_mix(seed):
    rng = np.random.default_rng(seed)
    columns = (
        Column("a", "feature", "numeric", edges=(0.0, 1.0, 2.0)),
        Column("b", "feature", "numeric"),
        Column("c", "feature", "numeric", edges=tuple(map(float, range(9)))),
    )
    schema = Schema(columns)
    reference, test = rng.integers(0, 40, (2, schema.size))
    deviations = np.array([1.0, np.nan, 3.0])
    pair = Layout(schema).pair(reference, test, deviations, np.arange(3))
    together = {name: line.measure(pair) for name, line in STATISTICS.items() if "numeric" in line.kinds}
    critical = {name: found.critical(0.01) for name, found in together.items()}
    for row, (column, before, after) in enumerate(
        zip(columns, schema.split(reference), schema.split(test), strict=True)
    ):
        alone = Layout(Schema((column,))).pair(before, after, deviations[row : row + 1], np.array([0]))
        for name, every in together.items():
            one = STATISTICS[name].measure(alone)
            assert_close(every.value[row], one.value[0])
            assert_close(every.p_value[row], one.p_value[0])
            assert_close(critical[name][row], one.critical(0.01)[0])


def test_the_table_is_complete():
    assert list(STATISTICS) == list(STATISTIC_NAMES), "a rule may name what has a name for people"
    assert all(line.floor > 0 for line in STATISTICS.values())
    assert all(kind in STATISTICS[name].kinds for kind, names in AUTO.items() for name in names)
