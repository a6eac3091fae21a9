"""What a reader sees, word for word, on a screen of 40 characters."""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
import textwrap
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from monitor.clock import ManualClock
from monitor.config.load import Config
from monitor.notify import bodies
from monitor.notify.message import Entry, Message, title
from monitor.notify.text import Line, lay_out, plain_text
from monitor.reference.file import Reference
from monitor.rules.alert import Transition
from monitor.runtime import Runtime
from tests.notify.world import World, categorical, firing, verdict

FIRING = """\
WARNING: species and 1 more have drifted
model 3f2a1b, rule drift
env=production

species since 14 Nov 2023, 22:13 UTC
grew: setosa (33 % to 72 %); shrank: virginica (33 % to 0.4 %)
KL 0.500, threshold 0.092
·▁▁▁▁▁▃▅▇█▇▅▄▂▁▁▁▁······ reference
·····▁▁▁▁▁▁▂▅▇█▇▆▄▂▁▁▁·· live
from -0.1 to 0.2

bmi since 14 Nov 2023, 22:03 UTC
mean 0.01 to 0.0571 (1.0 sd)
K-S 0.410, threshold 0.092
999 values against 442
·▁▁▁▁▁▃▅▇█▇▅▄▂▁▁▁▁······ reference
·····▁▁▁▁▁▁▂▅▇█▇▆▄▂▁▁▁·· live
from -0.1 to 0.2

1,024 predictions, 14 Nov 2023, 21:43 to 22:13 UTC
against 442 rows of the training data
http://127.0.0.1:5000/
silence: python -m monitor silence rule=drift --for 4h
event species-1700000000"""

RESOLVED = """\
RESOLVED: bmi and 1 more
model 3f2a1b, rule drift
env=production

2 resolved: bmi after 1 h 15 min, species after 1 h 5 min

http://127.0.0.1:5000/
event species-1700000000"""


def plain_line(line: Line) -> str:
    return "".join(piece.text for piece in line)


def test_the_messages_word_for_word() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    labels = {"env": "production"}
    species, bmi = firing("species", at=now, labels=labels), firing("bmi", at=now - 600, labels=labels)
    moved = categorical(("setosa", 0.333, 0.72), ("virginica", 0.333, 0.004))
    results = {
        species.key: verdict(species, now, 0.5, kind="categorical", direction=moved)._replace(statistic="kl"),
        bmi.key: verdict(bmi, now)._replace(n=999),
    }
    (first,) = world.evaluate([species, bmi], results=results)
    assert plain_text(first.message, title(first.message), 4000) == FIRING
    world.clock.advance(3900)
    (last,) = world.evaluate([])
    assert plain_text(last.message, title(last.message), 4000) == RESOLVED


def test_a_sketch_fits_a_line_of_a_phone() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    (notification,) = world.evaluate([firing(at=world.clock.time())])
    for block in lay_out(notification.message).columns:
        for line in map(plain_line, block):
            assert textwrap.wrap(line, 40) == [line]


def test_an_old_message_says_so_in_its_headline_and_dates_its_times() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    (notification,) = world.evaluate([firing(at=world.clock.time())])
    late = replace(notification.message, delayed=90_000.0)
    assert title(late) == "WARNING: bmi has drifted (1 day 1 h ago)"
    assert plain_line(lay_out(late).columns[0][0]) == "bmi since 14 Nov 2023, 22:13 UTC"


