"""Prometheus as a source: it is asked once a minute for the counters of a fleet.

Every question names its moment, so what was missed is asked for later. VictoriaMetrics, Thanos and Mimir answer the
same questions; the parameters by which they refuse a partial answer go with each, and Prometheus ignores them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from email.utils import parsedate_to_datetime

import orjson

from monitor.clock import Clock, iso
from monitor.columns.column import Floats
from monitor.config.settings import SourceConfig
from monitor.errors import SourceError
from monitor.series import Series
from monitor.source.counters import COUNTS, FACTS, FLEET, PREDICTIONS, Replica, Sample, State
from monitor.source.fleet import FleetSource
from monitor.source.protocol import Handover

#: Seconds after which a moment is asked for: by then its samples have come. Clocks may differ by no more.
LAG = 30.0

#: How long the last sample of a series counts: longer than any usual interval between scrapes.
LOOK_BACK = "5m"

#: Moments that are caught up with at a time; health then says how far it came.
AT_ONCE = 60

#: Labels by which replicas are told apart, and the counters of each.
REPLICA, BIN = "model, model_version, replica", "__name__, column, role, le, category"

#: Against answers that lack a part: parameters of Thanos, and of VictoriaMetrics in a cluster.
WHOLE = {"dedup": "true", "partial_response": "false", "deny_partial_response": "1"}


class PrometheusSource(FleetSource):
    """A fleet, by what a Prometheus server knows of it."""

    delay = LAG

    def __init__(self, name: str, series: Series, cursor: str, settings: SourceConfig, base: int, clock: Clock) -> None:
        super().__init__(name, series, cursor, settings, base, clock)
        self.where = f"Prometheus at {settings.url}"

    def fetch(self, cursor: str) -> Iterator[Handover]:
        """Ask for every moment since the cursor, one after the other."""
        every, state = self.settings.every, State.from_text(cursor)
        newest = math.floor((self.clock.time() - LAG) / every) * every
        if state is not None and state.at > newest + every:
            raise SourceError(f"it was asked for {iso(state.at)} already, in the future: was the clock set back?")
        moment = newest if state is None else (math.floor(state.at / every) + 1) * every
        until = min(newest, moment + (AT_ONCE - 1) * every)
        self.more = until < newest
        if self.more:
            self.remark(f"is being caught up with, {iso(until)} by now")
        while moment <= until:
            handover = self._count(state, moment)
            yield handover
            state, moment = State.from_text(handover.cursor), moment + every

    def _count(self, before: State | None, now: float) -> Handover:
        def total(replicas: Collection[Replica]) -> Floats:
            models = _any("model", {replica.model for replica in replicas})
            models += ", " + _any("model_version", {replica.version for replica in replicas})
            return self.places.fill(self._samples(f"sum by ({BIN}) ({self._own(BIN, COUNTS, models)})", now))

        facts = self._samples(self._own("reference", FACTS), now)
        # Replicas of which two processes are scraped now; a pair of servers that scrape one see one instance.
        of_instance = f"count by ({REPLICA}, instance) ({PREDICTIONS}{{{self.settings.match}}})"
        twice = {Replica.of(labels) for labels in self._samples(f"count by ({REPLICA}) ({of_instance}) > 1", now)}
        return self.count(before, facts, twice, now, self._each, total)

    def _each(self, replicas: Collection[Replica], at: float) -> Mapping[Replica, Floats]:
        names = _any("replica", {replica.name for replica in replicas})
        return self.places.by_replica(self._samples(self._own(BIN, COUNTS, names), at))

    def _own(self, by: str, families: Collection[str], which: str = "") -> str:
        """Write a query for families, the newest of each replica wherever and by whomever it was scraped."""
        matchers = (f'__name__=~"{"|".join(families)}"', f'replica!~"{FLEET}.*"', which, self.settings.match)
        newest = f"last_over_time({{{', '.join(filter(None, matchers))}}}[{LOOK_BACK}])"
        return f"max by (__name__, {REPLICA}, {by}) ({newest})"

    def _samples(self, query: str, at: float) -> list[Sample]:
        """Ask for samples at a moment. Raises SourceError if there is no answer, or one that may lack a part."""
        address = f"{self.settings.url.rstrip('/')}/api/v1/query"
        reply = self.ask(address, {"query": query, "time": str(at), **WHOLE})
        try:
            content = orjson.loads(reply.body)
            refused = "" if reply.status == 200 else str(content["error"])
            series = [] if refused else content["data"]["result"]
            rows = [(sample["metric"], float(sample["value"][1])) for sample in series]
            samples = [Sample(labels.get("__name__", ""), labels, value) for labels, value in rows]
        except (ValueError, LookupError, TypeError):
            kind = reply.headers.get("Content-Type", "nothing")
            raise SourceError(f"is not Prometheus: {address} answers {reply.status}, {kind}") from None
        if refused:
            raise SourceError(f"it answers {reply.status}: {refused}")
        if content.get("warnings") or content.get("isPartial"):
            why = "; ".join(map(str, content.get("warnings", ())))
            raise SourceError(f"its answer may lack a part, so nothing is counted{f': {why}' if why else ''}")
        self._compare_clocks(reply.headers.get("Date", ""))
        return samples

    def _compare_clocks(self, date: str) -> None:
        """Raise SourceError if our clock and the server's differ: we would ask for what it does not know yet."""
        try:
            ahead = self.clock.time() - parsedate_to_datetime(date).timestamp()
        except ValueError:
            return  # it does not say
        if abs(ahead) > LAG:
            word = "ahead of" if ahead > 0 else "behind"
            raise SourceError(f"this machine's clock is {abs(ahead):.0f} seconds {word} its clock; nothing is counted")


def _any(label: str, values: Collection[str]) -> str:
    r"""Write a matcher for any of some values.

    >>> print(_any("replica", ["b", "a.1"]))
    replica=~"a\\.1|b"
    """
    text = "|".join(re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value) for value in sorted(values))
    return f"{label}=~{orjson.dumps(text).decode()}"
