"""What a reader sees, word for word, on a screen of 40 characters."""

from __future__ import annotations

import textwrap
from dataclasses import replace

from monitor.notify import alertmanager
from monitor.notify.message import Entry, Message, title
from monitor.notify.text import lay_out, plain, plain_line
from tests.notify.world import World, categorical, firing, verdict

FIRING = """\
WARNING: species and 1 more have drifted
model 3f2a1b, rule drift
env=production

species since 22:13 UTC
setosa 33 % → 72 %
virginica 33 % → 0.4 %
kl 0.5, limit 0.0921
·▁▁▁▁▁▃▅▇█▇▅▄▂▁▁▁▁······ reference
·····▁▁▁▁▁▁▂▅▇█▇▆▄▂▁▁▁·· live
from -0.1 to 0.2

bmi since 22:03 UTC
mean +0.0471 (1.0 std. deviations)
median +0.0428 (0.9 std. deviations)
ks 0.41, limit 0.0921
n = 999 against 442
·▁▁▁▁▁▃▅▇█▇▅▄▂▁▁▁▁······ reference
·····▁▁▁▁▁▁▂▅▇█▇▆▄▂▁▁▁·· live
from -0.1 to 0.2

window 21:43 to 22:13 UTC, n = 1,024
against training, n = 442
http://127.0.0.1:5000/
event species-1700000000
silence: python -m monitor silence rule=drift --for 4h"""

RESOLVED = """\
RESOLVED: bmi and 1 more, after 1 h 15 min
model 3f2a1b, rule drift
env=production

bmi is over, after 1 h 15 min

species is over, after 1 h 5 min

http://127.0.0.1:5000/
event species-1700000000"""


def test_the_messages_word_for_word() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    now = world.clock.time()
    labels = {"env": "production"}
    species, bmi = firing("species", at=now, labels=labels), firing("bmi", at=now - 600, labels=labels)
    moved = categorical([("setosa", 0.333, 0.72)], [("virginica", 0.333, 0.004)])
    results = {
        species.key: verdict(species, now, 0.5, kind="categorical", direction=moved)._replace(statistic="kl"),
        bmi.key: verdict(bmi, now)._replace(n=999),
    }
    (first,) = world.evaluate([species, bmi], results=results)
    assert plain(first.message, title(first.message), 4000) == FIRING
    world.clock.advance(3900)
    (last,) = world.evaluate([])
    assert plain(last.message, title(last.message), 4000) == RESOLVED


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
    assert plain_line(lay_out(late).columns[0][0]) == "bmi since 14 Nov 22:13 UTC"


def test_repeats_and_delays_are_said_first() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    (notification,) = world.evaluate([firing(at=world.clock.time())])
    late = replace(notification.message, repeated=True, delayed=5400.0, changes=9)
    head = [plain_line(line) for line in lay_out(late).head]
    assert head == [
        "model 3f2a1b, rule drift",
        "it changed 9 times since the last message",
        "delayed by 1 h 30 min: written 22:13 UTC",
        "may be a repeat: no answer came to an earlier attempt",
    ]


def test_the_link_leads_to_the_column_where_there_is_one() -> None:
    one, other = Entry("a&b", "feature", "new", "warning", "e", 0.0), Entry("b", "feature", "new", "warning", "e", 0.0)
    message = Message("firing", "drift", "warning", "e", 0.0, entries=(one, one), link="https://box.example/")
    assert message.address == "https://box.example/column/feature?name=a%26b"
    assert message.address in plain(message, "", 4000)
    assert replace(message, entries=(one, other)).address == "https://box.example/"
    assert replace(message, entries=()).address == "https://box.example/"
    assert replace(message, link="").address == ""
    assert replace(message, entries=(replace(one, column="ü" * 200),)).address == "https://box.example/", "too long"
    sent = [
        alert["generatorURL"] for alert in alertmanager.render(replace(message, kind="state", entries=(one, other)))
    ]
    assert sent == ["https://box.example/column/feature?name=a%26b", "https://box.example/column/feature?name=b"]
