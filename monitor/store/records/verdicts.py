"""Verdicts in the database: one row per evaluation, rule, column and statistic.

Functions of a connection; the caller owns the transaction. Which bins contributed is not kept: it can be worked out
again from the windows, which are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

from monitor.clock import from_iso, iso
from monitor.drift.result import NOTHING, Direction, DriftResult, Explanation, Span, Subject
from monitor.store.audit import seals
from monitor.store.records.rows import append, quoted
from monitor.store.windows.counts import write_rows
from monitor.store.windows.ranges import newest_window

if TYPE_CHECKING:
    from monitor.drift.evaluate import Question

#: What a question's JSON has of it, besides `independent` and `usual`, which only some have.
_ASKED = ("statistic", "alpha", "floor", "min_samples", "columns", "auto")

#: Fields of a result that are columns of `drift` under the same names.
_SAME = (
    *("rule", "model", "series", "column", "role", "kind", "statistic", "value", "critical", "floor", "p_value"),
    *("scatter", "n", "m", "state", "reference", "model_version", "reason"),
)
_same = attrgetter(*_SAME)
_INSERT = (
    f"INSERT INTO drift ({quoted((*_SAME, 'at', 'direction', 'window_start', 'window_end', 'question_id', 'seen'))})"
)


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
        asked = {name: getattr(question, name) for name in _ASKED}
        if question.independent:
            asked["independent"] = True
        if question.usual:
            asked["usual"] = question.usual._asdict()
        row = {"series_id": series_id, "rule": question.name, "asked": json.dumps(asked, separators=(",", ":"))}
        append(connection, "questions", [row], "INSERT OR IGNORE")
        sql = "SELECT id FROM questions WHERE (series_id, rule, asked) = (?, ?, ?)"
        (ids[question.name],) = connection.execute(sql, tuple(row.values())).fetchone()
    return ids


def read_question(connection: sqlite3.Connection, question_id: int) -> tuple[int, Question]:
    """The id of the model and what it was asked. Raises KeyError for an unknown id."""
    from monitor.drift.evaluate import Question, Terms  # it loads scipy; commands that only read need not wait

    row = connection.execute("SELECT series_id, rule, asked FROM questions WHERE id = ?", (question_id,)).fetchone()
    if row is None:
        raise KeyError(question_id)
    asked = json.loads(row[2])
    numeric, categorical = asked["auto"]
    asked |= {"columns": tuple(asked["columns"]), "auto": (tuple(numeric), tuple(categorical))}
    if terms := asked.get("usual"):
        quiet = tuple(map(tuple, terms["quiet"]))
        asked["usual"] = Terms(**{**terms, "lengths": tuple(terms["lengths"]), "quiet": quiet})
    return row[0], Question(row[1], **asked)


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
    moment, seen, rows = iso(at), newest_window(connection), []
    for window, same in groupby(results, attrgetter("window")):
        ends = iso(window.start), iso(window.end)
        for result in same:
            worded = result.state in ("drift", "warning") or result.role == "outcome"
            direction = moved.text if worded and (moved := result.direction) else None
            rows.append((*_same(result), moment, direction, *ends, questions.get(result.rule), seen))
    with seals.appended(connection, "drift"):
        write_rows(connection, _INSERT, rows)


def results_at(
    connection: sqlite3.Connection, of: Subject, start: float, end: float
) -> tuple[float, list[DriftResult]]:
    """When the last evaluation of a model from `start` to `end` was, 0 if there is none, and its results."""
    place = "at BETWEEN ? AND ? AND model = ?"
    (at,) = connection.execute(
        f"SELECT max(at) FROM drift WHERE {place}",  # noqa: S608 - a constant
        (iso(start), iso(end), of.model),
    ).fetchone()
    rows = connection.execute(f"SELECT * FROM drift WHERE {place} ORDER BY id", (at, at, of.model))  # noqa: S608
    return from_iso(at) if at else 0.0, [verdict_of(row).result for row in rows]


def judged_version(connection: sqlite3.Connection, model: str) -> str:
    """The version of a model that the newest verdict on it is about; empty if there is none."""
    sql = "SELECT model_version FROM drift WHERE model = ? ORDER BY id DESC LIMIT 1"
    row = connection.execute(sql, (model,)).fetchone()
    return str(row["model_version"]) if row else ""


def latest_results(connection: sqlite3.Connection, of: Subject, within: float = 6.5 * 3600.0) -> list[Verdict]:
    """The latest verdict of each statistic and alert key of a model version, in the order in which they were stored.

    `within`: seconds before the newest verdict; what was last judged longer ago belongs to rules and columns that are
    gone, and looking for it would mean reading the whole history.
    """
    newest = connection.execute(
        "SELECT at FROM drift WHERE (model, model_version) = (?, ?) ORDER BY id DESC LIMIT 1", of[:2]
    ).fetchone()
    if newest is None:
        return []
    rows = connection.execute(
        "SELECT * FROM drift WHERE id IN ("
        "  SELECT max(id) FROM drift WHERE at BETWEEN ? AND ? AND (model, model_version) = (?, ?)"
        '  GROUP BY rule, model, series, role, "column", statistic'
        ") ORDER BY id",
        (iso(from_iso(newest["at"]) - within), newest["at"], *of[:2]),
    )
    return [verdict_of(row) for row in rows]


def verdict_of(row: sqlite3.Row) -> Verdict:
    """Read a row of `drift`."""
    text, window = row["direction"], Span(from_iso(row["window_start"]), from_iso(row["window_end"]))
    explanation = NOTHING if text is None else Explanation(Direction(text))
    result = DriftResult(**{name: row[name] for name in _SAME}, window=window, explanation=explanation)
    return Verdict(from_iso(row["at"]), result)
