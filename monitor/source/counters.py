"""Counts of a fleet, from the counters that its replicas expose: what was added since they were read before.

A counter goes on when its replica restarts, wherever it then runs: it belongs to the data folder, which `replica`
names. So the difference of two readings is exact as long as both are of the same replicas. `Fleet.advance` finds those
that came, went or began again in between, and asks for the counters of these alone.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monitor.clock import iso
from monitor.columns.batch import Batch
from monitor.columns.column import OTHER, Counts, Floats, Schema
from monitor.source.protocol import Gap

BUCKET, CATEGORY = "telltale_value_bucket", "telltale_category_total"
MISSING, NONFINITE = "telltale_missing_total", "telltale_nonfinite_total"
PREDICTIONS, SINCE = "telltale_predictions_total", "telltale_counting_since_timestamp_seconds"
REFERENCE = "telltale_reference_info"

#: Families of counts, and those that tell of a replica.
COUNTS, FACTS = (BUCKET, CATEGORY, MISSING, NONFINITE), (PREDICTIONS, SINCE, REFERENCE)

#: What the `replica` of a process that pulls begins with: its counters are other processes', and never counted again.
FLEET = "fleet-"

#: Seconds for which a replica that is gone is remembered. After that it may come back, and is counted from then on.
REMEMBERED = 7 * 86400.0

#: Seconds before the first reading at which a replica may have begun that was not in it: it was not scraped yet, or its
#: clock is behind. One that began before that has a past that is not ours to count.
NEW = 300.0


class Sample(NamedTuple):
    """One sample of a family."""

    name: str
    labels: Mapping[str, str]
    value: float


class Replica(NamedTuple):
    """Whose counters they are: a version of a model, and the data folder of the process that serves it."""

    model: str
    version: str
    name: str

    @classmethod
    def of(cls, sample: Sample) -> Replica:
        """The replica that a sample is of."""
        return cls(*(sample.labels.get(name, "") for name in ("model", "model_version", "replica")))


class Seen(NamedTuple):
    """A replica at a moment. `since`: when it began to count, all in seconds since 1970; `total`: its predictions.

    `counters`: as they were read, if they cannot be asked for later.
    """

    since: float
    total: int
    at: float
    counters: list[int] | None = None


#: Asks for counters as they are: of some replicas added up, at the newest moment; or of each, at any moment they were
#: seen at. NaN stands for none.
Total = Callable[[Collection[Replica]], Floats]
Each = Callable[[Collection[Replica], float], Mapping[Replica, Floats]]


@dataclass(frozen=True, slots=True)
class State:
    """How far a fleet is counted: what a cursor holds.

    `first`: the moment of the first reading; a replica that is new to us and began well before is counted from when it
    is first seen. `at`: the moment of the newest reading. `sums`: the counters of all replicas that were seen then.
    """

    first: float
    at: float
    sums: Counts
    seen: Mapping[Replica, Seen]

    def to_text(self) -> str:
        """Write it as a cursor."""
        rows = [(*replica, *seen) for replica, seen in self.seen.items()]
        return json.dumps([self.first, self.at, self.sums.tolist(), rows], separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> State | None:
        """Read what `to_text` wrote; None for the beginning."""
        if not text:
            return None
        first, at, sums, rows = json.loads(text)
        return cls(first, at, np.array(sums, np.int64), {Replica(*row[:3]): Seen(*row[3:]) for row in rows})


class Places:
    """Reads counters into the flat vector of a schema's counts."""

    def __init__(self, schema: Schema) -> None:
        #: Counters that were not found, and counters of no predictions.
        self.nothing, self.zeros = np.full(schema.size, np.nan), np.zeros(schema.size)
        self._schema, self._means = schema, np.zeros(schema.size)
        self._at: dict[tuple[str, str, str, str | float], int] = {}
        for column, start in zip(schema.columns, schema.offsets.tolist(), strict=False):
            name, role = column.name, column.role
            means = np.nan_to_num(column.bin_means) if column.numeric else ()
            self._means[start : start + len(means)] = means
            keys: list[tuple[str, str, str, str | float]]
            if column.numeric:
                keys = [(BUCKET, name, role, edge) for edge in (*column.edges, math.inf)]
                keys += [(MISSING, name, role, ""), (NONFINITE, name, role, "")]
            else:
                keys = [(CATEGORY, name, role, text) for text in (*column.categories, OTHER)]
                keys += [(MISSING, name, role, "")]
            self._at |= {key: start + place for place, key in enumerate(keys)}

    def fill(self, samples: Iterable[Sample]) -> Floats:
        """Counters as they were read, shape (schema.size,), NaN for none; the larger of two of one bin."""
        out = self.nothing.tolist()
        for name, labels, value in samples:
            edge: str | float = float(labels["le"]) if name == BUCKET else labels.get("category", "")
            place = self._at.get((name, labels.get("column", ""), labels.get("role", ""), edge))
            if place is not None and not out[place] >= value:  # NaN is no more than anything
                out[place] = value
        return np.array(out)

    def by_replica(self, samples: Iterable[Sample]) -> dict[Replica, Floats]:
        """Counters of each replica, as `fill` has them."""
        of_replicas = defaultdict[Replica, list[Sample]](list)
        for sample in samples:
            of_replicas[Replica.of(sample)].append(sample)
        return {replica: self.fill(own) for replica, own in of_replicas.items()}

    def batch(self, counts: Counts, n: int) -> Batch:
        """Counts of `n` predictions. Counters tell no sums: they are what the reference's mean in each bin gives."""
        return Batch(n, counts, np.add.reduceat(counts * self._means, self._schema.offsets[:-1]))

    def counts(self, counters: Floats, n: int) -> tuple[Counts, str]:
        """Counts by bin of `n` predictions, from their counters; and why they are none, in words."""
        columns = self._schema.columns
        absent = [c.name for c, own in zip(columns, self._schema.split(counters), strict=True) if np.isnan(own).any()]
        if absent:
            more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
            why = f"has no counters of {', '.join(absent[:3])}{more}: is its [metrics] max_series too small?"
            return self._schema.zeros(), why
        if not (np.isfinite(counters) & (counters >= 0) & (counters == np.floor(counters))).all():
            return self._schema.zeros(), "has counters that are negative or not whole"
        counts = counters.astype(np.int64)
        for column, own in zip(columns, self._schema.split(counts), strict=True):
            if column.numeric:
                own[: column.value_bins] = np.diff(own[: column.value_bins], prepend=0)
            if (own < 0).any() or own.sum() != n:
                return self._schema.zeros(), f"has counters of {column.name} that do not add up to its predictions"
        return counts, ""


