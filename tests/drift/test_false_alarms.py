"""How often do verdicts cry wolf, and do they see what is there? Seeded, so that these never fail by chance.

The full tables are made by `python -m bench.false_alarms`: docs/bench-drift.md.
"""

import itertools

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

from bench.quiet import CATEGORIES, KINDS, NORMAL, Source, measure, probabilities, shifted, world
from monitor.columns.column import Schema
from monitor.drift.evaluate import Question, evaluate
from monitor.drift.layout import Layout
from monitor.drift.statistics import STATISTICS
from tests.drift.build import WINDOW, numeric, sample


def quiet_alarms(kind, m, n, columns, alpha, evaluations, statistic="auto"):
    rng = np.random.default_rng([m, n, columns])
    question = Question("r", tuple(range(columns)), statistic, alpha, min_samples=1)
    alarms = done = 0
    while done < evaluations:
        scene = world(rng, list(itertools.islice(itertools.cycle(KINDS[kind]), columns)), m)
        alarms += int(measure(question, scene, scene.windows(rng, n, 100)).drifts().any(axis=1).sum())
        done += 100
    return alarms, done


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [331, 5_000])
@pytest.mark.parametrize("n", [20, 50, 200, 1_000])
def test_quiet_windows_raise_no_more_alarms_than_alpha(kind, m, n):
    # A larger alpha than the default, so that a few thousand windows can tell.
    for columns, evaluations in ((1, 2_000), (10, 1_000)):
        alarms, done = quiet_alarms(kind, m, n, columns, 0.02, evaluations)
        assert alarms <= binom.isf(1e-4, done, 0.02), (columns, alarms)


@pytest.mark.parametrize("kind", ["even", "near 1 %"])
def test_categories_that_are_rare_in_the_reference_by_luck_raise_no_alarms(kind):
    # A small reference and larger windows: what has few rows, or none, in the reference was chosen by its luck.
    rng = np.random.default_rng(8)
    question = Question("r", (0,), "auto", 0.001, min_samples=1)
    alarms = 0
    for _ in range(1_000):
        scene = world(rng, list(KINDS[kind]), 331)
        alarms += int(measure(question, scene, scene.windows(rng, 1_000, 4)).drifts().sum())
    assert alarms <= binom.isf(1e-3, 4_000, 0.001)


@pytest.mark.parametrize("name", ["ks", "kl", "psi", "js", "wasserstein"])
def test_critical_values_hold_by_simulation(name):
    for kind, m, n in itertools.product(("normal", "log-normal"), (331, 5_000), (30, 300)):
        rng = np.random.default_rng([m, n])
        over = done = 0
        for _ in range(20):
            scene = world(rng, list(KINDS[kind]), m)
            pair = scene.layout.pair(scene.reference, scene.windows(rng, n, 200), scene.deviations, np.array([0]))
            found = STATISTICS[name].measure(pair)
            over += int((found.value > found.critical(0.01)).sum())
            done += 200
        assert over <= binom.isf(1e-4, done, 0.01), (kind, m, n, over / done)


@pytest.mark.parametrize(
    ("name", "lowest"), [("ks", 0.05), ("kl", 0.1), ("psi", 0.1), ("js", 0.1), ("wasserstein", 0.3)]
)
def test_critical_values_are_not_needlessly_large(name, lowest):
    # 10 even bins and plenty of rows, where the asymptotic laws hold: the false-alarm rate is near its bound.
    rng = np.random.default_rng(5)
    scene = world(rng, [Source(lambda g, size: g.integers(0, 10, size).astype(float), _ten)], 20_000)
    windows = scene.windows(rng, 2_000, 20_000)
    # A reference of its own for every window: the rate is over both.
    references = scene.windows(rng, 20_000, 20_000)
    pair = scene.layout.pair(references, windows, scene.deviations, np.array([0]))
    found = STATISTICS[name].measure(pair)
    rate = float((found.value > found.critical(0.01)).mean())
    assert lowest * 0.01 <= rate <= 0.0125


def _ten(x):
    return np.clip((np.floor(x) + 1) / 10, 0, 1)


def power(before, after, n, m=5_000, alpha=0.001):
    rng = np.random.default_rng([n, m])
    hits = 0
    for _ in range(20):
        scene = world(rng, [before], m)
        windows = rng.multinomial(n, probabilities(scene.layout.schema.columns[0], after), size=50)
        hits += int(measure(Question("r", (0,), "auto", alpha, min_samples=1), scene, windows).drifts().sum())
    return hits / 1_000


def test_what_changed_is_seen():
    unseen = Source(shares=np.append(CATEGORIES * 0.9, 0.1))
    assert power(NORMAL, shifted(0.5), 200) >= 0.95
    assert power(NORMAL, shifted(0.3), 1_000) >= 0.99
    assert power(Source(shares=CATEGORIES), unseen, 200) >= 0.95
    assert power(NORMAL, Source(cdf=NORMAL.cdf, missing=0.05), 500) >= 0.95


@pytest.fixture(scope="module")
def diabetes():
    """The example model's columns: reference as `python -m train` makes it, and a way to draw traffic."""
    features, target = load_diabetes(return_X_y=True)
    train, test, answers, _ = train_test_split(features, target, random_state=42)
    model = LinearRegression().fit(train, answers)
    columns = [numeric(f"x{i}", train[:, i]) for i in range(10)]
    columns.append(numeric("prediction", model.predict(test), role="prediction"))
    reference = sample(columns, [*train.T, model.predict(test)])

    def traffic(rng, rows, shift=None):
        drawn = features[rng.integers(0, len(features), rows)]
        if shift is not None:
            drawn[:, shift] += train[:, shift].std()
        return sample(columns, [*drawn.T, model.predict(drawn)])

    return columns, reference, traffic


def drifted(diabetes, test, alpha=0.001):
    columns, reference, _ = diabetes
    question = Question("r", tuple(range(11)), "auto", alpha)
    return {
        result.column
        for result in evaluate(question, Layout(Schema(tuple(columns))), reference, test, WINDOW)
        if result.state == "drift"
    }


def test_the_examples_own_load_is_quiet(diabetes):
    rng = np.random.default_rng(0)
    assert [drifted(diabetes, diabetes[2](rng, 1_000)) for _ in range(20)] == [set()] * 20


@pytest.mark.parametrize("feature", range(10))
def test_a_shifted_feature_is_named_and_no_other(diabetes, feature):
    named = drifted(diabetes, diabetes[2](np.random.default_rng(feature), 1_000, feature))
    assert f"x{feature}" in named
    assert named <= {f"x{feature}", "prediction"}
