"""The outbox on a real SQLite file."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.clock import iso
from monitor.notify.backlog import Collapse
from monitor.notify.message import Message, entry
from monitor.notify.plan import Announced, GroupState, Notification, Plan
from monitor.store.records import notifications as store
from monitor.store.windows.retention import drop_rows
from tests.notify.world import World, Writer, firing, verdict
from tests.rules.series import key

AT = 1_700_000_000.0


def note(
    sequence: int = 1, receiver: str = "x", group: str = "drift", kind: str = "firing", at: float = AT
) -> Notification:
    return Notification(receiver, group, sequence, Message(kind, group, "warning", f"e{sequence}", at, "v1"))  # type: ignore[arg-type]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "telltale.db")


def queue(writer: Writer, *notes: Notification) -> None:
    writer.call(lambda connection: store.enqueue(connection, Plan(notes, ())))


def test_groups_come_back_as_they_were(writer: Writer) -> None:
    told = {
        key('a"<b'): Announced("e1", 1.5, "critical"),
        key("y", role="prediction"): Announced("e2", 2.0, "info", 3.0, {"team": "credit"}),
    }
    state = GroupState("x", "drift", 7, "e1", 1.5, 2.5, 3, told)
    writer.call(lambda connection: store.enqueue(connection, Plan((), (state,))))
    assert writer.call(store.load_groups) == {("x", "drift"): state}


def test_a_message_comes_back_as_it_was() -> None:
    world = World('[receivers.x]\nkind = "log"\n')
    alert = firing(at=world.clock.time(), labels={"team": "credit"})
    (notification,) = world.evaluate([alert], results={alert.key: verdict(alert, world.clock.time())})
    item = store.head(world.writer.connection, "x")
    assert item is not None
    assert item.message == notification.message


def test_the_key_is_unique(writer: Writer) -> None:
    queue(writer, note(1))
    with pytest.raises(sqlite3.IntegrityError):
        queue(writer, note(1))
    queue(writer, note(1, receiver="y"), note(2))
    assert len(store.backlog(writer.connection, "x")) == 2


def test_a_message_and_its_transition_commit_together_or_not_at_all(writer: Writer) -> None:
    def fails(connection: sqlite3.Connection) -> None:
        store.enqueue(connection, Plan((note(1),), (GroupState("x", "drift", 1),)))
        raise sqlite3.OperationalError("disk full")

    with pytest.raises(sqlite3.OperationalError):
        writer.call(fails)
    assert store.head(writer.connection, "x") is None
    assert store.load_groups(writer.connection) == {}


def test_a_claimed_message_is_in_doubt_when_it_is_found_again(tmp_path: Path) -> None:
    first = Writer(tmp_path / "telltale.db")
    queue(first, note(1))
    item = store.head(first.connection, "x")
    assert item is not None
    assert not item.doubt
    first.call(lambda connection: store.claim(connection, item.id, AT))
    first.connection.close()
    found = store.head(Writer(tmp_path / "telltale.db").connection, "x")
    assert found is not None
    assert (found.doubt, found.attempts) == (True, 1)


def test_order_of_delivery(writer: Writer) -> None:
    """What was tried comes first, since its wait is the receiver's; then a digest; then by age."""
    queue(writer, note(1), note(2), note(1, group="", kind="digest"))
    order = []
    for _ in range(3):
        item = store.head(writer.connection, "x")
        assert item is not None
        order.append((item.message.kind, item.message.event_id))
        writer.call(lambda connection, number=item.id: store.settle(connection, number, "sent", "ok", AT))
    assert order == [("digest", "e1"), ("firing", "e1"), ("firing", "e2")]
    queue(writer, note(3), note(4), note(2, group="", kind="digest"))
    tried = store.backlog(writer.connection, "x")[0]
    writer.call(lambda connection: store.retry(connection, tried.id, "503", AT + 9, plain=False, doubt=False))
    writer.call(lambda connection: store.claim(connection, tried.id, AT))
    assert store.head(writer.connection, "x").id == tried.id  # type: ignore[union-attr]


def test_folding_settles_and_queues_in_one(writer: Writer) -> None:
    queue(writer, note(1), note(2))
    collapsed = Collapse((1,), Message("digest", "", "warning", "e2", AT + 9, lines=(("", "much"),)))
    writer.call(lambda connection: store.collapse(connection, "x", collapsed, AT + 9))
    writer.call(lambda connection: store.collapse(connection, "x", Collapse((2,), collapsed.digest), AT + 10))
    rows = writer.connection.execute("SELECT state, kind, sequence FROM notifications ORDER BY id").fetchall()
    assert [tuple(row) for row in rows] == [
        ("collapsed", "firing", 1), ("collapsed", "firing", 2), ("pending", "digest", 1), ("pending", "digest", 2),
    ]  # fmt: skip


