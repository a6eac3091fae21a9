"""The outbox: messages that wait, and what became of them.

The functions take the writer's connection inside its transaction, so that a message is queued in the transaction that
stores the transition it tells of. `StoreOutbox` hands the same functions to the writer, for the senders.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeVar

from monitor.clock import from_iso, iso
from monitor.drift.result import AlertKey
from monitor.notify.backlog_digest import Collapse, Item, Outcome
from monitor.notify.message import Message
from monitor.notify.plan import GroupState, Notification, Plan, Told
from monitor.store.audit import seals
from monitor.store.windows.rows import write_meta

T = TypeVar("T")

_OPEN = "state IN ('pending', 'sending')"


class Caller(Protocol):
    """The writer: runs a function inside one transaction on its own thread."""

    def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run it and return its result; raises what it raises, and when the store cannot be used."""


def load_groups(connection: sqlite3.Connection) -> dict[tuple[str, str], GroupState]:
    """What each receiver knows, by (receiver, group).

    Messages are numbered on from those that there are, even where somebody has deleted what the receiver was told.
    """
    rows = connection.execute("SELECT * FROM notification_groups").fetchall()
    groups = {(row["receiver"], row["group"]): _group(row) for row in rows}
    for receiver, group, newest in connection.execute(
        'SELECT receiver, "group", max(sequence) FROM notifications GROUP BY receiver, "group"'
    ):
        state = groups.get((receiver, group), GroupState(receiver, group))
        groups[receiver, group] = replace(state, sequence=max(state.sequence, newest))
    return groups


def enqueue(connection: sqlite3.Connection, due: Plan) -> int:
    """Queue the messages of a plan and store what the receivers then know; return the number of messages."""
    with seals.changing(connection, "notification_groups"):
        for state in due.groups:
            connection.execute(
                'INSERT OR REPLACE INTO notification_groups (receiver, "group", sequence, event_id, opened, last, '
                "changes, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    state.receiver,
                    state.group,
                    state.sequence,
                    state.event_id,
                    state.opened,
                    state.last,
                    state.changes,
                    _told(state),
                ),
            )
    for notification in due.notifications:
        _insert(connection, notification)
    return len(due.notifications)


def _insert(connection: sqlite3.Connection, new: Notification) -> None:
    message, attempts, next_try = new.message, 0, None
    if message.kind in ("state", "resend"):
        # For Alertmanager only the latest counts. What waits is replaced, and its wait is inherited.
        waiting = connection.execute(
            "SELECT max(attempts), max(next_try) FROM notifications"
            " WHERE receiver = ? AND state = 'pending' AND kind IN ('state', 'resend')",
            (new.receiver,),
        ).fetchone()
        attempts, next_try = waiting[0] or 0, waiting[1]
        with seals.changing(connection, "notifications", "receiver = ? AND kind IN ('state', 'resend')", new.receiver):
            connection.execute(
                "UPDATE notifications SET state = 'collapsed', settled = ?, answer = 'replaced by a later state'"
                " WHERE receiver = ? AND state = 'pending' AND kind IN ('state', 'resend')",
                (iso(message.at), new.receiver),
            )
        done = "receiver = ? AND kind = 'resend' AND state IN ('sent', 'collapsed')"
        seals.delete(connection, "notifications", done, new.receiver)
    cursor = connection.execute(
        'INSERT INTO notifications (at, receiver, "group", sequence, kind, severity, event_id, model_version, message,'
        " state, attempts, next_try) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)",
        (
            iso(message.at),
            new.receiver,
            new.group,
            new.sequence,
            message.kind,
            message.severity,
            message.event_id,
            message.model,
            json.dumps(message.to_json(), allow_nan=False, separators=(",", ":")),
            attempts,
            next_try,
        ),
    )
    seals.add(connection, "notifications", "id = ?", cursor.lastrowid)


def head(connection: sqlite3.Connection, receiver: str) -> Item | None:
    """The message to deliver next: one that was tried already, else a digest, else the oldest."""
    row = connection.execute(
        f"SELECT * FROM notifications WHERE receiver = ? AND {_OPEN}"  # noqa: S608 - a constant
        " ORDER BY attempts = 0, kind <> 'digest', id LIMIT 1",
        (receiver,),
    ).fetchone()
    return _item(row) if row else None


def backlog(connection: sqlite3.Connection, receiver: str) -> list[Item]:
    """All messages that are not settled, the oldest first."""
    rows = connection.execute(
        f"SELECT * FROM notifications WHERE receiver = ? AND {_OPEN} ORDER BY id",  # noqa: S608 - a constant
        (receiver,),
    ).fetchall()
    return [_item(row) for row in rows]


