"""Whether a column repeats one value, as a frozen sensor does: a pure function of its counts and sums by hour.

The fullest bin alone does not show it: air pressure, too, stays within one bin for a day. But the means of its hours
differ, and those of a frozen column do not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.columns.column import Counts, Floats, Mask
from monitor.normal.expected import FEWEST_ROWS

#: A value that is repeated for more than so many hours, and so many times the longest time before, is frozen.
FEWEST_HOURS, TIMES = 3, 3
#: Two hours have one mean if they differ by no more than this part of the standard deviation: sums are rounded.
SAME = 1e-6


class Repeated(NamedTuple):
    """How many hours with values a column has repeated one value up to now, and their `rows`.

    `longest`: hours of the longest such time before. `known`: hours with values that were looked at.
    """

    hours: int
    rows: int
    longest: int
    known: int

    @property
    def most(self) -> int:
        """Hours up to which that is usual."""
        return max(TIMES * self.longest, FEWEST_HOURS)

    @property
    def frozen(self) -> bool:
        """Whether that is not usual; what half of the hours have is usual by now."""
        return self.most < self.hours <= self.known / 2 and self.rows >= FEWEST_ROWS


def repeated(counts: Counts, sums: Floats, deviation: float) -> Repeated:
    """Measure how long one column has repeated a value, by the bins of its values and their sum in consecutive hours.

    `counts`: shape (hours, bins). `sums`: (hours,), zero for a categorical column. `deviation`: its usual one.

    >>> repeated(np.full((18, 1), 10), np.array([*range(9), *[20.0] * 9]), 1.0)
    Repeated(hours=9, rows=90, longest=1, known=18)
    >>> _.frozen, _.most
    (True, 3)
    """
    rows = counts.sum(axis=1)
    busy = rows > 0
    counts, rows, means = counts[busy], rows[busy], sums[busy] / rows[busy]
    in_one_bin: Mask = counts.max(axis=1, initial=0) == rows
    same = (np.diff(counts.argmax(axis=1)) == 0) & (np.abs(np.diff(means)) <= SAME * deviation)
    same &= in_one_bin[1:] & in_one_bin[:-1]
    run = np.cumsum(np.concatenate(([0], ~same)))[: len(rows)]  # a number for each run of hours with one value
    run_hours, run_rows = np.bincount(run, in_one_bin, 1), np.bincount(run, rows * in_one_bin, 1)
    return Repeated(int(run_hours[-1]), int(run_rows[-1]), int(run_hours[:-1].max(initial=0)), len(rows))
