"""Verdicts in the database: one row per evaluation, rule, column and statistic.

Functions of a connection; the caller owns the transaction. Which bins contributed is not kept: it can be worked out
again from the windows, which are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from monitor.clock import from_iso, iso
from monitor.columns.column import Role
from monitor.drift.result import NOTHING, Direction, DriftResult, Span, StoredExplanation
from monitor.store.audit import seals

if TYPE_CHECKING:
    from monitor.drift.evaluate import Question


@dataclass(frozen=True, slots=True)
class Verdict:
    """A stored result. `at`: when it was worked out, in seconds since 1970 UTC.

    Of the result's `direction` only the text is kept, and none of its `contributions`.
    """

    at: float
    result: DriftResult


def enter_questions(connection: sqlite3.Connection, series_id: int, questions: Iterable[Question]) -> dict[str, int]:
    """Find what rules ask, or enter it: `questions.id` by the rule's name. It changes when the configuration does."""
    ids = {}
    for question in questions:
        asked = json.dumps(
            {
                "statistic": question.statistic,
                "alpha": question.alpha,
                "floor": question.floor,
                "min_samples": question.min_samples,
                "columns": list(question.columns),
                "auto": question.auto,
                **({"independent": True} if question.independent else {}),
                **({"usual": question.usual._asdict()} if question.usual else {}),
            },
            separators=(",", ":"),
        )
        row = (series_id, question.name, asked)
        with seals.appended(connection, "questions"):
            connection.execute("INSERT OR IGNORE INTO questions (series_id, rule, asked) VALUES (?, ?, ?)", row)
        found = connection.execute("SELECT id FROM questions WHERE (series_id, rule, asked) = (?, ?, ?)", row)
        ids[question.name] = found.fetchone()[0]
    return ids


def read_question(connection: sqlite3.Connection, question_id: int) -> tuple[int, Question]:
    """The id of the model and what it was asked. Raises KeyError for an unknown id."""
    from monitor.drift.evaluate import Question, Terms  # it loads scipy; commands that only read need not wait

    row = connection.execute("SELECT series_id, rule, asked FROM questions WHERE id = ?", (question_id,)).fetchone()
    if row is None:
        raise KeyError(question_id)
    asked = json.loads(row[2])
    numeric, categorical = asked["auto"]
    terms = asked.get("usual")
    return row[0], Question(
        row[1],
        tuple(asked["columns"]),
        asked["statistic"],
        asked["alpha"],
        asked["floor"],
        asked["min_samples"],
        (tuple(numeric), tuple(categorical)),
        terms and Terms(terms["alerts"], tuple(terms["lengths"]), terms["timezone"], tuple(map(tuple, terms["quiet"]))),
        asked.get("independent", False),
    )


def save_results(
    connection: sqlite3.Connection,
    at: float,
    results: Sequence[DriftResult],
    questions: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Store what one evaluation answered.

    With `questions`, ids by rule (see `enter_questions`), the verdicts can be worked out again from the store; which
    windows there were is noted as the highest id.
    """
    moment = iso(at)
    bounds = {window: (iso(window.start), iso(window.end)) for window in {r.window for r in results}}
    seen = connection.execute("SELECT max(id) FROM windows").fetchone()[0]
    with seals.appended(connection, "drift"):
        connection.executemany(
            'INSERT INTO drift (at, rule, model, series, "column", role, kind, statistic, value, critical, floor, '
            "p_value, n, m, state, direction, window_start, window_end, reference, model_version, reason, question_id, "
            "seen) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    moment,
                    r.rule,
                    r.model,
                    r.series,
                    r.column,
                    r.role,
                    r.kind,
                    r.statistic,
                    r.value,
                    r.critical,
                    r.floor,
                    r.p_value,
                    r.n,
                    r.m,
                    r.state,
                    moved.text if (moved := r.direction) else None,
                    *bounds[r.window],
                    r.reference,
                    r.model_version,
                    r.reason,
                    questions.get(r.rule),
                    seen,
                )
                for r in results
            ),
        )


def judged_version(connection: sqlite3.Connection, model: str) -> str:
    """The version of a model that the newest verdict on it is about; empty if there is none."""
    sql = "SELECT model_version FROM drift WHERE model = ? ORDER BY id DESC LIMIT 1"
    row = connection.execute(sql, (model,)).fetchone()
    return str(row["model_version"]) if row else ""


def latest_results(connection: sqlite3.Connection, version: str, within: float = 6.5 * 3600.0) -> list[Verdict]:
    """The latest verdict of each statistic and alert key of a model version, in the order in which they were stored.

    `within`: seconds before the newest verdict; what was last judged longer ago belongs to rules and columns that are
    gone, and looking for it would mean reading the whole history.
    """
    newest = connection.execute(
        "SELECT at FROM drift WHERE model_version = ? ORDER BY id DESC LIMIT 1", (version,)
    ).fetchone()
    if newest is None:
        return []
    return _read(
        connection.execute(
            "SELECT * FROM drift WHERE id IN ("
            "  SELECT max(id) FROM drift WHERE at BETWEEN ? AND ? AND model_version = ?"
            '  GROUP BY rule, model, series, role, "column", statistic'
            ") ORDER BY id",
            (iso(from_iso(newest["at"]) - within), newest["at"], version),
        )
    )


def history(
    connection: sqlite3.Connection,
    column: str,
    start: float,
    end: float,
    role: Role | None = None,
    rule: str | None = None,
    statistic: str | None = None,
) -> list[Verdict]:
    """Verdicts on one column that were worked out in [start, end), in order."""
    found = connection.execute(
        # A text with milliseconds sorts before the same second without: compare widely here, exactly below.
        'SELECT * FROM drift WHERE at >= :start AND at <= :end AND "column" = :column '
        "AND (:role IS NULL OR role = :role) AND (:rule IS NULL OR rule = :rule) "
        "AND (:statistic IS NULL OR statistic = :statistic) ORDER BY id",
        {
            "start": iso(start - 1),
            "end": iso(end + 1),
            "column": column,
            "role": role,
            "rule": rule,
            "statistic": statistic,
        },
    )
    return [verdict for verdict in _read(found) if start <= verdict.at < end]


def evaluations(connection: sqlite3.Connection, start: float, end: float) -> list[tuple[float, list[DriftResult]]]:
    """All verdicts that were worked out in [start, end), one entry per evaluation: what `backtest` reads."""
    found = connection.execute(
        "SELECT * FROM drift WHERE at >= ? AND at <= ? ORDER BY id", (iso(start - 1), iso(end + 1))
    )
    out: list[tuple[float, list[DriftResult]]] = []
    for verdict in _read(found):
        if start <= verdict.at < end:
            if not out or out[-1][0] != verdict.at:
                out.append((verdict.at, []))
            out[-1][1].append(verdict.result)
    return out


def _read(rows: Iterable[sqlite3.Row]) -> list[Verdict]:
    return [
        Verdict(
            from_iso(row["at"]),
            DriftResult(
                row["rule"],
                row["column"],
                row["role"],
                row["kind"],
                row["statistic"],
                row["state"],
                Span(from_iso(row["window_start"]), from_iso(row["window_end"])),
                row["reference"],
                row["model_version"],
                row["n"],
                row["m"],
                row["value"],
                row["critical"],
                row["floor"],
                row["p_value"],
                row["reason"],
                NOTHING if row["direction"] is None else StoredExplanation(Direction(row["direction"])),
                row["model"],
                row["series"],
            ),
        )
        for row in rows
    ]
