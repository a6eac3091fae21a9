"""Performance, live: outcomes through the journal, verdicts at evaluations, alerts, and working them out again."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.backtest.events import Backtest, play
from monitor.backtest.rejudge import judge
from monitor.cli.show import gather
from monitor.cli.show import headline as status_line
from monitor.clock import ManualClock, iso
from monitor.config.load import Config
from monitor.drift.result import DriftResult
from monitor.errors import ConfigError, StoreError
from monitor.exposition.snapshot import Health
from monitor.judging.performance import NO_BASELINE
from monitor.judging.performance_report import lines_of
from monitor.notify.message import Message, title
from monitor.notify.text import plain_text
from monitor.outcomes.baseline import baseline_of
from monitor.outcomes.performance import measure
from monitor.outcomes.results import ASSUMED, concept_or_data
from monitor.reference.file import Reference
from monitor.report.overview import Headline, headline, rows
from monitor.report.performance import summarise
from monitor.runtime import Runtime
from monitor.source.outcomes import id_of, read_outcome
from monitor.store.audit.recompute import recompute
from monitor.store.audit.verify import verify
from monitor.store.records.outcomes import read_sums, roll_up_sums

#: A Monday at noon, UTC.
START = 1_767_614_400.0 + 43_200


def made(rng: np.random.Generator, rows: int, wrong: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Feature, class, probability of `yes`, and outcome. `wrong`: share of outcomes that are turned round."""
    x = rng.normal(size=rows)
    score = 1 / (1 + np.exp(-4 * x))
    outcome = rng.random(rows) < score
    outcome ^= rng.random(rows) < wrong
    return x, score > 0.5, score, outcome


def reference(holdout: bool = True) -> Reference:
    rng = np.random.default_rng(0)
    x, label, score, _ = made(rng, 2000, 0.0)
    names = np.where(label, "yes", "no").tolist()
    found = Reference.from_data({"x": x}, {"answer": names, "proba_yes": score})
    if not holdout:
        return found
    x, label, score, outcome = made(rng, 2000, 0.0)
    values = np.column_stack([x, label * 1.0, score])
    return replace(found, baseline=baseline_of(found.schema, found.target, values, outcome * 1.0, "holdout"))


class World:
    """A runtime under a hand-moved clock, with predictions and their outcomes."""

    def __init__(self, folder: Path, settings: str = "", holdout: bool = True, outcomes: bool = True) -> None:
        self.folder, self.clock, self.rng = folder, ManualClock(START), np.random.default_rng(1)
        taken = "[outcomes]" if outcomes else ""
        config = Config.from_text(f'[data]\npath = "{folder}"\n{settings}\n{taken}\n')
        self.runtime = Runtime.of_one(config, reference(holdout), "v1", self.clock)

    def predict(self, rows: int, wrong: float = 0.0) -> tuple[list[str], list[str]]:
        """Record predictions; their ids, and what will come true."""
        x, label, score, outcome = made(self.rng, rows, wrong)
        ids = self.runtime.only.recorder.record_many([x], [np.where(label, "yes", "no").tolist(), score])
        return ids, np.where(outcome, "yes", "no").tolist()

    def tell(self, ids: list[str], outcomes: list[str]) -> None:
        source = self.runtime.only.outcomes
        assert source is not None
        found = [id_of(one) for one in ids]
        rows = np.array(
            [
                [one.number, one.token, np.nan, read_outcome(source.recorder.target, value)]
                for one, value in zip(found, outcomes, strict=True)
            ]
        )
        source.recorder.append(rows, np.array([one.key for one in found], np.uint64))

    def hours(self, count: int, rows: int = 60, wrong: float = 0.0, every: int = 1) -> None:
        """Let hours pass, each with predictions and their outcomes at once; an evaluation `every` so many of them."""
        for hour in range(1, count + 1):
            self.tell(*self.predict(rows, wrong))
            self.clock.advance(3600)
            if hour % every == 0:
                self.runtime.evaluate()

    @property
    def results(self) -> dict[tuple[str, str], DriftResult]:
        return {(one.column, one.statistic): one for one in self.runtime.only.latest.results if one.role == "outcome"}

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.folder / "telltale.db")) as connection:
            connection.row_factory = sqlite3.Row
            yield connection


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "data")
    yield made
    made.runtime.close()


