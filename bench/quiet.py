"""Synthetic columns whose bin probabilities are known exactly, so that windows can be drawn as counts.

A window of n rows is one multinomial draw per column; nothing is approximated, and millions of windows take seconds.
Shared by the benchmarks and by the statistical tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, pdtr

from monitor.columns.column import Column, Counts, Floats, Schema
from monitor.drift.evaluate import Question, floors_of, holm_level, statistics_for
from monitor.drift.layout import Layout, Measured, Positions
from monitor.drift.statistics import STATISTICS
from tests.support.edges import choose_edges

Generator = np.random.Generator

#: Shares of the categories of a categorical column: a few common and a few rare ones.
CATEGORIES = np.array([0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.015, 0.005])


@dataclass(frozen=True)
class Source:
    """What one column draws from. `cdf`: of its values, where it is numeric; `missing`: share of missing rows."""

    draw: Callable[[Generator, int], Floats] | None = None
    cdf: Callable[[Floats], Floats] | None = None
    shares: Floats | None = None
    missing: float = 0.0


def _log_normal_cdf(x: Floats) -> Floats:
    out: Floats = np.where(x > 0, ndtr(np.log(np.maximum(x, 1e-300))), 0.0)
    return out


def _poisson_cdf(x: Floats) -> Floats:
    out: Floats = np.where(x < 0, 0.0, pdtr(np.floor(np.maximum(x, 0.0)), 3.0))
    return out


NORMAL = Source(lambda rng, size: rng.normal(size=size), ndtr)
LOG_NORMAL = Source(lambda rng, size: rng.lognormal(size=size), _log_normal_cdf)
DISCRETE = Source(lambda rng, size: rng.poisson(3.0, size).astype(float), _poisson_cdf)
CATEGORICAL = Source(shares=CATEGORIES)
#: Categories whose place among the rare or the unseen ones is the reference's luck.
EVEN = Source(shares=np.full(30, 1 / 30))
NEAR = Source(shares=np.array([0.85, *[0.01] * 15]))
GAPS = Source(NORMAL.draw, NORMAL.cdf, missing=0.03)

KINDS: dict[str, tuple[Source, ...]] = {
    "normal": (NORMAL,),
    "log-normal": (LOG_NORMAL,),
    "discrete": (DISCRETE,),
    "categorical": (CATEGORICAL,),
    "even": (EVEN,),
    "near 1 %": (NEAR,),
    "mixed": (NORMAL, CATEGORICAL, LOG_NORMAL, GAPS, DISCRETE, EVEN, NEAR),
}


def shifted(sigmas: float) -> Source:
    """A standard normal column moved up."""
    return Source(cdf=lambda x: ndtr(x - sigmas))


@dataclass(frozen=True)
class World:
    """A schema frozen from one reference, the reference's counts, and the true probability of each bin."""

    layout: Layout
    reference: Counts
    deviations: Floats
    probabilities: list[Floats]

    def windows(self, rng: Generator, n: int, count: int) -> Counts:
        """`count` windows of n rows without drift, shape (count, schema.size)."""
        return np.concatenate([rng.multinomial(n, p, size=count) for p in self.probabilities], axis=-1)


def probabilities(column: Column, source: Source) -> Floats:
    """Probability of each bin of a column, shape (column.size,)."""
    if column.numeric:
        assert source.cdf is not None
        below = np.concatenate(([0.0], source.cdf(np.array(column.edges)), [1.0]))
        values, rest = np.diff(below), [source.missing, 0.0]
    else:
        assert source.shares is not None
        known = np.array([source.shares[int(name)] for name in column.categories])
        values, rest = np.append(known, max(1 - known.sum(), 0.0)), [source.missing]
    out: Floats = np.clip(np.concatenate((values * (1 - source.missing), rest)), 0, None)
    out /= out.sum()
    return out


def world(rng: Generator, sources: list[Source], m: int) -> World:
    """Draw a reference of m rows and freeze its bins."""
    columns, counts, deviations, chances = [], [], [], []
    for i, source in enumerate(sources):
        absent = rng.binomial(m, source.missing)
        if source.draw is not None:
            values = source.draw(rng, m - absent)
            column = Column(f"x{i}", "feature", "numeric", edges=choose_edges(values))
            filled = np.bincount(np.searchsorted(column.edges, values), minlength=column.value_bins)
            counts.append(np.append(filled, [absent, 0]))
            deviations.append(float(values.std()))
        else:
            assert source.shares is not None
            drawn = rng.multinomial(m - absent, source.shares)
            known = np.flatnonzero(drawn)
            column = Column(f"x{i}", "feature", "categorical", categories=tuple(map(str, known)))
            counts.append(np.append(drawn[known], [0, absent]))
            deviations.append(float("nan"))
        columns.append(column)
        chances.append(probabilities(column, source))
    layout = Layout(Schema(tuple(columns)))
    return World(layout, np.concatenate(counts), np.array(deviations), chances)


@dataclass(frozen=True)
class Measurements:
    """All statistics of one question over many windows, before alpha is shared out."""

    question: Question
    columns: int
    parts: list[tuple[Positions, Measured, Floats]]

    def drifts(self, alpha: float | None = None) -> npt.NDArray[np.bool_]:
        """Which columns `evaluate` would call drift in each window, shape (windows, columns)."""
        alpha = self.question.alpha if alpha is None else alpha
        tested = np.concatenate([np.broadcast_to(one.testable, one.value.shape) for _, one, _ in self.parts], axis=-1)
        p_values = np.concatenate([one.p_value for _, one, _ in self.parts], axis=-1)
        lowest = np.where(tested, p_values, 1.0).min(axis=-1)
        found = np.zeros((len(lowest), self.columns), dtype=np.bool_)
        for at in np.flatnonzero(lowest <= alpha / np.maximum(tested.sum(axis=-1), 1)):
            level = holm_level(p_values[at][tested[at]], alpha)
            for rows, one, floors in self.parts:
                found[at, rows] |= (one.p_value[at] <= level) & (np.abs(one.value[at]) > floors[at])
        return found


def measure(question: Question, scene: World, windows: Counts) -> Measurements:
    """Measure what `evaluate` would, for many windows at once and without making results; a test holds both together.

    The question must ask for all columns, and every window must hold enough rows.
    """
    parts: list[tuple[Positions, Measured, Floats]] = []
    for numeric in (True, False):
        positions = scene.layout.of_kind(question.columns, numeric=numeric)
        if not positions.size:
            continue
        pair = scene.layout.pair(scene.reference, windows, scene.deviations, positions)
        for name in statistics_for(question, "numeric" if numeric else "categorical"):
            one = STATISTICS[name].measure(pair)
            floors = np.broadcast_to(floors_of(question, name, one), one.value.shape)
            parts.append((positions, one, floors))
    return Measurements(question, len(scene.layout.schema.columns), parts)
