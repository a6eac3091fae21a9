"""`/metrics`: a snapshot in the Prometheus text format or in OpenMetrics.

All that does not change is written once, when the renderer is made; what changes with an evaluation is kept until the
next one; a scrape only fills in counts. Nothing here takes a lock, so no prediction ever waits for a scrape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt

from monitor import __version__
from monitor.columns.column import Column, Schema, go_number
from monitor.drift.result import AlertKey, DriftResult
from monitor.drift.statistics import AUTO
from monitor.exposition import families as f
from monitor.exposition.boxkite import late_bins, write_boxkite
from monitor.exposition.distributions import LIVE, LiveValues, bin_edges, write_counts, write_reference
from monitor.exposition.snapshot import Health, Latency, Snapshot
from monitor.exposition.template import Form, Labels
from monitor.exposition.verdicts import (
    ALERT_STATES,
    IN_PROMQL,
    SERIES_PER_RESULT,
    choose,
    write_constants,
    write_performance,
    write_verdicts,
)
from monitor.outcomes.performance import measure
from monitor.reference.file import Reference
from monitor.rules.alert import Alert

#: Series kept free for the process's own families, which are never left out.
RESERVED = 200
#: Series of the whole model among those of its columns: default floors, quantile, fewest rows, facts of the reference.
GENERAL = len(IN_PROMQL) + 3
#: Window lengths that the rule on what is unusual judges by default.
USUAL_LENGTHS = 2

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Live:
    """What the counts are filled into.

    `unsummed`: columns without a sum (OpenMetrics only). `shown`: bins that have a name in Boxkite's families.
    """

    unsummed: Flags
    shown: Flags
    forms: list[Form]


@dataclass(frozen=True)
class _Verdicts:
    """What an evaluation said, as text, and the series left out."""

    results: tuple[DriftResult, ...]
    alerts: Mapping[AlertKey, Alert]
    text: bytes
    dropped: int


class Renderer:
    """Renders snapshots of one model.

    `model` and `model_version` become labels of every family. `boxkite` adds Boxkite's names. `max_series` caps the
    output: whole columns beyond it are left out, the last features first, and `telltale_series_dropped` says how many.
    `alpha` and `min_samples` are the default rule's, for verdicts in PromQL. `replica` names the data folder: two
    processes that swap their network addresses must not be taken for one whose counters jump.
    """

    def __init__(
        self,
        reference: Reference,
        model_version: str,
        *,
        boxkite: bool = False,
        max_series: int = 200_000,
        alpha: float = 0.00015,
        min_samples: int = 50,
        replica: str = "",
        model: str = "",
    ) -> None:
        schema = reference.schema
        given = {f.MODEL: model, f.MODEL_VERSION: model_version, f.REPLICA: replica}
        self._always = {label: text for label, text in given.items() if text}
        self._reference, self._boxkite = reference, boxkite
        self._kept, self._static_dropped = choose_columns(schema, max_series - RESERVED - GENERAL, boxkite)
        self._kept_names = frozenset((schema.columns[i].name, schema.columns[i].role) for i in self._kept)
        #: Metrics on held-out rows.
        self._performance = measure(reference.baseline.sums) if reference.baseline else {}
        self._values = LiveValues(schema)
        self._static: dict[bool, bytes] = {}
        self._live: dict[bool, _Live] = {}
        self._verdicts: dict[bool, _Verdicts] = {}
        fixed = 0
        late = late_bins(reference) if boxkite else np.zeros(schema.size, dtype=np.bool_)
        for openmetrics in (False, True):
            self._live[openmetrics] = self._empty(np.zeros(len(schema.columns), dtype=np.bool_), ~late, openmetrics)
            static = self._reference_form(openmetrics)
            write_reference(static, self._values, reference, self._kept)
            write_constants(static, reference, self._kept, alpha, min_samples)
            self._static[openmetrics] = static.freeze().fill()
            fixed = max(fixed, sum(form.series for form in (*self._live[openmetrics].forms, static)))
        self._budget = max(0, max_series - RESERVED - fixed - 2 * int(late.sum()))

    def render(self, snapshot: Snapshot, openmetrics: bool) -> bytes:
        """Return the whole body. Any thread may call this at any time."""
        process = process_text(snapshot.health, self._always, openmetrics)
        return b"".join([process, *self.parts(snapshot, openmetrics), b"# EOF\n" if openmetrics else b""])

    def parts(self, snapshot: Snapshot, openmetrics: bool) -> list[bytes]:
        """Return all that is about the model, in parts: to join them twice would copy megabytes."""
        verdicts = self._rendered_verdicts(snapshot, openmetrics)
        served = Form(self._always, openmetrics)
        write_serving(served, snapshot, self._static_dropped + verdicts.dropped)
        values = self._values.live(snapshot.totals, snapshot.sums)
        live = [form.fill(values) for form in self._current_forms(snapshot, openmetrics)]
        return [served.freeze().fill(), verdicts.text, *live, self._static[openmetrics]]

    def _reference_form(self, openmetrics: bool) -> Form:
        """An empty form that knows the values of the reference."""
        known = [*self._values.whole(self._reference.counts), *self._reference.sums.tolist()]
        return Form(self._always, openmetrics, known)

    def _empty(self, unsummed: Flags, shown: Flags, openmetrics: bool) -> _Live:
        sums = np.where(unsummed, -1.0, 0.0)
        live = Form(self._always, openmetrics)
        write_counts(live, LIVE, self._values, self._kept, sums)
        forms = [live]
        if self._boxkite:
            boxkite, baseline = Form(self._always, openmetrics), self._reference_form(openmetrics)
            write_boxkite(boxkite, baseline, self._values, self._reference, self._kept, sums, shown)
            forms += [boxkite, baseline]
        return _Live(unsummed, shown, [form.freeze() for form in forms])

    def _current_forms(self, snapshot: Snapshot, openmetrics: bool) -> list[Form]:
        """The forms for this snapshot.

        A column whose sum was negative once is without one from then on; a bin that has counted something stays.
        """
        held = self._live[openmetrics]
        unsummed = held.unsummed | (snapshot.sums < 0) & openmetrics
        shown = held.shown | (snapshot.totals > 0)
        if (unsummed != held.unsummed).any() or (shown != held.shown).any():
            held = self._live[openmetrics] = self._empty(unsummed, shown, openmetrics)
        return held.forms

    def _rendered_verdicts(self, snapshot: Snapshot, openmetrics: bool) -> _Verdicts:
        """What the last evaluation said, written once.

        `results` and `alerts` are immutable, so the same objects say the same. Two threads may both write it; either
        result is right.
        """
        held = self._verdicts.get(openmetrics)
        if held is None or held.results is not snapshot.results or held.alerts is not snapshot.alerts:
            form = Form(self._always, openmetrics)
            dropped = write_performance(form, snapshot.performance, self._performance, self._budget)
            left = max(0, self._budget - form.series)
            results, alerts, more = choose(snapshot.results, snapshot.alerts.values(), self._kept_names, left)
            write_verdicts(form, results, alerts)
            text = form.freeze().fill()
            held = self._verdicts[openmetrics] = _Verdicts(snapshot.results, snapshot.alerts, text, dropped + more)
        return held


def whole(shown: Sequence[tuple[Renderer, Snapshot]], replica: str, openmetrics: bool) -> bytes:
    """Return the body of several models: each family once, with the samples of all of them."""
    bodies = (b"".join(renderer.parts(snapshot, openmetrics)) for renderer, snapshot in shown)
    process = [process_text(snapshot.health, {f.REPLICA: replica}, openmetrics) for _, snapshot in shown[:1]]
    families: dict[bytes, list[bytes]] = {}
    # A line feed in a label is escaped, so a line that begins like this begins a family.
    for family in chain.from_iterable((b"\n" + body).split(b"\n# HELP ")[1:] for body in chain(process, bodies)):
        known = families.setdefault(family.split(b" ", 1)[0], [])
        known.append(family.rstrip(b"\n").split(b"\n", 2)[2] if known else b"# HELP " + family.rstrip(b"\n"))
    lines = list(chain.from_iterable(families.values()))
    return b"\n".join([*lines, *([b"# EOF"] if openmetrics else []), b""])


def write_serving(form: Form, snapshot: Snapshot, series_dropped: int) -> None:
    """Write how the model is served: a few dozen series, written again for every scrape."""
    health = snapshot.health
    own = {f.PREDICTIONS: snapshot.predictions, f.COUNTING_SINCE: snapshot.since, f.SERIES_DROPPED: series_dropped}
    for family, value in {**own, **health.model}.items():
        form.family(family, [({}, value)])
    _histogram(form, f.PREDICTION_SECONDS, health.latency)
    if (outcomes := health.outcomes) is not None:
        form.family(f.OUTCOMES, [({"result": result}, count) for result, count in outcomes.results.items()])
        _histogram(form, f.OUTCOME_DELAY, outcomes.delays)
        form.family(f.OUTCOME_WAITING, [({}, outcomes.waiting)])
        form.family(f.OUTCOME_ONE_IN, [({}, outcomes.one_in)])


def process_text(health: Health, always: Labels, openmetrics: bool) -> bytes:
    """Say how the process is doing."""
    form = Form(always, openmetrics)
    for family, value in health.process.items():
        form.family(family, [({}, value)])
    form.family(f.REJECTED, [({"code": code}, count) for code, count in sorted(health.rejected.items())])
    attempts = sorted(health.notifications.items())
    form.family(f.NOTIFICATIONS, [({"receiver": to, "outcome": outcome}, n) for (to, outcome), n in attempts])
    form.family(f.BUILD_INFO, [({"version": __version__}, 1.0)])
    return form.freeze().fill()


def _histogram(form: Form, family: f.Family, latency: Latency) -> None:
    form.family(family)
    below = list(accumulate(latency.counts))
    for bound, count in zip((*map(go_number, latency.bounds), "+Inf"), below, strict=True):
        form.fixed({"le": bound}, count, "_bucket")
    form.fixed({}, below[-1], "_count")
    form.fixed({}, latency.sum, "_sum")


def cost(column: Column, boxkite: bool) -> tuple[int, int]:
    """Series that a column takes, and those of its verdicts under the two default rules, `drift` and `unusual`."""
    shown = 2 * column.value_bins + 2 + 1 + 4  # both sides, missing, info, constants
    if column.numeric:
        shown += 4 + 2 + len(bin_edges(column)) + 2  # sums and counts, nonfinite, edges, deviation and ks
    if boxkite:
        shown += 2 * (column.value_bins + (2 if column.numeric else 1)) + 1
    results = len(AUTO[column.kind]) + USUAL_LENGTHS
    return shown, results * SERIES_PER_RESULT + 2 * len(ALERT_STATES)


def choose_columns(schema: Schema, budget: int, boxkite: bool) -> tuple[list[int], int]:
    """Positions of the columns that fit, and the number of series of those that do not.

    Predictions come first: what the model answers is what people look at. Room is kept for their verdicts.
    """
    order = sorted(range(len(schema.columns)), key=lambda i: (schema.columns[i].role != "prediction", i))
    costs = np.array([cost(schema.columns[i], boxkite) for i in order])
    fits = np.cumsum(costs.sum(axis=1)) <= budget
    return sorted(np.array(order)[fits].tolist()), int(costs[~fits, 0].sum())