def test_good_outcomes_are_ok_and_bad_ones_fire_and_resolve(tmp_path: Path) -> None:
    world = World(tmp_path / "data", '[[rule]]\nname = "performance"\nstatistic = "performance"\nwindow = "2d"\n')
    world.hours(24, every=4)
    accuracy = world.results["performance", "accuracy"]
    assert (accuracy.state, accuracy.n) == ("ok", 24 * 60)
    assert "would not be seen" in accuracy.reason
    assert {column for column, _ in world.results} == {"performance", "outcome"}
    world.hours(24, wrong=0.4, every=4)
    worse = world.results["performance", "accuracy"]
    assert worse.state == "drift"
    assert worse.direction is not None
    assert worse.direction.text.startswith("accuracy 0.7")
    firing = {key.column for key, alert in world.runtime.only.latest.alerts.items() if alert.state == "firing"}
    assert "performance" in firing
    world.hours(48, every=4)
    assert world.results["performance", "accuracy"].state == "ok"
    world.runtime.close()


def test_what_is_measured_is_what_happened(world: World) -> None:
    rows = [world.predict(500) for _ in range(2)]
    for ids, outcomes in rows:
        world.tell(ids, outcomes)
    world.tell(rows[0][0][:50], ["no"] * 50)
    world.tell(rows[1][0][:10], ["no"] * 10)
    world.clock.advance(60)
    world.runtime.evaluate()
    (judged,) = world.runtime.only.latest.performance
    assert judged.total.n == 1000
    truth = [*["no"] * 50, *rows[0][1][50:], *["no"] * 10, *rows[1][1][10:]]
    came = sum(one == "yes" for one in truth)
    assert judged.total.confusion.sum(axis=(0, 2))[1] == came
    right = measure(judged.total)["accuracy"]
    assert world.results["performance", "accuracy"].n == right.n == judged.predictions == 1000
    assert world.runtime.only.latest.results is world.runtime.only.latest.results, "what is rendered is kept by it"


def test_stored_verdicts_are_worked_out_again(world: World) -> None:
    world.hours(12)
    world.hours(12, wrong=0.4)
    world.runtime.fold()
    with world.read() as connection:
        rows = connection.execute("SELECT count(*) FROM drift WHERE role = 'outcome'").fetchone()[0]
        assert rows > 24
        found = recompute(connection)
        assert found.ok, found.problems[:3]
        assert found.verdicts >= rows
        changed = connection.execute("UPDATE drift SET value = value + 0.001 WHERE statistic = 'accuracy' AND n > 1000")
        assert changed.rowcount > 3
        assert len(recompute(connection).problems) == changed.rowcount
        connection.rollback()
        assert not verify(connection).problems


def test_the_past_is_judged_as_it_was(tmp_path: Path) -> None:
    world = World(tmp_path / "data", '[drift]\nevery = "1h"\n')
    world.hours(24)
    world.hours(24, wrong=0.4)
    live = {
        (alert.column, alert.since) for alert in world.runtime.only.latest.alerts.values() if alert.role == "outcome"
    }
    done = judge_past(world)
    assert done.evaluations == 48
    assert {(event.column, event.fired) for event in done.events} == {one for one in live if one[0] == "performance"}
    assert done.events[0].statistic in ("accuracy", "f1", "brier", "roc_auc")
    world.runtime.close()