def test_repeats_and_delays_are_said_first() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    (notification,) = world.evaluate([firing(at=world.clock.time())])
    late = replace(notification.message, repeated=True, delayed=5400.0, changes=9)
    head = [plain_line(line) for line in lay_out(late).head]
    assert head == [
        "model 3f2a1b, rule drift",
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
    assert text.startswith("WARNING: late and 6 more are drifting (1 new, 3 resolved)")
    shown = [block.split(" ")[0] for block in text.split("\n\n")[1:4]]
    assert shown == ["late", "usage_03", "usage_04"]
    assert "and 4 more: usage_05, usage_06, usage_07, usage_08\n" in text
    assert "3 resolved: usage_00 after 10 minutes, usage_01 after 10 minutes, usage_02 after 10 minutes" in text
    assert text.count("(new)") == 1
    body = bodies.slack(update.message)
    assert "usage_03 since" in body["text"], "an underscore stays an underscore"
    assert "\uff3f" not in json.dumps(body, ensure_ascii=False)


def test_one_duration_is_told_of_a_resolved_alert() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    alert = firing(at=world.clock.time())
    world.evaluate([alert])
    world.clock.advance(480)
    ended = replace(alert, state="resolved", since=world.clock.time() - 60)
    (last,) = world.evaluate([ended])
    text = plain_text(last.message, title(last.message), 4000)
    assert text.startswith("RESOLVED: bmi, after 7 minutes\n")
    assert "8 min" not in text


def test_the_reason_of_an_end_is_told_even_if_the_message_has_to_wait() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    alert = firing(at=world.clock.time())
    world.evaluate([alert])
    world.clock.advance(60)
    ended = replace(alert, state="resolved", since=world.clock.time())
    why = Transition(ended, "firing", world.clock.time(), None, "model v1 was replaced by v2", "v1")
    assert world.evaluate([], transitions=[why]) == ()
    world.clock.advance(240)
    (last,) = world.evaluate([])
    assert "because model v1 was replaced by v2" in plain_text(last.message, title(last.message), 4000)
    assert bodies.webhook(last.message)["alerts"][0]["reason"] == "model v1 was replaced by v2"


def test_an_alert_whose_drift_has_gone_does_not_explain_it() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    calm, loud = firing("calm", at=world.clock.time()), firing("loud", at=world.clock.time())
    results = {calm.key: verdict(calm, world.clock.time(), 0.01), loud.key: verdict(loud, world.clock.time())}
    (notification,) = world.evaluate([calm, loud], results=results)
    first, second = (block for block in lay_out(notification.message).columns)
    assert [plain_line(line) for line in second][1:] == ["within its threshold now; resolves if that lasts"]
    assert "mean 0.01 to 0.0571" in plain_line(first[1])


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
            runtime.only.source.record_many([values], [rng.normal(size=200)])
            clock.advance(60)
            runtime.evaluate()
        runtime.close()
        with closing(sqlite3.connect(Path(folder) / "telltale.db")) as connection:
            stored = [json.loads(row[0]) for row in connection.execute("SELECT message FROM notifications ORDER BY id")]
    message = Message.from_json(stored[0])
    said = [plain_line(line) for line in lay_out(message).columns[0]]
    assert re.fullmatch(r"unseen value 50% 0 % to [0-9.]+ %", said[1])
    assert message.entries[0].names == ("50%",)
    for text in (plain_text(message, "", 4000), bodies.telegram(message)["text"], bodies.slack(message)["text"]):
        assert "__other__" not in text
        assert "phone" not in text


def test_the_link_leads_to_the_column_where_there_is_one() -> None:
    one, other = Entry("a&b", "feature", "new", "warning", "e", 0.0), Entry("b", "feature", "new", "warning", "e", 0.0)
    message = Message("firing", "drift", "warning", "e", 0.0, entries=(one, one), link="https://box.example/")
    assert message.address == "https://box.example/column/feature?name=a%26b"
    assert message.address in plain_text(message, "", 4000)
    assert replace(message, entries=(one, other)).address == "https://box.example/"
    assert replace(message, entries=()).address == "https://box.example/"
    assert replace(message, link="").address == ""
    assert replace(message, entries=(replace(one, column="ü" * 200),)).address == "https://box.example/", "too long"
    sent = [
        alert["generatorURL"] for alert in bodies.alertmanager(replace(message, kind="state", entries=(one, other)))
    ]
    assert sent == ["https://box.example/column/feature?name=a%26b", "https://box.example/column/feature?name=b"]