def told(connection: sqlite3.Connection, receiver: str) -> frozenset[str]:
    """Event ids that a receiver has heard of: by a message that was delivered, or by the digest that replaced it."""
    rows = connection.execute(
        "SELECT DISTINCT event_id FROM notifications WHERE receiver = ?1 AND (state = 'sent' OR"
        " (state = 'collapsed' AND kind IN ('firing', 'update', 'repeat') AND id <"
        "  (SELECT max(id) FROM notifications WHERE receiver = ?1 AND state = 'sent' AND kind = 'digest')))",
        (receiver,),
    ).fetchall()
    return frozenset(row[0] for row in rows)


def recent(connection: sqlite3.Connection, receiver: str, since: float) -> list[float]:
    """When the last attempts were made, if since a moment; seconds since 1970, in order."""
    rows = connection.execute(
        "SELECT attempted FROM notifications WHERE receiver = ? AND attempted IS NOT NULL ORDER BY id DESC LIMIT 100",
        (receiver,),
    ).fetchall()
    return sorted(moment for row in rows if (moment := from_iso(row[0])) >= since)


def claim(connection: sqlite3.Connection, item: int, now: float) -> None:
    """Write down that an attempt begins."""
    with seals.changing(connection, "notifications", "id = ?", item):
        connection.execute(
            "UPDATE notifications SET state = 'sending', attempts = attempts + 1, attempted = ? WHERE id = ?",
            (iso(now), item),
        )


def settle(connection: sqlite3.Connection, item: int, outcome: Outcome, answer: str, now: float) -> None:
    """Write down how a message ended, and count it."""
    with seals.changing(connection, "notifications", "id = ?", item):
        connection.execute(
            "UPDATE notifications SET state = ?, answer = ?, settled = ?, next_try = NULL WHERE id = ?",
            (outcome, answer, iso(now), item),
        )
    _count(connection, item, outcome)


def retry(connection: sqlite3.Connection, item: int, answer: str, next_try: float, *, plain: bool, doubt: bool) -> None:
    """Write down that a message will be tried again."""
    with seals.changing(connection, "notifications", "id = ?", item):
        connection.execute(
            "UPDATE notifications SET state = 'pending', answer = ?, next_try = ?, plain = ?, doubt = ? WHERE id = ?",
            (answer, next_try, plain, doubt, item),
        )
    _count(connection, item, "retried")


def collapse(connection: sqlite3.Connection, receiver: str, collapsed: Collapse, now: float) -> None:
    """Settle the replaced messages and queue their digest."""
    for item in collapsed.replaced:
        settle(connection, item, "collapsed", "replaced by a digest", now)
    last = connection.execute(
        "SELECT coalesce(max(sequence), 0) FROM notifications WHERE receiver = ? AND \"group\" = ''", (receiver,)
    ).fetchone()[0]
    _insert(connection, Notification(receiver, "", last + 1, collapsed.digest))


