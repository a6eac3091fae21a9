"""Whether a model that usually has predictions at this time is silent: a pure function of its predictions by hour.

A silence is a run of hours without a prediction. Its size is the number of its hours that had predictions in each of
the last weeks: nights and weekends count for nothing, and a job that is late only for the hours in which it usually
runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.columns.column import Mask
from monitor.normal.expected import WEEK_HOURS, Ints

#: Weeks whose same hours say what is usual, and weeks before now whose silences say how long one usually is.
WEEKS, PAST = 4, 8
#: Hours of the past that are looked at.
LOOK_BACK = (WEEKS + PAST) * WEEK_HOURS


class Silence(NamedTuple):
    """A run of hours without a prediction, up to now.

    `hours`: its size. `rows`: the fewest predictions that its hours had in one of the last weeks. `longest`: the size
    of the second longest silence of the weeks before: one outage must not hide the next one.
    """

    hours: int
    rows: int
    longest: int


def silence(rows: Ints, since: int = 0) -> Silence | None:
    """Measure the silence at the end of `rows`, predictions in consecutive hours of the local time, shape (hours,).

    `since`: position of the first hour that was watched. Returns None if there is no silence, or
    fewer than four weeks before it.

    >>> week = np.array([0] * 18 + [0, 0, 5, 9, 7, 0] + [0] * 144)
    >>> silence(np.tile(week, 6)), silence(np.tile(week, 4)), silence(np.concatenate((np.tile(week, 6), week[:21])))
    (Silence(hours=0, rows=0, longest=0), None, None)
    >>> silence(np.concatenate((np.tile(week, 6), week[:20], [0, 0])))
    Silence(hours=2, rows=14, longest=0)
    """
    hours = np.flatnonzero(rows)
    if not len(hours) or hours[-1] == len(rows) - 1:
        return None
    rows, since = rows[hours[0] :], since - hours[0]
    busy: Mask = rows > 0
    begins, ends = (np.flatnonzero(edge) + 1 for edge in (busy[:-1] & ~busy[1:], ~busy[:-1] & busy[1:]))
    begin = max(int(begins[-1]), since)
    if begin < WEEKS * WEEK_HOURS or begin >= len(rows):
        return None
    weeks_before = WEEK_HOURS * np.arange(1, WEEKS + 1)[:, None]

    def fewest(values: Ints | Mask, start: Ints, end: Ints) -> Ints:
        """The smallest sum that the same hours of one of the weeks before had, for each period."""
        upto = np.concatenate(([0], np.cumsum(values)))
        out: Ints = (upto[end - weeks_before] - upto[start - weeks_before]).min(axis=0)
        return out

    ended = begins[: len(ends)]
    old_enough = ended >= WEEKS * WEEK_HOURS
    past = np.sort(fewest(busy, ended[old_enough], ends[old_enough]))
    now = np.array([begin]), np.array([len(rows)])
    return Silence(int(fewest(busy, *now)[0]), int(fewest(rows, *now)[0]), int(past[-2]) if len(past) > 1 else 0)
