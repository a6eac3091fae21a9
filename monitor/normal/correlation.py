"""How alike the rows of one window are: the correlation that makes n rows say as much as fewer independent ones.

Rows of an hour share its time of day, its campaign, its customer. So shares of windows scatter about their own level by
more than the v / n of independent rows, v = p (1 - p): by v (1 / n + rho (1 - 1 / n)). rho is estimated by moments, as
in Williams (1982), and n rows count as n / (1 + (n - 1) rho). The level is a line over time: a column that moves slowly
and steadily does differ from training, and its own way must not hide that.
"""

from __future__ import annotations

import numpy as np

from monitor.columns.column import Counts, Floats
from monitor.normal.cells import Cells
from monitor.normal.expected import FEWEST_ROWS
from monitor.normal.usual import FEWEST_WINDOWS

#: Tail cells that go together: those of the statistic `missing`, and those of `other`.
TAILS = (("missing", "nonfinite"), ("below", "above", "other"))
#: An estimate that chance makes of independent rows counts as none: so many standard errors.
CHANCE = 2.0


def correlations(cells: Cells, counts: Counts) -> Floats:
    """Correlation of the rows of a window, shape (3,): of the column's shape, of missing, of unseen or out of range.

    `counts`: shape (W, bins), of consecutive windows of one length. 0 if there are fewer than 10 of them, or if
    they scatter no more than independent rows may.
    """
    shares, pair = cells.shares(counts)
    own, totals = cells.shares(counts.sum(axis=0))
    rows, total = cells.spread(pair), cells.spread(totals)
    groups = [cells.is_bulk, *(~cells.is_bulk & np.isin(cells.names, names) for names in TAILS)]
    return np.array([_correlation(*(one[..., group] for one in (shares, own, rows, total))) for group in groups])


def _correlation(shares: Floats, own: Floats, rows: Floats, total: Floats) -> float:
    """Estimate by moments over windows and cells. `shares`, `rows`: shape (W, cells); `own`, `total`: (cells,)."""
    enough = (rows >= FEWEST_ROWS).all(axis=1)
    if not shares.shape[1] or enough.sum() < FEWEST_WINDOWS:
        return 0.0
    shares, rows, variance = shares[enough], rows[enough], own * (1 - own)
    place = np.flatnonzero(enough)[:, None] - (rows * np.flatnonzero(enough)[:, None]).sum(axis=0) / rows.sum(axis=0)
    slope = (rows * place * (shares - own)).sum(axis=0) / (rows * place**2).sum(axis=0)
    by_chance = variance * (1 / rows - 2 / total)  # level and slope are the windows' own
    whole = (variance * (1 - 1 / rows)).sum()
    if whole <= 0:
        return 0.0
    found = float(((shares - own - slope * place) ** 2 - by_chance).sum() / whole)
    # Cells of one window move together: as many squares as windows.
    error = float(np.sqrt(2 * (1 / rows[:, 0] ** 2).sum())) / len(rows)
    return min(found, 1.0) if found > CHANCE * error else 0.0
