"""What verdicts on performance rest on: the sums of their windows, which go on changing where they came from."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict

from monitor.clock import iso
from monitor.drift.result import Span
from monitor.outcomes.verdict import Asked
from monitor.series import Series
from monitor.store.audit import seals


def save_judged(
    connection: sqlite3.Connection, at: float, series: Series, rule: str, window: Span, asked: Asked, rests: str
) -> None:
    """Store what the verdicts of one evaluation rest on, `rests` as JSON; `drift` has the verdicts."""
    row = (iso(at), series.id, rule, iso(window.start), iso(window.end), json.dumps(asdict(asked)), rests)
    with seals.appended(connection, "performance_judged"):
        connection.execute(
            "INSERT INTO performance_judged (at, series_id, rule, window_start, window_end, asked, sums) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )


def read_judged(connection: sqlite3.Connection, at: str, rule: str) -> tuple[int, Asked, str] | None:
    """Series id, question and JSON that the verdicts of a rule at a moment rest on; None if there is none."""
    row = connection.execute(
        "SELECT series_id, asked, sums FROM performance_judged WHERE at = ? AND rule = ?", (at, rule)
    ).fetchone()
    if row is None:
        return None
    asked = json.loads(row[1])
    return row[0], Asked(**{**asked, "metrics": tuple(asked["metrics"])}), row[2]
