"""What a reader sees, word for word, on a phone."""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import pytest

from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.drift.result import AlertKey, Change, Direction, DriftResult, Explanation, Harm, Span, Subject
from monitor.notify import bodies
from monitor.notify.message import Entry, Message, commands, entry, title
from monitor.notify.plan import Notification
from monitor.notify.text import Line, lay_out, plain_text
from monitor.outcomes.performance import Measure
from monitor.outcomes.results import concept_or_data, results_of
from monitor.outcomes.verdict import Verdict
from monitor.reference.file import Reference
from monitor.rules.alert import Alert, Transition
from monitor.runtime import Runtime
from tests.notify.world import World, categorical, firing, verdict

FIRING = """\
WARNING: diabetes: "bmi" and 1 more have drifted, predictions have not moved
harmful: 1, harmless: 1 (each estimated alone; others may offset it)
importance for the model: 61 % (all columns: 100 %)
env=production

"bmi": mean was 0.01, now 0.0571 (1.0 standard deviations), alert since 14 Nov, 22:03 UTC; harmful: mean error (MAE) \
was 41.2, would be 47.9; mean prediction +12
"species": more setosa (was 33 %, now 72 %); fewer virginica (was 33 %, now 0.4 %), alert since 14 Nov, 22:13 UTC; \
harmless: mean error (MAE) stays near 41.2 (43.3 at most)

1,024 predictions of 14 Nov, 21:43 to 22:13 UTC, compared with 442 rows of the training data

look: http://127.0.0.1:5000/?around=bmi-1699999400
what to do: Ask the column's sender whether a unit or a source has changed. http://127.0.0.1:5000/what-to-do#moved
silence all columns: telltale silence rule=drift --for 4h
accept as normal (preview; only if the change is meant): telltale reference accept bmi species --from \
2023-11-14T22:03:00Z --dry-run
report: telltale report --around bmi-1699999400 --out report.html
model version 3f2a1b, rule drift, event bmi-1699999400"""

RESOLVED = """\
RESOLVED: diabetes: "bmi" and 1 more no longer drift
env=production

2 resolved by 23:18 UTC: "bmi" after 1 h 15 min, "species" after 1 h 5 min

Nothing fires any more; there is nothing to do.

look: http://127.0.0.1:5000/?around=bmi-1699999400
model version 3f2a1b, rule drift, event bmi-1699999400"""

ANSWERS = """\
CRITICAL: diabetes: "bmi" has drifted, predictions have moved
harm unknown: the reference has no held-out rows to judge it by
alerts since 14 Nov, 22:13 UTC

predictions: mean was 152, now 171 (0.4 standard deviations)
"bmi": mean was 0.01, now 0.0571 (1.0 standard deviations)

1,024 predictions of 14 Nov, 21:43 to 22:13 UTC, compared with 442 rows of the training data

look: http://127.0.0.1:5000/?around=prediction-1700000000
what to do: Check the columns that drifted; if none did, the model file. \
http://127.0.0.1:5000/what-to-do#predictions-moved
silence all columns: telltale silence rule=drift --for 4h
accept as normal (preview; only if the change is meant): telltale reference accept prediction bmi --from \
2023-11-14T22:13:00Z --dry-run
report: telltale report --around prediction-1700000000 --out report.html
model version 3f2a1b, rule drift, event prediction-1700000000"""

WORSE = """\
CRITICAL: house-prices: accuracy is worse: 0.7, was 0.9
harmful (measured)

performance: 95 % interval 0.67 to 0.73, alert since 14 Nov, 21:13 UTC; the inputs do not explain it: the same \
predictions have other outcomes now. If no input is wrong, train on newer rows

400 outcomes of 14 Nov, 21:43 to 22:13 UTC, compared with 442 rows of the data held out of training

look: http://127.0.0.1:5000/performance?around=performance-1699996400
what to do: Check that the outcomes are right. http://127.0.0.1:5000/what-to-do#performance-worse
silence: telltale silence rule=performance column=performance --for 4h
report: telltale report --around performance-1699996400 --out report.html
model version 3f2a1b, rule performance, event performance-1699996400"""