def retire(connection: sqlite3.Connection, receivers: Collection[str], now: float) -> int:
    """Settle what waits for receivers that are not configured any more; return how many messages those were."""
    rows = connection.execute(f"SELECT id, receiver FROM notifications WHERE {_OPEN}").fetchall()  # noqa: S608 - a constant
    gone = [row["id"] for row in rows if row["receiver"] not in receivers]
    for item in gone:
        settle(connection, item, "dead", "the receiver is not configured any more", now)
    for row in connection.execute("SELECT DISTINCT receiver FROM notification_groups").fetchall():
        if row[0] not in receivers:
            seals.delete(connection, "notification_groups", "receiver = ?", row[0])
    return len(gone)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one receiver does: for status, the page, /healthz and /metrics. Times are ISO 8601, UTC.

    `dead`: dead letters since the last message that was delivered; the receiver is in order when it is 0.
    `totals`: messages by outcome since the database was made: sent, retried, dead, collapsed, skipped.
    """

    receiver: str
    pending: int
    oldest: str | None
    dead: int
    last_sent: str | None
    last_answer: str | None
    totals: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return asdict(self)


def deliveries(connection: sqlite3.Connection, receivers: Collection[str]) -> list[Delivery]:
    """How each receiver does; one that was never written to has zeros."""
    out = []
    for name in receivers:
        pending, oldest = connection.execute(
            f"SELECT count(*), min(at) FROM notifications WHERE receiver = ? AND {_OPEN}",  # noqa: S608 - a constant
            (name,),
        ).fetchone()
        latest = {state: _latest(connection, name, state) for state in ("sent", "dead", "sending", "pending")}
        sent = latest["sent"]["settled"] if latest["sent"] else None
        (dead,) = connection.execute(
            "SELECT count(*) FROM notifications WHERE receiver = ? AND state = 'dead' AND settled > ?",
            (name, sent or ""),
        ).fetchone()
        tried = max((row for row in latest.values() if row), key=lambda row: row["id"], default=None)
        totals = dict.fromkeys(("sent", "retried", "dead", "collapsed", "skipped"), 0)
        totals |= dict(
            connection.execute("SELECT outcome, count FROM notification_totals WHERE receiver = ?", (name,)).fetchall()
        )
        out.append(Delivery(name, pending, oldest, dead, sent, tried["answer"] if tried else None, totals))
    return out


def _latest(connection: sqlite3.Connection, receiver: str, state: str) -> Any:
    """The latest message of a receiver that is in a state and was tried, by one look at an index; None if none is."""
    return connection.execute(
        "SELECT id, settled, answer FROM notifications WHERE receiver = ? AND state = ? AND attempts > 0"
        " ORDER BY id DESC LIMIT 1",
        (receiver, state),
    ).fetchone()


def listing(connection: sqlite3.Connection, limit: int = 50) -> list[dict[str, Any]]:
    """The latest messages with their outcomes, newest first, for `python -m monitor alerts` and the page."""
    rows = connection.execute(
        'SELECT at, receiver, "group" AS rule, kind, severity, event_id, state, attempts, attempted, settled, answer'
        " FROM notifications WHERE kind <> 'resend' ORDER BY id DESC LIMIT ?",
        (limit,),
    ).fetchall()
    return [dict(row) for row in rows]


class StoreOutbox:
    """The outbox as the senders use it: each call is one transaction of the writer."""

    def __init__(self, writer: Caller) -> None:
        self._writer = writer

    def head(self, receiver: str) -> Item | None:
        """The message to deliver next."""
        return self._writer.call(lambda connection: head(connection, receiver))

    def backlog(self, receiver: str) -> list[Item]:
        """All messages that are not settled, the oldest first."""
        return self._writer.call(lambda connection: backlog(connection, receiver))

    def told(self, receiver: str) -> frozenset[str]:
        """Event ids that the receiver has heard of."""
        return self._writer.call(lambda connection: told(connection, receiver))

    def recent(self, receiver: str, since: float) -> list[float]:
        """When attempts were made since a moment."""
        return self._writer.call(lambda connection: recent(connection, receiver, since))

    def claim(self, item: int, now: float) -> None:
        """Write down that an attempt begins."""
        self._writer.call(lambda connection: claim(connection, item, now))

    def settle(self, item: int, outcome: Outcome, answer: str, now: float) -> None:
        """Write down how it ended."""
        self._writer.call(lambda connection: settle(connection, item, outcome, answer, now))

    def retry(self, item: int, answer: str, next_try: float, *, plain: bool, doubt: bool) -> None:
        """Write down that it goes on."""
        self._writer.call(lambda connection: retry(connection, item, answer, next_try, plain=plain, doubt=doubt))

    def collapse(self, receiver: str, collapsed: Collapse, now: float) -> None:
        """Settle the replaced messages and queue their digest."""
        self._writer.call(lambda connection: collapse(connection, receiver, collapsed, now))

    def remember(self, key: str, value: str) -> None:
        """Keep a small fact over restarts."""
        self._writer.call(lambda connection: write_meta(connection, key, value))

    def recall(self, key: str) -> str | None:
        """Read such a fact."""
        row = self._writer.call(lambda c: c.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone())
        return row[0] if row else None


def _count(connection: sqlite3.Connection, item: int, outcome: str) -> None:
    with seals.changing(connection, "notification_totals"):
        connection.execute(
            "INSERT INTO notification_totals (receiver, outcome, count)"
            " SELECT receiver, ?, 1 FROM notifications WHERE id = ?"
            " ON CONFLICT (receiver, outcome) DO UPDATE SET count = count + 1",
            (outcome, item),
        )


def _item(row: sqlite3.Row) -> Item:
    return Item(
        row["id"],
        row["group"],
        from_iso(row["at"]),
        row["attempts"],
        Message.from_json(json.loads(row["message"])),
        bool(row["plain"]),
        # Claimed and not settled: whoever claimed it died, perhaps after the provider had taken it.
        bool(row["doubt"]) or row["state"] == "sending",
        row["next_try"],
    )


def _group(row: sqlite3.Row) -> GroupState:
    told = {AlertKey(*key): Told(*facts) for key, *facts in json.loads(row["told"])}
    facts = (row["sequence"], row["event_id"], row["opened"], row["last"], row["changes"])
    return GroupState(row["receiver"], row["group"], *facts, told)


def _told(state: GroupState) -> str:
    rows = [
        [key, told.event_id, told.since, told.severity, told.resolved, told.labels, told.reason]
        for key, told in sorted(state.told.items())
    ]
    return json.dumps(rows, allow_nan=False, separators=(",", ":"))
