"""Find rules whose windows are too short for the stored traffic, for `check` and `status`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor import words
from monitor.clock import DAY, HOUR
from monitor.config.settings import duration_text
from monitor.normal.expected import DAY_HOURS
from monitor.normal.usual import propose_lengths
from monitor.rules.rule import Rule
from monitor.store.windows.ranges import bounds, list_windows
from monitor.store.windows.rows import find_version

#: How much of the past is looked at, and the least that must be stored before anything is said, in seconds.
LOOKED_AT, FEWEST = 28 * DAY, DAY

Ints = npt.NDArray[np.int64]


def starving(connection: sqlite3.Connection, rules: Sequence[Rule], model: str | None = None) -> list[str]:
    """A sentence on each rule whose window never held `min_samples` predictions, with a window that would.

    Nothing is said until a day of traffic of the served model is stored.
    """
    series = find_version(connection, model=model)
    known = bounds(connection, series.id) if series else None
    if series is None or known is None or known[1] - known[0] < FEWEST:
        return []
    windows = list_windows(connection, series.id, max(known[0], known[1] - LOOKED_AT), known[1])
    starts, rows = np.array([window.start for window in windows]), np.array([window.n for window in windows])
    period = min(known[1] - known[0], LOOKED_AT)
    lines = []
    for rule in rules:
        reach = max(rule.window, rule.max_age)
        most = most_rows(starts, rows, reach)
        if rule.fixed and reach < period and most < rule.min_samples:
            lines.append(
                f"{rule.name}: {duration_text(reach)} never held the {rule.min_samples} predictions of min_samples in "
                f"{words.duration(period)}, at most {most}, so it gives no verdict; {remedy(starts, rows, rule)}"
            )
    return lines


def most_rows(starts: Ints, rows: Ints, seconds: float) -> int:
    """The most predictions in any period of that length. `starts`, `rows`: of stored windows in order.

    >>> most_rows(np.array([0, 60, 600]), np.array([2, 3, 4]), 120), most_rows(np.array([0, 60]), np.array([2, 3]), 60)
    (5, 3)
    """
    before = np.concatenate(([0], np.cumsum(rows)))
    ends = np.searchsorted(starts, starts + seconds, side="left")
    return int((before[ends] - before[:-1]).max())


def remedy(starts: Ints, rows: Ints, rule: Rule) -> str:
    """Propose the shortest window that usually holds `min_samples` predictions. Days without traffic are left out."""
    first = starts[0] // DAY * DAY_HOURS
    hours = starts // HOUR - first
    hourly = np.bincount(hours, rows, minlength=int(-(-(hours[-1] + 1) // DAY_HOURS) * DAY_HOURS)).astype(np.int64)
    hourly = hourly.reshape(-1, DAY_HOURS)[hourly.reshape(-1, DAY_HOURS).any(axis=1)].ravel()
    mean = float(hourly.mean())
    for length in propose_lengths(hourly):
        if length * HOUR > rule.window and mean * length >= rule.min_samples:
            text = duration_text(length * HOUR)
            return f'window = "{text}" would hold about {mean * length:,.0f}'
    return f"a window of a week holds about {mean * 168:,.0f}: min_samples is too large for this traffic"