def test_a_later_state_replaces_an_earlier_one_and_keeps_its_wait(writer: Writer) -> None:
    queue(writer, note(1, group="", kind="state"))
    writer.call(lambda connection: store.claim(connection, 1, AT))
    writer.call(lambda connection: store.retry(connection, 1, "HTTP 429", AT + 100, plain=False, doubt=False))
    queue(writer, note(2, group="", kind="resend"))
    (item,) = store.backlog(writer.connection, "x")
    assert (item.message.kind, item.next_try, item.attempts) == ("resend", AT + 100, 1)
    for sequence in range(3, 50):
        store.settle(writer.connection, item.id, "sent", "ok", AT)
        queue(writer, note(sequence, group="", kind="resend"))
        (item,) = store.backlog(writer.connection, "x")
    assert writer.connection.execute("SELECT count(*) FROM notifications").fetchone()[0] <= 3


def test_receivers_that_are_gone_are_retired(writer: Writer) -> None:
    queue(writer, note(1), note(1, receiver="gone"))
    writer.call(lambda connection: store.enqueue(connection, Plan((), (GroupState("gone", "drift", 1),))))
    writer.call(lambda connection: store.retire(connection, ["x"], AT))
    assert [row["state"] for row in writer.connection.execute("SELECT state FROM notifications ORDER BY id")] == [
        "pending",
        "dead",
    ]
    assert store.head(writer.connection, "gone") is None
    # It knows nothing any more; were it to come back, its messages would be numbered on.
    assert store.load_groups(writer.connection)["gone", "drift"] == GroupState("gone", "drift", 1)
    assert store.head(writer.connection, "x") is not None


def test_how_a_receiver_does(writer: Writer) -> None:
    queue(writer, note(1), note(2, at=AT + 60), note(3, at=AT + 120))
    (before,) = store.deliveries(writer.connection, ["x"])
    assert (before.pending, before.oldest, before.dead, before.last_sent) == (3, iso(AT), 0, None)
    assert before.totals == {"sent": 0, "retried": 0, "dead": 0, "collapsed": 0, "skipped": 0}
    for item, outcome in ((1, "sent"), (2, "dead")):
        writer.call(lambda connection, item=item: store.claim(connection, item, AT + item))
        writer.call(
            lambda connection, item=item, outcome=outcome: store.settle(
                connection, item, outcome, f"said {item}", AT + item
            )
        )
    (after,) = store.deliveries(writer.connection, ["x"])
    assert (after.pending, after.dead, after.last_sent, after.last_answer) == (1, 1, iso(AT + 1), "said 2")
    assert after.totals["sent"] == after.totals["dead"] == 1
    assert json.loads(json.dumps(after._asdict()))["receiver"] == "x"
    writer.call(lambda connection: store.claim(connection, 3, AT + 500))
    writer.call(lambda connection: store.settle(connection, 3, "sent", "ok", AT + 500))
    assert store.deliveries(writer.connection, ["x"])[0].dead == 0


def test_totals_outlive_pruning(writer: Writer) -> None:
    queue(writer, note(1), note(2, at=AT + 60))
    writer.call(lambda connection: store.settle(connection, 1, "sent", "ok", AT))
    assert writer.call(lambda connection: drop_rows(connection, "notifications", AT + 1000, AT + 1e9)) == 1
    assert store.deliveries(writer.connection, ["x"])[0].totals["sent"] == 1
    assert store.head(writer.connection, "x") is not None


def test_the_listing_is_newest_first(writer: Writer) -> None:
    queue(writer, note(1), note(2, at=AT + 60))
    rows = store.listing(writer.connection)
    assert [row["event_id"] for row in rows] == ["e2", "e1"]
    assert set(rows[0]) >= {"at", "receiver", "rule", "kind", "state", "attempts", "answer"}


def test_the_listing_of_a_model_has_its_own_messages_and_those_about_no_alert(writer: Writer) -> None:
    about = {model: entry(firing(at=AT, model=model), "new", None) for model in ("churn", "price")}
    for sequence, names in enumerate((("churn",), ("price",), ("churn", "price"), ()), 1):
        made = note(sequence)
        entries = tuple(about[name] for name in names)
        queue(writer, replace(made, message=replace(made.message, entries=entries)))
    found = {name: [row["event_id"] for row in store.listing(writer.connection, model=name)] for name in (*about, None)}
    assert found == {"churn": ["e4", "e3", "e1"], "price": ["e4", "e3", "e2"], None: ["e4", "e3", "e2", "e1"]}


def test_what_a_digest_told_counts_as_told(writer: Writer) -> None:
    """A beginning that was collapsed into a digest was heard once that digest, and no other message, has arrived."""
    queue(writer, note(1), note(2), note(3, kind="resolved"), note(4))
    collapsed = Collapse((1, 3), Message("digest", "", "warning", "e0", AT + 9))
    writer.call(lambda connection: store.collapse(connection, "x", collapsed, AT + 9))
    writer.call(lambda connection: store.settle(connection, 4, "sent", "ok", AT + 10))
    assert store.delivered_events(writer.connection, "x") == {"e4"}
    digest = store.head(writer.connection, "x")
    assert digest is not None
    assert digest.message.kind == "digest"
    writer.call(lambda connection: store.settle(connection, digest.id, "sent", "ok", AT + 11))
    assert store.delivered_events(writer.connection, "x") == {"e0", "e1", "e4"}
