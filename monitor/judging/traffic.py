"""Whether predictions come, live: hours without one, judged by the same hours of the weeks before.

Nothing is stored but the alert: a verdict needs to be worked out again at the next hour only. `Traffic.judge` runs on
the writer's thread in the transaction of an evaluation.
"""

from __future__ import annotations

import math
import sqlite3
from zoneinfo import ZoneInfo

import numpy as np

from monitor.clock import HOUR, utc_offset
from monitor.config.settings import DriftConfig
from monitor.drift.result import NOTHING, Direction, DriftResult, Explanation, Span, State
from monitor.normal.expected import WEEK_HOURS
from monitor.normal.traffic import LOOK_BACK, WEEKS, Silence, silence
from monitor.rules.rule import TRAFFIC, USUAL, Rule
from monitor.series import Series
from monitor.store.windows.ranges import windows_of_model
from monitor.words import date_time


class Traffic:
    """Judges the silence of one model, whichever of its versions was served."""

    def __init__(self, series: Series, drift: DriftConfig) -> None:
        self._series, self._quiet, self._zone = series, drift.quiet, ZoneInfo(drift.timezone)
        #: The first whole hour that this process has watched: one that was down could get no prediction.
        self._since: int | None = None
        #: The end of the hours that were measured last, and what came out.
        self._measured: tuple[int, Silence | None, float] = 0, None, 0.0

    def judge(
        self, connection: sqlite3.Connection, rule: Rule, now: float, counted_to: float = math.inf
    ) -> list[DriftResult]:
        """Judge the hours up to now: one verdict, in a list as of any rule. `counted_to`: see `Watched.counted_to`."""
        subject, end = self._series.subject, int(max(min(now, counted_to), 0.0) // HOUR)
        if self._since is None:
            self._since = math.ceil(now / HOUR)
        silence, last, explanation = None, now, NOTHING
        state: State = "no traffic"
        if not end:  # the source does not answer, or loses predictions, as health says
            pass
        elif windows_of_model(connection, subject, (end - 1) * HOUR, now + 1):
            state = "ok"
        else:
            if self._measured[0] != end:
                self._measured = end, *self._measure(connection, end)
            _, silence, last = self._measured
            if silence and silence.hours > max(silence.longest, 1) and silence.rows >= rule.min_samples:
                usual = f"the same hours of each of the last {WEEKS} weeks had {silence.rows:,} or more"
                text = f"no predictions since {date_time(last, now)}; {usual}"
                state, explanation = "drift", Explanation(Direction(text, "no traffic"))
        verdict = DriftResult(
            rule.name,
            column=TRAFFIC,
            role="traffic",
            kind="numeric",
            statistic=TRAFFIC,
            state=state,
            window=Span(min(last, now), now),
            reference=USUAL,
            model_version=subject.version,
            value=float(silence.hours) if silence else None,
            critical=float(silence.longest) if silence else None,
            floor=1.0,
            explanation=explanation,
            model=subject.model,
            series=subject.series,
        )
        return [verdict]

    def _measure(self, connection: sqlite3.Connection, end: int) -> tuple[Silence | None, float]:
        """Measure the silence before a whole hour since 1970, and say when the last prediction was."""
        first = end - LOOK_BACK - WEEK_HOURS
        stored = windows_of_model(connection, self._series.subject, first * HOUR, end * HOUR)
        windows = [window for window in stored if window.seconds <= HOUR]  # the hours of a day are not stored any more
        if not windows:
            return None, 0.0
        hours = np.arange(first, end)
        # A clock that is set back makes one hour of two.
        place = hours - first + [utc_offset(hour, self._zone) for hour in hours.tolist()]
        place -= place[0]
        rows = np.zeros(place[-1] + 1, np.int64)
        np.add.at(rows, [place[window.start // HOUR - first] for window in windows], [window.n for window in windows])
        for begin, until in self._quiet:  # nothing is known of quiet days: they are taken as the week before was
            for hour in place[(hours * HOUR >= begin) & (hours * HOUR < until)].tolist():
                rows[hour] = rows[max(hour - WEEK_HOURS, 0)]
        watched = max((self._since or first) - first, 0)
        since = place[watched] if watched < len(place) else len(rows)
        return silence(rows, int(since)), max(window.start + window.seconds for window in windows)
