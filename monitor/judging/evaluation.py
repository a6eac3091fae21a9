"""The judging half of the data path: windows to verdicts, verdicts to alerts, alerts to notifications.

`Evaluator.run` is called on the writer's thread inside one transaction: verdicts, alert states, their transitions and
the notifications they cause are committed together, or none of them.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeVar

from monitor import words
from monitor.clock import DAY, Clock, iso
from monitor.columns.batch import Batch
from monitor.config.load import Config
from monitor.drift.direction import without_names
from monitor.drift.evaluate import Question, Sample, evaluate
from monitor.drift.result import PARTIAL, STATES, AlertKey, DriftResult, Explanation, Span
from monitor.errors import StoreError
from monitor.judging.correlated import learn
from monitor.judging.performance import JudgedPerformance, Performance
from monitor.judging.traffic import Traffic
from monitor.judging.usual import Judged, Usual
from monitor.rules.alert import Alert, Transition, advance, end_all
from monitor.rules.cover import cover
from monitor.rules.rule import TRAFFIC, USUAL, Rule, reference_span
from monitor.series import Series
from monitor.store.records import alerts as alert_store
from monitor.store.records import verdicts as verdict_store
from monitor.store.records.references import Standing, current, load_accepted
from monitor.store.records.usual import in_force
from monitor.store.windows.ledger import Ledger
from monitor.store.windows.ranges import KeptSums, find_tiles, first_start, list_windows, sum_range
from monitor.store.windows.rows import unseen_since
from monitor.words import duration

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds after an evaluation in which predictions that wait are looked for: clocks of clients are ahead now and then.
AHEAD = DAY

#: Shortest window of which a part must be there before it is judged, and which part of it.
LEAST_HELD = 0.5

#: Cells of counts of closed windows that are kept in memory: 8 MB, a day of minutes of the example model.
WINDOW_CELLS = 1_000_000


@dataclass(frozen=True)
class Evaluation:
    """All rules at one moment; published whole, never changed.

    >>> Evaluation(0.0)
    <Evaluation 1970-01-01T00:00:00Z: 0 results, 0 alerts>
    """

    at: float
    judged: tuple[Judged, ...] = ()
    alerts: Mapping[AlertKey, Alert] = field(default_factory=dict)
    #: Predictions in windows that had not ended, so that they were not judged.
    waiting: int = 0
    learning: str = ""
    performance: tuple[JudgedPerformance, ...] = ()
    #: Whether predictions come, by each rule that asks.
    traffic: tuple[DriftResult, ...] = ()

    def __repr__(self) -> str:
        states = Counter(result.state for result in self.results)
        counts = "".join(f", {words.count(states[state])} {state}" for state in STATES if states[state])
        alerts = words.counted(sum(alert.state != "inactive" for alert in self.alerts.values()), "alert")
        return f"<Evaluation {iso(self.at)}: {words.counted(len(self.results), 'result')}{counts}, {alerts}>"

    @cached_property
    def results(self) -> tuple[DriftResult, ...]:
        """Results of all rules, but for those on traffic."""
        rules: tuple[Judged | JudgedPerformance, ...] = (*self.judged, *self.performance)
        return tuple(result for judged in rules for result in judged.results)


class Evaluator:
    """Judges the windows of one model by the rules of a configuration."""

    def __init__(self, series: Series, config: Config, clock: Clock) -> None:
        self.series, self._config, self._clock = series, config, clock
        self._subject = series.subject
        self._covers = cover(config.rules, series.schema)
        columns = series.schema.columns
        #: All alerts that there can be.
        self._keys = {
            self._subject.alert(name, columns[i].role, columns[i].name)
            for name, positions in self._covers.items()
            for i in positions
        }
        self._forget()
        for rule in config.rules:
            self._keys |= set(self._performance.keys(rule)) if rule.performance else set()
            self._keys |= {self._subject.alert(rule.name, "traffic", TRAFFIC)} if rule.traffic else set()
        #: Rules that cannot be evaluated, with the moment since when.
        self.failing: dict[str, float] = {}
        self._references = References(series)
        self.latest = Evaluation(0.0)
        #: What `run` found, until it is committed; and which alerts changed state.
        self.found: tuple[Evaluation, Sequence[Transition]] = (self.latest, ())
        #: The model version that was judged before this one, and its alerts: the first evaluation ends them.
        self._replaced: tuple[str, Mapping[AlertKey, Alert]] = ("", {})

    def _forget(self) -> None:
        """Forget what evaluations have found out and written."""
        self._closed = KeptSums(self.series, WINDOW_CELLS)
        self._performance = Performance(self.series)
        self._traffic = Traffic(self.series, self._config.drift)
        self._usual = Usual(self.series, self._config.drift, self._covers)
        #: An evaluation was begun and is not committed.
        self._open = False

    def restore(self, connection: sqlite3.Connection) -> None:
        """Resume the alerts where the last process left them; those of another model version are not continued."""
        model = self.series.model
        alerts, version = alert_store.load_alerts(connection, model), verdict_store.judged_version(connection, model)
        if version in ("", self.series.version):
            self.latest = Evaluation(0.0, (), alerts)
        else:
            self._replaced = version, alerts

    def run(
        self,
        connection: sqlite3.Connection,
        now: float,
        ledger: Ledger,
        *,
        early: bool = False,
        counted_to: float = math.inf,
    ) -> None:
        """Evaluate, and leave the answer in `found`. The caller commits, and then calls `publish`.

        `early` ends the open window first, so that all that was recorded is judged. `counted_to`: until when all
        predictions are counted.
        """
        if self._open:  # the one before was rolled back, and the ids of its windows are given to others
            self._forget()
        self._open = True
        rules = self._config.rules
        end = now if early else self.window_end(now)
        ledger.seal(connection, self.series, end if end < now else now + self._config.window.base)
        try:
            learn(connection, self.series, self._config.drift, rules, now)
        except StoreError:
            log.exception("how alike the rows of a window are cannot be learnt; the last figures stay in force")
        judged, performance, traffic = list[Judged](), list[JudgedPerformance](), list[DriftResult]()
        for rule in rules:
            if rule.performance:
                performance += self._safely(rule, partial(self._performance.judge, connection, rule, now))
            elif rule.traffic:
                traffic += self._safely(rule, partial(self._traffic.judge, connection, rule, now, counted_to))
            else:
                judged += self._safely(rule, partial(self._judge_windows, connection, rule, end, now))
        by_rule: tuple[Judged | JudgedPerformance, ...] = (*judged, *performance)
        results = [*(result for of_rule in by_rule for result in of_rule.results), *traffic]
        known = rules, now, self._config.drift.every, self.series.version, self._keys
        alerts, transitions = advance(self.latest.alerts, results, *known)
        old, its_alerts = self._replaced
        why = f"model version {old} was replaced by {self.series.version}"
        transitions = [*end_all(its_alerts, now, why, old), *transitions]
        self._usual.save(connection)
        learning = self._usual.state() if any(rule.reference == USUAL for rule in rules) else ""
        fresh = tuple(result for of_rule in by_rule if of_rule.fresh for result in of_rule.results)
        questions = [self._question(of_rule.rule) for of_rule in judged]
        asked = verdict_store.enter_questions(connection, self.series.id, questions)
        verdict_store.save_results(connection, now, fresh, asked)
        alert_store.save_alerts(connection, self.series.model, alerts.values())
        alert_store.append_events(connection, transitions)
        waiting = sum(window.n for window in list_windows(connection, self.series.id, end, now + AHEAD))
        shown = tuple(judged), alerts, waiting, learning, tuple(performance), tuple(traffic)
        self.found = Evaluation(now, *shown), transitions

    def publish(self) -> None:
        """Make the evaluation that was committed the one that pages, scrapes and commands see."""
        self._open = False
        self._replaced = ("", {})
        self.latest, _ = self.found

    def forget_names(self) -> None:
        """Take the names of unseen values out of the verdicts that are shown until the next evaluation."""
        judged = [
            dataclasses.replace(judged, results=tuple(map(_without_names, judged.results)))
            for judged in self.latest.judged
        ]
        self.latest = dataclasses.replace(self.latest, judged=tuple(judged))

    def window_end(self, now: float) -> float:
        """End of the test windows of an evaluation at `now`.

        Only closed windows are judged, so that a verdict can be worked out again from the store. Where evaluations
        come more often than base windows end, the open one is closed early.
        """
        base = self._config.window.base
        return now if self._config.drift.every < base else math.floor(now / base) * base

    def _judge_windows(self, connection: sqlite3.Connection, rule: Rule, end: float, now: float) -> Sequence[Judged]:
        if rule.reference == USUAL:
            return self._usual.judge(connection, rule, end)
        span = Span(window_start(connection, self.series, rule, end, self._config.window.base), end)
        test = self._closed.add_up(connection, find_tiles(connection, self.series.id, span.start, span.end))
        return [self._judge(connection, rule, span, test, now)]

    def _safely(self, rule: Rule, judge: Callable[[], Sequence[T]]) -> Sequence[T]:
        """Judge by one rule; one failing rule does not stop the others. What the store raises ends the evaluation."""
        try:
            judged = judge()
        except sqlite3.Error:
            raise
        except Exception:
            self.failing.setdefault(rule.name, self._clock.time())
            log.exception("rule %s cannot be evaluated; its alerts stay as they are", rule.name)
            return []
        self.failing.pop(rule.name, None)
        return judged

    def _judge(self, connection: sqlite3.Connection, rule: Rule, span: Span, test: Batch, now: float) -> Judged:
        partial = partial_window(rule.window, first_start(connection, self.series.id), span.end)
        return judge_fixed(connection, self._references, rule, self._covers[rule.name], span, test, now, partial)

    def judge(
        self, connection: sqlite3.Connection, start: float, end: float, batch: Batch | None = None
    ) -> tuple[DriftResult, ...]:
        """Results of every rule for a span of time, taken to whole base windows; nothing is kept.

        A batch is judged instead of what is stored of that time.
        """
        base, now = self._config.window.base, self._clock.time()
        span = Span(math.floor(start / base) * base, math.ceil(end / base) * base)
        test = sum_range(connection, self.series, span.start, span.end) if batch is None else batch
        rules = (rule for rule in self._config.rules if rule.fixed)
        same = (dataclasses.replace(rule, window=span.end - span.start) for rule in rules)
        return tuple(result for rule in same for result in self._judge(connection, rule, span, test, now).results)

    def _question(self, rule: Rule) -> Question:
        question = question_of(rule, self._covers[rule.name])
        if rule.reference != USUAL:
            return question
        return dataclasses.replace(question, usual=self._usual.terms(rule))


def _without_names(result: DriftResult) -> DriftResult:
    """Say the same without naming an unseen value."""
    direction = result.direction
    if direction is None or (text := without_names(direction.text)) == direction.text:
        return result
    direction = dataclasses.replace(direction, text=text, names=())
    return result._replace(explanation=Explanation(direction, result.contributions, result.harm))


class References:
    """What the rules of one model compare with. Deviations, the unit of directions, are always those of training."""

    def __init__(self, series: Series) -> None:
        self.series = series
        reference = series.reference
        self._training = Sample(reference.counts, reference.sums, reference.deviations)
        self._known: tuple[Standing, Sample, tuple[str, ...]] | None = None

    def find(self, connection: sqlite3.Connection, rule: Rule) -> tuple[Sample, tuple[str, ...]]:
        """What a rule compares a window with, and how verdicts name that, by column.

        "training 0123456789ab" is the training data's identity, "FROM/TO" a period of production that the rule names,
        "accepted FROM/TO #3" one that was accepted instead of the training data (row 3 of `reference_changes`).
        """
        past = reference_span(rule.reference)
        if past is None:
            return self.standing(connection, current(connection, self.series))
        batch = sum_range(connection, self.series, past.start, past.end)
        name = "/".join(past.to_json().values())
        return Sample(batch.counts, batch.sums, self._training.deviations), (name,) * len(self.series.column_ids)

    def standing(self, connection: sqlite3.Connection, standing: Standing) -> tuple[Sample, tuple[str, ...]]:
        """The training data, with the accepted periods of some columns in its place."""
        if self._known is None or self._known[0] != standing:
            counts, sums = self._training.counts.copy(), self._training.sums.copy()
            names = [f"training {self.series.reference.identity[:12]}"] * len(self.series.column_ids)
            parts = self.series.schema.split(counts)
            for position, row in standing.items():
                accepted = load_accepted(connection, row)
                parts[position][:], sums[position], names[position] = accepted.counts, accepted.sum, accepted.name
            self._known = dict(standing), Sample(counts, sums, self._training.deviations), tuple(names)
        return self._known[1:]


def judge_fixed(
    connection: sqlite3.Connection,
    references: References,
    rule: Rule,
    columns: tuple[int, ...],
    span: Span,
    test: Batch,
    now: float,
    partial: str = "",
) -> Judged:
    """Judge counts of a span of time by a rule with a fixed reference, and by how alike the rows of a window are.

    `columns`: which it covers. `partial`: why the span is not judged, "" if it is.
    """
    series, (sample, names) = references.series, references.find(connection, rule)
    unseen = test.names(series.schema) if test.reference else unseen_since(connection, series, span.start)
    live, rho = Sample(test.counts, test.sums), in_force(connection, series.id, span.end - span.start, now)
    question = question_of(rule, columns)
    results = evaluate(question, series.layout, sample, live, span, names, series.subject, unseen, rho, partial)
    return Judged(rule, span, test, sample, results)


def question_of(rule: Rule, columns: tuple[int, ...]) -> Question:
    """What a rule asks of the columns that it covers."""
    return Question(
        rule.name, columns, rule.statistic, rule.alpha, rule.floor, rule.min_samples, independent=rule.independent
    )


def partial_window(window: float, first: float, end: float) -> str:
    """Say why a window that ends at `end` is not judged, as the history fills less than half of it; "" if it is judged.

    `window`: its length in seconds; `first`: when the history begins. The hours of a day differ, and so do its days:
    what a window of a day or more holds at first is not like the whole. A shorter one is judged at once.

    >>> partial_window(365 * 86400.0, 0.0, 3 * 86400.0), partial_window(86400.0, 0.0, 43200.0)
    ('partial window: it holds 3 days of 365 days, and is judged from half on', '')
    """
    held = max(end - first, 0.0)
    if window < DAY or held >= LEAST_HELD * window:
        return ""
    return f"{PARTIAL}: it holds {duration(held)} of {duration(window)}, and is judged from half on"


def window_start(connection: sqlite3.Connection, series: Series, rule: Rule, end: float, base: float) -> float:
    """Start of the test window of a rule that ends at `end`: the rule's `window` earlier.

    On low traffic it is earlier, until there are `min_samples` predictions, but `max_age` before the end at most; then
    it is where the first prediction is.
    """
    start = math.floor((end - rule.window) / base) * base
    oldest = math.floor((end - rule.max_age) / base) * base
    if oldest >= start:
        return start
    sizes = [(window.start, window.n) for window in list_windows(connection, series.id, oldest, end)]
    return reach_back(sizes, start, rule.min_samples)


def reach_back(sizes: Sequence[tuple[int, int]], start: float, least: int) -> float:
    """The latest beginning, `start` or earlier, from which there are `least` predictions, or else the first window's.

    `sizes`: start and number of predictions of each window, in order.

    >>> [reach_back([(0, 30), (60, 30), (120, 10)], start, 40) for start in (120, 60, 0)]
    [60, 60, 0]
    >>> reach_back([(60, 30)], 120, 40), reach_back([], 120, 40)
    (60, 120)
    """
    n = 0
    for begin, rows in reversed(sizes):
        if begin < start and n >= least:
            break
        n += rows
        start = min(start, begin)
    return start
