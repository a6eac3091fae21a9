"""`/metrics`: a snapshot in the Prometheus text format or in OpenMetrics.

All that does not change is written once, when the renderer is made; what changes with an evaluation is kept until the
next one; a scrape only fills in counts. Nothing here takes a lock, so no prediction ever waits for a scrape.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from monitor.columns.column import Column, Schema
from monitor.drift.result import AlertKey, DriftResult
from monitor.exposition.boxkite import boxkite_form, boxkite_series, late_bins
from monitor.exposition.distributions import LiveValues, bin_edges, live_form, reference_form
from monitor.exposition.families import MODEL_VERSION, REPLICA
from monitor.exposition.health import health_form
from monitor.exposition.snapshot import Snapshot
from monitor.exposition.template import Form
from monitor.exposition.verdicts import IN_PROMQL, choose, constants_form, verdict_form, verdict_series
from monitor.reference.file import Reference
from monitor.rules.alert import Alert

#: Series kept free for the process's own families, which are never left out.
RESERVED = 200
#: Series of the whole model among those of its columns: default floors, quantile, fewest rows, facts of the reference.
GENERAL = len(IN_PROMQL) + 3

_Alerts = Mapping[AlertKey, Alert]
_Marks = npt.NDArray[np.bool_]


class Renderer:
    """Renders snapshots of one model.

    `model_version` becomes a label of every family. `boxkite` adds Boxkite's names. `max_series` caps the output: whole
    columns beyond it are left out, the last features first, and `telltale_series_dropped` says how many series.
    `alpha` and `min_samples` are the default rule's, for verdicts in PromQL. `replica` names the data folder: two
    processes that swap their network addresses must not be taken for one whose counters jump.
    """

    def __init__(
        self,
        schema: Schema,
        reference: Reference,
        model_version: str,
        *,
        boxkite: bool = False,
        max_series: int = 200_000,
        alpha: float = 0.00015,
        min_samples: int = 50,
        replica: str = "",
    ) -> None:
        if reference.schema.fingerprint != schema.fingerprint:
            raise ValueError("the reference has other columns or bins than the schema")
        self._always = {MODEL_VERSION: model_version, **({REPLICA: replica} if replica else {})}
        self._reference, self._boxkite = reference, boxkite
        self._kept, self._static_dropped = choose_columns(schema, max_series - RESERVED - GENERAL, boxkite)
        self._kept_names = frozenset((schema.columns[i].name, schema.columns[i].role) for i in self._kept)
        self._values = LiveValues(schema)
        self._static: dict[bool, bytes] = {}
        fixed = 0
        unsummed = np.zeros(len(schema.columns), dtype=np.bool_)
        self._late = late_bins(reference) if boxkite else np.zeros(schema.size, dtype=np.bool_)
        self._live = {
            openmetrics: (unsummed, ~self._late, self._live_forms(unsummed, ~self._late, openmetrics))
            for openmetrics in (False, True)
        }
        for openmetrics in (False, True):
            static = [
                reference_form(reference, self._kept, self._always, openmetrics),
                constants_form(reference, self._kept, alpha, min_samples, self._always, openmetrics),
            ]
            self._static[openmetrics] = b"".join(form.fill() for form in static)
            fixed = max(fixed, sum(form.series for form in (*self._live[openmetrics][2], *static)))
        self._budget = max(0, max_series - RESERVED - fixed - 2 * int(self._late.sum()))
        self._verdicts: dict[bool, tuple[tuple[DriftResult, ...], _Alerts, bytes, int]] = {}

    def render(self, snapshot: Snapshot, openmetrics: bool) -> bytes:
        """Return the whole body. Any thread may call this at any time."""
        verdicts, dropped = self._rendered_verdicts(snapshot, openmetrics)
        health = health_form(snapshot, self._static_dropped + dropped, self._always, openmetrics)
        values = self._values.values(snapshot)
        live = [form.fill(values) for form in self._current_forms(snapshot, openmetrics)]
        pieces = [health.fill(), verdicts, *live, self._static[openmetrics], b"# EOF\n" if openmetrics else b""]
        return b"".join(pieces)

    def _live_forms(self, unsummed: _Marks, shown: _Marks, openmetrics: bool) -> list[Form]:
        """What the counts are filled into, without sums for the columns that `unsummed` marks (OpenMetrics only).

        `shown`: which bins have a name in Boxkite's families.
        """
        sums = np.where(unsummed, -1.0, 0.0)
        forms = [live_form(self._values, self._kept, sums, self._always, openmetrics)]
        if self._boxkite:
            forms.append(boxkite_form(self._reference, self._kept, sums, shown, self._always, openmetrics))
        return forms

    def _current_forms(self, snapshot: Snapshot, openmetrics: bool) -> list[Form]:
        """The forms for this snapshot.

        A column whose sum was negative once is without one from then on; a bin that has counted something stays.
        """
        unsummed, shown, forms = self._live[openmetrics]
        negative = (snapshot.sums < 0) & ~unsummed & openmetrics
        counted = (snapshot.totals > 0) & ~shown
        if negative.any() or counted.any():
            unsummed, shown = unsummed | negative, shown | counted
            forms = self._live_forms(unsummed, shown, openmetrics)
            self._live[openmetrics] = (unsummed, shown, forms)
        return forms

    def _rendered_verdicts(self, snapshot: Snapshot, openmetrics: bool) -> tuple[bytes, int]:
        """What the last evaluation said, written once.

        `results` and `alerts` are immutable, so the same objects say the same. Two threads may both write it; either
        result is right.
        """
        held = self._verdicts.get(openmetrics)
        if held is not None and held[0] is snapshot.results and held[1] is snapshot.alerts:
            return held[2], held[3]
        results, alerts, dropped = choose(snapshot.results, snapshot.alerts.values(), self._kept_names, self._budget)
        text = verdict_form(results, alerts, self._always, openmetrics).fill()
        self._verdicts[openmetrics] = (snapshot.results, snapshot.alerts, text, dropped)
        return text, dropped


def series_of(column: Column, boxkite: bool) -> int:
    """Series that a column takes without its verdicts."""
    shown = 2 * column.value_bins + 2 + 1 + 4  # both sides, missing, info, constants
    if column.numeric:
        shown += 4 + 2 + len(bin_edges(column)) + 2  # sums and counts, nonfinite, edges, deviation and ks
    return shown + (boxkite_series(column) if boxkite else 0)


def choose_columns(schema: Schema, budget: int, boxkite: bool) -> tuple[list[int], int]:
    """Positions of the columns that fit, and the number of series of those that do not.

    Predictions come first: what the model answers is what people look at. Room is kept for their verdicts.
    """
    order = sorted(range(len(schema.columns)), key=lambda i: (schema.columns[i].role != "prediction", i))
    kept, dropped = [], 0
    for i in order:
        cost, verdicts = series_of(schema.columns[i], boxkite), verdict_series(schema.columns[i])
        if dropped == 0 and cost + verdicts <= budget:
            kept.append(i)
            budget -= cost + verdicts
        else:
            dropped += cost
    return sorted(kept), dropped
