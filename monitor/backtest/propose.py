"""Propose windows by the traffic: how long, how fine, and how many rows a verdict needs."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from monitor import words
from monitor.backtest.suggest import smallest_shift
from monitor.clock import DAY, HOUR, MINUTE
from monitor.config.settings import DriftConfig, duration_text
from monitor.drift.statistics import STATISTICS
from monitor.normal.cells import cells_of
from monitor.reference.file import Reference

Ints = npt.NDArray[np.int64]

#: Test windows that are proposed, and base windows, in seconds: a test window has thirty of them or more, and the page
#: follows within minutes.
WINDOWS = (30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 3 * DAY, 7 * DAY)
BASES = (60, 120, 300)
#: Rows of a window that tell of a shift by about half a standard deviation.
ENOUGH = 200


class Proposal(NamedTuple):
    """Lengths in seconds. Half of the windows with rows hold `usual` rows or more, nine in ten `few` or more."""

    window: int
    base: int
    min_samples: int
    usual: int
    few: int

    def to_json(self) -> dict[str, Any]:
        """Return the settings that it proposes."""
        window, base = duration_text(self.window), duration_text(self.base)
        return {"window": window, "base": base, "min_samples": self.min_samples}


def propose(times: Ints, least: int) -> Proposal:
    """Propose the shortest window of which nine in ten hold `least` rows, and half of them `ENOUGH`.

    `times`: shape (n,), seconds, any order. Windows without a row are left out: they are no traffic, not little.

    >>> propose(np.arange(0, 864_000, 30), 50)
    Proposal(window=7200, base=120, min_samples=50, usual=240, few=240)
    >>> propose(np.arange(0, 8_640_000, 86_400), 50)
    Proposal(window=604800, base=300, min_samples=7, usual=7, few=7)
    """
    for window in WINDOWS:
        _, counts = np.unique(times // window, return_counts=True)
        usual, few = np.quantile(counts[1:-1] if len(counts) > 2 else counts, [0.5, 0.1])  # the outer ones are cut
        if few >= least and usual >= ENOUGH:
            break
    base = max(base for base in BASES if base <= max(window / 30, BASES[0]))
    return Proposal(window, base, int(min(least, few)), int(usual), int(few))


def least_shift(reference: Reference, rows: int, drift: DriftConfig) -> float | None:
    """The shift that a window of `rows` rows tells of half of the numeric features, in standard deviations.

    By K-S: its critical value, with `alpha` shared over the columns, or its floor. None if there is no such feature.
    """
    schema = reference.schema
    alpha = drift.alpha / len(schema.columns)
    critical = math.sqrt(-math.log(alpha / 2) / 2 * (1 / rows + 1 / reference.info.rows))
    limits = {1: max(critical, STATISTICS["ks"].floor)}
    triples = zip(schema.features, schema.split(reference.counts), reference.deviations.tolist(), strict=False)
    shifts = []
    for column, counts, deviation in triples:
        if column.numeric and deviation > 0:
            cells = cells_of(column)
            shift = smallest_shift(column, cells, cells.shares(counts)[0], deviation, limits)
            shifts.append(math.inf if shift is None else shift)
    half = float(np.median(shifts)) if shifts else math.inf
    return half if math.isfinite(half) else None


def propose_settings(reference: Reference, times: Ints) -> list[str]:
    """Lines of `config.toml` with windows that suit the traffic, and why. `times`: shape (n,), seconds, any order."""
    drift, period = DriftConfig(), max(int(times.max()) - int(times.min()), 1)
    fits = propose(times, drift.min_samples)
    window, base = duration_text(fits.window), duration_text(fits.base)
    shift = least_shift(reference, fits.usual, drift)
    enough = f"# That is enough to see a shift by {shift or 0:.2g} standard deviations in half of the numeric features."
    unit, seconds = ("a day", DAY) if len(times) * HOUR < period else ("an hour", HOUR)
    pace = words.number(len(times) * seconds / period, 2)
    return [
        f"# By the {len(times):,} rows of {period / DAY:,.1f} days in the data, about {pace} {unit}. If they are",
        "# a sample, `telltale check` says after a day of traffic whether these windows suit it.",
        "[window]",
        "# At most a thirtieth of the test window, as finer ones tell no more; at most 5m, as the page is as late.",
        f'base = "{base}"',
        "",
        "[drift]",
        f"# Half of the windows of {window} with rows hold {fits.usual:,} or more, nine in ten {fits.few:,} or more.",
        *([enough] if shift else []),
        f'window = "{window}"',
        "# Fewer rows give no verdict." + " Even in a week there are few." * (fits.min_samples < drift.min_samples),
        f"min_samples = {fits.min_samples}",
        "# Nothing new can be judged more often.",
        f'every = "{base}"',
    ]
