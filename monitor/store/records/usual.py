"""What was learnt of a series: scatter of usual windows by day, largest distances by week, how alike rows are.

`usual_learned` and `window_correlation` are only ever added to, so a verdict can be worked out again by what was known
at that time; a row of `usual_weeks` is renewed until its week is over. Functions of a connection; the caller owns the
transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from monitor.clock import WEEK, from_iso, iso
from monitor.columns.column import Floats
from monitor.drift.result import Subject
from monitor.store.audit import seals
from monitor.store.records.rows import append, insert

#: How far learning is, in words; empty once it is done: a key of `meta`.
LEARNING = "learning"

#: Lengths of the windows that were proposed, in hours, as JSON: a key of `meta`. They are kept over restarts.
WINDOWS = "usual_windows"

#: Weeks that are kept: those that make the limits, and as many for verdicts that are worked out again.
KEPT_WEEKS = 52

#: Weeks over which the messages are counted, and how many must have been judged.
WEEKS_COUNTED, FEWEST_COUNTED = 26, 4


class LearnedRow(NamedTuple):
    """One column and window length on one day, from midnight UTC. `scatter`: variance of each cell's share."""

    position: int
    hours: int
    day: float
    predictor: int
    scatter: Floats


class WeekRow(NamedTuple):
    """The largest distances of one week, in units of the scatter, of bulk and of each tail cell; -1: not judged."""

    position: int
    hours: int
    week: int
    worst: Floats


def save(
    connection: sqlite3.Connection, series_id: int, learned: Iterable[LearnedRow], weeks: Sequence[WeekRow]
) -> None:
    """Store what was learnt, and renew weeks."""
    of = {"series_id": series_id}
    days = [
        {**of, **row._asdict(), "day": iso(row.day), "scatter": json.dumps(row.scatter.tolist())} for row in learned
    ]
    append(connection, "usual_learned", days)
    if not weeks:
        return
    numbers = [row.week for row in weeks]
    first, oldest = min(numbers), max(numbers) - KEPT_WEEKS
    # Only weeks that change are sealed again: there may be thousands of rows of others.
    with seals.changing(
        connection, "usual_weeks", "series_id = ? AND (week >= ? OR week < ?)", series_id, first, oldest
    ):
        renewed = [{**of, **row._asdict(), "worst": json.dumps(row.worst.tolist())} for row in weeks]
        insert(connection, "usual_weeks", renewed, "INSERT OR REPLACE")
        connection.execute("DELETE FROM usual_weeks WHERE series_id = ? AND week < ?", (series_id, oldest))


def load_learned(connection: sqlite3.Connection, series_id: int, upto: float | None = None) -> list[LearnedRow]:
    """Read the newest row of each column and window length; `upto`: those in force at that moment."""
    rows = connection.execute(
        "SELECT position, hours, max(day) AS day, predictor, scatter FROM usual_learned "
        "WHERE series_id = ? AND (? IS NULL OR day <= ?) GROUP BY position, hours",
        (series_id, upto, None if upto is None else iso(upto)),
    )
    return [LearnedRow(row[0], row[1], from_iso(row[2]), row[3], np.array(json.loads(row[4]))) for row in rows]


def load_weeks(connection: sqlite3.Connection, series_id: int) -> list[WeekRow]:
    """Read all weeks of a series, in order."""
    rows = connection.execute(
        "SELECT position, hours, week, worst FROM usual_weeks WHERE series_id = ? ORDER BY week", (series_id,)
    )
    return [WeekRow(row[0], row[1], row[2], np.array(json.loads(row[3]))) for row in rows]


def spent(connection: sqlite3.Connection, of: Subject, now: float) -> str:
    """Say how many messages a month unusual windows made of a model, over what was judged of 26 weeks.

    What began at one evaluation is one message. Empty until four weeks were judged.
    """
    which = "JOIN series s ON s.id = u.series_id WHERE (s.model, s.version) = (?, ?)"
    row = connection.execute(f"SELECT min(u.day) FROM usual_learned u {which}", of[:2]).fetchone()  # noqa: S608
    if row[0] is None:
        return ""
    since = max(from_iso(row[0]), now - WEEKS_COUNTED * WEEK)
    weeks = round((now - since) / WEEK)
    if weeks < FEWEST_COUNTED:
        return ""
    (sent,) = connection.execute(
        "SELECT count(DISTINCT began) FROM (SELECT min(at) AS began FROM alert_events WHERE model = ? "
        "AND after = 'firing' AND statistic LIKE 'usual %' GROUP BY event_id) WHERE began >= ?",
        (of.model, iso(since)),
    ).fetchone()
    return f"{sent / weeks * 365.25 / 12 / 7:.1f} messages a month over the last {weeks} weeks"


def save_correlation(
    connection: sqlite3.Connection, series_id: int, hours: int, at: float, rho: Floats, *, settled: bool
) -> None:
    """Store what holds from `at` on. `rho`: shape (columns, 3). `settled`: nothing more will be learnt."""
    row = {"series_id": series_id, "hours": hours, "at": iso(at), "settled": settled, "rho": json.dumps(rho.tolist())}
    append(connection, "window_correlation", [row])


def newest_correlation(
    connection: sqlite3.Connection, series_id: int, hours: int, at: float
) -> tuple[float, bool] | None:
    """When it was last learnt for a window length up to `at`, and whether that was settled; None if never."""
    row = connection.execute(
        "SELECT at, settled FROM window_correlation WHERE series_id = ? AND hours = ? AND at <= ? "
        "ORDER BY at DESC, id DESC LIMIT 1",
        (series_id, hours, iso(at)),
    ).fetchone()
    return None if row is None else (from_iso(row[0]), bool(row[1]))


def in_force(connection: sqlite3.Connection, series_id: int, seconds: float, at: float) -> Floats | None:
    """Correlation for a window of `seconds` seconds that is judged at `at`, shape (columns, 3); None: nothing is known.

    That of the longest windows that are no longer, or else of the shortest: rows of shorter windows are more alike.
    """
    row = connection.execute(
        "SELECT rho FROM window_correlation WHERE series_id = ? AND at <= ? "
        "ORDER BY hours * 3600 - 3599 > ?, abs(hours * 3600 - ?), at DESC, id DESC LIMIT 1",
        (series_id, iso(at), seconds, seconds),
    ).fetchone()
    return None if row is None else np.array(json.loads(row[0]), dtype=np.float64).reshape(-1, 3)


def correlation_changes(connection: sqlite3.Connection, series_id: int) -> list[float]:
    """When something was learnt, in order."""
    rows = connection.execute("SELECT at FROM window_correlation WHERE series_id = ?", (series_id,))
    return sorted(from_iso(row[0]) for row in rows)
