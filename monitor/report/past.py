"""What was judged in the past, as the pages show it: stored verdicts, with the counts that they were given on."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from monitor.drift.result import DriftResult, Span
from monitor.judging.evaluation import Evaluation, References
from monitor.judging.performance import Performance
from monitor.judging.usual import Judged
from monitor.rules.rule import TRAINING, Rule, reference_span
from monitor.series import Series
from monitor.store.records.alerts import alerts_at
from monitor.store.records.references import history, standing_at
from monitor.store.records.verdicts import results_at
from monitor.store.windows.ranges import sum_range
from monitor.store.windows.rows import load_version


def look_back(
    connection: sqlite3.Connection, series: Series, rules: Sequence[Rule], start: float, end: float
) -> tuple[Evaluation, Series]:
    """Read the last evaluation of a model from `start` to `end`; its `at` is 0 if there is none. And what was judged.

    That is `series`, unless another version of the model answered then. Verdicts are as they were stored, by those
    rules that still exist. A column that was accepted as normal since then is beside what it was compared with then.
    What was usual is not stored: such verdicts are beside the training data.
    """
    at, results = results_at(connection, series.subject, start, end)
    if results and results[0].model_version != series.version:
        series = load_version(connection, results[0].model_version, series.model)
    by_window: defaultdict[tuple[str, Span], list[DriftResult]] = defaultdict(list)
    for result in results:
        by_window[result.rule, result.window].append(result)
    references, known, judged = References(series), {rule.name: rule for rule in rules if not rule.performance}, []
    then = standing_at(history(connection, series), at)
    for (name, window), of_window in by_window.items():
        if (rule := known.get(name)) is None:
            continue
        if reference_span(rule.reference):
            sample, _ = references.find(connection, rule)
        else:
            (sample, _), rule = references.standing(connection, then), replace(rule, reference=TRAINING)
        test = sum_range(connection, series, window.start, window.end)
        judged.append(Judged(rule, window, test, sample, tuple(of_window), fresh=False))
    judge = Performance(series)
    every = [rule for rule in rules if rule.performance and at]
    performance = [one for rule in every for one in judge.rejudge(connection, rule, start, end)]
    alerts = alerts_at(connection, series.model, at)
    return Evaluation(at, tuple(judged), alerts, performance=tuple(performance)), series
