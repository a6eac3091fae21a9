"""Differences of counters are what was added, whoever comes, goes or cannot be counted meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.columns.column import Floats
from monitor.source.counters import (
    BUCKET,
    FLEET,
    NEW,
    PREDICTIONS,
    REFERENCE,
    REMEMBERED,
    SINCE,
    Fleet,
    Places,
    Replica,
    Sample,
    Seen,
    State,
    survey,
)
from monitor.source.protocol import Gap
from tests.store.world import MIDNIGHT, SCHEMA

PLACES = Places(SCHEMA)
FIRST = MIDNIGHT + 60


class World:
    """Replicas with counters; what a Prometheus would know of them at every moment at which it was asked."""

    def __init__(self, grouped: bool) -> None:
        self.grouped, self.random = grouped, np.random.default_rng(5)
        self.rows: dict[Replica, Floats] = {}
        self.since: dict[Replica, float] = {}
        self.history: dict[float, dict[Replica, Floats]] = {}
        self.now, self.state, self.n = MIDNIGHT, State.from_text(""), 0
        self.counts, self.gaps, self.words, self.asked = SCHEMA.zeros(), list[Gap](), ("",), 0

    def serve(self, name: str, rows: int) -> None:
        """A replica counts some rows; begun if there is none."""
        one = Replica("m", "v1", name)
        if one not in self.rows:
            self.rows[one], self.since[one] = np.zeros(SCHEMA.size), self.now
        drawn = [self.random.multinomial(rows, np.full(c.size, 1 / c.size)) for c in SCHEMA.columns]
        self.rows[one] = self.rows[one] + np.concatenate(drawn)

    def poll(self, visible: Collection[str], bad: Collection[str] = (), seconds: float = 60) -> None:
        """Let time pass, and count those that are visible; of bad ones a counter is not a number."""
        self.now += seconds
        shown = {one: cumulated(rows) for one, rows in self.rows.items() if one.name in visible}
        for one, counters in shown.items():
            counters[0] = np.nan if one.name in bad else counters[0]
        self.history[self.now] = shown
        seen = {one: Seen(self.since[one] + self.random.uniform(0, 1e-6), self.total(one), self.now) for one in shown}
        fleet = Fleet(
            PLACES, self.each, (lambda _: sum(shown.values(), np.zeros(SCHEMA.size))) if self.grouped else None
        )
        state, batch, gaps, self.words = fleet.advance(self.state, seen, self.now)
        self.state = State.from_text(state.to_text())
        if batch is not None:
            self.n, self.counts = self.n + batch.n, self.counts + batch.counts
            assert all(part.sum() == batch.n for part in SCHEMA.split(batch.counts))
        self.gaps += gaps

    def each(self, replicas: Collection[Replica], at: float) -> Mapping[Replica, Floats]:
        self.asked += 1
        found = self.history.get(at, {})
        asked = {one: found[one] for one in replicas if one in found}
        return asked | {
            Replica("of another model", "v1", one.name): PLACES.zeros for one in asked
        }  # Prometheus tells these too

    def total(self, one: Replica) -> int:
        return int(self.rows[one][: SCHEMA.columns[0].size].sum())


def cumulated(counts: Floats) -> Floats:
    out = counts.astype(float)
    for column, part in zip(SCHEMA.columns, SCHEMA.split(out), strict=True):
        if column.numeric:
            part[: column.value_bins] = np.cumsum(part[: column.value_bins])
    return out


@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcd"), st.integers(0, 50), max_size=4),
            st.sets(st.sampled_from("abcd")),
            st.sets(st.sampled_from("abcd"), max_size=1),
            st.integers(0, 9),
        ),
        min_size=2,
        max_size=12,
    ),
)
def test_all_that_was_shown_is_counted_once_or_told_as_lost(grouped: bool, story: list) -> None:
    world = World(grouped)
    counted: dict[Replica, Floats] = {}
    base: dict[Replica, Floats] = {}
    for number, (served, visible, bad, fate) in enumerate(story):
        for name, rows in served.items():
            world.serve(name, rows)
        forgets = fate == 0 and number > 1
        if forgets:
            world.history.clear()
        world.poll(visible, bad)
        for one, rows in world.rows.items():
            if one.name in visible - bad:
                counted[one] = rows
                if number == 0:
                    base[one] = rows
    expected = sum(counted.values(), np.zeros(SCHEMA.size)) - sum(base.values(), np.zeros(SCHEMA.size))
    lost = sum(gap.lost or 0 for gap in world.gaps)
    assert world.n + lost == expected[: SCHEMA.columns[0].size].sum()
    if not world.gaps:
        assert world.counts.tolist() == expected.tolist()
    if not any(fate == 0 for *_, fate in story[2:]):
        assert not world.gaps


def test_counters_are_asked_for_by_replica_only_when_something_happens() -> None:
    world = World(grouped=True)
    for name in "abc":
        world.serve(name, 10)
    for visible, asked in (("abc", 0), ("abc", 0), ("abcd", 0), ("abd", 1), ("abd", 1), ("abcd", 2)):
        world.serve("a", 5)
        world.serve("d" if "d" in visible else "b", 5)
        world.poll(visible)
        assert world.asked == asked
    assert world.n == 25 + 5 * 5


def test_a_replica_with_a_past_is_counted_from_when_it_is_seen() -> None:
    world = World(grouped=True)
    world.serve("a", 10)
    world.serve("old", 70)
    world.since[Replica("m", "v1", "old")] = FIRST - NEW - 1
    world.poll("a")
    world.poll(["a", "old"])
    world.serve("old", 7)
    world.poll(["a", "old"])
    assert (world.n, world.gaps) == (7, [])


def test_counters_that_fall_are_begun_anew_and_said() -> None:
    world = World(grouped=True)
    world.serve("a", 100)
    world.poll("a")
    before = world.rows[Replica("m", "v1", "a")]
    world.serve("a", 30)
    world.poll("a")
    world.rows[Replica("m", "v1", "a")] = before
    world.poll("a")
    assert [(gap.lost, gap.detail) for gap in world.gaps] == [
        (None, "the counters of replica a fell: was an older copy of its data folder put back?")
    ]
    world.serve("a", 40)
    world.poll("a")
    assert world.n == 70
    # The same, and overtaken by traffic: only the bins tell.
    world.rows[Replica("m", "v1", "a")] = before * 0
    world.serve("a", 200)
    world.poll("a")
    assert (world.gaps[1].lost, world.n) == (60, 70)
    assert world.gaps[1].detail == "the counters of replicas do not go on from those that were counted"


def test_what_began_anew_under_its_old_name_is_counted_whole() -> None:
    world = World(grouped=True)
    world.serve("a", 100)
    world.poll("a")
    one = Replica("m", "v1", "a")
    del world.rows[one]
    world.serve("a", 120)
    world.poll("a")
    assert (world.n, world.gaps) == (120, [])


def test_a_replica_that_is_long_gone_is_forgotten() -> None:
    world = World(grouped=True)
    world.poll("a")
    world.serve("a", 10)
    world.poll("a")
    world.poll("", seconds=REMEMBERED + 60)
    world.poll("")
    assert world.state is not None
    assert world.state.seen == {}
    world.serve("a", 5)
    world.poll("a")
    assert world.n == 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((0, np.nan), "has no counters of x: is its [metrics] max_series too small?"),
        ((0, -1.0), "has counters that are negative or not whole"),
        ((0, 0.5), "has counters that are negative or not whole"),
        ((0, np.inf), "has counters that are negative or not whole"),
        ((0, 99.0), "has counters of x that do not add up to its predictions"),
        ((5, 99.0), "has counters of kind that do not add up to its predictions"),
    ],
)
def test_counters_that_cannot_be(change: tuple[int, float], said: str) -> None:
    world = World(grouped=False)
    world.serve("a", 20)
    counters = cumulated(world.rows[Replica("m", "v1", "a")])
    assert PLACES.counts(counters, 20) == (pytest.approx(world.rows[Replica("m", "v1", "a")]), "")
    counters[change[0]] = change[1]
    assert PLACES.counts(counters, 20)[1] == said


def facts(version: str, name: str, reference: str, total: float = 5.0) -> list[Sample]:
    labels = {"model": "m", "model_version": version, "replica": name}
    shown: list[Sample] = [Sample(PREDICTIONS, labels, total), Sample(SINCE, labels, 100.0)]
    return [*shown, Sample(REFERENCE, {**labels, "reference": reference}, 1.0)] if reference else shown


def test_only_replicas_with_our_reference_are_counted_and_the_others_are_named() -> None:
    samples = [
        *facts("v1", "a", "ours"),
        *facts("v1", "b", "theirs"),
        *facts("v2", "c", "other"),
        *facts("v2", "d", "other"),
        *facts("v3", "e", ""),
        *facts("v4", "f", "ours"),
        *facts("v4", "g", "ours", np.nan),
        *facts("v1", f"{FLEET}1", "ours"),
        *facts("v5", "h", "ours"),
        Sample(REFERENCE, {"model": "m", "model_version": "v5", "replica": "h", "reference": "was"}, 1.0),
    ]
    seen, words = survey(samples, "ours", 7.0)
    assert seen == {Replica("m", "v1", "a"): Seen(100.0, 5, 7.0), Replica("m", "v4", "f"): Seen(100.0, 5, 7.0)}
    assert words == [
        "not counted: version v1 of m on b has another reference, theirs, other replicas of that version have ours",
        "not counted: version v2 of m on c, d has another reference, other",
        "not counted: version v3 of m on e has no references",
        "not counted: version v4 of m on g has telltale_predictions_total nan, "
        "telltale_counting_since_timestamp_seconds 100, other replicas of that version have ours",
        "not counted: version v5 of m on h has 2 references",
    ]


def test_edges_are_read_as_numbers_and_the_larger_of_two_counts() -> None:
    labels = {"column": "x", "role": "feature"}
    samples = [
        Sample(BUCKET, {**labels, "le": text}, n) for text, n in (("0", 1.0), ("0.0", 3.0), ("1e0", 4.0), ("+Inf", 5.0))
    ]
    assert PLACES.fill(samples)[:3].tolist() == [3.0, 4.0, 5.0]