HARMFUL = Harm(6.7, 1.0, 12.0, 1.0, 0.0, 41.2, 0.0, "mean error (MAE)", importance=0.41)
HARMLESS = Harm(0.1, 1.0, 0.0, 1.0, 0.0, 41.2, 0.0, "mean error (MAE)", importance=0.2)
PREDICTION = AlertKey("drift", "diabetes", "all", "prediction", "prediction")


def told(alert: Alert, now: float, said: Direction, harm: Harm | None = None, **more: object) -> DriftResult:
    """A verdict with its words."""
    result = verdict(alert, now)._replace(explanation=Explanation(said, (), harm), model=alert.model)
    return result._replace(**more)  # type: ignore[arg-type]


MEAN = Direction("mean was 0.01, now 0.0571 (1.0 sd)", "moved", (), 0.01, 0.0571)


def written(messages: Sequence[Notification]) -> str:
    (one,) = messages
    return plain_text(one.message, title(one.message), 4000)


def plain_line(line: Line) -> str:
    return "".join(piece.text for piece in line)


def test_the_messages_word_for_word() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    more: dict[str, Any] = {"labels": {"env": "production"}, "model": "diabetes"}
    species, bmi = firing("species", at=now, **more), firing("bmi", at=now - 600, **more)
    answer = firing("prediction", role="prediction", model="diabetes")
    moved = categorical(("setosa", 0.333, 0.72), ("virginica", 0.333, 0.004))
    results = {
        species.key: told(species, now, moved, HARMLESS, value=0.5, kind="categorical", statistic="kl"),
        bmi.key: told(bmi, now, MEAN, HARMFUL),
        PREDICTION: told(answer, now, MEAN, state="ok", value=0.01),
    }
    assert written(world.evaluate([species, bmi], results=results)) == FIRING
    world.clock.advance(3900)
    assert written(world.evaluate([])) == RESOLVED


def test_predictions_that_moved_come_first() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    bmi = firing("bmi", at=now, model="diabetes")
    answer = firing("prediction", role="prediction", at=now, model="diabetes", severity="critical")
    said = Direction("mean was 152, now 171 (0.4 sd)")
    results = {bmi.key: told(bmi, now, MEAN), answer.key: told(answer, now, said, value=0.2)}
    assert written(world.evaluate([bmi, answer], results=results)) == ANSWERS


def test_worse_performance_is_told_in_words() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    alert = firing(
        "performance",
        role="outcome",
        rule="performance",
        at=now - 3600,
        severity="critical",
        model="house-prices",
    )
    accuracy = [Measure("accuracy", at, 0.01, at - 0.03, at + 0.03, 400, "higher") for at in (0.7, 0.9)]
    judged = Verdict("accuracy", "worse", *accuracy, 0.2, 0.05, 0.03, 1e-9)
    (result,) = results_of("performance", [judged], Span(now - 1800, now), "holdout 0123", Subject("house-prices", "1"))
    result = result._replace(m=442, reason=concept_or_data(-0.19, -9.0, -0.2))
    assert written(world.evaluate([alert], results={alert.key: result})) == WORSE


def test_performance_is_told_before_the_error_and_says_what_to_do() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    alerts = [firing(name, role="outcome", rule="performance", at=now, event=name) for name in ("error", "performance")]
    error = Direction("mean was 607, now -6,574 (0.2 sd)")
    mae = Direction("mean error (MAE) 29,494, was 23,930", "worse", ("mean error (MAE)",))
    results = {
        alert.key: told(alert, now, said, value=value)
        for alert, said, value in zip(alerts, (error, mae), (9.0, 0.1), strict=True)
    }
    (notification,) = world.evaluate(alerts, results=results)
    message = notification.message
    assert title(message) == (
        "WARNING: mean error (MAE) is worse: 29,494, was 23,930, error (prediction minus outcome) has drifted"
    )
    assert message.guide.endswith("#performance-worse")
    assert [plain_line(line).partition(":")[0] for line in lay_out(message).columns] == [
        "performance",
        "error (prediction minus outcome)",
    ]
    # Also if the error is the news.
    assert replace(message, entries=message.entries[::-1]).guide == message.guide


