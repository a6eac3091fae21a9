"""From the worst moment of each week to a limit that is passed as seldom as a person accepts."""

from __future__ import annotations

import math

import numpy as np

from monitor.columns.column import Floats

#: Weeks whose maxima make a limit, how many of them must exist, and the limit until they do.
WEEKS, FEWEST_WEEKS, FIRST_LIMIT = 26, 3, 8.0
#: No limit is lower: windows this close to their expectation are what chance makes of one distribution.
LOWEST = 3.5
#: Prior scale of log maxima, weighed as much as the data: quartiles of a few maxima say little.
PRIOR_SCALE = 0.2
WEEKS_A_MONTH = 4.35


def horizon(limits: int, alerts: float) -> float:
    """Weeks within which each of so many limits may be passed once, if `alerts` a month are accepted of all together.

    A column has a limit for its bulk and for each tail cell, at each window length.

    >>> horizon(limits=60, alerts=1.0)
    261.0
    """
    return WEEKS_A_MONTH * limits / alerts


def limit(maxima: Floats, weeks: float) -> float:
    """The level that a column's weekly maximum passes once in so many weeks.

    A Gumbel distribution is fitted to the logarithms of the maxima by quartiles, so that a quarter of bad weeks hardly
    moves the limit. `maxima`: shape (weeks,), in units of the usual scatter, the latest last; only `WEEKS` are used.

    >>> limit(np.array([2.0, 2.5]), 100.0), limit(np.full(26, 1.0), 100.0)
    (8.0, 3.5)
    >>> round(limit(np.array([3.0, 3.2, 3.5, 4.0, 4.4, 3.1, 3.3, 9.0]), 100.0), 2)
    7.32
    """
    recent = maxima[np.isfinite(maxima)][-WEEKS:]
    if len(recent) < FEWEST_WEEKS:
        return FIRST_LIMIT
    place, scale = _fit(recent)
    return max(LOWEST, math.exp(place + scale * math.log(max(weeks, 1.0))))


def weeks_between(maxima: Floats, distance: float) -> float:
    """After how many weeks a distance is reached once, by the same fit.

    >>> maxima = np.array([3.0, 3.2, 3.5, 4.0, 4.4, 3.1, 3.3, 9.0])
    >>> round(weeks_between(maxima, limit(maxima, 100.0)), 6)
    100.0
    """
    place, scale = _fit(maxima[np.isfinite(maxima)][-WEEKS:])
    return math.exp(min((math.log(max(distance, 1.0)) - place) / scale, 700.0))


def _fit(recent: Floats) -> tuple[float, float]:
    """Location and scale of the logarithms of maxima."""
    lower, middle, upper = np.quantile(np.log(np.maximum(recent, 1.0)), (0.25, 0.5, 0.75)).tolist()
    scale = ((upper - lower) / 1.5725 + PRIOR_SCALE) / 2
    return middle - 0.3665 * scale, scale
