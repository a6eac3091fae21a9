"""Distances and moments from bins against those of the rows, on the shapes of columns that bins see worst."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from monitor.columns.binning import ColumnCounter
from monitor.columns.moments import binned_median, binned_spread, exact_mean
from monitor.drift.evaluate import Sample
from monitor.reference.file import Reference
from tests.drift.build import ask_counts

M, N = 20_000, 5_000


def zeros(rng, rows, share, factor=1.0):
    return np.where(rng.random(rows) < share, 0.0, rng.gamma(2, 10 * factor, rows))


def two_humps(rng, rows, share=0.5):
    return np.where(rng.random(rows) < share, rng.normal(0, 1, rows), rng.normal(20, 1, rows))


def with_mass(rng, sigma):
    """Five rows in a hundred pile up far out in the tail, but within what the reference saw."""
    values = rng.lognormal(0, sigma, N)
    values[rng.random(N) < 0.05] = np.exp(sigma * 3.9) * 0.02
    return values


SHAPES = {
    **{
        f"{share:.0%} zeros": (
            lambda rng, share=share: zeros(rng, M, share),
            {
                "quiet": lambda rng, share=share: zeros(rng, N, share),
                "the rest seven times as large": lambda rng, share=share: zeros(rng, N, share, 7),
                "the rest twice as large": lambda rng, share=share: zeros(rng, N, share, 2),
                "fewer zeros": lambda rng, share=share: zeros(rng, N, share - 0.1),
                "half as many others": lambda rng, share=share: zeros(rng, N, (1 + share) / 2),
            },
        )
        for share in (0.8, 0.9, 0.95, 0.99)
    },
    **{
        f"log-normal, sigma {sigma}": (
            lambda rng, sigma=sigma: rng.lognormal(0, sigma, M),
            {
                "quiet": lambda rng, sigma=sigma: rng.lognormal(0, sigma, N),
                "times 1.5": lambda rng, sigma=sigma: rng.lognormal(0, sigma, N) * 1.5,
                "times 3": lambda rng, sigma=sigma: rng.lognormal(0, sigma, N) * 3,
                "mass in the tail": lambda rng, sigma=sigma: with_mass(rng, sigma),
            },
        )
        for sigma in (1, 2)
    },
    "t, 2 degrees": (
        lambda rng: rng.standard_t(2, M),
        {
            "quiet": lambda rng: rng.standard_t(2, N),
            "plus 1": lambda rng: rng.standard_t(2, N) + 1,
            "plus 30": lambda rng: rng.standard_t(2, N) + 30,
        },
    ),
    "Pareto": (
        lambda rng: rng.pareto(2, M),
        {"quiet": lambda rng: rng.pareto(2, N), "times 2": lambda rng: rng.pareto(2, N) * 2},
    ),
    "two humps": (
        lambda rng: two_humps(rng, M),
        {
            "quiet": lambda rng: two_humps(rng, N),
            "40 : 60": lambda rng: two_humps(rng, N, 0.4),
            "plus 3": lambda rng: two_humps(rng, N) + 3,
        },
    ),
    "Poisson, 3": (
        lambda rng: rng.poisson(3, M),
        {
            "quiet": lambda rng: rng.poisson(3, N),
            "3.5": lambda rng: rng.poisson(3.5, N),
            "twice": lambda rng: 2 * rng.poisson(3, N),
        },
    ),
    "Poisson, 300": (
        lambda rng: rng.poisson(300, M),
        {"quiet": lambda rng: rng.poisson(300, N), "310": lambda rng: rng.poisson(310, N)},
    ),
    "rounded to 0.5": (
        lambda rng: np.round(rng.normal(0, 5, M) * 2) / 2,
        {
            "quiet": lambda rng: np.round(rng.normal(0, 5, N) * 2) / 2,
            "plus 1": lambda rng: np.round(rng.normal(1, 5, N) * 2) / 2,
        },
    ),
    "rounded to 5": (
        lambda rng: np.round(rng.normal(40, 20, M) / 5) * 5,
        {
            "quiet": lambda rng: np.round(rng.normal(40, 20, N) / 5) * 5,
            "plus 4": lambda rng: np.round(rng.normal(44, 20, N) / 5) * 5,
            "wider": lambda rng: np.round(rng.normal(40, 26, N) / 5) * 5,
        },
    ),
    "normal": (
        lambda rng: rng.normal(0, 1, M),
        {
            "quiet": lambda rng: rng.normal(0, 1, N),
            "plus 0.1": lambda rng: rng.normal(0.1, 1, N),
            "plus 1": lambda rng: rng.normal(1, 1, N),
            "plus 27": lambda rng: rng.normal(27, 1, N),
            "half as wide": lambda rng: rng.normal(0, 0.5, N),
            "5 % outliers": lambda rng: np.where(rng.random(N) < 0.05, 6.0, rng.normal(0, 1, N)),
            "one row in a million deviations": lambda rng: np.append(rng.normal(0, 1, N), 1e6),
        },
    ),
    "small and normal": (
        lambda rng: rng.normal(0, 1, 331),
        {"quiet": lambda rng: rng.normal(0, 1, 200), "plus 0.5": lambda rng: rng.normal(0.5, 1, 200)},
    ),
    "uniform": (
        lambda rng: rng.random(M),
        {"quiet": lambda rng: rng.random(N), "plus 0.3": lambda rng: rng.random(N) + 0.3},
    ),
}


def drawn(shape, change):
    rng = np.random.default_rng(5)
    make, changes = SHAPES[shape]
    before = np.asarray(make(rng), dtype=float)
    after = np.asarray(changes[change](rng), dtype=float)
    reference = Reference.from_data({"x": before}, np.arange(before.size) % 7 + 0.5, kinds={"x": "numeric"})
    column = reference.schema.columns[0]
    counter = ColumnCounter(column)
    counter.add(after)
    return before, after, column, reference, counter.counts


#: One row in a thousand of these carries most of the variance: no histogram tells the standard deviation of such rows.
TAILS = ("Pareto", "log-normal, sigma 2", "t, 2 degrees")

CASES = [(shape, change) for shape, (_, changes) in SHAPES.items() for change in changes]


@pytest.mark.parametrize(("shape", "change"), CASES)
def test_distances_from_bins_are_those_of_the_rows(shape, change):
    before, after, column, reference, counts = drawn(shape, change)
    size = column.size
    found = ask_counts(
        column,
        Sample(reference.counts[:size], reference.sums[:1], reference.deviations[:1]),
        Sample(counts, np.array([after.sum()])),
    )
    exact = wasserstein_distance(before, after) / before.std()
    assert found["wasserstein"].value == pytest.approx(exact, rel=0.1, abs=0.02)
    largest_bin = max(reference.counts[:size].max() / before.size, 0)
    gap = ks_2samp(before, after).statistic
    assert gap - largest_bin <= found["ks"].value <= gap + 1e-12
    if change == "quiet":
        assert {result.state for result in found.values()} == {"ok"}


@pytest.mark.parametrize(("shape", "change"), CASES)
def test_moments_from_bins_are_those_of_the_rows(shape, change):
    before, after, column, reference, counts = drawn(shape, change)
    sd, rows = before.std(), counts.tolist()
    mean = exact_mean(column, rows, float(after.sum()))
    assert mean == pytest.approx(after.mean())
    median = binned_median(column, rows, mean, sd / 2)
    if median is not None:
        assert median == pytest.approx(np.median(after), abs=0.1 * sd)
    spread = binned_spread(column, rows, mean)
    if spread is not None and shape not in TAILS:
        assert spread == pytest.approx(after.std(), rel=0.2)
    own = binned_spread(column, reference.counts[: column.size].tolist(), before.mean())
    assert own is None or own == pytest.approx(sd, rel=1e-6)


def test_moments_are_told_where_bins_can_tell_them():
    told = {"median": 0, "spread": 0}
    for shape, change in CASES:
        before, after, column, _, counts = drawn(shape, change)
        told["median"] += binned_median(column, counts.tolist(), after.mean(), before.std() / 2) is not None
        told["spread"] += binned_spread(column, counts.tolist(), after.mean()) is not None
    assert told["median"] >= 0.85 * len(CASES)
    assert told["spread"] >= 0.6 * len(CASES)


@pytest.mark.parametrize(
    ("value", "now"), [(3.3, 3.4), (0.1 + 0.2, 0.3), (1e300, 2e300), (0.0, 5e-324), (-7.0, -7.5), (1.7e9, 1.7e9 + 60)]
)
def test_a_constant_has_no_deviation_and_is_told_in_its_own_unit(value, now):
    reference = Reference.from_data({"x": np.full(3_000, value)}, np.arange(3_000) % 7 + 0.5)
    assert reference.deviations[0] == 0
    column = reference.schema.columns[0]
    counter = ColumnCounter(column)
    counter.add(np.full(600, now))
    size = column.size
    found = ask_counts(
        column,
        Sample(reference.counts[:size], reference.sums[:1], reference.deviations[:1]),
        Sample(counter.counts, np.array([now * 600])),
    )["ks"]
    assert "sd)" not in found.direction.text.replace("spread (sd)", "")
    if found.state == "drift":
        assert found.direction.text.startswith("mean ")