def test_a_drift_without_harm_can_wait_and_is_told_again_once_it_is_harmful() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    alert = firing("bmi", at=world.clock.time())
    answer = firing("prediction", role="prediction")

    def evaluate(harm: Harm) -> Sequence[Notification]:
        now = world.clock.time()
        world.clock.advance(600)
        still = told(answer, now, MEAN, state="ok", value=0.01)
        return world.evaluate([alert], results={alert.key: told(alert, now, MEAN, harm), answer.key: still})

    assert "\nwhat to do: It can wait until the morning. Ask the column's sender" in written(evaluate(HARMLESS))
    assert evaluate(HARMLESS) == ()
    text = written(evaluate(HARMFUL))
    assert text.startswith('WARNING: "bmi" has drifted, predictions have not moved (1 became harmful)\n')
    assert '\n"bmi" (now harmful): mean' in text
    assert "can wait" not in text
    assert evaluate(HARMLESS) == evaluate(HARMFUL) == (), "it is told once"


def test_a_harmless_drift_cannot_wait_while_performance_is_worse() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    alert, answer = firing("bmi", at=now), firing("prediction", role="prediction")
    worse = firing("performance", role="outcome", rule="performance", at=now)
    results = {
        alert.key: told(alert, now, MEAN, HARMLESS),
        answer.key: told(answer, now, MEAN, state="ok", value=0.01),
        worse.key: told(worse, now, Direction("accuracy 0.7, was 0.9", "worse", ("accuracy",)), value=0.2),
    }
    texts = [
        plain_text(one.message, title(one.message), 4000) for one in world.evaluate([alert, worse], results=results)
    ]
    assert texts[0].startswith('WARNING: "bmi" has drifted, performance is worse, predictions have not moved\nharmless')
    assert texts[1].startswith("WARNING: accuracy is worse: 0.7, was 0.9, predictions have not moved\n")
    assert not any("can wait" in text for text in texts)


def test_names_of_classes_are_code_wherever_they_are_told() -> None:
    """A provider reads a class called `@all` as a mention unless it is code."""
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    bmi = firing("bmi", at=now)
    answer = firing("prediction", role="prediction")
    harm = Harm(0.05, 0.01, 0.1, 0.01, 0.0, 0.1, 0.03, "error rate", "share of @all")
    moved = Direction("more @all (was 42 %, now 51 %)", "moved", ("@all",))
    results = {bmi.key: told(bmi, now, MEAN, harm), answer.key: told(answer, now, moved, state="warning")}
    (notification,) = world.evaluate([bmi], results=results)
    laid = lay_out(notification.message)
    assert "".join(map(plain_line, laid.head[:2])).count("@all") == 2
    assert all(
        "@all" not in piece.text for line in (*laid.head, *laid.columns) for piece in line if piece.style != "code"
    )
    assert title(notification.message) == 'WARNING: "bmi" has drifted, predictions have moved a little'


def test_ten_columns_fit_the_screen_of_a_phone() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    alerts = [firing(f"feature_{n}", at=now - 60 * n, model="diabetes") for n in range(10)]
    results = {alert.key: told(alert, now, MEAN, HARMFUL if n < 3 else HARMLESS) for n, alert in enumerate(alerts)}
    text = written(world.evaluate(alerts, results=results))
    head, columns, foot, _ = text.split("\n\n")
    assert columns.splitlines() == [
        f'"{alert.column}": mean 0.01 → 0.0571; {"harmful, mean error +6.7" if n < 3 else "harmless"}'
        for n, alert in enumerate(alerts)
    ]
    assert head.splitlines()[-1] == "began between 14 Nov, 22:04 and 22:13 UTC"
    on_phone = [part for line in (head, columns, foot) for text in line.splitlines() for part in wrap(text, 45)]
    assert len(on_phone) <= 24


