"""The process's own counters and gauges, as lines of text."""

from __future__ import annotations

from itertools import accumulate

from monitor import __version__
from monitor.columns.column import go_number
from monitor.exposition import families as f
from monitor.exposition.snapshot import Latency, Snapshot
from monitor.exposition.template import Form, Labels


def health_form(snapshot: Snapshot, series_dropped: int, always: Labels, openmetrics: bool) -> Form:
    """Write everything about the process: a few dozen series, written anew for every scrape."""
    form, health, label = Form(), snapshot.health, always
    single: tuple[tuple[f.Family, float | None], ...] = (
        (f.PREDICTIONS, snapshot.predictions),
        (f.COUNTING_SINCE, snapshot.since),
        (f.MODEL_ERRORS, health.model_errors),
        (f.CAPTURE_DROPPED, health.dropped),
        (f.GAPS, health.gaps),
        (f.FOLD_LAG, health.fold_lag),
        (f.JOURNAL_BYTES, health.journal_bytes),
        (f.DATABASE_BYTES, health.database_bytes),
        (f.EVALUATIONS, health.evaluations),
        (f.EVALUATION_LATE, health.late),
        (f.EVALUATION_TIME, health.evaluated),
        (f.EVALUATION_EVERY, health.every),
        (f.WAITING, health.waiting),
        (f.DEAD_LETTERS, health.dead_letters),
        (f.SERIES_DROPPED, series_dropped),
    )
    for family, value in single:
        form.begin(family, openmetrics)
        if value is not None:
            form.fixed(family.name, label, value)
    _latency(form, health.latency, label, openmetrics)
    form.begin(f.REJECTED, openmetrics)
    for code, count in sorted(health.rejected.items()):
        form.fixed(f.REJECTED.name, {**label, "code": code}, count)
    form.begin(f.NOTIFICATIONS, openmetrics)
    for (receiver, outcome), count in sorted(health.notifications.items()):
        form.fixed(f.NOTIFICATIONS.name, {**label, "receiver": receiver, "outcome": outcome}, count)
    form.begin(f.BUILD_INFO, openmetrics)
    form.fixed(f.BUILD_INFO.name, {**label, "version": __version__}, 1.0)
    return form.freeze()


def _latency(form: Form, latency: Latency, label: Labels, openmetrics: bool) -> None:
    name = f.PREDICTION_SECONDS.name
    form.begin(f.PREDICTION_SECONDS, openmetrics)
    below = list(accumulate(latency.counts))
    for bound, count in zip((*map(go_number, latency.bounds), "+Inf"), below, strict=True):
        form.fixed(f"{name}_bucket", {**label, "le": bound}, count)
    form.fixed(f"{name}_count", label, below[-1])
    form.fixed(f"{name}_sum", label, latency.sum)
