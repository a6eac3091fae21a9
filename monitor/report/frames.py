"""Two tables compared, in a notebook or a script: the statistics and the page of the monitor, without a folder."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from monitor import words
from monitor.columns.batch import Batch
from monitor.config.load import Config
from monitor.counting import fitting, tally
from monitor.drift.evaluate import Sample, evaluate
from monitor.drift.result import Span, Subject
from monitor.errors import DataError
from monitor.judging.evaluation import Evaluation, question_of
from monitor.judging.usual import Judged
from monitor.reference.build import as_table, assemble, raw_columns, summarise
from monitor.reference.file import Reference, ReferenceInfo
from monitor.reference.profile import Limits
from monitor.report import overview
from monitor.report.file import Report, draw, explained
from monitor.report.overview import Row
from monitor.rules.cover import cover
from monitor.rules.rule import TRAINING, Rule
from monitor.series import Series


def compare(
    before: Any,
    after: Any,
    predictions: Any = None,
    *,
    predictions_before: Any = None,
    config: Config | None = None,
) -> Report:
    """Compare a table with a reference, or with another table: which columns differ, and how.

    `before`: a `Reference`, its file, or a table. `after`: a table, as `tally` takes it, or what `tally` counted.
    `predictions`: of `after`, and `predictions_before` of a table `before`; without them features are compared. The
    predictions of a reference are also found in `after`, by their names. `config`: settings whose rules judge, all that
    compare with the training data; the default rule if None.

    Raises DataError or InputError for tables that do not fit together.

    >>> before = {"age": [float(age % 60) for age in range(600)], "sex": ["f", "m"] * 300}
    >>> compare(before, before)
    All quiet: 600 rows in the second table.
    >>> compare(before, {**before, "sex": ["f", "m", "f"] * 200})
    1 of 2 columns has drifted from the first table: sex.
    column  state  statistic  value  critical    n    m  what moved
    sex     drift  kl         0.056     0.036  600  600  more f (was 50 %, now 67 %); fewer m (was 50 %, now 33 %)
    """
    if isinstance(before, (str, os.PathLike)):
        before = Reference.load(before)
    stored = isinstance(before, Reference)
    if predictions_before is not None and (stored or predictions is None):
        raise DataError("predictions_before are those of a table, and need the predictions of the other one")
    if predictions is not None and not stored and predictions_before is None:
        raise DataError("the predictions of the first table are missing: give them as predictions_before")
    reference = before if stored else reference_of(before, predictions_before)
    schema, now, answered = reference.schema, time.time(), True
    if not isinstance(after, Batch):
        features, answers, answered = parted(after, reference) if predictions is None else (after, predictions, True)
        after = tally(features, answers, reference)
    batch, captured = fitting(after, reference), len(schema.features) + len(schema.predictions) * answered
    made_of = [column.derivation.of if column.derivation else (at,) for at, column in enumerate(schema.columns)]
    given = {at for at, of in enumerate(made_of) if max(of) < captured}
    series = Series(0, Subject(), reference, (), "")
    rules = [rule for rule in (config or Config.from_text("")).rules if rule.fixed and rule.reference == TRAINING]
    name = f"training {reference.identity[:12]}" if stored else "the first table"
    rules = rules if stored else [replace(rule, reference=name) for rule in rules]
    report = judge(series, batch, rules, name, "compared" if stored else "in the second table", "rows", now, given)
    return replace(report, page=page(report, batch, "the reference" if stored else "another"))


def judge(
    series: Series,
    batch: Batch,
    rules: Sequence[Rule],
    name: str,
    when: str,
    rows: str,
    now: float,
    given: Collection[int] | None = None,
) -> Report:
    """Judge counts by rules, as one window, against the reference of their series, which verdicts call `name`.

    `when` and `rows`: what the counts are of, for the headline. `given`: positions of the columns that are there.
    """
    reference, schema, span = series.reference, series.schema, Span(now, now)
    sample, live = Sample(reference.counts, reference.sums, reference.deviations), Sample(batch.counts, batch.sums)
    covers, names, judged = cover(rules, schema), [name] * len(schema.columns), []
    for rule in rules if len(names) else ():
        question = question_of(rule, tuple(at for at in covers[rule.name] if given is None or at in given))
        results = evaluate(question, series.layout, sample, live, span, names, series.subject, batch.names(schema))
        judged.append(Judged(rule, span, batch, sample, results))
    evaluation = Evaluation(now, tuple(judged))
    listed = tuple(overview.rows(evaluation, reference, given))
    headline = overview.headline(listed, evaluation, 0.0, when, rows)
    return Report(series, evaluation, listed, headline, now, settings=tuple(explained(rules, schema)))


def page(report: Report, batch: Batch, what: str) -> str:
    """Write a comparison as one self-contained page. `what`: the other side."""
    unseen: Counter[tuple[int, str]] = Counter(batch.unseen)

    def over(row: Row) -> dict[str, Any]:
        named = [{"value": name, "count": rows} for (at, name), rows in unseen.most_common() if at == row.position]
        return {"onsets": (), "trend": (), "marks": (), "statistic_chart": "", "unseen": named}

    return draw(
        report,
        title=f"A table compared with {what}",
        lead=words.counted(batch.n, "row"),
        when="",
        last=("m", lambda row: words.count(row.result.m if row.result else 0)),
        over=over,
        performance=None,
        p=None,
        cell=None,
    )


def reference_of(table: Any, predictions: Any) -> Reference:
    """Build the reference of a table, without prediction columns if there are none. Raises DataError."""
    if predictions is not None:
        return Reference.from_data(table, predictions)
    found = as_table(table)
    return assemble(summarise(found, "feature", found.kinds, Limits()), ReferenceInfo())


def parted(table: Any, reference: Reference) -> tuple[Any, Any, bool]:
    """Split a table by name into features and predictions, and say whether it has all predictions.

    If it lacks one, all predictions are missing values.
    """
    table = list(table) if hasattr(table, "__next__") else table  # it is read twice
    names, columns = raw_columns(table)
    wanted = [column.name for column in reference.schema.predictions]
    if wanted and set(wanted) <= set(names or ()) and len(set(names or ())) == len(columns):
        found = dict(zip(names or (), columns, strict=True))
        answers = {name: found.pop(name) for name in wanted}
        return found, answers, True
    rows = len(columns[0]) if columns else 0
    return table, {name: [None] * rows for name in wanted}, not wanted
