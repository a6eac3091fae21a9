"""The past, judged again: what rules would have said at each evaluation, from the windows that are stored.

Windows are read once and summed up cumulatively, so that a test window of any length is a difference of two rows; all
evaluations of a block are then measured in one pass (`monitor.drift.evaluate.Answers`).
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.backtest.events import Moment
from monitor.clock import HOUR
from monitor.columns.column import Counts, Floats
from monitor.config.load import Config
from monitor.drift.evaluate import Answers, Sample
from monitor.drift.result import DriftResult, Span
from monitor.judging.correlated import in_the_past
from monitor.judging.evaluation import References, partial_window, question_of
from monitor.judging.performance import Performance, judged_until, settle_time
from monitor.rules.cover import cover
from monitor.rules.rule import TRAINING, Rule
from monitor.series import Series
from monitor.store.records.outcomes import read_delays
from monitor.store.records.references import history, standing_at
from monitor.store.windows.ranges import Timeline, first_start, lengths, read_timeline

Ints = npt.NDArray[np.intp]

#: Cells of counts that are held at once: 32 MB.
CELLS = 4_000_000

#: Fewest and most evaluations of a block.
LEAST, MOST = 256, 4096


@dataclass(frozen=True)
class Sums:
    """Prefix sums over the windows of one block: row i of `n`, `counts` and `sums` excludes window i."""

    starts: npt.NDArray[np.int64]
    #: End of the latest window so far; a window that was rolled up may end after those that follow it.
    ends: npt.NDArray[np.int64]
    n: npt.NDArray[np.int64]
    counts: Counts
    sums: Floats

    @classmethod
    def of(cls, series: Timeline) -> Sums:
        """Sum the windows up."""

        def before(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
            return np.concatenate([np.zeros_like(values[:1], shape=(1, *values.shape[1:])), np.cumsum(values, axis=0)])

        ends = np.maximum.accumulate(series.starts + series.seconds)
        n, counts, sums = before(series.n), before(series.counts), before(series.sums)
        return cls(series.starts, ends, n, counts, sums)  # type: ignore[arg-type]

    def closed(self, at: Floats) -> npt.NDArray[np.bool_]:
        """Whether all windows that began before each moment had ended by then."""
        upto = np.searchsorted(self.starts, at, side="left")
        latest = np.concatenate([[0], self.ends])[upto]
        return np.asarray(latest <= at)

    def between(self, begin: Floats, end: Floats) -> tuple[Ints, Ints]:
        """First window of each period, and the one after its last. A window that is open at `begin` is the first."""
        last = np.searchsorted(self.starts, end, side="left")
        return np.minimum(np.searchsorted(self.ends, begin, side="right"), last), last

    def reach_back(self, first: Ints, last: Ints, oldest: Floats, least: int) -> Ints:
        """Move the first windows back until there are `least` predictions, but not before `oldest`."""
        enough = np.searchsorted(self.n, self.n[last] - least, side="right") - 1
        limit = np.searchsorted(self.ends, oldest, side="right")
        return np.minimum(first, np.maximum(enough, limit))


def judge(
    connection: sqlite3.Connection,
    series: Series,
    config: Config,
    start: float,
    end: float,
    progress: Callable[[int], object] = bool,
) -> Iterator[Moment]:
    """What the rules of `config` would have said at each evaluation in (start, end].

    There is one each `[drift] every`, but none while a window was open: where minutes have been rolled up there is one
    an hour, and a test window is widened to whole hours. A rule with `reference = "training"` is compared with what was
    in force at the time: the training data, or the period that had been accepted for a column by then; if the history
    was replayed at its own times, a period counts as accepted when it ended. `progress` is told how many evaluations
    are done. Raises ConfigError for a rule that cannot be.

    Performance is judged at the end of each ripe hour, by the outcomes that are stored today.
    """
    judging, performance = _Judging(connection, series, config), _Performance(connection, series, config)
    every = max(config.drift.every, config.window.base)
    moments: Floats = np.arange(math.floor(start / every) + 1, math.floor(end / every) + 1, dtype=np.float64) * every
    block = min(max(CELLS // series.schema.size, LEAST), MOST)
    for begin in range(0, len(moments), block):
        times = moments[begin : begin + block]
        yield from map(performance.with_performance, judging.block(times))
        progress(len(times))


class _Judging:
    def __init__(self, connection: sqlite3.Connection, series: Series, config: Config) -> None:
        self._connection, self._series, self._config = connection, series, config
        covers = cover(config.rules, series.schema)
        rules = [rule for rule in config.rules if rule.fixed]
        self._questions = [(rule, question_of(rule, covers[rule.name])) for rule in rules]
        self._references = References(series)
        self._changes = history(connection, series)
        self._first = first_start(connection, series.id)
        self._longest = max(lengths(connection, series.id), default=0)
        self._reach = max((max(rule.window, rule.max_age) for rule in rules), default=0.0)

    def block(self, times: Floats) -> Iterator[Moment]:
        """Judge some evaluations in order."""
        base = self._config.window.base
        begin = times[0] - self._reach - self._longest - base
        sums = Sums.of(read_timeline(self._connection, self._series, begin, times[-1]))
        ends = np.floor(times / base) * base
        times, ends = times[sums.closed(ends)], ends[sums.closed(ends)]
        if not len(times):
            return
        answers = [self._answers(rule, sums, times, ends) for rule, _ in self._questions]
        for k, at in enumerate(times.tolist()):
            yield Moment(
                at,
                not any(of_rule.overview[0][k] for of_rule in answers),
                sum(of_rule.size for of_rule in answers),
                int(sum(of_rule.overview[1][k] for of_rule in answers)),
                lambda k=k: [result for of_rule in answers for result in of_rule.results(k)],  # type: ignore[misc]
            )

    def _answers(self, rule: Rule, sums: Sums, times: Floats, ends: Floats) -> Answers:
        base = self._config.window.base
        begins = np.floor((ends - rule.window) / base) * base
        first, last = sums.between(begins, ends)
        if rule.max_age > rule.window:
            oldest = np.floor((ends - rule.max_age) / base) * base
            first = sums.reach_back(first, last, oldest, rule.min_samples)
        starts = np.append(sums.starts.astype(np.float64), np.inf)  # none is behind the last window
        begins = np.where(first < last, np.minimum(begins, starts[first]), begins)
        spans = [Span(begin, end) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        reference, names = self._reference(rule, times)
        question = next(question for known, question in self._questions if known is rule)
        return Answers(
            question,
            self._series.layout,
            reference,
            Sample(sums.counts[last] - sums.counts[first], sums.sums[last] - sums.sums[first]),
            spans,
            names,
            self._series.subject,
            [partial_window(rule.window, self._first, end) for end in ends.tolist()],
            in_the_past(self._connection, self._series, self._config.drift, rule, times, spans),
        )

    def _reference(self, rule: Rule, times: Floats) -> tuple[Sample, Sequence[Sequence[str]]]:
        """What a rule compares each window with, and its names by column."""
        if rule.reference == TRAINING:
            return self._normal(times)
        sample, columns = self._references.find(self._connection, rule)
        return sample, [columns] * len(times)

    def _normal(self, times: Floats) -> tuple[Sample, Sequence[Sequence[str]]]:
        """What a rule with `reference = "training"` was compared with at each evaluation."""
        since = np.unique([at for at, _, _ in self._changes])
        which = np.searchsorted(since, times, side="left").tolist()
        first = {k: times[which.index(k)] for k in dict.fromkeys(which)}
        standing = {
            k: self._references.standing(self._connection, standing_at(self._changes, float(at)))
            for k, at in first.items()
        }
        names = [standing[k][1] for k in which]
        if len(standing) == 1:
            ((sample, _),) = standing.values()
            return sample, names
        samples = [standing[k][0] for k in which]
        counts, totals = (np.array([getattr(sample, name) for sample in samples]) for name in ("counts", "sums"))
        return Sample(counts, totals, samples[0].deviations), names


class _Performance:
    def __init__(self, connection: sqlite3.Connection, series: Series, config: Config) -> None:
        self._connection, self._performance = connection, Performance(series)
        self._rules = [rule for rule in config.rules if rule.performance]
        self._settle = settle_time(read_delays(connection, series)[0])
        #: The last judging: end of the judged hours, by rule, and the verdicts.
        self._judged: tuple[list[float], tuple[DriftResult, ...]] = ([], ())

    def with_performance(self, moment: Moment) -> Moment:
        """Add the verdicts of rules on performance to an evaluation."""
        if not self._rules:
            return moment
        whole = moment.at // HOUR * HOUR
        ends = [min(judged_until(rule, moment.at, self._settle), whole) for rule in self._rules]
        if ends != self._judged[0]:
            pairs = zip(self._rules, ends, strict=True)
            spans = [(rule, Span(end - math.ceil(rule.window / HOUR) * HOUR, end)) for rule, end in pairs]
            windows = [self._performance.judge_window(self._connection, rule, span)[0] for rule, span in spans]
            self._judged = ends, tuple(result for judged in windows for result in judged.results)
        results = self._judged[1]
        return Moment(
            moment.at,
            moment.quiet and all(result.state != "drift" for result in results),
            moment.size + len(results),
            moment.judged + sum(result.value is not None for result in results),
            lambda: [*moment.results(), *results],
        )
