"""Verdicts on performance as results of a rule, so that alerts, messages, pages and tables treat them as any other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monitor.columns.column import Counts, Schema
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.layout import Layout
from monitor.drift.result import Change, Direction, DriftResult, Explanation, Harm, Span, State, Subject, Worse
from monitor.outcomes.baseline import Baseline
from monitor.outcomes.estimates import coarse, concept_shift, judge_estimate
from monitor.outcomes.performance import ESTIMATED, Measure, measure, metric_name
from monitor.outcomes.sums import Sums, Target
from monitor.outcomes.verdict import Asked, Verdict, judge
from monitor.words import number

#: Name and role of the column that a model's performance is judged as.
COLUMN = "performance"


def names_of(target: Target) -> tuple[str, ...]:
    """Names of the columns that alerts about performance and outcomes have.

    >>> names_of(Target("binary", ("no", "yes"))), names_of(Target("regression"))
    (('performance', 'outcome'), ('performance', 'outcome', 'error'))
    """
    return (COLUMN, *(column.name for column in target.columns))


def measured(metric: Measure) -> str:
    """Write a metric with its 95 % interval.

    >>> measured(Measure("accuracy", 0.81, 0.01, 0.78, 0.84, 400, "higher"))
    'accuracy 0.81 (0.78 to 0.84)'
    """
    return f"{metric_name(metric.metric)} {number(metric.value)} ({number(metric.low)} to {number(metric.high)})"


def sentence(verdict: Verdict) -> str:
    """Say what a metric is and was: "accuracy 0.81 (0.78 to 0.84), was 0.85"."""
    was = f"was {number(verdict.reference.value)}"
    return f"{measured(verdict.live)}, {was}" if verdict.live else f"{metric_name(verdict.metric)} {was}"


def reason(verdict: Verdict) -> str:
    """Say what a verdict does not know: why there is none, or which change could not have been seen."""
    guessed = verdict.metric.startswith(ESTIMATED)
    if verdict.state == "worse" and guessed:
        return ASSUMED
    if verdict.state != "ok" or verdict.live is None or verdict.detectable is None:
        return verdict.reason
    way, what = "fall" if verdict.live.better == "higher" else "rise", "predictions" if guessed else "outcomes"
    return f"with {verdict.live.n:,} {what}, a {way} of less than {number(verdict.detectable)} would not be seen"


def results_of(
    rule: str, verdicts: Sequence[Verdict], window: Span, reference: str, subject: Subject
) -> tuple[DriftResult, ...]:
    """Return a result for each verdict. Its value is how much worse the metric is, in the metric's own unit."""
    return tuple(_result(rule, verdict, window, reference, subject) for verdict in verdicts)


def _result(rule: str, verdict: Verdict, window: Span, reference: str, subject: Subject) -> DriftResult:
    live, before = verdict.live, verdict.reference
    states: dict[str, State] = {"worse": "drift", "ok": "ok", "insufficient data": "insufficient data"}
    direction = None
    if live is not None and verdict.state != "insufficient data":
        worse: Worse = "estimate worse" if verdict.metric.startswith(ESTIMATED) else "worse"
        change: Change = worse if verdict.state == "worse" else "unchanged"
        direction = Direction(sentence(verdict), change, (metric_name(verdict.metric),), before.value, live.value)
    return DriftResult(
        *(rule, COLUMN, "outcome", "numeric", verdict.metric, states[verdict.state], window, reference),
        subject.version,
        live.n if live else 0,
        before.n,
        verdict.change,
        verdict.critical,
        verdict.floor,
        verdict.p_value,
        reason(verdict),
        Explanation(direction),
        subject.model,
        subject.series,
    )


#: A realised metric so many standard errors from the estimate is no longer explained by the inputs; they explain a
#: change of which less than this part is left.
CONCEPT_Z, EXPLAINED = 4.0, 0.5


#: What an estimate that is worse rests on.
ASSUMED = "an estimate from the predictions, without outcomes. It is wrong if the same inputs have other outcomes now"


def concept_or_data(gap: float, z: float, change: float) -> str:
    """Say whether the inputs explain a change of performance; `gap`, `z`: see `estimates.concept_shift`.

    >>> concept_or_data(-0.12, -3.4, -0.11)
    'whether the inputs explain it cannot be told yet'
    """
    if gap / change < EXPLAINED:
        return "the inputs explain it: more rows are of a kind that the model is worse on, so look at what drifted"
    if abs(z) <= CONCEPT_Z:
        return "whether the inputs explain it cannot be told yet"
    why = "the same predictions have other outcomes now. If no input is wrong, train on newer rows"
    return f"the inputs do not explain it: {why}"


def holdout_name(identity: str) -> str:
    """Return how verdicts name what they compare with: the held-out rows of a reference."""
    return f"holdout {identity[:12]}"


def layout_of(target: Target) -> Layout:
    """Return the layout of what came true, as columns."""
    return Layout(Schema(target.columns))


def _explained(result: DriftResult, baseline: Baseline, asked: Asked, total: Sums) -> DriftResult:
    """Add to a verdict that performance is worse whether the inputs explain it, if that is known."""
    if result.state != "drift":
        return result
    shift = concept_shift(total, baseline.sums, result.statistic, asked.dispersions.get(result.statistic, 1.0))
    change = measure(total)[result.statistic].value - measure(baseline.sums)[result.statistic].value
    return result if shift is None else result._replace(reason=concept_or_data(*shift, change))


def _harmed(result: DriftResult, baseline: Baseline, asked: Asked, total: Sums) -> DriftResult:
    """A shift of the error with its harm: how much the mean error rose. A shift of what came true itself has none."""
    if result.column != "error" or result.state not in ("drift", "warning"):
        return result
    was, live = measure(baseline.sums)["mae"], measure(total)["mae"]
    error = math.hypot(was.error, live.error * math.sqrt(asked.dispersions.get("mae", 1.0)))
    harm = Harm(live.value - was.value, error, 0.0, 0.0, 0.0, was.value, name=baseline.loss_name, came=True)
    return result._replace(explanation=Explanation(result.direction, result.contributions, harm))


def judge_outcomes(
    baseline: Baseline, name: str, layout: Layout, asked: Asked, total: Sums, rule: str, window: Span, subject: Subject
) -> tuple[DriftResult, ...]:
    """Judge a window from its sums: performance by the metrics asked for, and drift of what came true.

    Pure, so that a stored verdict can be worked out again. `name`: see `holdout_name`; `layout`: see `layout_of`.
    """
    results = results_of(rule, judge(total, baseline.sums, asked), window, name, subject)
    results = tuple(_explained(result, baseline, asked, total) for result in results)
    if not asked.drift:
        return results
    columns = tuple(range(len(layout.schema.columns)))
    question = Question(rule, columns, "auto", asked.alpha, min_samples=asked.least)
    before, now = (Sample(sums.column_counts(), *sums.column_moments()) for sums in (baseline.sums, total))
    drifted = evaluate(question, layout, before, now, window, (name,) * len(columns), subject)
    return (*results, *(_harmed(result, baseline, asked, total) for result in drifted))


def judge_estimated(
    baseline: Baseline, name: str, schema: Schema, asked: Asked, rows: Counts, rule: str, window: Span, subject: Subject
) -> tuple[DriftResult, ...]:
    """Judge what is estimated of a window from its predictions by bin. Pure, as `judge_outcomes` is."""
    verdict = judge_estimate(coarse(schema, baseline.target, baseline.sums), rows, asked)
    return results_of(rule, [verdict], window, name, subject)