@pytest.mark.parametrize(
    ("changes", "has"),
    [
        (["new value"], '"a" has unseen values'),
        (["out of range", "out of range"], '"a" and 1 more have values out of range'),
        (["missing"], '"a" has more missing values'),
        (["missing", "moved"], '"a" and 1 more have drifted'),
    ],
)
def test_a_title_says_what_the_columns_have(changes: list[Change], has: str) -> None:
    entries = [
        Entry(name, "feature", "new", "info", "", 0.0, change=change)
        for name, change in zip("ab", changes, strict=False)
    ]
    assert title(Message("firing", "drift", "info", "", 0.0, entries=tuple(entries))) == f"INFO: {has}"


@pytest.mark.parametrize(
    ("more", "count", "said"),
    [
        ({}, 1, '"a" no longer drifts'),
        ({}, 2, '"a" and 1 more no longer drift'),
        ({"statistic": "usual 1h"}, 1, '"a" is usual again'),
        ({"reason": "model version v1 was replaced by v2"}, 1, 'alert on "a" has ended'),
        ({"role": "outcome", "column": "performance"}, 1, "performance is no longer worse"),
    ],
)
def test_an_end_says_what_is_over(more: dict[str, Any], count: int, said: str) -> None:
    known = {"column": "a", "role": "feature", **more}
    entry = Entry(status="resolved", severity="info", event_id="", since=0.0, until=60.0, **known)
    assert title(Message("resolved", "drift", "info", "", 90.0, entries=(entry,) * count)) == (
        f"RESOLVED: {said}" + " (lasted 1 minute, until 00:01 UTC)" * (count == 1)
    )


def test_a_message_of_two_models_names_the_model_of_each_line_and_begins_with_the_most_harmful() -> None:
    """Harm is compared as a part of each model's own loss: one has errors of 41, the other an error rate of 0.1."""
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    alerts = [firing("bmi", at=now, model="diabetes"), firing("rooms", at=now, model="prices")]
    alerts.append(firing("prediction", role="prediction", at=now, model="prices"))
    rate = replace(HARMFUL, loss=0.08, loss_error=0.01, usual=0.1, name="error rate", importance=0.8)
    results = {one.key: told(one, now, MEAN, harm) for one, harm in zip(alerts, (HARMFUL, rate, None), strict=True)}
    text = written(world.evaluate(alerts, results=results)).splitlines()
    assert (
        text[0]
        == 'WARNING: prices, diabetes: "rooms" of prices and 1 more have drifted, predictions of prices have moved'
    )
    assert "importance for each model: prices 80 %, diabetes 41 %" in text
    assert [line.partition(": mean was")[0] for line in text if ": mean was" in line] == [
        "prices: predictions",
        '"prices: rooms"',
        '"diabetes: bmi"',
    ]
    world.clock.advance(600)
    assert '"prices: rooms" after 10 minutes' in written(world.evaluate([]))


def test_a_title_says_whose_predictions_have_moved() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    alerts = [firing("bmi", at=now, model=model) for model in ("a", "b", "c")]
    answers = [firing("prediction", role="prediction", model=model) for model in ("a", "b", "c")]
    results = {one.key: told(one, now, MEAN) for one in alerts}
    results |= {
        one.key: told(one, now, MEAN, state="drift" if one.model == "b" else "ok", value=0.01) for one in answers
    }
    (one,) = world.evaluate(alerts, results=results)
    assert title(one.message) == 'WARNING: 3 models: "bmi" of a and 2 more have drifted, predictions of b have moved'


