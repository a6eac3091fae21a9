"""Which messages are due: scenarios in words, then properties over random histories."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.notify.backlog import LAST_STATES, OUTAGE, Item, collapse
from monitor.notify.message import Message, title
from monitor.notify.plan import Policy
from monitor.notify.text import plain_text
from monitor.rules.alert import Alert, Transition
from monitor.rules.rule import Rule
from tests.notify.world import World, firing, verdict
from tests.rules.series import key

LOG = '[receivers.x]\nkind = "log"\n'


def kinds(world: World, alerts: list[Alert], **more: object) -> list[str]:
    return [notification.message.kind for notification in world.evaluate(alerts, **more)]  # type: ignore[arg-type]


def test_an_event_that_becomes_more_severe_is_told_once_more() -> None:
    world = World(LOG + '[receivers.mild]\nkind = "log"\nseverities = ["warning"]\n')
    alert = firing(at=world.clock.time())
    told = [world.evaluate([alert])]
    for severity in ("critical", "critical", "warning"):
        world.clock.advance(600)
        told.append(world.evaluate([replace(alert, severity=severity)]))
    said = [[(one.receiver, title(one.message)) for one in some] for some in told]
    assert said[1:] == [
        [
            ("x", 'CRITICAL: "bmi" has drifted (1 became more severe)'),
            ("mild", 'RESOLVED: alert on "bmi" has ended (lasted 10 minutes, until 22:23 UTC)'),
        ],
        [],
        [("mild", 'WARNING: "bmi" has drifted')],  # it is sent what it is told of, and so an end and a beginning
    ]
    assert '"bmi" (now critical): mean was' in plain_text(told[1][0].message, "", 4000)
    assert "because it is critical now, of which this receiver is not told" in plain_text(told[1][1].message, "", 4000)


def test_fires_once_then_repeats_then_resolves() -> None:
    world = World(LOG)
    alert = firing(at=world.clock.time())
    seen = []
    for minute in range(9 * 60):
        seen += [(minute, kind) for kind in kinds(world, [alert] if minute < 500 else [])]
        world.clock.advance(60)
    assert seen == [(0, "firing"), (240, "repeat"), (480, "repeat"), (500, "resolved")]


def test_forty_columns_are_one_message() -> None:
    world = World(LOG)
    alerts = [firing(f"c{n}", at=world.clock.time()) for n in range(40)]
    results = {alert.key: verdict(alert, world.clock.time(), 0.1 + n / 40) for n, alert in enumerate(alerts)}
    (notification,) = world.evaluate(alerts, results=results)
    assert title(notification.message) == 'WARNING: "c39" and 39 more have drifted'
    assert [entry.column for entry in notification.message.entries[:3]] == ["c39", "c38", "c37"]


def test_a_change_is_followed_up_once_the_spacing_is_over() -> None:
    world = World(LOG)
    first, second = firing("a", at=world.clock.time()), firing("b", at=world.clock.time() + 60)
    assert kinds(world, [first]) == ["firing"]
    world.clock.advance(60)
    assert kinds(world, [first, second]) == []
    world.clock.advance(240)
    (notification,) = world.evaluate([first, second])
    assert notification.message.kind == "update"
    assert [(e.column, e.status) for e in notification.message.entries] == [("b", "new"), ("a", "firing")]
    world.clock.advance(300)
    (notification,) = world.evaluate([second])
    assert [(e.column, e.status) for e in notification.message.entries] == [("b", "firing"), ("a", "resolved")]
    world.clock.advance(300)
    (notification,) = world.evaluate([])
    assert notification.message.kind == "resolved"
    assert notification.message.event_id == first.event_id


def test_flapping_is_held_down_and_told() -> None:
    """On and off every minute for an hour: a message at most every five minutes, which says how often it changed."""
    world = World(LOG)
    messages: list[Message] = []
    before = "inactive"
    for minute in range(60):
        alert = firing(at=world.clock.time(), event=f"e{minute}")
        if minute % 2:
            alert = replace(alert, state="inactive")
        change = Transition(alert, before, world.clock.time(), verdict(alert, world.clock.time()))  # type: ignore[arg-type]
        before = alert.state
        messages += [n.message for n in world.evaluate([alert], transitions=[change])]
        world.clock.advance(60)
    assert 2 <= len(messages) <= 12
    assert max(message.changes for message in messages) >= 5


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    world = World(LOG)
    alert = firing(at=world.clock.time())
    kinds(world, [alert])
    world.clock.jump_to(world.clock.time() - 86_400)
    assert kinds(world, []) == ["resolved"]
    world.clock.advance(600)
    assert kinds(world, [firing(at=world.clock.time() + 86_400)]) == ["firing"]


def test_a_silence_mutes_and_its_end_tells() -> None:
    world = World(LOG)
    alert = firing(at=world.clock.time())
    assert kinds(world, [alert], muted=[alert.key]) == []
    world.clock.advance(60)
    assert kinds(world, [alert]) == ["firing"]


def test_a_silence_stops_repeats_and_still_lets_the_end_through() -> None:
    world = World(LOG)
    alert = firing(at=world.clock.time())
    kinds(world, [alert])
    world.clock.advance(20_000)
    assert kinds(world, [alert], muted=[alert.key]) == []
    assert kinds(world, [], muted=[alert.key]) == ["resolved"]


def test_what_was_never_told_is_not_resolved() -> None:
    world = World(LOG)
    alert = firing(at=world.clock.time())
    assert kinds(world, [alert], muted=[alert.key]) == []
    assert kinds(world, []) == []


def test_routing_by_severity_match_and_rule() -> None:
    world = World(
        """
        [receivers.critical]
        kind = "log"
        severities = ["critical"]
        [receivers.credit]
        kind = "log"
        match = { team = "credit" }
        [receivers.named]
        kind = "log"
        [receivers.everyone]
        kind = "log"
        """
    )
    rules = [Rule("mine", receivers=("named",)), Rule("drift", receivers=("critical", "credit", "everyone"))]
    now = world.clock.time()
    alerts = [
        firing("a", at=now, severity="critical"),
        firing("b", at=now, labels={"team": "credit"}),
        firing("c", at=now, rule="mine", severity="critical"),
    ]
    told = {n.receiver: [e.column for e in n.message.entries] for n in world.evaluate(alerts, rules=rules)}
    assert told == {"critical": ["a"], "credit": ["b"], "named": ["c"], "everyone": ["a", "b"]}


def test_rules_of_two_models_that_share_a_name_have_receivers_of_their_own() -> None:
    world = World('[receivers.one]\nkind = "log"\n[receivers.other]\nkind = "log"\n')
    rules = [
        Rule("drift", models=("m",), receivers=("one",), reopen=7 * 86_400.0),
        Rule("drift", models=("n",), receivers=("other",)),
    ]
    now = world.clock.time()
    alerts = [firing("a", at=now, model=model, reopened=1) for model in ("m", "n")]
    sent = [(one.receiver, [e.model for e in one.message.entries]) for one in world.evaluate(alerts, rules=rules)]
    assert sent == [("other", ["n"])], "that of m came back, and its rule is silent then"


def test_a_receiver_that_wants_no_end_gets_none() -> None:
    world = World('[receivers.x]\nkind = "log"\nresolved = false\n')
    first, second = firing("a", at=world.clock.time()), firing("b", at=world.clock.time() + 600)
    assert kinds(world, [first]) == ["firing"]
    world.clock.advance(600)
    (notification,) = world.evaluate([second])
    assert [e.column for e in notification.message.entries] == ["b"]
    world.clock.advance(600)
    assert kinds(world, []) == []
    world.clock.advance(600)
    assert kinds(world, [firing("a", at=world.clock.time())]) == ["firing"]


def test_alertmanager_gets_all_alerts_again_and_again() -> None:
    world = World('[receivers.x]\nkind = "alertmanager"\nurl = "http://127.0.0.1:1"\n[receivers.log]\nkind = "log"\n')
    alert = firing(at=world.clock.time(), labels={"team": "credit"})
    sent: list[tuple[int, Message]] = []
    for minute in range(30):
        made = world.evaluate([alert] if minute < 10 else [])
        sent += [(minute, n.message) for n in made if n.receiver == "x"]
        world.clock.advance(60)
    assert [minute for minute, _ in sent] == list(range(25))
    assert all(message.entries[0].until is None for minute, message in sent if minute < 10)
    ends = {message.entries[0].until for minute, message in sent if minute >= 10}
    assert ends == {1_700_000_000.0 + 600}
    assert len(world.rows("SELECT * FROM notifications WHERE receiver = 'x' AND state = 'pending'")) == 1


COLUMNS = st.frozensets(st.sampled_from("abcd"))
Steps = st.lists(st.tuples(COLUMNS, COLUMNS, st.integers(1, 400)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(Steps, st.integers(0, 2))
def test_histories(steps: list[tuple[frozenset[str], frozenset[str], int]], repeats: int) -> None:
    """No end without its beginning, none told twice, and what is told in the end is what fires and may be heard."""
    world = World(LOG)
    world.policy = Policy(repeat=2000 + repeats)
    since: dict[str, float] = {}
    open_event: str | None = None
    told: set[str] = set()
    quiet = [(steps[-1][0], steps[-1][1], 400)] * 2 if steps else []
    for on, muted, seconds in [*steps, *quiet]:
        now = world.clock.time()
        since = {name: since.get(name, now) for name in on}
        alerts = [firing(name, at=since[name]) for name in sorted(on)]
        for notification in world.evaluate(alerts, muted=[key(name) for name in muted]):
            message = notification.message
            match message.kind:
                case "firing":
                    assert open_event is None
                    open_event = message.event_id
                case "update" | "repeat":
                    assert open_event == message.event_id
                case "resolved":
                    assert open_event == message.event_id
                    open_event = None
            assert {e.column for e in message.entries if e.status == "resolved"} <= told
            told = {e.column for e in message.firing}
        world.clock.advance(seconds)
    if steps:
        on, muted, _ = steps[-1]
        assert on - muted <= told <= on


@settings(max_examples=25, deadline=None)
@given(Steps, st.integers(0, 40))
def test_a_restart_changes_no_message(steps: list[tuple[frozenset[str], frozenset[str], int]], restart: int) -> None:
    """All state is in the store: a process that starts anew at any step writes what one that lived on writes."""
    worlds = [World(LOG), World(LOG)]
    sent: list[list[object]] = [[], []]
    since: dict[str, float] = {}
    for number, (on, muted, seconds) in enumerate(steps):
        now = worlds[0].clock.time()
        since = {name: since.get(name, now) for name in on}
        alerts = [firing(name, at=since[name]) for name in sorted(on)]
        for world, messages in zip(worlds, sent, strict=True):
            if number == restart and world is worlds[1]:
                fresh = World(LOG)
                fresh.clock.advance(world.clock.monotonic())
                fresh.writer = world.writer
                worlds[1] = world = fresh
            messages += world.evaluate(alerts, muted=[key(name) for name in muted])
            world.clock.advance(seconds)
    assert sent[0] == sent[1]


def waiting(number: int, group: str, created: float, kind: str = "firing", event: str = "e", attempts: int = 0) -> Item:
    return Item(number, group, created, attempts, Message(kind, group, "warning", event, created))  # type: ignore[arg-type]


def test_nothing_is_collapsed_that_did_not_pile_up() -> None:
    backlog = [waiting(1, "a", 0.0), waiting(2, "b", 0.0)]
    assert collapse(backlog, frozenset(), OUTAGE * 2) is None


def test_nothing_is_collapsed_that_has_just_been_written() -> None:
    assert collapse([waiting(1, "a", 0.0), waiting(2, "a", 1.0)], frozenset(), OUTAGE - 1) is None


def test_the_last_state_of_each_group_is_kept() -> None:
    backlog = [
        waiting(1, "a", 0.0),
        waiting(2, "b", 1.0),
        waiting(3, "a", 2.0, "update"),
        waiting(4, "b", 3.0, "resolved"),
    ]
    collapsed = collapse(backlog, frozenset(), OUTAGE * 2)
    assert collapsed is not None
    # b began and ended unheard: it is in the digest only.
    assert collapsed.replaced == (1, 2, 4)
    assert [name for name, _ in collapsed.digest.lines] == ["", "", "rule a: nothing", "rule b: nothing"]


def test_an_end_is_kept_where_the_beginning_was_heard() -> None:
    backlog = [waiting(1, "a", 0.0, "update"), waiting(2, "a", 2.0, "resolved")]
    collapsed = collapse(backlog, frozenset({"e"}), OUTAGE * 2)
    assert collapsed is not None
    assert collapsed.replaced == (1,)


@pytest.mark.parametrize("groups", [11, 100, 500])
def test_many_groups_become_few_messages(groups: int) -> None:
    collapsed = collapse([waiting(n, f"r{n}", 0.0) for n in range(groups)], frozenset(), 1e6)
    assert collapsed is not None
    assert groups - len(collapsed.replaced) == LAST_STATES
