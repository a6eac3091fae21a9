"""The outbox: messages that wait, and what became of them.

Functions of a connection; the caller owns the transaction. A message is queued in the transaction that stores the
transition it tells of.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import asdict, astuple, replace
from typing import Any, NamedTuple

from monitor.clock import from_iso, iso
from monitor.drift.result import AlertKey, Span
from monitor.notify.backlog import Collapse, Item, Outcome
from monitor.notify.message import Message
from monitor.notify.plan import Announced, GroupState, Notification, Plan
from monitor.store.audit import seals
from monitor.store.records.rows import Row, append, ends_of, fields_of, insert, read

_OPEN = "SELECT * FROM notifications WHERE state IN ('pending', 'sending')"

#: What becomes of messages: keys of a receiver's totals.
_OUTCOMES = ("sent", "retried", "dead", "collapsed", "skipped")


def load_groups(connection: sqlite3.Connection) -> dict[tuple[str, str], GroupState]:
    """What each receiver knows, by (receiver, group).

    Messages are numbered on from those that there are, even if what was announced to the receiver has been deleted.
    """
    groups = {}
    for row in read(connection, "SELECT * FROM notification_groups"):
        announced = {AlertKey(*key): Announced(*facts) for key, *facts in json.loads(row.pop("told"))}
        groups[row["receiver"], row["group"]] = GroupState(**row, announced=announced)
    for receiver, group, newest in connection.execute(
        'SELECT receiver, "group", max(sequence) FROM notifications GROUP BY receiver, "group"'
    ):
        state = groups.get((receiver, group), GroupState(receiver, group))
        groups[receiver, group] = replace(state, sequence=max(state.sequence, newest))
    return groups


def enqueue(connection: sqlite3.Connection, due: Plan) -> None:
    """Queue the messages of a plan and store what the receivers then know."""
    rows = []
    for state in due.groups:
        row = fields_of(state)
        row["told"] = _json([[key, *astuple(facts)] for key, facts in sorted(row.pop("announced").items())])
        rows.append(row)
    with seals.changing(connection, "notification_groups"):
        insert(connection, "notification_groups", rows, "INSERT OR REPLACE")
    for notification in due.notifications:
        _queue(connection, notification)


def _queue(connection: sqlite3.Connection, new: Notification) -> None:
    message, waits = new.message, {"attempts": 0, "next_try": None}
    if message.kind in ("state", "resend"):
        waits = _replace_state(connection, new.receiver, message.at)
    row = {
        "at": iso(message.at),
        "receiver": new.receiver,
        "group": new.group,
        "sequence": new.sequence,
        "kind": message.kind,
        "severity": message.severity,
        "event_id": message.event_id,
        "model_version": message.model,
        "message": _json(asdict(message)),
        "state": "pending",
        **waits,
    }
    append(connection, "notifications", [row])


def _replace_state(connection: sqlite3.Connection, receiver: str, at: float) -> Row:
    """Settle what waits for Alertmanager, for which only the latest state counts; return the wait to inherit."""
    which = "receiver = ? AND kind IN ('state', 'resend')"
    (waits,) = read(
        connection,
        "SELECT coalesce(max(attempts), 0) AS attempts, max(next_try) AS next_try FROM notifications"  # noqa: S608
        f" WHERE {which} AND state = 'pending'",
        (receiver,),
    )
    with seals.changing(connection, "notifications", which, receiver):
        connection.execute(
            "UPDATE notifications SET state = 'collapsed', settled = ?, answer = 'replaced by a later state'"  # noqa: S608
            f" WHERE {which} AND state = 'pending'",
            (iso(at), receiver),
        )
    done = "receiver = ? AND kind = 'resend' AND state IN ('sent', 'collapsed')"
    seals.delete(connection, "notifications", done, receiver)
    return waits


def head(connection: sqlite3.Connection, receiver: str) -> Item | None:
    """The message to deliver next: one that was tried already, else a digest, else the oldest."""
    order = "attempts = 0, kind <> 'digest', id LIMIT 1"  # that of the index `notifications_open`
    row = connection.execute(f"{_OPEN} AND receiver = ? ORDER BY {order}", (receiver,)).fetchone()
    return _item(row) if row else None


def backlog(connection: sqlite3.Connection, receiver: str) -> list[Item]:
    """All messages that are not settled, the oldest first."""
    return list(map(_item, connection.execute(f"{_OPEN} AND receiver = ? ORDER BY id", (receiver,)).fetchall()))


def waiting(connection: sqlite3.Connection, receivers: Collection[str]) -> int:
    """How many messages of some receivers are not settled."""
    return sum(len(backlog(connection, receiver)) for receiver in receivers)


def _item(row: sqlite3.Row) -> Item:
    # A message that is claimed and not settled: its sender died, perhaps after the provider had taken it.
    doubt = bool(row["doubt"]) or row["state"] == "sending"
    message = Message.from_json(json.loads(row["message"]))
    facts = (row["id"], row["group"], from_iso(row["at"]), row["attempts"], message)
    return Item(*facts, plain=bool(row["plain"]), doubt=doubt, next_try=row["next_try"])


def delivered_events(connection: sqlite3.Connection, receiver: str) -> frozenset[str]:
    """Event ids that reached a receiver: by a message that was delivered, or by the digest that replaced it."""
    rows = connection.execute(
        "SELECT DISTINCT event_id FROM notifications WHERE receiver = ?1 AND (state = 'sent' OR"
        " (state = 'collapsed' AND kind IN ('firing', 'update', 'repeat') AND id <"
        "  (SELECT max(id) FROM notifications WHERE receiver = ?1 AND state = 'sent' AND kind = 'digest')))",
        (receiver,),
    )
    return frozenset(event_id for (event_id,) in rows)


def recent(connection: sqlite3.Connection, receiver: str, since: float) -> list[float]:
    """When the last attempts were made, if since a moment; seconds since 1970, in order."""
    rows = connection.execute(
        "SELECT attempted FROM notifications WHERE receiver = ? AND attempted IS NOT NULL ORDER BY id DESC LIMIT 100",
        (receiver,),
    ).fetchall()
    return sorted(moment for row in rows if (moment := from_iso(row[0])) >= since)


def claim(connection: sqlite3.Connection, item: int, now: float) -> None:
    """Write down that an attempt begins."""
    _update(connection, item, "state = 'sending', attempts = attempts + 1, attempted = ?", iso(now))


def settle(connection: sqlite3.Connection, item: int, outcome: Outcome, answer: str, now: float) -> None:
    """Write down how a message ended, and count it."""
    _update(connection, item, "state = ?, answer = ?, settled = ?, next_try = NULL", outcome, answer, iso(now))
    _count(connection, item, outcome)


def retry(connection: sqlite3.Connection, item: int, answer: str, next_try: float, *, plain: bool, doubt: bool) -> None:
    """Write down that a message will be tried again."""
    change = "state = 'pending', answer = ?, next_try = ?, plain = ?, doubt = ?"
    _update(connection, item, change, answer, next_try, plain, doubt)
    _count(connection, item, "retried")


def _update(connection: sqlite3.Connection, item: int, change: str, *values: object) -> None:
    with seals.changing(connection, "notifications", "id = ?", item):
        connection.execute(f"UPDATE notifications SET {change} WHERE id = ?", (*values, item))  # noqa: S608 - a constant


def _count(connection: sqlite3.Connection, item: int, outcome: str) -> None:
    with seals.changing(connection, "notification_totals"):
        connection.execute(
            "INSERT INTO notification_totals (receiver, outcome, count)"
            " SELECT receiver, ?, 1 FROM notifications WHERE id = ?"
            " ON CONFLICT (receiver, outcome) DO UPDATE SET count = count + 1",
            (outcome, item),
        )


def collapse(connection: sqlite3.Connection, receiver: str, collapsed: Collapse, now: float) -> None:
    """Settle the replaced messages and queue their digest."""
    for item in collapsed.replaced:
        settle(connection, item, "collapsed", "replaced by a digest", now)
    post(connection, receiver, collapsed.digest)


def post(connection: sqlite3.Connection, receiver: str, message: Message) -> None:
    """Queue a message that is of no group."""
    last = connection.execute(
        "SELECT coalesce(max(sequence), 0) FROM notifications WHERE receiver = ? AND \"group\" = ''", (receiver,)
    ).fetchone()[0]
    _queue(connection, Notification(receiver, "", last + 1, message))


def retire(connection: sqlite3.Connection, receivers: Collection[str], now: float) -> None:
    """Settle what waits for receivers that are not configured any more."""
    for row in connection.execute(_OPEN).fetchall():
        if row["receiver"] not in receivers:
            settle(connection, row["id"], "dead", "the receiver is not configured any more", now)
    for (receiver,) in connection.execute("SELECT DISTINCT receiver FROM notification_groups").fetchall():
        if receiver not in receivers:
            seals.delete(connection, "notification_groups", "receiver = ?", receiver)


class Delivery(NamedTuple):
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


def deliveries(connection: sqlite3.Connection, receivers: Collection[str]) -> list[Delivery]:
    """How each receiver does; one that was never written to has zeros."""
    return [_delivery(connection, name) for name in receivers]


def _delivery(connection: sqlite3.Connection, receiver: str) -> Delivery:
    def first(what: str, of: str, *values: object) -> Any:
        statement = f"SELECT {what} FROM notifications WHERE receiver = ? AND {of}"  # noqa: S608 - constants
        return connection.execute(statement, (receiver, *values)).fetchone()

    # One look at an index for each state.
    latest = {
        state: first("id, settled, answer", "state = ? AND attempts > 0 ORDER BY id DESC LIMIT 1", state)
        for state in ("sent", "dead", "sending", "pending")
    }
    sent = latest["sent"]["settled"] if latest["sent"] else None
    tried = max((row for row in latest.values() if row), key=lambda row: row["id"], default=None)
    pending, oldest = first("count(*), min(at)", "state IN ('pending', 'sending')")
    (dead,) = first("count(*)", "state = 'dead' AND settled > ?", sent or "")
    totals = connection.execute("SELECT outcome, count FROM notification_totals WHERE receiver = ?", (receiver,))
    answer = tried["answer"] if tried else None
    return Delivery(receiver, pending, oldest, dead, sent, answer, {**dict.fromkeys(_OUTCOMES, 0), **dict(totals)})


def listing(
    connection: sqlite3.Connection,
    most: int = 50,
    *,
    dead_first: bool = False,
    model: str | None = None,
    span: Span | None = None,
) -> list[Row]:
    """The latest messages with their outcomes, newest first; with `dead_first` the dead letters before all others.

    `model`: only those with an alert of this model, and those that are about no alert, such as a digest. `span`: only
    those that were written in a period.
    """
    return read(
        connection,
        'SELECT at, receiver, "group" AS rule, kind, severity, event_id, state, attempts, attempted, settled, answer'
        " FROM notifications WHERE kind <> 'resend' AND (?1 IS NULL OR"
        " coalesce(json_array_length(message, '$.entries'), 0) = 0 OR EXISTS"
        " (SELECT 1 FROM json_each(message, '$.entries') WHERE json_extract(value, '$.model') = ?1))"
        " AND (?4 IS NULL OR at >= ?4 AND at < ?5) ORDER BY ?2 AND state = 'dead' DESC, id DESC LIMIT ?3",
        (model, dead_first, most, *ends_of(span)),
    )


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