@pytest.mark.parametrize(
    ("role", "more", "why"),
    [
        ("feature", {}, "the reference has no held-out rows to judge it by"),
        ("derived", {}, "not worked out for derived columns"),
        ("outcome", {}, "performance tells whether the model is still right"),
        ("feature", {"state": "insufficient data", "value": None}, "no verdict at this time"),
    ],
)
def test_unknown_harm_says_why(role: str, more: dict[str, Any], why: str) -> None:
    alert = firing("x", role=role)
    assert entry(alert, "new", told(alert, 60.0, MEAN, **more)).harm == f"harm unknown: {why}"
    assert entry(alert, "new", None).harm == "harm unknown: no verdict at this time"


def test_commands_name_the_model_if_there_are_several() -> None:
    a, b = (Entry("bmi", "feature", "new", "info", "", 0.0, model=model) for model in ("diabetes", "prices"))
    one = Message("firing", "drift", "info", "", 0.0, entries=(a,))
    silences = {
        "telltale silence rule=drift column=bmi --for 4h": one,
        "telltale silence rule=drift model=diabetes column=bmi --for 4h": replace(one, several=True),
        # It is about both, so it mutes both.
        "telltale silence rule=drift --for 4h": replace(one, entries=(a, b), several=True),
    }
    assert {commands(message)[0][1]: message for message in silences.values()} == silences
    both = replace(one, entries=(a, replace(b, column="rooms")), several=True, link="https://box.example/")
    told = dict(commands(both))
    accept = told["accept as normal (preview; only if the change is meant)"]
    assert " accept bmi --model diabetes --from " in accept, "columns of one model"
    assert " report --model diabetes --around " in told["report"]
    older = replace(both, entries=(replace(a, since=600.0, event_id="a"), replace(b, event_id="b")))
    told = dict(commands(older))
    assert told["report"].endswith("report --model diabetes --around a --out report.html"), "the event is the model's"
    assert "--from 1970-01-01T00:10:00Z" in told["accept as normal (preview; only if the change is meant)"]
    many = replace(one, entries=tuple(replace(a, column=f"column_{n}") for n in range(40)))
    all_of_them = dict(commands(many))["accept all columns as normal (preview; only if the change is meant)"]
    assert all_of_them == "telltale reference accept --from 1970-01-01T00:00:00Z --dry-run"
    assert both.address == "https://box.example/"
    assert replace(both, entries=(a,)).address == "https://box.example/models/diabetes/column/feature?name=bmi"
    assert [alert["generatorURL"] for alert in bodies.alertmanager(replace(both, kind="state"))] == [
        "https://box.example/models/diabetes/column/feature?name=bmi",
        "https://box.example/models/prices/column/feature?name=rooms",
    ]


def test_an_old_message_says_so_in_its_headline_and_dates_its_times() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    (notification,) = world.evaluate([firing(at=world.clock.time())])
    late = replace(notification.message, delayed=90_000.0)
    assert title(late) == 'WARNING: "bmi" has drifted (1 day 1 h ago)'
    assert plain_line(lay_out(late).columns[0]).endswith("(1.0 standard deviations), alert since 14 Nov, 22:13 UTC")


def test_repeats_and_delays_are_said_first() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    (notification,) = world.evaluate([firing(at=world.clock.time())])
    late = replace(notification.message, repeated=True, delayed=5400.0, changes=9)
    head = [plain_line(line) for line in lay_out(late).head]
    assert head == [
        "harm unknown: the reference has no held-out rows to judge it by",
        "changed 9 times since the last message",
        "delayed by 1 h 30 min: written 22:13 UTC",
        "may be a repeat: no answer came to an earlier attempt",
    ]


