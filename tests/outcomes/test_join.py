"""Outcomes joined to their predictions: equal to a brute-force join, whatever comes twice, early or after a kill."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor import failpoint
from monitor.clock import ManualClock
from monitor.columns.column import Column, Schema
from monitor.config.load import Config
from monitor.errors import InputError
from monitor.outcomes.sums import Sums, contribute, target_of
from monitor.outcomes.waiting import key_of
from monitor.reference.file import Reference
from monitor.runtime import Runtime
from monitor.source.outcomes import WHOLE, OutcomeRecorder, OutcomeSource, id_of, read_outcome
from monitor.source.recorder import Recorder
from monitor.store.audit.verify import verify
from monitor.store.records.outcomes import read_delays, read_sums, read_tallies, roll_up_sums
from tests.support.killed import kill

START = 1_750_000_000.0
REGRESSION = Schema(
    (
        Column("x", "feature", "numeric", edges=(0.0, 1.0)),
        Column("y", "prediction", "numeric", edges=(0.0, 5.0, 10.0)),
    )
)
CLASSES = Schema(
    (
        Column("x", "feature", "numeric", edges=(0.0, 1.0)),
        Column("y", "prediction", "categorical", categories=("a", "b", "c")),
    )
)
OTHER_CLASSES = Schema((CLASSES.columns[0], Column("y", "prediction", "categorical", categories=("c", "d", "a"))))


def reference(schema: Schema) -> Reference:
    return Reference(schema, np.full(schema.size, 10), np.zeros(len(schema.columns)), np.ones(len(schema.columns)))


class Crash(BaseException):
    """Stands for a kill."""


class World:
    """A monitor that is killed and started again, beside a plain dictionary that knows what is true."""

    def __init__(self, folder: Path, schema: Schema = REGRESSION, outcomes: str = "") -> None:
        self.folder, self.schema, self.settings = folder, schema, outcomes
        self.clock = ManualClock(START)
        self.version = 1
        #: By the caller's id or ours: schema, time, prediction, outcome.
        self.truth: dict[str, list[Any]] = {}
        self.sent: list[tuple[str, Any, float]] = []
        text = f'[data]\npath = "{self.folder / "data"}"\nsegment = "64KiB"\n[outcomes]\n{self.settings}'
        self.config = Config.from_text(text)
        #: Journals that others record: what writes into each, by key.
        self.others: dict[str, tuple[Recorder, OutcomeRecorder]] = {}
        self.start()

    def start(self) -> None:
        self.runtime = Runtime.of_one(self.config, reference(self.schema), f"v{self.version}", self.clock)
        for key, (recorder, _) in self.others.items():
            self.follow(key, recorder)

    def follow(self, key: str, recorder: Recorder) -> None:
        self.runtime.journals.add("model", key, recorder.token, 1, self.folder / "data" / "others" / key)

    def join(self, key: str) -> None:
        """Begin a journal as another process would."""
        folder = self.folder / "data" / "others" / key
        recorder = Recorder(folder / "journal", self.schema, self.config, self.clock)
        outcomes = OutcomeRecorder(folder / "outcomes", self.schema, target_of(self.schema), self.config, self.clock)
        self.others[key] = recorder, outcomes
        self.follow(key, recorder)

    def leave(self, key: str) -> None:
        """The process that wrote a journal was killed; what it left is folded."""
        del self.others[key]
        gone: list[str] = []

        def discover() -> None:
            self.runtime.journals.retire("model", key, lambda: gone.append(key))

        with pytest.MonkeyPatch.context() as patch:  # ends in the midst of a fold, as it does when it is found there
            patch.setattr(self.runtime.workers, "discover", discover)
            self.fold()
        if not gone:
            self.clock.advance(3601)
            self.fold()
        assert gone == [key]

    @property
    def outcomes(self) -> OutcomeSource:
        found = self.runtime.only.outcomes
        assert found is not None
        return found

    def predict(self, value: Any, own: str = "", key: str = "") -> str:
        source = self.others[key][0] if key else self.runtime.only.recorder
        keys = None if not own else np.array([id_of(own).key], np.uint64)
        (ours,) = source.record_many([[0.5]], [[value]], None, keys)
        name = own or ours
        if name not in self.truth:
            self.truth[name] = [self.schema, self.clock.time(), value, None]
        if own:
            self.truth.setdefault(ours, self.truth[name])  # ours leads to the same prediction
        return ours

    def outcome(self, name: str, value: Any, key: str = "") -> int:
        """Send an outcome; it is told to the truth when it is folded."""
        recorder = self.others[key][1] if key else self.outcomes.recorder
        whose = id_of(name)
        row = [whose.number, whose.token, np.nan, read_outcome(recorder.target, value)]
        self.sent.append((name, value, self.clock.time()))
        return recorder.append(np.array([row], float), np.array([whose.key], np.uint64))

    def fold(self) -> None:
        self.runtime.folding.fold()
        self.settle()

    def settle(self) -> None:
        for name, value, _ in self.sent:
            if name in self.truth:
                self.truth[name][3] = value
        oldest = self.clock.time() - 3600
        self.sent = [one for one in self.sent if one[0] not in self.truth and one[2] > oldest]

    def kill(self) -> None:
        kill(self.runtime)
        self.start()

    def expected(self) -> dict[tuple[str, int], Sums]:
        out: dict[tuple[str, int], Sums] = {}
        for schema, at, value, outcome in {id(row): row for row in self.truth.values()}.values():
            if outcome is not None:
                target = target_of(schema)
                key = (schema.fingerprint, int(at // 3600) * 3600)
                codes = target.classes
                row = np.array([[float(codes.index(value)) if codes else value]])
                came = float(codes.index(outcome) if outcome in codes else len(codes)) if codes else outcome
                part = contribute(target, row, np.array([came]))
                out[key] = out[key] + part if key in out else part
        return out

    def found(self) -> dict[tuple[str, int], Sums]:
        def read(connection: Any) -> dict[tuple[str, int], Sums]:
            out = {}
            for series in self.outcomes._series.values():
                for (hour, _), sums in read_sums(connection, series, 0, 1e12).items():
                    out[series.schema.fingerprint, hour] = sums
            return out

        return self.runtime.writer.transaction(read)

    def check(self) -> None:
        expected, found = self.expected(), self.found()
        assert expected.keys() <= found.keys()
        for key, sums in found.items():
            wanted = expected.get(key, Sums.zero(sums.target))
            assert sums.counts.tolist() == wanted.counts.tolist()
            np.testing.assert_allclose(sums.moments, wanted.moments, rtol=1e-9, atol=1e-6)

    def tallies(self) -> dict[str, int]:
        found = self.runtime.writer.transaction(read_tallies)
        return {result: count for (source, result), count in found.items() if source == "outcomes"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    kill(world.runtime)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("predict"), st.floats(-5, 15), st.sampled_from(["", "", "u", "v", "w"])),
        st.tuples(st.just("outcome"), st.integers(0, 8), st.one_of(st.none(), st.integers(0, 3).map(float))),
        st.tuples(st.just("early"), st.sampled_from(["u", "v", "w"]), st.integers(0, 3).map(float)),
        st.tuples(st.just("fold"), st.sampled_from(["", "fold.begin", "fold.committed"]), st.integers(1, 3)),
        st.tuples(st.just("kill"), st.none(), st.none()),
        st.tuples(st.just("leave"), st.none(), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 4000), st.none()),
    ),
    max_size=25,
)


def fold_and_crash(world: World, patch: pytest.MonkeyPatch, wanted: str, left: int) -> None:
    """Crash where a failpoint is reached so many times."""

    def reach(name: str) -> None:
        nonlocal left
        left -= name == wanted
        if name == wanted and left == 0:
            raise Crash

    patch.setattr(failpoint, "reach", reach)
    try:
        world.runtime.folding.fold()
    except Crash:
        world.kill()
    world.fold()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(operations)
def test_sums_equal_a_brute_force_join(monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world, ids, began = World(Path(folder)), list[str](), 1
        world.join("a1")
        for step, one, other in steps:
            (a,) = world.others
            if step == "predict":
                # Which of two predictions with one id is counted is only known if both are in one journal.
                ids.append(world.predict(one, other, a if other or len(ids) % 2 else ""))
            elif step == "outcome" and ids:
                world.outcome(ids[one % len(ids)], other, a)
            elif step == "early":
                world.outcome(one, other, a)
            elif step == "leave":
                world.leave(a)
                world.join(f"a{(began := began + 1)}")
            elif step == "wait":
                world.clock.advance(one)
            elif step == "kill":
                world.kill()
            elif step == "fold" and one:
                with monkeypatch.context() as patch:
                    fold_and_crash(world, patch, one, other)
            elif step == "fold":
                world.fold()
                world.check()
        world.fold()
        world.fold()
        world.check()
        world.kill()
        world.fold()
        world.check()
        kill(world.runtime)


def test_each_result_is_told_and_counted(world: World) -> None:
    first, second = world.predict(1.0), world.predict(2.0, "mine")
    world.fold()
    world.clock.advance(90)
    sent = [
        *(world.outcome(first, 1.5), world.outcome("mine", 2.0), world.outcome(second, 2.0), world.outcome(first, 3.0)),
        *(world.outcome("0123456789ab-7", 1.0), world.outcome("nobody's", 1.0), world.outcome(first[:-1] + "99", 1.0)),
    ]
    world.fold()
    world.check()
    told = {number: [name for name, count in world.outcomes.results(number, 1).items() if count] for number in sent}
    assert [*told.values()] == [
        *(["joined"], ["joined"], ["repeated"], ["corrected"], ["other_replica"], ["waiting"], ["unknown"])
    ]
    series = world.runtime.only.series
    delays, seconds = world.runtime.writer.transaction(lambda connection: read_delays(connection, series))
    assert (delays.sum(), seconds) == (2, 180.0)
    world.clock.advance(3601)
    world.fold()
    assert world.tallies() == {
        "joined": 2,
        "repeated": 1,
        "corrected": 1,
        "other_replica": 1,
        "waiting": 1,
        "unknown": 2,
    }


def test_boxkites_form_of_our_ids_is_known(world: World) -> None:
    ours = world.predict(1.0)
    assert id_of(f"server/v1/{ours}")[:2] == id_of(ours)[:2]
    assert id_of("own/1").key == key_of("own/1")


def test_an_outcome_before_its_prediction_waits_an_hour(world: World) -> None:
    world.outcome("early", 3.0)
    world.fold()
    world.kill()
    world.clock.advance(1800)
    world.predict(1.0, "early")
    world.fold()
    world.fold()
    world.check()
    assert world.tallies() == {"waiting": 1, "joined": 1}
    world.kill()
    world.outcome("early", 3.0)
    world.fold()
    assert world.tallies() == {"waiting": 1, "joined": 1, "repeated": 1}


def test_an_outcome_that_was_unknown_stays_so_after_a_kill(world: World) -> None:
    world.outcome("late", 3.0)
    world.fold()
    world.clock.advance(3601)
    world.fold()
    world.predict(1.0, "late")
    world.fold()
    world.kill()
    world.fold()
    world.check()
    world.outcome("late", 3.0)
    world.fold()
    world.check()
    assert world.tallies() == {"waiting": 1, "unknown": 1, "joined": 1}


def test_what_has_waited_too_long_is_expired_and_what_is_sampled_out_is_not_kept(tmp_path: Path) -> None:
    world = World(tmp_path, outcomes='within = "1d"')
    old = world.predict(1.0)
    world.fold()
    world.clock.advance(90_000)
    world.predict(2.0)
    world.fold()
    world.predict(3.0)
    world.fold()
    world.truth.clear()
    world.outcome(old, 1.0)
    world.fold()
    assert world.tallies() == {"expired": 1}
    waiting = world.runtime.only.source.kept
    waiting.one_in = 1 << 20
    gone = world.predict(4.0)
    world.fold()
    world.outcome(gone, 1.0)
    world.fold()
    assert world.tallies() == {"expired": 1, "not_kept": 1}
    kill(world.runtime)


def test_an_outcome_belongs_to_the_version_that_predicted(tmp_path: Path) -> None:
    world = World(tmp_path, CLASSES)
    old = [world.predict(value) for value in "abc"]
    world.fold()
    world.kill()
    world.schema, world.version = OTHER_CLASSES, 2
    world.kill()
    new = [world.predict(value) for value in "cda"]
    world.fold()
    for name, value in zip([*old, *new], ["a", "c", "c", "c", "e", "a"], strict=True):
        world.outcome(name, value)
    world.fold()
    world.check()
    assert len(world.found()) == 2
    world.schema, world.version = REGRESSION, 3
    world.kill()
    world.outcome(new[0], 1.0)
    world.fold()
    assert world.tallies() == {"joined": 6, "not_an_outcome": 1}
    kill(world.runtime)


def test_a_correction_reaches_a_day_that_was_rolled_up(world: World) -> None:
    ids = [world.predict(float(n)) for n in range(3)]
    world.fold()
    for name in ids:
        world.outcome(name, 1.0)
    world.fold()
    world.runtime.writer.transaction(lambda connection: roll_up_sums(connection, START + 2 * 86400))
    ((_, before),) = world.found().items()
    world.outcome(ids[0], 5.0)
    world.outcome(ids[1], None)
    world.fold()
    ((key, after),) = world.found().items()
    assert key[1] % 86400 == 0
    assert (before.n, after.n) == (3, 2)
    whole = sum(world.expected().values(), Sums.zero(after.target))
    np.testing.assert_allclose(after.moments, whole.moments, atol=1e-9)


def test_outcomes_with_their_predictions_need_no_join(world: World) -> None:
    rows = np.array([[0.0, WHOLE, START - 7200, 4.0, 3.5], [0.0, WHOLE, np.nan, 4.0, 4.5]])
    world.outcomes.recorder.append(rows, np.zeros(2, np.uint64))
    world.fold()
    hours = [hour for _, hour in world.found()]
    assert hours == [int((START - 7200) // 3600) * 3600, int(START // 3600) * 3600]
    assert all(sums.n == 1 for sums in world.found().values())


def test_outcomes_of_a_process_that_ends_within_a_fold_are_counted_once(world: World) -> None:
    world.join("a")
    world.others["a"][1].append(np.array([[0.0, WHOLE, np.nan, 4.0, 3.5]]), np.zeros(1, np.uint64))
    world.leave("a")
    assert [sums.n for sums in world.found().values()] == [1]


def test_a_database_put_back_forgets_what_waited(world: World, tmp_path: Path) -> None:
    name = world.predict(1.0)
    world.fold()
    kill(world.runtime)
    (tmp_path / "data" / "telltale.db").unlink()
    for path in (tmp_path / "data").glob("telltale.db-*"):
        path.unlink()
    world.start()
    world.fold()
    world.outcome(name, 1.0)
    world.fold()
    assert world.tallies() == {"other_replica": 1}


def test_an_older_database_gets_the_outcomes_that_the_journal_still_has(world: World, tmp_path: Path) -> None:
    database = tmp_path / "data" / "telltale.db"
    ids = [world.predict(float(n)) for n in range(5)]
    world.fold()
    world.outcome(ids[0], 1.0)
    world.fold()
    world.runtime.writer.checkpoint()
    older = database.read_bytes()
    for name in ids[1:]:
        world.outcome(name, 1.0)
    world.fold()
    kill(world.runtime)
    for path in database.parent.glob("telltale.db*"):
        path.unlink()
    database.write_bytes(older)
    world.start()
    world.fold()
    world.check()


def test_a_deleted_journal_takes_nothing_from_what_waits(world: World, tmp_path: Path) -> None:
    name = world.predict(1.0)
    world.fold()
    kill(world.runtime)
    for path in (tmp_path / "data" / "journal").iterdir():
        path.unlink()
    world.start()
    world.outcome(name, 1.0)
    world.fold()
    world.check()


def test_absurd_numbers_leave_nothing_behind(world: World) -> None:
    absurd, sound = world.predict(1e300), world.predict(2.0)
    world.fold()
    for value in (1.0, 2.0, None):
        world.outcome(absurd, value)
        world.fold()
        world.check()
    world.outcome(sound, 2.0)
    world.fold()
    world.check()
    with pytest.raises(InputError, match="1e\\+30"):
        world.outcome(sound, 1e31)


def test_verify_covers_outcomes(world: World) -> None:
    name = world.predict(1.0)
    world.fold()
    world.outcome(name, 1.0)
    world.fold()
    world.outcome(name, 2.0)
    world.fold()
    world.runtime.writer.transaction(lambda connection: roll_up_sums(connection, START + 2 * 86400))
    assert not world.runtime.writer.transaction(verify).problems
    for change in (
        "UPDATE performance_sums SET sums = replace(sums, ':1', ':2')",
        "UPDATE tallies SET count = count + 1",
        "DELETE FROM outcome_delays",
        "UPDATE id_tokens SET first = 2",
    ):
        table = change.split()[2 if change.startswith("DELETE") else 1]

        def undone(connection: Any, change: str = change) -> list[str]:
            connection.execute("SAVEPOINT test")
            connection.execute(change)
            found = [problem.where.split()[0] for problem in verify(connection).problems]
            connection.execute("ROLLBACK TO test")
            return found

        assert world.runtime.writer.transaction(undone) == [table]
