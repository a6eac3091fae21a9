"""The table of drift statistics: what each is called, what it is for, and from which value on it matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from monitor.columns.column import Kind
from monitor.drift import contingency, cumulative, divergence
from monitor.drift.layout import Measured, Pair


@dataclass(frozen=True, slots=True)
class Statistic:
    """One line of the table. `measure`: works it out for many columns at once.

    `floor`: the smallest value worth an alert, whatever the sample size; docs/statistics.md says why that one.
    """

    name: str
    kinds: tuple[Kind, ...]
    floor: float
    measure: Callable[[Pair], Measured]


BOTH: tuple[Kind, ...] = ("numeric", "categorical")
NUMERIC: tuple[Kind, ...] = ("numeric",)
CATEGORICAL: tuple[Kind, ...] = ("categorical",)

_LINES = (
    Statistic("ks", NUMERIC, 0.08, cumulative.ks),
    Statistic("kl", BOTH, 0.05, divergence.kl),
    Statistic("psi", BOTH, 0.1, divergence.psi),
    Statistic("js", BOTH, 0.13, divergence.js),
    Statistic("wasserstein", NUMERIC, 0.2, cumulative.wasserstein),
    Statistic("chi2", CATEGORICAL, 0.1, contingency.chi2),
    Statistic("missing", BOTH, 0.03, contingency.missing),
    Statistic("other", BOTH, contingency.OTHER_FLOOR, contingency.other),
)

#: All statistics by name.
STATISTICS: dict[str, Statistic] = {line.name: line for line in _LINES}

#: What `auto` measures for each kind of column, and whether values went missing. `ks` sees any change of shape;
#: `wasserstein` sees a column that moves, or grows a tail, with a third of the rows fewer.
AUTO: dict[Kind, tuple[str, ...]] = {
    "numeric": ("ks", "wasserstein", "missing", "other"),
    "categorical": ("kl", "missing", "other"),
}
