"""How alike the rows of one window are: their intraclass correlation rho, which sets the effective sample size.

Shares of windows scatter about their own level, a line over time, by v (1 / n + rho (1 - 1 / n)), v = p (1 - p), not by
the v / n of independent rows; rho is estimated by moments (Williams 1982), and the effective sample size of n rows is
n / (1 + (n - 1) rho). It is learnt once a day from the first weeks of production, until these are over.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np

from monitor.clock import DAY, HOUR
from monitor.columns.column import Counts, Floats
from monitor.config.settings import DriftConfig
from monitor.drift.result import Span
from monitor.normal.cells import Cells, cells_of
from monitor.normal.expected import FEWEST_ROWS
from monitor.normal.usual import FEWEST_WINDOWS
from monitor.rules.rule import Rule
from monitor.series import Series
from monitor.store.records import usual as store
from monitor.store.windows.ranges import first_start, read_timeline

#: Days of production that are learnt from; more where windows are so long that there are fewer than ten.
DAYS = 28
#: Most counts that are read at once: 160 MB. A wider model is learnt from fewer windows.
MOST_COUNTS = 20_000_000
#: Tail cells that go together: those of the statistic `missing`, and those of `other`.
TAILS = (("missing", "nonfinite"), ("below", "above", "other"))
#: An estimate that chance makes of independent rows counts as none: so many standard errors.
CHANCE = 2.0


def learn(
    connection: sqlite3.Connection, series: Series, drift: DriftConfig, rules: Iterable[Rule], now: float
) -> None:
    """Learn rho for each window length of the rules, once a day, until it is settled; store it."""
    wanted = {hours_of(rule.window) for rule in rules if rule.fixed and not rule.independent}
    for hours in sorted(wanted):
        newest = store.newest_correlation(connection, series.id, hours, now)
        if newest is None or not (newest[1] or newest[0] // DAY == now // DAY):  # neither settled nor learnt today
            rho, settled = learnt(connection, series, drift, hours, now)
            store.save_correlation(connection, series.id, hours, now, rho, settled=settled)


def hours_of(seconds: float) -> int:
    """Whole hours of a window, at least one: the store keeps hours.

    >>> hours_of(1800.0), hours_of(3601.0)
    (1, 2)
    """
    return max(math.ceil(seconds / HOUR), 1)


def learnt(
    connection: sqlite3.Connection, series: Series, drift: DriftConfig, hours: int, now: float
) -> tuple[Floats, bool]:
    """Correlations by column, shape (columns, 3), and whether they are settled: the first weeks are over.

    Nothing is learnt from quiet days.
    """
    schema, seconds = series.schema, hours * HOUR
    begin = math.floor(min(first_start(connection, series.id), now) / HOUR) * HOUR
    windows = max(DAYS * DAY // seconds, FEWEST_WINDOWS)
    count = min(windows, math.floor((now - begin) / seconds), max(MOST_COUNTS // schema.size, FEWEST_WINDOWS))
    rho = np.zeros((len(schema.columns), 3))
    if count >= FEWEST_WINDOWS:
        stored = read_timeline(connection, series, begin, begin + count * seconds, longest=HOUR)
        loud = np.ones(len(stored.starts), dtype=np.bool_)
        for start, end in drift.quiet:
            loud &= (stored.starts < start) | (stored.starts >= end)
        counts = np.zeros((count, schema.size), dtype=np.int64)
        np.add.at(counts, (stored.starts[loud] - begin) // seconds, stored.counts[loud])
        for position, column in enumerate(schema.columns):
            part = counts[:, schema.offsets[position] : schema.offsets[position + 1]]
            rho[position] = correlations(cells_of(column), part)
    return rho, now - begin >= windows * seconds


def in_the_past(
    connection: sqlite3.Connection, series: Series, drift: DriftConfig, rule: Rule, times: Floats, spans: Sequence[Span]
) -> Floats | None:
    """Correlations that were in force at each of some evaluations, shape (T, columns, 3); None if none is needed.

    If nothing was ever learnt, as of a history that no server has judged, those of its first weeks hold for all.
    """
    if rule.independent or not len(times):
        return None
    known: dict[tuple[int, float], Floats] = {}
    changes = store.correlation_changes(connection, series.id)
    if not changes:
        rho, _ = learnt(connection, series, drift, hours_of(rule.window), float(times[-1]))
        return np.broadcast_to(rho, (len(times), *rho.shape))
    out = np.zeros((len(times), len(series.schema.columns), 3))
    since = np.searchsorted(changes, times, side="right").tolist()
    for place, (at, span, before) in enumerate(zip(times.tolist(), spans, since, strict=True)):
        key = (before, span.end - span.start)
        if key not in known:
            stored = store.in_force(connection, series.id, key[1], at)
            known[key] = out[place] if stored is None else stored
        out[place] = known[key]
    return out


def correlations(cells: Cells, counts: Counts) -> Floats:
    """Correlation of the rows of a window, shape (3,): of the column's shape, of missing, of unseen or out of range.

    `counts`: shape (W, bins), of consecutive windows of one length. 0 if there are fewer than 10 of them, or if
    they scatter no more than independent rows may. Rows that are just out of range come together as those just inside
    do: where hardly any were yet, that of the shape counts.
    """
    shares, rows = cells.shares(counts)
    level, total = cells.shares(counts.sum(axis=0))
    rows, total = cells.spread(rows), cells.spread(total)
    groups = [cells.is_bulk, *(~cells.is_bulk & np.isin(cells.names, names) for names in TAILS)]
    facts = shares, level, rows, total
    rho = np.array([_correlation(*(of_cells[..., group] for of_cells in facts)) for group in groups])
    if cells.columns[0].numeric and (level * total)[groups[-1]].sum() < FEWEST_ROWS:
        rho[-1] = rho[0]
    return rho


def _correlation(shares: Floats, level: Floats, rows: Floats, total: Floats) -> float:
    """Estimate by moments over windows and cells. `shares`, `rows`: shape (W, cells); `level`, `total`: (cells,)."""
    enough = (rows >= FEWEST_ROWS).all(axis=1)
    if not shares.shape[1] or enough.sum() < FEWEST_WINDOWS:
        return 0.0
    shares, rows, variance, time = shares[enough], rows[enough], level * (1 - level), np.flatnonzero(enough)[:, None]
    time = time - (rows * time).sum(axis=0) / rows.sum(axis=0)
    slope = (rows * time * (shares - level)).sum(axis=0) / (rows * time**2).sum(axis=0)
    by_chance = variance * (1 / rows - 2 / total)  # level and slope are fitted to these windows
    if_all_alike = (variance * (1 - 1 / rows)).sum()  # the rest of the scatter, if rho were 1
    if if_all_alike <= 0:
        return 0.0
    rho = float(((shares - level - slope * time) ** 2 - by_chance).sum() / if_all_alike)
    # Cells of one window move together: as many squares as windows.
    error = float(np.sqrt(2 * (1 / rows[:, 0] ** 2).sum())) / len(rows)
    return min(rho, 1.0) if rho > CHANCE * error else 0.0
