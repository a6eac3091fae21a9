"""The overview's words and order, from evaluations made by hand."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from monitor.columns.batch import Batch
from monitor.columns.column import Column, Schema
from monitor.drift.evaluate import Sample
from monitor.drift.result import NOTHING, Direction, DriftResult, Explanation, Harm, Span, State
from monitor.judging.evaluation import Evaluation
from monitor.judging.usual import Judged
from monitor.reference.file import Reference
from monitor.report.models import MODEL_STATES
from monitor.report.overview import FEW, HEADINGS, alert_line, headline, parts, rows
from monitor.rules.alert import Alert
from monitor.rules.rule import Rule

NAMES = ("a", "b", "c", "d")
SCHEMA = Schema(tuple(Column(name, "feature", "numeric", edges=(0.0, 1.0)) for name in NAMES))
WINDOW = Span(7200.0, 9000.0)


def reference() -> Reference:
    counts = np.tile(np.array([0, 10, 0, 0, 0]), len(NAMES)).astype(np.int64)
    return Reference(SCHEMA, counts, np.ones(len(NAMES)), np.ones(len(NAMES)))


def evaluation(
    states: dict[str, tuple[State, float | None]], n: int = 1234, rule: Rule | None = None, **since: float
) -> Evaluation:
    """One rule's verdicts; `since`: firing alerts by column."""
    rule = rule or Rule("drift")
    results = tuple(
        DriftResult(
            rule.name,
            name,
            "feature",
            "numeric",
            "ks",
            state,
            WINDOW,
            "training",
            "v",
            n,
            10,
            value,
            None if value is None else 0.1,
            0.05,
            reason="3 values of 1234 rows in this window, 50 needed" if state == "insufficient data" else "",
            explanation=NOTHING if value is None else Explanation(Direction("mean was 0, now 2 (1.0 sd)")),
        )
        for name, (state, value) in states.items()
    )
    base = reference()
    counts = base.counts * n
    judged = Judged(rule, WINDOW, Batch(n, counts, base.sums), Sample(base.counts, base.sums), results)
    alerts = [Alert(rule.name, name, "feature", "firing", at, at) for name, at in since.items()]
    return Evaluation(9000.0, (judged,), {alert.key: alert for alert in alerts})


def said(given: Evaluation) -> str:
    return headline(rows(given, reference()), given, 60.0).text


OK: tuple[State, float] = ("ok", 0.01)


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ({"a": OK, "b": OK}, "All quiet: 1,234 predictions in the last 30 minutes"),
        ({"a": ("drift", 0.3), "b": OK}, "1 of 2 columns has drifted from the training data: a"),
        (
            {"a": ("drift", 0.3), "b": ("drift", 0.5), "c": ("error", None)},
            "2 of 3 columns have drifted from the training data; b most of all",
        ),
        ({"a": ("warning", 0.2), "b": OK}, "No drift; 1 of 2 columns has moved a little: a"),
        ({"a": ("error", None), "b": OK}, "1 of 2 columns could not be judged: a"),
        (
            {"a": ("no reference", None), "b": OK},
            "All quiet: 1,234 predictions in the last 30 minutes; no verdict on 1 of 2 columns: a",
        ),
        (
            {"a": ("insufficient data", None), "b": ("insufficient data", None)},
            "Not enough values yet: 3 values of 1234 rows in this window, 50 needed",
        ),
        (
            dict.fromkeys(NAMES, ("warning", 0.2)),
            "No drift; 4 of 4 columns have moved a little: a, b, c and 1 more",
        ),
    ],
)
def test_headline_says_the_worst(states: dict[str, tuple[State, float | None]], text: str) -> None:
    assert said(evaluation(states)) == text


def test_headline_names_the_column_that_drifted_first_and_when() -> None:
    given = evaluation({"a": ("drift", 0.9), "b": ("drift", 0.3)}, a=8000.0, b=7800.0)
    told = headline(rows(given, reference()), given, 60.0)
    assert (told.text.rpartition("; ")[2], told.since, told.tone) == ("the first was b", 7800.0, "drift")


def test_headline_without_traffic_or_evaluation_claims_nothing() -> None:
    assert said(evaluation({"a": ("no traffic", None)}, n=0)) == "No traffic: no predictions in the last 30 minutes"
    assert said(Evaluation(0.0)) == "Nothing judged yet; the first evaluation comes within 1 minute"