def test_plain_sql_has_every_metric_of_every_hour_and_day(world: World) -> None:
    world.hours(30, wrong=0.2, every=3)

    def equal() -> int:
        with world.read() as connection:
            hours = read_sums(connection, world.runtime.only.series, 0, world.clock.time())
            rows = connection.execute("SELECT * FROM performance ORDER BY start").fetchall()
        shown = {(row["start"], row["metric"]): tuple(row)[-4:] for row in rows}
        for (start, _), sums in hours.items():
            for name, one in measure(sums).items():
                assert shown.pop((iso(start), name)) == pytest.approx((one.value, one.low, one.high, one.n), rel=1e-12)
        assert not shown
        return len(hours)

    assert equal() == 30
    world.runtime.writer.transaction(lambda connection: roll_up_sums(connection, START + 86_400))
    assert equal() == 1 + 6
    with world.read() as connection:
        assert not verify(connection).problems


def test_an_hour_is_judged_once_outcomes_of_its_age_have_come(world: World) -> None:
    """Outcomes come two hours late: the last two hours are not judged."""
    late = []
    for _ in range(30):
        late.append(world.predict(60))
        if len(late) > 2:
            world.tell(*late.pop(0))
        world.clock.advance(3600)
        world.runtime.evaluate()
    (judged,) = world.runtime.only.latest.performance
    assert 7200 <= judged.settle <= 3.2 * 3600
    assert judged.window.end <= world.clock.time() - judged.settle
    assert world.results["performance", "accuracy"].n == judged.total.n < 28 * 60