def survey(samples: Iterable[Sample], reference: str, at: float) -> tuple[dict[Replica, Seen], list[str]]:
    """Return the replicas that have our reference, and in words which have not.

    `reference`: the first digits of its identity, as replicas show them.
    """
    shown: dict[Replica, dict[str, float]] = defaultdict(dict)
    references: dict[Replica, set[str]] = defaultdict(set)
    for sample in samples:
        (name, labels, value), replica = sample, Replica.of(sample)
        if name == REFERENCE:
            references[replica].add(labels.get("reference", ""))
        elif not replica.name.startswith(FLEET):
            shown[replica][name] = max(value, shown[replica].get(name, value))
    seen, others = dict[Replica, Seen](), defaultdict[tuple[str, str, str], list[str]](list)
    for replica, values in shown.items():
        total, since, theirs = values.get(PREDICTIONS, math.nan), values.get(SINCE, math.nan), references[replica]
        if theirs != {reference}:
            what = f"another reference, {min(theirs)}" if len(theirs) == 1 else f"{len(theirs) or 'no'} references"
            others[(*replica[:2], what)].append(replica.name)
        elif total >= 0 and total % 1 == 0 and math.isfinite(since):
            seen[replica] = Seen(since, int(total), at)
        else:
            others[(*replica[:2], f"{PREDICTIONS} {total:g}, {SINCE} {since:g}")].append(replica.name)
    ours = {replica[:2] for replica in seen}
    return seen, [
        f"not counted: version {version} of {model} on {', '.join(sorted(names)[:5])}{', ...' * (len(names) > 5)} "
        f"has {what}" + (", other replicas of that version have ours" if (model, version) in ours else "")
        for (model, version, what), names in sorted(others.items())
    ]


class Comparison(NamedTuple):
    """Replicas of two readings. `known`: those of the new one that were seen before, as they were seen then.

    Of these, `fell`: with fewer predictions than before; `stayed`: their counters are in the old sums; `returned`: they
    are not, since the replica was not seen then. `left`: replicas whose counters are in the old sums only.
    """

    known: dict[Replica, Seen]
    fell: Set[Replica]
    stayed: Set[Replica]
    returned: Set[Replica]
    left: Set[Replica]


def compare(before: State, seen: Mapping[Replica, Seen]) -> Comparison:
    """Find which replicas came, went or began again since a reading."""
    in_sums = {replica for replica, was in before.seen.items() if was.at == before.at}
    again = {replica: was for replica, was in before.seen.items() if replica in seen}
    # VictoriaMetrics does not give a number back to the last bit.
    known = {replica: was for replica, was in again.items() if abs(was.since - seen[replica].since) < 1}
    fell = {replica for replica, was in known.items() if seen[replica].total < was.total}
    stayed = (in_sums & known.keys()) - fell
    left = in_sums - stayed if stayed else set()  # if none stayed, nothing of the old sums is in the new
    return Comparison(known, fell, stayed, known.keys() - in_sums - fell, left)