def test_counts_agree_with_the_list_and_resolved_ones_are_marked() -> None:
    """Nine columns of which three end and one begins: seven drift, and no name stands where it does not belong."""
    world = World('[receivers.x]\nkind = "log"\n')
    names = [f"usage_{n:02}" for n in range(9)]
    alerts = [firing(name, at=world.clock.time()) for name in names]
    world.evaluate(alerts)
    world.clock.advance(600)
    (update,) = world.evaluate([*alerts[3:], firing("late", at=world.clock.time())])
    text = plain_text(update.message, title(update.message), 4000)
    assert text.startswith('WARNING: "late" and 6 more have drifted (1 new, 3 resolved)')
    shown = [re.split("[: ]", line)[0] for line in text.split("\n\n")[1].splitlines()]
    assert shown == [f'"{name}"' for name in ("late", *names[3:])]
    assert '3 resolved by 22:23 UTC: "usage_00" after 10 minutes, "usage_01" after 10 minutes, "usage_02" after' in text
    assert text.count("(new)") == 1
    body = bodies.slack(update.message)
    assert '"usage_03": mean' in body["text"], "an underscore stays an underscore"
    assert "\uff3f" not in json.dumps(body, ensure_ascii=False)


def test_one_duration_is_told_of_a_resolved_alert() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    alert = firing(at=world.clock.time())
    world.evaluate([alert])
    world.clock.advance(480)
    ended = replace(alert, state="resolved", since=world.clock.time() - 60)
    (last,) = world.evaluate([ended])
    text = plain_text(last.message, title(last.message), 4000)
    assert text.startswith('RESOLVED: "bmi" no longer drifts (lasted 7 minutes, until 22:20 UTC)\n')
    assert "8 min" not in text


def test_the_reason_of_an_end_is_told_even_if_the_message_has_to_wait() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    alert = firing(at=world.clock.time())
    world.evaluate([alert])
    world.clock.advance(60)
    ended = replace(alert, state="resolved", since=world.clock.time())
    why = Transition(ended, "firing", world.clock.time(), None, "model version v1 was replaced by v2", "v1")
    assert world.evaluate([], transitions=[why]) == ()
    world.clock.advance(240)
    (last,) = world.evaluate([])
    assert "because model version v1 was replaced by v2" in plain_text(last.message, title(last.message), 4000)
    assert bodies.webhook(last.message)["alerts"][0]["reason"] == "model version v1 was replaced by v2"


def test_a_drift_of_a_new_version_says_that_it_replaced_the_old_one() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    alert = firing(at=world.clock.time())
    world.evaluate([alert])
    world.clock.advance(600)
    ended = replace(alert, state="resolved", since=world.clock.time())
    why = Transition(ended, "firing", world.clock.time(), None, "model version v1 was replaced by v2", "v1")
    text = written(world.evaluate([firing(at=world.clock.time())], transitions=[why]))
    assert "\nmodel version v1 was replaced by v2\n" in text
    assert '"bmi" (new): ' in text


def test_what_is_over_makes_no_update_more_severe() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    bad, mild = firing("bad", at=now, severity="critical"), firing("mild", at=now)
    (both,) = world.evaluate([bad, mild])
    world.clock.advance(600)
    (update,) = world.evaluate([mild])
    world.clock.advance(600)
    (last,) = world.evaluate([])
    assert [one.message.severity for one in (both, update, last)] == ["critical", "warning", "warning"]
    assert title(update.message) == 'WARNING: "mild" has drifted (1 resolved)'


def test_an_end_says_what_still_fires_of_what_its_receiver_is_told() -> None:
    world = World('[receivers.x]\nkind = "log"\nseverities = ["warning"]\n')
    now = world.clock.time()
    alerts = [firing("late", at=now), firing("b", rule="other", at=now), firing("c", rule="other", at=now)]
    world.evaluate([*alerts, firing("d", rule="third", severity="info")])
    world.clock.advance(600)
    (last,) = world.evaluate([*alerts[1:], firing("d", rule="third", severity="info")])
    text = plain_text(last.message, title(last.message), 4000)
    assert 'RESOLVED: "late" no longer drifts (lasted 10 minutes, until 22:23 UTC)\n' in text
    assert '\n"b" still fires, and 1 more\n' in text