def test_a_segment_that_a_kill_left_without_a_head_does_not_stop_the_fold(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    world.hours(2)
    world.runtime.close()
    (tmp_path / "data/outcomes" / f"{10_000:020d}.journal").write_bytes(bytes(4096))
    again = World(tmp_path / "data")
    again.hours(1)
    (judged,) = again.runtime.only.latest.performance
    assert judged.total.n == 180
    again.runtime.close()


def test_without_a_holdout_there_is_no_reference(tmp_path: Path) -> None:
    world = World(tmp_path / "data", holdout=False)
    world.hours(3)
    ((result),) = world.results.values()
    assert (result.state, result.reason, result.n) == ("no reference", NO_BASELINE, 180)
    world.runtime.close()


def test_a_rule_names_a_metric_with_its_floor(tmp_path: Path) -> None:
    settings = '[[rule]]\nname = "missed"\nstatistic = "recall"\nfloor = 0.5\nwindow = "1d"\nseverity = "critical"\n'
    world = World(tmp_path / "data", settings)
    world.hours(6, wrong=0.4)
    (key,) = world.results
    assert key == ("performance", "recall")
    assert (world.results[key].state, world.results[key].floor) == ("ok", 0.5)
    world.runtime.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('[[rule]]\nname = "a"\nstatistic = "accuracy"\n', "needs \\[outcomes\\]"),
        ('[outcomes]\n[[rule]]\nname = "a"\nstatistic = "acuracy"\n', "did you mean 'accuracy'"),
        ('[outcomes]\n[[rule]]\nname = "a"\nstatistic = "recall[yes"\n', "did you mean 'recall'"),
        ('[[rule]]\nname = "a"\nstatistic = "estimated r2"\n', "did you mean 'estimated rmse'"),
        ('[outcomes]\n[[rule]]\nname = "a"\nstatistic = "mae"\ncolumns = ["x"]\n', "means nothing for performance"),
    ],
)
def test_rules_that_cannot_be(settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.from_text(settings)


def test_the_report_tells_selection_estimate_and_delays(world: World) -> None:
    """Outcomes come for flagged predictions and 5 % of the rest: the weighted recall is nearer to the truth."""
    came = []
    for _ in range(10):
        x, label, score, outcome = made(world.rng, 1000, 0.15)
        ids = world.runtime.only.recorder.record_many([x], [np.where(label, "yes", "no").tolist(), score])
        known = label | (world.rng.random(1000) < 0.05)
        names = np.where(outcome, "yes", "no")
        world.tell([one for one, keep in zip(ids, known, strict=True) if keep], names[known].tolist())
        came.append((label, outcome))
        world.clock.advance(3600)
        world.runtime.evaluate()
    label, outcome = (np.concatenate(part) for part in zip(*came, strict=True))
    recall = float((label & outcome).sum() / outcome.sum())
    report = world.runtime.performance(START - 3600, world.clock.time())
    naive, fair = report.whole.measures["recall"], report.weighted["recall"]
    assert naive.value > recall + 0.05
    assert abs(fair.value - recall) < 3 * fair.error
    assert report.selected is not None
    assert report.selected.state == "drift"
    assert report.whole.predictions == 10_000
    assert report.spoken > 0.95
    plain = report.to_json()
    assert plain["outcomes"] == report.whole.sums.n
    assert {one["metric"] for one in plain["metrics"]} >= {"accuracy", "recall", "roc_auc", "brier"}
    estimate = report.whole.estimates["accuracy"]
    assert estimate.low < estimate.value < estimate.high
    assert abs(report.concept["accuracy"][1]) > 4


def messages(world: World) -> list[Message]:
    """All messages that were queued for the log, in order."""
    with world.read() as connection:
        rows = connection.execute("SELECT message FROM notifications ORDER BY id").fetchall()
    return [Message.from_json(json.loads(row[0])) for row in rows]


def test_a_drift_says_what_it_does_to_the_model_everywhere(tmp_path: Path) -> None:
    """All rows come close to the boundary, where the model errs most: from the journal to message, API and overview."""
    world = World(tmp_path / "data", '[drift]\nbenign = "quiet"')
    with closing(world.runtime):
        x = world.rng.normal(0, 0.2, 600)
        score = 1 / (1 + np.exp(-4 * x))
        world.runtime.only.recorder.record_many([x], [np.where(score > 0.5, "yes", "no").tolist(), score])
        world.clock.advance(300)
        world.runtime.evaluate()
        evaluation = world.runtime.only.latest
        drifted = next(one for one in evaluation.results if one.column == "x" and one.state == "drift")
        assert drifted.harm is not None
        assert drifted.harm.effect == "harmful"
        assert drifted.harm.text.startswith(
            "harmful (estimated from this column alone; others may offset it): error rate was "
        )
        assert drifted.to_json()["harm"]["loss"] == pytest.approx(drifted.harm.loss)
        (first,) = [one for one in messages(world) if one.group == "drift"]
        assert first.severity == "critical", "a severity above that of its rule"
        text = plain_text(first, title(first), 4000)
        assert 'CRITICAL: "x" has drifted, predictions have moved\n' in text
        said = drifted.direction.text if drifted.direction else ""
        assert f'\n"x": {said.replace("(sd)", "(standard deviation)")}' in text
        assert "\npredictions: proba_yes: " in text
        row = next(row for row in rows(evaluation, world.runtime.only.reference) if row.column.name == "x")
        assert row.harm == drifted.harm
        told = headline(rows(evaluation, world.runtime.only.reference), evaluation, 60.0)
        assert told.more.startswith("Predictions have moved: ")
        status = world.runtime.status()
        assert status["predictions_moved"].startswith("predictions have moved: proba_yes ")
        assert status["harm"]["x"] == drifted.harm.text
        assert status["importance"] == drifted.harm.importance
        with world.read() as connection:
            facts = gather(connection, world.runtime.config, world.clock.time())
            past = judge(connection, world.runtime.only.series, world.runtime.config, START, world.clock.time())
            again = play(past, world.runtime.config.rules, 60.0)
        assert {event.severity for event in again.events if event.column == "x"} == {"critical"}
        assert {name: facts[name] for name in ("predictions_moved", "harm")} == {
            name: status[name] for name in ("predictions_moved", "harm")
        }
        assert facts["drifted"][0] == status["drifted"][0] == "x", "the harmful one first"


def test_the_harm_of_a_value_that_may_stand_for_lost_ones_is_unknown(world: World) -> None:
    """Rows with the value 2 were easy for the model: by the bins alone the shift is harmless."""
    x = np.full(600, 2.0)
    world.runtime.only.recorder.record_many([x], [["yes"] * 600, 1 / (1 + np.exp(-4 * x))])
    world.clock.advance(300)
    world.runtime.evaluate()
    drifted = next(one for one in world.runtime.only.latest.results if (one.column, one.state) == ("x", "drift"))
    assert drifted.direction is not None
    assert drifted.harm is not None
    assert drifted.direction.change == "took over"
    assert drifted.harm.loss < 0
    assert drifted.harm.text.startswith("harm unknown: most rows have one value")


def test_worse_performance_is_told_with_why(world: World) -> None:
    world.hours(24, every=4)
    world.hours(24, wrong=0.4, every=4)
    last = [one for one in messages(world) if one.group == "performance"][-1]
    assert re.match(r"WARNING: (accuracy|F1|ROC-AUC|Brier score) is worse: 0.\d+, was 0", title(last))
    assert "the inputs do not explain it" in plain_text(last, "", 4000)


def test_inputs_explain_what_their_estimate_tells_and_nothing_that_chance_hides() -> None:
    """A small Z of few outcomes does not say that the inputs explain a change."""
    assert concept_or_data(-0.12, -3.4, -0.11) == "whether the inputs explain it cannot be told yet"
    assert concept_or_data(-0.01, -0.3, -0.1).startswith("the inputs explain it")
    assert concept_or_data(-0.02, -9.0, -0.1).startswith("the inputs explain it"), "most of it, with many outcomes"
    assert concept_or_data(-0.1, -7.2, -0.1).startswith("the inputs do not explain it")


ESTIMATE = """
[drift]
every = "1h"
[[rule]]
name = "guess"
statistic = "estimated accuracy"
window = "6h"
keep_firing_for = "2h"
"""


def test_a_worse_estimate_fires_without_any_outcome_and_resolves(tmp_path: Path) -> None:
    """All rows come close to the boundary for six hours: message, page, metrics, backtest, and working it out again."""
    world = World(tmp_path / "data", ESTIMATE, outcomes=False)
    with closing(world.runtime):
        assert [rule.name for rule in world.runtime.config.rules] == ["guess"]

        def hours(count: int, spread: float) -> None:
            for _ in range(count):
                x = world.rng.normal(0, spread, 100)
                score = 1 / (1 + np.exp(-4 * x))
                world.runtime.only.recorder.record_many([x], [np.where(score > 0.5, "yes", "no").tolist(), score])
                world.clock.advance(3600)
                world.runtime.evaluate()

        key = "performance", "estimated accuracy"
        hours(6, 1.0)
        assert world.results[key].state == "ok"
        assert "with 600 predictions, a fall of less than 0.0" in world.results[key].reason
        line = summarise(world.runtime.only.latest)
        assert line is not None
        assert line.line.text.startswith("Estimated accuracy 0.8")
        assert "as on the held-out rows" in line.line.text
        hours(6, 0.2)
        worse = world.results[key]
        assert (worse.state, worse.reason, worse.n, worse.m) == ("drift", ASSUMED, 600, 2000)
        line = summarise(world.runtime.only.latest)
        assert line is not None
        assert (line.guide, line.metric, line.line.tone) == ("estimate-worse", "accuracy", "drift")
        with world.read() as connection:
            facts = gather(connection, world.runtime.config, world.clock.time())
        assert status_line(facts).startswith("The model may be worse: estimated accuracy 0.")
        hours(9, 1.0)
        assert world.results[key].state == "ok"
        sent = messages(world)
        assert [one.kind for one in sent] == ["firing", "resolved"]
        assert title(sent[0]).startswith("WARNING: estimated accuracy is worse: 0.")
        assert sent[0].guide.endswith("#estimate-worse")
        text = plain_text(sent[0], "", 4000)
        assert ASSUMED in text
        assert " predictions of " in text
        metrics = world.runtime.only.snapshot(Health()).performance
        assert [(one.rule, one.coverage) for one in metrics] == [("guess", None)]
        assert metrics[0].measures["estimated recall"].low > 0.8
        moments = judge_past(world)
        with world.read() as connection:
            fired = connection.execute("SELECT at FROM alert_events WHERE after = 'firing'").fetchone()[0]
            assert [iso(event.fired) for event in moments.events] == [fired]
            again = recompute(connection)
            assert again.ok, again.problems[:3]
            rows = connection.execute("UPDATE drift SET critical = critical * 1.01 WHERE role = 'outcome'").rowcount
            assert rows == len(recompute(connection).problems) > 20


def test_a_step_within_the_window_is_no_dispersion_though_its_days_are_rolled_up(tmp_path: Path) -> None:
    world = World(tmp_path / "data", ESTIMATE.replace('"6h"', '"3d"'), outcomes=False)
    with closing(world.runtime):
        for hour in range(75):
            x = world.rng.normal(0, 1.0 if hour < 40 else 0.2, 50)
            score = 1 / (1 + np.exp(-4 * x))
            world.runtime.only.recorder.record_many([x], [np.where(score > 0.5, "yes", "no").tolist(), score])
            world.clock.advance(3600)
            if hour > 60:
                world.runtime.evaluate()
        with world.read() as connection:
            assert connection.execute("SELECT count(*) FROM windows WHERE seconds = 86400").fetchone()[0] >= 2
        (result,) = world.results.values()
        assert (result.state, result.n) == ("drift", 72 * 50)


def judge_past(world: World) -> Backtest:
    """Backtest the rules on performance over everything that is stored."""
    config, series = world.runtime.config, world.runtime.only.series
    with world.read() as connection:
        moments = judge(connection, series, config, START, world.clock.time())
        return play(moments, [rule for rule in config.rules if rule.performance], 3600.0)


def test_where_no_held_out_row_was_there_is_no_estimate_anywhere(tmp_path: Path) -> None:
    """A tenth of the predictions has no score: rule, report and page say so, and have no number."""
    world = World(tmp_path / "data", ESTIMATE, outcomes=False)
    with closing(world.runtime):
        x, label, score, _ = made(world.rng, 500, 0.0)
        score[:50] = np.nan
        world.runtime.only.recorder.record_many([x], [np.where(label, "yes", "no").tolist(), score])
        world.clock.advance(3600)
        world.runtime.evaluate()
        why = "no estimate: 10 % of predictions lie where the reference has no held-out rows"
        (result,) = world.results.values()
        assert (result.state, result.reason, result.value) == ("insufficient data", why, None)
        line = summarise(world.runtime.only.latest)
        assert line is not None
        assert line.line == Headline("unknown", why.capitalize())
        report = world.runtime.performance(START, world.clock.time())
        plain = report.to_json()
        assert plain["no_estimate"] == plain["parts"][0]["no_estimate"] == why
        assert (plain["metrics"], plain["parts"][0]["estimated_value"]) == ([], None)
        assert why in lines_of(report)
        assert not world.runtime.only.snapshot(Health()).performance[0].measures


@pytest.mark.parametrize(("metric", "name"), [("mae", "mean error (MAE)"), ("recall[maybe]", "recall of maybe")])
def test_a_metric_that_the_model_does_not_have_is_told(tmp_path: Path, metric: str, name: str) -> None:
    settings = f'[[rule]]\nname = "a"\nstatistic = "{metric}"\n[[rule]]\nname = "b"\nstatistic = "estimated {metric}"\n'
    world = World(tmp_path / "data", settings)
    with closing(world.runtime):
        world.hours(1)
        found = [(one.state, one.reason) for one in world.runtime.only.latest.results]
        assert found == [("no reference", f"the held-out rows have no {said}{name}") for said in ("", "estimated ")]


def test_a_verdict_that_was_rolled_back_is_stored_by_the_next_evaluation(world: World) -> None:
    world.tell(*world.predict(200))
    world.clock.advance(3600)
    world.runtime.fold()

    def broken(connection: sqlite3.Connection) -> None:
        world.runtime.only.evaluator.run(connection, world.clock.time(), world.runtime.ledger)
        raise StoreError("the disk is full")

    with pytest.raises(StoreError):
        world.runtime.writer.transaction(broken)
    world.runtime.evaluate()
    with world.read() as connection:
        assert connection.execute("SELECT count(*) FROM performance_judged").fetchone()[0] == 1
        assert recompute(connection).ok
