"""Replicas as a source, without a Prometheus: their own /metrics, read once a minute.

What they showed before is kept nowhere else, so the cursor has the counters of each. A replica that was away is counted
from there when it answers again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from monitor.clock import Clock
from monitor.columns.column import Floats
from monitor.config.settings import SourceConfig
from monitor.errors import SourceError
from monitor.series import Series
from monitor.source.counters import COUNTS, FACTS, PREDICTIONS, Replica, Sample, State
from monitor.source.fleet import FleetSource
from monitor.source.protocol import Handover

#: Replicas that are read at a time: one that does not answer must not hold up all others.
AT_ONCE = 8


class TargetsSource(FleetSource):
    """A fleet, by what each of its replicas shows."""

    def __init__(self, name: str, series: Series, cursor: str, settings: SourceConfig, base: int, clock: Clock) -> None:
        super().__init__(name, series, cursor, settings, base, clock)
        self.where = f"the fleet of {', '.join(settings.targets[:2])}{', ...' if len(settings.targets) > 2 else ''}"

    def fetch(self, cursor: str) -> Iterator[Handover]:
        """Read all replicas; those that do not answer are remarked upon."""
        before, now = State.from_text(cursor), self.clock.time()
        if before is not None:
            now = max(now, before.at + 0.001)  # a moment names one reading, whatever the clock does
        facts, counters, twice = list[Sample](), dict[Replica, Floats](), set[Replica]()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for target, shown in zip(self.settings.targets, pool.map(self._read, self.settings.targets), strict=True):
                if isinstance(shown, str):
                    self.remark(f"{target} {shown}")
                    continue
                facts += [sample for sample in shown if sample.name in FACTS]
                own = self.places.by_replica(sample for sample in shown if sample.name in COUNTS)
                twice |= own.keys() & counters.keys()
                counters |= own
        if not facts:
            raise SourceError(f"no replica can be read: {'; '.join(self.remarked)}")

        def each(replicas: Collection[Replica], at: float) -> Mapping[Replica, Floats]:
            if at == now or before is None:
                return {replica: counters[replica] for replica in replicas if replica in counters}
            past = {replica: before.seen[replica].counters for replica in replicas}
            return {replica: np.array(kept, float) for replica, kept in past.items() if kept is not None}

        yield self.count(before, facts, twice, now, each)

    def _read(self, target: str) -> list[Sample] | str:
        """What a target shows; or why there is nothing, in words."""
        from prometheus_client.parser import text_string_to_metric_families  # it loads an HTTP server

        url = target if target.endswith("/metrics") else f"{target.rstrip('/')}/metrics"
        wanted = tuple(name + end for name in (*COUNTS, *FACTS) for end in "{ ")
        try:
            reply = self.ask(url)
            if reply.status != 200:
                return f"answers {reply.status}"
            lines = [line for line in reply.body.decode().split("\n") if line.startswith(wanted)]
            families = text_string_to_metric_families("\n".join(lines) + "\n")
            samples = [Sample(*sample[:3]) for family in families for sample in family.samples]
        except SourceError as error:
            return str(error)
        except (ValueError, LookupError) as error:
            return f"shows what is no metrics: {error}"
        return samples if any(sample.name == PREDICTIONS for sample in samples) else f"shows no {PREDICTIONS}"