class Advance(NamedTuple):
    """What a reading adds. `batch`: None if that is nothing; `words`: which replicas are not counted, and why."""

    state: State
    batch: Batch | None
    gaps: tuple[Gap, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Counts a fleet. `total`: None if past counters cannot be asked for later: the state then keeps them."""

    places: Places
    each: Each
    total: Total | None = None

    def advance(self, before: State | None, seen: Mapping[Replica, Seen], now: float) -> Advance:
        """Count what was added since `before`; the first reading adds nothing. Raises what `total` and `each` raise."""
        sums, seen, own, words = self._read(seen, now)
        whole = sums.astype(np.int64)
        if before is None:
            return Advance(State(now, now, whole, seen), None, (), words)
        past = {replica: was for replica, was in before.seen.items() if was.at >= now - REMEMBERED}
        state = State(max(before.first, now - REMEMBERED + NEW), now, whole, {**past, **seen})
        added, n, gaps = self._difference(before, seen, sums, now, own)
        counts, why = self.places.counts(added, n)
        if n and not why:
            return Advance(state, self.places.batch(counts, n), gaps, words)
        if n:
            why = "the counters of replicas do not go on from those that were counted"
            gaps = (*gaps, Gap("damaged", iso(before.at), iso(now), n, why))
        return Advance(state, None, gaps, words)

    def _read(
        self, seen: Mapping[Replica, Seen], now: float
    ) -> tuple[Floats, Mapping[Replica, Seen], dict[Replica, Floats], tuple[str, ...]]:
        """Read all counters, added up; the replicas that can be counted; and the counters of each, if asked for.

        The last part says in words which replicas cannot be counted.
        """
        if self.total and seen:
            sums = self.total(seen)
            if not self.places.counts(sums, sum(is_now.total for is_now in seen.values()))[1]:
                return sums, seen, {}, ()
        shown, own, words = self.each(seen, now) if seen else {}, dict[Replica, Floats](), list[str]()
        for replica, is_now in seen.items():
            counters = shown.get(replica, self.places.nothing)
            if why := self.places.counts(counters, is_now.total)[1]:
                words.append(f"not counted: replica {replica.name} {why}")
            else:
                own[replica] = counters
        counted = {replica: seen[replica] for replica in own}
        if self.total is None:
            kept = {replica: counters.astype(np.int64).tolist() for replica, counters in own.items()}
            counted = {replica: is_now._replace(counters=kept[replica]) for replica, is_now in counted.items()}
        return np.sum([self.places.zeros, *own.values()], axis=0), counted, own, tuple(words)

    def _difference(
        self, before: State, seen: Mapping[Replica, Seen], sums: Floats, now: float, own: Mapping[Replica, Floats]
    ) -> tuple[Floats, int, tuple[Gap, ...]]:
        """What was added: counters, NaN if they cannot be known, and predictions; and what is lost."""
        known, fell, stayed, returned, left = compare(before, seen)
        past = self._past(before.seen, returned | left)
        lost, returned = returned - past.keys(), returned & past.keys()
        # What these have by now is not counted, only what they add from now on.
        ignored = fell | lost | {new for new in seen.keys() - known.keys() if seen[new].since < before.first - NEW}
        nothing, present = self.places.nothing, dict(own)
        if unread := ignored - own.keys():
            present |= self.each(unread, now)
        counted = [before.sums * bool(stayed), *(-past.get(replica, nothing) for replica in left)]
        counted += [past[replica] for replica in returned] + [present.get(replica, nothing) for replica in ignored]
        n = sum(is_now.total for replica, is_now in seen.items() if replica not in ignored)
        n -= sum(known[replica].total for replica in stayed | returned)
        why: dict[Replica, tuple[str, int | None]]
        why = dict.fromkeys(fell, ("fell: was an older copy of its data folder put back?", None))
        what = "are back, and how far they were counted cannot be asked any more"
        why |= {replica: (what, seen[replica].total - known[replica].total) for replica in lost}
        gaps = tuple(
            Gap("damaged", iso(known[replica].at), iso(now), rows, f"the counters of replica {replica.name} {what}")
            for replica, (what, rows) in sorted(why.items())
            if rows != 0
        )
        return sums - np.sum(counted, axis=0), n, gaps

    def _past(self, seen: Mapping[Replica, Seen], replicas: Collection[Replica]) -> dict[Replica, Floats]:
        """Counters of replicas as they were last counted, as far as they can still be asked for."""
        past: dict[Replica, Floats] = {}
        for at in {seen[replica].at for replica in replicas}:
            past.update(self.each([replica for replica in replicas if seen[replica].at == at], at))
        known = {replica: past[replica] for replica in replicas if replica in past}
        unusable = {replica for replica in known if self.places.counts(known[replica], seen[replica].total)[1]}
        return {replica: counters for replica, counters in known.items() if replica not in unusable}
