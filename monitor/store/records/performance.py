"""The sums that a verdict on performance was given from, kept because the live sums change later."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict

import numpy as np

from monitor.clock import from_iso, iso
from monitor.drift.result import DriftResult, Span
from monitor.outcomes.performance import ESTIMATED
from monitor.outcomes.results import holdout_name, judge_estimated, judge_outcomes, layout_of
from monitor.outcomes.sums import Sums
from monitor.outcomes.verdict import Asked
from monitor.series import Series
from monitor.store.records.rows import append, ends_of


def save_judged(
    connection: sqlite3.Connection, at: float, series: Series, rule: str, window: Span, asked: Asked, rests: str
) -> None:
    """Store what the verdicts of one evaluation rest on, `rests` as JSON; `drift` has the verdicts."""
    first, last = ends_of(window)
    row = {"at": iso(at), "series_id": series.id, "rule": rule, "window_start": first, "window_end": last}
    append(connection, "performance_judged", [{**row, "asked": json.dumps(asdict(asked)), "sums": rests}])


def read_judged(
    connection: sqlite3.Connection, model: str, rule: str, until: str, since: str = ""
) -> tuple[int, Span, Asked, str] | None:
    """Series id, window, question and JSON that the last verdicts of a rule on a model rest on; None if there is none.

    `until`: when they were given, at the latest; `since`: at the earliest, by default then as well.
    """
    row = connection.execute(
        "SELECT series_id, window_start, window_end, asked, sums FROM performance_judged "
        "WHERE at BETWEEN ? AND ? AND rule = ? AND series_id IN (SELECT id FROM series WHERE model = ?) "
        "ORDER BY at DESC LIMIT 1",
        (since or until, until, rule, model),
    ).fetchone()
    if row is None:
        return None
    asked = json.loads(row[3])
    window = Span(from_iso(row[1]), from_iso(row[2]))
    return row[0], window, Asked(**{**asked, "metrics": tuple(asked["metrics"])}), row[4]


def judge_again(series: Series, rule: str, window: Span, asked: Asked, rests: str) -> tuple[DriftResult, ...]:
    """Judge once more what a verdict on performance rests on; nothing if the reference has no held-out rows."""
    reference = series.reference
    if reference.baseline is None:
        return ()
    baseline, name, about = reference.baseline, holdout_name(reference.identity), (rule, window, series.subject)
    if asked.metrics[0].startswith(ESTIMATED):
        return judge_estimated(baseline, name, series.schema, asked, np.array(json.loads(rests)), *about)
    total = Sums.from_json(reference.target, rests)
    return judge_outcomes(baseline, name, layout_of(reference.target), asked, total, *about)