def test_headline_counts_what_is_still_needed() -> None:
    given = evaluation({"a": ("insufficient data", None)}, n=12)
    assert said(given) == "Not enough data yet: 12 of 50 predictions in the last 30 minutes"


def test_headline_names_another_reference() -> None:
    given = evaluation({"a": ("drift", 0.9)}, rule=Rule("weekly", reference="usual"))
    assert said(given) == "1 of 1 column has drifted from what is usual: a"


def test_parts_are_wrong_then_different_then_without_a_verdict_then_the_fold() -> None:
    given = evaluation({"a": ("drift", 0.9), "b": ("drift", 0.2), "c": OK, "d": ("no traffic", None)})
    (judged,) = given.judged
    harm = Harm(6.7, 1.0, 0.0, 0.0, 0.0, 41.2)
    results = [
        one._replace(explanation=replace(one.explanation, given_harm=harm)) if one.column == "b" else one  # type: ignore[type-var]
        for one in judged.results
    ]
    given = replace(given, judged=(replace(judged, results=tuple(results)),))
    listed = rows(given, reference())
    found = [(part.heading, [row.column.name for row in part.rows], part.folded) for part in parts(listed)]
    assert found == [
        (HEADINGS[0], ["b"], None),
        (HEADINGS[1], ["a"], None),
        (HEADINGS[2], ["d"], None),
        ("1 column is as it was", ["c"], False),
    ]
    moved = replace(listed[1], column=replace(listed[1].column, role="prediction"))
    assert moved.part == listed[0].part, "predictions that have drifted are wrong, whatever is known of harm"
    assert replace(moved, state="warning").part == listed[1].part


def test_the_fold_is_closed_if_it_is_long_and_counts_what_is_cut() -> None:
    row = rows(evaluation({"a": OK}), reference())[-1]
    alone = replace(row, state="not watched")
    assert [part.folded for part in parts([row] * FEW)] == [False]
    assert [part.folded for part in parts([row] * (FEW + 1))] == [True]
    assert [part.folded for part in parts([row] * (FEW + 1), opened=True)] == [False]
    (cut,) = parts([*[row] * 33, alone], most=5)
    assert (cut.heading, len(cut.rows)) == ("33 columns are as they were; 1 column is not watched", 5)
    assert parts([]) == []


def test_rows_come_worst_first_and_none_is_left_out() -> None:
    given = evaluation({"a": OK, "c": ("drift", 0.2), "d": ("drift", 0.9)})
    listed = rows(given, reference())
    assert [(row.column.name, row.state) for row in listed] == [
        ("d", "drift"),
        ("c", "drift"),
        ("b", "not watched"),
        ("a", "ok"),
    ]
    assert [row.since for row in listed] == [None] * 4
    assert listed[0].moved == "mean was 0, now 2 (1.0 sd)"
    assert listed[3].moved == "", "what is well needs no words"


def test_alert_line_counts_what_is_open() -> None:
    states = ("firing", "firing", "pending", "resolved", "inactive")
    alerts = [Alert("r", str(i), "feature", state) for i, state in enumerate(states)]  # type: ignore[arg-type]
    assert alert_line(alerts) == "2 firing and 1 pending alerts"
    assert alert_line(alerts[3:]) == ""


def test_a_row_says_no_sentence_twice() -> None:
    given = evaluation({"a": ("drift", 0.3)})
    first = given.judged[0].results[0]
    told = [Explanation(Direction(text)) for text in ("mean was 0, now 2 (1.0 sd)", "missing values: was 0 %, now 4 %")]
    more = tuple(first._replace(statistic=f"s{k}", value=0.2, explanation=one) for k, one in enumerate(told))
    judged = replace(given.judged[0], results=(first, *more))
    (row, *_) = rows(replace(given, judged=(judged,)), reference())
    assert (row.moved, row.also) == ("mean was 0, now 2 (1.0 sd)", ("missing values: was 0 %, now 4 %",))


def test_every_state_of_a_model_has_a_colour() -> None:
    style = resources.files("monitor.report").joinpath("static/page.css").read_text("utf-8")
    known = MODEL_STATES[: MODEL_STATES.index("unknown")]
    assert [state for state in known if f".badge.{state.replace(' ', '-')}::before" not in style] == []