def test_a_columns_name_is_told_from_a_word_in_every_form() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    (notification,) = world.evaluate([firing("late", at=world.clock.time())])
    message = notification.message
    assert title(message) == 'WARNING: "late" has drifted'
    assert '\n"late": mean' in plain_text(message, "", 4000)
    assert "\n<code>late</code>: mean" in bodies.telegram(message)["text"]
    assert any(block["text"]["text"].startswith("`late`: mean") for block in bodies.slack(message)["blocks"])


def test_an_alert_whose_drift_has_gone_does_not_explain_it() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    calm, loud = firing("calm", at=world.clock.time()), firing("loud", at=world.clock.time())
    results = {calm.key: verdict(calm, world.clock.time(), 0.01), loud.key: verdict(loud, world.clock.time())}
    (notification,) = world.evaluate([calm, loud], results=results)
    message = notification.message
    first, second = lay_out(message).columns
    assert plain_line(second) == "calm: within its threshold now; resolves if that lasts"
    assert "mean was 0.01, now 0.0571" in plain_line(first)
    assert title(message) == 'WARNING: "loud" has drifted'
    assert " accept loud --from " in dict(commands(message))["accept as normal (preview; only if the change is meant)"]
    again = replace(message, entries=tuple(replace(one, value=0.01) for one in message.entries))
    assert title(again) == 'WARNING: "loud" and 1 more are within the threshold again'


def test_an_unseen_value_is_told_by_its_name_and_with_its_share_alone() -> None:
    """The column's other categories move by chance; through the real store, rules and messages."""
    rng = np.random.default_rng(5)
    reference = Reference.from_data(
        {"channel": rng.choice(["web", "app", "phone"], 3000, p=[0.5, 0.4, 0.1])}, rng.normal(size=3000)
    )
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock(1_700_006_400.0)
        runtime = Runtime.of_one(Config.from_text(f'[data]\npath = "{folder}"'), reference, "v1", clock)
        for minute in range(20):
            weights = [0.5, 0.4, 0.1, 0.0] if minute < 8 else [0.45, 0.36, 0.09, 0.1]
            values = rng.choice(["web", "app", "phone", "50%"], 200, p=weights).tolist()
            runtime.only.recorder.record_many([values], [rng.normal(size=200)])
            clock.advance(60)
            runtime.evaluate()
        runtime.close()
        with closing(sqlite3.connect(Path(folder) / "telltale.db")) as connection:
            stored = [json.loads(row[0]) for row in connection.execute("SELECT message FROM notifications ORDER BY id")]
    message = Message.from_json(stored[0])
    said = plain_line(lay_out(message).columns[0])
    assert re.search(r"channel: unseen value 50%: was 0 %, now [0-9.]+ %, alert since", said)
    assert message.entries[0].names == ("50%",)
    for text in (plain_text(message, "", 4000), bodies.telegram(message)["text"], bodies.slack(message)["text"]):
        assert "__other__" not in text
        assert "phone" not in text


def test_the_link_leads_to_the_column_where_there_is_one() -> None:
    one, other = Entry("a&b", "feature", "new", "warning", "e", 0.0), Entry("b", "feature", "new", "warning", "e", 0.0)
    message = Message("firing", "drift", "warning", "e", 0.0, entries=(one, one), link="https://box.example/")
    assert message.address == "https://box.example/column/feature?name=a%26b&around=e"
    assert message.address in plain_text(message, "", 4000)
    assert replace(message, entries=(one, other)).address == "https://box.example/?around=e"
    assert replace(message, entries=()).address == "https://box.example/"
    assert replace(message, link="").address == ""
    assert replace(message, entries=(replace(one, column="ü" * 200),)).address == "https://box.example/?around=e", (
        "too long"
    )
    sent = [
        alert["generatorURL"] for alert in bodies.alertmanager(replace(message, kind="state", entries=(one, other)))
    ]
    page = "https://box.example/column/feature?name="
    assert sent == [f"{page}a%26b&around=e", f"{page}b&around=e"]
    older = replace(other, since=-60.0, event_id="older")
    assert replace(message, entries=(one, older)).address == "https://box.example/?around=older"
